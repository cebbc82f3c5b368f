"""The journal of a simulated time, as the live service would have written it."""

from typing import Final

from router.core.events import Event
from router.journal import Entry, SqliteJournal
from router.service.decider import Decider
from router.service.recovery import finish_snapshot, write_snapshot
from router.wire import encode_record

__all__ = ["Recorder"]

# A commit waits for the disk.
_RECORDS_PER_COMMIT: Final = 8_192


class Recorder:
    """Writes records in large commits: nobody waits for an "accepted" here."""

    def __init__(self, journal: SqliteJournal, shard: str) -> None:
        self._journal = journal
        self._shard = shard
        self._entries: list[Entry] = []
        self._number = 0
        self.epoch = journal.claim(shard)

    def record(self, at_ms: int, event: Event) -> None:
        self._number += 1
        self._entries.append(Entry(f"s{self._number:09}", encode_record(at_ms, event)))
        if len(self._entries) >= _RECORDS_PER_COMMIT:
            self.commit()

    def commit(self) -> None:
        self._journal.append(self._shard, self._entries)
        self._entries.clear()

    def finish(self, decider: Decider) -> None:
        self.commit()
        self._journal.put_snapshot(self._shard, decider.offset, finish_snapshot(write_snapshot(decider)))
