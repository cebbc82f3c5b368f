"""Days in local time, those of 23 and 25 hours included.

Zone data is asked once a day; in between, the day of a moment costs two comparisons.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["LocalDays"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)


class LocalDays:
    """The calendar of a time zone, which remembers the day that was asked for last."""

    __slots__ = ("_zone", "day", "from_ms", "until_ms")

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self.day = date.min
        self.from_ms = 0
        self.until_ms = 0
        """The midnights before and after what was asked for last, in milliseconds since the epoch."""

    def day_of(self, now_ms: int) -> date:
        """The local day of a moment."""
        if not self.from_ms <= now_ms < self.until_ms:
            self.day = (_EPOCH + now_ms * _MILLISECOND).astimezone(self._zone).date()
            self.from_ms = self.midnight_ms(self.day)
            self.until_ms = self.midnight_ms(self.day + _DAY)
        return self.day

    def midnight_ms(self, day: date) -> int:
        """When the day begins."""
        return (datetime.combine(day, time(), self._zone) - _EPOCH) // _MILLISECOND
