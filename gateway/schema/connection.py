"""Relay connections over Twilio pages.

A connection reads one upstream list, or several merged newest first (one for each status), from a
cursor forwards or backwards until it has the requested rows. This module must not know what the
rows are.

Note [Cut short]. If reading fails after the very first page (a broken page, the deadline, a
budget), the connection keeps its rows. A warning and `isComplete` report it, `hasNextPage` is true,
and `endCursor` is the position of the last row that was read, even if that row did not match the
filter. So a client that continues from there makes progress. Relay has no such cursor; it is a
deliberate exception (docs/paging.md).

Note [First page]. Most connections are edges of many calls, whose rows are selected without their
cursors, and whose first upstream page has all that is requested. Then the rows of that page are the
nodes. A merge, which knows the position of each row, is made only if cursors or `pageInfo` are
selected, or if the first page is not enough.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import strawberry
from strawberry.federation.schema_directives import Shareable

from gateway.access import Scope
from gateway.errors import BadUserInput, BudgetExceeded, UpstreamError
from gateway.schema.arguments import list_page_size, page_size
from gateway.schema.context import Context, Info, field_path, selects
from gateway.schema.counting import DEFAULT_UP_TO, Counter, RowCount, UpTo, checked_up_to
from gateway.schema.cursors import Cursor, read_cursor, write_cursor
from gateway.schema.merging import Merge, MergedRow
from gateway.schema.streams import ListSource
from gateway.telemetry.upstream_trace import WarningCode
from gateway.upstream.calls import CallResource
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page
from gateway.upstream.resources import Resource

__all__ = [
    "Connection",
    "ConnectionPage",
    "Edge",
    "PageArgs",
    "PageInfo",
    "PageOrAwaitable",
    "read_connection",
    "read_edges",
    "require_lists",
]

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


@dataclass(frozen=True)
class PageArgs:
    """Which rows of a connection are requested: `size` rows after, or before, a cursor."""

    size: int
    cursor: str | None = None
    backwards: bool = False

    @classmethod
    def of(
        cls,
        info: Info,
        first: int | None,
        after: str | None,
        last: int | None = None,
        before: str | None = None,
    ) -> "PageArgs":
        """From Relay's four arguments. Raises BadUserInput if they cannot be combined."""
        size = page_size(first, last, info.context.limits.max_first)
        if last is None and before is None:
            return cls(size, after)
        if first is not None or after is not None:
            raise BadUserInput("Use first with after, or last with before, not both")
        if last is None or before is None:
            raise BadUserInput("last and before must go together: lists begin at the newest row")
        return cls(size, before, backwards=True)


class ConnectionEdge(Generic[R]):
    """A row and its cursor, which is written only if the field is selected."""

    __slots__ = ("_merged", "_page", "node")

    def __init__(
        self, node: R, page: "ConnectionPage[R]", merged: MergedRow[R] | None = None
    ) -> None:
        self.node = node
        self._merged = merged
        self._page = page

    @property
    def cursor(self) -> str:
        """Opaque text; see cursors."""
        assert self._merged  # noqa: S101 (Note [First page])
        return self._page.write(self._merged.cursor)


class ConnectionPage(Generic[R]):
    """One page of a connection: the source of the fields of Connection and PageInfo.

    See Note [Cut short].
    """

    def __init__(
        self, context: Context, lists: Sequence[ListRequest[R]], args: PageArgs, field: str
    ) -> None:
        self._context = context
        self._field = field
        self._lists = lists
        self._args = args
        self._is_cut_short = False
        self._is_whole = False
        self._left_out = 0
        self._more: bool | None = None
        self.nodes: list[R] = []
        self._merged: list[MergedRow[R]] = []

    @cached_property
    def _probe_lock(self) -> asyncio.Lock:
        return asyncio.Lock()

    @cached_property
    def _merge(self) -> Merge[R]:
        """Raises InvalidCursor."""
        context, cursor, budget = self._context, self._args.cursor, self._context.budget()
        sources = [ListSource(self._read_page, request, budget) for request in self._lists]
        after = None if cursor is None else read_cursor(cursor, context.cursor_key, self._lists)
        return Merge(sources, after, upward=self._args.backwards)

    @property
    def edges(self) -> list[ConnectionEdge[R]]:
        """The rows with their cursors."""
        if self._merged:
            return [ConnectionEdge(merged.entry.row, self, merged) for merged in self._merged]
        return [ConnectionEdge(row, self) for row in self.nodes]

    @property
    def page_info(self) -> "ConnectionPage[R]":
        """This page is the source of PageInfo's fields, too."""
        return self

    @property
    def is_complete(self) -> bool:
        """False if reading was cut short, or rows were left out."""
        return not self._is_cut_short and not self._left_out

    @property
    def start_cursor(self) -> str | None:
        """The first row's cursor or, if reading backwards was cut short, how far it was read."""
        if self._is_cut_short and self._args.backwards:
            return self.write(self._merge.frontier)
        return self.write(self._merged[0].cursor) if self._merged else None

    @property
    def end_cursor(self) -> str | None:
        """The last row's cursor or, if reading was cut short, how far it was read."""
        if self._is_cut_short and not self._args.backwards:
            return self.write(self._merge.frontier)
        return self.write(self._merged[-1].cursor) if self._merged else None

    async def has_next_page(self) -> bool:
        """True if older rows follow. May read on."""
        return True if self._args.backwards else await self._has_more()

    async def has_previous_page(self) -> bool:
        """True if newer rows precede. After a cursor they always do, so nothing is read."""
        return await self._has_more() if self._args.backwards else self._args.cursor is not None

    async def count(self, up_to: int) -> RowCount:
        """The rows of the whole list. See Note [Counts] in counting. Raises as `read`."""
        if self._is_whole:
            return RowCount.of(len(self.nodes), up_to, is_whole=not self._left_out)
        size, loaders = list_page_size(up_to), self._context.loaders
        requests = [each.at(FIRST_PAGE, max(each.page_size, size)) for each in self._lists]
        counter = Counter(
            lambda request: loaders.page(request, self._field), requests, self._context.budget()
        )
        try:
            is_whole = await counter.is_all_within(up_to)
        except (UpstreamError, BudgetExceeded) as error:
            self._warn_cut_short(error, counter.merge)
            is_whole = False
        return RowCount.of(counter.rows, up_to, is_whole=is_whole)

    def write(self, cursor: Cursor) -> str:
        """A cursor of this connection as text."""
        return write_cursor(cursor, self._context.cursor_key, self._lists)

    def read(self, *, with_positions: bool = True) -> "PageOrAwaitable[R]":
        """This page once its rows are read. See Note [First page].

        Raises InvalidCursor, and if a list's very first page fails.
        """
        is_first_page = len(self._lists) == 1 and self._args.cursor is None and self._args.size > 0
        if with_positions or not is_first_page:
            return self._read_merged()
        return self._context.loaders.load(self._lists[0], self._field, self._take_first_page)

    def _take_first_page(self, page: Page[R]) -> "PageOrAwaitable[R]":
        """Takes the rows of the one list's first page; reads on if it is not enough."""
        rows = list(page.rows)
        if len(rows) > 1:
            rows = list({row.sid: row for row in rows}.values())
        if len(rows) < self._args.size and page.next is not None:
            return self._read_merged()
        self._note_left_out(page)
        self._is_whole = page.next is None and len(rows) <= self._args.size
        self.nodes = rows[: self._args.size]
        return self

    async def _read_merged(self) -> "ConnectionPage[R]":
        merge = self._merge
        try:
            while len(self._merged) < self._args.size:
                merged = await merge.next()
                if merged is None:
                    self._is_whole = self._args.cursor is None
                    break
                self._merged.append(merged)
        except (UpstreamError, BudgetExceeded) as error:
            self._warn_cut_short(error, merge)
            self._is_cut_short = True
        if self._args.backwards:
            self._merged.reverse()
        self.nodes = [merged.entry.row for merged in self._merged]
        return self

    async def _has_more(self) -> bool:
        """True also if reading on failed: then there is a warning."""
        if self._is_cut_short:
            return True
        async with self._probe_lock:
            if self._more is None:
                try:
                    self._more = await self._merge.has_more()
                except (UpstreamError, BudgetExceeded) as error:
                    self._warn_cut_short(error, self._merge)
                    self._more = True
        return self._more

    def _warn_cut_short(self, error: UpstreamError | BudgetExceeded, merge: Merge[R]) -> None:
        """Warns that reading was cut short. Raises the error if a list has no page yet."""
        if not merge.has_begun:
            raise error
        trace = self._context.loaders.trace
        trace.warn(WarningCode.LIST_CUT_SHORT, self._field, reason=error.code)

    async def _read_page(self, request: ListRequest[R]) -> Page[R]:
        page = await self._context.loaders.page(request, self._field)
        self._note_left_out(page)
        return page

    def _note_left_out(self, page: Page[R]) -> None:
        """Warns of rows that upstream sent without a readable SID."""
        if page.left_out:
            self._left_out += page.left_out
            trace = self._context.loaders.trace
            trace.warn(WarningCode.ROWS_LEFT_OUT, self._field, page.left_out)


PageOrAwaitable = ConnectionPage[R] | Awaitable[ConnectionPage[R]]


def require_lists(info: Info, lists: Sequence[ListRequest[R]]) -> None:
    """Raises Forbidden if the caller lacks the scope for one of these lists.

    A list filtered by number shows whether that number had calls, so it requires the scope `pii`.
    """
    if any(request.names_person for request in lists):
        info.context.caller.require(Scope.PII, "A filter by number or address")


def read_connection(
    info: Info, lists: Sequence[ListRequest[R]], args: PageArgs
) -> PageOrAwaitable[R]:
    """The connection's page over these lists. Raises Forbidden, and as ConnectionPage.read."""
    require_lists(info, lists)
    page = ConnectionPage(info.context, lists, args, field_path(info))
    return page.read(with_positions=_selects_positions(info))


def read_edges(
    info: Info, calls: Sequence[CallResource], lists: Sequence[ListRequest[R]], args: PageArgs
) -> list[PageOrAwaitable[R]]:
    """The page of each of these calls over its own lists: `lists`, narrowed to the call.

    Raises as `read_connection`.
    """
    require_lists(info, lists)
    context, field, with_positions = info.context, field_path(info), _selects_positions(info)
    return [
        ConnectionPage(context, [each.of(call) for each in lists], args, field).read(
            with_positions=with_positions
        )
        for call in calls
    ]


def _selects_positions(info: Info) -> bool:
    """True if the operation selects what needs the position of rows, here or elsewhere."""
    return selects(info, "cursor") or selects(info, "pageInfo")


@strawberry.type(
    description="What precedes and follows a page of a connection (Relay).",
    directives=[Shareable()],
)
class PageInfo:
    """Relay's PageInfo; shareable, because every Relay subgraph has one."""

    start_cursor: str | None = strawberry.field(
        description="The cursor of the first edge. If reading backwards was cut short: the "
        "position up to which rows were read."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last edge. If reading was cut short: the position up to "
        "which rows were read, even if none matched the filter; continue from there."
    )

    @strawberry.field(description="Whether older rows follow.")
    @staticmethod
    async def has_next_page(page: strawberry.Parent[ConnectionPage[Resource]]) -> bool:
        """See ConnectionPage."""
        return await page.has_next_page()

    @strawberry.field(description="Whether newer rows precede.")
    @staticmethod
    async def has_previous_page(page: strawberry.Parent[ConnectionPage[Resource]]) -> bool:
        """See ConnectionPage."""
        return await page.has_previous_page()


@strawberry.type(description="One row of a connection, with its cursor (Relay).")
class Edge(Generic[T]):
    """Relay's edge; at run time a ConnectionEdge."""

    cursor: str = strawberry.field(description="The row's position, for `after` and `before`.")
    node: T = strawberry.field(description="The row.")


@strawberry.type(description="A page of a list, newest first (Relay).")
class Connection(Generic[T]):
    """Relay's connection, with `nodes` beside `edges`; at run time a ConnectionPage."""

    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    nodes: list[T] = strawberry.field(description="The rows without cursors.")
    page_info: PageInfo = strawberry.field(description="What precedes and follows this page.")
    is_complete: bool = strawberry.field(
        description="False if rows of this page are missing: reading the list was cut short, or "
        "upstream sent unreadable rows. `extensions.warnings` gives the cause; continue from "
        "`pageInfo`."
    )

    @strawberry.field(
        description="How many rows the whole list has, on this page and on all others. Counted "
        "only if it is selected: Twilio has no totals, so the gateway reads the rows.",
        graphql_type=RowCount | None,
    )
    @staticmethod
    async def count(
        page: strawberry.Parent[ConnectionPage[Resource]], up_to: UpTo = DEFAULT_UP_TO
    ) -> RowCount:
        """See ConnectionPage."""
        return await page.count(checked_up_to(up_to))
