"""Purging and compacting a journal while no router is at work on it.

A router purges by itself, but what it purges stays a part of the file, to be used again. Giving it back to the file
system takes a while during which nothing can be appended, which is why no router does it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from router.core import Limits
from router.journal import JournalDamaged, JournalError, SqliteJournal
from router.journal_tools.verification import open_to_read
from router.service.recovery import SnapshotError, finish_snapshot, recover, write_snapshot
from router.service.retention import counts_of, purge_before

__all__ = ["Compaction", "compact"]

# A router at work renews its claim every second.
_SILENCE_S: Final = 3.0
_LOOK_EVERY_S: Final = 0.1
_RENEW_EVERY_S: Final = 1.0
_DAY_MS: Final = 86_400_000


class Compaction(NamedTuple):
    snapshot_offset: int | None
    """Of the snapshot that was written; None: the newest was up to date."""
    purged: int
    """Records."""
    before_bytes: int
    after_bytes: int


def compact(
    path: Path,
    shard: str,
    *,
    limits: Limits,
    retention_days: float | None,
    now_ms: int,
    on_record: Callable[[int], None] = lambda _: None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Compaction:
    """Write a snapshot, purge what is older than the retention, and give the room back to the file system.

    Each step is done or not done; when one fails, the journal is whole and what was done before stays so.

    Args:
        path: The journal.
        shard: The shard.
        limits: For an engine that begins with the first record, as for recovery.
        retention_days: Records older than this are purged; None: none are.
        now_ms: The present, in milliseconds since the epoch.
        on_record: See `recover`.
        on_step: Told what is done now, for people.

    Raises:
        JournalError: A router is at work, or the journal cannot be read or written.
        WireError: A record cannot be read.
    """
    # Read at first: opening for writing may bring the file up to date, which an older router could not read.
    on_step("looking whether a router is at work")
    with closing(open_to_read(path, shard)) as journal:
        epoch = _idle_epoch(journal, shard)
    before_bytes = _size_of(path)
    with closing(SqliteJournal(path)) as journal:
        journal.claim(shard, if_epoch=epoch)
        try:
            snapshot_offset, purged = _purged(journal, shard, limits, retention_days, now_ms, on_record, on_step)
            on_step("compacting")
            journal.compact()
        finally:
            journal.release(shard)
    return Compaction(snapshot_offset, purged, before_bytes, _size_of(path))


def _idle_epoch(journal: SqliteJournal, shard: str) -> int:
    """The epoch to claim on, once it is sure that nobody renews the claim.

    Raises:
        JournalError: Somebody does.
    """
    seen = journal.claim_of(shard)
    until_s = time.monotonic() + _SILENCE_S
    claim = seen
    while not claim.released and time.monotonic() < until_s:
        time.sleep(_LOOK_EVERY_S)
        claim = journal.claim_of(shard)
        if claim != seen and not claim.released:
            raise JournalError(
                f"a router is at work on shard {shard} of this journal: stop it first; nothing was changed"
            )
    return claim.epoch


def _purged(
    journal: SqliteJournal,
    shard: str,
    limits: Limits,
    retention_days: float | None,
    now_ms: int,
    on_record: Callable[[int], None],
    on_step: Callable[[str], None],
) -> tuple[int | None, int]:
    """The offset of the snapshot that was written, and how many records were purged."""
    renewed_s = time.monotonic()

    def keep_claim() -> None:
        # A standby must not take over in the middle.
        nonlocal renewed_s
        if time.monotonic() - renewed_s >= _RENEW_EVERY_S:
            journal.renew(shard)
            renewed_s = time.monotonic()

    has_read = False  # Records that the newest snapshot lacks, or all because it cannot be read.

    def on_read(offset: int) -> None:
        nonlocal has_read
        has_read = True
        keep_claim()
        on_record(offset)

    if retention_days is None:
        return None, 0
    on_step("reading records")
    decider = recover(journal, shard, limits=limits, on_record=on_read)
    if decider is None:
        return None, 0
    if decider.diverged_at is not None:
        raise JournalError(
            f"from offset {decider.diverged_at} on, this version of the router decides otherwise than the one that "
            "wrote the journal: start and stop the router once, then compact; nothing was changed"
        )
    snapshot_offset = None
    if has_read:
        on_step("writing a snapshot")
        snapshot_offset = decider.offset
        journal.put_snapshot(shard, snapshot_offset, finish_snapshot(write_snapshot(decider), keep_claim))
    on_step("purging")
    before_ms = now_ms - round(retention_days * _DAY_MS)

    def counts(month: str) -> bytes:
        keep_claim()
        return counts_of(decider.engine, month)

    try:
        return snapshot_offset, asyncio.run(purge_before(journal, shard, before_ms, counts))
    except (JournalDamaged, SnapshotError) as error:
        raise JournalError(
            f"{error}; so it was not purged on, and not compacted: router journal verify says what to do"
        ) from error


def _size_of(path: Path) -> int:
    """Of the file and its write-ahead log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
