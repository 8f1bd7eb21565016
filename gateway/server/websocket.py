"""GraphQL over WebSocket: the graphql-transport-ws protocol, not its predecessors.

A client sends connection_init in time, then starts and completes operations under its own ids. This
module must not know the schema, nor what an operation does.

Note [Our own protocol]. Strawberry's handler crashes on `[]`, closes the whole socket for a
document that does not parse, does not limit the size of messages and executes all events with one
context (docs/design/libraries.md#3-subscriptions, #6-under-attack). Implementing the protocol takes
less code than the fixes.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from graphql import ExecutionResult
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from gateway.errors import GatewayError, LimitExceeded
from gateway.server.parameters import HttpError, sends_document
from gateway.server.results import CredentialExpired, encoded, response_map, was_executed

__all__ = [
    "SERVER_OPTIONS",
    "Authenticate",
    "AuthenticatedConnection",
    "Execute",
    "GraphQLOverWebSocket",
]

log = logging.getLogger(__name__)

PROTOCOL = "graphql-transport-ws"
MAX_MESSAGE = 64 * 1024
"""Bytes of one message from a client."""
SERVER_OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": MAX_MESSAGE,
    "ws_per_message_deflate": False,  # events are small, its buffers large
}
"""uvicorn's options for WebSockets."""
MAX_OPERATIONS = 50
"""Concurrent operations on one socket."""
CONNECTION_INIT_TIMEOUT = 5.0
"""Seconds from the handshake until connection_init must arrive."""

INTERNAL_ERROR = {"message": "Internal error", "extensions": {"code": GatewayError.code}}

Payload = dict[str, Any]
Execute = Callable[[dict[str, Any]], Awaitable[AsyncGenerator[ExecutionResult, None]]]
"""The results of a request with these parameters. Raises HttpError or GatewayError to reject it."""


@dataclass(frozen=True)
class AuthenticatedConnection:
    """What an authenticated client may do. `expires_at` is by the loop's clock; None is never.

    Subscriptions raise CredentialExpired themselves at that time.
    """

    execute: Execute
    expires_at: float | None = None


Authenticate = Callable[[WebSocket, Payload], Awaitable[AuthenticatedConnection]]
"""Authenticates a client by the handshake's headers and the payload of connection_init.

Raises a GatewayError to refuse the client.
"""


class CloseConnection(Exception):
    """The socket must close with this code and reason of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class ConnectionInit(msgspec.Struct, tag_field="type", tag="connection_init"):
    """Opens the connection; the payload may carry a credential."""

    payload: Payload | None = None


class Ping(msgspec.Struct, tag_field="type", tag="ping"):
    """Requests a pong."""

    payload: Payload | None = None


class Pong(msgspec.Struct, tag_field="type", tag="pong"):
    """The response to a ping; clients may also send it unasked."""

    payload: Payload | None = None


class Request(msgspec.Struct, rename="camel", omit_defaults=True):
    """The request of a subscribe message. `query` is missing only if its id or hash is sent."""

    query: str | None = None
    document_id: Any = None
    doc_id: Any = msgspec.field(default=None, name="doc_id")
    id: Any = None
    operation_name: str | None = None
    variables: Payload | None = None
    extensions: Payload | None = None


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    """Starts an operation of any type under the client's id."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    payload: Request


class Complete(msgspec.Struct, tag_field="type", tag="complete"):
    """Cancels the operation."""

    id: Annotated[str, msgspec.Meta(min_length=1)]


ClientMessage = ConnectionInit | Ping | Pong | Subscribe | Complete
_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


class GraphQLOverWebSocket:
    """The endpoint as an ASGI app. `is_origin_allowed` decides by the handshake's headers."""

    def __init__(
        self, authenticate: Authenticate, is_origin_allowed: Callable[[Headers], bool]
    ) -> None:
        self._authenticate = authenticate
        self._is_origin_allowed = is_origin_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        websocket = WebSocket(scope, receive, send)
        try:
            if not self._is_origin_allowed(websocket.headers):
                await websocket.close()  # before accept: HTTP 403
            elif PROTOCOL not in scope["subprotocols"]:
                await websocket.accept()
                await websocket.close(4406, "Subprotocol not acceptable")
            else:
                await websocket.accept(PROTOCOL)
                await GraphQLWsConnection(websocket, self._authenticate).run()
        except WebSocketDisconnect:
            pass


class GraphQLWsConnection:
    """One accepted socket, until it closes."""

    __slots__ = (
        "_authenticate",
        "_connection",
        "_is_initialised",
        "_operations",
        "_tasks",
        "_websocket",
    )

    def __init__(self, websocket: WebSocket, authenticate: Authenticate) -> None:
        self._websocket = websocket
        self._authenticate = authenticate
        self._connection: AuthenticatedConnection | None = None
        self._is_initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until the client disconnects, violates the protocol, or the server shuts down."""
        try:
            await self._listen()
        except CloseConnection as close:
            await self._cancel_operations()
            await self._websocket.close(close.code, str(close))
        finally:
            await self._cancel_operations()

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(CONNECTION_INIT_TIMEOUT) as deadline:
                while (message := await self._receive()) is not None:
                    if isinstance(message, ConnectionInit):
                        deadline.reschedule(None)
                    await self._handle(message)
                    if isinstance(message, ConnectionInit) and self._connection:
                        deadline.reschedule(self._connection.expires_at)
        except TimeoutError:
            if self._connection is None:
                raise CloseConnection(4408, "Connection initialisation timeout") from None
            await self._wait_for_operations()
            raise CloseConnection(4403, "The token has expired") from None

    async def _receive(self) -> ClientMessage | None:
        """The next message, or None when the client has disconnected."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text = message.get("text")
        if text is None:
            raise CloseConnection(4400, "Messages must be text")
        if len(text.encode()) > MAX_MESSAGE:
            raise CloseConnection(1009, "Message too big")
        try:
            return _decoder.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise CloseConnection(4400, "Invalid message") from None

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case ConnectionInit():
                await self._initialise(message)
            case Ping():
                await self._send("pong")
            case Subscribe():
                await self._start(message)
            case Complete():
                self._complete(message.id)

    async def _initialise(self, message: ConnectionInit) -> None:
        if self._is_initialised:
            raise CloseConnection(4429, "Too many initialisation requests")
        self._is_initialised = True
        try:
            self._connection = await self._authenticate(self._websocket, message.payload or {})
        except GatewayError:
            raise CloseConnection(4403, "Forbidden") from None
        await self._send("connection_ack")

    async def _start(self, message: Subscribe) -> None:
        if self._connection is None:
            raise CloseConnection(4401, "Unauthorized")
        if message.id in self._operations:
            raise CloseConnection(4409, "Subscriber for this id already exists")
        fields = msgspec.to_builtins(message.payload)
        if not sends_document(fields):
            raise CloseConnection(4400, "Invalid message")
        try:
            if len(self._operations) >= MAX_OPERATIONS:
                text = f"At most {MAX_OPERATIONS} concurrent operations on one socket"
                raise LimitExceeded(text, limit="socket_operations", allowed=MAX_OPERATIONS)
            results = await self._connection.execute(fields)
        except HttpError as error:
            await self._send("error", id=message.id, payload=error.errors)
        except GatewayError as error:
            payload = [{"message": str(error), "extensions": error.extensions}]
            await self._send("error", id=message.id, payload=payload)
        else:
            task = asyncio.ensure_future(self._send_results(message.id, results))
            self._operations[message.id] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _complete(self, id_: str) -> None:
        """Cancels an operation. An unknown id is no error: the operation may just have ended."""
        task = self._operations.pop(id_, None)
        if task is not None:
            task.cancel()

    async def _wait_for_operations(self) -> None:
        """Waits until subscriptions expire with the credential and other operations complete."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _cancel_operations(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_results(self, id_: str, results: AsyncGenerator[ExecutionResult, None]) -> None:
        """Sends the results of one operation, and reads the next only after sending the last."""
        try:
            async with aclosing(results):
                async for result in results:
                    if await self._send_result(id_, result):
                        return
                    del result  # while it waits, a subscriber keeps none
            self._operations.pop(id_, None)
            await self._send("complete", id=id_)
        except (CredentialExpired, WebSocketDisconnect, WebSocketDisconnected):
            pass
        except Exception:  # an internal error ends the operation, not the socket
            log.exception("internal error in an operation over WebSocket")
            await self._send("error", id=id_, payload=[INTERNAL_ERROR])
        finally:
            if self._operations.get(id_) is asyncio.current_task():
                del self._operations[id_]

    async def _send_result(self, id_: str, result: ExecutionResult) -> bool:
        """Sends a result. True if it is an error that ends the operation."""
        if was_executed(result):
            await self._send("next", id=id_, payload=msgspec.Raw(encoded(result)))
            return False
        self._operations.pop(id_, None)
        await self._send("error", id=id_, payload=response_map(result)["errors"])
        return True

    async def _send(self, type_: str, **fields: Any) -> None:
        text = msgspec.json.encode({"type": type_, **fields}).decode()
        await self._websocket.send_text(text)
