"""Calls that the share of no contract counts, and why, by company and local day of the portfolio.

Beside the share they show that nothing was lost from it: a call that was not answered for the first time under a
contract is here, with its reason. Reasons are rules that send a call to a fallback and outcomes of calls, and two of
their own: ``answered_again`` (an answer after a transfer) and ``no_contract`` (answered by a supplier without one).
"""

from collections.abc import Iterable
from datetime import date

from msgspec import Struct

__all__ = ["ExcludedDay", "ExclusionBook"]


class ExcludedDay(Struct, frozen=True, array_like=True, gc=False):
    """What was left out of the shares of a company on one local day."""

    company: str
    day: date
    reasons: tuple[tuple[str, int], ...]
    """With the number of calls, sorted."""


class ExclusionBook:
    """All companies and days."""

    __slots__ = ("_days",)

    def __init__(self, days: Iterable[ExcludedDay] = ()) -> None:
        """Count on from *days*."""
        self._days: dict[tuple[str, date], dict[str, int]] = {
            (told.company, told.day): dict(told.reasons) for told in days
        }

    def add(self, company: str, day: date, reason: str) -> None:
        reasons = self._days.setdefault((company, day), {})
        reasons[reason] = reasons.get(reason, 0) + 1

    def days(self) -> tuple[ExcludedDay, ...]:
        """By company, then day."""
        return tuple(
            ExcludedDay(company, day, tuple(sorted(reasons.items())))
            for (company, day), reasons in sorted(self._days.items())
        )
