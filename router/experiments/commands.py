"""``router simulate``: a scenario played by the engine that runs live, in virtual time."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from router.command_line import AsJson, UsageError, check_writable, console, errors, organisation_of, print_json
from router.core import RouterError
from router.core.organisation import Organisation
from router.experiments.findings import Findings, findings_of
from router.experiments.kpis import Kpi, kpis_of
from router.experiments.replications import REPLICATIONS_MIN, Precision, Stopped, replicate
from router.experiments.results import Results, as_csv, results_of
from router.experiments.runs import Policy, Runs, Task, processors
from router.experiments.summary import as_view, faults_of, summarise
from router.experiments.tables import results_view
from router.service.app import limits_of
from router.settings import load_settings
from router.simulation.centre import Off, Run
from router.simulation.scenario import Scenario, ScenarioError
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario

__all__ = [
    "CsvOption", "ProcessesOption", "ReportOption", "SeedOption", "days_of", "days_progress", "policy_of", "simulate",
]  # fmt: skip

_EXIT_ERROR: Final = 1
_REPLICATIONS_MAX: Final = 200
_SERVICE_LEVEL: Final = "service_level"

SeedOption = Annotated[
    int | None, typer.Option(min=0, metavar="NUMBER", help="Of all chance.", show_default="as the scenario says")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a row a figure there.")]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a page with figures there (HTML).")
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(min=1, max=256, metavar="NUMBER", help="Runs at once.", show_default="one a processor"),
]


def simulate(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="Callers, rosters and time (TOML).")],
    replications: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, metavar="NUMBER", help="Play it so often, each time with other callers.",
            show_default="1, with --precision 10",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Go on until each --on figure is known to so much of its value: 5%."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE", help="What --precision is about; may be repeated.", show_default=_SERVICE_LEVEL),
    ] = None,
    replications_max: Annotated[
        int,
        typer.Option(
            "--max-replications", min=REPLICATIONS_MIN, max=100_000, metavar="NUMBER",
            help="Where --precision gives up.",
        ),
    ] = _REPLICATIONS_MAX,
    seed: SeedOption = None,
    processes: ProcessesOption = None,
    without: Annotated[
        Off | None,
        typer.Option(metavar="RULE", help="Play the same callers once more, without this rule (share)."),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the journal of the run with all rules there, to report from."),
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw shares and waits over the time.")] = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Play a scenario with the engine that runs live, in virtual time.

    The same scenario and seed give the same run. The exit status is 1 if a share of calls fell below its target but for
    the overrides that are counted.
    """
    started_s = time.monotonic()
    is_single = without is not None or journal is not None or svg is not None
    if is_single and (precision is not None or (replications or 1) > 1):
        raise UsageError("--without, --journal and --svg are about one run: leave --replications and --precision out")
    policy = policy_of(scenario, seed=seed, quiet=json)
    kpis = kpis_of(policy.description.quality)
    rule = _precision(precision, on, replications_max, kpis)
    if journal is not None and journal.exists():
        raise RouterError(f"journal {journal} exists already: name a new file, or move that one away")
    check_writable(journal, svg, csv, report)
    at_once = processes or processors()
    stopped: Stopped | None = None
    with days_progress(quiet=json) as (progress, bar):
        days = days_of(policy.scenario)
        if is_single:
            tasks = [Task(journal=journal)] + ([Task(off=without)] if without is not None else [])
            progress.update(bar, total=len(tasks) * days)
            with Runs([policy], processes=len(tasks)) as pool:
                runs = pool.play(tasks, on_day=lambda: progress.advance(bar))
        else:
            with Runs([policy], processes=at_once) as pool:
                runs, stopped = replicate(
                    pool,
                    replications=replications or (REPLICATIONS_MIN if rule is not None else 1),
                    precision=rule,
                    kpis=kpis,
                    on_day=lambda: progress.advance(bar),
                    on_round=lambda wanted: progress.update(bar, total=wanted * days),
                    processes=at_once,
                )
    played = _Played(policy, runs, runs[:1] if is_single else runs, stopped, kpis)
    written = _write(played, journal=journal, svg=svg, csv=csv, report=report)
    faults = faults_of(runs)
    if json:
        summary = summarise(runs[:2] if is_single else runs[:1], policy.scenario, policy.description)
        document = msgspec.to_builtins(msgspec.structs.replace(summary, faults=tuple(faults)))
        print_json(document | {"results": played.results, "findings": played.findings})
    else:
        for view in _views(played, is_single=is_single):
            console.print(view)
        for file in written:
            console.print(f"written to {file}", markup=False, soft_wrap=True)
        console.print(f"{time.monotonic() - started_s:.1f} s")
    for fault in faults:
        errors.print(f"error: {fault}", markup=False, soft_wrap=True)
    if faults:
        raise typer.Exit(_EXIT_ERROR)


def policy_of(
    scenario: Path, *, seed: int | None = None, config: Path | None = None, name: str | None = None, quiet: bool
) -> Policy:
    """A scenario and its organisation, checked.

    Args:
        scenario: The file.
        seed: Instead of the scenario's.
        config: Of the organisation, instead of the scenario's.
        name: Of the policy; None: that of the file.
        quiet: Show no progress.

    Raises:
        OrganisationError, ScenarioError, SettingsError: With all problems.
    """
    read = read_scenario(scenario)
    if seed is not None:
        read = msgspec.structs.replace(read, seed=seed)
    if config is not None:
        read = msgspec.structs.replace(read, config=config)
    settings = load_settings(read.config, os.environ)
    description = organisation_of(settings, quiet=quiet)
    problems = problems_of(read, description)
    if problems:
        raise ScenarioError(problems)
    return Policy(
        name=name or scenario.stem,
        scenario=read,
        description=description,
        limits=limits_of(settings),
        shard=settings.mqtt.shard,
    )


class _Played:
    """What is to be shown."""

    def __init__(
        self, policy: Policy, runs: list[Run], replications: list[Run], stopped: Stopped | None, kpis: tuple[Kpi, ...]
    ) -> None:
        self.policy = policy
        self.runs = runs
        self.kpis = kpis
        quality = policy.description.quality
        self.results: Results = results_of(policy.scenario, quality, replications, stopped)
        self.findings: Findings = findings_of(Organisation(policy.description), [run.counts for run in replications])


def _precision(
    precision: str | None, on: list[str] | None, replications_max: int, kpis: tuple[Kpi, ...]
) -> Precision | None:
    """The stopping rule; None: there is none."""
    if precision is None:
        if on:
            raise UsageError("--on is for --precision, which says how precise the figure is to be")
        return None
    try:
        percent = float(precision.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent < 100:
        raise UsageError(f"--precision {precision}: write a percentage, such as 5%")
    wanted = tuple(on or [_SERVICE_LEVEL])
    known = [kpi.key for kpi in kpis]
    for key in wanted:
        if key not in known:
            raise UsageError(f"--on {key}: there is no such figure; there are {', '.join(known)}")
    return Precision(relative=percent / 100, on=wanted, replications_max=replications_max)


def days_of(scenario: Scenario) -> int:
    return (scenario.ends - scenario.starts).days


class _Bar(NamedTuple):
    progress: Progress
    task: TaskID


@contextmanager
def days_progress(*, quiet: bool) -> Iterator[_Bar]:
    """A bar that counts the days of all runs; its length is to be told."""
    with Progress(
        TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn(),
        console=errors, transient=True, disable=quiet or not errors.is_terminal,
    ) as progress:  # fmt: skip
        yield _Bar(progress, progress.add_task("playing", total=None))


def _write(
    played: _Played, *, journal: Path | None, svg: Path | None, csv: Path | None, report: Path | None
) -> list[Path]:
    """Write what is wanted, and say where."""
    if svg is not None:
        # Not at the top: matplotlib would make every command wait for it.
        from router.experiments.charts import shares_chart

        svg.write_bytes(shares_chart(played.runs, played.policy.description))
    if csv is not None:
        csv.write_text(as_csv(played.results), encoding="utf-8")
    if report is not None:
        from router.experiments.pages import page_of_results

        page = page_of_results(played.results, played.findings, played.kpis, played.policy.description)
        report.write_text(page, encoding="utf-8")
    return [file for file in (journal, svg, csv, report) if file is not None]


def _views(played: _Played, *, is_single: bool) -> Iterator[RenderableType]:
    """By month, with shares and move plans, where there is one run; key figures where nothing else was asked for."""
    description = played.policy.description
    if is_single or (len(played.runs) == 1 and (description.contracts or description.move_plans)):
        yield as_view(summarise(played.runs, played.policy.scenario, description))
    if not is_single:
        yield results_view(played.results, played.findings, played.kpis)
