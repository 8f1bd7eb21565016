"""How many subscriptions one process serves at once, whosever they are.

This module must not know what is subscribed to.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import TooManySubscribers

__all__ = ["Seats"]


class Seats:
    """At most `limit` are taken at once; `count` are taken now."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One more, until it is left. Raises TooManySubscribers."""
        if self.count >= self._limit:
            raise TooManySubscribers("This gateway has as many subscribers as it may have")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
