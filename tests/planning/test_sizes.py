"""How large portfolios are, and who has too much or too little."""

from datetime import date, timedelta
from typing import Any

import pytest

from router.core.model import AgentId, ClientId
from router.core.organisation import Organisation
from router.planning.sizes import Sizes, Verdict, Workload, available_s_a_month, sizes_on, too_many_backups
from tests.core.builders import agent, client, organisation, owned_by, portfolio, team

TODAY = date(2040, 3, 1)


def built() -> Organisation:
    """A1 owns 100 minutes, A2 69 and A3, whose contract ended yesterday, 5; nobody of team b owns anybody."""
    return Organisation(
        organisation(
            [team("a", handling_s=240), team("b")],
            [portfolio("gold", "a"), portfolio("silver", "a"), portfolio("front", "b")],
            [
                agent("A1", "a"),
                agent("A2", "a"),
                agent("A3", "a", contract_until=TODAY - timedelta(days=1)),
                agent("A4", "a", contract_until=TODAY - timedelta(days=1)),
                agent("B1", "b"),
            ],
            [
                client("C1", "gold", ownerships=owned_by("A1"), minutes_a_month=60),
                client("C2", "silver", ownerships=owned_by("A1"), minutes_a_month=40),
                client("C3", "gold", ownerships=owned_by("A2", "A1", "A3"), minutes_a_month=69),
                client("C4", "gold", ownerships=owned_by("A3"), minutes_a_month=5),
                client("C5", "silver", ownerships=owned_by("A2", valid_until=TODAY), minutes_a_month=7),
                client("C6", None),
                client("C7", "front", ownerships=owned_by(None, "A1"), minutes_a_month=0),
            ],
        )
    )


def sizes(**options: Any) -> Sizes:
    organisation = built()
    fields: dict[str, Any] = {"available_s": 80 * 60, "tolerance_percent": 20, **options}
    day = fields.pop("day", TODAY)
    return sizes_on(organisation, Workload(organisation, calls_a_month=1.5), day, **fields)


def verdicts(found: Sizes) -> dict[str, Verdict | None]:
    return {each.agent_id: each.verdict for each in found.agents}


def test_sizes_of_agents_teams_and_portfolios() -> None:
    found = sizes()

    assert [(each.agent_id, each.clients, each.expected_s // 60) for each in found.agents] == [
        ("A1", 2, 100), ("A2", 1, 69), ("A3", 1, 5), ("A4", 0, 0), ("B1", 0, 0),
    ]  # fmt: skip
    assert [(each.team_id, each.agents, each.owners, each.expected_s // 60) for each in found.teams] == [
        ("a", 4, 3, 174),
        ("b", 1, 0, 0),
    ]
    assert found.teams[0].available_s == 4 * 80 * 60
    # C6 has no portfolio of its own, and one and a half calls of 4 minutes.
    assert [(e.portfolio_id, e.owners, e.clients, e.without_owner, e.expected_s // 60) for e in found.portfolios] == [
        ("front", 0, 1, 1, 0),
        ("gold", 3, 4, 1, 140),
        ("silver", 1, 2, 1, 47),
    ]


def test_clients_without_owner_are_named_and_those_without_minutes_counted() -> None:
    found = sizes()

    assert found.without_owner == ("C5", "C6", "C7")
    assert found.assumed == 1
    assert sizes(day=TODAY - timedelta(days=1)).without_owner == ("C6", "C7")


def test_who_has_too_much_or_too_little() -> None:
    """100 of 80 minutes are 125 %, 69 are 86 %; a contract that is over leaves clients to hand over, or nothing."""
    assert verdicts(sizes()) == {
        "A1": Verdict.TOO_MUCH, "A2": Verdict.RIGHT, "A3": Verdict.CONTRACT_OVER, "A4": None, "B1": None,
    }  # fmt: skip
    assert verdicts(sizes(day=TODAY - timedelta(days=1)))["A4"] is Verdict.TOO_LITTLE


@pytest.mark.parametrize(
    ("available_minutes", "tolerance", "verdict"),
    [
        (100, 0, Verdict.RIGHT),
        (80, 25, Verdict.RIGHT),
        (80, 24, Verdict.TOO_MUCH),
        (125, 20, Verdict.RIGHT),
        (125, 19, Verdict.TOO_LITTLE),
    ],
)
def test_the_bounds_are_right_themselves(available_minutes: int, tolerance: int, verdict: Verdict) -> None:
    assert verdicts(sizes(available_s=60 * available_minutes, tolerance_percent=tolerance))["A1"] is verdict


def test_without_anything_to_compare_with_nobody_is_judged() -> None:
    found = sizes(available_s=None)

    assert set(verdicts(found).values()) == {None, Verdict.CONTRACT_OVER}
    assert {each.available_s for each in found.teams} == {None}


def test_what_an_agent_can_do_in_a_month() -> None:
    """87 h 15 min of 1,396 h a year at 75 %."""
    assert available_s_a_month(net_hours_a_year=1_396, occupancy_percent=75) == 87 * 3_600 + 15 * 60


def test_many_backups_are_warned_of_once() -> None:
    description = built().description

    assert list(too_many_backups(description, 2)) == []
    (warning,) = too_many_backups(description, 1)
    assert "1 clients have more than 1 backups" in warning
    assert "C3" in warning


def test_an_owner_may_own_at_another_time() -> None:
    found = sizes(day=TODAY - timedelta(days=1))

    assert next(each for each in found.agents if each.agent_id == AgentId("A2")).clients == 2
    assert ClientId("C5") not in found.without_owner
