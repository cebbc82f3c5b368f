"""The files in which an organisation is written down.

What the rows mean together (references, cycles, portfolios nobody can serve) is for `core.organisation` to judge; here
every value is read by itself, in the short forms of `reading`, with the fields of `core.model`.

Agents and clients stand in the TOML file or, one a row, in the CSV files it names: UTF-8, separated by comma,
semicolon or tab, with a header line. An empty cell leaves a field at its default, and ``.gz`` is unpacked on
the way in. A client is written as `ClientRow`; more rows of one client add ownerships at other times.
"""

import csv
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from router.core.errors import OrganisationError, Problem, RouterError
from router.core.model import (
    Agent,
    AgentId,
    Client,
    ClientId,
    Id,
    OrganisationDescription,
    Ownership,
    Portfolio,
    PortfolioId,
    Quality,
    Segment,
    Site,
    Skill,
    Supplier,
    Team,
)
from router.reading import (
    Lines,
    Note,
    PhoneNumber,
    StructT,
    fields_of,
    note_unknown,
    noter,
    opened,
    read_fields,
    read_row,
    read_toml,
    reason_of,
    split_of,
)

__all__ = ["ClientRow", "load_organisation", "read_organisation"]

Pseudonym = Callable[[str], str]

# One wrong column of ten million clients would fill the memory with problems; nobody reads more than this.
_PROBLEMS_MAX = 10_000

_TABLES = ("sites", "suppliers", "teams", "portfolios", "segments", "agents", "clients")


class ClientRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A client as written in a file: one row for each ownership.

    The first row of a client says its portfolio, numbers and exclusions; later rows repeat them or leave them
    empty.
    """

    client_id: Annotated[ClientId, Id]
    portfolio_id: Annotated[PortfolioId, Id] | None = None
    owner: Annotated[AgentId, Id] | None = None
    backups: Annotated[tuple[Annotated[AgentId, Id], ...], Meta(max_length=8)] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    numbers: tuple[PhoneNumber, ...] = ()
    """Telephone numbers without spaces; replaced by their pseudonyms as soon as the row is read."""
    exclusions: tuple[Annotated[AgentId, Id], ...] = ()
    where: str = ""


class _Heading(Struct, frozen=True, kw_only=True):
    """What stands in an organisation's file outside its tables."""

    skills: tuple[Annotated[Skill, Id], ...] = ()
    default_portfolio: Annotated[PortfolioId, Id] = PortfolioId("")
    company: Annotated[str, Id] = "operator"
    quality: Quality = Quality()
    agents_file: Path | None = None
    clients_file: Path | None = None


def load_organisation(path: Path, *, pseudonym: Pseudonym) -> OrganisationDescription:
    """Read an organisation that must be free of reading problems.

    Args:
        path: The TOML file. Its ``agents_file`` and ``clients_file`` count from its directory.
        pseudonym: Turns a telephone number into its pseudonym, see `read_organisation`.

    Raises:
        OrganisationError: With every problem found in all the files.
    """
    description, problems = read_organisation(path, pseudonym)
    if problems:
        raise OrganisationError(problems)
    return description


def read_organisation(path: Path, pseudonym: Pseudonym) -> tuple[OrganisationDescription, tuple[Problem, ...]]:
    """Read what can be read of an organisation, and say what cannot.

    A field that cannot be read keeps its default, so that one mistake does not make every reference to its
    row a mistake too; a row without its id or another required field is left out. Never raises for anything
    in the files.

    Args:
        path: The TOML file.
        pseudonym: Called for every telephone number; no number is kept. ``ValueError`` or a `RouterError` from
            it becomes a problem of the row, without its text, which might hold the number.
    """
    problems: list[Problem] = []
    note = noter(problems, path.name)
    raw = read_toml(path, note) or {}
    note_unknown(raw, (*_TABLES, *_Heading.__struct_fields__), "key", note)
    own: dict[str, Any] = {key: raw[key] for key in _Heading.__struct_fields__ if key in raw}
    heading = msgspec.convert(read_fields(_Heading, own, note), _Heading)

    def rows(name: str, kind: type[StructT], file: Path | None = None) -> Iterator[StructT]:
        yield from _rows_in_toml(raw.get(name, []), name, path.name, kind, problems)
        if file is not None:
            yield from _rows_in_csv(path.parent / file, str(file), kind, problems)

    description = OrganisationDescription(
        sites=tuple(rows("sites", Site)),
        suppliers=tuple(rows("suppliers", Supplier)),
        skills=heading.skills,
        teams=tuple(rows("teams", Team)),
        portfolios=tuple(rows("portfolios", Portfolio)),
        segments=tuple(rows("segments", Segment)),
        agents=tuple(rows("agents", Agent, heading.agents_file)),
        clients=_clients(rows("clients", ClientRow, heading.clients_file), pseudonym, problems),
        default_portfolio=heading.default_portfolio,
        company=heading.company,
        quality=heading.quality,
        where=path.name,
    )
    return description, tuple(problems)


def _rows_in_toml(
    tables: object, name: str, file: str, kind: type[StructT], problems: list[Problem]
) -> Iterator[StructT]:
    entries = [tables] if isinstance(tables, dict) else tables
    if not isinstance(entries, list):
        problems.append(Problem(file, name, f"must be tables: write [[{name}]] above each, and its fields below it"))
        return
    for number, table in enumerate(entries, start=1):
        where = f"{file}, {name} entry {number}"
        if (row := read_row(kind, table, noter(problems, where), where=where)) is not None:
            yield row


def _rows_in_csv(path: Path, name: str, kind: type[StructT], problems: list[Problem]) -> Iterator[StructT]:
    lists = [(field.name, split) for field in fields_of(kind).values() if (split := split_of(field.type))]
    for where, table in _tables_in_csv(path, name, kind, problems):
        try:  # The whole row at once; field by field takes ten times as long, and finds all that is wrong.
            whole = table | {column: split(table[column]) for column, split in lists if column in table}
            row = msgspec.convert(whole | {"where": where}, kind, strict=False)
        except (msgspec.ValidationError, ValueError):
            mended = read_row(kind, table, noter(problems, where), where=where, from_text=True)
            if mended is None:
                continue
            row = mended
        yield row


def _tables_in_csv(
    path: Path, name: str, kind: type[Struct], problems: list[Problem]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its filled cells by column. As in a spreadsheet, row 1 is the header."""
    number = 0
    try:
        with opened(path) as text:
            lines = Lines(text)
            header = next(lines, "")
            reader = csv.reader(chain([header], lines), delimiter=max(",;\t", key=header.count))
            columns = [cell.strip() for cell in next(reader, [])]
            known = _known_columns(columns, kind, noter(problems, f"{name}, row 1"))
            if not known:
                return
            for number, cells in enumerate(reader, start=2):
                lines.row_length = 0
                if len(problems) >= _PROBLEMS_MAX:
                    message = f"{len(problems)} problems so far, so the rest was not read: mend these first"
                    problems.append(Problem(f"{name}, from row {number}", "", message))
                    return
                if not any(cells):
                    continue
                where = f"{name}, row {number}"
                if len(cells) == len(columns):
                    filled = zip(known, map(str.strip, cells), strict=True)
                    yield where, {column: cell for column, cell in filled if cell and column}
                else:
                    message = f"has {len(cells)} cells, the header has {len(columns)}: mend its separators"
                    problems.append(Problem(where, "", message))
    except FileNotFoundError:
        problems.append(Problem(name, "", f"there is no such file: looked for {path}"))
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text ({error.reason}): save it as 'CSV UTF-8'"
        problems.append(Problem(f"{name}, after row {number}" if number else name, "", message))
    except csv.Error as error:
        problems.append(Problem(f"{name}, after row {number}" if number else name, "", f"is not CSV: {error}"))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        problems.append(
            Problem(f"{name}, after row {number}" if number else name, "", f"cannot be read: {reason_of(error)}")
        )


def _known_columns(columns: list[str], kind: type[Struct], note: Note) -> list[str]:
    """The columns, with "" for those to skip; empty if the rows cannot be read."""
    fields = fields_of(kind)
    if not any(columns):
        note("", f"the header line is missing: name the columns, such as {','.join(fields)}")
        return []
    note_unknown([column for column in columns if column], fields, "column", note)
    if "" in columns:
        note("", f"column {columns.index('') + 1} has no name: name it, or remove it")
    missing = [name for name, field in fields.items() if field.required and name not in columns]
    doubled = [name for name in fields if columns.count(name) > 1]
    for name in missing:
        note(name, "this column is missing: add it to the header line")
    for name in doubled:
        note(name, "this column stands twice: keep one")
    if missing or doubled:
        return []
    return [column if column in fields else "" for column in columns]


def _clients(rows: Iterable[ClientRow], pseudonym: Pseudonym, problems: list[Problem]) -> tuple[Client, ...]:
    """One client for each id, with the ownerships of all its rows."""
    clients: dict[ClientId, Client] = {}
    for row in rows:
        client = Client(
            client_id=row.client_id,
            portfolio_id=row.portfolio_id,
            ownerships=_ownerships(row),
            callers=_callers(row, pseudonym, problems) if row.numbers else (),
            exclusions=row.exclusions,
            where=row.where,
        )
        first = clients.setdefault(row.client_id, client)
        if first is not client:
            _note_disagreements(first, client, noter(problems, row.where))
            clients[row.client_id] = structs.replace(
                first, ownerships=first.ownerships + client.ownerships, where=f"{first.where}; {row.where}"
            )
    return tuple(clients.values())


def _ownerships(row: ClientRow) -> tuple[Ownership, ...]:
    ownership = Ownership(owner=row.owner, backups=row.backups, valid_from=row.valid_from, valid_until=row.valid_until)
    return () if ownership == Ownership() else (ownership,)


def _callers(row: ClientRow, pseudonym: Pseudonym, problems: list[Problem]) -> tuple[str, ...]:
    try:
        return tuple(pseudonym(number) for number in row.numbers)
    except (ValueError, RouterError):
        message = "at least one is no telephone number: write them in international form, such as +390862000001"
        problems.append(Problem(row.where, "numbers", message))
        return ()


def _note_disagreements(first: Client, later: Client, note: Note) -> None:
    hint = f"differs from {first.where}: repeat what that says, or leave this empty"
    if later.portfolio_id not in (None, first.portfolio_id):
        note("portfolio_id", hint)
    if later.callers and set(later.callers) != set(first.callers):
        note("numbers", hint)
    if later.exclusions and set(later.exclusions) != set(first.exclusions):
        note("exclusions", hint)
    if not first.ownerships or not later.ownerships:  # Two ownerships are compared in `core.organisation`.
        hint = "remove one, or tell them apart by valid_from and valid_until"
        note("client_id", f"the same client as in {first.where}: {hint}")
