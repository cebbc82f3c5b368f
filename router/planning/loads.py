"""Loads: how much work the calls of each kind bring in an hour, from a file, from the clients or from the journal.

Work is counted in whole numbers, in millionths of a second of an agent's time, so that what is compared is exact and
equal inputs give equal answers: a call of 410 s is 410,000,000 of them, an agent who is busy all hour 3,600,000,000.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import structs

from router.core.errors import OrganisationError, Problem
from router.core.hours import OpeningHours
from router.core.model import (
    Hours,
    Portfolio,
    PortfolioId,
    Weekday,
)
from router.core.months import PortfolioMonth
from router.core.organisation import Organisation
from router.core.plans import merge_needs
from router.core.values import Requirement
from router.load_files import LoadRow, is_within, problems_of_load, read_load_rows
from router.planning.quarters import QUARTER_MS
from router.roster_files import local_ms

__all__ = [
    "AGENT_HOUR", "Kind", "Load", "LoadPart", "LoadRow", "agents_in_words", "kind_of", "load_of_clients",
    "load_of_months", "read_load",
]  # fmt: skip

AGENT_HOUR = 3_600_000_000
"""The work that one agent does in an hour of nothing but calls."""

_SECOND = 1_000_000
_WEEKDAYS = tuple(Weekday)


class Kind(NamedTuple):
    """Calls that the same agents can take: of a portfolio, with what they need in all."""

    portfolio_id: PortfolioId
    requirement: Requirement
    asked: str
    """What they need on top, in words; empty: nothing."""

    @property
    def words(self) -> str:
        return f"{self.portfolio_id} calls" + (f" with {self.asked}" if self.asked else "")


class Load(NamedTuple):
    """Work that comes in hour by hour."""

    source: str
    """Where it comes from, in words."""
    parts: tuple["LoadPart", ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(sorted({part.kind for part in self.parts}, key=_kind_order))

    @property
    def has_times(self) -> bool:
        """Whether it differs from hour to hour, opening hours apart."""
        return any(part.span is not None for part in self.parts)


class LoadPart(NamedTuple):
    """Work of one kind at some hours of the week."""

    kind: Kind
    work: int
    """In an hour of it."""
    span: Hours | None
    """When it comes; None: at all hours."""

    def is_due(self, weekday: Weekday, moment: time) -> bool:
        return self.span is None or is_within(self.span.days, self.span.opens, self.span.closes, weekday, moment)


def agents_in_words(work: int) -> str:
    """So many agents' worth of work an hour: one decimal, two below one."""
    digits = 1 if work >= AGENT_HOUR else 2
    scaled = (2 * work * 10**digits + AGENT_HOUR) // (2 * AGENT_HOUR)
    return f"{scaled // 10**digits:,}.{scaled % 10**digits:0{digits}}"


def _kind_order(kind: Kind) -> tuple[str, str]:
    return (kind.portfolio_id, kind.asked)


def kind_of(organisation: Organisation, portfolio_id: PortfolioId, row: LoadRow | None = None) -> Kind:
    """The kind of a portfolio's calls, of those in *row* if there is one."""
    portfolio = organisation.portfolios[portfolio_id]
    asked = Requirement(row.skills, row.language, ()) if row else Requirement((), None, ())
    words = [f"{need.skill}:{need.level}" if need.level > 1 else str(need.skill) for need in asked.skills]
    if asked.language is not None:
        words.append(f"language {asked.language}")
    return Kind(portfolio_id, merge_needs(portfolio, asked), " and ".join(words))


# --- From a file ---------------------------------------------------------------------------------------------------


def read_load(path: Path, organisation: Organisation) -> Load:
    """Read a load file.

    Raises:
        OrganisationError: With every problem found in it.
    """
    problems: list[Problem] = []
    parts = []
    for row in read_load_rows(path, problems):
        found = list(problems_of_load(row, organisation))
        problems += found
        if not found:
            parts.append(_part(row, organisation))
    if problems:
        raise OrganisationError(problems)
    return Load(f"from {path.name}", tuple(parts))


def _part(row: LoadRow, organisation: Organisation) -> LoadPart:
    team = organisation.teams[organisation.portfolios[row.portfolio_id].teams[0].team_id]
    work = int(row.calls_per_hour * 1000) * (row.handling_s or team.handling_s) * (_SECOND // 1000)
    at_all_hours = not row.days and row.starts == row.ends == time()
    span = None if at_all_hours else Hours(days=row.days or _WEEKDAYS, opens=row.starts, closes=row.ends)
    return LoadPart(kind_of(organisation, row.portfolio_id, row), work, span)


# --- From the clients ----------------------------------------------------------------------------------------------

# A month is a twelfth of a year of 365 days: 365/84 weeks.
_WEEKS_A_MONTH = (365, 84)
_A_WEEK_WITHOUT_CHANGE = date(2001, 1, 1)


def load_of_clients(organisation: Organisation) -> Load | None:
    """The minutes a month that clients are expected to need, spread over their portfolios' opening hours.

    Returns:
        None if no client has any.
    """
    minutes: defaultdict[PortfolioId, int] = defaultdict(int)
    for client in organisation.description.clients:
        minutes[client.portfolio_id or organisation.default_portfolio] += client.minutes_a_month or 0
    parts = []
    for portfolio_id in sorted(minutes):
        open_s = _open_s_a_week(organisation.portfolios[portfolio_id])
        if minutes[portfolio_id] and open_s:
            many, few = _WEEKS_A_MONTH
            work = minutes[portfolio_id] * 60 * _SECOND * 3600 * few // (open_s * many)
            parts.append(LoadPart(kind_of(organisation, portfolio_id), work, None))
    return Load("the minutes a month that clients are expected to need", tuple(parts)) if parts else None


def _open_s_a_week(portfolio: Portfolio) -> int:
    hours = OpeningHours(structs.replace(portfolio, closed_on=()))
    start_ms = local_ms(_A_WEEK_WITHOUT_CHANGE, time(), ZoneInfo(portfolio.time_zone))
    return sum(hours.is_open(start_ms + number * QUARTER_MS) for number in range(7 * 96)) * QUARTER_MS // 1000


# --- From the journal ----------------------------------------------------------------------------------------------


def load_of_months(
    organisation: Organisation, months: Iterable[PortfolioMonth], *, first_ms: int, last_ms: int
) -> Load | None:
    """What the engine has counted, spread over the opening hours between these moments.

    A call is taken to have kept an agent for the portfolio's mean time of talk, and the owner team's wrap-up; where
    nothing was answered, for the owner team's handling time. Portfolios of earlier organisations are left out.

    Returns:
        None if no call arrived.
    """
    arrived: defaultdict[PortfolioId, int] = defaultdict(int)
    talks: defaultdict[PortfolioId, int] = defaultdict(int)
    talk_ms: defaultdict[PortfolioId, int] = defaultdict(int)
    for month in months:
        arrived[month.portfolio_id] += month.arrived
        for place in month.answers:
            talks[month.portfolio_id] += place.answered + place.called_back + place.transferred
            talk_ms[month.portfolio_id] += place.talk_ms
    parts = []
    for portfolio_id in sorted(arrived.keys() & organisation.portfolios.keys()):
        team = organisation.teams[organisation.portfolios[portfolio_id].teams[0].team_id]
        calls, answered = arrived[portfolio_id], talks[portfolio_id]
        handling_ms = talk_ms[portfolio_id] // answered + team.wrap_up_s * 1000 if answered else team.handling_s * 1000
        hours = organisation.hours[portfolio_id]
        open_quarters = sum(hours.is_open(at_ms) for at_ms in range(first_ms, last_ms, QUARTER_MS))
        if calls and open_quarters:
            work = calls * handling_ms * (_SECOND // 1000) * 4 // open_quarters
            parts.append(LoadPart(kind_of(organisation, portfolio_id), work, None))
    first, last = (datetime.fromtimestamp(at_ms // 1000, UTC).date() for at_ms in (first_ms, last_ms))
    return Load(f"the journal from {first} to {last}", tuple(parts)) if parts else None
