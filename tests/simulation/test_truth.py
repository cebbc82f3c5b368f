"""The engine, driven in virtual time, gives what queueing theory gives.

Each row of the reference is simulated by independent replications, each on a random stream of its own. A row passes when
every exact figure lies inside its confidence interval *and* every interval is as narrow as the row promises, so that a
mistake would show: a wide interval contains everything.

How chance is handled. The seed was fixed before the first run and serves every row. The figures of one row come from the
same calls; by Bonferroni's rule each is given the confidence 1 - 0.01 / (figures of the row), so that a right engine passes
a whole row with a probability of at least 99 %. There are nine rows, so that about one seed in eleven or fewer would
fail a right engine somewhere; had this been such a seed, the row would have been repeated once with twice the calls.

Intervals are narrowed by control variates that know nothing of the figures (`memoryless.zero_mean_controls`). A control
forgives callers who came out unlike the model, so the callers are put to a test of their own. Where calls are taken first
come, first served by anyone, a recursion of ten lines says what becomes of every single call: there the engine must agree
to the millisecond, and the recursion in its turn, being quick, is held to the exact figures within about 1 %.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from router.core.model import Link, Skill, SkillNeed, Strategy, TeamId
from router.simulation.memoryless import (
    CallerDraw,
    Crew,
    Companion,
    Fates,
    Kind,
    MemorylessModel,
    draw_callers,
    first_come_first_served,
    play,
    zero_mean_controls,
)
from router.simulation.statistics import Interval, interval, ratio_interval, t_quantile

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
    """One replication: the calls that count, and what became of them."""

    draw: CallerDraw
    fates: Fates
    measured: slice

    def of_kind(self, kind: int) -> np.ndarray:
        return self.draw.kind[self.measured] == kind

    @property
    def wait_ms(self) -> np.ndarray:
        return self.fates.wait_ms[self.measured]

    @property
    def queued(self) -> np.ndarray:
        return self.fates.queued[self.measured]

    @property
    def answered(self) -> np.ndarray:
        return self.fates.answered[self.measured]


Figure = Callable[[MemorylessModel, Sample], tuple[float, float]]
"""A sum above the line and one below it."""


def waiting(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    return sample.queued.sum(), len(sample.queued)


def wait_of_all(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    return sample.wait_ms.sum() / 1000, len(sample.wait_ms)


def wait_of_answered(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    return (sample.wait_ms * sample.answered).sum() / 1000, sample.answered.sum()


def abandoning(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    return (~sample.answered).sum(), len(sample.answered)


def in_time(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    return (sample.answered & (sample.wait_ms <= TARGET_MS)).sum(), len(sample.answered)


def in_time_adjusted(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    """Those who abandon within the target are left out."""
    soon = sample.wait_ms <= TARGET_MS
    return (sample.answered & soon).sum(), len(soon) - (~sample.answered & soon).sum()


def occupancy(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    """Time that agents are busy from the first to the last arrival that counts."""
    arrived = sample.draw.arrived_ms
    opens, closes = arrived[sample.measured.start], arrived[sample.measured.stop]
    answered = sample.fates.answered
    begun = (arrived + sample.fates.wait_ms)[answered]
    busy = np.minimum(begun + sample.draw.service_ms[answered], closes) - np.maximum(begun, opens)
    return np.maximum(busy, 0).sum(), float((closes - opens) * model.agents)


def owner_team(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
    """Kind number k belongs to team number k."""
    team = model.team_of_agent[sample.fates.agent[sample.measured]]
    return (sample.answered & (team == sample.draw.kind[sample.measured])).sum(), sample.answered.sum()


def of_kind(kind: int, figure: Figure) -> Figure:
    """The figure over the calls of one kind."""

    def figure_of_kind(model: MemorylessModel, sample: Sample) -> tuple[float, float]:
        calls = np.zeros(len(sample.draw.kind), dtype=bool)
        calls[sample.measured] = sample.of_kind(kind)
        draw = CallerDraw(*(None if column is None else column[calls] for column in sample.draw[:4]), 0)
        fates = Fates(*(column[calls] for column in sample.fates))
        return figure(model, Sample(draw, fates, slice(0, len(draw.kind))))

    return figure_of_kind


class Expected(NamedTuple):
    """An exact figure, and how narrow its interval must be."""

    figure: Figure
    value: float
    half_width: float
    """At most, relative to the value."""


Serve = Callable[[MemorylessModel, CallerDraw], Fates]


def simulate(model: MemorylessModel, plan: Plan, row: int, serve: Serve) -> tuple[list[Sample], np.ndarray]:
    """The replications, and what narrows their intervals."""
    samples, controls = [], []
    for stream in np.random.SeedSequence(SEED, spawn_key=(row,)).spawn(plan.replications):
        callers_rng, companions_rng = (np.random.default_rng(seed) for seed in stream.spawn(2))
        draw = draw_callers(model, plan.warm_up + plan.calls + CALLS_AFTER, callers_rng)
        start = draw.opening + plan.warm_up
        sample = Sample(draw, serve(model, draw), slice(start, start + plan.calls))
        samples.append(sample)
        controls.append(zero_mean_controls(model, draw, sample.measured, sample.queued, companions_rng))
    return samples, np.array(controls)


def check(model: MemorylessModel, samples: list[Sample], controls: np.ndarray, expected: list[Expected]) -> None:
    """Every figure of the row inside its interval, every interval narrow."""
    confidence = 1 - ERROR / len(expected)
    lines, failed = [], False
    for figure, value, half_width in expected:
        parts, wholes = zip(*(figure(model, sample) for sample in samples), strict=True)
        found: Interval = ratio_interval(parts, wholes, controls, confidence=confidence)
        inside, narrow = found.contains(value), found.half_width <= half_width * value
        failed |= not (inside and narrow)
        lines.append(
            f"{figure.__name__}: {found}, exact {value:.6g}, half-width {100 * found.half_width / value:.2f} % of it"
            f"{'' if inside else ' OUTSIDE'}{'' if narrow else ' TOO WIDE'}"
        )
    print("\n".join(lines))
    assert not failed, "\n" + "\n".join(lines)


def serve_by_recursion(model: MemorylessModel, draw: CallerDraw) -> Fates:
    return first_come_first_served(draw, model.agents)


# --- One team: Erlang-C and Erlang-A -------------------------------------------------------------------------------


class OneTeam(NamedTuple):
    """A row of the reference, and how it is simulated by the engine and by the recursion."""

    number: int
    load: float
    service_s: float
    agents: int
    patience_s: float | None
    exact: tuple[float, ...]
    by_engine: Plan
    engine_half_widths: tuple[float, ...]
    by_recursion: Plan
    recursion_half_widths: tuple[float, ...]

    @property
    def model(self) -> MemorylessModel:
        team = TeamId("team")
        kind = Kind("calls", self.load, self.service_s, self.patience_s, (Link(team),))
        return MemorylessModel([kind], [Crew(team, self.agents)])

    def expected(self, half_widths: tuple[float, ...]) -> list[Expected]:
        figures = ERLANG_C if self.patience_s is None else ERLANG_A
        return [Expected(*each) for each in zip(figures, self.exact, half_widths, strict=True)]

    def __str__(self) -> str:
        patience = "" if self.patience_s is None else f"-patience{self.patience_s:g}"
        return f"load{self.load:g}-agents{self.agents}{patience}"


ERLANG_C = (waiting, wait_of_all, in_time)
ERLANG_A = (waiting, abandoning, wait_of_answered, wait_of_all, in_time, in_time_adjusted, occupancy)

ONE_TEAM = (
    # A load of 93 % on 90 agents takes an hour and a half to forget where it was, some 800 calls.
    OneTeam(
        1, 84, 600, 90, None, (0.411957314, 41.195731, 0.662717878),
        Plan(30, 2_000, 4_000), (0.06, 0.12, 0.04),
        Plan(240, 2_500, 8_000), (0.02, 0.04, 0.01),
    ),
    OneTeam(
        2, 10, 180, 14, None, (0.174131934, 7.835937, 0.888350019),
        Plan(40, 150, 1_500), (0.03, 0.08, 0.008),
        Plan(200, 150, 8_000), (0.01, 0.02, 0.003),
    ),
    OneTeam(
        3, 8, 240, 10, None, (0.409180151, 49.101618, 0.653636480),
        Plan(40, 360, 1_500), (0.03, 0.07, 0.02),
        Plan(200, 360, 8_000), (0.01, 0.02, 0.005),
    ),
    OneTeam(
        4, 3, 300, 4, 120, (0.301925086, 0.140999621, 11.008487, 16.919955, 0.740963358, 0.774119837, 0.644250),
        Plan(40, 100, 1_500), (0.02, 0.03, 0.05, 0.03, 0.01, 0.01, 0.01),
        Plan(200, 100, 8_000), (0.005, 0.01, 0.01, 0.01, 0.003, 0.003, 0.003),
    ),
    OneTeam(
        5, 8, 240, 10, 180, (0.268523438, 0.059517598, 9.127935, 10.713168, 0.804380267, 0.824273566, 0.752386),
        Plan(40, 200, 1_500), (0.03, 0.05, 0.07, 0.06, 0.01, 0.01, 0.01),
        Plan(200, 200, 8_000), (0.01, 0.01, 0.02, 0.02, 0.003, 0.003, 0.003),
    ),
    OneTeam(
        6, 22, 300, 20, 180, (0.619796118, 0.147696350, 25.097536, 26.585343, 0.512169595, 0.543730701, 0.937534),
        Plan(40, 300, 1_500), (0.03, 0.05, 0.05, 0.05, 0.03, 0.03, 0.01),
        Plan(200, 300, 8_000), (0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.003),
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", ONE_TEAM, ids=str)
def test_one_team_is_erlang(row: OneTeam) -> None:
    """Probability of waiting and abandoning, mean waits, service levels and occupancy: Erlang-C and Erlang-A."""
    samples, controls = simulate(row.model, row.by_engine, row.number, play)

    check(row.model, samples, controls, row.expected(row.engine_half_widths))
    for sample in samples:
        recursion = first_come_first_served(sample.draw, row.agents)
        assert np.array_equal(sample.fates.wait_ms, recursion.wait_ms)
        assert np.array_equal(sample.fates.answered, recursion.answered)
        assert np.array_equal(sample.fates.queued, recursion.queued)


@pytest.mark.parametrize("row", ONE_TEAM, ids=str)
def test_recursion_is_erlang(row: OneTeam) -> None:
    """The recursion with which the engine agrees call by call has the exact figures, to about 1 %."""
    samples, controls = simulate(row.model, row.by_recursion, 100 + row.number, serve_by_recursion)

    check(row.model, samples, controls, row.expected(row.recursion_half_widths))


# --- Two teams -----------------------------------------------------------------------------------------------------

FIRST, SECOND = TeamId("first"), TeamId("second")


def test_n_design_is_product_form() -> None:
    """Three agents take the first kind only, three take both: first come first served, longest idle (Adan & Weiss 2014)."""
    model = MemorylessModel(
        [
            Kind("zero", 2.7, 240, None, (Link(FIRST), Link(SECOND))),
            Kind("one", 1.5, 240, None, (Link(SECOND),)),
        ],
        [Crew(FIRST, 3), Crew(SECOND, 3)],
        companions=[Companion((0, 1), 6), Companion((1,), 3)],
    )

    samples, controls = simulate(model, Plan(60, 300, 1_800), 7, play)

    check(
        model,
        samples,
        controls,
        [
            Expected(of_kind(0, waiting), 0.29795316, 0.03),
            Expected(of_kind(0, wait_of_all), 39.727087, 0.08),
            Expected(of_kind(0, owner_team), 0.70439193, 0.01),
            Expected(of_kind(1, waiting), 0.56479857, 0.03),
            Expected(of_kind(1, wait_of_all), 114.204023, 0.08),
            Expected(of_kind(1, owner_team), 1.0, 0.0),
        ],
    )


def two_teams(*, own_first: bool = False, strategy: Strategy = Strategy.MOST_SKILLED) -> MemorylessModel:
    """Two teams of ten able to take both portfolios at once; by `most_skilled` the owner team is asked first."""
    skills = {FIRST: Skill("first"), SECOND: Skill("second")}
    return MemorylessModel(
        [
            Kind(own, 8, 240, 180, (Link(own), Link(other)), skills=(SkillNeed(skills[own]),))
            for own, other in ((FIRST, SECOND), (SECOND, FIRST))
        ],
        [
            Crew(own, 10, {skills[own]: 2, skills[other]: 1}, own_first=own_first, strategy=strategy)
            for own, other in ((FIRST, SECOND), (SECOND, FIRST))
        ],
    )


POOLED = (
    Expected(waiting, 0.17817830, 0.03),
    Expected(abandoning, 0.02617864, 0.06),
    Expected(wait_of_all, 4.71215555, 0.06),
)
"""Who serves whom in which order makes no difference to these: all agents are alike, and so is all patience."""


def test_own_portfolio_first_is_exact() -> None:
    model = two_teams(own_first=True)

    samples, controls = simulate(model, Plan(50, 200, 1_800), 8, play)

    check(model, samples, controls, [*POOLED, Expected(owner_team, 0.85109565, 0.01)])


def test_shared_queue_is_exact() -> None:
    """Freed agents take calls in order of arrival; the owner team is still asked first by a call that arrives.

    The owner share is 0.81820037: those who find somebody idle find the owner team's with the probability given by the
    two teams' numbers of busy agents (121 states, solved numerically), and those who waited meet either team alike, since
    who waits is independent of who is freed. The service level is that of one Erlang-A queue.
    """
    model = two_teams()

    samples, controls = simulate(model, Plan(50, 200, 1_800), 9, play)

    check(
        model,
        samples,
        controls,
        [*POOLED, Expected(owner_team, 0.81820037, 0.01), Expected(in_time, 0.89635527, 0.01)],
    )


@pytest.mark.parametrize("strategy", Strategy)
def test_waits_do_not_depend_on_strategy(strategy: Strategy) -> None:
    """With agents who can all do everything, whom a strategy asks first changes no caller's wait."""
    model = two_teams(strategy=strategy)
    draw = draw_callers(model, 3_000, np.random.default_rng(SEED))

    fates = play(model, draw)

    recursion = serve_by_recursion(model, draw)
    assert np.array_equal(fates.wait_ms, recursion.wait_ms)
    assert np.array_equal(fates.answered, recursion.answered)


# --- The instruments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [*(row.model for row in ONE_TEAM), two_teams()], ids=[*(str(row) for row in ONE_TEAM), "two_teams"]
)
def test_callers_follow_the_model(model: MemorylessModel) -> None:
    """All controls have the expectation zero that they are said to have: callers and companions came out as drawn."""
    plan = Plan(150, 2_000, 4_000)

    _, controls = simulate(model, plan, 200, serve_by_recursion)

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
    with pytest.raises(ValueError, match="at least 13 replications"):
        interval(np.zeros(12), np.zeros((12, 2)))
