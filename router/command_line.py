"""What the commands of all groups share: consoles, arguments, JSON, reading the organisation, asking the router."""

import http.client
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TextIO, TypeVar

import msgspec
import typer
from rich.console import Console

from router.core.errors import RouterError
from router.core.model import OrganisationDescription
from router.journal import SqliteJournal
from router.service.app import checked_organisation, limits_of, pseudonymiser_of
from router.service.decider import Decider
from router.service.http import read_token
from router.service.recovery import recover
from router.settings import Settings

__all__ = [
    "AsJson", "Config", "UsageError", "asked_live", "console", "errors", "help_without_subcommand", "in_journal",
    "organisation_of", "print_json", "working",
]  # fmt: skip

_T = TypeVar("_T")
_HTTP_TIMEOUT_S: Final = 10.0
# What a pipe or a file gets: wide enough that a row stays on a line.
_WIDTH_WITHOUT_TERMINAL: Final = 200


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


def print_json(document: object) -> None:
    """Write *document* to standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
