"""Waits for a state with a timeout."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["until", "until_in_loop"]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Waits until the condition is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def until_in_loop(condition: Callable[[], object], seconds: float = 20) -> None:
    """As `until`, while the loop, other loops and threads go on. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (nothing publishes it)
            await asyncio.sleep(0.01)
