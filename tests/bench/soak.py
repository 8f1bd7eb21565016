"""A gateway at load with everything on: is its memory flat, and is anything dropped?

    python -m tests.bench.soak [--seconds 600] [--clients 8] [--subscribers 200]

A sandbox and a gateway run as processes, with metrics, JSON logs, and all traces exported to a
collector in this process. Clients send nested queries over changing pages, mutations, and
operations that are refused; subscribers come and go. /metrics is scraped every second. Every tenth
of the time a line has the memory of the gateway and of its cache, operations, spans and time
series. At the end the spans are compared with the operations, and the log is searched for what the
clients made up.
"""

import argparse
import asyncio
import gzip
import itertools
import random
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import serving as servers
from tests.bench.start import Gateway
from tests.end_to_end.program import COMMAND, environment

HOSTILE = "Steal6175550123"
PAGE = """query Page($after: String) { calls(first: 20, after: $after) { nodes { sid to status
    parentCall { sid } childCalls { nodes { sid } } recordings { nodes { sid } }
    notifications { nodes { sid } } } pageInfo { endCursor hasNextPage } } }"""
REFUSED = (f"{{ {HOSTILE} }}", f"query {HOSTILE}", '{ call(sid: "+16175550123") { sid } }')
MAKE = """mutation { makeCall(input: {from: "+12125550142", to: "+15005550006",
    instructions: {twiml: "<Response><Say>Hi</Say></Response>"}}) { call { sid } } }"""
WATCH = "subscription { callsUpdated { call { sid status } } }"


@dataclass
class Counts:
    """What this process has seen."""

    operations: int = 0
    failures: list[str] = field(default_factory=list)
    spans: dict[str, int] = field(default_factory=dict)
    scrapes: int = 0
    series: int = 0
    cache: float = 0.0


def collector(counts: Counts) -> type[servers.Handler]:
    """Takes spans and counts them by name."""

    class Collector(servers.Handler):
        def do_POST(self) -> None:  # noqa: N802 (the library's name)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                for span in (span for scope in spans.scope_spans for span in scope.spans):
                    counts.spans[span.name] = counts.spans.get(span.name, 0) + 1
            self.answer(200, b"", Content_Type="application/x-protobuf")

    return Collector


def start(
    stack: ExitStack, log: IO[str], arguments: list[str], until: str, **given: str
) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """The program, and its lines so far by their first word."""
    process = subprocess.Popen(  # noqa: S603
        [*COMMAND, *arguments],
        env=environment(given),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    lines: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.strip().replace("=", ": ", 1).partition(": ")
        lines[name] = value
        if name == until:
            break
    return process, lines


class Load:
    """Clients, subscribers and a scraper, until `end` (the monotonic clock, seconds)."""

    def __init__(self, url: str, metrics: str, counts: Counts, end: float) -> None:
        self._url, self._metrics, self._counts, self._end = url, metrics, counts, end
        self._http = httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits())

    async def run(self, clients: int, subscribers: int) -> None:
        """Runs all of them to the end."""
        async with self._http, asyncio.TaskGroup() as group:
            group.create_task(self._scrape())
            for number in range(clients):
                group.create_task(self._ask(random.Random(number)))
            for number in range(subscribers):
                group.create_task(self._watch(random.Random(-number)))

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._end

    async def _ask(self, rng: random.Random) -> None:
        after: str | None = None
        for turn in itertools.count():
            if self._is_over:
                return
            if turn % 10 == 0:
                await self._post({"query": rng.choice(REFUSED)}, is_refused=True)
            elif turn % 50 == 1:
                await self._post({"query": MAKE})
            answer = await self._post({"query": PAGE, "variables": {"after": after}})
            info = ((answer.get("data") or {}).get("calls") or {}).get("pageInfo") or {}
            after = info.get("endCursor") if info.get("hasNextPage") else None

    async def _post(self, body: dict[str, Any], *, is_refused: bool = False) -> dict[str, Any]:
        response = await self._http.post("/graphql", json=body)
        answer: dict[str, Any] = response.json()
        self._counts.operations += 1
        if ("errors" in answer) is not is_refused:
            self._counts.failures.append(str(answer)[:200])
        return answer

    async def _watch(self, rng: random.Random) -> None:
        headers = {"Accept": "text/event-stream"}
        while not self._is_over:
            stay = min(rng.uniform(5, 60), max(self._end - time.monotonic(), 0.1))
            try:
                async with (
                    asyncio.timeout(stay),
                    self._http.stream(
                        "POST", "/graphql", json={"query": WATCH}, headers=headers
                    ) as response,
                ):
                    async for _ in response.aiter_bytes():
                        pass
            except TimeoutError:
                pass

    async def _scrape(self) -> None:
        while not self._is_over:
            text = (await self._http.get(self._metrics)).text
            self._counts.scrapes += 1
            found = re.search(r"^gateway_cache_bytes (\S+)$", text, re.MULTILINE)
            self._counts.cache = float(found[1]) / 2**20 if found else 0.0
            self._counts.series = sum(not line.startswith("#") for line in text.splitlines())
            await asyncio.sleep(1)


async def report(gateway: Gateway, counts: Counts, seconds: float) -> None:
    """A line for each tenth of the time."""
    columns = ("second", "RSS", "cache", "operations", "spans", "series")
    print(" ".join(f"{name:>10}" for name in columns), flush=True)
    for tenth in range(1, 11):
        await asyncio.sleep(seconds / 10 - (1 if tenth == 10 else 0))
        figures = (
            f"{seconds * tenth / 10:.0f}",
            f"{gateway.memory('Rss'):.0f} MB",
            f"{counts.cache:.1f} MB",
            counts.operations,
            sum(counts.spans.values()),
            counts.series,
        )
        print(" ".join(f"{figure:>10}" for figure in figures), flush=True)


async def main(seconds: float, clients: int, subscribers: int) -> None:
    """Runs the soak and prints its figures."""
    counts = Counts()
    with ExitStack() as stack:
        collecting = stack.enter_context(servers.answering(collector(counts)))
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        log = stack.enter_context(path.open("w"))
        _, sandbox = start(stack, log, ["sandbox", "--port", "0"], "TWILIO_BASE_URL")
        credential = {name: value for name, value in sandbox.items() if name.startswith("TWILIO_")}
        on = {"GATEWAY_METRICS": "on", "GATEWAY_METRICS_PORT": "0", "GATEWAY_LOG_FORMAT": "json"}
        given = credential | on | {"OTEL_EXPORTER_OTLP_ENDPOINT": collecting}
        process, lines = start(stack, log, ["--port", "0"], "GraphiQL", **given)
        gateway = Gateway(process, 0.0)
        url = lines["GraphQL"].removesuffix("/graphql")
        load = Load(url, lines["Metrics"], counts, time.monotonic() + seconds)
        await asyncio.gather(load.run(clients, subscribers), report(gateway, counts, seconds))
        process.terminate()
        await asyncio.to_thread(process.wait)
        text = path.read_text()
    logged = len(re.findall('"message":"operation"', text))
    roots = sum(counts.spans.get(name, 0) for name in ("query", "mutation", "GraphQL Operation"))
    print(f"operations {counts.operations}, spans of operations {roots}, lines {logged}")
    print(f"unexpected answers {len(counts.failures)}: {counts.failures[:3]}")
    print(f"scrapes {counts.scrapes}; numbers of clients in the log: {'6175550123' in text}")
    dropped = [line for line in text.splitlines() if "ropping" in line or "queue is full" in line]
    print(f"lines that speak of dropped spans: {len(dropped)} {dropped[:1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--subscribers", type=int, default=200)
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.clients, options.subscribers))
