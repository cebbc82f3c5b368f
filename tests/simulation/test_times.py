"""How long things last, as scenarios say it."""

import math

import numpy as np
import pytest

from router.simulation.times import Law, Times, drawn_ms, mean_s_of, problems_of_times, times_of


def draw(times: Times, count: int = 50_000) -> list[int]:
    values: list[int] = drawn_ms(times, np.random.default_rng(7), count).tolist()
    return values


def variation(values: list[int]) -> float:
    return float(np.std(values) / np.mean(values))


@pytest.mark.parametrize(
    ("times", "cv"),
    [
        (Times(law=Law.EXPONENTIAL, mean_s=300), 1.0),
        (Times(law=Law.LOG_NORMAL, mean_s=300, variation=1.2), 1.2),
        (Times(law=Law.FIXED, mean_s=300), 0.0),
        (Times(seconds=(100, 200, 600)), math.sqrt(140_000 / 3) / 300),
        (Times(edges_s=(0, 200, 800), weights=(2, 1)), None),
    ],
)
def test_draws_have_the_mean_and_the_variation_that_were_written(times: Times, cv: float | None) -> None:
    values = draw(times)

    assert sum(values) / len(values) / 1000 == pytest.approx(mean_s_of(times), rel=0.03)
    if cv is not None:
        assert variation(values) == pytest.approx(cv, rel=0.05)


def test_a_plain_number_is_the_mean_of_the_law_of_its_field() -> None:
    assert times_of(20, Law.EXPONENTIAL) == Times(law=Law.EXPONENTIAL, mean_s=20)
    assert times_of(20, Law.LOG_NORMAL, 1.2) == Times(law=Law.LOG_NORMAL, mean_s=20, variation=1.2)
    assert times_of(Times(seconds=(3,)), Law.LOG_NORMAL) == Times(seconds=(3,))


def test_observed_values_are_all_that_is_drawn() -> None:
    assert set(draw(Times(seconds=(1.5, 4)))) == {1_500, 4_000}


def test_a_histogram_fills_its_bins_by_their_weights() -> None:
    values = draw(Times(edges_s=(10, 20, 60), weights=(3, 1)))

    assert all(10_000 <= each <= 60_000 for each in values)
    assert sum(each < 20_000 for each in values) / len(values) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (0.0, "f: 0 is not possible: write more than 0"),
        (float("nan"), "f: nan is not possible: write more than 0"),
        (Times(), "f: write one of law, seconds, edges_s with weights, and log"),
        (Times(law=Law.FIXED, mean_s=1, seconds=(1,)), "f: write one of law, seconds, edges_s with weights, and log"),
        (Times(law=Law.EXPONENTIAL), "f, mean_s: is missing: exponential has a mean"),
        (Times(law=Law.EXPONENTIAL, mean_s=-3), "f, mean_s: -3 is not possible: write more than 0"),
        (
            Times(law=Law.EXPONENTIAL, mean_s=3, variation=2),
            "f, variation: exponential has none: remove it, or write log_normal",
        ),
        (Times(law=Law.LOG_NORMAL, mean_s=3, variation=-1), "f, variation: -1 is not possible: write 0 or more"),
        (Times(law=Law.NEVER), "f, law: this must end: write exponential, log_normal or fixed"),
        (Times(seconds=(1, -1)), "f, seconds: has a negative value, or one without end: write 0 or more"),
        (Times(seconds=(0, 0)), "f, seconds: has no value but 0"),
        (Times(seconds=(1,), mean_s=3), "f: mean_s and variation belong to a law: remove them"),
        (Times(seconds=(1,), kinds=("NE",)), "f, kinds: belongs to a log: remove it"),
        (Times(seconds=(1,), weights=(1,)), "f, weights: edges_s and weights belong together"),
        (Times(edges_s=(0, 1), weights=(1, 1)), "f, edges_s: 2 weights need 3 edges: there are 2"),
        (Times(edges_s=(0, 2, 1), weights=(1, 1)), "f, edges_s: must grow, from 0 or more"),
        (Times(edges_s=(0, 1), weights=(0,)), "f, weights: must be 0 or more, and not all 0"),
    ],
)
def test_what_is_impossible_is_one_clear_line(value: float | Times, problem: str) -> None:
    assert [f"{field}: {message}" for field, message in problems_of_times(value, "f")] == [problem]


def test_only_patience_may_never_end() -> None:
    never = Times(law=Law.NEVER)

    assert list(problems_of_times(never, "f", may_never_end=True)) == []
    assert mean_s_of(never) == math.inf
