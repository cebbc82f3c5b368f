"""The verification report as people and other programs get it: tables on a terminal, CSV, a page with figures."""

import base64
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from msgspec.structs import asdict
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from router.core.model import SharePeriod, ShareUnit
from router.reports.monthly import fingerprint
from router.reports.pages import rendered
from router.reports.share import (
    CompanyShare,
    ContractShare,
    Correction,
    Part,
    ShareReport,
    Standing,
    Terms,
    VersionTarget,
    Work,
)

__all__ = ["share_as_csv", "share_as_page", "share_as_view"]

_DAY = timedelta(days=1)

# --- CSV -----------------------------------------------------------------------------------------------------------

_COLUMNS = ("about", "name", "period", "first_day", "until", "is_complete", "key", "value", "note")


def share_as_csv(report: ShareReport) -> str:
    """A row a value, of contracts, companies, corrections and versions."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_csv_rows(report))
    return out.getvalue()


def _csv_rows(report: ShareReport) -> Iterator[tuple[object, ...]]:
    for contract in report.contracts:
        name = contract.contract_id
        whole = (report.period, report.first_day, report.until, "")
        for key in ("company", "supplier_id", "in_house", "unit", "territory", "time_zone"):
            yield "contract", name, *whole, key, _plain(getattr(contract, key)), ""
        for part in (contract.whole, *contract.months):
            head = ("contract", name, part.name, part.first_day, part.until, _plain(part.is_complete))
            for key, value in _values_of(part):
                yield *head, key, _plain(value), ""
        for each in contract.corrections:
            note = f"{each.country}, {each.made_at} by {each.made_by}: {each.reason}"
            for key in ("calls", "talk_ms", "agent_ms"):
                yield "correction", name, each.day, each.day, each.day + _DAY, "", key, getattr(each, key), note
        for why in contract.incomplete:
            yield "contract", name, *whole, "incomplete", "", why
    for company in report.companies:
        for span in (company.whole, *company.months):
            head = ("company", company.company, span.name, span.first_day, span.until, "")
            for reason, calls in span.excluded.items():
                yield *head, f"excluded_{reason}", calls, ""
            for key in ("asked", "met", "unmet", "met_ms", "met_mean_ms", "unannounced"):
                yield *head, key, _plain(getattr(span, key)), ""
        for why in company.incomplete:
            yield "company", company.company, report.period, report.first_day, report.until, "", "incomplete", "", why
    for version in report.versions:
        yield "version", version.offset, version.since, "", "", "", "sha256", version.sha256, ""


def _values_of(part: Part) -> Iterator[tuple[str, object]]:
    yield "goal_bp", part.goal_bp
    for name in ("counted", "corrected"):
        for key, value in asdict(getattr(part, name)).items():
            yield f"{name}_{key}", value
        if name == "counted":
            yield from (("correction_inside", part.correction_inside), ("correction_total", part.correction_total))
    yield from (("overrides", part.overrides), ("refused", part.refused))


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


# --- Terminal ------------------------------------------------------------------------------------------------------

_STYLES = {Standing.KEPT: "green", Standing.NOT_KEPT: "bold red", Standing.NO_DATA: "dim"}


def share_as_view(report: ShareReport) -> RenderableType:
    """A table a contract, one of the companies, corrections, versions, and what was not counted."""
    parts: list[RenderableType] = [Text(f"{report.title}, {report.period}", style="bold")]
    for contract in report.contracts:
        parts.append(_contract_table(contract))
        parts += [Text(f"contract {contract.contract_id}: {why}", style="yellow") for why in contract.incomplete]
        parts += [Text(f"correction: {words}") for words in map(_correction_words, contract.corrections)]
    parts.append(_companies_table(report.companies))
    parts += [
        Text(f"company {each.company}: {why}", style="yellow") for each in report.companies for why in each.incomplete
    ]
    parts.append(_versions_table(report))
    parts += [Text(note, style="dim") for note in report.notes]
    parts.append(Text(f"sha256 {fingerprint(report)}"))
    return Group(*parts)


def _contract_table(contract: ContractShare) -> Table:
    table = Table(title=_title(contract), title_justify="left", title_style="bold")
    table.add_column("")
    has_corrections = bool(contract.corrections)
    for name in (
        f"in {escape(contract.territory)}",
        "all",
        "share",
        *(("counted", "correction") if has_corrections else ()),
    ):
        table.add_column(name, justify="right")
    for name in ("target", ""):
        table.add_column(name)
    for name in ("overrides", "refused"):
        table.add_column(name, justify="right")
    for part in (*_months(contract), contract.whole):
        if part is contract.whole:
            table.add_section()
        work = part.corrected
        corrections = (_before(part, contract.unit), _correction_of(part, contract.unit)) if has_corrections else ()
        table.add_row(
            part.name + ("" if part.is_complete else " (incomplete)"),
            _amount(work.inside, contract.unit),
            _amount(work.total, contract.unit),
            Text(_share(work), style=_STYLES[work.standing]),
            *corrections,
            _percent(part.goal_bp),
            Text(work.standing, style=_STYLES[work.standing]),
            f"{part.overrides:,}",
            f"{part.refused:,}",
        )
    return table


def _companies_table(companies: Sequence[CompanyShare]) -> Table:
    table = Table(title="Client companies", title_justify="left", title_style="bold")
    table.add_column("")
    for company in companies:
        table.add_column(company.company, justify="right")
    for name, values in _company_lines(companies):
        table.add_row(name, *values)
    return table


def _versions_table(report: ShareReport) -> Table:
    table = Table(title="Versions of the organisation in force", title_justify="left", title_style="bold")
    table.add_column("offset", justify="right")
    for name in ("since (UTC)", "sha256", "targets"):
        table.add_column(name)
    for version in report.versions:
        targets = ", ".join(f"{each.contract_id} {_percent(_goal(each))}" for each in version.targets)
        table.add_row(str(version.offset), version.since, version.sha256[:16], targets or "no contracts")
    return table


# --- What the forms share ------------------------------------------------------------------------------------------


def _months(contract: ContractShare) -> tuple[Part, ...]:
    """None where there is only one, which is the whole."""
    return contract.months if len(contract.months) > 1 else ()


def _title(contract: ContractShare) -> str:
    who = "in-house" if contract.in_house else "outsourced"
    parties = f"{contract.supplier_id} for {contract.company} ({who})"
    return f"Contract {contract.contract_id}: {parties}, {_UNITS[contract.unit]}"


_UNITS = {
    ShareUnit.CALLS: "answered calls",
    ShareUnit.SECONDS: "time of conversation (h:mm)",
    ShareUnit.AGENT_HOURS: "time signed in (h:mm)",
}


def _company_lines(companies: Sequence[CompanyShare]) -> Iterator[tuple[str, list[str]]]:
    """Name and the value of each company, a line a count of the whole period."""
    wholes = [each.whole for each in companies]
    for reason in sorted({reason for whole in wholes for reason in whole.excluded}):
        yield f"in no share: {_reason(reason)}", [f"{whole.excluded.get(reason, 0):,}" for whole in wholes]
    for key, words in _COMPANY_WORDS.items():
        yield words, [f"{getattr(whole, key):,}" for whole in wholes]
    yield "mean time to an agent inside", [_seconds(whole.met_mean_ms) for whole in wholes]


_COMPANY_WORDS = {
    "asked": "callers who asked for an agent inside",
    "met": "put through to one",
    "unmet": "hung up before, or sent elsewhere",
    "unannounced": "answered without an announcement",
}


def _reason(reason: str) -> str:
    return _REASONS.get(reason, reason.replace("_", " "))


_REASONS = {
    "abandoned": "hung up before any answer",
    "answered_again": "answered again after a transfer",
    "callback_cancelled": "call-back cancelled",
    "callback_expired": "call-back could not be made",
    "closed": "closed, sent to the fallback",
    "max_wait": "waited too long, sent to the fallback",
    "no_contract": "answered by a supplier without a contract",
    "share": "refused for the share",
    "unservable": "nobody could serve it, sent to the fallback",
}


def _seconds(ms: int | None) -> str:
    return "no data" if ms is None else f"{ms // 1000:,}.{ms % 1000 // 10:02} s"


def _amount(amount: int, unit: ShareUnit) -> str:
    """In calls, or in hours and minutes."""
    if unit is ShareUnit.CALLS:
        return f"{amount:,}"
    minutes = abs(amount) // 60_000
    return f"{'-' if amount < 0 else ''}{minutes // 60:,}:{minutes % 60:02}"


def _signed(amount: int, unit: ShareUnit) -> str:
    return ("+" if amount > 0 else "") + _amount(amount, unit)


def _before(part: Part, unit: ShareUnit) -> str:
    """What was counted, where it was corrected."""
    work = part.counted
    return f"{_amount(work.inside, unit)} of {_amount(work.total, unit)}, {_share(work)}" if _is_corrected(part) else ""


def _correction_of(part: Part, unit: ShareUnit) -> str:
    if not _is_corrected(part):
        return ""
    return f"{_signed(part.correction_inside, unit)} of {_signed(part.correction_total, unit)}"


def _is_corrected(part: Part) -> bool:
    return bool(part.correction_total or part.correction_inside)


def _share(work: Work) -> str:
    return str(Standing.NO_DATA) if work.share_bp is None else _percent(work.share_bp)


def _percent(bp: int) -> str:
    return f"{bp // 100}.{bp % 100:02} %"


def _goal(asked: VersionTarget) -> int:
    return max(asked.target_bp, asked.baseline_bp)


def _correction_words(each: Correction) -> str:
    amounts = [f"{each.calls:+,} calls"] if each.calls else []
    amounts += [f"{_clock(each.talk_ms)} of conversation"] if each.talk_ms else []
    amounts += [f"{_clock(each.agent_ms)} signed in"] if each.agent_ms else []
    return f"{each.day}, {each.country}: {', '.join(amounts)}; {each.reason} ({each.made_by}, {each.made_at})"


def _clock(ms: int) -> str:
    """Hours, minutes and seconds more, or fewer."""
    seconds = abs(ms) // 1000
    return f"{'-' if ms < 0 else '+'}{seconds // 3_600:,}:{seconds // 60 % 60:02}:{seconds % 60:02}"


_PERIODS = {
    SharePeriod.MONTH: "each month",
    SharePeriod.QUARTER: "each quarter",
    SharePeriod.HALF_YEAR: "each half-year",
    SharePeriod.YEAR: "each year",
    SharePeriod.CONTRACT: "over the whole contract",
}


def _term_words(terms: Terms) -> str:
    since = "" if terms.valid_from is None else f", from {terms.valid_from}"
    until = "" if terms.valid_until is None else f" until {terms.valid_until} (excluded)"
    return (
        f"target {_percent(terms.target_bp)}, baseline {_percent(terms.baseline_bp)}, "
        f"margin {_percent(terms.margin_bp)}, of {_UNITS[terms.unit]} in {', '.join(terms.countries)}, "
        f"steered {_PERIODS[terms.period]}; after {terms.wait_s} s in which nobody there was free: "
        f"{terms.then}{since}{until}"
    )


# --- The page ------------------------------------------------------------------------------------------------------


def share_as_page(report: ShareReport) -> str:
    """One page of HTML, with a figure of each contract."""
    # Not at the top: matplotlib would make every command wait for it.
    from router.reports.charts import share_chart

    charts = {each.contract_id: base64.b64encode(share_chart(each)).decode("ascii") for each in report.contracts}
    filters: dict[str, Callable[..., object]] = {
        "amount": _amount,
        "before": _before,
        "correction": _correction_of,
        "goal": _goal,
        "months": _months,
        "percent": _percent,
        "share": _share,
        "terms": _term_words,
        "title": _title,
        "words": _correction_words,
    }
    return rendered(
        "share.html.j2",
        filters,
        report=report,
        charts=charts,
        company_lines=list(_company_lines(report.companies)),
        fingerprint=fingerprint(report),
    )
