import json
from io import StringIO

import pytest
from rich.console import Console

from router.simulation.results import CallResult, Results, as_json, as_table, summarise


def result(
    *, kind: str = "gas", wait_s: float = 0, answered: bool = True, owner: str = "none", service_s: float = 60
) -> CallResult:
    """*owner*: none, away (off shift), passed (on shift, another agent answered) or answered."""
    return CallResult(
        kind=kind,
        wait_ms=round(1_000 * wait_s),
        answered=answered,
        by_owner=owner == "answered",
        has_owner=owner != "none",
        owner_on_shift=owner in ("passed", "answered"),
        service_ms=round(1_000 * service_s) if answered else 0,
    )


def printed(log: Results, replayed: Results) -> str:
    text = StringIO()
    Console(width=120, file=text).print(as_table(log=log, replayed=replayed))
    return text.getvalue()


def test_service_level_is_variant_c() -> None:
    """The example of the literature: 1000 answered, 860 of them within 20 s, 60 abandoned: 81.13 %."""
    calls = [result(wait_s=20)] * 860 + [result(wait_s=20.001)] * 140 + [result(wait_s=5, answered=False)] * 60

    results = summarise(calls, busy_ms=None, staffed_ms=None)

    assert (results.variant, results.threshold_s) == ("C", 20)
    assert results.total.service_level == pytest.approx(0.8113, abs=0.00005)
    assert results.total.abandoned_share == pytest.approx(60 / 1060)


def test_means_are_of_the_answered() -> None:
    calls = [result(wait_s=10, service_s=100), result(wait_s=30, service_s=200), result(wait_s=900, answered=False)]

    total = summarise(calls, busy_ms=None, staffed_ms=None).total

    assert (total.mean_wait_answered_s, total.mean_service_s) == (20, 150)


def test_owner_shares() -> None:
    calls = [result(owner=owner) for owner in ("none", "none", "away", "passed", "answered")]
    calls.append(result(owner="passed", answered=False))

    total = summarise(calls, busy_ms=None, staffed_ms=None).total

    assert (total.owner_share, total.owner_share_owned, total.owner_share_on_shift) == (1 / 5, 1 / 3, 1 / 2)


def test_kinds_come_by_name_and_occupancy_in_all() -> None:
    calls = [result(kind="water"), result(kind="gas", wait_s=40), result(kind="gas")]

    results = summarise(calls, busy_ms=180_000, staffed_ms=240_000)

    assert [(kind, kpis.offered, kpis.service_level) for kind, kpis in results.by_kind.items()] == [
        ("gas", 2, 0.5),
        ("water", 1, 1),
    ]
    assert results.occupancy == 0.75


def test_nothing_is_no_data_rather_than_zero() -> None:
    nobody_answered = summarise([result(answered=False)], busy_ms=0, staffed_ms=0)
    nothing = summarise([], busy_ms=None, staffed_ms=5)

    assert nobody_answered.total.service_level == 0
    assert nobody_answered.total.mean_wait_answered_s is None
    assert nobody_answered.total.owner_share is None
    assert nobody_answered.occupancy is None
    assert nothing.total.service_level is None
    assert nothing.occupancy is None
    assert printed(nothing, nothing).count("no data") == 16


def test_table_shows_log_beside_replay_and_names_the_variant() -> None:
    log = summarise([result(wait_s=40)], busy_ms=60_000, staffed_ms=120_000)
    replayed = summarise([result(wait_s=4)], busy_ms=60_000, staffed_ms=240_000)

    lines = printed(log, replayed).splitlines()

    assert any("answered in time" in line and "0.0 %" in line and "100.0 %" in line for line in lines)
    assert any("occupancy" in line and "50.0 %" in line and "25.0 %" in line for line in lines)
    assert "variant C, within 20 s / offered" in " ".join(line.strip() for line in lines)


def test_table_shows_a_kind_that_only_one_side_has() -> None:
    log = summarise([result(kind="gas")], busy_ms=None, staffed_ms=None)
    replayed = summarise([result(kind="water")], busy_ms=None, staffed_ms=None)

    lines = printed(log, replayed).splitlines()

    assert any("gas" in line and "no data" in line for line in lines)
    assert any("water" in line and "no data" in line for line in lines)


def test_json_is_the_same_on_every_run() -> None:
    calls = [result(wait_s=wait, kind=kind) for wait, kind in ((1, "b"), (2, "a"), (25, "a"))]
    one = summarise(calls, busy_ms=1, staffed_ms=3)
    other = summarise(reversed(calls), busy_ms=1, staffed_ms=3)

    text = as_json(log=one, replayed=one)

    assert text == as_json(log=other, replayed=other)
    document = json.loads(text)
    assert document["log"]["variant"] == "C"
    assert document["log"]["occupancy"] == 0.333333
    assert document["replayed"]["by_kind"]["a"]["service_level"] == 0.5
    assert document["replayed"]["total"]["owner_share_owned"] is None
