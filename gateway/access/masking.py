"""Masks personal values for callers without the scope `pii`.

`+16175551212` becomes `+1617•••1212`: enough to recognise a known number, too little to call it.
Other values are hidden, except for their kind. This module must not know which values are personal.
"""

import re

__all__ = ["HIDDEN", "masked_party", "masked_text"]

HIDDEN = "•••"
NUMBER = re.compile(r"\+?[0-9]+")
SIP = re.compile(r"((?:sips?:)?)[^@\s/]+@([A-Za-z0-9.:\[\]-]+)(?:[;?].*)?")
MIN_LONG_NUMBER = 11  # digits: a shorter number does not show its outer eight


def masked_party(value: str) -> str:
    """The mask of a call's party. It keeps a number's outer digits, a SIP host, or `client:`."""
    if NUMBER.fullmatch(value):
        return _number(value)
    if value.startswith("client:"):
        return "client:" + HIDDEN
    address = SIP.fullmatch(value)
    return f"{address[1]}{HIDDEN}@{address[2]}" if address else HIDDEN


def masked_text(_value: str) -> str:
    """The mask of a name, or of a text that may contain numbers and names."""
    return HIDDEN


def _number(value: str) -> str:
    plus, digits = value[: value[0] == "+"], value.lstrip("+")
    if len(digits) < MIN_LONG_NUMBER:
        return plus + HIDDEN + (digits[-2:] if len(digits) > 6 else "")
    return f"{plus}{digits[:4]}{HIDDEN}{digits[-4:]}"
