"""Reports of `monthly` as people and other programs get them: tables on a terminal, CSV, JSON, a page with figures.

The page is one file that needs nothing else and can be printed. The same report gives the same bytes.
"""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jinja2
import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.reports.monthly import Report, Section, Span, fingerprint
from router.reports.quality import Figure, Verdict

__all__ = ["as_csv", "as_document", "as_page", "as_view", "rendered"]


def as_document(report: Struct) -> dict[str, object]:
    """For JSON: the report, and the fingerprint of it."""
    return {"sha256": fingerprint(report), "report": msgspec.to_builtins(report)}


# --- CSV -----------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "period", "is_complete", "key", "name", "formula", "numerator", "denominator", "value", "unit", "at_most",
    "at_least", "verdict", "note",
)  # fmt: skip


def as_csv(report: Report) -> str:
    """A row a count or figure; of a count, there is a value alone."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((report.about, *_COLUMNS))
    for section in report.sections:
        for span in section.spans:
            head = (section.name, span.period, "yes" if span.is_complete else "no")
            for name, count in span.counts.items():
                writer.writerow((*head, name, _words(name), "", "", "", count, "", "", "", "", ""))
            for each in span.figures:
                fields = msgspec.structs.asdict(each)
                writer.writerow((*head, *(fields[column] for column in _COLUMNS[2:])))
    return out.getvalue()


# --- Terminal ------------------------------------------------------------------------------------------------------

_STYLES = {Verdict.MET: "green", Verdict.MISSED: "bold red", Verdict.NO_DATA: "dim", Verdict.NOT_KNOWN: "yellow"}


def as_view(report: Report) -> RenderableType:
    """Tables of the period and the halves of a year; months are for the other forms."""
    parts: list[RenderableType] = [Text(f"{report.title}, {report.period}", style="bold")]
    if _is_long(report):
        parts += [_spans_table(report.sections[0]), _sections_table(report)]
    else:
        parts += [_spans_table(section) for section in report.sections]
    parts.extend(
        Text(f"{section.name}, {why}", style="yellow") for section in report.sections for why in section.incomplete
    )
    parts.extend(Text(note, style="dim") for note in report.notes)
    parts.append(Text(f"sha256 {fingerprint(report)}"))
    return Group(*parts)


def _is_long(report: Report) -> bool:
    """Whether sections are rows of one table, after the first that stands for all."""
    return report.about in ("team", "portfolio")


def _spans_table(section: Section) -> Table:
    spans = [span for span in section.spans if not _is_month(span)] or list(section.spans)
    table = Table(title=section.name, title_justify="left", title_style="bold")
    table.add_column("")
    for span in spans:
        table.add_column(span.period + ("" if span.is_complete else " (incomplete)"), justify="right")
    has_limits = any(limit for _, limit, _ in _lines(spans))
    if has_limits:
        table.add_column("limit")
    for name, limit, figures in _lines(spans):
        table.add_row(name, *(_cell(each, name) for each in figures), *([limit] if has_limits else []))
    table.add_section()
    for name in _calls(spans[0]):
        table.add_row(_words(name), *(_grouped(span.counts[name]) for span in spans))
    return table


def _sections_table(report: Report) -> Table:
    table = Table(title=f"By {report.about}, {report.period}", title_justify="left", title_style="bold")
    first = report.sections[0].spans[0]
    table.add_column(report.about)
    for name in ("answered", *(each.name for each in first.figures)):
        table.add_column(name, justify="right")
    for section in report.sections[1:]:
        span = section.spans[0]
        table.add_row(
            section.name, _grouped(span.counts["answered"]), *(_cell(each, each.name) for each in span.figures)
        )
    return table


def _cell(figure: Figure, name: str) -> Text:
    style = _STYLES[figure.verdict] if figure.verdict is not None else ""
    shown = Text(_value(figure), style=style)
    if figure.verdict in (Verdict.MET, Verdict.MISSED):
        shown.append(f" {figure.verdict}")
    if figure.name != name:
        shown.append(f" ({figure.name})", style="dim")
    return shown


# --- What the forms share ------------------------------------------------------------------------------------------


def _is_month(span: Span) -> bool:
    return len(span.period) == 7 and span.period[5] != "H"


def _value(figure: Figure) -> str:
    if figure.value is None:
        return str(Verdict.NOT_KNOWN if figure.denominator else Verdict.NO_DATA)
    return f"{figure.value} {figure.unit}"


def _calls(span: Span) -> list[str]:
    """The names of what is counted in calls; sums of time are in the means, and in the other forms."""
    return [name for name in span.counts if not name.endswith("_ms")]


def _main(span: Span) -> list[Figure]:
    """What a row a month has room for; the variants of the service level are in the other forms."""
    return [each for each in span.figures if not each.key.startswith("service_level")]


def _limit(figures: Iterable[Figure]) -> str:
    """The limit of the first that has one."""
    for each in figures:
        if each.at_most is not None:
            return f"at most {each.at_most} {each.unit}"
        if each.at_least is not None:
            return f"at least {each.at_least} {each.unit}"
    return ""


def _words(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


_NAMES = {
    "answered_soon": "answered within the threshold (<=)",
    "answered_sooner": "answered within the threshold (<)",
    "wait_ms": "waited in all, ms",
    "navigated": "answered, navigation known",
    "navigation_ms": "navigated in all, ms",
    "navigated_wait_ms": "waited by those, ms",
    "navigated_soon": "with navigation within the threshold (<=)",
    "navigated_sooner": "with navigation within the threshold (<)",
    "abandoned": "hung up before any answer",
    "abandoned_soon": "hung up within the threshold",
    "abandoned_short": "hung up within the short threshold",
    "transferred": "answered again after a transfer",
    "fallback": "sent to a fallback",
    "callback_cancelled": "call-backs cancelled or given up",
    "by_owner": "by the owner",
    "by_backup": "by a backup",
    "on_shift": "owner on shift",
    "on_shift_by_owner": "owner on shift, by the owner",
    "back_by_owner": "called back by the owner",
    "back_by_backup": "called back by a backup",
}


def _grouped(count: int) -> str:
    return f"{count:,}"


# --- The page ------------------------------------------------------------------------------------------------------


def as_page(report: Report) -> str:
    """One page of HTML, with a figure of the months in each section that is shown in full."""
    # Not at the top: matplotlib would make every command wait for it.
    from router.reports.charts import months_chart

    filters: dict[str, Callable[..., object]] = {
        "words": _words,
        "grouped": _grouped,
        "value": _value,
        "calls": _calls,
        "main": _main,
    }
    full = report.sections[:1] if _is_long(report) else report.sections
    sections = []
    for section in full:
        spans = [span for span in section.spans if not _is_month(span)] or list(section.spans)
        months = [span for span in section.spans if _is_month(span)]
        chart = base64.b64encode(months_chart(months)).decode("ascii") if months else ""
        sections.append({"section": section, "spans": spans, "months": months, "chart": chart})
    return rendered(
        "report.html.j2",
        filters,
        report=report,
        sections=sections,
        rows=report.sections[1:] if _is_long(report) else (),
        fingerprint=fingerprint(report),
        lines=_lines,
    )


def rendered(template: str, filters: Mapping[str, Callable[..., object]], **values: object) -> str:
    """The page that the template makes of *values*."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("router.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= filters
    return environment.get_template(template).render(**values)


def _lines(spans: Sequence[Span]) -> Iterator[tuple[str, str, list[Figure]]]:
    """Name, limit and the figure of each span, a line a figure."""
    for place, first in enumerate(spans[0].figures):
        figures = [span.figures[place] for span in spans]
        yield first.name, _limit(figures), figures
