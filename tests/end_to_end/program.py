"""Runs the program as a process: its environment, output and exit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any

import httpx

COMMAND = [sys.executable, "-m", "gateway"]
FEW_CALLS = {"GATEWAY_SANDBOX_CALLS": "60"}
ONE = "query($n: Int!) { calls(first: $n) { nodes { sid } } }"


def environment(given: dict[str, str]) -> dict[str, str]:
    """This machine's environment with these settings in place of its own."""
    ours = ("TWILIO_", "GATEWAY_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | FEW_CALLS | given


def run(*arguments: str, stdin: str = "", **given: str) -> subprocess.CompletedProcess[str]:
    """Runs the program until it exits."""
    return subprocess.run(  # noqa: S603
        [*COMMAND, *arguments],
        input=stdin,
        env=environment(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class Server:
    """The program while it serves, with its output: first the start's, at the end all of it."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    log: str = ""
    exit_code: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables in its output."""
        return dict(line.split("=", 1) for line in self.lines if line.startswith("TWILIO_"))

    @property
    def url(self) -> str:
        """Its URL."""
        (line,) = (line for line in self.lines if line.startswith("GraphQL: "))
        return line.removeprefix("GraphQL: ").removesuffix("/graphql")

    def ask(self, query: str) -> Any:
        """The data of a response. Fails if there are errors."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": query}, timeout=20).json()
        assert "errors" not in answer, answer
        return answer["data"]


@contextmanager
def serving(*arguments: str, until: str, **given: str) -> Iterator[Server]:
    """Runs the program, from the line that starts with `until` to its exit after SIGTERM."""
    with TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603
            [*COMMAND, *arguments],
            env=environment(given),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        server = Server(process)
        try:
            for line in process.stdout:
                server.lines.append(line.rstrip("\n"))
                if line.startswith(until):
                    break
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                rest, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            server.exit_code = process.returncode
            server.lines += rest.splitlines()
            log.seek(0)
            server.log = log.read()
