"""The Dockerfile: its steps run, and what they make serves, writes nothing and knows no secret."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.deploy.dockerfile import PlainFolder, Step, steps_of
from tests.deploy.files import HOUSE, assert_are_settings
from tests.end_to_end.program import FEW_CALLS

STEPS = list(steps_of((HOUSE / "Dockerfile").read_text()))
CONTEXT = (HOUSE / ".dockerignore").read_text().splitlines()
LAST_STAGE = max(number for number, step in enumerate(STEPS) if step.kind == "FROM")
# The steps install the gateway with its dependencies, which takes 20 seconds of CPU time.
pytestmark = [pytest.mark.xdist_group("image"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def image() -> Iterator[PlainFolder]:
    """What the steps make, in a folder."""
    with TemporaryDirectory() as root:
        folder = PlainFolder(Path(root), HOUSE)
        for step in STEPS:
            folder.run(step)
        yield folder


def test_the_installed_gateway_serves_and_writes_nothing_into_the_image(
    image: PlainFolder,
) -> None:
    """It starts, answers from the sandbox and ends with 0."""
    variables = image.variables() | FEW_CALLS | {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": "0"}
    before = sorted(image.root.rglob("*"))
    with subprocess.Popen(  # noqa: S603
        image.command, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = next(line for line in process.stdout if line.startswith("GraphQL: ")).split()[1]
        asked = {"query": "{ calls(first: 1) { nodes { sid } } }"}
        answer = httpx.post(url, json=asked, timeout=20).json()
        process.terminate()

    assert "errors" not in answer
    assert len(answer["data"]["calls"]["nodes"]) == 1
    assert process.returncode == 0
    assert sorted(image.root.rglob("*")) == before


def test_the_image_contains_the_page_and_nothing_to_test_with(image: PlainFolder) -> None:
    """GraphiQL's files, which are not in git, are installed; pytest is not."""
    (package,) = (image.root / "opt/gateway/lib").glob("python3*/site-packages/gateway")

    assert (package / "playground/assets/graphiql.min.js").exists()
    assert not (package.parent / "pytest").exists()
    assert shutil.which("twilio-calls-gateway", path=image.root / "opt/gateway/bin")


def test_with_a_real_account_the_image_does_not_start_without_access_control(
    image: PlainFolder,
) -> None:
    """Its address is open to other machines."""
    account = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "0" * 32}
    done = subprocess.run(  # noqa: S603
        image.command,
        env=image.variables() | account | {"GATEWAY_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "GATEWAY_ACCESS" in done.stderr


def test_only_what_is_copied_reaches_the_builder() -> None:
    """Everything else, also a file with secrets, is ignored."""
    sources = {
        source
        for step in STEPS
        if step.kind == "COPY" and not step.text.startswith("--from")
        for source in step.words[:-1]
    }

    assert next(line for line in CONTEXT if not line.startswith("#")) == "*"
    assert {line.removeprefix("!/") for line in CONTEXT if line.startswith("!")} == sources


def test_the_image_sets_settings_only_and_no_secret() -> None:
    """And it has two stages, a numeric user, and a health check of its own."""
    last = STEPS[LAST_STAGE:]
    environment: dict[str, str] = {}
    for step in last:
        if step.kind == "ENV":
            environment |= dict(word.split("=", 1) for word in step.words)

    assert_are_settings(environment)
    assert not any(name.startswith("TWILIO_") for name in environment)
    assert sum(step.kind == "FROM" for step in STEPS) == 2
    assert all(step.text.split(" AS ")[0].count("/") == 0 for step in STEPS if step.kind == "FROM")
    (user,) = (step.text for step in last if step.kind == "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    (check,) = (step for step in last if step.kind == "HEALTHCHECK")
    assert check.text.endswith('CMD ["gateway", "healthcheck"]')
    assert {step.kind for step in last} <= {
        *("FROM", "LABEL", "COPY", "ENV", "USER", "EXPOSE"),
        *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }


def test_a_step_that_fails_is_found(tmp_path: Path) -> None:
    folder = PlainFolder(tmp_path, HOUSE)

    with pytest.raises(subprocess.CalledProcessError):
        folder.run(Step("RUN", "test -e /opt/nothing"))
    with pytest.raises(FileNotFoundError):
        folder.run(Step("COPY", "nothing.txt ./"))
