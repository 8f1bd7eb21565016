"""That the process is about to end: SIGTERM says so, readiness, streams and connections ask.

The flag is in the lifespan's state, which the server and every request share. This module must not
know signals.
"""

import asyncio
from typing import Any

__all__ = ["drain_state", "is_draining", "start_draining"]

NAME = "draining"


def drain_state() -> dict[str, Any]:
    """The lifespan's state: an event that is set when draining begins."""
    return {NAME: asyncio.Event()}


def start_draining(state: dict[str, Any]) -> None:
    """Sets the event of a lifespan's state, if there is one."""
    if NAME in state:
        state[NAME].set()


def is_draining(state: Any) -> bool:
    """True once draining has begun; `state` is a request's, or the lifespan's."""
    event = state.get(NAME) if isinstance(state, dict) else getattr(state, NAME, None)
    return event is not None and event.is_set()
