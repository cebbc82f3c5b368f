"""What must be true after a run, judged from the journal, from the platform's notes, and from nothing else.

`Model` keeps who is where by the meaning of the wire alone: it is told each journalled event, takes the decisions that
a replay makes as claims, and objects to every one that the events before do not justify. It shares no code with the
engine. It knows organisations of one portfolio whose teams are linked directly, without owners, skills or hours.

`check` adds the platform's side: each answer that it got, and each decision that it saw. What was published must be
what the journal leads to, and what was accepted must be in the journal.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from router.core import Engine, EventRejected, Limits
from router.core.decisions import (
    CallDecision,
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReleaseAgent,
    Rule,
    WithdrawOffer,
)
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    AgentSignedOut,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    ConnectFailed,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
    OrganisationChanged,
    RouterResumed,
    TimePassed,
)
from router.core.model import AgentId, AgentStatus, CallId, CallStatus, OfferId, OrganisationDescription, Outcome, Team
from router.journal import Record
from router.service.decider import Decider
from router.wire import DecisionId, decode_output, decode_record, encode_output

__all__ = ["REFUSED", "Line", "Model", "Verdict", "Violation", "check", "replayed"]

REFUSED = 0
"""Stands for the offset in the platform's note of an event that was refused."""

VIOLATIONS_KEPT = 100


class Line(NamedTuple):
    """A journal record, and what was decided from it until the next one."""

    offset: int
    entry_id: str
    at_ms: int
    event: Event
    decided: tuple[tuple[DecisionId, Decision], ...] = ()


class Violation(NamedTuple):
    """Something that must not be, and the journal record at which it shows."""

    kind: str
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.kind}, at record {self.offset}: {self.what}"


@dataclass
class Verdict:
    """``counts`` by name, and all that is wrong (of many violations the first)."""

    counts: Counter[str]
    outcomes: dict[CallId, Outcome]
    violations: list[Violation]


def replayed(records: Iterable[Record]) -> Iterator[Line]:
    """The journal with what a replay of it decides. It holds no more than a record at a time."""
    rest = iter(records)
    first = next(rest, None)
    if first is None:
        return
    line = Line(first.offset, first.entry_id, *decode_record(first.body))
    assert isinstance(line.event, OrganisationChanged), "a journal begins with an organisation"
    description = line.event.description
    decider = Decider.of_first_record(Engine(description, limits=Limits()), description, first.offset, line.at_ms)
    for record in rest:
        following = Line(record.offset, record.entry_id, *decode_record(record.body))
        with suppress(EventRejected):
            decider.apply(following.offset, following.at_ms, following.event)
        # Deadlines up to the new record were served under the name of the one before, which is whole only now.
        yield line._replace(decided=tuple(decider.outcome_of(line.offset)[0]))
        line = following
    yield line._replace(decided=tuple(decider.outcome_of(line.offset)[0]))


# --- Who is where ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    call_id: CallId
    arrived_ms: int
    status: CallStatus = CallStatus.WAITING
    offer_id: OfferId | None = None
    agent_id: AgentId | None = None
    blocked: dict[AgentId, int] = field(default_factory=dict)
    """Agents whom the call must not be offered to, and until when."""

    @property
    def rank(self) -> tuple[int, CallId]:
        return self.arrived_ms, self.call_id


@dataclass(slots=True)
class _Agent:
    agent_id: AgentId
    team: Team
    reach_ms: int
    status: AgentStatus = AgentStatus.SIGNED_OUT
    reason: str | None = None
    call: _Call | None = None
    next_reason: str | None = None
    leaving: bool = False
    misses: int = 0
    due_ms: int | None = None
    """When the present status ends by itself."""


_AT_WORK = (AgentStatus.OFFERED, AgentStatus.ACCEPTED, AgentStatus.IN_CALL)
_OWN_ENDS = {Rule.OFFER_EXPIRED: AgentStatus.OFFERED, Rule.CONNECT_TIMEOUT: AgentStatus.ACCEPTED}
"""Why the router takes a call back by itself, and from whom."""


class Model:
    """Who is where, by the events and decisions so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.outcomes: dict[CallId, Outcome] = {}
        self._calls: dict[CallId, _Call] = {}
        self._agents: dict[AgentId, _Agent] = {}
        self._waiting: list[tuple[int, CallId]] = []
        self._idle: dict[AgentId, _Agent] = {}
        self._offers: set[OfferId] = set()
        self._due: list[tuple[int, str, AgentId | CallId]] = []
        self._max_wait_ms: int | None = None
        # What the event must lead to, as (type, id).
        self._expected: Counter[tuple[type[Decision], str]] = Counter()
        self._offset = 0
        self._epoch = 0
        self._now_ms = 0
        self._moment_ms = 0
        self._stopped_ms: int | None = None
        """While a restart catches up: when the router was last heard of. Deadlines since then may yet be served."""

    def apply(self, line: Line) -> bool:
        """Take in a record and what was decided from it; False: the event does not fit and should be refused."""
        self._offset = line.offset
        event, at_ms = line.event, line.at_ms
        if at_ms < max(self._now_ms, self._moment_ms):
            self._object("time", f"{at_ms} ms, but something happened at {max(self._now_ms, self._moment_ms)} ms")
        own = isinstance(event, RouterResumed | OrganisationChanged | TimePassed)
        if isinstance(event, RouterResumed):
            self._stopped_ms = self._now_ms
        elif not own:
            self._stopped_ms = None
        # Time passes, and deadlines are served, from the record before to a `TimePassed`; else at the record.
        self._moment_ms = self._now_ms if isinstance(event, TimePassed) else at_ms
        self._now_ms = at_ms
        if not own:
            self._look_for_the_overdue()
        fits = self._happen(event)
        if not fits:
            self.counts["events refused"] += 1
        for decision_id, decision in line.decided:
            if decision_id.offset != line.offset:
                self._object("decision id", f"{decision_id} was decided at record {line.offset}")
            self._carry_out(decision, event)
        for (kind, name), missing in self._expected.items():
            if missing:
                self._object("not decided", f"{kind.__name__} for {name} should follow {type(event).__name__}")
        self._expected.clear()
        if isinstance(event, TimePassed):
            self._stopped_ms = None
            self._look_for_the_overdue()
        if not isinstance(event, RouterResumed | OrganisationChanged):
            self._look_for_the_forgotten()
        return fits

    def finish(self) -> None:
        """No more records: nothing may be live."""
        for call in self._calls.values():
            self._object("call without an end", f"{call.call_id} is {call.status}")
        for agent in self._agents.values():
            if agent.status in _AT_WORK:
                self._object("agent left at work", f"{agent.agent_id} is {agent.status}")

    def _object(self, kind: str, what: str) -> None:
        self.counts["violations"] += 1
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(Violation(kind, self._offset, what))

    # --- Events ---

    def _happen(self, event: Event) -> bool:
        match event:
            case OrganisationChanged():
                self._organise(event.description)
            case RouterResumed():
                self.counts["restarts" if event.epoch > self._epoch else "absences"] += 1
                self._epoch = event.epoch
                self._resume()
            case TimePassed():
                pass
            case CallArrived():
                return self._arrive(event)
            case CallAbandoned() | CallEnded():
                return self._hang_up(event.call_id)
            case CallConnected():
                return self._connect(event.call_id)
            case ConnectFailed():
                call = self._calls.get(event.call_id)
                if call is None or call.status is not CallStatus.ACCEPTED:
                    return False
                self._expect(WithdrawOffer, call.offer_id)
                self._take_back(call, self._now_ms, cooling_down=True)
            case OfferAccepted():
                return self._accept(event)
            case OfferDeclined() | OfferMissed():
                call = self._offered(event)
                if call is None:
                    return False
                self.counts["offers declined" if isinstance(event, OfferDeclined) else "offers missed"] += 1
                self._fail(call, self._now_ms, missed=isinstance(event, OfferMissed))
            case AgentSignedIn() | AgentReady() | AgentNotReady() | AgentSignedOut():
                agent = self._agents.get(event.agent_id)
                return agent is not None and self._show_up(agent, event)
            case _:
                raise ValueError(f"the model knows no {type(event).__name__}")
        return True

    def _organise(self, description: OrganisationDescription) -> None:
        (portfolio,) = description.portfolios
        reach_ms = {link.team_id: link.after_s * 1000 for link in portfolio.teams}
        teams = {team.team_id: team for team in description.teams}
        self._max_wait_ms = None if portfolio.max_wait_s is None else portfolio.max_wait_s * 1000
        if self._agents and {each.agent_id for each in description.agents} != self._agents.keys():
            raise ValueError("the model knows no change of agents")
        for each in description.agents:
            agent = _Agent(each.agent_id, teams[each.team_id], reach_ms[each.team_id] + each.after_s * 1000)
            self._agents.setdefault(each.agent_id, agent)

    def _resume(self) -> None:
        """Whoever was ringing or connecting is told again, and gets the full time again."""
        for agent in self._agents.values():
            if agent.call is not None and agent.status is AgentStatus.OFFERED:
                self._expect(OfferCall, agent.call.offer_id)
            elif agent.call is not None and agent.status is AgentStatus.ACCEPTED:
                self._expect(ConnectCall, agent.call.offer_id)
                self._set_due(agent, self._now_ms + agent.team.connect_timeout_s * 1000)

    def _arrive(self, event: CallArrived) -> bool:
        if event.call_id in self._calls or event.call_id in self.outcomes or event.skills:
            return False
        self.counts["calls accepted"] += 1
        call = self._calls[event.call_id] = _Call(event.call_id, self._now_ms)
        self._wait(call)
        return True

    def _hang_up(self, call_id: CallId) -> bool:
        call = self._calls.get(call_id)
        if call is None:
            return False
        if call.status is CallStatus.CONNECTED:
            self._end(call, Outcome.CONNECTED)
            self._wrap_up(self._agent_of(call), self._now_ms)
            return True
        if call.status is not CallStatus.WAITING:
            self._expect(WithdrawOffer, call.offer_id)
            if call.status is CallStatus.OFFERED:
                self.counts["offers withdrawn, caller hung up"] += 1
            self._free(self._agent_of(call))
        self._end(call, Outcome.ABANDONED)
        return True

    def _connect(self, call_id: CallId) -> bool:
        call = self._calls.get(call_id)
        if call is None or call.status is not CallStatus.ACCEPTED:
            return False
        self.counts["connections"] += 1
        call.status = CallStatus.CONNECTED
        agent = self._agent_of(call)
        agent.status, agent.due_ms = AgentStatus.IN_CALL, None
        return True

    def _accept(self, event: OfferAccepted) -> bool:
        call = self._calls.get(event.call_id)
        if call is None or (call.offer_id, call.agent_id) != (event.offer_id, event.agent_id):
            return False
        if call.status in (CallStatus.ACCEPTED, CallStatus.CONNECTED):
            self.counts["acceptances repeated"] += 1
            self._expect(ConnectCall, event.offer_id)
            return True
        if call.status is not CallStatus.OFFERED:
            return False
        self.counts["offers accepted"] += 1
        self._expect(ConnectCall, event.offer_id)
        call.status = CallStatus.ACCEPTED
        agent = self._agent_of(call)
        agent.status, agent.misses = AgentStatus.ACCEPTED, 0
        self._set_due(agent, self._now_ms + agent.team.connect_timeout_s * 1000)
        return True

    def _offered(self, event: OfferDeclined | OfferMissed) -> _Call | None:
        """The call, if this very offer rings."""
        call = self._calls.get(event.call_id)
        if call is None or call.status is not CallStatus.OFFERED:
            return None
        return call if (call.offer_id, call.agent_id) == (event.offer_id, event.agent_id) else None

    def _show_up(self, agent: _Agent, event: AgentSignedIn | AgentReady | AgentNotReady | AgentSignedOut) -> bool:
        if isinstance(event, AgentSignedIn) != (agent.status is AgentStatus.SIGNED_OUT):
            return False
        match event:
            case AgentSignedIn():
                agent.status, agent.reason = AgentStatus.NOT_READY, "signed_in"
                agent.misses, agent.leaving, agent.next_reason = 0, False, None
                return True
            case AgentReady():
                if agent.status is AgentStatus.IDLE:
                    return False
                agent.next_reason, agent.leaving = None, False
                if agent.status in (AgentStatus.NOT_READY, AgentStatus.WRAP_UP):
                    self._free(agent)
                return True
            case AgentNotReady():
                if agent.status is AgentStatus.NOT_READY and agent.reason == event.reason:
                    return False
                agent.next_reason = event.reason
            case AgentSignedOut():
                agent.leaving = True
        if agent.status is AgentStatus.OFFERED:
            assert agent.call is not None, "an agent who is offered a call has one"
            self.counts["offers withdrawn, agent left"] += 1
            self._expect(WithdrawOffer, agent.call.offer_id)
            self._take_back(agent.call, self._now_ms, cooling_down=False)
        elif agent.status not in _AT_WORK:
            self._free(agent)
        return True

    # --- Decisions ---

    def _carry_out(self, decision: Decision, event: Event) -> None:
        if isinstance(decision, PauseAgent | ReleaseAgent):
            agent = self._agents[decision.agent_id]
            if isinstance(decision, ReleaseAgent):
                self._release(agent)
            elif not self._was_expected(PauseAgent, agent.agent_id):
                self._object("pause", f"{agent.agent_id} has not missed that many offers")
            return
        if not isinstance(decision, CallDecision):
            self._object("decision", f"nothing in the events leads to {decision}")
            return
        call = self._calls.get(decision.call_id)
        if (
            call is None
            and isinstance(decision, WithdrawOffer)
            and self._was_expected(WithdrawOffer, decision.offer_id)
        ):
            # The caller has just hung up; the call is over and its offer has to go.
            return
        if call is None:
            over = self.outcomes.get(decision.call_id)
            self._object("call", f"{_short(decision)}, which {f'has ended: {over}' if over else 'never arrived'}")
            return
        self._keep_time(call, decision)
        match decision:
            case OfferCall() if isinstance(event, RouterResumed) and self._was_expected(OfferCall, decision.offer_id):
                if (call.offer_id, call.agent_id) != (decision.offer_id, decision.agent_id):
                    self._object("offer changed", f"{_short(decision)}, but it was offered to {call.agent_id}")
                self.counts["offers repeated by a restart"] += 1
                self._set_due(self._agent_of(call), decision.expires_at_ms)
            case OfferCall():
                self._offer(call, decision)
            case ConnectCall():
                known = (call.offer_id, call.agent_id) == (decision.offer_id, decision.agent_id)
                if not self._was_expected(ConnectCall, decision.offer_id) or not known:
                    self._object("connect", f"{_short(decision)}: nobody has just accepted that")
            case WithdrawOffer():
                self._withdraw(call, decision)
            case QueueCall():
                place = bisect_left(self._waiting, call.rank) + 1
                if call.status is not CallStatus.WAITING or decision.position != place:
                    self._object("place", f"{call.call_id} is told place {decision.position}, and has {place}")
            case FallbackCall():
                self._fall_back(call, decision)
            case EndCall():
                if call.status is not CallStatus.CONNECTED:
                    self._object("end", f"{_short(decision)}, but it is {call.status}")
                    return
                agent = self._agent_of(call)
                self._end(call, Outcome.CONNECTED)
                self._wrap_up(agent, self._moment_ms)
            case _:
                self._object("decision", f"nothing in the events leads to {_short(decision)}")

    def _keep_time(self, call: _Call, decision: CallDecision) -> None:
        """A wait counts from the first arrival, and decisions come in the order of time."""
        moment_ms = call.arrived_ms + decision.wait_ms
        by_the_event = isinstance(decision, ConnectCall) or (
            isinstance(decision, WithdrawOffer) and decision.rule not in _OWN_ENDS
        )
        if moment_ms < self._moment_ms or (by_the_event and moment_ms != self._now_ms):
            self._object(
                "wait", f"{_short(decision)} after {decision.wait_ms} ms; it arrived at {call.arrived_ms} ms and it "
                f"is {self._moment_ms} ms",
            )  # fmt: skip
        self._moment_ms = max(self._moment_ms, moment_ms)

    def _offer(self, call: _Call, offer: OfferCall) -> None:
        agent = self._agents[offer.agent_id]
        moment_ms = self._moment_ms
        self.counts["offers made"] += 1
        if call.status is not CallStatus.WAITING:
            self._object("two offers of a call", f"{_short(offer)}, but it is {call.status} at {call.agent_id}")
        if agent.status in _AT_WORK:
            theirs = agent.call.call_id if agent.call is not None else None
            self._object("two calls at an agent", f"{_short(offer)}, who is {agent.status} with {theirs}")
        elif agent.status is not AgentStatus.IDLE:
            self._object("agent not free", f"{_short(offer)}, who is {agent.status}")
        if offer.offer_id in self._offers:
            self._object("offer id", f"{_short(offer)} as {offer.offer_id}, which was another offer's id")
        if moment_ms - call.arrived_ms < agent.reach_ms or moment_ms < call.blocked.get(agent.agent_id, 0):
            self._object("too early", f"{_short(offer)} after {offer.wait_ms} ms")
        if offer.expires_at_ms != moment_ms + agent.team.offer_timeout_s * 1000:
            self._object("expiry", f"{_short(offer)} until {offer.expires_at_ms}, made at {moment_ms}")
        for rank in self._waiting:
            if rank >= call.rank:
                break
            if self._may_certainly_have(self._calls[rank[1]], agent, moment_ms):
                self._object("overtaken", f"{_short(offer)}, but {rank[1]} arrived before and may go to the same agent")
                break
        self._offers.add(offer.offer_id)
        self._leave(call)
        call.status, call.offer_id, call.agent_id = CallStatus.OFFERED, offer.offer_id, agent.agent_id
        self._set_status(agent, AgentStatus.OFFERED)
        agent.call = call
        self._set_due(agent, offer.expires_at_ms)

    def _withdraw(self, call: _Call, decision: WithdrawOffer) -> None:
        if self._was_expected(WithdrawOffer, decision.offer_id):
            return
        agent = self._agents[decision.agent_id]
        status = _OWN_ENDS.get(decision.rule)
        known = call.offer_id == decision.offer_id and agent.call is call
        if status is None or agent.status is not status or not known or agent.due_ms != self._moment_ms:
            self._object("withdrawn", f"{_short(decision)} for {decision.rule} at {self._moment_ms} ms, without cause")
            return
        if status is AgentStatus.OFFERED:
            self.counts["offers expired"] += 1
            self._fail(call, self._moment_ms, missed=True)
        else:
            self._take_back(call, self._moment_ms, cooling_down=True)

    def _release(self, agent: _Agent) -> None:
        if agent.status is not AgentStatus.WRAP_UP or agent.due_ms is None:
            self._object("release", f"{agent.agent_id} is {agent.status}")
            return
        self._moment_ms = max(self._moment_ms, agent.due_ms)
        self._free(agent)

    def _fall_back(self, call: _Call, decision: FallbackCall) -> None:
        too_early = self._max_wait_ms is None or self._moment_ms < call.arrived_ms + self._max_wait_ms
        if call.status is not CallStatus.WAITING or decision.rule is not Rule.MAX_WAIT or too_early:
            self._object("fallback", f"{_short(decision)} after {decision.wait_ms} ms for {decision.rule}")
        self._end(call, Outcome.FALLBACK)

    # --- What follows ---

    def _fail(self, call: _Call, moment_ms: int, *, missed: bool) -> None:
        """The agent did not take the call: the pair cools down; one who misses again and again is paused."""
        agent = self._agent_of(call)
        agent.misses = agent.misses + 1 if missed else 0
        self._take_back(call, moment_ms, cooling_down=True)
        if agent.misses >= agent.team.misses_max:
            self.counts["agents paused"] += 1
            self._expect(PauseAgent, agent.agent_id)
            agent.misses = 0
            if agent.status is AgentStatus.IDLE:
                self._set_status(agent, AgentStatus.NOT_READY)
                agent.reason = "missed_offers"

    def _take_back(self, call: _Call, moment_ms: int, *, cooling_down: bool) -> None:
        agent = self._agent_of(call)
        if cooling_down:
            call.blocked[agent.agent_id] = moment_ms + agent.team.cooldown_s * 1000
        self._free(agent)
        self._wait(call)

    def _free(self, agent: _Agent) -> None:
        agent.call = agent.due_ms = None
        if agent.leaving:
            agent.leaving, agent.next_reason = False, None
            self._set_status(agent, AgentStatus.SIGNED_OUT)
        elif agent.next_reason is not None:
            agent.reason, agent.next_reason = agent.next_reason, None
            self._set_status(agent, AgentStatus.NOT_READY)
        else:
            self._set_status(agent, AgentStatus.IDLE)

    def _wrap_up(self, agent: _Agent, moment_ms: int) -> None:
        if agent.team.wrap_up_s == 0:
            self._free(agent)
        else:
            self._set_status(agent, AgentStatus.WRAP_UP)
            self._set_due(agent, moment_ms + agent.team.wrap_up_s * 1000)

    def _wait(self, call: _Call) -> None:
        call.status, call.offer_id, call.agent_id = CallStatus.WAITING, None, None
        insort(self._waiting, call.rank)
        if self._max_wait_ms is not None:
            heappush(self._due, (call.arrived_ms + self._max_wait_ms, "call", call.call_id))

    def _leave(self, call: _Call) -> None:
        place = bisect_left(self._waiting, call.rank)
        if self._waiting[place : place + 1] == [call.rank]:
            del self._waiting[place]

    def _end(self, call: _Call, outcome: Outcome) -> None:
        self._leave(call)
        call.status = CallStatus.ENDED
        del self._calls[call.call_id]
        self.outcomes[call.call_id] = outcome
        self.counts[f"calls ended, {outcome}"] += 1

    def _agent_of(self, call: _Call) -> _Agent:
        assert call.agent_id is not None, f"{call.call_id} is {call.status} and has an agent"
        return self._agents[call.agent_id]

    def _set_status(self, agent: _Agent, status: AgentStatus) -> None:
        agent.status = status
        if status is AgentStatus.IDLE:
            self._idle[agent.agent_id] = agent
        else:
            self._idle.pop(agent.agent_id, None)

    def _set_due(self, agent: _Agent, due_ms: int) -> None:
        agent.due_ms = due_ms
        heappush(self._due, (due_ms, "agent", agent.agent_id))

    def _expect(self, kind: type[Decision], name: str | None) -> None:
        self._expected[kind, str(name)] += 1

    def _was_expected(self, kind: type[Decision], name: str) -> bool:
        if not self._expected[kind, name]:
            return False
        self._expected[kind, name] -= 1
        return True

    # --- What should have happened ---

    def _may_certainly_have(self, call: _Call, agent: _Agent, moment_ms: int) -> bool:
        """Whether the agent may be offered the call at *moment_ms*, beyond what falls due only then."""
        served_ms = moment_ms if self._stopped_ms is None else self._stopped_ms
        in_reach = agent.reach_ms == 0 or served_ms - call.arrived_ms > agent.reach_ms
        return in_reach and served_ms > call.blocked.get(agent.agent_id, -1)

    def _look_for_the_overdue(self) -> None:
        while self._due and self._due[0][0] <= self._now_ms:
            due_ms, kind, name = heappop(self._due)
            if kind == "agent":
                agent = self._agents[AgentId(name)]
                if agent.due_ms == due_ms:
                    self._object("overdue", f"{name} has been {agent.status} until {due_ms} ms and still is")
            elif (call := self._calls.get(CallId(name))) is not None and call.status is CallStatus.WAITING:
                self._object("overdue", f"{name} should have gone to its fallback at {due_ms} ms")

    def _look_for_the_forgotten(self) -> None:
        if not self._waiting:
            return
        for agent in self._idle.values():
            for _, call_id in self._waiting:
                call = self._calls[call_id]
                if self._may_certainly_have(call, agent, self._now_ms):
                    self._object("forgotten", f"{call_id} waits although {agent.agent_id} is idle")
                    return
                if agent.agent_id not in call.blocked:
                    break  # Too early for this agent, and those behind came later still.


def _short(decision: CallDecision) -> str:
    agent_id = getattr(decision, "agent_id", None)
    return f"{type(decision).__name__} {decision.call_id}" + (f" to {agent_id}" if agent_id is not None else "")


# --- What the platform saw ------------------------------------------------------------------------------------------


class _Seen:
    """Offers as the platform knows them: from decisions that it saw, and events that it knows to be accepted."""

    def __init__(self) -> None:
        self._by_agent: dict[AgentId, tuple[OfferId, CallId]] = {}
        self._by_call: dict[CallId, tuple[OfferId, AgentId]] = {}

    def report(self, event: Event) -> None:
        match event:
            case OfferDeclined() | OfferMissed():
                if self._by_call.get(event.call_id) == (event.offer_id, event.agent_id):
                    self._close(event.call_id)
            case CallAbandoned() | CallEnded():
                self._close(event.call_id)

    def receive(self, decision: Decision) -> str | None:
        """Why this must not be."""
        if isinstance(decision, WithdrawOffer | EndCall | FallbackCall):
            self._close(decision.call_id)
        if not isinstance(decision, OfferCall):
            return None
        at_agent, of_call = self._by_agent.get(decision.agent_id), self._by_call.get(decision.call_id)
        self._by_agent[decision.agent_id] = (decision.offer_id, decision.call_id)
        self._by_call[decision.call_id] = (decision.offer_id, decision.agent_id)
        if at_agent is not None and at_agent[0] != decision.offer_id:
            return f"{_short(decision)}, who has {at_agent[1]}"
        if of_call is not None and of_call[0] != decision.offer_id:
            return f"{_short(decision)}, which is at {of_call[1]}"
        return None

    def _close(self, call_id: CallId) -> None:
        live = self._by_call.pop(call_id, None)
        if live is not None:
            self._by_agent.pop(live[1], None)


def check(
    lines: Iterable[Line],
    *,
    answers: Mapping[str, int],
    seen: Mapping[DecisionId, bytes],
    endings: Mapping[CallId, Outcome],
    may_lose: bool = False,
) -> Verdict:
    """Hold a journal against what its platform saw.

    Args:
        lines: The journal, from the first record to the last, after everything has come to its end.
        answers: For each event of the platform by its id: the offset at which it was accepted, or `REFUSED`.
        seen: The decisions that the platform received, as they were encoded.
        endings: How calls ended, of those where the platform knows.
        may_lose: A broker was killed, which loses messages; else each decision must have reached the platform.
    """
    model, platform = Model(), _Seen()
    counts, found = model.counts, model._object
    last_offset, known, unknown_seen = 0, 0, dict(seen)
    for line in lines:
        if line.offset != last_offset + 1:
            found("record missing", f"{line.offset} follows {last_offset}")
        last_offset = line.offset
        counts["records"] += 1
        fits = model.apply(line)
        answer = answers.get(line.entry_id)
        if answer is not None:
            known += 1
            if fits != (answer != REFUSED):
                found("answer", f"{_named(line)} was {'refused' if fits else 'accepted'} and should not have been")
            elif fits and answer != line.offset:
                found("answer", f"{_named(line)} was accepted as record {answer}")
            if answer != REFUSED:
                platform.report(line.event)
        for decision_id, decision in line.decided:
            counts["decisions"] += 1
            payload = unknown_seen.pop(decision_id, None)
            if payload is None:
                counts["decisions that never reached the platform"] += 1
                if not may_lose:
                    found("decision lost", f"{decision_id} never reached the platform: {decision}")
                # What the platform does not know it cannot be blamed for; an offer that it never saw, nobody answers.
                if isinstance(decision, OfferCall):
                    continue
            elif payload != encode_output(decision, decision_id):
                was = decode_output(payload).message
                found("decision changed", f"{decision_id} was published as {was} and is now {decision}")
            conflict = platform.receive(decision)
            if conflict is not None:
                found("two offers seen", conflict)
    for decision_id, payload in unknown_seen.items():
        found("decision unknown", f"{decision_id}, {decode_output(payload).message}, is not what the journal leads to")
    if known < len(answers):
        found("event lost", f"{len(answers) - known} of {len(answers)} answered events are not in the journal")
    model.finish()
    for call_id, ending in endings.items():
        if model.outcomes.get(call_id) is not ending:
            found("ending", f"{call_id}: {ending} for the platform, {model.outcomes.get(call_id)} for the router")
    return Verdict(counts, model.outcomes, model.violations)


def _named(line: Line) -> str:
    return f"{type(line.event).__name__} ({line.entry_id})"
