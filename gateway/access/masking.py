"""How personal values look to a caller without the scope `pii`: a mask in place of each.

`+16175551212` is `+1617•••1212`: enough to recognise a number that one knows, too little to call
it. What is no number is hidden whole, but for the kind of thing that it is. This module must not
know which values are personal.
"""

import re

__all__ = ["HIDDEN", "masked_end", "masked_text"]

HIDDEN = "•••"
NUMBER = re.compile(r"\+?[0-9]+")
SIP = re.compile(r"((?:sips?:)?)[^@\s/]+@([A-Za-z0-9.:\[\]-]+)(?:[;?].*)?")
LONG = 11  # digits: fewer are too few to show the outer eight of them


def masked_end(value: str) -> str:
    """One end of a call: a number's outer digits, a SIP address's host, that it is a client."""
    if NUMBER.fullmatch(value):
        return _number(value)
    if value.startswith("client:"):
        return "client:" + HIDDEN
    address = SIP.fullmatch(value)
    return f"{address[1]}{HIDDEN}@{address[2]}" if address else HIDDEN


def masked_text(_value: str) -> str:
    """A name, or a text in which numbers and names may be anywhere."""
    return HIDDEN


def _number(value: str) -> str:
    plus, digits = value[: value[0] == "+"], value.lstrip("+")
    if len(digits) < LONG:
        return plus + HIDDEN + (digits[-2:] if len(digits) > 6 else "")
    return f"{plus}{digits[:4]}{HIDDEN}{digits[-4:]}"
