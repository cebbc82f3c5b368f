"""The simulator finds bugs: each of these is caught within a few seeds, and without them the same seeds are clean."""

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.faults.bugs import BUGS
from tests.faults.model import Violation
from tests.faults.platform import Habits
from tests.faults.simulation import Plan, simulate

_SEEDS = 12


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A router with a bug has much to log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("plant", BUGS.values(), ids=BUGS.keys())
def test_a_planted_bug_is_caught(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    for seed in range(_SEEDS):
        try:
            # Quiet ones too: where much happens, one mistake is soon covered by the next.
            habits = Habits(calls_per_s=0.2 if seed % 3 == 1 else 1.0)
            simulate(seed, Plan(is_pair=seed % 3 == 0, fault_every_s=3.0, habits=habits))
        except Violation:
            return
    pytest.fail(f"{_SEEDS} seeds did not notice that {plant.__name__.replace('_', ' ')}")
