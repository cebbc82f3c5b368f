"""The live router: one task that feeds the engine, so that there is one order of events and nothing to lock.

The way of a message: the bus puts it into the inbox; the loop takes all that is there, decodes it, journals it in one
durable commit, hands it to the engine, puts replies and decisions into the outbox, and acknowledges the message when
the broker has them. What goes wrong on the way leaves the message unacknowledged, so that it comes again.

Beside the loop the service keeps its claim on the shard alive, for a standby to see, writes snapshots, so that a start
need not read all of the journal, and purges what is older than its retention.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Never

from router.core import Engine, EventRejected, Limits, OrganisationError, Problem, Rejection, RouterError
from router.core.events import CallConnected, Event, OrganisationChanged, RouterResumed, TimePassed
from router.core.explain import Explanation
from router.core.model import CallId, OrganisationDescription, PortfolioId
from router.core.summary import EngineSummary
from router.journal import Entry, Journal, JournalError, JournalFenced
from router.service.clock import Clock
from router.service.decider import RECORDS_REMEMBERED, Decided, Decider
from router.service.metrics import Metrics
from router.service.mqtt import BrokerError, Connection, Message, Outbox, OutboxFullError, Will, stay_connected
from router.service.recovery import finish_snapshot, recover, write_snapshot
from router.service.retention import counts_of, purge_before
from router.service.standby import wait_for_turn
from router.wire import (
    Accepted,
    InputRejected,
    PortfolioStatus,
    Rejected,
    ReloadRequested,
    RouterStatus,
    decode_input,
    encode_output,
    encode_record,
    output_topics,
    reply_topic,
    router_status_topic,
)

__all__ = ["Service"]

logger = logging.getLogger(__name__)

# A commit of so many takes some 20 ms on a slow disk: more would keep callers waiting for the sake of throughput.
_BATCH_MAX: Final = 512
# So many records at most, a batch on top of them, and some of the router's own may be handled before the broker has all
# that follows: more than its window of publishes ever holds.
_AHEAD_MAX: Final = RECORDS_REMEMBERED - _BATCH_MAX - 16
# Only a broker without a window of unacknowledged messages, such as the embedded one, can send so many.
_INBOX_MAX: Final = 50_000
# Each reads all files; a second one is wanted by who edits while the first is under way, more by nobody.
_RELOADS_MAX: Final = 2
# How often queues are shown on the bus, and how often the loop turns even when nothing happens.
_STATUS_EVERY_S: Final = 5.0
_TURN_EVERY_S: Final = 1.0
# After a turn that took so long, because the process was stopped or the disk hung, deadlines have passed that nobody
# could meet: they start afresh, as after a restart.
_ABSENT_AFTER_S: Final = 3.0
# A loop that has not turned for so long is stuck; a commit on a bad disk can take seconds.
_STUCK_AFTER_S: Final = 15.0
_JOURNAL_RETRY_S: Final = 1.0
# A standby takes over when it has seen no renewal for some seconds, see `standby`.
_RENEW_EVERY_S: Final = 1.0
_PURGE_EVERY_S: Final = 3_600.0
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
# How long a stop waits for the broker to take what has been decided; the rest is published after the next start.
_STOP_TIMEOUT_S: Final = 5.0

LoadOrganisation = Callable[[], OrganisationDescription]
Watch = Callable[[int, Decided], None]


class Keeping(NamedTuple):
    """What the journal is kept for."""

    snapshot_every: int = 50_000
    """A snapshot after so many records: the most that a start has to read, some two seconds' worth."""
    retention_days: float | None = 183
    """Call detail older than this is purged; None: never."""


class _Arrival(NamedTuple):
    """Something in the inbox: a message of the bus, or a new organisation that was asked for."""

    message: Message | None
    received_s: float
    reload: "_Reload | None" = None


class _Reload(NamedTuple):
    """A new version of the organisation, read and checked."""

    event_id: str
    changed: OrganisationChanged
    reply_to: str | None


class _Work(NamedTuple):
    """A checked input, ready for the journal."""

    arrival: _Arrival
    event_id: str
    event: Event
    reply_to: str | None


class _Unacknowledged:
    """Messages that may be acknowledged once everything that follows from them is with the broker.

    ``offset``: none of what follows is named after an earlier record.
    """

    __slots__ = ("messages", "offset", "open")

    def __init__(self, messages: list[Message], offset: int) -> None:
        self.messages = messages
        self.offset = offset
        self.open = 0


class Service:
    """A router at work on one shard.

    Args:
        journal: Opened for writing; the service claims the shard.
        shard: The shard's name.
        broker_url: Where the bus is.
        load_organisation: Reads the organisation's files; raises `OrganisationError`.
        pseudonym: Replaces phone numbers, see `wire.decode_input`.
        limits: For the engine.
        version: Of the router, for metrics.
        watch: Told of each decision, for showing it.
        keeping: When snapshots are written and records purged.
        clock: The time; None: that of this machine.
        connect: Keeps the connection to the broker, as `stay_connected` does.
        on_turn: Called in each turn of the loop that routes, or stands by, at least once a second: who hears nothing
            knows it stuck.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        shard: str,
        broker_url: str,
        load_organisation: LoadOrganisation,
        pseudonym: Callable[[str], str],
        limits: Limits,
        version: str,
        watch: Watch = lambda _at_ms, _decided: None,
        keeping: Keeping = Keeping(),  # noqa: B008 - frozen
        clock: Clock | None = None,
        connect: Callable[..., Coroutine[Any, Any, Never]] = stay_connected,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._shard = shard
        self._broker_url = broker_url
        self._load_organisation = load_organisation
        self._pseudonym = pseudonym
        self._limits = limits
        self._watch = watch
        self._keeping = keeping
        self._clock = clock or Clock()
        self._connect = connect
        self._on_turn = on_turn
        self._metrics = Metrics(self.summary, version=version)
        self._outbox = Outbox()
        self._inbox: deque[_Arrival] = deque()
        self._wake = asyncio.Event()
        self._unacknowledged: deque[_Unacknowledged] = deque()
        self._shown: dict[PortfolioId, PortfolioStatus] = {}
        self._reloads: set[asyncio.Task[None]] = set()
        self._decider: Decider
        self._status: RouterStatus
        self._is_started = False
        self._turned_s = asyncio.get_running_loop().time()
        self._acted_s = self._turned_s
        self._connected = False
        self._flooded = False
        self._epoch = 0
        self._own_numbers = itertools.count()
        self._trouble: str | None = "the router is starting"
        self._stopping = False
        self._snapshot_offset = 0
        self._purge_from_s = 0.0
        self._snapshooting: asyncio.Task[None] | None = None

    # --- For HTTP and the command line ---

    def summary(self) -> EngineSummary:
        if not self._is_started:
            return EngineSummary(now_ms=self._now_ms(), portfolios=(), teams=(), offers={}, calls_live=0)
        return self._decider.engine.summary(now_ms=self._now_ms())

    def explain(self, call_id: CallId) -> Explanation | None:
        return self._decider.engine.explain(call_id, now_ms=self._now_ms()) if self._is_started else None

    async def metrics(self) -> tuple[bytes, str]:
        return await self._metrics.render_aside()

    def not_ready_because(self) -> str | None:
        if self._trouble is not None:
            return self._trouble
        return None if self._connected else "no connection to the broker"

    def is_live(self) -> bool:
        return asyncio.get_running_loop().time() - self._turned_s < _STUCK_AFTER_S

    # --- Start and stop ---

    async def stand_by(self, silence_s: float) -> int:
        """Wait until the router that is at work has been silent for so long; returns the epoch to `start` on."""

        def on_look() -> None:
            self._turned_s = asyncio.get_running_loop().time()
            self._on_turn()

        self._trouble = "this router is a standby: it takes over when the one at work falls silent"
        return await wait_for_turn(self._journal, self._shard, silence_s=silence_s, on_look=on_look)

    def start(self, *, if_epoch: int | None = None, on_record: Callable[[int], None] = lambda _: None) -> None:
        """Claim the shard, and become again what the journal says. Blocks: nothing else runs yet.

        Args:
            if_epoch: See `Journal.claim`.
            on_record: See `recover`.

        Raises:
            OrganisationError: The files of the organisation have problems.
            JournalFenced: Another router has claimed the shard since *if_epoch*.
            JournalError: The journal cannot be used.
        """
        try:
            description = self._load_checked()
        except OrganisationError as error:
            if self._journal.last_offset(self._shard) == 0:
                raise
            # A crash in the middle of an edit must not keep calls from being routed.
            logger.error("the files of the organisation have problems, the version in the journal goes on: %s", error)
            description = None
        self._epoch = self._journal.claim(self._shard, if_epoch=if_epoch)
        decider = recover(
            self._journal, self._shard, limits=self._limits, on_record=self._renewing_meanwhile(on_record)
        )
        if decider is None:
            assert description is not None, "an empty journal needs the files"
            now_ms = self._clock.now_ms()
            (offset,) = self._append_own(now_ms, [OrganisationChanged(description=description)])
            engine = Engine(description, limits=self._limits)
            decider = Decider.of_first_record(engine, description, offset, now_ms)
        if decider.diverged_at is not None:
            logger.error(
                "from offset %d on this router decides otherwise than the one that wrote the journal, which was of"
                " another version or is damaged; what was decided since is decided anew",
                decider.diverged_at,
            )
            self._metrics.diverged()
        self._decider = decider
        self._is_started = True
        self._snapshot_offset = next(iter(self._journal.snapshot_offsets(self._shard)), 0)
        self._clock.not_before(decider.now_ms)
        now_ms = self._clock.now_ms()
        events: list[Event] = [RouterResumed(epoch=self._epoch, limits=self._limits)]
        if description is not None and description != decider.description:
            events.append(OrganisationChanged(description=description))
        events.append(TimePassed())
        for offset, event in zip(self._append_own(now_ms, events), events, strict=True):
            decider.apply(offset, now_ms, event)
        self._status = RouterStatus(up=True, since_ms=now_ms, epoch=self._epoch)

    def _renewing_meanwhile(self, on_record: Callable[[int], None]) -> Callable[[int], None]:
        """Keep the claim alive while records are read, lest a standby take a long start for a dead router."""
        renewed_s = time.monotonic()

        def on_read(offset: int) -> None:
            nonlocal renewed_s
            on_record(offset)
            if time.monotonic() - renewed_s > _RENEW_EVERY_S:
                renewed_s = time.monotonic()
                self._renew_claim()

        return on_read

    def _append_own(self, now_ms: int, events: Sequence[Event]) -> list[int]:
        """Journal events of the router's own making; returns their offsets."""
        return [appended.offset for appended in self._journal.append(self._shard, self._own_entries(now_ms, events))]

    def _own_entries(self, now_ms: int, events: Sequence[Event]) -> list[Entry]:
        # No sender can use a slash, so no sender can have used these ids before.
        return [
            Entry(f"router/{self._epoch:06}/{next(self._own_numbers):09}", encode_record(now_ms, event))
            for event in events
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Route calls until *stop* is set.

        Raises:
            JournalFenced: Another router has taken the shard over.
        """
        down = encode_output(RouterStatus(up=False, since_ms=self._status.since_ms, epoch=self._status.epoch))
        status_topic = router_status_topic(self._shard)
        # The start may have read for seconds.
        self._turned_s = self._acted_s = asyncio.get_running_loop().time()
        connecting = asyncio.create_task(
            self._connect(
                self._broker_url,
                deliver=self._deliver,
                subscriptions=(f"acd/v1/in/{self._shard}/#",),
                outbox=self._outbox,
                client_id=f"router-{self._shard}",
                will=Will(status_topic, down),
                on_connected=self._on_connected,
                on_failed=self._on_disconnected,
            )
        )
        # What was decided shortly before the last stop may never have left; receivers drop what they have seen.
        for offset, outcome in self._decider.outcomes():
            sent: list[asyncio.Future[None]] = []
            for decided in outcome.decided:
                sent += await self._publish(decided)
            self._acknowledge_later([], sent, offset)
        lasting = [
            connecting,
            asyncio.create_task(self._feed()),
            asyncio.create_task(self._show_queues()),
            asyncio.create_task(self._keep_claim()),
            asyncio.create_task(self._purge()),
        ]
        feeding = lasting[1]
        stopped = asyncio.create_task(stop.wait())
        self._trouble = None
        fenced = False
        try:
            await asyncio.wait((*lasting, stopped), return_when=asyncio.FIRST_COMPLETED)
            # None of these ends by itself, but for an error that it could not mend.
            for task in lasting:
                if task.done():
                    task.result()
        except JournalFenced:
            fenced = True
            raise
        finally:
            self._trouble = "the router is stopping"
            self._stopping = True
            self._wake.set()
            if not fenced:
                # It may hang where the broker is gone and the outbox full; the journal has all that was accepted.
                await asyncio.wait((feeding,), timeout=_STOP_TIMEOUT_S)
                feeding.cancel()
                # One who was fenced keeps silent: it would take back what its successor has said.
                with contextlib.suppress(OutboxFullError):
                    self._outbox.publish(status_topic, down, retain=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_TIMEOUT_S):
                        await self._outbox.wait_empty()
            beside: list[asyncio.Task[Any]] = [*lasting, stopped, *self._reloads]
            if self._snapshooting is not None:
                beside.append(self._snapshooting)
            for each in beside:
                each.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            if not fenced:
                self._leave_in_order()

    def _leave_in_order(self) -> None:
        """Spare the next start the reading of records, and a standby the wait."""
        try:
            if self._decider.offset > self._snapshot_offset:
                self._put_snapshot(self._decider.offset, finish_snapshot(write_snapshot(self._decider)))
            self._journal.release(self._shard)
        except JournalError as error:
            logger.warning("the next start takes longer: %s", error)

    def reload(self) -> None:
        """Read the organisation's files again, as the admin topic asks; problems are logged and change nothing."""
        self._start_reload(None, None)

    # --- The bus ---

    def _deliver(self, message: Message) -> None:
        if len(self._inbox) >= _INBOX_MAX:
            # Nobody was told "accepted", so the platform sends it again when it is less busy here.
            if not self._flooded:
                logger.warning("more than %d messages wait; further ones are dropped until fewer do", _INBOX_MAX)
            self._flooded = True
            message.acknowledge()
            return
        self._flooded = False
        self._inbox.append(_Arrival(message, time.perf_counter()))
        self._wake.set()

    def _on_connected(self, _connection: Connection) -> None:
        # Who was stopped for long enough to be replaced must not say that it is up.
        self._renew_claim()
        self._connected = True
        self._metrics.connected_to_broker(True)
        # The broker may have published our last will meanwhile, or forgotten what was retained.
        self._shown.clear()
        with contextlib.suppress(OutboxFullError):
            self._outbox.publish(router_status_topic(self._shard), encode_output(self._status), retain=True)

    def _on_disconnected(self, _error: BrokerError) -> None:
        self._connected = False
        self._metrics.connected_to_broker(False)

    async def _publish(self, decided: Decided) -> list[asyncio.Future[None]]:
        payload = encode_output(decided.decision, decided.decision_id)
        sent = []
        for topic in output_topics(decided.decision, self._shard):
            await self._wait_for_room()
            sent.append(self._outbox.publish(topic, payload))
        return sent

    async def _reply(self, topic: str | None, reply: Accepted | Rejected) -> list[asyncio.Future[None]]:
        if topic is None:
            return []
        await self._wait_for_room()
        return [self._outbox.publish(topic, encode_output(reply))]

    async def _wait_for_room(self) -> None:
        """Wait for the broker without being taken for stuck: a restart would not bring it back."""
        while not self._outbox.has_room:
            self._turned_s = asyncio.get_running_loop().time()
            self._on_turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TURN_EVERY_S):
                    await self._outbox.wait_for_room()

    def _acknowledge_later(self, messages: list[Message], sent: Sequence[asyncio.Future[None]], offset: int) -> None:
        """Acknowledge *messages*, in the order in which they came, once all of *sent* is with the broker.

        *sent* follows from the record at *offset* and later ones.
        """
        group = _Unacknowledged(messages, offset)
        self._unacknowledged.append(group)
        for future in sent:
            if not future.done():
                group.open += 1
                future.add_done_callback(partial(self._one_sent, group))
        self._acknowledge()

    def _one_sent(self, group: _Unacknowledged, _: asyncio.Future[None]) -> None:
        group.open -= 1
        if group.open == 0:
            self._acknowledge()

    def _acknowledge(self) -> None:
        while self._unacknowledged and self._unacknowledged[0].open == 0:
            for message in self._unacknowledged.popleft().messages:
                message.acknowledge()
            self._wake.set()

    # --- The loop ---

    async def _feed(self) -> None:
        while not self._stopping:
            self._turned_s = asyncio.get_running_loop().time()
            self._on_turn()
            if self._is_far_ahead():
                await self._wait_for_something(_TURN_EVERY_S)
                continue
            await self._mind_absence()
            if not self._inbox:
                await self._wait_for_something(self._until_due_s())
                await self._mind_absence()
            if self._inbox:
                batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), _BATCH_MAX))]
                await self._take(batch)
                # The journal may have kept us for long.
                await self._mind_absence()
            due_ms = self._decider.engine.next_deadline_ms()
            if due_ms is not None and due_ms <= self._now_ms():
                await self._apply_own(TimePassed(digest=self._decider.digest))
            self._snapshot_if_due()

    def _is_far_ahead(self) -> bool:
        """Whether, after one more batch, a crash could lose decisions that no broker has.

        A start publishes again what the last `RECORDS_REMEMBERED` records led to, and nothing older.
        """
        if not self._unacknowledged:
            return False
        return self._decider.offset - self._unacknowledged[0].offset > _AHEAD_MAX

    async def _mind_absence(self) -> None:
        """After a time in which nobody could be heard, let deadlines start afresh."""
        absent_s = asyncio.get_running_loop().time() - self._acted_s
        self._acted_s += absent_s
        jumped_ms = self._clock.catch_up()
        if jumped_ms > _HOUR_MS:
            # It may be the clock that is wrong. Nothing is deleted on its word for a day.
            self._purge_from_s = asyncio.get_running_loop().time() + _DAY_MS / 1000
        if jumped_ms or absent_s > _ABSENT_AFTER_S:
            self._metrics.absent()
            logger.warning(
                "the router could not act for %.1f s, and the clock jumped by %.1f s; offers and leases start afresh",
                absent_s,
                jumped_ms / 1000,
            )
            await self._apply_own(RouterResumed(epoch=self._epoch))

    async def _apply_own(self, event: Event) -> None:
        """Apply an event of the router's own making; the journal learns of it first, as of any event."""
        now_ms = self._now_ms()
        appended = await self._append(self._own_entries(now_ms, [event]))
        if appended is not None:
            offset, sent = appended[0][0], list[asyncio.Future[None]]()
            for decided in self._decider.apply(offset, now_ms, event):
                sent += await self._decide(now_ms, decided)
            self._acknowledge_later([], sent, offset)

    async def _serve_deadlines(self, now_ms: int) -> list[asyncio.Future[None]]:
        sent = []
        for decided in self._decider.serve_deadlines(now_ms):
            sent += await self._decide(now_ms, decided)
        return sent

    def _until_due_s(self) -> float:
        due_ms = self._decider.engine.next_deadline_ms()
        if due_ms is None:
            return _TURN_EVERY_S
        return min(_TURN_EVERY_S, max(0.0, (due_ms - self._now_ms()) / 1000))

    async def _wait_for_something(self, wait_s: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _take(self, batch: list[_Arrival]) -> None:
        """Decode, journal, decide, publish; acknowledge when the broker has it all."""
        sent: list[asyncio.Future[None]] = []
        # Deadlines before the first event are served under the name of the record before it.
        offset_before = self._decider.offset
        work: list[_Work] = []
        for arrival in batch:
            try:
                ready = self._check(arrival)
            except InputRejected as rejected:
                self._metrics.rejected(rejected.reason)
                reply = Rejected(event_id=rejected.event_id, reason=rejected.reason, detail=rejected.detail)
                sent += await self._reply(rejected.reply_topic, reply)
            else:
                if ready is not None:
                    work.append(ready)
        if work:
            now_ms = self._now_ms()
            entries = [Entry(each.event_id, encode_record(now_ms, each.event)) for each in work]
            offsets = await self._append(entries)
            if offsets is None:
                # Stopped while the journal could not be written: nothing was accepted, nothing is acknowledged.
                return
            for each, (offset, duplicate) in zip(work, offsets, strict=True):
                sent += await self._handle(each, offset, duplicate, now_ms)
        messages = [arrival.message for arrival in batch if arrival.message is not None]
        self._acknowledge_later(messages, sent, offset_before)

    def _check(self, arrival: _Arrival) -> _Work | None:
        """What is to be journalled; None: nothing, the message asked for a reload, which goes on beside the loop.

        Raises:
            InputRejected: The message is no event.
        """
        if arrival.reload is not None:
            return _Work(arrival, *arrival.reload)
        message = arrival.message
        assert message is not None, "what is no reload is a message"
        event_id, event = decode_input(message.topic, message.payload, shard=self._shard, pseudonym=self._pseudonym)
        reply_to = reply_topic(message.topic, self._shard)
        if message.retained and getattr(event, "sequence", None) is None:
            # Kept by the broker since who knows when; only a number tells old presence from new.
            detail = "retained: only presence with a sequence number may be, for nobody can tell how old the rest is"
            raise InputRejected(Rejection.STALE, detail, event_id=event_id, reply_topic=reply_to)
        if isinstance(event, ReloadRequested):
            if len(self._reloads) >= _RELOADS_MAX:
                detail = f"{_RELOADS_MAX} reloads are under way already; wait for them"
                raise InputRejected(Rejection.QUEUE_FULL, detail, event_id=event_id, reply_topic=reply_to)
            self._start_reload(event_id, reply_to)
            return None
        return _Work(arrival, event_id, event, reply_to)

    async def _append(self, entries: list[Entry]) -> list[tuple[int, bool]] | None:
        """Make *entries* durable, trying again until it works.

        Raises:
            JournalFenced: Another router has taken over.
        """
        while not self._stopping:
            started_s = time.perf_counter()
            try:
                # In the loop itself: nothing may be decided meanwhile anyway, and a thread of its own would have to win
                # the interpreter lock back after each statement (30 ms a commit under load instead of 1.3).
                appended = self._journal.append(self._shard, entries)
            except JournalFenced:
                raise
            except JournalError as error:
                logger.error("nothing can be accepted: %s", error)
                self._trouble = f"the journal cannot be written: {error}"
                self._turned_s = asyncio.get_running_loop().time()
                self._on_turn()
                await asyncio.sleep(_JOURNAL_RETRY_S)
            else:
                self._trouble = None
                self._metrics.committed(time.perf_counter() - started_s, len(entries))
                return [(each.offset, each.duplicate) for each in appended]
        return None

    async def _handle(self, work: _Work, offset: int, duplicate: bool, now_ms: int) -> list[asyncio.Future[None]]:
        """Give one journalled event to the engine and publish what follows."""
        rejected: EventRejected | None = None
        sent: list[asyncio.Future[None]] = []
        # One that the engine has not seen is new, whatever the journal says: a commit that failed may have been made.
        duplicate = duplicate and offset <= self._decider.offset
        if duplicate:
            self._metrics.duplicated()
            # Whoever sends again may have missed what followed as well.
            decisions, rejected = self._decider.outcome_of(offset)
        else:
            # Before each event, not once a batch: an event may bring a deadline that is due at the same moment.
            sent += await self._serve_deadlines(now_ms)
            started_s = time.perf_counter()
            try:
                decisions = self._decider.apply(offset, now_ms, work.event)
            except EventRejected as refusal:
                decisions, rejected = [], refusal
                self._metrics.rejected(refusal.reason)
            else:
                self._metrics.handled(work.event, time.perf_counter() - started_s)
                self._count_answered(work.event, now_ms)
        for decided in decisions:
            sent += await self._decide(now_ms, decided, is_new=not duplicate)
        if rejected is None:
            reply: Accepted | Rejected = Accepted(event_id=work.event_id, offset=offset, duplicate=duplicate)
        else:
            reply = Rejected(event_id=work.event_id, reason=rejected.reason, detail=rejected.detail)
        sent += await self._reply(work.reply_to, reply)
        self._metrics.decision_latency(time.perf_counter() - work.arrival.received_s)
        return sent

    async def _decide(self, now_ms: int, decided: Decided, *, is_new: bool = True) -> list[asyncio.Future[None]]:
        if is_new:
            self._metrics.decided(decided.decision)
            self._watch(now_ms, decided)
        return await self._publish(decided)

    def _count_answered(self, event: Event, now_ms: int) -> None:
        if isinstance(event, CallConnected):
            view = self._decider.engine.find(event.call_id)
            # A transferred call was answered before.
            if view is not None and view.connected_ms == now_ms:
                self._metrics.answered(view.portfolio_id, wait_ms=now_ms - view.arrived_ms)

    # --- Beside the loop ---

    def _start_reload(self, event_id: str | None, reply_to: str | None) -> None:
        task = asyncio.create_task(self._reload(event_id or f"reload-{time.time_ns()}", reply_to))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self, event_id: str, reply_to: str | None) -> None:
        """Read and check the files in a thread, then let the loop put the new version into force."""
        try:
            description = await asyncio.to_thread(self._load_checked)
        except (RouterError, OSError, ValueError) as error:
            logger.error("the organisation was not reloaded, the old one goes on: %s", error)
            self._metrics.rejected(Rejection.ORGANISATION_INVALID)
            detail = _first_lines(error.problems) if isinstance(error, OrganisationError) else str(error)
            await self._reply(
                reply_to, Rejected(event_id=event_id, reason=Rejection.ORGANISATION_INVALID, detail=detail)
            )
            return
        reload = _Reload(event_id, OrganisationChanged(description=description), reply_to)
        self._inbox.append(_Arrival(None, time.perf_counter(), reload))
        self._wake.set()

    def _load_checked(self) -> OrganisationDescription:
        description = self._load_organisation()
        Engine(description, limits=self._limits)
        return description

    async def _show_queues(self) -> None:
        """Publish the queue of each portfolio, retained, when it has changed."""
        while True:
            # While there is no broker they would only pile up before the decisions; a connection shows them all anew.
            for each in self.summary().portfolios if self._connected else ():
                status = PortfolioStatus(
                    portfolio_id=each.portfolio_id, waiting=each.waiting, oldest_wait_ms=each.oldest_wait_ms
                )
                if self._shown.get(each.portfolio_id) != status:
                    self._shown[each.portfolio_id] = status
                    await self._outbox.wait_for_room()
                    for topic in output_topics(status, self._shard):
                        self._outbox.publish(topic, encode_output(status), retain=True)
            await asyncio.sleep(_STATUS_EVERY_S)

    async def _keep_claim(self) -> None:
        """Show a standby that this router is alive; learn, when idle too, that another has taken over."""
        while True:
            self._renew_claim()
            await asyncio.sleep(_RENEW_EVERY_S)

    def _renew_claim(self) -> None:
        try:
            self._journal.renew(self._shard)
        except JournalFenced:
            raise
        except JournalError as error:
            # The loop says the same, louder, when there is something to write.
            logger.warning("the claim was not renewed, a standby may take over: %s", error)

    def _snapshot_if_due(self) -> None:
        offset = self._decider.offset
        is_busy = self._snapshooting is not None and not self._snapshooting.done()
        if is_busy or offset - self._snapshot_offset < self._keeping.snapshot_every:
            return
        steps = write_snapshot(self._decider)
        next(steps)  # What may change is copied here, between two events.
        self._snapshot_offset = offset
        self._snapshooting = asyncio.create_task(self._write_snapshot(offset, steps))

    async def _write_snapshot(self, offset: int, steps: Generator[None, None, bytes]) -> None:
        while True:
            await asyncio.sleep(0)
            try:
                next(steps)
            except StopIteration as done:
                body: bytes = done.value
                break
        try:
            self._put_snapshot(offset, body)
        except JournalFenced:
            pass  # The loop and the claim's keeper learn of it and stop.
        except JournalError as error:
            logger.error("no snapshot was written, the next start takes longer: %s", error)

    def _put_snapshot(self, offset: int, body: bytes) -> None:
        started_s = time.perf_counter()
        self._journal.put_snapshot(self._shard, offset, body)
        self._metrics.snapshot(time.perf_counter() - started_s, len(body))
        logger.info("snapshot at offset %d, %d kB", offset, len(body) // 1000)

    async def _purge(self) -> None:
        """Delete, a little at a time, the detail of calls that are older than may be kept."""
        while True:
            # Not at once: what was wrong with the clock when the machine started is mended by then.
            await asyncio.sleep(_PURGE_EVERY_S)
            if self._keeping.retention_days is not None and asyncio.get_running_loop().time() >= self._purge_from_s:
                before_ms = min(self._now_ms(), self._clock.wall_ms()) - round(self._keeping.retention_days * _DAY_MS)
                try:
                    purged = await purge_before(
                        self._journal, self._shard, before_ms, partial(counts_of, self._decider.engine)
                    )
                except JournalFenced:
                    raise
                except RouterError as error:
                    # A snapshot that cannot be read, say: nothing that calls have to wait for.
                    logger.error("old records were not purged: %s", error)
                else:
                    if purged:
                        logger.info("purged %d records older than %g days", purged, self._keeping.retention_days)

    def _now_ms(self) -> int:
        return self._clock.now_ms()


def _first_lines(problems: Sequence[Problem]) -> str:
    shown = "; ".join(map(str, problems[:5]))
    return shown if len(problems) <= 5 else f"{shown}; and {len(problems) - 5} more (router check shows all)"
