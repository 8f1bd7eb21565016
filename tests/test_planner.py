"""The planner against a plain oracle: what it calls known is what upstream would answer."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.planner import Answer, Costs, Known, Policy, Request, Send, plan
from gateway.upstream.requests import (
    TOP,
    FetchCall,
    FetchRecording,
    ListCalls,
    ListRecordings,
    Page,
    PageRef,
)
from gateway.upstream.resources import CallResource, CallStatus

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def sid(number: int) -> str:
    """A call's SID."""
    return f"CA{number:032x}"


def row(number: int, age: int, parent: int | None = None, **given: Any) -> CallResource:
    """A call as the client decodes it."""
    wire = {
        "sid": sid(number),
        "date_created": format_datetime(NOON - timedelta(seconds=age)),
        "parent_call_sid": sid(parent) if parent is not None else None,
        "status": "completed",
        "direction": "inbound" if parent is None else "outbound-dial",
    }
    return msgspec.convert(wire | given, CallResource)


def page(request: ListCalls, rows: list[CallResource], following: PageRef | None) -> Page[Any]:
    """A page as the client makes it."""
    return Page(request, tuple(rows), next=following, rows_read=len(rows))


def sends(requests: Iterable[Request]) -> list[Send]:
    """The plan for requests that no scan would be right for."""
    steps = plan(requests, Known(NOON), Costs(), Policy())
    return [step for step in steps if isinstance(step, Send)]


@st.composite
def families(draw: st.DrawFn) -> list[CallResource]:
    """An account newest first: each child was created after its parent, or in the same second."""
    size = draw(st.integers(1, 14))
    born: list[tuple[int, int | None]] = []
    second = 0
    for number in range(size):
        second += draw(st.integers(0, 2))
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        born.append((second, parent))
    rows = [row(n, second - at, parent) for n, (at, parent) in enumerate(born)]
    return rows[::-1]


@given(families(), st.integers(1, 5), st.integers(0, 4))
def test_known_children_are_the_children_that_upstream_would_list(
    account: list[CallResource], page_size: int, pages: int
) -> None:
    known = Known(NOON)
    request = ListCalls(page_size=page_size)
    for index in range(pages):
        start = index * page_size
        rows = account[start : start + page_size]
        following = PageRef(index + 1, f"PA{start}") if account[start + page_size :] else None
        known.note(page(request, rows, following))
        request = request.at(PageRef(index + 1, f"PA{start}"))

    for parent in account:
        answer = known.answer(ListCalls(parent_call_sid=parent.sid))
        if answer is not None:
            wanted = [child for child in account if child.parent_call_sid == parent.sid]
            assert list(answer.value.rows) == wanted
    read = account[: pages * page_size]
    if len({call.date_created for call in read}) > 1 or read == account:
        assert all(known.answer(ListCalls(parent_call_sid=call.sid)) for call in read)


@given(families(), st.data())
def test_a_list_in_any_other_order_is_never_evidence_of_fewer_children(
    account: list[CallResource], data: st.DataObject
) -> None:
    """Whatever the order, what is called known holds every child that was on the page."""
    shuffled = data.draw(st.permutations(account))
    known = Known(NOON)
    known.note(page(ListCalls(page_size=50), shuffled, PageRef(1, "PAx")))

    for parent in shuffled:
        answer = known.answer(ListCalls(parent_call_sid=parent.sid))
        wanted = [child for child in shuffled if child.parent_call_sid == parent.sid]
        assert answer is None or list(answer.value.rows) == wanted


def test_a_page_that_leaves_a_gap_proves_nothing() -> None:
    known = Known(NOON)
    known.note(page(ListCalls(page_size=2), [row(4, 0), row(3, 1)], PageRef(1, "PA3")))
    known.note(page(ListCalls(page_size=2, page=PageRef(2, "PA2")), [row(1, 3)], None))

    assert known.answer(ListCalls(parent_call_sid=sid(3))) is not None
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_page_out_of_order_proves_nothing() -> None:
    known = Known(NOON)
    known.note(page(ListCalls(page_size=2), [row(1, 5), row(2, 0)], PageRef(1, "PA2")))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_list_that_descends_and_then_does_not_proves_nothing() -> None:
    known = Known(NOON)
    rows = [row(9, 0), row(1, 5), row(2, 3)]
    known.note(page(ListCalls(page_size=3), rows, PageRef(1, "PA2")))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_list_with_a_child_below_its_parent_proves_nothing() -> None:
    """In one second only, so that no date tells: more of them may stand on the next page."""
    known = Known(NOON)
    rows = [row(9, 0), row(1, 5), row(2, 5, parent=1)]
    known.note(page(ListCalls(page_size=3), rows, PageRef(1, "PA2")))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_a_page_named_by_its_number_goes_on_only_where_its_size_is_the_same() -> None:
    known = Known(NOON)
    known.note(page(ListCalls(page_size=2), [row(9, 0), row(8, 1)], PageRef(1)))
    known.note(page(ListCalls(page_size=5, page=PageRef(1)), [row(1, 9)], None))
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None

    known.note(page(ListCalls(page_size=2, page=PageRef(1)), [row(7, 2), row(6, 3)], PageRef(2)))
    assert known.answer(ListCalls(parent_call_sid=sid(6))) is not None


def test_a_list_that_was_not_seen_to_descend_proves_nothing() -> None:
    """All of one second: it may as well run oldest first, the children on its last page."""
    known = Known(NOON)
    known.note(page(ListCalls(page_size=2), [row(1, 0), row(2, 0)], PageRef(1, "PA2")))
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None

    known.note(page(ListCalls(page_size=2, page=PageRef(1, "PA2")), [row(3, 0)], None))
    assert known.answer(ListCalls(parent_call_sid=sid(1))) is not None


def test_a_filtered_list_proves_nothing_about_children() -> None:
    known = Known(NOON)
    request = ListCalls(status=CallStatus.COMPLETED)
    known.note(page(request, [row(1, 0)], None))

    assert known.answer(ListCalls(parent_call_sid=sid(1))) is None


def test_known_children_are_filtered_like_upstream_would() -> None:
    known = Known(NOON)
    rows = [row(3, 0, 1, status="busy"), row(2, 1, 1), row(1, 2)]
    known.note(page(ListCalls(), rows, None))

    answer = known.answer(ListCalls(parent_call_sid=sid(1), status=CallStatus.BUSY))
    assert answer is not None
    assert [call.sid for call in answer.value.rows] == [sid(3)]


def test_only_an_outbound_call_that_was_never_answered_has_no_children_for_certain() -> None:
    known = Known(NOON)
    for number, (direction, status) in enumerate(
        [
            ("outbound-api", "busy"),
            ("outbound-dial", "no-answer"),
            ("outbound-api", "canceled"),
            ("outbound-api", "failed"),
            ("outbound-api", "ringing"),
            ("outbound-api", "completed"),
            ("inbound", "busy"),
            ("inbound", "canceled"),
        ]
    ):
        known.note(row(number, 0, direction=direction, status=status))

    certain = [n for n in range(8) if known.answer(ListCalls(parent_call_sid=sid(n)))]
    assert certain == [0, 1, 2, 3]


def test_a_call_seen_in_any_list_is_known() -> None:
    known = Known(NOON)
    known.note(page(ListCalls(status=CallStatus.COMPLETED), [row(1, 0)], None))

    assert known.answer(FetchCall(sid=sid(1))) == Answer(row(1, 0))
    assert known.answer(FetchCall(sid=sid(2))) is None


def test_a_recording_is_not_known_from_a_list_whose_form_lacks_properties() -> None:
    assert Known(NOON).answer(FetchRecording(sid="RE" + "0" * 32)) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12))
def test_first_pages_of_one_list_are_one_request_of_the_largest_size(
    asked: list[tuple[int, int]],
) -> None:
    requests = {ListCalls(to=str(to), page_size=size) for to, size in asked}
    steps = sends(requests)

    largest = {str(to): max(size for same, size in asked if same == to) for to, _ in asked}
    assert {step.request for step in steps} == {
        ListCalls(to=to, page_size=size) for to, size in largest.items()
    }
    assert len(steps) == len(largest)
    served = [request for step in steps for request in step.serves]
    assert sorted(served, key=repr) == sorted(requests, key=repr)


def test_a_later_page_stays_a_request_of_its_own() -> None:
    first = ListRecordings(call_sid=sid(1))
    later = first.at(PageRef(1, "PAx"))

    assert [step.request for step in sends([first, later])] == [first, later]
    assert first.page == TOP
