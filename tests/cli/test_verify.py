"""`gateway verify` on plain accounts: what is equal, what it costs, and what it finds."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.cli.verify.report import Assumption, Difference, Report, render, verify
from gateway.errors import UpstreamError
from tests.plain_twilio import (
    PlainTwilio,
    Row,
    call,
    error,
    notification,
    recording,
    sid,
)
from tests.upstream.stage import connected

DAY = 24 * 3600
NAMES = [
    "parentCall",
    "childCalls",
    "childCalls upward",
    "childCalls by scan",
    "recordings",
    "notifications",
]


def call_centre(calls: int = 120) -> PlainTwilio:
    """Every third call dials two legs and is recorded; every seventh has a notification."""
    made, recordings, notifications = [], [], []
    for number in range(calls):
        leg, at = number % 3, 20 * number
        given: dict[str, Any] = {}
        if leg:
            given = {"parent_call_sid": sid("CA", number - leg), "direction": "outbound-dial"}
        else:
            recordings.append(recording(number, of=number, at=at + 20))
        made.append(call(number, at=at, **given))
        if number % 7 == 0:
            notifications.append(notification(number, of=number, at=at + 60))
    return PlainTwilio(made[::-1], recordings[::-1], notifications[::-1])


async def verified(twilio: PlainTwilio, sample: int = 200) -> Report:
    """The report, with every progress that was told checked."""
    told: list[tuple[int, int]] = []

    async with connected(twilio) as client:
        report = await verify(client, sample, 16, lambda done, total: told.append((done, total)))
    assert told == sorted(told, key=lambda pair: pair[0])
    assert told[-1] == (6 * report.calls, 6 * report.calls)
    return report


def differences(report: Report) -> dict[str, tuple[Difference, ...]]:
    """The differences of the edges that have any."""
    return {edge.name: edge.differences for edge in report.edges if edge.differences}


async def test_an_account_whose_lists_are_as_seen_has_no_difference_and_exact_numbers() -> None:
    """Pages of 50, 50 and 20 calls, the first with one call of which nothing older was read.

    Read upward, the newest are asked one by one: nothing stands above that was dated past them.
    """
    twilio = call_centre()
    report = await verified(twilio)

    assert report.is_equal
    assert report.calls == 120
    assert [edge.name for edge in report.edges] == NAMES
    numbers = {e.name: (e.keys, e.per_key, e.planned, e.pages) for e in report.edges}
    assert numbers == {
        "parentCall": (41, 41, 2, 0),
        "childCalls": (120, 120, 3, 2),
        "childCalls upward": (120, 120, 60, 3),
        "childCalls by scan": (120, 120, 3, 3),
        "recordings": (120, 120, 3, 3),
        "notifications": (120, 120, 3, 3),
    }
    sent = sum(edge.per_key + edge.planned for edge in report.edges)
    assert len(twilio.requests) == 3 + sent + 19  # for what the planner takes for granted


async def test_the_sample_is_the_newest_calls() -> None:
    twilio = call_centre()
    report = await verified(twilio, sample=7)

    assert report.calls == 7
    asked = {request for request in twilio.asked() if "ParentCallSid" in request}
    newest = [row["sid"] for row in twilio.calls[:7]]
    assert {request.split("=")[1].partition("&")[0] for request in asked} == set(newest)


async def test_an_account_with_no_calls_has_nothing_to_compare() -> None:
    report = await verified(PlainTwilio())

    assert report.is_equal
    assert report.calls == 0


async def test_an_account_where_no_scan_was_tried_says_so() -> None:
    report = await verified(call_centre(1))

    assert report.is_equal
    assert "No scan of childCalls was worth its price" in render(report)


async def test_a_child_without_start_time_is_missing_when_child_calls_are_scanned() -> None:
    """Never dialed, so no range of start times shows it: with the default setting it is there."""
    twilio = call_centre(60)
    twilio.calls[0] |= {"start_time": None, "status": "canceled"}
    report = await verified(twilio)

    child, parent = sid("CA", 59), sid("CA", 57)
    assert differences(report) == {
        "childCalls by scan": (Difference(parent, missing=(child,), extra=(), out_of_order=()),)
    }
    assert f"childCalls by scan of {parent}: missing {child}" in render(report)
    assert "leave GATEWAY_SCAN_CHILD_CALLS off" in render(report)


async def test_a_recording_dated_days_after_its_call_is_found() -> None:
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=5 * DAY))
    report = await verified(twilio)

    wanted = Difference(sid("CA", 30), missing=(sid("RE", 999),), extra=(), out_of_order=())
    assert differences(report) == {"recordings": (wanted,)}
    assert "set GATEWAY_PLANNER=per-key" in render(report)


async def test_rows_that_come_in_another_order_in_the_account_s_list_are_found() -> None:
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=30 * 20 + 20))

    def turned(request: httpx.Request) -> httpx.Response | None:
        if "/Calls/" in request.url.path and request.url.path.endswith("Recordings.json"):
            twin = PlainTwilio(twilio.calls, twilio.recordings[::-1])
            return twin.answer(request)
        return None

    twilio.fault = turned
    (found,) = differences(await verified(twilio))["recordings"]

    assert found.call == sid("CA", 30)
    assert (found.missing, found.extra) == ((), ())
    assert set(found.out_of_order) == {sid("RE", 999), sid("RE", 30)}


async def test_a_difference_at_a_live_call_counts_only_if_it_stays() -> None:
    """The call dials another leg between the two readings."""
    twilio = call_centre(60)
    parent = next(row for row in twilio.calls if row["sid"] == sid("CA", 30))
    parent |= {"status": "in-progress", "end_time": None}
    late = call(60, at=1300, parent_call_sid=parent["sid"], direction="outbound-dial")

    def dials(request: httpx.Request) -> None:
        if parent["sid"] in request.url.query.decode() and late not in twilio.calls:
            twilio.calls.insert(0, late)

    twilio.fault = dials
    report = await verified(twilio, sample=50)

    assert report.is_equal
    assert len([r for r in twilio.requests if parent["sid"] in r and "ParentCallSid" in r]) > 2


async def test_what_cannot_be_read_ends_the_comparison() -> None:
    twilio = call_centre(60)
    twilio.fault = lambda request: error(503, 20503) if "Notif" in request.url.path else None

    with pytest.raises(UpstreamError):
        await verified(twilio)


async def test_the_report_shows_no_phone_number() -> None:
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=5 * DAY))

    assert "+1" not in render(await verified(twilio))


def trust(report: Report, words: str) -> Assumption:
    """The one whose name has these words."""
    (found,) = [trust for trust in report.trusts if words in trust.name]
    return found


async def test_each_trust_is_tested_on_so_many_rows_or_said_not_to_be_seen() -> None:
    report = await verified(call_centre(60))

    assert all(trust.holds for trust in report.trusts)
    assert {trust.name: trust.rows for trust in report.trusts} == {
        "Lists of calls run newest first, by date_created or start_time": 60,
        "Lists of recordings run newest first, by date_created or start_time": 0,
        "Lists of notifications run newest first, by message_date or date_created": 0,
        "A call that was never dialed stands in the list where it was created": 0,
        "A child is created no earlier than its parent "
        "and starts no earlier than it is created": 40,
        "Calls are dated at most 10 minutes after the end of their call": 40,
        "An outbound call that was never answered has no children": 0,
        "Recordings are dated at most 60 minutes after the end of their call": 20,
        "Notifications are dated at most 1440 minutes after the end of their call": 9,
        "A call's own list holds the rows that name the call, and no others": 29,
        "A call in a final status changes no more": 20,
        "A list of calls by days has the rows of these days (GMT), all of them": 120,
        "A link in the list of calls leads to the rows right below, and where none is, it ends": 50,
        "A list of recordings by days has the rows of these days (GMT), all of them": 40,
        "A link in the list of recordings leads to the rows right below, "
        "and where none is, it ends": 0,
        "A list of notifications by days has the rows of these days (GMT), all of them": 18,
        "A link in the list of notifications leads to the rows right below, "
        "and where none is, it ends": 0,
        "A page token may be made of a call's SID": 19,
    }
    text = render(report)
    assert "made of a call's SID: holds, 19 rows" in text
    assert "never dialed stands in the list where it was created: not seen in the sample" in text


# Of one call, neither newest nor oldest first.
UNORDERED = [(901, 650), (902, 640), (903, 645)]


def swapped(rows: list[Row]) -> None:
    rows[5], rows[9] = rows[9], rows[5]


def undialed(twilio: PlainTwilio, place: int) -> None:
    """The newest call was never dialed and stands among older ones."""
    row = twilio.calls.pop(0) | {"start_time": None, "status": "canceled", "end_time": None}
    twilio.calls.insert(place, row)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("calls run newest first", lambda twilio: swapped(twilio.calls)),
        ("never dialed", lambda twilio: undialed(twilio, 30)),
        ("Calls are dated", lambda t: t.calls[1].update(start_time=call(0, at=9000)["start_time"])),
        (
            "child is created",
            lambda t: t.calls[1].update(start_time=call(0, at=-60)["start_time"]),
        ),
        (
            "was never answered",
            lambda t: t.calls[2].update(direction="outbound-api", status="busy", duration="0"),
        ),
        ("Recordings are dated", lambda t: t.recordings.insert(0, recording(99, of=30, at=DAY))),
        (
            "Notifications are dated",
            lambda t: t.notifications.insert(0, notification(99, 30, at=3 * DAY)),
        ),
        (
            "recordings run newest first",
            lambda t: t.recordings.extend(recording(n, of=30, at=at) for n, at in UNORDERED),
        ),
        (
            "notifications run newest first",
            lambda t: t.notifications.extend(notification(n, 30, at=at) for n, at in UNORDERED),
        ),
    ],
)
async def test_rows_that_speak_against_a_trust_are_named(
    words: str, change: Callable[[PlainTwilio], Any]
) -> None:
    twilio = call_centre(60)
    change(twilio)
    report = await verified(twilio)
    broken = trust(report, words)

    assert broken.broken
    assert not report.is_equal
    assert "BROKEN" in render(report)
    assert broken.broken[0] in render(report)
    assert "set GATEWAY_PLANNER=per-key" in render(report)


@pytest.mark.parametrize(
    ("call_sid", "broken"), [(7, [sid("RE", 30)]), (None, []), (sid("CA", 33), [])]
)
async def test_a_row_of_a_calls_own_list_that_does_not_name_the_call_is_found(
    call_sid: Any, broken: list[str]
) -> None:
    """One that names no call, or another, is in no answer per key: then the two ways differ."""
    twilio = call_centre(60)

    def foreign(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith(f"Calls/{sid('CA', 30)}/Recordings.json"):
            row = recording(30, of=30, at=620) | {"call_sid": call_sid}
            return httpx.Response(200, json={"recordings": [row]})
        return None

    twilio.fault = foreign
    report = await verified(twilio)

    assert list(trust(report, "the rows that name the call").broken) == broken
    assert ("recordings" in differences(report)) == (not broken)
    assert not report.is_equal


@pytest.mark.parametrize("kind", ["Calls", "Recordings", "Notifications"])
async def test_a_list_by_days_that_lacks_a_row_is_found(kind: str) -> None:
    twilio = call_centre(60)

    def lacking(request: httpx.Request) -> httpx.Response | None:
        query = request.url.query.decode()
        if request.url.path.endswith(f"{kind}.json") and "%3E=2026" in query:
            less = PlainTwilio(twilio.calls[:-1], twilio.recordings[:-1], twilio.notifications[:-1])
            return less.answer(request)
        return None

    twilio.fault = lacking
    found = trust(await verified(twilio), f"list of {kind.lower()} by days")
    oldest = {"Calls": "CA", "Recordings": "RE", "Notifications": "NO"}[kind]

    assert found.broken == (sid(oldest, 0),)


async def test_a_link_that_leaves_out_a_row_is_found() -> None:
    twilio = call_centre(60)

    def skipping(request: httpx.Request) -> httpx.Response | None:
        query = request.url.query.decode()
        if "PageSize=30" in query and "PageToken=PA" in query:
            twin = PlainTwilio([row for row in twilio.calls if row["sid"] != sid("CA", 39)])
            token = f"PA{sid('CA', 40)}"
            assert token in query
            return twin.answer(request)
        return None

    twilio.fault = skipping
    assert trust(await verified(twilio), "link in the list of calls").broken == (sid("CA", 39),)


async def test_tokens_that_cannot_be_made_cost_no_answer() -> None:
    twilio = call_centre(60)

    def opaque(request: httpx.Request) -> httpx.Response | None:
        return error(400, 20006) if b"PageToken=PB" in request.url.query else None

    twilio.fault = opaque
    report = await verified(twilio)

    assert len(trust(report, "made of a call's SID").broken) == 19
    assert report.is_equal
    assert "broken (this costs requests, no answer), 19 of 19 rows" in render(report)


async def test_a_finished_call_that_changes_is_found() -> None:
    twilio = call_centre(60)

    def reopened(request: httpx.Request) -> None:
        if "PageSize=1000" in request.url.query.decode() and "?" not in request.url.path:
            twilio.calls[7]["status"] = "busy"

    twilio.fault = reopened
    broken = trust(await verified(twilio), "changes no more").broken
    assert broken == (twilio.calls[7]["sid"],)
