"""The router as a platform meets it: over a real broker, with a real journal."""

import asyncio
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
import pytest

from router.core import EventRejected, Rejection
from router.core.decisions import ConnectCall, FallbackCall, OfferCall, QueueCall, Rule, WithdrawOffer
from router.core.errors import OrganisationError, Problem
from router.core.events import (
    AgentReady,
    CallAbandoned,
    CallArrived,
    CallbackRequested,
    CallConnected,
    CallEnded,
    OfferAccepted,
)
from router.core.model import AgentId, CallId, CallStatus, ClientId, OfferId, OrganisationDescription
from router.gateway import Gateway
from router.journal import Appended, Entry, JournalError, JournalFenced, SqliteJournal
from router.service import service as service_module
from router.service.mqtt import Connection, Message
from router.wire import ReloadRequested, RouterStatus, decode_output, encode_input, router_status_topic
from tests.brokers import Mosquitto
from tests.core.builders import agent, organisation, portfolio, team
from tests.requirements import require
from tests.service.running import new_shard, next_of, ready, running, small


async def test_a_call_is_offered_connected_and_ended(broker_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with (
        running(broker_url, tmp_path / "j.db", shard=shard) as service,
        Gateway(broker_url, shard=shard) as gateway,
    ):
        await ready(gateway, "ana", "bo")

        await gateway.send(CallArrived(call_id=CallId("c1"), client_id=ClientId("K1")))
        offer = (await next_of(gateway, OfferCall)).message
        assert isinstance(offer, OfferCall)
        await gateway.send(OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))
        connect = (await next_of(gateway, ConnectCall)).message
        await gateway.send(CallConnected(call_id=CallId("c1")))
        await gateway.send(CallEnded(call_id=CallId("c1")))

        assert offer.rule is Rule.OWNER
        assert offer.path == ("client K1", "owner agent ana")
        assert isinstance(connect, ConnectCall)
        explanation = service.explain(CallId("c1"))
        assert explanation is not None
        assert explanation.outcome == "connected"
        body, _ = await service.metrics()
        assert b'router_calls_ended_total{outcome="connected",portfolio="gold"} 1.0' in body
        assert b'router_wait_until_connected_seconds_count{portfolio="gold"} 1.0' in body


async def test_a_caller_is_known_by_number_and_the_number_is_kept_nowhere(broker_url: str, tmp_path: Path) -> None:
    shard, number = new_shard(), "+39 0862 1"
    async with running(broker_url, tmp_path / "j.db", shard=shard), Gateway(broker_url, shard=shard) as gateway:
        await ready(gateway, "ana")

        await gateway.send(CallArrived(call_id=CallId("c1")), caller_number=number)
        offer = (await next_of(gateway, OfferCall)).message

    assert isinstance(offer, OfferCall)
    assert offer.client_id == "K1"
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert number.encode() not in stored
    assert b"+3908621" not in stored


async def test_an_independent_client_gets_its_answer_and_its_offer(broker_url: str, tmp_path: Path) -> None:
    """Debian's MQTT clients and a payload of the msgpack library: nothing of ours on the platform's side."""
    publish, subscribe = require("mosquitto_pub"), require("mosquitto_sub")
    shard = new_shard()
    host, port = broker_url.removeprefix("mqtt://").split(":")
    where = ["-h", host, "-p", port, "-q", "1"]

    def send(topic: str, fields: dict[str, Any]) -> None:
        payload = tmp_path / "payload"
        payload.write_bytes(msgpack.packb({"v": 1, **fields}))
        subprocess.run([publish, *where, "-t", f"acd/v1/in/{shard}/{topic}", "-f", payload], check=True, timeout=10)

    async with running(broker_url, tmp_path / "j.db", shard=shard):
        listener = subprocess.Popen(
            [subscribe, *where, "-t", f"acd/v1/out/{shard}/call/+", "-F", "%t %x", "-C", "2", "-W", "10"],
            stdout=subprocess.PIPE,
        )
        await asyncio.sleep(0.3)  # There is no telling from outside when it has subscribed.
        await asyncio.to_thread(send, "agent/bo", {"id": "e1", "type": "agent_signed_in", "agent_id": "bo"})
        await asyncio.to_thread(send, "agent/bo", {"id": "e2", "type": "agent_ready", "agent_id": "bo"})
        call = {"id": "e3", "type": "call_arrived", "call_id": "c9", "client_id": "K1"}
        await asyncio.to_thread(send, "call/c9", call)
        heard, _ = await asyncio.to_thread(listener.communicate)

    messages = {}
    for line in heard.decode().splitlines():
        topic, payload = line.split()
        assert topic == f"acd/v1/out/{shard}/call/c9"
        message = msgpack.unpackb(bytes.fromhex(payload))
        messages[message["type"]] = message
    assert messages["accepted"]["event_id"] == "e3"
    assert messages["offer_call"]["agent_id"] == "bo"
    assert messages["offer_call"]["rule"] == "longest_idle"
    assert messages["offer_call"]["path"] == ["client K1", "portfolio gold", "team north", "agent bo"]


async def test_senseless_input_is_answered_and_everything_else_goes_on(
    broker_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shard = new_shard()
    answers: list[Message] = []
    good = {"v": 1, "id": "ok", "type": "call_arrived", "call_id": "c1", "client_id": "K1"}
    stranger = {"v": 1, "id": "e8", "type": "agent_ready", "agent_id": "zoe"}
    call = f"acd/v1/in/{shard}/call"
    senseless: list[tuple[str, bytes, str | None]] = [
        (f"{call}/m1", b"\xc1 no msgpack", "unreadable"),
        (f"{call}/m2", msgpack.packb([1, 2, 3]), "unreadable"),
        (f"{call}/m3", msgpack.packb({**good, "call_id": "m3", "head_start_s": "soon"}), "unreadable"),
        (f"{call}/m4", msgpack.packb({**good, "call_id": "m4", "v": 99}), "unsupported_version"),
        (f"{call}/m5", msgpack.packb({**good, "call_id": "other"}), "wrong_topic"),
        (f"{call}/m6", b"x" * 10_000_000, "too_large"),
        (f"{call}/m7", msgpack.packb({"v": 1, "id": "e7", "type": "call_ended", "call_id": "m7"}), "unknown_call"),
        (f"acd/v1/in/{shard}/agent/zoe", msgpack.packb(stranger), "unknown_agent"),
        (f"acd/v1/in/{shard}/nonsense", b"", None),
    ]  # fmt: skip

    # The example configuration of mosquitto stops what is much too large before it reaches the router.
    stopped_by_broker = {f"{call}/m6"} if request.node.callspec.params["broker_url"] == "mosquitto" else set()
    answered = [(topic, reason) for topic, _, reason in senseless if reason and topic not in stopped_by_broker]

    async with running(broker_url, tmp_path / "j.db", shard=shard) as service:
        async with Connection(broker_url, deliver=answers.append) as connection:
            await connection.subscribe([f"acd/v1/out/{shard}/call/+", f"acd/v1/out/{shard}/agent/+"])
            for topic, payload, _ in senseless:
                connection.publish(topic, payload)
            connection.publish(f"{call}/c1", msgpack.packb(good))
            async with asyncio.timeout(30):
                while len({answer.topic for answer in answers}) < len(answered) + 1:
                    await asyncio.sleep(0.01)
        body, _ = await service.metrics()

    told = {answer.topic.rsplit("/", 1)[1]: msgpack.unpackb(answer.payload) for answer in answers}
    for topic, reason in answered:
        answer = told[topic.rsplit("/", 1)[1]]
        assert answer["type"] == "rejected"
        assert answer["reason"] == reason
        assert answer["detail"]
        assert f'router_inputs_rejected_total{{reason="{reason}"}}'.encode() in body
    assert told["c1"]["type"] in ("accepted", "queue_call")


async def test_the_same_event_twice_happens_once(broker_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with (
        running(broker_url, tmp_path / "j.db", shard=shard) as service,
        Gateway(broker_url, shard=shard) as gateway,
    ):
        event = CallArrived(call_id=CallId("c1"))

        first = await gateway.send(event, event_id="e1")
        second = await gateway.send(event, event_id="e1")

        assert not first.duplicate
        assert second.duplicate
        assert second.offset == first.offset
        assert service.summary().calls_live == 1


async def test_events_out_of_order_are_refused_with_what_is_wrong(mosquitto_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with running(mosquitto_url, tmp_path / "j.db", shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        with pytest.raises(EventRejected, match="agent ana is not signed in"):
            await gateway.send(AgentReady(agent_id=AgentId("ana")))
        await gateway.send(CallArrived(call_id=CallId("c1")))
        with pytest.raises(EventRejected, match="call c1 is waiting, not accepted"):
            await gateway.send(CallConnected(call_id=CallId("c1")))
        await gateway.send(CallAbandoned(call_id=CallId("c1")))
        with pytest.raises(EventRejected, match="call c1 is over: abandoned"):
            await gateway.send(CallEnded(call_id=CallId("c1")))


async def test_a_ring_opens_in_its_time(broker_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with running(broker_url, tmp_path / "j.db", shard=shard), Gateway(broker_url, shard=shard) as gateway:
        await ready(gateway, "cy")

        await gateway.send(CallArrived(call_id=CallId("c1")))
        queued = (await next_of(gateway, QueueCall)).message
        offer = (await next_of(gateway, OfferCall)).message

        assert isinstance(queued, QueueCall)
        assert queued.rule is Rule.NOT_YET
        assert isinstance(offer, OfferCall)
        assert offer.wait_ms == 1_000
        assert offer.path == ("unknown client", "portfolio gold", "team north", "after 1 s: team south", "agent cy")


async def test_after_a_restart_calls_keep_their_places_and_offers_stand(mosquitto_url: str, tmp_path: Path) -> None:
    shard, path = new_shard(), tmp_path / "j.db"
    async with running(mosquitto_url, path, shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        await ready(gateway, "bo")
        for number in range(4):
            await gateway.send(CallArrived(call_id=CallId(f"c{number}")))
        offered = await next_of(gateway, OfferCall)

    async with running(mosquitto_url, path, shard=shard) as service, Gateway(mosquitto_url, shard=shard) as gateway:
        summary = service.summary()
        offer = offered.message
        assert isinstance(offer, OfferCall)
        await gateway.send(OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id))
        await gateway.send(CallAbandoned(call_id=offer.call_id))
        taken = []
        for _ in range(3):
            following = (await next_of(gateway, OfferCall)).message
            assert isinstance(following, OfferCall)
            taken.append(following.call_id)
            await gateway.send(CallAbandoned(call_id=following.call_id))

    assert summary.calls_live == 4
    assert offer.call_id == "c0"
    assert taken == ["c1", "c2", "c3"]


async def test_an_answer_lost_in_a_crash_is_given_again(mosquitto_url: str, tmp_path: Path) -> None:
    """The event reached the journal, but the router died before saying so: the copy brings answer and decisions."""
    shard, path = new_shard(), tmp_path / "j.db"
    async with running(mosquitto_url, path, shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        await ready(gateway, "bo")
        await gateway.send(CallArrived(call_id=CallId("c1")), event_id="e1")
        first = await next_of(gateway, OfferCall)

    async with running(mosquitto_url, path, shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        again = await gateway.send(CallArrived(call_id=CallId("c1")), event_id="e1")
        second = await next_of(gateway, OfferCall)

    assert again.duplicate
    assert isinstance(first.message, OfferCall)
    assert isinstance(second.message, OfferCall)
    assert second.message.offer_id == first.message.offer_id


async def test_a_stop_says_good_bye(mosquitto_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    states: list[RouterStatus] = []

    def note(message: Message) -> None:
        status = decode_output(message.payload).message
        assert isinstance(status, RouterStatus)
        states.append(status)
        message.acknowledge()

    async with running(mosquitto_url, tmp_path / "j.db", shard=shard):
        pass
    async with Connection(mosquitto_url, deliver=note) as connection:
        await connection.subscribe([router_status_topic(shard)])
        async with asyncio.timeout(5):
            while not states:
                await asyncio.sleep(0.01)

    assert [status.up for status in states] == [False]


async def test_a_reload_keeps_the_queue(mosquitto_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    versions = [small()]

    def load() -> OrganisationDescription:
        description = versions[-1]
        if not description.teams:
            raise OrganisationError([Problem("organisation.toml, teams entry 1", "team_id", "is missing")])
        return description

    async with (
        running(mosquitto_url, tmp_path / "j.db", shard=shard, load=load) as service,
        Gateway(mosquitto_url, shard=shard) as gateway,
    ):
        for number in range(3):
            await gateway.send(CallArrived(call_id=CallId(f"c{number}")))

        versions.append(OrganisationDescription())
        with pytest.raises(EventRejected, match="teams entry 1, team_id: is missing") as refused:
            await gateway.send(ReloadRequested())
        versions.append(small(head_start_s=60))
        await gateway.send(ReloadRequested())
        await ready(gateway, "bo")
        offer = (await next_of(gateway, OfferCall)).message

        assert refused.value.reason is Rejection.ORGANISATION_INVALID
        assert isinstance(offer, OfferCall)
        assert offer.call_id == "c0"
        assert service.summary().portfolios[0].waiting == 2


class FullDisk(SqliteJournal):
    """A journal on a disk that is full for a while."""

    full = False

    def append(self, shard: str, entries: Any) -> list[Appended]:
        if self.full:
            raise JournalError("the disk is full; make room")
        return super().append(shard, entries)


async def test_nothing_is_accepted_that_is_not_durable(mosquitto_url: str, tmp_path: Path) -> None:
    shard, journal = new_shard(), FullDisk(tmp_path / "j.db")
    async with (
        running(mosquitto_url, tmp_path / "j.db", shard=shard, journal=journal) as service,
        Gateway(mosquitto_url, shard=shard) as gateway,
    ):
        journal.full = True
        sending = asyncio.create_task(gateway.send(CallArrived(call_id=CallId("c1"))))
        async with asyncio.timeout(5):
            while service.not_ready_because() is None:
                await asyncio.sleep(0.01)
        reason, accepted_early = service.not_ready_because(), sending.done()
        calls = service.summary().calls_live
        journal.full = False
        accepted = await asyncio.wait_for(sending, 10)

    assert reason is not None
    assert "the disk is full" in reason
    assert not accepted_early
    assert calls == 0
    assert not accepted.duplicate


async def test_a_router_that_lost_its_claim_stops(mosquitto_url: str, tmp_path: Path) -> None:
    shard = new_shard()

    async def lose_the_claim() -> None:
        async with (
            running(mosquitto_url, tmp_path / "j.db", shard=shard),
            Gateway(mosquitto_url, shard=shard) as gateway,
        ):
            other = SqliteJournal(tmp_path / "j.db")
            other.claim(shard)
            other.append(shard, [Entry("x", b"")])
            other.close()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gateway.send(CallArrived(call_id=CallId("c1"))), 1)

    with pytest.raises(JournalFenced):
        await lose_the_claim()


async def test_a_hang_up_takes_the_offer_back_at_once(broker_url: str, tmp_path: Path) -> None:
    shard = new_shard()
    async with (
        running(broker_url, tmp_path / "j.db", shard=shard) as service,
        Gateway(broker_url, shard=shard) as gateway,
    ):
        await ready(gateway, "bo")
        await gateway.send(CallArrived(call_id=CallId("c1")))
        offer = (await next_of(gateway, OfferCall)).message
        assert isinstance(offer, OfferCall)

        await gateway.send(CallAbandoned(call_id=CallId("c1")))
        withdrawn = (await next_of(gateway, WithdrawOffer)).message
        with pytest.raises(EventRejected, match="offer o1 of call c1 is over") as late:
            await gateway.send(
                OfferAccepted(agent_id=AgentId("bo"), call_id=CallId("c1"), offer_id=OfferId(offer.offer_id))
            )

        assert isinstance(withdrawn, WithdrawOffer)
        assert withdrawn.offer_id == offer.offer_id
        assert late.value.reason is Rejection.OFFER_OVER
        explanation = service.explain(CallId("c1"))
        assert explanation is not None
        assert explanation.status is CallStatus.ENDED


def impatient() -> OrganisationDescription:
    """Offers expire after a second, and after a miss the next agent is asked."""
    return organisation(
        [team("t0", offer_timeout_s=1, cooldown_s=600)], [portfolio("p0", "t0")], [agent("bo", "t0"), agent("cy", "t0")]
    )


async def test_what_a_deadline_brought_stands_after_a_restart(mosquitto_url: str, tmp_path: Path) -> None:
    """An offer expired and the call went to the next agent, with no event in between: a restart knows it."""
    shard, path = new_shard(), tmp_path / "j.db"
    async with (
        running(mosquitto_url, path, shard=shard, load=impatient),
        Gateway(mosquitto_url, shard=shard) as gateway,
    ):
        await ready(gateway, "bo", "cy")
        await gateway.send(CallArrived(call_id=CallId("c1")))
        first = (await next_of(gateway, OfferCall)).message
        second = (await next_of(gateway, OfferCall)).message

    async with (
        running(mosquitto_url, path, shard=shard, load=impatient),
        Gateway(mosquitto_url, shard=shard) as gateway,
    ):
        assert isinstance(first, OfferCall)
        assert isinstance(second, OfferCall)
        await gateway.send(OfferAccepted(agent_id=second.agent_id, call_id=CallId("c1"), offer_id=second.offer_id))
        with pytest.raises(EventRejected) as late:
            await gateway.send(OfferAccepted(agent_id=first.agent_id, call_id=CallId("c1"), offer_id=first.offer_id))

    assert (first.agent_id, second.agent_id) == ("bo", "cy")
    assert late.value.reason is Rejection.OFFER_OVER


async def test_no_sender_can_take_the_ids_of_the_routers_own_records(mosquitto_url: str, tmp_path: Path) -> None:
    shard, path = new_shard(), tmp_path / "j.db"
    async with running(mosquitto_url, path, shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        await ready(gateway, "bo")
    journal = SqliteJournal(path, read_only=True)
    own = [record.entry_id for record in journal.read(shard) if b"bo" not in record.body]
    journal.close()

    assert own
    assert all("/" in entry_id for entry_id in own)
    with pytest.raises(ValueError, match="event id"):
        encode_input(own[0], CallArrived(call_id=CallId("c1")))


async def test_files_with_mistakes_do_not_keep_a_router_from_starting_again(mosquitto_url: str, tmp_path: Path) -> None:
    shard, path = new_shard(), tmp_path / "j.db"

    def broken() -> OrganisationDescription:
        raise OrganisationError([Problem("organisation.toml", "teams", "is half edited")])

    with pytest.raises(OrganisationError):
        async with running(mosquitto_url, path, shard=shard, load=broken):
            pass
    async with running(mosquitto_url, path, shard=shard):
        pass

    async with running(mosquitto_url, path, shard=shard, load=broken) as service:
        assert service.summary().portfolios[0].portfolio_id == "gold"


async def test_a_broker_that_comes_back_is_told_that_the_router_is_up(tmp_path: Path) -> None:
    shard = new_shard()
    states: list[bool] = []

    def note(message: Message) -> None:
        status = decode_output(message.payload).message
        assert isinstance(status, RouterStatus)
        states.append(status.up)
        message.acknowledge()

    broker = Mosquitto(tmp_path)
    with broker:
        async with running(broker.url, tmp_path / "j.db", shard=shard) as service:
            broker.kill()
            async with asyncio.timeout(10):
                while service.not_ready_because() is None:
                    await asyncio.sleep(0.01)
            for left in tmp_path.glob("*.db*"):
                # As a broker that keeps nothing: only the router can say it again.
                if left.name.startswith("mosquitto"):
                    left.unlink()
            broker.start()
            async with Connection(broker.url, deliver=note) as connection:
                await connection.subscribe([router_status_topic(shard)])
                async with asyncio.timeout(20):
                    while True not in states:
                        await asyncio.sleep(0.01)
                last = states[-1]

    assert last


async def test_what_is_due_at_once_is_published_however_many_events_come_together(
    mosquitto_url: str, tmp_path: Path
) -> None:
    """A call-back that may wait for no time at all falls back at once, also when other events follow in one batch."""
    shard = new_shard()
    async with (
        running(mosquitto_url, tmp_path / "j.db", shard=shard, load=lambda: small(callback_max_wait_s=0)),
        Gateway(mosquitto_url, shard=shard) as gateway,
    ):
        calls = [CallId(f"c{number}") for number in range(40)]
        await asyncio.gather(*(gateway.send(CallArrived(call_id=call_id)) for call_id in calls))
        await asyncio.gather(*(gateway.send(CallbackRequested(call_id=call_id)) for call_id in calls))
        fallen = {(await next_of(gateway, FallbackCall)).message.call_id for _ in calls}  # type: ignore[union-attr]  # it is one

    assert fallen == set(calls)


async def test_no_more_is_handled_than_a_start_would_publish_again(
    mosquitto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a router that is killed while its broker is slow would leave decisions that nobody ever hears of."""
    monkeypatch.setattr(service_module, "_AHEAD_MAX", 5)
    monkeypatch.setattr(service_module, "_BATCH_MAX", 4)
    held: list[tuple[Connection, Any]] = []
    on_puback, is_slow = Connection._on_puback, False

    def on_puback_later(connection: Connection, *arguments: Any) -> None:
        if is_slow:
            held.append((connection, arguments))
        else:
            on_puback(connection, *arguments)

    monkeypatch.setattr(Connection, "_on_puback", on_puback_later)
    shard, path = new_shard(), tmp_path / "j.db"
    async with running(mosquitto_url, path, shard=shard), Gateway(mosquitto_url, shard=shard) as gateway:
        before = (await gateway.send(CallArrived(call_id=CallId("c0")))).offset
        is_slow = True
        sending = [asyncio.create_task(gateway.send(CallArrived(call_id=CallId(f"c{n}")))) for n in range(1, 61)]
        await asyncio.wait(sending, timeout=1)
        with closing(SqliteJournal(path, read_only=True)) as journal:
            handled = journal.last_offset(shard) - before
        is_slow = False
        for connection, arguments in held:
            on_puback(connection, *arguments)
        async with asyncio.timeout(10):
            await asyncio.gather(*sending)

    assert 4 <= handled <= 5 + 4 + 4
