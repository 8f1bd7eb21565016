"""The process from which workers are forked: it loads what they need, once for all of them.

It begins before its parent loads the same, so that both load at once. A worker that is forked
starts at once, and shares the memory of what was loaded. This module must not load the server.

Note [Termination of the fork server]. A service manager may send SIGTERM to all processes of a
gateway. The fork server tells the parent when workers end, so it must outlive them: it blocks
SIGTERM and ends with its parent. Its workers inherit that. A SIGTERM to one that has just been
forked waits until the worker allows it (`server.worker`).
"""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker

__all__ = ["start_fork_server"]

LOADED = ["gateway.server.worker", "gateway.cli"]


def start_fork_server() -> None:
    """Starts it in the background. It ends when this process does."""
    multiprocessing.set_forkserver_preload(LOADED)
    resource_tracker.ensure_running()  # else the fork server starts it, which unblocks SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
