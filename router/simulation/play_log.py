"""Recorded callers for an organisation that is not the log's: its rhythm, patience and talk, other people."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from router.core.events import CallArrived
from router.core.model import CallId, ClientId
from router.core.organisation import Organisation
from router.simulation.callers import Caller

__all__ = ["mapped_onto"]


def mapped_onto(callers: Sequence[Caller], organisation: Organisation, *, start_ms: int, seed: int) -> list[Caller]:
    """The callers of a log, moved to *start_ms* and given clients of *organisation*.

    Each client of the log becomes one client of the organisation, drawn at random, and stays the same in all its calls;
    callers whom the log does not know stay unknown. Kinds of calls and their skills are the log's own and are dropped.
    """
    if not callers:
        return []
    clients = [client.client_id for client in organisation.description.clients]
    random = np.random.default_rng(seed)
    becomes: dict[ClientId, ClientId] = {}
    shift_ms = start_ms - callers[0].arrived_ms
    moved = []
    for caller in callers:
        known = caller.event.client_id
        if known is not None and known not in becomes and clients:
            becomes[known] = clients[int(random.integers(len(clients)))]
        event = CallArrived(
            # Unlike in the log, a call may be played again: on another day it is another call.
            call_id=CallId(f"{start_ms}-{caller.event.call_id}"[-64:]),
            client_id=becomes.get(known) if known is not None else None,
            head_start_s=caller.event.head_start_s,
        )
        moved.append(replace(caller, arrived_ms=caller.arrived_ms + shift_ms, event=event))
    return moved
