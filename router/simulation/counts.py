"""What callers and agents of a simulated time lived through, as whole numbers that add up.

A run counts; a replication is a run; every figure that is shown is a ratio of two such numbers, so that figures of
portfolios, hours or replications can be put together without a mean of means.
"""

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, field

__all__ = ["DAY_HOURS", "NOT_QUEUED", "WAIT_EDGES_S", "Counts", "RunCounts", "Scope", "sum_of"]

DAY_HOURS = 24
WAIT_EDGES_S = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900)
"""Upper edges of the bins of waits, in seconds; one more bin follows for what is longer."""


NOT_QUEUED = "offered"
"""Instead of a rule: the call was offered to somebody at once."""


class Scope(StrEnum):
    """What figures are about."""

    ALL = "all"
    PORTFOLIO = "portfolio"
    """By the portfolio that the call arrived at."""
    TEAM = "team"
    """By the team of who answered."""
    SITE = "site"
    """By the site of who answered."""
    CONTRACT = "contract"
    """By the contract under which the answer was work."""


class Counts(Struct, kw_only=True):
    """Calls by what became of them, and agents' time. Times are in milliseconds.

    A call that is over counts where it was answered, else only with its portfolio and in all.
    """

    arrived: int = 0
    answered: int = 0
    """On the line, for the first time."""
    answered_soon: int = 0
    """Of these, after no more than the organisation's threshold of quality."""
    abandoned: int = 0
    abandoned_soon: int = 0
    """Of these, within the threshold."""
    abandoned_short: int = 0
    """Of these, within the time that counts as a mistake."""
    elsewhere: int = 0
    """Sent to a message or a number."""
    called_back: int = 0
    repeated: int = 0
    """Of those that arrived: callers who had hung up before and tried again."""
    wait_ms: int = 0
    """Of those answered."""
    wait_all_ms: int = 0
    """Of those answered and those abandoned."""
    owned: int = 0
    """Answered calls whose client has an owner."""
    by_owner: int = 0
    by_backup: int = 0
    on_shift: int = 0
    """Answered calls whose client has an owner who was signed in at the arrival."""
    on_shift_by_owner: int = 0
    by_own_team: int = 0
    """Answered by the portfolio's owner team."""
    transferred: int = 0
    transferred_lost: int = 0
    """Of those transferred: nobody else answered."""
    offered: int = 0
    """Offers made."""
    missed: int = 0
    declined: int = 0
    contracted: int = 0
    """Answers that are work under a contract, call-backs included."""
    inside: int = 0
    """Of these, answered in the country of the contract."""
    overrides: int = 0
    talk_ms: int = 0
    """With agents, of calls that were answered on the line or called back."""
    busy_ms: int = 0
    """Talk and wrap-up: of a portfolio or contract by the calls, else of the agents by the clock."""
    staffed_ms: int = 0
    """Signed in and not in a pause; of teams, sites and all."""
    signed_in_ms: int = 0

    def add(self, other: "Counts") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class RunCounts(Struct, kw_only=True):
    """All that a run counts after its warm-up."""

    by_scope: dict[Scope, dict[str, Counts]] = field(default_factory=dict)
    """By id within each scope; `Scope.ALL` has the one id ``all``. Ids without any call are there too."""
    by_hour: dict[str, list[Counts]] = field(default_factory=dict)
    """By portfolio id, and ``all``: one a local hour in which the call arrived (or the agents were there)."""
    teams_by_hour: dict[str, list[Counts]] = field(default_factory=dict)
    """By team id: what its agents answered, by the local hour of the answer, and their time."""
    waits: dict[str, list[int]] = field(default_factory=dict)
    """By portfolio id, and ``all``: answered calls by wait, see `WAIT_EDGES_S`."""
    states_ms: dict[str, list[int]] = field(default_factory=dict)
    """By agent status, but for `signed_out`: time spent in it, one number a local hour."""
    open_days: list[int] = field(default_factory=lambda: [0] * DAY_HOURS)
    """Days on which anybody called in the local hour."""
    late: dict[str, dict[str, int]] = field(default_factory=dict)
    """By portfolio id, and ``all``: calls not answered within the threshold, hang-ups included, by the rule that let
    them wait; `NOT_QUEUED` where none did at first."""
    days: int = 0
    """Local days that were counted."""

    @property
    def total(self) -> Counts:
        return self.by_scope[Scope.ALL]["all"]


def sum_of(runs: Iterable[RunCounts]) -> RunCounts:
    """All *runs* of one scenario together."""
    total = RunCounts()
    scopes: defaultdict[Scope, defaultdict[str, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for run in runs:
        total.days += run.days
        for scope, rows in run.by_scope.items():
            for name, counts in rows.items():
                scopes[scope][name].add(counts)
        for days, whole_days in ((run.by_hour, total.by_hour), (run.teams_by_hour, total.teams_by_hour)):
            for name, hours in days.items():
                into = whole_days.setdefault(name, [Counts() for _ in range(DAY_HOURS)])
                for mine, theirs in zip(into, hours, strict=True):
                    mine.add(theirs)
        total.open_days = [a + b for a, b in zip(total.open_days, run.open_days, strict=True)]
        for numbers, whole in ((run.waits, total.waits), (run.states_ms, total.states_ms)):
            for name, values in numbers.items():
                before = whole.get(name, [0] * len(values))
                whole[name] = [a + b for a, b in zip(before, values, strict=True)]
        for name, rules in run.late.items():
            together = total.late.setdefault(name, {})
            for rule, count in rules.items():
                together[rule] = together.get(rule, 0) + count
    total.by_scope = {scope: dict(rows) for scope, rows in scopes.items()}
    return total
