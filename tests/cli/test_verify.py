"""`gateway verify` on plain accounts: equal answers, their cost, and found differences."""

import asyncio
from argparse import Namespace
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.cli.verify import run
from gateway.cli.verify.report import Difference, Report, render, verify
from gateway.errors import UpstreamError
from gateway.planner import Policy
from gateway.settings import Secret
from tests.plain_twilio import (
    ACCOUNT,
    TOKEN,
    PlainTwilio,
    call,
    error,
    notification,
    recording,
    sid,
)
from tests.serving import Handler, answering
from tests.settings import settings_of
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

ADAPTIVE, PER_KEY = Policy(), Policy(adaptive=False)
SCANNING = Policy(scan_child_calls=True)


def call_centre(count: int = 120) -> PlainTwilio:
    """Every third call dials two legs and is recorded; every seventh has a notification."""
    calls, recordings, notifications = [], [], []
    for number in range(count):
        leg, at = number % 3, 20 * number
        parent: dict[str, Any] = {}
        if leg:
            parent = {"parent_call_sid": sid("CA", number - leg), "direction": "outbound-dial"}
        else:
            recordings.append(recording(number, of=number, at=at + 20))
        calls.append(call(number, at=at, **parent))
        if number % 7 == 0:
            notifications.append(notification(number, of=number, at=at + 60))
    return PlainTwilio(calls[::-1], recordings[::-1], notifications[::-1])


async def verified(twilio: PlainTwilio, sample: int = 200, policy: Policy = ADAPTIVE) -> Report:
    """The report; also checks every progress callback."""
    progress: list[tuple[int, int]] = []

    async with connected(twilio) as client:
        report = await verify(
            client, sample, policy, lambda done, total: progress.append((done, total))
        )
    assert progress == sorted(progress, key=lambda pair: pair[0])
    assert progress[-1] == (6 * report.calls, 6 * report.calls)
    return report


def differences(report: Report) -> dict[str, tuple[Difference, ...]]:
    """The differences of the edges that have any."""
    return {edge.name: edge.differences for edge in report.edges if edge.differences}


async def test_an_account_that_meets_the_assumptions_has_no_difference() -> None:
    """Pages of 50, 50 and 20 calls; the first has one call below which nothing older was read.

    Upward, the newest calls take one request each, as no row above is dated after their windows.
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
    assert len(twilio.requests) == 3 + sent + 18  # to test the assumptions


async def test_the_sample_is_the_newest_calls() -> None:
    twilio = call_centre()
    report = await verified(twilio, sample=7)

    assert report.calls == 7
    sent = {request for request in twilio.asked() if "ParentCallSid" in request}
    newest = [row["sid"] for row in twilio.calls[:7]]
    assert {request.split("=")[1].partition("&")[0] for request in sent} == set(newest)


async def test_an_account_without_calls_has_nothing_to_compare() -> None:
    report = await verified(PlainTwilio())

    assert report.is_equal
    assert report.calls == 0


async def test_the_report_says_if_no_scan_was_tried() -> None:
    report = await verified(call_centre(1))

    assert report.is_equal
    assert "No scan of childCalls was worth its cost" in render(report)


@pytest.mark.parametrize(
    ("policy", "advice"),
    [
        (ADAPTIVE, "leave GATEWAY_SCAN_CHILD_CALLS off"),
        (PER_KEY, "leave GATEWAY_SCAN_CHILD_CALLS off"),
        (replace(SCANNING, adaptive=False), "leave GATEWAY_SCAN_CHILD_CALLS off"),
        (SCANNING, "set GATEWAY_SCAN_CHILD_CALLS=off"),
    ],
    ids=["adaptive", "per-key", "per-key, scan on", "scan on"],
)
async def test_a_child_without_start_time_is_missing_in_a_scan_of_child_calls(
    policy: Policy, advice: str
) -> None:
    """It was never dialed, so no range of start times contains it. The default setting finds it."""
    twilio = call_centre(60)
    twilio.calls[0] |= {"start_time": None, "status": "canceled"}
    report = await verified(twilio, policy=policy)

    child, parent = sid("CA", 59), sid("CA", 57)
    assert differences(report) == {
        "childCalls by scan": (Difference(parent, missing=(child,), extra=(), out_of_order=()),)
    }
    line = f"childCalls by scan of {parent}: missing {child}"
    off = " (not counted, since this way is off)"
    assert f"{line}\n" in render(report) if policy is SCANNING else f"{line}{off}" in render(report)
    assert advice in render(report)
    assert report.is_equal == (policy is not SCANNING)


@pytest.mark.parametrize("policy", [ADAPTIVE, PER_KEY], ids=["adaptive", "per-key"])
async def test_a_recording_dated_days_after_its_call_is_found(policy: Policy) -> None:
    """It contradicts an assumption, too. Both count only while edges are planned."""
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=5 * DAY))
    report = await verified(twilio, policy=policy)

    expected = Difference(sid("CA", 30), missing=(sid("RE", 999),), extra=(), out_of_order=())
    assert differences(report) == {"recordings": (expected,)}
    (broken,) = (line for line in render(report).splitlines() if ": bro" in line.lower())
    assert "Recordings are dated at most 60 minutes after the end of their call" in broken
    assert report.is_equal == (policy is PER_KEY)
    if policy is ADAPTIVE:
        assert "set GATEWAY_PLANNER=per-key" in render(report)
        assert "BROKEN, 1 of" in broken
    else:
        assert "leave GATEWAY_PLANNER=per-key" in render(report)
        assert "broken (this counts only if planned), 1 of" in broken


@pytest.mark.parametrize("policy", [ADAPTIVE, PER_KEY], ids=["adaptive", "per-key"])
async def test_an_assumption_of_lists_and_filters_counts_with_every_planner(
    policy: Policy,
) -> None:
    """The list of recordings by days leaves one out."""
    twilio = call_centre(60)

    def without_the_newest(request: httpx.Request) -> httpx.Response | None:
        if "DateCreated" in request.url.query.decode():
            return PlainTwilio(twilio.calls, twilio.recordings[1:]).answer(request)
        return None

    twilio.fault = without_the_newest
    report = await verified(twilio, policy=policy)

    assert not report.is_equal
    assert "A list of recordings by days has the rows of these days (GMT), all of them: BROKEN" in (
        render(report)
    )
    advice = "set GATEWAY_PLANNER=per-key" if policy is ADAPTIVE else "depends on, too"
    assert advice in render(report)


async def test_another_order_of_rows_in_the_accounts_list_is_found() -> None:
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=30 * 20 + 20))

    def reversed_list(request: httpx.Request) -> httpx.Response | None:
        if "/Calls/" in request.url.path and request.url.path.endswith("Recordings.json"):
            twin = PlainTwilio(twilio.calls, twilio.recordings[::-1])
            return twin.answer(request)
        return None

    twilio.fault = reversed_list
    (found,) = differences(await verified(twilio))["recordings"]

    assert found.call == sid("CA", 30)
    assert (found.missing, found.extra) == ((), ())
    assert set(found.out_of_order) == {sid("RE", 999), sid("RE", 30)}


async def test_a_difference_at_a_live_call_counts_only_if_the_second_comparison_has_it() -> None:
    """The call dials another leg between the planned and the per-key read."""
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


async def test_a_read_that_fails_ends_the_comparison() -> None:
    twilio = call_centre(60)
    twilio.fault = lambda request: error(503, 20503) if "Notif" in request.url.path else None

    with pytest.raises(UpstreamError):
        await verified(twilio)


async def test_the_report_shows_no_phone_number() -> None:
    twilio = call_centre(60)
    twilio.recordings.insert(0, recording(999, of=30, at=5 * DAY))

    assert "+1" not in render(await verified(twilio))


def test_no_answer_comes_from_the_shared_cache(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What another gateway has read proves nothing. This one would say that nobody answers."""
    twilio = PlainTwilio(
        calls=[call(n, at=-n, parent_call_sid=sid("CA", 3) if n < 3 else None) for n in range(1, 4)]
    )

    class Served(Handler):
        def do_GET(self) -> None:  # noqa: N802 (http.server's spelling)
            request = httpx.Request("GET", f"https://api.twilio.com{self.path}")
            response = asyncio.run(twilio.handle_async_request(request))
            self.answer(response.status_code, response.content, Content_Type="application/json")

    with answering(Served) as url:
        settings = settings_of(
            account_sid=ACCOUNT,
            auth_token=Secret(TOKEN),
            base_url=url,
            cache_store_url=Secret("redis://127.0.0.1:1"),
        )
        assert run(Namespace(sample=3), settings) == 0

    assert capsys.readouterr().out.startswith("3 calls compared")
    assert not [line for line in caplog.messages if "shared cache" in line]
