"""Why is this call not with that agent? Every verdict, for waiting calls and for those of the past."""

import pytest

from router.core.decisions import Rule
from router.core.explain import AgentAnswer, Verdict
from router.core.model import CallId, CallStatus, OrganisationDescription, Outcome, OwnerMode
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    link,
    need,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
    the_queueing,
)


def answer(bench: Bench, call_id: str, agent_id: str) -> AgentAnswer:
    (found,) = (answer for answer in bench.explain(call_id).agents if answer.agent_id == agent_id)
    return found


# --- A waiting call ---


def everyone() -> OrganisationDescription:
    """Gold needs data at level 2, Italian, and an agent in Italy; pescara helps after 20 s, and teramo not at all."""
    able = {"languages": ("it",)}
    return organisation(
        [team("aquila", wrap_up_s=30), team("pescara"), team("teramo"), team("iasi", site_id="iasi")],
        [
            portfolio(
                "gold",
                "aquila",
                link("pescara", 20),
                "iasi",
                skills=(need("data", 2),),
                language="it",
                countries=("IT",),
                max_wait_s=None,
            )
        ],
        [
            agent("abroad", "iasi"),
            agent("absent", "aquila", "data:2", **able),
            agent("busy", "aquila", "data:2", **able),
            agent("excluded", "aquila", "data:2", **able),
            agent("far", "pescara", "data:2", **able),
            agent("foreign", "aquila", "data:2", languages=("de",)),
            agent("junior", "aquila", "data:1", **able),
            agent("paused", "aquila", "data:2", **able),
            agent("unreached", "teramo", "data:2", **able),
            agent("unskilled", "aquila"),
        ],
        [client("K1", "gold", exclusions=("excluded",))],
        sites=(SITE, site("iasi", "RO")),
    )


def waiting_call() -> Bench:
    """At 5 s: the call of K1 waits since 0 s, everybody but one is signed in, one is in a pause, one on the phone."""
    bench = Bench(everyone())
    bench.ready("busy")
    bench.talk(0, "c0")
    bench.ready(
        *(who for who in ("abroad", "excluded", "far", "foreign", "junior", "paused", "unreached", "unskilled"))
    )
    bench.pause(0, "paused", "lunch")
    bench.arrive(0, "c1", "K1")
    bench.until(5)
    return bench


@pytest.mark.parametrize(
    ("agent_id", "verdict", "detail", "may_change_ms"),
    [
        ("abroad", Verdict.WRONG_COUNTRY, "sits in RO; the call may only go to IT", None),
        ("unskilled", Verdict.LACKS_SKILL, "the call needs data at level 2; the agent does not have it", None),
        ("junior", Verdict.LACKS_SKILL, "the call needs data at level 2; the agent has level 1", None),
        ("foreign", Verdict.LACKS_LANGUAGE, "does not speak it", None),
        ("excluded", Verdict.BLOCKED, "excluded: not offered to this agent for good", None),
        ("unreached", Verdict.NO_WAY, "no way leads from portfolio gold to team teramo", None),
        ("far", Verdict.NOT_YET, "may be offered the call after 20 s of waiting; it had waited 5 s", 20_000),
        ("absent", Verdict.SIGNED_OUT, "not signed in", None),
        ("paused", Verdict.NOT_READY, "in a pause for 5 s: lunch", None),
        ("busy", Verdict.AT_WORK, "in_call for 5 s", 300_000),
    ],
)
def test_verdict_on_every_agent(agent_id: str, verdict: Verdict, detail: str, may_change_ms: int | None) -> None:
    """The weightiest rule is named: the agent abroad also lacks the skill and the language."""
    found = answer(waiting_call(), "c1", agent_id)

    assert (found.verdict, found.detail, found.may_change_ms) == (verdict, detail, may_change_ms)


def test_explanation_tells_the_calls_story() -> None:
    bench = waiting_call()

    explanation = bench.explain("c1")

    assert (explanation.status, explanation.outcome, explanation.rule) == (CallStatus.WAITING, None, Rule.ALL_BUSY)
    assert (explanation.client_id, explanation.portfolio_id, explanation.found_by) == ("K1", "gold", "client")
    assert (explanation.arrived_ms, explanation.asked_at_ms, explanation.wait_ms) == (0, 5_000, 5_000)
    assert [step.what for step in explanation.steps] == ["arrived", "queued: all_busy"]
    assert [found.agent_id for found in explanation.agents] == sorted(found.agent_id for found in explanation.agents)


def test_explanation_shows_the_way_to_every_agent_that_the_call_could_reach() -> None:
    bench = waiting_call()

    assert answer(bench, "c1", "busy").path == ("client K1", "portfolio gold", "team aquila", "agent busy")
    assert answer(bench, "c1", "far").path == ("client K1", "portfolio gold", "after 20 s: team pescara", "agent far")
    assert answer(bench, "c1", "unreached").path == ()


def test_agent_in_wrap_up_may_be_free_at_its_end() -> None:
    bench = waiting_call()
    bench.end(10, "c0")
    bench.hang_up(10, "c1")
    bench.arrive(15, "c2", "K1")

    found = answer(bench, "c2", "busy")

    assert (found.verdict, found.detail, found.may_change_ms) == (Verdict.AT_WORK, "wrap_up for 5 s", 40_000)


def test_cooldown_says_when_it_ends() -> None:
    bench = waiting_call()
    bench.hang_up(5, "c1")
    bench.end(5, "c0")
    bench.back(5, "busy")
    bench.decline(7, the_offer(bench.arrive(6, "c2", "K1")))
    bench.until(10)

    found = answer(bench, "c2", "busy")

    assert (found.verdict, found.detail) == (Verdict.BLOCKED, "declined: not offered to this agent for 30 s")
    assert found.may_change_ms == 37_000


def test_agent_about_to_be_offered_the_call() -> None:
    """Asked when the ring has opened, before the deadline has been served."""
    bench = waiting_call()
    bench.now_ms = 20_000

    found = answer(bench, "c1", "far")

    assert (found.verdict, found.detail) == (Verdict.UNKNOWN, "about to be offered the call")


@pytest.mark.parametrize(("mode", "may_change_ms"), [(OwnerMode.PREFER, 320_000), (OwnerMode.STRICT, None)])
def test_call_held_for_its_owner(mode: OwnerMode, may_change_ms: int | None) -> None:
    """A strict hold has no end of its own."""
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", owner_mode=mode, owner_wait_s=310)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana", "bo"))],
        )
    )
    bench.ready("ana")
    bench.talk(0, "c0")
    bench.ready("bo")
    assert the_queueing(bench.arrive(10, "c1", "K1")).rule is Rule.OWNER_HOLD

    owner, backup = bench.explain("c1").agents

    assert (owner.verdict, owner.may_change_ms) == (Verdict.AT_WORK, 300_000)
    assert owner.path == ("client K1", "owner agent ana")
    assert (backup.verdict, backup.may_change_ms) == (Verdict.OWNER_HOLD, may_change_ms)
    assert backup.detail == "the call waits for its owner first"
    assert backup.path == ("client K1", "backup agent bo")


def test_owner_who_will_come_to_meet_the_calls_needs() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", skills=(need("data", 3, (20, 1)),))],
            [agent("bo", "aquila", "data:3"), agent("ana", "pescara", "data:1")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana")
    bench.arrive(10, "c1", "K1")

    found = answer(bench, "c1", "ana")

    assert (found.verdict, found.may_change_ms) == (Verdict.NOT_YET, 30_000)


# --- Calls of the past, and those with an agent ---


def three_idle() -> Bench:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", link("pescara", 20))],
            [agent("ana", "aquila"), agent("bo", "aquila"), agent("cleo", "aquila"), agent("pia", "pescara")],
        )
    )
    bench.ready("bo", at=0)
    bench.ready("ana", "cleo", "pia", at=1)
    return bench


@pytest.mark.parametrize("stage", ["offered", "accepted", "connected", "ended"])
def test_call_with_an_agent_is_explained_as_of_its_offer(stage: str) -> None:
    """Whatever has become of the agents since: at 10 s Cleo was in a pause and Pia's ring had not opened."""
    bench = three_idle()
    bench.pause(5, "cleo", "lunch")
    offer = the_offer(bench.arrive(10, "c1"))
    if stage == "accepted":
        bench.accept(11, offer)
    elif stage != "offered":
        bench.connect(11, [offer])
    if stage == "ended":
        bench.end(12, "c1")
    bench.back(13, "cleo")
    bench.pause(14, "ana")
    bench.until(15)

    explanation = bench.explain("c1")

    assert (explanation.asked_at_ms, explanation.wait_ms, explanation.rule) == (10_000, 0, Rule.LONGEST_IDLE)
    assert bench.verdicts("c1") == {
        "ana": Verdict.PASSED_OVER,
        "bo": Verdict.CHOSEN,
        "cleo": Verdict.NOT_READY,
        "pia": Verdict.NOT_YET,
    }
    assert answer(bench, "c1", "ana").detail == "idle, but bo came first by rule longest_idle"
    assert answer(bench, "c1", "bo").path == ("unknown client", "portfolio gold", "team aquila", "agent bo")
    assert answer(bench, "c1", "cleo").detail == "in a pause for 5 s: lunch"
    assert {found.may_change_ms for found in explanation.agents} == {None}


def test_call_that_waited_is_explained_as_of_the_moment_somebody_took_it() -> None:
    bench = three_idle()
    for call_id in ("a", "b", "c"):
        bench.talk(10, call_id)
    bench.arrive(15, "c1")
    bench.connect(25, bench.end(25, "b"))
    bench.end(60, "c1")

    explanation = bench.explain("c1")

    assert (explanation.outcome, explanation.asked_at_ms, explanation.rule) == (Outcome.CONNECTED, 25_000, Rule.RANK)
    assert bench.verdicts("c1") == {
        "ana": Verdict.CHOSEN,
        "bo": Verdict.AT_WORK,
        "cleo": Verdict.AT_WORK,
        "pia": Verdict.NOT_YET,
    }
    assert answer(bench, "c1", "bo").detail == "in_call for 15 s"


def test_abandoned_call_that_nobody_was_offered_is_explained_as_of_its_end() -> None:
    bench = three_idle()
    for call_id in ("a", "b", "c"):
        bench.talk(10, call_id)
    bench.arrive(15, "c1")
    bench.hang_up(20, "c1")
    bench.end(21, "a")
    bench.until(100)

    explanation = bench.explain("c1")

    assert (explanation.outcome, explanation.asked_at_ms, explanation.wait_ms) == (Outcome.ABANDONED, 20_000, 5_000)
    assert bench.verdicts("c1")["bo"] is Verdict.AT_WORK


def test_agents_state_of_long_ago_is_no_longer_remembered() -> None:
    bench = three_idle()
    bench.arrive(10, "c1")
    bench.hang_up(10, "c1")
    for second in range(20, 220, 2):
        bench.pause(second, "ana")
        bench.back(second + 1, "ana")

    found = answer(bench, "c1", "ana")

    assert (found.verdict, found.detail) == (
        Verdict.UNKNOWN,
        "what the agent was doing then is no longer remembered",
    )
    assert bench.verdicts("c1")["cleo"] is Verdict.PASSED_OVER


def test_agent_who_declined_is_blocked_at_the_offer_to_the_next() -> None:
    """Decline and next offer fall in the same millisecond."""
    bench = three_idle()
    bench.decline(12, the_offer(bench.arrive(10, "c1")))

    found = answer(bench, "c1", "bo")

    assert bench.explain("c1").asked_at_ms == 12_000
    assert answer(bench, "c1", "ana").verdict is Verdict.CHOSEN
    assert (found.verdict, found.detail) == (Verdict.BLOCKED, "declined: not offered to this agent for 30 s")


def test_excluded_agent_was_not_merely_passed_over() -> None:
    """Although the call was offered to another agent in the moment of its arrival."""
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila")],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", exclusions=("ana",))],
        )
    )
    bench.ready("ana", "bo")
    bench.arrive(10, "c1", "K1")

    found = answer(bench, "c1", "ana")

    assert (found.verdict, found.detail) == (Verdict.BLOCKED, "excluded: not offered to this agent for good")


def test_agent_who_had_not_signed_in_yet_was_signed_out() -> None:
    bench = three_idle()
    bench.sign_out(5, "cleo")
    bench.arrive(10, "c1")
    bench.sign_in(15, "cleo")
    bench.back(15, "cleo")

    assert bench.verdicts("c1")["cleo"] is Verdict.SIGNED_OUT


def test_unknown_call_has_no_explanation() -> None:
    assert three_idle().engine.explain(CallId("c9"), now_ms=1_000) is None
