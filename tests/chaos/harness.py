"""A run: processes, load, faults, and the check of what was left."""

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from router.core.model import Outcome
from router.journal import SqliteJournal
from tests.brokers import Mosquitto
from tests.chaos.checker import Verdict, Violation, check, replayed
from tests.chaos.faults import FAULTS, Stage, losing, planned
from tests.chaos.load import CountingGateway, Load
from tests.chaos.world import AGENTS_PER_CALL_A_SECOND, LimitedDisk, RouterProcess, mounted, write_settings

__all__ = ["Report", "run"]

# Patience is 9 s at most; behind it come a talk, and a broker that a gateway tries again after 10 s.
_DRAIN_S_MAX = 90.0
_RESEND_S = 5.0
_PAUSE_S = (0.2, 2.0)
_CALLS_ASKED_FOR = 50


@dataclass
class Report:
    """What was done, what came of it, and what is wrong."""

    calls: dict[str, int]
    offers: dict[str, int]
    delivery: dict[str, int]
    faults: dict[str, int]
    times: dict[str, float]
    violations: list[Violation]

    @property
    def is_good(self) -> bool:
        return not self.violations


async def run(
    directory: Path,
    *,
    cycles: int,
    rate: float,
    seed: int,
    faults: Sequence[str],
    embedded: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Do faults to a router under load, then check everything.

    Args:
        directory: For all files; nothing of another run may lie there.
        cycles: So many kills of the router, if it is among *faults*; else so many of each fault.
        rate: Calls a second.
        seed: For people and faults. Processes keep their own time, so two runs of a seed are alike, not the same.
        faults: Names of `FAULTS`.
        embedded: The router's own broker instead of mosquitto.
        progress: Told what is being done.

    Raises:
        AssertionError: A process did not come back, or the router did what it must not while it could be seen.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(directory / "journal")) or LimitedDisk()
        broker = None if embedded else stack.enter_context(Mosquitto(directory))
        journal = directory / "journal" / "journal.db"
        agents = write_settings(
            directory,
            broker_url=broker.url if broker is not None else None,
            journal=journal,
            agents=math.ceil(rate * AGENTS_PER_CALL_A_SECOND),
        )
        router = RouterProcess(directory)
        stack.callback(router.kill)
        router.launch()
        await router.wait_ready()
        # Half the machine may be other people's: an answer that takes its time must not bring twice the work.
        async with CountingGateway(router.broker_url, resend_s=_RESEND_S) as gateway:
            load = Load(gateway, agents, rate=rate, seed=seed)
            stage = Stage(router, broker, disk, load, random.Random(seed + 1))
            stack.callback(stage.kill_all)
            try:
                await load.start()
                await _do(stage, planned(faults, cycles=cycles, chance=stage.random), progress)
                progress("letting the last calls end")
                await load.drain(within_s=_DRAIN_S_MAX)
                state = await _at_rest(stage.router)
                await _ask_for_calls(stage)
            finally:
                await load.close()
        status = await stage.router.stop()
        assert status == 0, f"the router did not stop gently, but with {status}:\n{stage.router.log[-2000:]}"
        progress("checking the journal")
        with closing(SqliteJournal(journal, read_only=True)) as written:
            verdict = check(
                replayed(written.read("main")),
                answers=load.answers,
                seen=load.seen,
                endings=load.endings,
                may_lose=losing(faults, embedded=embedded),
            )
    return _report(stage, verdict, state)


async def _do(stage: Stage, plan: Sequence[str], progress: Callable[[str], None]) -> None:
    for number, kind in enumerate(plan, 1):
        await asyncio.sleep(stage.random.uniform(*_PAUSE_S))
        progress(f"{number} of {len(plan)}: {kind}")
        stage.load.raise_failure()
        await FAULTS[kind](stage)
    await asyncio.sleep(_PAUSE_S[1])


async def _at_rest(router: RouterProcess) -> dict[str, object]:
    """What the router says of itself when it has nothing left to do."""
    async with asyncio.timeout(30):
        while True:
            status, body = await router.get("/api/state")
            if status == 200:
                state: dict[str, object] = json.loads(body)
                if state["calls_live"] == 0:
                    return state
            await asyncio.sleep(0.1)


async def _ask_for_calls(stage: Stage) -> None:
    """The router itself still knows calls that it has accepted."""
    for call_id in list(stage.load.endings)[-_CALLS_ASKED_FOR:]:
        status, body = await stage.router.get(f"/api/explain/{call_id}")
        assert status == 200, f"the router does not know {call_id}, which it has accepted: {body}"


def _report(stage: Stage, verdict: Verdict, state: dict[str, object]) -> Report:
    load, counts = stage.load, verdict.counts
    calls = {
        "turned away before they were sent": load.counts["callers turned away by the exchange"],
        "sent": load.counts["calls sent"],
        "refused": load.counts["calls refused"],
        "accepted": load.counts["calls accepted"],
        **{f"ended: {outcome}": counts[f"calls ended, {outcome}"] for outcome in _OUTCOMES},
    }
    offers = {
        "made": counts["offers made"],
        **{end: counts[f"offers {end}"] for end in _OFFER_ENDS},
    }
    violations = list(verdict.violations)

    def must_equal(what: str, left: object, right: object) -> None:
        if left != right:
            violations.append(Violation("count", counts["records"], f"{what}: {left} and {right}"))

    must_equal("calls sent; accepted and refused", calls["sent"], calls["accepted"] + calls["refused"])
    must_equal("calls accepted by the platform's notes; by the journal", calls["accepted"], counts["calls accepted"])
    must_equal("calls accepted; ended", calls["accepted"], sum(calls[f"ended: {outcome}"] for outcome in _OUTCOMES))
    must_equal("offers made; ended", offers["made"], sum(offers[end] for end in _OFFER_ENDS))
    portfolios = state["portfolios"]
    assert isinstance(portfolios, list)
    outcomes: Counter[str] = Counter()
    for portfolio in portfolios:
        outcomes.update(portfolio["outcomes"])
    must_equal(
        "endings as the router counts them; by the journal",
        {outcome: outcomes[outcome] for outcome in _OUTCOMES},
        {outcome: counts[f"calls ended, {outcome}"] for outcome in _OUTCOMES},
    )
    delivery = {
        "events answered": len(load.answers),
        "events resent by the platform": load.counts["events resent"],
        "duplicates dropped by the router": load.counts["duplicates that the router dropped"],
        "events refused": counts["events refused"],
        "journal records": counts["records"],
        "decisions": counts["decisions"],
        "copies dropped by the platform": load.counts["copies of decisions dropped"],
        "decisions that the broker lost": counts["decisions that never reached the platform"],
        "offers repeated by restarts": counts["offers repeated by a restart"],
        "acceptances repeated by agents": counts["acceptances repeated"],
        "agents paused for misses": counts["agents paused"],
        "calls whose end the platform was not told": load.counts["calls over before the caller hung up"],
    }
    times = {
        "seconds of load": load.calling_s,
        "calls a second": calls["sent"] / load.calling_s,
        "kill to readyz 200, longest": max(stage.ready_s, default=0.0),
        "kill to readyz 200, median": _median(stage.ready_s),
        "kill to first decision, longest": max(stage.decided_s, default=0.0),
        "kill to first decision, median": _median(stage.decided_s),
        "kill to keeping up, longest": max(stage.kept_up_s, default=0.0),
        "kill to keeping up, median": _median(stage.kept_up_s),
    }
    if stage.taken_over_s:
        times["loss to first decision of the standby, longest"] = max(stage.taken_over_s)
    stage.counts["restarts in the journal"] = counts["restarts"]
    stage.counts["absences in the journal"] = counts["absences"]
    return Report(calls, offers, delivery, dict(stage.counts), times, violations)


_OUTCOMES = (Outcome.CONNECTED, Outcome.ABANDONED, Outcome.FALLBACK)
_OFFER_ENDS = ("accepted", "declined", "missed", "expired", "withdrawn, caller hung up", "withdrawn, agent left")


def _median(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 2] if seconds else 0.0
