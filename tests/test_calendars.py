"""Holidays by name: what they are written out as, and what an organisation's files may say about them."""

from datetime import date
from pathlib import Path

import holidays
import pytest

from router.calendars import Calendar, days_of, yearly
from router.core.errors import Problem
from router.core.hours import OpeningHours
from router.core.model import OrganisationDescription, PortfolioId, SiteId
from router.core.organisation import Organisation
from router.organisation_files import load_organisation, read_organisation
from router.pseudonym import Pseudonymiser
from router.settings import load_settings
from router.wire import decode_record, encode_record
from tests.core.test_hours import rome_ms

CONFIG = Path(__file__).parent.parent / "config"
PSEUDONYM = Pseudonymiser(b"k" * 32).of


def calendar(country: str | None = "IT", first: int = 2025, last: int = 2027, **options: object) -> Calendar:
    return Calendar(calendar_id="c", country=country, first_year=first, last_year=last, **options)  # type: ignore[arg-type]


def days(of: Calendar) -> list[str]:
    problems: list[tuple[str, str]] = []
    found = sorted(map(str, days_of(of, lambda field, message: problems.append((field, message)))))
    assert problems == []
    return found


def faults(of: Calendar) -> list[str]:
    problems: list[str] = []
    days_of(of, lambda field, message: problems.append(f"{field}: {message}"))
    return problems


# --- What the days are ---


def test_italian_holidays_are_those_of_the_law() -> None:
    """Sundays apart, on which nobody works anyway: Easter, and the day of national unity in November."""
    weekdays = [day for day in days(calendar(first=2027)) if date.fromisoformat(day).isoweekday() != 7]

    assert weekdays == [
        "2027-01-01", "2027-01-06", "2027-03-29", "2027-05-01", "2027-06-02", "2027-10-04", "2027-11-01",
        "2027-12-08", "2027-12-25",
    ]  # fmt: skip


def test_the_fourth_of_october_is_a_holiday_from_2026_on() -> None:
    """Law 151 of 8 October 2025."""
    found = days(calendar(first=2024, last=2028))

    assert [day for day in found if day.endswith("10-04")] == ["2026-10-04", "2027-10-04", "2028-10-04"]


def test_days_may_be_added_and_left_out() -> None:
    eve, feast = date(2026, 12, 24), date(2026, 12, 26)

    found = days(calendar(add=(eve,), leave_out=(feast, date(2026, 7, 1))))

    assert str(eve) in found
    assert str(feast) not in found
    assert "2025-12-26" in found


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    whole = set(days(calendar("DE", 2026, 2026)))

    assert set(days(calendar("DE", 2026, 2026, subdivision="BY"))) - whole == {
        "2026-01-06", "2026-06-04", "2026-11-01"
    }  # fmt: skip


def test_a_calendar_without_country_has_the_days_that_it_names() -> None:
    assert days(calendar(None, add=(date(2026, 7, 1),))) == ["2026-07-01"]


def test_no_holiday_lies_outside_the_years() -> None:
    assert {day[:4] for day in days(calendar(first=2026, last=2026))} == {"2026"}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (calendar(first=2027, last=2026), "last_year: 2026 is before first_year, 2027"),
        (calendar(add=(date(2028, 1, 1),)), "add: 2028-01-01 is not in the years from 2025 to 2027"),
        (
            calendar("XX"),
            "country: the holidays of XX are not known: leave it out, and write the days in add",
        ),
        (calendar("SM", subdivision="01"), "subdivision: '01' is none of SM: there are none"),
        (calendar("DE", subdivision="XY"), "subdivision: 'XY' is none of DE: there are BB, BE, BW"),
        (calendar(None, subdivision="BY"), "subdivision: needs the country that it is a part of"),
    ],
)
def test_what_cannot_be_right_is_said(wrong: Calendar, fault: str) -> None:
    (found,) = faults(wrong)

    assert found.startswith(fault)


def test_the_29th_of_february_comes_in_leap_years() -> None:
    assert yearly("02-29", calendar(first=2026, last=2032)) == [date(2028, 2, 29), date(2032, 2, 29)]
    with pytest.raises(ValueError, match="day is out of range"):
        yearly("02-30", calendar())


# --- In the files ---

FILE = """
skills = []
default_portfolio = "open"

[[calendars]]
calendar_id = "italy"
country = "IT"
first_year = 2026
last_year = 2027
add = [2026-12-24]

[[hours]]
hours_id = "business"
open = { days = "mon-fri", opens = "09:00", closes = "18:00" }
calendar = "italy"
closed_on = ["2026-08-14"]

[[sites]]
site_id = "laquila"
country = "IT"
calendar = "italy"
patron_day = "06-10"
closed_on = "2026-07-01"

[[sites]]
site_id = "roma"
country = "IT"

[[suppliers]]
supplier_id = "own"

[[teams]]
team_id = "t"
site_id = "laquila"
supplier_id = "own"

[[agents]]
agent_id = "A1"
team_id = "t"

[[portfolios]]
portfolio_id = "firms"
teams = ["t"]
hours = "business"
closed_on = ["2026-06-10"]
time_zone = "Europe/Lisbon"

[[portfolios]]
portfolio_id = "shops"
teams = ["t"]
hours = "business"

[[portfolios]]
portfolio_id = "open"
teams = ["t"]
"""


def read(tmp_path: Path, text: str) -> tuple[OrganisationDescription, tuple[Problem, ...]]:
    (tmp_path / "organisation.toml").write_text(text)
    return read_organisation(tmp_path / "organisation.toml", PSEUDONYM)


def test_calendars_and_hours_are_written_out(tmp_path: Path) -> None:
    described, problems = read(tmp_path, FILE)

    assert problems == ()
    firms, shops, always = described.portfolios
    assert firms.hours == shops.hours
    assert shops.hours[0].opens.hour == 9
    assert set(firms.closed_on) - set(shops.closed_on) == {date(2026, 6, 10)}
    assert {date(2026, 12, 24), date(2026, 8, 14), date(2027, 10, 4)} <= set(shops.closed_on)
    assert firms.time_zone == "Europe/Lisbon"
    assert always.hours == always.closed_on == ()
    laquila, roma = described.sites
    assert {date(2026, 6, 10), date(2027, 6, 10), date(2026, 7, 1), date(2026, 12, 24)} <= set(laquila.closed_on)
    assert date(2026, 8, 14) not in laquila.closed_on
    assert list(laquila.closed_on) == sorted(set(laquila.closed_on))
    assert roma.closed_on == ()


def test_the_journal_keeps_days_and_asks_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is replayed later is what was in force, whatever the library says by then."""
    from router.core.events import OrganisationChanged

    described, _ = read(tmp_path, FILE)
    record = encode_record(1, OrganisationChanged(description=described))
    monkeypatch.setattr(holidays, "country_holidays", lambda *_, **__: pytest.fail("the library was asked"))

    _, event = decode_record(record)

    assert isinstance(event, OrganisationChanged)
    assert event.description == described


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('hours = "business"', 'hours = "busines"', "portfolios entry 1, hours: there are no hours 'busines': did you"),
        ('hours = "business"', 'hours = "x"', "portfolios entry 1, hours: there are no hours 'x': write [[hours]]"),
        ('calendar = "italy"', 'calendar = "itly"', "hours entry 1, calendar: there is no calendar 'itly': did you"),
        ('patron_day = "06-10"', 'patron_day = "10 giugno"', "sites entry 1, patron_day: '10 giugno' is not a day of"),
        ('patron_day = "06-10"', 'patron_day = "06-31"', "sites entry 1, patron_day: no year has the day '06-31'"),
        (
            'site_id = "roma"\n',
            'site_id = "roma"\npatron_day = "06-29"\n',
            "sites entry 2, patron_day: needs a calendar",
        ),
        ("[[hours]]", '[[hours]]\nhours_id = "business"\n\n[[hours]]', "hours entry 2, hours_id: 'business' stands"),
        ("last_year = 2027", "", "calendars entry 1, last_year: is missing: it must be a whole number from 1970"),
        ("first_year = 2026", "first_year = 2028", "calendars entry 1, last_year: 2027 is before first_year, 2028"),
    ],
)
def test_mistakes_are_named_where_they_are(tmp_path: Path, old: str, new: str, problem: str) -> None:
    _, problems = read(tmp_path, FILE.replace(old, new, 1))

    assert problem in str(problems[0]).removeprefix("organisation.toml, ")


def test_two_calendars_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    again = '[[calendars]]\ncalendar_id = "italy"\nfirst_year = 2026\nlast_year = 2026\n\n[[hours]]'

    _, (problem,) = read(tmp_path, FILE.replace("[[hours]]", again, 1))

    assert str(problem) == (
        "organisation.toml, calendars entry 2, calendar_id: 'italy' stands twice, first in organisation.toml, "
        "calendars entry 1"
    )


# --- The example ---


@pytest.fixture(scope="module")
def laquila() -> Organisation:
    return Organisation(load_organisation(load_settings(CONFIG / "laquila", {}).organisation.file, pseudonym=PSEUDONYM))


def test_laquila_closes_a_site_on_the_feast_of_its_patron_and_no_portfolio(laquila: Organisation) -> None:
    """San Massimo at L'Aquila on 10 June, Santi Pietro e Paolo at Roma on 29 June."""
    aquila, roma = (set(laquila.sites[SiteId(name)].closed_on) for name in ("aquila", "roma"))

    assert aquila - roma == {date(year, 6, 10) for year in range(2026, 2031)}
    assert roma - aquila == {date(year, 6, 29) for year in range(2026, 2031)}
    assert laquila.hours[PortfolioId("gold-01")].is_open(rome_ms("2027-06-10T10:00"))


@pytest.mark.parametrize(
    ("province", "patron_day"), [("AQ", "06-10"), ("RM", "06-29"), ("CA", "10-30"), ("LE", "08-26")]
)
def test_the_library_agrees_about_the_patrons_of_our_towns(province: str, patron_day: str) -> None:
    """L'Aquila, Roma, Cagliari and Lecce: a second opinion on what the examples say."""
    of_town = set(days_of(calendar(first=2027, subdivision=province), lambda *_: None))

    assert of_town - set(days_of(calendar(first=2027), lambda *_: None)) == set(
        yearly(patron_day, calendar(first=2027))
    )


def test_laquila_has_separate_hours_for_firms_and_households(laquila: Organisation) -> None:
    def is_open(portfolio_id: str, moment: str) -> bool:
        hours: OpeningHours = laquila.hours[PortfolioId(portfolio_id)]
        return hours.is_open(rome_ms(moment))

    saturday, evening, holiday = "2027-06-05T15:00", "2027-06-04T20:30", "2027-10-04T10:00"

    assert [is_open("gold-07", moment) for moment in (saturday, evening, holiday)] == [True, True, False]
    assert [is_open("business-07", moment) for moment in (saturday, evening, holiday)] == [False, False, False]
    assert is_open("business-07", "2027-06-04T19:59")
    assert is_open("front-business", "2027-06-05T12:59")
