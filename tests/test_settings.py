"""Every setting: what it takes, what it refuses in one line that names it, and no secret shown."""

import dataclasses
import re
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import SandboxConfig
from gateway.settings import (
    PRODUCTION,
    RENAMED,
    CacheControl,
    Environment,
    Secret,
    Settings,
    SettingsError,
    settings_by_name,
    settings_tables,
)
from gateway.settings.values import is_secret, read_value
from tests.plain_twilio import ACCOUNT, TOKEN

KEY = "SK" + "c" * 32
MAIN = "AC" + "d" * 32
CREDENTIAL = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
FIELDS = settings_by_name()
SECRETS = [name for name, row in FIELDS.items() if is_secret(row.type)]
BAD: dict[str, list[str]] = {
    "TWILIO_ACCOUNT_SID": ["AC", KEY, ACCOUNT + "0", ACCOUNT.replace("a", "g"), "../etc"],
    "TWILIO_API_KEY": ["SK", "AC", KEY + "x", ACCOUNT + "0", "CA" + KEY[2:]],
    "GATEWAY_UPSTREAM_PROXY": ["proxy:3128", "socks5://proxy:1080", "http://a:b@proxy:3128"],
    "TWILIO_BASE_URL": [
        "api.twilio.com", "ftp://api.twilio.com", "http://", "https:///path", "//h", "file:///etc",
        "https://user:hunter2@h", "https://hunter2@h", "https://h?token=hunter2", "https://h#hunter2",
        "https://hunter2℀@h", "http://h:hunter2", "http://h:99999", "http://h:0", "http://[::1",
        "http://h/hunter 2", "http://h/hunter\t2", "http://h\r\nX: hunter2",
    ],
    "GATEWAY_WEBHOOK_URL": ["calls.example.com", "https://h?token=hunter2"],
    "GATEWAY_WEBHOOK_RATE_LIMIT": ["0", "100001", "fast"],
    "GATEWAY_STORE_URL": ["127.0.0.1:6379", "http://h", "redis://:hunter2@", "redis://h:hunter2"],
    "GATEWAY_CACHE_STORE_URL": ["127.0.0.1:6379", "memcached://h", "redis://:hunter2@"],
    "GATEWAY_PUBLIC_URL": ["gateway.example.com", "https://a:hunter2@h"],
    "GATEWAY_PORT": ["-1", "65536", "http", "80.5", "0x50", "８０", "9" * 40],
    "GATEWAY_WORKERS": ["0", "65", "two"],
    "GATEWAY_ENV": ["prod", "Production", "dev,production"],
    "GATEWAY_LOG_LEVEL": ["INFO", "verbose", "20"],
    "GATEWAY_LOG_FORMAT": ["JSON", "logfmt"],
    "GATEWAY_METRICS": ["yes", "1"],
    "GATEWAY_CACHE_CONTROL": ["on", "no-store"],
    "GATEWAY_DOCUMENTS": ["on", "safelist", "Known"],
    "GATEWAY_APQ": ["yes", "1"],
    "GATEWAY_METRICS_PORT": ["-1", "65536", "x"],
    "GATEWAY_OPERATION_TIMEOUT": ["0", "-1", "3601", "nan", "inf", "ten", "1s"],
    "GATEWAY_READ_TIMEOUT": ["0", "-0.5", "1e9", "NaN"],
    "GATEWAY_ATTEMPT_TIMEOUT": ["0", "never"],
    "GATEWAY_CONNECT_TIMEOUT": ["0.0", "soon"],
    "GATEWAY_MAX_QUEUED": ["0", "100001"],
    "GATEWAY_MAX_ATTEMPTS": ["0", "4"],
    "GATEWAY_RETRY_BUDGET_PERCENT": ["-1", "101", "0.1"],
    "GATEWAY_CACHE_SIZE": ["-1", "65537", "1MB"],
    "GATEWAY_MAX_IN_FLIGHT": ["0", "101", "1.5"],
    "GATEWAY_PAGE_BUDGET": ["0", "1001"],
    "GATEWAY_PLANNER": ["scan", "Adaptive"],
    "GATEWAY_BREAKER_WINDOW": ["0", "3601"],
    "GATEWAY_BREAKER_MIN_CALLS": ["0", "10001"],
    "GATEWAY_BREAKER_FAILURE_RATE": ["0", "101", "0.7"],
    "GATEWAY_BREAKER_OPEN_DURATION": ["0", "3601"],
    "GATEWAY_BREAKER_HALF_OPEN_CALLS": ["0", "101"],
    "GATEWAY_REQUEST_BUDGET": ["0", "100001"],
    "GATEWAY_SCAN_CHILD_CALLS": ["true", "1"],
    "GATEWAY_ROW_BUDGET": ["0", "1000001"],
    "GATEWAY_INTROSPECTION": ["true", "1"],
    "GATEWAY_ALLOWED_ORIGINS": [
        "null", "example.com", "https://a/path", "https://a,", "https://hunter2:x@h",
        "https://a?q", "https://a#f", "https://", "//a", "https://a b", "https://a,,https://b",
        "file:///", "file://a", "data:text/html,x", "blob:https://a", "about:blank", "ws://a",
        "wss://a", "https://bücher.example", "https://a..b", "https://.a", "https://a:0",
        "https://a:65536", "https://a:x", "https://*", "https://a.*.com", "https://*a.com",
        "https://*.com", "https://*.com.", "https://*.com:8443", "capacitor://*.app",
        "https://*.*.com", "https://*.127.0.0.1", "https://*.[::1]", "http://127.1",
        "http://0x7f.0.0.1", "http://127.0.0.256", "http://[::1", "http://[::g]", "https:/a",
        "https://" + "a" * 64, "*.example.com", "1a://b", "https://a*",
    ],
    "GATEWAY_CURSOR_SECRET": ["hunter2", "x" * 15],
    "GATEWAY_MAX_BODY": ["1023", "16777217", "256KB"],
    "GATEWAY_MAX_TOKENS": ["0", "100001"],
    "GATEWAY_MAX_DEPTH": ["0", "51"],
    "GATEWAY_MAX_FIELDS": ["0", "10001"],
    "GATEWAY_MAX_FRAGMENTS": ["-1", "10001"],
    "GATEWAY_MAX_ALIASES": ["-1", "10001"],
    "GATEWAY_MAX_DIRECTIVES": ["-1", "10001"],
    "GATEWAY_MAX_ROOT_FIELDS": ["0", "1001"],
    "GATEWAY_MAX_OPERATIONS": ["0", "1001"],
    "GATEWAY_MAX_VALUE_DEPTH": ["0", "101"],
    "GATEWAY_MAX_COST": ["0", "1000001"],
    "GATEWAY_MAX_FIRST": ["0", "1001"],
    "GATEWAY_MAX_REPRESENTATIONS": ["0", "100001"],
    "GATEWAY_COMPILED_EXECUTION": ["true", "1"],
    "GATEWAY_ACCESS": ["open", "Token", "token,jwt"],
    "GATEWAY_ALLOW_ANYONE": ["yes", "1", "true"],
    "GATEWAY_JWT_JWKS_URL": ["http://idp.example.com/keys", "idp", "https://a:hunter2@h", "file:///k"],
    "GATEWAY_JWT_LEEWAY": ["-1", "soon", "3601"],
    "GATEWAY_JWT_SCOPES": ["read", "a=write", "a=read b=call", "=read", "a=read,"],
    "GATEWAY_PASSTHROUGH_CLIENTS": ["0", "1001"],
    "GATEWAY_RATE_LIMIT": ["0", "100001", "10/s"],
    "GATEWAY_RATE_BURST": ["0", "1000001"],
    "GATEWAY_TRUSTED_PROXIES": ["*", "proxy", "unix:", "unix,", "10.0.0.1/8", "10.0.0.0/33"],
    "GATEWAY_REQUEST_TIMEOUT": ["0", "3601"],
    "GATEWAY_KEEP_ALIVE_TIMEOUT": ["0", "nan"],
    "GATEWAY_MAX_CONNECTIONS": ["0", "100001"],
    "GATEWAY_DRAIN_DELAY": ["-1", "inf"],
    "GATEWAY_DRAIN_TIMEOUT": ["0", "3601"],
    "GATEWAY_MAX_SUBSCRIBERS": ["-1", "1000001"],
    "GATEWAY_SANDBOX_CALLS": ["-1", "2000001", "many"],
    "GATEWAY_SANDBOX_SEED": ["-1", "1000000000", "x"],
}  # fmt: skip
ANYTHING = {
    "TWILIO_AUTH_TOKEN", "TWILIO_API_SECRET", "GATEWAY_HOST", "GATEWAY_TOKENS_FILE",
    "GATEWAY_METRICS_HOST", "GATEWAY_JWT_KEY_FILE", "GATEWAY_JWT_ISSUER", "GATEWAY_JWT_AUDIENCE",
    "GATEWAY_JWT_SCOPE_CLAIM", "GATEWAY_WEBHOOK_AUTH_TOKENS", "GATEWAY_WEBHOOK_SHARED_KEYS",
    "GATEWAY_DOCUMENTS_FILE",
}  # fmt: skip


def read(**environment: str) -> Settings:
    """The settings of this environment and no other."""
    return Settings.from_environment(environment)


def test_with_an_empty_environment_the_sandbox_answers() -> None:
    settings = read()

    assert settings == Settings()
    assert settings.uses_sandbox
    assert settings.documents.shows_page
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)


def test_a_value_is_read_from_its_variable() -> None:
    settings = read(
        **CREDENTIAL,
        TWILIO_BASE_URL=" http://127.0.0.1:8001/twilio/ ",
        GATEWAY_ENV="production",
        GATEWAY_PORT="0",
        GATEWAY_OPERATION_TIMEOUT="2.5",
        GATEWAY_WORKERS="64",
    )

    assert settings.account.sid == ACCOUNT
    assert settings.account.auth_token is not None
    assert settings.account.auth_token.reveal() == TOKEN
    assert not settings.uses_sandbox
    assert settings.upstream.base_url == "http://127.0.0.1:8001/twilio"
    assert settings.documents.environment is Environment.PRODUCTION
    assert not settings.documents.shows_page
    assert (settings.server.port, settings.server.workers) == (0, 64)
    assert settings.operation.timeout == 2.5


@pytest.mark.parametrize("name", FIELDS)
def test_a_variable_that_is_set_to_nothing_is_not_set(name: str) -> None:
    assert read(**{name: ""}) == read(**{name: "  "}) == Settings()


def test_a_variable_that_is_no_setting_is_ignored() -> None:
    assert read(TWILIO_SID="x", GATEWAY_COLOUR="red", PATH="/bin") == Settings()


def test_the_sandbox_of_a_gateway_is_the_one_of_the_sandbox_alone() -> None:
    """It knows no settings: its own numbers stand there."""
    alone, settings = SandboxConfig(), Settings().sandbox

    assert (settings.calls, settings.seed) == (alone.calls, alone.seed)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().server.port = 1  # type: ignore[misc]


def test_every_setting_has_a_bad_value_below_or_takes_any_text() -> None:
    assert BAD.keys() | ANYTHING == FIELDS.keys()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_value_that_cannot_be_used_is_one_line_that_names_the_setting(
    name: str, value: str
) -> None:
    """It says what is wanted; it never repeats what was given, which may be a secret elsewhere."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})

    message = str(caught.value)
    assert message.startswith(f"{name}: must ")
    assert "\n" not in message
    assert "hunter2" not in message
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"TWILIO_ACCOUNT_SID": ACCOUNT}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_AUTH_TOKEN": TOKEN}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": TOKEN}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_KEY": KEY}, "TWILIO_API_SECRET"),
        ({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_SECRET": TOKEN}, "TWILIO_API_KEY"),
        (CREDENTIAL | {"TWILIO_API_SECRET": TOKEN}, "TWILIO_API_KEY"),
        (CREDENTIAL | {"TWILIO_API_KEY": KEY}, "TWILIO_API_SECRET"),
    ],
)
def test_an_incomplete_credential_is_one_line_that_names_what_is_missing(
    given: dict[str, str], missing: str
) -> None:
    """Better no start than the sandbox's calls for the account's, or the token for the key."""
    with pytest.raises(SettingsError) as caught:
        read(**given)

    message = str(caught.value)
    assert message.startswith(f"{missing}: is missing")
    assert "\n" not in message
    assert TOKEN not in message


@pytest.mark.parametrize(
    "given",
    [
        CREDENTIAL,
        {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": TOKEN},
        CREDENTIAL | {"TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": TOKEN},
        {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_KEY": MAIN, "TWILIO_API_SECRET": TOKEN},
    ],
    ids=["token", "api key", "both", "main account"],
)
def test_a_whole_credential_connects_to_twilio(given: dict[str, str]) -> None:
    settings = read(**given)

    assert not settings.uses_sandbox
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)


JWT = {
    "GATEWAY_ACCESS": "jwt",
    "GATEWAY_JWT_ISSUER": "https://idp.example.com/",
    "GATEWAY_JWT_AUDIENCE": "calls",
    "GATEWAY_JWT_JWKS_URL": "https://idp.example.com/keys",
}


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"GATEWAY_ACCESS": "token"}, "GATEWAY_TOKENS_FILE"),
        (JWT | {"GATEWAY_JWT_ISSUER": ""}, "GATEWAY_JWT_ISSUER"),
        (JWT | {"GATEWAY_JWT_AUDIENCE": ""}, "GATEWAY_JWT_AUDIENCE"),
        (JWT | {"GATEWAY_JWT_JWKS_URL": ""}, "GATEWAY_JWT_JWKS_URL"),
        (JWT | {"GATEWAY_JWT_KEY_FILE": "key.pem"}, "GATEWAY_JWT_JWKS_URL"),
    ],
)
def test_an_access_mode_without_what_it_needs_is_one_line(
    given: dict[str, str], missing: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**given)

    assert str(caught.value).startswith(f"{missing}: is missing for GATEWAY_ACCESS=")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway.internal"])  # noqa: S104
@pytest.mark.parametrize(
    ("closed", "is_closed"),
    [
        ({}, False),
        ({"GATEWAY_ALLOW_ANYONE": "on"}, True),
        ({"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": "tokens"}, True),
        ({"GATEWAY_ACCESS": "passthrough"}, True),
        (JWT, True),
    ],
)
def test_a_real_account_is_not_served_to_anyone_on_the_network_unless_that_is_said(
    host: str, closed: dict[str, str], is_closed: bool
) -> None:
    settings = read(**CREDENTIAL, GATEWAY_HOST=host, **closed)
    if is_closed:
        settings.require_access_control()
        return
    with pytest.raises(SettingsError, match=r"^GATEWAY_ACCESS: is none, so anyone who reaches "):
        settings.require_access_control()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_itself_may_ask_without_a_credential(host: str) -> None:
    read(**CREDENTIAL, GATEWAY_HOST=host).require_access_control()


def test_the_sandbox_may_be_shown_to_the_network() -> None:
    read(GATEWAY_HOST="0.0.0.0").require_access_control()  # noqa: S104


def test_in_passthrough_the_sandbox_does_not_answer() -> None:
    assert not read(GATEWAY_ACCESS="passthrough").uses_sandbox


def test_a_secret_shows_only_when_it_is_asked_to() -> None:
    secret = Secret(TOKEN)

    assert (repr(secret), f"{secret}", f"{secret!s:>5}") == ("Secret('**********')",) * 3
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == TOKEN


def test_a_store_url_may_hold_a_password_which_is_not_shown() -> None:
    settings = read(GATEWAY_STORE_URL=f"valkey://:{TOKEN}@127.0.0.1:6379/0")

    assert settings.live.store_url is not None
    assert settings.live.store_url.reveal().startswith("valkey://:")
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("url", "is_other"),
    [
        ("redis://store:6379/0", False),
        ("valkeys://:hunter2@Store/1", False),
        ("redis://store:6380/0", True),
        ("redis://cache:6379/0", True),
    ],
)
def test_the_shared_cache_is_on_another_server_than_the_store(url: str, is_other: bool) -> None:
    """Eviction is a setting of the server, not of a database of its."""
    given = {"GATEWAY_STORE_URL": "redis://store/0", "GATEWAY_CACHE_STORE_URL": url}
    if is_other:
        assert read(**given).upstream.cache_store_url is not None
    else:
        with pytest.raises(SettingsError, match=r"^GATEWAY_CACHE_STORE_URL: must be another") as it:
            read(**given)
        assert "hunter2" not in str(it.value)


def test_several_secrets_are_separated_by_commas_and_none_is_shown() -> None:
    settings = read(GATEWAY_WEBHOOK_AUTH_TOKENS=f"{TOKEN}, {KEY},")

    assert [secret.reveal() for secret in settings.live.webhook_auth_tokens or ()] == [TOKEN, KEY]
    assert TOKEN not in repr(settings)


def test_names_are_twilios_own_or_begin_with_gateway() -> None:
    twilios = {name for name in FIELDS if name.startswith("TWILIO_")}

    assert twilios == {
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_API_KEY",
        "TWILIO_API_SECRET",
        "TWILIO_BASE_URL",
    }
    assert all(re.fullmatch("(GATEWAY|TWILIO)_[A-Z_]+", name) for name in FIELDS)


def test_the_tables_have_a_row_for_each_setting_with_its_default_unit_and_meaning() -> None:
    """First the eight, then each group under its heading."""
    tables = [section.splitlines() for section in settings_tables().split("## ")[1:]]
    rows = [
        [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "| `" in line]
        for lines in tables
    ]
    every = [row for table in rows[1:] for row in table]

    assert [row[0] for row in rows[0]] == [f"`{name}`" for name in PRODUCTION]
    assert len(PRODUCTION) == 8
    assert [row[0] for row in every] == [f"`{name}`" for name in FIELDS]
    assert all(row in every for row in rows[0])
    assert all(len(row) == 4 for row in every)
    assert all(unit and meaning.endswith(".") for _, _, unit, meaning in every)
    for lines in tables:
        header = lines.index("| setting | default | unit | meaning |")
        assert lines[1] == "" == lines[header - 1]
        assert lines[header + 1] == "|---|---|---|---|"


@pytest.mark.parametrize("name", FIELDS)
def test_each_default_is_a_value_that_may_be_set(name: str) -> None:
    row = FIELDS[name]
    if row.default is None:
        return

    assert read_value(row.type, str(row.default)) == row.default
    assert f"| `{name}` | `{row.default}` |" in settings_tables()


@pytest.mark.parametrize("old", RENAMED)
def test_the_name_of_an_earlier_version_is_one_line_that_says_what_it_is_called_now(
    old: str,
) -> None:
    assert old not in FIELDS
    assert RENAMED[old] in FIELDS
    with pytest.raises(SettingsError) as caught:
        read(**{old: "hunter2"})

    assert str(caught.value) == f"{old}: is called {RENAMED[old]} now"


def test_everything_that_must_not_be_seen_may_stand_in_a_file() -> None:
    assert SECRETS == [
        "TWILIO_AUTH_TOKEN",
        "TWILIO_API_SECRET",
        "GATEWAY_WEBHOOK_AUTH_TOKENS",
        "GATEWAY_WEBHOOK_SHARED_KEYS",
        "GATEWAY_STORE_URL",
        "GATEWAY_CACHE_STORE_URL",
        "GATEWAY_CURSOR_SECRET",
    ]
    assert not {f"{name}_FILE" for name in SECRETS} & FIELDS.keys()


@dataclasses.dataclass
class InFile:
    """A secret, what else must be set, and its file."""

    name: str
    value: str
    others: dict[str, str]
    file: Path

    @property
    def variable(self) -> str:
        return f"{self.name}_FILE"

    def refused(self, **more: str) -> str:
        """The error's one line, which shows neither the secret nor where it stands."""
        with pytest.raises(SettingsError) as caught:
            read(**{self.variable: str(self.file)}, **self.others, **more)
        message = str(caught.value)
        assert message.startswith(f"{self.variable}: ")
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        for hidden in ("\n", "hunter2", self.value, str(self.file)):
            assert hidden not in message
        return message


@pytest.fixture(params=SECRETS)
def in_file(request: pytest.FixtureRequest, tmp_path: Path) -> InFile:
    """Each secret in turn, in a file as `echo` and editors write it."""
    name = request.param
    value = "redis://:hunter2@127.0.0.1/0" if name.endswith("STORE_URL") else TOKEN
    others = {
        "TWILIO_AUTH_TOKEN": {"TWILIO_ACCOUNT_SID": ACCOUNT},
        "TWILIO_API_SECRET": {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_KEY": KEY},
    }.get(name, {})
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    return InFile(name, value, others, file)


def test_a_secret_is_read_from_its_file_without_the_line_end(in_file: InFile) -> None:
    given = read(**{in_file.name: in_file.value}, **in_file.others)
    found = read(**{in_file.variable: str(in_file.file)}, **in_file.others)

    assert shown(found) == shown(given) != shown(Settings())
    assert in_file.value not in repr(found)


def test_a_secret_and_its_file_exclude_each_other(in_file: InFile) -> None:
    message = in_file.refused(**{in_file.name: in_file.value})

    assert message.endswith(f"must not be set together with {in_file.name}")


def test_a_secret_whose_file_cannot_be_read_is_one_line(in_file: InFile) -> None:
    in_file.file.write_bytes(b"hunter2\xff")
    assert in_file.refused().endswith("the file is not text in UTF-8")
    in_file.file.write_text("\n")
    assert in_file.refused().endswith("the file is empty")
    in_file.file.unlink()
    assert in_file.refused().endswith("the file cannot be read: No such file or directory")
    in_file.file.mkdir()
    assert in_file.refused().endswith("the file cannot be read: Is a directory")


def test_a_secret_in_a_file_must_be_one_that_may_be_set(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    for name in ("GATEWAY_CURSOR_SECRET", "GATEWAY_STORE_URL"):
        with pytest.raises(SettingsError, match=f"^{name}_FILE: must ") as caught:
            read(**{f"{name}_FILE": str(file)})

        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - set(SECRETS)))
def test_what_may_be_seen_is_read_from_no_file(name: str) -> None:
    assert f"{name}_FILE" in FIELDS or read(**{f"{name}_FILE": "/nowhere"}) == Settings()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://Desk.Example.com", "https://desk.example.com"),
        ("https://a.example/", "https://a.example"),
        ("https://a:443", "https://a"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        ("https://a:", "https://a"),
        ("https://a:08443", "https://a:8443"),
        ("https://a_b.example.", "https://a_b.example."),
        ("https://*.example.com:443", "https://*.example.com"),
        ("http://*.localhost:3000", "http://*.localhost:3000"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]"),
        ("http://[::FFFF:0:1]", "http://[::ffff:0:1]"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://" + "a" * 32, "chrome-extension://" + "a" * 32),
        ("moz-extension://0F1E2D3C-0000", "moz-extension://0f1e2d3c-0000"),
        ("vscode-webview://1234", "vscode-webview://1234"),
    ],
)
def test_an_origin_is_normalised_as_browsers_send_it(given: str, read: str) -> None:
    settings = Settings.from_environment({"GATEWAY_ALLOWED_ORIGINS": f"{given}, https://z"})

    assert settings.server.allowed_origins == (read, "https://z")


def test_the_entry_that_is_no_origin_is_named_by_its_place() -> None:
    given = {"GATEWAY_ALLOWED_ORIGINS": "https://a, hunter2, https://b"}
    with pytest.raises(SettingsError, match="; entry 2 is none") as caught:
        Settings.from_environment(given)

    assert "hunter2" not in str(caught.value)


def test_a_wildcard_below_a_top_level_label_is_refused_in_words_of_its_own() -> None:
    given = {"GATEWAY_ALLOWED_ORIGINS": "https://*.example.com, https://*.com"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(given)

    assert str(caught.value).splitlines() == [
        "GATEWAY_ALLOWED_ORIGINS: must have two labels or more after *. (or localhost), for "
        "example https://*.example.com; entry 2 would allow anybody's pages"
    ]


@pytest.mark.parametrize(
    ("more", "is_good"),
    [
        ({}, False),
        ({"GATEWAY_ALLOW_ANYONE": "off"}, False),
        ({"GATEWAY_ALLOW_ANYONE": "on"}, True),
        ({"GATEWAY_ACCESS": "token", "GATEWAY_TOKENS_FILE": "tokens"}, True),
        ({"GATEWAY_ACCESS": "passthrough"}, True),
    ],
)
def test_every_origin_may_be_allowed_only_where_that_is_said_or_callers_show_who_they_are(
    more: dict[str, str], is_good: bool
) -> None:
    for origins in ("*", "https://a,*"):
        environment = {"GATEWAY_ALLOWED_ORIGINS": origins} | more
        if is_good:
            assert "*" in (Settings.from_environment(environment).server.allowed_origins or ())
        else:
            with pytest.raises(SettingsError, match="GATEWAY_ALLOWED_ORIGINS: "):
                Settings.from_environment(environment)


def group_of(group: Any) -> st.SearchStrategy[Any]:
    """Any values of the types of a group's settings: text, numbers, words and secrets."""
    return st.builds(group, **{row.name: values_of(row) for row in dataclasses.fields(group)})


def values_of(row: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    if dataclasses.is_dataclass(row.type):
        return group_of(row.type)
    name = row.metadata["name"]
    plain = get_type_hints(type("Row", (), {"__annotations__": {"value": row.type}}))["value"]
    if name == "GATEWAY_JWT_KEY_FILE":
        return st.none()  # it excludes the URL
    if name == "GATEWAY_ALLOWED_ORIGINS":
        return st.from_type(plain).filter(lambda found: "*" not in (found or ()))
    if name.endswith("STORE_URL"):  # two servers
        return st.sampled_from([None, Secret(f"redis://:{TOKEN}@{name.lower()}")])
    if name == "GATEWAY_CACHE_CONTROL":
        return st.sampled_from([CacheControl.OFF, CacheControl.PRIVATE])  # public is for few
    if plain is float:
        return st.floats(allow_nan=False)
    if name in NEEDED:
        return st.from_type(get_args(plain)[0]).filter(bool)
    return st.from_type(plain)


# Without these some others are refused.
NEEDED = {
    "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET",
    "GATEWAY_TOKENS_FILE", "GATEWAY_JWT_JWKS_URL", "GATEWAY_JWT_ISSUER", "GATEWAY_JWT_AUDIENCE",
    "GATEWAY_DOCUMENTS_FILE",
}  # fmt: skip
st.register_type_strategy(Secret, st.builds(Secret, st.text()))


def shown(group: Any) -> list[Any]:
    """Every value, secrets too."""

    def reveal(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return shown(value)
        if isinstance(value, tuple):
            return [reveal(part) for part in value]
        return value.reveal() if isinstance(value, Secret) else value

    return [reveal(getattr(group, row.name)) for row in dataclasses.fields(group)]


@given(group_of(Settings))
def test_settings_reach_a_worker_process_as_they_are(settings: Settings) -> None:
    """Pickled, as multiprocessing does it: each of them, secrets and what was set later too."""
    assert shown(ForkingPickler.loads(ForkingPickler.dumps(settings))) == shown(settings)
