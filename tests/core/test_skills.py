"""What keeps an agent from a call whatever the distance: skills, languages, countries, exclusions."""

import pytest

from router.core.decisions import FallbackCall, Rule
from router.core.errors import Rejection
from router.core.events import CallArrived
from router.core.explain import Verdict
from router.core.model import CallId, Fallback, FallbackKind, OrganisationDescription, SiteId, SkillNeed
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
)


def levels(*needs: SkillNeed) -> OrganisationDescription:
    """Lia has data at level 1, Mia at 3, Eva at 9; Bo does without. The portfolio needs *needs*."""
    return organisation(
        [team("aquila")],
        [portfolio("gold", "aquila", skills=needs)],
        [
            agent("bo", "aquila"),
            agent("eva", "aquila", "data:9 cloud"),
            agent("lia", "aquila", "data:1"),
            agent("mia", "aquila", "data:3"),
        ],
        [client("K1", "gold"), client("K2", "gold", exclusions=("eva", "mia"))],
    )


# --- Skills and levels ---


@pytest.mark.parametrize(("level", "chosen"), [(1, "lia"), (2, "mia"), (3, "mia"), (4, "eva"), (9, "eva")])
def test_agent_needs_at_least_the_level(level: int, chosen: str) -> None:
    """They have been idle in this order: Bo, Lia, Mia, Eva."""
    bench = Bench(levels())
    for second, name in enumerate(("bo", "lia", "mia", "eva")):
        bench.ready(name, at=second)

    assert offers(bench.arrive(10, "c1", "K1", skills=(need("data", level),))) == {"c1": chosen}


def test_agent_needs_all_the_skills_of_call_and_portfolio() -> None:
    bench = Bench(levels(need("data", 3)))
    bench.ready("lia", "mia", "eva")

    assert offers(bench.arrive(1, "c1", "K1", skills=(need("cloud"),))) == {"c1": "eva"}


def test_of_a_skill_named_twice_the_calls_own_words_count() -> None:
    bench = Bench(levels(need("data", 9)))
    bench.ready("lia", at=0)
    bench.ready("eva", at=1)

    assert offers(bench.arrive(2, "c1", "K1", skills=(need("data", 1),))) == {"c1": "lia"}


def test_undeclared_skill_is_refused() -> None:
    bench = Bench(levels())

    rejected = bench.refused(0, CallArrived(call_id=CallId("c1"), skills=(need("magic"),)))

    assert rejected.reason is Rejection.UNKNOWN_SKILL
    assert rejected.detail == "the organisation declares no skill 'magic'"


# --- Relaxation ---


def test_level_relaxes_with_the_wait() -> None:
    bench = Bench(levels(need("data", 9, (20, 3), (60, 1))))
    bench.ready("lia", "mia")
    bench.arrive(0, "c1", "K1")

    assert bench.until(19.999) == ()
    mia = the_offer(bench.until(20))
    bench.connect(21, [mia])
    bench.arrive(30, "c2", "K1")
    assert bench.until(89.999) == ()
    lia = the_offer(bench.until(90))

    assert (mia.agent_id, lia.agent_id) == ("mia", "lia")
    assert lia.path == ("client K1", "portfolio gold", "team aquila", "after 60 s: data 1 instead of 9", "agent lia")


def test_level_zero_waives_the_skill() -> None:
    bench = Bench(levels(need("data", 2, (30, 0))))
    bench.ready("bo")
    bench.arrive(0, "c1", "K1")

    assert bench.until(29.999) == ()
    offer = the_offer(bench.until(30))

    assert offer.agent_id == "bo"
    assert offer.path[-2:] == ("after 30 s: without data", "agent bo")


def test_relaxation_and_distance_must_both_have_come() -> None:
    """Reserve after 40 s, level enough after 20 s: after 40 s. Reserve after 10 s: after 20 s."""
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", skills=(need("data", 9, (20, 3)),))],
            [
                agent("eva", "aquila", "data:9"),
                agent("ten", "aquila", "data:3", after_s=10),
                agent("forty", "aquila", "data:3", after_s=40),
            ],
        )
    )
    bench.ready("ten", "forty")
    bench.arrive(0, "c1")
    bench.arrive(0, "c2")

    assert bench.until(19.999) == ()
    first = bench.connect(20, bench.until(20))
    assert bench.until(39.999) == ()
    second = the_offer(bench.until(40))

    assert (first.call_id, first.agent_id) == ("c1", "ten")
    assert (second.call_id, second.agent_id) == ("c2", "forty")


def test_relaxed_agent_who_becomes_free_later_takes_the_call() -> None:
    bench = Bench(levels(need("data", 9, (20, 3))))
    bench.arrive(0, "c1", "K1")
    bench.sign_in(10, "mia")

    assert offers(bench.back(25, "mia")) == {"c1": "mia"}


# --- Language ---


def speakers(**options: str) -> OrganisationDescription:
    return organisation(
        [team("aquila")],
        [portfolio("gold", "aquila", **options)],
        [
            agent("ada", "aquila", languages=("it",)),
            agent("ben", "aquila", languages=("de", "it")),
            agent("una", "aquila"),
        ],
    )


def test_agent_must_speak_the_language_of_the_call() -> None:
    bench = Bench(speakers())
    bench.ready("ada", at=0)
    bench.ready("una", at=1)
    bench.ready("ben", at=2)

    assert offers(bench.arrive(3, "c1", language="de")) == {"c1": "ben"}


def test_portfolio_may_ask_for_a_language_and_the_call_for_another_instead() -> None:
    bench = Bench(speakers(language="it"))
    bench.ready("una", at=0)
    bench.ready("ada", at=1)
    bench.ready("ben", at=2)

    assert offers(bench.arrive(3, "c1", language="de")) == {"c1": "ben"}
    assert offers(bench.arrive(3, "c2")) == {"c2": "ada"}


# --- Countries ---


def two_countries(**options: tuple[str, ...]) -> OrganisationDescription:
    return organisation(
        [team("aquila"), team("iasi", site_id="iasi")],
        [portfolio("gold", "aquila", "iasi", **options)],
        [agent("ana", "aquila"), agent("ion", "iasi")],
        sites=(SITE, site("iasi", "RO")),
    )


def test_agent_must_sit_in_one_of_the_countries_of_the_call() -> None:
    bench = Bench(two_countries())
    bench.ready("ion", at=0)
    bench.ready("ana", at=1)

    assert offers(bench.arrive(2, "c1", countries=("IT",))) == {"c1": "ana"}
    assert offers(bench.arrive(2, "c2", countries=("RO", "IT"))) == {"c2": "ion"}


def test_agents_site_counts_where_it_is_not_the_teams() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", countries=("IT",))],
            [agent("ion", "aquila", site_id=SiteId("iasi")), agent("ana", "aquila")],
            sites=(SITE, site("iasi", "RO")),
        )
    )
    bench.ready("ion", at=0)
    bench.ready("ana", at=1)

    assert offers(bench.arrive(2, "c1")) == {"c1": "ana"}


def test_countries_of_call_and_portfolio_must_both_hold() -> None:
    bench = Bench(two_countries(countries=("IT", "DE")))
    bench.ready("ion", "ana")

    assert offers(bench.arrive(1, "c1", countries=("RO", "IT"))) == {"c1": "ana"}


def test_countries_of_call_and_portfolio_without_one_in_common_are_unservable() -> None:
    bench = Bench(two_countries(countries=("IT", "DE")))
    bench.ready("ion", "ana")

    (decision,) = bench.arrive(1, "c1", countries=("RO",))

    assert decision.rule is Rule.UNSERVABLE


# --- Exclusions ---


def test_excluded_agents_are_never_offered_the_clients_calls() -> None:
    bench = Bench(levels())
    bench.ready("eva", "mia", at=0)
    bench.ready("lia", at=1)

    assert offers(bench.arrive(2, "c1", "K2")) == {"c1": "lia"}
    bench.arrive(3, "c2", "K2")
    assert bench.verdicts("c2")["eva"] is Verdict.BLOCKED
    assert set(offers(bench.until(200)).values()) == {"lia"}


def test_excluded_owner_is_left_out() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", owner_wait_s=600)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana"), exclusions=("ana",))],
        )
    )
    bench.ready("ana", at=0)
    bench.ready("bo", at=1)

    assert offers(bench.arrive(2, "c1", "K1")) == {"c1": "bo"}


# --- Nobody could ever serve it ---


def test_call_that_nobody_could_ever_serve_falls_back_at_once() -> None:
    bench = Bench(levels())
    bench.ready("bo", "lia", "mia", "eva")

    (decision,) = bench.arrive(1, "c1", "K1", skills=(need("data", 10),))

    assert isinstance(decision, FallbackCall)
    assert (decision.rule, decision.kind, decision.wait_ms) == (Rule.UNSERVABLE, FallbackKind.MESSAGE, 0)


def test_call_that_only_absent_agents_could_serve_waits() -> None:
    bench = Bench(levels())

    (decision,) = bench.arrive(1, "c1", "K1", skills=(need("data", 9),))

    assert decision.rule is Rule.NOBODY_SIGNED_IN


def test_call_that_will_become_servable_as_its_needs_relax_waits() -> None:
    bench = Bench(levels())
    bench.ready("eva")

    (decision,) = bench.arrive(1, "c1", "K1", skills=(need("data", 10, (5, 9)),))

    assert decision.rule is Rule.NOT_YET
    assert offers(bench.until(6)) == {"c1": "eva"}


def test_call_that_only_its_owner_can_serve_waits() -> None:
    """Ana has the skill, but sits in a team that the portfolio does not reach."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila")],
            [agent("bo", "aquila"), agent("ana", "pescara", "data")],
            [client("K1", "gold", ownerships=owned_by("ana")), client("K2", "gold")],
        )
    )

    (owned,) = bench.arrive(0, "c1", "K1", skills=(need("data"),))
    (not_owned,) = bench.arrive(0, "c2", "K2", skills=(need("data"),))
    bench.sign_in(5, "ana")

    assert owned.rule is Rule.NOBODY_SIGNED_IN
    assert not_owned.rule is Rule.UNSERVABLE
    assert offers(bench.back(5, "ana")) == {"c1": "ana"}


def test_unservable_call_never_becomes_a_call_back() -> None:
    """It would only fail later."""
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", fallback=Fallback(FallbackKind.CALLBACK))],
            [agent("ana", "aquila", "data")],
        )
    )
    bench.ready("ana")

    (decision,) = bench.arrive(0, "c1", skills=(need("data", 10),))

    assert isinstance(decision, FallbackCall)
    assert (decision.kind, decision.rule) == (FallbackKind.MESSAGE, Rule.UNSERVABLE)
