"""How good is the routing? The router's rules, and those of the literature and of two other systems, beside bounds.

Every rule serves the very same callers: seeded traces with their arrivals, talks and patience. What an organisation
file can say is played by the engine, the rest by `literature`. Beside them stands what no rule can beat (`bounds`): the
clairvoyant linear program on these traces, and exact figures of Erlang-A queues where they hold.

The service level is variant C, answered within 20 s / offered: all who hang up count against. The wait is that of all
callers, until they are answered or hang up. The owner share is of the calls answered. Occupancy is of the time in which
callers arrive; its spread is the standard deviation over agents.

How rules are compared. Differences are between sums over the same traces, with 95 % intervals by the jackknife, which
leaves out one trace at a time for both. No column alone ranks rules, since whoever keeps more calls with the owner team
makes callers wait. So *at equal owner share* sets a rule beside the fixed threshold that has its owner share,
interpolated between the thresholds that were played on the same traces.

The weights of `WaitAndIdleness` are the best of a grid on traces of their own, which are not shown: the highest service
level among those whose owner share is no less than that of the threshold of 15 s.
"""

import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from itertools import pairwise, product
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.bounds import MissingSolverError, abandoned_at_least, answered_at_most, owner_share_at_most
from benchmarks.engine import processor_name
from benchmarks.literature import IndexRule, PairWeights, QueueAndIdleness, WaitAndIdleness, play_by
from router.core.model import Link, Skill, SkillNeed, Strategy, TeamId
from router.simulation.memoryless import CallerDraw, Crew, Fates, Kind, MemorylessModel, play
from router.simulation.statistics import t_quantile

__all__ = ["FULL", "SCENARIOS", "TINY", "Report", "Row", "Scale", "Scenario", "as_tables", "draw_trace", "main", "run"]

Floats = NDArray[np.float64]

SEED = 1917
TARGET_MS = 20_000
CONFIDENCE = 0.95
THRESHOLDS_S = (0, 5, 10, 15, 19, 30, 60)
"""20 s itself is a knife's edge: half of those who wait for it are answered a moment too late."""


# --- Scenarios -----------------------------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """Kinds of call and crews of agents, and how the load goes over the time."""

    name: str
    kinds: Mapping[str, tuple[float, tuple[str, ...]]]
    """Erlangs, and the crews able to serve the kind, the owner team first."""
    crews: Mapping[str, int]
    """How many agents alike."""
    service_s: float
    patience_s: float
    hours: tuple[Mapping[str, float], ...] = ({}, {})
    """For each hour, by how much the load of some kinds is multiplied."""

    @property
    def all_can_do_all(self) -> bool:
        return all(len(crews) == len(self.crews) for _, crews in self.kinds.values())

    def model(
        self,
        *,
        strategy: Strategy = Strategy.LONGEST_IDLE,
        after_s: int | None = 0,
        own_first: bool = False,
        keep_idle: int | None = None,
    ) -> MemorylessModel:
        """As an organisation file would say it; *after_s* None: nobody helps another team."""
        kinds = []
        skills: dict[str, dict[Skill, int]] = {crew: {} for crew in self.crews}
        for name, (load, crews) in self.kinds.items():
            owner, *others = crews
            for crew in crews:
                skills[crew][Skill(name)] = 2 if crew == owner else 1
            helpers = () if after_s is None else tuple(Link(TeamId(other), after_s) for other in others)
            links = (Link(TeamId(owner)), *helpers)
            kinds.append(Kind(name, load, self.service_s, self.patience_s, links, (SkillNeed(Skill(name)),)))
        crews_ = [
            Crew(TeamId(crew), agents, skills[crew], own_first, strategy, keep_idle)
            for crew, agents in self.crews.items()
        ]
        return MemorylessModel(kinds, crews_)


def _teams(name: str, teams: int, agents: int, load: float, service_s: float, patience_s: float) -> Scenario:
    """Teams of equal size, each with a portfolio, all able to serve all."""
    names = [f"t{number}" for number in range(teams)]
    kinds = {own: (load, (own, *(other for other in names if other != own))) for own in names}
    return Scenario(name, kinds, dict.fromkeys(names, agents), service_s, patience_s)


def _skills() -> Scenario:
    """Load and agents of Wallace & Whitt (M&SOM 7 (2005) 276-294), six types of call, 84 erlangs before 90 agents.

    Their agents all have as many skills; here each type has nine of one skill and four who know the next type too, and
    twelve agents know everything, so that flexibility is worth saving.
    """
    types = 6
    kinds: dict[str, tuple[float, tuple[str, ...]]] = {}
    crews: dict[str, int] = {}
    for number in range(types):
        before = (number - 1) % types
        kinds[f"k{number}"] = (84 / types, (f"one{number}", f"two{number}", f"two{before}", "all"))
        crews[f"one{number}"], crews[f"two{number}"] = 9, 4
    return Scenario("six types, 90 agents of one, two or six skills", kinds, {**crews, "all": 12}, 600, 300)


SCENARIOS = (
    _teams("two teams of ten", 2, 10, 8, 240, 180),
    _teams("six teams of four", 6, 4, 3, 300, 120),
    Scenario("N: one team for both kinds", {"k0": (2.7, ("a", "b")), "k1": (1.5, ("b",))}, {"a": 3, "b": 3}, 240, 180),
    _skills(),
    _teams("two teams, overload of one", 2, 10, 8, 240, 180)._replace(hours=({}, {"t0": 1.6}, {})),
)


def draw_trace(scenario: Scenario, rng: np.random.Generator, *, hour_s: int = 3_600) -> CallerDraw:
    """Callers by an inhomogeneous Poisson process; the usual number opens, as in `memoryless.draw_callers`."""
    kinds = list(scenario.kinds)
    parts: list[tuple[Floats, int]] = []
    for number, kind in enumerate(kinds):
        load = scenario.kinds[kind][0]
        parts.append((np.zeros(round(load)), number))
        for hour, factors in enumerate(scenario.hours):
            count = rng.poisson(load * factors.get(kind, 1.0) / scenario.service_s * hour_s)
            parts.append((rng.uniform(hour, hour + 1, count) * hour_s, number))
    arrived_s = np.concatenate([times for times, _ in parts])
    kind_of = np.repeat([number for _, number in parts], [len(times) for times, _ in parts])
    order = np.argsort(arrived_s, kind="stable")
    callers = len(order)
    return CallerDraw(
        kind_of[order],
        np.rint(arrived_s[order] * 1000).astype(np.int64),
        np.rint(rng.exponential(scenario.service_s, callers) * 1000).astype(np.int64),
        np.rint(rng.exponential(scenario.patience_s, callers) * 1000).astype(np.int64),
        sum(round(load) for load, _ in scenario.kinds.values()),
    )


# --- Rules ---------------------------------------------------------------------------------------------------------

Play = Callable[[CallerDraw], Fates]


class Rule(NamedTuple):
    """Somebody's way of routing."""

    name: str
    play: Play
    player: str = "engine"
    threshold_s: int | None = None
    """Of a fixed threshold, with which others are compared; None: it is none."""


def _by_engine(scenario: Scenario, name: str, *, threshold_s: int | None = None, **options: object) -> Rule:
    # By name to a function that has types; mypy cannot tell which value goes where.
    model = scenario.model(**options)  # type: ignore[arg-type]
    return Rule(name, lambda draw: play(model, draw), threshold_s=threshold_s)


def _by_reference(scenario: Scenario, name: str, rule: IndexRule, *, in_turn: bool = False) -> Rule:
    model = scenario.model()
    return Rule(name, lambda draw: play_by(rule, model, draw, in_turn=in_turn), "reference")


_ALONE_S = 1 << 30


def rules(scenario: Scenario, weights: WaitAndIdleness) -> list[Rule]:
    """All that are compared, the one with which differences are taken first."""
    found = [_by_engine(scenario, "longest idle")]
    if not scenario.all_can_do_all:
        found.append(_by_engine(scenario, "least flexible", strategy=Strategy.LEAST_FLEXIBLE))
    penalty = WaitAndIdleness(PairWeights(constant=1, wait=2), PairWeights(wait=2))
    found += [
        _by_engine(scenario, "penalties, leastrecent", strategy=Strategy.MOST_SKILLED),
        _by_reference(scenario, "penalties, rrmemory", penalty, in_turn=True),
        _by_engine(scenario, "tiers, 15 s", after_s=15),
    ]
    for threshold_s in THRESHOLDS_S:
        # Without a wait there is one ring, in which the owner team is asked first by its skill.
        strategy = Strategy.LONGEST_IDLE if threshold_s else Strategy.MOST_SKILLED
        name = f"own first, {threshold_s} s" if threshold_s else "own first, at once"
        found.append(
            _by_engine(scenario, name, threshold_s=threshold_s, strategy=strategy, after_s=threshold_s, own_first=True)
        )
    if scenario.all_can_do_all:
        found.append(_by_engine(scenario, "own alone", threshold_s=_ALONE_S, after_s=None))
    for after_s in (0, 15):
        name = f"idlest team, {after_s} s" if after_s else "idlest team, at once"
        found.append(_by_engine(scenario, name, strategy=Strategy.IDLEST_TEAM, after_s=after_s, own_first=True))
    for keep_idle in (1, 2, 3):
        found.append(
            _by_engine(
                scenario,
                f"idlest team, 19 s, keep {keep_idle}",
                strategy=Strategy.IDLEST_TEAM,
                after_s=19,
                own_first=True,
                keep_idle=keep_idle,
            )
        )
    found.append(_by_reference(scenario, f"wait/idle weights {_words(weights)}", weights))
    ratios = QueueAndIdleness([round(10 * load) for load, _ in scenario.kinds.values()], [*scenario.crews.values()])
    found.append(_by_reference(scenario, "queue-and-idleness ratio", ratios))
    return found


def _weights_grid() -> Iterable[WaitAndIdleness]:
    own = PairWeights(constant=1 << 50, wait=20)
    for wait_s, idle, idle_agents_s in product((10, 15, 19, 25, 40), (0, 1, 5, 20), (0, 1, 2, 5, 10, 20)):
        yield WaitAndIdleness(own, PairWeights(-20_000 * wait_s, 20, idle, 20_000 * idle_agents_s))


def _words(weights: WaitAndIdleness) -> str:
    other = weights.other
    return f"({-other.constant / 20_000:g} s, {other.idle / 20:g}, {other.idle_agents / 20_000:g} s)"


# --- Figures -------------------------------------------------------------------------------------------------------


class Sums(NamedTuple):
    """Of every trace, one array element each."""

    offered: Floats
    in_time: Floats
    answered: Floats
    by_owner: Floats
    wait_s: Floats
    busy_s: Floats
    staffed_s: Floats
    spread: Floats

    def without(self, trace: int) -> "Sums":
        return Sums(*(np.delete(each, trace) for each in self))

    @property
    def service_level(self) -> float:
        return float(self.in_time.sum() / self.offered.sum())

    @property
    def owner_share(self) -> float:
        return float(self.by_owner.sum() / self.answered.sum())

    @property
    def wait(self) -> float:
        return float(self.wait_s.sum() / self.offered.sum())


def _sums(
    scenario: Scenario,
    model: MemorylessModel,
    traces: list[CallerDraw],
    rule: Rule,
    hour_s: int,
    note: Callable[[bytes], None] = lambda _: None,
) -> Sums:
    owners = np.array([list(scenario.crews).index(crews[0]) for _, crews in scenario.kinds.values()])
    until_ms = len(scenario.hours) * hour_s * 1000
    rows = []
    for draw in traces:
        fates = rule.play(draw)
        note(fates.wait_ms.tobytes() + fates.agent.tobytes())
        answered = fates.answered
        begun_ms = draw.arrived_ms + fates.wait_ms
        talk_ms = np.clip(until_ms - begun_ms, 0, draw.service_ms)[answered]
        busy_ms = np.bincount(fates.agent[answered], talk_ms, minlength=model.agents)
        by_owner = answered & (model.team_of_agent[fates.agent] == owners[draw.kind])
        rows.append(
            (
                len(answered),
                (answered & (fates.wait_ms <= TARGET_MS)).sum(),
                answered.sum(),
                by_owner.sum(),
                fates.wait_ms.sum() / 1000,
                busy_ms.sum() / 1000,
                model.agents * until_ms / 1000,
                (busy_ms / until_ms).std(),
            )
        )
    return Sums(*np.array(rows, dtype=float).T)


class Estimate(msgspec.Struct, frozen=True):
    """A difference and the half-width of its interval."""

    value: float
    half_width: float


def _jackknife(figure: Callable[..., float], *samples: Sums) -> Estimate:
    """*figure* of samples of the same traces; each trace is left out of all of them once (Quenouille, Tukey)."""
    traces = len(samples[0].offered)
    parts = np.array([figure(*(sample.without(trace) for sample in samples)) for trace in range(traces)])
    deviation = float(np.sqrt((traces - 1) / traces * ((parts - parts.mean()) ** 2).sum()))
    return Estimate(figure(*samples), t_quantile((1 + CONFIDENCE) / 2, degrees=traces - 1) * deviation)


def _beside_thresholds(rule: Sums, thresholds: list[Sums], figure: Callable[[Sums], float]) -> Estimate | None:
    """How far the figure is from that of the threshold of equal owner share; None: no two have it between them."""

    def difference(one: Sums, lower: Sums, upper: Sums) -> float:
        span = upper.owner_share - lower.owner_share
        part = (one.owner_share - lower.owner_share) / span if span else 0.0
        return figure(one) - (1 - part) * figure(lower) - part * figure(upper)

    for lower, upper in pairwise(thresholds):
        if lower.owner_share <= rule.owner_share <= upper.owner_share:
            return _jackknife(difference, rule, lower, upper)
    return None


# --- The run -------------------------------------------------------------------------------------------------------


class Scale(NamedTuple):
    """How much is played."""

    traces: int
    """At least eleven, for the intervals."""
    grid_traces: int
    """On which weights are chosen."""
    hour_s: int = 3_600
    scenarios: tuple[Scenario, ...] = SCENARIOS


FULL = Scale(traces=60, grid_traces=20)
TINY = Scale(traces=11, grid_traces=1, hour_s=300, scenarios=(SCENARIOS[1], SCENARIOS[2]))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One rule on the traces of one scenario."""

    rule: str
    player: str
    service_level: float
    of_bound: float
    """Answered within 20 s, of those whom the linear program answers."""
    wait_s: float
    abandoned: float
    owner_share: float
    owner_share_of_bound: float | None
    """Answered by owner teams, of those whom they would answer alone on average over all days."""
    occupancy: float
    occupancy_spread: float
    service_level_less: Estimate | None
    """Less that of longest idle."""
    wait_s_less: Estimate | None
    service_level_at_equal_share: Estimate | None
    """Less that of the fixed threshold of the same owner share."""
    wait_s_at_equal_share: Estimate | None


class ScenarioReport(msgspec.Struct, frozen=True, kw_only=True):
    """All rules on the traces of one scenario, and what none can beat."""

    scenario: str
    traces: int
    calls: int
    service_level_bound: float
    """By the clairvoyant linear program, on these traces."""
    abandoned_bound: float | None
    """By Erlang-A, on average over all days; None: there is none."""
    owner_share_bound: float | None
    """The same, of the calls offered."""
    rows: tuple[Row, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    router: str
    python: str
    processor: str
    seed: int
    digest: str
    """Of what became of every caller under every rule."""
    scenarios: tuple[ScenarioReport, ...]


def run(scale: Scale) -> Report:
    """Play every rule on every scenario.

    Raises:
        MissingSolverError: scipy is not installed.
    """
    digest = hashlib.blake2b(digest_size=8)
    scenarios = tuple(
        _compare(scenario, np.random.SeedSequence(SEED, spawn_key=(number,)), scale, digest.update)
        for number, scenario in enumerate(scale.scenarios)
    )
    return Report(
        router=version("portfolio-router"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        processor=processor_name(),
        seed=SEED,
        digest=digest.hexdigest(),
        scenarios=scenarios,
    )


def _compare(
    scenario: Scenario, seed: np.random.SeedSequence, scale: Scale, note: Callable[[bytes], None]
) -> ScenarioReport:
    shown, grid = (
        [draw_trace(scenario, np.random.default_rng(each), hour_s=scale.hour_s) for each in part.spawn(count)]
        for part, count in zip(seed.spawn(2), (scale.traces, scale.grid_traces), strict=True)
    )
    model = scenario.model()
    bounds = np.array([answered_at_most(model, draw, within_ms=TARGET_MS) for draw in shown], dtype=float)
    compared = rules(scenario, _best_weights(scenario, model, grid, scale.hour_s))
    sums = {rule.name: _sums(scenario, model, shown, rule, scale.hour_s, note) for rule in compared}
    thresholds = [(rule.threshold_s, sums[rule.name]) for rule in compared if rule.threshold_s is not None]
    first = sums[compared[0].name]
    is_steady = not any(scenario.hours)
    owner_bound = owner_share_at_most(model) if is_steady else None
    return ScenarioReport(
        scenario=scenario.name,
        traces=len(shown),
        calls=sum(len(draw.kind) for draw in shown),
        service_level_bound=float(bounds.sum() / first.offered.sum()),
        abandoned_bound=abandoned_at_least(model) if is_steady else None,
        owner_share_bound=owner_bound,
        rows=tuple(_row(rule, sums[rule.name], first, thresholds, bounds, owner_bound) for rule in compared),
    )


def _row(
    rule: Rule,
    sums: Sums,
    first: Sums,
    thresholds: list[tuple[int, Sums]],
    bounds: Floats,
    owner_bound: float | None,
) -> Row:
    is_first, is_threshold = sums is first, rule.threshold_s is not None
    any_wait = [each for _, each in thresholds]
    # From the target on the service level falls off a cliff, so that nothing lies between 19 s and 30 s.
    in_time = [each for threshold_s, each in thresholds if threshold_s * 1000 < TARGET_MS]
    owner_share_of_offered = float(sums.by_owner.sum() / sums.offered.sum())
    return Row(
        rule=rule.name,
        player=rule.player,
        service_level=sums.service_level,
        of_bound=float(sums.in_time.sum() / bounds.sum()),
        wait_s=sums.wait,
        abandoned=float(1 - sums.answered.sum() / sums.offered.sum()),
        owner_share=sums.owner_share,
        owner_share_of_bound=None if owner_bound is None else owner_share_of_offered / owner_bound,
        occupancy=float(sums.busy_s.sum() / sums.staffed_s.sum()),
        occupancy_spread=float(sums.spread.mean()),
        service_level_less=None if is_first else _jackknife(_service_level_less, sums, first),
        wait_s_less=None if is_first else _jackknife(_wait_less, sums, first),
        service_level_at_equal_share=None if is_threshold else _beside_thresholds(sums, in_time, _service_level),
        wait_s_at_equal_share=None if is_threshold else _beside_thresholds(sums, any_wait, _wait),
    )


def _service_level(sums: Sums) -> float:
    return sums.service_level


def _wait(sums: Sums) -> float:
    return sums.wait


def _service_level_less(sums: Sums, first: Sums) -> float:
    return sums.service_level - first.service_level


def _wait_less(sums: Sums, first: Sums) -> float:
    return sums.wait - first.wait


def _best_weights(scenario: Scenario, model: MemorylessModel, traces: list[CallerDraw], hour_s: int) -> WaitAndIdleness:
    own = PairWeights(constant=1 << 50)
    threshold = _by_reference(scenario, "threshold", WaitAndIdleness(own, PairWeights(constant=-15_000)))
    share_min = _sums(scenario, model, traces, threshold, hour_s).owner_share
    best: tuple[float, WaitAndIdleness] | None = None
    for weights in _weights_grid():
        sums = _sums(scenario, model, traces, _by_reference(scenario, "grid", weights), hour_s)
        if sums.owner_share >= share_min and (best is None or sums.service_level > best[0]):
            best = sums.service_level, weights
    assert best is not None, "the threshold itself is on the grid"
    return best[1]


_WIDTH = 170


def main(*, tiny: bool, as_json: bool) -> None:
    """Run and print."""
    try:
        report = run(TINY if tiny else FULL)
    except MissingSolverError as error:
        raise SystemExit(str(error)) from None
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        # A table of eleven figures is of no use folded.
        console = Console(width=max(Console().width, _WIDTH))
        for table in as_tables(report):
            console.print(table)
            console.print()


def as_tables(report: Report) -> list[Table]:
    """One a scenario; shares in percent."""
    tables = [_as_table(scenario) for scenario in report.scenarios]
    tables[-1].caption = (
        f"{tables[-1].caption}\nportfolio-router {report.router}, {report.python}, {report.processor}; "
        f"seed {report.seed}; digest {report.digest}"
    )
    return tables


def _as_table(scenario: ScenarioReport) -> Table:
    bounds = [f"answered within 20 s at most {100 * scenario.service_level_bound:.2f} % on these traces (clairvoyant)"]
    if scenario.abandoned_bound is not None:
        answered = 1 - scenario.abandoned_bound
        bounds.append(f"answered, however late, at most {100 * answered:.2f} % on average (Erlang-A)")
    if scenario.owner_share_bound is not None:
        bounds.append(f"by owner teams at most {100 * scenario.owner_share_bound:.2f} % on average (Erlang-A)")
    table = Table(
        title=f"{scenario.scenario}: {scenario.traces} traces, {scenario.calls:,} calls",
        caption="Of all calls: " + "; ".join(bounds),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("Rule", no_wrap=True)
    headings = (
        "SL20", "of bound", "Wait", "Abandoned", "Owner", "of bound", "Occupied", "Spread", "SL20 less", "Wait less",
        "SL20 at share", "Wait at share",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in scenario.rows:
        table.add_row(
            row.rule if row.player == "engine" else f"{row.rule} *",
            f"{100 * row.service_level:.2f}",
            f"{100 * row.of_bound:.1f}",
            f"{row.wait_s:.2f}",
            f"{100 * row.abandoned:.2f}",
            f"{100 * row.owner_share:.2f}",
            "" if row.owner_share_of_bound is None else f"{100 * row.owner_share_of_bound:.1f}",
            f"{100 * row.occupancy:.1f}",
            f"{100 * row.occupancy_spread:.1f}",
            _signed(row.service_level_less, 100),
            _signed(row.wait_s_less, 1),
            _signed(row.service_level_at_equal_share, 100),
            _signed(row.wait_s_at_equal_share, 1),
        )
    return table


def _signed(estimate: Estimate | None, factor: int) -> str:
    return "" if estimate is None else f"{factor * estimate.value:+.2f} ± {factor * estimate.half_width:.2f}"
