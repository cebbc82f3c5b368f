"""The platform in miniature: every call that it plays ends in one way, and the router knows of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import router.play
from router.core.decisions import Decision, Rule
from router.core.events import AgentEvent, AgentReady, AgentSignedIn, CallArrived
from router.core.model import AgentId, CallId, ClientId, Fallback, FallbackKind, Outcome, Skill, SkillNeed
from router.gateway import Gateway
from router.play import Ending, NoRouterError, Platform, Tally
from router.service.service import Service
from router.simulation.callers import Caller
from tests.service.running import new_shard, running, small

SPEED = 200.0
TODAY = datetime.now(UTC).date()
CLOSED: tuple[date, ...] = tuple(TODAY + timedelta(days=days) for days in (-1, 0, 1))


def caller(number: int, *, patience_s: float | None = 600, service_s: float = 20, needs: str | None = None) -> Caller:
    skills = (SkillNeed(skill=Skill(needs)),) if needs else ()
    event = CallArrived(call_id=CallId(f"c{number}"), client_id=ClientId("K1"), skills=skills)
    patience_ms = None if patience_s is None else round(1_000 * patience_s)
    return Caller(1_000 * number, event, patience_ms=patience_ms, service_ms=round(1_000 * service_s))


def presence(*agents: str) -> list[tuple[int, AgentEvent]]:
    events = [(AgentSignedIn(agent_id=AgentId(name)), AgentReady(agent_id=AgentId(name))) for name in agents]
    return [(0, event) for pair in events for event in pair]


@asynccontextmanager
async def stage(broker_url: str, path: Path, **options: object) -> AsyncIterator[tuple[Service, Platform]]:
    """A router, whose portfolio has these options, and a platform connected to it."""
    shard = new_shard()
    async with (
        running(broker_url, path / "j.db", shard=shard, load=lambda: small(**options)) as service,
        Gateway(broker_url, shard=shard) as gateway,
    ):
        yield service, Platform(gateway, speed=SPEED, seed=1)


def endings(tally: Tally) -> dict[str, int]:
    assert tally.arrived == sum(tally.endings.values())
    return {ending.value: count for ending, count in tally.endings.items() if count}


async def test_callers_talk_and_hang_up(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (service, platform):
        await platform.play([caller(number) for number in range(12)], presence("ana", "bo", "cy"))

        assert endings(platform.tally()) == {Ending.TALKED: 12}
        assert platform.tally().offers >= 12
        assert platform.tally().refusals == {}
        assert service.summary().calls_live == 0


async def test_patience_runs_out(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (service, platform):
        await platform.play([caller(1, patience_s=10), caller(2, patience_s=0)], [])

        assert endings(platform.tally()) == {Ending.ABANDONED: 2}
        assert service.summary().portfolios[0].outcomes[Outcome.ABANDONED] == 2


@pytest.mark.parametrize(
    ("fallback", "ending"),
    [
        (Fallback(FallbackKind.MESSAGE, "later"), Ending.FALLBACK),
        (Fallback(FallbackKind.NUMBER, "800"), Ending.FALLBACK),
        (Fallback(FallbackKind.CALLBACK), Ending.CALLED_BACK),
    ],
)
async def test_closed(embedded_url: str, tmp_path: Path, fallback: Fallback, ending: Ending) -> None:
    async with stage(embedded_url, tmp_path, closed_on=CLOSED, fallback=fallback) as (_, platform):
        # A caller who is called back has hung up: patience no longer counts.
        await platform.play([caller(number, patience_s=60) for number in range(4)], presence("ana", "bo"))

        assert endings(platform.tally()) == {ending: 4}


async def test_a_call_back_that_nobody_makes_is_cancelled_in_the_end(
    embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router.play, "_LAST_CALLS_S", 0.2 * SPEED)
    fallback = Fallback(FallbackKind.CALLBACK)
    async with stage(embedded_url, tmp_path, closed_on=CLOSED, fallback=fallback) as (service, platform):
        await platform.play([caller(1)], [])

        assert endings(platform.tally()) == {Ending.CUT_SHORT: 1}
        assert service.summary().portfolios[0].outcomes[Outcome.CALLBACK_CANCELLED] == 1


async def test_a_refused_call_is_counted_with_the_reason(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (_, platform):
        await platform.play([caller(1, needs="juggling")], [])

        assert endings(platform.tally()) == {Ending.REFUSED: 1}
        assert platform.tally().refusals == {"unknown_skill": 1}


async def test_agents_who_are_there_already_are_no_refusals(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (_, platform):
        await platform.play([], presence("ana", "ana", "nobody"))

        assert platform.tally().refusals == {"unknown_agent": 2}


async def test_closing_hangs_up_whatever_goes_on(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (service, platform):
        callers = [caller(number, patience_s=None, service_s=1e5) for number in range(6)]
        playing = asyncio.create_task(platform.play(callers, presence("ana", "bo")))
        while service.summary().calls_live < 6 or service.summary().offers.get(Rule.ACCEPTED, 0) < 2:
            await asyncio.sleep(0.01)
        assert endings(platform.tally()) == {Ending.UNDER_WAY: 6}

        platform.close()
        await asyncio.wait_for(playing, 5)

        assert endings(platform.tally()) == {Ending.CUT_SHORT: 6}
        assert service.summary().calls_live == 0


async def test_the_duration_ends_arrivals(embedded_url: str, tmp_path: Path) -> None:
    async with stage(embedded_url, tmp_path) as (_, platform):
        await platform.play([caller(0), caller(5), caller(3_600)], presence("ana"), duration_s=10)

        assert platform.arrived == 2


async def test_a_broker_without_a_router_is_an_error(embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.play, "_FIRST_ANSWER_S", 0.2)
    monkeypatch.setattr(router.play, "_HANG_UP_S", 0.2)
    async with Gateway(embedded_url, shard=new_shard()) as gateway:
        platform = Platform(gateway, speed=SPEED, seed=1)

        with pytest.raises(NoRouterError, match="no router answers"):
            await platform.play([caller(1)], presence("ana"), duration_s=60)

        assert sum(endings(platform.tally()).values()) <= 1


async def test_a_router_that_goes_away_does_not_stop_the_clock(
    embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router.play, "_LAST_CALLS_S", 0.2 * SPEED)
    monkeypatch.setattr(router.play, "_HANG_UP_S", 0.2)
    shard = new_shard()
    async with Gateway(embedded_url, shard=shard) as gateway:
        platform = Platform(gateway, speed=SPEED, seed=1)
        callers = [caller(number, patience_s=None) for number in range(0, 400, 20)]
        async with running(embedded_url, tmp_path / "j.db", shard=shard):
            playing = asyncio.create_task(platform.play(callers, presence("ana"), duration_s=400))
            while not platform.arrived:
                await asyncio.sleep(0.01)
        started_s = time.monotonic()

        await asyncio.wait_for(playing, 20)

        assert time.monotonic() - started_s < 15
        assert sum(endings(platform.tally()).values()) == len(callers)
        assert platform.tally().endings[Ending.UNDER_WAY] > 0


async def test_a_mistake_of_the_watcher_ends_the_play(embedded_url: str, tmp_path: Path) -> None:
    def watch(_: Decision) -> None:
        raise LookupError("seen enough")

    shard = new_shard()
    async with running(embedded_url, tmp_path / "j.db", shard=shard), Gateway(embedded_url, shard=shard) as gateway:
        platform = Platform(gateway, speed=SPEED, seed=1, watch=watch)

        with pytest.raises(LookupError):
            await platform.play([caller(1)], presence("ana"))
