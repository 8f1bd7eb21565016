"""POST /webhooks/twilio/...: only what Twilio signed is published, once, in the call's order."""

import asyncio
import hmac
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

import pytest
from starlette.types import ASGIApp, Message

from gateway.access import ANONYMOUS
from gateway.access.rate_limit import RateLimiter
from gateway.errors import RateLimited
from gateway.live.events import EventSource
from gateway.live.signature import signature_of
from gateway.live.store import MemoryStore
from gateway.sandbox import SandboxConfig
from gateway.server.results import response_map
from gateway.server.webhook_keys import webhook_keys
from gateway.server.webhooks import MAX_BODIES
from gateway.settings import Secret, Settings
from tests.live.stage import CALL, next_status, statuses_until
from tests.live.watched import settle
from tests.live.webhooks import FORM, PUBLIC, RECORDING, STATUS, event, hooks
from tests.plain_twilio import ACCOUNT, TOKEN, sid


async def test_a_signed_callback_is_answered_204_and_published() -> None:
    async with hooks() as twilio:
        with twilio.store.subscribe(CALL) as subscription:
            answer = await twilio.post(event("completed", 3, CallDuration="42", Duration="1"))
            state = await anext(subscription)

        assert (answer.status_code, answer.content) == (204, b"")
        assert (state.status.value, state.sequence, state.source) == (
            "completed", 3, EventSource.WEBHOOK,
        )  # fmt: skip
        assert dict(state.facts) == {
            "account_sid": ACCOUNT, "direction": "outbound-api", "duration": "42",
            "from": "+15005550006", "to": "+14155550123",
        }  # fmt: skip
        assert abs(state.at - datetime.now(UTC)) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("token", "url"),
    [
        ("f" * 32, PUBLIC),
        ("", PUBLIC),
        (TOKEN, "http://10.0.0.7:8000"),
        (TOKEN, "https://calls.example.com"),
    ],
    ids=["another token", "no token", "the address behind the proxy", "another path"],
)
async def test_what_is_not_signed_for_this_url_is_refused_and_not_published(
    token: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with hooks() as twilio:
        answer = await twilio.post(event("completed", 3), token=token, url=url)

        assert answer.status_code == 403
        assert twilio.state() is None
        assert "not signed by a key" in caplog.text
        assert "+1415" not in caplog.text


async def test_no_signature_at_all_is_refused() -> None:
    async with hooks() as twilio:
        answer = await twilio.client.post(STATUS, data=event("completed", 3))

        assert answer.status_code == 403
        assert twilio.state() is None


async def test_without_a_public_url_the_address_that_was_called_counts() -> None:
    async with hooks(public_url=None) as twilio:
        answer = await twilio.post(event("ringing", 1), url="http://10.0.0.7:8000")

        assert answer.status_code == 204
        assert twilio.state() is not None


@pytest.mark.parametrize("host", ["x:99999", "[", "[::1", "a b", ""])
async def test_an_odd_host_is_refused_like_any_other(host: str) -> None:
    async with hooks(public_url=None) as twilio:
        answer = await twilio.post(event("ringing", 1), Host=host)

        assert answer.status_code == 403


async def test_webhooks_may_have_a_url_of_their_own_and_a_query() -> None:
    async with hooks(webhook_url="https://hooks.example.com") as twilio:
        url = "https://hooks.example.com"
        answer = await twilio.post(event("ringing", 1), url=url, query="?tenant=7&x=%2B1")

        assert answer.status_code == 204


async def test_while_a_token_is_replaced_both_are_good() -> None:
    async with hooks(webhook_auth_tokens=(Secret("e" * 32), Secret("f" * 32))) as twilio:
        for token, number in ((TOKEN, 0), ("e" * 32, 1), ("f" * 32, 2)):
            assert (await twilio.post(event("ringing", number), token=token)).status_code == 204
        assert (await twilio.post(event("ringing", 3), token="d" * 32)).status_code == 403


async def test_with_an_api_key_upstream_webhooks_need_the_auth_token() -> None:
    """Twilio signs with the auth token, whatever credential is used upstream."""
    key: dict[str, Any] = {"api_key": "SK" + "c" * 32, "api_secret": Secret("b" * 32)}
    async with hooks(auth_token=None, **key) as twilio:
        for token in ("b" * 32, ""):
            assert (await twilio.post(event("ringing", 1), token=token)).status_code == 403
    async with hooks(auth_token=None, webhook_auth_tokens=(Secret(TOKEN),), **key) as twilio:
        assert (await twilio.post(event("ringing", 1))).status_code == 204


async def test_a_shared_key_signs_by_sha_256() -> None:
    form = event("ringing", 1)
    shared = Secret("shared")
    signature = signature_of(PUBLIC + STATUS, tuple(form.items()), shared, "HMAC_SHA256")
    header = {
        "X-Twilio-Signature": signature,
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    async with hooks() as twilio:
        assert (await twilio.client.post(STATUS, data=form, headers=header)).status_code == 403
    async with hooks(webhook_shared_keys=(shared,)) as twilio:
        assert (await twilio.client.post(STATUS, data=form, headers=header)).status_code == 204


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("caf%E9", "caf\ufffd"),
        ("caf%C3%A9", "café"),
        ("caf%C3", "caf\ufffd"),
        ("%ED%A0%80", "\ufffd\ufffd\ufffd"),
        ("%EF%BF%BD", "\ufffd"),
        ("%00", "\0"),
        ("a+%2B&x%E9=1", "a +"),
    ],
)
async def test_a_value_is_signed_as_it_was_sent_whatever_its_bytes(sent: str, shown: str) -> None:
    """The signature covers the decoded bytes; readers get U+FFFD for invalid ones."""
    form = event("ringing", 1, From="FROM")
    content = urlencode(form).replace("FROM", sent).encode()
    pairs = [part.split(b"=") for part in content.replace(b"+", b" ").split(b"&")]
    decoded = sorted(unquote_to_bytes(name) + unquote_to_bytes(value) for name, value in pairs)
    text = (PUBLIC + STATUS).encode() + b"".join(decoded)
    signature = b64encode(hmac.new(TOKEN.encode(), text, sha1).digest()).decode()
    async with hooks() as twilio:
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
        answer = await twilio.client.post(STATUS, content=content, headers=headers)
        state = twilio.state()

    assert answer.status_code == 204
    assert state is not None
    assert dict(state.facts)["from"] == shown


@pytest.mark.parametrize("sent", [b"caf\xe9", b"caf\\ud800"])
async def test_a_json_value_is_signed_as_it_was_sent_whatever_its_bytes(sent: bytes) -> None:
    body = json.dumps(event("ringing", 1, From="FROM")).encode().replace(b"FROM", sent)
    path = f"{STATUS}?bodySHA256={sha256(body).hexdigest()}"
    signature = signature_of(PUBLIC + path, (), Secret(TOKEN))
    async with hooks() as twilio:
        headers = {"Content-Type": "application/json", "X-Twilio-Signature": signature}
        answer = await twilio.client.post(path, content=body, headers=headers)
        state = twilio.state()

    assert answer.status_code == 204
    assert state is not None
    assert dict(state.facts)["from"] == "caf\ufffd"


async def test_a_json_body_is_signed_by_its_hash_in_the_url() -> None:
    body = json.dumps(event("ringing", 1) | {"SequenceNumber": 1, "Extra": None}).encode()
    query = f"?bodySHA256={sha256(body).hexdigest()}"
    header = {
        "X-Twilio-Signature": signature_of(PUBLIC + STATUS + query, (), Secret(TOKEN)),
        "Content-Type": "application/json",
    }
    async with hooks() as twilio:
        other = body.replace(b"ringing", b"failed")
        for content, status in ((other, 403), (body, 204)):
            answer = await twilio.client.post(STATUS + query, content=content, headers=header)
            assert answer.status_code == status
        state = twilio.state()
        assert state is not None
        assert (state.status.value, state.sequence) == ("ringing", 1)


async def test_a_call_that_a_webhook_reported_can_be_watched_before_upstream_shows_it() -> None:
    document = f'subscription {{ callUpdated(sid: "{CALL}") {{ call {{ status direction }} }} }}'
    async with hooks() as twilio:
        await twilio.post(event("ringing", 1))
        responses = []
        async with aclosing(twilio.gateway.stream(document, caller=ANONYMOUS)) as results:
            responses.append(response_map(await anext(results)))
            form = event("completed", 3)
            del form["Direction"]
            await twilio.post(form)
            responses += [response_map(result) async for result in results]

    calls = [answer["data"]["callUpdated"]["call"] for answer in responses]
    assert [row["status"] for row in calls] == ["RINGING", "COMPLETED"]
    assert {row["direction"] for row in calls} == {"OUTBOUND_API"}


async def test_replays_and_repeats_are_dropped_whatever_their_headers() -> None:
    """The replay cache's key is the signature: headers are unsigned, so anybody can change them."""
    first = event("ringing", 1)
    async with hooks() as twilio:
        with twilio.store.subscribe(CALL) as subscription:
            for token in ("a", "a", "b"):
                answer = await twilio.post(first, **{"I-Twilio-Idempotency-Token": token})
                assert answer.status_code == 204
            await twilio.post(event("completed", 3))

            assert await statuses_until(subscription, "completed") == ["completed"]
        assert not await twilio.store.add_if_new(
            signature_of(PUBLIC + STATUS, tuple(first.items()), Secret(TOKEN)), 1
        )


async def test_a_replay_about_a_call_whose_state_was_evicted_is_dropped() -> None:
    """The order of states does not recognize the replay; only the replay cache does."""
    first = event("ringing", 1)
    async with hooks() as twilio:
        twilio.gateway.own.store = twilio.store = MemoryStore(max_calls=1)
        await twilio.post(first)
        await twilio.post(event("ringing", 1, CallSid=sid("CA", 2)))
        assert twilio.state() is None
        answer = await twilio.post(first)

        assert answer.status_code == 204
        assert twilio.state() is None


async def test_a_replay_that_is_older_than_the_replay_cache_is_dropped() -> None:
    """Its Timestamp is signed, so it cannot be made younger."""
    yesterday = format_datetime(datetime.now(UTC) - timedelta(days=1, minutes=1))
    async with hooks() as twilio:
        old = await twilio.post(event("ringing", 1, Timestamp=yesterday))

        assert old.status_code == 204
        assert twilio.state() is None


@pytest.mark.parametrize("stamp", ["", "yesterday", "Tue, 06 Oct 9999 10:00:42"])
async def test_an_unreadable_timestamp_is_no_reason_to_drop(stamp: str) -> None:
    async with hooks() as twilio:
        assert (await twilio.post(event("ringing", 1, Timestamp=stamp))).status_code == 204
        assert twilio.state() is not None


async def test_late_callbacks_do_not_turn_the_call_back() -> None:
    async with hooks() as twilio:
        with twilio.store.subscribe(CALL) as subscription:
            for status, number in (("ringing", 1), ("initiated", 0), ("completed", 3)):
                await twilio.post(event(status, number))
                if status == "ringing":
                    assert await next_status(subscription) == "ringing"
            await twilio.post(event("in-progress", 2))

            assert await next_status(subscription) == "completed"
            waiting = asyncio.ensure_future(anext(subscription, None))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert await waiting is None
        state = twilio.state()
        assert state is not None
        assert state.status.value == "completed"


async def test_a_recording_callback_is_an_event_of_a_known_call() -> None:
    form = {
        "AccountSid": ACCOUNT, "CallSid": CALL, "RecordingSid": sid("RE", 1),
        "RecordingStatus": "completed", "RecordingDuration": "12", "RecordingUrl": "https://x",
    }  # fmt: skip
    async with hooks() as twilio:
        assert (await twilio.post(form, RECORDING)).status_code == 204
        assert twilio.state() is None
        await twilio.post(event("completed", 3))
        with twilio.store.subscribe(CALL) as subscription:
            again = form | {"RecordingDuration": "13"}
            assert (await twilio.post(again, RECORDING)).status_code == 204
            state = await anext(subscription)

        assert state.status.value == "completed"
        assert state.fact("recording_sid") == sid("RE", 1)
        assert state.fact("recording_status") == "completed"
        assert state.fact("to") == "+14155550123"


async def test_a_signature_for_one_webhook_is_not_valid_for_the_other() -> None:
    form = event("ringing", 1, RecordingSid=sid("RE", 1))
    signature = signature_of(PUBLIC + STATUS, tuple(form.items()), Secret(TOKEN))
    async with hooks() as twilio:
        header = {"X-Twilio-Signature": signature}
        answer = await twilio.client.post(RECORDING, data=form, headers=header)

        assert answer.status_code == 403


async def test_another_accounts_calls_are_not_published() -> None:
    async with hooks() as twilio:
        answer = await twilio.post(event("ringing", 1, AccountSid=sid("AC", 5)))

        assert answer.status_code == 204
        assert twilio.state() is None


NAMES_NO_CALL: list[tuple[dict[str, str], str]] = [
    ({}, STATUS),
    ({"CallStatus": "ringing"}, STATUS),
    ({"CallSid": CALL}, STATUS),
    ({"CallSid": "CA1", "CallStatus": "ringing"}, STATUS),
    ({"CallSid": CALL}, RECORDING),
    ({"RecordingSid": sid("RE", 1)}, RECORDING),
]


@pytest.mark.parametrize(("form", "path"), NAMES_NO_CALL)
@pytest.mark.parametrize(
    "account", [{"AccountSid": ACCOUNT}, {"AccountSid": sid("AC", 5)}, {}],
    ids=["our account", "another account", "no account"],
)  # fmt: skip
async def test_a_signed_webhook_that_names_no_call_is_answered_400(
    form: dict[str, str], path: str, account: dict[str, str]
) -> None:
    """Every time: a refused webhook is not in the replay cache."""
    async with hooks() as twilio:
        answers = [await twilio.post(form | account, path) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "9" * 30, "１"])
async def test_an_unreadable_number_leaves_the_order_to_the_lifecycle(number: str) -> None:
    async with hooks() as twilio:
        await twilio.post(event("ringing", SequenceNumber=number))
        state = twilio.state()

        assert state is not None
        assert state.sequence is None


async def test_a_body_above_64_kilobytes_is_refused_before_it_is_read() -> None:
    """Its signature is valid."""
    async with hooks() as twilio:
        large = event("ringing", 1, CallerName="x" * 64 * 1024)

        assert (await twilio.post(large)).status_code == 413
        assert twilio.state() is None


NO_WEBHOOKS = [
    (b"a=1", "text/plain"),
    (b"<x/>", "application/xml"),
    (b"a=1", ""),
    (b"&".join(b"a%d=1" % number for number in range(300)), FORM),
    (b"\xff=1", FORM),
    (b"%ff=1", FORM),
    (b"[]", "application/json"),
    (b"", FORM),
]


@pytest.mark.parametrize(("content", "kind"), NO_WEBHOOKS)
@pytest.mark.parametrize("signature", [None, "", "x", "VfDAGmDRa9LLSsgjoHkF0KeY4qY="])
async def test_any_unsigned_request_is_403(
    content: bytes, kind: str, signature: str | None
) -> None:
    headers = {"Content-Type": kind}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    async with hooks() as twilio:
        answer = await twilio.client.post(STATUS, content=content, headers=headers)

        assert answer.status_code == 403


async def test_an_unsigned_webhook_is_refused_before_its_body_is_read() -> None:
    """Whatever its size and speed."""

    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"a=1")
        yield read[-1]

    async with hooks() as twilio:
        for headers in ({}, {"X-Twilio-Signature": ""}):
            answer = await twilio.client.post(STATUS, content=body(), headers=headers)
            assert answer.status_code == 403
            assert read == []


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
async def test_a_signed_body_of_another_type_is_answered_415(kind: str) -> None:
    body = b"CallSid=CA1"
    query = f"?bodySHA256={sha256(body).hexdigest()}"
    header = {
        "X-Twilio-Signature": signature_of(PUBLIC + STATUS + query, (), Secret(TOKEN)),
        "Content-Type": kind,
    }
    async with hooks() as twilio:
        answer = await twilio.client.post(STATUS + query, content=body, headers=header)

        assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b'"x"', b"\xff", b"[" * 50_000])
async def test_a_signed_body_that_is_no_object_is_answered_400(body: bytes) -> None:
    query = f"?bodySHA256={sha256(body).hexdigest()}"
    header = {
        "X-Twilio-Signature": signature_of(PUBLIC + STATUS + query, (), Secret(TOKEN)),
        "Content-Type": "application/json",
    }
    async with hooks() as twilio:
        answer = await twilio.client.post(STATUS + query, content=body, headers=header)

        assert answer.status_code == 400


async def test_other_methods_are_refused() -> None:
    async with hooks() as twilio:
        for method in ("GET", "PUT", "DELETE"):
            assert (await twilio.client.request(method, STATUS)).status_code == 405


async def test_callbacks_of_the_account_above_the_rate_are_refused() -> None:
    async with hooks(webhook_rate_limit=2) as twilio:
        answers = [(await twilio.post(event("ringing", n))).status_code for n in range(6)]

        assert answers[:2] == [204, 204]
        assert 429 in answers[2:]


async def test_others_traffic_uses_up_nothing_of_the_rate() -> None:
    """Unsigned webhooks, another account's, repeats, and bodies that are no callback."""
    async with hooks(webhook_rate_limit=2) as twilio:
        first = event("queued", 0)
        codes = {(await twilio.post(first)).status_code}
        for number in range(20):
            elsewhere = event("ringing", number, AccountSid=sid("AC", 5))
            answers = [
                await twilio.post(event("ringing", number), token="f" * 32),
                await twilio.client.post(STATUS, data=event("ringing", number)),
                await twilio.post(elsewhere),
                await twilio.post(first),
                await twilio.post({"AccountSid": ACCOUNT, "Number": str(number)}),
            ]
            assert [answer.status_code for answer in answers] == [403, 403, 204, 204, 400]
        codes.add((await twilio.post(event("ringing", 1))).status_code)

        assert codes == {204}


class Slow:
    """A request with a signature whose body never comes."""

    def __init__(self, app: ASGIApp, path: str = STATUS) -> None:
        self.messages: list[Message] = []
        headers = [
            (b"host", b"x"), (b"content-type", FORM.encode()), (b"x-twilio-signature", b"x" * 28),
        ]  # fmt: skip
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "scheme": "http", "server": ("x", 80),
            "app": app,
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    @property
    def status(self) -> int | None:
        """The status of the response, None before it."""
        return self.messages[0]["status"] if self.messages else None

    async def _receive(self) -> Message:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


async def test_bodies_that_never_arrive_block_no_signed_webhook() -> None:
    """MAX_BODIES are read at once; one more takes the place of the oldest."""
    async with hooks() as twilio:
        slow = [Slow(twilio.app) for _ in range(MAX_BODIES)]
        await settle()
        before = [one.status for one in slow]
        answers = [await twilio.post(event("ringing", 1)), await twilio.post(event("busy", 2))]
        await settle()
        after = [one.status for one in slow]
        more = [Slow(twilio.app) for _ in range(MAX_BODIES)]
        await settle()
        reading = [one for one in slow + more if one.status is None]
        for one in slow + more:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in slow + more), return_exceptions=True)

    assert before == [None] * MAX_BODIES
    assert [answer.status_code for answer in answers] == [204, 204]
    # A body that arrives at once needs its place only briefly.
    assert after == [408] + [None] * (MAX_BODIES - 1)
    assert reading == more


async def test_a_flood_of_unsigned_webhooks_logs_a_line_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hooks() as twilio:
        for number in range(200):
            await twilio.post(event("ringing", number), token="f" * 32)

    lines = [record for record in caplog.records if "not signed" in record.getMessage()]
    assert 1 <= len(lines) <= 5


@pytest.mark.parametrize("path", [STATUS, RECORDING])
async def test_a_path_with_a_slash_is_verified_over_the_url_as_requested(path: str) -> None:
    """For incoming calls, people type the URL into Twilio's console."""
    form = event("ringing", 1, RecordingSid=sid("RE", 1))
    async with hooks() as twilio:
        assert (await twilio.post(form, path + "/")).status_code == 204
        for signed, requested in ((path, path + "/"), (path + "/", path)):
            signature = signature_of(PUBLIC + signed, tuple(form.items()), Secret(TOKEN))
            header = {"X-Twilio-Signature": signature}
            answer = await twilio.client.post(requested, data=form, headers=header)
            assert answer.status_code == 403


async def test_a_path_that_is_escaped_is_verified_as_it_was_escaped() -> None:
    async with hooks() as twilio:
        answer = await twilio.post(event("ringing", 1), "/webhooks/twilio/st%61tus", query="?a=%2F")

        assert answer.status_code == 204
        assert twilio.state() is not None


def test_a_rate_fills_with_time_and_no_further() -> None:
    seconds = [0.0]
    limiter = RateLimiter(2, 2, lambda: seconds[0])

    def allows() -> bool:
        try:
            limiter.take("webhooks")
        except RateLimited:
            return False
        return True

    assert [allows() for _ in range(3)] == [True, True, False]
    seconds[0] = 0.5
    assert [allows() for _ in range(2)] == [True, False]
    seconds[0] = 60
    assert [allows() for _ in range(3)] == [True, True, False]


async def test_the_embedded_sandboxs_own_token_signs_where_no_account_is_set() -> None:
    (token,) = webhook_keys(Settings()).auth_tokens

    assert token.reveal() == SandboxConfig().auth_token


async def test_a_body_is_sent_as_a_form_in_utf_8() -> None:
    """The signature covers the text of any script, not its escapes."""
    form = event("ringing", 1, CallerName="Chidi Ọkáfọ̀ 東京 & Söhne + 1")
    async with hooks() as twilio:
        signature = signature_of(PUBLIC + STATUS, tuple(form.items()), Secret(TOKEN))
        answer = await twilio.client.post(
            STATUS,
            content=urlencode(form),
            headers={
                "X-Twilio-Signature": signature,
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            },
        )

        assert answer.status_code == 204
        state = twilio.state()
        assert state is not None
        assert state.fact("caller_name") == form["CallerName"]
