"""Counts of a month as they can be seen, kept in snapshots and made reports of; `tallies` says what counts where.

In the fields, *soon* is at most ``within_s`` of `model.Quality`, *sooner* is less than that.
"""

from msgspec import Struct

from router.core.model import Outcome, PortfolioId, SiteId, SupplierId, TeamId

__all__ = ["OwnedAnswers", "Place", "PlaceAnswers", "PortfolioMonth", "Thresholds"]

Thresholds = tuple[int, int]
"""``within_s`` and ``short_abandon_s`` of `model.Quality`."""

Place = tuple[TeamId, SiteId, SupplierId, str]
"""Team, site, supplier, and the country in which the agent sat."""


class PlaceAnswers(Struct, frozen=True, array_like=True, gc=False):
    """What the agents of one place answered, of one portfolio in one month."""

    team_id: TeamId
    site_id: SiteId
    supplier_id: SupplierId
    country: str
    answered: int
    """Callers on the line who were put through for the first time."""
    answered_soon: int
    """Those of them who had waited no longer than the threshold."""
    wait_ms: int
    """What those answered had waited in all, from arrival."""
    called_back: int
    """Clients who were called back. They did not wait on the line, so their waits are not counted."""
    transferred: int
    """Callers who had been put through before, to somebody else."""
    talk_ms: int
    """From being put through to the end or the transfer, of all three kinds; of those who still talk nothing yet."""
    # Later fields have defaults, here and below, so that snapshots from before can be read.
    answered_sooner: int = 0
    """Those of `answered` who had waited less than the threshold."""
    navigated: int = 0
    """Those of `answered` of whom the platform said how long they had navigated before."""
    navigation_ms: int = 0
    """What those had navigated in all."""
    navigated_wait_ms: int = 0
    """What those had waited in all, from arrival."""
    navigated_soon: int = 0
    """Those of them whose navigation and wait together took no longer than the threshold."""
    navigated_sooner: int = 0
    """And less than that."""


class OwnedAnswers(Struct, frozen=True, array_like=True, gc=False):
    """What became of the clients whom agents of one team own, of one portfolio in one month."""

    team_id: TeamId
    """The owners' team, whoever answered."""
    answered: int
    """Callers on the line who were put through for the first time."""
    by_owner: int
    by_backup: int
    """The rest were answered by others."""
    on_shift: int
    """Those of `answered` whose owner was signed in when they called."""
    on_shift_by_owner: int
    called_back: int
    back_by_owner: int
    back_by_backup: int


class PortfolioMonth(Struct, frozen=True, array_like=True, gc=False):
    """One month of one portfolio."""

    month: str
    portfolio_id: PortfolioId
    arrived: int
    outcomes: tuple[tuple[Outcome, int], ...]
    """Of the calls that ended in this month."""
    answers: tuple[PlaceAnswers, ...]
    """By team, site, supplier and country."""
    owned: tuple[OwnedAnswers, ...] = ()
    """Of clients who have an owner, by the owners' team."""
    abandoned: int = 0
    """Callers who hung up before anybody had answered. Of the outcome of that name there may be more: a caller who is
    transferred has been answered."""
    abandoned_soon: int = 0
    """Those of them who had waited no longer than the threshold."""
    abandoned_short: int = 0
    """And no longer than ``short_abandon_s``."""
    company: str = ""
    """The client company that was served in the end; empty in months of a router that did not ask."""
    time_zone: str = ""
    counted_by: tuple[Thresholds, ...] = ((0, 0),)
    """The thresholds in force when something was counted, as they came. ``(0, 0)`` stands for a router that knew
    20 s alone, and counted nothing that has a default here."""
