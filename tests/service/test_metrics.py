"""What Prometheus gets to read."""

import re
import subprocess
import threading

import pytest

from router.core import Engine
from router.core.decisions import ConnectCall, Decision, OfferCall, PauseAgent, Rule
from router.core.errors import Rejection
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallArrived,
    Event,
    OfferAccepted,
    PlanAdvanceRequested,
    PlanHoldRequested,
)
from router.core.model import (
    AgentId,
    AgentStatus,
    CallId,
    ClientId,
    OfferId,
    Outcome,
    PortfolioId,
    ShareUnit,
    TeamId,
)
from router.core.shares import Forecast, Outlook
from router.core.summary import ContractSummary, EngineSummary, PlaceSummary, PortfolioSummary, TeamSummary
from router.service.metrics import Metrics
from tests.core.test_moves import FIRST, NOON, centre, plan
from tests.requirements import require

EMPTY = EngineSummary(now_ms=0, portfolios=(), teams=(), offers={}, calls_live=0)
BUSY = EngineSummary(
    now_ms=60_000,
    portfolios=(
        PortfolioSummary(
            portfolio_id=PortfolioId("gold-north"),
            waiting=3,
            callbacks_waiting=1,
            oldest_wait_ms=12_500,
            arrived=20,
            outcomes={Outcome.CONNECTED: 11, Outcome.ABANDONED: 2},
        ),
    ),
    teams=(TeamSummary(team_id=TeamId("aquila-3"), agents={AgentStatus.IDLE: 4, AgentStatus.IN_CALL: 2}),),
    offers={Rule.ACCEPTED: 11, Rule.REORGANISED: 1},
    calls_live=7,
    contracts=(
        ContractSummary(
            contract_id="c80",
            outlook=Outlook(ShareUnit.CALLS, 81, 100, 2, 8_100, True, Forecast(7_900, "amber")),
            goal_bp=8_000,
            margin_bp=100,
            overrides=3,
            refused=4,
        ),
        ContractSummary(
            contract_id="minutes",
            outlook=Outlook(ShareUnit.SECONDS, 0, 0, 0, None, False, Forecast(None, "green")),
            goal_bp=9_500,
            margin_bp=0,
            overrides=0,
            refused=0,
        ),
    ),
    places=(PlaceSummary(company="tel", asked=9, met=6, met_ms=90_500, unmet=2, unannounced=1),),
)

# None of these may ever be read in the metrics.
CALL = CallId("marked-call-1")
AGENT = AgentId("marked-agent-1")
CLIENT = ClientId("marked-client-1")
OFFER = OfferId("marked-offer-1")

EVENTS: list[Event] = [
    CallArrived(call_id=CALL, client_id=CLIENT, caller="marked-caller-1"),
    AgentReady(agent_id=AGENT),
    OfferAccepted(agent_id=AGENT, call_id=CALL, offer_id=OFFER),
]
DECISIONS: list[Decision] = [
    OfferCall(
        rule=Rule.OWNER,
        path=(CLIENT, AGENT),
        call_id=CALL,
        wait_ms=0,
        ring=0,
        offer_id=OFFER,
        agent_id=AGENT,
        expires_at_ms=20_000,
        agent_country="IT",
        portfolio_id=PortfolioId("gold-north"),
        client_id=CLIENT,
    ),
    ConnectCall(rule=Rule.ACCEPTED, call_id=CALL, wait_ms=4_000, offer_id=OFFER, agent_id=AGENT, agent_country="IT"),
    PauseAgent(rule=Rule.MISSES, agent_id=AGENT, misses=3),
]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: BUSY, version="1.2.3")


def text(metrics: Metrics) -> str:
    return metrics.render()[0].decode()


def samples(metrics: Metrics) -> dict[str, float]:
    lines = (line for line in text(metrics).splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def report_everything(metrics: Metrics) -> None:
    for event in EVENTS:
        metrics.handled(event, 0.000_015)
    for decision in DECISIONS:
        metrics.decided(decision)
    metrics.answered(PortfolioId("gold-north"), wait_ms=4_000)
    metrics.rejected(Rejection.UNKNOWN_CALL)
    metrics.duplicated()
    metrics.committed(0.001, 3)
    metrics.decision_latency(0.001_5)
    metrics.connected_to_broker(True)


def test_what_the_engine_looks_like_is_read_at_each_scrape() -> None:
    summary = EMPTY
    metrics = Metrics(lambda: summary, version="1.2.3")
    assert samples(metrics)["router_calls_live"] == 0

    summary = BUSY
    read = samples(metrics)

    assert read["router_calls_live"] == 7
    assert read['router_calls_waiting{portfolio="gold-north"}'] == 3
    assert read['router_callbacks_waiting{portfolio="gold-north"}'] == 1
    assert read['router_oldest_wait_seconds{portfolio="gold-north"}'] == 12.5
    assert read['router_calls_arrived_total{portfolio="gold-north"}'] == 20
    assert read['router_calls_ended_total{outcome="connected",portfolio="gold-north"}'] == 11
    assert read['router_calls_ended_total{outcome="fallback",portfolio="gold-north"}'] == 0
    assert read['router_agents{state="idle",team="aquila-3"}'] == 4
    assert read['router_agents{state="wrap_up",team="aquila-3"}'] == 0
    assert read['router_offers_total{result="accepted"}'] == 11
    assert read['router_offers_total{result="missed"}'] == 0
    assert read['router_offers_total{result="reorganised"}'] == 1


def test_how_a_move_plan_stands_is_read_at_each_scrape() -> None:
    engine = Engine(centre(plan(calls_min=1)))
    metrics = Metrics(lambda: engine.summary(now_ms=FIRST * 1000), version="1.2.3")
    for event in (AgentSignedIn(agent_id=AgentId("l1")), AgentReady(agent_id=AgentId("l1"))):
        engine.handle(event, now_ms=NOON * 1000)
    engine.expire(FIRST * 1000)

    read = samples(metrics)

    assert (read['router_plan_agents_moved{plan="home"}'], read['router_plan_agents{plan="home"}']) == (0, 220)
    assert read['router_plan_held{by="gate",plan="home"}'] == 1
    assert read['router_plan_held{by="people",plan="home"}'] == 0
    assert read['router_plan_late{plan="home"}'] == 0
    engine.handle(PlanAdvanceRequested(move_plan_id="home", by="ops", override=True), now_ms=FIRST * 1000)
    engine.handle(PlanHoldRequested(move_plan_id="home", by="ops"), now_ms=FIRST * 1000)
    read = samples(metrics)
    assert (read['router_plan_held{by="gate",plan="home"}'], read['router_plan_held{by="people",plan="home"}']) == (
        0,
        1,
    )
    assert read['router_plan_share_ratio{plan="home",portfolio="home",site="iasi"}'] == 0.6
    assert read['router_plan_calls{plan="home",portfolio="home",site="iasi"}'] == 0


def test_shares_and_requests_are_read_at_each_scrape(metrics: Metrics) -> None:
    read = samples(metrics)

    assert read['router_share_in_country_ratio{contract="c80"}'] == 0.81
    assert 'router_share_in_country_ratio{contract="minutes"}' not in read, "nothing done is no share, and not 0"
    assert read['router_share_target_ratio{contract="minutes"}'] == 0.95
    assert read['router_share_needed_ratio{contract="c80"}'] == 0.79
    assert read['router_share_work{contract="c80",place="in_country"}'] == 81
    assert read['router_share_work{contract="c80",place="all"}'] == 100
    assert read['router_share_work{contract="c80",place="promised"}'] == 2
    assert (read['router_share_open{contract="c80"}'], read['router_share_open{contract="minutes"}']) == (1, 0)
    assert (read['router_share_warning{contract="c80"}'], read['router_share_warning{contract="minutes"}']) == (1, 0)
    assert read['router_share_overrides_total{contract="c80"}'] == 3
    assert read['router_share_refused_total{contract="c80"}'] == 4
    assert read['router_place_requests_total{company="tel",result="asked"}'] == 9
    assert read['router_place_requests_total{company="tel",result="met"}'] == 6
    assert read['router_place_requests_total{company="tel",result="unmet"}'] == 2
    assert read['router_place_met_seconds_total{company="tel"}'] == 90.5
    assert read['router_unannounced_answers_total{company="tel"}'] == 1


def test_what_happens_is_counted(metrics: Metrics) -> None:
    report_everything(metrics)
    metrics.decided(DECISIONS[0])

    read = samples(metrics)
    assert read['router_decisions_total{decision="offer_call",rule="owner"}'] == 2
    assert read['router_decisions_total{decision="pause_agent",rule="misses"}'] == 1
    assert read['router_events_total{event="offer_accepted"}'] == 1
    assert read["router_engine_event_seconds_count"] == 3
    assert read['router_inputs_rejected_total{reason="unknown_call"}'] == 1
    assert read['router_inputs_rejected_total{reason="too_large"}'] == 0
    assert read["router_inputs_duplicate_total"] == 1
    assert read["router_journal_records_total"] == 3
    assert read['router_journal_commit_seconds_bucket{le="0.001"}'] == 1
    assert read['router_decision_latency_seconds_bucket{le="0.001"}'] == 0
    assert read['router_decision_latency_seconds_bucket{le="0.002"}'] == 1


@pytest.mark.parametrize("threshold_s", [5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 300, 600])
def test_a_call_answered_just_in_time_counts_as_in_time(metrics: Metrics, threshold_s: int) -> None:
    """Service levels can be read off exactly, because every target is an edge."""
    metrics.answered(PortfolioId("gold-north"), wait_ms=threshold_s * 1_000)
    metrics.answered(PortfolioId("gold-north"), wait_ms=threshold_s * 1_000 + 1)

    bucket = f'router_wait_until_connected_seconds_bucket{{le="{threshold_s}.0",portfolio="gold-north"}}'
    assert samples(metrics)[bucket] == 1


async def test_a_scrape_can_be_written_beside_the_event_loop(metrics: Metrics) -> None:
    """Only the summary is taken in the loop's own thread, where the engine is."""
    threads: list[threading.Thread] = []

    def summary() -> EngineSummary:
        threads.append(threading.current_thread())
        return BUSY

    beside = Metrics(summary, version="1.2.3")
    body, content_type = await beside.render_aside()

    assert threads == [threading.current_thread()]
    assert b'router_calls_waiting{portfolio="gold-north"} 3.0' in body
    assert content_type == metrics.render()[1]


def test_every_portfolio_has_its_waits_from_the_start(metrics: Metrics) -> None:
    """Prometheus needs the zero before the first call to see the first call."""
    assert samples(metrics)['router_wait_until_connected_seconds_count{portfolio="gold-north"}'] == 0


def test_the_broker_connection_comes_and_goes(metrics: Metrics) -> None:
    assert samples(metrics)["router_broker_connected"] == 0

    metrics.connected_to_broker(True)
    assert samples(metrics)["router_broker_connected"] == 1

    metrics.connected_to_broker(False)
    assert samples(metrics)["router_broker_connected"] == 0


def test_the_build_and_the_process_are_described(metrics: Metrics) -> None:
    read = samples(metrics)

    assert read['router_build_info{version="1.2.3"}'] == 1
    assert read['python_gc_collections_total{generation="0"}'] >= 0
    assert read["process_resident_memory_bytes"] > 0


def test_two_routers_in_one_process_count_apart(metrics: Metrics) -> None:
    other = Metrics(lambda: BUSY, version="1.2.3")

    metrics.duplicated()

    assert samples(other)["router_inputs_duplicate_total"] == 0


def test_nobody_can_be_recognised(metrics: Metrics) -> None:
    """No id of a call, client, agent or offer and no number; labels come from a short list."""
    report_everything(metrics)

    exposed = text(metrics)
    assert "marked" not in exposed
    assert set(re.findall(r'[{,]([a-z_]+)="', exposed)) == {
        "company", "contract", "decision", "event", "generation", "implementation", "le", "major", "minor", "outcome",
        "patchlevel", "place", "portfolio", "reason", "result", "rule", "state", "team", "version",
    }  # fmt: skip


def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    promtool = require("promtool")
    report_everything(metrics)

    body, content_type = metrics.render()
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    assert content_type.startswith("text/plain; version=0.0.4")


def test_names_carry_prefix_and_unit(metrics: Metrics) -> None:
    types = re.findall(r"^# TYPE (\S+) (\S+)$", text(metrics), re.MULTILINE)

    ours = {name: kind for name, kind in types if not name.startswith(("process_", "python_"))}
    assert all(name.startswith("router_") for name in ours)
    assert all(name.endswith("_total") for name, kind in ours.items() if kind == "counter")
    assert all(name.endswith("_seconds") for name, kind in ours.items() if kind == "histogram")
