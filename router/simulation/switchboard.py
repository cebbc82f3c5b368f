"""The telephony platform of a simulated centre: calls from their arrival to their end, and what agents do about them.

It reports to the router what happens, and carries out what the router decides. All goes through the live service's
`Decider`, and each event is the record that the service would have journalled.
"""

from collections import Counter, deque
from heapq import heappush
from typing import NamedTuple, TypeAlias

from router.core import EventRejected, Limits
from router.core.days import LocalDays
from router.core.decisions import (
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReleaseAgent,
    ReportPlan,
    Rule,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.events import (
    AgentEvent,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    CallEvent,
    CallRefreshed,
    CallTransferred,
    Event,
    OfferAccepted,
    OfferDeclined,
    OrganisationChanged,
    PlaceRequested,
    RouterResumed,
    TimePassed,
)
from router.core.members import AGENT_SIGNED_OUT
from router.core.model import CallId, FallbackKind, OrganisationDescription, Ownership
from router.core.organisation import Organisation, ownership_on
from router.service.decider import Decider
from router.simulation.counts import NOT_QUEUED, Counts
from router.simulation.ledger import Ledger
from router.simulation.recorder import Recorder
from router.simulation.scenario import Scenario
from router.simulation.staff import Foreseen, Staff
from router.simulation.tally import Person, Tally
from router.simulation.traffic import DrawnCaller, permille_of_agents

__all__ = ["Switchboard"]

_Happening: TypeAlias = "CallEvent | AgentEvent | Foreseen | _Again"


class _Again(NamedTuple):
    """Somebody who hung up calls once more."""

    caller: DrawnCaller
    tried: int
    """For so many times that is."""


class _Call:
    """A caller on the line, or waiting to be called back."""

    __slots__ = (
        "arrived_ms", "asked_ms", "asks", "call_id", "caller", "cell", "declines", "hangs_up_ms", "is_callback",
        "is_talking", "is_transferred", "misses", "offer", "offers", "owner_on_shift", "ownership", "patience_ms",
        "person", "tried", "waited_for",
    )  # fmt: skip

    def __init__(self, caller: DrawnCaller, tried: int, call_id: CallId, arrived_ms: int, cell: Counts) -> None:
        self.caller = caller
        self.tried = tried
        self.call_id = call_id
        self.arrived_ms = arrived_ms
        self.patience_ms = caller.again[tried - 1][1] if tried else caller.patience_ms
        self.cell = cell
        self.asks = caller.asks_inside
        self.misses = caller.misses
        self.declines = caller.declines
        self.asked_ms: int | None = None
        self.offer: OfferCall | None = None
        """Which rings or was accepted; the last one."""
        self.offers = 0
        """So many so far."""
        self.person: Person | None = None
        """Who is offered the call, or speaks to the caller."""
        self.ownership: Ownership | None = None
        self.owner_on_shift = False
        """At the arrival."""
        self.hangs_up_ms: int | None = None
        self.waited_for: str | None = None
        """The rule that let the call wait at first, or that none did."""
        self.is_callback = False
        self.is_talking = False
        self.is_transferred = False


class Switchboard:
    """Calls, agents, and the router between them, at moments that somebody else tells."""

    def __init__(
        self,
        scenario: Scenario,
        description: OrganisationDescription,
        organisation: Organisation,
        decider: Decider,
        replication: int,
        recorder: Recorder | None,
    ) -> None:
        """*description* as it was written: the router may have rules off."""
        self.future: list[tuple[int, int, _Happening]] = []
        """What is foreseen: when, in which order, and what; a heap."""
        self.decider = decider
        self.ledger = Ledger(description)
        self.tally = Tally(description, organisation, (calls.portfolio_id for calls in scenario.calls))
        self.rejected: Counter[str] = Counter()
        """Events that the router refused, by reason."""
        self.calls: dict[CallId, _Call] = {}
        """Those that are not over."""
        self.records = 1
        """That the service would have journalled; the organisation is the first."""
        self._organisation = organisation
        self._recorder = recorder
        self._calendar = LocalDays(scenario.time_zone)
        self._ends_ms = self._calendar.midnight_ms(scenario.ends)
        self._sequence = 0
        self._staff = Staff(scenario, self.tally, replication, self.later)
        self._people = self._staff.people
        self._supplier_of = {
            agent_id: agent.supplier_id or organisation.teams[agent.team_id].supplier_id
            for agent_id, agent in organisation.agents.items()
        }
        self._site_percent = {each.site_id: each.talk_percent for each in scenario.sites}
        self._owner_percent = {calls.portfolio_id: calls.owner_talk_percent for calls in scenario.calls}
        self._permille = permille_of_agents(scenario, organisation.agents)
        # Twice a lease, as a platform would.
        self._refresh_every_ms = min(team.talk_lease_s for team in description.teams) * 500
        self._pending: deque[Event] = deque()

    def begin(self, at_ms: int, limits: Limits) -> None:
        """The router starts."""
        recorder = self._recorder
        if recorder is not None:
            recorder.record(at_ms, OrganisationChanged(description=self.decider.description))
        self._tell(at_ms, RouterResumed(epoch=1 if recorder is None else recorder.epoch, limits=limits))

    def pass_time(self, now_ms: int) -> None:
        """Let the router do what is due. Only a journal has use for the digest."""
        digest = self.decider.digest if self._recorder is not None else None
        self._tell(now_ms, TimePassed(digest=digest))
        self._follow(now_ms)

    # --- What happens ---

    def arrive(self, caller: DrawnCaller, now_ms: int, tried: int = 0) -> None:
        portfolio_id, client_id = caller.portfolio_id, caller.client_id
        call_id = CallId(f"{caller.call_id}-r{tried}") if tried else caller.call_id
        cell = self.tally.arrived(portfolio_id, now_ms)
        cell.repeated += tried > 0
        call = self.calls[call_id] = _Call(caller, tried, call_id, now_ms, cell)
        self.ledger.arrived += 1
        if client_id is not None:
            client = self._organisation.find_client(client_id, None)
            ownership = call.ownership = None if client is None else ownership_on(client, now_ms)
            if ownership is not None and ownership.owner is not None:
                call.owner_on_shift = self._people[ownership.owner].status is not AGENT_SIGNED_OUT
        arrival = CallArrived(
            call_id=call_id,
            client_id=client_id,
            portfolio_id=portfolio_id if client_id is None and caller.segment is None else None,
            segment=caller.segment,
            navigation_ms=caller.navigation_ms,
        )
        self._tell(now_ms, arrival)
        self._follow(now_ms)
        self._wait(call, now_ms)

    def _wait(self, call: _Call, now_ms: int) -> None:
        """Unless somebody has answered, and as long as the caller is ready to."""
        if call.patience_ms is not None and not call.is_talking and call.call_id in self.calls:
            call.hangs_up_ms = now_ms + call.patience_ms
            self.later(call.hangs_up_ms, CallAbandoned(call_id=call.call_id))

    def happen(self, happening: _Happening, now_ms: int) -> None:
        """What was foreseen, if it still comes true."""
        if isinstance(happening, CallEvent):
            call = self.calls.get(happening.call_id)
            if call is not None:
                self._call_event(call, happening, now_ms)
        elif isinstance(happening, _Again):
            caller, tried = happening
            if now_ms < self._ends_ms and self._organisation.hours[caller.portfolio_id].is_open(now_ms):
                self.arrive(caller, now_ms, tried)
        elif isinstance(happening, Foreseen):
            event = self._staff.event_of(happening, now_ms)
            if event is not None:
                self._agent_event(event, now_ms, is_late=True)
        elif isinstance(happening, OfferAccepted | OfferDeclined):
            call = self.calls.get(happening.call_id)
            if call is not None and call.offer is not None and call.offer.offer_id == happening.offer_id:
                self._pending.append(happening)
                self._follow(now_ms)
        elif self._staff.does(happening, now_ms):
            self._agent_event(happening, now_ms)

    def _call_event(self, call: _Call, event: CallEvent, now_ms: int) -> None:
        kind = type(event)
        if kind is CallAbandoned:
            if call.is_talking or call.is_callback or call.hangs_up_ms != now_ms:
                return
            self._hang_up(call, now_ms)
        elif not call.is_talking:
            return
        elif kind is CallEnded:
            del self.calls[call.call_id]
            self._staff.hung_up(_person_of(call), call.caller.wrap_up_ms, now_ms)
        elif kind is CallTransferred:
            call.is_talking, call.is_transferred = False, True
            person = _person_of(call)
            self.tally.transferred(person, call.cell)
            self._staff.hung_up(person, call.caller.wrap_up_ms, now_ms)
        else:
            self.later(now_ms + self._refresh_every_ms, event)
        self._tell(now_ms, event)
        self._follow(now_ms)
        if kind is CallTransferred:
            self._wait(call, now_ms)

    def _hang_up(self, call: _Call, now_ms: int) -> None:
        """The caller has waited long enough."""
        self._leave(call)
        if call.is_transferred:
            call.cell.transferred_lost += 1
            return
        self.ledger.abandoned += 1
        self.tally.abandoned(call.caller.portfolio_id, call.cell, now_ms - call.arrived_ms, call.waited_for)
        if call.tried < len(call.caller.again):
            after_ms = call.caller.again[call.tried][0]
            self.later(now_ms + after_ms, _Again(call.caller, call.tried + 1))

    def _agent_event(self, event: AgentEvent, now_ms: int, *, is_late: bool = False) -> None:
        is_accepted = self._tell(now_ms, event)
        if type(event) is AgentSignedIn:
            if is_accepted:
                self._staff.sat_down(event, now_ms, is_late=is_late)
            else:
                self._staff.found_no_seat(event, now_ms)
        self._follow(now_ms)

    def _follow(self, now_ms: int) -> None:
        """What platform and people do at once about what the router has decided."""
        pending = self._pending
        while pending:
            event = pending.popleft()
            if type(event) is OfferDeclined:
                self._decline(event, now_ms)
            if self._tell(now_ms, event) and type(event) is CallConnected:
                self._connected(self.calls[event.call_id], now_ms)

    def _decline(self, event: OfferDeclined, now_ms: int) -> None:
        call, person = self.calls[event.call_id], self._people[event.agent_id]
        call.offer = None
        self.tally.declined(person, call.cell)
        self._staff.lost_offer(person, now_ms)

    def _tell(self, now_ms: int, event: Event) -> bool:
        """Report an event to the router and take in its decisions; False: it was refused."""
        self.records += 1
        if self._recorder is not None:
            self._recorder.record(now_ms, event)
        try:
            decided = self.decider.apply(self.records, now_ms, event)
        except EventRejected as rejected:
            self.rejected[rejected.reason] += 1
            return False
        for _, decision in decided:
            self._take_in(decision, now_ms)
        return True

    def _take_in(self, decision: Decision, now_ms: int) -> None:
        kind = type(decision)
        if kind is OfferCall:
            assert isinstance(decision, OfferCall)
            self._offered(decision, now_ms)
        elif kind is QueueCall:
            assert isinstance(decision, QueueCall)
            queued = self.calls[decision.call_id]
            queued.waited_for = queued.waited_for or decision.rule
        elif kind is ConnectCall:
            assert isinstance(decision, ConnectCall)
            self._announce(decision, now_ms)
        elif kind is ReleaseAgent:
            assert isinstance(decision, ReleaseAgent)
            self._staff.released(self._people[decision.agent_id], now_ms)
        elif kind is WithdrawOffer:
            assert isinstance(decision, WithdrawOffer)
            call = self.calls.get(decision.call_id)
            if call is not None:
                call.offer = None
            self._staff.lost_offer(self._people[decision.agent_id], now_ms)
        elif kind is FallbackCall:
            assert isinstance(decision, FallbackCall)
            self._fall_back(decision)
        elif kind is PauseAgent:
            assert isinstance(decision, PauseAgent)
            self._staff.was_paused(self._people[decision.agent_id], now_ms)
        elif kind is SignOutAgent:
            assert isinstance(decision, SignOutAgent)
            self._staff.was_signed_out(self._people[decision.agent_id], now_ms)
        elif kind is EndCall:
            assert isinstance(decision, EndCall)
            self._staff.hung_up(_person_of(self.calls.pop(decision.call_id)), None, now_ms)
        elif kind is ReportPlan:
            assert isinstance(decision, ReportPlan)
            self.ledger.plan_reported(decision, self._calendar.day_of(now_ms), now_ms)

    def _offered(self, offer: OfferCall, now_ms: int) -> None:
        call = self.calls[offer.call_id]
        call.offer = offer
        call.waited_for = call.waited_for or NOT_QUEUED
        person = call.person = self._people[offer.agent_id]
        self.tally.offered(person, call.cell, now_ms)
        rings_ms = call.caller.rings_ms
        ring_ms = rings_ms[call.offers % len(rings_ms)] if rings_ms else 0
        call.offers += 1
        kind = OfferDeclined if call.declines else OfferAccepted
        if call.declines:
            call.declines -= 1
        elif call.misses or ring_ms >= offer.expires_at_ms - now_ms:
            # The phone rings until the router takes the offer back.
            call.misses = max(0, call.misses - 1)
            self.ledger.missed += 1
            self.tally.missed(person, call.cell)
            return
        answer = kind(call_id=offer.call_id, agent_id=offer.agent_id, offer_id=offer.offer_id)
        if ring_ms:
            self.later(now_ms + ring_ms, answer)
        else:
            self._pending.append(answer)

    def _announce(self, decision: ConnectCall, now_ms: int) -> None:
        """The caller is told where the agent sits, and may ask for one who sits inside."""
        call = self.calls[decision.call_id]
        if decision.offers_choice and call.asks:
            call.asks = False
            call.asked_ms = now_ms
            self.ledger.asked += 1
            self._pending.append(PlaceRequested(call_id=decision.call_id))
            return
        announced = decision.agent_country if decision.announcement is not None else None
        self._pending.append(CallConnected(call_id=decision.call_id, announced=announced))

    def _connected(self, call: _Call, now_ms: int) -> None:
        person = _person_of(call)
        call.is_talking = True
        if call.is_transferred:
            self.tally.connected(person, call.cell, None, now_ms)
        else:
            self._answered(call, person, now_ms)
        talk_ms = self._talk_ms(call, person)
        transfer_to, first_ms = call.caller.transfer_to, talk_ms * call.caller.transfer_percent // 100
        if transfer_to is None or call.is_transferred:
            talk_ms -= first_ms
            self.later(now_ms + talk_ms, CallEnded(call_id=call.call_id))
        else:
            talk_ms = first_ms
            self.later(now_ms + talk_ms, CallTransferred(call_id=call.call_id, portfolio_id=transfer_to))
        if talk_ms > self._refresh_every_ms:
            self.later(now_ms + self._refresh_every_ms, CallRefreshed(call_id=call.call_id))

    def _talk_ms(self, call: _Call, person: Person) -> int:
        """The whole talk, if it were all with this agent."""
        caller, talk_ms = call.caller, call.caller.talk_ms
        talk_ms = talk_ms * self._site_percent.get(person.site_id, 100) // 100
        if call.ownership is not None and call.ownership.owner == person.agent_id:
            talk_ms = talk_ms * self._owner_percent[caller.portfolio_id] // 100
        return talk_ms * self._permille.get(person.agent_id, 1_000) // 1_000

    def _answered(self, call: _Call, person: Person, now_ms: int) -> None:
        """For the first time."""
        offer = call.offer
        assert offer is not None, "only an offered call is connected"
        is_override = offer.rule is Rule.SHARE_OVERRIDE
        contract = self.ledger.answered(
            call.call_id,
            offer.portfolio_id,
            self._supplier_of[person.agent_id],
            person.site_id,
            offer.agent_country,
            is_override=is_override,
            now_ms=now_ms,
        )
        cells = self.tally.connected(person, call.cell, None if contract is None else contract.contract_id, now_ms)
        if contract is not None:
            for cell in cells:
                cell.contracted += 1
                cell.inside += offer.agent_country in contract.countries
                cell.overrides += is_override
        if call.is_callback:
            self.ledger.called_back += 1
            for cell in cells:
                cell.called_back += 1
        else:
            wait_ms = now_ms - call.arrived_ms
            self.ledger.answered_on_line(wait_ms)
            self.tally.answered(
                call.caller.portfolio_id,
                person,
                call.ownership,
                cells,
                wait_ms,
                owner_on_shift=call.owner_on_shift,
                waited_for=call.waited_for,
            )
        if call.asked_ms is not None:
            self.ledger.met += 1
            self.ledger.met_ms += now_ms - call.asked_ms

    def _fall_back(self, decision: FallbackCall) -> None:
        call = self.calls[decision.call_id]
        if decision.rule is Rule.SHARE:
            self.ledger.refused += 1
        if decision.kind is FallbackKind.CALLBACK:
            call.is_callback = True
        elif decision.kind is not FallbackKind.PORTFOLIO:
            self._leave(call)
            if call.is_transferred:
                call.cell.transferred_lost += 1
            else:
                self.ledger.elsewhere += 1
                call.cell.elsewhere += 1

    def _leave(self, call: _Call) -> None:
        """The call is over before any answer, or any other answer."""
        del self.calls[call.call_id]
        if call.asked_ms is not None and not call.is_transferred:
            self.ledger.unmet += 1

    def later(self, at_ms: int, happening: _Happening) -> None:
        self._sequence += 1
        heappush(self.future, (at_ms, self._sequence, happening))


def _person_of(call: _Call) -> Person:
    assert call.person is not None, "somebody speaks to the caller"
    return call.person
