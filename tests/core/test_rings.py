"""Reach: the wait after which an agent may be offered a call, ring by ring."""

import pytest

from router.core.decisions import Rule
from router.core.explain import Verdict
from router.core.model import OrganisationDescription
from tests.core.builders import (
    Bench,
    agent,
    client,
    link,
    offers,
    organisation,
    portfolio,
    team,
    the_offer,
    the_queueing,
)


def three_teams() -> OrganisationDescription:
    """Aquila answers for gold; pescara helps aquila after 20 s, teramo helps pescara after 15 s more.

    Of aquila, Rita is a reserve, asked after 10 s. Pescara answers for silver.
    """
    return organisation(
        [
            team("aquila", backups=(link("pescara", 20),)),
            team("pescara", backups=(link("teramo", 15),)),
            team("teramo"),
        ],
        [portfolio("gold", "aquila"), portfolio("silver", "pescara")],
        [
            agent("ana", "aquila"),
            agent("rita", "aquila", after_s=10),
            agent("pia", "pescara"),
            agent("tea", "teramo"),
        ],
        [client("K1", "gold"), client("K2", "silver")],
    )


def test_nearest_ring_first_although_a_further_one_has_been_idle_for_longer() -> None:
    bench = Bench(three_teams())
    bench.ready("tea", "pia", at=0)
    bench.ready("ana", at=500)

    offer = the_offer(bench.arrive(600, "c1", "K1"))

    assert (offer.agent_id, offer.ring) == ("ana", 1)
    assert offer.path == ("client K1", "portfolio gold", "team aquila", "agent ana")


@pytest.mark.parametrize(
    ("agent_id", "opens_s", "ring", "path"),
    [
        ("rita", 10, 2, ("team aquila", "after 10 s: reserve of team aquila", "agent rita")),
        ("pia", 20, 3, ("team aquila", "after 20 s: team pescara", "agent pia")),
        ("tea", 35, 4, ("team aquila", "after 20 s: team pescara", "after 15 s: team teramo", "agent tea")),
    ],
)
def test_ring_opens_to_the_millisecond(agent_id: str, opens_s: int, ring: int, path: tuple[str, ...]) -> None:
    """Waits along the way add up."""
    bench = Bench(three_teams())
    bench.ready(agent_id)
    bench.arrive(100, "c1", "K1")

    assert bench.until(100 + opens_s - 0.001) == ()
    offer = the_offer(bench.until(100 + opens_s))

    assert (offer.agent_id, offer.ring, offer.wait_ms) == (agent_id, ring, opens_s * 1000)
    assert offer.path == ("client K1", "portfolio gold", *path)


def test_call_says_why_it_waits() -> None:
    bench = Bench(three_teams())

    nobody = the_queueing(bench.arrive(0, "c1", "K1"))
    bench.ready("tea", at=1)
    not_yet = the_queueing(bench.arrive(1, "c2", "K1"))
    bench.ready("ana", at=2)
    all_busy = the_queueing(bench.arrive(3, "c3", "K1"))

    assert (nobody.rule, not_yet.rule, all_busy.rule) == (Rule.NOBODY_SIGNED_IN, Rule.NOT_YET, Rule.ALL_BUSY)
    assert nobody.path == ("client K1", "portfolio gold")


def test_wait_before_the_first_team_counts_too() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", link("pescara", 5))],
            [agent("ana", "aquila"), agent("pia", "pescara", after_s=7)],
        )
    )
    bench.ready("pia")
    bench.arrive(0, "c1")

    assert bench.until(11.999) == ()
    assert offers(bench.until(12)) == {"c1": "pia"}


def test_shortest_of_two_ways_counts() -> None:
    """Pescara by a link of 30 s, or by way of teramo in 10 + 15 s."""
    bench = Bench(
        organisation(
            [team("aquila"), team("teramo", backups=(link("pescara", 15),)), team("pescara")],
            [portfolio("gold", "aquila", link("teramo", 10), link("pescara", 30))],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready("pia")
    bench.arrive(0, "c1")

    assert bench.until(24.999) == ()
    offer = the_offer(bench.until(25))

    assert offer.path == (
        "unknown client",
        "portfolio gold",
        "after 10 s: team teramo",
        "after 15 s: team pescara",
        "agent pia",
    )


def test_agent_who_becomes_free_before_the_ring_opens_is_offered_the_call_when_it_does() -> None:
    bench = Bench(three_teams())
    bench.arrive(0, "c1", "K1")
    bench.sign_in(5, "pia")

    assert bench.back(6, "pia") == ()
    assert bench.verdicts("c1")["pia"] is Verdict.NOT_YET
    assert offers(bench.until(20)) == {"c1": "pia"}


def test_agent_who_becomes_free_after_the_ring_has_opened_takes_the_call_by_rank() -> None:
    bench = Bench(three_teams())
    bench.arrive(0, "c1", "K1")
    bench.sign_in(5, "pia")

    offer = the_offer(bench.back(21, "pia"))

    assert (offer.call_id, offer.rule, offer.ring) == ("c1", Rule.RANK, 3)


def test_call_that_may_not_yet_use_an_agent_never_blocks_one_that_may() -> None:
    """Eligibility before rank: Pia takes the later call of her own team's portfolio."""
    bench = Bench(three_teams())
    bench.arrive(0, "c1", "K1")
    bench.arrive(5, "c2", "K2")
    bench.sign_in(10, "pia")

    assert offers(bench.back(10, "pia")) == {"c2": "pia"}


def test_call_that_an_agent_may_never_take_does_not_block_one_that_it_may() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila")],
            [agent("ana", "aquila"), agent("bo", "aquila", "data")],
            [client("K1", "gold"), client("K2", "gold", exclusions=("ana",))],
        )
    )
    bench.arrive(0, "c1", "K2")
    bench.arrive(1, "c2", "K1")
    bench.sign_in(5, "ana")

    assert offers(bench.back(5, "ana")) == {"c2": "ana"}


def test_once_open_a_ring_is_ranked_with_the_nearer_ones() -> None:
    bench = Bench(three_teams())
    bench.arrive(0, "c1", "K1")
    bench.arrive(1, "c2", "K2")
    bench.sign_in(20, "pia")

    assert offers(bench.back(20, "pia")) == {"c1": "pia"}


def test_caller_who_hung_up_is_not_offered_when_the_next_ring_opens() -> None:
    bench = Bench(three_teams())
    bench.ready("pia")
    bench.arrive(0, "c1", "K1")
    bench.hang_up(10, "c1")

    assert bench.until(100) == ()


def test_teams_that_help_each_other_are_asked_once_each() -> None:
    bench = Bench(
        organisation(
            [team("aquila", backups=(link("pescara", 20),)), team("pescara", backups=(link("aquila", 20),))],
            [portfolio("gold", "aquila"), portfolio("silver", "pescara")],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready("ana")
    bench.arrive(0, "c1", portfolio_id="silver")

    assert bench.until(19.999) == ()
    assert offers(bench.until(20)) == {"c1": "ana"}


def test_ring_without_anybody_free_is_passed_over() -> None:
    """Pia's ring opens while she talks; Tea's opens 15 s later and is asked at once."""
    bench = Bench(three_teams())
    bench.ready("pia", "tea")
    bench.talk(0, "c0", "K2")
    bench.arrive(0, "c1", "K1")

    assert bench.until(34.999) == ()
    assert offers(bench.until(35)) == {"c1": "tea"}
