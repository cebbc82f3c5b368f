"""Who comes and goes: agents in turn as many as a scenario's rosters say, or each as a roster file says.

Whether an agent comes at all, and how late, is drawn by agent and day.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from router.core.events import AgentEvent, AgentNotReady, AgentReady, AgentSignedIn, AgentSignedOut
from router.core.model import AgentId, TeamId, Weekday
from router.core.organisation import Organisation
from router.roster_files import Activity, Shift, roster_of
from router.simulation.scenario import HOURS, Roster, Scenario
from router.simulation.times import Law, drawn_ms, times_of
from router.simulation.traffic import Purpose, hour_marks_ms, stream_of

__all__ = ["BREAK", "Shifts"]

BREAK: Final = "break"
"""Why an agent is not ready."""
_WEEK = tuple(Weekday)
# Nobody sits there for longer, if somebody fresh is at hand.
_SHIFT_MS_MAX = 8 * 3_600_000
# Whoever is later than this does not come at all.
_LATE_MS_MAX = 1_800_000

_Timed = tuple[int, AgentEvent]


class Shifts:
    """What agents do of their own accord, day by day."""

    def __init__(self, scenario: Scenario, organisation: Organisation, replication: int = 0) -> None:
        """Another *replication*: others are absent and late."""
        self._scenario = scenario
        self._replication = replication
        self._zone = ZoneInfo(scenario.time_zone)
        self._rota = _Rota(scenario, organisation)
        self._file: dict[date, list[Shift]] = {}
        for shift in roster_of(scenario.shifts, organisation).shifts:
            self._file.setdefault(shift.day, []).append(shift)
        self._stays_away: set[AgentId] = set()
        """Those who did not come to the present shift."""

    def events_of_day(self, day: date) -> list[_Timed]:
        """What agents do on a local day, by time. To be asked day by day."""
        events: list[_Timed] = self._rota.events(day, hour_marks_ms(day, self._zone))
        presence = self._scenario.presence
        if presence.absence or presence.late:
            events = list(self._as_they_come(events, day))
        of_file: list[_Timed] = []
        for shifts in _by_agent(self._file.get(day, ())):
            late_ms = self._late_ms(shifts[0].agent.agent_id, day)
            if late_ms is not None:
                of_file += _spells(shifts, late_ms)
        # Whoever goes, goes first, so that those who come find their seats. A sort keeps the order of one moment.
        events += sorted(of_file, key=lambda each: not isinstance(each[1], AgentSignedOut))
        return sorted(events, key=lambda each: each[0])

    def _late_ms(self, agent_id: AgentId, day: date) -> int | None:
        """How late the agent comes on a day; None: not at all."""
        presence = self._scenario.presence
        if not presence.absence and not presence.late:
            return 0
        stream = stream_of(self._scenario, Purpose.PRESENCE, agent_id, day, self._replication)
        is_absent, is_late = stream.random(2) < (presence.absence, presence.late)
        if is_absent:
            return None
        (late_ms,) = drawn_ms(times_of(presence.late_s, Law.EXPONENTIAL), stream, 1).tolist()
        return min(late_ms, _LATE_MS_MAX) if is_late else 0

    def _as_they_come(self, events: Iterable[_Timed], day: date) -> Iterator[_Timed]:
        coming: dict[AgentId, int] = {}
        for at_ms, event in events:
            agent_id = event.agent_id
            if isinstance(event, AgentSignedIn):
                late_ms = self._late_ms(agent_id, day)
                if late_ms is None:
                    self._stays_away.add(agent_id)
                else:
                    coming[agent_id] = late_ms
            if agent_id not in self._stays_away:
                yield at_ms + (0 if isinstance(event, AgentSignedOut) else coming[agent_id]), event
            elif isinstance(event, AgentSignedOut):
                self._stays_away.discard(agent_id)


def _by_agent(shifts: Iterable[Shift]) -> Iterator[list[Shift]]:
    in_order = sorted(shifts, key=lambda shift: (shift.agent.agent_id, shift.from_ms))
    for _, theirs in groupby(in_order, key=lambda shift: shift.agent.agent_id):
        yield list(theirs)


def _spells(shifts: list[Shift], late_ms: int) -> Iterator[_Timed]:
    """An agent's day: a break that follows work at once is no reason to leave; training is."""
    agent_id = shifts[0].agent.agent_id
    there_until_ms: int | None = None
    for number, shift in enumerate(shifts):
        from_ms = shift.from_ms + (min(late_ms, (shift.until_ms - shift.from_ms) // 2) if number == 0 else 0)
        is_there = there_until_ms == shift.from_ms
        if there_until_ms is not None and not (is_there and shift.activity is not Activity.TRAINING):
            yield there_until_ms, AgentSignedOut(agent_id=agent_id)
            there_until_ms = None
        if shift.activity is Activity.TRAINING:
            continue
        if there_until_ms is None:
            yield from_ms, _sign_in(shift)
        if shift.activity is Activity.BREAK:
            yield from_ms, AgentNotReady(agent_id=agent_id, reason=BREAK)
        else:
            yield from_ms, AgentReady(agent_id=agent_id)
        there_until_ms = shift.until_ms
    if there_until_ms is not None:
        yield there_until_ms, AgentSignedOut(agent_id=agent_id)


def _sign_in(shift: Shift) -> AgentSignedIn:
    country = shift.site.country if shift.activity is Activity.HOME else None
    site_id = None if country is not None else shift.site.site_id
    return AgentSignedIn(agent_id=shift.agent.agent_id, site_id=site_id, country=country)


class _Rota:
    """The teams' rosters by the hour, filled with agents in turn, longest absent first."""

    def __init__(self, scenario: Scenario, organisation: Organisation) -> None:
        self._rosters: dict[TeamId, list[Roster]] = {}
        for roster in scenario.rosters:
            self._rosters.setdefault(roster.team_id, []).append(roster)
        self._closed_on = {
            team_id: frozenset(organisation.sites[organisation.teams[team_id].site_id].closed_on)
            for team_id in self._rosters
        }
        self._away: dict[TeamId, deque[AgentId]] = {team_id: deque() for team_id in self._rosters}
        for agent_id, agent in sorted(organisation.agents.items()):
            if agent.team_id in self._away:
                self._away[agent.team_id].append(agent_id)
        self._there: dict[TeamId, deque[tuple[int, AgentId]]] = {team_id: deque() for team_id in self._rosters}
        """Since when, and who; longest first."""

    def events(self, day: date, marks_ms: list[int]) -> list[_Timed]:
        by_hour = {team_id: self._by_hour(team_id, day) for team_id in self._rosters}
        return [
            (at_ms, event)
            for hour, at_ms in enumerate(marks_ms[:HOURS])
            for team_id in self._rosters
            for event in self._change(team_id, by_hour[team_id][hour], at_ms)
        ]

    def _by_hour(self, team_id: TeamId, day: date) -> tuple[int, ...]:
        """How many are wanted on a day."""
        if day not in self._closed_on[team_id]:
            for roster in self._rosters[team_id]:
                if roster.is_valid(day) and _WEEK[day.weekday()] in roster.days:
                    return roster.by_hour
        return (0,) * HOURS

    def _change(self, team_id: TeamId, wanted: int, at_ms: int) -> Iterator[AgentEvent]:
        there, away = self._there[team_id], self._away[team_id]
        tired = sum(since_ms <= at_ms - _SHIFT_MS_MAX for since_ms, _ in there)
        going = max(len(there) - wanted, min(tired, len(away) - max(0, wanted - len(there))))
        # First, so that those who come find their seats.
        for _ in range(going):
            _, agent_id = there.popleft()
            away.append(agent_id)
            yield AgentSignedOut(agent_id=agent_id)
        for _ in range(wanted - len(there)):
            agent_id = away.popleft()
            there.append((at_ms, agent_id))
            yield AgentSignedIn(agent_id=agent_id)
            yield AgentReady(agent_id=agent_id)
