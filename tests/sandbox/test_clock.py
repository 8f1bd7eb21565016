"""The sandbox's clock."""

from gateway.sandbox.clock import Clock


class FakeMonotonic:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_clock_runs_at_its_speed_and_steps_add_to_it() -> None:
    monotonic = FakeMonotonic()
    clock = Clock(1000, 10, monotonic)

    monotonic.seconds += 2
    clock.step(5)

    assert clock.now() == 1025
    assert clock.real_seconds_until(1035) == 1


def test_a_new_speed_applies_from_then_on() -> None:
    monotonic = FakeMonotonic()
    clock = Clock(1000, 10, monotonic)

    monotonic.seconds += 1
    clock.set_speed(0)
    monotonic.seconds += 99

    assert (clock.now(), clock.speed) == (1010, 0)


def test_a_stopped_clock_never_reaches_a_later_moment() -> None:
    clock = Clock(1000, 0, FakeMonotonic())

    assert clock.real_seconds_until(1001) is None
    assert clock.real_seconds_until(1000) == 0
