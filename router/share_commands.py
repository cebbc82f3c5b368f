"""``router share``: what people tell the router about the shares of contracts."""

import os
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from router.command_line import AsJson, Config, console, help_without_subcommand, print_json, tell_router
from router.core.errors import RouterError
from router.core.events import ShareAdjusted
from router.settings import load_settings

__all__ = ["share_app"]

share_app = typer.Typer(
    help="Correct what was counted for a contract.", invoke_without_command=True, rich_markup_mode=None
)


@share_app.callback()
def _share(context: typer.Context) -> None:
    help_without_subcommand(context)


@share_app.command()
def adjust(
    contract: Annotated[str, typer.Option(metavar="ID", help="The contract.")],
    day: Annotated[str, typer.Option(metavar="DAY", help="The day to correct, local: 2018-03-20.")],
    country: Annotated[str, typer.Option(metavar="CODE", help="Where the work was done: IT.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why. Printed in reports: name no client.")],
    made_by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who corrects. Printed in reports.")],
    config: Config = Path(),
    calls: Annotated[int, typer.Option(metavar="NUMBER", help="So many calls more, or fewer: -3.")] = 0,
    talk_s: Annotated[int, typer.Option(metavar="SECONDS", help="So much more conversation, or less.")] = 0,
    agent_s: Annotated[int, typer.Option(metavar="SECONDS", help="So much more time signed in, or less.")] = 0,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The broker.", show_default="as configured")] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Of an attempt that was not answered.", show_default="new")
    ] = None,
    json: AsJson = False,
) -> None:
    """Correct what the running router has counted for a contract on a day.

    The counts stay; reports show them before and after. The router refuses what cannot be true, and says why.
    """
    settings = load_settings(config, os.environ)
    event = _checked(
        {
            "contract_id": contract,
            "day": day,
            "country": country,
            "calls": calls,
            "talk_ms": 1000 * talk_s,
            "agent_ms": 1000 * agent_s,
            "reason": reason,
            "made_by": made_by,
        }
    )
    accepted = uvloop.run(tell_router(settings, config, event, url=url, event_id=event_id))
    if json:
        print_json(msgspec.to_builtins(accepted))
        return
    told = "was corrected by this before" if accepted.duplicate else "corrected"
    console.print(
        f"contract {contract}, {day}, {country}: {told}, offset {accepted.offset} of the journal",
        markup=False,
        soft_wrap=True,
    )


def _checked(fields: dict[str, object]) -> ShareAdjusted:
    """The event, or what is wrong with it before it is sent."""
    try:
        date.fromisoformat(str(fields["day"]))
        return msgspec.convert({"type": "share_adjusted", **fields}, ShareAdjusted)
    except msgspec.ValidationError as error:
        raise RouterError(f"this is no correction: {error}") from None
    except ValueError:
        raise RouterError(f"{fields['day']!r} is no day: write it as 2018-03-20") from None
