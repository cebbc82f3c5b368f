"""Presence: sequence numbers, leases, suspicion; and the platform's own list of calls and agents."""

from router.core import Rejection
from router.core.decisions import (
    AnswerResync,
    ConnectCall,
    Decision,
    EndCall,
    OfferCall,
    Rule,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentRefreshed,
    AgentSignedIn,
    AgentSignedOut,
    AgentSuspected,
    CallArrived,
    CallbackRequested,
    CallConnected,
    CallEnded,
    Event,
    LiveAgent,
    LiveCall,
    OfferAccepted,
    PlatformResynced,
    RouterResumed,
)
from router.core.model import AgentId, AgentStatus, CallId, OfferId
from tests.core.builders import Bench, agent, organisation, portfolio, team

ANA, BO = AgentId("ana"), AgentId("bo")


class Desk(Bench):
    """A bench whose clock is turned by hand."""

    def handle(self, event: Event) -> tuple[Decision, ...]:
        return self.at(self.now_ms / 1000, event)

    def pass_s(self, seconds: float) -> tuple[Decision, ...]:
        return self.until(self.now_ms / 1000 + seconds)

    @staticmethod
    def offers(decisions: tuple[Decision, ...]) -> list[OfferCall]:
        return [decision for decision in decisions if isinstance(decision, OfferCall)]


def bench() -> Desk:
    options = {"offer_timeout_s": 20, "presence_lease_s": 600, "suspect_s": 30, "wrap_up_s": 10}
    people = [agent("ana", "north"), agent("bo", "north")]
    return Desk(organisation([team("north", **options)], [portfolio("gold", "north")], people))


def refused(desk: Desk, event: Event) -> Rejection:
    return desk.refused(desk.now_ms / 1000, event).reason


def statuses(desk: Desk) -> dict[AgentStatus, int]:
    agents = desk.engine.summary(now_ms=desk.now_ms).teams[0].agents
    return {status: count for status, count in agents.items() if count}


def test_presence_older_than_the_last_is_stale_and_changes_nothing() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA, sequence=10))
    desk.handle(AgentReady(agent_id=ANA, sequence=11))

    for stale in (AgentSignedOut(agent_id=ANA, sequence=10), AgentNotReady(agent_id=ANA, sequence=11)):
        assert refused(desk, stale) is Rejection.STALE
    assert refused(desk, AgentRefreshed(agent_id=ANA, sequence=3)) is Rejection.STALE

    assert statuses(desk) == {AgentStatus.IDLE: 1}
    desk.handle(AgentNotReady(agent_id=ANA, sequence=12))
    assert statuses(desk) == {AgentStatus.NOT_READY: 1}


def test_the_sequence_outlives_signing_out() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA, sequence=10))
    desk.handle(AgentSignedOut(agent_id=ANA, sequence=11))

    assert refused(desk, AgentSignedIn(agent_id=ANA, sequence=10)) is Rejection.STALE
    desk.handle(AgentSignedIn(agent_id=ANA, sequence=12))


def test_a_numbered_report_of_what_is_so_already_outdates_older_ones() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA, sequence=1))
    desk.handle(AgentNotReady(agent_id=ANA, reason="break"))

    assert desk.handle(AgentNotReady(agent_id=ANA, reason="break", sequence=4)) == ()
    assert refused(desk, AgentReady(agent_id=ANA, sequence=3)) is Rejection.STALE

    desk.handle(AgentSignedOut(agent_id=ANA))
    assert desk.handle(AgentSignedOut(agent_id=ANA, sequence=9)) == ()
    assert refused(desk, AgentSignedIn(agent_id=ANA, sequence=5)) is Rejection.STALE


def test_a_pause_of_any_name_lasts_until_the_agent_is_ready() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    desk.handle(AgentNotReady(agent_id=ANA, reason="suspect"))

    desk.handle(AgentRefreshed(agent_id=ANA))

    assert statuses(desk) == {AgentStatus.NOT_READY: 1}


def test_a_suspect_is_offered_nothing_and_keeps_the_place_among_the_idle() -> None:
    desk = bench()
    for name in (ANA, BO):
        desk.handle(AgentSignedIn(agent_id=name, session="s1"))
        desk.handle(AgentReady(agent_id=name))
        desk.pass_s(1)

    desk.handle(AgentSuspected(agent_id=ANA, session="s1"))
    (offer,) = desk.offers(desk.handle(CallArrived(call_id=CallId("c1"))))
    assert offer.agent_id == BO
    desk.handle(AgentRefreshed(agent_id=ANA, session="s2"))

    # Idle since before bo: the desktop's absence cost nothing.
    (offer,) = desk.offers(desk.handle(CallArrived(call_id=CallId("c2"))))
    assert offer.agent_id == ANA


def test_a_suspect_who_comes_back_takes_the_call_that_waits() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    desk.handle(AgentSuspected(agent_id=ANA))
    assert not desk.offers(desk.handle(CallArrived(call_id=CallId("c1"))))

    assert [offer.agent_id for offer in desk.offers(desk.handle(AgentRefreshed(agent_id=ANA)))] == [ANA]


def test_a_suspect_of_whom_nothing_is_heard_is_signed_out() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    desk.handle(AgentSuspected(agent_id=ANA))

    assert desk.pass_s(29.999) == ()
    (decision,) = desk.pass_s(0.001)

    assert isinstance(decision, SignOutAgent)
    assert decision.rule is Rule.PRESENCE_LEASE_EXPIRED


def test_a_conversation_outlives_a_suspicion() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    desk.handle(CallArrived(call_id=CallId("c1")))
    desk.handle(OfferAccepted(agent_id=ANA, call_id=CallId("c1"), offer_id=OfferId("o1")))
    desk.handle(CallConnected(call_id=CallId("c1")))

    desk.handle(AgentSuspected(agent_id=ANA))
    assert desk.pass_s(60) == ()

    assert statuses(desk) == {AgentStatus.IN_CALL: 1}


def test_the_last_will_of_an_old_connection_is_stale() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA, session="s1"))
    desk.handle(AgentReady(agent_id=ANA, session="s2"))

    assert refused(desk, AgentSuspected(agent_id=ANA, session="s1")) is Rejection.STALE
    desk.handle(AgentSuspected(agent_id=ANA, session="s2"))
    assert refused(desk, AgentSuspected(agent_id=ANA, session="s2")) is Rejection.WRONG_AGENT_STATE


def test_a_desktop_may_promise_a_shorter_lease() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA, lease_s=20))
    desk.handle(AgentReady(agent_id=ANA))
    desk.pass_s(15)
    desk.handle(AgentRefreshed(agent_id=ANA))

    assert desk.pass_s(19.999) == ()
    (decision,) = desk.pass_s(0.001)
    assert isinstance(decision, SignOutAgent)


def test_a_restart_of_the_router_clears_no_suspicion() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    desk.handle(AgentSuspected(agent_id=ANA))
    desk.handle(RouterResumed(epoch=2))

    assert not desk.offers(desk.handle(CallArrived(call_id=CallId("c1"))))
    assert any(isinstance(decision, SignOutAgent) for decision in desk.pass_s(30))


def test_what_the_platform_no_longer_has_is_over() -> None:
    desk = bench()
    for name in (ANA, BO):
        desk.handle(AgentSignedIn(agent_id=name))
        desk.handle(AgentReady(agent_id=name))
    for number in range(1, 6):
        desk.handle(CallArrived(call_id=CallId(f"c{number}")))
    desk.handle(OfferAccepted(agent_id=ANA, call_id=CallId("c1"), offer_id=OfferId("o1")))
    desk.handle(CallbackRequested(call_id=CallId("c5")))

    decisions = desk.handle(
        PlatformResynced(
            calls=(
                LiveCall(call_id=CallId("c1"), agent_id=ANA),
                LiveCall(call_id=CallId("c3")),
                LiveCall(call_id=CallId("c9")),
            ),
            agents=(LiveAgent(agent_id=ANA, ready=True), LiveAgent(agent_id=AgentId("eva"), ready=True)),
        )
    )

    answer = decisions[-1]
    assert isinstance(answer, AnswerResync)
    assert answer.unknown_calls == ("c9",)
    # Those that waited first, so that nobody who was freed is offered one of them.
    assert answer.ended_calls == ("c4", "c2")
    assert answer.unknown_agents == ("eva",)
    assert answer.signed_out_agents == ("bo",)
    assert answer.disputed_calls == ()
    withdrawn = [decision.call_id for decision in decisions if isinstance(decision, WithdrawOffer)]
    # c2 rang at bo; freed, bo took c3, and then was not there at all.
    assert withdrawn == ["c2", "c3"]
    assert statuses(desk) == {AgentStatus.IN_CALL: 1}
    assert desk.engine.summary(now_ms=desk.now_ms).portfolios[0].waiting == 1
    assert desk.engine.summary(now_ms=desk.now_ms).portfolios[0].callbacks_waiting == 1


def test_live_orders_are_repeated_with_full_deadlines() -> None:
    desk = bench()
    for name in (ANA, BO):
        desk.handle(AgentSignedIn(agent_id=name))
        desk.handle(AgentReady(agent_id=name))
    for number in (1, 2):
        desk.handle(CallArrived(call_id=CallId(f"c{number}")))
    desk.handle(OfferAccepted(agent_id=ANA, call_id=CallId("c1"), offer_id=OfferId("o1")))
    desk.pass_s(15)
    everything = PlatformResynced(
        calls=(LiveCall(call_id=CallId("c1")), LiveCall(call_id=CallId("c2"))),
        agents=(LiveAgent(agent_id=ANA, ready=True), LiveAgent(agent_id=BO, ready=True)),
    )

    connect, offer, answer = desk.handle(everything)

    assert isinstance(connect, ConnectCall)
    assert connect.offer_id == "o1"
    assert isinstance(offer, OfferCall)
    assert (offer.offer_id, offer.expires_at_ms) == ("o2", desk.now_ms + 20_000)
    assert isinstance(answer, AnswerResync)
    assert not any((answer.unknown_calls, answer.ended_calls, answer.unknown_agents, answer.signed_out_agents))


def test_a_call_with_somebody_else_is_disputed_and_pauses_are_followed() -> None:
    desk = bench()
    for name in (ANA, BO):
        desk.handle(AgentSignedIn(agent_id=name))
    desk.handle(AgentReady(agent_id=BO))
    desk.handle(CallArrived(call_id=CallId("c1")))

    *_, answer = desk.handle(
        PlatformResynced(
            calls=(LiveCall(call_id=CallId("c1"), agent_id=ANA),),
            agents=(LiveAgent(agent_id=ANA, ready=True), LiveAgent(agent_id=BO, ready=False)),
        )
    )

    assert isinstance(answer, AnswerResync)
    assert answer.disputed_calls == ("c1",)
    # bo, who does not want calls, no longer rings; ana, who does, is next.
    assert statuses(desk) == {AgentStatus.OFFERED: 1, AgentStatus.NOT_READY: 1}
    assert not any(isinstance(decision, EndCall) for decision in desk.pass_s(1))


def test_a_list_says_what_follows_the_present_call() -> None:
    desk = bench()
    for name in (ANA, BO):
        desk.handle(AgentSignedIn(agent_id=name))
        desk.handle(AgentReady(agent_id=name))
    for number, name in ((1, ANA), (2, BO)):
        call_id = CallId(f"c{number}")
        desk.handle(CallArrived(call_id=call_id))
        desk.handle(OfferAccepted(agent_id=name, call_id=call_id, offer_id=OfferId(f"o{number}")))
        desk.handle(CallConnected(call_id=call_id))
    desk.handle(AgentNotReady(agent_id=BO))
    calls = (LiveCall(call_id=CallId("c1"), agent_id=ANA), LiveCall(call_id=CallId("c2"), agent_id=BO))

    desk.handle(
        PlatformResynced(calls=calls, agents=(LiveAgent(agent_id=ANA, ready=False), LiveAgent(agent_id=BO, ready=True)))
    )
    for number in (1, 2):
        desk.handle(CallEnded(call_id=CallId(f"c{number}")))
    desk.pass_s(10)

    assert statuses(desk) == {AgentStatus.NOT_READY: 1, AgentStatus.IDLE: 1}
    assert not desk.offers(desk.handle(AgentRefreshed(agent_id=ANA)))


def test_the_two_may_disagree_on_who_is_over_or_alone() -> None:
    desk = bench()
    desk.handle(AgentSignedIn(agent_id=ANA))
    desk.handle(AgentReady(agent_id=ANA))
    for number in (1, 2):
        desk.handle(CallArrived(call_id=CallId(f"c{number}")))
    desk.handle(OfferAccepted(agent_id=ANA, call_id=CallId("c1"), offer_id=OfferId("o1")))
    desk.handle(CallConnected(call_id=CallId("c1")))
    desk.handle(CallEnded(call_id=CallId("c2")))

    *_, answer = desk.handle(
        PlatformResynced(
            calls=(LiveCall(call_id=CallId("c1")), LiveCall(call_id=CallId("c2"))),
            agents=(LiveAgent(agent_id=ANA, ready=True),),
        )
    )

    assert isinstance(answer, AnswerResync)
    assert (answer.disputed_calls, answer.over_calls, answer.unknown_calls) == (("c1",), ("c2",), ())
