"""Small figures of reports, month by month, as SVG: the same months give the same bytes."""

import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from router.reports.monthly import Span
from router.reports.quality import Figure, Unit
from router.reports.share import ContractShare, Part

__all__ = ["months_chart", "share_chart"]

# It comes with matplotlib, so that every machine has it; as paths, so that every reader has it.
_STYLE: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "router", "svg.fonttype": "path", "font.size": 8.0}
# Of Okabe and Ito, which the colour-blind can tell apart too; each with a mark of its own for those who print in grey.
_LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))
_INK = "#222222"
_MARKED = 40
"""Of fewer days each is marked: one alone makes no line."""
_SHOWN = (
    ("mean_wait", "mean_wait_navigated"),
    ("within", "within_navigated", "owner_answered", "available_owner", "backup"),
)
"""By the keys of figures, those of one unit together."""


def months_chart(spans: Sequence[Span]) -> bytes:
    """Mean waits and shares of months below each other, with their limits; a month without data has no point."""
    panels = [rows for keys in _SHOWN if (rows := _rows(spans, keys))]
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 0.4 + 2.1 * len(panels)), layout="constrained")
        axes = drawing.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for each, rows in zip(axes, panels, strict=True):
            _draw(each, spans, rows)
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _rows(spans: Sequence[Span], keys: Collection[str]) -> list[list[Figure]]:
    """A row a figure, of all months."""
    return [list(row) for row in zip(*(span.figures for span in spans), strict=True) if row[0].key in keys]


def _draw(axes: Axes, spans: Sequence[Span], rows: Sequence[Sequence[Figure]]) -> None:
    places = range(len(spans))
    unit = rows[0][0].unit
    highest = 0.0
    for row, (colour, marker) in zip(rows, _LINES, strict=False):
        values = [float(each.value) if each.value is not None else float("nan") for each in row]
        highest = max([highest, *(value for value in values if value == value)])
        axes.plot(places, values, color=colour, linewidth=1.2, label=row[0].name)
        for is_complete in (True, False):
            marked = [
                (x, y) for x, y, span in zip(places, values, spans, strict=True) if span.is_complete is is_complete
            ]
            axes.plot(
                [x for x, _ in marked], [y for _, y in marked], linestyle="", marker=marker, markersize=5,
                color=colour, markerfacecolor=colour if is_complete else "white",
            )  # fmt: skip
    first = rows[0][0]
    limit = first.at_most if first.at_most is not None else first.at_least
    if limit is not None:
        highest = max(highest, limit)
        axes.axhline(limit, color=_INK, linewidth=0.9, linestyle="--", label=f"limit {limit} {unit}")
    axes.set_ylim(0, 100 if unit is Unit.PERCENT else 1.15 * (highest or 1))
    axes.set_ylabel(unit)
    axes.set_xticks(places, [span.period for span in spans])
    axes.set_xlim(-0.5, len(spans) - 0.5)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False)


def share_chart(contract: ContractShare) -> bytes:
    """The share of a contract by month, and cumulated day by day, against the target; dotted months are incomplete."""
    months = [part for part in contract.months if part.corrected.share_bp is not None]
    cumulated = list(_cumulated(contract))
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 3.4), layout="constrained")
        axes = drawing.subplots()
        for part in months:
            axes.plot(
                [part.first_day.toordinal(), part.until.toordinal()], [_share(part)] * 2, color=_LINES[0][0],
                linewidth=4, solid_capstyle="butt", linestyle="-" if part.is_complete else ":",
                label="by month" if part is months[0] else None,
            )  # fmt: skip
        axes.plot(
            [day for day, _ in cumulated], [share for _, share in cumulated], color=_LINES[1][0], linewidth=1.5,
            marker=_LINES[1][1] if len(cumulated) < _MARKED else "", markersize=4, label="cumulated from the first day",
        )  # fmt: skip
        _draw_target(axes, contract.months)
        shown = [share for _, share in cumulated] + [_share(part) for part in months]
        shown += [part.goal_bp / 100 for part in contract.months]
        # Room for a line at 100 %.
        axes.set_ylim(max(-1, 5 * ((min(shown) - 1) // 5)), min(101, 5 * ((max(shown) + 6) // 5)))
        axes.set_ylabel(f"% in {contract.territory}")
        starts = [part.first_day.toordinal() for part in contract.months]
        labels = [part.name.partition(" to ")[0] for part in contract.months]
        axes.set_xticks(starts, labels, rotation=45, ha="right")
        axes.set_xlim(contract.whole.first_day.toordinal(), contract.whole.until.toordinal())
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw_target(axes: Axes, months: Sequence[Part]) -> None:
    days = [day.toordinal() for part in months for day in (part.first_day, part.until)]
    goals = [part.goal_bp / 100 for part in months for _ in range(2)]
    axes.plot(days, goals, color=_INK, linewidth=1.1, linestyle="--", label="target")


def _cumulated(contract: ContractShare) -> Iterator[tuple[int, float]]:
    """At the end of each day, with all before it."""
    inside = total = 0
    for each in contract.days:
        inside += each.inside
        total += each.total
        if total:
            yield each.day.toordinal() + 1, 100 * inside / total


def _share(part: Part) -> float:
    return part.corrected.share_bp / 100 if part.corrected.share_bp is not None else 0.0
