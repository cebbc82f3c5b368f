"""Bounds that no rule of routing can beat, and the small simulator of rules from the literature."""

import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bounds import (
    MissingSolverError,
    abandoned_at_least,
    answered_at_most,
    erlang_a,
    owner_share_at_most,
)
from benchmarks.literature import IndexRule, PairWeights, QueueAndIdleness, WaitAndIdleness, play_by
from router.core.model import Link, Skill, SkillNeed, Strategy, TeamId
from router.simulation.memoryless import (
    CallerDraw,
    Crew,
    Kind,
    MemorylessModel,
    draw_callers,
    first_come_first_served,
    play,
)

A, B = TeamId("a"), TeamId("b")
SEED = 1917
OWN_ALWAYS = PairWeights(constant=1 << 50)
FIRST_COME = PairWeights(wait=1, idle=1)


def pair(**options: object) -> MemorylessModel:
    """Two teams of three able to take each other's calls; by `most_skilled` the owner team is asked first."""
    names = ((A, B), (B, A))
    return MemorylessModel(
        [Kind(own, 2.4, 240, 90, (Link(own), Link(other)), (SkillNeed(Skill(own)),)) for own, other in names],
        [Crew(own, 3, {Skill(own): 2, Skill(other): 1}, **options) for own, other in names],  # type: ignore[arg-type]
    )


def n_design() -> MemorylessModel:
    """Kind 0 may go to both teams, kind 1 to the second alone."""
    return MemorylessModel(
        [Kind("k0", 2, 240, 90, (Link(A), Link(B))), Kind("k1", 1.5, 240, 90, (Link(B),))],
        [Crew(A, 2), Crew(B, 2)],
    )


def trace(model: MemorylessModel, calls: int = 150, seed: int = SEED) -> CallerDraw:
    return draw_callers(model, calls, np.random.default_rng(seed))


# --- Erlang-A ---


@pytest.mark.parametrize(
    ("load", "service_s", "agents", "patience_s", "waits", "abandons"),
    [
        (3, 300, 4, 120, 0.301925086, 0.140999621),
        (8, 240, 10, 180, 0.268523438, 0.059517598),
        (22, 300, 20, 180, 0.619796118, 0.147696350),
    ],
)
def test_erlang_a_is_exact(
    load: float, service_s: float, agents: int, patience_s: float, waits: float, abandons: float
) -> None:
    found = erlang_a(load=load, agents=agents, service_s=service_s, patience_s=patience_s)

    assert found == pytest.approx((waits, abandons), abs=5e-10)


def test_shared_agents_lose_least_and_teams_alone_keep_most() -> None:
    own, other = TeamId("own"), TeamId("other")
    model = MemorylessModel(
        [Kind("x", 8, 240, 180, (Link(own), Link(other))), Kind("y", 8, 240, 180, (Link(other), Link(own)))],
        [Crew(own, 10), Crew(other, 10)],
    )

    assert abandoned_at_least(model) == pytest.approx(0.02617864, abs=5e-9)
    assert owner_share_at_most(model) == pytest.approx(1 - 0.059517598, abs=5e-10)


def test_no_erlang_bound_where_kinds_differ() -> None:
    model = MemorylessModel([Kind("x", 1, 240, 90, (Link(A),)), Kind("y", 1, 300, 90, (Link(A),))], [Crew(A, 3)])

    assert abandoned_at_least(model) is None
    assert owner_share_at_most(model) is None


# --- The clairvoyant linear program ---


def callers(*rows: tuple[int, int, int, int]) -> CallerDraw:
    """Rows of (kind, arrival, talk, patience) in seconds."""
    kind, arrived, service, patience = np.array(rows, dtype=np.int64).T
    return CallerDraw(kind, arrived * 1000, service * 1000, patience * 1000, 0)


def best_of_all(model: MemorylessModel, draw: CallerDraw, *, within_ms: int | None, step_ms: int) -> int:
    """The most callers answered in time, by trying everything: nobody or some crew, at every step of the patience."""
    assert draw.patience_ms is not None
    crews = {crew.team_id: number for number, crew in enumerate(model.crews)}
    choices = []
    numbers = zip(draw.kind, draw.arrived_ms.tolist(), draw.service_ms.tolist(), draw.patience_ms.tolist(), strict=True)
    for kind, arrived_ms, service_ms, patience_ms in numbers:
        longest_ms = patience_ms if within_ms is None else min(patience_ms, within_ms)
        choices.append(
            [None]
            + [
                (crews[link.team_id], arrived_ms + wait_ms, arrived_ms + wait_ms + service_ms)
                for link in model.kinds[kind].teams
                for wait_ms in range(0, longest_ms + 1, step_ms)
            ]
        )
    best = 0
    for plan in product(*choices):
        talks = [talk for talk in plan if talk is not None]
        if len(talks) > best and all(
            sum(other[0] == crew and other[1] <= begins_ms < other[2] for other in talks) <= model.crews[crew].agents
            for crew, begins_ms, _ in talks
        ):
            best = len(talks)
    return best


def one_team(agents: int) -> MemorylessModel:
    return MemorylessModel([Kind("x", 1, 60, 60, (Link(A),))], [Crew(A, agents)])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2), st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5)), min_size=1, max_size=7))
def test_bound_is_exact_for_callers_who_will_not_wait(agents: int, rows: list[tuple[int, int]]) -> None:
    """All times are multiples of two slots, so that rounding gives nothing away, and whole callers are optimal."""
    draw = callers(*((0, 10 * arrived, 10 * talk, 4) for arrived, talk in sorted(rows)))

    bound = answered_at_most(one_team(agents), draw, within_ms=20_000)

    assert bound == best_of_all(one_team(agents), draw, within_ms=20_000, step_ms=5_000)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(1, 70), st.integers(0, 25)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([10_000, None]),
)
def test_no_plan_answers_more_than_the_bound(rows: list[tuple[int, int, int, int]], within_ms: int | None) -> None:
    draw = callers(*sorted(rows, key=lambda row: row[1]))
    names = (Link(A), Link(B))
    model = MemorylessModel([Kind("k0", 1, 60, 60, names), Kind("k1", 1, 60, 60, names[1:])], [Crew(A, 1), Crew(B, 1)])

    bound = answered_at_most(model, draw, within_ms=within_ms)

    assert bound >= best_of_all(model, draw, within_ms=within_ms, step_ms=5_000)


def test_agent_may_take_the_next_caller_in_the_slot_in_which_a_talk_ends() -> None:
    """From 12 s on the agent is free, and at 13 s the second caller comes, who will not wait."""
    draw = callers((0, 0, 12, 0), (0, 13, 10, 0))

    assert answered_at_most(one_team(1), draw, within_ms=20_000) == 2


def test_two_callers_who_will_not_wait_need_two_agents() -> None:
    draw = callers((0, 0, 12, 0), (0, 6, 12, 0))

    assert [answered_at_most(one_team(agents), draw, within_ms=20_000) for agents in (1, 2)] == [1, 2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("within_ms", [20_000, None])
def test_no_rule_beats_the_bound(seed: int, within_ms: int | None) -> None:
    """Neither the engine, whatever its strategy and rings, nor a rule from the literature."""
    for model, bare in ((pair(own_first=True), pair()), (n_design(), n_design())):
        draw = trace(model, seed=seed)
        bound = answered_at_most(model, draw, within_ms=within_ms)
        fates = [play(each, draw) for each in (model, bare)]
        fates += [play_by(rule, model, draw) for rule in RULES]

        for fate in fates:
            in_time = fate.answered if within_ms is None else fate.answered & (fate.wait_ms <= within_ms)
            assert in_time.sum() <= bound
        assert bound <= len(draw.kind)


def test_bound_leaves_something_to_answer() -> None:
    """It is no bound that lets everybody be answered at the height of a rush."""
    model = pair()
    draw = trace(model)
    rush = draw._replace(arrived_ms=draw.arrived_ms // 3)

    assert answered_at_most(model, rush, within_ms=20_000) < 0.8 * len(rush.kind)


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)

    with pytest.raises(MissingSolverError, match=r"pip install --editable '\.\[bench\]'"):
        answered_at_most(pair(), trace(pair(), 5), within_ms=None)


# --- Rules from the literature ---

RULES: tuple[IndexRule, ...] = (
    WaitAndIdleness(FIRST_COME, FIRST_COME),
    WaitAndIdleness(OWN_ALWAYS, PairWeights(constant=-15_000)),
    WaitAndIdleness(OWN_ALWAYS, PairWeights(constant=-40_000, idle=1, idle_agents=5_000)),
    QueueAndIdleness((1, 1), (1, 1)),
)


@pytest.mark.parametrize("model", [pair(), n_design()], ids=["pair", "n"])
def test_wait_and_idle_time_of_equal_weight_are_first_come_first_served(model: MemorylessModel) -> None:
    draw = trace(model, 3_000)

    fates = play_by(WaitAndIdleness(FIRST_COME, FIRST_COME), model, draw)

    recursion = first_come_first_served(model, draw)
    assert np.array_equal(fates.wait_ms, recursion.wait_ms)
    assert np.array_equal(fates.answered, recursion.answered)
    assert np.array_equal(fates.queued, recursion.queued)


def test_weights_that_wait_are_the_engines_threshold() -> None:
    """Own calls first whatever their wait, the other team's once it has lasted 15 s."""
    own, other = TeamId("own"), TeamId("other")
    model = MemorylessModel(
        [Kind("x", 4, 240, 90, (Link(own), Link(other, 15))), Kind("y", 3, 240, 90, (Link(other), Link(own, 15)))],
        [Crew(own, 5, own_first=True), Crew(other, 4, own_first=True)],
    )
    draw = trace(model, 3_000)

    fates = play_by(WaitAndIdleness(OWN_ALWAYS, PairWeights(constant=-15_000)), model, draw)

    engine = play(model, draw)
    assert np.array_equal(fates.wait_ms, engine.wait_ms)
    assert np.array_equal(fates.agent, engine.agent)


def test_idle_agents_open_the_way_as_keep_idle_does() -> None:
    """A weight on idle agents that outweighs the wait, for the second idle agent: the engine keeps one."""
    model = MemorylessModel(
        [Kind("x", 4, 240, 90, (Link(A), Link(B, 15))), Kind("y", 3, 240, 90, (Link(B), Link(A, 15)))],
        [Crew(A, 5, own_first=True, keep_idle=1), Crew(B, 4, own_first=True, keep_idle=1)],
    )
    draw = trace(model, 3_000)

    fates = play_by(WaitAndIdleness(OWN_ALWAYS, PairWeights(constant=-15_000, idle_agents=15_000)), model, draw)

    engine = play(model, draw)
    assert np.array_equal(fates.wait_ms, engine.wait_ms)
    assert np.array_equal(fates.answered, engine.answered)
    # An agent who is freed helps in person in the engine, the longest idle of the team here.
    assert np.array_equal(model.team_of_agent[fates.agent], model.team_of_agent[engine.agent])


def test_asking_in_turn_changes_nobodys_wait() -> None:
    """Of agents who can all do the same, it makes no difference to callers who is asked first."""
    model = pair(strategy=Strategy.MOST_SKILLED)
    draw = trace(model, 3_000)
    rule = WaitAndIdleness(PairWeights(constant=1, wait=2), PairWeights(wait=2))

    in_turn, longest_idle = play_by(rule, model, draw, in_turn=True), play(model, draw)

    assert np.array_equal(in_turn.wait_ms, longest_idle.wait_ms)
    assert not np.array_equal(in_turn.agent, longest_idle.agent)


def test_agents_are_asked_in_turn() -> None:
    draw = callers(*((0, second, 5, 100) for second in (0, 10, 20, 30)))

    fates = play_by(WaitAndIdleness(FIRST_COME, FIRST_COME), one_team(3), draw, in_turn=True)

    assert fates.agent.tolist() == [0, 1, 2, 0]


def test_freed_agent_takes_from_the_queue_that_exceeds_its_part_and_a_call_goes_where_most_are_idle() -> None:
    """Three of y wait and two of x, in parts of 1 : 3: the part of x is exceeded. Then, of two crews, the idler one."""
    names = (Link(A), Link(B))
    model = MemorylessModel([Kind("x", 1, 60, 60, names), Kind("y", 1, 60, 60, names)], [Crew(A, 1), Crew(B, 2)])
    rule = QueueAndIdleness((1, 3), (1, 1))
    busy = [(1, 0, 100, 900), (1, 0, 200, 900), (1, 0, 200, 900)]
    draw = callers(*busy, (1, 10, 300, 900), (1, 11, 300, 900), (1, 12, 300, 900), (0, 13, 300, 900), (0, 14, 300, 900))

    fates = play_by(rule, model, draw)

    assert fates.agent[:3].tolist() == [1, 0, 2], "two of B were idle, then one of each team, idle for equally long"
    assert fates.wait_ms[6] == 87_000
    assert fates.wait_ms[3:6].min() > 87_000
