"""Bugs that a router like this could have. The simulator has to find each; see `test_planted_bugs`."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from router.core import engine as engine_module
from router.core.engine import Engine
from router.core.events import TimePassed
from router.core.model import CallStatus
from router.journal import Appended, JournalError, SqliteJournal
from router.service import recovery, service
from router.service.clock import Clock
from router.service.decider import Decider, Position
from router.service.service import Service

__all__ = ["BUGS"]

Patch = pytest.MonkeyPatch
BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    BUGS[plant.__name__] = plant
    return plant


@bug
def messages_are_acknowledged_before_the_commit(patch: Patch) -> None:
    take = Service._take

    async def hasty(self: Service, batch: list[Any]) -> None:
        for arrival in batch:
            if arrival.message is not None:
                arrival.message.acknowledge()
        await take(self, batch)

    patch.setattr(Service, "_take", hasty)


@bug
def a_full_disk_is_taken_for_a_commit(patch: Patch) -> None:
    append = SqliteJournal.append

    def careless(self: SqliteJournal, shard: str, entries: Any) -> list[Appended]:
        try:
            return append(self, shard, entries)
        except JournalError:
            last = self.last_offset(shard)
            return [Appended(last + number, duplicate=False) for number in range(1, len(entries) + 1)]

    patch.setattr(SqliteJournal, "append", careless)


@bug
def of_a_batch_only_the_first_event_is_stored(patch: Patch) -> None:
    append = SqliteJournal.append

    def lazy(self: SqliteJournal, shard: str, entries: Any) -> list[Appended]:
        (first,) = append(self, shard, entries[:1])
        return [Appended(first.offset + number, first.duplicate) for number in range(len(entries))]

    patch.setattr(SqliteJournal, "append", lazy)


@bug
def nobody_checks_the_fence(patch: Patch) -> None:
    patch.setattr(SqliteJournal, "_check_epoch", lambda self, shard: None)


@bug
def a_claim_keeps_the_epoch_of_the_one_before(patch: Patch) -> None:
    claim = SqliteJournal.claim

    def same(self: SqliteJournal, shard: str, *, if_epoch: int | None = None) -> int:
        epoch = claim(self, shard)
        if epoch > 1:
            self._connection.execute("UPDATE shard SET epoch = 1 WHERE name = ?", (shard,))
            self._epochs[shard] = epoch = 1
        return epoch

    patch.setattr(SqliteJournal, "claim", same)


@bug
def the_cooldown_after_a_decline_is_forgotten(patch: Patch) -> None:
    patch.setattr(Engine, "_cool_down", lambda self, call, agent, reason: None)


@bug
def the_withdrawal_of_an_offer_is_not_sent(patch: Patch) -> None:
    withdraw = Engine._withdraw

    def silent(self: Engine, call: Any, offer: Any, rule: Any) -> None:
        withdraw(self, call, offer, rule)
        self._out.pop()

    patch.setattr(Engine, "_withdraw", silent)


@bug
def an_agent_who_is_rung_still_counts_as_idle(patch: Patch) -> None:
    offer = Engine._offer

    def twice(self: Engine, call: Any, agent: Any, rule: Any) -> None:
        offer(self, call, agent, rule)
        self._roster.rest(agent, self._now)

    patch.setattr(Engine, "_offer", twice)


@bug
def any_answer_counts_for_the_live_offer(patch: Patch) -> None:
    patch.setattr(engine_module, "_answers", lambda event, offer: offer is not None)


@bug
def a_call_that_was_declined_goes_to_the_end_of_the_queue(patch: Patch) -> None:
    failed = Engine._offer_failed

    def demoting(self: Engine, call: Any, offer: Any, rule: Any, reason: Any) -> None:
        call.rank_ms = self._now
        failed(self, call, offer, rule, reason)

    patch.setattr(Engine, "_offer_failed", demoting)


@bug
def a_snapshot_loses_the_deadlines(patch: Patch) -> None:
    restored = Engine.restored.__func__  # type: ignore[attr-defined]  # the function behind the class method

    def forgetful(cls: type[Engine], description: Any, state: Any, past: Any) -> Engine:
        return restored(cls, description, _without_deadlines(state), past)  # type: ignore[no-any-return]

    patch.setattr(Engine, "restored", classmethod(forgetful))


def _without_deadlines(state: Any) -> Any:
    return msgspec.structs.replace(state, deadlines=())


@bug
def a_snapshot_loses_the_calls_that_are_over(patch: Patch) -> None:
    restored = Engine.restored.__func__  # type: ignore[attr-defined]  # as above

    def forgetful(cls: type[Engine], description: Any, state: Any, past: Any) -> Engine:
        list(past)
        return restored(cls, description, state, ())  # type: ignore[no-any-return]

    patch.setattr(Engine, "restored", classmethod(forgetful))


@bug
def a_snapshot_forgets_what_was_last_decided(patch: Patch) -> None:
    patch.setattr(Decider, "outcomes", lambda self: [])


@bug
def a_snapshot_is_dated_later_than_it_was_taken(patch: Patch) -> None:
    position: Callable[[Decider], Position] = Decider.__dict__["position"].fget

    def later(self: Decider) -> Position:
        found = position(self)
        caller = sys._getframe(1).f_code.co_name
        return msgspec.structs.replace(found, offset=found.offset + 1) if caller == "write_snapshot" else found

    patch.setattr(Decider, "position", property(later))


@bug
def a_start_reads_no_further_than_the_snapshot(patch: Patch) -> None:
    def shallow(journal: Any, shard: str, **options: Any) -> Any:
        return recovery._from_snapshot(journal, shard) or recovery.recover(journal, shard, **options)

    patch.setattr(service, "recover", shallow)


@bug
def deadlines_are_served_without_the_journals_knowledge(patch: Patch) -> None:
    async def rash(self: Service, event: Any) -> None:
        await self._serve_deadlines(self._now_ms())

    patch.setattr(Service, "_apply_own", rash)


@bug
def what_comes_twice_happens_twice(patch: Patch) -> None:
    handle = Service._handle

    async def forgetful(self: Service, work: Any, offset: int, duplicate: bool, now_ms: int) -> Any:
        return await handle(self, work, offset, False, now_ms)

    patch.setattr(Service, "_handle", forgetful)


@bug
def time_follows_the_wall_clock(patch: Patch) -> None:
    def trusting(self: Clock) -> int:
        self._now_ms = max(self._now_ms, self._wall_ms())
        return self._now_ms

    patch.setattr(Clock, "now_ms", trusting)


@bug
def deadlines_are_served_when_there_is_time(patch: Patch) -> None:
    apply_own = Service._apply_own

    async def patient(self: Service, event: Any) -> None:
        if isinstance(event, TimePassed):
            await asyncio.sleep(8)
        await apply_own(self, event)

    patch.setattr(Service, "_apply_own", patient)


@bug
def a_hang_up_while_it_rings_is_overlooked(patch: Patch) -> None:
    hang_up = Engine._hang_up

    def deaf(self: Engine, call: Any) -> None:
        if call.status is not CallStatus.OFFERED:
            hang_up(self, call)

    patch.setattr(Engine, "_hang_up", deaf)
