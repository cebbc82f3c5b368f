"""Confidence intervals over independent replications, narrowed by control variates.

A control variate is something that was observed beside the figure and whose expectation is known, such as the mean
service time of the very callers. Where such a control came out high, the figure came out high or low with it; a
regression takes that share of the chance out again (Lavenberg & Welch, Management Science 27 (1981) 322-335). Controls
are passed as deviations from their expectations, so that the intercept of the regression is the estimate.
"""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "interval", "ratio_interval", "t_quantile"]

_DEGREES_MIN = 10
_ROUNDING = 1e-9


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
        ValueError: Too few replications for so many controls.
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
    above, below = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    ratio = float(above.mean() / below.mean())
    linearised: NDArray[np.float64] = ratio + (above - ratio * below) / below.mean()
    return interval(linearised, controls, confidence=confidence)


def _scaled(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of like size, for the sake of the digits; without those that do not vary."""
    deviations = controls.std(axis=0)
    varies = deviations > _ROUNDING * np.abs(controls).max(axis=0, initial=0)
    scaled: NDArray[np.float64] = controls[:, varies] / deviations[varies]
    return scaled


def t_quantile(probability: float, *, degrees: int) -> float:
    """The quantile of Student's t for a *probability* in (0, 1).

    By the expansion about the normal quantile (Abramowitz & Stegun 26.7.5), good to three decimals from 10 degrees of
    freedom on.

    Raises:
        ValueError: Fewer than 10 degrees of freedom.
    """
    if degrees < _DEGREES_MIN:
        raise ValueError(f"the expansion needs at least {_DEGREES_MIN} degrees of freedom, not {degrees}")
    x = NormalDist().inv_cdf(probability)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92_160,
    )
    return sum(float(term / degrees**power) for power, term in enumerate(terms))
