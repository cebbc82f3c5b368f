"""Figures of simulated times, as SVG: the same runs give the same bytes."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure as Drawing

from router.core.model import Contract, MovePlan, OrganisationDescription
from router.simulation.centre import Run
from router.simulation.ledger import total_of

__all__ = ["shares_chart"]

# As in `reports.charts`: fonts and colours that every machine has and the colour-blind can tell apart.
_STYLE: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "router", "svg.fonttype": "path", "font.size": 8.0}
_LINES = (("#0072B2", "-"), ("#D55E00", "--"))
_INK = "#222222"
_dates: Any = ConciseDateFormatter  # it has no type hints
_DAYS_A_POINT = 7
"""Waits of single days would hide the course of a year in that of its weeks."""


def shares_chart(runs: Sequence[Run], description: OrganisationDescription) -> bytes:
    """Move plans by day and the share of each contract over its period, above the mean waits by week."""
    contracts = [
        (place, contract)
        for place, contract in enumerate(description.contracts)
        if any(day.contracts[place].total for run in runs for day in run.days)
    ]
    panels = len(description.move_plans) + len(contracts) + 1
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 0.4 + 2.1 * panels), layout="constrained")
        axes = iter(drawing.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
        for place, plan in enumerate(description.move_plans):
            _draw_plan(next(axes), runs[0], place, plan)
        for place, contract in contracts:
            _draw_share(next(axes), runs, place, contract)
        last = next(axes)
        _draw_waits(last, runs)
        last.xaxis.set_major_formatter(_dates(last.xaxis.get_major_locator()))
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw_plan(axes: Axes, run: Run, place: int, plan: MovePlan) -> None:
    """Of one run: two lines say enough of it."""
    counted = [day for day in run.days if day.plans[place].answered]
    moved = [100 * day.plans[place].moved / day.plans[place].answered for day in counted]
    agents = [100 * day.plans[place].agents_moved / plan.agents for day in run.days]
    days: Any = [day.day for day in counted]
    all_days: Any = [day.day for day in run.days]
    axes.plot(days, moved, color=_LINES[0][0], linewidth=1.2, label="calls answered where the work goes")
    axes.step(
        all_days, agents, color=_LINES[1][0], linestyle="--", linewidth=1.2, where="post",
        label=f"agents moved, of {plan.agents}",
    )  # fmt: skip
    deadline: Any = plan.deadline
    if run.days[0].day <= plan.deadline <= run.days[-1].day:
        axes.axvline(deadline, color=_INK, linewidth=0.9, linestyle=":", label=f"deadline {plan.deadline}")
    axes.set_ylim(0, 101)
    axes.set_ylabel("%")
    _finish(axes, f"{plan.move_plan_id}, by day")


def _draw_share(axes: Axes, runs: Sequence[Run], place: int, contract: Contract) -> None:
    goal = contract.goal_bp / 100
    lowest = goal
    for run, (colour, line) in zip(runs, _LINES, strict=False):
        counted = [day for day in run.days if day.contracts[place].total]
        standing = [day.contracts[place].stands for day in counted]
        shares = [100 * inside / total for inside, total in standing]
        lowest = min([lowest, *shares])
        days: Any = [day.day for day in counted]
        axes.plot(days, shares, color=colour, linestyle=line, linewidth=1.2, label=_label(run))
    axes.axhline(goal, color=_INK, linewidth=0.9, linestyle=":", label=f"target {goal:g} %")
    axes.set_ylim(max(0.0, 5 * (lowest // 5) - 5), 101)
    axes.set_ylabel("%")
    _finish(axes, f"{contract.contract_id}: answered in {contract.territory or ' or '.join(contract.countries)}")


def _draw_waits(axes: Axes, runs: Sequence[Run]) -> None:
    for run, (colour, line) in zip(runs, _LINES, strict=False):
        weeks = [total_of(run.days[start : start + _DAYS_A_POINT]) for start in range(0, len(run.days), _DAYS_A_POINT)]
        waits = [week.wait_ms / 1000 / week.answered if week.answered else float("nan") for week in weeks]
        days: Any = [week.day for week in weeks]
        axes.plot(days, waits, color=colour, linestyle=line, linewidth=1.2, label=_label(run))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("s")
    _finish(axes, "mean wait of those answered, by week")


def _label(run: Run) -> str:
    return "with all rules" if run.off is None else f"without the rule of the {run.off}"


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.0, pad=18)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
