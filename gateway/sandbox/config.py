"""The configuration of a sandbox."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class SandboxConfig:
    """One account, its credentials and its example calls.

    The default account and token are public, so that nobody mistakes them for secrets.
    """

    account_sid: str = "AC5a9db0c55a9db0c55a9db0c55a9db0c5"
    auth_token: str = field(default="70cc0de570cc0de570cc0de570cc0de5", repr=False)
    api_key: str | None = None
    """An API key, or a main account's SID, that is accepted too, with ``api_secret``."""
    api_secret: str | None = field(default=None, repr=False)
    database: str = ":memory:"
    """A file path, or memory. A file that was already seeded is not seeded again."""
    calls: int = 2000
    """Number of example calls at the start, legs included."""
    seed: int = 1
    now: datetime | None = None
    """Where the clock starts, UTC; None means now. The example calls end at the midnight before."""
    speed: float = 1.0
    """Clock speed as a multiple of real time; at 0 the clock only moves by steps."""
    calls_per_second: float = 1.0
    """Calls that are made faster than this wait in the queue."""
    callbacks_anywhere: bool = False
    """Whether to send TwiML requests and callbacks beyond this machine's loopback interface."""
    concurrency: int | None = 100
    """Maximum concurrent requests; the rest get a 429. None means no limit."""
    latency: float = 0.0
    """Seconds that every request takes."""
    latency_per_row: float = 0.0
    """Additional seconds for each row of a response."""
    latency_jitter: float = 0.0
    """Jitter as a fraction of the latency, from 0 to 1, in both directions; seeded."""
    ended_calls_are_missing: bool = False
    """Whether an update of an ended call gets 404 (20404) instead of 400 (21220)."""
    control: bool = False
    """Whether the control routes below ``/sandbox`` are enabled."""
