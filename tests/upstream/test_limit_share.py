"""The adaptive limit below a share, and what a queue says of its need."""

import asyncio

from gateway.upstream.concurrency import AdaptiveLimit, AdmissionQueue, Priority
from tests.upstream.test_concurrency import LATER, grow


def test_a_share_holds_at_once_and_a_larger_one_is_grown_into() -> None:
    limit = AdaptiveLimit(100)
    limit.set_share(3, 100)
    grow(limit, 50)
    assert (limit.value, limit.cap) == (3, 3)
    limit.set_share(12, 100)
    assert limit.value == 3
    grow(limit, 50)
    assert limit.value == 12


def test_twilios_count_of_the_account_stops_no_growth_below_the_accounts_cap() -> None:
    """The other gateways run the rest of what Twilio counts."""
    limit = AdaptiveLimit(100)
    limit.set_share(4, 12)
    limit.set_share(6, 12)
    for counted in (11, 12, 11, 12, 12):
        limit.answered("calls", 0.04, 0.0, in_flight=counted, is_full=True)
    assert limit.value == 6
    limit.set_share(8, 12)
    limit.answered("calls", 0.04, 0.0, in_flight=12, is_full=True)
    assert limit.value == 6


def test_the_accounts_cap_replaces_the_ceiling_of_a_429() -> None:
    limit = AdaptiveLimit(100)
    limit.refused(1.0, 1.0, None)
    assert limit.ceiling == 7
    limit.set_share(10, 20)
    grow(limit, 100, now=2.0)

    assert limit.value == 10


async def test_the_peak_is_the_most_that_ran_and_waited_since_it_was_taken() -> None:
    queue = AdmissionQueue(AdaptiveLimit(2), max_queued=100)
    assert queue.take_peak() == 0
    acquired = [
        asyncio.ensure_future(queue.acquire("calls", Priority.BULK, number, LATER))
        for number in range(5)
    ]
    await asyncio.sleep(0)
    for request in acquired:
        queue.release(await request)
    assert (queue.in_flight, queue.waiting) == (0, 0)
    assert queue.take_peak() == 5
    assert queue.take_peak() == 0
    queue.close()
