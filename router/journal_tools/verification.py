"""Is a journal whole, and does it still lead to the states that it led to?

Three questions, each deeper than the one before: is the file sound, is each record what was written, and does a replay
of the records come to the state in each snapshot. It only reads, so a router may be at work meanwhile; what that adds
is not looked at, and what it purges is not missed.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.core import Engine, EventRejected, Limits, Problem
from router.core.events import OrganisationChanged
from router.core.model import OrganisationDescription
from router.journal import JournalDamaged, JournalError, PurgedMonth, Record, SqliteJournal
from router.service.decider import Decider
from router.service.garbage import collecting_seldom
from router.service.recovery import SnapshotError, read_snapshot, state_digest
from router.wire import WireError, decode_record

__all__ = ["Finding", "Month", "SnapshotSeen", "Verification", "iso_time", "months_of", "open_to_read", "verify"]

# Who has lost so many records needs the backup, not the list.
_DAMAGES_TOLD: Final = 20

_ADVICE_SNAPSHOT: Final = (
    "harmless as long as there is an earlier one or all records, which are read instead: the next snapshots replace it"
)
_ADVICE_REPLAY: Final = (
    "another version of the router wrote it, or a faulty one: verify with that version. A router that starts goes on "
    "from the newest snapshot; if calls are routed wrongly, restore a backup"
)


class Finding(StrEnum):
    """What a replay says about a snapshot."""

    FOLLOWS = "follows"
    """The records before it lead to the very state in it."""
    STARTS = "starts"
    """It can be read and the replay starts from it; there is nothing before to compare it with."""
    DIFFERS = "differs"
    """The records before it lead to another state."""
    NOT_COMPARED = "not compared"
    """It can be read, but there was no replay up to it."""
    UNREADABLE = "unreadable"


class Month(Struct, frozen=True, kw_only=True):
    """What is left of the records of a month that were purged."""

    month: str
    first_offset: int
    last_offset: int
    records: int
    digest: str
    """Hexadecimal."""


class SnapshotSeen(Struct, frozen=True, kw_only=True):
    offset: int
    size_bytes: int
    finding: Finding


class Verification(Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong with it."""

    journal: str
    shard: str
    first_offset: int = 1
    last_offset: int = 0
    first_time: str | None = None
    """Of the first record that was read, ISO 8601 in UTC; None: there was none."""
    last_time: str | None = None
    records_checked: int = 0
    records_replayed: int = 0
    purged: tuple[Month, ...] = ()
    """Oldest first."""
    snapshots: tuple[SnapshotSeen, ...] = ()
    """Oldest first."""
    problems: tuple[Problem, ...] = ()

    @property
    def is_sound(self) -> bool:
        return not self.problems


def iso_time(at_ms: int) -> str:
    """``2026-11-23T22:20:23.000Z``."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_to_read(path: Path, shard: str) -> SqliteJournal:
    """Open a journal that must be there and have the shard.

    Raises:
        JournalError: It is not so, or the file cannot be read.
    """
    if not path.exists():
        raise JournalError(f"there is no journal {path}: check journal.file of the settings")
    journal = SqliteJournal(path, read_only=True)
    try:
        shards = journal.shards()
        if shard not in shards:
            known = ", ".join(shards) or "none"
            raise JournalError(f"journal {path} has no shard {shard}, only {known}: check mqtt.shard of the settings")
    except BaseException:
        journal.close()
        raise
    return journal


def months_of(purged: list[PurgedMonth]) -> tuple[Month, ...]:
    return tuple(
        Month(
            month=each.month,
            first_offset=each.first_offset,
            last_offset=each.last_offset,
            records=each.records,
            digest=each.digest.hex(),
        )
        for each in purged
    )


@collecting_seldom()
def verify(
    path: Path, shard: str, *, limits: Limits, on_record: Callable[[int, int], None] = lambda _done, _all: None
) -> Verification:
    """Verify the journal at *path*; never raises because of what is in it.

    Args:
        path: The file.
        shard: The shard whose records are verified.
        limits: For an engine that begins with the first record, as for recovery.
        on_record: Told how many records of how many have been read, for showing progress.
    """
    try:
        journal = open_to_read(path, shard)
    except JournalError as error:
        return Verification(journal=str(path), shard=shard, problems=(Problem(str(path), "", str(error)),))
    with closing(journal):
        verifier = _Verifier(journal, path, shard, limits, on_record)
        try:
            verifier.verify()
        except JournalError as error:
            verifier.add("file", "", str(error))
        return verifier.verification()


class _Verifier:
    """One verification in progress."""

    def __init__(
        self, journal: SqliteJournal, path: Path, shard: str, limits: Limits, on_record: Callable[[int, int], None]
    ) -> None:
        self._journal = journal
        self._path = path
        self._shard = shard
        self._limits = limits
        self._on_record = on_record
        self._problems: list[Problem] = []
        self._purged: tuple[Month, ...] = ()
        self._bodies: dict[int, bytes] = {}
        """Of the snapshots that can be read, by offset, oldest first. A router at work may replace them meanwhile."""
        self._snapshots: dict[int, SnapshotSeen] = {}
        self._digests: dict[int, tuple[str, bytes]] = {}
        """Of state and decisions, of the same snapshots."""
        self._first = self._last = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._checked = self._replayed = 0
        self._replay_from = ""
        """Where the present replay began, for people."""

    def add(self, where: str, field: str, message: str) -> None:
        self._problems.append(Problem(where, field, message))

    def verify(self) -> None:
        """Look at everything.

        Raises:
            JournalError: The file cannot be read any further.
        """
        self._check_file()
        self._read_snapshots()
        self._first, self._last = self._journal.first_offset(self._shard), self._journal.last_offset(self._shard)
        self._check_purged()
        self._check_records()
        self._check_way_back()

    def verification(self) -> Verification:
        return Verification(
            journal=str(self._path),
            shard=self._shard,
            first_offset=self._first,
            last_offset=self._last,
            first_time=None if self._first_ms is None else iso_time(self._first_ms),
            last_time=None if self._last_ms is None else iso_time(self._last_ms),
            records_checked=self._checked,
            records_replayed=self._replayed,
            purged=self._purged,
            snapshots=tuple(self._snapshots.values()),
            problems=tuple(self._problems),
        )

    def _check_file(self) -> None:
        try:
            found = self._journal.check()
        except JournalError as error:
            found = [str(error)]
        for each in found:
            self.add("file", "SQLite's own check", f"{each}; restore the journal from a backup")

    def _check_purged(self) -> None:
        months = self._purged = months_of(self._journal.purged(self._shard))
        expected = 1
        for month in months:
            if month.first_offset != expected or month.records != month.last_offset - month.first_offset + 1:
                self.add(
                    month.month,
                    "purged month",
                    f"it should follow on offset {expected - 1} without a gap; restore the journal from a backup",
                )
            expected = month.last_offset + 1
        # Between two looks, a router at work may have purged on.
        if expected < self._first:
            self.add(
                f"offset {expected}",
                "record",
                f"it and those up to {self._first - 1} are neither there nor purged; restore the journal from a backup",
            )

    # --- Snapshots ---

    def _read_snapshots(self) -> None:
        for offset in sorted(self._journal.snapshot_offsets(self._shard)):
            body = b""
            try:
                body = self._journal.get_snapshot(self._shard, offset)
                decider = read_snapshot(body, self._description_at)
            except Exception as error:  # What no router was in can fail to be read in any way.
                if offset not in self._journal.snapshot_offsets(self._shard):
                    continue  # A router at work has written a newer one meanwhile.
                detail = error.detail if isinstance(error, JournalDamaged) else str(error) or type(error).__name__
                self._see(offset, len(body), Finding.UNREADABLE)
                self.add(f"offset {offset}", "snapshot", f"{detail}; {_ADVICE_SNAPSHOT}")
            else:
                self._bodies[offset] = body
                self._digests[offset] = state_digest(decider), decider.digest
                self._see(offset, len(body), Finding.NOT_COMPARED)

    def _see(self, offset: int, size_bytes: int, finding: Finding) -> None:
        self._snapshots[offset] = SnapshotSeen(offset=offset, size_bytes=size_bytes, finding=finding)

    def _restored(self, offset: int) -> Decider | None:
        """The state to go on from at *offset*; None: there is no snapshot that can be read."""
        body = self._bodies.get(offset)
        if body is None:
            return None
        self._replay_from = f"the snapshot at offset {offset}"
        return read_snapshot(body, self._description_at)

    def _description_at(self, offset: int) -> OrganisationDescription:
        _, event = decode_record(self._journal.get(self._shard, offset).body)
        if not isinstance(event, OrganisationChanged):
            raise SnapshotError(f"the record at offset {offset} is no organisation")
        return event.description

    # --- Records ---

    def _check_records(self) -> None:
        start, damages = self._first, 0
        decider = self._start_at(start - 1)
        while start <= self._last:
            try:
                for record in self._journal.read(self._shard, start):
                    if record.offset > self._last:
                        return
                    self._checked += 1
                    decider = self._replay(decider, record)
                    if record.offset in self._bodies:
                        decider = self._compare(decider, record.offset)
                    start = record.offset + 1
                    self._on_record(start - self._first, self._last - self._first + 1)
                return
            except JournalError as error:
                at = error.offset if isinstance(error, JournalDamaged) else start
                if at < (first := self._journal.first_offset(self._shard)):
                    start = first  # A router at work has purged meanwhile.
                elif isinstance(error, JournalDamaged):
                    self.add(f"offset {at}", "record", error.detail)
                    start = at + 1
                    damages += 1
                    if damages == _DAMAGES_TOLD:
                        self.add(
                            f"offset {start}", "record", "it and those after it were not read: too many are damaged"
                        )
                        return
                else:
                    raise
                decider = self._start_at(start - 1)

    def _start_at(self, offset: int) -> Decider | None:
        decider = self._restored(offset)
        if decider is not None:
            self._find(offset, Finding.STARTS)
        return decider

    def _replay(self, decider: Decider | None, record: Record) -> Decider | None:
        """What *decider* is after the record; None: it cannot be known."""
        where = f"offset {record.offset}"
        try:
            at_ms, event = decode_record(record.body)
        except WireError as error:
            self.add(where, "record", str(error))
            return None
        self._last_ms = at_ms
        if self._first_ms is None:
            self._first_ms = at_ms
        was_diverged = decider is not None and decider.diverged_at is not None
        try:
            if record.offset == 1:
                decider = self._first_decider(event, at_ms)
            elif decider is not None:
                decider.apply(record.offset, at_ms, event)
        except EventRejected:
            pass  # What was refused then is refused again.
        except Exception as error:  # A state that no router was in can fail in any way.
            self.add(where, "replay", f"the replay stops here ({type(error).__name__}: {error}); {_ADVICE_REPLAY}")
            return None
        if decider is None:
            return None
        self._replayed += 1
        if decider.diverged_at is not None and not was_diverged:
            self.add(
                where,
                "replay",
                f"before this, a replay from {self._replay_from} decides otherwise; {_ADVICE_REPLAY}",
            )
        return decider

    def _first_decider(self, event: object, at_ms: int) -> Decider:
        if not isinstance(event, OrganisationChanged):
            raise JournalError("the journal does not begin with an organisation")
        self._replay_from = "the first record"
        engine = Engine(event.description, limits=self._limits)
        return Decider.of_first_record(engine, event.description, 1, at_ms)

    def _compare(self, decider: Decider | None, offset: int) -> Decider | None:
        """Compare the state with that of the snapshot at *offset*; returns with which to go on."""
        if decider is None:
            return self._start_at(offset)
        if decider.diverged_at is not None:
            # That has been said; a router that starts goes on from the snapshot, and so do we.
            return self._restored(offset)
        state, decisions = self._digests[offset]
        differing = [
            what
            for what, differs in (
                ("state", state_digest(decider) != state),
                ("decisions", decider.digest != decisions),
            )
            if differs
        ]
        self._find(offset, Finding.DIFFERS if differing else Finding.FOLLOWS)
        if differing:
            self.add(
                f"offset {offset}",
                "snapshot",
                f"a replay from {self._replay_from} leads to other {' and other '.join(differing)}; {_ADVICE_REPLAY}",
            )
        return decider

    def _find(self, offset: int, finding: Finding) -> None:
        self._see(offset, self._snapshots[offset].size_bytes, finding)

    def _check_way_back(self) -> None:
        """Whether a router could start."""
        if self._snapshots and max(self._snapshots) > self._last:
            self.add(
                f"offset {self._last + 1}",
                "record",
                f"it and those up to the snapshot at offset {max(self._snapshots)} are missing; restore the journal "
                "from a backup",
            )
        if self._first > 1 and not self._bodies:
            self.add(
                "file",
                "snapshots",
                f"none can be read, and the records before offset {self._first} were purged: no router can start with "
                "this journal; restore it from a backup",
            )
