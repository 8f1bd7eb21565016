"""Following next_page_uri, safely: valid links are followed, all others refused; a walk ends."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from gateway.errors import BudgetExceeded, UpstreamInvalid
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.pages import MAX_TOKEN_LENGTH, Budget, PageWalk, page_ref, tokens_name_rows
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef
from tests.plain_twilio import ACCOUNT, ROOT, sid
from tests.upstream.stage import row

HOST = "https://api.twilio.com"
PATH = f"{ROOT}Calls.json"
LIST_URL = HOST + PATH
TOKEN = "PA" + sid("CA", 1)
QUERY = f"?PageSize=50&Page=1&PageToken={TOKEN}"
OTHER_ACCOUNT = PATH.replace(ACCOUNT, "AC" + "b" * 32)


@pytest.mark.parametrize(
    ("link", "ref"),
    [
        (PATH + QUERY, PageRef(1, TOKEN)),
        (LIST_URL + QUERY, PageRef(1, TOKEN)),
        (f"//api.twilio.com{PATH}{QUERY}", PageRef(1, TOKEN)),
        (f"{PATH}?To=%2B1&StartTime%3E=2008-01-02&Page=3&PageToken=PA%2B1", PageRef(3, "PA+1")),
        (f"{PATH}?PageToken={TOKEN}", PageRef(7, TOKEN)),
        (f"{PATH}?Page=2&PageSize=50", PageRef(2, None)),
        (f"{PATH}?Page=2&PageToken={TOKEN}#a", PageRef(2, TOKEN)),
        (f"./Calls.json{QUERY}", PageRef(1, TOKEN)),
        (f"{PATH}?Page=x&PageToken={TOKEN}", PageRef(7, TOKEN)),
        (f"{PATH}?Page=-1&PageToken={TOKEN}", PageRef(7, TOKEN)),
        (f"{PATH}?Page={'9' * 99}&PageToken={TOKEN}", PageRef(7, TOKEN)),
    ],
)
def test_an_honest_link_is_its_page_and_token(link: str, ref: PageRef) -> None:
    """The page's number is for upstream's own use: a bad one is replaced by counting."""
    assert page_ref(link, LIST_URL, 7) == ref


@pytest.mark.parametrize("link", [None, ""])
def test_no_link_is_the_end(link: str | None) -> None:
    assert page_ref(link, LIST_URL, 1) is None


@pytest.mark.parametrize(
    "link",
    [
        f"https://evil.example{PATH}{QUERY}",
        f"//evil.example{PATH}{QUERY}",
        f"http://api.twilio.com{PATH}{QUERY}",
        f"https://api.twilio.com:444{PATH}{QUERY}",
        f"https://api.twilio.com.evil.example{PATH}{QUERY}",
        f"https://api.twilio.com@evil.example{PATH}{QUERY}",
        f"https://user:pw@api.twilio.com{PATH}{QUERY}",
        f"https:\\\\evil.example{PATH}{QUERY}",
        f"https://evil.example\\@api.twilio.com{PATH}{QUERY}",
        f"ftp://api.twilio.com{PATH}{QUERY}",
        "javascript:alert(1)",
        "file:///etc/passwd",
        OTHER_ACCOUNT + QUERY,
        f"{ROOT}Recordings.json{QUERY}",
        f"{ROOT}Calls/{sid('CA', 1)}.json{QUERY}",
        f"{ROOT}Calls.xml{QUERY}",
        f"{ROOT}Calls.json/{QUERY}",
        f"{ROOT}../{'AC' + 'b' * 32}/Calls.json{QUERY}",
        f"{ROOT}%2e%2e/Calls.json{QUERY}",
        f"{ROOT}Calls/../../Calls.json{QUERY}",
        f"/2008-08-01{PATH}{QUERY}",
        "Recordings.json" + QUERY,
        f"{PATH}%0d%0aHost:evil.example{QUERY}",
        "http://[",
        "//[::1",
        "https://api.twilio.com:99x" + PATH,
        f"{PATH}?PageToken={'P' * (MAX_TOKEN_LENGTH + 1)}",
        5,
        True,
        ["/"],
        {"uri": PATH},
    ],
)
def test_a_link_that_leaves_the_list_is_refused(link: Any) -> None:
    with pytest.raises(UpstreamInvalid) as caught:
        page_ref(link, LIST_URL, 1)
    assert "evil" not in str(caught.value)


def test_a_token_is_sent_as_a_value_whatever_it_holds() -> None:
    """A line break in a token ends up percent-encoded in our own query, never in a header."""
    ref = page_ref(f"{PATH}?Page=1&PageToken=PA%0d%0aHost:evil&x=1", LIST_URL, 1)

    assert ref == PageRef(1, "PA\r\nHost:evil")
    assert ref.query() == (("Page", "1"), ("PageToken", "PA\r\nHost:evil"))


def test_behind_a_proxy_with_a_path_of_its_own_upstreams_links_still_lead_on() -> None:
    """Twilio writes links from its own root; the proxy serves that root somewhere below."""
    proxied = f"http://proxy.internal:8080/twilio/eu{PATH}"

    assert page_ref(PATH + QUERY, proxied, 1) == PageRef(1, TOKEN)
    assert page_ref(f"/twilio/eu{PATH}{QUERY}", proxied, 1) == PageRef(1, TOKEN)
    for link in (f"/twilio{PATH}", f"/other{PATH}", OTHER_ACCOUNT, LIST_URL):
        with pytest.raises(UpstreamInvalid):
            page_ref(link + QUERY, proxied, 1)


class FakeList:
    """Pages of call numbers by their place; `onwards` has the next link of each."""

    def __init__(
        self, pages: Mapping[str | int, Iterable[int]], onwards: Mapping[str | int, PageRef]
    ) -> None:
        self._pages = pages
        self._onwards = onwards
        self.read: list[ListRequest[CallResource]] = []

    async def page(self, request: ListRequest[CallResource]) -> Page[CallResource]:
        """One page."""
        self.read.append(request)
        sids = [sid("CA", number) for number in self._pages[request.page.key]]
        ref = self._onwards.get(request.page.key)
        rows = tuple(row(CallResource, sid=one) for one in sids)
        return Page(request, rows, next=ref, previous=None, rows_read=len(rows))


def walk(fake_list: FakeList, pages: int = 40, rows: int = 40_000) -> PageWalk[CallResource]:
    """A walk of the book from its top."""
    return PageWalk(fake_list.page, ListCalls(page_size=2), Budget(pages, rows), page_size=1000)


async def numbers(walk: PageWalk[CallResource]) -> list[list[int]]:
    """The call numbers of each page of the walk."""
    pages = []
    while (page := await walk.next_page()) is not None:
        pages.append([int(row.sid[2:], 16) for row in page.rows])
    return pages


async def test_a_walk_reads_page_after_page_to_the_end_with_the_size_of_the_later_pages() -> None:
    fake_list = FakeList(
        {0: [1, 2], "b": [3, 4], "c": [5]}, {0: PageRef(1, "b"), "b": PageRef(2, "c")}
    )
    page_walk = walk(fake_list)

    assert await numbers(page_walk) == [[1, 2], [3, 4], [5]]
    assert (page_walk.next, page_walk.pages) == (None, 3)
    assert [(r.page, r.page_size) for r in fake_list.read] == [
        (FIRST_PAGE, 2),
        (PageRef(1, "b"), 1000),
        (PageRef(2, "c"), 1000),
    ]


async def test_a_walk_that_shrinks_reads_smaller_pages_but_where_the_number_counts() -> None:
    by_token = walk(FakeList({0: [1, 2], "b": [3]}, {0: PageRef(1, "b")}))
    by_number = walk(FakeList({0: [1, 2], 1: [3]}, {0: PageRef(1)}))
    for page_walk in (by_token, by_number):
        await page_walk.next_page()
        page_walk.limit_page_size(50)

    assert by_token.next is not None
    assert by_number.next is not None
    assert (by_token.next.page_size, by_number.next.page_size) == (50, 2)


async def test_by_numbers_every_page_has_the_size_of_the_first_even_back_at_the_top() -> None:
    """A page's number says where it begins only together with its size."""
    fake_list = FakeList({2: [5], 1: [3, 4], 0: [1, 2]}, {})
    start = ListCalls(page=PageRef(2), page_size=2)

    def above(page: Page[CallResource]) -> Iterable[PageRef | None]:
        index = page.request.page.index
        return [None, PageRef(index - 1) if index else None]

    page_walk = PageWalk(fake_list.page, start, Budget(9, 9), page_size=1000, following=above)

    assert await numbers(page_walk) == [[5], [3, 4], [1, 2]]
    assert [r.page_size for r in fake_list.read] == [2, 2, 2]


async def test_a_row_that_comes_again_is_dropped() -> None:
    """Calls that arrive during the walk push rows onto the next page (seed, paging)."""
    fake_list = FakeList({0: [1, 2], "b": [2, 3, 3]}, {0: PageRef(1, "b")})

    assert await numbers(walk(fake_list)) == [[1, 2], [3]]


@pytest.mark.parametrize(
    "back",
    [PageRef(1, "b"), PageRef(9, "b"), PageRef(0, None)],
    ids=["itself", "itself under another number", "the top"],
)
async def test_a_link_to_a_page_that_was_read_is_the_lists_end(back: PageRef) -> None:
    """It was an error; the rows that were read are all that there are."""
    fake_list = FakeList({0: [1], "b": [2]}, {0: PageRef(1, "b"), "b": back})
    page_walk = walk(fake_list)
    pages = [page async for page in pages_of(page_walk)]

    assert [[int(row.sid[2:], 16) for row in page.rows] for page in pages] == [[1], [2]]
    assert pages[-1].next is None
    assert len(fake_list.read) == 2


async def pages_of(walk: PageWalk[CallResource]) -> AsyncIterator[Page[CallResource]]:
    """The pages of the walk."""
    while (page := await walk.next_page()) is not None:
        yield page


@pytest.mark.parametrize("rows", [[], [1]], ids=["empty", "rows that came before"])
async def test_three_pages_in_a_row_that_bring_nothing_new_end_the_walk(rows: list[int]) -> None:
    """Ever new pages may go on for ever: the page that was not read is where to go on."""
    endless = FakeList(
        {n: [1] if n == 0 else rows for n in range(10)},
        {n: PageRef(n + 1, None) for n in range(10)},
    )
    page_walk = walk(endless)

    with pytest.raises(UpstreamInvalid, match="ever new pages"):
        await numbers(page_walk)
    assert len(endless.read) == 4
    assert page_walk.next is not None
    assert page_walk.next.page == PageRef(4)


async def test_two_empty_pages_in_a_row_do_not_end_the_walk() -> None:
    fake_list = FakeList(
        {0: [1], 1: [], 2: [], 3: [2], 4: [], 5: [], 6: [3]},
        {n: PageRef(n + 1, None) for n in range(6)},
    )

    assert await numbers(walk(fake_list)) == [[1], [], [], [2], [], [], [3]]


async def test_rows_that_pass_no_filter_are_not_nothing() -> None:
    """Upstream sent rows: the list goes on, as far as the budget allows."""
    read: list[int] = []

    async def page(request: ListRequest[CallResource]) -> Page[CallResource]:
        index = request.page.index
        read.append(index)
        return Page(request, (), next=PageRef(index + 1) if index < 9 else None, rows_read=2)

    page_walk = PageWalk(page, ListCalls(page_size=2), Budget(40, 400), page_size=2)
    await numbers(page_walk)

    assert read == list(range(10))


async def test_a_walk_stops_before_the_page_that_its_budget_does_not_allow() -> None:
    endless = FakeList(
        {n: [n] for n in range(10)}, {n: PageRef(n + 1, None) for n in range(10)}
    )  # fmt: skip

    with pytest.raises(BudgetExceeded):
        await numbers(walk(endless, pages=3))
    assert len(endless.read) == 3


async def test_a_walk_stops_when_its_rows_are_spent() -> None:
    endless = FakeList({n: range(5 * n, 5 * n + 5) for n in range(10)},
                   {n: PageRef(n + 1, None) for n in range(10)})  # fmt: skip

    with pytest.raises(BudgetExceeded):
        await numbers(walk(endless, rows=10))
    assert len(endless.read) == 2


async def test_rows_that_were_read_and_dropped_are_paid_for_too() -> None:
    repeating = FakeList({n: [1, 2, 3, 4, 5] for n in range(10)},
                     {n: PageRef(n + 1, None) for n in range(10)})  # fmt: skip

    with pytest.raises(BudgetExceeded):
        await numbers(walk(repeating, rows=10))
    assert len(repeating.read) == 2


async def test_of_several_pages_that_may_follow_the_first_that_was_not_read_is_read() -> None:
    fake_list = FakeList(
        {"c": [5], "b": [3, 4], 0: [1, 2]}, {"c": PageRef(1, "b"), "b": PageRef(2, "c")}
    )

    def above(page: Page[CallResource]) -> Iterable[PageRef | None]:
        return [page.next, None, FIRST_PAGE]

    start = ListCalls(page=PageRef(2, "c"), page_size=2)
    page_walk = PageWalk(fake_list.page, start, Budget(9, 99), page_size=50, following=above)

    assert await numbers(page_walk) == [[5], [3, 4], [1, 2]]
    assert [r.page for r in fake_list.read] == [PageRef(2, "c"), PageRef(1, "b"), FIRST_PAGE]


async def test_a_walk_from_nowhere_is_at_its_end() -> None:
    page_walk: PageWalk[CallResource] = PageWalk(
        FakeList({}, {}).page, None, Budget(1, 1), page_size=50
    )

    assert page_walk.next is None
    assert await page_walk.next_page() is None


def named(token: str | None) -> PageRef | None:
    """A link with this token."""
    return PageRef(1, token) if token else None


@pytest.mark.parametrize(
    ("following", "previous", "own", "names_rows"),
    [
        (f"PA{sid('CA', 3)}", None, None, True),
        (f"PA{sid('CA', 2)}", None, None, False),  # not the last row: it has another meaning
        (f"PB{sid('CA', 3)}", None, None, False),
        ("b3BhcXVl", None, f"PA{sid('CA', 0)}", False),
        (None, f"PB{sid('CA', 1)}", None, True),
        (None, f"PB{sid('CA', 3)}", None, False),
        (None, "b3BhcXVl", f"PA{sid('CA', 0)}", False),
        (None, None, f"PA{sid('CA', 0)}", True),
        (None, None, f"PB{sid('CA', 4)}", True),
        (None, None, "b3BhcXVl", False),
        (None, None, None, False),
    ],
)
def test_a_token_is_made_only_where_upstreams_own_name_rows(
    following: str | None, previous: str | None, own: str | None, names_rows: bool
) -> None:
    """docs/twilio.md#5-lists shows the form; the contract calls tokens opaque."""
    request = ListCalls(page=named(own) or FIRST_PAGE)
    page: Page[CallResource] = Page(
        request,
        (),
        next=named(following),
        previous=named(previous),
        sids=(sid("CA", 1), sid("CA", 2), sid("CA", 3)),
    )

    assert tokens_name_rows(page) is names_rows


def test_a_page_by_number_names_no_row() -> None:
    numbered: Page[CallResource] = Page(
        ListCalls(), (), next=PageRef(1), sids=(sid("CA", 1), sid("CA", 3))
    )

    assert not tokens_name_rows(numbered)
