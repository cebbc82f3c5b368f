"""How long does a router take to be back from its last snapshot and 100,000 events after it?

A contact centre of 500 agents in 20 teams is played in virtual time: callers arrive, wait, hang up; agents accept,
decline and miss offers, talk and wrap up. Half of the clients have an owner, who is waited for. The load is just above
what the agents can do, so about half of the calls wait. The platform's events are appended to a real journal in a
temporary directory, with the `TimePassed` between them that the live service would have written. The snapshot is
written after a warm-up, when there are calls in every state and some 10,000 past ones to be explained. Then the router
becomes again what the journal says, by the function that the service starts with.

How it is measured. The snapshot is restored, and the records after it are read, read and decoded, and recovered from,
in turns; each figure is the least wall time of the repetitions, since whatever else the machine does can only add to
it. Decoding and engine are differences of these. The digest is that of every decision, with its name and its time, in a
replay that is not timed; it must be that of the router's first life, and so must what recovery remembers: a faster
wrong recovery fails.
"""

import gc
import hashlib
import platform
import random
import tempfile
import time
from collections.abc import Callable
from heapq import heappop, heappush
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.engine import engine_kind, processor_name
from router.core import Engine, Limits
from router.core.decisions import ConnectCall, Decision, FallbackCall, OfferCall, PauseAgent, WithdrawOffer
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
    OrganisationChanged,
    RouterResumed,
    TimePassed,
)
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Client,
    ClientId,
    Link,
    OrganisationDescription,
    Ownership,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.journal import Entry, Journal, SqliteJournal
from router.service.decider import Decider
from router.service.garbage import collecting_seldom
from router.service.recovery import finish_snapshot, read_snapshot, recover, write_snapshot
from router.wire import decode_record, encode_record

__all__ = ["FULL", "TINY", "Report", "Scale", "as_table", "main", "run"]

SEED = 1917
SHARD = "main"
START_MS = 1_790_000_000_000
TEAM_SIZE = 25
CLIENTS_PER_AGENT = 4
RINGS_AFTER_S = (0, 10, 20)
TALK_S = 180.0
PATIENCE_S = 120.0
WRAP_UP_S = 30
# Of what the agents could do if nobody ever declined or missed an offer.
LOAD = 0.93
# As many as the live service takes into one commit at most.
BATCH = 512


class Scale(NamedTuple):
    """How much is measured."""

    agents: int
    warm_up: int
    """Records before the snapshot."""
    events: int
    """Records after it."""
    repetitions: int


FULL = Scale(agents=500, warm_up=60_000, events=100_000, repetitions=5)
TINY = Scale(agents=50, warm_up=500, events=1_500, repetitions=1)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    router: str
    engine: str
    """``interpreted`` or ``compiled``."""
    python: str
    processor: str
    seed: int
    agents: int
    events: int
    repetitions: int
    seconds: float
    """The whole recovery; the four parts below add up to it."""
    snapshot_s: float
    """Reading the snapshot, and making a router of it."""
    snapshot_bytes: int
    read_s: float
    """Reading from SQLite, and the checksums."""
    decode_s: float
    engine_s: float
    """Events and deadlines through the engine, and naming what it decides."""
    events_per_s: float
    calls: int
    decisions: int
    digest: str


def run(scale: Scale) -> Report:
    """Play, write and recover.

    Raises:
        RuntimeError: The recovered router is not the one that was.
    """
    day = _Day(scale.agents)
    day.play(scale.warm_up)
    snapshot = finish_snapshot(write_snapshot(day.life.decider))
    day.play(scale.warm_up + scale.events)
    calls, was = day.calls, day.life
    with tempfile.TemporaryDirectory() as directory:
        journal = SqliteJournal(Path(directory) / "journal.db")
        try:
            _write(journal, day.records)
            journal.put_snapshot(SHARD, scale.warm_up, snapshot)
            # What the day holds would cost every garbage collection below its share.
            del day
            again = _relive(journal)
            if again.digest.hexdigest() != was.digest.hexdigest():
                raise RuntimeError("a replay of the journal decides otherwise than the router did")
            if list(_recovered(journal).recent()) != list(was.decider.recent()):
                raise RuntimeError("recovery remembers other decisions than the router did")
            decisions, digest = was.decisions, was.digest.hexdigest()
            del again, was
            repetitions = [
                tuple(_seconds(journal, what) for what in (_restored, _read, _read_and_decode, _recovered))
                for _ in range(scale.repetitions)
            ]
        finally:
            journal.close()
    snapshot_s, read_s, decoded_s, seconds = (min(times) for times in zip(*repetitions, strict=True))
    return Report(
        router=version("portfolio-router"),
        engine=engine_kind(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        processor=processor_name(),
        seed=SEED,
        agents=scale.agents,
        events=scale.events,
        repetitions=scale.repetitions,
        seconds=seconds,
        snapshot_s=snapshot_s,
        snapshot_bytes=len(snapshot),
        read_s=read_s,
        decode_s=decoded_s - read_s,
        engine_s=seconds - decoded_s - snapshot_s,
        events_per_s=scale.events / seconds,
        calls=calls,
        decisions=decisions,
        digest=digest,
    )


def main(*, tiny: bool, as_json: bool) -> None:
    """Run and print."""
    report = run(TINY if tiny else FULL)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        Console().print(as_table(report))


def as_table(report: Report) -> Table:
    table = Table(
        title=f"Back from a snapshot of {report.snapshot_bytes / 1e6:,.1f} MB and {report.events:,} events after it",
        caption=f"portfolio-router {report.router}, {report.engine} engine, {report.python}, {report.processor}; "
        f"seed {report.seed}; "
        f"{report.agents:,} agents, {report.calls:,} calls; best of {report.repetitions}",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("Events/s", "Seconds", "Snapshot", "Read, check", "Decode", "Engine", "Decisions", "Digest"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(
        f"{report.events_per_s:,.0f}",
        f"{report.seconds:.2f}",
        f"{report.snapshot_s:.2f}",
        f"{report.read_s:.2f}",
        f"{report.decode_s:.2f}",
        f"{report.engine_s:.2f}",
        f"{report.decisions:,}",
        report.digest,
    )
    return table


# --- What is timed ---


def _recovered(journal: Journal) -> Decider:
    """The router as it was, by the way on which the service starts."""
    decider = recover(journal, SHARD, limits=Limits())
    assert decider is not None, "the journal has records"
    return decider


@collecting_seldom()
def _restored(journal: Journal) -> Decider:
    """The router as it was at the snapshot."""
    return read_snapshot(journal.get_snapshot(SHARD, _snapshot_offset(journal)), lambda at: _description(journal, at))


def _read(journal: Journal) -> None:
    for _ in journal.read(SHARD, _snapshot_offset(journal) + 1):
        pass


def _read_and_decode(journal: Journal) -> None:
    for record in journal.read(SHARD, _snapshot_offset(journal) + 1):
        decode_record(record.body)


def _snapshot_offset(journal: Journal) -> int:
    (offset,) = journal.snapshot_offsets(SHARD)
    return offset


def _description(journal: Journal, offset: int) -> OrganisationDescription:
    _, event = decode_record(journal.get(SHARD, offset).body)
    assert isinstance(event, OrganisationChanged), "the snapshot names the record of its organisation"
    return event.description


def _seconds(journal: Journal, what: Callable[[Journal], object]) -> float:
    gc.collect()
    began_s = time.perf_counter()
    # What is left behind is let go of after the clock has stopped, as it would be after a start.
    left = what(journal)
    seconds = time.perf_counter() - began_s
    del left
    return seconds


# --- The day that is recovered ---


class _Life:
    """A router at work, and the digest of all that it decides."""

    def __init__(self, description: OrganisationDescription, at_ms: int) -> None:
        # 1: the journal's first record is the organisation.
        self.decider = Decider.of_first_record(Engine(description), description, 1, at_ms)
        self.decisions = 0
        self.digest = hashlib.blake2b(digest_size=4)

    def apply(self, offset: int, at_ms: int, event: Event) -> list[Decision]:
        decided = []
        if not isinstance(event, RouterResumed | TimePassed):
            decided += self.decider.serve_deadlines(at_ms)
        decided += self.decider.apply(offset, at_ms, event)
        for decision_id, decision in decided:
            self.decisions += 1
            self.digest.update(f"{decision_id} {at_ms}".encode())
            self.digest.update(msgspec.json.encode(decision))
        return [decision for _, decision in decided]


class _Day:
    """A platform, its callers and its agents around a router.

    Whatever is due for a call or an agent is looked at again when its time has come, so that only events that are
    still true are reported.
    """

    def __init__(self, agents: int) -> None:
        description = _organisation(agents)
        self.records: list[tuple[int, Event]] = [(START_MS, OrganisationChanged(description=description))]
        self.life = _Life(description, START_MS)
        self.calls = 0
        self._random = random.Random(SEED)
        self._clients = description.clients
        self._arrival_every_ms = (TALK_S + WRAP_UP_S) * 1000 / (agents * LOAD)
        self._future: list[tuple[int, int, Event]] = []
        self._sequence = 0
        self._before_talk: set[CallId] = set()
        """Calls whose callers may still lose patience."""
        self._ringing: dict[CallId, OfferCall] = {}
        self._tell(START_MS, RouterResumed(epoch=1))
        for agent in description.agents:
            self._tell(START_MS, AgentSignedIn(agent_id=agent.agent_id))
            self._tell(START_MS, AgentReady(agent_id=agent.agent_id))
        self._arrive_after(START_MS)

    def play(self, events: int) -> None:
        """Go on until the journal has so many records."""
        while len(self.records) < events:
            due_ms = self.life.decider.engine.next_deadline_ms()
            if due_ms is not None and due_ms < self._future[0][0]:
                self._tell(due_ms, TimePassed())
                continue
            at_ms, _, event = heappop(self._future)
            if isinstance(event, CallArrived):
                self._before_talk.add(event.call_id)
                self._later(at_ms, PATIENCE_S, CallAbandoned(call_id=event.call_id))
                self._arrive_after(at_ms)
            elif not self._is_true(event):
                continue
            self._tell(at_ms, event)

    def _is_true(self, event: Event) -> bool:
        match event:
            case OfferAccepted() | OfferDeclined() | OfferMissed():
                ringing = self._ringing.get(event.call_id)
                if ringing is None or ringing.offer_id != event.offer_id:
                    return False
                del self._ringing[event.call_id]
            case CallAbandoned() | CallConnected():
                if event.call_id not in self._before_talk:
                    return False
                self._before_talk.discard(event.call_id)
        return True

    def _tell(self, at_ms: int, event: Event) -> None:
        self.records.append((at_ms, event))
        for decision in self.life.apply(len(self.records), at_ms, event):
            match decision:
                case OfferCall():
                    self._ringing[decision.call_id] = decision
                    self._answer(at_ms, decision)
                case WithdrawOffer():
                    self._ringing.pop(decision.call_id, None)
                case ConnectCall():
                    self._later(at_ms, 0, CallConnected(call_id=decision.call_id))
                case FallbackCall():
                    self._before_talk.discard(decision.call_id)
                case PauseAgent():
                    self._later(at_ms, 60, AgentReady(agent_id=decision.agent_id))
        if isinstance(event, CallConnected):
            self._later(at_ms, TALK_S, CallEnded(call_id=event.call_id))

    def _answer(self, at_ms: int, offer: OfferCall) -> None:
        """Mostly yes; one offer in 20 is declined, one missed, and one expires without a word."""
        agent_id, call_id, offer_id = offer.agent_id, offer.call_id, offer.offer_id
        number = self._random.randrange(20)
        if number == 0:
            self._later(at_ms, 5, OfferDeclined(agent_id=agent_id, call_id=call_id, offer_id=offer_id))
        elif number == 1:
            self._later(at_ms, 5, OfferMissed(agent_id=agent_id, call_id=call_id, offer_id=offer_id))
        elif number > 2:
            self._later(at_ms, 3, OfferAccepted(agent_id=agent_id, call_id=call_id, offer_id=offer_id))

    def _arrive_after(self, at_ms: int) -> None:
        self.calls += 1
        client = self._random.choice(self._clients)
        event = CallArrived(call_id=CallId(f"call-{self.calls:08}"), caller=client.callers[0])
        self._later(at_ms, self._arrival_every_ms / 1000, event)

    def _later(self, now_ms: int, mean_s: float, event: Event) -> None:
        """After an exponentially distributed time, and 0.2 s that everything takes."""
        self._sequence += 1
        after_ms = round(self._random.expovariate(1 / mean_s) * 1000) if mean_s else 0
        if not isinstance(event, CallArrived):
            after_ms += 200
        heappush(self._future, (now_ms + after_ms, self._sequence, event))


def _write(journal: Journal, records: list[tuple[int, Event]]) -> None:
    journal.claim(SHARD)
    entries = [Entry(f"event-{number:09}", encode_record(*record)) for number, record in enumerate(records)]
    for start in range(0, len(entries), BATCH):
        journal.append(SHARD, entries[start : start + BATCH])


def _relive(journal: Journal) -> _Life:
    """The journal replayed, with every decision looked at."""
    life: _Life | None = None
    for record in journal.read(SHARD):
        at_ms, event = decode_record(record.body)
        if life is None:
            assert isinstance(event, OrganisationChanged), "the first record is the organisation"
            life = _Life(event.description, at_ms)
        else:
            life.apply(record.offset, at_ms, event)
    assert life is not None, "the journal has records"
    return life


def _organisation(agents: int) -> OrganisationDescription:
    """A portfolio for each team, backed by the next two; every second client has an owner in the team."""
    site, supplier = SiteId("laquila"), SupplierId("own")
    names = [TeamId(f"team-{number}") for number in range(agents // TEAM_SIZE)]
    portfolios = [PortfolioId(f"portfolio-{number}") for number in range(len(names))]
    return OrganisationDescription(
        sites=(Site(site_id=site, country="IT"),),
        suppliers=(Supplier(supplier_id=supplier),),
        teams=tuple(Team(team_id=name, site_id=site, supplier_id=supplier, wrap_up_s=WRAP_UP_S) for name in names),
        portfolios=tuple(
            Portfolio(
                portfolio_id=portfolio_id,
                teams=tuple(
                    Link(names[(number + ring) % len(names)], after_s) for ring, after_s in enumerate(RINGS_AFTER_S)
                ),
                owner_wait_s=15,
            )
            for number, portfolio_id in enumerate(portfolios)
        ),
        agents=tuple(
            Agent(agent_id=AgentId(f"agent-{number}"), team_id=names[number % len(names)]) for number in range(agents)
        ),
        clients=tuple(
            Client(
                client_id=ClientId(f"client-{number}"),
                portfolio_id=portfolios[number % len(portfolios)],
                callers=(f"{number:032x}",),
                # Agents and clients go round the teams in step, so that the owner is of the portfolio's first team.
                ownerships=(Ownership(owner=AgentId(f"agent-{number % agents}")),) if number // agents % 2 else (),
            )
            for number in range(agents * CLIENTS_PER_AGENT)
        ),
        default_portfolio=portfolios[0],
    )
