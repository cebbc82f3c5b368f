"""What a journal is: a log per shard that only grows, and a claim that lets one router at a time write to it.

The router tells nobody "accepted" before the journal has an event, and after a stop it reads the journal to
become again what it was. An adapter keeps every promise made here, whatever it stores the records in.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from router.core.errors import RouterError

__all__ = ["Appended", "Entry", "Journal", "JournalDamaged", "JournalError", "JournalFenced", "Record"]


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


class Journal(Protocol):
    """A log per shard. Offsets of a shard are 1, 2, 3, ... without gaps; 0 stands for "nothing yet"."""

    def claim(self, shard: str) -> int:
        """Become the one writer of *shard* and fence whoever was before.

        Reading needs no claim.

        Returns:
            The epoch of this claim, from 1, larger than that of every earlier claim of the shard.

        Raises:
            JournalError: The claim could not be stored.
        """
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
            JournalError: The journal cannot be read.
        """
        ...

    def last_offset(self, shard: str) -> int:
        """The offset of the newest record of *shard*; 0 when it has none."""
        ...

    def put_snapshot(self, shard: str, offset: int, body: bytes) -> None:
        """Keep *body*, the state after the record at *offset*, in place of the snapshot before.

        Raises:
            JournalFenced: As for `append`.
            ValueError: The shard has no record at *offset* (0 is the state before the first).
            JournalError: The snapshot before is still there.
        """
        ...

    def get_snapshot(self, shard: str) -> tuple[int, bytes] | None:
        """The offset and body of the snapshot; None when there is none.

        Raises:
            JournalDamaged: It is not what was written. Reading from offset 1 leads to the same state.
            JournalError: The journal cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of the file or connection. Closing twice does no harm."""
        ...
