"""Reads the key set of GATEWAY_JWT_JWKS_URL: bounded in time and size, and only from there.

This module must not know what is in it.
"""

import asyncio

import httpx

__all__ = ["KeySetReader"]

SECONDS = 5.0
MAX_BYTES = 256 * 1024


class KeySetReader:
    """The key set's bytes, over one connection pool. Close with `aclose`."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=SECONDS,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def read(self) -> bytes:
        """The body of a 200. Raises OSError where there is none in time, or too large a one."""
        try:
            async with asyncio.timeout(SECONDS), self._http.stream("GET", self._url) as response:
                return await _body(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise OSError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise OSError(f"status {response.status_code}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise OSError("too large")
    return bytes(body)
