"""What a request handler gets in the worker thread."""

from dataclasses import dataclass

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.simulator import CallSimulator
from gateway.sandbox.store import SandboxDatabase


@dataclass(frozen=True)
class SandboxContext:
    """One account at one moment: ``now`` is in seconds since 1970, UTC."""

    store: SandboxDatabase
    calls: CallRepository
    simulator: CallSimulator
    config: SandboxConfig
    now: float
