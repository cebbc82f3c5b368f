"""Fixed seeds of simulated faults. ``make soak`` runs others, for as long as one likes."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.platform import Habits
from tests.faults.simulation import Plan, simulate


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_a_soak_ends_with_a_table_that_adds_up() -> None:
    command = [sys.executable, "-m", "tests.faults", "soak", "--seconds", "1", "--seed", "900"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[2])

    assert done.returncode == 0, done.stderr
    assert "sent = " in done.stdout
    assert "violations: 0" in done.stdout


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_no_call_is_lost_and_nobody_is_offered_twice(first: int) -> None:
    """Kills at every point, torn and full disks, dead brokers, sleeping routers, clocks set: see `simulation`."""
    for seed in range(first, first + 5):
        report = simulate(seed)
        assert report.counts["calls arrived"] == report.counts["platform arrived"] > 0


def test_a_seed_gives_the_same_run_again() -> None:
    plan = Plan(is_pair=True, fault_every_s=2.0)

    assert simulate(7, plan) == simulate(7, plan)


def test_without_faults_most_callers_are_answered() -> None:
    counts = simulate(3, Plan(fault_every_s=0, habits=Habits(calls_per_s=0.4, nasty=False))).counts

    assert counts["routers started"] == 1
    assert counts["calls ended"] > 2 * counts["calls abandoned"]
