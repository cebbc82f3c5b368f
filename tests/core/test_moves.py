"""Move plans: which site may be offered the next call, when a step is taken, and how it is undone."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core import Engine, Limits
from router.core.decisions import Decision, OfferCall, ReportPlan, Rule, WithdrawOffer
from router.core.errors import EventRejected, OrganisationError, Rejection
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    Event,
    OrganisationChanged,
    PlaceRequested,
    PlanAdvanceRequested,
    PlanHoldRequested,
    PlanRollbackRequested,
)
from router.core.gates import Gates
from router.core.matching import choose_agent
from router.core.model import (
    AgentId,
    Area,
    CallId,
    Contract,
    Fallback,
    FallbackKind,
    Membership,
    MovePlan,
    MoveStep,
    OrganisationDescription,
    PlacePolicy,
    PortfolioId,
    SharePeriod,
    SiteId,
    SupplierId,
)
from router.core.move_summary import MovePlanSummary, MovePortfolioSummary, MoveStepState
from router.core.moves import Stage
from router.core.snapshot import EngineState, PastCalls
from tests.core.builders import (
    Bench,
    accepted,
    agent,
    client,
    declined,
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
from tests.core.test_snapshot import Twins

ROME = ZoneInfo("Europe/Rome")
HOME = PortfolioId("home")
SHOP = PortfolioId("shop")


def at_s(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: ZoneInfo = ROME) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp())


NOON = at_s(2018, 4, 30, 12)
FIRST = at_s(2018, 5, 1)
"""The midnight of the first step."""
SECOND = at_s(2018, 6, 1)


def step(step_id: str, month: int, shares: str, **options: Any) -> MoveStep:
    """Due on the first of a month of 2018; shares in percent, such as ``"iasi:60 cagliari:40"``."""
    parts = (part.split(":") for part in shares.split())
    by_site = {SiteId(name): round(float(percent) * 100) for name, percent in parts}
    fields = {"valid_from": date(2018, month, 1), "agents_moved": 0, **options}
    return MoveStep(step_id=step_id, shares=by_site, **fields)


def plan(*steps: MoveStep, **options: Any) -> MovePlan:
    """Of one portfolio, with gates that ask for nothing unless told otherwise; the last step moves all agents."""
    steps = steps or (step("s1", 5, "iasi:60 cagliari:40"), step("s2", 6, "iasi:20 cagliari:50 lecce:30"))
    last = msgspec.structs.replace(steps[-1], agents_moved=220)
    fields: dict[str, Any] = {
        "move_plan_id": "home", "portfolios": (HOME,), "to_sites": (SiteId("cagliari"), SiteId("lecce")),
        "deadline": date(2018, 9, 30), "agents": 220, "spill_after_s": 30, "calls_min": 0,
        "within_tolerance_bp": 10_000, "handling_tolerance_bp": 1_000_000, "where": "move_plans entry 1", **options,
    }  # fmt: skip
    return MovePlan(steps=(*steps[:-1], last), **fields)


def centre(*plans: MovePlan, agents: str = "i1 i2 c1 c2 l1 l2", **options: Any) -> OrganisationDescription:
    """Agents i1, i2, ... sit in Iasi, c1, ... in Cagliari, l1, ... in Lecce, all of one supplier."""
    sites = {"i": "iasi", "c": "cagliari", "l": "lecce"}
    fields: dict[str, Any] = {
        "sites": (site("iasi", "RO"), site("cagliari", "IT"), site("lecce", "IT")),
        "clients": (),
        "portfolios": [portfolio("home", "iasi", "cagliari", "lecce", max_wait_s=None)],
        **options,
    }
    return organisation(
        [team(name, site_id=SiteId(name)) for name in sites.values()],
        fields.pop("portfolios"),
        [agent(name, sites[name[0]]) for name in agents.split()],
        fields.pop("clients"),
        move_plans=plans or (plan(),),
        **fields,
    )


class Floor(Bench):
    """A bench whose first step is in force, and where calls take no time."""

    def __init__(self, description: OrganisationDescription, *, now_s: int = FIRST, ready: str = "") -> None:
        super().__init__(description)
        # The plan's days lie in the past of no call.
        self.until(min(now_s, NOON))
        self.until(now_s)
        self.ready(*ready.split(), at=now_s)
        self.calls = 0

    def answer(self, seconds: float, **options: Any) -> str:
        """A call arrives, is answered at once, and ends; returns who had it."""
        self.calls += 1
        offer = self.talk(seconds, f"n{self.calls}", **options)
        self.end(seconds, offer.call_id)
        return offer.agent_id

    def report(self, seconds: float) -> list[ReportPlan]:
        """What is told of plans up to this moment."""
        return reports(self.until(seconds))

    def hold(self, seconds: float, **options: Any) -> list[ReportPlan]:
        return reports(self.at(seconds, PlanHoldRequested(move_plan_id="home", by="ops", **options)))

    def advance(self, seconds: float, **options: Any) -> list[ReportPlan]:
        return reports(self.at(seconds, PlanAdvanceRequested(move_plan_id="home", by="ops", **options)))

    def roll_back(self, seconds: float, **options: Any) -> tuple[Decision, ...]:
        return self.at(seconds, PlanRollbackRequested(move_plan_id="home", by="ops", **options))

    @property
    def plan(self) -> MovePlanSummary:
        return self.engine.summary(now_ms=self.now_ms).move_plans[0]

    def stage(self, portfolio_id: str = "home") -> MovePortfolioSummary:
        (found,) = (stage for stage in self.plan.portfolios if stage.portfolio_id == portfolio_id)
        return found

    def answered(self, portfolio_id: str = "home") -> dict[str, int]:
        return {each.site_id: each.answered for each in self.stage(portfolio_id).sites if each.answered}

    def again(self) -> None:
        """Go on with an engine made of the state of this one, through bytes."""
        state, past = self.engine.state_in_parts()
        kept = msgspec.msgpack.encode(state), [msgspec.msgpack.encode(part) for part in past]
        engine = Engine.restored(
            self.description,
            msgspec.msgpack.decode(kept[0], type=EngineState),
            [msgspec.msgpack.decode(part, type=PastCalls) for part in kept[1]],
        )
        again, parts = engine.state_in_parts()
        assert (msgspec.msgpack.encode(again), list(map(msgspec.msgpack.encode, parts))) == kept
        self.engine = engine

    @property
    def description(self) -> OrganisationDescription:
        return self.engine._organisation.description


def reports(decisions: Iterable[Decision]) -> list[ReportPlan]:
    return [decision for decision in decisions if isinstance(decision, ReportPlan)]


def rules(told: Iterable[ReportPlan]) -> list[tuple[str, str | None]]:
    return [(str(each.rule), each.step_id) for each in told]


# --- Which site ---


def test_the_first_call_of_a_step_goes_to_the_site_of_the_largest_share() -> None:
    floor = Floor(centre(), ready="c1 i1")

    assert floor.answer(FIRST + 1) == "i1"
    assert floor.answer(FIRST + 2) == "c1"


def test_before_the_first_step_every_site_may_have_any_call() -> None:
    floor = Floor(centre(), now_s=FIRST - 10, ready="c1 i1 l1")

    assert [floor.answer(FIRST - 9 + n) for n in range(4)] == ["c1", "i1", "l1", "c1"]
    assert floor.stage().step_id is None
    assert floor.answered() == {"cagliari": 2, "iasi": 1, "lecce": 1}


def test_a_site_is_offered_no_more_than_its_share_of_the_calls_answered_and_on_their_way() -> None:
    """Of two calls 60 % are 1.2: a second may go to Iasi only once there are three in all, the next one included."""
    floor = Floor(centre(), ready="i1 i2 c1")
    floor.arrive(FIRST + 1, "a")
    assert offers(floor.arrive(FIRST + 2, "b")) == {"b": "c1"}

    assert offers(floor.arrive(FIRST + 3, "c")) == {"c": "i2"}
    assert floor.stage().calls == 0
    assert {each.site_id: (each.on_way, each.deficit) for each in floor.stage().sites} == {
        "iasi": (2, 6_000 * 4 - 20_000),
        "cagliari": (1, 4_000 * 4 - 10_000),
    }


def test_sites_that_are_equally_short_of_calls_are_told_apart_by_the_strategy() -> None:
    floor = Floor(centre(plan(step("s1", 5, "cagliari:50 lecce:50"))))
    floor.ready("l1", at=FIRST)
    floor.ready("c1", at=FIRST + 1)

    assert floor.answer(FIRST + 2) == "l1"
    assert floor.answer(FIRST + 3) == "c1"
    # Level again; both became free at the same moment as the other, a second apart.
    assert floor.answer(FIRST + 4) == "l1"


def test_the_site_comes_before_the_strategy_and_the_nearest_ring_before_the_site() -> None:
    teams = ("iasi", link("cagliari"), link("lecce", 20))
    description = centre(
        plan(step("s1", 5, "iasi:10 cagliari:30 lecce:60")), portfolios=[portfolio("home", *teams, max_wait_s=None)]
    )
    floor = Floor(description, ready="i1 l1 c1")

    assert floor.answer(FIRST + 1) == "c1"


def test_a_site_that_is_not_in_the_step_is_offered_nothing() -> None:
    floor = Floor(centre(), ready="l1")

    queued = the_queueing(floor.arrive(FIRST + 1, "a"))

    assert queued.rule is Rule.PLAN
    (answer,) = [each for each in floor.explain("a").agents if each.agent_id == "l1"]
    assert (answer.verdict, answer.detail) == ("plan", "plan: lecce has 0 of 0 calls of this step, its share is 0 %")


@settings(max_examples=60, deadline=None)
@given(share_bp=st.integers(0, 10_000), calls=st.integers(1, 60))
def test_with_somebody_idle_everywhere_two_sites_stay_within_half_a_call_of_their_shares(
    share_bp: int, calls: int
) -> None:
    floor = Floor(centre(plan(step("s1", 5, f"iasi:{share_bp / 100} cagliari:{(10_000 - share_bp) / 100}"))))
    floor.ready("i1", "c1", at=FIRST)

    for n in range(1, calls + 1):
        floor.answer(FIRST + n)
        there = floor.answered()
        assert sum(there.values()) == n
        assert abs(there.get("iasi", 0) - Fraction(share_bp * n, 10_000)) <= Fraction(1, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2_000), min_size=2, max_size=5), st.integers(1, 200))
def test_largest_deficits_never_give_a_site_a_whole_call_too_much(weights: list[int], calls: int) -> None:
    shares = {SiteId(f"s{n}"): weight for n, weight in enumerate(weights, start=1)}
    shares[SiteId("s0")] = 10_000 - sum(weights)
    stage = Stage(plan(), HOME, shares)

    for n in range(1, calls + 1):
        chosen = max(sorted(shares), key=stage.deficit)
        assert stage.is_open(chosen)
        stage.send(chosen)
        stage.answered(chosen, wait_ms=0, is_spill=False)
        for site_id, share_bp in shares.items():
            there = sum(each.answered for each in stage.state().sites if each.site_id == site_id)
            assert there - Fraction(share_bp * n, 10_000) < 1


def test_a_call_that_was_answered_tells_whom_the_plan_passed_over() -> None:
    floor = Floor(centre(), ready="l1 i1")
    floor.talk(FIRST + 1, "a")

    (answer,) = [each for each in floor.explain("a").agents if each.agent_id == "l1"]

    assert (answer.verdict, answer.detail) == ("plan", "plan: lecce has 0 of 0 calls of this step, its share is 0 %")
    assert "not to supplier own at lecce in IT: " + answer.detail in [each.what for each in floor.explain("a").steps]


def test_without_a_plan_nobody_asks_for_one() -> None:
    assert Gates(centre()).are_any
    assert not Gates(msgspec.structs.replace(centre(), move_plans=())).are_any


# --- A site without anybody idle ---


EIGHTY = plan(step("s1", 5, "iasi:80 cagliari:20"))


def test_a_call_waits_for_a_site_that_is_short_of_calls_and_then_spills() -> None:
    floor = Floor(centre(EIGHTY), ready="i1 c1")
    floor.talk(FIRST + 1, "a")
    floor.answer(FIRST + 2)

    assert the_queueing(floor.arrive(FIRST + 3, "b")).rule is Rule.PLAN
    assert floor.until(FIRST + 32.999) == ()
    offer = the_offer(floor.until(FIRST + 33))

    assert (offer.agent_id, offer.rule) == ("c1", Rule.SPILL)
    floor.connect(FIRST + 33, [offer])
    assert {each.site_id: each.spilled for each in floor.stage().sites} == {"iasi": 0, "cagliari": 1}


def test_a_site_that_becomes_free_in_time_is_waited_for() -> None:
    floor = Floor(centre(EIGHTY), ready="i1 c1")
    floor.talk(FIRST + 1, "a")
    floor.answer(FIRST + 2)
    floor.arrive(FIRST + 3, "b")

    offer = the_offer(floor.end(FIRST + 20, "a"))

    assert (offer.agent_id, offer.rule) == ("i1", Rule.RANK)


def test_a_spilled_call_still_goes_to_the_site_that_is_shortest_of_calls_and_is_no_spill_there() -> None:
    floor = Floor(centre(plan(spill_after_s=0)), ready="c1 i1 l1")

    offer = the_offer(floor.arrive(FIRST + 1, "a"))

    assert (offer.agent_id, offer.rule) == ("i1", Rule.LONGEST_IDLE)


def test_a_freed_agent_takes_a_call_that_has_spilled() -> None:
    floor = Floor(centre(), ready="l1")
    floor.arrive(FIRST + 1, "a", countries=("RO",))
    floor.arrive(FIRST + 1, "b", countries=("IT",))
    spilled = floor.connect(FIRST + 31, floor.until(FIRST + 31))
    assert (spilled.call_id, spilled.agent_id, spilled.rule) == ("b", "l1", Rule.SPILL)
    floor.arrive(FIRST + 32, "c")
    floor.until(FIRST + 70)

    offer = the_offer(floor.end(FIRST + 71, "b"))

    assert (offer.call_id, offer.rule) == ("c", Rule.SPILL)


def test_a_call_answered_elsewhere_may_leave_a_site_short_of_calls_for_one_that_waits() -> None:
    floor = Floor(centre(plan(step("s1", 5, "iasi:60 cagliari:40"), spill_after_s=600)), ready="i1 i2 c1")
    floor.talk(FIRST + 1, "a")
    floor.answer(FIRST + 2)
    floor.talk(FIRST + 3, "b")
    # Iasi is busy; Cagliari has had 1 of 3, and 4 * 40 % is more than that.
    assert floor.answer(FIRST + 4) == "c1"
    assert the_queueing(floor.arrive(FIRST + 5, "wait")).rule is Rule.PLAN

    decisions = floor.end(FIRST + 6, "a")

    assert offers(decisions) == {"wait": "i1"}


def test_of_sites_that_open_together_the_one_that_is_shortest_of_calls_takes_the_call_that_waits() -> None:
    """Ten calls are 2 and 3 for Cagliari and Lecce, which have them; with the eleventh both are short of calls."""
    clients = [
        client(name, "home", ownerships=owned_by(owner)) for name, owner in (("I", "i1"), ("C", "c1"), ("L", "l1"))
    ]
    shares = plan(step("s1", 5, "iasi:50 cagliari:20 lecce:30"))
    floor = Floor(centre(shares, clients=clients), ready="i1 c1 l1")
    for number, who in enumerate("CCLLLIIII", start=1):
        floor.answer(FIRST + number, client_id=who)
    assert the_queueing(floor.arrive(FIRST + 10, "w", countries=("IT",))).rule is Rule.PLAN

    decisions = floor.arrive(FIRST + 11, "i", "I")

    assert offers(decisions) == {"i": "i1", "w": "l1"}


def test_a_call_that_goes_to_another_portfolio_waits_for_its_sites_anew() -> None:
    portfolios = [
        portfolio("home", "iasi", max_wait_s=60, fallback=Fallback(FallbackKind.PORTFOLIO, "shop")),
        portfolio("shop", "iasi", "cagliari", max_wait_s=None),
    ]
    steps = plan(step("s1", 5, "iasi:100"), portfolios=(HOME, SHOP))
    floor = Floor(centre(steps, portfolios=portfolios), ready="c1")
    floor.arrive(FIRST + 1, "a", portfolio_id="home")

    assert offers(floor.until(FIRST + 90.999)) == {}
    assert the_offer(floor.until(FIRST + 91)).rule is Rule.SPILL


def test_an_offer_that_fails_gives_its_call_back_to_the_shares() -> None:
    floor = Floor(centre(plan(spill_after_s=600)), ready="i1 c1")
    offer = the_offer(floor.arrive(FIRST + 1, "a"))
    assert floor.stage().sites[1].on_way == 1

    decisions = floor.decline(FIRST + 2, offer)

    # Cagliari is the only other site that is short of calls, and Iasi is again.
    assert offers(decisions) == {"a": "c1"}
    assert {each.site_id: each.on_way for each in floor.stage().sites} == {"iasi": 0, "cagliari": 1}


def test_a_hang_up_gives_its_call_back_to_the_shares() -> None:
    floor = Floor(centre(), ready="i1 c1")
    floor.arrive(FIRST + 1, "a")

    floor.hang_up(FIRST + 2, "a")

    assert {each.on_way for each in floor.stage().sites} == {0}
    assert floor.answer(FIRST + 3) == "i1"


# --- Who comes before the plan ---


def test_owner_and_backups_come_before_the_plan_and_are_counted() -> None:
    clients = [client("K", "home", ownerships=owned_by("l1", "l2"))]
    floor = Floor(centre(clients=clients), ready="i1 l1 l2")

    assert floor.talk(FIRST + 1, "a", "K").rule is Rule.OWNER
    assert floor.talk(FIRST + 2, "b", "K").rule is Rule.BACKUP

    assert floor.answered() == {"lecce": 2}
    assert {each.site_id: each.spilled for each in floor.stage().sites if each.answered} == {"lecce": 0}


def test_an_owner_who_becomes_free_takes_the_call_whatever_the_shares() -> None:
    clients = [client("K", "home", ownerships=owned_by("l1"))]
    floor = Floor(centre(clients=clients))
    floor.arrive(FIRST + 1, "a", "K")
    floor.sign_in(FIRST + 2, "l1")

    offer = the_offer(floor.back(FIRST + 3, "l1"))

    assert (offer.agent_id, offer.rule) == ("l1", Rule.OWNER)


def test_an_owner_who_takes_a_call_that_may_spill_makes_it_none() -> None:
    clients = [client("K", "home", ownerships=owned_by("l1"))]
    floor = Floor(centre(clients=clients))
    floor.arrive(FIRST + 1, "a", "K")
    floor.sign_in(FIRST + 40, "l1")

    offer = floor.connect(FIRST + 41, floor.back(FIRST + 41, "l1"))

    assert offer.rule is Rule.OWNER
    assert [(each.site_id, each.answered, each.spilled) for each in floor.stage().sites if each.answered] == [
        ("lecce", 1, 0)
    ]


def test_what_a_caller_may_ask_for_comes_before_the_plan() -> None:
    europe = Area(area_id="eu", members=(Membership("IT"), Membership("RO")))
    italy = Area(area_id="it", members=(Membership("IT"),))
    description = centre(areas=(europe, italy), place=PlacePolicy(area_id="it"))
    floor = Floor(description, ready="l1")
    floor.arrive(FIRST + 1, "a")

    decisions = floor.at(FIRST + 2, PlaceRequested(call_id=CallId("a")))

    offer = the_offer(decisions)
    assert offer.agent_id == "l1"
    floor.connect(FIRST + 2, [offer])
    assert [(each.site_id, each.answered, each.spilled) for each in floor.stage().sites if each.answered] == [
        ("lecce", 1, 0)
    ]


def test_a_transferred_call_counts_with_its_first_answer_and_goes_where_it_may() -> None:
    floor = Floor(centre(), ready="i1 l1")
    floor.talk(FIRST + 1, "a")

    offer = floor.connect(FIRST + 2, floor.transfer(FIRST + 2, "a"))

    assert offer.agent_id == "l1"
    assert floor.answered() == {"iasi": 1}


def test_at_home_an_agent_counts_for_the_own_site_while_home_is_in_its_country() -> None:
    floor = Floor(centre(plan(step("s1", 5, "cagliari:100"), spill_after_s=10)))
    for name, country in (("c1", "IT"), ("c2", "RO")):
        floor.at(FIRST, AgentSignedIn(agent_id=AgentId(name), country=country))
    floor.back(FIRST, "c2")
    assert the_queueing(floor.arrive(FIRST + 1, "a")).rule is Rule.PLAN

    assert offers(floor.back(FIRST + 2, "c1")) == {"a": "c1"}
    floor.arrive(FIRST + 3, "b")
    floor.connect(FIRST + 13, floor.until(FIRST + 13))
    assert [(each.site_id, each.answered, each.spilled) for each in floor.stage().sites] == [
        ("", 1, 1),
        ("cagliari", 0, 0),
    ]


# --- Time ---


@pytest.mark.parametrize("day", [date(2018, 3, 25), date(2018, 10, 28), date(2018, 6, 1)])
def test_a_step_is_taken_at_local_midnight_of_days_of_23_and_25_hours_too(day: date) -> None:
    midnight = at_s(day.year, day.month, day.day)
    steps = (step("s1", 1, "iasi:100", valid_from=day),)
    floor = Floor(centre(plan(*steps, deadline=date(2018, 12, 31))), now_s=midnight - 7_200)

    assert floor.report(midnight - 0.001) == []
    assert rules(floor.report(midnight)) == [("step_taken", "s1")]


def test_a_step_begins_at_midnight_where_the_plan_is() -> None:
    floor = Floor(centre(plan(time_zone="Europe/Bucharest")), now_s=FIRST - 7_200)

    assert floor.report(FIRST - 3_600.001) == []
    assert rules(floor.report(FIRST - 3_600)) == [("step_taken", "s1")]


def test_steps_of_one_day_are_taken_together_each_through_its_own_gate() -> None:
    portfolios = [portfolio(name, "iasi", "cagliari", "lecce") for name in ("home", "shop")]
    steps = (
        step("s1", 5, "iasi:60 cagliari:40", portfolio_id=HOME),
        step("s2", 5, "lecce:100", portfolio_id=SHOP),
    )
    floor = Floor(
        centre(plan(*steps, portfolios=(HOME, SHOP)), portfolios=portfolios), now_s=FIRST - 60, ready="i1 c1 l1"
    )

    assert rules(floor.report(FIRST)) == [("step_taken", "s1"), ("step_taken", "s2")]
    assert floor.answer(FIRST + 1, portfolio_id="shop") == "l1"
    assert floor.answer(FIRST + 2, portfolio_id="home") == "i1"
    assert (floor.stage("home").step_id, floor.stage("shop").step_id) == ("s1", "s2")


def test_calls_that_wait_are_routed_by_the_new_shares_at_once_and_in_order() -> None:
    floor = Floor(centre(plan(spill_after_s=86_400)), now_s=SECOND - 600, ready="l1")
    floor.arrive(SECOND - 500, "a")
    floor.arrive(SECOND - 400, "b")

    decisions = floor.until(SECOND)

    assert rules(reports(decisions)) == [("step_taken", "s2")]
    assert offers(decisions) == {"a": "l1"}


def test_counts_start_afresh_with_each_step_and_what_was_on_its_way_counts_in_none() -> None:
    floor = Floor(centre(), now_s=SECOND - 10, ready="i1 c1")
    floor.answer(SECOND - 9)
    offer = the_offer(floor.arrive(SECOND - 1, "a"))

    floor.until(SECOND)
    floor.accept(SECOND, offer)
    floor.at(SECOND, CallConnected(call_id=CallId("a")))

    assert floor.stage().calls == 0
    assert floor.answered() == {}
    assert {each.on_way for each in floor.stage().sites} == {0}


# --- The gate ---


def gated(**options: Any) -> Floor:
    """Ten calls of 100 s before the first step, eight of them answered within 20 s; a gate that is told in options."""
    fields = {"within_tolerance_bp": 10_000, "handling_tolerance_bp": 1_000_000, **options}
    steps = (step("s1", 5, "iasi:100"), step("s2", 6, "lecce:100"))
    floor = Floor(centre(plan(*steps, **fields)), now_s=NOON)
    work(floor, NOON, waits=[0] * 8 + [21] * 2, talk_s=100)
    assert rules(floor.report(FIRST)) == [("step_taken", "s1")]
    return floor


def work(floor: Floor, from_s: int, *, waits: Iterable[int], talk_s: float) -> None:
    """Calls that are answered after so long; everybody is idle again at the end."""
    for n, wait_s in enumerate(waits):
        floor.calls += 1
        at = from_s + 1_000 * n
        floor.arrive(at, f"n{floor.calls}")
        floor.sign_in(at + wait_s, "i1")
        floor.connect(at + wait_s, floor.back(at + wait_s, "i1"))
        floor.end(at + wait_s + talk_s, f"n{floor.calls}")
        floor.sign_out(at + wait_s + talk_s, "i1")


@pytest.mark.parametrize(("calls", "passes"), [(10, True), (9, False)])
def test_the_gate_asks_for_enough_calls_of_the_present_step(calls: int, passes: bool) -> None:
    floor = gated(calls_min=10)
    work(floor, FIRST + 10, waits=[0] * calls, talk_s=1)

    (told,) = floor.report(SECOND)

    assert (told.rule, told.step_id) == ((Rule.STEP_TAKEN, "s2") if passes else (Rule.GATE_FAILED, "s1"))
    if not passes:
        assert told.next_step_id == "s2"
        assert told.detail == "the gate has not passed: home: 9 calls answered in this step, 10 are needed"


@pytest.mark.parametrize(
    ("tolerance_bp", "late", "passes"),
    # 80 % before; of ten calls, 20 % may be missing, or a hundredth of a percent less than that.
    [(2_000, 4, True), (1_999, 4, False), (0, 2, True), (0, 3, False)],
)
def test_the_gate_passes_exactly_at_the_tolerance_of_the_service_level(
    tolerance_bp: int, late: int, passes: bool
) -> None:
    floor = gated(within_tolerance_bp=tolerance_bp)
    work(floor, FIRST + 10, waits=[21] * late + [20] * (10 - late), talk_s=1)

    assert rules(floor.report(SECOND)) == ([("step_taken", "s2")] if passes else [("gate_failed", "s1")])


@pytest.mark.parametrize(("target_bp", "passes"), [(6_000, True), (6_001, False)])
def test_a_named_target_takes_the_place_of_the_level_before(target_bp: int, passes: bool) -> None:
    floor = gated(within_target_bp=target_bp, within_tolerance_bp=0)
    work(floor, FIRST + 10, waits=[21] * 4 + [20] * 6, talk_s=1)

    assert rules(floor.report(SECOND)) == ([("step_taken", "s2")] if passes else [("gate_failed", "s1")])


@pytest.mark.parametrize(("talk_s", "passes"), [(110, True), (110.001, False)])
def test_the_gate_passes_exactly_at_the_tolerance_of_the_handling_time(talk_s: float, passes: bool) -> None:
    floor = gated(handling_tolerance_bp=1_000)
    work(floor, FIRST + 10, waits=[0], talk_s=talk_s)

    assert rules(floor.report(SECOND)) == ([("step_taken", "s2")] if passes else [("gate_failed", "s1")])


def test_wrap_up_belongs_to_the_handling_time_and_callers_who_give_up_late_to_the_service_level() -> None:
    slow = [team(name, site_id=SiteId(name), wrap_up_s=60) for name in ("iasi", "cagliari", "lecce")]
    floor = Floor(msgspec.structs.replace(centre(), teams=tuple(slow)), ready="i1")
    floor.talk(FIRST, "a")
    floor.end(FIRST + 100, "a")
    for number, wait_s in enumerate((20, 21)):
        floor.arrive(FIRST + 100 + 25 * number, f"lost{number}")
        floor.hang_up(FIRST + 100 + 25 * number + wait_s, f"lost{number}")

    floor.until(FIRST + 160)

    assert (floor.stage().handling_ms, floor.stage().within_bp) == (160_000, 5_000)


def test_a_call_sent_to_its_fallback_after_a_long_wait_was_not_answered_well() -> None:
    late = portfolio("home", "iasi", max_wait_s=60, fallback=Fallback(FallbackKind.NUMBER, "119"))
    floor = Floor(centre(portfolios=[late]))
    floor.arrive(FIRST + 1, "a")
    floor.until(FIRST + 61)

    assert floor.stage().within_bp == 0


def test_a_held_step_is_told_once_looked_at_each_midnight_and_taken_when_its_gate_passes() -> None:
    floor = gated(calls_min=2)
    work(floor, FIRST + 10, waits=[0], talk_s=1)
    assert rules(floor.report(SECOND)) == [("gate_failed", "s1")]
    assert floor.plan.steps[1].state is MoveStepState.HELD

    assert floor.report(SECOND + 86_400) == []
    work(floor, SECOND + 90_000, waits=[0], talk_s=1)
    assert floor.report(SECOND + 2 * 86_400 - 1) == []
    assert rules(floor.report(SECOND + 2 * 86_400)) == [("step_taken", "s2")]


def test_what_newly_fails_is_told_again() -> None:
    floor = gated(calls_min=2, within_tolerance_bp=0)
    work(floor, FIRST + 10, waits=[0], talk_s=1)
    floor.report(SECOND)
    work(floor, SECOND + 10, waits=[30], talk_s=1)

    (told,) = floor.report(SECOND + 86_400)

    assert told.detail == ("the gate has not passed: home: 50.00 % of calls answered well, 80.00 % are needed")


# --- Hold, advance, roll back ---


def test_a_plan_on_hold_takes_no_step_until_it_is_told_to_advance() -> None:
    floor = Floor(centre())
    assert rules(floor.hold(FIRST + 1)) == [("plan_held", "s1")]
    assert floor.plan.held_by == "ops"
    assert floor.engine.next_deadline_ms() is None

    assert floor.report(SECOND + 3 * 86_400) == []
    assert rules(floor.advance(SECOND + 3 * 86_400 + 1)) == [("plan_released", "s1"), ("step_taken", "s2")]
    assert floor.plan.held_by is None


def test_a_hold_that_ends_before_the_day_leaves_the_day_as_it_is() -> None:
    floor = Floor(centre())
    floor.hold(FIRST + 1)

    assert rules(floor.advance(FIRST + 2)) == [("plan_released", "s1")]
    assert rules(floor.report(SECOND)) == [("step_taken", "s2")]


def test_a_gate_that_has_not_passed_is_looked_at_again_on_demand() -> None:
    floor = gated(calls_min=2)
    work(floor, FIRST + 10, waits=[0], talk_s=1)
    floor.report(SECOND)
    refused = floor.refused(SECOND + 10, PlanAdvanceRequested(move_plan_id="home", by="ops"))
    assert refused.reason is Rejection.GATE_FAILED
    assert refused.detail == "plan home waits before step s2: home: 1 calls answered in this step, 2 are needed"

    work(floor, SECOND + 20, waits=[0], talk_s=1)

    assert rules(floor.advance(SECOND + 1_000)) == [("step_taken", "s2")]


def test_whoever_overrides_a_gate_is_named() -> None:
    floor = gated(calls_min=2)
    floor.report(SECOND)

    (told,) = floor.advance(SECOND + 10, override=True)

    assert (told.rule, told.step_id, told.by) == (Rule.GATE_OVERRIDE, "s2", "ops")
    assert told.detail.startswith("step s2 is in force: home: 0 calls answered in this step, 2 are needed")
    assert floor.plan.changes[-1].by == "ops"


def test_a_step_may_be_taken_before_its_day_by_override_alone() -> None:
    floor = Floor(centre())
    refused = floor.refused(FIRST + 1, PlanAdvanceRequested(move_plan_id="home", by="ops"))
    assert refused.reason is Rejection.WRONG_PLAN_STATE
    assert "takes step s2 on 2018-06-01" in refused.detail

    assert rules(floor.advance(FIRST + 2, override=True)) == [("gate_override", "s2")]
    assert floor.report(SECOND + 86_400) == []
    assert floor.plan.projected == date(2018, 5, 1)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (PlanHoldRequested(move_plan_id="nobody", by="ops"), Rejection.UNKNOWN_PLAN),
        (PlanHoldRequested(move_plan_id="home", by="ops"), Rejection.WRONG_PLAN_STATE),
        (PlanAdvanceRequested(move_plan_id="home", by="ops", override=True), Rejection.WRONG_PLAN_STATE),
    ],
)
def test_a_plan_that_is_done_or_unknown_cannot_be_told_to_go_on(event: Any, reason: Rejection) -> None:
    floor = Floor(centre(), now_s=SECOND)

    assert floor.refused(SECOND + 1, event).reason is reason


def test_a_plan_is_held_once_and_cannot_go_back_before_its_beginning() -> None:
    floor = Floor(centre(), now_s=NOON)
    floor.hold(NOON + 1)

    held = floor.refused(NOON + 2, PlanHoldRequested(move_plan_id="home", by="other"))
    back = floor.refused(NOON + 3, PlanRollbackRequested(move_plan_id="home", by="other"))

    assert held.detail == "plan home is held by ops already"
    assert (back.reason, back.detail) == (
        Rejection.WRONG_PLAN_STATE,
        "plan home has taken no step that could be undone",
    )


def test_a_rollback_keeps_places_and_conversations_and_routes_again_by_the_old_shares() -> None:
    """s2 sends everything to Lecce; back in s1, Iasi may be offered calls again."""
    steps = (step("s1", 5, "iasi:100"), step("s2", 6, "lecce:100"))
    floor = Floor(centre(plan(*steps, spill_after_s=86_400)), now_s=SECOND, ready="l1 l2 i1 i2")
    floor.talk(SECOND + 1, "talks")
    ringing = the_offer(floor.arrive(SECOND + 2, "rings"))
    for number in range(3):
        assert the_queueing(floor.arrive(SECOND + 3 + number, f"w{number}")).position == number + 1

    decisions = floor.roll_back(SECOND + 10)

    assert rules(reports(decisions)) == [("step_rolled_back", "s1")]
    assert offers(decisions) == {"w0": "i1", "w1": "i2"}
    assert floor.explain("w2").rule is Rule.PLAN
    assert floor.queue("home").oldest_wait_ms == 5_000
    assert floor.explain("talks").status == "connected"
    floor.connect(SECOND + 11, [ringing])
    assert floor.end(SECOND + 12, "talks") == ()
    assert floor.answered() == {}
    assert floor.plan.held_by == "ops"
    assert floor.report(SECOND + 86_400) == []
    assert rules(floor.advance(SECOND + 86_401)) == [("plan_released", "s1"), ("step_taken", "s2")]


def contract(**options: Any) -> Contract:
    fields: dict[str, Any] = {
        "contract_id": "80", "company": "operator", "supplier_id": SupplierId("own"), "countries": ("IT",),
        "territory": "Italy", "target_bp": 8_000, "margin_bp": 0, "period": SharePeriod.YEAR, "wait_s": 0,
        "valid_from": date(2018, 5, 15), **options,
    }  # fmt: skip
    return Contract(**fields)


@pytest.mark.parametrize(("iasi", "is_refused"), [(20, False), (20.01, True)])
def test_a_rollback_that_would_break_the_share_of_a_contract_is_refused(iasi: float, is_refused: bool) -> None:
    steps = (step("s1", 5, f"iasi:{iasi} cagliari:{100 - iasi}"), step("s2", 6, "cagliari:100"))
    floor = Floor(centre(plan(*steps), contracts=(contract(),)), now_s=SECOND)
    event = PlanRollbackRequested(move_plan_id="home", by="ops")

    if is_refused:
        refused = floor.refused(SECOND + 1, event)
        assert refused.reason is Rejection.SHARE_AT_RISK
        assert refused.detail == (
            "without step s2, 79 % of home would be answered in Italy, and contract 80 wants 80 %; "
            "override it to go back all the same"
        )
        assert floor.plan.step_id == "s2"
        (told,) = reports(floor.roll_back(SECOND + 2, override=True))
        assert (told.rule, told.by, told.step_id) == (Rule.SHARE_OVERRIDE, "ops", "s1")
    else:
        assert rules(reports(floor.roll_back(SECOND + 1))) == [("step_rolled_back", "s1")]


def test_a_contract_of_others_or_of_another_time_refuses_no_rollback() -> None:
    steps = (step("s1", 5, "iasi:100"), step("s2", 6, "cagliari:100"))
    others = (
        contract(contract_id="later", valid_from=date(2018, 7, 1)),
        contract(contract_id="theirs", supplier_id=SupplierId("other")),
    )
    suppliers = centre().suppliers
    more = msgspec.structs.replace(suppliers[0], supplier_id=SupplierId("other"))
    floor = Floor(centre(plan(*steps), contracts=others, suppliers=(*suppliers, more)), now_s=SECOND)

    assert rules(reports(floor.roll_back(SECOND + 1))) == [("step_rolled_back", "s1")]


def test_back_before_the_first_step_the_calls_counted_then_say_what_the_share_would_be() -> None:
    terms = contract(valid_from=date(2018, 5, 1))
    floor = Floor(centre(plan(step("s1", 5, "cagliari:100")), contracts=(terms,)), now_s=NOON, ready="i1")
    floor.answer(NOON + 1)
    floor.until(FIRST)

    refused = floor.refused(FIRST + 1, PlanRollbackRequested(move_plan_id="home", by="ops"))

    assert "without step s1, 0 % of home would be answered in Italy" in refused.detail


# --- Versions and snapshots ---


def changed(description: OrganisationDescription) -> OrganisationChanged:
    return OrganisationChanged(description=description)


def test_a_reload_keeps_the_place_in_the_plan_and_the_counts_of_shares_that_stay() -> None:
    floor = Floor(centre(), ready="i1 c1")
    floor.answer(FIRST + 1)
    on_way = the_offer(floor.arrive(FIRST + 2, "a"))
    later = (step("s1", 5, "iasi:60 cagliari:40"), step("s2", 7, "lecce:100"))

    floor.at(FIRST + 3, changed(centre(plan(*later))))
    floor.connect(FIRST + 4, [on_way])

    assert floor.answered() == {"iasi": 1, "cagliari": 1}
    assert floor.report(SECOND) == []
    assert rules(floor.report(at_s(2018, 7, 1))) == [("step_taken", "s2")]


def test_a_reload_that_changes_the_shares_in_force_starts_their_counts_afresh() -> None:
    floor = Floor(centre(), ready="i1 c1")
    floor.answer(FIRST + 1)
    later = (step("s1", 5, "iasi:10 cagliari:90"), step("s2", 6, "lecce:100"))

    floor.at(FIRST + 2, changed(centre(plan(*later))))

    assert (floor.plan.step_id, floor.answered()) == ("s1", {})
    assert floor.answer(FIRST + 3) == "c1"


def test_a_reload_that_moves_a_day_into_the_past_takes_its_step_at_once() -> None:
    floor = Floor(centre(), now_s=SECOND - 86_400)
    earlier = (step("s1", 5, "iasi:60 cagliari:40"), step("s2", 5, "lecce:100", valid_from=date(2018, 5, 20)))

    assert rules(reports(floor.at(SECOND - 86_000, changed(centre(plan(*earlier)))))) == [("step_taken", "s2")]


def test_a_step_that_goes_leaves_the_plan_where_its_day_says() -> None:
    floor = Floor(centre(), now_s=SECOND)
    named_anew = (step("one", 5, "iasi:60 cagliari:40"), step("two", 6, "lecce:100"), step("three", 7, "iasi:100"))

    floor.at(SECOND + 1, changed(centre(plan(*named_anew))))

    assert (floor.plan.step_id, floor.plan.next_step_id) == ("two", "three")


def test_a_plan_that_goes_and_comes_back_goes_on_where_it_stood() -> None:
    floor = Floor(centre(), now_s=SECOND, ready="l1")
    floor.until(SECOND)
    without = msgspec.structs.replace(centre(), move_plans=())
    floor.at(SECOND + 1, changed(without))
    assert floor.engine.summary(now_ms=floor.now_ms).move_plans == ()
    assert floor.answer(SECOND + 2) == "l1"
    floor.again()

    floor.at(SECOND + 3, changed(centre()))

    assert (floor.plan.step_id, floor.answered()) == ("s2", {})


def test_a_restored_plan_goes_on_as_it_would_have() -> None:
    """In the middle of everything: calls on their way, at work, spilled and waiting; held by its gate, and by hand."""
    floor = gated(calls_min=2, spill_after_s=40)
    floor.ready("i1", "c1", "c2", at=SECOND - 400)
    floor.talk(SECOND - 300, "talks")
    floor.arrive(SECOND - 200, "rings")
    floor.again()
    ringing = the_offer(floor.until(SECOND - 160))
    floor.again()
    floor.connect(SECOND - 159, [ringing])
    floor.arrive(SECOND - 10, "waits")
    floor.again()
    assert {each.site_id: (each.answered, each.spilled) for each in floor.stage().sites} == {
        "iasi": (1, 0),
        "cagliari": (1, 1),
    }

    assert rules(floor.report(SECOND)) == [("step_taken", "s2")]
    floor.again()
    floor.roll_back(SECOND + 1)
    floor.again()
    assert floor.plan.held_by == "ops"
    assert offers(floor.end(SECOND + 2, "talks")) == {"waits": "i1"}
    floor.again()
    assert rules(floor.advance(SECOND + 3, override=True)) == [("gate_override", "s2")]
    floor.again()
    assert [change.rule for change in floor.plan.changes] == [
        "step_taken", "step_taken", "step_rolled_back", "gate_override",
    ]  # fmt: skip


def test_an_agent_in_wrap_up_is_restored_with_what_counts_its_handling() -> None:
    slow = [team(name, site_id=SiteId(name), wrap_up_s=60) for name in ("iasi", "cagliari", "lecce")]
    floor = Floor(msgspec.structs.replace(centre(), teams=tuple(slow)), ready="i1")
    floor.talk(FIRST, "a")
    floor.end(FIRST + 100, "a")

    floor.again()
    floor.until(FIRST + 160)

    assert floor.stage().handling_ms == 160_000


PORTFOLIOS = ("home", "shop")
VERSIONS = [
    centre(
        plan(*steps, portfolios=(HOME, SHOP), spill_after_s=spill_after_s, calls_min=1),
        portfolios=[portfolio(name, "iasi", link("cagliari", 5), "lecce") for name in PORTFOLIOS],
        clients=[client("K", "home", ownerships=owned_by("l1", "c1"))],
        contracts=(contract(wait_s=20),),
    )
    for spill_after_s in (0, 15)
    for steps in (
        (step("s1", 5, "iasi:60 cagliari:40"), step("s2", 6, "lecce:70 iasi:30", portfolio_id=SHOP)),
        (step("s1", 5, "iasi:50 cagliari:50"), step("s3", 7, "cagliari:33.33 lecce:66.67")),
    )
] + [msgspec.structs.replace(centre(), move_plans=())]
ACTIONS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(PORTFOLIOS), st.sampled_from([None, None, "K"])),
    st.tuples(st.just("call"), st.sampled_from(PORTFOLIOS), st.none()),
    st.tuples(st.just("answer"), st.sampled_from(["accept", "accept", "accept", "decline", "hang up"]), st.integers(0)),
    st.tuples(st.just("end"), st.integers(0), st.none()),
    st.tuples(st.just("agent"), st.sampled_from(["i1", "i2", "c1", "c2", "l1", "l2"]), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 16, 31, 40_000, 86_400]), st.none()),
    st.tuples(st.just("command"), st.sampled_from(["hold", "advance", "roll back"]), st.booleans()),
    st.tuples(st.just("reload"), st.integers(0, len(VERSIONS) - 1), st.none()),
    st.tuples(st.just("again"), st.none(), st.none()),
)


class Busy:
    """A floor on which anything may happen at any time, by an engine and by one that is restored now and then."""

    def __init__(self) -> None:
        self.twins = Twins(VERSIONS[0], Limits(past_calls_max=4))
        self.now_ms = (FIRST - 3_600) * 1000
        self.calls = 0
        self.offers: dict[str, OfferCall] = {}
        self.talks: list[CallId] = []
        self.enter(self.twins.expire(self.now_ms))

    def enter(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, OfferCall):
                self.offers[decision.agent_id] = decision
            elif isinstance(decision, WithdrawOffer):
                self.offers.pop(decision.agent_id, None)

    def send(self, event: Event) -> None:
        self.enter(self.twins.expire(self.now_ms))
        with suppress(EventRejected):
            self.enter(self.twins.handle(event, now_ms=self.now_ms))

    def do(self, what: str, which: Any, how: Any) -> None:
        match what:
            case "call":
                self.calls += 1
                self.send(CallArrived(call_id=CallId(f"n{self.calls}"), portfolio_id=which, client_id=how))
            case "answer" if self.offers:
                offer = self.offers.pop(sorted(self.offers)[how % len(self.offers)])
                if which == "accept":
                    self.send(accepted(offer))
                    self.send(CallConnected(call_id=offer.call_id))
                    self.talks.append(offer.call_id)
                else:
                    self.send(declined(offer) if which == "decline" else CallAbandoned(call_id=offer.call_id))
            case "end" if self.talks:
                self.send(CallEnded(call_id=self.talks.pop(which % len(self.talks))))
            case "agent":
                agent_id = AgentId(which)
                self.send(AgentSignedIn(agent_id=agent_id))
                self.send(AgentReady(agent_id=agent_id) if how else AgentNotReady(agent_id=agent_id))
            case "wait":
                self.now_ms += which * 1000
                self.enter(self.twins.expire(self.now_ms))
            case "command":
                kinds = {"hold": PlanHoldRequested, "advance": PlanAdvanceRequested, "roll back": PlanRollbackRequested}
                options = {} if which == "hold" else {"override": how}
                self.send(kinds[which](move_plan_id="home", by="ops", **options))
            case "reload":
                self.send(changed(VERSIONS[which]))
            case "again":
                self.twins.snapshot()
        self.check()

    def check(self) -> None:
        """No count drifts from what it counts, and no call waits for an agent who may have it."""
        engine = self.twins.one
        live = engine._calls.values()
        for record in engine._gates.moves.records.values():
            for portfolio_id, stage in record.stages.items():
                on_way = sum(call.move is not None and call.move[0] is stage for call in live)
                assert on_way == sum(site.on_way for site in stage.sites.values()), portfolio_id
                assert stage.calls == on_way + stage.state().answered, portfolio_id
                assert stage.shares is None or any(map(stage.is_open, stage.shares)), portfolio_id
        for call in live:
            for ring in call.plan.rings[: call.rings_open] if call.status == "waiting" else ():
                assert call.held_until_ms is not None or choose_agent(ring, call, engine._gates, self.now_ms) is None


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=10, max_size=80))
def test_whatever_happens_nothing_is_miscounted_and_a_restored_plan_decides_alike(
    actions: list[tuple[str, Any, Any]],
) -> None:
    floor = Busy()
    for agent_id in ["i1", "i2", "c1", "c2", "l1", "l2"]:
        floor.do("agent", agent_id, True)
    for action in actions:
        floor.do(*action)
    floor.do("again", None, None)
    floor.do("wait", 86_400, None)


# --- How far it has come ---


def test_the_summary_says_how_far_the_plan_has_come() -> None:
    steps = (step("s1", 5, "iasi:60 cagliari:40", agents_moved=80), step("s2", 6, "iasi:20 cagliari:80"))
    floor = Floor(centre(plan(*steps, calls_min=6)), now_s=NOON, ready="i1 c1")
    for number in range(6):
        floor.answer(NOON + 1 + number)
    floor.until(FIRST)
    for number in range(5):
        floor.answer(FIRST + 1 + number)
    assert (floor.plan.agents_moved, floor.plan.calls, floor.plan.calls_moved) == (80, 5, 2)
    assert floor.plan.projected == date(2018, 6, 1)

    floor.until(at_s(2018, 6, 10, 12))

    assert floor.plan.projected == date(2018, 6, 10)
    assert not floor.plan.is_late
    assert [str(check) for check in floor.plan.gate if not check.passes] == [
        "home: 5 calls answered in this step, 6 are needed"
    ]
    floor.until(at_s(2018, 10, 1, 12))
    assert floor.plan.is_late


# --- What is wrong with a plan ---


def problems(*plans: MovePlan, **options: Any) -> list[str]:
    with pytest.raises(OrganisationError) as raised:
        Engine(centre(*plans, **options), limits=Limits())
    return [str(problem) for problem in raised.value.problems]


def test_all_that_is_wrong_with_a_plan_is_told_at_once() -> None:
    bad = plan(
        step("s1", 6, "iasi:60 cagliari:39.99", agents_moved=300),
        step("s1", 5, "nowhere:100", portfolio_id=PortfolioId("shop")),
        step("s3", 10, "iasi:100"),
        step("s4", 10, "iasi:100"),
        portfolios=(HOME, PortfolioId("gone")),
        to_sites=(SiteId("olbia"),),
        time_zone="Rome",
    )

    entry = "move_plans entry 1, "
    assert problems(bad) == [
        entry + "portfolios: there is no portfolio 'gone'",
        entry + "to_sites: there is no site 'olbia'",
        entry + "steps entry 2, shares: there is no site 'nowhere'",
        entry + "steps entry 1, shares: add up to 9,999, not to 10,000 hundredths of a percent",
        entry + "steps entry 2, step_id: 's1' stands twice in this plan",
        entry + "steps entry 2, portfolio_id: 'shop' is none of the portfolios of this plan",
        entry + "steps entry 3, valid_from: is after the deadline, 2018-09-30",
        entry + "steps entry 4, valid_from: is after the deadline, 2018-09-30",
        entry + "steps entry 4, valid_from: step 's3' says where calls of 'home' go from this day on already",
        entry + "steps entry 2, valid_from: is before that of the step above, 2018-06-01: write steps in the order "
        "of their days",
        entry
        + "steps entry 2, agents_moved: is less than in the step above, 300: it counts all who have moved by then",
        entry + "time_zone: 'Rome' is not a time zone; write one such as 'Europe/Rome'",
    ]


def test_a_plan_that_leaves_agents_where_they_are_is_not_finished() -> None:
    short = plan()
    steps = (*short.steps[:-1], msgspec.structs.replace(short.steps[-1], agents_moved=219))

    assert problems(msgspec.structs.replace(short, steps=steps)) == [
        "move_plans entry 1, steps entry 2, agents_moved: is 219; the plan is to move 220"
    ]


def test_a_portfolio_belongs_to_one_plan() -> None:
    other = plan(move_plan_id="other", where="move_plans entry 2")

    assert problems(plan(), other) == ["move_plans entry 2, portfolios: 'home' stands in move plan 'home' already"]
    assert problems(plan(), plan(where="move_plans entry 2"))[0] == (
        "move_plans entry 2, move_plan_id: 'home' stands twice, first in move_plans entry 1"
    )
