"""One attempt: sends a request and reads its response, whole, in time and not too large.

Only this module has the credential. It follows no redirect, keeps no cookie and trusts no
environment variable. It must not know which failures are retried, nor what a body says.

Note [Bodies]. httpx limits neither the size of a response nor its size once decompressed. So this
module requests no compression, reads bodies as a stream and gives up beyond `max_bytes`. If
upstream compresses all the same, it decompresses up to the same limit.
"""

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import certifi
import httpx

from gateway.access import Account
from gateway.errors import UpstreamInvalid, UpstreamTimeout
from gateway.upstream.connections import Connections
from gateway.upstream.replies import Reply, error_for_exception

__all__ = ["HttpRequest", "Sender"]

# httpx logs whole URLs, with phone numbers; httpcore logs headers, with the credential.
for _logger in ("httpx", "httpcore"):
    logging.getLogger(_logger).setLevel(logging.CRITICAL)

# Of an error only Twilio's numbers are read.
MAX_ERROR_BODY = 64 * 1024
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, and the most bytes of its response. `form` is the body of a POST."""

    method: str
    url: str
    max_bytes: int
    form: tuple[tuple[str, str], ...] = ()


class Sender:
    """Sends with one credential. A `transport` replaces the network (tests, the sandbox).

    `connect_timeout` is in seconds. Close it with `aclose`.
    """

    def __init__(
        self,
        account: Account,
        connect_timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._connections = Connections(
            transport=transport,
            verify=_tls_context(),
            auth=httpx.BasicAuth(account.username, account.password.reveal()),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "twilio-calls-gateway",
            },
            # `send` limits the whole attempt; connecting may time out sooner.
            timeout=httpx.Timeout(None, connect=connect_timeout),
            follow_redirects=False,
            event_hooks={"response": [_drop_location]},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )

    async def send(self, request: HttpRequest, seconds: float) -> Reply:
        """The whole response, within so many seconds. Raises UpstreamError and nothing else."""
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(request)
        except TimeoutError:
            raise UpstreamTimeout("Upstream did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise error_for_exception(error) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._connections.aclose()

    async def _exchange(self, request: HttpRequest) -> Reply:
        options: dict[str, Any] = {}
        if request.method == "POST":
            options["content"] = urlencode(request.form).encode()
            options["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self._connections.stream(request.method, request.url, **options) as response:
            body = await _read_body(response, request.max_bytes)
            return Reply(response.status_code, response.headers, body)


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """One context for all clients: reading the certificates takes 30 ms."""
    return ssl.create_default_context(cafile=certifi.where())


async def _drop_location(response: httpx.Response) -> None:
    """httpx parses the target of a redirect that it does not follow, and fails if it cannot."""
    response.headers.pop("Location", None)


async def _read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """The body; that of an error is empty where it is too large or unreadable.

    Raises UpstreamInvalid.
    """
    if response.status_code < 300:
        return await _read_whole(response, max_bytes)
    try:
        return await _read_whole(response, MAX_ERROR_BODY)
    except UpstreamInvalid:
        return b""


async def _read_whole(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in _decompressed(response, max_bytes):
        body += chunk
        if len(body) > max_bytes:
            # The status marks it as no broken body, so it is not retried: it would be as large.
            too_large = f"Upstream sent more than {max_bytes} bytes"
            raise UpstreamInvalid(too_large, status=response.status_code)
    return bytes(body)


async def _decompressed(response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    """The body, decompressed if necessary, in chunks of little more than `limit` bytes."""
    if response.is_stream_consumed:  # an in-process transport has read the body already
        yield response.content
        return
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise UpstreamInvalid("Upstream sent a body in an encoding that was not requested")
    inflate = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        async for chunk in response.aiter_raw():
            yield inflate.decompress(chunk, limit + 1)
    except zlib.error:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded") from None
    if not inflate.eof:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded")
