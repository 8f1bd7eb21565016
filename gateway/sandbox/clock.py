"""The sandbox's own clock: it can run faster than real time, stop, and be stepped.

Knows nothing of calls.
"""

import time
from collections.abc import Callable


class Clock:
    """Time in seconds since 1970, UTC. Any thread may read it."""

    def __init__(
        self, start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._speed = speed
        self._base, self._base_monotonic = start, monotonic()

    @property
    def speed(self) -> float:
        """Sandbox seconds per real second; at 0 only ``step`` moves the clock."""
        return self._speed

    def now(self) -> float:
        """The current sandbox time."""
        return self._base + (self._monotonic() - self._base_monotonic) * self._speed

    def step(self, seconds: float) -> None:
        """Moves the clock forward by so many seconds."""
        self._base += seconds

    def set_speed(self, speed: float) -> None:
        """Changes the speed from now on."""
        self._base, self._base_monotonic = self.now(), self._monotonic()
        self._speed = speed

    def real_seconds_until(self, moment: float) -> float | None:
        """Real seconds until the clock reaches a moment; None if it is stopped before it."""
        remaining = moment - self.now()
        if remaining <= 0:
            return 0.0
        return remaining / self._speed if self._speed else None
