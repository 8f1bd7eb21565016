"""`gateway check` prints the settings without secrets, and tries credential and store."""

from collections.abc import Callable

import pytest

from gateway.cli import main
from gateway.settings import settings_by_name
from tests.live.servers import running_server
from tests.plain_twilio import ACCOUNT, TOKEN
from tests.serving import Handler, answering

pytestmark = pytest.mark.usefixtures("no_settings")

Set = Callable[..., None]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets variables of the environment."""

    def set_all(**given: str) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return set_all


def twilio(status: int, asked: list[str]) -> type[Handler]:
    """A Twilio that answers every list with this status."""

    class Twilio(Handler):
        def do_GET(self) -> None:  # noqa: N802 (http.server's spelling)
            asked.append(self.path.rpartition("/")[2])
            self.answer(status, b'{"calls": []}', Content_Type="application/json")

    return Twilio


def test_without_an_account_every_setting_is_its_default(
    settings: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the number of calls that the tests set."""
    settings(GATEWAY_ALLOWED_ORIGINS="https://a.example,https://b.example")
    assert main(["check"]) == 0

    out, err = capsys.readouterr()
    lines = out.splitlines()
    defaults = {name: row.default for name, row in settings_by_name().items()}
    assert [line for line in lines[:-3] if not line.endswith("  # default")] == [
        "GATEWAY_ALLOWED_ORIGINS=https://a.example,https://b.example",
        "GATEWAY_SANDBOX_CALLS=60",
    ]
    assert [f"GATEWAY_PORT={defaults['GATEWAY_PORT']}  # default" in lines, err] == [True, ""]
    assert {line.split("=")[0] for line in lines[:-3]} == {
        *(name for name, default in defaults.items() if default is not None),
        "GATEWAY_ALLOWED_ORIGINS",
    }
    assert lines[-3:] == [
        "account: an embedded sandbox answers, because no TWILIO_ACCOUNT_SID is set",
        "store: in memory, because no GATEWAY_STORE_URL is set",
        "shared cache: none, because no GATEWAY_CACHE_STORE_URL is set",
    ]


@pytest.mark.parametrize(
    ("status", "arguments", "code", "told"),
    [
        (200, [], 0, f"account: {ACCOUNT} can be read"),
        (200, ["--offline"], 0, "account: not asked (--offline)"),
        (401, [], 2, f"gateway: TWILIO_AUTH_TOKEN: Twilio refuses this credential for {ACCOUNT}"),
        (404, [], 2, f"gateway: account: {ACCOUNT} cannot be read at "),
    ],
)
def test_the_credential_is_tried_with_one_request(
    status: int,
    arguments: list[str],
    code: int,
    told: str,
    settings: Set,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []
    with answering(twilio(status, asked)) as url:
        settings(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN, TWILIO_BASE_URL=url)
        assert main(["check", *arguments]) == code

    out, err = capsys.readouterr()
    assert asked == ([] if arguments else ["Calls.json?PageSize=1"])
    assert [line for line in (out + err).splitlines() if line.startswith(told)]
    assert "TWILIO_AUTH_TOKEN=(secret)" in out.splitlines()
    assert TOKEN not in out + err


@pytest.mark.parametrize("arguments", [[], ["--offline"]])
@pytest.mark.parametrize(
    ("name", "line"),
    [("GATEWAY_STORE_URL", "store"), ("GATEWAY_CACHE_STORE_URL", "shared cache")],
)
def test_a_store_that_does_not_answer_is_named_without_its_url(
    name: str,
    line: str,
    arguments: list[str],
    settings: Set,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings(**{name: "redis://:hunter2@127.0.0.1:1/0"})
    assert main(["check", *arguments]) == (0 if arguments else 2)

    out, err = capsys.readouterr()
    problem = f"gateway: {name}: the server does not answer: ConnectionError\n"
    assert err == ("" if arguments else problem)
    assert (f"{line}: not asked (--offline)" in out.splitlines()) == bool(arguments)
    assert "hunter2" not in out + err


def test_stores_that_answer(settings: Set, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server() as store, running_server() as cache:
        settings(GATEWAY_STORE_URL=store.url, GATEWAY_CACHE_STORE_URL=cache.url)
        assert main(["check"]) == 0

    assert capsys.readouterr().out.splitlines()[-2:] == ["store: answers", "shared cache: answers"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GATEWAY_PORT": "http"}, "GATEWAY_PORT: "),
        (
            {"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": "/no/such/file"},
            "GATEWAY_TOKENS_FILE: cannot be read: No such file or directory",
        ),
        (
            {
                "TWILIO_ACCOUNT_SID": ACCOUNT,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "GATEWAY_HOST": "0.0.0.0",  # noqa: S104
            },
            "GATEWAY_ACCESS: is none, so anyone who reaches 0.0.0.0 ",
        ),
    ],
)
def test_what_would_keep_the_gateway_from_starting_is_one_line_and_2(
    given: dict[str, str], told: str, settings: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(**given)
    assert main(["check", "--offline"]) == 2

    err = capsys.readouterr().err
    assert err.startswith(f"gateway: {told}")
    assert err.count("\n") == 1


def test_in_passthrough_there_is_no_account_to_try(
    settings: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(GATEWAY_ACCESS="passthrough")
    assert main(["check"]) == 0

    assert "account: each caller's own" in capsys.readouterr().out.splitlines()
