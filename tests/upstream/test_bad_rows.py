"""One bad row costs one row, one bad property costs one property.

See docs/design/schema.md#3-an-error-affects-only-its-own-field.
"""

import json
import logging
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamInvalid
from gateway.upstream.calls import CALLS, CallDirection, CallStatus, FetchCall, ListCalls
from gateway.upstream.decoding import list_of
from gateway.upstream.notifications import FetchNotification, ListNotifications
from gateway.upstream.recordings import FetchRecording, ListRecordings
from gateway.upstream.requests import FetchRequest, ListRequest
from gateway.upstream.writes import modify_call
from tests.plain_twilio import ACCOUNT, Row, call, notification, recording, sid
from tests.upstream.stage import answering, connected

LISTS: dict[str, tuple[ListRequest[Any], list[Row]]] = {
    "calls": (ListCalls(), [call(1), call(2)]),
    "recordings": (ListRecordings(), [recording(1, of=1), recording(2, of=1)]),
    "notifications": (ListNotifications(), [notification(1, of=1), notification(2, of=1)]),
}
EACH_LIST = pytest.mark.parametrize("kind", LISTS)
SECRET = "+14155550123"  # the number of somebody who must be in no log
NO_SIDS: list[Any] = [None, 5, "", "CA1", [], {}, "XX" + "0" * 32]
NO_ROWS: list[Any] = [
    *(5, None, True, "CA1", [], {}, [call(1)]),
    *({"sid": bad, "to": SECRET} for bad in NO_SIDS),
]
EACH_NO_ROW = pytest.mark.parametrize("no_row", NO_ROWS, ids=str)


def listed(kind: str, rows: list[Any]) -> bytes:
    """An envelope."""
    return json.dumps({kind: rows}).encode()


@EACH_LIST
@EACH_NO_ROW
async def test_what_is_no_row_is_left_out_counted_and_logged_without_its_content(
    kind: str, no_row: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request, (one, two) = LISTS[kind]
    with caplog.at_level(logging.WARNING, "gateway"):
        async with connected(answering(200, listed(kind, [one, no_row, two, no_row]))) as client:
            page = await client.page(request)

    assert [row.sid for row in page.rows] == [one["sid"], two["sid"]]
    assert (page.rows_read, page.left_out, page.is_exact) == (4, 2, False)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"upstream sent 2 of 4 {kind} without a readable SID: they were left out"


@EACH_LIST
async def test_a_page_of_nothing_but_bad_rows_is_an_empty_page(kind: str) -> None:
    request, _ = LISTS[kind]
    async with connected(answering(200, listed(kind, [5, {}]))) as client:
        page = await client.page(request)

    assert (page.rows, page.rows_read, page.left_out) == ((), 2, 2)


@EACH_LIST
async def test_a_page_of_good_rows_has_nothing_left_out(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, rows = LISTS[kind]
    with caplog.at_level(logging.WARNING, "gateway"):
        async with connected(answering(200, listed(kind, rows))) as client:
            page = await client.page(request)

    assert (page.rows_read, page.left_out, page.is_exact) == (2, 0, True)
    assert caplog.records == []


@EACH_LIST
@pytest.mark.parametrize("rows", [None, {}, {"0": call(1)}, "rows", 0, ...], ids=str)
async def test_a_list_that_is_none_is_upstream_invalid(kind: str, rows: Any) -> None:
    body = {} if rows is ... else {kind: rows}
    async with connected(answering(200, json.dumps(body).encode())) as client:
        with pytest.raises(UpstreamInvalid):
            await client.page(LISTS[kind][0])


@given(
    st.lists(
        st.one_of(
            st.integers(1, 999).map(call),
            st.integers(1, 999).map(lambda number: call(number, status={}, account_sid=None)),
            st.sampled_from(NO_ROWS),
        )
    )
)
def test_the_rows_with_a_readable_sid_are_kept_in_their_order(sent: list[Any]) -> None:
    """Whatever stands around them."""
    read = list_of(CALLS, listed("calls", sent), ACCOUNT)

    right = [row["sid"] for row in sent if isinstance(row, dict) and "uri" in row]
    assert [row.sid for row in read.rows] == right
    assert read.left_out == len(sent) - len(right)
    assert {row.account_sid for row in read.rows} <= {ACCOUNT}


SINGLES: list[FetchRequest[Any]] = [
    FetchCall(sid=sid("CA", 1)),
    FetchRecording(sid=sid("RE", 1)),
    FetchNotification(sid=sid("NO", 1)),
]


@pytest.mark.parametrize("request_", SINGLES, ids=lambda request: request.kind)
@EACH_NO_ROW
async def test_a_single_resource_that_is_no_row_is_upstream_invalid(
    request_: FetchRequest[Any], no_row: Any
) -> None:
    async with connected(answering(200, json.dumps(no_row).encode())) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(request_)


NOT_THERE: list[Any] = ["", None, ..., {}, {"a": 1}, [], 7, True, 1.5]
EACH_NOT_THERE = pytest.mark.parametrize("value", NOT_THERE, ids=str)


def with_property(row: Row, name: str, value: Any) -> Row:
    """The row with another value, or without the property (...)."""
    rest = {key: kept for key, kept in row.items() if key != name}
    return rest if value is ... else rest | {name: value}


@EACH_NOT_THERE
async def test_a_call_has_a_status_and_a_direction_whatever_upstream_sends(value: Any) -> None:
    odd = with_property(with_property(call(1), "status", value), "direction", value)
    async with connected(answering(200, listed("calls", [odd, call(2)]))) as client:
        one, two = (await client.page(ListCalls())).rows
    async with connected(answering(200, json.dumps(odd).encode())) as client:
        single = await client.fetch(FetchCall(sid=sid("CA", 1)))
        changed = await client.send(modify_call(sid("CA", 1), (("Status", "completed"),)))

    for row in (one, single, changed):
        assert row is not None
        assert row.status is CallStatus.UNKNOWN
        assert row.direction is CallDirection.UNKNOWN
    assert (two.status, two.direction) == (CallStatus.COMPLETED, CallDirection.INBOUND)


@EACH_LIST
@pytest.mark.parametrize("value", [*NOT_THERE, "AC1", sid("CA", 1)], ids=str)
async def test_a_row_whose_account_cannot_be_read_is_of_the_account_that_was_asked(
    kind: str, value: Any
) -> None:
    request, (one, two) = LISTS[kind]
    other = "AC" + "b" * 32
    rows = [with_property(one, "account_sid", value), two | {"account_sid": other}]
    async with connected(answering(200, listed(kind, rows))) as client:
        page = await client.page(request)
    single = next(single for single in SINGLES if single.kind == kind)
    async with connected(answering(200, json.dumps(rows[0]).encode())) as client:
        fetched = await client.fetch(single)

    assert [row.account_sid for row in page.rows] == [ACCOUNT, other]
    assert fetched is not None
    assert fetched.account_sid == ACCOUNT


@pytest.mark.parametrize("value", ["1e999", "-1e999"])
async def test_a_number_that_no_machine_holds_costs_its_property(value: str) -> None:
    """The parser refuses the whole body for it."""
    body = listed("calls", [call(1), call(2)]).replace(b'"-0.00850"', value.encode(), 1)
    async with connected(answering(200, body)) as client:
        one, two = (await client.page(ListCalls())).rows
        with pytest.raises(UpstreamInvalid, match="a price that cannot be read"):
            _ = one.price
        assert (one.status, one.duration) == (CallStatus.COMPLETED, 60)
        assert str(two.price) == "-0.00850"


async def test_a_list_with_a_row_left_out_is_not_kept_for_later() -> None:
    """What could not be read may be readable next time."""
    bodies = {"Calls": call(9), "Recordings": {"recordings": [5]}}

    def answer(request: httpx.Request) -> httpx.Response:
        name = "Recordings" if "Recordings" in request.url.path else "Calls"
        return httpx.Response(200, json=bodies[name])

    wanted = ListRecordings(call_sid=sid("CA", 9))
    async with connected(httpx.MockTransport(answer)) as client:
        owner = await client.fetch(FetchCall(sid=sid("CA", 9)))
        await client.page(wanted, owner=owner)
        kept = client.cached(wanted)
        bodies["Recordings"] = {"recordings": []}
        await client.page(wanted, owner=owner)
        assert client.cached(wanted) is not None

    assert kept is None


def test_an_unreadable_status_is_logged_once_and_without_its_content(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = call(1, status={"number": SECRET}, direction=[SECRET])
    with caplog.at_level(logging.WARNING, "gateway"):
        for _ in range(3):
            (row,) = list_of(CALLS, listed("calls", [odd]), ACCOUNT).rows
            assert (row.status, row.direction) == (CallStatus.UNKNOWN, CallDirection.UNKNOWN)

    lines = [record.getMessage() for record in caplog.records]
    assert SECRET not in str(lines)
    assert len(lines) == len(set(lines)) <= 2  # once in a process
