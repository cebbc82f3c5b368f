"""Policies that trade one figure for another, compared at equal price: the frontier of owner share against mean wait.

A policy is a point: what it costs (a mean wait) and what it brings (an owner share), once a replication. All policies
have met the same callers, so replications are paired. The frontier of some policies is the upper hull of their points:
what is between two of them can be had by tossing a coin between the two, call centre by call centre or day by day.

The difference between a point and a frontier at equal cost is a smooth function of three means, so its interval is that
of the function's linear part, worked out replication by replication (the delta method).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.simulation.statistics import Interval, interval

__all__ = ["Point", "at_equal_cost", "at_equal_yield", "hull_of", "linear_parts"]

Floats = NDArray[np.float64]


class Point(NamedTuple):
    """A policy: its figures, one value a replication."""

    name: str
    costs: Floats
    yields: Floats

    @property
    def cost(self) -> float:
        return float(self.costs.mean())

    @property
    def yield_(self) -> float:
        return float(self.yields.mean())


def linear_parts(parts: ArrayLike, wholes: ArrayLike) -> Floats:
    """Values, one a replication, whose mean is the ratio of the sums and whose spread is that of the ratio."""
    above, below = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    ratio = above.sum() / below.sum()
    values: Floats = ratio + (above - ratio * below) / below.mean()
    return values


def hull_of(points: Sequence[Point]) -> list[Point]:
    """The points that no mixture of others beats, by cost: each brings more than the one before, at a higher price."""
    hull: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.yield_)):
        if hull and point.yield_ <= hull[-1].yield_:
            continue
        while len(hull) > 1 and _slope(hull[-2], point) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def at_equal_cost(point: Point, frontier: Sequence[Point], *, confidence: float = 0.99) -> Interval | None:
    """How much more *point* brings than the *frontier* (a hull) at the same cost.

    Where it costs less than the cheapest of the frontier, that one is taken, which flatters the frontier; None: it
    costs more than the dearest.
    """
    if point.cost > frontier[-1].cost:
        return None
    if point.cost <= frontier[0].cost:
        return interval(point.yields - frontier[0].yields, confidence=confidence)
    left, right = _around([each.cost for each in frontier], point.cost)
    first, second = frontier[left], frontier[right]
    weight = (second.cost - point.cost) / (second.cost - first.cost)
    slope = _slope(first, second)
    yields = point.yields - (weight * first.yields + (1 - weight) * second.yields)
    costs = point.costs - (weight * first.costs + (1 - weight) * second.costs)
    return interval(yields - slope * costs, confidence=confidence)


def at_equal_yield(point: Point, frontier: Sequence[Point], *, confidence: float = 0.99) -> Interval | None:
    """How much more *point* costs than the *frontier* (a hull) where that brings the same.

    Where it brings less than the cheapest of the frontier does, that one is taken; None: the frontier never brings so
    much.
    """
    if point.yield_ > frontier[-1].yield_:
        return None
    if point.yield_ <= frontier[0].yield_:
        return interval(point.costs - frontier[0].costs, confidence=confidence)
    left, right = _around([each.yield_ for each in frontier], point.yield_)
    first, second = frontier[left], frontier[right]
    weight = (second.yield_ - point.yield_) / (second.yield_ - first.yield_)
    yields = point.yields - (weight * first.yields + (1 - weight) * second.yields)
    costs = point.costs - (weight * first.costs + (1 - weight) * second.costs)
    return interval(costs - yields / _slope(first, second), confidence=confidence)


def _around(values: Sequence[float], value: float) -> tuple[int, int]:
    right = next(number for number, each in enumerate(values) if each >= value)
    return right - 1, right


def _slope(first: Point, second: Point) -> float:
    gap = second.cost - first.cost
    return (second.yield_ - first.yield_) / gap if gap > 0 else float("inf")
