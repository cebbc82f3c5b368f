"""A contact centre in virtual time: callers and agents around the engine that runs live.

The floor plays the platform and the people. Agents accept at once; callers hang up when their patience ends; a talk
lasts as long as was settled beforehand. Events of one moment are taken in the order in which they were caused.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from router.core import Engine, EventRejected, Limits
from router.core.decisions import ConnectCall, Decision, EndCall, FallbackCall, OfferCall, Rule
from router.core.events import (
    AgentEvent,
    CallAbandoned,
    CallConnected,
    CallEnded,
    CallRefreshed,
    Event,
    OfferAccepted,
)
from router.core.model import AgentId, CallId, FallbackKind, OrganisationDescription
from router.simulation.callers import Caller

__all__ = ["Answer", "FloorRun", "VirtualFloor"]


class Answer(NamedTuple):
    """How one caller fared."""

    wait_ms: int
    """Until connected, until hanging up, or until the fallback."""
    agent_id: AgentId | None
    """Who answered; None: nobody."""
    rule: Rule | None
    """The rule by which the answering agent was chosen."""
    queued: bool
    """Whether the caller had to wait in the queue at all."""


class FloorRun(NamedTuple):
    """What a run brought."""

    answers: dict[CallId, Answer]
    decisions: int
    digest: str
    """Of every decision and its time, in order: equal digests are equal runs."""
    rejected: int
    """Events that the engine refused, such as a sign-in at a full site."""


class VirtualFloor:
    """One run of callers and agents against an engine of its own."""

    def __init__(self, description: OrganisationDescription, *, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.engine = Engine(description, limits=limits)
        # Twice a lease, as a platform would.
        self._refresh_every_ms = min(team.talk_lease_s for team in description.teams) * 500
        self._future: list[tuple[int, int, Event]] = []
        self._sequence = 0
        self._pending: deque[Event] = deque()
        self._callers: dict[CallId, Caller] = {}
        self._offers: dict[CallId, OfferCall] = {}
        self._queued: set[CallId] = set()
        self._talking: set[CallId] = set()
        self._answers: dict[CallId, Answer] = {}
        self._digest = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.json.Encoder().encode
        self._decisions = 0
        self._rejected = 0

    def run(
        self,
        callers: Iterable[Caller],
        presence: Iterable[tuple[int, AgentEvent]],
        *,
        on_caller: Callable[[Caller], None] = lambda _: None,
    ) -> FloorRun:
        """Play all *callers* (by arrival) and agents' *presence* (by time) until nothing is left to happen.

        *on_caller* is told of each caller on arrival, for showing progress.
        """
        arrivals, shifts = iter(callers), iter(presence)
        caller, shift = next(arrivals, None), next(shifts, None)
        future, engine = self._future, self.engine
        while True:
            at_ms = future[0][0] if future else _NEVER_MS
            if caller is not None and caller.arrived_ms < at_ms:
                at_ms = caller.arrived_ms
            if shift is not None and shift[0] < at_ms:
                at_ms = shift[0]
            due_ms = engine.next_deadline_ms()
            if (
                due_ms is not None
                and due_ms <= at_ms
                and (at_ms < _NEVER_MS or len(self._answers) < len(self._callers))
            ):
                self._carry_out(engine.expire(due_ms), due_ms)
                self._tell_pending(due_ms)
            elif at_ms == _NEVER_MS:
                break
            elif shift is not None and shift[0] == at_ms:
                self._pending.append(shift[1])
                self._tell_pending(at_ms)
                shift = next(shifts, None)
            elif future and future[0][0] == at_ms:
                self._pending.append(heappop(future)[2])
                self._tell_pending(at_ms)
            elif caller is not None:
                on_caller(caller)
                self._arrive(caller)
                caller = next(arrivals, None)
        return FloorRun(self._answers, self._decisions, self._digest.hexdigest(), self._rejected)

    def _arrive(self, caller: Caller) -> None:
        call_id = caller.event.call_id
        self._callers[call_id] = caller
        if caller.patience_ms is not None:
            self._later(caller.arrived_ms + caller.patience_ms, CallAbandoned(call_id=call_id))
        self._pending.append(caller.event)
        self._tell_pending(caller.arrived_ms)
        if call_id not in self._offers and call_id not in self._answers:
            self._queued.add(call_id)

    def _later(self, at_ms: int, event: Event) -> None:
        self._sequence += 1
        heappush(self._future, (at_ms, self._sequence, event))

    def _tell_pending(self, at_ms: int) -> None:
        """Give the engine what has just happened, and whatever follows from it at the same moment."""
        pending = self._pending
        while pending:
            event = pending.popleft()
            if isinstance(event, CallAbandoned | CallEnded | CallRefreshed) and not self._still_happens(event, at_ms):
                continue
            try:
                decisions = self.engine.handle(event, now_ms=at_ms)
            except EventRejected:
                self._rejected += 1
            else:
                self._carry_out(decisions, at_ms)

    def _still_happens(self, event: CallAbandoned | CallEnded | CallRefreshed, at_ms: int) -> bool:
        """Whether what was foreseen for a call still comes true; marks what it brings about."""
        call_id = event.call_id
        if isinstance(event, CallAbandoned):
            if call_id in self._answers:
                return False
            self._answer(call_id, at_ms, None, None)
            return True
        if call_id not in self._talking:
            return False
        if isinstance(event, CallEnded):
            self._talking.discard(call_id)
        else:
            self._later(at_ms + self._refresh_every_ms, event)
        return True

    def _answer(self, call_id: CallId, at_ms: int, agent_id: AgentId | None, rule: Rule | None) -> None:
        waited_ms = at_ms - self._callers[call_id].arrived_ms
        self._answers[call_id] = Answer(waited_ms, agent_id, rule, call_id in self._queued)

    def _carry_out(self, decisions: Iterable[Decision], at_ms: int) -> None:
        for decision in decisions:
            self._decisions += 1
            self._digest.update(b"%d" % at_ms)
            self._digest.update(self._encode(decision))
            match decision:
                case OfferCall():
                    self._offers[decision.call_id] = decision
                    self._pending.append(
                        OfferAccepted(call_id=decision.call_id, agent_id=decision.agent_id, offer_id=decision.offer_id)
                    )
                case ConnectCall():
                    self._connect(decision, at_ms)
                case FallbackCall(kind=FallbackKind.NUMBER | FallbackKind.MESSAGE):
                    self._answer(decision.call_id, at_ms, None, None)
                case EndCall():
                    self._talking.discard(decision.call_id)

    def _connect(self, decision: ConnectCall, at_ms: int) -> None:
        call_id = decision.call_id
        self._answer(call_id, at_ms, decision.agent_id, self._offers[call_id].rule)
        self._talking.add(call_id)
        service_ms = self._callers[call_id].service_ms
        self._pending.append(CallConnected(call_id=call_id))
        self._later(at_ms + service_ms, CallEnded(call_id=call_id))
        if service_ms > self._refresh_every_ms:
            self._later(at_ms + self._refresh_every_ms, CallRefreshed(call_id=call_id))


# Beyond any time that a run can reach.
_NEVER_MS = 1 << 62
