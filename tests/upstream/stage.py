"""Shared helpers of this room's tests: rows decoded from JSON, and a client over any transport."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from gateway.settings import Secret, UpstreamSettings
from gateway.telemetry.records import UpstreamHook, log_exchange
from gateway.upstream.calls import CallResource
from gateway.upstream.client import Account, UpstreamClient
from gateway.upstream.notifications import NotificationResource
from gateway.upstream.recordings import RecordingResource
from gateway.upstream.resources import Resource
from tests.plain_twilio import ACCOUNT, TOKEN, sid

R = TypeVar("R", bound=Resource)
PREFIXES: dict[type[Resource], str] = {
    CallResource: "CA",
    RecordingResource: "RE",
    NotificationResource: "NO",
}
BASE_URL = "https://api.twilio.com"
TOKEN_ACCOUNT = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))


def row(kind: type[R], **properties: Any) -> R:
    """A row as upstream sends it, with these properties and a SID; `from_` stands for `from`."""
    named = {name.rstrip("_"): value for name, value in properties.items()}
    body = {"sid": sid(PREFIXES[kind], 9), **named}
    return msgspec.json.decode(json.dumps(body).encode(), type=kind)


@asynccontextmanager
async def connected(
    transport: httpx.AsyncBaseTransport,
    *,
    account: Account = TOKEN_ACCOUNT,
    hook: UpstreamHook = log_exchange,
    **settings: Any,
) -> AsyncIterator[UpstreamClient]:
    """A client over this transport, closed at the end; `settings` are those of the upstream."""
    client = UpstreamClient(account, UpstreamSettings(**settings), transport, hook)
    try:
        yield client
    finally:
        await client.aclose()


def answering(
    status: int = 200, content: bytes = b"{}", headers: dict[str, str] | None = None
) -> httpx.MockTransport:
    """An upstream that gives every request the same response."""
    return httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers=headers))


def raising(error: Exception) -> httpx.MockTransport:
    """An upstream where every request raises this error."""

    def handle(_request: httpx.Request) -> httpx.Response:
        raise error

    return httpx.MockTransport(handle)


def seen_by(
    requests: list[httpx.Request], answer: Callable[[httpx.Request], httpx.Response]
) -> httpx.MockTransport:
    """An upstream that records its requests."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer(request)

    return httpx.MockTransport(handle)
