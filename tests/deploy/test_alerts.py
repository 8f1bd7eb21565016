"""The alerts and the dashboard: syntax, metrics, and what docs/alerts.md says of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, HOUSE, yaml_of
from tests.deploy.metrics import problems_of
from tests.house import anchors
from tests.missing import skip_or_fail

PROMETHEUS = DEPLOY / "prometheus"
TESTS = sorted(PROMETHEUS.glob("*_test.yaml"))
RULES = [rule for group in yaml_of(PROMETHEUS / "rules.yaml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARD = json.loads((DEPLOY / "grafana" / "gateway.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def promtool(*arguments: str | Path) -> None:
    """Runs Prometheus' own checker. Fails with its output if it finds something."""
    if shutil.which("promtool") is None:
        skip_or_fail("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(  # noqa: S603
        ["promtool", *map(str, arguments)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_pass_their_tests() -> None:
    promtool("test", "rules", *TESTS)


def test_the_configuration_of_compose_is_valid() -> None:
    """And it loads the rules."""
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert yaml_of(PROMETHEUS / "prometheus.yml")["rule_files"] == ["rules.yaml"]


def test_each_alert_is_tested_both_ways() -> None:
    """Some input raises it, and some does not."""
    checks: list[dict[str, Any]] = [
        check
        for path in TESTS
        for test in yaml_of(path)["tests"]
        for check in test["alert_rule_test"]
    ]

    assert {one["alertname"] for one in checks if one["exp_alerts"]} == set(ALERTS)
    assert {one["alertname"] for one in checks if not one["exp_alerts"]} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_explained(name: str) -> None:
    """The link leads to its heading; the severity is one of the two that the page explains."""
    path, anchor = ALERTS[name]["annotations"]["runbook_url"].split("#")

    assert anchor == name.lower()
    assert anchor in anchors(HOUSE / path)
    assert f"## {name}\n\n**{ALERTS[name]['labels']['severity']}**." in (HOUSE / path).read_text()


def test_no_other_alert_is_explained() -> None:
    headings = re.findall(r"^## (.*)$", (HOUSE / "docs" / "alerts.md").read_text(), re.MULTILINE)

    assert headings == list(ALERTS)


@pytest.mark.parametrize(
    "expression", [*(rule["expr"] for rule in RULES), *QUERIES], ids=lambda text: text[:60]
)
def test_each_expression_uses_metrics_and_labels_that_exist(expression: str) -> None:
    assert problems_of(expression) == []


def test_what_the_alerts_take_from_recording_rules_is_recorded() -> None:
    """A mistyped name would never raise an alert."""
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {name for rule in RULES for name in re.findall(r"\w+:[\w:]+", rule["expr"])}

    assert used == recorded


@pytest.mark.parametrize(
    ("expression", "problems"),
    [
        ("gateway_nothing", ["gateway_nothing"]),
        ('gateway_errors_total{kind="a"}', ["gateway_errors_total{kind}"]),
        (
            'gateway_webhooks_total{result=~"taken|stolen"}',
            ["gateway_webhooks_total{result=stolen}"],
        ),
        ("sum by (job, code) (gateway_subscriptions)", ["code"]),
    ],
)
def test_an_expression_with_a_mistake_is_found(expression: str, problems: list[str]) -> None:
    assert problems_of(expression) == problems


def test_the_queries_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    """With Grafana's variables filled in."""
    filled = [query.replace("$__rate_interval", "5m") for query in QUERIES]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(filled)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", path)


def test_the_dashboard_fits_any_grafana() -> None:
    """A fixed uid; the data source, the gateway and the replica are chosen, not written down."""
    variables = {one["name"]: one["type"] for one in DASHBOARD["templating"]["list"]}
    sources = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    filters = 'job=~"$job", instance=~"$instance"'

    assert DASHBOARD["uid"] == "twilio-calls-gateway"
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    assert sources == {"${datasource}"}
    assert [query for query in QUERIES if filters not in query] == []
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Callers", "Upstream", "Live", "Process"]


def test_no_panel_covers_another() -> None:
    """Their numbers differ, and so do their places."""
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    squares = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(set(numbers)) == len(numbers)
    assert len(set(squares)) == len(squares)
    assert max(x for x, _ in squares) < 24
