"""Exchanges with upstream: one record, one hook protocol, a log line.

Paths hold SIDs only. Queries hold phone numbers, which are personal data, so no record and no log
has them. This module must not know who sends a request, nor why.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

__all__ = ["UpstreamExchange", "UpstreamHook", "log_exchange"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpstreamExchange:
    """One REST request and its result.

    `path` is relative to the account, `seconds` from sending to the last byte, `status` the HTTP
    status or None without a response, `failure` the name of the error or None. `resource` is the
    kind of what is read, `retry_of` the failure of the attempt before, None for the first.
    """

    path: str
    seconds: float
    status: int | None = None
    request_id: str | None = None
    failure: str | None = None
    method: str = "GET"
    resource: str = ""
    retry_of: str | None = None


class UpstreamHook(Protocol):
    """Called after every exchange. It must be quick and must not raise."""

    def __call__(self, exchange: UpstreamExchange, /) -> None: ...


def log_exchange(exchange: UpstreamExchange) -> None:
    """The default hook: logs failures as warnings, the rest at debug level. A 404 is no failure."""
    level = logging.WARNING if exchange.failure and exchange.status != 404 else logging.DEBUG
    log.log(
        level,
        "upstream %s: %s in %.3f s, request id %s",
        exchange.path,
        exchange.failure or exchange.status,
        exchange.seconds,
        exchange.request_id,
    )
