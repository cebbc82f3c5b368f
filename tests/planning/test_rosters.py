"""Rosters: what is wrong with one before it is published."""

from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from router.core.model import Hours, OrganisationDescription, Weekday
from router.core.organisation import Organisation
from router.planning.rosters import RosterReport, check_roster
from router.roster_files import read_roster
from tests.core.builders import SITE, agent, client, organisation, owned_by, portfolio, site, team

EVERY_DAY = tuple(Weekday)
DAYTIME = Hours(days=EVERY_DAY[:5], opens=time(8), closes=time(18))
NAMES = ("ana", "bo", "cy", "dan")
HEADER = "agent_id,day,starts,ends,activity,site_id\n"


def small(
    *, hall: dict[str, Any] | None = None, clients: tuple[Any, ...] = (), **options: Any
) -> OrganisationDescription:
    """Four agents of one team in a hall; *options* are those of their portfolio, open on working days from 8 to 18."""
    return organisation(
        [team("aquila", site_id="hall")],
        [portfolio("gold", "aquila", **{"hours": (DAYTIME,), **options})],
        [agent(name, "aquila") for name in NAMES],
        clients,
        sites=(SITE, site("hall", "IT", **(hall or {})), site("iasi", "RO", time_zone="Europe/Bucharest")),
    )


def check(tmp_path: Path, rows: str, description: OrganisationDescription | None = None) -> RosterReport:
    file = tmp_path / "roster.csv"
    file.write_text(HEADER + "".join(f"{line.strip()}\n" for line in rows.strip().splitlines()))
    organised = Organisation(description or small())
    return check_roster(organised, read_roster(file, organised))


def faults(report: RosterReport) -> list[str]:
    return [str(problem) for problem in report.problems]


def test_sound_roster(tmp_path: Path) -> None:
    """Monday 7 June 2027."""
    report = check(tmp_path, "ana,2027-06-07,08:00,14:00,,\nbo,2027-06-08,12:00,18:00,work,")

    assert report.is_sound
    assert (report.first_day, report.last_day) == (date(2027, 6, 7), date(2027, 6, 8))
    assert (report.agents, report.shifts) == (2, 2)
    assert not any((report.problems, report.crowds, report.warnings))


def test_empty_roster(tmp_path: Path) -> None:
    report = check(tmp_path, "")

    assert report.first_day is None
    assert report.shifts == report.owners.clients == 0


# --- Rows ---


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("anna,2027-06-07,08:00,14:00,,", "row 2, agent_id: there is no agent 'anna': did you mean ana?"),
        ("ana,2027-06-07,08:00,14:00,,atlantis", "row 2, site_id: there is no site 'atlantis'"),
        ("ana,7/6/2027,08:00,14:00,,", "row 2, day: '…' is not a date such as 2026-12-31"),
        ("ana,2027-06-07,8,14:00,,", "row 2, starts: '8' is not a time such as 08:30"),
        (
            "ana,2027-06-07,08:00,14:00,wrok,",
            "row 2, activity: 'wrok' is not one of work, training, home, break: did",
        ),
        (
            "ana,2027-06-07,14:00,08:00,,",
            "row 2, ends: the shift lasts 18 hours, from 14:00 to 08:00: is one of them wrong?",
        ),
        ("ana,2027-06-07,08:00,08:00,,", "row 2, ends: the shift lasts 24 hours"),
    ],
)
def test_mistaken_rows_are_named(tmp_path: Path, row: str, fault: str) -> None:
    report = check(tmp_path, row)

    assert not report.is_sound
    assert faults(report)[0].startswith(f"roster.csv, {fault}")


def test_overlapping_shifts_of_one_agent(tmp_path: Path) -> None:
    """The second lies inside the first, so that the third meets the first again; the fourth only touches it."""
    report = check(
        tmp_path,
        """ana,2027-06-07,08:00,15:00,,
        ana,2027-06-07,09:00,10:00,training,
        ana,2027-06-07,14:45,16:00,home,
        ana,2027-06-07,16:00,18:00,,
        bo,2027-06-07,08:00,18:00,,""",
    )

    assert faults(report) == [
        "roster.csv, row 3, starts: agent ana is already at work then, see roster.csv, row 2: one shift must give way",
        "roster.csv, row 4, starts: agent ana is already at work then, see roster.csv, row 2: one shift must give way",
    ]


def test_shift_over_midnight_meets_the_one_of_the_next_day(tmp_path: Path) -> None:
    report = check(
        tmp_path, "ana,2027-06-07,22:00,06:00,,\nana,2027-06-08,05:00,09:00,,", small(hours=(), closed_on=())
    )

    assert len(faults(report)) == 1
    assert "row 3, starts" in faults(report)[0]


# --- Seats ---


def test_seats_exceeded_in_a_quarter_are_named_with_those_who_come_last(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        """ana,2027-06-07,08:00,10:20,,
        dan,2027-06-07,09:00,12:00,,
        bo,2027-06-07,10:05,12:00,,
        cy,2027-06-07,10:05,10:30,,""",
        small(hall={"seats": 2}),
    )

    assert not report.is_sound
    assert [(c.site_id, c.quarter, c.people, c.seats, c.over) for c in report.crowds] == [
        ("hall", "2027-06-07 10:00 +0200", 4, 2, ("bo", "cy")),
        ("hall", "2027-06-07 10:15 +0200", 4, 2, ("bo", "cy")),
    ]
    (peak,) = (peak for peak in report.peaks if peak.site_id == "hall")
    assert (peak.people, peak.quarter) == (4, "2027-06-07 10:00 +0200")


def test_as_many_as_there_are_seats_is_fine_and_so_is_changing_places(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        """ana,2027-06-07,08:00,13:07,,
        bo,2027-06-07,13:07,18:00,,
        cy,2027-06-07,08:00,18:00,,""",
        small(hall={"seats": 2}),
    )

    assert report.crowds == ()


def test_home_and_training_rooms_take_no_seat(tmp_path: Path) -> None:
    rows = """ana,2027-06-07,08:00,12:00,,
        bo,2027-06-07,08:00,12:00,home,
        cy,2027-06-07,08:00,12:00,training,"""

    with_room = check(tmp_path, rows, small(hall={"seats": 1, "training_rooms": ("aula-",)}))
    without = check(tmp_path, rows, small(hall={"seats": 1}))

    assert with_room.crowds == ()
    assert {crowd.over for crowd in without.crowds} == {("cy",)}
    assert len(without.crowds) == 16


def test_a_break_keeps_the_seat_and_takes_no_calls(tmp_path: Path) -> None:
    rows = """ana,2027-06-07,08:00,12:00,,
        ana,2027-06-07,12:00,13:00,break,
        ana,2027-06-07,13:00,18:00,,
        bo,2027-06-07,12:30,13:00,,"""

    report = check(
        tmp_path, rows, small(hall={"seats": 1}, clients=(client("K1", "gold", ownerships=owned_by("ana")),))
    )

    assert [crowd.over for crowd in report.crowds] == [("bo",), ("bo",)]
    assert report.owners.client_quarters_unattended == 4


def test_seats_are_counted_where_one_sits_that_day(tmp_path: Path) -> None:
    """Iași is an hour ahead: its shift begins when it is 08:00 at L'Aquila."""
    report = check(
        tmp_path,
        "ana,2027-06-07,08:00,12:00,,\nbo,2027-06-07,09:00,12:00,,iasi",
        small(hall={"seats": 1}),
    )

    assert report.crowds == ()
    assert {(peak.site_id, peak.people, peak.quarter) for peak in report.peaks} == {
        ("hall", 1, "2027-06-07 08:00 +0200"),
        ("iasi", 1, "2027-06-07 09:00 +0300"),
        ("laquila", 0, None),
    }


@pytest.mark.parametrize(("day", "quarters"), [("2027-03-27", 32), ("2027-03-28", 28), ("2027-10-31", 36)])
def test_night_of_a_clock_change_has_its_own_length(tmp_path: Path, day: str, quarters: int) -> None:
    """From 00:00 to 08:00: seven hours when the clocks go forward, nine when they go back."""
    always = small(hall={"seats": 0}, hours=())

    report = check(tmp_path, f"ana,{day},00:00,08:00,,", always)

    assert len(report.crowds) == quarters
    assert len({crowd.quarter for crowd in report.crowds}) == quarters


def test_hour_that_comes_twice_has_eight_quarters_with_names_of_their_own(tmp_path: Path) -> None:
    report = check(tmp_path, "ana,2027-10-31,02:00,03:00,,", small(hall={"seats": 0}, hours=()))

    assert [crowd.quarter[11:] for crowd in report.crowds] == [
        "02:00 +0200", "02:15 +0200", "02:30 +0200", "02:45 +0200",
        "02:00 +0100", "02:15 +0100", "02:30 +0100", "02:45 +0100",
    ]  # fmt: skip
    assert [str(warning) for warning in report.warnings] == [
        "roster.csv, row 2, starts: 02:00 comes twice in Europe/Rome on 2027-10-31: taken as the first"
    ]


def test_time_that_the_clocks_leave_out_is_told(tmp_path: Path) -> None:
    report = check(tmp_path, "ana,2027-03-28,02:30,08:00,,", small(hours=()))

    assert report.is_sound
    assert "the clocks of Europe/Rome leave out 02:30 on 2027-03-28" in str(report.warnings[0])


# --- Closed doors ---


def test_nobody_works_at_a_closed_site_but_at_home(tmp_path: Path) -> None:
    patron_day = small(hall={"closed_on": (date(2027, 6, 10),)})

    report = check(
        tmp_path,
        """ana,2027-06-10,08:00,14:00,,
        bo,2027-06-10,08:00,14:00,training,
        cy,2027-06-10,08:00,14:00,home,
        dan,2027-06-10,08:00,14:00,,laquila
        dan,2027-06-11,08:00,14:00,,""",
        patron_day,
    )

    assert faults(report) == [
        "roster.csv, row 2, day: site hall is closed on 2027-06-10: agent ana cannot work there",
        "roster.csv, row 3, day: site hall is closed on 2027-06-10: agent bo cannot work there",
    ]


def test_shift_that_runs_into_a_closed_day_is_an_error(tmp_path: Path) -> None:
    closed = small(hall={"closed_on": (date(2027, 6, 10),)}, hours=())

    until_midnight = check(tmp_path, "ana,2027-06-09,18:00,00:00,,", closed)
    beyond = check(tmp_path, "ana,2027-06-09,18:00,00:01,,", closed)

    assert until_midnight.is_sound
    assert "closed on 2027-06-10" in faults(beyond)[0]


def test_work_while_no_portfolio_is_open_is_an_error_and_partly_so_is_worth_knowing(tmp_path: Path) -> None:
    holiday = small(closed_on=(date(2027, 6, 8),))

    report = check(
        tmp_path,
        """ana,2027-06-07,07:40,14:00,,
        bo,2027-06-08,08:00,14:00,,
        cy,2027-06-12,08:00,14:00,,
        dan,2027-06-12,08:00,14:00,training,""",
        holiday,
    )

    assert faults(report) == [
        "roster.csv, row 3, day: no portfolio that agent bo serves is open during this shift on 2027-06-08",
        "roster.csv, row 4, day: no portfolio that agent cy serves is open during this shift on 2027-06-12",
    ]
    assert [str(warning) for warning in report.warnings] == [
        "roster.csv, row 2, starts: no portfolio that agent ana serves is open in 2 quarter hours of this shift on "
        "2027-06-07"
    ]


def test_agents_whom_no_call_reaches_have_no_hours_to_keep_to(tmp_path: Path) -> None:
    description = organisation(
        [team("aquila"), team("office")],
        [portfolio("gold", "aquila", hours=(DAYTIME,))],
        [agent("ana", "aquila"), agent("zoe", "office")],
    )

    assert check(tmp_path, "zoe,2027-06-12,03:00,05:00,,", description).is_sound


def test_calendar_that_has_run_out_is_told(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        "ana,2027-06-07,08:00,14:00,,",
        small(closed_on=(date(2026, 12, 25),), hall={"closed_on": (date(2027, 12, 25),)}),
    )

    assert [str(warning) for warning in report.warnings] == [
        "gold, closed_on: portfolio gold has no closed day after 2026-12-25: raise last_year of its calendar"
    ]


# --- Owners ---


def test_clients_whose_owner_and_backups_are_all_away(tmp_path: Path) -> None:
    """Open for ten hours. Ana and her backup are there for seven, Dan for none."""
    clients = (
        client("K1", "gold", ownerships=owned_by("ana", "bo")),
        client("K2", "gold", ownerships=owned_by("ana", "bo")),
        client("K3", None, ownerships=owned_by("dan")),
        client("K4", "gold", ownerships=owned_by("cy")),
        client("K5", "gold"),
    )

    owners = check(
        tmp_path,
        """ana,2027-06-07,08:00,12:00,,
        bo,2027-06-07,11:00,15:00,home,
        bo,2027-06-07,15:00,18:00,training,
        cy,2027-06-07,08:00,18:00,,""",
        small(clients=clients),
    ).owners

    assert (owners.clients, owners.clients_unattended) == (4, 3)
    assert owners.client_quarters == 4 * 40
    assert owners.client_quarters_unattended == 2 * 12 + 40
    assert [(u.owner, u.backups, u.clients, u.quarters, u.quarters_open, u.first[11:16]) for u in owners.worst] == [
        ("dan", (), 1, 40, 40, "08:00"),
        ("ana", ("bo",), 2, 12, 40, "15:00"),
    ]


def test_only_whole_quarters_of_presence_count(tmp_path: Path) -> None:
    described = small(clients=(client("K1", "gold", ownerships=owned_by("ana")),))

    owners = check(tmp_path, "ana,2027-06-07,08:05,17:55,,", described).owners

    assert owners.client_quarters_unattended == 2


def test_ownership_counts_in_its_days_alone(tmp_path: Path) -> None:
    """Ana until Tuesday, then Bo, who is there on Tuesday and Wednesday."""
    change = date(2027, 6, 8)
    ownerships = owned_by("ana", valid_until=change) + owned_by("bo", valid_from=change)

    owners = check(
        tmp_path,
        "ana,2027-06-07,08:00,18:00,,\nbo,2027-06-08,08:00,18:00,,\nbo,2027-06-09,08:00,17:00,,",
        small(clients=(client("K1", "gold", ownerships=ownerships),)),
    ).owners

    assert (owners.clients, owners.clients_unattended) == (1, 1)
    assert (owners.client_quarters, owners.client_quarters_unattended) == (120, 4)


@pytest.mark.parametrize(("day", "quarters"), [("2027-03-28", 92), ("2027-10-31", 100), ("2027-10-30", 96)])
def test_portfolio_that_is_always_open_is_so_for_the_whole_day(tmp_path: Path, day: str, quarters: int) -> None:
    described = small(clients=(client("K1", "gold", ownerships=owned_by("dan")),), hours=())

    owners = check(tmp_path, f"ana,{day},08:00,12:00,,", described).owners

    assert owners.client_quarters == owners.client_quarters_unattended == quarters
