"""Which failures are worth another try, after how long, and how many tries there may be in all.

Pure: the time, chance and the failure come in as values. This module must not know how a request is
sent.

Note [Retry budget]. Attempts alone multiply an outage: three attempts are three times the load for
an upstream that has no room for one. So each request earns `percent` hundredths of a retry, and a
retry costs a whole one. A small store lets a handful of failures be retried at once. In a total
outage upstream gets at most `percent` more requests than were made, and STORE besides. It is a
share of the requests, not a rate, so it needs no clock.
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

# Back-off: a first pause below the latency of Twilio's API (some 0.1 s) finds it as it was; past
# two seconds a person has gone.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# A try that has less time left than this is not worth a request: Twilio answers in 0.1 s or so.
SHORTEST_TRY = 0.1
# The retries that may happen before anything was earned: a page of an outage's first second, and
# less than a fifth of a request for each of the first 100 asked.
STORE = 10
PASSING_STATUSES = {500, 502, 503, 504}


class RetryBudget:
    """See Note [Retry budget]. `percent` is how many retries 100 requests earn."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._hundredths = 100 * STORE if percent > 0 else 0

    def earn(self) -> None:
        """A request is asked for."""
        self._hundredths = min(100 * STORE, self._hundredths + self._percent)

    def spend(self) -> bool:
        """True when a retry may be sent; it is paid with that."""
        if self._hundredths < 100:
            return False
        self._hundredths -= 100
        return True


def is_retryable(error: UpstreamError, *, is_read: bool) -> bool:
    """True for a failure that a repeat may mend and cannot make worse.

    Of a request that changes something only what certainly has not happened is repeated: a 429,
    and what never left.
    """
    if isinstance(error, UpstreamRateLimited):
        return error.status == 429
    if isinstance(error, CircuitOpen):
        return False
    if not is_read:
        return isinstance(error, RequestNotSent)
    if isinstance(error, UpstreamUnavailable):
        return error.status is None or error.status in PASSING_STATUSES
    # With a status it was no broken body but an answer that this API does not give, as a redirect.
    return isinstance(error, UpstreamTimeout) or (
        isinstance(error, UpstreamInvalid) and error.status is None
    )


def backoff(tried: int, chance: float, asked_for: float | None, left: float) -> float | None:
    """The seconds to wait after so many tries; None where what is `left` does not allow another.

    Full jitter: `chance`, 0 to 1, spreads those who failed together over the whole pause.
    `asked_for` is upstream's Retry-After, below which nothing is sent.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tried - 1))
    seconds = max(chance * longest, asked_for or 0.0)
    return seconds if seconds + SHORTEST_TRY <= left else None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds of a Retry-After header, a number or a date; None without one that is either."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, float(math.ceil((moment - now).total_seconds())))
    except (ValueError, TypeError, OverflowError):
        return None
