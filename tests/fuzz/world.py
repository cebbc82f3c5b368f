"""A router without its shell: takes messages as the live service does, and looks for what must not happen.

Decoder, journal record, `Decider` and encoder are the real ones, in the order in which `router.service.service` calls
them; only the bus, the disk and the clock are missing. Nothing but `InputRejected` and `EventRejected` may come out.
"""

import os
import signal
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from types import FrameType
from typing import Final

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
from msgspec import structs

from router.core import Engine, EventRejected, Limits
from router.core.decisions import Decision
from router.core.events import CallEvent, OrganisationChanged, RouterResumed
from router.core.model import (
    CallId,
    Fallback,
    FallbackKind,
    Hours,
    Link,
    MovePlan,
    MoveStep,
    OrganisationDescription,
    OwnerMode,
    Portfolio,
    PortfolioId,
    SiteId,
    Strategy,
    TeamId,
    Weekday,
)
from router.organisation_files import load_organisation
from router.pseudonym import Pseudonymiser
from router.service.decider import Decided, Decider
from router.wire import (
    Input,
    InputRejected,
    Rejected,
    ReloadRequested,
    decode_input,
    decode_record,
    encode_output,
    encode_record,
    output_topics,
)
from tests.fuzz.payloads import MARK, Message, Platform

__all__ = ["SHARD", "Flaw", "History", "World", "resident_mb"]

SHARD: Final = "main"
INPUT_LIMIT_S: Final = 5.0
"""A message that takes so long is taken for one that never ends; the usual takes 50 µs."""
_ORGANISATION = Path(__file__).parents[2] / "config/small/organisation.toml"
_START_MS = 1_767_261_600_000  # A Thursday, 10:00 in Rome: opening hours have begun.
# Small enough to be reached early: what is kept of calls has then its full size when memory is first looked at.
_LIMITS = Limits(waiting_calls_max=300, past_calls_max=500, plans_max=200)
_EVENTS_REMEMBERED = 1_000
_RESUME_EVERY, _EXPLAIN_EVERY, _SUMMARY_EVERY = 20_011, 53, 211


class Flaw(Exception):
    """Something that must not happen has happened."""


class History:
    """What has been fed, on disk before it is looked at, so that a flaw can be met again: also one that kills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)

    def write(self, message: Message) -> None:
        record = msgpack.packb(tuple(message), unicode_errors="surrogatepass")
        self._file.write(len(record).to_bytes(4, "big") + record)

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def read(path: Path) -> Iterator[Message]:
        """The messages in order."""
        with path.open("rb") as file:
            while head := file.read(4):
                record = file.read(int.from_bytes(head, "big"))
                yield Message(*msgpack.unpackb(record, unicode_errors="surrogatepass"))


class World:
    """Feeds messages to a decoder and an engine.

    Args:
        history: Where messages are written down; None: nowhere.
    """

    def __init__(self, history: History | None = None) -> None:
        self.descriptions = _descriptions()
        self.platform = Platform(self.descriptions, SHARD)
        self.counts: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self._history = history
        self._pseudonym = Pseudonymiser(b"a key for nobody").of
        self._now_ms = _START_MS
        self._offset = self._organisations = 0
        self._events: OrderedDict[str, int] = OrderedDict()
        self._calls: deque[CallId] = deque([CallId("c0")], maxlen=20)
        description = self.descriptions[0]
        signal.signal(signal.SIGALRM, _too_slow)
        self._decider = Decider.of_first_record(Engine(description, limits=_LIMITS), description, 0, self._now_ms)
        self._resume()

    def feed(self, message: Message) -> None:
        """Take one message.

        Raises:
            Exception: Whatever must not come out; `Flaw` where the router said nothing, but did something wrong.
        """
        if self._history is not None:
            self._history.write(message)
        signal.setitimer(signal.ITIMER_REAL, INPUT_LIMIT_S)
        try:
            self._receive(message)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _receive(self, message: Message) -> None:
        try:
            arrived = decode_input(message.topic, message.payload, shard=SHARD, pseudonym=self._pseudonym)
        except InputRejected as refusal:
            self.counts[f"refused by the decoder: {refusal.reason}"] += 1
            self._check_refusal(refusal)
            return
        self._take(arrived, message.step_ms)

    def _take(self, arrived: Input, step_ms: int) -> None:
        event_id, event = arrived
        self._now_ms += step_ms
        if isinstance(event, ReloadRequested):
            self.counts["accepted: reload"] += 1
            self._organisations += 1
            event = OrganisationChanged(description=self.descriptions[self._organisations % len(self.descriptions)])
        else:
            if decode_record(encode_record(self._now_ms, event)) != (self._now_ms, event):
                raise Flaw("the journal would not give back the event that was put into it")
            if event_id in self._events:
                self.counts["accepted: duplicate"] += 1
                self._publish(self._decider.outcome_of(self._events[event_id])[0], heed=False)
                return
        self._offset += 1
        if not isinstance(event, OrganisationChanged):
            self._events[event_id] = self._offset
            if len(self._events) > _EVENTS_REMEMBERED:
                self._events.popitem(last=False)
        self._publish(self._decider.serve_deadlines(self._now_ms))
        try:
            self._publish(self._decider.apply(self._offset, self._now_ms, event))
        except EventRejected as refusal:
            self.counts[f"refused by the engine: {refusal.reason}"] += 1
            self._check_refusal(refusal)
        else:
            if not isinstance(event, OrganisationChanged):
                self.counts["accepted: " + str(event.__struct_config__.tag)] += 1
        if isinstance(event, CallEvent):
            self._calls.append(event.call_id)
        self._look_from_outside()

    def _resume(self) -> None:
        self._offset += 1
        self._publish(self._decider.apply(self._offset, self._now_ms, RouterResumed(epoch=1, limits=_LIMITS)))
        self._publish(self._decider.serve_deadlines(self._now_ms))

    def _look_from_outside(self) -> None:
        """What restarts, HTTP and metrics ask of the engine now and then; by offset, so that a repetition agrees."""
        engine = self._decider.engine
        if self._offset % _EXPLAIN_EVERY == 0:
            engine.explain(self._calls[0], now_ms=self._now_ms)
        if self._offset % _SUMMARY_EVERY == 0:
            summary = engine.summary(now_ms=self._now_ms)
            if sum(each.arrived - sum(each.outcomes.values()) for each in summary.portfolios) != summary.calls_live:
                raise Flaw("calls that arrived, ended and live do not add up")
        if self._offset % _RESUME_EVERY == 0:
            self._resume()

    def _publish(self, decided: list[Decided], *, heed: bool = True) -> None:
        for decision_id, decision in decided:
            encode_output(decision, decision_id)
            for topic in output_topics(decision, SHARD):
                if MARK in topic:
                    raise Flaw("a phone number in a topic")
            if heed:
                self.platform.heed(decision)
                self._count(decision)

    def _count(self, decision: Decision) -> None:
        self.decisions[str(decision.__struct_config__.tag)] += 1

    def _check_refusal(self, refusal: EventRejected) -> None:
        encode_output(Rejected(reason=refusal.reason, detail=refusal.detail))
        if MARK in f"{refusal}{refusal.detail}":
            raise Flaw(f"a refusal repeats a phone number: {refusal}")


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise Flaw(f"a message took longer than {INPUT_LIMIT_S:g} s")


def resident_mb() -> float:
    """Memory that this process holds now, not its peak."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _descriptions() -> tuple[OrganisationDescription, ...]:
    """The small example, and versions of it that use what it leaves at its defaults; reloads go round them."""
    small = load_organisation(_ORGANISATION, pseudonym=Pseudonymiser(b"a key for nobody").of)
    aquila, cagliari = small.teams
    (gold,) = small.portfolios
    change = structs.replace
    hard = change(
        small,
        sites=tuple(change(site, seats=2) for site in small.sites),
        teams=(
            change(
                aquila, strategy=Strategy.LEAST_OCCUPIED, wrap_up_s=0, cooldown_s=7, misses_max=1, presence_lease_s=90,
                talk_lease_s=60, offer_timeout_s=3, connect_timeout_s=4,
            ),
            change(cagliari, backups=(Link(TeamId("aquila-3"), 5),), cooldown_s=0, strategy=Strategy.MOST_SKILLED),
        ),
        portfolios=(
            change(gold, owner_mode=OwnerMode.STRICT, max_wait_s=60, fallback=_to_portfolio("silver")),
            _portfolio(gold, "silver", Link(TeamId("cagliari-1"), 3), language=None, fallback=_to_portfolio("night")),
            _portfolio(gold, "night", Link(TeamId("aquila-3")), max_wait_s=0, fallback=Fallback(FallbackKind.CALLBACK)),
            _portfolio(gold, "short", Link(TeamId("aquila-3")), callback_max_wait_s=0, countries=("IT",),
                       max_wait_s=None, fallback=Fallback(FallbackKind.NUMBER, "119")),
        ),
        agents=tuple(change(agent, after_s=10 * number) for number, agent in enumerate(small.agents)),
        move_plans=(_plan(gold.portfolio_id, PortfolioId("silver")),),
    )  # fmt: skip
    lean = change(
        small,
        sites=small.sites[:1],
        teams=(change(aquila, backups=(), own_first=True, strategy=Strategy.LEAST_FLEXIBLE),),
        portfolios=(change(gold, owner_wait_s=600, max_wait_s=20),),
        agents=small.agents[:2],
        clients=(change(small.clients[0], exclusions=(small.agents[1].agent_id,)),),
    )
    return small, hard, lean, hard


def _plan(*portfolios: PortfolioId) -> MovePlan:
    """Its first day has passed when the fuzzer begins; the others come while it runs."""
    steps = tuple(
        MoveStep(
            step_id=f"s{number}",
            valid_from=date(2026, 1, number),
            portfolio_id=portfolios[0] if number == 2 else None,
            shares={SiteId("aquila"): 10_000 - 2_500 * number, SiteId("cagliari"): 2_500 * number},
            agents_moved=number,
        )
        for number in (1, 2, 3)
    )
    return MovePlan(
        move_plan_id="m1", portfolios=portfolios, to_sites=(SiteId("cagliari"),), deadline=date(2026, 1, 31), agents=3,
        spill_after_s=10, calls_min=2, steps=steps,
    )  # fmt: skip


def _portfolio(model: Portfolio, portfolio_id: str, *teams: Link, **fields: object) -> Portfolio:
    shift = Hours(days=(Weekday.MON, Weekday.THU, Weekday.FRI), opens=time(9), closes=time(22))
    return structs.replace(model, portfolio_id=PortfolioId(portfolio_id), teams=teams, hours=(shift,), **fields)


def _to_portfolio(target: str) -> Fallback:
    return Fallback(FallbackKind.PORTFOLIO, target)
