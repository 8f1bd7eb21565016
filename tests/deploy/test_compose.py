"""compose.yaml and the workflows: valid, and what docs/deploy.md says of them."""

import re
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, HOUSE, assert_are_settings, grace_of, run_tool, yaml_of

COMPOSE = HOUSE / "compose.yaml"
SERVICES = yaml_of(COMPOSE)["services"]
GATEWAY = SERVICES["gateway"]
WORKFLOWS = sorted((HOUSE / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+")


def test_the_compose_file_is_valid() -> None:
    run_tool("check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_variables_are_settings_and_the_rest_comes_from_a_file_of_the_user() -> None:
    """No credential and no access mode stands in compose.yaml, nor can git or the image get it."""
    given = GATEWAY["environment"]

    assert_are_settings(given)
    assert not any(name.startswith("TWILIO_") or "ACCESS" in name for name in given)
    assert GATEWAY["env_file"] in (HOUSE / ".gitignore").read_text().splitlines()


def test_two_gateways_share_a_store_that_loses_no_key() -> None:
    store = SERVICES["valkey"]["command"]

    assert GATEWAY["deploy"]["replicas"] == 2
    assert GATEWAY["environment"]["GATEWAY_STORE_URL"].startswith("valkey://valkey:")
    assert "--maxmemory-policy noeviction" in store
    assert "--appendonly yes" in store


def test_the_gateway_has_time_to_drain_and_may_write_nothing_but_tmp() -> None:
    assert GATEWAY["stop_grace_period"] == f"{grace_of(GATEWAY['environment']):.0f}s"
    assert GATEWAY["read_only"] is True
    assert GATEWAY["tmpfs"] == ["/tmp"]  # noqa: S108


def test_only_this_machine_reaches_the_ports() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_profile_observe_finds_its_files() -> None:
    """Each mounted file exists; Grafana looks for the dashboard where it is mounted."""
    observers = [one for one in SERVICES.values() if one.get("profiles") == ["observe"]]
    mounts = [mount.split(":") for one in observers for mount in one["volumes"]]
    files = {target: HOUSE / source for source, target, *_ in mounts if source.startswith(".")}
    provider = yaml_of(DEPLOY / "grafana/provisioning/dashboards/gateway.yaml")["providers"][0]

    assert len(observers) == 2
    assert [path for path in files.values() if not path.exists()] == []
    assert f"{provider['options']['path']}/gateway.json" in files


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_valid_and_pins_its_actions(workflow: Path) -> None:
    run_tool("check_jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    jobs = yaml_of(workflow)["jobs"].values()
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]

    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


def test_a_release_has_an_image_with_sbom_and_provenance() -> None:
    (release,) = (path for path in WORKFLOWS if path.stem == "release")
    steps = yaml_of(release)["jobs"]["image"]["steps"]
    (build,) = (one["with"] for one in steps if "build-push" in one.get("uses", ""))

    assert (build["sbom"], build["provenance"]) == (True, "mode=max")
