"""The page in a real browser over a tiny server: GraphiQL works under the strict policy."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Route, expect

from gateway.playground import TABS
from gateway.playground.third_party import CDN, PINS
from tests.playground.conftest import Visit

pytestmark = pytest.mark.xdist_group("browser")  # one browser at a time

MINE = "query Mine { calls { nodes { sid } } }"


def variables(visit: Visit) -> Locator:
    return visit.page.get_by_role("region", name="Variables").locator(".CodeMirror").first


def query(visit: Visit) -> str:
    """The whole text of the query editor."""
    editor = visit.page.locator(".graphiql-query-editor .CodeMirror")
    return str(editor.evaluate("element => element.CodeMirror.getValue()"))


def test_a_query_is_answered(visit: Visit, stand_in_url: str) -> None:
    """Ctrl-Enter runs the query in the editor; the request accepts the modern media type."""
    visit.open(stand_in_url)
    visit.write("{ calls { nodes { status parentCall { status } } } }")
    visit.page.keyboard.press("Control+Enter")
    answer = json.loads(visit.answer())

    assert answer["data"]["calls"]["nodes"][1]["parentCall"] == {"status": "completed"}
    accept = "application/graphql-response+json, application/json"
    assert answer["extensions"] == {"accept": accept, "authorization": None}


def test_the_first_visit_shows_the_default_tabs(visit: Visit, stand_in_url: str) -> None:
    """Five tabs under their operations' names; the variables of the filter are in view."""
    visit.open(stand_in_url)
    tabs = visit.page.locator(".graphiql-tab-button")

    names = ["Calls", "CallTree", "UnansweredCalls", "MakeCall", "WatchCalls"]
    assert tabs.all_inner_texts() == names

    tabs.nth(2).click()

    expect(variables(visit)).to_contain_text("NO_ANSWER")
    expect(variables(visit)).to_be_in_viewport(ratio=1)


def test_the_next_visit_shows_what_was_left(visit: Visit, stand_in_url: str) -> None:
    """The default tabs do not come back over a user's own query."""
    visit.open(stand_in_url)
    visit.write(MINE)
    visit.until_stored(MINE)
    visit.open(stand_in_url)

    assert visit.page.locator(".graphiql-tab-button").first.inner_text() == "Mine"


def test_a_new_tab_opens_with_one_of_our_queries(visit: Visit, stand_in_url: str) -> None:
    """Not with GraphiQL's page of comments."""
    visit.open(stand_in_url)
    visit.page.get_by_role("button", name="New tab").click()

    expect(visit.page.locator(".graphiql-tab-button")).to_have_count(6)
    assert query(visit) == TABS[0].query


@pytest.mark.parametrize("is_first", [True, False], ids=["first visit", "later visit"])
def test_a_link_opens_its_query_and_never_runs_it(
    visit: Visit, stand_in_url: str, is_first: bool
) -> None:
    """It comes in a tab of its own, with its variables; the only request reads the schema."""
    if not is_first:
        visit.open(stand_in_url)
        visit.write(MINE)
        visit.until_stored(MINE)
    posts: list[str] = []
    visit.page.on("request", lambda request: posts.append(request.post_data or ""))
    linked = "mutation Linked($n: Int) { calls(first: $n) { nodes { sid } } }"
    given = '{"n": 7}'
    visit.open(f"{stand_in_url}?{urlencode({'query': linked, 'variables': given})}")
    tabs = visit.page.locator(".graphiql-tab-button").all_inner_texts()

    assert query(visit) == linked
    assert variables(visit).evaluate("element => element.CodeMirror.getValue()") == given
    expected = {"Linked", "CallTree", "UnansweredCalls", "MakeCall", "WatchCalls"}
    assert set(tabs) == expected | {"Calls" if is_first else "Mine"}
    assert all("IntrospectionQuery" in post for post in posts if post)


@pytest.mark.parametrize("width", [1440, 800])
def test_nothing_is_cut_off(visit: Visit, stand_in_url: str, width: int) -> None:
    """Tabs, title, run button and panel are inside the window; the editor wraps its lines."""
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.open(stand_in_url)
    visit.page.locator(".graphiql-tab-button").nth(3).click()
    whole = [
        *visit.page.locator(".graphiql-tab").all(),
        visit.page.locator(".badge"),
        visit.page.locator(".graphiql-execute-button"),
        visit.page.get_by_role("heading", name="Upstream Requests"),
        visit.page.get_by_role("button", name="Plan only"),
    ]

    for element in whole:
        expect(element).to_be_in_viewport(ratio=1)
    for editor in visit.page.locator(".graphiql-editors .CodeMirror-scroll").all():
        assert editor.evaluate("element => element.scrollWidth - element.clientWidth") <= 0


def test_the_documentation_explains_a_type(visit: Visit, stand_in_url: str) -> None:
    """The docs explorer leads from the root to a field's type and shows its description."""
    visit.open(stand_in_url)
    visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = visit.page.locator(".graphiql-doc-explorer")
    for name in ("Query", "CallConnection", "Call"):
        docs.get_by_role("link", name=name, exact=True).first.click()

    docs.get_by_text("One call.").wait_for()


def test_the_history_keeps_what_was_run(visit: Visit, stand_in_url: str) -> None:
    """A query that was run can be found again."""
    visit.open(stand_in_url)
    visit.write("query Remembered { calls { nodes { sid } } }")
    visit.run()
    visit.answer()
    visit.page.get_by_role("button", name="Show History").click()

    visit.page.locator(".graphiql-history").get_by_text("Remembered").wait_for()


@pytest.mark.parametrize("dialog", ["short keys", "settings"])
def test_the_dialogs_open(visit: Visit, stand_in_url: str, dialog: str) -> None:
    """A dialog adds a style element; the policy allows it by its nonce."""
    visit.open(stand_in_url)
    visit.page.get_by_role("button", name=f"Open {dialog} dialog").click()
    visit.page.get_by_role("dialog").wait_for()
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("dialog").wait_for(state="detached")


def test_without_files_the_cdn_serves_the_page(
    visit: Visit, stand_in_url: str, installed: Path
) -> None:
    """The CDN's files pass the integrity check and the policy, and GraphiQL starts."""
    names = {pin.url(): installed / pin.name for pin in PINS}

    def serve(route: Route) -> None:
        cors = {"access-control-allow-origin": "*"}
        route.fulfill(path=names[route.request.url], headers=cors)

    visit.page.route(f"{CDN}/**", serve)
    visit.expected_origins = {"cdn.jsdelivr.net"}
    visit.open(stand_in_url.replace("/graphql", "/without-files"))

    assert visit.page.locator(".graphiql-tab-button").count() == 5


def test_without_files_and_without_internet_the_page_says_so(
    visit: Visit, stand_in_url: str
) -> None:
    """The page says what is missing, how to get it, and that the API works."""
    visit.page.goto(stand_in_url.replace("/graphql", "/without-files"))
    visit.page.get_by_text("Reinstall the gateway").wait_for()

    assert all("ERR_NAME_NOT_RESOLVED" in error for error in visit.errors)
    visit.errors.clear()
    visit.expected_origins = {"cdn.jsdelivr.net"}
