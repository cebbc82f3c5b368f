"""How long calls are expected to take."""

import pytest

from router.core.handling import (
    TALK_EDGES_MS,
    HangUps,
    RecentMean,
    TalkTimes,
    blended_handling_ms,
    expected_remaining_ms,
    talk_bin,
)


def mean_of(*values_ms: int) -> RecentMean:
    mean = RecentMean()
    for value_ms in values_ms:
        mean.add(value_ms)
    return mean


def test_nothing_measured_yet_means_the_configured_handling_time() -> None:
    assert blended_handling_ms(mean_of(), mean_of(), default_ms=300_000) == 300_000


def test_team_mean_replaces_the_configured_time_from_its_first_call() -> None:
    assert blended_handling_ms(mean_of(), mean_of(100_000), default_ms=300_000) == 100_000


def test_five_own_calls_weigh_as_much_as_the_team() -> None:
    own, team = mean_of(*[100_000] * 5), mean_of(200_000)

    assert blended_handling_ms(own, team, default_ms=300_000) == 150_000


def test_mean_follows_about_the_last_twenty_calls() -> None:
    """After a hundred short calls, one long call moves the mean by a twentieth of the difference, not a hundredth."""
    mean = mean_of(*[100_000] * 100)

    mean.add(300_000)

    assert (mean.count, mean.mean_ms) == (20, 110_000)


def test_rest_of_a_call_is_the_estimate_less_its_age() -> None:
    assert expected_remaining_ms(300_000, 0) == 300_000
    assert expected_remaining_ms(300_000, 225_000) == 75_000


def test_call_that_outlives_its_mean_is_not_about_to_end() -> None:
    """Never less than a quarter of the estimate."""
    assert expected_remaining_ms(300_000, 225_001) == 75_000
    assert expected_remaining_ms(300_000, 1_000_000) == 75_000


# --- How long conversations last ---


@pytest.mark.parametrize(("talk_s", "begins_s", "ends_s"), [(0, 0, 1), (7, 7, 8), (110, 96, 112), (300, 256, 320)])
def test_bins_are_at_most_a_quarter_as_wide_as_what_they_hold_is_long(talk_s: int, begins_s: int, ends_s: int) -> None:
    number = talk_bin(1000 * talk_s)

    assert (TALK_EDGES_MS[number], TALK_EDGES_MS[number + 1]) == (1000 * begins_s, 1000 * ends_s)


def test_last_bin_is_open() -> None:
    assert talk_bin(10**9) == len(TALK_EDGES_MS) - 1


def test_planned_conversations_have_the_mean_that_was_planned() -> None:
    """Sixteen medians of a long-tailed shape: a tenth less than its mean."""
    times = TalkTimes.planned(400_000)

    assert times.total == 16
    middles_ms = [sum(TALK_EDGES_MS[number : number + 2]) // 2 for number in range(len(TALK_EDGES_MS))]
    mean_ms = sum(count * middle for count, middle in zip(times.counts, middles_ms, strict=True)) // 16
    assert mean_ms == pytest.approx(400_000, rel=0.1)


def test_old_conversations_weigh_less_and_less() -> None:
    times = TalkTimes()
    for _ in range(8):
        times.add(100_000, most=9)

    times.add(1_000, most=9)

    assert (times.counts[talk_bin(100_000)], times.counts[talk_bin(1_000)], times.total) == (4, 0, 4)


def test_talk_times_come_back_from_what_was_seen() -> None:
    times = TalkTimes.planned(60_000)

    again = TalkTimes.of_counts(times.seen())

    assert (again.counts, again.total) == (times.counts, times.total)
    assert times.seen()[-1] > 0
    assert TalkTimes().seen() == ()


def test_patience_is_time_waited_over_hang_ups() -> None:
    """Those who were answered count with the time that they have waited, beside one assumed of 300 s."""
    hang_ups = HangUps()
    assert hang_ups.patience_ms == 300_000

    hang_ups.add(40_000, has_hung_up=True)
    hang_ups.add(60_000, has_hung_up=False)

    assert hang_ups.patience_ms == 200_000


def test_patience_is_never_none_at_all() -> None:
    hang_ups = HangUps()
    hang_ups.count = 300_000

    hang_ups.add(0, has_hung_up=True)

    assert hang_ups.patience_ms == 1


def test_hang_ups_of_long_ago_weigh_half() -> None:
    hang_ups = HangUps()
    hang_ups.add(863_999_000, has_hung_up=True)
    hang_ups.add(1_000, has_hung_up=True)

    assert (hang_ups.count, hang_ups.waited_ms) == (1, 432_000_000)
