"""The real SQLite journal on a disk that loses power, fills up, and kills the router at the worst moments."""

import random
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from router.journal import Appended, Claim, Entry, JournalError, PurgedMonth, Record, SqliteJournal
from tests.faults.loop import Killed

__all__ = ["Disk", "FaultyJournal", "Strike"]

_SECTOR = 512
_PAGES_MAX = 1_073_741_823


class Strike(StrEnum):
    """When a router is to be killed."""

    BEFORE_APPEND = "before an append"
    IN_APPEND = "in an append, with half of it on the disk"
    AFTER_APPEND = "after an append"
    AT_PUBLISH = "between two publishes"
    AT_ACKNOWLEDGE = "before an acknowledgement"


class Disk:
    """One journal's files."""

    def __init__(self, file: Path, rng: random.Random) -> None:
        self.file = file
        self._random = rng
        self.is_full = False
        self.opened: list[FaultyJournal] = []

    @property
    def _wal(self) -> Path:
        return self.file.with_name(f"{self.file.name}-wal")

    def open(self, on_append: Callable[["FaultyJournal"], Strike | None]) -> "FaultyJournal":
        journal = FaultyJournal(SqliteJournal(self.file), self, on_append)
        self.opened.append(journal)
        self._apply_fullness(journal)
        return journal

    def fill(self, is_full: bool) -> None:
        self.is_full = is_full
        for journal in self.opened:
            self._apply_fullness(journal)

    def images(self) -> dict[Path, bytes]:
        return {file: file.read_bytes() if file.exists() else b"" for file in (self.file, self._wal)}

    def tear(self, before: dict[Path, bytes], after: dict[Path, bytes]) -> None:
        """Power fails before a sync: each sector written since may be there, or not, and shared memory is gone."""
        assert not self.opened, "somebody still has the file open"
        if before[self.file] != after[self.file]:
            # The log was folded back into the file meanwhile, for which it was synced: nothing of it is torn.
            torn = after[self._wal]
        else:
            torn = self._mixture(before[self._wal], after[self._wal])
        self.file.write_bytes(after[self.file])
        self._wal.write_bytes(torn)
        self.file.with_name(f"{self.file.name}-shm").unlink(missing_ok=True)

    def _mixture(self, before: bytes, after: bytes) -> bytes:
        mixed = bytearray(after)
        for start in range(0, len(after), _SECTOR):
            end = start + _SECTOR
            if before[start:end] != after[start:end] and self._random.random() < 0.5:
                mixed[start:end] = before[start:end].ljust(len(after[start:end]), b"\0")
        # The file may have grown less far, too.
        if len(after) > len(before):
            del mixed[self._random.randint(len(before), len(after)) :]
        return bytes(mixed)

    def _apply_fullness(self, journal: "FaultyJournal") -> None:
        connection = journal.inner._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages if self.is_full else _PAGES_MAX}")


class FaultyJournal:
    """A `Journal` through which a router can be killed."""

    def __init__(self, inner: SqliteJournal, disk: Disk, on_append: Callable[["FaultyJournal"], Strike | None]) -> None:
        self.inner = inner
        self._disk = disk
        self._on_append = on_append
        self._torn: tuple[dict[Path, bytes], dict[Path, bytes]] | None = None
        self.is_dead = False

    def power_off(self) -> None:
        """Nothing more is read or written by this process."""
        if self.is_dead:
            return
        self.is_dead = True
        self._disk.opened.remove(self)
        self.inner.close()
        if self._torn is not None:
            self._disk.tear(*self._torn)

    def append(self, shard: str, entries: Sequence[Entry]) -> list[Appended]:
        self._check_alive()
        strike = self._on_append(self)
        if strike is Strike.BEFORE_APPEND:
            raise Killed
        before = self._disk.images() if strike is Strike.IN_APPEND else {}
        appended = self.inner.append(shard, entries)
        if strike is Strike.IN_APPEND:
            # While another router has the file open, only processes die here, not the power.
            if len(self._disk.opened) == 1:
                self._torn = before, self._disk.images()
            raise Killed
        if strike is Strike.AFTER_APPEND:
            raise Killed
        return appended

    def claim(self, shard: str, *, if_epoch: int | None = None) -> int:
        self._check_alive()
        return self.inner.claim(shard, if_epoch=if_epoch)

    def renew(self, shard: str) -> None:
        self._check_alive()
        self.inner.renew(shard)

    def release(self, shard: str) -> None:
        self._check_alive()
        self.inner.release(shard)

    def claim_of(self, shard: str) -> Claim:
        self._check_alive()
        return self.inner.claim_of(shard)

    def read(self, shard: str, from_offset: int = 1) -> Iterator[Record]:
        self._check_alive()
        return self.inner.read(shard, from_offset)

    def get(self, shard: str, offset: int) -> Record:
        self._check_alive()
        return self.inner.get(shard, offset)

    def first_offset(self, shard: str) -> int:
        self._check_alive()
        return self.inner.first_offset(shard)

    def last_offset(self, shard: str) -> int:
        self._check_alive()
        return self.inner.last_offset(shard)

    def put_snapshot(self, shard: str, offset: int, body: bytes) -> None:
        self._check_alive()
        self.inner.put_snapshot(shard, offset, body)

    def snapshot_offsets(self, shard: str) -> list[int]:
        self._check_alive()
        return self.inner.snapshot_offsets(shard)

    def get_snapshot(self, shard: str, offset: int) -> bytes:
        self._check_alive()
        return self.inner.get_snapshot(shard, offset)

    def purge(self, shard: str, *, through: int, keep: Sequence[int], month: str, counts: bytes) -> int:
        self._check_alive()
        return self.inner.purge(shard, through=through, keep=keep, month=month, counts=counts)

    def purged(self, shard: str) -> list[PurgedMonth]:
        self._check_alive()
        return self.inner.purged(shard)

    def close(self) -> None:
        self.power_off()

    def _check_alive(self) -> None:
        if self.is_dead:
            raise JournalError("the process is dead")
