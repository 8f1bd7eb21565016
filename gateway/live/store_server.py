"""A small server for ValkeyStore: what a parent process keeps for its workers, in its memory.

It speaks Valkey's protocol (RESP2) and knows the commands that ValkeyStore sends, its two scripts
among them, and no other. So workers share a store as gateways share a Valkey: there is one way, and
what the store does when its server is slow, away or empty holds here, too.

Note [Bounded as a MemoryStore]. The oldest memory, lease or event makes room; no idempotency key
does: when all are taken a new one is refused, as a Valkey with `noeviction` does. All streams
together have STREAM_LENGTH events.

Note [Only its own workers]. Any process of the machine can connect to a loopback port. Whoever does
not send the password first, and soon, is disconnected. Answers wait for whoever reads slowly, and
requests are bounded, so that a connection holds little.

This module must not know what is kept.
"""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hmac import compare_digest
from itertools import islice
from operator import itemgetter
from socket import socket
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from gateway.live.store import MAX_CLAIMS, MAX_LEASES, MAX_MEMORIES, Lasting, lasting
from gateway.live.valkey import DROP_SCRIPT, LEASE_SCRIPT, STREAM_LENGTH

__all__ = ["KeptData", "StoreServer"]

MAX_ARGUMENTS = 16
# Bytes: a webhook of 64 KB as JSON whose characters are all escaped, and more.
MAX_ARGUMENT = 1024 * 1024
OK, NULL, NULL_ARRAY = b"+OK\r\n", b"$-1\r\n", b"*-1\r\n"
FULL = b"-OOM all idempotency keys are in use\r\n"
WRONG_PASSWORD = b"-WRONGPASS the password comes first\r\n"
UNKNOWN = b"-ERR not a command of this store\r\n"
_LEASE, _DROP = LEASE_SCRIPT.encode(), DROP_SCRIPT.encode()

_Event = tuple[int, bytes, bytes]  # its number, and the field and value that were added


class KeptData:
    """Keys and streams, and what each command does to them. `now` is a clock in seconds (tests)."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_claims: int = MAX_CLAIMS
    ) -> None:
        limits = {b"seen": MAX_MEMORIES, b"claim": max_claims, b"lease": MAX_LEASES}
        self._now = now
        self._tables: dict[bytes, TLRUCache[str, Lasting[bytes]]] = {
            kind: lasting(limit, now) for kind, limit in limits.items()
        }
        self._streams: dict[bytes, deque[_Event]] = {}
        self._order: deque[bytes] = deque()  # the stream of each event, the oldest first
        self._epoch = int(time.time() * 1000)
        self._added = 0

    def execute(self, command: Sequence[bytes]) -> bytes:
        """The reply to a command. Raises ValueError where it has a form that no store sends."""
        match command:
            case [b"GET", key]:
                return _bulk(self._get(key))
            case [b"SET", key, value, b"NX", b"PX", milliseconds]:
                return self._set(key, value, milliseconds, is_first=True)
            case [b"SET", key, value, b"PX", milliseconds]:
                return self._set(key, value, milliseconds, is_first=False)
            case [b"DEL", key]:
                return self._drop(key, None)
            case [b"EVAL", script, b"1", key, holder, milliseconds] if script == _LEASE:
                return self._lease(key, holder, milliseconds)
            case [b"EVAL", script, b"1", key, value] if script == _DROP:
                return self._drop(key, value)
            case [b"XADD", stream, b"MAXLEN", b"~", _, b"*", field, value]:
                return self._add(stream, field, value)
            case [b"XREVRANGE", stream, b"+", b"-", b"COUNT", b"1"]:
                events = self._streams.get(stream)
                return _array([self._entry(events[-1])] if events else [])
        return UNKNOWN

    def events(self, stream: bytes, seen: bytes, count: int) -> bytes | None:
        """The reply to a read of a stream after an event that was seen; None where none follows."""
        epoch, _, number = seen.partition(b"-")
        last = int(number) if int(epoch) == self._epoch else -1
        events = self._streams.get(stream, ()) if int(epoch) <= self._epoch else ()
        start = bisect_right(events, last, key=itemgetter(0))
        entries = [self._entry(event) for event in islice(events, start, start + count)]
        return _array([_array([_bulk(stream), _array(entries)])]) if entries else None

    def _table(self, key: bytes) -> TLRUCache[str, Lasting[bytes]]:
        return self._tables[_kind(key)]

    def _get(self, key: bytes) -> bytes | None:
        kept = self._table(key).get(key.decode())
        return kept.value if kept else None

    def _put(self, key: bytes, value: bytes, milliseconds: bytes) -> None:
        until = self._now() + int(milliseconds) / 1000
        self._table(key)[key.decode()] = Lasting(value, until)

    def _set(self, key: bytes, value: bytes, milliseconds: bytes, *, is_first: bool) -> bytes:
        table, is_free = self._table(key), self._get(key) is None
        if is_first and not is_free:
            return NULL
        if is_free and _kind(key) == b"claim" and len(table) >= table.maxsize:
            return FULL
        self._put(key, value, milliseconds)
        return OK

    def _lease(self, key: bytes, holder: bytes, milliseconds: bytes) -> bytes:
        if self._get(key) not in (None, holder):
            return _integer(0)
        self._put(key, holder, milliseconds)
        return _integer(1)

    def _drop(self, key: bytes, value: bytes | None) -> bytes:
        """Deletes the key, if it has this value, or any; how many were deleted."""
        kept = self._get(key)
        if kept is None or value not in (None, kept):
            return _integer(0) if value is None else NULL
        del self._table(key)[key.decode()]
        return _integer(1)

    def _add(self, stream: bytes, field: bytes, value: bytes) -> bytes:
        self._added += 1
        event = (self._added, field, value)
        self._streams.setdefault(stream, deque()).append(event)
        self._order.append(stream)
        if len(self._order) > STREAM_LENGTH:
            self._forget_oldest(self._order.popleft())
        return _bulk(self._id(event))

    def _forget_oldest(self, stream: bytes) -> None:
        self._streams[stream].popleft()
        if not self._streams[stream]:
            del self._streams[stream]

    def _id(self, event: _Event) -> bytes:
        return b"%d-%d" % (self._epoch, event[0])

    def _entry(self, event: _Event) -> bytes:
        return _array([_bulk(self._id(event)), _array(map(_bulk, event[1:]))])


class StoreServer:
    """Serves `data` to whoever sends the password within `password_seconds`."""

    def __init__(
        self, password: str, data: KeptData | None = None, password_seconds: float = 5.0
    ) -> None:
        self._password = password.encode()
        self._password_seconds = password_seconds
        self._data = data or KeptData()
        # The readers that wait for a stream hold its event; without readers it is gone.
        self._waited_for: WeakValueDictionary[bytes, asyncio.Event] = WeakValueDictionary()
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, listener: socket) -> None:
        """Until `stop`."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._converse, sock=listener)
        try:
            await self._end.wait()
        finally:
            server.close()

    def stop(self) -> None:
        """Ends `serve`, from another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is closed or sends what is no command."""
        try:
            if await self._knows_password(reader):
                writer.write(OK)
                while True:
                    writer.write(await self._reply(await _command(reader)))
                    await writer.drain()
            writer.write(WRONG_PASSWORD)
        except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError):
            pass  # the worker is gone, or it is none
        except asyncio.CancelledError:
            pass  # the server ends; asyncio's own callback logs a handler that was cancelled
        finally:
            writer.close()

    async def _knows_password(self, reader: asyncio.StreamReader) -> bool:
        """See Note [Only its own workers]. Raises TimeoutError."""
        async with asyncio.timeout(self._password_seconds):
            name, *password = await _command(reader, max_argument=1024)
        return name == b"AUTH" and compare_digest(b"".join(password), self._password)

    async def _reply(self, command: list[bytes]) -> bytes:
        match command:
            case [b"XREAD", b"BLOCK", milliseconds, b"COUNT", count, b"STREAMS", stream, seen]:
                return await self._read(stream, seen, int(count), int(milliseconds) / 1000)
        reply = self._data.execute(command)
        if command[0] == b"XADD" and (event := self._waited_for.pop(command[1], None)):
            event.set()
        return reply

    async def _read(self, stream: bytes, seen: bytes, count: int, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                while not (reply := self._data.events(stream, seen, count)):
                    event = self._waited_for.setdefault(stream, asyncio.Event())
                    await event.wait()
                return reply
        except TimeoutError:
            return NULL_ARRAY


async def _command(reader: asyncio.StreamReader, max_argument: int = MAX_ARGUMENT) -> list[bytes]:
    """An array of bulk strings. Raises ValueError for anything else."""
    arguments = []
    for _ in range(await _size(reader, b"*", MAX_ARGUMENTS)):
        length = await _size(reader, b"$", max_argument)
        arguments.append((await reader.readexactly(length + 2))[:-2])
    return arguments


async def _size(reader: asyncio.StreamReader, kind: bytes, largest: int) -> int:
    line = await reader.readuntil(b"\r\n")
    size = int(line[1:])
    if line[:1] != kind or not 0 <= size <= largest:
        raise ValueError("not a request of a store's")
    return size


def _kind(key: bytes) -> bytes:
    """ValkeyStore's keys are `gateway:namespace:kind:name`."""
    return key.split(b":", 3)[2]


def _bulk(value: bytes | None) -> bytes:
    return NULL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def _integer(value: int) -> bytes:
    return b":%d\r\n" % value


def _array(items: Iterable[bytes]) -> bytes:
    items = list(items)
    return b"*%d\r\n%b" % (len(items), b"".join(items))
