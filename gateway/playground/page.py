"""The GraphiQL page: its HTML, the files that it loads and what the browser may do for it.

It must not know the schema, nor who answers at the endpoint.
"""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from secrets import token_urlsafe
from string import Template

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from gateway.playground.files import File, route
from gateway.playground.tab import TABS, Tab
from gateway.playground.third_party import PINS

_HERE = Path(__file__).parent
_PAGE = Template((_HERE / "page.html").read_text(encoding="utf-8"))
_STYLES = [File.read(_HERE / name) for name in ("page.css", "explain.css")]
_EXPLAIN = File.read(_HERE / "explain.js")
_SCRIPT = File.read(_HERE / "page.js")


class Playground:
    """The page over one directory of third-party files; what is missing there comes from the CDN.

    Such a file is named with the same hash as integrity attribute, so that the CDN can serve that
    very file or none.
    """

    def __init__(self, directory: Path) -> None:
        found = {pin: pin.content_in(directory) for pin in PINS}
        installed = {pin: File(pin.name, content) for pin, content in found.items() if content}
        self._files = [*installed.values(), *_STYLES, _EXPLAIN, _SCRIPT]
        self._addresses = {
            pin: installed[pin].url if pin in installed else pin.url() for pin in PINS
        }

    def page(self, *, endpoint: str = "/graphql") -> Response:
        """The page for the GraphQL endpoint at this path, with the headers that confine it."""
        nonce = token_urlsafe(16)
        content = _PAGE.substitute(
            assets="\n    ".join(self._elements(nonce)),
            endpoint=escape(endpoint),
            tabs=escape(json.dumps([_graphiql_tab(tab) for tab in TABS])),
        )
        return HTMLResponse(content, headers=self._headers(nonce))

    def routes(self) -> list[BaseRoute]:
        """Where the page finds its files."""
        return [route(self._files)]

    def _elements(self, nonce: str) -> Iterator[str]:
        """React before GraphiQL before the scripts of ours: its panel, then what starts it."""
        for pin, address in self._addresses.items():
            yield _element(address, integrity=pin.integrity, crossorigin="anonymous")
        for style in _STYLES:
            yield _element(style.url)
        yield _element(_EXPLAIN.url)
        yield _element(_SCRIPT.url, nonce=nonce)

    def _headers(self, nonce: str) -> dict[str, str]:
        return {
            "cache-control": "no-store",  # a nonce is good for one response
            "content-security-policy": self._content_security_policy(nonce),
            "cross-origin-opener-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }

    def _content_security_policy(self, nonce: str) -> str:
        """Nothing but our own files (or, one by one, the CDN's); the endpoint is on our origin."""
        foreign = [address for address in self._addresses.values() if "://" in address]
        scripts = [address for address in foreign if not _is_style(address)]
        styles = [address for address in foreign if _is_style(address)]
        return "; ".join(
            (
                "default-src 'none'",
                " ".join(("script-src 'self'", *scripts)),
                # GraphiQL's dialogs add a style element, and they do know about nonces.
                " ".join((f"style-src 'self' 'nonce-{nonce}'", *styles)),
                "connect-src 'self'",
                "font-src data:",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )


def _graphiql_tab(tab: Tab) -> dict[str, str]:
    return {"query": tab.query, "variables": tab.variables}


def _is_style(address: str) -> bool:
    return address.endswith(".css")


def _element(address: str, **attributes: str) -> str:
    """The HTML element that loads a style sheet or, once the page is parsed, a script."""
    more = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    if _is_style(address):
        return f'<link rel="stylesheet" href="{escape(address)}"{more}>'
    return f'<script defer src="{escape(address)}"{more}></script>'
