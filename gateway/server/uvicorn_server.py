"""Serves connections with uvicorn, adding the deadlines that it lacks and a shutdown without loss.

Only this module uses uvicorn's internals, which may change: see tests/test_libraries.py. This
module must not know the content of responses.

Note [Deadlines of a connection]. uvicorn closes a connection that is idle after a response, but
sets no other deadline. Here a client must send a whole request within `request_timeout` of the
connection or of the request's first byte, whatever else it sends meanwhile. In the same time it
must read MIN_READ_BYTES of what is written to it, or all. So a connection that is silent, slow or
does not read is closed, and its descriptor is freed.

Note [Leaving without loss]. A process and its successor get the same listening sockets
(`listening.inherited_sockets`), so that no connection in their queues is reset. At shutdown an open
connection gets its next response with `Connection: close`; an idle one is closed only after
LAST_REQUEST_SECONDS, since a request may be on its way.

Note [What the server answers itself]. Three kinds of requests never reach the app: invalid HTTP,
too large a head, and connections beyond the limit. Their responses have the same headers as any
other. The page that sent invalid HTTP is unknown, so no page may read that response. An allowed
page can read the response at the limit, and its preflight succeeds there as usual.
"""

import resource
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from gateway.server.disconnects import EXTENSION, Disconnect
from gateway.server.drain import is_draining
from gateway.server.middleware import HEADERS
from gateway.server.origins import Origins, confined
from gateway.server.websocket import SERVER_OPTIONS
from gateway.settings import UNIX_PEER, Settings

__all__ = ["BoundedHttp", "Multiprocess", "ServerConfig", "raise_open_files"]

# Bytes of a request's first line and headers; uvicorn and httptools have no limit.
MAX_HEAD = 64 * 1024
MIN_READ_BYTES = 64 * 1024
LAST_REQUEST_SECONDS = 2.0
# Descriptors that are not clients': upstream connections, the event loop, logs.
OTHER_FILES = 250
MAX_OPEN_FILES = 65_536
# Seconds in which a worker must answer its parent's ping, else the parent replaces it. A new worker
# first loads its modules: a second of a whole processor, of which it may have a tenth.
WORKER_PING_TIMEOUT = 30


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration from the settings. `app` is the app, its name or its factory."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        server = settings.server
        self.request_timeout = server.request_timeout
        refusal = PlainTextResponse("Service Unavailable", 503)
        self.overload_response = confined(refusal, Origins(settings))
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        super().__init__(
            app,
            http=BoundedHttp,
            # Access logs would hold query strings: they may name phone numbers.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=server.keep_alive_timeout,  # type: ignore[arg-type]  # fractions work
            timeout_worker_healthcheck=WORKER_PING_TIMEOUT,
            timeout_graceful_shutdown=server.drain_timeout,  # type: ignore[arg-type]  # fractions work
            # uvicorn counts the new connection and refuses it at equality, hence + 1.
            limit_concurrency=min(server.max_connections, max(open_files - OTHER_FILES, 1)) + 1,
            proxy_headers=server.trusted_proxies is not None,
            forwarded_allow_ips=server.trusted_proxies or "",
            **(SERVER_OPTIONS | options),
        )


class BoundedHttp(HttpToolsProtocol):
    """One connection: see Note [Deadlines of a connection] and Note [Leaving without loss]."""

    config: ServerConfig
    limit_concurrency: int
    _request_deadline: TimerHandle | None = None
    _read_deadline: TimerHandle | None = None
    _unread = 0
    _head_size: int | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = self.client or (UNIX_PEER, 0)
        self._disconnect = Disconnect()
        self._request_deadline = self._call_later(self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_request_deadline()
        self._stop_read_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._disconnect.happen()

    def data_received(self, data: bytes) -> None:
        self._request_deadline = self._request_deadline or self._call_later(self.transport.abort)
        if self._head_size is not None:
            self._head_size += len(data)
        super().data_received(data)
        if self._head_size is not None and self._head_size > MAX_HEAD:
            self._refuse(431)

    def handle_websocket_upgrade(self) -> None:
        self._stop_request_deadline()
        if len(self.connections) >= self.limit_concurrency:
            self._refuse(503, "Service Unavailable")
        else:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if app is not self.app:  # it is uvicorn's own response at the limit
            cycle.keep_alive, app = False, self.config.overload_response
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self._disconnect}  # type: ignore[dict-item]
        self._request_deadline = self._request_deadline or self._call_later(self.transport.abort)
        self._head_size = 0

    def on_headers_complete(self) -> None:
        self._head_size = None
        super().on_headers_complete()
        if self.cycle is not None and is_draining(self.app_state):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._stop_request_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_read_deadline()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_read_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle is None or not self.cycle.response_complete:
            self._stop_read_deadline()

    def shutdown(self) -> None:
        """Closes the connection after its current response, or after LAST_REQUEST_SECONDS."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            LAST_REQUEST_SECONDS, self.timeout_keep_alive_handler
        )

    def _refuse(self, status: int, text: str = "") -> None:
        """See Note [What the server answers itself]."""
        response = PlainTextResponse(text, status, HEADERS | {"Connection": "close"})
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", response.body]))
        self.transport.close()

    def _call_later(self, callback: Callable[[], None]) -> TimerHandle:
        return self.loop.call_later(self.config.request_timeout, callback)

    def _stop_request_deadline(self) -> None:
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _stop_read_deadline(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None

    def _start_read_deadline(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._read_deadline is None:
            self._read_deadline = self._call_later(self._abort_if_unread)

    def _abort_if_unread(self) -> None:
        self._read_deadline = None
        unread = self.transport.get_write_buffer_size()
        if unread > max(self._unread - MIN_READ_BYTES, 0):
            self.transport.abort()
        else:
            self._start_read_deadline()


def raise_open_files() -> None:
    """Raises the limit of open files to the system's maximum, at most MAX_OPEN_FILES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
