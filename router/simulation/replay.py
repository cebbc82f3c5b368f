"""A recorded log through the live engine, in virtual time: what would have happened to the very same callers."""

from collections.abc import Callable
from typing import NamedTuple

from router.simulation.callers import Caller
from router.simulation.floor import FloorRun, VirtualFloor
from router.simulation.inference import InferredLog
from router.simulation.results import CallResult, Results, summarise

__all__ = ["Replay", "replay"]


class Replay(NamedTuple):
    """The log beside what the router made of it."""

    log: Results
    replayed: Results
    run: FloorRun
    logged: tuple[CallResult, ...]
    """What became of each caller in the log."""
    calls: tuple[CallResult, ...]
    """And under the router, in the same order."""


def replay(inferred: InferredLog, *, on_caller: Callable[[Caller], None] = lambda _: None) -> Replay:
    """Play *inferred* on an engine of its own. *on_caller* is told of each arrival, for showing progress."""
    run = VirtualFloor(inferred.organisation).run(inferred.callers, inferred.presence, on_caller=on_caller)
    results = [
        _result(logged, caller, run, inferred) for logged, caller in zip(inferred.logged, inferred.callers, strict=True)
    ]
    busy_ms = sum(result.service_ms for result in results)
    return Replay(
        log=summarise(inferred.logged, busy_ms=inferred.busy_ms, staffed_ms=inferred.staffed_ms),
        replayed=summarise(results, busy_ms=busy_ms, staffed_ms=inferred.staffed_ms),
        run=run,
        logged=inferred.logged,
        calls=tuple(results),
    )


def _result(logged: CallResult, caller: Caller, run: FloorRun, inferred: InferredLog) -> CallResult:
    answer = run.answers[caller.event.call_id]
    answered = answer.agent_id is not None
    client_id = caller.event.client_id
    owner = inferred.owners.get(client_id) if client_id is not None else None
    return logged._replace(
        wait_ms=answer.wait_ms,
        answered=answered,
        by_owner=owner is not None and answer.agent_id == owner,
        service_ms=caller.service_ms if answered else 0,
    )
