"""The bus, on each kind of broker, and what survives its loss."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.service.mqtt import (
    PUBLISHES_IN_FLIGHT_MAX,
    RECEIVE_MAXIMUM,
    BrokerError,
    BrokerUrl,
    Connection,
    Message,
    Outbox,
    OutboxFullError,
    PublishRefusedError,
    Will,
    stay_connected,
)
from tests.brokers import Mosquitto, free_port

TOPIC = "tests/mqtt"


class Inbox:
    """Takes what a connection delivers; acknowledges nothing unless told to."""

    def __init__(self, *, acknowledge: bool = False) -> None:
        self.messages: list[Message] = []
        self._acknowledge = acknowledge
        self._changed = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        if self._acknowledge:
            message.acknowledge()

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def topic() -> str:
    return f"{TOPIC}/{uuid.uuid4().hex}"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that a test may kill. It is not started yet."""
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


@contextlib.asynccontextmanager
async def staying_connected(url: str, **kwargs: object) -> AsyncIterator[asyncio.Task[None]]:
    async def stay() -> None:
        await stay_connected(url, **kwargs)  # type: ignore[arg-type]

    task = asyncio.create_task(stay())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


async def test_messages_arrive_once_and_in_order(broker_url: str, topic: str) -> None:
    """With hundreds under way at a time."""
    inbox = Inbox(acknowledge=True)

    async with Connection(broker_url, deliver=inbox) as connection:
        await connection.subscribe([topic])
        await asyncio.gather(*[connection.publish(topic, payload) for payload in numbered(300)])
        await inbox.wait_for(300)

    assert inbox.payloads == numbered(300)
    assert {message.topic for message in inbox.messages} == {topic}


async def test_a_slow_receiver_does_not_stall_the_broker(broker_url: str, topic: str) -> None:
    """Hundreds of messages wait for their acknowledgement: more than the 20 of an unconfigured mosquitto."""
    inbox = Inbox()

    async with Connection(broker_url, deliver=inbox) as connection:
        await connection.subscribe([topic])
        for payload in numbered(300):
            connection.publish(topic, payload)
        await inbox.wait_for(300)
        for message in inbox.messages:
            message.acknowledge()
            message.acknowledge()
        await connection.publish(topic, b"still there")
        await inbox.wait_for(301)

    assert inbox.payloads == [*numbered(300), b"still there"]


@pytest.mark.broker
@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_unacknowledged_messages_come_again(mosquitto_url: str, topic: str, version: str) -> None:
    url, name = f"{mosquitto_url}?version={version}", uuid.uuid4().hex
    before, after = Inbox(), Inbox(acknowledge=True)
    async with Connection(url, deliver=before, client_id=name) as connection:
        await connection.subscribe([topic])
        for payload in numbered(20):
            connection.publish(topic, payload)
        await before.wait_for(20)
        for message in before.messages[:5]:
            message.acknowledge()
        # Once the broker has answered this, it has read the acknowledgements before it.
        await connection.subscribe([f"{topic}/round-trip"])

    async with Connection(url, deliver=after, client_id=name) as connection:
        await connection.subscribe([topic])
        before.messages[10].acknowledge()  # Of a connection that is gone: without effect.
        await after.wait_for(15)

    assert after.payloads == numbered(15, first=5)


@pytest.mark.broker
@pytest.mark.parametrize(("version", "window"), [("3.1.1", 10), ("5", RECEIVE_MAXIMUM)])
async def test_the_broker_waits_for_acknowledgements(tmp_path: Path, topic: str, version: str, window: int) -> None:
    """Backpressure: no more than the window is under way, whatever waits behind it."""
    inbox, count = Inbox(), window + 200
    with Mosquitto(tmp_path, max_inflight_messages=10) as mosquitto:
        async with Connection(f"{mosquitto.url}?version={version}", deliver=inbox) as connection:
            await connection.subscribe([topic])
            await asyncio.gather(*[connection.publish(topic, payload) for payload in numbered(count)])
            await inbox.wait_for(window)
            await connection.subscribe([f"{topic}/round-trip"])
            held = len(inbox.messages)

            handled = 0
            while handled < count:
                await inbox.wait_for(handled + 1)
                inbox.messages[handled].acknowledge()
                handled += 1

    assert held == window
    assert inbox.payloads == numbered(count)


@pytest.mark.broker
async def test_a_broker_that_takes_few_at_a_time_is_obeyed(tmp_path: Path, topic: str) -> None:
    """An MQTT 5 broker may throw out who sends more than its Receive Maximum."""
    inbox = Inbox(acknowledge=True)
    with Mosquitto(tmp_path, max_inflight_messages=2) as mosquitto:
        async with Connection(f"{mosquitto.url}?version=5", deliver=inbox) as connection:
            await connection.subscribe([topic])
            await asyncio.gather(*[connection.publish(topic, payload) for payload in numbered(100)])
            await inbox.wait_for(100)

    assert inbox.payloads == numbered(100)


@pytest.mark.broker
async def test_more_than_the_socket_holds_gets_through(mosquitto_url: str, topic: str) -> None:
    inbox = Inbox(acknowledge=True)
    payloads = [bytes([number]) * 60_000 for number in range(150)]

    async with Connection(mosquitto_url, deliver=inbox) as connection:
        await connection.subscribe([topic])
        for payload in payloads:
            connection.publish(topic, payload)
        await inbox.wait_for(len(payloads))

    assert inbox.payloads == payloads


async def test_the_will_speaks_for_who_vanishes(broker_url: str, topic: str) -> None:
    inbox = Inbox(acknowledge=True)
    async with Connection(broker_url, deliver=inbox) as watcher:
        await watcher.subscribe([f"{topic}/#"])
        async with Connection(broker_url, deliver=inbox, will=Will(f"{topic}/polite", b"gone")):
            pass
        async with Connection(broker_url, deliver=inbox, will=Will(f"{topic}/rude", b"gone")) as rude:
            rude._hang_up()
            await inbox.wait_for(1)
        late = Inbox(acknowledge=True)
        async with Connection(broker_url, deliver=late) as latecomer:
            await latecomer.subscribe([f"{topic}/#"])
            await late.wait_for(1)
            await latecomer.publish(f"{topic}/rude", b"", retain=True)

    for witness in (inbox, late):
        assert (witness.messages[0].topic, witness.messages[0].payload) == (f"{topic}/rude", b"gone")


@pytest.mark.broker
async def test_a_lost_connection_fails_what_was_under_way(mosquitto: Mosquitto, topic: str) -> None:
    mosquitto.start()
    async with Connection(mosquitto.url, deliver=Inbox()) as connection:
        lost = asyncio.ensure_future(connection.wait_lost())
        await connection.publish(topic, b"arrives")
        mosquitto.kill()
        under_way = [connection.publish(topic, payload) for payload in numbered(2_000)]

        with pytest.raises(BrokerError, match="lost the connection"):
            await lost
        results = await asyncio.gather(*under_way, return_exceptions=True)
        with pytest.raises(BrokerError, match="lost"):
            connection.publish(topic, b"too late")

    assert {type(result) for result in results} == {BrokerError}


@pytest.mark.broker
async def test_a_message_that_the_broker_refuses_does_not_clog_the_outbox(tmp_path: Path, topic: str) -> None:
    outbox = Outbox()
    with Mosquitto(tmp_path, access=f"topic readwrite {topic}\n") as mosquitto:
        forbidden = outbox.publish(f"{topic}/forbidden", b"")
        allowed = outbox.publish(topic, b"")
        async with staying_connected(f"{mosquitto.url}?version=5", deliver=Inbox(), outbox=outbox):
            await asyncio.wait_for(allowed, 5)
            with pytest.raises(PublishRefusedError, match="Not authorized"):
                await forbidden

    assert len(outbox) == 0


async def test_a_topic_that_is_none_fails_that_message_only(broker_url: str, topic: str) -> None:
    async with Connection(broker_url, deliver=Inbox()) as connection:
        for payload in numbered(PUBLISHES_IN_FLIGHT_MAX):
            connection.publish(topic, payload)
        wrong = [connection.publish(f"{topic}/+", b"") for _ in range(3)]
        await connection.publish(topic, b"")

        for refused in wrong:
            with pytest.raises(PublishRefusedError, match="cannot publish on"):
                await refused


async def test_a_refused_subscription_is_an_error() -> None:
    """mosquitto grants what it then does not deliver; other brokers say no, like this one."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {0x10: b"\x20\x02\x00\x00", 0x82: b"\x90\x03\x00\x01\x80", 0xE0: b""}
        while header := await reader.read(2):
            await reader.readexactly(header[1])
            writer.write(answers[header[0]])
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Connection(f"mqtt://127.0.0.1:{port}", deliver=Inbox()) as connection:
            with pytest.raises(BrokerError, match="refuses the subscription to secret/#"):
                await connection.subscribe(["secret/#"])


async def test_what_deliver_raises_is_not_swallowed(broker_url: str, topic: str) -> None:
    calls = 0

    def deliver(message: Message) -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    async with Connection(broker_url, deliver=deliver) as connection:
        await connection.subscribe([topic])
        for payload in numbered(5):
            connection.publish(topic, payload)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(connection.wait_lost(), 5)

    assert calls == 1


async def test_nobody_answers() -> None:
    with pytest.raises(BrokerError, match=r"cannot connect to mqtt://127\.0\.0\.1:\d+: .*refused"):
        async with Connection(f"mqtt://user:secret@127.0.0.1:{free_port()}", deliver=Inbox()):
            pass


async def test_giving_up_a_connection_attempt_leaves_no_connection() -> None:
    """Against a server that takes connections and says nothing."""
    connected, closed = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        closed.set()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connecting = asyncio.ensure_future(Connection(f"mqtt://127.0.0.1:{port}", deliver=Inbox()).__aenter__())
        await connected.wait()
        connecting.cancel()

        await asyncio.wait_for(closed.wait(), 5)
        assert connecting.cancelled()


@pytest.mark.broker
async def test_an_outbox_outlives_its_broker(mosquitto: Mosquitto, topic: str) -> None:
    """Published before there is a broker, and while it is down: everything arrives, oldest first."""
    inbox, outbox = Inbox(acknowledge=True), Outbox()
    failures: list[str] = []
    for payload in numbered(50):
        outbox.publish(topic, payload)
    async with staying_connected(
        mosquitto.url,
        deliver=inbox,
        subscriptions=[topic],
        outbox=outbox,
        on_failed=lambda error: failures.append(str(error)),
    ):
        mosquitto.start()
        await outbox.wait_empty()
        await inbox.wait_for(50)
        mosquitto.kill()
        done = [outbox.publish(topic, payload) for payload in numbered(50, first=50)]
        mosquitto.start()
        await asyncio.gather(*done)
        await inbox.wait_for(100)

    # What was under way as the broker died may have arrived before, so it may come twice.
    assert list(dict.fromkeys(inbox.payloads)) == numbered(100)
    assert len(outbox) == 0
    assert any("lost the connection" in failure for failure in failures)


async def test_an_outbox_is_bounded(broker_url: str, topic: str) -> None:
    outbox = Outbox(messages_max=3)
    for payload in numbered(3):
        outbox.publish(topic, payload)

    with pytest.raises(OutboxFullError, match="3 messages wait"):
        outbox.publish(topic, b"one too many")
    waiting = asyncio.ensure_future(outbox.wait_for_room())
    inbox = Inbox(acknowledge=True)
    async with staying_connected(broker_url, deliver=inbox, subscriptions=[topic], outbox=outbox):
        await asyncio.wait_for(waiting, 5)
        outbox.publish(topic, b"fits")
        await inbox.wait_for(4)

    assert inbox.payloads == [*numbered(3), b"fits"]


async def test_a_mistake_in_our_own_code_is_not_retried(broker_url: str, topic: str) -> None:
    def deliver(message: Message) -> None:
        raise ZeroDivisionError

    outbox = Outbox()
    outbox.publish(topic, b"")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(stay_connected(broker_url, deliver=deliver, subscriptions=[topic], outbox=outbox), 5)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://localhost", BrokerUrl("localhost", 1883, None, None, tls=False, version=3)),
        ("mqtt://h:9/?version=5", BrokerUrl("h", 9, None, None, tls=False, version=5)),
        ("mqtts://u:p%40s%2Fs@h", BrokerUrl("h", 8883, "u", "p@s/s", tls=True, version=3)),
        ("mqtt://[::1]:1884?version=3.1.1", BrokerUrl("::1", 1884, None, None, tls=False, version=3)),
    ],
)
def test_broker_urls(url: str, expected: BrokerUrl) -> None:
    assert BrokerUrl.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "h:1883", "http://u:secret@h", "mqtt://", "mqtt://u:secret@h:port", "mqtt://u:secret@h:99999",
        "mqtt://u:secret@h/path", "mqtt://u:secret@[::1", "mqtt://u:secret@h?version=4", "mqtt://u:secret@h?versoin=5",
    ],
)  # fmt: skip
def test_broker_urls_that_cannot_be_read(url: str) -> None:
    with pytest.raises(ValueError, match="broker URL") as refusal:
        BrokerUrl.parse(url)

    assert "secret" not in str(refusal.value)


def test_a_broker_url_shows_no_password() -> None:
    assert str(BrokerUrl.parse("mqtts://u:secret@h")) == "mqtts://h:8883"
    assert "secret" not in f"{BrokerUrl.parse('mqtts://u:secret@h')!r}"
