"""The callers and shifts of a scenario, drawn day by day: the same for every policy that is tried on them.

Each day, portfolio and purpose has a stream of random numbers of its own. So what a caller brings along does not depend
on what becomes of others, and a change of one portfolio leaves the callers of the rest as they were.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from router.core.events import AgentEvent, AgentReady, AgentSignedIn, AgentSignedOut
from router.core.hours import OpeningHours
from router.core.model import AgentId, CallId, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.simulation.scenario import HOURS, Calls, Roster, Scenario

__all__ = ["DrawnCaller", "Shifts", "callers_of_day", "hour_marks_ms"]

_WEEK = tuple(Weekday)
# Nobody sits there for longer, if somebody fresh is at hand.
_SHIFT_MS_MAX = 8 * 3_600_000
# Beyond this, an unlucky caller would be offered to all of a small team in vain.
_MISSES_MAX = 8
_TALK_MS_MIN = 1_000
_NAVIGATION_VARIATION = 0.5
# The longest that the wire allows.
_NAVIGATION_MS_MAX = 3_600_000


class DrawnCaller(NamedTuple):
    """A caller with all that chance decides. Sorted by arrival, then id."""

    arrived_ms: int
    """Since the epoch."""
    call_id: CallId
    portfolio_id: PortfolioId
    patience_ms: int | None
    """Hangs up after so long; None: never."""
    talk_ms: int
    """At a site where calls take 100 %."""
    asks_inside: bool
    """Asks for an agent inside, when told that this is possible."""
    misses: int
    """So many offers of this call are answered by nobody."""
    navigation_ms: int | None
    """Before the arrival; None: not reported."""


class _Purpose(IntEnum):
    """What a stream of random numbers is for. Numbers are for good: a new purpose takes a new one."""

    DAY = 0
    ARRIVALS = 1
    PATIENCE = 2
    TALK = 3
    PLACE = 4
    MISSES = 5
    NAVIGATION = 6


def hour_marks_ms(day: date, zone: ZoneInfo) -> list[int]:
    """When each hour of a local day begins, and the next day: 25 moments. An hour that a clock skips has no length."""
    wall = [datetime.combine(day, time(hour), zone) for hour in range(HOURS)]
    wall.append(datetime.combine(day + timedelta(days=1), time(), zone))
    return [int(each.astimezone(UTC).timestamp()) * 1000 for each in wall]


def callers_of_day(
    scenario: Scenario, hours: Mapping[PortfolioId, OpeningHours], day: date, replication: int = 0
) -> list[DrawnCaller]:
    """Everybody who calls on a local day, by arrival. Another *replication*: other callers of the same scenario."""
    marks_ms = hour_marks_ms(day, ZoneInfo(scenario.time_zone))
    callers: list[DrawnCaller] = []
    for calls in scenario.calls:
        callers += _callers(scenario, calls, hours[calls.portfolio_id], day, marks_ms, replication)
    callers.sort()
    return callers


def _callers(
    scenario: Scenario, calls: Calls, hours: OpeningHours, day: date, marks_ms: list[int], replication: int
) -> Iterator[DrawnCaller]:
    def stream(purpose: _Purpose) -> np.random.Generator:
        key: tuple[int, ...] = (purpose, crc32(calls.portfolio_id.encode()), day.toordinal())
        if replication:
            key += (replication,)
        return np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=key))

    weekday_share = calls.by_weekday[day.weekday()] * len(calls.by_weekday) / sum(calls.by_weekday)
    arrivals = stream(_Purpose.ARRIVALS)
    count = int(arrivals.poisson(calls.a_day * weekday_share * _day_factor(stream(_Purpose.DAY), calls.day_variation)))
    # Given their number, the arrivals of a Poisson process are independent: places in the sum of the day's weights.
    until = np.concatenate(([0.0], np.cumsum(calls.by_hour)))
    arrived_ms = np.interp(np.sort(arrivals.random(count)) * until[-1], until, marks_ms).astype(np.int64).tolist()
    talk_ms = _log_normal_ms(stream(_Purpose.TALK), calls.talk_s, calls.talk_variation, count)
    navigation_ms: list[int | None] = [None] * count
    if calls.navigation_s is not None:
        drawn = _log_normal_ms(stream(_Purpose.NAVIGATION), calls.navigation_s, _NAVIGATION_VARIATION, count)
        navigation_ms = [min(each, _NAVIGATION_MS_MAX) for each in drawn]
    patience = stream(_Purpose.PATIENCE).exponential(1.0, count).tolist()
    asks = (stream(_Purpose.PLACE).random(count) < scenario.asks_inside).tolist()
    misses = _misses(stream(_Purpose.MISSES), scenario.misses, count)
    for number, at_ms in enumerate(arrived_ms):
        if hours.is_open(at_ms):
            yield DrawnCaller(
                at_ms,
                CallId(f"{calls.portfolio_id}-{day:%y%m%d}-{number}"),
                calls.portfolio_id,
                None if calls.patience_s is None else 1 + round(patience[number] * calls.patience_s * 1000),
                max(_TALK_MS_MIN, talk_ms[number]),
                asks[number],
                misses[number],
                navigation_ms[number],
            )


def _log_normal_ms(stream: np.random.Generator, mean_s: float, variation: float, count: int) -> list[int]:
    """With this mean and coefficient of variation: variance = ln(1 + cv²), mu = ln(mean) - variance / 2."""
    variance = math.log1p(variation**2)
    drawn = stream.lognormal(math.log(mean_s * 1000) - variance / 2, math.sqrt(variance), count)
    rounded: list[int] = np.rint(drawn).astype(np.int64).tolist()
    return rounded


def _day_factor(stream: np.random.Generator, variation: float) -> float:
    """Gamma with mean 1 and this coefficient of variation."""
    return float(stream.gamma(1 / variation**2, variation**2)) if variation else 1.0


def _misses(stream: np.random.Generator, probability: float, count: int) -> list[int]:
    """How many offers in a row fail, each with this probability."""
    if not probability:
        return [0] * count
    failed: list[int] = np.minimum(stream.geometric(1 - probability, count) - 1, _MISSES_MAX).tolist()
    return failed


class Shifts:
    """Who comes and goes: the teams' rosters filled with agents in turn, longest absent first."""

    def __init__(self, scenario: Scenario, organisation: Organisation) -> None:
        self._scenario = scenario
        self._zone = ZoneInfo(scenario.time_zone)
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

    def events_of_day(self, day: date) -> list[tuple[int, AgentEvent]]:
        """What agents do on a local day, by time. To be asked day by day."""
        by_hour = {team_id: self._by_hour(team_id, day) for team_id in self._rosters}
        return [
            (at_ms, event)
            for hour, at_ms in enumerate(hour_marks_ms(day, self._zone)[:HOURS])
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
