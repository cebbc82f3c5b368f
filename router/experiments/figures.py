"""Figures of the page of simulated times: waits, the day, owners against service level, what agents do.

Each is an SVG to stand in the page itself, in the page's own colour of ink, so that it can be read on a light screen,
on a dark one and on paper.
"""

import io
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import Bbox

from router.core.model import AgentStatus
from router.experiments.kpis import Estimate, Kpi, value_of
from router.simulation.counts import DAY_HOURS, WAIT_EDGES_S, Counts

__all__ = ["Point", "agents_chart", "day_chart", "frontier_chart", "waits_chart"]

# A colour that nothing else has: in the page it becomes that of the text around it.
_INK: Final = "#010203"
_GRID: Final = "#8080804d"
_STYLE: Any = {
    "font.family": "DejaVu Sans", "svg.hashsalt": "router", "svg.fonttype": "path", "font.size": 8.0,
    "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "axes.facecolor": "none", "figure.facecolor": "none", "legend.labelcolor": _INK,
}  # fmt: skip
# Of Okabe and Ito, of middling lightness: each can be seen on white and on black.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_STATES: Final = (
    (AgentStatus.IN_CALL, "in a call", "#0072B2"),
    (AgentStatus.WRAP_UP, "in wrap-up", "#56B4E9"),
    (AgentStatus.OFFERED, "offered a call", "#E69F00"),
    (AgentStatus.IDLE, "idle", "#009E73"),
    (AgentStatus.NOT_READY, "in a pause", "#999999"),
)
_FEW: Final = 15
_NAMED_MAX: Final = 70
"""More points would hide each other's names: of the rest only the points are shown."""


class Point(NamedTuple):
    """Something in the plane of owner share and service level."""

    name: str
    x: Estimate
    y: Estimate
    is_marked: bool = False
    """In another colour."""


def waits_chart(waits: Mapping[str, Sequence[int]], names: Sequence[str], *, within_s: int) -> str:
    """How many of those answered had waited no longer than so long: all callers, and the *names*."""
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 3.2), layout="constrained")
        axes = drawing.subplots()
        for number, name in enumerate(("all", *names)):
            counts = waits.get(name, [])
            total = sum(counts)
            if not total:
                continue
            cumulated = [sum(counts[: place + 1]) for place in range(len(WAIT_EDGES_S))]
            axes.plot(
                range(len(WAIT_EDGES_S)), [100 * each / total for each in cumulated], label=_label(name),
                color=_INK if name == "all" else _COLOURS[(number - 1) % len(_COLOURS)],
                linewidth=2.0 if name == "all" else 1.3, marker="o", markersize=3,
            )  # fmt: skip
        axes.set_xticks(range(len(WAIT_EDGES_S)), [_seconds(edge) for edge in WAIT_EDGES_S])
        axes.set_xlim(-0.2, len(WAIT_EDGES_S) - 0.8)
        axes.set_xlabel("waited no longer than")
        if within_s in WAIT_EDGES_S:
            axes.axvline(WAIT_EDGES_S.index(within_s), color=_INK, linewidth=0.9, linestyle=":")
        _percents(axes, "% of those answered")
        _finish(axes)
        return _inline(drawing, "w", "How long those answered had waited.")


def day_chart(hours: Mapping[str, Sequence[Counts]], names: Sequence[str], kpi: Kpi) -> str:
    """The service level of the callers of each hour above how many they are."""
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 4.2), layout="constrained")
        upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for number, name in enumerate(("all", *names)):
            of = hours.get(name)
            if of is None:
                continue
            values = [value_of(kpi, each) for each in of]
            upper.plot(
                [hour + 0.5 for hour in range(DAY_HOURS)],
                [float("nan") if value is None else value for value in values], label=_label(name),
                color=_INK if name == "all" else _COLOURS[(number - 1) % len(_COLOURS)],
                linewidth=2.0 if name == "all" else 1.3, marker="o", markersize=3,
            )  # fmt: skip
        _percents(upper, f"% {kpi.short}")
        _finish(upper)
        arrived = [each.arrived for each in hours.get("all", [Counts()] * DAY_HOURS)]
        whole = max(1, sum(arrived))
        lower.bar(
            [hour + 0.5 for hour in range(DAY_HOURS)], [100 * each / whole for each in arrived], width=0.9,
            color=_COLOURS[6],
        )  # fmt: skip
        lower.set_ylabel("% of the calls")
        _hours(lower, [hour for hour in range(DAY_HOURS) if arrived[hour]])
        _finish(lower, has_legend=False)
        return _inline(drawing, "d", "The service level hour by hour, above the calls of each hour.")


def agents_chart(states_ms: Mapping[str, Sequence[int]], *, days: int) -> str:
    """How many agents are in each state, hour by hour, in the mean of all days."""
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 3.2), layout="constrained")
        axes = drawing.subplots()
        below = [0.0] * DAY_HOURS
        for status, words, colour in _STATES:
            spent = states_ms.get(status)
            if spent is None or not any(spent):
                continue
            agents = [each / (3_600_000 * max(1, days)) for each in spent]
            axes.bar(
                [hour + 0.5 for hour in range(DAY_HOURS)], agents, bottom=below, width=0.9, label=words, color=colour
            )
            below = [before + more for before, more in zip(below, agents, strict=True)]
        axes.set_ylabel("agents")
        # Not the hours in which somebody ends a last call.
        _hours(axes, [hour for hour in range(DAY_HOURS) if below[hour] > 0.01 * max(below)])
        _finish(axes)
        return _inline(drawing, "a", "Agents by state, hour by hour.")


def frontier_chart(points: Sequence[Point], *, x_words: str, y_words: str, frontier: Sequence[Point] = ()) -> str:
    """Each point with its name and intervals; a line through those of the *frontier*, in order."""
    seen = [point for point in points if point.x.value is not None and point.y.value is not None]
    with rc_context(_STYLE):
        drawing = Drawing(figsize=(9.4, 5.4), layout="constrained")
        axes = drawing.subplots()
        for is_marked, colour in ((False, _COLOURS[0]), (True, _COLOURS[1])):
            some = [point for point in seen if point.is_marked is is_marked]
            axes.errorbar(
                [point.x.value or 0.0 for point in some], [point.y.value or 0.0 for point in some],
                xerr=[point.x.half_width or 0.0 for point in some], yerr=[point.y.half_width or 0.0 for point in some],
                fmt="s" if is_marked else "o", markersize=4.5, color=colour, capsize=0,
                # Of many points the lines would hide the names.
                ecolor=f"{colour}{'' if len(seen) <= _FEW else '50'}", elinewidth=0.9,
            )  # fmt: skip
        if len(frontier) > 1:
            axes.plot(
                [point.x.value or 0.0 for point in frontier], [point.y.value or 0.0 for point in frontier],
                color=_INK, linewidth=0.9, linestyle="--", zorder=0,
            )  # fmt: skip
        axes.set_xlabel(x_words)
        axes.set_ylabel(y_words)
        axes.margins(0.08, 0.1)
        axes.grid(color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        _name(axes, drawing, seen)
        return _inline(drawing, "f", f"{x_words} against {y_words}.")


def _name(axes: Axes, drawing: Drawing, points: Sequence[Point]) -> None:
    """Write each name where it hides neither another nor a point, the marked first; far ones get a line."""
    drawing.draw_without_rendering()
    at = [axes.transData.transform((point.x.value or 0.0, point.y.value or 0.0)) for point in points]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in at]
    is_few = len(points) <= _FEW
    size = 8.0 if is_few else 6.5
    # Beside a point runs its interval, which a name hides; of many points the intervals are everywhere.
    directions = (*_DIRECTIONS[2:], *_DIRECTIONS[:2]) if is_few else _DIRECTIONS
    distances = (12, 16, 22, 34, 50, 70) if is_few else (5, 12, 22, 34, 50, 70)
    order = sorted(range(len(points)), key=lambda place: (not points[place].is_marked, points[place].y.value or 0.0))
    frame = axes.get_window_extent()
    for place in order[:_NAMED_MAX]:
        x, y = at[place]
        name = points[place].name
        # Of DejaVu Sans, in pixels of the drawing.
        scale = size * drawing.dpi / 72
        width, height = 0.63 * scale * len(name), 1.15 * scale
        for distance, (across, up) in product(distances, directions):
            left = x + distance * across - (width if across < 0 else width / 2 if not across else 0)
            bottom = y + distance * up - height / 2
            box = Bbox.from_bounds(left, bottom, width, height)
            if box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1:
                continue
            if any(box.overlaps(other) for other in taken):
                continue
            taken.append(box)
            inverse = axes.transData.inverted()
            text_x, text_y = inverse.transform((left, bottom + height / 2))
            axes.text(
                text_x, text_y, name, fontsize=size, va="center", color=_COLOURS[1] if points[place].is_marked else _INK
            )
            if distance > distances[1]:
                edge = inverse.transform((left if across > 0 else box.x1 if across < 0 else x, bottom + height / 2))
                (end_x, end_y), (start_x, start_y) = edge, inverse.transform((x, y))
                axes.plot([start_x, end_x], [start_y, end_y], color=_GRID, linewidth=0.6, zorder=0)
            break


_DIRECTIONS: Final = ((1, 0), (-1, 0), (1, 0.8), (-1, 0.8), (1, -0.8), (-1, -0.8), (0, 1.2), (0, -1.2))


def _label(name: str) -> str:
    return "all callers" if name == "all" else name


def _seconds(edge_s: int) -> str:
    return f"{edge_s} s" if edge_s < 120 else f"{edge_s / 60:g} min"


def _hours(axes: Axes, hours: Sequence[int]) -> None:
    first, last = (hours[0], hours[-1] + 1) if hours else (0, DAY_HOURS)
    axes.set_xticks(range(first, last + 1), [str(hour) for hour in range(first, last + 1)])
    axes.set_xlim(first - 0.1, last + 0.1)
    axes.set_xlabel("hour of the day, local time")


def _percents(axes: Axes, words: str) -> None:
    axes.set_ylim(0, 101)
    axes.set_ylabel(words)


def _finish(axes: Axes, *, has_legend: bool = True) -> None:
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if has_legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=7, frameon=False)


def _inline(drawing: Drawing, prefix: str, words: str) -> str:
    """The SVG without its head, with ids of its own, as several stand in a page."""
    out = io.BytesIO()
    drawing.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue().decode()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
