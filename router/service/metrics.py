"""The router's metrics for Prometheus: the one module that knows its library.

Two kinds come together. What happens is counted as it happens, by the methods of `Metrics`. What *is*, the
queues and the agents, is asked of the engine when Prometheus comes to read, so that it cannot drift from the truth.

Labels are portfolios, teams and closed sets. Never a client, a call, an agent or a number: metrics are kept
for long and read by many, and figures of one agent would be remote monitoring of a worker.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.core.decisions import Decision, Rule
from router.core.errors import Rejection
from router.core.events import Event
from router.core.model import AgentStatus, Outcome, PortfolioId, ShareUnit
from router.core.summary import EngineSummary

__all__ = ["Metrics"]

WAIT_BUCKETS_S = (5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 300, 600)
"""A service level is exact only at an edge, so the targets are edges. 20 s is the threshold of the Italian
regulator (AGCOM 255/24/CONS: at least 40 % of answered calls) and of the usual contract, "80 in 20"; 150 s is what
the same rule allows for the mean answer by a human. The others are targets of contracts, and 10 minutes the tail."""

# 2 ms is what the router may add to a message at the 99th percentile; the edges are close around it.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

# Events take the engine some ten microseconds; a new organisation may take seconds.
ENGINE_BUCKETS_S = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 0.1, 1.0, 5.0)

# The text format that every Prometheus since 2014 reads; what `generate_latest` writes is exactly that.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Shown from the start, also at zero; rarer ones appear with their first offer.
OFFER_RESULTS = (Rule.ACCEPTED, Rule.DECLINED, Rule.MISSED, Rule.OFFER_EXPIRED, Rule.ABANDONED)

# Else every counter brings a second series, the time of its creation, which our rules have no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has annotated all but this


class Metrics:
    """Everything that Prometheus is told, in a registry of its own."""

    def __init__(self, summary: Callable[[], EngineSummary], *, version: str) -> None:
        """Start all counts at zero.

        Args:
            summary: Asked at every scrape, in the caller's thread, what the engine looks like.
            version: Of the router.
        """
        self._summary = summary
        self._registry = registry = CollectorRegistry()
        self._waits = Histogram(
            "router_wait_until_connected_seconds",
            "Wait of connected calls from arrival until caller and agent hear each other.",
            ["portfolio"],
            buckets=WAIT_BUCKETS_S,
            registry=registry,
        )
        self._latency = Histogram(
            "router_decision_latency_seconds",
            "From the receipt of a message until its decisions are handed to the broker.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._commits = Histogram(
            "router_journal_commit_seconds",
            "Time to make one batch durable in the journal.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._records = Counter(
            "router_journal_records_total", "Records made durable in the journal.", registry=registry
        )
        self._engine = Histogram(
            "router_engine_event_seconds",
            "Time the engine took over one event.",
            buckets=ENGINE_BUCKETS_S,
            registry=registry,
        )
        self._events = Counter(
            "router_events_total", "Events that the engine applied, by type.", ["event"], registry=registry
        )
        self._decisions = Counter(
            "router_decisions_total",
            "Decisions of the engine, by type and by the rule that made them.",
            ["decision", "rule"],
            registry=registry,
        )
        self._rejected = Counter(
            "router_inputs_rejected_total", "Messages refused, by reason.", ["reason"], registry=registry
        )
        for reason in Rejection:
            self._rejected.labels(reason.value)
        self._duplicates = Counter(
            "router_inputs_duplicate_total",
            "Messages received again that the journal had already; they changed nothing.",
            registry=registry,
        )
        self._snapshots = Histogram(
            "router_journal_snapshot_seconds",
            "Time for which routing stood still to store a snapshot.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._snapshot_bytes = Gauge(
            "router_journal_snapshot_bytes", "Size of the newest snapshot that this router wrote.", registry=registry
        )
        self._absences = Counter(
            "router_absences_total",
            "Times that the router could not act for seconds, or that its clock was set forward.",
            registry=registry,
        )
        self._diverged = Gauge(
            "router_replay_diverged",
            "1 when this router decided otherwise, on its start, than the one that wrote the journal, else 0.",
            registry=registry,
        )
        self._broker = Gauge(
            "router_broker_connected", "1 while connected to the MQTT broker, else 0.", registry=registry
        )
        Info("router_build", "The router that runs.", registry=registry).info({"version": version})
        for collector in (PlatformCollector, ProcessCollector, GCCollector):
            collector(registry=registry)
        # Looking a counter up by its labels takes longer than counting, and these two are on the hot path.
        self._event_counter = cache(self._find_event_counter)
        self._decision_counter = cache(self._find_decision_counter)

    def answered(self, portfolio_id: PortfolioId, *, wait_ms: int) -> None:
        """A caller was connected for the first time, *wait_ms* after the call arrived."""
        self._waits.labels(portfolio_id).observe(wait_ms / 1_000)

    def decided(self, decision: Decision) -> None:
        """The engine made *decision*."""
        self._decision_counter(type(decision), decision.rule).inc()

    def handled(self, event: Event, seconds: float) -> None:
        """The engine applied *event* and took *seconds* over it."""
        self._event_counter(type(event)).inc()
        self._engine.observe(seconds)

    def rejected(self, reason: Rejection) -> None:
        """A message was refused."""
        self._rejected.labels(reason.value).inc()

    def duplicated(self) -> None:
        """A message was one that the journal had already."""
        self._duplicates.inc()

    def committed(self, seconds: float, records: int) -> None:
        """The journal made a batch of *records* durable within *seconds*."""
        self._commits.observe(seconds)
        self._records.inc(records)

    def snapshot(self, seconds: float, size: int) -> None:
        """A snapshot of *size* bytes was stored within *seconds*."""
        self._snapshots.observe(seconds)
        self._snapshot_bytes.set(size)

    def absent(self) -> None:
        """The router could not act for a while."""
        self._absences.inc()

    def diverged(self) -> None:
        """A replay did not decide as the router that wrote the journal."""
        self._diverged.set(1)

    def decision_latency(self, seconds: float) -> None:
        """A message's decisions went to the broker *seconds* after its receipt."""
        self._latency.observe(seconds)

    def connected_to_broker(self, connected: bool) -> None:
        """The connection to the broker came or went."""
        self._broker.set(connected)

    def render(self) -> tuple[bytes, str]:
        """The metrics as Prometheus reads them: body and content type."""
        return self._render(self._look())

    async def render_aside(self) -> tuple[bytes, str]:
        """As `render`, but the event loop goes on meanwhile: only the summary is taken in it.

        The text of 500 portfolios and 500 teams takes 0.2 s to write, for which no call should have to wait.
        """
        return await asyncio.to_thread(self._render, self._look())

    def _look(self) -> EngineSummary:
        summary = self._summary()
        for portfolio in summary.portfolios:
            # Shown from the start: a rate needs the zero that it rises from.
            self._waits.labels(portfolio.portfolio_id)
        return summary

    def _render(self, summary: EngineSummary) -> tuple[bytes, str]:
        registry = CollectorRegistry()
        registry.register(_SummaryCollector(summary))
        return generate_latest(registry) + generate_latest(self._registry), CONTENT_TYPE

    def _find_event_counter(self, event: type[Event]) -> Counter:
        return self._events.labels(event.__struct_config__.tag)

    def _find_decision_counter(self, decision: type[Decision], rule: Rule) -> Counter:
        return self._decisions.labels(decision.__struct_config__.tag, rule.value)


class _SummaryCollector(Collector):
    """What can be seen of the engine, as metrics of one scrape."""

    def __init__(self, summary: EngineSummary) -> None:
        self._summary = summary

    def collect(self) -> Iterator[Metric]:
        yield from _portfolios(self._summary)
        yield from _agents_and_offers(self._summary)
        yield from _contracts(self._summary)
        yield from _places(self._summary)
        yield from _move_plans(self._summary)


def _portfolios(summary: EngineSummary) -> Iterator[Metric]:
    labels = ["portfolio"]
    waiting = GaugeMetricFamily("router_calls_waiting", "Callers in the queue.", labels=labels)
    callbacks = GaugeMetricFamily("router_callbacks_waiting", "Call-backs still to be made.", labels=labels)
    oldest = GaugeMetricFamily(
        "router_oldest_wait_seconds", "Wait so far of the caller who has waited longest.", labels=labels
    )
    arrived = CounterMetricFamily("router_calls_arrived_total", "Calls arrived since the journal began.", labels=labels)
    ended = CounterMetricFamily(
        "router_calls_ended_total",
        "Calls since the journal began, by how they ended.",
        labels=["portfolio", "outcome"],
    )
    for portfolio in summary.portfolios:
        key = [portfolio.portfolio_id]
        waiting.add_metric(key, portfolio.waiting)
        callbacks.add_metric(key, portfolio.callbacks_waiting)
        oldest.add_metric(key, portfolio.oldest_wait_ms / 1_000)
        arrived.add_metric(key, portfolio.arrived)
        for outcome in Outcome:
            ended.add_metric([*key, outcome.value], portfolio.outcomes.get(outcome, 0))
    yield from (waiting, callbacks, oldest, arrived, ended)


def _agents_and_offers(summary: EngineSummary) -> Iterator[Metric]:
    agents = GaugeMetricFamily("router_agents", "Agents signed in, by state.", labels=["team", "state"])
    for team in summary.teams:
        for status in AgentStatus:
            if status is not AgentStatus.SIGNED_OUT:
                agents.add_metric([team.team_id, status.value], team.agents.get(status, 0))
    offers = CounterMetricFamily(
        "router_offers_total", "Offers since the journal began, by how they ended.", labels=["result"]
    )
    for result in sorted({*summary.offers, *OFFER_RESULTS}):
        offers.add_metric([result.value], summary.offers.get(result, 0))
    yield agents
    yield offers
    yield GaugeMetricFamily("router_calls_live", "Calls that have not ended.", value=summary.calls_live)


def _contracts(summary: EngineSummary) -> Iterator[Metric]:
    labels = ["contract"]
    share = GaugeMetricFamily(
        "router_share_in_country_ratio", "Work done in the country in the present period; none where nothing was done.",
        labels=labels,
    )  # fmt: skip
    target = GaugeMetricFamily("router_share_target_ratio", "The share that the contract asks for.", labels=labels)
    needed = GaugeMetricFamily(
        "router_share_needed_ratio", "Share needed of what is still expected in the period.", labels=labels
    )
    work = GaugeMetricFamily(
        "router_share_work",
        "Work of the present period in the contract's unit: calls, or seconds; promised is under way abroad.",
        labels=["contract", "place"],
    )
    is_open = GaugeMetricFamily("router_share_open", "Whether one more call may go abroad.", labels=labels)
    warning = GaugeMetricFamily(
        "router_share_warning", "0: the share can be kept easily, 1 (amber): hardly, 2 (red): not any more.",
        labels=labels,
    )  # fmt: skip
    overrides = CounterMetricFamily(
        "router_share_overrides_total", "Calls sent abroad although the share forbade it.", labels=labels
    )
    refused = CounterMetricFamily(
        "router_share_refused_total", "Calls not answered for the sake of the share.", labels=labels
    )
    for contract in summary.contracts:
        key, outlook = [contract.contract_id], contract.outlook
        scale = 1 if outlook.unit is ShareUnit.CALLS else 1_000
        if outlook.total:
            share.add_metric(key, outlook.inside / outlook.total)
        target.add_metric(key, contract.goal_bp / 10_000)
        if outlook.forecast.needed_bp is not None:
            needed.add_metric(key, outlook.forecast.needed_bp / 10_000)
        work.add_metric([*key, "in_country"], outlook.inside / scale)
        work.add_metric([*key, "all"], outlook.total / scale)
        work.add_metric([*key, "promised"], outlook.promised / scale)
        is_open.add_metric(key, outlook.is_open)
        warning.add_metric(key, _WARNINGS.index(outlook.forecast.level))
        overrides.add_metric(key, contract.overrides)
        refused.add_metric(key, contract.refused)
    yield from (share, target, needed, work, is_open, warning, overrides, refused)


_WARNINGS = ("green", "amber", "red")


def _places(summary: EngineSummary) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "router_place_requests_total",
        "Callers who asked for an agent inside, and what became of it; without an end yet: asked alone.",
        labels=["company", "result"],
    )
    waited = CounterMetricFamily(
        "router_place_met_seconds_total", "From asking to being put through, of those in all.", labels=["company"]
    )
    unannounced = CounterMetricFamily(
        "router_unannounced_answers_total",
        "Conversations that began without word that the caller was told of the agent's country.",
        labels=["company"],
    )
    for place in summary.places:
        for result, count in (("asked", place.asked), ("met", place.met), ("unmet", place.unmet)):
            requests.add_metric([place.company, result], count)
        waited.add_metric([place.company], place.met_ms / 1_000)
        unannounced.add_metric([place.company], place.unannounced)
    yield from (requests, waited, unannounced)


def _move_plans(summary: EngineSummary) -> Iterator[Metric]:
    moved = GaugeMetricFamily(
        "router_plan_agents_moved", "Agents who have moved, by the steps in force.", labels=["plan"]
    )
    agents = GaugeMetricFamily("router_plan_agents", "Agents who are to move in all.", labels=["plan"])
    held = GaugeMetricFamily(
        "router_plan_held", "Whether a step whose day has come waits for its gate, or people hold the plan.",
        labels=["plan", "by"],
    )  # fmt: skip
    late = GaugeMetricFamily(
        "router_plan_late", "Whether the last step will be taken after the deadline, as things are.", labels=["plan"]
    )
    labels = ["plan", "portfolio", "site"]
    calls = GaugeMetricFamily("router_plan_calls", "Calls answered in the present step.", labels=labels)
    spilled = GaugeMetricFamily(
        "router_plan_calls_spilled", "Of these: let go there although the site had had its share.", labels=labels
    )
    share = GaugeMetricFamily("router_plan_share_ratio", "What the step in force gives to the site.", labels=labels)
    for plan in summary.move_plans:
        key = [plan.move_plan_id]
        moved.add_metric(key, plan.agents_moved)
        agents.add_metric(key, plan.agents)
        held.add_metric([*key, "gate"], plan.is_held_by_gate)
        held.add_metric([*key, "people"], plan.held_by is not None)
        late.add_metric(key, plan.is_late)
        for portfolio in plan.portfolios:
            for site in portfolio.sites:
                place = [*key, portfolio.portfolio_id, site.site_id or "elsewhere"]
                calls.add_metric(place, site.answered)
                spilled.add_metric(place, site.spilled)
                if site.share_bp is not None:
                    share.add_metric(place, site.share_bp / 10_000)
    yield from (moved, agents, held, late, calls, spilled, share)
