"""The page of a comparison: one file that needs nothing else."""

from collections.abc import Mapping

import msgspec

from router.experiments.comparison import Comparison, Figure, difference_words
from router.experiments.comparison_tables import frontier_words, main_kpis
from router.experiments.kpis import Estimate, Kpi, kpi_named
from router.experiments.pages import READING, WORDS, shown_in_page
from router.experiments.tables import main_key
from router.reports.pages import rendered
from router.simulation.counts import Scope

__all__ = ["page_of_comparison"]


def page_of_comparison(comparison: Comparison, kpis: tuple[Kpi, ...], *, what: str) -> str:
    """The page, as HTML.

    Args:
        comparison: What was found.
        kpis: Its figures.
        what: What was played, for somebody who has never seen it.
    """
    return rendered(
        "comparison.html.j2",
        {"shown": shown_in_page, "difference": lambda gap: difference_words(gap).replace(" ", "\u00a0")},
        title=f"Policies compared: {comparison.title}",
        what=what,
        warnings=comparison.notes[:-1],
        comparison=comparison,
        frontier=frontier_words(comparison),
        svg=_frontier(comparison, kpis),
        kpis=main_kpis(comparison, kpis),
        scopes=[_scope(comparison, scope, kpis) for scope in _scopes(comparison)],
        words=WORDS,
        reading=(*READING, comparison.notes[-1]),
        footer=f"{comparison.title}, {comparison.replications} {comparison.unit}.",
    )


def _frontier(comparison: Comparison, kpis: tuple[Kpi, ...]) -> str:
    # Not at the top: matplotlib would make every command wait for it.
    from router.experiments.figures import Point, frontier_chart

    points = []
    for policy in comparison.policies:
        owner, level = policy.figure("owner_share"), policy.figure("service_level")
        if owner is not None and level is not None:
            points.append(
                Point(policy.name, _beside(owner), _beside(level), is_marked=policy.name == comparison.baseline)
            )
    if not comparison.frontier:
        return ""
    by_name = {point.name: point for point in points}
    return frontier_chart(
        points,
        x_words=f"% {kpi_named(kpis, 'owner_share').name}",
        y_words=f"% {kpi_named(kpis, 'service_level').short}",
        frontier=[by_name[name] for name in comparison.frontier],
    )


def _beside(figure: Figure) -> Estimate:
    """The figure with the interval of its difference: what the same callers had in common is not in it."""
    gap = figure.difference
    half_width = gap.half_width if gap is not None else None
    return msgspec.structs.replace(figure.found, half_width=half_width)


def _scopes(comparison: Comparison) -> list[Scope]:
    seen = {each.scope for each in comparison.policies[0].figures}
    return [scope for scope in Scope if scope in seen and scope is not Scope.ALL]


def _scope(comparison: Comparison, scope: Scope, kpis: tuple[Kpi, ...]) -> Mapping[str, object]:
    """The service level of each, under every policy."""
    key = main_key(scope)
    by_policy = [
        {each.id: each for each in policy.figures if each.scope is scope and each.key == key}
        for policy in comparison.policies
    ]
    names = sorted({name for figures in by_policy for name in figures}, key=lambda name: _worst(by_policy, name))
    return {
        "name": str(scope),
        "kpi": kpi_named(kpis, key),
        "rows": [(name, [figures.get(name) for figures in by_policy]) for name in names],
    }


def _worst(by_policy: list[dict[str, Figure]], name: str) -> tuple[float, str]:
    """The worst first, by whichever policy serves it worst."""
    values = [figures[name].found.value for figures in by_policy if name in figures]
    return min((value for value in values if value is not None), default=1_000.0), name
