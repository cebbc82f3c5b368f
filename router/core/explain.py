"""Why is this call still waiting? Agent by agent, for a waiting call or one of the past.

For a waiting call the question is asked of the present; for any other, of the moment of its last offer, from the
history of states that every agent record keeps.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from router.core.decisions import Rule
from router.core.gates import Gates
from router.core.matching import expected_free_ms
from router.core.model import (
    AgentId,
    AgentStatus,
    CallId,
    CallStatus,
    ClientId,
    OfferId,
    Outcome,
    PortfolioId,
)
from router.core.organisation import satisfied_after_ms
from router.core.plans import Shortfall, shortfall
from router.core.state import HISTORY_MAX, NEVER_MS, AgentRecord, CallRecord, Group

__all__ = ["AgentAnswer", "Explanation", "StepAnswer", "Verdict", "explain_call", "shut_words"]


class Verdict(StrEnum):
    """Why not this agent, the weightiest rule first."""

    CHOSEN = "chosen"
    WRONG_COUNTRY = "wrong_country"
    LACKS_SKILL = "lacks_skill"
    LACKS_LANGUAGE = "lacks_language"
    BLOCKED = "blocked"
    NO_WAY = "no_way"
    OWNER_HOLD = "owner_hold"
    NOT_YET = "not_yet"
    SHARE = "share"
    GUARANTEE = "guarantee"
    PLAN = "plan"
    SIGNED_OUT = "signed_out"
    NOT_READY = "not_ready"
    AT_WORK = "at_work"
    PASSED_OVER = "passed_over"
    UNKNOWN = "unknown"


class AgentAnswer(Struct, frozen=True, kw_only=True):
    """Why a call was or was not offered to one agent."""

    agent_id: AgentId
    verdict: Verdict
    detail: str
    may_change_ms: int | None = None
    """When this may change at the earliest, as far as can be foreseen; None for calls of the past."""
    path: tuple[str, ...] = ()


class StepAnswer(Struct, frozen=True, kw_only=True):
    """One thing that happened to the call."""

    at_ms: int
    what: str
    agent_id: AgentId | None = None
    offer_id: OfferId | None = None


class Explanation(Struct, frozen=True, kw_only=True):
    """A call's story so far and, for every agent, why the call is or is not with it."""

    call_id: CallId
    status: CallStatus
    outcome: Outcome | None
    client_id: ClientId | None
    portfolio_id: PortfolioId
    found_by: str
    """What the portfolio was found by: ``client``, ``portfolio``, ``segment`` or ``default``."""
    arrived_ms: int
    asked_at_ms: int
    """The moment that the agents' answers are about."""
    wait_ms: int
    """From arrival to that moment."""
    rule: Rule | None
    """Why the call waits, or why it was offered to the agent."""
    steps: tuple[StepAnswer, ...]
    agents: tuple[AgentAnswer, ...]


def shut_words(group: Group, why: str) -> str:
    """How a call's story tells that a gate kept it from agents of a group."""
    return f"{_shut_to(group)}{why}"


def _shut_to(group: Group) -> str:
    return f"not to supplier {group.key.supplier_id} at {group.key.site_id} in {group.key.country}: "


def explain_call(
    call: CallRecord, agents: Sequence[AgentRecord], gates: Gates, now_ms: int, *, gates_ms: int
) -> Explanation:
    """The answer for *agents*, in their order.

    Gates are asked as of *gates_ms*, the engine's last event: they count as they are asked, and looking must not count.
    """
    is_waiting = call.status is CallStatus.WAITING
    asked_at_ms = now_ms
    if not is_waiting:
        # A call that was never offered is explained as of its end.
        asked_at_ms = call.decided_ms if call.decided_ms is not None else (call.ended_ms or now_ms)
    view = _View(call, gates, gates_ms, asked_at_ms, is_waiting)
    return Explanation(
        call_id=call.call_id,
        status=call.status,
        outcome=call.outcome,
        client_id=call.client_id,
        portfolio_id=call.portfolio.portfolio.portfolio_id,
        found_by=call.found_by,
        arrived_ms=call.arrived_ms,
        asked_at_ms=asked_at_ms,
        wait_ms=asked_at_ms - call.arrived_ms,
        rule=call.rule,
        steps=tuple(
            StepAnswer(at_ms=step.at_ms, what=step.what, agent_id=step.agent_id, offer_id=step.offer_id)
            for step in call.steps
        ),
        agents=tuple(_answer(view, agent) for agent in agents),
    )


class _View(NamedTuple):
    call: CallRecord
    gates: Gates
    gates_ms: int
    at_ms: int
    is_waiting: bool


def _answer(view: _View, agent: AgentRecord) -> AgentAnswer:
    call, _, _, at_ms, is_waiting = view
    place = call.plan.ring_of.get(agent.group)
    is_personal = _is(agent, call.owner) or _is_backup(agent, call)
    path = _path(call, agent)
    if not is_waiting and _is(agent, call.agent):
        detail = f"offered by rule {call.rule}"
        path = call.offer.path if call.offer is not None else path
        return AgentAnswer(agent_id=agent.agent_id, verdict=Verdict.CHOSEN, detail=detail, path=path)

    def answer(verdict: Verdict, detail: str, may_change_ms: int | None = None) -> AgentAnswer:
        change_ms = may_change_ms if is_waiting else None
        return AgentAnswer(agent_id=agent.agent_id, verdict=verdict, detail=detail, may_change_ms=change_ms, path=path)

    lacking = _lacking(call, agent)
    if lacking is not None:
        return answer(*lacking)
    block = call.blocked.get(agent.agent_id) if call.blocked is not None else None
    if block is not None and block.since_ms <= at_ms:
        until = "for good" if block.until_ms is None else f"for {_seconds(block.until_ms - block.since_ms)}"
        return answer(Verdict.BLOCKED, f"{block.reason}: not offered to this agent {until}", block.until_ms)
    if call.plan.is_lost and not is_personal:
        gone = call.plan.portfolio_id
        return answer(Verdict.UNKNOWN, f"portfolio {gone} has left the organisation; whom it reached is not known")
    if place is None and not is_personal:
        team = agent.team.team.team_id
        return answer(Verdict.NO_WAY, f"no way leads from portfolio {call.plan.portfolio_id} to team {team}")
    if call.held_until_ms is not None and not _is(agent, call.owner):
        return answer(Verdict.OWNER_HOLD, "the call waits for its owner first", _hold_end(call))
    opens = _reach_ms(call, agent)
    if opens > at_ms - call.arrived_ms:
        waited = _seconds(at_ms - call.arrived_ms)
        detail = f"may be offered the call after {_seconds(opens)} of waiting; it had waited {waited}"
        if any(member.group is agent.group for member in call.plan.spare):
            if is_waiting and agent.team.can_spare and agent.status is AgentStatus.IDLE:
                return answer(*_as_of_state(view, agent))
            detail += f", or while more than {agent.team.team.keep_idle} of team {agent.team.team.team_id} are idle"
        return answer(Verdict.NOT_YET, detail, call.arrived_ms + opens)
    return answer(*_as_of_state(view, agent))


def _lacking(call: CallRecord, agent: AgentRecord) -> tuple[Verdict, str] | None:
    lack = shortfall(call.plan.requirement, agent.group)
    if lack is None:
        return None
    kind, need = lack
    if kind is Shortfall.COUNTRY:
        wanted = ", ".join(call.plan.requirement.countries)
        return Verdict.WRONG_COUNTRY, f"sits in {agent.group.key.country}; the call may only go to {wanted}"
    if need is not None:
        level = agent.group.levels.get(need.skill, 0)
        has = f"has level {level}" if level else "does not have it"
        return Verdict.LACKS_SKILL, f"the call needs {need.skill} at level {need.level}; the agent {has}"
    return Verdict.LACKS_LANGUAGE, f"does not speak {call.plan.requirement.language}"


def _reach_ms(call: CallRecord, agent: AgentRecord) -> int:
    """The wait after which the agent may be offered the call; it is known that there is a way."""
    if _is(agent, call.owner) or _is_backup(agent, call):
        needs = call.plan.requirement.skills
        waits = (satisfied_after_ms(need, agent.group.levels.get(need.skill, 0)) for need in needs)
        return max((wait for wait in waits if wait is not None), default=0)
    index, _ = call.plan.ring_of[agent.group]
    return call.plan.rings[index].opens_ms


def _as_of_state(view: _View, agent: AgentRecord) -> tuple[Verdict, str, int | None]:
    call, gates, gates_ms, at_ms, is_waiting = view
    found = _state_at(agent, at_ms)
    if found is None:
        return Verdict.UNKNOWN, "what the agent was doing then is no longer remembered", None
    since_ms, status, reason = found
    lasting = f"for {_seconds(at_ms - since_ms)}"
    match status:
        case AgentStatus.SIGNED_OUT:
            return Verdict.SIGNED_OUT, "not signed in", None
        case AgentStatus.NOT_READY:
            return Verdict.NOT_READY, f"in a pause {lasting}: {reason}", None
        case AgentStatus.IDLE if is_waiting:
            is_personal = _is(agent, call.owner) or _is_backup(agent, call)
            shut = gates.shut(call, agent.group, gates_ms, is_personal=is_personal)
            if shut is not None:
                return Verdict(shut), gates.why_shut(call, agent.group, gates_ms), None
            return Verdict.UNKNOWN, "about to be offered the call", at_ms
        case AgentStatus.IDLE:
            for step in call.steps:
                if step.at_ms == at_ms and step.what.startswith(_shut_to(agent.group)):
                    why = step.what.removeprefix(_shut_to(agent.group))
                    return Verdict(why.partition(":")[0]), why, None
            chosen = call.agent.agent_id if call.agent is not None else "nobody"
            return Verdict.PASSED_OVER, f"idle, but {chosen} came first by rule {call.rule}", None
        case _:
            return (
                Verdict.AT_WORK,
                f"{status} {lasting}",
                expected_free_ms(agent, at_ms) if is_waiting else None,
            )


def _state_at(agent: AgentRecord, at_ms: int) -> tuple[int, AgentStatus, str | None] | None:
    """What the agent was doing just before *at_ms* was decided; None: no longer remembered."""
    history = agent.history[-HISTORY_MAX:]
    if not history:
        return 0, AgentStatus.SIGNED_OUT, None
    for entry in reversed(history):
        if entry[0] <= at_ms:
            return entry
    if len(history) == HISTORY_MAX:
        return None
    return 0, AgentStatus.SIGNED_OUT, None


def _path(call: CallRecord, agent: AgentRecord) -> tuple[str, ...]:
    client = f"client {call.client_id}" if call.client_id is not None else "unknown client"
    if _is(agent, call.owner):
        return client, f"owner agent {agent.agent_id}"
    if _is_backup(agent, call):
        return client, f"backup agent {agent.agent_id}"
    place = call.plan.ring_of.get(agent.group)
    return (client, *place[1].hops, f"agent {agent.agent_id}") if place is not None else ()


def _is(agent: AgentRecord, other: AgentRecord | None) -> bool:
    """Whether both are the same person: one who left and came back has a record of its own each time."""
    return other is not None and agent.agent_id == other.agent_id


def _is_backup(agent: AgentRecord, call: CallRecord) -> bool:
    return any(_is(agent, backup) for backup in call.backups)


def _hold_end(call: CallRecord) -> int | None:
    # A strict hold has no end of its own.
    return call.held_until_ms if call.held_until_ms != NEVER_MS else None


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"
