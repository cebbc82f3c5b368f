"""``router journal``: on real files, damaged as files get damaged."""

import base64
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from router.cli import main
from router.core import Engine, EventRejected
from router.core.events import CallArrived, OrganisationChanged, TimePassed
from router.core.model import CallId
from router.journal import Entry, Record, SqliteJournal, chained_digest
from router.journal_tools import compaction, verification
from router.service.decider import Decider
from router.wire import encode_record
from tests.brokers import free_port
from tests.service.running import pseudonym, small
from tests.service.test_decider import SCRIPT
from tests.service.test_recovery import written

SMALL = Path(__file__).parent.parent / "config" / "small"
RECORDS = [(500, OrganisationChanged(description=small())), *SCRIPT]
CALLER = pseudonym("+39 0862 1")


class Done(NamedTuple):
    status: int
    out: str
    error: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def problems(self) -> list[tuple[str, str]]:
        return [(each["where"], each["field"]) for each in self.document["problems"]]


Run = Callable[..., Done]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of twelve records and snapshots at 5 and 9, whose router has stopped in order."""
    path = tmp_path / "var" / "journal.db"
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(path))
    monkeypatch.setenv("ROUTER_PSEUDONYM__KEY_FILE", str(tmp_path / "key"))
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        append(journal, RECORDS)
        for offset in (5, 9):
            journal.put_snapshot("main", offset, written(decider_at(offset)))
        journal.release("main")
    return path


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, json: bool = False) -> Done:
        command = ["router", "journal", *map(str, arguments), *(["--json"] if json else []), str(SMALL)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, error)

    return run


def append(journal: SqliteJournal, records: list[tuple[int, Any]]) -> None:
    first = journal.last_offset("main") + 1
    journal.append("main", [Entry(f"e{first + n:03}", encode_record(*record)) for n, record in enumerate(records)])


def append_calls(path: Path) -> None:
    """So many that neither snapshots nor exports are small."""
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        append(journal, [(900_300, CallArrived(call_id=CallId(f"c{number:05}"))) for number in range(2_000)])
        journal.release("main")


def decider_at(offset: int) -> Decider:
    """What a router is after the record at *offset*."""
    decider = Decider.of_first_record(Engine(small()), small(), 1, 500)
    for number, (at_ms, event) in enumerate(RECORDS[1:offset], start=2):
        try:
            decider.apply(number, at_ms, event)
        except EventRejected:
            continue
    return decider


def records(path: Path) -> list[Record]:
    with closing(SqliteJournal(path, read_only=True)) as journal:
        return list(journal.read("main", journal.first_offset("main")))


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def flip(path: Path, table: str, offset: int) -> None:
    """Flip a bit in the middle of a body."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (body,) = connection.execute(f"SELECT body FROM {table} WHERE offset = ?", (offset,)).fetchone()
        middle = len(body) // 2
        body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        connection.execute(f"UPDATE {table} SET body = ? WHERE offset = ?", (body, offset))


def put_snapshot(path: Path, offset: int, body: bytes) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.put_snapshot("main", offset, body)
        journal.release("main")


def findings(done: Done) -> dict[int, str]:
    return {each["offset"]: each["finding"] for each in done.document["snapshots"]}


# --- verify ---


def test_a_sound_journal(run: Run, path: Path) -> None:
    done = run("verify")

    assert (done.status, done.error) == (0, "")
    assert "12 checked, offsets 1 to 12, 1970-01-01T00:00:00.500Z to 1970-01-01T00:15:00.200Z" in " ".join(
        done.out.split()
    )
    assert "sound" in done.out
    document = run("verify", json=True).document
    assert document["problems"] == []
    assert document["records_checked"] == document["records_replayed"] == 12
    assert [(each["offset"], each["finding"]) for each in document["snapshots"]] == [(5, "follows"), (9, "follows")]


def test_a_flipped_bit_in_a_record(run: Run, path: Path) -> None:
    flip(path, "record", 3)

    done = run("verify", json=True)

    assert done.status == 1
    assert done.problems == [("offset 3", "record")]
    # All others are checked; what can no longer be compared starts the replay again.
    assert done.document["records_checked"] == 11
    assert findings(done) == {5: "starts", 9: "follows"}
    assert "offset 3, record: the record is damaged; restore the journal from a backup" in run("verify").out


def test_a_flipped_bit_in_the_record_of_a_snapshot(run: Run, path: Path) -> None:
    flip(path, "record", 9)

    done = run("verify", json=True)

    assert done.problems == [("offset 9", "record")]
    assert findings(done) == {5: "follows", 9: "starts"}
    assert done.document["records_replayed"] == 11


def test_a_flipped_bit_in_a_snapshot_is_harmless(run: Run, path: Path) -> None:
    flip(path, "snapshot", 9)

    done = run("verify", json=True)

    assert done.status == 1
    assert done.problems == [("offset 9", "snapshot")]
    assert findings(done) == {5: "follows", 9: "unreadable"}
    assert "harmless" in run("verify").out


def test_a_missing_record(run: Run, path: Path) -> None:
    change(path, "DELETE FROM record WHERE offset = 7")

    done = run("verify")

    assert done.status == 1
    assert "offset 7, record: the record is missing (the next is 8); restore" in done.out


def test_missing_records_at_the_end(run: Run, path: Path) -> None:
    change(path, "DELETE FROM record WHERE offset >= 8")

    assert run("verify", json=True).problems == [("offset 8", "record")]


def test_many_damaged_records_are_not_all_told(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_DAMAGES_TOLD", 3)
    change(path, "UPDATE record SET checksum = 0 WHERE offset > 2")

    done = run("verify", json=True)

    assert done.problems == [(f"offset {offset}", "record") for offset in (3, 4, 5, 6)]
    assert done.document["problems"][-1]["message"].startswith("it and those after it were not read")


def test_a_record_of_a_newer_format(run: Run, path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        journal.append("main", [Entry("newer", b"\x63 whatever")])

    done = run("verify")

    assert done.status == 1
    assert "offset 13, record: journal record of format 99, which this version cannot read" in done.out


def test_a_damaged_page(run: Run, path: Path) -> None:
    """SQLite itself sees what no checksum covers."""
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(4096) + content[12288:])

    done = run("verify", json=True)

    assert done.status == 1
    assert done.problems[0] == ("file", "SQLite's own check")


def doctored(offset: int) -> Decider:
    """A decider that has routed a call nobody reported."""
    decider = decider_at(offset - 1)
    decider.apply(offset, RECORDS[offset - 1][0], CallArrived(call_id=CallId("made-up")))
    return decider


def test_a_snapshot_of_another_state(run: Run, path: Path) -> None:
    put_snapshot(path, 9, written(doctored(9)))

    done = run("verify", json=True)

    assert done.status == 1
    assert done.problems == [("offset 9", "snapshot")]
    assert findings(done) == {5: "follows", 9: "differs"}
    message = done.document["problems"][0]["message"]
    assert message.startswith("a replay from the first record leads to other state and other decisions; ")


def test_a_wrong_snapshot_does_not_spoil_the_one_after_it(run: Run, path: Path) -> None:
    change(path, "DELETE FROM snapshot")
    put_snapshot(path, 5, written(doctored(5)))
    put_snapshot(path, 9, written(decider_at(9)))

    assert findings(run("verify", json=True)) == {5: "differs", 9: "follows"}


def test_a_snapshot_of_the_same_state_and_other_decisions(run: Run, path: Path) -> None:
    decider = decider_at(9)
    decider._folded = b"others"
    put_snapshot(path, 9, written(decider))

    message = run("verify", json=True).document["problems"][0]["message"]

    assert message.startswith("a replay from the first record leads to other decisions; ")


def test_a_replay_that_decides_otherwise(run: Run, path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        append(
            journal,
            [(900_300, TimePassed(digest=b"of another version..")), (900_400, TimePassed(digest=b"again.".ljust(20)))],
        )
        # The other version went on, and its state is the one that counts.
        after = decider_at(12)
        after.apply(13, 900_300, TimePassed())
        after.apply(14, 900_400, TimePassed())
        journal.put_snapshot("main", 14, written(after))
        # From there on, this one agrees with it, until it does so no more.
        append(journal, [(900_500, TimePassed(digest=after.digest)), (900_600, TimePassed(digest=bytes(20)))])

    done = run("verify", json=True)

    assert done.status == 1
    assert done.problems == [("offset 13", "replay"), ("offset 16", "replay")]
    messages = [each["message"] for each in done.document["problems"]]
    assert "a replay from the first record decides otherwise" in messages[0]
    assert "a replay from the snapshot at offset 14 decides otherwise" in messages[1]
    assert findings(done) == {9: "follows", 14: "not compared"}
    assert "another version of the router" in run("verify").out


def test_what_cannot_be_replayed_is_told(run: Run, path: Path) -> None:
    change(path, "DELETE FROM record WHERE offset = 1")
    change(path, "DELETE FROM snapshot")

    assert run("verify", json=True).document["records_replayed"] == 0


def test_without_a_snapshot_a_purged_journal_is_no_way_back(run: Run, path: Path) -> None:
    assert run("compact").status == 0
    change(path, "UPDATE snapshot SET checksum = 0")

    done = run("verify")

    assert done.status == 1
    assert "no router can start with this journal" in done.out


@pytest.mark.parametrize(
    "command", [("verify",), ("export", "--to", "x.jsonl"), ("compact",)], ids=lambda each: each[0]
)
def test_a_newer_format(run: Run, path: Path, command: tuple[str, ...]) -> None:
    change(path, "PRAGMA user_version = 7")

    done = run(*command)

    assert done.status == 1
    assert "its format is 7 and this router knows 2; use the newer router" in done.out + done.error


@pytest.mark.parametrize(
    "command", [("verify",), ("export", "--to", "x.jsonl"), ("compact",)], ids=lambda each: each[0]
)
def test_no_journal_and_no_shard(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ROUTER_MQTT__SHARD", "south")
    elsewhere = run(*command)
    monkeypatch.setenv("ROUTER_JOURNAL__FILE", str(path) + ".other")
    nowhere = run(*command)

    assert elsewhere.status == nowhere.status == 1
    assert "has no shard south, only main: check mqtt.shard" in elsewhere.out + elsewhere.error
    assert "there is no journal" in nowhere.out + nowhere.error
    assert not Path(str(path) + ".other").exists()


def test_a_router_at_work_is_verified_and_exported_but_not_compacted(run: Run, path: Path, tmp_path: Path) -> None:
    """A real one, in a process of its own."""
    path.unlink()
    environment = os.environ | {
        "ROUTER_HTTP__PORT": str(free_port()),
        "ROUTER_MQTT__EMBEDDED_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "router", "run", str(SMALL)]
    router = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert router.stdout is not None
        while "metrics" not in router.stdout.readline():
            assert router.poll() is None, "the router did not start"

        verified = run("verify", json=True)
        exported = run("export", "--to", tmp_path / "live.jsonl")
        size = path.stat().st_size
        refused = run("compact")

        assert (verified.status, verified.problems) == (0, [])
        assert exported.status == 0
        assert refused.status == 1
        assert "a router is at work on shard main of this journal: stop it first" in refused.error
        assert path.stat().st_size == size
        assert router.poll() is None
    finally:
        router.terminate()
        router.wait(10)
        router.stdout.close()  # type: ignore[union-attr]  # it is a pipe
    assert router.returncode == 0
    done = run("verify", json=True)
    assert done.problems == []
    assert list(findings(done).values()) == ["follows"]
    assert run("compact").status == 0


def test_what_is_purged_while_it_is_read_is_not_missed(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = SqliteJournal.read

    def read_as_it_is_purged(journal: SqliteJournal, shard: str, from_offset: int = 1) -> Any:
        monkeypatch.setattr(SqliteJournal, "read", read)
        found = read(journal, shard, from_offset)
        with closing(SqliteJournal(path)) as other:
            other.claim("main")
            first = next(found)
            other.purge("main", through=5, keep=[1], month="1970-01", counts=b"")
        yield first
        yield from read(journal, shard, 2)

    monkeypatch.setattr(SqliteJournal, "read", read_as_it_is_purged)

    done = run("verify", json=True)

    assert done.problems == []
    assert findings(done) == {5: "starts", 9: "follows"}


# --- export ---


def lines_of(file: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["export.jsonl", "export.jsonl.gz"])
def test_an_export_is_a_line_a_record(run: Run, path: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name

    done = run("export", "--to", file)

    assert done.status == 0
    assert "offsets 1 to 12 exported to" in done.out
    lines = lines_of(file)
    assert [(line["offset"], line["entry_id"], base64.b64decode(line["body"])) for line in lines] == records(path)
    arrived = lines[4]
    assert arrived["time"] == "1970-01-01T00:00:02.000Z"
    assert (arrived["event"]["type"], arrived["event"]["call_id"]) == ("call_arrived", "c1")
    # Who the clients are is in the body alone.
    assert lines[0]["event"]["description"]["clients"] == 1
    assert CALLER not in json.dumps(lines[0]["event"])
    assert file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.glob(".*")) == []


def test_an_export_of_some_records(run: Run, path: Path, tmp_path: Path) -> None:
    assert run("export", "--to", tmp_path / "some", "--from-offset", 3, "--until-offset", 5).status == 0
    nothing = run("export", "--to", tmp_path / "none", "--from-offset", 13)

    assert [line["offset"] for line in lines_of(tmp_path / "some")] == [3, 4, 5]
    assert nothing.status == 1
    assert "has no such records: it holds offsets 1 to 12" in nothing.error
    assert not (tmp_path / "none").exists()


def test_an_export_for_reading_has_neither_bodies_nor_pseudonyms(run: Run, path: Path, tmp_path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        digest = decider_at(12).digest
        append(
            journal, [(900_300, CallArrived(call_id=CallId("c9"), caller=CALLER)), (900_300, TimePassed(digest=digest))]
        )

    run("export", "--to", tmp_path / "whole")
    run("export", "--to", tmp_path / "plain", "--no-bodies")

    assert CALLER in (tmp_path / "whole").read_text()
    assert CALLER not in (tmp_path / "plain").read_text()
    assert all("body" not in line for line in lines_of(tmp_path / "plain"))
    assert lines_of(tmp_path / "plain")[-1]["event"] == {"type": "time_passed", "digest": digest.hex()}
    done = run("verify", "--export", tmp_path / "plain")
    assert done.status == 1
    assert "without bodies" in done.error


def test_a_file_that_is_there_is_kept(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("precious")

    refused = run("export", "--to", file)

    assert refused.status == 1
    assert "is there already: name another file, or replace it with --force" in refused.error
    assert file.read_text() == "precious"
    assert run("export", "--to", file, "--force").status == 0
    assert len(lines_of(file)) == 12


def test_the_journal_is_not_replaced_by_its_export(run: Run, path: Path) -> None:
    done = run("export", "--to", path, "--force")

    assert done.status == 1
    assert "is the journal itself" in done.error
    assert run("verify").status == 0


def test_a_broken_export_leaves_nothing(run: Run, path: Path, tmp_path: Path) -> None:
    flip(path, "record", 7)
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "old.jsonl").write_text("precious")

    done = run("export", "--to", folder / "old.jsonl", "--force")

    assert done.status == 1
    assert "offset 7: the record is damaged" in done.error
    assert [file.name for file in folder.iterdir()] == ["old.jsonl"]
    assert (folder / "old.jsonl").read_text() == "precious"


def test_an_export_to_a_directory_that_is_not_there(run: Run, path: Path) -> None:
    done = run("export", "--to", path.parent / "missing" / "export.jsonl")

    assert done.status == 1
    assert "cannot be written: No such file or directory" in done.error


@pytest.mark.parametrize("name", ["export.jsonl", "export.jsonl.gz"])
def test_an_export_that_no_longer_fits(path: Path, tmp_path: Path, name: str) -> None:
    append_calls(path)
    folder = tmp_path / "exports"
    folder.mkdir()

    # Less would stop SQLite, which keeps 32 KiB beside the journal.
    done = cramped(33_000, "export", SMALL, "--to", folder / name)

    assert done.status == 1
    assert "cannot be written: File too large; nothing was left behind" in done.error
    assert list(folder.iterdir()) == []


def cramped(file_bytes_max: int, *arguments: object) -> Done:
    """Run a command that can write no file beyond a size."""
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_bytes_max}, {file_bytes_max}));"
        "from router.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "journal", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    return Done(done.returncode, done.stdout, done.stderr)


# --- compact, and the proof of what it purged ---


def test_compacting_writes_a_snapshot_and_purges_what_is_old(run: Run, path: Path) -> None:
    before = records(path)

    done = run("compact")

    assert done.status == 0
    assert "snapshot written at offset 12" in done.out
    assert "9 records older than 183 days purged" in done.out
    # The snapshot at 5 has gone, so records up to that at 9 could go, all but the organisation.
    assert records(path) == before[9:]
    with closing(SqliteJournal(path, read_only=True)) as journal:
        assert journal.get("main", 1) == before[0]
        assert journal.claim_of("main").released
        (month,) = journal.purged("main")
        assert month.digest == chained_digest(bytes(32), before[:9])
        (counts,) = json.loads(month.counts)
        assert (counts["month"], counts["portfolio_id"], counts["arrived"]) == ("1970-01", "gold", 3)
    verified = run("verify", json=True)
    assert verified.problems == []
    assert findings(verified) == {9: "starts", 12: "follows"}
    assert verified.document["purged"][0]["digest"] == month.digest.hex()
    assert "snapshot written" not in run("compact").out


def test_nothing_is_purged_without_a_retention(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_JOURNAL__RETENTION_DAYS", "0")

    done = run("compact")

    assert done.status == 0
    assert "nothing purged, as journal.retention_days is 0" in done.out
    assert len(records(path)) == 12


def test_compacting_mends_a_damaged_newest_snapshot(run: Run, path: Path) -> None:
    put_snapshot(path, 12, b"damaged")

    assert run("compact").status == 0
    assert run("verify").status == 0


def test_a_damaged_older_snapshot_stops_the_purge(run: Run, path: Path) -> None:
    put_snapshot(path, 12, written(decider_at(12)))
    flip(path, "snapshot", 9)

    done = run("compact")

    assert done.status == 1
    assert "router journal verify says what to do" in done.error
    assert len(records(path)) == 12


def test_a_claim_that_is_renewed_is_left_alone(run: Run, path: Path) -> None:
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(1):
                journal.renew("main")

        renewing = threading.Thread(target=renew)
        renewing.start()
        try:
            done = run("compact")
        finally:
            stop.set()
            renewing.join()

        assert done.status == 1
        assert "a router is at work" in done.error
        journal.renew("main")
    assert len(records(path)) == 12


def test_a_claim_that_stands_still_is_taken(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_SILENCE_S", 0.3)
    with closing(SqliteJournal(path)) as journal:
        journal.claim("main")

    started_s = time.monotonic()
    done = run("compact")

    assert done.status == 0
    assert time.monotonic() - started_s > 0.3


@pytest.mark.parametrize(
    ("pragma", "word"),
    [("max_page_count = {pages}", "the disk is full; free some space"), ("query_only = ON", "it cannot be written")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_leaves_the_journal_as_it_was(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, word: str
) -> None:
    append_calls(path)
    connect = sqlite3.connect
    with closing(connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM")  # No page is left over for the snapshot.
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    before = records(path)

    def connect_limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA " + pragma.format(pages=pages))
        return connection

    with monkeypatch.context() as limited:
        limited.setattr(sqlite3, "connect", connect_limited)
        done = run("compact")

    assert done.status == 1
    assert word in done.error
    assert records(path) == before
    found = run("verify", json=True)
    assert found.problems == []
    assert findings(found) == {5: "follows", 9: "follows"}


def test_compacting_that_no_longer_fits(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the whole file is made, and the disk ends before that."""
    append_calls(path)
    before = records(path)
    monkeypatch.setenv("ROUTER_JOURNAL__RETENTION_DAYS", "0")

    done = cramped(path.stat().st_size // 2, "compact", SMALL)

    assert done.status == 1
    assert "journal.db: compact: the disk " in done.error
    assert records(path) == before
    assert run("verify").status == 0
    assert run("compact").status == 0


@pytest.fixture
def kept(run: Run, path: Path, tmp_path: Path) -> Path:
    """An export of records of which most have been purged since."""
    file = tmp_path / "kept.jsonl"
    assert run("export", "--to", file).status == 0
    assert run("compact").status == 0
    return file


def test_an_export_proves_itself(run: Run, kept: Path) -> None:
    done = run("verify", "--export", kept, json=True)

    assert done.status == 0
    assert done.document["months_proven"] == ["1970-01"]
    assert (done.document["records"], done.document["records_compared"]) == (12, 3)
    assert "1970-01: proven by its digest" in run("verify", "--export", kept).out


def rewrite(file: Path, offset: int, **fields: object) -> None:
    lines = lines_of(file)
    lines[offset - 1] |= fields
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("offset", "fields", "field"),
    [
        (4, {"entry_id": "another"}, "1970-01"),
        (4, {"body": base64.b64encode(b"changed").decode()}, "1970-01"),
        (11, {"body": base64.b64encode(b"changed").decode()}, "offset 11"),
    ],
    ids=["id", "purged body", "kept body"],
)
def test_an_export_that_was_changed(run: Run, kept: Path, offset: int, fields: dict[str, object], field: str) -> None:
    rewrite(kept, offset, **fields)

    done = run("verify", "--export", kept, json=True)

    assert done.status == 1
    assert done.problems == [(str(kept), field)]
    assert "sound" not in run("verify", "--export", kept).out


def test_an_export_that_lacks_a_part_of_a_month_proves_nothing_of_it(run: Run, kept: Path) -> None:
    kept.write_text("".join(kept.read_text().splitlines(keepends=True)[3:]))

    done = run("verify", "--export", kept, json=True)

    assert (done.status, done.document["months_proven"]) == (0, [])
    assert done.document["months_not_covered"] == ["1970-01"]


def test_exports_that_follow_on_each_other_prove_themselves_together(run: Run, kept: Path, tmp_path: Path) -> None:
    lines = kept.read_bytes().splitlines(keepends=True)
    one, two = tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl"
    one.write_bytes(gzip.compress(b"".join(lines[:6])))
    two.write_bytes(b"".join(lines[6:]))

    assert run("verify", "--export", one, "--export", two, json=True).document["months_proven"] == ["1970-01"]
    wrong = run("verify", "--export", two, "--export", one)
    assert wrong.status == 1
    assert "line 1: offset 1 where 13 should be" in wrong.error


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no record in the export"),
        (b"precious\n", "line 1: no record of an export"),
        (gzip.compress(b"{}" * 99)[:-9], "cut short, or not gzipped"),
    ],
    ids=["empty", "text", "cut"],
)
def test_a_file_that_is_no_export(run: Run, path: Path, tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / ("x.gz" if content[:1] == b"\x1f" else "x.jsonl")
    file.write_bytes(content)

    done = run("verify", "--export", file)

    assert done.status == 1
    assert word in done.error


def test_journal_alone_explains_itself(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["router", "journal"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert all(name in shown for name in ("verify", "export", "compact"))
