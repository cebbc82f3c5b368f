"""The long table: every row by the engine, by its second way, and by Ciw where it is one queue."""

import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from math import floor, log10
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from router.simulation.memoryless import first_come_first_served, play
from router.simulation.statistics import Interval
from tests.truth.by_ciw import replicate_by_ciw
from tests.truth.figures import ERROR, Finding, Plan, Replication, judge, replicate, streams
from tests.truth.rows import Row

__all__ = ["run"]

_BLOCK = 20
"""Replications that one process makes at a time."""


class Player(StrEnum):
    ENGINE = "engine"
    SECOND = "second way"
    CIW = "Ciw"


# Apart from those of the short tests, and from each other's.
_STREAMS = {Player.ENGINE: 100_000, Player.SECOND: 200_000, Player.CIW: 300_000}


class Block(NamedTuple):
    """Some replications of a row, for one process."""

    row: Row
    player: Player
    plan: Plan
    first: int
    last: int


class Played(NamedTuple):
    row: str
    player: Player
    first: int
    replications: list[Replication]


def run(rows: Sequence[Row], *, size: float, processes: int) -> int:
    """Play *rows* and print their table; the exit code is 1 when something does not hold."""
    began_s = time.monotonic()
    played = play_all(rows, size, processes)
    return show(rows, played, size, time.monotonic() - began_s)


# --- Playing ---------------------------------------------------------------------------------------------------------


def plan_of(row: Row, player: Player, size: float) -> Plan:
    """Enough replications for some twenty controls, and for sums that are nearly normal."""
    if player is not Player.SECOND:
        return Plan(max(60, round(200 * size)), row.warm_up, 2_000)
    # The recursion takes a call in a microsecond, the other in three.
    calls = 25_000 if row.second is first_come_first_served else 10_000
    return Plan(max(60, round(400 * size)), row.warm_up, calls)


def play_all(rows: Iterable[Row], size: float, processes: int) -> dict[tuple[str, Player], list[Replication]]:
    blocks = [block for row in rows for block in blocks_of(row, size)]
    done: dict[tuple[str, Player], list[Played]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Fresh processes: nothing that this one holds needs to be copied.
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        get_context("spawn").Pool(processes) as pool,
    ):
        task = progress.add_task("truth", total=len(blocks))
        for played in pool.imap_unordered(play_block, blocks):
            done.setdefault((played.row, played.player), []).append(played)
            progress.advance(task)
    return {
        key: [each for played in sorted(some, key=lambda block: block.first) for each in played.replications]
        for key, some in done.items()
    }


def blocks_of(row: Row, size: float) -> Iterator[Block]:
    for player in Player:
        if player is Player.CIW and not row.is_one_queue:
            continue
        plan = plan_of(row, player, size)
        for first in range(0, plan.replications, _BLOCK):
            yield Block(row, player, plan, first, min(first + _BLOCK, plan.replications))


def play_block(block: Block) -> Played:
    row, player, plan = block.row, block.player, block.plan
    replications = []
    for stream in streams(_STREAMS[player] + row.number, plan.replications)[block.first : block.last]:
        match player:
            case Player.ENGINE:
                replication = replicate(row.model, row.exact, plan, stream, play, row.second)
            case Player.SECOND:
                replication = replicate(row.model, row.exact, plan, stream, row.second)
            case Player.CIW:
                replication = replicate_by_ciw(row.model, row.exact, plan, stream)
        replications.append(replication)
    return Played(row.name, player, block.first, replications)


# --- Telling ---------------------------------------------------------------------------------------------------------


def show(rows: Sequence[Row], played: dict[tuple[str, Player], list[Replication]], size: float, seconds: float) -> int:
    """Print the table and the verdict; returns the exit code."""
    figures = sum(len(row.exact) * sum((row.name, player) in played for player in Player) for row in rows)
    confidence = 1 - ERROR / figures
    findings = {
        (name, player): judge(replications, next(row.exact for row in rows if row.name == name), confidence=confidence)
        for (name, player), replications in played.items()
    }
    print_table(rows, findings)
    compared = sum(each.callers for (_, player), some in played.items() if player is Player.ENGINE for each in some)
    unlike = {row.name: sum(each.unlike for each in played[row.name, Player.ENGINE]) for row in rows}
    outside = {name for (name, _), some in findings.items() if not all(each.inside for each in some)}
    missed = sum(not each.inside for some in findings.values() for each in some)
    print(f"\nIntervals at {100 * confidence:.4f} % each: all {figures} hold in {1 - ERROR:.0%} of such tables.")
    for player in Player:
        some = [each for (_, by), row in findings.items() if by is player for each in row if each.is_chance]
        if some:
            widths = [each.relative for each in some]
            print(f"Half-widths by {player}: {median(widths):.2%} in the middle, {max(widths):.2%} at most.")
    print(f"Callers served by the engine: {compared:,}; otherwise than by the second way: {sum(unlike.values()):,}.")
    print(f"Outside: {missed} of {figures}. {seconds / 60:.1f} minutes.")
    wrong = [row.name for row in rows if row.name in outside or unlike[row.name]]
    if wrong:
        print(f"again: python -m tests.truth {' '.join(wrong)} --size {size:g}")
    return 1 if wrong else 0


def print_table(rows: Iterable[Row], findings: dict[tuple[str, Player], list[Finding]]) -> None:
    """In Markdown, aligned."""
    lines = [("model", "figure", "exact", *Player, "inside")]
    for row in rows:
        for place, exact in enumerate(row.exact):
            found = [findings[row.name, player][place] if (row.name, player) in findings else None for player in Player]
            value = f"{'' if exact.relation == '=' else exact.relation + ' '}{exact.value:.8g}"
            inside = "yes" if all(each is None or each.inside for each in found) else "**NO**"
            texts = ("" if each is None else in_words(each.found) for each in found)
            lines.append((row.name, exact.name, value + (" ± .001" if exact.doubt else ""), *texts, inside))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    for line in (lines[0], rule, *lines[1:]):
        print(f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |")


def in_words(found: Interval) -> str:
    """To two digits of what is in doubt."""
    if found.half_width < 1e-9:
        return f"{found.estimate:.8g}"
    decimals = max(0, 1 - floor(log10(found.half_width)))
    return f"{found.estimate:.{decimals}f} ± {found.half_width:.{decimals}f}"
