"""Limits the request rate of each caller: one token bucket per key, in bounded memory.

A bucket is one number: the time at which it will be full again (the generic cell rate algorithm).
This module must not know what a caller is.
"""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

from gateway.errors import RateLimited

__all__ = ["MAX_KEYS", "RateLimiter"]

MAX_KEYS = 10_000


class RateLimiter:
    """Allows `rate` requests a second for each key, and `burst` at once after a pause.

    It keeps the `max_keys` keys that were used last; an evicted key starts with a full bucket.
    `message` is the message of RateLimited.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
        message: str = "Too many requests at once; slow down",
    ) -> None:
        self._interval = 1 / rate
        self._capacity = burst / rate
        self._clock = clock
        self.message = message
        self._full_at: LRUCache[str, float] = LRUCache(max_keys)

    def take(self, key: str) -> None:
        """Counts one request. Raises RateLimited, which says when the next one is allowed."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._interval
        excess = full_at - now - self._capacity
        self._full_at[key] = full_at if excess <= 0 else full_at - self._interval
        if excess > 0:
            raise RateLimited(self.message, math.ceil(excess))

    def refund(self, key: str) -> None:
        """Undoes one `take`."""
        if key in self._full_at:
            self._full_at[key] -= self._interval
