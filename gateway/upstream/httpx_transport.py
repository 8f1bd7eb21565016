"""httpx: carries requests in this process (tests, the embedded sandbox) and through a proxy.

This module must not know which failures are retried, nor what a body says.

Note [Stranded connections]. httpcore (1.0.9) keeps a connection for ever whose request was
cancelled after the connection was made and before its first byte was sent: it is neither idle nor
closed, and costs a descriptor. So a client one of whose requests was cut short takes no new
request, and is closed with all of its connections when its last request has ended.
"""

import asyncio
import logging
import ssl
from collections import Counter
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gateway.access import Account
from gateway.errors import (
    RequestNotSent,
    UpstreamError,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.replies import Reply
from gateway.upstream.sending import HEADERS, HttpRequest, read_body

__all__ = ["HttpxTransport", "error_for_exception"]

# httpx logs whole URLs, with phone numbers; httpcore logs headers, with the credential.
for _logger in ("httpx", "httpcore"):
    logging.getLogger(_logger).setLevel(logging.CRITICAL)

# The idle connections that a client keeps, so that few are left after a rush.
KEPT_CONNECTIONS = 8


class HttpxTransport:
    """A Transport with one credential. `tls` decides whom it trusts.

    `connect_timeout` is in seconds. A `transport` takes the place of the network; else requests go
    through the `proxy`, a URL.
    """

    def __init__(
        self,
        account: Account,
        tls: ssl.SSLContext,
        connect_timeout: float,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | None = None,
    ) -> None:
        self._make_client = partial(
            httpx.AsyncClient,
            transport=transport,
            proxy=proxy,
            verify=tls,
            auth=httpx.BasicAuth(account.username, account.password.reveal()),
            headers=HEADERS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
            # `exchange` limits the whole exchange; connecting may time out sooner.
            timeout=httpx.Timeout(None, connect=connect_timeout),
            follow_redirects=False,
            event_hooks={"response": [_drop_location]},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )
        # One that an in-process transport serves has no connections to strand.
        self._strands = transport is None
        self._client: httpx.AsyncClient | None = self._make_client()
        self._running: Counter[httpx.AsyncClient] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    async def exchange(self, request: HttpRequest, seconds: float) -> Reply:
        """See Transport."""
        client = self._client
        if client is None:
            raise RequestNotSent("The connections upstream are closed")
        self._running[client] += 1
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(client, request)
        except TimeoutError:
            raise UpstreamTimeout("Upstream did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise error_for_exception(error) from None
        finally:
            if client in self._running:  # else it was closed while the request ran
                self._running[client] -= 1
                if client is not self._client and not self._running[client]:
                    self._close(client)

    async def aclose(self) -> None:
        """See Transport."""
        if self._client is not None:
            self._running[self._client] += 0
            self._client = None
        for client in list(self._running):
            self._close(client)
        await asyncio.gather(*self._closing)

    async def _exchange(self, client: httpx.AsyncClient, request: HttpRequest) -> Reply:
        stream = client.stream(
            request.method, request.url, content=request.content, headers=request.headers
        )
        try:
            async with stream as response:
                status, headers = response.status_code, response.headers
                if response.is_stream_consumed:  # an in-process transport has read the body already
                    chunks, encoding = response.aiter_bytes(), ""
                else:
                    chunks = response.aiter_raw()
                    encoding = headers.get("Content-Encoding", "")
                body = await read_body(chunks, encoding, status, request.max_bytes)
                return Reply(status, headers, body)
        except asyncio.CancelledError:
            if self._strands and client is self._client:  # see Note [Stranded connections]
                self._client = self._make_client()
            raise

    def _close(self, client: httpx.AsyncClient) -> None:
        del self._running[client]
        closing = asyncio.ensure_future(client.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _drop_location(response: httpx.Response) -> None:
    """httpx parses the target of a redirect that it does not follow, and fails if it cannot."""
    response.headers.pop("Location", None)


# By phase; the first that fits is taken, so special ones come before general ones.
ERROR_FOR_EXCEPTION: tuple[tuple[type[Exception], type[UpstreamError], str], ...] = (
    (httpx.ConnectTimeout, RequestNotSent, "Upstream could not be reached in time"),
    (httpx.PoolTimeout, RequestNotSent, "No connection upstream was free in time"),
    (httpx.TimeoutException, UpstreamTimeout, "Upstream did not answer in time"),
    (httpx.ConnectError, RequestNotSent, "Upstream could not be reached"),
    (httpx.ProxyError, RequestNotSent, "Upstream could not be reached"),
    (httpx.UnsupportedProtocol, RequestNotSent, "Upstream could not be reached"),
    (httpx.LocalProtocolError, RequestNotSent, "The request could not be sent"),
    (httpx.InvalidURL, RequestNotSent, "The request could not be sent"),
    (httpx.DecodingError, UpstreamInvalid, "Upstream sent a body that cannot be decoded"),
    (httpx.TooManyRedirects, UpstreamInvalid, "Upstream redirects in a circle"),
)


def error_for_exception(error: Exception) -> UpstreamError:
    """The error for an exception of httpx, with our own text: httpx's holds the URL."""
    for theirs, ours, message in ERROR_FOR_EXCEPTION:
        if isinstance(error, theirs):
            return ours(message)
    return UpstreamUnavailable("The connection upstream broke")
