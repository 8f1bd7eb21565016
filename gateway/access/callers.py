"""The caller as a value: a name, scopes and, in passthrough, the account to read.

This module must not know how a caller was identified.
"""

import hmac
import os
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from gateway.errors import Forbidden
from gateway.settings import Secret

__all__ = ["ANONYMOUS", "Account", "Caller", "Scope"]

# The key makes digests useless outside this process: a leaked one cannot be brute-forced.
_PROCESS_KEY = os.urandom(32)


class Scope(StrEnum):
    """What a caller may do. `docs/access.md` says what each shows and permits."""

    READ = "read"
    CALL = "call"
    PII = "pii"


@dataclass(frozen=True)
class Account:
    """An account and its credential: SID and token, or API key and secret.

    See docs/twilio.md#2-urls-formats-authentication.
    """

    sid: str
    username: str
    password: Secret

    @property
    def digest(self) -> str:
        """Equal for equal credentials of the same account; reveals nothing about them."""
        whole = "\0".join((self.sid, self.username, self.password.reveal()))
        return blake2b(whole.encode(), key=_PROCESS_KEY, digest_size=16).hexdigest()

    def mac(self, text: str) -> str:
        """HMAC-SHA-256 of a text, in hex, with the credential as key.

        Equal in all processes with this credential; reveals neither the text nor the credential.
        """
        key = "\0".join((self.username, self.password.reveal()))
        return hmac.digest(key.encode(), text.encode(), "sha256").hex()


@dataclass(frozen=True)
class Caller:
    """Who sends a request. `name` identifies the caller and is no secret.

    `expires` is when the credential expires, leeway included (seconds since 1970, UTC), or None if
    it never does. `account` and `address` are set in passthrough only; `address` is the client's
    address, or None if it is unknown.
    """

    name: str
    scopes: frozenset[Scope]
    account: Account | None = None
    address: str | None = None
    expires: float | None = None

    @property
    def public_name(self) -> str:
        """The name as logs show it: of a passthrough caller's account only the last four digits."""
        if self.account is not None:
            return f"…{self.account.sid[-4:]}"
        return self.name or "anonymous"

    def may(self, scope: Scope) -> bool:
        """True when the caller has the scope."""
        return scope in self.scopes

    def require(self, scope: Scope, what: str) -> None:
        """Raises Forbidden, which says that `what` needs the scope, unless the caller has it."""
        if scope not in self.scopes:
            raise Forbidden(f"{what} needs the scope {scope}")


ANONYMOUS = Caller(name="", scopes=frozenset(Scope))
