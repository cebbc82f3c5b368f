"""The verification report: whether contracts have kept their share of work in the country.

It is made of what the router counted by local day, so a period may begin and end on any of them. The same counts give
the same report to the byte; later corrections stand beside the counts and replace none. What the router could not
count is said.

What a contract asks is taken from the versions of the organisation that were in force in the period, not from the
present one: its last version says what is counted as in the country and in which unit; the target is the highest that
was in force, so nobody can lower it afterwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from router.core.days import LocalDays
from router.core.model import Contract, OrganisationDescription, ShareLimit, SharePeriod, ShareUnit
from router.core.shares import Adjustment, ContractDay
from router.core.snapshot import GatesState
from router.reports.monthly import ReportError, local_time
from router.service.decider import Version

__all__ = [
    "CompanyPart", "CompanyShare", "ContractShare", "Correction", "Counted", "Days", "Part", "ShareReport", "Standing",
    "Terms", "VersionInForce", "Work", "share_report",
]  # fmt: skip

_DAY = timedelta(days=1)


class Counted(NamedTuple):
    """What a router keeps of contracts for good. Times are milliseconds since the epoch."""

    books: GatesState
    versions: Sequence[Version]
    since_ms: int | None
    """From when on it counted; None: it counted nothing."""
    until_ms: int
    """The latest moment that it has heard of."""
    description: OrganisationDescription
    """The organisation in force then; of which only the time zones of portfolios are asked."""


class Days(NamedTuple):
    """A period of local days."""

    first: date
    until: date
    """Excluded."""

    @classmethod
    def parse(cls, first: str, until: str) -> "Days":
        """Read ``2017-05-04`` and ``2018-05-04``.

        Raises:
            ReportError: They are no days, or not in this order.
        """
        try:
            days = cls(date.fromisoformat(first), date.fromisoformat(until))
        except ValueError:
            raise ReportError(f"{first!r} to {until!r} is no period: write days, such as 2017-05-04") from None
        if days.first >= days.until:
            raise ReportError(f"{until} is not after {first}: the last day of the period is the one before it")
        return days

    @property
    def name(self) -> str:
        """``2017-06`` for a whole month, else the first and the last day."""
        if self.first.day == 1 and self.until == _next_month(self.first):
            return f"{self.first:%Y-%m}"
        return f"{self.first} to {self.until - _DAY}"

    def months(self) -> Iterator["Days"]:
        """Its calendar months, cut at its ends."""
        first = self.first
        while first < self.until:
            until = min(_next_month(first), self.until)
            yield Days(first, until)
            first = until

    def cut(self, first: date | None, until: date | None) -> "Days | None":
        """What of it lies from *first* on and before *until*; None: nothing."""
        cut = Days(max(self.first, first or self.first), min(self.until, until or self.until))
        return cut if cut.first < cut.until else None

    def has(self, day: date) -> bool:
        return self.first <= day < self.until


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


# --- The report ----------------------------------------------------------------------------------------------------


class Standing(StrEnum):
    """What a share says of its target."""

    KEPT = "kept"
    NOT_KEPT = "not kept"
    NO_DATA = "no data"
    """Nothing was done that it could be a share of."""


class Work(Struct, frozen=True, kw_only=True):
    """Work under a contract: calls, or milliseconds where its unit is a time."""

    inside: int
    """Done in the country."""
    total: int
    share_bp: int | None
    """In hundredths of a percent, rounded down; None: there is none."""
    standing: Standing
    """Found before rounding; exactly the target is kept."""


class Part(Struct, frozen=True, kw_only=True):
    """A period of a contract: what was counted, what was corrected later, and what comes of it."""

    name: str
    first_day: date
    until: date
    """Excluded."""
    is_complete: bool
    """Whether the router could count on all of it."""
    goal_bp: int
    """The target or the baseline, whichever is more."""
    counted: Work
    correction_inside: int
    correction_total: int
    corrected: Work
    overrides: int
    """Calls answered abroad although the share forbade it."""
    refused: int
    """Calls refused or turned into call-backs since nobody in the country was free."""


class DayWork(Struct, frozen=True, array_like=True):
    """A day on which something was done, corrected."""

    day: date
    inside: int
    total: int


class Terms(Struct, frozen=True, kw_only=True):
    """What the contract asked, from a version of the organisation on."""

    since: str
    """UTC."""
    offset: int
    target_bp: int
    baseline_bp: int
    margin_bp: int
    unit: ShareUnit
    period: SharePeriod
    countries: tuple[str, ...]
    wait_s: int
    then: ShareLimit
    valid_from: date | None
    valid_until: date | None


class Correction(Struct, frozen=True, kw_only=True):
    """A later correction of a day of the period."""

    made_at: str
    """UTC."""
    made_by: str
    day: date
    country: str
    is_inside: bool
    calls: int
    talk_ms: int
    agent_ms: int
    reason: str


class ContractShare(Struct, frozen=True, kw_only=True):
    """A contract in the period, as far as it was valid."""

    contract_id: str
    company: str
    supplier_id: str
    in_house: bool
    """The supplier is the company itself."""
    unit: ShareUnit
    countries: tuple[str, ...]
    territory: str
    """What people call the countries."""
    time_zone: str
    terms: tuple[Terms, ...]
    """One after the other, as they changed."""
    whole: Part
    months: tuple[Part, ...]
    days: tuple[DayWork, ...]
    corrections: tuple[Correction, ...]
    """As they were made."""
    incomplete: tuple[str, ...]
    """What could not be counted, and why."""


class CompanyPart(Struct, frozen=True, kw_only=True):
    """A period of a client company: what is in no share, and what its callers asked for."""

    name: str
    first_day: date
    until: date
    excluded: dict[str, int]
    """Calls by the reason for which no share counts them."""
    asked: int
    """Callers who asked for an agent inside."""
    met: int
    unmet: int
    met_ms: int
    """From asking to being put through, of those met in all."""
    met_mean_ms: int | None
    """Rounded down; None: nobody was."""
    unannounced: int
    """Conversations of whose announcement the platform did not tell: violations."""


class CompanyShare(Struct, frozen=True, kw_only=True):
    """A client company in the period, whoever answered its calls."""

    company: str
    whole: CompanyPart
    months: tuple[CompanyPart, ...]
    incomplete: tuple[str, ...]


class VersionTarget(Struct, frozen=True, kw_only=True):
    contract_id: str
    target_bp: int
    baseline_bp: int


class VersionInForce(Struct, frozen=True, kw_only=True):
    """A version of the organisation that was in force in the period."""

    offset: int
    """Of its record in the journal."""
    since: str
    """UTC."""
    sha256: str
    """Of its description."""
    targets: tuple[VersionTarget, ...]


class ShareReport(Struct, frozen=True, kw_only=True):
    title: str
    period: str
    first_day: date
    until: date
    """Excluded."""
    notes: tuple[str, ...]
    contracts: tuple[ContractShare, ...]
    companies: tuple[CompanyShare, ...]
    versions: tuple[VersionInForce, ...]


_NOTES = (
    "calls: answered by an agent, each once, with its first answer, call-backs that were made included; seconds: of "
    "conversation, each part where it was spoken; agent hours: signed in",
    "a call counts with all its conversation on the local day of its answer; where the agent sat is settled then",
    "target: the target or the baseline, whichever is more, the highest that was in force; a share is kept if it is "
    "exactly the target or more, before it is rounded down",
    "not in any share: calls that nobody answered, with the rule or the end that kept them from it; answers after a "
    "transfer (answered again; their conversation is in the unit of seconds); answers by suppliers without a contract",
    "corrections were made later, by the people named; the counts before them stay",
)


def share_report(counted: Counted, days: Days, *, company: str | None = None) -> ShareReport:
    """Whether contracts have kept their shares, of the period and its months.

    Args:
        counted: What the router kept.
        days: The period; its days are local ones of each contract.
        company: This client company alone; None: all.

    Raises:
        ReportError: There is no contract to report of.
    """
    books = counted.books
    asked = {each.company for each in books.place_days if days.has(each.day)}
    histories = [_History(contract_id, counted, days) for contract_id in _contract_ids(counted, days)]
    contracts = [
        section
        for history in histories
        if company in (None, history.contract.company) and (section := _contract(history, counted, days)) is not None
    ]
    companies = {each.company for each in contracts} | {each for each in asked if company in (None, each)}
    if not companies:
        raise ReportError(_nothing(counted, days, company))
    return ShareReport(
        title="Shares of work in the country",
        period=days.name,
        first_day=days.first,
        until=days.until,
        notes=_NOTES,
        contracts=tuple(contracts),
        companies=tuple(_company(name, counted, days, contracts) for name in sorted(companies)),
        versions=tuple(_version(each, company) for each in _in_force(counted.versions, days)),
    )


def _nothing(counted: Counted, days: Days, company: str | None) -> str:
    of = "" if company is None else f" of company {company!r}"
    known = {contract.contract_id for version in counted.versions for contract in version.contracts}
    return f"no contract{of} was in force from {days.first} until {days.until}; the router has known " + (
        f"the contracts {', '.join(sorted(known))}" if known else "no contracts at all"
    )


# --- Versions ------------------------------------------------------------------------------------------------------


class _Span(NamedTuple):
    """A version while it was in force."""

    version: Version
    until_ms: int | None
    """None: it still is."""

    def overlaps(self, from_ms: int, until_ms: int) -> bool:
        return self.version.at_ms < until_ms and (self.until_ms is None or from_ms < self.until_ms)

    def contract(self, contract_id: str) -> Contract | None:
        return next((each for each in self.version.contracts if each.contract_id == contract_id), None)


def _spans(versions: Sequence[Version]) -> list[_Span]:
    ends = [*(each.at_ms for each in versions[1:]), None]
    return [_Span(version, until_ms) for version, until_ms in zip(versions, ends, strict=True)]


def _zones(versions: Iterable[Version]) -> list[str]:
    return sorted({contract.time_zone for version in versions for contract in version.contracts} or {"UTC"})


def _in_force(versions: Sequence[Version], days: Days) -> list[Version]:
    """In the period of any of the time zones."""
    bounds = [_bounds(days, LocalDays(zone)) for zone in _zones(versions)]
    return [span.version for span in _spans(versions) if any(span.overlaps(*each) for each in bounds)]


def _version(version: Version, company: str | None) -> VersionInForce:
    return VersionInForce(
        offset=version.offset,
        since=_utc(version.at_ms),
        sha256=version.sha256.hex(),
        targets=tuple(
            VersionTarget(contract_id=each.contract_id, target_bp=each.target_bp, baseline_bp=each.baseline_bp)
            for each in sorted(version.contracts, key=lambda each: each.contract_id)
            if company in (None, each.company)
        ),
    )


def _contract_ids(counted: Counted, days: Days) -> list[str]:
    """Contracts of versions in force in the period, and those of which it has counts or corrections."""
    found = {contract.contract_id for version in _in_force(counted.versions, days) for contract in version.contracts}
    known = {contract.contract_id for version in counted.versions for contract in version.contracts}
    rows: tuple[ContractDay | Adjustment, ...] = (*counted.books.contract_days, *counted.books.adjustments)
    return sorted(found | {row.contract_id for row in rows if days.has(row.day) and row.contract_id in known})


class _History:
    """A contract through the versions of the organisation."""

    def __init__(self, contract_id: str, counted: Counted, days: Days) -> None:
        self.spans = [span for span in _spans(counted.versions) if span.contract(contract_id) is not None]
        self.contract_id = contract_id
        before = [span for span in self.spans if span.overlaps(*_bounds(days, self._calendar(span)))]
        # Of a period before all versions there may be corrections.
        self.in_period = before or self.spans[:1]
        self.last = self.in_period[-1]
        self.contract = self._of(self.last)
        self.calendar = LocalDays(self.contract.time_zone)

    def terms(self) -> tuple[Terms, ...]:
        """In the period, each while it held."""
        terms: list[Terms] = []
        before: Contract | None = None
        for span in self.in_period:
            contract = self._of(span)
            if before is None or _asked(contract) != _asked(before):
                terms.append(_terms(span.version, contract))
            before = contract
        return tuple(terms)

    def goal_bp(self, days: Days) -> int:
        """The highest that was in force on these days."""
        bounds = _bounds(days, self.calendar)
        goals = (self._of(span).goal_bp for span in self.spans if span.overlaps(*bounds))
        return max(goals, default=self.contract.goal_bp)

    def gaps(self, from_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
        """When between these moments the organisation did not have the contract."""
        for span in self.spans:
            if from_ms >= until_ms:
                return
            if span.version.at_ms > from_ms:
                yield from_ms, min(span.version.at_ms, until_ms)
            from_ms = until_ms if span.until_ms is None else max(from_ms, span.until_ms)
        if from_ms < until_ms:
            yield from_ms, until_ms

    def _of(self, span: _Span) -> Contract:
        contract = span.contract(self.contract_id)
        assert contract is not None, "a history has the versions that have the contract"
        return contract

    def _calendar(self, span: _Span) -> LocalDays:
        return LocalDays(self._of(span).time_zone)


def _asked(contract: Contract) -> Terms:
    return _terms(Version(0, 0, b"", (), ()), contract)


def _terms(version: Version, contract: Contract) -> Terms:
    return Terms(
        since=_utc(version.at_ms),
        offset=version.offset,
        target_bp=contract.target_bp,
        baseline_bp=contract.baseline_bp,
        margin_bp=contract.margin_bp,
        unit=contract.unit,
        period=contract.period,
        countries=contract.countries,
        wait_s=contract.wait_s,
        then=contract.then,
        valid_from=contract.valid_from,
        valid_until=contract.valid_until,
    )


# --- Contracts -----------------------------------------------------------------------------------------------------


def _contract(history: _History, counted: Counted, days: Days) -> ContractShare | None:
    """None: it was not valid in the period."""
    contract = history.contract
    valid = days.cut(contract.valid_from, contract.valid_until)
    if valid is None:
        return None
    rows = [row for row in counted.books.contract_days if _is_row_of(row, contract, valid)]
    adjustments = [each for each in counted.books.adjustments if _is_row_of(each, contract, valid)]

    def part(days: Days) -> Part:
        is_complete = not any(_incomplete(history, counted, days))
        return _part(
            contract,
            days,
            [row for row in rows if days.has(row.day)],
            [each for each in adjustments if days.has(each.day)],
            goal_bp=history.goal_bp(days),
            is_complete=is_complete,
        )

    return ContractShare(
        contract_id=contract.contract_id,
        company=contract.company,
        supplier_id=contract.supplier_id,
        in_house=contract.supplier_id in history.last.version.in_house,
        unit=contract.unit,
        countries=contract.countries,
        territory=contract.territory or " or ".join(contract.countries),
        time_zone=contract.time_zone,
        terms=history.terms(),
        whole=part(valid),
        months=tuple(part(month) for month in valid.months()),
        days=tuple(_days(contract, rows, adjustments)),
        corrections=tuple(_correction(contract, each) for each in adjustments),
        incomplete=tuple(_incomplete(history, counted, valid)),
    )


def _is_row_of(row: ContractDay | Adjustment, contract: Contract, days: Days) -> bool:
    return row.contract_id == contract.contract_id and days.has(row.day)


def _part(
    contract: Contract,
    days: Days,
    rows: Sequence[ContractDay],
    adjustments: Sequence[Adjustment],
    *,
    goal_bp: int,
    is_complete: bool,
) -> Part:
    inside, total = _sums(contract, rows)
    more_inside, more = _sums(contract, adjustments)
    return Part(
        name=days.name,
        first_day=days.first,
        until=days.until,
        is_complete=is_complete,
        goal_bp=goal_bp,
        counted=_work(inside, total, goal_bp),
        correction_inside=more_inside,
        correction_total=more,
        corrected=_work(inside + more_inside, total + more, goal_bp),
        overrides=sum(row.overrides for row in rows),
        refused=sum(row.refused for row in rows),
    )


def _work(inside: int, total: int, goal_bp: int) -> Work:
    if not total:
        return Work(inside=inside, total=total, share_bp=None, standing=Standing.NO_DATA)
    is_kept = inside * 10_000 >= goal_bp * total
    return Work(
        inside=inside,
        total=total,
        share_bp=inside * 10_000 // total,
        standing=Standing.KEPT if is_kept else Standing.NOT_KEPT,
    )


def _sums(contract: Contract, rows: Iterable[ContractDay | Adjustment]) -> tuple[int, int]:
    """Inside and in all, in the unit of the contract."""
    amounts = [(row.country in contract.countries, _amount(contract.unit, row)) for row in rows]
    return sum(amount for is_inside, amount in amounts if is_inside), sum(amount for _, amount in amounts)


def _amount(unit: ShareUnit, row: ContractDay | Adjustment) -> int:
    match unit:
        case ShareUnit.CALLS:
            return row.calls
        case ShareUnit.SECONDS:
            return row.talk_ms
        case ShareUnit.AGENT_HOURS:
            return row.agent_ms


def _days(contract: Contract, rows: Sequence[ContractDay], adjustments: Sequence[Adjustment]) -> Iterator[DayWork]:
    by_day: dict[date, list[ContractDay | Adjustment]] = {}
    every: list[ContractDay | Adjustment] = [*rows, *adjustments]
    for row in every:
        by_day.setdefault(row.day, []).append(row)
    for day in sorted(by_day):
        inside, total = _sums(contract, by_day[day])
        if total:
            yield DayWork(day, inside, total)


def _correction(contract: Contract, made: Adjustment) -> Correction:
    return Correction(
        made_at=_utc(made.made_ms),
        made_by=made.made_by,
        day=made.day,
        country=made.country,
        is_inside=made.country in contract.countries,
        calls=made.calls,
        talk_ms=made.talk_ms,
        agent_ms=made.agent_ms,
        reason=made.reason,
    )


# --- Companies -----------------------------------------------------------------------------------------------------


def _company(name: str, counted: Counted, days: Days, contracts: Iterable[ContractShare]) -> CompanyShare:
    description = counted.description
    zones = {each.time_zone for each in contracts if each.company == name} | {
        each.time_zone for each in description.portfolios if (each.company or description.company) == name
    }
    return CompanyShare(
        company=name,
        whole=_company_part(name, counted.books, days),
        months=tuple(_company_part(name, counted.books, month) for month in days.months()),
        incomplete=tuple(
            dict.fromkeys(why for zone in sorted(zones) for why in _not_counted(LocalDays(zone), zone, counted, days))
        ),
    )


def _company_part(name: str, books: GatesState, days: Days) -> CompanyPart:
    excluded: dict[str, int] = {}
    for each in books.excluded_days:
        if each.company == name and days.has(each.day):
            for reason, calls in each.reasons:
                excluded[reason] = excluded.get(reason, 0) + calls
    places = [each for each in books.place_days if each.company == name and days.has(each.day)]
    met, met_ms = sum(each.met for each in places), sum(each.met_ms for each in places)
    return CompanyPart(
        name=days.name,
        first_day=days.first,
        until=days.until,
        excluded=dict(sorted(excluded.items())),
        asked=sum(each.asked for each in places),
        met=met,
        unmet=sum(each.unmet for each in places),
        met_ms=met_ms,
        met_mean_ms=met_ms // met if met else None,
        unannounced=sum(each.unannounced for each in places),
    )


# --- What was not counted ------------------------------------------------------------------------------------------


def _incomplete(history: _History, counted: Counted, days: Days) -> Iterator[str]:
    """Why the days are not whole; none: they are."""
    zone = history.contract.time_zone
    yield from _not_counted(history.calendar, zone, counted, days)
    from_ms, until_ms = _bounds(days, history.calendar)
    if counted.since_ms is not None:
        for gap_ms, gap_until_ms in history.gaps(max(from_ms, counted.since_ms), min(until_ms, counted.until_ms)):
            yield (
                f"the organisation did not have the contract from {local_time(gap_ms, zone)} "
                f"until {local_time(gap_until_ms, zone)}"
            )


def _not_counted(calendar: LocalDays, zone: str, counted: Counted, days: Days) -> Iterator[str]:
    from_ms, until_ms = _bounds(days, calendar)
    if counted.since_ms is None or counted.since_ms >= until_ms:
        yield "nothing was counted: the router had not begun"
        return
    if counted.until_ms < from_ms:
        yield "nothing was counted: the journal ends before"
        return
    if counted.since_ms > from_ms:
        yield f"nothing was counted before {local_time(counted.since_ms, zone)}"
    if counted.until_ms < until_ms:
        yield f"the journal ends at {local_time(counted.until_ms, zone)}"


def _bounds(days: Days, calendar: LocalDays) -> tuple[int, int]:
    """When the days begin and end, in milliseconds since the epoch."""
    return calendar.midnight_ms(days.first), calendar.midnight_ms(days.until)


def _utc(at_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"
