"""How many people were there for how much work: of a team, in hours of the day, from what was counted."""

from itertools import groupby
from math import exp
from typing import Final, NamedTuple

from msgspec import Struct

from router.core.model import Agent, PortfolioId, TeamId
from router.core.organisation import Organisation, satisfied_after_ms
from router.simulation.counts import DAY_HOURS, Counts, RunCounts, Scope

__all__ = ["Able", "Capacity", "ShortTeam", "Staffing", "Window", "agents_needed"]

_HOUR_MS: Final = 3_600_000
_AGENTS_MAX: Final = 10_000


def agents_needed(load: float, *, handling_s: float, within_s: float, share: float) -> int:
    """The fewest agents who alone answer *share* of the callers within *within_s*, by Erlang C.

    Poisson callers who never hang up, exponential handling times: P(wait <= t) = 1 - C(n, a) exp(-(n - a) t / h).

    Args:
        load: Work in erlangs, *a*.
        handling_s: Mean talk and wrap-up, *h*.
        within_s: The threshold, *t*.
        share: Between 0 and 1.
    """
    blocked = 1.0
    for agents in range(1, _AGENTS_MAX):
        blocked = load * blocked / (agents + load * blocked)
        if agents <= load:
            continue
        waits = agents * blocked / (agents - load * (1 - blocked))
        if 1 - waits * exp(-(agents - load) * within_s / handling_s) >= share:
            return agents
    return _AGENTS_MAX


class Window(NamedTuple):
    """Hours of the day in a row, the last excluded."""

    first: int
    until: int
    is_all_day: bool

    @property
    def hours(self) -> range:
        return range(self.first, self.until)

    def __str__(self) -> str:
        return f"from {self.first} to {self.until}"


class Staffing(NamedTuple):
    """Of a team in a window, in the mean of the days on which anybody called."""

    occupancy: float
    staffed: float
    """Agents."""
    load: float
    """Erlangs that its own portfolios' callers bring."""
    handling_s: float


class Able(NamedTuple):
    """Agents of the owner team who may be offered a call of the portfolio."""

    team: int
    """All of the team."""
    at_once: int
    within: int
    """After a wait of no more than the threshold."""


class ShortTeam(Struct, frozen=True, kw_only=True):
    """Hours in a row in which the callers of a team's own portfolios bring more work than its people can do."""

    team_id: str
    first_hour: int
    until_hour: int
    """Excluded."""
    staffed: float
    load: float
    occupancy: float


class Capacity:
    """What the counts of all replications together say of people and work."""

    def __init__(self, organisation: Organisation, together: RunCounts) -> None:
        self._organisation = organisation
        self._sum = together
        self.own: dict[TeamId, list[PortfolioId]] = {}
        """Portfolios that call, by their owner team."""
        for portfolio_id, portfolio in sorted(organisation.portfolios.items()):
            if portfolio_id in together.by_hour:
                self.own.setdefault(portfolio.teams[0].team_id, []).append(portfolio_id)

    def able(self, portfolio_id: PortfolioId, team_id: TeamId) -> Able:
        """How many of the owner team a call of the portfolio may reach, by its wait."""
        portfolio = self._organisation.portfolios[portfolio_id]
        way_ms = min(route.reach_ms for route in self._organisation.routes[portfolio_id] if route.team_id == team_id)
        agents = [agent for agent in self._organisation.agents.values() if agent.team_id == team_id]

        def opens_ms(agent: Agent) -> int | None:
            if portfolio.language is not None and portfolio.language not in agent.languages:
                return None
            relaxed = [satisfied_after_ms(need, agent.skills.get(need.skill, 0)) for need in portfolio.skills]
            if any(each is None for each in relaxed):
                return None
            return max((way_ms + 1000 * agent.after_s, *(each for each in relaxed if each is not None)))

        waits = [wait for agent in agents if (wait := opens_ms(agent)) is not None]
        return Able(
            team=len(agents),
            at_once=sum(wait == 0 for wait in waits),
            within=sum(wait <= 1000 * self._organisation.description.quality.within_s for wait in waits),
        )

    def staffing(self, team_id: TeamId, window: Window) -> Staffing | None:
        hours = self._sum.teams_by_hour.get(team_id)
        if hours is None:
            return None
        open_ms = self._open_ms(window)
        staffed_ms = sum(hours[hour].staffed_ms for hour in window.hours)
        if not staffed_ms or not open_ms:
            return None
        works = [self._work(portfolio_id, window) for portfolio_id in self.own.get(team_id, ())]
        occupancy = sum(hours[hour].busy_ms for hour in window.hours) / staffed_ms
        return self._staffing_of(occupancy, staffed_ms, open_ms, works)

    def _staffing_of(self, occupancy: float, staffed_ms: int, open_ms: int, works: list[tuple[int, float]]) -> Staffing:
        calls, work_ms = sum(calls for calls, _ in works), sum(work for _, work in works)
        return Staffing(
            occupancy=occupancy,
            staffed=staffed_ms / open_ms,
            load=work_ms / open_ms,
            handling_s=work_ms / max(1, calls) / 1000 or 1.0,
        )

    def _open_ms(self, window: Window) -> int:
        """The hours of the window on days on which anybody called then."""
        return sum(_HOUR_MS * self._sum.open_days[hour] for hour in window.hours)

    def _work(self, portfolio_id: PortfolioId, window: Window) -> tuple[int, float]:
        """Calls that came in the window, and the work that they would be if all were answered."""
        whole = self._sum.by_scope[Scope.PORTFOLIO].get(portfolio_id, Counts())
        of = whole if whole.answered else self._sum.total
        by_hour = self._sum.by_hour.get(portfolio_id)
        called = sum(by_hour[hour].arrived for hour in window.hours) if by_hour else 0
        return called, called * (of.busy_ms or of.talk_ms) / max(1, of.answered)

    def load_of(self, portfolio_id: PortfolioId, window: Window) -> float:
        """Erlangs of work that its callers bring."""
        return self._work(portfolio_id, window)[1] / max(1, self._open_ms(window))

    def occupancy(self, window: Window) -> float:
        hours = [each[hour] for each in self._sum.teams_by_hour.values() for hour in window.hours]
        return sum(each.busy_ms for each in hours) / max(1, sum(each.staffed_ms for each in hours))

    def of_all(self, window: Window) -> Staffing | None:
        """All teams and all callers."""
        open_ms = self._open_ms(window)
        staffed_ms = sum(each[hour].staffed_ms for each in self._sum.teams_by_hour.values() for hour in window.hours)
        if not open_ms or not staffed_ms:
            return None
        works = [
            self._work(portfolio_id, window) for portfolio_ids in self.own.values() for portfolio_id in portfolio_ids
        ]
        return self._staffing_of(self.occupancy(window), staffed_ms, open_ms, works)

    def short_teams(self) -> list[ShortTeam]:
        """Hours in a row in which a team is short of people, the shortest team first."""
        found = []
        for team_id in self.own:
            hours = [(hour, self.staffing(team_id, Window(hour, hour + 1, False))) for hour in range(DAY_HOURS)]
            runs = groupby(hours, key=lambda each: each[1] is not None and each[1].load > each[1].staffed)
            for is_short, run in runs:
                if is_short:
                    within = [hour for hour, _ in run]
                    found.append(self._short(team_id, Window(within[0], within[-1] + 1, False)))
        return sorted(
            found, key=lambda each: (-(each.load - each.staffed) * (each.until_hour - each.first_hour), each.team_id)
        )

    def _short(self, team_id: TeamId, window: Window) -> ShortTeam:
        staffing = self.staffing(team_id, window)
        assert staffing is not None, "it has people in each of these hours"
        return ShortTeam(
            team_id=team_id,
            first_hour=window.first,
            until_hour=window.until,
            staffed=staffing.staffed,
            load=staffing.load,
            occupancy=staffing.occupancy,
        )
