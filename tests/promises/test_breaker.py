"""The breaker (issue 5, point 4): an outage costs little, is told, and ends when it is over.

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
OUTAGE = 14.0  # seconds
MEDIAN, REFUSAL, RECOVERY = 0.5, 0.05, 30.0  # seconds, as promised
PROBES = 5


async def ask_for(here: Stand, seconds: float, clients: int) -> list[Answer]:
    """So many clients ask for one call after the other, ten times a second each at most."""
    until, answers = time.monotonic() + seconds, list[Answer]()

    async def client(number: int) -> None:
        while time.monotonic() < until:
            answers.append(await here.ask(one_call(final(number))))
            number += clients
            await asyncio.sleep(0.1)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return answers


async def wait_until_whole(here: Stand) -> float:
    """Seconds until a query is answered whole again."""
    began = time.monotonic()
    while not (await here.ask(one_call(final(299)))).is_whole:
        assert time.monotonic() - began < RECOVERY
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_a_long_outage_with_recovery(here: Stand, figure: Figure) -> None:
    """Answers are fast once the breaker is open, few probes are sent, and it closes again."""
    here.upstream.fail(says(503))
    first = await ask_for(here, 2, clients=10)
    here.upstream.look()
    answers = await ask_for(here, OUTAGE - 2, clients=10)
    seen = here.upstream.look()
    here.upstream.heal()
    recovery = await wait_until_whole(here)
    after = await ask_for(here, 0.5, clients=10)

    median = statistics.median(answer.seconds for answer in first + answers)
    assert median <= MEDIAN
    assert statistics.median(answer.seconds for answer in answers) <= REFUSAL
    assert codes_of(first + answers) == {"UPSTREAM_UNAVAILABLE"}
    assert most_at_once(seen.arrivals) <= PROBES
    assert all(answer.is_whole for answer in after)
    figure(
        f"median {median * 1000:.0f} ms, {most_at_once(seen.arrivals)} probes at a time, "
        f"whole {recovery:.1f} s after recovery"
    )


def most_at_once(arrivals: list[float]) -> int:
    """The most arrivals within half a second."""
    return max((sum(0 <= b - a < 0.5 for b in arrivals) for a in arrivals), default=0)


async def test_an_upstream_that_hangs_opens_it_too(here: Stand, figure: Figure) -> None:
    """A hang is a failure: those who come after it do not wait for it."""
    here.upstream.fail(hangs_before_headers)
    await here.ask_all([one_call(final(number)) for number in range(30)], at_a_time=30)
    answers = await ask_for(here, 1, clients=10)

    median = statistics.median(answer.seconds for answer in answers)
    assert median <= MEDIAN
    figure(f"median {median * 1000:.0f} ms after the first hangs")
    here.upstream.heal()


async def test_what_is_no_failure_of_upstream_does_not_open_it(here: Stand) -> None:
    """4xx, and clients that leave."""
    here.upstream.fail(says(404), times=60)
    await here.ask_all([one_call(final(number)) for number in range(60)], at_a_time=10)
    here.upstream.fail(says(400), times=60)
    await here.ask_all([one_call(final(number)) for number in range(60)], at_a_time=10)
    here.upstream.delay = 1
    leaving = [asyncio.ensure_future(here.ask(one_call(final(n)))) for n in range(60)]
    await asyncio.sleep(0.5)
    for client in leaving:
        client.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    here.upstream.delay = 0

    assert (await here.ask(one_call(final(1)))).is_whole


async def test_without_recordings_there_are_calls(here: Stand, figure: Figure) -> None:
    """Only recordings are down: everything else is there, and they are asked for no more."""
    here.upstream.fail(says(503), "Recordings")
    right = [node | {"recordings": None} for node in right_nodes()]
    answers = [await here.ask(FOUR_EDGES) for _ in range(3)]
    here.upstream.look()
    answers += [await here.ask(FOUR_EDGES) for _ in range(10)]

    assert all(answer.body["data"]["calls"]["nodes"] == right for answer in answers)
    assert codes_of(answers) == {"UPSTREAM_UNAVAILABLE"}
    seen = here.upstream.look()
    assert seen.count("Recordings") <= 2 * PROBES
    slowest = max(answer.seconds for answer in answers[3:])
    assert slowest <= 2
    figure(f"13 of 13 with all calls, {seen.count('Recordings')} requests for recordings at last")


async def test_liveness_stays_true_and_readiness_says_what_is_wrong(here: Stand) -> None:
    assert (await here.get("/readyz")).status_code == 200
    here.upstream.fail(says(503))
    began = time.monotonic()
    while (ready := await here.get("/readyz")).status_code == 200:
        assert time.monotonic() - began < 20
        await here.ask_all([one_call(final(number)) for number in range(20)], at_a_time=20)
        await asyncio.sleep(0.2)

    assert ready.status_code == 503
    assert ready.json()["code"] == "UPSTREAM_UNAVAILABLE"
    assert (await here.get("/healthz")).json() == {"status": "ok"}
