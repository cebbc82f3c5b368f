"""What becomes of callers and agents: every rule of a scenario, in organisations of a few people."""

from contextlib import closing, suppress
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.core import Engine, EventRejected
from router.core.events import CallAbandoned, CallTransferred, OrganisationChanged
from router.core.model import (
    AgentId,
    AgentStatus,
    Fallback,
    FallbackKind,
    Hours,
    OrganisationDescription,
    PortfolioId,
    Segment,
    SiteId,
    TeamId,
    Weekday,
)
from router.journal import SqliteJournal
from router.roster_files import Activity, ShiftRow
from router.service.decider import Decider
from router.simulation import centre
from router.simulation.centre import Run, play
from router.simulation.counts import Counts, Scope
from router.simulation.scenario import Calls, Presence, Roster, Scenario, SiteTalk, Transfer
from router.simulation.times import Law, Times
from router.wire import decode_record
from tests.core.builders import agent, client, organisation, owned_by, portfolio, site, team

MONDAY = date(2027, 6, 14)
TALK_S = 100
FIXED = Times(law=Law.FIXED, mean_s=TALK_S)
GOLD, IRON = PortfolioId("gold"), PortfolioId("iron")


def centre_of(size: int = 4, **options: Any) -> OrganisationDescription:
    """One team for two portfolios, with a minute of wrap-up at most."""
    fields: dict[str, Any] = {
        "teams": (team("a", wrap_up_s=60),),
        "portfolios": (portfolio("gold", "a"), portfolio("iron", "a")),
        "agents": tuple(agent(f"a{number}", "a") for number in range(size)),
        **options,
    }
    return organisation(**fields)


def calls(portfolio_id: PortfolioId = GOLD, **given: Any) -> Calls:
    fields: dict[str, Any] = {"a_day": 800, "by_hour": (0.0,) * 8 + (1.0,) * 10 + (0.0,) * 6, "talk_s": FIXED, **given}
    return Calls(portfolio_id=portfolio_id, **fields)


def scenario(*of: Calls, agents: int = 4, days: int = 1, **given: Any) -> Scenario:
    roster = Roster(team_id=TeamId("a"), by_hour=(0,) * 8 + (agents,) * 12 + (0,) * 4)
    fields: dict[str, Any] = {"rosters": (roster,), **given}
    return Scenario(starts=MONDAY, ends=MONDAY + timedelta(days=days), calls=of or (calls(patience_s=300),), **fields)


def of_portfolio(run: Run, portfolio_id: str = "gold") -> Counts:
    return run.counts.by_scope[Scope.PORTFOLIO][portfolio_id]


def engines_of(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Filled with the engines of the runs to come."""
    engines: list[Engine] = []

    def remembered(*given: Any, **named: Any) -> Engine:
        engines.append(Engine(*given, **named))
        return engines[-1]

    monkeypatch.setattr(centre, "Engine", remembered)
    return engines


def assert_all_ended(run: Run) -> None:
    total = run.counts.total
    assert run.left == 0
    assert total.arrived == total.answered + total.abandoned + total.elsewhere + total.called_back


# --- Agents ---


def test_talk_and_wrap_up_take_as_long_as_was_drawn() -> None:
    run = play(scenario(calls(patience_s=300, wrap_up_s=Times(law=Law.FIXED, mean_s=20))), centre_of())

    gold = of_portfolio(run)
    assert gold.talk_ms == gold.answered * TALK_S * 1000
    assert gold.busy_ms == gold.answered * (TALK_S + 20) * 1000
    assert run.rejected == {}
    assert_all_ended(run)


def test_no_wrap_up_is_longer_than_the_team_allows() -> None:
    limit, long, at_once = (
        of_portfolio(play(scenario(calls(patience_s=300, wrap_up_s=wrap_up)), centre_of()))
        for wrap_up in (None, Times(law=Law.FIXED, mean_s=600), Times(seconds=(0, 1e-9)))
    )

    assert limit.busy_ms == limit.answered * (TALK_S + 60) * 1000
    assert (long.answered, long.busy_ms) == (limit.answered, limit.busy_ms)
    assert at_once.busy_ms == at_once.talk_ms


def test_the_routers_own_measure_of_busy_time_is_that_of_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = engines_of(monkeypatch)

    often = Presence(break_every_s=3_600)

    # Until after all have gone home, so that some have to finish a call first.
    late = calls(a_day=2_500, patience_s=200, wrap_up_s=20, by_hour=(0.0,) * 8 + (1.0,) * 13 + (0.0,) * 3)

    run = play(scenario(late, answer_s=4, misses=0.05, declines=0.05, presence=often), centre_of())

    (engine,) = engines
    agents = engine.state_in_parts()[0].roster.agents
    assert sum(each.busy_ms for each in agents) == of_portfolio(run).busy_ms
    assert {each.status for each in agents} == {AgentStatus.SIGNED_OUT}


def test_what_was_lived_through_is_in_the_routers_books(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted twice, by different code and from different ends: what the router reports of is what people met."""
    engines = engines_of(monkeypatch)
    rows = tuple(ShiftRow(agent_id=AgentId(a), day=MONDAY, starts=time(8), ends=time(20)) for a in ("a1", "a2", "a3"))
    to_iron = (Transfer(portfolio_id=IRON, share=0.2),)
    busy = calls(patience_s=120, unknown=0.2, repeats=0.5, wrap_up_s=20, transfers=to_iron)

    run = play(scenario(busy, rosters=(), shifts=rows, answer_s=4, declines=0.05), owned_centre())

    (engine,) = engines
    months = engine.tallies()
    (gold,) = (month for month in months if month.portfolio_id == "gold")
    (owned,) = gold.owned
    (answers,) = gold.answers
    lived = of_portfolio(run)
    assert (lived.arrived, lived.answered, lived.answered_soon) == (
        gold.arrived,
        answers.answered,
        answers.answered_soon,
    )
    assert lived.wait_ms == answers.wait_ms
    assert (lived.abandoned, lived.abandoned_soon, lived.abandoned_short) == (
        gold.abandoned, gold.abandoned_soon, gold.abandoned_short,
    )  # fmt: skip
    assert (lived.owned, lived.by_owner, lived.by_backup) == (owned.answered, owned.by_owner, owned.by_backup)
    assert (lived.on_shift, lived.on_shift_by_owner) == (owned.on_shift, owned.on_shift_by_owner)
    assert lived.talk_ms == sum(place.talk_ms for month in months for place in month.answers)
    assert lived.transferred - lived.transferred_lost == sum(
        place.transferred for month in months for place in month.answers
    )
    assert min(lived.abandoned_short, lived.by_backup, lived.repeated, lived.transferred) > 0


def test_some_agents_talk_longer_than_others() -> None:
    plain, spread = (
        of_portfolio(play(scenario(calls(a_day=400), agent_variation=variation), centre_of())) for variation in (0, 0.3)
    )

    assert plain.talk_ms == plain.answered * TALK_S * 1000
    assert spread.talk_ms % 1000 != 0


def test_a_ringing_call_is_answered_after_its_time_or_missed() -> None:
    quick = play(scenario(calls(a_day=100), answer_s=Times(law=Law.FIXED, mean_s=4)), centre_of())
    slow = play(scenario(calls(a_day=100), answer_s=Times(seconds=(1, 30))), centre_of())

    assert quick.counts.waits["gold"][:2] == [0, of_portfolio(quick).answered]
    assert of_portfolio(quick).missed == 0
    # An offer stands for 20 s.
    assert of_portfolio(slow).missed > 20
    assert sum(quick.counts.states_ms["offered"]) == of_portfolio(quick).answered * 4_000
    assert_all_ended(slow)


def test_offers_are_missed_and_declined_as_often_as_the_scenario_says() -> None:
    run = play(scenario(calls(patience_s=600), misses=0.05, declines=0.1, days=4), centre_of())

    total = run.counts.total
    assert total.declined / total.offered == pytest.approx(0.1, rel=0.15)
    assert total.missed / total.offered == pytest.approx(0.05, rel=0.25)
    # All who abandon wait in the queue, so that every offer ends in one of three ways but for a hang-up while it rings.
    assert total.offered - total.answered - total.missed - total.declined <= total.missed
    assert_all_ended(run)


def test_breaks_come_after_every_two_hours_and_last_as_long_as_they_should() -> None:
    presence = Presence(break_every_s=7_200, break_s=900)

    run = play(scenario(calls(a_day=400, patience_s=300, wrap_up_s=20), presence=presence), centre_of())

    # Four agents for twelve hours, whom nobody relieves.
    breaks = sum(run.counts.states_ms["not_ready"]) / 900_000
    assert breaks == pytest.approx(4 * 12 / 2.25, abs=3)
    assert run.counts.total.staffed_ms == run.counts.total.signed_in_ms - sum(run.counts.states_ms["not_ready"])
    assert run.rejected == {}
    assert_all_ended(run)


def test_breaks_of_a_roster_file_are_taken() -> None:
    day = [
        ShiftRow(agent_id=AgentId("a0"), day=MONDAY, starts=time(starts), ends=time(ends), activity=activity)
        for starts, ends, activity in ((8, 11, Activity.WORK), (11, 12, Activity.BREAK), (12, 18, Activity.WORK))
    ]

    run = play(scenario(calls(a_day=100, patience_s=900), rosters=(), shifts=tuple(day)), centre_of())

    assert run.counts.states_ms["not_ready"][11] == pytest.approx(3_600_000, abs=170_000)
    assert sum(run.counts.states_ms["not_ready"]) == run.counts.states_ms["not_ready"][11]
    assert run.counts.teams_by_hour["a"][11].answered <= 1
    assert run.counts.teams_by_hour["a"][13].answered > 5


def test_whoever_finds_no_seat_tries_again() -> None:
    """The one who leaves is still in a call when the next one comes."""
    described = centre_of(sites=(site("laquila", "IT", seats=1),))
    rows = tuple(
        ShiftRow(agent_id=AgentId(name), day=MONDAY, starts=time(starts), ends=time(ends))
        for name, starts, ends in (("a0", 8, 12), ("a1", 12, 18))
    )

    run = play(scenario(calls(a_day=400, patience_s=300), rosters=(), shifts=rows), described)

    assert run.rejected == {"site_full": run.rejected["site_full"]}
    assert run.counts.teams_by_hour["a"][13].answered > 10
    assert_all_ended(run)


def test_answers_count_where_the_agent_sits_that_day() -> None:
    described = centre_of(1, sites=(site("laquila", "IT"), site("roma", "IT")))
    rows = tuple(
        ShiftRow(agent_id=AgentId("a0"), day=MONDAY, starts=time(starts), ends=time(ends), site_id=SiteId(where))
        for starts, ends, where in ((8, 11, "laquila"), (13, 18, "roma"))
    )
    slow = (SiteTalk(site_id=SiteId("roma"), talk_percent=150),)

    run = play(scenario(calls(a_day=200, patience_s=300), rosters=(), shifts=rows, sites=slow), described)

    sites = run.counts.by_scope[Scope.SITE]
    assert sites["laquila"].answered + sites["roma"].answered == of_portfolio(run).answered
    assert sites["laquila"].talk_ms == sites["laquila"].answered * TALK_S * 1000
    assert sites["roma"].talk_ms == sites["roma"].answered * TALK_S * 1500
    assert sites["roma"].signed_in_ms == pytest.approx(5 * 3_600_000, rel=0.02)
    assert min(sites["laquila"].answered, sites["roma"].answered) > 10


# --- Callers ---


def owned_centre() -> OrganisationDescription:
    return centre_of(clients=tuple(client(f"c{n}", "gold", ownerships=owned_by(f"a{n}", "a3")) for n in range(3)))


def test_owners_answer_their_clients_and_know_them() -> None:
    quiet = calls(a_day=60, owner_talk_percent=80)

    run = play(scenario(quiet), owned_centre())

    gold = of_portfolio(run)
    assert gold.owned == gold.on_shift == gold.answered
    assert gold.by_owner == gold.on_shift_by_owner > 0.8 * gold.owned
    assert gold.by_owner + gold.by_backup <= gold.answered
    others = gold.answered - gold.by_owner
    assert gold.talk_ms == (gold.by_owner * 80 + others * 100) * 1000
    assert run.counts.by_scope[Scope.TEAM]["a"].by_owner == gold.by_owner


def test_an_owner_who_is_not_there_is_not_on_shift() -> None:
    rows = tuple(ShiftRow(agent_id=AgentId(a), day=MONDAY, starts=time(8), ends=time(20)) for a in ("a1", "a2", "a3"))

    gold = of_portfolio(play(scenario(calls(a_day=60), rosters=(), shifts=rows), owned_centre()))

    assert 0 < gold.on_shift < gold.owned == gold.answered
    assert gold.on_shift_by_owner == gold.by_owner


def test_unknown_callers_have_no_owner() -> None:
    gold = of_portfolio(play(scenario(calls(a_day=400, unknown=0.5, patience_s=300)), owned_centre()))

    assert gold.owned / gold.answered == pytest.approx(0.5, abs=0.1)


def test_callers_of_a_segment_go_where_the_segment_goes() -> None:
    """Gold is the default portfolio, and the platform says no more than the segment."""
    described = centre_of(
        teams=(team("a"), team("b")),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "b")),
        agents=(agent("a0", "a"), agent("b0", "b")),
        segments=(Segment(segment="consumer", portfolio_id=IRON),),
    )
    rosters = tuple(Roster(team_id=TeamId(name), by_hour=(1,) * 24) for name in ("a", "b"))

    run = play(scenario(calls(IRON, a_day=50, segment="consumer"), rosters=rosters), described)

    assert run.counts.by_scope[Scope.TEAM]["b"].answered == of_portfolio(run, "iron").arrived
    assert run.counts.by_scope[Scope.TEAM]["a"].answered == 0


def test_those_who_hung_up_call_again_but_not_for_ever() -> None:
    """One agent, whom hardly anybody reaches, and callers who give up after half a minute."""
    hasty = calls(
        a_day=600, patience_s=Times(law=Law.FIXED, mean_s=30), repeats=1.0, repeats_max=2,
        repeat_after_s=Times(law=Law.FIXED, mean_s=300),
    )  # fmt: skip

    once, again = (
        play(scenario(each, agents=1), centre_of(1)) for each in (msgspec.structs.replace(hasty, repeats=0.0), hasty)
    )

    first, second = of_portfolio(once), of_portfolio(again)
    assert first.repeated == 0
    assert second.arrived - second.repeated == first.arrived
    assert second.repeated > first.arrived
    assert second.repeated <= 2 * first.arrived
    assert once.callers_digest != again.callers_digest
    assert_all_ended(again)


def test_nobody_calls_again_once_the_portfolio_is_closed() -> None:
    until_noon = Hours(days=tuple(Weekday), opens=time(8), closes=time(12))
    shut = portfolio("gold", "a", hours=(until_noon,), fallback=Fallback(FallbackKind.MESSAGE))
    hasty = calls(patience_s=5, repeats=1.0, repeat_after_s=3_600)

    run = play(scenario(hasty, agents=1), centre_of(1, portfolios=(shut,)))

    assert sum(hour.arrived for hour in run.counts.by_hour["gold"][12:]) == 0
    assert of_portfolio(run).elsewhere == 0


def test_a_transferred_call_goes_on_with_somebody_else_and_talks_for_the_rest() -> None:
    to_iron = (Transfer(portfolio_id=IRON, share=0.5, after_percent=40),)

    run = play(scenario(calls(a_day=300, transfers=to_iron), calls(IRON, a_day=50)), centre_of())

    gold, iron = of_portfolio(run), of_portfolio(run, "iron")
    assert gold.transferred / gold.answered == pytest.approx(0.5, abs=0.08)
    assert gold.transferred_lost == 0
    assert gold.offered == gold.answered + gold.transferred
    # Both parts are the work of the portfolio at which the caller had arrived.
    assert gold.talk_ms == gold.answered * TALK_S * 1000
    assert iron.answered == iron.arrived
    assert run.counts.by_scope[Scope.TEAM]["a"].transferred == gold.transferred
    assert run.counts.total.answered == gold.answered + iron.answered
    assert run.rejected == {}
    assert_all_ended(run)


def test_callers_who_are_transferred_into_a_long_queue_may_hang_up() -> None:
    to_iron = (Transfer(portfolio_id=IRON, share=1.0),)

    run = play(scenario(calls(a_day=400, patience_s=20, transfers=to_iron), agents=1), centre_of(2))

    gold = of_portfolio(run)
    assert gold.transferred == gold.answered
    # Nobody gets a call back that they have passed on, and there is nobody else.
    assert gold.transferred_lost == gold.transferred
    assert_all_ended(run)


def test_whoever_was_transferred_waits_afresh(tmp_path: Path) -> None:
    """Nobody answers iron, so each hangs up when all of the patience is over again."""
    patience = Times(law=Law.FIXED, mean_s=90)
    to_iron = (Transfer(portfolio_id=IRON, share=1.0, after_percent=10),)
    described = centre_of(
        teams=(team("a"), team("b")),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "b")),
        agents=(agent("a0", "a"), agent("b0", "b")),
    )
    rows = tuple(
        ShiftRow(agent_id=AgentId(name), day=MONDAY, starts=time(starts), ends=time(starts + 12))
        for name, starts in (("a0", 8), ("b0", 0))
    )
    busy = calls(a_day=2_000, patience_s=patience, transfers=to_iron, by_hour=(0.0,) * 12 + (1.0,) * 4 + (0.0,) * 8)

    run = play(scenario(busy, rosters=(), shifts=rows), described, journal=tmp_path / "journal.db")

    transferred: dict[str, int] = {}
    waits: set[int] = set()
    with closing(SqliteJournal(tmp_path / "journal.db", read_only=True)) as reader:
        for record in reader.read("main"):
            at_ms, event = decode_record(record.body)
            if isinstance(event, CallTransferred):
                transferred[event.call_id] = at_ms
            elif isinstance(event, CallAbandoned) and event.call_id in transferred:
                waits.add(at_ms - transferred[event.call_id])
    assert len(transferred) == of_portfolio(run).transferred_lost > 200
    assert waits == {90_001}


def test_a_router_that_has_nothing_but_the_journal_decides_the_same(tmp_path: Path) -> None:
    """Clients, breaks, declines, transfers, repeats: each event is one that a live router would have taken."""
    to_iron = (Transfer(portfolio_id=IRON, share=0.2),)
    busy = calls(a_day=500, patience_s=60, unknown=0.2, repeats=0.5, wrap_up_s=20, transfers=to_iron)
    of = scenario(busy, answer_s=4, misses=0.05, declines=0.05, presence=Presence(break_every_s=3_600, late=0.5))

    run = play(of, owned_centre(), journal=tmp_path / "journal.db")

    with closing(SqliteJournal(tmp_path / "journal.db", read_only=True)) as reader:
        records = reader.read("main")
        at_ms, event = decode_record(next(records).body)
        assert isinstance(event, OrganisationChanged)
        decider = Decider.of_first_record(Engine(event.description), event.description, 1, at_ms)
        for record in records:
            at_ms, event = decode_record(record.body)
            with suppress(EventRejected):
                decider.apply(record.offset, at_ms, event)
    assert decider.diverged_at is None
    assert decider.digest.hex() == run.decisions_digest
    assert play(of, owned_centre()).decisions_digest == run.decisions_digest


# --- Over midnight ---

ALWAYS = Roster(team_id=TeamId("a"), by_hour=(2,) * 24)


def test_those_who_are_there_at_midnight_are_counted_on_both_days() -> None:
    run = play(scenario(calls(a_day=50), days=2, rosters=(ALWAYS,)), centre_of(2))

    assert [hour.signed_in_ms for hour in run.counts.by_hour["all"]] == [2 * 2 * 3_600_000] * 24
    assert sum(run.counts.states_ms["in_call"]) == pytest.approx(of_portfolio(run).talk_ms, abs=200_000)


def test_calls_of_the_warm_up_that_are_answered_after_it_are_not_counted() -> None:
    all_day = calls(a_day=1_500, by_hour=(1.0,) * 24, patience_s=1_200)

    run = play(scenario(all_day, days=2, rosters=(ALWAYS,), warm_up_days=1), centre_of(2))

    gold, a = of_portfolio(run), run.counts.by_scope[Scope.TEAM]["a"]
    assert (gold.answered, gold.wait_ms, gold.talk_ms) == (a.answered, a.wait_ms, a.talk_ms)
    assert gold.answered == sum(run.counts.waits["gold"])
    assert gold.answered + gold.abandoned + gold.elsewhere == gold.arrived
    # The queue was full at midnight.
    assert run.counts.by_hour["gold"][0].wait_ms > 300_000 * run.counts.by_hour["gold"][0].answered


# --- The same callers for all ---


def test_two_policies_meet_the_very_same_callers() -> None:
    """Who calls, how often they would try, what they want: nothing of it depends on how they are answered."""
    many = (
        calls(patience_s=60, repeats=0.5, wrap_up_s=20, transfers=(Transfer(portfolio_id=IRON, share=0.1),)),
        calls(IRON, a_day=200, patience_s=60),
    )
    of = scenario(*many, days=2, misses=0.02, declines=0.02, answer_s=3)
    waits = msgspec.structs.replace(
        owned_centre(), portfolios=(portfolio("gold", "a", owner_wait_s=60), portfolio("iron", "a"))
    )

    at_once, held = play(of, owned_centre()), play(of, waits)

    assert at_once.callers_digest == held.callers_digest
    assert at_once.decisions_digest != held.decisions_digest
    first, second = at_once.counts.total, held.counts.total
    assert first.arrived - first.repeated == second.arrived - second.repeated
    assert second.by_owner > first.by_owner
