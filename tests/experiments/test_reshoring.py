"""The summer of `config/reshoring` with a twentieth of its callers: the plan is done, and the share is kept.

Whole, it is `router simulate config/reshoring/summer.toml`, which takes minutes.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from router.core.decisions import Rule
from router.core.model import OrganisationDescription
from router.experiments.charts import shares_chart
from router.organisation_files import load_organisation
from router.simulation.centre import Run, play
from router.simulation.scenario import Scenario
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario

CONFIG = Path(__file__).parents[2] / "config" / "reshoring"
PART = 20


@pytest.fixture(scope="module")
def description() -> OrganisationDescription:
    return load_organisation(CONFIG / "organisation.toml", pseudonym=lambda number: number)


@pytest.fixture(scope="module")
def summer() -> Scenario:
    whole = read_scenario(CONFIG / "summer.toml")
    # So few people wait longer for each other: one more than a twentieth is there at every hour.
    rosters = (replace(each, by_hour=tuple(n and -(-n // PART) + 1 for n in each.by_hour)) for each in whole.rosters)
    calls = tuple(replace(each, a_day=(each.a_day or 0) / PART) for each in whole.calls)
    return replace(whole, calls=calls, rosters=tuple(rosters))


@pytest.fixture(scope="module")
def run(summer: Scenario, description: OrganisationDescription) -> Run:
    assert problems_of(summer, description) == []
    return play(summer, description)


def test_every_step_is_taken_in_its_order_on_its_day_or_later_and_the_last_by_the_deadline(
    run: Run, description: OrganisationDescription
) -> None:
    (plan,) = description.move_plans

    taken = [change for change in run.plan_changes if change.rule is Rule.STEP_TAKEN]

    assert [change.step_id for change in taken] == [step.step_id for step in plan.steps]
    assert all(step.valid_from <= change.day for step, change in zip(plan.steps, taken, strict=True))
    assert taken[-1].day <= plan.deadline
    assert {change.rule for change in run.plan_changes} <= {Rule.STEP_TAKEN, Rule.GATE_FAILED}


def test_the_share_ends_above_its_target_and_was_never_below(run: Run, description: OrganisationDescription) -> None:
    (target_bp,) = (each.goal_bp for each in description.contracts if each.contract_id == "protocol")

    days = [count for day in run.days for count in day.contracts if count.contract_id == "protocol"]

    inside, total = sum(count.inside for count in days), sum(count.total for count in days)
    assert inside * 10_000 > target_bp * total > 0
    assert (run.breach_count, run.left) == (0, 0)
    assert run.overrides == run.overrides_in_books


def test_the_figure_shows_the_plan_above_the_shares(run: Run, description: OrganisationDescription) -> None:
    figure = shares_chart([run], description).decode()

    for title in ("back-to-italy, by day", "protocol: answered in Italy", "mean wait of those answered, by week"):
        assert f"<!-- {title} -->" in figure
