"""The engine, driven in virtual time, gives what queueing theory gives.

`tests.truth.rows` has the models: every row of the reference, and random skill designs with their exact product form.
Here each is simulated briefly; ``make truth`` does it at length, and docs/truth.md has what it found.

The engine is held to the truth in two steps, since alone it could not serve enough calls in a minute. A second way of a
few lines that shares nothing with it says what becomes of every caller, and the engine must agree on each of them to
the millisecond. That second way, many times as quick, must give the exact figures, by intervals so narrow that a
mistake would show: a wide interval contains everything. The engine's own intervals stand beside that, as a check on
both.

How chance is handled. The seed was fixed before the first run and serves every row. Each interval is given the
confidence 1 - 0.01 / (all intervals of this file, and some to spare), so that by Bonferroni's rule a right engine
passes all of them with a probability of at least 99 %. No seed was tried and left; how long a row runs was settled by
the width of its intervals and the patience of those who wait for tests, never by where the intervals lie.

Intervals are narrowed by control variates that know nothing of the figures (`memoryless.zero_mean_controls`). A
control forgives callers who came out unlike the model, so the callers are put to a test of their own.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np
import pytest

from router.core.model import Strategy
from router.simulation.memoryless import (
    CallerDraw,
    Fates,
    MemorylessModel,
    draw_callers,
    first_come_first_served,
    play,
)
from router.simulation.statistics import interval, ratio_interval, t_quantile
from tests.truth import rows as known
from tests.truth.figures import (
    ERROR,
    SEED,
    Exact,
    Figure,
    Finding,
    Plan,
    Replication,
    abandoning,
    in_time,
    judge,
    replicate,
    simulate,
    streams,
    wait_of_all,
    wait_of_answered,
    waiting,
)
from tests.truth.owner_first import owner_team_first
from tests.truth.rows import ROWS, Row, design_row

DESIGNS = tuple(map(design_row, range(1, 5)))
EVERY_ROW = (*ROWS, *DESIGNS)
# Both ways of every row, and some that are asked of apart.
CONFIDENCE = 1 - ERROR / (2 * sum(len(row.exact) for row in EVERY_ROW) + 50)


def assert_exact(findings: Sequence[Finding], row: Row) -> None:
    lines = [
        f"{each.exact.name}: {each.found}, exact {each.exact.relation} {each.exact.value:.6g}"
        f"{'' if each.inside else ' OUTSIDE'}"
        for each in findings
    ]
    assert all(each.inside for each in findings), "\n".join([f"python -m tests.truth {row.name}", *lines])


def engine_plan(row: Row) -> Plan:
    # A load of 93 % on 90 agents takes an hour and a half to forget where it was, some 800 calls: too dear for long.
    return Plan(40, row.warm_up, 200) if row.warm_up < 1_000 else Plan(25, 1_500, 600)


def second_plan(row: Row) -> Plan:
    if row.second is not first_come_first_served:
        return Plan(120, row.warm_up, 2_500)
    return Plan(120, row.warm_up, 5_000 if row.warm_up < 1_000 else 8_000)


WIDEST: dict[Figure, float] = {wait_of_all: 0.06, wait_of_answered: 0.06, abandoning: 0.05, waiting: 0.03}
"""Half-widths that would still show a mistake, relative to the figure; all others: 2 %."""


@pytest.mark.parametrize("row", EVERY_ROW, ids=str)
def test_engine_is_exact(row: Row) -> None:
    """Caller by caller as the second way says, and the exact figures inside the engine's own intervals."""
    replications = simulate(row.model, row.exact, engine_plan(row), row.number, play, row.second)

    assert sum(each.unlike for each in replications) == 0
    assert_exact(judge(replications, row.exact, confidence=CONFIDENCE), row)


@pytest.mark.parametrize("row", EVERY_ROW, ids=str)
def test_second_way_is_exact(row: Row) -> None:
    """The few lines with which the engine agrees on every caller have the exact figures, within narrow intervals."""
    replications = simulate(row.model, row.exact, second_plan(row), 1_000 + row.number, row.second)

    findings = judge(replications, row.exact, confidence=CONFIDENCE)
    assert_exact(findings, row)
    for each in findings:
        # Designs whose worst off are few have the widest.
        allowed = WIDEST.get(each.exact.figure, 0.02) * (1.5 if row in DESIGNS else 1)
        assert not each.is_chance or each.relative < allowed, f"{each.exact.name}: {each.found} is wide"


# --- Whom the routing rule matters to --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", Strategy)
def test_waits_do_not_depend_on_strategy(strategy: Strategy) -> None:
    """With agents who can all do everything, whom a strategy asks first changes no caller's wait."""
    model = known.owner_teams(2, 10, known.TWO_TEAMS, own_first=False, strategy=strategy)
    draw = draw_callers(model, 3_000, np.random.default_rng(SEED))

    fates = play(model, draw)

    recursion = first_come_first_served(model, draw)
    assert np.array_equal(fates.wait_ms, recursion.wait_ms)
    assert np.array_equal(fates.answered, recursion.answered)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("own_first", [True, False])
@pytest.mark.parametrize("head_start_s", [0, 60])
def test_no_rule_changes_how_many_are_there(strategy: Strategy, own_first: bool, head_start_s: int) -> None:
    """Whatever the rule, work is never left undone: with equal talks, agents are free at the very same moments.

    So the same callers find somebody idle, and all callers together wait equally long, if in another order.
    """
    model = known.owner_teams(2, 10, known.TWO_TEAMS, own_first=own_first, strategy=strategy, head_start_s=head_start_s)
    draw = draw_callers(model, 1_500, np.random.default_rng(SEED))
    draw = draw._replace(service_ms=np.full_like(draw.service_ms, 240_000), patience_ms=None)

    fates = play(model, draw)

    recursion = first_come_first_served(model, draw)
    assert np.array_equal(fates.queued, recursion.queued)
    assert fates.wait_ms.sum() == recursion.wait_ms.sum()
    begun_ms, due_ms = draw.arrived_ms + fates.wait_ms, draw.arrived_ms + recursion.wait_ms
    assert np.array_equal(np.sort(begun_ms), np.sort(due_ms))


def test_service_level_depends_on_order() -> None:
    """The very same callers: with own portfolios first, more are answered in time than first come, first served."""
    gain = 0.9029 - 0.89635527
    own_first, one_queue = (
        simulate(row.model, row.exact, Plan(120, row.warm_up, 2_500), 1_100, row.second)
        for row in known.INVARIANCE_ROWS[:2]
    )
    (place,) = (place for place, each in enumerate(known.INVARIANCE_ROWS[0].exact) if each.figure is in_time)
    (other,) = (place for place, each in enumerate(known.INVARIANCE_ROWS[1].exact) if each.figure is in_time)

    found = interval(
        [
            (one.ratios[place, 0] - two.ratios[other, 0]) / one.ratios[place, 1]
            for one, two in zip(own_first, one_queue, strict=True)
        ],
        confidence=CONFIDENCE,
    )

    assert abs(found.estimate - gain) < found.half_width + 0.001
    assert found.estimate - found.half_width > 0


# --- What is wrong is noticed ----------------------------------------------------------------------------------------


def row_named(name: str) -> Row:
    (row,) = known.rows_named([name])
    return row


def assert_noticed(row: Row, wrong: list[Replication], *, figures: set[str]) -> None:
    outside = {each.exact.name for each in judge(wrong, row.exact, confidence=CONFIDENCE) if not each.inside}
    assert outside >= figures


def test_callers_who_do_not_hang_up_are_noticed() -> None:
    row = row_named("erlang-a-10")

    def patient(model: MemorylessModel, draw: CallerDraw) -> Fates:
        return first_come_first_served(model, draw._replace(patience_ms=None))

    wrong = simulate(row.model, row.exact, second_plan(row), row.number, patient)

    assert_noticed(row, wrong, figures={"abandoning", "wait_of_all", "occupancy", "waiting"})


def test_last_come_first_served_is_noticed() -> None:
    """Mean waits are as they were: it is the service level that tells."""
    row = row_named("erlang-c-10")

    def last_come_first_served(model: MemorylessModel, draw: CallerDraw) -> Fates:
        busy: list[int] = []
        stack: list[int] = []
        arrived_ms, service_ms = draw.arrived_ms.tolist(), draw.service_ms.tolist()
        wait_ms, queued = [0] * len(arrived_ms), [False] * len(arrived_ms)

        def free_until(now_ms: int) -> None:
            while busy and busy[0] <= now_ms:
                freed_ms = heappop(busy)
                if stack:
                    call = stack.pop()
                    wait_ms[call] = freed_ms - arrived_ms[call]
                    heappush(busy, freed_ms + service_ms[call])

        for call, now_ms in enumerate(arrived_ms):
            free_until(now_ms)
            if len(busy) < model.agents:
                heappush(busy, now_ms + service_ms[call])
            else:
                stack.append(call)
                queued[call] = True
        free_until(1 << 62)
        return Fates(np.array(wait_ms), np.zeros(len(wait_ms), dtype=np.int64), np.array(queued))

    wrong = simulate(row.model, row.exact, second_plan(row), row.number, last_come_first_served)

    assert_noticed(row, wrong, figures={"in_time"})


def test_shortest_idle_first_is_noticed() -> None:
    """Where agents are not alike, whom a call takes decides who is left for those whom few can serve."""
    row = row_named("n-design")

    def shortest_idle(model: MemorylessModel, draw: CallerDraw) -> Fates:
        crews = {crew.team_id: number for number, crew in enumerate(model.crews)}
        able = [{crews[link.team_id] for link in kind.teams} for kind in model.kinds]
        teams = model.team_of_agent.tolist()
        free_ms = [0] * model.agents
        wait_ms, agents = [], []
        numbers = zip(draw.kind.tolist(), draw.arrived_ms.tolist(), draw.service_ms.tolist(), strict=True)
        for kind, arrived_ms, service_ms in numbers:
            mine = [agent for agent, team in enumerate(teams) if team in able[kind]]
            idle = [agent for agent in mine if free_ms[agent] <= arrived_ms]
            agent = max(idle, key=free_ms.__getitem__) if idle else min(mine, key=free_ms.__getitem__)
            begun_ms = max(arrived_ms, free_ms[agent])
            free_ms[agent] = begun_ms + service_ms
            wait_ms.append(begun_ms - arrived_ms)
            agents.append(agent)
        return Fates(np.array(wait_ms), np.array(agents), np.array(wait_ms) > 0)

    wrong = simulate(row.model, row.exact, second_plan(row), row.number, shortest_idle)

    assert_noticed(row, wrong, figures={"owner_team, kind 0", "waiting, kind 1"})


def test_a_caller_who_fares_otherwise_is_counted() -> None:
    row = row_named("two-teams-after-10")
    fixed = row_named("two-teams-after-15")
    (stream,) = streams(row.number, 1)

    replication = replicate(
        row.model, row.exact, Plan(1, 0, 500), stream, play, lambda _, draw: owner_team_first(fixed.model, draw)
    )

    assert replication.unlike > 0


def test_a_bound_is_of_one_side() -> None:
    found = interval(np.linspace(0.4, 0.6, 40), confidence=0.99)

    assert Finding(Exact(abandoning, 0.45, relation=">="), found).inside
    assert not Finding(Exact(abandoning, 0.55, relation=">="), found).inside
    assert Finding(Exact(abandoning, 0.55, relation="<="), found).inside
    assert not Finding(Exact(abandoning, 0.45, relation="<="), found).inside
    assert not Finding(Exact(abandoning, 0.55), found).inside
    # What is known by simulation alone may be off itself.
    assert Finding(Exact(abandoning, 0.55, doubt=0.04), found).inside


# --- The instruments -----------------------------------------------------------------------------------------------


# Rows that differ by their rules alone have callers in common.
MODELS = (*known.ERLANG_B_ROWS, *known.ERLANG_C_ROWS, *known.ERLANG_A_ROWS, known.N_DESIGN_ROW, *DESIGNS)


@pytest.mark.parametrize("row", MODELS, ids=str)
def test_callers_follow_the_model(row: Row) -> None:
    """All controls have the expectation zero that they are said to have: callers and companions came out as drawn."""
    plan = Plan(60, max(row.warm_up, 1_000), 2_000)

    replications = simulate(row.model, row.exact, plan, 2_000 + row.number, first_come_first_served)

    controls = np.array([each.controls for each in replications])
    confidence = 1 - ERROR / controls.shape[1] / len(MODELS)
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


def test_a_control_that_does_not_vary_is_left_out() -> None:
    """Such as a floor so large that nobody ever found it full."""
    rng = np.random.default_rng(SEED)
    control, values = rng.normal(size=(40, 1)), rng.normal(size=40)
    rare = np.zeros((40, 1))
    rare[7] = 1e-9

    alone = interval(values, control)

    assert interval(values, np.hstack([control, np.full((40, 1), -1e-6)])) == pytest.approx(alone)
    assert interval(values, np.hstack([control, rare - 1e-6])).half_width > 0


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
        interval(np.zeros(3), np.eye(3)[:, :2])
