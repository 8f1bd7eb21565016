"""Stops asking an upstream that does not answer, and notices when it does again.

Pure: the time comes in as a value, in seconds of any clock that does not run backwards. One breaker
watches one kind of resource, so that recordings that are down do not stop calls. This module must
not know how a request is sent.

Note [Breaker]. Closed, it counts what the tries of the last `window` came to; when at least
`samples` did come to something and `failure_rate` of them to nothing, it opens. Open, it refuses at
once, for the `pause`. Then, half open, it lets `probes` tries through and refuses the rest; the
majority of them decides: so many answers close it, for an upstream that loses one in three is still
better asked than not; it opens again as soon as so many cannot come any more, also on a tie. A hang
is a failure, and HANG_SAMPLES at once while closed; any answer below 500 is none, a 429 included,
for it says that upstream lives; and who leaves before an answer has said nothing: his place among
the probes is given to another.
What a try that was sent in an earlier state comes to says nothing about this one. After a recovery
it serves again within the pause and some answers.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import CircuitOpen

__all__ = ["DEFAULTS", "Breaker", "BreakerLimits", "BreakerState", "Permit"]

# Long enough to see a trend in little traffic, short enough to forget one bad second soon.
WINDOW = 10.0
# Fewer say nothing: at the default number of tries this is seven unlucky reads.
MIN_SAMPLES = 20
# A hang holds a place for seconds: few end in a window, and each has cost as much as several.
HANG_SAMPLES = 4
# A brown-out that loses one in three is still better asked than not, and failures are quicker than
# answers, so that the first samples look worse than it is.
FAILURE_RATE = 0.7
# A sixth of the half minute in which service must be back after a recovery.
OPEN = 5.0
PROBES = 5


@dataclass(frozen=True)
class BreakerLimits:
    """See Note [Breaker]. `window` and `pause` are seconds, `failure_rate` is from 0 to 1."""

    window: float = WINDOW
    samples: int = MIN_SAMPLES
    failure_rate: float = FAILURE_RATE
    pause: float = OPEN
    probes: int = PROBES

    @property
    def verdict(self) -> int:
        """How many answers close it: the majority of the probes."""
        return self.probes // 2 + 1

    @property
    def fatal(self) -> int:
        """How many failures open it again: so many answers cannot come any more."""
        return self.probes - self.verdict + 1


class BreakerState(StrEnum):
    """What a breaker does with a request; see Note [Breaker]."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


DEFAULTS = BreakerLimits()


class Permit:
    """Allows one try. Tell the breaker what it came to, or give it back."""

    __slots__ = ("generation",)

    def __init__(self, generation: int) -> None:
        self.generation = generation


class Breaker:
    """One kind of resource, as it answers at present."""

    def __init__(self, kind: str, limits: BreakerLimits = DEFAULTS) -> None:
        self.kind = kind
        self._limits = limits
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._opened_at = 0.0
        self._samples: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._probes = 0
        self._answers = 0

    def state(self, now: float) -> BreakerState:
        """What it does now."""
        if self._state is BreakerState.OPEN and now - self._opened_at >= self._limits.pause:
            self._enter(BreakerState.HALF_OPEN)
        return self._state

    def admit(self, now: float) -> Permit:
        """Raises CircuitOpen where the try must not be sent."""
        self.refuse_if_open(now)
        self._probes += 1
        return Permit(self._generation)

    def refuse_if_open(self, now: float) -> None:
        """Raises CircuitOpen where a try would not be admitted."""
        state = self.state(now)
        if state is BreakerState.CLOSED:
            return
        if state is BreakerState.HALF_OPEN and self._probes < self._limits.probes:
            return
        left = self._opened_at + self._limits.pause - now if state is BreakerState.OPEN else 1.0
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
            self._sample(now, failed=False)
            return
        self._answers += 1
        if self._answers >= self._limits.verdict:
            self._enter(BreakerState.CLOSED)

    def failed(self, permit: Permit, now: float, *, was_hang: bool = False) -> None:
        """The try came to nothing: no connection, no whole answer, an answer that is none."""
        state = self.state(now)
        if permit.generation != self._generation:
            return
        if state is BreakerState.CLOSED:
            self._sample(now, failed=True, times=HANG_SAMPLES if was_hang else 1)
        else:
            self._failures += 1
        if self._fails_too_often(state):
            self._opened_at = now
            self._enter(BreakerState.OPEN)

    def cancelled(self, permit: Permit) -> None:
        """Nobody waited for what the try would come to."""
        if permit.generation == self._generation:
            self._probes -= 1

    def _sample(self, now: float, *, failed: bool, times: int = 1) -> None:
        self._samples.extend([(now, failed)] * times)
        self._failures += failed * times
        while self._samples[0][0] <= now - self._limits.window:
            self._failures -= self._samples.popleft()[1]

    def _fails_too_often(self, state: BreakerState) -> bool:
        if state is BreakerState.HALF_OPEN:
            return self._failures >= self._limits.fatal
        samples = len(self._samples)
        # Divided, not multiplied: 0.55 * 20 is more than 11, and 11 / 20 is 0.55.
        is_too_often = self._failures / samples >= self._limits.failure_rate
        return samples >= self._limits.samples and is_too_often

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._samples.clear()
        self._failures = self._probes = self._answers = 0
