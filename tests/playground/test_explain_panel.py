"""The panel of upstream requests in a real browser: what it requests, and what it draws."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.exchanges import CALL, exchange, planned
from tests.playground.conftest import Visit

pytestmark = pytest.mark.xdist_group("browser")  # one browser at a time

HOSTILE = '<img src=x onerror="document.title=1">"\'&amp;<script>document.title=2</script>'


THREE = (
    exchange(),
    exchange(path="Recordings", way="scan", start=50.0, wait=10.0, duration=40.0),
    exchange(path="Calls/CA1", start=50.0, duration=20.0, status="UPSTREAM_TIMEOUT"),
)


@dataclass
class Gateway:
    """Answers every operation with these exchanges; records each Gateway-Explain header."""

    exchanges: tuple[dict[str, Any], ...]
    modes: list[str | None] = field(default_factory=list)

    def __call__(self, route: Route) -> None:
        request = route.request
        if request.method != "POST" or "IntrospectionQuery" in (request.post_data or ""):
            return route.fallback()
        self.modes.append(request.headers.get("gateway-explain"))
        return route.fulfill(json={"data": {"calls": None}} | self._extensions())

    def _extensions(self) -> dict[str, Any]:
        if self.modes[-1] is None:
            return {}
        totals = {"requests": 3, "rows": 150, "known": 7, "milliseconds": 100.0}
        return {"extensions": {"upstream": totals | {"exchanges": self.exchanges}}}


def open_panel(visit: Visit, url: str, *exchanges: dict[str, Any]) -> Gateway:
    """Opens the page with its panel, over a gateway that answers with these exchanges."""
    gateway = Gateway(exchanges)
    visit.page.route("**/graphql", gateway)
    visit.open(url)
    return gateway


def explain(visit: Visit) -> Locator:
    """Runs an operation; returns the panel after it has drawn the response."""
    visit.run()
    panel(visit).get_by_role("status").wait_for()
    return panel(visit)


def panel(visit: Visit) -> Locator:
    return visit.page.get_by_role("region", name="Upstream Requests")


def rows(visit: Visit) -> Locator:
    return panel(visit).locator("ol summary")


def bars(row: Locator) -> list[tuple[str | None, ...]]:
    """The bars of a row, each as (class, x, width)."""
    names = ("class", "x", "width")
    return [tuple(rect.get_attribute(name) for name in names) for rect in row.locator("rect").all()]


def test_the_first_visit_shows_the_requests_of_the_first_run(
    visit: Visit, stand_in_url: str
) -> None:
    """The panel is open, labelled and ticked; GraphiQL's own introspection is not explained."""
    gateway = open_panel(visit, stand_in_url, *THREE)
    expect(checkbox(visit)).to_be_checked()
    expect(visit.page.get_by_role("button", name="Hide Upstream Requests")).to_have_text("Upstream")
    explain(visit)

    assert gateway.modes == ["requests"]
    expect(rows(visit)).to_have_count(3)


def test_nothing_is_explained_once_it_is_unticked(visit: Visit, stand_in_url: str) -> None:
    """Then there is no Gateway-Explain header; the next visit remembers, and says what to do."""
    gateway = open_panel(visit, stand_in_url, *THREE)
    checkbox(visit).uncheck()
    visit.open(stand_in_url)
    panel(visit).get_by_text("Run an operation").wait_for()
    expect(checkbox(visit)).not_to_be_checked()
    visit.run()
    panel(visit).get_by_text("Tick “Explain every run”").wait_for()

    assert gateway.modes == [None]
    assert rows(visit).count() == 0


def test_a_closed_panel_stays_closed_until_it_is_opened(visit: Visit, stand_in_url: str) -> None:
    """GraphiQL itself does not remember it."""
    visit.open(stand_in_url)
    visit.page.get_by_role("button", name="Hide Upstream Requests").click()
    visit.open(stand_in_url)
    expect(panel(visit)).to_have_count(0)
    visit.page.get_by_role("button", name="Show Upstream Requests").click()
    visit.open(stand_in_url)

    expect(panel(visit)).to_be_in_viewport()


def checkbox(visit: Visit) -> Locator:
    return panel(visit).get_by_role("checkbox", name="Explain every run")


def test_requests_that_differ_only_in_their_sids_share_a_row(
    visit: Visit, stand_in_url: str
) -> None:
    """Rows and predictions are sums, times are those of the group; the row opens to each request.

    Another status, field or way makes another row.
    """
    path = "Calls/CA{:032x}/Recordings"
    alike = [
        exchange(path=path.format(i), query="", start=20.0 * i, wait=10.0, duration=40.0)
        for i in range(3)
    ]
    failed = exchange(path=path.format(9), query="", start=60.0, status="UPSTREAM_TIMEOUT")
    open_panel(visit, stand_in_url, THREE[0], alike[0], THREE[1], *alike[1:], failed)
    shown = explain(visit)
    texts = [re.sub(r"\s+", " ", text) for text in rows(visit).all_inner_texts()[:6]]
    folded = shown.locator(".explain-exchanges > li").nth(1)
    drawn = bars(folded.locator("summary").first)
    folded.locator("summary").first.click()
    facts = folded.locator("dl").first.inner_text().split("\n")

    expect(shown.locator(".explain-exchanges > li")).to_have_count(4)
    assert texts[1] == "3 × Calls/{sid}/Recordings ← calls 120/150 rows 90.0 ms"
    assert drawn == [
        ("explain-wait", "0", "90.9090909090909"),
        ("explain-per-key", "90.9090909090909", "363.6363636363636"),
        ("explain-wait", "181.8181818181818", "90.9090909090909"),
        ("explain-per-key", "272.7272727272727", "363.6363636363636"),
        ("explain-wait", "363.6363636363636", "90.9090909090909"),
        ("explain-per-key", "454.5454545454545", "363.6363636363636"),
        ("explain-predicted", "90.9090909090909", "227.27272727272725"),
    ]
    assert dict(zip(facts[::2], facts[1::2], strict=True))["Predicted"] == "25.0 ms, 3 requests"
    expect(folded.locator("ol summary")).to_have_count(3)
    expect(folded.locator("ol summary").last).to_contain_text("Calls/CA…0002/Recordings")


def test_each_request_is_a_row_with_its_numbers(visit: Visit, stand_in_url: str) -> None:
    """The totals are on top; each row has request, fields, rows and time, and its failure."""
    open_panel(visit, stand_in_url, *THREE)
    shown = explain(visit)
    totals = shown.get_by_role("status").inner_text().split("\n")
    texts = [re.sub(r"\s+", " ", text) for text in rows(visit).all_inner_texts()]

    assert totals[1::2] == ["3", "150", "7", "100.0 ms"]
    assert texts == [
        "Calls?PageSize=50 ← calls 40/50 rows 50.0 ms",
        "Recordings?PageSize=50 ← calls 40/50 rows 40.0 ms",
        "✗ UPSTREAM_TIMEOUT Calls/CA1?PageSize=50 ← calls 40/50 rows 20.0 ms",
    ]


def test_a_bar_shows_wait_reading_and_prediction_in_time(visit: Visit, stand_in_url: str) -> None:
    """On an axis of 100 ms, which is 1000 wide; each kind has its colour."""
    open_panel(visit, stand_in_url, *THREE)
    explain(visit)
    drawn = [bars(row) for row in rows(visit).all()]
    colours = {
        rows(visit)
        .locator(f".explain-{kind}")
        .first.evaluate("element => getComputedStyle(element).fill")
        for kind in ("per-key", "scan", "failed", "wait")
    }

    assert drawn == [
        [("explain-per-key", "0", "500"), ("explain-predicted", "0", "250")],
        [
            ("explain-wait", "500", "100"),
            ("explain-scan", "600", "400"),
            ("explain-predicted", "600", "250"),
        ],
        [("explain-failed", "500", "200"), ("explain-predicted", "500", "250")],
    ]
    assert len(colours) == 4


def test_a_row_opens_with_the_keyboard(visit: Visit, stand_in_url: str) -> None:
    """Tab moves from the controls to the rows, Enter opens the details of one."""
    open_panel(visit, stand_in_url, *THREE)
    shown = explain(visit)
    shown.get_by_role("button", name="Plan only").focus()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    facts = shown.locator("details[open] dl").inner_text().split("\n")

    assert dict(zip(facts[::2], facts[1::2], strict=True)) == {
        "Request": "Recordings?PageSize=50",
        "Fields": "calls",
        "Way": "scan",
        "Status": "ok",
        "Predicted": "25.0 ms, 1 request",
        "Rows": "50 read, 40 used",
        "Start": "50.0 ms",
        "Wait": "10.0 ms",
        "Duration": "40.0 ms",
        "Retries": "0",
    }


def test_plan_only_is_a_dry_run(visit: Visit, stand_in_url: str) -> None:
    """One operation requests its plan; the next one follows the toggle, here unticked."""
    plan = planned(way="scan", predicted={"requests": 4, "milliseconds": 200.0})
    gateway = open_panel(visit, stand_in_url, plan)
    checkbox(visit).uncheck()
    panel(visit).get_by_role("button", name="Plan only").click()
    panel(visit).get_by_role("status").wait_for()
    text = re.sub(r"\s+", " ", rows(visit).inner_text())

    assert text == "planned Calls?PageSize=50 ← calls ~4 req ~200.0 ms"
    assert bars(rows(visit)) == [
        ("explain-planned-scan", "0", "1000"),
        ("explain-predicted", "0", "1000"),
    ]
    assert "Planned\n4" in panel(visit).get_by_role("status").inner_text()

    visit.run()
    panel(visit).get_by_text("Tick “Explain").wait_for()

    assert gateway.modes == ["plan", None]


def test_plan_only_that_cannot_be_sent_is_forgotten(visit: Visit, stand_in_url: str) -> None:
    """Invalid variables keep GraphiQL from sending; the next operation is no dry run."""
    gateway = open_panel(visit, stand_in_url, planned())
    checkbox(visit).uncheck()
    variables = ".graphiql-editor-tool .CodeMirror"
    fill = "(element, text) => element.CodeMirror.setValue(text)"
    visit.page.locator(variables).first.evaluate(fill, "{")
    panel(visit).get_by_role("button", name="Plan only").click()
    visit.page.locator(".result-window").get_by_text("Variables are invalid").wait_for()
    visit.page.locator(variables).first.evaluate(fill, "{}")
    visit.run()
    panel(visit).get_by_text("Tick “Explain").wait_for()

    assert gateway.modes == [None]


def test_an_operation_that_asked_nothing_upstream_says_so(visit: Visit, stand_in_url: str) -> None:
    open_panel(visit, stand_in_url)
    explain(visit).get_by_text("no upstream requests").wait_for()

    assert rows(visit).count() == 0


def test_a_sid_is_shortened_in_its_row_and_whole_among_the_facts(
    visit: Visit, stand_in_url: str
) -> None:
    """The row shows the end of the SID, the details all of it."""
    open_panel(visit, stand_in_url, exchange(path=f"Calls/{CALL}/Recordings", query=""))
    shown = explain(visit)
    rows(visit).click()

    assert rows(visit).inner_text().startswith("Calls/CA…cdef/Recordings ← calls")
    assert shown.locator("details[open] dd").first.inner_text() == f"Calls/{CALL}/Recordings"


def test_a_hostile_text_is_a_text(visit: Visit, stand_in_url: str) -> None:
    """A filter may contain anything: it is shown as text, and no script runs."""
    every = dict.fromkeys(("path", "query", "way", "status"), HOSTILE)
    open_panel(visit, stand_in_url, exchange(**every, fields=[HOSTILE]))
    title = visit.page.title()
    shown = explain(visit)
    rows(visit).click()
    facts = shown.locator("details[open] dd").all_inner_texts()

    assert facts[:4] == [f"{HOSTILE}?{HOSTILE}", HOSTILE, HOSTILE, HOSTILE]
    assert shown.locator("img, script").count() == 0
    assert visit.page.title() == title


def test_two_hundred_requests_stay_readable(visit: Visit, stand_in_url: str) -> None:
    """The panel scrolls, each row keeps its height and width, and the axis stays visible."""
    many = (
        exchange(
            path=f"Calls/{CALL}/Recordings",
            query=f"Page={i}",
            start=i / 2,
            duration=5.0,
            wait=i / 9,
        )
        for i in range(200)
    )
    open_panel(visit, stand_in_url, *many)
    shown = explain(visit)
    rows(visit).last.scroll_into_view_if_needed()
    pane, axis = visit.page.locator(".graphiql-plugin"), shown.locator(".explain-axis")
    outer, last = pane.bounding_box(), rows(visit).last.bounding_box()

    assert rows(visit).count() == 200
    assert outer is not None
    assert last is not None
    assert 15 <= last["height"] <= 60
    assert last["x"] + last["width"] <= outer["x"] + outer["width"]
    assert pane.evaluate("element => element.scrollWidth <= element.clientWidth")
    expect(axis).to_be_in_viewport()


def test_a_wide_panel_has_one_line_for_each_request(visit: Visit, stand_in_url: str) -> None:
    """The bar moves from below its request to beside it."""
    open_panel(visit, stand_in_url, *THREE)
    explain(visit)
    narrow = rows(visit).first.evaluate("element => element.offsetHeight")
    visit.page.set_viewport_size({"width": 3600, "height": 900})
    wide = rows(visit).first.evaluate("element => element.offsetHeight")

    assert wide < narrow


def test_a_failing_server_leaves_the_panel_in_order(visit: Visit, stand_in_url: str) -> None:
    """After a response that is no JSON, the panel does not show the previous one."""
    open_panel(visit, stand_in_url, *THREE)
    explain(visit)
    visit.page.unroute("**/graphql")
    visit.page.route("**/graphql", lambda route: route.fulfill(body="no JSON"))
    visit.run()
    panel(visit).get_by_text("has no explanation").wait_for()

    assert rows(visit).count() == 0


def test_an_answer_that_comes_too_late_is_not_drawn(visit: Visit, stand_in_url: str) -> None:
    """An operation was stopped and the next one answered: the panel shows only the latter."""
    open_panel(visit, stand_in_url)
    held: list[Route] = []
    visit.page.route("**/graphql", lambda route: held.append(route))
    for label in ("Execute", "Stop", "Execute"):
        visit.page.get_by_role("button", name=f"{label} query").click()
    while len(held) < 2:
        visit.page.wait_for_timeout(50)
    held[1].fulfill(json={"extensions": {"upstream": {"exchanges": THREE}}})
    expect(rows(visit)).to_have_count(3)
    held[0].fulfill(json={"extensions": {"upstream": {"exchanges": THREE[:1]}}})
    visit.page.wait_for_load_state("networkidle")
    visit.page.wait_for_timeout(300)

    assert rows(visit).count() == 3


def test_the_answer_itself_is_untouched(visit: Visit, stand_in_url: str) -> None:
    """The result pane has what the panel draws, too."""
    open_panel(visit, stand_in_url, *THREE)
    explain(visit)
    answer = json.loads(visit.answer())

    assert answer["extensions"]["upstream"]["exchanges"] == list(THREE)
