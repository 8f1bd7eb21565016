"""How fast one caller may ask: a token bucket for each, in bounded memory.

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm).
This module must not know what a caller is.
"""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

from gateway.errors import RateLimited

__all__ = ["RateLimiter"]

MOST_CALLERS = 10_000


class RateLimiter:
    """`rate` requests a second for each key, `burst` at once after a rest.

    The `most` keys that were seen last are remembered; one that is forgotten has a full bucket.
    `words` are what is said to who has to wait.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_CALLERS,
        words: str = "Too many requests at once; slow down",
    ) -> None:
        self._interval = 1 / rate
        self._capacity = burst / rate
        self._clock = clock
        self._words = words
        self._full_at: LRUCache[str, float] = LRUCache(most)

    def take(self, key: str) -> None:
        """One request of this key. Raises RateLimited, which says when the next may come."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._interval
        excess = full_at - now - self._capacity
        self._full_at[key] = full_at if excess <= 0 else full_at - self._interval
        if excess > 0:
            raise RateLimited(self._words, math.ceil(excess))

    def give_back(self, key: str) -> None:
        """One request that was taken and does not count."""
        if key in self._full_at:
            self._full_at[key] -= self._interval
