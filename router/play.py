"""A telephony platform in miniature: plays callers and agents against a running router, through the gateway.

Every call is a task that does what a caller does: arrives, waits, is offered, connected, talks, hangs up. Agents answer
offers after a few rings; now and then one declines, or lets it ring. ``speed`` turns the clock of callers and agents;
the router's own limits (offer timeouts, rings of the organisation) go on in real seconds, for the router has one clock.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import numpy as np

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
    AgentEvent,
    AgentReady,
    CallAbandoned,
    CallConnected,
    CallEnded,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
)
from router.core.model import CallId, FallbackKind
from router.gateway import Gateway
from router.simulation.callers import Caller

__all__ = ["Platform"]

# How agents behave: seconds until they answer, and how often they do something else.
_ANSWER_S: Final = (1.0, 6.0)
_WRAP_UP_S: Final = (5.0, 25.0)
_DECLINES: Final = 0.01
_MISSES: Final = 0.01
_RINGS_UNTIL_MISSED_S: Final = 15.0
_BACK_AFTER_PAUSE_S: Final = 60.0


class Platform:
    """Plays one set of callers and agents.

    Args:
        gateway: Connected to the router's shard.
        speed: So many seconds of callers and agents pass in one.
        seed: For what agents do.
        watch: Told of each decision, for showing it.
    """

    def __init__(
        self, gateway: Gateway, *, speed: float, seed: int, watch: Callable[[Decision], None] = lambda _: None
    ) -> None:
        self.counts: Counter[str] = Counter()
        """What happened so far: ``arrived``, ``offered``, ``connected``, ``ended``, ``abandoned``, ``fallback`` ..."""
        self._gateway = gateway
        self._speed = speed
        self._random = np.random.default_rng(seed)
        self._watch = watch
        self._calls: dict[CallId, asyncio.Queue[Decision]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def play(
        self, callers: Iterable[Caller], presence: Iterable[tuple[int, AgentEvent]], *, duration_s: float | None = None
    ) -> None:
        """Play all of it, or *duration_s* seconds of it on the clock of callers and agents.

        Agents who came are left signed in, as they are at the end of a demonstration.
        """
        listening = asyncio.create_task(self._listen())
        try:
            await self._play(callers, presence, duration_s)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in (*self._tasks, listening):
                task.cancel()
            await asyncio.gather(*self._tasks, listening, return_exceptions=True)

    async def _play(
        self, callers: Iterable[Caller], presence: Iterable[tuple[int, AgentEvent]], duration_s: float | None
    ) -> None:
        script: list[tuple[int, int, Caller | AgentEvent]] = [(at_ms, 0, event) for at_ms, event in presence]
        script += [(caller.arrived_ms, 1, caller) for caller in callers]
        script.sort(key=lambda line: line[:2])
        if not script:
            return
        first_ms, started_s = script[0][0], time.monotonic()
        for at_ms, _, line in script:
            after_s = (at_ms - first_ms) / 1000
            if duration_s is not None and after_s > duration_s:
                break
            await asyncio.sleep(started_s + after_s / self._speed - time.monotonic())
            if isinstance(line, Caller):
                self._start(self._call(line))
            else:
                # One by one: an agent signs in before getting ready.
                await self._send(line)

    def _start(self, coroutine: Awaitable[None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    async def _send(self, event: Event) -> bool:
        """Report the event; False: the router has refused it, as happens when two things cross on the wire."""
        try:
            await self._gateway.send(event)
        except EventRejected as rejected:
            self.counts[f"rejected: {rejected.reason}"] += 1
            return False
        return True

    async def _listen(self) -> None:
        async for output in self._gateway.decisions():
            decision = output.message
            if not isinstance(decision, Decision):
                continue
            if isinstance(decision, PauseAgent):
                self._start(self._come_back(decision))
            elif isinstance(decision, CallDecision) and decision.call_id in self._calls:
                self._calls[decision.call_id].put_nowait(decision)
            else:
                # Another platform's, or of a call that has ended meanwhile.
                continue
            self._watch(decision)

    async def _come_back(self, paused: PauseAgent) -> None:
        self.counts["agents paused"] += 1
        await self._sleep(_BACK_AFTER_PAUSE_S)
        await self._send(AgentReady(agent_id=paused.agent_id))

    async def _call(self, caller: Caller) -> None:
        call_id = caller.event.call_id
        self._calls[call_id] = asyncio.Queue()
        try:
            self.counts["arrived"] += 1
            if await self._send(caller.event):
                outcome = await self._wait_and_talk(caller)
                self.counts[outcome] += 1
        finally:
            del self._calls[call_id]

    async def _wait_and_talk(self, caller: Caller) -> str:
        """Live through the call; returns how it ended."""
        call_id = caller.event.call_id
        inbox = self._calls[call_id]
        answering: asyncio.Task[None] | None = None
        patience_ends_s = float("inf")
        if caller.patience_ms is not None:
            patience_ends_s = time.monotonic() + caller.patience_ms / 1000 / self._speed
        try:
            while True:
                try:
                    async with asyncio.timeout(min(patience_ends_s - time.monotonic(), 1e6)):
                        decision = await inbox.get()
                except TimeoutError:
                    await self._send(CallAbandoned(call_id=call_id))
                    return "abandoned"
                match decision:
                    case OfferCall():
                        self.counts["offered"] += 1
                        answering = asyncio.create_task(self._answer(decision))
                    case WithdrawOffer() if answering is not None:
                        answering.cancel()
                    case ConnectCall():
                        return await self._talk(caller, decision)
                    case FallbackCall(kind=FallbackKind.CALLBACK):
                        # The caller hangs up and waits to be called.
                        patience_ends_s = float("inf")
                    case FallbackCall(kind=FallbackKind.MESSAGE | FallbackKind.NUMBER):
                        return "fallback"
                    case EndCall():
                        return "ended by the router"
        finally:
            if answering is not None:
                answering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await answering

    async def _answer(self, offer: OfferCall) -> None:
        chance = self._random.random()
        answer: type[OfferAccepted | OfferDeclined | OfferMissed] = OfferAccepted
        after_s = self._random.uniform(*_ANSWER_S)
        if chance < _MISSES:
            answer, after_s = OfferMissed, _RINGS_UNTIL_MISSED_S
        elif chance < _MISSES + _DECLINES:
            answer = OfferDeclined
        await self._sleep(after_s)
        await self._send(answer(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))

    async def _talk(self, caller: Caller, connect: ConnectCall) -> str:
        call_id = caller.event.call_id
        if not await self._send(CallConnected(call_id=call_id)):
            return "not connected"
        self.counts["connected"] += 1
        await self._sleep(caller.service_ms / 1000)
        await self._send(CallEnded(call_id=call_id))
        self._start(self._wrap_up(connect))
        return "ended"

    async def _wrap_up(self, connect: ConnectCall) -> None:
        await self._sleep(self._random.uniform(*_WRAP_UP_S))
        # Refused when the router has ended the wrap-up before: at low speeds its limit is the shorter.
        with contextlib.suppress(EventRejected):
            await self._gateway.send(AgentReady(agent_id=connect.agent_id))
