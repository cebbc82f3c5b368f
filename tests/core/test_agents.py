"""Agents: signing in and out, seats, pauses, wrap-up, and signs of life."""

from datetime import date
from typing import Any

import pytest

from router.core.decisions import Decision, ReleaseAgent, Rule, SignOutAgent, WithdrawOffer
from router.core.errors import Rejection
from router.core.events import (
    AgentEvent,
    AgentNotReady,
    AgentReady,
    AgentRefreshed,
    AgentSignedIn,
    AgentSignedOut,
    CallConnected,
    ConnectFailed,
    OfferDeclined,
)
from router.core.explain import Verdict
from router.core.model import AgentId, AgentStatus, CallId, Ownership, SiteId
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    need,
    offers,
    organisation,
    portfolio,
    site,
    team,
    the_offer,
)

ANA = AgentId("ana")


def ana_and_bo(
    *ready: str,
    seats: int | None = None,
    training_rooms: tuple[str, ...] = (),
    closed_on: tuple[date, ...] = (),
    **options: Any,
) -> Bench:
    """*options* are those of the team, which sits in L'Aquila with *seats*; there is a second site, in Romania."""
    hall = site("seats", "IT", seats=seats, training_rooms=training_rooms, closed_on=closed_on)
    bench = Bench(
        organisation(
            [team("aquila", site_id="seats", **options)],
            [portfolio("gold", "aquila", max_wait_s=None)],
            [agent("ana", "aquila"), agent("bo", "aquila"), agent("cleo", "aquila")],
            sites=(SITE, hall, site("iasi", "RO")),
        )
    )
    bench.ready(*ready)
    return bench


# --- Signing in ---


def test_signed_in_is_not_yet_ready() -> None:
    bench = ana_and_bo()
    bench.arrive(0, "c1")

    assert bench.sign_in(1, "ana") == ()
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}
    assert offers(bench.back(2, "ana")) == {"c1": "ana"}


def test_agent_signs_in_once() -> None:
    bench = ana_and_bo("ana")

    rejected = bench.refused(1, AgentSignedIn(agent_id=ANA))

    assert (rejected.reason, rejected.detail) == (Rejection.WRONG_AGENT_STATE, "agent ana is signed in already")


@pytest.mark.parametrize("event", [AgentSignedIn, AgentReady, AgentNotReady, AgentSignedOut, AgentRefreshed])
def test_unknown_agents_are_refused(event: type[AgentEvent]) -> None:
    rejected = ana_and_bo().refused(0, event(agent_id=AgentId("zoe")))

    assert rejected.reason is Rejection.UNKNOWN_AGENT
    assert rejected.detail == "there is no agent zoe in the organisation"


@pytest.mark.parametrize("event", [AgentReady, AgentNotReady, AgentSignedOut, AgentRefreshed])
def test_agents_who_are_not_signed_in_are_refused(event: type[AgentEvent]) -> None:
    rejected = ana_and_bo().refused(0, event(agent_id=ANA))

    assert (rejected.reason, rejected.detail) == (Rejection.WRONG_AGENT_STATE, "agent ana is not signed in")


def test_saying_what_is_so_already_is_refused() -> None:
    bench = ana_and_bo("ana")

    ready = bench.refused(1, AgentReady(agent_id=ANA))
    bench.pause(2, "ana", "lunch")
    not_ready = bench.refused(3, AgentNotReady(agent_id=ANA, reason="lunch"))

    assert ready.detail == "agent ana is ready already"
    assert not_ready.detail == "agent ana is not ready already"
    assert bench.pause(4, "ana", "training") == ()


# --- Seats ---


def test_seat_beyond_the_last_is_refused() -> None:
    bench = ana_and_bo("ana", "bo", seats=2)

    rejected = bench.refused(1, AgentSignedIn(agent_id=AgentId("cleo")))

    assert (rejected.reason, rejected.detail) == (Rejection.SITE_FULL, "all 2 seats of site seats are taken")


def test_seat_is_free_again_when_its_agent_signs_out() -> None:
    bench = ana_and_bo("ana", "bo", seats=2)
    bench.talk(1, "c1")
    bench.sign_out(2, "ana")
    assert bench.refused(3, AgentSignedIn(agent_id=AgentId("cleo"))).reason is Rejection.SITE_FULL

    bench.end(4, "c1")

    assert bench.sign_in(5, "cleo") == ()


def test_seat_has_one_agent() -> None:
    bench = ana_and_bo()
    bench.sign_in(0, "ana", seat="A-17")

    rejected = bench.refused(1, AgentSignedIn(agent_id=AgentId("bo"), seat="A-17"))
    bench.sign_in(2, "bo", seat="A-18")
    bench.sign_out(3, "ana")
    bench.sign_in(4, "cleo", seat="A-17")

    assert (rejected.reason, rejected.detail) == (
        Rejection.SEAT_TAKEN,
        "seat A-17 of site seats is taken by ana",
    )


def test_same_seat_id_at_another_site_is_another_seat() -> None:
    bench = ana_and_bo()
    bench.sign_in(0, "ana", seat="A-17")

    assert bench.sign_in(1, "bo", seat="A-17", site_id=SiteId("iasi")) == ()


def test_unknown_site_is_refused() -> None:
    rejected = ana_and_bo().refused(0, AgentSignedIn(agent_id=ANA, site_id=SiteId("atlantis")))

    assert (rejected.reason, rejected.detail) == (Rejection.UNKNOWN_SITE, "there is no site 'atlantis'")


def test_agent_at_home_takes_no_seat() -> None:
    bench = ana_and_bo("ana", seats=1)

    assert bench.sign_in(1, "bo", country="IT") == ()
    assert bench.refused(2, AgentSignedIn(agent_id=AgentId("cleo"))).reason is Rejection.SITE_FULL


def test_seat_is_held_through_break_call_and_wrap_up() -> None:
    bench = ana_and_bo("ana", seats=1, wrap_up_s=30)
    bo = AgentSignedIn(agent_id=AgentId("bo"))
    bench.pause(1, "ana", "lunch")
    on_break = bench.refused(2, bo)
    bench.back(3, "ana")
    offer = the_offer(bench.arrive(4, "c1"))
    ringing = bench.refused(5, bo)
    bench.connect(6, (offer,))
    talking = bench.refused(7, bo)
    bench.end(8, "c1")
    assert bench.agents("aquila") == {AgentStatus.WRAP_UP: 1}
    wrapping_up = bench.refused(9, bo)
    bench.until(60)
    idle = bench.refused(61, bo)

    assert {each.reason for each in (on_break, ringing, talking, wrapping_up, idle)} == {Rejection.SITE_FULL}


def test_seat_is_held_while_somebody_who_signs_out_still_talks() -> None:
    bench = ana_and_bo("ana", seats=1, wrap_up_s=30)
    bench.talk(1, "c1")
    bench.sign_out(2, "ana")
    talking = bench.refused(3, AgentSignedIn(agent_id=AgentId("bo")))
    bench.end(4, "c1")
    wrapping_up = bench.refused(5, AgentSignedIn(agent_id=AgentId("bo")))
    bench.until(34)

    assert talking.reason is wrapping_up.reason is Rejection.SITE_FULL
    assert bench.sign_in(35, "bo") == ()


def test_seat_is_free_again_when_its_agent_is_no_longer_heard_of() -> None:
    bench = ana_and_bo("ana", seats=1, presence_lease_s=60)
    assert bench.refused(59, AgentSignedIn(agent_id=AgentId("bo"))).reason is Rejection.SITE_FULL

    bench.until(61)

    assert bench.sign_in(62, "bo") == ()


def test_seats_in_a_training_room_do_not_count() -> None:
    bench = ana_and_bo(seats=1, training_rooms=("aula-", "T"))
    bench.sign_in(0, "ana", seat="aula-1")

    assert bench.sign_in(1, "bo", seat="A-17") == ()
    assert bench.refused(2, AgentSignedIn(agent_id=AgentId("cleo"), seat="A-18")).reason is Rejection.SITE_FULL
    assert bench.refused(3, AgentSignedIn(agent_id=AgentId("cleo"), seat="aula-1")).reason is Rejection.SEAT_TAKEN
    assert bench.sign_in(4, "cleo", seat="T2") == ()


def test_leaving_a_training_room_frees_no_seat_of_the_floor() -> None:
    bench = ana_and_bo("bo", seats=1, training_rooms=("aula-",))
    bench.sign_in(1, "ana", seat="aula-1")
    bench.sign_out(2, "ana")

    assert bench.refused(3, AgentSignedIn(agent_id=AgentId("cleo"))).reason is Rejection.SITE_FULL
    assert bench.sign_in(4, "cleo", seat="aula-1") == ()


def test_closed_day_of_a_site_keeps_nobody_from_work() -> None:
    """On 1 January 1970, when this bench begins. What a site is closed on is for planning."""
    bench = ana_and_bo(closed_on=(date(1970, 1, 1),))
    bench.ready("ana")

    assert offers(bench.arrive(1, "c1")) == {"c1": "ana"}


def test_251st_sign_in_is_refused() -> None:
    names = [f"a{number:03}" for number in range(251)]
    bench = Bench(
        organisation(
            [team("aquila", site_id="hall")],
            [portfolio("gold", "aquila")],
            [agent(name, "aquila") for name in names],
            sites=(SITE, site("hall", "IT", seats=250)),
        )
    )
    for name in names[:250]:
        assert bench.sign_in(0, name) == ()

    rejected = bench.refused(0, AgentSignedIn(agent_id=AgentId(names[250])))
    bench.sign_out(1, names[17])

    assert (rejected.reason, rejected.detail) == (Rejection.SITE_FULL, "all 250 seats of site hall are taken")
    assert bench.sign_in(2, names[250]) == ()


def test_country_at_home_counts_for_the_calls_countries() -> None:
    bench = ana_and_bo()
    bench.sign_in(0, "ana", country="DE")
    bench.back(0, "ana")
    bench.sign_in(1, "bo")
    bench.back(1, "bo")

    assert offers(bench.arrive(2, "c1", countries=("IT",))) == {"c1": "bo"}
    assert offers(bench.arrive(2, "c2", countries=("DE",))) == {"c2": "ana"}


def test_country_of_the_site_one_sits_at_today_counts() -> None:
    bench = ana_and_bo()
    bench.sign_in(0, "ana", site_id=SiteId("iasi"))
    bench.back(0, "ana")

    (waits,) = bench.arrive(1, "c1", countries=("IT",))

    assert waits.rule is Rule.NOBODY_SIGNED_IN
    assert offers(bench.arrive(1, "c2", countries=("RO",))) == {"c2": "ana"}


def test_waiting_call_is_offered_to_an_agent_of_a_kind_not_seen_before() -> None:
    """Ana was last seen in L'Aquila; at home she is the only one who may take the call."""
    bench = ana_and_bo()
    bench.ready("bo")
    bench.arrive(0, "c1")
    bench.arrive(0, "c2")
    bench.sign_in(5, "ana", country="DE")

    assert offers(bench.back(5, "ana")) == {"c2": "ana"}


@pytest.mark.parametrize("step", ["ringing", "connecting"])
def test_call_that_rang_meanwhile_also_finds_an_agent_of_a_kind_not_seen_before(step: str) -> None:
    """Ana signs in from home while the call is with Bo; he does not take it, and she is idle."""
    bench = ana_and_bo("bo")
    offer = the_offer(bench.arrive(0, "c1"))
    if step == "connecting":
        bench.accept(1, offer)
    bench.sign_in(5, "ana", country="DE")
    bench.back(5, "ana")

    decisions = bench.decline(6, offer) if step == "ringing" else bench.at(6, ConnectFailed(call_id=offer.call_id))

    assert offers(decisions) == {"c1": "ana"}


# --- Pauses ---


def test_not_ready_while_idle_takes_effect_at_once() -> None:
    bench = ana_and_bo("ana")
    bench.pause(1, "ana", "lunch")

    assert offers(bench.arrive(61, "c1")) == {}
    (answer, *_) = bench.explain("c1").agents
    assert (answer.verdict, answer.detail) == (Verdict.NOT_READY, "in a pause for 60 s: lunch")


def test_not_ready_while_the_phone_rings_withdraws_the_offer() -> None:
    bench = ana_and_bo("ana", "bo")
    offer = the_offer(bench.arrive(1, "c1"))

    withdrawn, offered = bench.pause(2, "ana")

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.offer_id, withdrawn.rule) == (offer.offer_id, Rule.AGENT_NOT_READY)
    assert offers([offered]) == {"c1": "bo"}
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1, AgentStatus.OFFERED: 1}


@pytest.mark.parametrize("connected", [False, True])
def test_not_ready_during_a_call_takes_effect_after_it(connected: bool) -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.accept(1, the_offer(bench.arrive(1, "c1")))
    if connected:
        bench.at(2, CallConnected(call_id=CallId("c1")))

    assert bench.pause(3, "ana", "lunch") == ()
    assert AgentStatus.NOT_READY not in bench.agents("aquila")
    bench.hang_up(10, "c1")
    bench.until(40)

    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}


def test_not_ready_in_wrap_up_ends_it() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.end(10, "c1")
    assert bench.agents("aquila") == {AgentStatus.WRAP_UP: 1}

    bench.pause(15, "ana")

    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}
    assert bench.until(1_000) == ()


def test_saying_ready_during_the_call_takes_the_pause_back() -> None:
    bench = ana_and_bo("ana")
    bench.talk(1, "c1")
    bench.pause(2, "ana")
    bench.back(3, "ana")
    bench.end(10, "c1")

    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}


# --- Wrap-up ---


def test_wrap_up_ends_by_itself_to_the_millisecond() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.end(10, "c1")
    bench.arrive(11, "c2")

    assert bench.until(39.999) == ()
    released, offered = bench.until(40)

    assert released == ReleaseAgent(agent_id=ANA, rule=Rule.WRAP_UP_OVER, path=("team aquila", "agent ana"), ready=True)
    assert offers([offered]) == {"c2": "ana"}


def test_ready_ends_wrap_up_early_and_nothing_happens_at_its_limit() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.end(10, "c1")
    bench.arrive(11, "c2")

    assert offers(bench.back(12, "ana")) == {"c2": "ana"}
    assert [decision.rule for decision in bench.until(32)] == [Rule.OFFER_EXPIRED, Rule.ALL_BUSY]


def test_release_says_that_the_agent_goes_into_the_pause_asked_for() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.pause(2, "ana")
    bench.end(10, "c1")

    (released,) = bench.until(40)

    assert isinstance(released, ReleaseAgent)
    assert not released.ready
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}


def test_team_without_wrap_up_is_ready_at_the_end_of_the_call() -> None:
    bench = ana_and_bo("ana", wrap_up_s=0)
    bench.talk(1, "c1")
    bench.arrive(2, "c2")

    decisions = bench.end(10, "c1")

    assert offers(decisions) == {"c2": "ana"}


# --- Signing out ---


def test_signing_out_while_idle_takes_effect_at_once() -> None:
    bench = ana_and_bo("ana")
    bench.sign_out(1, "ana")

    assert bench.agents("aquila") == {}
    assert offers(bench.arrive(2, "c1")) == {}
    assert bench.verdicts("c1")["ana"] is Verdict.SIGNED_OUT


def test_signing_out_while_the_phone_rings_withdraws_the_offer() -> None:
    bench = ana_and_bo("ana", "bo")
    bench.arrive(1, "c1")

    withdrawn, offered = bench.sign_out(2, "ana")

    assert isinstance(withdrawn, WithdrawOffer)
    assert withdrawn.rule is Rule.AGENT_SIGNED_OUT
    assert offers([offered]) == {"c1": "bo"}


def test_signing_out_during_a_call_takes_effect_after_it() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.arrive(2, "c2")

    assert bench.sign_out(3, "ana") == ()
    assert bench.agents("aquila") == {AgentStatus.IN_CALL: 1}
    bench.end(10, "c1")
    (released,) = bench.until(40)

    assert isinstance(released, ReleaseAgent)
    assert not released.ready
    assert bench.agents("aquila") == {}


def test_agent_who_is_to_sign_out_may_change_her_mind() -> None:
    bench = ana_and_bo("ana")
    bench.talk(1, "c1")
    bench.sign_out(2, "ana")
    bench.back(3, "ana")
    bench.arrive(4, "c2")

    assert offers(bench.end(10, "c1")) == {"c2": "ana"}


def test_signing_out_in_wrap_up_ends_it() -> None:
    bench = ana_and_bo("ana", wrap_up_s=30)
    bench.talk(1, "c1")
    bench.end(10, "c1")
    bench.sign_out(11, "ana")

    assert bench.agents("aquila") == {}


def test_pause_asked_for_ends_with_the_session() -> None:
    bench = ana_and_bo("ana")
    bench.talk(1, "c1")
    bench.pause(2, "ana")
    bench.sign_out(3, "ana")
    bench.end(4, "c1")
    bench.ready("ana", at=10)
    bench.talk(11, "c2")
    bench.end(12, "c2")

    assert bench.agents("aquila") == {AgentStatus.IDLE: 1}


# --- The presence lease ---


def signed_out(decisions: tuple[Decision, ...]) -> list[AgentId]:
    return [decision.agent_id for decision in decisions if isinstance(decision, SignOutAgent)]


def test_agent_of_whom_nothing_is_heard_is_signed_out() -> None:
    bench = ana_and_bo("ana", presence_lease_s=600)

    assert bench.until(599.999) == ()
    (decision,) = bench.until(600)

    assert decision == SignOutAgent(agent_id=ANA, rule=Rule.PRESENCE_LEASE_EXPIRED, path=("team aquila", "agent ana"))
    assert bench.agents("aquila") == {}


def test_seat_of_an_agent_lost_is_free_again() -> None:
    bench = ana_and_bo("ana", presence_lease_s=600, seats=1)
    bench.until(600)

    assert bench.sign_in(601, "bo") == ()


@pytest.mark.parametrize("sign_of_life", ["refresh", "pause", "decline"])
def test_sign_of_life_renews_the_lease(sign_of_life: str) -> None:
    bench = ana_and_bo("ana", presence_lease_s=600)
    if sign_of_life == "refresh":
        bench.at(500, AgentRefreshed(agent_id=ANA))
    elif sign_of_life == "pause":
        bench.pause(500, "ana")
    else:
        offer = the_offer(bench.arrive(500, "c1"))
        bench.decline(500, offer)
        bench.hang_up(500, "c1")

    assert signed_out(bench.until(1_099.999)) == []
    assert signed_out(bench.until(1_100)) == [ANA]


def test_missed_offer_is_no_sign_of_life() -> None:
    """The platform reports it, not the agent."""
    bench = ana_and_bo("ana", presence_lease_s=600)
    bench.miss(500, the_offer(bench.arrive(500, "c1")))
    bench.hang_up(500, "c1")

    assert signed_out(bench.until(600)) == [ANA]


def test_lease_ends_with_the_session() -> None:
    """Signed out before it ended, and signed in anew: nothing happens at its end, and the new one is a full one."""
    bench = ana_and_bo("ana", "bo", presence_lease_s=600)
    bench.sign_out(500, "ana")
    bench.sign_out(500, "bo")
    bench.ready("ana", at=550)

    assert bench.until(1_149.999) == ()
    assert signed_out(bench.until(1_150)) == [ANA]


def test_lease_that_ends_while_the_phone_rings_withdraws_the_offer() -> None:
    bench = ana_and_bo("ana", presence_lease_s=600)
    bench.arrive(590, "c1")
    bench.ready("bo", at=599)

    sign_out, withdrawn, offered = bench.until(600)

    assert signed_out((sign_out,)) == [ANA]
    assert isinstance(withdrawn, WithdrawOffer)
    assert withdrawn.rule is Rule.PRESENCE_LEASE_EXPIRED
    assert offers([offered]) == {"c1": "bo"}


def test_agent_in_conversation_is_not_signed_out_by_the_lease() -> None:
    """The call has deadlines of its own; the lease is looked at again a minute later, and after the call it counts."""
    bench = ana_and_bo("ana", presence_lease_s=600)
    bench.talk(10, "c1")

    assert bench.until(650) == ()
    assert bench.agents("aquila") == {AgentStatus.IN_CALL: 1}
    bench.end(655, "c1")
    assert bench.until(669.999) == ()
    assert signed_out(bench.until(670)) == [ANA]


def test_owner_who_signs_in_elsewhere_is_not_offered_calls_that_must_stay_in_the_country() -> None:
    """Also where a colleague has sat in that country before, so that nothing about groups is new."""
    owned = client("K1", "p0", ownerships=(Ownership(owner=AgentId("A0")),))
    bench = Bench(organisation([team("t0")], [portfolio("p0", "t0")], [agent("A0", "t0"), agent("A1", "t0")], [owned]))
    bench.at(0, AgentSignedIn(agent_id=AgentId("A1"), country="RO"))
    bench.arrive(1, "c1", "K1", countries=("IT",))

    bench.at(2, AgentSignedIn(agent_id=AgentId("A0"), country="RO"))
    abroad = bench.at(3, AgentReady(agent_id=AgentId("A0")))
    bench.at(4, AgentSignedOut(agent_id=AgentId("A0")))
    bench.at(5, AgentSignedIn(agent_id=AgentId("A0")))
    at_home = bench.at(6, AgentReady(agent_id=AgentId("A0")))

    assert offers(abroad) == {}
    assert offers(at_home) == {"c1": "A0"}


def test_cooldown_of_the_only_agent_does_not_make_a_call_unservable() -> None:
    owned = client("K1", "p0", ownerships=(Ownership(owner=AgentId("A0")),))
    agents = [agent("A0", "t1", "gold:9"), agent("A1", "t0", "gold:1"), agent("A2", "t0")]
    bench = Bench(organisation([team("t0"), team("t1", cooldown_s=30)], [portfolio("p0", "t0")], agents, [owned]))
    bench.ready("A0")
    offer = the_offer(bench.arrive(1, "c1", "K1", skills=(need("gold", 5),)))
    bench.at(2, OfferDeclined(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))

    bench.at(3, AgentSignedIn(agent_id=AgentId("A2"), country="RO"))

    assert offers(bench.until(40)) == {"c1": "A0"}
