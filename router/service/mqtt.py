"""The bus: one MQTT connection, how it is kept up, and what must survive its loss. Only here is aiomqtt known.

aiomqtt connects, subscribes and ties paho's sockets to the event loop. Its message queue and its `publish` are
passed by, for what they do to a router (measured on aiomqtt 2.5.1 with paho 2.2):

- it acknowledges on receipt, so a crash loses what was only in memory: here `Message.acknowledge` does, once
  the caller has made the message safe;
- reading its queue drops a message when the reader is cancelled: here messages are handed over in the loop's
  own callback for a readable socket, with no task in between that could be cancelled;
- each publish in flight makes the next one dearer (it counts them one by one and warns above ten): here a
  dictionary of futures waits for the broker;
- a client object may deliver, after a reconnect, what had failed before: here each connection has a new one.

All of that needs one private attribute, the paho client inside. aiomqtt 3 does away with paho and acknowledges
by hand; this module is what has to change then.

Backpressure is acknowledging late. The broker sends no more than its window of unacknowledged messages and
queues the rest: 20 in mosquitto unless ``max_inflight_messages`` is raised, as the example in config/mosquitto
does and explains; with MQTT 5 mosquitto goes by our Receive Maximum alone. The embedded broker has no window,
and gives up a message that is not acknowledged within 5 s.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Never, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessage as PahoMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from router.core.errors import RouterError
from router.secret_files import SecretFileError, check_readable, check_secret_file, read_secret

__all__ = [
    "Access", "BrokerError", "BrokerUrl", "Connection", "Message", "Outbox", "OutboxFullError", "PublishRefusedError",
    "Will", "stay_connected",
]  # fmt: skip

logger = logging.getLogger(__name__)
# What paho logs as errors comes out of `Connection` as exceptions.
_paho_logger = logging.getLogger(f"{__name__}.paho")
_paho_logger.setLevel(logging.CRITICAL)

PUBLISHES_IN_FLIGHT_MAX: Final = 1_000
"""Enough to hide the way to a broker and back at any rate that paho can reach (1,000 in 50 ms); MQTT 5 brokers
may ask for less. Far from 65,535, where message ids would run out."""

RECEIVE_MAXIMUM: Final = 1_000
"""Unacknowledged messages that we let an MQTT 5 broker send."""

# A session of a named client is kept for a day by MQTT 5 brokers; MQTT 3.1.1 leaves that to the broker.
_SESSION_EXPIRY_S = 86_400
_KEEP_ALIVE_S = 30
_BACKOFF_S_MIN = 0.1
_BACKOFF_S_MAX = 10.0


class BrokerError(RouterError):
    """The broker cannot be reached, refuses us, or is gone."""


class PublishRefusedError(BrokerError):
    """This message is not taken, and would not be next time: the topic is none, or the broker forbids it.

    Only MQTT 5 brokers tell of the latter.
    """


class OutboxFullError(RouterError):
    """As many messages wait for the broker as may; see `Outbox.wait_for_room`."""


class BrokerUrl(NamedTuple):
    """Where a broker is and how to enter it. Shows without the password."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    version: int
    """3 for MQTT 3.1.1, or 5."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read ``mqtt[s]://[user[:password]@]host[:port][?version=5]``.

        The port is 1883, or 8883 with TLS; the version 3.1.1 unless it is 5. User and password are
        percent-encoded.

        Raises:
            ValueError: It reads otherwise. The message does not repeat the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"broker URL: {error}") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        version = options.pop("version", "3.1.1")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("broker URL: write it as mqtt://host:1883, or mqtts://host:8883 for TLS")
        if options or version not in ("3.1.1", "5"):
            raise ValueError("broker URL: after ? there may be version=3.1.1 or version=5, and nothing else")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=port or (8883 if tls else 1883),
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=tls,
            version=5 if version == "5" else 3,
        )


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who we are at the broker, and whom we believe to be the broker. Holds paths and no secret, so it may be shown.

    The files are read anew for each connection: a renewed certificate or password needs no restart.
    """

    username: str | None = None
    """User and password in the URL come before this."""
    password_file: Path | None = None
    """One line. A secret, so every user's being able to read it is refused; so it is with the key."""
    ca_file: Path | None = None
    """PEM certificates of the authorities whose word counts; None: those of the system. Without TLS in the URL, this
    and the next two mean nothing."""
    certificate_file: Path | None = None
    """Our own certificate for mutual TLS, PEM, followed by those between it and the authority."""
    key_file: Path | None = None
    """The key of the certificate, PEM, without passphrase."""

    def check(self, url: str) -> None:
        """Read every file once, so that a mistake shows when the router starts.

        Raises:
            BrokerError: A file is missing, cannot be used, or does not fit; says which, and what to do.
            ValueError: The URL cannot be read.
        """
        broker = BrokerUrl.parse(url)
        self.credentials(broker)
        self.tls_context(broker)

    def credentials(self, url: BrokerUrl) -> tuple[str | None, str | None]:
        """User and password for the broker.

        Raises:
            BrokerError: The password file cannot be used.
        """
        if url.username is not None:
            return url.username, url.password
        if self.password_file is None:
            return self.username, None
        try:
            return self.username, read_secret(self.password_file, "password_file")
        except SecretFileError as error:
            raise BrokerError(str(error)) from None

    def tls_context(self, url: BrokerUrl) -> ssl.SSLContext | None:
        """Whom to trust and what to show over TLS (1.2 or newer, names checked); None: no TLS.

        Raises:
            BrokerError: A file cannot be used.
        """
        if not url.tls:
            return None
        try:
            context = self._trust()
            if self.certificate_file is not None:
                self._load_own(context, self.certificate_file, self.key_file or self.certificate_file)
        except SecretFileError as error:
            raise BrokerError(str(error)) from None
        return context

    def _trust(self) -> ssl.SSLContext:
        if self.ca_file is not None:
            check_readable(self.ca_file, "ca_file")
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            raise BrokerError(f"ca_file {self.ca_file} holds no certificate; it must be PEM text") from None

    def _load_own(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        check_readable(certificate, "certificate_file")
        check_secret_file(key, "key_file")
        try:
            # Without a callback OpenSSL would ask for the passphrase on the terminal.
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except _PassphraseError:
            raise BrokerError(
                f"key_file {key} has a passphrase, which nobody is there to type: write it without, readable by the "
                f"router alone (openssl pkey -in {key.name} -out new.key)"
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise BrokerError(
                    f"key_file {key} does not belong to certificate_file {certificate}: name the key that the "
                    "certificate was made for"
                ) from None
            raise BrokerError(
                f"certificate_file {certificate} and key_file {key} cannot be used: both must be PEM text, the first "
                "with CERTIFICATE in its first line, the second with PRIVATE KEY"
            ) from None


class _PassphraseError(Exception):
    """OpenSSL asks for the passphrase of a key."""


def _no_passphrase() -> str:
    raise _PassphraseError


class Will(NamedTuple):
    """What the broker publishes, retained, if we vanish without a word."""

    topic: str
    payload: bytes


class Message:
    """A message from the broker. It comes again, on a later connection, until it is acknowledged."""

    __slots__ = ("_acknowledge", "payload", "retained", "topic")

    def __init__(
        self, topic: str, payload: bytes, acknowledge: Callable[[], object], *, retained: bool = False
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.retained = retained
        """It was kept by the broker, and published before we subscribed: it may be old."""
        self._acknowledge: Callable[[], object] | None = acknowledge

    def acknowledge(self) -> None:
        """Tell the broker that the message is safe with us. Harmless twice, or when the connection is gone."""
        if self._acknowledge is not None:
            self._acknowledge()
            self._acknowledge = None


class _Publication(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    done: asyncio.Future[None]


class Connection:
    """One connection to a broker, from `__aenter__` until it is lost; then a new object is needed.

    Args:
        url: See `BrokerUrl.parse`.
        access: User, password and certificates.
        deliver: Takes each message, in the order of arrival. It is called by the event loop and must neither
            block nor raise; what it raises ends the connection and comes out of `wait_lost`.
        client_id: A name of our own. The broker keeps the session, with subscriptions and unacknowledged
            messages, while we are away, and throws out an older connection of the same name. None: a passing
            name and session.
        will: Published by the broker when we vanish.

    Raises:
        BrokerError: A file of *access* cannot be used.
        ValueError: The URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        access: Access = Access(),  # it is frozen
        deliver: Callable[[Message], None],
        client_id: str | None = None,
        will: Will | None = None,
    ) -> None:
        self.url = BrokerUrl.parse(url)
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._client = self._new_client(access, client_id, will)
        paho = self._paho = self._client._client
        paho.manual_ack_set(True)
        paho.on_message = self._on_message
        paho.on_publish = self._on_puback
        self._report_connected: Callable[..., None] | None = paho.on_connect
        paho.on_connect = self._on_connected
        self._report_disconnected: Callable[..., None] | None = paho.on_disconnect
        paho.on_disconnect = self._on_disconnected
        self._report_socket_open: Callable[..., None] | None = paho.on_socket_open
        paho.on_socket_open = self._on_socket_open
        # Done when the broker hangs up instead of answering; aiomqtt would wait for 10 s.
        self._dropped: asyncio.Future[None] = self._loop.create_future()
        self._answered = False
        self._connected = False
        self._given_up = False
        self._failure: Exception | None = None
        self._window = PUBLISHES_IN_FLIGHT_MAX
        self._in_flight: dict[int, asyncio.Future[None]] = {}
        self._unsent: deque[_Publication] = deque()

    def _new_client(self, access: Access, client_id: str | None, will: Will | None) -> aiomqtt.Client:
        url = self.url
        username, password = access.credentials(url)
        # Only the one that the protocol version knows may be set.
        session: dict[str, Any] = {"clean_session": client_id is None}
        if url.version == 5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it bare
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            if client_id is not None:
                properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            session = {"clean_start": client_id is None, "properties": properties}
        return aiomqtt.Client(
            url.host,
            url.port,
            username=username,
            password=password,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if url.version == 5 else aiomqtt.ProtocolVersion.V311,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            keepalive=_KEEP_ALIVE_S,
            tls_context=access.tls_context(url),
            # Else the kernel holds small packets back for an acknowledgement: 24 messages a second.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            # None of paho's own: it would walk through all that wait at each PUBACK.
            max_inflight_messages=0,
            logger=_paho_logger,
            **session,
        )

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: The broker cannot be reached, or refuses us.
        """
        connecting = asyncio.ensure_future(self._client.__aenter__())
        try:
            await asyncio.wait((connecting, self._dropped), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._give_up(connecting)
            raise
        if not connecting.done():
            self._give_up(connecting)
            raise BrokerError(f"cannot connect to {self.url}: {_hung_up(self.url)}")
        try:
            connecting.result()
        except aiomqtt.MqttError as error:
            self._hang_up()
            raise BrokerError(f"cannot connect to {self.url}: {_refusal(error, self.url)}") from error
        self._connected = True
        self._paho.on_socket_register_write = self._on_packets_waiting
        return self

    def _give_up(self, connecting: asyncio.Future[Any]) -> None:
        # paho connects in a thread, which cannot be stopped; what it opens later must not stay open.
        self._given_up = True
        self._hang_up()
        connecting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say good-bye to the broker. What it has not acknowledged by now counts as lost."""
        try:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._client.__aexit__(exc_type, exc, traceback)
                await anext(self._client.messages)  # Else asyncio complains that nobody asked why it ended.
        finally:
            self._hang_up()
            self._lose()

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages at QoS 1. Retained ones come first.

        Raises:
            BrokerError: The broker refuses a topic, does not answer, or is gone.
        """
        if not topics:
            return
        try:
            granted = await self._client.subscribe([(topic, 1) for topic in topics])
        except aiomqtt.MqttError as error:
            raise BrokerError(f"cannot subscribe at {self.url}: {error}") from error
        for topic, code in zip(topics, granted, strict=True):
            if getattr(code, "is_failure", False):
                raise BrokerError(f"{self.url} refuses the subscription to {topic}: allow it to this user")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        """Send a message at QoS 1, without waiting. Any number may be under way; they leave in order.

        Returns:
            Done when the broker has acknowledged it. Fails with `BrokerError` when the connection is lost
            first, with `PublishRefusedError` when it is not taken. It need not be awaited.

        Raises:
            BrokerError: The connection is lost.
        """
        if not self._connected:
            raise BrokerError(f"the connection to {self.url} is lost")
        publication = _Publication(topic, payload, retain, self._loop.create_future())
        if len(self._in_flight) < self._window:
            self._send(publication)
        else:
            self._unsent.append(publication)
        return publication.done

    async def wait_lost(self) -> Never:
        """Wait until the connection is lost.

        Raises:
            BrokerError: Always, unless ``deliver`` raised: then what it raised.
        """
        try:
            # aiomqtt's queue stays empty, since messages pass it by; its iterator still tells of the end.
            async for _ in self._client.messages:
                pass
        except aiomqtt.MqttError as error:
            if self._failure is not None:
                raise self._failure from None
            raise BrokerError(f"lost the connection to {self.url}") from error
        finally:
            self._lose()
        raise AssertionError("aiomqtt's messages never end")

    def _send(self, publication: _Publication) -> None:
        try:
            sent = self._paho.publish(publication.topic, publication.payload, qos=1, retain=publication.retain)
        except ValueError as error:
            _fail(publication.done, PublishRefusedError(f"cannot publish on {publication.topic}: {error}"))
            return
        if sent.rc:  # The socket is gone; `wait_lost` is about to say so.
            _fail(publication.done, BrokerError(f"the connection to {self.url} is lost"))
        else:
            self._in_flight[sent.mid] = publication.done

    def _on_puback(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        done = self._in_flight.pop(mid, None)
        if done is not None and not done.done():
            if reason.is_failure:
                _fail(done, PublishRefusedError(f"{self.url} refuses a message: {reason}"))
            else:
                done.set_result(None)
        while self._unsent and len(self._in_flight) < self._window:
            self._send(self._unsent.popleft())

    def _on_message(self, client: PahoClient, _userdata: Any, message: PahoMessage) -> None:
        if self._failure is not None:
            return
        mid, qos = message.mid, message.qos

        def acknowledge() -> None:
            client.ack(mid, qos)

        try:
            topic = message.topic
        except UnicodeDecodeError:
            acknowledge()  # No topic of ours, and the broker ought to have refused it.
            return
        try:
            self._deliver(Message(topic, bytes(message.payload), acknowledge, retained=message.retain))
        except Exception as error:
            # Raised through paho it would leave the packet half read, and be raised again without end.
            self._failure = error
            self._hang_up()

    def _on_connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answered = True
        broker_maximum = getattr(properties, "ReceiveMaximum", PUBLISHES_IN_FLIGHT_MAX)
        self._window = min(PUBLISHES_IN_FLIGHT_MAX, broker_maximum)
        assert self._report_connected is not None
        self._report_connected(client, userdata, flags, reason, properties)

    def _on_disconnected(self, *arguments: Any) -> None:
        assert self._report_disconnected is not None
        self._report_disconnected(*arguments)
        if not self._answered:  # Perhaps in the thread that connects.
            self._loop.call_soon_threadsafe(self._on_dropped)

    def _on_dropped(self) -> None:
        if not self._dropped.done():
            self._dropped.set_result(None)

    def _lose(self) -> None:
        self._connected = False
        waiting = [*self._in_flight.values(), *(publication.done for publication in self._unsent)]
        self._in_flight.clear()
        self._unsent.clear()
        for done in waiting:
            _fail(
                done,
                BrokerError(f"the connection to {self.url} was lost before the broker acknowledged"),
            )

    def _on_packets_waiting(self, _client: Any, _userdata: Any, _socket: Any) -> None:
        # aiomqtt would have the loop watch the socket by its number from the next turn on, when it may be closed
        # and the number another's. Writing at once is right nearly always; only a full socket is watched.
        self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._paho.loop_write()
        if self._paho.want_write() and (paho_socket := self._paho.socket()) is not None:
            self._loop.add_writer(paho_socket.fileno(), self._paho.loop_write)

    def _on_socket_open(self, client: Any, userdata: Any, paho_socket: Any) -> None:
        assert self._report_socket_open is not None
        self._report_socket_open(client, userdata, paho_socket)
        if self._given_up:
            self._loop.call_soon_threadsafe(self._hang_up)

    def _hang_up(self) -> None:
        # aiomqtt leaves the socket open, and answering pings, where connecting timed out or was cancelled. Once
        # shut down it reads as closed by the broker, and paho cleans up.
        paho_socket = self._paho.socket()
        if isinstance(paho_socket, socket.socket):
            with contextlib.suppress(OSError):
                paho_socket.shutdown(socket.SHUT_RDWR)


# OpenSSL's codes of what is wrong with a certificate, by what there is to do (x509_vfy.h).
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_WRONG_NAME: Final = (62, 64)

_NO_TLS: Final = "it does not speak TLS on this port; name the port that does, or write mqtt:// for none"


def _refusal(error: aiomqtt.MqttError, url: BrokerUrl) -> str:
    """Why a broker cannot be entered, and what to do."""
    # aiomqtt keeps the text alone, and suppresses what it comes from.
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _distrust(cause, url)
    if isinstance(cause, ssl.SSLError):
        if cause.reason == "WRONG_VERSION_NUMBER":
            return _NO_TLS
        return f"{cause.reason or cause}: {_hung_up(url)}"
    if isinstance(cause, ConnectionResetError) and url.tls:
        return f"{cause.strerror}: {_NO_TLS}"
    if isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", None) in (134, 135):
        return f"{error}; check username and password_file, and that the broker knows the user and lets it in"
    return str(error)


def _distrust(error: ssl.SSLCertVerificationError, url: BrokerUrl) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired; renew it on the broker"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet; check the clocks of both machines"
    if error.verify_code in _WRONG_NAME:
        return f"its certificate is not made for {url.host}; use the name in it, or have one made for this name"
    return (
        f"its certificate is not trusted ({error.verify_message}); set ca_file to the certificate of the authority "
        "that signed it"
    )


def _hung_up(url: BrokerUrl) -> str:
    if not url.tls:
        return "it hung up without an answer; does it speak TLS on this port? Then write mqtts://"
    return (
        "it hung up without an answer; does it ask for a certificate of ours? Set certificate_file and key_file to one "
        "that is valid and that an authority of the broker's has signed"
    )


def _fail(done: asyncio.Future[None], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # Looked at, so that nobody is told off for not awaiting it.


class Outbox:
    """Messages on their way to the broker, across connections. The owner publishes here and may forget.

    What the broker has not acknowledged is sent again on the next connection, oldest first. So messages may come
    twice, and after a reconnect an old one may come after a newer one; receivers tell by their ids.

    Args:
        messages_max: So many may wait for the broker.
    """

    def __init__(self, messages_max: int = 100_000) -> None:
        self._messages_max = messages_max
        self._connection: Connection | None = None
        self._keys = itertools.count()
        self._messages: dict[int, _Publication] = {}
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._messages)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        """Send a message as soon as there is a connection.

        Returns:
            Done when a broker has acknowledged it. It need not be awaited.

        Raises:
            OutboxFullError: So many wait already that this one is not taken.
        """
        if len(self._messages) >= self._messages_max:
            raise OutboxFullError(f"{self._messages_max} messages wait for the broker; is it there?")
        key = next(self._keys)
        message = _Publication(topic, payload, retain, asyncio.get_running_loop().create_future())
        self._messages[key] = message
        if len(self._messages) >= self._messages_max:
            self._room.clear()
        if self._connection is not None:
            self._send(key, message)
        return message.done

    @property
    def has_room(self) -> bool:
        """Whether `publish` takes another message."""
        return self._room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until `publish` takes another message."""
        await self._room.wait()

    async def wait_empty(self) -> None:
        """Wait until the broker has acknowledged all that is in here now."""
        if self._messages:
            await asyncio.wait([message.done for message in self._messages.values()])

    def attach(self, connection: Connection) -> None:
        """Use *connection* from now on, beginning with all that is unacknowledged."""
        self._connection = connection
        for key, message in self._messages.items():
            self._send(key, message)

    def detach(self) -> None:
        """Keep messages until there is another connection."""
        self._connection = None

    def _send(self, key: int, message: _Publication) -> None:
        assert self._connection is not None
        with contextlib.suppress(BrokerError):  # It stays here for the next connection.
            sent = self._connection.publish(message.topic, message.payload, retain=message.retain)
            sent.add_done_callback(functools.partial(self._sent, key))

    def _sent(self, key: int, sent: asyncio.Future[None]) -> None:
        error = sent.exception()
        if error is not None and not isinstance(error, PublishRefusedError):
            return
        message = self._messages.pop(key, None)
        if message is not None and not message.done.done():
            if error is None:
                message.done.set_result(None)
            else:
                _fail(message.done, error)
        if len(self._messages) < self._messages_max:
            self._room.set()


async def stay_connected(
    url: str,
    *,
    access: Access = Access(),  # it is frozen
    deliver: Callable[[Message], None],
    subscriptions: Sequence[str] = (),
    outbox: Outbox | None = None,
    client_id: str | None = None,
    will: Will | None = None,
    on_connected: Callable[[Connection], None] | None = None,
    on_failed: Callable[[BrokerError], None] | None = None,
) -> Never:
    """Connect, and connect again, until cancelled.

    Between attempts it waits 0.1 s, then twice as long each time, up to 10 s, less a random part, so that the
    clients of a broker that restarts do not come all at once.

    Args:
        url: See `BrokerUrl.parse`.
        access: See `Connection`.
        deliver: See `Connection`.
        subscriptions: Topics to ask for on each connection.
        outbox: Emptied into each connection, after ``on_connected``.
        client_id: See `Connection`.
        will: See `Connection`.
        on_connected: Told of each connection, once it is subscribed.
        on_failed: Told why an attempt failed or a connection was lost.

    Raises:
        ValueError: The URL cannot be read.
    """
    backoff_s = _BACKOFF_S_MIN
    while True:
        connected_at: float | None = None
        try:
            async with Connection(url, access=access, deliver=deliver, client_id=client_id, will=will) as connection:
                await connection.subscribe(subscriptions)
                connected_at = asyncio.get_running_loop().time()
                logger.info("connected to %s", connection.url)
                if on_connected is not None:
                    on_connected(connection)
                if outbox is not None:
                    outbox.attach(connection)
                await connection.wait_lost()
        except BrokerError as error:
            logger.warning("%s", error)
            if on_failed is not None:
                on_failed(error)
        finally:
            if outbox is not None:
                outbox.detach()
        # A connection that did not last, say because another client took our name, counts as a failure.
        if connected_at is not None and asyncio.get_running_loop().time() - connected_at > _BACKOFF_S_MAX:
            backoff_s = _BACKOFF_S_MIN
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
        backoff_s = min(2 * backoff_s, _BACKOFF_S_MAX)
