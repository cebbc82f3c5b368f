"""``router simulate``: a scenario played by the engine that runs live, in virtual time."""

import os
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.command_line import AsJson, console, errors, organisation_of, print_json
from router.core import RouterError
from router.experiments.runs import Task, play_all
from router.experiments.summary import as_view, summarise
from router.service.app import limits_of
from router.settings import load_settings
from router.simulation.centre import Off
from router.simulation.scenario import ScenarioError
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario

__all__ = ["simulate"]

_EXIT_ERROR: Final = 1


def simulate(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Callers, rosters and time (TOML).")],
    without: Annotated[
        Off | None,
        typer.Option(metavar="RULE", help="Play the same callers once more, without this rule (share)."),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the journal of the run with all rules there, to report from."),
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw shares and waits over the time.")] = None,
    json: AsJson = False,
) -> None:
    """Play a scenario with the engine that runs live, in virtual time.

    The same scenario and seed give the same run. The exit status is 1 if a share of calls fell below its target but for
    the overrides that are counted.
    """
    started_s = time.monotonic()
    wanted = read_scenario(scenario)
    settings = load_settings(wanted.config, os.environ)
    description = organisation_of(settings, quiet=json)
    problems = problems_of(wanted, description)
    if problems:
        raise ScenarioError(problems)
    if journal is not None and journal.exists():
        raise RouterError(f"journal {journal} exists already: name a new file, or move that one away")
    tasks = [Task(journal=journal)] + ([Task(off=without)] if without is not None else [])
    with Progress(
        TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn(),
        console=errors, transient=True, disable=json or not errors.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task("playing", total=len(tasks) * (wanted.ends - wanted.starts).days)
        runs = play_all(
            tasks,
            wanted,
            description,
            limits=limits_of(settings),
            shard=settings.mqtt.shard,
            on_day=lambda: progress.advance(bar),
        )
    if svg is not None:
        # Not at the top: matplotlib would make every command wait for it.
        from router.experiments.charts import shares_chart

        svg.write_bytes(shares_chart(runs, description))
    summary = summarise(runs, wanted, description)
    if json:
        print_json(summary)
    else:
        console.print(as_view(summary))
        for written in (journal, svg):
            if written is not None:
                console.print(f"written to {written}", markup=False, soft_wrap=True)
        console.print(f"{time.monotonic() - started_s:.1f} s")
    for fault in summary.faults:
        errors.print(f"error: {fault}", markup=False, soft_wrap=True)
    if summary.faults:
        raise typer.Exit(_EXIT_ERROR)
