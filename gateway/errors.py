"""The exception tree: whose fault first, then which phase. Each leaf has its GraphQL code.

    GatewayError
    ├── CallerError              the query asks for something that cannot be
    │   ├── BadRequest           no GraphQL request, or one that names no operation
    │   ├── PersistedQueryNotSupported  the hash of a document instead of the document
    │   ├── OriginNotAllowed     a web page asks whose origin is not allowed to
    │   ├── ParseFailed          the document is not GraphQL
    │   ├── ValidationFailed     the document does not fit the schema
    │   ├── BadUserInput         an argument or a SID is malformed
    │   ├── InvalidFilter        a filter that no call can be held against
    │   ├── InvalidCursor        damaged, or of another list
    │   ├── LimitExceeded        a document larger, deeper or dearer than this gateway takes
    │   ├── IntrospectionDisabled
    │   └── CallNotFound         nothing to watch: Twilio has no such call
    ├── AccessError              who asks, not what
    │   ├── Unauthenticated      no credential, or one that is not taken
    │   ├── Forbidden            the credential's scopes do not reach so far
    │   ├── RateLimited          this caller asks too fast
    │   └── AccessUnavailable    the keys that tell who asks cannot be read now
    ├── BudgetExceeded           the query is fine but costs more than this gateway may spend
    ├── DryRun                   nothing is wrong: the operation asked for its plan only
    ├── StoreUnavailable         what gateways share cannot be reached, and it is needed
    ├── TooManySubscribers       this gateway has as many as it may have
    ├── SubscriberLagged         a subscriber reads far slower than calls change
    └── UpstreamError            Twilio, or the way to it
        ├── UpstreamUnavailable  no whole answer, or a 5xx
        │   ├── RequestNotSent   the request did not leave: safe to repeat, whatever its method
        │   └── CircuitOpen      not even asked: upstream fails too often at present
        ├── OutcomeUnknown       a request that changes something was sent, and nobody knows
        ├── UpstreamTimeout      no whole answer in time
        ├── UpstreamRateLimited  429: too many requests at once
        ├── UpstreamAuth         401 or 403: the credential is refused
        ├── UpstreamRejected     another 4xx
        │   └── UpstreamNotFound 404
        └── UpstreamInvalid      an answer that is not what Twilio's API says

Messages are ours: what upstream wrote is never passed on, only its numbers. This module must not
know GraphQL: graphql-core reads `extensions` from any exception that has it.
"""

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "AccessError",
    "AccessUnavailable",
    "BadRequest",
    "BadUserInput",
    "BudgetExceeded",
    "CallNotFound",
    "CallerError",
    "CircuitOpen",
    "DryRun",
    "Forbidden",
    "GatewayError",
    "IntrospectionDisabled",
    "InvalidCursor",
    "InvalidFilter",
    "LimitExceeded",
    "OriginNotAllowed",
    "OutcomeUnknown",
    "ParseFailed",
    "PersistedQueryNotSupported",
    "RateLimited",
    "RequestNotSent",
    "StoreUnavailable",
    "SubscriberLagged",
    "TooManySubscribers",
    "Unauthenticated",
    "UpstreamAuth",
    "UpstreamError",
    "UpstreamInvalid",
    "UpstreamNotFound",
    "UpstreamRateLimited",
    "UpstreamRejected",
    "UpstreamTimeout",
    "UpstreamUnavailable",
    "ValidationFailed",
    "error_codes",
    "errors_table",
]


class GatewayError(Exception):
    """A fault of the gateway's own, whose cause is in the log only.

    Its subclasses are what this gateway refuses or cannot answer for a reason that it knows.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"

    @property
    def extensions(self) -> dict[str, object]:
        """What a client's program may act on (SCHEMA rule 10)."""
        return {"code": self.code}


class CallerError(GatewayError):
    """The query asks for something that cannot be. Correct it; a repeat will not help."""

    code = "BAD_USER_INPUT"


class BadRequest(CallerError):
    """No GraphQL request, or one that does not say which operation is meant."""

    code = "BAD_REQUEST"


class PersistedQueryNotSupported(CallerError):
    """A hash came in place of the document, which this gateway does not keep. Send the document."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"


class OriginNotAllowed(CallerError):
    """A web page asks whose origin is not among GATEWAY_ALLOWED_ORIGINS."""

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
    """A filter that no row can be held against: an empty range, an unknown status."""

    code = "INVALID_FILTER"


class InvalidCursor(CallerError):
    """A cursor that is damaged, belongs to another list, or whose row is gone without a trace."""

    code = "INVALID_CURSOR"


class LimitExceeded(CallerError):
    """A document, or a value in it, beyond a limit: refused before anything is sent.

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
    """The document asks for the schema, which this gateway does not show."""

    code = "INTROSPECTION_DISABLED"


class AccessError(GatewayError):
    """The caller is not let in, or not so far. The message never repeats what was presented."""


class Unauthenticated(AccessError):
    """No credential was presented, or one that is malformed, unknown, expired or forged."""

    code = "UNAUTHENTICATED"


class Forbidden(AccessError):
    """The caller is known but lacks a scope. Another credential may have it."""

    code = "FORBIDDEN"


class RateLimited(AccessError):
    """This caller asks faster than allowed, or too many credentials like this one were refused.

    `retry_after` is in whole seconds.
    """

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, object]:
        """The code, and when to come back where that is known."""
        if self.retry_after is None:
            return {"code": self.code}
        return {"code": self.code, "retryAfter": self.retry_after}


class AccessUnavailable(AccessError):
    """It cannot be told now who asks. The same request may be answered later."""

    code = "ACCESS_UNAVAILABLE"


class CallNotFound(CallerError):
    """There is no call with this SID to be watched, or it was deleted while it was watched."""

    code = "NOT_FOUND"


class BudgetExceeded(GatewayError):
    """The answer would cost more upstream pages or rows than allowed. Narrow the query."""

    code = "BUDGET_EXCEEDED"


class DryRun(GatewayError):
    """The operation asked for its plan: what would be read next is planned and not sent."""

    code = "DRY_RUN"


class StoreUnavailable(GatewayError):
    """The store that gateways share did not answer, and without it the act is not safe."""

    code = "STORE_UNAVAILABLE"


class TooManySubscribers(GatewayError):
    """This gateway has as many subscribers as its settings allow. Try again later, or elsewhere."""

    code = "TOO_MANY_SUBSCRIBERS"


class SubscriberLagged(GatewayError):
    """A subscription that more calls changed for than are remembered. Subscribe again."""

    code = "FELL_BEHIND"


class UpstreamError(GatewayError):
    """Twilio, or the way to it, did not give the answer.

    `status` is the HTTP status, `twilio_code` Twilio's own error number, `more_info` its page about
    it and `request_id` what Twilio's support asks for; each is None where there was no answer.
    `retry_after` is in how many seconds a repeat may succeed, where that is known.
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
        """The code and, where upstream answered, its numbers (SCHEMA rule 10)."""
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
    """The connection could not be made: upstream has not seen the request."""


class CircuitOpen(UpstreamUnavailable):
    """Upstream failed so often of late that it is not asked for `retry_after` seconds."""


class OutcomeUnknown(UpstreamError):
    """A request that changes something was sent and its answer did not come, or says nothing.

    It may have happened: it is never repeated here. Look before you repeat it. `look_for` says
    what to look for, once that is known.
    """

    code = "OUTCOME_UNKNOWN"
    look_for: Mapping[str, object] | None = None

    @property
    def extensions(self) -> dict[str, object]:
        """With `lookFor`, where it is known."""
        known = {"lookFor": dict(self.look_for)} if self.look_for else {}
        return super().extensions | known


class UpstreamTimeout(UpstreamError):
    """No whole answer within the time that the settings allow."""

    code = "UPSTREAM_TIMEOUT"


class UpstreamRateLimited(UpstreamError):
    """Too many requests at once: Twilio's 429, which was never processed (FACTS section 2).

    Without a `status` it was the gateway's own line that was full.
    """

    code = "UPSTREAM_RATE_LIMITED"


class UpstreamAuth(UpstreamError):
    """401 or 403: upstream refuses the credential."""

    code = "UPSTREAM_AUTH"


class UpstreamRejected(UpstreamError):
    """Another 4xx: upstream understood the request and refuses it."""

    code = "UPSTREAM_REJECTED"


class UpstreamNotFound(UpstreamRejected):
    """404: there is no such resource (any more)."""

    code = "UPSTREAM_NOT_FOUND"


class UpstreamInvalid(UpstreamError):
    """An answer that is not what Twilio's API says: not JSON, no list, a link to elsewhere."""

    code = "UPSTREAM_INVALID"


def error_codes() -> dict[str, str]:
    """Every code with its meaning: what the first exception that brings it says of itself."""
    codes: dict[str, str] = {}
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        error = waiting.pop(0)
        waiting += error.__subclasses__()
        summary, _, _ = (error.__doc__ or "").partition("\n\n")
        codes.setdefault(error.code, " ".join(summary.split()))
    return codes


def errors_table() -> str:
    """The list as Markdown."""
    rows = (f"| `{code}` | {meaning} |\n" for code, meaning in sorted(error_codes().items()))
    return "| code | meaning |\n|---|---|\n" + "".join(rows)
