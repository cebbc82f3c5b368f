"""What can be seen of the engine from outside at one moment: counts, never ids of calls, clients or agents."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from msgspec import Struct

from router.core.decisions import Rule
from router.core.gates import Gates
from router.core.model import AgentStatus, CallId, CallStatus, Outcome, PortfolioId, TeamId
from router.core.move_summary import MovePlanSummary, summarise_plan
from router.core.places import PlaceDay
from router.core.roster import Roster
from router.core.shares import ContractRecord, Outlook
from router.core.state import CallRecord, PortfolioRecord

__all__ = [
    "CallView", "ContractSummary", "EngineSummary", "PlaceSummary", "PortfolioSummary", "TeamSummary", "summarise",
]  # fmt: skip


class CallView(Struct, frozen=True, kw_only=True):
    """Where one call stands."""

    portfolio_id: PortfolioId
    status: CallStatus
    outcome: Outcome | None
    arrived_ms: int
    connected_ms: int | None
    """When the caller first spoke to an agent."""


class PortfolioSummary(Struct, frozen=True, kw_only=True):
    """The queue of one portfolio and how its calls ended since the engine's first event."""

    portfolio_id: PortfolioId
    waiting: int
    """Callers in the queue; call-backs not counted."""
    callbacks_waiting: int
    oldest_wait_ms: int
    """Of the callers in the queue; 0 when there is none."""
    arrived: int
    outcomes: dict[Outcome, int]


class TeamSummary(Struct, frozen=True, kw_only=True):
    """How many agents of one team are in each state; agents signed out are not counted."""

    team_id: TeamId
    agents: dict[AgentStatus, int]


class ContractSummary(Struct, frozen=True, kw_only=True):
    """How the share of one contract stands in its present period."""

    contract_id: str
    outlook: Outlook
    goal_bp: int
    margin_bp: int
    overrides: int
    """Calls let through although the share forbade it, since the engine's first event."""
    refused: int
    """Calls refused or called back for the sake of the share, since the engine's first event."""


class PlaceSummary(Struct, frozen=True, kw_only=True):
    """What callers of one company asked for, since the engine's first event."""

    company: str
    asked: int
    met: int
    met_ms: int
    unmet: int
    unannounced: int


class EngineSummary(Struct, frozen=True, kw_only=True):
    """The whole engine at ``now_ms``."""

    now_ms: int
    portfolios: tuple[PortfolioSummary, ...]
    teams: tuple[TeamSummary, ...]
    offers: dict[Rule, int]
    """Offers by how they ended: `Rule.ACCEPTED`, ``DECLINED``, ``MISSED``, ``OFFER_EXPIRED``, ``ABANDONED``, ..."""
    calls_live: int
    contracts: tuple[ContractSummary, ...] = ()
    """Those in force, by id."""
    places: tuple[PlaceSummary, ...] = ()
    """By company."""
    move_plans: tuple[MovePlanSummary, ...] = ()
    """By id."""


def summarise(
    roster: Roster,
    calls: Mapping[CallId, CallRecord],
    offers_by_end: Mapping[Rule, int],
    gates: Gates,
    now_ms: int,
    *,
    gates_ms: int,
) -> EngineSummary:
    """What can be seen now; of contracts, as of *gates_ms*, the engine's last event: looking must not count."""
    return EngineSummary(
        now_ms=now_ms,
        portfolios=tuple(
            _portfolio_summary(roster.portfolios[portfolio_id], calls, now_ms)
            for portfolio_id in sorted(roster.portfolios)
        ),
        teams=_team_summaries(roster),
        offers=dict(sorted(offers_by_end.items())),
        calls_live=len(calls),
        contracts=tuple(_contract_summary(contract, gates_ms) for contract in gates.shares.in_force(gates_ms)),
        places=tuple(_place_summaries(gates.place_book.days())),
        move_plans=tuple(summarise_plan(plan, now_ms) for _, plan in sorted(gates.moves.records.items())),
    )


def _contract_summary(record: ContractRecord, now_ms: int) -> ContractSummary:
    return ContractSummary(
        contract_id=record.contract.contract_id,
        outlook=record.outlook(now_ms),
        goal_bp=record.contract.goal_bp,
        margin_bp=record.contract.margin_bp,
        overrides=sum(day.overrides for day in record.days.values()),
        refused=sum(day.refused for day in record.days.values()),
    )


def _place_summaries(days: Iterable[PlaceDay]) -> Iterator[PlaceSummary]:
    for company, theirs in groupby(days, key=lambda day: day.company):
        told = list(theirs)
        yield PlaceSummary(
            company=company,
            asked=sum(day.asked for day in told),
            met=sum(day.met for day in told),
            met_ms=sum(day.met_ms for day in told),
            unmet=sum(day.unmet for day in told),
            unannounced=sum(day.unannounced for day in told),
        )


def _portfolio_summary(record: PortfolioRecord, calls: Mapping[CallId, CallRecord], now_ms: int) -> PortfolioSummary:
    waiting = [calls[call_id] for _, call_id in record.waiting]
    arrivals = [call.arrived_ms for call in waiting if not call.callback]
    return PortfolioSummary(
        portfolio_id=record.portfolio.portfolio_id,
        waiting=len(arrivals),
        callbacks_waiting=len(waiting) - len(arrivals),
        oldest_wait_ms=now_ms - min(arrivals, default=now_ms),
        arrived=record.arrived,
        outcomes=dict(record.outcomes),
    )


def _team_summaries(roster: Roster) -> tuple[TeamSummary, ...]:
    # Counted when asked for: to keep the counts would cost each call five times two changes of a dictionary.
    signed_in: list[AgentStatus] = [each for each in AgentStatus if each is not AgentStatus.SIGNED_OUT]
    counts = {team_id: dict.fromkeys(signed_in, 0) for team_id in sorted(roster.teams)}
    for agent in roster.agents.values():
        # Whoever works on for a team that is not there any more counts nowhere.
        if agent.status is not AgentStatus.SIGNED_OUT and agent.team is roster.teams.get(agent.team.team_id):
            counts[agent.team.team_id][agent.status] += 1
    return tuple(TeamSummary(team_id=team_id, agents=agents) for team_id, agents in counts.items())
