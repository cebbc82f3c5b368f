"""The platform's side of the bus: report events until the router has them, and receive its decisions.

    async with Gateway("mqtt://127.0.0.1") as gateway:
        await gateway.send(CallArrived(call_id=CallId("c1")), caller_number="+39 06 1234")
        async for decision in gateway.decisions():
            ...

A broker that acknowledges a message does not have to deliver it, so `Gateway.send` sends an event again until the
router says that it is in its journal. The event id tells the router that it is the same event. In the other
direction a decision may come twice, on the topics of its call and of its agent, after a restart, or late from a router
that another has replaced; the gateway drops what it has seen.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self

from router.core.decisions import Decision
from router.core.errors import EventRejected, RouterError
from router.core.events import PlatformResynced
from router.service.mqtt import Access, BrokerError, BrokerUrl, Connection, Message, stay_connected
from router.wire import (
    Accepted,
    DecisionId,
    InputEvent,
    Output,
    Rejected,
    RouterStatus,
    WireError,
    decode_output,
    encode_input,
    input_topic,
    reply_topic,
    router_status_topic,
)

__all__ = ["Gateway", "GatewayClosedError"]

logger = logging.getLogger(__name__)

DECISIONS_BUFFERED_MAX: Final = 100_000
"""Beyond so many decisions that nobody takes, the gateway stops acknowledging, and the broker stops sending."""

DECISIONS_REMEMBERED: Final = 50_000
"""Ids of decisions seen, some 10 MB: more than a router publishes again after a restart."""

# An event is sent again after `resend_s`, then after twice as long each time, so that a router that comes back
# does not find a day's copies; once it has said that it is up, the wait is `resend_s` again.
_RESEND_S_MAX = 60.0


class GatewayClosedError(RouterError):
    """The gateway was closed before the router answered. It may or may not have the event."""


class _Sending:
    """An event that the router has not answered yet."""

    def __init__(self, topic: str, payload: bytes, resend_s: float) -> None:
        self.topic = topic
        self.payload = payload
        self.answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self.resend_s = resend_s
        self.due_s = 0.0
        """When to send it again, by the clock of the event loop."""


class Gateway:
    """A platform's connection to one shard of the router, kept up until closed.

    Args:
        url: The broker: ``mqtt[s]://[user[:password]@]host[:port][?version=5]``.
        access: User, password and certificates.
        shard: The shard of the router that serves this platform's agents.
        client_id: A name of its own, with which the broker keeps decisions while the gateway is away. None:
            what is decided meanwhile is missed.
        resend_s: Seconds without an answer until an event is sent again; doubled each time, up to a minute.
        connect_timeout_s: Seconds that ``async with`` waits for the first connection.

    Raises:
        ValueError: The URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        access: Access = Access(),  # noqa: B008 # it is frozen
        shard: str = "main",
        client_id: str | None = None,
        resend_s: float = 2.0,
        connect_timeout_s: float = 10.0,
    ) -> None:
        self._broker = BrokerUrl.parse(url)
        self._url = url
        self._access = access
        self._shard = shard
        self._client_id = client_id
        self._resend_s = resend_s
        self._connect_timeout_s = connect_timeout_s
        # Event ids that sort by time are several times cheaper for the router's journal than random ones.
        self._name = f"{time.time_ns():x}{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._connection: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sending: dict[str, _Sending] = {}
        self._decisions: deque[tuple[Output, Message]] = deque()
        self._seen: OrderedDict[DecisionId, None] = OrderedDict()
        self._epoch = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._router_up_since_ms: int | None = None
        self._changed = asyncio.Event()
        self._closed: str | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: There is no connection after ``connect_timeout_s``.
        """
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reason = "no answer"

        def on_connected(connection: Connection) -> None:
            self._connection = connection
            self._resend_all()
            if not connected.done():
                connected.set_result(None)

        def on_failed(error: BrokerError) -> None:
            nonlocal reason
            self._connection = None
            reason = str(error)

        async def stay() -> None:
            out = f"acd/v1/out/{self._shard}"
            await stay_connected(
                self._url,
                access=self._access,
                deliver=self._deliver,
                subscriptions=(
                    f"{out}/call/+", f"{out}/agent/+", f"{out}/admin/+", router_status_topic(self._shard)
                ),
                client_id=self._client_id,
                on_connected=on_connected,
                on_failed=on_failed,
            )  # fmt: skip

        self._tasks = [asyncio.create_task(stay()), asyncio.create_task(self._resend())]
        for task in self._tasks:
            task.add_done_callback(self._on_stopped)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await connected
        except BaseException as error:
            await self._close()
            if isinstance(error, TimeoutError):
                raise BrokerError(f"no connection within {self._connect_timeout_s:g} s: {reason}") from None
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect. Events not yet accepted fail with `GatewayClosedError`; decisions not taken are dropped."""
        await self._close()

    async def send(
        self, event: InputEvent, *, event_id: str | None = None, caller_number: str | None = None
    ) -> Accepted:
        """Report an event and wait until the router has it for good. Any number may be under way.

        Events of one call should be sent one after the other: what is sent again may arrive after what was sent
        later. While a `PlatformResynced` is under way, other events wait.

        Args:
            event: What happened.
            event_id: 1 to 64 letters, digits, ``._:@-``, and unique; None: made up. Give it to send an event
                again after a crash, so that the router knows it.
            caller_number: For `CallArrived`: the caller's phone number. The router keeps a pseudonym only.

        Returns:
            Where the event stands in the journal.

        Raises:
            EventRejected: The router refuses the event.
            GatewayClosedError: The gateway was closed meanwhile.
            ValueError: An id has a form that cannot be sent, or this event id is under way already.
        """
        if isinstance(event, PlatformResynced):
            # A call that arrives between the list and its answer is not in the list, and would be taken as over.
            self._calm.clear()
            try:
                return await self._send(event, event_id, caller_number)
            finally:
                self._calm.set()
        await self._calm.wait()
        return await self._send(event, event_id, caller_number)

    async def _send(self, event: InputEvent, event_id: str | None, caller_number: str | None) -> Accepted:
        if self._closed is not None:
            raise GatewayClosedError(self._closed)
        event_id = event_id or f"{self._name}-{next(self._numbers):09}"
        if event_id in self._sending:
            raise ValueError(f"event {event_id} is under way already")
        topic = input_topic(event, self._shard)
        if reply_topic(topic, self._shard) is None:
            raise ValueError("call and agent ids are 1 to 64 letters, digits and ._:@-")
        payload = encode_input(event_id, event, caller_number=caller_number)
        sending = self._sending[event_id] = _Sending(topic, payload, self._resend_s)
        self._publish(sending)
        try:
            return await sending.answer
        finally:
            del self._sending[event_id]

    def decisions(self) -> AsyncIterator[Output]:
        """The router's decisions, each once, in the order of arrival; ends when the gateway is closed.

        There is one stream: of two readers each gets a part. Cancelling a reader loses nothing.
        """
        return _Decisions(self)

    async def _next_decision(self) -> Output:
        while not self._decisions:
            if self._closed is not None:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        output, message = self._decisions.popleft()
        message.acknowledge()
        return output

    def _deliver(self, message: Message) -> None:
        try:
            output = decode_output(message.payload)
        except WireError as error:
            logger.warning("message on %s left aside: %s", message.topic, error)
            message.acknowledge()
            return
        match output.message:
            case Accepted(event_id=event_id) as accepted:
                sending = self._sending.get(event_id)
                if sending is not None and not sending.answer.done():
                    sending.answer.set_result(accepted)
            case Rejected(event_id=str(event_id), reason=reason, detail=detail):
                sending = self._sending.get(event_id)
                if sending is not None and not sending.answer.done():
                    sending.answer.set_exception(EventRejected(reason, detail))
            case RouterStatus(up=True, since_ms=since_ms, epoch=epoch):
                has_started = self._router_up_since_ms not in (None, since_ms)
                if has_started:
                    self._expect_soon()
                if epoch < self._epoch or (has_started and epoch == self._epoch):
                    # A router that was replaced says nothing; this one has a new journal, or one from a backup.
                    self._seen.clear()
                self._epoch = epoch
                self._router_up_since_ms = since_ms
            case Decision() if output.id is not None and self._is_new(output.id):
                self._decisions.append((output, message))
                self._changed.set()
                if len(self._decisions) > DECISIONS_BUFFERED_MAX:
                    return
        message.acknowledge()

    def _is_new(self, decision_id: DecisionId) -> bool:
        # Also what a router says that has slept and was replaced: its successor has said all of it before.
        if decision_id in self._seen:
            return False
        self._seen[decision_id] = None
        if len(self._seen) > DECISIONS_REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _publish(self, sending: _Sending) -> None:
        sending.due_s = asyncio.get_running_loop().time() + sending.resend_s
        sending.resend_s = min(2 * sending.resend_s, _RESEND_S_MAX)
        if self._connection is not None:
            with contextlib.suppress(BrokerError):  # It is sent again on the next connection.
                self._connection.publish(sending.topic, sending.payload)

    def _resend_all(self) -> None:
        for sending in self._sending.values():
            sending.resend_s = self._resend_s
            self._publish(sending)

    def _expect_soon(self) -> None:
        """Let what is unanswered be sent again in the first wait's time, however long the waits had become.

        Not at once: a router that has just started answers next what the broker has kept for it, and all of that would
        come to it twice, when it has most to do.
        """
        due_s = asyncio.get_running_loop().time() + self._resend_s
        for sending in self._sending.values():
            sending.resend_s = self._resend_s
            sending.due_s = min(sending.due_s, due_s)

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(self._resend_s / 4)
            now_s = asyncio.get_running_loop().time()
            for sending in self._sending.values():
                if sending.due_s <= now_s:
                    self._publish(sending)

    def _on_stopped(self, task: asyncio.Task[None]) -> None:
        # Neither task ends by itself, but for a mistake of ours: nobody may wait for ever because of it.
        error = None if task.cancelled() else task.exception()
        self._stop(f"the gateway failed: {error!r}" if error else "the gateway was closed")

    def _stop(self, reason: str) -> None:
        if self._closed is None:
            self._closed = f"{reason}; what was not accepted yet, the router may or may not have"
        self._connection = None
        self._changed.set()
        for sending in self._sending.values():
            if not sending.answer.done():
                sending.answer.set_exception(GatewayClosedError(self._closed))

    async def _close(self) -> None:
        self._stop("the gateway was closed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Decisions:
    """An iterator that survives a cancelled wait, unlike a generator."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Output:
        return await self._gateway._next_decision()
