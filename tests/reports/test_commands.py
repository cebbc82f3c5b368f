"""``router report`` on real journals: whichever way the router comes to its counts, the report is the same."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from router.cli import main
from router.command_line import console
from router.journal import SqliteJournal
from tests.reports.half_year import ms, records
from tests.reports.journals import purge, snapshot, write_journal

SMALL = Path(__file__).parents[2] / "config" / "small"
FORMS = ("agcom", "portfolios")


class Done(NamedTuple):
    status: int
    out: str
    error: str


Run = Callable[..., Done]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of the half-year, in records alone."""
    path = tmp_path / "journal.db"
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(path))
    write_journal(path, records())
    return path


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    # A terminal may be narrow, and wrap what is looked for.
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", "report", *map(str, arguments), str(SMALL)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, error)

    return run


def all_forms(run: Run, folder: Path) -> list[bytes]:
    """Every form of both reports."""
    found: list[bytes] = []
    for command in FORMS:
        page, table = folder / "page.html", folder / "table.csv"
        done = run(command, "--period", "2026", "--json", "--html", page, "--csv", table)
        assert (done.status, done.error) == (0, "")
        found += [done.out.encode(), page.read_bytes(), table.read_bytes()]
    return found


def test_the_same_report_from_records_a_snapshot_and_a_purged_journal(run: Run, path: Path, tmp_path: Path) -> None:
    """The snapshot is of a moment at which the call of two months talks."""
    from_records = all_forms(run, tmp_path)
    talking = next(n for n, (at_ms, _) in enumerate(records()) if at_ms > ms(2026, 4, 1))
    snapshot(path, records(), last=talking)

    from_snapshot_and_records = all_forms(run, tmp_path)
    purged = purge(path, ms(2026, 4, 1))
    from_what_is_left = all_forms(run, tmp_path)
    snapshot(path, records())
    purged += purge(path, ms(2027, 1, 1))
    from_a_snapshot_alone = all_forms(run, tmp_path)

    assert purged > 20
    assert from_snapshot_and_records == from_records
    assert from_what_is_left == from_records
    assert from_a_snapshot_alone == from_records


def test_the_same_report_under_every_hash_seed(path: Path, tmp_path: Path) -> None:
    found = set()
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        command = ["report", "portfolios", "--period", "2026-H1", "--html", "page.html", "--csv", "table.csv", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "router", *command, str(SMALL)],
            env=os.environ | {"PYTHONHASHSEED": seed}, cwd=folder, capture_output=True, check=True,
        )  # fmt: skip
        found.add((done.stdout, (folder / "page.html").read_bytes(), (folder / "table.csv").read_bytes()))

    assert len(found) == 1


def test_the_fingerprint_is_printed_and_can_be_computed_again(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = json.loads(run("agcom", "--period", "2026-H1", "--json").out)
    plain = json.dumps(document["report"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    told = run("agcom", "--period", "2026-H1", "--html", page).out

    assert document["sha256"] == hashlib.sha256(plain.encode()).hexdigest()
    assert f"sha256 {document['sha256']}" in told
    assert document["sha256"] in page.read_text(encoding="utf-8")


def test_the_terminal_shows_figures_limits_and_what_is_incomplete(run: Run) -> None:
    told = run("agcom", "--period", "2026-H1").out

    assert "Waiting times and service levels, 2026-H1" in told
    assert re.search(r"mean wait +│ +10\.00 s met │ at most 150 s", told)
    assert re.search(r"mean wait +│ +200\.00 s missed │ at most 150 s", told)
    assert re.search(r"answered within 20 s \(<\), variant B +│ +50\.00 % met │ at least 40 %", told)
    assert re.search(r"service level A within 20 s: hang-ups within 20 s count as met +│ +66\.67 %", told)
    assert "wind, 2026-06: the journal ends at 2026-06-20 09:00:01 Europe/Rome" in told
    assert re.search(r"north +│ +4 │ +50\.00 %", run("portfolios", "--period", "2026-H1").out)
    assert re.search(r"silver +│ +1 │ +0\.00 %", run("portfolios", "--period", "2026-H1", "--by", "portfolio").out)


def test_the_csv_has_a_row_a_count_and_a_figure(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    run("agcom", "--period", "2026-H1", "--company", "tre", "--csv", file)

    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert {row["client company"] for row in rows} == {"tre"}
    (within,) = [row for row in rows if (row["period"], row["key"]) == ("2026-H1", "within")]
    assert (within["numerator"], within["denominator"], within["value"], within["verdict"]) == (
        "3",
        "4",
        "75.00",
        "met",
    )
    assert within["formula"] == "wait <= 20 s / answered"
    (nothing,) = [row for row in rows if (row["period"], row["key"]) == ("2026-02", "mean_wait")]
    assert (nothing["value"], nothing["verdict"], nothing["is_complete"]) == ("", "no data", "yes")
    (hung_up,) = [row for row in rows if (row["period"], row["key"]) == ("2026-03", "abandoned_short")]
    assert hung_up["value"] == "1"


class _Outside(HTMLParser):
    """What a page asks others for, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("command", FORMS)
def test_the_page_needs_nothing_else(run: Run, tmp_path: Path, command: str) -> None:
    page = tmp_path / "page.html"
    run(command, "--period", "2026", "--html", page)

    outside = _Outside()
    outside.feed(page.read_text(encoding="utf-8"))

    assert outside.open == []
    assert outside.asked
    assert all(each.startswith("data:image/svg+xml;base64,") for each in outside.asked)


def test_nothing_of_the_machine_is_in_a_report(run: Run, path: Path, tmp_path: Path) -> None:
    for form in all_forms(run, tmp_path):
        assert str(tmp_path).encode() not in form
        assert b"config" not in form


def test_a_report_changes_nothing_in_the_journal(run: Run, path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()

    all_forms(run, tmp_path)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("agcom", "--period", "2026-Q1"), 1, "'2026-Q1' is no period: write a year, a half or a month"),
        (("agcom",), 2, "--period"),
        (("agcom", "--period", "2026", "--company", "tim"), 1, "no client company 'tim' in 2026, only tre, wind"),
        (("portfolios", "--period", "2026", "--by", "agent"), 2, "'agent'"),
        (("agcom", "--period", "2026", "--html", "/no/such/folder/page.html"), 1, "No such file or directory"),
    ],
)
def test_what_is_asked_wrongly_is_told(run: Run, arguments: tuple[str, ...], status: int, says: str) -> None:
    done = run(*arguments)

    assert done.status == status
    assert says in done.error


def test_without_a_journal_there_is_no_report(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(path) + ".other")

    done = run("agcom", "--period", "2026")

    assert done.status == 1
    assert "there is no journal" in done.error
    assert not Path(str(path) + ".other").exists()


def test_a_router_at_work_is_not_disturbed(run: Run, path: Path) -> None:
    """It holds the journal for writing, and its last records are in the report."""
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")

        done = run("agcom", "--period", "2026-06", "--json")

        journal.put_snapshot("main", 1, b"still mine")
    report: Any = json.loads(done.out)["report"]
    assert [each["spans"][0]["counts"]["abandoned"] for each in report["sections"]] == [0, 1]
