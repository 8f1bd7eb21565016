"""Equal runs in flight are one; the last results are kept."""

import asyncio

import pytest

from gateway.live.snapshots import MAX_RESULTS, ResultCoalescer


class Work:
    """Counts its runs; each waits until it may end, then raises `error` if set."""

    def __init__(self) -> None:
        self.runs = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def run(self) -> int:
        """The number of runs."""
        self.runs += 1
        await self.may_end.wait()
        if self.error:
            raise self.error
        return self.runs


async def test_all_callers_share_a_run_even_when_its_first_caller_leaves() -> None:
    work, shared = Work(), ResultCoalescer[int]()
    waiting = [asyncio.ensure_future(shared.result("key", work.run)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    work.may_end.set()

    assert await asyncio.gather(*waiting[1:]) == [1, 1]


async def test_a_result_is_kept_by_its_key() -> None:
    work, shared = Work(), ResultCoalescer[int]()
    work.may_end.set()

    assert [await shared.result(key, work.run) for key in ("key", "key", "other")] == [1, 1, 2]


async def test_a_run_that_awaits_nothing_makes_no_caller_wait() -> None:
    shared, runs = ResultCoalescer[int](), iter(range(9))
    waiting = [shared.result("key", lambda: next(runs) + 1) for _ in range(2)]
    for one in waiting:
        with pytest.raises(StopIteration) as end:
            one.send(None)
        assert end.value.value == 1


async def test_a_failed_run_is_not_kept() -> None:
    work, shared = Work(), ResultCoalescer[int]()
    work.may_end.set()
    work.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await shared.result("key", work.run)
    work.error = None

    assert await shared.result("key", work.run) == 2


async def test_the_number_of_kept_results_is_bounded() -> None:
    work, shared = Work(), ResultCoalescer[int]()
    work.may_end.set()
    for key in range(MAX_RESULTS + 1):
        await shared.result(key, work.run)
    newest = await shared.result(MAX_RESULTS, work.run)
    oldest = await shared.result(0, work.run)

    assert (newest, oldest) == (MAX_RESULTS + 1, MAX_RESULTS + 2)
