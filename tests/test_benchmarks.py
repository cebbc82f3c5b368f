"""The benchmarks run, and what they run is deterministic. Their figures are not looked at: a test machine is busy."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks import owner_wait, quality, recovery
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
