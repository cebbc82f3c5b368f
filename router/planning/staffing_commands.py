"""``router staffing`` and ``router roster``: what they take, and what they show."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from router.command_line import (
    AsJson,
    Config,
    UsageError,
    console,
    help_without_subcommand,
    organisation_of,
    print_json,
    working,
)
from router.core.errors import OrganisationError, Problem, RouterError
from router.core.months import PortfolioMonth
from router.core.organisation import Organisation
from router.journal import SqliteJournal
from router.planning.loads import AGENT_HOUR, Load, agents_in_words, load_of_clients, load_of_months, read_load
from router.planning.rosters import OwnersPresent, RosterReport, check_roster
from router.planning.staffing import OCCUPANCY_PERCENT, PRESENT_PERCENT, Hour, Staffing, staffing_of
from router.roster_files import Shift, local_ms, read_roster
from router.service.app import limits_of
from router.service.recovery import recover
from router.settings import Settings, load_settings
from router.wire import decode_record

__all__ = ["roster_app", "staffing"]

_EXIT_ERROR: Final = 1
_ROWS_MAX: Final = 10
_NAMES_MAX: Final = 6

roster_app = typer.Typer(
    help="Check a roster before it is published.", invoke_without_command=True, rich_markup_mode=None
)


@roster_app.callback()
def _roster(context: typer.Context) -> None:
    help_without_subcommand(context)


@roster_app.command("check")
def check(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The settings file, or the directory that holds router.toml.")
    ],
    roster: Annotated[Path, typer.Argument(metavar="ROSTER", help="The shifts: CSV, plain or gzipped.")],
    json: AsJson = False,
) -> None:
    """Check a roster quarter hour by quarter hour.

    Seats, unknown agents, overlapping shifts and work at closed doors are errors, and the exit status is then 1. What
    is worth knowing but may be meant, such as clients whose owner and backups are all away, is told as well.
    """
    settings = load_settings(config, os.environ)
    organisation = Organisation(organisation_of(settings, quiet=json))
    with working("checking the roster", json):
        report = check_roster(organisation, read_roster(roster, organisation))
    if json:
        document = msgspec.to_builtins(report)
        told = {name: [each._asdict() for each in getattr(report, name)] for name in ("problems", "warnings")}
        print_json(document | told | {"sound": report.is_sound})
    else:
        console.print(_roster_view(report))
    if not report.is_sound:
        raise typer.Exit(_EXIT_ERROR)


def staffing(
    config: Config = Path(),
    load: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The work: CSV with portfolio_id and calls_per_hour.",
            show_default="the minutes a month that clients are expected to need",
        ),
    ] = None,
    from_journal: Annotated[
        bool, typer.Option("--from-journal", help="Take the work from what the journal has counted.")
    ] = False,
    roster: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who is there when.", show_default="all agents for a part of their time"),
    ] = None,
    present: Annotated[
        int, typer.Option(min=1, max=100, metavar="PERCENT", help="Of all agents, those there at a moment.")
    ] = PRESENT_PERCENT,
    occupancy: Annotated[
        int, typer.Option(min=1, max=100, metavar="PERCENT", help="Of their time, what may be spent on calls.")
    ] = OCCUPANCY_PERCENT,
    within: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Count only agents whom a call reaches after so long a wait.",
            show_default="until it is handed on",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Set the work that comes in against the people who can do it.

    Where there are too few, it says which calls are short, who can take them, and who cannot help.
    """
    if load is not None and from_journal:
        raise UsageError("--load and --from-journal both say where the work comes from: choose one")
    settings = load_settings(config, os.environ)
    organisation = Organisation(organisation_of(settings, quiet=json))
    with working("looking for bottlenecks", json):
        answer = staffing_of(
            organisation,
            _load(settings, organisation, load, from_journal=from_journal),
            shifts=None if roster is None else _shifts(organisation, roster),
            present_percent=present,
            occupancy_percent=occupancy,
            within_s=within,
        )
    if json:
        print_json(_staffing_document(answer))
    else:
        console.print(_staffing_view(answer))


def _shifts(organisation: Organisation, file: Path) -> tuple[Shift, ...]:
    roster = read_roster(file, organisation)
    if roster.problems:
        raise OrganisationError(roster.problems)
    return roster.shifts


def _load(settings: Settings, organisation: Organisation, file: Path | None, *, from_journal: bool) -> Load:
    if file is not None:
        return read_load(file, organisation)
    if from_journal:
        return _load_of_journal(settings, organisation)
    load = load_of_clients(organisation)
    if load is None:
        raise RouterError(
            "it is not known how much work there is: name a file with --load, use --from-journal, or give the clients "
            "minutes_a_month"
        )
    return load


def _load_of_journal(settings: Settings, organisation: Organisation) -> Load:
    file, shard = settings.journal.file, settings.mqtt.shard
    if not file.exists():
        raise RouterError(f"there is no journal {file}; check the settings, or use --load")
    with closing(SqliteJournal(file, read_only=True)) as journal:
        decider = recover(journal, shard, limits=limits_of(settings))
        load = None
        if decider is not None:
            months = decider.engine.tallies()
            first_ms = _first_ms(journal, shard, months)
            load = load_of_months(organisation, months, first_ms=first_ms, last_ms=decider.now_ms)
    if load is None:
        raise RouterError(f"the journal {file} has no call of these portfolios; use --load")
    return load


def _first_ms(journal: SqliteJournal, shard: str, months: Sequence[PortfolioMonth]) -> int:
    """Since when the journal has counted."""
    offset = journal.first_offset(shard)
    if offset > 1 and months:  # The records are purged, but their months were counted whole.
        year, month = min(each.month for each in months).split("-")
        return local_ms(date(int(year), int(month), 1), time(), ZoneInfo("UTC"))
    at_ms, _ = decode_record(journal.get(shard, offset).body)
    return at_ms


# --- For machines --------------------------------------------------------------------------------------------------


def _staffing_document(answer: Staffing) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(answer)
    document["work_of_one_agent"] = AGENT_HOUR
    for shown, hour in zip(document["hours"], answer.hours, strict=True):
        for told, bottleneck in zip(shown["bottlenecks"], hour.bottlenecks, strict=True):
            told["words"] = bottleneck.words
        if hour.tightest is not None:
            shown["tightest"]["words"] = hour.tightest.words
    return document


# --- For the terminal ----------------------------------------------------------------------------------------------


def _roster_view(report: RosterReport) -> RenderableType:
    if report.first_day is None:
        return Lines(
            *_problem_lines("Errors", report.problems, "red"), Text("the roster has no shift that can be read")
        )
    head = (
        f"{report.shifts:,} shifts of {report.agents:,} agents, {report.first_day:%A} {report.first_day} to "
        f"{report.last_day:%A} {report.last_day}"
    )
    verdict = (
        Text("no errors: it may be published", style="green")
        if report.is_sound
        else Text("it must not be published as it is", style="red")
    )
    return Lines(
        Text(head, style="bold"),
        *_seat_lines(report),
        *_problem_lines("Errors", report.problems, "red"),
        *_owner_lines(report.owners),
        *_problem_lines("Worth knowing", report.warnings, "yellow"),
        Text(),
        verdict,
    )


def _seat_lines(report: RosterReport) -> Iterator[RenderableType]:
    yield Text("\nSeats", style="bold")
    for peak in report.peaks:
        of_seats = "" if peak.seats is None else f" of {peak.seats:,}"
        when = f", first on {peak.quarter}" if peak.quarter else ""
        yield _line(f"{peak.site_id}: at most {peak.people:,}{of_seats} taken{when}")
    for crowd in report.crowds[:_ROWS_MAX]:
        over = _some(crowd.over)
        text = f"{crowd.site_id}, {crowd.quarter}: {crowd.people:,} people on {crowd.seats:,} seats; too many: {over}"
        yield _line(text, "red")
    yield from _more(len(report.crowds) - _ROWS_MAX, "quarter hours with too few seats", "red")


def _owner_lines(owners: OwnersPresent) -> Iterator[RenderableType]:
    if not owners.clients:
        return
    yield Text("\nOwners", style="bold")
    percent = 100 * owners.client_quarters_unattended / max(1, owners.client_quarters)
    yield _line(
        f"in {percent:.1f} % of the open hours a client finds neither owner nor backup at work; "
        f"{owners.clients_unattended:,} of {owners.clients:,} clients at some time"
    )
    for each in owners.worst[:5]:
        backups = f" and {_some(each.backups)}" if each.backups else ""
        yield _line(
            f"{each.portfolio_id}: {_number(each.clients, 'client')} of {each.owner}{backups}, "
            f"{each.quarters / 4:g} of {each.quarters_open / 4:g} h, first on {each.first}"
        )


def _problem_lines(title: str, problems: Sequence[Problem], style: str) -> Iterator[RenderableType]:
    if problems:
        yield Text(f"\n{title}", style="bold")
    for problem in problems[:_ROWS_MAX]:
        yield _line(str(problem), style)
    yield from _more(len(problems) - _ROWS_MAX, "like these", style)


def _staffing_view(answer: Staffing) -> RenderableType:
    short = answer.short
    if not answer.hours:
        return Text("there is no work in these hours")
    several = len(answer.hours) > 1
    first = min(answer.hours, key=lambda hour: hour.room_percent or 0)
    lines: list[RenderableType] = [
        Text(f"Work: {answer.load}", style="bold"),
        Text(f"People: {answer.people}" + _within(answer.within_s), style="bold"),
        Text(),
        _hours_table(short or [hour for hour in answer.hours if hour.room_percent == first.room_percent]),
    ]
    if short:
        if several:
            text = f"{len(short):,} of {len(answer.hours):,} hours have too few people; the worst is {short[0].hour}"
            lines += [Text(), Text(text, style="red")]
        lines += [Text("\nBottlenecks" + (f", {short[0].hour}" if several else ""), style="bold")]
        lines += [_line(each.words, "red") for each in short[0].bottlenecks[:_ROWS_MAX]]
        lines += _more(len(short[0].bottlenecks) - _ROWS_MAX, "bottlenecks", "red")
    else:
        what = f"in all {len(answer.hours):,} hours" if several else "at once"
        lines += [Text(), Text(f"all work can be done {what}, if calls find the right agents", style="green")]
        if first.tightest is not None:
            lines += [Text("\nFirst to be full" + (f", {first.hour}" if several else ""), style="bold")]
            lines += [_line(first.tightest.words)]
    lines += _thin_lines(answer)
    lines += _single_points(answer)
    return Lines(*lines)


def _within(within_s: int | None) -> str:
    return "" if within_s is None else f"; those whom a call reaches within {within_s:,} s"


def _hours_table(hours: Sequence[Hour]) -> RenderableType:
    """The hours in their order; those alike share a row, which is named after the first of them."""
    alike: dict[Hour, list[str]] = {}
    for hour in hours:
        alike.setdefault(msgspec.structs.replace(hour, hour=""), []).append(hour.hour)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("hour", no_wrap=True)
    for name in ("hours alike", "agents", "needed", "possible", "missing", "room"):
        table.add_column(name, justify="right", no_wrap=True)
    for hour, names in list(alike.items())[:_ROWS_MAX]:
        table.add_row(
            names[0],
            f"{len(names):,}",
            f"{hour.agents:,}",
            *(agents_in_words(work) for work in (hour.needed, hour.possible, hour.missing)),
            f"{hour.room_percent:,} %",
            style="red" if hour.missing else None,
        )
    return Lines(table, *_more(len(alike) - _ROWS_MAX, "kinds of hours", ""))


def _thin_lines(answer: Staffing) -> Iterator[RenderableType]:
    if answer.thin:
        yield Text("\nOpen with at most one agent who can take the calls", style="bold")
    for thin in answer.thin[:_ROWS_MAX]:
        yield _line(
            f"{thin.portfolio_id}: of {thin.quarters_open / 4:g} h nobody in {thin.quarters_nobody / 4:g}, one in "
            f"{thin.quarters_one / 4:g}, first on {thin.first}",
            "red" if thin.quarters_nobody else "yellow",
        )
    yield from _more(len(answer.thin) - _ROWS_MAX, "portfolios", "yellow")


def _single_points(answer: Staffing) -> Iterator[RenderableType]:
    if answer.single_points:
        yield Text("\nOne absence leaves nobody at all", style="bold")
    for absence in answer.single_points[:_ROWS_MAX]:
        yield _line(f"without {absence.kind} {absence.id}: {_some(absence.unserved)}", "red")
    yield from _more(len(answer.single_points) - _ROWS_MAX, "absences", "red")


def _line(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, 2), expand=False)


def _more(count: int, of_what: str, style: str) -> list[RenderableType]:
    return [_line(f"... and {count:,} more {of_what}", style)] if count > 0 else []


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_MAX
    return ", ".join(names[:_NAMES_MAX]) + (f" and {more:,} more" if more > 0 else "")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
