"""The figures in `rows` are those that the reference prints, all of them; chains give them, where chains can."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.truth.chains import Next, erlang_a, two_teams
from tests.truth.figures import Figure, abandoning, in_time, occupancy, owner_team, wait_of_all, waiting
from tests.truth.rows import (
    ERLANG_A_ROWS,
    ERLANG_B_ROWS,
    ERLANG_C_ROWS,
    INVARIANCE_ROWS,
    N_DESIGN_ROW,
    OWNER_FIRST_ROWS,
    ROWS,
    SIX_TEAMS_ALONE,
    SIX_TEAMS_POOLED,
    TWO_TEAMS_ALONE,
    Row,
)

REFERENCE = Path(__file__).parents[3] / "shared" / "references" / "queueing.md"

Numbers = list[float]


@pytest.fixture(scope="module")
def reference() -> str:
    if not REFERENCE.exists():
        reason = f"the reference figures are not at {REFERENCE}"
        if os.environ.get("ROUTER_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return REFERENCE.read_text(encoding="utf-8")


def section(reference: str, title: str) -> str:
    (found,) = (part for part in reference.split("\n## ") if part.startswith(title))
    return found.partition("\n")[2]


def numbers(text: str) -> Numbers:
    return [float(number) for number in re.findall(r"\d*\.?\d+", text)]


def table_rows(text: str) -> Iterator[str]:
    """Those with figures."""
    return (line for line in text.splitlines() if re.match(r"\| *(\d|never)", line))


def exact(row: Row, figure: Figure, kind: int | None = None) -> float:
    (found,) = (each for each in row.exact if (each.figure, each.kind, each.relation) == (figure, kind, "="))
    return found.value


def row_named(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def test_erlang_b(reference: str) -> None:
    printed = [numbers(part) for part in section(reference, "Erlang-B").split("·")]

    ours = [[row.model.agents, row.model.kinds[0].load, exact(row, abandoning)] for row in ERLANG_B_ROWS]

    assert sorted(ours) == sorted(printed)


@pytest.mark.parametrize(("title", "rows"), [("Erlang-C", ERLANG_C_ROWS), ("Erlang-A", ERLANG_A_ROWS)])
def test_erlang_c_and_a(reference: str, title: str, rows: tuple[Row, ...]) -> None:
    printed = [numbers(line) for line in table_rows(section(reference, title))]

    def ours(row: Row) -> Numbers:
        (kind,) = row.model.kinds
        patience = [] if kind.patience_s is None else [kind.patience_s]
        return [kind.load, kind.service_s, row.model.agents, *patience, *(each.value for each in row.exact)]

    assert sorted(map(ours, rows)) == sorted(printed)


def test_n_design(reference: str) -> None:
    printed = numbers(section(reference, "Skills").partition("P_wait")[2].partition("(")[0])

    ours = [exact(N_DESIGN_ROW, figure, kind) for figure in (waiting, wait_of_all, owner_team) for kind in (0, 1)]

    assert ours == printed


def test_teams_with_owners_at_once(reference: str) -> None:
    text = section(reference, "Owner team first").partition("tau = 0, exact:")[2].partition("|")[0]
    *pooled, own_first, longer_first = numbers(text)
    row = INVARIANCE_ROWS[0]

    assert [exact(row, figure) for figure in (waiting, abandoning, wait_of_all, owner_team)] == [*pooled, own_first]
    assert longer_first == 0.83638393


def owner_first_lines(reference: str) -> Iterator[tuple[str, Numbers]]:
    """Name of the row, and what is printed of it: service level, lost, owner share."""
    text = section(reference, "Owner team first")
    for line in table_rows(text):
        after, figures = line.strip("| ").split(" ", maxsplit=1)
        yield f"two-teams-{after if after == 'never' else f'after-{after}'}", numbers(figures)
    (line,) = (line for line in text.splitlines() if line.startswith("Six teams"))
    for part in line.partition("):")[2].split("·"):
        after, figures = re.fullmatch(r"\s*(\d+|never):? (.*)", part).groups()  # type: ignore[union-attr]
        yield f"six-teams-{after if after == 'never' else f'after-{after}'}", numbers(figures)


def test_owner_team_first(reference: str) -> None:
    """Where we know better than by simulation, what is printed is within its own doubt."""
    printed = dict(owner_first_lines(reference))
    own_first = INVARIANCE_ROWS[0]
    ours = {
        row.name if row is not own_first else "two-teams-after-0": [
            exact(row, figure) for figure in (in_time, abandoning, owner_team)
        ]
        for row in (own_first, *OWNER_FIRST_ROWS)
    }

    assert ours.keys() == printed.keys()
    for name, figures in printed.items():
        assert ours[name] == pytest.approx(figures, abs=0.001), name
    assert sum(ours[name] == figures for name, figures in printed.items()) == 9


def test_order_decides_the_service_level(reference: str) -> None:
    (printed,) = re.findall(r"own-first gives (\.\d+).*\n?.*Erlang-A value (\.\d+)", reference)

    assert [exact(row, in_time) for row in INVARIANCE_ROWS[:2]] == [float(number) for number in printed]


# --- Chains ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ERLANG_A_ROWS, ids=str)
def test_chain_of_one_queue(row: Row) -> None:
    (kind,) = row.model.kinds
    assert kind.patience_s is not None

    found = erlang_a(kind.load, kind.service_s, row.model.agents, kind.patience_s)

    assert found.waiting == pytest.approx(exact(row, waiting), abs=1e-9)
    assert found.abandoning == pytest.approx(exact(row, abandoning), abs=1e-9)
    assert found.wait_s == pytest.approx(exact(row, wait_of_all), abs=1e-6)
    talking = kind.load * (1 - found.abandoning) / row.model.agents
    assert talking == pytest.approx(exact(row, occupancy), abs=1e-6)


def test_chain_of_teams_alone_and_of_all_together() -> None:
    assert erlang_a(8, 240, 10, 180).abandoning == pytest.approx(TWO_TEAMS_ALONE, abs=1e-9)
    assert erlang_a(3, 300, 4, 120).abandoning == pytest.approx(SIX_TEAMS_ALONE, abs=1e-9)
    assert erlang_a(18, 300, 24, 120).abandoning == pytest.approx(SIX_TEAMS_POOLED, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "owner_share"),
    [(Next.OWN, 0.85109565), (Next.EARLIER, 0.81820037), (Next.LONGER, 0.83638393)],
    ids=lambda value: str(value),
)
def test_chain_of_two_teams(rule: Next, owner_share: float) -> None:
    """Which call a freed agent takes decides the owner share, and nothing else. No team of ours goes by length."""
    found, by_owner = two_teams(rule, load=8, service_s=240, agents=10, patience_s=180)

    assert by_owner == pytest.approx(owner_share, abs=5e-9)
    (pooled,) = {tuple(each for each in row.exact[:3]) for row in INVARIANCE_ROWS}
    assert found == pytest.approx([each.value for each in pooled], abs=5e-9)


def test_rows_have_streams_and_names_of_their_own() -> None:
    assert len({row.number for row in ROWS}) == len({row.name for row in ROWS}) == len(ROWS)
