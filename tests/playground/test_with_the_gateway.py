"""The page in a real browser over the real gateway: the first steps of a newcomer work."""

import json
from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate

from gateway.playground import TABS, Tab
from gateway.schema import schema
from tests.playground.conftest import Visit

browser = pytest.mark.xdist_group("browser")  # one browser at a time
QUERIES = [tab for tab in TABS if tab.name in {"calls", "call-tree", "filter"}]


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.name)
def test_every_default_tab_fits_the_schema(tab: Tab) -> None:
    """This test needs no browser."""
    known = build_schema(schema.as_str(), assume_valid_sdl=True)

    assert validate(known, parse(tab.query)) == []


@browser
def test_the_readme_query_is_answered_on_the_page(visit: Visit, gateway_url: str) -> None:
    """Open the page, press Run, and fifty calls with their edges are there."""
    visit.open(gateway_url)
    visit.run()
    answer = json.loads(visit.answer())
    nodes = answer["data"]["calls"]["nodes"]

    assert "errors" not in answer
    assert len(nodes) == 50
    assert len(nodes[0]) == 19 + 4
    assert nodes[0]["sid"] in visit.page.locator(".result-window").inner_text()


@browser
@pytest.mark.parametrize("tab", QUERIES, ids=lambda tab: tab.name)
def test_every_default_tab_that_reads_runs(visit: Visit, gateway_url: str, tab: Tab) -> None:
    """Each tab is answered without an error, and the answer holds calls."""
    visit.open(gateway_url)
    choose(visit, tab)
    visit.run()
    answer = json.loads(visit.answer())

    assert "errors" not in answer
    assert answer["data"]["calls"]["nodes"] != []


@browser
def test_a_call_that_is_made_in_one_window_is_watched_in_another(
    visit: Visit, gateway_url: str
) -> None:
    """It rings, is answered and completes, without any setup."""
    make, watch = TABS[-2:]
    other = Visit(visit.page.context.new_page())
    for window, tab in ((visit, watch), (other, make)):
        window.open(gateway_url)
        choose(window, tab)
        window.run()
    made = json.loads(other.answer())["data"]["makeCall"]
    events = [event_when(visit, status) for status in ("RINGING", "IN_PROGRESS", "COMPLETED")]

    assert made["userErrors"] == []
    assert {event["call"]["sid"] for event in events} == {made["call"]["sid"]}
    assert [event["previousStatus"] for event in events] == ["QUEUED", "RINGING", "IN_PROGRESS"]
    assert len(events[-1]["call"]["recordings"]["nodes"]) == 1


def event_when(visit: Visit, status: str) -> Any:
    """The event in the result pane once the call has this status."""
    for _ in range(400):
        event = json.loads(visit.answer())["data"]["callsUpdated"]
        if event["call"]["status"] == status:
            return event
        visit.page.wait_for_timeout(50)
    pytest.fail(f"the call was never {status}")


def choose(visit: Visit, tab: Tab) -> None:
    """Open a tab."""
    (operation,) = parse(tab.query).definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name is not None
    visit.choose(TABS.index(tab), operation.name.value)


@browser
@pytest.mark.parametrize("tab", QUERIES, ids=lambda tab: tab.name)
def test_the_panel_draws_every_request_of_a_default_tab(
    visit: Visit, gateway_url: str, tab: Tab
) -> None:
    """As many rows as the gateway sent requests; the first is the page."""
    visit.open(gateway_url)
    visit.page.get_by_role("button", name="Show Upstream Requests").click()
    choose(visit, tab)
    visit.page.get_by_role("checkbox", name="Explain").check()
    visit.run()
    visit.page.locator(".explain-exchanges").wait_for()
    upstream = json.loads(visit.answer())["extensions"]["upstream"]
    rows = visit.page.locator(".explain-exchanges summary")

    assert rows.count() == upstream["requests"] > 0
    assert rows.first.inner_text().startswith("Calls?")


@browser
def test_the_panel_draws_a_plan(visit: Visit, gateway_url: str) -> None:
    """The dry run reads the first page; the rest is planned."""
    visit.open(gateway_url)
    visit.page.get_by_role("button", name="Show Upstream Requests").click()
    visit.page.get_by_role("button", name="Plan only").click()
    visit.page.locator(".explain-exchanges").wait_for()
    upstream = json.loads(visit.answer())["extensions"]["upstream"]
    planned = visit.page.locator(".explain-exchanges summary em").filter(has_text="planned")

    assert upstream["requests"] == 1
    assert planned.count() == len(upstream["exchanges"]) - 1 > 0
