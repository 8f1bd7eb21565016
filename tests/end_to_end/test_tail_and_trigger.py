"""`gateway tail` and `gateway trigger` at a running gateway: what they print, and refuse."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.access.tokens import new_token
from gateway.cli import main
from tests.end_to_end.program import COMMAND, environment, run, serving
from tests.plain_twilio import sid
from tests.serving import Handler, answering

pytestmark = pytest.mark.usefixtures("no_settings")

BUSY = "+15005550011"
STEPS = [("QUEUED", None), ("RINGING", "QUEUED"), ("BUSY", "RINGING")]


@contextmanager
def tailing(*arguments: str, **given: str) -> Iterator[subprocess.Popen[str]]:
    """The running command, once it is connected. Ctrl-C ends it with 130 and no traceback."""
    process = subprocess.Popen(  # noqa: S603
        [*COMMAND, "tail", *arguments],
        env=environment(given),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have started the tests with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout
    assert process.stderr
    try:
        assert process.stderr.readline().startswith("tail: connected to http://127.0.0.1:")
        yield process
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
        assert (process.returncode, rest) == (130, "")
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Its lines up to the first that has this word."""
    assert process.stdout
    lines: list[str] = []
    while not lines or word not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "the command ended"
    return lines


def test_the_states_of_a_triggered_call_are_told_to_the_end(tmp_path: Path) -> None:
    """To two callers, one of whom sees no numbers. It takes the three seconds of the call."""
    agent, agents_line = new_token("agent", "read,call,pii")
    reader, readers_line = new_token("reader", "read")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{agents_line}\n{readers_line}\n")
    access = {"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": str(tokens)}
    with serving("--port", "0", until="GraphiQL", **access) as server:
        where = ("--url", server.url)
        with (
            tailing(*where, "--to", BUSY, GATEWAY_TOKEN=agent) as texts,
            tailing(*where, "--status", "busy", "--format", "json", "--token", reader) as objects,
        ):
            refused = run("trigger", "busy", *where, "--token", reader)
            made = run("trigger", "busy", *where, GATEWAY_TOKEN=agent)
            rows = [line.split("  ") for line in lines_until(texts, "BUSY")]
            (told,) = map(json.loads, lines_until(objects, "BUSY"))
            unknown = run("tail", *where, "--status", "engaged", GATEWAY_TOKEN=agent)

    assert (refused.returncode, unknown.returncode) == (2, 1)
    assert refused.stderr.startswith("gateway: --token: ")
    assert "'ENGAGED' does not exist in 'CallStatus' enum" in unknown.stderr
    assert (made.returncode, made.stderr) == (0, "")
    call_sid, outlook = made.stdout.strip().split("  ")
    assert outlook == "rings, then the line is busy: BUSY"
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [(row[1], row[2]) for row in cells] == [(now, old or "-") for now, old in STEPS]
    assert {(row[3], row[4], row[5]) for row in cells} == {(call_sid, "OUTBOUND_API", "-")}
    assert {row[6] for row in cells} == {f"+12125550142 → {BUSY}"}
    # The filter leaves out the events before.
    assert (told["sid"], told["status"], told["previousStatus"]) == (call_sid, "BUSY", None)
    assert BUSY not in str(told)
    assert not {agent, reader} & set(server.log.split())


def refusing(status: int, body: bytes, asked: list[str] | None = None) -> type[Handler]:
    """A server that answers every request so, and notes it."""

    class Refusing(Handler):
        def do_POST(self) -> None:  # noqa: N802 (http.server's spelling)
            if asked is not None:
                asked.append(f"{self.command} {self.path}")
            self.answer(status, body)

        do_GET = do_POST  # noqa: N815

    return Refusing


@pytest.mark.parametrize("health", [b'{"status": "ok"}', b'{"status": "ok", "sandbox": "yes"}'])
def test_trigger_is_refused_where_the_sandbox_does_not_answer(
    health: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """No call is made."""
    asked: list[str] = []
    with answering(refusing(200, health, asked)) as url:
        assert main(["trigger", "busy", "--url", url]) == 2

    out, err = capsys.readouterr()
    assert (out, asked) == ("", ["GET /healthz"])
    assert err.startswith(f"gateway: trigger: {url} does not say that its sandbox answers")


def event(status: str, source: str = "WEBHOOK", call: int = 1) -> bytes:
    """An event of a stream."""
    facts = {"sid": sid("CA", call), "status": status, "direction": "INBOUND", "duration": None}
    found = {
        "receivedAt": "2026-03-10T12:00:00.123Z",
        "previousStatus": None,
        "source": source,
        "call": {**facts, "from": "client:ann", "to": "client:b\u2028b\x1b[2J"},
    }
    return (
        b"event: next\ndata: "
        + json.dumps({"data": {"callsUpdated": found}}, ensure_ascii=False).encode()
        + b"\n\n"
    )


def problem(message: str, data: Any = None) -> bytes:
    """An event of a stream that has an error."""
    answer = {"data": data, "errors": [{"message": message}]}
    return b"event: next\ndata: " + json.dumps(answer).encode() + b"\n\n"


@contextmanager
def streaming(*streams: list[bytes]) -> Iterator[str]:
    """A server whose connections get these streams, one after another; then 503."""
    left = list(streams)

    class Streams(Handler):
        def do_POST(self) -> None:  # noqa: N802 (http.server's spelling)
            self.rfile.read(int(self.headers["Content-Length"]))
            if not left:
                self.answer(503, b"{}")
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for part in left.pop(0):
                self.wfile.write(part)

    with answering(Streams) as url:
        yield url


def test_a_broken_stream_is_connected_again_and_nothing_is_told_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = [b":\n\n", event("RINGING"), event("RINGING", "CURRENT", call=2)]
    again = [event("RINGING", "CURRENT"), event("IN_PROGRESS", "CURRENT", call=2)]
    with streaming(first, [*again, event("COMPLETED"), problem("It is over")]) as url:
        code = main(["tail", "--url", f"{url}/graphql"])

    out, err = capsys.readouterr()
    told = [line.split()[1] for line in out.splitlines()]
    assert (code, told) == (1, ["RINGING", "RINGING", "IN_PROGRESS", "COMPLETED"])
    assert out.splitlines()[0].startswith("2026-03-10T12:00:00Z  RINGING      -  ")
    assert out.splitlines()[0].endswith("  client:ann → client:b\ufffdb\ufffd[2J")
    assert err.splitlines() == [
        f"tail: connected to {url}",
        "tail: the gateway ended the stream; connects again in 0.5 s and misses calls that end "
        "before",
        f"tail: connected to {url} again",
        "gateway: It is over",
    ]


def test_a_reader_that_has_enough_ends_it() -> None:
    """As `| head -1` does; the pipe is closed before the next line is written."""
    with streaming([event("RINGING")], [event("QUEUED", call=2)]) as url:
        with subprocess.Popen(  # noqa: S603
            [*COMMAND, "tail", "--url", url],
            env=environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stderr
            assert "RINGING" in process.stdout.readline()
            process.stdout.close()
            log = process.stderr.read()
        assert process.returncode == 0

    assert "Traceback" not in log


@pytest.mark.parametrize("command", [["tail"], ["trigger", "busy"]])
@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b'{"errors": [{"message": "Who?"}]}', "--token: Who?; give a token"),
        (403, b"", "--token: the gateway refuses this caller; give a token"),
        (404, b"<html>", "--url: {url} is no gateway (HTTP 404)"),
        (200, b"[]", "--url: {url} is no gateway (HTTP 200)"),
        (301, b"", "--url: {url} is no gateway (HTTP 301)"),
        (503, b"", "--url: no answer from {url}: HTTP 503"),
    ],
)
def test_a_refusal_says_what_to_give(
    command: list[str], status: int, body: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(refusing(status, body)) as url:
        assert main([*command, "--url", url.replace("//", "//me:hunter2@")]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gateway: " + told.format(url=url))
    assert (err.count("\n"), "hunter2" in err) == (1, False)


@pytest.mark.parametrize("command", [["tail"], ["trigger", "busy"]])
@pytest.mark.parametrize(
    ("url", "token", "told"),
    [
        ("ftp://127.0.0.1", "a", "--url: must be an http or https URL"),
        ("127.0.0.1:8000", "a", "--url: must be an http or https URL"),
        ("http://127.0.0.1:port", "a", "--url: must be an http or https URL"),
        ("http://127.0.0.1:{closed}", "a b", "--token: must be printable ASCII without spaces"),
        ("http://127.0.0.1:{closed}", "a", "--url: no answer from http://127.0.0.1:{closed}: "),
    ],
)
def test_arguments_that_reach_no_gateway_are_one_line_and_2(
    command: list[str], url: str, token: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:  # bound, so that nobody else takes it, but it does not listen
        bound.bind(("127.0.0.1", 0))
        closed = str(bound.getsockname()[1])
        arguments = ["--url", url.replace("{closed}", closed), "--token", token]
        assert main([*command, *arguments]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"gateway: {told.replace('{closed}', closed)}")
    assert err.count("\n") == 1
