"""The long runs: seeds of faults for a given time, and memory over millions of calls; each ends with a table."""

import gc
import logging
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from router.service.garbage import collecting_seldom
from router.service.service import Keeping
from tests.faults.model import Violation
from tests.faults.platform import Habits
from tests.faults.simulation import MEMORY, Plan, Report, Simulation, simulate

console = Console(width=100)
progress = Console(stderr=True, width=100)

# What was measured at this share of a run is compared with what was measured at its end.
_WARM = 0.2
# Pages that the allocator keeps, and the journal's own caches, wander by this much.
_GROWTH_MAX = 1.05
_GROWTH_MB = 8


def soak(seconds: float, first_seed: int) -> int:
    """Simulate until the time is up, in one process a core."""
    processes = os.cpu_count() or 1
    started = time.monotonic()
    totals: dict[str, int] = {}
    failures: list[str] = []
    seeds = 0
    # Fresh processes: whatever a simulation leaves behind must not add up over an hour.
    with get_context("spawn").Pool(processes, maxtasksperchild=200) as pool:
        numbers = iter(range(first_seed, 1 << 62))
        running = [pool.apply_async(_one, (next(numbers),)) for _ in range(2 * processes)]
        while running:
            outcome = running.pop(0).get()
            seeds += 1
            if isinstance(outcome, str):
                failures.append(outcome)
                console.print(outcome, style="red", markup=False)
            else:
                for name, count in outcome.counts.items():
                    totals[name] = totals.get(name, 0) + count
            if time.monotonic() - started < seconds and len(failures) < 10:
                running.append(pool.apply_async(_one, (next(numbers),)))
    _show(totals, seeds, time.monotonic() - started)
    console.print(f"seeds {first_seed} to {first_seed + seeds - 1}; violations: {len(failures)}")
    return 1 if failures or not _adds_up(totals) else 0


def _one(seed: int) -> Report | str:
    logging.disable(logging.CRITICAL)
    try:
        return simulate(seed)
    except Violation as violation:
        return f"{violation}\n  again: python -m tests.faults seed {seed}"
    except Exception as error:
        return f"seed {seed}: {error!r}\n  again: python -m tests.faults seed {seed}"


def _show(totals: dict[str, int], seeds: int, seconds: float) -> None:
    table = Table(title=f"{seeds} seeds of simulated faults in {seconds:.0f} s", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name in sorted(totals):
        table.add_row(name, f"{totals[name]:,}")
    console.print(table)
    count = totals.get
    console.print(
        f"calls: {count('platform arrived', 0):,} sent = {count('calls arrived', 0):,} arrived = "
        f"{count('calls ended', 0):,} ended + {count('calls abandoned', 0):,} abandoned + "
        f"{count('calls fallback', 0):,} to their fallback"
    )


def _adds_up(totals: dict[str, int]) -> bool:
    ends = sum(totals.get(f"calls {how}", 0) for how in ("ended", "abandoned", "fallback"))
    return totals.get("platform arrived", 0) == totals.get("calls arrived", 0) == ends


def memory(calls: int, seed: int) -> int:
    """One router, no faults, many calls: what does it hold on to?"""
    plan = Plan(
        duration_s=float(1 << 40),
        fault_every_s=0,
        # Sixty agents and several times the calls that they can answer: some 800 wait at any time, most hang up, and
        # whatever a call leaves behind in queues, deadlines and memories has every chance to pile up.
        size=10,
        habits=Habits(calls_per_s=40.0, mischief_per_s=2.0),
        # An hour and a quarter.
        keeping=Keeping(snapshot_every=50_000, retention_days=0.05),
        is_audited=False,
        calls_max=calls,
    )
    started = time.monotonic()
    table = Table(title=f"{calls:,} calls in virtual time, seed {seed}", title_justify="left")
    for column in ("calls", "virtual hours", "minutes", "resident MB", "objects", "journal MB"):
        table.add_column(column, justify="right")
    samples: list[tuple[int, float]] = []

    class Watched(Simulation):
        def on_audit(self) -> None:
            arrived = self.platform.counts["arrived"]
            if arrived < calls * (len(samples) + 1) / 20:
                return
            gc.collect()
            samples.append((arrived, _resident_mb()))
            row = (
                f"{arrived:,}",
                f"{self.loop.time() / 3600:,.1f}",
                f"{(time.monotonic() - started) / 60:.1f}",
                f"{samples[-1][1]:.1f}",
                f"{len(gc.get_objects()):,}",
                f"{self.disk.file.stat().st_size / 1e6:.1f}",
            )
            table.add_row(*row)
            progress.print(*row, sep="\t")

    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory, collecting_seldom():
        report = Watched(seed, plan, Path(directory)).run()
    console.print(table)
    early = next(mb for arrived, mb in samples if arrived >= calls * _WARM)
    late = samples[-1][1]
    bound = early * _GROWTH_MAX + _GROWTH_MB
    counts = report.counts
    console.print(f"calls arrived {counts['platform arrived']:,}; events sent {counts['platform sent']:,}")
    console.print(f"resident at {_WARM:.0%}: {early:.1f} MB, at the end: {late:.1f} MB, allowed: {bound:.1f} MB")
    return 0 if late <= bound else 1


def _resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
