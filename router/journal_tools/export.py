"""A journal's records as a file that other programs read, and that can be proven later.

A line of JSON a record: its offset, its sender's id, its time, the event in words, and its body, the bytes that the
journal has (base64). The digests that a purge leaves behind are over offset, id and body; so an export proves itself
after the journal has let its records go. The readable event of a new organisation leaves out the clients, who may be
millions, and their callers' pseudonyms: they are in the body.
"""

import gzip
import os
import tempfile
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from router.core import Problem, RouterError
from router.core.events import CallArrived, Event, OrganisationChanged
from router.journal import JournalDamaged, JournalError, Record, SqliteJournal, chained_digest
from router.journal_tools.verification import iso_time, open_to_read
from router.wire import decode_record

__all__ = ["ExportError", "Exported", "Proof", "export", "prove"]

# An export of a year is mostly the same few words over and over.
_GZIP_LEVEL: Final = 6
_NO_DIGEST: Final = bytes(32)
# Every line of a wrong file is wrong: the first say it.
_PROBLEMS_TOLD: Final = 20


class ExportError(RouterError):
    """The export cannot be written, or what was named is none. Nothing half is left behind."""


class Exported(NamedTuple):
    first_offset: int
    last_offset: int
    size_bytes: int


class Proof(Struct, frozen=True, kw_only=True):
    """What exports prove, and where they fail to."""

    records: int
    months_proven: tuple[str, ...]
    """Purged months whose digest is that of the exported records."""
    months_not_covered: tuple[str, ...]
    """Purged months of which some records are not in the exports: these say nothing about them."""
    records_compared: int
    """Records that the journal still has, and that are the same there."""
    problems: tuple[Problem, ...] = ()


class _Line(Struct, frozen=True):
    offset: int
    entry_id: str
    body: str | None = None


_LINE = msgspec.json.Decoder(_Line)


# --- Writing -------------------------------------------------------------------------------------------------------


def export(
    path: Path,
    shard: str,
    to: Path,
    *,
    from_offset: int | None = None,
    until_offset: int | None = None,
    bodies: bool = True,
    replace: bool = False,
    on_record: Callable[[int, int], None] = lambda _done, _all: None,
) -> Exported:
    """Write the records of *shard* to a file, gzipped if its name ends in ``.gz``.

    Args:
        path: The journal; a router may be at work on it.
        shard: The shard.
        to: The file. It is there when it is whole; until then, a file beside it has another name.
        from_offset: The first record; None: the first that the journal has.
        until_offset: The last record; None: the last that the journal has at this moment.
        bodies: False leaves out the bodies, and callers' pseudonyms: for reading alone, it can prove nothing.
        replace: Whether a file of that name may be replaced.
        on_record: Told how many records of how many have been written.

    Raises:
        ExportError: There is such a file, or it cannot be written.
        JournalError: The journal cannot be read, or has no such records.
        WireError: A record cannot be read.
    """
    with closing(open_to_read(path, shard)) as journal:
        first = journal.first_offset(shard) if from_offset is None else from_offset
        last = journal.last_offset(shard)
        last = last if until_offset is None else min(last, until_offset)
        if first > last:
            raise JournalError(
                f"journal {path} has no such records: it holds offsets {journal.first_offset(shard)} to "
                f"{journal.last_offset(shard)}"
            )
        if any(to.exists() and each.exists() and to.samefile(each) for each in _files_of(path)):
            raise ExportError(f"{to} is the journal itself: name another file")
        if to.exists() and not replace:
            raise ExportError(f"{to} is there already: name another file, or replace it with --force")
        records = _records(journal, shard, first, last)
        try:
            _write(
                to, (_line(record, bodies=bodies) for record in records), lambda done: on_record(done, last - first + 1)
            )
            return Exported(first, last, to.stat().st_size)
        except OSError as error:
            raise ExportError(f"{to} cannot be written: {error.strerror}; nothing was left behind") from error


def _files_of(path: Path) -> tuple[Path, ...]:
    return (path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")))


def _records(journal: SqliteJournal, shard: str, first: int, last: int) -> Iterator[Record]:
    try:
        for record in journal.read(shard, first):
            yield record
            if record.offset == last:
                return
    except JournalDamaged as error:
        if error.offset < (begins := journal.first_offset(shard)):
            raise JournalError(
                f"the router at work has purged records while they were exported; export from offset {begins}"
            ) from error
        raise


def _write(to: Path, lines: Iterable[bytes], on_line: Callable[[int], None]) -> None:
    # Readable by its owner alone, as the journal should be.
    with tempfile.NamedTemporaryFile(dir=to.parent, prefix=f".{to.name}.", suffix=".part", delete=False) as file:
        try:
            with _compressing(file, to) as out:
                for done, line in enumerate(lines, start=1):
                    out.write(line)
                    on_line(done)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(to)
        except BaseException:
            with suppress(OSError):
                Path(file.name).unlink()
            raise


def _compressing(file: IO[bytes], to: Path) -> IO[bytes]:
    """What is written to this ends up in *file*, which stays open."""
    if to.suffix == ".gz":
        # Neither name nor time in it: two exports of the same records are the same file.
        return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0)  # type: ignore[return-value]  # it is a file in all but its type
    return open(file.fileno(), "wb", closefd=False)


def _line(record: Record, *, bodies: bool) -> bytes:
    at_ms, event = decode_record(record.body)
    line: dict[str, Any] = {
        "offset": record.offset,
        "entry_id": record.entry_id,
        "time": iso_time(at_ms),
        "event": _readable(event, pseudonyms=bodies),
    }
    if bodies:
        line["body"] = record.body
    return msgspec.json.encode(line) + b"\n"


def _readable(event: Event, *, pseudonyms: bool) -> dict[str, Any]:
    fields: dict[str, Any]
    if isinstance(event, OrganisationChanged):
        without = msgspec.structs.replace(event, description=msgspec.structs.replace(event.description, clients=()))
        fields = msgspec.to_builtins(without)
        fields["description"]["clients"] = len(event.description.clients)
        return fields
    fields = msgspec.to_builtins(event, builtin_types=(bytes,))
    if isinstance(event, CallArrived) and not pseudonyms:
        del fields["caller"]
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


# --- Proving -------------------------------------------------------------------------------------------------------


def prove(
    path: Path,
    shard: str,
    exports: Iterable[Path],
    *,
    on_record: Callable[[int], None] = lambda _: None,
) -> Proof:
    """Compare exports with the journal: with its records, and with the digests of those that were purged.

    Args:
        path: The journal.
        shard: The shard.
        exports: Files that `export` wrote with bodies, in the order of their offsets, without gaps between them.
        on_record: Told how many records have been read.

    Raises:
        ExportError: A file is no such export, or is cut short, or they do not follow on each other.
        JournalError: The journal cannot be read.
    """
    with closing(open_to_read(path, shard)) as journal:
        return _prove(journal, shard, _exported(exports), on_record)


def _prove(
    journal: SqliteJournal, shard: str, records: Iterable[tuple[str, Record]], on_record: Callable[[int], None]
) -> Proof:
    first_kept, last = journal.first_offset(shard), journal.last_offset(shard)
    months = journal.purged(shard)
    befores = {month.first_offset: digest for month, digest in _with_digest_before(months)}
    ends = {month.last_offset: month for month in months}
    digest: bytes | None = None  # None: the beginning of the month is not in the exports.
    proven, problems, compared, done = [], [], 0, 0
    for done, (where, record) in enumerate(records, start=1):
        if record.offset in befores:
            digest = befores[record.offset]
        if digest is not None and record.offset < first_kept:
            digest = chained_digest(digest, [record])
        month = ends.get(record.offset)
        if month is not None and digest is not None:
            if digest == month.digest:
                proven.append(month.month)
            else:
                problems.append(
                    Problem(
                        where,
                        month.month,
                        f"the records from {month.first_offset} to {month.last_offset} are not those that were purged: "
                        "the export was damaged or changed, or is of another journal",
                    )
                )
        if record.offset > last:
            problems.append(Problem(where, f"offset {record.offset}", "the journal does not reach so far"))
        elif record.offset >= first_kept:
            if _kept(journal, shard, record.offset) == record:
                compared += 1
            else:
                problems.append(Problem(where, f"offset {record.offset}", "the journal has another record there"))
        on_record(done)
        if len(problems) >= _PROBLEMS_TOLD:
            break
    told = {*proven, *(problem.field for problem in problems)}
    return Proof(
        records=done,
        months_proven=tuple(proven),
        months_not_covered=tuple(month.month for month in months if month.month not in told),
        records_compared=compared,
        problems=tuple(problems),
    )


def _with_digest_before(months: Iterable[Any]) -> Iterator[tuple[Any, bytes]]:
    digest = _NO_DIGEST
    for month in months:
        yield month, digest
        digest = month.digest


def _kept(journal: SqliteJournal, shard: str, offset: int) -> Record:
    try:
        return journal.get(shard, offset)
    except JournalDamaged as error:
        if offset < journal.first_offset(shard):
            raise JournalError("the router at work has purged records meanwhile; verify again") from error
        raise


def _exported(exports: Iterable[Path]) -> Iterator[tuple[str, Record]]:
    """The records in files, and the names of the files."""
    expected: int | None = None
    for file in exports:
        for number, line in enumerate(_lines(file), start=1):
            try:
                read = _LINE.decode(line)
                body = None if read.body is None else b64decode(read.body, validate=True)
            except (msgspec.MsgspecError, ValueError):
                raise ExportError(f"{file}, line {number}: no record of an export, or cut short") from None
            if body is None:
                raise ExportError(f"{file}: it was exported without bodies, which alone can be proven")
            if expected is not None and read.offset != expected:
                raise ExportError(f"{file}, line {number}: offset {read.offset} where {expected} should be")
            expected = read.offset + 1
            yield str(file), Record(read.offset, read.entry_id, body)
    if expected is None:
        raise ExportError("there is no record in the export")


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            yield from lines
    except (EOFError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it is cut short, or not gzipped"
        raise ExportError(f"{file} cannot be read: {reason}") from error
