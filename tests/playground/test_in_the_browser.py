"""The page in a real browser over a tiny server: GraphiQL works under the strict policy."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Route

from gateway.playground.third_party import CDN, PINS
from tests.playground.conftest import Visit

pytestmark = pytest.mark.xdist_group("browser")  # one browser at a time


def test_a_query_is_answered(visit: Visit, stand_in_url: str) -> None:
    """Ctrl-Enter runs the query in the editor; the request accepts the modern media type."""
    visit.open(stand_in_url)
    visit.write("{ calls { nodes { status parentCall { status } } } }")
    visit.page.keyboard.press("Control+Enter")
    answer = json.loads(visit.answer())

    assert answer["data"]["calls"]["nodes"][1]["parentCall"] == {"status": "completed"}
    accept = "application/graphql-response+json, application/json"
    assert answer["extensions"] == {"accept": accept}


def test_a_subscription_is_answered(visit: Visit, stand_in_url: str) -> None:
    """Events come over graphql-transport-ws, on the same URL."""
    pytest.importorskip("websockets", reason="uvicorn has no WebSocket library here")
    visit.open(stand_in_url)
    visit.write('subscription { callUpdated(sid: "CA1") { status } }')
    visit.run()

    assert json.loads(visit.answer()) == {"data": {"callUpdated": {"status": "in-progress"}}}


def test_the_first_visit_shows_the_default_tabs(visit: Visit, stand_in_url: str) -> None:
    """Five tabs under their operations' names; the filter brings its variables."""
    visit.open(stand_in_url)
    tabs = visit.page.locator(".graphiql-tab-button")

    names = ["Calls", "CallTree", "UnansweredCalls", "MakeCall", "WatchCalls"]
    assert tabs.all_inner_texts() == names

    tabs.nth(2).click()
    visit.page.get_by_role("button", name="Variables").click()
    variables = visit.page.locator(".graphiql-editor-tool .CodeMirror").first

    assert "NO_ANSWER" in variables.inner_text()


def test_the_next_visit_shows_what_was_left(visit: Visit, stand_in_url: str) -> None:
    """The default tabs do not come back over a user's own query."""
    visit.open(stand_in_url)
    visit.write("query Mine { calls { nodes { sid } } }")
    visit.open(stand_in_url)

    assert visit.page.locator(".graphiql-tab-button").first.inner_text() == "Mine"


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
