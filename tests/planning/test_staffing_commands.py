"""``router roster check`` and ``router staffing`` as a planner meets them."""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from router.cli import main
from router.core.events import CallArrived, Event, OrganisationChanged
from router.core.model import CallId, PortfolioId
from router.journal import Entry, SqliteJournal
from router.organisation_files import load_organisation
from router.wire import encode_record
from tests.core.test_hours import rome_ms
from tests.service.running import pseudonym

CONFIG = Path(__file__).parents[2] / "config"
LAQUILA = CONFIG / "laquila"
HEADER = "agent_id,day,starts,ends,activity\n"


class Done(NamedTuple):
    status: int
    out: str
    error: str

    @property
    def words(self) -> str:
        """What was shown, however wide the terminal is."""
        return " ".join(self.out.split())

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("ROUTER_PSEUDONYM__KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(tmp_path / "journal.db"))

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Done(int(stopped.value.code or 0), captured.out, captured.err)

    return run


# --- router roster check ---


def test_the_roster_of_laquila_is_sound(run: Run) -> None:
    done = run("roster", "check", LAQUILA, LAQUILA / "roster.csv", "--json")

    report = done.document
    assert done.status == 0
    assert report["sound"]
    assert report["problems"] == report["crowds"] == report["warnings"] == []
    assert (report["first_day"], report["last_day"], report["agents"]) == ("2027-06-07", "2027-06-12", 460)
    assert [(peak["site_id"], peak["people"] <= peak["seats"]) for peak in report["peaks"]] == [
        ("aquila", True),
        ("roma", True),
    ]


def test_roster_with_errors_exits_with_1_and_says_where_they_are(run: Run, tmp_path: Path) -> None:
    """One who works at L'Aquila on the day of its patron, an unknown agent, and 31 too many on 50 seats at Roma."""
    rows = [f"R{number:02},2027-06-09,08:00,14:00,work" for number in range(1, 61)]
    rows += [f"A{number:03},2027-06-09,08:00,14:00,work" for number in range(1, 252)]
    roster = tmp_path / "roster.csv"
    roster.write_text(HEADER + "\n".join([*rows, "A001,2027-06-10,08:00,14:00,work", "B001,2027-06-09,08:00,14:00,"]))

    done = run("roster", "check", LAQUILA, roster)
    report = run("roster", "check", LAQUILA, roster, "--json").document

    assert done.status == 1
    assert "aquila, 2027-06-09 08:00 +0200: 251 people on 250 seats; too many: A251" in done.words
    assert "site aquila is closed on 2027-06-10: agent A001 cannot work there" in done.words
    assert "there is no agent 'B001'" in done.words
    assert "it must not be published as it is" in done.words
    assert not report["sound"]
    assert len(report["problems"]) == 2
    assert len(report["crowds"]) == 2 * 24


def test_roster_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("roster", "check", LAQUILA, tmp_path / "none.csv")

    assert done.status == 1
    assert "none.csv: there is no such file" in done.words


def test_check_says_the_same_twice(run: Run) -> None:
    first, second = (run("roster", "check", LAQUILA, LAQUILA / "roster.csv").words for _ in range(2))

    assert first == second
    assert "no errors: it may be published" in first


# --- router staffing ---


def test_staffing_of_laquila_by_its_roster_finds_the_day_of_the_patron(run: Run) -> None:
    done = run("staffing", LAQUILA, "--load", LAQUILA / "load.csv", "--roster", LAQUILA / "roster.csv", "--json")

    hours = done.document["hours"]
    short = {hour["hour"][:10] for hour in hours if hour["missing"]}
    assert done.status == 0
    assert short == {"2027-06-10"}
    (worst,) = next(hour for hour in hours if hour["hour"].startswith("2027-06-10"))["bottlenecks"]
    assert worst["teams"] == ["roma-1", "roma-2", "roma-3"]
    assert worst["words"].endswith("who can take them can do 15.0")
    assert done.document["work_of_one_agent"] == 3_600_000_000


def test_staffing_shows_where_people_are_missing(run: Run) -> None:
    done = run("staffing", LAQUILA, "--load", LAQUILA / "load.csv", "--within", 0)

    assert done.status == 0
    assert "gold-18 calls, business-18 calls and premium-18 calls: " in done.words
    assert "the 18 agents of team aquila-18 who can take them can do 4.9; the other 442 cannot help" in done.words
    assert "without site roma: front-business, front-consumer" in done.words


def test_staffing_when_there_is_enough(run: Run) -> None:
    done = run("staffing", LAQUILA, "--load", LAQUILA / "load.csv", "--present", 60)

    assert "all work can be done in all 78 hours, if calls find the right agents" in done.words
    assert "First to be full, mon 09:00" in done.words


def test_staffing_says_the_same_twice(run: Run) -> None:
    arguments = ("staffing", LAQUILA, "--load", LAQUILA / "load.csv", "--json")

    assert run(*arguments) == run(*arguments)


def test_staffing_needs_to_know_how_much_work_there_is(run: Run) -> None:
    without = run("staffing", CONFIG / "small")
    both = run("staffing", CONFIG / "small", "--load", LAQUILA / "load.csv", "--from-journal")
    no_journal = run("staffing", CONFIG / "small", "--from-journal")

    assert (without.status, both.status, no_journal.status) == (1, 2, 1)
    assert "name a file with --load, use --from-journal, or give the clients minutes_a_month" in without.error
    assert "choose one" in both.error
    assert "there is no journal" in no_journal.error


def test_mistakes_in_a_roster_are_named_before_staffing_looks_at_it(run: Run, tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text(HEADER + "X1,2027-06-07,08:00,14:00,\n")

    done = run("staffing", LAQUILA, "--load", LAQUILA / "load.csv", "--roster", roster)

    assert done.status == 1
    assert "roster.csv, row 2, agent_id: there is no agent 'X1'" in done.error


def test_load_from_the_journal(run: Run, tmp_path: Path) -> None:
    """Twelve calls in two hours, of 300 s each as the team has it: nobody has answered yet."""
    described = load_organisation(CONFIG / "small" / "organisation.toml", pseudonym=pseudonym)
    portfolio_id = described.portfolios[0].portfolio_id
    start_ms = rome_ms("2027-06-07T10:00")
    events: list[tuple[int, Event]] = [(start_ms, OrganisationChanged(description=described))]
    for number in range(12):
        call = CallArrived(call_id=CallId(f"c{number}"), portfolio_id=PortfolioId(portfolio_id))
        events.append((start_ms + 600_000 * number + 600_000, call))
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        journal.claim("main")
        journal.append("main", [Entry(f"e{at_ms}", encode_record(at_ms, event)) for at_ms, event in events])
        journal.release("main")

    done = run("staffing", CONFIG / "small", "--from-journal", "--json")

    (hour,) = done.document["hours"]
    team = next(team for team in described.teams if team.team_id == described.portfolios[0].teams[0].team_id)
    assert done.status == 0, done.error
    assert hour["needed"] == 6 * team.handling_s * 1_000_000
    assert done.document["load"] == "the journal from 2027-06-07 to 2027-06-07"
