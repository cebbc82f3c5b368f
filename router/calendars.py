"""Holidays by name, written out as days when an organisation is read.

A calendar names the country whose public holidays it has; what those are is known to the library `holidays`. Only days
go on from here, into the organisation and its journal, so that neither the engine nor a replay depends on the library,
or on what its next version knows.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from msgspec import Meta, Struct, structs

from router.core.errors import Problem
from router.core.model import Country, Hours, Id, Portfolio, Site
from router.reading import DayOfYear, Note, nearest, noter, shown

__all__ = ["Calendar", "Calendars", "SharedHours", "SiteRow", "days_of", "yearly"]

Year = Annotated[int, Meta(ge=1970, le=2100)]


class Calendar(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Days on which work rests, from the first day of ``first_year`` to the last of ``last_year``."""

    calendar_id: Annotated[str, Id]
    first_year: Year
    last_year: Year
    """No later day is a holiday: keep this ahead of the plans that are made."""
    country: Country | None = None
    """Whose public holidays it has; None: only the days in ``add``."""
    subdivision: Annotated[str, Id] | None = None
    """A part of the country with holidays of its own, by its ISO 3166-2 code, such as BY for Bavaria."""
    add: tuple[date, ...] = ()
    leave_out: tuple[date, ...] = ()
    """Days that are no holidays here after all."""
    where: str = ""


class SharedHours(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Opening hours with a name, which portfolios may share; each reads them in its own time zone."""

    hours_id: Annotated[str, Id]
    open: tuple[Hours, ...] = ()
    """Empty: round the clock."""
    calendar: Annotated[str, Id] | None = None
    """Closed on its holidays; None: on none."""
    closed_on: tuple[date, ...] = ()
    where: str = ""


class SiteRow(Site, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A site as written in a file."""

    calendar: Annotated[str, Id] | None = None
    """The site is closed on its holidays."""
    patron_day: DayOfYear | None = None
    """And on this day of each of the calendar's years."""


class Calendars:
    """Calendars and shared hours by their names, and what it means to name one."""

    def __init__(self, calendars: Iterable[Calendar], hours: Iterable[SharedHours], problems: list[Problem]) -> None:
        self._problems = problems
        self._calendars: dict[str, Calendar] = {}
        self._days: dict[str, frozenset[date]] = {}
        self._hours: dict[str, SharedHours] = {}
        for calendar in calendars:
            note = noter(problems, calendar.where)
            if calendar.calendar_id in self._calendars:
                first = self._calendars[calendar.calendar_id].where
                note("calendar_id", f"{calendar.calendar_id!r} stands twice, first in {first}")
            self._calendars[calendar.calendar_id] = calendar
            self._days[calendar.calendar_id] = days_of(calendar, note)
        for shared in hours:
            note = noter(problems, shared.where)
            if shared.hours_id in self._hours:
                note("hours_id", f"{shared.hours_id!r} stands twice, first in {self._hours[shared.hours_id].where}")
            closed_on = {*shared.closed_on, *self._holidays(shared.calendar, note)}
            self._hours[shared.hours_id] = structs.replace(shared, closed_on=tuple(sorted(closed_on)))

    def site(self, row: SiteRow) -> Site:
        """The site with its calendar's days written out."""
        note = noter(self._problems, row.where)
        closed_on = {*row.closed_on, *self._holidays(row.calendar, note)}
        if row.patron_day is not None:
            if row.calendar is None:
                note("patron_day", "needs a calendar, whose years it is written out for: name one in calendar")
            elif row.calendar in self._calendars:
                try:
                    closed_on.update(yearly(row.patron_day, self._calendars[row.calendar]))
                except ValueError:
                    note("patron_day", f"no year has the day {row.patron_day!r}; write month and day, such as '06-10'")
        fields = {name: getattr(row, name) for name in Site.__struct_fields__}
        return Site(**fields | {"closed_on": tuple(sorted(closed_on))})

    def portfolio(self, row: Portfolio, hours_id: str | None) -> Portfolio:
        """The portfolio with the hours that it names. Days on which it alone is closed come on top."""
        if hours_id is None:
            return row
        shared = self._hours.get(hours_id)
        if shared is None:
            hint = nearest(hours_id, self._hours) or ": write [[hours]] with this hours_id, or { days, opens, closes }"
            noter(self._problems, row.where)("hours", f"there are no hours {shown(hours_id)}{hint}")
            return row
        return structs.replace(
            row,
            hours=shared.open,
            closed_on=tuple(sorted({*row.closed_on, *shared.closed_on})),
        )

    def _holidays(self, calendar_id: str | None, note: Note) -> frozenset[date]:
        if calendar_id is None:
            return frozenset()
        if calendar_id not in self._days:
            note("calendar", f"there is no calendar {calendar_id!r}" + nearest(calendar_id, self._days))
        return self._days.get(calendar_id, frozenset())


def days_of(calendar: Calendar, note: Note) -> frozenset[date]:
    """The holidays of *calendar*; what cannot be right is noted."""
    years = range(calendar.first_year, calendar.last_year + 1)
    if not years:
        note("last_year", f"{calendar.last_year} is before first_year, {calendar.first_year}")
    for day in calendar.add:
        if years and day.year not in years:
            note("add", f"{day} is not in the years from {calendar.first_year} to {calendar.last_year}")
    days = set(calendar.add) | _public_holidays(calendar, years, note)
    return frozenset(days - set(calendar.leave_out))


def yearly(day: str, calendar: Calendar) -> list[date]:
    """*day*, such as ``06-10``, in every year of *calendar* that has it.

    Raises:
        ValueError: No year has it.
    """
    month, number = map(int, day.split("-"))
    date(2000, month, number)  # A leap year, which has every day that there is.
    days = []
    for year in range(calendar.first_year, calendar.last_year + 1):
        try:
            days.append(date(year, month, number))
        except ValueError:  # 29 February
            continue
    return days


def _public_holidays(calendar: Calendar, years: range, note: Note) -> set[date]:
    if calendar.country is None:
        if calendar.subdivision is not None:
            note("subdivision", "needs the country that it is a part of")
        return set()
    # Not at the top: it takes a tenth of a second, which organisations without calendars need not wait.
    import holidays

    parts = holidays.list_supported_countries().get(calendar.country)
    if parts is None:
        note("country", f"the holidays of {calendar.country} are not known: leave it out, and write the days in add")
        return set()
    if calendar.subdivision is not None and calendar.subdivision not in parts:
        known = ", ".join(parts[:10]) + (" ..." if len(parts) > 10 else "")
        note("subdivision", f"{calendar.subdivision!r} is none of {calendar.country}: there are {known or 'none'}")
        return set()
    return set(holidays.country_holidays(calendar.country, subdiv=calendar.subdivision, years=years))
