"""Who comes and goes: as many as the rosters say, in turn; or each as a roster file says."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core.events import AgentReady, AgentSignedIn, AgentSignedOut
from router.core.model import AgentId, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.roster_files import Activity, ShiftRow
from router.simulation.scenario import Calls, Presence, Roster, Scenario
from router.simulation.shifts import Shifts
from router.simulation.traffic import hour_marks_ms
from tests.core.builders import agent, organisation, portfolio, site, team

MONDAY = date(2017, 5, 8)
ROME = ZoneInfo("Europe/Rome")
TEN = Organisation(
    organisation(
        sites=(site("laquila", "IT"),),
        teams=(team("a"),),
        portfolios=(portfolio("gold", "a"),),
        agents=tuple(agent(f"a{number}", "a") for number in range(10)),
    )
)


def scenario(**given: Any) -> Scenario:
    roster = Roster(team_id=TeamId("a"), by_hour=(0,) * 8 + (4,) * 12 + (0,) * 4)
    calls = Calls(portfolio_id=PortfolioId("gold"), a_day=1_000, by_hour=(1.0,) * 24, talk_s=300, patience_s=60)
    plain = Scenario(starts=MONDAY, ends=date(2017, 5, 9), calls=(calls,), rosters=(roster,))
    return msgspec.structs.replace(plain, **given)


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


# --- A roster file ---


def shift(agent_id: str, starts: str, ends: str, activity: str = "work", day: date = MONDAY) -> ShiftRow:
    begins, finishes = time.fromisoformat(starts), time.fromisoformat(ends)
    return ShiftRow(
        agent_id=AgentId(agent_id), day=day, starts=begins, ends=finishes, activity=Activity(activity), where="roster"
    )


def told(of: Scenario, by: Organisation = TEN, day: date = MONDAY) -> list[str]:
    """What agents do, such as ``08:00 a1 AgentReady``."""
    return [
        f"{datetime.fromtimestamp(at_ms / 1000, ROME):%H:%M} {event.agent_id} {type(event).__name__}"
        for at_ms, event in Shifts(of, by).events_of_day(day)
    ]


def test_each_comes_and_goes_as_the_roster_file_says() -> None:
    of = scenario(rosters=(), shifts=(shift("a1", "08:00", "14:30"), shift("a2", "14:30", "21:00")))

    assert told(of) == [
        "08:00 a1 AgentSignedIn",
        "08:00 a1 AgentReady",
        # Whoever goes, goes first: the other may need the seat.
        "14:30 a1 AgentSignedOut",
        "14:30 a2 AgentSignedIn",
        "14:30 a2 AgentReady",
        "21:00 a2 AgentSignedOut",
    ]
    assert told(of, day=date(2017, 5, 9)) == []


def test_whoever_takes_a_break_stays_and_whoever_is_trained_does_not() -> None:
    day = (
        shift("a1", "08:00", "10:00"), shift("a1", "10:00", "10:15", "break"), shift("a1", "10:15", "12:00"),
        shift("a1", "12:00", "13:00", "training"), shift("a1", "13:00", "14:00", "home"),
    )  # fmt: skip

    assert told(scenario(rosters=(), shifts=day)) == [
        "08:00 a1 AgentSignedIn",
        "08:00 a1 AgentReady",
        "10:00 a1 AgentNotReady",
        "10:15 a1 AgentReady",
        "12:00 a1 AgentSignedOut",
        "13:00 a1 AgentSignedIn",
        "13:00 a1 AgentReady",
        "14:00 a1 AgentSignedOut",
    ]
    sign_ins = [event for _, event in Shifts(scenario(rosters=(), shifts=day), TEN).events_of_day(MONDAY)]
    assert [each.country for each in sign_ins if isinstance(each, AgentSignedIn)] == [None, "IT"]


# --- Absence and lateness ---

MANY = Organisation(
    msgspec.structs.replace(TEN.description, agents=tuple(agent(f"a{number:03}", "a") for number in range(500)))
)


def signed_in(of: Scenario, replication: int = 0) -> dict[str, str]:
    return {
        event.agent_id: f"{datetime.fromtimestamp(at_ms / 1000, ROME):%H:%M:%S}"
        for at_ms, event in Shifts(of, MANY, replication).events_of_day(MONDAY)
        if isinstance(event, AgentSignedIn)
    }


@pytest.mark.parametrize("source", ["file", "rota"])
def test_some_stay_away_and_some_are_late(source: str) -> None:
    presence = Presence(absence=0.1, late=0.2, late_s=300)
    rota = (Roster(team_id=TeamId("a"), by_hour=(0,) * 8 + (500,) * 6 + (0,) * 10),)
    file = tuple(shift(f"a{number:03}", "08:00", "14:00") for number in range(500))
    of = scenario(presence=presence, **({"rosters": rota} if source == "rota" else {"rosters": (), "shifts": file}))

    came = signed_in(of)

    assert len(came) == pytest.approx(450, rel=0.05)
    assert sum(at > "08:00:00" for at in came.values()) == pytest.approx(90, rel=0.25)
    assert max(came.values()) <= "08:30:00"
    assert signed_in(of) == came
    assert signed_in(of, 1) != came
    gone = {event.agent_id for _, event in Shifts(of, MANY).events_of_day(MONDAY) if isinstance(event, AgentSignedOut)}
    assert gone == came.keys()
