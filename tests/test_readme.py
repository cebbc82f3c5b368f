"""What the README shows works as it is pasted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers import free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_first_call(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(program.strip().splitlines()) <= 20
    port = free_port()
    program = program.replace("127.0.0.1:1883", f"127.0.0.1:{port}")
    environment = {
        **os.environ,
        "ROUTER_MQTT__EMBEDDED_PORT": str(port),
        "ROUTER_HTTP__PORT": str(free_port()),
        "ROUTER_JOURNAL__FILE": str(tmp_path / "journal.db"),
        "ROUTER_PSEUDONYM__KEY_FILE": str(tmp_path / "secrets" / "key"),
    }
    command = [sys.executable, "-m", "router", "run", str(ROOT / "config" / "small")]
    router = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert router.stdout is not None
        while "metrics" not in router.stdout.readline():
            assert router.poll() is None, "the router did not start"
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    finally:
        router.terminate()
        router.wait(10)

    assert shown.returncode == 0, shown.stderr
    assert "client C17" in shown.stdout
    assert "owner agent A101" in shown.stdout


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/deciding.md",
        "docs/journal.md",
        "docs/portfolios.md",
        "docs/reports.md",
        "docs/security.md",
        "docs/staffing.md",
        "docs/wire.md",
    ],
)
def test_every_file_that_is_named_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:router|config|docs|tests|benchmarks)/[\w./-]*)`", text))
    named |= set(re.findall(r"\]\(([\w./-]+)\)", text))

    missing = {name for name in named if not (ROOT / name).exists() and not ((ROOT / page).parent / name).exists()}

    assert not missing
