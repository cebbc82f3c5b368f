"""Recent handling times, and when a busy agent may be expected to be free.

The estimate of an agent's handling time (talk and wrap-up) blends the agent's own recent mean with the team's:

    estimate = (n * own + K * team) / (n + K),   K = 5

where ``n`` counts the agent's own calls, at most 20. Until the team has handled a call, its configured
``handling_s`` stands in. Everything is integer arithmetic, so that two machines estimate alike.

Where a portfolio predicts the owner wait, two more things are learnt: how long conversations last (`TalkTimes`), and
how soon callers hang up (`HangUps`).
"""

from bisect import bisect_right
from typing import Final

__all__ = [
    "TALK_EDGES_MS", "HangUps", "RecentMean", "TalkTimes", "blended_handling_ms", "expected_remaining_ms",
    "talk_bin",
]  # fmt: skip

# Five calls of one's own weigh as much as the team's mean: fewer are an anecdote, and an agent makes about five
# in the first half hour.
_TEAM_WEIGHT: Final = 5
# A mean over about the last 20 calls follows the hours of the day without dancing to single calls.
_WINDOW: Final = 20


class RecentMean:
    """A running mean that becomes an exponentially weighted one after ``_WINDOW`` values."""

    __slots__ = ("count", "mean_ms")

    def __init__(self) -> None:
        self.count = 0
        self.mean_ms = 0

    def add(self, value_ms: int) -> None:
        if self.count < _WINDOW:
            self.count += 1
        self.mean_ms += (value_ms - self.mean_ms) // self.count


def blended_handling_ms(own: RecentMean, team: RecentMean, *, default_ms: int) -> int:
    team_ms = team.mean_ms if team.count else default_ms
    return (own.count * own.mean_ms + _TEAM_WEIGHT * team_ms) // (own.count + _TEAM_WEIGHT)


def expected_remaining_ms(handling_ms: int, age_ms: int) -> int:
    """What is left of a call of this age: the estimate less the age, and never less than a quarter of the estimate.

    The floor stands for what handling times do: a call that has outlived its mean is not about to end.
    """
    return max(handling_ms - age_ms, handling_ms // 4)


# --- How long conversations last -----------------------------------------------------------------------------------

# Four bins to a doubling: a bin is at most a quarter as wide as what it holds is long, so that the chance to be done
# within the next half minute is told apart at every age, by a handful of numbers. The last reaches past a day.
_TALK_EDGES_S: Final[tuple[int, ...]] = (
    *range(4),
    *((4 + quarter) << octave for octave in range(16) for quarter in range(4)),
)
TALK_EDGES_MS: Final[tuple[int, ...]] = tuple(1000 * edge for edge in _TALK_EDGES_S)
"""Where bins of `TalkTimes` begin, in milliseconds; the last is open."""
_BINS: Final = len(TALK_EDGES_MS)

# Medians of sixteenths of all conversations, in thousandths of the mean of all: log-normal, as Brown et al. (JASA 100
# (2005) 36-50) found a bank's, with a coefficient of variation of 1.2.
_PLANNED_SHARES: Final = (110, 184, 247, 307, 370, 438, 512, 594, 689, 801, 936, 1106, 1333, 1662, 2223, 3718)


def talk_bin(talk_ms: int) -> int:
    """The bin of a conversation of this length."""
    return bisect_right(TALK_EDGES_MS, talk_ms) - 1


class TalkTimes:
    """How many recent conversations lasted how long, in bins that widen with the length.

    Once ``most`` are counted, all counts are halved: what is old weighs less and less, and numbers stay small.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BINS
        self.total = 0

    @classmethod
    def planned(cls, mean_ms: int) -> "TalkTimes":
        """What to go by until conversations were measured: sixteen of a usual shape."""
        times = cls()
        for share in _PLANNED_SHARES:
            times.add(mean_ms * share // 1000, most=_BINS)
        return times

    @classmethod
    def of_counts(cls, counts: tuple[int, ...]) -> "TalkTimes":
        """As counted before; bins of none at the end may be missing."""
        times = cls()
        times.counts[: len(counts)] = counts
        times.total = sum(counts)
        return times

    def add(self, talk_ms: int, *, most: int) -> None:
        self.counts[talk_bin(talk_ms)] += 1
        self.total += 1
        if self.total >= most:
            self.counts = [count // 2 for count in self.counts]
            self.total = sum(self.counts)

    def seen(self) -> tuple[int, ...]:
        """The counts without the bins of none at the end."""
        last = max((number for number, count in enumerate(self.counts) if count), default=-1)
        return tuple(self.counts[: last + 1])


class HangUps:
    """How soon callers hang up: the time that all have waited / those who did (those answered are censored).

    One who hangs up after five minutes is assumed beforehand, so that a mean is there from the first call on.
    """

    __slots__ = ("count", "waited_ms")

    def __init__(self) -> None:
        self.count = 0
        self.waited_ms = 0

    def add(self, waited_ms: int, *, has_hung_up: bool) -> None:
        self.count += has_hung_up
        self.waited_ms += waited_ms
        if self.waited_ms >= _WAITED_MS_MOST:
            self.count //= 2
            self.waited_ms //= 2

    @property
    def patience_ms(self) -> int:
        """The mean patience, where it is exponential: whoever waits is as likely to hang up now as at any time."""
        # Never none at all: callers who hang up at once, some hundred thousand in a row, are a fault of the platform's.
        return max(1, (self.waited_ms + _PATIENCE_MS_ASSUMED) // (self.count + 1))


_PATIENCE_MS_ASSUMED: Final = 300_000
# Ten days' worth of waiting: some thousands of callers.
_WAITED_MS_MOST: Final = 864_000_000
