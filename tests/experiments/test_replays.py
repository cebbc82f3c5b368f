"""A recorded time under several policies: its days stand for replications."""

from zoneinfo import ZoneInfo

import pytest

from router.core.events import CallArrived
from router.core.model import CallId
from router.experiments.policies import PolicyError
from router.experiments.replays import by_day, policies_against
from router.simulation.callers import Caller
from router.simulation.counts import Scope
from router.simulation.inference import ReplayPolicy
from router.simulation.results import CallResult

ROME = ZoneInfo("Europe/Rome")
# Midnight in Rome, in summer.
MIDNIGHT_MS = 1_782_770_400_000


def caller(at_ms: int) -> Caller:
    return Caller(arrived_ms=at_ms, event=CallArrived(call_id=CallId(f"c{at_ms}")), patience_ms=None, service_ms=60_000)


def result(**options: object) -> CallResult:
    fields = {
        "kind": "gold", "wait_ms": 5_000, "answered": True, "by_owner": False, "has_owner": True,
        "owner_on_shift": True, "service_ms": 60_000,
    }  # fmt: skip
    return CallResult(**(fields | options))  # type: ignore[arg-type]


def test_calls_are_counted_by_local_day_and_kind() -> None:
    callers = [caller(MIDNIGHT_MS - 1), caller(MIDNIGHT_MS), caller(MIDNIGHT_MS + 3_600_000)]
    calls = [
        result(kind="iron", by_owner=True),
        result(wait_ms=25_000, has_owner=False),
        result(answered=False, wait_ms=4_000),
    ]

    first, second = by_day(callers, calls, ROME)

    assert sorted(first.by_scope[Scope.PORTFOLIO]) == ["iron"]
    assert (first.total.answered, first.total.by_owner, first.total.on_shift_by_owner) == (1, 1, 1)
    assert (second.total.arrived, second.total.answered, second.total.answered_soon) == (2, 1, 0)
    assert (second.total.abandoned, second.total.abandoned_soon, second.total.abandoned_short) == (1, 1, 1)
    assert (second.total.wait_ms, second.total.wait_all_ms, second.total.owned) == (25_000, 29_000, 0)


def test_another_policy_is_todays_with_changes() -> None:
    today = ReplayPolicy(owner_wait_s=5)

    policies = policies_against(["long: owner_wait_s=30", "nobody's: owners=false"], today)

    assert policies == {"long": ReplayPolicy(owner_wait_s=30), "nobody's": ReplayPolicy(owners=False, owner_wait_s=5)}


@pytest.mark.parametrize("change", ["owner_wait_s=-1", "owner_worth_s=0", "hang_up_cost_s=soon"])
def test_impossible_values_are_refused(change: str) -> None:
    with pytest.raises(PolicyError, match=f"policy 'x', {change}: expected `int`"):
        policies_against([f"x: {change}"], ReplayPolicy())


def test_two_policies_of_one_name_are_refused() -> None:
    for name in ("today", "long"):
        with pytest.raises(PolicyError, match="this name is taken"):
            policies_against(["long: owner_wait_s=30", f"{name}: owner_wait_s=40"], ReplayPolicy())
