"""A small in-memory server for ValkeyStore, which a parent process runs for its workers.

It speaks Valkey's protocol (RESP2) and knows only the commands that ValkeyStore and SharedLimits
send, including their four scripts. So workers share a store as gateways share a Valkey: one
implementation, with the same behaviour when its server is slow, away or empty.

Note [Bounded as a MemoryStore]. A full store evicts the oldest replay key, lease, event or bucket,
but no idempotency key: it refuses a new one, as a Valkey with `noeviction` does. All streams
together hold STREAM_LENGTH events.

Note [Only its own workers]. Any process of the machine can connect to a loopback port. The server
disconnects a client that does not send the password first and in time. It reads no further from a
client that reads slowly, and requests are bounded, so a connection holds little memory.

This module must not know what the data means.
"""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hmac import compare_digest
from itertools import islice
from math import ceil
from operator import itemgetter
from socket import socket
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from gateway.access.rate_limit import MAX_KEYS
from gateway.live.shared_limits import MICROSECONDS, REPLACE_SCRIPT, ROUNDING, TAKE_SCRIPT
from gateway.live.store import MAX_CLAIMS, MAX_LEASES, MAX_REPLAY_KEYS, Expiring, expiring_cache
from gateway.live.valkey import DELETE_SCRIPT, LEASE_SCRIPT, STREAM_LENGTH

__all__ = ["StoreData", "StoreServer"]

MAX_ARGUMENTS = 16
MAX_TABLES = 1000
# Bytes: a webhook of 64 KB as JSON whose characters are all escaped, and more.
MAX_ARGUMENT = 1024 * 1024
OK, NULL, NULL_ARRAY = b"+OK\r\n", b"$-1\r\n", b"*-1\r\n"
FULL = b"-OOM all idempotency keys are in use\r\n"
WRONG_PASSWORD = b"-WRONGPASS the password comes first\r\n"
UNKNOWN = b"-ERR not a command of this store\r\n"
_LEASE, _DELETE = LEASE_SCRIPT.encode(), DELETE_SCRIPT.encode()
_REPLACE, _TAKE = REPLACE_SCRIPT.encode(), TAKE_SCRIPT.encode()

_Event = tuple[int, bytes, bytes]  # its number, field and value


class StoreData:
    """Keys and streams, and the commands on them. `now` is a clock in seconds; tests set it."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_claims: int = MAX_CLAIMS
    ) -> None:
        limits = {b"seen": MAX_REPLAY_KEYS, b"claim": max_claims, b"lease": MAX_LEASES}
        limits |= {b"share": MAX_TABLES, b"rate": MAX_KEYS}
        self._now = now
        self._tables: dict[bytes, TLRUCache[str, Expiring[bytes]]] = {
            kind: expiring_cache(limit, now) for kind, limit in limits.items()
        }
        self._streams: dict[bytes, deque[_Event]] = {}
        self._oldest_first: deque[bytes] = deque()  # the stream of each event
        self._epoch = int(time.time() * 1000)
        self._last_number = 0

    def execute(self, command: Sequence[bytes]) -> bytes:
        """The reply to a command. Raises ValueError for arguments that ValkeyStore never sends."""
        match command:
            case [b"GET", key]:
                return _bulk(self._get(key))
            case [b"SET", key, value, b"NX", b"PX", milliseconds]:
                return self._set(key, value, milliseconds, only_if_absent=True)
            case [b"SET", key, value, b"PX", milliseconds]:
                return self._set(key, value, milliseconds, only_if_absent=False)
            case [b"DEL", key]:
                return self._delete(key, None)
            case [b"EVAL", script, b"1", key, holder, milliseconds] if script == _LEASE:
                return self._lease(key, holder, milliseconds)
            case [b"EVAL", script, b"1", key, value] if script == _DELETE:
                return self._delete(key, value)
            case [b"EVAL", script, b"1", key, old, new, milliseconds] if script == _REPLACE:
                return self._replace(key, old, new, milliseconds)
            case [b"EVAL", script, b"1", key, interval, capacity, count] if script == _TAKE:
                return self._take(key, float(interval), float(capacity), int(count))
            case [b"XADD", stream, b"MAXLEN", b"~", _, b"*", field, value]:
                return self._add(stream, field, value)
            case [b"XREVRANGE", stream, b"+", b"-", b"COUNT", b"1"]:
                events = self._streams.get(stream)
                return _array([self._entry(events[-1])] if events else [])
        return UNKNOWN

    def events(self, stream: bytes, last_seen: bytes, count: int) -> bytes | None:
        """The reply to a read of a stream after the event `last_seen`; None if none follows."""
        epoch, _, number = last_seen.partition(b"-")
        last = int(number) if int(epoch) == self._epoch else -1
        events = self._streams.get(stream, ()) if int(epoch) <= self._epoch else ()
        start = bisect_right(events, last, key=itemgetter(0))
        entries = [self._entry(event) for event in islice(events, start, start + count)]
        return _array([_array([_bulk(stream), _array(entries)])]) if entries else None

    def _table(self, key: bytes) -> TLRUCache[str, Expiring[bytes]]:
        return self._tables[_kind(key)]

    def _get(self, key: bytes) -> bytes | None:
        entry = self._table(key).get(key.decode())
        return entry.value if entry else None

    def _put(self, key: bytes, value: bytes, milliseconds: bytes) -> None:
        expires_at = self._now() + int(milliseconds) / 1000
        self._table(key)[key.decode()] = Expiring(value, expires_at)

    def _set(self, key: bytes, value: bytes, milliseconds: bytes, *, only_if_absent: bool) -> bytes:
        table, is_free = self._table(key), self._get(key) is None
        if only_if_absent and not is_free:
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

    def _delete(self, key: bytes, value: bytes | None) -> bytes:
        """Deletes the key if it has this value (None: any); the number of deleted keys."""
        stored = self._get(key)
        if stored is None or value not in (None, stored):
            return _integer(0) if value is None else NULL
        del self._table(key)[key.decode()]
        return _integer(1)

    def _replace(self, key: bytes, old: bytes, new: bytes, milliseconds: bytes) -> bytes:
        if (self._get(key) or b"") != old:
            return _integer(0)
        self._put(key, new, milliseconds)
        return _integer(1)

    def _take(self, key: bytes, interval: float, capacity: float, wanted: int) -> bytes:
        """See TAKE_SCRIPT. All times are in microseconds."""
        now = float(int(self._now() * MICROSECONDS))
        full_at = max(float(self._get(key) or 0), now)
        taken = min(wanted, int((now + capacity - full_at) / interval + ROUNDING))
        if taken < 1:
            wait = ceil(full_at + interval - capacity - now)
            return _array([_integer(0), _integer(wait)])
        full_at += taken * interval
        self._put(key, b"%.2f" % full_at, b"%d" % ceil((full_at - now) / 1000))
        return _array([_integer(taken), _integer(0)])

    def _add(self, stream: bytes, field: bytes, value: bytes) -> bytes:
        self._last_number += 1
        event = (self._last_number, field, value)
        self._streams.setdefault(stream, deque()).append(event)
        self._oldest_first.append(stream)
        if len(self._oldest_first) > STREAM_LENGTH:
            self._drop_oldest(self._oldest_first.popleft())
        return _bulk(self._id(event))

    def _drop_oldest(self, stream: bytes) -> None:
        self._streams[stream].popleft()
        if not self._streams[stream]:
            del self._streams[stream]

    def _id(self, event: _Event) -> bytes:
        return b"%d-%d" % (self._epoch, event[0])

    def _entry(self, event: _Event) -> bytes:
        return _array([_bulk(self._id(event)), _array(map(_bulk, event[1:]))])


class StoreServer:
    """Serves `data` to clients that send the password within `auth_timeout` seconds."""

    def __init__(
        self, password: str, data: StoreData | None = None, auth_timeout: float = 5.0
    ) -> None:
        self._password = password.encode()
        self._auth_timeout = auth_timeout
        self._data = data or StoreData()
        # Set when a stream gets an event. Only its waiting readers hold a reference.
        self._new_event: WeakValueDictionary[bytes, asyncio.Event] = WeakValueDictionary()
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, listener: socket) -> None:
        """Serves until `stop`."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._handle_connection, sock=listener)
        try:
            await self._stopped.wait()
        finally:
            server.close()

    def stop(self) -> None:
        """Ends `serve`, from another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _handle_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serves one connection until it closes or sends something that is no command."""
        try:
            if await self._authenticate(reader):
                writer.write(OK)
                while True:
                    writer.write(await self._reply(await _command(reader)))
                    await writer.drain()
            writer.write(WRONG_PASSWORD)
        except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError):
            pass  # the client left, or it is no worker
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log the cancelled handler
        finally:
            writer.close()

    async def _authenticate(self, reader: asyncio.StreamReader) -> bool:
        """Checks the password. See Note [Only its own workers]. Raises TimeoutError."""
        async with asyncio.timeout(self._auth_timeout):
            name, *password = await _command(reader, max_argument=1024)
        return name == b"AUTH" and compare_digest(b"".join(password), self._password)

    async def _reply(self, command: list[bytes]) -> bytes:
        match command:
            case [b"XREAD", b"BLOCK", milliseconds, b"COUNT", count, b"STREAMS", stream, last_seen]:
                return await self._read(stream, last_seen, int(count), int(milliseconds) / 1000)
        reply = self._data.execute(command)
        if command[0] == b"XADD" and (added := self._new_event.pop(command[1], None)):
            added.set()
        return reply

    async def _read(self, stream: bytes, last_seen: bytes, count: int, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                while not (reply := self._data.events(stream, last_seen, count)):
                    added = self._new_event.setdefault(stream, asyncio.Event())
                    await added.wait()
                return reply
        except TimeoutError:
            return NULL_ARRAY


async def _command(reader: asyncio.StreamReader, max_argument: int = MAX_ARGUMENT) -> list[bytes]:
    """Reads an array of bulk strings. Raises ValueError for anything else."""
    arguments = []
    for _ in range(await _size(reader, b"*", MAX_ARGUMENTS)):
        length = await _size(reader, b"$", max_argument)
        arguments.append((await reader.readexactly(length + 2))[:-2])
    return arguments


async def _size(reader: asyncio.StreamReader, kind: bytes, maximum: int) -> int:
    line = await reader.readuntil(b"\r\n")
    size = int(line[1:])
    if line[:1] != kind or not 0 <= size <= maximum:
        raise ValueError("not a request of ValkeyStore")
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
