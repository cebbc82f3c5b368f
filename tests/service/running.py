"""A real service, with a real journal, on a real broker, inside the test's own event loop."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from router.core import Limits
from router.core.decisions import Decision
from router.core.events import AgentReady, AgentSignedIn
from router.core.model import AgentId, Link, OrganisationDescription, Ownership, Skill, TeamId
from router.gateway import Gateway
from router.journal import Journal, SqliteJournal
from router.pseudonym import Pseudonymiser
from router.service.mqtt import Access, stay_connected
from router.service.service import Service
from router.wire import Output
from tests.core.builders import agent, client, organisation, portfolio, team

pseudonym = Pseudonymiser(b"k" * 32).of


def small(**options: object) -> OrganisationDescription:
    """Client K1 of portfolio gold: owner ana, then team north, after 1 s team south."""
    return organisation(
        [team("north", backups=(Link(TeamId("south"), 1),)), team("south")],
        [portfolio("gold", "north", **options)],
        [agent("ana", "north", "calm"), agent("bo", "north"), agent("cy", "south")],
        [client("K1", "gold", ownerships=(Ownership(owner=AgentId("ana")),), callers=(pseudonym("+39 0862 1"),))],
        skills=(Skill("calm"),),
    )


def new_shard() -> str:
    return f"s{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def running(
    broker_url: str,
    path: Path,
    *,
    shard: str,
    load: Callable[[], OrganisationDescription] = small,
    journal: Journal | None = None,
    access: Access = Access(),  # noqa: B008 # it is frozen
    on_turn: Callable[[], None] = lambda: None,
) -> AsyncIterator[Service]:
    """A service that is stopped, gracefully, at the end of the block."""
    own = journal or SqliteJournal(path)
    service = Service(
        journal=own,
        shard=shard,
        broker_url=broker_url,
        load_organisation=load,
        pseudonym=pseudonym,
        limits=Limits(),
        version="0",
        connect=partial(stay_connected, access=access),
        on_turn=on_turn,
    )
    service.start()
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        async with asyncio.timeout(10):
            while service.not_ready_because() is not None:
                await asyncio.sleep(0.01)
        yield service
    finally:
        stop.set()
        await task
        own.close()


async def ready(gateway: Gateway, *agents: str) -> None:
    for agent_id in agents:
        await gateway.send(AgentSignedIn(agent_id=AgentId(agent_id)))
        await gateway.send(AgentReady(agent_id=AgentId(agent_id)))


async def next_of(gateway: Gateway, kind: type[Decision], *, within_s: float = 10) -> Output:
    """The next decision of this kind; those before it are passed over."""
    async with asyncio.timeout(within_s):
        async for output in gateway.decisions():
            if isinstance(output.message, kind):
                return output
    raise AssertionError("the gateway was closed")
