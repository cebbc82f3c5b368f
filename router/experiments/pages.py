"""The page of a simulated time: one file that needs nothing else and says first who is badly served, and why."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from router.core.model import OrganisationDescription
from router.experiments.findings import Findings
from router.experiments.kpis import Estimate, Kpi, kpi_named
from router.experiments.results import Results, Row, counted_words
from router.experiments.tables import columns_of, main_key, shown, stopped_words, worst_first
from router.reports.pages import rendered
from router.reports.quality import Unit
from router.simulation.counts import Scope

__all__ = ["READING", "WORDS", "page_of_results", "shown_in_page"]

_NAMED_MAX = 6
"""Lines of a figure that can be told apart."""

READING = (
    "± is half of a 95 % confidence interval over independent replications (Student's t, for ratios by the delta "
    "method): of a hundred such intervals some five miss the truth, and a table has many.",
    "Where nothing was counted that a figure could be of, there is no data, which is not 0.",
    "Service levels differ by what is done with callers who hang up, so each names its variant and threshold; the "
    "letters are those of the router's other reports.",
)


WORDS = (
    ("portfolio", "a book of clients; its first team is the owner team"),
    ("owner", "the agent who answers for a client, and is asked first; backups stand in"),
    (
        "held for the owner",
        "the owner was busy, and the caller waited for the owner although others may have been idle",
    ),
    ("ring", "agents who may be offered a call after the same wait; rings open one after the other"),
    ("hung up", "left before any answer"),
    ("wrap-up", "the work after a call"),
    ("occupancy, busy", "talk and wrap-up, of the time signed in and not in a pause"),
    ("erlang", "as much work as keeps one agent busy all the time"),
    ("replication", "the same time played once more with other callers, drawn by the same rules"),
)


def page_of_results(
    results: Results, findings: Findings, kpis: Sequence[Kpi], description: OrganisationDescription
) -> str:
    """The page, as HTML."""
    rows = results.rows
    (whole,) = (row for row in rows if row.scope is Scope.ALL)
    telling = findings.telling()
    marked = [finding.portfolio_id for finding in telling if finding.portfolio_id is not None]
    bad = [finding.portfolio_id for finding in findings.badly_served if finding.portfolio_id is not None]
    return rendered(
        "simulation.html.j2",
        {"shown": shown_in_page},
        title=f"Simulation of {results.scenario}",
        what=_what(results, description, whole),
        notes=(*results.notes, *([stopped_words(results)] if results.stopped and not results.stopped.is_met else [])),
        findings=findings,
        telling=telling,
        level=kpi_named(kpis, main_key(Scope.ALL)),
        figures=_figures(results, kpis, description, marked, bad),
        confidence=f"{100 * results.confidence:.0f} %",
        whole={"row": whole, "kpis": [kpi for kpi in kpis if Scope.ALL in kpi.scopes]},
        scopes=[_scope(scope, rows, kpis) for scope in Scope if scope is not Scope.ALL and _has(scope, rows)],
        bad=bad,
        definitions=kpis,
        words=WORDS,
        reading=READING,
        footer=_footer(results),
    )


def shown_in_page(found: Estimate | None, unit: Unit) -> str:
    """As on a terminal, with spaces that do not break."""
    return shown(unit, found).replace(" ", "\u00a0")


def _has(scope: Scope, rows: Sequence[Row]) -> bool:
    return any(row.scope is scope for row in rows)


def _scope(scope: Scope, rows: Sequence[Row], kpis: Sequence[Kpi]) -> Mapping[str, object]:
    of_scope = worst_first(rows, scope)
    note = ""
    if scope is not Scope.PORTFOLIO:
        note = f"By who answered: hang-ups are of no {scope}, so that the service level is B, of those answered."
    return {
        "name": str(scope),
        "counted": "arrived" if scope is Scope.PORTFOLIO else "answered",
        "kpis": columns_of(of_scope, kpis, scope),
        "rows": [
            {"id": row.id, "counts": msgspec.structs.asdict(row.counts), "figures": row.figures} for row in of_scope
        ],
        "note": note,
    }


def _what(results: Results, description: OrganisationDescription, whole: Row) -> str:
    """What was simulated, for somebody who has never seen it."""
    calls = whole.counts.arrived / results.replications
    by_scope = results.counts.by_scope
    teams = {team_id for team_id, counts in by_scope.get(Scope.TEAM, {}).items() if counts.staffed_ms}
    agents = sum(agent.team_id in teams for agent in description.agents)
    times = "once" if results.replications == 1 else f"{results.replications} times, each time with other callers"
    each = "In it" if results.replications == 1 else "In each"
    warm_up = (results.ends - results.starts).days - results.days
    left_out = f" (the first {warm_up} days are not counted)" if warm_up > 0 else ""
    return (
        f"Made-up callers and agents of {counted_words(results.days, 'day')}, from {results.starts} to "
        f"{results.ends - timedelta(days=1)}"
        f"{left_out}, around the very engine that routes live calls, played {times}. {each}, some {calls:,.0f} calls "
        f"came for {len(by_scope.get(Scope.PORTFOLIO, {}))} portfolios, and {len(teams)} teams with {agents} agents at "
        f"{len(by_scope.get(Scope.SITE, {}))} sites took turns to answer them. A portfolio is a book of clients with "
        "an owner team; a client may have one agent as owner, who is asked first."
    )


def _figures(
    results: Results,
    kpis: Sequence[Kpi],
    description: OrganisationDescription,
    marked: Sequence[str],
    bad: Sequence[str],
) -> list[Mapping[str, str]]:
    # Not at the top: matplotlib would make every command wait for it.
    from router.experiments.figures import Point, agents_chart, day_chart, frontier_chart, waits_chart

    quality, counts = description.quality, results.counts
    portfolios = worst_first(results.rows, Scope.PORTFOLIO)
    names = [row.id for row in portfolios] if len(portfolios) <= _NAMED_MAX else list(marked[:_NAMED_MAX])
    level, owner = kpi_named(kpis, main_key(Scope.ALL)), kpi_named(kpis, "owner_share")
    drawn = "The black or white line is all callers" + (
        ", the others are the portfolios." if names and len(names) == len(portfolios) else
        ", the others are the portfolios that are explained above." if names else "."
    )  # fmt: skip
    figures: list[dict[str, str]] = [
        {
            "title": "Waits.",
            "words": "Of those answered, how many had waited no longer than so long; dotted: "
            f"{quality.within_s} s. {drawn}",
            "svg": waits_chart(counts.waits, names, within_s=quality.within_s),
        },
        {
            "title": "Service level over the day.",
            "words": f"{level.name}, by the hour of the call, above how the calls spread over the day. {drawn}",
            "svg": day_chart(counts.by_hour, names, level),
        },
    ]
    points = [Point(row.id, row.figures["owner_share"], row.figures[level.key], row.id in bad) for row in portfolios]
    if any(point.x.value for point in points):
        figures.append(
            {
                "title": "Owner share against service level.",
                "words": "Each point is a portfolio, lines are intervals; those that are badly served are orange "
                "squares. To the right, more callers reach the agent who knows them; upwards, more are answered in "
                "time.",
                "svg": frontier_chart(points, x_words=f"% {owner.name}", y_words=f"% {level.short}"),
            }
        )
    figures.append(
        {
            "title": "Agents by state.",
            "words": "In the mean of all days that were counted, days on which a team is away included.",
            "svg": agents_chart(counts.states_ms, days=counts.days),
        }
    )
    return list[Mapping[str, str]](figures)


def _footer(results: Results) -> str:
    stopped = f" Stopping rule: {stopped_words(results)}." if results.stopped is not None else ""
    return (
        f"{results.scenario}, seed {results.seed}, {counted_words(results.replications, 'replication')} of "
        f"{counted_words(results.days, 'day')}."
        f"{stopped} The same scenario, seed and version of the router give the same page."
    )
