"""The network: aiohttp, which keeps the connections to Twilio.

This module must not know which failures are retried, nor what a body says.

Note [Closed connections]. aiohttp learns in a turn of the loop that upstream has closed a kept
connection. If a turn takes long, a request may still go out over a closed connection, and nobody
can say whether upstream read it. A GET is retried within the budget. A POST must not be, so it lets
the loop turn first: what the kernel knows by then, aiohttp knows when it chooses a connection.
"""

import asyncio
import logging
import ssl

import aiohttp
from yarl import URL

from gateway.access import Account
from gateway.errors import (
    RequestNotSent,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.replies import Reply
from gateway.upstream.sending import HEADERS, HttpRequest, read_body

__all__ = ["AiohttpTransport"]

# Its warnings repeat what upstream sent.
logging.getLogger("aiohttp").setLevel(logging.CRITICAL)

# Seconds after which an idle connection is closed.
KEEP_ALIVE = 5.0
# One reads the end of the connection, one closes it, TLS takes one more.
TURNS_BEFORE_POST = 3


class ConnectionBroke(aiohttp.ClientError):
    """The connection broke after it was made: the request may have reached upstream."""


async def _never_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A middleware. Without it aiohttp sends a GET again, uncounted, when its connection breaks."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionBroke from error


class AiohttpTransport:
    """A Transport with one credential. `tls` decides whom it trusts.

    `connect_timeout` is in seconds.
    """

    def __init__(self, account: Account, tls: ssl.SSLContext, connect_timeout: float) -> None:
        credential = aiohttp.encode_basic_auth(account.username, account.password.reveal())
        self._session = aiohttp.ClientSession(
            # The admission queue limits the requests in flight.
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=tls,
                keepalive_timeout=KEEP_ALIVE,
                resolver=aiohttp.ThreadedResolver(),
            ),
            headers={**HEADERS, "Authorization": credential},
            # `exchange` limits the whole exchange; connecting may time out sooner.
            timeout=aiohttp.ClientTimeout(connect=connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            middlewares=[_never_resend],
        )

    async def exchange(self, request: HttpRequest, seconds: float) -> Reply:
        """See Transport."""
        if self._session.closed:
            raise RequestNotSent("The connections upstream are closed")
        if request.method == "POST":  # see Note [Closed connections]
            for _ in range(TURNS_BEFORE_POST):
                await asyncio.sleep(0)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=request.content,
                    headers=request.headers,
                    allow_redirects=False,
                ) as response,
            ):
                encoding = response.headers.get("Content-Encoding", "")
                chunks = response.content.iter_any()
                body = await read_body(chunks, encoding, response.status, request.max_bytes)
                return Reply(response.status, response.headers, body)
        except (aiohttp.ClientError, OSError) as error:
            raise _error_for(error) from None

    async def aclose(self) -> None:
        """See Transport."""
        await self._session.close()


def _error_for(error: Exception) -> UpstreamError:
    """The error for an exception of aiohttp, with our own text: aiohttp's holds the URL."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return RequestNotSent("Upstream could not be reached in time")
        case aiohttp.ClientConnectorError():
            return RequestNotSent("Upstream could not be reached")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return RequestNotSent("The request could not be sent")
        case TimeoutError():
            return UpstreamTimeout("Upstream did not answer in time")
    return UpstreamUnavailable("The connection upstream broke")
