"""The people and places of the organisation as they stand: agents, their groups, teams, sites and portfolios.

The roster follows the organisation through its versions: what an id holds (a state, a seat, a tally) stays with the id.
"""

from router.core.errors import EventRejected, Rejection
from router.core.members import AGENT_IDLE, AGENT_NOT_READY, AGENT_SIGNED_OUT
from router.core.model import Agent, AgentId, AgentStatus, PortfolioId, SiteId, Strategy, TeamId
from router.core.organisation import Organisation
from router.core.plans import make_plan, merge_needs
from router.core.queues import Queue
from router.core.state import HISTORY_MAX, AgentRecord, Group, Plan, PortfolioRecord, SiteRecord, TeamRecord
from router.core.values import GroupKey, Requirement

__all__ = ["Roster"]

_UNKNOWN = ""
"""The country of agents whose site has none, before they sign in."""


class Roster:
    """Records of everything that an organisation names, and the plans made from it."""

    def __init__(self, organisation: Organisation, *, plans_max: int, plan_members_max: int) -> None:
        self.agents: dict[AgentId, AgentRecord] = {}
        self.teams: dict[TeamId, TeamRecord] = {}
        self.sites: dict[SiteId, SiteRecord] = {}
        self.portfolios: dict[PortfolioId, PortfolioRecord] = {}
        """Those of earlier versions too: their tallies still count."""
        self._groups: dict[GroupKey, Group] = {}
        self._groups_by_team: dict[TeamId, list[Group]] = {}
        self._own_groups: set[GroupKey] = set()
        """Those in which agents are who sit at their own site."""
        self._plans: dict[tuple[PortfolioId, Requirement], Plan] = {}
        self._plans_max = plans_max
        self._plan_members = 0
        self._plan_members_max = plan_members_max
        self._last_stamp = 0
        self.adopt(organisation)

    # --- Versions of the organisation ---

    def adopt(self, organisation: Organisation) -> list[AgentRecord]:
        """Follow a version of the organisation; returns the agents who are no longer in it."""
        self.organisation = organisation
        self._forget_plans()
        self._groups.clear()
        self._groups_by_team.clear()
        self._own_groups.clear()
        old_teams, self.teams = self.teams, {}
        for team_id, team in organisation.teams.items():
            self.teams[team_id] = old_teams.get(team_id) or TeamRecord(team)
            self.teams[team_id].follow(team)
        old_sites, self.sites = self.sites, {}
        for site_id, site in organisation.sites.items():
            self.sites[site_id] = old_sites.get(site_id) or SiteRecord(site)
            self.sites[site_id].follow(site)
        for portfolio_id, portfolio in organisation.portfolios.items():
            company = portfolio.company or organisation.description.company
            if portfolio_id in self.portfolios:
                self.portfolios[portfolio_id].follow(portfolio, company)
            else:
                self.portfolios[portfolio_id] = PortfolioRecord(portfolio, company)
        for agent in organisation.agents.values():
            self._adopt_agent(agent)
        gone = [record for agent_id, record in self.agents.items() if agent_id not in organisation.agents]
        for left in gone:
            left.removed = True
        return gone

    def _adopt_agent(self, agent: Agent) -> None:
        team = self.teams[agent.team_id]
        site_id = agent.site_id or team.team.site_id
        # Made for those too who sit elsewhere today: a call that they could serve from their own site is servable.
        own_group = self._group(agent, team, site_id, self.sites[site_id].site.country or _UNKNOWN)
        self._own_groups.add(own_group.key)
        record = self.agents.get(agent.agent_id)
        if record is None:
            record = self.agents[agent.agent_id] = AgentRecord(agent, team, own_group)
        else:
            country = self.sites[site_id].site.country
            if record.site is not None:
                # Also when the site is not in the new version: the agent still sits there.
                site_id, country = record.site.site.site_id, record.site.site.country
            # Whoever sits at a site that has lost its country has not moved.
            country = record.country or country or record.group.key.country
            if record.status is AGENT_IDLE:
                record.team.idle -= 1
                team.idle += 1
            record.agent, record.team, record.removed = agent, team, False
            record.group = self._group(agent, team, site_id, country)
            record.group.staffed += _is_staffed(record.status)

    def forget(self, agent: AgentRecord) -> None:
        """Let go of a signed-out agent who is no longer in the organisation."""
        del self.agents[agent.agent_id]

    # --- Plans and groups ---

    def plan_for(self, record: PortfolioRecord, asked: Requirement, now_ms: int) -> Plan:
        """The plan of a kind of call, made at the first call of the kind."""
        portfolio = record.portfolio
        key = (portfolio.portfolio_id, asked)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= self._plans_max or self._plan_members >= self._plan_members_max:
                self._forget_plans()
            strategy = self.teams[record.owner_team_id].team.strategy
            routes = self.organisation.routes[portfolio.portfolio_id]
            plan = make_plan(portfolio, merge_needs(portfolio, asked), routes, self._groups_by_team, strategy)
            if strategy is Strategy.LEAST_OCCUPIED:
                for group in plan.ring_of:
                    self._order_by_occupancy(group, now_ms)
            self._plans[key] = plan
            self._plan_members += len(plan.ring_of)
        return plan

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._plan_members = 0

    def _group(self, agent: Agent, team: TeamRecord, site_id: SiteId, country: str) -> Group:
        key = GroupKey(
            team_id=agent.team_id,
            site_id=site_id,
            supplier_id=agent.supplier_id or team.team.supplier_id,
            country=country,
            after_ms=agent.after_s * 1000,
            skills=tuple(sorted(agent.skills.items())),
            languages=tuple(sorted(agent.languages)),
        )
        return self._group_of_key(key)

    def _group_of_key(self, key: GroupKey) -> Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, self.teams[key.team_id])
            self._groups_by_team.setdefault(key.team_id, []).append(group)
        return group

    def groups(self) -> list[Group]:
        """The groups of this version of the organisation, those of agents who sit elsewhere too; sorted by key."""
        return [self._groups[key] for key in sorted(self._groups)]

    def groups_of(self, team: TeamRecord) -> list[Group]:
        """The groups of a team, in an order that is the same on every run of the same events."""
        return self._groups_by_team.get(team.team.team_id, [])

    def group_again(self, key: GroupKey, *, by_occupancy: bool) -> Group:
        """The group of a snapshot, made where the organisation alone does not make it."""
        group = self._group_of_key(key)
        if by_occupancy:
            group.idle_by_occupancy = Queue()
        return group

    def plan_of_the_past(self, record: PortfolioRecord, asked: Requirement) -> Plan:
        """A plan to explain a past call by. Nothing is routed by it, so it leaves no trace here."""
        portfolio = record.portfolio
        requirement = merge_needs(portfolio, asked)
        routes = self.organisation.routes.get(portfolio.portfolio_id)
        if routes is None:
            return Plan(portfolio.portfolio_id, requirement, (), Strategy.LONGEST_IDLE, is_lost=True)
        strategy = self.teams[record.owner_team_id].team.strategy
        return make_plan(portfolio, requirement, routes, self._groups_by_team, strategy)

    def _order_by_occupancy(self, group: Group, now_ms: int) -> None:
        if group.idle_by_occupancy is not None:
            return
        group.idle_by_occupancy = Queue()
        for agent in self.agents.values():
            if agent.group is group and agent.is_free:
                agent.occupancy_ppm = _occupancy_ppm(agent, now_ms)
                group.idle_by_occupancy.push(agent.occupancy_ppm, agent.idle_since_ms, agent.agent_id, agent)

    # --- Agents ---

    def agent(self, agent_id: AgentId) -> AgentRecord:
        agent = self.agents.get(agent_id)
        if agent is None:
            raise EventRejected(Rejection.UNKNOWN_AGENT, f"there is no agent {agent_id} in the organisation")
        return agent

    def sit_down(
        self, agent: AgentRecord, *, site_id: SiteId | None, seat: str | None, home_country: str | None
    ) -> bool:
        """Give the agent a seat of the site, or a place at home.

        Returns:
            Whether nobody alike had sat there before, so that plans made earlier do not know the group.

        Raises:
            EventRejected: The site is unknown or full, or the seat is taken. Nothing has changed.
        """
        site_id = site_id or agent.agent.site_id or agent.team.team.site_id
        site = self.sites.get(site_id)
        if site is None:
            raise EventRejected(Rejection.UNKNOWN_SITE, f"there is no site {site_id!r}")
        country = home_country or site.site.country
        if country is None:
            raise EventRejected(
                Rejection.UNKNOWN_COUNTRY,
                f"site {site_id} has no country of its own: say in which country agent {agent.agent_id} sits",
            )
        if home_country is None:
            counts = site.site.counts(seat)
            if counts and site.site.seats is not None and site.taken >= site.site.seats:
                raise EventRejected(Rejection.SITE_FULL, f"all {site.site.seats} seats of site {site_id} are taken")
            holder = site.seats.get(seat) if seat is not None else None
            if holder is not None:
                raise EventRejected(Rejection.SEAT_TAKEN, f"seat {seat} of site {site_id} is taken by {holder}")
            agent.site, agent.seat = site, seat
            site.taken += counts
            if seat is not None:
                site.seats[seat] = agent.agent_id
        agent.country = home_country
        known = len(self._groups)
        agent.group = self._group(agent.agent, agent.team, site_id, country)
        if len(self._groups) == known:
            return False
        self._forget_plans()
        # Everybody needs two groups at most, at the own site and where they sit now; twice that before looking
        # again keeps the cost of looking small.
        if len(self._groups) > 4 * len(self.agents):
            self._forget_groups()
        return True

    def _forget_groups(self) -> None:
        """Let go of groups that nobody is in: a stranger could sign agents in from every country of the alphabet."""
        needed = self._own_groups | {agent.group.key for agent in self.agents.values()}
        self._groups = {key: group for key, group in self._groups.items() if key in needed}
        self._groups_by_team.clear()
        for key, group in self._groups.items():
            self._groups_by_team.setdefault(key.team_id, []).append(group)

    def stand_up(self, agent: AgentRecord) -> None:
        """Give the agent's seat free."""
        if agent.site is not None:
            agent.site.taken -= agent.site.site.counts(agent.seat)
            if agent.seat is not None:
                del agent.site.seats[agent.seat]
        agent.site = agent.seat = agent.country = None

    def set_status(self, agent: AgentRecord, status: AgentStatus, now_ms: int, reason: str | None = None) -> None:
        """The one place where an agent's status changes, so that counts and history always agree with it."""
        before = agent.status
        agent.status = status
        agent.reason = reason
        # Most changes are between two ways of being at work, which are told without a call.
        if (
            status is AGENT_NOT_READY
            or before is AGENT_NOT_READY
            or status is AGENT_SIGNED_OUT
            or before is AGENT_SIGNED_OUT
        ):
            agent.group.staffed += _is_staffed(status) - _is_staffed(before)
        if before is AGENT_IDLE:
            agent.team.idle -= 1
        if status is AGENT_IDLE:
            agent.team.idle += 1
        history = agent.history
        history.append((now_ms, status, reason))
        if len(history) >= 2 * HISTORY_MAX:
            del history[:-HISTORY_MAX]

    def rest_again(self, agent: AgentRecord) -> None:
        """Stand an idle agent of a snapshot in the queues of its group, with the occupancy that it came with."""
        self._last_stamp = agent.stamp = self._last_stamp + 1
        group = agent.group
        group.idle.push(agent.idle_since_ms, 0, agent.agent_id, agent)
        if group.idle_by_occupancy is not None:
            group.idle_by_occupancy.push(agent.occupancy_ppm, agent.idle_since_ms, agent.agent_id, agent)

    def count_again(self) -> None:
        """Count anew, after records were filled from a snapshot: who is at work in a group, and idle in a team."""
        for agent in self.agents.values():
            agent.group.staffed += _is_staffed(agent.status)
            agent.team.idle += agent.status is AGENT_IDLE

    def rest(self, agent: AgentRecord, now_ms: int) -> None:
        """Stand an idle agent, for whom no call waits, in the queues of its group."""
        self._last_stamp = agent.stamp = self._last_stamp + 1
        group = agent.group
        group.idle.push(agent.idle_since_ms, 0, agent.agent_id, agent)
        if group.idle_by_occupancy is not None:
            agent.occupancy_ppm = _occupancy_ppm(agent, now_ms)
            group.idle_by_occupancy.push(agent.occupancy_ppm, agent.idle_since_ms, agent.agent_id, agent)


def _is_staffed(status: AgentStatus) -> bool:
    """Idle or at work."""
    return status is not AGENT_SIGNED_OUT and status is not AGENT_NOT_READY


def _occupancy_ppm(agent: AgentRecord, now_ms: int) -> int:
    return agent.busy_ms * 1_000_000 // max(1, now_ms - agent.signed_in_ms)
