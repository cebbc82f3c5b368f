"""The embedded broker: MQTT 3.1.1 inside the router's own process, for trying things and small sites.

It keeps nothing on disk and loses what is in flight when a client reconnects, which the router and its platforms
are built to bear: whoever gets no answer sends again. Where calls matter, point the router at mosquitto, EMQX,
HiveMQ or RabbitMQ instead. The only module that imports amqtt, whose configuration changed with each minor
release so far; 0.12 wants plugins as a dictionary of class paths.
"""

import asyncio
import contextlib
import hmac
import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # type: ignore[import-untyped]  # amqtt has no type hints
from amqtt.broker import Broker  # type: ignore[import-untyped]  # amqtt has no type hints
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]  # amqtt has no type hints
from amqtt.session import Session  # type: ignore[import-untyped]  # amqtt has no type hints

from router.core.errors import RouterError
from router.reading import is_loopback

__all__ = ["Credentials", "EmbeddedBroker", "EmbeddedBrokerError"]

_LISTENER: Final = "default"


class EmbeddedBrokerError(RouterError):
    """The embedded broker cannot be started as asked."""


class Credentials(NamedTuple):
    """The one user whom the broker lets in."""

    username: str
    password: str


class CredentialsPlugin(BaseAuthPlugin):  # type: ignore[misc]  # as above
    """Lets in whoever knows the credentials. amqtt finds it by its path, see `_plugins`."""

    @dataclass
    class Config:
        username: str
        password: str

    async def authenticate(self, *, session: Session) -> bool:
        given = f"{session.username}\n{session.password}".encode()
        return hmac.compare_digest(given, f"{self.config.username}\n{self.config.password}".encode())


class EmbeddedBroker:
    """A broker that serves as long as its ``async with`` block lasts.

    Args:
        host: The address to listen on.
        port: 0 picks a free one.
        credentials: Without them anybody who reaches the port may enter. There is no TLS: what other machines send,
            the password included, crosses the network for all to read.

    Raises:
        EmbeddedBrokerError: There are no credentials, although other machines reach ``host``.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        if credentials is None and not is_loopback(host):
            raise EmbeddedBrokerError(
                f"the embedded broker does not listen on {host}, where other machines reach it, without a user and a "
                "password: set mqtt.username and mqtt.password_file. Or use 127.0.0.1, or a broker that speaks TLS."
            )
        self._host = host
        self._port = port
        self._credentials = credentials
        self._broker: Any = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, such as ``127.0.0.1:1883``. For people; holds no password."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def url(self) -> str:
        """What clients connect to, credentials included."""
        if self._credentials is None:
            return f"mqtt://{self.address}"
        username, password = (quote(part, safe="") for part in self._credentials)
        return f"mqtt://{username}:{password}@{self.address}"

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            EmbeddedBrokerError: The port is taken, or the address is not ours.
        """
        # It warns of every client that goes away, and shows a traceback for each message that nobody took. What
        # keeps it from serving is raised.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.WARNING)
        # An external listener, because amqtt does not tell which port it was given for port 0.
        listeners = {_LISTENER: {"type": "external", "bind": self.address}}
        self._broker = Broker({"listeners": listeners, "plugins": _plugins(self._credentials)})
        await self._broker.start()
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port)
        except OSError as error:
            await self._broker.shutdown()
            raise EmbeddedBrokerError(f"the embedded broker cannot listen on {self.address}: {error}") from error
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and throw out whoever is still connected."""
        assert self._server is not None
        self._server.close()
        await self._broker.shutdown()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await self._broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)


def _plugins(credentials: Credentials | None) -> dict[str, dict[str, Any]]:
    if credentials is None:
        return {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    path = f"{CredentialsPlugin.__module__}.{CredentialsPlugin.__qualname__}"
    return {path: credentials._asdict()}
