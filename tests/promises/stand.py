"""A gateway as a process of its own, with default settings, in front of a Twilio that misbehaves.

The stand keeps all responses and output of the gateway. At the end it searches them for secrets:
the auth token, the header made of it, a phone number in a log line.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.credentials import encoded
from tests.end_to_end.program import Server, serving
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio
from tests.promises.faulty import FaultyTwilio, misbehaving
from tests.promises.rows import account
from tests.transports import settings_for
from tests.waiting import until_in_loop

__all__ = ["Answer", "Stand", "codes_of", "one_call", "stand"]

BASIC = encoded(ACCOUNT, TOKEN)
LONGEST_ANSWER = 12.0  # seconds: the promise for every answer


@dataclass
class Answer:
    """A response of the gateway, and after how many seconds it came."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def is_whole(self) -> bool:
        """True when the response has no error."""
        return self.status == 200 and "errors" not in self.body

    @property
    def codes(self) -> set[str]:
        """The codes of its errors."""
        return {error["extensions"]["code"] for error in self.body.get("errors", ())}


def codes_of(answers: Iterable[Answer]) -> set[str]:
    """The codes of all the errors of these answers."""
    return set().union(*(answer.codes for answer in answers))


def one_call(sid: str, selection: str = "sid") -> str:
    """A query that takes one upstream request."""
    return f'{{ call(sid: "{sid}") {{ {selection} }} }}'


@dataclass
class Stand:
    """Upstream, the gateway in front of it, and a client."""

    upstream: FaultyTwilio
    server: Server
    client: httpx.AsyncClient
    answered: list[str] = field(default_factory=list)

    async def query(self, query: str, **headers: str) -> Answer:
        """The response to a query; headers are named with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        began = time.monotonic()
        response = await self.client.post("/graphql", json={"query": query}, headers=named)
        seconds = time.monotonic() - began
        self.answered += [response.text, str(response.headers)]
        return Answer(response.status_code, response.json(), seconds)

    async def query_all(self, queries: Iterable[str], concurrency: int) -> list[Answer]:
        """The responses to many queries, at most `concurrency` at once, in order."""
        slots = asyncio.Semaphore(concurrency)

        async def one(query: str) -> Answer:
            async with slots:
                return await self.query(query)

        return await asyncio.gather(*map(one, queries))

    async def get(self, path: str) -> httpx.Response:
        """The response of another path than /graphql."""
        response = await self.client.get(path)
        self.answered.append(response.text)
        return response

    def peak_memory(self) -> float:
        """The peak memory of the gateway's process since the last call, in megabytes."""
        process = Path(f"/proc/{self.server.process.pid}")
        (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", (process / "status").read_text(), re.M)
        (process / "clear_refs").write_text("5")  # the kernel begins a new peak
        return int(line) / 1024


@asynccontextmanager
async def stand(
    rows: PlainTwilio | None = None, tls: ssl.SSLContext | None = None, **settings: str
) -> AsyncIterator[Stand]:
    """A stand with default settings and these; checks at the end that no secret was shown."""
    with misbehaving(rows or account(), tls) as upstream:
        given = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            **settings_for(upstream.url),
        }
        with serving("--port", "0", until="GraphiQL", **given | settings) as server:
            # uvicorn closes what is idle for 5 s, and a busy machine is idle for longer than it is.
            limits = httpx.Limits(max_connections=200, keepalive_expiry=2)
            if tls is None:  # the gateway tries its credential beside the start
                await until_in_loop(lambda: upstream.seen.requests and not upstream.in_flight)
            upstream.look()
            async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
                here = Stand(upstream, server, client)
                yield here
                assert (await here.get("/healthz")).status_code == 200
    assert_kept_its_secrets(here)


def assert_kept_its_secrets(here: Stand) -> None:
    """Checks that the process ended well and that none of its output holds a secret."""
    printed = "\n".join([*here.server.lines, here.server.log])
    assert here.server.exit_code == 0, printed[-2000:]
    assert "Traceback" not in printed, printed[-2000:]
    said = "\n".join([printed, *here.answered])
    assert TOKEN not in said
    assert BASIC not in said
    assert "+1617555" not in printed
