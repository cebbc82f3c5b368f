"""Decisions are named alike however often the clock is looked at, and remembered."""

import pytest

from router.core import Engine, EventRejected
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    Event,
    OfferAccepted,
    RouterResumed,
    TimePassed,
)
from router.core.model import AgentId, CallId, OfferId
from router.service import decider as decider_module
from router.service.decider import Decided, Decider
from router.wire import DecisionId
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
    decider = Decider.of_first_record(Engine(description), description, 1, 500)
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


def test_equal_digests_tell_equal_decisions() -> None:
    one, _ = live(ticks_ms=None)
    same, _ = live(ticks_ms=333)
    other, _ = live(ticks_ms=None)
    other.apply(13, 900_300, CallArrived(call_id=CallId("c4")))

    assert one.digest == same.digest != other.digest


def test_a_replay_that_decides_otherwise_is_noticed_where_it_does() -> None:
    decider, _ = live(ticks_ms=None)
    decider.apply(13, 900_300, TimePassed(digest=decider.digest))
    assert decider.diverged_at is None

    decider.apply(14, 900_400, TimePassed(digest=b""))
    decider.apply(15, 900_500, TimePassed(digest=b"and this one is not."))

    assert decider.diverged_at == 14


def test_digests_that_older_versions_made_in_another_way_are_not_compared() -> None:
    decider, _ = live(ticks_ms=None)

    decider.apply(13, 900_300, TimePassed(digest=bytes(16)))

    assert decider.diverged_at is None


def test_a_refusal_is_remembered_for_longer_than_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was refused and asks again, however late, must not be told that all is well."""
    monkeypatch.setattr(decider_module, "RECORDS_REMEMBERED", 3)

    decider, _ = live(ticks_ms=None)
    again = Decider(decider.engine, decider.description, decider.position, decider.outcomes())

    for each in (decider, again):
        assert each.outcome_of(5) == ([], None)
        decided, rejected = each.outcome_of(8)
        assert (decided, str(rejected)) == ([], "wrong_call_state: call c1 is connected, not accepted")
        first, *others = [offset for offset, _ in each.outcomes()]
        assert first == 8
        assert min(others) >= 10


def test_memory_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decider_module, "RECORDS_REMEMBERED", 3)
    monkeypatch.setattr(decider_module, "_REFUSALS_REMEMBERED", 0)

    decider, _ = live(ticks_ms=None)

    assert decider.outcome_of(8) == ([], None)
