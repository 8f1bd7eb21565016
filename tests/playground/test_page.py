"""The page's response: its content, its security headers, and the responses of its files."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from graphql import OperationDefinitionNode, parse, print_ast, visit
from graphql.language import FieldNode, Visitor
from starlette.applications import Starlette
from starlette.responses import Response

from gateway import playground
from gateway.playground import ACCOUNT_TABS, TABS
from gateway.playground.page import Playground
from gateway.playground.third_party import PINS, integrity_of

NOTHING_INSTALLED = Path("/nowhere")

SEED_PROPERTIES = (
    *("sid", "parentCallSid", "dateCreated", "dateUpdated", "accountSid", "to", "from"),
    *("phoneNumberSid", "status", "startTime", "endTime", "duration", "price", "priceUnit"),
    *("direction", "answeredBy", "forwardedFrom", "callerName", "uri"),
)


@dataclass
class Elements(HTMLParser):
    """The page as a browser parses it."""

    html: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    script_text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"}:
            self.script_text += data.strip()

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def files(self) -> list[dict[str, str]]:
        """The scripts and style sheets of the page; both have their URL as ``src``."""
        sheets = [link for link in self.named("link") if link["rel"] == "stylesheet"]
        return self.named("script") + [sheet | {"src": sheet["href"]} for sheet in sheets]


def elements(response: Response) -> Elements:
    return Elements(bytes(response.body).decode())


def policy(response: Response) -> dict[str, list[str]]:
    """The Content-Security-Policy, directive by directive."""
    directives = response.headers["content-security-policy"].split("; ")
    return {name: sources for name, *sources in (directive.split() for directive in directives)}


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Starlette(routes=playground.routes()))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


def test_the_page_confines_itself() -> None:
    """Own files only, no inline script, no frame around it, no referrer, no type sniffing."""
    response = playground.page()
    directives = policy(response)

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert directives["default-src"] == ["'none'"]
    assert directives["frame-ancestors"] == ["'none'"]
    assert directives["connect-src"] == ["'self'"]
    assert "unsafe" not in response.headers["content-security-policy"]


def test_every_nonce_is_good_for_one_response() -> None:
    """The nonce of the policy is that of our script, new each time and never cached."""
    first, second = playground.page(), playground.page()
    nonces = [script["nonce"] for script in elements(first).named("script") if "nonce" in script]

    assert policy(first)["style-src"][:2] == ["'self'", f"'nonce-{nonces[0]}'"]
    assert policy(first)["style-src"] != policy(second)["style-src"]
    assert first.headers["cache-control"] == "no-store"


def test_no_script_or_style_is_inline() -> None:
    """Every script comes from a file; there is no style element, no handler, no style attribute."""
    page = elements(playground.page())
    attributes = {name for _, attrs in page.tags for name in attrs}

    assert page.script_text == ""
    assert all("src" in script for script in page.named("script"))
    assert page.named("style") == []
    assert not {name for name in attributes if name.startswith("on") or name == "style"}


def test_no_other_host_is_named(installed: Path) -> None:
    """With all files installed, page and policy name no other host."""
    response = Playground(installed).page()

    assert all(file["src"].startswith("/playground/") for file in elements(response).files)
    assert "//" not in response.headers["content-security-policy"]
    assert re.findall(r"\w+://", bytes(response.body).decode()) == []


def test_what_is_put_into_the_page_is_escaped() -> None:
    """Any endpoint arrives in the script unchanged, as text."""
    endpoint = "/graphql\"'><script src=//evil></script>&quot;$tabs"
    usual, odd = elements(playground.page()), elements(playground.page(endpoint=endpoint))

    assert odd.named("main")[0]["data-endpoint"] == endpoint
    assert [tag for tag, _ in odd.tags] == [tag for tag, _ in usual.tags]


def test_the_tabs_reach_the_script_unchanged() -> None:
    """The element has query and variables of each default tab, in order."""
    tabs = json.loads(elements(playground.page()).named("main")[0]["data-tabs"])

    assert tabs == [{"query": tab.query, "variables": tab.variables} for tab in TABS]


async def test_the_files_of_the_page_are_served_for_ever(installed: Path) -> None:
    """Each file is there, typed, immutable, and passes its own integrity attribute."""
    for file in elements(playground.page()).files:
        async with client() as browser:
            response = await browser.get(file["src"])

        kind = "css" if file["src"].endswith(".css") else "javascript"
        assert response.headers["content-type"] == f"text/{kind}; charset=utf-8"
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert file.get("integrity") in {None, integrity_of(response.content)}


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_a_file_is_compressed_for_a_client_that_accepts_it(accepted: str) -> None:
    """The same bytes either way."""
    address = elements(playground.page()).files[-1]["src"]
    async with client() as browser:
        response = await browser.get(address, headers={"accept-encoding": accepted})
        plain = await browser.get(address, headers={"accept-encoding": "identity"})

    assert response.headers.get("content-encoding", "identity") == accepted
    assert response.headers["vary"] == "accept-encoding"
    assert response.content == plain.content


@pytest.mark.parametrize(
    "path",
    ["/playground/0000000000000000/page.js", "/playground/x/..%2fpage.py", "/playground/page.py"],
)
async def test_nothing_else_is_served(path: str) -> None:
    """No other version, and no other file of the directory."""
    async with client() as browser:
        assert (await browser.get(path)).status_code == 404


def test_without_files_the_page_names_the_cdn_with_their_hashes() -> None:
    """Each file by its exact address, with its hash; the policy allows those and no more."""
    response = Playground(NOTHING_INSTALLED).page()
    foreign = [file for file in elements(response).files if "://" in file["src"]]
    allowed = [source for sources in policy(response).values() for source in sources]

    assert {file["src"]: file["integrity"] for file in foreign} == {
        pin.url(): pin.integrity for pin in PINS
    }
    assert {file["crossorigin"] for file in foreign} == {"anonymous"}
    assert sorted(s for s in allowed if "://" in s) == sorted(pin.url() for pin in PINS)
    assert all(pin.url().startswith("https://cdn.jsdelivr.net/npm/") for pin in PINS)


def test_the_first_tab_selects_every_property_of_the_seed() -> None:
    """Fifty calls, the nineteen properties in Twilio's order, and the four edges."""
    calls = TABS[0]
    fields: list[str] = []

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *rest: object) -> None:
            fields.append(node.name.value)

    visit(parse(calls.query), Fields())

    assert fields[fields.index("sid") :][:19] == list(SEED_PROPERTIES)
    assert {"parentCall", "childCalls", "recordings", "notifications", "pageInfo"} < set(fields)
    assert "first: 50" in calls.query


@pytest.mark.parametrize("tab", {*TABS, *ACCOUNT_TABS}, ids=lambda tab: tab.name)
def test_a_tab_explains_itself(tab: playground.Tab) -> None:
    """It starts with a comment that fits beside the panel; its operation's name is its title."""
    operation = parse(tab.query).definitions[0]
    comment = tab.query.partition("\n\n")[0].splitlines()

    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name
    assert all(line.startswith("#") and len(line) <= 39 for line in comment)
    assert isinstance(json.loads(tab.variables or "{}"), dict)


def test_over_a_real_account_the_tabs_say_so() -> None:
    """The same operations; the mutation's comment says that a telephone rings, and calls nobody."""
    shown = json.loads(elements(playground.page(is_sandbox=False)).named("main")[0]["data-tabs"])
    make = json.loads(ACCOUNT_TABS[3].variables)["input"]

    assert [tab["query"] for tab in shown] == [tab.query for tab in ACCOUNT_TABS]
    for real, example in zip(ACCOUNT_TABS, TABS, strict=True):
        assert print_ast(parse(real.query)) == print_ast(parse(example.query))
    assert "A TELEPHONE WILL RING" in ACCOUNT_TABS[3].query
    assert not any("sandbox" in tab.query for tab in ACCOUNT_TABS)
    assert (make["from"], make["to"]) == ("", "")
    assert "sandbox calls nobody" in " ".join(TABS[3].query.replace("#", "").split())
