"""What no rule can beat: exact figures of Erlang-A queues, and a linear program that knows the trace in advance.

**Erlang-A** (Garnett, Mandelbaum & Reiman, M&SOM 4 (2002) 208-227). Where all talks last equally long and all callers
are equally patient on average, no rule, however agents are shared, loses fewer callers than one queue before all the
agents; and the owner teams answer at most what each would answer alone. Both hold on average over all days.

**The linear program.** Arrivals, talks and patience of one trace are known from the beginning. ``x[i, c, j]`` is the
part of caller *i* whose talk with agents of class *c* begins in slot *j*; a class is all crews that serve the same
kinds.

    maximise    sum of x[i, c, j]                         callers answered in time
    subject to  sum over c, j of x[i, c, j]  <=  1        for every caller
                busy[c, k]  <=  agents of class c         at the end of every slot

where ``busy[c, k]`` sums what is under way at the beginning of slot *k*. All rounding favours the bound: a start that
is allowed at some moment of a slot is allowed in the whole of it, and a talk that begins in slot *j* takes an agent
only at those ends of slots at which it is under way whenever in the slot it began. Callers may be split between agents,
and turned away. So whatever a rule makes of the trace is a solution, and since rules answer whole callers the optimum
may be rounded down.

Starts are allowed as long as they count, and the caller is there. Later ones would only take agents.
"""

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.simulation.memoryless import CallerDraw, MemorylessModel

__all__ = [
    "ErlangA", "MissingSolverError", "abandoned_at_least", "answered_at_most", "erlang_a", "owner_share_at_most",
]  # fmt: skip

Ints = NDArray[np.int64]

SLOT_MS = 5_000
# HiGHS meets constraints to 1e-7; a trace has some thousand callers.
_TOLERANCE = 1e-4


class MissingSolverError(RuntimeError):
    """scipy is not installed; the message says how to install it."""


class ErlangA(NamedTuple):
    """Of the callers of one queue before agents who can all serve them."""

    waits: float
    """The part that finds every agent busy."""
    abandons: float


def erlang_a(*, load: float, agents: int, service_s: float, patience_s: float) -> ErlangA:
    """The stationary birth-and-death chain, cut off where it is never seen."""
    arriving, served, lost = load / service_s, 1 / service_s, 1 / patience_s
    present = np.arange(1, agents + int(20 * (load + agents)) + 100)
    leaving = np.minimum(present, agents) * served + np.maximum(present - agents, 0) * lost
    logs = np.concatenate([[0.0], np.cumsum(log(arriving) - np.log(leaving))])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    queue = np.maximum(np.arange(len(weights)) - agents, 0)
    return ErlangA(waits=float(weights[agents:].sum()), abandons=float(weights @ queue) * lost / arriving)


def abandoned_at_least(model: MemorylessModel) -> float | None:
    """Of the calls offered; None where talks or patience differ, so that it matters who is served first."""
    kind = model.kinds[0]
    if kind.patience_s is None or len({(each.service_s, each.patience_s) for each in model.kinds}) > 1:
        return None
    load = sum(each.load for each in model.kinds)
    return erlang_a(load=load, agents=model.agents, service_s=kind.service_s, patience_s=kind.patience_s).abandons


def owner_share_at_most(model: MemorylessModel) -> float | None:
    """Of the calls offered, those answered by the team that comes first in their kind; None: as above."""
    if abandoned_at_least(model) is None:
        return None
    agents = {crew.team_id: crew.agents for crew in model.crews}
    rate_of_team: dict[str, float] = {}
    for kind in model.kinds:
        owner = kind.teams[0].team_id
        rate_of_team[owner] = rate_of_team.get(owner, 0.0) + kind.rate
    service_s, patience_s = model.kinds[0].service_s, model.kinds[0].patience_s
    assert patience_s is not None, "without patience there is no Erlang-A"
    answered = 0.0
    for crew in model.crews:
        rate = rate_of_team.get(crew.team_id, 0.0)
        if rate:
            load = rate * service_s
            alone = erlang_a(load=load, agents=agents[crew.team_id], service_s=service_s, patience_s=patience_s)
            answered += rate * (1 - alone.abandons)
    return answered / sum(kind.rate for kind in model.kinds)


def answered_at_most(model: MemorylessModel, draw: CallerDraw, *, within_ms: int | None) -> int:
    """How many callers of the trace can be answered within *within_ms* of their arrival; None: however late.

    Raises:
        MissingSolverError: scipy is not installed.
    """
    try:
        from scipy.optimize import linprog
        from scipy.sparse import coo_array
    except ImportError as error:
        raise MissingSolverError(
            "the clairvoyant bound needs scipy: .venv/bin/python -m pip install --editable '.[bench]'"
        ) from error
    starts = _starts(model, draw, within_ms)
    count, states = len(starts.caller), starts.slots * len(starts.agents)
    state = np.arange(states)
    follows = state[state % starts.slots > 0]
    at = starts.class_ * starts.slots
    ends = starts.slot + -(-draw.service_ms[starts.caller] // SLOT_MS)
    # Whoever is still talking when nobody can start any more need not be seen to end.
    is_seen = ends < starts.slots
    number = np.arange(count)
    # busy[c, k] - busy[c, k - 1] - (starts in slot k - 1) + (ends after k - 1) = 0
    rows = np.concatenate([state, follows, at + starts.slot + 1, (at + ends)[is_seen]])
    columns = np.concatenate([count + state, count + follows - 1, number, number[is_seen]])
    signs = np.concatenate([np.ones(states), -np.ones(len(follows)), -np.ones(count), np.ones(is_seen.sum())])
    solution = linprog(
        np.concatenate([-np.ones(count), np.zeros(states)]),
        A_ub=coo_array((np.ones(count), (starts.caller, number)), shape=(len(draw.kind), count + states)).tocsr(),
        b_ub=np.ones(len(draw.kind)),
        A_eq=coo_array((signs, (rows, columns)), shape=(states, count + states)).tocsr(),
        b_eq=np.zeros(states),
        bounds=np.stack(
            [np.zeros(count + states), np.concatenate([np.ones(count), np.repeat(starts.agents, starts.slots)])], axis=1
        ),
        # With more than a few classes the simplex method takes twenty times as long.
        method="highs-ipm",
    )
    if solution.status != 0:
        raise RuntimeError(f"HiGHS did not solve the linear program: {solution.message}")
    return int(-solution.fun + _TOLERANCE)


class _Starts(NamedTuple):
    """Every way in which a talk may begin, one array element each."""

    caller: Ints
    class_: Ints
    slot: Ints
    agents: Ints
    """By class."""
    slots: int


def _starts(model: MemorylessModel, draw: CallerDraw, within_ms: int | None) -> _Starts:
    kinds_of: dict[str, list[int]] = {crew.team_id: [] for crew in model.crews}
    for kind, each in enumerate(model.kinds):
        for link in each.teams:
            kinds_of[link.team_id].append(kind)
    classes: dict[tuple[int, ...], int] = {}
    for crew in model.crews:
        served = tuple(kinds_of[crew.team_id])
        classes[served] = classes.get(served, 0) + crew.agents
    reach = [[number for number, served in enumerate(classes) if kind in served] for kind in range(len(model.kinds))]

    assert draw.patience_ms is not None, "callers who never hang up cannot be turned away"
    there_ms = draw.patience_ms if within_ms is None else np.minimum(draw.patience_ms, within_ms)
    first, last = draw.arrived_ms // SLOT_MS, (draw.arrived_ms + there_ms) // SLOT_MS
    starts = [
        (caller, class_, slot)
        for caller, kind in enumerate(draw.kind.tolist())
        for class_ in reach[kind]
        for slot in range(int(first[caller]), int(last[caller]) + 1)
    ]
    caller, class_, slot = np.array(starts, dtype=np.int64).reshape(-1, 3).T
    return _Starts(caller, class_, slot, np.array([*classes.values()]), int(last.max()) + 2)
