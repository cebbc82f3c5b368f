"""Exact waits and shares of skill designs, first come first served with assignment to the longest idle agent.

Adan & Weiss (Stochastic Systems 4 (2014) 250-299) found the stationary law of a floor where kinds of call arrive in
Poisson streams, agents serve exponentially, each team takes some of the kinds, a freed agent takes the call that has
waited longest of those it may take, and a call takes the agent who has been idle longest of those who may take it.
Nobody hangs up. The law is a product: list the agents M1, M2, ... Mi who are busy in order of arrival of their calls,
then those who are idle, the longest idle last. With n_j calls waiting that arrived between those of M_j and M_j+1,

    probability ~ prod_{j <= i} arrival(U_j)^n_j / speed(M1..Mj)^(n_j + 1)  x  prod_{j > i} 1 / arrival(C(Mj..MJ))

where U_j are the kinds that nobody but M1..Mj can take, C(...) those that one of (...) can take, and arrival(...) and
speed(...) are sums of rates. That is true of agents one by one. Agents of a team are alike, so what is added up here
are the numbers of agents that a list has taken from each team: as many states as products of team sizes, not as
permutations of agents.

What a newcomer would get wrong: whom a call takes matters. Where agents are not alike, rules other than the longest
idle have other waits and other shares.

Every term is positive: digits are lost only where a speed exceeds an arrival rate by next to nothing.
"""

from collections.abc import Iterator
from itertools import chain, combinations, product
from math import comb, prod
from typing import NamedTuple

__all__ = ["ProductForm", "SkillDesign", "product_form"]

Counts = tuple[int, ...]
"""Of agents, by team."""


class SkillDesign(NamedTuple):
    """Which team can take which kind of call, and how fast."""

    arrival_rates: tuple[float, ...]
    """Calls a second, by kind."""
    team_sizes: tuple[int, ...]
    service_rates: tuple[float, ...]
    """Calls a second that one busy agent ends, by team; the same for every kind."""
    takes: tuple[frozenset[int], ...]
    """Kinds that agents can take, by team."""


class ProductForm(NamedTuple):
    """What the law says of each kind of call."""

    waiting: tuple[float, ...]
    """The probability that nobody who could take the call is idle when it arrives."""
    wait_s: tuple[float, ...]
    """Mean, of all calls of the kind."""
    shares: tuple[tuple[float, ...], ...]
    """Of the kind's calls, how many each team answers; a row a kind."""


def product_form(design: SkillDesign) -> ProductForm:
    """Solve a design, exact to about 12 digits.

    Raises:
        ValueError: Rates or sizes that mean nothing, a kind that nobody takes, or kinds with more calls than those
            who can take them end.
    """
    _check(design)
    return _Solution(design).figures()


def _check(design: SkillDesign) -> None:
    kinds, teams = range(len(design.arrival_rates)), range(len(design.team_sizes))
    if not len(design.team_sizes) == len(design.service_rates) == len(design.takes):
        raise ValueError("give every team a size, a service rate and the kinds that it takes")
    if not all(rate > 0 for rate in chain(design.arrival_rates, design.service_rates)):
        raise ValueError("rates must be more than 0")
    if not all(size > 0 for size in design.team_sizes):
        raise ValueError("a team needs at least one agent")
    if not all(takes and takes <= set(kinds) for takes in design.takes):
        raise ValueError(f"a team takes at least one of the kinds 0 to {len(kinds) - 1}, and no others")
    for some in chain.from_iterable(combinations(kinds, count) for count in range(1, len(kinds) + 1)):
        able = [team for team in teams if not design.takes[team].isdisjoint(some)]
        speed = sum(design.team_sizes[team] * design.service_rates[team] for team in able)
        arrival = sum(design.arrival_rates[kind] for kind in some)
        if arrival >= speed:
            raise ValueError(
                f"kinds {list(some)} bring {arrival:g} calls a second and those who take them end {speed:g}: "
                "the queue would grow for ever"
            )


class _Solution:
    """Sums over lists of agents, by how many of each team are in the list.

    Lists of busy agents begin with the oldest call, lists of idle agents with the longest idle. A sum is that over all
    orders of one set of agents; `together` adds up over sets.
    """

    def __init__(self, design: SkillDesign) -> None:
        self.design = design
        self.kinds = range(len(design.arrival_rates))
        self.teams = range(len(design.team_sizes))
        self.able = [frozenset(team for team in self.teams if kind in design.takes[team]) for kind in self.kinds]
        # In this order every list comes after those that it continues.
        self.nobody, *self.lists = product(*(range(size + 1) for size in design.team_sizes))
        self.held_back = {busy: self.kinds_held_back(busy) for busy in self.lists}
        # The sum over n of arrival^n / speed^(n + 1), n calls in the gap behind the last of the busy.
        self.gap = {busy: 1 / (self.speed(busy) - self.arrival(self.held_back[busy])) for busy in self.lists}
        self.pick = {idle: 1 / self.arrival(self.kinds_taken(idle)) for idle in self.lists}
        self.busy = self.over_orders(self.gap)
        self.idle = self.over_orders(self.pick)
        self.total = self.together(self.busy)

    def figures(self) -> ProductForm:
        rates = self.design.arrival_rates
        return ProductForm(
            tuple(self.waiting(kind) for kind in self.kinds),
            tuple(self.queue(kind) / rates[kind] for kind in self.kinds),
            tuple(
                tuple(self.at_once(kind, team) + self.after_waiting(kind, team) / rates[kind] for team in self.teams)
                for kind in self.kinds
            ),
        )

    def waiting(self, kind: int) -> float:
        """The probability that all who take *kind* are busy."""
        where = {busy: weight for busy, weight in self.busy.items() if kind in self.held_back.get(busy, ())}
        return self.together(where) / self.total

    def queue(self, kind: int) -> float:
        """The mean number of calls of *kind* in the queue, summed over the gaps of the lists."""
        rate = self.design.arrival_rates[kind]
        sums = {self.nobody: 0.0}
        for busy in self.lists:
            earlier = sum(ways * sums[shorter] for shorter, _, ways in self.before(busy))
            here = rate if kind in self.held_back[busy] else 0.0
            sums[busy] = self.gap[busy] * (earlier + self.busy[busy] * here)
        return self.together(sums) / self.total

    def at_once(self, kind: int, team: int) -> float:
        """The probability that the longest idle of those who take *kind* is of *team*."""
        sums = {self.nobody: 0.0}
        for idle in self.lists:
            weight = 0.0
            for shorter, last, ways in self.before(idle):
                if any(shorter[each] for each in self.able[kind]):
                    weight += ways * sums[shorter]
                elif last == team and kind in self.design.takes[team]:
                    weight += ways * self.idle[shorter]
            sums[idle] = weight * self.pick[idle]
        return (
            sum(self.ways(idle) * weight * self.busy[self.others(idle)] for idle, weight in sums.items()) / self.total
        )

    def after_waiting(self, kind: int, team: int) -> float:
        """Calls of *kind* a second that *team* takes out of the queue.

        A freed agent looks through the gaps from its own place in the list on: no call before it is one that the agent
        takes. The calls of a gap are each of one of the kinds held back there, in proportion to their rates.
        """
        takes, rate = self.design.takes[team], self.design.arrival_rates[kind]
        looking, found = {self.nobody: 0.0}, {self.nobody: 0.0}
        for busy in self.lists:
            came, had = 0.0, 0.0
            for shorter, last, ways in self.before(busy):
                came += ways * (looking[shorter] + (self.busy[shorter] if last == team else 0.0))
                had += ways * found[shorter]
            held_back = self.held_back[busy]
            # The sum over n again, of n calls none of which the agent takes.
            looking[busy] = came / (self.speed(busy) - self.arrival(held_back - takes))
            here = looking[busy] * rate if kind in held_back & takes else 0.0
            found[busy] = self.gap[busy] * (had + here)
        return self.design.service_rates[team] * self.together(found) / self.total

    def over_orders(self, factor: dict[Counts, float]) -> dict[Counts, float]:
        """For each set of agents, the sum over its orders of the product of the factors of their beginnings."""
        sums = {self.nobody: 1.0}
        for counts in self.lists:
            sums[counts] = factor[counts] * sum(ways * sums[shorter] for shorter, _, ways in self.before(counts))
        return sums

    def before(self, counts: Counts) -> Iterator[tuple[Counts, int, int]]:
        """The lists that are shorter by their last agent; that agent's team; how many of the set that could be."""
        for team in self.teams:
            if counts[team]:
                yield (*counts[:team], counts[team] - 1, *counts[team + 1 :]), team, counts[team]

    def together(self, weights: dict[Counts, float]) -> float:
        """Sums of lists of busy agents, with all lists of the others, who are idle, over all sets of busy agents."""
        return sum(self.ways(busy) * weight * self.idle[self.others(busy)] for busy, weight in weights.items())

    def ways(self, counts: Counts) -> int:
        """How many sets of agents have these numbers from each team."""
        return prod(comb(size, count) for size, count in zip(self.design.team_sizes, counts, strict=True))

    def others(self, counts: Counts) -> Counts:
        return tuple(size - count for size, count in zip(self.design.team_sizes, counts, strict=True))

    def speed(self, busy: Counts) -> float:
        return sum(count * rate for count, rate in zip(busy, self.design.service_rates, strict=True))

    def arrival(self, kinds: frozenset[int]) -> float:
        # In order, so that equal designs give equal digits.
        return sum(self.design.arrival_rates[kind] for kind in sorted(kinds))

    def kinds_held_back(self, busy: Counts) -> frozenset[int]:
        """Kinds of which all who take them are busy."""
        is_full = [count == size for count, size in zip(busy, self.design.team_sizes, strict=True)]
        return frozenset(kind for kind in self.kinds if all(is_full[team] for team in self.able[kind]))

    def kinds_taken(self, idle: Counts) -> frozenset[int]:
        """Kinds that one of the idle takes."""
        return frozenset(kind for kind in self.kinds if any(idle[team] for team in self.able[kind]))
