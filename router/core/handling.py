"""Recent handling times, and when a busy agent may be expected to be free.

The estimate of an agent's handling time (talk and wrap-up) blends the agent's own recent mean with the team's:

    estimate = (n * own + K * team) / (n + K),   K = 5

where ``n`` counts the agent's own calls, at most 20. Until the team has handled a call, its configured
``handling_s`` stands in. Everything is integer arithmetic, so that two machines estimate alike.
"""

from typing import Final

__all__ = ["RecentMean", "blended_handling_ms", "expected_remaining_ms"]

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
