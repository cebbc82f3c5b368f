"""Who may take a client over: the same group first, then the teams that its portfolio reaches, nearest first."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from itertools import groupby
from typing import NamedTuple

from router.core.model import Agent, AgentId, Client, Portfolio, PortfolioId, TeamId
from router.core.organisation import Organisation, satisfied_after_ms

__all__ = ["Candidates", "Ring"]


class Ring(NamedTuple):
    """Agents equally near to a client."""

    why: str
    """In words: ``same group`` or ``after 20 s: team b``."""
    agents: tuple[AgentId, ...]
    """In order of id; never empty."""


class Candidates:
    """Who can serve which client, in rings; those who leave are in none."""

    def __init__(self, organisation: Organisation, leaving: Collection[AgentId] = ()) -> None:
        self._organisation = organisation
        self._leaving = frozenset(leaving)
        self._members: dict[TeamId, list[Agent]] = {team_id: [] for team_id in organisation.teams}
        for agent_id in sorted(organisation.agents):
            agent = organisation.agents[agent_id]
            self._members[agent.team_id].append(agent)
        self._rings: dict[tuple[PortfolioId, TeamId], tuple[Ring, ...]] = {}

    def nearest(self, client: Client, home: TeamId, *, day: date, without: Iterable[AgentId] = ()) -> Ring | None:
        """The nearest ring in which anybody may take the client, without those who may not; None: nobody may.

        Args:
            client: Whom to serve; those it excludes do not.
            home: The group that comes first.
            day: Who takes the client is under contract then.
            without: These do not count.
        """
        barred = self._leaving.union(client.exclusions, without)
        portfolio_id = client.portfolio_id or self._organisation.default_portfolio
        for ring in self._rings_of(portfolio_id, home):
            agents = tuple(
                agent_id for agent_id in ring.agents if agent_id not in barred and self._stays(agent_id, day)
            )
            if agents:
                return Ring(ring.why, agents)
        return None

    def may_take(self, client: Client, agent_id: AgentId, *, last: date) -> bool:
        """Whether this agent, of whatever team, can serve the client and is under contract until *last*."""
        portfolio = self._organisation.portfolios[client.portfolio_id or self._organisation.default_portfolio]
        return (
            agent_id not in self._leaving
            and agent_id not in client.exclusions
            and self._stays(agent_id, last)
            and self._can_serve(self._organisation.agents[agent_id], portfolio)
        )

    def _stays(self, agent_id: AgentId, day: date) -> bool:
        contract_until = self._organisation.agents[agent_id].contract_until
        return contract_until is None or day <= contract_until

    def _can_serve(self, agent: Agent, portfolio: Portfolio) -> bool:
        """Whether the agent may be offered such calls at once: an owner is asked first, before skills relax."""
        site_id = agent.site_id or self._organisation.teams[agent.team_id].site_id
        return (
            all(satisfied_after_ms(need, agent.skills.get(need.skill, 0)) == 0 for need in portfolio.skills)
            and (portfolio.language is None or portfolio.language in agent.languages)
            and (not portfolio.countries or self._organisation.sites[site_id].country in (None, *portfolio.countries))
        )

    def _rings_of(self, portfolio_id: PortfolioId, home: TeamId) -> tuple[Ring, ...]:
        if (portfolio_id, home) not in self._rings:
            self._rings[portfolio_id, home] = tuple(self._found(self._organisation.portfolios[portfolio_id], home))
        return self._rings[portfolio_id, home]

    def _found(self, portfolio: Portfolio, home: TeamId) -> Iterator[Ring]:
        if own := self._able([home], portfolio):
            yield Ring("same group", own)
        others = [route for route in self._organisation.routes[portfolio.portfolio_id] if route.team_id != home]
        for reach_ms, routes in groupby(others, key=lambda route: route.reach_ms):
            teams = [route.team_id for route in routes]
            if able := self._able(teams, portfolio):
                words = f"{'team' if len(teams) == 1 else 'teams'} {', '.join(teams)}"
                yield Ring(f"after {reach_ms // 1_000} s: {words}" if reach_ms else words, able)

    def _able(self, teams: Iterable[TeamId], portfolio: Portfolio) -> tuple[AgentId, ...]:
        able = (agent.agent_id for team in teams for agent in self._members[team] if self._can_serve(agent, portfolio))
        return tuple(sorted(able))
