"""How long calls are expected to take."""

from router.core.handling import RecentMean, blended_handling_ms, expected_remaining_ms


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
