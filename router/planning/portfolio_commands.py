"""``router portfolio``: how large portfolios are, and handing clients over."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Group, RenderableType
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
from router.core.model import AgentId
from router.core.organisation import Organisation
from router.organisation_files import clients_file_of
from router.planning.clients_file import ClientsFile, undo
from router.planning.handover import Handover, Move, PlanningError, delegate, leaving_by, rebalance
from router.planning.sizes import AgentSize, Sizes, Verdict, Workload, available_s_a_month, sizes_on
from router.settings import Settings, load_settings

__all__ = ["portfolio_app"]

_ROWS_SHOWN: Final = 20

_RowT = TypeVar("_RowT")
_Write = Annotated[bool, typer.Option("--write", help="Do it; without this, it is only shown.")]
_All = Annotated[bool, typer.Option("--all", help="Show every row.")]

portfolio_app = typer.Typer(
    help="How large portfolios are; hand clients over for good or for a time.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@portfolio_app.callback()
def _portfolio(context: typer.Context) -> None:
    help_without_subcommand(context)


@portfolio_app.command("sizes")
def show_sizes(
    config: Config = Path(),
    on: Annotated[
        datetime | None,
        typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="By the owners of this day.", show_default="today"),
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=44_640,
            metavar="MINUTES",
            help="What one agent can handle in a month.",
            show_default="as portfolios.net_hours_a_year and occupancy_percent of the settings say",
        ),
    ] = None,
    show_all: _All = False,
    json: AsJson = False,
) -> None:
    """How large portfolios are, in expected minutes a month, and who has too much or too little.

    Per agent, team and portfolio, with the clients that nobody owns.
    """
    settings, organisation, workload = _read(config, quiet=json)
    planned = settings.portfolios
    available_s = None if minutes is None else 60 * minutes
    if available_s is None and planned.net_hours_a_year is not None:
        available_s = available_s_a_month(
            net_hours_a_year=planned.net_hours_a_year, occupancy_percent=planned.occupancy_percent
        )
    sizes = sizes_on(
        organisation,
        workload,
        on.date() if on is not None else _today(),
        available_s=available_s,
        tolerance_percent=planned.tolerance_percent,
    )
    if json:
        print_json(msgspec.to_builtins(sizes))
    else:
        console.print(_sizes_view(sizes, planned.calls_a_month, show_all=show_all))


@portfolio_app.command("rebalance")
def hand_over(
    config: Config = Path(),
    leaving: Annotated[
        list[str] | None, typer.Option("--leaving", metavar="AGENT", help="Who leaves; again for each who does.")
    ] = None,
    ending_by: Annotated[
        datetime | None,
        typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="All whose contract ends by this day, included."),
    ] = None,
    on: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="The first day on which they are gone.",
            show_default="the day after the contract ends; without contract_until, today",
        ),
    ] = None,
    write: _Write = False,
    show_all: _All = False,
    json: AsJson = False,
) -> None:
    """Give the clients of agents who leave to others, dated.

    To the same group first, balanced by expected minutes, and no other client moves. Backups who leave are replaced.
    """
    if not leaving and ending_by is None:
        raise UsageError("say who leaves: --leaving AGENT, or --ending-by DATE for those whose contract ends")
    day = _not_past(on, "--on")
    settings, organisation, workload = _read(config, quiet=json)
    today = _today()
    contracts = leaving_by(organisation, date.max, today=today)
    gone = leaving_by(organisation, ending_by.date(), today=today) if ending_by is not None else {}
    for agent_id in map(AgentId, leaving or ()):
        gone[agent_id] = contracts.get(agent_id, today)
    if day is not None:
        gone = dict.fromkeys(gone, day)
    if not gone:
        assert ending_by is not None, "otherwise somebody is named"
        _fail(f"nobody's contract_until is {ending_by.date()} or earlier, so nobody leaves")
    with working("balancing", json):
        handover = rebalance(organisation, workload, gone)
    what = "rebalance: " + ", ".join(f"{agent_id} gone from {gone[agent_id]}" for agent_id in sorted(gone))
    _carry_out(settings, organisation, handover, what, write=write, show_all=show_all, json=json)


@portfolio_app.command("delegate")
def stand_in(
    agent: Annotated[str, typer.Option("--agent", metavar="AGENT", help="Who is away.")],
    until: Annotated[
        datetime, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="The last day, included.", show_default=False)
    ],
    config: Config = Path(),
    first: Annotated[
        datetime | None,
        typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="The first day.", show_default="today"),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="AGENT", help="Who stands in.", show_default="of each client the first backup who can"),
    ] = None,
    write: _Write = False,
    show_all: _All = False,
    json: AsJson = False,
) -> None:
    """Let others answer for an agent's clients for some days; afterwards the agent does again by itself."""
    begins = _not_past(first, "--from") or _today()
    settings, organisation, workload = _read(config, quiet=json)
    handover = delegate(
        organisation,
        workload,
        AgentId(agent),
        first=begins,
        last=until.date(),
        to_agent=None if to is None else AgentId(to),
    )
    what = f"delegate: {agent} away from {begins} to {until.date()}"
    _carry_out(settings, organisation, handover, what, write=write, show_all=show_all, json=json)


@portfolio_app.command("undo")
def take_back(config: Config = Path()) -> None:
    """Take the last rebalance or delegate back, byte for byte, unless the file has been changed since."""
    settings = load_settings(config, os.environ)
    file = _clients_file(settings)
    what = undo(file)
    console.print(f"taken back: {what}\n{file} is what it was before", markup=False, soft_wrap=True)
    _say_reload()


# --- What they share ---


def _read(config: Path, *, quiet: bool) -> tuple[Settings, Organisation, Workload]:
    settings = load_settings(config, os.environ)
    organisation = Organisation(organisation_of(settings, quiet=quiet))
    return settings, organisation, Workload(organisation, calls_a_month=settings.portfolios.calls_a_month)


def _today() -> date:
    """By UTC, as ownerships change over."""
    return datetime.now(UTC).date()


def _not_past(moment: datetime | None, option: str) -> date | None:
    if moment is not None and moment.date() < _today():
        raise UsageError(f"{option} {moment.date()} is past, and what was is not rewritten; today is {_today()}")
    return None if moment is None else moment.date()


def _clients_file(settings: Settings) -> Path:
    file = clients_file_of(settings.organisation.file)
    if file is None:
        _fail(
            f"{settings.organisation.file} names no clients_file, and this writes no TOML: move its clients to a CSV "
            "file, a row each, and name that with clients_file"
        )
    return file


def _carry_out(
    settings: Settings,
    organisation: Organisation,
    handover: Handover,
    what: str,
    *,
    write: bool,
    show_all: bool,
    json: bool,
) -> None:
    if write and handover.changes:
        file = ClientsFile(_clients_file(settings))
        clients = {client.client_id: client for client in organisation.description.clients}
        file.replace(file.with_changes(clients, handover.changes), what=what)
    written = write and bool(handover.changes)
    if json:
        document = msgspec.to_builtins(handover)
        del document["changes"]
        print_json({"what": what, "written": written} | document)
        return
    console.print(_handover_view(handover, show_all=show_all))
    if not handover.changes:
        console.print("nothing to do")
    elif written:
        console.print(
            f"written to {_clients_file(settings)}; router portfolio undo takes it back", markup=False, soft_wrap=True
        )
        _say_reload()
    else:
        console.print("a preview: nothing was written; --write does it")


def _say_reload() -> None:
    console.print("a router at work takes it when it is told to reload (SIGHUP, or a message to admin/reload)")


def _fail(message: str) -> NoReturn:
    raise PlanningError(message)


# --- Tables ---


def _sizes_view(sizes: Sizes, calls_a_month: float, *, show_all: bool) -> RenderableType:
    head = f"portfolios on {sizes.on}, in expected minutes a month; "
    if sizes.available_s is None:
        head += "to compare, set portfolios.net_hours_a_year, or give --minutes"
    else:
        head += f"one agent can do {_minutes(sizes.available_s)}, give or take {sizes.tolerance_percent} %"
    parts: list[RenderableType] = [Text(head), Text()]
    teams = _table("Team", "Agents", "Owners", "Clients", "Minutes", "Of what they can do")
    for team in sizes.teams:
        share = _percent(team.expected_s, team.available_s)
        teams.add_row(
            team.team_id, str(team.agents), str(team.owners), str(team.clients), _minutes(team.expected_s), share
        )
    parts += [teams, Text()]
    portfolios = _table("Portfolio", "Owners", "Clients", "Without owner", "Minutes")
    found = sorted(sizes.portfolios, key=lambda each: (-each.without_owner, -each.expected_s, each.portfolio_id))
    for book in _some(found, portfolios, show_all=show_all):
        portfolios.add_row(
            book.portfolio_id, str(book.owners), str(book.clients), str(book.without_owner), _minutes(book.expected_s)
        )
    parts += [portfolios, Text()]
    parts += _agents_view(sizes, show_all=show_all)
    if sizes.without_owner:
        shown = sizes.without_owner if show_all else sizes.without_owner[:_ROWS_SHOWN]
        more = len(sizes.without_owner) - len(shown)
        parts.append(
            Text(f"{len(sizes.without_owner)} clients without owner: {' '.join(shown)}")
            + Text(f" and {more} more (--all)" if more else "")
        )
    if sizes.assumed:
        parts.append(
            Text(f"{sizes.assumed} clients say no minutes_a_month and count with {calls_a_month:g} calls a month")
        )
    return Group(*parts)


def _agents_view(sizes: Sizes, *, show_all: bool) -> Iterable[RenderableType]:
    counts = {verdict: sum(agent.verdict is verdict for agent in sizes.agents) for verdict in Verdict}
    words = ", ".join(f"{count} {_words(verdict)}" for verdict, count in counts.items() if count)
    if words:
        yield Text(f"agents: {words}")
    shown = [agent for agent in sizes.agents if show_all or agent.verdict not in (None, Verdict.RIGHT)]
    if shown:
        # Those who are furthest from what is right come first; contracts that are over before all.
        shown.sort(key=lambda agent: _urgency(agent, sizes.available_s))
        table = _table("Agent", "Team", "Clients", "Minutes", "Of what one can do", "")
        for agent in _some(shown, table, show_all=show_all):
            share, verdict = _percent(agent.expected_s, sizes.available_s), _words(agent.verdict or "")
            table.add_row(agent.agent_id, agent.team_id, str(agent.clients), _minutes(agent.expected_s), share, verdict)
        yield table
        yield Text()


def _urgency(agent: AgentSize, available_s: int | None) -> tuple[bool, int, AgentId]:
    return agent.verdict is not Verdict.CONTRACT_OVER, -abs(agent.expected_s - (available_s or 0)), agent.agent_id


def _handover_view(handover: Handover, *, show_all: bool) -> RenderableType:
    parts: list[RenderableType] = []
    if handover.moves:
        moves = Table("Client", "Portfolio", "From", "To", "Days", "Minutes", "Why", box=None, pad_edge=False)
        # What needs somebody's attention first.
        rows = [*handover.not_placed, *handover.placed]
        for move in _some(rows, moves, show_all=show_all):
            style = "red" if move.to_agent is None else ""
            moves.add_row(
                move.client_id, move.portfolio_id, move.from_agent, move.to_agent or "nobody", _days(move),
                _minutes(move.expected_s), move.why, style=style,
            )  # fmt: skip
        parts += [moves, Text()]
    if handover.loads:
        loads = _table("Agent", "Clients before", "after", "Minutes before", "after")
        for load in _some(handover.loads, loads, show_all=show_all):
            loads.add_row(
                load.agent_id, str(load.clients_before), str(load.clients_after), _minutes(load.before_s),
                _minutes(load.after_s),
            )  # fmt: skip
        parts += [loads, Text(f"minutes are those expected a month, by the owners of {handover.loads_on}"), Text()]
    parts.append(Text(_summary(handover)))
    if handover.not_placed:
        names = " ".join(move.client_id for move in handover.not_placed)
        parts.append(Text(f"nobody takes {names}", style="red"))
    missing = [change for change in handover.backup_changes if change.gets is None]
    if missing:
        names = " ".join(sorted({change.client_id for change in missing}))
        parts.append(Text(f"nobody is left to be another backup of {names}", style="yellow"))
    return Group(*parts)


def _summary(handover: Handover) -> str:
    words = f"{len(handover.placed)} of {len(handover.moves)} clients get another owner"
    if handover.backup_changes:
        replaced = sum(change.gets is not None for change in handover.backup_changes)
        words += f"; {replaced} of {len(handover.backup_changes)} backups are replaced"
    return words


def _days(move: Move) -> str:
    return f"from {move.first}" + (f" to {move.last}" if move.last is not None else "")


def _table(first: str, *numbers: str) -> Table:
    table = Table(first, box=None, pad_edge=False)
    for number in numbers:
        table.add_column(number, justify="left" if number in ("", "Team") else "right")
    return table


def _some(rows: Sequence[_RowT], table: Table, *, show_all: bool) -> Iterable[_RowT]:
    """The first rows, and a last line that says how many more there are."""
    yield from rows if show_all else rows[:_ROWS_SHOWN]
    if not show_all and len(rows) > _ROWS_SHOWN:
        table.caption = f"... and {len(rows) - _ROWS_SHOWN} more (--all)"
        table.caption_justify = "left"


def _minutes(seconds: int) -> str:
    return f"{(seconds + 30) // 60:,}"


def _percent(part: int, whole: int | None) -> str:
    return "-" if not whole else f"{(200 * part + whole) // (2 * whole)} %"


def _words(name: str) -> str:
    return name.replace("_", " ")
