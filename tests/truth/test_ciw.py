"""Ciw, an independent simulator, finds what the engine finds."""

import numpy as np
import pytest

from benchmarks.with_ciw import play_callers
from router.simulation.memoryless import draw_callers, play
from tests.truth.by_ciw import queue_of, replicate_by_ciw
from tests.truth.figures import ERROR, SEED, Plan, judge, simulate, streams
from tests.truth.rows import ERLANG_A_ROWS, ERLANG_B_ROWS, ERLANG_C_ROWS, Row

ROWS = (*ERLANG_B_ROWS, *ERLANG_C_ROWS, *ERLANG_A_ROWS)
# One of each kind.
SHORT = (ERLANG_B_ROWS[1], ERLANG_C_ROWS[1], ERLANG_A_ROWS[1])


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_same_callers_fare_alike(row: Row) -> None:
    """To the millisecond."""
    draw = draw_callers(row.model, 1_500, np.random.default_rng(SEED))
    patience_ms = None if draw.patience_ms is None else draw.patience_ms.astype(float)

    seen = play_callers(queue_of(row.model), draw.arrived_ms.astype(float), draw.service_ms.astype(float), patience_ms)

    fates = play(row.model, draw)
    assert np.array_equal(seen.wait, fates.wait_ms)
    assert np.array_equal(seen.answered, fates.answered)
    if not queue_of(row.model).is_loss:
        assert np.array_equal(seen.wait > 0, fates.queued)


@pytest.mark.parametrize("row", SHORT, ids=str)
def test_side_by_side(row: Row) -> None:
    """Each with random numbers of its own: both have the exact figures, and so one another's."""
    plan = Plan(40, row.warm_up, 300)
    confidence = 1 - ERROR / (2 * sum(len(each.exact) for each in SHORT))

    ours = simulate(row.model, row.exact, plan, 3_000 + row.number, play)
    ciws = [replicate_by_ciw(row.model, row.exact, plan, stream) for stream in streams(4_000 + row.number, 40)]

    for replications in (ours, ciws):
        findings = judge(replications, row.exact, confidence=confidence)
        assert all(each.inside for each in findings), [f"{each.exact.name}: {each.found}" for each in findings]
