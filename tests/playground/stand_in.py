"""A tiny GraphQL server around the page, for browser tests without the real gateway.

It answers a `calls` query from two made-up rows, and subscriptions with the events that a test
emits. `python -m tests.playground.stand_in PORT` serves it on the loopback.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from graphql import build_schema, graphql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway import playground
from gateway.playground.page import Playground

SCHEMA = build_schema('''
"""One call."""
type Call { sid: ID! status: String! parentCall: Call }
type CallConnection { nodes: [Call!]! }
type Query { calls(first: Int = 50): CallConnection }
type Subscription { callUpdated(sid: ID!): Call! }
''')

ACCOUNT = "AC" + "a" * 32
PARENT = {"sid": "CA" + "a" * 32, "status": "completed"}
CHILD = {"sid": "CA" + "b" * 32, "status": "busy", "parentCall": PARENT}


class Root:
    """The resolvers."""

    def calls(self, info: object, first: int) -> dict[str, Any]:
        return {"nodes": [PARENT, CHILD][:first]}


async def answer(request: Request) -> Response:
    """For a POST the result, the request's Accept header and its credential.

    A subscription is answered with a stream of what POSTs to /emit say, until one says null.
    """
    body = await request.json()
    if request.headers.get("authorization") == "Bearer wrong":
        error = {"message": "The token is unknown", "extensions": {"code": "UNAUTHENTICATED"}}
        return JSONResponse({"errors": [error]}, 401)
    if body["query"].lstrip().startswith("subscription"):
        return StreamingResponse(stream(), media_type="text/event-stream")
    result = await graphql(SCHEMA, body["query"], Root(), variable_values=body.get("variables"))
    headers = {name: request.headers.get(name) for name in ("accept", "authorization")}
    return JSONResponse(dict(result.formatted) | {"extensions": headers})


async def page(request: Request) -> Response:
    """The page over a sandbox, or over a real account in an access mode (`?access=token`)."""
    access = request.query_params.get("access")
    return playground.page(is_sandbox=access is None, access=access or "none")


async def account(request: Request) -> Response:
    """The account, to whoever presents a credential."""
    return JSONResponse({"account": ACCOUNT if "authorization" in request.headers else "open"})


async def without_files(request: Request) -> Response:
    """The page of an installation without GraphiQL's files."""
    return Playground(Path("/nowhere")).page()


events: asyncio.Queue[Any] = asyncio.Queue()
"""What the open subscription is to say next."""


async def emit(request: Request) -> Response:
    """Takes the next event of the open subscription; null completes it."""
    events.put_nowait(await request.json())
    return Response(status_code=204)


async def stream() -> AsyncIterator[str]:
    """Server-sent events. "cut" ends them as a broken connection does."""
    global events  # one subscription at a time
    events = asyncio.Queue()
    yield ":\n\n"
    while (event := await events.get()) not in (None, "cut"):
        yield f"event: next\ndata: {json.dumps(event)}\n\n"
    if event is None:
        yield "event: complete\ndata:\n\n"


app = Starlette(
    routes=[
        Route("/graphql", page, methods=["GET"]),
        Route("/graphql", answer, methods=["POST"]),
        Route("/emit", emit, methods=["POST"]),
        Route("/without-files", without_files),
        Route("/playground/account", account),
        *playground.routes(),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
