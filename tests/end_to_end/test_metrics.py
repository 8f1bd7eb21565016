"""The metrics of the running program, with one worker and with several."""

import re
import socket

import httpx
import pytest

from tests.end_to_end.program import Server, run, serving

ON = {"GATEWAY_METRICS": "on", "GATEWAY_METRICS_PORT": "0"}
QUERY = "{ calls(first: 2) { nodes { sid } } }"


def scrape(server: Server) -> str:
    """The text of /metrics."""
    (line,) = (line for line in server.lines if line.startswith("Metrics: "))
    return httpx.get(line.removeprefix("Metrics: "), timeout=20).text


def value(text: str, series: str) -> float:
    """The value of one series."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_scrape_counts_the_operations_of_all_workers(workers: str) -> None:
    with serving("--port", "0", until="GraphiQL", GATEWAY_WORKERS=workers, **ON) as server:
        for _ in range(12):
            server.ask(QUERY)  # each over a connection of its own
        text = scrape(server)

    count = 'gateway_operation_duration_seconds_count{outcome="ok",type="query"}'
    assert value(text, count) == 12
    assert value(text, 'gateway_upstream_avoided_total{way="known"}') == 0
    assert ("process_resident_memory_bytes" in text) is (workers == "1")
    assert server.exit_code == 0
    assert "gateway.operation: operation type=query outcome=ok status=200" in server.log


def test_a_port_that_is_taken_ends_the_start_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", "0", GATEWAY_METRICS="on", GATEWAY_METRICS_PORT=port)

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("gateway: GATEWAY_METRICS_PORT: 127.0.0.1 port")


def test_metrics_are_not_on_the_port_of_clients() -> None:
    with serving("--port", "0", until="GraphiQL", **ON) as server:
        response = httpx.get(f"{server.url}/metrics", timeout=20)

    assert response.status_code == 404
