"""The processes and the disk: what faults are done to."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.brokers import free_port

__all__ = ["AGENTS_PER_CALL_A_SECOND", "Disk", "LimitedDisk", "RouterProcess", "Tmpfs", "mounted", "write_settings"]

PROJECT = Path(__file__).parents[2]
READY_S_MAX = 120.0
"""A restart replays the journal of a whole run."""

AGENTS_PER_CALL_A_SECOND = 1.6
"""A call keeps an agent for 1.3 s: enough agents, and not too many."""

OFFER_TIMEOUT_S = 4
"""Ten times what an agent takes, since a busy machine is slow at everything."""

_TEAM = """
[[teams]]
team_id = "{name}"
site_id = "here"
supplier_id = "own"
offer_timeout_s = {offer_timeout_s}
connect_timeout_s = 5
cooldown_s = 3
misses_max = 3
wrap_up_s = {wrap_up_s}
"""


def write_settings(directory: Path, *, broker_url: str | None, journal: Path, agents: int) -> list[str]:
    """Settings and an organisation for a run: one portfolio, two teams and a reserve that is asked after a second.

    Args:
        directory: Where to write them.
        broker_url: None: the embedded broker.
        journal: The journal's file.
        agents: How many there are.

    Returns:
        The agents' ids.
    """
    broker = f"embedded_port = {free_port()}" if broker_url is None else f'url = "{broker_url}"'
    (directory / "router.toml").write_text(
        f'[organisation]\nfile = "organisation.toml"\n[mqtt]\n{broker}\n[journal]\nfile = "{journal}"\n'
        f'[http]\nport = {free_port()}\n[pseudonym]\nkey_file = "pseudonym.key"\n'
    )
    # One in three wraps up for a second, one in ten is the reserve.
    teams = {"quick": 0, "careful": 1, "reserve": 0}
    text = 'skills = []\ndefault_portfolio = "gold"\n[[sites]]\nsite_id = "here"\ncountry = "IT"\n'
    text += '[[suppliers]]\nsupplier_id = "own"\n'
    for name, wrap_up_s in teams.items():
        text += _TEAM.format(name=name, wrap_up_s=wrap_up_s, offer_timeout_s=OFFER_TIMEOUT_S)
    text += '[[portfolios]]\nportfolio_id = "gold"\nmax_wait_s = 6\nfallback = { kind = "message", target = "busy" }\n'
    text += 'teams = ["quick", "careful", { team_id = "reserve", after_s = 1 }]\n'
    names = [f"A{number:04}" for number in range(agents)]
    for number, name in enumerate(names):
        team = "reserve" if number % 10 == 9 else "careful" if number % 3 == 0 else "quick"
        text += f'[[agents]]\nagent_id = "{name}"\nteam_id = "{team}"\n'
    (directory / "organisation.toml").write_text(text)
    return names


class RouterProcess:
    """``router run`` on a directory of settings; started, killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "router.log"
        for line in (directory / "router.toml").read_text().splitlines():
            name, _, value = line.partition(" = ")
            if name == "port":
                self._port = int(value)
            elif name == "url":
                self.broker_url = value.strip('"')
            elif name == "embedded_port":
                self.broker_url = f"mqtt://127.0.0.1:{value}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the router runs"
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def beside(self) -> "RouterProcess":
        """Another router on the same settings, with a port of its own for HTTP; not started yet."""
        other = RouterProcess(self._directory)
        other._port = free_port()
        other._log = self._directory / f"router-{other._port}.log"
        return other

    def launch(self, *options: str) -> None:
        """Start it and do not wait."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
        environment |= {"PYTHONPATH": str(PROJECT), "ROUTER_HTTP__PORT": str(self._port)}
        process = subprocess.Popen(
            [sys.executable, "-m", "router", "run", str(self._directory), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # By a pipe: a limit on the size of its files must not keep it from saying so.
            stderr=subprocess.PIPE,
        )
        self._process = process
        threading.Thread(target=self._keep_log, args=(process,), daemon=True).start()

    def _keep_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with self._log.open("ab") as log, process.stderr as lines:
            for line in lines:
                log.write(line)
                log.flush()

    async def wait_ready(self, *, within_s: float = READY_S_MAX) -> None:
        give_up_s = time.monotonic() + within_s
        while await self.trouble() is not None:
            assert self._process is not None, "the router was started"
            assert self._process.poll() is None, f"the router ended by itself:\n{self.log[-2000:]}"
            assert time.monotonic() < give_up_s, f"the router is not ready after {within_s:g} s:\n{self.log[-2000:]}"
            await asyncio.sleep(0.02)

    async def trouble(self) -> str | None:
        """Why ``/readyz`` does not say 200; None: it does."""
        status, body = await self.get("/readyz")
        return None if status == 200 else body

    async def get(self, path: str, *, within_s: float = 2.0) -> tuple[int, str]:
        """Status and body; 0 when nobody answers."""
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                with contextlib.closing(writer):
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n".encode())
                    answer = (await reader.read()).decode()
        except (OSError, TimeoutError) as error:
            return 0, f"no answer: {error!r}"
        head, _, body = answer.partition("\r\n\r\n")
        return (int(head.split()[1]), body) if head else (0, "no answer")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def wait_ended(self, *, within_s: float) -> int:
        """Its exit status."""
        assert self._process is not None, "the router was started"
        return await asyncio.to_thread(self._process.wait, within_s)

    async def stop(self) -> int:
        """Stop it gently."""
        self.send(signal.SIGTERM)
        status = await self.wait_ended(within_s=30)
        self._process = None
        return status


class Disk(Protocol):
    """Where the journal lies."""

    def fill(self, router: RouterProcess) -> None:
        """From now on nothing more can be stored."""
        ...

    def free(self, router: RouterProcess) -> None:
        """There is room again."""
        ...


class Tmpfs:
    """A file system of its own at *path*, which is full when it is made as small as what it holds."""

    def __init__(self, path: Path, *, size: str = "4g") -> None:
        self.path = path
        self._size = size

    def fill(self, router: RouterProcess) -> None:
        for _ in range(100):
            held = os.statvfs(self.path)
            # The router goes on writing meanwhile, and a file system cannot be made smaller than what it holds.
            if self.remount(f"size={(held.f_blocks - held.f_bfree) * held.f_frsize}"):
                return
        raise AssertionError("the file system could not be made smaller")

    def free(self, router: RouterProcess) -> None:
        assert self.remount(f"size={self._size}")

    def remount(self, options: str) -> bool:
        done = subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], capture_output=True, check=False)
        return done.returncode == 0


class LimitedDisk:
    """For those who may not mount: the router's files cannot grow beyond a page, as `setrlimit` has it."""

    def fill(self, router: RouterProcess) -> None:
        _, most = resource.prlimit(router.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(router.pid, resource.RLIMIT_FSIZE, (4096, most))

    def free(self, router: RouterProcess) -> None:
        _, most = resource.prlimit(router.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(router.pid, resource.RLIMIT_FSIZE, (most, most))


@contextlib.contextmanager
def mounted(path: Path, *, size: str = "4g") -> Iterator[Tmpfs | None]:
    """A `Tmpfs` at *path* until the block ends; None where this user may not mount."""
    path.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield Tmpfs(path, size=size)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
