"""Serves with several worker processes under one parent.

Note [What workers share]. A worker gets its parent's final settings, including flags and what the
parent added. They are pickled with the server's configuration and sent through the pipe by which
multiprocessing starts the worker, so that no secret is in an environment or a command line. The
parent runs what all workers share. Workers reach the store by an ordinary setting, like Valkey, and
the sandbox by a transport, so that it is the sandbox of their settings, whatever its address.

This module must not know the content of responses.
"""

import secrets
from asyncio import run
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from socket import socket
from threading import Thread

import uvicorn

from gateway.live.store_server import StoreServer
from gateway.sandbox import create_app as create_sandbox
from gateway.server.factory import embedded_sandbox
from gateway.server.listening import listen, url_of
from gateway.server.metrics_server import forget_worker
from gateway.server.uvicorn_server import Multiprocess, ServerConfig
from gateway.server.worker import serving_app
from gateway.settings import Secret, Settings

__all__ = ["serve_with_workers"]

LOOPBACK = "127.0.0.1"
JOIN_TIMEOUT = 5.0


def serve_with_workers(settings: Settings, listeners: Sequence[socket]) -> None:
    """Serves with `settings.server.workers` processes until the parent gets a signal to end."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(_shared_sandbox(settings)) if settings.uses_sandbox else None
        if settings.live.store_url is None:
            settings = stack.enter_context(_shared_store(settings))
        app = partial(serving_app, settings, sandbox)
        config = ServerConfig(app, settings, factory=True, workers=settings.server.workers)
        Workers(config, sockets=list(listeners)).run()
        for listener in listeners:  # else the sandbox waits there for responses to its callbacks
            listener.close()


class Workers(Multiprocess):
    """The worker processes. The gauges of one that was replaced no longer count."""

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have ended or hang."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            forget_worker(pid)


@contextmanager
def _shared_sandbox(settings: Settings) -> Iterator[str]:
    """Yields its URL; see Note [What workers share]."""
    listener = listen(LOOPBACK, 0, "GATEWAY_WORKERS", "GATEWAY_WORKERS")
    server = uvicorn.Server(ServerConfig(create_sandbox(embedded_sandbox(settings)), settings))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(JOIN_TIMEOUT)


@contextmanager
def _shared_store(settings: Settings) -> Iterator[Settings]:
    """Yields the settings that lead to it; see Note [What workers share]."""
    password = secrets.token_urlsafe(32)
    listener = listen(LOOPBACK, 0, "GATEWAY_WORKERS", "GATEWAY_WORKERS")
    server = StoreServer(password)
    thread = Thread(target=run, args=[server.serve(listener)], daemon=True)
    thread.start()
    try:
        host, port = listener.getsockname()
        store_url = Secret(f"redis://:{password}@{host}:{port}/0")
        yield replace(settings, live=replace(settings.live, store_url=store_url))
    finally:
        server.stop()
        thread.join(JOIN_TIMEOUT)
