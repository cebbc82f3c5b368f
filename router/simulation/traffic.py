"""The callers of a scenario, drawn day by day: the same for every policy that is tried on them.

Each day, portfolio and purpose has a stream of random numbers of its own. So what a caller brings along does not depend
on what becomes of others, and a change of one portfolio leaves the callers of the rest as they were.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from itertools import repeat
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from router.core.model import AgentId, CallId, ClientId, PortfolioId, Weekday
from router.core.organisation import Organisation
from router.load_files import LoadRow
from router.simulation.scenario import HOURS, Calls, Scenario
from router.simulation.times import Law, drawn_ms, log_normal_ms, times_of

__all__ = ["DrawnCaller", "Purpose", "Traffic", "calls_an_hour", "hour_marks_ms", "permille_of_agents", "stream_of"]

# Beyond this, an unlucky caller would be offered to all of a small team in vain.
_MISSES_MAX = 8
# An offer that rings for longer than it stands is missed; few calls have three like that.
_RINGS = 3
_TALK_MS_MIN = 1_000
_NAVIGATION_VARIATION = 0.5
# The longest that the wire allows.
_NAVIGATION_MS_MAX = 3_600_000
# Nobody talks for a tenth of the time, or ten times as long, on all calls.
_PERMILLE_MIN, _PERMILLE_MAX = 100, 10_000


class DrawnCaller(NamedTuple):
    """A caller with all that chance decides. Sorted by arrival, then id."""

    arrived_ms: int
    """Since the epoch."""
    call_id: CallId
    portfolio_id: PortfolioId
    patience_ms: int | None
    """Hangs up after so long; None: never."""
    talk_ms: int
    """At a site where calls take 100 %, with an agent like others who is not the client's owner."""
    asks_inside: bool
    """Asks for an agent inside, when told that this is possible."""
    misses: int
    """So many offers of this call are answered by nobody."""
    navigation_ms: int | None
    """Before the arrival; None: not reported."""
    client_id: ClientId | None = None
    """None: nobody whom the router knows."""
    segment: str | None = None
    """No more is known of the caller; None: the client or the portfolio is."""
    wrap_up_ms: int | None = None
    """What the agent needs after the call; None: as long as the team allows."""
    declines: int = 0
    """So many offers of this call are refused, before those that are missed."""
    rings_ms: Sequence[int] = ()
    """How long it rings until an agent answers, by offer, then from the first again; empty: no time at all."""
    transfer_to: PortfolioId | None = None
    """What the caller turns out to want; None: nothing else."""
    transfer_percent: int = 0
    """Of the talk, so much is over by then."""
    again: tuple[tuple[int, int], ...] = ()
    """After hanging up, calls again after so long, with so much patience: once for each pair, at most."""


class Purpose(IntEnum):
    """What a stream of random numbers is for. Numbers are for good: a new purpose takes a new one."""

    DAY = 0
    ARRIVALS = 1
    PATIENCE = 2
    TALK = 3
    PLACE = 4
    MISSES = 5
    NAVIGATION = 6
    CLIENT = 7
    UNKNOWN = 8
    WRAP_UP = 9
    DECLINES = 10
    ANSWER = 11
    TRANSFER = 12
    REPEATS = 13
    REPEAT_AFTER = 14
    REPEAT_PATIENCE = 15
    AGENT = 16
    PRESENCE = 17
    BREAK = 18


_Streams = Callable[[Purpose], np.random.Generator]


def stream_of(
    scenario: Scenario, purpose: Purpose, name: str, day: date | None, replication: int
) -> np.random.Generator:
    """The random numbers for a purpose, of a portfolio or an agent, on a day or for good."""
    key: tuple[int, ...] = (purpose, crc32(name.encode()), day.toordinal() if day is not None else 0)
    if replication:
        key += (replication,)
    return np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=key))


def hour_marks_ms(day: date, zone: ZoneInfo) -> list[int]:
    """When each hour of a local day begins, and the next day: 25 moments. An hour that a clock skips has no length."""
    wall = [datetime.combine(day, time(hour), zone) for hour in range(HOURS)]
    wall.append(datetime.combine(day + timedelta(days=1), time(), zone))
    return [int(each.astimezone(UTC).timestamp()) * 1000 for each in wall]


def calls_an_hour(rows: Iterable[LoadRow]) -> dict[PortfolioId, list[list[float]]]:
    """By portfolio: for each weekday, Monday first, the calls of each hour. A load is looked at by quarters."""
    load: dict[PortfolioId, list[list[float]]] = {}
    for row in rows:
        week = load.setdefault(row.portfolio_id, [[0.0] * HOURS for _ in Weekday])
        for hours, weekday in zip(week, Weekday, strict=True):
            for hour in range(HOURS):
                quarters = sum(row.is_due(weekday, time(hour, minute)) for minute in (0, 15, 30, 45))
                hours[hour] += float(row.calls_per_hour) * quarters / 4
    return load


def permille_of_agents(scenario: Scenario, agents: Iterable[AgentId]) -> dict[AgentId, int]:
    """How long each talks, in thousandths of what is usual: the same people in all replications. Log-normal, mean 1."""
    if not scenario.agent_variation:
        return {}
    permille = {}
    for agent_id in agents:
        stream = stream_of(scenario, Purpose.AGENT, agent_id, None, 0)
        # A mean of 1 s is one of 1,000 ms.
        (drawn,) = log_normal_ms(stream, 1.0, scenario.agent_variation, 1).tolist()
        permille[agent_id] = min(max(drawn, _PERMILLE_MIN), _PERMILLE_MAX)
    return permille


class Traffic:
    """Everybody who calls."""

    def __init__(self, scenario: Scenario, organisation: Organisation, replication: int = 0) -> None:
        """Another *replication*: other callers of the same scenario."""
        self._scenario = scenario
        self._replication = replication
        self._hours = organisation.hours
        self._zone = ZoneInfo(scenario.time_zone)
        self._load = calls_an_hour(scenario.load_rows)
        everybody = _clients_by_portfolio(organisation)
        self._clients = {
            calls.portfolio_id: everybody[calls.portfolio_id]
            for calls in scenario.calls
            if calls.segment is None and calls.portfolio_id in everybody
        }

    def callers_of_day(self, day: date) -> list[DrawnCaller]:
        """Everybody who calls on a local day, by arrival."""
        marks_ms = hour_marks_ms(day, self._zone)
        callers: list[DrawnCaller] = []
        for calls in self._scenario.calls:
            callers += self._callers(calls, day, marks_ms)
        callers.sort()
        return callers

    def _callers(self, calls: Calls, day: date, marks_ms: list[int]) -> Iterator[DrawnCaller]:
        def stream(purpose: Purpose) -> np.random.Generator:
            return stream_of(scenario, purpose, calls.portfolio_id, day, self._replication)

        scenario, hours = self._scenario, self._hours[calls.portfolio_id]
        arrived_ms = self._arrivals(calls, day, marks_ms, stream)
        count = len(arrived_ms)
        if not count:
            return
        talks = times_of(calls.talk_s, Law.LOG_NORMAL, calls.talk_variation)
        misses, declines = _refusals(scenario, stream, count)
        transfers, percents = _transfers(calls, stream, count)
        for each in zip(
            arrived_ms,
            [CallId(f"{calls.portfolio_id}-{day:%y%m%d}-{number}") for number in range(count)],
            repeat(calls.portfolio_id),
            _patience_ms(calls, stream, count),
            np.maximum(drawn_ms(talks, stream(Purpose.TALK), count), _TALK_MS_MIN).tolist(),
            (stream(Purpose.PLACE).random(count) < scenario.asks_inside).tolist(),
            misses,
            _navigation_ms(calls, stream, count),
            self._client_ids(calls, stream, count),
            repeat(calls.segment),
            _wrap_up_ms(calls, stream, count),
            declines,
            _rings_ms(scenario, stream, count),
            transfers,
            percents,
            _again(calls, stream, count),
            strict=False,
        ):
            if hours.is_open(each[0]):
                yield DrawnCaller(*each)

    def _arrivals(self, calls: Calls, day: date, marks_ms: list[int], stream: _Streams) -> list[int]:
        arrivals = stream(Purpose.ARRIVALS)
        if calls.days_of is not None:
            days = [each for each in self._scenario.recorded[calls.portfolio_id] if each.weekday == day.weekday()]
            if not days:
                return []
            clock_ms = days[int(arrivals.integers(len(days)))].arrived_ms
            return [marks_ms[each // 3_600_000] + each % 3_600_000 for each in clock_ms]
        if calls.a_day is None:
            by_hour: Sequence[float] = self._load[calls.portfolio_id][day.weekday()]
            expected = sum(by_hour)
        else:
            by_hour = calls.by_hour
            expected = calls.a_day * calls.by_weekday[day.weekday()] * len(calls.by_weekday) / sum(calls.by_weekday)
        factor = _day_factor(stream(Purpose.DAY), calls.day_variation) if calls.day_variation else 1.0
        count = int(arrivals.poisson(expected * factor))
        # Given their number, the arrivals of a Poisson process are independent: places in the sum of the day's weights.
        until = np.concatenate(([0.0], np.cumsum(by_hour)))
        places = np.sort(arrivals.random(count)) * until[-1]
        arrived_ms: list[int] = np.interp(places, until, marks_ms).astype(np.int64).tolist()
        return arrived_ms

    def _client_ids(self, calls: Calls, stream: _Streams, count: int) -> Iterable[ClientId | None]:
        clients = self._clients.get(calls.portfolio_id)
        if clients is None:
            return repeat(None)
        drawn = clients.drawn(stream(Purpose.CLIENT).random(count))
        if not calls.unknown:
            return drawn
        is_unknown = (stream(Purpose.UNKNOWN).random(count) < calls.unknown).tolist()
        return [None if unknown else client_id for unknown, client_id in zip(is_unknown, drawn, strict=True)]


class _Clients:
    """The clients of a portfolio, who call the more, the more work they are expected to make."""

    def __init__(self, clients: Sequence[tuple[ClientId, int | None]]) -> None:
        self._ids = [client_id for client_id, _ in clients]
        said = [minutes for _, minutes in clients if minutes is not None]
        usual = sum(said) / len(said) if any(said) else 1.0
        weights = [usual if minutes is None or not any(said) else minutes for _, minutes in clients]
        self._until = np.cumsum(weights)

    def drawn(self, uniform: NDArray[np.float64]) -> list[ClientId]:
        places = np.searchsorted(self._until, uniform * self._until[-1], side="right")
        # The last number below 1 may round up to the end.
        return [self._ids[place] for place in np.minimum(places, len(self._ids) - 1).tolist()]


def _clients_by_portfolio(organisation: Organisation) -> dict[PortfolioId, _Clients]:
    clients: dict[PortfolioId, list[tuple[ClientId, int | None]]] = {}
    for client in organisation.description.clients:
        portfolio_id = client.portfolio_id or organisation.default_portfolio
        clients.setdefault(portfolio_id, []).append((client.client_id, client.minutes_a_month))
    return {portfolio_id: _Clients(theirs) for portfolio_id, theirs in clients.items()}


def _day_factor(stream: np.random.Generator, variation: float) -> float:
    """Gamma with mean 1 and this coefficient of variation."""
    return float(stream.gamma(1 / variation**2, variation**2))


def _patience_ms(calls: Calls, stream: _Streams, count: int) -> Iterable[int | None]:
    if calls.patience_s is None:
        return repeat(None)
    times = times_of(calls.patience_s, Law.EXPONENTIAL)
    if times.law is Law.NEVER:
        return repeat(None)
    patience_ms: list[int] = (1 + drawn_ms(times, stream(Purpose.PATIENCE), count)).tolist()
    return patience_ms


def _navigation_ms(calls: Calls, stream: _Streams, count: int) -> Iterable[int | None]:
    if calls.navigation_s is None:
        return repeat(None)
    drawn = log_normal_ms(stream(Purpose.NAVIGATION), calls.navigation_s, _NAVIGATION_VARIATION, count)
    navigation_ms: list[int] = np.minimum(drawn, _NAVIGATION_MS_MAX).tolist()
    return navigation_ms


def _wrap_up_ms(calls: Calls, stream: _Streams, count: int) -> Iterable[int | None]:
    if calls.wrap_up_s is None:
        return repeat(None)
    times = times_of(calls.wrap_up_s, Law.EXPONENTIAL)
    wrap_up_ms: list[int] = drawn_ms(times, stream(Purpose.WRAP_UP), count).tolist()
    return wrap_up_ms


def _rings_ms(scenario: Scenario, stream: _Streams, count: int) -> Iterable[Sequence[int]]:
    if scenario.answer_s is None:
        return repeat(())
    drawn = drawn_ms(times_of(scenario.answer_s, Law.EXPONENTIAL), stream(Purpose.ANSWER), count * _RINGS)
    rings_ms: list[list[int]] = drawn.reshape(count, _RINGS).tolist()
    return rings_ms


def _refusals(scenario: Scenario, stream: _Streams, count: int) -> tuple[Iterable[int], Iterable[int]]:
    """How many offers of each call are missed, and how many declined, each offer with these probabilities."""
    probability = scenario.misses + scenario.declines
    if not probability:
        return repeat(0), repeat(0)
    failed = np.minimum(stream(Purpose.MISSES).geometric(1 - probability, count) - 1, _MISSES_MAX)
    if not scenario.declines:
        return failed.tolist(), repeat(0)
    declined = stream(Purpose.DECLINES).binomial(failed, scenario.declines / probability)
    return (failed - declined).tolist(), declined.tolist()


def _transfers(calls: Calls, stream: _Streams, count: int) -> tuple[Iterable[PortfolioId | None], Iterable[int]]:
    if not calls.transfers:
        return repeat(None), repeat(0)
    until = np.cumsum([each.share for each in calls.transfers])
    places = np.searchsorted(until, stream(Purpose.TRANSFER).random(count), side="right").tolist()
    to = (*(each.portfolio_id for each in calls.transfers), None)
    percents = (*(each.after_percent for each in calls.transfers), 0)
    return [to[place] for place in places], [percents[place] for place in places]


def _again(calls: Calls, stream: _Streams, count: int) -> Iterable[tuple[tuple[int, int], ...]]:
    most = calls.repeats_max
    if not calls.repeats or not most or calls.patience_s is None:
        return repeat(())
    # All of it is drawn for everybody, so that nobody's depends on who hung up.
    tries = (stream(Purpose.REPEATS).random((count, most)) < calls.repeats).cumprod(axis=1).sum(axis=1).tolist()
    after = drawn_ms(times_of(calls.repeat_after_s, Law.EXPONENTIAL), stream(Purpose.REPEAT_AFTER), count * most)
    patience = drawn_ms(times_of(calls.patience_s, Law.EXPONENTIAL), stream(Purpose.REPEAT_PATIENCE), count * most)
    pairs = list(zip((1 + after).tolist(), (1 + patience).tolist(), strict=True))
    return [tuple(pairs[number * most : number * most + tried]) for number, tried in enumerate(tries)]
