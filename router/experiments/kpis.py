"""The key figures of simulated times, each declared once: words, what is above and below the line, which way is better.

Every one is a ratio of two sums of `Counts`, so it means the same of an hour, a portfolio or a thousand replications.
Its interval is that of a ratio of two expectations over independent replications (delta method, Student's t), never a
mean of ratios. A figure of nothing is None, "no data", never 0.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from router.core.model import Quality
from router.reports.quality import VARIANTS, Unit, Variant, WaitCounts
from router.simulation.counts import Counts, Scope
from router.simulation.statistics import paired_ratio_interval, ratio_interval

__all__ = [
    "CONFIDENCE", "MAIN_VARIANT", "Better", "Estimate", "Kpi", "difference", "estimate", "kpi_named", "kpis_of",
    "value_of",
]  # fmt: skip

CONFIDENCE: Final = 0.95
"""Of all intervals: of a hundred, about five miss the truth."""
MAIN_VARIANT: Final = "C"
"""Of the service level, where there is room for one: the variant that nobody can talk better."""
_ON_THE_LINE = frozenset({Scope.ALL, Scope.PORTFOLIO})
"""Who hangs up has a portfolio, and no team, site or contract."""
_OF_AGENTS = frozenset({Scope.ALL, Scope.TEAM, Scope.SITE})
_ALL = frozenset(Scope)


class Better(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Kpi(NamedTuple):
    """One key figure. *parts* are above and below the line; of seconds, milliseconds stand above."""

    key: str
    name: str
    short: str
    """For the head of a column."""
    formula: str
    unit: Unit
    better: Better
    scopes: frozenset[Scope]
    """What it can be a figure of."""
    is_main: bool
    """Whether it is in tables for people; others are in JSON, CSV and definitions."""
    parts: Callable[[Counts], tuple[int, int]]


class Estimate(Struct, frozen=True, kw_only=True):
    """A figure over replications, in its unit. None: no data, or of the half-width, no second replication."""

    value: float | None
    half_width: float | None
    above: int
    """Sums over all replications."""
    below: int


def kpis_of(quality: Quality) -> tuple[Kpi, ...]:
    """All key figures, with the thresholds of an organisation in their names."""
    t, s = f"{quality.within_s} s", f"{quality.short_abandon_s} s"
    return (*(_service_level(variant, t, s) for variant in VARIANTS), *_REST)


def _service_level(variant: Variant, t: str, s: str) -> Kpi:
    """By one variant. Of those answered alone, B, it is a figure of teams and sites too."""
    is_main = variant.letter == MAIN_VARIANT
    return Kpi(
        "service_level" if is_main else f"service_level_{variant.letter.lower()}",
        f"service level {variant.letter} within {t}: {variant.name.format(t=t, s=s)}",
        f"within {t} ({variant.letter})",
        variant.formula.format(t=t, s=s),
        Unit.PERCENT,
        Better.HIGHER,
        _ALL if variant.letter == "B" else _ON_THE_LINE,
        # Where hang-ups are nobody's, B stands in.
        is_main or variant.letter == "B",
        lambda c: variant.parts(_waits(c)),
    )


def _kpi(
    key: str,
    name: str,
    short: str,
    formula: str,
    better: Better,
    scopes: frozenset[Scope],
    parts: tuple[str, str],
    *,
    is_main: bool = False,
) -> Kpi:
    """Of two sums of counts; of times by calls, a figure in seconds."""
    above, below = parts
    unit = Unit.SECONDS if above.endswith("_ms") and not below.endswith("_ms") else Unit.PERCENT

    def of(counts: Counts) -> tuple[int, int]:
        if above == "by_owner" and not counts.owned:
            # Of clients without owners, an owner share of 0 would say that owners did not answer.
            return 0, 0
        return getattr(counts, above), sum(getattr(counts, name) for name in below.split(" + "))

    return Kpi(key, name, short, formula, unit, better, scopes, is_main, of)


_REST = (
    _kpi(
        "mean_wait", "mean wait of those answered", "mean wait",
        "wait / answered",
        Better.LOWER, _ALL, ("wait_ms", "answered"), is_main=True,
    ),
    _kpi(
        "mean_wait_all", "mean wait, hang-ups included", "mean wait, all",
        "wait / (answered + hang-ups)",
        Better.LOWER, _ON_THE_LINE, ("wait_all_ms", "answered + abandoned"),
    ),
    _kpi(
        "abandonment", "hung up before any answer", "hung up",
        "hang-ups / arrived",
        Better.LOWER, _ON_THE_LINE, ("abandoned", "arrived"), is_main=True,
    ),
    _kpi(
        "owner_share", "owner share", "owner share",
        "answered by the owner / answered",
        Better.HIGHER, _ALL, ("by_owner", "answered"), is_main=True,
    ),
    _kpi(
        "owner_share_owned", "owner share of owned clients", "of owned",
        "answered by the owner / answered, of clients who have one",
        Better.HIGHER, _ALL, ("by_owner", "owned"),
    ),
    _kpi(
        "owner_share_on_shift", "available-owner share", "owner if there",
        "answered by the owner / answered, of clients whose owner was signed in at the arrival",
        Better.HIGHER, _ALL, ("on_shift_by_owner", "on_shift"), is_main=True,
    ),
    _kpi(
        "backup_share", "backup share", "by backups",
        "answered by a backup / answered, of clients who have an owner",
        Better.NEITHER, _ALL, ("by_backup", "owned"),
    ),
    _kpi(
        "own_team_share", "answered by the portfolio's own team", "own team",
        "answered by the owner team / answered",
        Better.HIGHER, _ALL, ("by_own_team", "answered"), is_main=True,
    ),
    _kpi(
        "occupancy", "occupancy", "busy",
        "(talk + wrap-up) / (signed in and not in a pause)",
        Better.NEITHER, _OF_AGENTS, ("busy_ms", "staffed_ms"), is_main=True,
    ),
    _kpi(
        "in_country", "share in the country", "in the country",
        "answered in the country of the contract / answered under a contract",
        Better.HIGHER, _ALL, ("inside", "contracted"), is_main=True,
    ),
    _kpi(
        "overrides", "share overrides", "overrides",
        "overrides / answered under a contract",
        Better.LOWER, _ALL, ("overrides", "contracted"),
    ),
    _kpi(
        "transfers", "transfers", "transferred",
        "transferred / answered",
        Better.LOWER, _ALL, ("transferred", "answered"), is_main=True,
    ),
    _kpi(
        "offers_missed", "offers missed", "missed",
        "offers missed / offers",
        Better.LOWER, _ALL, ("missed", "offered"), is_main=True,
    ),
    _kpi(
        "offers_declined", "offers declined", "declined",
        "offers declined / offers",
        Better.LOWER, _ALL, ("declined", "offered"),
    ),
    _kpi(
        "called_back", "called back later", "called back",
        "called back / arrived",
        Better.NEITHER, _ON_THE_LINE, ("called_back", "arrived"),
    ),
    _kpi(
        "elsewhere", "sent to a message or a number", "elsewhere",
        "sent elsewhere / arrived",
        Better.LOWER, _ON_THE_LINE, ("elsewhere", "arrived"),
    ),
    _kpi(
        "repeats", "callers who tried again", "repeats",
        "calls of those who had hung up before / arrived",
        Better.LOWER, _ON_THE_LINE, ("repeated", "arrived"),
    ),
    _kpi(
        "mean_talk", "mean talk", "mean talk",
        "talk / answered",
        Better.NEITHER, _ALL, ("talk_ms", "answered"),
    ),
)  # fmt: skip


def _waits(counts: Counts) -> WaitCounts:
    return WaitCounts(
        answered=counts.answered,
        answered_soon=counts.answered_soon,
        abandoned=counts.abandoned,
        abandoned_soon=counts.abandoned_soon,
        abandoned_short=counts.abandoned_short,
    )


def kpi_named(kpis: Sequence[Kpi], key: str) -> Kpi:
    """The one with this key.

    Raises:
        KeyError: There is none.
    """
    for kpi in kpis:
        if kpi.key == key:
            return kpi
    raise KeyError(key)


def value_of(kpi: Kpi, counts: Counts) -> float | None:
    """The figure of *counts* in its unit; None: no data."""
    above, below = kpi.parts(counts)
    return _in_unit(kpi, above / below) if below else None


def estimate(kpi: Kpi, replications: Sequence[Counts]) -> Estimate:
    """The figure over independent replications, with its interval."""
    parts = [kpi.parts(each) for each in replications]
    above, below = sum(part for part, _ in parts), sum(whole for _, whole in parts)
    if not below:
        return Estimate(value=None, half_width=None, above=above, below=below)
    half_width = None
    if len(parts) > 1:
        found = ratio_interval([part for part, _ in parts], [whole for _, whole in parts], confidence=CONFIDENCE)
        half_width = _in_unit(kpi, found.half_width)
    return Estimate(value=_in_unit(kpi, above / below), half_width=half_width, above=above, below=below)


def difference(kpi: Kpi, before: Sequence[Counts], after: Sequence[Counts]) -> Estimate:
    """The figure of *after* less that of *before*, replication by replication; the sums are those of *after*."""
    first, second = [kpi.parts(each) for each in before], [kpi.parts(each) for each in after]
    above, below = sum(part for part, _ in second), sum(whole for _, whole in second)
    below_before = sum(whole for _, whole in first)
    if not below or not below_before:
        return Estimate(value=None, half_width=None, above=above, below=below)
    value = above / below - sum(part for part, _ in first) / below_before
    half_width = None
    if len(first) > 1:
        found = paired_ratio_interval(
            [part for part, _ in first],
            [whole for _, whole in first],
            [part for part, _ in second],
            [whole for _, whole in second],
            confidence=CONFIDENCE,
        )
        half_width = _in_unit(kpi, found.half_width)
    return Estimate(value=_in_unit(kpi, value), half_width=half_width, above=above, below=below)


def _in_unit(kpi: Kpi, ratio: float) -> float:
    return 100 * ratio if kpi.unit is Unit.PERCENT else ratio / 1000
