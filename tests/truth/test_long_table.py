"""The long table, made short: what it says when all is well, and when something is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from router.simulation.statistics import Interval
from tests.truth import long_table
from tests.truth.figures import Exact, Plan, abandoning
from tests.truth.long_table import Player, in_words, plan_of, run
from tests.truth.rows import ERLANG_B_ROWS, ROWS, Row, design_row, rows_named

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_table, "plan_of", lambda row, player, size: Plan(40, row.warm_up, 150))


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = run([ERLANG_B_ROWS[0], design_row(3)], size=0.1, processes=1)

    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [cell.strip() for cell in heading.strip("|").split("|")] == [
        "model", "figure", "exact", "engine", "second way", "Ciw", "inside",
    ]  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows] == ["erlang-b-4"] * 2 + ["design-3"] * len(design_row(3).exact)
    assert {row[-1] for row in rows} == {"yes"}
    assert all("±" in cell for row in rows[:2] for cell in row[3:6])
    assert {row[5] for row in rows[2:]} == {""}, "Ciw plays single queues only"
    assert any("otherwise than by the second way: 0" in line for line in lines)


def test_what_lies_outside_fails(capsys: pytest.CaptureFixture[str]) -> None:
    row = ERLANG_B_ROWS[0]._replace(exact=(Exact(abandoning, 0.3),))

    code = run([row], size=0.1, processes=1)

    output = capsys.readouterr().out
    assert code == 1
    assert "**NO**" in output
    assert "Outside: 3 of 3" in output
    assert "again: python -m tests.truth erlang-b-4 --size 0.1" in output


def test_a_second_way_that_differs_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Although every exact figure is inside."""
    replications = long_table.play_block(long_table.Block(ERLANG_B_ROWS[0], Player.ENGINE, Plan(40, 60, 150), 0, 40))
    (first, *others) = replications.replications
    played = {("erlang-b-4", Player.ENGINE): [first._replace(unlike=1), *others]}

    code = long_table.show([ERLANG_B_ROWS[0]], played, 1.0, 60.0)

    output = capsys.readouterr().out
    assert code == 1
    assert "**NO**" not in output
    assert "otherwise than by the second way: 1." in output


def test_blocks_are_the_replications_whoever_plays_them() -> None:
    row, plan = ERLANG_B_ROWS[0], Plan(40, 0, 50)

    def played(first: int, last: int) -> list[list[float]]:
        block = long_table.Block(row, Player.CIW, plan, first, last)
        return [each.ratios.ravel().tolist() for each in long_table.play_block(block).replications]

    assert played(0, 6) == played(0, 2) + played(2, 6)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_more_takes_more_replications(row: Row) -> None:
    assert plan_of(row, Player.ENGINE, 4.0).replications == 4 * plan_of(row, Player.ENGINE, 1.0).replications


@pytest.mark.parametrize(
    ("estimate", "half_width", "words"),
    [
        (0.123456, 0.0123, "0.123 ± 0.012"),
        (123.456, 12.3, "123 ± 12"),
        (1.0, 0.0, "1"),
        (26.58534, 0.1, "26.59 ± 0.10"),
    ],
)
def test_figures_have_two_digits_of_doubt(estimate: float, half_width: float, words: str) -> None:
    assert in_words(Interval(estimate, half_width, 0.99)) == words


def test_an_unknown_row_is_named() -> None:
    assert [row.name for row in rows_named(["n-design", "design-7"])] == ["n-design", "design-7"]

    asked = subprocess.run(
        [sys.executable, "-m", "tests.truth", "erlang-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert asked.returncode == 2
    assert "there is no row 'erlang-z'; there are erlang-b-4" in asked.stderr
