"""A browser (Debian's chromium), the servers of the page, and a visit to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from playwright.sync_api import Response as BrowserResponse

from gateway.playground import third_party
from tests.missing import skip_or_fail

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The browser can only resolve this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="session")
def installed() -> Path:
    """The directory with all pinned files."""
    if third_party.missing():
        skip_or_fail("GraphiQL's files are missing: reinstall with a network connection")
    return third_party.DIRECTORY


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """Runs a Python module that serves on a port (its last argument); yields its origin."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = ("TWILIO_", "GATEWAY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    arguments = [sys.executable, "-m", *command, str(port)]
    with subprocess.Popen(arguments, env=environment) as server:  # noqa: S603 (our own module)
        try:
            _wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert server.poll() is None, "the server ended before it listened"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the server does not listen after 30 seconds")


@pytest.fixture(scope="module")
def stand_in_url(installed: Path) -> Iterator[str]:
    """The page over a tiny GraphQL server with queries and subscriptions."""
    with serving("tests.playground.stand_in") as origin:
        yield f"{origin}/graphql"


@pytest.fixture(scope="module")
def gateway_url(installed: Path) -> Iterator[str]:
    """The real gateway over its sandbox."""
    with serving("gateway", "--port") as origin:
        yield f"{origin}/graphql"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per module: Playwright's event loop must not meet that of an async test."""
    if shutil.which(CHROMIUM) is None:
        skip_or_fail("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


def _is_of_introspection(response: BrowserResponse) -> bool:
    return "IntrospectionQuery" in (response.request.post_data or "")


@dataclass
class Visit:
    """One visit to the page, with the browser's requests and console errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected_origins: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("request", self._record_request)
        self.page.on("console", self._record_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _record_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, url: str, *, reads_schema: bool = True) -> None:
        """Opens the page; waits until GraphiQL is drawn and, if it may, has read the schema."""
        if reads_schema:
            with self.page.expect_response(_is_of_introspection):
                self.page.goto(url)
        else:
            self.page.goto(url)
        self.page.locator(".graphiql-execute-button").wait_for()

    def write(self, query: str) -> None:
        """Replaces the query in the editor; waits until GraphiQL has parsed it."""
        editor = self.page.locator(".graphiql-query-editor .CodeMirror")
        editor.evaluate("(element, query) => element.CodeMirror.setValue(query)", query)
        editor.click()
        self._until("documentAST?.loc?.source.body", query)

    def choose(self, tab: int, operation: str) -> None:
        """Opens a tab; waits until GraphiQL knows its operation, which it parses after a delay."""
        self.page.locator(".graphiql-tab-button").nth(tab).click()
        self._until("operationName", operation)

    def _until(self, name: str, expected: str) -> None:
        """Waits until the query editor has this property."""
        editor = self.page.locator(".graphiql-query-editor .CodeMirror")
        for _ in range(400):
            if editor.evaluate(f"element => element.CodeMirror.{name}") == expected:
                return
            self.page.wait_for_timeout(25)
        pytest.fail(f"the editor's {name} is not as expected")

    def until_stored(self, query: str) -> None:
        """Waits until GraphiQL has stored a tab with this query, for the next visit."""
        for _ in range(400):
            state = json.loads(self.stored("tabState") or "{}")
            if query in [tab["query"] for tab in state.get("tabs", [])]:
                return
            self.page.wait_for_timeout(25)
        pytest.fail("GraphiQL never stored the query")

    def run(self) -> None:
        self.page.locator(".graphiql-execute-button").click()

    def answer(self) -> str:
        """The whole text of the result pane, also the part that is not visible."""
        self.page.locator(".result-window .cm-property").first.wait_for()
        result = self.page.locator(".result-window .CodeMirror")
        return str(result.evaluate("element => element.CodeMirror.getValue()"))

    def stored(self, name: str) -> str:
        """What GraphiQL has stored under this name of its own; "" if nothing."""
        key = f"twilio-calls-gateway:graphiql:{name}"
        return str(self.page.evaluate("key => localStorage.getItem(key) ?? ''", key))

    def foreign_origins(self) -> set[str]:
        """The hosts of requests that did not go to the page's own origin."""
        own = urlsplit(self.page.url).netloc
        addresses = [urlsplit(url) for url in self.requests]
        return {url.netloc for url in addresses if url.scheme != "data" and url.netloc != own}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A first visit, with nothing stored. It must end without an error or a foreign request."""
    expect.set_options(timeout=15_000)  # the machine may have much to do
    with browser.new_context() as context:
        context.set_default_timeout(15_000)
        visit = Visit(context.new_page())
        yield visit
        assert visit.errors == []
        assert visit.foreign_origins() == visit.expected_origins
