"""The list of a subscription's events in a real browser, over a server that a test makes speak."""

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.playground.conftest import Visit

pytestmark = pytest.mark.xdist_group("browser")  # one browser at a time

WATCH = 'subscription Watch { callUpdated(sid: "CA1") { status } }'
HOSTILE = '<img src=x onerror="document.title=1">'


def watching(visit: Visit, url: str) -> Locator:
    """Runs a subscription; returns the list once it waits for events."""
    visit.open(url)
    visit.write(WATCH)
    visit.run()
    events = visit.page.get_by_role("region", name="Events")
    expect(events.get_by_role("status")).to_have_text("connected, waiting for events")
    return events


def emit(visit: Visit, event: Any) -> None:
    url = visit.page.url.partition("/graphql")[0] + "/emit"
    assert visit.page.request.post(url, data=json.dumps(event)).ok


def event_of(**fields: Any) -> dict[str, Any]:
    return {"data": {"callsUpdated": fields}}


def cells(events: Locator) -> list[list[str]]:
    """The texts of each row, newest first."""
    rows = events.get_by_role("log").locator("summary").all()
    return [row.locator("span").all_inner_texts() for row in rows]


def test_every_event_is_kept(visit: Visit, stand_in_url: str) -> None:
    """Newest first, with what the subscription selected; each opens to its whole result."""
    events = watching(visit, stand_in_url)
    call = {"sid": "CA" + "b" * 32, "status": "RINGING", "from": "+1", "to": "+2"}
    emit(visit, event_of(call=call | {"status": "QUEUED"}, source="MUTATION"))
    emit(
        visit,
        event_of(
            call=call,
            previousStatus="QUEUED",
            source="WEBHOOK",
            receivedAt="2026-01-31T09:00:05Z",
        ),
    )
    expect(events.get_by_role("status")).to_have_text("connected, 2 events")
    newest, oldest = cells(events)
    events.get_by_role("log").locator("summary").first.click()
    opened = json.loads(events.locator("details[open] pre").inner_text())
    emit(visit, None)

    assert newest == ["09:00:05", "QUEUED → RINGING", "WEBHOOK", "CA…bbbb +1 → +2"]
    assert oldest[1:] == ["QUEUED", "MUTATION", "CA…bbbb +1 → +2"]
    assert opened["data"]["callsUpdated"]["call"] == call
    expect(events.get_by_role("status")).to_have_text("complete, 2 events")


def test_leaving_the_tab_does_not_end_it(visit: Visit, stand_in_url: str) -> None:
    """The list is there in the other tab, also with an answer of that tab."""
    events = watching(visit, stand_in_url)
    visit.choose(1, "CallTree")
    visit.write("{ calls { nodes { sid } } }")
    visit.run()
    visit.answer()
    emit(visit, event_of(call={"status": "RINGING"}))

    expect(events.get_by_role("log")).to_contain_text("RINGING")


def test_it_can_be_stopped_and_closed(visit: Visit, stand_in_url: str) -> None:
    """Stop keeps the list; Close removes it."""
    events = watching(visit, stand_in_url)
    emit(visit, event_of(call={"status": "RINGING"}))
    expect(events.get_by_role("status")).to_have_text("connected, 1 event")
    events.get_by_role("button", name="Stop").click()
    expect(events.get_by_role("status")).to_have_text("stopped, 1 event")
    events.get_by_role("button", name="Close").click()

    expect(events).to_have_count(0)


def test_a_connection_that_is_cut_off_says_so(visit: Visit, stand_in_url: str) -> None:
    """Not "complete": events may be missing."""
    events = watching(visit, stand_in_url)
    emit(visit, "cut")

    expect(events.get_by_role("status")).to_contain_text("the connection was cut off")


def test_an_error_of_an_event_and_a_hostile_text_are_texts(visit: Visit, stand_in_url: str) -> None:
    """No text of an event becomes markup."""
    events = watching(visit, stand_in_url)
    title = visit.page.title()
    emit(visit, {"errors": [{"message": HOSTILE}]})
    emit(visit, event_of(call=dict.fromkeys(("sid", "status", "from", "to"), HOSTILE)))
    expect(events.get_by_role("status")).to_have_text("connected, 2 events")

    assert [row[1] for row in cells(events)] == [HOSTILE, f"✗ {HOSTILE}"]
    assert events.locator("img").count() == 0
    assert visit.page.title() == title
