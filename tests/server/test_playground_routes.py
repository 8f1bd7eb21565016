"""The account that the page names: who is told its SID, and which."""

import base64
from pathlib import Path

import pytest

from gateway.access.tokens import new_token
from gateway.settings import AccessMode
from tests.plain_twilio import ACCOUNT, PlainTwilio, sid
from tests.server.stage import served

PATH = "/playground/account"


async def test_an_open_gateway_names_its_account() -> None:
    """It sends no upstream request for it, and no page of another origin is told."""
    twilio = PlainTwilio()
    async with served(twilio) as client:
        response = await client.get(PATH)
        foreign = await client.get(PATH, headers={"Origin": "https://example.com"})

    assert response.json() == {"account": ACCOUNT}
    assert response.headers["cache-control"] == "no-store"
    assert foreign.status_code == 403
    assert ACCOUNT not in foreign.text
    assert twilio.requests == []


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[str, str]:
    """A token, and a file that accepts it."""
    token, line = new_token("kim", "read")
    file = tmp_path / "tokens"
    file.write_text(f"{line}\n")
    return token, str(file)


async def test_only_a_caller_with_access_is_told(tokens: tuple[str, str]) -> None:
    """Anyone may read the page, and it does not have the SID."""
    token, file = tokens
    async with served(access=AccessMode.TOKEN, tokens_file=file) as client:
        page = await client.get("/", headers={"Accept": "text/html"})
        stranger = await client.get(PATH)
        kim = await client.get(PATH, headers={"Authorization": f"Bearer {token}"})

    assert 'data-access="token"' in page.text
    assert 'data-sandbox="false"' in page.text
    assert ACCOUNT not in page.text
    assert stranger.status_code == 401
    assert stranger.headers["www-authenticate"].startswith("Bearer")
    assert stranger.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert kim.json() == {"account": ACCOUNT}


async def test_in_passthrough_the_account_is_the_callers() -> None:
    mine = sid("AC", 7)
    basic = base64.b64encode(f"{mine}:geheim".encode()).decode()
    async with served(access=AccessMode.PASSTHROUGH, account_sid=None, auth_token=None) as client:
        response = await client.get(PATH, headers={"Authorization": f"Basic {basic}"})

    assert response.json() == {"account": mine}


async def test_over_the_sandbox_there_is_no_account() -> None:
    async with served(account_sid=None, auth_token=None) as client:
        page = await client.get("/", headers={"Accept": "text/html"})
        response = await client.get(PATH)

    assert 'data-sandbox="true"' in page.text
    assert response.json() == {"account": None}
