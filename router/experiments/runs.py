"""Runs of one scenario side by side: where there are several, each in a process of its own."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from msgspec import Struct

from router.core import Limits, RouterError
from router.core.model import OrganisationDescription
from router.simulation.centre import Off, Run, play
from router.simulation.scenario import Scenario

__all__ = ["Task", "play_all"]


class Task(Struct, frozen=True, kw_only=True):
    """A run that is to be made."""

    off: Off | None = None
    journal: Path | None = None


def play_all(
    tasks: Sequence[Task],
    scenario: Scenario,
    description: OrganisationDescription,
    *,
    limits: Limits,
    shard: str,
    on_day: Callable[[], None] = lambda: None,
) -> list[Run]:
    """The runs of *tasks*, in their order, all at once.

    Args:
        tasks: What tells the runs apart.
        scenario: For all of them, see `play`.
        description: As it is written.
        limits: Of the router.
        shard: Of the journal.
        on_day: Told of each day of each run, for showing progress.

    Raises:
        RouterError: One of them could not be played.
    """
    if len(tasks) == 1:
        (task,) = tasks
        run = play(
            scenario, description, limits=limits, off=task.off, journal=task.journal, shard=shard,
            on_day=lambda _: on_day(),
        )  # fmt: skip
        return [run]
    # Not forked: this process may have threads, such as that of a progress bar.
    context = multiprocessing.get_context("spawn")
    processes, places = [], {}
    runs: dict[int, Run] = {}
    try:
        for place, task in enumerate(tasks):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_play, args=(theirs, task, scenario, description, limits, shard))
            process.start()
            processes.append(process)
            theirs.close()
            places[ours] = place
        while places:
            for ready in wait(list(places)):
                assert isinstance(ready, Connection)
                try:
                    told = ready.recv()
                except EOFError:
                    raise RouterError("a run has stopped without a word: see above, or the system's log") from None
                if isinstance(told, RouterError):
                    raise told
                if isinstance(told, Run):
                    runs[places.pop(ready)] = told
                else:
                    on_day()
    finally:
        for process in processes:
            if len(runs) < len(tasks):
                process.terminate()
            process.join()
    return [runs[place] for place in range(len(tasks))]


def _play(
    out: Connection,
    task: Task,
    scenario: Scenario,
    description: OrganisationDescription,
    limits: Limits,
    shard: str,
) -> None:
    try:
        run = play(
            scenario,
            description,
            limits=limits,
            off=task.off,
            journal=task.journal,
            shard=shard,
            on_day=lambda _: out.send(None),
        )
    except RouterError as error:
        out.send(error)
    except KeyboardInterrupt:
        pass  # The one who waits for this has been interrupted as well, and says so.
    else:
        out.send(run)
