"""What becomes of a call: where it goes, what it waits for, and the one way in which it ends."""

from typing import Any

import pytest

from router.core.decisions import ConnectCall, FallbackCall, OfferCall, QueueCall, Rule, WithdrawOffer
from router.core.errors import Rejection
from router.core.events import (
    CallAbandoned,
    CallArrived,
    CallbackRequested,
    CallConnected,
    CallEnded,
    CallTransferred,
    ConnectFailed,
)
from router.core.model import (
    AgentStatus,
    CallId,
    CallStatus,
    Fallback,
    FallbackKind,
    Outcome,
    PortfolioId,
    Segment,
)
from tests.core.builders import (
    Bench,
    agent,
    client,
    link,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    team,
    the_offer,
    the_queueing,
)


def gold(*agent_ids: str, wrap_up_s: int = 0, **options: Any) -> Bench:
    """Portfolio gold with team aquila, whose agents are ready; *options* are those of the portfolio."""
    bench = Bench(
        organisation(
            [team("aquila", wrap_up_s=wrap_up_s)],
            [portfolio("gold", "aquila", **options)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold")],
        )
    )
    bench.ready(*agent_ids)
    return bench


# --- The caller hangs up, at every stage ---


def test_abandoned_while_waiting() -> None:
    bench = gold()
    bench.arrive(1, "c1")

    decisions = bench.hang_up(5, "c1")

    assert decisions == ()
    assert bench.outcome("c1") is Outcome.ABANDONED
    assert (bench.queue("gold").waiting, bench.queue("gold").outcomes[Outcome.ABANDONED]) == (0, 1)
    assert bench.engine.next_deadline_ms() is None


def test_abandoned_while_held_for_the_owner() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", owner_wait_s=600)],
            [agent("ana", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.arrive(1, "c1", "K1")
    bench.hang_up(2, "c1")

    assert bench.outcome("c1") is Outcome.ABANDONED
    assert the_queueing(bench.arrive(2, "c2", "K1")).expected_wait_ms == 298_000
    assert offers(bench.end(3, "earlier")) == {"c2": "ana"}


def test_hanging_up_in_conversation_ends_the_call_as_connected() -> None:
    bench = gold("ana", wrap_up_s=30)
    bench.talk(1, "c1")

    decisions = bench.hang_up(100, "c1")

    assert decisions == ()
    assert bench.outcome("c1") is Outcome.CONNECTED
    assert bench.agents("aquila") == {AgentStatus.WRAP_UP: 1}


def test_call_that_ends_before_it_was_put_through_was_abandoned() -> None:
    bench = gold("ana")
    bench.arrive(1, "c1")
    (withdrawn,) = bench.end(2, "c1")
    bench.arrive(3, "c2")
    bench.end(4, "c2")

    assert isinstance(withdrawn, WithdrawOffer)
    assert bench.outcome("c1") is bench.outcome("c2") is Outcome.ABANDONED


@pytest.mark.parametrize("event", [CallAbandoned, CallEnded, CallbackRequested, CallTransferred, CallConnected])
def test_events_of_calls_that_are_over_or_unknown_are_refused(event: type[CallAbandoned]) -> None:
    bench = gold()
    bench.arrive(1, "c1")
    bench.hang_up(2, "c1")

    over = bench.refused(3, event(call_id=CallId("c1")))
    unknown = bench.refused(3, event(call_id=CallId("c9")))

    assert (over.reason, over.detail) == (Rejection.CALL_OVER, "call c1 is over: abandoned")
    assert (unknown.reason, unknown.detail) == (Rejection.UNKNOWN_CALL, "there is no call c9")


def test_call_arrives_once() -> None:
    bench = gold()
    bench.arrive(1, "c1")

    live = bench.refused(2, CallArrived(call_id=CallId("c1")))
    bench.hang_up(3, "c1")
    over = bench.refused(4, CallArrived(call_id=CallId("c1")))

    assert live.reason is over.reason is Rejection.DUPLICATE_CALL
    assert bench.queue("gold").arrived == 1


# --- Which portfolio: nobody is dropped for being unknown ---


def test_portfolio_of_a_call_is_found_by_client_then_hint_then_segment_then_default() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio(name, "aquila") for name in ("front", "gold", "silver", "bronze")],
            [agent("ana", "aquila")],
            [client("K1", "gold", callers=("p-4711",)), client("K2", None)],
            segments=(Segment(segment="business", portfolio_id=PortfolioId("bronze")),),
        )
    )

    def found(call_id: str, client_id: str | None = None, **options: Any) -> tuple[str, str, str | None]:
        bench.arrive(0, call_id, client_id, **options)
        explanation = bench.explain(call_id)
        return explanation.portfolio_id, explanation.found_by, explanation.client_id

    assert found("by id", "K1", portfolio_id="silver", segment="business") == ("gold", "client", "K1")
    assert found("by caller", caller="p-4711", portfolio_id="silver") == ("gold", "client", "K1")
    assert found("unknown id, known caller", "K9", caller="p-4711") == ("gold", "client", "K1")
    assert found("by hint", "K9", portfolio_id="silver", segment="business") == ("silver", "portfolio", "K9")
    assert found("unknown hint", portfolio_id="platinum", segment="business") == ("bronze", "segment", None)
    assert found("by segment", caller="p-0000", segment="business") == ("bronze", "segment", None)
    assert found("unknown segment", segment="wholesale") == ("front", "default", None)
    assert found("withheld number") == ("front", "default", None)
    assert found("client without portfolio", "K2") == ("front", "default", "K2")
    assert found("client without portfolio, hint", "K2", portfolio_id="silver") == ("silver", "portfolio", "K2")


def test_client_without_portfolio_may_have_an_owner() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("front", "aquila")],
            [agent("bo", "aquila"), agent("ana", "pescara")],
            [client("K1", None, ownerships=owned_by("ana"))],
        )
    )
    bench.ready("bo", "ana")

    assert the_offer(bench.arrive(1, "c1", "K1")).rule is Rule.OWNER


# --- The place in the queue ---


def test_position_and_expected_wait() -> None:
    """Position times the handling time of 300 s, over two agents at work."""
    bench = gold("ana", "bo")
    bench.talk(0, "a")
    bench.talk(0, "b")

    first = the_queueing(bench.arrive(1, "c1"))
    second = the_queueing(bench.arrive(2, "c2"))
    in_front = the_queueing(bench.arrive(3, "c3", head_start_s=60))

    assert (first.position, first.expected_wait_ms, first.ring) == (1, 150_000, 1)
    assert (second.position, second.expected_wait_ms) == (2, 300_000)
    assert (in_front.position, in_front.expected_wait_ms) == (1, 150_000)


def test_expected_wait_follows_measured_handling_times_and_presence() -> None:
    bench = gold("ana", "bo")
    bench.talk(0, "a")
    bench.end(100, "a")
    bench.talk(100, "b")
    bench.talk(100, "c")
    bench.pause(100, "bo")

    queued = the_queueing(bench.arrive(101, "c1"))

    assert queued.expected_wait_ms == 50_000


def test_expected_wait_is_unknown_while_nobody_is_signed_in() -> None:
    bench = gold()

    assert the_queueing(bench.arrive(1, "c1")).expected_wait_ms is None


def test_position_counts_the_calls_of_the_portfolio_alone() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila"), portfolio("silver", "aquila")],
            [agent("ana", "aquila")],
        )
    )
    bench.arrive(0, "c1", portfolio_id="gold")

    assert the_queueing(bench.arrive(1, "c2", portfolio_id="silver")).position == 1
    assert the_queueing(bench.arrive(2, "c3", portfolio_id="gold")).position == 2


def test_queue_shows_callers_call_backs_and_the_longest_wait() -> None:
    bench = gold()
    bench.arrive(1, "c1")
    bench.arrive(5, "c2")
    bench.arrive(6, "c3")
    bench.call_back(7, "c1")

    queue = bench.queue("gold")

    assert (queue.waiting, queue.callbacks_waiting, queue.oldest_wait_ms, queue.arrived) == (2, 1, 2_000, 3)


# --- Rank: arrival less head start ---


def taken_by_ana(bench: Bench, seconds: float) -> list[str]:
    """The order in which Ana, signing in, takes the waiting calls."""
    bench.sign_in(seconds, "ana")
    order: list[str] = []
    decisions = bench.back(seconds, "ana")
    while decisions:
        order.append(the_offer(decisions).call_id)
        decisions = tuple(d for d in bench.hang_up(seconds, order[-1]) if isinstance(d, OfferCall))
    return order


def test_calls_are_answered_in_order_of_arrival() -> None:
    bench = gold()
    for second, call_id in enumerate(("c3", "c1", "c2")):
        bench.arrive(second, call_id)

    assert taken_by_ana(bench, 10) == ["c3", "c1", "c2"]


def test_calls_of_the_same_moment_are_answered_by_id() -> None:
    bench = gold()
    for call_id in ("c3", "c1", "c2"):
        bench.arrive(0, call_id)

    assert taken_by_ana(bench, 10) == ["c1", "c2", "c3"]


def test_head_start_overtakes_by_so_many_seconds_and_no_more() -> None:
    """30 s overtake a call that arrived 29 s before, not one that arrived 31 s before; at 30 s the id decides."""
    bench = gold()
    bench.arrive(0, "a, 31 s before")
    bench.arrive(1, "b, 30 s before")
    bench.arrive(2, "d, 29 s before")
    bench.arrive(31, "c", head_start_s=30)

    assert taken_by_ana(bench, 40) == ["a, 31 s before", "b, 30 s before", "c", "d, 29 s before"]


def test_head_starts_of_portfolio_and_call_add_up() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", head_start_s=20), portfolio("silver", "aquila")],
            [agent("ana", "aquila")],
        )
    )
    bench.arrive(0, "silver-1", portfolio_id="silver")
    bench.arrive(15, "gold-1", portfolio_id="gold")
    bench.arrive(25, "gold-2", portfolio_id="gold", head_start_s=10)
    bench.arrive(25, "silver-2", portfolio_id="silver", head_start_s=-10)
    bench.arrive(30, "silver-3", portfolio_id="silver")

    assert taken_by_ana(bench, 40) == ["gold-1", "gold-2", "silver-1", "silver-3", "silver-2"]


def test_head_start_does_not_open_a_ring_sooner() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", link("pescara", 20), head_start_s=600)],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready("pia")
    bench.arrive(0, "c1")

    assert bench.until(19.999) == ()
    assert offers(bench.until(20)) == {"c1": "pia"}


# --- Own first ---


def own_first(own: bool) -> Bench:
    """Ana's team aquila owns gold and helps silver out. She is the owner of K1 in silver and of K2 in gold."""
    bench = Bench(
        organisation(
            [team("aquila", own_first=own), team("pescara")],
            [portfolio("gold", "aquila"), portfolio("silver", "pescara", "aquila")],
            [agent("ana", "aquila"), agent("pia", "pescara")],
            [
                client("K1", "silver", ownerships=owned_by("ana")),
                client("K2", "gold", ownerships=owned_by("ana")),
                client("K3", "gold"),
                client("K4", "silver"),
                client("K5", "silver", ownerships=owned_by("pia", "ana")),
            ],
        )
    )
    bench.arrive(0, "c4", "K4")
    bench.arrive(1, "c5", "K5")
    bench.arrive(2, "c3", "K3")
    bench.arrive(3, "c1", "K1")
    bench.arrive(4, "c2", "K2")
    return bench


def test_own_first_means_own_clients_then_own_portfolios_then_rank() -> None:
    """Being a backup makes no client one's own."""
    assert taken_by_ana(own_first(True), 10) == ["c1", "c2", "c3", "c4", "c5"]


def test_without_own_first_rank_alone_decides() -> None:
    assert taken_by_ana(own_first(False), 10) == ["c4", "c5", "c3", "c1", "c2"]


def test_offer_to_a_freed_agent_names_the_rule() -> None:
    bench = own_first(True)
    bench.sign_in(10, "ana")
    decisions = bench.back(10, "ana")
    rules = {}
    while offers(decisions):
        offer = the_offer(decisions)
        rules[offer.call_id] = offer.rule
        decisions = bench.hang_up(10, offer.call_id)

    assert rules == {
        "c1": Rule.OWNER,
        "c2": Rule.OWNER,
        "c3": Rule.OWN_PORTFOLIO,
        "c4": Rule.RANK,
        "c5": Rule.BACKUP,
    }


# --- Transfers ---


def two_portfolios(wrap_up_s: int = 0) -> Bench:
    return Bench(
        organisation(
            [team("aquila", wrap_up_s=wrap_up_s), team("pescara")],
            [portfolio("gold", "aquila"), portfolio("silver", "pescara")],
            [agent("ana", "aquila"), agent("bo", "aquila", "data"), agent("pia", "pescara", "data", languages=("de",))],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )


def test_transferred_call_goes_to_the_portfolio_and_the_agent_wraps_up() -> None:
    bench = two_portfolios(wrap_up_s=30)
    bench.ready("ana", "pia")
    bench.talk(0, "c1", "K1")

    offer = the_offer(bench.transfer(60, "c1", portfolio_id=PortfolioId("silver")))

    assert (offer.agent_id, offer.portfolio_id, offer.client_id, offer.wait_ms) == ("pia", "silver", "K1", 60_000)
    assert bench.agents("aquila") == {AgentStatus.WRAP_UP: 1}


def test_transferred_call_keeps_its_first_arrival() -> None:
    """It arrived first, so it is before the call that has waited for most of its conversation."""
    bench = two_portfolios()
    bench.ready("ana")
    bench.talk(0, "c2", "K1")
    bench.arrive(1, "c1", portfolio_id="silver")

    queued = the_queueing(bench.transfer(60, "c2", portfolio_id=PortfolioId("silver")))
    bench.sign_in(61, "pia")

    assert (queued.position, queued.wait_ms) == (1, 60_000)
    assert offers(bench.back(61, "pia")) == {"c2": "pia"}


def test_transferred_call_never_returns_to_the_agent() -> None:
    """Ana, the owner, is idle again; nobody else is signed in."""
    bench = two_portfolios()
    bench.ready("ana")
    bench.talk(0, "c1", "K1")
    bench.transfer(60, "c1")

    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}
    assert bench.until(500) == ()
    assert bench.explain("c1").agents[0].detail == "transferred: not offered to this agent for good"
    bench.sign_in(501, "bo")
    assert offers(bench.back(501, "bo")) == {"c1": "bo"}


def test_transferred_call_waits_at_most_the_maximum_from_the_transfer() -> None:
    bench = gold("ana", max_wait_s=30)
    bench.talk(0, "c1")
    bench.transfer(60, "c1")

    assert bench.until(89.999) == ()
    (decision,) = bench.until(90)

    assert (decision.rule, bench.outcome("c1")) == (Rule.MAX_WAIT, Outcome.FALLBACK)


def test_transfer_may_ask_for_other_skills_and_another_language() -> None:
    bench = two_portfolios()
    bench.ready("ana", "bo")
    bench.talk(0, "c1", "K1")
    assert offers(bench.transfer(1, "c1", skills=(need("data"),))) == {"c1": "bo"}
    bench.talk(2, "c2", "K1")

    queued = bench.transfer(3, "c2", portfolio_id=PortfolioId("silver"), language="de")
    bench.sign_in(4, "pia")

    assert the_queueing(queued).rule is Rule.NOBODY_SIGNED_IN
    assert offers(bench.back(4, "pia")) == {"c2": "pia"}


def test_transfer_keeps_the_language_unless_told_otherwise() -> None:
    bench = two_portfolios()
    bench.ready("pia")
    bench.talk(0, "c1", portfolio_id="silver", language="de")
    bench.ready("bo")

    (decision,) = bench.transfer(1, "c1", portfolio_id=PortfolioId("gold"))

    assert decision.rule is Rule.UNSERVABLE


def test_transfer_keeps_the_skills_unless_told_otherwise() -> None:
    bench = two_portfolios()
    bench.ready("bo")
    bench.talk(0, "c1", skills=(need("data"),))
    bench.ready("ana")

    (kept,) = bench.transfer(1, "c1")
    bench.end(1, "c1")
    bench.talk(2, "c2", skills=(need("data"),))
    dropped = bench.transfer(3, "c2", skills=())

    assert isinstance(kept, QueueCall)
    assert offers(dropped) == {"c2": "ana"}


def test_transfer_to_an_unknown_portfolio_or_skill_is_refused() -> None:
    bench = two_portfolios()
    bench.ready("ana")
    bench.talk(0, "c1")
    call_id = CallId("c1")

    portfolio_refused = bench.refused(1, CallTransferred(call_id=call_id, portfolio_id=PortfolioId("platinum")))
    skill_refused = bench.refused(1, CallTransferred(call_id=call_id, skills=(need("magic"),)))

    assert (portfolio_refused.reason, portfolio_refused.detail) == (
        Rejection.UNKNOWN_PORTFOLIO,
        "there is no portfolio 'platinum'",
    )
    assert skill_refused.reason is Rejection.UNKNOWN_SKILL
    assert bench.explain("c1").status is CallStatus.CONNECTED


def test_only_a_conversation_can_be_transferred() -> None:
    bench = gold("ana")
    bench.arrive(0, "c1")

    rejected = bench.refused(1, CallTransferred(call_id=CallId("c1")))

    assert rejected.detail == "call c1 is offered, not connected"


def test_transferred_call_ends_in_one_way_like_any_other() -> None:
    bench = two_portfolios()
    bench.ready("ana")
    bench.talk(0, "c1", "K1")
    bench.transfer(60, "c1", portfolio_id=PortfolioId("silver"))
    bench.hang_up(70, "c1")

    assert bench.outcome("c1") is Outcome.ABANDONED


# --- Call-backs ---


def test_call_back_keeps_its_place() -> None:
    bench = gold(max_wait_s=60)
    bench.arrive(0, "c1")
    bench.arrive(1, "c2")

    (queued,) = bench.call_back(10, "c1")

    assert isinstance(queued, QueueCall)
    assert (queued.rule, queued.position, queued.wait_ms) == (Rule.CALLBACK_REQUESTED, 1, 10_000)
    bench.sign_in(20, "ana")
    assert offers(bench.back(20, "ana")) == {"c1": "ana"}


def test_call_back_is_offered_and_connected_as_such_and_ends_as_called_back() -> None:
    bench = gold()
    bench.arrive(0, "c1")
    bench.call_back(10, "c1")
    bench.sign_in(900, "ana")

    offer = the_offer(bench.back(900, "ana"))
    (connect,) = bench.accept(901, offer)
    bench.at(902, CallConnected(call_id=CallId("c1")))
    bench.end(950, "c1")

    assert (offer.callback, offer.wait_ms) == (True, 900_000)
    assert isinstance(connect, ConnectCall)
    assert connect.callback
    assert bench.outcome("c1") is Outcome.CALLED_BACK


def test_transferred_call_back_is_a_call_like_any_other() -> None:
    """The client is on the line now."""
    bench = gold("ana")
    bench.arrive(0, "c1")
    bench.connect(6, bench.call_back(5, "c1"))
    bench.ready("bo", at=7)

    offer = the_offer(bench.transfer(60, "c1"))
    bench.connect(61, [offer])
    bench.end(70, "c1")

    assert not offer.callback
    assert bench.outcome("c1") is Outcome.CONNECTED


def test_call_back_does_not_end_at_the_maximum_wait_of_callers() -> None:
    bench = gold(max_wait_s=60)
    bench.arrive(0, "c1")
    bench.call_back(10, "c1")

    assert bench.until(3_600) == ()
    assert bench.queue("gold").callbacks_waiting == 1


def test_call_back_that_could_not_be_made_expires_into_a_message() -> None:
    """Whatever the portfolio's fallback is: a call-back instead of a call-back would never end."""
    bench = gold(callback_max_wait_s=1_000, fallback=Fallback(FallbackKind.CALLBACK))
    bench.arrive(0, "c1")
    bench.call_back(10, "c1")

    assert bench.until(1_009.999) == ()
    (decision,) = bench.until(1_010)

    assert isinstance(decision, FallbackCall)
    assert (decision.kind, decision.target, decision.rule) == (FallbackKind.MESSAGE, "", Rule.CALLBACK_EXPIRED)
    assert bench.outcome("c1") is Outcome.FALLBACK


def test_call_back_requested_while_a_phone_rings_is_offered_anew_to_the_same_agent() -> None:
    bench = gold("ana", "bo")
    offer = the_offer(bench.arrive(0, "c1"))

    withdrawn, again = bench.call_back(5, "c1")

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.offer_id, withdrawn.rule) == (offer.offer_id, Rule.CALLBACK_REQUESTED)
    assert isinstance(again, OfferCall)
    assert (again.agent_id, again.callback, again.wait_ms) == ("ana", True, 5_000)


def test_call_back_requested_while_the_owners_phone_rings_stays_with_the_owner() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila")],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("bo", "ana")
    bench.arrive(0, "c1", "K1")

    offer = the_offer(bench.call_back(5, "c1"))

    assert (offer.agent_id, offer.rule, offer.callback) == ("ana", Rule.OWNER, True)


def test_agent_whose_call_became_a_call_back_for_its_owner_takes_what_waits() -> None:
    """Bo, the owner, is back, and Ana is the only one who may take the other call."""
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila")],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("bo")), client("K2", "gold", exclusions=("bo",))],
        )
    )
    bench.ready("ana")
    bench.arrive(0, "c1", "K1")
    bench.arrive(1, "c2", "K2")
    bench.ready("bo", at=2)

    assert offers(bench.call_back(5, "c1")) == {"c1": "bo", "c2": "ana"}


def test_waiting_call_back_is_cancelled_by_its_end() -> None:
    bench = gold()
    bench.arrive(0, "c1")
    bench.call_back(10, "c1")

    assert bench.end(60, "c1") == ()
    assert bench.outcome("c1") is Outcome.CALLBACK_CANCELLED


def test_offered_call_back_is_cancelled_by_its_end() -> None:
    bench = gold("ana")
    bench.arrive(0, "c1")
    offer = the_offer(bench.call_back(5, "c1"))

    (withdrawn,) = bench.end(6, "c1")

    assert isinstance(withdrawn, WithdrawOffer)
    assert withdrawn.offer_id == offer.offer_id
    assert bench.outcome("c1") is Outcome.CALLBACK_CANCELLED
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}


def test_caller_hanging_up_while_waiting_for_a_call_back_is_no_loss() -> None:
    bench = gold()
    bench.arrive(0, "c1")
    bench.call_back(10, "c1")

    rejected = bench.refused(11, CallAbandoned(call_id=CallId("c1")))

    assert rejected.reason is Rejection.WRONG_CALL_STATE
    assert "send call_ended to cancel" in rejected.detail


def test_call_back_that_nobody_answers_returns_to_its_place() -> None:
    bench = gold("ana", "bo")
    bench.arrive(0, "c1")
    bench.accept(6, the_offer(bench.call_back(5, "c1")))

    again = the_offer(bench.at(30, ConnectFailed(call_id=CallId("c1"))))

    assert (again.agent_id, again.callback, again.wait_ms) == ("bo", True, 30_000)


def test_call_back_is_requested_once_and_before_the_conversation() -> None:
    bench = gold("ana")
    bench.talk(0, "c1")
    bench.arrive(0, "c2")
    bench.call_back(1, "c2")

    in_conversation = bench.refused(2, CallbackRequested(call_id=CallId("c1")))
    twice = bench.refused(2, CallbackRequested(call_id=CallId("c2")))

    assert in_conversation.detail == "call c1 is connected, not waiting or offered"
    assert twice.detail == "call c2 waits for a call-back already"


# --- Limits and fallbacks ---


def test_maximum_wait_ends_to_the_millisecond_in_the_fallback() -> None:
    bench = gold(max_wait_s=60, fallback=Fallback(FallbackKind.NUMBER, "+39-0862-1"))
    bench.arrive(1, "c1")

    assert bench.until(60.999) == ()
    (decision,) = bench.until(61)

    assert decision == FallbackCall(
        call_id=CallId("c1"),
        wait_ms=60_000,
        rule=Rule.MAX_WAIT,
        path=("unknown client", "portfolio gold"),
        kind=FallbackKind.NUMBER,
        target="+39-0862-1",
    )
    assert bench.outcome("c1") is Outcome.FALLBACK
    assert bench.queue("gold").waiting == 0


def test_without_a_maximum_the_call_waits_as_long_as_the_caller() -> None:
    bench = gold(max_wait_s=None)
    bench.arrive(1, "c1")

    assert bench.engine.next_deadline_ms() is None
    assert bench.until(1_000_000) == ()


def test_ringing_phone_is_not_interrupted_by_the_maximum_wait() -> None:
    bench = gold("ana", max_wait_s=10)
    bench.arrive(0, "c1")

    assert bench.until(19.999) == ()
    assert bench.explain("c1").status is CallStatus.OFFERED


def test_limit_that_passed_while_it_rang_in_vain_ends_the_wait() -> None:
    bench = gold("ana", max_wait_s=10)
    offer = the_offer(bench.arrive(0, "c1"))

    (decision,) = bench.decline(15, offer)

    assert isinstance(decision, FallbackCall)
    assert (decision.rule, decision.wait_ms) == (Rule.MAX_WAIT, 15_000)


def test_limit_that_passed_while_it_rang_leaves_an_idle_colleague_the_call() -> None:
    bench = gold("ana", "bo", max_wait_s=10)
    offer = the_offer(bench.arrive(0, "c1"))

    assert offers(bench.decline(15, offer)) == {"c1": "bo"}


def test_agent_idle_at_the_very_moment_of_the_limit_gets_the_call() -> None:
    """The ring opens at the limit: being served comes before being sent away."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", link("pescara", 60), max_wait_s=60)],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready("pia")
    bench.arrive(0, "c1")

    assert offers(bench.until(60)) == {"c1": "pia"}


def test_fallback_to_a_call_back_keeps_the_place_and_stays_with_the_router() -> None:
    bench = gold(max_wait_s=60, fallback=Fallback(FallbackKind.CALLBACK))
    bench.arrive(0, "c1")
    bench.arrive(50, "c2")

    fallback, queued = bench.until(60)

    assert isinstance(fallback, FallbackCall)
    assert fallback.kind is FallbackKind.CALLBACK
    assert isinstance(queued, QueueCall)
    assert queued.position == 1
    assert bench.queue("gold").callbacks_waiting == 1
    bench.sign_in(61, "ana")
    offer = the_offer(bench.back(61, "ana"))
    assert (offer.call_id, offer.callback) == ("c1", True)


def test_fallback_to_a_portfolio_keeps_the_first_arrival_and_starts_a_new_limit() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [
                portfolio("gold", "aquila", max_wait_s=60, fallback=Fallback(FallbackKind.PORTFOLIO, "silver")),
                portfolio("silver", "pescara", max_wait_s=45, fallback=Fallback(FallbackKind.MESSAGE, "sorry")),
            ],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.arrive(30, "c1", portfolio_id="gold")
    bench.arrive(50, "c2", portfolio_id="silver")

    fallback, queued = bench.until(90)
    assert isinstance(fallback, FallbackCall)
    assert (fallback.kind, fallback.target, fallback.rule) == (FallbackKind.PORTFOLIO, "silver", Rule.MAX_WAIT)
    assert isinstance(queued, QueueCall)
    assert (queued.portfolio_id, queued.position, queued.wait_ms) == ("silver", 1, 60_000)
    bench.hang_up(91, "c2")
    assert bench.until(134.999) == ()
    (message,) = bench.until(135)

    assert isinstance(message, FallbackCall)
    assert (message.kind, message.target, message.wait_ms) == (FallbackKind.MESSAGE, "sorry", 105_000)
    assert bench.queue("silver").outcomes[Outcome.FALLBACK] == 1


def test_fallbacks_form_a_chain() -> None:
    """Gold cannot serve the call, nor can silver; bronze calls back."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [
                portfolio(
                    "gold", "aquila", skills=(need("data"),), fallback=Fallback(FallbackKind.PORTFOLIO, "silver")
                ),
                portfolio(
                    "silver", "aquila", skills=(need("data"),), fallback=Fallback(FallbackKind.PORTFOLIO, "bronze")
                ),
                portfolio("bronze", "pescara", max_wait_s=0, fallback=Fallback(FallbackKind.CALLBACK)),
            ],
            [agent("ana", "aquila", "data"), agent("pia", "pescara", languages=("de",))],
        )
    )

    decisions = bench.arrive(0, "c1", language="de")

    assert [(d.kind, d.target, d.rule) for d in decisions if isinstance(d, FallbackCall)] == [
        (FallbackKind.PORTFOLIO, "silver", Rule.UNSERVABLE),
        (FallbackKind.PORTFOLIO, "bronze", Rule.UNSERVABLE),
        (FallbackKind.CALLBACK, "", Rule.MAX_WAIT),
    ]
    assert the_queueing(decisions).portfolio_id == "bronze"
    assert bench.queue("bronze").callbacks_waiting == 1
    assert [bench.queue(name).arrived for name in ("gold", "silver", "bronze")] == [1, 0, 0]


def test_story_of_a_call_is_kept_step_by_step() -> None:
    bench = gold("ana")
    bench.connect(3, bench.arrive(1, "c1"))
    bench.end(60, "c1")

    steps = [(step.at_ms, step.what, step.agent_id) for step in bench.explain("c1").steps]

    assert steps == [
        (1_000, "arrived", None),
        (1_000, "offered: longest_idle", "ana"),
        (3_000, "accepted", "ana"),
        (3_000, "connected", "ana"),
        (60_000, "ended: connected", None),
    ]


def test_view_of_a_call_says_when_the_caller_first_spoke_to_an_agent() -> None:
    bench = gold("ana", "bo")
    bench.connect(3, bench.arrive(1, "c1"))
    bench.connect(65, bench.transfer(60, "c1"))

    view = bench.engine.find(CallId("c1"))

    assert view is not None
    assert (view.portfolio_id, view.status, view.outcome) == ("gold", CallStatus.CONNECTED, None)
    assert (view.arrived_ms, view.connected_ms) == (1_000, 3_000)
    assert bench.engine.find(CallId("c9")) is None
