"""A scenario: who calls when, how patient they are, how long they talk, and who is there to answer them.

Days and hours are local, in the scenario's own time zone. `scenario_files` reads one, `scenario_checks` holds it
against its organisation.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

from msgspec import Struct

from router.core.errors import Problem, RouterError
from router.core.model import Id, PortfolioId, SiteId, TeamId, Weekday
from router.load_files import LoadRow
from router.roster_files import ShiftRow
from router.simulation.times import Times

__all__ = [
    "EVERY_DAY_ALIKE", "HOURS", "Calls", "Log", "LogPart", "Presence", "RecordedDay", "Roster", "Scenario",
    "ScenarioError", "ScenarioHeading", "SiteTalk", "Transfer",
]  # fmt: skip

HOURS = 24
EVERY_DAY_ALIKE = (1.0,) * 7
"""Weights of weekdays, Monday first."""
_WEEK = tuple(Weekday)


class ScenarioError(RouterError):
    """A scenario that cannot be played, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class LogPart(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls of a recorded log."""

    log: str
    """Its log_id."""
    kinds: tuple[str, ...] = ()
    """Only these kinds of calls; empty: all."""


class Transfer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the callers turn out to want another portfolio."""

    portfolio_id: Annotated[PortfolioId, Id]
    share: float
    after_percent: int = 40
    """Of the talk, so much is over by then; the rest is with who answers next."""


class Calls(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The callers of a portfolio: a Poisson process whose rate follows the week, the day and chance, or a recorded one.

    Whoever would call while the portfolio is closed does not: the platform tells them. Where a time is a plain number,
    it is the mean of the law that is named; a table says otherwise (`times.Times`).
    """

    portfolio_id: Annotated[PortfolioId, Id]
    a_day: float | None = None
    """Calls on the mean day of a week that is open as ``by_weekday`` and ``by_hour`` say. None: as ``days_of`` says,
    else the load file."""
    by_weekday: tuple[float, ...] = EVERY_DAY_ALIKE
    """Monday first; only their proportions count."""
    by_hour: tuple[float, ...] = ()
    """From midnight on; only their proportions count."""
    day_variation: float = 0.0
    """Some days are busier than others for no reason that anybody knew: standard deviation of that over the mean."""
    days_of: LogPart | None = None
    """Instead of all those: the arrivals of days of a log, drawn at random among those of the same weekday."""
    unknown: float = 0.0
    """Of the callers, so many are no client whom the router knows; the others are, if the portfolio has clients."""
    segment: Annotated[str, Id] | None = None
    """These are callers of whom no more than the segment is known; its portfolio must be this one."""
    talk_s: float | Times
    """Mean; log-normal."""
    talk_variation: float = 1.0
    """Standard deviation of talk times over their mean."""
    owner_talk_percent: int = 100
    """With the client's owner, who knows the client, a call takes so much of what it takes with others."""
    wrap_up_s: float | Times | None = None
    """Mean, exponential: what work after the call takes, if the team's limit allows. None: always the limit."""
    patience_s: float | Times | None = None
    """Mean; exponential. None: nobody ever hangs up."""
    navigation_s: float | None = None
    """Mean, from dialling to the choice of an agent; log-normal, half as much variation as mean. None: not reported."""
    repeats: float = 0.0
    """Of those who hang up, so many call again."""
    repeat_after_s: float | Times = 900.0
    """Mean; exponential."""
    repeats_max: int = 3
    """Nobody calls again more often."""
    transfers: tuple[Transfer, ...] = ()
    where: str = ""


class Roster(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of a team are signed in, hour by hour. None while their site is closed."""

    team_id: Annotated[TeamId, Id]
    days: tuple[Weekday, ...] = _WEEK
    by_hour: tuple[int, ...]
    """From midnight on."""
    valid_from: date | None = None
    valid_until: date | None = None
    """Excluded."""
    where: str = ""

    def is_valid(self, day: date) -> bool:
        return (self.valid_from or date.min) <= day and (self.valid_until is None or day < self.valid_until)


class SiteTalk(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A site where the same call takes longer, or less long, than elsewhere."""

    site_id: Annotated[SiteId, Id]
    talk_percent: int
    where: str = ""


class Log(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recorded log that the scenario draws from."""

    log_id: Annotated[str, Id]
    file: Path
    """CSV, plain or gzip; relative to the scenario."""
    mapping: Path
    """What its columns mean, see `calllog`."""
    where: str = ""


class RecordedDay(Struct, frozen=True, kw_only=True):
    """When calls arrived on a day of a log."""

    weekday: int
    """Monday is 0."""
    arrived_ms: tuple[int, ...]
    """Since midnight by the clock on the wall, in order."""


class Presence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How agents keep to their rosters."""

    absence: float = 0.0
    """Of the days on which an agent should work, so many the agent does not come."""
    late: float = 0.0
    """Of the others, so many begin late."""
    late_s: float | Times = 300.0
    """Mean, exponential; half an hour at most."""
    break_every_s: int | None = None
    """After so long at work comes a break, once the call is done; the first one at some time before. None: as the
    roster says."""
    break_s: int = 900
    """How long each lasts."""


class ScenarioHeading(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    config: Path = Path()
    """The settings file, or the directory that holds router.toml; relative to the scenario."""
    starts: date
    ends: date
    """Excluded."""
    time_zone: str = "Europe/Rome"
    seed: int = 1
    warm_up_days: int = 0
    """The first days are played and not counted: the centre begins empty."""
    roster: Path | None = None
    """A file of shifts (`router.roster_files`); relative to the scenario. Its days are days of the scenario."""
    load: Path | None = None
    """A file of calls an hour (`router.load_files`), in the scenario's time; relative to the scenario. For portfolios
    that say neither ``a_day`` nor ``days_of``."""
    presence: Presence = Presence()
    asks_inside: float = 0.0
    """Of the callers who are told that they may ask for an agent inside, those who do."""
    misses: float = 0.0
    """Of the offers, those that nobody answers."""
    declines: float = 0.0
    """Of the offers, those that the agent refuses."""
    answer_s: float | Times | None = None
    """Mean, exponential: how long it rings until an agent answers. None: no time at all."""
    agent_variation: float = 0.0
    """Some agents talk longer than others, whoever calls: standard deviation of that over the mean."""


class Scenario(ScenarioHeading, frozen=True, kw_only=True):
    """Everything about the callers and agents of a time."""

    calls: tuple[Calls, ...]
    rosters: tuple[Roster, ...]
    sites: tuple[SiteTalk, ...] = ()
    logs: tuple[Log, ...] = ()
    shifts: tuple[ShiftRow, ...] = ()
    """Of the roster file."""
    load_rows: tuple[LoadRow, ...] = ()
    """Of the load file."""
    recorded: dict[PortfolioId, tuple[RecordedDay, ...]] = {}
    """What the logs say of portfolios with ``days_of``."""
    where: str = ""
