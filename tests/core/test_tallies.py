"""What is counted by month, portfolio and place: exact numbers, at the edges of months too."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core import Engine
from router.core import events as e
from router.core.decisions import OfferCall
from router.core.model import (
    AgentId,
    CallId,
    ClientId,
    OrganisationDescription,
    PortfolioId,
    Quality,
    SiteId,
    SupplierId,
    TeamId,
)
from router.core.months import PlaceAnswers, PortfolioMonth
from tests.core.builders import (
    SITE,
    Bench,
    accepted,
    agent,
    client,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
)

ROME = ZoneInfo("Europe/Rome")


def seconds(*when: int, zone: ZoneInfo = ROME) -> int:
    """``seconds(2026, 3, 31, 23, 59)``: of local time, since the epoch."""
    return int(datetime(*when, tzinfo=zone).timestamp())  # type: ignore[arg-type,misc] # at most six numbers


def place(
    team_id: str, *counts: int, site_id: str = "laquila", country: str = "IT", sooner: int | None = None, **more: int
) -> PlaceAnswers:
    """Counts: answered, soon, wait, called back, transferred, talk. ``sooner``: as soon, if not said."""
    more["answered_sooner"] = counts[1] if sooner is None else sooner
    return PlaceAnswers(TeamId(team_id), SiteId(site_id), SupplierId("own"), country, *counts, **more)


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
    assert month.answers == (place("t", 4, 2, 85_001, 0, 0, 120_000, sooner=1),)


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


# --- Navigation, hang-ups, thresholds ---


def test_navigation_counts_on_top_of_the_wait_where_the_platform_says_it() -> None:
    """Together exactly 20 s is soon and not sooner; of a call without it, only the wait is known."""
    bench = centre(max_wait_s=None)
    start = seconds(2026, 3, 2, 9, 0)
    bench.sign_in(start, "A")
    for number, (navigation_ms, wait_s) in enumerate(((8_000, 12), (7_999, 12), (8_001, 12), (None, 12), (0, 20))):
        arrives = start + 100 * number
        bench.arrive(arrives, f"c{number}", "K", navigation_ms=navigation_ms)
        bench.connect(arrives + wait_s, bench.back(arrives + wait_s, "A"))
        bench.end(arrives + wait_s + 30, f"c{number}")
        bench.pause(arrives + wait_s + 30, "A")

    (month,) = bench.engine.tallies()

    assert month.answers == (
        place(
            "t", 5, 5, 68_000, 0, 0, 150_000, sooner=4,
            navigated=4, navigation_ms=24_000, navigated_wait_ms=56_000, navigated_soon=3, navigated_sooner=1,
        ),
    )  # fmt: skip


def test_hang_ups_before_any_answer_are_counted_by_their_wait() -> None:
    """At 5 s and at 20 s exactly, and a millisecond later; who was transferred and hangs up then had an answer."""
    bench = centre(max_wait_s=None)
    start = seconds(2026, 3, 2, 9, 0)
    for number, wait_s in enumerate((0, 5, 5.001, 20, 20.001)):
        bench.arrive(start + 100 * number, f"c{number}", "K")
        bench.hang_up(start + 100 * number + wait_s, f"c{number}")
    bench.ready("A", at=start + 1_000)
    bench.talk(start + 1_000, "t", "K")
    bench.transfer(start + 1_010, "t")
    bench.hang_up(start + 1_011, "t")
    bench.pause(start + 1_012, "A")
    bench.arrive(start + 1_100, "b", "K")
    bench.call_back(start + 1_101, "b")
    bench.end(start + 1_102, "b")

    (month,) = bench.engine.tallies()

    assert outcomes(month) == {"abandoned": 6, "callback_cancelled": 1}
    assert (month.abandoned, month.abandoned_soon, month.abandoned_short) == (5, 4, 2)


def test_a_month_says_by_which_thresholds_it_was_counted() -> None:
    def version(within_s: int, short_abandon_s: int) -> OrganisationDescription:
        quality = Quality(within_s=within_s, short_abandon_s=short_abandon_s)
        return msgspec.structs.replace(description(), quality=quality)

    bench = Bench(version(20, 5))
    start = seconds(2026, 3, 31, 23, 0)
    for number, at in enumerate((start, start + 60, start + 3_600)):
        bench.arrive(at, f"c{number}", "K")
        bench.hang_up(at + 8, f"c{number}")
        if number == 0:
            bench.at(at + 30, e.OrganisationChanged(description=version(10, 8)))

    march, april = bench.engine.tallies()

    assert (march.counted_by, march.abandoned, march.abandoned_soon, march.abandoned_short) == (
        ((20, 5), (10, 8)), 2, 2, 1
    )  # fmt: skip
    assert (april.counted_by, april.abandoned_short) == (((10, 8),), 1)


def test_a_month_says_which_company_it_served_in_the_end_and_in_which_zone() -> None:
    bench = centre(company="tre", time_zone="Europe/London")
    start = seconds(2026, 3, 31, 22, 0)
    bench.arrive(start, "c1", "K")
    bench.arrive(start, "c2", "L")
    bench.at(start, e.OrganisationChanged(description=description(company="wind", time_zone="Europe/London")))
    bench.arrive(start, "c3", "K")
    bench.at(start, e.OrganisationChanged(description=description(company="tre")))

    assert [(month.company, month.time_zone) for month in bench.engine.tallies()] == [
        ("wind", "Europe/London"), ("operator", "Europe/Rome")
    ]  # fmt: skip


def test_counting_begins_with_the_router_or_the_first_call() -> None:
    silent, resumed = centre(), centre()
    silent.ready("A", at=5)
    assert [silent.engine.counting_since_ms] == [None]
    silent.arrive(10, "c", "K")
    resumed.at(7, e.RouterResumed(epoch=1))
    resumed.arrive(10, "c", "K")
    resumed.at(12, e.RouterResumed(epoch=2))

    assert (silent.engine.counting_since_ms, resumed.engine.counting_since_ms) == (10_000, 7_000)
    state, past = resumed.engine.state_in_parts()
    assert Engine.restored(description(), state, past).counting_since_ms == 7_000


# --- Owners ---


def owned() -> Bench:
    """Clients X and Y of one portfolio are owned by O of team t and N of team u; C is X's backup; D is neither."""
    return Bench(
        organisation(
            [team("t", wrap_up_s=0), team("u", wrap_up_s=0)],
            [portfolio("p", "t", "u", max_wait_s=None)],
            [agent("O", "t"), agent("C", "t"), agent("D", "u"), agent("N", "u")],
            [
                client("X", "p", ownerships=owned_by("O", "C")),
                client("Y", "p", ownerships=owned_by("N")),
                client("Z", "p"),
            ],
        )
    )


def by_team(bench: Bench) -> dict[str, tuple[int, ...]]:
    (month,) = bench.engine.tallies()
    return {each.team_id: msgspec.structs.astuple(each)[1:] for each in month.owned}


def test_answers_by_owner_backup_and_others_are_counted_with_the_owners_team() -> None:
    """Of X: by the owner; by the backup while the owner talks; by another. Of Y, whose owner is out: by another."""
    bench = owned()
    start = seconds(2026, 3, 2, 9, 0)
    bench.ready("O", "C", at=start)
    assert bench.talk(start, "x1", "X").agent_id == "O"
    assert bench.talk(start + 1, "x2", "X").agent_id == "C"
    bench.ready("D", at=start + 2)
    assert bench.talk(start + 2, "x3", "X").agent_id == "D"
    bench.end(start + 3, "x3")
    assert bench.talk(start + 4, "y1", "Y").agent_id == "D"
    bench.end(start + 5, "y1")
    assert bench.talk(start + 6, "z1", "Z").agent_id == "D"

    # answered, by owner, by backup, on shift, by owner of those, called back, by owner, by backup
    assert by_team(bench) == {"t": (3, 1, 1, 3, 1, 0, 0, 0), "u": (1, 0, 0, 0, 0, 0, 0, 0)}


def test_whether_the_owner_was_on_shift_counts_from_the_arrival() -> None:
    """O signs out while x1 waits, and was on shift; comes while x2 waits, and was not, yet is the one who answers."""
    bench = owned()
    start = seconds(2026, 3, 2, 9, 0)
    bench.sign_in(start, "O")
    bench.arrive(start + 1, "x1", "X")
    bench.sign_out(start + 2, "O")
    bench.sign_in(start + 3, "C")
    bench.connect(start + 3, bench.back(start + 3, "C"))
    bench.arrive(start + 4, "x2", "X")
    bench.sign_in(start + 5, "O")
    bench.connect(start + 5, bench.back(start + 5, "O"))

    assert by_team(bench) == {"t": (2, 1, 1, 1, 0, 0, 0, 0)}


def test_a_transferred_call_belongs_to_its_first_answer_and_a_call_back_counts_apart() -> None:
    bench = owned()
    start = seconds(2026, 3, 2, 9, 0)
    bench.ready("D", at=start)
    bench.talk(start, "x1", "X")
    bench.ready("O", at=start + 1)
    assert bench.connect(start + 2, bench.transfer(start + 2, "x1")).agent_id == "O"
    bench.end(start + 3, "x1")
    bench.pause(start + 4, "O")
    bench.pause(start + 4, "D")
    bench.arrive(start + 5, "x2", "X")
    bench.call_back(start + 6, "x2")
    bench.connect(start + 7, bench.back(start + 7, "O"))
    bench.transfer(start + 8, "x2")
    bench.arrive(start + 8, "x3", "X")
    bench.call_back(start + 9, "x3")
    bench.sign_in(start + 10, "C")
    assert bench.connect(start + 10, bench.back(start + 10, "C")).call_id == "x2"
    bench.end(start + 11, "x2")

    assert by_team(bench) == {"t": (1, 0, 0, 0, 0, 1, 1, 0)}


def test_counts_go_through_a_snapshot_whole_and_old_ones_can_be_read() -> None:
    """A state as it was written before hang-ups, owners and thresholds were counted: shorter lists."""
    bench = owned()
    bench.ready("O", at=0)
    bench.talk(0, "x", "X", navigation_ms=3_000)
    bench.arrive(1, "w", "X", navigation_ms=4_000)
    bench.hang_up(2, "w")
    (month,) = bench.engine.tallies()
    written = msgspec.msgpack.encode(month)

    assert msgspec.msgpack.decode(written, type=PortfolioMonth) == month
    values = msgspec.msgpack.decode(written)[:5]
    values[4] = [answer[:10] for answer in values[4]]
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(values), type=PortfolioMonth)
    assert (old.arrived, old.answers[0].answered, old.answers[0].navigated, old.owned) == (2, 1, 0, ())
    assert old.counted_by == ((0, 0),)

    engine = bench.engine
    state, past = engine.state_in_parts()
    state = msgspec.structs.replace(state, tallies=(old,))
    again = Engine.restored(owned().engine._organisation.description, state, past)
    again.handle(e.CallArrived(call_id=CallId("later"), client_id=ClientId("X")), now_ms=2_000)

    (month,) = again.tallies()
    assert (month.arrived, month.counted_by) == (3, ((0, 0), (20, 5)))


def test_a_call_that_waits_across_a_restore_counts_with_its_navigation_and_its_owner_on_shift() -> None:
    bench = owned()
    bench.sign_in(0, "O")
    bench.arrive(1, "x", "X", navigation_ms=3_000)
    state, past = bench.engine.state_in_parts()

    again = Engine.restored(bench.engine._organisation.description, state, past)
    (offer,) = again.handle(e.AgentReady(agent_id=AgentId("O")), now_ms=2_000)
    assert isinstance(offer, OfferCall)
    again.handle(accepted(offer), now_ms=2_000)
    again.handle(e.CallConnected(call_id=offer.call_id), now_ms=2_000)

    (month,) = again.tallies()
    ((answer,), (team_t,)) = month.answers, month.owned
    assert (answer.navigated, answer.navigation_ms, answer.navigated_wait_ms) == (1, 3_000, 1_000)
    assert (team_t.on_shift, team_t.on_shift_by_owner) == (1, 1)
