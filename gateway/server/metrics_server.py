"""Serves Prometheus metrics on a port of their own, and measures what only the server sees.

Note [Metrics of several workers]. Each worker counts in files of a folder that the parent makes
(prometheus-client's multiprocess mode, which PROMETHEUS_MULTIPROC_DIR turns on before the library
is imported). The parent serves the sum of all, so a scrape never sees one worker only. Metrics of
the process itself (`process_…`, `python_gc_…`) exist with one worker only: the library has them for
one process.

This module must not know which metrics there are.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.server.operations import Gateway
from gateway.settings import Settings, SettingsError, Switch

if TYPE_CHECKING:  # imported only where metrics are on
    from prometheus_client import CollectorRegistry

    from gateway.telemetry.metrics import Metrics

__all__ = ["ResponseTimes", "forget_worker", "open_metrics", "sampling", "serving_metrics"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# Seconds between two samples of the gauges and of the event loop's lag.
SAMPLE_INTERVAL = 1.0
VERSION = version("twilio-calls-gateway")


def open_metrics(
    settings: Settings, registry: "CollectorRegistry | None" = None
) -> "Metrics | None":
    """What this process counts into; None if metrics are off."""
    if settings.server.metrics is Switch.OFF:
        return None
    import prometheus_client

    from gateway.telemetry.metrics import Metrics

    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    return Metrics(registry or prometheus_client.CollectorRegistry(), VERSION)


@contextmanager
def serving_metrics(settings: Settings) -> "Iterator[CollectorRegistry | None]":
    """Serves /metrics while the block runs, if metrics are on, from the registry that it yields.

    Raises SettingsError where the port is taken. Enter it before prometheus_client is imported: see
    Note [Metrics of several workers].
    """
    server = settings.server
    if server.metrics is Switch.OFF:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="gateway-metrics-") as folder:
        if server.workers > 1:
            os.environ[FOLDER] = folder
        import prometheus_client
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = prometheus_client.CollectorRegistry()
        if server.workers > 1:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            prometheus_client.ProcessCollector(registry=registry)
            prometheus_client.PlatformCollector(registry=registry)
            prometheus_client.GCCollector(registry=registry)
        try:
            httpd, thread = prometheus_client.start_http_server(
                server.metrics_port, server.metrics_host, registry
            )
        except OSError as error:
            raise SettingsError(
                f"GATEWAY_METRICS_PORT: {server.metrics_host} port {server.metrics_port} cannot be "
                f"listened on: {error.strerror}"
            ) from None
        host, port = httpd.server_address[:2]
        print(f"Metrics: http://{host!s}:{port}/metrics", flush=True)
        try:
            yield registry
        finally:
            httpd.shutdown()
            httpd.server_close()
            thread.join()


def forget_worker(pid: int | None) -> None:
    """Drops the gauges of a worker that has ended, if metrics are on; its counts stay."""
    if FOLDER in os.environ and pid is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def sampling(gateway: Gateway, metrics: "Metrics | None") -> AsyncIterator[None]:
    """Samples the gauges while the block runs."""
    if metrics is None:
        yield
        return
    task = asyncio.ensure_future(_sample(gateway, metrics))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sample(gateway: Gateway, metrics: "Metrics") -> None:
    clock = asyncio.get_running_loop().time
    lag = 0.0
    while True:
        metrics.sample(gateway.sample(lag))
        due = clock() + SAMPLE_INTERVAL
        await asyncio.sleep(SAMPLE_INTERVAL)
        lag = clock() - due


class ResponseTimes:
    """Outermost ASGI middleware: measures each HTTP response but event streams."""

    def __init__(self, app: ASGIApp, metrics: "Metrics") -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        began, status = clock(), 0

        async def send_and_measure(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                is_stream = any(b"text/event-stream" in value for _, value in message["headers"])
                status = 0 if is_stream else message["status"]
            await send(message)
            if status and message["type"] == "http.response.body" and not message.get("more_body"):
                route = scope["path"].rstrip("/") or "/"
                if route.startswith("/graphql/"):  # the id of a document
                    route = "/graphql"
                self._metrics.on_response(scope["method"], route, status, clock() - began)

        await self._app(scope, receive, send_and_measure)
