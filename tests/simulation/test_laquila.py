"""The week of L'Aquila that is simulated: its files, and that whoever reads the figures finds what is wrong."""

import runpy
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from router.core.model import OrganisationDescription
from router.core.organisation import Organisation
from router.experiments.findings import Cause, findings_of
from router.organisation_files import load_organisation
from router.simulation.centre import Run, play
from router.simulation.counts import Counts, Scope
from router.simulation.scenario import Scenario
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario

CONFIG = Path(__file__).parents[2] / "config" / "laquila"
AFTERNOON = range(15, 20)
GROUPS = [f"{number:02}" for number in range(1, 21)]


@pytest.fixture(scope="module")
def description() -> OrganisationDescription:
    return load_organisation(CONFIG / "organisation.toml", pseudonym=lambda number: number)


@pytest.fixture(scope="module")
def week() -> Scenario:
    return read_scenario(CONFIG / "week.toml")


@pytest.fixture(scope="module")
def run(week: Scenario, description: OrganisationDescription) -> Run:
    """Its Tuesday."""
    tuesday = week.starts + timedelta(days=1)
    return play(msgspec.structs.replace(week, starts=tuesday, ends=tuesday + timedelta(days=1)), description)


def test_the_files_are_written_again_to_the_byte() -> None:
    for name, text in runpy.run_path(str(CONFIG / "generate_week.py"))["files"]().items():
        assert (CONFIG / name).read_bytes() == text.encode(), f"run config/laquila/generate_week.py: {name}"


def test_the_week_can_be_played(week: Scenario, description: OrganisationDescription) -> None:
    assert problems_of(week, description) == []
    assert len(week.calls) == 62
    assert len({row.agent_id for row in week.shifts}) == 400


def test_callers_are_clients_whose_owners_are_asked_first(run: Run) -> None:
    total = run.counts.total

    # Whoever is to be called back, after a transfer even, and was not before the site closed, is left.
    over = total.answered + total.abandoned + total.elsewhere + total.called_back
    assert 0 <= total.arrived - over <= run.left < 10
    assert total.arrived > 8_000
    assert total.owned > 0.8 * total.answered
    assert total.on_shift_by_owner > 0.25 * total.on_shift
    assert 0.65 < total.busy_ms / total.staffed_ms < 0.85
    assert total.transferred > 0
    assert total.repeated > 0


def in_the_afternoon(hours: list[Counts]) -> Counts:
    total = Counts()
    for hour in AFTERNOON:
        total.add(hours[hour])
    return total


def test_the_group_with_vacant_posts_is_found_in_the_figures(run: Run) -> None:
    """Fewer of its people are there than of any other group, and its clients wait longest, in the afternoon."""
    counts = run.counts
    there = {group: in_the_afternoon(counts.teams_by_hour[f"aquila-{group}"]).signed_in_ms for group in GROUPS}
    waits: dict[str, float] = {}
    for group in GROUPS:
        of_group = Counts()
        for market in ("gold", "business", "premium"):
            of_group.add(in_the_afternoon(counts.by_hour[f"{market}-{group}"]))
        waits[group] = of_group.wait_all_ms / (of_group.answered + of_group.abandoned)

    assert min(there, key=there.__getitem__) == "13"
    assert max(waits, key=waits.__getitem__) == "13"
    assert counts.by_scope[Scope.PORTFOLIO]["gold-13"].arrived > 100


def test_the_findings_name_the_group_and_its_vacant_posts(run: Run, description: OrganisationDescription) -> None:
    """From one Tuesday: what the page of a week begins with."""
    findings = findings_of(Organisation(description), [run.counts])

    of_group = [each for each in findings.badly_served if each.team_id == "aquila-13"]
    assert {each.cause for each in of_group} >= {Cause.PEOPLE}
    assert any("more than they can do" in sentence for each in of_group for sentence in each.why)
    groups = [short for short in findings.short_teams if short.team_id.startswith("aquila")]
    assert groups[0].team_id == "aquila-13"
    assert groups[0].load > groups[0].staffed
    assert 12 <= groups[0].first_hour < groups[0].until_hour <= 21
