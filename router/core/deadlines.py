"""What is due when: one heap of deadlines for calls, agents, pairs of them and move plans.

A deadline is never taken out; setting a new one for the same purpose makes the old one void, and void ones are dropped
when they come to the top, or all together once the heap has doubled. An agent's status changes several times a call, so
its entry stays where it is while its deadlines are put off, and is moved when it comes to the top.
"""

from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final

from router.core.model import AgentId
from router.core.moves import MoveRecord
from router.core.queues import CLEAN_FROM
from router.core.state import NEVER_MS, AgentRecord, CallRecord

__all__ = ["DeadlineEntry", "Deadlines", "Due"]


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
    PLAN = 4
    """A move plan: the next step's day has come, or its gate is to be looked at again."""


# Bound once, for the reason that `members` gives.
_WAKE: Final = Due.WAKE
_STATUS: Final = Due.STATUS
_LEASE: Final = Due.LEASE
_COOLDOWN: Final = Due.COOLDOWN
_PLAN: Final = Due.PLAN

_Subject = CallRecord | AgentRecord | tuple[CallRecord, AgentId] | MoveRecord
DeadlineEntry = tuple[int, int, Due, _Subject]
"""(when, sequence number, what about, whom it concerns)"""


class Deadlines:
    """Deadlines by time, then in the order in which they were set."""

    __slots__ = ("_clean_at", "_sequence", "heap")

    def __init__(self) -> None:
        self.heap: list[DeadlineEntry] = []
        """The earliest first, void ones among them. Public for the one look that nearly always tells that nothing is
        due; a call to be told so would cost as much as all else about it."""
        self._sequence = 0
        self._clean_at = CLEAN_FROM

    def wake(self, call: CallRecord, at_ms: int) -> None:
        call.timer = self._set(at_ms, _WAKE, call) if at_ms < NEVER_MS else 0

    def end_status(self, agent: AgentRecord, at_ms: int) -> None:
        self._sequence = agent.timer = self._sequence + 1
        agent.deadline_ms = at_ms
        # One entry stands for all that were set since: when it comes to the top, it goes on to where the last one is.
        # Most calls end an offer, a connection and a talk without any of their deadlines ever being near.
        if not agent.entry or agent.entry_ms > at_ms:
            self._stand_for(agent)

    def end_lease(self, agent: AgentRecord, at_ms: int) -> None:
        agent.lease_timer = self._set(at_ms, _LEASE, agent)

    def end_cooldown(self, call: CallRecord, agent: AgentRecord, at_ms: int) -> None:
        # By id: the agent may leave the organisation before the cooldown is over.
        self._set(at_ms, _COOLDOWN, (call, agent.agent_id))

    def look_at(self, plan: MoveRecord, at_ms: int | None) -> None:
        plan.timer = self._set(at_ms, _PLAN, plan) if at_ms is not None else 0

    def next_ms(self) -> int | None:
        """The earliest deadline; None: there is none."""
        heap = self.heap
        while heap:
            if self._is_at(heap[0]):
                return heap[0][0]
        return None

    def is_due(self, now_ms: int) -> bool:
        """Whether there is a deadline up to *now_ms*. Asked with every event, so void ones that lie ahead stay."""
        heap = self.heap
        while heap and heap[0][0] <= now_ms:
            if self._is_at(heap[0]):
                return True
        return False

    def pop_due(self, now_ms: int) -> DeadlineEntry | None:
        """Take out the earliest deadline up to *now_ms*; None: there is none."""
        heap = self.heap
        while heap and heap[0][0] <= now_ms:
            entry = heap[0]
            if self._is_at(entry):
                heappop(heap)
                if entry[2] is _STATUS:
                    agent = entry[3]
                    assert type(agent) is AgentRecord, "only agents have a status that ends"
                    agent.entry = 0
                return entry
        return None

    @property
    def sequence(self) -> int:
        """The number of the deadline that was set last; deadlines of one millisecond are served by their numbers."""
        return self._sequence

    def living(self) -> list[DeadlineEntry]:
        """Every deadline that is not void, in the order in which they will be served."""
        living: list[DeadlineEntry] = []
        for entry in self.heap:
            _, _, due, subject = entry
            if due is _STATUS:
                assert type(subject) is AgentRecord, "only agents have a status that ends"
                if _stands(entry) and subject.timer:
                    living.append((subject.deadline_ms, subject.timer, due, subject))
            elif _stands(entry):
                living.append(entry)
        return sorted(living, key=_when)

    def set_again(self, entries: list[DeadlineEntry], *, sequence: int) -> None:
        """Take over what another's `living` and `sequence` were, subjects apart; nothing has been set before."""
        self.heap = sorted(entries, key=_when)
        self._sequence = sequence
        for at_ms, number, due, subject in entries:
            if isinstance(subject, CallRecord | MoveRecord):
                subject.timer = number
            elif isinstance(subject, AgentRecord):
                if due is _STATUS:
                    subject.timer = subject.entry = number
                    subject.entry_ms = at_ms
                else:
                    subject.lease_timer = number

    def _is_at(self, entry: DeadlineEntry) -> bool:
        """Whether the *entry* at the top is a deadline; else it is taken away, or goes on to where its deadline is."""
        if not _stands(entry):
            heappop(self.heap)
            return False
        if entry[2] is not _STATUS:
            return True
        agent = entry[3]
        assert type(agent) is AgentRecord, "only agents have a status that ends"
        if agent.timer == entry[1]:
            return True
        heappop(self.heap)
        agent.entry = 0
        if agent.timer:
            self._stand_for(agent)
        return False

    def _stand_for(self, agent: AgentRecord) -> None:
        agent.entry, agent.entry_ms = agent.timer, agent.deadline_ms
        self._push((agent.deadline_ms, agent.timer, _STATUS, agent))

    def _set(self, at_ms: int, due: Due, subject: _Subject) -> int:
        self._sequence = sequence = self._sequence + 1
        self._push((at_ms, sequence, due, subject))
        return sequence

    def _push(self, entry: DeadlineEntry) -> None:
        if len(self.heap) > self._clean_at:
            # In place: this may happen while somebody looks for the earliest.
            self.heap[:] = [each for each in self.heap if _stands(each)]
            heapify(self.heap)
            self._clean_at = max(CLEAN_FROM, 2 * len(self.heap))
        heappush(self.heap, entry)


def _when(entry: DeadlineEntry) -> tuple[int, int]:
    return entry[0], entry[1]


def _stands(entry: DeadlineEntry) -> bool:
    """Whether the entry still stands for something; that of an agent's status may stand for a later moment."""
    _, sequence, due, subject = entry
    # Compared by identity of type, which is several times cheaper here than isinstance on this hottest of paths.
    if type(subject) is CallRecord:
        return subject.timer == sequence
    if type(subject) is AgentRecord:
        return (subject.entry if due is _STATUS else subject.lease_timer) == sequence
    if type(subject) is MoveRecord:
        return subject.timer == sequence
    assert type(subject) is tuple, "a deadline is about a call, an agent, both, or a plan"
    # A call that is over is offered to nobody.
    return subject[0].ended_ms is None
