"""The shipped mosquitto configuration for production, on a real mosquitto: the denials deny, the permissions permit."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.core.decisions import OfferCall
from router.core.events import AgentReady, AgentSignedIn, CallArrived, OfferAccepted
from router.core.model import AgentId, CallId, ClientId
from router.gateway import Gateway
from router.service.mqtt import Access, BrokerError, Connection, Message, PublishRefusedError, Will, stay_connected
from router.wire import Accepted, ReloadRequested, decode_output, encode_input, input_topic
from tests.brokers import CONFIGURATION, Certificates, Mosquitto
from tests.service.running import next_of, running

pytestmark = pytest.mark.broker

MOSQUITTO = CONFIGURATION.parent
PRODUCTION = MOSQUITTO / "production.conf"

IN = "acd/v1/in/main"
OUT = "acd/v1/out/main"
STATUS = {f"{OUT}/status/router", f"{OUT}/status/portfolio/gold"}
TOPICS = [
    f"{IN}/call/c1", f"{IN}/agent/ana", f"{IN}/agent/bo", f"{IN}/agent/ana/x", f"{IN}/admin/reload",
    f"{IN}/admin/resync", f"{IN}/admin/share", f"{IN}/other", IN, f"{OUT}/admin/resync", f"{OUT}/admin/share",
    f"{OUT}/call/c1", f"{OUT}/agent/ana", f"{OUT}/agent/bo", f"{OUT}/agent/ana/x", f"{OUT}/admin/reload",
    "acd/v1/in/north/call/c1", "acd/v1/out/north/call/c1", "acd/v1/in/north/agent/ana", "acd/v1/in", "$SYS/x", "x",
    *sorted(STATUS),
]  # fmt: skip

MAY_WRITE = {
    "router": {topic for topic in TOPICS if topic.startswith(f"{OUT}/")},
    "platform": {topic for topic in TOPICS if topic.startswith((f"{IN}/call/", f"{IN}/agent/"))}
    | {f"{IN}/admin/resync"},
    "supervisor": {f"{IN}/admin/reload", f"{IN}/admin/share"},
    "ana": {f"{IN}/agent/ana"},
    "bo": {f"{IN}/agent/bo"},
}
MAY_READ = {
    # Asked for with #, mosquitto matches the level above as well.
    "router": {topic for topic in TOPICS if topic.startswith(f"{IN}/")} | {IN} | STATUS,
    "platform": {topic for topic in TOPICS if topic.startswith(f"{OUT}/")},
    "supervisor": {f"{OUT}/admin/reload", f"{OUT}/admin/share"} | STATUS,
    "ana": {f"{OUT}/agent/ana"} | STATUS,
    "bo": {f"{OUT}/agent/bo"} | STATUS,
}
AUDITOR = "auditor"
"""A user of this test, who may do everything."""
USERS = [*MAY_WRITE, AUDITOR]


class House:
    """The broker of the shipped files, and who may enter it."""

    def __init__(self, url: str, certificates: Certificates, folder: Path) -> None:
        self.url = url
        self.ca = certificates.ca
        self._folder = folder

    def access(self, user: str) -> Access:
        return Access(username=user, password_file=self._folder / f"{user}.password", ca_file=self.ca)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("production")
    certificates = Certificates(folder / "certificates")
    passwords = {user: f"password of {user}" for user in USERS}
    for user, password in passwords.items():
        file = folder / f"{user}.password"
        file.touch(0o600)
        file.write_text(password)
    access = (MOSQUITTO / "acl").read_text() + f"user {AUDITOR}\ntopic readwrite #\n"
    with Mosquitto(
        folder, configuration=PRODUCTION, access=access, certificates=certificates, users=passwords
    ) as mosquitto:
        yield House(mosquitto.url, certificates, folder)


class Inbox(list[tuple[str, bytes]]):
    """Topics and payloads in the order of arrival."""

    def __call__(self, message: Message) -> None:
        self.append((message.topic, message.payload))
        message.acknowledge()

    async def until(self, payload: bytes) -> set[str]:
        """The topics of all that has come, once *payload* has."""
        async with asyncio.timeout(10):
            while not any(each == payload for _, each in self):
                await asyncio.sleep(0.01)
        return {topic for topic, each in self if each != payload}


@asynccontextmanager
async def listening(house: House, user: str, *topics: str) -> AsyncIterator[tuple[Connection, Inbox]]:
    inbox = Inbox()
    async with Connection(house.url, access=house.access(user), deliver=inbox) as connection:
        await connection.subscribe(topics)
        yield connection, inbox


@pytest.mark.parametrize("user", MAY_WRITE)
async def test_each_role_writes_where_it_may_and_nowhere_else(house: House, user: str) -> None:
    """Over MQTT 3.1.1 the denied message is acknowledged like any other, and never delivered."""
    async with (
        listening(house, AUDITOR, "#") as (_, seen),
        Connection(house.url, access=house.access(user), deliver=Inbox()) as connection,
    ):
        for topic in TOPICS:
            await connection.publish(topic, b"hello")
        await connection.publish(min(MAY_WRITE[user]), b"end")

        written = await seen.until(b"end")

    assert written == MAY_WRITE[user]


@pytest.mark.parametrize("user", MAY_WRITE)
async def test_over_mqtt_5_a_denial_is_told(house: House, user: str) -> None:
    denied = set()
    async with Connection(f"{house.url}?version=5", access=house.access(user), deliver=Inbox()) as connection:
        for topic in TOPICS:
            try:
                await connection.publish(topic, b"hello")
            except PublishRefusedError as refusal:
                assert "Not authorized" in str(refusal)  # noqa: PT017 # most of many are refused
                denied.add(topic)

    assert denied == set(TOPICS) - MAY_WRITE[user]


@pytest.mark.parametrize("user", MAY_READ)
async def test_each_role_reads_what_it_may_and_nothing_else(house: House, user: str) -> None:
    """Although mosquitto grants the subscription to everything."""
    async with (
        listening(house, user, "#") as (_, seen),
        Connection(house.url, access=house.access(AUDITOR), deliver=Inbox()) as connection,
    ):
        for topic in TOPICS:
            await connection.publish(topic, b"hello")
        await connection.publish(min(MAY_READ[user]), b"end")

        read = await seen.until(b"end")

    assert read == MAY_READ[user]


async def test_a_last_will_is_denied_where_its_client_may_not_write(house: House) -> None:
    """Else an agent could speak for another by hanging up."""
    async with listening(house, AUDITOR, "acd/#") as (auditor, seen):
        for topic in (f"{IN}/agent/bo", f"{OUT}/status/router", f"{IN}/agent/ana"):
            will = Will(topic, b"gone")
            connection = Connection(house.url, access=house.access("ana"), deliver=Inbox(), will=will)
            try:
                await connection.__aenter__()
            except BrokerError:
                continue  # Some versions refuse the whole connection.
            vanish(connection)

        async with asyncio.timeout(10):
            while (f"{IN}/agent/ana", b"gone") not in seen:
                await asyncio.sleep(0.01)
        await auditor.publish("acd/end", b"end")
        written = await seen.until(b"end")
        await auditor.publish(f"{IN}/agent/ana", b"", retain=True)

    assert written == {f"{IN}/agent/ana"}


def vanish(connection: Connection) -> None:
    connection._hang_up()


async def test_nobody_throws_out_the_router_by_taking_its_name(house: House) -> None:
    lost: list[BrokerError] = []
    connected = asyncio.Event()
    staying = asyncio.create_task(
        stay_connected(
            house.url,
            access=house.access("router"),
            deliver=Inbox(),
            client_id="router-main",
            on_connected=lambda _: connected.set(),
            on_failed=lost.append,
        )
    )
    async with asyncio.timeout(10):
        await connected.wait()

    for name in ("router-main", "router"):
        async with Connection(house.url, access=house.access("ana"), deliver=Inbox(), client_id=name) as connection:
            await connection.publish(f"{IN}/agent/ana", b"")

    staying.cancel()
    await asyncio.wait([staying])
    assert lost == []


@pytest.mark.parametrize("user", ["", "nobody:hunter2@", "ana:hunter2@"])
async def test_strangers_stay_outside(house: House, user: str) -> None:
    with pytest.raises(BrokerError, match="Not authorized"):
        async with Connection(house.url.replace("//", f"//{user}"), access=Access(ca_file=house.ca), deliver=Inbox()):
            pass


async def test_a_call_goes_through_with_everybody_in_their_role(house: House, tmp_path: Path) -> None:
    """Router, platform, an agent's desktop, and a supervisor who has the organisation read again."""
    async with (
        running(house.url, tmp_path / "journal.db", shard="main", access=house.access("router")),
        Gateway(house.url, access=house.access("platform")) as platform,
        listening(house, "ana", f"{OUT}/agent/ana") as (desktop, screen),
        listening(house, "supervisor", f"{OUT}/admin/+") as (supervisor, answers),
    ):
        ana = AgentId("ana")
        for number, event in enumerate((AgentSignedIn(agent_id=ana), AgentReady(agent_id=ana))):
            await desktop.publish(f"{IN}/agent/ana", encode_input(f"desktop-{number}", event))
        await platform.send(CallArrived(call_id=CallId("c1"), client_id=ClientId("K1")))
        offer = (await next_of(platform, OfferCall)).message
        assert isinstance(offer, OfferCall)
        answer = OfferAccepted(agent_id=ana, call_id=offer.call_id, offer_id=offer.offer_id)
        await desktop.publish(f"{IN}/agent/ana", encode_input("desktop-2", answer))
        reload = ReloadRequested()
        await supervisor.publish(input_topic(reload, "main"), encode_input("reload-1", reload))
        async with asyncio.timeout(10):
            while not answers:
                await asyncio.sleep(0.01)

    shown = [decode_output(payload).message for _, payload in screen]
    assert offer in shown
    assert [each.event_id for each in shown if isinstance(each, Accepted)] == ["desktop-0", "desktop-1", "desktop-2"]
    assert [type(decode_output(payload).message) for _, payload in answers] == [Accepted]


def test_production_differs_from_trying_things_in_nothing_but_who_may_enter() -> None:
    def values(file: Path) -> set[str]:
        doors = "listener|allow_anonymous|(ca|cert|key)file|tls_version|(password|acl)_file|use_username_as_clientid"
        lines = {line for line in file.read_text().splitlines() if line and not line.startswith("#")}
        return {line for line in lines if not re.match(rf"({doors}) ", line)}

    assert values(PRODUCTION) == values(CONFIGURATION)
    assert "allow_anonymous false" in PRODUCTION.read_text()
    assert re.findall(r"^listener .*", PRODUCTION.read_text(), re.MULTILINE) == ["listener 8883"]
