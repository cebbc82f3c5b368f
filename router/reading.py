"""Reading what people wrote: every value by itself against its declared type, and clear words for what is wrong.

A file with twenty mistakes is answered with twenty problems, each with its file, row and field, and never with a
traceback. These short forms save typing:

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
"""

import gzip
import ipaddress
import re
import reprlib
import tomllib
import types
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import time
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, inspect, structs

from router.core.errors import Problem
from router.core.model import (
    Country,
    Fallback,
    Id,
    Language,
    Link,
    SkillNeed,
    Weekday,
)

__all__ = [
    "ROW_LENGTH_MAX",
    "TOML_LENGTH_MAX",
    "UNREAD",
    "DayOfYear",
    "Lines",
    "Note",
    "StructT",
    "fields_of",
    "is_loopback",
    "nearest",
    "note_unknown",
    "noter",
    "opened",
    "prefixed",
    "read_fields",
    "read_row",
    "read_toml",
    "read_value",
    "reason_of",
    "shown",
    "split_of",
    "without_numbers",
]  # fmt: skip

Note = Callable[[str, str], None]
"""Takes a field and what is wrong with it."""
StructT = TypeVar("StructT", bound=Struct)

Port = Annotated[int, Meta(ge=1, le=65_535)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]+\Z")]
_PORT = r"(6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
BrokerUrl = Annotated[
    str,
    Meta(pattern=rf"^mqtts?://([^\s/@]+@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:{_PORT})?/?(\?version=(3\.1\.1|5))?\Z"),
]
# What a number must look like is for the pseudonymiser to say; this only keeps other things from it.
PhoneNumber = Annotated[str, Meta(pattern=r"^\+?[0-9][0-9()./-]{2,31}\Z")]

DayOfYear = Annotated[str, Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")]

ROW_LENGTH_MAX = 1_000_000
"""Characters of a row. Python's csv takes 131,072 a cell, and the longest row anybody meant has some thousand."""
TOML_LENGTH_MAX = 20_000_000
"""Characters of a TOML file: some 100,000 agents. Reading it takes a minute and a hundred times the memory."""

UNREAD = object()
"""Stands for a value that could not be read, because None is a value."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on *host*. Of names, ``localhost`` alone is taken for that."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_row(
    kind: type[StructT], table: object, note: Note, *, where: str | None = None, from_text: bool = False
) -> StructT | None:
    """A struct from a table, or None if a required field cannot be read."""
    if not isinstance(table, dict):
        fields = ", ".join(kind.__struct_fields__[:3])
        note("", f"{shown(table)} is not a table with fields such as {fields}")
        return None
    values = read_fields(kind, table, note, from_text=from_text)
    if any(field.required and name not in values for name, field in fields_of(kind).items()):
        return None
    if where is not None:
        values["where"] = where
    return kind(**values)


def read_fields(
    kind: type[Struct], table: Mapping[str, object], note: Note, *, from_text: bool = False
) -> dict[str, object]:
    """The fields that are there and can be read."""
    fields = fields_of(kind)
    note_unknown(table, fields, "field", note)
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name not in table:
            if field.required:
                note(name, f"is missing: it must be {_expectation(field.type)}")
            continue
        value = read_value(field.type, table[name], name, note, from_text=from_text)
        if value is not UNREAD:
            values[name] = value
    return values


@cache
def fields_of(kind: type[Struct]) -> dict[str, structs.FieldInfo]:
    """The fields that a file may fill; `where` is ours."""
    return {field.name: field for field in structs.fields(kind) if field.name != "where"}


def read_value(wanted: Any, value: object, name: str, note: Note, *, from_text: bool = False) -> object:
    """*value* as the type *wanted*, or `UNREAD` once the reason is noted.

    Args:
        wanted: A type as declared in a struct, `Annotated` bounds included.
        value: As TOML, or a cell or variable of text, gave it.
        name: The field, for the note.
        note: Told of each problem.
        from_text: Whether numbers are written as text, as in a CSV cell.
    """
    bare = (_table_of(wanted) if isinstance(value, dict) else None) or _without_bounds(wanted)
    if bare is int and value == "none" and _is_optional(wanted):
        return None
    try:
        full = _in_full(bare, value)
    except ValueError as error:
        note(name, str(error))
        return UNREAD
    if isinstance(bare, type) and issubclass(bare, Struct):
        return read_row(bare, full, prefixed(note, f"{name}, ")) or UNREAD
    is_told = False
    if get_origin(bare) is tuple and isinstance(full, list):
        item = get_args(bare)[0]
        names = [f"{name} entry {number}" for number in range(1, len(full) + 1)] if len(full) > 1 else [name]
        entries = [
            read_value(item, entry, entry_name, note, from_text=from_text)
            for entry, entry_name in zip(full, names, strict=False)
        ]
        is_told = UNREAD in entries
        full = tuple(entry for entry in entries if entry is not UNREAD)
    elif get_origin(bare) is dict and isinstance(full, dict):
        key_type, item = get_args(bare)
        pairs = [
            (read_value(key_type, key, name, note), read_value(item, entry, f"{name} {masked(key)}", note))
            for key, entry in full.items()
        ]
        full = {key: entry for key, entry in pairs if key is not UNREAD and entry is not UNREAD}
    try:
        return msgspec.convert(full, wanted, strict=not from_text)
    except (msgspec.ValidationError, ValueError):
        if not is_told:
            note(name, _mismatch(wanted, value))
        return UNREAD


@cache
def _without_bounds(wanted: Any) -> Any:
    """The bare type: without `Annotated`, and X for ``X | None``."""
    if get_origin(wanted) is Annotated:
        return _without_bounds(get_args(wanted)[0])
    if get_origin(wanted) in (Union, types.UnionType):
        return _without_bounds(next(option for option in get_args(wanted) if option is not type(None)))
    return wanted


@cache
def _table_of(wanted: Any) -> type[Struct] | None:
    """What a table is read as where it is one of several options, such as a number or a table; None: it is none."""
    options = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else ()
    return next((each for each in options if isinstance(each, type) and issubclass(each, Struct)), None)


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


def split_of(wanted: Any) -> Callable[[str], object] | None:
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
        raise ValueError(f"{shown(text)} names a skill twice: keep one level of it")
    return levels


def _time(text: str) -> time:
    if text == "24:00":
        return time(0, 0)
    if not _TIME.fullmatch(text):
        raise ValueError(f"{shown(text)} is not {_expectation(time)}")
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


def noter(problems: list[Problem], where: str) -> Note:
    return lambda field, message: problems.append(Problem(where, field, message))


def prefixed(note: Note, prefix: str) -> Note:
    return lambda field, message: note((prefix + field).rstrip(", ."), message)


def note_unknown(names: Iterable[str], known: Iterable[str], what: str, note: Note) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            note(masked(name), f"there is no such {what}" + (nearest(name, known) or ": remove it"))


def nearest(name: str, known: Iterable[str]) -> str:
    match = get_close_matches(name[:100], list(known), n=1)
    return f": did you mean {match[0]}?" if match else ""


def _mismatch(wanted: Any, value: object) -> str:
    bare = _without_bounds(wanted)
    is_choice = isinstance(bare, type) and issubclass(bare, StrEnum) and isinstance(value, str)
    return f"{shown(value)} is not {_expectation(wanted)}" + (nearest(str(value), bare) if is_choice else "")


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
        case inspect.FloatType():
            return "a number"
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
            return "names with numbers, such as { gold = 3, data = 1 }"
        case inspect.StructType():
            return f"a table with {', '.join(field.name for field in kind.fields)}"
        case inspect.DecimalType():
            return "a number such as 12.5"
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
        (DayOfYear, "a day of the year, month first, such as 06-10"),
        (BrokerUrl, "a broker's address: mqtt://host:1883, or mqtts://user:password@host:8883 for TLS"),
    )
}

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def shown(value: object) -> str:
    """A value for an error message: short, on one line."""
    try:
        return masked(_REPR.repr(value))
    except ValueError:  # Python does not print integers of more than 4,300 digits.
        return "this number"


# Six digits or more, however grouped, but not a date: it is shown in messages about dates.
_NUMBER_LIKE = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d(?!\d))\+?\d[\d ()./-]{4,}\d")
_PASSWORD_LIKE = re.compile(r"//.*@")


def masked(text: str) -> str:
    """Without what may be a telephone number in the wrong column, or a password in a broker's address."""
    return _PASSWORD_LIKE.sub("//…@", _NUMBER_LIKE.sub("…", text[:200]))


_QUOTED_NUMBER = re.compile(r"'\+?\d[\d ()./-]{4,}\d'")


def without_numbers(text: str) -> str:
    """Without quoted values that may be telephone numbers.

    One that looks like an id passes as an id, and would be shown as one that nobody knows; the row says where it is.
    """
    return _QUOTED_NUMBER.sub("'…'", text)


def opened(path: Path) -> TextIO:
    """The file as text; -sig, because spreadsheets put a byte order mark first."""
    if not path.is_file():  # A pipe or a device would be waited for, or read, for ever.
        raise IsADirectoryError("it is not a plain file") if path.exists() else FileNotFoundError(path)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class Lines:
    """The lines of a file of rows, for `csv.reader`; set `row_length` to 0 after each row.

    A row may run over many lines, and a file of a few MB unpack to a line of many GB: neither may fill the memory.

    Raises:
        ValueError: While iterating: a row has more than `ROW_LENGTH_MAX` characters.
    """

    def __init__(self, text: TextIO) -> None:
        self.row_length = 0
        self._text = text

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(ROW_LENGTH_MAX + 1)
        if not line:
            raise StopIteration
        self.row_length += len(line)
        if self.row_length > ROW_LENGTH_MAX:
            raise ValueError(f"a row has more than {ROW_LENGTH_MAX:,} characters: is a quote or a line break missing?")
        return line


def read_toml(path: Path, note: Note) -> dict[str, Any] | None:
    try:
        with opened(path) as text:
            content = text.read(TOML_LENGTH_MAX + 1)
        if len(content) > TOML_LENGTH_MAX:
            note("", f"has more than {TOML_LENGTH_MAX:,} characters: put agents and clients into CSV files")
            return None
        return tomllib.loads(content)
    except FileNotFoundError:
        note("", f"there is no such file: looked for {path.absolute()}")
    except UnicodeDecodeError as error:
        note("", f"is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8")
    except RecursionError:
        note("", "is not TOML that can be read: its brackets are nested too deeply")
    except (tomllib.TOMLDecodeError, ValueError) as error:
        note("", f"is not valid TOML: {masked(str(error))}")
    except (OSError, EOFError, zlib.error) as error:
        note("", f"cannot be read: {reason_of(error)}")
    return None


def reason_of(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
