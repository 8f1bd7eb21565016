"""The two ways to a real upstream: aiohttp, and httpx through a proxy.

An upstream of these tests is its own proxy: it understands a request for an absolute URL. Tests
that run over one way use aiohttp, and httpx with `pytest --transport=httpx`.
"""

import ssl
from typing import Any

import pytest

from gateway.settings import UpstreamSettings
from gateway.upstream.aiohttp_transport import AiohttpTransport
from gateway.upstream.client import UpstreamClient
from gateway.upstream.httpx_transport import HttpxTransport
from gateway.upstream.sending import Transport, tls_context
from tests.upstream.stage import TOKEN_ACCOUNT

__all__ = ["BOTH", "TRANSPORTS", "choose", "client_over", "settings_for", "transport_to"]

TRANSPORTS = ("aiohttp", "httpx")
BOTH = pytest.mark.parametrize("via", TRANSPORTS)
chosen = [TRANSPORTS[0]]


def choose(via: str) -> None:
    """Sets the way of the tests that run over one."""
    chosen[0] = via


def settings_for(url: str) -> dict[str, str]:
    """The settings of a gateway that reaches the upstream at this URL in the chosen way."""
    is_proxied = chosen[0] == "httpx" and url.startswith("http://")
    return {"TWILIO_BASE_URL": url} | ({"GATEWAY_UPSTREAM_PROXY": url} if is_proxied else {})


def client_over(base_url: str, via: str | None = None, **settings: Any) -> UpstreamClient:
    """A client of the upstream at this URL, in this or the chosen way."""
    proxy = base_url if (via or chosen[0]) == "httpx" else None
    given = UpstreamSettings(base_url=base_url, proxy=proxy, **settings)
    return UpstreamClient(TOKEN_ACCOUNT, given)


def transport_to(
    via: str, proxy: str, connect_timeout: float = 3.0, tls: ssl.SSLContext | None = None
) -> Transport:
    """A transport of the gateway's own account; httpx goes through the proxy."""
    given = (TOKEN_ACCOUNT, tls or tls_context(), connect_timeout)
    return HttpxTransport(*given, proxy=proxy) if via == "httpx" else AiohttpTransport(*given)
