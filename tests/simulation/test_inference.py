from collections.abc import Sequence
from datetime import date

import msgspec
import numpy as np
import pytest

from router.core.events import AgentEvent, AgentNotReady, AgentReady, AgentSignedIn, AgentSignedOut
from router.core.model import AgentId, CallId, ClientId, OwnerMode, OwnerWait
from router.simulation.calllog import CallLog, CallLogError, LoggedCall, LogMapping
from router.simulation.floor import VirtualFloor
from router.simulation.inference import (
    FIRST_COME_FIRST_SERVED,
    InferenceRules,
    InferredLog,
    Patience,
    ReplayPolicy,
    infer,
)
from router.simulation.results import CallResult, Results, summarise

# 09:00 in Rome on 2 March 2026.
NINE_MS = 1_772_438_400_000


def call(
    call_id: str,
    *,
    at_s: float,
    wait_s: float = 0,
    talk_s: float | None = 60,
    agent: str | None = "ana",
    kind: str = "gas",
    client: str | None = None,
    head_start_s: int = 0,
) -> LoggedCall:
    """*at_s* counts from 09:00; ``talk_s`` None: abandoned."""
    return LoggedCall(
        call_id=CallId(call_id),
        client_id=None if client is None else ClientId(client),
        kind=kind,
        arrived_ms=NINE_MS + round(1_000 * at_s),
        wait_ms=round(1_000 * wait_s),
        answered=talk_s is not None,
        service_ms=round(1_000 * (talk_s or 0)),
        agent_id=None if agent is None or talk_s is None else AgentId(agent),
        head_start_s=head_start_s,
    )


def presence_of(inferred: InferredLog, agent: str) -> list[tuple[float, type[AgentEvent]]]:
    """Seconds since 09:00, and what the agent did."""
    events = [(at, event) for at, event in inferred.presence if event.agent_id == agent]
    return [((at - NINE_MS) / 1_000, type(event)) for at, event in events]


def replay(inferred: InferredLog) -> Results:
    """Play the inferred log on the live engine."""
    run = VirtualFloor(inferred.organisation).run(inferred.callers, inferred.presence)
    assert run.rejected == 0
    results: list[CallResult] = []
    for logged, caller in zip(inferred.logged, inferred.callers, strict=True):
        answer = run.answers[caller.event.call_id]
        answered = answer.agent_id is not None
        results.append(
            logged._replace(
                wait_ms=answer.wait_ms,
                answered=answered,
                by_owner=logged.has_owner
                and answer.agent_id == inferred.owners[caller.event.client_id or ClientId("")],
                service_ms=caller.service_ms if answered else 0,
            )
        )
    busy_ms = sum(each.service_ms for each in results)
    return summarise(results, busy_ms=busy_ms, staffed_ms=inferred.staffed_ms)


def by_log(inferred: InferredLog) -> Results:
    return summarise(inferred.logged, busy_ms=inferred.busy_ms, staffed_ms=inferred.staffed_ms)


@pytest.fixture
def mapping(example_mapping: LogMapping) -> LogMapping:
    return example_mapping


@pytest.fixture
def as_they_are() -> InferenceRules:
    """Breaks at their own length, so that their times can be checked by hand."""
    return InferenceRules(breaks_in_full=False)


# Hours


def test_shift_runs_from_first_to_last_service_and_ends_at_a_long_gap(mapping: LogMapping) -> None:
    calls = [
        call("c1", at_s=0, wait_s=5, talk_s=55),
        call("c2", at_s=1_000, talk_s=100),
        call("c3", at_s=1_100 + 3_601, talk_s=99),
    ]

    inferred = infer(calls, mapping)

    assert presence_of(inferred, "ana") == [
        (5, AgentSignedIn),
        (5, AgentReady),
        (1_100, AgentSignedOut),
        (4_701, AgentSignedIn),
        (4_701, AgentReady),
        (4_800, AgentSignedOut),
    ]
    assert inferred.staffed_ms == 1_194_000


def test_free_agent_while_a_call_waits_is_in_a_break(mapping: LogMapping, as_they_are: InferenceRules) -> None:
    """Bo hangs up at 700 after waiting from 100; Ana, free since 60, must have been away."""
    calls = [
        call("c1", at_s=0, talk_s=60),
        call("bo", at_s=100, wait_s=600, talk_s=None),
        call("c2", at_s=900, talk_s=60),
    ]

    inferred = infer(calls, mapping, rules=as_they_are)

    assert presence_of(inferred, "ana")[2:4] == [(60, AgentNotReady), (700, AgentReady)]
    assert inferred.staffed_ms == (960 - 640) * 1_000


@pytest.mark.parametrize(
    "waiting",
    [
        call("bo", at_s=100, wait_s=10, talk_s=None),
        call("bo", at_s=100, wait_s=600, talk_s=None, kind="water"),
        call("bo", at_s=100, wait_s=250, talk_s=None),
    ],
    ids=["not for long", "not a kind that she serves", "the absence is short"],
)
def test_no_break_without_evidence(mapping: LogMapping, as_they_are: InferenceRules, waiting: LoggedCall) -> None:
    calls = [call("c1", at_s=0, talk_s=60), waiting, call("c2", at_s=900, talk_s=60)]

    inferred = infer(calls, mapping, rules=as_they_are)

    assert AgentNotReady not in [kind for _, kind in presence_of(inferred, "ana")]


def test_short_absences_while_somebody_waits_are_wrap_up(mapping: LogMapping) -> None:
    """Calls 2 and 3 wait at the end of the one before; Ana needs 20 and 40 s until she takes them."""
    calls = [
        call("c1", at_s=0, talk_s=100),
        call("c2", at_s=50, wait_s=70, talk_s=100),
        call("c3", at_s=150, wait_s=110, talk_s=100),
        call("c4", at_s=2_000, talk_s=100),
    ]

    inferred = infer(calls, mapping)

    assert [team.wrap_up_s for team in inferred.organisation.teams] == [30]
    assert any("30 s, the mean of 2 shorter gaps" in note for note in inferred.notes)


def test_break_is_longer_by_what_a_call_in_progress_is_expected_to_eat(mapping: LogMapping) -> None:
    """All services last 60 s, so the rest of one is 30 s on average; busy for 180 of 380 s staffed: 14.2 s."""
    calls = [
        call("c1", at_s=0, talk_s=60),
        call("bo", at_s=100, wait_s=600, talk_s=None),
        call("c2", at_s=800, talk_s=60),
        call("c3", at_s=960, talk_s=60),
    ]

    inferred = infer(calls, mapping)

    assert presence_of(inferred, "ana")[2:4] == [
        (60, AgentNotReady),
        (pytest.approx(700 + 30 * 180 / 380, abs=0.001), AgentReady),
    ]


def test_break_to_the_end_of_the_shift_ends_the_shift(mapping: LogMapping) -> None:
    calls = [
        call("c1", at_s=0, talk_s=600),
        call("bo", at_s=700, wait_s=600, talk_s=None),
        call("c2", at_s=1_300, talk_s=10),
    ]

    inferred = infer(calls, mapping)

    assert presence_of(inferred, "ana") == [(0, AgentSignedIn), (0, AgentReady), (600, AgentSignedOut)]


def test_overlapping_services_of_one_agent_are_one_stretch_of_work(mapping: LogMapping) -> None:
    calls = [call("c1", at_s=0, talk_s=300), call("c2", at_s=100, talk_s=50), call("c3", at_s=290, talk_s=60)]

    assert infer(calls, mapping).staffed_ms == 350_000


def test_chosen_days_have_their_callers_and_shifts_cut_at_midnight(mapping: LogMapping) -> None:
    """Ana works from 23:00 on 2 March (14 h after nine) to 01:00; the 3 March begins at 15 h."""
    calls = [call(f"c{hour}", at_s=3_600 * (14 + hour / 2), talk_s=60) for hour in range(5)]

    inferred = infer(calls, mapping, days={date(2026, 3, 3)})

    assert [caller.event.call_id for caller in inferred.callers] == ["c2", "c3", "c4"]
    assert presence_of(inferred, "ana") == [
        (15 * 3_600, AgentSignedIn),
        (15 * 3_600, AgentReady),
        (16 * 3_600 + 60, AgentSignedOut),
    ]
    assert inferred.busy_ms == 180_000


# Skills and owners


def test_skills_are_kinds_served_often_or_in_a_fair_share(mapping: LogMapping) -> None:
    calls = [
        *(call(f"g{n}", at_s=n, talk_s=1, kind="gas") for n in range(100)),
        *(call(f"w{n}", at_s=200 + n, talk_s=1, kind="water") for n in range(3)),
        *(call(f"b{n}", at_s=300 + n, talk_s=1, kind="water", agent="bo") for n in range(9)),
        call("lost", at_s=400, talk_s=None, kind="heat", wait_s=5),
    ]
    rules = InferenceRules(skill_calls_min=5, skill_share_min=0.05)

    organisation = infer(calls, mapping, rules=rules).organisation

    assert {agent.agent_id: agent.skills for agent in organisation.agents} == {"ana": {"gas": 1}, "bo": {"water": 1}}
    assert {p.portfolio_id: [need.skill for need in p.skills] for p in organisation.portfolios} == {
        "gas": ["gas"],
        "heat": [],  # Nobody known ever served it: anyone may.
        "water": ["water"],
    }
    assert organisation.default_portfolio == "gas"


def test_owner_is_who_served_most_often_ties_to_the_earliest(mapping: LogMapping) -> None:
    agents = ["bo", "ana", "ana", "cy", "bo", "cy", "dan"]
    calls = [call(f"c{n}", at_s=n, talk_s=1, agent=agent, client="k1") for n, agent in enumerate(agents)]
    calls.append(call("once", at_s=99, agent="ana", client="k2"))
    calls.append(call("never", at_s=99, talk_s=None, client="k3"))

    inferred = infer(calls, mapping)

    ownerships = {client.client_id: client.ownerships for client in inferred.organisation.clients}
    assert [(owned.owner, owned.backups) for owned in ownerships[ClientId("k1")]] == [("bo", ("ana", "cy"))]
    assert ownerships[ClientId("k2")] == ownerships[ClientId("k3")] == ()
    assert inferred.owners == {"k1": "bo"}
    assert [result.by_owner for result in inferred.logged if result.has_owner] == [agent == "bo" for agent in agents]
    assert any("In-sample" in note for note in inferred.notes)


def test_policy_decides_on_owners_holds_and_head_starts(mapping: LogMapping) -> None:
    calls = [call(f"c{n}", at_s=n, talk_s=1, client="k1", head_start_s=90) for n in range(3)]
    policy = ReplayPolicy(owner_mode=OwnerMode.STRICT, owner_wait_s=15)

    owned = infer(calls, mapping, policy=policy)
    plain = infer(calls, mapping, policy=ReplayPolicy(owners=False, head_starts=False, own_first=False))

    assert [(p.owner_mode, p.owner_wait_s) for p in owned.organisation.portfolios] == [(OwnerMode.STRICT, 15)]

    assert owned.organisation.teams[0].own_first
    assert {caller.event.head_start_s for caller in owned.callers} == {90}
    assert [client.ownerships for client in plain.organisation.clients] == [()]
    assert {caller.event.head_start_s for caller in plain.callers} == {0}
    assert plain.owners == owned.owners
    assert "Not used by this policy." in " ".join(plain.notes)


def test_policy_may_predict_the_owner_wait(example_log: CallLog, example_mapping: LogMapping) -> None:
    policy = ReplayPolicy(owner_wait=OwnerWait.PREDICTED, owner_wait_s=300, owner_worth_s=40, hang_up_cost_s=9)

    (portfolio,) = {
        (each.owner_wait, each.owner_wait_s, each.owner_worth_s, each.hang_up_cost_s)
        for each in infer(example_log.calls, example_mapping, policy=policy).organisation.portfolios
    }

    assert portfolio == (OwnerWait.PREDICTED, 300, 40, 9)


def test_log_without_agents_cannot_be_replayed(mapping: LogMapping) -> None:
    with pytest.raises(CallLogError, match="nobody can be put on shift"):
        infer([call("c1", at_s=0, agent=None)], mapping)


def test_day_without_calls_cannot_be_replayed(mapping: LogMapping) -> None:
    with pytest.raises(CallLogError, match="no call arrived on the days"):
        infer([call("c1", at_s=0)], mapping, days={date(2025, 1, 1)})


# Patience and service


def test_patience_is_observed_where_it_ended_and_larger_than_the_wait_otherwise(mapping: LogMapping) -> None:
    calls = [
        call(f"c{n}", at_s=10 * n, wait_s=n % 90, talk_s=None if n % 3 == 0 else 60 + n, kind="gas") for n in range(300)
    ]

    callers = infer(calls, mapping).callers

    for logged, caller in zip(calls, callers, strict=True):
        assert caller.patience_ms is not None
        if logged.answered:
            assert caller.patience_ms > logged.wait_ms
            assert caller.service_ms == logged.service_ms
        else:
            assert caller.patience_ms == logged.wait_ms
            assert caller.service_ms in {each.service_ms for each in calls if each.answered}


def test_nobody_hangs_up_in_a_log_without_abandoned_calls(mapping: LogMapping) -> None:
    inferred = infer([call("c1", at_s=0, wait_s=500)], mapping)

    assert [caller.patience_ms for caller in inferred.callers] == [None]


def test_callers_depend_on_seed_and_call_only(mapping: LogMapping) -> None:
    """Policy and chosen days change nothing about a caller; another seed does."""
    calls = [call(f"c{n}", at_s=700 * n, wait_s=n % 60, talk_s=None if n % 4 == 0 else 60 + n) for n in range(400)]

    everything = {caller.event.call_id: caller for caller in infer(calls, mapping).callers}
    other_policy = infer(calls, mapping, policy=FIRST_COME_FIRST_SERVED, days={date(2026, 3, 3)})
    other_seed = infer(calls, mapping, rules=InferenceRules(seed=2))

    assert 50 < len(other_policy.callers) < 350
    assert all(everything[caller.event.call_id] == caller for caller in other_policy.callers)
    assert sum(everything[caller.event.call_id] != caller for caller in other_seed.callers) > 200


def test_kaplan_meier_curve_of_a_textbook_sample() -> None:
    """Hang-ups at 1, 3, 3 and 6 s, answered at 2 and 5 s: 5/6, then 5/6 x 2/4, then 0."""
    patience = Patience([1, 3, 3, 6, 2, 5], abandoned=[True, True, True, True, False, False])

    assert patience.survival(0) == 1
    assert patience.survival(1) == pytest.approx(5 / 6)
    assert patience.survival(2.9) == pytest.approx(5 / 6)
    assert patience.survival(3) == pytest.approx(5 / 12)
    assert patience.survival(6) == 0


def test_drawn_patience_follows_the_law_that_made_the_log() -> None:
    """Exponential patience of mean 60 s, censored by waits of mean 30 s: the draws restore it, tail included."""
    random = np.random.default_rng(7)
    patience_ms, offered_wait_ms = random.exponential(60_000, 20_000), random.exponential(30_000, 20_000)
    waits_ms = np.minimum(patience_ms, offered_wait_ms).astype(int).tolist()
    patience = Patience(waits_ms, abandoned=(patience_ms < offered_wait_ms).tolist())

    drawn_ms = [patience.draw_ms(30_000, 1 - uniform) for uniform in random.random(20_000)]

    beyond = np.array([each for each in drawn_ms if each is not None]) - 30_000
    assert beyond.min() > 0
    assert beyond.mean() == pytest.approx(60_000, rel=0.05)
    assert np.quantile(beyond, [0.25, 0.5]) == pytest.approx(-60_000 * np.log([0.75, 0.5]), rel=0.05)


@pytest.mark.parametrize("uniform", [1.0, 0.5, 1e-15])
def test_patience_beyond_every_hang_up_is_still_longer_than_the_wait(uniform: float) -> None:
    patience = Patience([1_000, 2_000, 9_000], abandoned=[True, True, False])

    drawn_ms = patience.draw_ms(9_000, uniform)

    assert drawn_ms is not None
    assert drawn_ms > 9_000


# Whole logs


def test_example_log_replays(example_log: CallLog, example_mapping: LogMapping) -> None:
    inferred = infer(example_log.calls, example_mapping)

    results = replay(inferred)

    assert results.total.offered == by_log(inferred).total.offered == 9
    assert results.total.answered >= 7
    assert inferred.organisation.sites[0].country == "IT"
    assert inferred.owners == {"K7": "anna", "K9": "bruno"}


def test_bank_log_replays_as_it_was(bank_log: CallLog, bank_mapping: LogMapping) -> None:
    """First come first served on the inferred hours comes near what the log says happened.

    One week for speed; the whole month has 53.9 % in time for 52.1, 12.6 % abandoned for 12.7, 41.7 s for 40.8.
    """
    week = {date(1999, 2, day) for day in range(14, 21)}
    inferred = infer(bank_log.calls, bank_mapping, policy=FIRST_COME_FIRST_SERVED, days=week)

    logged, replayed = by_log(inferred).total, replay(inferred).total

    assert len(inferred.callers) == logged.offered == 7_917
    assert replayed.service_level == pytest.approx(logged.service_level, abs=0.03)
    assert replayed.abandoned_share == pytest.approx(logged.abandoned_share, abs=0.01)
    assert replayed.mean_wait_answered_s == pytest.approx(logged.mean_wait_answered_s, rel=0.1)
    assert replayed.mean_service_s == pytest.approx(logged.mean_service_s, rel=0.02)


def test_bank_log_replays_alike_with_owners_first(bank_log: CallLog, bank_mapping: LogMapping) -> None:
    """Owners get more of their clients than by chance, at about the same service level."""
    days = {date(1999, 2, day) for day in range(7, 10)}

    plain = replay(infer(bank_log.calls, bank_mapping, policy=FIRST_COME_FIRST_SERVED, days=days)).total
    owned = replay(infer(bank_log.calls, bank_mapping, policy=ReplayPolicy(owner_wait_s=10), days=days)).total

    assert plain.owner_share_on_shift is not None
    assert owned.owner_share_on_shift is not None
    assert owned.owner_share_on_shift > 1.5 * plain.owner_share_on_shift
    assert owned.service_level == pytest.approx(plain.service_level, abs=0.02)


def test_bank_log_infers_alike_every_time(bank_log: CallLog, bank_mapping: LogMapping) -> None:
    calls: Sequence[LoggedCall] = bank_log.calls[:5_000]

    one, other = infer(calls, bank_mapping), infer(calls, bank_mapping)

    assert msgspec.to_builtins(one) == msgspec.to_builtins(other)
