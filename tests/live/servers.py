"""Servers on a free port, which a test may stop and restart: Valkey or Redis, and the gateway's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
PASSWORD = "a-password-of-its-own"
OWN_PROGRAM = """if True:
    import asyncio, socket, sys
    from gateway.live.store_server import StoreServer
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    asyncio.run(StoreServer(sys.argv[2]).serve(listener))
"""


class ServerProcess:
    """The server process. It keeps nothing on disk, so it comes back empty after a stop."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        assert PROGRAM is not None
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.begin([PROGRAM, "--port", str(self.port), *options])

    def begin(self, command: list[str]) -> None:
        """Starts a command and waits until it takes connections."""
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("the server did not start")

    def hang(self) -> None:
        """The server takes connections and requests but answers none, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The server continues with all that was sent meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stops it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class OwnServer(ServerProcess):
    """The store server as a process, so that it can hang, crash and start again."""

    def __init__(self) -> None:
        super().__init__()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        self.begin([sys.executable, "-c", OWN_PROGRAM, str(self.port), PASSWORD])


@contextmanager
def running_server() -> Iterator[ServerProcess]:
    """A running server. Without the program the test is skipped, or fails in CI."""
    if PROGRAM is None:
        reason = "there is no valkey-server or redis-server here: apt-get install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = ServerProcess()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_own_server() -> Iterator[OwnServer]:
    """A running server of the kind that a parent runs for its workers."""
    server = OwnServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
