"""Staffing: whether those who are there can do the work, and the words for it when they cannot.

What the flow finds is compared with what counting all sets of kinds finds, which needs no flow: work is missing where a
set needs more than everybody who can take any of it can do (the theorem of Gale, 1957).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.errors import OrganisationError
from router.core.model import (
    AgentId,
    Hours,
    OrganisationDescription,
    Portfolio,
    PortfolioId,
    Relaxation,
    Skill,
    SkillNeed,
    TeamId,
)
from router.core.months import PlaceAnswers, PortfolioMonth
from router.core.organisation import Organisation
from router.planning.loads import (
    AGENT_HOUR,
    Load,
    LoadPart,
    agents_in_words,
    kind_of,
    load_of_clients,
    load_of_months,
    read_load,
)
from router.planning.staffing import Network, Staffing, apart, shortest_cut, staffing_of, tightest
from router.roster_files import Shift, read_roster
from tests.core.builders import agent, client, link, need, organisation, portfolio, team
from tests.core.test_hours import rome_ms
from tests.planning.test_rosters import DAYTIME, EVERY_DAY

# --- Flow against counting -----------------------------------------------------------------------------------------


def subsets(kinds: Iterable[int]) -> Iterator[frozenset[int]]:
    ordered = sorted(kinds)
    for size in range(1, len(ordered) + 1):
        yield from map(frozenset, combinations(ordered, size))


def missing(network: Network, kinds: frozenset[int]) -> int:
    able = sum(work for can, work in network.capacities.items() if can & kinds)
    return sum(network.needs[kind] for kind in kinds) - able


NETWORKS = st.integers(1, 5).flatmap(
    lambda count: st.builds(
        Network,
        st.dictionaries(st.integers(0, count - 1), st.integers(1, 40), min_size=1),
        st.dictionaries(st.frozensets(st.integers(0, count - 1), min_size=1), st.integers(0, 40), max_size=6),
    )
)


@settings(max_examples=300, deadline=None)
@given(NETWORKS)
def test_the_cut_is_the_least_of_the_worst_sets(network: Network) -> None:
    worst = max(missing(network, kinds) for kinds in subsets(network.needs))

    cut = shortest_cut(network)

    if worst <= 0:
        assert cut == frozenset()
    else:
        assert cut == frozenset.intersection(
            *(kinds for kinds in subsets(network.needs) if missing(network, kinds) == worst)
        )
        assert sum(missing(network, part) for part in apart(network, cut)) == worst
        assert all(missing(network, part) > 0 for part in apart(network, cut))


@settings(max_examples=300, deadline=None)
@given(NETWORKS)
def test_the_tightest_set_is_the_one_with_the_least_room(network: Network) -> None:
    rooms = {
        kinds: Fraction(network.possible_for(kinds), sum(network.needs[kind] for kind in kinds))
        for kinds in subsets(network.needs)
    }

    kinds, room = tightest(network)

    assert room == min(rooms.values()) == rooms[kinds]


# --- Small organisations against what their files say --------------------------------------------------------------

SKILLS = ("billing", "data")


@st.composite
def organisations(draw: st.DrawFn) -> tuple[OrganisationDescription, list[int]]:
    """Three teams that may help one another, three portfolios, six agents; and the calls an hour of each portfolio."""
    waits = st.sampled_from([10, 30, 200])
    others = {"a": "bc", "b": "ca", "c": "ab"}
    teams = [
        team(name, backups=tuple(link(to, draw(waits)) for to in others[name] if draw(st.booleans()))) for name in "abc"
    ]
    portfolios = []
    for name in ("p", "q", "r"):
        needs = [
            SkillNeed(
                Skill(skill),
                draw(st.integers(1, 3)),
                (Relaxation(draw(waits), draw(st.integers(0, 2))),) if draw(st.booleans()) else (),
            )
            for skill in SKILLS
            if draw(st.booleans())
        ]
        portfolios.append(
            portfolio(
                name, draw(st.sampled_from("abc")), skills=tuple(needs), max_wait_s=draw(st.sampled_from([60, 900]))
            )
        )
    agents = [
        agent(
            f"x{number}",
            draw(st.sampled_from("abc")),
            f"billing:{draw(st.integers(1, 3))} " + (f"data:{draw(st.integers(1, 3))}" if draw(st.booleans()) else ""),
            after_s=draw(st.sampled_from([0, 0, 45])),
        )
        for number in range(6)
    ]
    # Somebody who can do everything, so that no portfolio is without anybody and the organisation can be loaded.
    agents += [agent(f"all-{name}", name, "billing:3 data:3") for name in "abc"]
    calls = draw(st.lists(st.integers(0, 60), min_size=3, max_size=3))
    return organisation(teams, portfolios, agents), calls


def opens_s(described: OrganisationDescription, of: Portfolio, who: AgentId) -> float:
    """After how long a wait a call of the portfolio may be offered to the agent, told from the files alone."""
    person = next(each for each in described.agents if each.agent_id == who)
    ways = {link.team_id: float(link.after_s) for link in of.teams}
    for _ in described.teams:  # No way is longer than there are teams.
        for each in described.teams:
            for to in each.backups:
                way = ways.get(each.team_id, float("inf")) + to.after_s
                ways[to.team_id] = min(ways.get(to.team_id, float("inf")), way)
    skilled = 0.0
    for wanted in of.skills:
        level = person.skills.get(wanted.skill, 0)
        waits = [0.0] if level >= wanted.level else [float(r.after_s) for r in wanted.relax if level >= r.level]
        skilled = max(skilled, min(waits, default=float("inf")))
    return max(ways.get(person.team_id, float("inf")) + person.after_s, skilled)


@settings(max_examples=150, deadline=None)
@given(organisations(), st.sampled_from([None, 0, 30]))
def test_what_is_missing_is_what_counting_everybody_by_hand_finds(
    drawn: tuple[OrganisationDescription, list[int]], within_s: int | None
) -> None:
    described, calls = drawn
    organised = Organisation(described)
    work = {
        str(each.portfolio_id): count * 360 * 1_000_000 for each, count in zip(described.portfolios, calls, strict=True)
    }

    (hour,) = staffing_of(
        organised, load_of(organised, work), present_percent=50, occupancy_percent=80, within_s=within_s
    ).hours

    reaches = {
        each.portfolio_id: {
            who
            for who in organised.agents
            if opens_s(described, each, who) <= min(900 if within_s is None else within_s, each.max_wait_s or 900)
        }
        for each in described.portfolios
    }
    one = AGENT_HOUR * 40 // 100
    worst = 0
    for size in (1, 2, 3):
        for chosen in combinations(described.portfolios, size):
            able = set().union(*(reaches[each.portfolio_id] for each in chosen if work[each.portfolio_id]))
            needed = sum(work[each.portfolio_id] for each in chosen)
            worst = max(worst, needed - one * len(able))
    assert hour.missing == worst
    for bottleneck in hour.bottlenecks:
        able = set().union(*(reaches[kind.portfolio_id] for kind in bottleneck.kinds))
        assert (bottleneck.agents, bottleneck.others) == (len(able), 9 - len(able))
        assert bottleneck.teams == tuple(sorted({organised.agents[who].team_id for who in able}))


def load_of(organised: Organisation, work: dict[str, int]) -> Load:
    return Load(
        "a test", tuple(LoadPart(kind_of(organised, PortfolioId(name)), each, None) for name, each in work.items())
    )


# --- Words ---------------------------------------------------------------------------------------------------------


def floor(*, agents: Sequence[Any] | None = None, **options: Any) -> Organisation:
    """Gold at team north and after 30 s at south; billing there too, for those who know it. Ten agents each."""
    people = agents or [
        agent(f"{name[0]}{number}", name, "billing" if number < 3 else "data")
        for name in ("north", "south")
        for number in range(10)
    ]
    return Organisation(
        organisation(
            [team("north", backups=(link("south", 30),)), team("south")],
            [
                portfolio("gold", "north", **options),
                portfolio("billing", "north", skills=(need("billing"),), **options),
            ],
            people,
        )
    )


def read(tmp_path: Path, organised: Organisation, text: str) -> Load:
    file = tmp_path / "load.csv"
    file.write_text(text)
    return read_load(file, organised)


def staffed(tmp_path: Path, organised: Organisation, text: str, **options: Any) -> Staffing:
    return staffing_of(organised, read(tmp_path, organised, text), **options)


def test_bottleneck_in_words(tmp_path: Path) -> None:
    """Of 20 agents, 6 know billing: at 50 % there and 80 % of that on calls, they do 2.4 agents' worth."""
    answer = staffed(
        tmp_path,
        floor(),
        "portfolio_id,calls_per_hour,handling_s\ngold,30,240\nbilling,60,300\n",
        present_percent=50,
        occupancy_percent=80,
    )

    (hour,) = answer.hours
    (bottleneck,) = hour.bottlenecks
    assert bottleneck.words == (
        "billing calls: 5.0 agents' worth are needed, the 6 agents of teams north and south who can take them can do "
        "2.4; the other 14 cannot help"
    )
    assert (hour.needed, hour.possible, hour.missing) == (7 * AGENT_HOUR, 8 * AGENT_HOUR, 26 * AGENT_HOUR // 10)
    assert hour.room_percent == 48
    assert answer.short == (hour,)


def test_rings_that_open_too_late_do_not_help(tmp_path: Path) -> None:
    rows = "portfolio_id,calls_per_hour,handling_s\nbilling,15,240\n"

    at_once = staffed(tmp_path, floor(), rows, present_percent=50, occupancy_percent=50, within_s=29).hours[0]
    later = staffed(tmp_path, floor(), rows, present_percent=50, occupancy_percent=50, within_s=30).hours[0]
    handed_on = staffed(tmp_path, floor(max_wait_s=20), rows, present_percent=50, occupancy_percent=50).hours[0]

    assert at_once.missing == handed_on.missing == AGENT_HOUR // 4
    assert [each.teams for each in at_once.bottlenecks] == [("north",)]
    assert later.missing == 0


def test_when_all_can_be_done_the_first_to_be_full_is_named(tmp_path: Path) -> None:
    (hour,) = staffed(
        tmp_path, floor(), "portfolio_id,calls_per_hour,handling_s\ngold,15,240\nbilling,15,240\n",
        present_percent=50, occupancy_percent=50,
    ).hours  # fmt: skip

    assert hour.bottlenecks == ()
    assert hour.tightest is not None
    assert [kind.kind for kind in hour.tightest.kinds] == ["billing calls"]
    assert hour.room_percent == 150


def test_exactly_enough_is_enough(tmp_path: Path) -> None:
    """Six agents, a quarter of each: 1.5 agents' worth, and one call of a second more."""
    enough = "portfolio_id,calls_per_hour,handling_s\nbilling,1.5,3600\n"

    options = {"present_percent": 50, "occupancy_percent": 50}
    full = staffed(tmp_path, floor(), enough, **options).hours[0]
    over = staffed(tmp_path, floor(), enough + "billing,1,1\n", **options).hours[0]

    assert (full.missing, full.room_percent) == (0, 100)
    assert (over.missing, over.room_percent) == (1_000_000, 99)


def test_kinds_with_needs_of_their_own(tmp_path: Path) -> None:
    (hour,) = staffed(
        tmp_path, floor(), "portfolio_id,calls_per_hour,handling_s,skills\ngold,90,240,billing\ngold,30,240,\n",
        present_percent=50, occupancy_percent=50,
    ).hours  # fmt: skip

    (bottleneck,) = hour.bottlenecks
    assert bottleneck.words == (
        "gold calls with billing: 6.0 agents' worth are needed, the 6 agents of teams north and south who can "
        "take them can do 1.5; the other 14 cannot help"
    )


def test_two_shortages_that_have_nobody_in_common_are_told_apart(tmp_path: Path) -> None:
    organised = Organisation(
        organisation(
            [team("north"), team("south"), team("west")],
            [portfolio("gold", "north"), portfolio("blue", "south"), portfolio("red", "west")],
            [agent("n", "north"), agent("s", "south"), *(agent(f"w{number}", "west") for number in range(4))],
        )
    )

    (hour,) = staffed(
        tmp_path, organised, "portfolio_id,calls_per_hour,handling_s\ngold,12,300\nblue,24,300\nred,1,300\n",
        present_percent=100, occupancy_percent=50,
    ).hours  # fmt: skip

    assert [each.words for each in hour.bottlenecks] == [
        "blue calls: 2.0 agents' worth are needed, the one agent of team south who can take them can do 0.50; the "
        "other 5 cannot help",
        "gold calls: 1.0 agents' worth are needed, the one agent of team north who can take them can do 0.50; the "
        "other 5 cannot help",
    ]
    without_work = staffed(tmp_path, organised, "portfolio_id,calls_per_hour\n")
    assert [absence.id for absence in without_work.single_points][:2] == ["n", "s"]
    assert (without_work.hours[0].needed, without_work.hours[0].tightest) == (0, None)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (0, "0.00"),
        (AGENT_HOUR // 8, "0.13"),
        (AGENT_HOUR - 1, "1.00"),
        (AGENT_HOUR, "1.0"),
        (AGENT_HOUR * 142 // 10, "14.2"),
        (AGENT_HOUR * 12_345, "12,345.0"),
    ],
)
def test_agents_in_words(work: int, words: str) -> None:
    assert agents_in_words(work) == words


# --- By a roster ---------------------------------------------------------------------------------------------------


def shifts_of(tmp_path: Path, organised: Organisation, rows: str) -> tuple[Shift, ...]:
    (tmp_path / "roster.csv").write_text("agent_id,day,starts,ends,activity\n" + rows)
    roster = read_roster(tmp_path / "roster.csv", organised)
    assert roster.problems == ()
    return roster.shifts


def test_hours_of_a_roster(tmp_path: Path) -> None:
    """Open from 08:00 to 18:00. One who knows billing is there from 08:00 to 10:30, another is trained meanwhile."""
    organised = floor(hours=(DAYTIME,))
    shifts = shifts_of(
        tmp_path,
        organised,
        "n0,2027-06-07,08:00,10:30,work\nn1,2027-06-07,08:00,12:00,training\nn5,2027-06-07,08:00,18:00,home\n",
    )

    answer = staffed(
        tmp_path,
        organised,
        "portfolio_id,calls_per_hour,handling_s\nbilling,6,300\n",
        shifts=shifts,
        occupancy_percent=100,
    )

    assert [hour.hour[11:16] for hour in answer.hours] == [f"{number:02}:00" for number in range(8, 18)]
    assert [hour.missing for hour in answer.hours] == [0, 0, 0, *[AGENT_HOUR // 2] * 7]
    assert [hour.agents for hour in answer.hours[:4]] == [2, 2, 2, 1]
    assert answer.hours[2].room_percent == 100
    assert answer.hours[3].bottlenecks[0].words == (
        "billing calls: 0.50 agents' worth are needed, and nobody is there who can take them"
    )
    assert [(thin.portfolio_id, thin.quarters_nobody, thin.quarters_one) for thin in answer.thin] == [
        ("billing", 30, 10),
        ("gold", 0, 30),
    ]
    assert answer.thin[0].first == "2027-06-07 08:00 +0200"


def test_hour_without_anybody(tmp_path: Path) -> None:
    organised = floor(hours=(DAYTIME,))
    shifts = shifts_of(tmp_path, organised, "n0,2027-06-07,08:00,09:00,work\n")

    answer = staffed(tmp_path, organised, "portfolio_id,calls_per_hour,handling_s\ngold,12,300\n", shifts=shifts)

    assert (answer.hours[1].missing, answer.hours[1].room_percent) == (AGENT_HOUR, 0)


def test_no_work_comes_in_on_a_holiday(tmp_path: Path) -> None:
    organised = floor(hours=(DAYTIME,), closed_on=(date(2027, 6, 8),))
    shifts = shifts_of(tmp_path, organised, "n0,2027-06-07,08:00,18:00,work\nn0,2027-06-09,08:00,18:00,work\n")

    answer = staffed(tmp_path, organised, "portfolio_id,calls_per_hour\ngold,3\n", shifts=shifts)

    assert {hour.hour[:10] for hour in answer.hours} == {"2027-06-07", "2027-06-09"}


@pytest.mark.parametrize(("day", "hours"), [("2027-03-28", 23), ("2027-10-31", 25), ("2027-06-07", 24)])
def test_day_has_as_many_hours_as_it_has(tmp_path: Path, day: str, hours: int) -> None:
    organised = floor()

    answer = staffed(
        tmp_path, organised, "portfolio_id,calls_per_hour\ngold,3\n",
        shifts=shifts_of(tmp_path, organised, f"n0,{day},08:00,18:00,work\n"),
    )  # fmt: skip

    assert len({hour.hour for hour in answer.hours}) == len(answer.hours) == hours


LONG_AGO = tuple(date(2001, 1, day) for day in range(1, 8))
"""Holidays have nothing to do with an ordinary week, not even those of the week that stands for it."""

# --- Loads ---------------------------------------------------------------------------------------------------------


def test_load_with_hours_of_its_own_is_looked_at_through_a_week(tmp_path: Path) -> None:
    organised = floor(hours=(DAYTIME,), closed_on=LONG_AGO)

    answer = staffed(
        tmp_path,
        organised,
        "portfolio_id,calls_per_hour,handling_s,days,starts,ends\ngold,10,360,,,\ngold,100,360,mon,09:00,10:30\n",
        present_percent=50,
        occupancy_percent=50,
    )

    needed = {hour.hour: hour.needed for hour in answer.hours}
    assert len(needed) == 50
    assert needed["mon 08:00"] == needed["tue 09:00"] == AGENT_HOUR
    assert needed["mon 09:00"] == 11 * AGENT_HOUR
    assert needed["mon 10:00"] == 6 * AGENT_HOUR
    assert [hour.hour for hour in answer.short] == ["mon 09:00", "mon 10:00"]


def test_handling_time_is_that_of_the_owner_team_unless_told(tmp_path: Path) -> None:
    organised = floor()

    load = read(tmp_path, organised, "portfolio_id,calls_per_hour\ngold,12.5\n")

    assert [part.work for part in load.parts] == [12_500 * organised.teams[TeamId("north")].handling_s * 1_000]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("golf,3,,,,", "row 2, portfolio_id: there is no portfolio 'golf': did you mean gold?"),
        ("gold,many,,,,", "row 2, calls_per_hour: 'many' is not a number such as 12.5"),
        ("gold,-1,,,,", "row 2, calls_per_hour: must be a number from 0 to 1000000"),
        ("gold,NaN,,,,", "row 2, calls_per_hour: must be a number from 0 to 1000000"),
        ("gold,1e9,,,,", "row 2, calls_per_hour: must be a number from 0 to 1000000"),
        ("gold,3,0,,,", "row 2, handling_s: '0' is not a whole number from 1 to 14400"),
        ("gold,3,,biling,,", "row 2, skills: there is no skill 'biling': did you mean billing?"),
        ("gold,3,,,10:00,09:00", "row 2, ends: is 09:00, not after 10:00: write two rows"),
    ],
)
def test_mistaken_loads_are_named(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(OrganisationError) as raised:
        read(tmp_path, floor(), f"portfolio_id,calls_per_hour,handling_s,skills,starts,ends\n{row}\n")

    assert [str(each) for each in raised.value.problems] == [f"load.csv, {problem}"]


def test_percentages_have_bounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="present_percent is 0; it must be from 1 to 100"):
        staffed(tmp_path, floor(), "portfolio_id,calls_per_hour\ngold,3\n", present_percent=0)


def test_load_of_clients_is_spread_over_the_opening_hours() -> None:
    """Open 50 hours a week, that is 50 * 365 / 84 a month: 730 minutes are 3.36 in each of them."""
    described = organisation(
        [team("north")],
        [portfolio("gold", "north", hours=(DAYTIME,), closed_on=LONG_AGO), portfolio("night", "north")],
        [agent("ana", "north")],
        [
            client("K1", "gold", minutes_a_month=700),
            client("K2", None, minutes_a_month=30),
            client("K3", "night"),
            client("K4", "gold"),
        ],
    )

    load = load_of_clients(Organisation(described))

    assert load is not None
    assert [(part.kind.portfolio_id, part.work) for part in load.parts] == [("gold", 336 * 60 * 1_000_000 // 100)]
    assert load_of_clients(floor()) is None


def test_load_of_the_journal() -> None:
    """Two hours open; 12 calls came, of which 8 were answered with 240 s each; 30 s of wrap-up follow."""
    described = organisation(
        [team("north", wrap_up_s=30, handling_s=300)],
        [
            portfolio(
                "gold",
                "north",
                hours=(Hours(days=EVERY_DAY, opens=DAYTIME.opens, closes=DAYTIME.opens.replace(hour=10)),),
            ),
            portfolio("new", "north"),
        ],
        [agent("ana", "north")],
    )
    north = ("north", "laquila", "own", "IT")
    months = [
        month("2027-05", "gold", 8, (*north, 4, 4, 0, 1, 1, 1_440_000)),
        month("2027-06", "gold", 4, (*north, 2, 2, 0, 0, 0, 480_000)),
        month("2027-06", "new", 2),
        month("2027-06", "gone", 9),
    ]
    load = load_of_months(
        Organisation(described), months, first_ms=rome_ms("2027-06-07T00:00"), last_ms=rome_ms("2027-06-08T00:00")
    )

    assert load is not None
    assert {part.kind.portfolio_id: part.work for part in load.parts} == {
        "gold": 6 * 270 * 1_000_000,
        "new": 2 * 300 * 1_000_000 // 24,
    }
    assert load.source == "the journal from 2027-06-06 to 2027-06-07"


def month(name: str, portfolio_id: str, arrived: int, *answers: tuple[Any, ...]) -> PortfolioMonth:
    return PortfolioMonth(name, PortfolioId(portfolio_id), arrived, (), tuple(PlaceAnswers(*each) for each in answers))
