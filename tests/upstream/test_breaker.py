"""The breaker against a plain oracle, and an example for each sentence of its Note."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CircuitOpen
from gateway.settings import BreakerSettings
from gateway.upstream.breaker import Breaker, BreakerState, Permit

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def fail(breaker: Breaker, times: int, now: float = 0.0) -> None:
    """So many attempts that fail at once."""
    for _ in range(times):
        breaker.failed(breaker.admit(now), now)


def answer(breaker: Breaker, times: int, now: float = 0.0) -> None:
    """So many attempts that are answered at once."""
    for _ in range(times):
        breaker.answered(breaker.admit(now), now)


def admitted(breaker: Breaker, times: int, now: float) -> list[Permit]:
    """Tries to start so many attempts; the permits of those that are admitted."""
    permits = []
    for _ in range(times):
        try:
            permits.append(breaker.admit(now))
        except CircuitOpen:
            continue
    return permits


def opened(now: float = 0.0) -> Breaker:
    """A breaker that opens now."""
    breaker = Breaker("calls", BreakerSettings())
    fail(breaker, 20, now)
    assert breaker.state(now) is OPEN
    return breaker


def test_nineteen_failures_say_nothing_and_twenty_open_it() -> None:
    breaker = Breaker("calls", BreakerSettings())
    fail(breaker, 19)
    assert breaker.state(0.0) is CLOSED
    fail(breaker, 1)

    assert breaker.state(0.0) is OPEN


@pytest.mark.parametrize(("answers", "state"), [(8, OPEN), (9, CLOSED)])
def test_seven_of_ten_have_to_fail(answers: int, state: BreakerState) -> None:
    breaker = Breaker("calls", BreakerSettings())
    answer(breaker, answers)
    fail(breaker, 19)

    assert breaker.state(0.0) is state


def test_five_hangs_count_as_much_as_twenty_failures() -> None:
    breaker = Breaker("calls", BreakerSettings())
    permits = admitted(breaker, 5, 0.0)
    for permit in permits[:4]:
        breaker.failed(permit, 5.0, was_hang=True)
    assert breaker.state(5.0) is CLOSED
    breaker.failed(permits[4], 5.0, was_hang=True)

    assert breaker.state(5.0) is OPEN


def test_failures_are_forgotten_after_ten_seconds() -> None:
    breaker = Breaker("calls", BreakerSettings())
    fail(breaker, 19, 0.0)
    fail(breaker, 1, 10.0)

    assert breaker.state(10.0) is CLOSED


def test_open_it_refuses_for_five_seconds_and_says_how_long() -> None:
    breaker = opened()
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit(1.0)

    assert caught.value.extensions == {"code": "UPSTREAM_UNAVAILABLE", "retryAfter": 4.0}
    assert "Circuit open" in str(caught.value)
    assert admitted(breaker, 1, 4.99) == []
    assert len(admitted(breaker, 1, 5.0)) == 1


def test_half_open_it_lets_five_through_and_three_answers_close_it() -> None:
    breaker = opened()
    permits = admitted(breaker, 50, 5.0)
    assert len(permits) == 5
    for permit in permits[:2]:
        breaker.answered(permit, 5.1)
    assert admitted(breaker, 50, 5.1) == []
    breaker.answered(permits[2], 5.2)

    assert breaker.state(5.2) is CLOSED
    assert len(admitted(breaker, 50, 5.2)) == 50


def test_half_open_three_failures_open_it_again_for_as_long() -> None:
    breaker = opened()
    permits = admitted(breaker, 5, 5.0)
    breaker.answered(permits[0], 5.0)
    breaker.answered(permits[1], 5.0)
    for permit in permits[2:]:
        breaker.failed(permit, 6.0)

    assert breaker.state(10.9) is OPEN
    assert breaker.state(11.0) is HALF_OPEN


def test_a_cancelled_half_open_attempt_is_replaced() -> None:
    breaker = opened()
    permits = admitted(breaker, 5, 5.0)
    breaker.cancelled(permits[0])

    assert len(admitted(breaker, 50, 5.0)) == 1


def test_cancelled_attempts_do_not_open_a_closed_breaker() -> None:
    breaker = Breaker("calls", BreakerSettings())
    for permit in admitted(breaker, 100, 0.0):
        breaker.cancelled(permit)

    assert breaker.state(0.0) is CLOSED


def test_attempts_sent_in_an_earlier_state_do_not_count() -> None:
    breaker = Breaker("calls", BreakerSettings())
    early = admitted(breaker, 30, 0.0)
    fail(breaker, 20, 0.0)
    assert breaker.state(5.0) is HALF_OPEN
    for permit in early[:10]:
        breaker.answered(permit, 5.0)
    assert breaker.state(5.0) is HALF_OPEN
    for permit in early[10:20]:
        breaker.failed(permit, 5.0)
    assert breaker.state(5.0) is HALF_OPEN
    for permit in early[20:]:
        breaker.cancelled(permit)

    assert len(admitted(breaker, 50, 5.0)) == 5


@pytest.mark.parametrize("probes", range(1, 12))
@pytest.mark.parametrize("seed", range(5))
def test_the_probes_always_decide(probes: int, seed: int) -> None:
    """Whatever their results, also on a tie, it is not half-open when all have ended."""
    for failures in range(probes + 1):
        breaker = Breaker("calls", BreakerSettings(min_calls=1, half_open_calls=probes))
        fail(breaker, 1)
        permits = admitted(breaker, probes + 1, 5.0)
        ends = [False] * (probes - failures) + [True] * failures
        random.Random(seed).shuffle(ends)
        for permit, is_failure in zip(permits, ends, strict=True):
            if is_failure:
                breaker.failed(permit, 5.0)
            else:
                breaker.answered(permit, 5.0)

        assert breaker.state(5.0) is (CLOSED if 2 * failures < probes else OPEN)


@pytest.mark.parametrize(
    ("percent", "of"), [(p, n) for p in range(1, 101) for n in (20, 25, 100) if p * n % 100 == 0]
)
def test_a_share_is_met_exactly(percent: int, of: int) -> None:
    """In floating point, 0.55 times 20 is more than eleven."""
    breaker = Breaker("calls", BreakerSettings(min_calls=of, failure_rate=percent))
    failures = percent * of // 100
    answer(breaker, of - failures)
    fail(breaker, failures)

    assert breaker.state(0.0) is OPEN


@dataclass
class Oracle:
    """The Note in the plainest code: it keeps every event and counts them anew, in integers."""

    settings: BreakerSettings
    state: BreakerState = CLOSED
    since: float = 0.0
    period: int = 0
    admitted: int = 0
    events: list[tuple[float, str]] = field(default_factory=list)

    def enter(self, state: BreakerState, now: float) -> None:
        self.state, self.since, self.events, self.admitted = state, now, [], 0
        self.period += 1

    def tick(self, now: float) -> None:
        if self.state is OPEN and now - self.since >= self.settings.open_duration:
            self.enter(HALF_OPEN, now)

    def admits(self, now: float) -> bool:
        self.tick(now)
        is_full = self.state is HALF_OPEN and self.admitted >= self.settings.half_open_calls
        if self.state is OPEN or is_full:
            return False
        self.admitted += 1
        return True

    def is_too_often(self, ended: int, bad: int) -> bool:
        is_too_often = 100 * bad >= self.settings.failure_rate * ended
        return ended >= self.settings.min_calls and is_too_often

    def ends(self, period: int, how: str, now: float) -> None:
        self.tick(now)
        if period != self.period:
            return
        if how == "left":
            self.admitted -= 1
            return
        self.events += [(now, how)] * (4 if how == "hung" and self.state is CLOSED else 1)
        window = self.settings.window
        recent = [e for at, e in self.events if at > now - window or self.state is HALF_OPEN]
        bad = sum(e != "answered" for e in recent)
        if self.state is HALF_OPEN:
            if 2 * bad >= self.settings.half_open_calls:
                self.enter(OPEN, now)
            elif 2 * (len(recent) - bad) > self.settings.half_open_calls:
                self.enter(CLOSED, now)
        elif how != "answered" and self.is_too_often(len(recent), bad):
            self.enter(OPEN, now)


steps = st.tuples(
    st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 6.0]),
    st.sampled_from(["admit", "admit", "end"]),
    st.sampled_from(["failed", "failed", "failed", "hung", "answered", "left"]),
    st.integers(0, 5),
)


# Values that the settings allow, the defaults among them.
settings = st.builds(
    BreakerSettings,
    failure_rate=st.sampled_from([1, 30, 50, 55, 70, 100]) | st.integers(1, 100),
    window=st.sampled_from([0.1, 1.0, 10.0, 60.0]),
    min_calls=st.sampled_from([1, 2, 20]) | st.integers(1, 40),
    open_duration=st.sampled_from([0.1, 1.0, 5.0, 30.0]),
    half_open_calls=st.integers(1, 8),
)


@given(
    settings,
    st.lists(steps, min_size=30, max_size=200),
    st.sampled_from(["failed", "answered"]),
)
def test_it_does_what_the_oracle_does(
    given: BreakerSettings, script: list[tuple[float, str, str, int]], bias: str
) -> None:
    breaker, oracle, now = Breaker("calls", given), Oracle(given), 0.0
    running: list[tuple[Permit, int]] = []
    for pause, what, how, which in script:
        now += pause
        end = how if which else bias
        if what == "admit":
            permits = admitted(breaker, 1, now)
            assert bool(permits) is oracle.admits(now)
            running += [(permit, oracle.period) for permit in permits]
        elif running:
            permit, period = running.pop(which % len(running))
            if end == "left":
                breaker.cancelled(permit)
            elif end == "answered":
                breaker.answered(permit, now)
            else:
                breaker.failed(permit, now, was_hang=end == "hung")
            oracle.ends(period, end, now)
        oracle.tick(now)
        assert breaker.state(now) is oracle.state


def test_its_numbers_can_be_set() -> None:
    """Two failures open it, for one second, and the majority of three attempts closes it."""
    breaker = Breaker(
        "calls",
        BreakerSettings(min_calls=2, failure_rate=100, open_duration=1.0, half_open_calls=3),
    )
    fail(breaker, 2)
    assert breaker.state(0.9) is OPEN
    permits = admitted(breaker, 10, 1.0)
    assert len(permits) == 3

    for permit in permits[:2]:
        breaker.answered(permit, 1.0)
    assert breaker.state(1.0) is CLOSED
