"""Small organisations and an engine that is driven step by step."""

from collections.abc import Iterable, Mapping

from router.core import Engine, EventRejected, Limits
from router.core.decisions import Decision, OfferCall
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallArrived,
    CallConnected,
    Event,
    OfferAccepted,
)
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Client,
    ClientId,
    Link,
    OrganisationDescription,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Skill,
    SkillNeed,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)

SITE = Site(site_id=SiteId("laquila"), country="IT", where="sites entry 1")
SUPPLIER = Supplier(supplier_id=SupplierId("own"), where="suppliers entry 1")


def team(team_id: str, **options: object) -> Team:
    options.setdefault("wrap_up_s", 0)
    return Team(
        team_id=TeamId(team_id), site_id=SiteId("laquila"), supplier_id=SupplierId("own"), where=team_id, **options
    )  # type: ignore[arg-type]  # the options are the fields of Team


def portfolio(portfolio_id: str, *teams: str | Link, **options: object) -> Portfolio:
    links = tuple(link if isinstance(link, Link) else Link(TeamId(link)) for link in teams)
    return Portfolio(portfolio_id=PortfolioId(portfolio_id), teams=links, where=portfolio_id, **options)  # type: ignore[arg-type]  # as above


def agent(agent_id: str, team_id: str, skills: str = "", **options: object) -> Agent:
    """``skills`` such as ``"gold:3 data"``."""
    levels = {}
    for word in skills.split():
        name, _, level = word.partition(":")
        levels[Skill(name)] = int(level or 1)
    return Agent(agent_id=AgentId(agent_id), team_id=TeamId(team_id), skills=levels, where=agent_id, **options)  # type: ignore[arg-type]  # as above


def client(client_id: str, portfolio_id: str | None, **options: object) -> Client:
    home = PortfolioId(portfolio_id) if portfolio_id is not None else None
    return Client(client_id=ClientId(client_id), portfolio_id=home, where=client_id, **options)  # type: ignore[arg-type]  # as above


def need(skill: str, level: int = 1) -> SkillNeed:
    return SkillNeed(Skill(skill), level)


def organisation(
    teams: Iterable[Team],
    portfolios: Iterable[Portfolio],
    agents: Iterable[Agent],
    clients: Iterable[Client] = (),
    **options: object,
) -> OrganisationDescription:
    portfolios, agents = tuple(portfolios), tuple(agents)
    fields: dict[str, object] = {
        "sites": (SITE,),
        "suppliers": (SUPPLIER,),
        "skills": tuple(sorted({skill for person in agents for skill in person.skills})),
        "default_portfolio": portfolios[0].portfolio_id,
        "where": "organisation.toml",
    }
    return OrganisationDescription(
        teams=tuple(teams),
        portfolios=portfolios,
        agents=agents,
        clients=tuple(clients),
        **{**fields, **options},  # type: ignore[arg-type]  # as above
    )


class Bench:
    """An engine and a hand that turns its clock: deadlines on the way are served, each at its time."""

    def __init__(self, description: OrganisationDescription, limits: Limits = Limits()) -> None:
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
        self.until(seconds)
        try:
            self.engine.handle(event, now_ms=self.now_ms)
        except EventRejected as rejected:
            return rejected
        raise AssertionError(f"{event} was not refused")

    def ready(self, *agent_ids: str, at: float = 0) -> None:
        for agent_id in agent_ids:
            self.at(at, AgentSignedIn(agent_id=AgentId(agent_id)))
            self.at(at, AgentReady(agent_id=AgentId(agent_id)))

    def arrive(self, seconds: float, call_id: str, client_id: str | None = None, **options: object) -> tuple[Decision, ...]:
        who = ClientId(client_id) if client_id is not None else None
        return self.at(seconds, CallArrived(call_id=CallId(call_id), client_id=who, **options))  # type: ignore[arg-type]  # fields of CallArrived

    def connect(self, seconds: float, decisions: Iterable[Decision]) -> OfferCall:
        """The offer among *decisions* is accepted and put through."""
        offer = the_offer(decisions)
        self.at(seconds, OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))
        self.at(seconds, CallConnected(call_id=offer.call_id))
        return offer


def the_offer(decisions: Iterable[Decision]) -> OfferCall:
    offers = [decision for decision in decisions if isinstance(decision, OfferCall)]
    assert len(offers) == 1, f"one offer was expected among {decisions}"
    return offers[0]


def offers(decisions: Iterable[Decision]) -> Mapping[str, str]:
    """Call id -> agent id of the offers among *decisions*."""
    return {d.call_id: d.agent_id for d in decisions if isinstance(d, OfferCall)}
