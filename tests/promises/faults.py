"""The faults that a Twilio can have, each a Fault of tests/promises/faulty.py.

This module must not know how the gateway handles them.
"""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.promises.faulty import Exchange, Fault, head

__all__ = [
    "Body",
    "drips",
    "endless",
    "gzip_bomb",
    "hangs_after_headers",
    "hangs_before_headers",
    "instead",
    "is_cut_short",
    "is_late",
    "mangled",
    "raw",
    "resets",
    "resets_in_the_body",
    "says",
    "truncates",
]

Body = dict[str, Any]
FOR_EVER = 3600.0
MEGABYTE = 1 << 20


def says(status: int, body: bytes = b"{}", **headers: str) -> Fault:
    """This status and body; headers are named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(exchange: Exchange) -> None:
        await exchange.respond(status, body, named)

    return fault


def is_late(seconds: float) -> Fault:
    """The right answer, so much later."""

    async def fault(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.respond(exchange.answer.status_code, exchange.answer.content)

    return fault


async def hangs_before_headers(_exchange: Exchange) -> None:
    """Sends not a byte."""
    await asyncio.sleep(FOR_EVER)


async def hangs_after_headers(exchange: Exchange) -> None:
    """The headers of the right answer, and nothing more."""
    length = str(len(exchange.answer.content))
    await exchange.send(head(200, {"Content-Type": "application/json", "Content-Length": length}))
    await asyncio.sleep(FOR_EVER)


async def drips(exchange: Exchange) -> None:
    """The right answer, a byte each half second: each read of it is fast."""
    body = exchange.answer.content
    await exchange.send(head(200, {"Content-Length": str(len(body))}))
    for byte in body:
        await exchange.send(bytes([byte]))
        await asyncio.sleep(0.5)


async def resets(exchange: Exchange) -> None:
    """Breaks the connection instead of a response."""
    exchange.reset()


async def resets_in_the_body(exchange: Exchange) -> None:
    """Half of the right answer, then the connection breaks."""
    body = exchange.answer.content
    await exchange.send(head(200, {"Content-Length": str(len(body))}) + body[: len(body) // 2])
    await asyncio.sleep(0.01)
    exchange.reset()


async def truncates(exchange: Exchange) -> None:
    """Half of the right answer as if it were the whole."""
    await exchange.respond(200, exchange.answer.content[: len(exchange.answer.content) // 2])


def instead(content: bytes, content_type: str = "application/json", **headers: str) -> Fault:
    """This content in place of the right one, with status 200."""
    return says(200, content, Content_Type=content_type, **headers)


def mangled(change: Callable[[Body], Body]) -> Fault:
    """The right answer, changed."""

    async def fault(exchange: Exchange) -> None:
        body = change(json.loads(exchange.answer.content))
        await exchange.respond(200, json.dumps(body).encode())

    return fault


def endless(megabytes: int) -> Fault:
    """A JSON body of so many megabytes, as fast as it is read."""

    async def fault(exchange: Exchange) -> None:
        beginning = b'{"calls": ["'
        length = str(len(beginning) + megabytes * MEGABYTE)
        await exchange.send(head(200, {"Content-Length": length}) + beginning)
        for _ in range(megabytes):
            await exchange.send(b"a" * MEGABYTE)

    return fault


def gzip_bomb(megabytes: int) -> Fault:
    """So many megabytes of JSON in a thousandth of the bytes."""
    whole = b'{"calls": ["' + b"a" * (megabytes * MEGABYTE) + b'"]}'
    return instead(gzip.compress(whole, compresslevel=1), Content_Encoding="gzip")


def raw(data: bytes) -> Fault:
    """These bytes in place of HTTP, then the end of the connection."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(data)
        await asyncio.sleep(0.05)
        exchange.reset()

    return fault


async def is_cut_short(exchange: Exchange) -> None:
    """Less than Content-Length said, then a connection that is closed as usual."""
    body = exchange.answer.content
    await exchange.send(head(200, {"Content-Length": str(len(body) + 1000)}) + body)
    exchange.close()
