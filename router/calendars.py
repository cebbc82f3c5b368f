"""Holidays by name, written out as days when an organisation is read.

A calendar names the country whose public holidays it has; what those are is known to the library `holidays`. Only days
go on from here, into the organisation and its journal, so that neither the engine nor a replay depends on the library,
or on what its next version knows.
"""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from router.core.model import Country, Hours, Id
from router.reading import Note

__all__ = ["Calendar", "SharedHours", "days_of", "yearly"]

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
