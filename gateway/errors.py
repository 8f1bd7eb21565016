"""The exception tree: whose fault first, then which phase. Each leaf has its GraphQL code.

    GatewayError
    ├── CallerError              the request is wrong: a retry will not help
    │   ├── BadRequest           not a GraphQL request, or no operation selected
    │   ├── PersistedQueryNotSupported  the hash of a document instead of the document
    │   ├── PersistedQueryNotFound  a hash that no document was sent with yet
    │   ├── HashMismatch         the hash is not that of the document
    │   ├── DocumentIdRequired   only trusted documents run, by their id
    │   ├── DocumentAndId        a document beside an id
    │   ├── UnknownDocumentId    the manifest has no document with this id
    │   ├── DocumentNotTrusted   the manifest does not have this document
    │   ├── OriginNotAllowed     the web page's origin is not allowed
    │   ├── ParseFailed          the document is not GraphQL
    │   ├── ValidationFailed     the document does not fit the schema
    │   ├── BadUserInput         an argument or a SID is malformed
    │   ├── InvalidFilter        the filter cannot match any row
    │   ├── InvalidCursor        damaged, or of another list
    │   ├── LimitExceeded        the document is larger, deeper or costlier than allowed
    │   ├── IntrospectionDisabled
    │   └── CallNotFound         a subscription to a call that Twilio does not have
    ├── AccessError              the caller may not send this request
    │   ├── Unauthenticated      no credential, or an invalid one
    │   ├── Forbidden            the credential lacks a scope
    │   ├── RateLimited          the caller sends requests too fast
    │   └── AccessUnavailable    the keys that authenticate callers cannot be read now
    ├── BudgetExceeded           the query needs more upstream reads than allowed
    ├── DryRun                   no failure: the operation wanted its plan only
    ├── StoreUnavailable         the store that gateways share cannot be reached
    ├── TooManySubscribers       this gateway has the most subscribers that it may have
    ├── SubscriberLagged         a subscriber reads too slowly, and events were dropped
    └── UpstreamError            Twilio, or the connection to it
        ├── UpstreamUnavailable  no whole response, or a 5xx
        │   ├── RequestNotSent   the request was not sent: a retry is safe for every method
        │   └── CircuitOpen      the circuit breaker rejected the request
        ├── OutcomeUnknown       a write was sent, and its result is unknown
        ├── UpstreamTimeout      no whole response in time
        ├── UpstreamRateLimited  429: too many requests at once
        ├── UpstreamAuth         401 or 403: the credential is refused
        ├── UpstreamRejected     another 4xx
        │   └── UpstreamNotFound 404
        └── UpstreamInvalid      a response that does not follow Twilio's API

Messages are the gateway's own: of an error of upstream's only its numbers are passed on. This
module must not know GraphQL: graphql-core reads `extensions` from any exception that has it.
"""

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "AccessError", "AccessUnavailable", "BadRequest", "BadUserInput", "BudgetExceeded",
    "CallNotFound", "CallerError", "CircuitOpen", "DocumentAndId", "DocumentIdRequired",
    "DocumentNotTrusted", "DryRun", "Forbidden", "GatewayError", "HashMismatch",
    "IntrospectionDisabled", "InvalidCursor", "InvalidFilter", "LimitExceeded",
    "OriginNotAllowed", "OutcomeUnknown", "ParseFailed", "PersistedQueryNotFound",
    "PersistedQueryNotSupported", "RateLimited", "RequestNotSent", "StoreUnavailable",
    "SubscriberLagged", "TooManySubscribers", "Unauthenticated", "UnknownDocumentId",
    "UpstreamAuth", "UpstreamError", "UpstreamInvalid", "UpstreamNotFound", "UpstreamRateLimited",
    "UpstreamRejected", "UpstreamTimeout", "UpstreamUnavailable", "ValidationFailed",
    "error_codes", "errors_table",
]  # fmt: skip


class GatewayError(Exception):
    """A fault of the gateway itself; only its log has the cause.

    The subclasses are the failures with a known reason.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"

    @property
    def extensions(self) -> dict[str, object]:
        """What a client may act on (docs/design/schema.md#10-errors)."""
        return {"code": self.code}


class CallerError(GatewayError):
    """The request is wrong, for example an argument out of its range. A retry will not help."""

    code = "BAD_USER_INPUT"


class BadRequest(CallerError):
    """This is not a GraphQL request, or it does not say which operation to run."""

    code = "BAD_REQUEST"


class PersistedQueryNotSupported(CallerError):
    """The request has only a document's hash, but this gateway stores none. Send the document."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"


class PersistedQueryNotFound(CallerError):
    """The gateway does not have the document of this hash. Send both once."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class HashMismatch(CallerError):
    """The request has a document and a hash that is not the document's SHA-256."""

    code = "PERSISTED_QUERY_HASH_MISMATCH"


class DocumentIdRequired(CallerError):
    """Only trusted documents run here, by their id (docs/documents.md)."""

    code = "PERSISTED_QUERY_ID_REQUIRED"


class DocumentAndId(CallerError):
    """The request has a document besides an id. Send only the id."""

    code = "CANNOT_SEND_PQ_ID_AND_BODY"


class UnknownDocumentId(CallerError):
    """The gateway's manifest has no document with this id (docs/documents.md)."""

    code = "PERSISTED_QUERY_NOT_IN_LIST"


class DocumentNotTrusted(CallerError):
    """Only trusted documents run here, and this is none (docs/documents.md)."""

    code = "QUERY_NOT_IN_SAFELIST"


class OriginNotAllowed(CallerError):
    """The web page that sent the request has an origin that GATEWAY_ALLOWED_ORIGINS lacks."""

    code = "FOREIGN_ORIGIN"


class ParseFailed(CallerError):
    """The document is not GraphQL."""

    code = "GRAPHQL_PARSE_FAILED"


class ValidationFailed(CallerError):
    """The document does not fit the schema."""

    code = "GRAPHQL_VALIDATION_FAILED"


class BadUserInput(CallerError):
    """An argument is out of its range, or a SID is not a SID."""


class InvalidFilter(CallerError):
    """The filter cannot match any row: an empty range, an unknown status."""

    code = "INVALID_FILTER"


class InvalidCursor(CallerError):
    """The cursor is damaged, belongs to another list, or its row is gone without a trace."""

    code = "INVALID_CURSOR"


class LimitExceeded(CallerError):
    """The document, or a value in it, exceeds a limit. Nothing was sent to Twilio.

    `limit` names it, as the setting GATEWAY_MAX_ of that name where there is one; `allowed` is the
    most there may be.
    """

    code = "LIMIT_EXCEEDED"

    def __init__(self, message: str, *, limit: str, allowed: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowed = allowed

    @property
    def extensions(self) -> dict[str, object]:
        """The code, the limit and what it allows."""
        return {"code": self.code, "limit": self.limit, "allowed": self.allowed}


class IntrospectionDisabled(CallerError):
    """The document reads the schema, which this gateway does not show."""

    code = "INTROSPECTION_DISABLED"


class AccessError(GatewayError):
    """The caller may not send this request. The message never repeats what was presented."""


class Unauthenticated(AccessError):
    """The credential is missing, malformed, unknown, expired or forged."""

    code = "UNAUTHENTICATED"


class Forbidden(AccessError):
    """The caller is known, but its credential lacks a scope. Another credential may have it."""

    code = "FORBIDDEN"


class RateLimited(AccessError):
    """The caller sends requests too fast, or too many credentials like this one were refused.

    `retry_after` is in whole seconds.
    """

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, object]:
        """The code and, where it is known, when to retry."""
        if self.retry_after is None:
            return {"code": self.code}
        return {"code": self.code, "retryAfter": self.retry_after}


class AccessUnavailable(AccessError):
    """The gateway cannot authenticate callers now. The same request may succeed later."""

    code = "ACCESS_UNAVAILABLE"


class CallNotFound(CallerError):
    """There is no call with this SID, or it was deleted during the subscription."""

    code = "NOT_FOUND"


class BudgetExceeded(GatewayError):
    """The query needs more upstream pages or rows than allowed. Narrow it."""

    code = "BUDGET_EXCEEDED"


class DryRun(GatewayError):
    """The operation wanted its plan only: this field would need a request that was not sent."""

    code = "DRY_RUN"


class StoreUnavailable(GatewayError):
    """The store that gateways share is unavailable, and the operation is not safe without it."""

    code = "STORE_UNAVAILABLE"


class TooManySubscribers(GatewayError):
    """This gateway has the most subscribers that its settings allow. Retry later or elsewhere."""

    code = "TOO_MANY_SUBSCRIBERS"


class SubscriberLagged(GatewayError):
    """The subscriber read too slowly, and events were dropped. Subscribe again."""

    code = "FELL_BEHIND"


class UpstreamError(GatewayError):
    """Twilio could not be reached or failed, or the circuit breaker rejected the request.

    `status` is the HTTP status, `twilio_code` Twilio's own error number, `more_info` its page about
    it and `request_id` what Twilio's support wants to know; each is None without a response.
    `retry_after` is in how many seconds a retry may succeed; None where that is unknown.
    """

    code = "UPSTREAM_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        twilio_code: int | None = None,
        more_info: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.twilio_code = twilio_code
        self.more_info = more_info
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, object]:
        """The code and, where upstream responded, its numbers (docs/design/schema.md#10-errors)."""
        facts = {
            "twilioCode": self.twilio_code,
            "httpStatus": self.status,
            "moreInfo": self.more_info,
            "requestId": self.request_id,
            "retryAfter": self.retry_after,
        }
        return {"code": self.code} | {
            name: fact for name, fact in facts.items() if fact is not None
        }


class UpstreamUnavailable(UpstreamError):
    """No connection, a connection that broke, or a 5xx."""


class RequestNotSent(UpstreamUnavailable):
    """The request was not sent: upstream has not seen it."""


class CircuitOpen(UpstreamUnavailable):
    """The circuit breaker rejected the request, for `retry_after` more seconds."""


class OutcomeUnknown(UpstreamError):
    """A write was sent, but its result is unknown. Check whether it happened before you retry.

    There was no response, or no usable one. The gateway does not retry the write. `look_for` says
    how to find its result, once that is known.
    """

    code = "OUTCOME_UNKNOWN"
    MESSAGE: ClassVar[str] = (
        "The write was sent, but its result is unknown. Check whether it happened before you retry."
    )
    look_for: Mapping[str, object] | None = None

    @property
    def extensions(self) -> dict[str, object]:
        """As of every upstream error and, where it is known, `lookFor`."""
        known = {"lookFor": dict(self.look_for)} if self.look_for else {}
        return super().extensions | known


class UpstreamTimeout(UpstreamError):
    """Twilio sent no whole response within the time that the settings allow."""

    code = "UPSTREAM_TIMEOUT"


class UpstreamRateLimited(UpstreamError):
    """Too many requests at once: Twilio answered 429, or the gateway's queue is full. Retry later.

    Twilio did not process such a request (docs/twilio.md#2-urls-formats-authentication). A full
    queue has no `status`.
    """

    code = "UPSTREAM_RATE_LIMITED"


class UpstreamAuth(UpstreamError):
    """Twilio refused the credential: 401 or 403."""

    code = "UPSTREAM_AUTH"


class UpstreamRejected(UpstreamError):
    """Twilio rejected the request with another 4xx."""

    code = "UPSTREAM_REJECTED"


class UpstreamNotFound(UpstreamRejected):
    """Twilio has no such resource, or no longer: 404."""

    code = "UPSTREAM_NOT_FOUND"


class UpstreamInvalid(UpstreamError):
    """Twilio's response does not follow its API: not JSON, no list, a link to elsewhere."""

    code = "UPSTREAM_INVALID"


def error_codes() -> dict[str, str]:
    """Every code with its meaning: the docstring of the first exception that has it."""
    codes: dict[str, str] = {}
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        error = waiting.pop(0)
        waiting += error.__subclasses__()
        summary, _, _ = (error.__doc__ or "").partition("\n\n")
        codes.setdefault(error.code, " ".join(summary.split()))
    return codes


def errors_table() -> str:
    """The codes as a Markdown table, for docs/errors.md."""
    rows = (f"| `{code}` | {meaning} |\n" for code, meaning in sorted(error_codes().items()))
    return "| code | meaning |\n|---|---|\n" + "".join(rows)
