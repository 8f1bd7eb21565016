"""What a request finds in the worker thread: the store, the book, the switchboard, the hour."""

from dataclasses import dataclass

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.ledger import CallRepository
from gateway.sandbox.store import SandboxDatabase
from gateway.sandbox.switchboard import CallSimulator


@dataclass(frozen=True)
class SandboxRequest:
    """One moment of one account. ``now`` is in seconds since 1970, UTC."""

    store: SandboxDatabase
    book: CallRepository
    board: CallSimulator
    config: SandboxConfig
    now: float
