"""Brokers for every test that needs one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from router.service.broker import EmbeddedBroker
from tests.brokers import Mosquitto


@pytest.fixture(scope="session")
def mosquitto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mosquitto that all tests share: use ids of your own, and leave nothing retained."""
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as mosquitto:
        yield mosquitto.url


@pytest.fixture
async def embedded_url() -> AsyncIterator[str]:
    async with EmbeddedBroker() as broker:
        yield broker.url


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.broker), "embedded"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each kind of broker in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
