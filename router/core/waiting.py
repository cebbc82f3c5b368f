"""Calls that nobody can take yet, in the order in which they will be answered.

A waiting call stands in the queue of every group whose ring has opened for it, and in the personal queues of its owner
and backups; while it is held, in its owner's alone. A freed agent looks at two heads, its group's and its own, and
takes the smaller: by class (callers who asked for an agent inside; own clients, own portfolios, others: where the team
serves its own first), then rank. An agent for whom neither has a call, and whose team can spare one, looks at the queue
of those whom the team helps early.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from router.core.decisions import Rule
from router.core.gates import Gates
from router.core.matching import personal_opens_ms
from router.core.members import (
    CALL_WAITING,
    RULE_ALL_BUSY,
    RULE_BACKUP,
    RULE_OWN_PORTFOLIO,
    RULE_OWNER,
    RULE_RANK,
    RULE_SHARE_OVERRIDE,
)
from router.core.model import AgentId
from router.core.queues import Queue
from router.core.state import NEVER_MS, AgentRecord, CallRecord, Group, TeamRecord

__all__ = ["WaitingRoom"]

# Gates that time alone opens (a contract ends, a country joins, agents stay signed in) are looked at so often.
_LOOK_AGAIN_MS = 30_000

_ASKED_INSIDE = -1
_OWN_CLIENT = 0
_OWN_PORTFOLIO = 1
_OTHER = 2


class WaitingRoom:
    """The waiting calls of all portfolios."""

    __slots__ = ("_awaited", "_gates", "_last_stamp", "count")

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._awaited: dict[AgentId, AgentRecord] = {}
        """Whose personal queues may hold calls, where a gate may open for one."""
        self.count = 0
        self._last_stamp = 0

    def enter(self, call: CallRecord, *, hold_until_ms: int | None, now_ms: int) -> None:
        """Let the call wait, at the place that its rank gives it."""
        self._last_stamp = call.stamp = self._last_stamp + 1
        self.count += 1
        call.status = CALL_WAITING
        call.held_until_ms = hold_until_ms
        call.rings_open = 0
        call.placed_ms = now_ms
        insort(call.portfolio.waiting, (call.rank_ms, call.call_id))
        if call.owner is not None:
            self._stand_with_if_open(call, call.owner, now_ms)
            if hold_until_ms is not None:
                call.owner.held[call.call_id] = call
        if hold_until_ms is None:
            for backup in call.backups:
                self._stand_with_if_open(call, backup, now_ms)
            self.widen(call, now_ms)
            if call.plan.spare:
                self._stand_early(call)
        call.rule = self.why(call, now_ms)

    def leave(self, call: CallRecord) -> None:
        """Take the call out of every queue. Its place is its rank, which it keeps."""
        call.stamp = 0
        call.timer = 0
        self.count -= 1
        waiting = call.portfolio.waiting
        del waiting[bisect_left(waiting, (call.rank_ms, call.call_id))]
        if call.held_until_ms is not None:
            call.held_until_ms = None
            if call.owner is not None:
                call.owner.held.pop(call.call_id, None)

    def enter_again(self, call: CallRecord) -> None:
        """Let a call of a snapshot stand where it stood: its record says which rings it has reached."""
        self._last_stamp = call.stamp = self._last_stamp + 1
        self.count += 1
        insort(call.portfolio.waiting, (call.rank_ms, call.call_id))
        for ring in call.plan.rings[: call.rings_open]:
            for member in ring.members:
                group = member.group
                group.waiting.push(_class_of(call, group.team, None), call.rank_ms, call.call_id, call)
        if call.held_until_ms is not None:
            assert call.owner is not None, "a call is held for its owner"
            call.owner.held[call.call_id] = call
        elif call.plan.spare:
            self._stand_early(call)

    def widen(self, call: CallRecord, now_ms: int) -> None:
        """Put the call into the queues of the groups whose ring has opened since it was last looked at."""
        waited_ms = now_ms - call.arrived_ms
        rings = call.plan.rings
        while call.rings_open < len(rings) and rings[call.rings_open].opens_ms <= waited_ms:
            for member in rings[call.rings_open].members:
                group = member.group
                group.waiting.push(_class_of(call, group.team, None), call.rank_ms, call.call_id, call)
            call.rings_open += 1

    def first_for(
        self, agent: AgentRecord, now_ms: int, spares: Callable[[CallRecord], bool] | None = None
    ) -> tuple[CallRecord, Rule] | None:
        """The call that the freed agent takes, and by which rule; None: none reaches the agent now.

        *spares* says of each call that would be taken whether it is left for somebody else.
        """
        gates, group = self._gates, agent.group
        waiting = group.waiting
        entry = waiting.head()
        if entry is not None and (gates.are_any or spares is not None or entry[4].is_blocked(agent)):
            entry = waiting.first(
                lambda call: self._may_have(agent, call, now_ms) and (spares is None or not spares(call))
            )
        if agent.personal is not None:
            # Where the agent sits may have changed since the call was put here.
            personal = agent.personal.first(
                lambda call: (
                    personal_opens_ms(call, agent) is not None
                    and self._may_have(agent, call, now_ms)
                    and (spares is None or not spares(call))
                )
            )
            if personal is not None and (entry is None or personal[:3] <= entry[:3]):
                entry = personal
        is_early = False
        if entry is None and group.early is not None and group.team.can_spare:
            entry = group.early.first(
                lambda call: self._may_have(agent, call, now_ms) and (spares is None or not spares(call))
            )
            is_early = True
        if entry is None:
            return None
        call = entry[4]
        if gates.are_any and gates.is_override(call, group, now_ms):
            return call, RULE_SHARE_OVERRIDE
        if agent is call.owner:
            return call, RULE_OWNER
        if agent in call.backups:
            return call, RULE_BACKUP
        if gates.are_any and gates.is_spill(call, group):
            return call, Rule.SPILL
        if is_early:
            return call, Rule.SPARE
        return call, RULE_OWN_PORTFOLIO if entry[0] == _OWN_PORTFOLIO else RULE_RANK

    @staticmethod
    def has_calls_for(group: Group) -> bool:
        """Whether any call might be taken by agents of the group; sometimes true though none is left."""
        return len(group.waiting) > 0 or (group.early is not None and len(group.early) > 0)

    @staticmethod
    def calls_for(group: Group) -> Iterator[CallRecord]:
        """Those that agents of the group may have, now or while their team can spare some; in no order."""
        yield from group.waiting.living()
        if group.early is not None:
            yield from group.early.living()

    def _may_have(self, agent: AgentRecord, call: CallRecord, now_ms: int) -> bool:
        if call.is_blocked(agent):
            return False
        gates = self._gates
        return not gates.are_any or gates.shut(call, agent.group, now_ms, is_personal=agent in call.people) is None

    def awaited(self) -> list[AgentRecord]:
        """Owners and backups who are idle although calls wait for them, the longest idle first."""
        awaited = {
            agent_id: person
            for agent_id, person in self._awaited.items()
            if person.personal is not None and person.personal.head() is not None
        }
        self._awaited = awaited
        idle = (person for person in awaited.values() if person.is_free)
        return sorted(idle, key=lambda person: (person.idle_since_ms, person.agent_id))

    def position(self, call: CallRecord) -> int:
        """1 for the call that is next among the waiting calls of its portfolio."""
        return bisect_left(call.portfolio.waiting, (call.rank_ms, call.call_id)) + 1

    def why(self, call: CallRecord, now_ms: int) -> Rule:
        """Why the call waits."""
        if call.held_until_ms is not None:
            return Rule.OWNER_HOLD
        rings, opened = call.plan.rings, call.rings_open
        if self._gates.are_any:
            for ring in rings[:opened]:
                for member in ring.members:
                    if member.group.idle.head() is not None:
                        rule = self._gates.shut(call, member.group, now_ms)
                        if rule is not None:
                            return rule
        if any(member.group.staffed for ring in rings[:opened] for member in ring.members):
            return RULE_ALL_BUSY
        if any(member.group.staffed for ring in rings[opened:] for member in ring.members):
            return Rule.NOT_YET
        return Rule.NOBODY_SIGNED_IN

    def next_change_ms(self, call: CallRecord, now_ms: int) -> int:
        """The first moment at which something about the call's wait changes by itself; `NEVER_MS`: none."""
        portfolio = call.portfolio.portfolio
        change_ms = NEVER_MS
        if call.callback:
            change_ms = call.queued_ms + portfolio.callback_max_wait_s * 1000
        elif portfolio.max_wait_s is not None:
            change_ms = call.queued_ms + portfolio.max_wait_s * 1000
        if self._gates.open_with_time:
            change_ms = min(change_ms, now_ms + _LOOK_AGAIN_MS)
            contract = self._gates.share_limit(call, now_ms)
            if contract is not None:
                limit_ms = call.queued_ms + contract.contract.wait_s * 1000
                if limit_ms > now_ms:
                    change_ms = min(change_ms, limit_ms)
        spill_ms = self._gates.spill_ms(call)
        if spill_ms is not None and spill_ms > now_ms:
            change_ms = min(change_ms, spill_ms)
        if call.held_until_ms is not None:
            change_ms = min(change_ms, call.held_until_ms)
        elif call.rings_open < len(call.plan.rings):
            change_ms = min(change_ms, call.arrived_ms + call.plan.rings[call.rings_open].opens_ms)
        if call.plan.requirement.skills:
            # An owner or backup may come to meet a need that relaxes.
            for person in call.people:
                opens_ms = personal_opens_ms(call, person)
                if opens_ms is not None and call.arrived_ms + opens_ms > now_ms:
                    change_ms = min(change_ms, call.arrived_ms + opens_ms)
        return change_ms

    @staticmethod
    def _stand_early(call: CallRecord) -> None:
        for member in call.plan.spare:
            group = member.group
            assert group.early is not None, "a group that can be spared has a queue for it"
            group.early.push(_class_of(call, group.team, None), call.rank_ms, call.call_id, call)

    def _stand_with_if_open(self, call: CallRecord, person: AgentRecord, now_ms: int) -> None:
        opens_ms = personal_opens_ms(call, person)
        if opens_ms is not None and opens_ms <= now_ms - call.arrived_ms:
            self.stand_with(call, person)

    def stand_with(self, call: CallRecord, person: AgentRecord) -> None:
        """Put the call into the personal queue of its owner or backup."""
        if person.personal is None:
            person.personal = Queue()
        if self._gates.are_any:
            self._awaited[person.agent_id] = person
        person.personal.push(_class_of(call, person.team, person), call.rank_ms, call.call_id, call)


def _class_of(call: CallRecord, team: TeamRecord, person: AgentRecord | None) -> int:
    if call.place_requested_ms is not None:
        return _ASKED_INSIDE
    if not team.own_first:
        return _OTHER
    if person is not None and person is call.owner:
        return _OWN_CLIENT
    return _OWN_PORTFOLIO if team.team_id == call.portfolio.owner_team_id else _OTHER
