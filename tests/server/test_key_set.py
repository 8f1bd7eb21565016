"""Reading a provider's key set: only a 200 from that URL, bounded in size and time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from gateway.server.authentication import MAX_KEY_SET, KeySetReader

URL = "https://idp.example.com/keys"
Answer = Callable[[httpx.Request], httpx.Response]


async def read(answer: Answer) -> bytes:
    """The bytes that a reader returns for this response."""
    reader = KeySetReader(URL, httpx.MockTransport(answer))
    try:
        return await reader.read()
    finally:
        await reader.aclose()


async def test_the_bytes_of_a_200_are_read() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=Parts(b"{", b"}"))

    assert await read(answer) == b"{}"
    assert [str(request.url) for request in asked] == [URL]
    assert "authorization" not in asked[0].headers


class Parts(httpx.AsyncByteStream):
    """A body in several chunks."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


class Endless(httpx.AsyncByteStream):
    """An endless body with a pause after each chunk."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self._pause)
            yield b"x" * 4096


def breaks(_request: httpx.Request) -> httpx.Response:
    """Breaks the connection."""
    raise httpx.ReadError("broken")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx.Response(302, headers={"Location": "https://evil.example.com/"}),
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(404, content=b"{}"),
        lambda _: httpx.Response(200, stream=Parts(b"x" * MAX_KEY_SET, b"x")),
        lambda _: httpx.Response(200, stream=Endless(0)),
        lambda _: httpx.Response(200, stream=Endless(0.2)),
        breaks,
    ],
    ids=["redirect", "500", "404", "large", "endless", "slow", "broken"],
)
async def test_any_other_response_is_no_key_set(answer: Answer) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(OSError, match=r"^[A-Za-z0-9 ]+$"):
            await read(answer)
