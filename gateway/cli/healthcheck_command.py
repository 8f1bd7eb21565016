"""`gateway healthcheck`: asks the gateway that runs with these settings whether it responds.

A container runs it every few seconds, so it loads no HTTP library of others. This module must not
know what the probe says.
"""

import argparse
import http.client
import ipaddress
import sys

from gateway.cli.options import Commands
from gateway.settings import Settings

__all__ = ["add_command"]

TIMEOUT = 4.0  # seconds
PATH = "/healthz"


def add_command(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "healthcheck", help="ask the gateway at GATEWAY_PORT if it responds; 0 yes, 1 no"
    )
    parser.set_defaults(run=_healthcheck)


def _healthcheck(_options: argparse.Namespace, settings: Settings) -> int:
    host, port = _reachable(settings.server.host), settings.server.port
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
        problem = "" if status == 200 else f"HTTP {status}"
    except (OSError, http.client.HTTPException) as error:
        problem = str(error) or type(error).__name__
    finally:
        connection.close()
    if problem:
        print(f"gateway: no healthy answer from port {port}: {problem}", file=sys.stderr)
    return 1 if problem else 0


def _reachable(host: str) -> str:
    """The address to connect to: this machine's own where the gateway listens on all."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
