"""Policies compared at equal cost, or at equal yield."""

import numpy as np
import pytest

from router.simulation.frontiers import Point, at_equal_cost, at_equal_yield, hull_of, linear_parts

SEED = 1917
NOISE = np.random.default_rng(SEED).normal(size=(3, 2, 40))
NOISE -= NOISE.mean(axis=2, keepdims=True)


def point(cost: float, yield_: float, noise: int | None = None, name: str = "") -> Point:
    """Forty replications with exactly these means; *noise* None: all alike."""
    costs, yields = (0.0, 0.0) if noise is None else NOISE[noise]
    return Point(name, cost + np.zeros(40) + costs, yield_ + np.zeros(40) + yields)


FRONTIER = hull_of([point(0, 0), point(10, 10), point(30, 20)])


def test_hull_leaves_out_what_a_mixture_of_others_beats() -> None:
    points = [point(0, 0, name="a"), point(4, 1, name="b"), point(10, 10, name="c"), point(12, 9, name="d")]

    assert [each.name for each in hull_of(points)] == ["a", "c"]


def test_point_above_the_frontier_brings_more_and_costs_less() -> None:
    above = point(20, 18)

    more, dearer = at_equal_cost(above, FRONTIER), at_equal_yield(above, FRONTIER)

    assert more is not None
    assert more.estimate == pytest.approx(3)  # 15 half-way between 10 and 20
    assert dearer is not None
    assert dearer.estimate == pytest.approx(-6)  # 26 at a yield of 18


def test_point_on_the_frontier_differs_by_nothing() -> None:
    for each in (point(5, 5), point(10, 10), point(30, 20)):
        more = at_equal_cost(each, FRONTIER)
        assert more is not None
        assert more.estimate == pytest.approx(0)


def test_beyond_the_frontier_there_is_no_answer_and_before_it_its_first_point_stands_in() -> None:
    assert at_equal_cost(point(31, 25), FRONTIER) is None
    assert at_equal_yield(point(29, 21), FRONTIER) is None
    cheaper = at_equal_cost(point(-1, 2), FRONTIER)
    assert cheaper is not None
    assert cheaper.estimate == pytest.approx(2)


def test_interval_is_that_of_the_linear_part() -> None:
    """Noise that moves a point along the frontier is no difference; the rest is, by its own spread."""
    costs = NOISE[0][0]
    along = Point("along", 20 + costs, 18 + costs / 2)

    more = at_equal_cost(along, FRONTIER)

    assert more is not None
    assert more.half_width == pytest.approx(0, abs=1e-9)
    noisy = at_equal_cost(point(20, 18, noise=1), FRONTIER)
    assert noisy is not None
    expected = (NOISE[1][1] - NOISE[1][0] / 2).std(ddof=1) / np.sqrt(40)
    assert noisy.half_width == pytest.approx(2.708 * expected, rel=0.01)


def test_linear_parts_have_the_ratio_of_sums_as_their_mean() -> None:
    parts, wholes = np.array([1.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0])

    assert linear_parts(parts, wholes).mean() == pytest.approx(14 / 6)
