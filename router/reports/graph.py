"""What the shape of an organisation means for its calls: who is out of reach, and what breaks when somebody is away.

Rings are compiled by `router.core.plans` from the same groups as in the engine, so that what is shown is what calls
will find. They are of a portfolio's own needs: a call that asks for more on top may find fewer.

To be *away* is to be signed out. The edges through a team stay open while its agents are away, so one absence is
answered by counting: a portfolio is hit if everybody in its first ring belongs to the one who is away.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import NamedTuple, TypeVar

from msgspec import Struct
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from router.core.errors import RouterError
from router.core.model import Agent, AgentId, ClientId, PortfolioId, Skill, TeamId
from router.core.organisation import Organisation
from router.core.plans import make_plan, merge_needs, opens_ms
from router.core.roster import Roster
from router.core.state import Group, Plan
from router.core.values import Requirement

__all__ = [
    "Absence",
    "Absentee",
    "Counts",
    "GraphSummary",
    "Listing",
    "OddOwner",
    "Orphans",
    "PortfolioLoss",
    "PortfolioReach",
    "RingReach",
    "Staff",
    "UnknownPortfolio",
    "as_text",
    "find_portfolio",
    "summarise_graph",
]


class UnknownPortfolio(RouterError):
    """The organisation has no such portfolio; the message names one like it."""


class Absentee(StrEnum):
    """Who may be away at once."""

    AGENT = "agent"
    TEAM = "team"
    SITE = "site"


class Counts(Struct, frozen=True, kw_only=True):
    """How much there is of everything."""

    sites: int
    teams: int
    agents: int
    portfolios: int
    clients: int
    clients_owned: int
    """Of the clients, those for whom an agent answers in person, now or at another time."""
    skills: int
    languages: int
    """Spoken by at least one agent."""


class Listing(Struct, frozen=True, kw_only=True):
    """Something of which there may be millions: how many, and the first of them by id."""

    count: int
    first: tuple[ClientId, ...]


class OddOwner(Struct, frozen=True, kw_only=True):
    """An owner who does not fit the portfolio of their clients."""

    agent_id: AgentId
    team_id: TeamId
    portfolio_id: PortfolioId
    clients: int


class Orphans(Struct, frozen=True, kw_only=True):
    """What hangs in the air."""

    teams: tuple[TeamId, ...]
    """No portfolio reaches them."""
    agents: tuple[AgentId, ...]
    """Of these teams: offered no call, but of clients of their own."""
    clients_without_portfolio: Listing
    """Their calls go to the default portfolio."""
    owners_outside: tuple[OddOwner, ...]
    """In none of the teams that the portfolio reaches."""
    owners_unfit: tuple[OddOwner, ...]
    """Without the skills, language or country that the portfolio needs: never offered these clients' calls."""


class RingReach(Struct, frozen=True, kw_only=True):
    """One ring of a portfolio: who may be offered a call once it has waited ``after_s``, and not before."""

    after_s: int
    teams: tuple[TeamId, ...]
    agents: int
    """Who meet the portfolio's own needs from then on; each agent is counted in one ring."""


class PortfolioReach(Struct, frozen=True, kw_only=True):
    """Whom the calls of a portfolio reach."""

    portfolio_id: PortfolioId
    owner_team: TeamId
    clients: int
    agents: int
    """In all rings."""
    rings: tuple[RingReach, ...]
    """Nearest first; never empty in an organisation that could be loaded."""


class PortfolioLoss(Struct, frozen=True, kw_only=True):
    """A portfolio whose first ring is empty while somebody is away."""

    portfolio_id: PortfolioId
    first_s: int
    """When its first ring opens as a rule."""
    then_s: int | None
    """When the first ring opens that still has somebody; None: nobody is left."""


class Absence(Struct, frozen=True, kw_only=True):
    """What breaks while one agent, or everybody of one team or site, is away."""

    kind: Absentee
    id: str
    portfolios: tuple[PortfolioLoss, ...]
    """Worst first: those with nobody left, then by the longest delay."""
    skills: tuple[Skill, ...]
    """Nobody else has them."""
    languages: tuple[str, ...]
    """Nobody else speaks them."""

    @property
    def unserved(self) -> tuple[PortfolioId, ...]:
        """Portfolios with nobody left."""
        return tuple(loss.portfolio_id for loss in self.portfolios if loss.then_s is None)


class GraphSummary(Struct, frozen=True, kw_only=True):
    """An organisation's shape. Equal organisations give equal summaries."""

    counts: Counts
    orphans: Orphans
    portfolios: tuple[PortfolioReach, ...]
    """By id."""
    absences: tuple[Absence, ...]
    """Those that break something: of agents, of teams, of sites, and of each kind the worst first."""


# Enough to look into, few enough to keep a summary small however many clients there are.
_LISTED_MAX = 100


class Staff:
    """Agents by group, and the plan that each portfolio's calls follow."""

    def __init__(self, organisation: Organisation) -> None:
        roster = Roster(organisation, plans_max=1, plan_members_max=1)
        self.agents_by_group: dict[Group, list[Agent]] = defaultdict(list)
        """Agents by id."""
        self.group_of: dict[AgentId, Group] = {}
        for agent_id in sorted(roster.agents):
            record = roster.agents[agent_id]
            self.agents_by_group[record.group].append(record.agent)
            self.group_of[agent_id] = record.group
        groups_by_team: dict[TeamId, list[Group]] = defaultdict(list)
        for group in self.agents_by_group:
            groups_by_team[group.key.team_id].append(group)
        self.plans: Mapping[PortfolioId, Plan] = {
            portfolio_id: make_plan(
                portfolio,
                merge_needs(portfolio, Requirement((), None, ())),
                organisation.routes[portfolio_id],
                groups_by_team,
                organisation.teams[portfolio.teams[0].team_id].strategy,
            )
            for portfolio_id, portfolio in organisation.portfolios.items()
        }


def summarise_graph(organisation: Organisation) -> GraphSummary:
    """Who is out of reach, whom each portfolio reaches and when, and what one absence breaks."""
    staff = Staff(organisation)
    clients = _count_clients(organisation)
    return GraphSummary(
        counts=Counts(
            sites=len(organisation.sites),
            teams=len(organisation.teams),
            agents=len(organisation.agents),
            portfolios=len(organisation.portfolios),
            clients=len(organisation.description.clients),
            clients_owned=clients.owned,
            skills=len(organisation.skills),
            languages=len({language for agent in organisation.agents.values() for language in agent.languages}),
        ),
        orphans=_orphans(organisation, staff, clients),
        portfolios=tuple(
            _reach(organisation, staff, clients, portfolio_id) for portfolio_id in sorted(organisation.portfolios)
        ),
        absences=_absences(organisation, staff),
    )


def find_portfolio(portfolio_id: str, known: Iterable[PortfolioId]) -> PortfolioId:
    """The id as one of the *known*.

    Raises:
        UnknownPortfolio: It is none of them.
    """
    names = sorted(known)
    if portfolio_id in names:
        return PortfolioId(portfolio_id)
    near = get_close_matches(portfolio_id, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {_some(names)}"
    raise UnknownPortfolio(f"there is no portfolio {portfolio_id!r}; {hint}")


class _Clients(NamedTuple):
    """What one pass over the clients tells."""

    by_portfolio: Counter[PortfolioId]
    by_owner: Counter[tuple[AgentId, PortfolioId]]
    owned: int
    homeless: list[ClientId]


def _count_clients(organisation: Organisation) -> _Clients:
    found = _Clients(Counter(), Counter(), 0, [])
    owned = 0
    for client in organisation.description.clients:
        portfolio_id = client.portfolio_id
        if portfolio_id is None:
            found.homeless.append(client.client_id)
            portfolio_id = organisation.default_portfolio
        found.by_portfolio[portfolio_id] += 1
        owners = {ownership.owner for ownership in client.ownerships if ownership.owner is not None}
        owned += bool(owners)
        for owner in owners:
            found.by_owner[owner, portfolio_id] += 1
    return found._replace(owned=owned)


def _orphans(organisation: Organisation, staff: Staff, clients: _Clients) -> Orphans:
    teams_reached = {
        portfolio_id: {route.team_id for route in routes} for portfolio_id, routes in organisation.routes.items()
    }
    reached = set().union(*teams_reached.values())
    teams = tuple(sorted(team_id for team_id in organisation.teams if team_id not in reached))
    outside, unfit = [], []
    for (agent_id, portfolio_id), count in sorted(clients.by_owner.items()):
        team_id = organisation.agents[agent_id].team_id
        owner = OddOwner(agent_id=agent_id, team_id=team_id, portfolio_id=portfolio_id, clients=count)
        if team_id not in teams_reached[portfolio_id]:
            outside.append(owner)
        if opens_ms(staff.plans[portfolio_id].requirement, staff.group_of[agent_id]) is None:
            unfit.append(owner)
    return Orphans(
        teams=teams,
        agents=tuple(sorted(a.agent_id for a in organisation.agents.values() if a.team_id not in reached)),
        clients_without_portfolio=Listing(
            count=len(clients.homeless), first=tuple(sorted(clients.homeless)[:_LISTED_MAX])
        ),
        owners_outside=tuple(outside),
        owners_unfit=tuple(unfit),
    )


def _reach(organisation: Organisation, staff: Staff, clients: _Clients, portfolio_id: PortfolioId) -> PortfolioReach:
    rings = tuple(
        RingReach(
            after_s=ring.opens_ms // 1000,
            teams=tuple(sorted({member.group.key.team_id for member in ring.members})),
            agents=sum(len(staff.agents_by_group[member.group]) for member in ring.members),
        )
        for ring in staff.plans[portfolio_id].rings
    )
    return PortfolioReach(
        portfolio_id=portfolio_id,
        owner_team=organisation.portfolios[portfolio_id].teams[0].team_id,
        clients=clients.by_portfolio[portfolio_id],
        agents=sum(ring.agents for ring in rings),
        rings=rings,
    )


# --- What one absence breaks ---------------------------------------------------------------------------------------


def _absences(organisation: Organisation, staff: Staff) -> tuple[Absence, ...]:
    units: Mapping[Absentee, Callable[[Agent], str]] = {
        Absentee.AGENT: lambda agent: agent.agent_id,
        Absentee.TEAM: lambda agent: agent.team_id,
        Absentee.SITE: lambda agent: staff.group_of[agent.agent_id].key.site_id,
    }
    absences: list[Absence] = []
    for kind, unit_of in units.items():
        losses: defaultdict[str, list[PortfolioLoss]] = defaultdict(list)
        for portfolio_id in sorted(staff.plans):
            hit = _loss(staff, portfolio_id, unit_of)
            if hit is not None:
                losses[hit[0]].append(hit[1])
        skills = _held_by_one((skill, unit_of(a)) for a in organisation.agents.values() for skill in a.skills)
        languages = _held_by_one((word, unit_of(a)) for a in organisation.agents.values() for word in a.languages)
        for unit in {*losses, *skills, *languages}:
            absences.append(
                Absence(
                    kind=kind,
                    id=unit,
                    portfolios=tuple(sorted(losses.get(unit, ()), key=_severity)),
                    skills=tuple(skills.get(unit, ())),
                    languages=tuple(languages.get(unit, ())),
                )
            )
    order = list(units)
    return tuple(
        sorted(
            absences,
            key=lambda absence: (
                order.index(absence.kind),
                -len(absence.unserved),
                -len(absence.portfolios),
                -len(absence.skills),
                -len(absence.languages),
                absence.id,
            ),
        )
    )


def _loss(staff: Staff, portfolio_id: PortfolioId, unit_of: Callable[[Agent], str]) -> tuple[str, PortfolioLoss] | None:
    """The one unit to which everybody in the portfolio's first ring belongs, and what happens without it."""
    first_s = 0
    alone: str | None = None
    for ring in staff.plans[portfolio_id].rings:
        units = {unit_of(agent) for member in ring.members for agent in staff.agents_by_group[member.group]}
        if alone is None:
            if len(units) > 1:
                return None
            first_s, alone = ring.opens_ms // 1000, units.pop()
        elif units != {alone}:
            return alone, PortfolioLoss(portfolio_id=portfolio_id, first_s=first_s, then_s=ring.opens_ms // 1000)
    if alone is None:
        return None
    return alone, PortfolioLoss(portfolio_id=portfolio_id, first_s=first_s, then_s=None)


def _severity(loss: PortfolioLoss) -> tuple[bool, int, PortfolioId]:
    return (loss.then_s is not None, -((loss.then_s or 0) - loss.first_s), loss.portfolio_id)


Thing = TypeVar("Thing", bound=Hashable)


def _held_by_one(holdings: Iterable[tuple[Thing, str]]) -> Mapping[str, list[Thing]]:
    """Unit -> what no other unit has, sorted."""
    units_of: defaultdict[Thing, set[str]] = defaultdict(set)
    for thing, unit in holdings:
        units_of[thing].add(unit)
    held: defaultdict[str, list[Thing]] = defaultdict(list)
    for thing in sorted(units_of, key=str):
        if len(units_of[thing]) == 1:
            held[next(iter(units_of[thing]))].append(thing)
    return held


# --- For the terminal ----------------------------------------------------------------------------------------------

_ROWS_MAX = 10
_NAMES_MAX = 4


def as_text(summary: GraphSummary, portfolio_id: str | None = None) -> RenderableType:
    """The summary for a terminal of 100 columns or more, what matters most first; long lists are cut short.

    Args:
        summary: From `summarise_graph`.
        portfolio_id: Show this portfolio alone, in full; None: the whole organisation.

    Raises:
        UnknownPortfolio: There is no such portfolio.
    """
    if portfolio_id is not None:
        find_portfolio(portfolio_id, (reach.portfolio_id for reach in summary.portfolios))
        reach = next(reach for reach in summary.portfolios if reach.portfolio_id == portfolio_id)
        return Lines(*_portfolio_lines(reach, summary))
    return Lines(
        _counts_line(summary.counts),
        *_section("Out of reach", _orphan_lines(summary.orphans), "nothing: every team, owner and client is in place"),
        *_section(
            "If one agent is away",
            _absence_lines(summary.absences, Absentee.AGENT),
            "nothing breaks: first rings have two agents or more, and so has every skill and language",
        ),
        *_section("If a whole team is away", _absence_lines(summary.absences, Absentee.TEAM), "nothing breaks"),
        *_section("If a whole site is away", _absence_lines(summary.absences, Absentee.SITE), "nothing breaks"),
        *_section(
            "Whom each portfolio reaches, fewest agents in the first ring first", [_rings_table(summary.portfolios)], ""
        ),
    )


def _counts_line(counts: Counts) -> RenderableType:
    owned = f", {counts.clients_owned:,} with an owner" if counts.clients_owned else ""
    return Text(
        f"{_number(counts.portfolios, 'portfolio')} of {_number(counts.clients, 'client')}{owned}\n"
        f"{_number(counts.teams, 'team')} of {_number(counts.agents, 'agent')} at {_number(counts.sites, 'site')}; "
        f"{_number(counts.skills, 'skill')}, {_number(counts.languages, 'language')}"
    )


def _section(title: str, lines: Sequence[RenderableType], when_empty: str) -> Iterable[RenderableType]:
    yield Text(f"\n{title}", style="bold")
    for line in lines or [Text(when_empty, style="green")]:
        yield Padding(line, (0, 0, 0, 2), expand=False)


def _orphan_lines(orphans: Orphans) -> list[RenderableType]:
    lines = []
    if orphans.teams:
        count = _number(len(orphans.agents), "agent")
        lines.append(
            f"{_number(len(orphans.teams), 'team')} ({count}) that no portfolio reaches: {_some(orphans.teams)}"
        )
    for owners, what in (
        (orphans.owners_unfit, "who lack what the portfolio of their clients needs, and are never offered their calls"),
        (orphans.owners_outside, "in no team that the portfolio of their clients reaches"),
    ):
        if owners:
            names = _some([f"{o.agent_id} ({_number(o.clients, 'client')} of {o.portfolio_id})" for o in owners])
            lines.append(f"{_number(len({o.agent_id for o in owners}), 'owner')} {what}: {names}")
    homeless = orphans.clients_without_portfolio
    if homeless.count:
        names = _some(homeless.first, of=homeless.count)
        lines.append(f"{_number(homeless.count, 'client')} without a portfolio, who go to the default one: {names}")
    return [Text(line, style="yellow") for line in lines]


def _absence_lines(absences: Iterable[Absence], kind: Absentee) -> list[RenderableType]:
    chosen = [absence for absence in absences if absence.kind is kind]
    if not chosen:
        return []
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    alike: defaultdict[object, list[Absence]] = defaultdict(list)
    for absence in chosen:
        # What is lost by one alone is worth a row of its own, and so is a portfolio left with nobody.
        unique = (absence.unserved, absence.skills, absence.languages)
        alike[unique, tuple(loss.then_s for loss in absence.portfolios)].append(absence)
    rows = list(alike.values())
    for same in rows[:_ROWS_MAX]:
        first = same[0]
        style = "red" if first.unserved else "yellow"
        names = first.id if len(same) == 1 else f"{first.id} ... {same[-1].id} ({len(same)} {kind}s), each"
        table.add_row(Text(names, style=style), Text("; ".join(_consequences(first, named=len(same) == 1))))
    left_out = sum(len(same) for same in rows[_ROWS_MAX:])
    return [table, *_more(left_out, f"of {len(chosen):,} {kind}s whose absence breaks something")]


def _consequences(absence: Absence, *, named: bool) -> Iterable[str]:
    by_delay: defaultdict[int | None, list[PortfolioLoss]] = defaultdict(list)
    for loss in absence.portfolios:
        by_delay[loss.then_s].append(loss)
    for then_s, losses in by_delay.items():
        names = [loss.portfolio_id for loss in losses]
        subject = f"{_number(len(names), 'portfolio')} {'has' if len(names) == 1 else 'have'}"
        what = "nobody at all" if then_s is None else f"nobody before {then_s} s"
        yield f"{subject} {what}" + (f" ({_some(names)})" if named else "")
    if absence.skills:
        yield f"nobody has {_some(absence.skills)}"
    if absence.languages:
        yield f"nobody speaks {_some(absence.languages)}"


def _rings_table(portfolios: Sequence[PortfolioReach]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("portfolio", no_wrap=True)
    table.add_column("owner team", no_wrap=True)
    table.add_column("clients", justify="right")
    table.add_column("agents by wait")
    tightest = sorted(portfolios, key=lambda reach: (reach.rings[0].agents, reach.agents, reach.portfolio_id))
    for reach in tightest[:_ROWS_MAX]:
        steps = [f"{ring.after_s} s: {ring.agents}" for ring in reach.rings]
        shown = steps if len(steps) <= 6 else [*steps[:5], "...", steps[-1]]
        table.add_row(reach.portfolio_id, reach.owner_team, f"{reach.clients:,}", ", ".join(shown))
    return Lines(table, *_more(len(portfolios) - _ROWS_MAX, f"of {len(portfolios):,} portfolios"))


def _portfolio_lines(reach: PortfolioReach, summary: GraphSummary) -> Iterable[RenderableType]:
    yield Text(f"Portfolio {reach.portfolio_id}", style="bold")
    yield Text(f"{_number(reach.clients, 'client')}, owner team {reach.owner_team}, {_number(reach.agents, 'agent')}\n")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("agents", justify="right")
    table.add_column("so far", justify="right")
    table.add_column("of teams")
    so_far = 0
    for ring in reach.rings:
        so_far += ring.agents
        table.add_row(f"{ring.after_s} s", str(ring.agents), str(so_far), _some(ring.teams))
    yield table
    losses = [
        (absence, loss)
        for absence in summary.absences
        for loss in absence.portfolios
        if loss.portfolio_id == reach.portfolio_id
    ]
    lines = [
        Text(
            f"if {absence.kind} {absence.id} is away: "
            + ("nobody at all" if loss.then_s is None else f"nobody before {loss.then_s} s"),
            style="red" if loss.then_s is None else "yellow",
        )
        for absence, loss in losses
    ]
    yield from _section("One absence", lines, "the first ring keeps somebody whichever agent, team or site is away")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _some(names: Sequence[str], most: int = _NAMES_MAX, *, of: int | None = None) -> str:
    """The first names, and how many more."""
    total = len(names) if of is None else of
    more = [f"{total - most:,} more"] if total > most else []
    return ", ".join([*names[:most], *more])


def _more(count: int, of_what: str) -> list[RenderableType]:
    return [Text(f"... {count:,} more {of_what}", style="dim")] if count > 0 else []
