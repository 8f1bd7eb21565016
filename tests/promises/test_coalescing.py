"""Single flight: equal reads in flight are coalesced; a disconnect affects no other client."""

import asyncio
from collections.abc import Callable

from tests.plain_twilio import sid
from tests.promises.faults import hangs_before_headers
from tests.promises.rows import FOUR_EDGES, live_account, right_nodes
from tests.promises.stand import Stand, one_call, stand

Figure = Callable[[str], None]


async def until_in_flight(here: Stand, number: int) -> None:
    """Waits until upstream has this number of requests in flight; fails after five seconds."""
    async with asyncio.timeout(5):
        while here.upstream.in_flight != number:  # noqa: ASYNC110 (it lives in another thread)
            await asyncio.sleep(0.01)


async def leave(*clients: "asyncio.Task[object]") -> None:
    """The clients hang up."""
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def test_identical_reads_in_flight_are_coalesced(figure: Figure) -> None:
    """Forty clients at once read a live call, which is not cached."""
    async with stand(live_account(3)) as here:
        here.upstream.delay = 0.3
        answers = await here.query_all([one_call(sid("CA", 1))] * 40, concurrency=40)
        requests = here.upstream.look().requests
    assert all(answer.is_whole for answer in answers)
    assert len(requests) == 1
    figure("40 clients, 1 request")


async def test_nested_queries_of_many_clients_share_reads(here: Stand, figure: Figure) -> None:
    """Operations share the reads that overlap in time: sixteen cost less than four."""
    here.upstream.delay = 0.2
    alone = await here.query(FOUR_EDGES)
    requests = len(here.upstream.look().requests)
    together = await here.query_all([FOUR_EDGES] * 16, concurrency=16)
    shared = len(here.upstream.look().requests)

    assert alone.body["data"]["calls"]["nodes"] == right_nodes()
    assert all(answer.body == alone.body for answer in together)
    assert shared < 4 * requests
    figure(f"16 clients, {shared} requests; 1 client, {requests}")


async def test_a_disconnect_cancels_the_clients_requests(here: Stand, figure: Figure) -> None:
    here.upstream.fail(hangs_before_headers)
    leaving = asyncio.create_task(here.query(FOUR_EDGES))
    await until_in_flight(here, 1)
    await leave(leaving)
    await until_in_flight(here, 0)

    assert here.upstream.look().abandoned == 1
    figure("1 of 1 upstream request cancelled")


async def test_a_disconnect_while_edges_are_read_cancels_them(here: Stand) -> None:
    """All of its reads end, and no new one begins."""
    here.upstream.fail(hangs_before_headers, "^GET (Calls/|Recordings|Notifications)")
    leaving = asyncio.create_task(here.query(FOUR_EDGES))
    async with asyncio.timeout(5):
        while here.upstream.in_flight < 2:  # noqa: ASYNC110 (it lives in another thread)
            await asyncio.sleep(0.01)
    await leave(leaving)
    await until_in_flight(here, 0)
    here.upstream.look()
    await asyncio.sleep(0.5)

    assert here.upstream.look().requests == []


async def test_a_disconnect_does_not_cancel_a_shared_read(here: Stand) -> None:
    """Three clients share a read: two disconnect, and the third is answered."""
    here.upstream.delay = 1
    query = one_call(sid("CA", 5))
    clients = [asyncio.create_task(here.query(query)) for _ in range(3)]
    await until_in_flight(here, 1)
    await asyncio.sleep(0.2)
    await leave(clients[0])
    await leave(clients[1])

    assert (await clients[2]).is_whole
    seen = here.upstream.look()
    assert (len(seen.requests), seen.abandoned) == (1, 0)


async def test_a_disconnect_does_not_affect_other_reads(here: Stand) -> None:
    here.upstream.fail(hangs_before_headers, f"^GET Calls/{sid('CA', 5)}$")
    leaving = asyncio.create_task(here.query(one_call(sid("CA", 5))))
    await until_in_flight(here, 1)
    await leave(leaving)

    assert (await here.query(FOUR_EDGES)).is_whole
    await until_in_flight(here, 0)


async def test_disconnects_within_a_request_body_are_harmless(here: Stand) -> None:
    """Thirty clients begin a request and disconnect."""

    async def half_a_body() -> None:
        _, writer = await asyncio.open_connection(
            here.client.base_url.host, here.client.base_url.port
        )
        writer.write(b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    await asyncio.gather(*(half_a_body() for _ in range(30)))

    assert (await here.query(one_call(sid("CA", 1)))).is_whole
