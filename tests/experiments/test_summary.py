"""What runs of a scenario show: by month and in all, beside each other, and what must not be."""

import io
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from router.core.decisions import Rule
from router.core.model import (
    Contract,
    MovePlan,
    MoveStep,
    OrganisationDescription,
    PortfolioId,
    ShareUnit,
    SiteId,
    SupplierId,
)
from router.experiments.charts import shares_chart
from router.experiments.summary import Summary, as_view, faults_of, summarise
from router.simulation.centre import Off, Run
from router.simulation.ledger import Breach, ContractCount, DayCount, PlanChange, PlanCount
from router.simulation.scenario import Scenario
from tests.core.builders import agent, organisation, portfolio, team

SCENARIO = Scenario(starts=date(2017, 5, 31), ends=date(2017, 6, 2), seed=7, calls=(), rosters=(), where="s.toml")


def description(unit: ShareUnit = ShareUnit.CALLS) -> OrganisationDescription:
    contract = Contract(
        contract_id="protocol",
        company="tel",
        supplier_id=SupplierId("bpo"),
        countries=("IT",),
        target_bp=8_000,
        unit=unit,
    )
    return organisation(
        teams=(team("a"),), portfolios=(portfolio("gold", "a"),), agents=(agent("a1", "a"),), contracts=(contract,)
    )


def day(when: date, *, wait_ms: int, inside: int, overrides: int = 0) -> DayCount:
    """Ten calls, of which eight are answered."""
    contract = ContractCount(
        contract_id="protocol",
        inside=inside,
        total=8,
        overrides=overrides,
        below=0,
        lowest=(inside, 8),
        stands=(inside, 8),
    )
    return DayCount(
        day=when, arrived=10, answered=8, answered_soon=6, wait_ms=wait_ms, abandoned=2, elsewhere=0, refused=0,
        called_back=0, missed=0, asked=2, met=2, met_ms=3_000, unmet=0, contracts=(contract,), plans=(),
    )  # fmt: skip


def run(off: Off | None = None, *, wait_ms: int = 8_000, inside: int = 7, overrides: int = 0) -> Run:
    return Run(
        off=off,
        days=(
            day(date(2017, 5, 31), wait_ms=wait_ms, inside=inside, overrides=overrides),
            day(date(2017, 6, 1), wait_ms=wait_ms, inside=inside),
        ),
        breaches=(),
        breach_count=0,
        plan_changes=(),
        overrides_in_books=overrides,
        records=100,
        rejected={},
        left=0,
        callers_digest="c",
        decisions_digest="d",
    )


def shown(summary: Summary) -> str:
    out = io.StringIO()
    Console(file=out, width=200, highlight=False).print(as_view(summary))
    return out.getvalue()


def test_months_and_all_stand_below_each_other() -> None:
    summary = summarise([run(overrides=1)], SCENARIO, description())

    (only,) = summary.runs
    assert [row.name for row in only.months] == ["2017-05", "2017-06"]
    assert (only.in_all.counts.arrived, only.in_all.wait_s, only.in_all.within_percent) == (20, 1.0, 75.0)
    assert only.in_all.abandoned_percent == 20.0
    assert only.in_all.inside_after_s == 1.5
    assert only.in_all.counts.contracts[0].overrides == 1
    assert summary.cost is None
    assert summary.faults == ()
    words = shown(summary)
    assert "87.500 %" in words
    assert "Shares, all rules" in words


def test_a_share_is_rounded_down() -> None:
    """79.9996 % must not look like 80 %."""
    almost = run()
    contract = msgspec.structs.replace(almost.days[0].contracts[0], inside=199_999, total=250_000)
    almost = msgspec.structs.replace(almost, days=(msgspec.structs.replace(almost.days[0], contracts=(contract,)),))

    assert "79.999 %" in shown(summarise([almost], SCENARIO, description()))


def test_what_the_rule_cost_is_the_difference_on_the_same_callers() -> None:
    summary = summarise([run(), run(Off.SHARE, wait_ms=2_000, inside=4)], SCENARIO, description())

    assert summary.cost is not None
    assert summary.cost.wait_s == 0.75
    assert "mean wait +0.75 s" in shown(summary)
    assert "Shares, without share" in shown(summary)


def test_no_data_is_no_share() -> None:
    empty = msgspec.structs.replace(
        run(),
        days=tuple(
            msgspec.structs.replace(
                each,
                arrived=0,
                answered=0,
                met=0,
                contracts=tuple(
                    msgspec.structs.replace(c, inside=0, total=0, lowest=None, stands=(0, 0)) for c in each.contracts
                ),
            )
            for each in run().days
        ),
    )

    summary = summarise([empty, empty], SCENARIO, description())

    assert summary.runs[0].in_all.wait_s is None
    assert summary.cost is None
    assert "no data" in shown(summary)


def test_a_broken_share_is_a_fault_where_the_rule_is_on() -> None:
    breach = Breach(at_ms=0, call_id="c1", contract_id="protocol", inside=3, total=4, overrides=0)
    broken = {"breaches": (breach,), "breach_count": 3}

    assert faults_of([msgspec.structs.replace(run(), **broken)]) == [
        "share broken: after call c1, 3 of 4 under contract protocol, with 0 overrides",
        "and 2 more",
    ]
    assert faults_of([msgspec.structs.replace(run(Off.SHARE), **broken)]) == []


def test_an_override_that_is_not_in_the_books_is_a_fault() -> None:
    assert faults_of([msgspec.structs.replace(run(overrides=2), overrides_in_books=1)]) == [
        "2 overrides were made, and 1 are in the books"
    ]


def test_a_share_of_time_is_told_not_to_be_checked() -> None:
    (_, note) = summarise([run()], SCENARIO, description(ShareUnit.AGENT_HOURS)).notes

    assert note == "the share of contract protocol is one of agent hours: here its calls are counted, and not checked"


def moving() -> tuple[Run, OrganisationDescription]:
    plan = MovePlan(
        move_plan_id="home",
        portfolios=(PortfolioId("gold"),),
        to_sites=(SiteId("lecce"),),
        deadline=date(2017, 6, 1),
        agents=20,
        steps=(
            MoveStep(step_id="all", valid_from=date(2017, 6, 1), shares={SiteId("lecce"): 10_000}, agents_moved=20),
        ),
    )
    before = PlanCount(move_plan_id="home", answered=8, moved=0, step_id=None, agents_moved=0)
    after = PlanCount(move_plan_id="home", answered=8, moved=8, step_id="all", agents_moved=20)
    days = zip(run().days, (before, after), strict=True)
    change = PlanChange(
        at_ms=0, day=date(2017, 6, 1), move_plan_id="home", rule=Rule.STEP_TAKEN, step_id="all", next_step_id=None,
        detail="gold: 8 calls of at least 5",
    )  # fmt: skip
    moved = msgspec.structs.replace(
        run(),
        days=tuple(msgspec.structs.replace(each, plans=(count,)) for each, count in days),
        plan_changes=(change,),
    )
    return moved, msgspec.structs.replace(description(), move_plans=(plan,))


def test_a_move_plan_is_shown_beside_the_shares() -> None:
    moved, organisation_of_it = moving()

    words = shown(summarise([moved], SCENARIO, organisation_of_it))

    assert "Move plans, all rules" in words
    assert "50.000 %" in words
    assert "2017-06-01 home, step taken: gold: 8 calls of at least 5" in words
    assert len(shares_chart([moved], organisation_of_it)) > len(shares_chart([run()], description()))


@pytest.mark.parametrize("runs", [[run()], [run(), run(Off.SHARE, inside=4)]], ids=["one", "two"])
def test_the_figure_is_an_svg_and_the_same_each_time(runs: list[Run], tmp_path: Path) -> None:
    figure = shares_chart(runs, description())

    assert figure == shares_chart(runs, description())
    assert ET.fromstring(figure).tag == "{http://www.w3.org/2000/svg}svg"
