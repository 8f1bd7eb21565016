"""Clients in passthrough: who gets one, which are kept, the limit of refused attempts."""

import asyncio
from contextlib import ExitStack, suppress

import pytest

from gateway.errors import RateLimited, UpstreamAuth
from gateway.live.idempotency import MutationResult
from gateway.server.account_clients import (
    ACCOUNT_ATTEMPT_INTERVAL,
    ADDRESS_ATTEMPT_INTERVAL,
    ATTEMPTS_PER_ACCOUNT,
    ATTEMPTS_PER_ADDRESS,
    MAX_UNPROVEN_IDLE,
    MAX_UNPROVEN_IN_USE,
    AccountClient,
    AccountClientPool,
    AttemptLimiter,
)
from gateway.server.operations import Gateway
from gateway.settings import AccessMode
from gateway.upstream.calls import FetchCall, ListCalls
from tests.plain_twilio import TOKEN, sid
from tests.server.passthrough import WRONG, Made, account, caller
from tests.server.stage import settle
from tests.settings import settings_of

ONE = "{ calls(first: 1) { nodes { sid } } }"


async def read(account_client: AccountClient) -> None:
    """Reads once, so that the client has connections to close; ignores a refusal."""
    with suppress(UpstreamAuth):
        await account_client.client.page(ListCalls(page_size=1))


async def use(pool: AccountClientPool, number: int, password: str = TOKEN) -> None:
    """One lease of a credential's client, with one read."""
    with pool.lease(account(number, password), "192.0.2.1") as account_client:
        await read(account_client)


async def test_the_pool_keeps_the_clients_used_last_and_closes_the_others() -> None:
    made = Made()
    pool = AccountClientPool(made, max_accepted=2)
    for number in (1, 2, 1, 3, 1):
        await use(pool, number)
    await settle()

    assert [of for of, _ in made] == [sid("AC", n) for n in (1, 2, 3)]
    assert made.open() == [sid("AC", 1), sid("AC", 3)]
    await pool.aclose()
    assert made.open() == []


async def test_a_client_in_use_is_not_closed_under_its_user() -> None:
    made = Made()
    pool = AccountClientPool(made, max_accepted=1)
    with pool.lease(account(1)) as first:
        await read(first)
        with pool.lease(account(2)) as second:
            await read(second)
            await settle()
            assert made.open() == [sid("AC", 1), sid("AC", 2)]
        await settle()
        assert first.client.account_sid == made[0][0]
        assert made.open() == [sid("AC", 1), sid("AC", 2)]
    await settle()
    assert made.open() == [sid("AC", 2)]
    await pool.aclose()


async def test_the_pool_shows_no_credential() -> None:
    pool = AccountClientPool(Made(), max_accepted=2)
    with pool.lease(account(1)) as account_client:
        shown = repr([vars(pool), vars(account_client), vars(account_client.client)])

    assert TOKEN not in shown
    await pool.aclose()


async def test_made_up_credentials_evict_no_accepted_one() -> None:
    """A thousand of them, while two accepted clients are kept."""
    made = Made()
    pool = AccountClientPool(made, max_accepted=2)
    for number in (1, 2):
        await use(pool, number)
    for number in range(1000):
        with suppress(RateLimited):
            await use(pool, 100 + number, WRONG)
    await settle()

    assert made.open()[:2] == [sid("AC", 1), sid("AC", 2)]
    assert len(made.open()) <= 2 + MAX_UNPROVEN_IDLE
    for number in (1, 2):
        await use(pool, number)
    assert len([of for of, _ in made if of in {sid("AC", 1), sid("AC", 2)}]) == 2
    await pool.aclose()
    assert made.open() == []


async def test_a_credential_that_is_refused_later_is_unproven_again() -> None:
    made = Made()
    pool = AccountClientPool(made, max_accepted=1)
    await use(pool, 1)
    made[0][1].passwords.clear()
    await use(pool, 1)
    await use(pool, 2)
    await settle()

    assert made.open() == [sid("AC", 1), sid("AC", 2)]  # among those that are not accepted
    made[0][1].passwords.add(TOKEN)
    await use(pool, 1)
    await settle()
    assert made.open() == [sid("AC", 1)]
    await pool.aclose()


async def test_concurrent_unproven_credentials_are_limited() -> None:
    made = Made()
    pool = AccountClientPool(made, max_accepted=2)
    with ExitStack() as stack:
        for number in range(MAX_UNPROVEN_IN_USE):
            unknown = stack.enter_context(pool.lease(account(number), f"192.0.2.{number}"))
            await unknown.client.fetch(FetchCall(sid=sid("CA", 9)))  # 404 proves nothing
        with pytest.raises(RateLimited) as refused:
            stack.enter_context(pool.lease(account(1000), "198.51.100.1"))
        assert refused.value.retry_after == 1
    assert len(made) == MAX_UNPROVEN_IN_USE
    await settle()
    assert len(made.open()) == MAX_UNPROVEN_IDLE
    await pool.aclose()


class Clock:
    """A clock that tests advance."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("credentials", "allowed", "seconds"),
    [
        (
            [(1, f"{WRONG}{n}", None) for n in range(1000)],
            ATTEMPTS_PER_ACCOUNT,
            ACCOUNT_ATTEMPT_INTERVAL,
        ),
        (
            [(1, WRONG, f"192.0.2.{n % 256}") for n in range(1000)],
            ATTEMPTS_PER_ACCOUNT,
            ACCOUNT_ATTEMPT_INTERVAL,
        ),
        (
            [(n, WRONG, "192.0.2.1") for n in range(1000)],
            ATTEMPTS_PER_ADDRESS,
            ADDRESS_ATTEMPT_INTERVAL,
        ),
    ],
    ids=["of an account", "of an account from everywhere", "from an address"],
)
async def test_attempts_with_refused_credentials_are_limited(
    credentials: list[tuple[int, str, str | None]], allowed: int, seconds: float
) -> None:
    made, clock = Made(), Clock()
    pool = AccountClientPool(made, max_accepted=2, attempts=AttemptLimiter(clock))

    async def tried(given: list[tuple[int, str, str | None]]) -> int:
        """How many of them sent a request."""
        count = 0
        for number, password, address in given:
            with suppress(RateLimited), pool.lease(account(number, password), address) as one:
                await read(one)
                count += 1
        return count

    assert await tried(credentials) == allowed
    clock.now += seconds
    assert await tried(credentials) == 1
    clock.now += 10_000 * seconds
    assert await tried(credentials) == allowed
    await pool.aclose()


async def test_an_attempt_that_was_not_made_costs_nothing() -> None:
    """Neither if the address has no attempts left, nor if too many clients are in use."""
    made, attempts = Made(), AttemptLimiter(Clock())
    pool = AccountClientPool(made, max_accepted=2, attempts=attempts)
    for number in range(ATTEMPTS_PER_ADDRESS):
        await use(pool, number + 10, WRONG)
    for _ in range(2 * ATTEMPTS_PER_ACCOUNT):
        with pytest.raises(RateLimited):
            await use(pool, 1, WRONG)
    with ExitStack() as stack:
        for number in range(MAX_UNPROVEN_IN_USE):
            stack.enter_context(pool.lease(account(5000 + number)))
        for number in range(2 * ATTEMPTS_PER_ACCOUNT):
            with pytest.raises(RateLimited):
                stack.enter_context(pool.lease(account(1, f"{WRONG}{number}")))
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        attempts.take(account(1).sid, None)
    with pytest.raises(RateLimited):
        attempts.take(account(1).sid, None)
    await pool.aclose()


async def test_an_accepted_or_unanswered_request_costs_no_attempt() -> None:
    """Neither hundreds of tenants behind one address nor an outage lock anybody out."""
    made = Made()
    pool = AccountClientPool(made, max_accepted=2, attempts=AttemptLimiter(Clock()))
    for number in range(2 * ATTEMPTS_PER_ADDRESS):
        await use(pool, number)
    for _ in range(2 * ATTEMPTS_PER_ACCOUNT):
        with pool.lease(account(1, "new"), "192.0.2.1") as account_client:
            made[-1][1].passwords.add("new")
            await account_client.client.fetch(FetchCall(sid=sid("CA", 9)))  # 404 says nothing of it
    await pool.aclose()


async def test_guesses_do_not_delay_an_accepted_credential_of_the_account() -> None:
    pool = AccountClientPool(Made(), max_accepted=2, attempts=AttemptLimiter(Clock()))
    await use(pool, 1)
    for number in range(2 * ATTEMPTS_PER_ACCOUNT):
        with suppress(RateLimited):
            await use(pool, 1, f"{WRONG}{number}")
    for _ in range(3):
        await use(pool, 1)
    await pool.aclose()


def passthrough(pool: AccountClientPool) -> Gateway:
    """A gateway without an account of its own."""
    return Gateway(settings_of(access=AccessMode.PASSTHROUGH), None, pool=pool)


REFUSED = {
    "no GraphQL": "{ calls(",
    "not of this schema": "{ nothing }",
    "beyond a limit": "{ " + " ".join(f"a{n}: __typename" for n in range(200)) + " }",
    "too dear": "{ calls(first: 1000) { nodes { childCalls(first: 1000) { nodes { sid } } } } }",
    "no operation of that name": "query A { __typename } query B { __typename }",
    "nothing to read": "{ __typename }",
    "no call": 'mutation { endCall(input: { sid: "CA1" }) { userErrors { message } } }',
    "a bad subscription": "subscription { nothing }",
}


@pytest.mark.parametrize("query", REFUSED.values(), ids=REFUSED)
async def test_an_operation_that_reads_nothing_creates_no_client(query: str) -> None:
    made = Made()
    pool = AccountClientPool(made, max_accepted=2)
    before = asyncio.all_tasks()
    for number in range(20):
        results = passthrough(pool).stream(query, caller=caller(number, WRONG, "192.0.2.1"))
        assert [result async for result in results]

    assert made == []
    assert asyncio.all_tasks() == before
    await pool.aclose()


async def test_a_query_of_an_account_under_attack_says_when_to_retry() -> None:
    pool = AccountClientPool(made := Made(), max_accepted=2, attempts=AttemptLimiter(Clock()))
    gateway = passthrough(pool)
    for number in range(ATTEMPTS_PER_ACCOUNT):
        await gateway.execute(gateway.prepare(ONE), caller=caller(1, f"{WRONG}{number}"))
    result = await gateway.execute(gateway.prepare(ONE), caller=caller(1, WRONG))

    assert result.errors
    assert result.errors[0].extensions == {"code": "RATE_LIMITED", "retryAfter": 6}
    assert len(made) == ATTEMPTS_PER_ACCOUNT
    await pool.aclose()


async def begin_act(account_client: AccountClient, go: asyncio.Event, done: list[str]) -> None:
    """Starts a mutation that ends when `go` is set; its caller has left."""

    async def act() -> MutationResult:
        await go.wait()
        done.append("done")
        return MutationResult(call_sid=sid("CA", 1))

    asked = asyncio.ensure_future(account_client.mutations.run(act))
    await settle()
    asked.cancel()
    await settle()


async def test_a_newcomer_does_not_wait_for_the_evicted_clients_mutations() -> None:
    made, go, done = Made(), asyncio.Event(), list[str]()
    pool = AccountClientPool(made, max_accepted=1)
    with pool.lease(account(1)) as first:
        await read(first)
        await begin_act(first, go, done)
    async with asyncio.timeout(5):
        await use(pool, 2)
        await use(pool, 3)
    await settle()

    assert made.open() == [sid("AC", 1), sid("AC", 3)]
    assert done == []
    go.set()
    await settle()
    assert (done, made.open()) == (["done"], [sid("AC", 3)])
    await pool.aclose()


async def test_a_new_client_that_disconnects_does_not_cancel_mutations_of_the_evicted_one() -> None:
    made, go, done = Made(), asyncio.Event(), list[str]()
    pool = AccountClientPool(made, max_accepted=1)
    with pool.lease(account(1)) as first:
        await read(first)
        await begin_act(first, go, done)
    for number in (2, 3):
        newcomer = asyncio.ensure_future(use(pool, number))
        made_before = len(made)
        while len(made) == made_before:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        newcomer.cancel()
        await asyncio.gather(newcomer, return_exceptions=True)
    await use(pool, 4)
    go.set()
    await pool.aclose()

    assert done == ["done"]
    assert made.open() == []


async def test_aclose_waits_for_clients_that_are_being_closed() -> None:
    made, go, done = Made(), asyncio.Event(), list[str]()
    pool = AccountClientPool(made, max_accepted=1)
    with pool.lease(account(1)) as first:
        await read(first)
        await begin_act(first, go, done)
    await use(pool, 2)
    ending = asyncio.ensure_future(pool.aclose())
    await settle()
    assert not ending.done()
    go.set()
    await ending

    assert done == ["done"]
    assert made.open() == []
