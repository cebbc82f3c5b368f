"""A comparison on a terminal: in short, then the figures of all callers, then who gains and who loses."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.experiments.comparison import Comparison, Figure, Verdict, difference_words
from router.experiments.kpis import Kpi
from router.experiments.results import NO_DATA
from router.experiments.tables import shown, simple_table
from router.simulation.counts import Scope

__all__ = ["comparison_view", "frontier_words", "main_kpis", "most_changed"]

_ROWS_SHOWN: Final = 12
STYLES: Final = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "bold red",
    Verdict.OTHER: "bold",
    Verdict.UNCLEAR: "dim",
    Verdict.NO_DATA: "dim",
}


def comparison_view(comparison: Comparison, kpis: tuple[Kpi, ...]) -> RenderableType:
    """All that a terminal has room for."""
    parts: list[RenderableType] = [
        Text(f"{comparison.title}: {comparison.replications} {comparison.unit}", style="bold")
    ]
    parts += [
        Text(f"{each.name} against {comparison.baseline}: {each.in_short}")
        for each in comparison.policies
        if each.in_short
    ]
    parts += [Text(), _all_table(comparison, kpis)]
    changed = most_changed(comparison)
    if changed:
        parts += _changed_table(comparison, changed)
    parts.append(Text(frontier_words(comparison)))
    parts += [Text(note, style="dim") for note in comparison.notes]
    return Group(*parts)


def main_kpis(comparison: Comparison, kpis: tuple[Kpi, ...]) -> list[Kpi]:
    """Those of all callers of which some policy has data."""
    return [
        kpi
        for kpi in kpis
        if kpi.is_main
        and Scope.ALL in kpi.scopes
        and any(
            found is not None and found.found.value is not None
            for found in (policy.figure(kpi.key) for policy in comparison.policies)
        )
    ]


def frontier_words(comparison: Comparison) -> str:
    """Which policies are on the frontier."""
    if not comparison.frontier:
        return "No policy has an owner share: there is no frontier of it against the service level."
    named = ", ".join(comparison.frontier)
    return f"On the frontier of owner share against service level, from the smallest owner share up: {named}."


def most_changed(comparison: Comparison) -> list[str]:
    """Portfolios whose service level is clearly different under some policy, the largest difference first."""
    largest: dict[str, float] = {}
    for policy in comparison.policies:
        for each in policy.figures:
            gap = each.difference
            if each.scope is Scope.PORTFOLIO and each.key == "service_level" and gap is not None and gap.value:
                is_clear = each.verdict in (Verdict.BETTER, Verdict.WORSE)
                largest[each.id] = max(largest.get(each.id, 0.0), abs(gap.value) if is_clear else 0.0)
    return sorted((name for name, gap in largest.items() if gap), key=lambda name: (-largest[name], name))


def _all_table(comparison: Comparison, kpis: tuple[Kpi, ...]) -> Table:
    table = simple_table(f"All callers, and differences from {comparison.baseline}, of percentages in points")
    table.add_column("figure")
    for policy in comparison.policies:
        table.add_column(policy.name, justify="right")
    for kpi in main_kpis(comparison, kpis):
        table.add_row(kpi.name, *(_cell(kpi, policy.figure(kpi.key)) for policy in comparison.policies))
    return table


def _cell(kpi: Kpi, figure: Figure | None) -> Text:
    if figure is None:
        return Text(NO_DATA)
    cell = Text(shown(kpi.unit, figure.found, with_interval=figure.difference is None))
    if figure.verdict is not None and figure.verdict is not Verdict.NO_DATA:
        cell.append(f"\n{difference_words(figure.difference)} {_mark(figure.verdict)}", STYLES[figure.verdict])
    return cell


def _mark(verdict: Verdict) -> str:
    return "" if verdict is Verdict.UNCLEAR else str(verdict)


def _changed_table(comparison: Comparison, changed: list[str]) -> Iterator[RenderableType]:
    table = simple_table("Service level of portfolios that gain or lose, most changed first")
    table.add_column("portfolio", no_wrap=True)
    for policy in comparison.policies:
        table.add_column(policy.name, justify="right")
    kpis = {each.key: each for each in comparison.kpis}
    assert "service_level" in kpis, "it is always reckoned"
    for name in changed[:_ROWS_SHOWN]:
        cells = []
        for policy in comparison.policies:
            figure = policy.figure("service_level", Scope.PORTFOLIO, name)
            words = shown(kpis["service_level"].unit, figure.found if figure else None, with_interval=False)
            if figure is not None and figure.difference is not None and figure.difference.value is not None:
                words += f" ({figure.difference.value:+.1f})"
            cells.append(Text(words, STYLES[figure.verdict] if figure is not None and figure.verdict else ""))
        table.add_row(name, *cells)
    yield table
    if len(changed) > _ROWS_SHOWN:
        yield Text(f"... and {len(changed) - _ROWS_SHOWN} more: --report, --csv and --json have all", style="dim")
