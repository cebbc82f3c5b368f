"""Counts by month that outlive the calls they count: enough to report quality and places once call detail is gone.

A month is a calendar month of the portfolio's own time zone, written ``2026-03``. A call counts where it stands at each
moment: it arrives in the month and portfolio of its arrival, ends in those of its end, and is answered in those of the
answer; talk counts with its answer, however late it ends. Everything is integer arithmetic. The calendar is asked once
a month and portfolio; a call costs a comparison.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from router.core.model import Outcome, Portfolio, PortfolioId, SiteId, SupplierId, TeamId

__all__ = ["SOON_MS", "AnswerRecord", "MonthRecord", "Place", "PlaceAnswers", "PortfolioMonth", "Tallies"]

SOON_MS = 20_000
"""A wait up to this is a good one. 20 s is the threshold of the Italian regulator (AGCOM 255/24/CONS: at least 40 % of
answered calls), and of the usual contract, "80 in 20"."""

Place = tuple[TeamId, SiteId, SupplierId, str]
"""Team, site, supplier, and the country in which the agent sat."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


# --- What can be seen ----------------------------------------------------------------------------------------------


class PlaceAnswers(Struct, frozen=True, array_like=True, gc=False):
    """What the agents of one place answered, of one portfolio in one month."""

    team_id: TeamId
    site_id: SiteId
    supplier_id: SupplierId
    country: str
    answered: int
    """Callers on the line who were put through for the first time."""
    answered_soon: int
    """Those of them who had waited no longer than `SOON_MS`."""
    wait_ms: int
    """What those answered had waited in all, from arrival."""
    called_back: int
    """Clients who were called back. They did not wait on the line, so their waits are not counted."""
    transferred: int
    """Callers who had been put through before, to somebody else."""
    talk_ms: int
    """From being put through to the end or the transfer, of all three kinds; of those who still talk nothing yet."""


class PortfolioMonth(Struct, frozen=True, array_like=True, gc=False):
    """One month of one portfolio."""

    month: str
    portfolio_id: PortfolioId
    arrived: int
    outcomes: tuple[tuple[Outcome, int], ...]
    """Of the calls that ended in this month."""
    answers: tuple[PlaceAnswers, ...]
    """By team, site, supplier and country."""


# --- What counts ---------------------------------------------------------------------------------------------------


class AnswerRecord:
    """The counts of `PlaceAnswers` while they grow."""

    __slots__ = ("answered", "answered_soon", "called_back", "month", "place", "talk_ms", "transferred", "wait_ms")

    def __init__(self, month: "MonthRecord", place: Place) -> None:
        self.month = month
        self.place = place
        self.answered = 0
        self.answered_soon = 0
        self.wait_ms = 0
        self.called_back = 0
        self.transferred = 0
        self.talk_ms = 0

    def add_talk(self, talk_ms: int) -> None:
        self.talk_ms += talk_ms
        self.month.seen = None


class MonthRecord:
    """The counts of `PortfolioMonth` while they grow."""

    __slots__ = ("answers", "arrived", "month", "outcomes", "portfolio_id", "seen")

    def __init__(self, month: str, portfolio_id: PortfolioId) -> None:
        self.month = month
        self.portfolio_id = portfolio_id
        self.arrived = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.answers: dict[Place, AnswerRecord] = {}
        self.seen: PortfolioMonth | None = None
        """Made when asked for, and kept until something is counted: months that are over are made once."""


class Tallies:
    """All months of all portfolios since the first event."""

    __slots__ = ("_months", "_present")

    def __init__(self, seen: Iterable[PortfolioMonth] = ()) -> None:
        """Count on from what was *seen*."""
        self._months: dict[tuple[str, PortfolioId], MonthRecord] = {}
        self._present: dict[PortfolioId, tuple[int, MonthRecord]] = {}
        """The month that each portfolio counts in, and the moment that ends it."""
        for month in seen:
            record = self._month(month.month, month.portfolio_id)
            record.arrived = month.arrived
            record.outcomes.update(month.outcomes)
            for told in month.answers:
                answer = self.answer_of(month.month, month.portfolio_id, _place(told))
                answer.answered = told.answered
                answer.answered_soon = told.answered_soon
                answer.wait_ms = told.wait_ms
                answer.called_back = told.called_back
                answer.transferred = told.transferred
                answer.talk_ms = told.talk_ms

    def arrived(self, portfolio: Portfolio, *, now_ms: int) -> None:
        month = self._now(portfolio, now_ms)
        month.arrived += 1
        month.seen = None

    def ended(self, portfolio: Portfolio, outcome: Outcome, *, now_ms: int) -> None:
        month = self._now(portfolio, now_ms)
        month.outcomes[outcome] += 1
        month.seen = None

    def answered(self, portfolio: Portfolio, place: Place, *, wait_ms: int, now_ms: int) -> AnswerRecord:
        """A caller on the line was put through for the first time; the talk is to be added to what this returns."""
        answer = self._answer(portfolio, place, now_ms)
        answer.answered += 1
        answer.wait_ms += wait_ms
        if wait_ms <= SOON_MS:
            answer.answered_soon += 1
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

    def follow(self) -> None:
        """A new version of the organisation may have moved portfolios to another time zone."""
        self._present.clear()

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
            name, ends_ms = _calendar_month(now_ms, portfolio.time_zone)
            present = self._present[portfolio.portfolio_id] = ends_ms, self._month(name, portfolio.portfolio_id)
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


def _calendar_month(now_ms: int, time_zone: str) -> tuple[str, int]:
    """The month of the moment, and when it ends there."""
    zone = ZoneInfo(time_zone)
    local = (_EPOCH + now_ms * _MILLISECOND).astimezone(zone)
    later = local.year * 12 + local.month
    ends = datetime(later // 12, later % 12 + 1, 1, tzinfo=zone)
    return f"{local.year:04}-{local.month:02}", (ends - _EPOCH) // _MILLISECOND


def _place(told: PlaceAnswers) -> Place:
    return told.team_id, told.site_id, told.supplier_id, told.country


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
                )
                for place, answer in sorted(month.answers.items())
            ),
        )
    return month.seen
