"""The planner against a simple oracle: a known answer is the answer that upstream would give."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.planner import Costs, KnownAnswer, OperationCache, Policy, Request, Send, plan
from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.recordings import FetchRecording, ListRecordings
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def sid(number: int) -> str:
    """A call's SID."""
    return f"CA{number:032x}"


def row(number: int, age: int, parent: int | None = None, **properties: Any) -> CallResource:
    """A call as the client decodes it."""
    wire = {
        "sid": sid(number),
        "date_created": format_datetime(NOON - timedelta(seconds=age)),
        "parent_call_sid": sid(parent) if parent is not None else None,
        "status": "completed",
        "direction": "inbound" if parent is None else "outbound-dial",
    }
    return msgspec.convert(wire | properties, CallResource)


def page(
    request: ListRequest[Any], rows: list[CallResource], next_page: PageRef | None
) -> Page[Any]:
    """A page as the client makes it."""
    return Page(request, tuple(rows), next=next_page, rows_read=len(rows))


def planned_requests(requests: Iterable[Request]) -> list[Send]:
    """The plan for requests that no scan would be right for."""
    steps = plan(requests, OperationCache(NOON), Costs(), Policy())
    return [step for step in steps if isinstance(step, Send)]


START, CREATION = "start", "creation"


@st.composite
def call_lists(draw: st.DrawFn) -> list[CallResource]:
    """An account's list of calls: newest first by creation or by start, equal dates in any order.

    Each child was created after its parent, or in the same second. Each call starts some seconds
    after its creation or never does; a parent may start after its child (answerOnBridge).
    """
    drawn: list[tuple[int, int, int | None]] = []
    second = 0
    for number in range(draw(st.integers(1, 14))):
        second += draw(st.integers(0, 2))
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        drawn.append((second, draw(st.sampled_from([0, 0, 0, 1, 4])), parent))
    order = draw(st.sampled_from([START, CREATION]))
    never = draw(st.sampled_from([False, False, True]))
    rows = []
    for number, (created, lag, parent) in enumerate(drawn):
        started = format_datetime(NOON - timedelta(seconds=second - created - lag))
        is_dialed = not (never and number % 3 == 2)
        properties = {"start_time": started if is_dialed else None}
        place = created + lag if order == START and is_dialed else created
        key = (place, draw(st.integers(0, 9)))
        rows.append((key, row(number, second - created, parent, **properties)))
    return [call for _, call in sorted(rows, key=lambda pair: pair[0], reverse=True)]


def read_from_top(account: list[CallResource], page_size: int, pages: int) -> OperationCache:
    """The cache of an operation that has read this many pages of the list."""
    known = OperationCache(NOON + timedelta(hours=1))
    request = ListCalls(page_size=page_size)
    for index in range(pages):
        start = index * page_size
        rows = account[start : start + page_size]
        next_page = PageRef(index + 1, f"PA{start}") if account[start + page_size :] else None
        known.record(page(request, rows, next_page))
        request = request.at(PageRef(index + 1, f"PA{start}"))
    return known


@settings(max_examples=max(500, settings().max_examples))
@given(call_lists(), st.integers(1, 6), st.integers(0, 4))
def test_known_children_are_the_children_that_upstream_would_list(
    account: list[CallResource], page_size: int, pages: int
) -> None:
    known = read_from_top(account, page_size, pages)
    read = account[: pages * page_size]
    for parent in account:
        answer = known.answer(ListCalls(parent_call_sid=parent.sid))
        children = [child for child in account if child.parent_call_sid == parent.sid]
        if answer is not None:
            assert list(answer.value.rows) == children
        elif parent in read:  # no row read is certainly older than its creation
            assert read != account
            assert all(times(it)[1] >= times(parent)[0] for it in read) or not _descends(read)


def times(call: CallResource) -> tuple[datetime, datetime]:
    """When a call was created, and when it started."""
    assert call.date_created is not None
    return call.date_created, call.start_time or call.date_created


def _descends(rows: list[CallResource]) -> bool:
    """True where an order that no row contradicts was seen to descend."""
    columns = list(zip(*map(times, rows), strict=True))
    descending = [dates for dates in columns if list(dates) == sorted(dates, reverse=True)]
    is_newest_first = all(dates[0] >= dates[-1] for dates in columns)
    return is_newest_first and bool(descending) and all(len(set(dates)) > 1 for dates in descending)


@given(call_lists(), st.data())
def test_a_list_in_any_other_order_is_never_evidence_of_fewer_children(
    account: list[CallResource], data: st.DataObject
) -> None:
    """Whatever the order, a known answer holds every child that was on the page."""
    shuffled = data.draw(st.permutations(account))
    known = OperationCache(NOON)
    known.record(page(ListCalls(page_size=50), shuffled, PageRef(1, "PAx")))

    for parent in shuffled:
        answer = known.answer(ListCalls(parent_call_sid=parent.sid))
        children = [child for child in shuffled if child.parent_call_sid == parent.sid]
        assert answer is None or list(answer.value.rows) == children


def test_a_page_that_leaves_a_gap_proves_nothing() -> None:
    known = OperationCache(NOON)
    known.record(page(ListCalls(page_size=2), [row(4, 0), row(3, 1)], PageRef(1, "PA3")))
    known.record(page(ListCalls(page_size=2, page=PageRef(2, "PA2")), [row(1, 3)], None))

    assert known.answer(ListCalls(parent_call_sid=sid(4))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(3))) is None
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_page_out_of_order_proves_nothing() -> None:
    known = OperationCache(NOON)
    known.record(page(ListCalls(page_size=2), [row(1, 5), row(2, 0)], PageRef(1, "PA2")))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_list_that_descends_and_then_does_not_proves_nothing() -> None:
    known = OperationCache(NOON)
    rows = [row(9, 0), row(1, 5), row(2, 3)]
    known.record(page(ListCalls(page_size=3), rows, PageRef(1, "PA2")))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_rows_of_one_second_prove_nothing_about_one_another() -> None:
    """The next page may hold another row of that second, a child."""
    known = OperationCache(NOON)
    rows = [row(9, 0), row(1, 5), row(2, 5), row(3, 5, parent=1)]
    known.record(page(ListCalls(page_size=4), rows, PageRef(1, "PA3")))
    assert known.answer(ListCalls(parent_call_sid=sid(9))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None

    below = [row(4, 5, parent=1), row(5, 6)]
    known.record(page(ListCalls(page_size=4, page=PageRef(1, "PA3")), below, PageRef(2, "PA5")))
    answer = known.answer(ListCalls(parent_call_sid=sid(1)))
    assert answer is not None
    assert [call.sid for call in answer.value.rows] == [sid(3), sid(4)]


def at(second: int) -> str:
    """A second after noon, as upstream writes it."""
    return format_datetime(NOON + timedelta(seconds=second))


def test_a_list_by_start_is_read_down_to_a_start_before_the_parents_creation() -> None:
    """The parent is answered last (answerOnBridge), and its child stands on the next page."""
    parent = row(1, 0, start_time=at(20))
    child = row(2, -5, parent=1, start_time=at(10))
    older = row(3, 60, start_time=at(12))
    known = OperationCache(NOON + timedelta(hours=1))
    known.record(page(ListCalls(page_size=2), [parent, older], PageRef(1, "PAx")))
    assert known.answer(ListCalls(parent_call_sid=parent.sid)) is None

    below = [child, row(4, 70, start_time=at(-70))]
    known.record(page(ListCalls(page_size=2, page=PageRef(1, "PAx")), below, PageRef(2, "PAy")))
    answer = known.answer(ListCalls(parent_call_sid=parent.sid))
    assert answer is not None
    assert list(answer.value.rows) == [child]


def test_an_order_that_a_row_contradicts_needs_no_proof() -> None:
    """One call starts before another that stands below it: the list is by creation."""
    parent = row(1, 0, start_time=at(20))
    rows = [row(9, -1, start_time=at(15)), parent, row(3, 60, start_time=at(12))]
    known = OperationCache(NOON + timedelta(hours=1))
    known.record(page(ListCalls(page_size=3), rows, PageRef(1, "PAx")))

    assert known.answer(ListCalls(parent_call_sid=parent.sid)) is not None


def test_a_row_whose_date_is_missing_or_unreadable_says_nothing_of_the_order() -> None:
    known = OperationCache(NOON)
    odd = [row(8, 0, date_created=None), row(7, 0, date_created="yesterday")]
    rows = [row(9, 0), odd[0], row(1, 1), odd[1]]
    known.record(page(ListCalls(page_size=4), rows, PageRef(1, "PA7")))
    assert known.answer(ListCalls(parent_call_sid=sid(9))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None
    assert known.answer(ListCalls(parent_call_sid=sid(8))) is None
    assert known.answer(ListCalls(parent_call_sid=sid(7))) is None

    known.record(page(ListCalls(page_size=5), rows, None))  # now the list has ended
    assert known.answer(ListCalls(parent_call_sid=sid(8))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(7))) is not None


def test_a_row_whose_parent_is_unreadable_proves_nothing() -> None:
    known = OperationCache(NOON)
    rows = [row(9, 0), row(2, 0, parent_call_sid=7), row(1, 1)]
    known.record(page(ListCalls(), rows, None))

    assert known.answer(ListCalls(parent_call_sid=sid(9))) is None


def test_a_page_with_rows_left_out_proves_nothing_and_is_a_gap() -> None:
    request = ListCalls(page_size=2)
    pages = [
        page(request, [row(9, 0), row(8, 1)], PageRef(1, "PA8")),
        page(request.at(PageRef(1, "PA8")), [row(7, 2)], PageRef(2, "PA7")),
        page(request.at(PageRef(2, "PA7")), [row(6, 3), row(5, 4)], None),
    ]
    complete, with_gap = OperationCache(NOON), OperationCache(NOON)
    for read in pages:
        complete.record(read)
    for read in [pages[0], msgspec.structs.replace(pages[1], left_out=1), pages[2]]:
        with_gap.record(read)
    keys = [ListCalls(parent_call_sid=sid(number)) for number in (9, 8, 7, 6, 5)]

    assert all(complete.answer(key) for key in keys)
    assert [with_gap.answer(key) is not None for key in keys] == [True, False, False, False, False]
    assert with_gap.answer(FetchCall(sid=sid(7))) is not None


def test_a_first_page_with_rows_left_out_is_no_answer_for_another_size() -> None:
    known = OperationCache(NOON)
    request = ListRecordings(call_sid=sid(1))
    known.record(msgspec.structs.replace(page(request, [], None), left_out=1))
    assert known.answer(replace(request, page_size=5)) is None

    known.record(page(request, [], None))
    assert known.answer(replace(request, page_size=5)) is not None


def test_a_page_that_is_named_by_its_number_does_not_continue_a_run_upward() -> None:
    """New calls may have moved rows from that page to the next.

    Nor does a token that may stand for a number, in pages of another size.
    """
    for above, size, is_certain in (
        (PageRef(1), 3, False),
        (PageRef(1, "some"), 5, False),
        (PageRef(1, "some"), 3, True),
        (PageRef(1, f"PB{sid(5)}"), 5, True),
    ):
        known = OperationCache(NOON + timedelta(hours=1))
        start = ListCalls(page_size=3, page=PageRef(2, "some"))
        rows = [row(5, 100, end_time=at(-90)), row(4, 110)]
        known.record(Page(start, tuple(rows), PageRef(3), above, rows_read=2))
        newer = [row(8, -900), row(7, -800)]
        known.record(page(replace(start, page=above, page_size=size), newer, PageRef(2)))

        assert (known.answer(ListCalls(parent_call_sid=sid(5))) is not None) is is_certain


def test_a_list_that_lacks_the_parent_itself_is_not_complete() -> None:
    known = OperationCache(NOON + timedelta(hours=1))
    known.record(row(5, 1, end_time=at(9)))
    known.record(page(ListCalls(), [row(9, 0), row(1, 60)], None))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(5))) is None


def test_a_live_call_may_get_children_above_whatever_was_read() -> None:
    """Only the list's top is proof: calls newer than the operation prove nothing."""
    for place, is_certain in ((PageRef(2, "some"), False), (FIRST_PAGE, True)):
        known = OperationCache(NOON)
        rows = [row(9, -30), row(1, 0, status="in-progress"), row(2, 60)]
        request = ListCalls(page_size=3, page=place)
        known.record(page(request, rows, PageRef(3, "more")))

        assert (known.answer(ListCalls(parent_call_sid=sid(1))) is not None) is is_certain


def test_a_token_that_names_no_row_continues_only_in_pages_of_one_size() -> None:
    """It may stand for a page's number."""
    for token, size, is_certain in (("x", 5, False), ("x", 2, True), (f"PA{sid(8)}", 5, True)):
        known = OperationCache(NOON)
        link = PageRef(1, token)
        known.record(page(ListCalls(page_size=2), [row(9, 0), row(8, 1)], link))
        known.record(page(ListCalls(page_size=size, page=link), [row(7, 2)], None))

        assert (known.answer(ListCalls(parent_call_sid=sid(8))) is not None) is is_certain


def test_a_list_that_was_not_seen_to_descend_proves_nothing() -> None:
    """All rows of one second: the list may run oldest first, with the children on its last page."""
    known = OperationCache(NOON)
    known.record(page(ListCalls(page_size=2), [row(1, 0), row(2, 0)], PageRef(1, "PA2")))
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None

    known.record(page(ListCalls(page_size=2, page=PageRef(1, "PA2")), [row(3, 0)], None))
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is not None


def test_a_filtered_list_proves_nothing_about_children() -> None:
    known = OperationCache(NOON)
    request = ListCalls(status=CallStatus.COMPLETED)
    known.record(page(request, [row(1, 0)], None))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_known_children_are_filtered_like_upstream_would() -> None:
    known = OperationCache(NOON)
    rows = [row(3, 0, 1, status="busy"), row(2, 1, 1), row(1, 2)]
    known.record(page(ListCalls(), rows, None))

    answer = known.answer(ListCalls(parent_call_sid=sid(1), status=CallStatus.BUSY))
    assert answer is not None
    assert [call.sid for call in answer.value.rows] == [sid(3)]


@pytest.mark.parametrize(
    ("direction", "status", "duration", "is_certain"),
    [
        ("outbound-api", "busy", None, True),
        ("outbound-dial", "no-answer", "0", True),
        ("outbound-api", "canceled", "", True),
        ("outbound-api", "failed", 0, True),
        ("outbound-api", "failed", "12", False),
        ("outbound-api", "no-answer", "-1", False),
        ("outbound-dial", "busy", "some", False),
        ("outbound-api", "ringing", None, False),
        ("outbound-api", "completed", "0", False),
        ("inbound", "busy", None, False),
        ("inbound", "canceled", None, False),
        ("trunking-terminating", "busy", None, False),
    ],
)
def test_only_an_outbound_call_that_was_never_answered_has_no_children_for_certain(
    direction: str, status: str, duration: Any, is_certain: bool
) -> None:
    """A call that lasted some time ran TwiML, whatever its status; one of unknown length may."""
    known = OperationCache(NOON)
    known.record(row(1, 0, direction=direction, status=status, duration=duration))

    assert (known.answer(ListCalls(parent_call_sid=sid(1))) is not None) is is_certain


def test_a_call_seen_in_any_list_is_known() -> None:
    known = OperationCache(NOON)
    known.record(page(ListCalls(status=CallStatus.COMPLETED), [row(1, 0)], None))

    assert known.answer(FetchCall(sid=sid(1))) == KnownAnswer(row(1, 0))
    assert known.answer(FetchCall(sid=sid(2))) is None


def test_a_recording_is_not_known_from_a_list_whose_form_lacks_properties() -> None:
    assert OperationCache(NOON).answer(FetchRecording(sid="RE" + "0" * 32)) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12))
def test_first_pages_of_one_list_are_one_request_of_the_largest_size(
    drawn: list[tuple[int, int]],
) -> None:
    requests = {ListCalls(to=str(to), page_size=size) for to, size in drawn}
    steps = planned_requests(requests)

    largest = {str(to): max(size for same, size in drawn if same == to) for to, _ in drawn}
    assert {step.request for step in steps} == {
        ListCalls(to=to, page_size=size) for to, size in largest.items()
    }
    assert len(steps) == len(largest)
    served = [request for step in steps for request in step.serves]
    assert sorted(served, key=repr) == sorted(requests, key=repr)


def test_a_later_page_stays_a_request_of_its_own() -> None:
    first = ListRecordings(call_sid=sid(1))
    later = first.at(PageRef(1, "PAx"))

    assert [step.request for step in planned_requests([first, later])] == [first, later]
    assert first.page == FIRST_PAGE
