"""Sends a request: one pool, Basic auth, timeouts."""

import httpx

DEFAULT_TIMEOUT = httpx.Timeout(8.0, connect=3.0)
