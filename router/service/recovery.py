"""How a router becomes again what it was: the newest snapshot of its state, then the journal's records after it.

A snapshot is written while calls are routed. What may still change is copied at once; past calls and what the last
records led to no longer change, and are written out in slices between which the router goes on.

The organisation is not in it: the journal keeps the record of the one in force.
"""

import hashlib
import logging
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar, Union

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from router.core import Engine, EventRejected, Limits, Rejection, RouterError
from router.core.decisions import Decision
from router.core.events import OrganisationChanged
from router.core.model import OrganisationDescription
from router.core.snapshot import EngineState, PastCalls
from router.journal import Journal, JournalError, Record
from router.service.decider import Decided, Decider, Outcome, Position
from router.service.garbage import collecting_seldom
from router.wire import OUTPUT_TYPES, DecisionId, decode_record

__all__ = [
    "SnapshotError",
    "finish_snapshot",
    "organisation_offsets",
    "read_snapshot",
    "recover",
    "state_digest",
    "write_snapshot",
]

logger = logging.getLogger(__name__)

SNAPSHOT_FORMAT: Final = 4
"""The first byte of a snapshot. Raise it with every change of what is in one. A router falls back on records, but only
while none were purged: after the first release, a new format needs a reader of the one before."""

# So many past calls, or outcomes, are written between two looks at the inbox: some milliseconds.
_SLICE: Final = 128
# A state of 500 agents and 10,000 past calls is some 130,000 objects, and 100,000 records add 8,000 to them: to look
# for garbage among these would take a twentieth of the recovery, and find none.
_OBJECTS_PER_COLLECTION: Final = 1_000_000
# Some milliseconds' worth of a start; few enough that versions of a large organisation do not come together.
_PORTION: Final = 128
_LENGTH = struct.Struct(">I")
# The fastest level takes a third of the time of the usual one and gets within a tenth of its size.
_COMPRESSION: Final = 1


class SnapshotError(RouterError):
    """A snapshot that this version cannot read, or that does not fit the journal it is in."""


class _Head(Struct, frozen=True, array_like=True):
    position: Position
    past_parts: int
    outcome_parts: int


_DecisionStruct: Any = Union[tuple(each for each in OUTPUT_TYPES.values() if issubclass(each, Decision))]  # noqa: UP007 - of a list
_Rejected = tuple[Rejection, str] | None
_OutcomeState = tuple[int, tuple[tuple[tuple[int, int, int], _DecisionStruct], ...], _Rejected]
_OutcomeStates = tuple[_OutcomeState, ...]

_T = TypeVar("_T")


def write_snapshot(decider: Decider) -> Generator[None, None, bytes]:
    """Write out where *decider* stands.

    Yields:
        After each slice of work. All that may change is copied before the first.

    Returns:
        The snapshot's body, for `Journal.put_snapshot` at the offset at which the decider stood in the beginning.
    """
    position, outcomes = decider.position, decider.outcomes()
    state, past = decider.engine.state_in_parts(part_calls=_SLICE)
    yield
    encoder = Encoder()
    frames = [encoder.encode(state)]
    yield
    for part in past:
        frames.append(encoder.encode(part))
        yield
    past_parts = len(frames) - 1
    for start in range(0, len(outcomes), _SLICE):
        frames.append(encoder.encode(tuple(_outcome_state(*each) for each in outcomes[start : start + _SLICE])))
        yield
    head = encoder.encode(_Head(position, past_parts, len(frames) - 1 - past_parts))
    compressor = zlib.compressobj(_COMPRESSION)
    body = [bytes([SNAPSHOT_FORMAT])]
    for frame in (head, *frames):
        body.append(compressor.compress(_LENGTH.pack(len(frame)) + frame))
        yield
    body.append(compressor.flush())
    return b"".join(body)


def finish_snapshot(steps: Generator[None, None, bytes], on_step: Callable[[], None] = lambda: None) -> bytes:
    """Take all *steps* of `write_snapshot` at once, telling *on_step* after each; returns the body."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            body: bytes = done.value
            return body
        on_step()


def read_snapshot(body: bytes, description_at: Callable[[int], OrganisationDescription]) -> Decider:
    """The decider that a snapshot was written of.

    Args:
        body: What `write_snapshot` returned.
        description_at: The organisation in the record at this offset.

    Raises:
        SnapshotError: It cannot be read.
    """
    if body[:1] != bytes([SNAPSHOT_FORMAT]):
        raise SnapshotError(f"the snapshot is of format {body[:1].hex()}, which this version of the router cannot read")
    try:
        frames = _frames(zlib.decompress(memoryview(body)[1:]))
        head = _decode(next(frames), _Head)
        description = description_at(head.position.organisation_offset)
        state = _decode(next(frames), EngineState)
        past = (_decode(next(frames), PastCalls) for _ in range(head.past_parts))
        engine = Engine.restored(description, state, past)
        parts = [_decode(next(frames), _OutcomeStates) for _ in range(head.outcome_parts)]
    except (msgspec.MsgspecError, zlib.error, struct.error, StopIteration, RuntimeError) as error:
        raise SnapshotError(f"the snapshot cannot be read: {error}") from error
    outcomes = [_outcome(each) for part in parts for each in part]
    return Decider(engine, description, head.position, outcomes)


def state_digest(decider: Decider) -> str:
    """A digest of the engine's whole state: two routers of one digest decide alike from here on.

    The versions of the organisation are in it too, since reports are made of them.
    """
    encoder = Encoder()
    state, past = decider.engine.state_in_parts()
    digest = hashlib.sha256(encoder.encode(state))
    digest.update(encoder.encode(decider.versions))
    for part in past:
        digest.update(encoder.encode(part))
    return digest.hexdigest()


@collecting_seldom(_OBJECTS_PER_COLLECTION)
def recover(
    journal: Journal,
    shard: str,
    *,
    limits: Limits,
    from_snapshot: bool = True,
    on_record: Callable[[int], None] = lambda _: None,
) -> Decider | None:
    """Become again what the journal says the router was; None: the journal is empty.

    Args:
        journal: To read from.
        shard: The router's shard.
        limits: For an engine that begins with the first record; a snapshot has its own.
        from_snapshot: False reads all records instead, for a check of the snapshots.
        on_record: Told of an offset after every 128 records at most, and of the last one, for showing progress.

    Raises:
        JournalError: There is no way to the present state: the journal is damaged, or does not begin with an
            organisation, or its older records were purged and no snapshot can be read.
        WireError: A record cannot be read.
    """
    decider = _from_snapshot(journal, shard) if from_snapshot else None
    last_offset = journal.last_offset(shard)
    records = journal.read(shard, decider.position.offset + 1 if decider is not None else 1)
    if decider is None:
        first = next(records, None)
        if first is None:
            return None
        decider = _of_first_record(first, limits)
        on_record(first.offset)
    decider.go_through(last_offset)
    # First a portion is read, then it is decoded, then it goes through the engine: with a record at a time, these push
    # each other out of the processor's caches, which takes a twentieth of the whole.
    while portion := list(islice(records, _PORTION)):
        for offset, at_ms, event in [(record.offset, *decode_record(record.body)) for record in portion]:
            try:  # noqa: SIM105 - `suppress` takes a twentieth of a whole recovery
                decider.apply(offset, at_ms, event)
            except EventRejected:
                # What was refused then is refused again.
                pass
        on_record(offset)
    return decider


def _of_first_record(record: Record, limits: Limits) -> Decider:
    at_ms, event = decode_record(record.body)
    if not isinstance(event, OrganisationChanged):
        raise JournalError("the journal does not begin with an organisation; it was not written by a router")
    engine = Engine(event.description, limits=limits)
    return Decider.of_first_record(engine, event.description, record.offset, at_ms)


def _from_snapshot(journal: Journal, shard: str) -> Decider | None:
    """The newest snapshot that can be used; None: none can, the records must do."""

    def description_at(offset: int) -> OrganisationDescription:
        _, event = decode_record(journal.get(shard, offset).body)
        if not isinstance(event, OrganisationChanged):
            raise SnapshotError(f"the record at offset {offset} is no organisation")
        return event.description

    for offset in journal.snapshot_offsets(shard):
        try:
            return read_snapshot(journal.get_snapshot(shard, offset), description_at)
        except RouterError as error:
            logger.error("the snapshot at offset %d is left aside, older records are read instead: %s", offset, error)
    return None


def organisation_offsets(journal: Journal, shard: str) -> list[int]:
    """The records of organisations that the snapshots need, those apart that this version cannot read.

    Raises:
        JournalDamaged: A snapshot is not what was written.
        SnapshotError: It cannot be read.
    """
    offsets = set()
    for offset in journal.snapshot_offsets(shard):
        body = journal.get_snapshot(shard, offset)
        if body[:1] != bytes([SNAPSHOT_FORMAT]):
            # No start of this version begins there; kept until newer ones take its place.
            continue
        try:
            head = _decode(next(_frames(zlib.decompress(memoryview(body)[1:]))), _Head)
        except (msgspec.MsgspecError, zlib.error, struct.error, StopIteration) as error:
            raise SnapshotError(f"the snapshot at offset {offset} cannot be read: {error}") from error
        offsets.add(head.position.organisation_offset)
    return sorted(offsets)


def _frames(data: bytes) -> Iterator[memoryview]:
    position, view = 0, memoryview(data)
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        yield view[position : position + length]
        position += length


@cache
def _decoder(kind: Any) -> Decoder[Any]:
    return Decoder(kind)


def _decode(frame: memoryview, kind: type[_T]) -> _T:
    decoded: _T = _decoder(kind).decode(frame)  # type: ignore[arg-type]  # every type is hashable, those of typing too
    return decoded


def _outcome_state(offset: int, outcome: Outcome) -> _OutcomeState:
    decided = tuple(((name.epoch, name.offset, name.index), decision) for name, decision in outcome.decided)
    rejected = outcome.rejected
    return offset, decided, None if rejected is None else (rejected.reason, rejected.detail)


def _outcome(state: _OutcomeState) -> tuple[int, Outcome]:
    offset, decided, rejected = state
    return offset, Outcome(
        (Decided(DecisionId(*name), decision) for name, decision in decided),
        None if rejected is None else EventRejected(*rejected),
    )
