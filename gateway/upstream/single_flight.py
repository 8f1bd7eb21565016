"""Single flight: equal reads in flight are coalesced into one.

A flight is cancelled when its last waiter has left; a waiter that leaves does not affect the
others. This module must not know what a read is.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

__all__ = ["Deadline", "SingleFlight"]

T = TypeVar("T")
Start = Callable[["Deadline"], Coroutine[Any, Any, T]]


class Deadline:
    """The latest deadline of all waiters, a time of the loop's clock."""

    def __init__(self, until: float) -> None:
        self.until = until

    def extend(self, until: float) -> None:
        """Extends it for a waiter that waits until then."""
        self.until = max(self.until, until)


class InFlight:
    """A read in flight, its deadline and the number of its waiters."""

    def __init__(self, start: Start[Any], until: float) -> None:
        self.deadline = Deadline(until)
        self.waiters = 0
        self.task = asyncio.create_task(start(self.deadline))


class SingleFlight:
    """The flights of one client, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, InFlight] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    async def do(self, key: Hashable, until: float, start: Start[T]) -> T:
        """The result of the flight of this key; `start` begins one if there is none."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = InFlight(start, until)
        flight.deadline.extend(until)
        flight.waiters += 1
        try:
            result: T = await asyncio.shield(flight.task)
            return result
        finally:
            flight.waiters -= 1
            if flight.task.done() or not flight.waiters:
                self._forget(key, flight)

    def _forget(self, key: Hashable, flight: InFlight) -> None:
        flight.task.cancel()
        if self._flights.get(key) is flight:
            del self._flights[key]
