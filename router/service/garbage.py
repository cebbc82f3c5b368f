"""When Python looks for garbage, in a process that makes little.

Reference counts free nearly all that a router lets go of. What is left for the collector is what reloads and HTTP
requests leave. Looking as often as Python does by itself takes a sixth of a recovery, to find that things are alive;
never looking would let memory grow without bound.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["collecting_seldom"]

# The net growth in objects after which the collector looks; Python's own is 700. Some ten megabytes.
_OBJECTS_PER_COLLECTION: Final = 50_000


@contextmanager
def collecting_seldom(objects: int = _OBJECTS_PER_COLLECTION) -> Iterator[None]:
    """Let the collector look seldom for as long as the block, or the decorated function, runs.

    Args:
        objects: The net growth after which it looks.
    """
    before = gc.get_threshold()
    gc.set_threshold(objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
