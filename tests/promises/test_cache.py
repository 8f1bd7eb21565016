"""The cache: immutable rows are read once, and nothing else is cached."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.plain_twilio import PlainTwilio, Row, call, recording, rfc_2822, sid
from tests.promises.rows import FOUR_EDGES, final, right_nodes
from tests.promises.stand import Stand, one_call, stand

Figure = Callable[[str], None]
WITH_RECORDINGS = "sid status price recordings { nodes { sid status } }"


async def cost(here: Stand, query: str) -> tuple[Any, int, int]:
    """The data of a whole response, its upstream requests, and how many answers were cached."""
    here.upstream.look()
    answer = await here.query(query, Gateway_Explain="totals")
    assert answer.is_whole, answer.body
    totals = answer.body["extensions"]["upstream"]
    requests = len(here.upstream.look().requests)
    assert totals["requests"] == requests
    return answer.body["data"], requests, totals["cached"]


async def test_a_finished_call_and_its_recordings_are_read_once(figure: Figure) -> None:
    rows = PlainTwilio(calls=[call(1)], recordings=[recording(1, of=1), recording(2, of=1)])
    async with stand(rows) as here:
        query = one_call(sid("CA", 1), WITH_RECORDINGS)
        first, requests, cached = await cost(here, query)
        assert (requests, cached) == (2, 0)
        again, requests, cached = await cost(here, query)
    assert again == first
    assert len(again["call"]["recordings"]["nodes"]) == 2
    assert (requests, cached) == (0, 2)
    figure("2 requests, then 0")


async def test_what_may_change_is_read_each_time(figure: Figure) -> None:
    """Live, ended but not yet priced, and a recording that is still processed: none is cached."""
    now = datetime.now(UTC)
    lately: Row = {"end_time": rfc_2822(now - timedelta(minutes=2)), "date_updated": rfc_2822(now)}
    live = call(1, status="in-progress", end_time=None, duration=None, price=None)
    ended = call(2, price=None, **lately)
    recorded = call(3)
    made = recording(1, of=3, status="processing", duration=None)
    rows = PlainTwilio(calls=[live, ended, recorded], recordings=[made])
    async with stand(rows) as here:
        queries = [one_call(sid("CA", number), WITH_RECORDINGS) for number in (1, 2, 3)]
        for query in queries:
            await cost(here, query)
        live |= {"status": "completed"}
        ended |= {"price": "-0.01700"}
        made |= {"status": "completed"}
        after = [await cost(here, query) for query in queries]

    one, two, three = (data["call"] for data, _, _ in after)
    assert one["status"] == "COMPLETED"
    assert two["price"] == "-0.01700"
    assert three["recordings"]["nodes"] == [{"sid": sid("RE", 1), "status": "COMPLETED"}]
    assert [requests for _, requests, _ in after] == [2, 2, 1]
    figure("3 of 3 changes seen at once")


async def test_a_list_of_calls_is_read_each_time(fresh: Stand, figure: Figure) -> None:
    """A new call is on it at once; the rows of the old ones are cached."""
    _, before, _ = await cost(fresh, FOUR_EDGES)
    fresh.upstream.account.calls.insert(0, call(9999, at=100))
    data, requests, cached = await cost(fresh, FOUR_EDGES)

    sids = [node["sid"] for node in data["calls"]["nodes"]]
    assert sids == [sid("CA", 9999), *(node["sid"] for node in right_nodes()[:-1])]
    assert requests < before
    assert cached > 0
    figure(f"{before} requests, then {requests}; {cached} cached")


async def test_one_setting_turns_the_cache_off(figure: Figure) -> None:
    async with stand(GATEWAY_CACHE_SIZE="0") as here:
        costs = [await cost(here, one_call(final(1))) for _ in range(3)]
    assert [(requests, cached) for _, requests, cached in costs] == [(1, 0)] * 3
    figure("3 reads, 3 requests")


async def test_the_cache_is_bounded_in_bytes(figure: Figure) -> None:
    """One MiB cannot hold 150 bulky calls: the least recently used are evicted."""
    bulky: Row = {"caller_name": "a" * 4000}
    rows = PlainTwilio(calls=[call(number, **bulky) for number in range(1, 151)])
    async with stand(rows, GATEWAY_CACHE_SIZE="1") as here:
        queries = [one_call(sid("CA", number)) for number in range(1, 151)]
        await here.query_all(queries, concurrency=16)
        here.upstream.look()
        await here.query_all(queries[-30:], concurrency=16)
        newest = len(here.upstream.look().requests)
        await here.query_all(queries[:30], concurrency=16)
        oldest = len(here.upstream.look().requests)
    assert (newest, oldest) == (0, 30)
    figure("of 150 calls of 4.7 KB in 1 MiB the newest 30 are there, the oldest 30 are not")
