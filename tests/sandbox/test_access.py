"""Credentials, and the responses to unknown paths and methods."""

import pytest

from gateway.sandbox import SandboxConfig, create_app
from tests.credentials import basic
from tests.sandbox.conftest import OpenAccount
from tests.sandbox.rows import call, sid

KEYED = SandboxConfig(calls=0, api_key="SK" + "0" * 32, api_secret="a secret: with colons")

RIGHT = basic(KEYED.account_sid, KEYED.auth_token)


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param((KEYED.account_sid, KEYED.auth_token), id="account SID and auth token"),
        pytest.param((KEYED.api_key, KEYED.api_secret), id="API key and its secret"),
    ],
)
async def test_both_kinds_of_credential_are_accepted(
    open_account: OpenAccount, credentials: tuple[str, str]
) -> None:
    account = await open_account(config=KEYED)

    response = await account.client.get(account.path + "/Calls.json", auth=credentials)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic é",
        "Bearer abc",
        RIGHT.replace("Basic", "Bearer"),
        RIGHT + "x",
        basic(KEYED.account_sid, "wrong"),
        basic("SK" + "0" * 32, KEYED.auth_token),
        basic("", ""),
    ],
)
@pytest.mark.parametrize("path", ["/Calls.json", "/Nothing.json"])
async def test_other_credentials_get_the_401_of_the_service(
    open_account: OpenAccount, authorization: str | None, path: str
) -> None:
    account = await open_account(config=KEYED)
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    account.client.auth = None

    response = await account.client.get(account.path + path, headers=headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"'
    assert response.json() == {
        "code": 20003,
        "detail": "Your AccountSid or AuthToken was incorrect.",
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/Nothing.json",
        "/Calls/" + sid("CA", 9) + ".json",
        "/Calls/" + sid("CA", 9) + "/Recordings.json",
        "/Calls/" + sid("CA", 9) + "/Notifications.json",
        "/Recordings/" + sid("RE", 9) + ".json",
        "/Notifications/" + sid("NO", 9) + ".json",
        "/Calls/x.json",
        "/Calls/.json",
    ],
)
async def test_the_404_names_the_path(open_account: OpenAccount, path: str) -> None:
    account = await open_account([call(1)])

    response = await account.get(path)

    assert response.status_code == 404
    assert response.json() == {
        "code": 20404,
        "message": f"The requested resource {account.path}{path} was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }


async def test_another_account_is_not_found(open_account: OpenAccount) -> None:
    account = await open_account()

    response = await account.client.get(f"/2010-04-01/Accounts/{sid('AC', 1)}/Calls.json")

    assert (response.status_code, response.json()["code"]) == (404, 20404)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/Calls.json", "/Calls/" + sid("CA", 1) + ".json"])
async def test_put_and_delete_are_not_supported(
    open_account: OpenAccount, method: str, path: str
) -> None:
    account = await open_account([call(1)])

    response = await account.client.request(method, account.path + path)

    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert response.json() == {
        "code": 20004,
        "message": "Method not allowed",
        "more_info": "https://www.twilio.com/docs/errors/20004",
        "status": 405,
    }


def test_no_credential_shows_in_a_repr() -> None:
    shown = repr(KEYED) + repr(create_app(KEYED).user_middleware)

    assert KEYED.auth_token not in shown
    assert str(KEYED.api_secret) not in shown
