"""The benchmark of the planner: a bar that is not met is its exit code, and it leaves nothing open.

Its figures are not held by any test.
"""

import asyncio

import pytest

from tests.bench.planner import NOW, Query, gateways, judge, run
from tests.bench.planner_upstream import account, upstream


def test_a_bar_that_is_not_met_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge([(True, "one"), (True, "other")]) == 0
    assert judge([(True, "one"), (False, "other"), (True, "third")]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == ["pass one", "FAIL other", "pass third"]


async def test_its_gateways_are_closed_with_all_that_they_began() -> None:
    """A read of one call by its SID begins to hear of live calls, and to poll."""
    before = asyncio.all_tasks()
    async with upstream(account(200, 2, NOW), NOW) as there, gateways(there) as made:
        for gateway in made.values():
            gateway.own.start()
        _, answer = await run(made["adaptive"], "sid", Query("newest", 2))
    assert len(answer["data"]["calls"]["nodes"]) == 2
    assert asyncio.all_tasks() == before
