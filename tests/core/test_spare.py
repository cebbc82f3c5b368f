"""A team that helps at once while it can spare agents: ``keep_idle``."""

import pytest
from msgspec.structs import replace

from router.core import Engine
from router.core.decisions import Rule
from router.core.events import OrganisationChanged, PlaceRequested
from router.core.explain import Verdict
from router.core.model import (
    Area,
    Membership,
    OrganisationDescription,
    OwnerWait,
    PlacePolicy,
    SiteId,
    Strategy,
    TeamId,
)
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    link,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
    the_queueing,
)

HELPERS = ("pia", "pino", "pola")


def neighbours(keep_idle: int | None = 1, **options: object) -> OrganisationDescription:
    """Aquila, where Ana is alone, answers for gold; Pescara, three alike, for silver, and helps gold after 20 s."""
    return organisation(
        [team("aquila"), team("pescara", keep_idle=keep_idle, **options)],
        [portfolio("gold", "aquila", link("pescara", 20)), portfolio("silver", "pescara")],
        [agent("ana", "aquila"), *(agent(name, "pescara") for name in HELPERS)],
        [client("K1", "gold"), client("K2", "silver"), client("K3", "gold", ownerships=owned_by("ana"))],
    )


def crowded(keep_idle: int | None = 1, **options: object) -> Bench:
    """Ana talks; Pescara's agents are idle, Pia for longest."""
    bench = Bench(neighbours(keep_idle, **options))
    for at, name in enumerate(("ana", *HELPERS)):
        bench.ready(name, at=at)
    bench.talk(10, "busy", "K1")
    return bench


def test_team_helps_at_once_while_it_can_spare_agents() -> None:
    """Three are idle, and one is kept: two callers are helped, the third waits."""
    bench = crowded()

    first, second = the_offer(bench.arrive(20, "c1", "K1")), the_offer(bench.arrive(21, "c2", "K1"))

    assert (first.agent_id, first.rule, first.ring) == ("pia", Rule.SPARE, 2)
    assert first.path == (
        "client K1", "portfolio gold", "while more than 1 of its agents are idle: team pescara", "agent pia",
    )  # fmt: skip
    assert second.agent_id == "pino"
    assert the_queueing(bench.arrive(22, "c3", "K1")).rule is Rule.ALL_BUSY


def test_team_that_keeps_nobody_helps_to_the_last_agent() -> None:
    bench = crowded(keep_idle=0)

    helped = [offers(bench.arrive(20, call_id, "K1")) for call_id in ("c1", "c2", "c3", "c4")]

    assert helped == [{"c1": "pia"}, {"c2": "pino"}, {"c3": "pola"}, {}]


def test_team_that_says_nothing_helps_after_the_wait_alone() -> None:
    bench = crowded(keep_idle=None)

    assert offers(bench.arrive(20, "c1", "K1")) == {}
    assert offers(bench.until(40)) == {"c1": "pia"}


def test_what_is_kept_is_kept_from_nobody_after_the_wait() -> None:
    bench = crowded(keep_idle=3)
    bench.arrive(20, "c1", "K1")

    decisions = bench.until(40)

    assert the_offer(decisions).rule is Rule.LONGEST_IDLE
    assert offers(decisions) == {"c1": "pia"}


def test_own_calls_have_the_agents_who_are_kept() -> None:
    bench = crowded(keep_idle=3)

    assert offers(bench.arrive(20, "c1", "K2")) == {"c1": "pia"}


def test_nearest_ring_first_although_the_other_team_could_spare_agents() -> None:
    bench = Bench(neighbours())
    bench.ready(*HELPERS, at=0)
    bench.ready("ana", at=5)

    assert offers(bench.arrive(20, "c1", "K1")) == {"c1": "ana"}


def test_freed_agent_helps_if_enough_others_are_idle() -> None:
    """Pino and Pola rest; when Pia is free too, Pescara can spare one, and it is she, who has found nothing else."""
    bench = crowded(keep_idle=2)
    bench.talk(11, "p1", "K2")
    assert offers(bench.arrive(20, "c1", "K1")) == {}

    decisions = bench.end(25, "p1")

    assert offers(decisions) == {"c1": "pia"}
    assert the_offer(decisions).rule is Rule.SPARE


def test_freed_agent_takes_own_calls_before_those_of_others() -> None:
    """The caller of gold has waited for longer, but the team helps with what it can spare."""
    bench = crowded(keep_idle=0)
    for number in range(3):
        bench.talk(11, f"p{number}", "K2")
    bench.arrive(20, "helped", "K1")
    bench.arrive(30, "own", "K2")

    assert offers(bench.end(35, "p0")) == {"own": "pia"}
    assert offers(bench.end(36, "p1")) == {"helped": "pino"}


def test_helped_in_order_of_rank() -> None:
    bench = crowded(keep_idle=0)
    for number in range(3):
        bench.talk(11, f"p{number}", "K2")
    bench.arrive(20, "later", "K1")
    bench.arrive(21, "sooner", "K1", head_start_s=5)

    assert offers(bench.end(35, "p0")) == {"sooner": "pia"}


def test_colleague_of_other_skills_helps_when_the_team_can_spare_one() -> None:
    """Pia knows no data. That she is free lets Pescara spare Dora, who does."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara", keep_idle=1)],
            [portfolio("gold", "aquila", link("pescara", 20), skills=(need("data"),)), portfolio("silver", "pescara")],
            [agent("ana", "aquila", "data"), agent("dora", "pescara", "data"), agent("pia", "pescara")],
            [client("K1", "gold"), client("K2", "silver")],
        )
    )
    bench.ready("pia", at=0)
    bench.talk(1, "p1", "K2")
    bench.ready("ana", "dora", at=2)
    bench.talk(3, "busy", "K1")
    assert offers(bench.arrive(10, "c1", "K1")) == {}

    assert offers(bench.end(15, "p1")) == {"c1": "dora"}


def test_call_that_had_better_wait_for_its_owner_lets_the_next_be_helped() -> None:
    """When Pia is free, Pescara can spare Dora. K1's call may wait for Ana, who is in wrap-up; K3 has no owner."""
    gold = {"owner_wait": OwnerWait.PREDICTED, "owner_wait_s": 120, "owner_worth_s": 600, "skills": (need("data"),)}
    bench = Bench(
        organisation(
            [team("aquila", wrap_up_s=30), team("pescara", keep_idle=1)],
            [portfolio("gold", "aquila", link("pescara", 200), **gold), portfolio("silver", "pescara")],
            [agent("ana", "aquila", "data"), agent("dora", "pescara", "data"), agent("pia", "pescara")],
            [
                client("K1", "gold", ownerships=owned_by("ana")),
                client("K2", "silver"),
                client("K3", "gold"),
            ],
        )
    )
    bench.ready("pia", at=0)
    bench.talk(1, "p1", "K2")
    bench.ready("ana", "dora", at=2)
    bench.talk(3, "busy", "K1")
    bench.arrive(10, "c1", "K1")
    bench.arrive(11, "c2", "K3")
    bench.end(12, "busy")

    assert offers(bench.end(15, "p1")) == {"c2": "dora"}
    assert offers(bench.until(42)) == {"c1": "ana"}


def test_agents_asked_late_by_their_own_team_are_not_lent() -> None:
    """Rita is a reserve, and Leo will do only once the need has relaxed: both wait for that."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara", keep_idle=0)],
            [portfolio("gold", "aquila", link("pescara", 20), skills=(need("data", 2, (30, 1)),))],
            [
                agent("ana", "aquila", "data:2"),
                agent("rita", "pescara", "data:2", after_s=5),
                agent("leo", "pescara", "data:1"),
            ],
        )
    )
    bench.ready("rita", "leo")
    bench.arrive(1, "c1")

    assert offers(bench.until(25)) == {}
    assert offers(bench.until(26)) == {"c1": "rita"}


def test_call_held_for_its_owner_is_not_helped() -> None:
    description = organisation(
        [team("aquila", handling_s=60), team("pescara", keep_idle=0)],
        [portfolio("gold", "aquila", link("pescara", 200), owner_wait_s=90)],
        [agent("ana", "aquila"), agent("pia", "pescara")],
        [client("K3", "gold", ownerships=owned_by("ana"))],
    )
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(1, "busy", "K3")
    bench.ready("pia", at=2)

    assert the_queueing(bench.arrive(10, "c1", "K3")).rule is Rule.OWNER_HOLD
    assert offers(bench.until(99.9)) == {}
    assert offers(bench.until(100)) == {"c1": "pia"}


def test_declining_helper_is_not_asked_again_while_it_cools_down() -> None:
    bench = crowded(keep_idle=1)

    decisions = bench.decline(21, the_offer(bench.arrive(20, "c1", "K1")))

    assert offers(decisions) == {"c1": "pino"}


@pytest.mark.parametrize(("strategy", "helper"), [(Strategy.LONGEST_IDLE, "tea"), (Strategy.IDLEST_TEAM, "pia")])
def test_strategy_of_the_owner_team_chooses_among_teams_that_can_spare(strategy: Strategy, helper: str) -> None:
    """Tea has been idle for longer, but in Pescara more are idle."""
    bench = Bench(
        organisation(
            [team("aquila", strategy=strategy), team("pescara", keep_idle=0), team("teramo", keep_idle=0)],
            [portfolio("gold", "aquila", link("pescara", 20), link("teramo", 20))],
            [agent("ana", "aquila"), agent("tea", "teramo"), agent("pia", "pescara"), agent("pino", "pescara")],
        )
    )
    bench.ready("tea", at=0)
    bench.ready("pia", "pino", at=1)

    assert offers(bench.arrive(2, "c1")) == {"c1": helper}


def test_explanation_says_when_the_team_would_help() -> None:
    bench = crowded(keep_idle=3)
    bench.arrive(20, "c1", "K1")

    (answer,) = (each for each in bench.explain("c1").agents if each.agent_id == "pia")

    assert answer.verdict is Verdict.NOT_YET
    assert answer.detail == (
        "may be offered the call after 20 s of waiting; it had waited 0 s, "
        "or while more than 3 of team pescara are idle"
    )
    assert answer.may_change_ms == 40_000


def test_restored_engine_helps_the_calls_that_waited() -> None:
    """It knows that Pola is idle: with Pia there are two, one more than are kept."""
    bench = crowded(keep_idle=1)
    for number in range(2):
        bench.talk(11, f"p{number}", "K2")
    bench.arrive(20, "c1", "K1")
    state, past = bench.engine.state_in_parts()

    bench.engine = Engine.restored(neighbours(keep_idle=1), state, past)

    assert offers(bench.end(25, "p0")) == {"c1": "pia"}


def test_new_version_of_the_organisation_says_anew_what_is_kept() -> None:
    """Nobody is kept any more; and whoever changes teams counts where they are now."""
    bench = crowded(keep_idle=3)
    bench.arrive(20, "c1", "K1")
    bench.arrive(21, "c2", "K1")
    before = neighbours(keep_idle=1)
    changed = replace(
        before,
        agents=tuple(
            replace(person, team_id=TeamId("aquila")) if person.agent_id == "pola" else person
            for person in before.agents
        ),
    )

    decisions = bench.at(25, OrganisationChanged(description=changed))

    assert offers(decisions) == {"c1": "pola", "c2": "pia"}
    assert offers(bench.arrive(26, "c3", "K1")) == {}


def test_team_behind_a_gate_helps_when_the_gate_opens() -> None:
    """Tea sits outside: she is asked only while one at work inside is not needed for callers who have asked."""
    bench = Bench(
        organisation(
            [team("aquila"), team("tirana", keep_idle=0, site_id=SiteId("tirana"))],
            [portfolio("gold", "aquila", link("tirana", 600))],
            [agent("ana", "aquila"), agent("tea", "tirana")],
            sites=(SITE, site("tirana", "AL")),
            areas=(Area(area_id="eu", members=(Membership("IT"),)),),
            place=PlacePolicy(area_id="eu", guarantee_agents=1),
        )
    )
    bench.ready("ana")
    bench.talk(1, "c0")
    bench.ready("tea", at=2)
    bench.at(3, PlaceRequested(call_id=the_offer(bench.arrive(3, "c1")).call_id))
    assert offers(bench.arrive(5, "c2")) == {}
    assert bench.verdicts("c2")["tea"] is Verdict.GUARANTEE

    assert offers(bench.hang_up(6, "c1")) == {"c2": "tea"}
