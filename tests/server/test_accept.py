"""Accept headers: one of two media types, the page for browsers, or 406."""

import pytest

from gateway.server.accept import preferred
from gateway.settings import Environment
from tests.server.stage import GRAPHQL_RESPONSE, JSON, served

HTML = "text/html"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
BROWSERS = pytest.mark.parametrize("accept", [FIREFOX, CHROME, HTML], ids=["fox", "chrome", "html"])
QUERY = {"query": "{ __typename }"}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON}", GRAPHQL_RESPONSE),
        (f"{JSON}, {GRAPHQL_RESPONSE}", JSON),
        (f"{JSON};q=0.9, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{JSON};q=0.8, {GRAPHQL_RESPONSE};q=0.7", JSON),
        (f"{JSON} ; q=0.8 ,{GRAPHQL_RESPONSE} ; q=0.9", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_RESPONSE),
        (f"{JSON};charset=utf-8;q=0.1, */*;q=0.2", GRAPHQL_RESPONSE),
        (f"*/*, {JSON};q=0.5", GRAPHQL_RESPONSE),
        (f"*/*;q=0.1, {JSON};q=0", GRAPHQL_RESPONSE),
        (f"application/*;q=0.1, {GRAPHQL_RESPONSE};q=0.2", GRAPHQL_RESPONSE),
        ("Application/JSON", JSON),
        (f"{GRAPHQL_RESPONSE}, {JSON}, multipart/mixed", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON}, text/event-stream, multipart/mixed", GRAPHQL_RESPONSE),
        (FIREFOX, JSON),
        ("text/plain, */*;q=0.001", JSON),
        (HTML, None),
        ("text/*, image/png", None),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        (f"{JSON};q=0, application/*;q=0.0", None),
        (f"{JSON};q=nan", None),
        (f"{JSON};q=high", None),
        (f"{JSON};q=2", None),
        (f"{JSON};q=-1", None),
        ("application", None),
        ("application/jsonp", None),
        (",,;", None),
        (", ,", JSON),
    ],
)
def test_the_media_type_that_an_accept_header_prefers(accept: str, chosen: str | None) -> None:
    """RFC 9110 12.5.1. Among equals the one named first wins, else application/json."""
    assert preferred(accept, (JSON, GRAPHQL_RESPONSE)) == chosen


async def test_an_unsupported_type_is_406_and_lists_the_supported_ones() -> None:
    async with served() as client:
        for accept in ("text/plain", "image/*", f"{JSON};q=0"):
            response = await client.post("/graphql", json=QUERY, headers={"Accept": accept})

            assert response.status_code == 406
            assert GRAPHQL_RESPONSE in response.json()["errors"][0]["message"]


async def test_several_accept_headers_are_one() -> None:
    headers = [("Accept", "text/plain"), ("Accept", GRAPHQL_RESPONSE)]
    async with served() as client:
        response = await client.post("/graphql", json=QUERY, headers=headers)

    assert response.headers["Content-Type"].startswith(GRAPHQL_RESPONSE)


async def test_no_accept_header_takes_json() -> None:
    async with served() as client:
        del client.headers["Accept"]
        response = await client.post("/graphql", json=QUERY)

    assert response.headers["Content-Type"].startswith(JSON)


@BROWSERS
@pytest.mark.parametrize("path", ["/", "/graphql"])
async def test_browsers_get_the_page(accept: str, path: str) -> None:
    async with served() as client:
        response = await client.get(path, headers={"Accept": accept})

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(HTML)


async def test_curl_gets_no_page_at_the_endpoint() -> None:
    async with served() as client:
        response = await client.get("/graphql", headers={"Accept": "*/*"})

    assert response.status_code == 400
    assert "query is missing" in response.json()["errors"][0]["message"]


async def test_a_browser_that_asks_a_query_gets_its_answer() -> None:
    """A link to a query shows the data, not the page."""
    async with served() as client:
        response = await client.get("/graphql", params=QUERY, headers={"Accept": FIREFOX})

    assert response.json() == {"data": {"__typename": "Query"}}


async def test_a_browser_that_posts_gets_json() -> None:
    async with served() as client:
        response = await client.post("/graphql", json=QUERY, headers={"Accept": FIREFOX})

    assert response.json() == {"data": {"__typename": "Query"}}


@BROWSERS
async def test_production_has_no_graphiql_page(accept: str) -> None:
    async with served(env=Environment.PRODUCTION) as client:
        root = await client.get("/", headers={"Accept": accept})
        endpoint = await client.get("/graphql", headers={"Accept": accept})
        answer = await client.get("/graphql", params=QUERY)

    assert root.status_code == 404
    assert endpoint.status_code in {400, 406}
    assert HTML not in endpoint.headers["Content-Type"]
    assert answer.status_code == 200
