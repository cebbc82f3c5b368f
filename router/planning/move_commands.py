"""``router plan``: how a move plan stands, and letting it wait, go on or go back."""

import asyncio
import getpass
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
import typer
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from router.command_line import (
    AsJson,
    Config,
    UsageError,
    asked_live,
    connected,
    console,
    help_without_subcommand,
    in_journal,
    organisation_of,
    print_json,
)
from router.core.decisions import ReportPlan, Rule
from router.core.errors import EventRejected, RouterError
from router.core.events import PlanAdvanceRequested, PlanEvent, PlanHoldRequested, PlanRollbackRequested
from router.core.model import Id
from router.core.move_summary import MovePlanSummary, MoveStepState
from router.gateway import Gateway
from router.service.app import access_of, embedded_url_of
from router.settings import Settings, load_settings

__all__ = ["plan_app"]

_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 10.0
_REPORTS_TIMEOUT_S: Final = 0.3
_CHANGES_SHOWN: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_STATE_STYLES: Final = {
    MoveStepState.TAKEN: "dim",
    MoveStepState.IN_FORCE: "bold green",
    MoveStepState.HELD: "bold yellow",
    MoveStepState.TO_COME: "",
}

plan_app = typer.Typer(
    help="How a move of work between sites stands; let it wait, go on or go back.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

_Plan = Annotated[
    str | None, typer.Option("--plan", metavar="PLAN", help="Which one.", show_default="the only one there is")
]
_By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="NAME", help="Who wants it, for the journal.", show_default="the user of this session"
    ),
]
_Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="The broker.", show_default="as configured")]


class _State(Struct):
    """What matters here of the router's state."""

    move_plans: tuple[MovePlanSummary, ...]


@plan_app.callback()
def _plan(context: typer.Context) -> None:
    help_without_subcommand(context)


@plan_app.command("status")
def show_status(config: Config = Path(), plan: _Plan = None, json: AsJson = False) -> None:
    """Which step is in force, what the next one waits for, and how far the work has moved.

    If no router is running, the answer comes from the journal.
    """
    settings = load_settings(config, os.environ)
    live = asked_live(settings, "/api/state", _State)
    if live is not None:
        plans = live.move_plans
    else:
        decider = in_journal(settings)
        plans = () if decider is None else decider.engine.summary(now_ms=decider.now_ms).move_plans
    if plan is not None:
        plans = tuple(each for each in plans if each.move_plan_id == plan)
        if not plans:
            raise RouterError(f"the router has no move plan {plan!r}; router plan status shows those it has")
    if json:
        print_json(msgspec.to_builtins(plans))
    elif not plans:
        console.print("the router has no move plans; an organisation names them as [[move_plans]]")
    else:
        console.print(Group(*map(_status_view, plans)))


@plan_app.command("hold")
def hold(config: Config = Path(), plan: _Plan = None, by: _By = None, url: _Url = None, json: AsJson = False) -> None:
    """Let the plan stand still where it is, until it is told to advance."""
    settings = load_settings(config, os.environ)
    event = PlanHoldRequested(move_plan_id=_plan_of(settings, plan), by=_who(by))
    _show(_told(settings, config, url, event), json=json)


@plan_app.command("advance")
def advance(
    config: Config = Path(),
    plan: _Plan = None,
    override: Annotated[
        bool, typer.Option("--override", help="Take the next step whatever its day and its gate, on your word.")
    ] = False,
    by: _By = None,
    url: _Url = None,
    json: AsJson = False,
) -> None:
    """End a hold, and take the next step if its day has come and its gate passes."""
    settings = load_settings(config, os.environ)
    event = PlanAdvanceRequested(move_plan_id=_plan_of(settings, plan), by=_who(by), override=override)
    _show(_told(settings, config, url, event), json=json)


@plan_app.command("rollback")
def roll_back(
    config: Config = Path(),
    plan: _Plan = None,
    override: Annotated[
        bool, typer.Option("--override", help="Even if that breaks the share of a contract, on your word.")
    ] = False,
    by: _By = None,
    url: _Url = None,
    json: AsJson = False,
) -> None:
    """Undo the last step, and hold the plan there.

    Callers who wait keep their places, and conversations go on.
    """
    settings = load_settings(config, os.environ)
    event = PlanRollbackRequested(move_plan_id=_plan_of(settings, plan), by=_who(by), override=override)
    _show(_told(settings, config, url, event), json=json)


def _plan_of(settings: Settings, plan: str | None) -> str:
    """The plan that is meant."""
    if plan is not None:
        return plan
    plans = [each.move_plan_id for each in organisation_of(settings, quiet=True).move_plans]
    if len(plans) == 1:
        return plans[0]
    if not plans:
        raise RouterError("the organisation has no move plans: name them as [[move_plans]]")
    raise UsageError(f"there are {len(plans)} move plans: say which with --plan {' or '.join(plans)}")


def _who(by: str | None) -> str:
    try:
        who: str = msgspec.convert(by if by is not None else getpass.getuser(), Annotated[str, Id])
    except (msgspec.ValidationError, OSError, KeyError) as error:
        raise UsageError("say who you are with --by: 1 to 64 letters, digits or any of . _ : @ -") from error
    return who


def _told(settings: Settings, config: Path, url: str | None, event: PlanEvent) -> list[ReportPlan]:
    """Tell the router, and return what became of the plan.

    Raises:
        RouterError: It refuses, or cannot be reached.
    """
    gateway = Gateway(
        url or settings.mqtt.url or embedded_url_of(settings),
        access=access_of(settings),
        shard=settings.mqtt.shard,
        connect_timeout_s=_CONNECT_TIMEOUT_S,
    )
    try:
        return asyncio.run(_tell(gateway, config, event))
    except EventRejected as rejected:
        raise RouterError(f"refused ({rejected.reason}): {rejected.detail}") from rejected
    except TimeoutError:
        raise RouterError(
            f"no answer within {_ANSWER_TIMEOUT_S:g} s; see that a router runs (router run {config}), and that this "
            "user may write to its admin topics"
        ) from None


async def _tell(gateway: Gateway, config: Path, event: PlanEvent) -> list[ReportPlan]:
    reports: list[ReportPlan] = []
    async with connected(gateway, config):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            accepted = await gateway.send(event)
        # They were published before the answer, on the same topic, so they are here or nearly so.
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPORTS_TIMEOUT_S):
                async for output in gateway.decisions():
                    is_of_event = output.id is not None and output.id.offset == accepted.offset
                    if is_of_event and isinstance(output.message, ReportPlan):
                        reports.append(output.message)
    return reports


def _show(reports: Sequence[ReportPlan], *, json: bool) -> None:
    if json:
        print_json(msgspec.to_builtins(reports))
        return
    for report in reports:
        style = "yellow" if report.rule in (Rule.GATE_FAILED, Rule.SHARE_OVERRIDE, Rule.GATE_OVERRIDE) else "green"
        console.print(Text.assemble((f"plan {report.move_plan_id} ", "bold"), (report.detail, style)), soft_wrap=True)


# --- What people see ---


def _status_view(plan: MovePlanSummary) -> RenderableType:
    return Group(
        _head(plan),
        _steps_table(plan),
        _gate_table(plan) if plan.gate else "",
        _sites_table(plan),
        _changes_table(plan) if plan.changes else "",
    )


def _head(plan: MovePlanSummary) -> Text:
    moved = f"{plan.calls_moved / plan.calls * 100:.1f} %" if plan.calls else "none"
    if plan.next_step_id is None:
        waits, style = "all steps are in force", "green"
    elif plan.held_by is not None:
        waits, style = f"step {plan.next_step_id} waits: held by {plan.held_by}", "yellow"
    elif plan.is_held_by_gate:
        waits, style = f"step {plan.next_step_id} is due and waits for its gate", "yellow"
    else:
        waits, style = f"next is step {plan.next_step_id}", "green"
    done = "completed" if plan.next_step_id is None else "projected completion"
    return Text.assemble(
        (f"plan {plan.move_plan_id}", "bold"),
        f": {f'step {plan.step_id} is in force' if plan.step_id is not None else 'no step is in force yet'}; ",
        (waits, style),
        f"\nagents moved    {plan.agents_moved} of {plan.agents}",
        f"\nvolume moved    {moved}: of {plan.calls:,} calls answered in the present step, {plan.calls_moved:,} in "
        f"{' and '.join(plan.to_sites)}\n{done:<15} {plan.projected}, ",
        ("after the deadline, " if plan.is_late else "by the deadline, ", "red" if plan.is_late else "green"),
        f"{plan.deadline}\n",
    )


def _steps_table(plan: MovePlanSummary) -> Table:
    table = Table("Step", "From", "Portfolio", "Shares", "Agents moved", "State", box=None, pad_edge=False)
    for step in plan.steps:
        shares = ", ".join(f"{site_id} {share_bp / 100:g} %" for site_id, share_bp in step.shares.items())
        style = _STATE_STYLES[step.state]
        state = Text(step.state.replace("_", " "), style=style)
        table.add_row(
            step.step_id, str(step.valid_from), step.portfolio_id or "all", shares, str(step.agents_moved), state
        )
    return table


def _gate_table(plan: MovePlanSummary) -> Table:
    table = Table("Portfolio", "What must hold", "", box=None, pad_edge=False, title_justify="left")
    table.title = f"Gate before step {plan.next_step_id}"
    for check in plan.gate:
        words = str(check).removeprefix(f"{check.portfolio_id}: ")
        verdict = Text("passes", style="green") if check.passes else Text("fails", style="red")
        table.add_row(check.portfolio_id, escape(words), verdict)
    return _below(table)


def _sites_table(plan: MovePlanSummary) -> Table:
    table = Table("Portfolio", "Step", "Site", box=None, pad_edge=False, title_justify="left")
    table.title = "Calls since each portfolio's step is in force"
    for column in ("Share", "Answered", "Of these spilled", "On the way", "Short of calls"):
        table.add_column(column, justify="right")
    for portfolio in plan.portfolios:
        for site in portfolio.sites:
            table.add_row(
                portfolio.portfolio_id,
                portfolio.step_id or "none",
                site.site_id or "elsewhere",
                "any" if site.share_bp is None else f"{site.share_bp / 100:g} %",
                f"{site.answered:,}",
                f"{site.spilled:,}",
                f"{site.on_way:,}",
                "" if site.share_bp is None else f"{site.deficit / 10_000:+.2f}",
            )
    return _below(table)


def _changes_table(plan: MovePlanSummary) -> Table:
    table = Table("When", "What", "Step", "By", box=None, pad_edge=False, title_justify="left")
    table.title = "What was done last"
    zone = ZoneInfo(plan.time_zone)
    for change in plan.changes[-_CHANGES_SHOWN:]:
        at = (_EPOCH + timedelta(milliseconds=change.at_ms)).astimezone(zone)
        table.add_row(f"{at:%Y-%m-%d %H:%M:%S}", change.rule.replace("_", " "), change.step_id, change.by or "")
    return _below(table)


def _below(table: Table) -> Table:
    """A table with a line between it and what stands above."""
    table.title = f"\n{table.title}"
    table.title_style = "bold"
    return table
