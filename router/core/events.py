"""What happened: the inputs of the engine, in the past tense.

Events name facts that a platform, an agent's desktop or operations reported. The engine alone decides what follows
from them. Every event is frozen and carries its type as ``type`` on the wire (`router.wire`).
"""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from router.core.model import (
    AgentId,
    CallId,
    ClientId,
    Country,
    Language,
    Limits,
    OfferId,
    OrganisationDescription,
    PlainId,
    PortfolioId,
    SiteId,
    SkillNeed,
)

__all__ = [
    "AgentEvent", "AgentNotReady", "AgentReady", "AgentRefreshed", "AgentSignedIn", "AgentSignedOut",
    "AgentSuspected", "CallAbandoned", "CallArrived", "CallConnected", "CallEnded", "CallEvent", "CallRefreshed",
    "CallTransferred", "CallbackRequested", "ConnectFailed", "Event", "LiveAgent", "LiveCall", "OfferAccepted",
    "OfferDeclined", "OfferMissed", "OrganisationChanged", "PlaceRequested", "PlanAdvanceRequested", "PlanEvent",
    "PlanHoldRequested", "PlanRollbackRequested", "PlatformResynced", "PresenceEvent",
    "RouterResumed", "ShareAdjusted", "TimePassed", "snake_case",
]  # fmt: skip


def snake_case(name: str) -> str:
    """``CallArrived`` -> ``call_arrived``: the tag of a type on the wire and in metrics."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


# Of strings, numbers and tuples of them, so never part of a cycle: garbage collection need not look at them.
class Event(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case, gc=False):
    """Something that happened."""


class CallEvent(Event, frozen=True, kw_only=True):
    """Something that happened to a call."""

    call_id: Annotated[CallId, PlainId]


class AgentEvent(Event, frozen=True, kw_only=True):
    """Something that an agent, or the agent's desktop, did."""

    agent_id: Annotated[AgentId, PlainId]


class CallArrived(CallEvent, frozen=True, kw_only=True):
    """A caller asks for an agent. The client is found by ``client_id``, else by ``caller``.

    A call whose client or portfolio is not known goes to the portfolio of its segment, else to the default
    portfolio: nobody is turned away for being unknown.
    """

    client_id: Annotated[ClientId, PlainId] | None = None
    caller: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Pseudonym of the caller's number; None: withheld. The number itself never enters the engine."""
    portfolio_id: Annotated[PortfolioId, PlainId] | None = None
    segment: Annotated[str, PlainId] | None = None
    skills: Annotated[tuple[SkillNeed, ...], Meta(max_length=16)] = ()
    """Needed on top of what the portfolio needs."""
    language: Language | None = None
    countries: Annotated[tuple[Country, ...], Meta(max_length=64)] = ()
    """Where the agent may sit; empty: anywhere the portfolio allows."""
    head_start_s: Annotated[int, Meta(ge=-86_400, le=86_400)] = 0
    navigation_ms: Annotated[int, Meta(ge=0, le=3_600_000)] | None = None
    """From dialling to the moment at which an agent could be asked for; None: the platform does not say."""


class CallAbandoned(CallEvent, frozen=True, kw_only=True):
    """The caller hung up."""


class CallConnected(CallEvent, frozen=True, kw_only=True):
    """Caller and agent hear each other."""

    announced: Country | None = None
    """The country that the caller was told before; None: the caller was told nothing."""


class CallEnded(CallEvent, frozen=True, kw_only=True):
    """The call is over. Also cancels a call-back that still waits."""


class CallRefreshed(CallEvent, frozen=True, kw_only=True):
    """The call goes on: renews its talk lease."""


class CallTransferred(CallEvent, frozen=True, kw_only=True):
    """The agent passes the caller on. The call keeps its first arrival and never returns to this agent."""

    portfolio_id: Annotated[PortfolioId, PlainId] | None = None
    """None: the portfolio it has."""
    skills: Annotated[tuple[SkillNeed, ...], Meta(max_length=16)] | None = None
    """None: the skills it needed before."""
    language: Language | None = None


class CallbackRequested(CallEvent, frozen=True, kw_only=True):
    """The caller would rather be called back: the call keeps its place and the line is free."""


class PlaceRequested(CallEvent, frozen=True, kw_only=True):
    """The caller asks for an agent inside of the area of `model.PlacePolicy`. Saying so twice does no harm.

    It may come at any time of the call: an agent outside who has the call, or is offered it, gives it back, and the
    call looks for somebody inside with the arrival it had, before ordinary calls.
    """


class ConnectFailed(CallEvent, frozen=True, kw_only=True):
    """The accepted call could not be put through; it returns to its place."""


class PresenceEvent(AgentEvent, frozen=True, kw_only=True):
    """A report of an agent's presence: a sign of life."""

    sequence: Annotated[int, Meta(ge=0, le=(1 << 62) - 1)] | None = None
    """Larger in each report of this agent's presence, across restarts of the desktop too, such as milliseconds since
    the epoch: one that is not larger than the last is refused as stale. None: reports come in order."""
    session: Annotated[str, PlainId] | None = None
    """The desktop's connection: tells whose last will an `AgentSuspected` is."""
    lease_s: Annotated[int, Meta(ge=10, le=86_400)] | None = None
    """The desktop promises to be heard from within so long, from now on; None: as before, else as the team says."""


class AgentSignedIn(PresenceEvent, frozen=True, kw_only=True):
    """An agent took a seat. Not ready until the agent says so."""

    site_id: Annotated[SiteId, PlainId] | None = None
    """None: the agent's own site."""
    seat: Annotated[str, PlainId] | None = None
    country: Country | None = None
    """Set when the agent works from home: the country in which the agent sits. Takes no seat of the site."""


class AgentReady(PresenceEvent, frozen=True, kw_only=True):
    """The agent can take a call; ends a break or the wrap-up."""


class AgentNotReady(PresenceEvent, frozen=True, kw_only=True):
    """The agent cannot take calls, at once or when the present call is done."""

    reason: Annotated[str, PlainId] = "break"


class AgentSignedOut(PresenceEvent, frozen=True, kw_only=True):
    """The agent left, at once or when the present call is done."""


class AgentRefreshed(PresenceEvent, frozen=True, kw_only=True):
    """The agent is still there: renews the presence lease, and clears a suspicion."""


class AgentSuspected(AgentEvent, frozen=True, kw_only=True):
    """The agent's desktop has vanished, as its last will says. Not signed out: it may be back in a moment.

    Until then the agent is offered no more calls; a conversation goes on.
    """

    session: Annotated[str, PlainId] | None = None
    """The connection that vanished; refused as stale if the agent has been heard from on another since."""


class _OfferAnswered(AgentEvent, frozen=True, kw_only=True):
    call_id: Annotated[CallId, PlainId]
    offer_id: Annotated[OfferId, PlainId]


class OfferAccepted(_OfferAnswered, frozen=True, kw_only=True):
    """The agent takes the call. Saying so twice does no harm."""


class OfferDeclined(_OfferAnswered, frozen=True, kw_only=True):
    """The agent refuses the call."""


class OfferMissed(_OfferAnswered, frozen=True, kw_only=True):
    """The agent's phone rang out."""


class LiveCall(Struct, frozen=True, kw_only=True):
    """A call that a platform has."""

    call_id: Annotated[CallId, PlainId]
    agent_id: Annotated[AgentId, PlainId] | None = None
    """Who speaks to the caller; None: nobody."""


class LiveAgent(Struct, frozen=True, kw_only=True):
    """An agent whom a platform has signed in."""

    agent_id: Annotated[AgentId, PlainId]
    ready: bool
    """Wants calls; one who is at work is ready unless a pause was asked for."""


class PlatformResynced(Event, frozen=True, kw_only=True):
    """The platform's own list of all its calls and agents, after a time in which one side may have missed the other.

    What the router has and the list has not is over; live offers are made again. What the router lacks it asks for,
    see `decisions.AnswerResync`.
    """

    calls: Annotated[tuple[LiveCall, ...], Meta(max_length=20_000)] = ()
    """Without call-backs that wait: nobody is on their line."""
    agents: Annotated[tuple[LiveAgent, ...], Meta(max_length=20_000)] = ()


Text = Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")
"""A line of text for people."""


class ShareAdjusted(Event, frozen=True, kw_only=True):
    """Somebody corrects what was counted for a contract on one day, in one country. It stays beside the counts."""

    contract_id: Annotated[str, PlainId]
    day: date
    """In the time zone of the contract."""
    country: Country
    calls: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    """So many more, or fewer."""
    talk_ms: Annotated[int, Meta(ge=-(10**12), le=10**12)] = 0
    agent_ms: Annotated[int, Meta(ge=-(10**12), le=10**12)] = 0
    reason: Annotated[str, Text]
    """Kept and printed for good: it names no client and holds no number of one."""
    made_by: Annotated[str, Text]


class PlanEvent(Event, frozen=True, kw_only=True):
    """Operations want something of a move plan."""

    move_plan_id: Annotated[str, PlainId]
    by: Annotated[str, PlainId]
    """Who wants it; kept with the plan's history."""


class PlanHoldRequested(PlanEvent, frozen=True, kw_only=True):
    """The plan is to stand still until it is told to advance."""


class PlanAdvanceRequested(PlanEvent, frozen=True, kw_only=True):
    """A hold is to end, and the next step to be taken if its day has come and its gate passes."""

    override: bool = False
    """Take the next step whatever its day and its gate."""


class PlanRollbackRequested(PlanEvent, frozen=True, kw_only=True):
    """The last step is to be undone, and the plan to stand still until it is told to advance.

    Refused where the shares of the step before would break the share of a contract.
    """

    override: bool = False
    """Even so."""


class OrganisationChanged(Event, frozen=True, kw_only=True):
    """A new version of the organisation takes effect. Waiting calls keep their rank and follow it."""

    description: OrganisationDescription


class RouterResumed(Event, frozen=True, kw_only=True):
    """The router is back after a stop: live offers and leases start afresh, so nobody pays for its absence."""

    epoch: int
    """The claim under which it runs from now on; part of every decision's id."""
    limits: Limits | None = None
    """Those of its settings, since they too decide what is refused; None: as before."""


class TimePassed(Event, frozen=True, kw_only=True):
    """Deadlines have been served up to now. Only the journal has it: what was published must happen in a replay."""

    digest: bytes | None = None
    """Over all that had been decided before; None: written before there were digests."""
