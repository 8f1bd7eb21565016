"""What a request finds in the worker thread: the store, the calls, the switchboard, the hour."""

from dataclasses import dataclass

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.simulator import CallSimulator
from gateway.sandbox.store import SandboxDatabase


@dataclass(frozen=True)
class SandboxContext:
    """One moment of one account. ``now`` is in seconds since 1970, UTC."""

    store: SandboxDatabase
    calls: CallRepository
    simulator: CallSimulator
    config: SandboxConfig
    now: float
