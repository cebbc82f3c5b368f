"""Figures by hand at their edges, and against a count of single calls that knows no sums."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.model import Quality
from router.reports.quality import (
    VARIANTS,
    Figure,
    OwnerCounts,
    Verdict,
    WaitCounts,
    owner_figures,
    percent,
    service_level,
    wait_figures,
)
from tests.core.builders import Bench, agent, organisation, portfolio, team

QUALITY = Quality(within_s=20, short_abandon_s=5, wait_mean_max_s=150, within_share_min_percent=40)


def figures(counts: WaitCounts, quality: Quality = QUALITY) -> dict[str, Figure]:
    return {each.key: each for each in wait_figures(counts, quality)}


def counted(**counts: int) -> WaitCounts:
    return WaitCounts(counted_by=((20, 5),), **counts)


# --- Service levels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letter", "met", "of", "value"),
    [
        ("A", 880, 1060, "83.02"),
        ("B", 860, 1000, "86.00"),
        ("C", 860, 1060, "81.13"),
        ("D", 860, 1040, "82.69"),
        ("E", 860, 1050, "81.90"),
    ],
)
def test_the_five_variants_of_one_day(letter: str, met: int, of: int, value: str) -> None:
    """1,000 answered, 860 of them within 20 s; 60 hang-ups: 20 within 20 s, of which 10 within 5 s."""
    counts = counted(answered=1000, answered_soon=860, abandoned=60, abandoned_soon=20, abandoned_short=10)
    (variant,) = [each for each in VARIANTS if each.letter == letter]

    level = service_level(variant, counts, QUALITY)

    assert (level.numerator, level.denominator, level.value) == (met, of, value)
    assert level.name.startswith(f"service level {letter} within 20 s: ")
    assert "{" not in level.name + level.formula


def test_a_service_level_is_named_by_the_thresholds_that_it_was_counted_by() -> None:
    counts = WaitCounts(answered=2, answered_soon=1, abandoned=1, counted_by=((30, 10),))

    found = figures(counts)

    assert found["service_level_e"].name == "service level E within 30 s: hang-ups within 10 s left out"
    assert found["service_level_e"].formula == "answered <= 30 s / (answered + hang-ups > 10 s)"
    # The limit is one of 20 s, and says nothing of 30 s.
    assert (found["within"].value, found["within"].at_least, found["within"].verdict) == ("50.00", None, None)


class Call(NamedTuple):
    """A caller who waits, after having navigated, and is answered or hangs up."""

    wait_ms: int
    navigation_ms: int | None
    is_answered: bool


# Around both thresholds, each alone and together with navigation.
WAITS = st.sampled_from([0, 4_999, 5_000, 5_001, 12_000, 19_999, 20_000, 20_001, 90_000])
NAVIGATIONS = st.sampled_from([None, 0, 1, 7_999, 8_000, 8_001, 20_000])
CALLS = st.lists(st.builds(Call, WAITS, NAVIGATIONS, st.booleans()), max_size=12)


def naive(letter: str, calls: Sequence[Call]) -> tuple[int, int]:
    """One call after the other, as the words of each variant say."""
    met = of = 0
    for call in calls:
        if call.is_answered or letter == "A":
            of += 1
            met += call.wait_ms <= 20_000
        elif letter == "C":
            of += 1
        elif letter == "D":
            of += call.wait_ms > 20_000
        elif letter == "E":
            of += call.wait_ms > 5_000
    return met, of


def played(calls: Sequence[Call]) -> WaitCounts:
    """The calls through an engine, one after the other, with one agent who is ready when a call is to be answered."""
    bench = Bench(organisation([team("t", wrap_up_s=0)], [portfolio("p", "t", max_wait_s=None)], [agent("A", "t")]))
    bench.sign_in(0, "A")
    for number, call in enumerate(calls, start=1):
        start = 1_000 * number
        bench.arrive(start, f"c{number}", navigation_ms=call.navigation_ms)
        end = start + call.wait_ms / 1000
        if call.is_answered:
            bench.connect(end, bench.back(end, "A"))
            bench.end(end + 1, f"c{number}")
            bench.pause(end + 2, "A")
        else:
            bench.hang_up(end, f"c{number}")
    return WaitCounts.of(bench.engine.tallies())


@given(CALLS)
def test_all_figures_agree_with_a_count_of_the_calls_themselves(calls: Sequence[Call]) -> None:
    found = figures(played(calls))

    answered = [call for call in calls if call.is_answered]
    navigated = [(call.navigation_ms, call.wait_ms) for call in answered if call.navigation_ms is not None]
    totals = [navigation_ms + wait_ms for navigation_ms, wait_ms in navigated]
    expected = {
        "mean_wait": (sum(call.wait_ms for call in answered), len(answered)),
        "mean_wait_navigated": (sum(totals), len(navigated)),
        "mean_navigation": (sum(navigation_ms for navigation_ms, _ in navigated), len(navigated)),
        "within": (sum(call.wait_ms <= 20_000 for call in answered), len(answered)),
        "within_strictly": (sum(call.wait_ms < 20_000 for call in answered), len(answered)),
        "within_navigated": (sum(total <= 20_000 for total in totals), len(navigated)),
        "within_strictly_navigated": (sum(total < 20_000 for total in totals), len(navigated)),
        **{f"service_level_{letter.lower()}": naive(letter, calls) for letter in "ABCDE"},
    }
    assert {key: (each.numerator, each.denominator) for key, each in found.items()} == expected
    for each in found.values():
        assert (each.value is None) == (each.denominator == 0)


# --- Limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wait_ms", "verdict"), [(300_000, Verdict.MET), (300_001, Verdict.MISSED)])
def test_a_mean_of_exactly_the_limit_is_met(wait_ms: int, verdict: Verdict) -> None:
    assert figures(counted(answered=2, wait_ms=wait_ms))["mean_wait"].verdict is verdict


@pytest.mark.parametrize(("soon", "verdict"), [(4_000, Verdict.MET), (3_999, Verdict.MISSED)])
def test_a_share_of_exactly_the_limit_is_met(soon: int, verdict: Verdict) -> None:
    """3,999 of 10,000 are 39.99 %, one call short."""
    counts = counted(answered=10_000, answered_soon=soon, navigated=10_000, navigated_sooner=soon)

    found = figures(counts)

    assert found["within"].verdict is found["within_strictly_navigated"].verdict is verdict
    assert found["within_strictly"].verdict is Verdict.MISSED


def test_nothing_answered_is_no_data_and_no_zero() -> None:
    found = figures(counted(abandoned=3, abandoned_soon=3))

    assert [found[key].verdict for key in ("mean_wait", "within", "within_strictly_navigated")] == [Verdict.NO_DATA] * 3
    assert found["mean_wait"].value is found["service_level_b"].value is None
    assert found["service_level_a"].value == "100.00"
    assert found["service_level_d"].value is None


def test_without_limits_nothing_is_judged() -> None:
    found = figures(counted(answered=1, wait_ms=900_000), Quality())

    assert [each.verdict for each in found.values()] == [None] * len(found)


def test_what_navigation_is_not_known_of_is_said() -> None:
    found = figures(counted(answered=10, navigated=9))

    assert found["within_navigated"].note == "navigation time is known of 9 of 10 answered calls"
    assert found["within"].note == ""


def test_a_period_of_two_thresholds_has_means_and_no_shares() -> None:
    found = figures(WaitCounts(answered=4, answered_soon=3, wait_ms=8_000, counted_by=((10, 5), (20, 5))))

    assert found["mean_wait"].value == "2.00"
    assert (found["within"].value, found["within"].verdict) == (None, Verdict.NOT_KNOWN)
    assert found["within"].note == "counted by thresholds that changed: 10 s (hang-ups 5 s) and 20 s (hang-ups 5 s)"
    assert found["service_level_c"].value is None


def test_what_an_earlier_version_counted_is_not_taken_for_whole() -> None:
    found = figures(WaitCounts(answered=4, answered_soon=3, counted_by=((0, 0), (20, 5))))

    assert found["within_strictly"].verdict is Verdict.NOT_KNOWN
    assert "an earlier version" in found["within_strictly"].note


# --- Owners, numbers -----------------------------------------------------------------------------------------------


def test_shares_of_owners_backups_and_others() -> None:
    counts = OwnerCounts(
        answered=8, by_owner=3, by_backup=1, on_shift=4, on_shift_by_owner=3, called_back=2, back_by_owner=1
    )

    found = {each.key: each.value for each in owner_figures(counts)}

    assert found == {
        "owner_answered": "37.50",
        "available_owner": "75.00",
        "backup": "12.50",
        "others": "50.00",
        "on_shift": "50.00",
        "back_by_owner": "50.00",
    }
    assert {each.value for each in owner_figures(OwnerCounts())} == {None}


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 7, "0.00"), (1, 3, "33.33"), (2, 3, "66.67"), (1, 20_000, "0.01"), (1, 20_001, "0.00"), (7, 7, "100.00")],
)
def test_percentages_are_rounded_half_up(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown
