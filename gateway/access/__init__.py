"""Who may ask: from the credential that a client presents to a Caller with scopes.

One rule for GET, POST, WebSocket and SSE: each hands the text of its Authorization header (or of
connection_init) to `Access.identify`. This room must not know HTTP beyond that text, nor GraphQL:
what a scope permits is enforced where operations are executed. docs/access.md is for operators.
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
    """What WWW-Authenticate asks for."""

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The caller who presents this Authorization (and, in passthrough, Gateway-Account-Sid).

        Raises Unauthenticated, or AccessUnavailable where it cannot be found out now.
        """


class OpenAccess:
    """Mode `none`: whoever reaches the gateway may ask everything."""

    challenge = ""

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """ANYONE, whatever is presented."""
        return ANONYMOUS


class PassthroughAccess:
    """Mode `passthrough`: the caller's own Twilio credential goes upstream, the gateway has none.

    Whether it is right is for Twilio to say. The account is the user name, or Gateway-Account-Sid:
    an API key (SK…) does not name its account, and a main account may ask for its sub-accounts.
    """

    challenge = 'Basic realm="Twilio account", charset="UTF-8"'

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The caller with the account that this credential is for."""
        username, password = basic_credential(authorization)
        if not is_sid("AC", username) and not is_sid("SK", username):
            raise Unauthenticated("The user name must be a Twilio account SID or API key SID")
        sid = account_sid or username
        if not is_sid("AC", sid):
            raise Unauthenticated("Gateway-Account-Sid must be AC and 32 hexadecimal digits")
        account = Account(sid, username, Secret(password))
        return Caller(name=sid, scopes=frozenset(Scope), account=account)
