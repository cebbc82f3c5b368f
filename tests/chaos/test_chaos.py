"""Short runs of ``python -m tests.chaos``; ``make chaos`` does long ones."""

import random
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, MAIN, losing, planned
from tests.chaos.harness import Report, run


def problems(report: Report) -> str:
    return "\n".join(map(str, report.violations))


@pytest.mark.broker
async def test_kills_of_the_router_under_load(tmp_path: Path) -> None:
    """No accepted call is lost, no agent gets two, nobody loses a place, and no decision goes missing."""
    report = await run(tmp_path, cycles=2, rate=200, seed=1, faults=[MAIN])

    assert report.is_good, problems(report)
    assert report.faults["router killed"] == 2
    assert report.faults["restarts in the journal"] >= 3
    assert report.calls["ended: connected"] > 20
    assert report.delivery["copies dropped by the platform"] > 0
    assert report.delivery["decisions that the broker lost"] == 0


@pytest.mark.broker
async def test_a_broker_that_is_killed_and_processes_that_stand_still(tmp_path: Path) -> None:
    """The standby, which takes its time, is left to `make chaos`, and to the tests of takeovers."""
    report = await run(tmp_path, cycles=1, rate=100, seed=2, faults=["router-stop", "broker-kill", "broker-stop"])

    assert report.is_good, problems(report)
    assert report.faults["broker killed"] == 1
    assert report.faults["broker stopped and continued"] == 1
    assert report.faults["router stopped and continued"] == 1
    assert report.calls["ended: connected"] > 20


@pytest.mark.broker
async def test_kills_with_the_embedded_broker(tmp_path: Path) -> None:
    """Router and broker die together, and everything that was on its way is lost."""
    report = await run(tmp_path, cycles=2, rate=30, seed=3, faults=[MAIN], embedded=True)

    assert report.is_good, problems(report)
    assert report.calls["ended: connected"] > 20


def test_most_faults_are_kills_of_the_router() -> None:
    plan = planned(list(FAULTS), cycles=200, chance=random.Random(1))

    assert plan.count(MAIN) == 200
    assert {kind: plan.count(kind) for kind in FAULTS if kind != MAIN} == dict.fromkeys(FAULTS.keys() - {MAIN}, 10)
    assert plan == planned(list(FAULTS), cycles=200, chance=random.Random(1))
    assert plan != sorted(plan)


def test_what_may_lose_messages() -> None:
    assert not losing([MAIN, "disk-full"], embedded=False)
    assert losing([MAIN, "broker-kill"], embedded=False)
    assert losing([MAIN], embedded=True)
