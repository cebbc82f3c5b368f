"""Handing clients over: for good when their owner leaves, for a time when the owner is away.

Nothing is overwritten: an ownership is cut where the handover begins (and ends), so that the files say who answered
for whom on which day, and the router changes over by itself on the day. Only clients of those who leave or are away
get another owner.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from msgspec import Struct, structs

from router.core.errors import RouterError
from router.core.model import Agent, AgentId, Client, ClientId, Ownership, PortfolioId
from router.core.organisation import Organisation
from router.planning.balance import Load, Task, spread
from router.planning.candidates import Candidates, Ring
from router.planning.sizes import Workload, owned_s, ownership_of_day

__all__ = ["BackupChange", "Change", "Handover", "Move", "PlanningError", "delegate", "leaving_by", "rebalance"]

Change = tuple[tuple[Ownership, ...], ...]
"""What becomes of a client: of each of its ownerships, in their order, those that stand in its place."""


class PlanningError(RouterError):
    """What was asked for cannot be planned, or not be written."""


class Move(Struct, frozen=True, kw_only=True):
    """A client that gets another owner."""

    client_id: ClientId
    portfolio_id: PortfolioId
    from_agent: AgentId
    to_agent: AgentId | None
    """None: nobody can take it."""
    first: date
    last: date | None
    """Both days included; None: for good, or until the files say otherwise."""
    expected_s: int
    why: str


class BackupChange(Struct, frozen=True, kw_only=True):
    """A client that loses a backup, who leaves or becomes its owner, and gets another in the last place."""

    client_id: ClientId
    loses: AgentId
    gets: AgentId | None
    """None: nobody is left who could be one."""
    first: date


class AgentLoad(Struct, frozen=True, kw_only=True):
    """An agent whose portfolio changes."""

    agent_id: AgentId
    clients_before: int
    clients_after: int
    before_s: int
    """Expected seconds a month."""
    after_s: int


class Handover(Struct, frozen=True, kw_only=True):
    """A plan, in order of client and agent ids."""

    loads_on: date
    """The day on which `loads` are compared: that of the last handover."""
    moves: tuple[Move, ...]
    backup_changes: tuple[BackupChange, ...]
    loads: tuple[AgentLoad, ...]
    changes: dict[ClientId, Change]
    """For the clients' file."""

    @property
    def placed(self) -> tuple[Move, ...]:
        return tuple(move for move in self.moves if move.to_agent is not None)

    @property
    def not_placed(self) -> tuple[Move, ...]:
        return tuple(move for move in self.moves if move.to_agent is None)


def leaving_by(organisation: Organisation, day: date, *, today: date) -> dict[AgentId, date]:
    """Those whose contract ends by *day* (included), and from which day they are gone: never before *today*."""
    return {
        agent_id: max(agent.contract_until + timedelta(days=1), today)
        for agent_id, agent in organisation.agents.items()
        if agent.contract_until is not None and agent.contract_until <= day
    }


# --- For good ------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """An ownership of a client, by the client and its place among those of the client."""

    client: Client
    place: int

    @property
    def key(self) -> tuple[str, int]:
        return self.client.client_id, self.place

    @property
    def ownership(self) -> Ownership:
        return self.client.ownerships[self.place]


def rebalance(organisation: Organisation, workload: Workload, leaving: Mapping[AgentId, date]) -> Handover:
    """Give the clients of those who leave to others, and replace those who leave as backups.

    A client goes to the same group where anybody there can serve it, else to the nearest team of its portfolio where
    somebody can, and within them so that expected work is balanced, see `balance`. Each client moves once, and no
    other does: fewer moves are not possible. Of those equally good, a backup of the client is preferred.

    Args:
        organisation: Who owns whom.
        workload: What clients are expected to make.
        leaving: Who leaves, and the first day on which they are gone.

    Raises:
        PlanningError: Somebody is not in the organisation.
    """
    for agent_id in sorted(leaving):
        _known(organisation, agent_id)
    candidates = Candidates(organisation, leaving)
    loads_on = max(leaving.values(), default=date.max)
    clients = sorted(organisation.description.clients, key=lambda client: client.client_id)
    parts = [
        _Part(client, place)
        for client in clients
        for place, ownership in enumerate(client.ownerships)
        if any(_goes(agent_id, ownership, leaving) for agent_id in _people(ownership))
    ]
    orphaned = [part for part in parts if _goes(part.ownership.owner, part.ownership, leaving)]
    rings = {part.key: _ring_for(organisation, candidates, part, leaving) for part in orphaned}
    tasks = [
        Task(part.key, workload.of(part.client), _backups_first(ring.agents, part.ownership.backups))
        for part in orphaned
        if (ring := rings[part.key]) is not None
    ]
    owned = owned_s(organisation, workload, loads_on)
    owners = spread(tasks, {agent_id: Load(*load) for agent_id, load in owned.items()})
    moves = [_move(organisation, workload, part, rings[part.key], owners.get(part.key), leaving) for part in orphaned]

    succession = _Succession(organisation, candidates, leaving, clients)
    pieces = {part.key: succession.pieces_of(part, owners.get(part.key)) for part in parts}
    changes: dict[ClientId, Change] = {
        part.client.client_id: tuple(
            pieces.get((part.client.client_id, place), (ownership,))
            for place, ownership in enumerate(part.client.ownerships)
        )
        for part in parts
    }
    return Handover(
        loads_on=loads_on,
        moves=tuple(moves),
        backup_changes=tuple(succession.backup_changes),
        loads=_loads(organisation, workload, changes, loads_on),
        changes=changes,
    )


def _known(organisation: Organisation, agent_id: AgentId) -> Agent:
    if agent_id not in organisation.agents:
        raise PlanningError(f"there is no agent {agent_id!r}")
    return organisation.agents[agent_id]


def _people(ownership: Ownership) -> tuple[AgentId, ...]:
    return ownership.backups if ownership.owner is None else (ownership.owner, *ownership.backups)


def _goes(agent_id: AgentId | None, ownership: Ownership, leaving: Mapping[AgentId, date]) -> bool:
    """Whether the agent leaves before this ownership ends."""
    if agent_id is None or agent_id not in leaving:
        return False
    return ownership.valid_until is None or leaving[agent_id] < ownership.valid_until


def _first_day(agent_id: AgentId, ownership: Ownership, leaving: Mapping[AgentId, date]) -> date:
    """The first day of the ownership on which the agent is gone."""
    return max(leaving[agent_id], ownership.valid_from or date.min)


def _ring_for(
    organisation: Organisation, candidates: Candidates, part: _Part, leaving: Mapping[AgentId, date]
) -> Ring | None:
    owner = part.ownership.owner
    assert owner is not None, "only an owner who leaves needs a successor"
    home = organisation.agents[owner].team_id
    return candidates.nearest(part.client, home, day=_first_day(owner, part.ownership, leaving))


def _backups_first(agents: Sequence[AgentId], backups: Sequence[AgentId]) -> tuple[AgentId, ...]:
    ranks = {agent_id: rank for rank, agent_id in reversed(list(enumerate(backups)))}
    return tuple(sorted(agents, key=lambda agent_id: (ranks.get(agent_id, len(backups)), agent_id)))


def _move(
    organisation: Organisation,
    workload: Workload,
    part: _Part,
    ring: Ring | None,
    to_agent: AgentId | None,
    leaving: Mapping[AgentId, date],
) -> Move:
    ownership, owner = part.ownership, part.ownership.owner
    assert owner is not None, "only clients with an owner move"
    if ring is None:
        why = "nobody whom its portfolio reaches has its skills, language and country, stays, and is not excluded"
    else:
        why = ring.why if ring.why == "same group" else f"nobody of the group can; {ring.why}"
        if to_agent in ownership.backups:
            why += f", backup {ownership.backups.index(to_agent) + 1} so far"
    return Move(
        client_id=part.client.client_id,
        portfolio_id=part.client.portfolio_id or organisation.default_portfolio,
        from_agent=owner,
        to_agent=to_agent,
        first=_first_day(owner, ownership, leaving),
        last=_day_before(ownership.valid_until),
        expected_s=workload.of(part.client),
        why=why,
    )


def _day_before(day: date | None) -> date | None:
    return None if day is None else day - timedelta(days=1)


class _Succession:
    """Cuts ownerships where somebody leaves, and finds new backups: those who are backups of the fewest clients."""

    def __init__(
        self,
        organisation: Organisation,
        candidates: Candidates,
        leaving: Mapping[AgentId, date],
        clients: Iterable[Client],
    ) -> None:
        self.backup_changes: list[BackupChange] = []
        self._organisation = organisation
        self._candidates = candidates
        self._leaving = leaving
        self._backed_up = Counter(
            agent_id for client in clients for ownership in client.ownerships for agent_id in ownership.backups
        )

    def pieces_of(self, part: _Part, new_owner: AgentId | None) -> tuple[Ownership, ...]:
        """The part of the ownership before anybody leaves, and one from each day on which somebody has left."""
        rest = part.ownership
        gone = sorted(
            {
                _first_day(agent_id, rest, self._leaving)
                for agent_id in _people(rest)
                if _goes(agent_id, rest, self._leaving)
            }
        )
        pieces = []
        for day in gone:
            if rest.valid_from is None or rest.valid_from < day:
                pieces.append(structs.replace(rest, valid_until=day))
            rest = self._followed(part.client, structs.replace(rest, valid_from=day), new_owner)
        return (*pieces, rest)

    def _followed(self, client: Client, ownership: Ownership, new_owner: AgentId | None) -> Ownership:
        """The ownership from a day on which somebody has left."""
        day = ownership.valid_from
        assert day is not None, "it begins where somebody left"
        owner = new_owner if self._has_left(ownership.owner, day) else ownership.owner
        lost = [each for each in ownership.backups if each == owner or self._has_left(each, day)]
        backups = [each for each in ownership.backups if each not in lost]
        for agent_id in lost:
            found = self._new_backup(client, owner or agent_id, day, without=(owner, *backups))
            self.backup_changes.append(BackupChange(client_id=client.client_id, loses=agent_id, gets=found, first=day))
            if found is not None:
                backups.append(found)
        return structs.replace(ownership, owner=owner, backups=tuple(backups))

    def _has_left(self, agent_id: AgentId | None, day: date) -> bool:
        return agent_id is not None and self._leaving.get(agent_id, date.max) <= day

    def _new_backup(
        self, client: Client, near: AgentId, day: date, *, without: Iterable[AgentId | None]
    ) -> AgentId | None:
        home = self._organisation.agents[near].team_id
        ring = self._candidates.nearest(client, home, day=day, without=(each for each in without if each is not None))
        if ring is None:
            return None
        found = min(ring.agents, key=lambda agent_id: (self._backed_up[agent_id], agent_id))
        self._backed_up[found] += 1
        return found


# --- For a time ----------------------------------------------------------------------------------------------------


def delegate(
    organisation: Organisation,
    workload: Workload,
    agent_id: AgentId,
    *,
    first: date,
    last: date,
    to_agent: AgentId | None = None,
) -> Handover:
    """Let somebody else answer for the agent's clients for some days, after which the agent does again.

    Args:
        organisation: Who owns whom.
        workload: What clients are expected to make.
        agent_id: Who is away.
        first: The first day.
        last: The last day, included.
        to_agent: Who stands in; None: of each client the first of its backups who can serve it and is under contract.

    Raises:
        PlanningError: Somebody is not in the organisation, or the days are in the wrong order.
    """
    _known(organisation, agent_id)
    if to_agent is not None:
        _known(organisation, to_agent)
        if to_agent == agent_id:
            raise PlanningError(f"{agent_id} cannot stand in for {agent_id}: name somebody else with --to")
    if last < first:
        raise PlanningError(f"the last day {last} is before the first, {first}")
    candidates = Candidates(organisation, [agent_id])
    moves: list[Move] = []
    changes: dict[ClientId, Change] = {}
    for client in sorted(organisation.description.clients, key=lambda client: client.client_id):
        parts: list[tuple[Ownership, ...]] = []
        for ownership in client.ownerships:
            begins = max(first, ownership.valid_from or date.min)
            ends = min(last + timedelta(days=1), ownership.valid_until or date.max)
            parts.append((ownership,))
            if ownership.owner != agent_id or ends <= begins:
                continue
            stands_in = _stand_in(candidates, client, ownership, to_agent, last)
            moves.append(
                Move(
                    client_id=client.client_id,
                    portfolio_id=client.portfolio_id or organisation.default_portfolio,
                    from_agent=agent_id,
                    to_agent=stands_in,
                    first=begins,
                    last=_day_before(ends),
                    expected_s=workload.of(client),
                    why=_why_stands_in(ownership, stands_in, to_agent),
                )
            )
            if stands_in is not None:
                parts[-1] = _interrupted(ownership, stands_in, begins, ends)
        if any(
            len(pieces) > 1 or pieces[0] is not before for pieces, before in zip(parts, client.ownerships, strict=True)
        ):
            changes[client.client_id] = tuple(parts)
    return Handover(
        loads_on=first,
        moves=tuple(moves),
        backup_changes=(),
        loads=_loads(organisation, workload, changes, first),
        changes=changes,
    )


def _stand_in(
    candidates: Candidates, client: Client, ownership: Ownership, to_agent: AgentId | None, last: date
) -> AgentId | None:
    asked = ownership.backups if to_agent is None else (to_agent,)
    return next((each for each in asked if candidates.may_take(client, each, last=last)), None)


def _why_stands_in(ownership: Ownership, stands_in: AgentId | None, to_agent: AgentId | None) -> str:
    if to_agent is not None:
        if stands_in is None:
            return f"{to_agent} lacks a skill, the language or the country it needs, is excluded, or leaves before"
        return "as asked for"
    if stands_in is None:
        return "it has no backup who can serve it and stays: name somebody with --to"
    return f"backup {ownership.backups.index(stands_in) + 1}"


def _interrupted(ownership: Ownership, stands_in: AgentId, begins: date, ends: date) -> tuple[Ownership, ...]:
    """The ownership, that of who stands in, and the ownership again, as far as there are days for them."""
    backups = tuple(each for each in ownership.backups if each != stands_in)
    pieces = []
    if ownership.valid_from is None or ownership.valid_from < begins:
        pieces.append(structs.replace(ownership, valid_until=begins))
    pieces.append(Ownership(owner=stands_in, backups=backups, valid_from=begins, valid_until=ends))
    if ownership.valid_until is None or ends < ownership.valid_until:
        pieces.append(structs.replace(ownership, valid_from=ends))
    return tuple(pieces)


# --- Both ----------------------------------------------------------------------------------------------------------


def _loads(
    organisation: Organisation, workload: Workload, changes: Mapping[ClientId, Change], day: date
) -> tuple[AgentLoad, ...]:
    """Of every agent whose portfolio changes on that day, what it was and what it becomes."""
    before = owned_s(organisation, workload, day)
    after = dict(before)
    for client in organisation.description.clients:
        if client.client_id not in changes:
            continue
        pieces = tuple(piece for pieces in changes[client.client_id] for piece in pieces)
        for ownerships, sign in ((client.ownerships, -1), (pieces, 1)):
            ownership = ownership_of_day(structs.replace(client, ownerships=ownerships), day)
            if ownership is not None and ownership.owner is not None:
                seconds, clients = after[ownership.owner]
                after[ownership.owner] = seconds + sign * workload.of(client), clients + sign
    return tuple(
        AgentLoad(
            agent_id=agent_id,
            clients_before=before[agent_id][1],
            clients_after=after[agent_id][1],
            before_s=before[agent_id][0],
            after_s=after[agent_id][0],
        )
        for agent_id in sorted(before)
        if before[agent_id] != after[agent_id]
    )
