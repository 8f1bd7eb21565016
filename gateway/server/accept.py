"""Content negotiation by the Accept headers of HTTP (RFC 9110 section 12.5).

This module must not know the content of responses.
"""

import re

__all__ = ["accepts_gzip", "preferred"]


def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """The offered media type that an Accept header prefers, or None if it accepts none of them.

    The most specific range decides a type's quality (RFC 9110 section 12.5.1). Among equals, the
    type that the header names first wins, then the one offered first. No header accepts everything.
    """
    ranges = [_parse_range(text) for text in accept.split(",") if text.strip()]
    if not ranges:
        return offered[0]
    ratings = [(_quality_of(media_type, ranges), media_type) for media_type in offered]
    best = max(ratings, key=lambda rating: rating[0])
    return best[1] if best[0][0] > 0 else None


def _parse_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return name, _parse_quality(value.strip())
    return name, 1.0


def _parse_quality(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.[0-9]*)?|1(\.0*)?", text) else 0.0


def _quality_of(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    kind = media_type.partition("/")[0]
    for name in (media_type, f"{kind}/*", "*/*"):
        for position, (range_, quality) in enumerate(ranges):
            if range_ == name:
                return quality, -position
    return 0.0, 0


def accepts_gzip(accept_encoding: str) -> bool:
    """True if an Accept-Encoding header accepts gzip, by name or by `*`, with a quality above 0."""
    qualities = dict(_parse_range(text) for text in accept_encoding.split(",") if text.strip())
    for name in ("gzip", "x-gzip", "*"):
        if name in qualities:
            return qualities[name] > 0
    return False
