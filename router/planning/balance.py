"""Spreading clients over agents so that the work of agents comes out as equal as it can.

What is made small is the sum of the squares of the agents' expected seconds: for a given amount of work that is least
when all have the same, and one agent with far too much costs more than two with a little. Equal sums are told apart
by the squares of the numbers of clients, which also spreads clients that make no work; then by preference.

Clients of equal work are dealt in one min-cost flow: one unit a client, from the client to those who may take it,
from there to the sink by arcs of capacity 1 that cost what the first, the second, ... further client adds to the sum.
These costs rise from arc to arc, so a cheapest flow fills them in order, and it is the exact optimum for these clients,
whatever exclusions and skills forbid. With clients of different work together it would be a packing problem, which no
flow solves and which is NP-hard; so the kinds of work take turns, each dealt again with all others where they are,
until nothing gets better. It begins with the usual greedy rule, heaviest first to whoever has least, and no turn makes
that worse.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import networkx as nx

from router.core.model import AgentId

__all__ = ["Load", "Task", "spread"]


class Load(NamedTuple):
    """What an agent answers for."""

    expected_s: int
    clients: int


class Task(NamedTuple):
    """A client to be placed."""

    key: tuple[str, int]
    """Unique; ties go by it."""
    expected_s: int
    candidates: tuple[AgentId, ...]
    """Those who may take it, the most welcome first. Not empty."""


def spread(tasks: Iterable[Task], loads: Mapping[AgentId, Load]) -> dict[tuple[str, int], AgentId]:
    """Who takes which client. The same whatever the order of *tasks* and *loads*.

    Args:
        tasks: What is to be placed; all of it will be.
        loads: What each candidate has besides.
    """
    placed: dict[tuple[str, int], AgentId] = {}
    for component in _components(sorted(tasks)):
        dealing = _Dealing(component, loads)
        dealing.improve()
        placed |= dealing.placed
    return placed


def _components(tasks: Sequence[Task]) -> Iterable[list[Task]]:
    """Tasks without a candidate in common can be spread apart from each other, which is much faster."""
    graph: nx.Graph[Hashable] = nx.Graph()
    for task in tasks:
        # Keys are tuples and agents are not, so that the two kinds of nodes cannot be mistaken for each other.
        graph.add_edges_from((task.key, agent_id) for agent_id in task.candidates)
    for nodes in nx.connected_components(graph):
        yield [task for task in tasks if task.key in nodes]


class _Dealing:
    """Tasks that are placed, and what that makes of the loads."""

    def __init__(self, tasks: Sequence[Task], loads: Mapping[AgentId, Load]) -> None:
        self.placed: dict[tuple[str, int], AgentId] = {}
        agents = sorted({agent_id for task in tasks for agent_id in task.candidates})
        self._loads = {agent_id: loads[agent_id] for agent_id in agents}
        kinds: defaultdict[int, list[Task]] = defaultdict(list)
        for task in tasks:
            kinds[task.expected_s].append(task)
        self._kinds = [kinds[expected_s] for expected_s in sorted(kinds, reverse=True)]
        self._rank_of_all = 0
        for kind in self._kinds:
            for task in kind:
                self._put(task, self._cheapest_for(task))

    def improve(self) -> None:
        """Deal one kind of work after the other again until a whole round has changed nothing for the better."""
        while True:
            before = self._sums()
            for kind in self._kinds:
                self._deal(kind)
            if self._sums() == before:
                return

    def _cheapest_for(self, task: Task) -> AgentId:
        """Who adds least to the sums with it."""
        return min(task.candidates, key=partial(self._added, task))

    def _added(self, task: Task, agent_id: AgentId) -> tuple[int, int, int]:
        load = self._loads[agent_id]
        work = task.expected_s * (2 * load.expected_s + task.expected_s)
        return work, 2 * load.clients + 1, task.candidates.index(agent_id)

    def _put(self, task: Task, agent_id: AgentId, sign: int = 1) -> None:
        load = self._loads[agent_id]
        self._loads[agent_id] = Load(load.expected_s + sign * task.expected_s, load.clients + sign)
        self._rank_of_all += sign * task.candidates.index(agent_id)
        if sign > 0:
            self.placed[task.key] = agent_id

    def _sums(self) -> tuple[int, int, int]:
        loads = self._loads.values()
        return sum(load.expected_s**2 for load in loads), sum(load.clients**2 for load in loads), self._rank_of_all

    def _deal(self, kind: Sequence[Task]) -> None:
        for task in kind:
            self._put(task, self.placed[task.key], -1)
        if len(kind) == 1:  # What a flow of one unit would find.
            self._put(kind[0], self._cheapest_for(kind[0]))
            return
        groups: defaultdict[tuple[AgentId, ...], list[Task]] = defaultdict(list)
        for task in kind:
            groups[task.candidates].append(task)
        for candidates, counts in self._cheapest(groups, kind[0].expected_s).items():
            takers = (agent_id for agent_id in candidates for _ in range(counts[agent_id]))
            for task, agent_id in zip(groups[candidates], takers, strict=True):
                self._put(task, agent_id)

    def _cheapest(
        self, groups: Mapping[tuple[AgentId, ...], Sequence[Task]], expected_s: int
    ) -> dict[tuple[AgentId, ...], Counter[AgentId]]:
        """How many of each group go to whom, by a min-cost flow.

        Three costs are one integer: work, then number of clients, then rank, each times more than all those after it
        could add up to. Integers, because the network simplex is exact with them and may run for ever without, and
        Python's do not overflow. Nodes and arcs are added in order of ids, on which alone it then depends which of two
        flows of equal cost is found.
        """
        count = sum(map(len, groups.values()))
        agents = sorted({agent_id for candidates in groups for agent_id in candidates})
        ranks = count * max(map(len, groups)) + 1
        clients = count * (2 * (max(self._loads[agent_id].clients for agent_id in agents) + count)) + 1
        graph: nx.MultiDiGraph[Hashable] = nx.MultiDiGraph()
        graph.add_node("sink", demand=count)
        for number, (candidates, tasks) in enumerate(groups.items()):
            graph.add_node(("group", number), demand=-len(tasks))
            for rank, agent_id in enumerate(candidates):
                graph.add_edge(("group", number), ("agent", agent_id), capacity=len(tasks), weight=rank)
        for agent_id in agents:
            load = self._loads[agent_id]
            for further in range(sum(len(tasks) for candidates, tasks in groups.items() if agent_id in candidates)):
                work = expected_s * (2 * (load.expected_s + further * expected_s) + expected_s)
                number_of = 2 * (load.clients + further) + 1
                weight = (work * clients + number_of) * ranks
                graph.add_edge(("agent", agent_id), "sink", capacity=1, weight=weight)
        flow = nx.min_cost_flow(graph)
        return {
            candidates: Counter(
                {agent_id: sum(flow["group", number]["agent", agent_id].values()) for agent_id in candidates}
            )
            for number, candidates in enumerate(groups)
        }
