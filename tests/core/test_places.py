"""Where the agent sits: what callers are told of it, what they may ask for, and who is kept free for those who ask."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec
import pytest

from router.core import Engine
from router.core.decisions import ConnectCall, Decision, FallbackCall, OfferCall, QueueCall, Rule, WithdrawOffer
from router.core.errors import Rejection
from router.core.events import AgentSignedIn, CallConnected, OrganisationChanged, PlaceRequested
from router.core.explain import Verdict
from router.core.model import (
    AgentId,
    AgentStatus,
    Area,
    CallId,
    Fallback,
    FallbackKind,
    Membership,
    OrganisationDescription,
    Outcome,
    PlacePolicy,
    SiteId,
)
from router.core.places import PlaceDay
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
    site,
    team,
    the_offer,
    the_queueing,
)

EU = Area(
    area_id="eu",
    members=(
        Membership("IT"),
        Membership("RO"),
        Membership("GB", since=date(1973, 1, 1), until=date(2020, 2, 1)),
    ),
    where="areas entry 1",
)
JOINED_S, BREXIT_S = 94_694_400, 1_580_515_200
"""1973-01-01T00:00:00Z and 2020-02-01T00:00:00Z."""


def centre(*, guarantee: int = 0, **options: Any) -> OrganisationDescription:
    """Ana and Ina in L'Aquila, Rea in Romania, Tea and Tom in Albania, all reached at once; *options* of the portfolio.

    Tea owns client K1.
    """
    return organisation(
        [team("aquila"), team("iasi", site_id=SiteId("iasi")), team("tirana", site_id=SiteId("tirana"))],
        [portfolio("gold", "aquila", "iasi", "tirana", **({"max_wait_s": None} | options))],
        [
            agent("ana", "aquila"), agent("ina", "aquila"), agent("rea", "iasi"), agent("tea", "tirana"),
            agent("tom", "tirana"),
        ],
        [client("K1", "gold", ownerships=owned_by("tea"))],
        sites=(site("laquila", "IT"), site("iasi", "RO"), site("tirana", "AL"), site("leeds", "GB")),
        areas=(EU,),
        place=PlacePolicy(area_id="eu", guarantee_agents=guarantee),
    )  # fmt: skip


def ask(bench: Bench, seconds: float, call_id: str) -> tuple[Decision, ...]:
    return bench.at(seconds, PlaceRequested(call_id=CallId(call_id)))


def connect(bench: Bench, seconds: float, decisions: Iterable[Decision], announced: str | None) -> ConnectCall:
    """The offer among *decisions* is accepted and put through by a platform that says what the caller was told."""
    offer = the_offer(decisions)
    (order,) = bench.accept(seconds, offer)
    assert isinstance(order, ConnectCall)
    bench.at(seconds, CallConnected(call_id=offer.call_id, announced=announced))
    return order


def place_days(bench: Bench) -> tuple[PlaceDay, ...]:
    state, _ = bench.engine.state_in_parts()
    return state.gates.place_days


def only_day(bench: Bench) -> PlaceDay:
    (day,) = place_days(bench)
    return day


# --- What callers are told ---


def test_offer_and_order_to_connect_say_where_the_agent_sits_and_what_to_announce() -> None:
    bench = Bench(centre())
    bench.ready("rea")

    offer = the_offer(bench.arrive(1, "c1"))
    (order,) = bench.accept(2, offer)

    assert (offer.agent_country, offer.announcement, offer.offers_choice) == ("RO", "agent-in-RO", False)
    assert isinstance(order, ConnectCall)
    assert (order.agent_country, order.announcement, order.offers_choice) == ("RO", "agent-in-RO", False)


def test_callers_are_told_that_they_may_choose_where_the_agent_is_outside() -> None:
    bench = Bench(centre())
    bench.ready("tea")

    offer = the_offer(bench.arrive(1, "c1"))

    assert (offer.agent_country, offer.announcement, offer.offers_choice) == ("AL", "agent-in-AL", True)


@pytest.mark.parametrize(
    ("seconds", "is_outside"),
    [(JOINED_S - 1, True), (JOINED_S, False), (BREXIT_S - 1, False), (BREXIT_S, True)],
)
def test_membership_is_dated(seconds: int, is_outside: bool) -> None:
    bench = Bench(centre())
    bench.sign_in(seconds - 10, "rea", site_id=SiteId("leeds"))
    bench.back(seconds - 10, "rea")

    assert the_offer(bench.arrive(seconds, "c1")).offers_choice is is_outside


def test_an_agent_at_home_is_announced_with_the_country_of_the_home() -> None:
    bench = Bench(centre())
    bench.sign_in(0, "ana", country="AL")
    bench.back(0, "ana")

    offer = the_offer(bench.arrive(1, "c1"))

    assert (offer.agent_country, offer.offers_choice) == ("AL", True)


def test_without_a_policy_nothing_is_announced() -> None:
    bench = Bench(organisation([team("aquila")], [portfolio("gold", "aquila")], [agent("ana", "aquila")]))
    bench.ready("ana")

    offer = the_offer(bench.arrive(1, "c1"))

    assert (offer.agent_country, offer.announcement, offer.offers_choice) == ("IT", None, False)


def test_an_agent_of_another_country_is_announced_again_and_one_of_the_same_is_not() -> None:
    bench = Bench(centre())
    bench.ready("ana", "ina")
    connect(bench, 1, bench.arrive(1, "c1"), "IT")

    same = the_offer(bench.transfer(2, "c1"))
    connect(bench, 3, [same], None)
    bench.ready("tea", at=4)
    other = the_offer(bench.transfer(5, "c1"))

    assert (same.agent_id, same.announcement, same.offers_choice) == ("ina", None, False)
    assert (other.agent_id, other.announcement, other.offers_choice) == ("tea", "agent-in-AL", True)
    assert not any(day.unannounced for day in place_days(bench))


def test_an_offer_that_goes_to_somebody_elsewhere_is_announced_afresh() -> None:
    """What an offer announced was not heard by the caller when nobody took it."""
    bench = Bench(centre())
    bench.ready("rea", "tea")
    first = the_offer(bench.arrive(1, "c1"))

    second = the_offer(bench.decline(2, first))

    assert (first.announcement, second.announcement) == ("agent-in-RO", "agent-in-AL")


@pytest.mark.parametrize(("announced", "unannounced"), [("AL", 0), (None, 1), ("IT", 1)])
def test_a_conversation_without_the_right_announcement_is_a_violation(announced: str | None, unannounced: int) -> None:
    bench = Bench(centre())
    bench.ready("tea")

    connect(bench, 1, bench.arrive(1, "c1"), announced)

    assert [day.unannounced for day in place_days(bench)] == [unannounced] * unannounced


def home_workers() -> OrganisationDescription:
    return organisation(
        [team("remote", site_id=SiteId("home"))],
        [portfolio("gold", "remote", max_wait_s=None)],
        [agent("ana", "remote")],
        sites=(site("home", None),),
        areas=(EU,),
        place=PlacePolicy(area_id="eu"),
    )


def test_who_does_not_say_in_which_country_they_sit_cannot_sign_in() -> None:
    bench = Bench(home_workers())

    refusal = bench.refused(1, AgentSignedIn(agent_id=AgentId("ana")))

    assert refusal.reason is Rejection.UNKNOWN_COUNTRY
    assert refusal.detail == "site home has no country of its own: say in which country agent ana sits"


def test_a_call_waits_for_those_who_may_come_to_sit_in_the_right_country() -> None:
    bench = Bench(home_workers())
    bench.arrive(1, "c1", countries=("IT",))
    bench.sign_in(2, "ana", country="AL")
    assert offers(bench.back(2, "ana")) == {}
    bench.sign_out(3, "ana")

    bench.sign_in(4, "ana", country="IT")

    assert offers(bench.back(4, "ana")) == {"c1": "ana"}


def test_a_site_that_loses_its_country_moves_nobody() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    description = centre()
    sites = tuple(msgspec.structs.replace(s, country=None) for s in description.sites)

    bench.at(1, OrganisationChanged(description=msgspec.structs.replace(description, sites=sites)))

    assert the_offer(bench.arrive(2, "c1")).agent_country == "AL"


# --- The caller's choice ---


def test_who_asks_in_a_conversation_is_put_through_to_somebody_inside_in_the_same_call() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    bench.ready("ana", at=1)
    connect(bench, 2, bench.arrive(2, "c1"), "AL")

    offer = the_offer(ask(bench, 30, "c1"))

    assert (offer.agent_id, offer.announcement, offer.wait_ms) == ("ana", "agent-in-IT", 28_000)
    assert bench.agents("tirana") == {AgentStatus.IDLE: 1}
    connect(bench, 31, [offer], "IT")
    assert only_day(bench) == PlaceDay("operator", date(1970, 1, 1), 1, 1, 1_000, 0, 0)


def test_who_asks_while_the_call_rings_abroad_gets_it_taken_back() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    first = the_offer(bench.arrive(1, "c1"))
    bench.ready("ana", at=2)

    withdrawn, offer = ask(bench, 3, "c1")

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.offer_id, withdrawn.rule) == (first.offer_id, Rule.PLACE_REQUESTED)
    assert isinstance(offer, OfferCall)
    assert offer.agent_id == "ana"
    assert bench.agents("tirana") == {AgentStatus.IDLE: 1}


def test_who_asks_while_the_agent_abroad_has_accepted_gets_it_taken_back() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    bench.accept(1, the_offer(bench.arrive(1, "c1")))
    bench.ready("ana", at=2)

    assert offers(ask(bench, 3, "c1")) == {"c1": "ana"}
    assert bench.agents("tirana") == {AgentStatus.IDLE: 1}


def test_asking_twice_changes_nothing() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    connect(bench, 1, bench.arrive(1, "c1"), "AL")
    ask(bench, 2, "c1")
    bench.until(3)
    before = bench.picture()

    assert ask(bench, 3, "c1") == ()
    assert bench.picture() == before
    assert only_day(bench).asked == 1


def test_whoever_speaks_to_somebody_inside_goes_on() -> None:
    bench = Bench(centre())
    bench.ready("rea")
    connect(bench, 1, bench.arrive(1, "c1"), "RO")

    assert ask(bench, 5, "c1") == ()
    assert bench.agents("iasi") == {AgentStatus.IN_CALL: 1}
    assert only_day(bench) == PlaceDay("operator", date(1970, 1, 1), 1, 1, 0, 0, 0)


def test_where_the_policy_says_italy_alone_romania_is_outside() -> None:
    """Which countries a caller may ask for is the policy's to say."""
    italy = Area(area_id="italy", members=(Membership("IT"),), where="areas entry 2")
    policy = PlacePolicy(area_id="italy")
    bench = Bench(msgspec.structs.replace(centre(), areas=(EU, italy), place=policy))
    bench.ready("rea")
    order = connect(bench, 1, bench.arrive(1, "c1"), "RO")
    bench.ready("ana", at=2)

    offer = the_offer(ask(bench, 3, "c1"))

    assert order.offers_choice
    assert (offer.agent_id, offer.agent_country, offer.offers_choice) == ("ana", "IT", False)


def test_the_request_survives_a_transfer() -> None:
    bench = Bench(centre())
    bench.ready("rea")
    connect(bench, 1, bench.arrive(1, "c1"), "RO")
    ask(bench, 5, "c1")
    bench.ready("tea", at=6)

    the_queueing(bench.transfer(7, "c1"))

    assert bench.verdicts("c1")["tea"] is Verdict.WRONG_COUNTRY
    bench.ready("ana", at=8)
    assert bench.agents("aquila") == {AgentStatus.OFFERED: 1}


def test_the_request_comes_before_the_owner() -> None:
    bench = Bench(centre(owner_wait_s=60))
    bench.ready("tea")
    connect(bench, 1, bench.arrive(1, "c1", "K1"), "AL")
    bench.ready("ina", at=2)

    offer = the_offer(ask(bench, 3, "c1"))

    assert (offer.agent_id, offer.rule) == ("ina", Rule.LONGEST_IDLE)
    assert bench.agents("tirana") == {AgentStatus.IDLE: 1}


def test_the_request_comes_before_ordinary_calls_and_keeps_its_arrival() -> None:
    bench = Bench(centre())
    bench.arrive(1, "early")
    bench.arrive(2, "late")
    ask(bench, 3, "late")

    bench.sign_in(4, "ana")
    first = the_offer(bench.back(4, "ana"))

    assert (first.call_id, first.wait_ms) == ("late", 2_000)


def test_among_requests_the_earlier_call_comes_first() -> None:
    bench = Bench(centre())
    bench.arrive(1, "early")
    bench.arrive(2, "late")
    ask(bench, 3, "late")
    ask(bench, 4, "early")
    bench.sign_in(5, "ana")

    assert offers(bench.back(5, "ana")) == {"early": "ana"}


def test_the_request_beats_the_relaxation_of_skills() -> None:
    """Agents outside never come to qualify, however long the call has waited."""
    description = organisation(
        [team("aquila"), team("tirana", site_id=SiteId("tirana"))],
        [portfolio("gold", "aquila", link("tirana", 10), max_wait_s=None)],
        [agent("ana", "aquila", "data:3"), agent("tea", "tirana", "data:1")],
        sites=(site("laquila", "IT"), site("tirana", "AL")),
        areas=(EU,),
        place=PlacePolicy(area_id="eu"),
    )
    bench = Bench(description)
    bench.ready("tea")
    bench.arrive(1, "c1", skills=(need("data", 3, (20, 1)),))
    ask(bench, 2, "c1")

    assert bench.until(1_000) == ()
    assert bench.agents("tirana") == {AgentStatus.IDLE: 1}


def test_a_request_after_the_overflow_brings_the_call_home() -> None:
    """The call had waited, and had gone to a team abroad; the request takes it back."""
    description = organisation(
        [team("aquila"), team("tirana", site_id=SiteId("tirana"))],
        [portfolio("gold", "aquila", link("tirana", 20), max_wait_s=None)],
        [agent("ana", "aquila"), agent("tea", "tirana")],
        sites=(site("laquila", "IT"), site("tirana", "AL")),
        areas=(EU,),
        place=PlacePolicy(area_id="eu"),
    )
    bench = Bench(description)
    bench.ready("ana", "tea")
    bench.talk(1, "c0")
    bench.arrive(2, "c1")
    overflown = the_offer(bench.until(22))
    assert overflown.agent_id == "tea"
    connect(bench, 23, [overflown], "AL")
    bench.arrive(24, "c2")

    queued = the_queueing(ask(bench, 30, "c1"))

    assert queued.position == 1, "it is before the call that came later, and before ordinary calls"
    # Tea, who is free now, takes c2 once its overflow opens, and never c1.
    assert offers(bench.end(40, "c0")) == {"c1": "ana"}


def test_a_request_narrows_the_countries_that_the_call_asks_for_itself() -> None:
    bench = Bench(centre())
    bench.ready("rea")
    bench.arrive(1, "c1", countries=("AL", "IT"))

    ask(bench, 2, "c1")

    assert bench.verdicts("c1") == {
        "ana": Verdict.SIGNED_OUT,
        "ina": Verdict.SIGNED_OUT,
        "rea": Verdict.WRONG_COUNTRY,
        "tea": Verdict.WRONG_COUNTRY,
        "tom": Verdict.WRONG_COUNTRY,
    }


def test_a_request_against_the_countries_that_the_call_asks_for_itself_reaches_nobody() -> None:
    bench = Bench(centre(fallback=Fallback(FallbackKind.NUMBER, "119")))
    bench.ready("ana")
    bench.arrive(1, "c1", countries=("AL",))

    (sent,) = ask(bench, 2, "c1")

    assert isinstance(sent, FallbackCall)
    assert sent.rule is Rule.UNSERVABLE


def test_a_request_that_nobody_of_the_organisation_could_meet_goes_to_the_fallback_and_is_unmet() -> None:
    description = organisation(
        [team("tirana", site_id=SiteId("tirana"))],
        [portfolio("gold", "tirana", fallback=Fallback(FallbackKind.NUMBER, "119"))],
        [agent("tea", "tirana")],
        sites=(site("laquila", "IT"), site("tirana", "AL")),
        areas=(EU,),
        place=PlacePolicy(area_id="eu"),
    )
    bench = Bench(description)
    bench.ready("tea")
    connect(bench, 1, bench.arrive(1, "c1"), "AL")

    (sent,) = [d for d in ask(bench, 2, "c1") if isinstance(d, FallbackCall)]

    assert (sent.rule, sent.target) == (Rule.UNSERVABLE, "119")
    assert (only_day(bench).asked, only_day(bench).unmet) == (1, 1)


def test_who_hangs_up_after_asking_is_unmet_and_counts_as_spoken_to() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    connect(bench, 1, bench.arrive(1, "c1"), "AL")
    ask(bench, 2, "c1")
    bench.hang_up(10, "c1")

    assert (only_day(bench).asked, only_day(bench).met, only_day(bench).unmet) == (1, 0, 1)
    assert bench.outcome("c1") is Outcome.ABANDONED


def test_a_request_counts_on_the_day_on_which_it_was_made() -> None:
    """In the portfolio's time zone: asked a minute before midnight in Rome, met after it."""
    bench = Bench(centre())
    midnight = 1_522_447_200  # 2018-03-31T00:00 in Rome, the last day before the clocks change
    bench.ready("tea", at=midnight - 100)
    connect(bench, midnight - 90, bench.arrive(midnight - 90, "c1"), "AL")
    ask(bench, midnight - 60, "c1")
    bench.sign_in(midnight + 60, "ana")
    connect(bench, midnight + 61, bench.back(midnight + 60, "ana"), "IT")

    assert only_day(bench) == PlaceDay("operator", date(2018, 3, 30), 1, 1, 121_000, 0, 0)


def test_without_a_policy_there_is_no_choice() -> None:
    bench = Bench(organisation([team("aquila")], [portfolio("gold", "aquila")], [agent("ana", "aquila")]))
    bench.arrive(1, "c1")

    refusal = bench.refused(2, PlaceRequested(call_id=CallId("c1")))

    assert refusal.reason is Rejection.NO_CHOICE
    assert bench.refused(3, PlaceRequested(call_id=CallId("cx"))).reason is Rejection.UNKNOWN_CALL


def test_a_request_outlives_a_new_version_of_the_organisation() -> None:
    bench = Bench(centre())
    bench.ready("tea")
    connect(bench, 1, bench.arrive(1, "c1"), "AL")
    ask(bench, 2, "c1")

    bench.at(3, OrganisationChanged(description=centre(max_wait_s=900)))

    assert bench.verdicts("c1")["tea"] is Verdict.WRONG_COUNTRY
    bench.sign_in(4, "rea")
    assert offers(bench.back(4, "rea")) == {"c1": "rea"}


# --- The guarantee ---


def test_agents_outside_are_offered_calls_only_while_enough_are_at_work_inside() -> None:
    bench = Bench(centre(guarantee=2))
    bench.ready("tea")
    bench.ready("ana", at=1)
    bench.talk(2, "c0")  # Tea has been idle longest, but with Ana alone nobody would be left for who asks.

    assert bench.agents("aquila") == {AgentStatus.IN_CALL: 1}
    assert the_queueing(bench.arrive(3, "c1")).rule is Rule.GUARANTEE
    assert bench.verdicts("c1")["tea"] is Verdict.GUARANTEE
    (answer,) = [a for a in bench.explain("c1").agents if a.agent_id == "tea"]
    assert answer.detail == (
        "guarantee: 1 at work inside could take the call, 0 are needed for callers who have asked, 2 must be left"
    )

    bench.sign_in(4, "ina")
    decisions = bench.back(4, "ina")
    assert offers(decisions) == {"c1": "ina"}
    assert offers(bench.arrive(5, "c2")) == {"c2": "tea"}, "two at work inside are enough, though both are busy"


def test_a_pause_inside_shuts_the_gate_and_its_end_opens_it() -> None:
    bench = Bench(centre(guarantee=1))
    bench.ready("ana", "tea")
    bench.talk(1, "c0")
    bench.pause(2, "ana")  # after the call
    bench.end(3, "c0")
    assert bench.agents("aquila") == {AgentStatus.NOT_READY: 1}

    assert the_queueing(bench.arrive(4, "c1")).rule is Rule.GUARANTEE
    assert offers(bench.back(5, "ana")) == {"c1": "ana"}


def test_who_has_asked_takes_one_of_those_inside_away_from_the_guarantee() -> None:
    bench = Bench(centre(guarantee=1))
    bench.ready("ana")
    bench.talk(1, "c0")
    bench.ready("tea", at=2)
    connect(bench, 3, bench.arrive(3, "c1"), "AL")
    ask(bench, 4, "c1")

    assert isinstance(the_queueing(bench.arrive(5, "c2")), QueueCall)
    assert bench.verdicts("c2")["tea"] is Verdict.GUARANTEE
    # The request is met: Ana is back for who else may ask, and Tea may take the call that waited.
    request = the_offer(bench.end(6, "c0"))
    assert (request.call_id, request.agent_id) == ("c1", "ana")
    bench.accept(7, request)
    assert offers(bench.at(7, CallConnected(call_id=CallId("c1"), announced="IT"))) == {"c2": "tea"}


def test_a_hang_up_of_who_has_asked_opens_the_gate() -> None:
    bench = Bench(centre(guarantee=1))
    bench.ready("ana")
    bench.talk(1, "c0")
    bench.ready("tea", at=2)
    connect(bench, 3, bench.arrive(3, "c1"), "AL")
    ask(bench, 4, "c1")
    bench.arrive(5, "c2")

    assert offers(bench.hang_up(6, "c1")) == {"c2": "tea"}


def test_a_call_that_was_kept_from_agents_outside_says_so_afterwards() -> None:
    bench = Bench(centre(guarantee=2))
    bench.ready("tea")
    bench.ready("ana", at=1)

    bench.arrive(2, "c1")

    answers = {str(answer.agent_id): answer for answer in bench.explain("c1").agents}
    assert answers["ana"].verdict is Verdict.CHOSEN
    assert answers["tea"].verdict is Verdict.GUARANTEE
    assert answers["tea"].detail.startswith("guarantee: 1 at work inside could take the call")


# --- Snapshots ---


def test_requests_and_announcements_survive_a_restart() -> None:
    description = centre(guarantee=1)
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(1, "c0")
    bench.ready("tea", at=2)
    connect(bench, 3, bench.arrive(3, "c1"), None)
    ask(bench, 4, "c1")
    bench.arrive(5, "c2")
    state, past = bench.engine.state_in_parts()

    bench.engine = Engine.restored(description, state, list(past))

    assert bench.engine.state_in_parts()[0] == state
    request = the_offer(bench.end(6, "c0"))
    assert (request.call_id, request.agent_id) == ("c1", "ana")
    bench.accept(7, request)
    assert offers(bench.at(7, CallConnected(call_id=CallId("c1"), announced="IT"))) == {"c2": "tea"}
    assert (only_day(bench).asked, only_day(bench).met, only_day(bench).unannounced) == (1, 1, 2)
