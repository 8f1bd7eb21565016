"""The GraphiQL page and its assets, served from our own origin.

This room must not know the schema, nor who answers at the endpoint: it hands out a page, the
routes of its files, and the queries that introduce a newcomer.
"""

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.playground.page import Playground
from gateway.playground.tab import TABS, Tab
from gateway.playground.third_party import DIRECTORY

__all__ = ["TABS", "Tab", "page", "routes"]

_INSTALLED = Playground(DIRECTORY)


def page(*, endpoint: str = "/graphql") -> Response:
    """The GraphiQL page for the GraphQL endpoint at this path, with the headers that confine it."""
    return _INSTALLED.page(endpoint=endpoint)


def routes() -> list[BaseRoute]:
    """The routes where the page finds its files, all under /playground/."""
    return _INSTALLED.routes()
