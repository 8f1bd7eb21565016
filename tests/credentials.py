"""How a credential is presented, as any client does it."""

import base64

from tests.plain_twilio import TOKEN

__all__ = ["basic", "encoded"]


def encoded(username: str, password: str) -> str:
    """The credential as it is sent."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def basic(username: str, password: str = TOKEN) -> str:
    """An Authorization header."""
    return f"Basic {encoded(username, password)}"
