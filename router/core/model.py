"""The nouns: what an organisation is made of, and the states of calls and agents.

Everything here is frozen. What changes while the router runs lives in `state.py` and has one owner, the
engine. The rows of an organisation carry ``where``, the file and row they were read from, so that a problem
found later can still be shown where it can be mended.
"""

from datetime import date, time
from enum import StrEnum
from typing import Annotated, NewType

from msgspec import Meta, Struct

__all__ = [
    "LEVEL_MAX",
    "Agent",
    "AgentId",
    "AgentStatus",
    "Area",
    "BasisPoints",
    "CallId",
    "CallStatus",
    "Client",
    "ClientId",
    "Contract",
    "Fallback",
    "FallbackKind",
    "Hours",
    "Id",
    "Limits",
    "Link",
    "Membership",
    "MinutesAMonth",
    "MovePlan",
    "MoveStep",
    "OfferId",
    "OrganisationDescription",
    "Outcome",
    "OwnerMode",
    "OwnerWait",
    "Ownership",
    "PlacePolicy",
    "PlainId",
    "Portfolio",
    "PortfolioId",
    "Quality",
    "Relaxation",
    "Segment",
    "ShareLimit",
    "SharePeriod",
    "ShareUnit",
    "Site",
    "SiteId",
    "Skill",
    "SkillNeed",
    "Strategy",
    "Supplier",
    "SupplierId",
    "Team",
    "TeamId",
    "Weekday",
]  # fmt: skip

CallId = NewType("CallId", str)
ClientId = NewType("ClientId", str)
AgentId = NewType("AgentId", str)
TeamId = NewType("TeamId", str)
PortfolioId = NewType("PortfolioId", str)
SiteId = NewType("SiteId", str)
SupplierId = NewType("SupplierId", str)
OfferId = NewType("OfferId", str)
Skill = NewType("Skill", str)

# Ids become levels of MQTT topics and keys of indexes, so neither `/`, `+`, `#` nor white space is allowed, and
# 64 characters hold a UUID with room to spare. `\Z`, because `$` would let a trailing newline pass.
Id = Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:@-]+\Z")
PlainId = Meta(min_length=1, max_length=64, description="an id")
"""As `Id`, for events: that the characters are those is checked in `wire`, where strangers' events come in. Here it
would be checked again for each record that a start reads, and cost it a twentieth."""
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z", description="ISO 3166-1 alpha-2 code")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}\Z", description="ISO 639 code")]

LEVEL_MAX = 10
"""Skill levels run from 1 to this, larger is better."""
Level = Annotated[int, Meta(ge=1, le=LEVEL_MAX)]
# A week in seconds: longer waits in a configuration are slips of the keyboard.
Seconds = Annotated[int, Meta(ge=0, le=604_800)]
# No client can talk for longer than 31 days of 24 hours.
MinutesAMonth = Annotated[int, Meta(ge=0, le=44_640)]


class CallStatus(StrEnum):
    WAITING = "waiting"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    CONNECTED = "connected"
    ENDED = "ended"


class AgentStatus(StrEnum):
    SIGNED_OUT = "signed_out"
    NOT_READY = "not_ready"
    IDLE = "idle"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    IN_CALL = "in_call"
    WRAP_UP = "wrap_up"


class Outcome(StrEnum):
    """How a call ended. Every call ends in exactly one of these."""

    CONNECTED = "connected"
    CALLED_BACK = "called_back"
    ABANDONED = "abandoned"
    FALLBACK = "fallback"
    CALLBACK_CANCELLED = "callback_cancelled"


class Strategy(StrEnum):
    """Who is asked first among idle agents of one ring. Ties: longest idle, then agent id."""

    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    MOST_SKILLED = "most_skilled"
    LEAST_FLEXIBLE = "least_flexible"
    IDLEST_TEAM = "idlest_team"


class OwnerMode(StrEnum):
    PREFER = "prefer"
    STRICT = "strict"


class OwnerWait(StrEnum):
    """What decides whether a call is held for a busy owner who is preferred; see `core.holds`."""

    FIXED = "fixed"
    """Whether the owner is expected within ``owner_wait_s``."""
    PREDICTED = "predicted"
    """Whether the wait is likely to pay."""


class FallbackKind(StrEnum):
    PORTFOLIO = "portfolio"
    NUMBER = "number"
    CALLBACK = "callback"
    MESSAGE = "message"


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Relaxation(Struct, frozen=True, forbid_unknown_fields=True):
    """After ``after_s`` of waiting, ``level`` is enough. Level 0 waives the skill."""

    after_s: Seconds
    level: Annotated[int, Meta(ge=0, le=LEVEL_MAX)]


class SkillNeed(Struct, frozen=True):
    """A skill that the agent must have, at least at ``level``, relaxed over time where stated."""

    skill: Annotated[Skill, Id]
    level: Level = 1
    relax: Annotated[tuple[Relaxation, ...], Meta(max_length=8)] = ()


class Site(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place where agents sit."""

    site_id: Annotated[SiteId, Id]
    country: Country | None = None
    """None: agents work from many places, and each says at sign-in in which country; nobody else can sign in."""
    time_zone: str = "Europe/Rome"
    seats: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """How many may be signed in at once; None: as many as come."""
    training_rooms: tuple[Annotated[str, Id], ...] = ()
    """Beginnings of seats' names: seats called so are not counted among ``seats``."""
    closed_on: tuple[date, ...] = ()
    """Nobody is expected here on these days. For planning alone: whoever signs in all the same is offered calls."""
    where: str = ""

    def counts(self, seat: str | None) -> bool:
        """Whether whoever sits on *seat* takes one of ``seats``; so does who names no seat."""
        return seat is None or not seat.startswith(self.training_rooms)


class Supplier(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who employs the agents: the operator itself, or an outsourcer."""

    supplier_id: Annotated[SupplierId, Id]
    name: str = ""
    in_house: bool = True
    where: str = ""


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """An edge of the organisation to a team, open once a call has waited ``after_s``."""

    team_id: Annotated[TeamId, Id]
    after_s: Seconds = 0


class Team(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A working group of agents, and how calls are offered to them."""

    team_id: Annotated[TeamId, Id]
    site_id: Annotated[SiteId, Id]
    supplier_id: Annotated[SupplierId, Id]
    strategy: Strategy = Strategy.LONGEST_IDLE
    own_first: bool = False
    """A freed agent takes calls of own clients, then of portfolios owned by the team, before rank decides."""
    keep_idle: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    """While more of its agents than this are idle, the team helps at once where it would help after a wait."""
    backups: tuple[Link, ...] = ()
    # 20 s is four to five rings of a phone.
    offer_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 20
    connect_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 30
    cooldown_s: Seconds = 30
    """After a decline or a miss, this agent is not offered this call again for so long."""
    misses_max: Annotated[int, Meta(ge=1, le=100)] = 3
    """So many offers missed in a row pause the agent."""
    wrap_up_s: Annotated[int, Meta(ge=0, le=3_600)] = 30
    handling_s: Annotated[int, Meta(ge=1, le=14_400)] = 300
    """Mean handling time assumed until calls have been measured."""
    talk_lease_s: Annotated[int, Meta(ge=60, le=86_400)] = 7_200
    """A connected call of which nothing is heard for so long is taken to have ended."""
    # Longer than any shift: platforms that send no sign of life in between lose nobody at work.
    presence_lease_s: Annotated[int, Meta(ge=10, le=86_400)] = 43_200
    """A signed-in agent of whom nothing is heard for so long is signed out."""
    # A desktop that lost its network for a moment is back within seconds.
    suspect_s: Annotated[int, Meta(ge=1, le=3_600)] = 30
    """A suspect agent, whose desktop has vanished, is signed out when nothing is heard for so long."""
    where: str = ""


class Fallback(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a call goes that cannot be served in time. ``target``: a portfolio id, a number, or the text's name."""

    kind: FallbackKind
    target: str = ""


class Hours(Struct, frozen=True, forbid_unknown_fields=True):
    """Opening hours on some weekdays, local time, closing time excluded. ``closes`` 00:00 means midnight."""

    days: tuple[Weekday, ...]
    opens: time
    closes: time


class Portfolio(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A book of clients and who answers for it: the first team is the owner team."""

    portfolio_id: Annotated[PortfolioId, Id]
    teams: tuple[Link, ...]
    skills: tuple[SkillNeed, ...] = ()
    language: Language | None = None
    countries: tuple[Country, ...] = ()
    head_start_s: Annotated[int, Meta(ge=-86_400, le=86_400)] = 0
    owner_mode: OwnerMode = OwnerMode.PREFER
    owner_wait: OwnerWait = OwnerWait.FIXED
    owner_wait_s: Seconds = 0
    """A call is held for its owner for so long at most, from its arrival."""
    owner_worth_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Where the wait is predicted: so many seconds of a caller's wait an answer by the owner is worth."""
    hang_up_cost_s: Seconds = 60
    """Where the wait is predicted: a caller who hangs up counts as if having waited so much longer."""
    max_wait_s: Seconds | None = 900
    """After so long in the queue the call goes to ``fallback``; None: it waits as long as the caller does."""
    fallback: Fallback = Fallback(FallbackKind.MESSAGE)
    callback_max_wait_s: Seconds = 172_800
    """A call-back that could not be made for so long (two days) goes to a message."""
    company: Annotated[str, Id] | None = None
    """The client company whose calls these are; None: that of the organisation."""
    hours: tuple[Hours, ...] = ()
    """Empty: always open."""
    closed_on: tuple[date, ...] = ()
    time_zone: str = "Europe/Rome"
    where: str = ""


class Segment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which portfolio takes the unknown callers of a market segment."""

    segment: Annotated[str, Id]
    portfolio_id: Annotated[PortfolioId, Id]
    where: str = ""


class Quality(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What waits are counted against from now on, and the limits that reports compare with."""

    # "80 in 20" is the usual contract, and 20 s the threshold of the Italian regulator too (AGCOM 255/24/CONS).
    within_s: Annotated[int, Meta(ge=1, le=3_600)] = 20
    """A wait up to this is a good one."""
    short_abandon_s: Annotated[int, Meta(ge=0, le=3_600)] = 5
    """Whoever hangs up within this may have dialled wrongly."""
    wait_mean_max_s: Annotated[int, Meta(ge=0, le=3_600)] | None = None
    """What the mean wait may be at most; None: nothing is asked of it."""
    within_share_min_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    """How many of a hundred answered callers must have waited ``within_s`` at most; None: as above."""


class Agent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person who answers calls."""

    agent_id: Annotated[AgentId, Id]
    team_id: Annotated[TeamId, Id]
    skills: dict[Annotated[Skill, Id], Level] = {}
    languages: tuple[Language, ...] = ()
    site_id: Annotated[SiteId, Id] | None = None
    """None: the team's site."""
    supplier_id: Annotated[SupplierId, Id] | None = None
    """None: the team's supplier."""
    after_s: Seconds = 0
    """The edge from the team to this agent: a reserve is asked only after so long."""
    contract_until: date | None = None
    """The last day (included) of a fixed-term contract, for planners; routing takes no notice of it."""
    where: str = ""


class Ownership(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who answers for a client from ``valid_from`` (included) to ``valid_until`` (excluded), by UTC day."""

    owner: Annotated[AgentId, Id] | None = None
    backups: Annotated[tuple[Annotated[AgentId, Id], ...], Meta(max_length=8)] = ()
    valid_from: date | None = None
    valid_until: date | None = None


class Client(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A person or firm, the portfolio it belongs to, and the agents who answer for it."""

    client_id: Annotated[ClientId, Id]
    portfolio_id: Annotated[PortfolioId, Id] | None = None
    """None: the client has no portfolio yet; its calls go to the default portfolio."""
    ownerships: tuple[Ownership, ...] = ()
    callers: tuple[str, ...] = ()
    """Pseudonyms of the client's numbers, as `router.pseudonym` makes them; never the numbers themselves."""
    exclusions: tuple[Annotated[AgentId, Id], ...] = ()
    """These agents are never offered this client's calls."""
    minutes_a_month: MinutesAMonth | None = None
    """Work that the client is expected to make, for planners; routing takes no notice of it."""
    where: str = ""


class Membership(Struct, frozen=True, forbid_unknown_fields=True):
    """A country's belonging to an area from ``since`` (included) to ``until`` (excluded), by UTC day."""

    country: Country
    since: date | None = None
    until: date | None = None


class Area(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Countries that a rule treats alike, such as the European Union."""

    area_id: Annotated[str, Id]
    members: Annotated[tuple[Membership, ...], Meta(min_length=1, max_length=512)]
    where: str = ""


class PlacePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What callers are told of where the agent sits, and what they may ask for."""

    area_id: Annotated[str, Id]
    """A caller whose agent sits outside of it may ask for one inside, and gets one in the course of the same call."""
    announcement: Annotated[str, Meta(max_length=64)] = "agent-in-{country}"
    """The name of what is played before a conversation; ``{country}`` stands for the agent's."""
    guarantee_agents: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Agents outside are offered a call only while so many inside, who could take it, are at work and not needed for
    callers who have asked."""
    where: str = ""


class ShareUnit(StrEnum):
    """What the share of a contract is a share of."""

    CALLS = "calls"
    """Answered calls, each with its first answer."""
    SECONDS = "seconds"
    """Time of conversation, each part where it was spoken."""
    AGENT_HOURS = "agent_hours"
    """Time signed in. Which calls an agent is given does not change it, but decides whether calls may go abroad."""


class SharePeriod(StrEnum):
    """What the share is kept over; the counts start afresh with each, in local time."""

    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"
    CONTRACT = "contract"
    """From `Contract.valid_from` to its end."""


class ShareLimit(StrEnum):
    """What becomes of a call for which nobody in the country was free in time."""

    OVERFLOW = "overflow"
    """It may be answered abroad, as an override that is counted."""
    CALLBACK = "callback"
    REFUSE = "refuse"
    """It goes to the fallback of its portfolio."""


BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]


class Contract(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of its work for a client company a supplier does in the country.

    The target is ``target_bp`` or ``baseline_bp``, whichever is more, in hundredths of a percent.
    """

    contract_id: Annotated[str, Id]
    company: Annotated[str, Id]
    supplier_id: Annotated[SupplierId, Id]
    countries: Annotated[tuple[Country, ...], Meta(min_length=1, max_length=64)]
    """Work done by agents who sit here is done in the country."""
    target_bp: BasisPoints
    baseline_bp: BasisPoints = 0
    """A share that exists already and must not be reduced."""
    margin_bp: BasisPoints = 100
    """A call goes abroad only if the share would stay above the target by so much."""
    territory: Annotated[str, Meta(max_length=64)] = ""
    """What the countries are called when people read about them, such as "Italy"; empty: their codes."""
    unit: ShareUnit = ShareUnit.CALLS
    period: SharePeriod = SharePeriod.YEAR
    wait_s: Seconds = 60
    """How long a call waits for an agent in the country before ``then``."""
    then: ShareLimit = ShareLimit.OVERFLOW
    volume: Annotated[int, Meta(ge=1)] | None = None
    """Expected in a period, in its unit (seconds for agent hours), for the forecast; None: as much as so far."""
    amber_bp: Annotated[int, Meta(ge=0)] | None = None
    """None: half-way between the target and all."""
    red_bp: Annotated[int, Meta(ge=0)] = 10_000
    """The forecast warns when the share needed of what is still to come reaches these."""
    valid_from: date | None = None
    valid_until: date | None = None
    """Excluded; both are days in ``time_zone``."""
    time_zone: str = "Europe/Rome"
    where: str = ""

    @property
    def goal_bp(self) -> int:
        return max(self.target_bp, self.baseline_bp)

    @property
    def warning_bp(self) -> int:
        """From which share needed on the forecast is amber."""
        return (self.goal_bp + 10_000) // 2 if self.amber_bp is None else self.amber_bp


class MoveStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where calls are answered from a day on."""

    step_id: Annotated[str, Id]
    valid_from: date
    """The step is due at the midnight, in the plan's time zone, with which this day begins."""
    portfolio_id: Annotated[PortfolioId, Id] | None = None
    """None: all portfolios of the plan."""
    shares: dict[Annotated[SiteId, Id], BasisPoints]
    """By site, in hundredths of a percent; 10,000 in all."""
    agents_moved: Annotated[int, Meta(ge=0, le=1_000_000)]
    """Of the plan's agents, so many have moved once this step is in force."""


class MovePlan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Work that moves from site to site in dated steps, and what must hold before each.

    A step is taken when its day has come and its gate passes: for each portfolio that it concerns, enough calls were
    answered since the portfolio's last step, and they were answered about as well as before the move.
    """

    move_plan_id: Annotated[str, Id]
    portfolios: Annotated[tuple[Annotated[PortfolioId, Id], ...], Meta(min_length=1, max_length=256)]
    to_sites: Annotated[tuple[Annotated[SiteId, Id], ...], Meta(min_length=1, max_length=64)]
    """Where the work goes; what is answered here has moved."""
    deadline: date
    agents: Annotated[int, Meta(ge=1, le=1_000_000)]
    """How many are to move in all."""
    time_zone: str = "Europe/Rome"
    spill_after_s: Seconds = 30
    """A call for which nobody is idle at a site that is short of calls goes anywhere after so long in the queue."""
    calls_min: Annotated[int, Meta(ge=0, le=10_000_000)] = 200
    """Answered in the present step, of each portfolio that the next one concerns."""
    within_s: Annotated[int, Meta(ge=1, le=3_600)] = 20
    """A call that was answered within this was answered well."""
    within_target_bp: BasisPoints | None = None
    """How many of 10,000 are to be answered well; None: as many as before the first step."""
    within_tolerance_bp: BasisPoints = 500
    """A step may follow while the share of calls answered well lacks no more than this."""
    handling_tolerance_bp: BasisPoints = 1_000
    """A step may follow while the mean handling time is no more than this above that before the first step."""
    steps: Annotated[tuple[MoveStep, ...], Meta(min_length=1, max_length=512)]
    where: str = ""


class OrganisationDescription(Struct, frozen=True, kw_only=True):
    """An organisation as it was written down: checked and compiled by `organisation.Organisation`."""

    sites: tuple[Site, ...] = ()
    suppliers: tuple[Supplier, ...] = ()
    skills: tuple[Skill, ...] = ()
    """Every skill there is. A skill that is needed or held but not declared is a problem."""
    teams: tuple[Team, ...] = ()
    portfolios: tuple[Portfolio, ...] = ()
    segments: tuple[Segment, ...] = ()
    agents: tuple[Agent, ...] = ()
    clients: tuple[Client, ...] = ()
    default_portfolio: PortfolioId = PortfolioId("")
    company: str = "operator"
    """The client company of portfolios that name none."""
    areas: tuple[Area, ...] = ()
    place: PlacePolicy | None = None
    """None: callers are told nothing of the agent's place."""
    contracts: tuple[Contract, ...] = ()
    move_plans: tuple[MovePlan, ...] = ()
    quality: Quality = Quality()
    where: str = ""


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on what strangers can make the engine keep."""

    # A few kB a waiting call: some hundred MB in the worst case, and ten times the busiest queue we heard of.
    waiting_calls_max: int = 100_000
    # Ended calls kept for `Engine.explain`: some hours of a large centre in a few ten MB.
    past_calls_max: int = 10_000
    # A kind of call is made of what a call asks for, so that a stranger could invent kinds without end.
    plans_max: int = 4_096
    # In a large organisation a plan lists thousands of groups, at some 500 bytes each: 500 MB in all.
    plan_members_max: int = 1_000_000
