"""The shared cache: what one gateway has read and cannot change, the others do not read again.

It saves requests and nothing else, so the store may lose any entry at any time. This module must
not know what store there is, nor which answers are immutable.

Note [Never in the way]. While the store is away, slow or full of garbage, nothing is found in it:
a look-up waits PATIENCE seconds at most, and after a failure none is made for AWAY_SECONDS. Nobody
waits for a write. MAX_WAITING entries wait for their turn; what comes then is not shared.

Note [Keys]. An entry's key has the account's SID and an HMAC of the request's URL, with the
credential as key. It is equal in all gateways with this credential, another credential cannot find
it, and it reveals neither the credential nor a phone number in a filter. FORMAT changes with the
format of entries.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Protocol, TypeVar

import msgspec

from gateway.access import Account
from gateway.errors import StoreUnavailable, UpstreamInvalid
from gateway.upstream.lifetimes import TTL

__all__ = ["CacheStore", "Entry", "SharedCache", "SharedEntries"]

log = logging.getLogger(__name__)
K = TypeVar("K")
T = TypeVar("T")

PATIENCE, AWAY_SECONDS, LOG_SECONDS = 0.05, 1.0, 60.0
MAX_WAITING = 500
FORMAT = 1
HIT, MISS, FAILED = "hit", "miss", "failed"


class CacheStore(Protocol):
    """Bytes by key, which all gateways share. The methods raise StoreUnavailable."""

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The bytes of each key; None where there are none."""

    async def put(self, entries: Mapping[str, bytes], seconds: float) -> None:
        """Keeps the bytes of each key for so many seconds at most."""

    async def aclose(self) -> None:
        """Closes the connections."""


class SharedCache:
    """The store as the clients of one process use it: it never fails. Close it with `aclose`.

    See Note [Never in the way].
    """

    def __init__(
        self,
        store: CacheStore,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._away_until = self._silent_until = -math.inf
        self._waiting: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._writing: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None] | None:
        """The bytes of each key; None while the store is away or slow."""
        if self._clock() < self._away_until:
            return None
        # A task that is left alone: redis-py can lose a cancellation during a reply.
        reading = asyncio.create_task(self._read(keys))
        self._keep(reading)
        await asyncio.wait([reading], timeout=self._patience)
        if reading.done():
            return reading.result()
        self._lose("it is slow")
        return None

    def put(self, key: str, value: bytes) -> None:
        """Has the bytes written, beside whatever else happens, if there is room to wait."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[key] = value
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
            self._keep(self._writing)

    def warn(self, problem: str) -> None:
        """Logs a problem, unless one was logged in the last LOG_SECONDS."""
        if self._clock() >= self._silent_until:
            self._silent_until = self._clock() + LOG_SECONDS
            log.warning("the shared cache does not help: %s", problem)

    async def aclose(self) -> None:
        """Waits for reads and writes that have begun, then closes the store."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._store.aclose()

    async def _read(self, keys: Sequence[str]) -> Sequence[bytes | None] | None:
        try:
            return await self._store.get(keys)
        except StoreUnavailable as error:
            self._lose(str(error))
            return None

    async def _write(self) -> None:
        while self._waiting:
            entries, self._waiting = self._waiting, {}
            try:
                await self._store.put(entries, TTL.total_seconds())
            except StoreUnavailable as error:
                self.warn(str(error))

    def _lose(self, problem: str) -> None:
        self._away_until = self._clock() + AWAY_SECONDS
        self.warn(problem)

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The body of a response, and when it was read (UTC)."""

    read_at: Annotated[datetime, msgspec.Meta(tz=True)]
    body: bytes


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Entry)


class SharedEntries:
    """The entries of one credential; see Note [Keys]. `results` counts look-ups by result."""

    def __init__(self, cache: SharedCache, account: Account) -> None:
        self.results = {HIT: 0, MISS: 0, FAILED: 0}
        self._cache = cache
        self._account = account

    async def read(
        self, urls: Mapping[K, str], answer_of: Callable[[K, Entry], T | None]
    ) -> dict[K, T]:
        """What `answer_of` makes of the entries of these URLs, in one round trip.

        None is a miss, and UpstreamInvalid an entry that cannot be decoded.
        """
        if not urls:
            return {}
        stored = await self._cache.get(self._keys(urls.values()))
        if stored is None:
            self.results[FAILED] += len(urls)
            return {}
        found: dict[K, T] = {}
        for request, value in zip(urls, stored, strict=True):
            try:
                answer = None if value is None else answer_of(request, _decoder.decode(value))
            except (msgspec.DecodeError, UpstreamInvalid):
                self.results[FAILED] += 1
                self._cache.warn("an entry cannot be decoded")
                continue
            self.results[MISS if answer is None else HIT] += 1
            if answer is not None:
                found[request] = answer
        return found

    def write(self, url: str, entry: Entry) -> None:
        """Has an entry written for this URL."""
        (key,) = self._keys([url])
        self._cache.put(key, _encoder.encode(entry))

    def _keys(self, urls: Iterable[str]) -> list[str]:
        prefix = f"gateway:{self._account.sid}:cache:{FORMAT}:"
        return [prefix + self._account.mac(url) for url in urls]
