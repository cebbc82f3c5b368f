"""What a journal is: a log per shard that grows at its end, and a claim that lets one router at a time write to it.

The router tells nobody "accepted" before the journal has an event, and after a stop it reads the journal to
become again what it was: the newest snapshot, and the records after it. Old records may be purged; what stays of
them is a digest a month. An adapter keeps every promise made here, whatever it stores the records in.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from router.core.errors import RouterError

__all__ = [
    "SNAPSHOTS_KEPT", "Appended", "Claim", "Entry", "Journal", "JournalDamaged", "JournalError", "JournalFenced",
    "PurgedMonth", "Record",
]  # fmt: skip

SNAPSHOTS_KEPT = 2
"""The newest, and the one before for when the newest is damaged."""


class JournalError(RouterError):
    """The journal cannot do what it was asked. Nothing was half-written; the message says what to do."""


class JournalFenced(JournalError):
    """Another router has claimed the shard since. This one must stop: it no longer speaks for the shard."""

    def __init__(self, shard: str, detail: str) -> None:
        super().__init__(f"shard {shard}: {detail}")
        self.shard = shard


class JournalDamaged(JournalError):
    """What is stored is not what was written. Nothing from ``offset`` onwards can be trusted."""

    def __init__(self, shard: str, offset: int, detail: str) -> None:
        super().__init__(f"shard {shard}, offset {offset}: {detail}")
        self.shard = shard
        self.offset = offset
        self.detail = detail


class Entry(NamedTuple):
    """Something to append. ``entry_id`` is its sender's; sending it again does no harm.

    Ids that sort by time, such as UUIDv7 or a prefix and a counter, keep the memory of ids seen in few places
    and are several times cheaper to append than random ones.
    """

    entry_id: str
    body: bytes


class Appended(NamedTuple):
    """Where an entry stands: at its first offset, also when it is a duplicate."""

    offset: int
    duplicate: bool


class Record(NamedTuple):
    """One entry as it is stored."""

    offset: int
    entry_id: str
    body: bytes


class Claim(NamedTuple):
    """Who may write to a shard, as others see it."""

    epoch: int
    """Of the newest claim; 0: there has been none."""
    renewals: int
    """How often it has been renewed: a number that stands still belongs to a router that is gone or stuck."""
    released: bool
    """Its holder has stopped of its own accord."""


class PurgedMonth(NamedTuple):
    """What is left of the records of one month that were purged."""

    month: str
    """``2026-11``, of UTC."""
    first_offset: int
    last_offset: int
    records: int
    digest: bytes
    """SHA-256 over the purged records, chained from month to month: proves that a copy kept elsewhere is whole."""
    counts: bytes
    """What the router counted of the month, in its own words; see `router.service.retention`."""


class Journal(Protocol):
    """A log per shard. Offsets of a shard are 1, 2, 3, ... without gaps; 0 stands for "nothing yet"."""

    def claim(self, shard: str, *, if_epoch: int | None = None) -> int:
        """Become the one writer of *shard* and fence whoever was before.

        Reading needs no claim.

        Args:
            shard: The shard.
            if_epoch: Claim only if this is still the epoch of the newest claim (0: there is none).

        Returns:
            The epoch of this claim, from 1, larger than that of every earlier claim of the shard.

        Raises:
            JournalFenced: Another router has claimed the shard since *if_epoch*.
            JournalError: The claim could not be stored.
        """
        ...

    def renew(self, shard: str) -> None:
        """Show those who look at `claim_of` that the claim is alive.

        Raises:
            JournalFenced: As for `append`.
            JournalError: It could not be stored.
        """
        ...

    def release(self, shard: str) -> None:
        """Say that nothing more will be written under this claim. Harmless without a claim, or when fenced.

        Raises:
            JournalError: It could not be stored.
        """
        ...

    def claim_of(self, shard: str) -> Claim:
        """Who may write to *shard* at present."""
        ...

    def append(self, shard: str, entries: Sequence[Entry]) -> list[Appended]:
        """Store *entries* in their order, all or none; durable on return.

        An entry whose id the shard has seen before, even earlier in *entries*, is not stored again.

        Returns:
            Where each entry stands, in the order of *entries*.

        Raises:
            JournalFenced: This journal has not claimed the shard, or another one has claimed it since.
            JournalError: Nothing was stored.
        """
        ...

    def read(self, shard: str, from_offset: int = 1) -> Iterator[Record]:
        """Read *shard* from *from_offset* (at least 1) to its end, in order, never all at once in memory.

        Records appended meanwhile are read too, until the reader has caught up.

        Raises:
            JournalDamaged: On reaching a record that is missing or not what was written.
            JournalError: The journal cannot be read, or *from_offset* has been purged.
        """
        ...

    def get(self, shard: str, offset: int) -> Record:
        """The record at *offset*, which may be one that a purge has kept.

        Raises:
            JournalDamaged: It is missing or not what was written.
            JournalError: The journal cannot be read.
        """
        ...

    def first_offset(self, shard: str) -> int:
        """The offset from which *shard* has every record; 1 unless older ones were purged."""
        ...

    def last_offset(self, shard: str) -> int:
        """The offset of the newest record of *shard*; 0 when it has none."""
        ...

    def put_snapshot(self, shard: str, offset: int, body: bytes) -> None:
        """Keep *body*, the state after the record at *offset*. The newest `SNAPSHOTS_KEPT` are kept.

        Raises:
            JournalFenced: As for `append`.
            ValueError: The shard has no record at *offset*.
            JournalError: The snapshots before are still there.
        """
        ...

    def snapshot_offsets(self, shard: str) -> list[int]:
        """The offsets of the snapshots that are kept, newest first."""
        ...

    def get_snapshot(self, shard: str, offset: int) -> bytes:
        """The body of the snapshot at *offset*, one of `snapshot_offsets`.

        Raises:
            JournalDamaged: It is not what was written. An earlier one, or all records, lead to the same state.
            JournalError: The journal cannot be read.
        """
        ...

    def purge(self, shard: str, *, through: int, keep: Sequence[int], month: str, counts: bytes) -> int:
        """Delete some hundred of the oldest records, none after the offset *through*, and none of *keep*.

        Their digest goes into that of *month*, beside *counts*, in the same commit. Call it until it returns 0.

        Args:
            shard: The shard.
            through: The last offset that may go; never beyond the oldest snapshot.
            keep: Offsets of records that snapshots need, such as the organisation in force.
            month: To which these records belong, ``2026-11``.
            counts: Kept with the month, in place of those before.

        Returns:
            How many records were deleted or passed over; 0: there are no more.

        Raises:
            JournalFenced: As for `append`.
            ValueError: *through* lies beyond the oldest snapshot.
            JournalError: Nothing was deleted.
        """
        ...

    def purged(self, shard: str) -> list[PurgedMonth]:
        """What is left of purged records, oldest month first."""
        ...

    def close(self) -> None:
        """Let go of the file or connection. Closing twice does no harm."""
        ...
