"""A caller as the virtual floor meets one, and how the caller fared.

Patience and talk time are settled before the run, so that two policies are tried on the very same callers.
"""

from msgspec import Struct

from router.core.decisions import Rule
from router.core.events import CallArrived
from router.core.model import AgentId

__all__ = ["Answer", "Caller"]


class Caller(Struct, frozen=True, gc=False):
    """One caller of a simulated or replayed day: who calls when, how patient, and how long the talk will last."""

    arrived_ms: int
    """Since the epoch of the run: virtual time in a simulation, 1970 in a replay."""
    event: CallArrived
    patience_ms: int | None
    """The caller hangs up after waiting for so long; None: never."""
    service_ms: int
    """How long the caller and the agent talk once they are put through."""


class Answer(Struct, frozen=True, gc=False):
    """How one caller fared."""

    wait_ms: int
    """Until connected, until hanging up, or until the fallback."""
    agent_id: AgentId | None
    """Who answered; None: nobody."""
    rule: Rule | None
    """The rule by which the answering agent was chosen."""
    queued: bool
    """Whether the caller had to wait in the queue at all."""
