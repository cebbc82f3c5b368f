"""How many more calls reach their owner at the same mean wait, if the owner wait is predicted rather than fixed?

Owners with clients of their own (`router.simulation.owners`): log-normal talk with a coefficient of variation of 1.2,
wrap-up of 10 to 60 s, 75 to 90 % occupancy; the same with exponential talk, where the age of a call tells nothing; and,
where its log lies beside the project, the bank's month with imputed owners. Every policy meets the very same callers:
fixed waits as ``owner_wait_s``, which hold a call only if its owner is expected in time; predicted ones by what an
owner's answer is worth; a fixed wait of everybody whose owner could be free in time, should a conversation end at once;
and as the bound of what any prediction could bring a clairvoyant, who knows when each conversation will end and
otherwise weighs alike.

How it is compared. Policies are points of owner share (of answered) and mean wait (of all, those who hang up included),
one a replication; the bank's days are its replications, each averaged over several draws of what the log does not say.
What lies between two policies of a kind is had by tossing a coin. For every fixed wait, the table says how much more
the predicted ones bring at that very mean wait, and the other way round how much less wait the same share costs, with
paired intervals (`router.simulation.frontiers`). The digest is that of every decision and its time.

The full run writes its figure to docs/frontier.svg.
"""

import hashlib
import io
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.engine import processor_name
from router.core import Engine
from router.core.model import AgentId, AgentStatus, CallId, OrganisationDescription, OwnerWait
from router.core.prospects import Foresight, Prospect, certain_prospect, prospect_of
from router.core.state import AgentRecord, CallRecord
from router.simulation.callers import Caller
from router.simulation.calllog import LoggedCall, LogMapping, load_mapping, read_calls
from router.simulation.floor import FloorRun, VirtualFloor
from router.simulation.frontiers import Point, at_equal_cost, at_equal_yield, hull_of, linear_parts
from router.simulation.inference import InferenceRules, InferredLog, infer
from router.simulation.owners import OwnerPolicy, OwnersModel
from router.simulation.statistics import Interval

__all__ = ["FULL", "TINY", "Case", "Report", "Size", "as_table", "frontier_figure", "main", "run"]

SEED = 1917
CONFIDENCE = 0.99
SERVICE_LEVEL_S = 20
LONGEST_S = 300
"""The longest hold that is predicted; what is worth little is given up long before."""
PROJECT = Path(__file__).parents[1]
# The licence of the bank's log is unclear: it lies beside the project and is never copied into it.
BANK_LOG = PROJECT.parent / "shared" / "data" / "bank-1999-02.csv.gz"
BANK_MAPPING = PROJECT / "config" / "logs" / "bank-1999.toml"
FIGURE = PROJECT / "docs" / "frontier.svg"
_DAY_MS = 86_400_000

Floats = NDArray[np.float64]


class Case(NamedTuple):
    """Owners and callers; no model: the bank's month."""

    name: str
    model: OwnersModel | None


class Size(NamedTuple):
    """What is tried, and how long."""

    cases: tuple[Case, ...]
    fixed_s: tuple[int, ...]
    worths_s: tuple[int, ...]
    clairvoyant_worths_s: tuple[int, ...]
    everybody_s: tuple[int, ...]
    replications: int
    """Of the owners; for the bank, draws of what its log does not say."""
    bank_draws: int
    hours: int
    """That count, of a replication."""
    warm_up_hours: int
    processes: int


def _owners(occupancy: float, wrap_up_s: int) -> Case:
    return Case(f"{100 * occupancy:.0f} %, wrap-up {wrap_up_s} s", OwnersModel(occupancy, wrap_up_s))


_MEMORYLESS = Case(
    "memoryless, 80 %",
    OwnersModel(0.8, 0, help_s=15, handling_s=240, is_exponential=True, away_share=0.0),
)
FULL = Size(
    cases=(_owners(0.75, 10), _owners(0.85, 30), _owners(0.9, 60), _MEMORYLESS, Case("the bank's month", None)),
    fixed_s=(0, 10, 20, 45, 60, 90, 120),
    worths_s=(1, 20, 60, 100, 350, 450),
    clairvoyant_worths_s=(60, 120),
    everybody_s=(10, 20),
    replications=60,
    bank_draws=5,
    hours=9,
    warm_up_hours=1,
    processes=2,
)
TINY = Size(
    cases=(_owners(0.85, 40),),
    fixed_s=(0, 60),
    worths_s=(60,),
    clairvoyant_worths_s=(60,),
    everybody_s=(20,),
    replications=11,
    bank_draws=0,
    hours=1,
    warm_up_hours=0,
    processes=1,
)


class Policy(NamedTuple):
    name: str
    kind: str
    owner_wait: OwnerWait
    owner_wait_s: int
    owner_worth_s: int = 1


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the callers of a case fared under a policy. Shares run from 0 to 1."""

    policy: str
    kind: str
    owner_share: float
    """Answered by the owner / answered."""
    mean_wait_s: float
    """Of all."""
    service_level: float
    """Answered within 20 s / offered: variant C."""
    abandoned_share: float
    more_share: tuple[float, float] | None
    """For a fixed one, how much more the predicted ones bring at equal mean wait; for any other, how much more it
    brings than the fixed ones: estimate and half-width. None: the others do not go so far."""
    less_wait_s: tuple[float, float] | None
    """How much less wait the predicted, or this one, needs for the same owner share."""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    case: str
    calls: int
    """That count, under each policy."""
    policies: tuple[PolicyResult, ...]
    digest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    router: str
    processor: str
    seed: int
    confidence: float
    seconds: float
    cases: tuple[CaseResult, ...]
    left_out: tuple[str, ...]


class Counted(NamedTuple):
    """Sums of one policy, one row a replication."""

    rows: Floats
    """By owner, answered, waited (s), offered, answered within 20 s, abandoned."""
    digest: str


def run(size: Size) -> Report:
    """Play every policy on every case."""
    started_s = time.monotonic()
    policies = _policies(size)
    cases = [case for case in size.cases if case.model is not None or BANK_LOG.exists()]
    jobs = [(case, policy, size) for case in cases for policy in policies]
    if size.processes == 1:
        counted = [_play(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(size.processes) as pool:
            counted = list(pool.map(_play, *zip(*jobs, strict=True)))
    per_case = len(policies)
    results = tuple(
        _result(case, policies, counted[number * per_case : (number + 1) * per_case])
        for number, case in enumerate(cases)
    )
    return Report(
        router=version("portfolio-router"),
        processor=processor_name(),
        seed=SEED,
        confidence=CONFIDENCE,
        seconds=time.monotonic() - started_s,
        cases=results,
        left_out=tuple(case.name for case in size.cases if case not in cases),
    )


def _policies(size: Size) -> list[Policy]:
    predicted = OwnerWait.PREDICTED
    return [
        *(Policy(f"everybody {wait_s} s", "everybody", predicted, wait_s) for wait_s in size.everybody_s),
        *(Policy(f"fixed {wait_s} s", "fixed", OwnerWait.FIXED, wait_s) for wait_s in size.fixed_s),
        *(
            Policy(f"{kind}, worth {worth_s} s", kind, predicted, LONGEST_S, worth_s)
            for kind, worths_s in (("predicted", size.worths_s), ("clairvoyant", size.clairvoyant_worths_s))
            for worth_s in worths_s
        ),
    ]


# --- Playing -------------------------------------------------------------------------------------------------------


def _everybody(call: CallRecord, owner: AgentRecord, now_ms: int, target_ms: int) -> Prospect | None:
    """Hold every call whose owner could be free in time, were the present conversation to end at once."""
    prospect = prospect_of(call, owner, now_ms, target_ms)
    if prospect is None:
        return None
    until_ms = call.arrived_ms + 1000 * call.portfolio.portfolio.owner_wait_s
    return prospect._replace(until_ms=until_ms if until_ms > now_ms else None)


def _clairvoyant(callers: Iterable[Caller]) -> Foresight:
    """Knows when every conversation will end."""
    talk_ms = {caller.event.call_id: caller.service_ms for caller in callers}

    def foresee(call: CallRecord, owner: AgentRecord, now_ms: int, target_ms: int) -> Prospect | None:
        prospect = prospect_of(call, owner, now_ms, target_ms)
        if prospect is None or owner.status is not AgentStatus.IN_CALL:
            return prospect
        assert owner.call is not None, "an agent in a call has one"
        free_ms = owner.busy_since_ms + talk_ms[owner.call.call_id] + owner.team.wrap_up_ms
        return certain_prospect(call, owner, now_ms, target_ms=target_ms, free_ms=free_ms)

    return foresee


def _engine(policy: Policy, description: OrganisationDescription, callers: Iterable[Caller]) -> Engine:
    if policy.kind == "clairvoyant":
        return Engine(description, foresight=_clairvoyant(callers))
    return Engine(description, foresight=_everybody if policy.kind == "everybody" else prospect_of)


def _play(case: Case, policy: Policy, size: Size) -> Counted:
    if case.model is None:
        return _play_bank(policy, size)
    rows, digest = [], hashlib.blake2b(digest_size=8)
    description = case.model.describe(OwnerPolicy(policy.owner_wait, policy.owner_wait_s, policy.owner_worth_s))
    duration_s = 3_600 * (size.warm_up_hours + size.hours)
    for replication in range(size.replications):
        callers = case.model.draw(seed=1_000 * SEED + replication, duration_s=duration_s)
        run = VirtualFloor(description, engine=_engine(policy, description, callers)).run(
            callers, case.model.presence()
        )
        assert run.rejected == 0, "the engine has refused an event of a model that has none to refuse"
        digest.update(run.digest.encode())
        counted = [caller for caller in callers if caller.arrived_ms >= 3_600_000 * size.warm_up_hours]
        rows.append(_sums(run, counted, {caller.event.call_id: case.model.owner_of(caller) for caller in counted}))
    return Counted(np.array(rows), digest.hexdigest())


def _play_bank(policy: Policy, size: Size) -> Counted:
    total: Floats | None = None
    digest = hashlib.blake2b(digest_size=8)
    for draw in range(size.bank_draws):
        inferred = _bank(draw)
        description = _under(policy, inferred.organisation)
        engine = _engine(policy, description, inferred.callers)
        run = VirtualFloor(description, engine=engine).run(inferred.callers, inferred.presence)
        digest.update(run.digest.encode())
        owners = {
            caller.event.call_id: inferred.owners.get(caller.event.client_id)
            for caller in inferred.callers
            if caller.event.client_id is not None
        }
        by_day: dict[int, list[Caller]] = {}
        for caller in inferred.callers:
            by_day.setdefault(caller.arrived_ms // _DAY_MS, []).append(caller)
        rows = np.array([_sums(run, by_day[day], owners) for day in sorted(by_day)])
        total = rows if total is None else total + rows
    assert total is not None, "the bank was drawn at least once"
    return Counted(total, digest.hexdigest())


@lru_cache
def _bank(draw: int) -> InferredLog:
    calls, mapping = _bank_calls()
    return infer(calls, mapping, rules=InferenceRules(seed=1 + draw))


@lru_cache
def _bank_calls() -> tuple[tuple[LoggedCall, ...], LogMapping]:
    mapping = load_mapping(BANK_MAPPING)
    return read_calls(BANK_LOG, mapping).calls, mapping


def _under(policy: Policy, description: OrganisationDescription) -> OrganisationDescription:
    portfolios = tuple(
        msgspec.structs.replace(
            portfolio,
            owner_wait=policy.owner_wait,
            owner_wait_s=policy.owner_wait_s,
            owner_worth_s=policy.owner_worth_s,
        )
        for portfolio in description.portfolios
    )
    return msgspec.structs.replace(description, portfolios=portfolios)


def _sums(run: FloorRun, callers: Iterable[Caller], owners: dict[CallId, AgentId | None]) -> tuple[float, ...]:
    by_owner = answered = offered = soon = 0
    waited_ms = 0
    for caller in callers:
        answer = run.answers[caller.event.call_id]
        offered += 1
        waited_ms += answer.wait_ms
        if answer.agent_id is not None:
            answered += 1
            by_owner += answer.agent_id == owners.get(caller.event.call_id)
            soon += answer.wait_ms <= 1000 * SERVICE_LEVEL_S
    return by_owner, answered, waited_ms / 1000, offered, soon, offered - answered


# --- Comparing -----------------------------------------------------------------------------------------------------


def _result(case: Case, policies: Sequence[Policy], counted: Sequence[Counted]) -> CaseResult:
    points = [_point(policy.name, each.rows) for policy, each in zip(policies, counted, strict=True)]
    kinds = [policy.kind for policy in policies]
    frontiers = {
        kind: hull_of([point for point, its in zip(points, kinds, strict=True) if its == kind]) for kind in set(kinds)
    }
    digest = hashlib.blake2b(digest_size=4)
    for each in counted:
        digest.update(each.digest.encode())
    return CaseResult(
        case=case.name,
        calls=round(float(counted[0].rows[:, 3].sum())),
        policies=tuple(
            _policy_result(point, kind, each.rows, frontiers)
            for point, kind, each in zip(points, kinds, counted, strict=True)
        ),
        digest=digest.hexdigest(),
    )


def _point(name: str, rows: Floats) -> Point:
    return Point(name, linear_parts(rows[:, 2], rows[:, 3]), linear_parts(rows[:, 0], rows[:, 1]))


def _policy_result(point: Point, kind: str, rows: Floats, frontiers: dict[str, list[Point]]) -> PolicyResult:
    offered = rows[:, 3].sum()
    other = frontiers["predicted" if kind == "fixed" else "fixed"]
    more, wait = (how(point, other, confidence=CONFIDENCE) for how in (at_equal_cost, at_equal_yield))
    sign = -1 if kind == "fixed" else 1
    return PolicyResult(
        policy=point.name,
        kind=kind,
        owner_share=point.yield_,
        mean_wait_s=point.cost,
        service_level=float(rows[:, 4].sum() / offered),
        abandoned_share=float(rows[:, 5].sum() / offered),
        more_share=_signed(more, sign),
        less_wait_s=_signed(wait, -sign),
    )


def _signed(interval: Interval | None, sign: int) -> tuple[float, float] | None:
    return None if interval is None else (sign * interval.estimate, interval.half_width)


# --- Showing -------------------------------------------------------------------------------------------------------


def main(*, tiny: bool, as_json: bool) -> None:
    """Run and print; the full run draws its figure too."""
    report = run(TINY if tiny else FULL)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        console = Console()
        for result in report.cases:
            console.print(as_table(report, result))
        for name in report.left_out:
            console.print(f"left out: {name}, whose log is not at {BANK_LOG}")
        console.print(f"{report.seconds:.0f} s")
    if not tiny:
        FIGURE.write_bytes(frontier_figure(report))


def as_table(report: Report, result: CaseResult) -> Table:
    table = Table(
        title=result.case,
        caption=f"portfolio-router {report.router}, {report.processor}; seed {report.seed}; {result.calls:,} calls "
        f"a policy; paired intervals at {100 * report.confidence:g} %; digest {result.digest}",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("Owner wait", no_wrap=True)
    for heading in ("By owner", "Mean wait", "In 20 s", "Abandoned", "More by owner", "Less wait"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, each in enumerate(result.policies):
        last = number + 1 == len(result.policies) or result.policies[number + 1].kind != each.kind
        table.add_row(
            each.policy,
            f"{100 * each.owner_share:.2f} %",
            f"{each.mean_wait_s:.2f} s",
            f"{100 * each.service_level:.1f} %",
            f"{100 * each.abandoned_share:.1f} %",
            _shown(each.more_share, 100),
            _shown(each.less_wait_s, 1),
            end_section=last,
        )
    return table


def _shown(figure: tuple[float, float] | None, times: float) -> str:
    return "-" if figure is None else f"{times * figure[0]:+.2f} ± {times * figure[1]:.2f}"


_KINDS = {
    "everybody": ("#009E73", "v"), "fixed": ("#0072B2", "o"), "predicted": ("#D55E00", "s"),
    "clairvoyant": ("#999999", "^"),
}  # fmt: skip


def frontier_figure(report: Report) -> bytes:
    """Owner share, service level and abandonment over mean wait, one row a case; SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {"font.family": "DejaVu Sans", "svg.hashsalt": "router", "svg.fonttype": "path", "font.size": 8.0}
    columns = (
        ("by owner, % of answered", "owner_share"),
        ("within 20 s, % of offered (C)", "service_level"),
        ("abandoned, % of offered", "abandoned_share"),
    )
    with rc_context(style):
        drawing = Figure(figsize=(9.4, 0.5 + 2.1 * len(report.cases)), layout="constrained")
        panels = drawing.subplots(len(report.cases), len(columns), squeeze=False)
        for result, row in zip(report.cases, panels, strict=True):
            for (label, field), axes in zip(columns, row, strict=True):
                for kind, (colour, mark) in _KINDS.items():
                    chosen = sorted(
                        (each.mean_wait_s, 100 * getattr(each, field)) for each in result.policies if each.kind == kind
                    )
                    waits, values = zip(*chosen, strict=True)
                    axes.plot(waits, values, color=colour, marker=mark, markersize=3, linewidth=1, label=kind)
                axes.set_ylabel(label)
                axes.grid(visible=True, linewidth=0.3)
            row[0].set_title(result.case, loc="left", fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel("mean wait of all, s")
        panels[0][0].legend(frameon=False, fontsize=7)
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
