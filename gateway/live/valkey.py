"""The store of several gateways, over Valkey or Redis: what one hears, all hear.

Each gateway reduces notices for itself (`events.advance`): that is a join, so all that is asked of
the server is that every notice arrives, in any order, any number of times. This module must not
know what notices mean.

Note [Nothing missed]. Notices go through one stream, not through PUBLISH, which forgets: a gateway
reads on from the last entry that it has seen, however long the server was away. What it heard
itself meanwhile waits in its outbox. And since a server may come back empty, a gateway that reaches
it again sends the states that changed since a minute before it was lost. Doubles are no news.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.errors import StoreUnavailable
from gateway.live.events import CallStatusEvent
from gateway.live.store import CLAIM_SECONDS, MAX_CALLS, Claim, EventSubscription, MemoryStore

__all__ = ["ValkeyStore"]

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that one command may take: webhooks and mutations wait for it."""
BLOCK = 2.0
"""Seconds that a read of the stream waits for news before it asks again."""
FIRST_RETRY, SLOWEST_RETRY = 0.05, 2.0
CONNECTIONS = 16
BATCH = 200
STREAM_LENGTH = 50_000
LOOK_BACK = timedelta(seconds=60)
NOTHING_SEEN = b"0-0"
TROUBLE = (RedisError, OSError, TimeoutError)

# Taken or renewed by its holder: one step, so that two gateways never both get it.
LEASE_SCRIPT = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
DROP_SCRIPT = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class _Record(msgspec.Struct, frozen=True):
    """A claim as it is kept. `token` tells one from another, whatever else they hold."""

    token: str
    fingerprint: str
    outcome: str | None = None


_notices = msgspec.json.Decoder(CallStatusEvent)
_records = msgspec.json.Decoder(_Record)


class ValkeyStore:
    """A Store shared by all gateways that are given the same server and namespace.

    Made inside the running loop. It works without the server, alone, until that is there (again).
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._local = MemoryStore()
        self._prefix = f"gateway:{namespace}:"
        self._stream = self._prefix + "notices"
        self._commands = _client(url, PATIENCE)
        self._reading = _client(url, BLOCK + PATIENCE)
        self._seen = NOTHING_SEEN
        self._last_contact = datetime.now(UTC)
        self._outbox: deque[CallStatusEvent] = deque(maxlen=MAX_CALLS)
        self._unsettled: dict[str, bytes | None] = {}
        self._stranded: dict[str, bytes] = {}
        self._mail = asyncio.Event()
        self._tasks = [
            asyncio.create_task(_keep_doing(self._read)),
            asyncio.create_task(_keep_doing(self._write)),
        ]

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """See Store."""
        state = self._local.take(event)
        if state is not None:
            self._outbox.append(state)
            self._mail.set()
        return state

    def subscribe(self, call_sid: str | None = None) -> EventSubscription:
        """See Store."""
        return self._local.subscribe(call_sid)

    def state(self, call_sid: str) -> CallStatusEvent | None:
        """See Store."""
        return self._local.state(call_sid)

    async def remember(self, key: str, seconds: float) -> bool:
        """See Store. Where the server is away, this gateway's own memory decides."""
        if not await self._local.remember(key, seconds):
            return False
        try:
            return await self._first(self._key("seen", key), _token().encode(), seconds) is None
        except TROUBLE:
            return True

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """See Store."""
        mine, kept = _Record(_token(), fingerprint), self._key("claim", key)
        value = msgspec.json.encode(mine)
        try:
            earlier = await self._first(kept, value, CLAIM_SECONDS)
            first = mine if earlier is None else _records.decode(earlier)
        except (*TROUBLE, msgspec.DecodeError):
            # It may have been taken all the same: nobody will act on it.
            self._stranded[kept] = value
            self._mail.set()
            raise StoreUnavailable(
                "The idempotency key cannot be looked up; nothing was sent"
            ) from None
        return Claim(first.fingerprint, first.outcome, is_new=earlier is None)

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """See Store. Where the server is away it is noted as soon as it is back."""
        record = _Record(_token(), fingerprint, outcome)
        self._unsettled[self._key("claim", key)] = msgspec.json.encode(record)
        await self._settle_soon()

    async def release(self, key: str) -> None:
        """See Store. As `settle`."""
        self._unsettled[self._key("claim", key)] = None
        await self._settle_soon()

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Store."""
        milliseconds = str(int(seconds * 1000))
        script = self._commands.eval(
            LEASE_SCRIPT, 1, self._key("lease", name), holder, milliseconds
        )
        try:
            return bool(await _answer(script))
        except TROUBLE:
            return True

    async def aclose(self) -> None:
        """See Store. What waits to be sent is sent, if the server is there."""
        for task in self._tasks:
            await _end(task)
        with suppress(*TROUBLE):
            async with asyncio.timeout(PATIENCE):
                await self._deliver()
        await self._local.aclose()
        for client in (self._commands, self._reading):
            await client.aclose(close_connection_pool=True)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    async def _first(self, key: str, value: bytes, seconds: float) -> bytes | None:
        """None when the key was free and is this value's now; else the value that came first."""
        milliseconds = int(seconds * 1000)
        while True:
            if await _answer(self._commands.set(key, value, nx=True, px=milliseconds)):
                return None
            earlier: bytes | None = await _answer(self._commands.get(key))
            if earlier is not None:  # else its time ended between the two
                return earlier

    async def _settle_soon(self) -> None:
        try:
            await self._settle_all()
        except TROUBLE:
            self._mail.set()

    async def _settle_all(self) -> None:
        for key, mine in list(self._stranded.items()):
            await _answer(self._commands.eval(DROP_SCRIPT, 1, key, mine))
            self._stranded.pop(key, None)
        for key, value in list(self._unsettled.items()):
            if value is None:
                await _answer(self._commands.delete(key))
            else:
                milliseconds = int(CLAIM_SECONDS * 1000)
                await _answer(self._commands.set(key, value, px=milliseconds))
            if self._unsettled.get(key) is value:
                del self._unsettled[key]

    async def _write(self) -> None:
        """Sends what waits, whenever something does."""
        while True:
            await self._deliver()
            self._mail.clear()
            if not (self._outbox or self._unsettled or self._stranded):
                await self._mail.wait()

    async def _deliver(self) -> None:
        await self._settle_all()
        while self._outbox:
            batch = [self._outbox.popleft() for _ in range(min(len(self._outbox), BATCH))]
            try:
                await self._send(batch)
            except (*TROUBLE, asyncio.CancelledError):
                self._outbox.extendleft(reversed(batch))
                raise

    async def _send(self, batch: Iterable[CallStatusEvent]) -> None:
        async with self._commands.pipeline(transaction=False) as pipeline:
            for event in batch:
                entry: Any = {"notice": msgspec.json.encode(event)}
                pipeline.xadd(self._stream, entry, maxlen=STREAM_LENGTH, approximate=True)
            await pipeline.execute()

    async def _read(self) -> None:
        """Reads the stream from where it was left, for as long as the connection holds."""
        await self._begin_again()
        while True:
            entries = await self._entries()
            self._last_contact = datetime.now(UTC)
            for entry, fields in entries:
                self._seen = entry
                self._take(fields)

    async def _begin_again(self) -> None:
        """See Note [Nothing missed]. A stream that ends before what was seen is another one."""
        newest = await _answer(self._reading.xrevrange(self._stream, count=1))
        if not newest or _order(newest[0][0]) < _order(self._seen):
            self._seen = NOTHING_SEEN
        since = self._last_contact - LOOK_BACK
        self._outbox.extend(state for state in self._local.states() if state.at >= since)
        self._mail.set()

    async def _entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        answer = await _answer(
            self._reading.xread({self._stream: self._seen}, count=BATCH, block=int(BLOCK * 1000))
        )
        return answer[0][1] if answer else []

    def _take(self, fields: dict[bytes, bytes]) -> None:
        try:
            self._local.take(_notices.decode(fields[b"notice"]))
        except (KeyError, msgspec.DecodeError):
            log.warning("an entry of the stream is not a notice")


def _client(url: str, timeout: float) -> Redis:
    """A client that repeats nothing by itself: a command sent twice would find its own traces."""
    pool = BlockingConnectionPool.from_url(
        url.replace("valkeys:", "rediss:", 1).replace("valkey:", "redis:", 1),
        max_connections=CONNECTIONS,
        timeout=PATIENCE,
        socket_timeout=timeout,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,  # to know its own version it would read files, at every connection
    )
    return Redis(connection_pool=pool)


async def _keep_doing(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The work, begun again whenever the server is lost; a growing while after each failure."""
    clock = asyncio.get_running_loop().time
    delay = FIRST_RETRY
    while True:
        started = clock()
        try:
            await work()
        except TROUBLE as error:
            log.warning("the shared store is out of reach: %s", type(error).__name__)
        if clock() - started > SLOWEST_RETRY:
            delay = FIRST_RETRY
        await asyncio.sleep(delay)
        delay = min(delay * 2, SLOWEST_RETRY)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancels until it holds: redis-py 8.1 loses a cancellation that meets an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


async def _answer(command: Any) -> Any:
    """What a command answers; redis-py's types leave open whether it is awaited."""
    return await command


def _order(entry: bytes) -> tuple[int, int]:
    """Stream ids are milliseconds and a number within them."""
    moment, _, number = entry.partition(b"-")
    return int(moment), int(number)


def _token() -> str:
    return uuid.uuid4().hex
