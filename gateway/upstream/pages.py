"""Following next_page_uri, safely.

The seed document: "you may want to use the provided nextpageuri rather than incrementing through
the pages by page number". The gateway uses only the page number and token of a link, and refuses a
link to another origin, account or list, so a link cannot lead the credential elsewhere. This module
must not know how a page is fetched.

Note [Where a walk ends]. A list ends with a page that has no link, or whose link names a page that
the walk has read already. A walk also ends, with an error, at its page budget, at its row budget,
and after MAX_IDLE pages in a row without a new row that still link to further pages: such a list
may be endless, or may have rows further on. A row that comes again is dropped.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

import msgspec

from gateway.errors import BudgetExceeded, UpstreamInvalid
from gateway.upstream.requests import API_ROOT, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = [
    "Budget",
    "NextPages",
    "PageWalk",
    "ReadPage",
    "next_page_link",
    "page_ref",
    "tokens_name_rows",
]

R = TypeVar("R", bound=Resource)
ReadPage = Callable[[ListRequest[R]], Awaitable[Page[R]]]
# The pages that may be read after a page, in order of preference.
NextPages = Callable[[Page[R]], Iterable[PageRef | None]]
MAX_TOKEN_LENGTH = 256
NAMES_ROW = re.compile("P[AB](CA|RE|NO)[0-9a-f]{32}")
# Pages in a row without a new row: Twilio was reported to send some
# (docs/twilio.md#12-reports-of-people-who-use-the-api).
MAX_IDLE = 3


def page_ref(link: Any, list_url: str, index: int) -> PageRef | None:
    """The page that a next_page_uri or previous_page_uri of the list at `list_url` names.

    `index` is the page's number if the link has none. Raises UpstreamInvalid unless the link keeps
    scheme, host, port and path of the list. A proxy may serve the API below a path of its own:
    upstream's links lack that path and are accepted, too.
    """
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise UpstreamInvalid("Upstream sent a page link that is not a string")
    list_parts = urlsplit(list_url)
    paths = (list_parts.path, list_parts.path[list_parts.path.rindex(API_ROOT) :])
    path, _, text = link.partition("?")
    if path not in paths or "#" in text:  # not the usual form
        parts = _resolve(list_url, link)
        if parts[:2] != list_parts[:2] or parts.path not in paths:
            raise UpstreamInvalid("Upstream sent a page link that leaves the list")
        text = parts.query
    query = parse_qs(text)
    return PageRef(_index(query.get("Page"), index), _token(query.get("PageToken")))


def _resolve(list_url: str, link: str) -> SplitResult:
    try:
        return urlsplit(urljoin(list_url, link))
    except ValueError:
        raise UpstreamInvalid("Upstream sent a page link that is not a URL") from None


def _index(values: list[str] | None, default: int) -> int:
    text = values[0] if values else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def _token(values: list[str] | None) -> str | None:
    token = values[0] if values else None
    if token is not None and len(token) > MAX_TOKEN_LENGTH:
        raise UpstreamInvalid("Upstream sent a page token that is too long")
    return token


def tokens_name_rows(page: Page[Any]) -> bool:
    """True where upstream's tokens name rows, as docs/twilio.md#5-lists shows: PA or PB and a SID.

    Twilio's documentation calls tokens opaque, so the links of the page decide; for a page without
    links, the token that it was requested with decides.
    """
    if page.next is not None:
        return page.next.token in [f"PA{sid}" for sid in page.sids[-1:]]
    if page.previous is not None:
        return page.previous.token in [f"PB{sid}" for sid in page.sids[:1]]
    return bool(NAMES_ROW.fullmatch(page.request.page.token or ""))


@dataclass
class Budget:
    """How many pages and rows one connection may still read."""

    pages: int
    rows: int

    def admit_page(self) -> None:
        """Call before a page is read. Raises BudgetExceeded when the budget is spent."""
        if self.pages <= 0 or self.rows <= 0:
            raise BudgetExceeded("This list takes more upstream pages than allowed: narrow it")
        self.pages -= 1

    def count_rows(self, rows: int) -> None:
        """Call after a page was read."""
        self.rows -= rows


def next_page_link(page: Page[R]) -> Iterable[PageRef | None]:
    """The next page, by upstream's own link."""
    return (page.next,)


class PageWalk(Generic[R]):
    """Reads one list page by page, each row once. See Note [Where a walk ends].

    `next` is the request for the next page, None at the end; `pages` counts the pages read.
    `page_size` is that of the pages after the first. `following` names the pages that may come
    after a page; the walk reads the first of them that it has not read yet.
    """

    def __init__(
        self,
        read: ReadPage[R],
        start: ListRequest[R] | None,
        budget: Budget,
        *,
        page_size: int,
        following: NextPages[R] = next_page_link,
    ) -> None:
        self.next = start
        self.pages = 0
        self._read = read
        self._page_size = page_size
        self._budget = budget
        self._following = following
        self._read_pages: set[str | int] = set()
        self._seen_sids: set[str] = set()
        self._idle = 0

    def limit_page_size(self, page_size: int) -> None:
        """Makes later pages smaller, except where a page number depends on the page size."""
        self._page_size = min(page_size, self._page_size)
        if self.next is not None:
            size = min(page_size, self.next.page_size)
            self.next = self.next.at(self.next.page, size)

    async def next_page(self) -> Page[R] | None:
        """The next page, with its new rows only and no link to a page that was read.

        None at the end of the list. Raises UpstreamInvalid after too many pages without a new row,
        BudgetExceeded when the budget is spent, and what reading a page raises; `next` is then the
        page that was not read.
        """
        request = self.next
        if request is None:
            return None
        if self._idle >= MAX_IDLE:
            raise UpstreamInvalid("Upstream links to ever new pages without a new row")
        self._budget.admit_page()
        page = await self._read(request)
        self._budget.count_rows(page.rows_read)
        self.pages += 1
        self._read_pages.add(request.page.key)
        self.next = self._next_request(request, page)
        new_rows = {row.sid: row for row in page.rows if row.sid not in self._seen_sids}
        self._seen_sids.update(new_rows)
        is_idle = not new_rows and page.rows_read <= len(page.rows)
        self._idle = self._idle + 1 if is_idle else 0
        is_loop = page.next is not None and page.next.key in self._read_pages
        if len(new_rows) == len(page.rows) and not is_loop:
            return page
        following = None if is_loop else page.next
        onward: Page[R] = msgspec.structs.replace(
            page, rows=tuple(new_rows.values()), next=following
        )
        return onward

    def _next_request(self, request: ListRequest[R], page: Page[R]) -> ListRequest[R] | None:
        for ref in self._following(page):
            if ref is not None and ref.key not in self._read_pages:
                is_by_number = ref.token is None and request.page.token is None
                return request.at(ref, request.page_size if is_by_number else self._page_size)
        return None
