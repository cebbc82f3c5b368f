"""Reading loads: how many calls come in an hour, a CSV file that planners keep."""

from collections.abc import Container, Iterator
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from router.core.errors import Problem
from router.core.model import Id, Language, PortfolioId, SkillNeed, Weekday
from router.core.organisation import Organisation
from router.reading import nearest
from router.tables import rows_in_csv

__all__ = ["LoadRow", "is_within", "problems_of_load", "read_load_rows"]

_CALLS_MAX = 1_000_000
_WEEKDAYS = tuple(Weekday)


class LoadRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of a load file: calls of one kind, at all hours or at some."""

    portfolio_id: Annotated[PortfolioId, Id]
    calls_per_hour: Decimal
    """Up to three decimals are looked at."""
    handling_s: Annotated[int, Meta(ge=1, le=14_400)] | None = None
    """Talk and wrap-up; None: as the portfolio's owner team has it."""
    skills: tuple[SkillNeed, ...] = ()
    """What these calls need on top of what their portfolio does."""
    language: Language | None = None
    days: tuple[Weekday, ...] = ()
    """Empty: all."""
    starts: time = time()
    ends: time = time()
    """Excluded; 00:00 is the end of the day. Both in the portfolio's local time."""
    where: str = ""

    def is_due(self, weekday: Weekday, moment: time) -> bool:
        """Whether these calls come then; *moment* is local."""
        return is_within(self.days or _WEEKDAYS, self.starts, self.ends, weekday, moment)


def is_within(days: Container[Weekday], starts: time, ends: time, weekday: Weekday, moment: time) -> bool:
    """Whether a moment lies in such a part of a week; *ends* is excluded, and 00:00 the end of the day."""
    return weekday in days and starts <= moment and (ends == time() or moment < ends)


def read_load_rows(path: Path, problems: list[Problem]) -> tuple[LoadRow, ...]:
    """The rows that can be read; *problems* grows by what is wrong with the others."""
    return tuple(rows_in_csv(path, path.name, LoadRow, problems))


def problems_of_load(row: LoadRow, organisation: Organisation) -> Iterator[Problem]:
    """What the organisation does not know, and what cannot be."""
    if row.portfolio_id not in organisation.portfolios:
        hint = nearest(row.portfolio_id, organisation.portfolios)
        yield Problem(row.where, "portfolio_id", f"there is no portfolio {row.portfolio_id!r}{hint}")
    if not (row.calls_per_hour.is_finite() and 0 <= row.calls_per_hour <= _CALLS_MAX):
        yield Problem(row.where, "calls_per_hour", f"must be a number from 0 to {_CALLS_MAX}")
    for need in row.skills:
        if need.skill not in organisation.skills:
            hint = nearest(need.skill, organisation.skills)
            yield Problem(row.where, "skills", f"there is no skill {need.skill!r}{hint}")
    if row.ends != time() and row.ends <= row.starts:
        yield Problem(row.where, "ends", f"is {row.ends:%H:%M}, not after {row.starts:%H:%M}: write two rows")
