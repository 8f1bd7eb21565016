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
# Failure, whether a read of it is repeated, whether a change of it is.
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


@pytest.mark.parametrize(("error", "read", "change"), FAILURES, ids=lambda value: repr(value)[:40])
def test_what_may_pass_is_repeated_and_of_changes_only_what_did_not_happen(
    error: UpstreamError, read: bool, change: bool
) -> None:
    assert is_retryable(error, is_read=True) is read
    assert is_retryable(error, is_read=False) is change


def test_every_error_of_upstreams_is_in_the_table() -> None:
    def leaves(error: type[GatewayError]) -> set[type[GatewayError]]:
        return {error}.union(*(leaves(below) for below in error.__subclasses__()))

    tried = {type(error) for error, _, _ in FAILURES}
    assert leaves(UpstreamError) - {UpstreamError} == tried


@given(st.integers(1, 3), st.floats(0, 1), st.none() | st.floats(0, 1e9), st.floats(-10, 100))
def test_a_pause_is_jittered_keeps_to_retry_after_and_leaves_time_for_a_try(
    tried: int, chance: float, asked_for: float | None, left: float
) -> None:
    seconds = backoff(tried, chance, asked_for, left)
    grown = chance * (0.1 * 2 ** (tried - 1))
    wanted = max(grown, asked_for or 0)

    assert seconds == (wanted if wanted + 0.1 <= left else None)


def test_the_back_off_doubles_up_to_two_seconds() -> None:
    longest = [backoff(tried, 1.0, None, 60) for tried in range(1, 8)]

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
    """How many tries so many requests take where this share of tries fails, and how many end well.

    The loop of the delivery, with nothing but the budget.
    """
    chance, budget, tries, well = random.Random(seed), RetryBudget(percent), 0, 0
    for _ in range(requests):
        budget.earn()
        for tried in range(1, 4):
            tries += 1
            if chance.random() >= failing:
                well += 1
                break
            if tried == 3 or not budget.spend():
                break
    return tries, well


@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 100), st.integers())
def test_tries_are_never_more_than_requests_and_their_share_and_the_store(
    requests: int, failing: float, percent: int, seed: int
) -> None:
    tries, _ = sent(requests, failing, percent, seed)
    assert 100 * (tries - requests) <= requests * percent + (100 * BURST if percent else 0)


@pytest.mark.parametrize("requests", [100, 1000, 5000])
def test_in_a_total_outage_upstream_sees_at_most_a_fifth_more(requests: int) -> None:
    tries, _ = sent(requests, failing=1.0)
    assert requests < tries <= 1.2 * requests


@pytest.mark.parametrize("seed", range(5))
def test_with_one_in_twenty_failing_nearly_all_are_answered(seed: int) -> None:
    tries, well = sent(2000, failing=0.05, seed=seed)
    assert well >= 0.985 * 2000
    assert tries <= 1.15 * 2000


def test_what_was_earned_long_ago_is_not_saved_up() -> None:
    """A long good time pays for no storm: the store has its size."""
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


def test_no_share_is_no_retry() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()
