"""Secrets and numbers appear in no output of the process, at debug level."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access import Account
from gateway.access.tokens import new_token
from gateway.settings import AccessMode, Secret
from tests.access.provider import AUDIENCE, ISSUER, Provider
from tests.credentials import encoded
from tests.end_to_end.program import Server, serving
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.server.stage import served
from tests.serving import Handler, answering
from tests.settings import settings_of

KEY, KEY_SECRET, CALLERS_TOKEN = "SK" + "c" * 32, "s3cret-of-the-key-s3cret", "ca11ers" * 4
NUMBER, UPSTREAMS_WORDS = "+16175551212", "the bespoke words of an upstream"
PROBES = ("/healthz", "/readyz", "/readyz?upstream=1")
CALL = sid("CA", 1)
QUERIES = (
    "{ calls(first: 2) { nodes { sid to from status notifications { nodes { sid } } } } }",
    f'{{ calls(filter: {{to: "{NUMBER}"}}) {{ nodes {{ sid }} }} }}',
    f'{{ call(sid: "{CALL}") {{ to duration price parentCall {{ sid }} }} }}',
    f'{{ node(id: "{NUMBER}") {{ id }} }}',
    "{ nothing }",
    "{",
)


@contextmanager
def echoing_upstream() -> Iterator[str]:
    """An upstream that echoes every request in its responses, each time in another way."""
    turn = iter(range(10**6))

    class Telltale(Handler):
        def do_GET(self) -> None:  # noqa: N802 (http.server's spelling)
            echoed = f"{UPSTREAMS_WORDS} {self.headers['Authorization']} {self.path} {NUMBER}"
            number = 3 if self.path.endswith("/Calls.json?PageSize=1") else next(turn)
            status, body = WAYS[number % len(WAYS)](echoed)
            self.answer(status, body, Twilio_Request_Id=echoed.replace(" ", "")[:60])

    with answering(Telltale) as url:
        yield url


def as_error(status: int) -> Callable[[str], tuple[int, bytes]]:
    """Twilio's error body with the request echoed as message and link."""
    return lambda echoed: (
        status,
        json.dumps({"code": 20001, "message": echoed, "more_info": echoed, "status": 400}).encode(),
    )


def as_row(echoed: str) -> tuple[int, bytes]:
    """Calls with the request echoed in fields where it is invalid."""
    row = call(1) | {"status": echoed, "duration": echoed, "price": echoed, "account_sid": echoed}
    return 200, json.dumps({"calls": [row], **row}).encode()


WAYS: tuple[Callable[[str], tuple[int, bytes]], ...] = (
    as_error(400),
    as_error(500),
    lambda echoed: (200, echoed.encode()),
    as_row,
    lambda echoed: (200, json.dumps({"calls": [call(1)], "next_page_uri": echoed}).encode()),
    lambda echoed: (302, echoed.encode()),
    as_error(429),
)


def everything(server: Server, credentials: list[dict[str, str]]) -> str:
    """The command line, and all responses while every credential sends every query."""
    seen = [Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()]
    for headers in credentials:
        for query in QUERIES * len(WAYS):
            answer = httpx.post(
                f"{server.url}/graphql",
                json={"query": query},
                headers=headers | {"Gateway-Explain": "requests"},
                timeout=30,
            )
            seen += [answer.text, str(answer.headers)]
    seen += [httpx.get(f"{server.url}{path}", timeout=30).text for path in PROBES]
    return "\n".join(seen)


def check(server: Server, answers: str, secrets: list[str]) -> None:
    """Checks that no output holds a secret, upstream's words or internal names."""
    logged = server.log + "\n".join(server.lines)
    for secret in secrets:
        assert secret not in answers
        assert secret not in logged
    for words in (UPSTREAMS_WORDS, UPSTREAMS_WORDS.replace(" ", "")):
        assert words not in answers + logged
    assert NUMBER.lstrip("+") not in logged
    for inner in ("Traceback", "httpx", "127.0.0.1", "gateway.", ".py", "Error("):
        assert inner not in answers
    assert "Traceback" not in logged
    assert "upstream Calls" in logged


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.xdist_group("secrets")
def test_no_secret_is_shown_with_an_api_key_and_tokens(tmp_path: Path) -> None:
    token, line = new_token("ops", "read,pii")
    file = tmp_path / "tokens"
    file.write_text(str(line))
    given = {
        "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": KEY_SECRET,
        "GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": str(file), "GATEWAY_LOG_LEVEL": "debug",
    }  # fmt: skip
    secrets = [token, TOKEN, KEY_SECRET, encoded(KEY, KEY_SECRET), encoded(ACCOUNT, TOKEN)]
    with (
        echoing_upstream() as url,
        serving("--port", "0", until="GraphiQL", **given, TWILIO_BASE_URL=url) as server,
    ):
        answers = everything(
            server,
            [
                {"Authorization": f"Bearer {token}"},
                {"Authorization": f"Bearer {token}x"},
                {"Authorization": f"Bearer {token} {token}"},
                {"Authorization": f"Basic {encoded(ACCOUNT, TOKEN)}"},
            ],
        )

    check(server, answers, [*secrets, str(line).split()[2]])
    assert '"code":"UPSTREAM_REJECTED"' in answers


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.xdist_group("secrets")
def test_in_passthrough_no_callers_secret_gets_out() -> None:
    credential = encoded(ACCOUNT, CALLERS_TOKEN)
    with echoing_upstream() as url, serving(
        "--port", "0", until="GraphiQL", GATEWAY_ACCESS="passthrough", GATEWAY_LOG_LEVEL="debug",
        TWILIO_BASE_URL=url,
    ) as server:  # fmt: skip
        answers = everything(
            server,
            [
                {"Authorization": f"Basic {credential}"},
                {"Authorization": f"Basic {encoded(KEY, CALLERS_TOKEN)}"},
                {"Authorization": f"Bearer {CALLERS_TOKEN}"},
            ],
        )

    check(server, answers, [CALLERS_TOKEN, credential, encoded(KEY, CALLERS_TOKEN)])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.xdist_group("secrets")
def test_with_jwts_no_token_gets_out(tmp_path: Path) -> None:
    provider = Provider()
    key = tmp_path / "key.pem"
    key.write_text(provider.pem)
    good, late = provider.token(scope="read"), provider.token(exp=1)
    given = {
        "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_ACCESS": "jwt", "GATEWAY_JWT_KEY_FILE": str(key),
        "GATEWAY_JWT_ISSUER": ISSUER, "GATEWAY_JWT_AUDIENCE": AUDIENCE,
    }  # fmt: skip
    with (
        echoing_upstream() as url,
        serving("--port", "0", until="GraphiQL", **given, TWILIO_BASE_URL=url) as server,
    ):
        answers = everything(
            server,
            [
                {"Authorization": f"Bearer {good}"},
                {"Authorization": f"Bearer {late}"},
                {"Authorization": f"Bearer {good[:-4]}AAAA"},
            ],
        )

    parts = {part for token in (good, late) for part in token.split(".")[1:]}
    check(server, answers, [TOKEN, encoded(ACCOUNT, TOKEN), *parts])


def objects_of_ours() -> list[object]:
    return [o for o in gc.get_objects() if str(type(o).__module__).startswith("gateway")]


async def test_no_object_of_ours_shows_a_secret_in_its_repr() -> None:
    """All objects that a gateway with a credential makes while it serves a passthrough caller.

    Other tests of the same process leave many more objects behind, which are not looked at: their
    number would decide how long the upstream request takes.
    """
    shown: list[str] = []
    earlier = objects_of_ours()
    known = {id(thing) for thing in earlier}

    def look(_request: httpx.Request) -> None:
        made = [thing for thing in objects_of_ours() if id(thing) not in known]
        shown.extend(f"{thing!r} {thing}" for thing in made)

    headers = {"Authorization": f"Basic {encoded(ACCOUNT, CALLERS_TOKEN)}"}
    twilio = PlainTwilio(calls=[call(1)], fault=look)
    own = "70ce" * 8  # of this test only: the usual one is part of SIDs that other tests leave
    settings: dict[str, Any] = {"api_key": KEY, "api_secret": Secret(KEY_SECRET)}
    settings["auth_token"] = Secret(own)
    async with served(twilio, access=AccessMode.PASSTHROUGH, **settings) as client:
        answer = await client.post(
            "/graphql", json={"query": "{ calls { nodes { sid } } }"}, headers=headers
        )

    assert answer.json() == {"data": {"calls": {"nodes": [{"sid": CALL}]}}}
    kinds = {text.partition("(")[0] for text in shown}
    assert {"Settings", "Account", "Caller", "Context"} <= kinds
    text = "\n".join(shown)
    secrets = (own, KEY_SECRET, CALLERS_TOKEN, encoded(KEY, KEY_SECRET), encoded(ACCOUNT, own))
    assert not [secret for secret in secrets if secret in text]


def test_the_settings_and_an_account_can_be_printed() -> None:
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))
    account = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))

    assert is_dataclass(settings)
    assert TOKEN not in f"{settings} {settings!r} {account} {vars(account)}"
