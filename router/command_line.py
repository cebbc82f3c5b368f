"""What the commands of all groups share: consoles, arguments, JSON, reading the organisation, asking the router."""

import asyncio
import http.client
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Final, TextIO, TypeVar

import msgspec
import typer
from rich.console import Console

from router.core.errors import RouterError
from router.core.model import OrganisationDescription
from router.gateway import Gateway
from router.journal import SqliteJournal
from router.service.app import access_of, checked_organisation, embedded_url_of, limits_of, pseudonymiser_of
from router.service.decider import Decider
from router.service.http import read_token
from router.service.mqtt import BrokerError
from router.service.recovery import recover
from router.settings import Settings
from router.wire import Accepted, InputEvent

__all__ = [
    "CONNECT_TIMEOUT_S", "AsJson", "Config", "UsageError", "asked_live", "check_writable", "connected", "console",
    "errors", "help_without_subcommand", "in_journal", "organisation_of", "print_json", "tell_router", "working",
]  # fmt: skip

_T = TypeVar("_T")
_HTTP_TIMEOUT_S: Final = 10.0
# What a pipe or a file gets: wide enough that a row stays on a line.
_WIDTH_WITHOUT_TERMINAL: Final = 200
CONNECT_TIMEOUT_S: Final = 5.0
"""For whoever waits at a terminal."""
# A router answers within milliseconds; one that is just starting, within the time of its recovery.
_ANSWER_TIMEOUT_S: Final = 15.0


class UsageError(typer.TyperException):
    """The command was not understood."""

    exit_code = 2


def _width_of(stream: TextIO) -> int | None:
    return None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL


console = Console(highlight=False, width=_width_of(sys.stdout))
errors = Console(stderr=True, highlight=False, width=_width_of(sys.stderr))

Config = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="The settings file, or the directory that holds router.toml.",
        show_default="the current directory",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def help_without_subcommand(context: typer.Context) -> None:
    """For the callback of a group of commands."""
    if context.invoked_subcommand is None:
        errors.print(context.get_help(), markup=False)
        raise typer.Exit(UsageError.exit_code)


def organisation_of(settings: Settings, *, quiet: bool) -> OrganisationDescription:
    """The organisation of the settings, checked.

    Raises:
        OrganisationError: With all its problems.
    """
    with working("reading the organisation", quiet):
        return checked_organisation(settings, pseudonymiser_of(settings, keep=False).of)


@contextmanager
def working(what: str, quiet: bool) -> Iterator[None]:
    """Show on a terminal that *what* is being done."""
    if quiet or not errors.is_terminal:
        yield
    else:
        with errors.status(what):
            yield


def asked_live(settings: Settings, path: str, kind: type[_T]) -> _T | None:
    """What the running router answers over HTTP; None: none is running.

    Raises:
        RouterError: It refuses the answer, does not answer, or is no router.
    """
    host, port = settings.http.host, settings.http.port
    # Not urllib, which would send the question to the proxy of the environment.
    connection = http.client.HTTPConnection(host, port, timeout=_HTTP_TIMEOUT_S)
    token = read_token(settings.http.token_file)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == http.HTTPStatus.OK:
            return msgspec.json.decode(body, type=kind)
        raise RouterError(msgspec.json.decode(body, type=dict[str, str])["error"])
    except (ConnectionRefusedError, socket.gaierror):
        return None
    except TimeoutError:
        reason = f"the router at {host}:{port} does not answer within {_HTTP_TIMEOUT_S:g} s; look at its log"
    except (OSError, http.client.HTTPException, msgspec.DecodeError, KeyError):
        reason = f"what listens on {host}:{port} is no router; check http.host and http.port of the settings"
    finally:
        connection.close()
    raise RouterError(reason)


def in_journal(settings: Settings) -> Decider | None:
    """The router as its journal leaves it, since none is running; None: the journal is empty.

    Raises:
        RouterError: There is no journal, or it cannot be read.
    """
    file = settings.journal.file
    if not file.exists():
        raise RouterError(f"no router is running, and there is no journal {file} either; check the settings")
    errors.print("no router is running; asking the journal", style="dim")
    journal = SqliteJournal(file, read_only=True)
    try:
        with working("reading the journal", quiet=False):
            return recover(journal, settings.mqtt.shard, limits=limits_of(settings))
    finally:
        journal.close()


def check_writable(*files: Path | None) -> None:
    """Find out before the work is done whether its result can be written.

    Raises:
        RouterError: One of the *files* could not be.
    """
    for file in filter(None, files):
        if file.is_dir():
            raise RouterError(f"cannot write {file}: it is a directory, name a file in it")
        if not file.parent.is_dir():
            raise RouterError(f"cannot write {file}: there is no directory {file.parent}")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise RouterError(f"cannot write {file}: it may not be written by who runs this")


def print_json(document: object) -> None:
    """Write *document* to standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


@asynccontextmanager
async def connected(gateway: Gateway, config: Path) -> AsyncIterator[None]:
    """Connect the gateway; failed attempts are told once, in the end."""
    attempts = logging.getLogger("router.service.mqtt")
    attempts.setLevel(logging.ERROR)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(gateway)
        except BrokerError as error:
            raise BrokerError(
                f"{error}; start a router (router run {config}), or name its broker with --url"
            ) from error
        attempts.setLevel(logging.WARNING)
        yield


async def tell_router(
    settings: Settings, config: Path, event: InputEvent, *, url: str | None, event_id: str | None
) -> Accepted:
    """Send one event to the running router, for a person who waits for the answer.

    Args:
        settings: Of the router.
        config: Where they were read from, for people.
        event: What happened.
        url: Of the broker; None: that of the settings.
        event_id: The id under which the event was sent before; None: it was not.

    Raises:
        BrokerError: The broker cannot be reached.
        EventRejected: The router refuses the event.
        RouterError: No router answers in time; says how to send the event again without its happening twice.
    """
    event_id = event_id or f"cli-{time.time_ns():x}{secrets.token_hex(4)}"
    gateway = Gateway(
        url or settings.mqtt.url or embedded_url_of(settings),
        access=access_of(settings),
        shard=settings.mqtt.shard,
        connect_timeout_s=CONNECT_TIMEOUT_S,
    )
    async with connected(gateway, config):
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await gateway.send(event, event_id=event_id)
        except TimeoutError:
            raise RouterError(
                f"no answer within {_ANSWER_TIMEOUT_S:g} s: is a router at work on shard {settings.mqtt.shard}, and "
                "may this user write there? It may still be done: to try again without doing it twice, add "
                f"--id {event_id}"
            ) from None
