"""What a scenario draws from recorded logs: on which days how many called when, talk times, patience."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from router.core.errors import Problem
from router.core.model import PortfolioId
from router.simulation.calllog import CallLogError, LoggedCall, load_mapping, read_calls
from router.simulation.inference import Patience
from router.simulation.scenario import Calls, Log, LogPart, RecordedDay, Scenario, ScenarioError
from router.simulation.times import Times

__all__ = ["TIMES_FROM_LOGS", "log_parts", "with_logs"]

TIMES_FROM_LOGS = ("talk_s", "patience_s")
"""Of these a log can say something."""
# The curve of patience at so many points, each as likely.
_PATIENCE_POINTS = 1_000


def log_parts(calls: Calls) -> Iterator[tuple[str, LogPart]]:
    """What callers take from logs, with the field where it is said."""
    if calls.days_of is not None:
        yield "days_of", calls.days_of
    for field in TIMES_FROM_LOGS:
        times = getattr(calls, field)
        if isinstance(times, Times) and times.log is not None:
            yield field, LogPart(log=times.log, kinds=times.kinds)


def with_logs(scenario: Scenario) -> Scenario:
    """The scenario with all that it takes from its logs.

    Raises:
        ScenarioError: A log cannot be read, or has nothing of what is wanted of it.
    """
    wanted = {part.log for calls in scenario.calls for _, part in log_parts(calls)}
    problems: list[Problem] = []
    logs = {log.log_id: _Recording(log, problems) for log in scenario.logs if log.log_id in wanted}
    if problems:
        raise ScenarioError(problems)
    recorded: dict[PortfolioId, tuple[RecordedDay, ...]] = {}
    callers = []
    for calls in scenario.calls:
        found = calls
        for field, part in log_parts(calls):
            recording = logs[part.log]
            chosen = recording.chosen(part)
            if field == "days_of":
                recorded[calls.portfolio_id] = recording.days(chosen)
                missing = not chosen
            else:
                seconds = _talk_s(chosen) if field == "talk_s" else _patience_s(chosen)
                missing = not any(seconds)
                found = replace(found, **{field: Times(seconds=seconds)})
            if missing:
                kinds = f" of kind {', '.join(part.kinds)}" if part.kinds else ""
                problems.append(Problem(calls.where, field, f"log {part.log} has no such calls{kinds}"))
        callers.append(found)
    if problems:
        raise ScenarioError(problems)
    return replace(scenario, calls=tuple(callers), recorded=recorded)


class _Recording:
    """A log that has been read."""

    def __init__(self, log: Log, problems: list[Problem]) -> None:
        self._calls: tuple[LoggedCall, ...] = ()
        try:
            mapping = load_mapping(log.mapping)
            self._zone = ZoneInfo(mapping.time_zone)
            self._calls = read_calls(log.file, mapping).calls
        except CallLogError as error:
            problems += (Problem(log.where, each.where, each.message) for each in error.problems)

    def chosen(self, part: LogPart) -> list[LoggedCall]:
        return [call for call in self._calls if not part.kinds or call.kind in part.kinds]

    def days(self, chosen: Sequence[LoggedCall]) -> tuple[RecordedDay, ...]:
        """The days on which any of the log's calls arrived: one without a call of these kinds is a day, too."""
        days: dict[date, list[int]] = {}
        for call in self._calls:
            days.setdefault(self._local(call).date(), [])
        for call in chosen:
            local = self._local(call)
            clock_ms = ((local.hour * 60 + local.minute) * 60 + local.second) * 1000 + call.arrived_ms % 1000
            days[local.date()].append(clock_ms)
        return tuple(RecordedDay(weekday=day.weekday(), arrived_ms=tuple(sorted(days[day]))) for day in sorted(days))

    def _local(self, call: LoggedCall) -> datetime:
        return datetime.fromtimestamp(call.arrived_ms // 1000, UTC).astimezone(self._zone)


def _talk_s(calls: Sequence[LoggedCall]) -> tuple[float, ...]:
    return tuple(call.service_ms / 1000 for call in calls if call.answered and call.service_ms)


def _patience_s(calls: Sequence[LoggedCall]) -> tuple[float, ...]:
    """By the curve that takes into account that those who were answered would have waited longer."""
    if not any(not call.answered for call in calls):
        return ()
    patience = Patience([call.wait_ms for call in calls], abandoned=[not call.answered for call in calls])
    points = ((number + 0.5) / _PATIENCE_POINTS for number in range(_PATIENCE_POINTS))
    drawn = (patience.draw_ms(0, point) for point in points)
    return tuple(each / 1000 for each in drawn if each is not None)
