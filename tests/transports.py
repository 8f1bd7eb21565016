"""The two ways to a real upstream: aiohttp, and httpx through a proxy.

An upstream of these tests is its own proxy: it understands a request for an absolute URL.
"""

from typing import Any

import pytest

from gateway.settings import UpstreamSettings
from gateway.upstream.aiohttp_transport import AiohttpTransport
from gateway.upstream.client import UpstreamClient
from gateway.upstream.httpx_transport import HttpxTransport
from gateway.upstream.sending import Transport
from tests.upstream.stage import TOKEN_ACCOUNT

__all__ = ["BOTH", "client_over", "transport_to"]

BOTH = pytest.mark.parametrize("via", ["aiohttp", "httpx"])


def client_over(via: str, base_url: str, **settings: Any) -> UpstreamClient:
    """A client of the upstream at this URL."""
    proxy = base_url if via == "httpx" else None
    given = UpstreamSettings(base_url=base_url, proxy=proxy, **settings)
    return UpstreamClient(TOKEN_ACCOUNT, given)


def transport_to(via: str, url: str, connect_timeout: float = 3.0) -> Transport:
    """A transport to the upstream at this URL."""
    if via == "httpx":
        return HttpxTransport(TOKEN_ACCOUNT, connect_timeout, proxy=url)
    return AiohttpTransport(TOKEN_ACCOUNT, connect_timeout)
