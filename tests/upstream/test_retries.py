"""What is tried again, after how long, and how much an outage is made worse by: never more."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    CircuitOpen,
    GatewayError,
    OutcomeUnknown,
    RequestNotSent,
    UpstreamAuth,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.retries import BURST, RetryBudget, backoff, is_retryable, retry_after

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
# The failure, whether a read is retried after it, and whether a write is.
FAILURES: list[tuple[UpstreamError, bool, bool]] = [
    (RequestNotSent("-"), True, True),
    (UpstreamRateLimited("-", status=429), True, True),
    (UpstreamRateLimited("the line is full"), False, False),
    (UpstreamUnavailable("broken connection"), True, False),
    *((UpstreamUnavailable("-", status=status), True, False) for status in (500, 502, 503, 504)),
    *((UpstreamUnavailable("-", status=status), False, False) for status in (501, 505, 599)),
    (CircuitOpen("-", retry_after=1.0), False, False),
    (UpstreamTimeout("-"), True, False),
    (UpstreamInvalid("broken body"), True, False),
    (UpstreamInvalid("redirect", status=302), False, False),
    (UpstreamAuth("-", status=401), False, False),
    (UpstreamRejected("-", status=400), False, False),
    (UpstreamNotFound("-", status=404), False, False),
    (OutcomeUnknown("-"), False, False),
]


@pytest.mark.parametrize(("error", "read", "write"), FAILURES, ids=lambda value: repr(value)[:40])
def test_failures_that_may_pass_are_retried_and_of_writes_only_those_that_did_not_happen(
    error: UpstreamError, read: bool, write: bool
) -> None:
    assert is_retryable(error, is_read=True) is read
    assert is_retryable(error, is_read=False) is write


def test_every_error_of_upstreams_is_in_the_table() -> None:
    def leaves(error: type[GatewayError]) -> set[type[GatewayError]]:
        return {error}.union(*(leaves(below) for below in error.__subclasses__()))

    attempts = {type(error) for error, _, _ in FAILURES}
    assert leaves(UpstreamError) - {UpstreamError} == attempts


@given(st.integers(1, 3), st.floats(0, 1), st.none() | st.floats(0, 1e9), st.floats(-10, 100))
def test_backoff_is_jittered_respects_retry_after_and_leaves_time_for_an_attempt(
    attempts: int, chance: float, requested: float | None, remaining: float
) -> None:
    seconds = backoff(attempts, chance, requested, remaining)
    grown = chance * (0.1 * 2 ** (attempts - 1))
    wanted = max(grown, requested or 0)

    assert seconds == (wanted if wanted + 0.1 <= remaining else None)


def test_the_back_off_doubles_up_to_two_seconds() -> None:
    longest = [backoff(attempts, 1.0, None, 60) for attempts in range(1, 8)]

    assert longest == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Tue, 10 Mar 2026 12:00:30", 30.0),
        ("", None), ("-1", None), ("1.5", None), ("soon", None), ("NaN", None), ("9" * 40, None),
        ("٣", None), ("Fri, 99 Oct 2019 17:00:00 GMT", None), ("1, 2", None), ("\x00", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds
    assert retry_after({}, NOW) is None


@given(st.text(max_size=40))
def test_no_text_of_retry_after_is_an_error(value: str) -> None:
    seconds = retry_after({"Retry-After": value}, NOW)
    assert seconds is None or seconds >= 0


def sent(requests: int, failing: float, percent: int = 10, seed: int = 1) -> tuple[int, int]:
    """The attempts that so many requests take if this share of attempts fails, and the successes.

    It is the loop of the pipeline with nothing but the budget.
    """
    chance, budget, attempts_sent, well = random.Random(seed), RetryBudget(percent), 0, 0
    for _ in range(requests):
        budget.earn()
        for attempts in range(1, 4):
            attempts_sent += 1
            if chance.random() >= failing:
                well += 1
                break
            if attempts == 3 or not budget.spend():
                break
    return attempts_sent, well


@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 100), st.integers())
def test_attempts_never_exceed_the_requests_the_budget_and_the_burst(
    requests: int, failing: float, percent: int, seed: int
) -> None:
    attempts_sent, _ = sent(requests, failing, percent, seed)
    assert 100 * (attempts_sent - requests) <= requests * percent + (100 * BURST if percent else 0)


@pytest.mark.parametrize("requests", [100, 1000, 5000])
def test_in_a_total_outage_upstream_sees_at_most_a_fifth_more(requests: int) -> None:
    attempts_sent, _ = sent(requests, failing=1.0)
    assert requests < attempts_sent <= 1.2 * requests


@pytest.mark.parametrize("seed", range(5))
def test_with_one_in_twenty_failing_nearly_all_are_answered(seed: int) -> None:
    attempts_sent, well = sent(2000, failing=0.05, seed=seed)
    assert well >= 0.985 * 2000
    assert attempts_sent <= 1.15 * 2000


def test_saved_retries_are_bounded() -> None:
    """A long time without failures pays for no retry storm: the budget saves at most BURST."""
    budget = RetryBudget(10)
    for _ in range(10_000):
        budget.earn()

    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def test_ten_requests_earn_one_retry() -> None:
    budget = RetryBudget(10)
    while budget.spend():
        pass
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_a_budget_of_nothing_allows_no_retry() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()
