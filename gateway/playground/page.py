"""The GraphiQL page: its HTML, the files that it loads, and its security headers.

It must not know the schema or the handler of the endpoint.
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
from gateway.playground.tab import ACCOUNT_TABS, TABS, Tab
from gateway.playground.third_party import PINS

_HERE = Path(__file__).parent
_PAGE = Template((_HERE / "page.html").read_text(encoding="utf-8"))
_STYLES = [File.read(_HERE / name) for name in ("page.css", "explain.css", "watch.css")]
_PARTS = [File.read(_HERE / name) for name in ("explain.js", "watch.js", "account.js")]
_SCRIPT = File.read(_HERE / "page.js")


class Playground:
    """The page over one directory of third-party files; the CDN serves those that are missing.

    Each has its pinned hash as integrity attribute, so that a changed file is not loaded.
    """

    def __init__(self, directory: Path) -> None:
        contents = {pin: pin.content_in(directory) for pin in PINS}
        installed = {pin: File(pin.name, content) for pin, content in contents.items() if content}
        self._files = [*installed.values(), *_STYLES, *_PARTS, _SCRIPT]
        self._urls = {pin: installed[pin].url if pin in installed else pin.url() for pin in PINS}

    def page(
        self,
        *,
        endpoint: str = "/graphql",
        account_path: str = "/playground/account",
        is_sandbox: bool = True,
        access: str = "none",
    ) -> Response:
        """The page for the GraphQL endpoint at this path, with its security headers."""
        nonce = token_urlsafe(16)
        tabs = TABS if is_sandbox else ACCOUNT_TABS
        content = _PAGE.substitute(
            assets="\n    ".join(self._elements(nonce)),
            endpoint=escape(endpoint),
            account=escape(account_path),
            sandbox="true" if is_sandbox else "false",
            access=escape(access),
            tabs=escape(json.dumps([_graphiql_tab(tab) for tab in tabs])),
        )
        return HTMLResponse(content, headers=self._headers(nonce))

    def routes(self) -> list[BaseRoute]:
        """The routes of the page's files."""
        return [route(self._files)]

    def _elements(self, nonce: str) -> Iterator[str]:
        """In loading order: React, GraphiQL, our parts of the page, the script that starts it."""
        for pin, url in self._urls.items():
            yield _element(url, integrity=pin.integrity, crossorigin="anonymous")
        for style in _STYLES:
            yield _element(style.url)
        for part in _PARTS:
            yield _element(part.url)
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
        """Allows only our files and, one by one, the CDN's; the endpoint is on our origin."""
        cdn_urls = [url for url in self._urls.values() if "://" in url]
        scripts = [url for url in cdn_urls if not _is_style(url)]
        styles = [url for url in cdn_urls if _is_style(url)]
        return "; ".join(
            (
                "default-src 'none'",
                " ".join(("script-src 'self'", *scripts)),
                # GraphiQL's dialogs add a style element; they support nonces.
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


def _is_style(url: str) -> bool:
    return url.endswith(".css")


def _element(url: str, **attributes: str) -> str:
    """The HTML element that loads a style sheet or a (deferred) script."""
    rest = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    if _is_style(url):
        return f'<link rel="stylesheet" href="{escape(url)}"{rest}>'
    return f'<script defer src="{escape(url)}"{rest}></script>'
