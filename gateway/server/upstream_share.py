"""Heartbeats: this gateway's share of the requests that its account may run at once.

No upstream request waits for the store: each heartbeat sets what the limit never exceeds. This
module must not know what a request reads, nor how shares are computed (upstream/shares.py).

Note [Heartbeats]. All heartbeats of an account are one value in the store, which a gateway replaces
only as it read it; so no two take the same share. A member is gone when its count of heartbeats
stands still for GONE_AFTER seconds of this gateway's clock, while the store was there: nobody's
clock matters to another. Without the store every gateway keeps its last share. A store that comes
back empty says nothing of gateways that have not reached it yet, so nobody's share grows for as
long as a member would need to be gone.

Note [A 429 lowers all]. A gateway that met a 429 records a lower cap for CEILING_SECONDS: its own
ceiling (concurrency.py, Note [Adaptive limit]) and what the others ran. So all of them together
keep below what was too much. Afterwards the cap grows by a quarter with each heartbeat, so that the
next attempt to run more is one of all, not one of each.
"""

import asyncio
import uuid
from contextlib import suppress
from typing import Protocol

import msgspec

from gateway.errors import StoreUnavailable
from gateway.upstream.concurrency import CEILING_SECONDS, AdmissionQueue
from gateway.upstream.shares import FIRST_SHARE, Member, account_cap, next_share

__all__ = ["Table", "UpstreamShare"]

HEARTBEAT = 0.5
"""Seconds between two heartbeats."""
GONE_AFTER = 3.0
GROWTH = 1.25
ATTEMPTS = 5

_decoder = msgspec.json.Decoder(dict[str, Member])


class Table(Protocol):
    """The heartbeats of all gateways of an account. The methods raise StoreUnavailable."""

    async def table(self) -> bytes:
        """The table; empty where there is none."""

    async def replace_table(self, old: bytes, new: bytes) -> bool:
        """Replaces the table as it was read; False when another gateway did since."""


class UpstreamShare:
    """Sends heartbeats and holds the limit of `queue` to this gateway's share, until `aclose`.

    Create it inside the running loop. The share begins with the floor.
    """

    def __init__(
        self,
        queue: AdmissionQueue,
        table: Table,
        heartbeat: float = HEARTBEAT,
        gone_after: float = GONE_AFTER,
    ) -> None:
        self._queue = queue
        self._limit = queue.limit
        self._table = table
        self._heartbeat, self._gone_after = heartbeat, gone_after
        self._clock = asyncio.get_running_loop().time
        self._id = uuid.uuid4().hex[:12]
        self._own_cap = self._cap = self._limit.cap
        self._refused_at = self._limit.refused_at
        self._seen: dict[str, tuple[int, float]] = {}
        self._beats = 0
        self._grows_at = 0.0
        self._limit.set_share(min(FIRST_SHARE, self._own_cap), self._own_cap)
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Ends the heartbeats and gives the share back, if the store is there."""
        self._closing.set()
        await self._task
        with suppress(StoreUnavailable):
            stored = await self._table.table()
            members = _decoded(stored)
            if members.pop(self._id, None):
                await self._table.replace_table(stored, msgspec.json.encode(members))

    async def _run(self) -> None:
        while not self._closing.is_set():
            next_beat = self._clock() + self._heartbeat
            try:
                await self._beat()
            except StoreUnavailable:
                self._seen.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_beat):
                    await self._closing.wait()

    async def _beat(self) -> None:
        demand = min(self._queue.take_peak(), self._own_cap)
        for _ in range(ATTEMPTS):
            stored = await self._table.table()
            members = self._present(_decoded(stored))
            members[self._id] = own = self._record(members, demand)
            share = next_share(members, self._id)
            if self._clock() < self._grows_at:
                share = min(share, self._limit.cap)
            account = account_cap(members)
            # A lower share holds before `in_flight` is read.
            self._limit.set_share(min(share, self._limit.cap), account)
            members[self._id] = msgspec.structs.replace(
                own, share=max(share, self._queue.in_flight)
            )
            if await self._table.replace_table(stored, msgspec.json.encode(members)):
                self._limit.set_share(share, account)
                self._queue.dispatch()
                return

    def _record(self, members: dict[str, Member], demand: int) -> Member:
        """This gateway's new record, with the share that it had."""
        last = members.get(self._id)
        if last is None and self._beats:  # the store was emptied: see Note [Heartbeats]
            self._grows_at = self._clock() + self._gone_after
        running = min(self._limit.value, demand)
        if self._refused_at != self._limit.refused_at:
            self._refused_at = self._limit.refused_at
            others = sum(record.running for id_, record in members.items() if id_ != self._id)
            self._cap = min(self._limit.ceiling + others, self._own_cap)
        elif self._clock() - self._refused_at >= CEILING_SECONDS:
            self._cap = min(max(self._cap + 1, int(self._cap * GROWTH)), self._own_cap)
        self._beats = last.beats + 1 if last else 1
        return Member(
            beats=self._beats,
            cap=self._cap,
            demand=demand,
            running=running,
            share=last.share if last else self._limit.cap,
        )

    def _present(self, members: dict[str, Member]) -> dict[str, Member]:
        """The members that are not gone; see Note [Heartbeats]."""
        now, seen = self._clock(), self._seen
        self._seen = {}
        for id_, record in members.items():
            beats, since = seen.get(id_, (record.beats, now))
            self._seen[id_] = (record.beats, since if beats == record.beats else now)
        gone = {id_ for id_, (_, since) in self._seen.items() if now - since >= self._gone_after}
        return {id_: record for id_, record in members.items() if id_ not in gone}


def _decoded(table: bytes) -> dict[str, Member]:
    try:
        return _decoder.decode(table) if table else {}
    except msgspec.DecodeError:
        return {}
