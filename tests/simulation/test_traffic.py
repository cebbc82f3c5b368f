"""Callers of a scenario: drawn by day and portfolio, the same whatever the router makes of them."""

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core.model import Fallback, FallbackKind, Hours, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.simulation.scenario import Calls, Roster, Scenario
from router.simulation.traffic import DrawnCaller, Traffic, hour_marks_ms
from tests.core.builders import agent, organisation, portfolio, site, team

MONDAY = date(2017, 5, 8)
ROME = ZoneInfo("Europe/Rome")
FLAT = (1.0,) * 24
TEN = Organisation(
    organisation(
        sites=(site("laquila", "IT"),),
        teams=(team("a"),),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "a")),
        agents=tuple(agent(f"a{number}", "a") for number in range(10)),
    )
)


def calls(portfolio_id: str = "gold", **given: Any) -> Calls:
    plain = Calls(portfolio_id=PortfolioId(portfolio_id), a_day=1_000, by_hour=FLAT, talk_s=300, patience_s=60)
    return msgspec.structs.replace(plain, **given)


def scenario(*of: Calls, **given: Any) -> Scenario:
    roster = Roster(team_id=TeamId("a"), by_hour=(0,) * 8 + (4,) * 12 + (0,) * 4)
    plain = Scenario(starts=MONDAY, ends=date(2017, 5, 9), calls=of or (calls(),), rosters=(roster,))
    return msgspec.structs.replace(plain, **given)


def drawn(of: Scenario, day: date = MONDAY, by: Organisation = TEN) -> list[DrawnCaller]:
    return Traffic(of, by).callers_of_day(day)


def local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ROME)


def test_one_seed_one_day() -> None:
    assert drawn(scenario()) == drawn(scenario())
    assert drawn(scenario()) != drawn(scenario(seed=2))


def test_another_replication_has_callers_of_its_own() -> None:
    zero, one, two = (Traffic(scenario(), TEN, each).callers_of_day(MONDAY) for each in range(3))

    assert zero == drawn(scenario())
    assert one == Traffic(scenario(), TEN, 1).callers_of_day(MONDAY)
    assert not {each.arrived_ms for each in zero} & {each.arrived_ms for each in one}
    assert len({len(zero), len(one), len(two)}) > 1


def test_a_portfolio_of_more_calls_leaves_the_callers_of_another_as_they_were() -> None:
    few = drawn(scenario(calls("gold"), calls("iron")))
    many = drawn(scenario(calls("gold", a_day=2_000), calls("iron")))

    assert [each for each in few if each.portfolio_id == "iron"] == [
        each for each in many if each.portfolio_id == "iron"
    ]
    assert len(many) > len(few)


def test_the_nth_caller_is_as_patient_and_talks_as_long_whenever_calling() -> None:
    morning = drawn(scenario(calls(by_hour=(0.0,) * 8 + (1.0,) + (0.0,) * 15)))
    evening = drawn(scenario(calls(by_hour=(0.0,) * 20 + (1.0,) + (0.0,) * 3)))

    assert {local(each.arrived_ms).hour for each in morning} == {8}
    assert {local(each.arrived_ms).hour for each in evening} == {20}
    assert [each[3:] for each in morning] == [each[3:] for each in evening]


def test_counts_and_means_are_those_of_the_scenario() -> None:
    of = scenario(calls(a_day=20_000, navigation_s=30), asks_inside=0.25, misses=0.1)

    callers = drawn(of)

    count = len(callers)
    assert count == pytest.approx(20_000, rel=0.03)
    assert sum(each.talk_ms for each in callers) / count == pytest.approx(300_000, rel=0.05)
    assert sum(each.patience_ms or 0 for each in callers) / count == pytest.approx(60_000, rel=0.05)
    assert sum(each.navigation_ms or 0 for each in callers) / count == pytest.approx(30_000, rel=0.05)
    assert sum(each.asks_inside for each in callers) / count == pytest.approx(0.25, rel=0.1)
    # Each offer fails with this probability, so 0.1 / 0.9 offers fail before one is answered.
    assert sum(each.misses for each in callers) / count == pytest.approx(1 / 9, rel=0.1)


def test_weekdays_have_their_weights_and_a_week_its_mean() -> None:
    of = scenario(calls(by_weekday=(2, 1, 1, 1, 1, 1, 0)))

    counts = [len(drawn(of, date(2017, 5, day))) for day in range(8, 15)]

    assert counts[0] == pytest.approx(2_000, rel=0.1)
    assert counts[6] == 0
    assert sum(counts) == pytest.approx(7_000, rel=0.05)


def test_some_days_are_busier_than_others_by_their_variation() -> None:
    counts = [len(drawn(scenario(calls(day_variation=0.5)), date(2017, 5, day))) for day in range(1, 31)]

    assert min(counts) < 700
    assert max(counts) > 1_300


def test_nobody_calls_while_the_portfolio_is_closed() -> None:
    nine_to_five = Hours(days=tuple(Weekday), opens=time(9), closes=time(17))
    shut = portfolio(
        "gold", "a", hours=(nine_to_five,), closed_on=(date(2017, 5, 9),), fallback=Fallback(FallbackKind.MESSAGE)
    )
    closing = Organisation(msgspec.structs.replace(TEN.description, portfolios=(shut,)))

    monday, tuesday = (drawn(scenario(), day, closing) for day in (MONDAY, date(2017, 5, 9)))

    assert {local(each.arrived_ms).hour for each in monday} == set(range(9, 17))
    assert tuesday == []


@pytest.mark.parametrize(("day", "hours"), [(date(2017, 3, 26), 23), (date(2017, 10, 29), 25), (date(2017, 5, 8), 24)])
def test_days_of_summer_time_are_shorter_and_longer(day: date, hours: int) -> None:
    marks = hour_marks_ms(day, ROME)

    assert marks[-1] - marks[0] == hours * 3_600_000
    assert marks == sorted(marks)
    assert all(local(mark).date() == day for mark in marks[:-1])
