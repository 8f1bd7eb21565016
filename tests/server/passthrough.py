"""Shared by the tests of passthrough: a Twilio with many accounts that checks credentials."""

import base64
from dataclasses import dataclass, field

import httpx

from gateway.access import Account, Caller, Scope
from gateway.live.store import MemoryStore
from gateway.live.subscriptions import SubscriberSlots
from gateway.server.account_clients import AccountClient
from gateway.server.account_stores import AccountStores
from gateway.settings import Secret, UpstreamSettings
from gateway.upstream.client import UpstreamClient
from gateway.upstream.credential_check import CredentialCheck
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, error, sid

WRONG = "made-up"


def account(number: int = 1, password: str = TOKEN) -> Account:
    """The account with this number."""
    return Account(sid("AC", number), sid("AC", number), Secret(password))


def caller(number: int = 1, password: str = TOKEN, address: str | None = None) -> Caller:
    """A caller with that account's credential."""
    given = account(number, password)
    return Caller(given.sid, frozenset(Scope), given, address)


@dataclass
class ManyAccounts(PlainTwilio):
    """Every account has the same calls. A password opens all accounts or none.

    `may_not_list` are passwords of API keys that may do everything except list.
    """

    passwords: set[str] = field(default_factory=lambda: {TOKEN}, repr=False)
    may_not_list: set[str] = field(default_factory=set, repr=False)
    is_closed: bool = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        given = request.headers["authorization"].removeprefix("Basic ")
        password = base64.b64decode(given).decode().partition(":")[2]
        account_sid, *path = request.url.path.split("/")[3:]
        is_list = request.method == "GET" and len(path) == 1
        if password not in self.passwords or (is_list and password in self.may_not_list):
            return error(401, 20003)
        url = str(request.url).replace(account_sid, ACCOUNT)
        answer = super().answer(httpx.Request(request.method, url, content=request.content))
        body = answer.content.replace(ACCOUNT.encode(), account_sid.encode())
        return httpx.Response(answer.status_code, content=body)

    async def aclose(self) -> None:
        self.is_closed = True


class Made(list[tuple[str, ManyAccounts]]):
    """Makes clients, and lists the account SID and Twilio of each."""

    def __call__(self, given: Account) -> AccountClient:
        twilio, proof = ManyAccounts(), CredentialCheck()
        self.append((given.sid, twilio))
        client = UpstreamClient(given, UpstreamSettings(), twilio, hook=proof.record)
        stores = AccountStores(lambda _: MemoryStore())
        return AccountClient(client, stores, SubscriberSlots(100), proof=proof)

    def open(self) -> list[str]:
        """The account SIDs of the clients that are not closed."""
        return [sid for sid, twilio in self if not twilio.is_closed]
