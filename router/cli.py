"""The ``router`` command."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, NamedTuple, NoReturn
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.command_line import (
    CONNECT_TIMEOUT_S,
    AsJson,
    Config,
    UsageError,
    asked_live,
    check_writable,
    connected,
    console,
    errors,
    help_without_subcommand,
    in_journal,
    organisation_of,
    print_json,
    working,
)
from router.core import OrganisationError, Problem, RouterError
from router.core.decisions import Decision
from router.core.events import AgentEvent
from router.core.explain import Explanation
from router.core.model import CallId, OrganisationDescription, OwnerMode, OwnerWait, PortfolioId
from router.core.organisation import Organisation
from router.experiments.commands import CsvOption, ReportOption, simulate
from router.experiments.compare_commands import compare, show_comparison
from router.experiments.comparison import Comparison
from router.experiments.replays import TODAY, compared, policies_against, replayed_under
from router.gateway import Gateway
from router.journal_tools.compaction import compact
from router.journal_tools.export import export, prove
from router.journal_tools.verification import verify
from router.planning.move_commands import plan_app
from router.planning.portfolio_commands import portfolio_app
from router.planning.sizes import too_many_backups
from router.planning.staffing_commands import roster_app, staffing
from router.play import Platform
from router.reports.commands import report_app
from router.reports.graph import GraphSummary, as_text, find_portfolio, summarise_graph
from router.service.app import (
    Addresses,
    access_of,
    embedded_url_of,
    keeping_of,
    limits_of,
    serve,
    warnings_of,
)
from router.service.decider import Decided
from router.settings import Settings, SettingsError, load_settings
from router.share_commands import share_app
from router.simulation.callers import Caller
from router.simulation.calllog import LogMapping, read_calls
from router.simulation.calllog import load_mapping as read_mapping
from router.simulation.generator import generate_day
from router.simulation.inference import ReplayPolicy, infer
from router.simulation.play_log import mapped_onto
from router.simulation.replay import Replay
from router.simulation.replay import replay as replay_log
from router.simulation.results import as_json, as_table
from router.simulation.scenario import ScenarioError
from router.terminal import (
    decision_line,
    explanation_view,
    notes_view,
    problems_view,
    proof_view,
    size_in_words,
    tally_lines,
    verification_view,
)

__all__ = ["app", "main"]

_EXIT_ERROR: Final = 1
_EXIT_INTERRUPTED: Final = 130
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PLAYER_STOP_S: Final = 4.0
_PLAY_HOURS: Final = 8.0
# Slower than life, the router's own limits would run out before callers and agents have acted.
_SPEED_MIN: Final = 1.0
_SPEED_MAX: Final = 1_000.0
_REFUSALS_SHOWN: Final = 10
# Drawing progress costs more than recovering a record.
_RECORDS_PER_UPDATE: Final = 1_000


app = typer.Typer(
    help="Routes every call to the agent who owns the client, then to wider rings of the organisation.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
journal_app = typer.Typer(
    help="Verify, export or compact the journal.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(journal_app, name="journal")
app.add_typer(portfolio_app, name="portfolio")
app.add_typer(plan_app, name="plan")
app.add_typer(roster_app, name="roster")
app.command()(staffing)
app.command()(simulate)
app.command()(compare)
app.add_typer(report_app, name="report")
app.add_typer(share_app, name="share")


Mapping = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="What the log's columns mean (TOML).", show_default="the .toml of the log's name beside it"
    ),
]


def main() -> None:
    """Run the command; an error is one line that says what to do.

    The exit status is 0 if all went well, 1 after an error, 2 if the command was not understood and 130 if it was
    interrupted.
    """
    try:
        status = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        status = error.exit_code
        if error.format_message():
            _show_error(f"{error.format_message().rstrip('.')}; see {_path_of(error)} --help")
    except (OrganisationError, ScenarioError, SettingsError) as error:
        status = _EXIT_ERROR
        _show_problems(error.problems, errors)
    except OSError as error:
        status = _EXIT_ERROR
        _show_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (RouterError, ValueError) as error:
        status = _EXIT_ERROR
        _show_error(str(error))
    sys.exit(status)


def _path_of(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "router"


def _show_error(message: str) -> None:
    errors.print("error:", style="red", end=" ")
    errors.print(message, markup=False, soft_wrap=True)


def _show_problems(problems: tuple[Problem, ...], out: Console) -> None:
    if len(problems) == 1:
        out.print("error:", style="red", end=" ")
        out.print(str(problems[0]), markup=False, soft_wrap=True)
    else:
        out.print(f"[red]error:[/red] {len(problems)} problems")
        out.print(problems_view(problems))


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(f"router {version('portfolio-router')}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    help_without_subcommand(context)


@journal_app.callback()
def _journal(context: typer.Context) -> None:
    help_without_subcommand(context)


@app.command()
def run(
    config: Config = Path(),
    show: Annotated[bool, typer.Option("--show", help="Print decisions as they are made.")] = False,
    play_speed: Annotated[
        float | None,
        typer.Option(
            "--play",
            metavar="SPEED",
            min=_SPEED_MIN,
            max=_SPEED_MAX,
            help="Also play generated callers and agents, so many times as fast as life.",
        ),
    ] = None,
    always_open: Annotated[
        bool, typer.Option("--always-open", help="Take no notice of opening hours: for trying things.")
    ] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait until the router at work on this journal falls silent; take over.")
    ] = False,
) -> None:
    """Route calls until stopped.

    SIGTERM or Ctrl-C stops it, and a second one stops it at once. SIGHUP reads the organisation's files again.
    """
    settings = load_settings(config, os.environ)
    _log_to_stderr(logging.INFO)
    player: subprocess.Popen[bytes] | None = None
    progress = _progress("recovering", "records", quiet=False)
    task = progress.add_task("recovering", total=None)

    def on_record(offset: int) -> None:
        progress.update(task, completed=offset)

    def on_started(addresses: Addresses) -> None:
        nonlocal player
        progress.stop()
        embedded = " (embedded broker)" if addresses.broker_is_embedded else ""
        console.print(f"[bold]router[/bold] {version('portfolio-router')}")
        lines = [
            f"  bus        {addresses.broker}{embedded}, shard {settings.mqtt.shard}",
            f"  state      {addresses.http}/api/state",
            f"  why        router explain CALL {config}",
            f"  metrics    {addresses.http}/metrics",
            f"  journal    {settings.journal.file}",
        ]
        if play_speed is not None:
            player = _start_player(config, play_speed)
            lines.append(f"  play       generated callers and agents, {play_speed:g} times as fast as life")
        console.print("\n".join(lines), markup=False, soft_wrap=True)

    def on_standby() -> None:
        progress.stop()
        console.print(f"standing by for the router at work on {settings.journal.file}", markup=False, soft_wrap=True)

    async def on_stopping() -> None:
        errors.print("stopping; once more stops at once")
        if player is not None:
            # Its callers hang up, which the router still has to hear.
            player.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(player.wait, _PLAYER_STOP_S)

    def watch(at_ms: int, decided: Decided) -> None:
        if show and not _show_decision(at_ms, decided.decision):
            signal.raise_signal(signal.SIGTERM)

    try:
        with progress:
            uvloop.run(
                serve(
                    settings,
                    version=version("portfolio-router"),
                    on_started=on_started,
                    on_stopping=on_stopping,
                    on_record=on_record,
                    watch=watch,
                    on_standby=on_standby if standby else None,
                    change=_without_hours if always_open else _as_it_is,
                )
            )
    finally:
        if player is not None:
            player.kill()
            player.wait()
    console.print("stopped; every accepted call is in the journal")


def _start_player(config: Path, speed: float) -> subprocess.Popen[bytes]:
    """Start ``router play`` in a process of its own, as a platform would be.

    It ends when its standard input does, so even if this process is killed. Ctrl-C reaches this process alone.
    """
    command = [sys.executable, "-m", "router", "play", str(config), "--speed", str(speed), "--attached"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _as_it_is(description: OrganisationDescription) -> OrganisationDescription:
    return description


def _without_hours(description: OrganisationDescription) -> OrganisationDescription:
    portfolios = (msgspec.structs.replace(each, hours=(), closed_on=()) for each in description.portfolios)
    return msgspec.structs.replace(description, portfolios=tuple(portfolios))


@app.command()
def check(config: Config = Path(), json: AsJson = False) -> None:
    """Check settings and organisation: all problems at once.

    What is wrong with the files that hold secrets is a warning: the router may run as another user than who checks.
    """
    try:
        settings = load_settings(config, os.environ)
        description = organisation_of(settings, quiet=json)
    except (OrganisationError, SettingsError) as error:
        if json:
            print_json({"problems": [each._asdict() for each in error.problems]})
        else:
            _show_problems(error.problems, console)
        raise typer.Exit(_EXIT_ERROR) from None
    counts = {
        name: len(getattr(description, name))
        for name in ("sites", "teams", "agents", "portfolios", "clients", "skills")
    }
    warnings = (*warnings_of(settings), *too_many_backups(description, settings.portfolios.backups_max))
    if json:
        print_json({"problems": [], "warnings": warnings, **counts})
    else:
        for warning in warnings:
            console.print("warning:", style="yellow", end=" ")
            console.print(warning, markup=False, soft_wrap=True)
        console.print("[green]no problems[/green]: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def play(
    config: Config = Path(),
    url: Annotated[str | None, typer.Option(metavar="URL", help="The broker.", show_default="as configured")] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A recorded log to take callers from.", show_default="made up")
    ] = None,
    mapping: Mapping = None,
    speed: Annotated[
        float, typer.Option(min=_SPEED_MIN, max=_SPEED_MAX, help="How many times as fast as life.", metavar="SPEED")
    ] = 1.0,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000,
            metavar="HOURS",
            help="How long to play, on the callers' clock.",
            show_default=f"{_PLAY_HOURS:g}, or as long as the log",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="For everything that is made up.")] = 1,
    show: Annotated[bool, typer.Option("--show", help="Print decisions as they arrive.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    json: AsJson = False,
    attached: Annotated[bool, typer.Option("--attached", hidden=True)] = False,
) -> None:
    """Play callers and agents against a running router.

    It is a telephony platform in miniature. Ctrl-C lets all callers hang up and says what was played.
    """
    if mapping is not None and log is None:
        raise UsageError("--mapping is for a log, which --log is to name")
    settings = load_settings(config, os.environ)
    _log_to_stderr(logging.WARNING)
    no_bar = quiet or json or show or attached
    organisation = Organisation(organisation_of(settings, quiet=no_bar))
    with working("choosing callers", no_bar):
        scene = _recorded_scene(organisation, log, mapping, hours, seed) if log else _made_up(organisation, hours, seed)
    progress = _progress("playing", "calls", quiet=no_bar)
    task = progress.add_task("playing", total=len(scene.callers))
    gateway = Gateway(
        url or settings.mqtt.url or embedded_url_of(settings),
        access=access_of(settings),
        shard=settings.mqtt.shard,
        connect_timeout_s=CONNECT_TIMEOUT_S,
    )
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        platform.close()
        # The next one ends it at once.
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)

    def watch(decision: Decision) -> None:
        progress.update(task, completed=platform.arrived)
        if show and not _show_decision(_now_ms(), decision):
            interrupt()

    platform = Platform(gateway, speed=speed, seed=seed, watch=watch)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        async with connected(gateway, config):
            for number in _STOP_SIGNALS:
                loop.add_signal_handler(number, interrupt)
            if attached:
                # The router has gone, and with it everybody to whom a hang-up could be told.
                loop.add_reader(sys.stdin.fileno(), os._exit, _EXIT_INTERRUPTED)
            await platform.play(scene.callers, scene.presence, duration_s=scene.duration_s)

    with progress:
        uvloop.run(go())
    tally = platform.tally()
    if json:
        print_json(msgspec.to_builtins(tally))
    elif not quiet and not (attached and interrupted):
        console.print("\n".join(tally_lines(tally)), markup=False)
    if interrupted:
        raise typer.Exit(_EXIT_INTERRUPTED)


class _Scene(NamedTuple):
    """Who plays, and for how long on the callers' clock."""

    callers: Sequence[Caller]
    presence: Sequence[tuple[int, AgentEvent]]
    duration_s: float


def _made_up(organisation: Organisation, hours: float | None, seed: int) -> _Scene:
    duration_s = math.ceil(3_600 * (hours or _PLAY_HOURS))
    day = generate_day(organisation, seed=seed, start_ms=_now_ms(), duration_s=duration_s)
    return _Scene(day.callers, day.presence, duration_s)


def _recorded_scene(
    organisation: Organisation, log: Path, mapping: Path | None, hours: float | None, seed: int
) -> _Scene:
    """The callers of the log, and agents who are made up."""
    columns = _mapping_for(log, mapping)
    start_ms = _now_ms()
    recorded = infer(read_calls(log, columns).calls, columns).callers
    callers = mapped_onto(recorded, organisation, start_ms=start_ms, seed=seed)
    duration_s = math.ceil(3_600 * hours if hours else (callers[-1].arrived_ms - start_ms) / 1_000 + 1)
    callers = [caller for caller in callers if caller.arrived_ms - start_ms <= 1_000 * duration_s]
    day = generate_day(organisation, seed=seed, start_ms=start_ms, duration_s=duration_s)
    return _Scene(callers, day.presence, duration_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The call log: CSV, plain or gzipped.")],
    mapping: Mapping = None,
    owners: Annotated[bool, typer.Option(help="Give clients their imputed owners.")] = True,
    owner_mode: Annotated[
        OwnerMode,
        typer.Option(metavar="MODE", help="prefer: widen after the owner's wait; strict: wait for the owner."),
    ] = OwnerMode.PREFER,
    owner_wait_s: Annotated[
        int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="How long a call may be held for its owner.")
    ] = 0,
    owner_worth_s: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=86_400,
            metavar="SECONDS",
            help="Predict the owner wait: an answer by the owner is worth so many seconds of waiting.",
        ),
    ] = None,
    own_first: Annotated[bool, typer.Option(help="Freed agents take calls of own clients first.")] = True,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:FIELD=VALUE,...",
            help="Replay once more with this changed, and compare: 'wait 20: owner_wait_s=20'. May be repeated.",
        ),
    ] = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    json: AsJson = False,
) -> None:
    """Run a recorded day or month through the engine.

    The engine is the one that runs live, the time is virtual. What it makes of the callers is shown beside what the log
    says happened; with --against also beside other policies, with the differences day by day.
    """
    if (csv is not None or report is not None) and not against:
        raise UsageError("--csv and --report are of a comparison: say with --against what to compare with")
    check_writable(csv, report)
    started_s = time.monotonic()
    policy = ReplayPolicy(
        owners=owners, owner_mode=owner_mode, owner_wait_s=owner_wait_s, own_first=own_first and owners
    )
    if owner_worth_s is not None:
        if owner_wait_s == 0 or owner_mode is OwnerMode.STRICT:
            raise UsageError(
                "--owner-worth-s predicts how long it pays to wait for an owner who is preferred: say how long that "
                "may be at most (--owner-wait-s 300), and leave --owner-mode at prefer"
            )
        policy = msgspec.structs.replace(policy, owner_wait=OwnerWait.PREDICTED, owner_worth_s=owner_worth_s)
    others = policies_against(against or [], policy)
    columns = _mapping_for(log, mapping)
    with working("reading the log", json):
        read = read_calls(log, columns)
    with working("inferring what it does not say", json):
        inferred = infer(read.calls, columns, policy=policy)
    progress = _progress("replaying", "calls", quiet=json)
    with progress:
        task = progress.add_task("replaying", total=len(inferred.callers) * (1 + len(others)))
        result = replay_log(inferred, on_caller=lambda _: progress.advance(task))
        replays = {TODAY: result} | {
            name: replayed_under(read.calls, columns, each, on_caller=lambda _: progress.advance(task))
            for name, each in others.items()
        }
    comparison = compared(log.name, inferred.callers, replays, ZoneInfo(columns.time_zone)) if others else None
    if json:
        document = msgspec.json.decode(as_json(log=result.log, replayed=result.replayed))
        document |= {"decisions": result.run.decisions, "digest": result.run.digest, "inferred": inferred.notes}
        document |= {"rows": msgspec.to_builtins(read.report)}
        if comparison is None:
            print_json(document)
        else:
            show_comparison(
                comparison,
                what=_recorded_words(log, result, comparison),
                csv=csv,
                report=report,
                json=True,
                more=document,
            )
        return
    rows = msgspec.structs.replace(read.report, refusals=read.report.refusals[:_REFUSALS_SHOWN])
    console.print("\n".join(rows.lines()), markup=False)
    if rows.rows_refused > len(rows.refusals):
        console.print(f"... and {rows.rows_refused - len(rows.refusals)} more refused")
    console.print("\nWhat the log does not say was inferred:")
    console.print(notes_view(inferred.notes))
    console.print()
    console.print(
        as_table(log=result.log, replayed=result.replayed, title=f"{escape(log.name)}: the log, and the router")
    )
    if comparison is not None:
        show_comparison(comparison, what=_recorded_words(log, result, comparison), csv=csv, report=report, json=False)
    console.print(f"{result.run.decisions} decisions, digest {result.run.digest}; {time.monotonic() - started_s:.1f} s")


def _recorded_words(log: Path, result: Replay, comparison: Comparison) -> str:
    """What was played, for somebody who sees only the page."""
    logged = result.log
    level = "no data" if logged.total.service_level is None else f"{100 * logged.total.service_level:.1f} %"
    return (
        f"The recorded callers of {log.name}, {logged.total.offered:,} calls on {comparison.replications} days, "
        "through the very engine that routes live calls: under today's policy, and under others. What a log does not "
        "say, such as agents' hours, skills, owners and patience, was inferred from it. By the log itself "
        f"{level} were answered within {logged.threshold_s} s ({logged.variant}). Differences are taken day by day."
    )


@app.command()
def explain(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The id of the call.")],
    config: Config = Path(),
    show_all: Annotated[bool, typer.Option("--all", help="Show every agent.")] = False,
    json: AsJson = False,
) -> None:
    """Why a call waits, or why it went where it went.

    The answer goes through all agents. If no router is running, it comes from the journal.
    """
    settings = load_settings(config, os.environ)
    explanation = asked_live(settings, f"/api/explain/{quote(call_id, safe='')}", Explanation)
    if explanation is None:
        explanation = _explained_from_journal(settings, CallId(call_id))
    if json:
        print_json(msgspec.to_builtins(explanation))
    else:
        console.print(explanation_view(explanation, show_all=show_all))


def _explained_from_journal(settings: Settings, call_id: CallId) -> Explanation:
    decider = in_journal(settings)
    found = decider.engine.explain(call_id, now_ms=decider.now_ms) if decider is not None else None
    if found is None:
        _fail(f"the journal {settings.journal.file} knows no call {call_id}, or has forgotten it; check the id")
    return found


@journal_app.command("verify")
def verify_journal(
    config: Config = Path(),
    exports: Annotated[
        list[Path] | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="Prove this export against the journal instead; again for the one that follows on it.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Check that the journal is whole, and that a replay leads to the states in its snapshots.

    It only reads, and a router may be at work meanwhile. The exit status is 1 if anything is wrong.
    """
    settings = load_settings(config, os.environ)
    file, shard = settings.journal.file, settings.mqtt.shard
    progress = _progress("verifying", "records", quiet=json)
    with progress:
        on_record = _showing(progress)
        if exports:
            proof = prove(file, shard, exports, on_record=lambda done: on_record(done, None))
            document, view, problems = msgspec.to_builtins(proof), proof_view(proof), proof.problems
        else:
            found = verify(file, shard, limits=limits_of(settings), on_record=on_record)
            document, view, problems = msgspec.to_builtins(found), verification_view(found), found.problems
    if json:
        print_json(document | {"problems": [each._asdict() for each in problems]})
    else:
        console.print(view)
        if problems:
            _show_problems(problems, console)
    if problems:
        raise typer.Exit(_EXIT_ERROR)


@journal_app.command("export")
def export_journal(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Written gzipped if it ends in .gz.")],
    config: Config = Path(),
    from_offset: Annotated[
        int | None, typer.Option(min=1, metavar="OFFSET", help="The first record.", show_default="the first there is")
    ] = None,
    until_offset: Annotated[
        int | None, typer.Option(min=1, metavar="OFFSET", help="The last record.", show_default="the last there is")
    ] = None,
    bodies: Annotated[
        bool,
        typer.Option(
            "--bodies/--no-bodies",
            help="Without bodies and callers' pseudonyms, it is for reading alone and can prove nothing.",
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write the journal's records to a file, a line of JSON each.

    It only reads, and a router may be at work meanwhile. Keep the export as safe as the journal: it holds the same.
    """
    settings = load_settings(config, os.environ)
    progress = _progress("exporting", "records", quiet=False)
    with progress:
        exported = export(
            settings.journal.file,
            settings.mqtt.shard,
            to,
            from_offset=from_offset,
            until_offset=until_offset,
            bodies=bodies,
            replace=force,
            on_record=_showing(progress),
        )
    console.print(
        f"offsets {exported.first_offset} to {exported.last_offset} exported to {to}, "
        f"{size_in_words(exported.size_bytes)}",
        markup=False,
        soft_wrap=True,
    )


@journal_app.command("compact")
def compact_journal(config: Config = Path()) -> None:
    """Purge what is older than its retention, and give the room back to the file system.

    The router must be stopped. There must be room for the journal twice more while this runs.
    """
    settings = load_settings(config, os.environ)
    keeping = keeping_of(settings)
    progress = _progress("{task.description}", "records", quiet=False)
    task = progress.add_task("", total=None)

    def on_record(offset: int) -> None:
        progress.update(task, completed=offset)

    with progress:
        done = compact(
            settings.journal.file,
            settings.mqtt.shard,
            limits=limits_of(settings),
            retention_days=keeping.retention_days,
            now_ms=_now_ms(),
            on_record=on_record,
            on_step=lambda step: progress.update(task, description=step),
        )
    if keeping.retention_days is None:
        purged = "nothing purged, as journal.retention_days is 0"
    else:
        purged = f"{done.purged} records older than {keeping.retention_days:g} days purged"
    if done.snapshot_offset is not None:
        console.print(f"snapshot written at offset {done.snapshot_offset}")
    console.print(f"{purged}; {size_in_words(done.before_bytes)} before, {size_in_words(done.after_bytes)} after")


def _showing(progress: Progress) -> Callable[[int, int | None], None]:
    """Show on *progress* how many records of how many are done."""
    task = progress.add_task("", total=None)

    def show(done: int, total: int | None) -> None:
        if done % _RECORDS_PER_UPDATE == 0 or done == total:
            progress.update(task, completed=done, total=total)

    return show


@app.command()
def graph(
    config: Config = Path(),
    portfolio: Annotated[str | None, typer.Option(metavar="ID", help="This portfolio alone: its rings.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it to this .png or .svg.")] = None,
    json: AsJson = False,
) -> None:
    """Show the organisation as a graph.

    Who is out of reach, what the absence of an agent, a team or a site breaks, and whom each portfolio reaches.
    """
    settings = load_settings(config, os.environ)
    organisation = Organisation(organisation_of(settings, quiet=json))
    portfolio_id = find_portfolio(portfolio, organisation.portfolios) if portfolio is not None else None
    if figure is not None:
        # Not at the top: matplotlib would make every command wait for it.
        from router.reports.drawing import draw_organisation, draw_portfolio

        with working("drawing", json):
            if portfolio_id is not None:
                draw_portfolio(organisation, portfolio_id, figure)
            else:
                draw_organisation(organisation, figure)
    summary = summarise_graph(organisation)
    if json:
        print_json(msgspec.to_builtins(summary if portfolio_id is None else _narrowed(summary, portfolio_id)))
    else:
        console.print(as_text(summary, portfolio_id))
        if figure is not None:
            console.print(f"drawn to {figure}", markup=False, soft_wrap=True)


def _narrowed(summary: GraphSummary, portfolio_id: PortfolioId) -> GraphSummary:
    """What the summary says about one portfolio."""
    return msgspec.structs.replace(
        summary,
        portfolios=tuple(reach for reach in summary.portfolios if reach.portfolio_id == portfolio_id),
        absences=tuple(
            absence
            for absence in summary.absences
            if any(loss.portfolio_id == portfolio_id for loss in absence.portfolios)
        ),
    )


# --- What the commands share ---


def _mapping_for(log: Path, mapping: Path | None) -> LogMapping:
    beside = log.with_name(log.name.partition(".")[0] + ".toml")
    if mapping is None and not beside.exists():
        raise UsageError(
            f"--mapping is missing, and there is no {beside} either: say what the log's columns mean, as in "
            "config/logs/example.toml"
        )
    return read_mapping(mapping or beside)


def _show_decision(at_ms: int, decision: Decision) -> bool:
    """Print the decision if it is worth it; False: whoever read our output has gone."""
    line = decision_line(at_ms, decision)
    if line is not None:
        try:
            if console.is_terminal:
                console.print(line, no_wrap=True, overflow="ellipsis")
            else:
                console.print(line, soft_wrap=True)
        except SystemExit:  # What rich makes of a closed pipe.
            return False
    return True


def _progress(what: str, unit: str, *, quiet: bool) -> Progress:
    return Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(),
        console=errors, transient=True, disable=quiet or not errors.is_terminal,
    )  # fmt: skip


class _LogHandler(logging.Handler):
    """Writes where progress bars are drawn, so that neither spoils the other."""

    def emit(self, record: logging.LogRecord) -> None:
        errors.print(self.format(record), markup=False, soft_wrap=True)


def _log_to_stderr(level: int) -> None:
    handler = _LogHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("router").setLevel(level)


def _fail(message: str) -> NoReturn:
    raise RouterError(message)
