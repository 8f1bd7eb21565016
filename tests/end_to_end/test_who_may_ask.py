"""The access modes over a real port: tokens, JWTs, Twilio credentials, failing starts."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest

from gateway.access.tokens import new_token
from tests.access.provider import AUDIENCE, ISSUER, Provider
from tests.end_to_end.program import Server, run, serving
from tests.plain_twilio import ACCOUNT, TOKEN
from tests.serving import Handler, answering

pytestmark = pytest.mark.xdist_group("who may ask")

NUMBERS = "{ calls(first: 40) { nodes { to from callerName } } }"
ONE = "{ calls(first: 1) { nodes { sid } } }"
EVERYWHERE = "0.0.0.0"  # noqa: S104
SCOPES = {"reader": "read", "support": "read,pii", "dialer": "call"}


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    """A token for each set of scopes."""
    return {}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]) -> Iterator[Server]:
    """A gateway that requires a token, with its sandbox."""
    path = tmp_path_factory.mktemp("access") / "tokens"
    with path.open("w") as file:
        for name, scopes in SCOPES.items():
            tokens[name], line = new_token(name, scopes)
            print(line, file=file)
    with serving(
        "--port", "0", until="GraphiQL",
        GATEWAY_ACCESS="token", GATEWAY_TOKENS_FILE=str(path), GATEWAY_LOG_LEVEL="debug",
        GATEWAY_HOST=EVERYWHERE,
    ) as server:  # fmt: skip
        yield server
    assert server.exit_code == 0
    assert not [token for token in tokens.values() if token in server.log + str(server.lines)]


def ask(server: Server, query: str, token: str | None, **headers: str) -> httpx.Response:
    """The response to a query with this token."""
    given = headers | ({"Authorization": f"Bearer {token}"} if token else {})
    port = server.url.rpartition(":")[2]
    return httpx.post(
        f"http://127.0.0.1:{port}/graphql", json={"query": query}, headers=given, timeout=20
    )


@pytest.mark.parametrize("token", [None, "gwt_wrong", "gwt wrong"])
def test_without_a_known_token_there_is_401_with_a_challenge(
    gateway: Server, token: str | None
) -> None:
    answer = ask(gateway, ONE, token)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="gateway"'
    assert answer.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


def test_a_tokens_scopes_decide_what_it_shows(gateway: Server, tokens: dict[str, str]) -> None:
    masked = ask(gateway, NUMBERS, tokens["reader"]).json()["data"]["calls"]["nodes"]
    whole = ask(gateway, NUMBERS, tokens["support"]).json()["data"]["calls"]["nodes"]

    assert len(masked) == len(whole) == 40
    assert all("•••" in row["to"] and "•••" in row["from"] for row in masked)
    assert {row["callerName"] for row in masked} == {"•••", None}
    assert "•••" not in str(whole)


@pytest.mark.parametrize(
    ("name", "document"),
    [("reader", "mutation { x }"), ("support", "mutation { x }"), ("dialer", ONE)],
)
def test_an_operation_beyond_the_scopes_is_403(
    gateway: Server, tokens: dict[str, str], name: str, document: str
) -> None:
    for accept in ("application/json", "application/graphql-response+json"):
        answer = ask(gateway, document, tokens[name], Accept=accept)

        assert answer.status_code == 403
        assert answer.json()["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
        assert "data" not in answer.json()


def test_a_filter_by_number_without_pii_is_forbidden(
    gateway: Server, tokens: dict[str, str]
) -> None:
    query = '{ calls(filter: {from: "+13125550111"}) { nodes { sid } } }'
    (error,) = ask(gateway, query, tokens["reader"]).json()["errors"]

    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert "errors" not in ask(gateway, query, tokens["support"]).json()


@contextmanager
def key_set_of(provider: Provider) -> Iterator[str]:
    """Serves a provider's key set and yields its URL."""

    class KeySet(Handler):
        def do_GET(self) -> None:  # noqa: N802 (http.server's spelling)
            provider.reads += 1
            self.answer(200, provider.key_set())

    with answering(KeySet) as url:
        yield f"{url}/keys"


def test_a_providers_tokens_are_accepted_and_forged_ones_are_not() -> None:
    provider, stranger = Provider(), Provider()
    with (
        key_set_of(provider) as url,
        serving(
            "--port", "0", until="GraphiQL",
            GATEWAY_ACCESS="jwt", GATEWAY_JWT_JWKS_URL=url,
            GATEWAY_JWT_ISSUER=ISSUER, GATEWAY_JWT_AUDIENCE=AUDIENCE,
            GATEWAY_JWT_SCOPES="calls.read=read,calls.personal=pii", GATEWAY_LOG_LEVEL="debug",
        ) as server,
    ):  # fmt: skip
        good = provider.token(scope="openid calls.read")
        late = provider.token(exp=1)
        answers = [ask(server, NUMBERS, token) for token in (good, good, late, stranger.token())]
        personal = ask(server, NUMBERS, provider.token(scope=["calls.read", "calls.personal"]))
        none = ask(server, NUMBERS, provider.token(scope="openid read pii"))

    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert "•••" in answers[0].text
    assert "•••" not in personal.text
    assert none.status_code == 403
    assert provider.reads == 1
    assert good not in server.log
    assert "Traceback" not in server.log


def test_an_unreachable_provider_is_503_and_the_gateway_starts_anyway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/keys"
        silent.close()
        with serving(
            "--port", "0", until="GraphiQL",
            GATEWAY_ACCESS="jwt", GATEWAY_JWT_JWKS_URL=url,
            GATEWAY_JWT_ISSUER=ISSUER, GATEWAY_JWT_AUDIENCE=AUDIENCE,
        ) as server:  # fmt: skip
            answer = ask(server, ONE, Provider().token())

    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert answer.json()["errors"][0]["extensions"] == {"code": "ACCESS_UNAVAILABLE"}
    assert "Traceback" not in server.log


def test_in_passthrough_the_callers_credential_is_for_upstream_to_judge() -> None:
    with serving("sandbox", "--port", "0", until="TWILIO_AUTH_TOKEN") as sandbox:
        account, token = (
            sandbox.settings[f"TWILIO_{name}"] for name in ("ACCOUNT_SID", "AUTH_TOKEN")
        )
        with serving(
            "--port", "0", until="GraphiQL", GATEWAY_ACCESS="passthrough",
            TWILIO_BASE_URL=sandbox.settings["TWILIO_BASE_URL"], GATEWAY_LOG_LEVEL="debug",
        ) as server:  # fmt: skip
            url, body = f"{server.url}/graphql", {"query": ONE}
            good = httpx.post(url, json=body, auth=(account, token), timeout=20)
            bad = httpx.post(url, json=body, auth=(account, "f" * 32), timeout=20)
            nobody = httpx.post(url, json=body, timeout=20)
            ready = httpx.get(f"{server.url}/readyz", timeout=20)

    assert len(good.json()["data"]["calls"]["nodes"]) == 1
    assert bad.json()["errors"][0]["extensions"]["code"] == "UPSTREAM_AUTH"
    assert (nobody.status_code, ready.status_code) == (401, 200)
    assert token not in server.log + str(server.lines)


def test_the_token_command_prints_a_token_and_its_line(tmp_path: Path) -> None:
    made = run("token", "ops", "--scopes", "read,pii")
    token, line = (text.split(": ", 1)[1] for text in made.stdout.splitlines())
    file = tmp_path / "tokens"
    file.write_text(line + "\n")
    with serving(
        "--port", "0", until="GraphiQL", GATEWAY_ACCESS="token", GATEWAY_TOKENS_FILE=str(file)
    ) as server:
        answer = ask(server, ONE, token)

    assert (made.returncode, made.stderr) == (0, "")
    assert token not in line
    assert answer.status_code == 200


REAL = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
DEAD = {"TWILIO_BASE_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("arguments", "given", "line"),
    [
        (["--host", EVERYWHERE], REAL | DEAD, "GATEWAY_ACCESS: is none, so anyone who reaches 0."),
        ([], {"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": "/nowhere"},
         "GATEWAY_TOKENS_FILE: cannot be read: No such file or directory"),
        ([], {"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": __file__},
         "GATEWAY_TOKENS_FILE: line 1: must be a name, scopes and a SHA-256"),
        ([], {"GATEWAY_ACCESS": "jwt", "GATEWAY_JWT_KEY_FILE": __file__,
              "GATEWAY_JWT_ISSUER": "i", "GATEWAY_JWT_AUDIENCE": "a"},
         "GATEWAY_JWT_KEY_FILE: must hold a"),
        (["token", "o/ps"], {}, "token: a name is"),
        (["token", "ops", "--scopes", "write"], {}, "token: scopes are read, call, pii"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_one_line_and_exit_code_2(
    arguments: list[str], given: dict[str, str], line: str
) -> None:
    done = run(*arguments, **{"GATEWAY_PORT": "0"} | given)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"gateway: {line}")
    assert done.stderr.count("\n") == 1
    assert TOKEN not in done.stderr


def test_a_credential_that_twilio_refuses_ends_the_gateway_with_one_line() -> None:
    with serving("sandbox", "--port", "0", until="TWILIO_AUTH_TOKEN") as sandbox:
        given = sandbox.settings | {"TWILIO_AUTH_TOKEN": TOKEN}
        done = run("--port", "0", **given, GATEWAY_LOG_LEVEL="error")

    assert done.returncode == 2
    account = sandbox.settings["TWILIO_ACCOUNT_SID"]
    assert (
        done.stderr == f"gateway: TWILIO_AUTH_TOKEN: Twilio refuses this credential for {account}\n"
    )
    assert TOKEN not in done.stdout


def test_a_credential_that_twilio_refuses_ends_all_workers() -> None:
    with serving("sandbox", "--port", "0", until="TWILIO_AUTH_TOKEN") as sandbox:
        given = sandbox.settings | {"TWILIO_AUTH_TOKEN": TOKEN}
        done = run("--port", "0", "--workers", "2", **given, GATEWAY_LOG_LEVEL="error")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Twilio refuses this credential" in done.stderr


def test_the_gateway_is_ready_without_twilios_answer() -> None:
    asked, may_answer = Event(), Event()

    class Slow(Handler):
        def do_GET(self) -> None:  # noqa: N802 (http.server's spelling)
            asked.set()
            may_answer.wait(20)
            self.answer(200, b'{"calls": []}', Content_Type="application/json")

    with (
        answering(Slow) as url,
        serving("--port", "0", until="GraphiQL", **REAL, TWILIO_BASE_URL=url) as server,
    ):
        ready = httpx.get(f"{server.url}/readyz", timeout=20)
        assert asked.wait(20)
        may_answer.set()

    assert ready.status_code == 200
    assert "the account cannot be read at start" not in server.log


def test_an_upstream_that_is_down_does_not_keep_the_gateway_from_starting() -> None:
    with serving("--port", "0", until="GraphiQL", **REAL, **DEAD) as server:
        ready = httpx.get(f"{server.url}/readyz", timeout=20)
        upstream = httpx.get(f"{server.url}/readyz?upstream=1", timeout=20)

    assert ready.status_code == 200
    assert (upstream.status_code, upstream.json()["code"]) == (503, "UPSTREAM_UNAVAILABLE")
    assert "the account cannot be read at start: UPSTREAM_UNAVAILABLE" in server.log
    assert TOKEN not in server.log


def test_a_clients_address_is_taken_only_from_a_trusted_proxy() -> None:
    limits = {"GATEWAY_RATE_LIMIT": "1", "GATEWAY_RATE_BURST": "2"}
    answers = {}
    for trusted in ({}, {"GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"}):
        with serving("--port", "0", until="GraphiQL", **limits, **trusted) as server:
            answers[len(trusted)] = [
                ask(server, "{ __typename }", None, **{"X-Forwarded-For": f"203.0.113.{number}"})
                for number in range(8)
            ]
    refused = [answer for answer in answers[0] if answer.status_code == 429]

    assert len(refused) >= 3
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert refused[0].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert [answer.status_code for answer in answers[1]] == [200] * 8
