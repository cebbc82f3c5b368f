"""The engine's state as plain data: for snapshots, from which the same engine can be made again.

What is here holds numbers, strings, tuples and frozen structs only, with ids where the engine has references, so that
any msgspec encoder can write it down. Equal states give equal values: whatever has an order that decides something
(live calls, agents, past calls) is in that order, everything else is sorted.

The organisation is not part of it. Whoever keeps a state keeps the description beside it; only what an earlier version
has left behind (an agent still at work, a seat still taken, a tally still counting) brings its own nouns along.

What can be found again is left out, and `LEFT_OUT` says how. A new attribute of a record must be given a place in
either; a test asks for it.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date

from msgspec import Struct

from router.core.deadlines import DeadlineEntry, Deadlines, Due
from router.core.decisions import Rule
from router.core.errors import StateError
from router.core.exclusions import ExcludedDay, ExclusionBook
from router.core.gates import Gates
from router.core.handling import RecentMean, TalkTimes
from router.core.model import (
    Agent,
    AgentId,
    AgentStatus,
    CallId,
    CallStatus,
    Client,
    ClientId,
    Contract,
    Limits,
    OfferId,
    Outcome,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    SupplierId,
    Team,
    TeamId,
)
from router.core.months import Place, PortfolioMonth
from router.core.moves import MoveRecord, MoveState
from router.core.places import PlaceBook, PlaceDay
from router.core.roster import Roster
from router.core.shares import Adjustment, ContractDay
from router.core.state import (
    HISTORY_MAX,
    AgentRecord,
    CallRecord,
    Group,
    Offer,
    Plan,
    PortfolioRecord,
    SiteRecord,
    TeamRecord,
)
from router.core.tallies import AnswerRecord, Tallies
from router.core.values import Block, GroupKey, Requirement, Step
from router.core.waiting import WaitingRoom

__all__ = [
    "LEFT_OUT", "AgentState", "AnswerState", "CallState", "DeadlineState", "EngineState", "GatesState", "GroupState",
    "LeftAgent", "LeftTeam", "MeanState", "OfferState", "PastCalls", "PortfolioState", "RosterState", "TeamState",
    "call_state", "deadlines_state", "gates_state", "restore_calls", "restore_deadlines", "restore_gates",
    "restore_past_calls", "restore_roster", "roster_state",
]  # fmt: skip


# --- The state -----------------------------------------------------------------------------------------------------


class MeanState(Struct, frozen=True, array_like=True, gc=False):
    """A `RecentMean`."""

    count: int
    mean_ms: int


class OfferState(Struct, frozen=True, array_like=True, gc=False):
    """An `Offer`, of the call that it stands with."""

    offer_id: OfferId
    agent_id: AgentId
    offered_ms: int
    expires_ms: int
    rule: Rule
    ring: int
    path: tuple[str, ...]


class AnswerState(Struct, frozen=True, array_like=True, gc=False):
    """What a present conversation counts with: a place of a month that may be over."""

    month: str
    portfolio_id: PortfolioId
    place: Place


class CallState(Struct, frozen=True, array_like=True, gc=False):
    """A call, live or past. Times are milliseconds since the epoch, here and below."""

    call_id: CallId
    client_id: ClientId | None
    arrived_ms: int
    head_start_ms: int
    asked: Requirement
    portfolio: PortfolioId
    found_by: str
    rank_ms: int
    queued_ms: int
    status: CallStatus
    callback: bool
    owner: AgentId | None
    backups: tuple[AgentId, ...]
    held_until_ms: int | None
    rings_open: int
    placed_ms: int
    blocked: tuple[tuple[AgentId, Block], ...]
    """By agent id."""
    offer: OfferState | None
    """The last one, over or not."""
    rule: Rule | None
    connected_ms: int | None
    answer: AnswerState | None
    ended_ms: int | None
    outcome: Outcome | None
    steps: tuple[Step, ...]
    # Later fields have defaults, so that snapshots from before can be read.
    navigation_ms: int | None = None
    owner_on_shift: bool = False
    announced: str | None = None
    place_requested_ms: int | None = None
    is_place_met: bool = False
    is_share_waived: bool = False
    is_override: bool = False
    promise: tuple[str, int] | None = None
    """The contract, and what is promised of it."""
    work: tuple[str, date, str] | None = None
    """The contract, the day and the country."""
    may_spill: bool = False
    is_spill: bool = False
    move: tuple[PortfolioId, SiteId] | None = None
    """The portfolio under a move plan, and the site; None also for a stage that is over, where it counts no more."""


PastCalls = tuple[CallState, ...]
"""Some calls that are over, in the order in which they ended."""


class LeftTeam(Struct, frozen=True, array_like=True, gc=False):
    """A team of an earlier version, of which somebody is still at work."""

    team: Team
    handling: MeanState
    talk: tuple[int, ...] | None = None
    """A `TalkTimes`, by bin, without the empty ones at the end; None: nothing was learnt."""


class LeftAgent(Struct, frozen=True, array_like=True, gc=False):
    """What the organisation no longer says of an agent who is still at work."""

    agent: Agent
    group: GroupKey
    team: TeamId | int
    """A number counts in `RosterState.left_teams`."""


class AgentState(Struct, frozen=True, array_like=True, gc=False):
    """An agent: one of the organisation, or one who has left it and is still at work."""

    agent_id: AgentId
    left: LeftAgent | None
    group: int
    """Counts in `RosterState.groups`; -1 for one who has left."""
    status: AgentStatus
    reason: str | None
    next_reason: str | None
    leaving: bool
    site: SiteId | int | None
    """Where the agent holds a seat. A number counts in `RosterState.left_sites`."""
    seat: str | None
    country: str | None
    signed_in_ms: int
    idle_since_ms: int
    occupancy_ppm: int
    busy_ms: int
    busy_since_ms: int
    misses: int
    is_free: bool
    """Stands in the queues of its group."""
    personal: tuple[CallId, ...]
    """Waiting calls in the agent's personal queue, sorted."""
    handling: MeanState
    deadline_ms: int
    lease_until_ms: int
    lease_ms: int | None
    sequence: int | None
    session: str | None
    is_suspect: bool
    history: tuple[tuple[int, AgentStatus, str | None], ...]
    stage: PortfolioId | None = None
    """The portfolio under a move plan, as in `CallState.move`."""
    talk: tuple[int, ...] | None = None
    """As in `LeftTeam`."""


class GroupState(Struct, frozen=True, array_like=True, gc=False):
    """A group, which may be there only because somebody once sat elsewhere."""

    key: GroupKey
    by_occupancy: bool
    """Whether its idle agents are kept by occupancy too."""


class TeamState(Struct, frozen=True, array_like=True, gc=False):
    team_id: TeamId
    handling: MeanState
    talk: tuple[int, ...] | None = None
    """As in `LeftTeam`."""


class PortfolioState(Struct, frozen=True, array_like=True, gc=False):
    """The tallies of a portfolio, of whatever version."""

    portfolio_id: PortfolioId
    left: Portfolio | None
    """What it was when the organisation still had it; None: it has it now."""
    arrived: int
    outcomes: tuple[tuple[Outcome, int], ...]
    hang_ups: tuple[int, int] = (0, 0)
    """A `HangUps`: how many, and the time waited."""


class RosterState(Struct, frozen=True, array_like=True, gc=False):
    """People and places. Agents in the roster's order, which is seen when the router resumes; the rest by id."""

    portfolios: tuple[PortfolioState, ...]
    teams: tuple[TeamState, ...]
    left_teams: tuple[LeftTeam, ...]
    left_sites: tuple[Site, ...]
    groups: tuple[GroupState, ...]
    agents: tuple[AgentState, ...]


class DeadlineState(Struct, frozen=True, array_like=True, gc=False):
    """A deadline that is not void."""

    at_ms: int
    sequence: int
    due: Due
    call_id: CallId | None
    agent_id: AgentId | None
    move_plan_id: str | None = None


class GatesState(Struct, frozen=True, array_like=True, gc=False):
    """The books of contracts and of callers' requests."""

    left_contracts: tuple[Contract, ...] = ()
    """Those that the organisation does not have any more."""
    contract_days: tuple[ContractDay, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    place_days: tuple[PlaceDay, ...] = ()
    excluded_days: tuple[ExcludedDay, ...] = ()
    move_plans: tuple[MoveState, ...] = ()


class EngineState(Struct, frozen=True, array_like=True, gc=False):
    """All of the engine that may still change; the past calls go beside it."""

    now_ms: int
    limits: Limits
    offers_made: int
    offers_by_end: tuple[tuple[Rule, int], ...]
    roster: RosterState
    calls: tuple[CallState, ...]
    """Live ones, in the order of their arrival."""
    deadlines: tuple[DeadlineState, ...]
    """In the order in which they will be served."""
    deadlines_set: int
    """The sequence number of the last one; those set from now on go on from here."""
    tallies: tuple[PortfolioMonth, ...]
    counting_since_ms: int | None = None
    gates: GatesState = GatesState()


LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "CallRecord": {
        "agent": "the agent of the last offer, always",
        "client": "found by client_id, always; nobody asks for a past call's",
        "decided_ms": "when the last offer was made, always",
        "plan": "made again of portfolio and needs; every live call has the plan of the present version",
        "stamp": "not 0 while waiting; its value is never compared between calls",
        "timer": "in the deadlines",
    },
    "AgentRecord": {
        "agent": "in the organisation, or with `left`",
        "entry": "in the deadlines",
        "entry_ms": "in the deadlines",
        "call": "the live call that is offered to the agent or is at the agent",
        "held": "the waiting calls that are held for the agent; nobody looks at their order",
        "lease_timer": "in the deadlines",
        "removed": "whether there is a `left`",
        "stamp": "as `is_free`; its value is never compared between agents",
        "team": "in the organisation, or with `left`",
        "timer": "in the deadlines",
    },
    "Group": {
        "country": "in the key",
        "early": "the waiting calls that it may have while its team can spare agents",
        "idle": "its agents who are free",
        "idle_by_occupancy": "as `by_occupancy`; by what is kept with its agents who are free",
        "levels": "in the key",
        "place": "in the key",
        "staffed": "counted",
        "team": "in the key",
        "waiting": "the waiting calls that have reached it",
    },
    "TeamRecord": {
        "connect_timeout_ms": "of the team",
        "cooldown_ms": "of the team",
        "idle": "counted",
        "keep_idle": "of the team",
        "offer_timeout_ms": "of the team",
        "own_first": "of the team",
        "presence_lease_ms": "of the team",
        "talk_lease_ms": "of the team",
        "team": "in the organisation, or with `left_teams`",
        "wrap_up_ms": "of the team",
    },
    "SiteRecord": {
        "seats": "where its agents sit",
        "site": "in the organisation, or with `left_sites`",
        "taken": "counted",
    },
    "PortfolioRecord": {
        "company": "in the organisation, or as `left`",
        "head_start_ms": "in the organisation, or as `left`",
        "owner_team_id": "its first team",
        "portfolio": "in the organisation, or as `left`",
        "waiting": "its waiting calls, sorted",
    },
    "Roster": {
        "organisation": "kept by whoever keeps the state",
        "sites": "in the organisation, or with `left_sites`",
        "_groups_by_team": "the groups; plans sort them",
        "_last_stamp": "only grows, so that stamps differ",
        "_own_groups": "in the organisation",
        "_plan_members": "counts what is in a cache",
        "_plan_members_max": "in the limits; bounds the cache and decides nothing",
        "_plans": "a cache",
        "_plans_max": "in the limits; bounds the cache and decides nothing",
    },
    "WaitingRoom": {
        "_awaited": "whose personal queues are filled again",
        "_gates": "the engine's",
        "_last_stamp": "only grows, so that stamps differ",
        "count": "counted",
    },
    "Deadlines": {"_clean_at": "when void ones are next dropped"},
    "Gates": {
        "_calendars": "the days of the present moment, asked of the calendar again",
        "_guarantee": "in the organisation",
        "are_any": "in the organisation",
        "are_told": "in the organisation",
        "are_watched": "in the organisation",
        "asking": "counted",
        "exclusions": "as `excluded_days`",
        "may_have_opened": "false between events",
        "moves": "as `move_plans`",
        "open_with_time": "in the organisation",
        "place_book": "as `place_days`",
        "places": "in the organisation",
        "shares": "as `contract_days`, `adjustments` and `left_contracts`",
    },
    "MoveBook": {
        "_asleep": "among `move_plans`: those that the organisation does not have",
        "_companies": "in the organisation",
        "_countries": "in the organisation",
        "_stages": "those of the records",
        "_suppliers": "in the organisation",
        "records": "among `move_plans`",
    },
    "MoveRecord": {
        "_calendar": "asked of the calendar again",
        "plan": "in the organisation",
        "taken": "as `step_id`",
        "timer": "in the deadlines",
    },
    "Stage": {
        "calls": "counted",
        "is_present": "always: a stage that is over is not kept",
        "plan": "in the organisation",
        "shares": "in the organisation, by the step in force",
    },
    "Tallies": {
        "_company": "in the organisation",
        "_present": "the month of the present moment, asked of the calendar again",
        "_short_ms": "in the organisation",
        "_within_ms": "in the organisation",
        "since_ms": "as `counting_since_ms`",
    },
    "MonthRecord": {"seen": "made again when asked for"},
    "AnswerRecord": {"month": "the month that it is in", "place": "its first four fields"},
    "OwnedRecord": {},
    "Engine": {
        "_foresight": "code",
        "_gated": "the groups of whom a gate can be shut",
        "_handlers": "code",
        "_organisation": "kept by whoever keeps the state",
        "_out": "empty between events",
        "_past": "goes beside the state, in parts",
        "_predicts": "in the organisation",
        "_released": "empty between events",
        "_waiting": "the calls that wait, and how far",
    },
}
"""Attributes that no state holds under their name, and how they come back."""


# --- From the records ----------------------------------------------------------------------------------------------


def call_state(call: CallRecord) -> CallState:
    offer = call.offer
    return CallState(
        call.call_id,
        call.client_id,
        call.arrived_ms,
        call.head_start_ms,
        call.asked,
        call.portfolio.portfolio_id,
        call.found_by,
        call.rank_ms,
        call.queued_ms,
        call.status,
        call.callback,
        call.owner.agent_id if call.owner is not None else None,
        tuple(backup.agent_id for backup in call.backups) if call.backups else (),
        call.held_until_ms,
        call.rings_open,
        call.placed_ms,
        tuple(sorted(call.blocked.items())) if call.blocked else (),
        _offer_state(offer) if offer is not None else None,
        call.rule,
        call.connected_ms,
        _answer_state(call.answer) if call.answer is not None else None,
        call.ended_ms,
        call.outcome,
        tuple(call.steps),
        call.navigation_ms,
        call.owner_on_shift,
        call.announced,
        call.place_requested_ms,
        call.is_place_met,
        call.is_share_waived,
        call.is_override,
        (call.promise[0].contract.contract_id, call.promise[1]) if call.promise is not None else None,
        (call.work[1].contract_id, call.work[1].day, call.work[1].country) if call.work is not None else None,
        call.may_spill,
        call.is_spill,
        (call.move[0].portfolio_id, call.move[1]) if call.move is not None and call.move[0].is_present else None,
    )


def _offer_state(offer: Offer) -> OfferState:
    return OfferState(
        offer.offer_id,
        offer.agent.agent_id,
        offer.offered_ms,
        offer.expires_ms,
        offer.rule,
        offer.ring,
        offer.path,
    )


def _answer_state(answer: AnswerRecord) -> AnswerState:
    return AnswerState(answer.month.month, answer.month.portfolio_id, answer.place)


def gates_state(gates: Gates, now_ms: int) -> GatesState:
    shares = gates.shares
    shares.count_presence(now_ms)
    return GatesState(
        left_contracts=shares.left(),
        contract_days=shares.days(),
        adjustments=tuple(shares.adjustments),
        place_days=gates.place_book.days(),
        excluded_days=gates.exclusions.days(),
        move_plans=gates.moves.states(),
    )


def roster_state(roster: Roster) -> RosterState:
    groups = roster.groups()
    left = _Left(roster)
    group_numbers = {group: number for number, group in enumerate(groups)}
    agents = tuple(_agent_state(agent, left, group_numbers) for agent in roster.agents.values())
    return RosterState(
        portfolios=tuple(
            PortfolioState(
                portfolio_id,
                None if portfolio_id in roster.organisation.portfolios else record.portfolio,
                record.arrived,
                tuple(record.outcomes.items()),
                (record.hang_ups.count, record.hang_ups.waited_ms),
            )
            for portfolio_id, record in sorted(roster.portfolios.items())
        ),
        teams=tuple(
            TeamState(team_id, _mean_state(record.handling), _talk_state(record.talk))
            for team_id, record in sorted(roster.teams.items())
        ),
        left_teams=tuple(
            LeftTeam(record.team, _mean_state(record.handling), _talk_state(record.talk)) for record in left.teams
        ),
        left_sites=tuple(record.site for record in left.sites),
        groups=tuple(GroupState(group.key, group.idle_by_occupancy is not None) for group in groups),
        agents=agents,
    )


class _Left:
    """Teams and sites of earlier versions that agents still hold on to, in the order in which they are met.

    Two of them may have one id: what goes and comes back is new, and whoever sat there before still holds the old.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.teams: list[TeamRecord] = []
        self.sites: list[SiteRecord] = []

    def team(self, record: TeamRecord) -> TeamId | int:
        team_id = record.team.team_id
        if self._roster.teams.get(team_id) is record:
            return team_id
        if record not in self.teams:
            self.teams.append(record)
        return self.teams.index(record)

    def site(self, record: SiteRecord) -> SiteId | int:
        site_id = record.site.site_id
        if self._roster.sites.get(site_id) is record:
            return site_id
        if record not in self.sites:
            self.sites.append(record)
        return self.sites.index(record)


def _agent_state(agent: AgentRecord, left: _Left, group_numbers: Mapping[Group, int]) -> AgentState:
    return AgentState(
        agent_id=agent.agent_id,
        left=LeftAgent(agent.agent, agent.group.key, left.team(agent.team)) if agent.removed else None,
        group=-1 if agent.removed else group_numbers[agent.group],
        status=agent.status,
        reason=agent.reason,
        next_reason=agent.next_reason,
        leaving=agent.leaving,
        site=left.site(agent.site) if agent.site is not None else None,
        seat=agent.seat,
        country=agent.country,
        signed_in_ms=agent.signed_in_ms,
        idle_since_ms=agent.idle_since_ms,
        occupancy_ppm=agent.occupancy_ppm,
        busy_ms=agent.busy_ms,
        busy_since_ms=agent.busy_since_ms,
        misses=agent.misses,
        is_free=agent.is_free,
        personal=_personal(agent),
        handling=_mean_state(agent.handling),
        deadline_ms=agent.deadline_ms,
        lease_until_ms=agent.lease_until_ms,
        lease_ms=agent.lease_ms,
        sequence=agent.sequence,
        session=agent.session,
        is_suspect=agent.is_suspect,
        history=tuple(agent.history[-HISTORY_MAX:]),
        stage=agent.stage.portfolio_id if agent.stage is not None and agent.stage.is_present else None,
        talk=_talk_state(agent.talk),
    )


def _personal(agent: AgentRecord) -> tuple[CallId, ...]:
    if agent.personal is None:
        return ()
    # An owner who is a backup too stands there twice, which changes nothing.
    return tuple(sorted({call.call_id for call in agent.personal.living()}))


def _mean_state(mean: RecentMean) -> MeanState:
    return MeanState(mean.count, mean.mean_ms)


def _talk_state(talk: TalkTimes | None) -> tuple[int, ...] | None:
    return None if talk is None else talk.seen()


def deadlines_state(deadlines: Deadlines) -> tuple[DeadlineState, ...]:
    return tuple(map(_deadline_state, deadlines.living()))


def _deadline_state(entry: DeadlineEntry) -> DeadlineState:
    at_ms, sequence, due, subject = entry
    if isinstance(subject, CallRecord):
        return DeadlineState(at_ms, sequence, due, subject.call_id, None)
    if isinstance(subject, AgentRecord):
        return DeadlineState(at_ms, sequence, due, None, subject.agent_id)
    if isinstance(subject, MoveRecord):
        return DeadlineState(at_ms, sequence, due, None, None, subject.plan.move_plan_id)
    call, agent_id = subject
    return DeadlineState(at_ms, sequence, due, call.call_id, agent_id)


# --- And back ------------------------------------------------------------------------------------------------------


class _People:
    """Records by agent id; somebody who has left for good gets one of their own, which is good for the name alone."""

    def __init__(self, roster: Roster) -> None:
        self._agents = roster.agents
        self._gone: dict[AgentId, AgentRecord] = {}
        nowhere = Team(team_id=TeamId(""), site_id=SiteId(""), supplier_id=SupplierId(""))
        self._team = TeamRecord(nowhere)
        key = GroupKey(nowhere.team_id, nowhere.site_id, nowhere.supplier_id, "", 0, (), ())
        self._group = Group(key, self._team)

    def find(self, agent_id: AgentId) -> AgentRecord:
        agent = self._agents.get(agent_id) or self._gone.get(agent_id)
        if agent is None:
            noun = Agent(agent_id=agent_id, team_id=self._team.team.team_id)
            agent = self._gone[agent_id] = AgentRecord(noun, self._team, self._group)
            agent.removed = True
        return agent


def restore_roster(roster: Roster, state: RosterState) -> None:
    """Fill a new roster. Who is at which call, and which calls wait for whom, comes with the calls.

    Raises:
        StateError: The state is not of this organisation.
    """
    _check(roster, state)
    for told in state.portfolios:
        if told.left is not None:
            company = told.left.company or roster.organisation.description.company
            roster.portfolios[told.portfolio_id] = PortfolioRecord(told.left, company)
        portfolio = roster.portfolios[told.portfolio_id]
        portfolio.arrived = told.arrived
        portfolio.outcomes.update(told.outcomes)
        portfolio.hang_ups.count, portfolio.hang_ups.waited_ms = told.hang_ups
    for team in state.teams:
        _restore_mean(roster.teams[team.team_id].handling, team.handling)
        roster.teams[team.team_id].talk = _restored_talk(team.talk)
    left_teams = [TeamRecord(left.team) for left in state.left_teams]
    for record, left_team in zip(left_teams, state.left_teams, strict=True):
        _restore_mean(record.handling, left_team.handling)
        record.talk = _restored_talk(left_team.talk)
    left_sites = [SiteRecord(site) for site in state.left_sites]
    groups = [roster.group_again(group.key, by_occupancy=group.by_occupancy) for group in state.groups]
    agents = dict(roster.agents)
    roster.agents.clear()
    for person in state.agents:
        if person.left is None:
            agent = agents[person.agent_id]
            agent.group = groups[person.group]
        else:
            where = person.left.team
            home = left_teams[where] if isinstance(where, int) else roster.teams[where]
            agent = AgentRecord(person.left.agent, home, Group(person.left.group, home))
            agent.removed = True
        _restore_agent(agent, person)
        if person.site is not None:
            site = left_sites[person.site] if isinstance(person.site, int) else roster.sites[person.site]
            _sit_again(agent, site)
        roster.agents[agent.agent_id] = agent
        if person.is_free:
            roster.rest_again(agent)
    roster.count_again()


def _check(roster: Roster, state: RosterState) -> None:
    """Ids that do not fit show a state that was kept with another description."""
    groups_told = {group.key for group in state.groups}
    differences: Mapping[str, AbstractSet[str]] = {
        "agent": set(roster.agents) ^ {person.agent_id for person in state.agents if person.left is None},
        "team": set(roster.teams) ^ {team.team_id for team in state.teams},
        "portfolio": set(roster.portfolios) ^ {known.portfolio_id for known in state.portfolios if known.left is None},
        "site": {person.site for person in state.agents if isinstance(person.site, str)} - set(roster.sites),
        # Skills, languages and sites make groups; a state has all groups that its organisation makes.
        "the agents of team": {group.key.team_id for group in roster.groups() if group.key not in groups_told},
    }
    for what, strangers in differences.items():
        if strangers:
            raise StateError(
                f"the state was taken under another organisation: state and description differ in {what} "
                f"{min(strangers)!r}; restore it with the description that was in force when it was taken"
            )


def _restore_agent(agent: AgentRecord, state: AgentState) -> None:
    agent.status = state.status
    agent.reason = state.reason
    agent.next_reason = state.next_reason
    agent.leaving = state.leaving
    agent.country = state.country
    agent.signed_in_ms = state.signed_in_ms
    agent.idle_since_ms = state.idle_since_ms
    agent.occupancy_ppm = state.occupancy_ppm
    agent.busy_ms = state.busy_ms
    agent.busy_since_ms = state.busy_since_ms
    agent.misses = state.misses
    _restore_mean(agent.handling, state.handling)
    agent.talk = _restored_talk(state.talk)
    agent.deadline_ms = state.deadline_ms
    agent.lease_until_ms = state.lease_until_ms
    agent.lease_ms = state.lease_ms
    agent.sequence = state.sequence
    agent.session = state.session
    agent.is_suspect = state.is_suspect
    agent.history.extend(state.history)
    agent.seat = state.seat


def _sit_again(agent: AgentRecord, site: SiteRecord) -> None:
    agent.site = site
    site.taken += site.site.counts(agent.seat)
    if agent.seat is not None:
        site.seats[agent.seat] = agent.agent_id


def _restore_mean(mean: RecentMean, state: MeanState) -> None:
    mean.count, mean.mean_ms = state.count, state.mean_ms


def _restored_talk(counts: tuple[int, ...] | None) -> TalkTimes | None:
    return None if counts is None else TalkTimes.of_counts(counts)


def restore_gates(gates: Gates, state: GatesState, roster: Roster, now_ms: int) -> None:
    """Fill new gates. What is promised, worked on and asked for comes with the calls."""
    gates.shares.restore(state.left_contracts, state.contract_days, state.adjustments)
    gates.place_book = PlaceBook(state.place_days)
    gates.exclusions = ExclusionBook(state.excluded_days)
    gates.moves.restore(state.move_plans)
    signed_in = (agent for agent in roster.agents.values() if agent.status is not AgentStatus.SIGNED_OUT)
    gates.present_anew(signed_in, now_ms)


def restore_calls(
    states: Iterable[CallState],
    roster: Roster,
    people: Iterable[AgentState],
    find_client: Callable[[ClientId | None, None], Client | None],
    tallies: Tallies,
    gates: Gates,
    now_ms: int,
) -> tuple[dict[CallId, CallRecord], WaitingRoom]:
    """The live calls, each with its agent or at its places in the queues; *people* say whose personal queues."""
    calls: dict[CallId, CallRecord] = {}
    waiting = WaitingRoom(gates)
    persons = _People(roster)
    for state in states:
        call = calls[state.call_id] = _restore_call(state, roster, persons)
        call.client = find_client(call.client_id, None)
        if state.answer is not None:
            call.answer = tallies.answer_of(state.answer.month, state.answer.portfolio_id, state.answer.place)
        if state.promise is not None:
            contract = gates.shares.records[state.promise[0]]
            contract.promised += state.promise[1]
            call.promise = contract, state.promise[1]
        if state.work is not None:
            contract = gates.shares.records[state.work[0]]
            call.work = contract, contract.day_record(state.work[1], state.work[2])
        if state.move is not None:
            stage = gates.moves.stage_of(state.move[0])
            assert stage is not None, "a call is on its way in a present stage"
            call.move = stage, state.move[1]
            stage.send(state.move[1])
        gates.asking += call.place_requested_ms is not None and not call.is_place_met
        call.plan = roster.plan_for(call.portfolio, call.asked, now_ms)
        if call.status is CallStatus.WAITING:
            waiting.enter_again(call)
        else:
            assert call.agent is not None, f"a call that is {call.status} has an agent"
            call.agent.call = call
    for person in people:
        for call_id in person.personal:
            waiting.stand_with(calls[call_id], roster.agents[person.agent_id])
        if person.stage is not None:
            roster.agents[person.agent_id].stage = gates.moves.stage_of(person.stage)
    return calls, waiting


def restore_past_calls(parts: Iterable[PastCalls], roster: Roster) -> Iterable[CallRecord]:
    """Calls that are over, to be explained by the present organisation where their portfolio is still there."""
    plans: dict[tuple[PortfolioId, Requirement], Plan] = {}
    persons = _People(roster)
    for state in (state for part in parts for state in part):
        call = _restore_call(state, roster, persons)
        kind = (state.portfolio, state.asked)
        if kind not in plans:
            plans[kind] = roster.plan_of_the_past(call.portfolio, call.asked)
        call.plan = plans[kind]
        yield call


def _restore_call(state: CallState, roster: Roster, persons: _People) -> CallRecord:
    call = CallRecord(
        state.call_id,
        client_id=state.client_id,
        arrived_ms=state.arrived_ms,
        head_start_ms=state.head_start_ms,
        asked=state.asked,
    )
    call.portfolio = roster.portfolios[state.portfolio]
    call.found_by = state.found_by
    call.rank_ms = state.rank_ms
    call.queued_ms = state.queued_ms
    call.status = state.status
    call.callback = state.callback
    call.owner = persons.find(state.owner) if state.owner is not None else None
    call.backups = tuple(map(persons.find, state.backups))
    call.held_until_ms = state.held_until_ms
    call.rings_open = state.rings_open
    call.placed_ms = state.placed_ms
    call.blocked = dict(state.blocked) or None
    if state.offer is not None:
        offer = state.offer
        call.agent = agent = persons.find(offer.agent_id)
        call.decided_ms = offer.offered_ms
        call.offer = Offer(
            offer.offer_id, agent, offer.offered_ms, offer.expires_ms, offer.rule, offer.ring, offer.path
        )
    call.rule = state.rule
    call.connected_ms = state.connected_ms
    call.announced = state.announced
    call.place_requested_ms = state.place_requested_ms
    call.is_place_met = state.is_place_met
    call.is_share_waived = state.is_share_waived
    call.is_override = state.is_override
    call.may_spill = state.may_spill
    call.is_spill = state.is_spill
    call.ended_ms = state.ended_ms
    call.outcome = state.outcome
    call.steps.extend(state.steps)
    call.navigation_ms = state.navigation_ms
    call.owner_on_shift = state.owner_on_shift
    return call


def restore_deadlines(
    states: Iterable[DeadlineState],
    sequence: int,
    calls: Mapping[CallId, CallRecord],
    roster: Roster,
    plans: Mapping[str, MoveRecord],
) -> Deadlines:
    entries: list[DeadlineEntry] = []
    for state in states:
        call_id, agent_id = state.call_id, state.agent_id
        subject: CallRecord | AgentRecord | tuple[CallRecord, AgentId] | MoveRecord
        if state.move_plan_id is not None:
            subject = plans[state.move_plan_id]
        elif call_id is None:
            assert agent_id is not None, "a deadline is about a call, an agent or a plan"
            subject = roster.agents[agent_id]
        elif agent_id is None:
            subject = calls[call_id]
        else:
            subject = (calls[call_id], agent_id)
        entries.append((state.at_ms, state.sequence, state.due, subject))
    deadlines = Deadlines()
    deadlines.set_again(entries, sequence=sequence)
    return deadlines
