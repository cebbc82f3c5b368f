"""Where the agent sits: which countries are inside an area today, what callers are told, and what they asked for.

An area's members are dated, so that the same call is judged alike whenever it is replayed. Requests are counted by
company and local day of the portfolio, as the work under contracts is.
"""

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec import Struct

from router.core.hours import utc_day
from router.core.model import Area, Membership, OrganisationDescription

__all__ = ["PlaceBook", "PlaceDay", "PlaceRecord", "Places", "countries_on"]

_DAY_MS = 86_400_000


def countries_on(area: Area, day: date) -> tuple[str, ...]:
    """The members of the area on a day, sorted."""
    return tuple(
        sorted(
            {
                member.country
                for member in area.members
                if (member.since or date.min) <= day and (member.until is None or day < member.until)
            }
        )
    )


class Places:
    """The place policy of one version of the organisation."""

    __slots__ = ("_areas", "_day", "_inside", "policy")

    def __init__(self, description: OrganisationDescription) -> None:
        self.policy = description.place
        self._areas: Mapping[str, Area] = {area.area_id: area for area in description.areas}
        self._day = -1
        self._inside: tuple[str, ...] = ()

    def inside(self, now_ms: int) -> tuple[str, ...]:
        """The countries in which a caller may ask for an agent, sorted. There must be a policy."""
        assert self.policy is not None, "nobody may ask where there is no policy"
        if now_ms // _DAY_MS != self._day:
            self._day = now_ms // _DAY_MS
            self._inside = countries_on(self._areas[self.policy.area_id], utc_day(now_ms))
        return self._inside

    def is_outside(self, country: str, now_ms: int) -> bool:
        """Whether callers may ask for somebody else than an agent who sits here."""
        return self.policy is not None and country not in self.inside(now_ms)

    def is_always_inside(self, country: str) -> bool:
        """Whether the country belongs to the area without a date."""
        return self.policy is None or Membership(country) in self._areas[self.policy.area_id].members

    def announcement(self, country: str) -> str | None:
        """What to play to a caller whose agent sits here; None: nothing."""
        return None if self.policy is None else self.policy.announcement.replace("{country}", country)


class PlaceDay(Struct, frozen=True, array_like=True, gc=False):
    """What callers of a company asked for on one local day."""

    company: str
    day: date
    asked: int
    """Callers who asked for an agent inside."""
    met: int
    """Of those who asked on this day: put through to one, or speaking to one already."""
    met_ms: int
    """From asking to being put through, of those in all."""
    unmet: int
    """Of those who asked on this day: hung up, or sent elsewhere, before."""
    unannounced: int
    """Conversations that began without the platform's word that the caller was told of the agent's country."""


class PlaceRecord:
    """The counts of `PlaceDay` while they grow."""

    __slots__ = ("asked", "company", "day", "met", "met_ms", "unannounced", "unmet")

    def __init__(self, company: str, day: date) -> None:
        self.company = company
        self.day = day
        self.asked = 0
        self.met = 0
        self.met_ms = 0
        self.unmet = 0
        self.unannounced = 0


class PlaceBook:
    """All companies and days."""

    __slots__ = ("_records",)

    def __init__(self, days: Iterable[PlaceDay] = ()) -> None:
        """Count on from *days*."""
        self._records: dict[tuple[str, date], PlaceRecord] = {}
        for told in days:
            record = self.record(told.company, told.day)
            record.asked = told.asked
            record.met = told.met
            record.met_ms = told.met_ms
            record.unmet = told.unmet
            record.unannounced = told.unannounced

    def record(self, company: str, day: date) -> PlaceRecord:
        record = self._records.get((company, day))
        if record is None:
            record = self._records[company, day] = PlaceRecord(company, day)
        return record

    def days(self) -> tuple[PlaceDay, ...]:
        """By company, then day."""
        return tuple(
            PlaceDay(
                company,
                day,
                record.asked,
                record.met,
                record.met_ms,
                record.unmet,
                record.unannounced,
            )
            for (company, day), record in sorted(self._records.items())
        )
