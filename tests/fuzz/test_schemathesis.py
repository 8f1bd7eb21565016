"""schemathesis against a gateway in its own process: what its schema allows, and the answers."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.end_to_end.program import serving

pytestmark = [pytest.mark.timeout(0), pytest.mark.xdist_group("servers")]

NEWEST = """{ calls(first: 20) { nodes { sid recordings { nodes { sid } }
    notifications { nodes { sid } } } } }"""
# Arguments that name something which is there, half the time, so that there is something to answer.
CONFIGURATION = """
[dictionaries.sids]
values = {sids}
[dictionaries.sizes]
values = [1, 5, 50]
[generation.dictionaries]
string = {{ dictionary = "sids", probability = 0.5 }}
integer = {{ dictionary = "sizes", probability = 0.7 }}
"""
HOOKED = os.environ | {
    "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
EXAMPLES = {"gateway": 8, "long": 400}


def test_valid_requests_cause_no_server_error_and_responses_conform_to_the_schema(
    tmp_path: Path,
) -> None:
    """Every check that is meant for GraphQL, but for the one that no argument can be refused."""
    profile = hypothesis.settings.get_current_profile_name()
    with serving("--port", "0", until="GraphQL") as gateway:
        calls = gateway.ask(NEWEST)["calls"]["nodes"]
        sids = [call["sid"] for call in calls]
        sids += [row["sid"] for call in calls for row in call["recordings"]["nodes"]]
        sids += [row["sid"] for call in calls for row in call["notifications"]["nodes"]]
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(sids=sids))
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            *(f"{gateway.url}/graphql", "--phases", "fuzzing"),
            *("--exclude-checks", "positive_data_acceptance", "--max-response-time", "10"),
            *("--max-examples", str(EXAMPLES[profile]), "--suppress-health-check", "all"),
        ]
        done = subprocess.run(  # noqa: S603
            command, cwd=tmp_path, env=HOOKED, capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stdout
    assert "Selected: 9/9" in done.stdout
    assert "Traceback" not in gateway.log
