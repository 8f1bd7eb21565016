"""Upstream for the planner's benchmark: the sandbox's examples, as dense and as slow as wanted.

It must not know what is measured.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec

from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.sandbox.resources import CallRow, Row
from gateway.sandbox.seed import history_rows
from gateway.sandbox.store import SandboxDatabase

LATENCY, PER_ROW, AT_A_TIME = 0.04, 0.0002, 10
DAY = 24 * 3600
MOMENTS = ("date_created", "date_updated", "start_time", "end_time", "message_date")


@dataclass
class Upstream(httpx.AsyncBaseTransport):
    """Takes LATENCY and PER_ROW for each answer, and refuses what is more than AT_A_TIME.

    It answers from memory what it has been asked before: the sandbox's work is in no time twice.
    """

    inner: httpx.AsyncBaseTransport
    requests: int = 0
    refused: int = 0
    in_flight: int = 0
    answers: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.in_flight >= AT_A_TIME:
            self.refused += 1
            return httpx.Response(429, json={"code": 20429, "status": 429})
        self.in_flight += 1
        try:
            return await self._answer_in_time(request)
        finally:
            self.in_flight -= 1

    async def _answer_in_time(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time
        began, url = now(), str(request.url)
        if url not in self.answers:
            self.answers[url] = await self._ask(request)
        status, body, rows = self.answers[url]
        await asyncio.sleep(began + LATENCY + PER_ROW * rows - now())
        return httpx.Response(status, content=body)

    async def _ask(self, request: httpx.Request) -> tuple[int, bytes, int]:
        response = await self.inner.handle_async_request(request)
        body = await response.aread()
        lists = [value for value in msgspec.json.decode(body).values() if isinstance(value, list)]
        return response.status_code, body, sum(map(len, lists))


@asynccontextmanager
async def upstream(rows: list[Row], now: datetime) -> AsyncIterator[Upstream]:
    """An account that holds these rows, its clock standing at `now`."""
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "calls.sqlite")
        await asyncio.to_thread(_load, database, rows)
        config = SandboxConfig(database=database, now=now, speed=0.0)
        app = create_sandbox(config)
        try:
            yield Upstream(httpx.ASGITransport(app=app))
        finally:
            await app.state.sandbox.aclose()


def _load(database: str, rows: list[Row]) -> None:
    store = SandboxDatabase(database)
    store.load(rows)
    store.close()


def account(calls_a_day: int, days: int, now: datetime) -> list[Row]:
    """The sandbox's two weeks of examples, laid over one another in so many days up to `now`.

    Every contact is moved by whole days, so that each hour keeps its share. The examples' last half
    hour, laid out by hand with one of each kind, is left out.
    """
    present, span = int(now.timestamp()), days * DAY
    moved: dict[str, int] = {}
    rows = []
    for row in history_rows(calls_a_day * days, 1, present):
        contact = getattr(row, "parent_call_sid", None) or getattr(row, "call_sid", None)
        age = present - row.date_created
        later = moved.setdefault(contact or row.sid, max(age // span * span, 0))
        moved[row.sid] = later
        rows.append(_moved(row, later, present))
    rows = [row for row in rows if row.date_created <= present]
    return sorted(rows, key=lambda row: row.date_created)


def _moved(row: Row, later: int, present: int) -> Row:
    """The row so many seconds later; a call that would end in the future is live."""
    names = [name for name in MOMENTS if getattr(row, name, None) is not None]
    row = msgspec.structs.replace(row, **{name: getattr(row, name) + later for name in names})
    if isinstance(row, CallRow) and (row.end_time or 0) > present:
        over: dict[str, Any] = dict.fromkeys(("end_time", "duration", "price"))
        begun = row.date_created
        row = msgspec.structs.replace(row, status="in-progress", date_updated=begun, **over)
    return row
