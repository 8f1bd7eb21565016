"""What a start and a second worker cost: seconds to ready, memory, operations per CPU-second.

    python -m tests.bench.start [--starts 5] [--operations 4000]

The gateway runs as its own process over a stub of Twilio that answers a list (so, too, the check of
the credential at start) after two seconds, and a call at once. Seconds run from the process's start
to the first 200 of /readyz; beside them stand the CPU-seconds of its processes until then, which a
busy machine changes little. RSS is the memory of an idle worker after its first operation; PSS
counts what processes share once. The last line is what the gateway holds: operations of two
workers per CPU-second of all their processes, at least 0.9 × that of one.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.end_to_end.program import COMMAND, environment
from tests.plain_twilio import ACCOUNT, TOKEN, call, sid

CHECK_SECONDS = 2.0
CLIENTS = 32
STUB_PORT, PORT = 8921, 8922
QUERY = """query($sid: ID!) { call(sid: $sid) {
    sid status to from startTime duration direction price } }"""
TWILIO = {
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_BASE_URL": f"http://127.0.0.1:{STUB_PORT}",
    "GATEWAY_RATE_BURST": "100000",
    "GATEWAY_LOG_LEVEL": "error",
}
SERVED = {
    "sandbox": {"GATEWAY_SANDBOX_CALLS": "2000"},
    "account, Twilio answers in 2 s": TWILIO,
    "account, 2 workers": TWILIO | {"GATEWAY_WORKERS": "2"},
}


def stub() -> Starlette:
    """Twilio: every call exists; lists are slow."""

    async def one(request: Request) -> Response:
        return JSONResponse(call(1) | {"sid": request.path_params["sid"]})

    async def many(_request: Request) -> Response:
        await asyncio.sleep(CHECK_SECONDS)
        return JSONResponse({"calls": [], "next_page_uri": None})

    path = "/2010-04-01/Accounts/{account}/Calls"
    return Starlette(routes=[Route(path + ".json", many), Route(path + "/{sid}.json", one)])


class Gateway:
    """The processes of a gateway, and their figures in the kernel."""

    def __init__(self, process: subprocess.Popen[Any], ready: float) -> None:
        self.process = process
        self.ready = ready
        self.cpu_to_ready = self.cpu()

    def all(self) -> list[int]:
        """The process and its descendants."""
        found = [self.process.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += map(int, children)
        return found

    def workers(self) -> list[int]:
        """Those that serve."""
        return [pid for pid in self.all() if b"spawn_main" in _read(pid, "cmdline")] or self.all()

    def cpu(self) -> float:
        """CPU-seconds of all its processes so far."""
        fields = [_read(pid, "stat").rpartition(b") ")[2].split() for pid in self.all()]
        ticks = sum(int(user) + int(system) for user, system in (f[11:13] for f in fields))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, kind: str) -> float:
        """Megabytes of its largest worker: Rss or Pss."""
        rollups = [_read(pid, "smaps_rollup").decode() for pid in self.workers()]
        kilobytes = [re.findall(rf"^{kind}:\s+(\d+) kB$", text, re.M) for text in rollups]
        return max(int(found) for (found,) in kilobytes) / 1024


def _read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


@asynccontextmanager
async def serving(given: dict[str, str], client: httpx.AsyncClient) -> AsyncIterator[Gateway]:
    """A gateway from its start to its end."""
    began = time.monotonic()
    process = subprocess.Popen(  # noqa: ASYNC220, S603
        [*COMMAND, "--port", str(PORT)],
        env=environment(given),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not await _is_ready(client):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)
        yield Gateway(process, time.monotonic() - began)
    finally:
        process.terminate()
        process.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def operations(clients: Sequence[httpx.AsyncClient], numbers: Iterator[int]) -> None:
    """Each client sends one after the other, each of another call, so that none is answered by a
    read of an earlier one."""

    async def ask(client: httpx.AsyncClient) -> None:
        for number in numbers:
            body = {"query": QUERY, "variables": {"sid": sid("CA", number)}}
            response = await client.post("/graphql", json=body, timeout=60)
            assert response.json()["data"]["call"], response.text

    await asyncio.gather(*map(ask, clients))


async def main(starts: int, count: int) -> None:
    """Prints one line for each way of serving, and the ratio."""
    stub_process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "tests.bench.start", "--serve-stub"]
    )
    rates = {}
    print(f"{'':32} {'ready':>7} {'CPU':>7} {'RSS':>8} {'PSS':>8} {'operations/CPU-s':>17}")
    try:
        for name, given in SERVED.items():
            ready, rates[name], figures = await measure(given, starts, count)
            seconds, cpu = map(statistics.median, zip(*ready, strict=True))
            print(
                f"{name:32} {seconds:5.2f} s {cpu:5.2f} s "
                f"{figures[0]:5.0f} MB {figures[1]:5.0f} MB {rates[name]:17,.0f}"
            )
    finally:
        stub_process.terminate()
        stub_process.wait()
    one, two = list(rates.values())[1:]
    print(f"two workers / one, operations per CPU-second: {two / one:.2f}")


async def measure(
    given: dict[str, str], starts: int, count: int
) -> tuple[list[tuple[float, float]], float, list[float]]:
    """Seconds and CPU-seconds to ready of each start, operations per CPU-second, RSS and PSS."""
    ready = []
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", limits=limits) as client:
        for _ in range(starts - 1):
            async with serving(given, client) as gateway:
                ready.append((gateway.ready, gateway.cpu_to_ready))
        async with serving(given, client) as gateway:
            ready.append((gateway.ready, gateway.cpu_to_ready))
            if given is SERVED["sandbox"]:
                await client.post("/graphql", json={"query": "{ calls { nodes { sid } } }"})
                return ready, 0.0, [gateway.memory("Rss"), gateway.memory("Pss")]
            await asyncio.sleep(CHECK_SECONDS + 1)  # all workers serve, and the check is over
            clients = [httpx.AsyncClient(base_url=client.base_url) for _ in range(CLIENTS)]
            await operations(clients, iter(range(100)))
            figures = [gateway.memory("Rss"), gateway.memory("Pss")]
            before = gateway.cpu()
            await operations(clients, iter(range(100, count + 100)))
            rate = count / (gateway.cpu() - before)
            for one in clients:
                await one.aclose()
            return ready, rate, figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--operations", type=int, default=4000)
    parser.add_argument("--serve-stub", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_stub:
        uvicorn.run(stub(), port=STUB_PORT, access_log=False, log_level="critical")
    else:
        asyncio.run(main(options.starts, options.operations))
