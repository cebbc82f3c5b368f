"""Reads a scenario: a TOML file beside the organisation that it is played with, and the files that it names.

All that can be wrong with it is said at once, before anything is played.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from msgspec.structs import replace

from router.core.errors import Problem
from router.core.model import Weekday
from router.load_files import read_load_rows
from router.reading import StructT, nearest, note_unknown, noter, read_fields, read_row, read_toml
from router.roster_files import read_shifts
from router.simulation.recorded import TIMES_FROM_LOGS, log_parts, with_logs
from router.simulation.scenario import (
    EVERY_DAY_ALIKE,
    HOURS,
    Calls,
    Log,
    Roster,
    Scenario,
    ScenarioError,
    ScenarioHeading,
    SiteTalk,
)
from router.simulation.times import Times, problems_of_times

__all__ = ["read_scenario"]

_WEEK = tuple(Weekday)
_DAYS_MAX = 3_660
_REPEATS_MAX = 20

_TABLES: dict[str, type[Struct]] = {"calls": Calls, "rosters": Roster, "sites": SiteTalk, "logs": Log}

# --- Reading -------------------------------------------------------------------------------------------------------


def read_scenario(path: Path) -> Scenario:
    """Read a scenario and check what can be checked without its organisation.

    Args:
        path: The TOML file.

    Raises:
        ScenarioError: With all problems.
    """
    problems: list[Problem] = []
    note = noter(problems, path.name)
    raw = read_toml(path, note)
    if raw is None:
        raise ScenarioError(problems)
    note_unknown(raw, (*_TABLES, *ScenarioHeading.__struct_fields__), "key", note)
    fields = {key: raw[key] for key in ScenarioHeading.__struct_fields__ if key in raw}
    heading = read_fields(ScenarioHeading, fields, note)
    tables = {name: _rows(raw.get(name, []), name, path.name, kind, problems) for name, kind in _TABLES.items()}
    if problems:
        raise ScenarioError(problems)
    values: dict[str, Any] = {**heading, **tables}
    scenario = Scenario(**values, where=path.name)
    problems += _own_problems(scenario)
    shifts = read_shifts(path.parent / scenario.roster, problems) if scenario.roster is not None else ()
    load_rows = read_load_rows(path.parent / scenario.load, problems) if scenario.load is not None else ()
    if problems:
        raise ScenarioError(problems)
    logs = tuple(replace(log, file=path.parent / log.file, mapping=path.parent / log.mapping) for log in scenario.logs)
    config = path.parent / scenario.config
    return with_logs(replace(scenario, config=config, shifts=shifts, load_rows=load_rows, logs=logs))


def _rows(entries: Any, name: str, file: str, kind: type[StructT], problems: list[Problem]) -> tuple[StructT, ...]:
    if not isinstance(entries, list):
        problems.append(Problem(file, name, f"must be tables: write [[{name}]] above each, and its fields below it"))
        return ()
    rows = []
    for number, table in enumerate(entries, start=1):
        where = f"{file}, {name} entry {number}"
        row = read_row(kind, table, noter(problems, where), where=where)
        if row is not None:
            rows.append(row)
    return tuple(rows)


def _own_problems(scenario: Scenario) -> Iterator[Problem]:
    heading = _told(scenario.where)
    if scenario.ends <= scenario.starts:
        yield heading("ends", f"{scenario.ends} is not after starts, {scenario.starts}")
    elif (scenario.ends - scenario.starts).days > _DAYS_MAX:
        yield heading("ends", f"is more than {_DAYS_MAX} days after starts: write a shorter time")
    elif not 0 <= scenario.warm_up_days < (scenario.ends - scenario.starts).days:
        yield heading("warm_up_days", f"{scenario.warm_up_days} would leave no day to count: write fewer, or 0")
    try:
        ZoneInfo(scenario.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield heading("time_zone", f"{scenario.time_zone!r} is no time zone: write one such as Europe/Rome")
    if scenario.seed < 0:
        yield heading("seed", f"{scenario.seed} is negative: write 0 or more")
    yield from _share_problems(scenario, heading, "asks_inside", "misses", "declines")
    if scenario.misses == 1:
        yield heading("misses", "nobody would ever answer: write less than 1")
    elif scenario.misses + scenario.declines >= 1:
        yield heading("declines", "nobody would ever answer: misses and declines must be less than 1 together")
    yield from _number_problems(scenario, heading, "agent_variation")
    yield from _time_problems(scenario, heading, "answer_s")
    yield from _presence_problems(scenario)
    if not scenario.calls:
        yield heading("calls", "nobody calls: write [[calls]] with a portfolio_id")
    if not scenario.rosters and scenario.roster is None:
        yield heading("rosters", "there are no agents: write [[rosters]] with a team_id, or name a roster file")
    logs = [log.log_id for log in scenario.logs]
    for number, log in enumerate(scenario.logs):
        if log.log_id in logs[:number]:
            yield Problem(log.where, "log_id", f"{log.log_id!r} stands twice")
    for calls in scenario.calls:
        yield from _problems_of_calls(calls, is_load_given=scenario.load is not None)
        for field, part in log_parts(calls):
            if part.log not in logs:
                yield Problem(calls.where, field, f"there is no log {part.log!r}{nearest(part.log, logs)}")
    for roster in scenario.rosters:
        yield from _profile_problems(roster.where, "by_hour", roster.by_hour, HOURS, "agents", may_be_none=True)
    for site in scenario.sites:
        if site.talk_percent <= 0:
            yield Problem(site.where, "talk_percent", f"{site.talk_percent} is not more than 0")


def _presence_problems(scenario: Scenario) -> Iterator[Problem]:
    presence, where = scenario.presence, f"{scenario.where}, presence"
    told = _told(where)
    yield from _share_problems(presence, told, "absence", "late")
    if presence.absence == 1:
        yield told("absence", "nobody would ever come: write less than 1")
    yield from _time_problems(presence, told, "late_s")
    for name in ("break_every_s", "break_s"):
        value = getattr(presence, name)
        if value is not None and not 60 <= value <= 86_400:
            yield told(name, f"{value} is not possible: write 60 to 86400")


def _problems_of_calls(calls: Calls, *, is_load_given: bool) -> Iterator[Problem]:
    told = _told(calls.where)
    yield from _number_problems(calls, told, "a_day", "day_variation", "talk_variation")
    yield from _time_problems(calls, told, "talk_s", "wrap_up_s", "patience_s", "navigation_s", "repeat_after_s")
    yield from _share_problems(calls, told, "unknown", "repeats")
    for name in ("talk_s", "wrap_up_s", "repeat_after_s"):
        times = getattr(calls, name)
        if isinstance(times, Times) and times.log is not None and name not in TIMES_FROM_LOGS:
            yield told(name, "a log says nothing of this: write a law, or seconds")
    if calls.days_of is None and calls.a_day is None and is_load_given:
        if calls.by_hour or calls.by_weekday != EVERY_DAY_ALIKE:
            yield told("by_hour", "the load file says when they call: remove by_hour and by_weekday, or write a_day")
    elif calls.days_of is None:
        if calls.a_day is None:
            yield told("a_day", "is missing: write how many call, or take days_of a log, or name a load file")
        yield from _profile_problems(calls.where, "by_weekday", calls.by_weekday, len(_WEEK), "weights")
        yield from _profile_problems(calls.where, "by_hour", calls.by_hour, HOURS, "weights")
    elif calls.a_day is not None or calls.by_hour or calls.day_variation:
        yield told("days_of", "says how many call and when: remove a_day, by_hour and day_variation")
    if calls.owner_talk_percent <= 0:
        yield told("owner_talk_percent", f"{calls.owner_talk_percent} is not more than 0")
    if not 0 <= calls.repeats_max <= _REPEATS_MAX:
        yield told("repeats_max", f"{calls.repeats_max} is not possible: write 0 to {_REPEATS_MAX}")
    if sum(each.share for each in calls.transfers) > 1:
        yield told("transfers", "are more than all calls: write shares that are 1 at most together")
    for number, each in enumerate(calls.transfers, start=1):
        name = f"transfers entry {number}"
        if not 0 <= each.share <= 1:
            yield told(f"{name}, share", f"{each.share:g} is no share: write a number from 0 to 1")
        if not 0 < each.after_percent < 100:
            yield told(f"{name}, after_percent", f"{each.after_percent} is not possible: write 1 to 99")


_Told = Callable[[str, str], Problem]


def _told(where: str) -> _Told:
    return lambda field, message: Problem(where, field, message)


def _share_problems(of: Struct, told: _Told, *names: str) -> Iterator[Problem]:
    for name in names:
        share = getattr(of, name)
        if not 0 <= share <= 1:
            yield told(name, f"{share:g} is no share: write a number from 0 to 1")


def _number_problems(of: Struct, told: _Told, *names: str) -> Iterator[Problem]:
    for name in names:
        value = getattr(of, name)
        if value is not None and not 0 <= value < float("inf"):
            yield told(name, f"{value:g} is not possible: write 0 or more")


def _time_problems(of: Struct, told: _Told, *names: str) -> Iterator[Problem]:
    for name in names:
        value = getattr(of, name)
        if value is not None:
            found = problems_of_times(value, name, may_never_end=name == "patience_s")
            yield from (told(field, message) for field, message in found)


def _profile_problems(
    where: str, field: str, profile: Sequence[float], length: int, what: str, *, may_be_none: bool = False
) -> Iterator[Problem]:
    if len(profile) != length:
        yield Problem(where, field, f"has {len(profile)} {what}: write {length}, {_FIRST[length]} first")
    elif any(not 0 <= each < float("inf") for each in profile):
        yield Problem(where, field, f"has negative {what}: write 0 or more")
    elif not may_be_none and not any(profile):
        yield Problem(where, field, f"has no {what} but 0: leave the calls out, or give one more than 0")


_FIRST = {HOURS: "that of 00:00", len(_WEEK): "that of Monday"}
