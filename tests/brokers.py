"""A real mosquitto for tests, run from the example configuration on a free port of this machine."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.requirements import require

__all__ = ["Mosquitto", "free_port"]

CONFIGURATION = Path(__file__).parent.parent / "config" / "mosquitto" / "mosquitto.conf"
START_S_MAX = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Mosquitto:
    """Starts on entering and is killed on leaving. `kill` and `start` again to play a crash, `send` signals to stop it.

    Args:
        directory: For its files.
        max_inflight_messages: Instead of the one in the example.
        access: Lines of an access control list; None: everybody may do everything.
    """

    def __init__(self, directory: Path, *, max_inflight_messages: int | None = None, access: str | None = None) -> None:
        self._binary = require("mosquitto")
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        text = CONFIGURATION.read_text()
        text = text.replace("listener 1883", f"listener {self.port}")
        text = text.replace("/var/lib/mosquitto/", f"{directory}/")
        if max_inflight_messages is not None:
            text = re.sub(r"max_inflight_messages \d+", f"max_inflight_messages {max_inflight_messages}", text)
        if access is not None:
            (directory / "access").write_text(access)
            text += f"acl_file {directory}/access\n"
        if os.geteuid() == 0:
            text += "user root\n"  # Else mosquitto changes to a user who cannot write here.
        self._configuration = directory / f"mosquitto-{self.port}.conf"
        self._configuration.write_text(text)
        self._log = directory / f"mosquitto-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._binary, "-c", self._configuration], stderr=log)
        give_up = time.monotonic() + START_S_MAX
        while True:
            assert self._process.poll() is None, f"mosquitto did not start:\n{self._log.read_text()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < give_up, "mosquitto does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None, "mosquitto runs"
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
