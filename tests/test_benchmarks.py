"""The benchmarks run, and what they run is deterministic. Their figures are not looked at: a test machine is busy."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from benchmarks import owner_wait, quality, recovery, simulation
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
def compared() -> quality.Report:
    return quality.run(quality.TINY)


def test_every_rule_meets_the_same_callers(compared: quality.Report) -> None:
    for scenario in compared.scenarios:
        assert scenario.rows[0].rule == "longest idle"
        assert len({row.rule for row in scenario.rows}) == len(scenario.rows)
        rows = {row.rule: row for row in scenario.rows}
        # Whoever is asked first among agents of equal penalty, no caller waits a moment more or less.
        assert rows["penalties, rrmemory"].wait_s == rows["penalties, leastrecent"].wait_s


def test_no_rule_reaches_beyond_the_bound(compared: quality.Report) -> None:
    for scenario in compared.scenarios:
        for row in scenario.rows:
            assert 0 < row.of_bound <= 1
            assert row.service_level <= scenario.service_level_bound <= 1
            assert row.service_level <= 1 - row.abandoned


def test_thresholds_trade_waits_for_owners(compared: quality.Report) -> None:
    (six, _) = compared.scenarios
    thresholds = [row for row in six.rows if row.rule.startswith("own ")]

    assert [row.owner_share for row in thresholds] == sorted(row.owner_share for row in thresholds)
    assert thresholds[-1].owner_share == 1
    assert thresholds[0].wait_s < thresholds[-1].wait_s


def test_the_comparison_does_not_depend_on_the_run(compared: quality.Report) -> None:
    command = [sys.executable, "-m", "benchmarks", "quality", "--tiny", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": "2"}

    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True).stdout

    assert msgspec.json.decode(output, type=quality.Report).digest == compared.digest


def test_quality_tables_name_bounds_machine_and_seed(compared: quality.Report) -> None:
    console = Console(width=200)

    with console.capture() as capture:
        for table in quality.as_tables(compared):
            console.print(table)

    text = capture.get()
    assert "(clairvoyant)" in text
    assert "(Erlang-A)" in text
    assert compared.processor in text
    assert f"seed {compared.seed}" in text
    assert compared.digest in text


def test_without_scipy_the_comparison_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)

    with pytest.raises(SystemExit, match="pip install"):
        quality.main(tiny=True, as_json=False)


@pytest.fixture(scope="module")
def waits() -> owner_wait.Report:
    return owner_wait.run(owner_wait.TINY)


def test_owner_waits_are_compared_at_equal_mean_wait_and_at_equal_share(waits: owner_wait.Report) -> None:
    (case,) = waits.cases
    assert {each.kind for each in case.policies} == {"everybody", "fixed", "predicted", "clairvoyant"}
    assert case.calls > 1_000
    assert any(each.more_share is not None and each.less_wait_s is not None for each in case.policies)
    for each in case.policies:
        assert 0 < each.owner_share < 1
        assert each.mean_wait_s > 0


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_owner_waits_are_the_same_in_every_run(waits: owner_wait.Report, hash_seed: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "owner_wait", "--tiny", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True).stdout

    assert msgspec.json.decode(output, type=owner_wait.Report).cases == waits.cases


def test_owner_wait_table_and_figure_show_every_policy(waits: owner_wait.Report) -> None:
    console = Console(width=200)

    with console.capture() as capture:
        console.print(owner_wait.as_table(waits, waits.cases[0]))

    text = capture.get()
    assert waits.cases[0].digest in text
    for each in waits.cases[0].policies:
        assert each.policy in text
    assert owner_wait.frontier_figure(waits) == owner_wait.frontier_figure(waits)


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
