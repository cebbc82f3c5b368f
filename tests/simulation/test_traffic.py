"""Callers and shifts of a scenario: drawn by day and portfolio, the same whatever the router makes of them."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core.events import AgentReady, AgentSignedIn, AgentSignedOut
from router.core.model import Fallback, FallbackKind, Hours, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.simulation.scenario import Calls, Roster, Scenario
from router.simulation.traffic import DrawnCaller, Shifts, callers_of_day, hour_marks_ms
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
    return callers_of_day(of, by.hours, day)


def local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ROME)


def test_one_seed_one_day() -> None:
    assert drawn(scenario()) == drawn(scenario())
    assert drawn(scenario()) != drawn(scenario(seed=2))


def test_another_replication_has_callers_of_its_own() -> None:
    zero, one, two = (callers_of_day(scenario(), TEN.hours, MONDAY, each) for each in range(3))

    assert zero == drawn(scenario())
    assert one == callers_of_day(scenario(), TEN.hours, MONDAY, 1)
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


# --- Shifts ---


def there_by_hour(shifts: Shifts, day: date) -> list[set[str]]:
    """Who is signed in in the middle of each hour; everybody comes and goes in order."""
    there: set[str] = set()
    events = shifts.events_of_day(day)
    by_hour = []
    for mark in hour_marks_ms(day, ROME)[:24]:
        for at_ms, event in events:
            if at_ms != mark:
                continue
            if isinstance(event, AgentSignedIn):
                assert event.agent_id not in there
                there.add(event.agent_id)
            elif isinstance(event, AgentSignedOut):
                there.remove(event.agent_id)
            else:
                assert isinstance(event, AgentReady)
                assert event.agent_id in there
        by_hour.append(set(there))
    return by_hour


def test_as_many_are_there_as_the_roster_says() -> None:
    by_hour = (0,) * 8 + (2, 5, 9, 9, 4, 4, 6, 6, 3, 1) + (0,) * 6
    of = scenario(rosters=(Roster(team_id=TeamId("a"), by_hour=by_hour),))

    there = there_by_hour(Shifts(of, TEN), MONDAY)

    assert tuple(map(len, there)) == by_hour


def test_whoever_was_there_for_eight_hours_is_relieved_if_somebody_is_fresh() -> None:
    there = there_by_hour(Shifts(scenario(), TEN), MONDAY)

    assert all(len(each) == 4 for each in there[8:20])
    assert there[8] == there[15]
    assert not there[8] & there[16]


def test_shifts_go_round_the_team() -> None:
    shifts = Shifts(scenario(), TEN)

    monday, tuesday = there_by_hour(shifts, MONDAY), there_by_hour(shifts, date(2017, 5, 9))

    assert set().union(*monday) | set().union(*tuesday) == {f"a{number}" for number in range(10)}


def test_nobody_comes_to_a_site_that_is_closed_or_on_a_day_without_a_roster() -> None:
    closed = msgspec.structs.replace(TEN.description, sites=(site("laquila", "IT", closed_on=(MONDAY,)),))
    weekdays = Roster(team_id=TeamId("a"), by_hour=(1,) * 24, days=(Weekday.TUE,))

    assert Shifts(scenario(), Organisation(closed)).events_of_day(MONDAY) == []
    assert Shifts(scenario(rosters=(weekdays,)), TEN).events_of_day(MONDAY) == []


def test_a_roster_holds_while_it_is_valid() -> None:
    few = Roster(team_id=TeamId("a"), by_hour=(1,) * 24, valid_until=date(2017, 5, 9))
    many = Roster(team_id=TeamId("a"), by_hour=(3,) * 24, valid_from=date(2017, 5, 9))
    shifts = Shifts(scenario(rosters=(few, many)), TEN)

    assert len(there_by_hour(shifts, MONDAY)[12]) == 1
    signed_in = [event for _, event in shifts.events_of_day(date(2017, 5, 9)) if isinstance(event, AgentSignedIn)]
    assert len({event.agent_id for event in signed_in}) >= 3


def test_whoever_is_there_at_midnight_stays() -> None:
    of = scenario(rosters=(Roster(team_id=TeamId("a"), by_hour=(1,) * 24),))
    shifts = Shifts(of, TEN)

    shifts.events_of_day(MONDAY)
    events = shifts.events_of_day(date(2017, 5, 9))

    first_ms = datetime(2017, 5, 9, tzinfo=ROME).astimezone(UTC).timestamp() * 1000
    assert all(at_ms >= first_ms for at_ms, _ in events)
    # From 00:00, 08:00 and 16:00 on: the day before one was relieved at 16:00, who stays until 00:00.
    assert [type(event) for _, event in events] == 3 * [AgentSignedOut, AgentSignedIn, AgentReady]
