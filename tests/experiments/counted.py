"""Counts of small centres made by hand."""

from router.core.model import OrganisationDescription
from router.simulation.counts import DAY_HOURS, NOT_QUEUED, WAIT_EDGES_S, Counts, RunCounts, Scope
from tests.core.builders import agent, link, organisation, portfolio, team

HOUR_MS = 3_600_000


def description() -> OrganisationDescription:
    """Gold of team a, iron of team b; b helps a after a minute."""
    return organisation(
        teams=(team("a", backups=(link("b", after_s=60),)), team("b")),
        portfolios=(portfolio("gold", "a"), portfolio("iron", "b")),
        agents=(
            *(agent(f"a{number}", "a") for number in range(4)),
            *(agent(f"b{number}", "b") for number in range(4)),
        ),
    )


def calls(arrived: int, *, soon: int, abandoned: int = 0, by_owner: int = 0) -> Counts:
    """Calls of six minutes; those answered later than the threshold had waited for a minute."""
    answered = arrived - abandoned
    return Counts(
        arrived=arrived,
        answered=answered,
        answered_soon=soon,
        abandoned=abandoned,
        wait_ms=60_000 * (answered - soon),
        wait_all_ms=60_000 * (arrived - soon),
        owned=answered,
        by_owner=by_owner,
        on_shift=answered // 2,
        on_shift_by_owner=by_owner,
        by_own_team=answered,
        offered=answered,
        talk_ms=360_000 * answered,
        busy_ms=360_000 * answered,
    )


def added(rows: list[Counts]) -> Counts:
    total = Counts()
    for row in rows:
        total.add(row)
    return total


def run(
    gold: dict[int, Counts], iron: dict[int, Counts], *, staffed: dict[str, float] | None = None, late: str = "all_busy"
) -> RunCounts:
    """A day, by hour; so many agents of each team are there in each hour in which there are calls."""
    staffed = staffed or {"a": 4.0, "b": 4.0}
    hours = {"gold": day(gold), "iron": day(iron)}
    portfolios = {name: added(each) for name, each in hours.items()}
    open_hours = {*gold, *iron}
    teams = {
        team_id: [
            Counts(
                staffed_ms=int(staffed[team_id] * HOUR_MS) if hour in open_hours else 0,
                busy_ms=min(hours[name][hour].busy_ms, int(staffed[team_id] * HOUR_MS)),
            )
            for hour in range(DAY_HOURS)
        ]
        for team_id, name in (("a", "gold"), ("b", "iron"))
    }
    total = added([*portfolios.values()])
    by_team = {"a": added([portfolios["gold"]]), "b": added([portfolios["iron"]])}
    for team_id, rows in teams.items():
        by_team[team_id].staffed_ms = sum(each.staffed_ms for each in rows)
    total.staffed_ms = sum(each.staffed_ms for rows in teams.values() for each in rows)
    return RunCounts(
        by_scope={
            Scope.ALL: {"all": total},
            Scope.PORTFOLIO: portfolios,
            Scope.TEAM: by_team,
            Scope.SITE: {"laquila": total},
        },
        by_hour={"all": [added([hours["gold"][h], hours["iron"][h]]) for h in range(DAY_HOURS)], **hours},
        teams_by_hour=teams,
        waits={
            name: [of.answered_soon, *[0] * 6, of.answered - of.answered_soon, *[0] * (len(WAIT_EDGES_S) - 7)]
            for name, of in (("all", total), *portfolios.items())
        },
        states_ms={"idle": [HOUR_MS if hour in open_hours else 0 for hour in range(DAY_HOURS)]},
        open_days=[int(hour in open_hours) for hour in range(DAY_HOURS)],
        late={
            name: {late: of.answered + of.abandoned - of.answered_soon, NOT_QUEUED: 0}
            for name, of in (("all", total), *portfolios.items())
        },
        days=1,
    )


def day(hours: dict[int, Counts]) -> list[Counts]:
    return [hours.get(hour, Counts()) for hour in range(DAY_HOURS)]


def short_of_people(*, more: int = 0) -> RunCounts:
    """Gold is served as well as iron in the morning; in the afternoon its two agents have work for four."""
    return run(
        {9: calls(20, soon=18), 14: calls(40, soon=8, abandoned=16), 15: calls(40 + more, soon=8, abandoned=16)},
        {hour: calls(20 + more, soon=18) for hour in (9, 14, 15)},
        staffed={"a": 2.5, "b": 4.0},
    )
