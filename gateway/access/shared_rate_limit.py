"""Limits the request rate of each caller across several gateways, whose store has the buckets.

Note [In batches]. A gateway takes several tokens of a caller's bucket at once and spends them on
this caller's next requests, so a fast caller costs few round trips. A batch is about what the
caller spends here in BATCH_SECONDS: it doubles when the last one was spent sooner, and halves
otherwise. So what lies unspent at all gateways, which a caller may send beyond its burst, is some
BATCH_SECONDS of its rate. Once a caller's bucket would be full again, its old tokens are dropped.

Note [Fail open]. The gateway's own limiter counts every request, too. It alone decides while the
store does not answer within PATIENCE seconds, and then for AWAY_SECONDS. So each gateway allows the
whole rate while the store is away.

This module must not know what a caller is, nor what store there is.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cachetools import LRUCache

from gateway.access.rate_limit import MAX_KEYS, RateLimiter
from gateway.errors import RateLimited, StoreUnavailable

__all__ = ["Buckets", "SharedRateLimiter", "Taken"]

log = logging.getLogger(__name__)

PATIENCE, AWAY_SECONDS = 0.05, 1.0
BATCH_SECONDS, BATCHES_PER_BURST = 0.25, 10


class Taken(NamedTuple):
    """How many tokens were taken; if none, the seconds until there is one."""

    tokens: int
    wait: float


class Buckets(Protocol):
    """The buckets of all callers, which all gateways share."""

    async def take(self, caller: str, count: int, rate: float, burst: int) -> Taken:
        """Takes up to `count` tokens of the caller's bucket. Raises StoreUnavailable."""

    async def aclose(self) -> None:
        """Closes the connections."""


@dataclass(slots=True)
class Batch:
    """The last `size` tokens of a caller, taken at `since`, of which `tokens` are left."""

    size: int
    tokens: int
    since: float
    refused_until: float


class SharedRateLimiter:
    """As RateLimiter, across all gateways with the same buckets. Close with `aclose`.

    Without buckets it is a RateLimiter.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        buckets: Buckets | None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._rate, self._burst = rate, burst
        self._buckets = buckets
        self._clock = clock
        self._patience = patience
        self._local = RateLimiter(rate, burst, clock)
        self._largest = max(1, int(min(burst / BATCHES_PER_BURST, rate * BATCH_SECONDS)))
        self._batches: LRUCache[str, Batch] = LRUCache(MAX_KEYS)
        self._taking: dict[str, asyncio.Task[Taken | None]] = {}
        self._away_until = -math.inf
        self._is_alone = False

    async def take(self, key: str) -> None:
        """Counts one request. Raises RateLimited, which says when the next one is allowed."""
        self._local.take(key)
        if self._buckets is not None:
            await self._take_shared(key, self._buckets)

    async def _take_shared(self, key: str, buckets: Buckets) -> None:
        while self._clock() >= self._away_until and not self._spend(key):
            taking = self._taking.get(key)
            is_mine = taking is None
            taking = taking or self._start_taking(key, buckets)
            await asyncio.wait([taking], timeout=self._patience)
            if not taking.done():
                self._count_alone()
            elif is_mine and (taken := taking.result()):
                if not taken.tokens:
                    self._refuse(key, taken.wait)
                return  # who takes a batch has its first token

    async def aclose(self) -> None:
        """Waits for what is being taken, then closes the buckets."""
        if self._taking:
            await asyncio.wait(list(self._taking.values()))
        if self._buckets is not None:
            await self._buckets.aclose()

    def _count_alone(self) -> None:
        """See Note [Fail open]."""
        self._away_until = self._clock() + AWAY_SECONDS
        if not self._is_alone:
            log.warning("the store is away or slow: this gateway counts its callers' rates alone")
        self._is_alone = True

    def _spend(self, key: str) -> bool:
        """Spends a token of the batch at hand, if there is one. Raises RateLimited."""
        batch, now = self._batches.get(key), self._clock()
        if batch is None:
            return False
        if now < batch.refused_until:
            self._refuse(key, batch.refused_until - now)
        if not batch.tokens or self._is_old(batch, now):
            return False
        batch.tokens -= 1
        return True

    def _refuse(self, key: str, wait: float) -> None:
        self._local.refund(key)
        raise RateLimited(self._local.message, math.ceil(wait))

    def _is_old(self, batch: Batch, now: float) -> bool:
        return now - batch.since >= self._burst / self._rate

    def _start_taking(self, key: str, buckets: Buckets) -> asyncio.Task[Taken | None]:
        task = asyncio.create_task(self._take_batch(key, buckets))
        self._taking[key] = task
        task.add_done_callback(lambda _: self._taking.pop(key, None))
        return task

    async def _take_batch(self, key: str, buckets: Buckets) -> Taken | None:
        """Takes a batch; None where the store is away."""
        size = self._next_size(self._batches.get(key))
        try:
            taken = await buckets.take(key, size, self._rate, self._burst)
        except StoreUnavailable:
            self._count_alone()
            return None
        self._is_alone = False
        now = self._clock()
        self._batches[key] = Batch(size, max(taken.tokens - 1, 0), now, now + taken.wait)
        return taken

    def _next_size(self, last: Batch | None) -> int:
        """See Note [In batches]."""
        now = self._clock()
        if last is None or self._is_old(last, now):
            return 1
        if now - last.since < BATCH_SECONDS:
            return min(last.size * 2, self._largest)
        return max(last.size // 2, 1)
