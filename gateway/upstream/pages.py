"""Following next_page_uri, safely.

The seed document: "you may want to use the provided nextpageuri rather than incrementing through
the pages by page number". Of the link we take upstream's page token and leave the rest: a link to
another origin, account or list is refused, so no credential can be led astray. This module must
not know how a page is fetched.

Note [Where a walk ends]. A list ends with the page that has no link, or whose link names a page
that the walk has read already. A walk also ends, with an error, at its page budget, at its row
budget, and after MAX_IDLE pages in a row that brought nothing new but named ever new pages: such a
list may go on for ever, or have rows further on, and nobody can tell. A row that comes again is
dropped.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from gateway.errors import BudgetExceeded, UpstreamInvalid
from gateway.upstream.requests import API_ROOT, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = [
    "Budget",
    "Following",
    "PageWalk",
    "ReadPage",
    "downward",
    "page_ref",
    "tokens_name_rows",
]

R = TypeVar("R", bound=Resource)
ReadPage = Callable[[ListRequest[R]], Awaitable[Page[R]]]
# The pages that may be read after a page, the best first.
Following = Callable[[Page[R]], Iterable[PageRef | None]]
MAX_TOKEN_LENGTH = 256
NAMES_ROW = re.compile("P[AB](CA|RE|NO)[0-9a-f]{32}")
# Pages in a row without a new row: Twilio was reported to send some (FACTS section 12).
MAX_IDLE = 3


def page_ref(link: Any, list_url: str, index: int) -> PageRef | None:
    """The page that a next_page_uri or previous_page_uri of the list at `list_url` names.

    `index` is the page's number if the link does not say. Raises UpstreamInvalid unless the link
    stays on the same scheme, host, port and path. Behind a proxy that serves the API below a path
    of its own, upstream's links lack that path: they are of the list, too.
    """
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise UpstreamInvalid("Upstream sent a page link that is not a text")
    here, there = urlsplit(list_url), _follow(list_url, link)
    upstreams_own_path = here.path[here.path.rindex(API_ROOT) :]
    if (here.scheme, here.netloc) != (there.scheme, there.netloc) or (
        there.path not in {here.path, upstreams_own_path}
    ):
        raise UpstreamInvalid("Upstream sent a page link that leaves the list")
    query = parse_qs(there.query)
    return PageRef(_index(query.get("Page"), index), _token(query.get("PageToken")))


def _follow(list_url: str, link: str) -> SplitResult:
    try:
        return urlsplit(urljoin(list_url, link))
    except ValueError:
        raise UpstreamInvalid("Upstream sent a page link that is not a URL") from None


def _index(given: list[str] | None, otherwise: int) -> int:
    text = given[0] if given else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def _token(given: list[str] | None) -> str | None:
    token = given[0] if given else None
    if token is not None and len(token) > MAX_TOKEN_LENGTH:
        raise UpstreamInvalid("Upstream sent a page token of absurd length")
    return token


def tokens_name_rows(page: Page[Any]) -> bool:
    """True where upstream's tokens name rows, as FACTS section 5 shows: PA or PB and a SID.

    Upstream's contract calls tokens opaque, so its own links beside the page decide; a page without
    links was reached by such a token, or it does not tell.
    """
    if page.next is not None:
        return page.next.token in [f"PA{sid}" for sid in page.sids[-1:]]
    if page.previous is not None:
        return page.previous.token in [f"PB{sid}" for sid in page.sids[:1]]
    return bool(NAMES_ROW.fullmatch(page.request.page.token or ""))


@dataclass
class Budget:
    """How much one connection may still read. Raises BudgetExceeded before the page too many."""

    pages: int
    rows: int

    def admit_page(self) -> None:
        """To be called before a page is read."""
        if self.pages <= 0 or self.rows <= 0:
            raise BudgetExceeded("This list takes more upstream pages than allowed: narrow it")
        self.pages -= 1

    def count_rows(self, rows: int) -> None:
        """To be called after a page was read."""
        self.rows -= rows


def downward(page: Page[R]) -> Iterable[PageRef | None]:
    """The page below a page: upstream's own link."""
    return (page.next,)


class PageWalk(Generic[R]):
    """One list read page by page, each row once. See Note [Where a walk ends].

    `next` is the page to be read next, None at the end; `pages` counts those that were read.
    `page_size` is that of the pages after the first. `following` names the pages that may come
    after a page; the walk reads the first that it has not read yet.
    """

    def __init__(
        self,
        read: ReadPage[R],
        start: ListRequest[R] | None,
        budget: Budget,
        *,
        page_size: int,
        following: Following[R] = downward,
    ) -> None:
        self.next = start
        self.pages = 0
        self._read = read
        self._page_size = page_size
        self._budget = budget
        self._following = following
        self._read_pages: set[str | int] = set()
        self._rows: set[str] = set()
        self._idle = 0

    def shrink(self, page_size: int) -> None:
        """From now on smaller pages, where the page's number does not depend on its size."""
        self._page_size = min(page_size, self._page_size)
        if self.next is not None:
            size = min(page_size, self.next.page_size)
            self.next = self.next.at(self.next.page, size)

    async def turn(self) -> Page[R] | None:
        """The next page, with the rows not yet seen, and with no link to a page that was read.

        None at the end of the list.

        Raises UpstreamInvalid after too many pages that brought nothing, BudgetExceeded when the
        budget is spent, and what reading a page raises; `next` is then the page that was not read.
        """
        request = self.next
        if request is None:
            return None
        if self._idle >= MAX_IDLE:
            raise UpstreamInvalid("Upstream names ever new pages that bring nothing new")
        self._budget.admit_page()
        page = await self._read(request)
        self._budget.count_rows(page.rows_read)
        self.pages += 1
        self._read_pages.add(request.page.place)
        self.next = self._after(request, page)
        unseen = {row.sid: row for row in page.rows if row.sid not in self._rows}
        self._rows.update(unseen)
        is_idle = not unseen and page.rows_read <= len(page.rows)
        self._idle = self._idle + 1 if is_idle else 0
        leads_back = page.next is not None and page.next.place in self._read_pages
        following = None if leads_back else page.next
        return replace(page, rows=tuple(unseen.values()), next=following)

    def _after(self, request: ListRequest[R], page: Page[R]) -> ListRequest[R] | None:
        for ref in self._following(page):
            if ref is not None and ref.place not in self._read_pages:
                is_counted = ref.token is None and request.page.token is None
                return request.at(ref, request.page_size if is_counted else self._page_size)
        return None
