"""What a worker process runs: the app, and a watch over its parent.

A worker imports this module, not what only its parent needs (`workers`). It must not know what
workers share.
"""

import os
import signal
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread

import httpx
from starlette.applications import Starlette

from gateway.server import create_app, tune_gc
from gateway.settings import Settings
from gateway.telemetry.logs import configure_logging

__all__ = ["serving_app"]


class SandboxTransport(httpx.AsyncHTTPTransport):
    """Sends every request to the parent's sandbox, whatever host its URL names."""

    def __init__(self, sandbox: str) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None))
        self._sandbox = httpx.URL(sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Replaces scheme, host and port of the URL."""
        at = self._sandbox
        request.url = request.url.copy_with(scheme=at.scheme, host=at.host, port=at.port)
        return await super().handle_async_request(request)


def serving_app(settings: Settings, sandbox: str | None = None) -> Starlette:
    """The app of one worker process. The process ends when its parent dies.

    `sandbox` is the URL of the parent's, where it takes the place of Twilio.
    """
    configure_logging(settings.server.log_level, settings.server.log_format)
    tune_gc()
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with_parent, args=[parent], daemon=True).start()
    return create_app(settings, SandboxTransport(sandbox) if sandbox else None)


def _end_with_parent(parent: BaseProcess) -> None:
    """Drains this worker when its parent dies, since it then has neither store nor successor."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
