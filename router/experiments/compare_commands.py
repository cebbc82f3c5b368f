"""``router compare``: the same callers under several policies."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from router.command_line import AsJson, UsageError, check_writable, console, errors, print_json
from router.core.errors import OrganisationError, Problem
from router.core.organisation import Organisation
from router.experiments.commands import (
    CsvOption,
    ProcessesOption,
    ReportOption,
    SeedOption,
    days_of,
    days_progress,
    policy_of,
)
from router.experiments.comparison import Comparison, Replications, as_csv
from router.experiments.comparison import compare as compare_policies
from router.experiments.comparison_tables import comparison_view
from router.experiments.kpis import kpis_of
from router.experiments.policies import changed, parse_policy
from router.experiments.runs import Policy, Runs, Task, processors
from router.experiments.summary import faults_of
from router.simulation.centre import Run
from router.simulation.scenario import ScenarioError
from router.simulation.scenario_checks import problems_of

__all__ = ["compare", "show_comparison"]

_EXIT_ERROR: Final = 1
_REPLICATIONS: Final = 10


def compare(
    scenarios: Annotated[
        list[Path], typer.Argument(metavar="SCENARIO", help="Each is a policy; one alone with --policy.")
    ],
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", metavar="NAME:FIELD=VALUE,...",
            help="The scenario with fields of all portfolios or teams changed, such as 'wait 20: owner_wait_s=20'; "
            "config=PATH takes another organisation. May be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With which the others are compared.", show_default="the first"),
    ] = None,
    replications: Annotated[
        int,
        typer.Option(min=2, max=100_000, metavar="NUMBER", help="Play each so often, each time with other callers."),
    ] = _REPLICATIONS,
    seed: SeedOption = None,
    processes: ProcessesOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Play the same callers under several policies, and say what clearly differs.

    Policies are scenarios with the same callers and other organisations or rosters, or one scenario with --policy. The
    exit status is 1 if a share of calls fell below its target but for the overrides that are counted.
    """
    started_s = time.monotonic()
    found = _policies(scenarios, policies or [], seed=seed, quiet=json)
    names = [policy.name for policy in found]
    if baseline is not None and baseline not in names:
        raise UsageError(f"--baseline {baseline}: there is no such policy; there are {', '.join(names)}")
    check_writable(csv, report)
    # All policies of one set of callers before the next one.
    tasks = [Task(policy=place, replication=number) for number in range(replications) for place in range(len(found))]
    with days_progress(quiet=json) as (progress, bar):
        progress.update(bar, total=replications * sum(days_of(policy.scenario) for policy in found))
        with Runs(found, processes=processes or processors()) as pool:
            runs = pool.play(tasks, on_day=lambda: progress.advance(bar))
    first = names.index(baseline) if baseline is not None else 0
    by_policy = [runs[place :: len(found)] for place in range(len(found))]
    comparison = compare_policies(
        " and ".join(dict.fromkeys(path.name for path in scenarios)),
        [_replications(policy, each) for policy, each in zip(found, by_policy, strict=True)],
        baseline=first,
    )
    show_comparison(
        comparison,
        what=_what(by_policy[first], replications, len(found)),
        csv=csv,
        report=report,
        json=json,
    )
    if not json:
        console.print(f"{time.monotonic() - started_s:.1f} s")
    faults = [
        f"{policy.name}: {fault}" for policy, each in zip(found, by_policy, strict=True) for fault in faults_of(each)
    ]
    for fault in faults:
        errors.print(f"error: {fault}", markup=False, soft_wrap=True)
    if faults:
        raise typer.Exit(_EXIT_ERROR)


def show_comparison(
    comparison: Comparison,
    *,
    what: str,
    csv: Path | None,
    report: Path | None,
    json: bool,
    more: dict[str, object] | None = None,
) -> None:
    """Print the comparison, and write what is wanted.

    Args:
        comparison: What was found.
        what: What was played, for the page.
        csv: Where to write rows; None: nowhere.
        report: Where to write the page; None: nowhere.
        json: Print it as JSON.
        more: What else is printed as JSON.
    """
    kpis = kpis_of(comparison.quality)
    if csv is not None:
        csv.write_text(as_csv(comparison), encoding="utf-8")
    if report is not None:
        from router.experiments.comparison_pages import page_of_comparison

        report.write_text(page_of_comparison(comparison, kpis, what=what), encoding="utf-8")
    if json:
        print_json({**msgspec.to_builtins(comparison), **(more or {})})
        return
    console.print(comparison_view(comparison, kpis))
    for file in (csv, report):
        if file is not None:
            console.print(f"written to {file}", markup=False, soft_wrap=True)


def _policies(scenarios: list[Path], texts: list[str], *, seed: int | None, quiet: bool) -> list[Policy]:
    """All policies, checked before any is played."""
    if texts and len(scenarios) > 1:
        raise UsageError("--policy is for one scenario: name one, or write each policy as a scenario of its own")
    if len(scenarios) == 1 and not texts:
        raise UsageError("there is only one policy: name a second scenario, or say with --policy what to change")
    found: list[Policy] = []
    wrong: list[Problem] = []
    for path, name in zip(scenarios, _names_of(scenarios), strict=True):
        try:
            found.append(policy_of(path, seed=seed, name=name, quiet=quiet))
        except ScenarioError as error:
            wrong += error.problems
    if wrong:
        raise ScenarioError(wrong)
    for each in texts:
        text = parse_policy(each)
        policy = found[0]
        if text.config is not None:
            policy = policy_of(scenarios[0], seed=seed, config=text.config, quiet=quiet)
        description = changed(policy.description, text)
        try:
            Organisation(description)
        except OrganisationError as error:
            raise OrganisationError(_under(text.name, error.problems)) from error
        problems = problems_of(policy.scenario, description)
        if problems:
            raise ScenarioError(_under(text.name, problems))
        found.append(msgspec.structs.replace(policy, name=text.name, description=description))
    names = [policy.name for policy in found]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UsageError(f"there are two policies of the name {doubled[0]!r}: give each a name of its own")
    return found


def _under(name: str, problems: Sequence[Problem]) -> list[Problem]:
    """What is wrong under the policy of this *name*: the files themselves may be right."""
    return [problem._replace(where=f"policy {name!r}, {problem.where}") for problem in problems]


def _names_of(scenarios: list[Path]) -> list[str]:
    """Of the files; with their directories where files of one name are compared."""
    stems = [path.stem for path in scenarios]
    if len(set(stems)) == len(stems):
        return stems
    return [str(path.with_suffix("")) for path in scenarios]


def _replications(policy: Policy, runs: list[Run]) -> Replications:
    return Replications(
        name=policy.name,
        quality=policy.description.quality,
        counted=tuple(run.counts for run in runs),
        digests=tuple(run.callers_digest for run in runs),
    )


def _what(runs: list[Run], replications: int, policies: int) -> str:
    calls = sum(run.counts.total.arrived for run in runs) / replications
    days = runs[0].counts.days
    return (
        f"The same made-up callers under {policies} policies, around the very engine that routes live calls: {days} "
        f"days with some {calls:,.0f} calls, played {replications} times under each, each time with other callers. All "
        "differences are taken between runs with the same callers."
    )
