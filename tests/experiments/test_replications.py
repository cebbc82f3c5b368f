"""The stopping rule: when it looks, how many more it asks for, and when it gives up."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pytest

from router.core import RouterError
from router.core.model import Quality
from router.experiments.kpis import kpis_of
from router.experiments.replications import REPLICATIONS_MIN, Precision, replicate, replications_next
from router.experiments.runs import Runs, Task
from router.simulation.centre import Run
from router.simulation.counts import Counts, RunCounts, Scope
from router.simulation.statistics import interval

KPIS = kpis_of(Quality())


class MadeUp:
    """Runs of which each replication's service level is told."""

    def __init__(self, level: Callable[[int], int], answered: int = 100) -> None:
        self.rounds: list[list[int]] = []
        self._level = level
        self._answered = answered

    def play(self, tasks: Sequence[Task], *, on_day: Callable[[], None] = lambda: None) -> list[Run]:
        self.rounds.append([task.replication for task in tasks])
        return [self._run(task.replication) for task in tasks]

    def _run(self, replication: int) -> Run:
        counts = Counts(answered=self._answered, answered_soon=self._level(replication) if self._answered else 0)
        return Run(
            off=None, replication=replication, counts=RunCounts(by_scope={Scope.ALL: {"all": counts}}, days=1), days=(),
            breaches=(), breach_count=0, plan_changes=(), overrides_in_books=0, records=1, rejected={}, left=0,
            callers_digest="c", decisions_digest="d",
        )  # fmt: skip


def played(
    made_up: MadeUp, precision: Precision | None, replications: int = 1, processes: int = 1
) -> tuple[list[Run], bool | None]:
    runs, stopped = replicate(
        cast(Runs, made_up), replications=replications, precision=precision, kpis=KPIS, processes=processes
    )
    return runs, None if stopped is None else stopped.is_met


def wanting(relative: float, most: int = 200, *on: str) -> Precision:
    return Precision(relative=relative, on=on or ("service_level",), replications_max=most)


def test_without_a_rule_there_are_as_many_as_asked_for() -> None:
    made_up = MadeUp(lambda _: 80)

    runs, is_met = played(made_up, None, 3)

    assert [run.replication for run in runs] == [0, 1, 2]
    assert is_met is None


def test_it_does_not_look_before_the_tenth() -> None:
    """Although all are alike, and two would do."""
    made_up = MadeUp(lambda _: 80)

    runs, is_met = played(made_up, wanting(0.05))

    assert made_up.rounds == [list(range(10))]
    assert (len(runs), is_met) == (10, True)


def test_it_goes_on_in_rounds_until_the_interval_is_narrow() -> None:
    made_up = MadeUp(lambda replication: 60 + 20 * (replication % 2))

    runs, is_met = played(made_up, wanting(0.05))

    assert is_met
    assert len(made_up.rounds) > 1
    assert [run.replication for run in runs] == list(range(len(runs)))
    # Of 70 %, ± 10: t(n - 1) * 10 / sqrt(n) <= 3.5 from 35 on.
    assert 33 <= len(runs) <= 40


def test_it_gives_up_when_the_replications_run_out() -> None:
    runs, is_met = played(MadeUp(lambda replication: 100 * (replication % 2)), wanting(0.01, 25))

    assert (len(runs), is_met) == (25, False)


def test_a_figure_without_data_can_never_be_precise() -> None:
    with pytest.raises(RouterError, match="no data"):
        played(MadeUp(lambda _: 0, answered=0), wanting(0.05))


def test_a_figure_that_is_zero_in_all_replications_is_known() -> None:
    assert played(MadeUp(lambda _: 0), wanting(0.05)) == (played(MadeUp(lambda _: 0), None, 10)[0], True)


def test_the_next_round_follows_the_square_root_law_and_fills_the_processes() -> None:
    assert replications_next(10, 1.2, processes=1, replications_max=200) == 15
    assert replications_next(10, 1.2, processes=4, replications_max=200) == 18
    assert replications_next(10, 9.0, processes=1, replications_max=200) == 20
    assert replications_next(10, 1.001, processes=1, replications_max=200) == 11
    assert replications_next(150, 9.0, processes=8, replications_max=200) == 200


def test_stopping_costs_about_a_point_and_a_half_of_coverage() -> None:
    """Of 40,000 stopped runs 93.6 % of the intervals cover the truth, instead of 95 %; these are a tenth as many."""
    rng = np.random.default_rng(20260801)
    covered = 0
    for _ in range(4_000):
        values = rng.normal(50, 5, REPLICATIONS_MIN)
        while True:
            found = interval(values, confidence=0.95)
            too_wide = found.half_width / found.estimate / 0.05
            if too_wide <= 1:
                break
            wanted = replications_next(len(values), too_wide, processes=2, replications_max=200)
            values = np.append(values, rng.normal(50, 5, wanted - len(values)))
        covered += found.contains(50)

    assert 0.925 <= covered / 4_000 <= 0.947
