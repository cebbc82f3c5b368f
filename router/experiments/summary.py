"""What runs of one scenario show, beside each other: rows by month and in all, and what a rule cost."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.core.model import OrganisationDescription, ShareUnit
from router.simulation.centre import Off, Run
from router.simulation.ledger import START_UP_ANSWERS, ContractCount, DayCount, PlanChange, total_of
from router.simulation.scenario import Scenario

__all__ = ["Cost", "Row", "RunSummary", "Summary", "as_view", "faults_of", "summarise"]


class Row(Struct, frozen=True, kw_only=True):
    """A month of a run, or all of it. Where nothing was counted that it could be a figure of, it is None."""

    name: str
    wait_s: float | None
    """Mean of those answered on the line."""
    within_percent: float | None
    """Of those answered on the line, whoever waited no longer than the threshold."""
    abandoned_percent: float | None
    """Of those who called."""
    inside_after_s: float | None
    """From asking for an agent inside to speaking to one, in the mean."""
    counts: DayCount


class Cost(Struct, frozen=True, kw_only=True):
    """What the rules cost: the run with all of them less the one without, on the same callers."""

    wait_s: float
    """Of the mean wait."""
    within_points: float
    abandoned_points: float
    answered: int
    """Calls that more, or fewer, were answered."""


class Summary(Struct, frozen=True, kw_only=True):
    """All that is printed."""

    scenario: str
    seed: int
    start_up_answers: int
    within_s: int
    runs: tuple["RunSummary", ...]
    cost: Cost | None
    notes: tuple[str, ...]
    """What a reader of the figures must know."""
    faults: tuple[str, ...]
    """What must not be, in words."""


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run without its days."""

    off: Off | None
    months: tuple[Row, ...]
    in_all: Row
    plan_changes: tuple[PlanChange, ...]
    overrides: int
    overrides_in_books: int
    breach_count: int
    records: int
    rejected: dict[str, int]
    callers_digest: str
    decisions_digest: str


def faults_of(runs: Iterable[Run]) -> list[str]:
    """What must not be, in words."""
    faults = []
    for run in runs:
        if run.off is None:
            faults += [
                f"share broken: after call {each.call_id}, {each.inside} of {each.total} under contract "
                f"{each.contract_id}, with {each.overrides} overrides"
                for each in run.breaches
            ]
            if run.breach_count > len(run.breaches):
                faults.append(f"and {run.breach_count - len(run.breaches)} more")
        if run.overrides != run.overrides_in_books:
            faults.append(f"{run.overrides} overrides were made, and {run.overrides_in_books} are in the books")
    return faults


def summarise(runs: Sequence[Run], scenario: Scenario, description: OrganisationDescription) -> Summary:
    """What *runs* of a scenario show.

    Args:
        runs: The first one with all rules; of the second, if there is one, it is said what its rule cost.
        scenario: Which was played.
        description: Its organisation, as it is written.
    """
    summaries = tuple(map(_run_summary, runs))
    return Summary(
        scenario=scenario.where,
        seed=scenario.seed,
        start_up_answers=START_UP_ANSWERS,
        within_s=description.quality.within_s,
        runs=summaries,
        cost=_cost(summaries[0].in_all, summaries[1].in_all) if len(summaries) > 1 else None,
        notes=tuple(_notes(description)),
        faults=tuple(faults_of(runs)),
    )


def _notes(description: OrganisationDescription) -> Iterator[str]:
    yield (
        "mean wait, within: of those answered on the line; lowest: after the first "
        f"{START_UP_ANSWERS:,} answers of a period; below: answers after which the share stood below its target, from "
        "the first answer on"
    )
    for contract in description.contracts:
        if contract.unit is not ShareUnit.CALLS:
            yield (
                f"the share of contract {contract.contract_id} is one of {contract.unit.replace('_', ' ')}: here its "
                "calls are counted, and not checked"
            )


def _run_summary(run: Run) -> RunSummary:
    months = groupby(run.days, key=lambda count: f"{count.day:%Y-%m}")
    return RunSummary(
        off=run.off,
        months=tuple(_row(name, total_of(list(days))) for name, days in months),
        in_all=_row("in all", total_of(run.days)),
        plan_changes=run.plan_changes,
        overrides=run.overrides,
        overrides_in_books=run.overrides_in_books,
        breach_count=run.breach_count,
        records=run.records,
        rejected=run.rejected,
        callers_digest=run.callers_digest,
        decisions_digest=run.decisions_digest,
    )


def _row(name: str, counts: DayCount) -> Row:
    return Row(
        name=name,
        wait_s=_of(counts.wait_ms / 1000, counts.answered),
        within_percent=_of(100 * counts.answered_soon, counts.answered),
        abandoned_percent=_of(100 * counts.abandoned, counts.arrived),
        inside_after_s=_of(counts.met_ms / 1000, counts.met),
        counts=counts,
    )


def _of(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _cost(on: Row, off: Row) -> Cost | None:
    if not on.counts.answered or not off.counts.answered:
        return None
    return Cost(
        wait_s=(on.wait_s or 0.0) - (off.wait_s or 0.0),
        within_points=(on.within_percent or 0.0) - (off.within_percent or 0.0),
        abandoned_points=(on.abandoned_percent or 0.0) - (off.abandoned_percent or 0.0),
        answered=on.counts.answered - off.counts.answered,
    )


# --- For people ----------------------------------------------------------------------------------------------------


def as_view(summary: Summary) -> RenderableType:
    """Tables of all runs."""
    parts: list[RenderableType] = []
    for run in summary.runs:
        parts += [_waits_table(run, summary.within_s), _shares_table(run)]
        if run.in_all.counts.plans:
            parts += [_plans_table(run), *_plan_lines(run)]
    cost = summary.cost
    if cost is not None:
        parts.append(
            Text(
                f"What the {summary.runs[1].off} cost the same callers: mean wait {cost.wait_s:+.2f} s, answered "
                f"within {summary.within_s} s {cost.within_points:+.2f} points, abandoned {cost.abandoned_points:+.2f} "
                f"points, {cost.answered:+,} answered",
                style="bold",
            )
        )
    parts += [
        Text(
            f"{_title(run)}: {run.records:,} records; {run.overrides:,} overrides, {run.overrides_in_books:,} in the "
            f"router's books; callers {run.callers_digest}, decisions {run.decisions_digest}",
            style="dim",
        )
        for run in summary.runs
    ]
    parts += [Text(note, style="dim") for note in summary.notes]
    return Group(*parts)


def _title(run: RunSummary) -> str:
    return "all rules" if run.off is None else f"without {run.off}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _waits_table(run: RunSummary, within_s: int) -> Table:
    table = _table(f"Waits, {_title(run)}")
    table.add_column("")
    headings = (
        "calls", "answered", "abandoned", "", "elsewhere", "refused", "mean wait", f"within {within_s} s",
        "offers missed", "asked for inside", "met", "after", "unmet",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in (*run.months, run.in_all):
        counts = row.counts
        if row is run.in_all:
            table.add_section()
        table.add_row(
            row.name,
            *(f"{count:,}" for count in (counts.arrived, counts.answered, counts.abandoned)),
            _number(row.abandoned_percent, " %"),
            *(f"{count:,}" for count in (counts.elsewhere, counts.refused)),
            _number(row.wait_s, " s"),
            _number(row.within_percent, " %"),
            *(f"{count:,}" for count in (counts.missed, counts.asked, counts.met)),
            _number(row.inside_after_s, " s"),
            f"{counts.unmet:,}",
        )
    return table


def _shares_table(run: RunSummary) -> Table:
    table = _table(f"Shares, {_title(run)}")
    for heading in ("contract", ""):
        table.add_column(heading)
    for heading in ("answered", "in the country", "share", "share of the period", "lowest", "below", "overrides"):
        table.add_column(heading, justify="right")
    for place, contract in enumerate(run.in_all.counts.contracts):
        for row in (*run.months, run.in_all):
            is_first = row is (*run.months, run.in_all)[0]
            table.add_row(
                contract.contract_id if is_first else "", row.name, *_share_cells(row.counts.contracts[place])
            )
        table.add_section()
    return table


def _plans_table(run: RunSummary) -> Table:
    table = _table(f"Move plans, {_title(run)}")
    for heading in ("plan", ""):
        table.add_column(heading)
    for heading in ("answered", "where the work goes", "share", "agents moved", "step"):
        table.add_column(heading, justify="right")
    for place, plan in enumerate(run.in_all.counts.plans):
        for row in (*run.months, run.in_all):
            counts = row.counts.plans[place]
            table.add_row(
                plan.move_plan_id if row is (*run.months, run.in_all)[0] else "",
                row.name,
                f"{counts.answered:,}",
                f"{counts.moved:,}",
                _share((counts.moved, counts.answered)),
                f"{counts.agents_moved:,}",
                counts.step_id or "none yet",
            )
        table.add_section()
    return table


def _plan_lines(run: RunSummary) -> Iterator[Text]:
    for change in run.plan_changes:
        detail = f": {change.detail}" if change.detail else ""
        yield Text(f"{change.day} {change.move_plan_id}, {change.rule.replace('_', ' ')}{detail}")


def _share_cells(counts: ContractCount) -> tuple[str, ...]:
    return (
        f"{counts.total:,}",
        f"{counts.inside:,}",
        _share((counts.inside, counts.total)),
        _share(counts.stands),
        _share(counts.lowest),
        f"{counts.below:,}",
        f"{counts.overrides:,}",
    )


def _share(share: tuple[int, int] | None) -> str:
    """Rounded down, so that what does not pass never looks as if it did."""
    if share is None or not share[1]:
        return "no data"
    thousandths = share[0] * 100_000 // share[1]
    return f"{thousandths // 1000}.{thousandths % 1000:03} %"


def _number(value: float | None, unit: str) -> str:
    return "no data" if value is None else f"{value:.2f}{unit}"
