"""Which web pages may send requests, and the security headers of every response."""

import json
import re
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from gateway.server.origins import Origins
from gateway.settings import AccessMode, Settings, Switch
from tests.plain_twilio import PlainTwilio, call
from tests.server.stage import GRAPHQL_RESPONSE, JSON, app_over, served

LISTED = "https://desk.example.com"
ASKED = {"query": "{ calls { nodes { sid } } }"}
FOREIGN: dict[str, dict[str, str]] = {
    "another origin": {"Origin": "https://evil.example"},
    "a sandboxed page": {"Origin": "null"},
    "the listed one, by http": {"Origin": "http://desk.example.com"},
    "the listed one's port": {"Origin": f"{LISTED}:8443"},
    "a name that begins as ours": {"Origin": "http://gateway.evil.example"},
    "a name that ends as ours": {"Origin": "http://evilgateway"},
    "our host, no scheme": {"Origin": "gateway"},
    "our host, file": {"Origin": "file://gateway"},
    "an image": {"Sec-Fetch-Site": "cross-site"},
    "another port of this host": {"Sec-Fetch-Site": "same-site"},
    "no URL": {"Origin": "http://[gateway"},
    "empty": {"Origin": ""},
}
PUBLIC = "https://calls.example.com"
WELCOME: dict[str, dict[str, str]] = {
    "no browser": {},
    "our page": {"Origin": "http://gateway", "Sec-Fetch-Site": "same-origin"},
    "our page, behind TLS": {"Origin": "https://gateway"},
    "our page, with a port": {"Origin": "http://gateway:80"},
    "typed in": {"Sec-Fetch-Site": "none"},
    "listed": {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"},
    "public": {"Origin": PUBLIC},
}
SETTINGS: dict[str, Any] = {
    "allowed_origins": (LISTED,),
    "public_url": f"{PUBLIC}/twilio",
}


@pytest.mark.parametrize("who", FOREIGN)
async def test_a_page_of_a_foreign_origin_is_refused_before_anything_is_sent(who: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, **SETTINGS) as client:
        posted = await client.post("/graphql", json=ASKED, headers=FOREIGN[who])
        got = await client.get("/graphql", params=ASKED, headers=FOREIGN[who])

    for response in (posted, got):
        assert response.status_code == 403
        assert response.json()["errors"][0]["extensions"] == {"code": "FOREIGN_ORIGIN"}
        assert "Access-Control-Allow-Origin" not in response.headers
    assert twilio.asked() == []


@pytest.mark.parametrize("who", FOREIGN)
async def test_without_a_list_every_other_origin_is_foreign(who: str) -> None:
    async with served(PlainTwilio()) as client:
        response = await client.post("/graphql", json=ASKED, headers=FOREIGN[who])
        asked = await client.options(
            "/graphql", headers={"Origin": "", "Access-Control-Request-Method": "POST"}
        )

    assert (response.status_code, asked.status_code) == (403, 400)


async def test_two_origins_are_one_too_many() -> None:
    async with served(PlainTwilio(), **SETTINGS) as client:
        headers = [("Origin", LISTED), ("Origin", "https://evil.example")]
        response = await client.post("/graphql", json=ASKED, headers=headers)

    assert response.status_code == 403


@pytest.mark.parametrize("who", WELCOME)
async def test_an_allowed_origin_is_answered(who: str) -> None:
    async with served(PlainTwilio(), **SETTINGS) as client:
        posted = await client.post("/graphql", json=ASKED, headers=WELCOME[who])
        got = await client.get("/graphql", params=ASKED, headers=WELCOME[who])

    for response in (posted, got):
        assert (response.status_code, list(response.json())) == (200, ["data"])
        assert "Origin" in response.headers["Vary"].split(", ")
        allowed = {"listed": LISTED, "public": PUBLIC}.get(who)
        assert response.headers.get("Access-Control-Allow-Origin") == allowed


STRANGE = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
           "10.0.0.1", "evil.example.", "[::1"]  # fmt: skip
KNOWN = ["gateway", "gateway:8000", "localhost:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000",
         "desk.localhost", "calls.example.com", "desk.example.com:80", "Desk.Example.com",
        ]  # fmt: skip


@pytest.mark.parametrize("host", STRANGE)
async def test_a_page_whose_name_resolves_to_this_machine_is_refused(host: str) -> None:
    """DNS rebinding: for the browser, page and gateway have one origin."""
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, **SETTINGS) as client:
        headers = {"Host": host}
        got = await client.get("/graphql", params=ASKED, headers=headers)
        headers["Origin"] = f"http://{host}"
        posted = await client.post("/graphql", json=ASKED, headers=headers)

    assert (got.status_code, posted.status_code) == (403, 403)
    assert twilio.asked() == []


@pytest.mark.parametrize("host", KNOWN)
async def test_a_legitimate_host_name_is_answered(host: str) -> None:
    async with served(PlainTwilio(), **SETTINGS) as client:
        response = await client.post(
            "/graphql", json=ASKED, headers={"Host": host, "Origin": f"http://{host}"}
        )

    assert response.status_code == 200


@pytest.mark.parametrize("host", STRANGE[:3])
async def test_a_gateway_on_the_network_accepts_any_host(host: str) -> None:
    """A gateway on the network may have proxies and names of its own."""
    async with served(PlainTwilio(), host="0.0.0.0") as client:  # noqa: S104
        response = await client.post("/graphql", json=ASKED, headers={"Host": host})

    assert response.status_code == 200


async def preflight(client: httpx.AsyncClient, origin: str, **asked: str) -> httpx.Response:
    """A browser's preflight before it posts JSON for a page of another origin."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    headers |= {f"Access-Control-Request-{name}": value for name, value in asked.items()}
    return await client.options("/graphql", headers=headers)


HEADERS = [
    "content-type, authorization, gateway-explain",
    "apollographql-client-name,apollographql-client-version,apollo-require-preflight",
    "x-apollo-operation-name, x-apollo-operation-id",
    "traceparent,tracestate,baggage,sentry-trace",
    "x-request-id",
    "x-anything",
]


@pytest.mark.parametrize("origin", [LISTED, PUBLIC])
@pytest.mark.parametrize("headers", HEADERS)
async def test_a_preflight_of_a_listed_origin_allows_any_header(headers: str, origin: str) -> None:
    """The origin alone decides."""
    async with served(PlainTwilio(), **SETTINGS) as client:
        response = await preflight(client, origin, Headers=headers)

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Headers"] == headers
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert {"Origin", "Access-Control-Request-Headers"} <= set(vary(response))
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def vary(response: httpx.Response) -> list[str]:
    """The names in Vary."""
    return [name.strip() for name in response.headers.get("Vary", "").split(",")]


@pytest.mark.parametrize(
    ("settings", "origin", "asked"),
    [
        (SETTINGS, "https://evil.example", {"Headers": "x-anything"}),
        ({}, LISTED, {}),
        (SETTINGS, LISTED, {"Method": "DELETE"}),
    ],
    ids=["origin", "default", "method"],
)
async def test_any_other_preflight_is_refused(
    settings: dict[str, Any], origin: str, asked: dict[str, str]
) -> None:
    async with served(PlainTwilio(), **settings) as client:
        response = await preflight(client, origin, **asked)

    assert response.status_code == 400
    if origin != LISTED or not settings:
        assert "Access-Control-Allow-Origin" not in response.headers


LISTS: dict[str, tuple[str, list[str], list[str]]] = {
    "one label": (
        "https://*.example.com",
        ["https://a.example.com", "https://A-1.Example.com", "https://x_y.example.com"],
        [
            "https://example.com", "https://a.b.example.com", "https://.example.com",
            "http://a.example.com", "https://a.example.com:8443", "https://aexample.com",
            "https://a.example.com.evil.example", "https://evil.example#.example.com",
            "https://a@x.example.com", "https://a/.example.com", "https://evil.example\\.example.com",
        ],
    ),
    "with a port": (
        "http://*.localhost:3000",
        ["http://app.localhost:3000"],
        ["http://app.localhost", "http://app.localhost:30000", "http://localhost:3000"],
    ),
    "an app's": (
        "capacitor://localhost, tauri://localhost",
        ["capacitor://localhost", "tauri://localhost"],
        ["capacitor://localhost:80", "ionic://localhost", "http://localhost", "capacitor://x"],
    ),
    "an extension's": (
        f"chrome-extension://{'a' * 32}",
        [f"chrome-extension://{'a' * 32}"],
        [f"chrome-extension://{'b' * 32}", f"https://{'a' * 32}"],
    ),
    "the usual port": ("https://a.example:443", ["https://a.example"], ["https://a.example:8443"]),
    "a dot is a dot": ("https://a.example", ["https://a.example"], ["https://aXexample"]),
    "in capitals": ("HTTPS://A.Example", ["https://a.example"], ["https://b.example"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
async def test_http_and_websocket_allow_the_same_pages(name: str) -> None:
    """And preflights get the same decision."""
    value, welcome, foreign = LISTS[name]
    settings = Settings.from_environment({"GATEWAY_ALLOWED_ORIGINS": value})
    listed = {"allowed_origins": settings.server.allowed_origins}
    for origin in [*welcome, *foreign]:
        async with served(PlainTwilio(), **listed) as client:
            posted = await client.post("/graphql", json=ASKED, headers={"Origin": origin})
            asked = await preflight(client, origin, Headers="x-request-id")
        may = origin in welcome
        assert (posted.status_code, asked.status_code) == ((200, 200) if may else (403, 400)), (
            origin
        )
        allowed = origin if may else None
        assert posted.headers.get("Access-Control-Allow-Origin") == allowed
        assert asked.headers.get("Access-Control-Allow-Origin") == allowed
        assert (
            Origins(settings).is_origin_allowed(Headers({"Origin": origin, "Host": "gateway"}))
            == may
        )


@pytest.mark.parametrize("mode", [{"allow_anyone": Switch.ON}, {"access": AccessMode.PASSTHROUGH}])
async def test_every_page_is_allowed_if_the_settings_say_so(mode: dict[str, Any]) -> None:
    settings = {"allowed_origins": ("*",)} | mode
    for origin in ["https://evil.example", "null", "file://", "capacitor://localhost"]:
        async with served(PlainTwilio(), **settings) as client:
            response = await client.post(
                "/graphql",
                json=ASKED,
                headers={"Origin": origin, "Host": "any.example", "Sec-Fetch-Site": "cross-site"},
            )
            asked = await preflight(client, origin, Headers="authorization")
        assert response.status_code != 403
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert asked.headers["Access-Control-Allow-Origin"] == "*"
        assert asked.headers["Access-Control-Allow-Headers"] == "authorization"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about pages."""
    return [one.getMessage() for one in caplog.records if one.name == "gateway.server.origins"]


@pytest.mark.parametrize("way", ["preflight", "post", "get", "image", "name"])
async def test_a_refused_page_is_logged_once(caplog: pytest.LogCaptureFixture, way: str) -> None:
    async with served(PlainTwilio(), **SETTINGS) as client:
        for _ in range(3):
            match way:
                case "preflight":
                    await preflight(client, "https://evil.example")
                case "post":
                    headers = {"Origin": "https://evil.example"}
                    await client.post("/graphql", json=ASKED, headers=headers)
                case "get":
                    headers = {"Origin": "https://evil.example"}
                    await client.get("/graphql", params=ASKED, headers=headers)
                case "image":
                    headers = {"Sec-Fetch-Site": "cross-site"}
                    await client.get("/graphql", params=ASKED, headers=headers)
                case "name":
                    await client.get("/graphql", params=ASKED, headers={"Host": "evil.example"})

    (line,) = lines(caplog)
    page, host = {"image": ("cross-site", "gateway"), "name": ("none", "evil.example")}.get(
        way, ("https://evil.example", "gateway")
    )
    assert f"of origin '{page}' that sent a request to '{host}'" in line
    assert "GATEWAY_ALLOWED_ORIGINS" in line


async def test_an_allowed_page_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with served(PlainTwilio(), **SETTINGS) as client:
        await preflight(client, LISTED)
        await client.post("/graphql", json=ASKED, headers={"Origin": LISTED})

    assert lines(caplog) == []


def test_a_logged_origin_is_truncated_and_escaped(caplog: pytest.LogCaptureFixture) -> None:
    headers = Headers({"Origin": "https://\n\x1b[2J\u00e9" + "x" * 9000, "Host": "h\n" * 4000})
    assert not Origins(Settings()).is_origin_allowed(headers)

    (line,) = lines(caplog)
    assert "https://\\n\\x1b[2J\\xe9xxx" in line
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 700


def test_pages_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Ten lines a minute, whatever origin they claim; the next minute logs others."""
    now = 0.0
    origins = Origins(Settings(), lambda: now)

    def asks(page: str) -> None:
        assert not origins.is_origin_allowed(Headers({"Origin": page, "Host": "gateway"}))

    for number in range(500):
        asks(f"https://{number}.example")
    assert len(lines(caplog)) == 10
    now = 61.0
    for _ in range(2):
        asks("https://499.example")
        asks("https://0.example")

    assert len(lines(caplog)) == 12


ANSWERS = [
    ("GET", "/graphql?query={__typename}"),
    ("GET", "/graphql?query={"),
    ("PUT", "/graphql"),
    ("OPTIONS", "/graphql"),
    ("GET", "/graphql"),
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/nowhere"),
    ("POST", "/healthz"),
    ("GET", "/playground/x/y"),
]


@pytest.mark.parametrize(("method", "path"), ANSWERS)
async def test_every_response_has_security_headers(method: str, path: str) -> None:
    async with served(PlainTwilio()) as client:
        response = await client.request(method, path, headers={"Accept": "text/html, */*"})

    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_the_page_and_its_files_keep_their_own_headers() -> None:
    async with served(PlainTwilio()) as client:
        page = await client.get("/")
        (path,) = re.findall(r'src="(/playground/[0-9a-f]+/page.js)"', page.text)
        script = await client.get(path)

    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "immutable" in script.headers["Cache-Control"]
    assert page.headers["X-Frame-Options"] == script.headers["X-Frame-Options"] == "DENY"


async def test_an_internal_error_is_json_without_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The gateway is missing here, because the lifespan never started."""
    transport = httpx.ASGITransport(app_over(PlainTwilio()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json=ASKED, headers={"Accept": GRAPHQL_RESPONSE})

    assert response.status_code == 500
    assert response.headers["Content-Type"] == JSON
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(response.text) == {
        "errors": [{"message": "Internal error", "extensions": {"code": "INTERNAL_ERROR"}}]
    }
    assert "AttributeError" in caplog.text
