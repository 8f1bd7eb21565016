"""The page in a real browser over the real gateway: the first steps of a newcomer work."""

import json
import re

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from playwright.sync_api import expect

from gateway.playground import ACCOUNT_TABS, TABS, Tab
from gateway.schema import schema
from tests.playground.conftest import Visit

browser = pytest.mark.xdist_group("browser")  # one browser at a time
QUERIES = [tab for tab in TABS if tab.name in {"calls", "call-tree", "filter"}]


@pytest.mark.parametrize("tab", {*TABS, *ACCOUNT_TABS}, ids=lambda tab: tab.name)
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
def test_a_call_that_is_made_in_one_tab_is_watched_from_another(
    visit: Visit, gateway_url: str
) -> None:
    """The watch says that it waits, goes on when its tab is left, and lists each change."""
    make, watch = TABS[-2:]
    visit.open(gateway_url)
    choose(visit, watch)
    visit.run()
    events = visit.page.get_by_role("region", name="Events")
    expect(events.get_by_role("status")).to_have_text("connected, waiting for events")
    choose(visit, make)
    visit.run()
    made = json.loads(visit.answer())["data"]["makeCall"]
    listed = events.get_by_role("log").locator("summary")
    expect(listed.first).to_contain_text("RINGING → IN_PROGRESS", timeout=20_000)
    cells = [row.locator("span").all_inner_texts() for row in listed.all()]
    listed.first.click()

    assert made["userErrors"] == []
    assert [status for _, status, *_ in cells] == [
        "RINGING → IN_PROGRESS",
        "QUEUED → RINGING",
        "QUEUED",
    ]
    assert [source for _, _, source, _ in cells] == ["WEBHOOK", "WEBHOOK", "MUTATION"]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time, *_ in cells)
    assert {call for *_, call in cells} == {
        f"CA…{made['call']['sid'][-4:]} +12125550142 → +15005550006"
    }
    assert '"recordings"' in events.locator("details[open] pre").inner_text()


def choose(visit: Visit, tab: Tab) -> None:
    """Open a tab."""
    (operation,) = parse(tab.query).definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name is not None
    visit.choose(TABS.index(tab), operation.name.value)


@browser
@pytest.mark.parametrize("tab", QUERIES, ids=lambda tab: tab.name)
def test_every_default_tab_that_reads_runs_and_is_drawn(
    visit: Visit, gateway_url: str, tab: Tab
) -> None:
    """The answer holds calls and no error; each request has a row or a part of one."""
    visit.open(gateway_url)
    choose(visit, tab)
    visit.run()
    visit.page.locator(".explain-exchanges").wait_for()
    answer = json.loads(visit.answer())
    upstream = answer["extensions"]["upstream"]
    rows = visit.page.locator(".explain-exchanges > li > details > summary")
    folded = [re.match(r"(\d+) × ", text) for text in rows.all_inner_texts()]

    assert "errors" not in answer
    assert answer["data"]["calls"]["nodes"] != []
    assert sum(int(one[1]) if one else 1 for one in folded) == upstream["requests"] > 0
    assert rows.first.inner_text().startswith("Calls?")


@browser
def test_the_panel_draws_a_plan(visit: Visit, gateway_url: str) -> None:
    """The dry run reads the first page; the rest is planned."""
    visit.open(gateway_url)
    visit.page.get_by_role("button", name="Plan only").click()
    visit.page.locator(".explain-exchanges").wait_for()
    upstream = json.loads(visit.answer())["extensions"]["upstream"]
    planned = visit.page.locator(".explain-exchanges em").filter(has_text="planned")

    assert upstream["requests"] == 1
    assert 0 < planned.count() <= 2 * len(upstream["exchanges"]) - 1
