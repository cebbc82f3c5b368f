"""Memoryless models: Poisson arrivals, exponential service and patience, agents who are always there.

For these, queueing theory has exact results, so they are the yardstick of the engine. A run opens with about as many
callers at time zero as are usually being served, then callers arrive one by one. What a caller brings along is drawn
before the run, so that two policies meet the very same callers.

`zero_mean_controls` gives what narrows a confidence interval (`statistics`): how far the callers themselves, and two
queues so simple that their laws are textbook knowledge, came out from their expectations. It knows nothing of the
engine's answers but who had to queue.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from heapq import heapreplace
from math import exp, lgamma, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.events import AgentEvent, AgentReady, AgentSignedIn, CallArrived
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Limits,
    Link,
    OrganisationDescription,
    Portfolio,
    PortfolioId,
    Site,
    SiteId,
    Skill,
    SkillNeed,
    Strategy,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.simulation.callers import Caller
from router.simulation.floor import VirtualFloor

__all__ = [
    "CallerDraw",
    "Companion",
    "Crew",
    "Fates",
    "Kind",
    "MemorylessModel",
    "draw_callers",
    "first_come_first_served",
    "play",
    "zero_mean_controls",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# The longest leases that the organisation allows: nobody is signed out, and no talk cut off, within a run of days.
_LEASE_S = 86_400
_NOBODY = -1
_FOR_EVER_MS = 1 << 62


class Kind(NamedTuple):
    """A kind of call: a portfolio of its own."""

    name: str
    load: float
    """Erlangs: arrival rate x mean service time."""
    service_s: float
    """Mean."""
    patience_s: float | None
    """Mean; None: callers never hang up."""
    teams: tuple[Link, ...]
    """The owner team first."""
    skills: tuple[SkillNeed, ...] = ()
    head_start_s: int = 0
    max_wait_s: int | None = None
    """After so long in the queue the caller gives up for a recorded message; 0: all agents busy, the call is lost."""

    @property
    def rate(self) -> float:
        """Arrivals a second."""
        return self.load / self.service_s


class Crew(NamedTuple):
    """A team, and how many agents alike it has."""

    team_id: TeamId
    agents: int
    skills: dict[Skill, int] = {}  # noqa: RUF012 - never written to
    own_first: bool = False
    strategy: Strategy = Strategy.LONGEST_IDLE
    keep_idle: int | None = None


class Companion(NamedTuple):
    """A textbook queue that meets the callers of some kinds: for control variates."""

    kinds: tuple[int, ...]
    """Indexes into the model's kinds."""
    agents: int
    """How many agents those callers have at most."""


class MemorylessModel:
    """Kinds of call and the teams that answer them."""

    def __init__(
        self, kinds: Sequence[Kind], crews: Sequence[Crew], companions: Sequence[Companion] | None = None
    ) -> None:
        """*companions* None: one, of all callers and all agents.

        Raises:
            ValueError: Some kinds have patience and others have not.
        """
        if len({kind.patience_s is None for kind in kinds}) != 1:
            raise ValueError("give every kind of call a mean patience, or none of them")
        self.kinds = tuple(kinds)
        self.crews = tuple(crews)
        self.agents = sum(crew.agents for crew in crews)
        everything = Companion(tuple(range(len(kinds))), self.agents)
        self.companions = (everything,) if companions is None else tuple(companions)
        self.agent_ids = tuple(
            AgentId(f"{crew.team_id}-{number:04d}") for crew in crews for number in range(crew.agents)
        )
        self.team_of_agent: Ints = np.repeat(np.arange(len(crews)), [crew.agents for crew in crews])
        """Index of the crew, by index of the agent."""
        self.description = self._describe()

    def presence(self) -> Iterator[tuple[int, AgentEvent]]:
        """Every agent signs in and is ready at time zero, and stays."""
        for agent_id in self.agent_ids:
            yield 0, AgentSignedIn(agent_id=agent_id)
            yield 0, AgentReady(agent_id=agent_id)

    def _describe(self) -> OrganisationDescription:
        site, supplier = SiteId("site"), SupplierId("supplier")
        return OrganisationDescription(
            sites=(Site(site_id=site, country="IT"),),
            suppliers=(Supplier(supplier_id=supplier),),
            skills=tuple(sorted({skill for crew in self.crews for skill in crew.skills})),
            teams=tuple(
                Team(
                    team_id=crew.team_id,
                    site_id=site,
                    supplier_id=supplier,
                    strategy=crew.strategy,
                    own_first=crew.own_first,
                    keep_idle=crew.keep_idle,
                    wrap_up_s=0,
                    talk_lease_s=_LEASE_S,
                    presence_lease_s=_LEASE_S,
                )
                for crew in self.crews
            ),
            portfolios=tuple(
                Portfolio(
                    portfolio_id=PortfolioId(kind.name),
                    teams=kind.teams,
                    skills=kind.skills,
                    head_start_s=kind.head_start_s,
                    max_wait_s=kind.max_wait_s,
                )
                for kind in self.kinds
            ),
            agents=tuple(
                Agent(agent_id=agent_id, team_id=self.crews[crew].team_id, skills=self.crews[crew].skills)
                for agent_id, crew in zip(self.agent_ids, self.team_of_agent, strict=True)
            ),
            default_portfolio=PortfolioId(self.kinds[0].name),
        )


class CallerDraw(NamedTuple):
    """Callers in order of arrival, one array element each. The first `opening` arrive together at time zero."""

    kind: Ints
    """Index into the model's kinds."""
    arrived_ms: Ints
    service_ms: Ints
    patience_ms: Ints | None
    """None: no caller ever hangs up."""
    opening: int

    def callers(self, model: MemorylessModel) -> Iterator[Caller]:
        portfolios = [PortfolioId(kind.name) for kind in model.kinds]
        patience = self.patience_ms.tolist() if self.patience_ms is not None else [None] * len(self.kind)
        numbers = zip(self.kind.tolist(), self.arrived_ms.tolist(), self.service_ms.tolist(), patience, strict=True)
        for index, (kind, arrived_ms, service_ms, patience_ms) in enumerate(numbers):
            # Zero-padded, so that ids sort as the callers do: callers of one millisecond are served in order of id.
            event = CallArrived(call_id=CallId(f"c{index:08d}"), portfolio_id=portfolios[kind])
            yield Caller(arrived_ms, event, patience_ms, service_ms)


class Fates(NamedTuple):
    """What became of the callers, in their order."""

    wait_ms: Ints
    """Until answered, or until the caller hung up."""
    agent: Ints
    """Index into the model's agents; -1: nobody answered."""
    queued: Flags
    """Whether the caller was not offered to an agent on arrival."""

    @property
    def answered(self) -> Flags:
        return np.not_equal(self.agent, _NOBODY)


def draw_callers(model: MemorylessModel, calls: int, rng: np.random.Generator) -> CallerDraw:
    """The opening callers, and so many *calls* more."""
    kinds = model.kinds
    rates = np.array([kind.rate for kind in kinds])
    opening = np.repeat(np.arange(len(kinds)), [round(kind.load) for kind in kinds])
    kind = np.concatenate([opening, rng.choice(len(kinds), size=calls, p=rates / rates.sum())])
    gaps_s = rng.exponential(1 / rates.sum(), calls)
    arrived_s = np.concatenate([np.zeros(len(opening)), np.cumsum(gaps_s)])
    service_s = rng.exponential(np.array([each.service_s for each in kinds])[kind])
    patience_ms = None
    if kinds[0].patience_s is not None:
        patience_ms = _milliseconds(rng.exponential(np.array([each.patience_s for each in kinds])[kind]))
    return CallerDraw(kind, _milliseconds(arrived_s), _milliseconds(service_s), patience_ms, len(opening))


def play(model: MemorylessModel, draw: CallerDraw) -> Fates:
    """Let the engine serve the callers in virtual time."""
    # Nobody asks for a digest here, or for a call that is over.
    floor = VirtualFloor(model.description, limits=Limits(past_calls_max=1), is_digested=False)
    callers = list(draw.callers(model))
    run = floor.run(callers, model.presence())
    assert run.rejected == 0, f"the engine refused {run.rejected} events of a model that has none to refuse"
    index = {agent_id: number for number, agent_id in enumerate(model.agent_ids)}
    answers = [run.answers[caller.event.call_id] for caller in callers]
    return Fates(
        np.array([answer.wait_ms for answer in answers]),
        np.array([_NOBODY if answer.agent_id is None else index[answer.agent_id] for answer in answers]),
        np.array([answer.queued for answer in answers]),
    )


def first_come_first_served(model: MemorylessModel, draw: CallerDraw) -> Fates:
    """What becomes of the callers when each, in order of arrival, takes the agent of its teams who is free first.

    That is first come, first served with assignment to the longest idle: the recursion of Kiefer & Wolfowitz
    (Transactions of the American Mathematical Society 78 (1955) 1-18), with a heap of agents for each team, and callers
    who hang up when nobody is free before their patience ends, or go when they may wait no longer. A few lines that
    share nothing with the engine: what else a model says (skills, strategy, ``after_s``, ``own_first``,
    ``head_start_s``) is left aside.
    """
    crews = {crew.team_id: number for number, crew in enumerate(model.crews)}
    free: list[list[tuple[int, int]]] = [[] for _ in crews]
    for agent, crew in enumerate(model.team_of_agent.tolist()):
        free[crew].append((0, agent))
    reach = [[free[crews[link.team_id]] for link in kind.teams] for kind in model.kinds]
    waits, taken, queued = [], [], []
    limits = _wait_limits_ms(model, draw).tolist()
    numbers = zip(draw.kind.tolist(), draw.arrived_ms.tolist(), draw.service_ms.tolist(), limits, strict=True)
    for kind, arrived_ms, service_ms, limit_ms in numbers:
        crew_free = min(reach[kind])
        free_ms, agent = crew_free[0]
        wait_ms = free_ms - arrived_ms if free_ms > arrived_ms else 0
        queued.append(wait_ms > 0 and model.kinds[kind].max_wait_s != 0)
        if wait_ms > limit_ms:
            waits.append(limit_ms)
            taken.append(_NOBODY)
        else:
            waits.append(wait_ms)
            taken.append(agent)
            heapreplace(crew_free, (arrived_ms + wait_ms + service_ms, agent))
    return Fates(np.array(waits), np.array(taken), np.array(queued))


def _wait_limits_ms(model: MemorylessModel, draw: CallerDraw) -> Ints:
    """How long each caller can wait at most."""
    longest = [_FOR_EVER_MS if kind.max_wait_s is None else kind.max_wait_s * 1000 for kind in model.kinds]
    limits_ms: Ints = np.array(longest)[draw.kind]
    return limits_ms if draw.patience_ms is None else np.minimum(limits_ms, draw.patience_ms)


def zero_mean_controls(
    model: MemorylessModel, draw: CallerDraw, counted: slice, queued: Flags, rng: np.random.Generator
) -> Floats:
    """Figures of the callers *counted* whose expectation is zero.

    - Gaps between arrivals, services and the mix of kinds, against their means.
    - Patience, against its law; also of those callers alone who had to queue, which nothing but their patience
      itself could make more or less patient (that is why *queued* is not "waited long").
    - For each companion: infinitely many agents (the calls present are Poisson) and, where the load allows it, one
      agent as fast as all of them together (the M/M/1 queue), both fed with the same callers.

    Args:
        model: The model that the callers were drawn from.
        draw: The callers.
        counted: Which of them; should begin several mean service times after the opening.
        queued: Whether each caller of the draw had to queue.
        rng: Starts the companions in their stationary state.
    """
    kinds = model.kinds
    rate = sum(kind.rate for kind in kinds)
    kind = draw.kind[counted]
    gaps_s = np.diff(draw.arrived_ms, prepend=0)[counted] / 1000
    controls = [gaps_s.mean() * rate - 1]
    for number, each in enumerate(kinds):
        of_kind = kind == number
        controls.append(float((of_kind * (draw.service_ms[counted] / 1000 / each.service_s - 1)).mean()))
        if number > 0:
            controls.append(float(of_kind.mean()) - each.rate / rate)
    if draw.patience_ms is not None:
        means = np.array([each.patience_s for each in kinds])
        had_to_queue = queued[counted]
        patience = draw.patience_ms[counted] / 1000 / means[kind]
        controls += [patience.mean() - 1, float((had_to_queue * (patience - 1)).mean())]
        for short in (0.1, 0.3):
            controls.append(float((had_to_queue * ((patience < short) - (1 - exp(-short)))).mean()))
    for companion in model.companions:
        controls += _companion_controls(model, companion, draw, counted, rng)
    return np.array(controls)


def _companion_controls(
    model: MemorylessModel, companion: Companion, draw: CallerDraw, counted: slice, rng: np.random.Generator
) -> list[float]:
    kinds = [model.kinds[number] for number in companion.kinds]
    load, agents = sum(kind.load for kind in kinds), companion.agents
    mine = np.isin(draw.kind, companion.kinds)
    mine[: draw.opening] = False
    is_counted = np.zeros(len(mine), dtype=bool)
    is_counted[counted] = True
    is_counted = is_counted[mine]
    arrived_s, service_s = draw.arrived_ms[mine] / 1000, draw.service_ms[mine] / 1000

    service_mean_s = load / sum(kind.rate for kind in kinds)
    ended_s = np.concatenate([arrived_s + service_s, rng.exponential(service_mean_s, rng.poisson(load))])
    before = np.arange(len(arrived_s)) + len(ended_s) - len(arrived_s)
    present = (before - np.searchsorted(np.sort(ended_s), arrived_s))[is_counted]
    full, over = _poisson_tail(load, agents)
    controls = [
        float(present.mean()) / load - 1,
        float((present >= agents).mean()) - full,
        float(np.maximum(present - agents, 0).mean()) - over,
    ]
    utilisation = load / agents
    if utilisation < 1 and len({kind.service_s for kind in kinds}) == 1:
        mean_s = service_mean_s / agents / (1 - utilisation)
        opening_s = rng.exponential(mean_s) if rng.random() < utilisation else 0.0
        # Lindley's recursion, max(0, work + service - gap), by its running minimum.
        steps = np.concatenate([[opening_s], service_s[:-1] / agents - np.diff(arrived_s)])
        walk = np.cumsum(steps)
        work_s = (walk - np.minimum(np.minimum.accumulate(walk), 0))[is_counted]
        for share in (1.0, 0.2):
            # The work found on arrival exceeds t with probability utilisation x exp(-t / mean).
            level_s = mean_s * -log(share)
            controls.append(float((work_s > level_s).mean()) - utilisation * share)
        controls.append(float(work_s.mean()) / mean_s - utilisation)
    return controls


@lru_cache
def _poisson_tail(mean: float, bound: int) -> tuple[float, float]:
    """P(N >= bound) and E[max(N - bound, 0)] of a Poisson number N."""
    numbers = np.arange(bound + int(mean) + 200)
    weights = np.exp(numbers * log(mean) - mean - np.array([lgamma(number + 1) for number in numbers]))
    over = np.maximum(numbers - bound, 0)
    return float(weights[numbers >= bound].sum()), float((weights * over).sum())


def _milliseconds(seconds: Floats) -> Ints:
    return np.rint(seconds * 1000).astype(np.int64)
