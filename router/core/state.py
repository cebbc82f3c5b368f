"""What the engine keeps while it runs: records of calls, agents, groups, teams, portfolios and sites.

Every record has one owner, the engine, which alone writes to it. Frozen nouns (`model.py`) say what a thing is; the
records here say how it stands. Times are milliseconds since the epoch.
"""

from typing import Final

from router.core.decisions import Rule
from router.core.handling import HangUps, RecentMean, TalkTimes
from router.core.members import AGENT_SIGNED_OUT, CALL_WAITING
from router.core.model import (
    Agent,
    AgentId,
    AgentStatus,
    CallId,
    Client,
    ClientId,
    OfferId,
    Outcome,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Strategy,
    Team,
)
from router.core.months import Place
from router.core.moves import Stage
from router.core.queues import Queue
from router.core.shares import ContractRecord, DayRecord
from router.core.tallies import AnswerRecord
from router.core.values import Block, GroupKey, Requirement, Step

__all__ = [
    "HISTORY_MAX",
    "NEVER_MS",
    "AgentRecord",
    "CallRecord",
    "Group",
    "Member",
    "Offer",
    "Plan",
    "PortfolioRecord",
    "Ring",
    "SiteRecord",
    "TeamRecord",
]  # fmt: skip

NEVER_MS: Final = 1 << 43
"""A moment that does not come: the year 2248."""


# --- Kinds of calls and groups of agents ---------------------------------------------------------------------------


class Group:
    """Agents alike, those of them who are idle, and the calls that reach them now."""

    __slots__ = (
        "country", "early", "idle", "idle_by_occupancy", "key", "levels", "place", "staffed", "team", "waiting",
    )  # fmt: skip

    def __init__(self, key: GroupKey, team: "TeamRecord") -> None:
        self.key = key
        # Of the key, for each offer and each answer: a named tuple takes its time to find a field.
        self.country = key.country
        self.place: Place = key[:4]
        self.team = team
        self.levels = dict(key.skills)
        self.idle: Queue[AgentRecord] = Queue()
        """By (idle since, 0, agent id)."""
        self.idle_by_occupancy: Queue[AgentRecord] | None = None
        """By (occupancy in millionths, idle since, agent id); kept only where a plan asks for it."""
        self.waiting: Queue[CallRecord] = Queue()
        """By (class, rank, call id); see `WaitingRoom`."""
        self.early: Queue[CallRecord] | None = None if team.keep_idle is None else Queue()
        """Alike: calls that may have these agents only while the team can spare some, and perhaps others."""
        self.staffed = 0
        """Signed in and not in a pause: idle or at work."""


class Member:
    """A group as a plan reaches it."""

    __slots__ = ("group", "hops", "score")

    def __init__(self, group: Group, score: int, hops: tuple[str, ...]) -> None:
        self.group = group
        self.score = score
        """What the strategy compares before idle time; smallest first."""
        self.hops = hops
        """The way from the portfolio to the agents, in words."""


class Ring:
    """Groups of equal reach."""

    __slots__ = ("members", "opens_ms")

    def __init__(self, opens_ms: int, members: tuple[Member, ...]) -> None:
        self.opens_ms = opens_ms
        """The wait after which these groups may be offered the call."""
        self.members = members


class Plan:
    """Whom a kind of call reaches, nearest ring first."""

    __slots__ = ("is_lost", "opens_ms", "portfolio_id", "requirement", "ring_of", "rings", "spare", "strategy")

    def __init__(
        self,
        portfolio_id: PortfolioId,
        requirement: Requirement,
        rings: tuple[Ring, ...],
        strategy: Strategy,
        *,
        spare: tuple[Member, ...] = (),
        is_lost: bool = False,
    ) -> None:
        self.portfolio_id = portfolio_id
        self.requirement = requirement
        self.rings = rings
        self.strategy = strategy
        self.spare = spare
        """Groups of later rings whose teams help at once while they can spare agents; best score first."""
        self.is_lost = is_lost
        """Whom it reached is not known any more: its portfolio left the organisation, and the router was restarted."""
        self.ring_of: dict[Group, tuple[int, Member]] = {
            member.group: (index, member) for index, ring in enumerate(rings) for member in ring.members
        }
        self.opens_ms: dict[Group, int | None] = {}
        """What `plans.opens_for` has found, of the groups of owners and backups."""


# --- Calls ---------------------------------------------------------------------------------------------------------


class Offer:
    """The last offer of a call; never changes.

    It does not name the call: only a garbage collection could free the two again.
    """

    __slots__ = ("agent", "expires_ms", "offer_id", "offered_ms", "path", "ring", "rule")

    def __init__(
        self,
        offer_id: OfferId,
        agent: "AgentRecord",
        offered_ms: int,
        expires_ms: int,
        rule: Rule,
        ring: int,
        path: tuple[str, ...],
    ) -> None:
        self.offer_id = offer_id
        self.agent = agent
        self.offered_ms = offered_ms
        self.expires_ms = expires_ms
        self.rule = rule
        self.ring = ring
        self.path = path

    def until(self, expires_ms: int) -> "Offer":
        """The same offer with another end."""
        return Offer(self.offer_id, self.agent, self.offered_ms, expires_ms, self.rule, self.ring, self.path)


# A call that is declined again and again must not grow without end; its last steps explain it best.
_STEPS_MAX: Final = 256


class CallRecord:
    """A call from its arrival on; kept for a while after its end, to explain it."""

    __slots__ = (
        "agent", "announced", "answer", "arrived_ms", "asked", "backups", "blocked", "call_id", "callback", "client",
        "client_id", "connected_ms", "decided_ms", "ended_ms", "found_by", "head_start_ms", "held_until_ms",
        "is_override", "is_place_met", "is_share_waived", "is_spill", "may_spill", "move", "navigation_ms", "offer",
        "outcome", "owner", "owner_on_shift", "place_requested_ms", "placed_ms", "plan", "portfolio", "promise",
        "queued_ms", "rank_ms", "rings_open", "rule", "stamp", "status", "steps", "timer", "work",
    )  # fmt: skip

    def __init__(
        self,
        call_id: CallId,
        *,
        client_id: ClientId | None,
        arrived_ms: int,
        head_start_ms: int,
        asked: Requirement,
    ) -> None:
        self.call_id = call_id
        self.client_id = client_id
        self.arrived_ms = arrived_ms
        self.head_start_ms = head_start_ms
        self.asked = asked
        """What the call itself asked for, without its portfolio's needs."""
        self.client: Client | None = None
        self.portfolio: PortfolioRecord
        self.found_by = ""
        self.plan: Plan
        self.rank_ms = 0
        self.queued_ms = arrived_ms
        self.status = CALL_WAITING
        self.callback = False
        self.navigation_ms: int | None = None
        """From dialling to the arrival, as the platform says."""
        self.owner: AgentRecord | None = None
        self.owner_on_shift = False
        """Whether the owner was signed in when the call arrived."""
        self.backups: tuple[AgentRecord, ...] = ()
        self.held_until_ms: int | None = None
        """The owner alone may take the call until then; None: not held."""
        self.rings_open = 0
        """How many rings of the plan the waiting call has reached."""
        self.placed_ms = arrived_ms
        """When the call last took its place in the queues."""
        self.blocked: dict[AgentId, Block] | None = None
        self.offer: Offer | None = None
        self.agent: AgentRecord | None = None
        """Who was offered the call last."""
        self.decided_ms: int | None = None
        """When the last offer was made."""
        self.rule: Rule | None = None
        """Why the call waits, or why it was offered to `agent`."""
        self.connected_ms: int | None = None
        """When the caller first spoke to an agent."""
        self.answer: AnswerRecord | None = None
        """What the present conversation counts with."""
        self.announced: str | None = None
        """The country that the caller was told last."""
        self.place_requested_ms: int | None = None
        """When the caller asked for an agent inside."""
        self.is_place_met = False
        self.is_share_waived = False
        """Nobody in the country was free in time: the share of the contract keeps the call from nobody any more."""
        self.is_override = False
        """The last offer goes abroad by that alone."""
        self.may_spill = False
        """Nobody was free in time where the move plan sends calls: it keeps the call from nobody any more."""
        self.is_spill = False
        """The last offer goes where it does by that alone."""
        self.move: tuple[Stage, SiteId] | None = None
        """Under a move plan, where the call is on its way to."""
        self.promise: tuple[ContractRecord, int] | None = None
        """What the call counts as under way abroad."""
        self.work: tuple[ContractRecord, DayRecord] | None = None
        """What the present conversation is work of."""
        self.ended_ms: int | None = None
        self.outcome: Outcome | None = None
        self.stamp = 0
        self.timer = 0
        self.steps: list[Step] = []

    def note(self, at_ms: int, what: str, agent_id: AgentId | None = None, offer_id: OfferId | None = None) -> None:
        """Remember what happened last."""
        # A list takes a third of the memory of a deque, and hardly any call ever has so many steps.
        self.steps.append(Step(at_ms, what, agent_id, offer_id))
        if len(self.steps) > _STEPS_MAX:
            del self.steps[0]

    @property
    def people(self) -> tuple["AgentRecord", ...]:
        """The owner and the backups, in order."""
        return self.backups if self.owner is None else (self.owner, *self.backups)

    def is_blocked(self, agent: "AgentRecord") -> bool:
        return self.blocked is not None and agent.agent_id in self.blocked


# --- Agents and what they belong to --------------------------------------------------------------------------------


class TeamRecord:
    """A team, with its times in milliseconds: each is asked for once a call or more."""

    __slots__ = (
        "connect_timeout_ms", "cooldown_ms", "handling", "idle", "keep_idle", "offer_timeout_ms", "own_first",
        "presence_lease_ms", "talk", "talk_lease_ms", "team", "team_id", "wrap_up_ms",
    )  # fmt: skip

    def __init__(self, team: Team) -> None:
        self.handling = RecentMean()
        self.idle = 0
        """How many of its agents are idle."""
        self.talk: TalkTimes | None = None
        """Learnt while some portfolio predicts the owner wait; None: not yet."""
        self.follow(team)

    def follow(self, team: Team) -> None:
        """Take over a new version of the team."""
        self.team = team
        self.team_id = team.team_id
        self.own_first = team.own_first
        self.keep_idle = team.keep_idle
        self.offer_timeout_ms = team.offer_timeout_s * 1000
        self.connect_timeout_ms = team.connect_timeout_s * 1000
        self.talk_lease_ms = team.talk_lease_s * 1000
        self.wrap_up_ms = team.wrap_up_s * 1000
        self.cooldown_ms = team.cooldown_s * 1000
        self.presence_lease_ms = team.presence_lease_s * 1000

    @property
    def can_spare(self) -> bool:
        """Whether more agents are idle than the team keeps for its own calls."""
        return self.keep_idle is not None and self.idle > self.keep_idle


class SiteRecord:
    __slots__ = ("seats", "site", "taken")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.taken = 0
        """Of the seats that count, named or not."""
        self.seats: dict[str, AgentId] = {}

    def follow(self, site: Site) -> None:
        """Take over a new version of the site. Whoever sits here sits on, also beyond the seats."""
        self.taken += sum(map(site.counts, self.seats)) - sum(map(self.site.counts, self.seats))
        self.site = site


class PortfolioRecord:
    __slots__ = (
        "arrived",
        "company",
        "hang_ups",
        "head_start_ms",
        "outcomes",
        "owner_team_id",
        "portfolio",
        "portfolio_id",
        "waiting",
    )

    def __init__(self, portfolio: Portfolio, company: str) -> None:
        self.portfolio_id = portfolio.portfolio_id
        self.follow(portfolio, company)
        self.waiting: list[tuple[int, CallId]] = []
        """Waiting calls as (rank, call id), sorted: the position in the queue is an index into it."""
        self.arrived = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.hang_ups = HangUps()
        """Learnt while the portfolio predicts the owner wait."""

    def follow(self, portfolio: Portfolio, company: str) -> None:
        """Take over a new version of the portfolio."""
        self.portfolio = portfolio
        self.company = company
        """Whose calls these are."""
        self.owner_team_id = portfolio.teams[0].team_id
        self.head_start_ms = portfolio.head_start_s * 1000


# An hour's worth of a busy agent's states, enough to explain any offer that is still remembered in practice.
HISTORY_MAX: Final = 128


class AgentRecord:
    __slots__ = (
        "agent", "agent_id", "busy_ms", "busy_since_ms", "call", "country", "deadline_ms", "entry", "entry_ms",
        "group", "handling", "held", "history", "idle_since_ms", "is_suspect", "lease_ms", "lease_timer",
        "lease_until_ms", "leaving", "misses", "next_reason", "occupancy_ppm", "personal", "reason", "removed",
        "seat", "sequence", "session", "signed_in_ms", "site", "stage", "stamp", "status", "talk", "team",
        "timer",
    )  # fmt: skip

    def __init__(self, agent: Agent, team: TeamRecord, group: Group) -> None:
        self.agent = agent
        self.agent_id = agent.agent_id
        self.team = team
        self.group = group
        self.status = AGENT_SIGNED_OUT
        self.reason: str | None = None
        """Why the agent is not ready."""
        self.next_reason: str | None = None
        """Set while at work: the pause that follows."""
        self.leaving = False
        """Set while at work: the agent signs out when the call is done."""
        self.removed = False
        """No longer in the organisation; forgotten when signed out."""
        self.site: SiteRecord | None = None
        """Where the agent holds a seat."""
        self.seat: str | None = None
        self.country: str | None = None
        self.signed_in_ms = 0
        self.idle_since_ms = 0
        """The end of the last handled call's wrap-up, or sign-in: declining or missing an offer does not change it."""
        self.occupancy_ppm = 0
        """Share of the signed-in time spent on calls, when the agent last became idle."""
        self.busy_ms = 0
        self.busy_since_ms = 0
        self.misses = 0
        """In a row."""
        self.call: CallRecord | None = None
        """The call offered to the agent or at the agent."""
        self.personal: Queue[CallRecord] | None = None
        """Waiting calls of clients whose owner or backup this is, as in `Group.waiting`."""
        self.held: dict[CallId, CallRecord] = {}
        """Calls that wait for this owner alone."""
        self.handling = RecentMean()
        self.talk: TalkTimes | None = None
        """As `TeamRecord.talk`."""
        self.stage: Stage | None = None
        """What counts the handling of the last call until its wrap-up is over."""
        self.stamp = 0
        self.timer = 0
        self.deadline_ms = 0
        """When the present status ends by itself: offer, connecting, talk lease or wrap-up."""
        self.entry = 0
        """Of the deadlines, the number of the entry that stands for the end of the status; 0: none does."""
        self.entry_ms = 0
        self.lease_timer = 0
        self.lease_until_ms = 0
        self.lease_ms: int | None = None
        """As the desktop promised; None: as the team says."""
        self.sequence: int | None = None
        """Of the last report of presence that had one."""
        self.session: str | None = None
        """The desktop's connection that was heard from last."""
        self.is_suspect = False
        """The desktop has vanished, and nothing was heard since."""
        self.history: list[tuple[int, AgentStatus, str | None]] = []
        """(since, status, reason), oldest first; the last `HISTORY_MAX` of them count."""

    def sign_in(self, now_ms: int) -> None:
        """Start a new session: what is counted by session starts afresh."""
        self.signed_in_ms = self.idle_since_ms = now_ms
        self.busy_ms = self.misses = self.occupancy_ppm = 0
        self.leaving = self.is_suspect = False
        self.next_reason = None

    @property
    def is_free(self) -> bool:
        """Idle and in the queue for calls; an agent just freed is idle before it has looked for its next call."""
        return self.stamp != 0
