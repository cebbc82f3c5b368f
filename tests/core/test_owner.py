"""The owner first, and how long a call waits for its owner alone.

Unless a test says otherwise, Ana owns client K1, Bo is her colleague in team aquila, and a call is expected to take
300 s until calls have been measured.
"""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from router.core.decisions import FallbackCall, Rule
from router.core.explain import Verdict
from router.core.model import (
    AgentId,
    AgentStatus,
    Fallback,
    FallbackKind,
    OrganisationDescription,
    Outcome,
    OwnerMode,
    Ownership,
)
from tests.core.builders import (
    Bench,
    agent,
    client,
    link,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    team,
    the_offer,
    the_queueing,
)

STRICT: dict[str, Any] = {"owner_mode": OwnerMode.STRICT, "max_wait_s": None}


def ana_and_bo(*, ownerships: tuple[Ownership, ...] | None = None, **options: Any) -> OrganisationDescription:
    """*options* are those of the portfolio."""
    return organisation(
        [team("aquila")],
        [portfolio("gold", "aquila", **options)],
        [agent("ana", "aquila"), agent("bo", "aquila")],
        [client("K1", "gold", ownerships=ownerships or owned_by("ana"))],
    )


def ana_in_a_call(description: OrganisationDescription) -> Bench:
    """Ana talks to somebody since second 0; Bo is idle."""
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("bo")
    return bench


# --- The owner is idle ---


def test_owner_is_offered_the_call_although_a_colleague_has_been_idle_for_longer() -> None:
    bench = Bench(ana_and_bo())
    bench.ready("bo", at=0)
    bench.ready("ana", at=5)

    offer = the_offer(bench.arrive(6, "c1", "K1"))

    assert (offer.agent_id, offer.rule, offer.ring) == ("ana", Rule.OWNER, 0)
    assert offer.path == ("client K1", "owner agent ana")


def test_owner_answers_from_a_team_that_the_portfolio_does_not_reach() -> None:
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila")],
            [agent("bo", "aquila"), agent("ana", "pescara")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana", "bo")

    assert offers(bench.arrive(1, "c1", "K1")) == {"c1": "ana"}
    assert offers(bench.arrive(2, "c2", "K1")) == {"c2": "bo"}


def test_owner_without_a_needed_skill_is_left_out() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", owner_wait_s=600)],
            [agent("ana", "aquila"), agent("bo", "aquila", "data")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana", "bo")

    offer = the_offer(bench.arrive(1, "c1", "K1", skills=(need("data"),)))

    assert (offer.agent_id, offer.rule) == ("bo", Rule.LONGEST_IDLE)


def test_owner_may_take_the_call_once_the_need_has_relaxed_to_the_owners_level() -> None:
    """Ana, outside the portfolio's teams, has data at level 1; level 3 is needed, after 20 s level 1 will do."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", skills=(need("data", 3, (20, 1)),))],
            [agent("bo", "aquila", "data:3"), agent("ana", "pescara", "data:1")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana")
    bench.arrive(0, "c1", "K1")

    assert bench.until(19.999) == ()
    (offer,) = bench.until(20)

    assert the_offer([offer]).agent_id == "ana"
    assert offer.rule is Rule.OWNER


# --- The owner is busy: held only if free in time ---


@pytest.mark.parametrize(("owner_wait_s", "held"), [(75, True), (74, False)])
def test_call_is_held_only_if_the_owner_is_expected_in_time(owner_wait_s: int, held: bool) -> None:
    """Ana's call is 225 s old, so 75 s of the expected 300 s remain."""
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=owner_wait_s))

    decisions = bench.arrive(225, "c1", "K1")

    if held:
        queued = the_queueing(decisions)
        assert (queued.rule, queued.ring, queued.expected_wait_ms) == (Rule.OWNER_HOLD, 0, 75_000)
    else:
        assert offers(decisions) == {"c1": "bo"}


def test_call_that_has_outlived_its_mean_is_expected_to_last_a_quarter_more() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=75))

    queued = the_queueing(bench.arrive(900, "c1", "K1"))

    assert queued.expected_wait_ms == 75_000


def test_estimate_blends_the_owners_calls_with_the_teams() -> None:
    """Ana's one call took 100 s, Bo's 400 s: (1 x 100 + 5 x 250) / 6 = 225 s."""
    bench = Bench(ana_and_bo(owner_wait_s=225))
    bench.ready("ana")
    bench.talk(0, "a1")
    bench.ready("bo")
    bench.talk(0, "b1")
    bench.end(100, "a1")
    bench.end(400, "b1")
    bench.talk(400, "a2", "K1")

    queued = the_queueing(bench.arrive(400, "c1", "K1"))

    assert queued.expected_wait_ms == 225_000


def test_owner_in_wrap_up_is_expected_at_its_end() -> None:
    bench = Bench(
        organisation(
            [team("aquila", wrap_up_s=30)],
            [portfolio("gold", "aquila", owner_wait_s=20)],
            [agent("ana", "aquila"), agent("bo", "aquila")],
            [client("K1", "gold", ownerships=owned_by("ana"))],
        )
    )
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("bo")
    bench.end(60, "earlier")

    too_early = bench.talk(69, "c1", "K1")
    in_time = the_queueing(bench.arrive(70, "c2", "K1"))
    wrap_up_over = bench.until(90)

    assert too_early.agent_id == "bo"
    assert (in_time.rule, in_time.expected_wait_ms) == (Rule.OWNER_HOLD, 20_000)
    assert offers(wrap_up_over) == {"c2": "ana"}


def test_owner_whose_phone_rings_is_expected_after_a_whole_call() -> None:
    bench = Bench(ana_and_bo(owner_wait_s=300))
    bench.ready("ana")
    bench.arrive(0, "earlier")
    bench.ready("bo", at=1)

    queued = the_queueing(bench.arrive(10, "c1", "K1"))

    assert (queued.rule, queued.expected_wait_ms) == (Rule.OWNER_HOLD, 300_000)


@pytest.mark.parametrize("step", ["pause", "sign_out"])
def test_owner_who_steps_back_after_this_call_is_not_waited_for(step: str) -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=600))
    getattr(bench, step)(100, "ana")

    assert offers(bench.arrive(225, "c1", "K1")) == {"c1": "bo"}


def test_owner_in_a_pause_is_not_waited_for() -> None:
    bench = Bench(ana_and_bo(owner_wait_s=600))
    bench.ready("ana", "bo")
    bench.pause(1, "ana")

    assert offers(bench.arrive(2, "c1", "K1")) == {"c1": "bo"}


def test_owner_not_on_shift_is_skipped_at_once() -> None:
    bench = Bench(ana_and_bo(owner_wait_s=600))
    bench.ready("bo")

    assert offers(bench.arrive(0, "c1", "K1")) == {"c1": "bo"}


def test_each_call_held_before_adds_a_whole_handling_time() -> None:
    """75 s remain; the second call is expected after 375 s, the third after 675 s."""
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=400))

    first = bench.arrive(225, "c1", "K1")
    second = bench.arrive(225, "c2", "K1")
    third = bench.arrive(225, "c3", "K1")

    assert the_queueing(first).rule is Rule.OWNER_HOLD
    assert the_queueing(second).rule is Rule.OWNER_HOLD
    assert offers(third) == {"c3": "bo"}


def test_calls_held_behind_a_call_do_not_count_against_it() -> None:
    """When Ana takes the first of three held calls, the second is next and stays held; the third is let go.

    She overran, and is now expected to need 450 s a call: the second call would be hers at 900 s, before its hold ends
    at 925 s, the third at 1,350 s.
    """
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=700))
    for call_id in ("c1", "c2", "c3"):
        assert the_queueing(bench.arrive(225, call_id, "K1")).rule is Rule.OWNER_HOLD

    decisions = bench.end(450, "earlier")

    assert offers(decisions) == {"c1": "ana", "c3": "bo"}
    assert bench.explain("c2").rule is Rule.OWNER_HOLD


# --- While the call is held ---


def test_hold_ends_to_the_millisecond_and_the_call_widens_to_the_team() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=80))
    bench.arrive(225, "c1", "K1")

    assert bench.until(304.999) == ()
    decisions = bench.until(305)

    assert offers(decisions) == {"c1": "bo"}
    assert the_offer(decisions).wait_ms == 80_000


def test_owner_free_in_time_takes_the_held_call() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=80))
    bench.arrive(225, "c1", "K1")

    offer = the_offer(bench.end(290, "earlier"))

    assert (offer.agent_id, offer.rule, offer.ring, offer.wait_ms) == ("ana", Rule.OWNER, 0, 65_000)


def test_held_call_is_not_taken_by_a_colleague_who_becomes_free() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=80))
    bench.pause(1, "bo")
    bench.arrive(225, "c1", "K1")

    assert bench.back(230, "bo") == ()
    assert bench.verdicts("c1") == {"ana": Verdict.AT_WORK, "bo": Verdict.OWNER_HOLD}


@pytest.mark.parametrize("step", ["pause", "sign_out"])
def test_held_call_widens_at_once_when_the_owner_steps_back_after_the_present_call(step: str) -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=80))
    bench.arrive(225, "c1", "K1")

    decisions = getattr(bench, step)(230, "ana")

    assert offers(decisions) == {"c1": "bo"}


def test_held_call_widens_when_the_owner_pauses_while_another_phone_call_rings() -> None:
    bench = Bench(ana_and_bo(owner_wait_s=300))
    bench.ready("ana")
    bench.arrive(0, "earlier")
    bench.ready("bo", at=1)
    bench.pause(1, "bo")
    bench.arrive(10, "c1", "K1")
    bench.back(10, "bo")

    decisions = bench.pause(12, "ana")

    assert offers(decisions) == {"earlier": "bo"}
    assert bench.explain("c1").rule is Rule.ALL_BUSY


def test_held_call_widens_when_the_owner_takes_another_call() -> None:
    """A call of an unknown client waited for longer; after it, Ana would be free at 550 s, the hold ends at 325 s."""
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=100))
    bench.talk(1, "bos")
    bench.arrive(10, "c0")
    bench.arrive(225, "c1", "K1")

    assert offers(bench.end(250, "earlier")) == {"c0": "ana"}
    assert bench.explain("c1").rule is Rule.ALL_BUSY
    assert offers(bench.end(260, "bos")) == {"c1": "bo"}


def test_held_call_stays_held_when_the_owner_is_still_expected_after_another_call() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=400))
    bench.talk(1, "bos")
    bench.arrive(10, "c0")
    bench.arrive(225, "c1", "K1")

    assert offers(bench.end(250, "earlier")) == {"c0": "ana"}
    assert bench.end(260, "bos") == ()
    assert bench.explain("c1").rule is Rule.OWNER_HOLD


def test_two_held_calls_are_taken_in_order_of_arrival() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=3_600))
    bench.arrive(225, "c2", "K1")
    bench.arrive(226, "c1", "K1")

    assert offers(bench.end(240, "earlier")) == {"c2": "ana"}
    assert offers(bench.hang_up(241, "c2")) == {"c1": "ana"}


def test_held_calls_let_go_together_widen_in_order_of_rank() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=3_600))
    bench.arrive(225, "c1", "K1")
    bench.arrive(226, "c2", "K1", head_start_s=60)

    assert offers(bench.pause(240, "ana")) == {"c2": "bo"}
    assert offers(bench.hang_up(241, "c2")) == {"c1": "bo"}


def test_owner_who_declines_passes_the_call_on_to_the_team() -> None:
    bench = Bench(ana_and_bo(owner_wait_s=600))
    bench.ready("ana", "bo")
    offer = the_offer(bench.arrive(0, "c1", "K1"))

    assert offers(bench.decline(5, offer)) == {"c1": "bo"}


# --- The hold never restarts a clock ---


def helpers_after_20_s(**options: Any) -> OrganisationDescription:
    return organisation(
        [team("aquila", backups=(link("pescara", 20),)), team("pescara")],
        [portfolio("gold", "aquila", **options)],
        [agent("ana", "aquila"), agent("eva", "pescara")],
        [client("K1", "gold", ownerships=owned_by("ana"))],
    )


def test_rings_open_by_arrival_whether_or_not_the_call_was_held() -> None:
    """The hold ends after 80 s, when the ring of 20 s has long been open: Eva is asked in that very moment."""
    bench = Bench(helpers_after_20_s(owner_wait_s=80))
    bench.ready("ana", "eva")
    bench.talk(0, "earlier")
    bench.arrive(225, "c1", "K1")

    assert bench.until(304.999) == ()
    offer = the_offer(bench.until(305))

    assert (offer.agent_id, offer.ring, offer.wait_ms) == ("eva", 2, 80_000)


def test_hold_that_ends_before_a_ring_opens_does_not_delay_it() -> None:
    bench = Bench(helpers_after_20_s(owner_wait_s=15))
    bench.ready("ana", "eva")
    bench.talk(0, "earlier")
    bench.end(1, "earlier")
    # One call of 1 s has been handled, so the next is expected to take as long.
    bench.talk(1, "another")
    bench.arrive(1, "c1", "K1")
    assert bench.explain("c1").rule is Rule.OWNER_HOLD

    assert bench.until(20.999) == ()
    assert offers(bench.until(21)) == {"c1": "eva"}


def test_maximum_wait_counts_the_hold() -> None:
    bench = ana_in_a_call(ana_and_bo(owner_wait_s=80, max_wait_s=60))
    bench.arrive(225, "c1", "K1")

    assert bench.until(284.999) == ()
    (fallback,) = bench.until(285)

    assert isinstance(fallback, FallbackCall)
    assert (fallback.rule, fallback.wait_ms) == (Rule.MAX_WAIT, 60_000)


# --- Strict: for as long as the owner is on shift ---


def test_strict_waits_for_the_owner_beyond_every_estimate() -> None:
    bench = ana_in_a_call(ana_and_bo(**STRICT))

    queued = the_queueing(bench.arrive(1, "c1", "K1"))

    assert (queued.rule, queued.expected_wait_ms) == (Rule.OWNER_HOLD, 299_000)
    assert bench.until(7_000) == ()
    assert offers(bench.end(7_001, "earlier")) == {"c1": "ana"}


def test_strict_waits_through_the_owners_break() -> None:
    bench = Bench(ana_and_bo(**STRICT))
    bench.ready("ana", "bo")
    bench.pause(1, "ana")

    queued = the_queueing(bench.arrive(2, "c1", "K1"))

    assert (queued.rule, queued.expected_wait_ms) == (Rule.OWNER_HOLD, None)
    assert offers(bench.back(600, "ana")) == {"c1": "ana"}


def test_strict_does_not_wait_for_an_owner_who_has_gone_home() -> None:
    bench = Bench(ana_and_bo(**STRICT))
    bench.ready("bo")

    assert offers(bench.arrive(0, "c1", "K1")) == {"c1": "bo"}


def test_strict_lets_go_when_the_owner_signs_out() -> None:
    bench = Bench(ana_and_bo(**STRICT))
    bench.ready("ana", "bo")
    bench.pause(1, "ana")
    bench.arrive(2, "c1", "K1")

    assert offers(bench.sign_out(60, "ana")) == {"c1": "bo"}


def test_strict_lets_go_when_the_owner_is_to_sign_out_after_the_present_call() -> None:
    bench = ana_in_a_call(ana_and_bo(**STRICT))
    bench.arrive(1, "c1", "K1")

    assert offers(bench.sign_out(60, "ana")) == {"c1": "bo"}


def test_strict_ends_at_the_maximum_wait_in_the_fallback() -> None:
    fallback = Fallback(FallbackKind.MESSAGE, "ask-again")
    bench = ana_in_a_call(ana_and_bo(owner_mode=OwnerMode.STRICT, max_wait_s=120, fallback=fallback))
    bench.arrive(1, "c1", "K1")

    (decision,) = bench.until(121)

    assert isinstance(decision, FallbackCall)
    assert (decision.kind, decision.target, decision.rule) == (FallbackKind.MESSAGE, "ask-again", Rule.MAX_WAIT)
    assert bench.outcome("c1") is Outcome.FALLBACK
    assert bench.agents("aquila") == {AgentStatus.IDLE: 1, AgentStatus.IN_CALL: 1}


# --- Dated ownership ---


def seconds_of(year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


def test_ownership_changes_at_midnight_utc() -> None:
    """Ana until 1 March, that day excluded; Bo from 1 March, that day included."""
    bench = Bench(
        ana_and_bo(
            ownerships=(
                Ownership(owner=AgentId("ana"), valid_until=date(2026, 3, 1)),
                Ownership(owner=AgentId("bo"), valid_from=date(2026, 3, 1)),
            )
        )
    )
    midnight = seconds_of(2026, 3, 1)
    bench.ready("bo", at=midnight - 60)
    bench.ready("ana", at=midnight - 30)

    last_of_february = the_offer(bench.arrive(midnight - 0.001, "c1", "K1"))
    bench.hang_up(midnight - 0.001, "c1")
    first_of_march = the_offer(bench.arrive(midnight, "c2", "K1"))

    assert (last_of_february.agent_id, last_of_february.rule) == ("ana", Rule.OWNER)
    assert (first_of_march.agent_id, first_of_march.rule) == ("bo", Rule.OWNER)


def test_between_two_ownerships_the_team_answers() -> None:
    bench = Bench(
        ana_and_bo(
            ownerships=(
                Ownership(owner=AgentId("ana"), valid_until=date(2026, 3, 1)),
                Ownership(owner=AgentId("ana"), valid_from=date(2026, 3, 3)),
            )
        )
    )
    noon = seconds_of(2026, 3, 2, hour=12)
    bench.ready("bo", at=noon - 60)
    bench.ready("ana", at=noon - 30)

    offer = the_offer(bench.arrive(noon, "c1", "K1"))

    assert (offer.agent_id, offer.rule) == ("bo", Rule.LONGEST_IDLE)


# --- Backups ---


def ana_with_backups(**options: Any) -> OrganisationDescription:
    """Cleo, then Dan, stand in for Ana; Bo is a colleague."""
    return organisation(
        [team("aquila")],
        [portfolio("gold", "aquila", **options)],
        [agent(name, "aquila") for name in ("ana", "bo", "cleo", "dan")],
        [client("K1", "gold", ownerships=owned_by("ana", "cleo", "dan"))],
    )


def test_backups_are_asked_in_their_order_before_the_team() -> None:
    bench = Bench(ana_with_backups())
    bench.ready("bo", at=0)
    bench.ready("dan", at=1)
    bench.ready("cleo", at=2)

    first = the_offer(bench.arrive(3, "c1", "K1"))
    second = the_offer(bench.arrive(3, "c2", "K1"))
    third = the_offer(bench.arrive(3, "c3", "K1"))

    assert (first.agent_id, first.rule, first.ring) == ("cleo", Rule.BACKUP, 0)
    assert first.path == ("client K1", "backup agent cleo")
    assert (second.agent_id, second.rule) == ("dan", Rule.BACKUP)
    assert (third.agent_id, third.rule) == ("bo", Rule.LONGEST_IDLE)


def test_backups_are_not_asked_while_the_call_is_held_for_its_owner() -> None:
    bench = Bench(ana_with_backups(owner_wait_s=80))
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("cleo", "bo")

    assert the_queueing(bench.arrive(225, "c1", "K1")).rule is Rule.OWNER_HOLD
    offer = the_offer(bench.until(305))

    assert (offer.agent_id, offer.rule) == ("cleo", Rule.BACKUP)


def test_backup_who_becomes_free_takes_the_call_as_backup() -> None:
    """Cleo sits in a team that the portfolio does not reach."""
    bench = Bench(
        organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila")],
            [agent("ana", "aquila"), agent("cleo", "pescara")],
            [client("K1", "gold", ownerships=owned_by("ana", "cleo"))],
        )
    )
    bench.arrive(0, "c1", "K1")

    bench.sign_in(5, "cleo")
    offer = the_offer(bench.back(5, "cleo"))

    assert (offer.agent_id, offer.rule, offer.ring) == ("cleo", Rule.BACKUP, 0)


def test_client_with_backups_but_no_owner() -> None:
    bench = Bench(
        organisation(
            [team("aquila")],
            [portfolio("gold", "aquila", **STRICT)],
            [agent("bo", "aquila"), agent("cleo", "aquila")],
            [client("K1", "gold", ownerships=owned_by(None, "cleo"))],
        )
    )
    bench.ready("bo", at=0)
    bench.ready("cleo", at=1)

    assert the_offer(bench.arrive(2, "c1", "K1")).rule is Rule.BACKUP
    assert the_offer(bench.arrive(2, "c2", "K1")).agent_id == "bo"
