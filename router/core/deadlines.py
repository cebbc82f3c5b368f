"""What is due when: one heap of deadlines for calls, agents and pairs of them.

A deadline is never taken out; setting a new one for the same purpose makes the old one void, and void ones are dropped
when they come to the top, or all together once the heap has doubled.
"""

from enum import IntEnum
from heapq import heapify, heappop, heappush

from router.core.queues import CLEAN_FROM
from router.core.state import NEVER_MS, AgentRecord, CallRecord

__all__ = ["Deadlines", "Due"]


class Due(IntEnum):
    """What a deadline is about."""

    WAKE = 0
    """A waiting call: the next ring opens, a hold ends, a wait has reached its limit."""
    STATUS = 1
    """An agent: the offer expires, connecting took too long, the talk lease or the wrap-up ends."""
    LEASE = 2
    """An agent: nothing was heard for a presence lease."""
    COOLDOWN = 3
    """A call and an agent: the agent may be offered the call again."""


_Subject = CallRecord | AgentRecord | tuple[CallRecord, AgentRecord]
_Entry = tuple[int, int, Due, _Subject]


class Deadlines:
    """Deadlines by time, then in the order in which they were set."""

    __slots__ = ("_clean_at", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._sequence = 0
        self._clean_at = CLEAN_FROM

    def wake(self, call: CallRecord, at_ms: int) -> None:
        call.timer = self._set(at_ms, Due.WAKE, call) if at_ms < NEVER_MS else 0

    def end_status(self, agent: AgentRecord, at_ms: int) -> None:
        agent.deadline_ms = at_ms
        agent.timer = self._set(at_ms, Due.STATUS, agent)

    def end_lease(self, agent: AgentRecord, at_ms: int) -> None:
        agent.lease_timer = self._set(at_ms, Due.LEASE, agent)

    def end_cooldown(self, call: CallRecord, agent: AgentRecord, at_ms: int) -> None:
        self._set(at_ms, Due.COOLDOWN, (call, agent))

    def next_ms(self) -> int | None:
        """The earliest deadline; None: there is none."""
        heap = self._heap
        while heap:
            if _is_alive(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def pop(self) -> tuple[Due, _Subject]:
        """Take out the deadline that `next_ms` has just spoken of."""
        _, _, due, subject = heappop(self._heap)
        return due, subject

    def _set(self, at_ms: int, due: Due, subject: _Subject) -> int:
        self._sequence = sequence = self._sequence + 1
        if len(self._heap) > self._clean_at:
            self._heap = [entry for entry in self._heap if _is_alive(entry)]
            heapify(self._heap)
            self._clean_at = max(CLEAN_FROM, 2 * len(self._heap))
        heappush(self._heap, (at_ms, sequence, due, subject))
        return sequence


def _is_alive(entry: _Entry) -> bool:
    _, sequence, due, subject = entry
    # Compared by identity of type, which is several times cheaper here than isinstance on this hottest of paths.
    if type(subject) is CallRecord:
        return subject.timer == sequence
    if type(subject) is AgentRecord:
        return (subject.timer if due is Due.STATUS else subject.lease_timer) == sequence
    return True
