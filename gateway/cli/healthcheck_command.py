"""`gateway healthcheck`: asks the gateway that runs beside it whether it responds.

A container's health check runs it every few seconds, so it loads no more than the settings. This
module must not know what the gateway's health means.
"""

import argparse
import sys
from http.client import HTTPConnection, HTTPException

from gateway.cli.options import Commands, add_setting
from gateway.settings import Settings, SettingsError

__all__ = ["add_command"]

PATH = "/healthz"
TIMEOUT = 3.0  # seconds; less than the health check's own in the Dockerfile
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("healthcheck", help="exit with 0 if the gateway responds, else 1")
    parser.set_defaults(run=_healthcheck)
    add_setting(parser, "GATEWAY_HOST", "address that the gateway listens on")
    add_setting(parser, "GATEWAY_PORT", "port that the gateway listens on")


def _healthcheck(_options: argparse.Namespace, settings: Settings) -> int:
    host, port = settings.server.host, settings.server.port
    if port == 0:
        raise SettingsError("GATEWAY_PORT: the health check needs the port that the gateway took")
    problem = _problem(LOOPBACK.get(host, host), port)
    if problem is None:
        return 0
    print(f"gateway: port {port}: {problem}", file=sys.stderr)
    return 1


def _problem(host: str, port: int) -> str | None:
    """What is wrong with the gateway at this address, or None."""
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"no response: {getattr(error, 'strerror', None) or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{PATH} answered {status}"
