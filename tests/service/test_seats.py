"""The last seat of a site, wanted from two sides at once: two gateways, a real broker, one router."""

import asyncio
from pathlib import Path

from router.core import EventRejected, Rejection
from router.core.events import AgentReady, AgentSignedIn, AgentSignedOut
from router.core.model import AgentId, OrganisationDescription
from router.gateway import Gateway
from tests.core.builders import SITE, agent, organisation, portfolio, site, team
from tests.service.running import new_shard, running

SEATS = 250
AGENTS = [AgentId(f"A{number:03}") for number in range(SEATS + 20)]


def hall() -> OrganisationDescription:
    return organisation(
        [team("aquila", site_id="hall")],
        [portfolio("gold", "aquila")],
        [agent(agent_id, "aquila") for agent_id in AGENTS],
        sites=(SITE, site("hall", "IT", seats=SEATS)),
    )


async def sign_in(gateway: Gateway, agent_id: AgentId) -> EventRejected | None:
    """Why the router refused, if it did."""
    try:
        await gateway.send(AgentSignedIn(agent_id=agent_id))
    except EventRejected as rejected:
        return rejected
    return None


async def test_of_two_who_want_the_last_seat_at_once_one_gets_it(broker_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with (
        running(broker_url, tmp_path / "j.db", shard=shard, load=hall),
        Gateway(broker_url, shard=shard) as left,
        Gateway(broker_url, shard=shard) as right,
    ):
        assert not any(await asyncio.gather(*(sign_in(left, agent_id) for agent_id in AGENTS[: SEATS - 1])))
        holders = []
        for one, other in zip(AGENTS[SEATS - 1 :: 2], AGENTS[SEATS::2], strict=False):
            refusals = await asyncio.gather(sign_in(left, one), sign_in(right, other))

            (refused,) = filter(None, refusals)
            assert (refused.reason, refused.detail) == (
                Rejection.SITE_FULL,
                "all 250 seats of site hall are taken",
            )
            holder = other if refusals[0] else one
            await left.send(AgentReady(agent_id=holder))
            await right.send(AgentSignedOut(agent_id=holder))
            holders.append(holder)

        assert len(holders) == 10


async def test_a_crowd_from_two_sides_fills_the_seats_exactly(mosquitto_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with (
        running(mosquitto_url, tmp_path / "j.db", shard=shard, load=hall),
        Gateway(mosquitto_url, shard=shard) as left,
        Gateway(mosquitto_url, shard=shard) as right,
    ):
        sides = [left if number % 2 else right for number in range(len(AGENTS))]

        refusals = await asyncio.gather(*map(sign_in, sides, AGENTS))

        assert sum(refusal is None for refusal in refusals) == SEATS
        assert {refusal.reason for refusal in refusals if refusal} == {Rejection.SITE_FULL}
