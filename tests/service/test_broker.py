"""The embedded broker: who may enter, and from where."""

import socket

import pytest

from router.service.broker import Credentials, EmbeddedBroker, EmbeddedBrokerError
from router.service.mqtt import BrokerError, Connection, Message

USER = Credentials("platform", "p@ss:/wörd")


def ignore(message: Message) -> None:
    message.acknowledge()


async def test_it_picks_a_free_port() -> None:
    async with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.url != other.url
        for broker in (one, other):
            async with Connection(broker.url, deliver=ignore) as connection:
                await connection.publish("tests/broker", b"")


async def test_whoever_has_the_credentials_may_enter() -> None:
    async with EmbeddedBroker(credentials=USER) as broker:
        async with Connection(broker.url, deliver=ignore) as connection:
            await connection.publish("tests/broker", b"")
        for stranger in ("", "platform@", "platform:wrong@", "other:p%40ss%3A%2Fw%C3%B6rd@"):
            with pytest.raises(BrokerError, match="Not authorized"):
                async with Connection(f"mqtt://{stranger}{broker.address}", deliver=ignore):
                    pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
async def test_it_does_not_let_the_network_in_unasked(host: str) -> None:
    with pytest.raises(EmbeddedBrokerError, match=r"set mqtt\.username and mqtt\.password_file. Or use 127\.0\.0\.1"):
        EmbeddedBroker(host)


async def test_it_opens_to_the_network_for_whoever_has_the_credentials() -> None:
    async with (
        EmbeddedBroker("0.0.0.0", credentials=USER) as broker,
        Connection(broker.url, deliver=ignore) as connection,
    ):
        await connection.publish("tests/broker", b"")


async def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedBrokerError, match=f"cannot listen on 127\\.0\\.0\\.1:{port}"):
            await EmbeddedBroker(port=port).__aenter__()
