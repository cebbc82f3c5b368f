"""The exact law of skill designs, against the reference, Erlang's formula and chains written out state by state."""

import pytest

from router.simulation.product_form import ProductForm, SkillDesign, product_form
from tests.truth.chains import skills_chain
from tests.truth.rows import ERLANG_C_ROWS, N_DESIGN, Row, random_design


def test_n_design_is_that_of_the_reference() -> None:
    law = product_form(N_DESIGN)

    assert [f"{each:.8f}" for each in law.waiting] == ["0.29795316", "0.56479857"]
    assert [f"{each:.6f}" for each in law.wait_s] == ["39.727087", "114.204023"]
    assert [f"{each:.8f}" for each in (law.shares[0][0], law.shares[1][1])] == ["0.70439193", "1.00000000"]


@pytest.mark.parametrize("row", ERLANG_C_ROWS, ids=str)
def test_one_team_for_one_kind_is_erlang_c(row: Row) -> None:
    (kind,) = row.model.kinds
    waiting, wait_of_all, _ = row.exact

    law = product_form(SkillDesign((kind.rate,), (row.model.agents,), (1 / kind.service_s,), (frozenset({0}),)))

    assert law.waiting[0] == pytest.approx(waiting.value, abs=1e-9)
    assert law.wait_s[0] == pytest.approx(wait_of_all.value, abs=1e-6)


def test_a_team_is_as_good_as_its_agents() -> None:
    """Alike in two teams or in one, and whatever the number of the team."""
    teams = SkillDesign((0.4, 0.3), (2, 1), (0.5, 0.5), (frozenset({0, 1}), frozenset({1})))
    alone = SkillDesign((0.4, 0.3), (1, 1, 1), (0.5, 0.5, 0.5), (frozenset({0, 1}), frozenset({1}), frozenset({0, 1})))

    one, other = product_form(teams), product_form(alone)

    assert other.waiting == pytest.approx(one.waiting)
    assert other.wait_s == pytest.approx(one.wait_s)
    for kind in (0, 1):
        assert other.shares[kind][0] + other.shares[kind][2] == pytest.approx(one.shares[kind][0])


RING = (frozenset({0, 1}), frozenset({1, 2}), frozenset({0, 2}))
CHAINS = {
    "N": (SkillDesign((0.2, 0.1), (1, 1), (1.0, 0.7), (frozenset({0}), frozenset({0, 1}))), 9),
    "two alike": (SkillDesign((0.2, 0.1, 0.15), (1, 2), (1.0, 0.7), (frozenset({0, 2}), frozenset({0, 1}))), 6),
    "W": (SkillDesign((0.1, 0.1), (1, 1, 1), (1.0, 0.7, 0.5), (frozenset({0}), frozenset({0, 1}), frozenset({1}))), 8),
    "M": (SkillDesign((0.1, 0.2, 0.1), (1, 1), (0.8, 1.3), (frozenset({0, 1}), frozenset({1, 2}))), 6),
    "ring": (SkillDesign((0.1, 0.1, 0.1), (1, 1, 1), (0.9, 0.6, 0.7), RING), 6),
}  # fmt: skip
"""Designs with agents of several speeds, and how long their queues hardly ever get."""


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_every_agent_and_call_has_the_same_law(name: str) -> None:
    design, queue_max = CHAINS[name]

    law, chain = product_form(design), skills_chain(design, queue_max=queue_max)

    # What is cut off is of the order of load^queue_max.
    assert law.waiting == pytest.approx(chain.waiting, rel=2e-4)
    assert law.wait_s == pytest.approx(chain.wait_s, rel=2e-3)
    for of_law, of_chain in zip(law.shares, chain.shares, strict=True):
        assert of_law == pytest.approx(of_chain, abs=2e-5)


@pytest.mark.parametrize("seed", range(40))
def test_random_designs_are_stable_and_nobody_is_lost(seed: int) -> None:
    design = random_design(seed)

    law = product_form(design)

    for kind, shares in enumerate(law.shares):
        assert sum(shares) == pytest.approx(1, abs=1e-12)
        assert all((share > 0) == (kind in takes) for share, takes in zip(shares, design.takes, strict=True))
    assert all(0 < each < 1 for each in law.waiting)
    assert busiest_share(design, law) > 0.39


def busiest_share(design: SkillDesign, law: ProductForm) -> float:
    """How busy the busiest team is, by what it answers."""
    return max(
        sum(rate * shares[team] for rate, shares in zip(design.arrival_rates, law.shares, strict=True))
        / (design.team_sizes[team] * design.service_rates[team])
        for team in range(len(design.team_sizes))
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"arrival_rates": (2.7 / 240, 3.1 / 240)},
            r"kinds \[1\] bring 0.0129167 calls a second and those who take them",
        ),
        ({"arrival_rates": (5 / 240, 1.5 / 240)}, r"kinds \[0, 1\] bring"),
        ({"arrival_rates": (0.01, 0.0)}, "more than 0"),
        ({"service_rates": (0.01,)}, "every team"),
        ({"team_sizes": (3, 0)}, "at least one agent"),
        ({"takes": (frozenset({0}), frozenset())}, "one of the kinds 0 to 1"),
        ({"takes": (frozenset({0}), frozenset({2}))}, "one of the kinds 0 to 1"),
        ({"takes": (frozenset({0}), frozenset({0}))}, r"kinds \[1\] bring .* end 0"),
    ],
)
def test_what_has_no_law_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        product_form(N_DESIGN._replace(**changes))  # type: ignore[arg-type]
