"""The share of a contract in the engine: calls are kept from agents abroad before the share is broken, not after."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core import Engine
from router.core.decisions import FallbackCall, OfferCall, QueueCall, Rule
from router.core.events import CallConnected, OrganisationChanged, PlaceRequested
from router.core.explain import Verdict
from router.core.model import (
    Area,
    CallId,
    Contract,
    Fallback,
    FallbackKind,
    Membership,
    OrganisationDescription,
    Outcome,
    PlacePolicy,
    ShareLimit,
    SharePeriod,
    ShareUnit,
    SiteId,
    SupplierId,
)
from router.core.shares import ContractDay
from tests.core.builders import (
    Bench,
    agent,
    client,
    link,
    offers,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
    the_queueing,
)

ROME = ZoneInfo("Europe/Rome")


def at_s(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=ROME).timestamp())


NOON = at_s(2018, 6, 1, 12)


def centre(*agents: str, **contract: Any) -> OrganisationDescription:
    """A contract of 80 % and no margin; agents l1, l2, ... sit in Lecce, t1, t2, ... in Tirana (``"l1 t1"``)."""
    names = " ".join(agents).split() or ["l1", "l2", "t1", "t2"]
    terms: dict[str, Any] = {
        "contract_id": "80", "company": "operator", "supplier_id": SupplierId("own"), "countries": ("IT",),
        "territory": "Italy", "target_bp": 8_000, "margin_bp": 0, "period": SharePeriod.YEAR, "wait_s": 60,
        "where": "contracts entry 1", **contract,
    }  # fmt: skip
    return organisation(
        [team("lecce", site_id=SiteId("lecce")), team("tirana", site_id=SiteId("tirana"))],
        [portfolio("gold", "lecce", "tirana", max_wait_s=None, fallback=Fallback(FallbackKind.NUMBER, "119"))],
        [agent(name, "lecce" if name.startswith("l") else "tirana") for name in names],
        [client("K1", "gold", ownerships=owned_by("t1"))] if "t1" in names else [],
        sites=(site("lecce", "IT"), site("tirana", "AL")),
        contracts=(Contract(**terms),),
    )


class Floor(Bench):
    """A bench with a share that was reached before."""

    def __init__(self, description: OrganisationDescription, inside: int = 0, abroad: int = 0) -> None:
        super().__init__(description)
        day = date(2018, 5, 2)
        state, past = self.engine.state_in_parts()
        days = tuple(
            ContractDay("80", day, country, calls, 0, 0, 0, 0)
            for country, calls in (("AL", abroad), ("IT", inside))
            if calls
        )
        state = msgspec.structs.replace(
            state, now_ms=NOON * 1000, gates=msgspec.structs.replace(state.gates, contract_days=days)
        )
        self.engine = Engine.restored(description, state, list(past))

    def counted(self) -> tuple[int, int, int]:
        """Calls in Italy, in all, and overrides."""
        days = self.contract_days()
        return (
            sum(day.calls for day in days if day.country == "IT"),
            sum(day.calls for day in days),
            sum(day.overrides for day in days),
        )

    def contract_days(self) -> tuple[ContractDay, ...]:
        return self.engine.state_in_parts()[0].gates.contract_days

    def serve(self, seconds: float, call_id: str) -> OfferCall:
        """A call arrives, is answered at once and is over."""
        offer = self.talk(seconds, call_id)
        self.end(seconds, call_id)
        return offer


# --- The first calls, and exactly the target ---


def test_the_first_call_of_a_contract_stays_in_the_country() -> None:
    floor = Floor(centre())
    floor.ready("t1", at=NOON)

    assert the_queueing(floor.arrive(NOON + 1, "c1")).rule is Rule.SHARE
    floor.sign_in(NOON + 2, "l1")
    assert offers(floor.back(NOON + 2, "l1")) == {"c1": "l1"}


def test_the_fifth_call_is_the_first_that_may_go_abroad() -> None:
    """4 of 4 in Italy: one abroad leaves 4 of 5, exactly 80 %, and that is enough."""
    floor = Floor(centre("l1 t1"))
    floor.ready("t1", at=NOON)
    floor.ready("l1", at=NOON + 1)

    answered_by = [floor.serve(NOON + 10 * n, f"c{n}").agent_id for n in range(1, 11)]

    assert answered_by == [*["l1"] * 4, "t1", *["l1"] * 4, "t1"]
    assert floor.counted() == (8, 10, 0)


def test_the_margin_is_kept_on_top() -> None:
    """81 % and not 80: 4,050 of 4,999 may take one more abroad (81.00 %), 4,049 may not (80.98 %)."""
    for inside, verdict in ((4_050, "t1"), (4_049, None)):
        floor = Floor(centre(margin_bp=100), inside, 4_999 - inside)
        floor.ready("t1", at=NOON)
        assert offers(floor.arrive(NOON + 1, "c1")).get("c1") == verdict


def test_a_higher_share_that_exists_must_not_be_reduced() -> None:
    floor = Floor(centre(baseline_bp=9_000), 17, 2)
    floor.ready("t1", at=NOON)
    assert the_queueing(floor.arrive(NOON + 1, "c1")).rule is Rule.SHARE

    floor = Floor(centre(baseline_bp=9_000), 18, 1)
    floor.ready("t1", at=NOON)
    assert offers(floor.arrive(NOON + 1, "c1")) == {"c1": "t1"}


# --- In words ---


def test_the_explanation_names_the_rule_with_its_numbers() -> None:
    floor = Floor(centre(margin_bp=100), 4_003, 997)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")

    (answer,) = [answer for answer in floor.explain("c1").agents if answer.agent_id == "t1"]

    assert answer.verdict is Verdict.SHARE
    assert answer.detail == (
        "share: 4,003 of 5,000 in Italy, one more abroad would leave 80.04 %, target 80 %, margin 1 point"
    )
    assert f"not to supplier own at tirana in AL: {answer.detail}" in [step.what for step in floor.explain("c1").steps]


def test_a_call_answered_in_the_country_tells_why_it_did_not_go_abroad() -> None:
    floor = Floor(centre(), 79, 20)
    floor.ready("t1", at=NOON)
    floor.ready("l1", at=NOON + 1)

    assert offers(floor.arrive(NOON + 2, "c1")) == {"c1": "l1"}

    answers = {str(answer.agent_id): answer for answer in floor.explain("c1").agents}
    assert answers["l1"].verdict is Verdict.CHOSEN
    assert answers["t1"].verdict is Verdict.SHARE
    assert answers["t1"].detail.startswith("share: 79 of 99 in Italy, one more abroad would leave 79.00 %")


# --- Calls in flight ---


def test_an_offer_abroad_counts_until_it_is_answered_or_comes_back() -> None:
    """8 of 9: one more may go abroad, and not two at once."""
    floor = Floor(centre(), 8, 1)
    floor.ready("t1", "t2", at=NOON)
    first = the_offer(floor.arrive(NOON + 1, "c1"))

    assert the_queueing(floor.arrive(NOON + 2, "c2")).rule is Rule.SHARE
    (answer,) = [a for a in floor.explain("c2").agents if a.agent_id == "t2"]
    assert answer.detail == (
        "share: 8 of 9 in Italy, one more abroad would leave 72.72 % with 1 under way, target 80 %, margin 0 points"
    )
    # Turned down, the place abroad is free again: the call that waits longest takes it, with whoever may have it.
    assert offers(floor.decline(NOON + 3, first)) == {"c1": "t2"}


def test_a_place_abroad_that_is_given_back_goes_to_the_next_call() -> None:
    floor = Floor(centre(), 8, 1)
    floor.ready("t1", "t2", at=NOON)
    floor.arrive(NOON + 1, "c1")
    floor.arrive(NOON + 2, "c2")

    assert offers(floor.hang_up(NOON + 3, "c1")) == {"c2": "t1"}


def test_a_place_abroad_that_is_given_back_is_seen_by_others_who_are_idle() -> None:
    """The agent who had it goes into a break, so does not take the next call."""
    floor = Floor(centre(), 8, 1)
    floor.ready("t1", "t2", at=NOON)
    floor.accept(NOON + 1, the_offer(floor.arrive(NOON + 1, "c1")))
    floor.arrive(NOON + 2, "c2")
    floor.pause(NOON + 3, "t1")

    assert offers(floor.hang_up(NOON + 4, "c1")) == {"c2": "t2"}


def test_an_answer_in_the_country_opens_the_way_for_a_call_that_waits() -> None:
    floor = Floor(centre(), 7, 2)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "early")
    floor.sign_in(NOON + 2, "l1")
    first = the_offer(floor.back(NOON + 2, "l1"))
    floor.arrive(NOON + 3, "late")
    floor.accept(NOON + 4, first)

    # 8 of 10, so still nobody may go abroad; the ninth of eleven opens it.
    assert offers(floor.at(NOON + 5, CallConnected(call_id=CallId("early")))) == {}
    floor.end(NOON + 6, "early")
    assert floor.counted() == (8, 10, 0)


def test_an_answer_in_the_country_opens_the_way_to_an_owner_whom_no_ring_reaches_yet() -> None:
    """Tirana's ring opens after 50 s; t1 owns the client, is idle, and need not wait for it."""
    plain = centre()
    gold = portfolio("gold", "lecce", link("tirana", 50), max_wait_s=None)
    floor = Floor(msgspec.structs.replace(plain, portfolios=(gold,)), 79, 19)
    floor.ready("t1", "l1", at=NOON)
    first = the_offer(floor.arrive(NOON + 1, "c1"))
    the_queueing(floor.arrive(NOON + 2, "c2", "K1"))

    (_, *brought) = (*floor.accept(NOON + 3, first), *floor.at(NOON + 3, CallConnected(call_id=first.call_id)))

    assert the_offer(brought).rule is Rule.OWNER
    assert offers(brought) == {"c2": "t1"}


def test_gates_open_in_the_order_of_the_queue() -> None:
    floor = Floor(centre("l1 t1 t2"), 7, 1)
    floor.ready("t1", "t2", at=NOON)
    floor.arrive(NOON + 1, "a")
    floor.arrive(NOON + 2, "b")
    floor.arrive(NOON + 3, "c")
    floor.sign_in(NOON + 4, "l1")
    offer = the_offer(floor.back(NOON + 4, "l1"))
    assert offer.call_id == "a"
    floor.accept(NOON + 5, offer)

    # 8 of 9 answered: one more may go abroad, to whoever has been idle longest.
    assert offers(floor.at(NOON + 6, CallConnected(call_id=CallId("a")))) == {"b": "t1"}


def test_the_owner_abroad_is_not_asked_either() -> None:
    floor = Floor(centre(), 79, 21)
    floor.ready("t1", at=NOON)
    floor.ready("l1", at=NOON + 1)

    assert offers(floor.arrive(NOON + 2, "c1", "K1")) == {"c1": "l1"}
    assert floor.verdicts("c1")["t1"] is Verdict.SHARE


# --- When nobody in the country is free in time ---


def test_after_the_limit_the_call_goes_abroad_as_an_override_that_is_counted() -> None:
    floor = Floor(centre(wait_s=60), 80, 20)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")
    assert floor.until(NOON + 60.999) == ()

    offer = the_offer(floor.until(NOON + 61))

    assert (offer.agent_id, offer.rule) == ("t1", Rule.SHARE_OVERRIDE)
    floor.connect(NOON + 62, [offer])
    assert floor.counted() == (80, 101, 1)
    assert any(step.what == "may go abroad: nobody free in Italy for 60 s" for step in floor.explain("c1").steps)


def test_a_waiver_that_is_not_needed_is_no_override() -> None:
    """The call had waited its time when the share opened by itself."""
    floor = Floor(centre(wait_s=60), 79, 20)
    floor.arrive(NOON + 1, "c1")
    floor.arrive(NOON + 2, "c2")
    floor.until(NOON + 100)
    floor.sign_in(NOON + 101, "l1")
    floor.connect(NOON + 102, floor.back(NOON + 101, "l1"))
    floor.sign_in(NOON + 103, "t1")

    offer = the_offer(floor.back(NOON + 103, "t1"))

    assert (offer.call_id, offer.rule) == ("c2", Rule.SHARE_OVERRIDE)
    floor.connect(NOON + 104, [offer])
    inside, total, overrides = floor.counted()
    assert (inside, total) == (80, 101)
    assert overrides == 1, "80 of 101 is less than 80 %"


def test_a_waiver_ends_with_the_wait_that_it_was_given_for() -> None:
    floor = Floor(centre(wait_s=60, unit=ShareUnit.SECONDS))
    floor.arrive(NOON + 1, "c1")
    floor.sign_in(NOON + 100, "l1")
    floor.connect(NOON + 100, floor.back(NOON + 100, "l1"))
    floor.ready("t1", at=NOON + 101)

    queued = the_queueing(floor.transfer(NOON + 102, "c1"))

    assert queued.rule is Rule.SHARE
    assert the_offer(floor.until(NOON + 162)).rule is Rule.SHARE_OVERRIDE


def test_a_call_that_goes_abroad_to_its_owner_against_the_share_is_an_override_by_its_rule_too() -> None:
    """Whoever reads the decisions counts the overrides that the books have."""
    floor = Floor(centre(wait_s=60), 80, 20)
    floor.ready("t1", "t2", at=NOON)
    floor.arrive(NOON + 1, "c1", client_id="K1")

    offer = the_offer(floor.until(NOON + 61))

    assert (offer.agent_id, offer.rule) == ("t1", Rule.SHARE_OVERRIDE)
    assert "owner" in " ".join(offer.path)
    floor.connect(NOON + 62, [offer])
    assert floor.counted() == (80, 101, 1)


def test_an_owner_abroad_whom_the_portfolio_does_not_reach_takes_an_override_when_free() -> None:
    described = centre("l1 t1 t2", wait_s=60)
    elsewhere = msgspec.structs.replace(
        described,
        teams=(*described.teams, team("durres", site_id=SiteId("tirana"))),
        agents=(agent("l1", "lecce"), agent("t1", "durres"), agent("t2", "tirana")),
    )
    floor = Floor(elsewhere, 80, 20)
    floor.arrive(NOON + 1, "c1", client_id="K1")
    floor.until(NOON + 61)
    floor.sign_in(NOON + 62, "t1")

    offer = the_offer(floor.back(NOON + 62, "t1"))

    assert (offer.agent_id, offer.rule, offer.ring) == ("t1", Rule.SHARE_OVERRIDE, 0)


def test_an_override_opens_no_gate_for_others() -> None:
    floor = Floor(centre(wait_s=60), 80, 20)
    floor.ready("t1", "t2", at=NOON)
    floor.arrive(NOON + 1, "c1")
    floor.arrive(NOON + 30, "c2")

    floor.connect(NOON + 62, floor.until(NOON + 61))
    assert floor.until(NOON + 89) == ()
    assert offers(floor.until(NOON + 90)) == {"c2": "t2"}


def test_a_contract_may_refuse_instead() -> None:
    floor = Floor(centre(then=ShareLimit.REFUSE), 80, 20)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")

    (sent,) = floor.until(NOON + 61)

    assert isinstance(sent, FallbackCall)
    assert (sent.kind, sent.target, sent.rule) == (FallbackKind.NUMBER, "119", Rule.SHARE)
    assert floor.outcome("c1") is Outcome.FALLBACK
    assert sum(day.refused for day in floor.contract_days()) == 1


def test_a_contract_may_call_back_instead() -> None:
    floor = Floor(centre(then=ShareLimit.CALLBACK), 80, 20)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")

    sent, queued = floor.until(NOON + 61)

    assert isinstance(sent, FallbackCall)
    assert isinstance(queued, QueueCall)
    assert (sent.kind, sent.rule) == (FallbackKind.CALLBACK, Rule.SHARE)
    assert floor.queue("gold").callbacks_waiting == 1
    floor.sign_in(NOON + 70, "l1")
    assert the_offer(floor.back(NOON + 70, "l1")).callback


@pytest.mark.parametrize("then", ShareLimit)
def test_who_has_asked_for_an_agent_inside_gets_one_whatever_the_share(then: ShareLimit) -> None:
    """Romania is abroad for the share and inside for the caller, who has a right to an agent: the law comes first."""
    plain = centre(then=then)
    inside = Area(area_id="eu", members=(Membership("IT"), Membership("RO")))
    floor = Floor(
        msgspec.structs.replace(
            plain,
            sites=(site("lecce", "IT"), site("tirana", "RO")),
            areas=(inside,),
            place=PlacePolicy(area_id="eu"),
        ),
        80,
        20,
    )
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")

    assert floor.at(NOON + 10, PlaceRequested(call_id=CallId("c1"))) == ()
    assert floor.until(NOON + 60) == ()
    offered = the_offer(floor.until(NOON + 61))

    assert (offered.agent_id, offered.agent_country, offered.rule) == ("t1", "RO", Rule.SHARE_OVERRIDE)
    floor.connect(NOON + 62, (offered,))
    assert sum(day.overrides for day in floor.contract_days()) == 1
    assert sum(day.refused for day in floor.contract_days()) == 0


def test_a_call_waits_for_its_turn_and_not_for_the_share_where_the_gate_is_open() -> None:
    """All are busy and the share would allow it: the limit of the share is none of its limits."""
    floor = Floor(centre("l1 t1", then=ShareLimit.REFUSE), 90, 10)
    floor.ready("l1", "t1", at=NOON)
    floor.talk(NOON + 1, "a")
    floor.talk(NOON + 2, "b")
    floor.arrive(NOON + 3, "c1")

    floor.until(NOON + 300)

    assert floor.queue("gold").waiting == 1


# --- Periods and days ---


def test_counts_begin_afresh_with_the_period_at_local_midnight() -> None:
    """March 2018 ends in Rome at 22:00 UTC, since the clocks went forward on the 25th."""
    midnight = at_s(2018, 4, 1)
    floor = Bench(centre(period=SharePeriod.MONTH))
    floor.ready("t1", "l1", at=midnight - 3_600)
    for number in range(4):
        assert floor.talk(midnight - 1_000 + 2 * number, f"c{number}").agent_id == "l1"
        floor.end(midnight - 999 + 2 * number, f"c{number}")
    assert offers(floor.arrive(midnight - 1, "last")) == {"last": "t1"}
    floor.hang_up(midnight - 0.5, "last")

    assert offers(floor.arrive(midnight, "first")) == {"first": "l1"}
    assert floor.verdicts("first")["t1"] is Verdict.SHARE


def test_a_contract_counts_from_its_first_day_on() -> None:
    start = at_s(2018, 6, 2)
    floor = Floor(centre(valid_from=date(2018, 6, 2)))
    floor.ready("t1", at=start - 10)

    assert floor.serve(start - 1, "before").agent_id == "t1"
    assert the_queueing(floor.arrive(start, "after")).rule is Rule.SHARE
    assert floor.counted() == (0, 0, 0)


def test_a_call_that_waits_when_the_contract_ends_may_go_abroad() -> None:
    """Noticed when it is next looked at, within 30 s."""
    end = at_s(2018, 6, 2)
    floor = Floor(centre(valid_until=date(2018, 6, 2), wait_s=60), 80, 20)
    floor.ready("t1", at=end - 100)
    floor.arrive(end - 30, "c1")

    offer = the_offer(floor.until(end + 5))

    assert offer.rule is Rule.RANK
    floor.connect(end + 6, [offer])
    assert floor.counted() == (80, 100, 0)


# --- What counts ---


def test_abandoned_calls_do_not_count() -> None:
    floor = Floor(centre(), 4, 0)
    floor.arrive(NOON + 1, "c1")
    floor.hang_up(NOON + 10, "c1")

    assert floor.counted() == (4, 4, 0)


def test_a_transferred_call_belongs_to_whom_answered_first() -> None:
    floor = Floor(centre(), 0, 0)
    floor.ready("l1", at=NOON)
    floor.talk(NOON + 1, "c1")
    floor.ready("t1", at=NOON + 2)

    offer = the_offer(floor.transfer(NOON + 3, "c1"))

    assert offer.agent_id == "t1", "the call counts already, so the share has nothing against it"
    floor.connect(NOON + 4, [offer])
    assert floor.counted() == (1, 1, 0)


def test_seconds_count_where_they_were_spoken() -> None:
    """A call abroad is expected to take what its team takes: 300 s, before anything was learnt."""
    floor = Floor(centre("l1 t1", unit=ShareUnit.SECONDS))
    floor.ready("l1", at=NOON)
    floor.talk(NOON, "c1")
    floor.ready("t1", at=NOON)

    # 1,199 s and 300 s to come: 79.98 %. A second later exactly 80 %.
    the_queueing(floor.transfer(NOON + 1_199, "c1"))
    floor.hang_up(NOON + 1_199, "c1")
    floor.talk(NOON + 1_200, "c2")
    offer = the_offer(floor.transfer(NOON + 1_201, "c2"))

    assert offer.agent_id == "t1"
    floor.connect(NOON + 1_201, [offer])
    floor.end(NOON + 1_301, "c2")
    assert {day.country: day.talk_ms for day in floor.contract_days()} == {"IT": 1_200_000, "AL": 100_000}


def test_looking_counts_nothing() -> None:
    floor = Floor(centre("l1 t1", unit=ShareUnit.AGENT_HOURS))
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")
    before, _ = floor.engine.state_in_parts()

    floor.engine.summary(now_ms=(NOON + 3_600) * 1000)
    floor.engine.explain(CallId("c1"), now_ms=(NOON + 3_600) * 1000)

    assert floor.engine.state_in_parts()[0] == before


def test_an_agent_of_the_country_who_stays_signed_in_opens_the_gate() -> None:
    floor = Floor(centre("l1 l2 l3 l4 l5 t1", unit=ShareUnit.AGENT_HOURS, wait_s=7_200))
    floor.ready("t1", at=NOON)
    floor.ready("l1", "l2", "l3", "l4", "l5", at=NOON + 600)
    for number in range(5):
        floor.talk(NOON + 600, f"c{number}")
    the_queueing(floor.arrive(NOON + 601, "c5"))

    # 5 x 3,000 s against t1's 3,600: 80.6 %. Five sixths are reached in the end, 80 % after 2,400 s.
    assert offers(floor.until(NOON + 600 + 2_399)) == {}
    assert offers(floor.until(NOON + 600 + 2_460)) == {"c5": "t1"}


def test_an_organisation_read_again_keeps_what_was_counted() -> None:
    floor = Floor(centre(), 4, 0)
    floor.ready("t1", at=NOON)
    floor.talk(NOON + 1, "c1")

    floor.at(NOON + 2, OrganisationChanged(description=centre(target_bp=9_000)))

    assert floor.counted() == (4, 5, 0)
    floor.end(NOON + 3, "c1")
    assert the_queueing(floor.arrive(NOON + 4, "c2")).rule is Rule.SHARE


def test_where_the_agent_sits_is_settled_at_the_answer() -> None:
    """The site goes abroad in the middle of the conversation: the call, and all that is said in it, stays at home."""
    floor = Floor(centre("l1 l2", unit=ShareUnit.SECONDS))
    floor.ready("l1", at=NOON)
    floor.talk(NOON, "c1")
    moved = msgspec.structs.replace(centre("l1 l2"), sites=(site("lecce", "AL"), site("tirana", "AL")))

    floor.at(NOON + 100, OrganisationChanged(description=moved))
    floor.end(NOON + 300, "c1")

    counted = [(day.country, day.calls, day.talk_ms) for day in floor.contract_days() if day.calls or day.talk_ms]
    assert counted == [("IT", 1, 300_000)]


def test_a_lower_target_opens_the_gate_for_calls_that_wait() -> None:
    floor = Floor(centre(), 6, 4)
    floor.ready("t1", at=NOON)
    floor.arrive(NOON + 1, "c1")

    assert offers(floor.at(NOON + 2, OrganisationChanged(description=centre(target_bp=5_000)))) == {"c1": "t1"}


def test_steering_goes_on_after_a_restart() -> None:
    description = centre()
    floor = Floor(description, 8, 1)
    floor.ready("t1", "t2", at=NOON)
    first = the_offer(floor.arrive(NOON + 1, "c1"))
    floor.arrive(NOON + 2, "c2")
    state, past = floor.engine.state_in_parts()

    floor.engine = Engine.restored(description, state, list(past))

    assert floor.engine.state_in_parts()[0] == state
    assert floor.verdicts("c2")["t2"] is Verdict.SHARE
    floor.connect(NOON + 3, [first])
    assert floor.counted() == (8, 10, 0)


# --- Always ---

ACTIONS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(1, 40)), min_size=20, max_size=120)


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS, target_bp=st.sampled_from([5_000, 8_000, 9_500]), margin_bp=st.sampled_from([0, 100]))
def test_no_answer_brings_the_share_below_its_target_but_by_an_override(
    actions: list[tuple[int, int, int]], target_bp: int, margin_bp: int
) -> None:
    """Whatever callers and agents do, in whatever order: checked at every answer."""
    floor = Floor(centre("l1 l2 t1 t2 t3", target_bp=target_bp, margin_bp=margin_bp, wait_s=30))
    floor.ready("t1", "t2", "t3", "l1", at=NOON)
    now, open_offers, talking, calls = float(NOON), dict[str, OfferCall](), list[str](), 0

    def see(decisions: Iterable[object]) -> None:
        for decision in decisions:
            if isinstance(decision, OfferCall):
                open_offers[decision.call_id] = decision
            elif isinstance(decision, FallbackCall):
                open_offers.pop(decision.call_id, None)

    for action, which, passes_s in actions:
        now += passes_s
        see(floor.until(now))
        live = [
            offer
            for offer in open_offers.values()
            if offer.expires_at_ms > now * 1000
            and (view := floor.engine.find(offer.call_id)) is not None
            and view.status == "offered"
        ]
        if action <= 3:
            calls += 1
            see(floor.arrive(now, f"c{calls}"))
        elif action <= 6 and live:
            offer = live[which % len(live)]
            inside, total, overrides = floor.counted()
            floor.connect(now, [offer])
            see(floor.until(now))
            inside_after, total_after, overrides_after = floor.counted()
            assert (total_after, overrides_after - overrides) == (total + 1, offer.rule is Rule.SHARE_OVERRIDE)
            if inside_after == inside and overrides_after == overrides:
                assert inside_after * 10_000 >= target_bp * total_after, f"{offer.call_id} crossed the target"
            talking.append(offer.call_id)
        elif action == 7 and live:
            see(floor.decline(now, live[which % len(live)]))
        elif action == 8 and talking:
            see(floor.end(now, talking.pop(which % len(talking))))
        elif action == 9 and live:
            see(floor.hang_up(now, live[which % len(live)].call_id))
