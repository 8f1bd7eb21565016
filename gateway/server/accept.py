"""What a client likes best, by the Accept headers of HTTP (RFC 9110 section 12.5).

This module must not know what is answered.
"""

import re

__all__ = ["preferred", "takes_gzip"]


def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """The offered media type that an Accept header likes best; None where it likes none.

    The most specific range decides a type's quality (RFC 9110 section 12.5.1); of equal quality the
    one that the header names first, then the one offered first. No header accepts everything.
    """
    ranges = [_range(text) for text in accept.split(",") if text.strip()]
    if not ranges:
        return offered[0]
    ratings = [(_rate(media_type, ranges), media_type) for media_type in offered]
    best = max(ratings, key=lambda rating: rating[0])
    return best[1] if best[0][0] > 0 else None


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return name, _quality(value.strip())
    return name, 1.0


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.[0-9]*)?|1(\.0*)?", text) else 0.0


def _rate(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    kind = media_type.partition("/")[0]
    for name in (media_type, f"{kind}/*", "*/*"):
        for place, (range_, quality) in enumerate(ranges):
            if range_ == name:
                return quality, -place
    return 0.0, 0


def takes_gzip(accept_encoding: str) -> bool:
    """True where an Accept-Encoding header names gzip, or everything, and does not rule it out."""
    qualities = dict(_range(text) for text in accept_encoding.split(",") if text.strip())
    for name in ("gzip", "x-gzip", "*"):
        if name in qualities:
            return qualities[name] > 0
    return False
