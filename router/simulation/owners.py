"""Owners with clients of their own: two working groups that help each other, as in L'Aquila, for trying owner waits.

Everybody signs in at the start and stays, but for the owners who are away; their clients go to whoever is free. Callers
are drawn before the run, each purpose from a stream of its own, so that all policies meet the very same callers.
"""

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from router.core.events import AgentEvent, AgentReady, AgentSignedIn, CallArrived
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Client,
    ClientId,
    Link,
    OrganisationDescription,
    Ownership,
    OwnerWait,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.simulation.callers import Caller

__all__ = ["OwnerPolicy", "OwnersModel"]

# The longest leases that the organisation allows: nobody is signed out within a run.
_LEASE_S = 86_400
_HOUR_S = 3_600


class OwnerPolicy(NamedTuple):
    """How long calls wait for their owners: the part that is to be tried."""

    owner_wait: OwnerWait = OwnerWait.FIXED
    owner_wait_s: int = 0
    owner_worth_s: int = 60
    hang_up_cost_s: int = 60


class _Purpose(IntEnum):
    """What a stream of random numbers is for. Numbers are for good: a new purpose takes a new one."""

    ARRIVALS = 0
    CLIENTS = 1
    TALK = 2
    PATIENCE = 3


class OwnersModel(NamedTuple):
    """Owners, their clients and what they bring along."""

    occupancy: float
    """Share of their time that owners would be busy if nobody hung up."""
    wrap_up_s: int
    groups: int = 2
    """Working groups, each with a portfolio whose calls go to the next group too after `help_s`."""
    owners: int = 10
    """Of each group, at work."""
    help_s: int | None = 20
    """None: a group is not helped."""
    handling_s: float = 410.0
    """Mean of talk and wrap-up: the planning figure of an Italian site for valuable clients."""
    talk_variation: float = 1.2
    """Standard deviation of talk over its mean. Log-normal; 1 or less than 0: exponential."""
    is_exponential: bool = False
    """Talk is exponential instead."""
    patience_s: float = 180.0
    """Mean; exponential."""
    away_share: float = 0.1
    """Of the calls, those whose owner is not at work."""

    @property
    def calls_per_s(self) -> float:
        return self.groups * self.owners * self.occupancy / self.handling_s

    def describe(self, policy: OwnerPolicy) -> OrganisationDescription:
        site, supplier = SiteId("aquila"), SupplierId("operator")
        teams = [TeamId(f"group-{number}") for number in range(self.groups)]
        return OrganisationDescription(
            sites=(Site(site_id=site, country="IT"),),
            suppliers=(Supplier(supplier_id=supplier),),
            teams=tuple(
                Team(
                    team_id=team,
                    site_id=site,
                    supplier_id=supplier,
                    own_first=True,
                    wrap_up_s=self.wrap_up_s,
                    handling_s=round(self.handling_s),
                    talk_lease_s=_LEASE_S,
                    presence_lease_s=_LEASE_S,
                )
                for team in teams
            ),
            portfolios=tuple(
                Portfolio(
                    portfolio_id=self._portfolio(number),
                    teams=self._links(teams, number),
                    max_wait_s=None,
                    owner_wait=policy.owner_wait,
                    owner_wait_s=policy.owner_wait_s,
                    owner_worth_s=policy.owner_worth_s,
                    hang_up_cost_s=policy.hang_up_cost_s,
                )
                for number in range(self.groups)
            ),
            agents=tuple(
                Agent(agent_id=self._agent(number, owner), team_id=team)
                for number, team in enumerate(teams)
                for owner in range(self.owners + 1)
            ),
            clients=tuple(
                Client(
                    client_id=self._client(number, owner),
                    portfolio_id=self._portfolio(number),
                    ownerships=(Ownership(owner=self._agent(number, owner)),),
                )
                for number in range(self.groups)
                for owner in range(self.owners + 1)
            ),
            default_portfolio=self._portfolio(0),
        )

    def presence(self) -> Iterator[tuple[int, AgentEvent]]:
        """All but the last of each group, who is away, sign in at time zero and stay."""
        for number in range(self.groups):
            for owner in range(self.owners):
                agent_id = self._agent(number, owner)
                yield 0, AgentSignedIn(agent_id=agent_id)
                yield 0, AgentReady(agent_id=agent_id)

    def draw(self, *, seed: int, duration_s: float) -> list[Caller]:
        """Callers by arrival, for so long."""
        rate = self.calls_per_s
        arrivals = _stream(seed, _Purpose.ARRIVALS)
        count = int(arrivals.poisson(rate * duration_s))
        arrived_ms = np.sort(arrivals.integers(round(duration_s * 1000), size=count)).tolist()
        clients = _stream(seed, _Purpose.CLIENTS)
        groups = clients.integers(self.groups, size=count).tolist()
        owners = clients.integers(self.owners, size=count)
        owners[clients.random(count) < self.away_share] = self.owners
        mean_s = self.handling_s - self.wrap_up_s
        talk = _stream(seed, _Purpose.TALK)
        if self.is_exponential:
            talk_s = talk.exponential(mean_s, count)
        else:
            variance = math.log1p(self.talk_variation**2)
            talk_s = talk.lognormal(math.log(mean_s) - variance / 2, math.sqrt(variance), count)
        patience_s = _stream(seed, _Purpose.PATIENCE).exponential(self.patience_s, count)
        return [
            Caller(
                at_ms,
                CallArrived(call_id=CallId(f"c{number:07}"), client_id=self._client(group, owner)),
                patience_ms=1 + round(1000 * patient_s),
                service_ms=max(1_000, round(1000 * each_s)),
            )
            for number, (at_ms, group, owner, patient_s, each_s) in enumerate(
                zip(arrived_ms, groups, owners.tolist(), patience_s.tolist(), talk_s.tolist(), strict=True)
            )
        ]

    def owner_of(self, caller: Caller) -> AgentId:
        assert caller.event.client_id is not None, "every caller is a client"
        return AgentId(caller.event.client_id.removeprefix("client-"))

    def _links(self, teams: list[TeamId], number: int) -> tuple[Link, ...]:
        own = Link(teams[number])
        if self.help_s is None or self.groups == 1:
            return (own,)
        return own, Link(teams[(number + 1) % self.groups], self.help_s)

    @staticmethod
    def _portfolio(number: int) -> PortfolioId:
        return PortfolioId(f"portfolio-{number}")

    @staticmethod
    def _agent(number: int, owner: int) -> AgentId:
        return AgentId(f"{number}-{owner:02}")

    @staticmethod
    def _client(number: int, owner: int) -> ClientId:
        return ClientId(f"client-{number}-{owner:02}")


def _stream(seed: int, purpose: _Purpose) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose,)))
