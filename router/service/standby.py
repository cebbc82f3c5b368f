"""A second router in waiting: it watches the first one's claim on the journal and takes over when that falls silent.

Both run on the machine that has the journal, with the same settings but for the HTTP port. The one that routes renews
its claim every second, from the loop that routes. A claim that stands still belongs to a router that is gone or stuck;
the next claim fences it, so that it can do nothing more should it wake up.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from router.journal import Claim, Journal, JournalError

__all__ = ["wait_for_turn"]

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.5


async def wait_for_turn(
    journal: Journal, shard: str, *, silence_s: float, on_look: Callable[[], None] = lambda: None
) -> int:
    """Wait until no router is at work on *shard*.

    Args:
        journal: Whose claim is watched.
        shard: The shard.
        silence_s: A claim not renewed for so long, by this machine's steady clock, belongs to nobody any more.
        on_look: Called at each look at the claim, twice a second.

    Returns:
        The epoch to claim on, see `Journal.claim`: should another standby be faster, it refuses.
    """
    loop = asyncio.get_running_loop()
    seen: Claim | None = None
    since_s = loop.time()
    while True:
        on_look()
        try:
            claim = journal.claim_of(shard)
        except JournalError as error:
            logger.warning("the claim cannot be read, so nothing is taken over: %s", error)
            claim = None
        if claim is not None and claim.released:
            return claim.epoch
        if claim is None or claim != seen:
            seen, since_s = claim, loop.time()
        elif loop.time() - since_s >= silence_s:
            logger.warning("the router of epoch %d has been silent for %g s: taking over", claim.epoch, silence_s)
            return claim.epoch
        await asyncio.sleep(_LOOK_EVERY_S)
