"""How long call detail is kept: records past their retention are purged, and counts and digests a month stay.

The digest lets a copy of the records that was kept elsewhere (`router journal export`) be checked; the counts let the
reports of the month be made again without any call.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec.structs import asdict

from router.core import Engine
from router.journal import Journal
from router.service.recovery import organisation_offsets
from router.wire import decode_record

__all__ = ["counts_of", "purge_before"]


async def purge_before(journal: Journal, shard: str, before_ms: int, counts_of: Callable[[str], bytes]) -> int:
    """Purge the records from before a moment that no snapshot needs, a little at a time; returns how many.

    Args:
        journal: Claimed for writing.
        shard: The router's shard.
        before_ms: Records received before this, in milliseconds since the epoch, go.
        counts_of: What was counted in a month, ``2026-11``; kept beside its digest.

    Raises:
        JournalError: The purge could not go on; what was purged before stays so.
    """
    purged = 0
    snapshots = journal.snapshot_offsets(shard)
    if not snapshots:
        return 0
    last = min(snapshots)
    while (first := journal.first_offset(shard)) <= last:
        at_ms = _at_ms(journal, shard, first)
        if at_ms >= before_ms:
            break
        month = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m}"
        end_ms = min(before_ms, _month_end_ms(at_ms))
        offsets = range(first, last + 1)
        through = first - 1 + bisect_left(offsets, end_ms, key=lambda offset: _at_ms(journal, shard, offset))
        counts = counts_of(month)
        keep = organisation_offsets(journal, shard)
        while deleted := journal.purge(shard, through=through, keep=keep, month=month, counts=counts):
            purged += deleted
            await asyncio.sleep(0)
    return purged


def counts_of(engine: Engine, month: str) -> bytes:
    """What *engine* counted in *month*, ``2026-11``, as it is kept beside the month's digest."""
    found = (asdict(each) for each in engine.tallies() if each.month == month)
    # With the names of the fields: whoever reads this in ten years has no code of today.
    return msgspec.json.encode(
        [
            {
                **each,
                "answers": [asdict(place) for place in each["answers"]],
                "owned": [asdict(team) for team in each["owned"]],
            }
            for each in found
        ]
    )


def _at_ms(journal: Journal, shard: str, offset: int) -> int:
    at_ms, _ = decode_record(journal.get(shard, offset).body)
    return at_ms


def _month_end_ms(at_ms: int) -> int:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    year, month = (moment.year, moment.month + 1) if moment.month < 12 else (moment.year + 1, 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
