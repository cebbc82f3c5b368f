"""The benchmarks run, and what they run is deterministic. Their figures are not looked at: a test machine is busy."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks import recovery
from benchmarks.engine import TINY, Report, as_table, run

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report() -> Report:
    return run(TINY)


def test_every_size_is_measured(report: Report) -> None:
    assert [each.agents for each in report.measurements] == [*TINY.agents] * 4
    for each in report.measurements:
        assert each.calls_per_s > 0
        assert each.decisions >= 2 * TINY.calls, "an offer and a connection for every call"


def test_smallest_size_is_the_yardstick(report: Report) -> None:
    assert {each.cost_ratio for each in report.measurements if each.agents == TINY.agents[0]} == {1.0}


def test_loads_are_what_they_are_called(report: Report) -> None:
    for each in report.measurements:
        if each.load == "agents idle":
            assert each.waited_share < 0.2
        else:
            assert each.waited_share > 0.8


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_digests_do_not_depend_on_the_run(report: Report, hash_seed: str) -> None:
    """Another process, with sets and strings in another order, decides alike."""
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True).stdout

    again = msgspec.json.decode(output, type=Report)
    assert [each.digest for each in again.measurements] == [each.digest for each in report.measurements]


def test_table_names_machine_and_seed(report: Report) -> None:
    console = Console(width=200)

    with console.capture() as capture:
        console.print(as_table(report))

    text = " ".join(capture.get().split())
    assert report.processor in text
    assert report.python in text
    assert f"{report.engine} engine" in text
    assert f"seed {report.seed}" in text


@pytest.fixture(scope="module")
def recovered() -> recovery.Report:
    return recovery.run(recovery.TINY)


def test_a_recovery_is_of_a_day_on_which_much_happens(recovered: recovery.Report) -> None:
    assert recovered.events == recovery.TINY.events
    assert recovered.calls > recovery.TINY.agents
    assert recovered.decisions > 2 * recovered.calls, "an offer and a connection for nearly every call"
    assert recovered.seconds >= recovered.snapshot_s + recovered.read_s > recovered.snapshot_s > 0
    assert recovered.snapshot_bytes > 1_000


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_recovered_day_does_not_depend_on_the_run(recovered: recovery.Report, hash_seed: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "recovery", "--tiny", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True).stdout

    again = msgspec.json.decode(output, type=recovery.Report)
    assert (again.digest, again.decisions) == (recovered.digest, recovered.decisions)


def test_a_recovery_that_decides_otherwise_is_no_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    write = recovery._write
    monkeypatch.setattr(recovery, "_write", lambda journal, records: write(journal, records[:-100]))

    with pytest.raises(RuntimeError, match="decide"):
        recovery.run(recovery.TINY)


def test_recovery_table_names_machine_and_seed(recovered: recovery.Report) -> None:
    console = Console(width=200)

    with console.capture() as capture:
        console.print(recovery.as_table(recovered))

    text = " ".join(capture.get().split())
    assert recovered.processor in text
    assert f"seed {recovered.seed}" in text
    assert recovered.digest in text
