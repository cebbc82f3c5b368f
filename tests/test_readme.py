"""What the README shows works as it is pasted."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from router.cli import main
from router.command_line import console
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


(SYSTEMS,) = re.findall(r"^## Three systems.*?(?=^## )", README, flags=re.DOTALL | re.MULTILINE)


class Done(NamedTuple):
    status: int
    out: str
    error: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Done]:
    """A command as it is pasted, where the examples are in ``config``."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "width", 200)

    def run(command: str) -> Done:
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize("command", re.findall(r"`(router [^`]*)`", SYSTEMS))
def test_the_commands_of_the_three_systems_take_what_is_given_to_them(run: Callable[[str], Done], command: str) -> None:
    done = run(f"{command} --help")

    assert (done.status, done.error) == (0, "")
    assert all(Path(name).exists() for name in re.findall(r"config/[\w./-]*", command))


def test_the_protocol_is_simulated_and_its_report_made(run: Callable[[str], Done]) -> None:
    simulate, report = re.findall(r"`(router (?:simulate|report) [^`]*config/protocol[^`]*)`", SYSTEMS)

    simulated, reported = run(simulate), run(report)

    assert (simulated.status, simulated.error) == (0, "")
    assert "What the share cost the same callers: mean wait +3.22 s" in simulated.out
    assert (reported.status, reported.error) == (0, "")
    assert "Contract protocol-outsourced: outsourcer for telecom (outsourced), answered calls" in reported.out
    assert re.search(r"2017-05-04 to 2018-05-03 .incomplete.*3,888.*4,801.*80.98 %.*80.00 %.*kept.*94", reported.out)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/deciding.md",
        "docs/journal.md",
        "docs/plan.md",
        "docs/portfolios.md",
        "docs/protocol.md",
        "docs/reliability.md",
        "docs/reports.md",
        "docs/security.md",
        "docs/simulation.md",
        "docs/staffing.md",
        "docs/truth.md",
        "docs/wire.md",
    ],
)
def test_every_file_that_is_named_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:router|config|docs|tests|benchmarks)/[\w./-]*)`", text))
    named |= set(re.findall(r"\]\(([\w./-]+)\)", text))

    missing = {name for name in named if not (ROOT / name).exists() and not ((ROOT / page).parent / name).exists()}

    assert not missing
