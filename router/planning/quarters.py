"""Quarters of an hour over some days, and sets of them as the bits of an integer.

Who is there and what is open are such sets, so that "open, and none of these three are there" is one expression for a
whole week. The first quarter begins at `Quarters.start_ms`; every time zone of today begins its quarters at the same
moments, so a day of 23 hours has 92 of them and one of 25 has 100.
"""

from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from router.core.hours import OpeningHours
from router.roster_files import local_ms

__all__ = ["QUARTER_MS", "Quarters", "quarter_in_words"]

QUARTER_MS = 900_000


class Quarters(NamedTuple):
    """So many quarters of an hour from a moment on."""

    start_ms: int
    length: int

    @classmethod
    def of_days(cls, first: date, last: date) -> "Quarters":
        """All that belong to the days from *first* to *last*, both included, in any time zone."""
        start_ms = local_ms(first - timedelta(days=1), time(), ZoneInfo("UTC"))
        end_ms = local_ms(last + timedelta(days=2), time(), ZoneInfo("UTC"))
        return cls(start_ms, (end_ms - start_ms) // QUARTER_MS)

    def begin_ms(self, number: int) -> int:
        return self.start_ms + number * QUARTER_MS

    def touched(self, from_ms: int, until_ms: int) -> int:
        """The quarters of which a part lies between these moments."""
        first = (from_ms - self.start_ms) // QUARTER_MS
        return self._between(first, -((self.start_ms - until_ms) // QUARTER_MS))

    def within(self, from_ms: int, until_ms: int) -> int:
        """The quarters that lie between these moments as a whole."""
        first = -((self.start_ms - from_ms) // QUARTER_MS)
        return self._between(first, (until_ms - self.start_ms) // QUARTER_MS)

    def days(self, first: date, last: date, zone: ZoneInfo) -> int:
        """The quarters of the local days from *first* to *last*, both included."""
        return self.within(local_ms(first, time(), zone), local_ms(last + timedelta(days=1), time(), zone))

    def open(self, hours: OpeningHours) -> int:
        """The quarters at whose beginning it is open."""
        bits = ("1" if hours.is_open(self.begin_ms(number)) else "0" for number in reversed(range(self.length)))
        return int("".join(bits) or "0", 2)

    def _between(self, first: int, end: int) -> int:
        first, end = max(0, first), min(self.length, end)
        return (1 << end) - (1 << first) if first < end else 0


def quarter_in_words(at_ms: int, zone: ZoneInfo) -> str:
    """Such as ``2026-10-25 02:15 +0200``; the offset tells apart the hours that come twice."""
    return f"{datetime.fromtimestamp(at_ms // 1000, zone):%Y-%m-%d %H:%M %z}"
