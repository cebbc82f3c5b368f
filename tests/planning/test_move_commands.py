"""``router plan`` against a router that runs, and against its journal."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import CONFIG, SMALL, Running, environment, main

__all__ = ["environment", "main"]

RESHORING = CONFIG / "reshoring"


def test_operators_see_hold_advance_and_roll_back_a_plan(
    environment: dict[str, str], tmp_path: Path, main: Any
) -> None:
    """All days of the example have passed, so its first step waits for its gate alone."""

    def plan(verb: str, *options: object) -> Any:
        return main("plan", verb, RESHORING, *options)

    with Running(environment, tmp_path, RESHORING) as running:
        first = plan("status", "--json")
        early = plan("advance", "--by", "ana")
        held = plan("hold", "--by", "ana")
        again = plan("hold", "--by", "bo")
        released = plan("advance", "--by", "bo", "--json")
        taken = plan("advance", "--override", "--by", "ana")
        shown = plan("status")
        back = plan("rollback", "--by", "ana", "--json")
        unknown = plan("hold", "--plan", "other", "--by", "ana")
        running.stop()
    left = plan("status", "--json")

    (summary,) = first.document
    assert (summary["agents_moved"], summary["agents"], summary["next_step_id"]) == (0, 220, "pilot")
    assert (early.status, "gate_failed" in early.error, "500 are needed" in early.error) == (1, True, True)
    assert (held.status, held.out) == (0, "plan back-to-italy stands still before step pilot\n")
    assert (again.status, "held by ana already" in again.error) == (1, True)
    assert [(each["rule"], each["by"]) for each in released.document] == [
        ("plan_released", "bo"),
        ("gate_failed", None),
    ]
    assert (taken.status, taken.out.startswith("plan back-to-italy step pilot is in force: residential: 0")) == (
        0,
        True,
    )
    for words in (
        "step pilot is in force; step lecce-opens is due and waits for its gate",
        "agents moved    15 of 220",
        "0 calls answered in this step, 500 are needed",
        "+0.90",
        "gate override  pilot",
    ):
        assert words in shown.out
    assert [(each["rule"], each["step_id"]) for each in back.document] == [("step_rolled_back", None)]
    assert (unknown.status, "no move plan 'other'" in unknown.error) == (1, True)
    assert "asking the journal" in left.error
    (summary,) = left.document
    assert (summary["step_id"], summary["held_by"]) == (None, "ana")
    assert [change["by"] for change in summary["changes"]][-1] == "ana"


def test_without_plans_or_a_router_the_commands_say_what_to_do(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.planning.move_commands._CONNECT_TIMEOUT_S", 0.3)
    none = main("plan", "hold", SMALL, "--by", "ana")
    nobody = main("plan", "status", RESHORING)
    nameless = main("plan", "hold", RESHORING, "--by", "Ana Bo")
    alone = main("plan", "advance", RESHORING, "--by", "ana")

    assert (none.status, "name them as [[move_plans]]" in none.error) == (1, True)
    assert (nobody.status, "no router is running, and there is no journal" in nobody.error) == (1, True)
    assert (nameless.status, "say who you are with --by" in nameless.error) == (2, True)
    (told,) = alone.error.splitlines()
    assert (alone.status, told.startswith("error: no connection within")) == (1, True)
    assert f"start a router (router run {RESHORING})" in told


@pytest.mark.parametrize("name", ["agents.csv", "summer.toml"])
def test_the_script_writes_the_files_of_the_reshoring_again(name: str, tmp_path: Path) -> None:
    written = runpy.run_path(str(RESHORING / "generate.py"))

    assert (RESHORING / name).read_text() == written[name.partition(".")[0]](), "run config/reshoring/generate.py"


def test_the_example_is_free_of_problems(main: Any) -> None:
    done = main("check", RESHORING, "--json")

    assert json.loads(done.out) == {
        "problems": [], "warnings": [], "sites": 3, "teams": 6, "agents": 440, "portfolios": 3, "clients": 0,
        "skills": 0,
    }  # fmt: skip
