"""The sandbox's own time: it can run faster than the wall's, stand still, and be stepped by hand.

Knows nothing of calls.
"""

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, UTC, from a start on; may be read from any thread."""

    def __init__(
        self, start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._speed = speed
        self._base, self._base_monotonic = start, monotonic()

    @property
    def speed(self) -> float:
        """Sandbox seconds per second; at 0 the clock moves by steps only."""
        return self._speed

    def now(self) -> float:
        """The sandbox's present."""
        return self._base + (self._monotonic() - self._base_monotonic) * self._speed

    def step(self, seconds: float) -> None:
        """Moves the present forward at once."""
        self._base += seconds

    def set_speed(self, speed: float) -> None:
        """Goes on from the present at another speed."""
        self._base, self._base_monotonic = self.now(), self._monotonic()
        self._speed = speed

    def real_seconds_until(self, moment: float) -> float | None:
        """Real seconds until a moment comes by itself; none when it never does."""
        left = moment - self.now()
        if left <= 0:
            return 0.0
        return left / self._speed if self._speed else None
