"""Confidence intervals over independent replications, narrowed by control variates.

A control variate is something that was observed beside the figure and whose expectation is known, such as the mean
service time of the very callers. Where such a control came out high, the figure came out high or low with it; a
regression takes that share of the chance out again (Lavenberg & Welch, Management Science 27 (1981) 322-335). Controls
are passed as deviations from their expectations, so that the intercept of the regression is the estimate.
"""

from functools import cache
from math import exp, lgamma, log, log1p, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "interval", "paired_ratio_interval", "ratio_interval", "t_quantile"]

_DEGREES_MIN = 1
# What varies by less is the noise of floating point.
_ROUNDING = 1e-9
_BITS = 60
_CONVERGED = 1e-15
# For a thousand degrees of freedom it takes some forty.
_TERMS_MAX = 1_000


class Interval(NamedTuple):
    """A two-sided confidence interval, symmetric about the estimate."""

    estimate: float
    half_width: float
    confidence: float

    def contains(self, value: float) -> bool:
        return abs(value - self.estimate) <= self.half_width

    def __str__(self) -> str:
        return f"{self.estimate:.6g} ± {self.half_width:.2g} ({100 * self.confidence:.4g} %)"


def interval(values: ArrayLike, controls: ArrayLike | None = None, *, confidence: float = 0.99) -> Interval:
    """The mean of one figure, by Student's t.

    Args:
        values: The figure, one value a replication.
        controls: Deviations of the controls from their expectations, shape (replications, controls); None: none.
            One that came out alike in all replications explains nothing and is left out.
        confidence: How often such an interval covers the truth, between 0 and 1.

    Raises:
        ValueError: Too few replications for so many controls: nothing is left to tell how much chance there is.
    """
    figures = np.asarray(values, dtype=float)
    columns = [np.ones((len(figures), 1))]
    if controls is not None:
        columns.append(_scaled(np.asarray(controls, dtype=float).reshape(len(figures), -1)))
    design = np.hstack(columns)
    degrees = len(figures) - design.shape[1]
    if degrees < _DEGREES_MIN:
        raise ValueError(
            f"{len(figures)} replications are too few for {design.shape[1] - 1} controls: "
            f"make at least {design.shape[1] + _DEGREES_MIN} replications"
        )
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ figures
    residuals = figures - design @ coefficients
    deviation = sqrt(float(residuals @ residuals) / degrees * float(inverse[0, 0]))
    return Interval(float(coefficients[0]), t_quantile((1 + confidence) / 2, degrees=degrees) * deviation, confidence)


def ratio_interval(
    parts: ArrayLike, wholes: ArrayLike, controls: ArrayLike | None = None, *, confidence: float = 0.99
) -> Interval:
    """The ratio of two expectations, such as time waited by calls answered, by the delta method.

    Args:
        parts: Sums above the line, one a replication.
        wholes: Sums below the line, one a replication.
        controls: As for `interval`.
        confidence: As for `interval`.
    """
    _, linearised = _linearised(parts, wholes)
    return interval(linearised, controls, confidence=confidence)


def _scaled(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of like size, for the sake of the digits; without those that do not vary."""
    deviations = controls.std(axis=0)
    varies = deviations > _ROUNDING * np.abs(controls).max(axis=0, initial=0)
    scaled: NDArray[np.float64] = controls[:, varies] / deviations[varies]
    return scaled


def paired_ratio_interval(
    parts: ArrayLike,
    wholes: ArrayLike,
    other_parts: ArrayLike,
    other_wholes: ArrayLike,
    *,
    confidence: float = 0.99,
) -> Interval:
    """The second of two ratios of expectations less the first, of the same replications.

    Both are linearised before they are subtracted, replication by replication: what chance did to both alike, such as
    more callers on a day, goes out of the difference.
    """
    before, first = _linearised(parts, wholes)
    after, second = _linearised(other_parts, other_wholes)
    found = interval(second - first, confidence=confidence)
    return found._replace(estimate=after - before)


def _linearised(parts: ArrayLike, wholes: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """The ratio, and values a replication whose mean it is and whose scatter is that of the ratio."""
    above, below = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    ratio = float(above.mean() / below.mean())
    return ratio, ratio + (above - ratio * below) / below.mean()


@cache
def t_quantile(probability: float, *, degrees: int) -> float:
    """The quantile of Student's t for a *probability* in (0, 1), by inverting its distribution function.

    Raises:
        ValueError: No degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {degrees}")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees=degrees)
    low, high = 0.0, 1.0
    while _t_probability(high, degrees) < probability:
        low, high = high, 2 * high
    # Each step gains a bit.
    for _ in range(_BITS):
        middle = (low + high) / 2
        if _t_probability(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_probability(t: float, degrees: int) -> float:
    """That Student's t is at most *t*, which is not negative (Abramowitz & Stegun 26.7.1 with 26.5.27)."""
    return 1 - _incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), by its continued fraction (NIST DLMF 8.17.22), evaluated as Lentz does."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        # Where the fraction would converge slowly, that of the complement does not (DLMF 8.17.4).
        return 1 - _incomplete_beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    numerator, denominator = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = denominator
    for m in range(1, _TERMS_MAX):
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / (1 + coefficient * denominator)
            numerator = 1 + coefficient / numerator
            fraction *= numerator * denominator
        if abs(numerator * denominator - 1) < _CONVERGED:
            break
    return front * fraction
