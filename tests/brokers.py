"""A real mosquitto for tests, run from the example configuration on a free port of this machine."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from tests.requirements import require

__all__ = ["Certificates", "Mosquitto", "free_port", "write_users"]

CONFIGURATION = Path(__file__).parent.parent / "config" / "mosquitto" / "mosquitto.conf"
START_S_MAX = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Certificates:
    """An authority and what it has signed, as PEM files: a broker's certificate for ``localhost``, and a client's.

    Args:
        directory: For the files.
        name: Whom the broker's certificate is for.
        expires_at: When that ends; None: far away.
    """

    def __init__(self, directory: Path, *, name: str = "localhost", expires_at: datetime | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server, self.server_key = self._write("server", authority.issue_cert(name, not_after=expires_at))
        self.client, self.client_key = self._write("client", authority.issue_cert("router.example"))

    def _write(self, name: str, leaf: trustme.LeafCert) -> tuple[Path, Path]:
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(str(certificate))
        leaf.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return certificate, key


def write_users(file: Path, users: Mapping[str, str]) -> Path:
    """A password file of mosquitto's."""
    file.touch(0o600)
    for name, password in users.items():
        subprocess.run([require("mosquitto_passwd"), "-b", file, name, password], check=True, capture_output=True)
    return file


class Mosquitto:
    """Starts on entering and is killed on leaving. `kill` and `start` again to play a crash, `send` signals to stop it.

    Args:
        directory: For its files.
        configuration: What it starts from; paths and ports are replaced.
        max_inflight_messages: Instead of the one in the example.
        access: Lines of an access control list; None: everybody may do everything.
        certificates: Speak TLS with these, and no other way.
        mutual: Ask clients for a certificate of the same authority.
        users: Let in these alone, with their passwords.
    """

    def __init__(
        self,
        directory: Path,
        *,
        configuration: Path = CONFIGURATION,
        max_inflight_messages: int | None = None,
        access: str | None = None,
        certificates: Certificates | None = None,
        mutual: bool = False,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self._binary = require("mosquitto")
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        text = configuration.read_text()
        text = re.sub(r"^listener .*", f"listener {self.port} 127.0.0.1", text, flags=re.MULTILINE)
        # Files that mosquitto has at their place when it is installed, and this test elsewhere.
        text = re.sub(r"^(cafile|certfile|keyfile|password_file|acl_file) .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("/var/lib/mosquitto/", f"{directory}/")
        if max_inflight_messages is not None:
            text = re.sub(r"max_inflight_messages \d+", f"max_inflight_messages {max_inflight_messages}", text)
        if access is not None:
            (directory / "access").write_text(access)
            text += f"acl_file {directory}/access\n"
        if certificates is not None:
            self.url = f"mqtts://localhost:{self.port}"
            text += f"cafile {certificates.ca}\ncertfile {certificates.server}\nkeyfile {certificates.server_key}\n"
            text += f"require_certificate {str(mutual).lower()}\n"
        if users is not None:
            text = text.replace("allow_anonymous true", "allow_anonymous false")
            text += f"password_file {write_users(directory / 'users', users)}\n"
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
