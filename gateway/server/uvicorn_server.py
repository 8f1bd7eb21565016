"""How connections are served: uvicorn, with the deadlines that it lacks and an end without loss.

What is used of uvicorn that it does not promise to keep is used here and nowhere else: see
tests/test_libraries.py. This module must not know what is answered.

Note [Deadlines of a connection]. uvicorn closes a connection that rests after an answer, and waits
without end for everything else. Here a client has one time, `request_timeout`, to send a whole
request, from the connection or the request's first byte on, whatever else it sends meanwhile; and
in the same time it has to take LEAST_READ bytes of what is written to it, or all. So a connection
that is silent, slow or does not read is closed, and its descriptor is free.

Note [Leaving without loss]. Whoever replaces this process hands both the same listening sockets
(`listening.inherited_sockets`), so that no connection which waits in their queues is reset. A
connection that is open when the process is told to end gets its next answer with `Connection:
close`; one that rests is closed only after LAST_REQUEST seconds, since a request may be on its way.

Note [What the server answers itself]. What is no HTTP, has too large a head, or is one client too
many never reaches the app; its answer has the same headers as any other. Whose page has sent what
is no HTTP is not known: no page may read that answer. A page that may ask can read that there are
too many, for which its preflight is answered as ever.
"""

import resource
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from gateway.server.drain import is_draining
from gateway.server.middleware import HEADERS, SecurityHeadersMiddleware
from gateway.server.origins import CrossOrigin, Origins
from gateway.server.websocket import SERVER_OPTIONS
from gateway.settings import UNIX_PEER, Settings

__all__ = ["BoundedHttp", "Multiprocess", "ServerConfig", "raise_open_files"]

# Bytes of a request's first line and headers; uvicorn and httptools have no limit.
MAX_HEAD = 64 * 1024
LEAST_READ = 64 * 1024
LAST_REQUEST = 2.0
# Descriptors that are not clients': upstream's connections, the loop's, logs.
OTHER_FILES = 250
ENOUGH_FILES = 65_536
# Seconds in which a worker must answer its parent, or is killed and replaced. One that starts does
# as soon as its modules are loaded: a second of a whole processor, of which it may have a tenth.
WORKER_PING_TIMEOUT = 30


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, as the settings say. `app` is the app or the name of its factory."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        server = settings.server
        self.request_timeout = server.request_timeout
        refusal = PlainTextResponse("Service Unavailable", 503)
        self.too_many = SecurityHeadersMiddleware(CrossOrigin(refusal, Origins(settings)))
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        super().__init__(
            app,
            http=BoundedHttp,
            # Access logs would hold query strings: they may name phone numbers.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=server.keep_alive_timeout,  # type: ignore[arg-type]  # part seconds are taken
            timeout_worker_healthcheck=WORKER_PING_TIMEOUT,
            timeout_graceful_shutdown=server.drain_timeout,  # type: ignore[arg-type]  # here, too
            # uvicorn counts the connection itself and refuses the one that makes it equal.
            limit_concurrency=min(server.max_connections, max(open_files - OTHER_FILES, 1)) + 1,
            proxy_headers=server.trusted_proxies is not None,
            forwarded_allow_ips=server.trusted_proxies or "",
            **(SERVER_OPTIONS | options),
        )


class BoundedHttp(HttpToolsProtocol):
    """One connection: see Note [Deadlines of a connection] and Note [Leaving without loss]."""

    config: ServerConfig
    limit_concurrency: int
    _receiving: TimerHandle | None = None
    _sending: TimerHandle | None = None
    _unread = 0
    _head: int | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = self.client or (UNIX_PEER, 0)
        self._receiving = self._later(self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_is_whole()
        self._is_read()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._receiving = self._receiving or self._later(self.transport.abort)
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD:
            self._refuse(431)

    def handle_websocket_upgrade(self) -> None:
        self._request_is_whole()
        if len(self.connections) >= self.limit_concurrency:
            self._refuse(503, "Service Unavailable")
        else:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if app is not self.app:  # it is uvicorn's own, which says that there are too many
            cycle.keep_alive, app = False, self.config.too_many
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._receiving or self._later(self.transport.abort)
        self._head = 0

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()
        if self.cycle is not None and is_draining(self.app_state):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._request_is_whole()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_until_read()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_until_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle is None or not self.cycle.response_complete:
            self._is_read()

    def shutdown(self) -> None:
        """The server ends: this connection, too, after the answer that is due or may come to be."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            LAST_REQUEST, self.timeout_keep_alive_handler
        )

    def _refuse(self, status: int, text: str = "") -> None:
        """See Note [What the server answers itself]."""
        answer = PlainTextResponse(text, status, HEADERS | {"Connection": "close"})
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", answer.body]))
        self.transport.close()

    def _later(self, act: Callable[[], None]) -> TimerHandle:
        return self.loop.call_later(self.config.request_timeout, act)

    def _request_is_whole(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _is_read(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _wait_until_read(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._sending is None:
            self._sending = self._later(self._abort_if_unread)

    def _abort_if_unread(self) -> None:
        self._sending = None
        unread = self.transport.get_write_buffer_size()
        if unread > max(self._unread - LEAST_READ, 0):
            self.transport.abort()
        else:
            self._wait_until_read()


def raise_open_files() -> None:
    """Lets the process open as many files as the machine allows it, up to ENOUGH_FILES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
