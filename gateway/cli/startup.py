"""How the gateway starts: it listens, serves, and reads the account beside that.

This module must not know how a request is handled.
"""

import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import uvicorn
from starlette.applications import Starlette

from gateway.cli.start_check import StartCheck
from gateway.server import create_app, tune_gc
from gateway.server.listening import (
    inherited_sockets,
    listen,
    loopback_url,
    most_reachable_host,
    url_of,
)
from gateway.server.metrics_server import serving_metrics
from gateway.server.uvicorn_server import ServerConfig, raise_open_files
from gateway.server.webhook_keys import lacks_webhook_key
from gateway.settings import AccessMode, Settings
from gateway.telemetry.logs import configure_logging

__all__ = ["exit_on_sigterm", "run_server", "serve"]

NO_WEBHOOKS = (
    "Webhooks: refused. Twilio signs them with the auth token of {}: to accept them, set "
    "GATEWAY_WEBHOOK_AUTH_TOKENS to that token."
)


def run_server(config: uvicorn.Config, listeners: Sequence[socket.socket]) -> None:
    """Serves on these sockets until a signal ends the process."""
    uvicorn.Server(config).run(sockets=list(listeners))


def exit_on_sigterm() -> None:
    """Makes SIGTERM exit with code 0: uvicorn raises it again after its last response."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def serve(settings: Settings) -> int:
    """Serves until a signal ends the process. Raises SettingsError."""
    configure_logging(settings.server.log_level, settings.server.log_format)
    listeners = inherited_sockets() or [
        listen(settings.server.host, settings.server.port, "GATEWAY_HOST", "GATEWAY_PORT")
    ]
    settings = _as_listened(settings, listeners)
    settings.require_access_control()
    raise_open_files()
    tune_gc()
    with serving_metrics(settings) as registry:
        _serve(settings, listeners, create_app(settings, registry=registry))
    return 0


def _serve(settings: Settings, listeners: Sequence[socket.socket], app: Starlette) -> None:
    check = StartCheck(settings)
    signal.signal(signal.SIGTERM, check.exit)
    check.start()
    print(_who_answers(settings), flush=True)
    if lacks_webhook_key(settings):
        print(NO_WEBHOOKS.format(settings.account.sid), flush=True)
    public_url = settings.server.public_url
    _print_urls(settings, [public_url] if public_url else map(url_of, listeners))
    if settings.server.workers == 1:
        run_server(ServerConfig(app, settings), listeners)
    else:
        from gateway.server.workers import serve_with_workers  # one process needs no shared store

        serve_with_workers(settings, listeners)
    check.raise_refusal()


def _as_listened(settings: Settings, listeners: Sequence[socket.socket]) -> Settings:
    """The settings with the actual listening address.

    The embedded sandbox sends its webhooks over the loopback interface, whatever the public URL is.
    """
    server, live = replace(settings.server, host=most_reachable_host(listeners)), settings.live
    if settings.uses_sandbox and not live.webhook_url:
        live = replace(live, webhook_url=loopback_url(listeners))
    return replace(settings, server=server, live=live)


def _print_urls(settings: Settings, urls: Iterable[str]) -> None:
    for url in urls:
        print(f"GraphQL: {url}/graphql", flush=True)
        if settings.documents.shows_page:
            print(f"GraphiQL: {url}/  (Ctrl-C ends)", flush=True)


def _who_answers(settings: Settings) -> str:
    if settings.uses_sandbox:
        return (
            f"Sandbox: no TWILIO_ACCOUNT_SID is set, so an embedded sandbox with "
            f"{settings.sandbox.calls} example calls answers."
        )
    if settings.access.mode is AccessMode.PASSTHROUGH:
        return f"Each caller's own Twilio account at {settings.upstream.base_url}"
    return f"Twilio account {settings.account.sid} at {settings.upstream.base_url}"
