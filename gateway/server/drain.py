"""That the process is about to end: SIGTERM says so; readiness, streams and connections ask.

The flag is in the lifespan's state, which the server and every request share.

Note [Told to end]. The server (uvicorn, in this process or in each worker) has its own handler by
the time that the lifespan begins. We go before it: at the signal the flag is set, and after
`delay` seconds, in which connections are still taken, the server's handler is told.
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
    """The lifespan's state, of which signals set the flag while this lasts."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    servers = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if callable(handler := signal.getsignal(number)) and _is_a_servers(handler)
    }

    def begin(number: signal.Signals) -> None:
        is_first = not event.is_set()
        event.set()
        loop.call_later(delay if is_first else 0, servers[number], number, None)

    for number in servers:
        loop.add_signal_handler(number, begin, number)
    try:
        yield {NAME: event}
    finally:
        for number, handler in servers.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _is_a_servers(handler: Any) -> bool:
    return getattr(handler, "__name__", "") == "handle_exit"


def is_draining(state: Any) -> bool:
    """True once draining has begun; `state` is a request's, or the lifespan's."""
    event = state.get(NAME) if isinstance(state, dict) else getattr(state, NAME, None)
    return event is not None and event.is_set()
