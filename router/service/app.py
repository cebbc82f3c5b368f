"""A whole router in one process: embedded broker if wanted, journal, service, HTTP, signals."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from router.core import Limits, OrganisationError, RouterError
from router.core.model import OrganisationDescription
from router.core.organisation import Organisation
from router.journal import JournalDamaged, JournalError, JournalFenced, SqliteJournal
from router.organisation_files import read_organisation
from router.pseudonym import KEY_BYTES, Pseudonymiser, load_or_create_key
from router.service.broker import EmbeddedBroker
from router.service.garbage import collecting_seldom
from router.service.http import create_app
from router.service.http import serve as serve_http
from router.service.mqtt import BrokerUrl
from router.service.service import Keeping, Service, Watch
from router.settings import Settings

__all__ = ["Addresses", "checked_organisation", "limits_of", "pseudonymiser_of", "serve"]

logger = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Addresses(NamedTuple):
    """Where a running router is found. Holds no password."""

    broker: str
    broker_is_embedded: bool
    http: str


def pseudonymiser_of(settings: Settings, *, keep: bool = True) -> Pseudonymiser:
    """The pseudonymiser with the key of the settings.

    Args:
        settings: Where the key is.
        keep: Make a lasting key if there is none; else one that is forgotten, for those who only look.

    Raises:
        OSError: The key file can be neither read nor made.
        ValueError: It holds no key.
    """
    file = settings.pseudonym.key_file
    return Pseudonymiser(load_or_create_key(file) if keep or file.exists() else os.urandom(KEY_BYTES))


def limits_of(settings: Settings) -> Limits:
    return Limits(waiting_calls_max=settings.limits.waiting_calls_max, past_calls_max=settings.limits.past_calls_max)


def keeping_of(settings: Settings) -> Keeping:
    days = settings.journal.retention_days
    return Keeping(snapshot_every=settings.journal.snapshot_every, retention_days=days or None)


async def _take_over(service: Service, silence_s: float, on_record: Callable[[int], None]) -> None:
    while True:
        epoch = await service.stand_by(silence_s)
        try:
            service.start(if_epoch=epoch, on_record=on_record)
        except JournalFenced:
            continue  # Another standby was faster; this one waits for that.
        except JournalDamaged:
            raise
        except JournalError as error:
            # Say, a router that was stopped in the middle of a commit keeps the file locked until it wakes up or ends.
            logger.error("cannot take over yet: %s", error)
            continue
        return


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
    on_stopping: Callable[[], Awaitable[None]],
    on_record: Callable[[int], None] = lambda _: None,
    watch: Watch = lambda _at_ms, _decided: None,
    on_standby: Callable[[], None] | None = None,
    change: Callable[[OrganisationDescription], OrganisationDescription] = lambda description: description,
) -> None:
    """Run a router until SIGTERM or SIGINT, the second of which ends the process; SIGHUP reads the organisation again.

    Args:
        settings: Where everything is.
        version: Of the router, for metrics.
        on_started: Told where the router is found, once it can be.
        on_stopping: Awaited after the signal to stop, while calls are still routed.
        on_record: Told of the offset of each record that is recovered.
        watch: Told of each decision and its time.
        on_standby: Told, if given, that this router now waits until the one at work has fallen silent, to take over.
        change: Applied to the organisation after each reading.

    Raises:
        RouterError: It cannot start or go on, and why.
    """
    pseudonym = pseudonymiser_of(settings).of
    async with AsyncExitStack() as stack:
        journal = SqliteJournal(settings.journal.file)
        stack.callback(journal.close)
        broker_url = settings.mqtt.url
        if broker_url is None and on_standby is not None:
            raise RouterError("a standby meets its platforms at a broker that outlives a router: set mqtt.url")
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
            keeping=keeping_of(settings),
        )
        # Before the journal is claimed: a router that is started twice by mistake must find the port taken rather than
        # fence the one that runs. Nothing is served before `start` is through, for it does not let go of the loop.
        address = await stack.enter_async_context(
            serve_http(create_app(service), settings.http.host, settings.http.port)
        )
        # The loop would see Ctrl-C only when all is read.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stack.enter_context(collecting_seldom())
        if on_standby is None:
            service.start(on_record=on_record)
        else:
            on_standby()
            await _take_over(service, settings.journal.takeover_after_s, on_record)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        stopping: list[asyncio.Task[None]] = []

        async def stop_gently() -> None:
            try:
                await on_stopping()
            finally:
                stop.set()

        def on_signal() -> None:
            stopping.append(loop.create_task(stop_gently()))
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)

        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        on_started(Addresses(str(BrokerUrl.parse(broker_url)), settings.mqtt.url is None, address.url))
        await service.run(stop)
