"""Intervals from few replications, and of differences between policies that were tried on the same callers."""

import numpy as np
import pytest

from router.simulation.statistics import interval, paired_ratio_interval, ratio_interval, t_quantile

SEED = 20260801


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [
        # Abramowitz & Stegun, table 26.10.
        (0.975, 1, 12.7062),
        (0.995, 1, 63.6567),
        (0.975, 2, 4.30265),
        (0.975, 3, 3.18245),
        (0.995, 4, 4.60409),
        (0.975, 5, 2.57058),
        (0.975, 9, 2.26216),
        (0.995, 30, 2.75),
        (0.975, 120, 1.97993),
        (0.025, 5, -2.57058),
    ],
)
def test_quantiles_are_those_of_the_table_to_the_last_digit(probability: float, degrees: int, quantile: float) -> None:
    assert f"{t_quantile(probability, degrees=degrees):.6g}" == f"{quantile:.6g}"


def test_many_degrees_of_freedom_are_nearly_normal() -> None:
    assert t_quantile(0.975, degrees=100_000) == pytest.approx(1.95996, abs=5e-5)


def test_one_replication_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 replications"):
        interval([5.0])
    with pytest.raises(ValueError, match="degree of freedom"):
        t_quantile(0.9, degrees=0)


def test_intervals_of_three_replications_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(SEED)

    covered = sum(interval(rng.normal(5, 1, size=3), confidence=0.9).contains(5) for _ in range(2_000))

    # 1800 less or more three standard deviations.
    assert 1_760 <= covered <= 1_840


def test_the_same_callers_make_a_difference_narrow() -> None:
    """Busy days are busy under both policies; the interval of the difference has nothing of them."""
    rng = np.random.default_rng(SEED)
    calls = rng.integers(900, 1_100, size=12)
    luck = rng.normal(0, 0.05, size=12)
    first = calls * (0.70 + luck)
    second = calls * (0.72 + luck + rng.normal(0, 0.002, size=12))

    paired = paired_ratio_interval(first, calls, second, calls)

    assert paired.contains(0.02)
    assert paired.half_width < 0.1 * ratio_interval(first, calls).half_width
    assert paired.estimate == pytest.approx(second.sum() / calls.sum() - first.sum() / calls.sum())


def test_paired_differences_cover_as_often_as_they_say() -> None:
    """Of ratios whose lower sums differ between the policies too, such as the mean wait of those answered."""
    rng = np.random.default_rng(SEED)
    covered = 0
    for _ in range(1_000):
        offered = rng.poisson(500, size=15)
        few, more = rng.binomial(offered, 0.8), rng.binomial(offered, 0.9)
        waits, shorter = rng.gamma(few, 12.0), rng.gamma(more, 10.0)
        covered += paired_ratio_interval(waits, few, shorter, more, confidence=0.95).contains(-2.0)

    # 950 less or more three standard deviations.
    assert 929 <= covered <= 971
