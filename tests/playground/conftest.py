"""Debian's chromium over a served page, and what a machine must have for it."""

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
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from gateway.playground import third_party

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
    # The machine has no internet, as far as the browser can tell.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def lacking(what: str) -> NoReturn:
    """On CI nothing may be missing; elsewhere one line says what is."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def installed() -> Path:
    """The directory with all pinned files."""
    if third_party.missing():
        lacking("GraphiQL's files are not here: reinstall with a network connection")
    return third_party.DIRECTORY


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """A Python module that serves on the port given last; its origin, once it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = ("TWILIO_", "GATEWAY_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    arguments = [sys.executable, "-m", *command, str(port)]
    with subprocess.Popen(arguments, env=clean) as server:  # noqa: S603 (our own module)
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
    """The page over a tiny GraphQL server, which answers subscriptions, too."""
    with serving("tests.playground.stand_in") as origin:
        yield f"{origin}/graphql"


@pytest.fixture(scope="module")
def gateway_url(installed: Path) -> Iterator[str]:
    """The real gateway over its own sandbox."""
    with serving("gateway", "--port") as origin:
        yield f"{origin}/graphql"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: Playwright's loop must not meet the loop of an async test."""
    if shutil.which(CHROMIUM) is None:
        lacking("there is no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@dataclass
class Visit:
    """One newcomer's look at the page, and everything the browser did and said meanwhile."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected_origins: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, url: str) -> None:
        """Until GraphiQL has drawn itself and has read the schema."""
        self.page.goto(url)
        self.page.locator(".graphiql-execute-button").wait_for()
        self.page.wait_for_load_state("networkidle")

    def write(self, query: str) -> None:
        """Replace the query in the editor, until GraphiQL has taken it up."""
        editor = self.page.locator(".graphiql-query-editor .CodeMirror")
        editor.evaluate("(element, query) => element.CodeMirror.setValue(query)", query)
        editor.click()
        for _ in range(200):
            state = json.loads(self.stored("tabState") or "{}")
            if query in [tab["query"] for tab in state.get("tabs", [])]:
                return
            self.page.wait_for_timeout(50)
        pytest.fail("GraphiQL never took up what was written")

    def choose(self, tab: int, operation: str) -> None:
        """Open a tab, until GraphiQL knows its operation: it reads the editor after a pause."""
        self.page.locator(".graphiql-tab-button").nth(tab).click()
        for _ in range(200):
            state = json.loads(self.stored("tabState") or "{}")
            shown = state.get("tabs", [])[tab : tab + 1]
            if state.get("activeTabIndex") == tab and shown[0].get("operationName") == operation:
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"GraphiQL never took up the operation {operation}")

    def run(self) -> None:
        self.page.locator(".graphiql-execute-button").click()

    def answer(self) -> str:
        """The whole text of the result pane, also what is scrolled out of sight."""
        self.page.locator(".result-window .cm-property").first.wait_for()
        result = self.page.locator(".result-window .CodeMirror")
        return str(result.evaluate("element => element.CodeMirror.getValue()"))

    def stored(self, name: str) -> str:
        """What GraphiQL keeps for the next visit under this name of its own; "" for nothing."""
        key = f"twilio-calls-gateway:graphiql:{name}"
        return str(self.page.evaluate("key => localStorage.getItem(key) ?? ''", key))

    def foreign_origins(self) -> set[str]:
        """Where requests went that are not the page's own origin."""
        own = urlsplit(self.page.url).netloc
        addresses = [urlsplit(url) for url in self.requests]
        return {url.netloc for url in addresses if url.scheme != "data" and url.netloc != own}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A first visit: nothing is stored. It must end without a complaint or another origin."""
    with browser.new_context() as context:
        context.set_default_timeout(15_000)
        visit = Visit(context.new_page())
        yield visit
        assert visit.complaints == []
        assert visit.foreign_origins() == visit.expected_origins
