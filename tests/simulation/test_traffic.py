"""Callers of a scenario: drawn by day and portfolio, the same whatever the router makes of them."""

from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from router.core.model import AgentId, Client, Fallback, FallbackKind, Hours, PortfolioId, TeamId, Weekday
from router.core.organisation import Organisation
from router.load_files import LoadRow
from router.simulation.scenario import Calls, Roster, Scenario, Transfer
from router.simulation.traffic import DrawnCaller, Traffic, hour_marks_ms, permille_of_agents
from tests.core.builders import agent, client, organisation, portfolio, site, team

MONDAY = date(2017, 5, 8)
ROME = ZoneInfo("Europe/Rome")
FLAT = (1.0,) * 24
TEN = Organisation(
    organisation(
        sites=(site("laquila", "IT"),),
        teams=(team("a"),),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "a")),
        agents=tuple(agent(f"a{number}", "a") for number in range(10)),
    )
)


def calls(portfolio_id: str = "gold", **given: Any) -> Calls:
    plain = Calls(portfolio_id=PortfolioId(portfolio_id), a_day=1_000, by_hour=FLAT, talk_s=300, patience_s=60)
    return msgspec.structs.replace(plain, **given)


def scenario(*of: Calls, **given: Any) -> Scenario:
    roster = Roster(team_id=TeamId("a"), by_hour=(0,) * 8 + (4,) * 12 + (0,) * 4)
    plain = Scenario(starts=MONDAY, ends=date(2017, 5, 9), calls=of or (calls(),), rosters=(roster,))
    return msgspec.structs.replace(plain, **given)


def drawn(of: Scenario, day: date = MONDAY, by: Organisation = TEN) -> list[DrawnCaller]:
    return Traffic(of, by).callers_of_day(day)


def local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ROME)


def test_one_seed_one_day() -> None:
    assert drawn(scenario()) == drawn(scenario())
    assert drawn(scenario()) != drawn(scenario(seed=2))


def test_another_replication_has_callers_of_its_own() -> None:
    zero, one, two = (Traffic(scenario(), TEN, each).callers_of_day(MONDAY) for each in range(3))

    assert zero == drawn(scenario())
    assert one == Traffic(scenario(), TEN, 1).callers_of_day(MONDAY)
    assert not {each.arrived_ms for each in zero} & {each.arrived_ms for each in one}
    assert len({len(zero), len(one), len(two)}) > 1


def test_a_portfolio_of_more_calls_leaves_the_callers_of_another_as_they_were() -> None:
    few = drawn(scenario(calls("gold"), calls("iron")))
    many = drawn(scenario(calls("gold", a_day=2_000), calls("iron")))

    assert [each for each in few if each.portfolio_id == "iron"] == [
        each for each in many if each.portfolio_id == "iron"
    ]
    assert len(many) > len(few)


def test_the_nth_caller_is_as_patient_and_talks_as_long_whenever_calling() -> None:
    morning = drawn(scenario(calls(by_hour=(0.0,) * 8 + (1.0,) + (0.0,) * 15)))
    evening = drawn(scenario(calls(by_hour=(0.0,) * 20 + (1.0,) + (0.0,) * 3)))

    assert {local(each.arrived_ms).hour for each in morning} == {8}
    assert {local(each.arrived_ms).hour for each in evening} == {20}
    assert [each[3:] for each in morning] == [each[3:] for each in evening]


def test_counts_and_means_are_those_of_the_scenario() -> None:
    of = scenario(calls(a_day=20_000, navigation_s=30), asks_inside=0.25, misses=0.1)

    callers = drawn(of)

    count = len(callers)
    assert count == pytest.approx(20_000, rel=0.03)
    assert sum(each.talk_ms for each in callers) / count == pytest.approx(300_000, rel=0.05)
    assert sum(each.patience_ms or 0 for each in callers) / count == pytest.approx(60_000, rel=0.05)
    assert sum(each.navigation_ms or 0 for each in callers) / count == pytest.approx(30_000, rel=0.05)
    assert sum(each.asks_inside for each in callers) / count == pytest.approx(0.25, rel=0.1)
    # Each offer fails with this probability, so 0.1 / 0.9 offers fail before one is answered.
    assert sum(each.misses for each in callers) / count == pytest.approx(1 / 9, rel=0.1)


def test_weekdays_have_their_weights_and_a_week_its_mean() -> None:
    of = scenario(calls(by_weekday=(2, 1, 1, 1, 1, 1, 0)))

    counts = [len(drawn(of, date(2017, 5, day))) for day in range(8, 15)]

    assert counts[0] == pytest.approx(2_000, rel=0.1)
    assert counts[6] == 0
    assert sum(counts) == pytest.approx(7_000, rel=0.05)


def test_some_days_are_busier_than_others_by_their_variation() -> None:
    counts = [len(drawn(scenario(calls(day_variation=0.5)), date(2017, 5, day))) for day in range(1, 31)]

    assert min(counts) < 700
    assert max(counts) > 1_300


def test_nobody_calls_while_the_portfolio_is_closed() -> None:
    nine_to_five = Hours(days=tuple(Weekday), opens=time(9), closes=time(17))
    shut = portfolio(
        "gold", "a", hours=(nine_to_five,), closed_on=(date(2017, 5, 9),), fallback=Fallback(FallbackKind.MESSAGE)
    )
    closing = Organisation(msgspec.structs.replace(TEN.description, portfolios=(shut,)))

    monday, tuesday = (drawn(scenario(), day, closing) for day in (MONDAY, date(2017, 5, 9)))

    assert {local(each.arrived_ms).hour for each in monday} == set(range(9, 17))
    assert tuesday == []


@pytest.mark.parametrize(("day", "hours"), [(date(2017, 3, 26), 23), (date(2017, 10, 29), 25), (date(2017, 5, 8), 24)])
def test_days_of_summer_time_are_shorter_and_longer(day: date, hours: int) -> None:
    marks = hour_marks_ms(day, ROME)

    assert marks[-1] - marks[0] == hours * 3_600_000
    assert marks == sorted(marks)
    assert all(local(mark).date() == day for mark in marks[:-1])


def test_callers_come_as_the_load_file_has_them() -> None:
    rows = (
        LoadRow(portfolio_id=PortfolioId("gold"), calls_per_hour=Decimal(60)),
        LoadRow(
            portfolio_id=PortfolioId("gold"), calls_per_hour=Decimal("240.5"), days=(Weekday.MON,), starts=time(9),
            ends=time(10, 30),
        ),
    )  # fmt: skip
    of = scenario(calls(a_day=None, by_hour=()), load_rows=rows)

    monday = Counter(
        local(each.arrived_ms).hour for day in range(4) for each in Traffic(of, TEN, day).callers_of_day(MONDAY)
    )
    tuesday = drawn(of, date(2017, 5, 9))

    assert monday[9] / 4 == pytest.approx(300.5, rel=0.1)
    # Half an hour of it.
    assert monday[10] / 4 == pytest.approx(60 + 120.25, rel=0.1)
    assert monday[11] / 4 == pytest.approx(60, rel=0.2)
    assert len(tuesday) == pytest.approx(24 * 60, rel=0.1)


# --- Who they are, and what they bring along ---


def with_clients(*clients: Client) -> Organisation:
    return Organisation(msgspec.structs.replace(TEN.description, clients=clients))


def test_clients_call_the_more_the_more_work_they_are_expected_to_make() -> None:
    by = with_clients(
        client("often", "gold", minutes_a_month=300),
        client("seldom", "gold", minutes_a_month=100),
        client("never", "gold", minutes_a_month=0),
        client("unsaid", "gold"),
        client("elsewhere", "iron"),
    )

    drawn_clients = Counter(each.client_id for each in drawn(scenario(calls(a_day=20_000)), by=by))

    # Of whom nothing is said, as much as of the others in the mean.
    parts = {name: 20_000 * share for name, share in (("often", 0.5625), ("seldom", 0.1875), ("unsaid", 0.25))}
    assert dict(drawn_clients) == pytest.approx(parts, rel=0.05)


def test_clients_of_whom_nothing_is_said_call_alike() -> None:
    by = with_clients(client("a", "gold"), client("b", "gold", minutes_a_month=0))

    drawn_clients = Counter(str(each.client_id) for each in drawn(scenario(), by=by))

    assert drawn_clients["a"] == pytest.approx(drawn_clients["b"], rel=0.2)


def test_a_part_of_the_callers_is_unknown() -> None:
    by = with_clients(client("a", "gold"))

    callers = drawn(scenario(calls(a_day=20_000, unknown=0.25)), by=by)

    assert sum(each.client_id is None for each in callers) / len(callers) == pytest.approx(0.25, abs=0.02)
    assert all(each.segment is None for each in callers)


def test_callers_of_a_segment_are_nobody_in_particular() -> None:
    by = with_clients(client("a", "gold"))

    callers = drawn(scenario(calls(segment="consumer")), by=by)

    assert {(each.client_id, each.segment) for each in callers} == {(None, "consumer")}


def test_an_offer_is_missed_or_declined_with_the_probabilities_of_the_scenario() -> None:
    callers = drawn(scenario(calls(a_day=40_000), misses=0.1, declines=0.2))

    # 0.3 / 0.7 offers fail before one is accepted.
    offers = sum(1 + each.misses + each.declines for each in callers)
    assert sum(each.misses for each in callers) / offers == pytest.approx(0.1, rel=0.05)
    assert sum(each.declines for each in callers) / offers == pytest.approx(0.2, rel=0.05)


def test_those_who_call_again_do_so_with_the_probability_of_the_scenario_and_not_too_often() -> None:
    callers = drawn(scenario(calls(a_day=40_000, repeats=0.5, repeats_max=2, repeat_after_s=600)))

    count = len(callers)
    assert sum(len(each.again) >= 1 for each in callers) / count == pytest.approx(0.5, abs=0.02)
    assert sum(len(each.again) == 2 for each in callers) / count == pytest.approx(0.25, abs=0.02)
    after_ms, patience_ms = zip(*(pair for each in callers for pair in each.again), strict=True)
    assert sum(after_ms) / len(after_ms) == pytest.approx(600_000, rel=0.05)
    assert sum(patience_ms) / len(patience_ms) == pytest.approx(60_000, rel=0.05)


def test_transfers_wrap_ups_and_rings_are_as_written() -> None:
    transfers = (
        Transfer(portfolio_id=PortfolioId("iron"), share=0.1, after_percent=30),
        Transfer(portfolio_id=PortfolioId("tin"), share=0.2),
    )

    callers = drawn(scenario(calls(a_day=40_000, transfers=transfers, wrap_up_s=20), answer_s=4))

    count = len(callers)
    wanted = Counter((str(each.transfer_to), each.transfer_percent) for each in callers)
    assert wanted["iron", 30] / count == pytest.approx(0.1, abs=0.01)
    assert wanted["tin", 40] / count == pytest.approx(0.2, abs=0.01)
    assert wanted["None", 0] / count == pytest.approx(0.7, abs=0.01)
    assert sum(each.wrap_up_ms or 0 for each in callers) / count == pytest.approx(20_000, rel=0.05)
    assert sum(each.rings_ms[0] for each in callers) / count == pytest.approx(4_000, rel=0.05)


def test_what_a_caller_brings_along_does_not_depend_on_what_else_is_drawn() -> None:
    """Whatever is switched on, the rest stays: only then are scenarios compared on the same people."""
    plain = drawn(scenario())
    transfers = (Transfer(portfolio_id=PortfolioId("iron"), share=0.5),)
    much = drawn(scenario(calls(repeats=0.9, transfers=transfers, wrap_up_s=9, unknown=0.5), answer_s=3, declines=0.1))

    assert [each[:6] for each in plain] == [each[:6] for each in much]


def test_agents_talk_longer_or_less_long_whatever_the_replication() -> None:
    of = scenario(agent_variation=0.2)
    names = [AgentId(f"a{number}") for number in range(400)]

    permille = permille_of_agents(of, names)

    values = list(permille.values())
    assert sum(values) / len(values) == pytest.approx(1_000, rel=0.03)
    assert float(np.std(values)) == pytest.approx(200, rel=0.15)
    assert permille_of_agents(of, reversed(names)) == permille
    assert permille_of_agents(scenario(), names) == {}
