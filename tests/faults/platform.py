"""The platform's side, as bad as it gets: callers who hang up at every moment, desktops that crash, answers that come
late, twice or from the wrong agent, old messages played again, and noise.

One promise it keeps, the one that every platform must: an event is sent again until the router has answered it, and
the events of one call, or one agent, one after the other.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence

from router.core import events as e
from router.core.decisions import ConnectCall, EndCall, FallbackCall, OfferCall, PauseAgent, SignOutAgent, WithdrawOffer
from router.core.model import AgentId, CallId, ClientId, FallbackKind
from router.service.mqtt import BrokerError, Message
from router.wire import Accepted, DecisionId, Rejected, WireError, decode_output, encode_input, input_topic
from tests.faults.broker import Broker, SimulatedConnection
from tests.faults.loop import VirtualLoop

__all__ = ["Habits", "Platform"]

_RESEND_S = 1.0
_SWEEP_S = 4.0
_OLD_MESSAGES = 200
_DECISIONS_REMEMBERED = 20_000


class Habits:
    """How callers and agents behave; probabilities, means in seconds."""

    def __init__(self, *, calls_per_s: float = 1.0, mischief_per_s: float | None = None, nasty: bool = True) -> None:
        self.calls_per_s = calls_per_s
        self.mischief_per_s = calls_per_s if mischief_per_s is None else mischief_per_s
        self.patience_s = 20.0
        self.talk_s = 6.0
        self.nasty = 1.0 if nasty else 0.0


class _Sending:
    def __init__(self, event_id: str, event: e.Event, payload: bytes) -> None:
        self.event_id = event_id
        self.event = event
        self.payload = payload
        self.sent_s = 0.0


class _Call:
    def __init__(self) -> None:
        self.is_connected = False
        self.agent_id: AgentId | None = None
        self.is_outside = False
        self.is_callback = False


class Platform:
    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        broker: Broker,
        *,
        shard: str,
        agents: Sequence[str],
        clients: Sequence[str],
        habits: Habits,
        is_quick: bool = False,
        is_asking: bool = False,
        on_accepted: Callable[[str, int], None],
    ) -> None:
        self._loop = loop
        self._random = rng
        self._broker = broker
        self._shard = shard
        self._agents = [AgentId(agent) for agent in agents]
        self._clients = [ClientId(client) for client in clients]
        self._habits = habits
        self._is_quick = is_quick
        self._is_asking = is_asking
        """Whether there are agents outside, and callers who want none."""
        self._on_accepted = on_accepted
        self._connection: SimulatedConnection | None = None
        self._queues: dict[str, deque[_Sending]] = {}
        self._seen: dict[DecisionId, None] = {}
        self._old: deque[tuple[str, bytes]] = deque(maxlen=_OLD_MESSAGES)
        self._numbers = 0
        self._crashed: set[AgentId] = set()
        self._is_open = True
        self.calls: dict[CallId, _Call] = {}
        """Calls that are not over, as far as the platform knows."""
        self.counts = dict.fromkeys(("sent", "accepted", "refused", "arrived", "resent"), 0)

    # --- The bus ---

    async def run(self) -> None:
        for agent_id in self._agents:
            self._sign_in(agent_id)
        self._loop.call_later(0.5, self._next_arrival)
        self._loop.call_later(1.0, self._next_mischief)
        if self._is_quick:
            self._loop.call_later(_SWEEP_S, self._sweep)
        await self._broker.connect(
            "",
            deliver=self._deliver,
            client_id="platform",
            subscriptions=(f"acd/v1/out/{self._shard}/#",),
            on_connected=self._connected,
            on_failed=self._lost,
        )

    @property
    def is_settled(self) -> bool:
        """Whether everything that was sent has been answered."""
        return not self._queues

    def close(self) -> None:
        """No more callers and no more mischief; whoever is still there hangs up."""
        self._is_open = False
        for call_id in list(self.calls):
            self.send(e.CallEnded(call_id=call_id))

    def send(self, event: e.CallEvent | e.AgentEvent | e.PlatformResynced) -> None:
        self._numbers += 1
        event_id = f"e{self._numbers:09}"
        payload = encode_input(event_id, event)
        subject = input_topic(event, self._shard).rpartition("/")[2]
        queue = self._queues.setdefault(subject, deque())
        queue.append(_Sending(event_id, event, payload))
        self.counts["sent"] += 1
        if len(queue) == 1:
            self._publish(subject, event_id)

    def _publish(self, subject: str, event_id: str) -> None:
        queue = self._queues.get(subject)
        if not queue or queue[0].event_id != event_id:
            return
        sending = queue[0]
        topic = input_topic(sending.event, self._shard)
        self._put(topic, sending.payload)
        self._old.append((topic, sending.payload))
        self.counts["resent"] += sending.sent_s > 0
        sending.sent_s = self._loop.time()
        if not self._is_quick:
            self._loop.call_later(_RESEND_S * (1 + self._random.random()), self._publish, subject, event_id)

    def _sweep(self) -> None:
        """One timer for all that is sent again."""
        for subject, queue in list(self._queues.items()):
            if queue[0].sent_s < self._loop.time() - _SWEEP_S:
                self._publish(subject, queue[0].event_id)
        self._loop.call_later(_SWEEP_S, self._sweep)

    def _put(self, topic: str, payload: bytes) -> None:
        if self._connection is None:
            return
        try:
            self._connection.publish(topic, payload)
        except BrokerError:
            self._connection = None

    def _connected(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    def _lost(self, _error: BrokerError) -> None:
        self._connection = None

    def _deliver(self, message: Message) -> None:
        message.acknowledge()
        try:
            output = decode_output(message.payload)
        except WireError as error:
            raise AssertionError(f"the router published what cannot be read: {error}") from error
        match output.message:
            case Accepted(event_id=event_id, offset=offset):
                self._on_accepted(event_id, offset)
                self._answered(message.topic, event_id, accepted=True)
            case Rejected(event_id=str(event_id)):
                self._answered(message.topic, event_id, accepted=False)
            case _ if output.id is not None:
                if output.id in self._seen:
                    return
                self._seen[output.id] = None
                if len(self._seen) > _DECISIONS_REMEMBERED:
                    del self._seen[next(iter(self._seen))]
                self._decided(output.message)

    def _answered(self, topic: str, event_id: str, *, accepted: bool) -> None:
        subject = topic.rpartition("/")[2]
        queue = self._queues.get(subject)
        if not queue or queue[0].event_id != event_id:
            return
        sending = queue.popleft()
        self.counts["accepted" if accepted else "refused"] += 1
        if isinstance(sending.event, e.CallAbandoned | e.CallEnded):
            self.calls.pop(sending.event.call_id, None)
        if queue:
            self._publish(subject, queue[0].event_id)
        else:
            del self._queues[subject]

    # --- Callers ---

    def _next_arrival(self) -> None:
        if not self._is_open:
            return
        self._arrive()
        self._loop.call_later(self._random.expovariate(self._habits.calls_per_s), self._next_arrival)

    def _arrive(self) -> None:
        call_id = CallId(f"c{self.counts['arrived']}")
        self.counts["arrived"] += 1
        self.calls[call_id] = _Call()
        owned = self._clients and self._random.random() < 0.3
        self.send(e.CallArrived(call_id=call_id, client_id=self._random.choice(self._clients) if owned else None))
        chance = self._random.random()
        if chance < 0.05 * self._habits.nasty:
            self.send(e.CallAbandoned(call_id=call_id))
        elif chance < 0.10 * self._habits.nasty:
            self._loop.call_later(self._random.random() * 5, self._ask_to_be_called_back, call_id)
        else:
            patience_s = self._random.expovariate(1 / self._habits.patience_s)
            self._loop.call_later(patience_s, self._lose_patience, call_id)
        if self._is_asking and self._random.random() < 0.1:
            self._loop.call_later(self._random.random() * 10, self._ask_for_a_place, call_id)

    def _ask_for_a_place(self, call_id: CallId) -> None:
        call = self.calls.get(call_id)
        if call is not None:
            self.send(e.PlaceRequested(call_id=call_id))
            if call.agent_id is None or call.is_outside:
                call.is_connected, call.agent_id = False, None

    def _lose_patience(self, call_id: CallId) -> None:
        call = self.calls.get(call_id)
        if call is not None and not call.is_connected and not call.is_callback:
            self.send(e.CallAbandoned(call_id=call_id))

    def _ask_to_be_called_back(self, call_id: CallId) -> None:
        call = self.calls.get(call_id)
        if call is not None and not call.is_connected:
            call.is_callback = True
            self.send(e.CallbackRequested(call_id=call_id))

    def _connect(self, decision: ConnectCall) -> None:
        call = self.calls.get(decision.call_id)
        if call is None or call.is_connected:
            return
        chance = self._random.random()
        if chance < 0.04 * self._habits.nasty:
            self.send(e.ConnectFailed(call_id=decision.call_id))
        elif chance > 0.04 * self._habits.nasty + 0.03 * self._habits.nasty:
            call.is_connected = True
            call.agent_id = decision.agent_id
            call.is_outside = decision.offers_choice
            announced = decision.agent_country if decision.announcement is not None else None
            self.send(e.CallConnected(call_id=decision.call_id, announced=announced))
            talk_s = self._random.expovariate(1 / self._habits.talk_s)
            self._loop.call_later(talk_s, self._finish, decision.call_id)
            if chance > 1 - 0.2 * self._habits.nasty:
                self._loop.call_later(talk_s / 2, self.send, e.CallRefreshed(call_id=decision.call_id))

    def _finish(self, call_id: CallId) -> None:
        call = self.calls.get(call_id)
        if call is None:
            return
        chance = self._random.random()
        if chance < 0.05 * self._habits.nasty:
            call.is_connected = False
            call.agent_id = None
            self.send(e.CallTransferred(call_id=call_id))
            self._loop.call_later(self._habits.patience_s, self._lose_patience, call_id)
        elif chance > 0.05 * self._habits.nasty + 0.04 * self._habits.nasty:
            self.send(e.CallEnded(call_id=call_id))
        # Else the end is never reported: the talk lease has to find out.

    # --- Agents ---

    def _sign_in(self, agent_id: AgentId) -> None:
        self._crashed.discard(agent_id)
        # Half of the desktops number their reports and name their connections.
        numbered = {"sequence": self._numbers, "session": f"s{self._numbers}", "lease_s": 20}
        careful = numbered if self._agents.index(agent_id) % 2 else {}
        self.send(e.AgentSignedIn(agent_id=agent_id, **careful))  # type: ignore[arg-type]  # of three types
        self.send(e.AgentReady(agent_id=agent_id))

    def _decided(self, decision: object) -> None:
        match decision:
            case OfferCall():
                self._ring(decision)
            case ConnectCall():
                self._loop.call_later(self._random.random() * 0.3, self._connect, decision)
            case FallbackCall(call_id=call_id, kind=kind):
                if kind is FallbackKind.MESSAGE:
                    self.calls.pop(call_id, None)
            case EndCall(call_id=call_id):
                self.calls.pop(call_id, None)
            case WithdrawOffer(agent_id=agent_id) if self._random.random() < 0.1 * self._habits.nasty:
                # A desktop that is a moment behind.
                self.send(e.OfferAccepted(agent_id=agent_id, call_id=decision.call_id, offer_id=decision.offer_id))
            case PauseAgent(agent_id=agent_id):
                self._loop.call_later(3.0, self.send, e.AgentReady(agent_id=agent_id))
            case SignOutAgent(agent_id=agent_id):
                self._loop.call_later(2.0, self._sign_in, agent_id)

    def _ring(self, offer: OfferCall) -> None:
        if offer.agent_id in self._crashed:
            return
        answer = {"agent_id": offer.agent_id, "call_id": offer.call_id, "offer_id": offer.offer_id}
        accepted = e.OfferAccepted(**answer)  # type: ignore[arg-type]  # the three ids of an answer
        chance, nasty = self._random.random(), self._habits.nasty
        delay_s = 0.2 + self._random.random() * 1.5
        if chance < 0.08 * nasty:
            self._loop.call_later(delay_s, self.send, e.OfferDeclined(**answer))  # type: ignore[arg-type]  # as above
        elif chance < 0.12 * nasty:
            self._loop.call_later(4.0, self.send, e.OfferMissed(**answer))  # type: ignore[arg-type]  # as above
        elif chance < 0.20 * nasty:
            pass  # It rings, and rings.
        elif chance < 0.25 * nasty:
            self._loop.call_later(5.0 + self._random.random(), self.send, accepted)
        elif chance < 0.28 * nasty:
            self._crashed.add(offer.agent_id)
            self._loop.call_later(5 + self._random.random() * 20, self._sign_in, offer.agent_id)
        else:
            self._loop.call_later(delay_s, self.send, accepted)
            if chance < 0.33 * nasty:
                self._loop.call_later(delay_s * 2, self.send, accepted)

    def _resync(self) -> None:
        """List all calls and agents, as after a time in which something may have been missed."""
        if any(subject in self.calls for subject in self._queues) or "resync" in self._queues:
            return  # A list is true only of what the router has answered.
        calls = tuple(
            e.LiveCall(call_id=call_id, agent_id=call.agent_id)
            for call_id, call in self.calls.items()
            if not call.is_callback or call.is_connected
        )
        ready = tuple(e.LiveAgent(agent_id=name, ready=self._random.random() > 0.1) for name in self._agents)
        self.send(e.PlatformResynced(calls=calls, agents=ready))

    # --- Mischief ---

    def _next_mischief(self) -> None:
        if not self._is_open or not self._habits.nasty:
            return
        agent_id = self._random.choice(self._agents)
        match self._random.randrange(8):
            case 0 if self._old:
                self._put(*self._random.choice(self._old))
            case 1:
                noise = bytes(self._random.randrange(256) for _ in range(self._random.randrange(40)))
                self._put(f"acd/v1/in/{self._shard}/call/noise", noise)
            case 2:
                self.send(e.AgentNotReady(agent_id=agent_id))
                self._loop.call_later(self._random.random() * 6, self.send, e.AgentReady(agent_id=agent_id))
            case 3:
                self.send(e.AgentSignedOut(agent_id=agent_id))
                self._loop.call_later(self._random.random() * 6, self._sign_in, agent_id)
            case 4 if self.calls:
                # Somebody takes what was never offered to them.
                call_id = self._random.choice(list(self.calls))
                offer_id = f"o{self._random.randrange(1, 50)}"
                self.send(e.OfferAccepted(agent_id=agent_id, call_id=call_id, offer_id=offer_id))  # type: ignore[arg-type]
            case 5:
                self.send(e.AgentRefreshed(agent_id=agent_id))
            case 6:
                session = self._random.choice((None, f"s{self._random.randrange(200)}"))
                self.send(e.AgentSuspected(agent_id=agent_id, session=session))
                self._loop.call_later(self._random.random() * 20, self.send, e.AgentRefreshed(agent_id=agent_id))
            case 7:
                self._resync()
        self._loop.call_later(self._random.expovariate(self._habits.mischief_per_s), self._next_mischief)
