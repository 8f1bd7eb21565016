"""The commands that run to an end: output and exit status."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from gateway.cli import main
from tests.end_to_end.program import COMMAND, ONE, Server, environment, run, serving
from tests.plain_twilio import ACCOUNT, TOKEN, sid

SCHEMA = Path(__file__).parents[2] / "schema.graphql"
pytestmark = pytest.mark.usefixtures("no_settings")


def test_schema_prints_schema_graphql() -> None:
    done = run("schema")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SCHEMA.read_text()


def test_the_command_that_has_the_packages_name_is_the_same() -> None:
    """`uvx twilio-calls-gateway` runs it."""
    scripts = Path(sys.executable).parent
    outputs = [
        subprocess.check_output([scripts / name, "--help"], text=True)  # noqa: S603
        for name in ("twilio-calls-gateway", "gateway")
    ]

    assert outputs[0] == outputs[1]
    assert "gateway serve" in outputs[0]


def test_query_prints_the_answer_as_json_and_ends_with_0() -> None:
    done = run("query", ONE, "--variables", '{"n": 2}')

    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["data"]["calls"]["nodes"]) == 2


def test_query_reads_its_document_from_standard_input_and_runs_the_named_operation() -> None:
    document = "query A { a: __typename } query B { b: __typename }"
    done = run("query", "-", "--operation", "B", stdin=document)

    assert (done.returncode, json.loads(done.stdout)) == (0, {"data": {"b": "Query"}})


def test_explain_draws_what_was_asked_beside_the_answer() -> None:
    done = run("query", "--explain", ONE, "--variables", '{"n": 2}')

    assert done.returncode == 0
    assert len(json.loads(done.stdout)["data"]["calls"]["nodes"]) == 2
    assert "1 request" in done.stderr
    assert "Calls?PageSize=3" in done.stderr


def test_plan_draws_what_would_be_asked_in_place_of_an_answer() -> None:
    done = run("query", "--plan", "{ calls(first: 1) { nodes { recordings { nodes { sid } } } } }")

    assert (done.returncode, done.stderr) == (0, "")
    assert "planned: 1 request" in done.stdout
    assert "Recordings" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["{ call(sid: 5) { sid } }"], "BAD_USER_INPUT"),
        (["{ nothing }"], None),
        (["{"], None),
        (["query A { __typename } query B { __typename }"], None),
        (["{ __typename }", "--operation", "C"], None),
        (["subscription { x }"], None),
    ],
)
def test_an_answer_with_errors_ends_with_1(
    arguments: list[str], code: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", *arguments]) == 1

    errors = json.loads(capsys.readouterr().out)["errors"]
    assert code is None or errors[0]["extensions"]["code"] == code


@pytest.mark.parametrize(
    "variables", ["", "{", "[]", "null", '"x"', "{'n': 2}", "[" * 100_000, "\udcff", '{"n": 2} x']
)
def test_variables_that_are_no_json_object_are_one_line_and_2(
    variables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", ONE, "--variables", variables]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gateway: --variables: is not a JSON object: ")
    assert err.count("\n") == 1


def test_a_wrong_setting_is_one_line_that_names_it_and_2() -> None:
    """In its own process: it prints only the line, and no traceback."""
    done = run("query", "{ __typename }", TWILIO_ACCOUNT_SID="AChunter2", TWILIO_AUTH_TOKEN=TOKEN)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gateway: TWILIO_ACCOUNT_SID: must be AC and 32 hexadecimal digits\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        ([], {"TWILIO_ACCOUNT_SID": ACCOUNT}, "TWILIO_AUTH_TOKEN"),
        ([], {"GATEWAY_PORT": "http"}, "GATEWAY_PORT"),
        (["serve"], {"GATEWAY_PORT": "http"}, "GATEWAY_PORT"),
        (["--port", "65536"], {}, "--port"),
        (["serve", "--port", "65536"], {"GATEWAY_PORT": "1"}, "--port"),
        (["--port", "tcp://10.0.0.1:8000"], {}, "--port"),
        (["--workers", "0"], {}, "--workers"),
        (["--workers", "1"], {"GATEWAY_PORT": "http"}, "GATEWAY_PORT"),
        (["--host", "203.0.113.7"], {}, "--host"),
        ([], {"GATEWAY_HOST": "203.0.113.7"}, "GATEWAY_HOST"),
        (["sandbox", "--host", "203.0.113.7"], {}, "--host"),
        (["schema"], {"GATEWAY_ENV": "prod"}, "GATEWAY_ENV"),
        (["sandbox", "--calls", "many"], {}, "--calls"),
        (["sandbox"], {"GATEWAY_SANDBOX_CALLS": "many"}, "GATEWAY_SANDBOX_CALLS"),
        (["sandbox", "--port", "70000"], {}, "--port"),
        (["sandbox"], {"TWILIO_API_KEY": "SK" + "0" * 32}, "TWILIO_API_SECRET"),
    ],
)
def test_every_command_ends_with_one_line_and_2_where_its_settings_are_wrong(
    arguments: list[str],
    environment: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main(arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"gateway: {named}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serv"], "argument COMMAND: invalid choice: 'serv' (choose from "),
        (["--port", "0", "schema"], "unrecognized arguments: schema"),
        (["--version", "schema", "--bogus"], None),
        (["query", "-v", "n"], "argument -v: must be NAME=VALUE"),
        (["sandbox", "--port", "http"], "argument --port: must be a whole number"),
        (["sandbox", "--speed", "fast"], "argument --speed: must be a number of 0 or more"),
        (["sandbox", "--speed", "nan"], "argument --speed: must be a number of 0 or more"),
        (["sandbox", "--concurrency", "0"], "argument --concurrency: must be a whole number of 1"),
        (["verify", "--sample", "x"], "argument --sample: must be a whole number"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    arguments: list[str], named: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == (2 if named else 0)
    assert (named or "") in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_without_a_command_it_serves(command: list[str]) -> None:
    """On the typed port, where Kubernetes has set a variable of the port's name, too."""
    kubernetes = {"GATEWAY_PORT": "tcp://10.0.0.1:8000", "GATEWAY_SERVICE_PORT": "8000"}
    with serving(*command, "--port", "0", until="GraphQL: ", **kubernetes) as server:
        assert server.ask("{ __typename }") == {"__typename": "Query"}

    assert server.exit_code == 0
    assert "warning" not in server.log


def test_the_version_is_that_of_the_package() -> None:
    done = run("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"gateway {version('twilio-calls-gateway')}\n"


def test_a_variable_that_is_no_setting_is_warned_of_and_changes_nothing() -> None:
    """The warning has the nearest name, and not the value."""
    done = run("schema", GATEWAY_LOGLEVEL="hunter2", GATEWAY_XYZ="hunter2", TWILIO_NUMBER="+1")

    assert (done.returncode, done.stdout) == (0, SCHEMA.read_text())
    assert done.stderr.splitlines() == [
        "gateway: warning: GATEWAY_LOGLEVEL: is no setting; did you mean GATEWAY_LOG_LEVEL?",
        "gateway: warning: GATEWAY_XYZ: is no setting",
    ]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("gateway s", ["serve", "schema", "sandbox"]),
        ("gateway serve --", ["--help", "--host", "--port", "--workers"]),
        ("gateway query --pl", ["--plan"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    words: str, offered: list[str], tmp_path: Path
) -> None:
    """As the shell's function of argcomplete asks, with the answer in a file."""
    answer = tmp_path / "answer"
    question = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": words,
        "COMP_POINT": str(len(words)),
    }
    run(**question)

    assert [word.strip() for word in answer.read_text().split("\n")] == offered


@pytest.mark.parametrize("command", [[], ["sandbox"]])
def test_a_port_that_is_taken_is_one_line_and_2(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*command, "--port", str(port)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in err
    assert err.count("\n") == 1


def put_calls(sandbox: Server, *, child_starts: bool) -> None:
    """Adds five calls of ten minutes ago to the sandbox; the first one dialed a child call."""
    at = int(time.time()) - 600
    common = {
        "date_created": at,
        "date_updated": at + 9,
        "status": "completed",
        "to": "+15005550010",
    }
    common |= {"from": "+15005550006", "direction": "inbound", "start_time": at, "end_time": at + 9}
    parents = [common | {"sid": sid("CA", number)} for number in range(5)]
    child = common | {"sid": sid("CA", 9), "parent_call_sid": sid("CA", 0), "status": "canceled"}
    child |= {"date_created": at + 1, "start_time": at + 1 if child_starts else None}
    variables = sandbox.settings
    httpx.post(
        f"{variables['TWILIO_BASE_URL']}/sandbox/rows",
        json={"calls": [*parents, child]},
        auth=(variables["TWILIO_ACCOUNT_SID"], variables["TWILIO_AUTH_TOKEN"]),
        timeout=20,
    ).raise_for_status()


def test_verify_ends_with_0_where_both_ways_are_equal_and_with_1_where_they_are_not() -> None:
    command = ("sandbox", "--port", "0", "--control")
    with serving(*command, until="TWILIO_AUTH_TOKEN", GATEWAY_SANDBOX_CALLS="0") as sandbox:
        put_calls(sandbox, child_starts=True)
        equal = run("verify", "--sample", "20", **sandbox.settings)
        put_calls(sandbox, child_starts=False)
        unequal = run("verify", GATEWAY_SCAN_CHILD_CALLS="on", **sandbox.settings)
        off = run("verify", **sandbox.settings)

    assert (equal.returncode, unequal.returncode, off.returncode) == (0, 1, 0)
    assert equal.stdout.startswith("6 calls compared")
    assert "GATEWAY_SCAN_CHILD_CALLS may be on" in equal.stdout
    assert equal.stderr.splitlines()[-1] == "36 of 36 compared"
    parent, child = sid("CA", 0), sid("CA", 9)
    for done in (unequal, off):
        assert f"childCalls by scan of {parent}: missing {child}" in done.stdout
    assert "set GATEWAY_SCAN_CHILD_CALLS=off" in unequal.stdout
    assert "No scan is used now, so no answer is wrong." in off.stdout
    assert "+1" not in equal.stdout + equal.stderr + unequal.stdout + unequal.stderr


def test_verify_draws_a_bar_on_a_terminal() -> None:
    ours, terminal = os.openpty()
    subprocess.run(  # noqa: S603
        [*COMMAND, "verify", "--sample", "5"],
        env=environment({}),
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        timeout=60,
        check=False,
    )
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(terminal)

    assert shown.endswith("\r" + "█" * 30 + " 30 of 30 compared\r\n")
    assert shown.count("\n") == 1


def test_verify_ends_with_2_where_the_account_cannot_be_read() -> None:
    refused = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    done = run("verify", **refused, TWILIO_BASE_URL="http://127.0.0.1:9")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("gateway: Upstream could not be reached\n")
    assert TOKEN not in done.stderr


def test_the_help_groups_every_command_by_what_people_want_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["--help"])

    text = capsys.readouterr().out
    groups = re.findall(r"^([a-z ]+):\n((?:  [a-z]+ +.+\n)+)", text, re.MULTILINE)
    assert {name: re.findall(r"^  (\w+)", rows, re.MULTILINE) for name, rows in groups} == {
        "run the gateway": ["serve", "check", "healthcheck", "token"],
        "ask it from the shell": ["query", "tail", "schema", "documents"],
        "test without risk": ["sandbox", "trigger", "verify"],
    }
    assert max(map(len, text.splitlines())) <= 80


COMMANDS = [
    *("serve", "check", "healthcheck", "token", "query", "tail", "schema", "documents"),
    *("sandbox", "trigger", "verify"),
]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_there_for_every_command(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])

    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(['gateway', *command])}")
    assert max(map(len, text.splitlines())) <= 100
