"""Key figures: what each is a ratio of, and what it is where there is nothing."""

from pathlib import Path

import pytest

from router.core.model import Quality
from router.experiments.kpis import Better, difference, estimate, kpi_named, kpis_of, value_of
from router.reports.quality import Unit
from router.simulation.counts import Counts, Scope

KPIS = kpis_of(Quality(within_s=20, short_abandon_s=5))
# The example of the reports: 1,000 answered, 860 of them in time, and 60 hang-ups, 20 within 20 s, 10 within 5 s.
DAY = Counts(
    arrived=1_070, answered=1_000, answered_soon=860, abandoned=60, abandoned_soon=20, abandoned_short=10, elsewhere=10,
    wait_ms=15_000_000, wait_all_ms=18_000_000, owned=800, by_owner=400, by_backup=100, on_shift=500,
    on_shift_by_owner=400, by_own_team=700, transferred=30, offered=1_100, missed=22, declined=11, contracted=200,
    inside=160, overrides=2, talk_ms=300_000_000, busy_ms=340_000_000, staffed_ms=425_000_000, called_back=7,
    repeated=5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service_level_a", 83.02),
        ("service_level_b", 86.00),
        ("service_level", 81.13),
        ("service_level_d", 82.69),
        ("service_level_e", 81.90),
        ("mean_wait", 15.0),
        ("mean_wait_all", 16.98),
        ("abandonment", 5.61),
        ("owner_share", 40.0),
        ("owner_share_owned", 50.0),
        ("owner_share_on_shift", 80.0),
        ("backup_share", 12.5),
        ("own_team_share", 70.0),
        ("occupancy", 80.0),
        ("in_country", 80.0),
        ("overrides", 1.0),
        ("transfers", 3.0),
        ("offers_missed", 2.0),
        ("offers_declined", 1.0),
        ("called_back", 0.65),
        ("elsewhere", 0.93),
        ("repeats", 0.47),
        ("mean_talk", 300.0),
    ],
)
def test_each_figure_of_an_example_day(key: str, value: float) -> None:
    assert value_of(kpi_named(KPIS, key), DAY) == pytest.approx(value, abs=0.005)


def test_there_are_no_others() -> None:
    assert len(KPIS) == 23
    assert len({kpi.key for kpi in KPIS}) == 23


def test_the_manual_has_all_of_them() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")

    variants = {f"service_level_{each}" for each in "abde"}
    missing = [kpi.key for kpi in KPIS if kpi.key not in variants and f"`{kpi.key}`" not in manual]
    assert missing == []


def test_every_service_level_names_its_variant_and_threshold() -> None:
    levels = [kpi for kpi in kpis_of(Quality(within_s=30)) if kpi.key.startswith("service_level")]

    assert [kpi.name[:25] for kpi in levels] == [f"service level {each} within 30 s"[:25] for each in "ABCDE"]
    assert kpi_named(KPIS, "service_level").short == "within 20 s (C)"


def test_a_figure_of_nothing_is_no_data() -> None:
    for kpi in KPIS:
        assert value_of(kpi, Counts()) is None
        assert estimate(kpi, [Counts(), Counts()]).value is None


def test_where_no_client_has_an_owner_there_is_no_owner_share() -> None:
    nobodys = Counts(answered=10)

    assert value_of(kpi_named(KPIS, "owner_share"), nobodys) is None


def test_hang_ups_have_no_team() -> None:
    of_teams = {kpi.key for kpi in KPIS if Scope.TEAM in kpi.scopes}

    assert "service_level_b" in of_teams
    assert not of_teams & {"service_level", "abandonment", "service_level_a", "elsewhere"}


def test_seconds_and_percentages() -> None:
    assert kpi_named(KPIS, "mean_wait").unit is Unit.SECONDS
    assert kpi_named(KPIS, "occupancy").unit is Unit.PERCENT
    assert kpi_named(KPIS, "mean_wait").better is Better.LOWER
    with pytest.raises(KeyError):
        kpi_named(KPIS, "happiness")


def test_one_replication_has_a_value_and_no_interval() -> None:
    found = estimate(kpi_named(KPIS, "owner_share"), [DAY])

    assert (found.value, found.half_width, found.above, found.below) == (40.0, None, 400, 1_000)


def test_replications_are_put_together_by_their_sums() -> None:
    """Ten of ten and none of ninety are a tenth, not a half."""
    kpi = kpi_named(KPIS, "service_level")
    found = estimate(kpi, [Counts(answered=10, answered_soon=10), Counts(answered=90)])

    assert found.value == pytest.approx(10.0)
    assert found.half_width is not None


def test_differences_are_taken_replication_by_replication() -> None:
    kpi = kpi_named(KPIS, "service_level")
    before = [Counts(answered=100, answered_soon=soon) for soon in (50, 70, 90)]
    after = [Counts(answered=100, answered_soon=soon + 5) for soon in (50, 70, 90)]

    found = difference(kpi, before, after)

    assert found.value == pytest.approx(5.0)
    assert found.half_width == pytest.approx(0.0, abs=1e-9)
    assert difference(kpi, before, [Counts()] * 3).value is None
