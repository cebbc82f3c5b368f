"""Counts of runs add up, whatever ids each of them has seen."""

from router.simulation.counts import DAY_HOURS, WAIT_EDGES_S, Counts, RunCounts, Scope, sum_of


def run(portfolio_id: str, arrived: int) -> RunCounts:
    hours = [Counts() for _ in range(DAY_HOURS)]
    hours[9] = Counts(arrived=arrived)
    return RunCounts(
        by_scope={
            Scope.ALL: {"all": Counts(arrived=arrived)},
            Scope.PORTFOLIO: {portfolio_id: Counts(arrived=arrived)},
        },
        by_hour={portfolio_id: hours},
        teams_by_hour={"a": hours},
        waits={portfolio_id: [arrived] + [0] * len(WAIT_EDGES_S)},
        states_ms={"idle": [1_000] * DAY_HOURS},
        open_days=[1] * DAY_HOURS,
        late={portfolio_id: {"all_busy": 2}},
        days=7,
    )


def test_runs_add_up() -> None:
    runs = [run("gold", 10), run("gold", 5), run("iron", 1)]

    total = sum_of(runs)

    assert total.total.arrived == 16
    assert {name: counts.arrived for name, counts in total.by_scope[Scope.PORTFOLIO].items()} == {"gold": 15, "iron": 1}
    assert total.by_hour["gold"][9].arrived == 15
    assert total.teams_by_hour["a"][9].arrived == 16
    assert total.waits["gold"][0] == 15
    assert total.states_ms["idle"][0] == 3_000
    assert total.open_days[23] == 3
    assert total.late == {"gold": {"all_busy": 4}, "iron": {"all_busy": 2}}
    assert total.days == 21


def test_adding_up_leaves_the_runs_as_they_were() -> None:
    first = run("gold", 10)

    sum_of([first, run("gold", 5)])

    assert first == run("gold", 10)
