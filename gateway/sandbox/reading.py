"""Handles GET: instances and lists. Runs in the worker thread; knows neither SQL nor ASGI."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gateway.sandbox import filters, paging, rendering
from gateway.sandbox.errors import invalid, not_found
from gateway.sandbox.filters import Condition, Equal, Filter
from gateway.sandbox.formats import Document, Instance, Listing, split_suffix
from gateway.sandbox.paging import PageRange
from gateway.sandbox.rendering import Properties, UriContext
from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row
from gateway.sandbox.store import SandboxDatabase

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class ParsedRequest:
    """A parsed HTTP request."""

    path: str
    uris: UriContext
    sid: str | None = None
    """The SID of the requested instance; None for a list."""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The parameters of a POST, each with all of its values."""


@dataclass(frozen=True)
class ResourceView(Generic[R]):
    """How rows of one type are filtered and rendered."""

    row_type: type[R]
    filters: Mapping[str, Filter]
    render_listed: Callable[[R, UriContext], Properties]
    render_instance: Callable[[R, UriContext], Properties]

    def columns(self, uris: UriContext) -> list[str]:
        """The names of a listed row's properties, also for an empty list."""
        empty: dict[str, Any] = dict.fromkeys(self.row_type.__struct_fields__)
        return list(self.render_listed(self.row_type(**empty), uris))


CALLS = ResourceView(CallRow, filters.CALLS, rendering.call, rendering.call)
CALL_RECORDINGS = ResourceView(
    RecordingRow, filters.CALL_RECORDINGS, rendering.recording, rendering.recording
)
RECORDINGS = ResourceView(
    RecordingRow, filters.RECORDINGS, rendering.recording, rendering.recording
)
NOTIFICATIONS = ResourceView(
    NotificationRow, filters.NOTIFICATIONS, rendering.notification, rendering.notification_instance
)


def instance(resource: ResourceView[R], store: SandboxDatabase, request: ParsedRequest) -> Document:
    """One row by its SID. Below a call, a row of another call is not found."""
    row = store.get(resource.row_type, request.sid or "")
    call_sid = request.uris.call_sid
    if row is None or (call_sid and getattr(row, "call_sid", call_sid) != call_sid):
        raise not_found(request.path)
    if filters.hides_deleted(request.query) and getattr(row, "status", None) == "deleted":
        raise not_found(request.path)
    return Instance(resource.row_type.element(), resource.render_instance(row, request.uris))


def listing(resource: ResourceView[R], store: SandboxDatabase, request: ParsedRequest) -> Document:
    """One page of a list, newest first; not found below a call that does not exist."""
    call_sid = request.uris.call_sid
    if call_sid and store.get(CallRow, call_sid) is None:
        raise not_found(request.path)
    page_range = PageRange.of(request.query)
    rows, more = page(store, resource.row_type, _conditions(resource, request), page_range)
    recognized = filters.recognized(resource.filters, request.query)
    path = split_suffix(request.path)[0] + request.uris.suffix
    envelope = paging.envelope(path, recognized, page_range, [row.sid for row in rows], more=more)
    element = resource.row_type.element()
    items = [resource.render_listed(row, request.uris) for row in rows]
    return Listing(f"{element.lower()}s", element, items, envelope, resource.columns(request.uris))


def _conditions(resource: ResourceView[R], request: ParsedRequest) -> list[Condition]:
    conditions = filters.conditions(resource.filters, request.query)
    if request.uris.call_sid:
        conditions.append(Equal("call_sid", request.uris.call_sid))
    if resource.row_type is RecordingRow:
        conditions += filters.hides_deleted(
            request.query if "IncludeSoftDeleted" in resource.filters else {}
        )
    return conditions


def page(
    store: SandboxDatabase, kind: type[R], conditions: list[Condition], page_range: PageRange
) -> tuple[list[R], bool]:
    """The rows of a page range, and whether older rows follow."""
    if page_range.before:
        first = _position(store, kind, page_range.before)
        rows = store.newer(kind, conditions, limit=page_range.size, than=first)
        last = _position(store, kind, rows[-1].sid) if rows else first
        return rows, bool(store.older(kind, conditions, limit=1, than=last))
    newer = _position(store, kind, page_range.after) if page_range.after else None
    rows = store.older(
        kind, conditions, limit=page_range.size + 1, than=newer, offset=page_range.offset
    )
    return rows[: page_range.size], len(rows) > page_range.size


def _position(store: SandboxDatabase, kind: type[Row], sid: str) -> int:
    position = store.position(kind, sid)
    if position is None:
        raise invalid("PageToken")
    return position
