"""A broker and its network, as bad as MQTT allows.

Each connection keeps its order, as TCP does; between connections anything overtakes. What was sent when a connection
broke may or may not have arrived. A session redelivers what was not acknowledged, so that messages come twice. A
broker that is killed forgets what it had, acknowledged or not, as a default mosquitto does.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, Never

from router.service.mqtt import Access, BrokerError, Message, Outbox, Will
from tests.faults.loop import PROCESS, Process, VirtualLoop

__all__ = ["Broker", "SimulatedConnection"]

_DELAY_S = 0.02
_QUICK_DELAY_S = 0.1
_BACKOFF_S = 0.3

Observe = Callable[[Process | None, str, bytes], None]


class _Session:
    def __init__(self, subscriptions: Sequence[str]) -> None:
        self.subscriptions = tuple(subscriptions)
        self.unacknowledged: dict[int, tuple[str, bytes, bool]] = {}
        self.connection: SimulatedConnection | None = None

    def wants(self, topic: str) -> bool:
        return any(topic.startswith(each.removesuffix("#")) for each in self.subscriptions)


class SimulatedConnection:
    """One client's connection, with what `Outbox` and the service use of `mqtt.Connection`."""

    def __init__(
        self, broker: "Broker", session: _Session, deliver: Callable[[Message], None], will: Will | None
    ) -> None:
        self.process = PROCESS.get()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._broker = broker
        self._session = session
        self._deliver = deliver
        self._will = will
        self._context = copy_context()
        self._in_flight: dict[int, asyncio.Future[None]] = {}
        self._published = 0
        self._up_s = self._down_s = 0.0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        broker = self._broker
        if self.lost.done():
            raise BrokerError("the connection is lost")
        broker.before_publish(self.process)
        self._published += 1
        number, done = self._published, broker.loop.create_future()
        self._in_flight[number] = done
        self._up_s = max(self._up_s, broker.loop.time() + broker.delay_s())
        broker.at(self._up_s, self._arrive, number, topic, payload, retain)
        return done

    def _arrive(self, number: int, topic: str, payload: bytes, retain: bool) -> None:
        broker = self._broker
        if self.lost.done() and broker.random.random() < 0.5:
            return  # Was on the way when the connection broke, and is lost.
        if not broker.is_up:
            return
        broker.observe(self.process, topic, payload)
        broker.route(topic, payload, retain=retain)
        broker.at(broker.loop.time() + broker.delay_s(), self._acknowledged, number)

    def _acknowledged(self, number: int) -> None:
        done = self._in_flight.pop(number, None)
        if done is not None and not done.done() and not self.lost.done():
            done.set_result(None)

    def send(self, mid: int, topic: str, payload: bytes, retained: bool) -> None:
        """Deliver a message to the client, in order."""
        broker = self._broker
        self._down_s = max(self._down_s, broker.loop.time() + broker.delay_s())
        broker.at(self._down_s, self._receive, mid, topic, payload, retained, context=self._context)

    def _receive(self, mid: int, topic: str, payload: bytes, retained: bool) -> None:
        if self.lost.done() or (self.process is not None and self.process.is_dead):
            return

        def acknowledge() -> None:
            self._broker.before_acknowledge(self.process, topic, payload)
            if not self.lost.done():
                self._session.unacknowledged.pop(mid, None)

        self._deliver(Message(topic, payload, acknowledge, retained=retained))

    def lose(self, *, with_will: bool) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        if self._session.connection is self:
            self._session.connection = None
        if with_will and self._will is not None and self._broker.is_up:
            self._broker.route(self._will.topic, self._will.payload, retain=True)
        for done in self._in_flight.values():
            if not done.done():
                done.set_exception(BrokerError("the connection was lost"))
                done.exception()
        self._in_flight.clear()


class Broker:
    def __init__(
        self,
        loop: VirtualLoop,
        rng: random.Random,
        *,
        observe: Observe,
        before_publish: Callable[[Process | None], None],
        before_acknowledge: Callable[[Process | None, str, bytes], None],
        is_quick: bool = False,
    ) -> None:
        """A broker on *loop*.

        Args:
            loop: The time.
            rng: Chance.
            observe: Told of what arrives.
            before_publish: May strike just before a client publishes.
            before_acknowledge: May strike just before a client acknowledges.
            is_quick: All messages take equally long, so that one timer does for many: for long runs without faults.
        """
        self.loop = loop
        self.random = rng
        self.is_up = True
        self.observe = observe
        self.before_publish = before_publish
        self.before_acknowledge = before_acknowledge
        self.slowness = 1.0
        self._is_quick = is_quick
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...], Context | None]] = []
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, bytes] = {}
        self._messages = 0

    def delay_s(self) -> float:
        return self.random.random() * _DELAY_S * self.slowness

    def at(self, when_s: float, callback: Callable[..., None], *args: Any, context: Context | None = None) -> None:
        """Schedule for the broker itself, or for a client in its own *context*."""
        if not self._is_quick:
            self.loop.call_at(when_s, callback, *args, context=context if context is not None else Context())
            return
        if not self._waiting:
            self.loop.call_later(_QUICK_DELAY_S, self._pass_on, context=Context())
        self._waiting.append((callback, args, context))

    def _pass_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback, args, context in waiting:
            if context is None:
                callback(*args)
            else:
                context.run(callback, *args)

    def route(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if retain:
            self._retained[topic] = payload
        for session in self._sessions.values():
            if session.wants(topic):
                self._messages += 1
                session.unacknowledged[self._messages] = (topic, payload, False)
                if session.connection is not None:
                    session.connection.send(self._messages, topic, payload, False)

    def kill(self, *, forget: bool) -> None:
        self.is_up = False
        for session in list(self._sessions.values()):
            if session.connection is not None:
                session.connection.lose(with_will=False)
        if forget:
            self._sessions.clear()
            self._retained.clear()

    def restart(self) -> None:
        self.is_up = True

    def drop(self, client_id: str) -> None:
        """Break one client's connection."""
        session = self._sessions.get(client_id)
        if session is not None and session.connection is not None:
            session.connection.lose(with_will=True)

    def drop_process(self, process: Process) -> None:
        """The kernel closes the connections of a process that was killed."""
        for session in list(self._sessions.values()):
            if session.connection is not None and session.connection.process is process:
                session.connection.lose(with_will=True)

    async def connect(
        self,
        _url: str,
        *,
        deliver: Callable[[Message], None],
        client_id: str,
        subscriptions: Sequence[str] = (),
        outbox: Outbox | None = None,
        will: Will | None = None,
        on_connected: Callable[[Any], None] | None = None,
        on_failed: Callable[[BrokerError], None] | None = None,
        access: Access | None = None,
    ) -> Never:
        """What `mqtt.stay_connected` does, at this broker."""
        while True:
            connection: SimulatedConnection | None = None
            try:
                if self.is_up:
                    connection = self._accept(client_id, subscriptions, deliver, will)
                    if on_connected is not None:
                        on_connected(connection)
                    if outbox is not None:
                        outbox.attach(connection)  # type: ignore[arg-type]  # has what the outbox uses of one
                    await asyncio.shield(connection.lost)
                if on_failed is not None:
                    on_failed(BrokerError("no connection"))
            finally:
                if outbox is not None:
                    outbox.detach()
                if connection is not None:
                    connection.lose(with_will=False)
            await asyncio.sleep(_BACKOFF_S * (0.5 + self.random.random()))

    def _accept(
        self, client_id: str, subscriptions: Sequence[str], deliver: Callable[[Message], None], will: Will | None
    ) -> SimulatedConnection:
        session = self._sessions.get(client_id)
        if session is None:
            session = self._sessions[client_id] = _Session(subscriptions)
        elif session.connection is not None:
            session.connection.lose(with_will=True)  # An older connection of the name is thrown out.
        connection = session.connection = SimulatedConnection(self, session, deliver, will)
        for mid, (topic, payload, retained) in session.unacknowledged.items():
            connection.send(mid, topic, payload, retained)
        # Also to a session that was kept: subscribing again brings what is retained again.
        for topic, payload in self._retained.items():
            if session.wants(topic):
                self._messages += 1
                session.unacknowledged[self._messages] = (topic, payload, True)
                connection.send(self._messages, topic, payload, True)
        return connection
