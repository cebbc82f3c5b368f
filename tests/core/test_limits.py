"""Bounds on what strangers can make the engine keep."""

import gc
from itertools import product
from string import ascii_uppercase

from router.core import Limits
from router.core.errors import Rejection
from router.core.events import CallAbandoned, CallArrived, CallEnded
from router.core.model import CallId, OrganisationDescription
from router.core.state import CallRecord, Group, Plan
from tests.core.builders import Bench, accepted, agent, link, need, offers, organisation, portfolio, team, the_offer


def aquila() -> OrganisationDescription:
    return organisation(
        [team("aquila")],
        [portfolio("gold", "aquila", max_wait_s=None)],
        [agent("ana", "aquila", "data"), agent("bo", "aquila")],
    )


def in_memory(kind: type) -> int:
    """How many objects of the kind are kept alive."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


# --- Waiting calls ---


def test_call_beyond_the_last_place_in_the_queue_is_refused() -> None:
    bench = Bench(aquila(), Limits(waiting_calls_max=2))
    bench.arrive(0, "c1")
    bench.arrive(0, "c2")

    rejected = bench.refused(1, CallArrived(call_id=CallId("c3")))
    bench.hang_up(2, "c1")
    bench.arrive(3, "c3")

    assert rejected.reason is Rejection.QUEUE_FULL
    assert rejected.detail == "2 calls wait, the most that limits.waiting_calls_max allows"
    assert bench.queue("gold").waiting == 2


def test_refused_call_may_be_sent_again() -> None:
    bench = Bench(aquila(), Limits(waiting_calls_max=1))
    bench.arrive(0, "c1")
    bench.refused(1, CallArrived(call_id=CallId("c2")))
    bench.hang_up(2, "c1")

    bench.arrive(3, "c2")

    assert bench.explain("c2").arrived_ms == 3_000


def test_calls_that_ring_or_talk_take_no_place_in_the_queue() -> None:
    bench = Bench(aquila(), Limits(waiting_calls_max=1))
    bench.ready("ana", "bo")
    bench.talk(0, "c1")
    bench.arrive(0, "c2")

    bench.arrive(0, "c3")

    assert bench.queue("gold").waiting == 1


# --- Calls of the past ---


def test_calls_of_the_past_are_forgotten_oldest_end_first() -> None:
    bench = Bench(aquila(), Limits(past_calls_max=2))
    for second, call_id in enumerate(("c1", "c2", "c3")):
        bench.arrive(second, call_id)
    for second, call_id in enumerate(("c2", "c1", "c3")):
        bench.hang_up(10 + second, call_id)

    remembered = [bench.engine.explain(CallId(call_id), now_ms=20_000) is not None for call_id in ("c1", "c2", "c3")]

    assert remembered == [True, False, True]
    assert bench.refused(20, CallEnded(call_id=CallId("c1"))).reason is Rejection.CALL_OVER
    assert bench.refused(20, CallEnded(call_id=CallId("c2"))).reason is Rejection.UNKNOWN_CALL


def test_late_answer_to_a_forgotten_call_is_refused() -> None:
    bench = Bench(aquila(), Limits(past_calls_max=0))
    bench.ready("ana")
    offer = the_offer(bench.arrive(0, "c1"))
    bench.hang_up(1, "c1")

    assert bench.refused(2, accepted(offer)).reason is Rejection.UNKNOWN_CALL


def test_calls_are_forgotten_without_the_garbage_collector() -> None:
    """It would have to look at all that lives besides, each time."""
    bench = Bench(aquila(), Limits(past_calls_max=1))
    bench.ready("ana")
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            bench.talk(60 * number, f"c{number}")
            bench.end(60 * number + 1, f"c{number}")

        assert sum(type(thing) is CallRecord for thing in gc.get_objects()) == 1
    finally:
        gc.enable()


def test_tallies_outlast_the_calls() -> None:
    bench = Bench(aquila(), Limits(past_calls_max=1))
    for second in range(5):
        bench.arrive(second, f"c{second}")
        bench.hang_up(second, f"c{second}")

    queue = bench.queue("gold")

    assert (queue.arrived, sum(queue.outcomes.values())) == (5, 5)


# --- Kinds of calls ---


def test_kinds_of_calls_that_strangers_invent_do_not_pile_up() -> None:
    """A thousand kinds; what is kept are eight plans, and those of the four calls remembered."""
    before = in_memory(Plan)
    bench = Bench(aquila(), Limits(plans_max=8, past_calls_max=4))
    bench.ready("ana")
    for number in range(1_000):
        needs = (need("data", 1, (number, 0)),)
        assert offers(bench.arrive(number, f"c{number}", skills=needs)) == {f"c{number}": "ana"}
        bench.hang_up(number, f"c{number}")

    assert in_memory(Plan) - before <= 8 + 4


def test_plans_are_forgotten_by_what_they_list_in_a_large_organisation() -> None:
    """Twenty groups a plan: of five hundred kinds of calls, plans of a hundred members in all are kept."""
    people = [agent(f"a{number}", "aquila", f"data:1 s{number}") for number in range(20)]
    description = organisation([team("aquila")], [portfolio("gold", "aquila")], people)
    before = in_memory(Plan)
    bench = Bench(description, Limits(plan_members_max=100, past_calls_max=4))
    bench.ready("a0")
    for number in range(500):
        bench.arrive(number, f"c{number}", skills=(need("data", 1, (number, 0)),))
        bench.hang_up(number, f"c{number}")

    assert in_memory(Plan) - before <= 100 // 20 + 4


def test_groups_of_agents_at_home_in_every_country_do_not_pile_up() -> None:
    """Whoever signs agents in from all the countries of the alphabet leaves no more groups than there are people."""
    before = in_memory(Group)
    bench = Bench(aquila())
    for number, country in enumerate(map("".join, product(ascii_uppercase, repeat=2))):
        bench.sign_in(number, "ana", country=country)
        bench.sign_out(number, "ana")
    bench.sign_in(1_000, "bo")
    bench.arrive(1_000, "c1")

    assert in_memory(Group) - before <= 4 * 2
    assert offers(bench.back(1_001, "bo")) == {"c1": "bo"}


def test_agent_at_home_in_a_country_is_found_after_other_groups_were_forgotten() -> None:
    bench = Bench(aquila())
    bench.sign_in(0, "bo", country="RO")
    bench.back(0, "bo")
    for number, country in enumerate(map("".join, product("ABC", repeat=2))):
        bench.sign_in(number, "ana", country=country)
        bench.sign_out(number, "ana")

    assert offers(bench.arrive(10, "c1", countries=("RO",))) == {"c1": "bo"}
    assert offers(bench.arrive(10, "c2", countries=("IT",))) == {}


def test_forgotten_plan_is_made_again_for_the_same_queue() -> None:
    """Calls of one kind, before and after its plan was forgotten, wait in one order."""
    bench = Bench(aquila(), Limits(plans_max=1))
    bench.arrive(0, "c1", skills=(need("data"),))
    bench.arrive(1, "other")
    bench.arrive(2, "c2", skills=(need("data"),))
    bench.sign_in(3, "ana")

    assert offers(bench.back(3, "ana")) == {"c1": "ana"}
    assert offers(bench.hang_up(3, "c1")) == {"other": "ana"}
    assert offers(bench.hang_up(3, "other")) == {"c2": "ana"}


# --- What vanished must not pile up ---


def test_calls_that_came_and_went_leave_nothing_behind_in_queues_that_nobody_reads() -> None:
    """100,000 callers give up while nobody of the team, nor of the team that helps out, is signed in.

    One, the first, is patient, so that none of the others ever comes to the top. Each of the two queues, and the heap
    of deadlines, may keep up to 64 of those who vanished before it cleans up.
    """
    before = in_memory(CallRecord)
    bench = Bench(
        organisation(
            [team("aquila"), team("overflow")],
            [portfolio("gold", "aquila", link("overflow"))],
            [agent("ana", "aquila"), agent("olga", "overflow")],
        ),
        Limits(past_calls_max=10),
    )
    bench.arrive(0, "patient")
    for now_ms in range(100_000):
        call_id = CallId(f"c{now_ms}")
        bench.engine.handle(CallArrived(call_id=call_id), now_ms=now_ms)
        bench.engine.handle(CallAbandoned(call_id=call_id), now_ms=now_ms)

    assert in_memory(CallRecord) - before <= 1 + 10 + 3 * 65
    assert bench.queue("gold").waiting == 1


def test_many_waiting_calls_are_no_reason_to_keep_those_that_left() -> None:
    """Five hundred wait all the time; those that left take at most as much room again in each queue."""
    before = in_memory(CallRecord)
    bench = Bench(aquila(), Limits(past_calls_max=10))
    for number in range(5_000):
        bench.arrive(number / 100, f"c{number}")
        if number >= 500:
            bench.hang_up(number / 100, f"c{number - 500}")

    assert bench.queue("gold").waiting == 500
    assert in_memory(CallRecord) - before <= 500 + 10 + 3 * 501
