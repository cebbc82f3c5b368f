"""The owner wait, predicted: a call is held if that is likely to pay, and for as long.

Ana owns client K1, Bo is her colleague. A second of waiting costs k = 1 + 60 / 300 = 1.2 s until callers have hung up,
an answer after the threshold of 20 s another 20 s; 5 s of them are kept for the phone to be picked up.
"""

from typing import Any

import pytest

from router.core.decisions import Rule
from router.core.events import CallRefreshed, OrganisationChanged, PlaceRequested
from router.core.explain import Verdict
from router.core.model import Area, CallId, Membership, OrganisationDescription, OwnerWait, PlacePolicy
from tests.core.builders import (
    Bench,
    agent,
    client,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    team,
    the_offer,
    the_queueing,
)


def centre(*, wrap_up_s: int = 30, handling_s: int = 300, others: int = 1, **options: Any) -> OrganisationDescription:
    """*options* are those of the portfolio."""
    fields = {"owner_wait": OwnerWait.PREDICTED, "owner_wait_s": 120, "max_wait_s": None, **options}
    names = ["bo", "cleo"][:others]
    return organisation(
        [team("aquila", wrap_up_s=wrap_up_s, handling_s=handling_s, own_first=True)],
        [portfolio("gold", "aquila", **fields)],
        [agent(name, "aquila") for name in ("ana", *names)],
        [client("K1", "gold", ownerships=owned_by("ana")), client("K2", "gold")],
        areas=(Area(area_id="eu", members=(Membership("IT"),)),),
        place=PlacePolicy(area_id="eu"),
    )


def ana_in_wrap_up(description: OrganisationDescription) -> Bench:
    """Ana's wrap-up runs from second 60 to second 90; Bo is idle."""
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("bo")
    bench.end(60, "earlier")
    return bench


def ana_in_a_call(description: OrganisationDescription) -> Bench:
    """Ana talks to somebody since second 0; Bo is idle."""
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("bo")
    return bench


def ana_of_two_minutes(description: OrganisationDescription) -> Bench:
    """Ana has had forty calls of two minutes, and talks since second 10,000; Bo is idle."""
    bench = Bench(description)
    bench.ready("ana")
    for number in range(40):
        bench.talk(200 * number, f"before-{number}")
        bench.end(200 * number + 120, f"before-{number}")
    bench.talk(10_000, "earlier")
    bench.ready("bo", at=10_000)
    return bench


# --- The owner is in wrap-up ---


@pytest.mark.parametrize(
    ("arrives", "worth_s", "held"),
    [
        (60, 57, True),  # 1.2 x 30 s, and 20 s since it is late: 56 s
        (60, 56, False),
        (75, 19, True),  # 1.2 x 15 s, and in time
        (75, 18, False),
    ],
)
def test_wrap_up_is_waited_for_if_that_is_worth_it(arrives: float, worth_s: int, held: bool) -> None:
    bench = ana_in_wrap_up(centre(owner_worth_s=worth_s))

    decisions = bench.arrive(arrives, "c1", "K1")

    if held:
        assert the_queueing(decisions).rule is Rule.OWNER_HOLD
        assert offers(bench.until(90)) == {"c1": "ana"}
    else:
        assert offers(decisions) == {"c1": "bo"}


def test_decision_says_what_was_weighed() -> None:
    bench = ana_in_wrap_up(centre(owner_worth_s=60))

    queued = the_queueing(bench.arrive(60, "c1", "K1"))

    words = "waits for owner ana: 100 % likely to be free within 30 s, worth 60 s, cost 56 s"
    assert (queued.detail, queued.expected_wait_ms) == (words, 30_000)
    assert [step.what for step in bench.explain("c1").steps] == ["arrived", words, "queued: owner_hold"]
    assert bench.explain("c1").agents[1].may_change_ms == 90_000


def test_story_says_why_an_offered_call_did_not_wait() -> None:
    bench = ana_in_wrap_up(centre(owner_worth_s=56))

    bench.arrive(60, "c1", "K1")

    assert bench.explain("c1").steps[1].what == (
        "does not wait for owner ana: 100 % likely to be free within 30 s, worth 56 s, cost 56 s"
    )


def test_longest_wait_is_a_limit_whatever_the_worth() -> None:
    bench = ana_in_wrap_up(centre(owner_worth_s=86_400, owner_wait_s=29))

    assert offers(bench.arrive(60, "c1", "K1")) == {"c1": "bo"}


def test_call_waits_for_an_earlier_one_of_the_same_owner() -> None:
    """Behind a call that is held already, the wait is a whole handling time longer: too long to pay."""
    bench = ana_in_wrap_up(centre(owner_worth_s=100))

    first = bench.arrive(70, "c1", "K1")
    second = bench.arrive(71, "c2", "K1")

    assert the_queueing(first).rule is Rule.OWNER_HOLD
    assert offers(second) == {"c2": "bo"}


# --- The owner is in a call ---


def test_call_that_is_about_to_end_is_waited_for() -> None:
    """Forty of Ana's own calls lasted 112 to 128 s, and hers of now has lasted 110 s."""
    bench = ana_of_two_minutes(centre(owner_worth_s=100, wrap_up_s=0))

    queued = the_queueing(bench.arrive(10_110, "c1", "K1"))

    assert queued.rule is Rule.OWNER_HOLD
    assert queued.detail.startswith("waits for owner ana: ")
    assert offers(bench.end(10_120, "earlier")) == {"c1": "ana"}


@pytest.mark.parametrize("age_s", [5, 300])
def test_call_that_is_not_about_to_end_is_not_waited_for(age_s: int) -> None:
    """Neither a young one nor one that has outlived those of two minutes."""
    bench = ana_of_two_minutes(centre(owner_worth_s=100, wrap_up_s=0))

    assert offers(bench.arrive(10_000 + age_s, "c1", "K1")) == {"c1": "bo"}


def test_hold_ends_when_hope_does() -> None:
    """At 128 s of Ana's call, those that might have ended have ended; Bo is offered the call at that moment."""
    bench = ana_of_two_minutes(centre(owner_worth_s=100, wrap_up_s=0))
    bench.arrive(10_110, "c1", "K1")

    assert bench.until(10_127.999) == ()
    assert offers(bench.until(10_128)) == {"c1": "bo"}


def test_hold_goes_on_through_the_wrap_up() -> None:
    """Ana's call ends in time; her wrap-up is waited for too, though the hold alone would have ended before."""
    bench = ana_of_two_minutes(centre(owner_worth_s=100, wrap_up_s=20))
    bench.arrive(10_110, "c1", "K1")

    assert bench.end(10_120, "earlier") == ()
    assert bench.until(10_139.999) == ()
    assert offers(bench.until(10_140)) == {"c1": "ana"}


def test_held_call_widens_when_the_owner_wants_a_break() -> None:
    bench = ana_of_two_minutes(centre(owner_worth_s=100, wrap_up_s=20))
    bench.arrive(10_110, "c1", "K1")

    assert offers(bench.pause(10_112, "ana")) == {"c1": "bo"}


def test_held_call_widens_when_a_reload_ends_predictions() -> None:
    bench = ana_in_wrap_up(centre(owner_worth_s=60))
    bench.arrive(60, "c1", "K1")

    decisions = bench.at(61, OrganisationChanged(description=centre(owner_wait=OwnerWait.FIXED, owner_wait_s=0)))

    assert offers(decisions) == {"c1": "bo"}


def test_reload_may_begin_to_predict() -> None:
    """Ana's talk so far was not learnt from; her wrap-up is known all the same."""
    bench = ana_in_wrap_up(centre(owner_wait=OwnerWait.FIXED, owner_wait_s=20))
    bench.at(61, OrganisationChanged(description=centre(owner_worth_s=60)))

    assert the_queueing(bench.arrive(62, "c1", "K1")).detail.startswith("waits for owner ana")


def test_nothing_was_measured_yet() -> None:
    """A planned call of 300 s ends so rarely within two minutes that only a dear owner is waited for."""
    cheap = ana_in_a_call(centre(owner_worth_s=60)).arrive(100, "c1", "K1")
    dear = ana_in_a_call(centre(owner_worth_s=2_000)).arrive(100, "c1", "K1")

    assert offers(cheap) == {"c1": "bo"}
    assert the_queueing(dear).rule is Rule.OWNER_HOLD


def test_callers_who_hang_up_soon_make_waiting_dear() -> None:
    """Ten hung up after a second each: patience (300 + 10) / 11 = 28 s, so that 1 s costs 3.1 s, and 15 s 47 s."""
    description = centre(owner_worth_s=40)
    bench = Bench(description)
    for number in range(10):
        bench.arrive(number, f"lost-{number}")
        bench.hang_up(number + 1, f"lost-{number}")
    bench.ready("ana", at=20)
    bench.talk(20, "earlier")
    bench.ready("bo", at=20)
    bench.end(60, "earlier")

    impatient = bench.arrive(75, "c1", "K1")
    patient = ana_in_wrap_up(description).arrive(75, "c1", "K1")

    assert offers(impatient) == {"c1": "bo"}
    assert the_queueing(patient).rule is Rule.OWNER_HOLD


def test_conversations_of_days_are_none_that_anything_could_be_foreseen_of() -> None:
    """A platform may forget to say that a call is over, and go on refreshing it: here for three days, then for five."""
    bench = Bench(centre(owner_wait_s=86_400))
    bench.ready("ana")
    day_s = 86_400
    bench.talk(0, "first")
    for second in range(0, 3 * day_s, 3_600):
        bench.at(second, CallRefreshed(call_id=CallId("first")))
    bench.end(3 * day_s, "first")
    bench.back(3 * day_s, "ana")
    bench.talk(3 * day_s, "second")
    for second in range(3 * day_s, 8 * day_s, 3_600):
        bench.at(second, CallRefreshed(call_id=CallId("second")))
    bench.ready("bo", at=8 * day_s)

    assert offers(bench.arrive(8 * day_s, "c1", "K1")) == {"c1": "bo"}


# --- Nobody else is idle ---


def both_busy(description: OrganisationDescription) -> Bench:
    """Ana talks since second 0, Bo since second 1."""
    bench = Bench(description)
    bench.ready("ana")
    bench.talk(0, "anas")
    bench.ready("bo")
    bench.talk(1, "bos")
    return bench


def test_call_that_nobody_could_take_waits_for_anybody() -> None:
    bench = both_busy(centre(wrap_up_s=0))

    assert the_queueing(bench.arrive(10, "c1", "K1")).rule is Rule.ALL_BUSY
    assert offers(bench.end(20, "bos")) == {"c1": "bo"}


def test_freed_agent_leaves_a_call_to_an_owner_who_is_about_to_be_free() -> None:
    """When Bo's wrap-up ends at 40 s, Ana's has 8 s to go: the call is held, and Bo rests."""
    bench = both_busy(centre(wrap_up_s=30))
    bench.arrive(5, "c1", "K1")
    bench.end(10, "bos")
    bench.end(18, "anas")

    freed = bench.until(40)

    assert offers(freed) == {}
    assert bench.verdicts("c1") == {"ana": Verdict.AT_WORK, "bo": Verdict.OWNER_HOLD}
    assert offers(bench.until(48)) == {"c1": "ana"}


def test_freed_agent_takes_a_call_without_such_hope_first() -> None:
    """Holding K1's call for a call in progress does not pay, but K2's may as well go first: it has no owner."""
    bench = both_busy(centre(wrap_up_s=0))
    bench.arrive(10, "c1", "K1")
    bench.arrive(11, "c2", "K2")

    assert offers(bench.end(20, "bos")) == {"c2": "bo"}
    assert offers(bench.hang_up(30, "c2")) == {"c1": "bo"}


@pytest.mark.parametrize(("worth_s", "held"), [(26, True), (25, False)])
def test_late_call_loses_nothing_by_being_later(worth_s: int, held: bool) -> None:
    """When Bo is free, the call has waited for 25 s, and Ana's wrap-up has 21 s to go: 1.2 x 21 s, no more."""
    bench = both_busy(centre(wrap_up_s=30, owner_worth_s=worth_s))
    bench.end(10, "bos")
    bench.arrive(15, "c1", "K1")
    bench.end(31, "anas")

    assert offers(bench.until(40)) == ({} if held else {"c1": "bo"})


def test_nobody_is_passed_over_for_longer_than_an_owner_is_waited_for() -> None:
    bench = both_busy(centre(wrap_up_s=0, owner_wait_s=30))
    bench.arrive(10, "c1", "K1")
    bench.arrive(11, "c2", "K2")

    assert offers(bench.end(40, "bos")) == {"c1": "bo"}


def test_nobody_is_passed_over_for_an_owner_whose_level_does_not_suffice_yet() -> None:
    """Ana's wrap-up has 20 s to go when Bo is free, but the call may have her only after 90 s."""
    gold = {"owner_wait": OwnerWait.PREDICTED, "owner_wait_s": 120, "owner_worth_s": 600}
    bench = Bench(
        organisation(
            [team("aquila", wrap_up_s=30)],
            [portfolio("gold", "aquila", skills=(need("gold", 3, (90, 1)),), **gold), portfolio("silver", "aquila")],
            [agent("ana", "aquila", "gold:1"), agent("bo", "aquila", "gold:3")],
            [client("K1", "gold", ownerships=owned_by("ana")), client("K2", "silver")],
        )
    )
    bench.ready("ana")
    bench.talk(0, "anas", "K2")
    bench.ready("bo")
    bench.talk(1, "bos", "K2")
    bench.end(60, "anas")
    bench.arrive(61, "c1", "K1")
    bench.end(65, "bos")

    assert offers(bench.back(70, "bo")) == {"c1": "bo"}


def test_caller_who_asked_for_an_agent_inside_is_not_passed_over() -> None:
    bench = both_busy(centre(wrap_up_s=0))
    bench.arrive(10, "c1", "K1")
    bench.arrive(11, "c2", "K2")
    bench.at(12, PlaceRequested(call_id=CallId("c1")))

    assert offers(bench.end(20, "bos")) == {"c1": "bo"}


def test_owner_takes_the_call_that_was_passed_over() -> None:
    bench = both_busy(centre(wrap_up_s=0))
    bench.arrive(10, "c1", "K1")
    bench.arrive(11, "c2", "K2")
    bench.end(20, "bos")

    offer = the_offer(bench.end(25, "anas"))

    assert (offer.call_id, offer.agent_id, offer.rule) == ("c1", "ana", Rule.OWNER)
