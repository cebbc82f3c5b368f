"""The organisation as a graph: checked, and compiled to what routing needs. The only module that knows networkx.

Portfolios and teams are nodes; an edge says "from here on, that team too, once the call has waited ``after_s``". The
reach of a team for a portfolio is the length of the shortest path between them, found by one run of Dijkstra's
algorithm a portfolio when the organisation is loaded. Clients are not nodes: ten million of them are a registry
that answers the first hop, and the graph starts at the portfolio.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import chain, pairwise
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import networkx as nx

from router.core.errors import OrganisationError, Problem
from router.core.hours import OpeningHours, utc_day
from router.core.model import (
    Agent,
    AgentId,
    Client,
    ClientId,
    Contract,
    FallbackKind,
    MovePlan,
    OrganisationDescription,
    OwnerMode,
    Ownership,
    OwnerWait,
    Portfolio,
    PortfolioId,
    SharePeriod,
    Site,
    SiteId,
    Skill,
    SkillNeed,
    Team,
    TeamId,
)

__all__ = ["Organisation", "Route", "ownership_on", "satisfied_after_ms"]


# A closed portfolio hands on at once, so a chain of them is walked in one go, each a call within the one before; the
# longest that anybody meant was team, region, country, message.
_FALLBACKS_MAX = 16


class Route(NamedTuple):
    """How a portfolio reaches a team."""

    team_id: TeamId
    reach_ms: int
    hops: tuple[str, ...]
    """From the portfolio to the team, in words: ``("portfolio gold", "team a", "after 20 s: team b")``."""


def satisfied_after_ms(need: SkillNeed, level: int) -> int | None:
    """After how long a wait an agent with ``level`` (0: without the skill) meets the need; None: never."""
    if level >= need.level:
        return 0
    return min((step.after_s * 1000 for step in need.relax if level >= step.level), default=None)


class Organisation:
    """A checked organisation, ready for routing. Never changes; a new version is a new object.

    Raises:
        OrganisationError: With every problem found, each naming file, row and field.
    """

    def __init__(self, description: OrganisationDescription) -> None:
        problems = list(_problems(description))
        if problems:
            raise OrganisationError(problems)
        self.description = description
        self.sites: Mapping[SiteId, Site] = {site.site_id: site for site in description.sites}
        self.teams: Mapping[TeamId, Team] = {team.team_id: team for team in description.teams}
        self.portfolios: Mapping[PortfolioId, Portfolio] = {p.portfolio_id: p for p in description.portfolios}
        self.agents: Mapping[AgentId, Agent] = {agent.agent_id: agent for agent in description.agents}
        self.skills = frozenset(description.skills)
        self.default_portfolio = description.default_portfolio
        self.hours = {p.portfolio_id: OpeningHours(p) for p in description.portfolios}
        self.graph = _team_graph(description)
        self.routes = {p: tuple(_routes(self.graph, p)) for p in self.portfolios}
        self._clients: dict[ClientId, Client] = {client.client_id: client for client in description.clients}
        self._clients_by_caller = {caller: client for client in description.clients for caller in client.callers}
        self._segments = {segment.segment: segment.portfolio_id for segment in description.segments}

    def find_client(self, client_id: ClientId | None, caller: str | None) -> Client | None:
        """The client by id, else by the pseudonym of the caller's number."""
        client = self._clients.get(client_id) if client_id is not None else None
        if client is None and caller is not None:
            client = self._clients_by_caller.get(caller)
        return client

    def find_portfolio(
        self, client: Client | None, portfolio_id: PortfolioId | None, segment: str | None
    ) -> tuple[Portfolio, str]:
        """The portfolio for a call, and what it was found by: nobody is dropped for being unknown."""
        if client is not None and client.portfolio_id is not None:
            return self.portfolios[client.portfolio_id], "client"
        if portfolio_id is not None and portfolio_id in self.portfolios:
            return self.portfolios[portfolio_id], "portfolio"
        if segment is not None and segment in self._segments:
            return self.portfolios[self._segments[segment]], "segment"
        return self.portfolios[self.default_portfolio], "default"


def ownership_on(client: Client, now_ms: int) -> Ownership | None:
    """Who answers for the client at this moment, by UTC day; None: nobody in person."""
    for ownership in client.ownerships:
        if ownership.valid_from is None and ownership.valid_until is None:
            return ownership
        day = utc_day(now_ms)
        if (ownership.valid_from or date.min) <= day and (ownership.valid_until is None or day < ownership.valid_until):
            return ownership
    return None


def _team_graph(description: OrganisationDescription) -> "nx.DiGraph[tuple[str, str]]":
    graph: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
    graph.add_nodes_from(("team", team.team_id) for team in description.teams)
    graph.add_nodes_from(("portfolio", portfolio.portfolio_id) for portfolio in description.portfolios)
    for portfolio in description.portfolios:
        for link in portfolio.teams:
            source = ("portfolio", str(portfolio.portfolio_id))
            graph.add_edge(source, ("team", link.team_id), after_s=link.after_s)
    for team in description.teams:
        for link in team.backups:
            graph.add_edge(("team", str(team.team_id)), ("team", link.team_id), after_s=link.after_s)
    return graph


def _routes(graph: "nx.DiGraph[tuple[str, str]]", portfolio_id: PortfolioId) -> Iterator[Route]:
    """Every team the portfolio reaches, nearest first, ties by id."""
    # The stubs allow for the form with a target, which returns one length and one path.
    lengths, paths = cast(
        "tuple[dict[tuple[str, str], float], dict[tuple[str, str], list[tuple[str, str]]]]",
        nx.single_source_dijkstra(graph, ("portfolio", str(portfolio_id)), weight="after_s"),
    )
    for node in sorted(lengths, key=lambda node: (lengths[node], node)):
        if node[0] != "team":
            continue
        hops = [f"portfolio {portfolio_id}"]
        for here, there in pairwise(paths[node]):
            after_s = graph.edges[here, there]["after_s"]
            hops.append(f"after {after_s} s: team {there[1]}" if after_s else f"team {there[1]}")
        yield Route(TeamId(node[1]), int(lengths[node]) * 1000, tuple(hops))


# --- What can be wrong with an organisation ------------------------------------------------------------------------


def _problems(description: OrganisationDescription) -> Iterator[Problem]:
    yield from _duplicates(description)
    known = _Known(description)
    for team in description.teams:
        yield from known.team_problems(team)
    for portfolio in description.portfolios:
        yield from known.portfolio_problems(portfolio)
    for segment in description.segments:
        yield from known.missing(segment.where, "portfolio_id", "portfolio", segment.portfolio_id)
    for agent in description.agents:
        yield from known.agent_problems(agent)
    for client in description.clients:
        yield from known.client_problems(client)
    for site in description.sites:
        yield from _time_zone_problems(site.where, site.time_zone)
    for area in description.areas:
        for member in area.members:
            if member.since and member.until and member.until <= member.since:
                yield Problem(area.where, "members", f"{member.country}: until must be later than since")
    if description.place is not None:
        yield from known.missing(description.place.where, "area_id", "area", description.place.area_id)
    for contract in description.contracts:
        yield from known.contract_problems(contract)
    yield from _overlapping_contracts(description)
    for plan in description.move_plans:
        yield from known.move_plan_problems(plan)
    yield from _doubly_moved(description)
    if not description.default_portfolio:
        yield Problem(description.where, "default_portfolio", "is missing: unknown callers need a portfolio to go to")
    else:
        yield from known.missing(description.where, "default_portfolio", "portfolio", description.default_portfolio)
    yield from _skills_nobody_has(description)
    yield from _endless_backups(description)
    yield from _endless_fallbacks(description)
    yield from _long_fallbacks(description)
    yield from known.unserved_portfolios()


def _duplicates(description: OrganisationDescription) -> Iterator[Problem]:
    tables: tuple[tuple[str, Iterable[tuple[str, str]]], ...] = (
        ("site_id", ((s.site_id, s.where) for s in description.sites)),
        ("supplier_id", ((s.supplier_id, s.where) for s in description.suppliers)),
        ("team_id", ((t.team_id, t.where) for t in description.teams)),
        ("portfolio_id", ((p.portfolio_id, p.where) for p in description.portfolios)),
        ("segment", ((s.segment, s.where) for s in description.segments)),
        ("agent_id", ((a.agent_id, a.where) for a in description.agents)),
        ("area_id", ((a.area_id, a.where) for a in description.areas)),
        ("contract_id", ((c.contract_id, c.where) for c in description.contracts)),
        ("move_plan_id", ((p.move_plan_id, p.where) for p in description.move_plans)),
        ("client_id", ((c.client_id, c.where) for c in description.clients)),
        ("numbers", ((caller, c.where) for c in description.clients for caller in c.callers)),
    )
    for field, rows in tables:
        first_seen: dict[str, str] = {}
        for identity, where in rows:
            if identity in first_seen:
                # A number must not be shown, not even as its pseudonym.
                what = "one of the numbers" if field == "numbers" else repr(identity)
                yield Problem(where, field, f"{what} stands twice, first in {first_seen[identity]}")
            else:
                first_seen[identity] = where


class _Known:
    """What an organisation declares, for checking what its rows refer to."""

    def __init__(self, description: OrganisationDescription) -> None:
        self.description = description
        self.ids: dict[str, set[str]] = {
            "site": {s.site_id for s in description.sites},
            "supplier": {s.supplier_id for s in description.suppliers},
            "team": {t.team_id for t in description.teams},
            "portfolio": {p.portfolio_id for p in description.portfolios},
            "agent": {a.agent_id for a in description.agents},
            "skill": set(description.skills),
            "area": {a.area_id for a in description.areas},
        }
        self.companies = {description.company, *(p.company for p in description.portfolios if p.company is not None)}

    def missing(self, where: str, field: str, kind: str, identity: str | None) -> Iterator[Problem]:
        if identity is not None and identity not in self.ids[kind]:
            yield Problem(where, field, f"there is no {kind} {identity!r}")

    def team_problems(self, team: Team) -> Iterator[Problem]:
        yield from self.missing(team.where, "site_id", "site", team.site_id)
        yield from self.missing(team.where, "supplier_id", "supplier", team.supplier_id)
        for link in team.backups:
            yield from self.missing(team.where, "backups", "team", link.team_id)

    def portfolio_problems(self, portfolio: Portfolio) -> Iterator[Problem]:
        where = portfolio.where
        if not portfolio.teams:
            yield Problem(where, "teams", "is empty: name the owner team first, then the teams that help")
        for link in portfolio.teams:
            yield from self.missing(where, "teams", "team", link.team_id)
        for need in portfolio.skills:
            yield from self.missing(where, "skills", "skill", need.skill)
        if portfolio.fallback.kind is FallbackKind.PORTFOLIO:
            yield from self.missing(where, "fallback", "portfolio", portfolio.fallback.target)
        if portfolio.fallback.kind is FallbackKind.NUMBER and not portfolio.fallback.target:
            yield Problem(where, "fallback", "a fallback to a number needs the number as its target")
        if portfolio.owner_wait is OwnerWait.PREDICTED:
            if portfolio.owner_mode is OwnerMode.STRICT:
                message = (
                    "nothing is predicted with owner_mode strict, which waits for as long as the owner is on shift"
                )
                yield Problem(where, "owner_wait", message)
            elif portfolio.owner_wait_s == 0:
                message = "is 0, so that no call would ever be held: write the longest that a predicted wait may be"
                yield Problem(where, "owner_wait_s", message)
        for span in portfolio.hours:
            # Midnight as the closing time stands for the end of the day.
            if (span.closes.hour or span.closes.minute) and span.closes <= span.opens:
                yield Problem(where, "hours", f"closes at {span.closes:%H:%M}, before it opens at {span.opens:%H:%M}")
        yield from _time_zone_problems(where, portfolio.time_zone)

    def agent_problems(self, agent: Agent) -> Iterator[Problem]:
        yield from self.missing(agent.where, "team_id", "team", agent.team_id)
        yield from self.missing(agent.where, "site_id", "site", agent.site_id)
        yield from self.missing(agent.where, "supplier_id", "supplier", agent.supplier_id)
        for skill in agent.skills:
            yield from self.missing(agent.where, "skills", "skill", skill)

    def contract_problems(self, contract: Contract) -> Iterator[Problem]:
        yield from self.missing(contract.where, "supplier_id", "supplier", contract.supplier_id)
        if contract.company not in self.companies:
            yield Problem(contract.where, "company", f"no portfolio is of company {contract.company!r}")
        if contract.valid_from and contract.valid_until and contract.valid_until <= contract.valid_from:
            yield Problem(contract.where, "valid_until", "must be later than valid_from")
        if contract.period is SharePeriod.CONTRACT and contract.valid_from is None:
            yield Problem(contract.where, "valid_from", "is missing: the share is kept from then on")
        if contract.red_bp < contract.warning_bp:
            yield Problem(contract.where, "red_bp", "must not be less than amber_bp: the warning before it is amber")
        yield from _time_zone_problems(contract.where, contract.time_zone)

    def move_plan_problems(self, plan: MovePlan) -> Iterator[Problem]:
        for portfolio_id in plan.portfolios:
            yield from self.missing(plan.where, "portfolios", "portfolio", portfolio_id)
        for site_id in plan.to_sites:
            yield from self.missing(plan.where, "to_sites", "site", site_id)
        for number, step in enumerate(plan.steps, start=1):
            for site_id in step.shares:
                yield from self.missing(plan.where, f"steps entry {number}, shares", "site", site_id)
        yield from _step_problems(plan)
        yield from _time_zone_problems(plan.where, plan.time_zone)

    def client_problems(self, client: Client) -> Iterator[Problem]:
        yield from self.missing(client.where, "portfolio_id", "portfolio", client.portfolio_id)
        for ownership in client.ownerships:
            yield from self.missing(client.where, "owner", "agent", ownership.owner)
            for backup in ownership.backups:
                yield from self.missing(client.where, "backups", "agent", backup)
            if ownership.valid_from and ownership.valid_until and ownership.valid_until <= ownership.valid_from:
                yield Problem(client.where, "valid_until", "must be later than valid_from")
        for agent_id in client.exclusions:
            yield from self.missing(client.where, "exclusions", "agent", agent_id)
        if len(client.ownerships) > 1:
            spans = sorted((o.valid_from or date.min, o.valid_until or date.max) for o in client.ownerships)
            if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
                yield Problem(client.where, "valid_from", "two ownerships of this client overlap in time")

    def unserved_portfolios(self) -> Iterator[Problem]:
        """Portfolios that no agent could ever serve; asked only of those whose references hold."""
        description = self.description
        teams = {team.team_id: team for team in description.teams}
        countries = {site.site_id: site.country for site in description.sites}
        agents_by_team: dict[TeamId, list[Agent]] = {}
        for agent in description.agents:
            agents_by_team.setdefault(agent.team_id, []).append(agent)
        graph = _team_graph(description)
        for portfolio in description.portfolios:
            if not portfolio.teams or any(link.team_id not in teams for link in portfolio.teams):
                continue
            reached = nx.descendants(graph, ("portfolio", str(portfolio.portfolio_id)))
            agents = chain.from_iterable(agents_by_team.get(TeamId(name), ()) for _, name in sorted(reached))
            if not any(self._can_serve(agent, portfolio, teams, countries) for agent in agents):
                yield Problem(
                    portfolio.where,
                    "teams",
                    f"nobody can serve portfolio {portfolio.portfolio_id!r}: no agent in a team that it reaches has "
                    "the skills, language and country it needs",
                )

    @staticmethod
    def _can_serve(
        agent: Agent, portfolio: Portfolio, teams: Mapping[TeamId, Team], countries: Mapping[SiteId, str | None]
    ) -> bool:
        team = teams.get(agent.team_id)
        country = countries.get(agent.site_id or team.site_id) if team else None
        return (
            all(satisfied_after_ms(need, agent.skills.get(need.skill, 0)) is not None for need in portfolio.skills)
            and (portfolio.language is None or portfolio.language in agent.languages)
            and (not portfolio.countries or country is None or country in portfolio.countries)
        )


def _time_zone_problems(where: str, name: str) -> Iterator[Problem]:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        yield Problem(where, "time_zone", f"{name!r} is not a time zone; write one such as 'Europe/Rome'")


def _overlapping_contracts(description: OrganisationDescription) -> Iterator[Problem]:
    """Two contracts of the same parties at one time: nobody could say by which of them a call is counted."""
    by_parties: dict[tuple[str, str], list[Contract]] = {}
    for contract in description.contracts:
        by_parties.setdefault((contract.company, contract.supplier_id), []).append(contract)
    for contracts in by_parties.values():
        contracts.sort(key=lambda each: each.valid_from or date.min)
        for earlier, later in pairwise(contracts):
            if (later.valid_from or date.min) < (earlier.valid_until or date.max):
                yield Problem(
                    later.where,
                    "valid_from",
                    f"overlaps in time with contract {earlier.contract_id!r} of the same company and supplier",
                )


def _step_problems(plan: MovePlan) -> Iterator[Problem]:
    """Steps of a move plan that do not fit together, or the plan."""
    seen: set[str] = set()
    days: dict[tuple[date, PortfolioId], str] = {}
    for number, step in enumerate(plan.steps, start=1):
        field = f"steps entry {number}"
        if step.step_id in seen:
            yield Problem(plan.where, f"{field}, step_id", f"{step.step_id!r} stands twice in this plan")
        seen.add(step.step_id)
        total = sum(step.shares.values())
        if total != 10_000:
            yield Problem(plan.where, f"{field}, shares", f"add up to {total:,}, not to 10,000 hundredths of a percent")
        if step.portfolio_id is not None and step.portfolio_id not in plan.portfolios:
            yield Problem(
                plan.where, f"{field}, portfolio_id", f"{step.portfolio_id!r} is none of the portfolios of this plan"
            )
        if step.valid_from > plan.deadline:
            yield Problem(plan.where, f"{field}, valid_from", f"is after the deadline, {plan.deadline}")
        for portfolio_id in plan.portfolios if step.portfolio_id is None else (step.portfolio_id,):
            other = days.setdefault((step.valid_from, portfolio_id), step.step_id)
            if other != step.step_id:
                message = f"step {other!r} says where calls of {portfolio_id!r} go from this day on already"
                yield Problem(plan.where, f"{field}, valid_from", message)
                break
    for number, (step, later) in enumerate(pairwise(plan.steps), start=2):
        if later.valid_from < step.valid_from:
            message = f"is before that of the step above, {step.valid_from}: write steps in the order of their days"
            yield Problem(plan.where, f"steps entry {number}, valid_from", message)
        if later.agents_moved < step.agents_moved:
            message = f"is less than in the step above, {step.agents_moved}: it counts all who have moved by then"
            yield Problem(plan.where, f"steps entry {number}, agents_moved", message)
    moved = plan.steps[-1].agents_moved
    if moved != plan.agents:
        yield Problem(
            plan.where, f"steps entry {len(plan.steps)}, agents_moved", f"is {moved}; the plan is to move {plan.agents}"
        )


def _doubly_moved(description: OrganisationDescription) -> Iterator[Problem]:
    """Portfolios that stand twice in move plans: two plans would send their calls to different sites."""
    plans: dict[PortfolioId, str] = {}
    for plan in description.move_plans:
        for portfolio_id in plan.portfolios:
            if portfolio_id in plans:
                message = f"{portfolio_id!r} stands in move plan {plans[portfolio_id]!r} already"
                yield Problem(plan.where, "portfolios", message)
            plans.setdefault(portfolio_id, plan.move_plan_id)


def _skills_nobody_has(description: OrganisationDescription) -> Iterator[Problem]:
    held: set[Skill] = set()
    for agent in description.agents:
        held.update(agent.skills)
    for skill in description.skills:
        if skill not in held:
            yield Problem(description.where, "skills", f"nobody has the skill {skill!r}")


def _endless_backups(description: OrganisationDescription) -> Iterator[Problem]:
    """Backup teams that hand a call round without any wait between them.

    A circle with a wait in it is harmless, and usual for two teams that help each other: reach is a shortest path.
    """
    where = {str(team.team_id): team.where for team in description.teams}
    links = ((t.team_id, link.team_id) for t in description.teams for link in t.backups if link.after_s == 0)
    for circle in _circles(links):
        yield Problem(
            where.get(circle[0], ""),
            "backups",
            f"{' and '.join(circle)} back each other up after 0 s, which never ends: give one of the links a wait "
            "(after_s), or name both teams in the portfolio",
        )


def _endless_fallbacks(description: OrganisationDescription) -> Iterator[Problem]:
    where = {str(p.portfolio_id): p.where for p in description.portfolios}
    to_portfolios = (p for p in description.portfolios if p.fallback.kind is FallbackKind.PORTFOLIO)
    for circle in _circles((p.portfolio_id, p.fallback.target) for p in to_portfolios):
        yield Problem(
            where.get(circle[0], ""),
            "fallback",
            f"the fallbacks of {' and '.join(circle)} lead round in a circle, which never ends: let one end in a "
            "number, a call-back or a message",
        )


def _long_fallbacks(description: OrganisationDescription) -> Iterator[Problem]:
    """Chains of fallbacks that no caller would live to see the end of; circles are reported apart."""
    fallbacks = ((p.portfolio_id, p.fallback) for p in description.portfolios)
    after = {str(p): fallback.target for p, fallback in fallbacks if fallback.kind is FallbackKind.PORTFOLIO}
    for portfolio in description.portfolios:
        chain = [str(portfolio.portfolio_id)]
        while chain[-1] in after and len(chain) <= _FALLBACKS_MAX + 1:
            chain.append(after[chain[-1]])
        # Named once, where the chain is just too long, and not for all who lead to it.
        if len(chain) == _FALLBACKS_MAX + 2 and chain[-1] not in after:
            yield Problem(
                portfolio.where,
                "fallback",
                f"leads through more than {_FALLBACKS_MAX} portfolios, one after the other, to {chain[-1]!r}: "
                "shorten the way",
            )


def _circles(edges: Iterable[tuple[str, str]]) -> Iterator[list[str]]:
    """Nodes that lead to each other, each circle sorted; a node that leads to itself is one too."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(edges)
    for component in nx.strongly_connected_components(graph):
        circle = sorted(component)
        if len(circle) > 1 or graph.has_edge(circle[0], circle[0]):
            yield circle
