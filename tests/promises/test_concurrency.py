"""Concurrency: as many requests at once as upstream allows, shared fairly, and never more."""

import asyncio
import time
from collections.abc import Callable

from tests.plain_twilio import sid
from tests.promises.rows import FOUR_EDGES, live_account, right_nodes
from tests.promises.stand import Stand, one_call, stand

Figure = Callable[[str], None]
LATENCY, MACHINE_IS_BUSY = 0.04, 30.0  # seconds
ALL_OF_THEM = """{ calls(first: 1000) { nodes {
    sid recordings { nodes { sid } } notifications { nodes { sid } } childCalls { nodes { sid } }
} } }"""


# These tests need many requests: the default limits refuse such a document, and the planner reads
# lists instead.
RAISED_COST, PER_KEY = "10000", "per-key"


async def test_never_more_than_a_hundred_in_flight(figure: Figure) -> None:
    """100 clients want a call each, one wants three edges of 100; and so with a cap of 12."""
    seen = []
    for cap in ("", "12"):  # nothing is the default
        async with stand(
            live_account(100),
            GATEWAY_MAX_IN_FLIGHT=cap,
            GATEWAY_MAX_COST=RAISED_COST,
            GATEWAY_PLANNER=PER_KEY,
        ) as here:
            here.upstream.delay = 0.05
            singles = [one_call(sid("CA", number)) for number in range(1, 101)]
            answers = await here.query_all([*singles, ALL_OF_THEM], concurrency=101)
            seen.append(here.upstream.look().most_in_flight)
            assert all(answer.is_whole for answer in answers)
    assert 12 < seen[0] <= 100
    assert seen[1] == 12
    figure(f"{seen[0]} at most; {seen[1]} where 12 are allowed")


async def test_one_client_gets_all_data_at_ten_requests_at_once(
    fresh: Stand, figure: Figure
) -> None:
    fresh.upstream.concurrency, fresh.upstream.delay = 10, LATENCY
    answer = await fresh.query(FOUR_EDGES)

    assert answer.is_whole, answer.body["errors"][:3]
    assert answer.body["data"]["calls"]["nodes"] == right_nodes()
    seen = fresh.upstream.look()
    figure(
        f"whole in {answer.seconds:.1f} s, {len(seen.requests)} requests, {seen.refused} times 429"
    )


async def test_sixteen_clients_get_all_data_at_ten_requests_at_once(
    fresh: Stand, figure: Figure
) -> None:
    fresh.upstream.concurrency, fresh.upstream.delay = 10, LATENCY
    answers = await fresh.query_all([FOUR_EDGES] * 16, concurrency=16)

    assert [answer.codes for answer in answers] == [set()] * 16
    assert all(answer.body["data"]["calls"]["nodes"] == right_nodes() for answer in answers)
    slowest = max(answer.seconds for answer in answers)
    seen = fresh.upstream.look()
    figure(f"16 of 16 whole, the slowest in {slowest:.1f} s, {seen.refused} times 429")


async def test_few_requests_get_429_once_the_limit_has_adapted(figure: Figure) -> None:
    """32 clients without a pause read live calls, which are not cached."""
    async with stand(live_account(300)) as here:
        here.upstream.concurrency, here.upstream.delay = 10, LATENCY
        await load(here, seconds=2)
        here.upstream.look()
        async with asyncio.timeout(MACHINE_IS_BUSY):
            while len(here.upstream.seen.requests) < 300:
                assert await load(here, seconds=1)
        seen = here.upstream.look()
    share = seen.refused / len(seen.requests)
    assert share <= 0.02
    figure(f"{share:.1%} of {len(seen.requests)} requests")


async def load(here: Stand, seconds: float) -> bool:
    """32 clients, each queries one call after the other; True if all responses were whole."""
    until = time.monotonic() + seconds
    results: list[bool] = []

    async def client(number: int) -> None:
        while time.monotonic() < until:
            number = (number + 7) % 300 + 1
            results.append((await here.query(one_call(sid("CA", number)))).is_whole)

    await asyncio.gather(*(client(number) for number in range(32)))
    return all(results)


async def test_a_small_query_does_not_wait_behind_a_large_one(figure: Figure) -> None:
    """900 reads are queued when one more arrives: the operations take turns."""
    async with stand(
        live_account(300), GATEWAY_MAX_COST=RAISED_COST, GATEWAY_PLANNER=PER_KEY
    ) as here:
        here.upstream.concurrency, here.upstream.delay = 10, LATENCY
        asking = asyncio.ensure_future(here.query(ALL_OF_THEM))
        await until_busy(here)
        small = await here.query(one_call(sid("CA", 1)))
        assert not asking.done()
        large = await asking
    assert small.is_whole
    assert small.seconds < large.seconds / 3
    figure(f"answered in {small.seconds:.2f} s, the large one in {large.seconds:.1f} s")


async def until_busy(here: Stand) -> None:
    """Waits until upstream has received a hundred requests."""
    async with asyncio.timeout(10):
        while len(here.upstream.seen.requests) < 100:  # noqa: ASYNC110 (it is in another thread)
            await asyncio.sleep(0.02)


async def test_concurrency_falls_when_upstream_slows_down(figure: Figure) -> None:
    """There is no 429, but each response begins to take 150 ms for every request in flight."""
    async with stand(live_account(300)) as here:
        here.upstream.delay = 0.02
        await load(here, seconds=2)
        fast = slow = here.upstream.look().most_in_flight
        here.upstream.crowding = 0.15
        async with asyncio.timeout(MACHINE_IS_BUSY):
            while slow > 0.75 * fast:
                await load(here, seconds=1)
                slow = here.upstream.look().most_in_flight
    figure(f"{fast} in flight, then {slow}")
