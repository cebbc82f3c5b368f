"""A whole router in one process: embedded broker if wanted, journal, service, HTTP, signals."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from router.core import Limits, OrganisationError
from router.core.model import OrganisationDescription
from router.core.organisation import Organisation
from router.journal import SqliteJournal
from router.organisation_files import read_organisation
from router.pseudonym import Pseudonymiser, load_or_create_key
from router.service.broker import EmbeddedBroker
from router.service.http import create_app
from router.service.http import serve as serve_http
from router.service.mqtt import BrokerUrl
from router.service.service import Service, Watch
from router.settings import Settings

__all__ = ["Addresses", "checked_organisation", "limits_of", "pseudonymiser_of", "serve"]


class Addresses(NamedTuple):
    """Where a running router is found. Holds no password."""

    broker: str
    broker_is_embedded: bool
    http: str


def pseudonymiser_of(settings: Settings) -> Pseudonymiser:
    """Raises OSError or ValueError: The key file cannot be read or made."""
    return Pseudonymiser(load_or_create_key(settings.pseudonym.key_file))


def limits_of(settings: Settings) -> Limits:
    return Limits(waiting_calls_max=settings.limits.waiting_calls_max, past_calls_max=settings.limits.past_calls_max)


def checked_organisation(settings: Settings, pseudonym: Callable[[str], str]) -> OrganisationDescription:
    """Read the organisation and check it.

    Raises:
        OrganisationError: With all problems at once, those of reading first.
    """
    description, problems = read_organisation(settings.organisation.file, pseudonym)
    found = list(problems)
    try:
        Organisation(description)
    except OrganisationError as error:
        found.extend(error.problems)
    if found:
        raise OrganisationError(found)
    return description


async def serve(
    settings: Settings,
    *,
    version: str,
    on_started: Callable[[Addresses], None],
    on_record: Callable[[int], None] = lambda _: None,
    watch: Watch = lambda _at_ms, _decided: None,
    change: Callable[[OrganisationDescription], OrganisationDescription] = lambda description: description,
) -> None:
    """Run a router until SIGTERM or SIGINT; SIGHUP reads the organisation again.

    Args:
        settings: Where everything is.
        version: Of the router, for metrics.
        on_started: Told where the router is found, once it can be.
        on_record: Told of the offset of each record that is recovered.
        watch: Told of each decision and its time.
        change: Applied to the organisation after each reading.

    Raises:
        RouterError: It cannot start or go on, and why.
    """
    stop = asyncio.Event()
    pseudonym = pseudonymiser_of(settings).of
    async with AsyncExitStack() as stack:
        journal = SqliteJournal(settings.journal.file)
        stack.callback(journal.close)
        broker_url = settings.mqtt.url
        if broker_url is None:
            broker = EmbeddedBroker(settings.mqtt.embedded_host, settings.mqtt.embedded_port)
            broker_url = (await stack.enter_async_context(broker)).url
        service = Service(
            journal=journal,
            shard=settings.mqtt.shard,
            broker_url=broker_url,
            load_organisation=lambda: change(checked_organisation(settings, pseudonym)),
            pseudonym=pseudonym,
            limits=limits_of(settings),
            version=version,
            watch=watch,
        )
        service.start(on_record=on_record)
        address = await stack.enter_async_context(
            serve_http(create_app(service), settings.http.host, settings.http.port)
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        on_started(Addresses(str(BrokerUrl.parse(broker_url)), settings.mqtt.url is None, address.url))
        await service.run(stop)
