"""A circuit breaker: rejects requests while upstream fails, and notices when it recovers.

Pure: the time comes in as a value, in seconds of any clock that does not run backwards. One breaker
watches one kind of resource, so that failing recordings do not stop calls. This module must not
know how a request is sent.

Note [Breaker]. Closed, it counts the attempts that finished in the last `window`. It opens when at
least `min_calls` finished and `failure_rate` percent of them failed. Open, it rejects every request
for the `open_duration`. Then, half-open, it lets `half_open_calls` attempts through and rejects the
rest. It closes when the majority of these is answered. It opens again as soon as that cannot happen
any more, also on a tie. An attempt that hangs is a failure, and while closed it counts HANG_WEIGHT
times. A response below 500 is no failure, not even a 429: it shows that upstream is alive. A
cancelled attempt counts as nothing; half-open, another takes its place. An attempt that was sent in
an earlier state does not count in the present one. After upstream has recovered, requests succeed
again after at most the `open_duration` and the half-open attempts.

Note [Breaker's defaults]. 10 seconds are long enough to see a trend in little traffic, short enough
to forget one bad second. 20 attempts are seven unlucky reads; fewer prove nothing. 70 percent keep
the breaker closed for an upstream that loses one request in three, also at first, when failures
look too frequent because they finish sooner than successes. 5 seconds are a sixth of the half
minute within which service must be back after a recovery.
"""

from collections import deque
from enum import StrEnum

from gateway.errors import CircuitOpen
from gateway.settings import BreakerSettings

__all__ = ["Breaker", "BreakerState", "Permit"]

# A hang holds a slot for seconds: few finish in a window, and each costs as much as several.
HANG_WEIGHT = 4


class BreakerState(StrEnum):
    """What a breaker does with a request; see Note [Breaker]."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit:
    """Allows one attempt. Report its end by `answered`, `failed` or `cancelled`."""

    __slots__ = ("generation",)

    def __init__(self, generation: int) -> None:
        self.generation = generation


class Breaker:
    """The breaker of one kind of resource; see Note [Breaker]."""

    def __init__(self, kind: str, settings: BreakerSettings) -> None:
        self.kind = kind
        self._settings = settings
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._opened_at = 0.0
        self._attempts: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._half_open_calls = 0
        self._answers = 0
        self.refusals = 0
        """How many attempts were refused."""

    def state(self, now: float) -> BreakerState:
        """The state at this time; an open breaker becomes half-open here."""
        open_for = now - self._opened_at
        if self._state is BreakerState.OPEN and open_for >= self._settings.open_duration:
            self._enter(BreakerState.HALF_OPEN)
        return self._state

    def admit(self, now: float) -> Permit:
        """A permit for one attempt. Raises CircuitOpen where it must not be sent."""
        self.refuse_if_open(now)
        self._half_open_calls += 1
        return Permit(self._generation)

    def refuse_if_open(self, now: float) -> None:
        """Raises CircuitOpen where an attempt would not be admitted."""
        state = self.state(now)
        if state is BreakerState.CLOSED:
            return
        wait = 1.0
        if state is BreakerState.OPEN:
            wait = self._opened_at + self._settings.open_duration - now
        elif self._half_open_calls < self._settings.half_open_calls:
            return
        self.refusals += 1
        raise CircuitOpen(
            f"Circuit open: upstream fails at {self.kind}, so requests for it are rejected",
            retry_after=round(max(wait, 0.1), 1),
        )

    def answered(self, permit: Permit, now: float) -> None:
        """Records an attempt that got a response below 500."""
        state = self.state(now)
        if permit.generation != self._generation:
            return
        if state is BreakerState.CLOSED:
            self._count(now, failed=False)
            return
        self._answers += 1
        if self._answers >= self._settings.answers_to_close:
            self._enter(BreakerState.CLOSED)

    def failed(self, permit: Permit, now: float, *, was_hang: bool = False) -> None:
        """Records a failed attempt: no connection, no whole or usable response, or a 5xx."""
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
        """Records an attempt whose result counts neither way."""
        if permit.generation == self._generation:
            self._half_open_calls -= 1

    def _count(self, now: float, *, failed: bool, times: int = 1) -> None:
        self._attempts.extend([(now, failed)] * times)
        self._failures += failed * times
        while self._attempts[0][0] <= now - self._settings.window:
            self._failures -= self._attempts.popleft()[1]

    def _fails_too_often(self, state: BreakerState) -> bool:
        if state is BreakerState.HALF_OPEN:
            return self._failures >= self._settings.failures_to_reopen
        attempts = len(self._attempts)
        is_too_often = 100 * self._failures >= self._settings.failure_rate * attempts
        return attempts >= self._settings.min_calls and is_too_often

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._attempts.clear()
        self._failures = self._half_open_calls = self._answers = 0
