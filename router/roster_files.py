"""Reading rosters: who is to work when, a CSV file of shifts in the local time of the site where they are worked."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from router.core.errors import Problem
from router.core.model import Agent, AgentId, Id, Site, SiteId
from router.core.organisation import Organisation
from router.reading import nearest
from router.tables import rows_in_csv

__all__ = ["Activity", "Roster", "Shift", "ShiftRow", "local_ms", "read_roster", "read_shifts", "roster_of"]

# Longer than any shift: a slip in one of its two times.
_SHIFT_MS_MAX = 16 * 3_600_000


class Activity(StrEnum):
    """What an agent is there for."""

    WORK = "work"
    """Takes calls, on a seat of the site."""
    TRAINING = "training"
    """Takes no calls, and sits in a training room; on a seat like others where the site has none."""
    HOME = "home"
    """Takes calls at home, and needs no seat."""
    BREAK = "break"
    """A pause of whoever is there: takes no calls, and keeps the seat."""


class ShiftRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A shift as written in a file: local time of its site, on the day on which it starts."""

    agent_id: Annotated[AgentId, Id]
    day: date
    starts: time
    ends: time
    """At or before ``starts``: on the next day, so that 00:00 is the midnight at the end of the day."""
    activity: Activity = Activity.WORK
    site_id: Annotated[SiteId, Id] | None = None
    """None: the agent's own site."""
    where: str = ""


class Shift(NamedTuple):
    """A shift of an agent whom the organisation knows."""

    agent: Agent
    site: Site
    from_ms: int
    until_ms: int
    activity: Activity
    day: date
    """On which it starts."""
    where: str

    @property
    def takes_calls(self) -> bool:
        return self.activity not in (Activity.TRAINING, Activity.BREAK)

    @property
    def takes_seat(self) -> bool:
        in_training_room = self.activity is Activity.TRAINING and bool(self.site.training_rooms)
        return self.activity is not Activity.HOME and not in_training_room


class Roster(NamedTuple):
    """What could be read of a roster."""

    shifts: tuple[Shift, ...]
    """As they stand in the file."""
    problems: tuple[Problem, ...]
    """What could not be, and what cannot be worked: unknown agents, overlaps, shifts that are too long."""
    warnings: tuple[Problem, ...]
    """Times that do not exist on their day, or come twice."""


def read_roster(path: Path, organisation: Organisation) -> Roster:
    """Read a roster and find what cannot be worked whatever the calendar. Never raises for anything in the file."""
    problems: list[Problem] = []
    rows = read_shifts(path, problems)
    return roster_of(rows, organisation, problems)


def read_shifts(path: Path, problems: list[Problem]) -> tuple[ShiftRow, ...]:
    """The rows that can be read; *problems* grows by what is wrong with the others."""
    return tuple(rows_in_csv(path, path.name, ShiftRow, problems))


def roster_of(rows: Iterable[ShiftRow], organisation: Organisation, found: Iterable[Problem] = ()) -> Roster:
    """The roster of *rows*, with what was *found* before among its problems."""
    problems = list(found)
    warnings: list[Problem] = []
    shifts = []
    for row in rows:
        shift = _shift(row, organisation, problems, warnings)
        if shift is not None:
            shifts.append(shift)
    problems += _overlaps(shifts)
    return Roster(tuple(shifts), tuple(problems), tuple(warnings))


def _shift(row: ShiftRow, organisation: Organisation, problems: list[Problem], warnings: list[Problem]) -> Shift | None:
    agent = organisation.agents.get(row.agent_id)
    if agent is None:
        hint = nearest(row.agent_id, organisation.agents)
        problems.append(Problem(row.where, "agent_id", f"there is no agent {row.agent_id!r}{hint}"))
        return None
    site = organisation.sites.get(row.site_id or agent.site_id or organisation.teams[agent.team_id].site_id)
    if site is None:
        problems.append(Problem(row.where, "site_id", f"there is no site {row.site_id!r}"))
        return None
    zone = ZoneInfo(site.time_zone)
    last_day = row.day if row.ends > row.starts else row.day + timedelta(days=1)
    from_ms, until_ms = local_ms(row.day, row.starts, zone), local_ms(last_day, row.ends, zone)
    for field, day, moment in (("starts", row.day, row.starts), ("ends", last_day, row.ends)):
        if odd := _odd(day, moment, zone):
            warnings.append(Problem(row.where, field, odd))
    if not 0 < until_ms - from_ms <= _SHIFT_MS_MAX:
        hours = (until_ms - from_ms) / 3_600_000
        message = f"the shift lasts {hours:g} hours, from {row.starts:%H:%M} to {row.ends:%H:%M}: is one of them wrong?"
        problems.append(Problem(row.where, "ends", message))
        return None
    return Shift(agent, site, from_ms, until_ms, row.activity, row.day, row.where)


def _odd(day: date, moment: time, zone: ZoneInfo) -> str | None:
    """What is odd about a local time; None: nothing."""
    local = datetime.combine(day, moment, zone)
    if local.utcoffset() == local.replace(fold=1).utcoffset():
        return None
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return f"the clocks of {zone.key} leave out {moment:%H:%M} on {day}: taken as an hour of the time before"
    return f"{moment:%H:%M} comes twice in {zone.key} on {day}: taken as the first"


def _overlaps(shifts: Iterable[Shift]) -> Iterator[Problem]:
    by_agent: defaultdict[AgentId, list[Shift]] = defaultdict(list)
    for shift in shifts:
        by_agent[shift.agent.agent_id].append(shift)
    for agent_id in sorted(by_agent):
        longest: Shift | None = None  # Of those so far, the one that ends last.
        for shift in sorted(by_agent[agent_id], key=lambda each: (each.from_ms, each.until_ms, each.where)):
            if longest is not None and shift.from_ms < longest.until_ms:
                message = f"agent {agent_id} is already at work then, see {longest.where}: one shift must give way"
                yield Problem(shift.where, "starts", message)
            if longest is None or shift.until_ms > longest.until_ms:
                longest = shift


def local_ms(day: date, moment: time, zone: ZoneInfo) -> int:
    """A local time in milliseconds since the epoch, as opening hours read it.

    Of a time that comes twice the first is meant; one that the clocks leave out counts from the offset before.
    """
    return int(datetime.combine(day, moment, zone).astimezone(UTC).timestamp()) * 1000
