"""What is wrong with a roster before it is published.

A roster, see `router.roster_files`, is checked against the
organisation and its calendar as they are, so a roster that was sound may not be so after either has changed.

Seats are checked to the minute and reported by quarter hour; who is there and what is open are looked at by whole
quarters.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from router.core.errors import Problem
from router.core.model import AgentId, Client, Ownership, PortfolioId, SiteId
from router.core.organisation import Organisation
from router.planning.quarters import QUARTER_MS, Quarters, quarter_in_words
from router.reports.graph import Staff
from router.roster_files import Activity, Roster, Shift, local_ms

__all__ = [
    "Crowd", "OwnersPresent", "RosterReport", "SitePeak", "Unattended", "check_roster",
]  # fmt: skip

_WORST_SHOWN = 20
_FOR_GOOD = (None, None)


class Crowd(Struct, frozen=True, kw_only=True):
    """A quarter hour in which more people need seats than there are."""

    site_id: SiteId
    quarter: str
    """Its beginning in local time: ``2026-10-25 02:15 +0200``."""
    people: int
    """At the fullest moment of the quarter."""
    seats: int
    over: tuple[AgentId, ...]
    """Those who would be refused: the last to come, ties by id."""


class SitePeak(Struct, frozen=True, kw_only=True):
    """How full a site gets."""

    site_id: SiteId
    people: int
    seats: int | None
    quarter: str | None
    """When that is for the first time; None: nobody comes."""


class Unattended(Struct, frozen=True, kw_only=True):
    """Clients whose owner and backups are all away while their portfolio is open."""

    portfolio_id: PortfolioId
    owner: AgentId
    backups: tuple[AgentId, ...]
    clients: int
    quarters: int
    """Open, and nobody of them there."""
    quarters_open: int
    first: str
    """The first of those quarters, in the portfolio's local time."""


class OwnersPresent(Struct, frozen=True, kw_only=True):
    """How often clients would find their owner or a backup at work."""

    clients: int
    """With an owner in the days of the roster."""
    clients_unattended: int
    """Of these, in at least one open quarter hour nobody of theirs is there."""
    client_quarters: int
    """Open quarter hours, summed over the clients."""
    client_quarters_unattended: int
    worst: tuple[Unattended, ...]
    """By the time that clients lose in all, at most 20."""


class RosterReport(Struct, frozen=True, kw_only=True):
    """What is wrong with a roster. Equal rosters of equal organisations give equal reports."""

    first_day: date | None
    last_day: date | None
    agents: int
    shifts: int
    problems: tuple[Problem, ...]
    """Mistakes by row: a roster with one must not be published."""
    crowds: tuple[Crowd, ...]
    """By site and time. Nor one with these."""
    warnings: tuple[Problem, ...]
    peaks: tuple[SitePeak, ...]
    owners: OwnersPresent

    @property
    def is_sound(self) -> bool:
        return not self.problems and not self.crowds


# --- Checking ------------------------------------------------------------------------------------------------------


def check_roster(organisation: Organisation, roster: Roster) -> RosterReport:
    """What is wrong with the roster, and what a planner should know of it."""
    shifts = roster.shifts
    days = [shift.day for shift in shifts]
    first, last = (min(days), max(days)) if days else (None, None)
    quarters = Quarters.of_days(first, last) if first and last else Quarters(0, 0)
    opened = _Opened(organisation, quarters)
    crowds, peaks = _seats(organisation, shifts)
    closed, partly = _at_closed_doors(shifts, quarters, opened)
    return RosterReport(
        first_day=first,
        last_day=last,
        agents=len({shift.agent.agent_id for shift in shifts}),
        shifts=len(shifts),
        problems=(*roster.problems, *closed),
        crowds=crowds,
        warnings=(*roster.warnings, *partly, *_calendars_that_end(organisation, last)),
        peaks=peaks,
        owners=_owners_present(organisation, shifts, opened, first, last),
    )


class _Opened:
    """In which quarters portfolios are open, and in which an agent has any that is."""

    def __init__(self, organisation: Organisation, quarters: Quarters) -> None:
        self.quarters = quarters
        masks: dict[object, int] = {}
        self.portfolios: dict[PortfolioId, int] = {}
        for portfolio_id, portfolio in organisation.portfolios.items():
            key = (portfolio.hours, portfolio.closed_on, portfolio.time_zone)
            if key not in masks:
                masks[key] = quarters.open(organisation.hours[portfolio_id])
            self.portfolios[portfolio_id] = masks[key]
        staff = Staff(organisation)
        by_group: defaultdict[object, int] = defaultdict(int)
        for portfolio_id, plan in staff.plans.items():
            for group in plan.ring_of:
                by_group[group] |= self.portfolios[portfolio_id]
        self.agents = {agent_id: by_group.get(group) for agent_id, group in staff.group_of.items()}
        """None: no portfolio's calls come to the agent, so that there are no hours to keep to."""


def _seats(organisation: Organisation, shifts: Sequence[Shift]) -> tuple[tuple[Crowd, ...], tuple[SitePeak, ...]]:
    by_site: defaultdict[SiteId, list[Shift]] = defaultdict(list)
    for shift in shifts:
        if shift.takes_seat:
            by_site[shift.site.site_id].append(shift)
    crowds: list[Crowd] = []
    peaks = []
    for site_id in sorted(organisation.sites):
        site = organisation.sites[site_id]
        zone = ZoneInfo(site.time_zone)
        fullest: dict[int, list[AgentId]] = {}
        most, most_at = 0, None
        for at_ms, until_ms, people in _spells(by_site[site_id]):
            if len(people) > most:
                most, most_at = len(people), at_ms // QUARTER_MS * QUARTER_MS
            if site.seats is not None and len(people) > site.seats:
                for quarter_ms in range(at_ms // QUARTER_MS * QUARTER_MS, until_ms, QUARTER_MS):
                    if len(people) > len(fullest.get(quarter_ms, ())):
                        fullest[quarter_ms] = people
        crowds += (
            Crowd(
                site_id=site_id,
                quarter=quarter_in_words(quarter_ms, zone),
                people=len(people),
                seats=site.seats or 0,
                over=tuple(people[site.seats or 0 :]),
            )
            for quarter_ms, people in sorted(fullest.items())
        )
        quarter = None if most_at is None else quarter_in_words(most_at, zone)
        peaks.append(SitePeak(site_id=site_id, people=most, seats=site.seats, quarter=quarter))
    return tuple(crowds), tuple(peaks)


def _spells(shifts: Iterable[Shift]) -> Iterator[tuple[int, int, list[AgentId]]]:
    """(from, until, who is there in the order of coming) between one coming or going and the next."""
    edges: defaultdict[int, tuple[list[Shift], list[Shift]]] = defaultdict(lambda: ([], []))
    for shift in shifts:
        edges[shift.from_ms][0].append(shift)
        edges[shift.until_ms][1].append(shift)
    there: list[Shift] = []
    for at_ms, until_ms in pairwise(sorted(edges)):
        coming, going = edges[at_ms]
        gone = set(map(id, going))
        there = [shift for shift in there if id(shift) not in gone]
        there += sorted(coming, key=lambda shift: shift.agent.agent_id)
        if there:
            # Once each: of two shifts that overlap one is a mistake, which is reported as such.
            yield at_ms, until_ms, list(dict.fromkeys(shift.agent.agent_id for shift in there))


def _at_closed_doors(
    shifts: Iterable[Shift], quarters: Quarters, opened: _Opened
) -> tuple[list[Problem], list[Problem]]:
    """Shifts in which nothing can be done, and those that are partly so."""
    closed: list[Problem] = []
    partly: list[Problem] = []
    for shift in shifts:
        who = f"agent {shift.agent.agent_id}"
        if shift.activity is not Activity.HOME:
            days = [day for day in _days(shift) if day in shift.site.closed_on]
            if days:
                message = f"site {shift.site.site_id} is closed on {days[0]}: {who} cannot work there"
                closed.append(Problem(shift.where, "day", message))
                continue
        if not shift.takes_calls:
            continue
        open_to_agent = opened.agents[shift.agent.agent_id]
        at_work = quarters.touched(shift.from_ms, shift.until_ms)
        if open_to_agent is None or at_work & ~open_to_agent == 0:
            continue
        idle = (at_work & ~open_to_agent).bit_count()
        if at_work & open_to_agent == 0:
            message = f"no portfolio that {who} serves is open during this shift on {shift.day}"
            closed.append(Problem(shift.where, "day", message))
        else:
            message = f"no portfolio that {who} serves is open in {idle} quarter hours of this shift on {shift.day}"
            partly.append(Problem(shift.where, "starts", message))
    return closed, partly


def _days(shift: Shift) -> Iterator[date]:
    """The local days of which the shift has a part."""
    zone = ZoneInfo(shift.site.time_zone)
    last = datetime.fromtimestamp((shift.until_ms - 1) // 1000, zone).date()
    day = shift.day
    while day <= last:
        yield day
        day += timedelta(days=1)


def _calendars_that_end(organisation: Organisation, last: date | None) -> Iterator[Problem]:
    """Sites and portfolios that have closed days, but none in the year of the roster: their calendar has run out."""
    if last is None:
        return
    for site in organisation.sites.values():
        yield from _ends(f"site {site.site_id}", site.where, site.closed_on, last)
    seen = set()
    for portfolio in organisation.portfolios.values():
        if portfolio.closed_on not in seen:
            seen.add(portfolio.closed_on)
            yield from _ends(f"portfolio {portfolio.portfolio_id}", portfolio.where, portfolio.closed_on, last)


def _ends(what: str, where: str, closed_on: Sequence[date], last: date) -> Iterator[Problem]:
    if closed_on and max(closed_on).year < last.year:
        message = f"{what} has no closed day after {max(closed_on)}: raise last_year of its calendar"
        yield Problem(where, "closed_on", message)


# --- Owners and their backups --------------------------------------------------------------------------------------


class _People(NamedTuple):
    """Whom some clients of a portfolio belong to, and since and until when."""

    portfolio_id: PortfolioId
    owner: AgentId
    backups: tuple[AgentId, ...]
    days: tuple[date | None, date | None]


def _owners_present(
    organisation: Organisation, shifts: Iterable[Shift], opened: _Opened, first: date | None, last: date | None
) -> OwnersPresent:
    quarters = opened.quarters
    there: defaultdict[AgentId, int] = defaultdict(int)
    for shift in shifts:
        if shift.takes_calls:
            there[shift.agent.agent_id] |= quarters.within(shift.from_ms, shift.until_ms)
    periods = {}
    if first is not None and last is not None:
        periods = {
            portfolio_id: opened.portfolios[portfolio_id] & quarters.days(first, last, ZoneInfo(portfolio.time_zone))
            for portfolio_id, portfolio in organisation.portfolios.items()
        }
    found: list[tuple[int, _People, int, int]] = []
    client_quarters = lost = 0
    for people, clients in sorted(_clients_by_people(organisation), key=lambda entry: _order(entry[0])):
        valid = periods.get(people.portfolio_id, 0) & _valid(people.days, quarters)
        somebody = there[people.owner]
        for backup in people.backups:
            somebody |= there[backup]
        missing = valid & ~somebody
        client_quarters += clients * valid.bit_count()
        lost += clients * missing.bit_count()
        if valid:
            found.append((clients, people, missing, valid))
    found.sort(key=lambda entry: (-entry[0] * entry[2].bit_count(), _order(entry[1])))
    return OwnersPresent(
        clients=_count(organisation, {people for _, people, _, _ in found}),
        clients_unattended=_count(organisation, {people for _, people, missing, _ in found if missing}),
        client_quarters=client_quarters,
        client_quarters_unattended=lost,
        worst=tuple(
            Unattended(
                portfolio_id=people.portfolio_id,
                owner=people.owner,
                backups=people.backups,
                clients=clients,
                quarters=missing.bit_count(),
                quarters_open=valid.bit_count(),
                first=quarter_in_words(
                    quarters.begin_ms((missing & -missing).bit_length() - 1),
                    ZoneInfo(organisation.portfolios[people.portfolio_id].time_zone),
                ),
            )
            for clients, people, missing, valid in found[:_WORST_SHOWN]
            if missing
        ),
    )


def _order(people: _People) -> tuple[str, ...]:
    return (people.portfolio_id, people.owner, *people.backups, *map(str, people.days))


def _people(client: Client, ownership: Ownership, default: PortfolioId) -> _People | None:
    if ownership.owner is None:
        return None
    days = (ownership.valid_from, ownership.valid_until)
    return _People(client.portfolio_id or default, ownership.owner, ownership.backups, days)


def _clients_by_people(organisation: Organisation) -> list[tuple[_People, int]]:
    default = organisation.default_portfolio
    counts: Counter[_People | None] = Counter(
        _people(client, ownership, default)
        for client in organisation.description.clients
        for ownership in client.ownerships
    )
    return [(people, count) for people, count in counts.items() if people is not None]


def _count(organisation: Organisation, chosen: set[_People]) -> int:
    """Clients, each once, who belong to any of *chosen* at some time."""
    default = organisation.default_portfolio
    return sum(
        any(_people(client, ownership, default) in chosen for ownership in client.ownerships)
        for client in organisation.description.clients
    )


def _valid(days: tuple[date | None, date | None], quarters: Quarters) -> int:
    """The quarters in which such an ownership holds: whole days by UTC, as the engine looks at them."""
    valid_from, valid_until = days
    everything = (1 << quarters.length) - 1
    if days == _FOR_GOOD:
        return everything
    utc = ZoneInfo("UTC")
    from_ms = local_ms(valid_from, time(), utc) if valid_from else quarters.start_ms
    until_ms = local_ms(valid_until, time(), utc) if valid_until else quarters.begin_ms(quarters.length)
    return quarters.within(from_ms, until_ms)
