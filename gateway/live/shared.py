"""What many subscribers want done for the same news is done once for all who want it by then.

This module must not know what is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

from gateway.upstream.flights import SingleFlight

__all__ = ["Shared"]

T = TypeVar("T")
HOLDS = 1.0
"""Seconds for which an outcome is kept for those who come a little later."""
MAX_OUTCOMES = 200
LONGEST = 60.0
"""Seconds beyond every deadline of what is done."""


class Shared(Generic[T]):
    """Outcomes by key, each of one run. `clock` is one in seconds, the loop's if not given."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._flights = SingleFlight()
        self._outcomes: TTLCache[Hashable, T] = TTLCache(MAX_OUTCOMES, HOLDS, self._now)

    async def outcome(self, key: Hashable, run: Callable[[], Awaitable[T]]) -> T:
        """The outcome under this key: one that is there, or is coming, or that of this `run`.

        A run goes on as long as anybody waits for it, whoever began it. What it raises is raised
        to all who wait, and not kept.
        """
        outcome = self._outcomes.get(key)
        if outcome is not None:
            return outcome
        return await self._flights.join(key, self._now() + LONGEST, lambda _: self._run(key, run))

    async def _run(self, key: Hashable, run: Callable[[], Awaitable[T]]) -> T:
        self._outcomes[key] = outcome = await run()
        return outcome

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()
