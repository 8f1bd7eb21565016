"""The kustomize base: valid, and what its comments and docs/deploy.md say of it."""

import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, HOUSE, assert_are_settings, grace_of, run_tool, yaml_of

BASE = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml_of(BASE / "kustomization.yaml")
MANIFESTS = {one["kind"]: one for one in (yaml_of(BASE / r) for r in KUSTOMIZATION["resources"])}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
# What the Secret `gateway` of docs/deploy.md holds, as far as it can be made up here.
SECRET = {"TWILIO_ACCOUNT_SID": "", "GATEWAY_ACCESS": "passthrough", "GATEWAY_STORE_URL": ""}


def environment() -> dict[str, Any]:
    """The container's variables, with those from the Secret."""
    return {one["name"]: one.get("value", SECRET.get(one["name"])) for one in CONTAINER["env"]}


def test_the_manifests_are_valid() -> None:
    """The schemas of Kubernetes come with the validator."""
    paths = [BASE / name for name in KUSTOMIZATION["resources"]]

    run_tool("kubernetes_validate", "--strict", *paths)
    assert sorted(path.name for path in BASE.iterdir()) == sorted(
        ["kustomization.yaml", *KUSTOMIZATION["resources"]]
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
def test_kustomize_builds_the_base() -> None:
    """With all resources. The other tests read the files, which need no change by kustomize."""
    done = subprocess.run(  # noqa: S603
        ["kubectl", "kustomize", str(BASE)],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    (image,) = KUSTOMIZATION["images"]

    assert built.keys() == MANIFESTS.keys()
    (container,) = built["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{image['name']}:{image['newTag']}"


def test_the_image_is_that_of_the_packages_version() -> None:
    """And the Deployment names it as kustomize knows it."""
    version = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["version"]

    assert KUSTOMIZATION["images"] == [{"name": CONTAINER["image"], "newTag": version}]


def test_each_selector_fits_the_pods() -> None:
    """One that fits none protects, scales or serves nothing; an empty one takes all Pods."""
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in POD["topologySpreadConstraints"]),
    ]
    target = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]

    assert selectors == [labels] * len(selectors)
    assert labels
    assert target["name"] == MANIFESTS["Deployment"]["metadata"]["name"]


def test_the_variables_are_settings() -> None:
    assert_are_settings(environment())


@pytest.mark.parametrize("name", SECRET)
def test_account_access_and_store_come_from_a_secret_that_must_have_them(name: str) -> None:
    """A default would open the gateway, answer from the sandbox, or place calls twice."""
    (variable,) = (one for one in CONTAINER["env"] if one["name"] == name)

    assert variable["valueFrom"] == {"secretKeyRef": {"name": "gateway", "key": name}}
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": "gateway"}}]


def test_no_probe_asks_for_upstream() -> None:
    """Else an outage of Twilio would take every replica out of the Service."""
    probes = [value for name, value in CONTAINER.items() if name.endswith("Probe")]

    assert sorted(probe["httpGet"]["path"] for probe in probes) == ["/healthz", "/readyz"]


def test_the_grace_period_is_what_draining_takes() -> None:
    """And connections are accepted until the readiness probe has seen the end."""
    delay = float(environment()["GATEWAY_DRAIN_DELAY"])

    assert POD["terminationGracePeriodSeconds"] == grace_of(environment())
    assert delay > CONTAINER["readinessProbe"]["periodSeconds"]


def test_two_replicas_at_least_and_never_none() -> None:
    """The autoscaler alone says how many there are."""
    deployment = MANIFESTS["Deployment"]["spec"]

    assert MANIFESTS["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 2
    assert "replicas" not in deployment
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_the_pod_is_closed() -> None:
    """No root, no token of the cluster, no writable file but /tmp, no variables of Services."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False
    assert POD["enableServiceLinks"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [one["mountPath"] for one in CONTAINER["volumeMounts"] if not one.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108


def test_metrics_are_open_to_the_namespace_of_prometheus_only() -> None:
    """The Service does not offer them, and the network lets nobody else in."""
    ingress = MANIFESTS["NetworkPolicy"]["spec"]["ingress"]
    sources = {port["port"]: rule.get("from") for rule in ingress for port in rule["ports"]}

    assert [one["targetPort"] for one in MANIFESTS["Service"]["spec"]["ports"]] == ["http"]
    assert sources["http"] is None
    assert sources["metrics"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
