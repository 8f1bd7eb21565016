"""Retries: which failures are retried, after which backoff, within which retry budget.

Pure: time, randomness and the failure come in as values. This module must not know how a request is
sent.

Note [Retry budget]. Attempts alone multiply an outage: three attempts are three times the load for
an upstream that has no room for one. So each request earns `percent` hundredths of a retry, and a
retry spends a whole one. Up to BURST retries are saved, so that a handful of failures can be
retried at once. In a total outage upstream gets at most `percent` percent more requests, and BURST
besides. The budget is a share of the requests, not a rate, so it needs no clock.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gateway.errors import (
    CircuitOpen,
    RequestNotSent,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)

__all__ = ["RetryBudget", "backoff", "is_retryable", "retry_after"]

# Seconds of backoff. Below the latency of Twilio's API (some 0.1 s) nothing has changed yet; after
# two seconds a person has left.
BASE_DELAY, MAX_DELAY = 0.1, 2.0
# An attempt with fewer seconds left is not worth a request: Twilio answers in 0.1 s or so.
MIN_ATTEMPT = 0.1
# The retries that are saved at most, and at the start: enough for a page in the first second of an
# outage, and less than a fifth of a retry for each of the first 100 requests.
BURST = 10
RETRYABLE_STATUSES = {500, 502, 503, 504}


class RetryBudget:
    """See Note [Retry budget]. `percent` is how many retries 100 requests earn."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._hundredths = 100 * BURST if percent > 0 else 0

    @property
    def tokens(self) -> int:
        """How many retries it allows now."""
        return self._hundredths // 100

    def earn(self) -> None:
        """Call once for each request."""
        self._hundredths = min(100 * BURST, self._hundredths + self._percent)

    def spend(self) -> bool:
        """Spends a retry; False where the budget has none left."""
        if self._hundredths < 100:
            return False
        self._hundredths -= 100
        return True


def is_retryable(error: UpstreamError, *, is_read: bool) -> bool:
    """True for a failure that may pass and is safe to retry.

    A write is retried only if it certainly did not happen: after a 429, or when it was not sent.
    """
    if isinstance(error, UpstreamRateLimited):
        return error.status == 429
    if isinstance(error, CircuitOpen):
        return False
    if not is_read:
        return isinstance(error, RequestNotSent)
    if isinstance(error, UpstreamUnavailable):
        return error.status is None or error.status in RETRYABLE_STATUSES
    # With a status it is a response that this API never gives (a redirect), else a broken body.
    return isinstance(error, UpstreamTimeout) or (
        isinstance(error, UpstreamInvalid) and error.status is None
    )


def backoff(
    attempts: int, jitter: float, requested: float | None, remaining: float
) -> float | None:
    """The seconds to wait after so many attempts; None where too few seconds are `remaining`.

    Full jitter: `jitter`, 0 to 1, spreads requests that failed together over the whole delay.
    `requested` is upstream's Retry-After: the wait is at least as long.
    """
    delay = min(MAX_DELAY, BASE_DELAY * 2 ** (attempts - 1))
    seconds = max(jitter * delay, requested or 0.0)
    return seconds if seconds + MIN_ATTEMPT <= remaining else None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds of a Retry-After header, a number or a date; None if missing or malformed."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, float(math.ceil((moment - now).total_seconds())))
    except (ValueError, TypeError, OverflowError):
        return None
