"""Small Markov chains, solved as linear equations: a second way to what the product form and the reference say.

States are written out, agent by agent and call by call, and queues are cut off where they hardly ever get to. Nothing
here knows of product forms.
"""

from collections.abc import Callable, Hashable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np

from router.simulation.product_form import ProductForm, SkillDesign

State = TypeVar("State", bound=Hashable)
Moves = Callable[[State], Iterator[tuple[State, float]]]


def stationary(start: State, moves: Moves[State]) -> dict[State, float]:
    """The long-run probability of every state that can be reached."""
    index = {start: 0}
    entries = []
    found = [start]
    for state in found:
        for after, rate in moves(state):
            if after not in index:
                index[after] = len(found)
                found.append(after)
            entries.append((index[state], index[after], rate))
    balance = np.zeros((len(found), len(found)))
    for before, next_, rate in entries:
        balance[next_, before] += rate
        balance[before, before] -= rate
    # One equation follows from the others: that all adds up to 1 takes its place.
    balance[0] = 1
    law = np.linalg.solve(balance, np.eye(len(found))[0])
    return dict(zip(found, law.tolist(), strict=True))


# --- Skills, first come first served, to the longest idle ------------------------------------------------------------


class _Floor(NamedTuple):
    waiting: tuple[int, ...]
    """Kinds, by arrival."""
    idle: tuple[int, ...]
    """Agents, the longest idle first; the others are busy."""


def skills_chain(design: SkillDesign, *, queue_max: int) -> ProductForm:
    """The figures of a design; callers who would be number *queue_max* + 1 in the queue do not come."""
    team_of = [team for team, size in enumerate(design.team_sizes) for _ in range(size)]
    takes = [design.takes[team] for team in team_of]
    kinds = range(len(design.arrival_rates))

    def taker(floor: _Floor, kind: int) -> int | None:
        return next((agent for agent in floor.idle if kind in takes[agent]), None)

    def next_call(floor: _Floor, agent: int) -> int | None:
        return next((place for place, kind in enumerate(floor.waiting) if kind in takes[agent]), None)

    def moves(floor: _Floor) -> Iterator[tuple[_Floor, float]]:
        for kind in kinds:
            agent = taker(floor, kind)
            if agent is not None:
                idle = tuple(other for other in floor.idle if other != agent)
                yield floor._replace(idle=idle), design.arrival_rates[kind]
            elif len(floor.waiting) < queue_max:
                yield floor._replace(waiting=(*floor.waiting, kind)), design.arrival_rates[kind]
        for agent, team in enumerate(team_of):
            if agent in floor.idle:
                continue
            place = next_call(floor, agent)
            if place is None:
                yield floor._replace(idle=(*floor.idle, agent)), design.service_rates[team]
            else:
                rest = floor.waiting[:place] + floor.waiting[place + 1 :]
                yield floor._replace(waiting=rest), design.service_rates[team]

    law = stationary(_Floor((), tuple(range(len(team_of)))), moves)
    waiting, queue = np.zeros(len(kinds)), np.zeros(len(kinds))
    answered = np.zeros((len(kinds), len(design.team_sizes)))
    for floor, probability in law.items():
        for kind in kinds:
            agent = taker(floor, kind)
            queue[kind] += probability * floor.waiting.count(kind)
            if agent is None:
                waiting[kind] += probability
            else:
                answered[kind, team_of[agent]] += probability * design.arrival_rates[kind]
        for agent, team in enumerate(team_of):
            place = None if agent in floor.idle else next_call(floor, agent)
            if place is not None:
                answered[floor.waiting[place], team] += probability * design.service_rates[team]
    shares = answered / answered.sum(axis=1, keepdims=True)
    return ProductForm(
        tuple(waiting.tolist()),
        tuple((queue / np.array(design.arrival_rates)).tolist()),
        tuple(map(tuple, shares.tolist())),
    )


# --- Erlang-A --------------------------------------------------------------------------------------------------------


class Lost(NamedTuple):
    """What becomes of callers who hang up."""

    waiting: float
    abandoning: float
    wait_s: float
    """Mean, of all."""


def erlang_a(load: float, service_s: float, agents: int, patience_s: float, *, queue_max: int = 300) -> Lost:
    rate = load / service_s

    def moves(present: int) -> Iterator[tuple[int, float]]:
        if present < agents + queue_max:
            yield present + 1, rate
        if present:
            yield present - 1, min(present, agents) / service_s + max(present - agents, 0) / patience_s

    law = stationary(0, moves)
    waiting = sum(probability for present, probability in law.items() if present >= agents)
    queue = sum(probability * max(present - agents, 0) for present, probability in law.items())
    return Lost(waiting, queue / patience_s / rate, queue / rate)


# --- Two teams able to take each other's calls at once ---------------------------------------------------------------


class Next(StrEnum):
    """What a freed agent takes when calls of both portfolios wait."""

    OWN = "own portfolio first"
    LONGER = "longer queue first, of equal ones the own"
    EARLIER = "first come, first served"


class _Teams(NamedTuple):
    busy: tuple[int, int]
    """A call that arrives takes an agent of its own team if one is idle."""
    waiting: tuple[int, int]


def two_teams(
    rule: Next, *, load: float, service_s: float, agents: int, patience_s: float, queue_max: int = 25
) -> tuple[Lost, float]:
    """Figures, and the owner team's share of the answered. *load* and *agents* are a team's."""
    rate, speed = load / service_s, 1 / service_s

    def chances(teams: _Teams, team: int) -> Iterator[tuple[int, float]]:
        """Which portfolio an agent of *team* takes next, and how likely."""
        own, other = teams.waiting[team], teams.waiting[1 - team]
        if own and other and rule is Next.EARLIER:
            # Portfolios are alike: of all orders of those who wait, each is as likely as the other.
            yield team, own / (own + other)
            yield 1 - team, other / (own + other)
        elif own and (rule is Next.OWN or own >= other):
            yield team, 1.0
        else:
            yield 1 - team, 1.0

    def changed(pair: tuple[int, int], place: int, by: int) -> tuple[int, int]:
        return (pair[0] + by, pair[1]) if place == 0 else (pair[0], pair[1] + by)

    def moves(teams: _Teams) -> Iterator[tuple[_Teams, float]]:
        for team in (0, 1):
            taker = next((each for each in (team, 1 - team) if teams.busy[each] < agents), None)
            if taker is not None:
                yield teams._replace(busy=changed(teams.busy, taker, 1)), rate
            elif teams.waiting[team] < queue_max:
                yield teams._replace(waiting=changed(teams.waiting, team, 1)), rate
            if teams.waiting[team]:
                yield teams._replace(waiting=changed(teams.waiting, team, -1)), teams.waiting[team] / patience_s
            if teams.busy[team] and not any(teams.waiting):
                yield teams._replace(busy=changed(teams.busy, team, -1)), teams.busy[team] * speed
            elif teams.busy[team]:
                for portfolio, chance in chances(teams, team):
                    yield teams._replace(waiting=changed(teams.waiting, portfolio, -1)), chance * agents * speed

    law = stationary(_Teams((0, 0), (0, 0)), moves)
    waiting = sum(probability for teams, probability in law.items() if teams.busy == (agents, agents))
    queue = sum(probability * sum(teams.waiting) for teams, probability in law.items())
    by_owner = 0.0
    for teams, probability in law.items():
        by_owner += probability * rate * sum(busy < agents for busy in teams.busy)
        if any(teams.waiting):
            own = sum(chance for team in (0, 1) for portfolio, chance in chances(teams, team) if portfolio == team)
            by_owner += probability * own * agents * speed
    abandoning = queue / patience_s / (2 * rate)
    return Lost(waiting, abandoning, queue / (2 * rate)), by_owner / (2 * rate * (1 - abandoning))
