"""The ``router`` command."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.core import OrganisationError, RouterError
from router.core.decisions import Decision
from router.core.explain import Explanation
from router.core.model import CallId, OrganisationDescription, OwnerMode
from router.core.organisation import Organisation
from router.gateway import Gateway
from router.journal import SqliteJournal
from router.play import Platform
from router.reports.graph import as_text, find_portfolio, summarise_graph
from router.service.app import Addresses, checked_organisation, limits_of, pseudonymiser_of, serve
from router.service.decider import Decided, recover
from router.settings import Settings, load_settings
from router.simulation.callers import Caller
from router.simulation.calllog import LogMapping, read_calls
from router.simulation.calllog import load_mapping as read_mapping
from router.simulation.generator import generate_day
from router.simulation.inference import ReplayPolicy, infer
from router.simulation.play_log import mapped_onto
from router.simulation.replay import replay as replay_log
from router.simulation.results import as_json, as_table
from router.terminal import decision_line, explanation_view, problem_lines

__all__ = ["app", "main"]

app = typer.Typer(
    help="Routes every call to the agent who owns the client, then to wider rings of the organisation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_HTTP_TIMEOUT_S: Final = 10.0

Config = Annotated[Path, typer.Argument(help="The settings file, or the directory that holds router.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def main() -> None:
    """Run the command; an error is one line that says what to do."""
    try:
        app()
    except OrganisationError as error:
        errors.print(f"[red]error:[/red] {len(error.problems)} problem(s) in the organisation; nothing was started")
        errors.print(problem_lines(error.problems))
        sys.exit(1)
    except (RouterError, OSError, ValueError) as error:
        errors.print("error:", style="red", end=" ")
        errors.print(str(error), markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def run(
    config: Config,
    show: Annotated[bool, typer.Option(help="Print decisions as they are made.")] = False,
    play_speed: Annotated[
        float | None,
        typer.Option("--play", help="Also play generated callers and agents, so many times as fast as life."),
    ] = None,
    always_open: Annotated[bool, typer.Option(help="Take no notice of opening hours: for trying things.")] = False,
) -> None:
    """Route calls until stopped (SIGTERM or Ctrl-C). SIGHUP reads the organisation's files again."""
    settings = load_settings(config, os.environ)
    playing: list[subprocess.Popen[bytes]] = []
    progress = _progress("recovering", "records")
    task = progress.add_task("recovering", total=None)

    def on_started(addresses: Addresses) -> None:
        progress.stop()
        console.print(f"[bold]router[/bold] {version('portfolio-router')} is routing")
        embedded = " (embedded broker)" if addresses.broker_is_embedded else ""
        console.print(f"  bus        {addresses.broker}{embedded}, shard {settings.mqtt.shard}")
        console.print(f"  state      {addresses.http}/api/state")
        console.print(f"  why        {addresses.http}/api/explain/CALL, or: router explain CALL {config}")
        console.print(f"  metrics    {addresses.http}/metrics")
        console.print(f"  journal    {settings.journal.file}")
        if play_speed is not None:
            # In a process of its own, as a platform would be.
            command = [sys.executable, "-m", "router", "play", str(config), "--speed", str(play_speed), "--quiet"]
            playing.append(subprocess.Popen(command))
            console.print(f"  play       generated callers and agents, {play_speed:g} times as fast as life")

    def watch(at_ms: int, decided: Decided) -> None:
        line = decision_line(at_ms, decided.decision) if show else None
        if line is not None:
            console.print(line, soft_wrap=True)

    try:
        with progress:
            uvloop.run(
                serve(
                    settings,
                    version=version("portfolio-router"),
                    on_started=on_started,
                    on_record=lambda offset: progress.update(task, completed=offset),
                    watch=watch,
                    change=_without_hours if always_open else _as_it_is,
                )
            )
    finally:
        for process in playing:
            process.terminate()
            process.wait()
    console.print("stopped; every accepted call is in the journal")


def _as_it_is(description: OrganisationDescription) -> OrganisationDescription:
    return description


def _without_hours(description: OrganisationDescription) -> OrganisationDescription:
    portfolios = (msgspec.structs.replace(each, hours=(), closed_on=()) for each in description.portfolios)
    return msgspec.structs.replace(description, portfolios=tuple(portfolios))


@app.command()
def check(config: Config, json: AsJson = False) -> None:
    """Check settings and organisation: all problems at once; exit status 1 if there are any."""
    settings = load_settings(config, os.environ)
    try:
        description = checked_organisation(settings, pseudonymiser_of(settings).of)
    except OrganisationError as error:
        if json:
            _print_json({"problems": [each._asdict() for each in error.problems]})
        else:
            console.print(f"[red]{len(error.problems)} problem(s)[/red] in {settings.organisation.file}")
            console.print(problem_lines(error.problems))
        raise typer.Exit(1) from None
    counts = {
        name: len(getattr(description, name))
        for name in ("sites", "teams", "agents", "portfolios", "clients", "skills")
    }
    if json:
        _print_json({"problems": [], **counts})
    else:
        console.print("[green]no problems[/green]: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def play(
    config: Config,
    url: Annotated[str | None, typer.Option(help="The broker; without it, the one of the configuration.")] = None,
    log: Annotated[
        Path | None, typer.Option(help="A recorded log to take callers from; else they are made up.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="How the log's columns are to be read (TOML).")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="So many seconds of callers pass in one.")] = 1.0,
    hours: Annotated[float, typer.Option(min=0.001, max=1000, help="How long to play, on the callers' clock.")] = 8.0,
    seed: Annotated[int, typer.Option(help="For everything that is made up.")] = 1,
    show: Annotated[bool, typer.Option(help="Print decisions as they arrive.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False,
    json: AsJson = False,
) -> None:
    """Play a telephony platform against a running router: callers and agents, recorded or generated."""
    settings = load_settings(config, os.environ)
    organisation = Organisation(checked_organisation(settings, pseudonymiser_of(settings).of))
    embedded = f"mqtt://{settings.mqtt.embedded_host}:{settings.mqtt.embedded_port}"
    broker_url = url or settings.mqtt.url or embedded
    start_ms = time.time_ns() // 1_000_000
    day = generate_day(organisation, seed=seed, start_ms=start_ms, duration_s=round(hours * 3600))
    callers = day.callers
    if log is not None:
        with _working("reading the log", quiet or json):
            columns = _mapping_for(mapping)
            recorded = infer(read_calls(log, columns).calls, columns).callers
        callers = mapped_onto(recorded, organisation, start_ms=start_ms, seed=seed)
    progress = _progress("playing", "calls")
    progress.disable = quiet or json
    task = progress.add_task("playing", total=None)

    async def go() -> Counter[str]:
        def watch(decision: Decision) -> None:
            progress.update(task, completed=platform.counts["arrived"])
            line = decision_line(time.time_ns() // 1_000_000, decision) if show else None
            if line is not None:
                progress.console.print(line, soft_wrap=True)

        async with Gateway(broker_url, shard=settings.mqtt.shard) as gateway:
            platform = Platform(gateway, speed=speed, seed=seed, watch=watch)
            await platform.play(callers, day.presence, duration_s=hours * 3600)
            return platform.counts

    with progress:
        counts = uvloop.run(go())
    if json:
        _print_json(dict(counts))
    elif not quiet:
        console.print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="The call log, CSV, plain or gzipped.")],
    mapping: Annotated[Path | None, typer.Option(help="How its columns are to be read (TOML).")] = None,
    owners: Annotated[bool, typer.Option(help="Give clients their imputed owners.")] = True,
    owner_mode: Annotated[OwnerMode, typer.Option(help="Widen after the owner's wait, or wait for the owner.")] = (
        OwnerMode.PREFER
    ),
    owner_wait_s: Annotated[int, typer.Option(min=0, help="How long a call may be held for its owner.")] = 0,
    own_first: Annotated[bool, typer.Option(help="Freed agents take calls of own clients first.")] = True,
    json: AsJson = False,
) -> None:
    """Run a recorded day or month through the engine in virtual time, beside what the log says happened."""
    started_s = time.monotonic()
    policy = ReplayPolicy(
        owners=owners, owner_mode=owner_mode, owner_wait_s=owner_wait_s, own_first=own_first and owners
    )
    with _working("reading the log", json):
        read = read_calls(log, _mapping_for(mapping))
        inferred = infer(read.calls, _mapping_for(mapping), policy=policy)
    progress = _progress("replaying", "calls")
    progress.disable = json
    with progress:
        task = progress.add_task("replaying", total=len(inferred.callers))

        def on_caller(_: Caller) -> None:
            progress.advance(task)

        result = replay_log(inferred, on_caller=on_caller)
    if json:
        console.print(as_json(log=result.log, replayed=result.replayed), markup=False)
        return
    for line in read.report.lines():
        console.print(line, markup=False)
    console.print("\nWhat the log does not say was inferred:")
    for note in inferred.notes:
        console.print(f"- {note}", markup=False)
    console.print()
    console.print(as_table(log=result.log, replayed=result.replayed, title=f"{log.name}: the log, and the router"))
    console.print(f"{result.run.decisions} decisions, digest {result.run.digest}; {time.monotonic() - started_s:.1f} s")


@app.command()
def explain(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The id of the call.")],
    config: Config,
    show_all: Annotated[bool, typer.Option("--all", help="Show every agent.")] = False,
    json: AsJson = False,
) -> None:
    """Why a call is waiting, or why it went where it went: agent by agent."""
    settings = load_settings(config, os.environ)
    explanation = _explained_live(settings, call_id)
    if explanation is None:
        errors.print("no router answers; asking the journal", style="dim")
        explanation = _explained_from_journal(settings, CallId(call_id))
    if json:
        _print_json(msgspec.to_builtins(explanation))
    else:
        console.print(explanation_view(explanation, show_all=show_all))


def _explained_live(settings: Settings, call_id: str) -> Explanation | None:
    """The running router's answer; None: none is running."""
    from urllib.error import HTTPError, URLError
    from urllib.parse import quote
    from urllib.request import urlopen

    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    url = f"http://{host}:{settings.http.port}/api/explain/{quote(call_id, safe='')}"
    try:
        with urlopen(url, timeout=_HTTP_TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read(), type=Explanation)
    except HTTPError as error:
        _fail(msgspec.json.decode(error.read()).get("error", str(error)))
    except URLError:
        return None


def _explained_from_journal(settings: Settings, call_id: CallId) -> Explanation:
    journal = SqliteJournal(settings.journal.file, read_only=True)
    try:
        decider = recover(journal.read(settings.mqtt.shard), limits=limits_of(settings))
    finally:
        journal.close()
    found = decider.engine.explain(call_id, now_ms=decider.now_ms) if decider is not None else None
    if found is None:
        _fail(f"the journal {settings.journal.file} knows no call {call_id}, or has forgotten it; check the id")
    return found


@app.command()
def graph(
    config: Config,
    portfolio: Annotated[str | None, typer.Option(help="Show the rings of this portfolio.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw it to this file (.png or .svg).")] = None,
    json: AsJson = False,
) -> None:
    """The organisation as a graph: rings of a portfolio, orphans, and what one absence breaks."""
    settings = load_settings(config, os.environ)
    organisation = Organisation(checked_organisation(settings, pseudonymiser_of(settings).of))
    portfolio_id = find_portfolio(portfolio, organisation.portfolios) if portfolio is not None else None
    if figure is not None:
        # Not at the top: matplotlib would make every command wait for it.
        from router.reports.drawing import draw_organisation, draw_portfolio

        if portfolio_id is not None:
            draw_portfolio(organisation, portfolio_id, figure)
        else:
            draw_organisation(organisation, figure)
    summary = summarise_graph(organisation)
    if json:
        _print_json(msgspec.to_builtins(summary))
    else:
        console.print(as_text(summary, portfolio_id))
        if figure is not None:
            console.print(f"drawn to {figure}")


# --- What the commands share ---


def _mapping_for(path: Path | None) -> LogMapping:
    if path is None:
        _fail(
            "--mapping is missing: a TOML file that says what the log's columns mean, such as config/logs/example.toml"
        )
    return read_mapping(path)


def _progress(what: str, unit: str) -> Progress:
    return Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(),
        console=errors, transient=True,
    )  # fmt: skip


@contextmanager
def _working(what: str, quiet: bool) -> Iterator[None]:
    if quiet:
        yield
    else:
        with errors.status(what):
            yield


def _print_json(document: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def _fail(message: str) -> NoReturn:
    raise RouterError(message)
