"""`gateway sandbox`: serves the sandbox alone, as a Twilio Calls API.

This module must not know how the sandbox works.
"""

import argparse
from collections.abc import Callable
from typing import Any

from gateway.cli.options import Commands, add_setting, non_negative, positive, whole_number
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.settings import Settings
from gateway.telemetry.logs import configure_logging

__all__ = ["add_command"]

NUMBERS: tuple[tuple[str, Callable[[str], float], str], ...] = (
    ("speed", non_negative, "clock speed as a multiple of real time"),
    ("calls_per_second", non_negative, "calls started per second; the others wait in the queue"),
    ("concurrency", positive, "maximum concurrent requests; the others get a 429"),
    ("latency", non_negative, "seconds that every response takes"),
    ("latency_per_row", non_negative, "additional seconds for each row of a response"),
    ("latency_jitter", non_negative, "jitter as a fraction of the latency, from 0 to 1"),
)
SWITCHES = (
    (
        "callbacks_anywhere",
        "also request TwiML and callback URLs beyond this machine's loopback interface",
    ),
    ("ended_calls_are_missing", "respond 404, not 400, to an update of an ended call"),
    ("control", "let tests reset, load and step the sandbox and inject faults, under /sandbox/"),
)


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("sandbox", help="serve the sandbox alone, as a Twilio Calls API")
    parser.set_defaults(run=_sandbox)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", default=8001, type=whole_number, help="port to listen on, 0 for a free one (8001)"
    )
    parser.add_argument("--database", default=":memory:", help="SQLite file (in memory)")
    add_setting(parser, "GATEWAY_SANDBOX_CALLS", "example calls")
    add_setting(parser, "GATEWAY_SANDBOX_SEED", "seed of the example calls")
    for name, kind, meaning in NUMBERS:
        default = getattr(SandboxConfig, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=kind, default=default, help=f"{meaning} ({default:g})")
    for name, meaning in SWITCHES:
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=meaning)


def _sandbox(options: argparse.Namespace, settings: Settings) -> int:
    from gateway.cli.startup import exit_on_sigterm, run_server  # no other command loads both
    from gateway.server.listening import listen, url_of
    from gateway.server.uvicorn_server import ServerConfig

    configure_logging(settings.server.log_level)
    names = [name for name, *_ in NUMBERS] + [name for name, _ in SWITCHES]
    credential = _credential(settings)
    config = SandboxConfig(
        calls=settings.sandbox.calls,
        seed=settings.sandbox.seed,
        database=options.database,
        **{name: getattr(options, name) for name in names},
        **credential,
    )
    listener = listen(options.host, options.port, "--host", "--port")
    exit_on_sigterm()
    print(f"Sandbox: a Twilio Calls API with {config.calls} example calls", flush=True)
    print(f"TWILIO_BASE_URL={url_of(listener)}", flush=True)
    print(f"TWILIO_ACCOUNT_SID={config.account_sid}", flush=True)
    if not credential:
        print(f"TWILIO_AUTH_TOKEN={config.auth_token}", flush=True)
    run_server(ServerConfig(create_sandbox(config), settings), [listener])
    return 0


def _credential(settings: Settings) -> dict[str, Any]:
    """The credential in the settings; empty if there is none (the sandbox has a public one)."""
    account = settings.account
    values = {
        "account_sid": account.sid,
        "auth_token": account.auth_token and account.auth_token.reveal(),
        "api_key": account.api_key,
        "api_secret": account.api_secret and account.api_secret.reveal(),
    }
    return {name: value for name, value in values.items() if value}
