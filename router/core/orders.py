"""Decisions, written out from the records: the words that leave the engine."""

from router.core.decisions import (
    ConnectCall,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReleaseAgent,
    Rule,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.gates import Told
from router.core.matching import expected_free_ms, expected_wait_ms
from router.core.members import RULE_ACCEPTED, RULE_BACKUP, RULE_OWNER, RULE_SHARE_OVERRIDE
from router.core.model import FallbackKind
from router.core.state import AgentRecord, CallRecord, Offer

__all__ = [
    "connect_call", "end_call", "fallback_call", "offer_call", "offer_path", "pause_agent", "queue_call",
    "release_agent", "sign_out_agent", "withdraw_offer",
]  # fmt: skip


def offer_path(call: CallRecord, agent: AgentRecord, rule: Rule) -> tuple[int, tuple[str, ...]]:
    """The ring, and the way from the client to the agent in words."""
    if rule is RULE_OWNER or rule is RULE_BACKUP:
        return 0, (_client(call), f"{rule} agent {agent.agent_id}")
    if rule is RULE_SHARE_OVERRIDE and agent in call.people:
        # They may sit where the portfolio reaches nobody.
        who = RULE_OWNER if agent is call.owner else RULE_BACKUP
        return 0, (_client(call), f"{who} agent {agent.agent_id}")
    index, member = call.plan.ring_of[agent.group]
    if rule is Rule.SPARE:
        member = next(spare for spare in call.plan.spare if spare.group is agent.group)
    return index + 1, (_client(call), *member.hops, f"agent {agent.agent_id}")


def offer_call(call: CallRecord, offer: Offer, now_ms: int, told: Told) -> OfferCall:
    return OfferCall(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=offer.rule,
        path=offer.path,
        ring=offer.ring,
        offer_id=offer.offer_id,
        agent_id=offer.agent.agent_id,
        expires_at_ms=offer.expires_ms,
        portfolio_id=call.portfolio.portfolio.portfolio_id,
        client_id=call.client_id,
        agent_country=offer.agent.group.country,
        announcement=told.announcement,
        offers_choice=told.offers_choice,
        callback=call.callback,
    )


def withdraw_offer(call: CallRecord, offer: Offer, rule: Rule, now_ms: int) -> WithdrawOffer:
    return WithdrawOffer(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=rule,
        path=offer.path,
        ring=offer.ring,
        offer_id=offer.offer_id,
        agent_id=offer.agent.agent_id,
    )


def connect_call(call: CallRecord, offer: Offer, now_ms: int, told: Told) -> ConnectCall:
    return ConnectCall(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=RULE_ACCEPTED,
        path=offer.path,
        ring=offer.ring,
        offer_id=offer.offer_id,
        agent_id=offer.agent.agent_id,
        agent_country=offer.agent.group.country,
        announcement=told.announcement,
        offers_choice=told.offers_choice,
        callback=call.callback,
    )


def queue_call(call: CallRecord, rule: Rule, *, position: int, handling_ms: int, detail: str, now_ms: int) -> QueueCall:
    """*handling_ms* is the mean handling time of the portfolio's owner team."""
    if call.held_until_ms is not None and call.owner is not None:
        free_ms = expected_free_ms(call.owner, now_ms)
        expected_ms = None if free_ms is None else max(0, free_ms - now_ms)
    else:
        rings = call.plan.rings[: call.rings_open]
        staffed = sum(member.group.staffed for ring in rings for member in ring.members)
        expected_ms = expected_wait_ms(position, staffed, handling_ms)
    return QueueCall(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=rule,
        path=_portfolio_path(call),
        ring=call.rings_open if call.held_until_ms is None else 0,
        portfolio_id=call.portfolio.portfolio.portfolio_id,
        position=position,
        expected_wait_ms=expected_ms,
        detail=detail,
    )


def fallback_call(call: CallRecord, kind: FallbackKind, target: str, rule: Rule, now_ms: int) -> FallbackCall:
    return FallbackCall(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=rule,
        path=_portfolio_path(call),
        kind=kind,
        target=target,
    )


def end_call(call: CallRecord, offer: Offer, rule: Rule, now_ms: int) -> EndCall:
    return EndCall(
        call_id=call.call_id,
        wait_ms=now_ms - call.arrived_ms,
        rule=rule,
        path=offer.path,
        ring=offer.ring,
        agent_id=offer.agent.agent_id,
    )


def pause_agent(agent: AgentRecord) -> PauseAgent:
    return PauseAgent(agent_id=agent.agent_id, rule=Rule.MISSES, path=_team_path(agent), misses=agent.misses)


def release_agent(agent: AgentRecord) -> ReleaseAgent:
    ready = agent.next_reason is None and not (agent.leaving or agent.removed or agent.is_suspect)
    return ReleaseAgent(agent_id=agent.agent_id, rule=Rule.WRAP_UP_OVER, path=_team_path(agent), ready=ready)


def sign_out_agent(agent: AgentRecord, rule: Rule) -> SignOutAgent:
    return SignOutAgent(agent_id=agent.agent_id, rule=rule, path=_team_path(agent))


def _client(call: CallRecord) -> str:
    return f"client {call.client_id}" if call.client_id is not None else "unknown client"


def _portfolio_path(call: CallRecord) -> tuple[str, ...]:
    return _client(call), f"portfolio {call.portfolio.portfolio.portfolio_id}"


def _team_path(agent: AgentRecord) -> tuple[str, ...]:
    return f"team {agent.team.team.team_id}", f"agent {agent.agent_id}"
