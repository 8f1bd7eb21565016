"""The breaker: an outage costs little, is reported, and ends when upstream recovers.

Time is part of the promise here; its bounds are generous.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

from tests.promises.faults import hangs_before_headers, says
from tests.promises.rows import FOUR_EDGES, final, right_nodes
from tests.promises.stand import Answer, Stand, codes_of, one_call

Figure = Callable[[str], None]
OUTAGE = 8.0  # seconds
MEDIAN, REFUSAL, RECOVERY = 0.5, 0.05, 30.0  # seconds, as promised
PROBES = 5


async def query_for(here: Stand, seconds: float, clients: int) -> list[Answer]:
    """Each client queries one call after the other, ten times a second at most."""
    until, answers = time.monotonic() + seconds, list[Answer]()

    async def client(number: int) -> None:
        while time.monotonic() < until:
            answers.append(await here.query(one_call(final(number))))
            number += clients
            await asyncio.sleep(0.1)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return answers


async def wait_until_whole(here: Stand) -> float:
    """Seconds until ten clients at once are answered whole again."""
    began = time.monotonic()
    queries = [one_call(final(number)) for number in range(200, 210)]
    while not all(answer.is_whole for answer in await here.query_all(queries, concurrency=10)):
        assert time.monotonic() - began < RECOVERY
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_a_long_outage_with_recovery(fresh: Stand, figure: Figure) -> None:
    """Answers are fast once the breaker is open, few probes are sent, and it closes again."""
    fresh.upstream.fail(says(503))
    first = await query_for(fresh, 2, clients=10)
    fresh.upstream.look()
    answers = await query_for(fresh, OUTAGE - 2, clients=4)
    seen = fresh.upstream.look()
    fresh.upstream.heal()
    recovery = await wait_until_whole(fresh)
    after = await query_for(fresh, 0.5, clients=10)

    median = statistics.median(answer.seconds for answer in first + answers)
    assert median <= MEDIAN
    refusal = statistics.quantiles((answer.seconds for answer in answers), n=4)[0]
    assert refusal <= REFUSAL  # the others waited for the processor of a busy machine
    assert codes_of(first + answers) == {"UPSTREAM_UNAVAILABLE"}
    assert most_at_once(seen.arrivals) <= PROBES
    assert all(answer.is_whole for answer in after)
    figure(
        f"median {median * 1000:.0f} ms, refusals from {refusal * 1000:.0f} ms, "
        f"{most_at_once(seen.arrivals)} probes at a time, whole {recovery:.1f} s after recovery"
    )


def most_at_once(arrivals: list[float]) -> int:
    """The most arrivals within half a second."""
    return max((sum(0 <= b - a < 0.5 for b in arrivals) for a in arrivals), default=0)


async def test_timeouts_open_the_breaker(fresh: Stand, figure: Figure) -> None:
    """A hang is a failure: later requests do not wait for it."""
    fresh.upstream.fail(hangs_before_headers)
    await fresh.query_all([one_call(final(number)) for number in range(30)], concurrency=30)
    answers = await query_for(fresh, 1, clients=10)

    median = statistics.median(answer.seconds for answer in answers)
    assert median <= MEDIAN
    figure(f"median {median * 1000:.0f} ms after the first hangs")
    fresh.upstream.heal()


async def test_client_errors_and_disconnects_do_not_open_the_breaker(fresh: Stand) -> None:
    """4xx responses, and clients that disconnect."""
    fresh.upstream.fail(says(404), times=60)
    await fresh.query_all([one_call(final(number)) for number in range(60)], concurrency=10)
    fresh.upstream.fail(says(400), times=60)
    await fresh.query_all([one_call(final(number)) for number in range(60)], concurrency=10)
    fresh.upstream.delay = 1
    leaving = [asyncio.ensure_future(fresh.query(one_call(final(n)))) for n in range(60)]
    await asyncio.sleep(0.5)
    for client in leaving:
        client.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    fresh.upstream.delay = 0

    assert (await fresh.query(one_call(final(1)))).is_whole


async def test_calls_are_answered_while_recordings_fail(fresh: Stand, figure: Figure) -> None:
    """Only recordings fail: all other data is there, and requests for recordings stop."""
    fresh.upstream.fail(says(503), "Recordings")
    right = [node | {"recordings": None} for node in right_nodes()]
    answers = [await fresh.query(FOUR_EDGES) for _ in range(2)]
    fresh.upstream.look()
    answers += [await fresh.query(FOUR_EDGES) for _ in range(4)]

    assert all(answer.body["data"]["calls"]["nodes"] == right for answer in answers)
    assert codes_of(answers) == {"UPSTREAM_UNAVAILABLE"}
    seen = fresh.upstream.look()
    assert seen.count("Recordings") <= 2 * PROBES
    slowest = max(answer.seconds for answer in answers[2:])
    assert slowest <= 2
    figure(f"6 of 6 with all calls, {seen.count('Recordings')} requests for recordings at last")


async def test_an_outage_fails_only_the_upstream_check(fresh: Stand) -> None:
    fresh.upstream.fail(says(503))
    await query_for(fresh, 1, clients=10)
    ready = await fresh.get("/readyz")
    upstream = await fresh.get("/readyz?upstream=1")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert upstream.status_code == 503
    assert upstream.json()["code"] == "UPSTREAM_UNAVAILABLE"
    assert (await fresh.get("/healthz")).json() == {"status": "ok"}
