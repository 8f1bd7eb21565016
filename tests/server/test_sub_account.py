"""A sub-account read with its main account's SID and token, a common set-up."""

from typing import Any

import httpx
import pytest

from gateway.server.webhook_keys import callback_url, lacks_webhook_key
from gateway.settings import AccessMode, Secret
from tests.credentials import basic
from tests.live.webhooks import event, hooks
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call
from tests.server.stage import served
from tests.settings import settings_of

MAIN, MAINS_TOKEN = "AC" + "d" * 32, "d" * 32
BY_MAIN: dict[str, Any] = {
    "account_sid": ACCOUNT,
    "auth_token": None,
    "api_key": MAIN,
    "api_secret": Secret(MAINS_TOKEN),
}
OWN = (Secret(TOKEN),)


async def test_the_sub_accounts_calls_are_read_by_the_main_accounts_credential() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    seen: list[tuple[str, str | None]] = []

    def see(request: httpx.Request) -> None:
        seen.append((request.url.path, request.headers.get("authorization")))

    twilio.fault = see
    async with served(twilio, **BY_MAIN) as client:
        answer = await client.post(
            "/graphql", json={"query": "{ calls(first: 1) { nodes { sid } } }"}
        )

    assert len(answer.json()["data"]["calls"]["nodes"]) == 1
    assert seen == [(f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json", basic(MAIN, MAINS_TOKEN))]


@pytest.mark.parametrize(
    ("given", "signs"),
    [
        (BY_MAIN, {}),
        (BY_MAIN | {"auth_token": Secret(MAINS_TOKEN)}, {}),
        (BY_MAIN | {"auth_token": Secret(TOKEN)}, {TOKEN}),
        (BY_MAIN | {"webhook_auth_tokens": OWN}, {TOKEN}),
        (BY_MAIN | {"api_key": ACCOUNT, "api_secret": Secret(TOKEN)}, {TOKEN}),
        ({"account_sid": ACCOUNT, "auth_token": Secret(TOKEN)}, {TOKEN}),
    ],
    ids=["main", "the main's token twice", "both", "webhooks'", "itself as key", "itself"],
)
async def test_a_webhook_is_signed_with_the_sub_accounts_own_token(
    given: dict[str, Any], signs: set[str]
) -> None:
    settings = settings_of(**given, public_url="https://gw.example.com")
    async with hooks(**given) as twilio:
        answers = {
            token: (await twilio.post(event("ringing", 1), token=token)).status_code
            for token in (MAINS_TOKEN, TOKEN)
        }

    assert answers == {token: 204 if token in signs else 403 for token in answers}
    assert lacks_webhook_key(settings) is (not signs)
    assert callback_url(settings) == ("https://gw.example.com" if signs else None)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"access": AccessMode.PASSTHROUGH},
        {"account_sid": ACCOUNT, "api_key": "SK" + "c" * 32, "api_secret": Secret("s"),
         "webhook_shared_keys": OWN},
    ],
    ids=["sandbox", "passthrough", "shared key"],
)  # fmt: skip
def test_other_set_ups_do_not_lack_a_key(given: dict[str, Any]) -> None:
    assert not lacks_webhook_key(settings_of(**given))
