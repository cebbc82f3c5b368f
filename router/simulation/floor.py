"""A contact centre in virtual time: callers and agents around the engine that runs live.

The floor plays the platform and the people. Agents accept at once; callers hang up when their patience ends; a talk
lasts as long as was settled beforehand. Events of one moment are taken in the order in which they were caused.
"""

import hashlib
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Final, NamedTuple

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
from router.simulation.callers import Answer, Caller

__all__ = ["FloorRun", "VirtualFloor"]

# Beyond any time that a run can reach.
_NEVER_MS: Final = 1 << 60
# What is to be digested is taken in such portions: a call of the hash costs as much as some hundred bytes of it.
_DIGESTED_AT_ONCE: Final = 1 << 16


class FloorRun(NamedTuple):
    """What a run brought."""

    answers: dict[CallId, Answer]
    """In the order in which callers were answered or lost."""
    decisions: int
    digest: str
    """Of every decision and its time, in order: equal digests are equal runs. Empty if none was asked for."""
    rejected: int
    """Events that the engine refused, such as a sign-in at a full site."""


class _Line:
    """A caller on the line."""

    __slots__ = ("caller", "is_over", "is_queued", "is_talking", "rule")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.rule: Rule | None = None
        """Of the last offer."""
        self.is_queued = False
        self.is_talking = False
        self.is_over = False
        """Answered, or lost."""


class VirtualFloor:
    """One run of callers and agents against an engine of its own."""

    def __init__(
        self,
        description: OrganisationDescription,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        is_digested: bool = True,
        engine: Engine | None = None,
    ) -> None:
        """Bring callers and agents together.

        Args:
            description: The organisation.
            limits: Of an engine of the floor's own.
            is_digested: False: without the digest of all decisions, which takes a fifth of a run.
            engine: None: one of the floor's own.
        """
        self.engine = engine or Engine(description, limits=limits)
        # Twice a lease, as a platform would.
        self._refresh_every_ms = min(team.talk_lease_s for team in description.teams) * 500
        self._future: list[tuple[int, int, Event]] = []
        self._sequence = 0
        self._lines: dict[CallId, _Line] = {}
        """All callers so far, but those whose call was ended by them."""
        self._unanswered = 0
        self._answers: dict[CallId, Answer] = {}
        self._is_digested = is_digested
        self._digest = hashlib.blake2b(digest_size=16)
        self._undigested = bytearray()
        self._encoder = msgspec.json.Encoder()
        self._decisions = 0
        self._rejected = 0

    def run(
        self,
        callers: Iterable[Caller],
        presence: Iterable[tuple[int, AgentEvent]],
        *,
        on_caller: Callable[[Caller], None] | None = None,
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
            if due_ms is not None and due_ms <= at_ms and (at_ms < _NEVER_MS or self._unanswered):
                self._tell(self._carry_out(engine.expire(due_ms), due_ms), due_ms)
            elif at_ms == _NEVER_MS:
                break
            elif shift is not None and shift[0] == at_ms:
                self._tell([shift[1]], at_ms)
                shift = next(shifts, None)
            elif future and future[0][0] == at_ms:
                event = heappop(future)[2]
                if self._still_happens(event, at_ms):
                    self._tell([event], at_ms)
            elif caller is not None:
                if on_caller is not None:
                    on_caller(caller)
                self._arrive(caller)
                caller = next(arrivals, None)
        self._digest.update(self._undigested)
        digest = self._digest.hexdigest() if self._is_digested else ""
        return FloorRun(self._answers, self._decisions, digest, self._rejected)

    def _arrive(self, caller: Caller) -> None:
        event, at_ms = caller.event, caller.arrived_ms
        line = self._lines[event.call_id] = _Line(caller)
        self._unanswered += 1
        self._tell([event], at_ms)
        if line.rule is None and not line.is_over:
            line.is_queued = True
        patience_ms = caller.patience_ms
        if patience_ms is not None and not line.is_over:
            self._later(at_ms + patience_ms, CallAbandoned(call_id=event.call_id))

    def _later(self, at_ms: int, event: Event) -> None:
        self._sequence += 1
        heappush(self._future, (at_ms, self._sequence, event))

    def _tell(self, events: list[Event], at_ms: int) -> None:
        """Give the engine what has just happened, and whatever follows from it at the same moment."""
        engine = self.engine
        # The list grows while it is walked through.
        for event in events:
            try:
                decisions = engine.handle(event, now_ms=at_ms)
            except EventRejected:
                self._rejected += 1
            else:
                if decisions:
                    events += self._carry_out(decisions, at_ms)

    def _still_happens(self, event: Event, at_ms: int) -> bool:
        """Whether what was foreseen for a call still comes true; marks what it brings about."""
        # By identity of type, here and below: to ask msgspec's types for their instances takes ten times as long.
        if type(event) is CallAbandoned:
            line = self._lines.get(event.call_id)
            if line is None or line.is_over:
                return False
            self._answer(line, at_ms, None, None)
            return True
        if type(event) is CallEnded:
            line = self._lines.get(event.call_id)
            if line is None or not line.is_talking:
                return False
            del self._lines[event.call_id]
            return True
        assert type(event) is CallRefreshed, "nothing else is foreseen"
        line = self._lines.get(event.call_id)
        if line is None or not line.is_talking:
            return False
        self._later(at_ms + self._refresh_every_ms, event)
        return True

    def _answer(self, line: _Line, at_ms: int, agent_id: AgentId | None, rule: Rule | None) -> None:
        if not line.is_over:
            line.is_over = True
            self._unanswered -= 1
        caller = line.caller
        waited_ms = at_ms - caller.arrived_ms
        self._answers[caller.event.call_id] = Answer(waited_ms, agent_id, rule, line.is_queued)

    def _carry_out(self, decisions: Iterable[Decision], at_ms: int) -> list[Event]:
        """What platform and people do at once about what the engine has decided."""
        events: list[Event] = []
        for decision in decisions:
            self._decisions += 1
            if self._is_digested:
                self._note(decision, at_ms)
            if type(decision) is OfferCall:
                call_id = decision.call_id
                self._lines[call_id].rule = decision.rule
                events.append(OfferAccepted(call_id=call_id, agent_id=decision.agent_id, offer_id=decision.offer_id))
            elif type(decision) is ConnectCall:
                self._connect(decision, at_ms)
                events.append(CallConnected(call_id=decision.call_id))
            elif type(decision) is FallbackCall:
                if decision.kind is FallbackKind.NUMBER or decision.kind is FallbackKind.MESSAGE:
                    self._answer(self._lines[decision.call_id], at_ms, None, None)
            elif type(decision) is EndCall:
                self._lines[decision.call_id].is_talking = False
        return events

    def _note(self, decision: Decision, at_ms: int) -> None:
        undigested = self._undigested
        undigested += b"%d" % at_ms
        self._encoder.encode_into(decision, undigested, -1)
        if len(undigested) > _DIGESTED_AT_ONCE:
            self._digest.update(undigested)
            undigested.clear()

    def _connect(self, decision: ConnectCall, at_ms: int) -> None:
        call_id = decision.call_id
        line = self._lines[call_id]
        self._answer(line, at_ms, decision.agent_id, line.rule)
        line.is_talking = True
        service_ms = line.caller.service_ms
        self._later(at_ms + service_ms, CallEnded(call_id=call_id))
        if service_ms > self._refresh_every_ms:
            self._later(at_ms + self._refresh_every_ms, CallRefreshed(call_id=call_id))
