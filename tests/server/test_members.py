"""In passthrough a credential reaches its own account's live calls and idempotency keys only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.access import Account
from gateway.live.events import EventSource
from gateway.live.store import MemoryStore
from gateway.live.subscriptions import SubscriberSlots
from gateway.server import Gateway, OperationOptions, open_gateway
from gateway.server.account_clients import AccountClient, AccountClientPool
from gateway.server.account_stores import AccountStores
from gateway.settings import AccessMode, UpstreamSettings
from gateway.upstream.client import UpstreamClient
from gateway.upstream.credential_check import MEMBER_SECONDS, CredentialCheck
from tests.conftest import utc_now
from tests.live.stage import event
from tests.plain_twilio import TOKEN, call, sid
from tests.schema.mutations import MAKE, making
from tests.server.passthrough import WRONG, ManyAccounts, caller
from tests.server.stage import settle
from tests.settings import settings_of

OTHER_KEY = "another key of the account"
WATCH_ALL = "subscription { callsUpdated { source call { sid status } } }"
WATCH_ONE = f'subscription {{ callUpdated(sid: "{sid("CA", 1)}") {{ source }} }}'
# It reads no list at first: such a subscription used to get everybody's events.
WATCH_ENDED = "subscription { callsUpdated(filter: { status: [COMPLETED] }) { source } }"
PARENT = "{ call { status parentCall { status } } }"
END = f'mutation {{ endCall(input: {{ sid: "{sid("CA", 1)}" }}) {{ call {{ sid }} }} }}'


@asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[tuple[ManyAccounts, Gateway]]:
    """A gateway without an account of its own; each upstream account has one ringing call."""
    twilio = ManyAccounts(
        calls=[call(1, status="ringing")], passwords={TOKEN, OTHER_KEY, "restricted"}
    )
    twilio.may_not_list = {"restricted"}
    async with open_gateway(
        settings_of(access=AccessMode.PASSTHROUGH, **settings), twilio
    ) as opened:
        yield twilio, opened


async def ask(
    opened: Gateway, query: str, password: str = TOKEN, number: int = 1, **variables: Any
) -> tuple[Any, set[Any]]:
    """The data and the codes of the errors."""
    result = await opened.execute(opened.prepare(query), variables, caller=caller(number, password))
    codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
    return result.data, codes


async def make(opened: Gateway, password: str = TOKEN, number: int = 1, **given: Any) -> Any:
    """Places a call under the key `k`: its SID, or the codes of errors or user errors."""
    variables = {"input": making(idempotencyKey="k", **given)}
    data, codes = await ask(opened, MAKE, password, number, **variables)
    if codes:
        return codes
    made = data["makeCall"]
    return made["call"]["sid"] if made["call"] else [e["code"] for e in made["userErrors"]]


def posts(twilio: ManyAccounts) -> list[str]:
    """The writes sent upstream."""
    return [request for request in twilio.requests if request.startswith("POST")]


async def test_two_keys_of_one_account_share_its_idempotency_keys() -> None:
    async with gateway() as (twilio, opened):
        first = await make(opened)
        again = await make(opened, OTHER_KEY)
        other = await make(opened, number=2)

    assert first == again
    assert other != first
    assert len(posts(twilio)) == 2


async def test_two_keys_of_one_account_get_its_calls_events() -> None:
    async with gateway() as (_, opened):
        stream = opened.stream(WATCH_ALL, caller=caller())
        async with aclosing(stream), asyncio.timeout(10):
            found = (await anext(stream)).data
            await ask(opened, MAKE, OTHER_KEY, input=making())
            recent_call = (await anext(stream)).data

    assert found
    assert found["callsUpdated"]["source"] == "CURRENT"
    assert recent_call
    assert recent_call["callsUpdated"]["source"] == "MUTATION"


@pytest.mark.parametrize("query", [WATCH_ALL, WATCH_ONE, WATCH_ENDED], ids=["all", "one", "ended"])
async def test_a_made_up_credential_gets_no_events(query: str) -> None:
    async with gateway() as (twilio, opened), asyncio.timeout(10):
        results = [result async for result in opened.stream(query, caller=caller(1, WRONG))]
        requests = twilio.requests

    (result,) = results
    assert result.data is None
    assert result.errors
    assert (result.errors[0].extensions or {})["code"] == "UPSTREAM_AUTH"
    assert requests == [f"GET /2010-04-01/Accounts/{sid('AC', 1)}/Calls?PageSize=1"]


async def test_a_made_up_credential_learns_nothing_about_a_key() -> None:
    """It gets the same error whether or not the key is in use, and claims none."""
    async with gateway() as (twilio, opened):
        before = await make(opened, WRONG)
        made = await make(opened)
        same = await make(opened, WRONG)
        other = await make(opened, WRONG, timeout=30)
        again = await make(opened)

    assert before == same == other == {"UPSTREAM_AUTH"}
    assert made == again
    assert len(posts(twilio)) == 1


async def test_a_key_that_may_not_list_calls_reads_them_and_gets_no_events() -> None:
    async with gateway() as (twilio, opened):
        read = await ask(opened, f'{{ call(sid: "{sid("CA", 1)}") {{ status }} }}', "restricted")
        ended = await ask(opened, END, "restricted")
        recent_call = [r async for r in opened.stream(WATCH_ONE, caller=caller(1, "restricted"))]
        keyed = await make(opened, "restricted")

    assert read == ({"call": {"status": "RINGING"}}, set())
    assert ended[1] == set()
    assert [error.extensions for error in recent_call[0].errors or ()] == [
        {"code": "UPSTREAM_AUTH", "httpStatus": 401, "twilioCode": 20003}
        | {"moreInfo": "https://www.twilio.com/docs/errors/20003", "requestId": "RQ" + "0" * 32}
    ]
    assert keyed == {"UPSTREAM_AUTH"}
    assert len(posts(twilio)) == 1


async def test_an_accepted_list_is_proof_without_a_further_request() -> None:
    async with gateway() as (twilio, opened):
        await ask(opened, "{ calls(first: 5) { nodes { sid } } }")
        twilio.requests.clear()
        await make(opened)
        assert [request.split("?")[0].split()[0] for request in twilio.requests] == ["POST"]
        await make(opened, OTHER_KEY)
        assert sum("PageSize=1" in request for request in twilio.requests) == 1


async def test_a_credential_that_is_refused_later_gets_no_more_events() -> None:
    """Its own poll notices, without any event."""
    async with gateway() as (twilio, opened):
        stream = opened.stream(WATCH_ONE, caller=caller())
        async with aclosing(stream), asyncio.timeout(20):
            assert (await anext(stream)).data
            twilio.passwords = {OTHER_KEY}
            (last,) = [result async for result in stream]
        still = await ask(opened, "{ calls { nodes { sid } } }", OTHER_KEY)

    assert last.errors
    assert (last.errors[0].extensions or {})["code"] == "UPSTREAM_AUTH"
    assert still[1] == set()


async def test_a_key_outlives_the_client_under_which_it_was_claimed() -> None:
    """With room for one client, another credential evicts it in between."""
    async with gateway(passthrough_clients=1) as (twilio, opened):
        first = await make(opened)
        await ask(opened, "{ calls { nodes { sid } } }", number=2)
        again = await make(opened)

    assert first == again
    assert len(posts(twilio)) == 1


async def test_the_limit_of_subscriptions_counts_all_callers() -> None:
    async with gateway(max_subscribers=2) as (_, opened):
        streams = [opened.stream(WATCH_ALL, caller=caller(number)) for number in range(3)]
        first = [await anext(stream) for stream in streams]
        for stream in streams:
            await stream.aclose()
        after = opened.stream(WATCH_ALL, caller=caller(4))
        again = await anext(after)
        await after.aclose()

    assert [bool(result.errors) for result in first] == [False, False, True]
    assert first[2].errors
    assert first[2].errors[0].extensions == {"code": "TOO_MANY_SUBSCRIBERS"}
    assert not again.errors


class SlowToChange(ManyAccounts):
    """Writes wait until they are released."""

    go: asyncio.Event

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            await self.go.wait()
        return await super().handle_async_request(request)


async def test_a_mutation_goes_on_when_its_client_is_evicted_and_the_newcomer_leaves() -> None:
    """Its caller has left; the newcomer is answered at once or leaves. Its key gets its result."""
    twilio = SlowToChange()
    twilio.go = asyncio.Event()
    settings = settings_of(access=AccessMode.PASSTHROUGH, passthrough_clients=1)
    async with open_gateway(settings, twilio) as opened, asyncio.timeout(20):
        leaving = asyncio.ensure_future(make(opened))
        while not any("PageSize=1" in one for one in twilio.requests):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await settle()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

        data, _ = await ask(opened, "{ calls { nodes { sid } } }", number=2)
        newcomer = asyncio.ensure_future(ask(opened, "{ calls { nodes { sid } } }", number=3))
        await settle()
        newcomer.cancel()
        await asyncio.gather(newcomer, return_exceptions=True)
        await ask(opened, "{ calls { nodes { sid } } }", number=4)
        assert posts(twilio) == []
        twilio.go.set()
        made = await make(opened)

    assert data == {"calls": {"nodes": []}}
    assert isinstance(made, str), made
    assert len(posts(twilio)) == 1


async def test_only_members_get_a_call_that_upstream_does_not_show_yet() -> None:
    """A key that may not list the account's calls gets no events of them here either."""
    async with gateway() as (twilio, opened):
        data, _ = await ask(opened, MAKE, input=making())
        made = data["makeCall"]["call"]["sid"]
        twilio.calls.clear()
        query = f'{{ call(sid: "{made}") {{ status }} }}'
        member = await ask(opened, query)
        restricted = await ask(opened, query, "restricted")
        made_up = await ask(opened, query, WRONG)
        other = await ask(opened, query, number=2)

    assert member == ({"call": {"status": "QUEUED"}}, set())
    assert restricted == ({"call": None}, set())
    assert made_up == ({"call": None}, {"UPSTREAM_AUTH"})
    assert other == ({"call": None}, set())


async def test_an_event_has_the_whole_time_of_an_operation() -> None:
    """Its credential's proof runs out while it reads, long after the subscription began."""
    elapsed, timeout = 0.0, 0.2
    parent, child = sid("CA", 1), call(2, status="ringing", parent_call_sid=sid("CA", 1))

    def run_out(request: httpx.Request) -> None:
        nonlocal elapsed
        elapsed += MEMBER_SECONDS * (parent in request.url.path)

    twilio = ManyAccounts([child], fault=run_out)
    stores = AccountStores(lambda _: MemoryStore())

    def connect(given: Account) -> AccountClient:
        proof = CredentialCheck(lambda: elapsed)
        client = UpstreamClient(given, UpstreamSettings(), twilio, proof.record)
        return AccountClient(client, stores, SubscriberSlots(1), proof=proof)

    pool = AccountClientPool(connect, 1)
    opened = Gateway(settings_of(access=AccessMode.PASSTHROUGH), None, pool=pool)
    query = f'subscription {{ callUpdated(sid: "{child["sid"]}") {PARENT} }}'
    stream = opened.stream(query, options=OperationOptions(timeout=timeout), caller=caller())
    async with aclosing(pool), aclosing(stream), asyncio.timeout(20):
        before = (await anext(stream)).data
        await asyncio.sleep(timeout)
        twilio.requests.clear()
        child["status"] = "in-progress"
        with ExitStack() as leases:
            store = opened.connect(caller(), leases).store
            for of, source in ((parent, EventSource.WEBHOOK), (child["sid"], EventSource.POLL)):
                await store.publish(event("in-progress", of=of, source=source, at=utc_now()))
        after = (await anext(stream)).data

    assert before == {"callUpdated": {"call": {"status": "RINGING", "parentCall": None}}}
    shown = {"status": "IN_PROGRESS", "parentCall": {"status": "IN_PROGRESS"}}
    assert after == {"callUpdated": {"call": shown}}
    root = f"GET /2010-04-01/Accounts/{sid('AC', 1)}/Calls"
    proof, lookup = f"{root}?PageSize=1", f"{root}/{parent}"
    assert twilio.requests == [f"{root}/{child['sid']}", proof, lookup, proof]
