"""A tiny GraphQL server around the page, for browser tests without the real gateway.

It answers a `calls` query from two made-up rows, and one subscription over
graphql-transport-ws. `python -m tests.playground.stand_in PORT` serves it on the loopback.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn
from graphql import build_schema, graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway import playground
from gateway.playground.page import Playground

SCHEMA = build_schema('''
"""One call."""
type Call { sid: ID! status: String! parentCall: Call }
type CallConnection { nodes: [Call!]! }
type Query { calls(first: Int = 50): CallConnection }
type Subscription { callUpdated(sid: ID!): Call! }
''')

PARENT = {"sid": "CA" + "a" * 32, "status": "completed"}
CHILD = {"sid": "CA" + "b" * 32, "status": "busy", "parentCall": PARENT}


class Root:
    """The resolvers."""

    def calls(self, info: object, first: int) -> dict[str, Any]:
        return {"nodes": [PARENT, CHILD][:first]}


async def answer(request: Request) -> Response:
    """The page for a GET; for a POST the result and the request's Accept header."""
    if request.method == "GET":
        return playground.page()
    body = await request.json()
    result = await graphql(SCHEMA, body["query"], Root(), variable_values=body.get("variables"))
    accept = {"accept": request.headers["accept"]}
    return JSONResponse(dict(result.formatted) | {"extensions": accept})


async def without_files(request: Request) -> Response:
    """The page of an installation without GraphiQL's files."""
    return Playground(Path("/nowhere")).page()


async def subscribe(websocket: WebSocket) -> None:
    """Each subscription gets one event and completes."""
    await websocket.accept(subprotocol="graphql-transport-ws")
    await websocket.receive_json()
    await websocket.send_json({"type": "connection_ack"})
    operation = (await websocket.receive_json())["id"]
    event = {"data": {"callUpdated": {"status": "in-progress"}}}
    await websocket.send_json({"id": operation, "type": "next", "payload": event})
    await websocket.send_json({"id": operation, "type": "complete"})
    await websocket.receive()


app = Starlette(
    routes=[
        Route("/graphql", answer, methods=["GET", "POST"]),
        Route("/without-files", without_files),
        WebSocketRoute("/graphql", subscribe),
        *playground.routes(),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
