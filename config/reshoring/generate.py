"""Writes ``agents.csv`` and ``summer.toml``: people who are invented, and the callers and rosters of a summer.

python config/reshoring/generate.py [DIRECTORY]
"""

import math
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

TEAMS = (
    ("romania-residential", "R", 160), ("romania-business", "RB", 60),
    ("cagliari-residential", "C", 80), ("cagliari-business", "CB", 45),
    ("lecce-residential", "L", 70), ("lecce-business", "LB", 25),
)  # fmt: skip
"""Team, first letters of its agents' ids, and how many they are: 220 in Romania, as many in Italy."""

BY_HOUR = {
    "residential": (0, 0, 0, 0, 0, 0, 0, 0, 5, 8, 10, 10, 8.5, 6.5, 6.5, 7.5, 7.5, 7.5, 7.5, 7, 5.5, 0, 0, 0),
    "business": (0, 0, 0, 0, 0, 0, 0, 0, 6, 10, 11, 11, 8.5, 6, 6.5, 9, 9.5, 9, 7.5, 6, 0, 0, 0, 0),
}
BY_WEEKDAY = {"residential": (1.25, 1.12, 1.05, 1.03, 1, 0.7, 0), "business": (1.1, 1, 1, 1, 1, 0, 0)}
DAYS = {"residential": ("mon", "tue-fri", "sat"), "business": ("mon", "tue-fri")}
WEEKDAYS = {"mon": 0, "tue-fri": 2, "sat": 5}
TALK_S = {"residential": 270, "business": 330}
WRAP_UP_S = 30

CALLS = (
    ("residential", "residential", 4_200, 300, 35),
    ("small-business", "business", 1_000, 360, 25),
    ("soho-professional", "business", 500, 360, 25),
)
"""Portfolio, kind, calls on the mean day that is open, patience and navigation in seconds."""

ERAS: tuple[tuple[date | None, Mapping[str, Mapping[str, float]]], ...] = (
    (None, {"residential": {"romania": 1.0}, "business": {"romania": 1.0}}),
    (date(2018, 5, 14), {"residential": {"romania": 0.9, "cagliari": 0.1}}),
    (date(2018, 6, 4), {"residential": {"romania": 0.7, "cagliari": 0.2, "lecce": 0.1}}),
    (date(2018, 6, 18), {"business": {"romania": 0.8, "cagliari": 0.2}}),
    (date(2018, 7, 2), {"residential": {"romania": 0.5, "cagliari": 0.25, "lecce": 0.25}}),
    (date(2018, 7, 9), {"business": {"romania": 0.67, "cagliari": 0.33}}),
    (date(2018, 7, 23), {"business": {"romania": 0.47, "cagliari": 0.4, "lecce": 0.13}}),
    (date(2018, 8, 27), {"residential": {"romania": 0.3, "cagliari": 0.35, "lecce": 0.35}}),
    (date(2018, 9, 3), {"business": {"romania": 0.33, "cagliari": 0.47, "lecce": 0.2}}),
    (date(2018, 9, 17), {kind: {"romania": 0.1, "cagliari": 0.5, "lecce": 0.4} for kind in TALK_S}),
)
"""From when on which part of the work is staffed where; what a later one does not name stays."""

HEAD = """\
# The summer of 2018, [1 May, 1 October): some 5,500 calls a day of work, and rosters that follow the steps of the plan.
# Written by generate.py. Rates and rosters are invented.

config = "."
starts = 2018-05-01
ends = 2018-10-01
seed = 2018
misses = 0.005
"""

NEW_SITES = """
# Who is new takes a little longer.
[[sites]]
site_id = "cagliari"
talk_percent = 105

[[sites]]
site_id = "lecce"
talk_percent = 105
"""


def agents() -> str:
    rows = [f"{letters}{number:03},{team}" for team, letters, size in TEAMS for number in range(1, size + 1)]
    return "\n".join(["agent_id,team_id", *rows]) + "\n"


def summer() -> str:
    return "".join([HEAD, *map(_calls, CALLS), NEW_SITES, *_rosters()])


def _calls(calls: tuple[str, str, int, int, int]) -> str:
    portfolio_id, kind, a_day, patience_s, navigation_s = calls
    return f"""
[[calls]]
portfolio_id = "{portfolio_id}"
a_day = {a_day}
by_weekday = {list(BY_WEEKDAY[kind])}
by_hour = {list(BY_HOUR[kind])}
day_variation = 0.06
talk_s = {TALK_S[kind]}
talk_variation = 1.1
patience_s = {patience_s}
navigation_s = {navigation_s}
"""


def _rosters() -> Iterator[str]:
    for kind in TALK_S:
        eras = [(starts, parts[kind]) for starts, parts in ERAS if kind in parts]
        for number, (starts, parts) in enumerate(eras):
            ends = eras[number + 1][0] if number + 1 < len(eras) else None
            for site_id, part in parts.items():
                for days in DAYS[kind]:
                    yield _roster(f"{site_id}-{kind}", kind, part, days, starts, ends)


def _roster(team_id: str, kind: str, part: float, days: str, starts: date | None, ends: date | None) -> str:
    weekday = BY_WEEKDAY[kind][WEEKDAYS[days]] / (sum(BY_WEEKDAY[kind]) / 7)
    a_day = part * weekday * sum(each[2] for each in CALLS if each[1] == kind)
    by_hour = [_staff(a_day * hour / sum(BY_HOUR[kind]), TALK_S[kind] + WRAP_UP_S) for hour in BY_HOUR[kind]]
    span = "".join(
        f"{name} = {day}\n" for name, day in (("valid_from", starts), ("valid_until", ends)) if day is not None
    )
    return f"""
[[rosters]]
team_id = "{team_id}"
days = "{days}"
{span}by_hour = {by_hour}
"""


def _staff(calls: float, handling_s: float) -> int:
    """Square-root staffing: the offered load, and its root for safety."""
    load = calls * handling_s / 3_600
    return math.ceil(load + 0.8 * math.sqrt(load)) if load else 0


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in (("agents.csv", agents()), ("summer.toml", summer())):
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
