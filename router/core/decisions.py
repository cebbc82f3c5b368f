"""What to do now: the outputs of the engine, as orders to the platform.

Every decision says which rule made it; decisions about a call also carry how long it had waited, the ring and
the path through the organisation that led to the agent.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from router.core.events import snake_case
from router.core.model import AgentId, CallId, ClientId, FallbackKind, OfferId, PortfolioId

__all__ = [
    "AnswerResync", "CallDecision", "ConnectCall", "Decision", "EndCall", "FallbackCall", "OfferCall", "PauseAgent",
    "QueueCall", "ReleaseAgent", "ReportPlan", "Rule", "SignOutAgent", "WithdrawOffer",
]  # fmt: skip


class Rule(StrEnum):
    """The rule that decided. A closed set, so that it can label a metric."""

    # Why this agent, for an offer.
    OWNER = "owner"
    BACKUP = "backup"
    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    MOST_SKILLED = "most_skilled"
    LEAST_FLEXIBLE = "least_flexible"
    IDLEST_TEAM = "idlest_team"
    SPARE = "spare"
    """More of the team's agents were idle than it keeps for its own calls, so that it helps before its ring opens."""
    OWN_PORTFOLIO = "own_portfolio"
    """The freed agent's team owns the portfolio and serves its own first."""
    RANK = "rank"
    """The freed agent took the call of the smallest rank."""

    SHARE_OVERRIDE = "share_override"
    """Nobody in the country was free in time, so the call goes abroad although the share of the contract forbids it."""

    SPILL = "spill"
    """Nobody at a site that is short of calls was free in time, so the call goes where the move plan sends no more."""

    # Why the call waits.
    OWNER_HOLD = "owner_hold"
    ALL_BUSY = "all_busy"
    NOBODY_SIGNED_IN = "nobody_signed_in"
    NOT_YET = "not_yet"
    """Agents are idle, but in rings that open later."""
    SHARE = "share"
    """Agents abroad are idle, but the share of the contract does not allow another call there."""
    GUARANTEE = "guarantee"
    """Agents outside are idle, but too few inside are left for callers who may ask for one."""
    PLAN = "plan"
    """Agents are idle, but at sites that have had their share of calls in the present step of the move plan."""

    # Why an offer, a call or an agent's state came to an end.
    ACCEPTED = "accepted"
    ABANDONED = "abandoned"
    DECLINED = "declined"
    MISSED = "missed"
    OFFER_EXPIRED = "offer_expired"
    AGENT_NOT_READY = "agent_not_ready"
    AGENT_SIGNED_OUT = "agent_signed_out"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECT_FAILED = "connect_failed"
    CALLBACK_REQUESTED = "callback_requested"
    PLACE_REQUESTED = "place_requested"
    """The caller has asked for an agent inside."""
    WRAP_UP_OVER = "wrap_up_over"
    TALK_LEASE_EXPIRED = "talk_lease_expired"
    PRESENCE_LEASE_EXPIRED = "presence_lease_expired"
    MISSES = "misses"
    REMOVED = "removed"
    """The agent is not in the new version of the organisation."""
    RESYNC = "resync"
    """The platform's own list of calls and agents says so."""
    REORGANISED = "reorganised"
    """The new version of the organisation no longer lets this agent have this call."""

    # Why a fallback.
    MAX_WAIT = "max_wait"
    CLOSED = "closed"
    UNSERVABLE = "unservable"
    """No agent of the organisation meets what the call needs."""
    CALLBACK_EXPIRED = "callback_expired"

    # What became of a move plan.
    STEP_TAKEN = "step_taken"
    """The step's day has come and its gate has passed."""
    GATE_FAILED = "gate_failed"
    """The step's day has come, but its gate has not passed: the plan stands still."""
    GATE_OVERRIDE = "gate_override"
    """The step was taken on somebody's word, before its day or without its gate."""
    PLAN_HELD = "plan_held"
    PLAN_RELEASED = "plan_released"
    STEP_ROLLED_BACK = "step_rolled_back"


# Of strings, numbers and tuples of them, so never part of a cycle: garbage collection need not look at them.
class Decision(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case, gc=False):
    """Something to do. ``path`` reads from the client, or the team, to the agent."""

    rule: Rule
    path: tuple[str, ...] = ()


class CallDecision(Decision, frozen=True, kw_only=True):
    """Something to do with a call."""

    call_id: CallId
    wait_ms: Annotated[int, Meta(ge=0)]
    """Since the call first arrived."""
    ring: int | None = None
    """0 for the owner and backups; then 1, 2, ... outwards by reach. None where no ring played a part."""


class OfferCall(CallDecision, frozen=True, kw_only=True):
    """Offer the call to the agent until ``expires_at_ms``."""

    offer_id: OfferId
    agent_id: AgentId
    expires_at_ms: int
    portfolio_id: PortfolioId
    client_id: ClientId | None = None
    agent_country: str
    """Where the agent sits; settled for this call when it is answered."""
    announcement: str | None = None
    """What to tell the caller before the conversation, by its name; None: nothing, or it has been told."""
    offers_choice: bool = False
    """The agent sits outside: the caller is told that they may ask for one inside (`events.PlaceRequested`)."""
    callback: bool = False
    """The caller is not on the line: on acceptance, dial the client."""


class WithdrawOffer(CallDecision, frozen=True, kw_only=True):
    """Stop offering the call to the agent, or take back the accepted call."""

    offer_id: OfferId
    agent_id: AgentId


class ConnectCall(CallDecision, frozen=True, kw_only=True):
    """Put caller and agent through. Repeated when an acceptance is repeated. The places are as in `OfferCall`."""

    offer_id: OfferId
    agent_id: AgentId
    agent_country: str
    announcement: str | None = None
    offers_choice: bool = False
    callback: bool = False


class QueueCall(CallDecision, frozen=True, kw_only=True):
    """Let the caller wait."""

    portfolio_id: PortfolioId
    position: int
    """1 is next among the waiting calls of the portfolio."""
    expected_wait_ms: int | None
    """An estimate, see `matching.expected_wait_ms`; None while nobody who could answer is signed in."""
    detail: str = ""
    """In words, for a call held for its owner whose wait is predicted: what was weighed."""


class FallbackCall(CallDecision, frozen=True, kw_only=True):
    """Send the call to its portfolio's declared fallback.

    A ``portfolio`` fallback and a ``callback`` one stay with the router; for a ``number`` and a ``message`` the call
    is over as far as the router is concerned.
    """

    kind: FallbackKind
    target: str


class EndCall(CallDecision, frozen=True, kw_only=True):
    """Take the call as over: its talk lease ran out."""

    agent_id: AgentId


class PauseAgent(Decision, frozen=True, kw_only=True):
    """The agent missed too many offers in a row and gets no more until saying `AgentReady`."""

    agent_id: AgentId
    misses: int


class ReleaseAgent(Decision, frozen=True, kw_only=True):
    """The agent's wrap-up is over; the agent is ready for calls, or in the pause asked for (``ready`` false)."""

    agent_id: AgentId
    ready: bool


class SignOutAgent(Decision, frozen=True, kw_only=True):
    """The agent counts as signed out."""

    agent_id: AgentId


class AnswerResync(Decision, frozen=True, kw_only=True):
    """What the platform's list and the router did not agree on."""

    unknown_calls: tuple[CallId, ...]
    """The router does not have them: report their arrival."""
    over_calls: tuple[CallId, ...]
    """The router has taken them as over: end them, or report them as new calls under new ids."""
    disputed_calls: tuple[CallId, ...]
    """The two do not agree on who speaks to the caller: end or transfer them."""
    ended_calls: tuple[CallId, ...]
    """They were not in the list, so that the router has taken them as over."""
    unknown_agents: tuple[AgentId, ...]
    """Signed out for the router, or not in the organisation: sign them in."""
    signed_out_agents: tuple[AgentId, ...]
    """They were not in the list, so that the router has signed them out, or will after their call."""


class ReportPlan(Decision, frozen=True, kw_only=True):
    """A move plan has gone on, has gone back or stands still. For people: the router has done what is to be done."""

    move_plan_id: str
    step_id: str | None
    """The last step in force; None: none is."""
    next_step_id: str | None
    """None: all are in force."""
    by: str | None = None
    """Who wanted it so; None: the plan itself."""
    detail: str = ""
    """In words, such as what the gate found."""
