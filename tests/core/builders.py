"""Small organisations and an engine that is driven step by step."""

from collections.abc import Iterable, Mapping
from typing import Any

from router.core import Engine, EventRejected, Limits
from router.core.decisions import Decision, OfferCall, QueueCall
from router.core.events import (
    AgentNotReady,
    AgentReady,
    AgentSignedIn,
    AgentSignedOut,
    CallAbandoned,
    CallArrived,
    CallbackRequested,
    CallConnected,
    CallEnded,
    CallTransferred,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
)
from router.core.explain import Explanation, Verdict
from router.core.model import (
    Agent,
    AgentId,
    AgentStatus,
    CallId,
    Client,
    ClientId,
    Link,
    OrganisationDescription,
    Outcome,
    Ownership,
    Portfolio,
    PortfolioId,
    Relaxation,
    Site,
    SiteId,
    Skill,
    SkillNeed,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.core.summary import PortfolioSummary

SITE = Site(site_id=SiteId("laquila"), country="IT", where="sites entry 1")
SUPPLIER = Supplier(supplier_id=SupplierId("own"), where="suppliers entry 1")

_NO_LIMITS_SET = Limits()

# --- Organisations. The options are the fields of the noun that is built. ---


def site(site_id: str, country: str | None, **options: Any) -> Site:
    return Site(site_id=SiteId(site_id), country=country, where=site_id, **options)


def team(team_id: str, **options: Any) -> Team:
    """A team in L'Aquila, without wrap-up unless told otherwise."""
    fields = {"site_id": SiteId("laquila"), "supplier_id": SupplierId("own"), "wrap_up_s": 0, **options}
    return Team(team_id=TeamId(team_id), where=team_id, **fields)


def link(team_id: str, after_s: int = 0) -> Link:
    return Link(TeamId(team_id), after_s)


def portfolio(portfolio_id: str, *teams: str | Link, **options: Any) -> Portfolio:
    links = tuple(team if isinstance(team, Link) else link(team) for team in teams)
    return Portfolio(portfolio_id=PortfolioId(portfolio_id), teams=links, where=portfolio_id, **options)


def agent(agent_id: str, team_id: str, skills: str = "", **options: Any) -> Agent:
    """``skills`` such as ``"gold:3 data"``."""
    levels = {}
    for word in skills.split():
        name, _, level = word.partition(":")
        levels[Skill(name)] = int(level or 1)
    return Agent(agent_id=AgentId(agent_id), team_id=TeamId(team_id), skills=levels, where=agent_id, **options)


def client(client_id: str, portfolio_id: str | None, **options: Any) -> Client:
    home = PortfolioId(portfolio_id) if portfolio_id is not None else None
    return Client(client_id=ClientId(client_id), portfolio_id=home, where=client_id, **options)


def owned_by(owner: str | None, *backups: str, **options: Any) -> tuple[Ownership]:
    who = AgentId(owner) if owner is not None else None
    return (Ownership(owner=who, backups=tuple(map(AgentId, backups)), **options),)


def need(skill: str, level: int = 1, *relax: tuple[int, int]) -> SkillNeed:
    """``need("gold", 3, (20, 1))``: level 3, or 1 once the call has waited 20 s."""
    return SkillNeed(Skill(skill), level, tuple(Relaxation(after_s, enough) for after_s, enough in relax))


def organisation(
    teams: Iterable[Team],
    portfolios: Iterable[Portfolio],
    agents: Iterable[Agent],
    clients: Iterable[Client] = (),
    **options: Any,
) -> OrganisationDescription:
    """Its skills are those that the agents have; the first portfolio takes unknown callers."""
    portfolios, agents = tuple(portfolios), tuple(agents)
    fields: dict[str, Any] = {
        "sites": (SITE,),
        "suppliers": (SUPPLIER,),
        "skills": tuple(sorted({skill for person in agents for skill in person.skills})),
        "default_portfolio": portfolios[0].portfolio_id,
        "where": "organisation.toml",
        **options,
    }
    return OrganisationDescription(
        teams=tuple(teams), portfolios=portfolios, agents=agents, clients=tuple(clients), **fields
    )


# --- The engine, driven step by step ---


class Bench:
    """An engine and a hand that turns its clock: deadlines on the way are served, each at its time."""

    def __init__(self, description: OrganisationDescription, limits: Limits = _NO_LIMITS_SET) -> None:
        self.engine = Engine(description, limits=limits)
        self.now_ms = 0

    def at(self, seconds: float, event: Event) -> tuple[Decision, ...]:
        """What the event brings at this moment; deadlines before it are served and their decisions dropped."""
        self.until(seconds)
        return self.engine.handle(event, now_ms=self.now_ms)

    def until(self, seconds: float) -> tuple[Decision, ...]:
        """What the deadlines up to this moment bring."""
        self.now_ms = round(seconds * 1000)
        return self.engine.expire(self.now_ms)

    def refused(self, seconds: float, event: Event) -> EventRejected:
        """How the event was refused; it has changed nothing that can be seen."""
        self.until(seconds)
        before = self.picture()
        try:
            self.engine.handle(event, now_ms=self.now_ms)
        except EventRejected as rejected:
            assert self.picture() == before, "a refused event changed something"
            return rejected
        raise AssertionError(f"{event} was not refused")

    def picture(self) -> tuple[object, ...]:
        """All that can be seen of the engine without naming a call."""
        return self.engine.summary(now_ms=self.now_ms), self.engine.next_deadline_ms()

    # Agents

    def ready(self, *agent_ids: str, at: float = 0) -> None:
        """Sign in, and say so."""
        for agent_id in agent_ids:
            self.sign_in(at, agent_id)
            self.back(at, agent_id)

    def sign_in(self, seconds: float, agent_id: str, **options: Any) -> tuple[Decision, ...]:
        return self.at(seconds, AgentSignedIn(agent_id=AgentId(agent_id), **options))

    def back(self, seconds: float, agent_id: str) -> tuple[Decision, ...]:
        """The agent is ready, after a break or a wrap-up."""
        return self.at(seconds, AgentReady(agent_id=AgentId(agent_id)))

    def pause(self, seconds: float, agent_id: str, reason: str = "break") -> tuple[Decision, ...]:
        return self.at(seconds, AgentNotReady(agent_id=AgentId(agent_id), reason=reason))

    def sign_out(self, seconds: float, agent_id: str) -> tuple[Decision, ...]:
        return self.at(seconds, AgentSignedOut(agent_id=AgentId(agent_id)))

    # Calls

    def arrive(
        self, seconds: float, call_id: str, client_id: str | None = None, **options: Any
    ) -> tuple[Decision, ...]:
        who = ClientId(client_id) if client_id is not None else None
        return self.at(seconds, CallArrived(call_id=CallId(call_id), client_id=who, **options))

    def hang_up(self, seconds: float, call_id: str) -> tuple[Decision, ...]:
        return self.at(seconds, CallAbandoned(call_id=CallId(call_id)))

    def end(self, seconds: float, call_id: str) -> tuple[Decision, ...]:
        return self.at(seconds, CallEnded(call_id=CallId(call_id)))

    def call_back(self, seconds: float, call_id: str) -> tuple[Decision, ...]:
        """The caller asks to be called back."""
        return self.at(seconds, CallbackRequested(call_id=CallId(call_id)))

    def transfer(self, seconds: float, call_id: str, **options: Any) -> tuple[Decision, ...]:
        return self.at(seconds, CallTransferred(call_id=CallId(call_id), **options))

    # Offers

    def accept(self, seconds: float, offer: OfferCall) -> tuple[Decision, ...]:
        return self.at(seconds, accepted(offer))

    def decline(self, seconds: float, offer: OfferCall) -> tuple[Decision, ...]:
        return self.at(seconds, declined(offer))

    def miss(self, seconds: float, offer: OfferCall) -> tuple[Decision, ...]:
        return self.at(seconds, missed(offer))

    def connect(self, seconds: float, decisions: Iterable[Decision]) -> OfferCall:
        """The offer among *decisions* is accepted and put through."""
        offer = the_offer(decisions)
        self.accept(seconds, offer)
        self.at(seconds, CallConnected(call_id=offer.call_id))
        return offer

    def talk(self, seconds: float, call_id: str, client_id: str | None = None, **options: Any) -> OfferCall:
        """A call arrives and is put through at once."""
        return self.connect(seconds, self.arrive(seconds, call_id, client_id, **options))

    # What can be seen

    def explain(self, call_id: str) -> Explanation:
        explanation = self.engine.explain(CallId(call_id), now_ms=self.now_ms)
        assert explanation is not None, f"call {call_id} is not known"
        return explanation

    def verdicts(self, call_id: str) -> Mapping[str, Verdict]:
        return {answer.agent_id: answer.verdict for answer in self.explain(call_id).agents}

    def outcome(self, call_id: str) -> Outcome | None:
        return self.explain(call_id).outcome

    def agents(self, team_id: str) -> Mapping[AgentStatus, int]:
        """How many of the team's agents are in which state; states without agents, and those signed out, left out."""
        teams = self.engine.summary(now_ms=self.now_ms).teams
        (counts,) = (team.agents for team in teams if team.team_id == team_id)
        return {status: count for status, count in counts.items() if count}

    def queue(self, portfolio_id: str) -> PortfolioSummary:
        portfolios = self.engine.summary(now_ms=self.now_ms).portfolios
        (found,) = (summary for summary in portfolios if summary.portfolio_id == portfolio_id)
        return found


def accepted(offer: OfferCall) -> OfferAccepted:
    return OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id)


def declined(offer: OfferCall) -> OfferDeclined:
    return OfferDeclined(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id)


def missed(offer: OfferCall) -> OfferMissed:
    return OfferMissed(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id)


def the_offer(decisions: Iterable[Decision]) -> OfferCall:
    offers = [decision for decision in decisions if isinstance(decision, OfferCall)]
    assert len(offers) == 1, f"one offer was expected among {decisions}"
    return offers[0]


def the_queueing(decisions: Iterable[Decision]) -> QueueCall:
    queued = [decision for decision in decisions if isinstance(decision, QueueCall)]
    assert len(queued) == 1, f"one call put into the queue was expected among {decisions}"
    return queued[0]


def offers(decisions: Iterable[Decision]) -> Mapping[str, str]:
    """Call id -> agent id of the offers among *decisions*."""
    return {d.call_id: d.agent_id for d in decisions if isinstance(d, OfferCall)}
