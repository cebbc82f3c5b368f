"""Recovery: snapshot and records lead to the same state, and to the same decisions under the same names."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.core import Engine, EventRejected, Limits
from router.core.events import AgentReady, CallArrived, OrganisationChanged
from router.core.model import AgentId, CallId
from router.journal import Entry, JournalError, Record, SqliteJournal
from router.service import decider as decider_module
from router.service.decider import Decider
from router.service.recovery import (
    SNAPSHOT_FORMAT,
    finish_snapshot,
    organisation_offsets,
    read_snapshot,
    recover,
    state_digest,
    write_snapshot,
)
from router.wire import encode_record
from tests.service.running import small
from tests.service.test_decider import SCRIPT, live

HEAD = bytes([SNAPSHOT_FORMAT])
RECORDS = [(500, OrganisationChanged(description=small())), *SCRIPT]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    written = SqliteJournal(tmp_path / "j.db")
    written.claim("main")
    written.append("main", [Entry(f"e{number}", encode_record(*record)) for number, record in enumerate(RECORDS)])
    yield written
    written.close()


def read_from(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the offsets from which the journal is read."""
    offsets: list[int] = []
    read = journal.read

    def noted(shard: str, from_offset: int = 1) -> Iterator[Record]:
        offsets.append(from_offset)
        return read(shard, from_offset)

    monkeypatch.setattr(journal, "read", noted)
    return offsets


def recovered(journal: SqliteJournal) -> Decider:
    decider = recover(journal, "main", limits=Limits())
    assert decider is not None
    return decider


def snapshot_at(offset: int) -> bytes:
    """A snapshot after the record at *offset*."""
    decider = None
    for number, (at_ms, event) in enumerate(RECORDS[:offset], start=1):
        if isinstance(event, OrganisationChanged):
            decider = Decider.of_first_record(Engine(event.description), event.description, number, at_ms)
            continue
        assert decider is not None
        try:
            decider.apply(number, at_ms, event)
        except EventRejected:
            continue
    assert decider is not None
    return written(decider)


def written(decider: Decider) -> bytes:
    return finish_snapshot(write_snapshot(decider))


@pytest.mark.parametrize("ticks_ms", [None, 1_000, 333])
def test_recovery_names_every_decision_as_the_live_router_did(journal: SqliteJournal, ticks_ms: int | None) -> None:
    was, decided = live(ticks_ms=ticks_ms)

    decider = recovered(journal)

    assert list(decider.recent()) == decided
    assert len({each.decision_id for each in decided}) == len(decided)
    assert state_digest(decider) == state_digest(was)


@pytest.mark.parametrize("remembered", range(1, len(RECORDS) + 1))
def test_a_recovery_remembers_what_the_live_router_does(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(decider_module, "RECORDS_REMEMBERED", remembered)
    was, _ = live(ticks_ms=None)

    decider = recovered(journal)

    assert decider.position == was.position
    assert list(decider.recent()) == list(was.recent())
    assert [offset for offset, _ in decider.outcomes()] == [offset for offset, _ in was.outcomes()]
    assert str(decider.outcome_of(8)[1]) == str(was.outcome_of(8)[1]) != "None"


@pytest.mark.parametrize("offset", range(2, len(RECORDS) + 1))
def test_a_snapshot_and_what_follows_lead_to_the_same_state(
    journal: SqliteJournal, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    was, decided = live(ticks_ms=None)
    journal.put_snapshot("main", offset, snapshot_at(offset))

    read = read_from(journal, monkeypatch)
    seen: list[int] = []

    decider = recover(journal, "main", limits=Limits(), on_record=seen.append)

    assert read == [offset + 1]
    assert seen == ([len(RECORDS)] if offset < len(RECORDS) else [])
    assert decider is not None
    assert state_digest(decider) == state_digest(was)
    assert decider.digest == was.digest
    # What the last records led to is there for whoever asks again, refusals too.
    assert list(decider.recent()) == decided
    rejected = decider.outcome_of(8)[1]
    assert rejected is not None
    assert "connected, not accepted" in str(rejected)


def test_a_snapshot_is_of_the_moment_of_its_first_step() -> None:
    decider, _ = live(ticks_ms=None)
    digest = state_digest(decider)
    steps = write_snapshot(decider)
    next(steps)

    decider.apply(13, 900_300, CallArrived(call_id=CallId("later")))
    body = b""
    while not body:
        try:
            next(steps)
        except StopIteration as done:
            body = done.value

    restored = read_snapshot(body, lambda _: small())
    assert state_digest(restored) == digest
    assert restored.position.offset == 12


@pytest.mark.parametrize(
    "body",
    [b"", b"\x63newer", HEAD + b"not compressed", HEAD + zlib.compress(b"cut"), HEAD + zlib.compress(b"")],
    ids=["empty", "newer", "damaged", "cut short", "nothing in it"],
)
def test_a_snapshot_that_cannot_be_read_is_left_aside(
    journal: SqliteJournal, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    was, _ = live(ticks_ms=None)
    journal.put_snapshot("main", 5, snapshot_at(5))
    journal.put_snapshot("main", 9, body)

    read = read_from(journal, monkeypatch)

    decider = recovered(journal)

    assert state_digest(decider) == state_digest(was)
    assert read == [6]


def test_records_that_were_purged_are_not_needed_with_a_snapshot(journal: SqliteJournal) -> None:
    was, _ = live(ticks_ms=None)
    journal.put_snapshot("main", 9, snapshot_at(9))
    assert organisation_offsets(journal, "main") == [1]
    journal.purge("main", through=9, keep=[1], month="1970-01", counts=b"")

    assert state_digest(recovered(journal)) == state_digest(was)


def test_a_snapshot_of_an_older_version_keeps_nothing_from_being_purged(journal: SqliteJournal) -> None:
    journal.put_snapshot("main", 5, b"\x01of an older version")
    journal.put_snapshot("main", 9, snapshot_at(9))

    assert organisation_offsets(journal, "main") == [1]


def test_without_snapshot_or_records_the_way_back_is_a_backup(journal: SqliteJournal) -> None:
    journal.put_snapshot("main", 9, b"damaged")
    journal.purge("main", through=9, keep=[1], month="1970-01", counts=b"")

    with pytest.raises(JournalError, match="no records before offset 10 any more"):
        recovered(journal)


def test_an_empty_journal_is_no_router_yet(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "empty.db")

    assert recover(journal, "main", limits=Limits()) is None
    journal.close()


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "other.db")
    journal.claim("main")
    journal.append("main", [Entry("e", encode_record(0, AgentReady(agent_id=AgentId("ana"))))])

    with pytest.raises(JournalError, match="does not begin with an organisation"):
        recovered(journal)
    journal.close()
