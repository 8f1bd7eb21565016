"""What a process does not need, it does not load: memory and the time of a start."""

import subprocess
import sys

import pytest

from tests.end_to_end.program import environment
from tests.plain_twilio import ACCOUNT, TOKEN

# Libraries and rooms that are large, and that only some ways of running the gateway need.
LARGE = (
    *("redis", "jwt", "cryptography", "sqlite3", "gateway.sandbox.app"),
    *("gateway.cli.check", "gateway.cli.running_gateway", "gateway.cli.tail", "gateway.cli.verify"),
)
SERVER = ("uvicorn", "starlette", "gateway.server")
SCHEMA = ("graphql", "strawberry", "gateway.schema")
ACCOUNT_SETTINGS = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
SERVING = """
import asyncio, os
from gateway.server.worker import serving_app
from gateway.settings import Settings
app = serving_app(Settings.from_environment(os.environ))
async def serve():
    async with app.router.lifespan_context(app):
        pass
asyncio.run(serve())
"""
VALKEY = {"GATEWAY_STORE_URL": "redis://127.0.0.1:1/0"}
CACHE = {"GATEWAY_CACHE_STORE_URL": "redis://127.0.0.1:1/0"}


def loaded(code: str, names: tuple[str, ...], **given: str) -> set[str]:
    """Those of the modules that a new process has loaded after this code."""
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules.keys() & {set(names)!r}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(  # noqa: S603
        command, env=environment(given), capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_the_command_line_alone_loads_neither_the_server_nor_the_schema() -> None:
    """Each command loads what it needs when it runs; a worker imports the command line, too."""
    assert loaded("import gateway.cli", LARGE + SERVER + SCHEMA) == set()


def test_printing_the_schema_loads_no_server() -> None:
    assert loaded("import gateway.schema", LARGE + SERVER) == set()


def test_the_start_of_one_process_loads_nothing_that_only_several_need() -> None:
    """Not the store that workers share."""
    assert loaded("import gateway.cli.startup", LARGE) == set()


def test_a_worker_over_an_account_loads_no_sandbox_store_client_or_cryptography() -> None:
    assert loaded(SERVING, LARGE, **ACCOUNT_SETTINGS) == set()


@pytest.mark.parametrize(
    ("given", "module"),
    [
        (VALKEY | ACCOUNT_SETTINGS, "redis"),
        (CACHE | ACCOUNT_SETTINGS, "redis"),
        ({}, "gateway.sandbox.app"),
    ],
)
def test_a_worker_loads_what_its_settings_need(given: dict[str, str], module: str) -> None:
    """The names above are right: a module that nothing loads would prove nothing."""
    assert module in loaded(SERVING, LARGE, **given)
