"""Stops asking an upstream that does not answer, and notices when it does again.

Pure: the time comes in as a value, in seconds of any clock that does not run backwards. One breaker
watches one kind of resource, so that recordings that are down do not stop calls. This module must
not know how a request is sent.

Note [Breaker]. Closed, it counts the attempts that finished in the last `window`. It opens when at
least `min_calls` finished and `failure_rate` percent of them failed. Open, it rejects every request
for the `open_duration`. Then, half-open, it lets `half_open_calls` attempts through and rejects the
rest. The majority of them decides: it closes when so many are answered, and opens again as soon as
so many cannot be answered any more, also on a tie. An attempt that hangs is a failure, and while
closed it counts HANG_WEIGHT times. Any answer below 500 is none, a 429 included: it shows that
upstream lives. An attempt that is cancelled says nothing; half-open, another takes its place. An
attempt that was sent in an earlier state says nothing about this one. Once upstream has recovered,
requests are served again after the `open_duration` and some answers.

Note [Breaker's defaults]. 10 seconds are long enough to see a trend in little traffic, short enough
to forget one bad second. 20 attempts are seven unlucky reads; fewer say nothing. At 70 percent, an
upstream that loses one in three is still asked, and failures finish sooner than answers, so that
the first attempts look worse than it is. 5 seconds are a sixth of the half minute in which service
must be back after a recovery.
"""

from collections import deque
from enum import StrEnum

from gateway.errors import CircuitOpen
from gateway.settings import BreakerSettings

__all__ = ["Breaker", "BreakerState", "Permit"]

# A hang holds a slot for seconds: few end in a window, and each has cost as much as several.
HANG_WEIGHT = 4


class BreakerState(StrEnum):
    """What a breaker does with a request; see Note [Breaker]."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit:
    """Allows one try. Tell the breaker what it came to, or give it back."""

    __slots__ = ("generation",)

    def __init__(self, generation: int) -> None:
        self.generation = generation


class Breaker:
    """One kind of resource, as it answers at present."""

    def __init__(self, kind: str, settings: BreakerSettings) -> None:
        self.kind = kind
        self._settings = settings
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._opened_at = 0.0
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._half_open_calls = 0
        self._answers = 0

    def state(self, now: float) -> BreakerState:
        """What it does now."""
        open_for = now - self._opened_at
        if self._state is BreakerState.OPEN and open_for >= self._settings.open_duration:
            self._enter(BreakerState.HALF_OPEN)
        return self._state

    def admit(self, now: float) -> Permit:
        """Raises CircuitOpen where the try must not be sent."""
        self.refuse_if_open(now)
        self._half_open_calls += 1
        return Permit(self._generation)

    def refuse_if_open(self, now: float) -> None:
        """Raises CircuitOpen where a try would not be admitted."""
        state = self.state(now)
        if state is BreakerState.CLOSED:
            return
        left = 1.0
        if state is BreakerState.OPEN:
            left = self._opened_at + self._settings.open_duration - now
        elif self._half_open_calls < self._settings.half_open_calls:
            return
        raise CircuitOpen(
            f"Upstream fails at {self.kind} and is not asked for some seconds: circuit open",
            retry_after=round(max(left, 0.1), 1),
        )

    def answered(self, permit: Permit, now: float) -> None:
        """The try was answered, in whatever way."""
        state = self.state(now)
        if permit.generation != self._generation:
            return
        if state is BreakerState.CLOSED:
            self._count(now, failed=False)
            return
        self._answers += 1
        if self._answers >= self._settings.majority:
            self._enter(BreakerState.CLOSED)

    def failed(self, permit: Permit, now: float, *, was_hang: bool = False) -> None:
        """The try came to nothing: no connection, no whole answer, an answer that is none."""
        state = self.state(now)
        if permit.generation != self._generation:
            return
        if state is BreakerState.CLOSED:
            self._count(now, failed=True, times=HANG_WEIGHT if was_hang else 1)
        else:
            self._failures += 1
        if self._fails_too_often(state):
            self._opened_at = now
            self._enter(BreakerState.OPEN)

    def cancelled(self, permit: Permit) -> None:
        """Nobody waited for what the try would come to."""
        if permit.generation == self._generation:
            self._half_open_calls -= 1

    def _count(self, now: float, *, failed: bool, times: int = 1) -> None:
        self._calls.extend([(now, failed)] * times)
        self._failures += failed * times
        while self._calls[0][0] <= now - self._settings.window:
            self._failures -= self._calls.popleft()[1]

    def _fails_too_often(self, state: BreakerState) -> bool:
        if state is BreakerState.HALF_OPEN:
            return self._failures >= self._settings.fatal
        calls = len(self._calls)
        is_too_often = 100 * self._failures >= self._settings.failure_rate * calls
        return calls >= self._settings.min_calls and is_too_often

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._calls.clear()
        self._failures = self._half_open_calls = self._answers = 0
