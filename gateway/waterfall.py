"""Stand-in."""

from collections.abc import Mapping
from typing import Any

__all__ = ["waterfall"]


def waterfall(upstream: Mapping[str, Any], width: int = 100, colour: bool = False) -> str:
    """Stand-in."""
    return str(upstream)[: width * 100] if colour else str(upstream)
