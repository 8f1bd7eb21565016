"""What a request finds in the worker thread: the store, the book, the switchboard, the hour."""

from dataclasses import dataclass

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.ledger import Ledger
from gateway.sandbox.store import Store
from gateway.sandbox.switchboard import Switchboard


@dataclass(frozen=True)
class Desk:
    """One moment of one account. ``now`` is in seconds since 1970, UTC."""

    store: Store
    book: Ledger
    board: Switchboard
    config: SandboxConfig
    now: float
