"""Which portfolios are badly served, and why: sentences made of counts alone, for somebody who has never been there.

A portfolio is badly served if clearly fewer of its callers are answered in time than of all. What is said of why is
what was counted: the hours in which callers were lost, how much work its own team had then for how many people, what
kept each call from an agent when it arrived, offers that nobody answered, and after how long others may help. Nothing
is said of what could not be seen in the counts.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from math import sqrt
from typing import Final

from msgspec import Struct

from router.core.decisions import Rule
from router.core.model import PortfolioId, TeamId
from router.core.organisation import Organisation
from router.experiments.capacity import Able, Capacity, ShortTeam, Staffing, Window, agents_needed
from router.experiments.kpis import MAIN_VARIANT, Estimate, difference, estimate, kpi_named, kpis_of
from router.experiments.results import counts_by_id
from router.simulation.counts import DAY_HOURS, NOT_QUEUED, Counts, RunCounts, Scope, sum_of

__all__ = ["Cause", "Finding", "Findings", "findings_of", "percent"]

_GAP_POINTS: Final = 5.0
"""Whoever is so much below all is badly served, if it is not by chance."""
_SHOWN: Final = 6
_NAMED: Final = 4
_OFFERED_MIN: Final = 30
"""Of fewer calls nothing is said."""
_ERRORS: Final = 2.0
"""Standard errors of a share that chance alone seldom makes, where there is one replication."""
_ALL_DAY: Final = 0.85
"""Hours that hold so much of the calls are called the whole day."""
_REASON_MIN: Final = 0.08
"""Of the calls that were not answered in time; rarer reasons are left out."""
_BUSY: Final = 0.85
_ABLE: Final = 0.6
"""Where fewer of the team than this can take the calls at once, skills are told."""
_MISSED_TIMES: Final = 2.0
_MISSED_MIN: Final = 0.02
_ELSEWHERE_MIN: Final = 0.02


class Cause(StrEnum):
    """In some words, what a portfolio lacks."""

    PEOPLE = "too few people"
    SKILLS = "too few who can take its calls"
    OWNERS = "waits for owners"
    RINGS = "help comes late"
    NOBODY = "nobody there"
    SHARE = "the share of a contract"
    PLACE = "kept free for callers who want one inside"
    MOVE = "the move plan"
    OFFERS = "offers that nobody takes"


class Finding(Struct, frozen=True, kw_only=True):
    """A portfolio, or all, in words."""

    portfolio_id: str | None
    """None: all callers together."""
    team_id: str | None
    """The owner team."""
    first_hour: int
    until_hour: int
    """The hours in a row, the last excluded, in which most callers more were not answered in time than usual."""
    service_level: Estimate
    head: str
    cause: Cause | None
    """The first reason to look at; None: nothing stands out."""
    why: tuple[str, ...]
    """The most telling first."""


class Findings(Struct, frozen=True, kw_only=True):
    """The answer, before any table."""

    in_short: str
    all_callers: Finding
    badly_served: tuple[Finding, ...]
    """Worst first."""
    short_teams: tuple[ShortTeam, ...]
    """Shortest first."""

    def telling(self) -> list[Finding]:
        """The worst, and the worst of each other cause."""
        first = {finding.cause: finding for finding in reversed(self.badly_served)}
        return [
            finding
            for place, finding in enumerate(self.badly_served)
            if place < _SHOWN or finding is first[finding.cause]
        ]


def findings_of(organisation: Organisation, counted: Sequence[RunCounts]) -> Findings:
    """What the counts of the replications say of each portfolio.

    Args:
        organisation: Which was played.
        counted: One a replication, at least one.
    """
    return _Finder(organisation, counted).findings()


def percent(value: float | None, half_width: float | None = None) -> str:
    """``61.2 % ± 1.3``; one place more than a planner needs."""
    if value is None:
        return "no data"
    return f"{value:.1f} %" + (f" ± {half_width:.1f}" if half_width is not None else "")


class _Finder:
    def __init__(self, organisation: Organisation, counted: Sequence[RunCounts]) -> None:
        self._organisation = organisation
        self._counted = counted
        self._sum = sum_of(counted)
        self._quality = organisation.description.quality
        self._kpi = kpi_named(kpis_of(self._quality), "service_level")
        self._within = f"within {self._quality.within_s} s"
        self._capacity = Capacity(organisation, self._sum)

    def findings(self) -> Findings:
        in_all = [run.total for run in self._counted]
        all_callers = estimate(self._kpi, in_all)
        served = {
            name: each
            for name, each in counts_by_id(Scope.PORTFOLIO, self._counted).items()
            if sum(counts.answered + counts.abandoned for counts in each) >= _OFFERED_MIN * len(each)
        }
        levels = {name: estimate(self._kpi, each) for name, each in served.items()}
        bad = [
            name for name in sorted(levels, key=lambda name: (levels[name].value or 0.0, name))
            if self._is_bad(levels[name], all_callers, difference(self._kpi, in_all, served[name]))
        ]  # fmt: skip
        return Findings(
            in_short=self._in_short(bad, levels, all_callers),
            all_callers=self._of_all(all_callers),
            badly_served=tuple(self._of(PortfolioId(name), levels[name], all_callers) for name in bad),
            short_teams=tuple(self._capacity.short_teams()),
        )

    def _is_bad(self, level: Estimate, all_callers: Estimate, gap: Estimate) -> bool:
        assert level.value is not None, "there were calls"
        assert all_callers.value is not None
        assert gap.value is not None
        if all_callers.value - level.value < _GAP_POINTS:
            return False
        if gap.half_width is not None:
            return gap.value + gap.half_width < 0
        share = level.value / 100
        return all_callers.value - level.value > 100 * _ERRORS * sqrt(share * (1 - share) / level.below)

    def _in_short(self, bad: Sequence[str], levels: dict[str, Estimate], all_callers: Estimate) -> str:
        if all_callers.value is None:
            return "Nobody called: there is nothing to say."
        whole = f"{percent(all_callers.value)} of all callers are answered {self._within} ({MAIN_VARIANT})."
        if not bad:
            values = [each.value for each in levels.values() if each.value is not None]
            if len(values) < 2:
                return whole
            return (
                f"{whole} No portfolio is clearly worse served than the rest: they lie between "
                f"{percent(min(values))} and {percent(max(values))}."
            )
        named = [f"{name} ({percent(levels[name].value)})" for name in bad[:_NAMED]]
        more = f" and {len(bad) - len(named)} more" if len(bad) > len(named) else ""
        verb = "is" if len(bad) == 1 else "are"
        return (
            f"{whole} {len(bad)} of {len(levels)} portfolios {verb} clearly worse served, worst first: "
            f"{', '.join(named)}{more}."
        )

    # --- All callers ---

    def _of_all(self, level: Estimate) -> Finding:
        window = self._window(self._sum.by_hour.get("all", []))
        return Finding(
            portfolio_id=None,
            team_id=None,
            first_hour=window.first,
            until_hour=window.until,
            service_level=level,
            head=f"All callers: {percent(level.value, level.half_width)} {self._within} ({MAIN_VARIANT})",
            cause=None,
            why=(
                *self._when(self._sum.by_hour.get("all", []), window),
                *self._all_people(window),
                *self._kept_waiting("all"),
            ),
        )

    def _all_people(self, window: Window) -> Iterator[str]:
        found = self._capacity.of_all(window)
        if found is not None:
            people, work = _rounded(found.staffed), _rounded(found.load)
            yield (
                f"All teams together were {_share_words(found.occupancy)} busy {_then(window)}: {people} agents "
                f"staffed for {work} erlangs of work that all callers bring."
            )

    # --- One portfolio ---

    def _of(self, portfolio_id: PortfolioId, level: Estimate, all_callers: Estimate) -> Finding:
        hours = self._sum.by_hour.get(portfolio_id, [])
        counts = self._sum.by_scope[Scope.PORTFOLIO][portfolio_id]
        window = self._window(hours)
        team_id = self._organisation.portfolios[portfolio_id].teams[0].team_id
        staffing = self._capacity.staffing(team_id, window)
        able = self._capacity.able(portfolio_id, team_id)
        cause = self._cause(portfolio_id, staffing, able, counts, share=(all_callers.value or 0.0) / 100)
        return Finding(
            portfolio_id=portfolio_id,
            team_id=team_id,
            first_hour=window.first,
            until_hour=window.until,
            service_level=level,
            head=(
                f"{portfolio_id}: {percent(level.value, level.half_width)} {self._within} ({MAIN_VARIANT}) against "
                f"{percent(all_callers.value)} for all{f' – {cause}' if cause is not None else ''}"
            ),
            cause=cause,
            why=(
                *self._when(hours, window),
                *self._people(team_id, staffing, window, share=(all_callers.value or 0.0) / 100),
                *self._skills(team_id, able, staffing, portfolio_id, window),
                *self._kept_waiting(portfolio_id),
                *self._help(portfolio_id),
                *self._unanswered(counts),
                *self._gone_elsewhere(counts),
            ),
        )

    def _cause(
        self, portfolio_id: PortfolioId, staffing: Staffing | None, able: Able, counts: Counts, *, share: float
    ) -> Cause | None:
        """The first reason to look at: what most late calls met, and whether people or skills were behind it."""
        if staffing is None:
            return Cause.NOBODY
        late = self._sum.late.get(portfolio_id, {})
        first = max(late, key=lambda rule: (late[rule], rule), default=None)
        if first == Rule.ALL_BUSY and staffing.load >= staffing.staffed:
            return Cause.PEOPLE
        if first in (Rule.ALL_BUSY, Rule.NOT_YET) and able.at_once < _ABLE * able.team:
            return Cause.SKILLS
        if first == Rule.ALL_BUSY and (staffing.occupancy > _BUSY or self._needed(staffing, share) > staffing.staffed):
            return Cause.PEOPLE
        if first == NOT_QUEUED or self._is_unanswered(counts, "missed") or self._is_unanswered(counts, "declined"):
            return Cause.OFFERS
        return _CAUSES.get(first) if first is not None else None

    def _window(self, hours: Sequence[Counts]) -> Window:
        """The hours in a row in which most more callers were lost than at its own mean (Kadane's maximum sum)."""
        lost = [_lost(each) for each in hours] or [0] * DAY_HOURS
        offered = [_offered(each) for each in hours] or [0] * DAY_HOURS
        mean = sum(lost) / max(1, sum(offered))
        most, best, total, first = 0.0, (0, DAY_HOURS), 0.0, 0
        for hour in range(DAY_HOURS):
            if total <= 0:
                total, first = 0.0, hour
            total += lost[hour] - mean * offered[hour]
            if total > most:
                most, best = total, (first, hour + 1)
        busy = [hour for hour in range(*best) if offered[hour]] or [0]
        within = sum(offered[hour] for hour in busy)
        is_all_day = within >= _ALL_DAY * sum(offered) or most == 0
        if is_all_day:
            busy = [hour for hour in range(DAY_HOURS) if offered[hour]] or [0]
        return Window(busy[0], busy[-1] + 1, is_all_day)

    def _when(self, hours: Sequence[Counts], window: Window) -> Iterator[str]:
        if not hours or window.is_all_day:
            return
        inside = [hours[hour] for hour in window.hours]
        outside = [each for hour, each in enumerate(hours) if hour not in window.hours]
        yield (
            f"It is worst {window}: {_level_words(inside)} there, {_level_words(outside)} in the rest of the day; "
            f"{_share(sum(map(_lost, inside)), sum(map(_lost, hours)))} of those not answered in time called then."
        )

    def _people(self, team_id: TeamId, found: Staffing | None, window: Window, *, share: float) -> Iterator[str]:
        then = _then(window)
        if found is None:
            if self._sum.teams_by_hour:
                yield f"Nobody of its team {team_id} was there {then}."
            return
        own = self._capacity.own[team_id]
        whose = f"its {len(own)} portfolios" if len(own) > 1 else "this portfolio"
        others = _share_words(self._capacity.occupancy(window))
        words = (
            f"Its team {team_id} was {_share_words(found.occupancy)} busy {then}, all teams together {others}: "
            f"{found.staffed:.1f} agents staffed for {found.load:.1f} erlangs of work that the callers of {whose} bring"
        )
        needed = self._needed(found, share)
        helped = found.occupancy * found.staffed - found.load
        if found.load >= found.staffed or needed >= found.staffed + 0.5:
            more = ", more than they can do" if found.load >= found.staffed else ""
            yield (
                f"{words}{more}. To answer {100 * share:.0f} % {self._within}, the team alone would need {needed} "
                "(Erlang C)."
            )
        elif helped > 0 and found.occupancy > _BUSY:
            yield f"{words}, and {helped:.1f} of them on calls of other teams' portfolios."
        else:
            yield f"{words}: by their number, enough."

    def _needed(self, found: Staffing, share: float) -> int:
        return agents_needed(
            found.load, handling_s=found.handling_s, within_s=self._quality.within_s, share=min(0.99, share)
        )

    def _skills(
        self, team_id: TeamId, able: Able, found: Staffing | None, portfolio_id: PortfolioId, window: Window
    ) -> Iterator[str]:
        if able.at_once >= _ABLE * able.team or found is None:
            return
        portfolio = self._organisation.portfolios[portfolio_id]
        needs = [f"{need.skill} {need.level}" for need in portfolio.skills]
        needs += [portfolio.language] if portfolio.language else []
        within = f", {able.within} {self._within}" if able.within > able.at_once else ""
        staffed = found.staffed * able.at_once / max(1, able.team)
        load = self._capacity.load_of(portfolio_id, window)
        yield (
            f"Only {able.at_once} of the {able.team} agents of {team_id} can take its calls at once"
            f"{f' ({_listed(needs)})' if needs else ''}{within}: {staffed:.1f} of the "
            f"{found.staffed:.1f} who were there, for {load:.1f} erlangs of its own callers, beside their other calls."
        )

    def _kept_waiting(self, name: str) -> Iterator[str]:
        """What the router said of each late call when it arrived."""
        late = self._sum.late.get(name, {})
        total = sum(late.values())
        if not total:
            return
        ranked = sorted(late.items(), key=lambda item: (-item[1], item[0]))
        reasons = [
            f"{_share(count, total)} {_RULE_WORDS.get(rule, rule.replace('_', ' '))}"
            for rule, count in ranked
            if count >= _REASON_MIN * total
        ]
        yield f"Of the {total:,} calls that were not answered in time, {_listed(reasons)}."

    def _help(self, portfolio_id: PortfolioId) -> Iterator[str]:
        """After how long others than the owner team may take its calls."""
        routes = self._organisation.routes[portfolio_id]
        later = sorted((route.reach_ms, route.team_id) for route in routes if route.reach_ms)
        now = [route.team_id for route in routes if not route.reach_ms]
        if len(now) > 1:
            return
        if not later:
            yield f"Nobody but {now[0] if now else 'its team'} may take its calls, however long they wait."
        elif later[0][0] >= 1000 * self._quality.within_s:
            rings = "; ".join(
                f"after {reach_ms / 1000:g} s {_named([team_id for _, team_id in ring])}"
                for reach_ms, ring in groupby(later, key=lambda each: each[0])
            )
            yield f"Nobody of another team may help {self._within}: {rings}."

    def _unanswered(self, counts: Counts) -> Iterator[str]:
        total = self._sum.total
        for name in ("missed", "declined"):
            if self._is_unanswered(counts, name):
                yield (
                    f"{_share(getattr(counts, name), counts.offered)} of the offers of its calls were {name}, "
                    f"{_share(getattr(total, name), total.offered)} of all offers."
                )

    def _is_unanswered(self, counts: Counts, name: str) -> bool:
        """Whether far more of its offers come to nothing than of all."""
        if not counts.offered:
            return False
        usual = getattr(self._sum.total, name) / max(1, self._sum.total.offered)
        return bool(getattr(counts, name) / counts.offered >= max(_MISSED_MIN, _MISSED_TIMES * usual))

    def _gone_elsewhere(self, counts: Counts) -> Iterator[str]:
        if counts.elsewhere >= _ELSEWHERE_MIN * max(1, counts.arrived):
            yield f"{_share(counts.elsewhere, counts.arrived)} of its callers were sent to a message or a number."


_RULE_WORDS: dict[str, str] = {
    Rule.ALL_BUSY: "found everybody busy whom they may reach",
    Rule.OWNER_HOLD: "were first held for their owner, who was busy",
    Rule.NOT_YET: "found agents idle, but in rings that open later",
    Rule.NOBODY_SIGNED_IN: "found nobody signed in whom they may reach",
    Rule.SHARE: "found agents idle abroad, where the share of the contract let no call go",
    Rule.GUARANTEE: "found agents idle outside, kept free for callers who may ask for one inside",
    Rule.PLAN: "found agents idle at sites that had had their share of calls in the move plan",
    NOT_QUEUED: "were offered at once, and were not answered in time",
}


_CAUSES: dict[str, Cause] = {
    Rule.ALL_BUSY: Cause.PEOPLE,
    Rule.OWNER_HOLD: Cause.OWNERS,
    Rule.NOT_YET: Cause.RINGS,
    Rule.NOBODY_SIGNED_IN: Cause.NOBODY,
    Rule.SHARE: Cause.SHARE,
    Rule.GUARANTEE: Cause.PLACE,
    Rule.PLAN: Cause.MOVE,
}


def _then(window: Window) -> str:
    return "all day" if window.is_all_day else str(window)


def _offered(counts: Counts) -> int:
    return counts.answered + counts.abandoned


def _lost(counts: Counts) -> int:
    """Not answered within the threshold, of the callers of variant C."""
    return _offered(counts) - counts.answered_soon


def _level_words(hours: Sequence[Counts]) -> str:
    offered = sum(map(_offered, hours))
    return percent(100 * (1 - sum(map(_lost, hours)) / offered) if offered else None)


def _share(part: int, whole: int) -> str:
    return _share_words(part / whole) if whole else "no data"


def _rounded(number: float) -> str:
    """Of many, the tenth of one is nothing."""
    return f"{number:.0f}" if number >= 20 else f"{number:.1f}"


def _share_words(share: float) -> str:
    return f"{100 * share:.0f} %"


def _named(names: Sequence[str]) -> str:
    some = ", ".join(names[:4])
    return some + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _listed(words: Sequence[str]) -> str:
    return (
        f"{', '.join(words[:-1])} and {words[-1]}"
        if len(words) > 1
        else words[0]
        if words
        else "each had its own reason"
    )
