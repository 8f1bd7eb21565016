"""The draining flag: SIGTERM sets it; readiness, streams and connections read it.

The flag is in the lifespan's state, which the server and every request share.

Note [Told to end]. The server (uvicorn, in this process or in each worker) installs its signal
handler before the lifespan starts. Ours replaces it: the signal sets the flag, and the server's
handler runs `delay` seconds later. During the delay the server still accepts connections.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["draining", "is_draining"]

NAME = "draining"


@contextmanager
def draining(delay: float) -> Iterator[dict[str, Any]]:
    """Yields the lifespan's state, whose flag SIGTERM and SIGINT set inside this context."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    handlers = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if callable(handler := signal.getsignal(number)) and _is_servers(handler)
    }

    def begin(number: signal.Signals) -> None:
        is_first = not event.is_set()
        event.set()
        loop.call_later(delay if is_first else 0, handlers[number], number, None)

    for number in handlers:
        loop.add_signal_handler(number, begin, number)
    try:
        yield {NAME: event}
    finally:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _is_servers(handler: Any) -> bool:
    return getattr(handler, "__name__", "") == "handle_exit"


def is_draining(state: Any) -> bool:
    """True once draining has begun; `state` is a request's or the lifespan's."""
    event = state.get(NAME) if isinstance(state, dict) else getattr(state, NAME, None)
    return event is not None and event.is_set()
