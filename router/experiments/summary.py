"""What runs of one scenario show, beside each other: rows by month and in all, and what a rule cost."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.core.model import OrganisationDescription
from router.simulation.centre import Off, Run
from router.simulation.ledger import START_UP_ANSWERS, ContractCount, DayCount, total_of

__all__ = ["Row", "Summary", "as_view", "faults_of", "rows_of", "summarise"]

ALL = "in all"


class Row(Struct, frozen=True, kw_only=True):
    """A month of a run, or all of it."""

    name: str
    counts: DayCount

    @property
    def wait_s(self) -> float | None:
        """Mean of those answered on the line; None: nobody was."""
        return self.counts.wait_ms / 1000 / self.counts.answered if self.counts.answered else None

    @property
    def soon_percent(self) -> float | None:
        """Of those answered on the line, whoever waited no longer than the threshold."""
        return 100 * self.counts.answered_soon / self.counts.answered if self.counts.answered else None

    @property
    def abandoned_percent(self) -> float | None:
        """Of those who called."""
        return 100 * self.counts.abandoned / self.counts.arrived if self.counts.arrived else None


class Cost(Struct, frozen=True, kw_only=True):
    """What the rules cost: the run with all of them less the one without, on the same callers."""

    wait_s: float
    """Of the mean wait."""
    soon_points: float
    abandoned_points: float
    answered: int
    """Calls that more, or fewer, were answered."""


class Summary(Struct, frozen=True, kw_only=True):
    """For JSON."""

    scenario: str
    organisation: str
    seed: int
    start_up_answers: int
    within_s: int
    runs: tuple["RunSummary", ...]
    cost: Cost | None
    faults: tuple[str, ...]


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run without its days."""

    off: Off | None
    in_all: Row
    months: tuple[Row, ...]
    overrides: int
    overrides_in_books: int
    breach_count: int
    records: int
    rejected: dict[str, int]
    callers_digest: str
    decisions_digest: str


def rows_of(run: Run) -> list[Row]:
    """Months, then all."""
    months = groupby(run.days, key=lambda count: f"{count.day:%Y-%m}")
    return [*(Row(name=name, counts=total_of(list(days))) for name, days in months), _in_all(run.days)]


def _in_all(days: Sequence[DayCount]) -> Row:
    return Row(name=ALL, counts=total_of(days))


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


def summarise(runs: Sequence[Run], scenario: str, seed: int, description: OrganisationDescription) -> Summary:
    """All that is printed, for other programs."""
    return Summary(
        scenario=scenario,
        organisation=description.where,
        seed=seed,
        start_up_answers=START_UP_ANSWERS,
        within_s=description.quality.within_s,
        runs=tuple(_run_summary(run) for run in runs),
        cost=_cost(runs),
        faults=tuple(faults_of(runs)),
    )


def _run_summary(run: Run) -> RunSummary:
    *months, in_all = rows_of(run)
    return RunSummary(
        off=run.off,
        in_all=in_all,
        months=tuple(months),
        overrides=run.overrides,
        overrides_in_books=run.overrides_in_books,
        breach_count=run.breach_count,
        records=run.records,
        rejected=run.rejected,
        callers_digest=run.callers_digest,
        decisions_digest=run.decisions_digest,
    )


def _cost(runs: Sequence[Run]) -> Cost | None:
    if len(runs) < 2:
        return None
    on, off = (_in_all(run.days) for run in runs[:2])
    return Cost(
        wait_s=(on.wait_s or 0.0) - (off.wait_s or 0.0),
        soon_points=(on.soon_percent or 0.0) - (off.soon_percent or 0.0),
        abandoned_points=(on.abandoned_percent or 0.0) - (off.abandoned_percent or 0.0),
        answered=on.counts.answered - off.counts.answered,
    )


# --- For people ----------------------------------------------------------------------------------------------------


def as_view(runs: Sequence[Run], description: OrganisationDescription) -> RenderableType:
    """Tables of all runs."""
    parts: list[RenderableType] = []
    for run in runs:
        parts += [_waits_table(run, description.quality.within_s), _shares_table(run)]
    cost = _cost(runs)
    if cost is not None:
        parts.append(
            Text(
                f"What the share cost the same callers: mean wait {cost.wait_s:+.2f} s, answered within "
                f"{description.quality.within_s} s {cost.soon_points:+.2f} points, abandoned "
                f"{cost.abandoned_points:+.2f} points, {cost.answered:+,} answered",
                style="bold",
            )
        )
    for run in runs:
        parts.append(
            Text(
                f"{_title(run)}: {run.records:,} records; {run.overrides:,} overrides, of which the router's books "
                f"have {run.overrides_in_books:,}; callers {run.callers_digest}, decisions {run.decisions_digest}",
                style="dim",
            )
        )  # fmt: skip
    parts.append(
        Text(
            f"Mean wait, within: of those answered on the line. Lowest: after the first {START_UP_ANSWERS:,} answers "
            "of a period. Below: answers after which the share stood below its target, from the first answer on.",
            style="dim",
        )
    )
    return Group(*parts)


def _title(run: Run) -> str:
    return "all rules" if run.off is None else f"without {run.off}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _waits_table(run: Run, within_s: int) -> Table:
    table = _table(f"Waits, {_title(run)}")
    table.add_column("")
    headings = (
        "calls", "answered", "abandoned", "", "elsewhere", "refused", "mean wait", f"within {within_s} s",
        "offers missed", "asked for inside", "met", "after", "unmet",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows_of(run):
        counts = row.counts
        if row.name == ALL:
            table.add_section()
        table.add_row(
            row.name,
            *(f"{count:,}" for count in (counts.arrived, counts.answered, counts.abandoned)),
            _number(row.abandoned_percent, " %"),
            *(f"{count:,}" for count in (counts.elsewhere, counts.refused)),
            _number(row.wait_s, " s"),
            _number(row.soon_percent, " %"),
            *(f"{count:,}" for count in (counts.missed, counts.asked, counts.met)),
            _number(counts.met_ms / 1000 / counts.met if counts.met else None, " s"),
            f"{counts.unmet:,}",
        )
    return table


def _shares_table(run: Run) -> Table:
    table = _table(f"Shares, {_title(run)}")
    for heading in ("contract", ""):
        table.add_column(heading)
    for heading in ("answered", "in the country", "share", "share of the period", "lowest", "below", "overrides"):
        table.add_column(heading, justify="right")
    rows = rows_of(run)
    for place, contract in enumerate(rows[-1].counts.contracts):
        for row in rows:
            counts = row.counts.contracts[place]
            table.add_row(contract.contract_id if row is rows[0] else "", row.name, *_share_cells(counts))
        table.add_section()
    return table


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
