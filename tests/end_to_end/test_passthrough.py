"""Passthrough as a program over the sandbox: guesses are limited and delay nobody else."""

from collections import Counter
from typing import Any

import httpx

from tests.end_to_end.program import serving

ONE = "{ calls(first: 1) { nodes { sid } } }"
WATCH = "subscription { callsUpdated(filter: { status: [COMPLETED] }) { source } }"
PROXY = {"X-Forwarded-For": "203.0.113.9"}
GUESSES, FEW = 130, 20


def code_of(answer: httpx.Response) -> Any:
    """The code of its only error, or None if there is none."""
    errors = answer.json().get("errors")
    return errors and errors[0]["extensions"]["code"]


def test_guesses_at_an_account_are_limited_and_delay_no_other_client() -> None:
    """All come through an untrusted proxy, so none counts for an address."""
    with serving("sandbox", "--port", "0", until="TWILIO_AUTH_TOKEN") as sandbox:
        account, token = (
            sandbox.settings[f"TWILIO_{name}"] for name in ("ACCOUNT_SID", "AUTH_TOKEN")
        )
        with (
            serving(
                "--port", "0", until="GraphiQL", GATEWAY_ACCESS="passthrough",
                TWILIO_BASE_URL=sandbox.settings["TWILIO_BASE_URL"],
            ) as server,
            httpx.Client(base_url=server.url, headers=PROXY, timeout=20) as client,
        ):  # fmt: skip

            def ask(
                username: str, password: str, query: str = ONE, accept: str = "application/json"
            ) -> httpx.Response:
                return client.post(
                    "/graphql",
                    json={"query": query},
                    auth=(username, password),
                    headers={"Accept": accept},
                )

            before = ask(account, token)
            syntax = Counter(code_of(ask(account, f"no{n}", "{ calls(")) for n in range(FEW))
            watching = ask(account, "made-up", WATCH, "text/event-stream")
            guesses = Counter(code_of(ask(account, f"made-up{n}")) for n in range(GUESSES))
            after = ask(account, token)
            others = Counter(code_of(ask("AC" + f"{n:032x}", "x")) for n in range(FEW))

    assert code_of(before) is None
    assert syntax == {"GRAPHQL_PARSE_FAILED": FEW}
    assert "UPSTREAM_AUTH" in watching.text
    assert guesses["UPSTREAM_AUTH"] + guesses["RATE_LIMITED"] == GUESSES
    assert 99 <= guesses["UPSTREAM_AUTH"] <= 110  # one attempt is refilled in six seconds
    assert code_of(after) is None
    assert set(others) <= {"UPSTREAM_AUTH", "UPSTREAM_NOT_FOUND"}
    assert token not in server.log + str(server.lines)
