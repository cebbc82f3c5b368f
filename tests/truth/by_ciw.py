"""Rows of one queue, played by Ciw with random numbers of its own."""

import numpy as np

from benchmarks.with_ciw import Queue, Seen, draw_and_play
from router.simulation.memoryless import MemorylessModel
from tests.truth.figures import CALLS_AFTER, Exact, Plan, Replication, Sample, ratios_of

__all__ = ["queue_of", "replicate_by_ciw"]


def queue_of(model: MemorylessModel) -> Queue:
    """The same queue, in Ciw's terms."""
    (kind,) = model.kinds
    return Queue(kind.load, kind.service_s, model.agents, kind.patience_s, is_loss=kind.max_wait_s == 0)


def replicate_by_ciw(
    model: MemorylessModel, exact: tuple[Exact, ...], plan: Plan, stream: np.random.SeedSequence
) -> Replication:
    """One replication, without controls: nothing is known of the callers but how they fared."""
    queue = queue_of(model)
    # Ciw opens with nobody there: five mean service times more, until the floor is as full as ours is at the start.
    start = plan.warm_up + round(5 * queue.load)
    calls = start + plan.calls + CALLS_AFTER
    seen = draw_and_play(queue, calls, seed=int(stream.generate_state(1)[0]))
    sample = _sample_of(queue, seen, slice(start, start + plan.calls))
    return Replication(ratios_of(sample, exact), np.empty(0), calls, 0)


def _sample_of(queue: Queue, seen: Seen, counted: slice) -> Sample:
    opens, closes = seen.arrived[counted.start], seen.arrived[counted.stop]
    begun = seen.arrived + seen.wait
    busy = np.maximum(np.minimum(begun + seen.service, closes) - np.maximum(begun, opens), 0)
    every_call = Sample(
        np.zeros(len(seen.wait), dtype=np.int64),
        seen.wait * 1000,
        seen.wait > 0,
        np.where(seen.answered, 0, -1),
        float(busy[seen.answered].sum()) * 1000,
        float(closes - opens) * queue.agents * 1000,
    )
    return every_call.only(counted)
