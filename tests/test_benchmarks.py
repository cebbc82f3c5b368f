"""The benchmarks run, and what they run is deterministic. Their figures are not looked at: a test machine is busy."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from benchmarks import recovery, simulation
from benchmarks.engine import TINY, Report, as_table, run
from router.simulation.memoryless import CallerDraw, Fates, MemorylessModel, play
from tests.truth.chains import erlang_a

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


@pytest.fixture(scope="module")
def simulated() -> simulation.Report:
    return simulation.run(simulation.TINY)


def test_both_simulate_the_same_models(simulated: simulation.Report) -> None:
    assert [each.agents for each in simulated.measurements] == [model.agents for model in simulation.MODELS]
    for each in simulated.measurements:
        assert each.ratio > 0
        assert each.calls_per_s > 0
        assert each.ciw_calls_per_s > 0
        # So few calls are just enough to tell one model from another.
        assert each.abandoned == pytest.approx(each.exact_abandoned, abs=0.1)
        assert each.ciw_abandoned == pytest.approx(each.exact_abandoned, abs=0.1)


def test_what_is_exact_is_what_a_chain_says() -> None:
    for model in simulation.MODELS:
        chain = erlang_a(model.load, model.service_s, model.agents, model.patience_s)
        assert chain.abandoning == pytest.approx(model.abandoned, abs=1e-8)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_simulated_decisions_do_not_depend_on_the_run(simulated: simulation.Report, hash_seed: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "simulation", "--tiny", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True).stdout

    again = msgspec.json.decode(output, type=simulation.Report)
    for one, other in zip(again.measurements, simulated.measurements, strict=True):
        assert (one.digest, one.abandoned, one.ciw_abandoned) == (other.digest, other.abandoned, other.ciw_abandoned)


def test_callers_served_otherwise_are_no_fast_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(model: MemorylessModel, draw: CallerDraw) -> Fates:
        return play(model, draw._replace(patience_ms=np.zeros_like(draw.service_ms)))

    monkeypatch.setattr(simulation, "play", impatient)

    with pytest.raises(RuntimeError, match="first come, first served"):
        simulation.run(simulation.TINY)


def test_without_ciw_the_benchmark_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ciw", None)
    monkeypatch.delitem(sys.modules, "benchmarks.with_ciw", raising=False)

    with pytest.raises(SystemExit, match=r"ciw is not installed.*pip install --editable '\.\[dev\]'"):
        simulation.main(tiny=True, as_json=False)


def test_simulation_table_fits_and_names_machine_and_seed(simulated: simulation.Report) -> None:
    console = Console(width=80)

    with console.capture() as capture:
        console.print(simulation.as_table(simulated))

    text = capture.get()
    assert f"seed {simulated.seed}" in text
    assert all(each.digest in text and f"{each.ratio:.2f}" in text for each in simulated.measurements)
    assert "…" not in text
