"""What the commands of all groups share: consoles, common arguments, JSON, reading the organisation."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TextIO

import msgspec
import typer
from rich.console import Console

from router.core.model import OrganisationDescription
from router.service.app import checked_organisation, pseudonymiser_of
from router.settings import Settings

__all__ = [
    "AsJson", "Config", "UsageError", "console", "errors", "help_without_subcommand", "organisation_of", "print_json",
    "working",
]  # fmt: skip

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


def print_json(document: object) -> None:
    """Write *document* to standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
