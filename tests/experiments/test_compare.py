"""``router compare`` and ``router replay --against`` as their users meet them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiments.conftest import Done
from tests.experiments.test_simulate import CONFIG, day

__all__ = ["day"]

Main = Callable[..., Done]
LOGS = CONFIG.parent / "logs"


def variant(day: Path, name: str, *changes: tuple[str, str]) -> Path:
    text = day.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = day.with_name(name)
    file.write_text(text, encoding="utf-8")
    return file


def test_the_same_callers_under_two_policies(main: Main, day: Path, tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.csv", tmp_path / "page.html"

    done = main(
        "compare", day, "--policy", "no wrap-up: wrap_up_s=0", "--policy", "slow: wrap_up_s=600",
        "--replications", "2", "--processes", "1",
        "--csv", rows, "--report", page, "--json",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert [policy["name"] for policy in document["policies"]] == ["day", "no wrap-up", "slow"]
    assert (document["baseline"], document["replications"]) == ("day", 2)
    slow = {(f["scope"], f["key"]): f for f in document["policies"][2]["figures"] if f["id"] == "all"}
    assert slow["all", "service_level"]["difference"]["value"] < 0
    assert not any("not the same callers" in note for note in document["notes"])
    with rows.open(encoding="utf-8") as file:
        assert {row["policy"] for row in csv.DictReader(file)} == {"day", "no wrap-up", "slow"}
    assert "<b>slow</b> against day:" in page.read_text(encoding="utf-8")


def test_what_is_wrong_with_any_of_them_is_said_at_once(main: Main, day: Path) -> None:
    less = variant(day, "less.toml", ("a_day = 255", "a_day = -255"))
    nobody = variant(day, "nobody.toml", ('portfolio_id = "business"', 'portfolio_id = "nobody"'))

    done = main("compare", less, nobody, "--replications", "2")

    assert done.returncode == 1
    assert "less.toml, calls entry 1" in done.stderr
    assert "nobody.toml, calls entry 2" in done.stderr
    assert done.stdout == ""


def test_scenarios_with_other_callers_are_compared_with_a_warning(main: Main, day: Path) -> None:
    busy = variant(day, "busy.toml", ("a_day = 255", "a_day = 510"))

    done = main("compare", day, busy, "--replications", "2", "--processes", "1", "--baseline", "busy")

    assert (done.returncode, done.stderr) == (0, "")
    assert "not the same callers as under busy: day." in " ".join(done.stdout.split())
    assert "differences from busy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "there is only one policy"),
        (
            ["--policy", "x: wrap_up_s=1", "--baseline", "y"],
            2,
            "--baseline y: there is no such policy; there are day, x",
        ),
        (["--policy", "day: wrap_up_s=1"], 2, "there are two policies of the name 'day'"),
        (["--policy", "x"], 1, "write NAME: FIELD=VALUE"),
        (["--policy", "x: config=nowhere"], 1, "nowhere"),
        (["--policy", "x: wrap_up_s=soon"], 1, "policy 'x', wrap_up_s=soon: expected `int`"),
        (["--policy", "x: wrap_up_s=-1"], 1, "wrap_up_s=-1"),
        (["--policy", "x: owner_wait=predicted, owner_wait_s=0"], 1, "policy 'x', organisation.toml"),
        (["--replications", "1"], 2, "--replications"),
        (["--policy", "x: wrap_up_s=1", "--csv", "nowhere/rows.csv"], 1, "cannot write nowhere/rows.csv"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    main: Main, day: Path, arguments: list[str], status: int, words: str
) -> None:
    done = main("compare", day, *arguments)

    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_policies_are_for_one_scenario(main: Main, day: Path) -> None:
    done = main("compare", day, variant(day, "other.toml"), "--policy", "x: wrap_up_s=1")

    assert done.returncode == 2
    assert "--policy is for one scenario" in done.stderr


def test_files_of_one_name_are_told_apart_by_their_directories(main: Main, day: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "day.toml"
    other.write_text(day.read_text(encoding="utf-8"), encoding="utf-8")

    done = main("compare", day, other, "--replications", "2", "--processes", "1", "--json")

    names = [policy["name"] for policy in json.loads(done.stdout)["policies"]]
    assert names == [str(day.with_suffix("")), str(other.with_suffix(""))]


def test_a_recorded_day_under_todays_policy_and_another(main: Main, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    done = main(
        "replay",
        LOGS / "example.csv",
        "--against",
        "strict: owner_mode=strict, owner_wait_s=60",
        "--report",
        page,
        "--json",
    )

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert {"log", "replayed", "decisions", "digest", "inferred", "rows"} <= document.keys()
    assert [policy["name"] for policy in document["policies"]] == ["today", "strict"]
    assert document["unit"] == "days"
    assert "under today&#39;s policy" in page.read_text(encoding="utf-8")


def test_a_page_of_a_replay_needs_something_to_compare_with(main: Main, tmp_path: Path) -> None:
    done = main("replay", LOGS / "example.csv", "--report", tmp_path / "page.html")

    assert done.returncode == 2
    assert "--csv and --report are of a comparison" in done.stderr
