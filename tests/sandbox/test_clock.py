"""The sandbox's own time."""

from gateway.sandbox.clock import Clock


class Wall:
    """A monotonic clock in the hand of a test."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_clock_runs_at_its_speed_and_steps_add_to_it() -> None:
    wall = Wall()
    clock = Clock(1000, 10, wall)

    wall.seconds += 2
    clock.step(5)

    assert clock.now() == 1025
    assert clock.real_seconds_until(1035) == 1


def test_a_changed_speed_counts_from_then_on() -> None:
    wall = Wall()
    clock = Clock(1000, 10, wall)

    wall.seconds += 1
    clock.set_speed(0)
    wall.seconds += 99

    assert (clock.now(), clock.speed) == (1010, 0)


def test_a_clock_that_stands_still_never_comes_to_a_later_moment() -> None:
    clock = Clock(1000, 0, Wall())

    assert clock.real_seconds_until(1001) is None
    assert clock.real_seconds_until(1000) == 0
