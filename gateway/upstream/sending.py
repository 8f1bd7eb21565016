"""One try: a request goes out, its answer comes in, whole, in time and not too large; or an error.

The only module that has the credential. It follows no redirect, keeps no
cookie, trusts no environment. This module must not know what is worth a repeat, nor what a body
says.

Note [Bodies]. httpx has no limit of an answer's size and inflates what is compressed without one.
So no compression is asked for, bodies are read as a stream and given up beyond `max_bytes`, and an
upstream that compresses unasked is inflated here, up to the same number.
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
for _talkative in ("httpx", "httpcore"):
    logging.getLogger(_talkative).setLevel(logging.CRITICAL)

# Of a refusal only Twilio's numbers are wanted.
MAX_REFUSAL = 64 * 1024
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What goes out, and how many bytes may come back. `form` is the body of a POST."""

    method: str
    url: str
    max_bytes: int
    form: tuple[tuple[str, str], ...] = ()


class Sender:
    """Sends with one credential. `transport` takes the place of the network (tests, the sandbox).

    `connect` is seconds. Close it with `aclose`.
    """

    def __init__(
        self, account: Account, connect: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._connections = Connections(
            transport=transport,
            verify=_trust(),
            auth=httpx.BasicAuth(account.username, account.password.reveal()),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "twilio-calls-gateway",
            },
            # The whole is timed below; connecting alone may be given up sooner.
            timeout=httpx.Timeout(None, connect=connect),
            follow_redirects=False,
            event_hooks={"response": [_forget_location]},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )

    async def send(self, sending: HttpRequest, seconds: float) -> Reply:
        """The answer, whole within so many seconds. Raises UpstreamError and nothing else."""
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(sending)
        except TimeoutError:
            raise UpstreamTimeout("Upstream did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise error_for_exception(error) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._connections.aclose()

    async def _exchange(self, sending: HttpRequest) -> Reply:
        given: dict[str, Any] = {}
        if sending.method == "POST":
            given["content"] = urlencode(sending.form).encode()
            given["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self._connections.stream(sending.method, sending.url, **given) as response:
            body = await _read(response, sending.max_bytes)
            return Reply(response.status_code, response.headers, body)


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Reading the certificates takes 30 ms: once for all clients."""
    return ssl.create_default_context(cafile=certifi.where())


async def _forget_location(response: httpx.Response) -> None:
    """httpx reads where a redirect leads even where none is followed, and fails where it cannot."""
    response.headers.pop("Location", None)


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """The body; of a refusal what of its beginning can be read. Raises UpstreamInvalid."""
    if response.status_code < 300:
        return await _whole(response, max_bytes)
    try:
        return await _whole(response, MAX_REFUSAL)
    except UpstreamInvalid:
        return b""


async def _whole(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in _plain(response, max_bytes):
        body += chunk
        if len(body) > max_bytes:
            # With its status, so that it is no broken body: another try would be as large.
            too_large = f"Upstream sent more than {max_bytes} bytes"
            raise UpstreamInvalid(too_large, status=response.status_code)
    return bytes(body)


async def _plain(response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    """The body's bytes, inflated where they are compressed, little more than `limit` at once."""
    if response.is_stream_consumed:  # an in-process transport hands over what it has read
        yield response.content
        return
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in {"", "identity"}:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise UpstreamInvalid("Upstream sent a body in a coding that was not asked for")
    inflate = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        async for chunk in response.aiter_raw():
            yield inflate.decompress(chunk, limit + 1)
    except zlib.error:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded") from None
    if not inflate.eof:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded")
