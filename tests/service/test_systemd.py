"""What systemd is told, through a real socket: by the small module, and by a real router process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from router.service.mqtt import Connection
from router.service.service import Service
from router.service.systemd import ServiceManager
from tests.brokers import Mosquitto, free_port
from tests.service.running import new_shard, running

SMALL = Path(__file__).parents[2] / "config" / "small"


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def close(self) -> None:
        self._socket.close()

    def hears(self) -> list[str]:
        """All that has come, without waiting."""
        self._socket.settimeout(0)
        heard = []
        while True:
            try:
                heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return heard

    def waits_for(self, word: str, *, within_s: float = 15) -> str:
        """The next message with *word*."""
        give_up_s = time.monotonic() + within_s
        while True:
            self._socket.settimeout(max(0.001, give_up_s - time.monotonic()))
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"{word} was not said within {within_s} s") from None
            if word in message:
                return message


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def systemd(address: str) -> Iterator[Systemd]:
    there = Systemd(address)
    yield there
    there.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def routing() -> str | None:
    return None


def waiting() -> str | None:
    return "no connection\nto the broker"


def test_ready_when_calls_are_routed_and_not_before(systemd: Systemd, address: str) -> None:
    clock = Clock()
    manager = ServiceManager({"NOTIFY_SOCKET": address}, clock=clock)

    manager.recovering(1_000)
    manager.turned(waiting)
    clock.now_s += 6
    manager.turned(waiting)
    before = systemd.hears()
    manager.turned(routing)
    manager.turned(routing)
    after = systemd.hears()

    assert before == [
        "STATUS=recovering: 1000 records\nEXTEND_TIMEOUT_USEC=60000000",
        "STATUS=no connection to the broker\nEXTEND_TIMEOUT_USEC=60000000",
    ]
    assert after == ["READY=1\nSTATUS=routing\nWATCHDOG=1"]


def test_the_watchdog_is_fed_at_half_its_time_and_only_when_the_loop_turns(systemd: Systemd, address: str) -> None:
    clock = Clock()
    manager = ServiceManager(
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, clock=clock
    )
    manager.turned(routing)
    systemd.hears()

    fed_at_s = []
    for second in range(60):
        clock.now_s = 1_000 + second
        if not 20 <= second < 50:
            manager.turned(routing)
        fed_at_s += [second for message in systemd.hears() if "WATCHDOG=1" in message]

    assert fed_at_s == [14, 50]


def test_a_standby_that_reads_the_journal_for_long_feeds_the_watchdog(systemd: Systemd, address: str) -> None:
    """It said long ago that it is ready, so more time to start would not help it."""
    clock = Clock()
    manager = ServiceManager({"NOTIFY_SOCKET": address}, clock=clock)
    manager.standing_by()
    systemd.hears()

    manager.recovering(256)
    clock.now_s += 6
    manager.recovering(100_096)

    assert systemd.hears() == [
        "STATUS=recovering: 256 records\nWATCHDOG=1",
        "STATUS=recovering: 100096 records\nWATCHDOG=1",
    ]


def test_what_keeps_calls_from_being_routed_is_the_status(systemd: Systemd, address: str) -> None:
    clock = Clock()
    manager = ServiceManager({"NOTIFY_SOCKET": address}, clock=clock)
    for reason in (routing, waiting, waiting, routing):
        clock.now_s += 10
        manager.turned(reason)
    manager.stopping()

    assert systemd.hears() == [
        "READY=1\nSTATUS=routing\nWATCHDOG=1",
        "STATUS=not routing: no connection to the broker",
        "STATUS=routing",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_the_variables_are_not_handed_on_and_those_for_another_process_do_not_count(
    systemd: Systemd, address: str
) -> None:
    clock = Clock()
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1", "HOME": "/root"}
    manager = ServiceManager(environ, clock=clock)
    manager.turned(routing)
    clock.now_s += 2
    manager.turned(routing)

    assert environ == {"HOME": "/root"}
    assert len(systemd.hears()) == 1


def test_an_address_without_a_file(tmp_path: Path) -> None:
    name = f"router-test-{os.getpid()}"
    systemd = Systemd(f"\0{name}")
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).stopping()

    assert systemd.hears() == ["STOPPING=1\nSTATUS=stopping"]
    systemd.close()


def test_without_systemd_nothing_happens_and_a_dead_one_is_no_reason_to_stop(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}):
        manager = ServiceManager(environ)
        manager.turned(routing)
        manager.stopping()
    assert caplog.text == ""

    ServiceManager({"NOTIFY_SOCKET": address}).stopping()

    assert "systemd was not told" in caplog.text


# --- A real service ---


@pytest.mark.broker
async def test_only_the_loop_that_routes_turns(
    mosquitto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs over one message; everything beside it goes on, and must not speak for it."""
    turned_s: list[float] = []
    shard = new_shard()

    def on_turn() -> None:
        turned_s.append(time.monotonic())

    async with running(mosquitto_url, tmp_path / "journal.db", shard=shard, on_turn=on_turn):
        await asyncio.sleep(1.5)
        before = len(turned_s)
        with monkeypatch.context() as patch:
            patch.setattr(Service, "_take", lambda _, batch: asyncio.sleep(3_600))
            async with Connection(mosquitto_url, deliver=lambda message: message.acknowledge()) as platform:
                await platform.publish(f"acd/v1/in/{shard}/call/c1", b"no event, so it is answered")
            await asyncio.sleep(0.5)
            stuck_at = len(turned_s)
            await asyncio.sleep(2.5)
            still = len(turned_s)

    assert before >= 2
    assert still == stuck_at


# --- A real router ---


class Router:
    """``router run`` as systemd starts it: watched, with a socket to report to."""

    def __init__(self, tmp_path: Path, address: str, *arguments: str, **environ: str) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
        with (tmp_path / f"stderr{len(arguments)}").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "router", "run", SMALL, *arguments],
                env=ours
                | {
                    "NOTIFY_SOCKET": address,
                    "WATCHDOG_USEC": "2000000",
                    "ROUTER_HTTP__PORT": str(free_port()),
                    "ROUTER_MQTT__EMBEDDED_PORT": str(free_port()),
                    "ROUTER_JOURNAL__FILE": str(tmp_path / "var" / "journal.db"),
                    "ROUTER_PSEUDONYM__KEY_FILE": str(tmp_path / "secrets" / "key"),
                }
                | environ,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> "Router":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def test_a_router_says_that_it_is_ready_alive_and_stopping(tmp_path: Path, systemd: Systemd, address: str) -> None:
    with Router(tmp_path, address) as router:
        assert systemd.waits_for("READY=1") == "READY=1\nSTATUS=routing\nWATCHDOG=1"
        heard_at_s = [time.monotonic()]
        for _ in range(3):
            systemd.waits_for("WATCHDOG=1", within_s=2)
            heard_at_s.append(time.monotonic())
        router.process.send_signal(signal.SIGTERM)
        systemd.waits_for("STOPPING=1")
        assert router.process.wait(15) == 0

    pauses = [later - earlier for earlier, later in pairwise(heard_at_s)]
    # The last is at the latest when half of the time is over, but for what a busy machine adds.
    assert all(pause < 1.5 for pause in pauses), pauses


def test_a_router_that_is_stuck_does_not_feed_the_watchdog(tmp_path: Path, systemd: Systemd, address: str) -> None:
    with Router(tmp_path, address) as router:
        systemd.waits_for("READY=1")
        router.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # What it sent before.
        systemd.hears()
        time.sleep(2.5)
        heard = systemd.hears()
        router.process.send_signal(signal.SIGCONT)
        systemd.waits_for("WATCHDOG=1", within_s=2)

    assert heard == []


@pytest.mark.broker
def test_a_router_without_its_broker_is_not_ready_but_asks_for_time(
    tmp_path: Path, systemd: Systemd, address: str
) -> None:
    mosquitto = Mosquitto(tmp_path)
    with Router(tmp_path, address, ROUTER_MQTT__URL=mosquitto.url):
        early = systemd.waits_for("EXTEND_TIMEOUT_USEC=60000000")
        with mosquitto:
            message = systemd.waits_for("READY=1")

    assert early.startswith("STATUS=no connection to the broker\n")
    assert "STATUS=routing" in message


@pytest.mark.broker
def test_a_standby_is_ready_when_it_stands_by_and_says_when_it_has_taken_over(
    tmp_path: Path, systemd: Systemd, address: str
) -> None:
    with Mosquitto(tmp_path) as mosquitto, Router(tmp_path, "", ROUTER_MQTT__URL=mosquitto.url) as router:
        give_up_s = time.monotonic() + 15
        while not (tmp_path / "var" / "journal.db").exists():
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        time.sleep(2)  # Until it has claimed the journal.
        with Router(tmp_path, address, "--standby", ROUTER_MQTT__URL=mosquitto.url):
            standing_by = systemd.waits_for("READY=1")
            systemd.waits_for("WATCHDOG=1", within_s=2)
            router.process.kill()
            systemd.waits_for("STATUS=routing", within_s=20)
            systemd.waits_for("WATCHDOG=1", within_s=2)

    assert "STATUS=standing by" in standing_by
