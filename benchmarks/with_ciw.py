"""One queue, played by Ciw: an independent simulator of queueing networks, and the only module that knows it.

Ciw (Palmer, Knight, Harper & Hawa, Journal of Simulation 13 (2019) 68-82) comes with the development tools
(``pip install --editable '.[dev]'``).
"""

from typing import Any, NamedTuple

import ciw
import numpy as np
from numpy.typing import NDArray

__all__ = ["Queue", "Seen", "draw_and_play", "play_callers"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Later than anybody calls.
_NEVER = float("inf")
_END = 1e18


class Queue(NamedTuple):
    """Poisson arrivals, exponential service and patience, agents alike. Erlang-B, Erlang-C or Erlang-A."""

    load: float
    """Erlangs."""
    service_s: float
    agents: int
    patience_s: float | None = None
    """None: nobody hangs up."""
    is_loss: bool = False
    """Whoever finds all agents busy goes at once."""


class Seen(NamedTuple):
    """The callers, by arrival."""

    arrived: Floats
    wait: Floats
    """Until answered or gone."""
    service: Floats
    """0: was not answered."""
    answered: Flags


def draw_and_play(queue: Queue, calls: int, *, seed: int) -> Seen:
    """So many *calls* of Ciw's own drawing, in seconds; opens with nobody there, ends when all have gone."""
    ciw.seed(seed)
    rate = queue.load / queue.service_s
    patience = None if queue.patience_s is None else ciw.dists.Exponential(1 / queue.patience_s)
    return _play(queue, _FirstOf(calls, rate), ciw.dists.Exponential(1 / queue.service_s), patience)


def play_callers(queue: Queue, arrived: Floats, service: Floats, patience: Floats | None) -> Seen:
    """These callers and no others, in the unit of time that they come in."""
    return _play(
        queue,
        _InTurn(np.diff(arrived, prepend=0.0)),
        _Brought(service),
        None if patience is None else _Brought(patience),
    )


def _play(queue: Queue, gaps: Any, service: Any, patience: Any) -> Seen:
    network = ciw.create_network(
        arrival_distributions=[gaps],
        service_distributions=[service],
        number_of_servers=[queue.agents],
        reneging_time_distributions=[patience],
        queue_capacities=[0 if queue.is_loss else _NEVER],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(_END)
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    return Seen(
        np.array([record.arrival_date for record in records], dtype=float),
        np.array([_number(record.waiting_time) for record in records]),
        np.array([_number(record.service_time) for record in records]),
        np.array([record.record_type == "service" for record in records]),
    )


def _number(value: float) -> float:
    """Ciw leaves out what did not happen."""
    return 0.0 if np.isnan(value) else float(value)


class _FirstOf(ciw.dists.Exponential):  # type: ignore[misc]  # ciw has no type hints
    """Gaps before so many arrivals, and nobody after them."""

    def __init__(self, calls: int, rate: float) -> None:
        super().__init__(rate)
        self.left = calls

    def sample(self, t: float | None = None, ind: Any = None) -> float:
        self.left -= 1
        return float(super().sample(t, ind)) if self.left >= 0 else _NEVER


class _InTurn(ciw.dists.Distribution):  # type: ignore[misc]  # as above
    def __init__(self, gaps: Floats) -> None:
        self.gaps = iter(gaps.tolist())

    def __deepcopy__(self, memo: object) -> "_InTurn":
        # Ciw copies what it is given, and an iterator cannot be copied.
        return self

    def sample(self, t: float | None = None, ind: Any = None) -> float:  # noqa: ARG002 - as Ciw asks
        return next(self.gaps, _NEVER)


class _Brought(ciw.dists.Distribution):  # type: ignore[misc]  # as above
    """What each caller brings along, by number of arrival."""

    def __init__(self, values: Floats) -> None:
        self.values = values.tolist()

    def sample(self, t: float | None = None, ind: Any = None) -> float:  # noqa: ARG002 - as Ciw asks
        return float(self.values[ind.id_number - 1])
