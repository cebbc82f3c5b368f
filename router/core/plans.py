"""Plans: which groups of agents a kind of call reaches, and when.

A plan belongs to a kind of call, that is a portfolio and what the call needs, and lists groups by reach: the wait after
which the way through the organisation is open and skill needs have relaxed far enough. Plans are made once a
kind; the hot path only walks them.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from router.core.model import Portfolio, SkillNeed, Strategy, TeamId
from router.core.organisation import Route, satisfied_after_ms
from router.core.state import Group, Member, Plan, Ring
from router.core.values import Requirement

__all__ = ["NOWHERE", "Shortfall", "make_plan", "merge_needs", "opens_for", "opens_ms", "shortfall"]


# Two country sets without a country in common. No site has this country, so nobody matches.
NOWHERE = "--"


class Shortfall(StrEnum):
    """What a group lacks for a kind of call, in the order of precedence: law before skill."""

    COUNTRY = "country"
    SKILL = "skill"
    LANGUAGE = "language"


def merge_needs(portfolio: Portfolio, asked: Requirement) -> Requirement:
    """What the call needs in all: of a skill named twice the call's own words count; both country sets must hold."""
    own = {need.skill for need in asked.skills}
    needs = (*asked.skills, *(need for need in portfolio.skills if need.skill not in own))
    countries = asked.countries or portfolio.countries
    if asked.countries and portfolio.countries:
        countries = tuple(country for country in asked.countries if country in portfolio.countries) or (NOWHERE,)
    return Requirement(
        skills=tuple(sorted(needs, key=lambda need: need.skill)),
        language=asked.language or portfolio.language,
        countries=tuple(sorted(countries)),
    )


def shortfall(requirement: Requirement, group: Group) -> tuple[Shortfall, SkillNeed | None] | None:
    """What keeps the group from ever serving such a call, the weightiest first; None: nothing."""
    country, countries = group.key.country, requirement.countries
    # Who sits nowhere yet may come to sit in the right country, if there is one.
    if countries and country not in countries and (country or countries == (NOWHERE,)):
        return Shortfall.COUNTRY, None
    for need in requirement.skills:
        if satisfied_after_ms(need, group.levels.get(need.skill, 0)) is None:
            return Shortfall.SKILL, need
    if requirement.language is not None and requirement.language not in group.key.languages:
        return Shortfall.LANGUAGE, None
    return None


def opens_ms(requirement: Requirement, group: Group) -> int | None:
    """The wait after which the group meets the requirement, ways through the organisation apart; None: never."""
    if shortfall(requirement, group) is not None:
        return None
    waits = (satisfied_after_ms(need, group.levels.get(need.skill, 0)) for need in requirement.skills)
    return max((wait for wait in waits if wait is not None), default=0)


def opens_for(plan: Plan, group: Group) -> int | None:
    """As `opens_ms`, worked out once a group: of owners and backups it is asked some ten times a call."""
    found = plan.opens_ms
    if group not in found:
        found[group] = opens_ms(plan.requirement, group)
    return found[group]


def make_plan(
    portfolio: Portfolio,
    requirement: Requirement,
    routes: Iterable[Route],
    groups_by_team: Mapping[TeamId, Iterable[Group]],
    strategy: Strategy,
) -> Plan:
    members_by_reach: dict[int, list[Member]] = {}
    spare: list[Member] = []
    owner_team_id = portfolio.teams[0].team_id
    for route in routes:
        for group in groups_by_team.get(route.team_id, ()):
            relaxed_ms = opens_ms(requirement, group)
            if relaxed_ms is None:
                continue
            way_ms = route.reach_ms + group.key.after_ms
            hops = route.hops
            if group.key.after_ms:
                hops = (*hops, f"after {group.key.after_ms // 1000} s: reserve of team {route.team_id}")
            if relaxed_ms > 0:
                hops = (*hops, f"after {relaxed_ms // 1000} s: {_relaxed_words(requirement, group)}")
            score = _score(strategy, requirement, group, owner_team_id)
            members_by_reach.setdefault(max(way_ms, relaxed_ms), []).append(Member(group, score, hops))
            keep_idle = group.team.team.keep_idle
            # A team lends those who would be asked by its own calls first, and whose skills suffice from the start.
            if keep_idle is not None and route.reach_ms > 0 and group.key.after_ms == 0 and relaxed_ms == 0:
                at_once = f"while more than {keep_idle} of its agents are idle: team {route.team_id}"
                spare.append(Member(group, score, (f"portfolio {portfolio.portfolio_id}", at_once)))
    rings = tuple(
        # Best score first, so that a strategy that compares scores can stop at the first that has somebody idle.
        Ring(reach_ms, _best_first(members_by_reach[reach_ms]))
        for reach_ms in sorted(members_by_reach)
    )
    return Plan(portfolio.portfolio_id, requirement, rings, strategy, spare=_best_first(spare))


def _best_first(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: (member.score, member.group.key)))


def _score(strategy: Strategy, requirement: Requirement, group: Group, owner_team_id: TeamId) -> int:
    if strategy is Strategy.MOST_SKILLED:
        return -sum(group.levels.get(need.skill, 0) for need in requirement.skills)
    if strategy is Strategy.LEAST_FLEXIBLE:
        # Those who can do least else are asked first; the polyglot stays free for the call only they can take.
        return len(group.levels) + len(group.key.languages)
    if strategy is Strategy.IDLEST_TEAM:
        return 0 if group.key.team_id == owner_team_id else 1
    return 0


def _relaxed_words(requirement: Requirement, group: Group) -> str:
    needs = [need for need in requirement.skills if group.levels.get(need.skill, 0) < need.level]
    return ", ".join(
        f"{need.skill} {group.levels[need.skill]} instead of {need.level}"
        if need.skill in group.levels
        else f"without {need.skill}"
        for need in needs
    )
