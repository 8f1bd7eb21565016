"""Long faults: a brown-out, and a soak test with every fault at once. Each takes some seconds."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.plain_twilio import sid
from tests.promises.faults import (
    hangs_before_headers,
    is_late,
    resets,
    resets_in_the_body,
    says,
    truncates,
)
from tests.promises.rows import FOUR_EDGES, final, live_account, right_nodes
from tests.promises.stand import LONGEST_ANSWER, Answer, Stand, codes_of, one_call, stand

Figure = Callable[[str], None]
BROWN_OUT, SOAK = 6.0, 10.0  # seconds
CODES = {"UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT", "UPSTREAM_INVALID", "UPSTREAM_RATE_LIMITED"}
# Megabytes (a covering list has up to a thousand rows, and many are read at once), open files.
GROWTH, FILES = 90, 250


async def traffic(here: Stand, seconds: float, queries: Callable[[], str]) -> list[Answer]:
    """Twelve clients send query after query and cancel one in thirty."""
    until, chance = time.monotonic() + seconds, random.Random(5)

    async def client() -> AsyncIterator[Answer]:
        while time.monotonic() < until:
            asking = asyncio.create_task(here.query(queries()))
            if chance.random() < 1 / 30:
                await asyncio.sleep(0.005)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            else:
                yield await asking

    async def answers() -> list[Answer]:
        return [answer async for answer in client()]

    everybody = await asyncio.gather(*(answers() for _ in range(12)))
    return [answer for answers_ in everybody for answer in answers_]


async def test_a_brown_out(figure: Figure) -> None:
    """Three of ten requests fail, three of ten take half a second; then it is over."""
    chance = random.Random(6)
    async with stand(live_account(300)) as here:
        here.upstream.fail(says(503), share=0.3)
        here.upstream.fail(is_late(0.5), share=0.4)
        answers = await traffic(
            here, BROWN_OUT, lambda: one_call(sid("CA", chance.randrange(1, 301)))
        )
        ratio = len(here.upstream.look().requests) / len(answers)
        here.upstream.heal()
        after = await here.query_all([one_call(sid("CA", n)) for n in range(1, 51)], concurrency=10)
    whole = sum(answer.is_whole for answer in answers) / len(answers)
    assert whole >= 0.7
    assert ratio <= 1.2
    assert all(answer.is_whole for answer in after)
    figure(f"{whole:.0%} whole at {ratio:.2f} × client requests, all whole when it is over")


async def test_a_soak(fresh: Stand, figure: Figure) -> None:
    """Every fault at once, each rarely, and clients that hang up: nothing is left behind."""
    await fresh.query(FOUR_EDGES)
    fresh.peak_memory()
    before, chance = fresh.peak_memory(), random.Random(7)
    for fault in (says(503), says(429), says(500, b"<html>"), resets, resets_in_the_body):
        fresh.upstream.fail(fault, share=0.005)
    for fault in (truncates, is_late(0.3), says(200, b"[]")):
        fresh.upstream.fail(fault, share=0.005)
    fresh.upstream.fail(hangs_before_headers, share=0.001)

    def query() -> str:
        return FOUR_EDGES if chance.random() < 0.2 else one_call(final(chance.randrange(300)))

    answers = await traffic(fresh, SOAK, query)
    assert codes_of(answers) <= CODES
    assert max(answer.seconds for answer in answers) <= LONGEST_ANSWER
    nested = [answer for answer in answers if answer.is_whole and "calls" in answer.body["data"]]
    assert nested
    assert all(answer.body["data"]["calls"]["nodes"] == right_nodes() for answer in nested)
    await assert_nothing_is_left(fresh)
    grown = fresh.peak_memory() - before
    assert grown < GROWTH
    whole = sum(answer.is_whole for answer in answers) / len(answers)
    figure(f"{len(answers)} answers, {whole:.1%} whole, {grown:.0f} MB grown")


async def assert_nothing_is_left(here: Stand) -> None:
    """No request upstream, few open files, and all is whole once the faults are gone."""
    here.upstream.heal()
    async with asyncio.timeout(10):
        while here.upstream.in_flight:  # noqa: ASYNC110 (it lives in another thread)
            await asyncio.sleep(0.05)
    assert here.upstream.look().most_in_flight <= 100
    files = Path(f"/proc/{here.server.process.pid}/fd")
    assert len(list(files.iterdir())) < FILES  # noqa: ASYNC240 (no file: the kernel's list)
    assert (await here.query(FOUR_EDGES)).is_whole
