"""The engine, driven in virtual time, gives what queueing theory gives.

Each row of the reference is simulated by independent replications, each on a random stream of its own. A row
passes when every exact figure lies inside its confidence interval *and* every interval is as narrow as the row
promises, so that a mistake would show: a wide interval contains everything.

How chance is handled. The seed was fixed before the first run and serves every row. The figures of one row come from
the same calls; by Bonferroni's rule each is given the confidence 1 - 0.01 / (figures of the row), so that a right
engine passes a whole row with a probability of at least 99 %. No seed was tried and left; how long a row runs was
settled by the width of its intervals and the patience of those who wait for tests, never by where the intervals lie.

Intervals are narrowed by control variates that know nothing of the figures (`memoryless.zero_mean_controls`). A
control forgives callers who came out unlike the model, so the callers are put to a test of their own.

Where calls are taken first come, first served, the engine is held to the truth in two steps, since alone it could not
serve enough calls in a minute. A recursion of a few lines that shares nothing with it says what becomes of every
caller, and the engine must agree on each of them to the millisecond. That recursion, fifty times as quick, must give
the exact figures within about 1 %. The engine's own intervals, mostly 1 to 8 % wide, stand beside that as a check on
both.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from router.core.model import Link, Skill, SkillNeed, Strategy, TeamId
from router.simulation.memoryless import (
    CallerDraw,
    Companion,
    Crew,
    Fates,
    Kind,
    MemorylessModel,
    draw_callers,
    first_come_first_served,
    play,
    zero_mean_controls,
)
from router.simulation.statistics import interval, ratio_interval, t_quantile

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

# The year of Erlang's paper.
SEED = 1917
ERROR = 0.01
"""How often a right engine may fail a row."""
TARGET_MS = 20_000
# Calls after the last one measured, so that it, too, meets a busy floor.
CALLS_AFTER = 60


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
    wait_ms: Ints
    queued: Flags
    answered: Flags
    by_owner_team: Flags
    busy_ms: float
    """Time that agents were busy from the first to the last arrival that counts, over all agents."""
    staffed_ms: float

    def of_kind(self, kind: int) -> "Sample":
        return self.only(self.kind == kind)

    def only(self, chosen: Flags | slice) -> "Sample":
        return self._replace(
            kind=self.kind[chosen],
            wait_ms=self.wait_ms[chosen],
            queued=self.queued[chosen],
            answered=self.answered[chosen],
            by_owner_team=self.by_owner_team[chosen],
        )


def sample_of(model: MemorylessModel, draw: CallerDraw, fates: Fates, counted: slice) -> Sample:
    opens_ms, closes_ms = draw.arrived_ms[counted.start], draw.arrived_ms[counted.stop]
    begun_ms = (draw.arrived_ms + fates.wait_ms)[fates.answered]
    ended_ms = begun_ms + draw.service_ms[fates.answered]
    busy_ms = np.maximum(np.minimum(ended_ms, closes_ms) - np.maximum(begun_ms, opens_ms), 0)
    # Kind number k belongs to team number k.
    by_owner_team = fates.answered & (model.team_of_agent[fates.agent] == draw.kind)
    staffed_ms = float(closes_ms - opens_ms) * model.agents
    every_call = Sample(
        draw.kind, fates.wait_ms, fates.queued, fates.answered, by_owner_team, float(busy_ms.sum()), staffed_ms
    )
    return every_call.only(counted)


Ratio = tuple[float, float]
"""A sum above the line and one below it."""
Figure = Callable[[Sample], Ratio]


def waiting(calls: Sample) -> Ratio:
    return calls.queued.sum(), calls.queued.size


def abandoning(calls: Sample) -> Ratio:
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
    return calls.by_owner_team.sum(), calls.answered.sum()


class Expected(NamedTuple):
    """An exact figure, and how narrow its interval must be."""

    figure: Figure
    value: float
    half_width: float
    """At most, relative to the value."""
    kind: int | None = None
    """Over the calls of this kind alone."""


Serve = Callable[[MemorylessModel, CallerDraw], Fates]


class Simulation(NamedTuple):
    """All replications of a row."""

    draws: list[CallerDraw]
    fates: list[Fates]
    samples: list[Sample]
    controls: Floats
    """Shape (replications, controls)."""


def simulate(model: MemorylessModel, plan: Plan, row: int, serve: Serve) -> Simulation:
    simulation = Simulation([], [], [], np.empty(0))
    controls = []
    for stream in np.random.SeedSequence(SEED, spawn_key=(row,)).spawn(plan.replications):
        callers_rng, companions_rng = (np.random.default_rng(seed) for seed in stream.spawn(2))
        draw = draw_callers(model, plan.warm_up + plan.calls + CALLS_AFTER, callers_rng)
        fates = serve(model, draw)
        start = draw.opening + plan.warm_up
        counted = slice(start, start + plan.calls)
        simulation.draws.append(draw)
        simulation.fates.append(fates)
        simulation.samples.append(sample_of(model, draw, fates, counted))
        controls.append(zero_mean_controls(model, draw, counted, fates.queued, companions_rng))
    return simulation._replace(controls=np.array(controls))


def check(simulation: Simulation, expected: Iterable[Expected]) -> None:
    """Every figure of the row inside its interval, every interval narrow."""
    expected = tuple(expected)
    lines, failed = [], False
    for figure, value, half_width, kind in expected:
        samples = [sample if kind is None else sample.of_kind(kind) for sample in simulation.samples]
        parts, wholes = zip(*map(figure, samples), strict=True)
        found = ratio_interval(parts, wholes, simulation.controls, confidence=1 - ERROR / len(expected))
        inside, narrow = found.contains(value), found.half_width <= half_width * value
        failed |= not (inside and narrow)
        lines.append(
            f"{figure.__name__}{'' if kind is None else f', kind {kind}'}: {found}, exact {value:.6g}, half-width "
            f"{100 * found.half_width / value:.2f} %{'' if inside else ' OUTSIDE'}{'' if narrow else ' TOO WIDE'}"
        )
    assert not failed, "\n" + "\n".join(lines)


# --- First come, first served: Erlang-C, Erlang-A and the N design ---------------------------------------------------

FIRST, SECOND = TeamId("first"), TeamId("second")


class Exact(NamedTuple):
    """An exact figure, and how narrow its intervals must be, as in `Expected`."""

    figure: Figure
    value: float
    by_engine: float
    by_recursion: float
    kind: int | None = None


class Row(NamedTuple):
    """A row of the reference, and how long the engine and the recursion simulate it."""

    name: str
    number: int
    model: MemorylessModel
    exact: tuple[Exact, ...]
    by_engine: Plan
    by_recursion: Plan

    def __str__(self) -> str:
        return self.name


def one_team(load: float, service_s: float, agents: int, patience_s: float | None) -> MemorylessModel:
    team = TeamId("team")
    return MemorylessModel([Kind("calls", load, service_s, patience_s, (Link(team),))], [Crew(team, agents)])


def n_design() -> MemorylessModel:
    """Three agents take the first kind only, three take both (Adan & Weiss 2014)."""
    return MemorylessModel(
        [Kind("zero", 2.7, 240, None, (Link(FIRST), Link(SECOND))), Kind("one", 1.5, 240, None, (Link(SECOND),))],
        [Crew(FIRST, 3), Crew(SECOND, 3)],
        companions=[Companion((0, 1), 6), Companion((1,), 3)],
    )


ROWS = (
    # A load of 93 % on 90 agents takes an hour and a half to forget where it was, some 800 calls: too dear for better.
    Row(
        "erlang-c-90", 1, one_team(84, 600, 90, None),
        (
            Exact(waiting, 0.411957314, 0.07, 0.01),
            Exact(wait_of_all, 41.195731, 0.25, 0.03),
            Exact(in_time, 0.662717878, 0.05, 0.01),
        ),
        Plan(40, 1_500, 1_200), Plan(300, 2_500, 8_000),
    ),
    Row(
        "erlang-c-14", 2, one_team(10, 180, 14, None),
        (
            Exact(waiting, 0.174131934, 0.04, 0.01),
            Exact(wait_of_all, 7.835937, 0.10, 0.02),
            Exact(in_time, 0.888350019, 0.01, 0.002),
        ),
        Plan(80, 150, 600), Plan(200, 150, 8_000),
    ),
    Row(
        "erlang-c-10", 3, one_team(8, 240, 10, None),
        (
            Exact(waiting, 0.409180151, 0.03, 0.01),
            Exact(wait_of_all, 49.101618, 0.07, 0.015),
            Exact(in_time, 0.653636480, 0.02, 0.005),
        ),
        Plan(60, 360, 700), Plan(200, 360, 8_000),
    ),
    Row(
        "erlang-a-4", 4, one_team(3, 300, 4, 120),
        (
            Exact(waiting, 0.301925086, 0.02, 0.005),
            Exact(abandoning, 0.140999621, 0.03, 0.01),
            Exact(wait_of_answered, 11.008487, 0.06, 0.01),
            Exact(wait_of_all, 16.919955, 0.05, 0.01),
            Exact(in_time, 0.740963358, 0.01, 0.005),
            Exact(in_time_adjusted, 0.774119837, 0.01, 0.005),
            Exact(occupancy, 0.644250, 0.01, 0.005),
        ),
        Plan(80, 60, 500), Plan(200, 100, 8_000),
    ),
    Row(
        "erlang-a-10", 5, one_team(8, 240, 10, 180),
        (
            Exact(waiting, 0.268523438, 0.03, 0.005),
            Exact(abandoning, 0.059517598, 0.06, 0.01),
            Exact(wait_of_answered, 9.127935, 0.08, 0.01),
            Exact(wait_of_all, 10.713168, 0.07, 0.01),
            Exact(in_time, 0.804380267, 0.015, 0.005),
            Exact(in_time_adjusted, 0.824273566, 0.015, 0.005),
            Exact(occupancy, 0.752386, 0.01, 0.005),
        ),
        Plan(80, 150, 500), Plan(200, 200, 8_000),
    ),
    Row(
        "erlang-a-20", 6, one_team(22, 300, 20, 180),
        (
            Exact(waiting, 0.619796118, 0.03, 0.005),
            Exact(abandoning, 0.147696350, 0.04, 0.01),
            Exact(wait_of_answered, 25.097536, 0.06, 0.01),
            Exact(wait_of_all, 26.585343, 0.06, 0.01),
            Exact(in_time, 0.512169595, 0.04, 0.01),
            Exact(in_time_adjusted, 0.543730701, 0.04, 0.01),
            Exact(occupancy, 0.937534, 0.01, 0.005),
        ),
        Plan(80, 200, 500), Plan(200, 300, 8_000),
    ),
    Row(
        "n-design", 7, n_design(),
        (
            Exact(waiting, 0.29795316, 0.05, 0.01, 0),
            Exact(wait_of_all, 39.727087, 0.09, 0.02, 0),
            Exact(owner_team, 0.70439193, 0.015, 0.005, 0),
            Exact(waiting, 0.56479857, 0.03, 0.01, 1),
            Exact(wait_of_all, 114.204023, 0.09, 0.02, 1),
            Exact(owner_team, 1.0, 1e-9, 1e-9, 1),
        ),
        Plan(60, 300, 900), Plan(200, 300, 8_000),
    ),
)  # fmt: skip


def team_of(model: MemorylessModel, fates: Fates) -> Ints:
    """Who answered; agents of one team who are freed in the same millisecond may stand in for each other."""
    return np.where(fates.answered, model.team_of_agent[fates.agent], -1)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_engine_is_exact(row: Row) -> None:
    """Caller by caller as the recursion says, and the exact figures inside the engine's own intervals."""
    model = row.model

    simulation = simulate(model, row.by_engine, row.number, play)

    for draw, fates in zip(simulation.draws, simulation.fates, strict=True):
        recursion = first_come_first_served(model, draw)
        assert np.array_equal(fates.wait_ms, recursion.wait_ms)
        assert np.array_equal(fates.queued, recursion.queued)
        assert np.array_equal(fates.answered, recursion.answered)
        assert np.array_equal(team_of(model, fates), team_of(model, recursion))
    check(simulation, (Expected(each.figure, each.value, each.by_engine, each.kind) for each in row.exact))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_recursion_is_exact(row: Row) -> None:
    """The recursion with which the engine agrees on every caller has the exact figures, to about 1 %."""
    simulation = simulate(row.model, row.by_recursion, 100 + row.number, first_come_first_served)

    check(simulation, (Expected(each.figure, each.value, each.by_recursion, each.kind) for each in row.exact))


# --- Two teams able to take each other's portfolios ------------------------------------------------------------------


def two_teams(*, own_first: bool = False, strategy: Strategy = Strategy.MOST_SKILLED) -> MemorylessModel:
    """Two teams of ten able to take both portfolios at once; by `most_skilled` the owner team is asked first."""
    pairs = ((FIRST, SECOND), (SECOND, FIRST))
    return MemorylessModel(
        [Kind(own, 8, 240, 180, (Link(own), Link(other)), skills=(SkillNeed(Skill(own)),)) for own, other in pairs],
        [
            Crew(own, 10, {Skill(own): 2, Skill(other): 1}, own_first=own_first, strategy=strategy)
            for own, other in pairs
        ],
    )


# Who serves whom in which order makes no difference to these: all agents are alike, and so is all patience.
POOLED = (
    Expected(waiting, 0.17817830, 0.04),
    Expected(abandoning, 0.02617864, 0.08),
    Expected(wait_of_all, 4.71215555, 0.10),
)


def test_own_portfolio_first_is_exact() -> None:
    """All but the service level, which is known to the reference by simulation alone, to 0.001."""
    simulation = simulate(two_teams(own_first=True), Plan(80, 150, 600), 8, play)

    check(simulation, [*POOLED, Expected(owner_team, 0.85109565, 0.01), Expected(in_time, 0.9029, 0.01)])


def test_shared_queue_is_exact() -> None:
    """Freed agents take calls in order of arrival; the owner team is still asked first by a call that arrives.

    The owner share is 0.81820037. Those who find somebody idle find the owner team's with a probability that follows
    from the two teams' numbers of busy agents (121 states, solved numerically); those who waited are answered by
    either team alike, since who is first in the queue tells nothing of who is freed. (The reference's 0.83638393 is of
    another rule: the longer queue first.) The service level is that of one Erlang-A queue of all twenty agents.
    """
    simulation = simulate(two_teams(), Plan(80, 150, 600), 9, play)

    check(simulation, [*POOLED, Expected(owner_team, 0.81820037, 0.01), Expected(in_time, 0.89635527, 0.01)])


@pytest.mark.parametrize("strategy", Strategy)
def test_waits_do_not_depend_on_strategy(strategy: Strategy) -> None:
    """With agents who can all do everything, whom a strategy asks first changes no caller's wait."""
    model = two_teams(strategy=strategy)
    draw = draw_callers(model, 3_000, np.random.default_rng(SEED))

    fates = play(model, draw)

    recursion = first_come_first_served(model, draw)
    assert np.array_equal(fates.wait_ms, recursion.wait_ms)
    assert np.array_equal(fates.answered, recursion.answered)


# --- The instruments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_callers_follow_the_model(row: Row) -> None:
    """All controls have the expectation zero that they are said to have: callers and companions came out as drawn."""
    controls = simulate(row.model, Plan(60, 1_000, 3_000), 200 + row.number, first_come_first_served).controls

    confidence = 1 - ERROR / controls.shape[1]
    for control in controls.T:
        assert interval(control, confidence=confidence).contains(0.0)


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 2000 intervals at 90 %, with a control that explains most of the figure, about 1800 cover the truth."""
    rng = np.random.default_rng(SEED)
    plain, controlled = [], []
    for _ in range(2_000):
        control = rng.normal(size=(20, 1))
        values = 5 + 2 * control[:, 0] + 0.5 * rng.normal(size=20)
        plain.append(interval(values, confidence=0.9))
        controlled.append(interval(values, control, confidence=0.9))

    for intervals in (plain, controlled):
        # 1800 less or more three standard deviations.
        assert 1_760 <= sum(each.contains(5) for each in intervals) <= 1_840
    assert np.mean([each.half_width for each in controlled]) < 0.3 * np.mean([each.half_width for each in plain])


def test_ratio_is_of_expectations() -> None:
    """Not the mean of ratios, which short replications would bias."""
    rng = np.random.default_rng(SEED)
    wholes = rng.integers(1, 4, size=10_000)
    parts = wholes**2

    found = ratio_interval(parts, wholes)

    assert found.contains((1 + 4 + 9) / (1 + 2 + 3))
    assert found.half_width < 0.02


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [(0.975, 10, 2.2281), (0.995, 10, 3.1693), (0.995, 30, 2.7500), (0.9995, 20, 3.8495), (0.5, 12, 0.0)],
)
def test_quantiles_are_those_of_the_table(probability: float, degrees: int, quantile: float) -> None:
    assert t_quantile(probability, degrees=degrees) == pytest.approx(quantile, abs=1.5e-3)


def test_too_few_replications_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 replications"):
        interval(np.zeros(3), np.zeros((3, 2)))
