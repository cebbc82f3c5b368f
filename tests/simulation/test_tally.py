"""What a run counts: it adds up, it is what the ledger has, and agents' time is that of the router."""

from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from router.core.model import OrganisationDescription
from router.organisation_files import load_organisation
from router.simulation.centre import Run, play
from router.simulation.counts import Counts, RunCounts, Scope, sum_of
from router.simulation.ledger import total_of
from router.simulation.scenario import Scenario
from router.simulation.scenario_files import read_scenario

CONFIG = Path(__file__).parents[2] / "config" / "protocol"
CALLS = (
    "arrived", "answered", "answered_soon", "abandoned", "abandoned_soon", "abandoned_short", "elsewhere", "wait_ms",
    "wait_all_ms", "offered", "missed", "talk_ms", "inside", "by_own_team",
)  # fmt: skip


@pytest.fixture(scope="module")
def description() -> OrganisationDescription:
    return load_organisation(CONFIG / "organisation.toml", pseudonym=lambda number: number)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    weeks = read_scenario(CONFIG / "weeks.toml")
    return msgspec.structs.replace(weeks, ends=weeks.starts + timedelta(days=4))


@pytest.fixture(scope="module")
def run(scenario: Scenario, description: OrganisationDescription) -> Run:
    return play(scenario, description)


def picked(counts: Counts, *names: str) -> list[int]:
    return [getattr(counts, name) for name in names or CALLS]


def added(rows: list[Counts], *names: str) -> list[int]:
    total = Counts()
    for row in rows:
        total.add(row)
    return picked(total, *names)


def rows(counts: RunCounts, scope: Scope) -> list[Counts]:
    return list(counts.by_scope[scope].values())


def test_portfolios_and_hours_add_up_to_all(run: Run) -> None:
    counts = run.counts

    assert added(rows(counts, Scope.PORTFOLIO)) == picked(counts.total)
    assert added(counts.by_hour["all"]) == picked(counts.total)
    for portfolio_id in ("residential", "business"):
        of_portfolio = counts.by_scope[Scope.PORTFOLIO][portfolio_id]
        assert added(counts.by_hour[portfolio_id], "busy_ms", *CALLS) == picked(of_portfolio, "busy_ms", *CALLS)
        assert sum(counts.waits[portfolio_id]) == of_portfolio.answered
    assert sum(counts.waits["all"]) == counts.total.answered


def test_teams_and_sites_have_every_answer_and_all_of_the_agents_time(run: Run) -> None:
    names = (
        "answered", "wait_ms", "offered", "missed", "talk_ms", "inside", "busy_ms", "staffed_ms", "signed_in_ms",
    )  # fmt: skip
    counts = run.counts

    for scope in (Scope.TEAM, Scope.SITE):
        assert added(rows(counts, scope), *names) == picked(counts.total, *names)
    for team_id, hours in counts.teams_by_hour.items():
        assert added(hours, *names) == picked(counts.by_scope[Scope.TEAM][team_id], *names)
    states = {status: sum(hours) for status, hours in counts.states_ms.items()}
    assert sum(states.values()) == counts.total.signed_in_ms
    assert states["in_call"] + states["wrap_up"] == counts.total.busy_ms
    assert 0 < counts.total.busy_ms < counts.total.staffed_ms <= counts.total.signed_in_ms


def test_the_counts_are_those_of_the_ledger(run: Run) -> None:
    days = total_of(run.days)
    total = run.counts.total

    assert run.counts.days == 4
    for name in ("arrived", "answered", "answered_soon", "wait_ms", "abandoned", "elsewhere", "missed"):
        assert getattr(total, name) == getattr(days, name)
    for contract in days.contracts:
        row = run.counts.by_scope[Scope.CONTRACT][contract.contract_id]
        assert (row.answered, row.inside, row.overrides) == (contract.total, contract.inside, contract.overrides)
    assert total.arrived == total.answered + total.abandoned + total.elsewhere


def test_agents_are_busy_with_the_calls_that_were_answered(run: Run) -> None:
    """Talk and wrap-up by the clock are those of the calls, but for what is under way at the end."""
    by_calls = added(rows(run.counts, Scope.PORTFOLIO), "busy_ms")[0]

    assert run.counts.total.busy_ms == pytest.approx(by_calls, rel=0.002)
    assert by_calls > run.counts.total.talk_ms


def test_as_many_are_signed_in_as_the_roster_says(run: Run, scenario: Scenario) -> None:
    """But for those whose last call kept them a little longer."""
    thursday = date(2017, 5, 4)
    days = [thursday + timedelta(days=number) for number in range(4)]
    weekdays = [each.weekday() for each in days]
    names = list(type(scenario.rosters[0].days[0]))
    hours = sum(
        sum(roster.by_hour) for roster in scenario.rosters for weekday in weekdays if names[weekday] in roster.days
    )

    assert run.counts.total.signed_in_ms == pytest.approx(hours * 3_600_000, rel=0.01)
    assert run.counts.total.signed_in_ms >= hours * 3_600_000


def test_days_of_warm_up_are_played_and_not_counted(
    run: Run, scenario: Scenario, description: OrganisationDescription
) -> None:
    later = play(msgspec.structs.replace(scenario, warm_up_days=1), description)

    assert later.decisions_digest == run.decisions_digest
    assert later.counts.days == 3
    assert later.counts.total.arrived == total_of(run.days[1:]).arrived
    assert later.counts.total.signed_in_ms < run.counts.total.signed_in_ms


def test_replications_add_up(run: Run, scenario: Scenario, description: OrganisationDescription) -> None:
    other = play(scenario, description, replication=1)

    both = sum_of([run.counts, other.counts])

    assert other.callers_digest != run.callers_digest
    assert both.days == 8
    assert both.total.arrived == run.counts.total.arrived + other.counts.total.arrived
    assert added(both.teams_by_hour["roma"], "answered") == [
        run.counts.by_scope[Scope.TEAM]["roma"].answered + other.counts.by_scope[Scope.TEAM]["roma"].answered
    ]


def test_late_calls_are_those_of_variant_c_each_with_a_reason(run: Run) -> None:
    counts = run.counts

    for name, of in {"all": counts.total, **counts.by_scope[Scope.PORTFOLIO]}.items():
        assert sum(counts.late[name].values()) == of.answered + of.abandoned - of.answered_soon
    assert "all_busy" in counts.late["all"]


def test_days_on_which_anybody_called_are_counted_hour_by_hour(run: Run) -> None:
    """From Thursday to Sunday, while some portfolio is open: from eight to twenty-two."""
    assert run.counts.open_days == [4 if 8 <= hour < 22 else 0 for hour in range(24)]
