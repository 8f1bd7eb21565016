"""The GraphiQL page and its assets, served from our own origin.

This room must not know the schema or the handler of the endpoint. It provides the page, the routes
of its files, and the example queries of its tabs.
"""

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.playground.page import Playground
from gateway.playground.tab import ACCOUNT_TABS, TABS, Tab
from gateway.playground.third_party import DIRECTORY

__all__ = ["ACCOUNT_TABS", "TABS", "Tab", "page", "routes"]

_INSTALLED = Playground(DIRECTORY)


def page(
    *,
    endpoint: str = "/graphql",
    account_path: str = "/playground/account",
    is_sandbox: bool = True,
    access: str = "none",
) -> Response:
    """The GraphiQL page for the GraphQL endpoint at this path, with its security headers.

    `access` is the mode of GATEWAY_ACCESS, which decides what credential the page asks for. Over a
    real account the page asks `account_path` for its SID.
    """
    return _INSTALLED.page(
        endpoint=endpoint, account_path=account_path, is_sandbox=is_sandbox, access=access
    )


def routes() -> list[BaseRoute]:
    """The routes of the page's files, all under /playground/."""
    return _INSTALLED.routes()
