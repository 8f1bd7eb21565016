"""Equal reads in flight are one read.

A flight is cancelled when the last who waits for it has left, and nobody else's leaving costs
anybody anything. This module must not know what a read is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Deadline", "SingleFlight"]

T = TypeVar("T")


class Deadline:
    """Until when somebody still waits, a time of the loop's clock: the most patient counts."""

    def __init__(self, until: float) -> None:
        self.until = until

    def extend(self, until: float) -> None:
        """Somebody has joined who waits until then."""
        self.until = max(self.until, until)


class InFlight:
    """A read in flight, how long it is waited for, and by how many."""

    def __init__(self, start: Callable[[Deadline], Awaitable[Any]], until: float) -> None:
        self.deadline = Deadline(until)
        self.waiters = 0
        self.task = asyncio.ensure_future(start(self.deadline))


class SingleFlight:
    """The flights of one client, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, InFlight] = {}

    async def do(self, key: Hashable, until: float, start: Callable[[Deadline], Awaitable[T]]) -> T:
        """The outcome of the flight under this key, begun by `start` if there is none."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = InFlight(start, until)
        flight.deadline.extend(until)
        flight.waiters += 1
        try:
            outcome: T = await asyncio.shield(flight.task)
            return outcome
        finally:
            flight.waiters -= 1
            if flight.task.done() or not flight.waiters:
                self._forget(key, flight)

    def _forget(self, key: Hashable, flight: InFlight) -> None:
        flight.task.cancel()
        if self._flights.get(key) is flight:
            del self._flights[key]
