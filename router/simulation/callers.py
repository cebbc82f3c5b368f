"""A caller as the virtual floor meets one: who calls when, how patient, and how long the talk will last.

Patience and talk time are settled before the run, so that two policies are tried on the very same callers.
"""

from typing import NamedTuple

from router.core.events import CallArrived

__all__ = ["Caller"]


class Caller(NamedTuple):
    """One caller of a simulated or replayed day."""

    arrived_ms: int
    """Since the epoch of the run: virtual time in a simulation, 1970 in a replay."""
    event: CallArrived
    patience_ms: int | None
    """The caller hangs up after waiting for so long; None: never."""
    service_ms: int
    """How long the caller and the agent talk once they are put through."""
