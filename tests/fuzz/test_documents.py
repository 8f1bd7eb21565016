"""Documents at random: none is a fault of the server's, and every answer conforms."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.errors import error_codes
from tests.documents import garbled_documents, invalid_documents, valid_documents
from tests.plain_twilio import PlainTwilio, call, notification, recording, sid
from tests.server.stage import GRAPHQL_RESPONSE, served

pytestmark = pytest.mark.timeout(0)  # the long profile takes its time
SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def account() -> PlainTwilio:
    """Calls with legs, recordings and notifications."""
    return PlainTwilio(
        calls=[
            call(n, at=-n, parent_call_sid=sid("CA", n - 1) if n % 3 == 0 else None)
            for n in range(1, 10)
        ],
        recordings=[recording(n, of=n, at=-n) for n in range(1, 10)],
        notifications=[notification(n, of=n, at=-n) for n in range(1, 10)],
    )


async def asked(document: str) -> tuple[int, dict[str, Any]]:
    """The status of the answer, and the answer, which conforms to the response format."""
    async with served(account()) as client:
        response = await client.post(
            "/graphql", json={"query": document}, headers={"Accept": GRAPHQL_RESPONSE}
        )
    body: dict[str, Any] = response.json()
    assert response.status_code in {200, 400}, response.text
    assert body.keys() <= {"data", "errors"}
    assert ("data" in body) == (response.status_code == 200)
    assert body.get("errors") != []
    for error in body.get("errors", ()):
        assert error.keys() <= {"message", "locations", "path", "extensions"}
        assert error["extensions"]["code"] in error_codes()
        assert error["extensions"]["code"] != "INTERNAL_ERROR"
        assert "path" not in error or is_null_at(body["data"], error["path"])
    return response.status_code, body


def is_null_at(data: Any, path: list[str | int]) -> bool:
    """True when the place of an error, or a place above it, is null."""
    for step in path:
        if data is None:
            return True
        data = data[step]
    return data is None


@SLOW
@given(valid_documents())
async def test_a_valid_document_is_answered_or_refused_by_a_limit(document: str) -> None:
    status, body = await asked(document)

    if status == 400:
        assert {error["extensions"]["code"] for error in body["errors"]} <= {
            "LIMIT_EXCEEDED",
            "BAD_USER_INPUT",
        }


@SLOW
@given(invalid_documents())
async def test_an_invalid_document_is_a_client_error(document: str) -> None:
    _, body = await asked(document)

    assert "errors" in body


@SLOW
@given(garbled_documents())
async def test_text_that_is_almost_graphql_causes_no_server_error(document: str) -> None:
    await asked(document)
