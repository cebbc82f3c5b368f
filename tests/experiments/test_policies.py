"""Policies as planners write them."""

from pathlib import Path

import pytest

from router.core.model import OwnerMode, Strategy
from router.experiments.policies import PolicyError, changed, parse_policy, read_fields_of
from router.simulation.inference import ReplayPolicy
from tests.experiments.counted import description


def test_a_policy_has_a_name_and_changes() -> None:
    text = parse_policy("wait 20: owner_wait_s=20, owner_mode = strict")

    assert (text.name, text.config) == ("wait 20", None)
    assert text.changes == {"owner_wait_s": "20", "owner_mode": "strict"}


def test_or_an_organisation_of_its_own() -> None:
    text = parse_policy("merged: config=plans/merged, own_first=true")

    assert (text.config, text.changes) == (Path("plans/merged"), {"own_first": "true"})


def test_fields_are_changed_in_all_portfolios_and_teams() -> None:
    before = description()

    after = changed(
        before, parse_policy("new: owner_wait_s=25, own_first=true, strategy=most_skilled, max_wait_s=none")
    )

    assert {each.owner_wait_s for each in after.portfolios} == {25}
    assert {each.max_wait_s for each in after.portfolios} == {None}
    assert {(each.own_first, each.strategy) for each in after.teams} == {(True, Strategy.MOST_SKILLED)}
    assert after.agents == before.agents
    assert {each.owner_wait_s for each in before.portfolios} == {0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("owner_wait_s=20", "write NAME: FIELD=VALUE"),
        (": owner_wait_s=20", "write NAME: FIELD=VALUE"),
        ("new: owner_wait_s", "'owner_wait_s' is no FIELD=VALUE"),
        ("new:", "'' is no FIELD=VALUE"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse_policy(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("new: owner_waits=20", "no field 'owner_waits': did you mean owner_wait"),
        ("new: owner_wait_s=long", "policy 'new', owner_wait_s=long: expected `int`"),
        (
            "new: strategy=fastest",
            "invalid enum value 'fastest'; there are longest_idle, least_occ",
        ),
        ("new: portfolio_id=x", "no field 'portfolio_id'"),
    ],
)
def test_fields_and_values_that_are_not_there(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        changed(description(), parse_policy(text))


def test_a_replay_has_fields_of_its_own() -> None:
    text = parse_policy("strict: owner_wait_s=20, owner_mode=strict, own_first=false")

    fields = read_fields_of(ReplayPolicy, text)

    assert fields == {"owner_wait_s": 20, "owner_mode": OwnerMode.STRICT, "own_first": False}
    with pytest.raises(PolicyError, match="there are owners, owner_mode"):
        read_fields_of(ReplayPolicy, parse_policy("x: strategy=longest_idle"))
    with pytest.raises(PolicyError, match="config is for scenarios"):
        read_fields_of(ReplayPolicy, parse_policy("x: config=here"))
