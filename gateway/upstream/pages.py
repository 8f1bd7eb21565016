"""Following next_page_uri, safely.

The seed document: "you may want to use the provided nextpageuri rather than incrementing through
the pages by page number". Of the link we take upstream's page token and leave the rest: a link to
another origin, account or list is refused, so no credential can be led astray. A walk stops at a
page that it has seen, at its page budget and at its row budget; a row that comes again is dropped.
This module must not know how a page is fetched.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from gateway.errors import BudgetExceeded, UpstreamInvalid
from gateway.upstream.requests import API_ROOT, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["Budget", "PageWalk", "ReadPage", "page_ref"]

R = TypeVar("R", bound=Resource)
ReadPage = Callable[[ListRequest[R]], Awaitable[Page[R]]]
MAX_TOKEN_LENGTH = 256


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


class PageWalk(Generic[R]):
    """One list read page by page, onwards or backwards, each row once.

    `page_size` is that of the pages after the first.
    """

    def __init__(
        self,
        read: ReadPage[R],
        start: ListRequest[R] | None,
        budget: Budget,
        *,
        page_size: int,
        backwards: bool = False,
    ) -> None:
        self._read = read
        self._next = start
        self._page_size = page_size
        self._budget = budget
        self._backwards = backwards
        self._pages: set[str | int] = set()
        self._rows: set[str] = set()

    @property
    def has_more(self) -> bool:
        """True when upstream named a further page in this direction."""
        return self._next is not None

    def skip(self, sid: str) -> None:
        """Treats a row as seen."""
        self._rows.add(sid)

    async def turn(self) -> Page[R] | None:
        """The next page, with the rows not yet seen; None at the end of the list.

        Raises UpstreamInvalid when the list leads back to a page of this walk, BudgetExceeded
        when the budget is spent, and what reading a page raises.
        """
        if self._next is None:
            return None
        request = self._next
        if request.page.place in self._pages:
            raise UpstreamInvalid("Upstream's page links lead in a circle")
        self._pages.add(request.page.place)
        self._budget.admit_page()
        page = await self._read(request)
        self._budget.count_rows(page.rows_read)
        ref = page.previous if self._backwards else page.next
        self._next = request.at(ref, self._page_size) if ref else None
        return self._unseen(page)

    def _unseen(self, page: Page[R]) -> Page[R]:
        unseen = {row.sid: row for row in page.rows if row.sid not in self._rows}
        self._rows.update(unseen)
        # The next page begins after the page's last row: not after another that is the last left.
        ends_whole = not page.rows or page.rows[-1].sid in unseen
        rows = tuple(unseen.values())
        return replace(page, rows=rows, next=page.next if ends_whole else None)
