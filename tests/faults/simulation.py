"""One seed's world: a router or two, a broker, a disk and a platform, and what is done to them.

After every start of a router, and every few seconds, the journal is read by a reference, a replay from the first
record on, and compared with all that was seen: see `Simulation.audit`.
"""

import asyncio
import gc
import random
import tempfile
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any, NamedTuple

from router.core import Engine, EventRejected, Limits
from router.core.decisions import Decision
from router.core.events import OrganisationChanged, RouterResumed, TimePassed
from router.core.model import (
    AgentId,
    Area,
    Contract,
    Link,
    Membership,
    OrganisationDescription,
    Ownership,
    PlacePolicy,
    SiteId,
    TeamId,
)
from router.journal import JournalDamaged, JournalError, JournalFenced, SqliteJournal
from router.service.clock import Clock
from router.service.decider import Decided, Decider
from router.service.mqtt import BrokerError
from router.service.recovery import state_digest
from router.service.service import Keeping, Service
from router.wire import Accepted, DecisionId, Rejected, WireError, decode_input, decode_output, decode_record
from tests.core.builders import SITE, SUPPLIER, agent, client, organisation, portfolio, site, team
from tests.faults.broker import Broker
from tests.faults.disk import Disk, FaultyJournal, Strike
from tests.faults.loop import PROCESS, Killed, Process, VirtualLoop
from tests.faults.model import Model, Violation
from tests.faults.platform import Habits, Platform

__all__ = ["Plan", "Report", "Simulation", "simulate"]

MEMORY = Path("/dev/shm")
"""Where journals lie: a real disk's syncs would only take time, and its losses are simulated."""

SHARD = "main"
_START_MS = 1_700_000_000_000
_AUDIT_EVERY_S = 4.0
# Absences of up to 3 s are made up for; after longer ones deadlines start afresh.
_LATE_MS = 3_500
_NORTH = ("ana", "bo", "cy", "dan")
_SOUTH = ("eva", "flo")


def centre(size: int = 1, *, is_abroad: bool = False) -> OrganisationDescription:
    """Six agents in two teams; three clients have owners; offers ring for 5 s, whoever declines is spared for 8.

    *size* is how many of each agent there are. *is_abroad*: the south lies outside of the area in which callers may ask
    for an agent, and a contract allows it a third of the calls.
    """
    options = {
        "offer_timeout_s": 5, "connect_timeout_s": 4, "cooldown_s": 8, "misses_max": 2, "wrap_up_s": 2,
        "talk_lease_s": 60, "presence_lease_s": 40,
    }  # fmt: skip
    return organisation(
        [
            team("north", backups=(Link(TeamId("south"), 5),), **options),
            team("south", site_id=SiteId("tirana" if is_abroad else SITE.site_id), **options),
        ],
        [portfolio("gold", "north", owner_wait_s=3, max_wait_s=60)],
        [agent(name, "north") for name in _times(_NORTH, size)]
        + [agent(name, "south") for name in _times(_SOUTH, size)],
        [client(f"K{owner}", "gold", ownerships=(Ownership(owner=AgentId(owner)),)) for owner in ("ana", "bo", "eva")],
        **(_ABROAD if is_abroad else {}),
    )


_ABROAD: dict[str, Any] = {
    "sites": (SITE, site("tirana", "AL")),
    "areas": (Area(area_id="home", members=(Membership("IT"),)),),
    "place": PlacePolicy(area_id="home", guarantee_agents=1),
    "contracts": (
        Contract(
            contract_id="home", company="operator", supplier_id=SUPPLIER.supplier_id, countries=("IT",),
            target_bp=6_667, margin_bp=0, wait_s=8,
        ),
    ),
}  # fmt: skip


def _times(names: Sequence[str], size: int) -> list[str]:
    return [name if number == 0 else f"{name}{number}" for number in range(size) for name in names]


class Plan(NamedTuple):
    """What is simulated."""

    duration_s: float = 60.0
    size: int = 1
    """Of the `centre`."""
    is_abroad: bool = False
    """Of the `centre`."""
    is_pair: bool = False
    """Two routers, one of them a standby."""
    fault_every_s: float = 5.0
    """Mean; 0: nothing breaks."""
    habits: Habits = Habits()
    keeping: Keeping | None = None
    """None: snapshots are frequent, and nothing is purged."""
    is_audited: bool = True
    """Compare with a replay from the first record; impossible where records are purged."""
    calls_max: int | None = None
    """Stop when so many calls have come, rather than after ``duration_s``."""


class Report(NamedTuple):
    """What happened."""

    seed: int
    counts: dict[str, int]
    digest: str
    """Of the router's final state: the same seed gives the same."""


class _Router:
    """One process."""

    def __init__(self, name: str) -> None:
        self.process = Process(name)
        self.journal: FaultyJournal | None = None
        self.service: Service | None = None
        self.is_started = False
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.quiet_from_s = 0.0
        """Since when nothing has kept it from serving deadlines."""
        self.due_ms: int | None = None
        """The deadline that was next at the last look, and when it ought to have been served at the latest."""
        self.due_s = 0.0


class _Reference:
    """All that the journal leads to, from its first record on."""

    def __init__(self, *, is_abroad: bool) -> None:
        self.decider: Decider | None = None
        self.model = Model(
            cooldown_ms=8_000,
            first_come=frozenset(AgentId(name) for name in _NORTH),
            outside=frozenset(AgentId(name) for name in _SOUTH) if is_abroad else frozenset(),
        )
        self.decided: dict[DecisionId, Decision] = {}
        self.offsets: dict[str, int] = {}
        self._was_absent = False

    def read(self, journal: SqliteJournal) -> None:
        start = self.decider.position.offset + 1 if self.decider is not None else 1
        for record in journal.read(SHARD, start):
            at_ms, event = decode_record(record.body)
            self.offsets[record.entry_id] = record.offset
            if self.decider is None:
                assert isinstance(event, OrganisationChanged)
                engine = Engine(event.description)
                self.decider = Decider.of_first_record(engine, event.description, record.offset, at_ms)
                continue
            due_ms = self.decider.engine.next_deadline_ms()
            # What fell due in an absence is served right after it.
            was_absent, self._was_absent = self._was_absent, isinstance(event, RouterResumed)
            is_late = due_ms is not None and at_ms - due_ms > _LATE_MS
            if is_late and isinstance(event, OrganisationChanged) and was_absent:
                self._was_absent = True
            elif is_late and not was_absent and not self._was_absent:
                raise Violation(f"the deadline of {due_ms} was served at {at_ms}, with the record at {record.offset}")
            if not isinstance(event, RouterResumed | TimePassed):
                for decided in self._keep(self.decider.serve_deadlines(at_ms)):
                    self.model.decision(at_ms, decided)
            is_rejected, outcome = False, []
            try:
                outcome = self._keep(self.decider.apply(record.offset, at_ms, event))
            except EventRejected:
                is_rejected = True
            if isinstance(event, TimePassed):
                for decided in outcome:
                    self.model.decision(at_ms, decided)
                outcome = []
            self.model.record(at_ms, event, outcome, is_rejected=is_rejected)

    def _keep(self, decided: list[Decided]) -> list[Decision]:
        for each in decided:
            self.decided[each.decision_id] = each.decision
        return [each.decision for each in decided]


class Simulation:
    """Args: the seed, what is simulated, and a directory for the journal."""

    def __init__(self, seed: int, plan: Plan, directory: Path) -> None:
        self.seed = seed
        self.plan = plan
        self.loop = VirtualLoop()
        self.random = random.Random(seed)
        self.disk = Disk(directory / "journal.db", self.random)
        self.broker = Broker(
            self.loop,
            self.random,
            observe=self._observe,
            before_publish=self._before_publish,
            before_acknowledge=self._before_acknowledge,
            is_quick=not plan.fault_every_s,
        )
        self.platform = Platform(
            self.loop,
            self.random,
            self.broker,
            shard=SHARD,
            agents=_times(_NORTH + _SOUTH, plan.size),
            clients=("Kana", "Kbo", "Keva"),
            habits=plan.habits,
            is_quick=not plan.fault_every_s,
            is_asking=plan.is_abroad,
            on_accepted=self._on_accepted,
        )
        self.routers: list[_Router] = []
        self.reference = _Reference(is_abroad=plan.is_abroad)
        self.wall_offset_ms = 0
        self.counts: dict[str, int] = {}
        self._strike: tuple[Strike, int] | None = None
        self._published: list[tuple[DecisionId, Decision]] = []
        self._accepted: list[tuple[str, int]] = []
        self._acknowledged: list[str] = []
        self._refused: set[str] = set()
        self._failure: BaseException | None = None
        self._is_over = False
        self._names = 0

    # --- Running ---

    def run(self) -> Report:
        asyncio.set_event_loop(self.loop)
        try:
            return self.loop.run_until_complete(self._main())
        finally:
            self._end_everything()
            asyncio.set_event_loop(None)
            self.loop.close()

    def _end_everything(self) -> None:
        for router in self.routers:
            router.process.is_dead = True
            self.loop.continue_process(router.process)
            if router.journal is not None:
                router.journal.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _main(self) -> Report:
        playing = self.loop.create_task(self.platform.run())
        self._start_router(standby=False)
        if self.plan.is_pair:
            self.loop.call_later(0.5, lambda: self._start_router(standby=True))
        breaking = self.loop.create_task(self._break_things())
        await self._audit_for(
            self.plan.duration_s,
            until=lambda: self.platform.counts["arrived"] >= (self.plan.calls_max or 1 << 62),
        )
        breaking.cancel()
        self._mend()
        self.platform.close()
        await self._audit_for(100.0, until=lambda: self._has_settled())
        if not self._has_settled():
            live = [self._active()] if self._active() else []
            raise Violation(f"it does not come to rest: {len(self.platform.calls)} calls, routers {live}")
        self._check_end()
        active = self._active()
        assert active is not None
        assert active.service is not None
        digest = state_digest(active.service._decider)
        for router in self.routers:
            router.stop.set()
            if router.task is not None:
                await asyncio.wait([router.task], timeout=30)
        playing.cancel()
        await asyncio.sleep(15)
        self.counts.update({f"platform {name}": count for name, count in self.platform.counts.items()})
        self.counts.update({f"calls {name}": count for name, count in self.reference.model.counts.items()})
        return Report(self.seed, dict(sorted(self.counts.items())), digest)

    async def _audit_for(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end_s = self.loop.time() + seconds
        while self.loop.time() < end_s and not until():
            await asyncio.sleep(min(_AUDIT_EVERY_S, end_s - self.loop.time()))
            for failure in (self._failure, *self.loop.failures):
                if isinstance(failure, Violation):
                    raise failure
                if failure is not None:
                    raise Violation(f"the router fails: {failure!r}") from failure
            self.audit()
            self.on_audit()

    def on_audit(self) -> None:
        """Called every few seconds; for those who watch from outside."""

    def _active(self) -> _Router | None:
        alive = [router for router in self.routers if router.is_started and not router.process.is_dead]
        return alive[-1] if alive else None

    def _has_settled(self) -> bool:
        active = self._active()
        if active is None or active.service is None or self.platform.calls or not self.platform.is_settled:
            return False
        return active.service.summary().calls_live == 0

    # --- Routers ---

    def _start_router(self, *, standby: bool) -> None:
        if self._is_over:
            return
        self._names += 1
        router = _Router(f"router-{self._names}")
        context = copy_context()
        context.run(PROCESS.set, router.process)
        self.routers = [each for each in self.routers if not each.process.is_dead]
        self.routers.append(router)
        router.task = self.loop.create_task(self._run_router(router, standby=standby), context=context)
        router.task.add_done_callback(lambda task: self._router_ended(router, task))

    async def _run_router(self, router: _Router, *, standby: bool) -> None:
        journal = router.journal = self.disk.open(lambda _: self._on_append(router))
        router.service = service = Service(
            journal=journal,
            shard=SHARD,
            broker_url="",
            load_organisation=lambda: centre(self.plan.size, is_abroad=self.plan.is_abroad),
            pseudonym=lambda number: "0" * 32,
            limits=Limits(),
            version="0",
            keeping=self.plan.keeping or Keeping(snapshot_every=self.random.randint(5, 80), retention_days=None),
            clock=Clock(self._wall_ms, self.loop.now_ms),
            connect=self.broker.connect,
        )
        if standby:
            while True:
                epoch = await service.stand_by(5.0)
                try:
                    service.start(if_epoch=epoch)
                    break
                except JournalFenced:
                    continue
        else:
            service.start()
        router.is_started = True
        router.quiet_from_s = self.loop.time()
        self._count("routers started")
        self._compare_with_reference(service)
        await service.run(router.stop)

    def _router_ended(self, router: _Router, task: "asyncio.Task[None]") -> None:
        was_dead = router.process.is_dead
        router.process.is_dead = True
        if router.journal is not None:
            router.journal.power_off()
        self.broker.drop_process(router.process)
        error = None if task.cancelled() else task.exception()
        if error is not None and not was_dead:
            if isinstance(error, JournalFenced):
                self._count("routers fenced")
            elif not isinstance(error, Killed | JournalError | asyncio.CancelledError) or isinstance(
                error, JournalDamaged
            ):
                self._failure = error
        if not router.stop.is_set() and not was_dead:
            self._restart_soon()

    def _restart_soon(self) -> None:
        self.loop.call_later(0.1 + self.random.random() * 3, lambda: self._start_router(standby=self.plan.is_pair))

    def kill(self, router: _Router) -> None:
        """What kill -9 does, or, for a router alone, the loss of power."""
        if router.process.is_dead:
            return
        self._count("kills")
        router.process.is_dead = True
        if router.journal is not None:
            router.journal.power_off()
        self.broker.drop_process(router.process)
        if router.task is not None:
            router.task.cancel()
        self._restart_soon()

    # --- Strikes at the worst moments ---

    def _is_struck(self, strike: Strike, process: Process | None) -> bool:
        if self._strike is None or self._strike[0] is not strike or process is None or process.is_dead:
            return False
        strike, left = self._strike
        if left > 1:
            self._strike = strike, left - 1
            return False
        self._strike = None
        self._count(f"struck {strike}")
        return True

    def _router_of(self, process: Process) -> _Router:
        return next(router for router in self.routers if router.process is process)

    def _on_append(self, router: _Router) -> Strike | None:
        for strike in (Strike.BEFORE_APPEND, Strike.IN_APPEND, Strike.AFTER_APPEND):
            if self._is_struck(strike, router.process):
                # The rest of the process is ended as soon as the journal has raised.
                self.loop.call_soon(self.kill, router, context=copy_context())
                return strike
        return None

    def _before_publish(self, process: Process | None) -> None:
        if process is not None and process.is_dead:
            raise BrokerError("the process is dead")
        if self._is_struck(Strike.AT_PUBLISH, process):
            assert process is not None
            self.kill(self._router_of(process))
            raise Killed

    def _before_acknowledge(self, process: Process | None, topic: str, payload: bytes) -> None:
        if process is None or not self.plan.is_audited:
            return
        if self._is_struck(Strike.AT_ACKNOWLEDGE, process):
            self.kill(self._router_of(process))
            raise Killed
        if not process.is_dead:
            try:
                self._acknowledged.append(decode_input(topic, payload, shard=SHARD, pseudonym=str).event_id)
            except EventRejected:
                return

    # --- Faults ---

    async def _break_things(self) -> None:
        if not self.plan.fault_every_s:
            return
        faults: tuple[Callable[[], None], ...] = (
            self._kill, self._kill, self._kill_at, self._kill_at, self._kill_at, self._stop_router, self._kill_broker,
            self._drop, self._fill_disk, self._set_clock, self._restart_gently, self._slow_down, self._reload,
        )  # fmt: skip
        if self.plan.is_pair:
            # What is special about two: one sleeps while the other takes over.
            faults += (self._stop_router,) * 4
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.plan.fault_every_s))
            self.random.choice(faults)()

    def _mend(self) -> None:
        self._strike = None
        self.broker.restart()
        self.broker.slowness = 1.0
        self.disk.fill(False)
        for router in self.routers:
            if router.process.is_stopped:
                self.loop.continue_process(router.process)

    def _kill(self) -> None:
        router = self._active()
        if router is not None:
            self.kill(router)

    def _kill_at(self) -> None:
        self._strike = self.random.choice(list(Strike)), self.random.randint(1, 12)

    def _stop_router(self) -> None:
        router = self._active()
        if router is None or router.process.is_stopped:
            return
        self._count("routers stopped")
        self.loop.stop_process(router.process)
        self.loop.call_later(self.random.random() * 15, self._continue, router)

    def _continue(self, router: _Router) -> None:
        router.quiet_from_s = self.loop.time()
        self.loop.continue_process(router.process)

    def _kill_broker(self) -> None:
        if not self.broker.is_up:
            return
        self._count("brokers killed")
        self.broker.kill(forget=self.random.random() < 0.7)
        self.loop.call_later(self.random.random() * 3, self.broker.restart)

    def _drop(self) -> None:
        self._count("connections lost")
        self.broker.drop(self.random.choice(("platform", f"router-{SHARD}")))

    def _fill_disk(self) -> None:
        if self.disk.is_full:
            return
        self._count("disks full")
        self.disk.fill(True)
        self.loop.call_later(self.random.random() * 8, self._empty_disk)

    def _empty_disk(self) -> None:
        self.disk.fill(False)
        for router in self.routers:
            router.quiet_from_s = self.loop.time()

    def _set_clock(self) -> None:
        self._count("clocks set")
        self.wall_offset_ms += self.random.choice((-3_600_000, -30_000, -3_000, 3_000, 30_000, 3_600_000))

    def _restart_gently(self) -> None:
        router = self._active()
        if router is None or router.process.is_stopped or router.stop.is_set():
            return
        self._count("gentle stops")
        router.stop.set()
        self.loop.call_later(1 + self.random.random() * 3, lambda: self._start_router(standby=self.plan.is_pair))

    def _slow_down(self) -> None:
        self.broker.slowness = self.random.choice((1.0, 10.0, 100.0))

    def _reload(self) -> None:
        router = self._active()
        if router is not None and router.service is not None and not router.process.is_stopped:
            context = copy_context()
            context.run(PROCESS.set, router.process)
            context.run(router.service.reload)

    def _wall_ms(self) -> int:
        return _START_MS + self.loop.now_ms() + self.wall_offset_ms

    # --- What was seen, and what must be true ---

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _on_accepted(self, event_id: str, offset: int) -> None:
        self._accepted.append((event_id, offset))

    def _observe(self, process: Process | None, topic: str, payload: bytes) -> None:
        if process is None or not self.plan.is_audited:
            return
        try:
            output = decode_output(payload)
        except WireError as error:
            self._failure = error
            return
        match output.message:
            case Decision() as decision if output.id is not None:
                self._published.append((output.id, decision))
            case Rejected(event_id=str(event_id)):
                self._refused.add(event_id)
            case Accepted(event_id=event_id, offset=offset):
                self._accepted.append((event_id, offset))

    def audit(self) -> None:
        """Compare all that was seen with what the journal has.

        - What was accepted stands in the journal, where it was said to stand.
        - What was acknowledged stands in the journal, or was refused.
        - What was published is what a replay of the journal decides, word for word.
        - The model finds nothing wrong with what was decided.
        - The router's state is that of the replay, and no deadline has passed unserved.
        """
        if not self.plan.is_audited:
            self._accepted.clear()
            self._acknowledged.clear()
            self._published.clear()
            self._refused.clear()
            return
        if not self.disk.file.exists():
            return
        journal = SqliteJournal(self.disk.file, read_only=True)
        try:
            self.reference.read(journal)
        finally:
            journal.close()
        reference = self.reference
        for event_id, offset in self._accepted:
            if reference.offsets.get(event_id) != offset:
                raise Violation(
                    f"{event_id} was accepted at {offset}; the journal has it at {reference.offsets.get(event_id)}"
                )
        for event_id in self._acknowledged:
            if event_id not in reference.offsets and event_id not in self._refused:
                raise Violation(f"{event_id} was acknowledged, and the journal does not have it")
        for decision_id, decision in self._published:
            decided = reference.decided.get(decision_id)
            if decided != decision:
                raise Violation(f"{decision_id} was published as {decision}; a replay decides {decided}")
        self._accepted.clear()
        self._acknowledged.clear()
        self._published.clear()
        active = self._active()
        if active is None or active.service is None or active.process.is_stopped:
            return
        self._compare_with_reference(active.service)
        self._check_deadlines(active)

    def _check_deadlines(self, router: _Router) -> None:
        """Deadlines are served when the steady clock says so, whatever the wall clock does."""
        assert router.service is not None
        now_s, due_ms = self.loop.time(), router.service._decider.engine.next_deadline_ms()
        if self.disk.is_full or router.stop.is_set() or due_ms is None or due_ms != router.due_ms:
            router.due_ms, router.due_s = due_ms, 0.0
            if due_ms is not None:
                # A clock that waits for the wall to catch up takes a tenth longer.
                left_s = max(0.0, (due_ms - router.service._now_ms()) / 1000)
                router.due_s = max(now_s, router.quiet_from_s) + 3 + left_s * 1.12
        elif now_s > max(router.due_s, router.quiet_from_s + 3):
            raise Violation(f"a deadline is {now_s - router.due_s + 3:.1f} s late")

    def _compare_with_reference(self, service: Service) -> None:
        if not self.plan.is_audited:
            return
        journal = SqliteJournal(self.disk.file, read_only=True)
        try:
            self.reference.read(journal)
        finally:
            journal.close()
        assert self.reference.decider is not None
        own, full = service._decider, self.reference.decider
        if own.position.offset != full.position.offset:
            return  # Another router has taken over and this one does not know yet.
        if own.position != full.position:
            raise Violation(f"the router stands at {own.position}, a replay at {full.position}")
        if own.diverged_at is not None or full.diverged_at is not None:
            raise Violation(f"a replay has diverged at {own.diverged_at or full.diverged_at}")
        if state_digest(own) != state_digest(full):
            raise Violation("the router's state is not that of a replay of its journal")
        if list(own.recent()) != list(full.recent()):
            raise Violation("the router has forgotten what it decided a moment ago")

    def _check_end(self) -> None:
        """Every call has come to one end, and the sums agree."""
        self.audit()
        if not self.plan.is_audited:
            return
        model, counts = self.reference.model, self.reference.model.counts
        if model.calls or model.held:
            raise Violation(f"left over at the end: calls {list(model.calls)}, agents {model.held}")
        if counts["arrived"] != counts["ended"] + counts["abandoned"] + counts["fallback"]:
            raise Violation(f"the sums of calls do not agree: {counts}")
        if counts["arrived"] != self.platform.counts["arrived"]:
            raise Violation(f"{self.platform.counts['arrived']} calls were sent, {counts['arrived']} arrived")


def simulate(seed: int, plan: Plan | None = None) -> Report:
    """Run one seed.

    Raises:
        Violation: With the seed, and what must not have happened.
    """
    rng = random.Random(seed)
    plan = plan or Plan(
        is_pair=rng.random() < 0.3, fault_every_s=rng.choice((2.0, 5.0, 10.0)), is_abroad=rng.random() < 0.3
    )
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        try:
            return Simulation(seed, plan, Path(directory)).run()
        except Violation as violation:
            raise Violation(f"seed {seed}: {violation}") from violation
        finally:
            gc.collect()
