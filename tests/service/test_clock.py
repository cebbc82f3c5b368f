"""The clock that deadlines go by, while the wall clock is set this way and that."""

from router.service.clock import JUMP_MS, Clock


class Clocks:
    """A wall clock that can be set and a steady one that cannot."""

    def __init__(self) -> None:
        self.wall_ms = 1_000_000
        self.steady_ms = 50
        self.clock = Clock(lambda: self.wall_ms, lambda: self.steady_ms)

    def pass_ms(self, milliseconds: int) -> int:
        self.wall_ms += milliseconds
        self.steady_ms += milliseconds
        return self.clock.now_ms()


def test_time_is_that_of_the_wall() -> None:
    clocks = Clocks()

    assert clocks.clock.now_ms() == 1_000_000
    assert clocks.pass_ms(1_234) == 1_001_234
    assert clocks.clock.catch_up() == 0


def test_a_clock_set_back_goes_on_a_tenth_slower_until_the_wall_has_caught_up() -> None:
    clocks = Clocks()
    clocks.wall_ms -= 3_600_000

    seen = [clocks.pass_ms(7) for _ in range(10_000)]

    assert seen == sorted(seen)
    assert seen[-1] - 1_000_000 == 63_000
    for _ in range(40_000):
        clocks.pass_ms(1_000)
    assert 0 <= clocks.clock.now_ms() - clocks.wall_ms <= JUMP_MS


def test_a_clock_set_forward_is_followed_when_asked() -> None:
    clocks = Clocks()
    clocks.wall_ms += 60_000

    assert clocks.pass_ms(100) == 1_000_100
    assert clocks.clock.catch_up() == 60_000
    assert clocks.clock.now_ms() == clocks.wall_ms
    assert clocks.clock.catch_up() == 0


def test_small_steps_are_left_alone() -> None:
    clocks = Clocks()
    clocks.wall_ms += JUMP_MS

    assert clocks.clock.catch_up() == 0
    clocks.wall_ms -= 2 * JUMP_MS
    assert clocks.pass_ms(1_000) == 1_001_000


def test_time_goes_on_from_the_journals_last_moment() -> None:
    clocks = Clocks()
    clocks.clock.not_before(1_005_000)

    assert clocks.clock.now_ms() == 1_005_000
    assert clocks.pass_ms(1_000) == 1_005_900
    clocks.clock.not_before(3)
    assert clocks.clock.now_ms() == 1_005_900
