"""How many whole calls a second does the bare engine route, and does a call cost more where there are more agents?

A whole call is: arrived, offered, accepted, connected, ended, wrap-up over. The number of live calls is held constant:
when one ends the next arrives. With half as many live calls as agents nearly every call finds an idle agent; with half
as many again as agents nearly every call waits, and agents who become free take the first that reaches them.

The agents of a call are its portfolio's owner team, a second team after 10 s and a third after 20 s: three groups,
however many agents there are. The organisation grows in two ways: by more teams of ten, as portfolios are added, and
by larger teams, three in all.

How it is measured. Each figure is the median over repetitions, and repetitions of all sizes take turns, so that a slow
minute of the machine meets all alike; ratios are taken within a repetition first. The clock is the processor time of
this process (`time.process_time_ns`), which other processes do not run up. Garbage is collected before each
measurement; during it the collector looks as seldom as in the service. The time includes the benchmark's own loop,
which answers the offers. The digest is that of every decision and its time, in an untimed run of each size: a faster
wrong answer shows.
"""

import gc
import hashlib
import platform
import random
import time
from collections import Counter, deque
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import router.core.engine
from router.core import Engine
from router.core.decisions import Decision, OfferCall, QueueCall
from router.core.events import AgentReady, AgentSignedIn, CallArrived, CallConnected, CallEnded, OfferAccepted
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Link,
    OrganisationDescription,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.service.garbage import collecting_seldom

__all__ = ["FULL", "TINY", "Measurement", "Report", "Scale", "main", "processor_name", "run"]

SEED = 1917
TALK_MS = 180_000
WRAP_UP_S = 30
TEAM_SIZE = 10
RINGS_AFTER_S = (0, 10, 20)
GROWTHS = ("more teams", "larger teams")
LIVE_CALLS_PER_AGENT = {"agents idle": 0.5, "calls wait": 1.5}


class Scale(NamedTuple):
    """How much is measured."""

    agents: tuple[int, ...]
    """The first is what the others are compared with."""
    calls: int
    """A measurement."""
    repetitions: int


FULL = Scale(agents=(100, 1_000, 10_000), calls=5_000, repetitions=5)
TINY = Scale(agents=(30, 60), calls=200, repetitions=2)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One size of organisation under one load."""

    growth: str
    load: str
    agents: int
    calls_per_s: float
    """Whole calls a second of processor time."""
    cost_ratio: float
    """Processor time of a call against that at the smallest size, same growth and load."""
    waited_share: float
    """Of the calls that arrived; known from the untimed run."""
    decisions: int
    digest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    router: str
    engine: str
    """``interpreted`` or ``compiled``."""
    python: str
    processor: str
    seed: int
    calls: int
    repetitions: int
    processor_share: float
    """Processor time / wall time of the measurements: well below 1 on a machine that is busy with other things."""
    measurements: tuple[Measurement, ...]


def run(scale: Scale) -> Report:
    """Measure every size and load, in turns."""
    cells = [(growth, load, agents) for growth in GROWTHS for load in LIVE_CALLS_PER_AGENT for agents in scale.agents]
    checks = {cell: _check(*cell, calls=scale.calls) for cell in cells}
    costs_ns: dict[tuple[str, str, int], list[int]] = {cell: [] for cell in cells}
    wall_ns = 0
    for _ in range(scale.repetitions):
        for cell in cells:
            floor = _Floor(*cell)
            floor.warm_up()
            arrivals = floor.arrivals(scale.calls)
            gc.collect()
            wall_began_ns, began_ns = time.perf_counter_ns(), time.process_time_ns()
            with collecting_seldom():
                floor.play(arrivals)
            costs_ns[cell].append(time.process_time_ns() - began_ns)
            wall_ns += time.perf_counter_ns() - wall_began_ns
    measurements = []
    for growth, load, agents in cells:
        costs, smallest = costs_ns[growth, load, agents], costs_ns[growth, load, scale.agents[0]]
        check = checks[growth, load, agents]
        measurements.append(
            Measurement(
                growth=growth,
                load=load,
                agents=agents,
                calls_per_s=scale.calls / (median(costs) / 1e9),
                cost_ratio=median(cost / least for cost, least in zip(costs, smallest, strict=True)),
                waited_share=check.kinds[QueueCall] / check.kinds[OfferCall],
                decisions=check.kinds.total(),
                digest=check.digest.hexdigest(),
            )
        )
    return Report(
        router=version("portfolio-router"),
        engine=engine_kind(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        processor=processor_name(),
        seed=SEED,
        calls=scale.calls,
        repetitions=scale.repetitions,
        processor_share=sum(map(sum, costs_ns.values())) / wall_ns,
        measurements=tuple(measurements),
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
        title="Whole calls through the bare engine",
        caption=f"portfolio-router {report.router}, {report.engine} engine, {report.python}, {report.processor}; "
        f"seed {report.seed}; "
        f"median of {report.repetitions} x {report.calls} calls; "
        f"the processor was ours for {report.processor_share:.0%} of the time",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("Growth", "Load"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Agents", "Calls/s", "µs/call", "Ratio", "Waited", "Digest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.measurements:
        table.add_row(
            each.growth,
            each.load,
            f"{each.agents:,}",
            f"{each.calls_per_s:,.0f}",
            f"{1e6 / each.calls_per_s:.1f}",
            f"{each.cost_ratio:.2f}",
            f"{each.waited_share:.0%}",
            each.digest,
            end_section=each.agents == report.measurements[-1].agents,
        )
    return table


class _Check:
    """What an untimed run decided."""

    def __init__(self) -> None:
        self.kinds: Counter[type[Decision]] = Counter()
        self.digest = hashlib.blake2b(digest_size=4)

    def note(self, decision: Decision, now_ms: int) -> None:
        self.kinds[type(decision)] += 1
        self.digest.update(b"%d" % now_ms)
        self.digest.update(msgspec.json.encode(decision))


def _check(growth: str, load: str, agents: int, *, calls: int) -> _Check:
    floor = _Floor(growth, load, agents)
    floor.warm_up()
    floor.check = _Check()
    floor.play(floor.arrivals(calls))
    return floor.check


class _Floor:
    """An engine, and a platform that answers every offer at once and ends every talk after the same time."""

    def __init__(self, growth: str, load: str, agents: int) -> None:
        description = _organisation(agents, teams=agents // TEAM_SIZE if growth == "more teams" else len(RINGS_AFTER_S))
        self.check: _Check | None = None
        self._engine = Engine(description)
        self._portfolios = [portfolio.portfolio_id for portfolio in description.portfolios]
        self._live_calls = round(agents * LIVE_CALLS_PER_AGENT[load])
        self._random = random.Random(SEED)
        self._arrived = 0
        self._ends: deque[tuple[int, CallEnded]] = deque()
        """In order of time, since all talks last alike."""
        for agent in description.agents:
            self._engine.handle(AgentSignedIn(agent_id=agent.agent_id), now_ms=0)
            self._engine.handle(AgentReady(agent_id=agent.agent_id), now_ms=0)

    def arrivals(self, calls: int) -> list[CallArrived]:
        """The next callers, of portfolios drawn at random."""
        first, self._arrived = self._arrived, self._arrived + calls
        return [
            CallArrived(call_id=CallId(f"c{number}"), portfolio_id=self._random.choice(self._portfolios))
            for number in range(first, self._arrived)
        ]

    def warm_up(self) -> None:
        """Bring in the live calls over the time of one talk, and let the first of them end."""
        for number, arrived in enumerate(self.arrivals(self._live_calls)):
            now_ms = number * TALK_MS // self._live_calls
            self._serve_deadlines(now_ms)
            self._carry_out(self._engine.handle(arrived, now_ms=now_ms), now_ms)
        self.play(self.arrivals(self._live_calls // 4))

    def play(self, arrivals: Iterable[CallArrived]) -> None:
        """Let a call end for each one that arrives."""
        engine, ends = self._engine, self._ends
        for arrived in arrivals:
            now_ms, ended = ends.popleft()
            self._serve_deadlines(now_ms)
            self._carry_out(engine.handle(ended, now_ms=now_ms), now_ms)
            self._carry_out(engine.handle(arrived, now_ms=now_ms), now_ms)

    def _serve_deadlines(self, now_ms: int) -> None:
        engine = self._engine
        while (due_ms := engine.next_deadline_ms()) is not None and due_ms <= now_ms:
            self._carry_out(engine.expire(due_ms), due_ms)

    def _carry_out(self, decisions: tuple[Decision, ...], now_ms: int) -> None:
        check = self.check
        for decision in decisions:
            if check is not None:
                check.note(decision, now_ms)
            if isinstance(decision, OfferCall):
                call_id = decision.call_id
                accepted = OfferAccepted(agent_id=decision.agent_id, call_id=call_id, offer_id=decision.offer_id)
                self._carry_out(self._engine.handle(accepted, now_ms=now_ms), now_ms)
                self._carry_out(self._engine.handle(CallConnected(call_id=call_id), now_ms=now_ms), now_ms)
                self._ends.append((now_ms + TALK_MS, CallEnded(call_id=call_id)))


def _organisation(agents: int, *, teams: int) -> OrganisationDescription:
    """A portfolio for each team, backed by the next two."""
    site, supplier = SiteId("laquila"), SupplierId("own")
    names = [TeamId(f"team-{number}") for number in range(teams)]
    return OrganisationDescription(
        sites=(Site(site_id=site, country="IT"),),
        suppliers=(Supplier(supplier_id=supplier),),
        teams=tuple(Team(team_id=name, site_id=site, supplier_id=supplier, wrap_up_s=WRAP_UP_S) for name in names),
        portfolios=tuple(
            Portfolio(
                portfolio_id=PortfolioId(f"portfolio-{number}"),
                teams=tuple(
                    Link(names[(number + ring) % teams], after_s) for ring, after_s in enumerate(RINGS_AFTER_S)
                ),
                max_wait_s=None,
            )
            for number in range(teams)
        ),
        agents=tuple(
            Agent(agent_id=AgentId(f"agent-{number}"), team_id=names[number % teams]) for number in range(agents)
        ),
        default_portfolio=PortfolioId("portfolio-0"),
    )


def engine_kind() -> str:
    """Which of the two the router that was imported has, see setup.py."""
    return "interpreted" if (router.core.engine.__file__ or "").endswith(".py") else "compiled"


def processor_name() -> str:
    """The model's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
