"""The counts of a simulated time, and the share of a contract looked at after each answer."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core.decisions import ReportPlan, Rule
from router.core.model import (
    Contract,
    MovePlan,
    MoveStep,
    OrganisationDescription,
    PortfolioId,
    SharePeriod,
    ShareUnit,
    SiteId,
    SupplierId,
)
from router.simulation import ledger as module
from router.simulation.ledger import DayCount, Ledger, PlanCount, total_of
from tests.core.builders import agent, organisation, portfolio, team

ROME = ZoneInfo("Europe/Rome")
DAY = date(2017, 5, 31)
GOLD = PortfolioId("gold")
BPO = SupplierId("bpo")


def at_ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=ROME).timestamp() * 1000)  # type: ignore[arg-type, misc]


NOON_MS = at_ms(2017, 5, 31, 12)


def description(**given: Any) -> OrganisationDescription:
    plain = Contract(contract_id="c", company="tel", supplier_id=BPO, countries=("IT",), target_bp=8_000)
    return organisation(
        teams=(team("a"),),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "a")),
        agents=(agent("a1", "a"),),
        company="tel",
        contracts=(msgspec.structs.replace(plain, **given),),
    )


def answer(ledger: Ledger, country: str, times: int = 1, *, is_override: bool = False, now_ms: int = NOON_MS) -> None:
    for _ in range(times):
        ledger.answered("c1", GOLD, BPO, SiteId("laquila"), country, is_override=is_override, now_ms=now_ms)


def of_day(ledger: Ledger, day: date = DAY) -> Any:
    (contract,) = ledger.close_day(day).contracts
    return contract


def test_exactly_the_target_is_kept_and_a_call_less_is_broken() -> None:
    ledger = Ledger(description())
    answer(ledger, "IT", 4)
    answer(ledger, "AL")
    assert ledger.breach_count == 0

    answer(ledger, "AL")

    assert ledger.breach_count == 1
    (breach,) = ledger.breaches
    assert (breach.inside, breach.total, breach.overrides) == (4, 6, 0)


def test_the_first_call_abroad_breaks_the_share() -> None:
    ledger = Ledger(description())

    answer(ledger, "AL")

    assert ledger.breach_count == 1


def test_an_override_may_go_below_and_is_counted_but_covers_no_other_call() -> None:
    ledger = Ledger(description())
    answer(ledger, "IT", 4)
    answer(ledger, "AL")

    answer(ledger, "AL", is_override=True)
    # On the way up again it stands below, and is not broken.
    answer(ledger, "IT")
    assert ledger.breach_count == 0
    answer(ledger, "AL")
    assert ledger.breach_count == 1

    counts = of_day(ledger)
    assert (counts.inside, counts.total, counts.overrides, counts.below) == (5, 8, 1, 3)


def test_a_period_begins_afresh_and_its_day_is_counted_whole() -> None:
    ledger = Ledger(description(period=SharePeriod.MONTH))
    answer(ledger, "IT", 8)
    may = of_day(ledger)

    answer(ledger, "IT", 4, now_ms=at_ms(2017, 6, 1, 0))
    june = of_day(ledger)

    assert may.stands == (8, 8)
    assert june.stands == (4, 4)
    assert june.total == 4


def test_a_contract_counts_while_it_is_valid() -> None:
    ledger = Ledger(description(valid_from=date(2017, 5, 31), valid_until=date(2017, 6, 1)))

    for when in ((2017, 5, 30, 23), (2017, 5, 31, 0), (2017, 5, 31, 23), (2017, 6, 1, 0)):
        answer(ledger, "IT", now_ms=at_ms(*when))

    assert of_day(ledger).total == 2


def test_a_share_of_time_is_counted_in_calls_and_not_held_against_its_target() -> None:
    ledger = Ledger(description(unit=ShareUnit.SECONDS))

    answer(ledger, "AL")

    assert ledger.breach_count == 0


def test_the_lowest_share_is_looked_for_after_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_UP_ANSWERS", 2)
    ledger = Ledger(description())
    answer(ledger, "AL", 2)
    assert of_day(ledger).lowest is None

    answer(ledger, "IT", 3)
    answer(ledger, "AL")

    # 1 of 3, 2 of 4, 3 of 5, 3 of 6: the days' lowest, and that of both.
    assert of_day(ledger).lowest == (1, 3)


def test_a_move_plan_is_counted_by_where_its_calls_were_answered() -> None:
    plan = MovePlan(
        move_plan_id="home",
        portfolios=(GOLD,),
        to_sites=(SiteId("lecce"),),
        deadline=date(2017, 6, 30),
        agents=20,
        steps=(
            MoveStep(step_id="half", valid_from=DAY, shares={SiteId("lecce"): 5_000}, agents_moved=10),
            MoveStep(step_id="all", valid_from=date(2017, 6, 1), shares={SiteId("lecce"): 10_000}, agents_moved=20),
        ),
    )
    ledger = Ledger(msgspec.structs.replace(description(), move_plans=(plan,)))
    report = ReportPlan(rule=Rule.STEP_TAKEN, move_plan_id="home", step_id="half", next_step_id="all")

    answer(ledger, "IT")
    before = ledger.close_day(date(2017, 5, 30))
    ledger.plan_reported(report, DAY, NOON_MS)
    for portfolio_id, site_id in (("gold", "lecce"), ("gold", "laquila"), ("iron", "lecce")):
        ledger.answered(
            "c", PortfolioId(portfolio_id), BPO, SiteId(site_id), "IT", is_override=False, now_ms=NOON_MS
        )  # fmt: skip
    after = ledger.close_day(DAY)

    assert before.plans == (PlanCount(move_plan_id="home", answered=1, moved=0, step_id=None, agents_moved=0),)
    assert after.plans == (PlanCount(move_plan_id="home", answered=2, moved=1, step_id="half", agents_moved=10),)
    assert total_of([before, after]).plans == (
        PlanCount(move_plan_id="home", answered=3, moved=1, step_id="half", agents_moved=10),
    )
    assert [(change.day, change.rule, change.step_id) for change in ledger.plan_changes] == [
        (DAY, Rule.STEP_TAKEN, "half")
    ]


def test_days_add_up() -> None:
    ledger = Ledger(description())
    days: list[DayCount] = []
    for day, wait_ms in ((30, 20_000), (31, 20_001)):
        now_ms = at_ms(2017, 5, day, 12)
        ledger.arrived += 1
        ledger.answered_on_line(wait_ms)
        answer(ledger, "IT", now_ms=now_ms)
        answer(ledger, "AL", now_ms=now_ms, is_override=True)
        days.append(ledger.close_day(date(2017, 5, day)))

    both = total_of(days)

    assert [day.arrived for day in days] == [1, 1]
    assert (both.arrived, both.answered, both.answered_soon, both.wait_ms) == (2, 2, 1, 40_001)
    (contract,) = both.contracts
    assert (contract.inside, contract.total, contract.overrides, contract.stands) == (2, 4, 2, (2, 4))
