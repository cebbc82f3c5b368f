"""The same callers under several policies: what differs, by how much, and whether that could be chance.

Each replication's callers meet every policy, so differences are taken replication by replication, and what makes one
set of callers harder than another goes out of them. A difference is told as one only where its interval excludes zero.
"""

import csv
import io
from collections.abc import Container, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from router.core.model import Quality
from router.experiments.kpis import CONFIDENCE, Better, Estimate, Kpi, difference, estimate, kpis_of
from router.experiments.results import NO_DATA, KpiWords, counts_by_id, few_words, words_of
from router.simulation.counts import Counts, RunCounts, Scope
from router.simulation.statistics import t_quantile

__all__ = [
    "Compared", "Comparison", "Figure", "Replications", "Verdict", "as_csv", "compare", "difference_words",
    "frontier_of",
]  # fmt: skip


class Verdict(StrEnum):
    """What a difference says."""

    BETTER = "better"
    WORSE = "worse"
    OTHER = "other"
    """Clearly different, of a figure of which more is neither better nor worse."""
    UNCLEAR = "unclear"
    """It may be chance."""
    NO_DATA = "no data"


class Replications(Struct, frozen=True, kw_only=True):
    """What a policy brought, one a replication; the same places of several policies are of the same callers."""

    name: str
    quality: Quality
    counted: tuple[RunCounts, ...]
    digests: tuple[str, ...] = ()
    """Of the callers; empty: nothing to compare them by."""


class Figure(Struct, frozen=True, kw_only=True):
    """One figure under one policy."""

    scope: Scope
    id: str
    key: str
    found: Estimate
    difference: Estimate | None
    """Less that of the baseline; None: it is the baseline."""
    verdict: Verdict | None


class Compared(Struct, frozen=True, kw_only=True):
    """A policy beside the baseline."""

    name: str
    figures: tuple[Figure, ...]
    in_short: str
    """What is clearly better and clearly worse; of the baseline, nothing."""

    def figure(self, key: str, scope: Scope = Scope.ALL, identity: str = "all") -> Figure | None:
        for each in self.figures:
            if (each.key, each.scope, each.id) == (key, scope, identity):
                return each
        return None


class Comparison(Struct, frozen=True, kw_only=True):
    """What is printed as JSON."""

    title: str
    baseline: str
    replications: int
    unit: str
    """What was repeated: replications, or days."""
    confidence: float
    quality: Quality
    """The thresholds in the names of figures, those of the baseline."""
    kpis: tuple[KpiWords, ...]
    policies: tuple[Compared, ...]
    frontier: tuple[str, ...]
    """Of owner share against service level: policies than which no other is better in both."""
    notes: tuple[str, ...]


def compare(
    title: str,
    policies: Sequence[Replications],
    *,
    baseline: int = 0,
    unit: str = "replications",
    without: Container[str] = (),
) -> Comparison:
    """Hold policies against one of them.

    Args:
        title: What was played.
        policies: At least two, with the same number of replications.
        baseline: The place of that with which the others are compared.
        unit: What was repeated, in words.
        without: Keys of figures that were not counted.
    """
    before = policies[baseline]
    kpis = [kpi for kpi in kpis_of(before.quality) if kpi.key not in without]
    compared = [_compared(kpis, before, each) for each in policies]
    return Comparison(
        title=title,
        baseline=before.name,
        replications=len(before.counted),
        unit=unit,
        confidence=CONFIDENCE,
        quality=before.quality,
        kpis=tuple(map(words_of, kpis)),
        policies=tuple(compared),
        frontier=tuple(frontier_of(compared)),
        notes=tuple(_notes(policies, baseline, unit)),
    )


def _compared(kpis: Sequence[Kpi], before: Replications, after: Replications) -> Compared:
    figures = tuple(_figures(kpis, before, after))
    return Compared(name=after.name, figures=figures, in_short="" if after is before else _in_short(kpis, figures))


def _figures(kpis: Sequence[Kpi], before: Replications, after: Replications) -> Iterator[Figure]:
    nothing = [Counts()] * len(before.counted)
    for scope in Scope:
        old, new = counts_by_id(scope, before.counted), counts_by_id(scope, after.counted)
        identities = sorted({*old, *new})
        widened = _widened(len(before.counted), of=len(identities))
        for identity in identities:
            first, second = old.get(identity, nothing), new.get(identity, nothing)
            for kpi in kpis:
                if scope not in kpi.scopes:
                    continue
                gap = None if after is before else difference(kpi, first, second)
                yield Figure(
                    scope=scope,
                    id=identity,
                    key=kpi.key,
                    found=estimate(kpi, second),
                    difference=gap,
                    verdict=None if gap is None else _verdict(kpi, gap, widened),
                )


def _widened(replications: int, *, of: int) -> float:
    """By how much an interval must be wider to be looked at beside *of* others, all of them at once (Bonferroni)."""
    if replications < 2 or of < 2:
        return 1.0
    beside = (1 - CONFIDENCE) / 2
    alone, among = (t_quantile(1 - each, degrees=replications - 1) for each in (beside, beside / of))
    return among / alone


def _verdict(kpi: Kpi, gap: Estimate, widened: float) -> Verdict:
    if gap.value is None:
        return Verdict.NO_DATA
    if gap.half_width is None or abs(gap.value) <= widened * gap.half_width:
        return Verdict.UNCLEAR
    if kpi.better is Better.NEITHER:
        return Verdict.OTHER
    return Verdict.BETTER if (gap.value > 0) == (kpi.better is Better.HIGHER) else Verdict.WORSE


def _in_short(kpis: Sequence[Kpi], figures: Sequence[Figure]) -> str:
    """The main figures of all callers, those that are clearly different."""
    said = []
    for verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.OTHER):
        words = []
        for kpi in kpis:
            for each in figures:
                if each.scope is Scope.ALL and each.key == kpi.key and each.verdict is verdict and kpi.is_main:
                    gap = each.difference
                    assert gap is not None, "only differences are judged"
                    words.append(f"{kpi.short} {difference_words(gap)} {_points(kpi)}")
        if words:
            said.append(f"{verdict}: {', '.join(words)}")
    losing = sorted(
        each.id for each in figures
        if each.scope is Scope.PORTFOLIO and each.key == "service_level" and each.verdict is Verdict.WORSE
    )  # fmt: skip
    if losing:
        named = ", ".join(losing[:6]) + (f" and {len(losing) - 6} more" if len(losing) > 6 else "")
        said.append(f"clearly fewer answered in time of {named}")
    return "; ".join(said) or "no figure of all callers is clearly different"


def difference_words(gap: Estimate | None) -> str:
    """``+3.3 ± 1.4``, of narrow intervals with a place more."""
    if gap is None or gap.value is None:
        return NO_DATA
    places = 2 if gap.half_width is not None and gap.half_width < 1 else 1
    return f"{gap.value:+.{places}f}" + (f" ± {gap.half_width:.{places}f}" if gap.half_width is not None else "")


def _points(kpi: Kpi) -> str:
    return "points" if kpi.unit == "%" else str(kpi.unit)


def frontier_of(policies: Sequence[Compared]) -> list[str]:
    """Those than which no other has at least as much of both, and more of one; from the smallest owner share up."""
    places = []
    for each in policies:
        owner, level = each.figure("owner_share"), each.figure("service_level")
        if owner is not None and level is not None and None not in (owner.found.value, level.found.value):
            places.append((owner.found.value or 0.0, level.found.value or 0.0, each.name))
    best = [
        (x, y, name)
        for x, y, name in places
        if not any(ox >= x and oy >= y and (ox, oy) != (x, y) for ox, oy, _ in places)
    ]
    return [name for _, _, name in sorted(best)]


def _notes(policies: Sequence[Replications], baseline: int, unit: str) -> Iterator[str]:
    others = [each.name for each in policies if each.digests != policies[baseline].digests]
    if others:
        yield (
            f"not the same callers as under {policies[baseline].name}: {', '.join(others)}. The differences are "
            "those of the callers too; see that [[calls]], time, seed, opening hours and clients are the same"
        )
    if len({each.quality for each in policies}) > 1:
        yield f"the policies differ in thresholds; those of {policies[baseline].name} are in the names of figures"
    if unit == "replications":
        yield from few_words(len(policies[baseline].counted))
    elif len(policies[baseline].counted) == 1:
        yield "there is one day: how far chance would move the differences is not known"
    else:
        yield f"{unit} stand for replications, as if each had nothing to do with the one before"
    yield (
        "a difference is marked where its interval excludes zero: of twenty that are none, about one is marked by "
        "chance. By portfolio, team, site and contract it must be clearer, the more of them there are (Bonferroni)"
    )


_COLUMNS = (
    "policy", "scope", "id", "key", "name", "value", "half_width", "difference", "difference_half_width", "unit",
    "verdict", "replications",
)  # fmt: skip


def as_csv(comparison: Comparison) -> str:
    """A row a policy and figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    words = {each.key: each for each in comparison.kpis}
    for policy in comparison.policies:
        for each in policy.figures:
            kpi, gap = words[each.key], each.difference
            writer.writerow(
                (
                    policy.name, each.scope, each.id, each.key, kpi.name, *_cells(each.found), *_cells(gap), kpi.unit,
                    each.verdict or "", comparison.replications,
                )
            )  # fmt: skip
    return out.getvalue()


def _cells(found: Estimate | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    value, half_width = ("" if each is None else f"{each:.4f}" for each in (found.value, found.half_width))
    return value, half_width
