"""Counts by month that outlive the calls they count: enough to report quality and places once call detail is gone.

A month is a calendar month of the portfolio's own time zone, written ``2026-03``. A call counts where it stands at each
moment: it arrives in the month and portfolio of its arrival, ends in those of its end, and is answered in those of the
answer; talk counts with its answer, however late it ends. Everything is integer arithmetic. The calendar is asked once
a month and portfolio; a call costs a comparison.

Waits are counted against the thresholds in force (`model.Quality`), and a month says which these were: a new version
of the organisation counts on with new ones, and does not count again what it no longer has. In the fields, *soon* is
at most ``within_s``, *sooner* is less than that.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from router.core.model import (
    OrganisationDescription,
    Outcome,
    Portfolio,
    PortfolioId,
    TeamId,
)
from router.core.months import OwnedAnswers, Place, PlaceAnswers, PortfolioMonth, Thresholds

__all__ = [
    "AnswerRecord", "MonthRecord", "OwnedRecord", "Tallies", "calendar_month",
]  # fmt: skip

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


# --- What counts ---------------------------------------------------------------------------------------------------


class AnswerRecord:
    """The counts of `PlaceAnswers` while they grow."""

    __slots__ = (
        "answered", "answered_soon", "answered_sooner", "called_back", "month", "navigated", "navigated_soon",
        "navigated_sooner", "navigated_wait_ms", "navigation_ms", "place", "talk_ms", "transferred", "wait_ms",
    )  # fmt: skip

    def __init__(self, month: "MonthRecord", place: Place) -> None:
        self.month = month
        self.place = place
        self.answered = 0
        self.answered_soon = 0
        self.wait_ms = 0
        self.called_back = 0
        self.transferred = 0
        self.talk_ms = 0
        self.answered_sooner = 0
        self.navigated = 0
        self.navigation_ms = 0
        self.navigated_wait_ms = 0
        self.navigated_soon = 0
        self.navigated_sooner = 0

    def add_talk(self, talk_ms: int) -> None:
        self.talk_ms += talk_ms
        self.month.seen = None


class OwnedRecord:
    """The counts of `OwnedAnswers` while they grow."""

    __slots__ = (
        "answered", "back_by_backup", "back_by_owner", "by_backup", "by_owner", "called_back", "on_shift",
        "on_shift_by_owner",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answered = self.by_owner = self.by_backup = self.on_shift = self.on_shift_by_owner = 0
        self.called_back = self.back_by_owner = self.back_by_backup = 0


class MonthRecord:
    """The counts of `PortfolioMonth` while they grow."""

    __slots__ = (
        "abandoned", "abandoned_short", "abandoned_soon", "answers", "arrived", "company", "counted_by", "month",
        "outcomes", "owned", "portfolio_id", "seen", "time_zone",
    )  # fmt: skip

    def __init__(self, month: str, portfolio_id: PortfolioId) -> None:
        self.month = month
        self.portfolio_id = portfolio_id
        self.arrived = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.answers: dict[Place, AnswerRecord] = {}
        self.owned: dict[TeamId, OwnedRecord] = {}
        self.abandoned = self.abandoned_soon = self.abandoned_short = 0
        self.company = self.time_zone = ""
        self.counted_by: tuple[Thresholds, ...] = ()
        self.seen: PortfolioMonth | None = None
        """Made when asked for, and kept until something is counted: months that are over are made once."""

    def count_owned(
        self, team_id: TeamId, *, by_owner: bool, by_backup: bool, on_shift: bool, called_back: bool
    ) -> None:
        """A client whose owner is of the team was answered or called back, for the first time; call it with that."""
        owned = self.owned.get(team_id)
        if owned is None:
            owned = self.owned[team_id] = OwnedRecord()
        if called_back:
            owned.called_back += 1
            owned.back_by_owner += by_owner
            owned.back_by_backup += by_backup and not by_owner
            return
        owned.answered += 1
        if by_owner:
            owned.by_owner += 1
        elif by_backup:
            owned.by_backup += 1
        if on_shift:
            owned.on_shift += 1
            owned.on_shift_by_owner += by_owner


class Tallies:
    """All months of all portfolios since the first event."""

    __slots__ = ("_company", "_months", "_present", "_short_ms", "_within_ms", "since_ms")

    def __init__(
        self,
        description: OrganisationDescription,
        seen: Iterable[PortfolioMonth] = (),
        since_ms: int | None = None,
    ) -> None:
        """Count on from what was *seen*, by the thresholds of *description*."""
        self.since_ms = since_ms
        """From when on is counted."""
        self._months: dict[tuple[str, PortfolioId], MonthRecord] = {}
        self._present: dict[PortfolioId, tuple[int, MonthRecord]] = {}
        """The month that each portfolio counts in, and the moment that ends it."""
        self.follow(description)
        for month in seen:
            record = self._month(month.month, month.portfolio_id)
            record.arrived = month.arrived
            record.outcomes.update(month.outcomes)
            record.abandoned = month.abandoned
            record.abandoned_soon = month.abandoned_soon
            record.abandoned_short = month.abandoned_short
            record.company = month.company
            record.time_zone = month.time_zone
            record.counted_by = month.counted_by
            for held in month.owned:
                owned = record.owned[held.team_id] = OwnedRecord()
                _copy(held, owned)
            for told in month.answers:
                _copy(told, self.answer_of(month.month, month.portfolio_id, _place(told)))

    def begin(self, now_ms: int) -> None:
        """Whatever happens from now on is counted; told again, it changes nothing."""
        if self.since_ms is None:
            self.since_ms = now_ms

    def arrived(self, portfolio: Portfolio, *, now_ms: int) -> None:
        month = self._now(portfolio, now_ms)
        month.arrived += 1
        month.seen = None

    def ended(self, portfolio: Portfolio, outcome: Outcome, *, abandoned_ms: int | None, now_ms: int) -> None:
        """A call is over; *abandoned_ms* is what its caller had waited for any answer at all, None if there was one."""
        month = self._now(portfolio, now_ms)
        month.outcomes[outcome] += 1
        month.seen = None
        if abandoned_ms is not None:
            month.abandoned += 1
            month.abandoned_soon += abandoned_ms <= self._within_ms
            month.abandoned_short += abandoned_ms <= self._short_ms

    def answered(
        self, portfolio: Portfolio, place: Place, *, wait_ms: int, navigation_ms: int | None, now_ms: int
    ) -> AnswerRecord:
        """A caller on the line was put through for the first time; the talk is to be added to what this returns."""
        answer = self._answer(portfolio, place, now_ms)
        answer.answered += 1
        answer.wait_ms += wait_ms
        within_ms = self._within_ms
        if wait_ms <= within_ms:
            answer.answered_soon += 1
            answer.answered_sooner += wait_ms < within_ms
        if navigation_ms is not None:
            answer.navigated += 1
            answer.navigation_ms += navigation_ms
            answer.navigated_wait_ms += wait_ms
            answer.navigated_soon += navigation_ms + wait_ms <= within_ms
            answer.navigated_sooner += navigation_ms + wait_ms < within_ms
        return answer

    def called_back(self, portfolio: Portfolio, place: Place, *, now_ms: int) -> AnswerRecord:
        answer = self._answer(portfolio, place, now_ms)
        answer.called_back += 1
        return answer

    def transferred(self, portfolio: Portfolio, place: Place, *, now_ms: int) -> AnswerRecord:
        """A caller was put through once more."""
        answer = self._answer(portfolio, place, now_ms)
        answer.transferred += 1
        return answer

    def follow(self, description: OrganisationDescription) -> None:
        """A version of the organisation may have moved portfolios to another time zone, or other thresholds."""
        self._present.clear()
        self._company = description.company
        self._within_ms = description.quality.within_s * 1000
        self._short_ms = description.quality.short_abandon_s * 1000

    def seen(self) -> tuple[PortfolioMonth, ...]:
        """By month, then portfolio."""
        return tuple(_seen(self._months[key]) for key in sorted(self._months))

    def answer_of(self, month: str, portfolio_id: PortfolioId, place: Place) -> AnswerRecord:
        """The counts of a place, whatever the present month."""
        return _answer_in(self._month(month, portfolio_id), place)

    def _answer(self, portfolio: Portfolio, place: Place, now_ms: int) -> AnswerRecord:
        month = self._now(portfolio, now_ms)
        month.seen = None
        return _answer_in(month, place)

    def _now(self, portfolio: Portfolio, now_ms: int) -> MonthRecord:
        present = self._present.get(portfolio.portfolio_id)
        if present is None or now_ms >= present[0]:
            self.begin(now_ms)
            name, _, ends_ms = calendar_month(now_ms, portfolio.time_zone)
            month = self._month(name, portfolio.portfolio_id)
            month.company = portfolio.company or self._company
            month.time_zone = portfolio.time_zone
            thresholds = (self._within_ms // 1000, self._short_ms // 1000)
            if thresholds not in month.counted_by:
                month.counted_by += (thresholds,)
            present = self._present[portfolio.portfolio_id] = ends_ms, month
        return present[1]

    def _month(self, name: str, portfolio_id: PortfolioId) -> MonthRecord:
        key = (name, portfolio_id)
        month = self._months.get(key)
        if month is None:
            month = self._months[key] = MonthRecord(name, portfolio_id)
        return month


def _answer_in(month: MonthRecord, place: Place) -> AnswerRecord:
    answer = month.answers.get(place)
    if answer is None:
        answer = month.answers[place] = AnswerRecord(month, place)
    return answer


def calendar_month(now_ms: int, time_zone: str) -> tuple[str, int, int]:
    """The month of the moment, and when it begins and ends there, in milliseconds since the epoch."""
    zone = ZoneInfo(time_zone)
    local = (_EPOCH + now_ms * _MILLISECOND).astimezone(zone)
    later = local.year * 12 + local.month
    begins = datetime(local.year, local.month, 1, tzinfo=zone)
    ends = datetime(later // 12, later % 12 + 1, 1, tzinfo=zone)
    return f"{local.year:04}-{local.month:02}", (begins - _EPOCH) // _MILLISECOND, (ends - _EPOCH) // _MILLISECOND


def _place(told: PlaceAnswers) -> Place:
    return told.team_id, told.site_id, told.supplier_id, told.country


def _copy(told: PlaceAnswers | OwnedAnswers, record: AnswerRecord | OwnedRecord) -> None:
    """All that is counted goes by one name in both."""
    for name in told.__struct_fields__:
        if hasattr(record, name):
            setattr(record, name, getattr(told, name))


def _seen(month: MonthRecord) -> PortfolioMonth:
    if month.seen is None:
        month.seen = PortfolioMonth(
            month.month,
            month.portfolio_id,
            month.arrived,
            tuple(month.outcomes.items()),
            tuple(
                PlaceAnswers(
                    *place,
                    answer.answered,
                    answer.answered_soon,
                    answer.wait_ms,
                    answer.called_back,
                    answer.transferred,
                    answer.talk_ms,
                    answer.answered_sooner,
                    answer.navigated,
                    answer.navigation_ms,
                    answer.navigated_wait_ms,
                    answer.navigated_soon,
                    answer.navigated_sooner,
                )
                for place, answer in sorted(month.answers.items())
            ),
            tuple(
                OwnedAnswers(
                    team_id,
                    owned.answered,
                    owned.by_owner,
                    owned.by_backup,
                    owned.on_shift,
                    owned.on_shift_by_owner,
                    owned.called_back,
                    owned.back_by_owner,
                    owned.back_by_backup,
                )
                for team_id, owned in sorted(month.owned.items())
            ),
            month.abandoned,
            month.abandoned_soon,
            month.abandoned_short,
            month.company,
            month.time_zone,
            month.counted_by,
        )
    return month.seen
