"""The routing engine: the one place where state changes.

The engine does no I/O. It never reads a clock, draws a random number or awaits: time is an argument, and what to do
next is a return value. Feed the same events at the same times into two engines and they decide alike; live service,
crash recovery, replay and simulation are the same engine under different clocks.

A deadline is served at the moment for which it was set, however late `Engine.expire` is called, so that a replay does
not depend on when the clock was looked at.

The way of a call through this file: `_call_arrived` -> `_enter` (portfolio, hours, plan) -> `_route` (owner, backups,
rings) -> `_offer` or `_wait`; then the agent's answer, or `_take` when somebody becomes free. Beside it, `roster`
keeps the people, `waiting` the queue, `deadlines` what is due, and `orders` words the decisions.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from router.core import events as e
from router.core import orders
from router.core.deadlines import Deadlines, Due
from router.core.decisions import AnswerResync, Decision, Rule
from router.core.errors import EventRejected, OrganisationError, Rejection
from router.core.explain import Explanation, explain_call, shut_words
from router.core.gates import Gates
from router.core.holds import hold_until_ms, predicts_owner_wait
from router.core.matching import choose_agent, choose_spare_agent, personal_opens_ms
from router.core.members import (
    AGENT_ACCEPTED,
    AGENT_IDLE,
    AGENT_IN_CALL,
    AGENT_NOT_READY,
    AGENT_OFFERED,
    AGENT_SIGNED_OUT,
    AGENT_WRAP_UP,
    CALL_ACCEPTED,
    CALL_CONNECTED,
    CALL_ENDED,
    CALL_OFFERED,
    CALL_WAITING,
    OUTCOME_ABANDONED,
    OUTCOME_CONNECTED,
    RULE_ACCEPTED,
    RULE_BACKUP,
    RULE_OWNER,
    RULE_SHARE_OVERRIDE,
)
from router.core.model import (
    AgentId,
    CallId,
    CallStatus,
    FallbackKind,
    Limits,
    OfferId,
    OrganisationDescription,
    Outcome,
    OwnerWait,
    PortfolioId,
    ShareLimit,
    SkillNeed,
    Strategy,
)
from router.core.months import PortfolioMonth
from router.core.moves import MoveRecord
from router.core.organisation import Organisation, ownership_on
from router.core.plans import NOWHERE, opens_for
from router.core.prospects import Foresight, Hope, Prospect, learn_talk, prospect_of, prospect_words
from router.core.roster import Roster
from router.core.shares import Adjustment
from router.core.snapshot import (
    EngineState,
    GatesState,
    PastCalls,
    call_state,
    deadlines_state,
    gates_state,
    restore_calls,
    restore_deadlines,
    restore_gates,
    restore_past_calls,
    restore_roster,
    roster_state,
)
from router.core.state import AgentRecord, CallRecord, Group, Offer, PortfolioRecord, TeamRecord
from router.core.summary import CallView, EngineSummary, summarise
from router.core.tallies import Tallies
from router.core.values import NOTHING, Block, BlockReason, Requirement
from router.core.waiting import WaitingRoom

__all__ = ["Engine"]


_RULE_OF_STRATEGY: Final = {
    Strategy.LONGEST_IDLE: Rule.LONGEST_IDLE,
    Strategy.LEAST_OCCUPIED: Rule.LEAST_OCCUPIED,
    Strategy.MOST_SKILLED: Rule.MOST_SKILLED,
    Strategy.LEAST_FLEXIBLE: Rule.LEAST_FLEXIBLE,
    Strategy.IDLEST_TEAM: Rule.IDLEST_TEAM,
}

# Why a call waits although somebody is idle.
_SHUT: Final = frozenset({Rule.SHARE, Rule.GUARANTEE, Rule.PLAN})
# Reasons of pauses that nobody asked for; no sender can use brackets.
_SUSPECT: Final = "(suspect)"
_RESYNCED: Final = "(resync)"
# An agent at work when the presence lease ends is looked at again so much later: the call has deadlines of its own.
_LEASE_AGAIN_MS: Final = 60_000
# A freed agent passes over so many calls at most that had better wait for their owners: a bound on the work, and on
# how far the last of a long queue may come forward.
_PASSED_OVER_MOST: Final = 8


class Engine:
    """Matches calls to agents. Call `expire`, then `handle`, with times that never decrease.

    Raises:
        OrganisationError: The description has problems; all of them are listed.
    """

    def __init__(
        self,
        description: OrganisationDescription,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        foresight: Foresight = prospect_of,
    ) -> None:
        """Start with nobody signed in.

        Args:
            description: The organisation.
            limits: What strangers can make the engine keep.
            foresight: What holding a call for its owner is likely to bring. Another than the usual one is good for
                experiments only, since a restart knows nothing of it.
        """
        self._limits = limits
        self._now = 0
        self._out: list[Decision] = []
        self._organisation = Organisation(description)
        self._roster = Roster(self._organisation, plans_max=limits.plans_max, plan_members_max=limits.plan_members_max)
        self._foresight = foresight
        self._predicts = _predicts_any(description)
        """Whether any portfolio predicts the owner wait; only then is learnt what it takes."""
        self._gates = Gates(description)
        self._waiting = WaitingRoom(self._gates)
        self._deadlines = Deadlines()
        self._tallies = Tallies(description)
        self._calls: dict[CallId, CallRecord] = {}
        # A plain dictionary walks over all it has lost to find its first: 6 µs a call.
        self._past: OrderedDict[CallId, CallRecord] = OrderedDict()
        self._offers_made = 0
        self._offers_by_end: dict[Rule, int] = {}
        self._gated: list[Group] | None = None
        """Groups with a gate before them, sorted; None: to be looked up."""
        self._released: list[CallRecord] = []
        """Held calls whose owner is no longer expected in time; routed again when the event is done."""
        self._handlers: dict[type[e.Event], Callable[[Any], None]] = {
            e.CallArrived: self._call_arrived,
            e.CallAbandoned: self._call_abandoned,
            e.CallConnected: self._call_connected,
            e.CallEnded: self._call_ended,
            e.CallRefreshed: self._call_refreshed,
            e.CallTransferred: self._call_transferred,
            e.CallbackRequested: self._callback_requested,
            e.ConnectFailed: self._connect_failed,
            e.PlaceRequested: self._place_requested,
            e.ShareAdjusted: self._share_adjusted,
            e.AgentSignedIn: self._agent_signed_in,
            e.AgentReady: self._agent_ready,
            e.AgentNotReady: self._agent_not_ready,
            e.AgentSignedOut: self._agent_signed_out,
            e.AgentRefreshed: self._agent_refreshed,
            e.AgentSuspected: self._agent_suspected,
            e.OfferAccepted: self._offer_accepted,
            e.OfferDeclined: self._offer_declined,
            e.OfferMissed: self._offer_missed,
            e.PlatformResynced: self._platform_resynced,
            e.PlanHoldRequested: self._plan_commanded,
            e.PlanAdvanceRequested: self._plan_commanded,
            e.PlanRollbackRequested: self._plan_commanded,
            e.OrganisationChanged: self._organisation_changed,
            e.RouterResumed: self._router_resumed,
        }
        for plan in self._gates.moves.records.values():
            self._look_later(plan)

    # --- The door ---

    def handle(self, event: e.Event, *, now_ms: int) -> tuple[Decision, ...]:
        """Apply *event* and say what to do about it.

        Args:
            event: What happened.
            now_ms: When we learnt of it, in milliseconds since the epoch. Never decreases, and deadlines up to it
                have been served with `expire` (except before a `RouterResumed`, which forgives those that were
                missed meanwhile).

        Returns:
            Decisions in the order in which they should be carried out. Often empty.

        Raises:
            EventRejected: The event does not fit the present state, which is left untouched.
        """
        assert now_ms >= self._now, f"time went back from {self._now} to {now_ms} ms"
        heap = self._deadlines.heap
        if heap and heap[0][0] <= now_ms:
            assert type(event) is e.RouterResumed or not self._deadlines.is_due(now_ms), (
                "serve the deadlines first: call expire(now_ms)"
            )
        self._now = now_ms
        self._handlers[type(event)](event)
        if self._released or self._gates.may_have_opened:
            self._route_released()
        if not self._out:
            return ()
        out = tuple(self._out)
        self._out.clear()
        return out

    def next_deadline_ms(self) -> int | None:
        """When `expire` should be called next, in milliseconds since the epoch; None: nothing is due."""
        return self._deadlines.next_ms()

    def expire(self, now_ms: int) -> tuple[Decision, ...]:
        """Serve every deadline up to *now_ms*, each at its own time, and say what to do about them."""
        deadlines = self._deadlines
        if not deadlines.heap or deadlines.heap[0][0] > now_ms:
            return ()
        while (entry := deadlines.pop_due(now_ms)) is not None:
            due_ms, _, due, subject = entry
            # Only after a stop can a deadline lie in the past of what has been handled; it is then served now.
            if due_ms > self._now:
                self._now = due_ms
            # By identity of type, as in `deadlines`.
            if type(subject) is AgentRecord:
                if due is Due.STATUS:
                    self._status_over(subject)
                else:
                    self._lease_over(subject)
            elif type(subject) is CallRecord:
                self._wake(subject)
            elif type(subject) is tuple:
                self._cooldown_over(*subject)
            else:
                assert type(subject) is MoveRecord, "a deadline is about a call, an agent, both, or a plan"
                self._look_at_plan(subject)
            if self._released or self._gates.may_have_opened:
                self._route_released()
        out = tuple(self._out)
        self._out.clear()
        return out

    def explain(self, call_id: CallId, *, now_ms: int) -> Explanation | None:
        """Agent by agent, why this call was not offered to them and when that may change; None: an unknown call.

        For a waiting call the answer is as of *now_ms*; for one that was offered, as of its last offer. Looks at
        every agent, so it is for people, not for the hot path.
        """
        call = self._calls.get(call_id) or self._past.get(call_id)
        if call is None:
            return None
        agents = self._roster.agents
        agents_sorted = [agents[agent_id] for agent_id in sorted(agents)]
        return explain_call(call, agents_sorted, self._gates, now_ms, gates_ms=self._now)

    def find(self, call_id: CallId) -> CallView | None:
        """Where a live or remembered call stands; None: an unknown call."""
        call = self._calls.get(call_id) or self._past.get(call_id)
        if call is None:
            return None
        return CallView(
            portfolio_id=call.portfolio.portfolio_id,
            status=call.status,
            outcome=call.outcome,
            arrived_ms=call.arrived_ms,
            connected_ms=call.connected_ms,
        )

    def summary(self, *, now_ms: int) -> EngineSummary:
        """Counts for metrics and dashboards."""
        return summarise(self._roster, self._calls, self._offers_by_end, self._gates, now_ms, gates_ms=self._now)

    def tallies(self) -> tuple[PortfolioMonth, ...]:
        """Every month of every portfolio since the first event, sorted by month, then portfolio."""
        return self._tallies.seen()

    @property
    def counting_since_ms(self) -> int | None:
        """From when on `tallies` count, in milliseconds since the epoch; None: nothing has happened yet."""
        return self._tallies.since_ms

    def books(self, *, now_ms: int) -> GatesState:
        """The work under contracts, what callers asked for and what was left out, by local day.

        Presence is counted up to *now_ms*, so nothing may be handled at an earlier time afterwards.
        """
        return gates_state(self._gates, now_ms)

    # --- Snapshots ---

    def state_in_parts(self, *, part_calls: int = 256) -> tuple[EngineState, Iterator[PastCalls]]:
        """All that the engine knows but its organisation, as plain data; equal engines give equal values.

        Args:
            part_calls: How many past calls are written out at a time.

        Returns:
            What may still change, complete when this returns; and the past calls, in parts that are written out
            when they are asked for. The engine may go on deciding meanwhile: what is past does not change, and the
            parts hold the calls that were past when this was called, whatever is forgotten since.
        """
        assert not self._out, "decisions were left over from an event"
        assert not self._released, "a hold that has ended was not looked at"
        state = EngineState(
            now_ms=self._now,
            limits=self._limits,
            offers_made=self._offers_made,
            offers_by_end=tuple(sorted(self._offers_by_end.items())),
            roster=roster_state(self._roster),
            calls=tuple(map(call_state, self._calls.values())),
            deadlines=deadlines_state(self._deadlines),
            deadlines_set=self._deadlines.sequence,
            tallies=self._tallies.seen(),
            counting_since_ms=self._tallies.since_ms,
            gates=gates_state(self._gates, self._now),
        )
        past = list(self._past.values())
        starts = range(0, len(past), part_calls)
        return state, (tuple(map(call_state, past[start : start + part_calls])) for start in starts)

    @classmethod
    def restored(cls, description: OrganisationDescription, state: EngineState, past: Iterable[PastCalls]) -> "Engine":
        """An engine that decides like the one whose state this is, to the millisecond and the name of each offer.

        Args:
            description: The organisation that was in force when the state was taken.
            state: What `state_in_parts` gave.
            past: Its past calls, in order.

        Raises:
            OrganisationError: The description has problems; all of them are listed.
            StateError: The state is of another organisation.
        """
        engine = cls(description, limits=state.limits)
        engine._now = state.now_ms
        engine._offers_made = state.offers_made
        engine._offers_by_end.update(state.offers_by_end)
        roster, people = engine._roster, state.roster.agents
        restore_roster(roster, state.roster)
        engine._tallies = Tallies(description, state.tallies, state.counting_since_ms)
        restore_gates(engine._gates, state.gates, roster, state.now_ms)
        engine._calls, engine._waiting = restore_calls(
            state.calls, roster, people, engine._organisation.find_client, engine._tallies, engine._gates, state.now_ms
        )
        engine._gates.may_have_opened = False
        engine._deadlines = restore_deadlines(
            state.deadlines, state.deadlines_set, engine._calls, roster, engine._gates.moves.records
        )
        engine._past.update((call.call_id, call) for call in restore_past_calls(past, roster))
        return engine

    def _route_released(self) -> None:
        while self._released or self._gates.may_have_opened:
            released, self._released = self._released, []
            for call in sorted(released, key=_rank):
                if call.status is CALL_WAITING and call.held_until_ms is not None:
                    self._route_again(call)
            self._gates.may_have_opened = False
            if self._gates.are_any:
                self._look_abroad()

    def _look_abroad(self) -> None:
        """Gates may have opened: idle agents behind them look for calls that they might not have before."""
        for group in self._gated_groups():
            if not self._waiting.has_calls_for(group) or group.idle.head() is None:
                continue
            for agent in sorted(set(group.idle.living()), key=lambda idle: (idle.idle_since_ms, idle.agent_id)):
                is_served = self._look_for(agent)
                if not is_served and not any(call.blocked or call.people for call in self._waiting.calls_for(group)):
                    # What is shut to one of them is shut to all.
                    break
        # An owner or backup may be the only one of the group whom a call reaches yet.
        for person in self._waiting.awaited():
            self._look_for(person)

    def _look_for(self, agent: AgentRecord) -> bool:
        """Whether there is a call for an agent who has been idle, and now has it or sees it go to somebody better."""
        found = self._next_call(agent) if agent.is_free else None
        if found is None:
            return False
        call, rule = found
        if self._gates.stage_of(call) is not None:
            # Another site may be shorter of calls.
            self._route_again(call)
        else:
            self._waiting.leave(call)
            self._offer(call, agent, rule)
        return True

    def _gated_groups(self) -> list[Group]:
        """The groups with a gate before them, sorted."""
        if self._gated is None:
            self._gated = [group for group in self._roster.groups() if self._gates.may_shut(group)]
        return self._gated

    # --- From arrival to an offer or a place in the queue ---

    def _call_arrived(self, event: e.CallArrived) -> None:
        if event.call_id in self._calls or event.call_id in self._past:
            raise EventRejected(Rejection.DUPLICATE_CALL, f"call {event.call_id} has arrived before")
        self._check_skills(event.skills)
        if self._waiting.count >= self._limits.waiting_calls_max:
            raise EventRejected(
                Rejection.QUEUE_FULL, f"{self._waiting.count} calls wait, the most that limits.waiting_calls_max allows"
            )
        call = CallRecord(
            event.call_id,
            client_id=event.client_id,
            arrived_ms=self._now,
            head_start_ms=event.head_start_s * 1000,
            asked=_asked(event),
        )
        call.client = self._organisation.find_client(event.client_id, event.caller)
        if call.client is not None:
            call.client_id = call.client.client_id
        portfolio, call.found_by = self._organisation.find_portfolio(call.client, event.portfolio_id, event.segment)
        self._calls[call.call_id] = call
        self._find_owner(call)
        call.navigation_ms = event.navigation_ms
        call.owner_on_shift = call.owner is not None and call.owner.status is not AGENT_SIGNED_OUT
        call.note(self._now, "arrived")
        record = self._roster.portfolios[portfolio.portfolio_id]
        record.arrived += 1
        self._tallies.arrived(portfolio, now_ms=self._now)
        self._enter(call, record)

    def _check_skills(self, skills: tuple[SkillNeed, ...]) -> None:
        for need in skills:
            if need.skill not in self._organisation.skills:
                raise EventRejected(Rejection.UNKNOWN_SKILL, f"the organisation declares no skill {need.skill!r}")

    def _find_owner(self, call: CallRecord) -> None:
        """Look up owner, backups and exclusions of the call's client, as of now."""
        call.owner, call.backups = None, ()
        if call.client is None:
            return
        agents = self._roster.agents
        ownership = ownership_on(call.client, self._now)
        if ownership is not None:
            call.owner = agents.get(ownership.owner) if ownership.owner is not None else None
            call.backups = tuple(agents[backup] for backup in ownership.backups if backup in agents)
        for agent_id in call.client.exclusions:
            self._block(call, agent_id, BlockReason.EXCLUDED, None)

    def _enter(self, call: CallRecord, record: PortfolioRecord) -> None:
        """Give the call to a portfolio, which routes it or, when closed or unable, sends it to its fallback."""
        call.portfolio = record
        call.rank_ms = call.arrived_ms - call.head_start_ms - record.head_start_ms
        call.queued_ms = self._now
        call.is_share_waived = call.may_spill = False
        call.plan = self._roster.plan_for(record, call.asked, self._now)
        is_closed = not call.callback and not self._organisation.hours[record.portfolio_id].is_open(self._now)
        if is_closed and _is_servable(call):
            self._fall_back(call, Rule.CLOSED)
        else:
            self._route_if_servable(call, announce=True)

    def _route_if_servable(self, call: CallRecord, *, announce: bool) -> None:
        if _is_servable(call):
            self._route(call, announce=announce)
        else:
            self._fall_back(call, Rule.UNSERVABLE)

    def _route(self, call: CallRecord, *, announce: bool = True) -> None:
        """Offer the call, which stands in no queue, to the best agent it reaches now, else let it wait."""
        now = self._now
        waited_ms = now - call.arrived_ms
        if call.promise is not None or call.move is not None:
            self._gates.let_go(call)
        are_gates = self._gates.are_any
        if are_gates:
            self._waive_if_due(call)
        hold_ms: int | None = None
        may_predict = False
        owner = call.owner
        if owner is not None:
            opens_ms = personal_opens_ms(call, owner)
            if opens_ms is not None and opens_ms <= waited_ms and (not are_gates or self._is_open(call, owner)):
                if owner.is_free:
                    self._offer(call, owner, self._rule_of_person(call, owner))
                    return
                # Whether the wait is likely to pay is asked only if somebody else could have the call.
                may_predict = predicts_owner_wait(call)
                if call.place_requested_ms is None and not may_predict:
                    hold_ms = hold_until_ms(call, owner, now)
        detail = ""
        if hold_ms is None:
            found = self._first_free(call)
            if found is not None:
                prospect = self._prospect(call) if may_predict else None
                if prospect is not None and call.owner is not None:
                    detail = prospect_words(prospect, call.owner)
                    self._note(call, detail)
                    hold_ms = prospect.until_ms
                if hold_ms is None:
                    self._offer(call, *found)
                    return
        limit = self._limit_reached(call)
        if limit is not None:
            # Its limit passed while it was being offered to somebody who did not take it.
            self._fall_back(call, limit)
            return
        self._waiting.enter(call, hold_until_ms=hold_ms, now_ms=now)
        self._deadlines.wake(call, self._waiting.next_change_ms(call, now))
        if self._gates.are_any and call.rule in _SHUT:
            self._note_shut(call)
        if announce and call.rule is not None:
            self._announce(call, call.rule, detail)

    def _first_free(self, call: CallRecord) -> tuple[AgentRecord, Rule] | None:
        """Of backups and rings that the call has reached, the idle agent who is asked first; None: nobody is idle."""
        waited_ms = self._now - call.arrived_ms
        for backup in call.backups:
            if backup.is_free:
                opens_ms = personal_opens_ms(call, backup)
                is_reached = opens_ms is not None and opens_ms <= waited_ms
                if is_reached and (not self._gates.are_any or self._is_open(call, backup)):
                    return backup, self._rule_of_person(call, backup)
        for ring in call.plan.rings:
            if ring.opens_ms > waited_ms:
                break
            agent = choose_agent(ring, call, self._gates, self._now)
            if agent is not None:
                return agent, self._rule_of_ring(call, agent, _RULE_OF_STRATEGY[call.plan.strategy])
        if call.plan.spare:
            agent = choose_spare_agent(call, self._gates, self._now)
            if agent is not None:
                return agent, self._rule_of_ring(call, agent, Rule.SPARE)
        return None

    def _prospect(self, call: CallRecord) -> Prospect | None:
        """What holding the call for its owner is likely to bring, where the wait is predicted."""
        owner = call.owner
        if owner is None or not predicts_owner_wait(call):
            return None
        opens_ms = personal_opens_ms(call, owner)
        if opens_ms is None or opens_ms > self._now - call.arrived_ms:
            # Perhaps free in time, but not for this call yet.
            return None
        if self._gates.are_any and not self._is_open(call, owner):
            return None
        return self._foresight(call, owner, self._now, self._organisation.description.quality.within_s * 1000)

    def _is_open(self, call: CallRecord, person: AgentRecord) -> bool:
        """Whether no gate keeps the call from its owner or backup."""
        return self._gates.shut(call, person.group, self._now, is_personal=True) is None

    def _rule_of_person(self, call: CallRecord, person: AgentRecord) -> Rule:
        if self._gates.are_any and self._gates.is_override(call, person.group, self._now):
            return RULE_SHARE_OVERRIDE
        return RULE_OWNER if person is call.owner else RULE_BACKUP

    def _rule_of_ring(self, call: CallRecord, agent: AgentRecord, otherwise: Rule) -> Rule:
        gates = self._gates
        if gates.are_any:
            if gates.is_override(call, agent.group, self._now):
                return RULE_SHARE_OVERRIDE
            if gates.is_spill(call, agent.group):
                return Rule.SPILL
        return otherwise

    def _waive_if_due(self, call: CallRecord) -> bool:
        """Let the call go where it might not before, if it has waited long enough."""
        may_spill, may_go_abroad = self._spill_if_due(call), self._waive_share_if_due(call)
        return may_spill or may_go_abroad

    def _spill_if_due(self, call: CallRecord) -> bool:
        spill_ms = self._gates.spill_ms(call)
        if spill_ms is None or spill_ms > self._now:
            return False
        call.may_spill = True
        self._note(call, "may go to any site: nobody free at those that are short of calls")
        return True

    def _waive_share_if_due(self, call: CallRecord) -> bool:
        """Let the call go abroad whatever the share, if it has waited long enough and its contract says so.

        Or the law does: whoever has asked for an agent inside is not refused one for the sake of a contract.
        """
        contract = self._gates.share_limit(call, self._now)
        if contract is None:
            return False
        if contract.contract.then is not ShareLimit.OVERFLOW and call.place_requested_ms is None:
            return False
        if self._now - call.queued_ms < contract.contract.wait_s * 1000:
            return False
        call.is_share_waived = True
        self._note(call, f"may go abroad: nobody free in {contract.territory} for {contract.contract.wait_s} s")
        return True

    def _route_again(self, call: CallRecord) -> None:
        self._waiting.leave(call)
        self._route(call, announce=False)

    def _announce(self, call: CallRecord, rule: Rule, detail: str = "") -> None:
        owner_team = self._roster.teams[call.portfolio.owner_team_id]
        mean_ms = owner_team.handling.mean_ms if owner_team.handling.count else owner_team.team.handling_s * 1000
        self._note(call, f"queued: {rule}")
        position = self._waiting.position(call)
        self._out.append(
            orders.queue_call(call, rule, position=position, handling_ms=mean_ms, detail=detail, now_ms=self._now)
        )

    def _wake(self, call: CallRecord) -> None:
        """Something about a call's wait has changed by itself: look wider, and fall back at the limit."""
        now = self._now
        self._gates.may_have_opened = self._gates.are_any
        if call.held_until_ms is not None:
            if call.held_until_ms <= now:
                self._route_again(call)
        elif any(_has_come_to_qualify(call, person, now) for person in call.people):
            self._route_again(call)
        else:
            self._look_wider(call)
        if call.status is CALL_WAITING and self._gates.are_any and self._waive_if_due(call):
            self._route_again(call)
            return
        if call.status is not CALL_WAITING:
            return
        rule = self._limit_reached(call)
        if rule is not None:
            self._waiting.leave(call)
            self._fall_back(call, rule)
            return
        call.rule = self._waiting.why(call, now)
        self._deadlines.wake(call, self._waiting.next_change_ms(call, now))

    def _look_wider(self, call: CallRecord) -> None:
        """Look for an idle agent in the rings that have opened since, else let the call stand there too."""
        waited_ms = self._now - call.arrived_ms
        for ring in call.plan.rings[call.rings_open :]:
            if ring.opens_ms > waited_ms:
                break
            agent = choose_agent(ring, call, self._gates, self._now)
            if agent is None:
                continue
            if predicts_owner_wait(call):
                # It may be better to wait for the owner.
                self._route_again(call)
            else:
                self._waiting.leave(call)
                self._offer(call, agent, self._rule_of_ring(call, agent, _RULE_OF_STRATEGY[call.plan.strategy]))
            return
        self._waiting.widen(call, self._now)

    def _limit_reached(self, call: CallRecord) -> Rule | None:
        portfolio = call.portfolio.portfolio
        queued_for_ms = self._now - call.queued_ms
        if call.callback:
            return Rule.CALLBACK_EXPIRED if queued_for_ms >= portfolio.callback_max_wait_s * 1000 else None
        if portfolio.max_wait_s is not None and queued_for_ms >= portfolio.max_wait_s * 1000:
            return Rule.MAX_WAIT
        contract = self._gates.share_limit(call, self._now) if self._gates.are_any else None
        if contract is not None and queued_for_ms >= contract.contract.wait_s * 1000:
            # Where the gate is open, the call waits for whoever is free first, as any other does.
            is_shut = any(self._gates.shut(call, group, self._now) is Rule.SHARE for group in call.plan.ring_of)
            return Rule.SHARE if is_shut else None
        return None

    def _fall_back(self, call: CallRecord, rule: Rule) -> None:
        """Send the call, which stands in no queue, where its portfolio has declared."""
        fallback = call.portfolio.portfolio.fallback
        kind, target = fallback.kind, fallback.target
        if rule is Rule.SHARE:
            contract = self._gates.share_limit(call, self._now)
            assert contract is not None, "only a contract has a share"
            self._gates.refused(contract, self._now)
            if contract.contract.then is ShareLimit.CALLBACK:
                kind, target = FallbackKind.CALLBACK, ""
        if rule is Rule.CALLBACK_EXPIRED or (kind is FallbackKind.CALLBACK and rule is Rule.UNSERVABLE):
            # A call-back that nobody could make would only fail later.
            kind, target = FallbackKind.MESSAGE, ""
        elif call.callback and kind is FallbackKind.NUMBER:
            # Nobody is on the line who could be put through.
            kind, target = FallbackKind.MESSAGE, ""
        self._note(call, f"fallback to {kind}: {rule}")
        self._out.append(orders.fallback_call(call, kind, target, rule, self._now))
        if kind is FallbackKind.PORTFOLIO:
            self._enter(call, self._roster.portfolios[PortfolioId(target)])
        elif kind is FallbackKind.CALLBACK:
            call.callback = True
            call.queued_ms = self._now
            self._route(call)
        else:
            self._end(call, Outcome.FALLBACK, rule)

    # --- Offers ---

    def _offer(self, call: CallRecord, agent: AgentRecord, rule: Rule) -> None:
        """Offer a call, which stands in no queue, to an idle agent."""
        now = self._now
        self._offers_made += 1
        ring, path = orders.offer_path(call, agent, rule)
        expires_ms = now + agent.team.offer_timeout_ms
        offer = Offer(OfferId(f"o{self._offers_made}"), agent, now, expires_ms, rule, ring, path)
        if self._gates.are_any:
            self._note_shut(call)
            self._gates.offered(call, agent, now)
        call.offer = offer
        call.agent = agent
        call.decided_ms = now
        call.rule = rule
        call.status = CALL_OFFERED
        agent.call = call
        agent.stamp = 0
        self._roster.set_status(agent, AGENT_OFFERED, now)
        self._deadlines.end_status(agent, expires_ms)
        call.note(now, f"offered: {rule}", agent.agent_id, offer.offer_id)
        told = self._gates.told(call, agent, now)
        self._out.append(orders.offer_call(call, offer, now, told))
        if agent.held:
            self._review_holds(agent)

    def _note_shut(self, call: CallRecord) -> None:
        """Tell in the call's story whom a gate kept from it though they were idle, with the numbers of the moment."""
        told: set[tuple[str, ...]] = set()
        for group in self._gated_groups():
            place = call.plan.ring_of.get(group)
            if place is None or group.idle.head() is None:
                continue
            who = group.key[1:4]
            if who in told or call.plan.rings[place[0]].opens_ms > self._now - call.arrived_ms:
                continue
            told.add(who)
            if self._gates.shut(call, group, self._now) is not None:
                self._note(call, shut_words(group, self._gates.why_shut(call, group, self._now)))

    def _review_holds(self, owner: AgentRecord) -> None:
        """The owner has begun or ended something: what is held for it in vain is routed again."""
        for call in sorted(owner.held.values(), key=_rank):
            if not predicts_owner_wait(call):
                if hold_until_ms(call, owner, self._now) is None:
                    self._released.append(call)
                continue
            prospect = self._prospect(call)
            if prospect is None or prospect.until_ms is None:
                self._released.append(call)
            elif prospect.until_ms != call.held_until_ms:
                self._note(call, prospect_words(prospect, owner))
                call.held_until_ms = prospect.until_ms
                self._deadlines.wake(call, self._waiting.next_change_ms(call, self._now))

    def _live_offer(self, event: e.OfferAccepted | e.OfferDeclined | e.OfferMissed) -> tuple[CallRecord, Offer]:
        """The call and the offer that the event answers, if it is still to be answered.

        Raises:
            EventRejected: It is not; the detail says what became of it.
        """
        self._roster.agent(event.agent_id)
        call = self._calls.get(event.call_id) or self._past.get(event.call_id)
        if call is None:
            raise EventRejected(Rejection.UNKNOWN_CALL, f"there is no call {event.call_id}")
        if call.status is CALL_OFFERED and _answers(event, call.offer):
            assert call.offer is not None, "only an offer can be answered"
            return call, call.offer
        if not any(step.offer_id == event.offer_id and step.agent_id == event.agent_id for step in call.steps):
            raise EventRejected(
                Rejection.UNKNOWN_OFFER,
                f"call {event.call_id} was never offered to {event.agent_id} as {event.offer_id}",
            )
        raise EventRejected(
            Rejection.OFFER_OVER,
            f"offer {event.offer_id} of call {event.call_id} is over; the call's last step was {call.steps[-1].what!r}",
        )

    def _offer_accepted(self, event: e.OfferAccepted) -> None:
        known = self._calls.get(event.call_id)
        if known is not None and (known.status is CALL_ACCEPTED or known.status is CALL_CONNECTED):
            given = known.offer
            if given is not None and _answers(event, given):
                # Said twice: the first answer may have been lost, so it is given again.
                self._renew_lease(given.agent)
                told = self._gates.told(known, given.agent, self._now)
                self._out.append(orders.connect_call(known, given, self._now, told))
                return
        call, offer = self._live_offer(event)
        agent = offer.agent
        self._renew_lease(agent)
        self._count_offer(RULE_ACCEPTED)
        agent.misses = 0
        call.status = CALL_ACCEPTED
        self._roster.set_status(agent, AGENT_ACCEPTED, self._now)
        self._deadlines.end_status(agent, self._now + agent.team.connect_timeout_ms)
        call.note(self._now, "accepted", agent.agent_id)
        told = self._gates.told(call, agent, self._now)
        self._out.append(orders.connect_call(call, offer, self._now, told))

    def _offer_declined(self, event: e.OfferDeclined) -> None:
        call, offer = self._live_offer(event)
        self._renew_lease(offer.agent)
        offer.agent.misses = 0
        self._offer_failed(call, offer, Rule.DECLINED, BlockReason.DECLINED)

    def _offer_missed(self, event: e.OfferMissed) -> None:
        call, offer = self._live_offer(event)
        offer.agent.misses += 1
        self._offer_failed(call, offer, Rule.MISSED, BlockReason.MISSED)

    def _offer_expired(self, call: CallRecord, offer: Offer) -> None:
        self._out.append(orders.withdraw_offer(call, offer, Rule.OFFER_EXPIRED, self._now))
        offer.agent.misses += 1
        self._offer_failed(call, offer, Rule.OFFER_EXPIRED, BlockReason.MISSED)

    def _offer_failed(self, call: CallRecord, offer: Offer, rule: Rule, reason: BlockReason) -> None:
        """The agent did not take the call: it keeps its place, the pair cools down, a missing agent is paused."""
        agent = offer.agent
        self._count_offer(rule)
        self._note(call, str(rule), agent)
        self._cool_down(call, agent, reason)
        paused = agent.misses >= agent.team.team.misses_max
        self._free(agent, pause_reason="missed_offers" if paused else None)
        if paused:
            self._out.append(orders.pause_agent(agent))
            agent.misses = 0
        self._part(call, agent)

    def _part(self, call: CallRecord, agent: AgentRecord) -> None:
        """After a failed attempt: the call looks for somebody else, then the freed agent takes what is first."""
        self._route(call)
        if agent.status is AGENT_IDLE and not agent.is_free:
            self._take(agent)

    def _withdraw(self, call: CallRecord, offer: Offer, rule: Rule) -> None:
        if call.status is CALL_OFFERED:
            self._count_offer(rule)
        self._note(call, f"withdrawn: {rule}", offer.agent)
        self._out.append(orders.withdraw_offer(call, offer, rule, self._now))

    def _count_offer(self, end: Rule) -> None:
        self._offers_by_end[end] = self._offers_by_end.get(end, 0) + 1

    def _cool_down(self, call: CallRecord, agent: AgentRecord, reason: BlockReason) -> None:
        cooldown_ms = agent.team.cooldown_ms
        if cooldown_ms:
            self._block(call, agent.agent_id, reason, self._now + cooldown_ms)
            self._deadlines.end_cooldown(call, agent, self._now + cooldown_ms)

    def _block(self, call: CallRecord, agent_id: AgentId, reason: BlockReason, until_ms: int | None) -> None:
        if call.blocked is None:
            call.blocked = {}
        standing = call.blocked.get(agent_id)
        if standing is None or standing.until_ms is not None:
            call.blocked[agent_id] = Block(reason, self._now, until_ms)

    def _cooldown_over(self, call: CallRecord, agent_id: AgentId) -> None:
        block = call.blocked.get(agent_id) if call.blocked is not None else None
        if block is None or block.until_ms is None or block.until_ms > self._now:
            return
        assert call.blocked is not None, "a block stands among the call's blocks"
        del call.blocked[agent_id]
        if call.status is CALL_WAITING:
            # An owner or backup was left out of the personal queues while the cooldown lasted.
            self._route_again(call)

    # --- What becomes of a call ---

    def _live_call(self, call_id: CallId, *expected: CallStatus) -> CallRecord:
        """The live call, in one of the *expected* statuses if any are given."""
        call = self._calls.get(call_id)
        if call is None:
            past = self._past.get(call_id)
            if past is not None:
                raise EventRejected(Rejection.CALL_OVER, f"call {call_id} is over: {past.outcome}")
            raise EventRejected(Rejection.UNKNOWN_CALL, f"there is no call {call_id}")
        if expected and call.status not in expected:
            wanted = " or ".join(expected)
            raise EventRejected(Rejection.WRONG_CALL_STATE, f"call {call_id} is {call.status}, not {wanted}")
        return call

    def _call_abandoned(self, event: e.CallAbandoned) -> None:
        call = self._live_call(event.call_id)
        if call.callback and call.status in (CALL_WAITING, CALL_OFFERED):
            raise EventRejected(
                Rejection.WRONG_CALL_STATE,
                f"call {call.call_id} waits for a call-back, so its caller hanging up is no loss; "
                "send call_ended to cancel the call-back",
            )
        self._hang_up(call)

    def _call_ended(self, event: e.CallEnded) -> None:
        self._hang_up(self._live_call(event.call_id))

    def _hang_up(self, call: CallRecord) -> None:
        lost = Outcome.CALLBACK_CANCELLED if call.callback else OUTCOME_ABANDONED
        if call.status is CALL_WAITING:
            self._waiting.leave(call)
            self._end(call, lost)
            return
        offer = call.offer
        assert offer is not None, f"a call that is {call.status} has an offer"
        agent = offer.agent
        if call.status is CALL_CONNECTED:
            self._talked(call, agent)
            self._end(call, Outcome.CALLED_BACK if call.callback else OUTCOME_CONNECTED)
            self._start_wrap_up(agent)
            return
        # Offered or accepted: whoever's phone rings must know at once.
        self._withdraw(call, offer, Rule.ABANDONED)
        self._end(call, lost)
        self._free(agent)
        if agent.status is AGENT_IDLE:
            self._take(agent)

    def _end(self, call: CallRecord, outcome: Outcome, rule: Rule | None = None) -> None:
        call.status = CALL_ENDED
        call.outcome = outcome
        call.ended_ms = self._now
        call.portfolio.outcomes[outcome] += 1
        has_waited_in_vain = outcome is OUTCOME_ABANDONED and call.connected_ms is None
        abandoned_ms = self._now - call.arrived_ms if has_waited_in_vain else None
        self._tallies.ended(call.portfolio.portfolio, outcome, abandoned_ms=abandoned_ms, now_ms=self._now)
        if self._gates.are_watched or call.promise is not None or call.place_requested_ms is not None:
            self._gates.ended(call, str(rule or outcome), self._now)
        call.note(self._now, f"ended: {outcome}")
        del self._calls[call.call_id]
        self._past[call.call_id] = call
        if has_waited_in_vain and self._predicts and not call.callback:
            call.portfolio.hang_ups.add(self._now - call.queued_ms, has_hung_up=True)
        if len(self._past) > self._limits.past_calls_max:
            self._past.popitem(last=False)

    def _call_connected(self, event: e.CallConnected) -> None:
        call = self._live_call(event.call_id, CALL_ACCEPTED)
        agent = call.agent
        assert agent is not None, "an accepted call has an agent"
        self._renew_lease(agent)
        call.status = CALL_CONNECTED
        self._count_answer(call, agent)
        if self._gates.are_watched:
            self._gates.answered(call, agent, event.announced, self._now)
        if call.connected_ms is None:
            call.connected_ms = self._now
        agent.busy_since_ms = self._now
        self._roster.set_status(agent, AGENT_IN_CALL, self._now)
        self._deadlines.end_status(agent, self._now + agent.team.talk_lease_ms)
        call.note(self._now, "connected", agent.agent_id)

    def _count_answer(self, call: CallRecord, agent: AgentRecord) -> None:
        now, portfolio = self._now, call.portfolio.portfolio
        place = agent.group.place
        if call.connected_ms is not None:
            call.answer = self._tallies.transferred(portfolio, place, now_ms=now)
            return
        if call.callback:
            answer = self._tallies.called_back(portfolio, place, now_ms=now)
        else:
            wait_ms = now - call.arrived_ms
            if self._predicts:
                call.portfolio.hang_ups.add(now - call.queued_ms, has_hung_up=False)
            answer = self._tallies.answered(
                portfolio, place, wait_ms=wait_ms, navigation_ms=call.navigation_ms, now_ms=now
            )
        call.answer = answer
        owner = call.owner
        if owner is not None:
            answer.month.count_owned(
                owner.team.team_id,
                by_owner=agent is owner,
                by_backup=agent in call.backups,
                on_shift=call.owner_on_shift,
                called_back=call.callback,
            )

    def _talked(self, call: CallRecord, agent: AgentRecord) -> None:
        """Caller and agent do not hear each other any more."""
        assert call.answer is not None, "a connected call was answered"
        talk_ms = self._now - agent.busy_since_ms
        if self._predicts:
            learn_talk(agent, talk_ms)
        call.answer.add_talk(talk_ms)
        call.answer = None
        if self._gates.are_watched or call.work is not None:
            self._gates.talked(call, talk_ms)

    def _call_refreshed(self, event: e.CallRefreshed) -> None:
        agent = self._live_call(event.call_id, CALL_CONNECTED).agent
        assert agent is not None, "a connected call has an agent"
        self._renew_lease(agent)
        self._deadlines.end_status(agent, self._now + agent.team.talk_lease_ms)

    def _call_transferred(self, event: e.CallTransferred) -> None:
        call = self._live_call(event.call_id, CALL_CONNECTED)
        record = call.portfolio
        if event.portfolio_id is not None:
            if event.portfolio_id not in self._organisation.portfolios:
                raise EventRejected(Rejection.UNKNOWN_PORTFOLIO, f"there is no portfolio {event.portfolio_id!r}")
            record = self._roster.portfolios[event.portfolio_id]
        self._check_skills(event.skills or ())
        agent = call.agent
        assert agent is not None, "a connected call has an agent"
        self._note(call, f"transferred to portfolio {record.portfolio.portfolio_id}", agent)
        call.asked = Requirement(
            call.asked.skills if event.skills is None else event.skills,
            event.language or call.asked.language,
            call.asked.countries,
        )
        call.callback = False
        self._block(call, agent.agent_id, BlockReason.TRANSFERRED, None)
        self._talked(call, agent)
        self._start_wrap_up(agent)
        self._enter(call, record)

    def _callback_requested(self, event: e.CallbackRequested) -> None:
        call = self._live_call(event.call_id, CALL_WAITING, CALL_OFFERED)
        if call.callback:
            raise EventRejected(Rejection.WRONG_CALL_STATE, f"call {call.call_id} waits for a call-back already")
        self._note(call, "call-back requested")
        call.callback = True
        call.queued_ms = self._now
        if call.status is CALL_WAITING:
            self._deadlines.wake(call, self._waiting.next_change_ms(call, self._now))
            self._announce(call, Rule.CALLBACK_REQUESTED)
            return
        # The ringing agent would find nobody on the line: the offer is made again as a call-back. The agent has not
        # turned the call down, so is idle like any other when it looks for somebody, and the owner still comes first.
        offer = call.offer
        assert offer is not None, "an offered call has an offer"
        agent = offer.agent
        self._withdraw(call, offer, Rule.CALLBACK_REQUESTED)
        self._free(agent)
        self._roster.rest(agent, self._now)
        self._route(call)
        if agent.is_free:
            self._take(agent)

    def _place_requested(self, event: e.PlaceRequested) -> None:
        """The caller wants an agent inside: whoever sits elsewhere gives the call back, and it comes before others."""
        call = self._live_call(event.call_id)
        if self._gates.places.policy is None:
            raise EventRejected(Rejection.NO_CHOICE, "the organisation has no [place], so callers have no such choice")
        if call.place_requested_ms is not None:
            return
        now = self._now
        agent = call.agent if call.status is not CALL_WAITING else None
        is_inside = agent is not None and not self._gates.places.is_outside(agent.group.country, now)
        self._note(call, "asked for an agent inside")
        self._gates.requested(call, is_met=is_inside and call.status is CALL_CONNECTED, now_ms=now)
        is_waiting = call.status is CALL_WAITING
        if is_waiting:
            self._waiting.leave(call)
        inside = self._gates.places.inside(now)
        asked = call.asked.countries
        both = tuple(sorted({*asked} & {*inside})) if asked else inside
        call.asked = call.asked._replace(countries=both or (NOWHERE,))
        call.plan = self._roster.plan_for(call.portfolio, call.asked, now)
        if is_waiting:
            self._route_if_servable(call, announce=False)
        elif agent is not None and not is_inside:
            self._give_back(call, agent)

    def _give_back(self, call: CallRecord, agent: AgentRecord) -> None:
        """The call leaves an agent who did nothing wrong, and looks for somebody else."""
        if call.status is CALL_CONNECTED:
            self._talked(call, agent)
            self._start_wrap_up(agent)
            call.queued_ms = self._now
            call.callback = False
            self._route_if_servable(call, announce=True)
            return
        assert call.offer is not None, "an offered call has an offer"
        self._withdraw(call, call.offer, Rule.PLACE_REQUESTED)
        self._free(agent)
        if agent.status is AGENT_IDLE:
            self._roster.rest(agent, self._now)
        self._route_if_servable(call, announce=True)
        if agent.is_free:
            self._take(agent)

    def _share_adjusted(self, event: e.ShareAdjusted) -> None:
        self._gates.adjust(
            Adjustment(
                made_ms=self._now,
                contract_id=event.contract_id,
                day=event.day,
                country=event.country,
                calls=event.calls,
                talk_ms=event.talk_ms,
                agent_ms=event.agent_ms,
                reason=event.reason,
                made_by=event.made_by,
            )
        )

    def _connect_failed(self, event: e.ConnectFailed) -> None:
        self._not_connected(self._live_call(event.call_id, CALL_ACCEPTED), Rule.CONNECT_FAILED)

    def _not_connected(self, call: CallRecord, rule: Rule) -> None:
        offer = call.offer
        assert offer is not None, "an accepted call has an offer"
        self._withdraw(call, offer, rule)
        self._cool_down(call, offer.agent, BlockReason.CONNECT_FAILED)
        self._free(offer.agent)
        self._part(call, offer.agent)

    # --- Agents ---

    def _signed_in_agent(self, agent_id: AgentId) -> AgentRecord:
        agent = self._roster.agent(agent_id)
        if agent.status is AGENT_SIGNED_OUT:
            raise EventRejected(Rejection.WRONG_AGENT_STATE, f"agent {agent_id} is not signed in")
        return agent

    def _agent_signed_in(self, event: e.AgentSignedIn) -> None:
        agent = self._roster.agent(event.agent_id)
        _check_fresh(agent, event.sequence)
        if agent.status is not AGENT_SIGNED_OUT:
            self._already(agent, event, "signed in")
            return
        group_before = agent.group
        is_new_group = self._roster.sit_down(agent, site_id=event.site_id, seat=event.seat, home_country=event.country)
        if is_new_group:
            self._gated = None
            self._replan()
        elif agent.group is not group_before:
            # Whether clients' owner or backup may take their calls can depend on where the agent sits.
            theirs = [c for c in self._calls.values() if c.status is CALL_WAITING and agent in c.people]
            for call in sorted(theirs, key=_rank):
                self._route_again(call)
        self._gates.signed_in(agent, 1, self._now)
        agent.sign_in(self._now)
        self._roster.set_status(agent, AGENT_NOT_READY, self._now, "signed_in")
        agent.lease_ms = None
        self._heard(agent, event)
        self._deadlines.end_lease(agent, agent.lease_until_ms)

    def _agent_ready(self, event: e.AgentReady) -> None:
        agent = self._signed_in_agent(event.agent_id)
        _check_fresh(agent, event.sequence)
        if agent.removed:
            raise EventRejected(Rejection.UNKNOWN_AGENT, f"agent {agent.agent_id} has left the organisation")
        if agent.status is AGENT_IDLE:
            self._already(agent, event, "ready")
            return
        self._heard(agent, event)
        self._make_ready(agent)

    def _make_ready(self, agent: AgentRecord) -> None:
        agent.next_reason = None
        agent.leaving = False
        if agent.status is AGENT_WRAP_UP:
            self._end_wrap_up(agent)
        elif agent.status is AGENT_NOT_READY:
            self._roster.set_status(agent, AGENT_IDLE, self._now)
            # One more at work inside may be enough for somebody outside to be offered calls.
            self._gates.may_have_opened = self._gates.are_any
            self._take(agent)

    def _agent_not_ready(self, event: e.AgentNotReady) -> None:
        agent = self._signed_in_agent(event.agent_id)
        _check_fresh(agent, event.sequence)
        if agent.status is AGENT_NOT_READY and agent.reason == event.reason:
            self._already(agent, event, "not ready")
            return
        self._heard(agent, event)
        agent.next_reason = event.reason
        self._step_back(agent, Rule.AGENT_NOT_READY)

    def _agent_signed_out(self, event: e.AgentSignedOut) -> None:
        agent = self._roster.agent(event.agent_id)
        _check_fresh(agent, event.sequence)
        if agent.status is AGENT_SIGNED_OUT:
            if event.sequence is None:
                raise EventRejected(Rejection.WRONG_AGENT_STATE, f"agent {agent.agent_id} is not signed in")
            agent.sequence = event.sequence
            return
        self._heard(agent, event)
        agent.leaving = True
        self._step_back(agent, Rule.AGENT_SIGNED_OUT)

    def _agent_refreshed(self, event: e.AgentRefreshed) -> None:
        agent = self._signed_in_agent(event.agent_id)
        _check_fresh(agent, event.sequence)
        self._heard(agent, event)
        if agent.status is AGENT_NOT_READY and agent.reason == _SUSPECT:
            # The place among the idle is kept: nothing was declined.
            self._make_ready(agent)

    def _agent_suspected(self, event: e.AgentSuspected) -> None:
        agent = self._signed_in_agent(event.agent_id)
        if event.session is not None and agent.session is not None and event.session != agent.session:
            raise EventRejected(Rejection.STALE, f"agent {agent.agent_id} has been heard from on another connection")
        if agent.is_suspect:
            raise EventRejected(Rejection.WRONG_AGENT_STATE, f"agent {agent.agent_id} is suspect already")
        agent.is_suspect = True
        agent.lease_until_ms = min(agent.lease_until_ms, self._now + agent.team.team.suspect_s * 1000)
        self._deadlines.end_lease(agent, agent.lease_until_ms)
        if agent.status is AGENT_IDLE:
            self._free(agent)

    def _already(self, agent: AgentRecord, event: e.PresenceEvent, state: str) -> None:
        """A report of what is so already: refused, unless it is numbered, since older ones must not count any more."""
        if event.sequence is None:
            raise EventRejected(Rejection.WRONG_AGENT_STATE, f"agent {agent.agent_id} is {state} already")
        self._heard(agent, event)

    def _heard(self, agent: AgentRecord, event: e.PresenceEvent) -> None:
        """A sign of life from the agent's desktop."""
        if event.sequence is not None:
            agent.sequence = event.sequence
        if event.session is not None:
            agent.session = event.session
        if event.lease_s is not None:
            agent.lease_ms = event.lease_s * 1000
        self._renew_lease(agent)
        if event.lease_s is not None:
            # It may be shorter than the one before.
            self._deadlines.end_lease(agent, agent.lease_until_ms)

    def _step_back(self, agent: AgentRecord, rule: Rule) -> None:
        """Let the agent go into the pause or sign out that was asked for; a conversation is finished first."""
        if agent.status in (AGENT_ACCEPTED, AGENT_IN_CALL):
            self._review_holds(agent)
        elif agent.status is AGENT_WRAP_UP:
            self._end_wrap_up(agent)
        elif agent.status is AGENT_OFFERED:
            call = agent.call
            assert call is not None, "an agent who is offered a call has one"
            assert call.offer is not None, "an offered call has an offer"
            self._withdraw(call, call.offer, rule)
            self._free(agent)
            self._route(call)
        else:
            self._free(agent)

    def _start_wrap_up(self, agent: AgentRecord) -> None:
        agent.call = None
        wrap_up_ms = agent.team.wrap_up_ms
        if wrap_up_ms == 0:
            self._end_wrap_up(agent)
            return
        self._roster.set_status(agent, AGENT_WRAP_UP, self._now)
        self._deadlines.end_status(agent, self._now + wrap_up_ms)
        if agent.held and self._predicts:
            self._review_holds(agent)

    def _end_wrap_up(self, agent: AgentRecord) -> None:
        """The call is handled for good; idle time starts to count."""
        handled_ms = self._now - agent.busy_since_ms
        agent.busy_ms += handled_ms
        agent.handling.add(handled_ms)
        agent.team.handling.add(handled_ms)
        if self._gates.are_any:
            self._gates.handled(agent, handled_ms)
        agent.idle_since_ms = self._now
        self._free(agent)
        if agent.status is AGENT_IDLE:
            self._take(agent)

    def _free(self, agent: AgentRecord, *, pause_reason: str | None = None) -> None:
        """The agent has no call any more: idle, or what was asked for meanwhile. Somebody must then let it `_take`."""
        agent.call = None
        agent.stamp = 0
        agent.timer = 0
        if agent.leaving or agent.removed:
            if not agent.leaving:
                self._out.append(orders.sign_out_agent(agent, Rule.REMOVED))
            agent.leaving = False
            agent.next_reason = None
            agent.lease_timer = 0
            self._gates.signed_in(agent, -1, self._now)
            self._roster.stand_up(agent)
            self._roster.set_status(agent, AGENT_SIGNED_OUT, self._now)
            if agent.removed:
                self._roster.forget(agent)
        elif agent.next_reason is not None or pause_reason is not None:
            reason, agent.next_reason = agent.next_reason or pause_reason, None
            self._roster.set_status(agent, AGENT_NOT_READY, self._now, reason)
        elif agent.is_suspect:
            self._roster.set_status(agent, AGENT_NOT_READY, self._now, _SUSPECT)
        else:
            self._roster.set_status(agent, AGENT_IDLE, self._now)
            return
        self._review_holds(agent)

    def _take(self, agent: AgentRecord) -> None:
        """Give an idle agent the first waiting call that reaches it now, else let it rest."""
        found = self._next_call(agent)
        if found is None:
            self._roster.rest(agent, self._now)
            # Most teams keep nothing, and an attribute is read sooner than a property.
            if agent.team.keep_idle is not None and agent.team.can_spare:
                self._lend(agent.team)
            return
        call, rule = found
        self._waiting.leave(call)
        self._offer(call, agent, rule)

    def _lend(self, team: TeamRecord) -> None:
        """The team can spare an agent. Whoever came to rest has found no call; a colleague of other skills may."""
        for _ in range(1 + _PASSED_OVER_MOST):
            call = self._first_helped(team)
            if call is None:
                return
            self._route_again(call)
            if call.held_until_ms is None:
                return
            # That one had better wait for its owner, and the agent is still there for the next.

    def _first_helped(self, team: TeamRecord) -> CallRecord | None:
        first = None
        for group in self._roster.groups_of(team):
            if group.early is not None and len(group.early) and group.idle.head() is not None:
                head = group.early.first(self._is_helped)
                if head is not None and (first is None or head[:3] < first[:3]):
                    first = head
        return None if first is None else first[4]

    def _is_helped(self, call: CallRecord) -> bool:
        return choose_spare_agent(call, self._gates, self._now) is not None

    def _next_call(self, agent: AgentRecord) -> tuple[CallRecord, Rule] | None:
        """The waiting call that a free agent takes, past those that had better wait for their owners.

        A call whose wait is likely to pay is held from now on. One whose owner may be free in time, though that would
        not pay for an agent's idling, lets another pass for which there is no such hope: one of the two waits so much
        longer as the other waits less.
        """
        if not self._predicts:
            return self._waiting.first_for(agent, self._now)
        weighed: dict[CallId, tuple[CallRecord, Prospect, Hope]] = {}

        def hope_of(call: CallRecord) -> Hope:
            if call.call_id in weighed:
                return weighed[call.call_id][2]
            prospect = self._prospect(call) if call.owner is not agent and len(weighed) < _PASSED_OVER_MOST else None
            if prospect is None:
                return Hope.NONE
            weighed[call.call_id] = call, prospect, prospect.hope
            return prospect.hope

        first_for, now = self._waiting.first_for, self._now
        found = first_for(agent, now, lambda call: hope_of(call) > Hope.NONE)
        if found is None and weighed:
            found = first_for(agent, now, lambda call: hope_of(call) > Hope.SOME)
        if found is None and weighed:
            found = first_for(agent, now, lambda call: hope_of(call) > Hope.CERTAIN)
        for call, prospect, hope in sorted(weighed.values(), key=lambda each: _rank(each[0])):
            if hope is Hope.PAYS:
                self._hold(call, prospect)
        return found

    def _hold(self, call: CallRecord, prospect: Prospect) -> None:
        """Keep a call that waits for anybody for its owner alone."""
        assert call.owner is not None, "a call is held for its owner"
        self._waiting.leave(call)
        self._note(call, prospect_words(prospect, call.owner))
        self._waiting.enter(call, hold_until_ms=prospect.until_ms, now_ms=self._now)
        self._deadlines.wake(call, self._waiting.next_change_ms(call, self._now))

    def _status_over(self, agent: AgentRecord) -> None:
        """The deadline of an agent's status has come."""
        if agent.status is AGENT_WRAP_UP:
            self._out.append(orders.release_agent(agent))
            self._end_wrap_up(agent)
            return
        call = agent.call
        assert call is not None, f"agent {agent.agent_id} had a deadline while {agent.status}"
        assert call.offer is not None, "a call at an agent has an offer"
        if agent.status is AGENT_OFFERED:
            self._offer_expired(call, call.offer)
        elif agent.status is AGENT_ACCEPTED:
            self._not_connected(call, Rule.CONNECT_TIMEOUT)
        elif agent.status is AGENT_IN_CALL:
            self._out.append(orders.end_call(call, call.offer, Rule.TALK_LEASE_EXPIRED, self._now))
            self._hang_up(call)

    def _renew_lease(self, agent: AgentRecord) -> None:
        agent.is_suspect = False
        agent.lease_until_ms = self._now + _lease_ms(agent)

    def _lease_over(self, agent: AgentRecord) -> None:
        """Nothing was heard of the agent for a whole lease, unless the lease was renewed meanwhile."""
        if agent.lease_until_ms > self._now:
            self._deadlines.end_lease(agent, agent.lease_until_ms)
        elif agent.status in (AGENT_ACCEPTED, AGENT_IN_CALL, AGENT_WRAP_UP):
            self._deadlines.end_lease(agent, self._now + _LEASE_AGAIN_MS)
        else:
            agent.leaving = True
            self._out.append(orders.sign_out_agent(agent, Rule.PRESENCE_LEASE_EXPIRED))
            self._step_back(agent, Rule.PRESENCE_LEASE_EXPIRED)

    # --- Move plans ---

    def _plan_commanded(self, event: e.PlanEvent) -> None:
        self._out.extend(self._gates.plan_commanded(event, self._now))
        self._look_later(self._gates.moves.find(event.move_plan_id))

    def _look_at_plan(self, plan: MoveRecord) -> None:
        """The next step's day has come, or it has come before and its gate may pass now."""
        reports = plan.look(self._now)
        if reports:
            self._out.extend(reports)
            self._gates.plans_changed()
        self._look_later(plan)

    def _look_later(self, plan: MoveRecord) -> None:
        self._deadlines.look_at(plan, plan.next_look_ms(self._now))

    # --- The organisation, and the router itself ---

    def _replan(self) -> None:
        """Give every live call a new plan; those that wait keep their ranks and are routed in that order."""
        waiting = [call for call in self._calls.values() if call.status is CALL_WAITING]
        for call in waiting:
            self._waiting.leave(call)
        # A call that rings or connects may yet come back to look for somebody else.
        for call in self._calls.values():
            call.plan = self._roster.plan_for(call.portfolio, call.asked, self._now)
        for call in sorted(waiting, key=_rank):
            self._route_if_servable(call, announce=False)

    def _organisation_changed(self, event: e.OrganisationChanged) -> None:
        try:
            organisation = Organisation(event.description)
        except OrganisationError as error:
            raise EventRejected(Rejection.ORGANISATION_INVALID, str(error)) from error
        homeless = [call for call in self._calls.values() if call.status is CALL_WAITING]
        for call in homeless:
            self._waiting.leave(call)
        self._organisation = organisation
        self._predicts = _predicts_any(event.description)
        self._tallies.follow(event.description)
        self._gates.count_presence(self._now)
        self._gates.follow(event.description)
        self._gated = None
        for agent in self._roster.adopt(organisation):
            homeless.extend(self._part_with(agent))
        self._gates.present_anew(self._signed_in(), self._now)
        for agent in self._roster.agents.values():
            if agent.status is AGENT_IDLE:
                self._roster.rest(agent, self._now)
        for call in self._calls.values():
            self._follow(call, organisation)
        for call in self._calls.values():
            if call.status is CALL_OFFERED and _is_forbidden(call):
                assert call.offer is not None, "an offered call has an offer"
                self._withdraw(call, call.offer, Rule.REORGANISED)
                self._free(call.offer.agent)
                if call.offer.agent.status is AGENT_IDLE:
                    self._roster.rest(call.offer.agent, self._now)
                homeless.append(call)
        for call in sorted(homeless, key=_rank):
            self._route_if_servable(call, announce=False)
        for plan in self._gates.moves.records.values():
            self._look_at_plan(plan)

    def _signed_in(self) -> Iterator[AgentRecord]:
        return (agent for agent in self._roster.agents.values() if agent.status is not AGENT_SIGNED_OUT)

    def _part_with(self, agent: AgentRecord) -> list[CallRecord]:
        """Let go of an agent who is not in the new version; returns the call taken back from it, if any."""
        if agent.status in (AGENT_ACCEPTED, AGENT_IN_CALL, AGENT_WRAP_UP):
            # The conversation goes on in peace; the agent is signed out after it.
            return []
        if agent.status is AGENT_SIGNED_OUT:
            self._roster.forget(agent)
            return []
        taken_back = [agent.call] if agent.call is not None else []
        for call in taken_back:
            assert call.offer is not None, "an offered call has an offer"
            self._withdraw(call, call.offer, Rule.REORGANISED)
        self._free(agent)
        return taken_back

    def _follow(self, call: CallRecord, organisation: Organisation) -> None:
        """Look up a live call's client, portfolio, owner and plan in the new version."""
        was_at_home = call.client is not None and call.client.portfolio_id == call.portfolio.portfolio_id
        call.client = organisation.find_client(call.client_id, None)
        moves = was_at_home and call.client is not None and call.client.portfolio_id is not None
        # A call in its client's portfolio follows the client; one that was sent elsewhere stays while it can.
        if moves or call.portfolio.portfolio_id not in organisation.portfolios:
            portfolio, call.found_by = organisation.find_portfolio(call.client, None, None)
            call.portfolio = self._roster.portfolios[portfolio.portfolio_id]
        if call.blocked is not None:
            # Exclusions are the client's, of whatever version; cooldowns and transfers are the call's own.
            kept = {who: block for who, block in call.blocked.items() if block.reason is not BlockReason.EXCLUDED}
            call.blocked = kept or None
        self._find_owner(call)
        # The rank holds, whatever the new version says of head starts: nobody loses a place by a reload.
        call.plan = self._roster.plan_for(call.portfolio, call.asked, self._now)

    def _router_resumed(self, event: e.RouterResumed) -> None:
        """Give everyone whom the router's absence may have kept from answering a full deadline again."""
        now = self._now
        self._tallies.begin(now)
        if event.limits is not None:
            self._limits = event.limits
        for agent in self._roster.agents.values():
            if agent.status is AGENT_SIGNED_OUT:
                continue
            agent.lease_until_ms = now + (agent.team.team.suspect_s * 1000 if agent.is_suspect else _lease_ms(agent))
            if agent.status is AGENT_IN_CALL:
                self._deadlines.end_status(agent, now + agent.team.talk_lease_ms)
            else:
                self._say_again(agent)

    def _say_again(self, agent: AgentRecord) -> None:
        """Repeat what the agent was last asked to do, with a full deadline: the first order may have been lost."""
        now, team = self._now, agent.team
        call = agent.call
        if call is None or call.offer is None:
            return
        offer = call.offer
        if agent.status is AGENT_OFFERED:
            offer = call.offer = offer.until(now + team.offer_timeout_ms)
            self._deadlines.end_status(agent, offer.expires_ms)
            self._out.append(orders.offer_call(call, offer, now, self._gates.told(call, agent, now)))
        elif agent.status is AGENT_ACCEPTED:
            self._deadlines.end_status(agent, now + team.connect_timeout_ms)
            self._out.append(orders.connect_call(call, offer, now, self._gates.told(call, agent, now)))

    # --- The platform's own list ---

    def _platform_resynced(self, event: e.PlatformResynced) -> None:
        """Let go of what the platform no longer has, repeat what it may have missed, ask for what is not here."""
        with_agent = {each.call_id: each.agent_id for each in event.calls}
        ready = {each.agent_id: each.ready for each in event.agents}
        missing = [call_id for call_id in with_agent if call_id not in self._calls]
        ended, disputed = self._compare_calls(with_agent)
        signed_out, unknown_agents = self._compare_agents(ready)
        for agent in list(self._roster.agents.values()):
            offer = agent.call.offer if agent.call is not None else None
            if offer is not None and offer.offered_ms < self._now:
                self._say_again(agent)
        self._out.append(
            AnswerResync(
                rule=Rule.RESYNC,
                unknown_calls=tuple(call_id for call_id in missing if call_id not in self._past),
                over_calls=tuple(call_id for call_id in missing if call_id in self._past),
                disputed_calls=disputed,
                ended_calls=ended,
                unknown_agents=unknown_agents,
                signed_out_agents=signed_out,
            )
        )

    def _compare_calls(
        self, with_agent: Mapping[CallId, AgentId | None]
    ) -> tuple[tuple[CallId, ...], tuple[CallId, ...]]:
        """End calls that are not there, connect those that are; returns the ended and the disputed ones."""
        ended, disputed = [], []
        # Those that wait first: nobody who is freed by another should be offered a call that is over as well.
        for call in sorted(self._calls.values(), key=lambda each: each.status is not CALL_WAITING):
            if call.call_id not in with_agent:
                # Nobody is on the line of a call-back, so the platform need not have it.
                if not (call.callback and call.status in (CALL_WAITING, CALL_OFFERED)):
                    ended.append(call.call_id)
                    self._hang_up(call)
                continue
            speaks_to = with_agent[call.call_id]
            has_agent = call.agent is not None and call.agent.agent_id == speaks_to
            if has_agent and call.status is CALL_ACCEPTED:
                self._call_connected(e.CallConnected(call_id=call.call_id))
            elif has_agent is not (call.status is CALL_CONNECTED) or (speaks_to is not None and not has_agent):
                disputed.append(call.call_id)
        return tuple(ended), tuple(disputed)

    def _compare_agents(self, ready: Mapping[AgentId, bool]) -> tuple[tuple[AgentId, ...], tuple[AgentId, ...]]:
        """Follow what the platform says of its agents; returns those signed out, and those to be signed in."""
        signed_out = []
        for agent in list(self._roster.agents.values()):
            if agent.status is AGENT_SIGNED_OUT:
                continue
            is_ready = ready.get(agent.agent_id)
            if is_ready is None:
                signed_out.append(agent.agent_id)
                agent.leaving = True
                self._step_back(agent, Rule.RESYNC)
                continue
            self._renew_lease(agent)
            if is_ready and agent.status is AGENT_NOT_READY and not agent.removed:
                self._make_ready(agent)
            elif not is_ready and (agent.status in (AGENT_IDLE, AGENT_OFFERED) or agent.reason == _SUSPECT):
                agent.next_reason = _RESYNCED
                self._step_back(agent, Rule.RESYNC)
            elif agent.status in (AGENT_ACCEPTED, AGENT_IN_CALL, AGENT_WRAP_UP):
                agent.next_reason = None if is_ready else agent.next_reason or _RESYNCED
                agent.leaving = agent.leaving and not is_ready
        signed_in = {agent.agent_id for agent in self._roster.agents.values() if agent.status is not AGENT_SIGNED_OUT}
        unknown = tuple(agent_id for agent_id in ready if agent_id not in signed_in and agent_id not in signed_out)
        return tuple(signed_out), unknown

    def _note(self, call: CallRecord, what: str, agent: AgentRecord | None = None) -> None:
        call.note(self._now, what, None if agent is None else agent.agent_id)


def _asked(event: e.CallArrived) -> Requirement:
    if event.skills or event.countries or event.language is not None:
        return Requirement(event.skills, event.language, event.countries)
    # To make one would take a twentieth of a whole call, and most calls ask for nothing.
    return NOTHING


def _predicts_any(description: OrganisationDescription) -> bool:
    return any(portfolio.owner_wait is OwnerWait.PREDICTED for portfolio in description.portfolios)


def _check_fresh(agent: AgentRecord, sequence: int | None) -> None:
    if sequence is not None and agent.sequence is not None and sequence <= agent.sequence:
        raise EventRejected(
            Rejection.STALE, f"agent {agent.agent_id} has reported number {agent.sequence} since number {sequence}"
        )


def _lease_ms(agent: AgentRecord) -> int:
    return agent.team.presence_lease_ms if agent.lease_ms is None else agent.lease_ms


def _is_servable(call: CallRecord) -> bool:
    """Whether anybody could ever serve the call; a cooldown does not count, for it ends."""
    return bool(call.plan.rings) or any(
        not person.removed and not _is_blocked_for_good(call, person) and opens_for(call.plan, person.group) is not None
        for person in call.people
    )


def _is_forbidden(call: CallRecord) -> bool:
    """Whether the agent who is offered the call must not have it, after a change of the organisation."""
    agent = call.agent
    assert agent is not None, "an offered call has an agent"
    if agent.removed:
        # Its call has been taken back already.
        return False
    return _is_blocked_for_good(call, agent) or opens_for(call.plan, agent.group) is None


def _is_blocked_for_good(call: CallRecord, agent: AgentRecord) -> bool:
    block = call.blocked.get(agent.agent_id) if call.blocked is not None else None
    return block is not None and block.until_ms is None


def _rank(call: CallRecord) -> tuple[int, CallId]:
    """Sort key: the smallest is answered first."""
    return call.rank_ms, call.call_id


def _has_come_to_qualify(call: CallRecord, person: AgentRecord, now_ms: int) -> bool:
    """Whether the owner or backup has met a need that relaxes since the call took its place; late, after a stop."""
    opens_ms = personal_opens_ms(call, person)
    return opens_ms is not None and call.placed_ms < call.arrived_ms + opens_ms <= now_ms


def _answers(event: e.OfferAccepted | e.OfferDeclined | e.OfferMissed, offer: Offer | None) -> bool:
    return offer is not None and offer.offer_id == event.offer_id and offer.agent.agent_id == event.agent_id
