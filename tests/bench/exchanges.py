"""What an upstream request costs: CPU µs of this process, over each transport, by turns.

    python -m tests.bench.exchanges [--rounds 15] [--profile]

The upstream is a process of its own that answers from memory, so only this process is measured.
`exchange` is the transport alone, `client` a read of UpstreamClient (queue, breaker, retries,
decoding) over it; httpx goes through a proxy. The cheapest round counts: a busy machine only
adds. `--profile` prints where the time of a read over aiohttp goes.
"""

import argparse
import asyncio
import cProfile
import itertools
import json
import pstats
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.requests import PageRef
from gateway.upstream.sending import HttpRequest, Transport
from tests.plain_twilio import ROOT, call, sid
from tests.transports import TRANSPORTS, client_over, transport_to

REQUESTS = 300
PAGE = json.dumps({"calls": [call(number) for number in range(50)]}).encode()
Ask = Callable[[int], Awaitable[object]]
CASES = {"one resource": 1, "a page of 50 rows": 1, "one resource, 10 at a time": 10}


class StubUpstream(asyncio.Protocol):
    """Answers each request as soon as its head has come: a call by its SID, or the page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1].partition(b"?")[0]
        name = path.rpartition(b"/")[2].removesuffix(b".json").decode()
        body = PAGE if name == "Calls" else json.dumps(call(1) | {"sid": name}).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def serve() -> None:
    """Serves and prints the port."""
    server = await asyncio.get_running_loop().create_server(StubUpstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def upstream() -> Iterator[str]:
    """The URL of a stub upstream in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.exchanges", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


async def cpu_microseconds(ask: Ask, at_a_time: int, numbers: Iterator[int]) -> float:
    """The CPU time of one request, of REQUESTS."""
    started = time.process_time()
    for _ in range(REQUESTS // at_a_time):
        if at_a_time == 1:
            await ask(next(numbers))
        else:
            await asyncio.gather(*(ask(next(numbers)) for _ in range(at_a_time)))
    return (time.process_time() - started) / REQUESTS * 1e6


def exchanges(transport: Transport, url: str, name: str) -> Ask:
    """An exchange of a transport, as a client has it for its read."""

    def ask(number: int) -> Awaitable[object]:
        path = f"Calls.json?PageSize=50&Page={number}" if "page" in name else f"Calls/{number}.json"
        return transport.exchange(HttpRequest("GET", f"{url}{ROOT}{path}", 1_000_000), 5)

    return ask


def reads(client: UpstreamClient, name: str) -> Ask:
    """A read of a client."""
    if "page" in name:
        return lambda number: client.page(ListCalls(page=PageRef(number)))
    return lambda number: client.fetch(FetchCall(sid=sid("CA", number)))


async def main(rounds: int) -> None:
    """Prints a line for each case, or a profile."""
    numbers = itertools.count(1)
    with upstream() as url:
        transports = {via: transport_to(via, url) for via in TRANSPORTS}
        clients = {via: client_over(url, via) for via in TRANSPORTS}
        columns = [f"{via} {part}" for via in TRANSPORTS for part in ("exchange", "client")]
        print(f"{'CPU µs for each request':28}" + "".join(f"{column:>17}" for column in columns))
        for name, at_a_time in CASES.items():
            asks: list[Ask] = []
            for via in TRANSPORTS:
                asks += [exchanges(transports[via], url, name), reads(clients[via], name)]
            times = [
                [await cpu_microseconds(ask, at_a_time, numbers) for ask in asks]
                for _ in range(rounds)
            ]
            least = map(min, zip(*times, strict=True))
            print(f"{name:28}" + "".join(f"{cost:17.0f}" for cost in least))
        for via in TRANSPORTS:
            await transports[via].aclose()
            await clients[via].aclose()


async def profile() -> None:
    """Prints the functions in which reads over aiohttp spend their time."""
    with upstream() as url:
        client = client_over(url)
        ask, numbers = reads(client, ""), itertools.count(1)
        await cpu_microseconds(ask, 1, numbers)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(10):
            await cpu_microseconds(ask, 1, numbers)
        profiler.disable()
        await client.aclose()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
    else:
        uvloop.run(profile() if options.profile else main(options.rounds))
