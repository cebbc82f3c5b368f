"""Where agents sit, what callers have asked for, the share and the move plan, all at once: the law holds.

Each rule has tests of its own; these are the promises that must survive their meeting.
"""

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core import Engine, EventRejected
from router.core.decisions import FallbackCall, OfferCall, Rule, WithdrawOffer
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    AgentSignedOut,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    CallTransferred,
    Event,
    OfferDeclined,
    OrganisationChanged,
    PlaceRequested,
    PlanAdvanceRequested,
    PlanRollbackRequested,
)
from router.core.explain import Verdict
from router.core.model import (
    AgentId,
    Area,
    CallId,
    ClientId,
    Contract,
    Fallback,
    FallbackKind,
    Membership,
    OrganisationDescription,
    OwnerWait,
    PlacePolicy,
    PortfolioId,
    ShareLimit,
    SharePeriod,
    ShareUnit,
    SiteId,
    SupplierId,
)
from tests.core.builders import (
    Bench,
    accepted,
    agent,
    client,
    link,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
)
from tests.core.test_moves import NOON, plan, step

COUNTRIES = {"lecce": "IT", "iasi": "RO", "tirana": "AL"}
AGENTS = {f"{site_id[0]}{number}": site_id for site_id in COUNTRIES for number in (1, 2, 3)}
GOLD = PortfolioId("gold")


def centre(
    *, owner_wait: OwnerWait, guarantee: int, move: bool, keep_idle: int | None = None, **terms: Any
) -> OrganisationDescription:
    """Three agents each in Lecce, Iasi and Tirana; Iasi is abroad for the contract and inside for a caller who asks.

    Where teams keep agents, Lecce and Tirana help gold at once while they can spare some, else after 10 and 15 s.
    """
    far_s = 0 if keep_idle is None else 15
    contract = {
        "contract_id": "c", "company": "operator", "supplier_id": SupplierId("own"), "countries": ("IT",),
        "margin_bp": 0, "period": SharePeriod.YEAR, "wait_s": 20, **terms,
    }  # fmt: skip
    steps = (step("s1", 5, "lecce:50 iasi:30 tirana:20"), step("s2", 7, "lecce:80 iasi:20"))
    plans = (plan(*steps, portfolios=(GOLD,), to_sites=(SiteId("lecce"),)),)
    return organisation(
        [team(site_id, site_id=SiteId(site_id), wrap_up_s=5, keep_idle=keep_idle) for site_id in COUNTRIES],
        [
            portfolio(
                "gold",
                link("lecce", 10),
                "iasi",
                link("tirana", far_s),
                fallback=Fallback(FallbackKind.NUMBER, "119"),
                owner_wait=owner_wait,
                owner_wait_s=60,
                owner_worth_s=300,
            ),
            portfolio("iron", "iasi", "tirana", max_wait_s=90, fallback=Fallback(FallbackKind.PORTFOLIO, "gold")),
        ],
        [agent(name, site_id) for name, site_id in AGENTS.items()],
        [client("K1", "gold", ownerships=owned_by("t1", "i1"))],
        sites=tuple(site(site_id, country) for site_id, country in COUNTRIES.items()),
        areas=(Area(area_id="eu", members=(Membership("IT"), Membership("RO"))),),
        place=PlacePolicy(area_id="eu", guarantee_agents=guarantee),
        contracts=(Contract(**contract),),
        move_plans=plans if move else (),
    )


class Day(Bench):
    """A bench that remembers what was offered and asked, and objects to what must not be."""

    def __init__(self, description: OrganisationDescription) -> None:
        super().__init__(description)
        self.description = description
        self.calls: list[str] = []
        self.ringing: dict[str, OfferCall] = {}
        self.asked: set[str] = set()

    def pass_time(self, seconds: float) -> None:
        self.see(self.until(self.now_ms / 1000 + seconds))

    def tell(self, event: Event) -> bool:
        try:
            self.see(self.engine.handle(event, now_ms=self.now_ms))
        except EventRejected:
            return False
        return True

    def see(self, decisions: Iterable[object]) -> None:
        for decision in decisions:
            match decision:
                case OfferCall(call_id=call_id, agent_country=country):
                    assert call_id not in self.asked or country in ("IT", "RO"), f"{call_id} is offered outside"
                    self.ringing[call_id] = decision
                case FallbackCall(call_id=call_id, rule=rule):
                    assert call_id not in self.asked or rule is not Rule.SHARE, f"{call_id} is refused for the share"
                case WithdrawOffer(call_id=call_id):
                    self.ringing.pop(call_id, None)

    def ask(self, call_id: str) -> None:
        # What the request brings at once must hold too.
        is_new = call_id not in self.asked
        self.asked.add(call_id)
        if not self.tell(PlaceRequested(call_id=CallId(call_id))) and is_new:
            self.asked.remove(call_id)

    def check(self) -> None:
        """Nobody waits whom somebody idle might take; gates that time alone opens are looked at later."""
        if self.description.contracts[0].unit is not ShareUnit.CALLS:
            return
        for call_id in self.calls:
            view = self.engine.find(CallId(call_id))
            if view is not None and view.status == "waiting":
                for answer in self.explain(call_id).agents:
                    assert answer.verdict is not Verdict.UNKNOWN, f"{answer.agent_id} is idle and {call_id} waits"


ACTIONS = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 99), st.sampled_from([0, 0.5, 3, 10, 31])), min_size=30, max_size=90
)


@settings(max_examples=40, deadline=None)
@given(
    actions=ACTIONS,
    guarantee=st.integers(0, 2),
    move=st.booleans(),
    target_bp=st.sampled_from([0, 5_000, 8_000]),
    then=st.sampled_from(ShareLimit),
    unit=st.sampled_from(ShareUnit),
    keep_idle=st.sampled_from([None, 0, 1]),
    owner_wait=st.sampled_from(OwnerWait),
)
def test_the_law_holds_nobody_is_forgotten_and_all_that_was_promised_is_settled(
    actions: list[tuple[int, int, float]],
    guarantee: int,
    move: bool,
    target_bp: int,
    then: ShareLimit,
    unit: ShareUnit,
    keep_idle: int | None,
    owner_wait: OwnerWait,
) -> None:
    terms = {"target_bp": target_bp, "then": then, "unit": unit}
    day = Day(centre(owner_wait=owner_wait, guarantee=guarantee, move=move, keep_idle=keep_idle, **terms))
    day.until(NOON + 40 * 86_400)
    for name in AGENTS:
        day.tell(AgentSignedIn(agent_id=AgentId(name)))
        day.tell(AgentReady(agent_id=AgentId(name)))
    for action, which, passes_s in actions:
        day.pass_time(passes_s)
        _act(day, action, which)
        day.check()

    for call_id in day.calls * 2:
        day.tell(CallEnded(call_id=CallId(call_id)))
    summary = day.engine.summary(now_ms=day.now_ms)
    assert summary.calls_live == 0
    assert [contract.outlook.promised for contract in summary.contracts] == [0]
    assert all(place.asked == place.met + place.unmet for place in summary.places)
    assert sum(place.asked for place in summary.places) == len(day.asked)
    sites = [site for each in summary.move_plans for one in each.portfolios for site in one.sites]
    assert all(site.on_way == 0 for site in sites)


def _act(day: Day, action: int, which: int) -> None:
    name = AgentId(list(AGENTS)[which % len(AGENTS)])
    call_id = CallId(day.calls[which % len(day.calls)]) if day.calls else CallId("none")
    offer = list(day.ringing.values())[which % len(day.ringing)] if day.ringing else None
    match action:
        case 0 | 1 | 2 | 3 | 4:
            day.calls.append(f"c{len(day.calls):03}")
            whose = {"client_id": ClientId("K1")} if which % 4 == 0 else {"portfolio_id": GOLD if which % 2 else "iron"}
            day.tell(CallArrived(call_id=CallId(day.calls[-1]), **whose))
        case 5 | 6 | 7 | 8 if offer is not None:
            if day.tell(accepted(offer)):
                if which % 3 == 0:
                    day.ask(offer.call_id)
                elif day.tell(CallConnected(call_id=offer.call_id, announced=offer.agent_country)):
                    del day.ringing[offer.call_id]
        case 9 if offer is not None:
            day.tell(OfferDeclined(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))
        case 10 | 11:
            day.tell(CallEnded(call_id=call_id))
        case 12:
            day.tell(CallTransferred(call_id=call_id, portfolio_id=GOLD if which % 2 else None))
        case 13:
            day.ask(call_id)
        case 14:
            day.tell(CallAbandoned(call_id=call_id))
        case 15:
            day.tell(AgentNotReady(agent_id=name, reason="break"))
        case 16:
            day.tell(AgentSignedOut(agent_id=name))
        case 17:
            day.tell(AgentSignedIn(agent_id=name))
            day.tell(AgentReady(agent_id=name))
        case 18:
            day.tell(PlanRollbackRequested(move_plan_id="home", by="ana", override=which % 2 == 0))
            day.tell(PlanAdvanceRequested(move_plan_id="home", by="ana", override=which % 3 == 0))
        case 19 if which % 2:
            state, past = day.engine.state_in_parts()
            day.engine = Engine.restored(day.description, state, list(past))
        case 19:
            day.tell(OrganisationChanged(description=day.description))
