"""Runs in several processes are those that one would have made."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from router.core import RouterError
from router.experiments.commands import policy_of
from router.experiments.policies import changed, parse_policy
from router.experiments.runs import Policy, Runs, Task, processors

WEEKS = Path(__file__).parents[2] / "config" / "protocol" / "weeks.toml"


@pytest.fixture(scope="module")
def day() -> Policy:
    policy = policy_of(WEEKS, quiet=True)
    scenario = msgspec.structs.replace(policy.scenario, ends=policy.scenario.starts + timedelta(days=1))
    return msgspec.structs.replace(policy, scenario=scenario)


def test_processes_change_nothing_but_the_time(day: Policy) -> None:
    tasks = [Task(replication=number) for number in range(3)]
    days = []

    with Runs([day], processes=1) as alone:
        here = alone.play(tasks)
    with Runs([day], processes=2) as pool:
        there = pool.play(tasks, on_day=lambda: days.append(1))
        again = pool.play(tasks[1:])

    assert there == here
    assert again == here[1:]
    assert len(days) == 3
    assert len({run.callers_digest for run in here}) == 3


def test_policies_meet_the_same_callers(day: Policy) -> None:
    other = msgspec.structs.replace(day, description=changed(day.description, parse_policy("x: own_first=true")))

    with Runs([day, other], processes=2) as pool:
        first, second = pool.play([Task(policy=0), Task(policy=1)])

    assert first.callers_digest == second.callers_digest
    assert first.decisions_digest != second.decisions_digest


def test_what_goes_wrong_there_is_told_here(day: Policy, tmp_path: Path) -> None:
    there_already = tmp_path / "journal.db"
    there_already.touch()

    with Runs([day], processes=2) as pool, pytest.raises(RouterError, match="exists already"):
        pool.play([Task(), Task(journal=there_already)])


def test_there_is_a_processor() -> None:
    assert processors() >= 1
