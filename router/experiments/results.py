"""What replications of a scenario show: all key figures, in all and by portfolio, team, site and contract."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from router.core.model import Quality
from router.experiments.kpis import CONFIDENCE, Better, Estimate, Kpi, estimate, kpis_of
from router.experiments.replications import Stopped
from router.reports.quality import Unit
from router.simulation.centre import Run
from router.simulation.counts import Counts, RunCounts, Scope, sum_of
from router.simulation.scenario import Scenario

__all__ = [
    "NO_DATA",
    "KpiWords",
    "Results",
    "Row",
    "as_csv",
    "counted_words",
    "counts_by_id",
    "few_words",
    "results_of",
    "words_of",
]

NO_DATA: Final = "no data"
_FEW: Final = 5


class KpiWords(Struct, frozen=True, kw_only=True):
    """A key figure without its arithmetic, for whoever reads the document."""

    key: str
    name: str
    formula: str
    unit: Unit
    better: Better


class Row(Struct, frozen=True, kw_only=True):
    """All key figures of one portfolio, team, site, contract, or of all."""

    scope: Scope
    id: str
    counts: Counts
    """Sums over all replications."""
    figures: dict[str, Estimate]
    """By key; those that this scope can have."""


class Results(Struct, frozen=True, kw_only=True):
    """What is printed as JSON, beside the runs."""

    scenario: str
    seed: int
    starts: date
    ends: date
    """Excluded."""
    days: int
    """Counted in each replication: those after the warm-up."""
    replications: int
    confidence: float
    stopped: Stopped | None
    """None: there was no stopping rule."""
    kpis: tuple[KpiWords, ...]
    rows: tuple[Row, ...]
    counts: RunCounts
    """Sums over all replications: by hour, by wait, by state of agents."""
    notes: tuple[str, ...]


def words_of(kpi: Kpi) -> KpiWords:
    return KpiWords(key=kpi.key, name=kpi.name, formula=kpi.formula, unit=kpi.unit, better=kpi.better)


def results_of(scenario: Scenario, quality: Quality, runs: Sequence[Run], stopped: Stopped | None = None) -> Results:
    """All key figures.

    Args:
        scenario: Which was played.
        quality: Of its organisation.
        runs: The replications, at least one.
        stopped: How the stopping rule ended.
    """
    kpis = kpis_of(quality)
    counted = [run.counts for run in runs]
    together = sum_of(counted)
    return Results(
        scenario=scenario.where,
        seed=scenario.seed,
        starts=scenario.starts,
        ends=scenario.ends,
        days=counted[0].days,
        replications=len(runs),
        confidence=CONFIDENCE,
        stopped=stopped,
        kpis=tuple(map(words_of, kpis)),
        rows=tuple(_rows(kpis, counted, together)),
        counts=together,
        notes=few_words(len(runs)),
    )


def _rows(kpis: Sequence[Kpi], counted: Sequence[RunCounts], together: RunCounts) -> Iterator[Row]:
    for scope in Scope:
        by_id = counts_by_id(scope, counted)
        of_scope = [kpi for kpi in kpis if scope in kpi.scopes]
        for identity, each in by_id.items():
            yield Row(
                scope=scope,
                id=identity,
                counts=together.by_scope[scope][identity],
                figures={kpi.key: estimate(kpi, each) for kpi in of_scope},
            )


def counts_by_id(scope: Scope, counted: Sequence[RunCounts]) -> Mapping[str, list[Counts]]:
    """The counts of each id, one a replication; nothing where a replication did not see it. In order of ids."""
    names = sorted({name for run in counted for name in run.by_scope.get(scope, ())})
    return {name: [run.by_scope.get(scope, {}).get(name) or Counts() for run in counted] for name in names}


def counted_words(count: int, what: str) -> str:
    """``1 day``, ``3 days``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def few_words(replications: int) -> tuple[str, ...]:
    """What a reader must know of intervals from so few replications; empty: nothing."""
    if replications == 1:
        return (
            "one replication: the figures are those of one set of callers, and how far chance would move them is not "
            "known; --replications 10 makes ten and says so",
        )
    if replications < _FEW:
        return (
            f"{replications} replications are few: the intervals are right but wide, and trust the figures to scatter "
            "as a normal distribution does",
        )
    return ()


# --- CSV -----------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "scope", "id", "key", "name", "formula", "numerator", "denominator", "value", "half_width", "unit", "replications",
)  # fmt: skip


def as_csv(results: Results) -> str:
    """A row a figure; of seconds, the numerator is in milliseconds. An empty value is no data."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    words = {each.key: each for each in results.kpis}
    for row in results.rows:
        for key, found in row.figures.items():
            kpi = words[key]
            writer.writerow(
                (
                    row.scope, row.id, key, kpi.name, kpi.formula, found.above, found.below, _decimals(found.value),
                    _decimals(found.half_width), kpi.unit, results.replications,
                )
            )  # fmt: skip
    return out.getvalue()


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
