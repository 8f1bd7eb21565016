"""Mode `token`: bearer tokens. The gateway stores their hashes only.

The tokens file has one line per token: `name scopes sha256`. A token has 256 random bits, so that
its plain hash cannot be brute-forced. This module must not know HTTP.
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

__all__ = ["TokenAccess", "TokenLine", "new_token", "parse_tokens_file"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
PREFIX = "gwt_"


@dataclass(frozen=True)
class TokenLine:
    """A line of the tokens file: the caller and the hash of the token."""

    caller: Caller
    digest: str

    @classmethod
    def parse(cls, line: str) -> "TokenLine":
        """Parses `name scopes sha256`. Raises ValueError, which does not repeat the line."""
        words = line.split()
        if len(words) != 3:
            raise ValueError("must be a name, scopes and a SHA-256, with spaces between")
        name, scopes, digest = words
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("the SHA-256 must be 64 hexadecimal digits in lower case")
        return cls(_caller(name, scopes), digest)

    def __str__(self) -> str:
        scopes = ",".join(scope for scope in Scope if self.caller.may(scope))
        return f"{self.caller.name} {scopes} {self.digest}"


def _caller(name: str, scopes: str) -> Caller:
    """A caller with this name and scopes such as `read,call`. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits and . _ @ -")
    known = [scope.value for scope in Scope]
    names = scopes.split(",")
    if not set(names) <= set(known):
        raise ValueError(f"scopes are {', '.join(known)}, with commas between")
    return Caller(name, frozenset(Scope(scope) for scope in names))


def parse_tokens_file(text: str) -> list[TokenLine]:
    """The lines of a tokens file. Empty lines and comments (#) are skipped.

    Raises ValueError, which names the line's number.
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
    """A new token for the caller, and its line for the tokens file. Raises ValueError."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, TokenLine(_caller(name, scopes), _digest(token))


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class TokenAccess:
    """Authenticates callers by a token that matches one of the lines."""

    challenge = 'Bearer realm="gateway"'

    def __init__(self, lines: Iterable[TokenLine]) -> None:
        self._lines = tuple(lines)

    async def identify(self, authorization: str | None, account_sid: str | None = None) -> Caller:
        """The caller of the matching line. Every line is compared, each in constant time."""
        digest = _digest(bearer_token(authorization))
        callers = [line.caller for line in self._lines if hmac.compare_digest(line.digest, digest)]
        if not callers:
            raise Unauthenticated("This token is unknown")
        return callers[-1]
