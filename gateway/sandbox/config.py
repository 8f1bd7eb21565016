"""What a sandbox can be told before it starts. Knows nothing of how each value is used."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class SandboxConfig:
    """One account, its credentials and its example calls.

    The default account and token are well known, so that nobody takes them for secrets.
    """

    account_sid: str = "AC5a9db0c55a9db0c55a9db0c55a9db0c5"
    auth_token: str = field(default="70cc0de570cc0de570cc0de570cc0de5", repr=False)
    api_key: str | None = None
    """An API key, or a main account's SID, that with its secret also opens the account."""
    api_secret: str | None = field(default=None, repr=False)
    database: str = ":memory:"
    """A file path, or memory. A file that already holds an account's calls is not seeded again."""
    calls: int = 2000
    """How many example calls the account starts with, legs included."""
    seed: int = 1
    now: datetime | None = None
    """The moment at which the clock starts and the example calls end, UTC; none means today's."""
    speed: float = 1.0
    """How many times as fast as real time the clock runs; at 0 it moves by steps only."""
    calls_per_second: float = 1.0
    """Calls made faster than this wait in the queue."""
    callbacks_anywhere: bool = False
    """Whether TwiML and callback URLs beyond this machine's loopback interface are asked."""
    concurrency: int | None = 100
    """Requests at a time; those above it get a 429. None is no limit."""
    latency: float = 0.0
    """Seconds that every request takes at least."""
    latency_per_row: float = 0.0
    """Seconds that every row of an answer adds."""
    latency_jitter: float = 0.0
    """The part of a latency by which it may be longer or shorter, from 0 to 1; seeded."""
    ended_calls_are_missing: bool = False
    """Whether changing a call that has ended is answered 404 (20404) instead of 400 (21220)."""
    control: bool = False
    """Whether tests may control the sandbox through the routes below ``/sandbox``."""
