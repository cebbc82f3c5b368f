"""What must be true of calls and agents, known from the wire's meaning alone: nothing here asks the engine.

The model is fed what the journal has, and what was decided about it, record by record, and raises `Violation` at the
first thing that no caller or agent should have to live with.
"""

from collections.abc import Iterable

from router.core import events as e
from router.core.decisions import (
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    QueueCall,
    Rule,
    WithdrawOffer,
)
from router.core.model import AgentId, CallId, FallbackKind

__all__ = ["Model", "Violation"]


class Violation(AssertionError):
    """Something happened that must never happen."""


class _Call:
    def __init__(self, arrived_ms: int, owned: bool) -> None:
        self.arrived_ms = arrived_ms
        self.owned = owned
        self.has_asked = False
        self.state = "waiting"
        self.is_callback = False
        self.is_lost = False
        """The caller has hung up: whoever rings must be told with the very same record."""
        self.offer: OfferCall | None = None
        self.cooldowns: dict[AgentId, int] = {}
        self.barred: set[AgentId] = set()


class Model:
    """Calls and agents as a platform that missed nothing would see them.

    Args:
        cooldown_ms: Of all teams.
        first_come: Agents to whom every call goes at once, in order of arrival, unless it is a client's of its own or
            its caller has asked for an agent inside.
        outside: Agents who may not have the calls of those who have asked.
    """

    def __init__(
        self,
        *,
        cooldown_ms: int,
        first_come: frozenset[AgentId] = frozenset(),
        outside: frozenset[AgentId] = frozenset(),
    ) -> None:
        self._cooldown_ms = cooldown_ms
        self._first_come = first_come
        self._outside = outside
        self.calls: dict[CallId, _Call] = {}
        self.held: dict[AgentId, CallId] = {}
        """Who is offered, or speaks to, which call."""
        self.counts = dict.fromkeys(
            ("arrived", "offers", "accepted", "connected", "ended", "abandoned", "fallback", "withdrawn"), 0
        )

    def record(self, at_ms: int, event: e.Event, decided: Iterable[Decision], *, is_rejected: bool) -> None:
        """A journal record, and what was decided about it."""
        if not is_rejected:
            self._happened(at_ms, event)
        for decision in decided:
            self.decision(at_ms, decision, is_timely=True)
        for call_id, call in list(self.calls.items()):
            if call.is_lost:
                if call.offer is not None:
                    raise Violation(f"{call_id} is gone, and {call.offer.agent_id} was not told to stop ringing")
                self._end(call_id, "abandoned")
            elif call.state == "offered":
                assert call.offer is not None
                if call.offer.expires_at_ms <= at_ms and not isinstance(event, e.RouterResumed):
                    raise Violation(f"the offer of {call_id} to {call.offer.agent_id} has not expired in time")

    def decision(self, at_ms: int, decision: Decision, *, is_timely: bool = False) -> None:
        """A decision; *is_timely*: made at *at_ms*, not at some moment since the record before."""
        match decision:
            case OfferCall():
                self._offered(decision)
            case WithdrawOffer(call_id=call_id, agent_id=agent_id, offer_id=offer_id):
                call = self._call(call_id)
                if call.offer is None or (call.offer.offer_id, call.offer.agent_id) != (offer_id, agent_id):
                    raise Violation(f"{call_id}: offer {offer_id} is withdrawn, which is not the live one")
                self._free(call)
                self.counts["withdrawn"] += 1
                # What a deadline led to happened at its own time, which the decision tells for calls alone.
                if decision.rule in (Rule.OFFER_EXPIRED, Rule.CONNECT_FAILED, Rule.CONNECT_TIMEOUT):
                    call.cooldowns[agent_id] = call.arrived_ms + decision.wait_ms
            case ConnectCall(call_id=call_id, offer_id=offer_id):
                call = self._call(call_id)
                if call.offer is None or call.offer.offer_id != offer_id or call.state == "offered":
                    raise Violation(f"{call_id} is connected by {offer_id}, which nobody has accepted")
            case QueueCall(call_id=call_id):
                self._call(call_id)
            case FallbackCall(call_id=call_id, kind=kind):
                call = self._call(call_id)
                if kind in (FallbackKind.MESSAGE, FallbackKind.NUMBER):
                    self._end(call_id, "fallback")
                elif kind is FallbackKind.CALLBACK:
                    call.is_callback = True
            case EndCall(call_id=call_id):
                self._free(self._call(call_id))
                self._end(call_id, "ended")
        if isinstance(decision, OfferCall | QueueCall | ConnectCall) and is_timely:
            call = self._call(decision.call_id)
            if decision.wait_ms != at_ms - call.arrived_ms:
                raise Violation(f"{decision.call_id} waited {at_ms - call.arrived_ms} ms, not {decision.wait_ms}")

    def _happened(self, at_ms: int, event: e.Event) -> None:
        match event:
            case e.CallArrived(call_id=call_id):
                if call_id in self.calls:
                    raise Violation(f"{call_id} was accepted twice")
                self.calls[call_id] = _Call(at_ms, owned=event.client_id is not None)
                self.counts["arrived"] += 1
            case e.CallAbandoned(call_id=call_id) | e.CallEnded(call_id=call_id):
                call = self._call(call_id)
                if call.state == "connected":
                    self._free(call)
                    self._end(call_id, "ended")
                else:
                    call.is_lost = True
            case e.OfferAccepted(call_id=call_id):
                call = self._call(call_id)
                if call.offer is None or (call.offer.agent_id, call.offer.offer_id) != (event.agent_id, event.offer_id):
                    raise Violation(
                        f"{call_id} goes to {event.agent_id} by an answer to {event.offer_id}, which is over"
                    )
                if call.state == "offered":
                    call.state = "accepted"
                    self.counts["accepted"] += 1
            case (
                e.OfferDeclined(call_id=call_id, agent_id=agent_id) | e.OfferMissed(call_id=call_id, agent_id=agent_id)
            ):
                call = self._call(call_id)
                self._free(call)
                call.cooldowns[agent_id] = at_ms
            case e.CallConnected(call_id=call_id):
                call = self._call(call_id)
                call.state = "connected"
                self.counts["connected"] += 1
            case e.CallTransferred(call_id=call_id):
                call = self._call(call_id)
                assert call.offer is not None
                call.barred.add(call.offer.agent_id)
                call.is_callback = False
                self._free(call)
            case e.PlatformResynced(calls=listed):
                there = {each.call_id: each.agent_id for each in listed}
                for call_id, call in list(self.calls.items()):
                    if (
                        call.state == "accepted"
                        and call.offer is not None
                        and there.get(call_id) == call.offer.agent_id
                    ):
                        call.state = "connected"
                        self.counts["connected"] += 1
                    if call_id in there or (call.is_callback and call.state in ("waiting", "offered")):
                        continue
                    if call.state == "connected":
                        self._free(call)
                        self._end(call_id, "ended")
                    else:
                        call.is_lost = True
            case e.CallbackRequested(call_id=call_id):
                self._call(call_id).is_callback = True
            case e.PlaceRequested(call_id=call_id):
                call = self._call(call_id)
                call.has_asked = True
                if call.state == "connected" and call.offer is not None and call.offer.agent_id in self._outside:
                    call.is_callback = False
                    self._free(call)

    def _offered(self, offer: OfferCall) -> None:
        call, agent_id = self._call(offer.call_id), offer.agent_id
        if call.offer is not None and call.offer.offer_id == offer.offer_id and call.state == "offered":
            call.offer = offer  # Made again after a restart.
            return
        if call.has_asked and agent_id in self._outside:
            raise Violation(f"{offer.call_id} is offered to {agent_id}, though its caller has asked for one inside")
        if agent_id in self.held:
            raise Violation(f"{agent_id} is offered {offer.call_id} while {self.held[agent_id]} is there")
        if call.offer is not None:
            raise Violation(f"{offer.call_id} is offered to {agent_id} while {call.offer.agent_id} has it")
        # A deadline's decision was made at its own time, before that of the record.
        at_ms = call.arrived_ms + offer.wait_ms
        declined_ms = call.cooldowns.get(agent_id)
        if declined_ms is not None and at_ms < declined_ms + self._cooldown_ms:
            raise Violation(f"{offer.call_id} is offered to {agent_id} again during the cooldown")
        if agent_id in call.barred:
            raise Violation(f"{offer.call_id} is offered to {agent_id}, who has transferred it")
        if offer.rule is Rule.RANK and agent_id in self._first_come and not call.owned and not call.has_asked:
            self._check_first_come(at_ms, offer, call)
        call.state, call.offer = "offered", offer
        self.held[agent_id] = offer.call_id
        self.counts["offers"] += 1

    def _check_first_come(self, at_ms: int, offer: OfferCall, call: _Call) -> None:
        for other_id, other in self.calls.items():
            if other.state != "waiting" or other.is_lost or other.owned or offer.agent_id in other.barred:
                continue
            if at_ms - other.cooldowns.get(offer.agent_id, -self._cooldown_ms) < 2 * self._cooldown_ms:
                continue
            if (other.arrived_ms, other_id) < (call.arrived_ms, offer.call_id):
                raise Violation(f"{offer.call_id} is offered to {offer.agent_id} before {other_id}, who came first")

    def _call(self, call_id: CallId) -> _Call:
        call = self.calls.get(call_id)
        if call is None:
            raise Violation(f"something is decided about {call_id}, which never arrived or is over")
        return call

    def _free(self, call: _Call) -> None:
        if call.offer is not None:
            self.held.pop(call.offer.agent_id, None)
        call.offer, call.state = None, "waiting"

    def _end(self, call_id: CallId, how: str) -> None:
        call = self.calls.pop(call_id)
        if call.offer is not None:
            raise Violation(f"{call_id} is over, and {call.offer.agent_id} was not told")
        self.counts[how] += 1
