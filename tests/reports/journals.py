"""Journals as a router leaves them: records alone, with snapshots, and with old records purged."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from router.core import Limits
from router.core.events import Event
from router.journal import Entry, SqliteJournal
from router.service.recovery import finish_snapshot, recover, write_snapshot
from router.service.retention import counts_of, purge_before
from router.wire import encode_record

Events = Sequence[tuple[int, Event]]


def write_journal(path: Path, events: Events) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.append(
            "main", [Entry(f"e{number:04}", encode_record(*each)) for number, each in enumerate(events, start=1)]
        )
        journal.release("main")


def snapshot(path: Path, events: Events, *, last: int | None = None) -> None:
    """Keep the state after the record at *last*, as a router would have; None: after all *events* of the journal."""
    last = len(events) if last is None else last
    part = path.with_name("part.db")
    write_journal(part, events[:last])
    with closing(SqliteJournal(part)) as journal:
        decider = recover(journal, "main", limits=Limits())
    assert decider is not None
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.put_snapshot("main", last, finish_snapshot(write_snapshot(decider)))
        journal.release("main")
    part.unlink()


def purge(path: Path, before_ms: int) -> int:
    """Purge what is from before a moment, as a router would; returns how many records."""
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        decider = recover(journal, "main", limits=Limits())
        assert decider is not None
        engine = decider.engine
        purged = asyncio.run(purge_before(journal, "main", before_ms, lambda month: counts_of(engine, month)))
        journal.release("main")
    return purged
