"""Mode passthrough: the caller's own credential, separate from all others and never shown."""

import pytest

from gateway.access import PassthroughAccess, Scope
from gateway.errors import Unauthenticated
from tests.credentials import basic
from tests.plain_twilio import ACCOUNT, TOKEN

KEY = "SK" + "c" * 32
OTHER = "AC" + "b" * 32


async def test_the_account_is_the_user_name() -> None:
    caller = await PassthroughAccess().identify(basic(ACCOUNT))

    assert caller.account is not None
    assert (caller.name, caller.account.sid, caller.account.username) == (ACCOUNT,) * 3
    assert caller.account.password.reveal() == TOKEN
    assert caller.scopes == set(Scope)


async def test_an_api_key_names_its_account_in_a_header() -> None:
    caller = await PassthroughAccess().identify(basic(KEY), ACCOUNT)

    assert caller.account is not None
    assert (caller.account.sid, caller.account.username) == (ACCOUNT, KEY)


@pytest.mark.parametrize(
    ("authorization", "account_sid"),
    [
        (None, None), ("", None), ("Bearer " + TOKEN, None), (basic(KEY), None),
        (basic("kevin"), None), (basic(ACCOUNT + "0"), None), (basic(ACCOUNT, ""), None),
        (basic(ACCOUNT, "a\r\nX: y"), None), (basic(ACCOUNT), "../" + OTHER), (basic(ACCOUNT), KEY),
        (basic(KEY), ACCOUNT + "/Calls"), (basic(ACCOUNT)[:-3] + "*", None), ("Basic /w==", None),
    ],
)  # fmt: skip
async def test_an_invalid_credential_is_refused_and_not_repeated(
    authorization: str | None, account_sid: str | None
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await PassthroughAccess().identify(authorization, account_sid)

    assert TOKEN not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


async def test_credentials_have_distinct_digests_that_reveal_nothing() -> None:
    presented = [
        (basic(ACCOUNT), None), (basic(ACCOUNT, "f" * 32), None), (basic(KEY), ACCOUNT),
        (basic(ACCOUNT), OTHER), (basic(OTHER), None),
    ]  # fmt: skip
    callers = [await PassthroughAccess().identify(*given) for given in presented]
    again = await PassthroughAccess().identify(basic(ACCOUNT))
    digests = [caller.account.digest for caller in callers if caller.account]

    assert len(set(digests)) == 5
    assert again.account
    assert again.account.digest == digests[0]
    assert all(TOKEN not in text for text in [*digests, *map(repr, callers)])
