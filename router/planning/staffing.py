"""Staffing: whether those who are there can do the work that comes in, and if not, who is missing where.

The work of each kind of call may flow to the agents that such calls reach before they are handed on; an agent takes
so much and no more. The largest flow is what can be done at all, however cleverly calls are routed: it says that there
are too few, never that there are enough in every minute. Where it falls short, the smallest cut names the bottleneck:
some kinds of calls, and everybody who can take any of them.

Work is counted in whole numbers (see `loads`), and of all smallest cuts the one nearest to the calls is taken, of which
there is exactly one; so the answer is exact, and the same on every run.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import networkx as nx
from msgspec import Struct, structs
from networkx.algorithms.flow import preflow_push

from router.core.hours import OpeningHours
from router.core.model import AgentId, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.core.plans import make_plan
from router.core.state import Group
from router.planning.loads import AGENT_HOUR, Kind, Load, LoadPart, agents_in_words, kind_of
from router.planning.quarters import Quarters, quarter_in_words
from router.reports.graph import Absence, Staff, summarise_graph
from router.roster_files import Shift, local_ms

__all__ = [
    "OCCUPANCY_PERCENT", "PRESENT_PERCENT", "Bottleneck", "Hour", "KindNeed", "Network", "Staffing", "Thin", "apart",
    "shortest_cut", "staffing_of", "tightest",
]  # fmt: skip

PRESENT_PERCENT = 36
"""Of all agents at a moment of the opening hours: 1,396 net hours a year each, of 302 days with 13 opening hours."""
OCCUPANCY_PERCENT = 75
"""Of their time, what those present can spend on calls if somebody is to be free for the next one as a rule."""

_WEEKDAYS = tuple(Weekday)
_HOUR_MS = 3_600_000
_NAMES_MAX = 4


# --- What is answered ----------------------------------------------------------------------------------------------


class KindNeed(Struct, frozen=True, kw_only=True):
    """Calls of one kind and the work they bring."""

    kind: str
    portfolio_id: PortfolioId
    work: int
    """In an hour, in millionths of a second of an agent's time."""


class Bottleneck(Struct, frozen=True, kw_only=True):
    """Kinds of calls, and everybody who can take any of them."""

    kinds: tuple[KindNeed, ...]
    """Those with the most work first."""
    teams: tuple[TeamId, ...]
    agents: int
    """Who are there and can take any of these calls."""
    others: int
    """Who are there and can take none of them."""
    needed: int
    possible: int
    """The work that those agents can do; like all work in an hour, in millionths of a second of an agent's time."""

    @property
    def missing(self) -> int:
        return max(0, self.needed - self.possible)

    @property
    def words(self) -> str:
        """What is short, who can help and who cannot, in a sentence."""
        calls = _some([each.kind for each in self.kinds])
        verb = "agents' worth are needed"
        if not self.agents:
            return f"{calls}: {agents_in_words(self.needed)} {verb}, and nobody is there who can take them"
        who = "the one agent" if self.agents == 1 else f"the {self.agents:,} agents"
        teams = f"team{'s' if len(self.teams) > 1 else ''} {_some(self.teams)}"
        others = f"; the other {self.others:,} cannot help" if self.others else ""
        return (
            f"{calls}: {agents_in_words(self.needed)} {verb}, {who} of {teams} who can take them "
            f"can do {agents_in_words(self.possible)}{others}"
        )


class Hour(Struct, frozen=True, kw_only=True):
    """Work and people of one hour, or of any hour."""

    hour: str
    agents: int
    """Who are expected or, by a roster, there for at least a part of it."""
    needed: int
    possible: int
    """What all agents can do."""
    missing: int
    """Of the work, what nobody is there to do, however calls are routed."""
    bottlenecks: tuple[Bottleneck, ...]
    """Those with the most work missing first; none if all can be done."""
    tightest: Bottleneck | None
    """What all work growing alike would meet first, or has met; None: there is no work."""
    room_percent: int | None
    """How much of the present work could be done before `tightest` is full: 100 means that there is no room. Rounded
    down; None: there is no work."""


class Thin(Struct, frozen=True, kw_only=True):
    """A portfolio that is open while at most one agent is there who can take its calls."""

    portfolio_id: PortfolioId
    quarters_open: int
    quarters_nobody: int
    quarters_one: int
    first: str
    """The first of these quarters, local time."""


class Staffing(Struct, frozen=True, kw_only=True):
    """Whether the work can be done. Equal arguments give equal answers."""

    load: str
    people: str
    """Who is counted on, in words."""
    within_s: int | None
    """Only agents whom calls reach after so long a wait are counted; None: before calls are handed on."""
    hours: tuple[Hour, ...]
    """In order of time; a single one if all hours are alike."""
    thin: tuple[Thin, ...]
    """By a roster alone; those with the most quarters first."""
    single_points: tuple[Absence, ...]
    """Absences of one agent, team or site that leave a portfolio with nobody at all, whatever the roster."""

    @property
    def short(self) -> tuple[Hour, ...]:
        """Hours in which work is missing people, the worst first; of equal ones the earliest."""
        return tuple(sorted((hour for hour in self.hours if hour.missing), key=lambda hour: -hour.missing))


def _some(names: Sequence[str]) -> str:
    """The names in a sentence, the first few of many."""
    shown = list(names[:_NAMES_MAX])
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# --- Flow ----------------------------------------------------------------------------------------------------------

Key = Hashable


class Network(NamedTuple):
    """Work of kinds, and who can do it. Everything is a whole number of the same unit."""

    needs: Mapping[int, int]
    """By kind; more than 0."""
    capacities: Mapping[frozenset[int], int]
    """By the kinds that these people can take."""

    def possible_for(self, kinds: Iterable[int]) -> int:
        """What all those can do who can take any of *kinds*."""
        chosen = frozenset(kinds)
        return sum(capacity for able, capacity in self.capacities.items() if able & chosen)


def shortest_cut(network: Network, *, times: Fraction = Fraction(1)) -> frozenset[int]:
    """The kinds on the calls' side of the smallest cut that is nearest to them; empty if all work can be done.

    Args:
        network: Who can do what.
        times: All work is multiplied by this.
    """
    graph: nx.DiGraph[Key] = nx.DiGraph()
    for kind, work in network.needs.items():
        graph.add_edge("work", ("kind", kind), capacity=work * times.numerator)
    for able, capacity in network.capacities.items():
        graph.add_edge(("people", able), "done", capacity=capacity * times.denominator)
        for kind in able:
            if kind in network.needs:
                graph.add_edge(("kind", kind), ("people", able))
    if not times or not network.needs:
        return frozenset()
    if not network.capacities:
        return frozenset(network.needs)
    residual = preflow_push(graph, "work", "done")
    # Whatever can still be reached from the work: the same set for every largest flow.
    reached: set[Key] = {"work"}
    frontier: list[Key] = ["work"]
    while frontier:
        for neighbour, edge in residual[frontier.pop()].items():
            if neighbour not in reached and edge["flow"] < edge["capacity"]:
                reached.add(neighbour)
                frontier.append(neighbour)
    return frozenset(kind for kind in network.needs if ("kind", kind) in reached)


def tightest(network: Network) -> tuple[frozenset[int], Fraction]:
    """The kinds that all work growing alike would find full first, and how many times the work fits until then.

    The least of possible / needed over all sets of kinds, found by Dinkelbach's method (Management Science 13, 1967):
    each cut gives a smaller ratio, until no set is below it. There must be work.
    """
    kinds = frozenset(network.needs)
    while True:
        times = Fraction(network.possible_for(kinds), sum(network.needs[kind] for kind in kinds))
        tighter = shortest_cut(network, times=times)
        if not tighter:
            return kinds, times
        kinds = tighter


def apart(network: Network, kinds: Iterable[int]) -> list[frozenset[int]]:
    """*kinds* in parts that have nobody in common, each sorted by its least kind."""
    graph: nx.Graph[int] = nx.Graph()
    chosen = frozenset(kinds)
    graph.add_nodes_from(chosen)
    for able, capacity in network.capacities.items():
        common = sorted(able & chosen)
        if capacity and common:
            graph.add_edges_from((common[0], other) for other in common[1:])
    return sorted((frozenset(part) for part in nx.connected_components(graph)), key=min)


# --- The organisation as such a network ----------------------------------------------------------------------------


class _Reach:
    """Which kinds of calls each agent can be offered in time."""

    def __init__(self, organisation: Organisation, kinds: Sequence[Kind], within_s: int | None) -> None:
        self.kinds = kinds
        staff = Staff(organisation)
        self.agents_by_group = staff.agents_by_group
        groups_by_team: defaultdict[TeamId, list[Group]] = defaultdict(list)
        for group in staff.agents_by_group:
            groups_by_team[group.key.team_id].append(group)
        kinds_of: defaultdict[Group, set[int]] = defaultdict(set)
        for number, kind in enumerate(kinds):
            portfolio = organisation.portfolios[kind.portfolio_id]
            limits = [limit for limit in (within_s, portfolio.max_wait_s) if limit is not None]
            routes = organisation.routes[kind.portfolio_id]
            strategy = organisation.teams[portfolio.teams[0].team_id].strategy
            for ring in make_plan(portfolio, kind.requirement, routes, groups_by_team, strategy).rings:
                if all(ring.opens_ms <= limit * 1000 for limit in limits):
                    for member in ring.members:
                        kinds_of[member.group].add(number)
        self.able = {
            agent.agent_id: frozenset(kinds_of.get(group, ()))
            for group, agents in staff.agents_by_group.items()
            for agent in agents
        }
        self.team_of = {agent_id: agent.team_id for agent_id, agent in organisation.agents.items()}


def staffing_of(
    organisation: Organisation,
    load: Load,
    *,
    shifts: Sequence[Shift] | None = None,
    present_percent: int = PRESENT_PERCENT,
    occupancy_percent: int = OCCUPANCY_PERCENT,
    within_s: int | None = None,
) -> Staffing:
    """Set the work against the people, hour by hour.

    Args:
        organisation: Whose calls and agents.
        load: The work.
        shifts: Who is there when, from `rosters.read_roster`; the hours of their days are looked at, opening hours
            and holidays included. None: all agents for a part of their time, in an hour like any other, or in those
            of a week without holidays if the load has hours of its own.
        present_percent: Of all agents, those there at a moment; looked at only without *shifts*.
        occupancy_percent: Of the time of those there, what may be spent on calls.
        within_s: Count only agents whom a call reaches after so long a wait; None: before it is handed on.
    """
    for name, percent in (("present_percent", present_percent), ("occupancy_percent", occupancy_percent)):
        if not 1 <= percent <= 100:
            raise ValueError(f"{name} is {percent}; it must be from 1 to 100")
    reach = _Reach(organisation, load.kinds, within_s)
    solve = _Solver(reach)
    thin: tuple[Thin, ...] = ()
    if shifts is not None:
        hours, thin = _hours_of_roster(organisation, load, shifts, solve, occupancy_percent, within_s)
        people = f"by the roster, {occupancy_percent} % of their time on calls"
    else:
        work = AGENT_HOUR * present_percent * occupancy_percent // 10_000
        everybody = dict.fromkeys(sorted(organisation.agents), work)
        if load.has_times:
            hours = _hours_of_week(organisation, load, everybody, solve)
        else:
            needs = _needs(load, solve.number_of, dict.fromkeys(load.parts, 4))
            hours = [solve("any hour", needs, everybody)]
        people = f"all agents, {present_percent} % of them there, {occupancy_percent} % of their time on calls"
    return Staffing(
        load=load.source,
        people=people,
        within_s=within_s,
        hours=tuple(hours),
        thin=thin,
        single_points=tuple(each for each in summarise_graph(organisation).absences if each.unserved),
    )


def _needs(load: Load, number_of: Mapping[Kind, int], quarters_of: Mapping[LoadPart, int]) -> dict[int, int]:
    """The work of each kind in an hour, of which so many quarters count for a part."""
    needs: defaultdict[int, int] = defaultdict(int)
    for part in load.parts:
        needs[number_of[part.kind]] += part.work * quarters_of[part] // 4
    return {kind: work for kind, work in sorted(needs.items()) if work}


class _Solver:
    """Answers hours, equal ones once."""

    def __init__(self, reach: _Reach) -> None:
        self._reach = reach
        self._answers: dict[object, Hour] = {}
        self.number_of = {kind: number for number, kind in enumerate(reach.kinds)}

    def __call__(self, label: str, needs: Mapping[int, int], people: Mapping[AgentId, int]) -> Hour:
        """The hour called *label*, in which *people* can do so much each."""
        key = (tuple(needs.items()), tuple(people.items()))
        if key not in self._answers:
            self._answers[key] = self._solved(needs, people)
        return structs.replace(self._answers[key], hour=label)

    def _solved(self, needs: Mapping[int, int], people: Mapping[AgentId, int]) -> Hour:
        capacities: defaultdict[frozenset[int], int] = defaultdict(int)
        for agent_id, work in people.items():
            capacities[self._reach.able[agent_id].intersection(needs)] += work
        possible = sum(capacities.values())
        network = Network(needs, {able: work for able, work in capacities.items() if able})
        bottlenecks = [self._bottleneck(part, network, people) for part in apart(network, shortest_cut(network))]
        bottlenecks.sort(key=lambda each: (-each.missing, each.kinds[0].kind))
        first = None
        room: Fraction | None = None
        if needs:
            kinds, room = tightest(network)
            first = self._bottleneck(apart(network, kinds)[0], network, people)
        return Hour(
            hour="",
            agents=len(people),
            needed=sum(needs.values()),
            possible=possible,
            missing=sum(each.missing for each in bottlenecks),
            bottlenecks=tuple(bottlenecks),
            tightest=first,
            room_percent=None if room is None else int(room * 100),
        )

    def _bottleneck(self, chosen: frozenset[int], network: Network, people: Mapping[AgentId, int]) -> Bottleneck:
        able = [agent_id for agent_id in people if self._reach.able[agent_id] & chosen]
        kinds = [(self._reach.kinds[number], network.needs[number]) for number in chosen]
        kinds.sort(key=lambda entry: (-entry[1], entry[0].words))
        return Bottleneck(
            kinds=tuple(KindNeed(kind=k.words, portfolio_id=k.portfolio_id, work=work) for k, work in kinds),
            teams=tuple(sorted({self._reach.team_of[agent_id] for agent_id in able})),
            agents=len(able),
            others=len(people) - len(able),
            needed=sum(work for _, work in kinds),
            possible=network.possible_for(chosen),
        )


# --- Hours ---------------------------------------------------------------------------------------------------------

# Monday to Sunday, in a January when no clock is changed.
_A_WEEK = (date(2001, 1, 1), date(2001, 1, 7))


def _due(load: Load, organisation: Organisation, quarters: Quarters, *, closed_days: bool) -> dict[LoadPart, int]:
    """In which quarters each part of the load comes in."""
    masks: dict[object, int] = {}

    def known(key: object, make: Callable[[], int]) -> int:
        if key not in masks:
            masks[key] = make()
        return masks[key]

    due = {}
    for part in load.parts:
        portfolio = organisation.portfolios[part.kind.portfolio_id]
        if not closed_days:
            portfolio = structs.replace(portfolio, closed_on=())
        key = (portfolio.hours, portfolio.closed_on, portfolio.time_zone)
        mask = known(key, partial(quarters.open, OpeningHours(portfolio)))
        if part.span is not None:
            mask &= known((part.span, portfolio.time_zone), partial(_of_span, part, quarters, portfolio.time_zone))
        due[part] = mask
    return due


def _of_span(part: LoadPart, quarters: Quarters, time_zone: str) -> int:
    zone = ZoneInfo(time_zone)
    mask = 0
    for number in range(quarters.length):
        local = datetime.fromtimestamp(quarters.begin_ms(number) // 1000, zone)
        if part.is_due(_WEEKDAYS[local.weekday()], local.time()):
            mask |= 1 << number
    return mask


def _hours_of_week(
    organisation: Organisation, load: Load, everybody: Mapping[AgentId, int], solve: _Solver
) -> list[Hour]:
    quarters = Quarters.of_days(*_A_WEEK)
    due = _due(load, organisation, quarters, closed_days=False)
    zone = _zone(organisation)
    hours = []
    for at_ms in _hours_between(*_A_WEEK, zone):
        in_hour = quarters.within(at_ms, at_ms + _HOUR_MS)
        needs = _needs(load, solve.number_of, {part: (mask & in_hour).bit_count() for part, mask in due.items()})
        if needs:
            local = datetime.fromtimestamp(at_ms // 1000, zone)
            hours.append(solve(f"{_WEEKDAYS[local.weekday()]} {local:%H:%M}", needs, everybody))
    return hours


def _hours_of_roster(
    organisation: Organisation,
    load: Load,
    shifts: Sequence[Shift],
    solve: _Solver,
    occupancy_percent: int,
    within_s: int | None,
) -> tuple[list[Hour], tuple[Thin, ...]]:
    if not shifts:
        return [], ()
    first, last = min(shift.day for shift in shifts), max(shift.day for shift in shifts)
    quarters = Quarters.of_days(first, last)
    there: defaultdict[AgentId, int] = defaultdict(int)
    for shift in shifts:
        if shift.takes_calls:
            there[shift.agent.agent_id] |= quarters.within(shift.from_ms, shift.until_ms)
    due = _due(load, organisation, quarters, closed_days=True)
    zone = _zone(organisation)
    hours = []
    for at_ms in _hours_between(first, last, zone):
        in_hour = quarters.within(at_ms, at_ms + _HOUR_MS)
        needs = _needs(load, solve.number_of, {part: (mask & in_hour).bit_count() for part, mask in due.items()})
        if needs:
            spent = {agent_id: (there[agent_id] & in_hour).bit_count() for agent_id in sorted(there)}
            people = {
                agent_id: AGENT_HOUR // 4 * count * occupancy_percent // 100
                for agent_id, count in spent.items()
                if count
            }
            hours.append(solve(quarter_in_words(at_ms, zone), needs, people))
    return hours, _thin(organisation, there, quarters, first, last, within_s)


def _thin(
    organisation: Organisation,
    there: Mapping[AgentId, int],
    quarters: Quarters,
    first: date,
    last: date,
    within_s: int | None,
) -> tuple[Thin, ...]:
    """Portfolios of which, at times, nobody or a single agent is there."""
    portfolio_ids = sorted(organisation.portfolios)
    reach = _Reach(organisation, [kind_of(organisation, portfolio_id) for portfolio_id in portfolio_ids], within_s)
    one, more = [0] * len(portfolio_ids), [0] * len(portfolio_ids)
    for agent_id, mask in there.items():
        for number in reach.able[agent_id]:
            more[number] |= one[number] & mask
            one[number] |= mask
    found = []
    for number, portfolio_id in enumerate(portfolio_ids):
        zone = ZoneInfo(organisation.portfolios[portfolio_id].time_zone)
        is_open = quarters.open(organisation.hours[portfolio_id]) & quarters.days(first, last, zone)
        few = is_open & ~more[number]
        if few:
            found.append(
                Thin(
                    portfolio_id=portfolio_id,
                    quarters_open=is_open.bit_count(),
                    quarters_nobody=(is_open & ~one[number]).bit_count(),
                    quarters_one=(few & one[number]).bit_count(),
                    first=quarter_in_words(quarters.begin_ms((few & -few).bit_length() - 1), zone),
                )
            )
    return tuple(sorted(found, key=lambda each: (-each.quarters_nobody, -each.quarters_one, each.portfolio_id)))


def _zone(organisation: Organisation) -> ZoneInfo:
    """In which hours are counted and shown: that of the default portfolio."""
    return ZoneInfo(organisation.portfolios[organisation.default_portfolio].time_zone)


def _hours_between(first: date, last: date, zone: ZoneInfo) -> range:
    """When the hours of these days begin, both days included; a day may have 23 or 25."""
    return range(local_ms(first, time(), zone), local_ms(last + timedelta(days=1), time(), zone), _HOUR_MS)
