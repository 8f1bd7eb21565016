"""What an operation costs: CPU time and upstream requests, next to the floor.

    python -m tests.bench.operations [--rounds 30]

Beside the gateway as it is stands one that leaves execution to graphql-core. The floor is a bare
Starlette route that answers the same bytes from memory. All are called as ASGI apps in this
process, by turns in one run, so that a noisy machine is noisy for all. Upstream's answers come from
memory, recorded once from the sandbox, 20 ms after they were asked for: only the gateway's own work
is counted, and the planner has something to save.

Then it prints where the time goes, part by part (budget.py). There upstream answers at once,
because a process that wakes from idleness is slow.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.server.authentication import Authenticator
from gateway.server.document_source import DocumentSource
from gateway.server.factory import open_gateway
from gateway.server.graphql_http import GraphQLOverHTTP
from gateway.server.http_caching import HttpCaching
from gateway.server.operations import Gateway
from gateway.server.origins import Origins
from gateway.settings import PlannerMode, Switch
from tests.bench.budget import budget
from tests.settings import settings_of

SEED_PROPERTIES = """sid parentCallSid dateCreated dateUpdated accountSid to from phoneNumberSid
    status startTime endTime duration price priceUnit direction answeredBy forwardedFrom callerName
    uri"""
EDGES = """{ calls(first: %d) { nodes {
    sid status to from startTime duration
    parentCall { sid status to from }
    childCalls { nodes { sid status to duration } }
    recordings { nodes { sid duration status source } }
    notifications { nodes { sid log errorCode messageDate } } } } }"""
OPERATIONS = {
    "one call, 19 properties": f'{{ call(sid: "%s") {{ {SEED_PROPERTIES} }} }}',
    "50 calls × 19 properties": f"{{ calls(first: 50) {{ nodes {{ {SEED_PROPERTIES} }} }} }}",
    "50 calls × 6 with the four edges": EDGES % 50,
    "200 calls × 6 with the four edges": EDGES % 200,
    "1,000 calls × 8 properties": """{ calls(first: 1000) { nodes {
        sid status direction to from startTime duration price } } }""",
}


LATENCY = 0.02  # seconds


@dataclass
class Replay(httpx.AsyncBaseTransport):
    """Answers from memory what it has once asked of another transport."""

    inner: httpx.AsyncBaseTransport
    answers: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    latency: float = LATENCY

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.requests += 1
        await asyncio.sleep(self.latency)
        if url not in self.answers:
            response = await self.inner.handle_async_request(request)
            self.answers[url] = await response.aread()
            self.statuses[url] = response.status_code
        return httpx.Response(self.statuses[url], content=self.answers[url])


async def call(app: ASGIApp, body: bytes) -> bytes:
    """One POST to an ASGI app; the body of its answer."""
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    answer = bytearray()

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        answer.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"accept", b"application/json")],
        "app": app,
    }
    await app(scope, receive, send)
    return bytes(answer)


async def cpu_milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """The process's CPU time for one run of the work."""
    started = time.process_time()
    await work()
    return (time.process_time() - started) * 1000


def floor(answer: bytes) -> Starlette:
    """A bare route that reads the request and answers these bytes."""

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/graphql", endpoint, methods=["POST"])])


async def main(rounds: int) -> None:
    """Prints a line for each operation."""
    now = datetime(2026, 3, 10, 15, tzinfo=UTC)
    sandbox = create_sandbox(SandboxConfig(calls=3000, now=now))
    replay = Replay(httpx.ASGITransport(app=sandbox))
    print(
        f"{'operation':34} {'gateway':>10} {'by graphql-core':>16} {'floor':>10} {'ratio':>7} "
        f"{'upstream':>9} {'bytes':>9}"
    )
    for mode in PlannerMode:
        print(f"\nplanner: {mode}")
        by_core = settings_of(planner=mode, compiled_execution=Switch.OFF)
        async with (
            open_gateway(settings_of(planner=mode), replay) as gateway,
            open_gateway(by_core, replay) as other,
        ):
            await measure_all(gateway, other, replay, rounds)
            if mode is PlannerMode.ADAPTIVE:
                await print_budget(gateway, replay, rounds)
    await sandbox.state.sandbox.aclose()


def app_of(gateway: Gateway) -> Starlette:
    """The gateway as an app."""
    origins, documents = Origins(gateway.settings), DocumentSource(gateway.settings.documents)
    caching = HttpCaching(gateway.settings)
    given = origins, gateway.telemetry, caching, documents
    app = Starlette(middleware=[Middleware(GraphQLOverHTTP, *given)])
    app.state.gateway = gateway
    app.state.authenticator = Authenticator(gateway.settings)
    return app


async def bodies(gateway: Gateway) -> dict[str, bytes]:
    """The body of a request for each operation."""
    newest = await gateway.execute_as_operator("{ calls(first: 9) { nodes { sid } } }", {}, None)
    sid = newest["data"]["calls"]["nodes"][8]["sid"]
    return {
        name: json.dumps({"query": query % sid if "%s" in query else query}).encode()
        for name, query in OPERATIONS.items()
    }


async def measure_all(gateway: Gateway, other: Gateway, replay: Replay, rounds: int) -> None:
    """Each operation over both gateways."""
    apps = app_of(gateway), app_of(other)
    for name, body in (await bodies(gateway)).items():
        await measure(name, apps, replay, body, rounds)


async def print_budget(gateway: Gateway, replay: Replay, rounds: int) -> None:
    """A table of CPU milliseconds: a line for each part, a column for each operation."""
    app, columns, replay.latency = app_of(gateway), [], 0.0
    for body in (await bodies(gateway)).values():
        work = partial(call, app, body)
        spent = statistics.median([await cpu_milliseconds(work) for _ in range(rounds)])
        shares = await budget(work, rounds)
        columns.append({"all": spent, **{part: share * spent for part, share in shares.items()}})
    replay.latency = LATENCY
    print("\nwhere the time goes, in ms; columns in the order of the operations above")
    for part in columns[0]:
        print(f"{part:34}" + "".join(f"{column[part]:9.3f}" for column in columns))


async def measure(
    name: str, apps: Sequence[ASGIApp], replay: Replay, body: bytes, rounds: int
) -> None:
    """Gateways and floor by turns; medians."""
    answer, same = [await call(app, body) for app in apps]
    assert answer == same
    assert b'"errors"' not in answer, answer[:300]
    bare: ASGIApp = floor(answer)
    replay.requests = 0
    times = []
    for _ in range(rounds):
        calls = [partial(call, app, body) for app in [*apps, bare]]
        times.append([await cpu_milliseconds(work) for work in calls])
    gateway, by_core, least = map(statistics.median, zip(*times, strict=True))
    requests = replay.requests / rounds / len(apps)
    print(
        f"{name:34} {gateway:7.2f} ms {by_core:13.2f} ms {least:7.2f} ms {gateway / least:6.0f}× "
        f"{requests:9.0f} {len(answer):9,}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    asyncio.run(main(parser.parse_args().rounds))
