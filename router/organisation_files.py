"""The files in which an organisation is written down.

What the rows mean together (references, cycles, portfolios nobody can serve) is for `core.organisation` to judge; here
every value is read by itself, in the short forms of `reading`, with the fields of `core.model`.

Agents and clients stand in the TOML file or, one a row, in the CSV files it names: UTF-8, separated by comma,
semicolon or tab, with a header line. An empty cell leaves a field at its default, and ``.gz`` is unpacked on
the way in. A client is written as `ClientRow`; more rows of one client add ownerships at other times.

Holidays and hours may be written once and named where they hold: a site names a calendar (``calendar = "italy"``) and
the feast of its town's patron (``patron_day = "06-10"``), a portfolio names shared hours (``hours = "business"``). Days
are all that is left of it in the description.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from router.calendars import Calendar, Calendars, SharedHours, SiteRow
from router.core.errors import OrganisationError, Problem, RouterError
from router.core.model import (
    Agent,
    AgentId,
    Area,
    Client,
    ClientId,
    Contract,
    Id,
    MinutesAMonth,
    MovePlan,
    OrganisationDescription,
    Ownership,
    PlacePolicy,
    Portfolio,
    PortfolioId,
    Quality,
    Segment,
    Skill,
    Supplier,
    Team,
)
from router.reading import (
    Note,
    PhoneNumber,
    StructT,
    note_unknown,
    noter,
    read_fields,
    read_row,
    read_toml,
)
from router.tables import rows_in_csv

__all__ = ["ClientRow", "clients_file_of", "load_organisation", "read_organisation"]

Pseudonym = Callable[[str], str]

_TABLES = (
    "calendars", "hours", "sites", "suppliers", "teams", "portfolios", "segments", "agents", "clients", "areas",
    "contracts", "move_plans", "place",
)  # fmt: skip


class ClientRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A client as written in a file: one row for each ownership.

    The first row of a client says its portfolio, numbers, exclusions and minutes; later rows repeat them or leave
    them empty.
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
    minutes_a_month: MinutesAMonth | None = None
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
            yield from rows_in_csv(path.parent / file, str(file), kind, problems)

    calendars = Calendars(rows("calendars", Calendar), rows("hours", SharedHours), problems)
    raw, hours_named = _without_hours_named(raw, path.name)
    description = OrganisationDescription(
        sites=tuple(calendars.site(row) for row in rows("sites", SiteRow)),
        suppliers=tuple(rows("suppliers", Supplier)),
        skills=heading.skills,
        teams=tuple(rows("teams", Team)),
        portfolios=tuple(calendars.portfolio(row, hours_named.get(row.where)) for row in rows("portfolios", Portfolio)),
        segments=tuple(rows("segments", Segment)),
        agents=tuple(rows("agents", Agent, heading.agents_file)),
        clients=_clients(rows("clients", ClientRow, heading.clients_file), pseudonym, problems),
        default_portfolio=heading.default_portfolio,
        company=heading.company,
        quality=heading.quality,
        areas=tuple(rows("areas", Area)),
        place=_only(list(rows("place", PlacePolicy)), problems),
        contracts=tuple(rows("contracts", Contract)),
        move_plans=tuple(rows("move_plans", MovePlan)),
        where=path.name,
    )
    return description, tuple(problems)


def clients_file_of(path: Path) -> Path | None:
    """The CSV file in which the organisation at *path* (TOML) keeps clients; None: it names none that can be read."""
    table = read_toml(path, lambda _field, _message: None) or {}
    own = {"clients_file": table["clients_file"]} if "clients_file" in table else {}
    file = read_fields(_Heading, own, lambda _field, _message: None).get("clients_file")
    return path.parent / file if isinstance(file, Path) else None


def _only(policies: list[PlacePolicy], problems: list[Problem]) -> PlacePolicy | None:
    """The policy, if there is one."""
    problems.extend(Problem(other.where, "place", "there can be one [place] only") for other in policies[1:])
    return policies[0] if policies else None


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


def _without_hours_named(raw: dict[str, Any], file: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The file's tables without the names of shared hours, and those by where the portfolio stands."""
    tables = raw.get("portfolios")
    named: dict[str, str] = {}
    if not isinstance(tables, list | dict):
        return raw, named
    portfolios = []
    for number, table in enumerate(tables if isinstance(tables, list) else [tables], start=1):
        if isinstance(table, dict) and isinstance(table.get("hours"), str):
            named[f"{file}, portfolios entry {number}"] = table["hours"]
            table = {key: value for key, value in table.items() if key != "hours"}
        portfolios.append(table)
    return raw | {"portfolios": portfolios}, named


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
            minutes_a_month=row.minutes_a_month,
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
    if later.minutes_a_month not in (None, first.minutes_a_month):
        note("minutes_a_month", hint)
    if not first.ownerships or not later.ownerships:  # Two ownerships are compared in `core.organisation`.
        hint = "remove one, or tell them apart by valid_from and valid_until"
        note("client_id", f"the same client as in {first.where}: {hint}")
