"""A scenario: who calls when, how patient they are, how long they talk, and who is there to answer them.

A TOML file beside the organisation that it is played with. All that can be wrong with it is said at once, before
anything is played. Days and hours are local, in the scenario's own time zone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from router.core.errors import Problem, RouterError
from router.core.model import (
    Id,
    OrganisationDescription,
    PortfolioId,
    SiteId,
    TeamId,
    Weekday,
)
from router.core.organisation import Organisation
from router.reading import (
    StructT,
    nearest,
    note_unknown,
    noter,
    read_fields,
    read_row,
    read_toml,
)

__all__ = ["Calls", "Roster", "Scenario", "ScenarioError", "SiteTalk", "problems_of", "read_scenario"]

HOURS = 24
_WEEK = tuple(Weekday)
_DAYS_MAX = 3_660


class ScenarioError(RouterError):
    """A scenario that cannot be played, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class Calls(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The callers of a portfolio: a Poisson process whose rate follows the week, the day and chance.

    Whoever would call while the portfolio is closed does not: the platform tells them.
    """

    portfolio_id: Annotated[PortfolioId, Id]
    a_day: float
    """Calls on the mean day of a week that is open as ``by_weekday`` and ``by_hour`` say."""
    by_weekday: tuple[float, ...] = (1.0,) * 7
    """Monday first; only their proportions count."""
    by_hour: tuple[float, ...]
    """From midnight on; only their proportions count."""
    day_variation: float = 0.0
    """Some days are busier than others for no reason that anybody knew: standard deviation of that over the mean."""
    talk_s: float
    """Mean; log-normal."""
    talk_variation: float = 1.0
    """Standard deviation of talk times over their mean."""
    patience_s: float | None = None
    """Mean; exponential. None: nobody ever hangs up."""
    navigation_s: float | None = None
    """Mean, from dialling to the choice of an agent; log-normal, half as much variation as mean. None: not reported."""
    where: str = ""


class Roster(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of a team are signed in, hour by hour. None while their site is closed."""

    team_id: Annotated[TeamId, Id]
    days: tuple[Weekday, ...] = _WEEK
    by_hour: tuple[int, ...]
    """From midnight on."""
    valid_from: date | None = None
    valid_until: date | None = None
    """Excluded."""
    where: str = ""

    def is_valid(self, day: date) -> bool:
        return (self.valid_from or date.min) <= day and (self.valid_until is None or day < self.valid_until)


class SiteTalk(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A site where the same call takes longer, or less long, than elsewhere."""

    site_id: Annotated[SiteId, Id]
    talk_percent: int
    where: str = ""


class _Heading(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    config: Path = Path()
    """The settings file, or the directory that holds router.toml; relative to the scenario."""
    starts: date
    ends: date
    """Excluded."""
    time_zone: str = "Europe/Rome"
    seed: int = 1
    warm_up_days: int = 0
    """The first days are played and not counted: the centre begins empty."""
    asks_inside: float = 0.0
    """Of the callers who are told that they may ask for an agent inside, those who do."""
    misses: float = 0.0
    """Of the offers, those that nobody answers."""


class Scenario(_Heading, frozen=True, kw_only=True):
    """Everything about the callers and agents of a time."""

    calls: tuple[Calls, ...]
    rosters: tuple[Roster, ...]
    sites: tuple[SiteTalk, ...] = ()
    where: str = ""


_TABLES: dict[str, type[Struct]] = {"calls": Calls, "rosters": Roster, "sites": SiteTalk}

# --- Reading -------------------------------------------------------------------------------------------------------


def read_scenario(path: Path) -> Scenario:
    """Read a scenario and check what can be checked without its organisation.

    Args:
        path: The TOML file.

    Raises:
        ScenarioError: With all problems.
    """
    problems: list[Problem] = []
    note = noter(problems, path.name)
    raw = read_toml(path, note)
    if raw is None:
        raise ScenarioError(problems)
    note_unknown(raw, (*_TABLES, *_Heading.__struct_fields__), "key", note)
    heading = read_fields(_Heading, {key: raw[key] for key in _Heading.__struct_fields__ if key in raw}, note)
    tables = {name: _rows(raw.get(name, []), name, path.name, kind, problems) for name, kind in _TABLES.items()}
    if problems:
        raise ScenarioError(problems)
    scenario = msgspec.convert({**heading, **tables, "where": path.name}, Scenario)
    problems += _own_problems(scenario)
    if problems:
        raise ScenarioError(problems)
    return msgspec.structs.replace(scenario, config=path.parent / scenario.config)


def _rows(entries: Any, name: str, file: str, kind: type[StructT], problems: list[Problem]) -> tuple[StructT, ...]:
    if not isinstance(entries, list):
        problems.append(Problem(file, name, f"must be tables: write [[{name}]] above each, and its fields below it"))
        return ()
    rows = []
    for number, table in enumerate(entries, start=1):
        where = f"{file}, {name} entry {number}"
        row = read_row(kind, table, noter(problems, where), where=where)
        if row is not None:
            rows.append(row)
    return tuple(rows)


def _own_problems(scenario: Scenario) -> Iterator[Problem]:
    if scenario.ends <= scenario.starts:
        yield Problem(scenario.where, "ends", f"{scenario.ends} is not after starts, {scenario.starts}")
    elif (scenario.ends - scenario.starts).days > _DAYS_MAX:
        yield Problem(scenario.where, "ends", f"is more than {_DAYS_MAX} days after starts: write a shorter time")
    try:
        ZoneInfo(scenario.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        message = f"{scenario.time_zone!r} is no time zone: write one such as Europe/Rome"
        yield Problem(scenario.where, "time_zone", message)
    if scenario.seed < 0:
        yield Problem(scenario.where, "seed", f"{scenario.seed} is negative: write 0 or more")
    for name in ("asks_inside", "misses"):
        share = getattr(scenario, name)
        if not 0 <= share <= 1:
            yield Problem(scenario.where, name, f"{share:g} is no share: write a number from 0 to 1")
    if scenario.misses == 1:
        yield Problem(scenario.where, "misses", "nobody would ever answer: write less than 1")
    if not scenario.calls:
        yield Problem(scenario.where, "calls", "nobody calls: write [[calls]] with a portfolio_id")
    if not scenario.rosters:
        yield Problem(scenario.where, "rosters", "there are no agents: write [[rosters]] with a team_id")
    for calls in scenario.calls:
        yield from _problems_of_calls(calls)
    for roster in scenario.rosters:
        yield from _profile_problems(roster.where, "by_hour", roster.by_hour, HOURS, "agents", may_be_none=True)
    for site in scenario.sites:
        if site.talk_percent <= 0:
            yield Problem(site.where, "talk_percent", f"{site.talk_percent} is not more than 0")


def _problems_of_calls(calls: Calls) -> Iterator[Problem]:
    for name in ("a_day", "day_variation", "talk_variation"):
        value = getattr(calls, name)
        if not 0 <= value < float("inf"):
            yield Problem(calls.where, name, f"{value:g} is not possible: write 0 or more")
    for name in ("talk_s", "patience_s", "navigation_s"):
        value = getattr(calls, name)
        if value is not None and not 0 < value < float("inf"):
            yield Problem(calls.where, name, f"{value:g} is not possible: write more than 0")
    yield from _profile_problems(calls.where, "by_weekday", calls.by_weekday, len(_WEEK), "weights")
    yield from _profile_problems(calls.where, "by_hour", calls.by_hour, HOURS, "weights")


def _profile_problems(
    where: str, field: str, profile: Sequence[float], length: int, what: str, *, may_be_none: bool = False
) -> Iterator[Problem]:
    if len(profile) != length:
        yield Problem(where, field, f"has {len(profile)} {what}: write {length}, {_FIRST[length]} first")
    elif any(not 0 <= each < float("inf") for each in profile):
        yield Problem(where, field, f"has negative {what}: write 0 or more")
    elif not may_be_none and not any(profile):
        yield Problem(where, field, f"has no {what} but 0: leave the calls out, or give one more than 0")


_FIRST = {HOURS: "that of 00:00", len(_WEEK): "that of Monday"}

# --- Against the organisation --------------------------------------------------------------------------------------


def problems_of(scenario: Scenario, description: OrganisationDescription) -> list[Problem]:
    """What keeps the scenario from being played with this organisation, which must be free of problems itself."""
    organisation = Organisation(description)
    problems = [
        *_unknown(scenario, organisation),
        *_doubled(scenario),
    ]
    if not problems:
        problems += _too_few(scenario, organisation)
        problems += _unanswered(scenario, organisation)
    return problems


def _unknown(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    tables: tuple[tuple[str, str, list[tuple[str, str]], Any], ...] = (
        ("portfolio_id", "portfolio", [(c.portfolio_id, c.where) for c in scenario.calls], organisation.portfolios),
        ("team_id", "team", [(r.team_id, r.where) for r in scenario.rosters], organisation.teams),
        ("site_id", "site", [(s.site_id, s.where) for s in scenario.sites], organisation.sites),
    )
    for field, kind, rows, known in tables:
        for identity, where in rows:
            if identity not in known:
                yield Problem(where, field, f"there is no {kind} {identity!r}" + nearest(identity, known))


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


def _unanswered(scenario: Scenario, organisation: Organisation) -> Iterator[Problem]:
    """Calls that nobody could answer, or that would pile up without end."""
    # Of the era with the most: only what could never be is refused.
    agent_s: dict[TeamId, float] = {}
    for era in _eras(scenario):
        present: Counter[TeamId] = Counter()
        for roster in era:
            present[roster.team_id] += len(set(roster.days)) * sum(roster.by_hour) * 3_600
        for team_id, seconds in present.items():
            agent_s[team_id] = max(seconds, agent_s.get(team_id, 0))
    for calls in scenario.calls:
        reached = [route.team_id for route in organisation.routes[calls.portfolio_id]]
        there_s = sum(agent_s.get(team_id, 0.0) for team_id in reached)
        if calls.a_day and not there_s:
            yield Problem(
                calls.where, "portfolio_id", f"nobody is rostered who could answer {calls.portfolio_id}: its teams are "
                + ", ".join(reached)
            )  # fmt: skip
            continue
        if calls.patience_s is not None or organisation.portfolios[calls.portfolio_id].max_wait_s is not None:
            continue
        wrap_up_s = min(organisation.teams[team_id].wrap_up_s for team_id in reached)
        work_s = 7 * calls.a_day * (calls.talk_s + wrap_up_s)
        if work_s >= there_s:
            yield Problem(
                calls.where,
                "patience_s",
                f"callers of {calls.portfolio_id} never hang up, and make {work_s / 3_600:,.0f} hours of work a week "
                f"for {there_s / 3_600:,.0f} hours of agents: say how patient they are, or roster more",
            )
