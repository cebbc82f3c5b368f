"""The platform of a run: callers and agents in this process, who misbehave as people do.

Callers arrive at a given rate, wait, and some hang up. Agents answer after a moment; some decline, some let it ring,
some accept too late or twice, some go for a break while a call rings. Everything is sent through `router.gateway`,
which resends until it has an answer, and noted for `checker.check`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints

from router.core import EventRejected
from router.core.decisions import (
    CallDecision,
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    WithdrawOffer,
)
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    ConnectFailed,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
)
from router.core.model import AgentId, CallId, OfferId, Outcome, Skill, SkillNeed
from router.gateway import Gateway, _Sending
from router.service.mqtt import Message
from router.wire import DecisionId, decode_output, encode_output, output_topics
from tests.chaos.checker import REFUSED
from tests.chaos.world import OFFER_TIMEOUT_S

__all__ = ["CountingGateway", "Load"]

_BACKLOG_S_MAX = 8
"""So many seconds' worth of unanswered events, and new callers hear an engaged tone."""

_DUPLICATE = msgpack.packb("duplicate") + msgpack.packb(True)
"""In the answer to an event that was accepted before."""


class CountingGateway(Gateway):
    """A gateway that counts what it does behind its user's back."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.published = 0
        self.copies = 0
        self.duplicates = 0

    def _deliver(self, message: Message) -> None:
        self.duplicates += _DUPLICATE in message.payload
        super()._deliver(message)

    def _publish(self, sending: _Sending) -> None:
        self.published += 1
        super()._publish(sending)

    def _is_new(self, decision_id: DecisionId) -> bool:
        self.copies += 1
        return super()._is_new(decision_id)


class Load:
    """Callers and agents.

    Args:
        gateway: Connected.
        agents: Their ids.
        rate: Calls a second.
        seed: For everything that people do.
    """

    def __init__(self, gateway: CountingGateway, agents: Sequence[str], *, rate: float, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.answers: dict[str, int] = {}
        """Of each event by its id: where it was accepted, or `REFUSED`."""
        self.seen: dict[DecisionId, bytes] = {}
        self.endings: dict[CallId, Outcome] = {}
        """How calls ended, where the platform knows."""
        self.epoch = 0
        """The latest of which a decision was seen."""
        self.calling_s = 0.0
        """For how long callers have been calling."""
        self.epoch_changed = asyncio.Event()
        self._gateway = gateway
        self._agents = [AgentId(agent) for agent in agents]
        self._rate = rate
        self._random = random.Random(seed)
        self._inboxes: dict[CallId, asyncio.Queue[Decision]] = {}
        self._asking: set[str] = set()
        """Events not answered yet."""
        self._withdrawn: set[OfferId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._events = 0

    @property
    def accepted(self) -> int:
        """Events that the router has accepted."""
        return self.counts["events accepted"]

    @property
    def under_way(self) -> int:
        """Callers and agents in the middle of something."""
        return len(self._tasks)

    @property
    def behind_s(self) -> float:
        """How many seconds' worth of calls the unanswered events are."""
        return len(self._asking) / self._rate

    async def start(self) -> None:
        """Let all agents sign in, then callers call."""
        self._background.append(asyncio.create_task(self._listen()))
        await asyncio.gather(*(self._sign_in(agent) for agent in self._agents))
        self._background += [asyncio.create_task(self._arrivals()), asyncio.create_task(self._breaks())]
        for task in self._background:
            task.add_done_callback(self._note_failure)

    async def drain(self, *, within_s: float) -> None:
        """Nobody else calls; wait until everybody under way has come to an end."""
        for task in self._background[1:]:
            task.cancel()
        async with asyncio.timeout(within_s):
            while self._tasks:
                await asyncio.wait(self._tasks)
        self.raise_failure()

    async def close(self) -> None:
        for task in (*self._background, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._background, *self._tasks, return_exceptions=True)
        self.counts["duplicates that the router dropped"] = self._gateway.duplicates
        self.counts["events resent"] = self._gateway.published - len(self.answers)
        expected = sum(len(output_topics(_decision(payload), "main")) for payload in self.seen.values())
        self.counts["copies of decisions dropped"] = self._gateway.copies - expected

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def call_everybody_back(self) -> None:
        """Let every agent say that they are ready: whoever was paused while a broker lost the message learns of it."""
        await asyncio.gather(*(self._send(AgentReady(agent_id=agent)) for agent in self._agents))

    # --- To and from the router ---

    async def _send(self, event: Event) -> bool:
        """Report the event; False: it was refused."""
        self._events += 1
        event_id = f"e{self._events:09}"
        self._asking.add(event_id)
        try:
            accepted = await self._gateway.send(event, event_id=event_id)
        except EventRejected as rejected:
            self.answers[event_id] = REFUSED
            self.counts[f"refused as {rejected.reason}"] += 1
            return False
        finally:
            self._asking.discard(event_id)
        self.answers[event_id] = accepted.offset
        self.counts["events accepted"] += 1
        return True

    async def _listen(self) -> None:
        async for output in self._gateway.decisions():
            decision = output.message
            if output.id is None or not isinstance(decision, Decision):
                continue
            if output.id.epoch > self.epoch:
                self.epoch = output.id.epoch
                self.epoch_changed.set()
            payload = encode_output(decision, output.id)
            # The gateway forgets what it has seen after a while.
            if self.seen.setdefault(output.id, payload) != payload:
                raise AssertionError(f"decision {output.id} came with another content: {decision}")
            if isinstance(decision, WithdrawOffer):
                self._withdrawn.add(decision.offer_id)
            if isinstance(decision, PauseAgent):
                self._start(self._come_back(decision.agent_id))
            elif isinstance(decision, CallDecision) and decision.call_id in self._inboxes:
                self._inboxes[decision.call_id].put_nowait(decision)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._note_failure)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()

    # --- Callers ---

    async def _arrivals(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = began_s = loop.time()
        number = 0
        while True:
            self.calling_s = loop.time() - began_s
            if self.behind_s > _BACKLOG_S_MAX:
                # As an exchange does: else what is sent again and again buries a machine that is slow to come back.
                self.counts["callers turned away by the exchange"] += 1
                await asyncio.sleep(1 / self._rate)
                due_s = loop.time()
                continue
            due_s += self._random.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            number += 1
            self._start(self._call(CallId(f"c{number:07}")))

    async def _call(self, call_id: CallId) -> None:
        chance = self._random.random()
        # The organisation has no such skill: refused.
        skills = (SkillNeed(Skill("sanskrit")),) if chance < 0.003 else ()
        self._inboxes[call_id] = asyncio.Queue()
        self.counts["calls sent"] += 1
        try:
            if not await self._send(CallArrived(call_id=call_id, skills=skills)):
                self.counts["calls refused"] += 1
                return
            self.counts["calls accepted"] += 1
            if chance > 0.997:
                await self._send(CallArrived(call_id=call_id))
            ending = await self._live_through(call_id)
            self.counts[f"calls {ending or 'over before the caller hung up'}"] += 1
            if ending is not None:
                self.endings[call_id] = ending
        finally:
            del self._inboxes[call_id]

    async def _live_through(self, call_id: CallId) -> Outcome | None:
        """How the call ended; None: the platform was not told."""
        is_hasty = self._random.random() < 0.08
        patience_s = self._random.uniform(0.05, 1.0) if is_hasty else self._random.uniform(4.0, 9.0)
        loop = asyncio.get_running_loop()
        hangs_up_s = loop.time() + patience_s
        offers: set[OfferId] = set()
        tried: set[OfferId] = set()
        while True:
            try:
                async with asyncio.timeout_at(hangs_up_s):
                    decision = await self._inboxes[call_id].get()
            except TimeoutError:
                return Outcome.ABANDONED if await self._send(CallAbandoned(call_id=call_id)) else None
            match decision:
                case OfferCall() if decision.offer_id not in offers:
                    offers.add(decision.offer_id)
                    self._start(self._answer(decision))
                case ConnectCall() if decision.offer_id not in tried:
                    tried.add(decision.offer_id)
                    await asyncio.sleep(self._random.uniform(0.01, 0.1))
                    if self._random.random() < 0.02:
                        await self._send(ConnectFailed(call_id=call_id))
                    elif await self._send(CallConnected(call_id=call_id)):
                        await asyncio.sleep(min(4.0, self._random.expovariate(1 / 0.7)))
                        return Outcome.CONNECTED if await self._send(CallEnded(call_id=call_id)) else None
                case FallbackCall():
                    return Outcome.FALLBACK
                case EndCall():
                    return Outcome.CONNECTED

    # --- Agents ---

    async def _sign_in(self, agent_id: AgentId) -> None:
        await self._send(AgentSignedIn(agent_id=agent_id))
        await self._send(AgentReady(agent_id=agent_id))

    async def _come_back(self, agent_id: AgentId) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 1.5))
        await self._send(AgentReady(agent_id=agent_id))

    async def _breaks(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.1, 0.3))
            self._start(self._break(self._random.choice(self._agents)))

    async def _break(self, agent_id: AgentId) -> None:
        if await self._send(AgentNotReady(agent_id=agent_id)):
            await self._come_back(agent_id)

    async def _answer(self, offer: OfferCall) -> None:
        chance = self._random.random()
        who: dict[str, Any] = {"agent_id": offer.agent_id, "call_id": offer.call_id, "offer_id": offer.offer_id}
        if chance < 0.02:
            return  # Lets it ring; the router has to notice.
        is_late = chance < 0.03
        await asyncio.sleep(self._random.uniform(0.05, 0.5) + (OFFER_TIMEOUT_S if is_late else 0))
        # Now and then the answer crosses the withdrawal on the wire.
        if offer.offer_id in self._withdrawn and not is_late and self._random.random() < 0.7:
            return
        if chance < 0.04:
            await self._send(OfferMissed(**who))
        elif chance < 0.06:
            await self._send(OfferDeclined(**who))
        else:
            await self._send(OfferAccepted(**who))
            if chance > 0.98:
                await self._send(OfferAccepted(**who))


def _decision(payload: bytes) -> Decision:
    decision = decode_output(payload).message
    assert isinstance(decision, Decision), "only decisions are noted"
    return decision
