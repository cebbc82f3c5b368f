"""Configuration: the router's own settings, and the files in which an organisation is written down.

Both are read in the same way: every value by itself against its declared type, so that a file with twenty
mistakes is answered with twenty problems, each with its file, row and field, and never with a traceback.
What the rows mean together (references, cycles, unreachable portfolios) is for `core.organisation` to judge.

In the organisation's files the fields are those of `core.model`. These short forms save typing:

==================  ============================================  ======================================
type                short form                                    in full
==================  ============================================  ======================================
link to a team      ``"aquila-04"``                               ``{ team_id = "aquila-04" }``
skill needed        ``"gold"``, ``"gold:3"``                      ``{ skill = "gold", level = 3 }``
skills held         ``"gold:3 data"``                             ``{ gold = 3, data = 1 }``
fallback            ``"callback"``                                ``{ kind = "callback" }``
days                ``"mon-fri sun"``, ``["mon-fri", "sun"]``       the weekdays one by one
time                ``"08:00"``; ``"24:00"`` is midnight          ``08:00:00``
list of words       ``"A1 A2"``                                   ``["A1", "A2"]``
list of one table   ``{ ... }``                                   ``[{ ... }]``
no ``max_wait_s``   ``"none"``                                    (TOML has no null)
==================  ============================================  ======================================

Agents and clients stand in the TOML file or, one a row, in the CSV files it names: UTF-8, separated by comma,
semicolon or tab, with a header line. An empty cell leaves a field at its default, and ``.gz`` is unpacked on
the way in. A client is written as `ClientRow`; more rows of one client add ownerships at other times.
"""

import csv
import gzip
import re
import reprlib
import tomllib
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, inspect, structs

from router.core.errors import OrganisationError, Problem, RouterError
from router.core.model import (
    Agent,
    AgentId,
    Client,
    ClientId,
    Country,
    Fallback,
    Id,
    Language,
    Link,
    OrganisationDescription,
    Ownership,
    Portfolio,
    PortfolioId,
    Segment,
    Site,
    Skill,
    SkillNeed,
    Supplier,
    Team,
    Weekday,
)

__all__ = [
    "ClientRow", "HttpSettings", "JournalSettings", "LimitSettings", "MqttSettings", "OrganisationSettings",
    "PseudonymSettings", "Settings", "SettingsError", "load_organisation", "load_settings",
    "read_organisation",
]  # fmt: skip

SETTINGS_FILE = "router.toml"
ENVIRONMENT_PREFIX = "ROUTER_"
ENVIRONMENT_PREFIX_IGNORED = "ROUTER_TEST_"
"""Switches of the test suite: not settings, and no reason to refuse to start."""

Port = Annotated[int, Meta(ge=1, le=65_535)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]+\Z")]
_PORT = r"(6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
BrokerUrl = Annotated[str, Meta(pattern=rf"^mqtts?://([^\s/@]+@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:{_PORT})?/?\Z")]
# What a number must look like is for the pseudonymiser to say; this only keeps other things from it.
PhoneNumber = Annotated[str, Meta(pattern=r"^\+?[0-9][0-9()./-]{2,31}\Z")]


class SettingsError(RouterError):
    """Settings that cannot be used, with every problem found in them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        plural = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n- {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} {plural} in the settings:{lines}")


class OrganisationSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the organisation is written down."""

    file: Path = Path("organisation.toml")


class MqttSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker that telephony platforms and the router meet at."""

    url: BrokerUrl | None = None
    """``mqtt://host:port`` or ``mqtts://user:password@host:port``; None: the embedded broker.

    May hold a password: never log it, and prefer to set it in the environment.
    """
    shard: Annotated[str, Id] = "main"
    embedded_host: Host = "127.0.0.1"
    embedded_port: Port = 1883


class JournalSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where inputs are made durable before the engine sees them."""

    file: Path = Path("var/journal.db")


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where metrics, health and the wallboard are served."""

    host: Host = "127.0.0.1"
    port: Port = 9464


class PseudonymSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The secret that turns telephone numbers into pseudonyms."""

    key_file: Path = Path("var/pseudonym.key")


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on what strangers can make grow."""

    # 250 seats at 410 s a call need 45 hours for so many: whoever meets this bound has a fault, not a queue.
    waiting_calls_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    # Ended calls are kept so that a late or repeated message gets a clear answer. 250 seats at 410 s a call
    # need four and a half hours for so many, and no platform resends for so long.
    past_calls_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the service is told when it starts. `load_settings` makes every path absolute."""

    organisation: OrganisationSettings = OrganisationSettings()
    mqtt: MqttSettings = MqttSettings()
    journal: JournalSettings = JournalSettings()
    http: HttpSettings = HttpSettings()
    pseudonym: PseudonymSettings = PseudonymSettings()
    limits: LimitSettings = LimitSettings()


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
    agents_file: Path | None = None
    clients_file: Path | None = None


Pseudonym = Callable[[str], str]
Note = Callable[[str, str], None]
"""Takes a field and what is wrong with it."""
StructT = TypeVar("StructT", bound=Struct)

_TABLES = ("sites", "suppliers", "teams", "portfolios", "segments", "agents", "clients")
_UNREAD = object()
"""Stands for a value that could not be read, because None is a value."""


# --- Settings ---------------------------------------------------------------------------------------------


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings from a file, then let the environment overrule single fields.

    Relative paths, wherever they are written, count from the directory of the settings file, so that the
    router finds the same files whatever directory it is started in.

    Args:
        path: A TOML file, or a directory that holds ``router.toml``.
        environ: ``ROUTER_<SECTION>__<FIELD>`` overrules a field (``ROUTER_HTTP__PORT=9500``); an empty value
            puts it back to its default. Other names with ``ROUTER_`` in front are refused, except those with
            ``ROUTER_TEST_``.

    Raises:
        SettingsError: With every problem found in the file and the environment.
    """
    problems: list[Problem] = []
    file = path / SETTINGS_FILE if path.is_dir() else path
    note = _noter(problems, str(file))
    raw = _read_toml(file, note) or {}
    kinds: dict[str, Any] = {field.name: field.type for field in structs.fields(Settings)}
    _note_unknown(raw, kinds, "section", note)
    overrules = _read_environment(kinds, environ, _noter(problems, "environment"))
    folder = file.absolute().parent
    sections: dict[str, Any] = {}
    for name, kind in kinds.items():
        table = raw.get(name, {})
        if not isinstance(table, dict):
            note(name, f"must be a section: write [{name}], and its fields below it")
            table = {}
        values = _read_fields(kind, table, _prefixed(note, f"{name}.")) | overrules.get(name, {})
        sections[name] = _resolved(kind(**values), folder)
    if problems:
        raise SettingsError(problems)
    return Settings(**sections)


def _read_environment(
    kinds: Mapping[str, type[Struct]], environ: Mapping[str, str], note: Note
) -> dict[str, dict[str, object]]:
    """The fields that the environment overrules, by section."""
    known = {
        f"{ENVIRONMENT_PREFIX}{section}__{field.name}".upper(): (section, field)
        for section, kind in kinds.items()
        for field in _fields(kind).values()
    }
    ours = sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX))
    given = [name for name in ours if not name.startswith(ENVIRONMENT_PREFIX_IGNORED)]
    _note_unknown(given, known, "setting", note)
    values: dict[str, dict[str, object]] = {}
    for name in given:
        if name not in known:
            continue
        section, field = known[name]
        text = environ[name]
        value = _read_value(field.type, text, name, note, from_text=True) if text else field.default
        if value is not _UNREAD:
            values.setdefault(section, {})[field.name] = value
    return values


def _resolved(section: StructT, folder: Path) -> StructT:
    """The section with its paths absolute."""
    paths = {name: folder / value for name, value in structs.asdict(section).items() if isinstance(value, Path)}
    return structs.replace(section, **paths)


# --- The organisation's files -----------------------------------------------------------------------------


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
    note = _noter(problems, path.name)
    raw = _read_toml(path, note) or {}
    _note_unknown(raw, (*_TABLES, *_Heading.__struct_fields__), "key", note)
    own: dict[str, Any] = {key: raw[key] for key in _Heading.__struct_fields__ if key in raw}
    heading = msgspec.convert(_read_fields(_Heading, own, note), _Heading)

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
        if (row := _read_row(kind, table, _noter(problems, where), where=where)) is not None:
            yield row


def _rows_in_csv(path: Path, name: str, kind: type[StructT], problems: list[Problem]) -> Iterator[StructT]:
    lists = [(field.name, split) for field in _fields(kind).values() if (split := _split_of(field.type))]
    for where, table in _tables_in_csv(path, name, kind, problems):
        try:  # The whole row at once; field by field takes ten times as long, and finds all that is wrong.
            whole = table | {column: split(table[column]) for column, split in lists if column in table}
            row = msgspec.convert(whole | {"where": where}, kind, strict=False)
        except (msgspec.ValidationError, ValueError):
            mended = _read_row(kind, table, _noter(problems, where), where=where, from_text=True)
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
        with _opened(path) as text:
            header = text.readline()
            reader = csv.reader(chain([header], text), delimiter=max(",;\t", key=header.count))
            columns = [cell.strip() for cell in next(reader, [])]
            known = _known_columns(columns, kind, _noter(problems, f"{name}, row 1"))
            if not known:
                return
            for number, cells in enumerate(reader, start=2):
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
        problems.append(Problem(name, "", f"cannot be read: {_reason(error)}"))


def _opened(path: Path) -> TextIO:
    """The file as text; -sig, because spreadsheets put a byte order mark first."""
    if not path.is_file():  # A pipe or a device would be waited for, or read, for ever.
        raise IsADirectoryError("it is not a plain file") if path.exists() else FileNotFoundError(path)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _known_columns(columns: list[str], kind: type[Struct], note: Note) -> list[str]:
    """The columns, with "" for those to skip; empty if the rows cannot be read."""
    fields = _fields(kind)
    if not any(columns):
        note("", f"the header line is missing: name the columns, such as {','.join(fields)}")
        return []
    _note_unknown([column for column in columns if column], fields, "column", note)
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
            _note_disagreements(first, client, _noter(problems, row.where))
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


# --- Reading values ---------------------------------------------------------------------------------------


def _read_row(
    kind: type[StructT], table: object, note: Note, *, where: str | None = None, from_text: bool = False
) -> StructT | None:
    """A struct from a table, or None if a required field cannot be read."""
    if not isinstance(table, dict):
        fields = ", ".join(kind.__struct_fields__[:3])
        note("", f"{_shown(table)} is not a table with fields such as {fields}")
        return None
    values = _read_fields(kind, table, note, from_text=from_text)
    if any(field.required and name not in values for name, field in _fields(kind).items()):
        return None
    if where is not None:
        values["where"] = where
    return kind(**values)


def _read_fields(
    kind: type[Struct], table: Mapping[str, object], note: Note, *, from_text: bool = False
) -> dict[str, object]:
    """The fields that are there and can be read."""
    fields = _fields(kind)
    _note_unknown(table, fields, "field", note)
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name not in table:
            if field.required:
                note(name, f"is missing: it must be {_expectation(field.type)}")
            continue
        value = _read_value(field.type, table[name], name, note, from_text=from_text)
        if value is not _UNREAD:
            values[name] = value
    return values


@cache
def _fields(kind: type[Struct]) -> dict[str, structs.FieldInfo]:
    """The fields that a file may fill; `where` is ours."""
    return {field.name: field for field in structs.fields(kind) if field.name != "where"}


def _read_value(wanted: Any, value: object, name: str, note: Note, *, from_text: bool = False) -> object:
    """*value* as the type *wanted*, or `_UNREAD` once the reason is noted.

    Args:
        wanted: A type as declared in a struct, `Annotated` bounds included.
        value: As TOML, or a cell or variable of text, gave it.
        name: The field, for the note.
        note: Told of each problem.
        from_text: Whether numbers are written as text, as in a CSV cell.
    """
    bare = _without_bounds(wanted)
    if bare is int and value == "none" and _is_optional(wanted):
        return None
    try:
        full = _in_full(bare, value)
    except ValueError as error:
        note(name, str(error))
        return _UNREAD
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _read_row(bare, full, _prefixed(note, f"{name}, ")) or _UNREAD
    if get_origin(bare) is tuple and isinstance(full, list):
        item = get_args(bare)[0]
        names = [f"{name} entry {number}" for number in range(1, len(full) + 1)] if len(full) > 1 else [name]
        entries = [
            _read_value(item, entry, entry_name, note, from_text=from_text)
            for entry, entry_name in zip(full, names, strict=False)
        ]
        full = tuple(entry for entry in entries if entry is not _UNREAD)
    elif get_origin(bare) is dict and isinstance(full, dict):
        key_type, item = get_args(bare)
        pairs = [
            (_read_value(key_type, key, name, note), _read_value(item, entry, f"{name} {_masked(key)}", note))
            for key, entry in full.items()
        ]
        full = {key: entry for key, entry in pairs if key is not _UNREAD and entry is not _UNREAD}
    try:
        return msgspec.convert(full, wanted, strict=not from_text)
    except (msgspec.ValidationError, ValueError):
        note(name, _mismatch(wanted, value))
        return _UNREAD


@cache
def _without_bounds(wanted: Any) -> Any:
    """The bare type: without `Annotated`, and X for ``X | None``."""
    if get_origin(wanted) is Annotated:
        return _without_bounds(get_args(wanted)[0])
    if get_origin(wanted) in (Union, types.UnionType):
        return _without_bounds(next(option for option in get_args(wanted) if option is not type(None)))
    return wanted


def _is_optional(wanted: Any) -> bool:
    return type(None) in get_args(wanted)


def _in_full(bare: Any, value: object) -> object:
    """*value* with the short form of its type written out; unchanged when it is none.

    Raises:
        ValueError: It looks like a short form, but is not one.
    """
    if get_origin(bare) is tuple:
        days = get_args(bare)[0] is Weekday
        words = _words(value) if isinstance(value, str) else [value] if isinstance(value, dict) else value
        return _days(words) if days and isinstance(words, list) else words
    if not isinstance(value, str):
        return value
    if bare is Link:
        return {"team_id": value}
    if bare is SkillNeed:
        skill, level = _skill_and_level(value)
        return {"skill": skill, "level": level}
    if bare is Fallback:
        return {"kind": value}
    if bare is time:
        return _time(value)
    if bare is Path:
        return Path(value)
    return _levels(value) if get_origin(bare) is dict else value


def _split_of(wanted: Any) -> Callable[[str], object] | None:
    """How a CSV cell of this type is split, if it holds more than one thing."""
    return {tuple: _words, dict: _levels}.get(get_origin(_without_bounds(wanted)))


_LEVEL = re.compile(r"(.+):([0-9]{1,4})", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").replace(";", " ").split()


def _skill_and_level(text: str) -> tuple[str, int]:
    match = _LEVEL.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, 1)


def _levels(text: str) -> dict[str, int]:
    pairs = [_skill_and_level(word) for word in _words(text)]
    levels = dict(pairs)
    if len(levels) < len(pairs):
        raise ValueError(f"{_shown(text)} names a skill twice: keep one level of it")
    return levels


def _time(text: str) -> time:
    if text == "24:00":
        return time(0, 0)
    if not _TIME.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not {_expectation(time)}")
    return time.fromisoformat(text)


def _days(words: list[object]) -> list[Weekday]:
    """Weekdays, with ranges such as ``mon-fri`` written out."""
    week = list(Weekday)
    days: list[Weekday] = []
    for word in words:
        first, _, last = str(word).partition("-")
        last = last or first
        if not {first, last} <= set(week):
            raise ValueError(_mismatch(Weekday, word))
        start = week.index(Weekday(first))
        length = (week.index(Weekday(last)) - start) % 7 + 1
        days.extend(week[(start + step) % 7] for step in range(length))
    return days


# --- Saying what is wrong ---------------------------------------------------------------------------------


def _noter(problems: list[Problem], where: str) -> Note:
    return lambda field, message: problems.append(Problem(where, field, message))


def _prefixed(note: Note, prefix: str) -> Note:
    return lambda field, message: note((prefix + field).rstrip(", ."), message)


def _note_unknown(names: Iterable[str], known: Iterable[str], what: str, note: Note) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            note(_masked(name), f"there is no such {what}" + (_nearest(name, known) or ": remove it"))


def _nearest(name: str, known: Iterable[str]) -> str:
    match = get_close_matches(name[:100], list(known), n=1)
    return f": did you mean {match[0]}?" if match else ""


def _mismatch(wanted: Any, value: object) -> str:
    bare = _without_bounds(wanted)
    is_choice = isinstance(bare, type) and issubclass(bare, StrEnum) and isinstance(value, str)
    return f"{_shown(value)} is not {_expectation(wanted)}" + (_nearest(str(value), bare) if is_choice else "")


@cache  # A column written wrongly is wrong in every row.
def _expectation(wanted: Any) -> str:
    """What a value should look like, for people."""
    return _expected(inspect.type_info(wanted))


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _expected(kind.type)
        case inspect.UnionType():
            return " or ".join(_expected(option) for option in kind.types if not isinstance(option, inspect.NoneType))
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"a whole number from {low} to {high}"
        case inspect.StrType(pattern=str(pattern)):
            return _FORMS.get(pattern, f"text that matches {pattern}")
        case inspect.BoolType():
            return "true or false"
        case inspect.EnumType():
            return "one of " + ", ".join(member.value for member in kind.cls)
        case inspect.VarTupleType(max_length=None):
            return "a list"
        case inspect.VarTupleType():
            return f"a list of at most {kind.max_length}"
        case inspect.DictType():
            return "skills with levels, such as { gold = 3, data = 1 }"
        case inspect.StructType():
            return f"a table with {', '.join(field.name for field in kind.fields)}"
        case inspect.DateType():
            return "a date such as 2026-12-31"
        case inspect.TimeType():
            return "a time such as 08:30"
        case inspect.CustomType():
            return "the path of a file"
        case _:
            return "text"


def _pattern(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _pattern(kind.type)
    assert isinstance(kind, inspect.StrType)
    assert kind.pattern
    return kind.pattern


_FORMS = {
    _pattern(inspect.type_info(wanted)): form
    for wanted, form in (
        (Annotated[str, Id], "an id: 1 to 64 letters, digits and . _ : @ - without spaces"),
        (Country, "a country code of two capital letters, such as IT"),
        (Language, "a language code of two or three small letters, such as it"),
        (PhoneNumber, "a telephone number without spaces, such as +390862000001"),
        (Host, "a host's name or address"),
        (BrokerUrl, "a broker's address: mqtt://host:1883, or mqtts://user:password@host:8883 for TLS"),
    )
}

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def _shown(value: object) -> str:
    """A value for an error message: short, on one line."""
    try:
        return _masked(_REPR.repr(value))
    except ValueError:  # Python does not print integers of more than 4,300 digits.
        return "this number"


# Six digits or more, however grouped, but not a date: it is shown in messages about dates.
_NUMBER_LIKE = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d(?!\d))\+?\d[\d ()./-]{4,}\d")
_PASSWORD_LIKE = re.compile(r"//.*@")


def _masked(text: str) -> str:
    """Without what may be a telephone number in the wrong column, or a password in a broker's address."""
    return _PASSWORD_LIKE.sub("//…@", _NUMBER_LIKE.sub("…", text[:200]))


def _read_toml(path: Path, note: Note) -> dict[str, Any] | None:
    try:
        with _opened(path) as text:
            return tomllib.loads(text.read())
    except FileNotFoundError:
        note("", f"there is no such file: looked for {path.absolute()}")
    except UnicodeDecodeError as error:
        note("", f"is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8")
    except RecursionError:
        note("", "is not TOML that can be read: its brackets are nested too deeply")
    except (tomllib.TOMLDecodeError, ValueError) as error:
        note("", f"is not valid TOML: {_masked(str(error))}")
    except (OSError, EOFError, zlib.error) as error:
        note("", f"cannot be read: {_reason(error)}")
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
