"""Reports of half a year that was counted by hand, and of journals that do not know all of it."""

import json
from typing import Any

import msgspec
import pytest

from router.core import Engine, EventRejected
from router.core.events import OrganisationChanged
from router.core.model import PortfolioId, Quality
from router.core.months import PortfolioMonth
from router.reports.monthly import (
    Grouping,
    Kept,
    Period,
    Report,
    ReportError,
    Section,
    agcom_report,
    canonical,
    fingerprint,
    portfolios_report,
)
from tests.reports.half_year import description, ms, records

H1 = Period.parse("2026-H1")


def kept(**changes: Any) -> Kept:
    (_, first), *others = records()
    assert isinstance(first, OrganisationChanged)
    engine = Engine(first.description)
    for at_ms, event in others:
        engine.expire(at_ms)
        engine.handle(event, now_ms=at_ms)
    return Kept(engine.tallies(), engine.counting_since_ms, others[-1][0], first.description)._replace(**changes)


def section(report: Report, name: str) -> Section:
    (found,) = [each for each in report.sections if each.name == name]
    return found


def values(section: Section, period: str) -> dict[str, str | None]:
    (span,) = [each for each in section.spans if each.period == period]
    return {each.key: each.value for each in span.figures}


def counts(section: Section, period: str) -> dict[str, int]:
    (span,) = [each for each in section.spans if each.period == period]
    return {name: count for name, count in span.counts.items() if count}


# --- Periods ---


def test_periods_are_years_halves_and_months() -> None:
    assert H1.months == ("2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06")
    assert Period.parse("2026-H2").months[0] == "2026-07"
    assert Period.parse("2026-03") == ("2026-03", ("2026-03",))
    assert [part.name for part in Period.parse("2026").parts()][:4] == ["2026", "2026-H1", "2026-H2", "2026-01"]
    assert [part.name for part in Period.parse("2026-03").parts()] == ["2026-03"]
    assert len(H1.parts()) == 7


@pytest.mark.parametrize("text", ["", "2026-H3", "2026-13", "2026-00", "26", "0026", "2026-3", "2026-H1 ", "2026-03\n"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ReportError, match="write a year, a half or a month"):
        Period.parse(text)


# --- By client company ---


def test_the_half_year_of_each_company_as_counted_by_hand() -> None:
    report = agcom_report(kept(), H1)

    assert [each.name for each in report.sections] == ["tre", "wind"]
    assert values(section(report, "tre"), "2026-H1") == {
        "mean_wait": "10.00",
        "mean_wait_navigated": "15.00",
        "mean_navigation": "5.00",
        "within": "75.00",
        "within_strictly": "50.00",
        "within_navigated": "50.00",
        "within_strictly_navigated": "50.00",
        "service_level_a": "66.67",
        "service_level_b": "75.00",
        "service_level_c": "50.00",
        "service_level_d": "60.00",
        "service_level_e": "60.00",
    }
    assert counts(section(report, "wind"), "2026-H1") == {
        "arrived": 3, "answered": 1, "wait_ms": 200_000, "abandoned": 1, "abandoned_soon": 1, "abandoned_short": 1,
        "called_back": 1, "transferred": 1,
    }  # fmt: skip
    (half, *_) = section(report, "wind").spans
    assert {each.key: each.verdict for each in half.figures if each.verdict} == {
        "mean_wait": "missed",
        "mean_wait_navigated": "no data",
        "within": "missed",
        "within_strictly": "missed",
        "within_navigated": "no data",
        "within_strictly_navigated": "no data",
    }


def test_calls_of_one_night_belong_to_the_months_of_local_midnight() -> None:
    """The last millisecond of March and the first of April in Rome are both of 31 March in UTC."""
    tre = section(agcom_report(kept(), H1), "tre")

    assert counts(tre, "2026-03") == {
        "arrived": 3, "answered": 1, "answered_soon": 1, "answered_sooner": 1,
        "abandoned": 2, "abandoned_soon": 1, "abandoned_short": 1,
    }  # fmt: skip
    assert counts(tre, "2026-04") == {
        "arrived": 1, "answered": 1, "answered_soon": 1, "answered_sooner": 1,
        "navigated": 1, "navigated_soon": 1, "navigated_sooner": 1,
    }  # fmt: skip
    assert set(values(tre, "2026-02").values()) == {None}


def test_a_year_has_its_halves_and_one_company_can_be_asked_for() -> None:
    report = agcom_report(kept(), Period.parse("2026"), company="wind")

    (wind,) = report.sections
    assert [span.period for span in wind.spans][:4] == ["2026", "2026-H1", "2026-H2", "2026-01"]
    assert values(wind, "2026") == values(wind, "2026-H1")
    assert set(values(wind, "2026-H2").values()) == {None}
    with pytest.raises(ReportError, match="no client company 'tim' in 2026-H1, only tre, wind"):
        agcom_report(kept(), H1, company="tim")


def test_a_month_of_a_version_that_asked_for_no_company_goes_by_the_organisation_of_today() -> None:
    old = PortfolioMonth("2026-01", PortfolioId("silver"), 4, (), ())
    gone = PortfolioMonth("2026-01", PortfolioId("bronze"), 2, (), ())

    report = agcom_report(kept(months=(old, gone)), H1)

    assert [(each.name, counts(each, "2026-H1")) for each in report.sections] == [
        ("operator", {"arrived": 2}), ("tre", {}), ("wind", {"arrived": 4})
    ]  # fmt: skip
    assert any("an earlier version" in why for why in section(report, "wind").incomplete)


def test_figures_do_not_change_with_what_happens_later() -> None:
    """The same half-year, asked for a year later, after new thresholds: only the limit is no longer one of 20 s."""
    before = kept(until_ms=ms(2026, 7, 1))
    later = before._replace(until_ms=ms(2027, 7, 1))
    other = before._replace(description=msgspec.structs.replace(description(), quality=Quality(within_s=10)))

    assert canonical(agcom_report(later, H1)) == canonical(agcom_report(before, H1))
    assert values(section(agcom_report(other, H1), "tre"), "2026-H1") == values(
        section(agcom_report(before, H1), "tre"), "2026-H1"
    )


# --- Months that are not whole ---


def test_a_month_that_the_journal_ends_in_is_named() -> None:
    report = agcom_report(kept(), Period.parse("2026"))

    assert section(report, "wind").incomplete == (
        "2026-06: the journal ends at 2026-06-20 09:00:01 Europe/Rome",
        *(f"2026-{month:02}: the journal ends before it" for month in range(7, 13)),
    )
    complete = {span.period: span.is_complete for span in section(report, "wind").spans}
    assert (complete["2026-05"], complete["2026-06"], complete["2026-H1"], complete["2026"]) == (
        True, False, False, False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "incomplete"),
    [
        (ms(2026, 1, 1), ms(2026, 7, 1), ()),
        (ms(2026, 1, 1) + 1, ms(2026, 7, 1), ("2026-01: counted from 2026-01-01 00:00:00 Europe/Rome on",)),
        (ms(2026, 1, 1), ms(2026, 7, 1) - 1, ("2026-06: the journal ends at 2026-06-30 23:59:59 Europe/Rome",)),
        (ms(2026, 2, 1), ms(2026, 7, 1), ("2026-01: nothing was counted yet",)),
        (ms(2026, 1, 1), ms(2026, 6, 1), ("2026-06: the journal ends before it",)),
        (None, ms(2026, 7, 1), tuple(f"2026-{month:02}: nothing was counted yet" for month in range(1, 7))),
    ],
)
def test_months_are_whole_from_local_midnight_to_local_midnight(
    since_ms: int | None, until_ms: int, incomplete: tuple[str, ...]
) -> None:
    report = agcom_report(kept(since_ms=since_ms, until_ms=until_ms), H1, company="tre")

    assert report.sections[0].incomplete == incomplete


# --- By portfolio and team ---

_OWNERS = ("owner_answered", "available_owner", "backup", "others", "on_shift", "back_by_owner")


def test_shares_by_the_team_of_the_owner() -> None:
    report = portfolios_report(kept(), H1)

    rows = {each.name: tuple(values(each, "2026-H1")[key] for key in _OWNERS) for each in report.sections}
    assert rows == {
        "all": ("40.00", "25.00", "20.00", "40.00", "80.00", "100.00"),
        # O took one call that came before O, and one of the three that came with O on shift; C was the backup of one.
        "north": ("50.00", "33.33", "25.00", "25.00", "75.00", None),
        "south": ("0.00", "0.00", "0.00", "100.00", "100.00", "100.00"),
    }
    assert [bool(each.incomplete) for each in report.sections] == [True, False, False]


def test_shares_by_portfolio_add_up_to_those_by_team() -> None:
    by_team, by_portfolio = (portfolios_report(kept(), H1, by=by) for by in (Grouping.TEAM, Grouping.PORTFOLIO))

    assert [each.name for each in by_portfolio.sections] == ["all", "gold", "silver"]
    assert by_portfolio.sections[0] == by_team.sections[0]
    whole = by_team.sections[0].spans[0].counts
    for report in (by_team, by_portfolio):
        for name, count in whole.items():
            assert sum(each.spans[0].counts[name] for each in report.sections[1:]) == count


def test_no_agent_is_named() -> None:
    told = canonical(portfolios_report(kept(), H1)) + canonical(agcom_report(kept(), H1))

    assert not any(f'"{agent_id}"'.encode() in told for agent_id in ("O", "C", "D", "N"))


# --- The content, and its fingerprint ---


def test_the_fingerprint_is_that_of_plain_json_with_sorted_keys() -> None:
    """So that anybody can compute it again."""
    report = agcom_report(kept(), H1)

    plain = json.dumps(msgspec.to_builtins(report), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    assert plain == canonical(report)
    assert len(fingerprint(report)) == 64
    assert fingerprint(report) != fingerprint(agcom_report(kept(), H1, company="tre"))


def test_every_event_of_the_half_year_was_accepted() -> None:
    """Else what was counted by hand would not be what happened."""
    try:
        kept()
    except EventRejected as rejected:
        pytest.fail(str(rejected))
