"""`gateway verify` tests the planner's assumptions on the account's own rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.cli.verify.report import Assumption, Report, render
from tests.cli.test_verify import DAY, call_centre, differences, verified
from tests.plain_twilio import (
    ROOT,
    PlainTwilio,
    Row,
    call,
    error,
    notification,
    recording,
    rfc_2822,
    sid,
)


def assumption(report: Report, words: str) -> Assumption:
    """The tested assumption whose name contains these words."""
    (found,) = [assumption for assumption in report.assumptions if words in assumption.name]
    return found


async def test_the_report_says_on_how_many_rows_each_assumption_was_tested() -> None:
    report = await verified(call_centre(60))

    assert all(assumption.holds for assumption in report.assumptions)
    assert {assumption.name: assumption.rows for assumption in report.assumptions} == {
        "Lists of calls run newest first, by date_created or start_time": 60,
        "Lists of recordings run newest first, by date_created or start_time": 0,
        "Lists of notifications run newest first, by message_date or date_created": 0,
        "A call that was never dialed is in the list at its place by creation": 0,
        "A child is created no earlier than its parent "
        "and starts no earlier than it is created": 40,
        "Calls are dated at most 10 minutes after the end of their call": 40,
        "An outbound call that was never answered has no children": 0,
        "Recordings are dated at most 60 minutes after the end of their call": 20,
        "Notifications are dated at most 1440 minutes after the end of their call": 9,
        "A call's own list holds the rows that name the call, and no others": 29,
        "A call in a final status does not change any more": 20,
        "The lists show a finished call's rows 30 seconds after its end, "
        "or after their creation": 69,
        "A list of calls by days has the rows of these days (GMT), all of them": 120,
        "A link in the list of calls leads to the rows right below, "
        "and a list without a link has ended": 50,
        "A list of recordings by days has the rows of these days (GMT), all of them": 40,
        "A link in the list of recordings leads to the rows right below, "
        "and a list without a link has ended": 0,
        "A list of notifications by days has the rows of these days (GMT), all of them": 18,
        "A link in the list of notifications leads to the rows right below, "
        "and a list without a link has ended": 0,
        "A page token may be made of a call's SID": 19,
    }
    text = render(report)
    assert "made of a call's SID: holds, 19 rows" in text
    assert "never dialed is in the list at its place by creation: not seen in the sample" in text


# Number and second of rows of one call, sorted neither newest nor oldest first.
UNORDERED = [(901, 650), (902, 640), (903, 645)]


def swapped(rows: list[Row]) -> None:
    rows[5], rows[9] = rows[9], rows[5]


def undialed(twilio: PlainTwilio, place: int) -> None:
    """The newest call was never dialed and is listed among older ones."""
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
        ("Recordings are dated", lambda t: t.recordings.append(recording(99, of=30, at=530))),
        ("Notifications are dated", lambda t: t.notifications.append(notification(99, 30, at=530))),
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
async def test_rows_that_contradict_an_assumption_are_named(
    words: str, change: Callable[[PlainTwilio], Any]
) -> None:
    twilio = call_centre(60)
    change(twilio)
    report = await verified(twilio)
    broken = assumption(report, words)

    assert broken.broken
    assert not report.is_equal
    assert "BROKEN" in render(report)
    assert broken.broken[0] in render(report)
    assert "set GATEWAY_PLANNER=per-key" in render(report)


@pytest.mark.parametrize(
    ("call_sid", "broken"), [(7, [sid("RE", 30)]), (None, []), (sid("CA", 33), [])]
)
async def test_a_row_that_does_not_name_the_call_of_its_list_is_found(
    call_sid: Any, broken: list[str]
) -> None:
    """A row that names another call, or none, is in no per-key answer, so the answers differ."""
    twilio = call_centre(60)

    def foreign(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith(f"Calls/{sid('CA', 30)}/Recordings.json"):
            row = recording(30, of=30, at=620) | {"call_sid": call_sid}
            return httpx.Response(200, json={"recordings": [row]})
        return None

    twilio.fault = foreign
    report = await verified(twilio)

    assert list(assumption(report, "the rows that name the call").broken) == broken
    assert ("recordings" in differences(report)) == (not broken)
    assert not report.is_equal


@pytest.mark.parametrize("kind", ["Calls", "Recordings", "Notifications"])
async def test_a_missing_row_in_a_list_by_days_is_found(kind: str) -> None:
    twilio = call_centre(60)

    def without_oldest(request: httpx.Request) -> httpx.Response | None:
        query = request.url.query.decode()
        if request.url.path.endswith(f"{kind}.json") and "%3E=2026" in query:
            twin = PlainTwilio(twilio.calls[:-1], twilio.recordings[:-1], twilio.notifications[:-1])
            return twin.answer(request)
        return None

    twilio.fault = without_oldest
    found = assumption(await verified(twilio), f"list of {kind.lower()} by days")
    oldest = {"Calls": "CA", "Recordings": "RE", "Notifications": "NO"}[kind]

    assert found.broken == (sid(oldest, 0),)


async def test_a_link_that_skips_a_row_is_found() -> None:
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
    assert assumption(await verified(twilio), "link in the list of calls").broken == (
        sid("CA", 39),
    )


async def test_a_token_that_cannot_be_made_costs_requests_but_no_answer() -> None:
    twilio = call_centre(60)

    def opaque(request: httpx.Request) -> httpx.Response | None:
        return error(400, 20006) if b"PageToken=PB" in request.url.query else None

    twilio.fault = opaque
    report = await verified(twilio)

    assert len(assumption(report, "made of a call's SID").broken) == 19
    assert report.is_equal
    assert "broken (this costs requests, no answer), 19 of 19 rows" in render(report)


async def test_a_change_of_a_finished_call_is_found() -> None:
    twilio = call_centre(60)

    def reopened(request: httpx.Request) -> None:
        if "PageSize=1000" in request.url.query.decode() and "?" not in request.url.path:
            twilio.calls[7]["status"] = "busy"

    twilio.fault = reopened
    broken = assumption(await verified(twilio), "does not change any more").broken
    assert broken == (twilio.calls[7]["sid"],)


def show_later(twilio: PlainTwilio, kind: str, row: Row) -> None:
    """Upstream lists this row only after all edges were compared."""
    rows = getattr(twilio, kind)

    def show(request: httpx.Request) -> None:
        is_over = (request.url.path, request.url.query) == (f"{ROOT}Calls.json", b"PageSize=1000")
        if is_over and row not in rows:
            rows.append(row)

    twilio.fault = show


LEG = {"parent_call_sid": sid("CA", 30), "direction": "outbound-dial"}
LATE = [
    ("calls", call(999, at=610, **LEG)),
    ("recordings", recording(999, of=30, at=610)),
    ("notifications", notification(999, of=30, at=610)),
]


@pytest.mark.parametrize(("kind", "row"), LATE)
async def test_a_row_that_upstream_lists_too_late_is_found(kind: str, row: Row) -> None:
    twilio = call_centre(60)
    show_later(twilio, kind, row)
    report = await verified(twilio)

    assert assumption(report, "rows 30 seconds after its end").broken == (row["sid"],)
    assert not report.is_equal


@pytest.mark.parametrize("why", ["the call is live", "it has just ended", "the row is new"])
async def test_a_row_that_may_be_listed_later_breaks_no_assumption(why: str) -> None:
    twilio, row = call_centre(60), recording(999, of=30, at=610)
    owner = next(row for row in twilio.calls if row["sid"] == sid("CA", 30))
    now = datetime.now(UTC)
    match why:
        case "the call is live":
            owner |= {"status": "in-progress", "end_time": None}
        case "it has just ended":
            owner |= {"end_time": rfc_2822(now - timedelta(seconds=20))}
        case _:
            row["date_created"] = rfc_2822(now - timedelta(seconds=20))
    show_later(twilio, "recordings", row)

    assert assumption(await verified(twilio), "rows 30 seconds after its end").holds
