"""Key figures of simulated times on a terminal: the answer first, then all callers, then the worst of each scope."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from router.experiments.findings import Finding, Findings
from router.experiments.kpis import Estimate, Kpi
from router.experiments.results import NO_DATA, Results, Row, counted_words
from router.reports.quality import Unit
from router.simulation.counts import Scope

__all__ = ["columns_of", "main_key", "results_view", "shown", "simple_table", "worst_first"]

_ROWS_SHOWN: Final = 12
_FINDINGS_SHOWN: Final = 3


def results_view(results: Results, findings: Findings, kpis: Sequence[Kpi]) -> RenderableType:
    """All that a terminal has room for."""
    parts: list[RenderableType] = [Text(_title(results), style="bold"), Text(findings.in_short)]
    for finding in (findings.all_callers, *findings.badly_served[:_FINDINGS_SHOWN]):
        parts += _finding_lines(finding)
    if len(findings.badly_served) > _FINDINGS_SHOWN:
        parts.append(Text(f"\nThe other {len(findings.badly_served) - _FINDINGS_SHOWN}, and why: --report, --json"))
    if findings.short_teams:
        parts += [Text(), _short_table(findings)]
    parts += [Text(), _all_table(results, kpis)]
    for scope in Scope:
        if scope is not Scope.ALL and any(row.scope is scope for row in results.rows):
            parts += _scope_table(results, scope, kpis)
    if results.stopped is not None:
        parts.append(Text(stopped_words(results), style="" if results.stopped.is_met else "yellow"))
    parts += [Text(note, style="yellow") for note in results.notes]
    return Group(*parts)


def _title(results: Results) -> str:
    return (
        f"{results.scenario}: {counted_words(results.replications, 'replication')} of "
        f"{counted_words(results.days, 'day')}"
    )


def stopped_words(results: Results) -> str:
    """How the stopping rule ended."""
    stopped = results.stopped
    assert stopped is not None, "there was a rule"
    reached = ", ".join(f"{key} {100 * relative:.1f} %" for key, relative in stopped.reached.items())
    end = "reached" if stopped.is_met else "not reached, the replications ran out"
    return f"half-width / value of at most {100 * stopped.wanted:g} %: {end} ({reached})"


def _short_table(findings: Findings) -> Table:
    table = simple_table("Teams with more work of their own callers than people")
    table.add_column("team", no_wrap=True)
    for heading in ("hours", "agents staffed", "erlangs", "busy"):
        table.add_column(heading, justify="right")
    for each in findings.short_teams[:_ROWS_SHOWN]:
        table.add_row(
            each.team_id,
            f"{each.first_hour} to {each.until_hour}",
            f"{each.staffed:.1f}",
            f"{each.load:.1f}",
            f"{100 * each.occupancy:.0f} %",
        )
    return table


def _finding_lines(finding: Finding) -> Iterator[RenderableType]:
    yield Text("\n" + finding.head, style="bold")
    for sentence in finding.why:
        yield Padding(Text(sentence), (0, 0, 0, 2))


def simple_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def shown(unit: Unit, found: Estimate | None, *, with_interval: bool = True) -> str:
    """``61.2 % ± 1.3``."""
    if found is None or found.value is None:
        return NO_DATA
    if not with_interval or found.half_width is None:
        return f"{found.value:.1f} {unit}"
    places = 1 if found.half_width >= 0.1 or not found.half_width else 2
    return f"{found.value:.{places}f} {unit} ± {found.half_width:.{places}f}"


def columns_of(rows: Iterable[Row], kpis: Sequence[Kpi], scope: Scope) -> list[Kpi]:
    """The main figures of which one of *rows* has data; of hang-ups, which are in C, B would say nothing more."""
    rows = list(rows)
    return [
        kpi
        for kpi in kpis
        if kpi.is_main
        and scope in kpi.scopes
        and not (kpi.key == "service_level_b" and main_key(scope) != kpi.key)
        and any(row.figures[kpi.key].value is not None for row in rows)
    ]


def main_key(scope: Scope) -> str:
    """The service level that a scope can have."""
    return "service_level" if scope in (Scope.ALL, Scope.PORTFOLIO) else "service_level_b"


def worst_first(rows: Iterable[Row], scope: Scope) -> list[Row]:
    """By service level; those without data last."""

    def order(row: Row) -> tuple[bool, float, str]:
        value = row.figures[main_key(scope)].value
        return value is None, value or 0.0, row.id

    return sorted((row for row in rows if row.scope is scope), key=order)


def _all_table(results: Results, kpis: Sequence[Kpi]) -> Table:
    (row,) = (row for row in results.rows if row.scope is Scope.ALL)
    table = simple_table(f"All callers, per replication {row.counts.arrived / results.replications:,.0f} calls")
    table.add_column("figure")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("= ")
    for kpi in kpis:
        if Scope.ALL in kpi.scopes and row.figures[kpi.key].value is not None:
            is_bold = kpi.key == "service_level"
            table.add_row(kpi.name, shown(kpi.unit, row.figures[kpi.key]), kpi.formula, style="bold" if is_bold else "")
    return table


def _scope_table(results: Results, scope: Scope, kpis: Sequence[Kpi]) -> Iterator[RenderableType]:
    rows = worst_first(results.rows, scope)
    # A terminal has no room for columns of zeros.
    columns = [kpi for kpi in columns_of(rows, kpis, scope) if any(row.figures[kpi.key].above for row in rows)]
    counted = "arrived" if scope is Scope.PORTFOLIO else "answered"
    table = simple_table(f"By {scope}, worst first")
    table.add_column(str(scope), no_wrap=True)
    table.add_column("calls", justify="right")
    for kpi in columns:
        longest = max(map(len, kpi.short.split()))
        table.add_column(kpi.short, justify="right", no_wrap=kpi.key == main_key(scope), min_width=longest)
    for row in rows[:_ROWS_SHOWN]:
        table.add_row(
            row.id,
            f"{getattr(row.counts, counted):,}",
            *(shown(kpi.unit, row.figures[kpi.key], with_interval=kpi.key == main_key(scope)) for kpi in columns),
        )
    yield table
    if len(rows) > _ROWS_SHOWN:
        yield Text(f"... and {len(rows) - _ROWS_SHOWN} more: --report, --csv and --json have all", style="dim")
    if scope is not Scope.PORTFOLIO:
        yield Text(
            f"by who answered: hang-ups are of no {scope}, so that the service level is B, of those answered",
            style="dim",
        )
    elif columns:
        yield Text(f"{columns[0].name}; intervals of all figures: --report, --csv, --json", style="dim")
