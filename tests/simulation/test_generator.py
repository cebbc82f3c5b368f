import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec.structs import replace

from router.core.events import AgentReady, AgentRefreshed, AgentSignedIn
from router.core.model import CallId, OrganisationDescription, Segment, Site, SiteId
from router.core.organisation import Organisation
from router.organisation_files import load_organisation
from router.simulation.callers import Answer, Caller
from router.simulation.floor import VirtualFloor
from router.simulation.generator import (
    HANDLING_S,
    GeneratedDay,
    calls_per_hour_for,
    choose_present,
    generate_day,
)
from tests.core.builders import agent, client, organisation, portfolio, team
from tests.simulation.conftest import PROJECT

# A Tuesday, 11:00 in Italy: L'Aquila is open.
TUESDAY_MS = int(datetime(2026, 5, 12, 9, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture(scope="module")
def laquila() -> Organisation:
    return Organisation(load_organisation(PROJECT / "config/laquila/organisation.toml", pseudonym=str))


def small(**options: object) -> OrganisationDescription:
    return organisation(
        [team("a", wrap_up_s=10), team("b", wrap_up_s=10), team("idle", wrap_up_s=10)],
        [portfolio("gold", "a"), portfolio("silver", "b")],
        [*(agent(f"A{n}", "a") for n in range(6)), *(agent(f"B{n}", "b") for n in range(3)), agent("I0", "idle")],
        **options,  # type: ignore[arg-type]  # fields of OrganisationDescription
    )


def day(description: OrganisationDescription, **options: float) -> GeneratedDay:
    return generate_day(Organisation(description), **{"seed": 1, "start_ms": 0, **options})  # type: ignore[arg-type]  # as above


def test_equal_seeds_give_equal_days_and_others_do_not(laquila: Organisation) -> None:
    first, again, other = (generate_day(laquila, seed=seed, start_ms=TUESDAY_MS) for seed in (1, 1, 2))

    assert first == again
    assert first.callers != other.callers
    assert first.presence != other.presence


def test_a_day_does_not_depend_on_the_order_of_sets() -> None:
    program = (
        "from router.core.organisation import Organisation\n"
        "from router.organisation_files import load_organisation\n"
        "from router.simulation.generator import generate_day\n"
        "from pathlib import Path\n"
        "description = load_organisation(Path('config/small/organisation.toml'), pseudonym=str)\n"
        "print(generate_day(Organisation(description), seed=3, start_ms=0, calls_per_hour=200))\n"
    )

    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    days = [run.communicate()[0] for run in runs]

    assert days[0] == days[1]
    assert len(days[0]) > 1000


def who(caller: Caller) -> Caller:
    """Somebody, whenever they call."""
    return replace(caller, arrived_ms=0)


def test_more_traffic_brings_the_same_people_first_and_then_others() -> None:
    few = day(small(clients=[client(f"C{n}", "gold") for n in range(50)]), calls_per_hour=100)
    many = day(small(clients=[client(f"C{n}", "gold") for n in range(50)]), calls_per_hour=400)

    assert few.presence == many.presence
    assert len(few.callers) < len(many.callers)
    assert [who(caller) for caller in few.callers] == [who(caller) for caller in many.callers[: len(few.callers)]]


def test_calls_come_by_arrival_within_the_time_at_the_rate_asked_for() -> None:
    callers = day(small(), start_ms=TUESDAY_MS, duration_s=7_200, calls_per_hour=5_000).callers

    times = [caller.arrived_ms for caller in callers]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert TUESDAY_MS <= times[0] < times[-1] < TUESDAY_MS + 7_200_000
    # Five standard deviations of a Poisson number with mean 10,000.
    assert len(callers) == pytest.approx(10_000, abs=500)
    assert len({caller.event.call_id for caller in callers}) == len(callers)


def test_patience_and_talk_have_the_means_asked_for() -> None:
    callers = day(small(), calls_per_hour=20_000, handling_s=310, patience_s=120, talk_variation=0.5).callers

    patience = [caller.patience_ms for caller in callers if caller.patience_ms is not None]
    talk = [caller.service_ms for caller in callers]
    mean = sum(talk) / len(talk)
    deviation = (sum((value - mean) ** 2 for value in talk) / len(talk)) ** 0.5
    assert len(patience) == len(callers)
    assert sum(patience) / len(patience) == pytest.approx(120_000, rel=0.05)
    # Everybody wraps up for 10 s: the rest of the handling is talk.
    assert mean == pytest.approx(300_000, rel=0.02)
    assert deviation / mean == pytest.approx(0.5, rel=0.05)


def test_calls_are_of_clients_or_of_strangers_who_withhold_their_number() -> None:
    clients = [client("C1", "gold", callers=("p1", "p2")), client("C2", "silver")]
    segments = (Segment(segment="home", portfolio_id=portfolio("gold", "a").portfolio_id),)

    callers = day(small(clients=clients, segments=segments), calls_per_hour=10_000, unknown_share=0.2).callers

    events = [caller.event for caller in callers]
    strangers = [event for event in events if event.client_id is None]
    assert len(strangers) / len(events) == pytest.approx(0.2, abs=0.02)
    assert all(event.caller is None for event in strangers)
    assert sum(event.segment == "home" for event in strangers) / len(strangers) == pytest.approx(0.8, abs=0.05)
    known = Counter((event.client_id, event.caller) for event in events if event.client_id is not None)
    assert set(known) == {("C1", "p1"), ("C2", None)}
    assert min(known.values()) / max(known.values()) > 0.9


def test_without_clients_calls_come_for_every_portfolio() -> None:
    callers = day(small(), calls_per_hour=1_000, unknown_share=0).callers

    assert {caller.event.portfolio_id for caller in callers} == {"gold", "silver"}


def test_those_present_are_a_share_of_each_team_and_at_least_two() -> None:
    present = choose_present(Organisation(small()), seed=1, share=0.5)

    assert Counter(agent_id[0] for agent_id in present) == {"A": 2, "B": 2, "I": 1}
    assert present == tuple(sorted(present))


def test_nobody_comes_for_whom_there_is_no_seat() -> None:
    site = Site(site_id=SiteId("laquila"), country="IT", seats=3)

    generated = day(small(sites=(site,)), present_share=1, calls_per_hour=0)

    assert len({event.agent_id for _, event in generated.presence}) == 3
    assert generated.callers == []


def test_agents_sign_in_and_are_ready_at_the_start_and_show_signs_of_life() -> None:
    description = organisation([team("a", presence_lease_s=600)], [portfolio("gold", "a")], [agent("A1", "a")])

    presence = day(description, start_ms=5_000, duration_s=900, calls_per_hour=0).presence

    assert presence == [
        (5_000, AgentSignedIn(agent_id=agent("A1", "a").agent_id)),
        (5_000, AgentReady(agent_id=agent("A1", "a").agent_id)),
        (305_000, AgentRefreshed(agent_id=agent("A1", "a").agent_id)),
        (605_000, AgentRefreshed(agent_id=agent("A1", "a").agent_id)),
    ]


def test_the_rate_keeps_those_busy_to_whom_calls_can_come() -> None:
    built = Organisation(small())
    everybody = tuple(built.agents)

    # Nine agents answer, each 0.8 of 3,600 s at 360 s a call; a team that no portfolio reaches does not help.
    assert calls_per_hour_for(built, everybody, handling_s=360, occupancy=0.8) == pytest.approx(72)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unknown_share", 1.5),
        ("handling_s", 0),
        ("patience_s", -1),
        ("calls_per_hour", -1),
        ("occupancy", float("nan")),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        day(small(), **{name: value})


def test_an_hour_of_laquila_is_as_busy_as_planned_and_loses_nobody(laquila: Organisation) -> None:
    generated = generate_day(laquila, seed=1, start_ms=TUESDAY_MS)
    present = choose_present(laquila, seed=1)
    at_site = Counter(laquila.teams[laquila.agents[agent_id].team_id].site_id for agent_id in present)
    assert at_site == {"aquila": 142, "roma": 21}

    run = VirtualFloor(laquila.description).run(generated.callers, generated.presence)

    assert run.rejected == 0
    assert set(run.answers) == {caller.event.call_id for caller in generated.callers}
    answered = [answer for answer in run.answers.values() if answer.agent_id is not None]
    # The others hung up: with seven of a group present, some calls wait for half a minute.
    assert len(answered) / len(run.answers) > 0.9
    assert 0.05 < sum(answer.rule == "owner" for answer in answered) / len(answered) < 0.5
    assert busy_share(laquila, generated.callers, run.answers, len(present)) == pytest.approx(0.75, abs=0.1)
    assert calls_per_hour_for(laquila, present) == pytest.approx(163 * 0.75 * 3600 / HANDLING_S)


def busy_share(laquila: Organisation, callers: list[Caller], answers: dict[CallId, Answer], present: int) -> float:
    """Of the agents' time from a quarter of an hour after the start, when the floor has filled up, to the end."""
    start_ms, end_ms = TUESDAY_MS + 900_000, TUESDAY_MS + 3_600_000
    busy_ms = 0
    for caller in callers:
        answer = answers[caller.event.call_id]
        if answer.agent_id is not None:
            wrap_up_ms = laquila.teams[laquila.agents[answer.agent_id].team_id].wrap_up_s * 1000
            begun_ms = caller.arrived_ms + answer.wait_ms
            done_ms = begun_ms + caller.service_ms + wrap_up_ms
            busy_ms += max(0, min(done_ms, end_ms) - max(begun_ms, start_ms))
    return busy_ms / (present * (end_ms - start_ms))
