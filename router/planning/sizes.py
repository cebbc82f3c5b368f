"""How large portfolios are: the work that clients are expected to make, by who answers for them.

The size of an agent's portfolio is the work of its clients, not the work that the agent does alone: an owner is present
for a part of the opening time only, and backups take the rest, as the agent takes that of others. Where portfolios are
balanced, the two are equal, which is why a size is compared with what one agent can do.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct

from router.core.model import (
    AgentId,
    Client,
    ClientId,
    OrganisationDescription,
    Ownership,
    PortfolioId,
    TeamId,
)
from router.core.organisation import Organisation, ownership_on

__all__ = [
    "AgentSize", "PortfolioSize", "Sizes", "TeamSize", "Verdict", "Workload", "available_s_a_month", "owned_s",
    "ownership_of_day", "sizes_on", "too_many_backups",
]  # fmt: skip

_EPOCH: Final = date(1970, 1, 1)
_DAY_MS: Final = 86_400_000


class Workload:
    """Seconds of work a month that a client is expected to make.

    As the client's ``minutes_a_month`` say, else *calls_a_month* times the handling time of the team that owns the
    client's portfolio, rounded to a second.
    """

    def __init__(self, organisation: Organisation, *, calls_a_month: float) -> None:
        self._default = organisation.default_portfolio
        self._assumed_s = {
            portfolio_id: round(calls_a_month * organisation.teams[portfolio.teams[0].team_id].handling_s)
            for portfolio_id, portfolio in organisation.portfolios.items()
        }

    def of(self, client: Client) -> int:
        if client.minutes_a_month is not None:
            return 60 * client.minutes_a_month
        return self._assumed_s[client.portfolio_id or self._default]


def available_s_a_month(*, net_hours_a_year: int, occupancy_percent: int) -> int:
    """Seconds a month that a full-time agent handles calls, rounded down.

    Net hours are those at work, without leave, illness and breaks; occupancy is the part of them spent on calls. With
    1,396 hours and 75 % that is 1,396 h / 12 * 0.75 = 87 h 15 min.
    """
    return net_hours_a_year * 3_600 * occupancy_percent // (12 * 100)


class Verdict(StrEnum):
    """What the size of an agent's portfolio comes to."""

    RIGHT = "right"
    TOO_MUCH = "too_much"
    TOO_LITTLE = "too_little"
    CONTRACT_OVER = "contract_over"
    """The agent still owns clients, but the contract has ended."""


class AgentSize(Struct, frozen=True, kw_only=True):
    agent_id: AgentId
    team_id: TeamId
    clients: int
    expected_s: int
    verdict: Verdict | None
    """None: there is nothing to compare with, or nobody of the team owns clients."""


class TeamSize(Struct, frozen=True, kw_only=True):
    """The portfolios of a team's agents, whatever book their clients are of."""

    team_id: TeamId
    agents: int
    owners: int
    """Agents with clients."""
    clients: int
    expected_s: int
    available_s: int | None
    """Of all its agents together."""


class PortfolioSize(Struct, frozen=True, kw_only=True):
    portfolio_id: PortfolioId
    owners: int
    clients: int
    without_owner: int
    expected_s: int


class Sizes(Struct, frozen=True, kw_only=True):
    """All sizes on a day, each kind in order of id; seconds are those of a month."""

    on: date
    available_s: int | None
    """What one agent can do."""
    tolerance_percent: int
    agents: tuple[AgentSize, ...]
    teams: tuple[TeamSize, ...]
    portfolios: tuple[PortfolioSize, ...]
    without_owner: tuple[ClientId, ...]
    assumed: int
    """Clients that say no ``minutes_a_month``."""


def ownership_of_day(client: Client, day: date) -> Ownership | None:
    return ownership_on(client, (day - _EPOCH).days * _DAY_MS)


def owned_s(organisation: Organisation, workload: Workload, day: date) -> dict[AgentId, tuple[int, int]]:
    """Of every agent, without clients too: expected seconds, and number of clients owned on that day."""
    owned = dict.fromkeys(organisation.agents, (0, 0))
    for client in organisation.description.clients:
        ownership = ownership_of_day(client, day)
        if ownership is not None and ownership.owner is not None:
            seconds, clients = owned[ownership.owner]
            owned[ownership.owner] = (seconds + workload.of(client), clients + 1)
    return owned


def sizes_on(
    organisation: Organisation, workload: Workload, day: date, *, available_s: int | None, tolerance_percent: int
) -> Sizes:
    """Sizes of all portfolios.

    Args:
        organisation: Who owns whom.
        workload: What clients are expected to make.
        day: The ownerships in force on this day count.
        available_s: What one agent can do in a month; None: do not compare.
        tolerance_percent: So much more or less than that is still right.
    """
    owned = owned_s(organisation, workload, day)
    owning_teams = {organisation.agents[agent_id].team_id for agent_id, (_, clients) in owned.items() if clients}
    agents = tuple(
        AgentSize(
            agent_id=agent_id,
            team_id=organisation.agents[agent_id].team_id,
            clients=clients,
            expected_s=seconds,
            verdict=_verdict(organisation, agent_id, owned, day, owning_teams, available_s, tolerance_percent),
        )
        for agent_id, (seconds, clients) in sorted(owned.items())
    )
    clients = organisation.description.clients
    return Sizes(
        on=day,
        available_s=available_s,
        tolerance_percent=tolerance_percent,
        agents=agents,
        teams=tuple(_team_sizes(organisation, agents, available_s)),
        portfolios=tuple(_portfolio_sizes(organisation, workload, day)),
        without_owner=tuple(sorted(client.client_id for client in clients if not _owner_of(client, day))),
        assumed=sum(client.minutes_a_month is None for client in clients),
    )


def _verdict(
    organisation: Organisation,
    agent_id: AgentId,
    owned: Mapping[AgentId, tuple[int, int]],
    day: date,
    owning_teams: set[TeamId],
    available_s: int | None,
    tolerance_percent: int,
) -> Verdict | None:
    agent, (seconds, clients) = organisation.agents[agent_id], owned[agent_id]
    if agent.contract_until is not None and agent.contract_until < day:
        return Verdict.CONTRACT_OVER if clients else None
    if available_s is None or agent.team_id not in owning_teams:
        return None
    if 100 * seconds > (100 + tolerance_percent) * available_s:
        return Verdict.TOO_MUCH
    if 100 * seconds < (100 - tolerance_percent) * available_s:
        return Verdict.TOO_LITTLE
    return Verdict.RIGHT


def _team_sizes(
    organisation: Organisation, agents: tuple[AgentSize, ...], available_s: int | None
) -> Iterator[TeamSize]:
    members: dict[TeamId, list[AgentSize]] = {team_id: [] for team_id in organisation.teams}
    for agent in agents:
        members[agent.team_id].append(agent)
    for team_id, sizes in sorted(members.items()):
        yield TeamSize(
            team_id=team_id,
            agents=len(sizes),
            owners=sum(size.clients > 0 for size in sizes),
            clients=sum(size.clients for size in sizes),
            expected_s=sum(size.expected_s for size in sizes),
            available_s=None if available_s is None else len(sizes) * available_s,
        )


def _portfolio_sizes(organisation: Organisation, workload: Workload, day: date) -> Iterator[PortfolioSize]:
    clients: dict[PortfolioId, list[Client]] = {portfolio_id: [] for portfolio_id in organisation.portfolios}
    for client in organisation.description.clients:
        clients[client.portfolio_id or organisation.default_portfolio].append(client)
    for portfolio_id, members in sorted(clients.items()):
        owners = [_owner_of(client, day) for client in members]
        yield PortfolioSize(
            portfolio_id=portfolio_id,
            owners=len({owner for owner in owners if owner is not None}),
            clients=len(members),
            without_owner=owners.count(None),
            expected_s=sum(map(workload.of, members)),
        )


def _owner_of(client: Client, day: date) -> AgentId | None:
    ownership = ownership_of_day(client, day)
    return ownership.owner if ownership is not None else None


def too_many_backups(description: OrganisationDescription, backups_max: int) -> Iterator[str]:
    """A warning, in words, if clients have more backups than that: calls are routed all the same."""
    having = [
        client for client in description.clients if any(len(each.backups) > backups_max for each in client.ownerships)
    ]
    if having:
        first = having[0]
        yield (
            f"{len(having)} clients have more than {backups_max} backups (portfolios.backups_max), the first of them "
            f"{first.client_id} in {first.where}: callers would meet somebody else each time"
        )
