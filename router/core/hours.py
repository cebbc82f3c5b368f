"""Opening hours in local time, days of 23 and 25 hours included.

Zone data is read once, when an organisation is compiled. What is asked on the hot path is answered from the
interval around the last answer, so that a call costs a comparison and not a conversion of time zones.
"""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from router.core.model import Hours, Portfolio, Weekday

__all__ = ["OpeningHours", "utc_day"]

_WEEKDAYS = tuple(Weekday)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000


def utc_day(now_ms: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + now_ms // _DAY_MS)


class OpeningHours:
    """Whether a portfolio is open at a moment."""

    __slots__ = ("_always", "_closed_on", "_from_ms", "_hours", "_open", "_until_ms", "_zone")

    def __init__(self, portfolio: Portfolio) -> None:
        self._hours = portfolio.hours
        self._closed_on = frozenset(portfolio.closed_on)
        self._zone = ZoneInfo(portfolio.time_zone)
        self._always = not self._hours and not self._closed_on
        self._from_ms = self._until_ms = 0
        self._open = False

    def is_open(self, now_ms: int) -> bool:
        if self._always:
            return True
        if not self._from_ms <= now_ms < self._until_ms:
            self._look_up(now_ms)
        return self._open

    def _look_up(self, now_ms: int) -> None:
        today = datetime.fromtimestamp(now_ms / 1000, self._zone).date()
        start, end = self._at(today, time()), self._at(today + timedelta(days=1), time())
        edges = sorted({start, end, *(edge for span in self._spans(today) for edge in span if start < edge < end)})
        for begins, ends in pairwise(edges):
            if begins <= now_ms < ends:
                self._from_ms, self._until_ms = begins, ends
                self._open = any(opens <= begins < closes for opens, closes in self._spans(today))

    def _spans(self, day: date) -> list[tuple[int, int]]:
        if day in self._closed_on:
            return []
        weekday = _WEEKDAYS[day.weekday()]
        hours = self._hours or (Hours(days=_WEEKDAYS, opens=time(), closes=time()),)
        return [
            (self._at(day, span.opens), self._at(day + timedelta(days=span.closes == time()), span.closes))
            for span in hours
            if weekday in span.days
        ]

    def _at(self, day: date, moment: time) -> int:
        local = datetime.combine(day, moment, self._zone)
        return int(local.astimezone(UTC).timestamp()) * 1000
