"""What a call log does not say, inferred from what it does: who was there, for what, for whom, and how patient.

A log of calls has no log-ins, no skills, no owners, and no patience of those who were answered. Everything here is
an inference by the declared `InferenceRules`, and `InferredLog.notes` says so in words, to be shown with every
result. The same log and rules give the same callers and agents whatever the policy: each draw is made from the
seed and the call's id alone.

What a newcomer would get wrong is the agents' hours. From first to last call, less nothing, an agent seems to be there
for much longer than the queue of that day allows: replayed so, the bank's month has 83 % answered within 20 s,
where the log has 52 %. The queue itself tells when agents were not ready:

- An agent who is free while a call waits that he could take is evidently not ready. Between two calls he is taken to
  be away from the end of the first until the last moment at which such a call had waited ``waiting_s``.
- Short absences of this kind are work after the call. Their mean, over the calls after which somebody waited, becomes
  the wrap-up of the team. Longer ones are breaks, at the time of day at which they were.
- In a replay a break often begins while the agent is still talking, as calls now fall at other moments, and the
  talk eats into it. People take their breaks in full: each is made longer by the expected rest of a call.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from router.core.errors import Problem
from router.core.events import AgentEvent, AgentNotReady, AgentReady, AgentSignedIn, AgentSignedOut, CallArrived
from router.core.model import (
    Agent,
    AgentId,
    Client,
    ClientId,
    Link,
    OrganisationDescription,
    OwnerMode,
    Ownership,
    OwnerWait,
    Portfolio,
    PortfolioId,
    Seconds,
    Site,
    SiteId,
    Skill,
    SkillNeed,
    Supplier,
    SupplierId,
    Team,
    TeamId,
)
from router.simulation.callers import Caller
from router.simulation.calllog import CallLogError, LoggedCall, LogMapping
from router.simulation.results import CallResult

__all__ = ["FIRST_COME_FIRST_SERVED", "InferenceRules", "InferredLog", "Patience", "ReplayPolicy", "infer"]

# Longer waits are slips of a log rather than evidence that nobody was ready.
_EVIDENCE_WAIT_MS_MAX = 3_600_000
_WRAP_UP_S_MAX = 3_600
_TALK_LEASE_S_MAX = 86_400


class InferenceRules(Struct, frozen=True, kw_only=True):
    """The parameters of everything that is inferred. The defaults were chosen on the bank's month."""

    waiting_s: float = 10
    """A free agent for whom a call waits longer than this is not ready. A phone rings for a few seconds before it
    is picked up; from 5 to 20 s the replayed service level moves by 1.4 points."""
    pause_s_max: float = 300
    """Absences after a call up to this long are wrap-up, longer ones breaks. Half as much replays two points of
    service level less, twice as much three points more."""
    shift_gap_s: float = 3_600
    """An agent without calls for longer than this went home: of the gaps within a day 99 % are shorter than 35 minutes.
    Half as much changes nothing but the hours staffed."""
    breaks_in_full: bool = True
    """Make breaks longer by the part that a call in progress is expected to eat. False for a floor that postpones the
    end of such a break itself."""
    skill_calls_min: int = 10
    """An agent has the skill for a kind of call served at least so often ..."""
    skill_share_min: float = 0.01
    """... or in at least this share of the agent's calls. Asking more (3 %) changes the replay by less than a point."""
    owner_calls_min: int = 2
    """The owner is the agent who served the client most often, at least so often: once is chance."""
    backups_max: int = 2
    patience_events_min: int = 50
    """Kinds of call with fewer abandoned ones share the patience of all calls: too few steps for a curve."""
    seed: int = 1


class ReplayPolicy(Struct, frozen=True, kw_only=True):
    """The policy under which the log is replayed: the part that was not in the log but is to be tried."""

    owners: bool = True
    """Clients have their imputed owners and backups. False: first come first served, as the log was."""
    owner_mode: OwnerMode = OwnerMode.PREFER
    owner_wait: OwnerWait = OwnerWait.FIXED
    owner_wait_s: Seconds = 0
    """How long a call may be held for a busy owner. 0: the owner is only asked first."""
    owner_worth_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    hang_up_cost_s: Seconds = 60
    """As those of `router.core.model.Portfolio`."""
    own_first: bool = True
    """An agent who becomes free takes calls of own clients before older ones. Where somebody nearly always waits, as
    in the bank's log, owners get few of their clients without this: 19 % of those on shift rather than 31 %."""
    head_starts: bool = True
    """Calls keep the head starts that the mapping declares for their priority."""


FIRST_COME_FIRST_SERVED = ReplayPolicy(owners=False, own_first=False)
"""The policy of the log itself: what the inference is checked with."""


class InferredLog(Struct, frozen=True, kw_only=True):
    """A log, completed so that it can be replayed."""

    organisation: OrganisationDescription
    callers: tuple[Caller, ...]
    """By arrival and call id."""
    presence: tuple[tuple[int, AgentEvent], ...]
    """By time, since 1970; events of one agent in the order in which they apply."""
    owners: dict[ClientId, AgentId]
    """Imputed owners, also where the policy does not use them."""
    logged: tuple[CallResult, ...]
    """What happened to the callers in the log, in their order."""
    busy_ms: int
    """Service time in the log."""
    staffed_ms: int
    """Shifts less breaks, summed over agents."""
    notes: tuple[str, ...]
    """Everything that was inferred, in words."""


class _Interval(NamedTuple):
    start_ms: int
    end_ms: int


class _Shift(NamedTuple):
    start_ms: int
    end_ms: int
    breaks: tuple[_Interval, ...]

    @property
    def staffed_ms(self) -> int:
        return self.end_ms - self.start_ms - sum(pause.end_ms - pause.start_ms for pause in self.breaks)


class Patience:
    """How long callers are ready to wait: the Kaplan-Meier curve of a log, with an exponential tail.

    Those who were answered would have waited longer than they did: their waits are censored (Kaplan & Meier 1958).
    Beyond the last hang-up, the rate is that of the log as a whole: abandoned calls / time waited.
    """

    def __init__(self, waits_ms: Sequence[int], *, abandoned: Sequence[bool]) -> None:
        waits = np.asarray(waits_ms, dtype=np.float64)
        hang_ups = np.sort(waits[np.asarray(abandoned, dtype=np.bool_)])
        self._steps_ms: NDArray[np.floating] = np.unique(hang_ups)
        at_risk = len(waits) - np.searchsorted(np.sort(waits), self._steps_ms, side="left")
        events = np.searchsorted(hang_ups, self._steps_ms, side="right") - np.searchsorted(hang_ups, self._steps_ms)
        self._surviving: NDArray[np.floating] = np.cumprod(1 - events / at_risk)
        self._tail_mean_ms = float(waits.sum() / max(1, len(hang_ups)))

    def survival(self, wait_ms: float) -> float:
        """The share of callers who are ready to wait longer than *wait_ms*, by the curve without its tail."""
        steps = int(np.searchsorted(self._steps_ms, wait_ms, side="right"))
        return float(self._surviving[steps - 1]) if steps else 1.0

    def draw_ms(self, wait_ms: int, uniform: float) -> int | None:
        """The patience of a caller who has waited for *wait_ms* already, always larger than that.

        Args:
            wait_ms: How long the caller is known to have waited.
            uniform: A number in (0, 1], the chance to be at least as patient as the result.

        Returns:
            The patience; None where nobody ever hung up.
        """
        if not len(self._steps_ms):
            return None
        last_ms = float(self._steps_ms[-1])
        target = self.survival(wait_ms) * uniform
        if wait_ms < last_ms and target >= self._surviving[-1]:
            step = int(np.searchsorted(-self._surviving, -target, side="left"))
            return max(wait_ms + 1, int(self._steps_ms[step]))
        # Past the last step: what is left of the draw, given that the caller has come so far.
        left = target / float(self._surviving[-1]) if wait_ms < last_ms else uniform
        return max(wait_ms + 1, round(max(wait_ms, last_ms) - self._tail_mean_ms * math.log(left)))


def infer(
    calls: Sequence[LoggedCall],
    mapping: LogMapping,
    *,
    rules: InferenceRules | None = None,
    policy: ReplayPolicy | None = None,
    days: Collection[date] | None = None,
) -> InferredLog:
    """Complete a log so that it can be replayed.

    Args:
        calls: The offered calls of the whole log, by arrival; skills, owners and patience are learnt from all of it.
        mapping: Names the site and its time zone.
        rules: How to infer; None: the defaults.
        policy: What to try; None: owners are asked first and nobody waits for them.
        days: Local days to replay; None: all. The shifts of agents are cut to them at the start.

    Raises:
        CallLogError: No answered call names an agent, so that nobody could be put on shift; or no call arrived on
            the chosen days.
    """
    rules = rules or InferenceRules()
    policy = policy or ReplayPolicy()
    services = _services_by_agent(calls)
    if not services:
        message = "no answered call names an agent, so nobody can be put on shift"
        raise CallLogError([Problem(f"log of {mapping.name}", "columns.agent_id", message)])
    zone = ZoneInfo(mapping.time_zone)
    chosen = [call for call in calls if days is None or _day_of(call.arrived_ms, zone) in days]
    if not chosen:
        raise CallLogError([Problem(f"log of {mapping.name}", "", "no call arrived on the days to be replayed")])

    skills = _skills_by_agent(calls, rules)
    hours = _Hours(calls, services, skills, rules)
    ownerships = _ownerships_by_client(calls, rules)
    owners = {client_id: owned.owner for client_id, owned in ownerships.items() if owned.owner is not None}
    shifts = {agent: _shifts_on(shifts, days, zone) for agent, shifts in hours.shifts.items()}
    completion = _Completion(calls, rules)
    return InferredLog(
        organisation=_organisation(calls, mapping, policy, skills, ownerships, hours.wrap_up_s),
        callers=tuple(completion.caller(call, policy) for call in chosen),
        presence=_presence(shifts),
        owners=owners,
        logged=tuple(_logged_result(call, owners, shifts) for call in chosen),
        busy_ms=sum(call.service_ms for call in chosen),
        staffed_ms=sum(shift.staffed_ms for each in shifts.values() for shift in each),
        notes=_notes(calls, rules, policy, hours, skills, ownerships),
    )


# Agents: services, skills, hours


def _services_by_agent(calls: Iterable[LoggedCall]) -> dict[AgentId, list[_Interval]]:
    """When each agent was talking, overlapping services merged, by time."""
    services: defaultdict[AgentId, list[_Interval]] = defaultdict(list)
    for call in calls:
        if call.agent_id is not None:
            services[call.agent_id].append(_Interval(call.left_ms, call.left_ms + call.service_ms))
    return {agent: _merged(services[agent]) for agent in sorted(services)}


def _merged(intervals: Iterable[_Interval]) -> list[_Interval]:
    merged: list[_Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start_ms <= merged[-1].end_ms:
            merged[-1] = _Interval(merged[-1].start_ms, max(merged[-1].end_ms, interval.end_ms))
        else:
            merged.append(interval)
    return merged


def _skills_by_agent(calls: Iterable[LoggedCall], rules: InferenceRules) -> dict[AgentId, frozenset[str]]:
    """Kinds of call that each agent takes. A kind that nobody served often is kept by those who served it most."""
    counts: defaultdict[AgentId, Counter[str]] = defaultdict(Counter)
    for call in calls:
        if call.agent_id is not None:
            counts[call.agent_id][call.kind] += 1
    most = {kind: max(count[kind] for count in counts.values()) for count in counts.values() for kind in count}
    return {
        agent: frozenset(
            kind
            for kind, served in counts[agent].items()
            if served >= rules.skill_calls_min
            or served >= rules.skill_share_min * counts[agent].total()
            or served == most[kind]
        )
        for agent in sorted(counts)
    }


class _Hours:
    """When agents were on shift, in breaks and in wrap-up, told by the queue. See the head of the module."""

    def __init__(
        self,
        calls: Sequence[LoggedCall],
        services: dict[AgentId, list[_Interval]],
        skills: dict[AgentId, frozenset[str]],
        rules: InferenceRules,
    ) -> None:
        self._waiting_ms = round(1_000 * rules.waiting_s)
        self._pause_ms_max = round(1_000 * rules.pause_s_max)
        self._shift_gap_ms = round(1_000 * rules.shift_gap_s)
        self._waited = [call for call in calls if self._waiting_ms < call.wait_ms <= _EVIDENCE_WAIT_MS_MAX]
        self._waited_from_ms = [call.arrived_ms for call in self._waited]
        self._longest_wait_ms = max((call.wait_ms for call in self._waited), default=0)
        self.pauses_ms: list[int] = []
        """Absences after calls at whose end somebody waited, breaks left out."""
        self.shifts = {agent: self._shifts_of(services[agent], skills[agent]) for agent in services}
        self.wrap_up_s = min(_WRAP_UP_S_MAX, round(sum(self.pauses_ms) / (1_000 * max(1, len(self.pauses_ms)))))
        if rules.breaks_in_full:
            self._lengthen_breaks(services)

    def _shifts_of(self, services: Sequence[_Interval], skills: frozenset[str]) -> tuple[_Shift, ...]:
        shifts: list[_Shift] = []
        start_ms, breaks = services[0].start_ms, list[_Interval]()
        for before, after in pairwise(services):
            gap = _Interval(before.end_ms, after.start_ms)
            if gap.end_ms - gap.start_ms > self._shift_gap_ms:
                shifts.append(_Shift(start_ms, gap.start_ms, tuple(breaks)))
                start_ms, breaks = gap.end_ms, []
                continue
            absent_ms, queue_at_start = self._absence(gap, skills)
            if absent_ms > self._pause_ms_max:
                breaks.append(_Interval(gap.start_ms, gap.start_ms + absent_ms))
            elif queue_at_start:
                self.pauses_ms.append(absent_ms)
        shifts.append(_Shift(start_ms, services[-1].end_ms, tuple(breaks)))
        return tuple(shift for shift in shifts if shift.end_ms > shift.start_ms)

    def _absence(self, gap: _Interval, skills: frozenset[str]) -> tuple[int, bool]:
        """How long after the start of the gap the agent was still away, and whether somebody waited at its start."""
        first = bisect_left(self._waited_from_ms, gap.start_ms - self._longest_wait_ms)
        last = bisect_left(self._waited_from_ms, gap.end_ms)
        absent_ms, queue_at_start = 0, False
        for call in self._waited[first:last]:
            if call.kind not in skills:
                continue
            evident_from_ms = call.arrived_ms + self._waiting_ms
            evident_until_ms = min(call.left_ms, gap.end_ms)
            if evident_until_ms > max(evident_from_ms, gap.start_ms):
                absent_ms = max(absent_ms, evident_until_ms - gap.start_ms)
            queue_at_start |= evident_from_ms <= gap.start_ms < call.left_ms
        return absent_ms, queue_at_start

    def _lengthen_breaks(self, services: dict[AgentId, list[_Interval]]) -> None:
        """Add to each break what a call in progress is expected to eat of it.

        With probability ``busy`` the agent is talking as the break begins. The rest of that talk has the density
        (1 - F(u)) / E[S] (renewal theory), so of a break of length L it eats E[S^2 - max(S - L, 0)^2] / (2 E[S]).
        """
        talks_ms = np.array(
            [talk.end_ms - talk.start_ms for each in services.values() for talk in each], dtype=np.float64
        )
        staffed_ms = sum(shift.staffed_ms for each in self.shifts.values() for shift in each)
        if not talks_ms.sum() or not staffed_ms:
            return
        busy = min(1.0, talks_ms.sum() / staffed_ms)

        def lengthened(pause: _Interval) -> _Interval:
            beyond = np.maximum(talks_ms - (pause.end_ms - pause.start_ms), 0)
            eaten_ms = busy * (talks_ms**2 - beyond**2).sum() / (2 * talks_ms.sum())
            return _Interval(pause.start_ms, pause.end_ms + round(eaten_ms))

        for agent, shifts in self.shifts.items():
            self.shifts[agent] = tuple(_with_breaks(shift, map(lengthened, shift.breaks)) for shift in shifts)


def _with_breaks(shift: _Shift, breaks: Iterable[_Interval]) -> _Shift:
    """The shift with these breaks, merged where they overlap; one that reaches the end ends the shift."""
    merged = _merged(breaks)
    if merged and merged[-1].end_ms >= shift.end_ms:
        return _Shift(shift.start_ms, merged[-1].start_ms, tuple(merged[:-1]))
    return _Shift(shift.start_ms, shift.end_ms, tuple(merged))


def _shifts_on(shifts: Iterable[_Shift], days: Collection[date] | None, zone: ZoneInfo) -> tuple[_Shift, ...]:
    """The shifts, cut to begin on the chosen days. A shift keeps its end, even past midnight."""
    if days is None:
        return tuple(shifts)
    kept: list[_Shift] = []
    for shift in shifts:
        if _day_of(shift.start_ms, zone) in days:
            kept.append(shift)
        elif (last_day := _day_of(shift.end_ms, zone)) in days:
            midnight = datetime(last_day.year, last_day.month, last_day.day, tzinfo=zone)
            start_ms = round(1_000 * midnight.timestamp())
            breaks = (_Interval(max(start_ms, pause.start_ms), pause.end_ms) for pause in shift.breaks)
            kept.append(_Shift(start_ms, shift.end_ms, tuple(pause for pause in breaks if pause.end_ms > start_ms)))
    return tuple(shift for shift in kept if shift.end_ms > shift.start_ms)


def _presence(shifts: dict[AgentId, tuple[_Shift, ...]]) -> tuple[tuple[int, AgentEvent], ...]:
    presence: list[tuple[int, AgentEvent]] = []
    for agent_id, each in shifts.items():
        for shift in each:
            presence.append((shift.start_ms, AgentSignedIn(agent_id=agent_id)))
            presence.append((shift.start_ms, AgentReady(agent_id=agent_id)))
            for pause in shift.breaks:
                presence.append((pause.start_ms, AgentNotReady(agent_id=agent_id)))
                presence.append((pause.end_ms, AgentReady(agent_id=agent_id)))
            presence.append((shift.end_ms, AgentSignedOut(agent_id=agent_id)))
    # The sort is stable, so that the events of one agent at one moment stay in order.
    return tuple(sorted(presence, key=lambda entry: (entry[0], entry[1].agent_id)))


# Clients, callers


def _ownerships_by_client(calls: Iterable[LoggedCall], rules: InferenceRules) -> dict[ClientId, Ownership]:
    """For every identified client: the agents who served it, most often first, ties to the earliest."""
    served: defaultdict[ClientId, Counter[AgentId]] = defaultdict(Counter)
    for call in calls:
        if call.client_id is not None:
            # The counter keeps the order of first service, and `most_common` keeps it among equals.
            served[call.client_id].update([call.agent_id] if call.agent_id is not None else [])
    ownerships: dict[ClientId, Ownership] = {}
    for client_id in sorted(served):
        ranked = served[client_id].most_common(1 + rules.backups_max)
        owned = ranked and ranked[0][1] >= rules.owner_calls_min
        agents = [agent for agent, _ in ranked] if owned else []
        ownerships[client_id] = Ownership(owner=agents[0] if agents else None, backups=tuple(agents[1:]))
    return ownerships


class _Completion:
    """Settles what the log leaves open of each caller: patience, and service of those who were not served."""

    def __init__(self, calls: Sequence[LoggedCall], rules: InferenceRules) -> None:
        self._seed = rules.seed
        by_kind: defaultdict[str, list[LoggedCall]] = defaultdict(list)
        for call in calls:
            by_kind[call.kind].append(call)
        self._patience_of_all = _patience(calls)
        self._patience = {
            kind: _patience(each)
            for kind, each in by_kind.items()
            if sum(not call.answered for call in each) >= rules.patience_events_min
        }
        self._services_of_all = sorted(call.service_ms for call in calls if call.answered)
        self._services = {
            kind: sorted(call.service_ms for call in each if call.answered) for kind, each in by_kind.items()
        }

    def caller(self, call: LoggedCall, policy: ReplayPolicy) -> Caller:
        event = CallArrived(
            call_id=call.call_id,
            client_id=call.client_id,
            portfolio_id=PortfolioId(call.kind),
            head_start_s=call.head_start_s if policy.head_starts else 0,
        )
        return Caller(call.arrived_ms, event, self._patience_ms(call), self._service_ms(call))

    def _patience_ms(self, call: LoggedCall) -> int | None:
        if not call.answered:
            return call.wait_ms
        patience = self._patience.get(call.kind, self._patience_of_all)
        return patience.draw_ms(call.wait_ms, 1 - self._uniform("patience", call))

    def _service_ms(self, call: LoggedCall) -> int:
        if call.answered:
            return call.service_ms
        services = self._services[call.kind] or self._services_of_all
        return services[int(self._uniform("service", call) * len(services))]

    def _uniform(self, what: str, call: LoggedCall) -> float:
        """A number in [0, 1) that depends on nothing but seed, purpose and call."""
        digest = blake2b(f"{self._seed}/{what}/{call.call_id}".encode(), digest_size=6).digest()
        return int.from_bytes(digest) / 2**48


def _patience(calls: Sequence[LoggedCall]) -> Patience:
    return Patience([call.wait_ms for call in calls], abandoned=[not call.answered for call in calls])


def _logged_result(
    call: LoggedCall, owners: dict[ClientId, AgentId], shifts: dict[AgentId, tuple[_Shift, ...]]
) -> CallResult:
    owner = owners.get(call.client_id) if call.client_id is not None else None
    return CallResult(
        kind=call.kind,
        wait_ms=call.wait_ms,
        answered=call.answered,
        by_owner=owner is not None and call.agent_id == owner,
        has_owner=owner is not None,
        owner_on_shift=owner is not None and _is_on_shift(shifts[owner], call.arrived_ms),
        service_ms=call.service_ms,
    )


def _is_on_shift(shifts: Sequence[_Shift], at_ms: int) -> bool:
    before = bisect_right(shifts, at_ms, key=lambda shift: shift.start_ms)
    return before > 0 and at_ms < shifts[before - 1].end_ms


def _day_of(at_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).astimezone(zone).date()


# The organisation, and all of it in words


def _organisation(
    calls: Sequence[LoggedCall],
    mapping: LogMapping,
    policy: ReplayPolicy,
    skills: dict[AgentId, frozenset[str]],
    ownerships: dict[ClientId, Ownership],
    wrap_up_s: int,
) -> OrganisationDescription:
    """One site, supplier and team; a portfolio and a skill for each kind of call."""
    where = f"inferred from the log of {mapping.name}"
    site_id, supplier_id, team_id = SiteId(mapping.name), SupplierId(mapping.name), TeamId(mapping.name)
    kinds = Counter(call.kind for call in calls)
    held = frozenset[str]().union(*skills.values())
    longest_service_s = max(call.service_ms for call in calls) // 1_000
    team = Team(
        team_id=team_id,
        site_id=site_id,
        supplier_id=supplier_id,
        own_first=policy.own_first,
        wrap_up_s=wrap_up_s,
        # No recorded call may be taken for one whose end was not reported.
        talk_lease_s=min(_TALK_LEASE_S_MAX, max(7_200, 2 * longest_service_s)),
        where=where,
    )
    portfolios = tuple(
        Portfolio(
            portfolio_id=PortfolioId(kind),
            teams=(Link(team_id),),
            # A kind that nobody known ever served may go to anyone, or it could not be replayed at all.
            skills=(SkillNeed(Skill(kind)),) if kind in held else (),
            owner_mode=policy.owner_mode,
            owner_wait=policy.owner_wait,
            owner_wait_s=policy.owner_wait_s,
            owner_worth_s=policy.owner_worth_s,
            hang_up_cost_s=policy.hang_up_cost_s,
            max_wait_s=None,
            time_zone=mapping.time_zone,
            where=where,
        )
        for kind in sorted(kinds)
    )
    agents = tuple(
        Agent(agent_id=agent, team_id=team_id, skills={Skill(kind): 1 for kind in sorted(each)}, where=where)
        for agent, each in skills.items()
    )
    clients = tuple(
        Client(
            client_id=client_id, ownerships=(owned,) if policy.owners and owned.owner is not None else (), where=where
        )
        for client_id, owned in ownerships.items()
    )
    return OrganisationDescription(
        sites=(Site(site_id=site_id, country=mapping.country, time_zone=mapping.time_zone, where=where),),
        suppliers=(Supplier(supplier_id=supplier_id, where=where),),
        skills=tuple(Skill(kind) for kind in sorted(held)),
        teams=(team,),
        portfolios=portfolios,
        agents=agents,
        clients=clients,
        default_portfolio=PortfolioId(kinds.most_common(1)[0][0]),
        where=where,
    )


def _notes(
    calls: Sequence[LoggedCall],
    rules: InferenceRules,
    policy: ReplayPolicy,
    hours: _Hours,
    skills: dict[AgentId, frozenset[str]],
    ownerships: dict[ClientId, Ownership],
) -> tuple[str, ...]:
    shifts = [shift for each in hours.shifts.values() for shift in each]
    breaks = sum(len(shift.breaks) for shift in shifts)
    nameless = sum(call.answered and call.agent_id is None for call in calls)
    abandoned = sum(not call.answered for call in calls)
    owned = sum(each.owner is not None for each in ownerships.values())
    owner_use = "" if policy.owners else " Not used by this policy."
    breaks_made_longer = " Made longer by what a call in progress is expected to eat." if rules.breaks_in_full else ""
    return (
        f"Hours: the log has no log-ins. {len(shifts)} shifts of {len(skills)} agents run from a first to a last "
        f"service, a new one after a gap of more than {rules.shift_gap_s:g} s.",
        f"Breaks: {breaks} gaps between two services, taken for breaks until the last moment at which a call that the "
        f"agent could take had waited for over {rules.waiting_s:g} s, where that is more than {rules.pause_s_max:g} s."
        + breaks_made_longer,
        f"Wrap-up: the log has none. {hours.wrap_up_s} s, the mean of {len(hours.pauses_ms)} shorter gaps at whose "
        "start somebody waited.",
        f"Skills: kinds of call that the agent served at least {rules.skill_calls_min} times, or in at least "
        f"{100 * rules.skill_share_min:g} % of the agent's calls.",
        f"Owners: imputed for {owned} of {len(ownerships)} identified clients: the agent who served the client most "
        f"often in this log, at least {rules.owner_calls_min} times, with at most {rules.backups_max} backups. "
        "In-sample: owners are learnt from the very calls that are replayed, so the log's own owner share is high by "
        f"construction; compare replays with each other.{owner_use}",
        f"Patience: as observed for the {abandoned} calls that abandoned; for the others drawn from the Kaplan-Meier "
        "curve of their kind, beyond the wait that they are known to have borne. Kinds with fewer than "
        f"{rules.patience_events_min} abandoned calls share the curve of all.",
        "Service: as recorded; for calls that abandoned, drawn from the answered calls of their kind. "
        f"{nameless} answered calls without an agent are kept.",
        "Head starts: as declared for the priorities of the log." if policy.head_starts else "Head starts: none.",
    )
