"""Parses an Authorization header strictly: a bearer token or a Basic credential.

Error messages never repeat what was presented. This module must not know who is accepted.
"""

import base64
import re

from gateway.errors import Unauthenticated

__all__ = ["basic_credential", "bearer_token", "is_sid"]

MAX_LENGTH = 8192
# RFC 6750 section 2.1: token68.
BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
BASIC = re.compile(r"Basic +([A-Za-z0-9+/]+=*) *", re.IGNORECASE)


def bearer_token(authorization: str | None) -> str:
    """The token of `Bearer TOKEN`. Raises Unauthenticated."""
    return _match(BEARER, authorization, "Present a bearer token in the Authorization header")


def basic_credential(authorization: str | None) -> tuple[str, str]:
    """User name and password of `Basic BASE64` (RFC 7617, UTF-8). Raises Unauthenticated."""
    message = "Present a Twilio credential in the Authorization header (Basic)"
    encoded = _match(BASIC, authorization, message)
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        raise Unauthenticated(message) from None
    username, _, password = text.partition(":")
    if not password.isprintable() or not password:
        raise Unauthenticated(message)
    return username, password


def is_sid(prefix: str, text: str) -> bool:
    """True for the prefix and 32 hexadecimal digits."""
    return re.fullmatch(prefix + "[0-9a-fA-F]{32}", text) is not None


def _match(pattern: re.Pattern[str], authorization: str | None, message: str) -> str:
    text = authorization or ""
    match = pattern.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise Unauthenticated(message)
    return match[1]
