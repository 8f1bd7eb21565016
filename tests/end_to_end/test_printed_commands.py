"""Every command that stands in a block of README.md or docs/ is run as printed, or has a reason."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.cli import main
from tests.end_to_end.program import Server, environment, serving

HOUSE = Path(__file__).parents[2]
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENT = re.compile(r"\S+\.graphql")
MANIFEST = "manifest.json"

# The line after which a command that never ends by itself does what it should.
ENDLESS = {
    re.compile(r"gateway( serve\b.*| --.*)?$"): "GraphQL: ",
    re.compile(r"gateway tail\b"): "tail: connected to ",
}
NOT_RUN = {
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt .": (
        "needs the network; CI installs so"
    ),
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && "
    ".venv/bin/pytest": "is what runs this test; tests/test_house.py compares it with CI's",
    "docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp twilio-calls-gateway": (
        "needs docker; tests/deploy/test_image.py runs the image's steps"
    ),
    "rover subgraph publish GRAPH --name calls --schema calls.graphql "
    "--routing-url https://calls.example.com/graphql": "needs an account of Apollo's",
    "kubectl create secret generic gateway-files --from-file=tokens": "needs a cluster",
    "kubectl create secret generic gateway --from-env-file=gateway.env": "needs a cluster",
    "kubectl apply -k deploy/kubernetes": (
        "needs a cluster; tests/deploy/test_manifests.py checks the manifests"
    ),
}


@dataclass(frozen=True)
class Printed:
    """A command, its page, and the GraphQL document and the JSON that are printed before it."""

    page: str
    command: str
    document: str
    json: str = ""


def printed(page: str, text: str) -> Iterator[Printed]:
    """The commands of a page's shell blocks, without comments."""
    document = json = ""
    for kind, content in BLOCK.findall(text):
        if kind == "graphql":
            document = content
        if kind == "json":
            json = content
        if kind in {"sh", "bash", "shell", "console"}:
            for line in content.replace("\\\n", "").splitlines():
                if command := re.sub(r"(^|\s+)#\s.*", "", line).strip():
                    yield Printed(page, command, document, json)


PRINTED = [one for page in PAGES for one in printed(str(page.relative_to(HOUSE)), page.read_text())]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """The running gateway that commands ask."""
    with serving("--port", "0", until="GraphQL: ") as server:
        yield server


@pytest.fixture
def shell(tmp_path: Path, gateway: Server) -> dict[str, str]:
    """The environment of a shell whose folder has the installation as `.venv`, on free ports."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    free = {"GATEWAY_PORT": "0", "GATEWAY_METRICS_PORT": "0", "GATEWAY_URL": gateway.url}
    path = f"{tmp_path / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return environment({**free, "PATH": path, "PYTHONUNBUFFERED": "1"})


@pytest.mark.xdist_group("printed commands")
@pytest.mark.parametrize(
    "one",
    [one for one in PRINTED if one.command not in NOT_RUN],
    ids=lambda one: f"{one.page}: {one.command}",
)
def test_a_printed_command_does_what_it_should(
    one: Printed, shell: dict[str, str], tmp_path: Path
) -> None:
    for name in DOCUMENT.findall(one.command):
        (tmp_path / name).write_text(one.document)
    if MANIFEST in one.command:
        (tmp_path / MANIFEST).write_text(one.json)
    with subprocess.Popen(  # noqa: S603
        ["/bin/bash", "-c", one.command],
        env=shell,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        end = next((line for kind, line in ENDLESS.items() if kind.search(one.command)), None)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if end and line.startswith(end):
                process.send_signal(signal.SIGTERM)
                end = ""

    assert not [line for line in lines if "Traceback" in line or "warning" in line]
    if end is None:
        assert process.returncode == 0, lines
        assert lines or " > " in one.command
    else:
        assert end == "", lines
        assert process.returncode in {0, -signal.SIGTERM}


INLINE = {
    (str(page.relative_to(HOUSE)), found)
    for page in PAGES
    for found in re.findall(r"`(?:\.venv/bin/)?gateway ([^`]+)`", page.read_text())
}


@pytest.mark.parametrize(("page", "arguments"), sorted(INLINE), ids=lambda one: str(one))
def test_a_command_in_a_sentence_exists_with_its_options(
    page: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = shlex.split(arguments)
    with pytest.raises(SystemExit) as end:
        main([name, "--help"] if name != "--help" else [name])

    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert [word for word in rest if word.startswith("--") and word not in shown] == []


@pytest.mark.parametrize(
    "module",
    sorted(
        {m for page in PAGES for m in re.findall(r"`python -m (tests[\w.]*)", page.read_text())}
    ),
)
def test_a_module_in_a_sentence_exists(module: str) -> None:
    assert find_spec(module) is not None


def test_what_is_not_run_is_printed_and_has_a_reason() -> None:
    """A row whose command has changed would hide the new one."""
    commands = {one.command for one in PRINTED}

    assert commands >= NOT_RUN.keys()
    assert all(NOT_RUN.values())


def test_a_command_that_nobody_listed_is_found() -> None:
    """Without its comment, with the document before it, on as many lines as it has."""
    text = (
        "```graphql\n{ a }\n```\n```sh\n# first\ngateway x \\\n  --y  # prints\n\ngateway z\n```\n"
    )

    assert list(printed("a.md", text)) == [
        Printed("a.md", "gateway x   --y", "{ a }\n"),
        Printed("a.md", "gateway z", "{ a }\n"),
    ]
