"""How many independent replications a figure takes: as many as are asked for, or until its interval is narrow enough.

The stopping rule works in rounds. After the first, of at least `REPLICATIONS_MIN`, each named figure's half-width is
held against its value; while the widest is too wide, as many more are made as the square-root law asks for, at most
twice as many as there are. To look at the data in order to stop favours moments at which the intervals happen to be too
narrow: such intervals cover the truth a little less often than they say (Law & Kelton, Simulation Modeling and
Analysis, on obtaining a specified precision). Ten replications before the first look, and rounds instead of single
steps, keep that small.
"""

from collections.abc import Callable, Sequence
from math import ceil, inf
from typing import Final

from msgspec import Struct

from router.core.errors import RouterError
from router.experiments.kpis import Estimate, Kpi, estimate
from router.experiments.runs import Runs, Task
from router.simulation.centre import Run

__all__ = ["REPLICATIONS_MIN", "Precision", "Stopped", "in_all", "replicate", "replications_next"]

REPLICATIONS_MIN: Final = 10
"""Before the rule looks for the first time."""


class Precision(Struct, frozen=True, kw_only=True):
    """What the stopping rule wants."""

    relative: float
    """Half-width / value of each figure is to be at most this."""
    on: tuple[str, ...]
    """Keys of the figures, each of all calls."""
    replications_max: int


class Stopped(Struct, frozen=True, kw_only=True):
    """How the stopping rule ended."""

    wanted: float
    reached: dict[str, float]
    """Half-width / value, by the keys of the figures."""
    is_met: bool
    """False: the replications ran out first."""


def in_all(kpi: Kpi, runs: Sequence[Run]) -> Estimate:
    """The figure of all calls."""
    return estimate(kpi, [run.counts.total for run in runs])


def replicate(
    runs: Runs,
    *,
    replications: int,
    precision: Precision | None,
    kpis: Sequence[Kpi],
    on_day: Callable[[], None] = lambda: None,
    on_round: Callable[[int], None] = lambda _: None,
    processes: int = 1,
) -> tuple[list[Run], Stopped | None]:
    """Play the first policy again and again, each time with other callers.

    Args:
        runs: Where they are made.
        replications: How many, or how many at least.
        precision: The stopping rule; None: just so many.
        kpis: Among them those that the rule is about.
        on_day: As in `Runs.play`.
        on_round: Told how many replications there will be after the round that begins.
        processes: A round has a multiple of so many, if it can.

    Raises:
        RouterError: A run could not be made, or a figure that the rule is about has no data.
    """
    done: list[Run] = []
    wanted = replications if precision is None else min(max(replications, REPLICATIONS_MIN), precision.replications_max)
    while True:
        on_round(wanted)
        done += runs.play([Task(replication=number) for number in range(len(done), wanted)], on_day=on_day)
        if precision is None:
            return done, None
        reached = _reached(precision, kpis, done)
        widest = max(reached.values())
        is_met = widest <= precision.relative
        if is_met or len(done) >= precision.replications_max:
            return done, Stopped(wanted=precision.relative, reached=reached, is_met=is_met)
        wanted = replications_next(
            len(done), widest / precision.relative, processes=processes, replications_max=precision.replications_max
        )


def replications_next(done: int, too_wide: float, *, processes: int, replications_max: int) -> int:
    """How many there should be after the next round.

    Args:
        done: How many there are.
        too_wide: By how many times the half-width is wider than wanted; more than 1.
        processes: At work at once.
        replications_max: Never more than this.
    """
    # Half as wide takes four times as many.
    needed = 2 * done if too_wide >= 2 else ceil(done * too_wide**2)
    more = max(1, min(needed, 2 * done) - done)
    return min(replications_max, done + processes * ceil(more / processes))


def _reached(precision: Precision, kpis: Sequence[Kpi], runs: Sequence[Run]) -> dict[str, float]:
    reached = {}
    for kpi in kpis:
        if kpi.key in precision.on:
            found = in_all(kpi, runs)
            if found.value is None:
                raise RouterError(f"{kpi.name}: no data, so that no number of replications would make it precise")
            assert found.half_width is not None, "there are ten replications at least"
            reached[kpi.key] = _relative(found.half_width, found.value)
    return reached


def _relative(half_width: float, value: float) -> float:
    if not half_width:
        return 0.0
    return half_width / abs(value) if value else inf
