"""How many run at once and whose turn it is: never above the cap, fair, soon below a refusal."""

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
STUCK = 0.05  # seconds, in these tests


def grow(limit: AdaptiveLimit, answers: int, now: float = 0.0, seconds: float = 0.04) -> None:
    """So many answers while others wait."""
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
    """Others use the account: at ten of the account's, of which these are some."""
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
    """A list of a thousand rows takes longer than a call: that is no queue of upstream's."""
    limit = AdaptiveLimit(100)
    grow(limit, 8)
    for n in range(100):
        limit.answered("lists", 2.0, 2.0 + n, in_flight=3, is_full=False)
    assert limit.value == 16


def test_slow_for_good_is_the_new_usual() -> None:
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
    """Requests and refusals after a warm-up of 200 rounds, and the lowest number that ran, with an
    upstream that allows so many at a time and a line that is always full. A round is 40 ms."""
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
    """What is refused before the number is found is less than ten."""
    limit, refusals = AdaptiveLimit(100), 0
    for round_ in range(10):
        over = max(0, limit.value - allowed)
        for _ in range(over):
            limit.refused(round_ * 0.04, round_ * 0.04 + 0.001, None)
        refusals += over
        grow(limit, allowed, now=round_ * 0.04 + 0.04)
    assert refusals <= 10


class Stage:
    """A line whose requests run until they are told to end; who runs is in the order of turns."""

    def __init__(self, limit: int | AdaptiveLimit, longest: int = 100) -> None:
        limit = AdaptiveLimit(limit) if isinstance(limit, int) else limit
        self.line = AdmissionQueue(limit, longest, STUCK)
        self.order: list[str] = []
        self.most = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(
        self,
        name: str,
        kind: str = "calls",
        priority: Priority = Priority.INTERACTIVE,
        until: float = LATER,
    ) -> None:
        """Joins the line; the operation is the name's first letter."""
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._run(name, kind, priority, until))
        await asyncio.sleep(0)

    async def _run(self, name: str, kind: str, priority: Priority, until: float) -> None:
        async with self.line.slot(kind, priority, name[0], until):
            self.order.append(name)
            self.most = max(self.most, self.line.in_flight)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        """The request that runs has its answer."""
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def finish(self) -> list[str]:
        """Ends one after the other, in the order in which they run; that order."""
        for place in range(len(self.tasks)):
            if place >= len(self.order):
                break
            await self.end(self.order[place])
        return self.order


@asynccontextmanager
async def staged(limit: int | AdaptiveLimit, longest: int = 100) -> AsyncIterator[Stage]:
    """A stage; at the end nothing runs and nothing waits."""
    stage = Stage(limit, longest)
    yield stage
    await asyncio.gather(*stage.tasks.values(), return_exceptions=True)
    assert (stage.line.in_flight, stage.line.waiting) == (0, 0)
    stage.line.close()


async def test_operations_take_turns_and_each_keeps_its_order() -> None:
    async with staged(1) as stage:
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
            await stage.ask(name)
        assert await stage.finish() == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_changes_go_first_and_bulk_goes_last() -> None:
    async with staged(1) as stage:
        await stage.ask("r0")
        await stage.ask("x1", priority=Priority.BULK)
        await stage.ask("i1")
        await stage.ask("m1", priority=Priority.MUTATION)
        await stage.ask("y1", priority=Priority.BULK)
        await stage.ask("j1")
        await stage.ask("n1", priority=Priority.MUTATION)
        assert await stage.finish() == ["r0", "m1", "n1", "i1", "j1", "x1", "y1"]


async def test_a_full_line_drops_the_newest_of_the_longest_operation() -> None:
    """Whoever floods the line drops his own; the one of three stays."""
    async with staged(1, longest=4) as stage:
        for name in ("a0", "a1", "a2", "a3", "a4", "b1", "b2"):
            await stage.ask(name)
        await asyncio.sleep(0)
        dropped = [name for name, task in stage.tasks.items() if task.done()]
        for name in dropped:
            with pytest.raises(UpstreamRateLimited) as caught:
                await stage.tasks[name]
            assert caught.value.extensions == {"code": "UPSTREAM_RATE_LIMITED", "retryAfter": 1.0}
        assert dropped == ["a3", "a4"]
        assert await stage.finish() == ["a0", "a1", "b1", "a2", "b2"]


async def test_a_full_line_drops_bulk_before_what_somebody_waits_for() -> None:
    async with staged(1, longest=3) as stage:
        for name in ("a0", "a1", "a2", "a3"):
            await stage.ask(name)
        await stage.ask("x1", priority=Priority.BULK)
        await asyncio.sleep(0)
        assert [name for name, task in stage.tasks.items() if task.done()] == ["x1"]
        assert isinstance(stage.tasks["x1"].exception(), UpstreamRateLimited)
        assert await stage.finish() == ["a0", "a1", "a2", "a3"]


async def test_who_gets_no_turn_in_time_is_told_and_holds_nothing() -> None:
    async with staged(1) as stage:
        await stage.ask("a1")
        await stage.ask("b1", until=asyncio.get_running_loop().time() + 0.01)
        with pytest.raises(UpstreamTimeout):
            await stage.tasks["b1"]
        assert stage.line.waiting == 0
        await stage.end("a1")


@pytest.mark.parametrize("leaver", ["a1", "a2", "b1"])
async def test_who_leaves_the_line_or_his_place_costs_nobody_a_turn(leaver: str) -> None:
    async with staged(1) as stage:
        for name in ("a1", "a2", "b1", "b2"):
            await stage.ask(name)
        stage.tasks[leaver].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        names = [name for name in ("a1", "a2", "b1", "b2") if name != leaver]
        stage.ends[leaver].set()
        for _ in range(4):
            for name in list(stage.order):
                stage.ends[name].set()
            await asyncio.sleep(0.001)
        assert sorted(set(stage.order) - {leaver}) == names


@pytest.mark.parametrize("is_granted", [True, False])
async def test_who_is_cancelled_in_the_moment_of_his_turn_gives_it_on(is_granted: bool) -> None:
    async with staged(1) as stage:
        for name in ("a1", "b1", "c1"):
            await stage.ask(name)
        stage.ends["a1"].set()
        if is_granted:
            await asyncio.sleep(0)
        stage.tasks["b1"].cancel()
        await stage.tasks["a1"]
        await asyncio.sleep(0.001)
        assert stage.order[-1] == "c1"
        await stage.end("c1")


async def test_places_that_one_kind_holds_too_long_let_two_of_another_pass() -> None:
    """Recordings that hang do not stop calls; more than two do not pass, nor do recordings."""
    limit = AdaptiveLimit(100)
    while limit.value > 2:
        limit.refused(sent_at=1.0, now=1.0, in_flight=None)
    async with staged(limit) as stage:
        await stage.ask("r1", kind="recordings")
        await stage.ask("r2", kind="recordings")
        await stage.ask("r3", kind="recordings")
        for name in ("c1", "c2", "c3"):
            await stage.ask(name)
        assert stage.order == ["r1", "r2"]
        async with asyncio.timeout(20):
            while len(stage.order) < 4:  # noqa: ASYNC110 (a clock decides)
                await asyncio.sleep(STUCK / 10)
        await asyncio.sleep(2 * STUCK)
        assert stage.order == ["r1", "r2", "c1", "c2"]
        await stage.end("c1")
        assert stage.order[4:] == ["c3"]
        for name in ("c2", "c3", "r1", "r2", "r3"):
            await stage.end(name)


async def test_the_cap_holds_even_for_who_passes_by_the_stuck() -> None:
    async with staged(2) as stage:
        for name in ("r1", "r2"):
            await stage.ask(name, kind="recordings")
        await stage.ask("c1")
        await asyncio.sleep(3 * STUCK)
        assert stage.order == ["r1", "r2"]
        for name in ("r1", "r2", "c1"):
            await stage.end(name)


@pytest.mark.parametrize("seed", range(4))
async def test_a_random_crowd_is_served_whole_and_never_above_the_limit(seed: int) -> None:
    chance = random.Random(seed)
    line, served, most = AdmissionQueue(AdaptiveLimit(5), 1000), 0, 0

    async def request(number: int) -> None:
        nonlocal served, most
        kind = chance.choice(["calls", "recordings"])
        async with line.slot(kind, chance.choice(list(Priority)), number % 7, LATER):
            most = max(most, line.in_flight)
            await asyncio.sleep(chance.random() / 500)
            served += 1

    tasks = [asyncio.ensure_future(request(number)) for number in range(300)]
    await asyncio.sleep(0.002)
    leaving = chance.sample(tasks, 60)
    left = sum(task.cancel() for task in leaving)
    await asyncio.gather(*tasks, return_exceptions=True)
    line.close()

    assert most == 5
    assert served >= 300 - left
    assert (line.in_flight, line.waiting) == (0, 0)
