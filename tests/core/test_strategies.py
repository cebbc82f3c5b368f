"""Who is asked first among idle agents of one ring, and when idle time starts to count."""

import pytest

from router.core.decisions import Rule
from router.core.model import OrganisationDescription, Strategy
from tests.core.builders import Bench, agent, client, need, offers, organisation, portfolio, team, the_offer

NAMES = ("ana", "bo", "cleo")


def colleagues(strategy: Strategy = Strategy.LONGEST_IDLE, **options: int) -> OrganisationDescription:
    """Ana, Bo and Cleo are alike; *options* are those of their team."""
    return organisation(
        [team("aquila", strategy=strategy, **options)],
        [portfolio("gold", "aquila")],
        [agent(name, "aquila") for name in NAMES],
    )


# --- Longest idle ---


def test_longest_idle_is_asked_first() -> None:
    bench = Bench(colleagues())
    bench.ready("cleo", at=1)
    bench.ready("ana", at=2)
    bench.ready("bo", at=3)

    asked = [the_offer(bench.arrive(4, call_id)) for call_id in ("c1", "c2", "c3")]

    assert [offer.agent_id for offer in asked] == ["cleo", "ana", "bo"]
    assert {offer.rule for offer in asked} == {Rule.LONGEST_IDLE}


@pytest.mark.parametrize("strategy", Strategy)
def test_agents_alike_and_idle_for_equally_long_are_asked_by_id(strategy: Strategy) -> None:
    bench = Bench(colleagues(strategy))
    bench.ready("cleo", "bo", "ana", at=1)

    asked = [the_offer(bench.arrive(4, call_id)).agent_id for call_id in ("c1", "c2", "c3")]

    assert asked == ["ana", "bo", "cleo"]


def test_agents_of_different_kinds_idle_for_equally_long_are_asked_by_id() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila")],
            [agent("zoe", "aquila"), agent("ana", "aquila", "data"), agent("mia", "aquila", languages=("it",))],
        )
    )
    bench.ready("zoe", "mia", "ana", at=1)

    asked = [the_offer(bench.arrive(4, call_id)).agent_id for call_id in ("c1", "c2", "c3")]

    assert asked == ["ana", "mia", "zoe"]


@pytest.mark.parametrize("strategy", Strategy)
def test_agents_alike_are_asked_by_idle_time_before_id(strategy: Strategy) -> None:
    bench = Bench(colleagues(strategy))
    bench.ready("cleo", at=1)
    bench.ready("bo", at=2)
    bench.ready("ana", at=3)

    asked = [the_offer(bench.arrive(4, call_id)).agent_id for call_id in ("c1", "c2", "c3")]

    assert asked == ["cleo", "bo", "ana"]


# --- When idle time starts ---


def test_idle_time_starts_at_the_end_of_wrap_up() -> None:
    """Ana's call ends first, at 10 s, but her wrap-up lasts until 40 s; Bo's ends by himself at 20 s."""
    bench = Bench(colleagues(wrap_up_s=30))
    bench.ready("ana", "bo")
    bench.talk(0, "c1")
    bench.talk(0, "c2")
    bench.end(10, "c1")
    bench.end(15, "c2")
    bench.back(20, "bo")
    bench.until(40)

    assert offers(bench.arrive(41, "c3")) == {"c3": "bo"}


@pytest.mark.parametrize("answer", ["decline", "miss"])
def test_offer_not_taken_does_not_improve_the_agents_place(answer: str) -> None:
    """Ana, idle for longest, refuses or misses a call: she is still asked first for the next one."""
    bench = Bench(colleagues())
    bench.ready("ana", at=0)
    bench.ready("bo", "cleo", at=1)
    offer = the_offer(bench.arrive(10, "c1"))
    assert offer.agent_id == "ana"

    assert offers(getattr(bench, answer)(12, offer)) == {"c1": "bo"}
    assert offers(bench.arrive(13, "c2")) == {"c2": "ana"}


def test_offer_that_expires_does_not_improve_the_agents_place() -> None:
    bench = Bench(colleagues())
    bench.ready("ana", at=0)
    bench.ready("bo", "cleo", at=1)
    bench.arrive(10, "c1")

    assert offers(bench.until(30)) == {"c1": "bo"}
    assert offers(bench.arrive(31, "c2")) == {"c2": "ana"}


def test_caller_who_hangs_up_while_it_rings_does_not_worsen_the_agents_place() -> None:
    bench = Bench(colleagues())
    bench.ready("ana", at=0)
    bench.ready("bo", at=1)
    bench.arrive(10, "c1")
    bench.hang_up(12, "c1")

    assert offers(bench.arrive(13, "c2")) == {"c2": "ana"}


def test_break_does_not_reset_idle_time() -> None:
    bench = Bench(colleagues())
    bench.ready("ana", at=0)
    bench.ready("bo", at=100)
    bench.pause(200, "ana")
    bench.back(300, "ana")

    assert offers(bench.arrive(301, "c1")) == {"c1": "ana"}


def test_signing_in_anew_starts_idle_time_afresh() -> None:
    bench = Bench(colleagues())
    bench.ready("ana", at=0)
    bench.ready("bo", at=100)
    bench.sign_out(200, "ana")
    bench.ready("ana", at=201)

    assert offers(bench.arrive(301, "c1")) == {"c1": "bo"}


# --- Least occupied ---


def test_least_occupied_is_asked_first() -> None:
    """Since sign-in Ana was on calls for 50 of 100 s, Bo, idle for longer by now, for 60 of 80 s."""
    bench = Bench(colleagues(Strategy.LEAST_OCCUPIED))
    bench.ready("bo", at=0)
    bench.talk(0, "b1")
    bench.ready("ana", at=0)
    bench.talk(0, "a1")
    bench.end(50, "a1")
    bench.pause(50, "ana")
    bench.end(60, "b1")
    bench.pause(60, "bo")
    bench.back(80, "bo")
    bench.back(100, "ana")

    first, second = the_offer(bench.arrive(101, "c1")), the_offer(bench.arrive(101, "c2"))

    assert (first.agent_id, first.rule) == ("ana", Rule.LEAST_OCCUPIED)
    assert second.agent_id == "bo"


def test_occupancy_counts_wrap_up_and_starts_afresh_at_sign_in() -> None:
    """Ana was busy all day and signs in anew: 0 of 10 s. Bo was in wrap-up for most of his session."""
    bench = Bench(colleagues(Strategy.LEAST_OCCUPIED, wrap_up_s=600))
    bench.ready("ana")
    bench.talk(0, "a1")
    bench.end(500, "a1")
    bench.sign_out(500, "ana")
    bench.ready("bo", at=500)
    bench.talk(500, "b1")
    bench.end(501, "b1")
    bench.back(590, "bo")
    bench.sign_in(600, "ana")
    bench.back(610, "ana")

    assert offers(bench.arrive(611, "c1")) == {"c1": "ana"}


# --- Most skilled, least flexible ---


def skilled(strategy: Strategy) -> OrganisationDescription:
    """Low has the skill at 2, high at 9; many can do most else."""
    return organisation(
        [team("aquila", strategy=strategy)],
        [portfolio("gold", "aquila", skills=(need("data"),))],
        [
            agent("low", "aquila", "data:2 cloud:9"),
            agent("high", "aquila", "data:9 cloud:1", languages=("it",)),
            agent("many", "aquila", "data:5 cloud:5 voice:5", languages=("de", "it")),
        ],
    )


def test_most_skilled_in_what_the_call_needs_is_asked_first() -> None:
    """Levels in skills that the call does not need are of no account."""
    bench = Bench(skilled(Strategy.MOST_SKILLED))
    bench.ready("low", at=0)
    bench.ready("many", at=1)
    bench.ready("high", at=2)

    asked = [the_offer(bench.arrive(3, call_id)) for call_id in ("c1", "c2", "c3")]

    assert [offer.agent_id for offer in asked] == ["high", "many", "low"]
    assert {offer.rule for offer in asked} == {Rule.MOST_SKILLED}


def test_most_skilled_counts_all_the_needed_skills_together() -> None:
    bench = Bench(skilled(Strategy.MOST_SKILLED))
    bench.ready("high", at=0)
    bench.ready("low", at=1)

    assert offers(bench.arrive(3, "c1", skills=(need("cloud"),))) == {"c1": "low"}


def test_least_flexible_is_asked_first() -> None:
    """Two skills, then two skills and a language, then three skills and two languages: the polyglot stays free."""
    bench = Bench(skilled(Strategy.LEAST_FLEXIBLE))
    bench.ready("many", at=0)
    bench.ready("high", at=1)
    bench.ready("low", at=2)

    asked = [the_offer(bench.arrive(3, call_id)) for call_id in ("c1", "c2", "c3")]

    assert [offer.agent_id for offer in asked] == ["low", "high", "many"]
    assert {offer.rule for offer in asked} == {Rule.LEAST_FLEXIBLE}


# --- Idlest team ---


def three_teams(**options: Strategy) -> OrganisationDescription:
    """All three may take gold at once; Aquila owns it."""
    return organisation(
        [team("aquila", strategy=Strategy.IDLEST_TEAM, **options), team("pescara"), team("teramo")],
        [portfolio("gold", "aquila", "pescara", "teramo")],
        [
            agent("ana", "aquila"),
            *(agent(name, "pescara") for name in ("pia", "pino")),
            *(agent(name, "teramo") for name in ("tea", "toni", "tara")),
        ],
    )


def test_idlest_team_is_asked_first_after_the_owner_team() -> None:
    """Although Pia has been idle for longest; who is left counts anew each time."""
    bench = Bench(three_teams())
    bench.ready("pia", at=0)
    bench.ready("pino", "tea", "toni", "tara", at=1)
    bench.ready("ana", at=2)

    asked = [the_offer(bench.arrive(3, f"c{number}")) for number in range(6)]

    # Ana's team owns gold. Then Pescara : Teramo is 2 : 3, 2 : 2 with Pia idle for longest, 1 : 2, 1 : 1, 0 : 1.
    assert [offer.agent_id for offer in asked] == ["ana", "tara", "pia", "tea", "pino", "toni"]
    assert {offer.rule for offer in asked} == {Rule.IDLEST_TEAM}


def test_idlest_team_counts_all_the_idle_agents_of_a_team() -> None:
    """Two agents of one team who are not alike count together against one of another."""
    bench = Bench(
        organisation(
            [team("aquila", strategy=Strategy.IDLEST_TEAM), team("pescara"), team("teramo")],
            [portfolio("gold", "aquila", "pescara", "teramo")],
            [
                agent("ana", "aquila"),
                agent("pia", "pescara"),
                agent("tea", "teramo", "data"),
                agent("toni", "teramo", "cloud"),
            ],
        )
    )
    bench.ready("pia", at=0)
    bench.ready("tea", "toni", at=1)

    assert offers(bench.arrive(3, "c1")) == {"c1": "tea"}


def test_ring_comes_before_strategy() -> None:
    bench = Bench(
        organisation(
            [team("aquila", strategy=Strategy.MOST_SKILLED)],
            [portfolio("gold", "aquila", skills=(need("data"),))],
            [agent("near", "aquila", "data:1"), agent("reserve", "aquila", "data:9", after_s=10)],
        )
    )
    bench.ready("reserve", "near")
    bench.arrive(0, "c1")

    assert offers(bench.arrive(50, "c2")) == {}
    assert bench.explain("c1").rule is Rule.MOST_SKILLED
    assert bench.explain("c1").steps[1].agent_id == "near"


def test_owner_teams_strategy_decides_for_all_the_teams_of_its_portfolio() -> None:
    bench = Bench(
        organisation(
            [team("aquila", strategy=Strategy.LEAST_FLEXIBLE), team("pescara")],
            [portfolio("gold", "aquila", "pescara")],
            [agent("ana", "aquila"), agent("pia", "pescara", "data cloud"), agent("pino", "pescara", "data")],
            [client("K1", "gold")],
        )
    )
    bench.ready("pia", at=0)
    bench.ready("pino", at=1)

    assert offers(bench.arrive(2, "c1", "K1")) == {"c1": "pino"}
