"""The official ``twilio`` package as a client of the sandbox: all that the page lists.

See docs/twilio.md#11-what-the-official-python-client-does.
"""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from gateway.sandbox import create_app
from gateway.sandbox.resources import Row
from tests.sandbox.official import KEYED, Official
from tests.sandbox.receiver import Application
from tests.sandbox.rows import NOON, call, notification, recording, sid
from tests.sandbox.serving import served

DAY = 86_400
ROWS: list[Row] = [
    *(
        call(n, NOON + n, status="busy" if n % 3 == 0 else "completed", end_time=NOON + n + 9)
        for n in range(1, 11)
    ),
    call(20, NOON + 60, status="in-progress", price=None),
    call(21, NOON + 61, status="ringing", parent_call_sid=sid("CA", 20), to="client:tommy"),
    call(30, NOON - DAY, end_time=NOON - DAY + 9, duration=9, price="-0.03000"),
    recording(1, 20, NOON + 62, duration=4, price="-0.0025", price_unit="USD"),
    recording(2, 30, NOON - DAY, conference_sid=sid("CF", 1)),
    notification(1, 20, NOON + 63),
    notification(2, None, NOON - DAY, log="1"),
]


@pytest.fixture
def official() -> Iterator[Official]:
    app = create_app(KEYED)
    asyncio.run(app.state.sandbox.run(lambda context: context.store.add(ROWS)))
    with served(app) as base:
        running = Official(base)
        yield running
        assert running.http.session
        running.http.session.close()


@pytest.fixture
def client(official: Official) -> Client:
    return official.client


def numbers(rows: list[Any]) -> list[int]:
    return [int(row.sid[2:], 16) for row in rows]


EVERYTHING = [21, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 30]


def test_calls_list_follows_next_page_uri_until_there_is_none(official: Official) -> None:
    rows = official.client.calls.list(page_size=5)

    assert numbers(rows) == EVERYTHING
    assert len(official.http.sent) == 3


@pytest.mark.parametrize(
    ("arguments", "count", "requests"),
    [
        ({}, 13, 1),
        ({"limit": 5}, 5, 1),
        ({"limit": 2000}, 13, 1),
        ({"limit": 7, "page_size": 3}, 7, 3),
    ],
)
def test_calls_list_stops_after_its_limit(
    official: Official, arguments: dict[str, int], count: int, requests: int
) -> None:
    rows = official.client.calls.list(**arguments)

    assert (len(rows), len(official.http.sent)) == (count, requests)


def test_calls_stream_requests_a_page_only_after_the_last_row(official: Official) -> None:
    stream = official.client.calls.stream(page_size=5)

    first = [next(stream) for _ in range(5)]
    before = len(official.http.sent)
    rest = list(stream)

    assert numbers(first + rest) == EVERYTHING
    assert (before, len(official.http.sent)) == (1, 3)


def test_calls_page_goes_forward_and_back(client: Client) -> None:
    first = client.calls.page(page_size=5)
    second = first.next_page()
    assert second is not None
    third = second.next_page()
    assert third is not None
    back = third.previous_page()
    assert back is not None
    again = client.calls.get_page(str(second.previous_page_url))

    pages = [numbers(list(page)) for page in (first, second, third, back, again)]
    assert pages == [
        EVERYTHING[:5],
        EVERYTHING[5:10],
        EVERYTHING[10:],
        EVERYTHING[5:10],
        EVERYTHING[:5],
    ]
    assert third.next_page() is None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"to": "client:tommy"}, [21]),
        ({"from_": "+12125550142", "limit": 2}, [21, 20]),
        ({"parent_call_sid": sid("CA", 20)}, [21]),
        ({"status": "busy"}, [9, 6, 3]),
        ({"start_time": datetime.fromtimestamp(NOON - DAY, UTC)}, [30]),
        ({"start_time_before": date(2026, 7, 6)}, [30]),
        ({"start_time_after": date(2026, 7, 6), "status": "busy"}, [9, 6, 3]),
        ({"end_time_before": datetime(2026, 7, 6, tzinfo=UTC)}, [30]),
        ({"end_time_after": datetime(2026, 7, 6, tzinfo=UTC)}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"end_time": datetime(2026, 7, 5, 12, tzinfo=UTC)}, [30]),
    ],
)
def test_calls_are_filtered(client: Client, arguments: dict[str, Any], found: list[int]) -> None:
    assert numbers(client.calls.list(**arguments)) == found


def test_a_call_is_fetched_with_its_types(client: Client) -> None:
    fetched = client.calls(sid("CA", 30)).fetch()

    assert fetched.sid == sid("CA", 30)
    assert fetched.start_time == datetime.fromtimestamp(NOON - DAY, UTC)
    assert fetched.end_time == fetched.start_time + timedelta(seconds=9)
    assert (fetched.duration, fetched.price, fetched.price_unit) == ("9", "-0.03000", "USD")
    assert fetched._from == "+12125550142"  # noqa: SLF001 (how the official client spells it)
    assert set(fetched.subresource_uris or {}) >= {"recordings", "notifications"}


def test_an_api_key_opens_the_account(official: Official) -> None:
    key = Client(KEYED.api_key, KEYED.api_secret, KEYED.account_sid, http_client=official.http)

    assert key.calls(sid("CA", 1)).fetch().status == "completed"


def test_a_call_is_made_and_proceeds(official: Official) -> None:
    made = official.client.calls.create(
        to="+14155550199",
        from_="+14155550100",
        twiml='<Response><Pause length="60"/></Response>',
        record=True,
        timeout=30,
        machine_detection="Enable",
        status_callback_event=["initiated", "completed"],
    )
    statuses = [made.status]
    for seconds in (1, 4, 60):
        official.step(seconds)
        statuses.append(made.fetch().status)

    assert statuses == ["queued", "ringing", "in-progress", "completed"]
    assert (made.date_created, made.start_time) == (None, None)
    assert made.fetch().answered_by == "human"
    assert [row.source for row in made.recordings.list()] == ["OutboundAPI"]


@pytest.mark.parametrize("how", ["completed", "twiml"])
def test_a_call_is_updated(official: Official, how: str) -> None:
    live = official.client.calls(sid("CA", 20))

    if how == "completed":
        updated = live.update(status="completed")
    else:
        updated = live.update(twiml='<Response><Pause length="9"/></Response>')
        official.step(9)

    assert updated.sid == sid("CA", 20)
    assert live.fetch().status == "completed"
    assert official.client.calls(sid("CA", 21)).fetch().status == "canceled"


def test_deleting_a_call_is_not_supported_as_the_seed_says(client: Client) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.calls(sid("CA", 30)).delete()

    assert (refused.value.status, refused.value.code) == (405, 20004)


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [
        ("+15005550001", "+15005550006", 21217),
        ("+15005550002", "+15005550006", 21214),
        ("+15005550003", "+15005550006", 21215),
        ("+15005550004", "+15005550006", 21216),
        ("+14155550199", "+15005550001", 21212),
        ("+14155550199", "+15005550099", 21210),
        ("", "+15005550006", 21201),
    ],
)
def test_refusals_are_raised_with_their_codes(
    client: Client, to: str, from_: str, code: int
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.calls.create(to=to, from_=from_, url="http://127.0.0.1:9/")

    assert (refused.value.status, refused.value.code, refused.value.method) == (400, code, "POST")


def test_a_call_that_does_not_exist_raises_20404(client: Client) -> None:
    with pytest.raises(TwilioRestException) as missing:
        client.calls(sid("CA", 99)).fetch()

    assert (missing.value.status, missing.value.code) == (404, 20404)
    assert "was not found" in missing.value.msg


def test_a_finished_call_cannot_be_completed_again(client: Client) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.calls(sid("CA", 30)).update(status="completed")

    assert refused.value.code == 21220


def test_a_wrong_token_raises(official: Official) -> None:
    stranger = Client(KEYED.account_sid, "wrong", http_client=official.http)

    with pytest.raises(TwilioRestException) as refused:
        stranger.calls(sid("CA", 1)).fetch()
    with pytest.raises(TwilioException, match="Unable to fetch page"):
        stranger.calls.list()

    assert (refused.value.status, refused.value.code) == (401, 20003)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, [1, 2]),
        ({"call_sid": sid("CA", 20)}, [1]),
        ({"conference_sid": sid("CF", 1)}, [2]),
        ({"date_created": datetime(2026, 7, 5, tzinfo=UTC)}, [2]),
        ({"date_created_before": datetime(2026, 7, 6, tzinfo=UTC)}, [2]),
        ({"date_created_after": datetime(2026, 7, 6, tzinfo=UTC)}, [1]),
        ({"include_soft_deleted": True}, [1, 2]),
    ],
)
def test_recordings_are_listed(client: Client, arguments: dict[str, Any], found: list[int]) -> None:
    assert numbers(client.recordings.list(**arguments)) == found


def test_recordings_of_a_call_are_listed_with_a_decimal_price(client: Client) -> None:
    (of_call,) = client.calls(sid("CA", 20)).recordings.list(date_created=date(2026, 7, 6))
    account_wide = client.recordings(sid("RE", 1)).fetch()

    assert (of_call.price, of_call.track, of_call.channels) == (Decimal("-0.0025"), "both", 1)
    assert (account_wide.price, account_wide.duration) == ("-0.0025", "4")
    assert account_wide.media_url.endswith(sid("RE", 1))


def test_recordings_are_made_changed_and_deleted(official: Official) -> None:
    live = official.client.calls(sid("CA", 20))

    made = live.recordings.create(recording_channels="dual")
    official.step(3)
    paused = live.recordings(made.sid).update(status="paused")
    stopped = live.recordings(made.sid).update(status="stopped")
    deleted = live.recordings(made.sid).delete()

    assert (made.status, made.channels) == ("in-progress", 2)
    assert (paused.status, stopped.status, stopped.duration) == ("paused", "completed", "3")
    assert deleted
    assert made.sid not in [row.sid for row in official.client.recordings.list()]
    kept = official.client.recordings.list(include_soft_deleted=True)
    assert "deleted" in [row.status for row in kept]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, [1, 2]),
        ({"log": 1}, [2]),
        ({"message_date": date(2026, 7, 5)}, [2]),
        ({"message_date_before": date(2026, 7, 6)}, [2]),
        ({"message_date_after": date(2026, 7, 6)}, [1]),
    ],
)
def test_notifications_are_listed(
    client: Client, arguments: dict[str, Any], found: list[int]
) -> None:
    assert numbers(client.notifications.list(**arguments)) == found


def test_a_notification_is_fetched_with_its_request(client: Client) -> None:
    (listed,) = client.calls(sid("CA", 20)).notifications.list()
    fetched = client.notifications(listed.sid).fetch()

    assert (fetched.error_code, fetched.log, fetched.call_sid) == ("11200", "0", sid("CA", 20))
    assert fetched.response_body == ""


def test_the_official_validator_accepts_every_request_to_an_application(
    official: Official, app: Application
) -> None:
    app.answers["/voice"] = (
        200,
        "<Response><Redirect method='GET'>next?a=b%20c</Redirect></Response>",
    )
    app.answers["/next"] = (200, "<Response/>")
    official.client.calls.create(
        to="client:tommy",
        from_="client:amara",
        url=app.origin + "/voice?tenant=7",
        status_callback=app.origin + "/status",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )

    official.step(60)

    validator, forger = RequestValidator(KEYED.auth_token), RequestValidator("another")
    assert len(app.received) == 6
    for request in app.received:
        signature = request.headers["X-Twilio-Signature"]
        assert validator.validate(request.url, request.form, signature)
        assert not forger.validate(request.url, request.form, signature)


def test_a_walk_by_the_package_sees_each_call_once_while_calls_are_made(
    official: Official,
) -> None:
    stream = official.client.calls.stream(page_size=4)
    seen = [next(stream) for _ in range(2)]

    for row in stream:
        official.client.calls.create(to="client:a", from_="client:b", twiml="<Response/>")
        seen.append(row)

    assert numbers(seen) == EVERYTHING


def test_threads_may_share_the_sandbox(official: Official) -> None:
    found: list[int] = []

    def fetch() -> None:
        own = Official(official.base)
        found.append(len(own.client.calls.list(page_size=3)))
        assert own.http.session
        own.http.session.close()

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [13] * 4
