"""How many calls a second does the live engine simulate in virtual time, and how many does Ciw, on the same models?

The models are single queues with callers who hang up (M/M/n+M, Erlang-A): three of the reference and one of the size of
a contact centre. Both draw their callers, play them, and end with what became of each. Ours are routed by the engine
that runs live, over its public interface: offers, acceptances, leases and all. Ciw (`with_ciw`) is an independent
simulator of queueing networks in pure Python, whose floor knows no more than the model needs.

How it is measured. The two take turns within one process, now one ahead and now the other; each pair gives a ratio, and
the figures are medians. The clock is the processor time of this process, which other processes do not run up. Garbage
is collected before each measurement; during it the collector looks as seldom as in the service, for both. The digest is
that of every decision and its time, in a run that is not timed, in which each caller must fare as a recursion of a few
lines says: a faster wrong answer shows. Ciw's check is how many of its callers hang up, beside ours and what is exact.
"""

import gc
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.engine import engine_kind, processor_name
from router.core.model import Link, TeamId
from router.service.garbage import collecting_seldom
from router.simulation.floor import VirtualFloor
from router.simulation.memoryless import Crew, Kind, MemorylessModel, draw_callers, first_come_first_served, play

__all__ = ["FULL", "TINY", "Measurement", "Report", "Scale", "as_table", "main", "run"]

SEED = 1917


class Model(NamedTuple):
    load: float
    service_s: float
    agents: int
    patience_s: float
    abandoned: float
    """The exact share."""


MODELS = (
    Model(3, 300, 4, 120, 0.140999621),
    Model(8, 240, 10, 180, 0.059517598),
    Model(22, 300, 20, 180, 0.147696350),
    Model(120, 300, 110, 180, 0.096059586),
)


class Scale(NamedTuple):
    """How much is measured."""

    calls: int
    """A measurement."""
    pairs: int
    """Measurements of each simulator on each model."""


FULL = Scale(calls=30_000, pairs=7)
TINY = Scale(calls=500, pairs=2)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One model, played by both."""

    agents: int
    load: float
    service_s: float
    patience_s: float
    calls_per_s: float
    """Simulated calls a second of processor time, by the live engine."""
    ciw_calls_per_s: float
    ratio: float
    """Ours to Ciw's, the median over pairs."""
    abandoned: float
    ciw_abandoned: float
    exact_abandoned: float
    digest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    router: str
    engine: str
    """``interpreted`` or ``compiled``."""
    ciw: str
    python: str
    processor: str
    seed: int
    calls: int
    pairs: int
    processor_share: float
    """Processor time / wall time of the measurements: well below 1 on a machine that is busy with other things."""
    measurements: tuple[Measurement, ...]


class _Times:
    def __init__(self) -> None:
        self.costs_ns: list[int] = []
        self.wall_ns = 0

    def take(self, play_once: Callable[[], object]) -> None:
        gc.collect()
        wall_began_ns, began_ns = time.perf_counter_ns(), time.process_time_ns()
        with collecting_seldom():
            left = play_once()
        self.costs_ns.append(time.process_time_ns() - began_ns)
        self.wall_ns += time.perf_counter_ns() - wall_began_ns
        del left


def run(scale: Scale) -> Report:
    """Measure every model by both, in turns.

    Raises:
        RuntimeError: The engine has served a caller otherwise than first come, first served.
    """
    ours = [_Times() for _ in MODELS]
    ciws = [_Times() for _ in MODELS]
    checks = [_check(model, scale.calls) for model in MODELS]
    for pair in range(scale.pairs):
        for number, model in enumerate(MODELS):
            turns = ((ours[number], _play), (ciws[number], _play_ciw))
            for times, player in turns if pair % 2 == 0 else reversed(turns):
                times.take(partial(player, model, scale.calls, SEED + pair))
    measurements = tuple(
        Measurement(
            agents=model.agents,
            load=model.load,
            service_s=model.service_s,
            patience_s=model.patience_s,
            calls_per_s=scale.calls / (median(our.costs_ns) / 1e9),
            ciw_calls_per_s=scale.calls / (median(ciw.costs_ns) / 1e9),
            ratio=median(theirs / mine for mine, theirs in zip(our.costs_ns, ciw.costs_ns, strict=True)),
            abandoned=check.abandoned,
            ciw_abandoned=check.ciw_abandoned,
            exact_abandoned=model.abandoned,
            digest=check.digest,
        )
        for model, our, ciw, check in zip(MODELS, ours, ciws, checks, strict=True)
    )
    return Report(
        router=version("portfolio-router"),
        engine=engine_kind(),
        ciw=version("ciw"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        processor=processor_name(),
        seed=SEED,
        calls=scale.calls,
        pairs=scale.pairs,
        processor_share=sum(sum(each.costs_ns) for each in ours + ciws) / sum(each.wall_ns for each in ours + ciws),
        measurements=measurements,
    )


def main(*, tiny: bool, as_json: bool) -> None:
    """Run and print."""
    try:
        import benchmarks.with_ciw  # noqa: F401 - to see whether it can be
    except ModuleNotFoundError as missing:
        raise SystemExit(
            f"{missing.name} is not installed, and this benchmark compares with it: "
            "python -m pip install --editable '.[dev]'"
        ) from None
    report = run(TINY if tiny else FULL)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        Console().print(as_table(report))


def as_table(report: Report) -> Table:
    table = Table(
        title="Simulated calls a second (M/M/n+M): the live engine in virtual time, and Ciw",
        caption=f"portfolio-router {report.router}, {report.engine} engine, Ciw {report.ciw}, {report.python}, "
        f"{report.processor}; seed {report.seed}; median of {report.pairs} pairs x {report.calls:,} calls; "
        f"the processor was ours for {report.processor_share:.0%} of the time",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    headings = ("Agents", "Load", "Patience", "Engine", "Ciw", "Ratio", "Gone", "by Ciw", "exact", "Digest")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.measurements:
        table.add_row(
            f"{each.agents}",
            f"{each.load:g}",
            f"{each.patience_s:g} s",
            f"{each.calls_per_s:,.0f}",
            f"{each.ciw_calls_per_s:,.0f}",
            f"{each.ratio:.2f}",
            f"{each.abandoned:.1%}",
            f"{each.ciw_abandoned:.1%}",
            f"{each.exact_abandoned:.1%}",
            each.digest,
        )
    return table


class _Check(NamedTuple):
    """What the runs that are not timed have shown."""

    abandoned: float
    ciw_abandoned: float
    digest: str


def _check(model: Model, calls: int) -> _Check:
    floor = _memoryless(model)
    draw = draw_callers(floor, calls, np.random.default_rng(SEED))
    fates, due = play(floor, draw), first_come_first_served(floor, draw)
    if not (np.array_equal(fates.wait_ms, due.wait_ms) and np.array_equal(fates.answered, due.answered)):
        raise RuntimeError(f"with {model.agents} agents, callers were not served first come, first served")
    digest = VirtualFloor(floor.description).run(draw.callers(floor), floor.presence()).digest
    # The opening is of another law than those who come later.
    return _Check(
        float(1 - fates.answered[draw.opening :].mean()),
        float(1 - _play_ciw(model, calls, SEED).mean()),
        digest[:8],
    )


def _memoryless(model: Model) -> MemorylessModel:
    team = TeamId("team")
    kind = Kind("calls", model.load, model.service_s, model.patience_s, (Link(team),))
    return MemorylessModel([kind], [Crew(team, model.agents)])


# Both give whose call was answered: what they have found out, they must have told.
def _play(model: Model, calls: int, seed: int) -> NDArray[np.bool_]:
    floor = _memoryless(model)
    return play(floor, draw_callers(floor, calls, np.random.default_rng(seed))).answered


def _play_ciw(model: Model, calls: int, seed: int) -> NDArray[np.bool_]:
    # Here, so that the other benchmarks need no Ciw.
    from benchmarks.with_ciw import Queue, draw_and_play

    queue = Queue(model.load, model.service_s, model.agents, model.patience_s)
    return draw_and_play(queue, calls, seed=seed).answered
