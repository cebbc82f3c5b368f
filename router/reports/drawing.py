"""Pictures of the organisation, for people who decide about it rather than for those who configure it.

`draw_portfolio` shows one portfolio: a column a ring, a row a team, a card where agents of the team join in.
`draw_organisation` shows who helps whom: a card a team (a site, where teams are many), an arrow a backup.

Everything stands on a grid of cards, with lanes for arrows between the columns, so that no text can meet another
whatever the organisation. The same organisation gives the same picture.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import networkx as nx
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Outline

from router.core.errors import RouterError
from router.core.model import PortfolioId, TeamId
from router.core.organisation import Organisation
from router.core.state import Group, Member
from router.reports.graph import Staff, find_portfolio

__all__ = ["DrawingError", "draw_organisation", "draw_portfolio", "organisation_figure", "portfolio_figure"]


class DrawingError(RouterError):
    """A picture that cannot be written; the message says what to do."""


# The palette of Okabe and Ito, which the colour-blind can tell apart too.
_SITE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_OTHER_SITES = "#7F7F7F"
_INK = "#222222"
_FAINT = "#6B6B6B"
_PAPER = "#FFFFFF"
_BAND = "#F3F5F8"
_ALERT = "#B00020"


def draw_portfolio(organisation: Organisation, portfolio_id: str, path: Path) -> None:
    """Write a picture of whom a portfolio's calls reach, and when, as PNG or SVG by the suffix of *path*.

    Raises:
        UnknownPortfolio: There is no such portfolio.
        DrawingError: The suffix is another one, or the file cannot be written.
    """
    _write(lambda: portfolio_figure(organisation, portfolio_id), path)


def draw_organisation(organisation: Organisation, path: Path) -> None:
    """Write a picture of teams, the portfolios that they own and who helps whom, as PNG or SVG by suffix.

    Raises:
        DrawingError: The suffix is another one, or the file cannot be written.
    """
    _write(lambda: organisation_figure(organisation), path)
