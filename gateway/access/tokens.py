"""Mode `token`: bearer tokens, of which the gateway keeps hashes only.

A file has a line for each token: `name scopes sha256`. A token is 256 random bits, so that a plain
hash of it cannot be searched for. This module must not know HTTP.
"""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from gateway.access.authorization import bearer_token
from gateway.access.callers import Caller, Scope
from gateway.errors import Unauthenticated

__all__ = ["TokenAccess", "TokenLine", "new_token", "read_lines"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
PREFIX = "gwt_"


@dataclass(frozen=True)
class TokenLine:
    """A token as it is kept."""

    caller: Caller
    digest: str

    @classmethod
    def parse(cls, line: str) -> "TokenLine":
        """From `name scopes sha256`. Raises ValueError, whose words do not repeat the line."""
        words = line.split()
        if len(words) != 3:
            raise ValueError("must be a name, scopes and a SHA-256, with spaces between")
        name, scopes, digest = words
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("the SHA-256 must be 64 hexadecimal digits in lower case")
        return cls(caller_of(name, scopes), digest)

    def __str__(self) -> str:
        scopes = ",".join(scope for scope in Scope if self.caller.may(scope))
        return f"{self.caller.name} {scopes} {self.digest}"


def caller_of(name: str, scopes: str) -> Caller:
    """A caller of this name, with scopes as `read,call`. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits and . _ @ -")
    known = [scope.value for scope in Scope]
    given = scopes.split(",")
    if not set(given) <= set(known):
        raise ValueError(f"scopes are {', '.join(known)}, with commas between")
    return Caller(name, frozenset(Scope(scope) for scope in given))


def read_lines(text: str) -> list[TokenLine]:
    """The lines of a tokens file; empty ones and those that begin with # count for nothing.

    Raises ValueError that names the line's number.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            lines.append(TokenLine.parse(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return lines


def new_token(name: str, scopes: str) -> tuple[str, TokenLine]:
    """A new token, to be given to the caller, and what is kept of it. Raises ValueError."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, TokenLine(caller_of(name, scopes), _digest(token))


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class TokenAccess:
    """Lets in whoever presents a token of one of the lines."""

    challenge = 'Bearer realm="gateway"'

    def __init__(self, lines: Iterable[TokenLine]) -> None:
        self._lines = tuple(lines)

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The line's caller. Every line is compared, in constant time, whichever it is."""
        digest = _digest(bearer_token(authorization))
        found = [line.caller for line in self._lines if hmac.compare_digest(line.digest, digest)]
        if not found:
            raise Unauthenticated("This token is not known here")
        return found[-1]
