"""Figures of quality and ownership: how each is called, how it is computed, and of what.

Service levels differ by what is done with callers who hang up, by two points and more on the same day. So nothing here
is a "service level" alone: every figure carries its name, its threshold and its formula. All arithmetic is in integers;
a value is rounded once, for people, and compared with its limit before that.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from router.core.model import Outcome, Quality
from router.core.months import OwnedAnswers, PlaceAnswers, PortfolioMonth, Thresholds

__all__ = [
    "VARIANTS",
    "Figure",
    "OwnerCounts",
    "Unit",
    "Variant",
    "Verdict",
    "WaitCounts",
    "owner_figures",
    "percent",
    "service_level",
    "wait_figures",
]


class Unit(StrEnum):
    PERCENT = "%"
    SECONDS = "s"


class Verdict(StrEnum):
    """What a figure says about its limit."""

    MET = "met"
    MISSED = "missed"
    NO_DATA = "no data"
    """Nothing was answered that it could be a figure of."""
    NOT_KNOWN = "not known"
    """What it needs was not counted, see its note."""


class Figure(Struct, frozen=True, kw_only=True):
    """One number of a report, with all that is needed to compute it again."""

    key: str
    """The same whatever the threshold."""
    name: str
    formula: str
    numerator: int
    """Of seconds: milliseconds."""
    denominator: int
    unit: Unit
    value: str | None
    """Rounded to two decimals; None: there is none, see `note`."""
    at_most: int | None = None
    """The limit, in `unit`; None: there is none, or it is the next one."""
    at_least: int | None = None
    verdict: Verdict | None = None
    """None: it has no limit."""
    note: str = ""


# --- What was counted ----------------------------------------------------------------------------------------------


class WaitCounts(Struct, frozen=True, kw_only=True):
    """Calls of some portfolios and months. *Soon* is at most the threshold, *sooner* is less."""

    arrived: int = 0
    answered: int = 0
    answered_soon: int = 0
    answered_sooner: int = 0
    wait_ms: int = 0
    navigated: int = 0
    navigation_ms: int = 0
    navigated_wait_ms: int = 0
    navigated_soon: int = 0
    navigated_sooner: int = 0
    abandoned: int = 0
    """Before any answer."""
    abandoned_soon: int = 0
    abandoned_short: int = 0
    called_back: int = 0
    transferred: int = 0
    fallback: int = 0
    callback_cancelled: int = 0
    counted_by: tuple[Thresholds, ...] = ()
    """Sorted; none where nothing was counted."""

    @classmethod
    def of(cls, months: Iterable[PortfolioMonth]) -> "WaitCounts":
        months = list(months)
        answers = [answer for month in months for answer in month.answers]
        places = {name: sum(getattr(each, name) for each in answers) for name in _OF_PLACES}
        outcomes = {name: sum(dict(month.outcomes).get(Outcome(name), 0) for month in months) for name in _OF_OUTCOMES}
        return cls(
            **places,
            **outcomes,
            **{name: sum(getattr(month, name) for month in months) for name in _OF_MONTHS},
            counted_by=tuple(sorted({thresholds for month in months for thresholds in month.counted_by})),
        )


_OF_MONTHS = ("arrived", "abandoned", "abandoned_soon", "abandoned_short")
_OF_OUTCOMES = ("fallback", "callback_cancelled")
_OF_PLACES = tuple(
    name for name in PlaceAnswers.__struct_fields__ if name in WaitCounts.__struct_fields__
)  # fmt: skip


class OwnerCounts(Struct, frozen=True, kw_only=True):
    """Calls of clients who have an owner."""

    answered: int = 0
    by_owner: int = 0
    by_backup: int = 0
    on_shift: int = 0
    on_shift_by_owner: int = 0
    called_back: int = 0
    back_by_owner: int = 0
    back_by_backup: int = 0

    @classmethod
    def of(cls, owned: Iterable[OwnedAnswers]) -> "OwnerCounts":
        owned = list(owned)
        return cls(**{name: sum(getattr(each, name) for each in owned) for name in cls.__struct_fields__})


# --- Service levels ------------------------------------------------------------------------------------------------


class Variant(NamedTuple):
    """A way to reckon callers who hang up into a service level; ``{t}`` is the threshold, ``{s}`` the short one."""

    letter: str
    name: str
    formula: str
    parts: Callable[[WaitCounts], tuple[int, int]]
    """Met, and of how many."""


VARIANTS = (
    Variant(
        "A",
        "hang-ups within {t} count as met",
        "(answered <= {t} + hang-ups <= {t}) / (answered + hang-ups)",
        lambda c: (c.answered_soon + c.abandoned_soon, c.answered + c.abandoned),
    ),
    Variant("B", "answered only", "answered <= {t} / answered", lambda c: (c.answered_soon, c.answered)),
    Variant(
        "C",
        "all hang-ups count against",
        "answered <= {t} / (answered + hang-ups)",
        lambda c: (c.answered_soon, c.answered + c.abandoned),
    ),
    Variant(
        "D",
        "hang-ups within {t} left out",
        "answered <= {t} / (answered + hang-ups > {t})",
        lambda c: (c.answered_soon, c.answered + c.abandoned - c.abandoned_soon),
    ),
    Variant(
        "E",
        "hang-ups within {s} left out",
        "answered <= {t} / (answered + hang-ups > {s})",
        lambda c: (c.answered_soon, c.answered + c.abandoned - c.abandoned_short),
    ),
)
"""By letter. Callers who were called back or sent to a fallback were neither answered nor did they hang up: no variant
has them."""


def service_level(variant: Variant, counts: WaitCounts, quality: Quality) -> Figure:
    """The service level of *counts* by one variant, named with its thresholds; see `wait_figures`."""
    met, of = variant.parts(counts)
    (within_s, short_s), unknown = _thresholds_of(counts, quality)
    t, s = f"{within_s} s", f"{short_s} s"
    return _share(
        f"service_level_{variant.letter.lower()}",
        f"service level {variant.letter} within {t}: {variant.name.format(t=t, s=s)}",
        variant.formula.format(t=t, s=s),
        met,
        of,
        unknown=unknown,
    )


def wait_figures(counts: WaitCounts, quality: Quality) -> tuple[Figure, ...]:
    """The figures of the regulator, with and without navigation, then the service level in all its variants.

    Args:
        counts: What was counted. The thresholds are those that it was counted by; where these changed on the way, what
            depends on them is not known.
        quality: The limits, of the thresholds that it says.
    """
    some = ""
    if counts.navigated < counts.answered:
        some = f"navigation time is known of {counts.navigated:,} of {counts.answered:,} answered calls"
    navigated_ms, most = counts.navigation_ms + counts.navigated_wait_ms, quality.wait_mean_max_s
    return (
        _mean("mean_wait", "mean wait", "wait / answered", counts.wait_ms, counts.answered, at_most=most),
        _mean(
            "mean_wait_navigated",
            "mean wait with navigation",
            "(navigation + wait) / answered, where navigation is known",
            navigated_ms,
            counts.navigated,
            at_most=most,
            note=some,
        ),
        _mean(
            "mean_navigation",
            "mean navigation",
            "navigation / answered, where navigation is known",
            counts.navigation_ms,
            counts.navigated,
            note=some,
        ),
        *_shares_within(counts, quality, some),
        *(service_level(variant, counts, quality) for variant in VARIANTS),
    )


def _shares_within(counts: WaitCounts, quality: Quality, some_note: str) -> Iterator[Figure]:
    """Of answered calls, at most and less than the threshold; then so with navigation, where it is known."""
    (within_s, _), unknown = _thresholds_of(counts, quality)
    least = quality.within_share_min_percent if within_s == quality.within_s else None
    waits = ("", "wait", "", counts.answered, "")
    navigated = (
        " with navigation", "navigation + wait", ", where navigation is known", counts.navigated, some_note
    )  # fmt: skip
    for key, (title, what, where, of, note), sign, met in (
        ("within", waits, "<=", counts.answered_soon),
        ("within_strictly", waits, "<", counts.answered_sooner),
        ("within_navigated", navigated, "<=", counts.navigated_soon),
        ("within_strictly_navigated", navigated, "<", counts.navigated_sooner),
    ):
        yield _share(
            key,
            f"answered within {within_s} s ({sign}), variant B{title}",
            f"{what} {sign} {within_s} s / answered{where}",
            met,
            of,
            unknown=unknown,
            at_least=least,
            note=note,
        )


def _thresholds_of(counts: WaitCounts, quality: Quality) -> tuple[Thresholds, str]:
    """The thresholds, and why shares within them are not known; empty: they are."""
    by = [thresholds for thresholds in counts.counted_by if thresholds != (0, 0)]
    if len(counts.counted_by) == len(by) == 1:
        return by[0], ""
    present = (quality.within_s, quality.short_abandon_s)
    if len(by) < len(counts.counted_by):
        return present, "counted in part by an earlier version of the router, which did not count what this needs"
    if not by:
        return present, ""
    told = " and ".join(f"{within_s} s (hang-ups {short_s} s)" for within_s, short_s in by)
    return present, f"counted by thresholds that changed: {told}"


# --- Ownership -----------------------------------------------------------------------------------------------------


def owner_figures(counts: OwnerCounts) -> tuple[Figure, ...]:
    """What owners and backups did of the work of owned clients: callers on the line, by their first answer."""
    answered = counts.answered
    others = answered - counts.by_owner - counts.by_backup
    return (
        _share("owner_answered", "owner-answered share", "answered by the owner / answered", counts.by_owner, answered),
        _share(
            "available_owner",
            "available-owner share",
            "answered by the owner / answered, of calls whose owner was on shift at arrival",
            counts.on_shift_by_owner,
            counts.on_shift,
        ),
        _share("backup", "backup share", "answered by a backup / answered", counts.by_backup, answered),
        _share("others", "share of others", "answered by others / answered", others, answered),
        _share("on_shift", "owner on shift", "owner signed in at arrival / answered", counts.on_shift, answered),
        _share(
            "back_by_owner",
            "call-backs by the owner",
            "called back by the owner / called back",
            counts.back_by_owner,
            counts.called_back,
        ),
    )


# --- Numbers for people --------------------------------------------------------------------------------------------


def percent(part: int, whole: int) -> str:
    """``percent(880, 1060) == "83.02"``, rounded half up."""
    return _decimals(part * 100, whole)


def _decimals(numerator: int, denominator: int) -> str:
    hundredths = (200 * numerator + denominator) // (2 * denominator)
    return f"{hundredths // 100}.{hundredths % 100:02}"


def _mean(
    key: str, name: str, formula: str, total_ms: int, of: int, *, at_most: int | None = None, note: str = ""
) -> Figure:
    is_met = at_most is None or total_ms <= at_most * 1000 * of
    return Figure(
        key=key,
        name=name,
        formula=formula,
        numerator=total_ms,
        denominator=of,
        unit=Unit.SECONDS,
        value=_decimals(total_ms, 1000 * of) if of else None,
        at_most=at_most,
        verdict=_verdict(of, is_met=is_met) if at_most is not None else None,
        note=note if of else "",
    )


def _share(
    key: str,
    name: str,
    formula: str,
    part: int,
    whole: int,
    *,
    unknown: str = "",
    at_least: int | None = None,
    note: str = "",
) -> Figure:
    """A share. *unknown* says why it is not known, if it is not."""
    is_met = at_least is None or part * 100 >= at_least * whole
    return Figure(
        key=key,
        name=name,
        formula=formula,
        numerator=part,
        denominator=whole,
        unit=Unit.PERCENT,
        value=percent(part, whole) if whole and not unknown else None,
        at_least=at_least,
        verdict=_verdict(whole, is_met=is_met, is_known=not unknown) if at_least is not None else None,
        note=(unknown or note) if whole else "",
    )


def _verdict(of: int, *, is_met: bool, is_known: bool = True) -> Verdict:
    if not of:
        return Verdict.NO_DATA
    if not is_known:
        return Verdict.NOT_KNOWN
    return Verdict.MET if is_met else Verdict.MISSED
