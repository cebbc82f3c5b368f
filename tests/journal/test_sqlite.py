"""The embedded journal, on real files."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from router.journal import (
    Appended,
    Claim,
    Entry,
    Journal,
    JournalDamaged,
    JournalError,
    JournalFenced,
    PurgedMonth,
    Record,
    SqliteJournal,
    chained_digest,
)

Limit = Callable[[str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        yield journal


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Every connection from now on starts with this PRAGMA: how SQLite meets a limit of the disk."""
    connect = sqlite3.connect

    def limit(pragma: str) -> None:
        def connect_limited(*args: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **options)
            connection.execute(f"PRAGMA {pragma}")
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_limited)

    return limit


def entries(*ids: str) -> list[Entry]:
    return [Entry(entry_id, f"body of {entry_id}".encode()) for entry_id in ids]


def ids(journal: Journal, shard: str = "main", from_offset: int = 1) -> list[str]:
    return [record.entry_id for record in journal.read(shard, from_offset)]


def damage(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


def test_offsets_count_from_one_without_gaps(journal: Journal) -> None:
    first = journal.append("main", entries("a", "b"))
    second = journal.append("main", entries("c"))

    assert first == [Appended(1, duplicate=False), Appended(2, duplicate=False)]
    assert second == [Appended(3, duplicate=False)]
    assert journal.last_offset("main") == 3


def test_reads_what_was_appended(journal: Journal) -> None:
    journal.append("main", [Entry("a", b""), Entry("è", bytes(range(256)))])

    assert list(journal.read("main")) == [Record(1, "a", b""), Record(2, "è", bytes(range(256)))]


def test_appending_nothing_changes_nothing(journal: Journal) -> None:
    assert journal.append("main", []) == []
    assert journal.last_offset("main") == 0


def test_an_entry_seen_before_keeps_its_first_offset(journal: Journal) -> None:
    journal.append("main", entries("a", "b"))

    appended = journal.append("main", [Entry("c", b"1"), Entry("a", b"2"), Entry("c", b"3"), Entry("d", b"4")])

    assert appended == [
        Appended(3, duplicate=False),
        Appended(1, duplicate=True),
        Appended(3, duplicate=True),
        Appended(4, duplicate=False),
    ]
    assert list(journal.read("main", 3)) == [Record(3, "c", b"1"), Record(4, "d", b"4")]


def test_shards_know_nothing_of_each_other(journal: Journal) -> None:
    journal.append("main", entries("a", "b"))

    assert journal.claim("south") == 1
    assert journal.append("south", entries("b")) == [Appended(1, duplicate=False)]
    assert ids(journal, "south") == ["b"]
    assert ids(journal, "nowhere") == []


def test_everything_is_there_after_reopening(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a", "b"))
    journal.put_snapshot("main", 1, b"state")
    journal.close()

    with closing(SqliteJournal(path)) as reopened:
        assert ids(reopened) == ["a", "b"]
        assert reopened.get_snapshot("main", 1) == b"state"
        assert reopened.claim("main") == 2
        assert reopened.append("main", entries("b", "c")) == [Appended(2, True), Appended(3, False)]


def test_reads_long_shards_in_portions_and_from_anywhere(journal: Journal) -> None:
    """More than a portion, and exactly two of them."""
    for count in (1_500, 24 * 512):
        journal.append("main", [Entry(str(number), b"x") for number in range(1, count + 1)])

        assert ids(journal) == [str(number) for number in range(1, count + 1)]
        assert ids(journal, from_offset=count - 1) == [str(count - 1), str(count)]
        assert ids(journal, from_offset=count + 1) == []


def test_a_reader_meets_what_is_appended_while_it_reads(journal: Journal) -> None:
    journal.append("main", [Entry(str(number), b"x") for number in range(1, 601)])

    reader = journal.read("main")
    next(reader)
    journal.append("main", entries("late"))

    assert [record.entry_id for record in reader][-1] == "late"


def test_one_thread_appends_while_another_reads(journal: Journal) -> None:
    """What a reader sees at any time is a beginning of the log, never a part of a batch."""
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(len(ids(journal)))

    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(read)
        for batch in range(50):
            threads.submit(journal.append, "main", entries(*(f"{batch}.{n}" for n in range(4)))).result()
        done.set()
        reading.result()

    assert seen == sorted(seen)
    assert {count % 4 for count in seen} == {0}


def test_each_claim_is_a_larger_epoch_and_fences_the_one_before(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a"))

    with closing(SqliteJournal(path)) as successor:
        assert successor.claim("main") == 2

        with pytest.raises(JournalFenced, match=r"shard main: another router .*\(epoch 2, ours is 1\)"):
            journal.append("main", entries("b"))
        with pytest.raises(JournalFenced):
            journal.put_snapshot("main", 1, b"old")
        assert successor.append("main", entries("c")) == [Appended(2, duplicate=False)]
        assert successor.snapshot_offsets("main") == []

    assert journal.claim("main") == 3
    assert journal.append("main", entries("d")) == [Appended(3, duplicate=False)]


def test_without_a_claim_nothing_is_written(journal: Journal) -> None:
    with pytest.raises(JournalFenced, match="shard south: it was not claimed"):
        journal.append("south", entries("a"))
    with pytest.raises(JournalFenced, match="shard south: it was not claimed"):
        journal.put_snapshot("south", 1, b"")


def test_opening_to_read_claims_nothing(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a"))

    with closing(SqliteJournal(path, read_only=True)) as reader, closing(SqliteJournal(path)) as idle:
        assert ids(reader) == ids(idle) == ["a"]
        assert reader.last_offset("main") == 1
        for write in (lambda: reader.claim("main"), lambda: reader.append("main", entries("b"))):
            with pytest.raises(JournalError, match="opened for reading only"):
                write()

    assert journal.append("main", entries("b")) == [Appended(2, duplicate=False)]


def test_reading_creates_no_journal(path: Path) -> None:
    with pytest.raises(JournalError, match=r"journal\.sqlite: open: it cannot be opened; check"):
        SqliteJournal(path, read_only=True)

    assert not path.exists()


def test_the_newest_two_snapshots_are_kept(journal: Journal) -> None:
    journal.append("main", entries("a", "b", "c"))
    assert journal.snapshot_offsets("main") == []

    for offset, body in ((1, b"first"), (2, b"second"), (3, b"third")):
        journal.put_snapshot("main", offset, body)

    assert journal.snapshot_offsets("main") == [3, 2]
    assert journal.get_snapshot("main", 3) == b"third"
    assert journal.get_snapshot("main", 2) == b"second"
    assert journal.snapshot_offsets("south") == []


def test_no_snapshot_of_a_future(journal: Journal) -> None:
    with pytest.raises(ValueError, match="offset 1 of shard main, whose last is 0"):
        journal.put_snapshot("main", 1, b"state")


def test_a_claim_shows_whether_its_holder_is_alive(journal: Journal, path: Path) -> None:
    with closing(SqliteJournal(path, read_only=True)) as standby:
        assert standby.claim_of("south") == Claim(0, 0, released=True)
        assert standby.claim_of("main") == Claim(1, 0, released=False)

        journal.renew("main")
        assert standby.claim_of("main") == Claim(1, 1, released=False)

        journal.release("main")
        assert standby.claim_of("main") == Claim(1, 1, released=True)

        journal.claim("main")
        assert standby.claim_of("main") == Claim(2, 0, released=False)


def test_a_fenced_router_neither_renews_nor_releases(journal: Journal, path: Path) -> None:
    with closing(SqliteJournal(path)) as successor:
        successor.claim("main")

        with pytest.raises(JournalFenced):
            journal.renew("main")
        journal.release("main")

        assert successor.claim_of("main") == Claim(2, 0, released=False)


def test_of_two_that_wait_for_a_claim_one_gets_it(journal: Journal, path: Path) -> None:
    with closing(SqliteJournal(path)) as one, closing(SqliteJournal(path)) as other:
        assert one.claim("main", if_epoch=1) == 2

        with pytest.raises(JournalFenced, match="while this one waited"):
            other.claim("main", if_epoch=1)
        one.append("main", entries("a"))


def test_purged_records_leave_a_digest_a_month(journal: Journal, path: Path) -> None:
    journal.append("main", entries(*(f"e{number:04}" for number in range(1, 1_001))))
    everything = list(journal.read("main"))
    journal.put_snapshot("main", 900, b"state")

    assert purge_all(journal, through=300, keep=[1], month="2026-04") == 300
    assert purge_all(journal, through=700, keep=[1, 650], month="2026-05") == 400

    assert journal.first_offset("main") == 701
    assert [record.offset for record in journal.read("main", 701)] == list(range(701, 1_001))
    with pytest.raises(JournalError, match="no records before offset 701"):
        list(journal.read("main", 700))
    assert journal.get("main", 1) == everything[0]
    assert journal.get("main", 650) == everything[649]
    with pytest.raises(JournalDamaged, match="offset 2: the record is missing"):
        journal.get("main", 2)
    april = chained_digest(bytes(32), everything[:300])
    may = chained_digest(april, everything[300:700])
    assert journal.purged("main") == [
        PurgedMonth("2026-04", 1, 300, 300, april, b"counts"),
        PurgedMonth("2026-05", 301, 700, 400, may, b"counts"),
    ]
    assert journal.append("main", entries("new"))[0].offset == 1_001
    # Once it is no longer needed, what a purge has kept goes with the next.
    journal.put_snapshot("main", 950, b"state")
    purge_all(journal, through=800, keep=[650], month="2026-05")
    with pytest.raises(JournalDamaged, match="offset 1: the record is missing"):
        journal.get("main", 1)


def test_nothing_is_purged_that_a_snapshot_needs(journal: Journal) -> None:
    journal.append("main", entries("a", "b", "c"))

    with pytest.raises(ValueError, match="oldest snapshot is 0"):
        journal.purge("main", through=1, keep=[], month="2026-04", counts=b"")
    journal.put_snapshot("main", 1, b"one")
    journal.put_snapshot("main", 3, b"three")
    with pytest.raises(ValueError, match="through offset 2 of shard main, whose oldest snapshot is 1"):
        journal.purge("main", through=2, keep=[], month="2026-04", counts=b"")

    assert ids(journal) == ["a", "b", "c"]


def test_a_journal_of_which_all_is_purged_goes_on_counting(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a", "b"))
    journal.put_snapshot("main", 2, b"state")

    purge_all(journal, through=2, keep=[], month="2026-04")

    assert (journal.first_offset("main"), journal.last_offset("main")) == (3, 2)
    assert journal.append("main", entries("c"))[0].offset == 3


def test_compacting_gives_room_back(path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.append("main", [Entry(f"e{number:05}", b"x" * 200) for number in range(20_000)])
        journal.put_snapshot("main", 19_990, b"state")
        purge_all(journal, through=19_990, keep=[], month="2026-04")

        journal.compact()

        assert path.stat().st_size < 200_000
        assert [record.offset for record in journal.read("main", 19_991)] == list(range(19_991, 20_001))
        assert journal.check() == []
        assert journal.shards() == ["main"]


def test_a_journal_of_the_first_format_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FORMAT_1)

    with closing(SqliteJournal(path, read_only=True)) as reader:
        assert (reader.first_offset("main"), reader.last_offset("main")) == (1, 0)
        assert (reader.claim_of("main"), reader.purged("main")) == (Claim(7, 0, released=False), [])
    with closing(SqliteJournal(path)) as journal:
        assert journal.claim("main") == 8
        journal.append("main", entries("a"))
        journal.put_snapshot("main", 1, b"state")
        assert purge_all(journal, through=1, keep=[], month="2026-04") == 1


FORMAT_1 = f"""
CREATE TABLE shard (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE record (
    shard TEXT NOT NULL, offset INTEGER NOT NULL, entry_id TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (shard, offset)
) WITHOUT ROWID;
CREATE UNIQUE INDEX record_by_entry_id ON record (shard, entry_id);
CREATE TABLE snapshot (
    shard TEXT PRIMARY KEY, offset INTEGER NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO shard VALUES ('main', 7);
PRAGMA application_id = {0x50525452};
PRAGMA user_version = 1;
"""


def purge_all(journal: Journal, *, through: int, keep: list[int], month: str) -> int:
    purged = 0
    while deleted := journal.purge("main", through=through, keep=keep, month=month, counts=b"counts"):
        purged += deleted
    return purged


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"body of b", b"body of c"), (b"entry-of-b", b"entry-of-c"), (b"entry-of-b", b"entry-of-\xff")],
    ids=["body", "id", "id no longer text"],
)
def test_a_damaged_byte_is_found(journal: Journal, path: Path, before: bytes, after: bytes) -> None:
    journal.append("main", [Entry("a", b"body of a"), Entry("entry-of-b", b"body of b")])
    journal.close()
    content = path.read_bytes()
    position = content.index(b"body of b") if before.startswith(b"body") else content.index(b"entry-of-bbody")
    path.write_bytes(content[:position] + after + content[position + len(after) :])

    with closing(SqliteJournal(path)) as reopened:
        records = reopened.read("main")
        assert next(records).body == b"body of a"
        with pytest.raises(JournalDamaged, match="shard main, offset 2: the record is damaged") as caught:
            next(records)

    assert (caught.value.shard, caught.value.offset) == ("main", 2)


def test_a_missing_record_is_found(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a", "b", "c"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM record WHERE offset = 2")
        connection.commit()

    with pytest.raises(JournalDamaged, match=r"offset 2: the record is missing \(the next is 3\)"):
        ids(journal)


def test_a_damaged_snapshot_is_found(journal: Journal, path: Path) -> None:
    journal.append("main", entries("a"))
    journal.put_snapshot("main", 1, b"the whole state")
    journal.close()
    damage(path, b"the whole state", b"the whale state")

    with (
        closing(SqliteJournal(path)) as reopened,
        pytest.raises(JournalDamaged, match="the snapshot is damaged"),
    ):
        reopened.get_snapshot("main", 1)


def test_a_damaged_page_is_found(journal: Journal, path: Path) -> None:
    """Here SQLite itself notices; which page it was decides who finds out."""
    journal.append("main", [Entry(f"e{number}", b"x" * 100) for number in range(1_000)])
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[: 4096 * 2] + bytes(len(content) - 4096 * 2))

    with (
        closing(SqliteJournal(path)) as reopened,
        pytest.raises(JournalDamaged, match="restore the journal from a backup"),
    ):
        ids(reopened)


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    SqliteJournal(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")

    for read_only in (True, False):
        with pytest.raises(JournalError, match=r"journal\.sqlite: its format is 7 and this router knows 2; use"):
            SqliteJournal(path, read_only=read_only)


@pytest.mark.parametrize("version", [0, 1, 7])
def test_the_database_of_something_else_is_refused(tmp_path: Path, version: int) -> None:
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE recipe (name)")
        connection.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(JournalError, match=r"other\.sqlite: it is the database of something else"):
        SqliteJournal(other)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("call the plumber\n" * 100)

    with pytest.raises(JournalError, match=r"notes\.txt: open: it is not a journal; name another file"):
        SqliteJournal(other)

    assert other.read_text().startswith("call the plumber")


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="it cannot be opened; check that it is a file"):
        SqliteJournal(tmp_path)


def test_a_file_in_the_place_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    with pytest.raises(JournalError, match="its directory cannot be made"):
        SqliteJournal(tmp_path / "state" / "journal.sqlite")


def test_on_a_full_disk_a_batch_is_stored_whole_or_not_at_all(path: Path, limit: Limit) -> None:
    limit("max_page_count = 40")
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.append("main", entries("a"))

        with pytest.raises(JournalError, match="append: the disk is full; free some space"):
            journal.append("main", [Entry(str(number), b"x" * 1_000) for number in range(1_000)])

        assert ids(journal) == ["a"]
        assert journal.append("main", entries("b")) == [Appended(2, duplicate=False)]


def test_a_disk_that_cannot_be_written(path: Path, limit: Limit) -> None:
    SqliteJournal(path).close()
    limit("query_only = ON")

    with (
        closing(SqliteJournal(path)) as journal,
        pytest.raises(JournalError, match="claim: it cannot be written; check the permissions"),
    ):
        journal.claim("main")


def test_a_locked_journal(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.journal.sqlite.LOCK_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, closing(SqliteJournal(path)) as late:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(JournalError, match="claim: another process has kept it locked"):
            late.claim("main")

    assert journal.append("main", entries("a")) == [Appended(1, duplicate=False)]


def test_a_closed_journal_says_so(journal: Journal) -> None:
    journal.close()
    journal.close()

    with pytest.raises(JournalError, match="Cannot operate on a closed database"):
        journal.append("main", entries("a"))


WRITER = """
import sys
from pathlib import Path
from router.journal import Entry, SqliteJournal

journal = SqliteJournal(Path(sys.argv[1]))
journal.claim("main")
for batch in range(1_000_000):
    appended = journal.append("main", [Entry(f"{batch}.{number}", b"x" * 300) for number in range(3)])
    print(appended[-1].offset, flush=True)
"""


def test_what_was_reported_outlives_kill_9(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer:
        reported = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        reported += [int(line) for line in writer.stdout if line.endswith("\n")]

    with closing(SqliteJournal(path)) as journal:
        records = list(journal.read("main"))
        assert len(records) >= reported[-1]
        assert len(records) % 3 == 0
        assert [record.offset for record in records] == list(range(1, len(records) + 1))
        assert journal.claim("main") == 2
