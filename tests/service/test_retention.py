"""Call detail is purged when its time has come; digests and counts of its months stay."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from router.core import Engine, Limits
from router.core.events import AgentReady, AgentSignedIn, CallAbandoned, CallArrived, Event, OrganisationChanged
from router.core.model import AgentId, CallId
from router.journal import Entry, SqliteJournal, chained_digest
from router.service.decider import Decider
from router.service.recovery import finish_snapshot, recover, state_digest, write_snapshot
from router.service.retention import counts_of, purge_before
from router.wire import encode_record
from tests.reports import half_year
from tests.service.running import small

DAY_MS = 86_400_000


def ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """A call each day of April and May that nobody answers, and one agent who is signed in throughout."""
    journal = SqliteJournal(tmp_path / "j.db")
    journal.claim("main")
    events: list[tuple[int, Event]] = [
        (ms(2026, 4, 1), OrganisationChanged(description=small())),
        (ms(2026, 4, 1), AgentSignedIn(agent_id=AgentId("cy"))),
    ]
    for day in range(60):
        at_ms = ms(2026, 4, 1) + day * DAY_MS + DAY_MS // 2
        events += [
            (at_ms, CallArrived(call_id=CallId(f"c{day}"))),
            (at_ms + 1_000, CallAbandoned(call_id=CallId(f"c{day}"))),
        ]
    events.append((ms(2026, 6, 1), AgentReady(agent_id=AgentId("cy"))))
    journal.append("main", [Entry(f"e{number:04}", encode_record(*each)) for number, each in enumerate(events)])
    yield journal
    journal.close()


def recovered(journal: SqliteJournal) -> Decider:
    decider = recover(journal, "main", limits=Limits())
    assert decider is not None
    return decider


def snapshot(journal: SqliteJournal) -> Decider:
    decider = recovered(journal)
    journal.put_snapshot("main", decider.position.offset, finish_snapshot(write_snapshot(decider)))
    return decider


async def purge(journal: SqliteJournal, before_ms: int, engine: Engine) -> int:
    return await purge_before(journal, "main", before_ms, lambda month: counts_of(engine, month))


async def test_what_is_old_goes_month_by_month_and_leaves_digest_and_counts(journal: SqliteJournal) -> None:
    records = list(journal.read("main"))
    decider = snapshot(journal)
    before = state_digest(decider)

    purged = await purge(journal, ms(2026, 5, 11), decider.engine)

    # Thirty days of April and ten of May, two records each, the organisation and the agent.
    assert purged == 2 + 40 * 2
    april, may = journal.purged("main")
    assert (april.month, april.records, may.month, may.records) == ("2026-04", 62, "2026-05", 20)
    assert may.digest == chained_digest(bytes(32), records[:82])
    (counts,) = msgspec.json.decode(april.counts)
    assert (counts["month"], counts["portfolio_id"], counts["arrived"]) == ("2026-04", "gold", 30)
    assert state_digest(recovered(journal)) == before
    assert await purge(journal, ms(2026, 5, 11), decider.engine) == 0


async def test_what_a_start_needs_stays_however_old(journal: SqliteJournal) -> None:
    decider = recovered(journal)
    assert await purge(journal, ms(2030, 1, 1), decider.engine) == 0

    snapshot(journal)
    await purge(journal, ms(2030, 1, 1), decider.engine)

    assert journal.get("main", 1).entry_id == "e0000"
    assert state_digest(recovered(journal)) == state_digest(decider)


def test_counts_are_kept_with_the_names_of_their_fields() -> None:
    """Whoever reads them in ten years has no code of today."""
    engine = Engine(half_year.description())
    for at_ms, event in half_year.records()[1:]:
        engine.expire(at_ms)
        engine.handle(event, now_ms=at_ms)

    (gold,) = msgspec.json.decode(counts_of(engine, "2026-01"))

    (owned,) = gold["owned"]
    assert (owned["team_id"], owned["answered"], owned["by_owner"], owned["by_backup"]) == ("north", 2, 1, 1)
    assert [(place["answered"], place["navigated"]) for place in gold["answers"]] == [(2, 1)]
    assert (gold["company"], gold["counted_by"]) == ("tre", [[20, 5]])
