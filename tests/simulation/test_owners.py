"""Owners with clients of their own, and waits that are predicted."""

import numpy as np
import pytest

from router.core.model import OwnerWait
from router.simulation.callers import Caller
from router.simulation.floor import FloorRun, VirtualFloor
from router.simulation.frontiers import Point, at_equal_cost, hull_of, linear_parts
from router.simulation.owners import OwnerPolicy, OwnersModel

SEED = 1917
WARM_UP_MS = 3_600_000


def fixed(owner_wait_s: int) -> OwnerPolicy:
    return OwnerPolicy(OwnerWait.FIXED, owner_wait_s)


def predicted(owner_worth_s: int) -> OwnerPolicy:
    return OwnerPolicy(OwnerWait.PREDICTED, 300, owner_worth_s)


def play(model: OwnersModel, policy: OwnerPolicy, callers: list[Caller]) -> FloorRun:
    run = VirtualFloor(model.describe(policy)).run(callers, model.presence())
    assert run.rejected == 0
    return run


def point(model: OwnersModel, policy: OwnerPolicy, draws: list[list[Caller]]) -> Point:
    """Owner share of the answered against the mean wait of all."""
    rows = []
    for callers in draws:
        run = play(model, policy, callers)
        counted = [caller for caller in callers if caller.arrived_ms >= WARM_UP_MS]
        answers = [(caller, run.answers[caller.event.call_id]) for caller in counted]
        by_owner = sum(answer.agent_id == model.owner_of(caller) for caller, answer in answers)
        answered = sum(answer.agent_id is not None for _, answer in answers)
        rows.append((by_owner, answered, sum(answer.wait_ms for _, answer in answers) / 1000, len(answers)))
    sums = np.array(rows, dtype=float)
    return Point(str(policy), linear_parts(sums[:, 2], sums[:, 3]), linear_parts(sums[:, 0], sums[:, 1]))


def test_predicted_waits_bring_more_calls_to_their_owners_at_the_same_mean_wait() -> None:
    """Fixed waits that are long enough to hold calls for conversations hold those that have outlived their mean, of
    which few are about to end: both are beaten at their own mean wait, by paired intervals that exclude zero."""
    model = OwnersModel(occupancy=0.85, wrap_up_s=40)
    draws = [model.draw(seed=SEED + number, duration_s=6 * 3_600) for number in range(24)]

    frontier = hull_of([point(model, predicted(worth_s), draws) for worth_s in (100, 600)])

    for owner_wait_s in (90, 120):
        difference = at_equal_cost(point(model, fixed(owner_wait_s), draws), frontier, confidence=0.95)
        assert difference is not None
        assert difference.estimate + difference.half_width < 0, f"fixed {owner_wait_s} s: {difference}"


def test_memoryless_conversations_tell_nothing_and_nothing_is_lost() -> None:
    """Where a call in progress is as likely to end at any age, and there is no wrap-up, an answer by the owner that is
    worth less than a mean talk is never waited for: owners get no fewer calls than with the best fixed wait at the
    same mean wait, which is none."""
    model = OwnersModel(0.8, 0, help_s=15, handling_s=240, is_exponential=True, away_share=0.0)
    draws = [model.draw(seed=SEED + number, duration_s=4 * 3_600) for number in range(16)]

    none, usual = (point(model, policy, draws) for policy in (fixed(0), predicted(60)))

    assert usual.yield_ > none.yield_ - 0.005
    assert usual.cost < none.cost + 0.5


def test_calls_without_owners_are_routed_as_ever() -> None:
    """The predicted owner wait is about owners alone: teams open after their ``after_s``, decision by decision."""
    model = OwnersModel(0.8, 20, away_share=1.0)
    callers = model.draw(seed=SEED, duration_s=2 * 3_600)

    assert play(model, fixed(0), callers).digest == play(model, predicted(60), callers).digest


def test_same_seed_gives_the_same_callers_and_decisions() -> None:
    model = OwnersModel(0.9, 30)
    callers = model.draw(seed=SEED, duration_s=3_600)

    assert callers == model.draw(seed=SEED, duration_s=3_600)
    assert play(model, predicted(60), callers).digest == play(model, predicted(60), callers).digest


@pytest.mark.parametrize("is_exponential", [False, True])
def test_callers_are_as_the_model_says(is_exponential: bool) -> None:
    model = OwnersModel(0.8, 40, is_exponential=is_exponential)

    callers = model.draw(seed=SEED, duration_s=400 * 3_600)

    talk_s = np.array([caller.service_ms for caller in callers]) / 1000
    away = sum(model.owner_of(caller).endswith("-10") for caller in callers)
    assert len(callers) == pytest.approx(400 * 3_600 * model.calls_per_s, rel=0.02)
    assert talk_s.mean() == pytest.approx(370, rel=0.03)
    assert talk_s.std() / talk_s.mean() == pytest.approx(1.0 if is_exponential else 1.2, rel=0.05)
    assert away / len(callers) == pytest.approx(0.1, abs=0.01)
