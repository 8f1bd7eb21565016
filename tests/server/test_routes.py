"""Every path also works with a trailing slash, without a redirect."""

import json

import httpx
import pytest
from starlette.routing import Route
from websockets.asyncio.client import connect

from gateway.settings import AccessMode
from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.stage import app_over, listening, served

QUERY = f'{{ call(sid: "{sid("CA", 1)}") {{ sid }} }}'
ANSWER = {"data": {"call": {"sid": sid("CA", 1)}}}
# A request as a proxy that terminates TLS forwards it.
PROXIED = {"Host": "gateway.example.com", "X-Forwarded-Proto": "https"}


async def test_graphql_answers_with_a_slash_by_post_and_by_get() -> None:
    async with served(PlainTwilio([call(1)]), host="0.0.0.0") as client:  # noqa: S104 (behind a proxy)
        posted = await client.post("/graphql/", json={"query": QUERY}, headers=PROXIED)
        got = await client.get("/graphql/", params={"query": QUERY}, headers=PROXIED)

    assert [(answer.status_code, answer.json()) for answer in (posted, got)] == [(200, ANSWER)] * 2


async def test_graphql_answers_with_a_slash_by_websocket() -> None:
    app = app_over(PlainTwilio([call(1)]))
    async with listening(app) as port:
        url = f"ws://127.0.0.1:{port}/graphql/"
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type": "connection_init"}')
            await socket.recv()
            payload = {"query": QUERY}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            assert json.loads(await socket.recv())["payload"] == ANSWER


@pytest.mark.parametrize("access", [AccessMode.NONE, AccessMode.PASSTHROUGH])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
async def test_every_route_answers_alike_with_a_slash_and_none_redirects(
    method: str, access: AccessMode
) -> None:
    given = {"account_sid": None, "auth_token": None} if access is AccessMode.PASSTHROUGH else {}
    app = app_over(PlainTwilio(), access=access, host="0.0.0.0", **given)  # noqa: S104
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7") as client,
    ):
        for path in [*paths, "/nowhere", "/graphql/x", "//graphql", "/graphql//"]:
            answers = [
                await client.request(method, "http://10.0.0.7" + asked, headers=PROXIED)
                for asked in (path, path + "/")
            ]
            for answer in answers:
                assert "location" not in answer.headers
                assert not answer.is_redirect
                assert "10.0.0.7" not in answer.text
            if path != "/":
                assert answers[0].status_code == answers[1].status_code, path
        twice = await client.get("/healthz//")
    assert "/graphql" in paths
    assert twice.status_code == 404  # one slash is no mistake, two are
