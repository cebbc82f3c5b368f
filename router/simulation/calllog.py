"""Reads a call log (CSV, plain or gzip) by a declared mapping of its columns: a new log needs TOML, no code.

What a newcomer would get wrong is time:

- *Midnight.* Where the day stands in one column and times of day in others, the day belongs to ``date_of``
  (else to the arrival). A time of day more than 12 hours earlier than that one is of the next day.
- *Summer time.* A local time that occurs twice, when the clocks go back, is taken as its first occurrence,
  unless the call would then be answered before it arrived, or end before it was answered: then as its second.
  A local time that never was, when the clocks go forward, is read on the old clock. Timestamps with an offset
  have neither problem.
- *Contradiction.* Duration columns win over differences of times; where both are declared and differ by more
  than ``tolerance_s``, the row is used and the report counts it. A duration that follows from two times in
  the wrong order counts as 0 up to ``tolerance_s``; beyond that the row is refused.
"""

import csv
import difflib
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct, field

from router.core.errors import Problem, RouterError
from router.core.model import AgentId, CallId, ClientId, Country, Id
from router.reading import Lines, masked

__all__ = [
    "CallLog", "CallLogError", "Columns", "ImportReport", "LogMapping", "LoggedCall", "Outcomes", "Refusal",
    "load_mapping", "read_calls",
]  # fmt: skip

# A call that waited or talked for longer than a day is a slip of the log.
DURATION_MS_MAX = 86_400_000
# A log of the wrong kind has nothing but refused rows; nobody reads more than this, the count says the rest.
REFUSALS_KEPT_MAX = 1_000
KIND_OF_ALL = "calls"
"""The kind of every call in a log that does not tell kinds apart."""

# msgspec checks ids where they are decoded; these come out of a CSV file, one by one.
_ID = re.compile(Id.pattern or "")
_ID_LENGTH_MAX = Id.max_length or 64
_GZIP_MAGIC = b"\x1f\x8b"
_HALF_DAY = timedelta(hours=12)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMATS_OF_WHOLE_TIMESTAMPS = ("iso", "epoch_s", "epoch_ms")


class CallLogError(RouterError):
    """A log or mapping that cannot be used, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the call log cannot be used: " + "; ".join(map(str, problems)))
        self.problems = tuple(problems)


Column = Annotated[str, Meta(min_length=1)]


class Columns(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which column holds what. Either the duration or the times from which it follows must be declared."""

    call_id: Column
    outcome: Column
    arrived: Annotated[tuple[Column, ...], Meta(min_length=1)]
    """Candidates in order: the first that is filled is the arrival."""
    client_id: Column | None = None
    kind: Column | None = None
    """None: every call is of one kind, `KIND_OF_ALL`."""
    priority: Column | None = None
    agent_id: Column | None = None
    wait_s: Column | None = None
    service_s: Column | None = None
    answered: Column | None = None
    ended: Column | None = None
    """End of the service, or the hang-up of a caller who abandoned."""


class Outcomes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the values of the outcome column mean. A value of none of these lists is refused."""

    answered: Annotated[tuple[str, ...], Meta(min_length=1)]
    abandoned: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    abandoned_needs: Column | None = None
    """An abandoned call counts as offered to agents only where this column is filled; others are ignored."""


class LogMapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to read one kind of call log, as `config/logs/*.toml` declares it."""

    name: Annotated[str, Id]
    country: Country
    time_zone: str
    columns: Columns
    outcomes: Outcomes
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8"
    empty: tuple[str, ...] = ("",)
    date: Column | None = None
    """The column of the day; None: every time column is a full timestamp."""
    date_of: Column | None = None
    """The column of the time of day to which ``date`` belongs; None: the arrival."""
    date_format: str = "%Y-%m-%d"
    time_format: str = "iso"
    """A `strptime` pattern; without ``date`` also ``iso``, ``epoch_s`` or ``epoch_ms``."""
    tolerance_s: Annotated[float, Meta(ge=0, le=3_600)] = 2.0
    head_start_s: dict[str, Annotated[int, Meta(ge=-86_400, le=86_400)]] = field(default_factory=dict)
    """Seconds of waiting credited on arrival, by value of the priority column; 0 where not named."""


class LoggedCall(Struct, frozen=True, kw_only=True, gc=False):
    """One call that was offered to agents, as the log tells it."""

    call_id: CallId
    client_id: ClientId | None
    """None: the caller was not identified."""
    kind: str
    arrived_ms: int
    """When the caller began to wait for an agent, since 1970 (UTC)."""
    wait_ms: int
    """Until answered, or until the caller hung up."""
    answered: bool
    service_ms: int
    """0 for a call that was not answered, and for the odd answered call without a time of service."""
    agent_id: AgentId | None
    """None: not answered, or the log does not say by whom."""
    head_start_s: int

    @property
    def left_ms(self) -> int:
        """When the call left the queue, since 1970: answered or abandoned."""
        return self.arrived_ms + self.wait_ms


class Refusal(Struct, frozen=True):
    """A row that could not be used, and why."""

    row: int
    """Line of the file; the header is line 1."""
    column: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.message}" if self.column else f"row {self.row}: {self.message}"


class ImportReport(Struct, frozen=True, kw_only=True):
    """What became of the rows: read = used + ignored + refused."""

    rows_read: int
    rows_used: int
    rows_ignored: dict[str, int]
    """By reason, as the mapping declares them."""
    rows_noted: dict[str, int]
    """Used, but something about them was mended: by what."""
    rows_refused: int
    refusals: tuple[Refusal, ...]
    """In order of the file, at most `REFUSALS_KEPT_MAX`."""

    def lines(self) -> tuple[str, ...]:
        """The report in words, one fact a line."""
        ignored = sum(self.rows_ignored.values())
        return (
            f"{self.rows_read} rows read, {self.rows_used} used, {ignored} ignored, {self.rows_refused} refused",
            *(f"ignored, {reason}: {count}" for reason, count in self.rows_ignored.items()),
            *(f"used, {note}: {count}" for note, count in self.rows_noted.items()),
            *(f"refused, {refusal}" for refusal in self.refusals),
        )


class CallLog(Struct, frozen=True):
    """The calls of a log, by arrival and call id, and what became of its rows."""

    calls: tuple[LoggedCall, ...]
    report: ImportReport


def load_mapping(path: Path) -> LogMapping:
    """Read the mapping of a call log from a TOML file.

    Raises:
        CallLogError: The file cannot be read or contradicts itself; every problem found is listed.
    """
    try:
        mapping = msgspec.toml.decode(path.read_bytes(), type=LogMapping)
    except OSError as error:
        raise CallLogError([Problem(str(path), "", error.strerror or str(error))]) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # ValueError: not UTF-8, or an integer of more than 4,300 digits.
        raise CallLogError([Problem(str(path), "", masked(str(error)))]) from error
    if problems := [*_mapping_problems(mapping, str(path))]:
        raise CallLogError(problems)
    return mapping


def read_calls(path: Path, mapping: LogMapping) -> CallLog:
    """Read the calls that were offered to agents.

    Bad rows are refused one by one and reported, the rest is used.

    Args:
        path: A CSV file with a header line; compressed by gzip or not, whatever its name.
        mapping: What its columns mean.

    Raises:
        CallLogError: The file cannot be read as CSV, a declared column is missing (the nearest one is
            suggested), or the mapping contradicts itself.
    """
    if problems := [*_mapping_problems(mapping, f"mapping {mapping.name}")]:
        raise CallLogError(problems)
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            unpacked = gzip.GzipFile(fileobj=raw) if packed else raw
            # Undecodable bytes become U+FFFD, which no id may contain: a broken row is refused, not the file.
            encoding = "utf-8-sig" if mapping.encoding.lower() in ("utf-8", "utf8") else mapping.encoding
            with io.TextIOWrapper(unpacked, encoding=encoding, errors="replace", newline="") as text:
                return _read_rows(text, mapping, str(path))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        # An OSError's own text would name the path a second time.
        reason = getattr(error, "strerror", None) or str(error)
        raise CallLogError([Problem(str(path), "", reason)]) from error


def _mapping_problems(mapping: LogMapping, where: str) -> Iterator[Problem]:
    columns = mapping.columns
    try:
        ZoneInfo(mapping.time_zone)
    except (OSError, ValueError, KeyError):
        yield Problem(where, "time_zone", f"{mapping.time_zone!r} is not a time zone, such as Europe/Rome")
    try:
        "".encode(mapping.encoding)
    except (LookupError, ValueError):
        yield Problem(where, "encoding", f"{mapping.encoding!r} is not a text encoding, such as utf-8 or cp1252")
    if mapping.delimiter in '"\r\n':
        yield Problem(where, "delimiter", "quotes and ends of line cannot separate columns")
    if mapping.date is not None and mapping.time_format in _FORMATS_OF_WHOLE_TIMESTAMPS:
        yield Problem(
            where,
            "time_format",
            f"{mapping.time_format!r} holds the day already: drop `date`, or declare a time of day",
        )
    for setting, pattern in (("date_format", mapping.date_format), ("time_format", mapping.time_format)):
        try:
            if pattern not in _FORMATS_OF_WHOLE_TIMESTAMPS:
                datetime.strptime(_EPOCH.strftime(pattern), pattern)  # noqa: DTZ007 - the zone is put on later
        except (ValueError, re.error):
            yield Problem(where, setting, f"{pattern!r} is not a pattern of strptime, such as %Y-%m-%d %H:%M:%S")
    if mapping.date is None and mapping.date_of is not None:
        yield Problem(where, "date_of", "means nothing without `date`")
    if columns.wait_s is None and (columns.answered is None or columns.ended is None):
        yield Problem(where, "columns.wait_s", "declare it, or `answered` and `ended`, from which it follows")
    if columns.service_s is None and columns.ended is None:
        yield Problem(where, "columns.service_s", "declare it, or `ended`, from which it follows")
    if mapping.head_start_s and columns.priority is None:
        yield Problem(where, "head_start_s", "needs columns.priority")
    outcomes = mapping.outcomes
    for value, count in Counter((*outcomes.answered, *outcomes.abandoned, *outcomes.ignore)).items():
        if count > 1:
            yield Problem(where, "outcomes", f"{value!r} stands in more than one place")


def _column_problems(header: Sequence[str], mapping: LogMapping, where: str) -> Iterator[Problem]:
    declared = {f"columns.{name}": getattr(mapping.columns, name) for name in mapping.columns.__struct_fields__}
    declared |= {"outcomes.abandoned_needs": mapping.outcomes.abandoned_needs}
    declared |= {"date": mapping.date, "date_of": mapping.date_of}
    missing = [
        (setting, name)
        for setting, names in declared.items()
        for name in (names if isinstance(names, tuple) else (names,))
        if name is not None and name not in header
    ]
    if missing and len(header) <= 1:
        yield Problem(where, "header", f"has no two columns separated by {mapping.delimiter!r}: is `delimiter` right?")
        return
    for setting, name in missing:
        nearest = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
        yield Problem(
            where, setting, f"no column {name!r}" + (f", did you mean {masked(nearest[0])!r}?" if nearest else "")
        )
    if missing:
        yield Problem(where, "header", f"has {', '.join(map(masked, header))}"[:1_000])
    for name, count in Counter(header).items():
        if count > 1:
            yield Problem(where, masked(name), f"{count} columns have this name")


def _read_rows(text: io.TextIOWrapper, mapping: LogMapping, where: str) -> CallLog:
    lines = Lines(text)
    reader = csv.reader(lines, delimiter=mapping.delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
    except (csv.Error, ValueError) as error:
        raise CallLogError([Problem(where, "header", str(error))]) from error
    if problems := [*_column_problems(header, mapping, where)]:
        raise CallLogError(problems)

    parser = _RowParser(mapping)
    calls: dict[str, LoggedCall] = {}
    refusals: list[Refusal] = []
    ignored: Counter[str] = Counter()
    read = refused = 0
    while True:
        lines.row_length = 0
        try:
            cells = next(reader, None)
            if cells is None:
                break
            if not cells:
                continue
            read += 1
            if len(cells) != len(header):
                raise _RefusedRowError("", f"has {len(cells)} columns, the header has {len(header)}")
            call = parser.parse(dict(zip(header, cells, strict=True)))
            if call.call_id in calls:
                raise _RefusedRowError(mapping.columns.call_id, f"{call.call_id} has come before")
            calls[call.call_id] = call
        except _IgnoredRowError as reason:
            ignored[str(reason)] += 1
        except (_RefusedRowError, csv.Error) as error:
            read += isinstance(error, csv.Error)
            refused += 1
            if len(refusals) < REFUSALS_KEPT_MAX:
                column, message = (
                    (error.column, error.message) if isinstance(error, _RefusedRowError) else ("", str(error))
                )
                refusals.append(Refusal(reader.line_num, column, message))
        except ValueError as error:
            raise CallLogError([Problem(f"{where}, after row {reader.line_num}", "", str(error))]) from error
    report = ImportReport(
        rows_read=read,
        rows_used=len(calls),
        rows_ignored=dict(sorted(ignored.items())),
        rows_noted=dict(sorted(parser.noted.items())),
        rows_refused=refused,
        refusals=tuple(refusals),
    )
    return CallLog(tuple(sorted(calls.values(), key=lambda call: (call.arrived_ms, call.call_id))), report)


class _IgnoredRowError(Exception):
    """The mapping says that rows like this one are not offered calls."""


class _RefusedRowError(Exception):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(column, message)
        self.column = column
        self.message = message


class _RowParser:
    """Makes a `LoggedCall` of one row; counts what it had to mend in ``noted``."""

    def __init__(self, mapping: LogMapping) -> None:
        self.noted: Counter[str] = Counter()
        self._mapping = mapping
        self._columns = mapping.columns
        self._empty = frozenset(mapping.empty)
        self._zone = ZoneInfo(mapping.time_zone)
        self._tolerance_ms = round(1_000 * mapping.tolerance_s)
        # Days and times of day repeat: reading each text once makes a month three times faster to import.
        self._parse_time = lru_cache(100_000)(_time_reader(mapping))
        self._parse_day = lru_cache(10_000)(lambda text: datetime.strptime(text, mapping.date_format).date())  # noqa: DTZ007 - the zone is put on later

    def parse(self, row: dict[str, str]) -> LoggedCall:
        """Raises: _IgnoredRowError, _RefusedRowError."""
        columns = self._columns
        answered = self._is_answered(row)
        arrived_in = next((name for name in columns.arrived if self._text(row, name) is not None), None)
        if arrived_in is None:
            raise _RefusedRowError(columns.arrived[-1], "no time of arrival")
        arrived_ms = self._time_ms(row, arrived_in, arrived_in=arrived_in, after_ms=0)
        if arrived_ms is None or arrived_ms < 0:
            raise _RefusedRowError(arrived_in, "arrived before 1970")
        noted: list[str] = []
        left_in = columns.answered if answered else columns.ended
        wait_ms = self._duration_ms(row, columns.wait_s, arrived_ms, left_in, arrived_in, noted, name="wait")
        service_ms = 0
        if answered:
            start_ms = self._time_ms(row, columns.answered, arrived_in=arrived_in, after_ms=arrived_ms)
            start_ms = arrived_ms + wait_ms if start_ms is None else start_ms
            service_ms = self._duration_ms(
                row, columns.service_s, start_ms, columns.ended, arrived_in, noted, name="service"
            )
        priority = self._text(row, columns.priority)
        call_id = self._id(row, columns.call_id)
        if call_id is None:
            raise _RefusedRowError(columns.call_id, "a call needs an id")
        client_id, agent_id = self._id(row, columns.client_id), self._id(row, columns.agent_id)
        call = LoggedCall(
            call_id=CallId(call_id),
            client_id=None if client_id is None else ClientId(client_id),
            kind=self._kind(row),
            arrived_ms=arrived_ms,
            wait_ms=wait_ms,
            answered=answered,
            service_ms=service_ms,
            agent_id=AgentId(agent_id) if agent_id is not None and answered else None,
            head_start_s=self._mapping.head_start_s.get(priority or "", 0),
        )
        self.noted.update(noted)
        return call

    def _is_answered(self, row: dict[str, str]) -> bool:
        outcomes = self._mapping.outcomes
        outcome = row[self._columns.outcome].strip()
        if outcome in outcomes.ignore:
            raise _IgnoredRowError(f"{self._columns.outcome} {outcome}")
        if outcome in outcomes.answered:
            return True
        if outcome not in outcomes.abandoned:
            raise _RefusedRowError(
                self._columns.outcome, f"{masked(outcome)[:40]!r} is not among the outcomes of the mapping"
            )
        if outcomes.abandoned_needs is not None and self._text(row, outcomes.abandoned_needs) is None:
            raise _IgnoredRowError(f"{self._columns.outcome} {outcome} without {outcomes.abandoned_needs}")
        return False

    def _kind(self, row: dict[str, str]) -> str:
        if self._columns.kind is None:
            return KIND_OF_ALL
        kind = self._id(row, self._columns.kind)
        if kind is None:
            raise _RefusedRowError(self._columns.kind, "no kind of call")
        return kind

    def _text(self, row: dict[str, str], column: str | None) -> str | None:
        if column is None:
            return None
        text = row[column].strip()
        return None if text in self._empty else text

    def _id(self, row: dict[str, str], column: str | None) -> str | None:
        text = self._text(row, column)
        if text is None:
            return None
        if len(text) > _ID_LENGTH_MAX or not _ID.match(text):
            message = f"{masked(text)[:40]!r} is not an id: 1 to {_ID_LENGTH_MAX} letters, digits and . _ : @ -"
            raise _RefusedRowError(column or "", message)
        return text

    def _duration_ms(
        self,
        row: dict[str, str],
        column: str | None,
        start_ms: int,
        end_in: str | None,
        arrived_in: str,
        noted: list[str],
        *,
        name: str,
    ) -> int:
        """The declared duration, else from *start_ms* to the time in *end_in*. No service stated is 0."""
        end_ms = self._time_ms(row, end_in, arrived_in=arrived_in, after_ms=start_ms)
        text = self._text(row, column)
        if text is not None:
            try:
                declared_ms = _seconds_to_ms(text, decimal_comma=self._mapping.delimiter != ",")
            except (ValueError, OverflowError) as error:
                raise _RefusedRowError(column or "", f"{masked(text)[:40]!r} is not a duration in seconds") from error
            if end_ms is not None and abs(end_ms - start_ms - declared_ms) > self._tolerance_ms:
                noted.append(f"{name} by its own column, which its times contradict")
            return self._checked_ms(declared_ms, column or "")
        if end_ms is None:
            if name == "wait":
                raise _RefusedRowError(column or end_in or "", "does not say how long the caller waited")
            noted.append(f"no {name} stated, taken as 0")
            return 0
        if end_ms < start_ms and start_ms - end_ms <= self._tolerance_ms:
            noted.append(f"{name} slightly negative, taken as 0")
            return 0
        return self._checked_ms(end_ms - start_ms, end_in or "")

    def _checked_ms(self, duration_ms: int, column: str) -> int:
        if duration_ms < 0:
            raise _RefusedRowError(column, f"ends {-duration_ms / 1_000:g} s before it begins")
        if duration_ms > DURATION_MS_MAX:
            raise _RefusedRowError(column, "longer than a day")
        return duration_ms

    def _time_ms(self, row: dict[str, str], column: str | None, *, arrived_in: str, after_ms: int) -> int | None:
        text = self._text(row, column)
        if column is None or text is None:
            return None
        try:
            moment = self._parse_time(text)
            if isinstance(moment, time):
                moment = self._on_its_day(row, moment, anchor_in=self._mapping.date_of or arrived_in)
            if moment.tzinfo is not None:
                return _since_epoch_ms(moment)
            first_ms = _since_epoch_ms(moment.replace(tzinfo=self._zone, fold=0))
            if first_ms >= after_ms:
                return first_ms
            second_ms = _since_epoch_ms(moment.replace(tzinfo=self._zone, fold=1))
            return second_ms if second_ms >= after_ms else first_ms
        except (ValueError, OverflowError) as error:
            raise _RefusedRowError(
                column, f"{masked(text)[:40]!r} is not a time as {self._mapping.time_format!r}"
            ) from error

    def _on_its_day(self, row: dict[str, str], moment: time, *, anchor_in: str) -> datetime:
        date_in = self._mapping.date or ""
        day_text = self._text(row, date_in)
        try:
            day: date = self._parse_day(day_text or "")
        except ValueError as error:
            raise _RefusedRowError(
                date_in, f"{masked(row[date_in])[:40]!r} is not a day as {self._mapping.date_format!r}"
            ) from error
        local = datetime.combine(day, moment)
        anchor_text = self._text(row, anchor_in)
        anchor = self._parse_time(anchor_text) if anchor_text is not None else moment
        if isinstance(anchor, time) and datetime.combine(day, anchor) - local > _HALF_DAY:
            local += timedelta(days=1)
        return local


def _since_epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _time_reader(mapping: LogMapping) -> Callable[[str], datetime | time]:
    pattern = mapping.time_format
    if mapping.date is not None:
        return lambda text: datetime.strptime(text, pattern).time()  # noqa: DTZ007 - the zone is put on later
    if pattern == "iso":
        return datetime.fromisoformat
    if pattern in ("epoch_s", "epoch_ms"):
        per_unit_ms = 1_000 if pattern == "epoch_s" else 1
        return lambda text: _EPOCH + timedelta(milliseconds=round(per_unit_ms * float(text)))
    return lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is put on later


def _seconds_to_ms(text: str, *, decimal_comma: bool) -> int:
    """``90``, ``90.5``, ``1:30``, ``0:01:30``; and ``90,5`` where commas do not separate columns."""
    if decimal_comma:
        text = text.replace(",", ".")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return round(1_000 * seconds)
