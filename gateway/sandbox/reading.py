"""What GET answers: instances and lists. Runs in the worker thread; knows neither SQL nor ASGI."""

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
    """A request, taken apart."""

    path: str
    uris: UriContext
    sid: str | None = None
    """The SID of the instance asked for; none for a list."""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The parameters of a POST; one may come several times."""


@dataclass(frozen=True)
class ResourcePath(Generic[R]):
    """How rows of one kind are listed and shown."""

    kind: type[R]
    filters: Mapping[str, Filter]
    listed: Callable[[R, UriContext], Properties]
    alone: Callable[[R, UriContext], Properties]

    def columns(self, uris: UriContext) -> list[str]:
        """The names of a listed row's properties, also when there is no row."""
        nothing: dict[str, Any] = dict.fromkeys(self.kind.__struct_fields__)
        return list(self.listed(self.kind(**nothing), uris))


CALLS = ResourcePath(CallRow, filters.CALLS, rendering.call, rendering.call)
CALL_RECORDINGS = ResourcePath(
    RecordingRow, filters.CALL_RECORDINGS, rendering.recording, rendering.recording
)
RECORDINGS = ResourcePath(
    RecordingRow, filters.RECORDINGS, rendering.recording, rendering.recording
)
NOTIFICATIONS = ResourcePath(
    NotificationRow, filters.NOTIFICATIONS, rendering.notification, rendering.whole_notification
)


def instance(resource: ResourcePath[R], store: SandboxDatabase, request: ParsedRequest) -> Document:
    """One row by its SID; a row of another call is not found below this one."""
    row = store.get(resource.kind, request.sid or "")
    call_sid = request.uris.call_sid
    if row is None or (call_sid and getattr(row, "call_sid", call_sid) != call_sid):
        raise not_found(request.path)
    if filters.hides_deleted(request.query) and getattr(row, "status", None) == "deleted":
        raise not_found(request.path)
    return Instance(resource.kind.element(), resource.alone(row, request.uris))


def listing(resource: ResourcePath[R], store: SandboxDatabase, request: ParsedRequest) -> Document:
    """One page of a list, newest first; below a call that is gone there is nothing."""
    call_sid = request.uris.call_sid
    if call_sid and store.get(CallRow, call_sid) is None:
        raise not_found(request.path)
    window = PageRange.of(request.query)
    rows, more = page(store, resource.kind, _conditions(resource, request), window)
    recognized = filters.recognized(resource.filters, request.query)
    path = split_suffix(request.path)[0] + request.uris.suffix
    envelope = paging.envelope(path, recognized, window, [row.sid for row in rows], more=more)
    element = resource.kind.element()
    items = [resource.listed(row, request.uris) for row in rows]
    return Listing(f"{element.lower()}s", element, items, envelope, resource.columns(request.uris))


def _conditions(resource: ResourcePath[R], request: ParsedRequest) -> list[Condition]:
    found = filters.conditions(resource.filters, request.query)
    if request.uris.call_sid:
        found.append(Equal("call_sid", request.uris.call_sid))
    if resource.kind is RecordingRow:
        found += filters.hides_deleted(
            request.query if "IncludeSoftDeleted" in resource.filters else {}
        )
    return found


def page(
    store: SandboxDatabase, kind: type[R], conditions: list[Condition], window: PageRange
) -> tuple[list[R], bool]:
    """The window's rows, and whether older ones follow them."""
    if window.before:
        first = _position(store, kind, window.before)
        rows = store.newer(kind, conditions, limit=window.size, than=first)
        last = _position(store, kind, rows[-1].sid) if rows else first
        return rows, bool(store.older(kind, conditions, limit=1, than=last))
    edge = _position(store, kind, window.after) if window.after else None
    rows = store.older(kind, conditions, limit=window.size + 1, than=edge, offset=window.offset)
    return rows[: window.size], len(rows) > window.size


def _position(store: SandboxDatabase, kind: type[Row], sid: str) -> int:
    position = store.position(kind, sid)
    if position is None:
        raise invalid("PageToken")
    return position
