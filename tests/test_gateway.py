"""The platform's side, against a stand-in that answers through a real broker as the router would."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest

from router import gateway as gateway_module
from router.core.decisions import Decision, PauseAgent, QueueCall, Rule
from router.core.errors import EventRejected, Rejection
from router.core.events import AgentReady, CallArrived, CallEnded
from router.core.model import AgentId, CallId, PortfolioId
from router.gateway import Gateway, GatewayClosedError
from router.pseudonym import Pseudonymiser
from router.service.mqtt import BrokerError, Message, Outbox, stay_connected
from router.wire import (
    Accepted,
    DecisionId,
    Input,
    InputRejected,
    Output,
    Rejected,
    ReloadRequested,
    RouterStatus,
    decode_input,
    encode_output,
    output_topics,
    reply_topic,
)
from tests.brokers import Mosquitto, free_port

pseudonym = Pseudonymiser(b"k" * 32).of

QUEUED = QueueCall(
    rule=Rule.ALL_BUSY, call_id=CallId("c1"), wait_ms=0, portfolio_id=PortfolioId("gold"), position=1,
    expected_wait_ms=None,
)  # fmt: skip
PAUSED = PauseAgent(rule=Rule.MISSES, agent_id=AgentId("a1"), misses=3)


class StandIn:
    """Accepts every input, unless ``answer`` says otherwise: a reply, or None for silence."""

    def __init__(self, url: str, shard: str) -> None:
        self.inputs: list[Input] = []
        self.answer: Callable[[Input], Accepted | Rejected | None] = self.accept
        self.shard = shard
        self.connected = asyncio.Event()
        self._arrived = asyncio.Event()
        self._url = url
        self._outbox = Outbox()

    def accept(self, given: Input) -> Accepted:
        return Accepted(event_id=given.event_id, offset=len(self.inputs))

    async def wait_for_inputs(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.inputs) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def decide(self, decision: Decision, decision_id: DecisionId) -> None:
        payload = encode_output(decision, decision_id)
        for topic in output_topics(decision, self.shard):
            await self._outbox.publish(topic, payload)

    async def say_up(self, since_ms: int) -> None:
        status = RouterStatus(up=True, since_ms=since_ms, epoch=1)
        (topic,) = output_topics(status, self.shard)
        await self._outbox.publish(topic, encode_output(status))

    async def publish(self, topic: str, payload: bytes) -> None:
        await self._outbox.publish(topic, payload)

    def _deliver(self, message: Message) -> None:
        message.acknowledge()
        try:
            given = decode_input(message.topic, message.payload, shard=self.shard, pseudonym=pseudonym)
        except InputRejected as refusal:
            reply: Any = Rejected(event_id=refusal.event_id, reason=refusal.reason, detail=refusal.detail)
        else:
            self.inputs.append(given)
            self._arrived.set()
            reply = self.answer(given)
        topic = reply_topic(message.topic, self.shard)
        if reply is not None and topic is not None:
            self._outbox.publish(topic, encode_output(reply))

    async def __aenter__(self) -> Self:
        async def stay() -> None:
            await stay_connected(
                self._url,
                deliver=self._deliver,
                subscriptions=[f"acd/v1/in/{self.shard}/#"],
                outbox=self._outbox,
                on_connected=lambda _: self.connected.set(),
            )

        self._task = asyncio.create_task(stay())
        await self.connected.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def shard() -> str:
    """One of its own for each test, since tests share the broker."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
async def router(broker_url: str, shard: str) -> AsyncIterator[StandIn]:
    async with StandIn(broker_url, shard) as router:
        yield router


@pytest.fixture
async def gateway(broker_url: str, shard: str, router: StandIn) -> AsyncIterator[Gateway]:
    async with Gateway(broker_url, shard=shard, resend_s=0.1) as gateway:
        yield gateway


def arrived(call_id: str = "c1") -> CallArrived:
    return CallArrived(call_id=CallId(call_id))


async def take(gateway: Gateway, count: int) -> list[Output]:
    async with asyncio.timeout(10):
        decisions = gateway.decisions()
        return [await anext(decisions) for _ in range(count)]


async def test_an_accepted_event(gateway: Gateway, router: StandIn) -> None:
    accepted = await gateway.send(arrived(), event_id="e1")

    assert accepted == Accepted(event_id="e1", offset=1)
    assert router.inputs == [("e1", arrived())]


async def test_events_of_each_kind_are_answered(gateway: Gateway, router: StandIn) -> None:
    for event in (arrived(), AgentReady(agent_id=AgentId("a1")), ReloadRequested()):
        await gateway.send(event)

    assert len({given.event_id for given in router.inputs}) == 3


async def test_the_number_of_a_caller(gateway: Gateway, router: StandIn) -> None:
    await gateway.send(arrived(), caller_number="06 1234")

    assert router.inputs[0].event == CallArrived(call_id=CallId("c1"), caller=pseudonym("+39061234"))


async def test_an_event_is_sent_until_it_is_accepted(gateway: Gateway, router: StandIn) -> None:
    """The first two copies get no answer; the third does."""
    router.answer = lambda given: router.accept(given) if len(router.inputs) == 3 else None

    accepted = await gateway.send(arrived())

    assert [given.event_id for given in router.inputs] == [accepted.event_id] * 3


async def test_a_rejected_event(gateway: Gateway, router: StandIn) -> None:
    router.answer = lambda given: Rejected(
        event_id=given.event_id, reason=Rejection.DUPLICATE_CALL, detail="call c1 has arrived before"
    )

    with pytest.raises(EventRejected) as refusal:
        await gateway.send(arrived())

    assert refusal.value.reason is Rejection.DUPLICATE_CALL
    assert refusal.value.detail == "call c1 has arrived before"


async def test_a_withheld_number_is_accepted(gateway: Gateway, router: StandIn) -> None:
    await gateway.send(arrived(), caller_number="withheld")

    assert router.inputs[0].event == arrived()


async def test_many_events_are_under_way_at_a_time(gateway: Gateway, router: StandIn) -> None:
    """None is answered before the last has arrived."""
    everything_there = asyncio.Event()
    router.answer = lambda given: everything_there.set() if len(router.inputs) == 200 else None
    sending = [asyncio.create_task(gateway.send(arrived(f"c{n}"), event_id=f"e{n}")) for n in range(200)]
    await asyncio.wait_for(everything_there.wait(), 10)
    router.answer = router.accept

    accepted = await asyncio.wait_for(asyncio.gather(*sending), 10)

    assert [answer.event_id for answer in accepted] == [f"e{n}" for n in range(200)]


async def test_an_event_under_way_is_not_sent_as_another(gateway: Gateway, router: StandIn) -> None:
    router.answer = lambda given: None
    first = asyncio.create_task(gateway.send(arrived(), event_id="e1"))
    await router.wait_for_inputs(1)

    with pytest.raises(ValueError, match="e1"):
        await gateway.send(CallEnded(call_id=CallId("c1")), event_id="e1")

    first.cancel()
    await asyncio.wait([first])
    router.answer = router.accept
    assert (await gateway.send(arrived(), event_id="e1")).event_id == "e1"


@pytest.mark.parametrize("call_id", ["", "c/1", "c+", "#", "c 1", "x" * 65])
async def test_ids_that_no_topic_can_hold_are_not_sent(gateway: Gateway, router: StandIn, call_id: str) -> None:
    with pytest.raises(ValueError, match="call and agent ids"):
        await gateway.send(arrived(call_id))

    assert router.inputs == []


async def test_each_decision_comes_once(gateway: Gateway, router: StandIn) -> None:
    """Although it was published twice, and anything else comes in between."""
    for decision_id in (DecisionId(1, 1, 0), DecisionId(1, 1, 1), DecisionId(1, 1, 0), DecisionId(1, 2, 0)):
        await router.decide(QUEUED, decision_id)
        await router.publish(f"acd/v1/out/{router.shard}/call/c1", b"\xc1")
    await router.decide(PAUSED, DecisionId(1, 3, 0))

    assert await take(gateway, 4) == [
        (DecisionId(1, 1, 0), QUEUED),
        (DecisionId(1, 1, 1), QUEUED),
        (DecisionId(1, 2, 0), QUEUED),
        (DecisionId(1, 3, 0), PAUSED),
    ]


async def test_a_router_with_a_new_journal_is_heard(gateway: Gateway, router: StandIn) -> None:
    """Its epochs begin at 1 again, and its offsets too."""
    topic = f"acd/v1/out/{router.shard}/status/router"
    for since_ms in (1_000, 2_000):
        await router.publish(topic, encode_output(RouterStatus(up=True, since_ms=since_ms, epoch=1)))
        for _ in range(2):
            await router.decide(QUEUED, DecisionId(1, 1, 0))
    await router.decide(PAUSED, DecisionId(1, 2, 0))

    assert [output.message for output in await take(gateway, 3)] == [QUEUED, QUEUED, PAUSED]


async def test_memory_of_decisions_is_bounded(
    gateway: Gateway, router: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "DECISIONS_REMEMBERED", 2)

    for offset in (1, 2, 2, 3, 1):
        await router.decide(QUEUED, DecisionId(1, offset, 0))

    assert [output.id for output in await take(gateway, 4)] == [DecisionId(1, offset, 0) for offset in (1, 2, 3, 1)]


async def test_a_cancelled_reader_loses_no_decision(gateway: Gateway, router: StandIn) -> None:
    decisions = gateway.decisions()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(decisions), 0.01)

    await router.decide(PAUSED, DecisionId(1, 1, 0))

    assert await asyncio.wait_for(anext(decisions), 5) == (DecisionId(1, 1, 0), PAUSED)


async def test_closing_ends_everything(broker_url: str, shard: str) -> None:
    """Nobody answers here."""
    async with Gateway(broker_url, shard=shard) as gateway:
        sending = asyncio.create_task(gateway.send(arrived()))
        reading = asyncio.create_task(anext(gateway.decisions(), "no more"))
        await asyncio.sleep(0)

    with pytest.raises(GatewayClosedError, match="may or may not"):
        await sending
    assert await reading == "no more"
    with pytest.raises(GatewayClosedError):
        await gateway.send(arrived())


async def test_a_router_that_comes_back_gets_soon_what_the_broker_did_not_keep(broker_url: str, shard: str) -> None:
    """However long the wait had become; and not at once, when it still has all that the broker kept."""
    async with Gateway(broker_url, shard=shard, resend_s=0.2) as gateway, StandIn(broker_url, shard) as router:
        router.answer = lambda given: None
        await router.say_up(since_ms=1)
        sending = asyncio.create_task(gateway.send(arrived()))
        # The next is 1.6 s away then, after 0.2, 0.4 and 0.8.
        await router.wait_for_inputs(4)
        router.answer = router.accept
        loop = asyncio.get_running_loop()
        was_up_s = loop.time()
        await router.say_up(since_ms=2)
        await asyncio.wait_for(sending, 5)
        after_s = loop.time() - was_up_s

    assert len(router.inputs) == 5
    assert 0.15 < after_s < 1.4


@pytest.mark.broker
async def test_a_broker_that_comes_back(tmp_path: Path) -> None:
    """An event reported while there is no broker arrives as soon as there is one again."""
    mosquitto = Mosquitto(tmp_path)
    with mosquitto:
        async with StandIn(mosquitto.url, "main") as router, Gateway(mosquitto.url, resend_s=0.1) as gateway:
            await gateway.send(arrived("c1"))
            mosquitto.kill()
            sending = asyncio.create_task(gateway.send(arrived("c2")))
            mosquitto.start()
            await asyncio.wait_for(sending, 10)
            await router.decide(PAUSED, DecisionId(1, 1, 0))

            assert await take(gateway, 1) == [(DecisionId(1, 1, 0), PAUSED)]


@pytest.mark.broker
async def test_a_named_gateway_gets_what_was_decided_while_it_was_away(mosquitto_url: str, shard: str) -> None:
    async with StandIn(mosquitto_url, shard) as router:
        async with Gateway(mosquitto_url, shard=shard, client_id=f"gateway-{shard}"):
            pass
        await router.decide(QUEUED, DecisionId(1, 1, 0))
        async with Gateway(mosquitto_url, shard=shard, client_id=f"gateway-{shard}") as gateway:
            assert await take(gateway, 1) == [(DecisionId(1, 1, 0), QUEUED)]


@pytest.mark.broker
async def test_decisions_that_nobody_takes_stay_with_the_broker(
    mosquitto_url: str, shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway that took them over, but did not hand them on, leaves them to the next."""
    monkeypatch.setattr(gateway_module, "DECISIONS_BUFFERED_MAX", 3)
    name = f"gateway-{shard}"
    async with StandIn(mosquitto_url, shard) as router:
        async with Gateway(mosquitto_url, shard=shard, client_id=name) as gateway:
            for offset in range(10):
                await router.decide(QUEUED, DecisionId(1, offset, 0))
            await gateway.send(arrived())  # Answers pass those that wait.
            taken = await take(gateway, 1)
        async with Gateway(mosquitto_url, shard=shard, client_id=name) as gateway:
            left = await take(gateway, 7)

    assert [output.id.offset for output in taken + left if output.id] == [0, *range(3, 10)]


async def test_no_broker() -> None:
    gateway = Gateway(f"mqtt://user:secret@127.0.0.1:{free_port()}", connect_timeout_s=0.2)

    with pytest.raises(BrokerError, match=r"no connection within 0\.2 s: cannot connect .*refused") as error:
        await gateway.__aenter__()

    assert "secret" not in str(error.value)


def test_a_url_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="broker URL"):
        Gateway("localhost:1883")
