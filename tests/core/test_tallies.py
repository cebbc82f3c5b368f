"""What is counted by month, portfolio and place: exact numbers, at the edges of months too."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from router.core import Engine
from router.core import events as e
from router.core.model import CallId, OrganisationDescription, PortfolioId, SiteId, SupplierId, TeamId
from router.core.tallies import PlaceAnswers, PortfolioMonth
from tests.core.builders import SITE, Bench, agent, client, organisation, portfolio, site, team, the_offer

ROME = ZoneInfo("Europe/Rome")


def seconds(*when: int, zone: ZoneInfo = ROME) -> int:
    """``seconds(2026, 3, 31, 23, 59)``: of local time, since the epoch."""
    return int(datetime(*when, tzinfo=zone).timestamp())  # type: ignore[arg-type,misc] # at most six numbers


def place(team_id: str, *counts: int, site_id: str = "laquila", country: str = "IT") -> PlaceAnswers:
    """Counts: answered, soon, wait, called back, transferred, talk."""
    return PlaceAnswers(TeamId(team_id), SiteId(site_id), SupplierId("own"), country, *counts)


def outcomes(month: PortfolioMonth) -> dict[str, int]:
    return {str(outcome): count for outcome, count in month.outcomes if count}


def months(bench: Bench) -> dict[tuple[str, str], PortfolioMonth]:
    return {(month.month, month.portfolio_id): month for month in bench.engine.tallies()}


def description(**options: Any) -> OrganisationDescription:
    """Two teams of one agent, each with a portfolio of its own; the options are those of the first portfolio."""
    return organisation(
        [team("t"), team("u")],
        [portfolio("p", "t", **options), portfolio("q", "u")],
        [agent("A", "t"), agent("B", "u")],
        [client("K", "p"), client("L", "q")],
        sites=(SITE, site("iasi", "RO")),
    )


def centre(**options: Any) -> Bench:
    return Bench(description(**options))


def test_nothing_is_counted_before_the_first_call() -> None:
    bench = centre()
    bench.ready("A")

    assert bench.engine.tallies() == ()


def test_waits_up_to_twenty_seconds_are_answered_soon() -> None:
    bench = centre(max_wait_s=None)
    start = seconds(2026, 3, 2, 9, 0)
    bench.sign_in(start, "A")
    for number, wait_s in enumerate((0, 20, 20.001, 45)):
        arrives = start + 100 * number
        bench.arrive(arrives, f"c{number}", "K")
        bench.connect(arrives + wait_s, bench.back(arrives + wait_s, "A"))
        bench.end(arrives + wait_s + 30, f"c{number}")
        bench.pause(arrives + wait_s + 30, "A")

    (month,) = bench.engine.tallies()

    assert (month.month, month.portfolio_id, month.arrived) == ("2026-03", "p", 4)
    assert outcomes(month) == {"connected": 4}
    assert month.answers == (place("t", 4, 2, 85_001, 0, 0, 120_000),)


def test_a_call_counts_in_the_months_of_its_arrival_its_answer_and_its_end() -> None:
    """Arrived in March, answered in April, ended in April; another still talks when April begins."""
    bench = centre(max_wait_s=None)
    last = seconds(2026, 3, 31, 23, 59, 50)
    april = seconds(2026, 4, 1)
    bench.ready("B", at=last)
    bench.talk(last, "talks-on", "L")
    bench.arrive(last, "waits", "K")
    bench.arrive(april - 0.001, "hangs-up", "K")
    bench.hang_up(april - 0.001, "hangs-up")
    bench.arrive(april, "gives-up", "K")
    bench.hang_up(april + 1, "gives-up")
    bench.sign_in(april + 1, "A")
    bench.connect(april + 2, bench.back(april + 2, "A"))
    bench.end(april + 62, "waits")
    assert months(bench)["2026-03", "q"].answers == (place("u", 1, 1, 0, 0, 0, 0),)
    bench.end(april + 100, "talks-on")

    found = months(bench)

    assert list(found) == [("2026-03", "p"), ("2026-03", "q"), ("2026-04", "p"), ("2026-04", "q")]
    assert [month.arrived for month in found.values()] == [2, 1, 1, 0]
    assert [outcomes(month) for month in found.values()] == [
        {"abandoned": 1}, {}, {"abandoned": 1, "connected": 1}, {"connected": 1}
    ]  # fmt: skip
    assert found["2026-03", "p"].answers == ()
    assert found["2026-03", "q"].answers == (place("u", 1, 1, 0, 0, 0, 110_000),)
    assert found["2026-04", "p"].answers == (place("t", 1, 1, 12_000, 0, 0, 60_000),)
    assert found["2026-04", "q"].answers == ()


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        # Clocks go forward on 29 March, so March lacks an hour; they go back on 25 October.
        ("Europe/Rome", ((2026, 3, 1), (2026, 4, 1), 31 * 24 - 1)),
        ("Europe/Rome", ((2026, 10, 1), (2026, 11, 1), 31 * 24 + 1)),
        ("America/New_York", ((2026, 12, 1), (2027, 1, 1), 31 * 24)),
    ],
)  # fmt: skip
def test_months_begin_and_end_at_local_midnight(
    zone: str, change: tuple[tuple[int, ...], tuple[int, ...], int]
) -> None:
    first, second, hours = change
    bench = centre(time_zone=zone)
    begins, ends = seconds(*first, zone=ZoneInfo(zone)), seconds(*second, zone=ZoneInfo(zone))
    assert ends - begins == hours * 3_600
    for number, moment in enumerate((begins - 0.001, begins, begins + 40 * 3_600, ends - 0.001, ends)):
        bench.arrive(moment, f"c{number}", "K")
        bench.hang_up(moment, f"c{number}")

    arrived = [(month.month, month.arrived) for month in bench.engine.tallies()]

    def name(*month: int) -> str:
        return f"{month[0]}-{month[1]:02}"

    before = name(first[0], first[1] - 1)
    assert arrived == [(before, 1), (name(*first), 3), (name(*second), 1)]


def test_portfolios_have_months_of_their_own_zones() -> None:
    """A new version may move a portfolio to another zone; from then on it counts there."""
    bench = centre(time_zone="Pacific/Auckland")
    moment = seconds(2026, 3, 31, 20, 0)
    bench.arrive(moment, "c1", "K")
    bench.arrive(moment, "c2", "L")
    bench.at(moment, e.OrganisationChanged(description=description()))
    bench.arrive(moment, "c3", "K")
    bench.arrive(moment, "c4", "L")

    assert {key: month.arrived for key, month in months(bench).items()} == {
        ("2026-03", "p"): 1, ("2026-03", "q"): 2, ("2026-04", "p"): 1
    }  # fmt: skip


def test_an_answer_counts_where_the_agent_sat() -> None:
    """From home in Germany, on a seat in Romania, at the own site: three places of one team."""
    bench = centre()
    start = seconds(2026, 3, 2, 9, 0)
    places: tuple[dict[str, Any], ...] = ({}, {"site_id": SiteId("iasi")}, {"country": "DE"})
    for number, options in enumerate(places):
        bench.sign_in(start, "A", **options)
        bench.back(start, "A")
        bench.talk(start, f"c{number}", "K")
        bench.end(start + number + 1, f"c{number}")
        bench.sign_out(start + number + 1, "A")
        start += 10

    (month,) = bench.engine.tallies()

    assert month.answers == (
        place("t", 1, 1, 0, 0, 0, 2_000, site_id="iasi", country="RO"),
        place("t", 1, 1, 0, 0, 0, 3_000, country="DE"),
        place("t", 1, 1, 0, 0, 0, 1_000),
    )


def test_transfers_are_counted_apart_and_talk_counts_with_each_answer() -> None:
    bench = centre()
    start = seconds(2026, 3, 2, 9, 0)
    bench.ready("A", "B", at=start)
    bench.talk(start, "c", "K")

    bench.connect(start + 60, bench.transfer(start + 60, "c", portfolio_id=PortfolioId("q")))
    bench.end(start + 100, "c")

    found = months(bench)
    assert found["2026-03", "p"].answers == (place("t", 1, 1, 0, 0, 0, 60_000),)
    assert found["2026-03", "q"].answers == (place("u", 0, 0, 0, 0, 1, 40_000),)
    assert (found["2026-03", "p"].arrived, outcomes(found["2026-03", "p"])) == (1, {})
    assert (found["2026-03", "q"].arrived, outcomes(found["2026-03", "q"])) == (0, {"connected": 1})


def test_clients_called_back_did_not_wait_on_the_line() -> None:
    bench = centre()
    start = seconds(2026, 3, 2, 9, 0)
    bench.arrive(start, "c", "K")
    bench.call_back(start + 5, "c")
    bench.sign_in(start + 3_600, "A")
    bench.connect(start + 3_600, bench.back(start + 3_600, "A"))
    bench.end(start + 3_610, "c")

    (month,) = bench.engine.tallies()

    assert outcomes(month) == {"called_back": 1}
    assert month.answers == (place("t", 0, 0, 0, 1, 0, 10_000),)


def test_a_call_that_was_not_put_through_was_not_answered() -> None:
    bench = centre()
    bench.ready("A")
    bench.accept(1, the_offer(bench.arrive(0, "c", "K")))
    bench.at(2, e.ConnectFailed(call_id=CallId("c")))
    bench.hang_up(3, "c")

    (month,) = bench.engine.tallies()

    assert (month.arrived, outcomes(month), month.answers) == (1, {"abandoned": 1}, ())


def test_a_refused_event_is_not_counted() -> None:
    bench = centre()
    bench.arrive(0, "c", "K")
    before = bench.engine.tallies()

    bench.refused(1, e.CallArrived(call_id=CallId("c")))
    bench.refused(1, e.CallConnected(call_id=CallId("c")))

    assert bench.engine.tallies() == before


def test_counts_and_talks_go_on_after_a_restore() -> None:
    """A conversation from last month, answered before the restore and ended after it."""
    bench = centre()
    start = seconds(2026, 3, 31, 23, 59)
    bench.ready("A", at=start)
    bench.talk(start, "c", "K")
    bench.arrive(start + 1, "d", "K")
    state, past = bench.engine.state_in_parts()

    again = Engine.restored(description(), state, past)
    for engine in (bench.engine, again):
        engine.handle(e.CallEnded(call_id=CallId("c")), now_ms=(start + 120) * 1000)

    assert again.tallies() == bench.engine.tallies()
    march, april = again.tallies()
    assert (march.month, march.arrived, march.answers) == ("2026-03", 2, (place("t", 1, 1, 0, 0, 0, 120_000),))
    assert (april.month, april.arrived, outcomes(april)) == ("2026-04", 0, {"connected": 1})
