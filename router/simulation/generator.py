"""Generated traffic for an organisation: an ordinary few hours of callers and agents, for demos and experiments.

Who is there, when calls come, whose they are, how patient the callers are and how long they talk are drawn from streams
of their own: the same seed gives the same agents whatever the traffic, and the n-th caller is the same person with the
same patience whether there are many calls or few. Nothing depends on the order of a set.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from enum import IntEnum
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.events import AgentEvent, AgentReady, AgentRefreshed, AgentSignedIn, CallArrived
from router.core.model import Agent, AgentId, CallId, Client, PortfolioId, SiteId, TeamId
from router.core.organisation import Organisation
from router.simulation.callers import Caller

__all__ = [
    "HANDLING_S",
    "OCCUPANCY",
    "PRESENT_SHARE",
    "GeneratedDay",
    "calls_per_hour_for",
    "choose_present",
    "generate_day",
]

HANDLING_S = 410.0
"""Talk and wrap-up of a call: the planning figure of an Italian site for valuable clients."""
OCCUPANCY = 0.75
"""Share of their time that those present spend on calls: busy, with somebody free for the next client as a rule."""
PRESENT_SHARE = 1396 / (13 * 302)
"""Of all agents at one moment: 1,396 net hours a year each, of 302 days with 13 opening hours (142 of 400)."""

# With fewer than two of a team at work, an organisation of a handful of agents would mostly be found closed.
_PRESENT_OF_TEAM_MIN = 2
_TALK_S_MIN = 1.0
_HOUR_S = 3_600


class GeneratedDay(NamedTuple):
    """What `VirtualFloor.run` takes, and `router play` sends."""

    callers: list[Caller]
    """By arrival."""
    presence: list[tuple[int, AgentEvent]]
    """By time. Everybody comes at the start and stays: whoever plays the day closes it."""


class _Purpose(IntEnum):
    """What a stream of random numbers is for. Numbers are for good: a new purpose takes a new one."""

    PRESENCE = 0
    ARRIVALS = 1
    CLIENTS = 2
    UNKNOWN = 3
    PATIENCE = 4
    TALK = 5


def generate_day(
    organisation: Organisation,
    *,
    seed: int,
    start_ms: int,
    duration_s: int = _HOUR_S,
    calls_per_hour: float | None = None,
    occupancy: float = OCCUPANCY,
    present_share: float = PRESENT_SHARE,
    handling_s: float = HANDLING_S,
    talk_variation: float = 1.2,
    patience_s: float = 180.0,
    unknown_share: float = 0.1,
    segment_share: float = 0.8,
) -> GeneratedDay:
    """Draw callers and agents; equal arguments give equal days.

    Arrivals are a Poisson process, patience is exponential, talk is log-normal. Calls come from clients of the
    organisation, each as often as the other; some come from strangers with a withheld number.

    Args:
        organisation: Whose clients call and whose agents answer. If it has no clients, calls come for its
            portfolios, each as often as the other.
        seed: At least 0.
        start_ms: When agents sign in and the first call may come, in milliseconds since the epoch. It is part of
            the call ids, so that days which start at different moments do not share any. The organisation's
            opening hours are not looked at: outside them the calls are answered by nobody.
        duration_s: Calls arrive for so long.
        calls_per_hour: At least 0. None: as many as keep those present busy for *occupancy* of their time.
        occupancy: From 0 to 1; looked at only without *calls_per_hour*.
        present_share: Of the agents of each site, from 0 to 1; see `choose_present`.
        handling_s: Mean of talk and wrap-up. The wrap-up is that of the teams present, the rest is talk.
        talk_variation: Standard deviation of talk times over their mean.
        patience_s: Mean of the callers' patience.
        unknown_share: Of the calls, from 0 to 1.
        segment_share: Of the unknown callers, those who have chosen a market segment, if there are any.

    Raises:
        ValueError: An argument is out of range; the message names it.
    """
    _check_shares(
        occupancy=occupancy,
        present_share=present_share,
        unknown_share=unknown_share,
        segment_share=segment_share,
    )
    _check_positive(handling_s=handling_s, talk_variation=talk_variation, patience_s=patience_s, duration_s=duration_s)
    present = choose_present(organisation, seed=seed, share=present_share)
    if calls_per_hour is None:
        calls_per_hour = calls_per_hour_for(organisation, present, handling_s=handling_s, occupancy=occupancy)
    elif calls_per_hour < 0:
        raise ValueError(f"calls_per_hour is {calls_per_hour}; it must be 0 or more")
    arrivals_ms = _arrivals_ms(_stream(seed, _Purpose.ARRIVALS), start_ms, duration_s, calls_per_hour)
    count = len(arrivals_ms)
    patience = _stream(seed, _Purpose.PATIENCE).exponential(patience_s, count)
    talk = _talk_s(
        _stream(seed, _Purpose.TALK), count, handling_s - _mean_wrap_up_s(organisation, present), talk_variation
    )
    events = _calls(organisation, seed, start_ms, count, unknown_share, segment_share)
    callers = [
        Caller(arrived_ms, event, patience_ms=_ms(patient_s), service_ms=_ms(talk_s))
        for arrived_ms, event, patient_s, talk_s in zip(
            arrivals_ms, events, patience.tolist(), talk.tolist(), strict=True
        )
    ]
    return GeneratedDay(callers, _presence(organisation, present, start_ms, duration_s))


def choose_present(organisation: Organisation, *, seed: int, share: float = PRESENT_SHARE) -> tuple[AgentId, ...]:
    """Who is at work, by agent id: *share* of each site's agents, spread evenly over its teams.

    At least two of every team come, and never more than the site has seats.
    """
    _check_shares(share=share)
    stream = _stream(seed, _Purpose.PRESENCE)
    by_site: defaultdict[SiteId, defaultdict[TeamId, list[Agent]]] = defaultdict(lambda: defaultdict(list))
    for agent_id in sorted(organisation.agents):
        agent = organisation.agents[agent_id]
        site_id = agent.site_id or organisation.teams[agent.team_id].site_id
        by_site[site_id][agent.team_id].append(agent)
    present: list[AgentId] = []
    for site_id in sorted(by_site):
        teams = [by_site[site_id][team_id] for team_id in sorted(by_site[site_id])]
        lots = [[team[place] for place in stream.permutation(len(team))] for team in teams]
        # One of each team in turn, those of the shortest teams running out first.
        in_turn = [agent for agent in chain.from_iterable(zip_longest(*lots)) if agent is not None]
        at_least = sum(min(len(team), _PRESENT_OF_TEAM_MIN) for team in teams)
        wanted = max(at_least, round(share * len(in_turn)))
        seats = organisation.sites[site_id].seats
        present += [agent.agent_id for agent in in_turn[: wanted if seats is None else min(wanted, seats)]]
    return tuple(sorted(present))


def calls_per_hour_for(
    organisation: Organisation,
    present: Collection[AgentId],
    *,
    handling_s: float = HANDLING_S,
    occupancy: float = OCCUPANCY,
) -> float:
    """The calls an hour that keep *present* busy for *occupancy* of their time, if nobody hangs up.

    Agents of teams that no portfolio reaches are not counted: no call comes to them, unless from a client of
    their own.
    """
    _check_positive(handling_s=handling_s)
    reached = {route.team_id for routes in organisation.routes.values() for route in routes}
    at_work = sum(organisation.agents[agent_id].team_id in reached for agent_id in present)
    return at_work * occupancy * _HOUR_S / handling_s


def _stream(seed: int, purpose: _Purpose) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose,)))


def _arrivals_ms(stream: np.random.Generator, start_ms: int, duration_s: int, calls_per_hour: float) -> list[int]:
    """A Poisson process: given their number, arrivals are independent and uniform over the time."""
    count = int(stream.poisson(calls_per_hour * duration_s / _HOUR_S))
    offsets = np.sort(stream.integers(duration_s * 1000, size=count))
    return [start_ms + offset for offset in offsets.tolist()]


def _talk_s(stream: np.random.Generator, count: int, mean_s: float, variation: float) -> NDArray[np.float64]:
    """Log-normal with this mean and coefficient of variation: variance = ln(1 + cv²), mu = ln(mean) - variance / 2."""
    variance = math.log1p(variation**2)
    return stream.lognormal(math.log(max(_TALK_S_MIN, mean_s)) - variance / 2, math.sqrt(variance), count)


def _mean_wrap_up_s(organisation: Organisation, present: Sequence[AgentId]) -> float:
    wrap_ups = [organisation.teams[organisation.agents[agent_id].team_id].wrap_up_s for agent_id in present]
    return sum(wrap_ups) / max(1, len(wrap_ups))


def _calls(
    organisation: Organisation, seed: int, start_ms: int, count: int, unknown_share: float, segment_share: float
) -> list[CallArrived]:
    description = organisation.description
    segments = [segment.segment for segment in description.segments]
    portfolios = [portfolio.portfolio_id for portfolio in description.portfolios]
    clients = description.clients
    known = _stream(seed, _Purpose.CLIENTS).integers(len(clients) or len(portfolios), size=count).tolist()
    # Three draws a call whether needed or not, so that the n-th caller does not depend on those before.
    strangers = _stream(seed, _Purpose.UNKNOWN).random((count, 3)).tolist()
    events = []
    for number, (who, (stranger, choice, place)) in enumerate(zip(known, strangers, strict=True)):
        call_id = CallId(f"c{start_ms}-{number:06}")
        if stranger < unknown_share:
            segment = segments[int(place * len(segments))] if segments and choice < segment_share else None
            events.append(CallArrived(call_id=call_id, segment=segment))
        elif clients:
            events.append(_call_of(clients[who], call_id))
        else:
            events.append(CallArrived(call_id=call_id, portfolio_id=PortfolioId(portfolios[who])))
    return events


def _call_of(client: Client, call_id: CallId) -> CallArrived:
    # The id beside the number's pseudonym: a router with another pseudonym key still knows the client.
    caller = client.callers[0] if client.callers else None
    return CallArrived(call_id=call_id, client_id=client.client_id, caller=caller)


def _presence(
    organisation: Organisation, present: Sequence[AgentId], start_ms: int, duration_s: int
) -> list[tuple[int, AgentEvent]]:
    events: list[tuple[int, AgentEvent]] = []
    for agent_id in present:
        events += [(start_ms, AgentSignedIn(agent_id=agent_id)), (start_ms, AgentReady(agent_id=agent_id))]
        # Signs of life, twice a presence lease as a platform would send them.
        half_lease_ms = organisation.teams[organisation.agents[agent_id].team_id].presence_lease_s * 500
        for at_ms in range(start_ms + half_lease_ms, start_ms + duration_s * 1000, half_lease_ms):
            events.append((at_ms, AgentRefreshed(agent_id=agent_id)))
    return sorted(events, key=lambda entry: entry[0])


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it is a share and must lie between 0 and 1")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be more than 0")
