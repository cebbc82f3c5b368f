"""Spreading clients over agents, against brute force, the greedy rule and shuffled input."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.model import AgentId
from router.planning.balance import Load, Task, spread

AGENTS = [AgentId(f"A{number}") for number in range(5)]
ROOT = Path(__file__).parents[2]


def tasks_of(work: st.SearchStrategy[int], *, count_max: int) -> st.SearchStrategy[list[Task]]:
    candidates = st.lists(st.sampled_from(AGENTS), min_size=1, unique=True).map(tuple)
    return st.lists(st.tuples(work, candidates), max_size=count_max).map(
        lambda pairs: [Task((f"C{number}", 0), *pair) for number, pair in enumerate(pairs)]
    )


LOADS = st.fixed_dictionaries(
    {agent_id: st.tuples(st.integers(0, 40), st.integers(0, 4)).map(lambda pair: Load(*pair)) for agent_id in AGENTS}
)


def squares(tasks: Sequence[Task], loads: Mapping[AgentId, Load], placed: Mapping[tuple[str, int], AgentId]) -> int:
    work = {agent_id: load.expected_s for agent_id, load in loads.items()}
    for task in tasks:
        work[placed[task.key]] += task.expected_s
    return sum(each**2 for each in work.values())


def greedily(tasks: Sequence[Task], loads: Mapping[AgentId, Load]) -> dict[tuple[str, int], AgentId]:
    """Heaviest first, to whoever has least work, then fewest clients, then is most welcome."""
    having = dict(loads)
    placed = {}
    for task in sorted(tasks, key=lambda task: (-task.expected_s, task.key)):
        ranked = [(having[agent_id], rank, agent_id) for rank, agent_id in enumerate(task.candidates)]
        load, _, agent_id = min(ranked)
        having[agent_id] = Load(load.expected_s + task.expected_s, load.clients + 1)
        placed[task.key] = agent_id
    return placed


@settings(deadline=None)
@given(tasks=tasks_of(st.integers(0, 30), count_max=25), loads=LOADS)
def test_everything_is_placed_with_somebody_who_may_take_it(tasks: list[Task], loads: dict[AgentId, Load]) -> None:
    placed = spread(tasks, loads)

    assert placed.keys() == {task.key for task in tasks}
    assert all(placed[task.key] in task.candidates for task in tasks)


@settings(deadline=None)
@given(tasks=tasks_of(st.just(7), count_max=6), loads=LOADS)
def test_clients_of_equal_work_are_spread_as_well_as_can_be(tasks: list[Task], loads: dict[AgentId, Load]) -> None:
    """Against every way there is of placing them."""
    best = min(
        squares(tasks, loads, dict(zip([task.key for task in tasks], chosen, strict=True)))
        for chosen in product(*(task.candidates for task in tasks))
    )

    assert squares(tasks, loads, spread(tasks, loads)) == best


@settings(deadline=None)
@given(tasks=tasks_of(st.integers(0, 30), count_max=25), loads=LOADS)
def test_balance_is_never_worse_than_that_of_the_greedy_rule(tasks: list[Task], loads: dict[AgentId, Load]) -> None:
    assert squares(tasks, loads, spread(tasks, loads)) <= squares(tasks, loads, greedily(tasks, loads))


@settings(deadline=None)
@given(tasks=tasks_of(st.integers(0, 30), count_max=20), loads=LOADS)
def test_no_single_client_could_better_go_elsewhere(tasks: list[Task], loads: dict[AgentId, Load]) -> None:
    placed = spread(tasks, loads)

    reached = squares(tasks, loads, placed)

    assert all(
        squares(tasks, loads, placed | {task.key: other}) >= reached for task in tasks for other in task.candidates
    )


@settings(deadline=None)
@given(data=st.data(), tasks=tasks_of(st.sampled_from([0, 5, 5, 9]), count_max=20), loads=LOADS)
def test_ties_do_not_depend_on_the_order_of_the_input(
    data: st.DataObject, tasks: list[Task], loads: dict[AgentId, Load]
) -> None:
    shuffled = data.draw(st.permutations(tasks))
    turned = dict(data.draw(st.permutations(list(loads.items()))))

    assert spread(shuffled, turned) == spread(tasks, loads)


def test_ties_do_not_depend_on_the_hashes_of_a_start() -> None:
    program = (
        "from router.planning.balance import Load, Task, spread\n"
        "agents = [f'A{n}' for n in range(9)]\n"
        "tasks = [Task((f'C{n}', 0), 60 * (n % 3), tuple(agents[n % 4:])) for n in range(60)]\n"
        "print(sorted(spread(tasks, {agent: Load(0, 0) for agent in agents}).items()))\n"
    )

    runs = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip

    assert len(runs) == 1


def test_a_polyglot_is_left_to_those_who_need_one() -> None:
    """Who is more welcome for the first client is the only one for the second."""
    plain, polyglot = AGENTS[:2]
    loads = {plain: Load(0, 0), polyglot: Load(0, 0)}
    tasks = [Task(("C1", 0), 5, (polyglot, plain)), Task(("C2", 0), 5, (polyglot,))]

    assert spread(tasks, loads) == {("C1", 0): plain, ("C2", 0): polyglot}


def test_clients_that_make_no_work_are_spread_by_number() -> None:
    loads = {AGENTS[0]: Load(9, 1), AGENTS[1]: Load(5, 1)}
    tasks = [Task((f"C{number}", 0), 0, tuple(AGENTS[:2])) for number in range(4)]

    placed = spread(tasks, loads)

    assert sorted(placed.values()) == [AGENTS[0], AGENTS[0], AGENTS[1], AGENTS[1]]


def test_between_equals_the_most_welcome_takes_it() -> None:
    loads = {agent_id: Load(5, 1) for agent_id in AGENTS}

    assert spread([Task(("C1", 0), 5, (AGENTS[3], AGENTS[0]))], loads) == {("C1", 0): AGENTS[3]}
