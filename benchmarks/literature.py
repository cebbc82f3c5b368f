"""Rules from the literature that the engine does not play, in a small simulator of their own.

Such a rule gives every pair of a kind of call and a crew of agents an index. Whenever something happens, the pair with
the greatest index that is not negative is matched, until there is none: the call of the kind that has waited for
longest goes to the crew. Of pairs with equal indexes the kind that comes first in the model is taken, and the agent,
over all crews that have that index for it, who has been idle for longest.

The simulator shares nothing with the engine, and meets the very same callers (`memoryless.CallerDraw`).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

import numpy as np

from router.simulation.memoryless import CallerDraw, Fates, MemorylessModel

__all__ = ["Floor", "IndexRule", "PairWeights", "QueueAndIdleness", "WaitAndIdleness", "play_by"]

_NOBODY = -1
_NEVER_MS = 1 << 62
# At one moment agents are freed before callers run out of patience, as in `memoryless.first_come_first_served`.
_TALK_ENDS, _PATIENCE_ENDS = range(2)


class Floor:
    """Who waits and who is idle."""

    def __init__(self, model: MemorylessModel) -> None:
        crews = {crew.team_id: number for number, crew in enumerate(model.crews)}
        self.reach = [[crews[link.team_id] for link in kind.teams] for kind in model.kinds]
        """By kind: the crews able to serve it, the owner team first."""
        self.waiting: list[deque[tuple[int, int]]] = [deque() for _ in model.kinds]
        """By kind: (arrived, caller) in order of arrival. Whoever hung up is taken out on coming to the head."""
        self.queue = [0] * len(model.kinds)
        """By kind: how many wait."""
        self.idle: list[deque[tuple[int, int]]] = [deque() for _ in model.crews]
        """By crew: (idle since, agent), longest idle first."""
        for agent, crew in enumerate(model.team_of_agent.tolist()):
            self.idle[crew].append((0, agent))


class IndexRule(Protocol):
    """Which waiting call goes to which idle agent. Both are asked only of pairs that could be matched."""

    def index(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int:
        """The greater, the better; negative: not now."""

    def opens_ms(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int | None:
        """When a negative index comes to zero if nothing happens until then; None: never."""


class PairWeights(NamedTuple):
    """The index of a pair: a constant, and so much for each millisecond or agent."""

    constant: int = 0
    wait: int = 1
    """For each millisecond that the kind's first caller has waited."""
    idle: int = 0
    """For each millisecond that the crew's first agent has been idle."""
    idle_agents: int = 0
    """For each idle agent of the crew but one."""


@dataclass(frozen=True, slots=True)
class WaitAndIdleness:
    """Affine in wait, idle time and idle agents: Chan, Koole & L'Ecuyer, M&SOM 16 (2014) 544-560.

    The paper has weights for every pair; here those of a kind with its owner team, and those of the others, are alike.
    """

    own: PairWeights
    other: PairWeights

    def index(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int:
        weights = self._weights(floor, kind, crew)
        idle = floor.idle[crew]
        return (
            weights.constant
            + weights.wait * (now_ms - floor.waiting[kind][0][0])
            + weights.idle * (now_ms - idle[0][0])
            + weights.idle_agents * (len(idle) - 1)
        )

    def opens_ms(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int | None:
        weights = self._weights(floor, kind, crew)
        slope = weights.wait + weights.idle
        return now_ms - self.index(floor, kind, crew, now_ms) // slope if slope > 0 else None

    def _weights(self, floor: Floor, kind: int, crew: int) -> PairWeights:
        return self.own if floor.reach[kind][0] == crew else self.other


@dataclass(frozen=True, slots=True)
class QueueAndIdleness:
    """Queue-and-idleness ratio, with fixed ratios: Gurvich & Whitt, Math. of Operations Research 34 (2009) 363-396.

    A freed agent takes from the queue that most exceeds its part of all who wait; a call that arrives goes to the crew
    whose idle agents most exceed their part of all who are idle.
    """

    queue_parts: Sequence[int]
    """By kind."""
    idle_parts: Sequence[int]
    """By crew."""

    def index(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int:  # noqa: ARG002 - the rule knows no time
        # A call that arrives is alone among those whom idle agents could serve, and a freed agent among those who could
        # serve a waiting call: one of the two differences is the same for all pairs that could be matched.
        queue_whole, idle_whole = sum(self.queue_parts), sum(self.idle_parts)
        queue = queue_whole * floor.queue[kind] - self.queue_parts[kind] * sum(floor.queue)
        idle = [len(each) for each in floor.idle]
        idleness = idle_whole * idle[crew] - self.idle_parts[crew] * sum(idle)
        return _ALWAYS + queue * idle_whole + idleness * queue_whole

    def opens_ms(self, floor: Floor, kind: int, crew: int, now_ms: int) -> int | None:  # noqa: ARG002 - nor any wait
        return None


# Above any difference of whole numbers that a floor can come to.
_ALWAYS = 1 << 80


def play_by(rule: IndexRule, model: MemorylessModel, draw: CallerDraw, *, in_turn: bool = False) -> Fates:
    """Let the rule serve the callers in virtual time.

    Args:
        rule: Who is served by whom.
        model: Kinds, and the crews able to serve them; what else it says of routing is left aside.
        draw: The callers.
        in_turn: Ask agents of equal index in turn, each kind beginning after the one it asked last, not the longest
            idle.
    """
    return _Run(rule, model, draw, in_turn).play()


class _Run:
    def __init__(self, rule: IndexRule, model: MemorylessModel, draw: CallerDraw, in_turn: bool) -> None:
        self._rule = rule
        self._floor = Floor(model)
        self._crew_of: list[int] = model.team_of_agent.tolist()
        self._kind: list[int] = draw.kind.tolist()
        self._arrived: list[int] = draw.arrived_ms.tolist()
        self._service: list[int] = draw.service_ms.tolist()
        self._patience = draw.patience_ms.tolist() if draw.patience_ms is not None else None
        self._asked_last: list[int] | None = [_NOBODY] * len(model.kinds) if in_turn else None
        self._is_waiting = [False] * len(self._kind)
        self._wait = [0] * len(self._kind)
        self._agent = [_NOBODY] * len(self._kind)
        self._queued = [False] * len(self._kind)
        self._future: list[tuple[int, int, int]] = []

    def play(self) -> Fates:
        future, arrived = self._future, self._arrived
        caller, callers = 0, len(arrived)
        opens_ms = _NEVER_MS
        while True:
            next_ms = arrived[caller] if caller < callers else _NEVER_MS
            due_ms = future[0][0] if future else _NEVER_MS
            now_ms = min(next_ms, due_ms, opens_ms)
            if now_ms == _NEVER_MS:
                return Fates(np.array(self._wait), np.array(self._agent), np.array(self._queued))
            if due_ms == now_ms:
                _, what, subject = heappop(future)
                if what == _TALK_ENDS:
                    self._floor.idle[self._crew_of[subject]].append((now_ms, subject))
                elif self._is_waiting[subject]:
                    self._leave(subject, now_ms)
                self._match(now_ms)
            elif next_ms == now_ms:
                self._arrive(caller)
                caller += 1
            else:
                self._match(now_ms)
            opens_ms = self._opens_ms(now_ms)

    def _arrive(self, caller: int) -> None:
        now_ms, kind = self._arrived[caller], self._kind[caller]
        self._is_waiting[caller] = True
        self._floor.waiting[kind].append((now_ms, caller))
        self._floor.queue[kind] += 1
        self._match(now_ms)
        if self._is_waiting[caller]:
            self._queued[caller] = True
            if self._patience is not None:
                heappush(self._future, (now_ms + self._patience[caller], _PATIENCE_ENDS, caller))

    def _leave(self, caller: int, now_ms: int) -> None:
        """Answered or gone."""
        kind = self._kind[caller]
        self._is_waiting[caller] = False
        self._wait[caller] = now_ms - self._arrived[caller]
        self._floor.queue[kind] -= 1
        waiting = self._floor.waiting[kind]
        while waiting and not self._is_waiting[waiting[0][1]]:
            waiting.popleft()

    def _match(self, now_ms: int) -> None:
        floor = self._floor
        while (best := self._best(now_ms)) is not None:
            kind, crews = best
            caller = floor.waiting[kind][0][1]
            self._leave(caller, now_ms)
            agent = self._take(kind, crews)
            self._agent[caller] = agent
            heappush(self._future, (now_ms + self._service[caller], _TALK_ENDS, agent))

    def _best(self, now_ms: int) -> tuple[int, list[int]] | None:
        """The kind that is served next, and the crews that come first for it."""
        floor = self._floor
        greatest, kind, crews = -1, _NOBODY, list[int]()
        for each, reach in enumerate(floor.reach):
            if not floor.queue[each]:
                continue
            for crew in reach:
                if not floor.idle[crew]:
                    continue
                index = self._rule.index(floor, each, crew, now_ms)
                if index > greatest:
                    greatest, kind, crews = index, each, [crew]
                elif index == greatest and each == kind:
                    crews.append(crew)
        return (kind, crews) if crews else None

    def _take(self, kind: int, crews: list[int]) -> int:
        idle = self._floor.idle
        if self._asked_last is None:
            return idle[min(crews, key=lambda crew: idle[crew][0])].popleft()[1]
        last, agents = self._asked_last[kind], len(self._crew_of)
        idle_since_ms, agent = min(
            (entry for crew in crews for entry in idle[crew]), key=lambda entry: (entry[1] - last - 1) % agents
        )
        idle[self._crew_of[agent]].remove((idle_since_ms, agent))
        self._asked_last[kind] = agent
        return agent

    def _opens_ms(self, now_ms: int) -> int:
        floor = self._floor
        opens = (
            self._rule.opens_ms(floor, kind, crew, now_ms)
            for kind, reach in enumerate(floor.reach)
            if floor.queue[kind]
            for crew in reach
            if floor.idle[crew]
        )
        return min((each for each in opens if each is not None), default=_NEVER_MS)
