"""Who may take a call, who is asked first, and when somebody may be expected to be free: pure functions."""

from router.core.gates import Gates
from router.core.handling import blended_handling_ms, expected_remaining_ms
from router.core.members import (
    AGENT_ACCEPTED,
    AGENT_IDLE,
    AGENT_IN_CALL,
    AGENT_OFFERED,
    AGENT_SIGNED_OUT,
    AGENT_WRAP_UP,
    IDLEST_TEAM,
    LEAST_OCCUPIED,
)
from router.core.plans import opens_for
from router.core.state import AgentRecord, CallRecord, Ring

__all__ = [
    "choose_agent", "choose_spare_agent", "expected_free_ms", "expected_wait_ms", "handling_ms", "is_on_shift",
    "personal_opens_ms",
]  # fmt: skip


def choose_agent(ring: Ring, call: CallRecord, gates: Gates, now_ms: int) -> AgentRecord | None:
    """The idle agent of the ring who is asked first: by strategy, then longest idle, then agent id.

    Under a move plan, the site that is shortest of calls comes before all that.
    """
    best: tuple[int, int, int, int, int, str] | None = None
    chosen: AgentRecord | None = None
    by_occupancy = call.plan.strategy is LEAST_OCCUPIED
    by_team = call.plan.strategy is IDLEST_TEAM
    are_gates = gates.are_any
    stage = gates.stage_of(call) if are_gates else None
    for member in ring.members:
        group, score = member.group, member.score
        if best is not None and score > best[1] and stage is None:
            break
        queue = group.idle
        if by_occupancy:
            assert group.idle_by_occupancy is not None, "a plan by occupancy was made without its queues"
            queue = group.idle_by_occupancy
        entry = queue.head()
        if entry is not None and call.is_blocked(entry[4]):
            entry = queue.first(lambda agent: not call.is_blocked(agent))
        if entry is None or (are_gates and gates.shut(call, group, now_ms) is not None):
            continue
        deficit = 0 if stage is None else -stage.deficit(gates.site_of(group))
        idle = -group.team.idle if by_team else 0
        key = (deficit, score, idle, entry[0], entry[1], entry[2])
        if best is None or key < best:
            best, chosen = key, entry[4]
    return chosen


def choose_spare_agent(call: CallRecord, gates: Gates, now_ms: int) -> AgentRecord | None:
    """As `choose_agent`, of the teams that help before their ring opens, if any can spare an agent now."""
    members = tuple(member for member in call.plan.spare if member.group.team.can_spare)
    return choose_agent(Ring(0, members), call, gates, now_ms) if members else None


def personal_opens_ms(call: CallRecord, person: AgentRecord) -> int | None:
    """The wait after which the call's owner or backup may take it; None: never, or not while a cooldown lasts."""
    if person.removed or call.is_blocked(person):
        return None
    return opens_for(call.plan, person.group)


def is_on_shift(agent: AgentRecord) -> bool:
    return agent.status is not AGENT_SIGNED_OUT and not agent.leaving and not agent.removed


def handling_ms(agent: AgentRecord) -> int:
    """The agent's expected handling time, talk and wrap-up."""
    team = agent.team
    return blended_handling_ms(agent.handling, team.handling, default_ms=team.team.handling_s * 1000)


def expected_free_ms(agent: AgentRecord, now_ms: int) -> int | None:
    """When the agent may be expected to be free; None: not to be foreseen (in a pause, leaving, signed out)."""
    if not is_on_shift(agent) or agent.next_reason is not None:
        return None
    status = agent.status
    if status is AGENT_IN_CALL:
        return now_ms + expected_remaining_ms(handling_ms(agent), now_ms - agent.busy_since_ms)
    if status is AGENT_WRAP_UP:
        return agent.deadline_ms
    if status is AGENT_IDLE:
        return now_ms
    if status is AGENT_OFFERED or status is AGENT_ACCEPTED:
        return now_ms + handling_ms(agent)
    return None


def expected_wait_ms(position: int, staffed: int, handling: int) -> int | None:
    """A rough wait for a caller in the queue: position x mean handling time / agents at work; None without agents.

    With ``staffed`` agents at work and each call taking ``handling`` on average, one call leaves the queue every
    ``handling / staffed``. It ignores abandonment and what else these agents serve, which err in opposite directions.
    """
    return position * handling // staffed if staffed else None
