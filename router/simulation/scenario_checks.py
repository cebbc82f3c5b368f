"""A scenario against its organisation: whom it does not know, too few people or seats, calls without end.

Like what is wrong within a scenario, all of it is said before anything is played.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any, Final
from zoneinfo import ZoneInfo

from router.core.errors import Problem
from router.core.model import OrganisationDescription, PortfolioId, SiteId, TeamId, Weekday
from router.core.organisation import Organisation
from router.load_files import problems_of_load
from router.reading import nearest
from router.roster_files import Shift, roster_of
from router.simulation.scenario import HOURS, Calls, Roster, Scenario
from router.simulation.times import Law, Times, mean_s_of, times_of
from router.simulation.traffic import calls_an_hour, hour_marks_ms

__all__ = ["problems_of"]

_NAMED_MAX: Final = 3


def problems_of(scenario: Scenario, description: OrganisationDescription) -> list[Problem]:
    """What keeps the scenario from being played with this organisation, which must be free of problems itself."""
    organisation = Organisation(description)
    roster = roster_of(scenario.shifts, organisation)
    problems = [
        *_unknown(scenario, organisation),
        *_doubled(scenario),
        *(roster.problems or _misplaced(scenario, roster.shifts)),
        *_load_problems(scenario, organisation),
    ]
    if not problems:
        problems += _too_few(scenario, organisation)
        problems += _too_few_seats(scenario, roster.shifts)
        problems += _too_slow(scenario, organisation)
        problems += _Load(scenario, organisation, roster.shifts).problems()
    return problems


def _unknown(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    portfolios = [("portfolio_id", calls.portfolio_id, calls.where) for calls in scenario.calls]
    for calls in scenario.calls:
        for number, each in enumerate(calls.transfers, start=1):
            portfolios.append((f"transfers entry {number}, portfolio_id", each.portfolio_id, calls.where))
    tables: tuple[tuple[str, list[tuple[str, Any, str]], Any], ...] = (
        ("portfolio", portfolios, organisation.portfolios),
        ("team", [("team_id", roster.team_id, roster.where) for roster in scenario.rosters], organisation.teams),
        ("site", [("site_id", site.site_id, site.where) for site in scenario.sites], organisation.sites),
    )
    for kind, rows, known in tables:
        for field, identity, where in rows:
            if identity not in known:
                yield Problem(where, field, f"there is no {kind} {identity!r}" + nearest(identity, known))
    segments = {each.segment: each.portfolio_id for each in organisation.description.segments}
    for calls in scenario.calls:
        if calls.segment is None:
            continue
        if calls.segment not in segments:
            hint = nearest(calls.segment, segments)
            yield Problem(calls.where, "segment", f"there is no segment {calls.segment!r}{hint}")
        elif segments[calls.segment] != calls.portfolio_id:
            message = f"unknown callers of {calls.segment} go to {segments[calls.segment]}, not to {calls.portfolio_id}"
            yield Problem(calls.where, "segment", message)


def _doubled(scenario: Scenario) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for calls in scenario.calls:
        first = seen.setdefault(calls.portfolio_id, calls.where)
        if first != calls.where:
            yield Problem(calls.where, "portfolio_id", f"{calls.portfolio_id!r} stands twice, first in {first}")
    told: set[str] = set()
    for era in _eras(scenario):
        there: dict[tuple[TeamId, Weekday], str] = {}
        for roster in era:
            for day in dict.fromkeys(roster.days):
                first = there.setdefault((roster.team_id, day), roster.where)
                if first != roster.where and roster.where not in told:
                    told.add(roster.where)
                    yield Problem(roster.where, "days", f"{day} of {roster.team_id} stands twice, first in {first}")


def _misplaced(scenario: Scenario, shifts: Sequence[Shift]) -> Iterator[Problem]:
    """Shifts of the roster file that say something else than the rest of the scenario."""
    if scenario.roster is None:
        return
    by_hour = {roster.team_id: roster.where for roster in scenario.rosters}
    for team_id in sorted({shift.agent.team_id for shift in shifts} & by_hour.keys()):
        message = f"agents of {team_id} are in {scenario.roster.name} as well: keep one of the two"
        yield Problem(by_hour[team_id], "team_id", message)
    days = [shift.day for shift in shifts]
    if not any(scenario.starts <= day < scenario.ends for day in days):
        whose = f"is about {min(days)} to {max(days)}" if days else "has no shift"
        message = f"{scenario.roster.name} {whose}: nobody works from {scenario.starts} until {scenario.ends}"
        yield Problem(scenario.where, "roster", message)


def _load_problems(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    """Of the load file."""
    for row in scenario.load_rows:
        yield from problems_of_load(row, organisation)
        if row.skills or row.language is not None:
            yield Problem(row.where, "skills", "callers of a scenario need what their portfolio needs, and no more")
    loaded = {row.portfolio_id for row in scenario.load_rows}
    for calls in scenario.calls:
        is_known = calls.portfolio_id in organisation.portfolios
        if calls.a_day is None and calls.days_of is None and is_known and calls.portfolio_id not in loaded:
            name = scenario.load.name if scenario.load is not None else "the load"
            message = f"{name} has no calls of {calls.portfolio_id}: add them, or write a_day"
            yield Problem(calls.where, "a_day", message)


def _eras(scenario: Scenario) -> list[list[Roster]]:
    """The rosters that are valid together, whenever they change."""
    bounds = {each for roster in scenario.rosters for each in (roster.valid_from, roster.valid_until)}
    starts = {scenario.starts} | {each for each in bounds if each and scenario.starts < each < scenario.ends}
    return [[roster for roster in scenario.rosters if roster.is_valid(day)] for day in sorted(starts)]


def _too_few(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    """Rosters that need more people, or more seats, than there are."""
    agents = Counter(agent.team_id for agent in organisation.agents.values())
    for roster in scenario.rosters:
        most = max(roster.by_hour)
        if most > agents[roster.team_id]:
            hour = roster.by_hour.index(most)
            yield Problem(
                roster.where,
                "by_hour",
                f"{most} are wanted at {hour:02}:00, but team {roster.team_id} has {agents[roster.team_id]}",
            )
    full: set[SiteId] = set()
    for era in _eras(scenario):
        for (site_id, day, hour), count in _seated(era, organisation).items():
            seats = organisation.sites[site_id].seats
            if seats is not None and count > seats and site_id not in full:
                full.add(site_id)
                message = f"{count} on {day} at {hour:02}:00, but site {site_id} has {seats} seats"
                yield Problem(scenario.where, "rosters", message)


def _seated(era: Sequence[Roster], organisation: Organisation) -> Counter[tuple[SiteId, Weekday, int]]:
    seated: Counter[tuple[SiteId, Weekday, int]] = Counter()
    for roster in era:
        site_id = organisation.teams[roster.team_id].site_id
        seated.update({(site_id, day, hour): count for day in roster.days for hour, count in enumerate(roster.by_hour)})
    return seated


def _too_few_seats(scenario: Scenario, shifts: Sequence[Shift]) -> Iterator[Problem]:
    """The first time that a site is fuller than it can be, by the roster file alone."""
    edges: defaultdict[SiteId, list[tuple[int, int]]] = defaultdict(list)
    sites = {}
    for shift in shifts:
        if shift.takes_seat and shift.site.seats is not None:
            sites[shift.site.site_id] = shift.site
            edges[shift.site.site_id] += ((shift.from_ms, 1), (shift.until_ms, -1))
    for site_id, changes in sorted(edges.items()):
        site, people = sites[site_id], 0
        for at_ms, change in sorted(changes):
            people += change
            if site.seats is not None and people > site.seats:
                local = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(site.time_zone))
                message = f"{people} on {local:%Y-%m-%d} at {local:%H:%M}, but site {site_id} has {site.seats} seats"
                yield Problem(scenario.where, "roster", message)
                break


def _too_slow(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    """Agents who take longer to answer, in the mean, than an offer stands."""
    if scenario.answer_s is None:
        return
    mean_s = mean_s_of(times_of(scenario.answer_s, Law.EXPONENTIAL))
    team = min(organisation.teams.values(), key=lambda each: (each.offer_timeout_s, each.team_id))
    if mean_s >= team.offer_timeout_s:
        message = f"{mean_s:g} s, and an offer of team {team.team_id} stands for {team.offer_timeout_s} s: nobody "
        yield Problem(scenario.where, "answer_s", message + "would answer in time")


class _Load:
    """Calls that nobody could answer, or that would pile up without end."""

    def __init__(self, scenario: Scenario, organisation: Organisation, shifts: Sequence[Shift]) -> None:
        self._scenario = scenario
        self._organisation = organisation
        self._there_s = self._agents_s_a_week(shifts)
        self._teams_of = {
            calls.portfolio_id: [route.team_id for route in organisation.routes[calls.portfolio_id]]
            for calls in scenario.calls
        }

    def _agents_s_a_week(self, shifts: Sequence[Shift]) -> Counter[TeamId]:
        """Of the era with the most: only what could never be is refused."""
        there_s: Counter[TeamId] = Counter()
        for era in _eras(self._scenario):
            present: Counter[TeamId] = Counter()
            for roster in era:
                present[roster.team_id] += len(set(roster.days)) * sum(roster.by_hour) * 3_600
            there_s |= present
        days = (self._scenario.ends - self._scenario.starts).days
        for shift in shifts:
            if shift.takes_calls and self._scenario.starts <= shift.day < self._scenario.ends:
                there_s[shift.agent.team_id] += (shift.until_ms - shift.from_ms) * 7 // max(7, days) // 1000
        return there_s

    def problems(self) -> Iterator[Problem]:
        alone: set[PortfolioId] = set()
        endless: list[Calls] = []
        for calls in self._scenario.calls:
            for number, each in enumerate(calls.transfers, start=1):
                yield from self._unanswered(calls, f"transfers entry {number}, portfolio_id", each.portfolio_id)
            if self._calls_a_week(calls) and (nobody := [*self._unanswered(calls, "portfolio_id", calls.portfolio_id)]):
                yield from nobody
            elif self._waits_without_end(calls):
                endless.append(calls)
                if problem := self._overload([calls]):
                    alone.add(calls.portfolio_id)
                    yield problem
        for together in self._sharing_teams([calls for calls in endless if calls.portfolio_id not in alone]):
            if len(together) > 1 and (problem := self._overload(together)):
                yield problem

    def _unanswered(self, calls: Calls, field: str, portfolio_id: PortfolioId) -> Iterator[Problem]:
        teams = [route.team_id for route in self._organisation.routes[portfolio_id]]
        if not any(self._there_s[team_id] for team_id in teams):
            message = f"nobody is rostered who could answer {portfolio_id}: its teams are " + ", ".join(teams)
            yield Problem(calls.where, field, message)

    def _waits_without_end(self, calls: Calls) -> bool:
        never = calls.patience_s is None or (isinstance(calls.patience_s, Times) and calls.patience_s.law is Law.NEVER)
        return never and self._organisation.portfolios[calls.portfolio_id].max_wait_s is None

    def _calls_a_week(self, calls: Calls) -> float:
        if calls.a_day is not None:
            return 7 * calls.a_day
        if calls.days_of is None:
            return self._calls_of_load(calls)
        days = self._scenario.recorded.get(calls.portfolio_id, ())
        return 7 * sum(len(day.arrived_ms) for day in days) / max(1, len(days))

    def _calls_of_load(self, calls: Calls) -> float:
        """In the hours in which the portfolio is open, of the first week."""
        hours = self._organisation.hours[calls.portfolio_id]
        week = calls_an_hour(self._scenario.load_rows)[calls.portfolio_id]
        zone = ZoneInfo(self._scenario.time_zone)
        days = (self._scenario.starts + timedelta(days=number) for number in range(7))
        return sum(
            week[day.weekday()][hour]
            for day in days
            for hour, at_ms in enumerate(hour_marks_ms(day, zone)[:HOURS])
            if hours.is_open(at_ms)
        )

    def _work_s(self, calls: Calls) -> float:
        """In a week, with the quickest of its teams."""
        teams = (self._organisation.teams[team_id] for team_id in self._teams_of[calls.portfolio_id])
        most_s = inf if calls.wrap_up_s is None else mean_s_of(times_of(calls.wrap_up_s, Law.EXPONENTIAL))
        wrap_up_s = min(most_s, *(team.wrap_up_s for team in teams))
        talk_s = mean_s_of(times_of(calls.talk_s, Law.LOG_NORMAL))
        quickest = min(100, calls.owner_talk_percent) / 100
        return self._calls_a_week(calls) * (talk_s * quickest + wrap_up_s)

    def _sharing_teams(self, endless: Sequence[Calls]) -> Iterator[list[Calls]]:
        """Those whose callers never hang up, put together where they share a team."""
        groups: list[tuple[set[TeamId], list[Calls]]] = []
        for calls in endless:
            teams, together = set(self._teams_of[calls.portfolio_id]), [calls]
            for group in [each for each in groups if each[0] & teams]:
                groups.remove(group)
                teams |= group[0]
                together = [*group[1], *together]
            groups.append((teams, together))
        return (together for _, together in groups)

    def _overload(self, together: Sequence[Calls]) -> Problem | None:
        teams = {team_id for calls in together for team_id in self._teams_of[calls.portfolio_id]}
        work_s, there_s = sum(map(self._work_s, together)), sum(self._there_s[team_id] for team_id in teams)
        if work_s < there_s:
            return None
        names = [calls.portfolio_id for calls in together]
        whose = ", ".join(names[:_NAMED_MAX]) + (f" and {len(names) - _NAMED_MAX} more" * (len(names) > _NAMED_MAX))
        return Problem(
            together[0].where,
            "patience_s",
            f"callers of {whose} never hang up, and make {work_s / 3_600:,.0f} hours of work a week for "
            f"{there_s / 3_600:,.0f} hours of agents: say how patient they are, or roster more",
        )
