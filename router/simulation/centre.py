"""A contact centre over months of virtual time, around the router as it runs live, its journal included.

Day by day, callers are drawn (`traffic`), agents come and go (`shifts`), and time goes from one thing that happens to
the next (`switchboard`). A journal written here is one to report from.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from enum import StrEnum
from hashlib import blake2b
from heapq import heappop
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field, json
from msgspec.structs import replace

from router.core import Engine, Limits, RouterError
from router.core.days import LocalDays
from router.core.model import OrganisationDescription
from router.core.organisation import Organisation
from router.journal import SqliteJournal
from router.service.decider import Decider
from router.service.garbage import collecting_seldom
from router.simulation.counts import RunCounts
from router.simulation.ledger import Breach, DayCount, PlanChange
from router.simulation.recorder import Recorder
from router.simulation.scenario import Scenario
from router.simulation.shifts import Shifts
from router.simulation.switchboard import Switchboard
from router.simulation.traffic import DrawnCaller, Traffic, hour_marks_ms

__all__ = ["Off", "Run", "play", "with_rules_off"]

# After the last day, those on the line may finish; what takes longer is left there.
_LAST_CALLS_MS: Final = 4 * 3_600_000
_NEVER_MS: Final = 1 << 62


class Off(StrEnum):
    """Rules that can be switched off, to see what they cost."""

    SHARE = "share"


class Run(Struct, frozen=True, kw_only=True):
    """What one run brought."""

    off: Off | None
    replication: int = 0
    counts: RunCounts = field(default_factory=RunCounts)
    """Of the days after the warm-up."""
    days: tuple[DayCount, ...]
    """All that were played, those of the warm-up too."""
    breaches: tuple[Breach, ...]
    """The first ones; there must be none where the share is on."""
    breach_count: int
    plan_changes: tuple[PlanChange, ...]
    """What move plans reported, by time."""
    overrides_in_books: int
    """As the engine counted them, in the state that goes into the journal."""
    records: int
    """That the service would have journalled."""
    rejected: dict[str, int]
    """Events that the router refused, by reason; a few, of things that crossed, are normal."""
    left: int
    """Calls that were not over in the end."""
    callers_digest: str
    """Of all callers as they were drawn: equal digests, the same callers."""
    decisions_digest: str
    """Of all decisions: equal digests, equal runs."""

    @property
    def overrides(self) -> int:
        """As the callers and agents lived them."""
        return sum(contract.overrides for day in self.days for contract in day.contracts)


def with_rules_off(description: OrganisationDescription, off: Off | None) -> OrganisationDescription:
    """The organisation with a rule off; what it looks at is counted as before."""
    if off is None:
        return description
    contracts = (replace(each, target_bp=0, baseline_bp=0, margin_bp=0) for each in description.contracts)
    return replace(description, contracts=tuple(contracts))


@collecting_seldom()
def play(
    scenario: Scenario,
    description: OrganisationDescription,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    off: Off | None = None,
    replication: int = 0,
    journal: Path | None = None,
    shard: str = "main",
    on_day: Callable[[DayCount], None] = lambda _: None,
) -> Run:
    """Play the whole scenario.

    Args:
        scenario: One of which `problems_of` the organisation says nothing.
        description: The organisation as it is written.
        limits: Of the router.
        off: A rule to leave out.
        replication: Which of the independent sets of callers that belong to the scenario's seed.
        journal: Where to write a journal of all, with a snapshot in the end; None: nowhere.
        shard: The shard of the journal.
        on_day: Told of each day when it is over, for showing progress.

    Raises:
        RouterError: The journal cannot be written, or there is one already.
    """
    if journal is None:
        return _Centre(scenario, description, limits, off, replication, None).run(on_day)
    if journal.exists():
        raise RouterError(f"journal {journal} exists already: name a new file, or move that one away")
    with closing(SqliteJournal(journal)) as open_journal:
        recorder = Recorder(open_journal, shard)
        run = _Centre(scenario, description, limits, off, replication, recorder).run(on_day)
        open_journal.release(shard)
    return run


class _Centre:
    """One run."""

    def __init__(
        self,
        scenario: Scenario,
        description: OrganisationDescription,
        limits: Limits,
        off: Off | None,
        replication: int,
        recorder: Recorder | None,
    ) -> None:
        self._scenario = scenario
        self._off = off
        self._replication = replication
        self._recorder = recorder
        self._callers_digest = blake2b(digest_size=16)
        self._organisation = Organisation(description)
        self._calendar = LocalDays(scenario.time_zone)
        at_ms = self._calendar.midnight_ms(scenario.starts)
        played = with_rules_off(description, off)
        decider = Decider.of_first_record(Engine(played, limits=limits), played, 1, at_ms)
        self._board = Switchboard(scenario, description, self._organisation, decider, replication, recorder)
        self._board.begin(at_ms, limits)

    def run(self, on_day: Callable[[DayCount], None]) -> Run:
        board = self._board
        scenario = self._scenario
        zone = ZoneInfo(scenario.time_zone)
        shifts = Shifts(scenario, self._organisation, self._replication)
        traffic = Traffic(scenario, self._organisation, self._replication)
        days = []
        counted_from = scenario.starts + timedelta(days=scenario.warm_up_days)
        ends_ms = self._calendar.midnight_ms(scenario.ends)
        for day in _days(scenario.starts, scenario.ends):
            board.tally.open_day(day, hour_marks_ms(day, zone), is_first=day <= counted_from)
            for at_ms, event in shifts.events_of_day(day):
                board.later(at_ms, event)
            callers = traffic.callers_of_day(day)
            self._callers_digest.update(json.encode(callers))
            until_ms = self._calendar.midnight_ms(day + timedelta(days=1))
            self._play(callers, until_ms)
            if until_ms == ends_ms:
                board.tally.close(ends_ms)
                # Whatever is due, so that the journal covers the last day whole.
                board.pass_time(ends_ms)
                self._play([], ends_ms + _LAST_CALLS_MS)
            days.append(board.ledger.close_day(day))
            on_day(days[-1])
        if self._recorder is not None:
            self._recorder.finish(board.decider)
        books = board.decider.engine.books(now_ms=board.decider.now_ms)
        return Run(
            off=self._off,
            replication=self._replication,
            counts=board.tally.counts(),
            days=tuple(days),
            breaches=tuple(board.ledger.breaches),
            breach_count=board.ledger.breach_count,
            plan_changes=tuple(board.ledger.plan_changes),
            overrides_in_books=sum(each.overrides for each in books.contract_days),
            records=board.records,
            rejected=dict(sorted(board.rejected.items())),
            left=len(board.calls),
            callers_digest=self._callers_digest.hexdigest(),
            decisions_digest=board.decider.digest.hex(),
        )

    def _play(self, callers: list[DrawnCaller], until_ms: int) -> None:
        """Let everything happen that happens before a moment."""
        board = self._board
        future, engine = board.future, board.decider.engine
        arrivals = iter(callers)
        caller = next(arrivals, None)
        while True:
            at_ms = future[0][0] if future else _NEVER_MS
            is_arrival = caller is not None and caller.arrived_ms < at_ms
            if caller is not None and is_arrival:
                at_ms = caller.arrived_ms
            due_ms = engine.next_deadline_ms()
            if due_ms is not None and due_ms <= at_ms:
                if due_ms >= until_ms:
                    return
                board.pass_time(due_ms)
            elif at_ms >= until_ms:
                return
            elif caller is not None and is_arrival:
                board.arrive(caller, at_ms)
                caller = next(arrivals, None)
            else:
                board.happen(heappop(future)[2], at_ms)


def _days(starts: date, ends: date) -> Iterator[date]:
    return (starts + timedelta(days=number) for number in range((ends - starts).days))
