"""Histories that never happened, each with one thing wrong, and the checker that must notice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from router.core import Engine, EventRejected
from router.core.decisions import Decision, OfferCall, QueueCall, ReleaseAgent, WithdrawOffer
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
    OrganisationChanged,
    RouterResumed,
    TimePassed,
)
from router.core.model import AgentId, CallId, OfferId, OrganisationDescription, Outcome
from router.journal import Record
from router.wire import DecisionId, encode_output, encode_record
from tests.chaos.checker import REFUSED, Line, Verdict, check, replayed
from tests.core.builders import agent, link, organisation, portfolio, team

ANA, BO, CY = AgentId("ana"), AgentId("bo"), AgentId("cy")


def small() -> OrganisationDescription:
    """Ana wraps up for 2 s, bo does not; cy, the reserve, is asked after 5 s."""
    options = {"offer_timeout_s": 4, "connect_timeout_s": 5, "cooldown_s": 3, "misses_max": 2}
    return organisation(
        [
            team("careful", wrap_up_s=2, **options),
            team("quick", **options),
            team("reserve", **options),
        ],
        [portfolio("gold", "careful", "quick", link("reserve", 5), max_wait_s=8)],
        [agent("ana", "careful"), agent("bo", "quick"), agent("cy", "reserve")],
    )


@dataclass
class History:
    """A journal in the making, with the platform's notes of an honest run; a test then falsifies one or the other."""

    records: list[Record] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    endings: dict[CallId, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at(0, OrganisationChanged(description=small()))
        self.at(0, RouterResumed(epoch=1))

    def at(self, seconds: float, *events: Event) -> "History":
        for event in events:
            offset = len(self.records) + 1
            record = Record(offset, f"e{offset}", encode_record(round(seconds * 1000), event))
            self.records.append(record)
            if not isinstance(event, OrganisationChanged | RouterResumed | TimePassed):
                self.answers[record.entry_id] = offset
        return self

    @property
    def lines(self) -> list[Line]:
        return list(replayed(self.records))

    @property
    def seen(self) -> dict[DecisionId, bytes]:
        return seen_of(self.lines)

    def check(self, lines: Sequence[Line] | None = None, *, may_lose: bool = False) -> Verdict:
        """As if *lines*, by default the honest ones, had been both published and replayed."""
        lines = self.lines if lines is None else lines
        return check(lines, answers=self.answers, seen=seen_of(lines), endings=self.endings, may_lose=may_lose)


def seen_of(lines: Iterable[Line]) -> dict[DecisionId, bytes]:
    return {each: encode_output(decision, each) for line in lines for each, decision in line.decided}


def kinds(verdict: Verdict) -> set[str]:
    return {violation.kind for violation in verdict.violations}


def sign_in(*agents: AgentId) -> list[Event]:
    return [event for each in agents for event in (AgentSignedIn(agent_id=each), AgentReady(agent_id=each))]


def arrived(call_id: str) -> CallArrived:
    return CallArrived(call_id=CallId(call_id))


def accepted(call_id: str, agent_id: AgentId, offer_id: str) -> OfferAccepted:
    return OfferAccepted(call_id=CallId(call_id), agent_id=agent_id, offer_id=OfferId(offer_id))


def declined(call_id: str, agent_id: AgentId, offer_id: str) -> OfferDeclined:
    return OfferDeclined(call_id=CallId(call_id), agent_id=agent_id, offer_id=OfferId(offer_id))


def handled(history: History, at_s: float, call_id: str, agent_id: AgentId, offer_id: str) -> History:
    """The offered call is taken, and over a second later."""
    history.at(at_s, accepted(call_id, agent_id, offer_id), CallConnected(call_id=CallId(call_id)))
    history.at(at_s + 1, CallEnded(call_id=CallId(call_id)))
    history.endings[CallId(call_id)] = Outcome.CONNECTED
    return history


def one_call() -> History:
    return handled(History().at(0, *sign_in(BO)).at(1, arrived("c1")), 2, "c1", BO, "o1")


def queue_of_two() -> History:
    """C1 keeps bo; c2 and c3 wait and are answered in turn."""
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, arrived("c2")).at(3, arrived("c3"))
    history = handled(history, 3.5, "c1", BO, "o1")
    history = handled(history, 5, "c2", BO, "o2")
    return handled(history, 7, "c3", BO, "o3")


def eventful() -> History:
    """Everything that the model knows, in a row."""
    history = History().at(0, *sign_in(ANA, BO, CY))
    history.at(1, arrived("c1"), arrived("c2"), arrived("c3"), arrived("c1"))
    history.at(2, declined("c1", ANA, "o1"), AgentNotReady(agent_id=BO))  # Ana takes c2 next.
    history.at(6.5, TimePassed())  # The reserve is asked, and offers run out.
    history.at(7, RouterResumed(epoch=2), TimePassed())
    history.at(7.5, OfferMissed(call_id=CallId("c1"), agent_id=CY, offer_id=OfferId("o3")))
    history.at(8, AgentReady(agent_id=BO), AgentReady(agent_id=ANA))
    history.at(14, TimePassed())
    return history.at(30, TimePassed())


def replaced(lines: list[Line], change: Callable[[Decision], Decision | None]) -> list[Line]:
    """Every decision changed, or left out where None is returned."""
    return [
        line._replace(
            decided=tuple(
                (decision_id, new) for decision_id, decision in line.decided if (new := change(decision)) is not None
            )
        )
        for line in lines
    ]


# --- Honest histories -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [one_call, queue_of_two, eventful], ids=lambda history: history.__name__)
def test_an_honest_history_is_accepted(history: Callable[[], History]) -> None:
    honest = history()
    for line in honest.lines:
        if line.entry_id in honest.answers and line.offset in refused_by_the_engine(honest):
            honest.answers[line.entry_id] = REFUSED

    assert honest.check().violations == []


def refused_by_the_engine(history: History) -> set[int]:
    engine, refused = Engine(small()), set()
    for line in history.lines[1:]:
        if not isinstance(line.event, RouterResumed):
            engine.expire(line.at_ms)
        if isinstance(line.event, TimePassed):
            continue
        try:
            engine.handle(line.event, now_ms=line.at_ms)
        except EventRejected:
            refused.add(line.offset)
    return refused


def test_counts_of_an_honest_history() -> None:
    counts = queue_of_two().check().counts

    assert (counts["calls accepted"], counts["calls ended, connected"]) == (3, 3)
    assert (counts["offers made"], counts["offers accepted"]) == (3, 3)
    assert counts["violations"] == 0


def test_a_restart_repeats_what_is_live() -> None:
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, RouterResumed(epoch=2), TimePassed())

    verdict = handled(history, 3, "c1", BO, "o1").check()

    assert verdict.violations == []
    assert verdict.counts["offers repeated by a restart"] == 1


# --- False ones -----------------------------------------------------------------------------------------------------


def test_an_agent_offered_two_calls() -> None:
    """C2 should wait while bo's phone rings."""
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, arrived("c2"))
    lines = history.lines
    first = next(decision for line in lines for _, decision in line.decided if isinstance(decision, OfferCall))
    second = msgspec.structs.replace(
        first, call_id=CallId("c2"), offer_id=OfferId("o2"), wait_ms=0, expires_at_ms=6_000
    )

    verdict = history.check(replaced(lines, lambda decision: second if isinstance(decision, QueueCall) else decision))

    assert {"two calls at an agent", "two offers seen"} <= kinds(verdict)


def test_a_call_offered_to_two_agents() -> None:
    history = History().at(0, *sign_in(ANA, BO)).at(1, arrived("c1")).at(2, CallAbandoned(call_id=CallId("c1")))
    lines = history.lines
    (index, (decision_id, offer)) = next(
        (index, each) for index, line in enumerate(lines) for each in line.decided if isinstance(each[1], OfferCall)
    )
    assert isinstance(offer, OfferCall)
    second = msgspec.structs.replace(offer, agent_id=BO, offer_id=OfferId("o2"))
    both = ((decision_id, offer), (msgspec.structs.replace(decision_id, index=1), second))
    lines[index] = lines[index]._replace(decided=both)

    assert {"two offers of a call", "two offers seen"} <= kinds(history.check(lines))


def test_an_offer_after_a_restart_that_is_not_the_one_before() -> None:
    """The router forgot c1's offer and made another."""
    history = History().at(0, *sign_in(ANA, BO)).at(1, arrived("c1")).at(2, RouterResumed(epoch=2), TimePassed())

    def change(decision: Decision) -> Decision:
        if isinstance(decision, OfferCall) and decision.wait_ms:
            return msgspec.structs.replace(decision, agent_id=BO, offer_id=OfferId("o2"))
        return decision

    assert {"not decided", "two offers of a call"} <= kinds(history.check(replaced(history.lines, change)))


def test_a_lost_call() -> None:
    """It was accepted and rings; the restart does not know it any more."""
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, RouterResumed(epoch=2), TimePassed())
    lines = history.lines
    lost = [line if not isinstance(line.event, RouterResumed) else line._replace(decided=()) for line in lines]

    assert {"not decided", "call without an end"} <= kinds(history.check(lost))


def test_a_lost_event() -> None:
    """The router said accepted, and the journal does not have it."""
    history = one_call()
    history.answers["e99"] = 99

    assert kinds(history.check()) == {"event lost"}


def test_a_missing_record() -> None:
    lines = one_call().lines

    assert "record missing" in kinds(one_call().check(lines[:5] + lines[6:]))


def test_a_call_that_waits_though_somebody_is_idle() -> None:
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, AgentNotReady(agent_id=BO))

    verdict = history.check(replaced(history.lines, lambda _: None))

    assert "forgotten" in kinds(verdict)


def test_an_overtaking() -> None:
    """When bo is free again, c3 gets him although c2 came before."""
    lines = queue_of_two().lines

    def change(decision: Decision) -> Decision:
        if isinstance(decision, OfferCall) and decision.call_id == "c2":
            return msgspec.structs.replace(decision, call_id=CallId("c3"), wait_ms=decision.wait_ms - 1_000)
        return decision

    assert "overtaken" in kinds(queue_of_two().check(replaced(lines, change)))


def test_a_wait_that_starts_afresh() -> None:
    """C2 came at 2 s; its offer says that it came a second later."""

    def change(decision: Decision) -> Decision:
        if isinstance(decision, OfferCall) and decision.call_id == "c2":
            return msgspec.structs.replace(decision, wait_ms=decision.wait_ms - 1_000)
        return decision

    assert "wait" in kinds(queue_of_two().check(replaced(queue_of_two().lines, change)))


def test_a_wrong_place_in_the_queue() -> None:
    def change(decision: Decision) -> Decision:
        if isinstance(decision, QueueCall) and decision.call_id == "c3":
            return msgspec.structs.replace(decision, position=1)
        return decision

    assert kinds(queue_of_two().check(replaced(queue_of_two().lines, change))) == {"place"}


def test_a_cooldown_that_was_forgotten() -> None:
    """Bo declined c1 and is offered it again at once, instead of 3 s later."""
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, declined("c1", BO, "o1"))
    lines = history.lines
    offer = next(decision for line in lines for _, decision in line.decided if isinstance(decision, OfferCall))
    again = msgspec.structs.replace(offer, offer_id=OfferId("o2"), wait_ms=1_000, expires_at_ms=6_000)

    verdict = history.check(replaced(lines, lambda decision: again if isinstance(decision, QueueCall) else decision))

    assert "too early" in kinds(verdict)


def test_an_offer_that_did_not_run_out() -> None:
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(6, TimePassed()).at(7, arrived("c2"))

    verdict = history.check(
        replaced(history.lines, lambda decision: None if isinstance(decision, WithdrawOffer) else decision)
    )

    assert "overdue" in kinds(verdict)


def test_a_withdrawal_that_was_dropped() -> None:
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(2, CallAbandoned(call_id=CallId("c1")))

    verdict = history.check(replaced(history.lines, lambda each: None if isinstance(each, WithdrawOffer) else each))

    assert kinds(verdict) == {"not decided"}


def test_a_wrap_up_that_does_not_end() -> None:
    history = handled(History().at(0, *sign_in(ANA)).at(1, arrived("c1")), 2, "c1", ANA, "o1").at(6, TimePassed())

    verdict = history.check(replaced(history.lines, lambda each: None if isinstance(each, ReleaseAgent) else each))

    assert kinds(verdict) == {"overdue"}


def test_an_acceptance_that_should_have_been_refused() -> None:
    """The offer ran out at 5 s; at 6 s the router refuses it, but told the platform that it is accepted."""
    history = History().at(0, *sign_in(BO)).at(1, arrived("c1")).at(6, accepted("c1", BO, "o1"))
    history.at(7, CallAbandoned(call_id=CallId("c1")))

    assert kinds(history.check()) == {"answer"}
    history.answers[history.records[-2].entry_id] = REFUSED
    assert kinds(history.check()) == set()


def test_a_decision_that_was_published_otherwise() -> None:
    history, lines = one_call(), one_call().lines
    published = seen_of(replaced(lines, lambda each: _to_ana(each) if isinstance(each, OfferCall) else each))

    verdict = check(lines, answers=history.answers, seen=published, endings=history.endings)

    assert kinds(verdict) == {"decision changed"}


def _to_ana(offer: OfferCall) -> OfferCall:
    return msgspec.structs.replace(offer, agent_id=ANA)


def test_a_decision_that_no_replay_makes() -> None:
    history = one_call()
    seen = history.seen
    decision_id = max(seen)
    seen[DecisionId(decision_id.epoch, decision_id.offset, decision_id.index + 1)] = seen[decision_id]

    verdict = check(history.lines, answers=history.answers, seen=seen, endings=history.endings)

    assert kinds(verdict) == {"decision unknown"}


@pytest.mark.parametrize(("may_lose", "expected"), [(False, {"decision lost"}), (True, set[str]())])
def test_a_decision_that_never_arrived(may_lose: bool, expected: set[str]) -> None:
    """Only a broker that was killed is an excuse."""
    history = one_call()
    seen = history.seen
    del seen[max(seen)]

    verdict = check(history.lines, answers=history.answers, seen=seen, endings=history.endings, may_lose=may_lose)

    assert kinds(verdict) == expected
    assert verdict.counts["decisions that never reached the platform"] == 1


def test_a_call_that_ended_otherwise_for_its_platform() -> None:
    history = one_call()
    history.endings[CallId("c1")] = Outcome.ABANDONED

    assert kinds(history.check()) == {"ending"}


def test_time_that_goes_back() -> None:
    lines = one_call().lines

    verdict = one_call().check([*lines[:-1], lines[-1]._replace(at_ms=500)])

    assert "time" in kinds(verdict)
