"""Reports made of monthly counts alone: the same counts give the same report to the byte, whenever and wherever.

So nothing here asks for the time, and a report of months that are over does not change by what happens after them. What
a report cannot know is said in it: months that the router did not see whole are named, and a figure of nothing has no
value.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from router.core.errors import RouterError
from router.core.model import OrganisationDescription
from router.core.months import PortfolioMonth
from router.core.tallies import calendar_month
from router.reports.quality import Figure, OwnerCounts, WaitCounts, owner_figures, wait_figures

__all__ = [
    "Grouping", "Kept", "Period", "Report", "ReportError", "Section", "Span", "agcom_report", "canonical",
    "fingerprint", "local_time", "portfolios_report",
]  # fmt: skip


class ReportError(RouterError):
    """There can be no such report; the message says what to ask for."""


class Grouping(StrEnum):
    """What a row of the report of portfolios is about. Never an agent: see docs/reports.md."""

    TEAM = "team"
    PORTFOLIO = "portfolio"


class Kept(NamedTuple):
    """What a router keeps of its calls for good, see `Engine.tallies`. Times are milliseconds since the epoch."""

    months: Sequence[PortfolioMonth]
    since_ms: int | None
    """From when on it counted; None: it counted nothing."""
    until_ms: int
    """The latest moment that it has heard of."""
    description: OrganisationDescription
    """The organisation in force then; its thresholds and limits are those of the report."""


# --- Periods -------------------------------------------------------------------------------------------------------

_PERIOD = re.compile(r"(?P<year>[1-9][0-9]{3})(-H(?P<half>[12])|-(?P<month>0[1-9]|1[0-2]))?\Z")


class Period(NamedTuple):
    """Whole months of local time."""

    name: str
    months: tuple[str, ...]
    """Such as ``2026-03``."""

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Read ``2026``, ``2026-H1``, ``2026-H2`` or ``2026-03``.

        Raises:
            ReportError: It is something else.
        """
        found = _PERIOD.match(text)
        if found is None:
            raise ReportError(
                f"{text!r} is no period: write a year, a half or a month, such as 2026, 2026-H1 or 2026-03"
            )
        if found["month"] is not None:
            numbers = range(int(found["month"]), int(found["month"]) + 1)
        elif found["half"] is not None:
            numbers = range(1, 7) if found["half"] == "1" else range(7, 13)
        else:
            numbers = range(1, 13)
        return cls(text, tuple(f"{found['year']}-{number:02}" for number in numbers))

    def parts(self) -> tuple["Period", ...]:
        """Itself, the halves of a year, and the months, each once."""
        halves = [Period.parse(f"{self.name}-H{half}") for half in (1, 2)] if len(self.months) == 12 else []
        months = [Period(month, (month,)) for month in self.months] if len(self.months) > 1 else []
        return (self, *halves, *months)


# --- Reports -------------------------------------------------------------------------------------------------------


class Span(Struct, frozen=True, kw_only=True):
    """A period of a section: counts by name, and the figures made of them."""

    period: str
    is_complete: bool
    """Whether the router saw the whole of it."""
    counts: dict[str, int]
    figures: tuple[Figure, ...]


class Section(Struct, frozen=True, kw_only=True):
    """A client company, a portfolio or a team."""

    name: str
    spans: tuple[Span, ...]
    """The whole period first, then the halves of a year, then months."""
    incomplete: tuple[str, ...]
    """Months that the router did not see whole, and why."""


class Report(Struct, frozen=True, kw_only=True):
    title: str
    about: str
    """What a section is."""
    period: str
    notes: tuple[str, ...]
    """What a reader of the figures must know."""
    sections: tuple[Section, ...]


def canonical(report: Struct) -> bytes:
    """The report as JSON: keys sorted, no white space, UTF-8."""
    return msgspec.json.encode(report, order="sorted")


def fingerprint(report: Struct) -> str:
    """SHA-256 of `canonical`, hexadecimal: equal reports, equal fingerprints."""
    return hashlib.sha256(canonical(report)).hexdigest()


_WAIT_NOTES = (
    "wait: from the choice to speak to an agent to the start of the conversation, of calls answered by an agent, by "
    "their first answer; callers who were called back are not in it",
    "navigation: from dialling to the moment at which an agent could be asked for, as the platform reports it",
    "hang-ups: callers who hung up before anybody had answered; a call counts in the month of its answer or hang-up, "
    "in local time",
)
_OWNER_NOTES = (
    "calls of clients who have an owner, answered on the line, by their first answer; call-backs are counted apart",
    "a team is the team of the owner, whoever answered; on shift is signed in at the call's arrival",
)


def agcom_report(kept: Kept, period: Period, *, company: str | None = None) -> Report:
    """Waits and service levels by client company, of the period, its halves and its months.

    Args:
        kept: What was counted.
        period: Of whole months.
        company: This client company alone; None: all.

    Raises:
        ReportError: There is no such company.
    """
    months = [month for month in kept.months if month.month in period.months]
    company_of = _companies(kept.description)
    companies = {month.company or company_of(month.portfolio_id) for month in months}
    companies |= {company_of(portfolio.portfolio_id) for portfolio in kept.description.portfolios}
    if company is not None and company not in companies:
        raise ReportError(
            f"there is no client company {company!r} in {period.name}, only {', '.join(sorted(companies))}"
        )

    def section(name: str) -> Section:
        theirs = [month for month in months if (month.company or company_of(month.portfolio_id)) == name]
        portfolios = {
            each.portfolio_id for each in kept.description.portfolios if company_of(each.portfolio_id) == name
        }

        def span(part: Period, is_complete: bool) -> Span:
            counts = WaitCounts.of(month for month in theirs if month.month in part.months)
            fields = msgspec.structs.asdict(counts)
            del fields["counted_by"]
            return Span(
                period=part.name,
                is_complete=is_complete,
                counts=fields,
                figures=wait_figures(counts, kept.description.quality),
            )

        return _section(name, period, kept, theirs, portfolios, span)

    return Report(
        title="Waiting times and service levels",
        about="client company",
        period=period.name,
        notes=_WAIT_NOTES,
        sections=tuple(section(name) for name in sorted(companies if company is None else {company})),
    )


def portfolios_report(kept: Kept, period: Period, *, by: Grouping = Grouping.TEAM) -> Report:
    """What owners and backups did of the work of owned clients: of all, then by the owners' team or by portfolio."""
    months = [month for month in kept.months if month.month in period.months]
    described = {portfolio.portfolio_id for portfolio in kept.description.portfolios}
    names = (
        {each.team_id for month in months for each in month.owned}
        if by is Grouping.TEAM
        else {month.portfolio_id for month in months if month.owned}
    )

    def section(name: str | None) -> Section:
        is_of_team = by is Grouping.TEAM and name is not None
        theirs = months if is_of_team or name is None else [month for month in months if month.portfolio_id == name]

        def span(part: Period, is_complete: bool) -> Span:
            owned = (each for month in theirs if month.month in part.months for each in month.owned)
            counts = OwnerCounts.of(each for each in owned if not is_of_team or each.team_id == name)
            return Span(
                period=part.name,
                is_complete=is_complete,
                counts=msgspec.structs.asdict(counts),
                figures=owner_figures(counts),
            )

        return _section("all" if name is None else name, period, kept, theirs, described, span)

    whole = section(None)
    # What is incomplete is so for all, and told once.
    rows = [msgspec.structs.replace(section(name), incomplete=()) for name in sorted(names)]
    return Report(
        title="Owners, backups and others",
        about=str(by),
        period=period.name,
        notes=_OWNER_NOTES,
        sections=(whole, *rows),
    )


def _companies(description: OrganisationDescription) -> Callable[[str], str]:
    """Whose calls a portfolio has today, for months that do not say."""
    companies = {str(each.portfolio_id): each.company or description.company for each in description.portfolios}
    return lambda portfolio_id: companies.get(portfolio_id, description.company)


def _section(
    name: str,
    period: Period,
    kept: Kept,
    months: Sequence[PortfolioMonth],
    portfolios: Collection[str],
    span: Callable[[Period, bool], Span],
) -> Section:
    """A section of *months*, and of *portfolios* of which there may be none."""
    zones = {month.time_zone for month in months} | {
        each.time_zone for each in kept.description.portfolios if each.portfolio_id in portfolios
    }
    reasons = {
        month: tuple(dict.fromkeys(_reasons(month, sorted(zones - {""}), kept, months))) for month in period.months
    }
    return Section(
        name=name,
        spans=tuple(span(part, not any(reasons[month] for month in part.months)) for part in period.parts()),
        incomplete=tuple(f"{month}: {reason}" for month in period.months for reason in reasons[month]),
    )


# --- What was not seen ---------------------------------------------------------------------------------------------


def _reasons(month: str, zones: Iterable[str], kept: Kept, months: Iterable[PortfolioMonth]) -> Iterable[str]:
    """Why the month is not whole; none: it is."""
    year, number = map(int, month.split("-"))
    for zone in zones:
        middle_ms = int(datetime(year, number, 15, tzinfo=UTC).timestamp()) * 1000
        _, begins_ms, ends_ms = calendar_month(middle_ms, zone)
        if kept.since_ms is None or kept.since_ms >= ends_ms:
            yield "nothing was counted yet"
        elif kept.until_ms <= begins_ms:
            yield "the journal ends before it"
        else:
            if kept.since_ms > begins_ms:
                yield f"counted from {local_time(kept.since_ms, zone)} on"
            if kept.until_ms < ends_ms:
                yield f"the journal ends at {local_time(kept.until_ms, zone)}"
    if any((0, 0) in each.counted_by for each in months if each.month == month):
        yield "counted in part by an earlier version of the router, which did not count hang-ups and owners"


def local_time(at_ms: int, zone: str) -> str:
    """For people: ``2026-06-20 09:00:01 Europe/Rome``."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
