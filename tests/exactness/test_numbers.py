"""Fifty finished calls and their edges take three requests, and one for each parent off the page.

This holds if the days concerned have at most 1,000 rows of each list, however they are spread.
"""

from datetime import timedelta

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from gateway.settings import PlannerMode
from tests.exactness.client import examples, gateway_client
from tests.exactness.oracle import Oracle
from tests.exactness.queries import Edge, Root, Window, document
from tests.exactness.switches import Order, Switches, Ties, Tokens
from tests.exactness.twilio import Account, OddTwilio
from tests.plain_twilio import NOON, Row, call, notification, recording, rfc_2822, sid

EDGES = tuple(
    Edge(field, field) for field in ("parentCall", "childCalls", "recordings", "notifications")
)
DAY = 24 * 3600
LIVE: Row = {"status": "in-progress", "end_time": None, "duration": None}


@st.composite
def call_centres(draw: st.DrawFn) -> Account:
    """Calls at any pace, dense or sparse or in bursts, with legs; the newest may be live.

    Up to 25 share a second, or start after later calls were created.
    """
    count = draw(st.sampled_from([51, 59, 75, 130, 990]))
    pace = draw(st.sampled_from([1, 3, 10, 60, 600, 3600, 20_000]))
    burst = draw(st.sampled_from([1, 1, 10, 60]))
    pause = draw(st.sampled_from([0, 600, DAY]))
    rows_per_call = draw(st.sampled_from([0, 1, 2, 2 if count > 500 else 5]))
    live = draw(st.sampled_from([0, 0, 1, 9]))
    at_once, lag = draw(st.sampled_from([(1, 0), (1, 1), (1, 20), (2, 0), (7, 1), (25, 0)]))
    calls: list[Row] = []
    recordings: list[Row] = []
    notifications: list[Row] = []
    for number in range(count):
        at = -(number // at_once * pace + number // burst * pause)
        # A leg is newer than its parent: its number is lower.
        parent = number + 1 if number % 3 and number + 1 < count else None
        up = {"parent_call_sid": sid("CA", parent)} if parent is not None else {}
        started = {"start_time": rfc_2822(NOON + timedelta(seconds=at + lag))}
        calls.append(call(number, at=at, **up) | started | (LIVE if number < live else {}))
        for index in range(rows_per_call if number % 2 else 0):
            key = number * 10 + index
            recordings.append(recording(key, number, at=at + 30 + index))
            notifications.append(notification(key, number, at=at + 60 + index))
    later = [200, 7200] if live else [200, 7200, 2 * DAY, 9 * DAY]
    now = NOON + timedelta(seconds=draw(st.sampled_from(later)))
    return Account(tuple(calls), tuple(recordings), tuple(notifications), now=now)


DENSE = Account(
    tuple(call(number, at=-number * 10) for number in range(59)),
    tuple(recording(number, number, at=-number * 10 + 20) for number in range(59)),
    now=NOON + timedelta(days=1),
)


@settings(max_examples=examples(20))
@given(
    call_centres(),
    st.sampled_from([Order.CREATED, Order.STARTED]),
    st.sampled_from([Tokens.SIDS, Tokens.OPAQUE]),
)
@example(DENSE, Order.CREATED, Tokens.SIDS)
async def test_fifty_calls_take_three_requests_and_one_for_each_parent_off_the_page(
    account: Account, order: Order, tokens: Tokens
) -> None:
    twilio = OddTwilio.of(account, Switches(order=order, tokens=tokens))
    root = Root(window=Window(50), edges=EDGES)
    expected = Oracle(twilio).root(root)
    async with gateway_client(twilio, account) as client:
        answer = await client.data(document(root.text(None)))
    note(str(twilio.requests))
    assert answer["calls"] == expected
    page = twilio.calls[:50]
    shown = {row["sid"] for row in page}
    parents = {row["parent_call_sid"] for row in page} - {None} - shown
    assert len(twilio.requests) <= 3 + len(parents)


ONE_BY_ONE = f"GET Calls?ParentCallSid={sid('CA', 49)}"


@pytest.mark.parametrize(("in_one_second", "more"), [(1, []), (26, []), (27, [ONE_BY_ONE])])
async def test_the_second_in_which_the_page_ends_is_read_with_it_up_to_25_calls_further(
    in_one_second: int, more: list[str]
) -> None:
    """The 50th call is the first of that second; beyond the spare rows it is one more request."""
    ends = 49 + in_one_second
    calls = [call(number, at=-49 if 49 <= number < ends else -number) for number in range(90)]
    account = Account(tuple(calls), now=NOON + timedelta(days=1))
    twilio = OddTwilio.of(account, Switches(ties=Ties.SID_UP))
    root = Root(window=Window(50), edges=EDGES)
    expected = Oracle(twilio).root(root)
    async with gateway_client(twilio, account) as client:
        answer = await client.data(document(root.text(None)))
    assert answer["calls"] == expected
    assert [line.split("&")[0] for line in twilio.requests if "Calls" in line] == [
        "GET Calls?PageSize=76",
        *more,
    ]
    assert len(twilio.requests) == 3 + len(more)


async def test_per_key_these_are_more_than_a_hundred() -> None:
    """The number to compare with those above."""
    account = DENSE
    twilio = OddTwilio.of(account, Switches())
    async with gateway_client(twilio, account, planner=PlannerMode.PER_KEY) as client:
        await client.data(document(Root(window=Window(50), edges=EDGES).text(None)))
    assert len(twilio.requests) > 100
