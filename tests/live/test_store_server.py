"""The store that a parent runs for its workers: like a Valkey, bounded, and for them only."""

import asyncio
import re
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable
from gateway.live.shared_limits import REPLACE_SCRIPT, TAKE_SCRIPT
from gateway.live.store import MAX_CLAIMS, MAX_REPLAY_KEYS, Claim
from gateway.live.store_server import StoreData, StoreServer
from gateway.live.valkey import DELETE_SCRIPT, LEASE_SCRIPT, STREAM_LENGTH, ValkeyStore
from tests.live.servers import PASSWORD, OwnServer, running_own_server, running_server
from tests.live.test_valkey import (  # noqa: F401 (run against this server by the fixture below)
    test_a_claim_that_a_hanging_server_stored_is_deleted,
    test_a_gateway_gets_its_own_event_once,
    test_a_gateway_that_starts_later_gets_earlier_events,
    test_a_key_is_new_to_one_gateway_only,
    test_a_key_that_is_released_is_free_again,
    test_a_lease_is_one_gateways_until_it_ends,
    test_accounts_on_one_server_share_nothing,
    test_an_event_that_arrives_at_one_gateway_reaches_a_subscriber_at_another,
    test_an_event_that_waited_for_a_hanging_server_arrives_when_it_resumes,
    test_an_idempotency_key_is_claimed_once_across_gateways,
    test_events_while_the_server_is_away_arrive_when_it_is_back,
    test_the_first_key_after_the_server_is_back_can_be_claimed,
    test_without_the_server_every_gateway_gets_the_lease,
    test_without_the_server_no_key_can_be_claimed,
    test_without_the_server_the_replay_cache_is_local,
)
from tests.plain_twilio import ACCOUNT


@pytest.fixture
def server() -> Iterator[OwnServer]:
    """A server of the test's own."""
    with running_own_server() as running:
        yield running


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[int]:
    """The port of a server in this loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    store = StoreServer(PASSWORD, **options)
    task = asyncio.create_task(store.serve(listener))
    try:
        yield listener.getsockname()[1]
    finally:
        store.stop()
        await task


def request(*arguments: str | bytes) -> bytes:
    """A command as bytes of the protocol."""
    parts = [part.encode() if isinstance(part, str) else part for part in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


LOG_IN = request("AUTH", PASSWORD)


@pytest.mark.parametrize(
    "sent",
    [
        request("AUTH", "another"),
        request("AUTH"),
        request("AUTH", ""),
        request("GET", "gateway:AC:claim:k"),
        request("AUTH", PASSWORD + "x") + LOG_IN,
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$2000\r\n" + b"x" * 2000 + b"\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*99\r\n",
        b"\0" * 200_000,
        b"",
    ],
    ids=repr,
)
async def test_a_client_without_the_password_is_disconnected_without_a_response(
    sent: bytes,
) -> None:
    async with serving(auth_timeout=0.2) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answer = b""
        with suppress(ConnectionError):
            answer = await reader.read()
        writer.close()

    assert answer in (b"", b"-WRONGPASS the password comes first\r\n")


@pytest.mark.parametrize(
    "sent",
    [b"$3\r\nGET\r\n", b"*1\r\n:1\r\n", b"*1\r\n$1048577\r\n", b"*17\r\n", b"*1\r\n$x\r\n",
     request("GET", "no-kind"), request("GET", "gateway:AC:other:k"),
     request("SET", "gateway:AC:claim:k", "v", "PX", "soon")],
    ids=repr,
)  # fmt: skip
async def test_a_malformed_command_ends_its_connection_only(sent: bytes) -> None:
    async with serving() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LOG_IN + sent)
        assert await reader.read() == b"+OK\r\n"
        writer.close()

        store = ValkeyStore(f"redis://:{PASSWORD}@127.0.0.1:{port}/0", ACCOUNT)
        assert (await store.claim("k", "print")).is_new
        await store.aclose()


async def test_a_command_that_it_does_not_know_is_an_error_of_that_command() -> None:
    async with serving() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LOG_IN + request("FLUSHALL") + request("EVAL", "return 1", "1", "k", "v"))
        writer.write(request("GET", "gateway:AC:claim:k"))
        lines = [await reader.readline() for _ in range(4)]
        writer.close()

    assert lines == [b"+OK\r\n", *[b"-ERR not a command of this store\r\n"] * 2, b"$-1\r\n"]


def test_the_server_reads_no_further_from_a_client_that_does_not_read(server: OwnServer) -> None:
    """Its requests wait in the sockets' buffers; the server holds little of each connection."""
    value = b"x" * 500_000
    key = "gateway:AC:claim:k"
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(LOG_IN + request("SET", key, value, "PX", "60000"))
        slow.setblocking(False)
        sent, requests = 0, request("GET", key) * 1000
        while sent < 40_000_000 and select.select([], [slow], [], 1)[1]:
            sent += slow.send(requests)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
            other.sendall(LOG_IN + request("GET", "gateway:AC:claim:other"))
            answer = b""
            while len(answer) < 10:
                answer += other.recv(100)

    assert sent < 40_000_000
    assert answer == b"+OK\r\n$-1\r\n"


class Clock:
    """A clock in seconds that the test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def set_(kind: str, name: object, *how: bytes) -> list[bytes]:
    """The command that stores a value for a minute."""
    return [b"SET", f"gateway:AC:{kind}:{name}".encode(), b"v", *how, b"PX", b"60000"]


def get(kind: str, name: object) -> list[bytes]:
    """The command that reads it."""
    return [b"GET", f"gateway:AC:{kind}:{name}".encode()]


def test_a_full_store_evicts_no_key_and_takes_new_ones_when_old_ones_expire() -> None:
    clock = Clock()
    data = StoreData(clock)
    taken = {data.execute(set_("claim", number, b"NX")) for number in range(MAX_CLAIMS)}

    assert taken == {b"+OK\r\n"}
    assert data.execute(set_("claim", "new", b"NX")).startswith(b"-OOM")
    assert data.execute(set_("claim", 0, b"NX")) == b"$-1\r\n"
    assert data.execute(set_("claim", 0)) == b"+OK\r\n"
    assert data.execute(get("claim", 1)) == b"$1\r\nv\r\n"
    clock.seconds += 60
    assert data.execute(set_("claim", "new", b"NX")) == b"+OK\r\n"


def test_a_full_replay_cache_evicts_its_oldest_key() -> None:
    data = StoreData()
    for number in range(MAX_REPLAY_KEYS + 1):
        assert data.execute(set_("seen", number, b"NX")) == b"+OK\r\n"

    assert data.execute(get("seen", 0)) == b"$-1\r\n"
    assert data.execute(get("seen", 1)) == b"$1\r\nv\r\n"


def add(stream: str, value: object) -> list[bytes]:
    """The command that adds to a stream."""
    return [b"XADD", stream.encode(), b"MAXLEN", b"~", b"50000", b"*", b"f", str(value).encode()]


def test_all_streams_together_are_bounded_and_the_oldest_event_is_evicted() -> None:
    data = StoreData()
    data.execute(add("idle", "old"))
    for number in range(STREAM_LENGTH):
        data.execute(add("busy", number))
    reply = data.events(b"busy", b"0-0", 1)

    assert data.events(b"idle", b"0-0", 10) is None
    assert reply is not None
    assert reply.endswith(b"$1\r\n0\r\n")
    data.execute(add("busy", "more"))
    assert b"$1\r\n0\r\n" not in (data.events(b"busy", b"0-0", 1) or b"")


async def test_a_full_store_refuses_a_new_key_and_says_so() -> None:
    async with serving(data=StoreData(max_claims=2)) as port, asyncio.timeout(20):
        store = ValkeyStore(f"redis://:{PASSWORD}@127.0.0.1:{port}/0", ACCOUNT)
        assert [(await store.claim(key, "print")).is_new for key in "aab"] == [True, False, True]
        with pytest.raises(StoreUnavailable):
            await store.claim("c", "print")
        assert await store.add_if_new("a webhook", 60)
        await store.settle("a", "print", "made")
        assert await store.claim("a", "print") == Claim("print", "made")
        await store.release("b")
        assert (await store.claim("c", "print")).is_new
        await store.aclose()


NAMES, VALUES = st.sampled_from("ab"), st.sampled_from([b"v", b"w", b"\r\n"])
KINDS = st.sampled_from(["claim", "seen", "lease"])


def keyed(kind: str, name: str) -> bytes:
    """A key as ValkeyStore makes it."""
    return f"gateway:AC1:{kind}:{name}".encode()


KEYS = st.builds(keyed, KINDS, NAMES)
LONG = b"3600000"
NEWEST = b"the id of the event that was added last"
COMMANDS = st.one_of(
    st.builds(lambda k: [b"GET", k], KEYS),
    st.builds(lambda k: [b"DEL", k], KEYS),
    st.builds(lambda k, v: [b"SET", k, v, b"PX", LONG], KEYS, VALUES),
    st.builds(lambda k, v: [b"SET", k, v, b"NX", b"PX", LONG], KEYS, VALUES),
    st.builds(lambda k, v: [b"EVAL", LEASE_SCRIPT.encode(), b"1", k, v, LONG], KEYS, VALUES),
    st.builds(lambda k, v: [b"EVAL", DELETE_SCRIPT.encode(), b"1", k, v], KEYS, VALUES),
    st.builds(
        lambda n, old, new: [b"EVAL", REPLACE_SCRIPT.encode(), b"1", keyed("share", n), old, new,
                             LONG],
        NAMES, st.sampled_from([b"", b"v", b"w"]), VALUES,
    ),
    st.builds(
        lambda n, most: [b"EVAL", TAKE_SCRIPT.encode(), b"1", keyed("rate", n), b"3600000000.5",
                         b"18000000002.5", str(most).encode()],
        NAMES, st.integers(1, 4),
    ),
    st.builds(lambda name, v: add(f"gateway:AC1:{name}", v.hex()), NAMES, VALUES),
    st.builds(
        lambda n: [b"XREVRANGE", b"gateway:AC1:" + n.encode(), b"+", b"-", b"COUNT", b"1"], NAMES
    ),
    st.builds(
        lambda n, most, seen: [b"XREAD", b"BLOCK", b"1", b"COUNT", str(most).encode(), b"STREAMS",
                          b"gateway:AC1:" + n.encode(), seen],
        NAMES, st.integers(1, 5), st.sampled_from([b"0-0", NEWEST]),
    ),
)  # fmt: skip


class Connection:
    """A connection to a server."""

    def __init__(self, port: int, login: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")
        self._newest: dict[bytes, bytes] = {}
        if login:
            self._socket.sendall(login)
            assert self._reply() == b"+OK\r\n"

    def send(self, command: list[bytes]) -> object:
        """Sends a command; the reply without the ids of events."""
        stream = command[-2] if command[0] == b"XREAD" else command[1]
        newest = self._newest.get(stream, b"0-0")
        self._socket.sendall(request(*(newest if part == NEWEST else part for part in command)))
        reply = self._reply()
        if command[0] == b"XADD":
            assert isinstance(reply, bytes)
            self._newest[stream] = reply
        return without_ids(reply)

    def close(self) -> None:
        """Ends it."""
        self._file.close()
        self._socket.close()

    def _reply(self) -> object:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$" and rest != b"-1":
            return self._file.read(int(rest) + 2)[:-2]
        if kind == b"*" and rest != b"-1":
            return [self._reply() for _ in range(int(rest))]
        return line


def without_ids(reply: object) -> object:
    """A reply with "id" for each event id and time: each server has its own."""
    if isinstance(reply, list):
        return [without_ids(part) for part in reply]
    is_id = isinstance(reply, bytes) and re.fullmatch(rb"\d+-\d+|:\d{7,}\r\n", reply)
    return "id" if is_id else reply


def test_it_answers_like_a_real_server(server: OwnServer) -> None:
    """Any commands of a gateway, compared reply by reply; each example is another account."""
    accounts = count(1)
    with running_server() as real:

        @given(st.lists(COMMANDS, max_size=25))
        def compare(commands: list[list[bytes]]) -> None:
            one, other = Connection(real.port), Connection(server.port, LOG_IN)
            account = b"AC%d:" % next(accounts)
            for command in commands:
                mine = [part.replace(b"AC1:", account) for part in command]
                assert other.send(mine) == one.send(mine), command
            one.close()
            other.close()

        compare()


async def test_a_blocked_read_gets_an_event_at_once() -> None:
    async with serving() as port, asyncio.timeout(20):
        (reader, waiting), (_, adding) = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(2)
        ]
        read = ["XREAD", "BLOCK", "60000", "COUNT", "9", "STREAMS", "s", "0-0"]
        waiting.write(LOG_IN + request(*read))
        assert await reader.readline() == b"+OK\r\n"
        adding.write(LOG_IN + request(*add("other", "no")) + request(*add("s", "yes")))
        assert await reader.readuntil(b"yes\r\n")
        waiting.close()
        adding.close()


def test_an_id_of_another_server_is_before_all_events_or_after_them() -> None:
    """So a reader notices a server that began later, or whose clock was set back."""
    data = StoreData()
    data.execute(add("s", "event"))

    assert b"event" in (data.events(b"s", b"5-99", 9) or b"")
    assert data.events(b"s", b"99999999999999-0", 9) is None


def test_a_read_of_a_stream_has_so_many_events_and_the_next_goes_on_from_there() -> None:
    data = StoreData()
    ids = [data.execute(add("s", f"event{number}")).split(b"\r\n")[1] for number in range(3)]
    first, second = data.events(b"s", b"0-0", 2), data.events(b"s", ids[1], 2)

    for number in range(3):
        assert (b"event%d" % number in (first or b"")) is (number < 2)
        assert (b"event%d" % number in (second or b"")) is (number == 2)
    assert data.events(b"s", ids[2], 2) is None


def test_an_expired_key_frees_its_place_though_an_older_one_lasts_longer() -> None:
    clock = [1000.0]
    data = StoreData(lambda: clock[0], max_claims=2)

    def claim(name: bytes, milliseconds: bytes) -> bytes:
        return data.execute([b"SET", b"gateway:AC:claim:" + name, b"x", b"NX", b"PX", milliseconds])

    assert claim(b"long", b"60000") == claim(b"short", b"1000") == b"+OK\r\n"
    assert claim(b"third", b"1000").startswith(b"-OOM")
    clock[0] += 1

    assert claim(b"third", b"1000") == b"+OK\r\n"
    assert data.execute([b"GET", b"gateway:AC:claim:long"]) == b"$1\r\nx\r\n"
