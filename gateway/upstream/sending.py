"""The seam to HTTP: a request goes out, its whole response comes back, in time and not too large.

Two libraries stand behind it: aiohttp_transport.py on the network, httpx_transport.py in this
process and behind a proxy. Only these two have the credential. Neither follows a redirect, keeps a
cookie, sends a request again or trusts an environment variable. No module here must know which
failures are retried, nor what a body says.

Note [Bodies]. No library limits the size of a response, nor its size once decompressed. So no
compression is requested, bodies are read as a stream, and a body beyond `max_bytes` ends the
exchange. If upstream compresses all the same, it is decompressed up to the same limit.
"""

import ssl
import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlencode

import certifi

from gateway.errors import UpstreamInvalid
from gateway.upstream.replies import Reply

__all__ = ["HEADERS", "HttpRequest", "Transport", "read_body", "tls_context"]

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "twilio-calls-gateway",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
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

    @property
    def content(self) -> bytes | None:
        """The body; None for a GET."""
        return urlencode(self.form).encode() if self.method == "POST" else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that HEADERS lacks."""
        return FORM if self.method == "POST" else {}


class Transport(Protocol):
    """Sends requests over connections that it keeps. Close it with `aclose`."""

    async def exchange(self, request: HttpRequest, seconds: float) -> Reply:
        """The whole response, within so many seconds. Raises UpstreamError and nothing else.

        It may be cancelled at any moment. After `aclose` it raises RequestNotSent.
        """

    async def aclose(self) -> None:
        """Closes the connections; requests in flight fail."""


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The trust store of certifi, once for all: reading the certificates takes 30 ms."""
    return ssl.create_default_context(cafile=certifi.where())


async def read_body(
    chunks: AsyncIterable[bytes], encoding: str, status: int, max_bytes: int
) -> bytes:
    """The body, decompressed; that of an error is empty where it is too large or unreadable.

    `encoding` is the header Content-Encoding. Raises UpstreamInvalid.
    """
    if status < 300:
        return await _read_whole(chunks, encoding, status, max_bytes)
    try:
        return await _read_whole(chunks, encoding, status, MAX_ERROR_BODY)
    except UpstreamInvalid:
        return b""


async def _read_whole(
    chunks: AsyncIterable[bytes], encoding: str, status: int, max_bytes: int
) -> bytes:
    encoding = encoding.strip().lower()
    inflate = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        inflate = zlib.decompressobj(GZIP_OR_ZLIB)
    elif encoding not in {"", "identity"}:
        raise UpstreamInvalid("Upstream sent a body in an encoding that was not requested")
    parts, size = [], 0
    try:
        async for chunk in chunks:
            part = inflate.decompress(chunk, max_bytes + 1) if inflate else chunk
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                # The status marks it as no broken body, so it is not retried: it is as large again.
                too_large = f"Upstream sent more than {max_bytes} bytes"
                raise UpstreamInvalid(too_large, status=status)
    except zlib.error:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded") from None
    if inflate and not inflate.eof:
        raise UpstreamInvalid("Upstream sent a body that cannot be decoded")
    return b"".join(parts)
