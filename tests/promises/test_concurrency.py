"""Concurrency (issue 5, point 2): as much at a time as upstream bears, fair, and never too much."""

import asyncio
import time
from collections.abc import Callable

from tests.plain_twilio import sid
from tests.promises.rows import FOUR_EDGES, live_account, right_nodes
from tests.promises.stand import Stand, one_call, stand

Figure = Callable[[str], None]
LATENCY = 0.04  # seconds
ALL_OF_300 = """{ calls(first: 300) { nodes {
    sid recordings { nodes { sid } } notifications { nodes { sid } } childCalls { nodes { sid } }
} } }"""


async def test_never_more_than_a_hundred_in_flight(figure: Figure) -> None:
    """150 clients want one call each, and one wants three edges of 300 calls."""
    async with stand(live_account(300)) as here:
        here.upstream.delay = 0.1
        singles = [one_call(sid("CA", number)) for number in range(1, 151)]
        await here.ask_all([*singles, ALL_OF_300], at_a_time=151)
        most = here.upstream.look().most_in_flight
    assert 10 <= most <= 100
    figure(f"{most} at most")


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
    """32 clients without a pause for some seconds; what is asked is live, so nothing is saved."""
    async with stand(live_account(300)) as here:
        here.upstream.at_a_time, here.upstream.delay = 10, LATENCY
        await load(here, seconds=2)
        here.upstream.look()
        whole, asked = await load(here, seconds=4)
        seen = here.upstream.look()
    share = seen.refused / len(seen.requests)
    assert share <= 0.02
    assert whole == asked
    assert len(seen.requests) >= 100  # of the 1000 that upstream could serve
    figure(f"{share:.1%} of {len(seen.requests)} requests")


async def load(here: Stand, seconds: float) -> tuple[int, int]:
    """32 clients, each asks for one call after the other; how many answers were whole, of all."""
    until = time.monotonic() + seconds
    results: list[bool] = []

    async def client(number: int) -> None:
        while time.monotonic() < until:
            number = number % 300 + 7
            results.append((await here.ask(one_call(sid("CA", number)))).is_whole)

    await asyncio.gather(*(client(number) for number in range(32)))
    return sum(results), len(results)


async def test_a_small_query_does_not_wait_behind_a_large_one(figure: Figure) -> None:
    """Interactive before bulk: 900 reads wait for their turn when one more comes."""
    async with stand(live_account(300)) as here:
        here.upstream.at_a_time, here.upstream.delay = 10, LATENCY
        bulk = asyncio.ensure_future(here.ask(ALL_OF_300))
        await asyncio.sleep(1)
        small = await here.ask(one_call(sid("CA", 1)))
        assert not bulk.done()
        await bulk
    assert small.is_whole
    assert small.seconds < 1
    figure(f"answered in {small.seconds * 1000:.0f} ms")


async def test_an_upstream_that_gets_slow_is_asked_for_less(figure: Figure) -> None:
    """No 429 tells: each answer takes 10 ms for every request in flight. 100 clients wait."""
    async with stand(live_account(100)) as here:
        here.upstream.crowding = 0.01
        queries = [one_call(sid("CA", number)) for number in range(1, 101)]
        for _ in range(3):
            await here.ask_all(queries, at_a_time=100)
        here.upstream.look()
        await here.ask_all(queries, at_a_time=100)
        most = here.upstream.look().most_in_flight
    assert most <= 50
    figure(f"{most} in flight, of 100 wanted")
