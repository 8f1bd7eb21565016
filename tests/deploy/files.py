"""Reads what is delivered beside the gateway: YAML files and the settings in them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from gateway.settings import Settings, settings_by_name

HOUSE = Path(__file__).parents[2]
DEPLOY = HOUSE / "deploy"


def yaml_of(path: Path) -> Any:
    """The content of a file with one document."""
    return yaml.safe_load(path.read_text())


def run_tool(module: str, *arguments: str | Path) -> None:
    """Runs a checker that is a Python module. Fails with its output if it finds something."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_are_settings(environment: dict[str, Any]) -> None:
    """Each variable is a setting, and the given values are valid ones."""
    ours = {name for name in environment if name.startswith(("GATEWAY_", "TWILIO_"))}
    assert ours - settings_by_name().keys() == set()
    assert all(isinstance(value, str) for value in environment.values()), "YAML makes on a boolean"
    Settings.from_environment(environment)


def grace_of(environment: dict[str, str]) -> float:
    """Seconds that the gateway may need to end: it drains, then has 5 to close what is left."""
    settings = Settings.from_environment(environment)
    return settings.server.drain_delay + settings.server.drain_timeout + 5
