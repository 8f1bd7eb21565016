"""Two gateways with one shared cache: what one has read and cannot change, the other does not."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from redis import Redis

from gateway.access import Account
from gateway.live.cache_store import ValkeyCacheStore
from gateway.live.store import MemoryStore
from gateway.live.subscriptions import SubscriberSlots
from gateway.server import Gateway, OperationOptions, create_app
from gateway.server.account_clients import AccountClient
from gateway.server.account_stores import AccountStores
from gateway.settings import Secret, UpstreamSettings
from gateway.telemetry.upstream_trace import Explain
from gateway.upstream.calls import CallResource, FetchCall
from gateway.upstream.client import UpstreamClient
from gateway.upstream.lifetimes import TTL
from gateway.upstream.notifications import FetchNotification
from gateway.upstream.recordings import ListRecordings
from gateway.upstream.shared_cache import MAX_WAITING, SharedCache
from tests.conftest import Client
from tests.live.servers import ServerProcess
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, recording, sid
from tests.settings import settings_of
from tests.upstream.stage import TOKEN_ACCOUNT
from tests.waiting import until_in_loop

FETCH = FetchCall(sid=sid("CA", 1))
RECORDINGS = ListRecordings(call_sid=sid("CA", 1))
GET, GET_RECORDINGS = f"GET Calls/{sid('CA', 1)}", f"GET Calls/{sid('CA', 1)}/Recordings"
SETTINGS: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN)}
QUERY = """query($sid: ID!) {
  call(sid: $sid) { status price recordings(first: 50) { nodes { sid duration } } }
}"""
ANSWER = {
    "call": {
        "status": "COMPLETED",
        "price": "-0.00850",
        "recordings": {"nodes": [{"sid": sid("RE", 7), "duration": 30}]},
    }
}


def ended() -> PlainTwilio:
    """An account with a call that ended months ago, and its recording."""
    return PlainTwilio(calls=[call(1)], recordings=[recording(7, of=1, price="-0.0025")])


class Replicas:
    """Gateways' clients of one upstream and one store. Their clocks show `now`."""

    def __init__(self, server: ServerProcess, patience: float = 20.0) -> None:
        self.twilio = ended()
        self.now = datetime.now(UTC)
        self.elapsed = 0.0
        self.redis = Redis.from_url(server.url)
        self.caches: list[SharedCache] = []
        self._url, self._patience = server.url, patience
        self._stack = AsyncExitStack()

    def add(self, account: Account = TOKEN_ACCOUNT, **settings: Any) -> UpstreamClient:
        """Starts one more gateway's client."""
        cache = SharedCache(ValkeyCacheStore(self._url), lambda: self.elapsed, self._patience)
        given = UpstreamSettings(**settings)
        client = UpstreamClient(account, given, self.twilio, now=lambda: self.now, shared=cache)
        self._stack.push_async_callback(cache.aclose)
        self._stack.push_async_callback(client.aclose)
        self.caches.append(cache)
        return client

    def gateway(self) -> Client:
        """Starts one more gateway with such a client."""
        stores = AccountStores(lambda _: MemoryStore())
        own = AccountClient(self.add(), stores, SubscriberSlots(10))
        return Client(Gateway(settings_of(**SETTINGS), own))

    def keys(self) -> list[str]:
        """The keys in the store."""
        found: Any = self.redis.keys()
        return sorted(key.decode() for key in found)

    async def written(self, count: int = 1) -> list[str]:
        """The keys in the store, as soon as there are so many."""
        await until_in_loop(lambda: len(self.keys()) == count)
        return self.keys()

    async def aclose(self) -> None:
        """Closes all clients."""
        await self._stack.aclose()
        self.redis.close()


@pytest.fixture
async def replicas(server: ServerProcess) -> AsyncIterator[Replicas]:
    """Replicas that wait for the store as long as it takes."""
    made = Replicas(server)
    yield made
    await made.aclose()


async def recalled(client: UpstreamClient, owner: CallResource | None = None) -> dict[Any, Any]:
    """What a client finds in the shared cache, of the call and its recordings."""
    found = await client.recall({FETCH: None, RECORDINGS: owner})
    return {request: getattr(answer, "rows", answer) for request, (answer, _) in found.items()}


def results(client: UpstreamClient) -> dict[str, int]:
    """The look-ups of a client by result, without those that did not happen."""
    return {result: count for result, count in client.sample().cache_store.items() if count}


async def test_what_one_gateway_has_read_the_other_does_not_request(replicas: Replicas) -> None:
    asked, explained = {"sid": sid("CA", 1)}, OperationOptions(explain=Explain.TOTALS)
    assert await replicas.gateway().data(QUERY, **asked) == ANSWER
    assert replicas.twilio.requests == [GET, GET_RECORDINGS + "?PageSize=51"]
    await replicas.written(2)

    other = replicas.gateway()
    result = await other.gateway.execute_as_operator(QUERY, asked, None, explained)
    assert await other.data(QUERY, **asked) == ANSWER
    assert result["data"] == ANSWER
    assert result["extensions"]["upstream"]["cached"] == 2
    sample = other.gateway.client.sample()
    assert (sample.cache_store, sample.cache_hits) == ({"hit": 2, "miss": 0, "failed": 0}, 2)
    assert len(replicas.twilio.requests) == 2


async def test_a_plan_asks_for_all_it_reads_at_once(replicas: Replicas) -> None:
    """And for nothing that it does not read, such as a list of all calls."""
    replicas.twilio.calls = [call(number) for number in range(1, 6)]
    fields = " ".join(f'c{n}: call(sid: "{sid("CA", n)}") {{ status }}' for n in range(1, 6))
    one = replicas.gateway()
    await one.data("{ calls { nodes { sid } } }")
    await one.data(f"{{ {fields} }}")
    await replicas.written(5)

    stats: Any = replicas.redis.info("commandstats")
    assert stats["cmdstat_mget"]["calls"] == 1
    assert results(one.gateway.client) == {"miss": 5}
    assert len(replicas.twilio.requests) == 6


async def test_its_own_cache_comes_first(replicas: Replicas) -> None:
    """Nothing is asked of the store for what a gateway has read itself."""
    a = replicas.add()
    row = await a.fetch(FETCH)
    assert a.cached(FETCH) == (row, TTL.total_seconds())
    assert results(a) == {}


async def test_another_credential_shares_nothing(replicas: Replicas) -> None:
    """Not even where it opens the same account."""
    others = [
        Account(ACCOUNT, ACCOUNT, Secret("f" * 32)),
        Account(ACCOUNT, sid("SK", 1), Secret(TOKEN)),
        Account(sid("AC", 2), ACCOUNT, Secret(TOKEN)),
    ]
    await replicas.add().fetch(FETCH)
    await replicas.written()

    for other in map(replicas.add, others):
        assert await recalled(other) == {}
        assert results(other) == {"miss": 1}
    assert await recalled(replicas.add())


async def test_keys_reveal_neither_credential_nor_request(replicas: Replicas) -> None:
    client = replicas.add()
    owner = await client.fetch(FETCH)
    assert owner is not None
    await client.page(RECORDINGS, owner=owner)
    keys = await replicas.written(2)

    prefix = f"gateway:{ACCOUNT}:cache:1:"
    assert all(key.startswith(prefix) and len(key) == len(prefix) + 64 for key in keys)
    hashes = {hashlib.sha256(text.encode()).hexdigest() for text in (TOKEN, FETCH.path)}
    assert not {key.removeprefix(prefix) for key in keys} & hashes
    assert TOKEN not in str(keys)
    assert FETCH.sid not in str(keys)


@pytest.mark.parametrize(
    "given",
    [
        {"status": "in-progress", "price": None, "end_time": None},
        {"status": "completed", "price": None, "end_time": None, "date_updated": None},
        {"status": "paused"},
    ],
    ids=["live", "unpriced", "in doubt"],
)
async def test_what_may_change_is_never_written(given: dict[str, Any], replicas: Replicas) -> None:
    replicas.twilio.calls = [call(1, **given), call(2)]
    a, b = replicas.add(), replicas.add()
    live = await a.fetch(FETCH)
    assert live is not None
    await a.page(RECORDINGS, owner=live)
    await a.fetch(FetchCall(sid=sid("CA", 2)))

    assert len(await replicas.written()) == 1
    assert await recalled(b) == {}
    assert await b.fetch(FETCH) == live
    assert replicas.twilio.requests.count(GET) == 2


async def test_what_may_change_is_not_asked_for(replicas: Replicas) -> None:
    """No round trip for the list of a live call, of an unknown call, or for a notification."""
    client = replicas.add()
    live = msgspec.convert(call(1, status="ringing"), CallResource)
    for owner in (live, None):
        assert await client.recall({RECORDINGS: owner}) == {}
    assert await client.recall({FetchNotification(sid=sid("NO", 1)): None}) == {}
    assert results(client) == {}


async def test_an_hour_after_it_was_read_it_is_read_again(replicas: Replicas) -> None:
    """Not an hour after a copy was made."""
    a, b, c, d = (replicas.add() for _ in range(4))
    row = await a.fetch(FETCH)
    (key,) = await replicas.written()
    assert 3500 < float(str(replicas.redis.ttl(key))) <= 3600

    replicas.now += timedelta(minutes=50)
    assert (await b.recall({FETCH: None}))[FETCH] == (row, 600)
    replicas.now += timedelta(minutes=9.9)
    assert b.cached(FETCH) == (row, 6)
    assert (await c.recall({FETCH: None}))[FETCH] == (row, 6)
    replicas.now += timedelta(seconds=6)
    assert b.cached(FETCH) is c.cached(FETCH) is None
    assert await recalled(d) == {}
    assert results(d) == {"miss": 1}


async def test_a_clock_that_is_ahead_makes_nothing_live_longer(replicas: Replicas) -> None:
    a, b = replicas.add(), replicas.add()
    replicas.now += timedelta(hours=1)
    row = await a.fetch(FETCH)
    await replicas.written()
    replicas.now -= timedelta(hours=1)

    assert (await b.recall({FETCH: None}))[FETCH] == (row, 3600)


def entry(body: bytes, at: Any = None) -> bytes:
    """An entry as one would be written."""
    return msgspec.msgpack.encode([at or datetime.now(UTC), body])


LIVE = json.dumps(call(1, status="ringing", price=None)).encode()
GARBAGE = {
    "no entry": b"\xc1",
    "no array": msgspec.msgpack.encode({"body": 1}),
    "a number for a date": entry(LIVE, 1e300),
    "a date without a zone": entry(LIVE, "2026-03-10T12:00:00"),
    "no JSON": entry(b"<html>"),
    "another call": entry(json.dumps(call(2)).encode()),
    "cut short": entry(json.dumps(call(1)).encode())[:-9],
}


@pytest.mark.parametrize("value", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_in_the_store_is_a_miss(
    value: bytes, replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and logged once a minute."""
    await replicas.add().fetch(FETCH)
    (key,) = await replicas.written()
    replicas.redis.set(key, value)
    client = replicas.add()
    for count in (1, 2):
        assert await recalled(client) == {}
        assert results(client) == {"failed": count}
    replicas.elapsed += 60
    assert await recalled(client) == {}

    assert caplog.messages == ["the shared cache does not help: an entry cannot be decoded"] * 2
    assert await client.fetch(FETCH) is not None


async def test_a_live_call_in_the_store_is_a_miss(replicas: Replicas) -> None:
    """Whoever wrote it: what can change is not believed for an hour."""
    await replicas.add().fetch(FETCH)
    (key,) = await replicas.written()
    replicas.redis.set(key, entry(LIVE))
    client = replicas.add()

    assert await recalled(client) == {}
    assert client.cached(FETCH) is None
    assert results(client) == {"miss": 1}


async def test_without_the_store_all_is_read_and_with_it_shared_again(
    replicas: Replicas, server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    a, b = replicas.add(), replicas.add()
    await a.fetch(FETCH)
    await replicas.written()
    await asyncio.to_thread(server.stop)
    assert await recalled(b) == {}
    await asyncio.to_thread(server.start)
    assert await recalled(b) == {}  # not asked: the store was away a moment ago
    assert results(b) == {"failed": 2}
    assert len([line for line in caplog.messages if "cannot be read" in line]) == 1
    assert await b.fetch(FETCH) is not None
    await replicas.written()
    replicas.elapsed += 1
    c = replicas.add()

    assert FETCH in await recalled(c)
    assert FETCH in await recalled(b)
    assert replicas.twilio.requests == [GET, GET]


@contextmanager
def hanging(server: ServerProcess) -> Iterator[None]:
    """The server does not answer."""
    server.hang()
    try:
        yield
    finally:
        server.resume()


async def test_a_read_waits_for_a_store_that_hangs_no_longer_than_its_patience(
    server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not wait until the command fails; and nobody waits for a write."""
    replicas = Replicas(server, patience=0.05)
    a, b = replicas.add(), replicas.add()
    try:
        with hanging(server):
            assert await recalled(b) == {}
            assert caplog.messages == ["the shared cache does not help: it is slow"]
            assert await a.fetch(FETCH) is not None
        assert results(b) == {"failed": 1}
    finally:
        await replicas.aclose()


class Stuck:
    """A store that writes when it is told to."""

    def __init__(self) -> None:
        self.may_write = asyncio.Event()
        self.written: list[int] = []

    async def get(self, keys: Any) -> list[bytes | None]:
        return [None] * len(keys)

    async def put(self, entries: Any, seconds: float) -> None:
        await self.may_write.wait()
        self.written.append(len(entries))

    async def aclose(self) -> None:
        pass


async def test_what_waits_to_be_written_is_bounded() -> None:
    store = Stuck()
    cache = SharedCache(store)
    cache.put("first", b"")
    await asyncio.sleep(0)
    for number in range(MAX_WAITING + 10):
        cache.put(str(number), b"")
    store.may_write.set()
    await cache.aclose()

    assert store.written == [1, MAX_WAITING]


async def test_without_a_cache_nothing_is_shared(replicas: Replicas) -> None:
    """GATEWAY_CACHE_SIZE=0 turns the shared one off, too."""
    client = replicas.add(cache_size=0)
    await client.fetch(FETCH)
    assert not client.shares_cache
    assert await recalled(client) == {}
    assert replicas.keys() == []


@pytest.mark.parametrize(
    ("has_account", "has_url", "is_shared"),
    [(False, True, False), (True, False, False), (True, True, True)],
)
async def test_a_gateway_shares_only_with_the_setting_and_an_account(
    has_account: bool, has_url: bool, is_shared: bool, server: ServerProcess
) -> None:
    """An embedded sandbox's calls are not another's."""
    given: dict[str, Any] = {"cache_store_url": Secret(server.url)} if has_url else {}
    app = create_app(
        settings_of(**given, **(SETTINGS if has_account else {})), ended() if has_account else None
    )
    async with app.router.lifespan_context(app):
        client: UpstreamClient = app.state.gateway.own.client
        await client.fetch(FETCH)

        assert client.shares_cache is is_shared
        assert bool(client.sample().cache_store) is is_shared
    redis: Any = Redis.from_url(server.url)
    with redis:  # closing waits for what is being written
        assert redis.dbsize() == is_shared
