"""The router's clock: milliseconds since the epoch that never go back and that deadlines can be trusted to.

The wall clock can be set while calls ring. An engine that followed it would let every offer expire at once when it is
set forward, and none for an hour when it is set back. So time here goes on as the machine's steady clock does, from
what the wall clock said at the start:

- set back: time goes on without a break, a tenth slower until the wall clock has caught up;
- set forward, or woken from a sleep of the whole machine: `Clock.catch_up` says by how much. The service then resumes
  as after a stop, so that nobody pays for time in which no answer was possible.
"""

import time
from collections.abc import Callable
from typing import Final

__all__ = ["JUMP_MS", "Clock"]

JUMP_MS: Final = 2_000
"""The wall clock is followed from this difference on. Daemons that keep time steer within milliseconds; they step
when they have to mend more than about half a second."""

# A deadline of 20 s takes 22 s then, which nobody notices; an hour is made up for in ten.
_SLOW_BY: Final = 10


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Clock:
    """Args: where the time comes from, in milliseconds; the system's clocks unless a simulation gives its own."""

    def __init__(self, wall_ms: Callable[[], int] = _wall_ms, steady_ms: Callable[[], int] = _steady_ms) -> None:
        self._wall_ms = wall_ms
        self._steady_ms = steady_ms
        self._steady_before_ms = steady_ms()
        self._now_ms = wall_ms()
        self._held_back = 0
        """Tenths of milliseconds by which time has been slowed, not yet a whole one."""

    def now_ms(self) -> int:
        """The time, at least that of every earlier call."""
        steady_ms = self._steady_ms()
        passed_ms = steady_ms - self._steady_before_ms
        if passed_ms > 0:
            self._steady_before_ms = steady_ms
            self._now_ms += passed_ms
            ahead_ms = self._now_ms - self._wall_ms()
            if ahead_ms > JUMP_MS:
                self._held_back += passed_ms
                slowed_ms = min(self._held_back // _SLOW_BY, ahead_ms, passed_ms)
                self._held_back %= _SLOW_BY
                self._now_ms -= slowed_ms
        return self._now_ms

    def wall_ms(self) -> int:
        """What the machine's wall clock says, right or wrong."""
        return self._wall_ms()

    def not_before(self, at_ms: int) -> None:
        """Let time go on from *at_ms*, where that is later: the last moment that the journal has."""
        self._now_ms = max(self.now_ms(), at_ms)

    def catch_up(self) -> int:
        """Jump to the wall clock if it is far ahead; returns by how many milliseconds, 0 if it is not."""
        ahead_ms = self._wall_ms() - self.now_ms()
        if ahead_ms <= JUMP_MS:
            return 0
        self._now_ms += ahead_ms
        return ahead_ms
