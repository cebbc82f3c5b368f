"""Counts what callers and agents live through: by the floor's own eyes, not by the router's books.

Each call has one cell, of its portfolio and the hour of its arrival, and each answer another, of where it was given.
All figures are sums of cells, made in the end (`counts.RunCounts`).
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Final

from router.core.members import AGENT_IN_CALL, AGENT_NOT_READY, AGENT_OFFERED, AGENT_SIGNED_OUT, AGENT_WRAP_UP
from router.core.model import AgentId, AgentStatus, OrganisationDescription, Ownership, PortfolioId, SiteId, TeamId
from router.core.organisation import Organisation
from router.simulation.counts import DAY_HOURS, NOT_QUEUED, WAIT_EDGES_S, Counts, RunCounts, Scope

__all__ = ["Person", "Tally"]

_AT_WORK: Final = tuple(status for status in AgentStatus if status is not AGENT_SIGNED_OUT)
_EDGES_MS: Final = tuple(edge * 1000 for edge in WAIT_EDGES_S)
_ALL: Final = "all"


class _Place:
    """Agents of one team at one site."""

    __slots__ = ("answers", "hours_ms", "key")

    def __init__(self, team_id: TeamId, site_id: SiteId) -> None:
        self.key = (team_id, site_id)
        self.begin()

    def begin(self) -> None:
        self.answers: defaultdict[tuple[str | None, int], Counts] = defaultdict(Counts)
        """By contract and hour."""
        self.hours_ms: list[dict[AgentStatus, int]] = [dict.fromkeys(_AT_WORK, 0) for _ in range(DAY_HOURS)]


class Person:
    """An agent as seen on the floor: what the agent does, and wants to do next."""

    __slots__ = (
        "agent_id", "busy_since_ms", "cells", "half_lease_ms", "leaves", "own_site_id", "pauses", "place", "since_ms",
        "site_id", "status", "takes_break", "team_id", "visit", "wrap_up_limit_ms",
    )  # fmt: skip

    def __init__(self, agent_id: AgentId, place: _Place, *, wrap_up_limit_ms: int, half_lease_ms: int) -> None:
        self.agent_id = agent_id
        self.team_id, self.own_site_id = place.key
        self.site_id = self.own_site_id
        """Where the agent sits now, or sat last."""
        self.place = place
        self.wrap_up_limit_ms = wrap_up_limit_ms
        self.half_lease_ms = half_lease_ms
        self.status = AGENT_SIGNED_OUT
        self.since_ms = 0
        self.busy_since_ms = 0
        self.cells: tuple[Counts, Counts] | None = None
        """Of the present call."""
        self.visit = 0
        """Counts comings and goings."""
        self.pauses = self.leaves = False
        """When the present call is done."""
        self.takes_break = False
        """The pause to come is a break that is not in the roster."""


class Tally:
    """Counts from the first day on. Time never goes back."""

    def __init__(
        self, description: OrganisationDescription, organisation: Organisation, portfolios: Iterable[PortfolioId]
    ) -> None:
        """*portfolios*: those that have callers."""
        self._contracts = [contract.contract_id for contract in description.contracts]
        self._soon_ms = description.quality.within_s * 1000
        self._short_ms = description.quality.short_abandon_s * 1000
        self._own_team = {each.portfolio_id: each.teams[0].team_id for each in description.portfolios}
        self._portfolios = list(portfolios)
        self._places: dict[tuple[TeamId, SiteId], _Place] = {}
        self.people: dict[AgentId, Person] = {}
        for agent_id, agent in organisation.agents.items():
            team = organisation.teams[agent.team_id]
            key = agent.team_id, agent.site_id or team.site_id
            place = self._places.setdefault(key, _Place(*key))
            self.people[agent_id] = Person(
                agent_id, place, wrap_up_limit_ms=team.wrap_up_s * 1000, half_lease_ms=team.presence_lease_s * 500
            )
        self.day = date.min
        """The present one."""
        self._marks_ms: list[int] = []
        self._hour = DAY_HOURS - 1
        self._until_ms = 0
        self._begin(0)

    # --- Time ---

    def _begin(self, now_ms: int) -> None:
        self._days = 0
        self._cells: dict[tuple[PortfolioId, int], Counts] = {}
        self._live: set[int] = set()
        """Of the cells that count: calls of the warm-up have others, for as long as they last."""
        self._waits: defaultdict[PortfolioId, list[int]] = defaultdict(lambda: [0] * (len(_EDGES_MS) + 1))
        self._late: dict[str, Counter[str]] = {}
        self._open: list[set[int]] = [set() for _ in range(DAY_HOURS)]
        """By hour: numbers of the days on which anybody called then."""
        for place in self._places.values():
            place.begin()
        for person in self.people.values():
            person.since_ms = now_ms

    def open_day(self, day: date, marks_ms: list[int], *, is_first: bool) -> None:
        """A day begins.

        Args:
            day: Which.
            marks_ms: The beginnings of its hours, and of the next day.
            is_first: Forget all days before.
        """
        self._turn(marks_ms[0])
        self._settle(marks_ms[0])
        if is_first:
            self._begin(marks_ms[0])
        self.day = day
        self._days += 1
        self._marks_ms = marks_ms
        self._hour = 0
        self._until_ms = marks_ms[1]

    def close(self, now_ms: int) -> None:
        """Agents' time counts no longer: what follows is for those still on the line."""
        if now_ms >= self._until_ms:
            self._turn(now_ms)
        self._settle(now_ms)
        self._until_ms = 1 << 62
        for person in self.people.values():
            person.since_ms = 1 << 62

    def _turn(self, now_ms: int) -> None:
        """Into the hour of *now_ms*."""
        while now_ms >= self._until_ms and self._hour < DAY_HOURS - 1:
            self._settle(self._until_ms)
            self._hour += 1
            self._until_ms = self._marks_ms[self._hour + 1]

    def _settle(self, now_ms: int) -> None:
        hour = self._hour
        for person in self.people.values():
            if person.status is not AGENT_SIGNED_OUT:
                person.place.hours_ms[hour][person.status] += max(0, now_ms - person.since_ms)
                person.since_ms = max(now_ms, person.since_ms)

    # --- Agents ---

    def becomes(self, person: Person, status: AgentStatus, now_ms: int) -> None:
        if now_ms >= self._until_ms:
            self._turn(now_ms)
        since_ms = person.since_ms
        if since_ms <= now_ms:
            if person.status is not AGENT_SIGNED_OUT:
                person.place.hours_ms[self._hour][person.status] += now_ms - since_ms
            person.since_ms = now_ms
        person.status = status

    def sits(self, person: Person, site_id: SiteId) -> None:
        """An agent who was not there comes to a site."""
        if person.site_id != site_id:
            key = person.team_id, site_id
            person.site_id = site_id
            person.place = self._places.setdefault(key, _Place(*key))

    def connected(self, person: Person, cell: Counts, contract_id: str | None, now_ms: int) -> tuple[Counts, Counts]:
        """A conversation begins; the cells of the call and of where it is answered."""
        self.becomes(person, AGENT_IN_CALL, now_ms)
        person.busy_since_ms = now_ms
        person.cells = cell, self._place_cell(person, cell, contract_id)
        return person.cells

    def hung_up(self, person: Person, now_ms: int) -> None:
        """A conversation is over."""
        for cell in person.cells or ():
            cell.talk_ms += now_ms - person.busy_since_ms

    def handled(self, person: Person, now_ms: int) -> None:
        """So is the work after it, if there was one."""
        if person.cells:
            for cell in person.cells:
                cell.busy_ms += now_ms - person.busy_since_ms
            person.cells = None

    # --- Calls ---

    def arrived(self, portfolio_id: PortfolioId, now_ms: int) -> Counts:
        """A call of a portfolio; its cell."""
        if now_ms >= self._until_ms:
            self._turn(now_ms)
        self._open[self._hour].add(self._days)
        key = portfolio_id, self._hour
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Counts()
            self._live.add(id(cell))
        cell.arrived += 1
        return cell

    def _place_cell(self, person: Person, cell: Counts, contract_id: str | None = None) -> Counts:
        """Of what happens at an agent now to a call of *cell*."""
        if id(cell) not in self._live:
            return Counts()
        return person.place.answers[contract_id, self._hour]

    def offered(self, person: Person, cell: Counts, now_ms: int) -> None:
        self.becomes(person, AGENT_OFFERED, now_ms)
        cell.offered += 1
        self._place_cell(person, cell).offered += 1

    def missed(self, person: Person, cell: Counts) -> None:
        cell.missed += 1
        self._place_cell(person, cell).missed += 1

    def declined(self, person: Person, cell: Counts) -> None:
        cell.declined += 1
        self._place_cell(person, cell).declined += 1

    def transferred(self, person: Person, cell: Counts) -> None:
        """By the agent, to another portfolio."""
        cell.transferred += 1
        self._place_cell(person, cell).transferred += 1

    def answered(
        self,
        portfolio_id: PortfolioId,
        person: Person,
        ownership: Ownership | None,
        cells: tuple[Counts, Counts],
        wait_ms: int,
        *,
        owner_on_shift: bool,
        waited_for: str | None,
    ) -> None:
        """On the line, for the first time."""
        is_soon = wait_ms <= self._soon_ms
        if not is_soon:
            self._is_late(portfolio_id, cells[0], waited_for)
        is_own = self._own_team[portfolio_id] == person.team_id
        owner = ownership.owner if ownership is not None else None
        for cell in cells:
            cell.answered += 1
            if ownership is not None and owner is not None:
                cell.owned += 1
                cell.by_owner += owner == person.agent_id
                cell.by_backup += person.agent_id in ownership.backups
                cell.on_shift += owner_on_shift
                cell.on_shift_by_owner += owner_on_shift and owner == person.agent_id
            cell.wait_ms += wait_ms
            cell.wait_all_ms += wait_ms
            cell.answered_soon += is_soon
            cell.by_own_team += is_own
        if id(cells[0]) in self._live:
            self._waits[portfolio_id][bisect_left(_EDGES_MS, wait_ms)] += 1

    def abandoned(self, portfolio_id: PortfolioId, cell: Counts, wait_ms: int, waited_for: str | None) -> None:
        self._is_late(portfolio_id, cell, waited_for)
        cell.abandoned += 1
        cell.wait_all_ms += wait_ms
        cell.abandoned_soon += wait_ms <= self._soon_ms
        cell.abandoned_short += wait_ms <= self._short_ms

    def _is_late(self, portfolio_id: PortfolioId, cell: Counts, waited_for: str | None) -> None:
        if id(cell) in self._live:
            for name in (portfolio_id, _ALL):
                self._late.setdefault(name, Counter())[waited_for or NOT_QUEUED] += 1

    # --- In the end ---

    def counts(self) -> RunCounts:
        """All that was counted."""
        counted = RunCounts(
            days=self._days,
            open_days=[len(days) for days in self._open],
            late={name: dict(sorted(rules.items())) for name, rules in sorted(self._late.items())},
        )
        scopes = {scope: defaultdict[str, Counts](Counts) for scope in Scope}
        total = scopes[Scope.ALL][_ALL]
        hours = counted.by_hour
        hours[_ALL] = _day()
        for portfolio_id in self._portfolios:
            hours[portfolio_id] = _day()
            counted.waits[portfolio_id] = [0] * (len(_EDGES_MS) + 1)
            scopes[Scope.PORTFOLIO][portfolio_id] = Counts()
        for contract_id in self._contracts:
            scopes[Scope.CONTRACT][contract_id] = Counts()
        for (portfolio_id, hour), cell in self._cells.items():
            scopes[Scope.PORTFOLIO][portfolio_id].add(cell)
            hours.setdefault(portfolio_id, _day())[hour].add(cell)
            for into in (total, hours[_ALL][hour]):
                _add_calls(into, cell)
        for portfolio_id, waits in self._waits.items():
            counted.waits[portfolio_id] = waits
        counted.waits[_ALL] = [sum(each) for each in zip(*counted.waits.values(), strict=True)]
        counted.states_ms = {status: [0] * DAY_HOURS for status in _AT_WORK}
        for place in self._places.values():
            team_id, site_id = place.key
            of_team = counted.teams_by_hour.setdefault(team_id, _day())
            rows = scopes[Scope.TEAM][team_id], scopes[Scope.SITE][site_id]
            for hour, spent_ms in enumerate(place.hours_ms):
                for into in (*rows, of_team[hour], hours[_ALL][hour], total):
                    _add_time(into, spent_ms)
                for status, time_ms in spent_ms.items():
                    counted.states_ms[status][hour] += time_ms
            for (contract, hour), cell in place.answers.items():
                for into in (*rows, of_team[hour]):
                    _add_calls(into, cell)
                if contract is not None:
                    scopes[Scope.CONTRACT][contract].add(cell)
        counted.by_scope = {scope: dict(rows) for scope, rows in scopes.items()}
        return counted


def _day() -> list[Counts]:
    return [Counts() for _ in range(DAY_HOURS)]


def _add_calls(into: Counts, cell: Counts) -> None:
    """All but the time of agents, which is counted by the clock where all of it is seen."""
    busy_ms = into.busy_ms
    into.add(cell)
    into.busy_ms = busy_ms


def _add_time(into: Counts, spent_ms: dict[AgentStatus, int]) -> None:
    signed_in_ms = sum(spent_ms.values())
    into.signed_in_ms += signed_in_ms
    into.staffed_ms += signed_in_ms - spent_ms[AGENT_NOT_READY]
    into.busy_ms += spent_ms[AGENT_IN_CALL] + spent_ms[AGENT_WRAP_UP]
