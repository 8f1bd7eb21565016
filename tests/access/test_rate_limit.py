"""The rate limiter, compared with a plain token bucket, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.rate_limit import RateLimiter
from gateway.errors import RateLimited


class Clock:
    """A clock that tests advance."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def is_allowed(limiter: RateLimiter, key: str = "a") -> bool:
    """True if a request is allowed."""
    try:
        limiter.take(key)
    except RateLimited:
        return False
    return True


@given(
    st.sampled_from([0.5, 1, 4, 32]),
    st.integers(1, 20),
    st.lists(
        st.tuples(st.integers(0, 64).map(lambda eighths: eighths / 8), st.booleans()), max_size=80
    ),
)
def test_it_lets_through_exactly_what_a_token_bucket_would(
    rate: float, burst: int, steps: list[tuple[float, bool]]
) -> None:
    """Each step is a pause and a request, which may be refunded if it is allowed."""
    clock = Clock()
    limiter, tokens = RateLimiter(rate, burst, clock), float(burst)
    for pause, is_given_back in steps:
        clock.now += pause
        tokens = min(burst, tokens + pause * rate)
        has_token = tokens >= 1
        tokens -= has_token
        assert is_allowed(limiter) == has_token
        if has_token and is_given_back:
            clock.now += pause
            tokens = min(burst, tokens + pause * rate + 1)
            limiter.refund("a")


@pytest.mark.parametrize(("rate", "wait"), [(200, 1), (0.5, 2), (0.1, 10)])
def test_the_error_says_when_to_retry(rate: float, wait: int) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, 1, clock)
    limiter.take("a")

    with pytest.raises(RateLimited) as refused:
        limiter.take("a")
    assert refused.value.extensions == {"code": "RATE_LIMITED", "retryAfter": wait}
    clock.now += wait
    assert is_allowed(limiter)


def test_callers_have_separate_buckets() -> None:
    limiter = RateLimiter(1, 3, Clock())

    assert [is_allowed(limiter) for _ in range(4)] == [True, True, True, False]
    assert is_allowed(limiter, "b")


def test_refused_requests_do_not_postpone_the_next() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 1, clock)
    limiter.take("a")
    assert not any(is_allowed(limiter) for _ in range(50))
    clock.now += 1

    assert is_allowed(limiter)


def test_it_remembers_the_callers_seen_last_and_no_more() -> None:
    limiter = RateLimiter(1, 1, Clock(), max_keys=100)
    for number in range(1000):
        limiter.take(str(number))
        assert not is_allowed(limiter, str(number))

    assert not is_allowed(limiter, "900")
    assert is_allowed(limiter, "899")
