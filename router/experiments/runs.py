"""Runs of scenarios side by side, each in a process of its own; processes stay for the next run.

A process is told once of every policy, as an organisation of ten thousand clients takes a while to send. Where there is
but one run to make, or one processor, it is made here.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from router.core import Limits, RouterError
from router.core.model import OrganisationDescription
from router.simulation.centre import Off, Run, play
from router.simulation.scenario import Scenario

__all__ = ["Policy", "Runs", "Task", "processors"]


class Policy(Struct, frozen=True, kw_only=True):
    """Callers, agents and an organisation that are to be played."""

    name: str
    scenario: Scenario
    description: OrganisationDescription
    """As it is written."""
    limits: Limits = Limits()
    """Of the router."""
    shard: str = "main"
    """Of a journal that is written."""


class Task(Struct, frozen=True, kw_only=True):
    """A run that is to be made."""

    policy: int = 0
    """Which, of those that `Runs` knows."""
    replication: int = 0
    off: Off | None = None
    journal: Path | None = None


class Runs:
    """Plays *policies*, in as many processes as are told; a context manager that ends them."""

    def __init__(self, policies: Sequence[Policy], *, processes: int) -> None:
        self._policies = tuple(policies)
        self._processes = processes
        self._workers: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process, _ in self._workers:
            process.terminate()
        for process, pipe in self._workers:
            process.join()
            pipe.close()
        self._workers.clear()

    def play(self, tasks: Sequence[Task], *, on_day: Callable[[], None] = lambda: None) -> list[Run]:
        """The runs of *tasks*, in their order.

        Args:
            tasks: What tells the runs apart.
            on_day: Told of each day of each run, for showing progress.

        Raises:
            RouterError: One of them could not be played.
        """
        if min(len(tasks), self._processes) == 1:
            return [_played(self._policies[task.policy], task, on_day) for task in tasks]
        self._start(min(len(tasks), self._processes))
        runs: dict[int, Run] = {}
        left = list(enumerate(tasks))[::-1]
        idle = [pipe for _, pipe in self._workers]
        busy: dict[Connection, int] = {}
        while len(runs) < len(tasks):
            while left and idle:
                place, task = left.pop()
                pipe = idle.pop()
                busy[pipe] = place
                pipe.send(task)
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                try:
                    told = ready.recv()
                except EOFError:
                    raise RouterError("a run has stopped without a word: see above, or the system's log") from None
                if isinstance(told, RouterError):
                    raise told
                if isinstance(told, Run):
                    runs[busy.pop(ready)] = told
                    idle.append(ready)
                else:
                    on_day()
        return [runs[place] for place in range(len(tasks))]

    def _start(self, count: int) -> None:
        # Not forked: this process may have threads, such as that of a progress bar.
        context = multiprocessing.get_context("spawn")
        while len(self._workers) < count:
            ours, theirs = context.Pipe()
            # A daemon ends with us, whatever becomes of us.
            process = context.Process(target=_work, args=(theirs, self._policies), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _played(policy: Policy, task: Task, on_day: Callable[[], None]) -> Run:
    return play(
        policy.scenario,
        policy.description,
        limits=policy.limits,
        off=task.off,
        replication=task.replication,
        journal=task.journal,
        shard=policy.shard,
        on_day=lambda _: on_day(),
    )


def _work(pipe: Connection, policies: Sequence[Policy]) -> None:
    try:
        while True:
            task = pipe.recv()
            try:
                pipe.send(_played(policies[task.policy], task, lambda: pipe.send(None)))
            except RouterError as error:
                pipe.send(error)
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        pass  # The one who waits for this has been interrupted as well, and says so.
