"""The store of several gateways, over Valkey or Redis: every gateway gets every event.

Each gateway reduces events for itself (`events.advance`). That is a join, so the server only has to
deliver every event, in any order, any number of times. This module must not know what events mean.

Note [Nothing missed]. Events go through one stream, because PUBLISH keeps nothing: a gateway reads
on from the last entry that it read, however long the server was away. Its own events wait in its
outbox meanwhile. A server may come back empty, so a gateway that reconnects sends the states that
changed since a minute before the connection was lost. Duplicates change nothing.
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

__all__ = ["COMMAND_TIMEOUT", "SERVER_ERRORS", "ValkeyStore", "open_client", "ping", "reply_of"]

log = logging.getLogger(__name__)

COMMAND_TIMEOUT = 1.0
"""Seconds that one command may take. Webhooks and mutations wait for it."""
READ_BLOCK = 2.0
"""Seconds that one read of the stream waits for entries."""
MIN_BACKOFF, MAX_BACKOFF = 0.05, 2.0
CONNECTIONS = 16
BATCH = 200
STREAM_LENGTH = 50_000
RESEND_WINDOW = timedelta(seconds=60)
STREAM_START = b"0-0"
SERVER_ERRORS = (RedisError, OSError, TimeoutError)

# Acquires or renews a lease. Atomic, so that two gateways never both get it.
LEASE_SCRIPT = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
DELETE_SCRIPT = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
)


class _Record(msgspec.Struct, frozen=True):
    """A claim as stored. `token` makes each one unique."""

    token: str
    fingerprint: str
    outcome: str | None = None


_event_decoder = msgspec.json.Decoder(CallStatusEvent)
_record_decoder = msgspec.json.Decoder(_Record)


class ValkeyStore:
    """A Store that all gateways with the same server and namespace share.

    Create it inside the running loop. It works alone while the server is unreachable.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._local = MemoryStore()
        self._prefix = f"gateway:{namespace}:"
        self._stream = self._prefix + "notices"
        self._commands = open_client(url, COMMAND_TIMEOUT)
        self._reader = open_client(url, READ_BLOCK + COMMAND_TIMEOUT)
        self._last_entry = STREAM_START
        self._last_contact = datetime.now(UTC)
        self._outbox: deque[CallStatusEvent] = deque(maxlen=MAX_CALLS)
        self._unsettled: dict[str, bytes | None] = {}
        self._abandoned: dict[str, bytes] = {}
        self._wakeup = asyncio.Event()
        self._tasks = [
            asyncio.create_task(_run_forever(self._read_stream)),
            asyncio.create_task(_run_forever(self._write_outbox)),
        ]

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """See Store."""
        state = self._local.apply(event)
        if state is not None:
            self._outbox.append(state)
            self._wakeup.set()
        return state

    def subscribe(self, call_sid: str | None = None) -> EventSubscription[CallStatusEvent]:
        """See Store."""
        return self._local.subscribe(call_sid)

    def state(self, call_sid: str) -> CallStatusEvent | None:
        """See Store."""
        return self._local.state(call_sid)

    async def add_if_new(self, key: str, seconds: float) -> bool:
        """See Store. While the server is away, this gateway's own replay cache decides."""
        if not await self._local.add_if_new(key, seconds):
            return False
        try:
            return (
                await self._set_if_absent(self._key("seen", key), _token().encode(), seconds)
                is None
            )
        except SERVER_ERRORS:
            return True

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """See Store."""
        record, claim_key = _Record(_token(), fingerprint), self._key("claim", key)
        value = msgspec.json.encode(record)
        try:
            earlier = await self._set_if_absent(claim_key, value, CLAIM_SECONDS)
            first = record if earlier is None else _record_decoder.decode(earlier)
        except (*SERVER_ERRORS, msgspec.DecodeError):
            # The server may have stored the claim, but nobody will execute its action.
            self._abandoned[claim_key] = value
            self._wakeup.set()
            raise StoreUnavailable(
                "The idempotency key cannot be claimed; nothing was sent"
            ) from None
        return Claim(first.fingerprint, first.outcome, is_new=earlier is None)

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """See Store. While the server is away the outcome waits until it is back."""
        record = _Record(_token(), fingerprint, outcome)
        self._unsettled[self._key("claim", key)] = msgspec.json.encode(record)
        await self._try_settle_all()

    async def release(self, key: str) -> None:
        """See Store. Waits for the server as `settle` does."""
        self._unsettled[self._key("claim", key)] = None
        await self._try_settle_all()

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Store."""
        milliseconds = str(int(seconds * 1000))
        script = self._commands.eval(
            LEASE_SCRIPT, 1, self._key("lease", name), holder, milliseconds
        )
        try:
            return bool(await reply_of(script))
        except SERVER_ERRORS:
            return True

    async def aclose(self) -> None:
        """See Store. Sends what waits if the server is reachable."""
        for task in self._tasks:
            await _cancel(task)
        with suppress(*SERVER_ERRORS):
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await self._flush()
        await self._local.aclose()
        for client in (self._commands, self._reader):
            await client.aclose(close_connection_pool=True)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    async def _set_if_absent(self, key: str, value: bytes, seconds: float) -> bytes | None:
        """Sets a free key and returns None; otherwise returns the stored value."""
        milliseconds = int(seconds * 1000)
        while True:
            if await reply_of(self._commands.set(key, value, nx=True, px=milliseconds)):
                return None
            earlier: bytes | None = await reply_of(self._commands.get(key))
            if earlier is not None:  # else it expired between the two commands
                return earlier

    async def _try_settle_all(self) -> None:
        try:
            await self._settle_all()
        except SERVER_ERRORS:
            self._wakeup.set()

    async def _settle_all(self) -> None:
        for key, claim in list(self._abandoned.items()):
            await reply_of(self._commands.eval(DELETE_SCRIPT, 1, key, claim))
            self._abandoned.pop(key, None)
        for key, value in list(self._unsettled.items()):
            if value is None:
                await reply_of(self._commands.delete(key))
            else:
                milliseconds = int(CLAIM_SECONDS * 1000)
                await reply_of(self._commands.set(key, value, px=milliseconds))
            if self._unsettled.get(key) is value:
                self._unsettled.pop(key, None)

    async def _write_outbox(self) -> None:
        """Sends what waits, then sleeps until something waits again."""
        while True:
            await self._flush()
            self._wakeup.clear()
            if not (self._outbox or self._unsettled or self._abandoned):
                await self._wakeup.wait()

    async def _flush(self) -> None:
        await self._settle_all()
        while self._outbox:
            batch = [self._outbox.popleft() for _ in range(min(len(self._outbox), BATCH))]
            try:
                await self._send(batch)
            except (*SERVER_ERRORS, asyncio.CancelledError):
                self._outbox.extendleft(reversed(batch))
                raise

    async def _send(self, batch: Iterable[CallStatusEvent]) -> None:
        async with self._commands.pipeline(transaction=False) as pipeline:
            for event in batch:
                entry: Any = {"notice": msgspec.json.encode(event)}
                pipeline.xadd(self._stream, entry, maxlen=STREAM_LENGTH, approximate=True)
            await pipeline.execute()

    async def _read_stream(self) -> None:
        """Reads the stream from the last entry until the connection fails."""
        await self._resync()
        while True:
            entries = await self._next_entries()
            self._last_contact = datetime.now(UTC)
            for entry, fields in entries:
                self._last_entry = entry
                self._apply_entry(fields)

    async def _resync(self) -> None:
        """See Note [Nothing missed]. A stream that ends before the last entry is a new one."""
        newest = await reply_of(self._reader.xrevrange(self._stream, count=1))
        if not newest or _entry_id(newest[0][0]) < _entry_id(self._last_entry):
            self._last_entry = STREAM_START
        since = self._last_contact - RESEND_WINDOW
        self._outbox.extend(state for state in self._local.states() if state.at >= since)
        self._wakeup.set()

    async def _next_entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        reply = await reply_of(
            self._reader.xread(
                {self._stream: self._last_entry}, count=BATCH, block=int(READ_BLOCK * 1000)
            )
        )
        return reply[0][1] if reply else []

    def _apply_entry(self, fields: dict[bytes, bytes]) -> None:
        try:
            self._local.apply(_event_decoder.decode(fields[b"notice"]))
        except (KeyError, msgspec.DecodeError):
            log.warning("an entry of the stream is not an event")


def open_client(url: str, timeout: float) -> Redis:
    """A client without retries: a command sent twice would find its own effect."""
    pool = BlockingConnectionPool.from_url(
        url.replace("valkeys:", "rediss:", 1).replace("valkey:", "redis:", 1),
        max_connections=CONNECTIONS,
        timeout=COMMAND_TIMEOUT,
        socket_timeout=timeout,
        socket_connect_timeout=COMMAND_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,  # its default reads files at every connection, to find its version
    )
    return Redis(connection_pool=pool)


async def ping(url: str) -> None:
    """Raises StoreUnavailable, without the URL, if no server answers there with its credential."""
    client = open_client(url, COMMAND_TIMEOUT)
    try:
        await reply_of(client.ping())
    except SERVER_ERRORS as error:
        raise StoreUnavailable(f"the server does not answer: {type(error).__name__}") from None
    finally:
        await client.aclose(close_connection_pool=True)


async def _run_forever(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Restarts the work whenever the server is lost, with a growing backoff."""
    clock = asyncio.get_running_loop().time
    backoff = MIN_BACKOFF
    while True:
        started = clock()
        try:
            await work()
        except SERVER_ERRORS as error:
            log.warning("the shared store is unreachable: %s", type(error).__name__)
        if clock() - started > MAX_BACKOFF:
            backoff = MIN_BACKOFF
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, MAX_BACKOFF)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancels until the task ends: redis-py 8.1 can lose a cancellation during a reply."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


async def reply_of(command: Any) -> Any:
    """The reply to a command; redis-py's types do not say that it is awaitable."""
    return await command


def _entry_id(entry: bytes) -> tuple[int, int]:
    """A stream id as its milliseconds and the number within them, which sort."""
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number)


def _token() -> str:
    return uuid.uuid4().hex
