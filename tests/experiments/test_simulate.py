"""``router simulate`` as its users meet it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiments.conftest import Done

Main = Callable[..., Done]
CONFIG = Path(__file__).parents[2] / "config" / "protocol"


def router(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "router", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """One of the twenty days."""
    text = (CONFIG / "weeks.toml").read_text(encoding="utf-8")
    file = tmp_path / "day.toml"
    file.write_text(
        text.replace('config = "."', f'config = "{CONFIG}"').replace("ends = 2017-05-24", "ends = 2017-05-05"),
        encoding="utf-8",
    )
    return file


def test_two_runs_side_by_side_a_journal_to_report_from_and_a_figure(day: Path, tmp_path: Path) -> None:
    journal, figure = tmp_path / "journal.db", tmp_path / "figure.svg"

    done = router("simulate", day, "--without", "share", "--journal", journal, "--svg", figure, "--json")

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    on, off = document["runs"]
    assert (on["off"], off["off"]) == (None, "share")
    assert on["callers_digest"] == off["callers_digest"]
    assert document["faults"] == []
    assert figure.read_text(encoding="utf-8").startswith("<?xml")
    report = router("report", "agcom", CONFIG, "--period", "2017-05", "--json", ROUTER_JOURNAL__FILE=str(journal))
    counts = json.loads(report.stdout)["report"]["sections"][0]["spans"][0]["counts"]
    assert counts["answered"] == on["in_all"]["counts"]["answered"]


def test_a_bad_scenario_is_refused_before_anything_starts(day: Path, tmp_path: Path) -> None:
    text = day.read_text(encoding="utf-8").replace('portfolio_id = "business"', 'portfolio_id = "busyness"')
    day.write_text(text, encoding="utf-8")

    done = router("simulate", day, "--journal", tmp_path / "journal.db")

    assert done.returncode == 1
    assert done.stderr == (
        "error: day.toml, calls entry 2, portfolio_id: there is no portfolio 'busyness': did you mean business?\n"
    )
    assert not (tmp_path / "journal.db").exists()


def test_replications_with_intervals_as_json_rows_and_a_page(day: Path, tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.csv", tmp_path / "page.html"

    done = router(
        "simulate",
        day,
        "--replications",
        "3",
        "--processes",
        "2",
        "--seed",
        "5",
        "--csv",
        rows,
        "--report",
        page,
        "--json",
    )

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["seed"], document["results"]["replications"], document["faults"]) == (5, 3, [])
    assert len(document["runs"]) == 1
    whole = document["results"]["rows"][0]
    assert (whole["scope"], whole["id"]) == ("all", "all")
    level = whole["figures"]["service_level"]
    assert level["below"] == whole["counts"]["answered"] + whole["counts"]["abandoned"]
    assert 0 < level["half_width"] < 50
    assert document["findings"]["in_short"].startswith(f"{level['value']:.1f} % of all callers")
    assert rows.read_text(encoding="utf-8").startswith("scope,id,key,")
    assert "Who is badly served, and why" in page.read_text(encoding="utf-8")


def test_alone_it_shows_the_months_the_shares_and_the_key_figures(day: Path) -> None:
    done = router("simulate", day, COLUMNS="120")

    assert (done.returncode, done.stderr) == (0, "")
    shown = [
        done.stdout.index(words) for words in ("Waits, all rules", "Shares, all rules", "By portfolio, worst first")
    ]
    assert shown == sorted(shown)
    assert "one replication" in done.stdout


def test_it_goes_on_until_the_figures_are_precise(main: Main, day: Path) -> None:
    done = main(
        "simulate",
        day,
        "--precision",
        "40%",
        "--on",
        "service_level",
        "--on",
        "mean_talk",
        "--processes",
        "1",
        "--json",
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert results["replications"] == 10
    assert results["stopped"]["is_met"] is True
    assert set(results["stopped"]["reached"]) == {"service_level", "mean_talk"}


def test_what_cannot_be_written_is_said_before_anything_starts(main: Main, day: Path, tmp_path: Path) -> None:
    done = main("simulate", day, "--report", tmp_path / "no" / "page.html", "--csv", tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot write {tmp_path}: it is a directory" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--precision", "none"], "--precision none: write a percentage, such as 5%"),
        (["--precision", "0"], "--precision 0: write a percentage"),
        (["--on", "mean_wait"], "--on is for --precision"),
        (
            ["--precision", "5%", "--on", "happiness"],
            "--on happiness: there is no such figure; there are service_level_a",
        ),
        (["--without", "share", "--replications", "2"], "--without, --journal and --svg are about one run"),
        (["--precision", "5%", "--max-replications", "9"], "--max-replications"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(
    main: Main, day: Path, arguments: list[str], words: str
) -> None:
    done = main("simulate", day, *arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
