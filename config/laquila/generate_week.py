"""Writes a week of L'Aquila to simulate: ``week.toml``, who calls, and ``week.csv``, who works when.

    python config/laquila/generate_week.py [DIRECTORY]

The same files, byte for byte, on every run. Callers and shifts are invented; the agents are those of generate.py.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

SEED = 2027
MONDAY = date(2027, 6, 14)
"""A week without a holiday."""
TEAM_COUNT, TEAM_SIZE = 20, 20

EARLY, MIDDLE, SHORT, LATE = ("08:00", "14:30"), ("09:30", "16:00"), ("15:00", "20:00"), ("14:30", "21:00")
WEEKDAY = {EARLY: 5, MIDDLE: 3, SHORT: 3, LATE: 2}
"""How many of a group work which part of a day: 13 of 20, each some four days of six."""
MONDAYS = {EARLY: 6, MIDDLE: 3, SHORT: 3, LATE: 3}
SATURDAY = {EARLY: 3, LATE: 3}
THIN_TEAM, THIN_MOVES = 13, {EARLY: -2, SHORT: -2, LATE: -1}
"""A group with vacant posts, most of them in the afternoon: so many fewer than in others on a weekday."""
FROM_HOME_EVERY = 10
"""Of the agents, so many work from home."""


class Market(NamedTuple):
    """The callers of one of the three books of clients that every group answers for."""

    name: str
    a_day: int
    """Calls to a group on the mean day of its week."""
    talk_s: int
    patience_s: int
    by_weekday: str
    by_hour: str
    transfer_to: str
    """The book that some of them turn out to want."""


RESIDENTIAL_HOURS = "[0, 0, 0, 0, 0, 0, 0, 0, 6, 8, 9, 9, 9, 8.5, 7.5, 8, 6.5, 6.5, 6, 5.5, 3.5, 0, 0, 0]"
BUSINESS_HOURS = "[0, 0, 0, 0, 0, 0, 0, 0, 6.5, 8.5, 10, 10, 9, 8, 8, 8.5, 7, 6.5, 5.5, 4.5, 0, 0, 0, 0]"
MARKETS = (
    Market("gold", 150, 380, 300, "[1.2, 1.05, 1, 1, 1, 0.6, 0]", RESIDENTIAL_HOURS, "business"),
    Market("business", 124, 400, 360, "[1.2, 1.05, 1, 1, 1, 0.15, 0]", BUSINESS_HOURS, "gold"),
    Market("premium", 102, 420, 420, "[1.15, 1.05, 1, 1, 1, 0.6, 0]", RESIDENTIAL_HOURS, "business"),
)
SPREAD_PERCENT = 6
"""Groups have so many calls more or fewer than the mean."""

HEAD = """\
# A week of L'Aquila, Monday to Saturday: some 59,000 calls for 400 agents. Written by generate_week.py, see README.md.
# Who calls, and who works when (week.csv), is invented. One group has too few people in the afternoons.

config = "."
starts = 2027-06-14
ends = 2027-06-20
seed = 2027
roster = "week.csv"
misses = 0.01
declines = 0.01
answer_s = 4
agent_variation = 0.12

# Fifteen minutes after every two hours at the screen, as the law has it.
[presence]
absence = 0.04
late = 0.08
late_s = 300
break_every_s = 7200
break_s = 900
"""

ROMA = """\
# Roma: callers whom nobody owns, and what L'Aquila leaves over.
[[calls]]
portfolio_id = "front-consumer"
segment = "consumer"
a_day = 520
by_weekday = [1.2, 1.05, 1, 1, 1, 0.75, 0]
by_hour = {residential}
day_variation = 0.08
talk_s = 300
talk_variation = 1.2
wrap_up_s = 20
patience_s = 150
repeats = 0.4

[[calls]]
portfolio_id = "front-business"
segment = "business"
a_day = 210
by_weekday = [1.2, 1.05, 1, 1, 1, 0.15, 0]
by_hour = {business}
day_variation = 0.08
talk_s = 320
talk_variation = 1.2
wrap_up_s = 20
patience_s = 180
repeats = 0.4
"""

ROMA_BY_HOUR = (
    ("roma-1", "mon-fri", (4, 5, 6, 6, 6, 5, 5, 5, 5, 5, 4, 4, 3)),
    ("roma-2", "mon-fri", (3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 2)),
    ("roma-3", "mon-fri", (3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 2)),
    ("roma-1", "sat", (3, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2)),
    ("roma-2", "sat", (2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1)),
    ("roma-3", "sat", (2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1)),
)
"""From 08:00 on."""


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")


def files() -> dict[str, str]:
    """The text of both files, by name."""
    return {"week.toml": scenario(), "week.csv": roster()}


def scenario() -> str:
    # Of Python's random numbers only `random()` is promised to stay as it is.
    dice = random.Random(SEED)
    blocks = [HEAD]
    for team in range(1, TEAM_COUNT + 1):
        for market in MARKETS:
            percent = 100 + round((2 * dice.random() - 1) * SPREAD_PERCENT)
            blocks.append(callers(team, market, round(market.a_day * percent / 100)))
    blocks.append(ROMA.format(residential=RESIDENTIAL_HOURS, business=BUSINESS_HOURS))
    blocks += [roma_roster(*each) for each in ROMA_BY_HOUR]
    return "\n".join(blocks)


def callers(team: int, market: Market, a_day: int) -> str:
    return f"""\
[[calls]]
portfolio_id = "{market.name}-{team:02}"
a_day = {a_day}
by_weekday = {market.by_weekday}
by_hour = {market.by_hour}
day_variation = 0.08
talk_s = {market.talk_s}
talk_variation = 1.2
owner_talk_percent = 90
wrap_up_s = 30
patience_s = {market.patience_s}
repeats = 0.4
transfers = {{ portfolio_id = "{market.transfer_to}-{team:02}", share = 0.02 }}
"""


def roma_roster(team_id: str, days: str, agents: Sequence[int]) -> str:
    by_hour = ", ".join(map(str, (*(0,) * 8, *agents, *(0,) * 3)))
    return f'[[rosters]]\nteam_id = "{team_id}"\ndays = "{days}"\nby_hour = [{by_hour}]\n'


def roster() -> str:
    lines = ["agent_id,day,starts,ends,activity"]
    for day in range(6):
        for team in range(1, TEAM_COUNT + 1):
            lines += shifts_of_group(team, day)
    return "".join(line + "\n" for line in lines)


def shifts_of_group(team: int, day: int) -> Iterator[str]:
    """In turn, so that those who are free one day work the next, and who came early one day comes late another."""
    shifts = MONDAYS if day == 0 else SATURDAY if day == 5 else WEEKDAY
    place = day * 13 + 3 * team
    for (starts, ends), usual in shifts.items():
        for _ in range(usual + (THIN_MOVES.get((starts, ends), 0) if team == THIN_TEAM and day < 5 else 0)):
            # Steps of seven, so that each part of a day has people of all three books.
            number = (team - 1) * TEAM_SIZE + 7 * place % TEAM_SIZE
            activity = "home" if number % FROM_HOME_EVERY == 7 else "work"
            yield f"A{number + 1:03},{MONDAY + timedelta(days=day)},{starts},{ends},{activity}"
            place += 1


if __name__ == "__main__":
    main()
