"""A telephony platform in miniature: plays callers and agents against a running router, through the gateway.

Every call is a task that does what a caller does: arrives, waits, is offered, connected, talks, hangs up. Agents answer
offers after a few rings; now and then one declines, or lets it ring. ``speed`` turns the clock of callers and agents;
the router's own limits (offer timeouts, rings of the organisation) go on in real seconds, for the router has one clock.
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable
from enum import StrEnum
from typing import Any, Final

import numpy as np
from msgspec import Struct

from router.core import EventRejected, Rejection, RouterError
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
    CallRefreshed,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
    PlaceRequested,
)
from router.core.model import AgentId, CallId, FallbackKind
from router.gateway import Gateway
from router.simulation.callers import Caller

__all__ = ["Ending", "NoRouterError", "Platform", "Tally"]

# How agents behave: seconds until they answer, and how often they do something else.
_ANSWER_S: Final = (1.0, 6.0)
_WRAP_UP_S: Final = (5.0, 25.0)
_DECLINES: Final = 0.01
_MISSES: Final = 0.01
# Of the callers who may choose, so many ask for an agent inside.
_ASKS_INSIDE: Final = 0.05
_RINGS_UNTIL_MISSED_S: Final = 15.0
_BACK_AFTER_PAUSE_S: Final = 60.0
# Several hundred agents who sign in at one moment must not stand before the first callers for seconds.
_SHOWING_UP_MAX: Final = 10
# When no more calls come, those under way get so long, on the callers' clock, before the platform closes.
_LAST_CALLS_S: Final = 900.0
# In real seconds: half the shortest talk lease there is; until the router first answers; for hanging up when closing.
_REFRESH_EVERY_S: Final = 30.0
_FIRST_ANSWER_S: Final = 10.0
_HANG_UP_S: Final = 3.0


class NoRouterError(RouterError):
    """The broker is there, but nobody answers behind it."""


class Ending(StrEnum):
    """How a call ended, as the platform saw it. Every call that arrived ends in exactly one of these."""

    TALKED = "talked"
    """Connected, and talked to the end."""
    CALLED_BACK = "called_back"
    """The same, but the caller had hung up in the meantime and was called back."""
    ABANDONED = "abandoned"
    """The caller's patience was over."""
    FALLBACK = "fallback"
    """The router sent the call to a number or a message."""
    ENDED_BY_ROUTER = "ended_by_router"
    """The router took the call for over."""
    REFUSED = "refused"
    """The router refused the call on arrival."""
    CUT_SHORT = "cut_short"
    """Hung up because the play was over."""
    UNDER_WAY = "under_way"
    """The router did not take the hang-up in time."""


class Tally(Struct, frozen=True, kw_only=True):
    """What was played so far: ``arrived`` is the sum of ``endings``."""

    arrived: int
    endings: dict[Ending, int]
    """All of them, in the order of `Ending`. Calls that still go on are under way."""
    offers: int
    agents_paused: int
    refusals: dict[str, int]
    """Events that the router refused, by reason; a few, which crossed a decision on the wire, are normal."""


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
        self._gateway = gateway
        self._speed = speed
        self._random = np.random.default_rng(seed)
        self._watch = watch
        self._arrived = self._offers = self._paused = 0
        self._endings: Counter[Ending] = Counter()
        self._refusals: Counter[str] = Counter()
        # None in an inbox: the platform closes.
        self._calls: dict[CallId, asyncio.Queue[Decision | None]] = {}
        # Signing in comes before getting ready: what one agent does is sent in turn.
        self._agents: defaultdict[AgentId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._showing_up = asyncio.Semaphore(_SHOWING_UP_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_answered = False
        self._closing = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def arrived(self) -> int:
        """Calls so far."""
        return self._arrived

    def tally(self) -> Tally:
        endings = {ending: self._endings[ending] for ending in Ending}
        endings[Ending.UNDER_WAY] = self._arrived - self._endings.total()
        return Tally(
            arrived=self._arrived,
            endings=endings,
            offers=self._offers,
            agents_paused=self._paused,
            refusals=dict(sorted(self._refusals.items())),
        )

    async def play(
        self, callers: Iterable[Caller], presence: Iterable[tuple[int, AgentEvent]], *, duration_s: float | None = None
    ) -> None:
        """Play all of it, or *duration_s* seconds of it on the clock of callers and agents; then finish what goes on.

        Agents who came are left signed in, as they are at the end of a demonstration.

        Raises:
            NoRouterError: The first event was not answered.
            GatewayClosedError: The gateway was closed meanwhile.
        """
        listening = asyncio.create_task(self._listen())
        listening.add_done_callback(self._on_done)
        script = self._start(self._perform(callers, presence, duration_s))
        closing = asyncio.create_task(self._closing.wait())
        # A router that has gone must not stop the clock.
        within_s = None if duration_s is None else duration_s / self._speed + _FIRST_ANSWER_S
        try:
            await asyncio.wait((script, closing), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            script.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_CALLS_S / self._speed):
                    while self._tasks and not self._closing.is_set():
                        await asyncio.wait((closing, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
            self.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HANG_UP_S):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
        finally:
            for task in (*self._tasks, listening, closing):
                task.cancel()
            await asyncio.gather(*self._tasks, listening, closing, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Let nobody else call, and hang up whatever goes on; `play` returns when the router knows."""
        self._closing.set()
        for inbox in self._calls.values():
            inbox.put_nowait(None)

    async def _perform(
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
                self._start(self._show_up(line))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            self.close()

    async def _sleep(self, seconds: float) -> bool:
        """Wait on the clock of callers and agents; False: the platform closes, which ends every wait."""
        return await self._wait(seconds / self._speed)

    async def _wait(self, real_s: float) -> bool:
        try:
            async with asyncio.timeout(real_s):
                await self._closing.wait()
        except TimeoutError:
            return True
        return False

    async def _show_up(self, event: AgentEvent) -> None:
        """Report what an agent does whom the router may have seen do it: still signed in, or wrap-up over by itself."""
        async with self._agents[event.agent_id], self._showing_up:
            await self._send(event, expected=Rejection.WRONG_AGENT_STATE)

    async def _send(self, event: Event, *, expected: Rejection | None = None) -> bool:
        """Report the event; False: the router has refused it, as happens when two things cross on the wire."""
        try:
            async with asyncio.timeout(None if self._is_answered else _FIRST_ANSWER_S):
                await self._gateway.send(event)
        except EventRejected as rejected:
            if rejected.reason is not expected:
                self._refusals[rejected.reason] += 1
            return False
        except TimeoutError:
            raise NoRouterError(
                f"the broker is there, but no router answers within {_FIRST_ANSWER_S:g} s; start one: router run CONFIG"
            ) from None
        finally:
            self._is_answered = True
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
        self._paused += 1
        if await self._sleep(_BACK_AFTER_PAUSE_S):
            await self._show_up(AgentReady(agent_id=paused.agent_id))

    async def _call(self, caller: Caller) -> None:
        if self._closing.is_set():
            return
        call_id = caller.event.call_id
        self._calls[call_id] = asyncio.Queue()
        self._arrived += 1
        try:
            ending = await self._live_through(caller) if await self._send(caller.event) else Ending.REFUSED
            self._endings[ending] += 1
        finally:
            del self._calls[call_id]

    async def _live_through(self, caller: Caller) -> Ending:
        call_id = caller.event.call_id
        inbox = self._calls[call_id]
        answering: asyncio.Task[None] | None = None
        patience_ends_s = self._patience_ends_s(caller)
        try:
            while True:
                try:
                    async with asyncio.timeout(min(patience_ends_s - time.monotonic(), 1e6)):
                        decision = await inbox.get()
                except TimeoutError:
                    if await self._send(CallAbandoned(call_id=call_id)):
                        return Ending.ABANDONED
                    # It has just been sent to a fallback, which the inbox will tell.
                    patience_ends_s = float("inf")
                    continue
                match decision:
                    case None:
                        await self._send(CallEnded(call_id=call_id))
                        return Ending.CUT_SHORT
                    case OfferCall():
                        self._offers += 1
                        answering = asyncio.create_task(self._answer(decision))
                    case WithdrawOffer() if answering is not None:
                        answering.cancel()
                    case ConnectCall():
                        # Refused: it took too long, and the call is back in its place.
                        announced = decision.agent_country if decision.announcement is not None else None
                        if not await self._send(CallConnected(call_id=call_id, announced=announced)):
                            continue
                        if not (decision.offers_choice and self._random.random() < _ASKS_INSIDE):
                            return await self._talk(caller, decision)
                        # The agent abroad gives the call back; the caller's patience begins anew.
                        patience_ends_s = self._patience_ends_s(caller)
                        await self._send(PlaceRequested(call_id=call_id))
                        self._start(self._wrap_up(decision))
                    case FallbackCall(kind=FallbackKind.CALLBACK):
                        # The caller hangs up and waits to be called.
                        patience_ends_s = float("inf")
                    case FallbackCall(kind=FallbackKind.MESSAGE | FallbackKind.NUMBER):
                        return Ending.FALLBACK
                    case EndCall():
                        return Ending.ENDED_BY_ROUTER
        finally:
            if answering is not None:
                answering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await answering

    def _patience_ends_s(self, caller: Caller) -> float:
        """When a caller who begins to wait now hangs up, on the monotonic clock."""
        if caller.patience_ms is None:
            return float("inf")
        return time.monotonic() + caller.patience_ms / 1000 / self._speed

    async def _answer(self, offer: OfferCall) -> None:
        chance = self._random.random()
        answer: type[OfferAccepted | OfferDeclined | OfferMissed] = OfferAccepted
        after_s = self._random.uniform(*_ANSWER_S)
        if chance < _MISSES:
            answer, after_s = OfferMissed, _RINGS_UNTIL_MISSED_S
        elif chance < _MISSES + _DECLINES:
            answer = OfferDeclined
        if await self._sleep(after_s):
            await self._send(answer(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))

    async def _talk(self, caller: Caller, connect: ConnectCall) -> Ending:
        call_id = caller.event.call_id
        ends_s = time.monotonic() + caller.service_ms / 1000 / self._speed
        goes_on = True
        while goes_on and (left_s := ends_s - time.monotonic()) > 0:
            goes_on = await self._wait(min(left_s, _REFRESH_EVERY_S))
            if goes_on and left_s > _REFRESH_EVERY_S:
                goes_on = await self._send(CallRefreshed(call_id=call_id))
        if not await self._send(CallEnded(call_id=call_id)):
            return Ending.ENDED_BY_ROUTER
        if self._closing.is_set():
            return Ending.CUT_SHORT
        self._start(self._wrap_up(connect))
        return Ending.CALLED_BACK if connect.callback else Ending.TALKED

    async def _wrap_up(self, connect: ConnectCall) -> None:
        if await self._sleep(self._random.uniform(*_WRAP_UP_S)):
            await self._show_up(AgentReady(agent_id=connect.agent_id))
