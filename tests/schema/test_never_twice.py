"""A call is never placed twice: what is retried, what is not, and what a key records."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Caller, Scope
from gateway.errors import OutcomeUnknown, UpstreamAuth
from gateway.live.idempotency import IdempotentExecutor, KeyReused, MutationResult, scoped_key
from gateway.live.store import CLAIM_SECONDS, Claim, MemoryStore
from tests.conftest import connect
from tests.plain_twilio import error, sid
from tests.schema.mutations import END, FROM, LIVE, MAKE, REDIRECT, TO, account, gateway, making

POSTED = f"POST Calls To={TO}&From={FROM}&Twiml=<Response/>"
Fault = Callable[[httpx.Request], httpx.Response | None]


def first(*faults: Exception | httpx.Response) -> Fault:
    """These faults, one after the other; then none."""
    left = list(faults)

    def fault(_: httpx.Request) -> httpx.Response | None:
        if not left:
            return None
        if isinstance(left[0], Exception):
            raise left.pop(0)  # type: ignore[misc]
        return left.pop(0)  # type: ignore[return-value]

    return fault


@pytest.mark.parametrize(
    "fault",
    [error(429, 20429), httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")],
    ids=["429", "refused", "connect timeout"],
)
async def test_what_certainly_was_not_done_is_repeated(
    fault: Exception | httpx.Response,
) -> None:
    """A 429 was never processed, and an unsent request cannot have been.

    See docs/twilio.md#2-urls-formats-authentication.
    """
    async with gateway() as (twilio, client):
        twilio.fault = first(fault)
        data = await client.data(MAKE, input=making())

        assert data["makeCall"]["call"]["to"] == TO
        assert twilio.requests == [POSTED, POSTED]
        assert len(twilio.calls) == 2


UNKNOWN: dict[str, Exception | httpx.Response] = {
    "500": error(500, 20500),
    "502": httpx.Response(502, text="bad gateway"),
    "503": error(503, 20503),
    "the answer never came": httpx.ReadTimeout("slow"),
    "the connection broke": httpx.ReadError("reset"),
    "half sent": httpx.WriteError("reset"),
    "no JSON": httpx.Response(201, text="<html>"),
    "no call": httpx.Response(201, json={"sid": "RE1"}),
    "an odd status": httpx.Response(302, headers={"Location": "https://elsewhere"}),
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
async def test_whatever_leaves_the_outcome_open_is_not_repeated(
    fault: Exception | httpx.Response,
) -> None:
    """And the error says what to look for, without whole numbers."""
    async with gateway() as (twilio, client):
        began = datetime.now(UTC)
        twilio.fault = first(fault)
        problem = await client.error(MAKE, input=making())

        assert twilio.requests == [POSTED]
        assert problem["path"] == ["makeCall"]
        assert problem["message"].endswith("Check whether it happened before you retry.")
        extensions = problem["extensions"]
        assert extensions["code"] == "OUTCOME_UNKNOWN"
        look_for = extensions["lookFor"]
        assert (look_for["to"], look_for["from"]) == ("…0123", "…0006")
        since, until = (datetime.fromisoformat(look_for[edge]) for edge in ("since", "until"))
        assert began <= since <= until <= datetime.now(UTC)
        assert TO not in str(problem)


@pytest.mark.parametrize(
    ("mutation", "given"),
    [(END, {}), (REDIRECT, {"instructions": {"twiml": "<Response/>"}})],
    ids=["end", "redirect"],
)
async def test_changes_are_not_repeated_either(mutation: str, given: dict[str, Any]) -> None:
    async with gateway() as (twilio, client):
        twilio.fault = first(httpx.ReadTimeout("slow"))
        problem = await client.error(mutation, input={"sid": LIVE} | given)

        assert problem["extensions"]["code"] == "OUTCOME_UNKNOWN"
        assert problem["extensions"]["lookFor"]["sid"] == LIVE
        assert len(twilio.requests) == 1


async def test_twilio_that_does_not_answer_in_time_leaves_the_outcome_open() -> None:
    async with gateway(operation_timeout=0.3) as (twilio, client):
        twilio.delay = 30
        problem = await client.error(MAKE, input=making())

        assert problem["extensions"]["code"] == "OUTCOME_UNKNOWN"
        assert twilio.requests == [POSTED]


async def test_a_caller_who_leaves_does_not_stop_what_has_begun() -> None:
    """The call is placed, subscribers get its event, and a repeated mutation returns it."""
    async with gateway() as (twilio, client):
        twilio.delay = 0.05
        given = making(idempotencyKey="k")
        asked = asyncio.ensure_future(client.data(MAKE, input=given))
        while not twilio.requests:  # noqa: ASYNC110 (the transport has no event)
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

        data = await client.data(MAKE, input=given)
        assert data["makeCall"]["call"]["sid"] == twilio.calls[0]["sid"]
        assert twilio.cancelled == 0
        assert [request for request in twilio.requests if "POST" in request] == [POSTED]


async def test_the_gateway_ends_only_when_what_it_has_begun_has() -> None:
    async with gateway() as (twilio, client):
        twilio.delay = 0.05
        asked = asyncio.ensure_future(client.data(MAKE, input=making()))
        while not twilio.requests:  # noqa: ASYNC110 (the transport has no event)
            await asyncio.sleep(0)
        asked.cancel()
    assert twilio.cancelled == 0
    assert len(twilio.calls) == 2
    await asyncio.gather(asked, return_exceptions=True)


async def test_a_repeat_with_the_same_key_answers_the_first_outcome() -> None:
    """The same call, in its current state."""
    async with gateway() as (twilio, client):
        one = await client.data(MAKE, input=making(idempotencyKey="k"))
        twilio.calls[0]["status"] = "ringing"
        other = await client.data(MAKE, input=making(idempotencyKey="k"))

        made = twilio.calls[0]["sid"]
        assert one["makeCall"]["call"]["sid"] == other["makeCall"]["call"]["sid"] == made
        assert other["makeCall"]["call"]["status"] == "RINGING"
        assert twilio.requests == [POSTED, f"GET Calls/{made}"]


async def test_without_a_key_a_repeat_is_another_call() -> None:
    async with gateway() as (twilio, client):
        for _ in range(2):
            await client.data(MAKE, input=making())

        assert twilio.requests == [POSTED, POSTED]


@pytest.mark.parametrize(
    "other",
    [
        {"to": "+14155550124"},
        {"timeout": 30},
        {"instructions": {"url": "https://example.com"}},
        {"instructions": {"twiml": "<Response />"}},
    ],
)
async def test_the_same_key_with_other_input_is_a_user_error(other: dict[str, Any]) -> None:
    async with gateway() as (twilio, client):
        await client.data(MAKE, input=making(idempotencyKey="k"))
        data = await client.data(MAKE, input=making(idempotencyKey="k", **other))

        (problem,) = data["makeCall"]["userErrors"]
        assert data["makeCall"]["call"] is None
        assert problem["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert problem["field"] == ["input", "idempotencyKey"]
        assert twilio.requests == [POSTED]


async def test_the_same_key_for_another_mutation_is_a_user_error() -> None:
    async with gateway() as (twilio, client):
        await client.data(END, input={"sid": LIVE, "idempotencyKey": "k"})
        given = {"sid": LIVE, "instructions": {"twiml": "1"}, "idempotencyKey": "k"}
        data = await client.data(REDIRECT, input=given)

        assert data["redirectCall"]["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert len(twilio.requests) == 1


async def test_concurrent_repeats_are_one_call() -> None:
    async with gateway() as (twilio, client):
        twilio.delay = 0.03
        given = making(idempotencyKey="k")
        answers = await asyncio.gather(*(client.data(MAKE, input=given) for _ in range(5)))

        assert {answer["makeCall"]["call"]["sid"] for answer in answers} == {twilio.calls[0]["sid"]}
        assert twilio.requests.count(POSTED) == 1


@pytest.mark.parametrize("fault", [error(500, 20500), httpx.ReadTimeout("slow")])
async def test_an_unknown_outcome_stays_unknown(fault: Exception | httpx.Response) -> None:
    """The first call may have been placed, whatever Twilio would answer now."""
    async with gateway() as (twilio, client):
        twilio.fault = first(fault)
        problems = [
            (await client.error(MAKE, input=making(idempotencyKey="k")))["extensions"]
            for _ in range(3)
        ]

        assert problems[0]["code"] == "OUTCOME_UNKNOWN"
        assert problems[0]["lookFor"] == problems[1]["lookFor"] == problems[2]["lookFor"]
        assert twilio.requests == [POSTED]


async def test_a_refusal_is_an_outcome() -> None:
    async with gateway() as (twilio, client):
        twilio.fault = first(error(400, 21217))
        answers = [await client.data(MAKE, input=making(idempotencyKey="k")) for _ in range(2)]

        assert answers[0] == answers[1]
        assert answers[1]["makeCall"]["userErrors"][0]["twilioCode"] == 21217
        assert twilio.requests == [POSTED]


async def test_what_was_not_done_leaves_the_key_free() -> None:
    """A refused credential, a spent budget: the repeated mutation counts as the first."""
    async with gateway() as (twilio, client):
        twilio.fault = first(error(401, 20003))
        problem = await client.error(MAKE, input=making(idempotencyKey="k"))
        assert problem["extensions"]["code"] == "UPSTREAM_AUTH"
        data = await client.data(MAKE, input=making(idempotencyKey="k"))

        assert data["makeCall"]["call"]["to"] == TO
        assert twilio.requests == [POSTED, POSTED]


async def test_input_that_is_refused_here_takes_no_key() -> None:
    async with gateway() as (twilio, client):
        await client.data(MAKE, input=making(idempotencyKey="k", timeout=0))
        await client.data(MAKE, input=making(idempotencyKey="k", timeout=30))

        assert len(twilio.requests) == 1


async def test_the_gateways_own_callback_is_no_part_of_the_input() -> None:
    """A gateway that gets a public URL within the day still knows its keys."""
    twilio, store = account(), MemoryStore()
    for url in (None, "https://gw.example.com"):
        async with connect(twilio, public_url=url) as client:
            client.gateway.own.idempotent = IdempotentExecutor(store)
            await client.data(MAKE, input=making(idempotencyKey="k"))

    assert len([request for request in twilio.requests if "POST" in request]) == 1


async def test_no_two_callers_share_a_key_whatever_their_names_are() -> None:
    """A JWT's subject may hold spaces."""
    async with gateway() as (twilio, client):
        for name, key in (("a b", "c"), ("a", "b c"), ('a", "b', "c"), ("a", 'b", "c')):
            caller = Caller(name, frozenset(Scope))
            variables = {"input": making(idempotencyKey=key)}
            result = await client.gateway.execute(
                client.gateway.prepare(MAKE), variables, caller=caller
            )
            assert not result.errors

        assert twilio.requests == [POSTED] * 4


names = st.text('a ",', max_size=4) | st.text(st.characters(categories=["Cs", "P"]), max_size=3)


@given(st.lists(st.tuples(names, names), max_size=30, unique=True))
def test_keys_of_two_callers_never_collide(pairs: list[tuple[str, str]]) -> None:
    """Also of names that no UTF-8 can hold."""
    assert len({scoped_key(*pair).encode() for pair in pairs}) == len(pairs)


# The mechanism itself, with mutations that the test controls.


async def made() -> MutationResult:
    """An act that makes a call."""
    return MutationResult(call_sid=sid("CA", 5))


async def test_a_key_is_kept_for_a_day_and_then_free() -> None:
    seconds = [0.0]
    idempotent = IdempotentExecutor(MemoryStore(lambda: seconds[0]))
    count = []

    async def act() -> MutationResult:
        count.append(1)
        return await made()

    for moment in (0.0, CLAIM_SECONDS - 1, CLAIM_SECONDS * 2):
        seconds[0] = moment
        assert (await idempotent.execute("k", "print", act, 0)).call_sid == sid("CA", 5)
    assert len(count) == 2


async def test_a_gateway_that_died_leaves_an_unknown_outcome() -> None:
    """A claim stands with no outcome and nobody works on it: the repeat never acts."""
    store = MemoryStore()
    first_acts, later = IdempotentExecutor(store), IdempotentExecutor(store)
    never = asyncio.Event()

    async def dies() -> MutationResult:
        await never.wait()
        raise AssertionError

    begun = asyncio.ensure_future(first_acts.execute("k", "print", dies, 0))
    await asyncio.sleep(0.01)
    outcome = await later.execute("k", "print", made, asyncio.get_running_loop().time() + 0.1)

    assert outcome.is_unknown
    begun.cancel()
    for task in list(first_acts.mutations.tasks):
        task.cancel()
    await first_acts.mutations.aclose()
    assert (await later.execute("k", "print", made, 0)).is_unknown


@pytest.mark.parametrize(
    ("failure", "is_free"),
    [(UpstreamAuth("no"), True), (OutcomeUnknown("?"), False), (RuntimeError("a bug"), False)],
)
async def test_only_what_certainly_did_not_happen_frees_the_key(
    failure: Exception, is_free: bool
) -> None:
    idempotent = IdempotentExecutor(MemoryStore())

    async def act() -> MutationResult:
        raise failure

    with pytest.raises(type(failure)):
        await idempotent.execute("k", "print", act, 0)
    assert (await idempotent.execute("k", "print", made, 0)).is_unknown is not is_free


async def test_a_caller_who_leaves_while_the_key_is_claimed_leaves_no_claim_without_an_act() -> (
    None
):
    class SlowStore(MemoryStore):
        """A store with a network delay."""

        async def claim(self, key: str, fingerprint: str) -> Claim:
            claim = await super().claim(key, fingerprint)
            await asyncio.sleep(0.01)
            return claim

    idempotent = IdempotentExecutor(SlowStore())
    asked = asyncio.ensure_future(idempotent.execute("k", "print", made, 0))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await idempotent.mutations.aclose()

    assert (await idempotent.execute("k", "print", made, 0)).call_sid == sid("CA", 5)


async def test_other_input_is_refused_while_the_first_still_runs() -> None:
    idempotent = IdempotentExecutor(MemoryStore())
    go = asyncio.Event()

    async def act() -> MutationResult:
        await go.wait()
        return await made()

    begun = asyncio.ensure_future(idempotent.execute("k", "print", act, 0))
    await asyncio.sleep(0)
    with pytest.raises(KeyReused):
        await idempotent.execute("k", "other", made, 0)
    go.set()
    assert (await begun).call_sid == sid("CA", 5)
