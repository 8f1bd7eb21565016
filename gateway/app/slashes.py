"""A path may have a slash at its end: it means what it means without one.

A framework's own way is to redirect, to a URL made from the connection that it sees: behind a proxy
that takes TLS off, to http. This module must not know the routes.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TrailingSlash"]


class TrailingSlash:
    """ASGI middleware. `raw_path` stays as it was requested."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path: str = scope.get("path", "")
        if path.endswith("/") and path != "/":
            scope["path"] = path.removesuffix("/")
        await self._app(scope, receive, send)
