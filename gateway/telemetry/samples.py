"""The state of a process at one moment, from which gauges are set.

This module must not know who asks for it, nor how it is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ProcessSample", "UpstreamSample"]


@dataclass(frozen=True)
class UpstreamSample:
    """The state of the clients of one process; counts are those since each client was made.

    `cache_store` counts look-ups in the shared cache, by result.
    """

    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    retry_tokens: int = 0
    breakers: Mapping[str, str] = field(default_factory=dict)
    breaker_refusals: Mapping[str, int] = field(default_factory=dict)
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0
    cache_evictions: int = 0
    cache_store: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessSample:
    """The gateway's state at one moment. `lag` is by how many seconds the loop ran late."""

    clients: Mapping[int, UpstreamSample]
    subscriptions: int
    lag: float
