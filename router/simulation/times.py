"""How long something lasts, as a scenario says it: a plain mean, a law with its parameters, or what was observed."""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

__all__ = ["Law", "Times", "drawn_ms", "log_normal_ms", "mean_s_of", "problems_of_times", "times_of"]

_EMPIRICAL_MAX = 1_000_000
Seconds = Annotated[tuple[float, ...], Meta(max_length=_EMPIRICAL_MAX)]


class Law(StrEnum):
    """What kind of chance."""

    EXPONENTIAL = "exponential"
    LOG_NORMAL = "log_normal"
    FIXED = "fixed"
    """No chance at all."""
    NEVER = "never"
    """It does not end; for patience."""


class Times(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of: a law, observed values, a histogram, or a log in which they are observed."""

    law: Law | None = None
    mean_s: float | None = None
    variation: float | None = None
    """Of a log-normal law: standard deviation over mean."""
    seconds: Seconds = ()
    """Observed values, each as likely."""
    edges_s: Seconds = ()
    """Of a histogram: where its bins begin, and where the last one ends."""
    weights: Seconds = ()
    """Of its bins; within a bin all values are as likely."""
    log: str | None = None
    """The log_id of a recorded log: what was observed there takes the place of this, see `recorded`."""
    kinds: tuple[str, ...] = ()
    """Of the log, only these kinds of calls; empty: all."""


def times_of(value: "float | Times", law: Law, variation: float = 1.0) -> Times:
    """A plain number is the mean of the law that its field has."""
    if isinstance(value, Times):
        return value
    return Times(law=law, mean_s=value, variation=variation if law is Law.LOG_NORMAL else None)


def mean_s_of(times: Times) -> float:
    """The expectation; without end: infinity."""
    if times.seconds:
        return sum(times.seconds) / len(times.seconds)
    if times.edges_s:
        middles = ((low + high) / 2 for low, high in pairwise(times.edges_s))
        return sum(w * m for w, m in zip(times.weights, middles, strict=True)) / sum(times.weights)
    return math.inf if times.mean_s is None else times.mean_s


def problems_of_times(value: "float | Times", field: str, *, may_never_end: bool = False) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of a value as it was read."""
    if not isinstance(value, Times):
        if not 0 < value < math.inf:
            yield field, f"{value:g} is not possible: write more than 0"
        return
    forms = [value.law is not None, bool(value.seconds), bool(value.edges_s), value.log is not None]
    if sum(forms) != 1:
        yield field, "write one of law, seconds, edges_s with weights, and log"
        return
    if value.law is not None:
        yield from _problems_of_law(value, value.law, field, may_never_end=may_never_end)
    elif value.mean_s is not None or value.variation is not None:
        yield field, "mean_s and variation belong to a law: remove them"
    if value.kinds and value.log is None:
        yield f"{field}, kinds", "belongs to a log: remove it"
    if bool(value.edges_s) != bool(value.weights):
        yield f"{field}, weights", "edges_s and weights belong together"
    elif value.edges_s:
        yield from _problems_of_histogram(value, field)
    if any(not 0 <= each < math.inf for each in value.seconds):
        yield f"{field}, seconds", "has a negative value, or one without end: write 0 or more"
    elif value.seconds and not any(value.seconds):
        yield f"{field}, seconds", "has no value but 0"


def _problems_of_law(value: Times, law: Law, field: str, *, may_never_end: bool) -> Iterator[tuple[str, str]]:
    if law is Law.NEVER:
        if not may_never_end:
            yield f"{field}, law", "this must end: write exponential, log_normal or fixed"
        elif value.mean_s is not None or value.variation is not None:
            yield field, "what never ends has no mean_s and no variation: remove them"
        return
    if value.mean_s is None:
        yield f"{field}, mean_s", f"is missing: {law} has a mean"
    elif not 0 < value.mean_s < math.inf:
        yield f"{field}, mean_s", f"{value.mean_s:g} is not possible: write more than 0"
    if law is not Law.LOG_NORMAL and value.variation is not None:
        yield f"{field}, variation", f"{law} has none: remove it, or write log_normal"
    elif value.variation is not None and not 0 <= value.variation < math.inf:
        yield f"{field}, variation", f"{value.variation:g} is not possible: write 0 or more"


def _problems_of_histogram(value: Times, field: str) -> Iterator[tuple[str, str]]:
    edges, weights = value.edges_s, value.weights
    if len(edges) != len(weights) + 1:
        yield f"{field}, edges_s", f"{len(weights)} weights need {len(weights) + 1} edges: there are {len(edges)}"
    elif not edges[0] >= 0 or not edges[-1] < math.inf or any(not low < high for low, high in pairwise(edges)):
        yield f"{field}, edges_s", "must grow, from 0 or more"
    if any(not 0 <= each < math.inf for each in weights) or not any(weights):
        yield f"{field}, weights", "must be 0 or more, and not all 0"


def drawn_ms(times: Times, stream: np.random.Generator, count: int) -> NDArray[np.int64]:
    """So many values in milliseconds; of what never ends, of no use."""
    if times.law is Law.LOG_NORMAL:
        variation = 1.0 if times.variation is None else times.variation
        return log_normal_ms(stream, times.mean_s or 0.0, variation, count)
    if times.law is Law.EXPONENTIAL:
        return _rounded(stream.exponential(1.0, count) * (times.mean_s or 0.0) * 1000)
    if times.seconds:
        return _rounded(np.asarray(times.seconds)[stream.integers(len(times.seconds), size=count)] * 1000)
    if times.edges_s:
        until = np.concatenate(([0.0], np.cumsum(times.weights)))
        return _rounded(np.interp(stream.random(count) * until[-1], until, times.edges_s) * 1000)
    return np.full(count, round((times.mean_s or 0.0) * 1000), dtype=np.int64)


def log_normal_ms(stream: np.random.Generator, mean_s: float, variation: float, count: int) -> NDArray[np.int64]:
    """With this mean and coefficient of variation: variance = ln(1 + cv²), mu = ln(mean) - variance / 2."""
    variance = math.log1p(variation**2)
    return _rounded(stream.lognormal(math.log(mean_s * 1000) - variance / 2, math.sqrt(variance), count))


def _rounded(values: NDArray[np.float64] | Sequence[float]) -> NDArray[np.int64]:
    return np.rint(values).astype(np.int64)
