"""Queues from which items may vanish: heaps that are cleaned when they are read.

An item (a waiting call, an idle agent) stands in several queues at once and leaves all of them the moment it is
taken. Taking it only resets its ``stamp``; entries made under an older stamp are dropped when they come to the top, or
all together once a queue has doubled. Every queue thus costs O(log n) an operation and never outgrows twice its
living entries by more than a constant, even where nobody ever reads it.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["CLEAN_FROM", "Queue", "Stamped"]


class Stamped(Protocol):
    stamp: int
    """0 while the item is in no queue."""


T = TypeVar("T", bound=Stamped)

CLEAN_FROM: Final = 64
"""Below this size, cleaning costs more than it saves."""


class Queue(Generic[T]):
    """Items by ``(first, second, name)``, smallest first. Names are unique, so items are never compared."""

    __slots__ = ("_clean_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, int, T]] = []
        self._clean_at = CLEAN_FROM

    def push(self, first: int, second: int, name: str, item: T) -> None:
        heap = self._heap
        heappush(heap, (first, second, name, item.stamp, item))
        if len(heap) > self._clean_at:
            self._heap = heap = [entry for entry in heap if entry[4].stamp == entry[3]]
            heapify(heap)
            self._clean_at = max(CLEAN_FROM, 2 * len(heap))

    def head(self) -> tuple[int, int, str, int, T] | None:
        """The smallest living entry, which stays in the queue."""
        heap = self._heap
        while heap:
            entry = heap[0]
            if entry[4].stamp == entry[3]:
                return entry
            heappop(heap)
        return None

    def first(self, is_usable: Callable[[T], bool]) -> tuple[int, int, str, int, T] | None:
        """The smallest living entry whose item is usable. Those passed over stay in the queue."""
        passed_over = []
        found = None
        while (entry := self.head()) is not None:
            if is_usable(entry[4]):
                found = entry
                break
            passed_over.append(heappop(self._heap))
        for entry in passed_over:
            heappush(self._heap, entry)
        return found

    def living(self) -> Iterator[T]:
        """Every item that still stands here, in no order; one that was put here twice comes twice."""
        return (entry[4] for entry in self._heap if entry[4].stamp == entry[3])

    def __len__(self) -> int:
        """How many entries are kept, dead ones included: an upper bound."""
        return len(self._heap)
