"""Concurrency: as many requests at a time as upstream allows, shared fairly, and never more."""

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
DEAR, EACH = "10000", "per-key"


async def test_never_more_than_a_hundred_in_flight(figure: Figure) -> None:
    """100 clients want a call each, one wants three edges of 100; and so with a cap of 12."""
    seen = []
    for cap in ("", "12"):  # nothing is the default
        async with stand(
            live_account(100),
            GATEWAY_MAX_IN_FLIGHT=cap,
            GATEWAY_MAX_COST=DEAR,
            GATEWAY_PLANNER=EACH,
        ) as here:
            here.upstream.delay = 0.05
            singles = [one_call(sid("CA", number)) for number in range(1, 101)]
            answers = await here.ask_all([*singles, ALL_OF_THEM], at_a_time=101)
            seen.append(here.upstream.look().most_in_flight)
            assert all(answer.is_whole for answer in answers)
    assert 12 < seen[0] <= 100
    assert seen[1] == 12
    figure(f"{seen[0]} at most; {seen[1]} where 12 are allowed")


async def test_an_upstream_that_allows_ten_answers_one_client_whole(
    fresh: Stand, figure: Figure
) -> None:
    fresh.upstream.at_a_time, fresh.upstream.delay = 10, LATENCY
    answer = await fresh.ask(FOUR_EDGES)

    assert answer.is_whole, answer.body["errors"][:3]
    assert answer.body["data"]["calls"]["nodes"] == right_nodes()
    seen = fresh.upstream.look()
    figure(
        f"whole in {answer.seconds:.1f} s, {len(seen.requests)} requests, {seen.refused} times 429"
    )


async def test_an_upstream_that_allows_ten_answers_sixteen_clients_whole(
    fresh: Stand, figure: Figure
) -> None:
    fresh.upstream.at_a_time, fresh.upstream.delay = 10, LATENCY
    answers = await fresh.ask_all([FOUR_EDGES] * 16, at_a_time=16)

    assert [answer.codes for answer in answers] == [set()] * 16
    assert all(answer.body["data"]["calls"]["nodes"] == right_nodes() for answer in answers)
    slowest = max(answer.seconds for answer in answers)
    seen = fresh.upstream.look()
    figure(f"16 of 16 whole, the slowest in {slowest:.1f} s, {seen.refused} times 429")


async def test_once_warm_few_requests_meet_a_429(figure: Figure) -> None:
    """32 clients without a pause; what they ask is live, so nothing is saved."""
    async with stand(live_account(300)) as here:
        here.upstream.at_a_time, here.upstream.delay = 10, LATENCY
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
            results.append((await here.ask(one_call(sid("CA", number)))).is_whole)

    await asyncio.gather(*(client(number) for number in range(32)))
    return all(results)


async def test_a_small_query_does_not_wait_behind_a_large_one(figure: Figure) -> None:
    """900 reads are queued when one more arrives: the operations take turns."""
    async with stand(live_account(300), GATEWAY_MAX_COST=DEAR, GATEWAY_PLANNER=EACH) as here:
        here.upstream.at_a_time, here.upstream.delay = 10, LATENCY
        asking = asyncio.ensure_future(here.ask(ALL_OF_THEM))
        await until_busy(here)
        small = await here.ask(one_call(sid("CA", 1)))
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


async def test_an_upstream_that_gets_slow_is_asked_for_less(figure: Figure) -> None:
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
