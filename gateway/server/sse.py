"""Server-sent events: streams the results of an operation in one HTTP response.

This is graphql-sse's "distinct connections" mode: each operation has its own request. Lines end
with a single LF, because urql and graphql-tools split events at nothing else
(docs/design/libraries.md#3-subscriptions). This module must not know what an operation does, nor
when a client gets a stream.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from graphql import ExecutionResult
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.server.results import CredentialExpired, encoded

__all__ = ["EVENT_STREAM", "EventStream"]

EVENT_STREAM = "text/event-stream"
HEARTBEAT_INTERVAL = 12.0
"""Seconds between the comments that keep the stream alive for the client and proxies."""
HEARTBEAT = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"


class EventStream(Response):
    """Sends results one by one; it reads the next result after sending the previous one.

    It ends when the client disconnects. When the server drains or the client's credential expires,
    it ends without a complete event.
    """

    def __init__(
        self,
        results: AsyncGenerator[ExecutionResult, None],
        draining: asyncio.Event | None = None,
    ) -> None:
        super().__init__(
            media_type=EVENT_STREAM,
            headers={
                "Cache-Control": "no-store, no-transform",
                "Vary": "Accept",
                "X-Accel-Buffering": "no",  # nginx would buffer events
                "X-Content-Type-Options": "nosniff",
            },
        )
        del self.headers["Content-Length"]
        self._results = results
        self._draining = draining or asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        sending = asyncio.ensure_future(self._send_all(send))
        shutdown = asyncio.ensure_future(self._draining.wait())
        others = (
            shutdown,
            *map(asyncio.ensure_future, (_send_heartbeats(send), _wait_for_disconnect(receive))),
        )
        try:
            await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            is_cut_short = shutdown.done() and not sending.done()
        finally:
            for task in (sending, *others):
                task.cancel()
            await asyncio.gather(sending, *others, return_exceptions=True)
        if is_cut_short:
            await send(_body(b"", more=False))
        elif not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send(_body(HEARTBEAT))  # sends the headers at once
        end = COMPLETE
        async with aclosing(self._results):
            try:
                async for result in self._results:
                    await send(_body(_event(result)))
            except CredentialExpired:
                end = b""
        await send(_body(end, more=False))


def _event(result: ExecutionResult) -> bytes:
    """One event. Its JSON contains no line breaks."""
    return b"event: next\ndata: " + encoded(result) + b"\n\n"


def _body(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def _send_heartbeats(send: Send) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        await send(_body(HEARTBEAT))


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
