"""``router report share``: the year of `protocol_year` as it can be counted by hand, and the edges of shares."""

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from router.cli import main
from router.command_line import console
from router.core import Engine
from router.core import events as e
from router.core.events import Event
from router.core.model import Contract, ShareUnit
from router.core.shares import Adjustment, ContractDay
from router.core.snapshot import GatesState
from router.reports.monthly import ReportError
from router.reports.share import Counted, Days, Part, ShareReport, Standing, share_report
from router.reports.share_pages import share_as_view
from router.service.decider import Decider, Version
from tests.reports.half_year import ms
from tests.reports.journals import purge, snapshot, write_journal
from tests.reports.protocol_year import FROM_MS, HOUSE, OUT, OWN, UNTIL_MS, after, description, records
from tests.reports.test_commands import _Outside

SMALL = Path(__file__).parents[2] / "config" / "small"
YEAR = Days(date(2017, 5, 4), date(2018, 5, 4))
PERIOD = ("--from", "2017-05-04", "--until", "2018-05-04")


# --- Of counts -----------------------------------------------------------------------------------------------------


def contract_days(inside: int, abroad: int, day: date = date(2017, 8, 15)) -> tuple[ContractDay, ...]:
    """So many of each unit."""
    return (
        ContractDay("out", day, "AL", abroad, abroad, abroad, 0, 0),
        ContractDay("out", day, "IT", inside, inside, inside, 0, 0),
    )


def of_counts(
    days: Sequence[ContractDay] = (), *adjustments: Adjustment, contract: Contract = OUT, since_ms: int | None = FROM_MS
) -> Counted:
    books = GatesState(contract_days=tuple(days), adjustments=adjustments)
    version = Version(1, FROM_MS, b"1", (contract,), ())
    return Counted(books, (version,), since_ms, UNTIL_MS, description(contract))


def whole(counted: Counted, days: Days = YEAR) -> Part:
    return next(each for each in share_report(counted, days).contracts if each.contract_id == "out").whole


@pytest.mark.parametrize("unit", ShareUnit)
@pytest.mark.parametrize(
    ("inside", "abroad", "share_bp", "standing"),
    [
        (800_000, 200_000, 8_000, Standing.KEPT),
        (799_999, 200_001, 7_999, Standing.NOT_KEPT),
        (799_999, 200_000, 7_999, Standing.NOT_KEPT),
        (800_001, 200_000, 8_000, Standing.KEPT),
        (0, 1, 0, Standing.NOT_KEPT),
        (0, 0, None, Standing.NO_DATA),
    ],
)
def test_exactly_the_target_is_kept_and_one_less_is_not(
    unit: ShareUnit, inside: int, abroad: int, share_bp: int | None, standing: Standing
) -> None:
    contract = msgspec.structs.replace(OUT, unit=unit)

    work = whole(of_counts(contract_days(inside, abroad), contract=contract)).corrected

    assert (work.inside, work.total, work.share_bp, work.standing) == (inside, inside + abroad, share_bp, standing)


def test_a_baseline_above_the_target_is_the_target() -> None:
    part = whole(of_counts(contract_days(8, 1), contract=msgspec.structs.replace(OUT, baseline_bp=9_000)))

    assert (part.goal_bp, part.corrected.standing) == (9_000, Standing.NOT_KEPT)


def test_a_target_that_was_lowered_later_is_the_higher_one_until_then() -> None:
    counted = of_counts(contract_days(17, 3, date(2017, 8, 31)) + contract_days(16, 4, date(2017, 9, 2)))
    lowered = Version(2, ms(2017, 9, 1), b"2", (msgspec.structs.replace(OUT, target_bp=7_000),), ())
    strict = Version(1, FROM_MS, b"1", (msgspec.structs.replace(OUT, target_bp=9_000),), ())

    (section,) = share_report(counted._replace(versions=(strict, lowered)), YEAR).contracts

    months = {part.name: (part.goal_bp, part.corrected.standing) for part in section.months if part.corrected.total}
    assert months == {"2017-08": (9_000, Standing.NOT_KEPT), "2017-09": (7_000, Standing.KEPT)}
    assert (section.whole.goal_bp, section.whole.corrected.standing) == (9_000, Standing.NOT_KEPT)
    assert [(each.offset, each.target_bp) for each in section.terms] == [(1, 9_000), (2, 7_000)]


def test_a_report_of_the_past_does_not_change_by_what_comes_after() -> None:
    counted = of_counts(contract_days(4, 1))
    other = msgspec.structs.replace(OUT, target_bp=10_000, countries=("AL",), unit=ShareUnit.SECONDS)
    later = Version(9, UNTIL_MS, b"9", (other, OWN), ())
    more = counted.books.contract_days + contract_days(0, 9, date(2018, 5, 4))
    grown = Counted(
        GatesState(contract_days=more), (*counted.versions, later), FROM_MS, UNTIL_MS + 1, description(other)
    )

    assert share_report(grown, YEAR) == share_report(counted, YEAR)


def test_corrections_stand_beside_the_counts() -> None:
    made = Adjustment(UNTIL_MS, "out", date(2017, 8, 15), "IT", 1, 60_000, "on paper", 0, "ada")
    elsewhere = msgspec.structs.replace(made, day=date(2018, 5, 4), calls=100)

    (section,) = share_report(of_counts(contract_days(3, 1), made, elsewhere), YEAR).contracts

    part = section.whole
    assert (part.counted.share_bp, part.counted.standing) == (7_500, Standing.NOT_KEPT)
    assert (part.correction_inside, part.correction_total) == (1, 1)
    assert (part.corrected.share_bp, part.corrected.standing) == (8_000, Standing.KEPT)
    assert [(each.day, each.reason, each.made_by) for each in section.corrections] == [
        (date(2017, 8, 15), "on paper", "ada")
    ]


# --- What was not counted ------------------------------------------------------------------------------------------


def incomplete(counted: Counted, days: Days = YEAR) -> tuple[str, ...]:
    (section,) = share_report(counted, days).contracts
    return section.incomplete


def test_what_the_router_did_not_see_is_said() -> None:
    counted = of_counts(contract_days(4, 1))

    assert incomplete(counted) == ()
    assert incomplete(counted._replace(since_ms=FROM_MS + 1000)) == (
        "nothing was counted before 2017-05-04 00:00:01 Europe/Rome",
    )
    assert incomplete(counted._replace(until_ms=UNTIL_MS - 1000)) == (
        "the journal ends at 2018-05-03 23:59:59 Europe/Rome",
    )
    assert incomplete(counted._replace(until_ms=FROM_MS - 1)) == ("nothing was counted: the journal ends before",)
    for since_ms in (None, UNTIL_MS):
        assert incomplete(counted._replace(since_ms=since_ms)) == ("nothing was counted: the router had not begun",)


def test_a_contract_that_left_the_organisation_for_a_while_is_incomplete() -> None:
    counted = of_counts()
    (with_it,) = counted.versions
    gone = Version(2, ms(2017, 9, 10), b"2", (), ())
    back = with_it.__class__(3, ms(2017, 9, 20), b"3", with_it.contracts, ())

    (section,) = share_report(counted._replace(versions=(with_it, gone, back)), YEAR).contracts

    assert section.incomplete == (
        "the organisation did not have the contract from 2017-09-10 00:00:00 Europe/Rome "
        "until 2017-09-20 00:00:00 Europe/Rome",
    )
    assert [part.name for part in section.months if not part.is_complete] == ["2017-09"]


def test_a_contract_counts_from_its_first_day_to_its_last() -> None:
    short = msgspec.structs.replace(OUT, valid_from=date(2017, 6, 15), valid_until=date(2017, 8, 10))

    (section,) = share_report(of_counts(contract=short), YEAR).contracts

    assert section.whole.name == "2017-06-15 to 2017-08-09"
    assert [part.name for part in section.months] == ["2017-06-15 to 2017-06-30", "2017-07", "2017-08-01 to 2017-08-09"]


@pytest.mark.parametrize(
    ("days", "company", "says"),
    [
        (Days(date(2016, 1, 1), date(2016, 2, 1)), None, "no contract was in force from 2016-01-01 until 2016-02-01"),
        (YEAR, "tim", "no contract of company 'tim' was in force from .*; the router has known the contracts out"),
    ],
)
def test_a_report_of_nothing_is_refused(days: Days, company: str | None, says: str) -> None:
    with pytest.raises(ReportError, match=says):
        share_report(of_counts(), days, company=company)


# --- Of the year ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def year() -> ShareReport:
    return share_report(counted_of(records()), YEAR)


def counted_of(events: Sequence[tuple[int, Event]]) -> Counted:
    """As the router would keep it that has the events."""
    (begins_ms, first), *rest = events
    assert isinstance(first, e.OrganisationChanged)
    decider = Decider.of_first_record(Engine(first.description), first.description, 1, begins_ms)
    for offset, (at_ms, event) in enumerate(rest, start=2):
        decider.apply(offset, at_ms, event)
    engine, now_ms = decider.engine, decider.now_ms
    return Counted(engine.books(now_ms=now_ms), decider.versions, engine.counting_since_ms, now_ms, decider.description)


def worked(year: ShareReport, contract_id: str) -> dict[str, tuple[int, int]]:
    """Counted inside and in all, by month in which something was."""
    (section,) = (each for each in year.contracts if each.contract_id == contract_id)
    return {
        part.name: (part.counted.inside, part.counted.total)
        for part in (section.whole, *section.months)
        if part.counted.total
    }


def test_the_year_as_counted_by_hand(year: ShareReport) -> None:
    out, own = year.contracts

    assert worked(year, "out") == {
        "2017-05-04 to 2018-05-03": (9, 11),
        "2017-05-04 to 2017-05-31": (4, 5),
        "2017-10": (3, 3),
        "2017-12": (1, 1),
        "2018-03": (0, 1),
        "2018-05-01 to 2018-05-03": (1, 1),
    }
    assert worked(year, "own") == {"2017-06-15 to 2018-05-03": (1, 1), "2017-06-15 to 2017-06-30": (1, 1)}
    assert [(each.supplier_id, each.in_house) for each in (out, own)] == [("bpo", False), (HOUSE, True)]
    assert (out.months[0].counted.share_bp, out.months[0].counted.standing) == (8_000, Standing.KEPT)
    assert (out.whole.correction_inside, out.whole.correction_total) == (1, 0)
    assert (out.whole.corrected.inside, out.whole.corrected.total) == (10, 11)
    assert out.whole.overrides == 1
    assert [part.overrides for part in out.months if part.overrides] == [1]
    assert {part.name: part.goal_bp for part in out.months if part.first_day > date(2018, 1, 1)} == {
        "2018-02": 8_500, "2018-03": 8_500, "2018-04": 8_500, "2018-05-01 to 2018-05-03": 8_500
    }  # fmt: skip
    assert [part.corrected.standing for part in out.months].count(Standing.NO_DATA) == 8


def test_what_callers_asked_for_and_what_is_in_no_share(year: ShareReport) -> None:
    (tel,) = year.companies

    assert tel.whole.excluded == {"abandoned": 2, "callback_cancelled": 1, "no_contract": 1}
    december = next(month for month in tel.months if month.name == "2017-12")
    assert (december.asked, december.met, december.unmet, december.met_mean_ms) == (2, 1, 1, 30_000)
    assert (tel.whole.unannounced, december.unannounced) == (1, 1)
    assert tel.months[0].met_mean_ms is None


def test_a_day_of_25_hours_is_one_day() -> None:
    counted = counted_of(records())
    for first, calls in ((date(2017, 10, 28), 0), (date(2017, 10, 29), 2), (date(2017, 10, 30), 1)):
        part = whole(counted, Days(first, date(2017, 10, first.day + 1)))

        assert part.counted.total == calls


def test_the_last_millisecond_belongs_to_the_period_with_its_whole_conversation(year: ShareReport) -> None:
    assert worked(year, "out")["2018-05-01 to 2018-05-03"] == (1, 1)
    days = {(each.contract_id, each.day): each.talk_ms for each in counted_of(records()).books.contract_days}
    assert days["out", date(2018, 5, 3)] == 3_600_000


def test_the_versions_in_force_are_told(year: ShareReport) -> None:
    changes = [event for _, event in records() if isinstance(event, e.OrganisationChanged)]

    assert [each.since for each in year.versions] == [
        "2017-05-01T22:00:00.000Z", "2017-06-19T22:00:00.000Z", "2018-01-31T23:00:00.000Z"
    ]  # fmt: skip
    assert [dict.fromkeys(each.contract_id for each in one.targets) for one in year.versions] == [
        {"out": None}, {"out": None, "own": None}, {"out": None, "own": None}
    ]  # fmt: skip
    for version, change in zip(year.versions, changes, strict=True):
        content = json.dumps(
            msgspec.to_builtins(change.description), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert version.sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_a_reload_that_changes_nothing_is_no_version() -> None:
    (at_ms, first), *_ = records()

    counted = counted_of([(at_ms, first), (at_ms + 1, first)])

    assert [version.offset for version in counted.versions] == [1]


# --- From journals -------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    status: int
    out: str
    error: str


Run = Callable[..., Done]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of the year, in records alone."""
    path = tmp_path / "journal.db"
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(path))
    write_journal(path, records())
    return path


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", "report", "share", *map(str, arguments), str(SMALL)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, error)

    return run


def test_the_same_bytes_twice_and_whichever_way_the_router_comes_to_its_counts(
    run: Run, path: Path, tmp_path: Path
) -> None:
    """The snapshot is of a moment in autumn, so that later versions and corrections come from records, or from it."""

    page, table = tmp_path / "page.html", tmp_path / "table.csv"

    def document() -> bytes:
        done = run(*PERIOD, "--json", "--csv", table)
        assert (done.status, done.error) == (0, "")
        return done.out.encode() + table.read_bytes()

    def the_page() -> bytes:
        run(*PERIOD, "--html", page)
        return page.read_bytes()

    from_records, page_from_records = document(), the_page()
    again = document()
    snapshot(path, records(), last=after(ms(2017, 11, 1)))
    from_snapshot_and_records = document()
    purged = purge(path, ms(2017, 11, 1))
    from_what_is_left = document()
    snapshot(path, records(), last=len(records()) - 1)
    snapshot(path, records())
    purged += purge(path, ms(2019, 1, 1))
    from_a_snapshot_alone, page_from_a_snapshot = document(), the_page()

    assert purged > 100
    assert again == from_records
    assert from_snapshot_and_records == from_records
    assert from_what_is_left == from_records
    assert from_a_snapshot_alone == from_records
    assert page_from_a_snapshot == page_from_records


def test_the_fingerprint_can_be_computed_again_and_stands_in_every_form(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = json.loads(run(*PERIOD, "--json").out)
    plain = json.dumps(document["report"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    told = run(*PERIOD, "--html", page).out

    assert document["sha256"] == hashlib.sha256(plain.encode()).hexdigest()
    assert f"sha256 {document['sha256']}" in told
    assert document["sha256"] in page.read_text(encoding="utf-8")


def test_the_terminal_shows_shares_corrections_and_what_is_missing(run: Run) -> None:
    told = [" ".join(line.replace("│", " ").split()) for line in run(*PERIOD).out.splitlines()]

    assert "Contract out: bpo for tel (outsourced), answered calls" in told
    assert "2017-05-04 to 2017-05-31 4 4 100.00 % 4 of 5, 80.00 % 0 of -1 80.00 % kept 0 0" in told
    assert "2018-03 1 2 50.00 % 0 of 1, 0.00 % +1 of +1 85.00 % not kept 1 0" in told
    assert "2017-06 0 0 no data 80.00 % no data 0 0" in told
    assert "2017-05-04 to 2018-05-03 10 11 90.90 % 9 of 11, 81.81 % +1 of 0 85.00 % kept 1 0" in told
    assert "2017-06-15 to 2017-06-30 (incomplete) 1 1 100.00 % 95.00 % kept 0 0" in told
    assert "correction: 2017-05-04, AL: -1 calls; test call (ada, 2018-05-10T10:00:00.000Z)" in told
    assert "mean time to an agent inside 30.00 s" in told


def test_the_csv_has_a_row_a_value(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    run(*PERIOD, "--csv", file)

    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    def value(about: str, name: str, period: str, key: str) -> str:
        (found,) = (
            row["value"]
            for row in rows
            if (row["about"], row["name"], row["period"], row["key"]) == (about, name, period, key)
        )
        return found

    assert value("contract", "out", "2017-05-04 to 2017-05-31", "counted_share_bp") == "8000"
    assert value("contract", "out", "2017-06", "corrected_standing") == "no data"
    assert value("contract", "out", "2017-06", "corrected_share_bp") == ""
    assert value("company", "tel", "2017-12", "excluded_abandoned") == "2"
    assert value("correction", "out", "2018-03-20", "calls") == "1"
    assert len(value("version", "1", "2017-05-01T22:00:00.000Z", "sha256")) == 64


def test_the_page_needs_nothing_else_and_shows_text_as_text(run: Run, path: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    path.unlink()
    wrong = e.ShareAdjusted(
        contract_id="out", day=date(2018, 3, 20), country="IT", calls=1, reason="<b>&", made_by="ada"
    )
    write_journal(path, (*records(), (ms(2018, 6, 1), wrong)))

    run(*PERIOD, "--html", page)

    text = page.read_text(encoding="utf-8")
    outside = _Outside()
    outside.feed(text)
    assert outside.open == []
    assert len(outside.asked) == 2
    assert all(each.startswith("data:image/svg+xml;base64,") for each in outside.asked)
    assert "&lt;b&gt;&amp;" in text


def test_times_are_hours_and_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 200)
    hour_ms = 3_600_000
    made = Adjustment(UNTIL_MS, "out", date(2017, 8, 15), "IT", 0, -90_000, "echo", -hour_ms, "ada")
    days = contract_days(1_234 * hour_ms, 100 * hour_ms + 59_999)
    report = share_report(of_counts(days, made, contract=msgspec.structs.replace(OUT, unit=ShareUnit.SECONDS)), YEAR)

    with console.capture() as told:
        console.print(share_as_view(report))

    lines = [" ".join(line.replace("│", " ").split()) for line in told.get().splitlines()]
    assert "2017-08 1,233:58 1,333:59 92.50 % 1,234:00 of 1,334:00, 92.50 % -0:01 of -0:01 80.00 % kept 0 0" in lines
    assert any("IT: -0:01:30 of conversation, -1:00:00 signed in; echo (ada, " in line for line in lines)


def test_a_company_sees_its_own_contracts_alone(run: Run) -> None:
    document: Any = json.loads(run(*PERIOD, "--company", "tel", "--json").out)["report"]

    assert [each["contract_id"] for each in document["contracts"]] == ["out", "own"]
    assert "no contract of company 'tim'" in run(*PERIOD, "--company", "tim").error


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--from", "2017-05", "--until", "2018-05-04"), 1, "is no period: write days, such as 2017-05-04"),
        (("--from", "2018-05-04", "--until", "2018-05-04"), 1, "2018-05-04 is not after 2018-05-04"),
        (("--from", "2018-05-04"), 2, "--until"),
    ],
)
def test_what_is_asked_wrongly_is_told(run: Run, arguments: tuple[str, ...], status: int, says: str) -> None:
    done = run(*arguments)

    assert done.status == status
    assert says in done.error
