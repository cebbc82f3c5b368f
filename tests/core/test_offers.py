"""Offers: at most one an agent and one a call, each with an end.

Ana and Bo are alike; Ana is asked first, because she has been idle for longer.
"""

from typing import Any

import pytest

from router.core.decisions import ConnectCall, EndCall, OfferCall, PauseAgent, QueueCall, Rule, WithdrawOffer
from router.core.errors import Rejection
from router.core.events import CallConnected, CallRefreshed, ConnectFailed, OfferAccepted
from router.core.explain import Verdict
from router.core.model import AgentId, AgentStatus, CallId, CallStatus, ClientId, OfferId, Outcome, PortfolioId
from tests.core.builders import (
    Bench,
    accepted,
    agent,
    client,
    declined,
    missed,
    offers,
    organisation,
    owned_by,
    portfolio,
    team,
    the_offer,
)


def ana_and_bo(*, ready: str = "ana bo", **options: Any) -> Bench:
    """*options* are those of the team."""
    bench = Bench(
        organisation(
            [team("aquila", **options)],
            [portfolio("gold", "aquila", max_wait_s=None)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    for second, name in enumerate(ready.split()):
        bench.ready(name, at=second)
    return bench


# --- An offer, accepted ---


def test_offer_says_what_whom_until_when_and_why() -> None:
    bench = ana_and_bo()

    (decision,) = bench.arrive(10, "c1", "K1")

    assert decision == OfferCall(
        call_id=CallId("c1"),
        wait_ms=0,
        rule=Rule.OWNER,
        path=("client K1", "owner agent ana"),
        ring=0,
        offer_id=OfferId("o1"),
        agent_id=AgentId("ana"),
        agent_country="IT",
        expires_at_ms=30_000,
        portfolio_id=PortfolioId("gold"),
        client_id=ClientId("K1"),
        callback=False,
    )


def test_acceptance_puts_caller_and_agent_through() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))

    (decision,) = bench.accept(14, offer)

    assert isinstance(decision, ConnectCall)
    assert (decision.call_id, decision.agent_id, decision.offer_id) == ("c1", "ana", offer.offer_id)
    assert (decision.rule, decision.wait_ms, decision.callback) == (Rule.ACCEPTED, 4_000, False)


def test_acceptance_said_twice_is_answered_twice() -> None:
    """The first answer may have been lost. Nothing else happens, before or after the call is put through."""
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    first = bench.accept(14, offer)
    steps = bench.explain("c1").steps

    again = bench.accept(14, offer)
    bench.at(15, CallConnected(call_id=offer.call_id))
    after_connection = bench.accept(15, offer)

    assert again == first
    assert offers(after_connection) == {}
    assert isinstance(after_connection[0], ConnectCall)
    assert len(bench.explain("c1").steps) == len(steps) + 1


def test_agent_has_one_offer_at_a_time() -> None:
    bench = ana_and_bo(ready="ana")
    bench.arrive(10, "c1")

    (second,) = bench.arrive(11, "c2")

    assert isinstance(second, QueueCall)
    assert second.rule is Rule.ALL_BUSY


# --- An offer, not taken ---


def test_offer_expires_to_the_millisecond_and_goes_to_the_next() -> None:
    bench = ana_and_bo(offer_timeout_s=20)
    offer = the_offer(bench.arrive(10, "c1"))

    assert bench.until(29.999) == ()
    withdrawn, second = bench.until(30)

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.offer_id, withdrawn.agent_id, withdrawn.rule) == (offer.offer_id, "ana", Rule.OFFER_EXPIRED)
    assert isinstance(second, OfferCall)
    assert (second.agent_id, second.wait_ms, second.expires_at_ms) == ("bo", 20_000, 50_000)
    assert second.offer_id != offer.offer_id


def test_accepting_in_the_millisecond_of_expiry_is_too_late() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))

    rejected = bench.refused(30, accepted(offer))

    assert rejected.reason is Rejection.OFFER_OVER


def test_declined_call_goes_to_the_next_without_a_withdrawal() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))

    (decision,) = bench.decline(12, offer)

    assert isinstance(decision, OfferCall)
    assert (decision.agent_id, decision.wait_ms) == ("bo", 2_000)


def test_call_not_taken_keeps_its_place_in_the_queue() -> None:
    """Declined at 60 s by the only agent, it is still before the call that arrived at 20 s."""
    bench = ana_and_bo(ready="ana", cooldown_s=0, offer_timeout_s=600)
    offer = the_offer(bench.arrive(10, "c1"))
    bench.arrive(20, "c2")

    queued, again = bench.decline(60, offer)

    assert isinstance(queued, QueueCall)
    assert queued.position == 1
    assert isinstance(again, OfferCall)
    assert (again.call_id, again.wait_ms) == ("c1", 50_000)


def test_agent_who_declined_takes_the_next_call_meanwhile() -> None:
    bench = ana_and_bo(ready="ana")
    offer = the_offer(bench.arrive(10, "c1"))
    bench.arrive(11, "c2")

    assert offers(bench.decline(12, offer)) == {"c2": "ana"}


# --- The pair cools down ---


@pytest.mark.parametrize(("how", "reason"), [("decline", "declined"), ("miss", "missed")])
def test_pair_cools_down_to_the_millisecond(how: str, reason: str) -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=30)
    offer = the_offer(bench.arrive(10, "c1"))
    getattr(bench, how)(12, offer)

    (answer, _) = bench.explain("c1").agents
    assert bench.until(41.999) == ()
    again = the_offer(bench.until(42))

    assert (answer.verdict, answer.may_change_ms) == (Verdict.BLOCKED, 42_000)
    assert answer.detail == f"{reason}: not offered to this agent for 30 s"
    assert (again.agent_id, again.wait_ms) == ("ana", 32_000)


def test_owner_is_offered_the_call_again_when_the_cooldown_ends() -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=30)
    bench.decline(12, the_offer(bench.arrive(10, "c1", "K1")))

    offer = the_offer(bench.until(42))

    assert (offer.agent_id, offer.rule) == ("ana", Rule.OWNER)


def test_cooldown_is_between_one_agent_and_one_call() -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=30)
    bench.decline(12, the_offer(bench.arrive(10, "c1")))

    assert offers(bench.arrive(13, "c2")) == {"c2": "ana"}


def test_agent_in_cooldown_does_not_take_the_call_when_freed() -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=300)
    bench.decline(12, the_offer(bench.arrive(10, "c1")))
    bench.talk(13, "c2")

    assert bench.end(20, "c2") == ()


def test_second_decline_starts_a_second_cooldown() -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=30)
    bench.decline(12, the_offer(bench.arrive(10, "c1")))
    bench.decline(45, the_offer(bench.until(42)))

    assert bench.until(74.999) == ()
    assert offers(bench.until(75)) == {"c1": "ana"}


# --- The loser of a race ---


def test_accepting_an_expired_offer_is_refused_with_what_became_of_the_call() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    second = the_offer(bench.until(30))
    bench.accept(31, second)

    rejected = bench.refused(32, accepted(offer))

    assert rejected.reason is Rejection.OFFER_OVER
    assert rejected.detail == "offer o1 of call c1 is over; the call's last step was 'accepted'"


def test_accepting_a_call_whose_caller_has_hung_up_is_refused() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    bench.hang_up(11, "c1")

    rejected = bench.refused(12, accepted(offer))

    assert rejected.reason is Rejection.OFFER_OVER
    assert rejected.detail == "offer o1 of call c1 is over; the call's last step was 'ended: abandoned'"


def test_declining_or_missing_an_offer_that_is_over_is_refused() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    bench.decline(11, offer)

    assert bench.refused(12, declined(offer)).reason is Rejection.OFFER_OVER
    assert bench.refused(12, missed(offer)).reason is Rejection.OFFER_OVER


def test_declining_after_accepting_is_refused() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    bench.accept(11, offer)

    assert bench.refused(12, declined(offer)).reason is Rejection.OFFER_OVER


def test_answering_an_offer_that_was_never_made_is_refused() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))

    def refusal(call_id: str, agent_id: str, offer_id: str) -> Rejection:
        event = OfferAccepted(call_id=CallId(call_id), agent_id=AgentId(agent_id), offer_id=OfferId(offer_id))
        return bench.refused(12, event).reason

    assert refusal("c1", "ana", "o99") is Rejection.UNKNOWN_OFFER
    assert refusal("c1", "bo", offer.offer_id) is Rejection.UNKNOWN_OFFER
    assert refusal("c9", "ana", offer.offer_id) is Rejection.UNKNOWN_CALL
    assert refusal("c1", "zoe", offer.offer_id) is Rejection.UNKNOWN_AGENT


def test_stray_answers_leave_the_live_offer_alone() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    bench.decline(11, offer)
    bench.refused(12, accepted(offer))

    assert bench.explain("c1").status is CallStatus.OFFERED
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1, AgentStatus.OFFERED: 1}


# --- Misses pause the agent ---


def test_misses_in_a_row_pause_the_agent() -> None:
    bench = ana_and_bo(ready="ana", misses_max=3, cooldown_s=0)
    first = the_offer(bench.arrive(10, "c1"))
    second = the_offer(bench.miss(11, first))
    third = the_offer(bench.until(31))

    paused, queued = bench.miss(32, third)

    assert second.call_id == third.call_id == "c1"
    assert paused == PauseAgent(agent_id=AgentId("ana"), rule=Rule.MISSES, path=("team aquila", "agent ana"), misses=3)
    assert isinstance(queued, QueueCall)
    assert queued.rule is Rule.NOBODY_SIGNED_IN
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}
    assert bench.explain("c1").agents[0].detail == "in a pause for 0 s: missed_offers"


def test_offer_that_expires_is_a_miss() -> None:
    bench = ana_and_bo(misses_max=1)
    bench.arrive(10, "c1")

    withdrawn, paused, offered = bench.until(30)

    assert isinstance(withdrawn, WithdrawOffer)
    assert isinstance(paused, PauseAgent)
    assert offers([offered]) == {"c1": "bo"}


def test_ready_again_is_the_way_back_and_counts_afresh() -> None:
    bench = ana_and_bo(ready="ana", misses_max=2, cooldown_s=0)
    bench.miss(12, the_offer(bench.miss(11, the_offer(bench.arrive(10, "c1")))))
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}

    back = the_offer(bench.back(60, "ana"))
    after_one_miss = bench.miss(61, back)

    assert offers(after_one_miss) == {"c1": "ana"}


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_answer_between_two_misses_starts_the_count_afresh(answer: str) -> None:
    bench = ana_and_bo(ready="ana", misses_max=2, cooldown_s=0)
    second = the_offer(bench.miss(11, the_offer(bench.arrive(10, "c1"))))
    getattr(bench, answer)(12, second)
    bench.hang_up(13, "c1")

    third = the_offer(bench.arrive(20, "c2"))

    assert offers(bench.miss(21, third)) == {"c2": "ana"}


# --- Hanging up withdraws at every stage ---


def test_hanging_up_while_it_rings_withdraws_the_offer() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))

    (withdrawn,) = bench.hang_up(12.5, "c1")

    assert withdrawn == WithdrawOffer(
        call_id=CallId("c1"),
        wait_ms=2_500,
        rule=Rule.ABANDONED,
        path=offer.path,
        ring=1,
        offer_id=offer.offer_id,
        agent_id=AgentId("ana"),
    )
    assert bench.agents("aquila") == {AgentStatus.IDLE: 2}


def test_hanging_up_before_being_put_through_takes_the_accepted_call_back() -> None:
    bench = ana_and_bo()
    bench.accept(11, the_offer(bench.arrive(10, "c1")))

    (withdrawn,) = bench.hang_up(12, "c1")

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.agent_id, withdrawn.rule) == ("ana", Rule.ABANDONED)
    assert bench.outcome("c1") is Outcome.ABANDONED
    assert bench.agents("aquila") == {AgentStatus.IDLE: 2}


@pytest.mark.parametrize("accept", [False, True])
def test_agent_whose_caller_hung_up_takes_the_next_call_at_once(accept: bool) -> None:
    bench = ana_and_bo(ready="ana")
    offer = the_offer(bench.arrive(10, "c1"))
    bench.arrive(11, "c2")
    if accept:
        bench.accept(12, offer)

    withdrawn, offered = bench.hang_up(13, "c1")

    assert isinstance(withdrawn, WithdrawOffer)
    assert offers([offered]) == {"c2": "ana"}


# --- Putting through ---


def test_failed_connection_returns_the_call_to_its_place() -> None:
    bench = ana_and_bo()
    offer = the_offer(bench.arrive(10, "c1"))
    bench.accept(11, offer)

    withdrawn, offered = bench.at(13, ConnectFailed(call_id=offer.call_id))

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.agent_id, withdrawn.rule) == ("ana", Rule.CONNECT_FAILED)
    assert isinstance(offered, OfferCall)
    assert (offered.agent_id, offered.wait_ms) == ("bo", 3_000)


def test_agent_of_a_failed_connection_cools_down_for_that_call() -> None:
    bench = ana_and_bo(ready="ana", cooldown_s=30)
    offer = the_offer(bench.arrive(10, "c1"))
    bench.accept(11, offer)
    bench.at(13, ConnectFailed(call_id=offer.call_id))

    assert bench.until(42.999) == ()
    assert offers(bench.until(43)) == {"c1": "ana"}


def test_connecting_that_takes_too_long_returns_the_call() -> None:
    bench = ana_and_bo(connect_timeout_s=15)
    bench.accept(11, the_offer(bench.arrive(10, "c1")))

    assert bench.until(25.999) == ()
    withdrawn, offered = bench.until(26)

    assert isinstance(withdrawn, WithdrawOffer)
    assert withdrawn.rule is Rule.CONNECT_TIMEOUT
    assert offers([offered]) == {"c1": "bo"}


def test_accepting_again_does_not_prolong_connecting() -> None:
    bench = ana_and_bo(connect_timeout_s=15)
    offer = the_offer(bench.arrive(10, "c1"))
    bench.accept(11, offer)
    bench.accept(25, offer)

    assert offers(bench.until(26)) == {"c1": "bo"}


@pytest.mark.parametrize("event", [CallConnected, ConnectFailed])
def test_only_an_accepted_call_can_be_put_through_or_fail_to(event: type[CallConnected | ConnectFailed]) -> None:
    bench = ana_and_bo()
    bench.arrive(10, "c1")

    rejected = bench.refused(11, event(call_id=CallId("c1")))

    assert rejected.reason is Rejection.WRONG_CALL_STATE
    assert rejected.detail == "call c1 is offered, not accepted"


# --- The talk lease ---


def test_conversation_of_which_nothing_is_heard_is_taken_to_have_ended() -> None:
    bench = ana_and_bo(talk_lease_s=7_200, wrap_up_s=30)
    bench.connect(11, bench.arrive(10, "c1"))

    assert bench.until(7_210.999) == ()
    (decision,) = bench.until(7_211)

    assert isinstance(decision, EndCall)
    assert (decision.call_id, decision.agent_id, decision.rule) == ("c1", "ana", Rule.TALK_LEASE_EXPIRED)
    assert bench.outcome("c1") is Outcome.CONNECTED
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1, AgentStatus.WRAP_UP: 1}


def test_refreshed_conversation_goes_on() -> None:
    bench = ana_and_bo(talk_lease_s=60)
    bench.connect(11, bench.arrive(10, "c1"))
    bench.at(70, CallRefreshed(call_id=CallId("c1")))

    assert bench.until(129.999) == ()
    (decision,) = bench.until(130)

    assert isinstance(decision, EndCall)


def test_only_a_conversation_can_be_refreshed() -> None:
    bench = ana_and_bo()
    bench.arrive(10, "c1")

    rejected = bench.refused(11, CallRefreshed(call_id=CallId("c1")))

    assert rejected.detail == "call c1 is offered, not connected"


# --- Offers are counted by how they ended ---


def test_offers_are_counted_by_how_they_ended() -> None:
    bench = ana_and_bo(ready="ana bo", cooldown_s=0, misses_max=9)
    second = the_offer(bench.decline(11, the_offer(bench.arrive(10, "c1"))))
    third = the_offer(bench.miss(12, second))
    fourth = the_offer(bench.until(32))
    bench.accept(33, fourth)
    bench.hang_up(34, "c1")
    bench.arrive(40, "c2")
    bench.hang_up(41, "c2")

    assert third.call_id == "c1"
    assert bench.engine.summary(now_ms=bench.now_ms).offers == {
        Rule.ABANDONED: 1,
        Rule.ACCEPTED: 1,
        Rule.DECLINED: 1,
        Rule.MISSED: 1,
        Rule.OFFER_EXPIRED: 1,
    }
