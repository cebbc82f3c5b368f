"""Figures of simulated calls, and whether what is exact lies inside their confidence intervals.

A row is simulated by independent replications, each on a random stream of its own, so that the same numbers come out
however many processes share the work.
"""

from collections.abc import Callable, Iterable, Sequence
from math import hypot
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.simulation.memoryless import CallerDraw, Fates, MemorylessModel, draw_callers, zero_mean_controls
from router.simulation.statistics import Interval, ratio_interval

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# The year of Erlang's paper.
SEED = 1917
ERROR = 0.01
"""How often a right engine may fail: all rows together, by Bonferroni's rule."""
TARGET_MS = 20_000
# Calls after the last one that counts, so that it, too, meets a busy floor.
CALLS_AFTER = 60
# What is left of a figure that is no figure of chance, such as a share of 1, after a regression.
_ROUNDING = 1e-9


class Plan(NamedTuple):
    """How long to simulate."""

    replications: int
    warm_up: int
    """Calls before the first one that counts: five relaxation times and more, unless the row says otherwise."""
    calls: int
    """That count, a replication."""


class Sample(NamedTuple):
    """The calls of one replication that count, one array element each."""

    kind: Ints
    wait_ms: Ints | Floats
    queued: Flags
    team: Ints
    """Who answered; -1: nobody."""
    busy_ms: float
    """Time that agents were busy from the first to the last arrival that counts, over all agents."""
    staffed_ms: float

    @property
    def answered(self) -> Flags:
        return np.greater_equal(self.team, 0)

    def only(self, chosen: Flags | slice) -> "Sample":
        return self._replace(
            kind=self.kind[chosen],
            wait_ms=self.wait_ms[chosen],
            queued=self.queued[chosen],
            team=self.team[chosen],
        )


def team_of(model: MemorylessModel, fates: Fates) -> Ints:
    """Who answered, by team: agents of one team freed in the same millisecond may stand in for each other."""
    return np.where(fates.answered, model.team_of_agent[fates.agent], -1)


def sample_of(model: MemorylessModel, draw: CallerDraw, fates: Fates, counted: slice) -> Sample:
    opens_ms, closes_ms = draw.arrived_ms[counted.start], draw.arrived_ms[counted.stop]
    begun_ms = (draw.arrived_ms + fates.wait_ms)[fates.answered]
    ended_ms = begun_ms + draw.service_ms[fates.answered]
    busy_ms = np.maximum(np.minimum(ended_ms, closes_ms) - np.maximum(begun_ms, opens_ms), 0)
    every_call = Sample(
        draw.kind,
        fates.wait_ms,
        fates.queued,
        team_of(model, fates),
        float(busy_ms.sum()),
        float(closes_ms - opens_ms) * model.agents,
    )
    return every_call.only(counted)


# --- Figures ---------------------------------------------------------------------------------------------------------

Ratio = tuple[float, float]
"""A sum above the line and one below it."""
Figure = Callable[[Sample], Ratio]


def waiting(calls: Sample) -> Ratio:
    return calls.queued.sum(), calls.queued.size


def abandoning(calls: Sample) -> Ratio:
    """Hanging up, or lost because all agents were busy."""
    return (~calls.answered).sum(), calls.answered.size


def wait_of_all(calls: Sample) -> Ratio:
    return calls.wait_ms.sum() / 1000, calls.wait_ms.size


def wait_of_answered(calls: Sample) -> Ratio:
    return calls.wait_ms[calls.answered].sum() / 1000, calls.answered.sum()


def in_time(calls: Sample) -> Ratio:
    return (calls.answered & (calls.wait_ms <= TARGET_MS)).sum(), calls.answered.size


def in_time_adjusted(calls: Sample) -> Ratio:
    """Those who abandon within the target are left out."""
    soon = calls.wait_ms <= TARGET_MS
    return (calls.answered & soon).sum(), soon.size - (~calls.answered & soon).sum()


def occupancy(calls: Sample) -> Ratio:
    return calls.busy_ms, calls.staffed_ms


def owner_team(calls: Sample) -> Ratio:
    """Of the answered; kind number k belongs to team number k."""
    return (calls.team == calls.kind).sum(), calls.answered.sum()


def owner_team_of_offered(calls: Sample) -> Ratio:
    return (calls.team == calls.kind).sum(), calls.answered.size


class by_team:  # noqa: N801 - read like the other figures; a class, since it goes to other processes
    """Of the answered, those by one team."""

    def __init__(self, team: int) -> None:
        self.team = team
        self.__name__ = f"by_team_{team}"

    def __call__(self, calls: Sample) -> Ratio:
        return (calls.team == self.team).sum(), calls.answered.sum()


class Exact(NamedTuple):
    """What a figure must be."""

    figure: Figure
    value: float
    kind: int | None = None
    """Over the calls of this kind alone."""
    doubt: float = 0.0
    """Half-width of the value's own 95 % interval: the reference knows some by simulation alone."""
    relation: str = "="
    """``<=``, ``>=``: the value is a bound."""

    @property
    def name(self) -> str:
        name: str = self.figure.__name__
        return name if self.kind is None else f"{name}, kind {self.kind}"


# --- Replications ----------------------------------------------------------------------------------------------------

Serve = Callable[[MemorylessModel, CallerDraw], Fates]


class Replication(NamedTuple):
    """What is left of one replication."""

    ratios: Floats
    """A row for each figure: what is above the line, and below."""
    controls: Floats
    callers: int
    unlike: int
    """Callers for whom the second way of serving had another fate."""


def streams(number: int, replications: int) -> list[np.random.SeedSequence]:
    """Equal numbers, equal callers."""
    return np.random.SeedSequence(SEED, spawn_key=(number,)).spawn(replications)


def replicate(
    model: MemorylessModel,
    exact: Iterable[Exact],
    plan: Plan,
    stream: np.random.SeedSequence,
    serve: Serve,
    against: Serve | None = None,
) -> Replication:
    """Draw callers, let *serve* serve them, and *against* the very same, if given."""
    callers_rng, companions_rng = (np.random.default_rng(seed) for seed in stream.spawn(2))
    draw = draw_callers(model, plan.warm_up + plan.calls + CALLS_AFTER, callers_rng)
    fates = serve(model, draw)
    start = draw.opening + plan.warm_up
    counted = slice(start, start + plan.calls)
    unlike = 0 if against is None else count_unlike(model, fates, against(model, draw))
    return Replication(
        ratios_of(sample_of(model, draw, fates, counted), exact),
        zero_mean_controls(model, draw, counted, fates.queued, companions_rng),
        len(draw.kind),
        unlike,
    )


def ratios_of(sample: Sample, exact: Iterable[Exact]) -> Floats:
    return np.array(
        [each.figure(sample if each.kind is None else sample.only(sample.kind == each.kind)) for each in exact],
        dtype=float,
    )


def count_unlike(model: MemorylessModel, one: Fates, other: Fates) -> int:
    """Callers who waited otherwise, queued otherwise, or were answered by another team."""
    same = (
        (one.wait_ms == other.wait_ms) & (one.queued == other.queued) & (team_of(model, one) == team_of(model, other))
    )
    return int((~same).sum())


def simulate(
    model: MemorylessModel,
    exact: Sequence[Exact],
    plan: Plan,
    number: int,
    serve: Serve,
    against: Serve | None = None,
) -> list[Replication]:
    """All replications of *plan*, on the streams of *number*."""
    return [replicate(model, exact, plan, stream, serve, against) for stream in streams(number, plan.replications)]


# --- Findings --------------------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """A figure that was found, beside what it must be."""

    exact: Exact
    found: Interval

    @property
    def inside(self) -> bool:
        found, exact = self.found, self.exact
        normal = NormalDist()
        doubt = exact.doubt * normal.inv_cdf((1 + found.confidence) / 2) / normal.inv_cdf(0.975)
        above = found.estimate - exact.value
        allowed = hypot(found.half_width, doubt) + _ROUNDING
        return (above <= allowed or exact.relation == ">=") and (above >= -allowed or exact.relation == "<=")

    @property
    def is_chance(self) -> bool:
        """Neither a bound, nor what cannot come out otherwise."""
        return self.exact.relation == "=" and self.found.half_width > _ROUNDING

    @property
    def relative(self) -> float:
        """The half-width, as a share of the exact value."""
        return self.found.half_width / self.exact.value


def judge(replications: Sequence[Replication], exact: Sequence[Exact], *, confidence: float) -> list[Finding]:
    controls = np.array([each.controls for each in replications])
    ratios = np.array([each.ratios for each in replications])
    return [
        Finding(
            each,
            ratio_interval(
                ratios[:, place, 0],
                ratios[:, place, 1],
                controls if controls.size else None,
                confidence=confidence,
            ),
        )
        for place, each in enumerate(exact)
    ]
