"""What goes wrong: one coroutine for each kind, which does it, ends it, and waits until calls are routed again.

A further kind is a coroutine here and a line in `FAULTS`; the plan, the command and the counts follow from the table.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.brokers import Mosquitto
from tests.chaos.load import Load
from tests.chaos.world import Disk, RouterProcess

__all__ = ["FAULTS", "MAIN", "Stage", "losing", "planned"]

# A restart replays a long journal, and a gateway that lost its broker often waits up to 10 s before it tries again.
_RECOVERY_S_MAX: Final = 120.0
# What a kind other than the main one gets of the cycles of that.
_SHARE_OF_OTHERS: Final = 20
_TAKEOVER_S_MAX: Final = 20.0
_KILLED_WHILE_STARTING: Final = 0.15
# Else it is let keep up with its platform first: with nothing but short lives, the work of which falls to their
# successors, this would try the patience of the machine, and hardly ever meet a router that is well.
_KILLED_WHILE_BEHIND: Final = 0.25
# So many seconds' worth of calls may be unanswered of one that keeps up, a tenth of what may wait before.
_BEHIND_S_MAX: Final = 0.5


@dataclass
class Stage:
    """Everything that faults can be done to, and what came of them."""

    router: RouterProcess
    broker: Mosquitto | None
    """None: embedded in the router."""
    disk: Disk
    load: Load
    random: random.Random
    processes: list[RouterProcess] = field(default_factory=list)
    """All routers that were ever started beside `router`, which is the one at work."""
    counts: Counter[str] = field(default_factory=Counter)
    ready_s: list[float] = field(default_factory=list)
    """From each kill of the router until it was ready again."""
    decided_s: list[float] = field(default_factory=list)
    """From each kill of the router until the platform saw a decision of the new one."""
    kept_up_s: list[float] = field(default_factory=list)
    """From each kill of the router, unless another followed soon, until hardly any event was unanswered."""
    taken_over_s: list[float] = field(default_factory=list)
    """From each loss of a router that had a standby until the platform saw a decision of that."""

    def kill_all(self) -> None:
        for router in self.processes:
            router.kill()


async def _wait_for_a_decision(stage: Stage) -> None:
    async with asyncio.timeout(_RECOVERY_S_MAX):
        await stage.load.epoch_changed.wait()


async def _kill_router(stage: Stage) -> None:
    stage.load.epoch_changed.clear()
    killed_s = time.monotonic()
    stage.router.kill()
    stage.counts["router killed"] += 1
    if stage.random.random() < _KILLED_WHILE_STARTING:
        stage.router.launch()
        await asyncio.sleep(stage.random.uniform(0.0, 1.2))
        stage.router.kill()
        stage.counts["router killed while starting"] += 1
        # It may have come as far as to decide.
        stage.load.epoch_changed.clear()
        killed_s = time.monotonic()
    stage.router.launch()
    await stage.router.wait_ready()
    stage.ready_s.append(time.monotonic() - killed_s)
    await _wait_for_a_decision(stage)
    stage.decided_s.append(time.monotonic() - killed_s)
    if stage.broker is None:
        await stage.load.call_everybody_back()
    if stage.random.random() >= _KILLED_WHILE_BEHIND:
        async with asyncio.timeout(_RECOVERY_S_MAX):
            while stage.load.behind_s > _BEHIND_S_MAX:
                await asyncio.sleep(0.02)
        stage.kept_up_s.append(time.monotonic() - killed_s)


async def _kill_broker(stage: Stage) -> None:
    assert stage.broker is not None, "an embedded broker is killed with its router"
    stage.broker.kill()
    stage.counts["broker killed"] += 1
    await asyncio.sleep(stage.random.uniform(0.0, 1.0))
    stage.broker.start()
    await stage.router.wait_ready()
    await stage.load.call_everybody_back()


async def _stop_router(stage: Stage) -> None:
    stage.router.send(signal.SIGSTOP)
    stage.counts["router stopped and continued"] += 1
    await asyncio.sleep(stage.random.uniform(0.5, 3.0))
    stage.router.send(signal.SIGCONT)
    await stage.router.wait_ready()


async def _stop_broker(stage: Stage) -> None:
    assert stage.broker is not None, "an embedded broker is stopped with its router"
    stage.broker.send(signal.SIGSTOP)
    stage.counts["broker stopped and continued"] += 1
    await asyncio.sleep(stage.random.uniform(0.5, 3.0))
    stage.broker.send(signal.SIGCONT)
    await stage.router.wait_ready()


async def _fill_disk(stage: Stage) -> None:
    """Nothing may be accepted from when the router notices until there is room, and everything after."""
    stage.disk.fill(stage.router)
    stage.counts["disk full"] += 1
    try:
        async with asyncio.timeout(_RECOVERY_S_MAX):
            while "journal cannot be written" not in (await stage.router.trouble() or ""):
                await asyncio.sleep(0.05)
        # Answers from before may still be on their way.
        await asyncio.sleep(0.5)
        accepted = stage.load.accepted
        await asyncio.sleep(stage.random.uniform(0.5, 2.0))
        more = stage.load.accepted - accepted
        assert more == 0, f"{more} events were accepted while the journal could not be written"
    finally:
        stage.disk.free(stage.router)
    await stage.router.wait_ready()
    async with asyncio.timeout(_RECOVERY_S_MAX):
        while stage.load.accepted == accepted:
            await asyncio.sleep(0.02)


async def _lose_to_a_standby(stage: Stage) -> None:
    """The router is killed, or stands still and must not act when it wakes up: its standby takes over."""
    assert stage.broker is not None, "a standby needs a broker that outlives the router"
    lost, standby = stage.router, stage.router.beside()
    stage.processes.append(standby)
    standby.launch("--standby")
    async with asyncio.timeout(_RECOVERY_S_MAX):
        while "is a standby" not in (await standby.trouble() or ""):
            await asyncio.sleep(0.05)
    stage.load.epoch_changed.clear()
    lost_s = time.monotonic()
    is_killed = stage.random.random() < 0.5
    stage.counts["router killed beside a standby" if is_killed else "router stopped beside a standby"] += 1
    lost.send(signal.SIGKILL if is_killed else signal.SIGSTOP)
    if not await _is_ready(standby, within_s=_RECOVERY_S_MAX if is_killed else _TAKEOVER_S_MAX):
        assert not is_killed, f"the standby did not take over:\n{standby.log[-2000:]}"
        # The other was stopped in the middle of a commit, and keeps the journal locked until it wakes up.
        stage.counts["router stopped beside a standby, in a commit"] += 1
        lost.send(signal.SIGCONT)
        if not await _is_ready(standby, within_s=_TAKEOVER_S_MAX):
            standby.kill()
            await lost.wait_ready()
            return
    await _wait_for_a_decision(stage)
    stage.taken_over_s.append(time.monotonic() - lost_s)
    stage.router = standby
    if not is_killed:
        lost.send(signal.SIGCONT)
        status = await lost.wait_ended(within_s=_RECOVERY_S_MAX)
        assert status == 1, f"the router that was taken over from ended with {status}:\n{lost.log[-2000:]}"
    lost.kill()


async def _is_ready(router: RouterProcess, *, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await router.wait_ready()
    except TimeoutError:
        return False
    return True


MAIN: Final = "router-kill"

FAULTS: Final[Mapping[str, Callable[[Stage], Awaitable[None]]]] = {
    MAIN: _kill_router,
    "broker-kill": _kill_broker,
    "router-stop": _stop_router,
    "broker-stop": _stop_broker,
    "disk-full": _fill_disk,
    "standby": _lose_to_a_standby,
}


def losing(faults: Sequence[str], *, embedded: bool) -> bool:
    """Whether messages that the broker has acknowledged may be lost."""
    return embedded or "broker-kill" in faults


def planned(faults: Sequence[str], *, cycles: int, chance: random.Random) -> list[str]:
    """The faults of a run in their order: *cycles* kills of the router, and some of each other kind between them."""
    others = cycles if MAIN not in faults else max(1, cycles // _SHARE_OF_OTHERS)
    plan = [kind for kind in faults for _ in range(cycles if kind == MAIN else others)]
    chance.shuffle(plan)
    return plan
