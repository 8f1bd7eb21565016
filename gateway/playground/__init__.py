"""The GraphiQL page and its assets, served from our own origin.

This room must not know the schema or the handler of the endpoint. It provides the page, the routes
of its files, and the example queries of its tabs.
"""

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.playground.page import Playground
from gateway.playground.tab import TABS, Tab
from gateway.playground.third_party import DIRECTORY

__all__ = ["TABS", "Tab", "page", "routes"]

_INSTALLED = Playground(DIRECTORY)


def page(*, endpoint: str = "/graphql") -> Response:
    """The GraphiQL page for the GraphQL endpoint at this path, with its security headers."""
    return _INSTALLED.page(endpoint=endpoint)


def routes() -> list[BaseRoute]:
    """The routes of the page's files, all under /playground/."""
    return _INSTALLED.routes()
