"""After a stop of the router: nobody pays for its absence, and nobody is forgotten."""

from typing import Any

from router.core.decisions import ConnectCall, Decision, OfferCall, Rule
from router.core.events import CallConnected, RouterResumed
from router.core.explain import Verdict
from router.core.model import AgentStatus, CallId, Outcome
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
)


def resume(bench: Bench, seconds: float) -> tuple[Decision, ...]:
    """The router was away until now: no deadline was served meanwhile."""
    bench.now_ms = round(seconds * 1000)
    return bench.engine.handle(RouterResumed(epoch=2), now_ms=bench.now_ms)


def aquila(*ready: str, **options: Any) -> Bench:
    """*options* are those of the team."""
    bench = Bench(
        organisation(
            [team("aquila", **options)],
            [portfolio("gold", "aquila", max_wait_s=None)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
        )
    )
    bench.ready(*ready)
    return bench


def test_live_offer_is_made_again_with_a_full_time_to_answer() -> None:
    bench = aquila("ana", offer_timeout_s=20)
    offer = the_offer(bench.arrive(10, "c1"))

    (again,) = resume(bench, 100)

    assert isinstance(again, OfferCall)
    assert (again.offer_id, again.agent_id, again.call_id) == (offer.offer_id, "ana", "c1")
    assert (again.expires_at_ms, again.wait_ms, again.rule) == (120_000, 90_000, offer.rule)
    assert bench.until(119.999) == ()
    assert bench.until(120)[0].rule is Rule.OFFER_EXPIRED


def test_offer_answered_meanwhile_can_be_accepted_after_the_resumption() -> None:
    bench = aquila("ana")
    offer = the_offer(bench.arrive(10, "c1"))
    resume(bench, 100)

    (connect,) = bench.accept(101, offer)

    assert isinstance(connect, ConnectCall)


def test_accepted_call_is_to_be_connected_once_more() -> None:
    bench = aquila("ana", connect_timeout_s=15)
    bench.accept(11, the_offer(bench.arrive(10, "c1")))

    (connect,) = resume(bench, 100)

    assert isinstance(connect, ConnectCall)
    assert (connect.agent_id, connect.wait_ms) == ("ana", 90_000)
    assert bench.until(114.999) == ()
    assert bench.until(115)[0].rule is Rule.CONNECT_TIMEOUT


def test_conversation_has_a_full_lease_again() -> None:
    bench = aquila("ana", talk_lease_s=60)
    bench.talk(10, "c1")

    assert resume(bench, 1_000) == ()
    assert bench.until(1_059.999) == ()
    assert bench.until(1_060)[0].rule is Rule.TALK_LEASE_EXPIRED


def test_presence_has_a_full_lease_again() -> None:
    bench = aquila("ana", presence_lease_s=600)

    assert resume(bench, 10_000) == ()
    assert bench.until(10_599.999) == ()
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}
    assert bench.until(10_600)[0].rule is Rule.PRESENCE_LEASE_EXPIRED


def test_wrap_up_that_ended_meanwhile_is_over() -> None:
    """The agent was at rest, not kept from anything."""
    bench = aquila("ana", wrap_up_s=30)
    bench.talk(10, "c1")
    bench.end(20, "c1")
    bench.arrive(21, "c2")
    resume(bench, 100)

    assert offers(bench.until(100)) == {"c2": "ana"}


def test_waiting_calls_find_the_rings_that_opened_meanwhile() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara"), team("teramo")],
            [portfolio("gold", "aquila", link("pescara", 20), link("teramo", 40))],
            [agent("ana", "aquila"), agent("pia", "pescara"), agent("tea", "teramo")],
        )
    )
    bench.ready("tea", "pia")
    bench.arrive(10, "c1")
    bench.arrive(11, "c2")

    assert resume(bench, 100) == ()
    assert offers(bench.until(100)) == {"c1": "pia", "c2": "tea"}


def test_waiting_call_finds_an_owner_who_came_to_meet_its_needs_meanwhile() -> None:
    """Ana, outside the portfolio's teams, is good enough once the call has waited 20 s."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", skills=(need("data", 3, (20, 1)),))],
            [agent("bo", "aquila", "data:3"), agent("ana", "pescara", "data:1")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana")
    bench.arrive(0, "c1", "K1")
    assert bench.verdicts("c1")["ana"] is Verdict.NOT_YET

    resume(bench, 60)

    assert offers(bench.until(60)) == {"c1": "ana"}


def test_waiting_calls_keep_their_order() -> None:
    bench = aquila()
    bench.arrive(10, "c2")
    bench.arrive(11, "c1")
    resume(bench, 100)
    bench.sign_in(101, "ana")

    assert offers(bench.back(101, "ana")) == {"c2": "ana"}


def test_calls_go_on_where_they_were() -> None:
    bench = aquila("ana")
    bench.accept(11, the_offer(bench.arrive(10, "c1")))
    resume(bench, 100)
    bench.until(100)
    bench.at(101, CallConnected(call_id=CallId("c1")))
    bench.end(160, "c1")

    assert bench.outcome("c1") is Outcome.CONNECTED
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}


def test_resuming_at_rest_says_nothing() -> None:
    bench = aquila("ana", "bo")
    bench.pause(1, "bo")

    assert resume(bench, 100) == ()
    assert offers(bench.arrive(101, "c1")) == {"c1": "ana"}
