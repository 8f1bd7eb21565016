"""The worker processes of a gateway: lists and pauses them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.program import Server

__all__ = ["needs_proc", "only", "paused", "workers_of"]

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")


def workers_of(server: Server) -> list[int]:
    """The process ids of a gateway's workers."""
    process = server.process.pid
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return [child for child, line in lines.items() if "spawn_main" in line]


@contextmanager
def paused(*processes: int) -> Iterator[None]:
    """Pauses these processes, for less time than the parent waits for them."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@contextmanager
def only(worker: int, server: Server) -> Iterator[None]:
    """Only this worker serves new connections inside the context."""
    with paused(*(other for other in workers_of(server) if other != worker)):
        yield
