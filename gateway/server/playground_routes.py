"""The GraphiQL page of this gateway: what it is told about the account, and to whom.

Anyone may read the page, so it names no account. ACCOUNT_PATH does, to callers with access. This
module must not know what the page looks like.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gateway import playground
from gateway.errors import AccessError, OriginNotAllowed
from gateway.server.authentication import Authenticator
from gateway.server.origins import Origins
from gateway.settings import Settings

__all__ = ["playground_routes"]

ACCOUNT_PATH = "/playground/account"


def playground_routes(settings: Settings, origins: Origins) -> list[BaseRoute]:
    """The routes of the page, its files, and the account that it names."""

    async def page(_request: Request) -> Response:
        return playground.page(
            account_path=ACCOUNT_PATH,
            is_sandbox=settings.uses_sandbox,
            access=settings.access.mode,
        )

    async def account(request: Request) -> Response:
        """The SID of the account whose calls the caller reads; null over the sandbox."""
        authenticator: Authenticator = request.app.state.authenticator
        if not origins.is_origin_allowed(request.headers):
            return _refusal(OriginNotAllowed("Pages of this origin are not allowed"), 403, {})
        try:
            caller = await authenticator.authenticate(request)
        except AccessError as error:
            return _refusal(error, *authenticator.status_and_headers(error))
        sid = caller.account.sid if caller.account else settings.account.sid
        return JSONResponse({"account": sid})

    return [
        Route("/graphql", page),
        Route("/", page),
        Route(ACCOUNT_PATH, account),
        *playground.routes(),
    ]


def _refusal(
    error: AccessError | OriginNotAllowed, status: int, headers: dict[str, str]
) -> Response:
    body = {"errors": [{"message": str(error), "extensions": error.extensions}]}
    return JSONResponse(body, status, headers)
