"""A contact centre over months of virtual time, around the router as it runs live, its journal included.

It plays the platform and the people of a `Scenario`. All goes through the live service's `Decider`, and each event is
the record that the service would have journalled, so a journal written here is one to report from. Agents who answer at
all accept at once. Whoever is told that the agent sits outside, and wants one inside, asks before the conversation.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from enum import StrEnum
from hashlib import blake2b
from heapq import heappop, heappush
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from router.core import Engine, EventRejected, Limits, RouterError
from router.core.days import LocalDays
from router.core.decisions import (
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    ReleaseAgent,
    ReportPlan,
    Rule,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.events import (
    AgentEvent,
    AgentReady,
    AgentSignedIn,
    AgentSignedOut,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    CallRefreshed,
    Event,
    OfferAccepted,
    OrganisationChanged,
    PlaceRequested,
    RouterResumed,
    TimePassed,
)
from router.core.model import AgentId, CallId, FallbackKind, OrganisationDescription, Ownership
from router.core.organisation import Organisation
from router.journal import SqliteJournal
from router.service.decider import Decider
from router.service.garbage import collecting_seldom
from router.simulation.counts import Counts, RunCounts
from router.simulation.ledger import Breach, DayCount, Ledger, PlanChange
from router.simulation.recorder import Recorder
from router.simulation.scenario import Scenario
from router.simulation.shifts import Shifts
from router.simulation.tally import Person, Tally
from router.simulation.traffic import DrawnCaller, Traffic, hour_marks_ms

__all__ = ["Off", "Run", "play", "with_rules_off"]

# An agent who was paused for missed offers says so much later that it was a mistake.
_BACK_AFTER_PAUSE_MS: Final = 60_000
# After the last day, those on the line may finish; what takes longer is left there.
_LAST_CALLS_MS: Final = 4 * 3_600_000
_NEVER_MS: Final = 1 << 62


class Off(StrEnum):
    """Rules that can be switched off, to see what they cost."""

    SHARE = "share"


class Run(Struct, frozen=True, kw_only=True):
    """What one run brought."""

    off: Off | None
    replication: int = 0
    counts: RunCounts = field(default_factory=RunCounts)
    """Of the days after the warm-up."""
    days: tuple[DayCount, ...]
    breaches: tuple[Breach, ...]
    """The first ones; there must be none where the share is on."""
    breach_count: int
    plan_changes: tuple[PlanChange, ...]
    """What move plans reported, by time."""
    overrides_in_books: int
    """As the engine counted them, in the state that goes into the journal."""
    records: int
    """That the service would have journalled."""
    rejected: dict[str, int]
    """Events that the router refused, by reason; a few, of things that crossed, are normal."""
    left: int
    """Calls that were not over in the end."""
    callers_digest: str
    """Of all callers as they were drawn: equal digests, the same callers."""
    decisions_digest: str
    """Of all decisions: equal digests, equal runs."""

    @property
    def overrides(self) -> int:
        """As the callers and agents lived them."""
        return sum(contract.overrides for day in self.days for contract in day.contracts)


def with_rules_off(description: OrganisationDescription, off: Off | None) -> OrganisationDescription:
    """The organisation with a rule off; what it looks at is counted as before."""
    if off is None:
        return description
    contracts = (replace(each, target_bp=0, baseline_bp=0, margin_bp=0) for each in description.contracts)
    return replace(description, contracts=tuple(contracts))


@collecting_seldom()
def play(
    scenario: Scenario,
    description: OrganisationDescription,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    off: Off | None = None,
    replication: int = 0,
    journal: Path | None = None,
    shard: str = "main",
    on_day: Callable[[DayCount], None] = lambda _: None,
) -> Run:
    """Play the whole scenario.

    Args:
        scenario: One of which `problems_of` the organisation says nothing.
        description: The organisation as it is written.
        limits: Of the router.
        off: A rule to leave out.
        replication: Which of the independent sets of callers that belong to the scenario's seed.
        journal: Where to write a journal of all, with a snapshot in the end; None: nowhere.
        shard: The shard of the journal.
        on_day: Told of each day when it is over, for showing progress.

    Raises:
        RouterError: The journal cannot be written, or there is one already.
    """
    if journal is None:
        return _Centre(scenario, description, limits, off, replication, None).run(on_day)
    if journal.exists():
        raise RouterError(f"journal {journal} exists already: name a new file, or move that one away")
    with closing(SqliteJournal(journal)) as open_journal:
        recorder = Recorder(open_journal, shard)
        run = _Centre(scenario, description, limits, off, replication, recorder).run(on_day)
        open_journal.release(shard)
    return run


class _Call:
    """A caller on the line, or waiting to be called back."""

    __slots__ = (
        "asked_ms", "asks", "caller", "cell", "hangs_up_ms", "is_callback", "is_talking", "misses", "offer",
        "owner_on_shift", "ownership", "person",
    )  # fmt: skip

    def __init__(self, caller: DrawnCaller, cell: Counts) -> None:
        self.caller = caller
        self.cell = cell
        self.asks = caller.asks_inside
        self.misses = caller.misses
        self.asked_ms: int | None = None
        self.offer: OfferCall | None = None
        """The last one."""
        self.person: Person | None = None
        """Who is offered the call, or speaks to the caller."""
        self.ownership: Ownership | None = None
        self.owner_on_shift = False
        self.hangs_up_ms: int | None = None
        self.is_callback = False
        self.is_talking = False


class _Centre:
    """One run."""

    def __init__(
        self,
        scenario: Scenario,
        description: OrganisationDescription,
        limits: Limits,
        off: Off | None,
        replication: int,
        recorder: Recorder | None,
    ) -> None:
        self._scenario = scenario
        self._off = off
        self._replication = replication
        self._recorder = recorder
        self._calendar = LocalDays(scenario.time_zone)
        self._organisation = Organisation(description)
        self._ledger = Ledger(description)
        self._tally = Tally(description, self._organisation, (calls.portfolio_id for calls in scenario.calls))
        self._people = self._tally.people
        teams = self._organisation.teams
        self._supplier_of = {
            agent_id: agent.supplier_id or teams[agent.team_id].supplier_id
            for agent_id, agent in self._organisation.agents.items()
        }
        self._site_of = {
            agent_id: agent.site_id or teams[agent.team_id].site_id
            for agent_id, agent in self._organisation.agents.items()
        }
        self._talk_percent = dict.fromkeys(self._organisation.sites, 100)
        self._talk_percent |= {each.site_id: each.talk_percent for each in scenario.sites}
        # Twice a lease, as a platform would.
        self._refresh_every_ms = min(team.talk_lease_s for team in description.teams) * 500
        self._calls: dict[CallId, _Call] = {}
        self._signed_in: set[AgentId] = set()
        """Those who want to be there."""
        self._future: list[tuple[int, int, Event]] = []
        self._sequence = 0
        self._pending: deque[Event] = deque()
        self._rejected: Counter[str] = Counter()
        self._callers_digest = blake2b(digest_size=16)
        at_ms = self._calendar.midnight_ms(scenario.starts)
        played = with_rules_off(description, off)
        self._decider = Decider.of_first_record(Engine(played, limits=limits), played, 1, at_ms)
        self._offset = 1
        if recorder is not None:
            recorder.record(at_ms, OrganisationChanged(description=played))
        self._tell(at_ms, RouterResumed(epoch=1 if recorder is None else recorder.epoch, limits=limits))

    def run(self, on_day: Callable[[DayCount], None]) -> Run:
        scenario = self._scenario
        zone = ZoneInfo(scenario.time_zone)
        shifts = Shifts(scenario, self._organisation, self._replication)
        traffic = Traffic(scenario, self._organisation, self._replication)
        days = []
        counted_from = scenario.starts + timedelta(days=scenario.warm_up_days)
        ends_ms = self._calendar.midnight_ms(scenario.ends)
        for day in _days(scenario.starts, scenario.ends):
            self._tally.open_day(hour_marks_ms(day, zone), is_first=day <= counted_from)
            for at_ms, event in shifts.events_of_day(day):
                self._later(at_ms, event)
            callers = traffic.callers_of_day(day)
            self._callers_digest.update(repr(callers).encode())
            until_ms = self._calendar.midnight_ms(day + timedelta(days=1))
            self._play(callers, until_ms)
            if until_ms == ends_ms:
                self._tally.close(ends_ms)
                # Whatever is due, so that the journal covers the last day whole.
                self._tell(ends_ms, TimePassed(digest=self._decider.digest))
                self._follow(ends_ms)
                self._play([], ends_ms + _LAST_CALLS_MS)
            days.append(self._ledger.close_day(day))
            on_day(days[-1])
        if self._recorder is not None:
            self._recorder.finish(self._decider)
        books = self._decider.engine.books(now_ms=self._decider.now_ms)
        return Run(
            off=self._off,
            replication=self._replication,
            counts=self._tally.counts(),
            days=tuple(days),
            breaches=tuple(self._ledger.breaches),
            breach_count=self._ledger.breach_count,
            plan_changes=tuple(self._ledger.plan_changes),
            overrides_in_books=sum(each.overrides for each in books.contract_days),
            records=self._offset,
            rejected=dict(sorted(self._rejected.items())),
            left=len(self._calls),
            callers_digest=self._callers_digest.hexdigest(),
            decisions_digest=self._decider.digest.hex(),
        )

    def _play(self, callers: list[DrawnCaller], until_ms: int) -> None:
        """Let everything happen that happens before a moment."""
        future, engine = self._future, self._decider.engine
        arrivals = iter(callers)
        caller = next(arrivals, None)
        while True:
            at_ms = future[0][0] if future else _NEVER_MS
            is_arrival = caller is not None and caller.arrived_ms < at_ms
            if caller is not None and is_arrival:
                at_ms = caller.arrived_ms
            due_ms = engine.next_deadline_ms()
            if due_ms is not None and due_ms <= at_ms:
                if due_ms >= until_ms:
                    return
                self._tell(due_ms, TimePassed(digest=self._decider.digest))
                self._follow(due_ms)
            elif at_ms >= until_ms:
                return
            elif caller is not None and is_arrival:
                self._arrive(caller)
                caller = next(arrivals, None)
            else:
                self._happen(heappop(future)[2], at_ms)

    # --- What happens ---

    def _arrive(self, caller: DrawnCaller) -> None:
        now_ms, call_id = caller.arrived_ms, caller.call_id
        portfolio_id, navigation_ms = caller.portfolio_id, caller.navigation_ms
        call = self._calls[call_id] = _Call(caller, self._tally.arrived(portfolio_id, now_ms))
        self._ledger.arrived += 1
        self._tell(now_ms, CallArrived(call_id=call_id, portfolio_id=portfolio_id, navigation_ms=navigation_ms))
        self._follow(now_ms)
        if caller.patience_ms is not None and not call.is_talking and call_id in self._calls:
            call.hangs_up_ms = now_ms + caller.patience_ms
            self._later(call.hangs_up_ms, CallAbandoned(call_id=call_id))

    def _happen(self, event: Event, now_ms: int) -> None:
        """What was foreseen, if it still comes true."""
        kind = type(event)
        if kind is CallEnded:
            assert isinstance(event, CallEnded)
            call = self._calls.pop(event.call_id, None)
            if call is None:
                return
            self._tally.hung_up(_person_of(call), now_ms)
        elif kind is CallAbandoned:
            assert isinstance(event, CallAbandoned)
            call = self._calls.get(event.call_id)
            if call is None or call.is_talking or call.is_callback or call.hangs_up_ms != now_ms:
                return
            self._ledger.abandoned += 1
            self._tally.abandoned(call.cell, now_ms - call.caller.arrived_ms)
            self._leave(event.call_id)
        elif kind is CallRefreshed:
            assert isinstance(event, CallRefreshed)
            if event.call_id not in self._calls:
                return
            self._later(now_ms + self._refresh_every_ms, event)
        elif isinstance(event, AgentEvent) and not self._comes_or_goes(event, now_ms):
            return
        self._tell(now_ms, event)
        self._follow(now_ms)

    def _comes_or_goes(self, event: AgentEvent, now_ms: int) -> bool:
        """Whether the agent really does so."""
        person = self._people[event.agent_id]
        kind = type(event)
        if kind is AgentSignedIn:
            self._signed_in.add(event.agent_id)
            if self._tell(now_ms, event):
                self._tally.signed_in(person, now_ms)
            return False
        if event.agent_id not in self._signed_in:
            return kind is AgentSignedOut
        if kind is AgentReady:
            self._tally.ready(person, now_ms)
        elif kind is AgentSignedOut:
            self._signed_in.discard(event.agent_id)
            self._tally.leaves(person, now_ms)
        return True

    def _follow(self, now_ms: int) -> None:
        """What platform and people do at once about what the router has decided."""
        pending = self._pending
        while pending:
            event = pending.popleft()
            if self._tell(now_ms, event) and type(event) is CallConnected:
                self._connected(self._calls[event.call_id], now_ms)

    def _tell(self, now_ms: int, event: Event) -> bool:
        """Report an event to the router and take in its decisions; False: it was refused."""
        self._offset += 1
        if self._recorder is not None:
            self._recorder.record(now_ms, event)
        try:
            decided = self._decider.apply(self._offset, now_ms, event)
        except EventRejected as rejected:
            self._rejected[rejected.reason] += 1
            return False
        for _, decision in decided:
            self._take_in(decision, now_ms)
        return True

    def _take_in(self, decision: Decision, now_ms: int) -> None:
        kind = type(decision)
        if kind is OfferCall:
            assert isinstance(decision, OfferCall)
            self._offered(decision, now_ms)
        elif kind is ConnectCall:
            assert isinstance(decision, ConnectCall)
            self._announce(decision, now_ms)
        elif kind is FallbackCall:
            assert isinstance(decision, FallbackCall)
            self._fall_back(decision)
        elif kind is WithdrawOffer or kind is ReleaseAgent:
            assert isinstance(decision, WithdrawOffer | ReleaseAgent)
            self._tally.freed(self._people[decision.agent_id], now_ms)
        elif kind is PauseAgent:
            assert isinstance(decision, PauseAgent)
            self._tally.pauses(self._people[decision.agent_id], now_ms)
            self._later(now_ms + _BACK_AFTER_PAUSE_MS, AgentReady(agent_id=decision.agent_id))
        elif kind is SignOutAgent:
            assert isinstance(decision, SignOutAgent)
            self._tally.leaves(self._people[decision.agent_id], now_ms)
        elif kind is EndCall:
            assert isinstance(decision, EndCall)
            self._tally.hung_up(_person_of(self._calls.pop(decision.call_id)), now_ms)
        elif kind is ReportPlan:
            assert isinstance(decision, ReportPlan)
            self._ledger.plan_reported(decision, self._calendar.day_of(now_ms), now_ms)

    def _offered(self, offer: OfferCall, now_ms: int) -> None:
        call = self._calls[offer.call_id]
        call.offer = offer
        person = call.person = self._people[offer.agent_id]
        self._tally.offered(person, call.cell, now_ms)
        if call.misses:
            # The phone rings until the router takes the offer back.
            call.misses -= 1
            self._ledger.missed += 1
            self._tally.missed(person, call.cell)
        else:
            self._pending.append(OfferAccepted(call_id=offer.call_id, agent_id=offer.agent_id, offer_id=offer.offer_id))

    def _announce(self, decision: ConnectCall, now_ms: int) -> None:
        """The caller is told where the agent sits, and may ask for one who sits inside."""
        call = self._calls[decision.call_id]
        if decision.offers_choice and call.asks:
            call.asks = False
            call.asked_ms = now_ms
            self._ledger.asked += 1
            self._pending.append(PlaceRequested(call_id=decision.call_id))
            return
        announced = decision.agent_country if decision.announcement is not None else None
        self._pending.append(CallConnected(call_id=decision.call_id, announced=announced))

    def _connected(self, call: _Call, now_ms: int) -> None:
        caller, offer, person = call.caller, call.offer, _person_of(call)
        assert offer is not None, "only an offered call is connected"
        call.is_talking = True
        site_id = self._site_of[offer.agent_id]
        contract = self._ledger.answered(
            caller.call_id,
            offer.portfolio_id,
            self._supplier_of[offer.agent_id],
            site_id,
            offer.agent_country,
            is_override=offer.rule is Rule.SHARE_OVERRIDE,
            now_ms=now_ms,
        )
        cells = self._tally.connected(person, call.cell, None if contract is None else contract.contract_id, now_ms)
        if contract is not None:
            for cell in cells:
                cell.inside += offer.agent_country in contract.countries
                cell.overrides += offer.rule is Rule.SHARE_OVERRIDE
        if call.is_callback:
            self._ledger.called_back += 1
            for cell in cells:
                cell.called_back += 1
        else:
            wait_ms = now_ms - caller.arrived_ms
            self._ledger.answered_on_line(wait_ms)
            self._tally.answered(caller.portfolio_id, person, cells, wait_ms)
        if call.asked_ms is not None:
            self._ledger.met += 1
            self._ledger.met_ms += now_ms - call.asked_ms
        talk_ms = caller.talk_ms * self._talk_percent[site_id] // 100
        self._later(now_ms + talk_ms, CallEnded(call_id=caller.call_id))
        if talk_ms > self._refresh_every_ms:
            self._later(now_ms + self._refresh_every_ms, CallRefreshed(call_id=caller.call_id))

    def _fall_back(self, decision: FallbackCall) -> None:
        if decision.rule is Rule.SHARE:
            self._ledger.refused += 1
        if decision.kind is FallbackKind.CALLBACK:
            self._calls[decision.call_id].is_callback = True
        elif decision.kind is not FallbackKind.PORTFOLIO:
            self._ledger.elsewhere += 1
            self._calls[decision.call_id].cell.elsewhere += 1
            self._leave(decision.call_id)

    def _leave(self, call_id: CallId) -> None:
        """The call is over before any answer."""
        call = self._calls.pop(call_id)
        if call.asked_ms is not None:
            self._ledger.unmet += 1

    def _later(self, at_ms: int, event: Event) -> None:
        self._sequence += 1
        heappush(self._future, (at_ms, self._sequence, event))


def _person_of(call: _Call) -> Person:
    assert call.person is not None, "somebody speaks to the caller"
    return call.person


def _days(starts: date, ends: date) -> Iterator[date]:
    return (starts + timedelta(days=number) for number in range((ends - starts).days))
