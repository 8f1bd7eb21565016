"""Access control: turns the credential that a client presents into a Caller with scopes.

GET, POST, WebSocket and SSE follow one rule: each passes the text of its Authorization header (or
of connection_init) to `Access.identify`. This room must not know HTTP beyond that text, nor
GraphQL: scopes are enforced where operations are executed. docs/access.md is for operators.
"""

from typing import Protocol

from gateway.access.authorization import basic_credential, is_sid
from gateway.access.callers import ANONYMOUS, Account, Caller, Scope
from gateway.errors import Unauthenticated
from gateway.settings import Secret

__all__ = ["ANONYMOUS", "Access", "Account", "Caller", "OpenAccess", "PassthroughAccess", "Scope"]


class Access(Protocol):
    """One of the four modes of GATEWAY_ACCESS."""

    challenge: str
    """The value of WWW-Authenticate in a 401 response."""

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The caller who presents this Authorization (and, in passthrough, Gateway-Account-Sid).

        Raises Unauthenticated, or AccessUnavailable when the credential cannot be checked now.
        """


class OpenAccess:
    """Mode `none`: everybody who reaches the gateway has every scope."""

    challenge = ""

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """ANONYMOUS, whatever credential is presented."""
        return ANONYMOUS


class PassthroughAccess:
    """Mode `passthrough`: the gateway sends the caller's own Twilio credential upstream.

    The gateway has no credential of its own, and Twilio judges the caller's. The account is the
    user name, or Gateway-Account-Sid: an API key (SK…) does not name its account, and a main
    account may read its sub-accounts.
    """

    challenge = 'Basic realm="Twilio account", charset="UTF-8"'

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The caller, with the account that this credential opens."""
        username, password = basic_credential(authorization)
        if not is_sid("AC", username) and not is_sid("SK", username):
            raise Unauthenticated("The user name must be a Twilio account SID or API key SID")
        sid = account_sid or username
        if not is_sid("AC", sid):
            raise Unauthenticated("Gateway-Account-Sid must be AC and 32 hexadecimal digits")
        account = Account(sid, username, Secret(password))
        return Caller(name=sid, scopes=frozenset(Scope), account=account)
