"""What scenarios take from recorded logs: arrivals of whole days, talk times, patience."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from router.core.model import PortfolioId
from router.core.organisation import Organisation
from router.simulation.recorded import with_logs
from router.simulation.scenario import Calls, Log, LogPart, Scenario, ScenarioError
from router.simulation.times import Times
from router.simulation.traffic import Traffic
from tests.core.builders import agent, organisation, portfolio, team

MAPPING = """\
name = "small"
country = "IT"
time_zone = "Europe/Rome"
time_format = "%Y-%m-%d %H:%M:%S"

[columns]
call_id = "id"
outcome = "what"
kind = "kind"
arrived = ["at"]
agent_id = "who"
wait_s = "wait"
service_s = "talk"

[outcomes]
answered = ["yes"]
abandoned = ["no"]
"""
# Monday 2 and Tuesday 3 March 2026, and Monday 9.
ROWS = """\
id,at,what,kind,who,wait,talk
1,2026-03-02 09:00:00,yes,fibre,ann,5,100
2,2026-03-02 17:30:10,yes,fibre,ann,15,300
3,2026-03-03 10:00:00,no,fibre,,40,
4,2026-03-03 10:00:30,yes,mobile,ann,5,50
5,2026-03-09 11:00:00,yes,fibre,ann,0,200
"""
GOLD = Organisation(organisation(teams=(team("a"),), portfolios=(portfolio("gold", "a"),), agents=(agent("a1", "a"),)))
MONDAY = date(2027, 6, 14)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    (tmp_path / "log.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")
    return Log(log_id="calls", file=tmp_path / "log.csv", mapping=tmp_path / "map.toml", where="s.toml, logs entry 1")


def scenario(log: Log, **given: Any) -> Scenario:
    fields = {"talk_s": 60.0, "days_of": LogPart(log="calls"), **given}
    calls = Calls(portfolio_id=PortfolioId("gold"), where="s.toml, calls entry 1", **fields)
    return Scenario(starts=MONDAY, ends=MONDAY + timedelta(days=7), calls=(calls,), rosters=(), logs=(log,))


def arrivals(of: Scenario, day: date, replication: int = 0) -> list[str]:
    callers = Traffic(of, GOLD, replication).callers_of_day(day)
    midnight_ms = 1_812_924_000_000 + (day - MONDAY).days * 86_400_000  # 00:00 in Rome
    return [str(timedelta(milliseconds=each.arrived_ms - midnight_ms)) for each in callers]


def test_a_day_is_one_of_the_recorded_days_of_the_same_weekday(log: Log) -> None:
    of = with_logs(scenario(log))
    mondays = {tuple(arrivals(of, MONDAY, replication)) for replication in range(20)}

    assert mondays == {("9:00:00", "17:30:10"), ("11:00:00",)}
    assert arrivals(of, MONDAY + timedelta(days=1)) == ["10:00:00", "10:00:30"]
    assert arrivals(of, MONDAY + timedelta(days=2)) == []


def test_a_day_without_a_call_of_the_kind_is_a_quiet_day(log: Log) -> None:
    of = with_logs(scenario(log, days_of=LogPart(log="calls", kinds=("mobile",))))

    assert arrivals(of, MONDAY) == []
    assert arrivals(of, MONDAY + timedelta(days=1)) == ["10:00:30"]


def test_talk_times_are_those_of_the_answered_calls(log: Log) -> None:
    of = with_logs(scenario(log, talk_s=Times(log="calls", kinds=("fibre",))))

    assert of.calls[0].talk_s == Times(seconds=(100.0, 300.0, 200.0))


def test_patience_takes_into_account_that_the_answered_would_have_waited_longer(log: Log) -> None:
    of = with_logs(scenario(log, patience_s=Times(log="calls")))

    (calls,) = of.calls
    assert isinstance(calls.patience_s, Times)
    # The one who hung up did so after 40 s, when all others had been answered.
    assert min(calls.patience_s.seconds) == 40.0


def test_a_log_that_nothing_is_taken_from_is_not_read(tmp_path: Path) -> None:
    nowhere = Log(log_id="calls", file=tmp_path / "none.csv", mapping=tmp_path / "none.toml")
    plain = scenario(nowhere, days_of=None, a_day=10.0, by_hour=(1.0,) * 24)

    assert with_logs(plain) == plain


def problems(of: Scenario) -> list[str]:
    with pytest.raises(ScenarioError) as raised:
        with_logs(of)
    return [str(each) for each in raised.value.problems]


def test_a_missing_log_is_one_clear_line(log: Log) -> None:
    log.file.unlink()

    assert problems(scenario(log)) == [f"s.toml, logs entry 1, {log.file}: No such file or directory"]


def test_a_log_without_such_calls_is_one_clear_line(log: Log) -> None:
    of = scenario(log, days_of=LogPart(log="calls", kinds=("fax",)), talk_s=Times(log="calls", kinds=("fibre", "fax")))

    assert problems(of) == ["s.toml, calls entry 1, days_of: log calls has no such calls of kind fax"]


def test_nobody_ever_hung_up_in_the_log(log: Log) -> None:
    of = scenario(log, patience_s=Times(log="calls", kinds=("mobile",)))

    assert problems(of) == ["s.toml, calls entry 1, patience_s: log calls has no such calls of kind mobile"]
