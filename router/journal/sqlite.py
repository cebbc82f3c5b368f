"""The embedded journal: one SQLite file, for one machine.

SQLite's write-ahead log with ``synchronous=FULL`` makes each `append` durable by one fsync, however many
entries it holds; larger batches are what makes it fast. Every record carries a checksum of its own, because
SQLite has none and disks do return other bytes than they were given.

The file must be on a local disk: the locks that fence a second writer do not hold on network file systems.
"""

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from router.journal.port import Appended, Entry, JournalDamaged, JournalError, JournalFenced, Record

__all__ = ["SqliteJournal"]

FORMAT_VERSION = 1
"""Kept in the file as ``user_version``; raise it with every change of the tables."""

# "PRTR": tells a journal from every other SQLite file.
APPLICATION_ID = 0x50525452

# Another writer holds the lock for one transaction, milliseconds; 5 s of it means something is stuck.
LOCK_TIMEOUT_S = 5.0

# Small enough that a reader never keeps the write-ahead log from being folded back for long, large enough
# that the query costs little beside decoding what it returns.
RECORDS_PER_READ = 512

# Without a rowid a record is found by its offset in one step; the second index is the memory of ids seen.
SCHEMA = """
CREATE TABLE shard (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE record (
    shard TEXT NOT NULL,
    offset INTEGER NOT NULL,
    entry_id TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (shard, offset)
) WITHOUT ROWID;
CREATE UNIQUE INDEX record_by_entry_id ON record (shard, entry_id);
CREATE TABLE snapshot (
    shard TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
"""

# One statement for many rows: each lets go of the interpreter lock and has to win it back. SQLite takes 32,766 values.
ROWS_PER_INSERT = 1_000
_ROW_WIDTH = 5

ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and start again",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and its directory",
    sqlite3.SQLITE_PERM: "it cannot be written; check the permissions of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that it is a file and its directory can be written",
    sqlite3.SQLITE_NOTADB: "it is not a journal; name another file",
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {LOCK_TIMEOUT_S:g} s; stop that process",
    sqlite3.SQLITE_LOCKED: f"another process has kept it locked for {LOCK_TIMEOUT_S:g} s; stop that process",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; check it before going on",
    sqlite3.SQLITE_TOOBIG: "an entry is larger than a record can be; send less at once",
}


_Row = tuple[int, bytes, bytes, int]


class SqliteJournal:
    """A `Journal` in one SQLite file.

    Its methods may be called from any thread; each waits for the one before. Iterators that `read` returned
    are on connections of their own and wait for nobody.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal at *path*, and create it with its directory if there is none.

        Args:
            path: The file. SQLite keeps two more beside it, ``-wal`` and ``-shm``: they belong to it.
            read_only: The file must be there; nothing can be claimed or appended. For reports and replays.

        Raises:
            JournalError: The file cannot be used, is not a journal, or is of a newer format.
        """
        self._path = path.absolute()
        self._read_only = read_only
        self._epochs: dict[str, int] = {}
        self._lock = threading.Lock()
        if not read_only:
            self._make_directory()
        self._connection = self._connect(read_only=read_only)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def claim(self, shard: str) -> int:
        with self._writing("claim"):
            (epoch,) = self._connection.execute(
                "INSERT INTO shard (name, epoch) VALUES (?, 1)"
                " ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                (shard,),
            ).fetchone()
        self._epochs[shard] = epoch
        return int(epoch)

    def append(self, shard: str, entries: Sequence[Entry]) -> list[Appended]:
        if not entries:
            return []
        with self._writing("append"):
            self._check_epoch(shard)
            offsets = self._offsets_seen(shard, entries)
            next_offset = self._last_offset(shard) + 1
            appended: list[Appended] = []
            rows: list[object] = []
            for entry_id, body in entries:
                seen = offsets.get(entry_id)
                if seen is not None:
                    appended.append(Appended(seen, duplicate=True))
                    continue
                offsets[entry_id] = next_offset
                appended.append(Appended(next_offset, duplicate=False))
                rows += (shard, next_offset, entry_id, body, _checksum(shard, next_offset, entry_id, body))
                next_offset += 1
            for start in range(0, len(rows), _ROW_WIDTH * ROWS_PER_INSERT):
                self._insert(rows[start : start + _ROW_WIDTH * ROWS_PER_INSERT])
        return appended

    def _insert(self, rows: list[object]) -> None:
        places = ", ".join(["(?, ?, ?, ?, ?)"] * (len(rows) // _ROW_WIDTH))
        self._connection.execute(f"INSERT INTO record VALUES {places}", rows)

    def read(self, shard: str, from_offset: int = 1) -> Iterator[Record]:
        offset = from_offset
        with self._translating(f"read shard {shard}"), closing(self._connect(read_only=True)) as connection:
            while True:
                # Rows are taken in portions, each its own transaction: a reader that held one for as long as
                # a replay takes would make the write-ahead log grow all the while.
                rows = self._portion(connection, shard, offset)
                for row in rows:
                    yield _checked(shard, offset, row)
                    offset += 1
                if len(rows) < RECORDS_PER_READ:
                    return

    def last_offset(self, shard: str) -> int:
        with self._lock, self._translating(f"read shard {shard}"):
            return self._last_offset(shard)

    def put_snapshot(self, shard: str, offset: int, body: bytes) -> None:
        with self._writing("put_snapshot"):
            self._check_epoch(shard)
            last_offset = self._last_offset(shard)
            if not 0 <= offset <= last_offset:
                raise ValueError(f"a snapshot at offset {offset} of shard {shard}, whose last is {last_offset}")
            self._connection.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
                (shard, offset, body, _checksum(shard, offset, "snapshot", body)),
            )

    def get_snapshot(self, shard: str) -> tuple[int, bytes] | None:
        with self._lock, self._translating(f"read the snapshot of shard {shard}"):
            row = self._connection.execute(
                "SELECT offset, body, checksum FROM snapshot WHERE shard = ?", (shard,)
            ).fetchone()
        if row is None:
            return None
        offset, body, checksum = row
        if not isinstance(body, bytes) or checksum != _checksum(shard, offset, "snapshot", body):
            raise JournalDamaged(shard, offset, "the snapshot is damaged; replay the shard from offset 1")
        return offset, body

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _make_directory(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"journal {self._path}: its directory cannot be made: {error.strerror}") from error

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        with self._translating("open"):
            return sqlite3.connect(
                f"{self._path.as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                timeout=LOCK_TIMEOUT_S,
                isolation_level=None,  # transactions are begun and ended by `_writing` alone
                check_same_thread=False,
            )

    def _prepare(self) -> None:
        """Check that the file is a journal we can read; make it one if it is new."""
        if self._is_new():
            if self._read_only:
                raise JournalError(f"journal {self._path}: it is empty; name another file")
            with self._translating("create"):
                self._create()
        if not self._read_only:
            with self._translating("open"):
                self._connection.execute("PRAGMA synchronous = FULL")

    def _is_new(self) -> bool:
        with self._translating("open"):
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise JournalError(f"journal {self._path}: it is the database of something else; name another file")
        if version > FORMAT_VERSION:
            raise JournalError(
                f"journal {self._path}: its format is {version} and this router knows {FORMAT_VERSION};"
                " use the newer router that wrote it"
            )
        return not tables

    def _create(self) -> None:
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalError(f"journal {self._path}: it needs a local disk, for a write-ahead log; move it to one")
        with self._transaction():
            # Asked again under the lock: another process may have been first.
            if self._is_new():
                for statement in SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    @contextmanager
    def _writing(self, verb: str) -> Iterator[None]:
        if self._read_only:
            raise JournalError(f"journal {self._path}: {verb}: it was opened for reading only")
        with self._lock, self._translating(verb), self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. IMMEDIATE: the lock is taken at once, so that what is checked inside stays true."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # After some errors, a full disk among them, SQLite has rolled back of its own accord.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _translating(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            advice = ADVICE.get(_code(error))
            what = f"{advice} ({error})" if advice else str(error)
            raise JournalError(f"journal {self._path}: {verb}: {what}") from error

    def _check_epoch(self, shard: str) -> None:
        epoch = self._epochs.get(shard)
        if epoch is None:
            raise JournalFenced(shard, "it was not claimed; claim it before writing")
        (newest,) = self._connection.execute("SELECT epoch FROM shard WHERE name = ?", (shard,)).fetchone()
        if epoch != newest:
            raise JournalFenced(
                shard, f"another router has claimed it (epoch {newest}, ours is {epoch}); stop one of the two"
            )

    def _offsets_seen(self, shard: str, entries: Sequence[Entry]) -> dict[str, int]:
        # The ids as one JSON array: a statement for the batch instead of one for each entry.
        return dict(
            self._connection.execute(
                "SELECT entry_id, offset FROM record WHERE shard = ? AND entry_id IN (SELECT value FROM json_each(?))",
                (shard, json.dumps([entry.entry_id for entry in entries])),
            ).fetchall()
        )

    def _last_offset(self, shard: str) -> int:
        (offset,) = self._connection.execute(
            "SELECT coalesce(max(offset), 0) FROM record WHERE shard = ?", (shard,)
        ).fetchone()
        return int(offset)

    def _portion(self, connection: sqlite3.Connection, shard: str, offset: int) -> list[_Row]:
        try:
            # The id as bytes: a damaged one may not be text any more.
            return connection.execute(
                "SELECT offset, CAST(entry_id AS BLOB), body, checksum FROM record"
                " WHERE shard = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (shard, offset, RECORDS_PER_READ),
            ).fetchall()
        except sqlite3.DatabaseError as error:
            if _code(error) != sqlite3.SQLITE_CORRUPT:
                raise
            raise JournalDamaged(
                shard, offset, f"the file is damaged; restore the journal from a backup ({error})"
            ) from error


def _checked(shard: str, offset: int, row: _Row) -> Record:
    found, raw_id, body, checksum = row
    if found != offset:
        raise JournalDamaged(
            shard, offset, f"the record is missing (the next is {found}); restore the journal from a backup"
        )
    # Damage can also change the type of a value.
    if isinstance(raw_id, bytes) and isinstance(body, bytes):
        entry_id = raw_id.decode(errors="replace")
        if checksum == _checksum(shard, offset, entry_id, body):
            return Record(offset, entry_id, body)
    raise JournalDamaged(shard, offset, "the record is damaged; restore the journal from a backup")


def _checksum(shard: str, offset: int, entry_id: str, body: bytes) -> int:
    # Place and id are covered too: a good body in the wrong place is damage as well.
    return zlib.crc32(body, zlib.crc32(f"{shard}\n{offset}\n{entry_id}\n".encode()))


def _code(error: sqlite3.Error) -> int:
    """SQLite's plain result code, the low byte of an extended one; 0 for errors of the module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
