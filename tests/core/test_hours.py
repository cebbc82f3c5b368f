"""Opening hours in local time, also on the days on which the clocks change."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from router.core.decisions import FallbackCall, Rule
from router.core.hours import OpeningHours, utc_day
from router.core.model import Fallback, FallbackKind, Hours, Outcome, Weekday
from tests.core.builders import Bench, agent, offers, organisation, portfolio, team

EVERY_DAY = tuple(Weekday)
WORKING_DAYS = EVERY_DAY[:5]


def opening(*spans: Hours, **options: Any) -> OpeningHours:
    return OpeningHours(portfolio("gold", "aquila", hours=spans, **options))


def span(opens: str, closes: str, days: tuple[Weekday, ...] = EVERY_DAY) -> Hours:
    return Hours(days=days, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))


def utc_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def rome_ms(text: str, *, fold: int = 0) -> int:
    """*fold* 1: the second of the two times that a clock shows this hour in autumn."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Rome"), fold=fold)
    return round(moment.timestamp() * 1000)


def test_without_hours_a_portfolio_is_always_open() -> None:
    assert opening().is_open(0)
    assert opening().is_open(utc_ms("2026-12-25T03:00:00"))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-04T07:59:59.999", False),
        ("2026-03-04T08:00:00", True),
        ("2026-03-04T12:59:59.999", True),
        ("2026-03-04T13:00:00", False),
        ("2026-03-04T14:30:00", True),
        ("2026-03-04T18:00:00", False),
        ("2026-03-07T09:00:00", False),
    ],
)
def test_closing_time_is_excluded(moment: str, is_open: bool) -> None:
    """Wednesday 4 March, in the morning and the afternoon; closed on Saturday 7 March."""
    hours = opening(span("08:00", "13:00", WORKING_DAYS), span("14:30", "18:00", WORKING_DAYS))

    assert hours.is_open(rome_ms(moment)) is is_open


def test_midnight_as_the_closing_time_is_the_end_of_the_day() -> None:
    hours = opening(span("20:00", "00:00", (Weekday.FRI,)))

    assert hours.is_open(rome_ms("2026-03-06T23:59:59.999"))
    assert not hours.is_open(rome_ms("2026-03-07T00:00"))
    assert not hours.is_open(rome_ms("2026-03-05T20:00"))


def test_closed_days() -> None:
    hours = opening(span("08:00", "18:00"), closed_on=(date(2026, 12, 25),))

    assert hours.is_open(rome_ms("2026-12-24T10:00"))
    assert not hours.is_open(rome_ms("2026-12-25T10:00"))
    assert hours.is_open(rome_ms("2026-12-26T10:00"))


def test_closed_days_of_a_portfolio_that_is_open_round_the_clock() -> None:
    hours = opening(closed_on=(date(2026, 12, 25),))

    assert hours.is_open(rome_ms("2026-12-24T23:59:59.999"))
    assert not hours.is_open(rome_ms("2026-12-25T00:00"))
    assert not hours.is_open(rome_ms("2026-12-25T23:59:59.999"))
    assert hours.is_open(rome_ms("2026-12-26T00:00"))


def test_hours_are_those_of_the_time_zone() -> None:
    hours = opening(span("08:00", "18:00"), time_zone="Europe/Bucharest")

    assert hours.is_open(utc_ms("2026-01-07T06:00:00"))
    assert not hours.is_open(utc_ms("2026-01-07T16:00:00"))


def test_day_of_23_hours_opens_an_hour_earlier_by_utc() -> None:
    """On 29 March 2026 Rome's clocks go from 02:00 to 03:00."""
    hours = opening(span("08:00", "18:00"))

    assert not hours.is_open(utc_ms("2026-03-28T06:59:59.999"))
    assert hours.is_open(utc_ms("2026-03-28T07:00:00"))
    assert not hours.is_open(utc_ms("2026-03-29T05:59:59.999"))
    assert hours.is_open(utc_ms("2026-03-29T06:00:00"))
    assert not hours.is_open(utc_ms("2026-03-29T16:00:00"))


def test_day_of_25_hours_opens_an_hour_later_by_utc() -> None:
    """On 25 October 2026 Rome's clocks go from 03:00 back to 02:00."""
    hours = opening(span("08:00", "18:00"))

    assert not hours.is_open(utc_ms("2026-10-25T06:59:59.999"))
    assert hours.is_open(utc_ms("2026-10-25T07:00:00"))
    assert not hours.is_open(utc_ms("2026-10-25T17:00:00"))


@pytest.mark.parametrize(("day", "hours_long"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_day_open_from_midnight_to_midnight_is_as_long_as_it_is(day: str, hours_long: int) -> None:
    weekday = EVERY_DAY[date.fromisoformat(day).weekday()]
    hours = opening(span("00:00", "00:00", (weekday,)))
    starts_ms = rome_ms(f"{day}T00:00")
    quarter_ms = 15 * 60_000

    # Asked in both directions, so that what was remembered of the last answer is of no help.
    quarters = [hours.is_open(starts_ms + quarter_ms * number) for number in range(-8, 26 * 4)]
    backwards = [hours.is_open(starts_ms + quarter_ms * number) for number in reversed(range(-8, 26 * 4))]

    assert quarters.count(True) == 4 * hours_long
    assert quarters[:8] == [False] * 8
    assert quarters[8]
    assert backwards[::-1] == quarters


def test_night_hours_over_the_autumn_change_last_an_hour_longer() -> None:
    """01:00 to 04:00 is four hours of work, the hour from 02:00 twice."""
    hours = opening(span("01:00", "04:00"))

    assert hours.is_open(rome_ms("2026-10-25T02:30"))
    assert hours.is_open(rome_ms("2026-10-25T02:30", fold=1))
    assert rome_ms("2026-10-25T02:30", fold=1) - rome_ms("2026-10-25T02:30") == 3_600_000


def test_closing_time_that_comes_twice_is_its_first() -> None:
    hours = opening(span("01:00", "02:30"))

    assert hours.is_open(rome_ms("2026-10-25T02:29"))
    assert not hours.is_open(rome_ms("2026-10-25T02:30"))
    assert not hours.is_open(rome_ms("2026-10-25T02:29", fold=1))


def test_opening_time_that_the_clocks_leave_out_comes_an_hour_later() -> None:
    """02:30 does not exist on 29 March; read with the offset of before, it is 03:30."""
    hours = opening(span("02:30", "05:00"))

    assert not hours.is_open(rome_ms("2026-03-29T03:29"))
    assert hours.is_open(rome_ms("2026-03-29T03:30"))
    assert not hours.is_open(rome_ms("2026-03-29T05:00"))


@pytest.mark.parametrize(("day", "hours_long"), [("2027-03-28", 23), ("2026-10-25", 25), ("2026-12-25", 24)])
def test_closed_day_is_as_long_as_it_is(day: str, hours_long: int) -> None:
    """Easter of 2027 is the day on which the clocks go forward."""
    hours = opening(closed_on=(date.fromisoformat(day),))
    starts_ms = rome_ms(f"{day}T00:00")
    quarters = [hours.is_open(starts_ms + 900_000 * number) for number in range(-4, 26 * 4)]

    assert quarters.index(False) == 4
    assert quarters.count(False) == 4 * hours_long


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("Europe/Rome", "2026-03-29"),
        ("Europe/Rome", "2026-10-25"),
        ("Africa/Cairo", "2026-04-24"),  # The clocks leave out midnight itself.
        ("Africa/Cairo", "2026-10-30"),  # And midnight comes twice.
        ("Australia/Lord_Howe", "2026-04-05"),  # By half an hour.
        ("Asia/Kathmandu", "2026-04-14"),  # A quarter of an hour beside the others.
    ],
)
def test_hours_are_what_the_clock_on_the_wall_says(zone: str, around: str) -> None:
    """Every quarter of nine days round a change; the edges lie where no clock is changed."""
    shift = Hours(days=WORKING_DAYS, opens=time(8, 30), closes=time(19, 45))
    night = Hours(days=(Weekday.FRI, Weekday.SUN), opens=time(21), closes=time())
    closed = date.fromisoformat(around)
    hours = opening(shift, night, time_zone=zone, closed_on=(closed,))
    start_ms = utc_ms(f"{around}T00:00") - 4 * 86_400_000

    for at_ms in range(start_ms, start_ms + 9 * 86_400_000, 900_000):
        local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
        weekday, clock = EVERY_DAY[local.weekday()], local.time()
        in_shift = weekday in shift.days and time(8, 30) <= clock < time(19, 45)
        in_night = weekday in night.days and clock >= time(21)
        assert hours.is_open(at_ms) == ((in_shift or in_night) and local.date() != closed), local


def test_utc_day() -> None:
    assert utc_day(utc_ms("2026-02-28T23:59:59.999")) == date(2026, 2, 28)
    assert utc_day(utc_ms("2026-03-01T00:00:00")) == date(2026, 3, 1)


# --- What becomes of a call outside the hours ---


def closed_at_night(*agent_ids: str, **options: Any) -> tuple[Bench, float]:
    """A portfolio open from 08:00 to 18:00, and the second of 17:59 on a Wednesday."""
    seconds = rome_ms("2026-03-04T17:59") / 1000
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [
                portfolio("gold", "aquila", hours=(span("08:00", "18:00"),), **options),
                portfolio("night", "pescara"),
            ],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready(*agent_ids, at=seconds - 60)
    return bench, seconds


def test_call_outside_the_hours_goes_to_the_fallback_although_somebody_is_idle() -> None:
    bench, at_17_59 = closed_at_night("ana", fallback=Fallback(FallbackKind.MESSAGE, "closed"))

    assert offers(bench.arrive(at_17_59, "c1")) == {"c1": "ana"}
    bench.hang_up(at_17_59, "c1")
    (decision,) = bench.arrive(at_17_59 + 60, "c2")

    assert isinstance(decision, FallbackCall)
    assert (decision.kind, decision.target, decision.rule) == (FallbackKind.MESSAGE, "closed", Rule.CLOSED)
    assert bench.outcome("c2") is Outcome.FALLBACK


def test_call_outside_the_hours_may_go_to_another_portfolio() -> None:
    bench, at_17_59 = closed_at_night("pia", fallback=Fallback(FallbackKind.PORTFOLIO, "night"))

    decisions = bench.arrive(at_17_59 + 60, "c1")

    assert decisions[0].rule is Rule.CLOSED
    assert offers(decisions) == {"c1": "pia"}


def test_call_that_waits_when_the_portfolio_closes_is_still_answered() -> None:
    bench, at_17_59 = closed_at_night(max_wait_s=None)
    bench.arrive(at_17_59, "c1")
    bench.sign_in(at_17_59 + 120, "ana")

    assert offers(bench.back(at_17_59 + 120, "ana")) == {"c1": "ana"}


def test_call_outside_the_hours_may_become_a_call_back() -> None:
    bench, at_17_59 = closed_at_night(fallback=Fallback(FallbackKind.CALLBACK))
    bench.arrive(at_17_59 + 60, "c1")

    assert bench.queue("gold").callbacks_waiting == 1
    assert bench.outcome("c1") is None
