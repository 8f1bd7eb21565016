"""The command line: serve (default), query, verify, token, schema, sandbox.

This module must not know how anything is answered: it reads arguments, prints and exits. Exit
codes: 0 done, 1 an answer with errors or a difference that verify found, 2 wrong arguments or
settings, a port that is taken, or an account that verify could not read.
"""

import argparse
import asyncio
import dataclasses
import math
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import uvicorn

from gateway.access.tokens import new_token
from gateway.app import (
    Terms,
    calm_collector,
    check_credential,
    configure_logging,
    create_app,
    open_gateway,
)
from gateway.app.callbacks import lacks_webhook_key
from gateway.app.listening import host_of_all, inherited_sockets, listen, loopback_url, url_of
from gateway.app.server import ServerConfig, raise_open_files
from gateway.app.workers import serve_with_workers
from gateway.errors import BudgetExceeded, UpstreamError
from gateway.journal import Explain
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.schema import schema
from gateway.settings import AccessMode, Settings, SettingsError
from gateway.verify import Report, render, verify
from gateway.waterfall import waterfall

__all__ = ["main"]

BAR = 30

EPILOG = """\
Settings come from the environment: TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_API_KEY
and TWILIO_API_SECRET) connect the gateway to Twilio; without them an embedded sandbox with example
calls answers. docs/settings.md lists every setting."""

NO_WEBHOOKS = (
    "Webhooks: refused. Twilio signs them with the auth token of {} itself: to take them, set "
    "GATEWAY_WEBHOOK_AUTH_TOKENS to that token."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    flags = {name: value for name, value in vars(options).items() if name.isupper() and value}
    try:
        settings = Settings.from_environment({**os.environ, **flags})
        code: int = options.run(options, settings)
        return code
    except SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="A GraphQL gateway over Twilio's Calls resource. Without a command it serves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_serve)
    for setting, meaning in (
        ("GATEWAY_HOST", "address to listen on (GATEWAY_HOST, 127.0.0.1)"),
        ("GATEWAY_PORT", "port to listen on, 0 for a free one (GATEWAY_PORT, 8000)"),
        ("GATEWAY_WORKERS", "processes that serve (GATEWAY_WORKERS, 1)"),
    ):
        _flag(parser, setting, meaning)
    commands = parser.add_subparsers(title="commands", metavar="")
    query = commands.add_parser("query", help="answer one query in process, print it and end")
    query.set_defaults(run=_query)
    query.add_argument("document", help="the GraphQL document, or - to read it from standard input")
    query.add_argument("--variables", default="{}", metavar="JSON", help="variables as JSON")
    query.add_argument("--operation", metavar="NAME", help="which operation of the document")
    how = query.add_mutually_exclusive_group()
    how.add_argument(
        "--explain",
        action="store_true",
        help="also draw, on standard error, what was asked upstream",
    )
    how.add_argument(
        "--plan", action="store_true", help="only draw what would be asked; reads one page at most"
    )
    verify_ = commands.add_parser(
        "verify", help="ask a sample of the account's calls both ways and print any difference"
    )
    verify_.set_defaults(run=_verify)
    verify_.add_argument(
        "--sample", type=_count, default=200, metavar="N", help="how many of the newest calls (200)"
    )
    token = commands.add_parser("token", help="make a bearer token and print it and its line")
    token.set_defaults(run=_token)
    token.add_argument("name", help="whose it is: letters, digits and . _ @ -")
    token.add_argument(
        "--scopes", default="read", help="what it permits: read, call, pii, with commas (read)"
    )
    commands.add_parser("schema", help="print the schema (SDL) and end").set_defaults(run=_schema)
    sandbox = commands.add_parser("sandbox", help="serve the sandbox alone, as a Twilio Calls API")
    sandbox.set_defaults(run=_sandbox)
    sandbox.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    sandbox.add_argument("--port", default=8001, type=int, help="port to listen on (8001)")
    sandbox.add_argument("--database", default=":memory:", help="SQLite file (in memory)")
    _flag(sandbox, "GATEWAY_SANDBOX_CALLS", "example calls (GATEWAY_SANDBOX_CALLS, 2000)")
    _flag(sandbox, "GATEWAY_SANDBOX_SEED", "what they are made from (GATEWAY_SANDBOX_SEED, 1)")
    for name, kind, meaning in SANDBOX_NUMBERS:
        default = getattr(SandboxConfig, name)
        option = "--" + name.replace("_", "-")
        sandbox.add_argument(option, type=kind, default=default, help=f"{meaning} ({default:g})")
    for name, meaning in SANDBOX_SWITCHES:
        sandbox.add_argument("--" + name.replace("_", "-"), action="store_true", help=meaning)
    return parser


def _amount(text: str) -> float:
    amount = float(text)
    if not 0 <= amount < math.inf:
        raise ValueError(text)
    return amount


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


SANDBOX_NUMBERS: tuple[tuple[str, Callable[[str], float], str], ...] = (
    ("speed", _amount, "how many times as fast as real time its clock runs"),
    ("calls_per_second", _amount, "calls made faster than this wait in the queue"),
    ("concurrency", _count, "requests at a time; those above it get a 429"),
    ("latency", _amount, "seconds that every request takes at least"),
    ("latency_per_row", _amount, "seconds that every row of an answer adds"),
    ("latency_jitter", _amount, "the part of a latency by which it varies, 0 to 1"),
)
SANDBOX_SWITCHES = (
    ("callbacks_anywhere", "also ask TwiML and callback URLs beyond this machine's loopback"),
    ("ended_calls_are_missing", "answer 404, not 400, where a call that has ended is changed"),
    ("control", "let tests reset, load, step and disturb it under /sandbox/"),
)
SANDBOX_OPTIONS = [name for name, _, _ in SANDBOX_NUMBERS] + [name for name, _ in SANDBOX_SWITCHES]


def _flag(parser: argparse.ArgumentParser, setting: str, meaning: str) -> None:
    """An option that takes the place of an environment variable."""
    name = setting.rsplit("_", 1)[-1].lower()
    parser.add_argument(f"--{name}", dest=setting, metavar=name.upper(), help=meaning)


def _serve(_options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings)
    listeners = inherited_sockets() or [
        listen(settings.host, settings.port, "GATEWAY_HOST", "GATEWAY_PORT")
    ]
    settings = _as_listened(settings, listeners)
    settings.refuse_open_door()
    asyncio.run(check_credential(settings))
    raise_open_files()
    calm_collector()
    app = create_app(settings)
    _end_well_on_sigterm()
    print(_who_answers(settings), flush=True)
    if lacks_webhook_key(settings):
        print(NO_WEBHOOKS.format(settings.account_sid), flush=True)
    _print_urls(settings, [settings.public_url] if settings.public_url else map(url_of, listeners))
    if settings.workers == 1:
        _run(ServerConfig(app, settings), listeners)
    else:
        serve_with_workers(settings, listeners)
    return 0


def _as_listened(settings: Settings, listeners: Sequence[socket.socket]) -> Settings:
    """The settings with the address that is really listened on.

    The embedded sandbox calls back over the loopback interface, whatever the public URL is.
    """
    settings = dataclasses.replace(settings, host=host_of_all(listeners))
    if settings.uses_sandbox and not settings.webhook_url:
        settings = dataclasses.replace(settings, webhook_url=loopback_url(listeners))
    return settings


def _print_urls(settings: Settings, urls: Iterable[str]) -> None:
    for url in urls:
        print(f"GraphQL: {url}/graphql", flush=True)
        if settings.shows_page:
            print(f"GraphiQL: {url}/  (Ctrl-C ends)", flush=True)


def _end_well_on_sigterm() -> None:
    """uvicorn repeats the signal once its last answer is sent: by then it is a normal end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _who_answers(settings: Settings) -> str:
    if settings.uses_sandbox:
        return (
            f"Sandbox: no TWILIO_ACCOUNT_SID is set, so an embedded sandbox with "
            f"{settings.sandbox_calls} example calls answers."
        )
    if settings.access is AccessMode.PASSTHROUGH:
        return f"Each caller's own Twilio account at {settings.base_url}"
    return f"Twilio account {settings.account_sid} at {settings.base_url}"


def _run(config: uvicorn.Config, listeners: Sequence[socket.socket]) -> None:
    uvicorn.Server(config).run(sockets=list(listeners))


def _query(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings)
    document = sys.stdin.read() if options.document == "-" else options.document
    try:
        variables = msgspec.json.decode(options.variables, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SettingsError(f"--variables: is not a JSON object: {error}") from None
    terms = Terms(explain=_explain(options))
    answer = asyncio.run(_answer(settings, document, variables, options.operation, terms))
    upstream = answer.pop("extensions", {}).get("upstream")
    if upstream:
        # A plan is the answer itself; an explanation goes beside the answer.
        stream = sys.stdout if options.plan else sys.stderr
        width = shutil.get_terminal_size().columns
        print(waterfall(upstream, width, stream.isatty()), file=stream)
        if options.plan:
            return 0
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    return 1 if "errors" in answer else 0


def _explain(options: argparse.Namespace) -> Explain:
    if options.plan:
        return Explain.PLAN
    return Explain.REQUESTS if options.explain else Explain.NOTHING


async def _answer(
    settings: Settings,
    document: str,
    variables: dict[str, Any],
    operation: str | None,
    terms: Terms,
) -> dict[str, Any]:
    async with open_gateway(settings) as gateway:
        return await gateway.answer(document, variables, operation, terms)


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings)
    try:
        report = asyncio.run(_verified(settings, options.sample))
    except (UpstreamError, BudgetExceeded) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    print(render(report))
    return 0 if report.is_equal else 1


async def _verified(settings: Settings, sample: int) -> Report:
    async with open_gateway(settings) as gateway:
        return await verify(gateway.client, sample, gateway.client.concurrency, _show_progress)


def _show_progress(done: int, total: int) -> None:
    """A bar on a terminal, else a line for each step; on standard error."""
    if not sys.stderr.isatty():
        print(f"{done} of {total} compared", file=sys.stderr)
        return
    filled = BAR * done // max(total, 1)
    bar = "\u2588" * filled + "\u2591" * (BAR - filled)
    end = "\n" if done == total else ""
    print(f"\r{bar} {done} of {total} compared", end=end, file=sys.stderr, flush=True)


def _schema(_options: argparse.Namespace, _settings: Settings) -> int:
    print(schema.as_str())
    return 0


def _token(options: argparse.Namespace, _settings: Settings) -> int:
    try:
        token, line = new_token(options.name, options.scopes)
    except ValueError as error:
        raise SettingsError(f"token: {error}") from None
    print(f"Token, shown only now: {token}")
    print(f"Line for GATEWAY_TOKENS_FILE: {line}")
    return 0


def _sandbox(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings)
    credential = _sandbox_credential(settings)
    config = SandboxConfig(
        calls=settings.sandbox_calls,
        seed=settings.sandbox_seed,
        database=options.database,
        **{name: getattr(options, name) for name in SANDBOX_OPTIONS},
        **credential,
    )
    listener = listen(options.host, options.port, "--host", "--port")
    _end_well_on_sigterm()
    print(f"Sandbox: a Twilio Calls API with {config.calls} example calls", flush=True)
    print(f"TWILIO_BASE_URL={url_of(listener)}", flush=True)
    print(f"TWILIO_ACCOUNT_SID={config.account_sid}", flush=True)
    if not credential:
        print(f"TWILIO_AUTH_TOKEN={config.auth_token}", flush=True)
    _run(ServerConfig(create_sandbox(config), settings), [listener])
    return 0


def _sandbox_credential(settings: Settings) -> dict[str, Any]:
    """What the environment sets; else the sandbox's own, well-known credential holds."""
    given = {
        "account_sid": settings.account_sid,
        "auth_token": settings.auth_token and settings.auth_token.reveal(),
        "api_key": settings.api_key,
        "api_secret": settings.api_secret and settings.api_secret.reveal(),
    }
    return {name: value for name, value in given.items() if value}


if __name__ == "__main__":
    sys.exit(main())
