"""Recovery: the journal leads to the same state, and to the same decisions under the same names."""

from pathlib import Path

import pytest

from router.core import Engine, EventRejected, Limits
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    Event,
    OfferAccepted,
    OrganisationChanged,
    RouterResumed,
)
from router.core.model import AgentId, CallId, OfferId
from router.journal import Entry, JournalError, Record, SqliteJournal
from router.service.decider import Decided, Decider, recover
from router.wire import DecisionId, encode_record
from tests.service.running import small

SCRIPT: list[tuple[int, Event]] = [
    (1_000, RouterResumed(epoch=1)),
    (1_100, AgentSignedIn(agent_id=AgentId("cy"))),
    (1_100, AgentReady(agent_id=AgentId("cy"))),
    (2_000, CallArrived(call_id=CallId("c1"))),
    # By now the ring of cy has opened, by a deadline between two records.
    (5_000, OfferAccepted(agent_id=AgentId("cy"), call_id=CallId("c1"), offer_id=OfferId("o1"))),
    (5_100, CallConnected(call_id=CallId("c1"))),
    (5_100, CallConnected(call_id=CallId("c1"))),
    (6_000, CallArrived(call_id=CallId("c2"))),
    (900_000, CallAbandoned(call_id=CallId("c2"))),
    (900_100, RouterResumed(epoch=2)),
    (900_200, CallArrived(call_id=CallId("c3"))),
]


def live(*, ticks_ms: int | None) -> tuple[Decider, list[Decided]]:
    """The script as the service plays it, looking at the clock every *ticks_ms* or only when something arrives."""
    description = small()
    decider = Decider(Engine(description), description, 1)
    decided = []
    for offset, (at_ms, event) in enumerate(SCRIPT, start=2):
        if not isinstance(event, RouterResumed):
            while ticks_ms is not None and decider.now_ms + ticks_ms < at_ms:
                decided += decider.serve_deadlines(decider.now_ms + ticks_ms)
            decided += decider.serve_deadlines(at_ms)
        try:
            decided += decider.apply(offset, at_ms, event)
        except EventRejected:
            assert (offset, type(event)) == (8, CallConnected)
    return decider, decided


def journal(path: Path) -> SqliteJournal:
    written = SqliteJournal(path)
    written.claim("main")
    records = [(500, OrganisationChanged(description=small())), *SCRIPT]
    written.append("main", [Entry(f"e{number}", encode_record(*record)) for number, record in enumerate(records)])
    return written


@pytest.mark.parametrize("ticks_ms", [None, 1_000, 333])
def test_recovery_names_every_decision_as_the_live_router_did(tmp_path: Path, ticks_ms: int | None) -> None:
    was, decided = live(ticks_ms=ticks_ms)
    written = journal(tmp_path / "j.db")

    recovered = recover(written.read("main"), limits=Limits())
    written.close()

    assert recovered is not None
    assert list(recovered.recent()) == decided
    assert len({each.decision_id for each in decided}) == len(decided)
    for call_id in ("c1", "c2", "c3"):
        assert recovered.engine.explain(CallId(call_id), now_ms=900_200) == was.engine.explain(
            CallId(call_id), now_ms=900_200
        )


def test_a_deadline_is_named_after_the_record_before_it() -> None:
    _, decided = live(ticks_ms=None)

    named = {str(each.decision_id): type(each.decision).__name__ for each in decided}

    assert named["1.5.0"] == "QueueCall"
    assert named["1.5.1"] == "OfferCall"
    assert DecisionId(2, 12, 0) in {each.decision_id for each in decided}


def test_what_a_record_led_to_is_remembered_refusals_included() -> None:
    decider, _ = live(ticks_ms=None)

    decided, rejected = decider.outcome_of(8)

    assert decided == []
    assert rejected is not None
    assert "connected, not accepted" in str(rejected)
    assert decider.outcome_of(10_000) == ([], None)


def test_an_empty_journal_is_no_router_yet() -> None:
    assert recover([], limits=Limits()) is None


def test_a_journal_of_something_else_is_refused() -> None:
    record = Record(1, "e", encode_record(0, AgentReady(agent_id=AgentId("ana"))))

    with pytest.raises(JournalError, match="does not begin with an organisation"):
        recover([record], limits=Limits())
