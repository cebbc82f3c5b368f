"""Shares of contracts: what is counted when, and the one rule by which a call may go abroad."""

from datetime import date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import EventRejected, Rejection
from router.core.model import Contract, SharePeriod, ShareUnit, SupplierId
from router.core.shares import Adjustment, ContractRecord, ShareBook, period_from

ROME = ZoneInfo("Europe/Rome")
BPO = SupplierId("bpo")


def contract(**given: Any) -> Contract:
    plain = Contract(contract_id="c", company="tel", supplier_id=BPO, countries=("IT",), target_bp=8_000)
    return msgspec.structs.replace(plain, **given)


def at_ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=ROME).timestamp()) * 1000


NOON_MS = at_ms(2018, 6, 1, 12)


def answer(record: ContractRecord, country: str, times: int = 1, now_ms: int = NOON_MS) -> None:
    for _ in range(times):
        record.answered(country, is_override=False, now_ms=now_ms)


@pytest.mark.parametrize(
    ("inside", "abroad", "margin_bp", "may"),
    [
        (0, 0, 0, False),
        (3, 0, 0, False),
        (4, 0, 0, True),
        (4, 1, 0, False),
        (8, 1, 0, True),
        (4_003, 997, 100, False),
        (4_050, 949, 100, True),
        (4_049, 950, 100, False),
    ],
)
def test_one_more_abroad_must_leave_the_target_and_its_margin(
    inside: int, abroad: int, margin_bp: int, may: bool
) -> None:
    record = ContractRecord(contract(margin_bp=margin_bp))
    answer(record, "IT", inside)
    answer(record, "RO", abroad)

    assert record.may_go_abroad(0, NOON_MS) is may


def test_what_is_under_way_abroad_counts_as_done_and_at_home_does_not() -> None:
    record = ContractRecord(contract(margin_bp=0))
    answer(record, "IT", 9)

    promised = [record.promise(0), record.promise(0)]

    assert not record.may_go_abroad(0, NOON_MS)
    record.settle(promised.pop())
    assert record.may_go_abroad(0, NOON_MS)
    assert record.outlook(NOON_MS).promised == 1


def test_a_baseline_above_the_target_must_not_be_reduced() -> None:
    record = ContractRecord(contract(baseline_bp=9_000, margin_bp=0))
    answer(record, "IT", 8)

    assert not record.may_go_abroad(0, NOON_MS)
    answer(record, "IT")
    assert record.may_go_abroad(0, NOON_MS)


def test_the_numbers_are_said_in_words() -> None:
    record = ContractRecord(contract(territory="Italy"))
    answer(record, "IT", 4_003)
    answer(record, "RO", 997)

    assert record.why_not(0, NOON_MS) == (
        "share: 4,003 of 5,000 in Italy, one more abroad would leave 80.04 %, target 80 %, margin 1 point"
    )


def test_minutes_are_counted_by_leg_and_a_call_abroad_needs_room_for_its_expected_length() -> None:
    record = ContractRecord(contract(unit=ShareUnit.SECONDS, margin_bp=0))
    record.add_talk(record.answered("IT", is_override=False, now_ms=NOON_MS), 400_000)

    assert record.may_go_abroad(100_000, NOON_MS)
    assert not record.may_go_abroad(100_001, NOON_MS)
    promised = record.promise(60_000)
    assert not record.may_go_abroad(60_000, NOON_MS)
    record.settle(promised)
    record.add_talk(record.present_day("RO", NOON_MS), 100_000)
    assert record.outlook(NOON_MS).share_bp == 8_000
    assert record.why_not(60_000, NOON_MS).startswith(
        "share: 6 of 8 minutes in IT, one more abroad would leave 71.42 %"
    )


def test_presence_is_split_at_local_midnight_of_a_day_of_23_hours() -> None:
    record = ContractRecord(contract(unit=ShareUnit.AGENT_HOURS, margin_bp=0))

    record.add_presence("IT", 2, at_ms(2018, 3, 24, 12), at_ms(2018, 3, 26, 1))

    hours = {day.day: day.agent_ms / 7_200_000 for day in record.days.values()}
    assert hours == {date(2018, 3, 24): 12, date(2018, 3, 25): 23, date(2018, 3, 26): 1}


@pytest.mark.parametrize("day", [date(2018, 3, 25), date(2018, 10, 28)])
def test_a_day_ends_at_local_midnight_also_when_clocks_change(day: date) -> None:
    record = ContractRecord(contract())
    midnight_ms = at_ms(day.year, day.month, day.day + 1)

    answer(record, "IT", now_ms=midnight_ms - 1)
    answer(record, "IT", now_ms=midnight_ms)

    assert [key for key, _ in record.days] == [day, date(day.year, day.month, day.day + 1)]


@pytest.mark.parametrize(
    ("period", "first"),
    [
        (SharePeriod.MONTH, date(2018, 8, 1)),
        (SharePeriod.QUARTER, date(2018, 7, 1)),
        (SharePeriod.HALF_YEAR, date(2018, 7, 1)),
        (SharePeriod.YEAR, date(2018, 1, 1)),
        (SharePeriod.CONTRACT, date(2017, 5, 4)),
    ],
)
def test_periods_begin_with_their_first_local_day(period: SharePeriod, first: date) -> None:
    assert period_from(contract(period=period, valid_from=date(2017, 5, 4)), date(2018, 8, 15)) == first


def test_a_period_never_begins_before_the_contract() -> None:
    assert period_from(contract(valid_from=date(2018, 5, 4)), date(2018, 8, 15)) == date(2018, 5, 4)


def test_a_new_period_counts_afresh_and_what_was_done_stays() -> None:
    record = ContractRecord(contract(period=SharePeriod.MONTH, margin_bp=0))
    answer(record, "IT", 10, at_ms(2018, 6, 30, 23, 59))
    assert record.may_go_abroad(0, at_ms(2018, 6, 30, 23, 59))

    assert not record.may_go_abroad(0, at_ms(2018, 7, 1, 0))
    assert record.outlook(at_ms(2018, 7, 1, 0)).share_bp is None
    assert sum(day.calls for day in record.days.values()) == 10


def test_talk_that_ends_after_its_period_is_not_counted_into_the_next() -> None:
    record = ContractRecord(contract(period=SharePeriod.MONTH, unit=ShareUnit.SECONDS))
    day = record.answered("IT", is_override=False, now_ms=at_ms(2018, 6, 30, 23, 59))
    record.may_go_abroad(0, at_ms(2018, 7, 1, 0, 10))

    record.add_talk(day, 600_000)

    assert record.outlook(at_ms(2018, 7, 1, 0, 10)).total == 0
    assert day.talk_ms == 600_000


def test_contracts_are_found_by_company_supplier_and_day() -> None:
    old = contract(contract_id="old", valid_until=date(2018, 1, 1))
    new = contract(contract_id="new", valid_from=date(2018, 1, 1))
    book = ShareBook([old, new])

    def found(company: str, supplier: SupplierId, now_ms: int) -> str | None:
        record = book.of(company, supplier, now_ms)
        return None if record is None else record.contract.contract_id

    assert found("tel", BPO, at_ms(2018, 1, 1) - 1) == "old"
    assert found("tel", BPO, at_ms(2018, 1, 1)) == "new"
    assert found("other", BPO, NOON_MS) is None
    assert found("tel", SupplierId("other"), NOON_MS) is None


def test_a_contract_that_leaves_the_organisation_keeps_its_days() -> None:
    book = ShareBook([contract()])
    answer(book.records["c"], "IT", 3)

    book.follow([])

    assert [(day.contract_id, day.calls) for day in book.days()] == [("c", 3)]
    assert book.of("tel", BPO, NOON_MS) is None


def presence(book: ShareBook) -> dict[str, float]:
    """Hours signed in, by contract and day."""
    return {f"{day.contract_id} {day.day}": day.agent_ms / 3_600_000 for day in book.days()}


def test_presence_outside_of_the_contract_is_not_counted() -> None:
    """The contract ends, and another begins, while people are signed in and nothing happens."""
    old = contract(contract_id="old", valid_until=date(2018, 1, 1))
    new = contract(contract_id="new", valid_from=date(2018, 1, 1))
    book = ShareBook([old, new])

    book.signed_in(BPO, "IT", 1, at_ms(2017, 12, 31, 22))
    book.signed_in(BPO, "IT", -1, at_ms(2018, 1, 1, 3))

    assert presence(book) == {"old 2017-12-31": 2, "new 2018-01-01": 3}


def test_presence_is_counted_for_the_contracts_of_the_version_in_force() -> None:
    book = ShareBook([contract(contract_id="left")])
    book.signed_in(BPO, "IT", 1, at_ms(2018, 6, 1, 8))

    book.count_presence(at_ms(2018, 6, 1, 10))
    book.follow([contract(contract_id="come")])
    book.count_presence(at_ms(2018, 6, 1, 13))

    assert presence(book) == {"come 2018-06-01": 3, "left 2018-06-01": 2}


def test_a_contract_counts_what_is_done_until_it_ends_and_talk_beyond() -> None:
    ends_ms = at_ms(2018, 1, 1)
    book = ShareBook([contract(unit=ShareUnit.SECONDS, valid_until=date(2018, 1, 1))])
    record = book.of("tel", BPO, ends_ms - 1)
    assert record is not None

    record.add_talk(record.answered("IT", is_override=False, now_ms=ends_ms - 1), 60_000)

    assert book.of("tel", BPO, ends_ms) is None
    assert [(day.day, day.calls, day.talk_ms) for day in book.days()] == [(date(2017, 12, 31), 1, 60_000)]


def adjustment(day: date = date(2018, 5, 1), **given: Any) -> Adjustment:
    plain = Adjustment(NOON_MS, "c", day, "RO", 0, 0, "was a test call", 0, "ada")
    return msgspec.structs.replace(plain, **given)


@pytest.mark.parametrize(
    ("given", "reason", "says"),
    [
        (adjustment(contract_id="x", calls=1), Rejection.UNKNOWN_CONTRACT, "no contract 'x', only c"),
        (adjustment(date(2018, 6, 2), calls=1), Rejection.WRONG_DAY, "2018-06-02 is still to come in Europe/Rome"),
        (adjustment(date(2017, 5, 3), calls=1), Rejection.WRONG_DAY, "valid from 2017-05-04 on, until 2018-05-31"),
        (adjustment(date(2018, 5, 31), calls=1), Rejection.WRONG_DAY, "2018-05-31 is outside of contract c"),
        (adjustment(calls=-3), Rejection.WRONG_AMOUNT, "calls: 3 cannot be taken from the 2 of RO on 2018-05-01"),
        (adjustment(talk_ms=-1), Rejection.WRONG_AMOUNT, "talk_ms: 1 cannot be taken from the 0 of RO"),
        (adjustment(country="IT", calls=-1), Rejection.WRONG_AMOUNT, "from the 0 of IT"),
        (adjustment(agent_ms=-1, calls=1), Rejection.WRONG_AMOUNT, "agent_ms"),
        (adjustment(), Rejection.WRONG_AMOUNT, "nothing is corrected"),
    ],
)
def test_an_adjustment_that_cannot_be_true_is_refused(given: Adjustment, reason: Rejection, says: str) -> None:
    book = ShareBook([contract(valid_from=date(2017, 5, 4), valid_until=date(2018, 5, 31))])
    answer(book.records["c"], "RO", 2, at_ms(2018, 5, 1, 12))

    with pytest.raises(EventRejected, match=says) as refused:
        book.adjust(given)

    assert refused.value.reason is reason
    assert book.adjustments == []
    assert book.records["c"].outlook(NOON_MS).total == 2


def test_adjustments_may_take_away_what_others_have_added_and_the_last_day_may_be_corrected() -> None:
    book = ShareBook([contract(valid_until=date(2018, 5, 31), unit=ShareUnit.AGENT_HOURS)])
    day = date(2018, 5, 30)
    assert book.records["c"].outlook(NOON_MS).total == 0

    book.adjust(adjustment(day, calls=2, talk_ms=5, agent_ms=7_200_000))
    book.adjust(adjustment(day, calls=-2, talk_ms=-5, agent_ms=-3_600_000))

    assert book.records["c"].outlook(NOON_MS).total == 3_600_000
    with pytest.raises(EventRejected):
        book.adjust(adjustment(day, calls=-1))


def test_an_adjustment_counts_for_its_day_and_stays_apart() -> None:
    record = ContractRecord(contract(margin_bp=0))
    answer(record, "IT", 4)
    answer(record, "RO", 1)

    record.adjust(Adjustment(NOON_MS, "c", date(2018, 5, 1), "RO", -1, 0, "was a test call"))

    assert record.may_go_abroad(0, NOON_MS)
    assert record.outlook(NOON_MS).share_bp == 10_000
    record.adjust(Adjustment(NOON_MS, "c", date(2017, 5, 1), "RO", 50, 0, "another year"))
    assert record.outlook(NOON_MS).total == 4


@pytest.mark.parametrize(
    ("inside", "abroad", "volume", "needed_bp", "level"),
    [
        (80, 20, 200, 8_000, "green"),
        (60, 40, 200, 10_000, "red"),
        (70, 30, 200, 9_000, "amber"),
        (100, 0, 200, 6_000, "green"),
        (0, 0, 100, 8_000, "green"),
        (80, 20, 100, None, "green"),
        (79, 21, 100, None, "red"),
        (0, 50, None, 16_000, "red"),
    ],
)
def test_the_forecast_says_what_the_rest_must_be(
    inside: int, abroad: int, volume: int | None, needed_bp: int | None, level: str
) -> None:
    record = ContractRecord(contract(volume=volume))
    answer(record, "IT", inside)
    answer(record, "RO", abroad)

    assert record.outlook(NOON_MS).forecast == (needed_bp, level)


@pytest.mark.parametrize(
    ("target_bp", "amber_bp", "inside", "abroad", "level"),
    [
        (9_500, None, 100, 0, "green"),
        (9_500, None, 925, 75, "amber"),
        (9_500, None, 926, 74, "green"),
        (9_500, None, 90, 10, "red"),
        (9_500, 9_000, 999, 1, "amber"),
        (10_000, None, 100, 0, "green"),
        (10_000, None, 99, 1, "red"),
        (0, None, 0, 100, "green"),
    ],
)
def test_amber_is_half_way_from_the_target_to_all_and_work_that_was_all_done_in_the_country_is_no_warning(
    target_bp: int, amber_bp: int | None, inside: int, abroad: int, level: str
) -> None:
    """A contract of 95 % that has never sent a call abroad is in no danger."""
    record = ContractRecord(contract(target_bp=target_bp, amber_bp=amber_bp))
    answer(record, "IT", inside)
    answer(record, "RO", abroad)

    assert record.outlook(NOON_MS).forecast.level == level


@given(
    target_bp=st.integers(1, 10_000),
    margin_bp=st.sampled_from((0, 1, 100)),
    steps=st.lists(st.sampled_from(("home", "ask", "answer", "fail")), max_size=200),
)
def test_no_answer_abroad_ever_brings_the_share_below_its_target(
    target_bp: int, margin_bp: int, steps: list[str]
) -> None:
    record = ContractRecord(contract(target_bp=target_bp, margin_bp=margin_bp))
    home = abroad = 0
    under_way: list[int] = []
    for step in steps:
        if step == "home":
            answer(record, "IT")
            home += 1
        elif step == "ask" and record.may_go_abroad(0, NOON_MS):
            under_way.append(record.promise(0))
        elif step != "ask" and under_way:
            record.settle(under_way.pop())
            if step == "answer":
                answer(record, "RO")
                abroad += 1
                assert Fraction(home, home + abroad) >= Fraction(target_bp, 10_000)
