"""``python -m tests.chaos``: faults under load, then a table of counts that must add up."""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS, MAIN
from tests.chaos.harness import Report, run

SHOWN_MAX = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help=f"how often {MAIN} is done (default 200)")
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="for people and faults (default 1)")
    parser.add_argument(
        "--faults", default=",".join(FAULTS), help=f"some of {','.join(FAULTS)} (default all; mostly {MAIN})"
    )
    parser.add_argument("--embedded", action="store_true", help="the router's own broker instead of mosquitto")
    parser.add_argument("--directory", type=Path, help="keep all files in this new directory")
    given = parser.parse_args()
    faults = given.faults.split(",")
    if given.embedded:
        faults = [kind for kind in faults if kind not in ("broker-kill", "broker-stop", "standby")]
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}; choose from {', '.join(FAULTS)}")
    if given.directory is not None:
        # What lies in it from another run would be part of this one.
        given.directory.mkdir(parents=True)
    command = f"python -m tests.chaos --cycles {given.cycles} --rate {given.rate:g} --seed {given.seed}"
    command += f" --faults {','.join(faults)}" + (" --embedded" if given.embedded else "")
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    # A broker that goes away is no news here.
    logging.getLogger("router").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="router-chaos-") as passing, console.status("starting") as status:
        directory = given.directory or Path(passing)
        doing = run(
            directory.absolute(),
            cycles=given.cycles,
            rate=given.rate,
            seed=given.seed,
            faults=faults,
            embedded=given.embedded,
            progress=status.update,
        )
        try:
            report = uvloop.run(_until_terminated(doing))
        except pytest.skip.Exception as missing:
            console.print(f"[red]error:[/red] {missing}")
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("interrupted")
            return 130
        except (AssertionError, TimeoutError) as failure:
            console.print(f"[red]failed:[/red] {type(failure).__name__}:", end=" ")
            console.print(str(failure), markup=False)
            console.print(f"again: {command}", markup=False, soft_wrap=True)
            return 1
    show(report, console)
    console.print(f"seed {given.seed}; again: {command}", markup=False, soft_wrap=True)
    return 0 if report.is_good else 1


async def _until_terminated(doing: Coroutine[Any, Any, Report]) -> Report:
    """Leave no process and no mount behind, however it ends."""
    task = asyncio.ensure_future(doing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def show(report: Report, console: Console) -> None:
    table = Table("what", "count", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    sections = {
        "faults": report.faults,
        "calls": report.calls,
        "offers": report.offers,
        "delivery": report.delivery,
    }
    for name, counts in sections.items():
        table.add_row(f"[bold]{name}[/bold]", "")
        for what, count in counts.items():
            table.add_row(f"  {what}", f"{count:,}")
    table.add_row("[bold]times[/bold]", "")
    for what, seconds in report.times.items():
        table.add_row(f"  {what}", f"{seconds:,.2f}")
    console.print(table)
    if report.is_good:
        console.print(
            "[green]all counts add up[/green]: each accepted call has one end, no agent had two offers or calls at"
            " once, nobody was overtaken, and nothing was published that the journal does not lead to"
        )
        return
    console.print(f"[red]{len(report.violations)} violations[/red]")
    for violation in report.violations[:SHOWN_MAX]:
        console.print(f"  {violation}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
