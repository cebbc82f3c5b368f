"""A disk without room, and one that cannot be written, under a real router."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.core.events import AgentReady, AgentSignedIn, CallArrived
from router.core.model import AgentId, CallId
from router.gateway import Gateway
from tests.chaos.world import Disk, LimitedDisk, RouterProcess, mounted, write_settings

NOTICED_S_MAX = 10.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "journal.db"


@pytest.fixture(params=["small file system", "limit"])
def disk(request: pytest.FixtureRequest, journal: Path) -> Iterator[Disk]:
    if request.param == "limit":
        yield LimitedDisk()
        return
    with mounted(journal.parent, size="8m") as tmpfs:
        if tmpfs is None:
            pytest.skip("only root can mount a small file system")
        yield tmpfs


@pytest.fixture
async def router(tmp_path: Path, journal: Path) -> AsyncIterator[RouterProcess]:
    """With the embedded broker; not started yet."""
    write_settings(tmp_path, broker_url=None, journal=journal, agents=1)
    router = RouterProcess(tmp_path)
    yield router
    router.kill()


async def wait_for_trouble(router: RouterProcess) -> str:
    async with asyncio.timeout(NOTICED_S_MAX):
        while (trouble := await router.trouble()) is None:
            await asyncio.sleep(0.02)
    return trouble


async def test_nothing_is_accepted_while_the_disk_is_full(disk: Disk, router: RouterProcess) -> None:
    """The router says so, and goes on by itself when there is room: the calls sent meanwhile are accepted then."""
    router.launch()
    await router.wait_ready()
    async with Gateway(router.broker_url, resend_s=0.5) as gateway:
        agent_id = AgentId("A0000")
        await gateway.send(AgentSignedIn(agent_id=agent_id))

        disk.fill(router)
        sending = [asyncio.create_task(gateway.send(CallArrived(call_id=CallId(f"c{n}")))) for n in range(20)]
        trouble = await wait_for_trouble(router)
        _, still_alone = await asyncio.wait(sending, timeout=2)

        assert "the journal cannot be written" in trouble
        assert "nothing can be accepted" in router.log
        assert len(still_alone) == 20
        assert (await router.get("/livez"))[0] == 200
        assert (await router.get("/api/explain/c0"))[0] == 404

        disk.free(router)
        await router.wait_ready(within_s=NOTICED_S_MAX)
        async with asyncio.timeout(NOTICED_S_MAX):
            accepted = await asyncio.gather(*sending)
            await gateway.send(AgentReady(agent_id=agent_id))

    assert len({each.offset for each in accepted}) == 20
    assert await router.stop() == 0


async def test_a_router_that_is_killed_while_the_disk_is_full_loses_nothing(
    router: RouterProcess, journal: Path
) -> None:
    """It cannot start without room, and says why; then it has all that was accepted."""
    with mounted(journal.parent, size="8m") as disk:
        if disk is None:
            pytest.skip("only root can mount a small file system")
        router.launch()
        await router.wait_ready()
        async with Gateway(router.broker_url) as gateway:
            await gateway.send(CallArrived(call_id=CallId("c1")))
            disk.fill(router)
            sending = asyncio.create_task(gateway.send(CallArrived(call_id=CallId("c2"))))
            await wait_for_trouble(router)
            router.kill()
            sending.cancel()
        router.launch()

        assert await router.wait_ended(within_s=30) == 1
        assert "the disk is full; free some space and start again" in router.log

        disk.free(router)
        router.launch()
        await router.wait_ready()
        assert (await router.get("/api/explain/c1"))[0] == 200
        assert (await router.get("/api/explain/c2"))[0] == 404
        assert await router.stop() == 0


async def test_a_journal_that_cannot_be_written_stays_as_it_is(router: RouterProcess, journal: Path) -> None:
    """The router ends at once, with a message that names the file and what to do."""
    with mounted(journal.parent, size="8m") as disk:
        if disk is None and os.geteuid() == 0:
            pytest.skip("root may write everywhere, and may not mount here")
        router.launch()
        await router.wait_ready()
        assert await router.stop() == 0
        before = contents(journal.parent)
        if disk is not None:
            assert disk.remount("ro")
        else:
            journal.chmod(0o400)
            journal.parent.chmod(0o500)
        said_before = router.log
        router.launch()

        status = await router.wait_ended(within_s=30)

        said = router.log.removeprefix(said_before)
        assert status == 1
        assert said.startswith("error: ")
        assert str(journal) in said
        assert "check" in said
        assert "Traceback" not in said
        assert contents(journal.parent) == before
        journal.parent.chmod(0o700) if disk is None else disk.remount("rw")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
