"""``router simulate`` as its users meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
