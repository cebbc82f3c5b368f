"""The embedded journal: one SQLite file, for one machine.

SQLite's write-ahead log with ``synchronous=FULL`` makes each `append` durable by one fsync, however many
entries it holds; larger batches are what makes it fast. Every record carries a checksum of its own, because
SQLite has none and disks do return other bytes than they were given.

The file must be on a local disk: the locks that fence a second writer do not hold on network file systems.
"""

import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from router.journal.port import (
    SNAPSHOTS_KEPT,
    Appended,
    Claim,
    Entry,
    JournalDamaged,
    JournalError,
    JournalFenced,
    PurgedMonth,
    Record,
)

__all__ = ["SqliteJournal", "chained_digest"]

FORMAT_VERSION = 2
"""Kept in the file as ``user_version``; raise it with every change of the tables, and add a step to `UPGRADES`."""

# "PRTR": tells a journal from every other SQLite file.
APPLICATION_ID = 0x50525452

# Another writer holds the lock for one transaction, milliseconds; 5 s of it means something is stuck.
LOCK_TIMEOUT_S = 5.0

# Small enough that a reader never keeps the write-ahead log from being folded back for long, large enough
# that the query costs little beside decoding what it returns.
RECORDS_PER_READ = 512

_TABLES_SINCE_2 = """
CREATE TABLE snapshot (
    shard TEXT NOT NULL,
    offset INTEGER NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (shard, offset)
) WITHOUT ROWID;
CREATE TABLE purged_month (
    shard TEXT NOT NULL,
    month TEXT NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    records INTEGER NOT NULL,
    digest BLOB NOT NULL,
    counts BLOB NOT NULL,
    PRIMARY KEY (shard, month)
) WITHOUT ROWID;
"""

# Without a rowid a record is found by its offset in one step; the second index is the memory of ids seen.
SCHEMA = (
    """
CREATE TABLE shard (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    renewals INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,
    first_offset INTEGER NOT NULL DEFAULT 1
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
"""
    + _TABLES_SINCE_2
)

# From the format that is the key to the next. Records have been the same in all of them.
UPGRADES = {
    1: """
ALTER TABLE shard ADD COLUMN renewals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN released INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN first_offset INTEGER NOT NULL DEFAULT 1;
DROP TABLE snapshot;
"""
    + _TABLES_SINCE_2,
}

# One purge deletes so many, some milliseconds' worth: it runs beside calls that wait for the same journal.
RECORDS_PER_PURGE = 256
_NO_DIGEST = bytes(32)

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

# The id as bytes: a damaged one may not be text any more.
_SELECT_RECORDS = "SELECT offset, CAST(entry_id AS BLOB), body, checksum FROM record WHERE shard = ?"


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
        self._format = FORMAT_VERSION
        self._lock = threading.Lock()
        if not read_only:
            self._make_directory()
        self._connection = self._connect(read_only=read_only)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def claim(self, shard: str, *, if_epoch: int | None = None) -> int:
        with self._writing("claim"):
            newest = self._claim_of(shard).epoch
            if if_epoch is not None and newest != if_epoch:
                raise JournalFenced(shard, f"another router has claimed it (epoch {newest}) while this one waited")
            (epoch,) = self._connection.execute(
                "INSERT INTO shard (name, epoch) VALUES (?, 1)"
                " ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1, renewals = 0, released = 0 RETURNING epoch",
                (shard,),
            ).fetchone()
        self._epochs[shard] = epoch
        return int(epoch)

    def renew(self, shard: str) -> None:
        with self._writing("renew the claim"):
            self._check_epoch(shard)
            self._connection.execute("UPDATE shard SET renewals = renewals + 1 WHERE name = ?", (shard,))

    def release(self, shard: str) -> None:
        with suppress(JournalFenced), self._writing("release the claim"):
            self._check_epoch(shard)
            self._connection.execute("UPDATE shard SET released = 1 WHERE name = ?", (shard,))

    def claim_of(self, shard: str) -> Claim:
        with self._lock, self._translating(f"read the claim of shard {shard}"):
            return self._claim_of(shard)

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
                rows += (shard, next_offset, entry_id, body, _checksum(shard, next_offset, entry_id.encode(), body))
                next_offset += 1
            for start in range(0, len(rows), _ROW_WIDTH * ROWS_PER_INSERT):
                self._insert(rows[start : start + _ROW_WIDTH * ROWS_PER_INSERT])
        return appended

    def _insert(self, rows: list[object]) -> None:
        places = ", ".join(["(?, ?, ?, ?, ?)"] * (len(rows) // _ROW_WIDTH))
        self._connection.execute(f"INSERT INTO record VALUES {places}", rows)

    def read(self, shard: str, from_offset: int = 1) -> Iterator[Record]:
        offset = from_offset
        first_offset = self.first_offset(shard)
        if from_offset < first_offset:
            raise JournalError(
                f"journal {self._path}: shard {shard} has no records before offset {first_offset} any more;"
                " they were purged after their retention"
            )
        with self._translating(f"read shard {shard}"), closing(self._connect(read_only=True)) as connection:
            while True:
                # Rows are taken in portions, each its own transaction: a reader that held one for as long as
                # a replay takes would make the write-ahead log grow all the while.
                rows = self._portion(connection, shard, offset)
                yield from _checked(shard, offset, rows)
                offset += len(rows)
                if len(rows) < RECORDS_PER_READ:
                    return

    def get(self, shard: str, offset: int) -> Record:
        with self._lock, self._translating(f"read shard {shard}"):
            rows = self._connection.execute(f"{_SELECT_RECORDS} AND offset = ?", (shard, offset)).fetchall()
        if not rows:
            raise JournalDamaged(shard, offset, "the record is missing; restore the journal from a backup")
        return next(_checked(shard, offset, rows))

    def first_offset(self, shard: str) -> int:
        with self._lock, self._translating(f"read shard {shard}"):
            return self._first_offset(shard)

    def last_offset(self, shard: str) -> int:
        with self._lock, self._translating(f"read shard {shard}"):
            return self._last_offset(shard)

    def put_snapshot(self, shard: str, offset: int, body: bytes) -> None:
        with self._writing("put_snapshot"):
            self._check_epoch(shard)
            last_offset = self._last_offset(shard)
            if not 0 < offset <= last_offset:
                raise ValueError(f"a snapshot at offset {offset} of shard {shard}, whose last is {last_offset}")
            self._connection.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
                (shard, offset, body, _checksum(shard, offset, b"snapshot", body)),
            )
            self._connection.execute(
                "DELETE FROM snapshot WHERE shard = ?1 AND offset NOT IN"
                " (SELECT offset FROM snapshot WHERE shard = ?1 ORDER BY offset DESC LIMIT ?2)",
                (shard, SNAPSHOTS_KEPT),
            )

    def snapshot_offsets(self, shard: str) -> list[int]:
        with self._lock, self._translating(f"read the snapshots of shard {shard}"):
            return self._snapshot_offsets(shard)

    def get_snapshot(self, shard: str, offset: int) -> bytes:
        with self._lock, self._translating(f"read the snapshot of shard {shard}"):
            row = self._connection.execute(
                "SELECT body, checksum FROM snapshot WHERE shard = ? AND offset = ?", (shard, offset)
            ).fetchone()
        body, checksum = row or (None, 0)
        if not isinstance(body, bytes) or checksum != _checksum(shard, offset, b"snapshot", body):
            raise JournalDamaged(shard, offset, "the snapshot is damaged or missing")
        return body

    def purge(self, shard: str, *, through: int, keep: Sequence[int], month: str, counts: bytes) -> int:
        with self._writing("purge"):
            self._check_epoch(shard)
            oldest = min(self._snapshot_offsets(shard), default=0)
            if through > oldest:
                raise ValueError(
                    f"a purge through offset {through} of shard {shard}, whose oldest snapshot is {oldest}"
                )
            first = self._first_offset(shard)
            rows = self._portion(self._connection, shard, first, min(RECORDS_PER_PURGE, through - first + 1))
            if not rows:
                return 0
            # Checked as they go: a digest over damaged records would vouch for them.
            records = list(_checked(shard, first, rows))
            last = records[-1].offset
            self._connection.execute(
                "DELETE FROM record WHERE shard = ? AND offset BETWEEN ? AND ?"
                " AND offset NOT IN (SELECT value FROM json_each(?))",
                (shard, first, last, json.dumps(list(keep))),
            )
            # What an earlier purge passed over and nobody needs any more.
            self._connection.execute(
                "DELETE FROM record WHERE shard = ? AND offset < ? AND offset NOT IN (SELECT value FROM json_each(?))",
                (shard, first, json.dumps(list(keep))),
            )
            self._connection.execute("UPDATE shard SET first_offset = ? WHERE name = ?", (last + 1, shard))
            newest = self._connection.execute(
                "SELECT digest FROM purged_month WHERE shard = ? ORDER BY last_offset DESC LIMIT 1", (shard,)
            ).fetchone()
            digest = chained_digest(newest[0] if newest else _NO_DIGEST, records)
            self._connection.execute(
                "INSERT INTO purged_month VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (shard, month) DO UPDATE SET"
                " last_offset = excluded.last_offset, records = records + excluded.records,"
                " digest = excluded.digest, counts = excluded.counts",
                (shard, month, first, last, len(records), digest, counts),
            )
        return len(records)

    def purged(self, shard: str) -> list[PurgedMonth]:
        with self._lock, self._translating(f"read shard {shard}"):
            if self._format < 2:
                return []
            rows = self._connection.execute(
                "SELECT month, first_offset, last_offset, records, digest, counts FROM purged_month"
                " WHERE shard = ? ORDER BY last_offset",
                (shard,),
            )
            return [PurgedMonth(*row) for row in rows]

    def compact(self) -> None:
        """Give the space of purged records back to the file system. Needs as much room again while it runs.

        Raises:
            JournalError: It was not compacted; the journal is as it was.
        """
        if self._read_only:
            raise JournalError(f"journal {self._path}: compact: it was opened for reading only")
        with self._lock, self._translating("compact"):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty: nothing. Reads all of it.

        Raises:
            JournalError: It cannot be read.
        """
        with self._lock, self._translating("check"):
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def shards(self) -> list[str]:
        """The names of all shards that have been claimed, sorted."""
        with self._lock, self._translating("read"):
            return [str(row[0]) for row in self._connection.execute("SELECT name FROM shard ORDER BY name")]

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
        """Check that the file is a journal we can read; make it one if it is new, and of our format if it is older."""
        if self._is_new():
            if self._read_only:
                raise JournalError(f"journal {self._path}: it is empty; name another file")
            with self._translating("create"):
                self._create()
        if not self._read_only:
            with self._translating("open"):
                self._connection.execute("PRAGMA synchronous = FULL")
            with self._translating("upgrade"):
                self._upgrade()
        self._format = self._version()

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _upgrade(self) -> None:
        if self._version() == FORMAT_VERSION:
            return
        with self._transaction():
            # Asked again under the lock: another process may have been first.
            while (version := self._version()) < FORMAT_VERSION:
                for statement in UPGRADES[version].split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {version + 1}")

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

    def _claim_of(self, shard: str) -> Claim:
        if self._format < 2:
            row = self._connection.execute("SELECT epoch, 0, 0 FROM shard WHERE name = ?", (shard,)).fetchone()
        else:
            row = self._connection.execute(
                "SELECT epoch, renewals, released FROM shard WHERE name = ?", (shard,)
            ).fetchone()
        return Claim(0, 0, released=True) if row is None else Claim(row[0], row[1], bool(row[2]))

    def _first_offset(self, shard: str) -> int:
        if self._format < 2:
            return 1
        row = self._connection.execute("SELECT first_offset FROM shard WHERE name = ?", (shard,)).fetchone()
        return 1 if row is None else int(row[0])

    def _last_offset(self, shard: str) -> int:
        (offset,) = self._connection.execute(
            "SELECT coalesce(max(offset), 0) FROM record WHERE shard = ?", (shard,)
        ).fetchone()
        # All may have been purged.
        return max(int(offset), self._first_offset(shard) - 1)

    def _snapshot_offsets(self, shard: str) -> list[int]:
        rows = self._connection.execute("SELECT offset FROM snapshot WHERE shard = ? ORDER BY offset DESC", (shard,))
        return [int(offset) for (offset,) in rows]

    def _portion(
        self, connection: sqlite3.Connection, shard: str, offset: int, records_max: int = RECORDS_PER_READ
    ) -> list[_Row]:
        try:
            return connection.execute(
                f"{_SELECT_RECORDS} AND offset >= ? ORDER BY offset LIMIT ?", (shard, offset, max(0, records_max))
            ).fetchall()
        except sqlite3.DatabaseError as error:
            if _code(error) != sqlite3.SQLITE_CORRUPT:
                raise
            raise JournalDamaged(
                shard, offset, f"the file is damaged; restore the journal from a backup ({error})"
            ) from error


def chained_digest(before: bytes, records: Sequence[Record]) -> bytes:
    """The digest of a chain of records that follows on one whose digest was *before*."""
    digest = before
    for offset, entry_id, body in records:
        digest = hashlib.sha256(b"%b%d\n%b\n%b" % (digest, offset, entry_id.encode(), body)).digest()
    return digest


def _checked(shard: str, offset: int, rows: Iterable[_Row]) -> Iterator[Record]:
    """The records from *offset* on, without a gap."""
    # The shard's part of `_checksum` once for all: a recovery reads a hundred thousand.
    begun = zlib.crc32(b"%b\n" % shard.encode())
    for here, (found, raw_id, body, checksum) in enumerate(rows, offset):
        if found != here:
            raise JournalDamaged(
                shard, here, f"the record is missing (the next is {found}); restore the journal from a backup"
            )
        # Damage can also change the type of a value, and leave an id that is not text any more.
        is_whole = isinstance(raw_id, bytes) and isinstance(body, bytes)
        if not is_whole or checksum != zlib.crc32(body, zlib.crc32(b"%d\n%b\n" % (here, raw_id), begun)):
            raise JournalDamaged(shard, here, "the record is damaged; restore the journal from a backup")
        yield Record(here, raw_id.decode(), body)


def _checksum(shard: str, offset: int, entry_id: bytes, body: bytes) -> int:
    # Place and id are covered too: a good body in the wrong place is damage as well.
    return zlib.crc32(body, zlib.crc32(b"%b\n%d\n%b\n" % (shard.encode(), offset, entry_id)))


def _code(error: sqlite3.Error) -> int:
    """SQLite's plain result code, the low byte of an extended one; 0 for errors of the module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
