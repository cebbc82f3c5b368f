"""How long a call waits for its owner alone.

``prefer``: at most ``owner_wait_s`` from arrival, and only if the owner is expected to be free by then: the expected
rest of the present call (`handling`), and a whole handling time for each call held for the same owner that comes before
it. An owner in a pause or signed out is not waited for. ``strict``: for as long as the owner is on shift.

Where the portfolio predicts the owner wait, `prospects` says instead whether and how long the wait is likely to pay.

The hold is a part of the one wait: rings open by arrival time, whether or not the call was held meanwhile.
"""

from router.core.matching import expected_free_ms, handling_ms, is_on_shift
from router.core.model import OwnerMode, OwnerWait
from router.core.state import NEVER_MS, AgentRecord, CallRecord

__all__ = ["hold_until_ms", "predicts_owner_wait"]


def predicts_owner_wait(call: CallRecord) -> bool:
    """Whether the call is held only if, and as long as, that is likely to pay (`prospects`)."""
    return call.portfolio.portfolio.owner_wait is OwnerWait.PREDICTED and call.place_requested_ms is None


def hold_until_ms(call: CallRecord, owner: AgentRecord, now_ms: int) -> int | None:
    """Until when the call waits for its owner alone; None: it widens at once."""
    portfolio = call.portfolio.portfolio
    if portfolio.owner_mode is OwnerMode.STRICT:
        # Waiting for somebody who has gone home would be a wait for nobody.
        return NEVER_MS if is_on_shift(owner) else None
    until_ms = call.arrived_ms + portfolio.owner_wait_s * 1000
    if until_ms <= now_ms:
        return None
    free_ms = expected_free_ms(owner, now_ms)
    if free_ms is None:
        return None
    place = (call.rank_ms, call.call_id)
    ahead = sum((other.rank_ms, other.call_id) < place for other in owner.held.values())
    return until_ms if free_ms + ahead * handling_ms(owner) <= until_ms else None
