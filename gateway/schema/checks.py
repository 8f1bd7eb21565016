"""Checks of a mutation's values, made before anything is sent. Pure.

A check takes a value and returns what is wrong with it, in words that follow the field's name, or
None. The limits are Twilio's (docs/twilio.md#8-making-and-modifying-a-call). This module must not
know the fields.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Check",
    "anything",
    "callback",
    "digits",
    "is_number",
    "party",
    "sid",
    "sip_word",
    "text",
    "url",
    "whole_number",
]

Check = Callable[[Any], str | None]
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
MAX_URL_LENGTH = 4000
# The form of client, SIM and SIP addresses. Only Twilio knows which hosts and names exist.
PARTY = re.compile(r"(?:client|sim):[!-~]{1,256}|sips?:[!-?A-~]+@[!-?A-~]+")


def anything(_value: object) -> None:
    """Accepts every value: GraphQL has checked it."""


def is_number(value: str) -> bool:
    """True for a phone number in E.164."""
    return E164.fullmatch(value) is not None


def party(value: str) -> str | None:
    """A phone number, a SIP address, client:name or sim:name."""
    if is_number(value) or PARTY.fullmatch(value):
        return None
    return "must be a phone number in E.164 (+14155550123), sip:name@host or client:name"


def url(value: str) -> str | None:
    """An absolute http or https URL."""
    is_short = len(value) <= MAX_URL_LENGTH
    if is_short and re.fullmatch("[!-~]+", value) and _host(value):
        return None
    return f"must be an absolute http or https URL of at most {MAX_URL_LENGTH} characters"


def callback(value: str) -> str | None:
    """A URL for Twilio's callbacks: Twilio refuses hosts with an underscore."""
    if url(value) is None and "_" in (_host(value) or ""):
        return "must have a host without underscores"
    return url(value)


def _host(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        return parts.hostname if parts.scheme in {"http", "https"} and parts.port != 0 else None
    except ValueError:
        return None


def digits(value: str) -> str | None:
    """Keys to press once the call is answered."""
    if re.fullmatch("[0-9A-D#*wW]{1,32}", value):
        return None
    return "must be 1 to 32 of 0-9, A-D, #, * and w (half a second), W (a second)"


def sid(prefix: str) -> Check:
    """The SID of another resource."""

    def check(value: str) -> str | None:
        is_sid = re.fullmatch(prefix + "[0-9a-fA-F]{32}", value)
        return None if is_sid else f"must be {prefix} and 32 hexadecimal digits"

    return check


def text(max_length: int) -> Check:
    """Some text, not only spaces."""

    def check(value: str) -> str | None:
        is_good = value.strip() and len(value) <= max_length
        return None if is_good else f"must be 1 to {max_length} characters, not only spaces"

    return check


def sip_word(value: str) -> str | None:
    """A SIP user or password."""
    if re.fullmatch("[!-~]{1,255}", value):
        return None
    return "must be 1 to 255 printable ASCII characters without spaces"


def whole_number(low: int, high: int) -> Check:
    """A whole number from low to high."""

    def check(value: int) -> str | None:
        return None if low <= value <= high else f"must be from {low} to {high}"

    return check
