"""Pictures of the organisation, for people who decide about it rather than for those who configure it.

`draw_portfolio` shows one portfolio: a column a ring, a row a team, a card where agents of the team join in.
`draw_organisation` shows who helps whom: a card a team (a site, where teams are many), an arrow a backup.

Everything stands on a grid of cards, measured in inches, with room for arrows and their labels between the columns, so
that no text can meet another whatever the organisation. The same organisation gives the same picture.
"""

import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.textpath import text_to_path

from router.core.errors import RouterError
from router.core.model import FallbackKind, OwnerWait, Portfolio, SkillNeed, TeamId
from router.core.organisation import Organisation
from router.core.plans import opens_ms
from router.core.state import Group, Plan
from router.reports.graph import Staff, find_portfolio

__all__ = ["DrawingError", "draw_organisation", "draw_portfolio", "organisation_figure", "portfolio_figure"]


class DrawingError(RouterError):
    """A picture that cannot be written; the message says what to do."""


def draw_portfolio(organisation: Organisation, portfolio_id: str, path: Path) -> None:
    """Write a picture of whom a portfolio's calls reach, and when, as PNG or SVG by the suffix of *path*.

    Raises:
        UnknownPortfolio: There is no such portfolio.
        DrawingError: The suffix is another one, or the file cannot be written.
    """
    _check_suffix(path)
    _save(portfolio_figure(organisation, portfolio_id), path)


def draw_organisation(organisation: Organisation, path: Path) -> None:
    """Write a picture of teams, the portfolios that they own and who helps whom, as PNG or SVG by suffix.

    Raises:
        DrawingError: The suffix is another one, or the file cannot be written.
    """
    _check_suffix(path)
    _save(organisation_figure(organisation), path)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (".png", ".svg"):
        raise DrawingError(f"{path.name} is no picture that can be drawn; name the file .png or .svg")


# It comes with matplotlib, so that every machine has it.
_FONT = "DejaVu Sans"
# Text in SVG files stays text, and their ids do not change from run to run.
_STYLE: Any = {"font.family": _FONT, "svg.hashsalt": "router", "svg.fonttype": "none"}


def _save(figure: Figure, path: Path) -> None:
    svg = path.suffix.lower() == ".svg"
    try:
        with rc_context(_STYLE):
            figure.savefig(path, dpi=130, metadata={"Date": None} if svg else None)
    except OSError as error:
        raise DrawingError(f"cannot write {path}: {error.strerror or error}") from error


# --- A sheet to draw on --------------------------------------------------------------------------------------------

# The palette of Okabe and Ito, which the colour-blind can tell apart too.
_SITE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_OTHER_SITES = "#7F7F7F"
_INK = "#222222"
_FAINT = "#666666"
_EDGE = "#C5CAD3"
_BAND = "#F4F6F9"
_ALERT = "#B00020"

_MARGIN = 0.35
_TITLE_PT = 14.0
_TEXT_PT = 9.0
_SMALL_PT = 7.5
# Of a character, as a share of its size and on the safe side, for what is wrapped; an inch has 72 points.
_CHARACTER_WIDTH = 0.62 / 72


class _Sheet:
    """A figure measured in inches, with y growing downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        with rc_context(_STYLE):
            self.figure = Figure(figsize=(width, height))
            self._axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._axes.set_axis_off()

    def text(
        self, x: float, y: float, words: str, *, width: float, size: float = _TEXT_PT, bold: bool = False, **style: Any
    ) -> None:
        """One line, cut short where it would be wider than *width*. *y* is its middle."""
        font = FontProperties(family=_FONT, size=size, weight="bold" if bold else "normal")
        style = {"color": _INK, "va": "center", **style}
        self._axes.text(x, y, _shortened(words, font, width), fontproperties=font, parse_math=False, zorder=6, **style)

    def paragraphs(self, y: float, paragraphs: Iterable[str]) -> float:
        """Wrapped lines below each other; returns where they end."""
        for line in _wrapped(paragraphs, self.width):
            self.text(_MARGIN, y, line, width=self.width - 2 * _MARGIN, color=_FAINT)
            y += _LINE
        return y

    def card(self, x: float, y: float, width: float, height: float, *, bar: str | None, edge: str = _EDGE) -> None:
        """A box with its left upper corner at x, y, and a coloured bar along its left side."""
        self._add(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06",
                facecolor="white", edgecolor=edge, linewidth=1.6 if edge == _ALERT else 1.0, zorder=4,
            )
        )  # fmt: skip
        if bar is not None:
            self._add(Rectangle((x + 0.03, y + 0.06), 0.07, height - 0.12, facecolor=bar, zorder=5))

    def band(self, x: float, y: float, width: float, height: float) -> None:
        self._add(Rectangle((x, y), width, height, facecolor=_BAND, zorder=0))

    def line(self, points: Sequence[tuple[float, float]], *, arrow: bool = True, **style: Any) -> None:
        """Straight pieces, with a head at the end."""
        self._arrow(Outline(points), "-|>" if arrow else "-", **style)

    def curve(self, points: Sequence[tuple[float, float]], *, both: bool = False, **style: Any) -> None:
        """A cubic curve of four points, with a head at the end or at both ends."""
        codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
        self._arrow(Outline(points, codes), "<|-|>" if both else "-|>", **style)

    def dots(self, x: float, y: float, colour: str, *, square: bool = False, size: float = 0.105) -> None:
        marker = "s" if square else "o"
        self._axes.plot(
            [x],
            [y],
            marker=marker,
            markersize=size * 72 * (0.85 if square else 1),
            color=colour,
            linestyle="",
            zorder=6,
        )

    def legend(self, handles: Sequence[Artist], y: float) -> None:
        """In as many columns as fit, from *y* downwards."""
        self._axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(_MARGIN, y), bbox_transform=self._axes.transData,
            ncols=_legend_columns(handles, self.width),
            frameon=False, borderaxespad=0, borderpad=0, labelcolor=_INK,
            prop={"family": _FONT, "size": _TEXT_PT},
        )  # fmt: skip

    def _arrow(self, outline: Outline, head: str, **style: Any) -> None:
        style = {"color": _FAINT, "linewidth": 1.2, "zorder": 2, **style}
        self._add(FancyArrowPatch(path=outline, arrowstyle=head, mutation_scale=9, joinstyle="round", **style))

    def _add(self, patch: Artist) -> None:
        patch.set_clip_on(False)
        self._axes.add_artist(patch)


_LINE = 0.21


def _inches(words: str, font: FontProperties) -> float:
    width, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return float(width) / 72


def _shortened(words: str, font: FontProperties, width: float) -> str:
    wide = _inches(words, font)
    if wide <= width:
        return words
    # A guess that is a little too long, then letter by letter.
    kept = words[: int(len(words) * width / wide) + 2]
    while kept and _inches(kept + "…", font) > width:
        kept = kept[:-1].rstrip()
    return kept + "…"


def _wrapped(paragraphs: Iterable[str], width: float) -> list[str]:
    most = int((width - 2 * _MARGIN) / (_TEXT_PT * _CHARACTER_WIDTH))
    return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, most)]


def _legend_columns(handles: Sequence[Artist], width: float) -> int:
    longest = max(len(str(handle.get_label())) for handle in handles)
    return max(1, int((width - 2 * _MARGIN) / (0.7 + longest * _TEXT_PT * _CHARACTER_WIDTH)))


def _legend_height(handles: Sequence[Artist], width: float) -> float:
    return math.ceil(len(handles) / _legend_columns(handles, width)) * _LINE + _MARGIN


def _site_colours(organisation: Organisation) -> Mapping[str, str]:
    """A colour a site, the largest sites first; those beyond the palette share one."""
    agents = Counter(_site_of(organisation, agent.team_id) for agent in organisation.agents.values())
    ranked = sorted(organisation.sites, key=lambda site_id: (-agents[site_id], site_id))
    return {
        site_id: _SITE_COLOURS[place] if place < len(_SITE_COLOURS) else _OTHER_SITES
        for place, site_id in enumerate(ranked)
    }


def _site_of(organisation: Organisation, team_id: TeamId) -> str:
    return organisation.teams[team_id].site_id


def _site_handles(colours: Mapping[str, str], shown: Iterable[str], marker: str) -> list[Artist]:
    """Legend entries for the sites that are shown."""
    chosen = set(shown)
    named = [site_id for site_id in colours if site_id in chosen and colours[site_id] != _OTHER_SITES]
    handles = [_mark(f"site {site_id}", colours[site_id], marker) for site_id in named]
    if any(colours[site_id] == _OTHER_SITES for site_id in chosen):
        handles.append(_mark("other sites", _OTHER_SITES, marker))
    return handles


def _mark(label: str, colour: str, marker: str) -> Artist:
    return Line2D([], [], linestyle="", marker=marker, markersize=8, color=colour, label=label)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# --- One portfolio -------------------------------------------------------------------------------------------------

_CARD = (2.05, 0.92)
_GUTTER = 0.85
"""Between columns: lanes of arrows in its left part, labels in its right part."""
_ROW = 1.16
_LANES = 3
_DOTS_A_ROW = 13
_DOTS_MAX = 2 * _DOTS_A_ROW
_ROWS_MAX = 16
_COLUMNS_MAX = 10

_MEETS = "#222222"
_RELAXED = "#9AA3B2"


class _Joining(NamedTuple):
    """Agents of one team who join in at one ring."""

    group: Group
    agents: int
    relaxed: bool
    """Below the level asked at first."""
    reserve: bool


class _Grid(NamedTuple):
    """Where the cards of a portfolio stand."""

    waits_s: list[int]
    """A column each; whatever opens later than the last stands in the last."""
    rows: dict[TeamId, int]
    reach_s: dict[TeamId, int]
    cards: dict[TeamId, dict[int, list[_Joining]]]
    """Team -> column -> who joins; a team's first card may be empty."""

    def column(self, wait_s: int) -> int:
        return min(self.waits_s.index(wait_s), _COLUMNS_MAX - 1)


def portfolio_figure(organisation: Organisation, portfolio_id: str) -> Figure:
    """The picture that `draw_portfolio` writes."""
    portfolio = organisation.portfolios[find_portfolio(portfolio_id, organisation.portfolios)]
    staff = Staff(organisation)
    grid = _grid(organisation, staff, staff.plans[portfolio.portfolio_id])
    columns = min(len(grid.waits_s), _COLUMNS_MAX)
    width = max(9.0, 2 * _MARGIN + (columns + 1) * (_CARD[0] + _GUTTER) - _GUTTER)
    clients = sum(
        (client.portfolio_id or organisation.default_portfolio) == portfolio.portfolio_id
        for client in organisation.description.clients
    )
    facts = [*_facts(portfolio, owned=clients > 0), *_left_out(grid)]
    top = 0.75 + _LINE * len(_wrapped(facts, width)) + 0.2
    bottom = top + 0.75 + _ROW * len(grid.cards)
    colours = _site_colours(organisation)
    handles = _portfolio_handles(organisation, grid, colours)
    sheet = _Sheet(width, bottom + 0.2 + _legend_height(handles, width))
    sheet.text(
        _MARGIN, 0.4, f"Portfolio {portfolio.portfolio_id}: who is offered its calls, and when",
        width=width - 2 * _MARGIN, size=_TITLE_PT, bold=True,
    )  # fmt: skip
    sheet.paragraphs(0.78, facts)
    _draw_columns(sheet, grid, top, bottom)
    _draw_ways(sheet, organisation, portfolio, grid, top)
    _draw_start(sheet, portfolio, clients, top)
    for team_id, cards in grid.cards.items():
        for column, joining in cards.items():
            x, y = _corner(column, grid.rows[team_id], top)
            colour = colours[_site_of(organisation, team_id)]
            _draw_card(sheet, (x, y), team_id, joining, len(cards) > 1, colour, portfolio.skills)
    sheet.legend(handles, bottom + 0.2)
    return sheet.figure


def _grid(organisation: Organisation, staff: Staff, plan: Plan) -> _Grid:
    routes = organisation.routes[plan.portfolio_id]
    reach_s = {route.team_id: route.reach_ms // 1000 for route in routes}
    waits_s = sorted({*reach_s.values(), *(ring.opens_ms // 1000 for ring in plan.rings)})
    rows = {route.team_id: row for row, route in enumerate(routes)}
    grid = _Grid(waits_s, rows, reach_s, {})
    for route in routes[:_ROWS_MAX]:
        grid.cards[route.team_id] = {grid.column(reach_s[route.team_id]): []}
    for ring in plan.rings:
        for group in (member.group for member in ring.members):
            cards = grid.cards.get(group.key.team_id)
            if cards is not None:
                joining = _Joining(
                    group,
                    len(staff.agents_by_group[group]),
                    relaxed=bool(opens_ms(plan.requirement, group)),
                    reserve=group.key.after_ms > 0,
                )
                cards.setdefault(grid.column(ring.opens_ms // 1000), []).append(joining)
    return grid


def _facts(portfolio: Portfolio, *, owned: bool) -> Iterable[str]:
    """What a reader must know beside the rings."""
    needs = [_need_words(need) for need in portfolio.skills]
    if portfolio.language is not None:
        needs.append(f"language {portfolio.language}")
    if portfolio.countries:
        needs.append(f"an agent in {' or '.join(portfolio.countries)}")
    yield f"Agents need: {'; '.join(needs)}." if needs else "Agents need no particular skill."
    if owned:
        where_it_pays = " where that is likely to pay" if portfolio.owner_wait is OwnerWait.PREDICTED else ""
        up_to = f"; a busy owner is waited for up to {portfolio.owner_wait_s} s{where_it_pays}"
        hold = up_to if portfolio.owner_wait_s else ""
        yield f"A client's owner and backups are asked before all others{hold}."
    if portfolio.max_wait_s is not None:
        yield f"A caller who has waited for {portfolio.max_wait_s} s {_fallback_words(portfolio)}."


def _need_words(need: SkillNeed) -> str:
    steps = [
        f"{step.level} is enough after {step.after_s} s" if step.level else f"waived after {step.after_s} s"
        for step in need.relax
    ]
    return f"{need.skill} of level {need.level}" + (f" ({', '.join(steps)})" if steps else "")


def _fallback_words(portfolio: Portfolio) -> str:
    match portfolio.fallback.kind:
        case FallbackKind.CALLBACK:
            return "is called back"
        case FallbackKind.MESSAGE:
            return "hears a message"
        case FallbackKind.NUMBER:
            return "is sent to another number"
        case FallbackKind.PORTFOLIO:
            return f"goes to portfolio {portfolio.fallback.target}"


def _left_out(grid: _Grid) -> Iterable[str]:
    more = list(grid.rows)[_ROWS_MAX:]
    if more:
        since_s = grid.reach_s[more[0]]
        yield f"Neither shown nor counted: {_plural(len(more), 'team')} more, reached after {since_s} s or later."


def _corner(column: int, row: int, top: float) -> tuple[float, float]:
    """The left upper corner of a card; column -1 is the portfolio's own."""
    return _MARGIN + (column + 1) * (_CARD[0] + _GUTTER), top + 0.75 + row * _ROW


def _draw_columns(sheet: _Sheet, grid: _Grid, top: float, bottom: float) -> None:
    """The axis of waiting times, and a band below each of its marks."""
    joined: Counter[int] = Counter()
    for cards in grid.cards.values():
        for column, joining in cards.items():
            joined[column] += sum(entry.agents for entry in joining)
    left = _MARGIN
    sheet.text(left, top + 0.12, "the caller has waited", width=_CARD[0], bold=True)
    sheet.text(
        left, top + 0.36, "agents who may be offered the call", width=_CARD[0] + 0.5, size=_SMALL_PT, color=_FAINT
    )
    so_far = 0
    columns = min(len(grid.waits_s), _COLUMNS_MAX)
    for column in range(columns):
        x, _ = _corner(column, 0, top)
        sheet.band(x - 0.12, top, _CARD[0] + 0.24, bottom - top)
        so_far += joined[column]
        later = " or longer" if column == _COLUMNS_MAX - 1 < len(grid.waits_s) - 1 else ""
        sheet.text(x, top + 0.12, f"{grid.waits_s[column]} s{later}", width=_CARD[0], bold=True)
        more = f"{joined[column]} more, {so_far} in all" if column else str(so_far)
        sheet.text(x, top + 0.36, more, width=_CARD[0], size=_SMALL_PT, color=_FAINT)
    end, _ = _corner(columns - 1, 0, top)
    sheet.line([(_corner(0, 0, top)[0] - 0.12, top + 0.55), (end + _CARD[0] + 0.12, top + 0.55)], color=_INK)


def _draw_ways(sheet: _Sheet, organisation: Organisation, portfolio: Portfolio, grid: _Grid, top: float) -> None:
    """The quickest way to each team, each hop with its wait, and dashes from card to card of a team."""
    source = ("portfolio", str(portfolio.portfolio_id))
    paths = nx.single_source_dijkstra_path(organisation.graph, source, weight="after_s")
    lanes: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for team_id, cards in grid.cards.items():
        columns = sorted(cards)
        row = grid.rows[team_id]
        x, y = _corner(columns[0], row, top)
        middle = y + _CARD[1] / 2
        for here, there in pairwise(columns):
            left, right = _corner(here, row, top)[0] + _CARD[0], _corner(there, row, top)[0]
            sheet.line([(left, middle), (right, middle)], linestyle=(0, (4, 3)), color=_EDGE)
        before, node = paths["team", str(team_id)][-2:]
        after_s = organisation.graph.edges[before, node]["after_s"]
        label = f"+{after_s} s" if after_s else "at once"
        sheet.text(x - 0.22, middle - 0.11, label, width=0.55, size=_SMALL_PT, ha="right")
        from_column, from_row = (
            (-1, 0) if before == source else (min(grid.cards[TeamId(before[1])]), grid.rows[TeamId(before[1])])
        )
        from_x, from_y = _corner(from_column, from_row, top)
        if before not in lanes[from_column]:
            lanes[from_column].append(before)
        lane = lanes[from_column].index(before) % _LANES
        leaves = from_y + _CARD[1] / 2 + (0 if before == source else 0.28)
        if from_row == row:
            sheet.line([(from_x + _CARD[0], middle), (x, middle)])
        elif from_column == columns[0]:
            # Straight below each other: down the narrow strip between labels and cards.
            turn = x - 0.06 - 0.05 * lane
            sheet.line([(from_x, leaves), (turn, leaves), (turn, middle), (x, middle)])
        else:
            turn = from_x + _CARD[0] + 0.1 + 0.06 * lane
            sheet.line([(from_x + _CARD[0], leaves), (turn, leaves), (turn, middle), (x, middle)])


def _draw_start(sheet: _Sheet, portfolio: Portfolio, clients: int, top: float) -> None:
    x, y = _corner(-1, 0, top)
    sheet.card(x, y, *_CARD, bar=None, edge=_INK)
    sheet.text(x + 0.15, y + 0.22, portfolio.portfolio_id, width=_CARD[0] - 0.3, bold=True)
    sheet.text(x + 0.15, y + 0.48, "portfolio", width=_CARD[0] - 0.3, size=_SMALL_PT, color=_FAINT)
    sheet.text(x + 0.15, y + 0.70, _plural(clients, "client"), width=_CARD[0] - 0.3, size=_SMALL_PT)


def _draw_card(
    sheet: _Sheet,
    corner: tuple[float, float],
    team_id: TeamId,
    joining: Sequence[_Joining],
    has_more: bool,
    colour: str,
    needs: Sequence[SkillNeed],
) -> None:
    x, y = corner
    sheet.card(x, y, *_CARD, bar=colour)
    room = _CARD[0] - 0.3
    count = sum(entry.agents for entry in joining)
    number = _plural(count, "agent") if count else "nobody yet" if has_more else "nobody fits"
    sheet.text(x + _CARD[0] - 0.1, y + 0.17, number, width=0.9, size=_SMALL_PT, ha="right")
    sheet.text(x + 0.18, y + 0.17, team_id, width=room - 0.75, bold=True)
    if not count:
        return
    ranked = sorted(joining, key=lambda entry: (entry.relaxed, entry.reserve))
    marks = [(entry.relaxed, entry.reserve) for entry in ranked for _ in range(entry.agents)]
    if count > _DOTS_MAX:
        # More dots than could be counted: one of each sort, with its number.
        for place, ((relaxed, reserve), number_of) in enumerate(sorted(Counter(marks).items())):
            left = x + 0.25 + 0.46 * place
            sheet.dots(left, y + 0.46, _RELAXED if relaxed else _MEETS, square=reserve)
            sheet.text(left + 0.1, y + 0.46, f"×{number_of}", width=0.34, size=_SMALL_PT)
    else:
        for place, (relaxed, reserve) in enumerate(marks):
            row, column = divmod(place, _DOTS_A_ROW)
            dot_x, dot_y = x + 0.25 + 0.13 * column, y + 0.39 + 0.14 * row
            sheet.dots(dot_x, dot_y, _RELAXED if relaxed else _MEETS, square=reserve)
    levels = [_levels_words(need, [entry.group for entry in joining]) for need in needs]
    sheet.text(x + 0.18, y + 0.77, ", ".join(levels), width=room, size=_SMALL_PT, color=_FAINT)


def _levels_words(need: SkillNeed, groups: Sequence[Group]) -> str:
    levels = [group.levels.get(need.skill, 0) for group in groups]
    low, high = min(levels), max(levels)
    if high == 0:
        return f"no {need.skill}"
    return f"{need.skill} {low}" if low == high else f"{need.skill} {low}–{high}"


def _portfolio_handles(organisation: Organisation, grid: _Grid, colours: Mapping[str, str]) -> list[Artist]:
    joining = [entry for cards in grid.cards.values() for entries in cards.values() for entry in entries]
    handles = [_mark("agent who meets the needs in full", _MEETS, "o")]
    if any(entry.relaxed for entry in joining):
        handles.append(_mark("agent accepted below the level asked", _RELAXED, "o"))
    if any(entry.reserve for entry in joining):
        handles.append(_mark("agent kept in reserve by the team", _MEETS, "s"))
    handles.append(Line2D([], [], color=_FAINT, label="quickest way, and the wait it adds"))
    if any(len(cards) > 1 for cards in grid.cards.values()):
        handles.append(Line2D([], [], color=_EDGE, linestyle="--", label="more agents of the same team"))
    return [*handles, *_site_handles(colours, (_site_of(organisation, team_id) for team_id in grid.cards), "s")]


# --- The whole organisation ----------------------------------------------------------------------------------------

_TEAMS_MAX = 48
"""More cards than this cannot be read on one sheet: sites are drawn instead."""
_UNIT = (3.1, 0.52)
_UNIT_ROW = 0.62
_UNIT_GUTTER = 1.9
_ARCS = 0.75
"""Room for arrows between cards of one column."""
_WAYS_MAX = 4
_CHAIN_MAX = 4


class _Unit(NamedTuple):
    """A team, or a site with all its teams."""

    name: str
    site_id: str
    teams: int
    agents: int
    portfolios: int
    clients: int
    reached: bool


class _Help(NamedTuple):
    """That one unit helps another: from whom to whom, and when."""

    helped: str
    helper: str
    after_s: int
    named: bool
    """By portfolios of the helped unit's own rather than by its teams as a backup."""


def organisation_figure(organisation: Organisation) -> Figure:
    """The picture that `draw_organisation` writes."""
    by_site = len(organisation.teams) > _TEAMS_MAX
    unit_of = {team_id: _site_of(organisation, team_id) if by_site else str(team_id) for team_id in organisation.teams}
    units = _units(organisation, unit_of)
    helps = _helps(organisation, unit_of)
    columns, apart = _columns(units, helps)
    tallest = max((len(column) for column in columns), default=0)
    apart_a_row = max(3, len(columns))
    width = max(9.5, 2 * _MARGIN + 2 * _ARCS + max(len(columns), 1) * (_UNIT[0] + _UNIT_GUTTER) - _UNIT_GUTTER)
    if apart:
        width = max(width, 2 * _MARGIN + apart_a_row * (_UNIT[0] + 0.2))
    facts = list(_organisation_facts(organisation, by_site=by_site, helps=helps))
    top = 0.75 + _LINE * len(_wrapped(facts, width)) + 0.25
    middle = top + tallest * _UNIT_ROW
    apart_rows = math.ceil(len(apart) / apart_a_row)
    bottom = middle + (0.5 + apart_rows * _UNIT_ROW if apart else 0)
    colours = _site_colours(organisation)
    styles = _wait_styles(helps)
    handles = _organisation_handles(units.values(), helps, styles, colours)
    sheet = _Sheet(width, bottom + 0.25 + _legend_height(handles, width))
    sheet.text(
        _MARGIN, 0.4, "The organisation: who owns which portfolios, and who helps whom",
        width=width - 2 * _MARGIN, size=_TITLE_PT, bold=True,
    )  # fmt: skip
    sheet.paragraphs(0.78, facts)
    places: dict[str, tuple[int, float, float]] = {}
    for number, column in enumerate(columns):
        for row, name in enumerate(column):
            # Each column is spread over the whole height, so that helpers stand beside those whom they help.
            y = top + (row + 0.5) * tallest * _UNIT_ROW / len(column)
            places[name] = (number, _MARGIN + _ARCS + number * (_UNIT[0] + _UNIT_GUTTER), y)
    if apart:
        sheet.text(_MARGIN, middle + 0.25, "Without helpers, and helping nobody", width=width, bold=True)
    for place, name in enumerate(apart):
        row, number = divmod(place, apart_a_row)
        places[name] = (-1, _MARGIN + number * (_UNIT[0] + 0.2), middle + 0.5 + (row + 0.5) * _UNIT_ROW)
    for help_ in helps:
        _draw_help(sheet, help_, helps, places, styles, last_column=len(columns) - 1, height=tallest * _UNIT_ROW)
    largest = max(unit.agents for unit in units.values())
    for name, (_, x, y) in places.items():
        _draw_unit(sheet, units[name], x, y, colours[units[name].site_id], largest)
    sheet.legend(handles, bottom + 0.25)
    return sheet.figure


def _organisation_facts(organisation: Organisation, *, by_site: bool, helps: Sequence[_Help]) -> Iterable[str]:
    yield (
        f"{_plural(len(organisation.description.clients), 'client')} in "
        f"{_plural(len(organisation.portfolios), 'portfolio')}, {_plural(len(organisation.agents), 'agent')} in "
        f"{_plural(len(organisation.teams), 'team')} at {_plural(len(organisation.sites), 'site')}."
    )
    shown = "A card is a site with all its teams." if by_site else "A card is a team, with the portfolios that it owns."
    arrows = (
        "An arrow leads to whoever helps once a caller has waited for so long." if helps else "Nobody helps anybody."
    )
    yield f"{shown} The larger the circle, the more agents. {arrows}"


def _units(organisation: Organisation, unit_of: Mapping[TeamId, str]) -> Mapping[str, _Unit]:
    agents = Counter(unit_of[agent.team_id] for agent in organisation.agents.values())
    teams = Counter(unit_of.values())
    owner_of = {p.portfolio_id: unit_of[p.teams[0].team_id] for p in organisation.portfolios.values()}
    portfolios = Counter(owner_of.values())
    clients = Counter(
        owner_of[client.portfolio_id or organisation.default_portfolio] for client in organisation.description.clients
    )
    reached = {unit_of[route.team_id] for routes in organisation.routes.values() for route in routes}
    return {
        unit: _Unit(
            name=unit,
            site_id=_site_of(organisation, team_id),
            teams=teams[unit],
            agents=agents[unit],
            portfolios=portfolios[unit],
            clients=clients[unit],
            reached=unit in reached,
        )
        for team_id, unit in sorted(unit_of.items())
    }


def _helps(organisation: Organisation, unit_of: Mapping[TeamId, str]) -> list[_Help]:
    """The quickest of each kind between two units; portfolios are taken to speak for their owner team."""
    shortest: dict[tuple[str, str, bool], int] = {}

    def note(helped: TeamId, helper: TeamId, after_s: int, *, named: bool) -> None:
        key = (unit_of[helped], unit_of[helper], named)
        if key[0] != key[1]:
            shortest[key] = min(after_s, shortest.get(key, after_s))

    for team in organisation.teams.values():
        for link in team.backups:
            note(team.team_id, link.team_id, link.after_s, named=False)
    for portfolio in organisation.portfolios.values():
        for link in portfolio.teams[1:]:
            note(portfolio.teams[0].team_id, link.team_id, link.after_s, named=True)
    return [_Help(helped, helper, wait, named) for (helped, helper, named), wait in sorted(shortest.items())]


def _columns(units: Mapping[str, _Unit], helps: Sequence[_Help]) -> tuple[list[list[str]], list[str]]:
    """Helpers to the right of those whom they help, and units that have no part in it.

    Units that help each other round in a circle share a column. Within a column, units with the same helpers stand
    together, so that their arrows run side by side.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    # Backups shape an organisation; what single portfolios name counts where there are none.
    backups = [help_ for help_ in helps if not help_.named]
    graph.add_edges_from((help_.helped, help_.helper) for help_ in backups or helps)
    graph.add_nodes_from(name for help_ in helps for name in (help_.helped, help_.helper))
    circles = nx.condensation(graph)
    generations = list(nx.topological_generations(circles))
    # A long chain of helpers is folded, so that the sheet stays a sheet.
    merged: defaultdict[int, list[list[str]]] = defaultdict(list)
    for number, generation in enumerate(generations):
        column = number if len(generations) <= _CHAIN_MAX else number * _CHAIN_MAX // len(generations)
        merged[column] += [sorted(circles.nodes[circle]["members"]) for circle in generation]
    columns: list[list[str]] = []
    rank: dict[str, float] = {}
    for number in sorted(merged, reverse=True):
        members = merged[number]

        def pull(circle: Sequence[str]) -> float:
            ranks = [rank[helper] for name in circle for helper in graph.successors(name) if helper in rank]
            return sum(ranks) / len(ranks) if ranks else 0.0

        members.sort(key=lambda circle: (pull(circle), circle))
        names = [name for circle in members for name in circle]
        rank.update((name, (row + 0.5) / len(names)) for row, name in enumerate(names))
        columns.append(names)
    columns.reverse()
    return columns, sorted(name for name in units if name not in graph)


def _wait_styles(helps: Sequence[_Help]) -> Mapping[int, tuple[str, float]]:
    """Colour and width of a line by its wait: the sooner, the darker; long waits share one."""
    waits = sorted({help_.after_s for help_ in helps})
    looks = (("#111111", 2.0), ("#4A4A4A", 1.5), ("#7D7D7D", 1.1), ("#ABABAB", 0.9))
    return {wait: looks[min(place, _WAYS_MAX - 1)] for place, wait in enumerate(waits)}


def _draw_help(
    sheet: _Sheet,
    help_: _Help,
    helps: Sequence[_Help],
    places: Mapping[str, tuple[int, float, float]],
    styles: Mapping[int, tuple[str, float]],
    *,
    last_column: int,
    height: float,
) -> None:
    colour, width = styles[help_.after_s]
    style = {"color": colour, "linewidth": width, "linestyle": (0, (4, 2)) if help_.named else "solid"}
    back = help_._replace(helped=help_.helper, helper=help_.helped)
    mutual = back in helps
    if mutual and help_.helped > help_.helper:
        return
    (from_column, from_x, from_y), (to_column, to_x, to_y) = places[help_.helped], places[help_.helper]
    if from_column == to_column:
        # Round the side of the column to which no other arrow comes, further out the further it leads.
        out = 0.25 + (_ARCS - 0.3) * math.sqrt(abs(to_y - from_y) / height)
        side, bulge = from_x, from_x - out * 4 / 3
        if from_column == last_column > 0:
            side, bulge = from_x + _UNIT[0], from_x + _UNIT[0] + out * 4 / 3
        gap = math.copysign(0.08, to_y - from_y)
        ends = [(side, from_y + gap), (bulge, from_y + gap), (bulge, to_y - gap), (side, to_y - gap)]
    elif from_column < to_column:
        from_x += _UNIT[0]
        reach = (to_x - from_x) / 2
        ends = [(from_x, from_y), (from_x + reach, from_y), (to_x - reach, to_y), (to_x, to_y)]
    else:
        to_x += _UNIT[0]
        reach = (from_x - to_x) / 2
        ends = [(from_x, from_y), (from_x - reach, from_y), (to_x + reach, to_y), (to_x, to_y)]
    sheet.curve(ends, both=mutual, **style)


def _draw_unit(sheet: _Sheet, unit: _Unit, x: float, y: float, colour: str, largest: int) -> None:
    width, height = _UNIT
    sheet.card(x, y - height / 2, width, height, bar=None, edge=_EDGE if unit.reached else _ALERT)
    sheet.dots(x + 0.28, y, colour, size=max(0.06, 0.4 * math.sqrt(unit.agents / max(1, largest))))
    sheet.text(x + 0.56, y - 0.11, unit.name, width=width - 0.65, bold=True)
    words = [_plural(unit.agents, "agent")]
    if unit.teams > 1:
        words.insert(0, _plural(unit.teams, "team"))
    if unit.portfolios:
        words.append(_plural(unit.portfolios, "portfolio"))
    if unit.clients:
        words.append(_plural(unit.clients, "client"))
    sheet.text(x + 0.56, y + 0.12, ", ".join(words), width=width - 0.62, size=_SMALL_PT, color=_FAINT)


def _organisation_handles(
    units: Iterable[_Unit],
    helps: Sequence[_Help],
    styles: Mapping[int, tuple[str, float]],
    colours: Mapping[str, str],
) -> list[Artist]:
    units = list(units)
    handles = _site_handles(colours, (unit.site_id for unit in units), "o")
    waits = list(styles)
    for wait in waits[:_WAYS_MAX]:
        colour, width = styles[wait]
        later = " or later" if len(waits) > _WAYS_MAX and wait == waits[_WAYS_MAX - 1] else ""
        handles.append(Line2D([], [], color=colour, linewidth=width, label=f"helps after {wait} s{later}"))
    if any(help_.named for help_ in helps):
        handles.append(Line2D([], [], color=_FAINT, linestyle=(0, (4, 2)), label="only for portfolios that ask for it"))
    if any(not unit.reached for unit in units):
        handles.append(
            Line2D(
                [], [], linestyle="", marker="s", markersize=8, markerfacecolor="white", markeredgecolor=_ALERT,
                label="no portfolio reaches it",
            )
        )  # fmt: skip
    return handles
