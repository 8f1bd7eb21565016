"""Responses: read to their end, or turned into an error of our tree.

No text of upstream's leaves this module. It must not know how a request is
sent, nor whether it is retried.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.errors import (
    UpstreamAuth,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.upstream.decoding import first_that_decodes, repaired
from gateway.upstream.retries import retry_after

__all__ = ["Reply", "error_for_reply"]

REQUEST_ID, COUNT = re.compile("RQ[0-9a-fA-F]{32}"), re.compile("[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        """The id of the request that Twilio's support wants to know."""
        value = self.headers.get("Twilio-Request-Id")
        return value if value and REQUEST_ID.fullmatch(value) else None

    @property
    def concurrent_requests(self) -> int | None:
        """How many requests of the account Twilio counts at present; None if it does not say."""
        value = self.headers.get("Twilio-Concurrent-Requests")
        return int(value) if value and COUNT.fullmatch(value) else None


class _TwilioError(msgspec.Struct):
    """Twilio's error body (docs/twilio.md#7-errors); each property may be absent or of any type."""

    code: Any = None
    more_info: Any = None


def error_for_reply(reply: Reply, accepted: frozenset[int]) -> UpstreamError | None:
    """The error for a status that is not accepted, with Twilio's numbers; None if it is."""
    status = reply.status
    if status in accepted:
        return None
    body = first_that_decodes(
        lambda: msgspec.json.decode(reply.body, type=_TwilioError),
        lambda: msgspec.json.decode(repaired(reply.body), type=_TwilioError),
        _TwilioError,
    )
    error_type, message = _error_for_status(status)
    return error_type(
        message,
        status=status,
        twilio_code=_error_number(body.code),
        more_info=_documentation_link(body.more_info),
        request_id=reply.request_id,
        retry_after=retry_after(reply.headers, datetime.now(UTC)),
    )


def _error_for_status(status: int) -> tuple[type[UpstreamError], str]:
    if status == 404:
        return UpstreamNotFound, "Upstream has no such resource"
    if status == 429:
        return UpstreamRateLimited, "Upstream answered 429: too many requests at once"
    if status in {401, 403}:
        return UpstreamAuth, "Upstream refused the credential"
    if 400 <= status < 500:
        return UpstreamRejected, f"Upstream refused the request with status {status}"
    if status >= 500:
        return UpstreamUnavailable, f"Upstream answered with status {status}"
    return UpstreamInvalid, f"Upstream answered with status {status}, which this API does not use"


def _error_number(code: Any) -> int | None:
    """Twilio's error number, of five or six digits; None beyond GraphQL's 32-bit integers."""
    return code if type(code) is int and 0 < code < 1_000_000_000 else None


def _documentation_link(more_info: Any) -> str | None:
    """A link to Twilio's own pages; None for any other text."""
    pattern = r"https://www\.twilio\.com/[A-Za-z0-9/_.#-]{1,200}"
    if isinstance(more_info, str) and re.fullmatch(pattern, more_info):
        return more_info
    return None
