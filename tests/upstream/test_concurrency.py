"""The adaptive limit and the admission queue: never above the cap, fair, below the last 429."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamRateLimited, UpstreamTimeout
from gateway.upstream.concurrency import AdaptiveLimit, AdmissionQueue, Priority

LATER = 1e9
BLOCKED_AFTER = 0.05  # seconds, in these tests


def grow(limit: AdaptiveLimit, answers: int, now: float = 0.0, seconds: float = 0.04) -> None:
    """So many responses while other requests are queued."""
    for _ in range(answers):
        limit.answered("calls", seconds, now, in_flight=limit.value, is_full=True)


def test_it_begins_at_eight_grows_fast_to_sixteen_then_by_one_a_round() -> None:
    limit = AdaptiveLimit(100)
    assert limit.value == 8
    grow(limit, 8)
    assert limit.value == 16
    grow(limit, 15)
    assert limit.value == 16
    grow(limit, 2)
    assert limit.value == 17


def test_it_does_not_grow_while_nobody_waits() -> None:
    limit = AdaptiveLimit(100)
    for _ in range(1000):
        limit.answered("calls", 0.04, 0.0, in_flight=3, is_full=False)
    assert limit.value == 8


def test_a_refusal_is_a_decrease_and_those_of_one_round_are_one() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    for _ in range(6):
        limit.refused(sent_at=1.0, now=1.1, in_flight=None)
    assert limit.value == 12
    limit.refused(sent_at=1.2, now=1.3, in_flight=None)
    assert limit.value == 9


def test_a_refused_number_is_not_tried_again_for_ten_seconds() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    limit.refused(1.0, 1.0, None)
    grow(limit, 1000, now=10.9)
    assert limit.value == 15
    grow(limit, 100, now=11.0)
    assert limit.value > 15


def test_what_twilio_counts_is_the_ceiling_where_it_is_lower() -> None:
    """Others use the account: its ten requests include ours."""
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    limit.refused(1.0, 1.0, in_flight=11)
    assert limit.value == 10
    for _ in range(100):
        limit.answered("calls", 0.04, 2.0, in_flight=10, is_full=True)
    assert limit.value == 10


def test_a_higher_count_of_twilios_is_no_reason_to_try_more_than_was_refused() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    limit.refused(1.0, 1.0, in_flight=50)
    grow(limit, 1000, now=2.0)
    assert limit.value == 15


def test_an_absurd_count_of_twilios_does_not_end_all_concurrency() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    limit.refused(1.0, 1.0, in_flight=1)
    assert limit.value == 7


def test_answers_that_become_slow_are_a_decrease_a_second_and_not_below_four() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    values = []
    for second in range(1, 20):
        for _ in range(16):
            limit.answered("calls", 1.0, float(second), in_flight=9, is_full=False)
        values.append(limit.value)

    assert values[:6] == [12, 9, 6, 4, 4, 4]
    assert values[-1] == 4


def test_another_sort_of_answer_may_be_slow() -> None:
    """A list of a thousand rows takes longer than a call: that shows no queue of upstream's."""
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    for n in range(100):
        limit.answered("lists", 2.0, 2.0 + n, in_flight=3, is_full=False)
    assert limit.value == 16


def test_lasting_slowness_becomes_the_baseline() -> None:
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    for second in range(1, 300):
        grow(limit, 10, now=float(second), seconds=1.0)
    assert limit.value > 16


events = st.lists(
    st.tuples(
        st.sampled_from(["answered", "refused"]),
        st.floats(0, 30),
        st.floats(0, 10),
        st.none() | st.integers(0, 200),
        st.booleans(),
    ),
    max_size=200,
)


@given(st.integers(1, 100), events)
def test_whatever_happens_it_is_at_least_one_and_never_above_the_cap(
    cap: int, script: list[tuple[str, float, float, int | None, bool]]
) -> None:
    limit, now = AdaptiveLimit(cap), 0.0
    for what, seconds, pause, count, is_full in script:
        now += pause
        if what == "refused":
            before = limit.value
            limit.refused(now - seconds, now, count)
            assert limit.value <= before
        else:
            limit.answered("x", seconds, now, in_flight=count or 1, is_full=is_full)
        assert 1 <= limit.value <= cap


def simulated(allowed: int, rounds: int) -> tuple[int, int, int]:
    """Requests, 429s and the lowest number in flight, after a warm-up of 200 rounds of 40 ms.

    Upstream allows so many at a time, and the queue is always full.
    """
    limit, requests, refusals, lowest = AdaptiveLimit(100), 0, 0, 100
    for round_ in range(rounds):
        sent_at, now = round_ * 0.04, round_ * 0.04 + 0.04
        running = limit.value
        for _ in range(max(0, running - allowed)):
            limit.refused(sent_at, sent_at + 0.001, None)
        for _ in range(min(running, allowed)):
            limit.answered("calls", 0.04, now, in_flight=running, is_full=True)
        if round_ >= 200:
            requests += running
            refusals += max(0, running - allowed)
            lowest = min(lowest, running)
    return requests, refusals, lowest


@pytest.mark.parametrize("allowed", [1, 2, 5, 10, 25, 50, 99])
def test_at_most_one_in_fifty_is_refused_and_most_places_are_used(allowed: int) -> None:
    requests, refusals, lowest = simulated(allowed, rounds=2500)

    assert refusals <= 0.02 * requests
    assert lowest >= allowed // 2


@pytest.mark.parametrize("allowed", [5, 10, 25])
def test_a_first_burst_is_repaired_from_the_retry_budgets_store(allowed: int) -> None:
    """At most ten requests get a 429 before the limit has adapted."""
    limit, refusals = AdaptiveLimit(100), 0
    for round_ in range(10):
        over = max(0, limit.value - allowed)
        for _ in range(over):
            limit.refused(round_ * 0.04, round_ * 0.04 + 0.001, None)
        refusals += over
        grow(limit, allowed, now=round_ * 0.04 + 0.04)
    assert refusals <= 10


@asynccontextmanager
async def slot(
    queue: AdmissionQueue, kind: str, priority: Priority, operation: object, until: float
) -> AsyncIterator[None]:
    """Holds a slot."""
    waiter = await queue.acquire(kind, priority, operation, until)
    try:
        yield
    finally:
        queue.release(waiter)


class QueueRunner:
    """A queue whose requests run until `end`; `order` lists them in the order of their slots."""

    def __init__(self, limit: int | AdaptiveLimit, max_queued: int = 100) -> None:
        limit = AdaptiveLimit(limit) if isinstance(limit, int) else limit
        self.queue = AdmissionQueue(limit, max_queued, BLOCKED_AFTER)
        self.order: list[str] = []
        self.peak = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def enqueue(
        self,
        name: str,
        kind: str = "calls",
        priority: Priority = Priority.INTERACTIVE,
        until: float = LATER,
    ) -> None:
        """Queues a request; its operation is the name's first letter."""
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._run(name, kind, priority, until))
        await asyncio.sleep(0)

    async def _run(self, name: str, kind: str, priority: Priority, until: float) -> None:
        async with slot(self.queue, kind, priority, name[0], until):
            self.order.append(name)
            self.peak = max(self.peak, self.queue.in_flight)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        """Ends a request that runs."""
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def finish(self) -> list[str]:
        """Ends the requests one after the other, in the order in which they run; returns it."""
        for place in range(len(self.tasks)):
            if place >= len(self.order):
                break
            await self.end(self.order[place])
        return self.order


@asynccontextmanager
async def queue_runner(
    limit: int | AdaptiveLimit, max_queued: int = 100
) -> AsyncIterator[QueueRunner]:
    """A queue; at the end nothing runs and nothing waits."""
    runner = QueueRunner(limit, max_queued)
    yield runner
    await asyncio.gather(*runner.tasks.values(), return_exceptions=True)
    assert (runner.queue.in_flight, runner.queue.waiting) == (0, 0)
    runner.queue.close()


async def test_operations_take_turns_and_each_keeps_its_order() -> None:
    async with queue_runner(1) as runner:
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
            await runner.enqueue(name)
        assert await runner.finish() == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_mutations_go_first_and_bulk_goes_last() -> None:
    async with queue_runner(1) as runner:
        await runner.enqueue("r0")
        await runner.enqueue("x1", priority=Priority.BULK)
        await runner.enqueue("i1")
        await runner.enqueue("m1", priority=Priority.MUTATION)
        await runner.enqueue("y1", priority=Priority.BULK)
        await runner.enqueue("j1")
        await runner.enqueue("n1", priority=Priority.MUTATION)
        assert await runner.finish() == ["r0", "m1", "n1", "i1", "j1", "x1", "y1"]


async def test_a_full_queue_drops_the_newest_of_the_longest_operation() -> None:
    """An operation that floods the queue drops its own requests; that of three stays."""
    async with queue_runner(1, max_queued=4) as runner:
        for name in ("a0", "a1", "a2", "a3", "a4", "b1", "b2"):
            await runner.enqueue(name)
        await asyncio.sleep(0)
        dropped = [name for name, task in runner.tasks.items() if task.done()]
        for name in dropped:
            with pytest.raises(UpstreamRateLimited) as caught:
                await runner.tasks[name]
            assert caught.value.extensions == {"code": "UPSTREAM_RATE_LIMITED", "retryAfter": 1.0}
        assert dropped == ["a3", "a4"]
        assert await runner.finish() == ["a0", "a1", "b1", "a2", "b2"]


async def test_a_full_queue_drops_bulk_before_interactive_requests() -> None:
    async with queue_runner(1, max_queued=3) as runner:
        for name in ("a0", "a1", "a2", "a3"):
            await runner.enqueue(name)
        await runner.enqueue("x1", priority=Priority.BULK)
        await asyncio.sleep(0)
        assert [name for name, task in runner.tasks.items() if task.done()] == ["x1"]
        assert isinstance(runner.tasks["x1"].exception(), UpstreamRateLimited)
        assert await runner.finish() == ["a0", "a1", "a2", "a3"]


async def test_a_request_without_a_slot_in_time_times_out_and_holds_nothing() -> None:
    async with queue_runner(1) as runner:
        await runner.enqueue("a1")
        await runner.enqueue("b1", until=asyncio.get_running_loop().time() + 0.01)
        with pytest.raises(UpstreamTimeout):
            await runner.tasks["b1"]
        assert runner.queue.waiting == 0
        await runner.end("a1")


@pytest.mark.parametrize("cancelled", ["a1", "a2", "b1"])
async def test_a_cancelled_request_costs_no_other_its_slot(cancelled: str) -> None:
    async with queue_runner(1) as runner:
        for name in ("a1", "a2", "b1", "b2"):
            await runner.enqueue(name)
        runner.tasks[cancelled].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        names = [name for name in ("a1", "a2", "b1", "b2") if name != cancelled]
        runner.ends[cancelled].set()
        for _ in range(4):
            for name in list(runner.order):
                runner.ends[name].set()
            await asyncio.sleep(0.001)
        assert sorted(set(runner.order) - {cancelled}) == names


@pytest.mark.parametrize("is_granted", [True, False])
async def test_a_request_cancelled_as_it_is_granted_passes_its_slot_on(is_granted: bool) -> None:
    async with queue_runner(1) as runner:
        for name in ("a1", "b1", "c1"):
            await runner.enqueue(name)
        runner.ends["a1"].set()
        if is_granted:
            await asyncio.sleep(0)
        runner.tasks["b1"].cancel()
        await runner.tasks["a1"]
        await asyncio.sleep(0.001)
        assert runner.order[-1] == "c1"
        await runner.end("c1")


async def test_two_requests_of_another_kind_bypass_blocked_slots() -> None:
    """Recordings that hang do not stop calls. No more than two bypass them, and no recordings."""
    limit = AdaptiveLimit(100)
    while limit.value > 2:
        limit.refused(sent_at=1.0, now=1.0, in_flight=None)
    async with queue_runner(limit) as runner:
        await runner.enqueue("r1", kind="recordings")
        await runner.enqueue("r2", kind="recordings")
        await runner.enqueue("r3", kind="recordings")
        for name in ("c1", "c2", "c3"):
            await runner.enqueue(name)
        assert runner.order == ["r1", "r2"]
        async with asyncio.timeout(20):
            while len(runner.order) < 4:  # noqa: ASYNC110 (a clock decides)
                await asyncio.sleep(BLOCKED_AFTER / 10)
        await asyncio.sleep(2 * BLOCKED_AFTER)
        assert runner.order == ["r1", "r2", "c1", "c2"]
        await runner.end("c1")
        assert runner.order[4:] == ["c3"]
        for name in ("c2", "c3", "r1", "r2", "r3"):
            await runner.end(name)


async def test_the_cap_holds_for_requests_that_bypass_blocked_slots() -> None:
    async with queue_runner(2) as runner:
        for name in ("r1", "r2"):
            await runner.enqueue(name, kind="recordings")
        await runner.enqueue("c1")
        await asyncio.sleep(3 * BLOCKED_AFTER)
        assert runner.order == ["r1", "r2"]
        for name in ("r1", "r2", "c1"):
            await runner.end(name)


@pytest.mark.parametrize("seed", range(4))
async def test_random_requests_are_all_served_and_never_above_the_limit(seed: int) -> None:
    chance = random.Random(seed)
    queue, served, peak = AdmissionQueue(AdaptiveLimit(5), 1000), 0, 0

    async def request(number: int) -> None:
        nonlocal served, peak
        kind = chance.choice(["calls", "recordings"])
        async with slot(queue, kind, chance.choice(list(Priority)), number % 7, LATER):
            peak = max(peak, queue.in_flight)
            await asyncio.sleep(chance.random() / 500)
            served += 1

    tasks = [asyncio.ensure_future(request(number)) for number in range(300)]
    await asyncio.sleep(0.002)
    leaving = chance.sample(tasks, 60)
    left = sum(task.cancel() for task in leaving)
    await asyncio.gather(*tasks, return_exceptions=True)
    queue.close()

    assert peak == 5
    assert served >= 300 - left
    assert (queue.in_flight, queue.waiting) == (0, 0)
