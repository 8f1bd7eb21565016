"""When childCalls are read upward, where that starts, and when it stops."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.planner import Costs, OperationCache, Policy, Scan, plan
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.requests import FIRST_PAGE, Page, PageRef
from tests.listed_account import call, call_sid

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
YESTERDAY = datetime(2026, 3, 9, 12, tzinfo=UTC)
FORTY = [call(n, YESTERDAY - timedelta(minutes=n), 60, "completed") for n in range(40)]
OLDEST = FORTY[-1].sid
MADE_TOKEN = PageRef.before(OLDEST)


def costs(per_day: float, token: str | None = None) -> Costs:
    """The costs of an account with this many calls a day, whose links had this `token`.

    Where there are many, a page from the list's top was seen not to come down to yesterday.
    """
    learned = Costs(rows_per_day={"calls": per_day})
    if per_day > 1000:
        newest = call(99, NOW - timedelta(hours=1), 60, "completed")
        learned.learn(Page(ListCalls(page_size=1000), (newest,), PageRef(1, "x"), rows_read=1))
    if token is not None:
        learned.learn_links(Page(ListCalls(), tuple(FORTY), PageRef(1, token), rows_read=40))
    return learned


def scans(learned: Costs, known: OperationCache, rows: list[CallResource] = FORTY) -> list[Scan]:
    """The planned scans for the children of these calls."""
    keys = [ListCalls(parent_call_sid=row.sid) for row in rows]
    return [s for s in plan(keys, known, learned, Policy()) if isinstance(s, Scan)]


def cache_with(*read: CallResource | Page[CallResource]) -> OperationCache:
    """The cache of an operation that has read these calls or pages."""
    cache = OperationCache(NOW)
    for answer in read:
        cache.record(answer)
    return cache


def first_pages(planned: list[Scan]) -> list[PageRef]:
    """The first pages of the scans."""
    return [request.page for scan in planned for request in scan.next_requests()]


def test_the_top_is_read_where_it_is_near_and_no_token_has_to_be_made() -> None:
    assert first_pages(scans(costs(200, f"PA{OLDEST}"), cache_with(*FORTY))) == [FIRST_PAGE]


def test_a_token_is_made_where_the_top_is_far_and_links_were_seen_to_name_rows() -> None:
    (scan,) = scans(costs(20_000, f"PA{OLDEST}"), cache_with(*FORTY))

    assert first_pages([scan]) == [MADE_TOKEN]
    assert ListCalls(parent_call_sid=OLDEST) not in scan.keys
    assert len(scan.keys) == 39


@pytest.mark.parametrize("token", [None, "opaque", f"PA{call_sid(7)}", f"PB{OLDEST}"])
def test_no_token_is_made_where_links_were_not_seen_to_name_rows(token: str | None) -> None:
    assert scans(costs(20_000, token), cache_with(*FORTY)) == []


def test_upstreams_own_link_is_followed_where_the_calls_were_read_in_the_list() -> None:
    link = PageRef(3, "whatever")
    request = ListCalls(page=PageRef(4, "some"))
    (scan,) = scans(costs(20_000, "opaque"), cache_with(Page(request, tuple(FORTY), previous=link)))

    assert first_pages([scan]) == [link]
    assert len(scan.keys) == 40


def test_a_row_of_the_windows_very_last_second_is_not_past_it() -> None:
    """Another row of that second, a child, may stand above it."""
    learned = costs(20_000, f"PA{OLDEST}")
    newest_of_forty = YESTERDAY + timedelta(seconds=60, minutes=10)
    for seconds, is_certain in ((0, False), (1, True)):
        operation = cache_with(*FORTY)
        (scan,) = scans(learned, operation)
        (request,) = scan.next_requests()
        above = call(99, newest_of_forty + timedelta(seconds=seconds), 60, "completed")
        page = Page(request, (above, *FORTY[:-1]), rows_read=40)
        operation.record(page)
        assert (ListCalls(parent_call_sid=FORTY[0].sid) in scan.receive(page)) is is_certain


def test_after_too_many_pages_in_vain_no_token_is_made_until_a_page_proves_something() -> None:
    learned = costs(20_000, f"PA{OLDEST}")
    for _ in range(8):
        assert first_pages(scans(learned, cache_with(*FORTY))) == [MADE_TOKEN]
    assert scans(learned, cache_with(*FORTY)) == []

    learned.record_proved_page()
    operation = cache_with(*FORTY)
    (scan,) = scans(learned, operation)
    (request,) = scan.next_requests()
    newer = [call(99, YESTERDAY + timedelta(hours=1), 60, "completed")]
    page = Page(request, tuple(newer + FORTY[:-1]), rows_read=40)
    operation.record(page)
    assert len(scan.receive(page)) == 39
    for _ in range(8):
        assert first_pages(scans(learned, cache_with(*FORTY))) == [MADE_TOKEN]


def test_a_call_that_lasted_too_long_for_the_page_is_requested_per_key() -> None:
    long = call(50, YESTERDAY - timedelta(minutes=5), 7 * 3600, "completed")
    (scan,) = scans(costs(20_000, f"PA{OLDEST}"), cache_with(*FORTY, long), [*FORTY, long])

    assert ListCalls(parent_call_sid=long.sid) not in scan.keys
    assert len(scan.keys) == 39


def test_calls_far_from_one_another_are_not_read_upward() -> None:
    """Each would need a page of its own, which saves no request."""
    rows = [call(n, YESTERDAY - timedelta(hours=2 * n), 60, "completed") for n in range(9)]

    assert scans(costs(20_000, f"PA{rows[-1].sid}"), cache_with(*rows), rows) == []


def scan_from_middle(rows: list[CallResource]) -> tuple[OperationCache, Scan]:
    """The cache of an operation that has read rows from the middle of the list, and its scan."""
    link, below = PageRef(3, "above"), PageRef(5, "below")
    request = ListCalls(page=PageRef(4, "some"))
    operation = cache_with(Page(request, tuple(rows), below, link, rows_read=len(rows)))
    (scan,) = scans(costs(2_000, "opaque"), operation, rows)
    return operation, scan


def answered(operation: OperationCache, scan: Scan, page: Page[CallResource]) -> int:
    """How many keys a page makes certain."""
    operation.record(page)
    return len(scan.receive(page))


def test_a_scan_continues_upward_until_the_ends_are_passed() -> None:
    operation, scan = scan_from_middle(FORTY)
    assert ListCalls(parent_call_sid=OLDEST) not in scan.keys  # it alone would need one more page
    (request,) = scan.next_requests()
    newer = call(98, YESTERDAY + timedelta(seconds=30), 60, "completed")
    above = PageRef(2, "far above")
    assert (
        answered(operation, scan, Page(request, (newer,), request.page, above, rows_read=1)) == 28
    )
    (following,) = scan.next_requests()

    assert following.page == above
    past = call(99, YESTERDAY + timedelta(hours=1), 60, "completed")
    assert answered(operation, scan, Page(following, (past,), request.page, rows_read=1)) == 11


def test_a_scan_continues_downward_until_the_last_second_is_passed() -> None:
    """A single call of that second would be requested per key."""
    twin = call(77, YESTERDAY - timedelta(minutes=39), 60, "completed")
    operation, scan = scan_from_middle([*FORTY, twin])
    assert len(scan.keys) == 41
    (request,) = scan.next_requests()
    past = call(99, YESTERDAY + timedelta(hours=1), 60, "completed")
    assert answered(operation, scan, Page(request, (past,), PageRef(4, "some"), rows_read=1)) == 39
    (following,) = scan.next_requests()

    assert following.page == PageRef(5, "below")
    assert following.page_size == 50
    older = call(98, YESTERDAY - timedelta(hours=1), 60, "completed")
    assert answered(operation, scan, Page(following, (older,), PageRef(6, "x"), rows_read=1)) == 2


def test_nothing_is_read_beside_a_page_with_a_row_left_out() -> None:
    operation, scan = scan_from_middle(FORTY)
    (request,) = scan.next_requests()
    page = Page(request, (), request.page, PageRef(2, "x"), rows_read=1, left_out=1)

    assert answered(operation, scan, page) == 27  # those whose ends the first page is past
    assert scan.next_requests() == []


def test_the_lists_top_is_tried_while_its_reach_is_unknown() -> None:
    """The first time, and for calls newer than the known reach."""
    learned = Costs(rows_per_day={"calls": 20_000.0})
    (scan,) = scans(learned, cache_with(*FORTY))
    (request,) = scan.next_requests()
    assert (request.page, request.page_size) == (FIRST_PAGE, 1000)
    assert len(scan.keys) == 40

    learned.learn(Page(request, (FORTY[0],), PageRef(1, "x"), rows_read=1))
    assert scans(learned, cache_with(*FORTY)) == []
    few = Costs(rows_per_day={"calls": 200.0})
    few.learn_reach(ListCalls(), YESTERDAY)
    assert scans(few, cache_with(*FORTY)) == []
    few.learn_reach(ListCalls(), YESTERDAY - timedelta(hours=1))
    assert first_pages(scans(few, cache_with(*FORTY))) == [FIRST_PAGE]


def test_the_top_is_read_where_nothing_newer_is_known_above_a_page() -> None:
    """By the link above, calls whose end no row is past would be requested per key."""
    link = PageRef(3, "whatever")
    request = ListCalls(page=PageRef(4, "some"))
    learned = Costs(rows_per_day={"calls": 400.0})
    page = Page(request, tuple(FORTY), previous=link)
    newer = call(98, YESTERDAY + timedelta(hours=1), 60, "completed")

    assert first_pages(scans(learned, cache_with(page))) == [FIRST_PAGE]
    assert first_pages(scans(learned, cache_with(page, newer))) == [link]


def test_a_token_is_made_of_a_call_that_is_known_to_be_older() -> None:
    """Its page also shows the calls just below the batch, if there are any."""
    older = call(60, YESTERDAY - timedelta(minutes=41), 60, "completed")
    (scan,) = scans(costs(20_000, f"PA{OLDEST}"), cache_with(*FORTY, older))

    assert first_pages([scan]) == [PageRef.before(older.sid)]
    assert ListCalls(parent_call_sid=OLDEST) not in scan.keys


def test_with_a_made_token_calls_of_the_oldest_second_are_requested_per_key() -> None:
    twin = call(77, YESTERDAY - timedelta(minutes=39), 60, "completed")
    (scan,) = scans(costs(20_000, f"PA{OLDEST}"), cache_with(*FORTY, twin), [*FORTY, twin])

    assert len(scan.keys) == 39
