"""The fuzzer runs, its counts add up, and it notices what it is there to notice."""

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from router.core import EventRejected
from router.core.errors import Rejection
from router.service.decider import Decider
from tests.fuzz.payloads import Message, mutated
from tests.fuzz.world import Flaw, History, World

PROJECT = Path(__file__).parents[2]


def play(world: World, payloads: int, seed: int = 1) -> None:
    random = Random(seed)
    for _ in range(payloads):
        message = world.platform.next(random)
        if random.random() < 0.4:
            message = world.platform.spoil(message, random, lambda data: mutated(data, random))
        world.feed(message)


def run(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "tests.fuzz", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_everything_that_is_fed_is_accounted_for() -> None:
    world = World()

    play(world, 6_000)

    assert sum(world.counts.values()) == 6_000
    outcomes = " ".join(world.counts)
    for expected in ("call_connected", "offer_declined", "reload", "duplicate", "offer_over", "unreadable"):
        assert expected in outcomes


@pytest.mark.parametrize("options", [[], ["--guided"]], ids=["unguided", "guided"])
def test_a_run_ends_with_a_table_that_adds_up(tmp_path: Path, options: list[str]) -> None:
    if options:
        pytest.importorskip("atheris", reason="atheris is not installed; make fuzz installs it")

    ended = run("--payloads", "2000", "--seed", "3", *options, folder=tmp_path)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = [int(count) for count in re.findall(r"^  .* (\d+)$", ended.stdout, re.MULTILINE)]
    assert ("the same counts" in ended.stdout) == bool(options)
    assert counts[-1] == sum(counts[:-1]) == 2_000
    assert "crashes 0, hangs 0" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_was_fed_can_be_fed_again(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    world = World(history)
    play(world, 1_500)
    history.close()

    again = World()
    for message in History.read(tmp_path / "history"):
        again.feed(message)

    assert again.counts == world.counts
    assert again.decisions == world.decisions


def test_a_crash_is_noticed_and_leaves_what_repeats_it(tmp_path: Path) -> None:
    """An assertion planted where a call ends."""
    planted = (
        "import sys; from router.core.engine import Engine; import tests.fuzz.__main__ as fuzz\n"
        "def broken(self, event): assert False, 'planted'\n"
        "Engine._call_ended = broken\n"
        "sys.argv[0] = 'fuzz'; fuzz.main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", planted]

    first = subprocess.run(
        [*command, "--payloads", "3000"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    (kept,) = tmp_path.iterdir()
    second = subprocess.run(
        [*command, "--repeat", kept.name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert first.returncode == second.returncode == 1
    assert "AssertionError: planted" in first.stdout
    assert f"--repeat {kept.name}" in first.stdout
    assert "AssertionError: planted" in second.stdout


def test_a_hang_and_a_number_in_a_refusal_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        while True:
            pass

    def tell(*_: object) -> None:
        raise EventRejected(Rejection.UNKNOWN_CALL, "there is no call of +39 0999 87654321")

    message = World().platform.next(Random(1))
    for broken, says in ((hang, "longer than"), (tell, "phone number")):
        world = World()
        monkeypatch.setattr("tests.fuzz.world.INPUT_LIMIT_S", 0.05)
        monkeypatch.setattr(Decider, "apply", broken)
        with pytest.raises(Flaw, match=says):
            world.feed(message)
        monkeypatch.undo()


def test_any_bytes_are_a_message() -> None:
    random = Random(1)
    for length in range(300):
        message = Message.unpack(random.randbytes(length))
        assert Message.unpack(message.pack()).payload is not None
