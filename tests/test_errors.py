"""The exception tree: its drawing is the classes, and each leaf has a code that clients know."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway import errors
from gateway.errors import (
    CallerError,
    GatewayError,
    RequestNotSent,
    UpstreamError,
    error_codes,
    errors_table,
)

# Codes are the gateway's public interface (docs/design/schema.md#10-errors): a change here breaks
# clients.
CODES = {
    "GatewayError": "INTERNAL_ERROR",
    "CallerError": "BAD_USER_INPUT",
    "BadRequest": "BAD_REQUEST",
    "PersistedQueryNotSupported": "PERSISTED_QUERY_NOT_SUPPORTED",
    "PersistedQueryNotFound": "PERSISTED_QUERY_NOT_FOUND",
    "HashMismatch": "PERSISTED_QUERY_HASH_MISMATCH",
    "DocumentIdRequired": "PERSISTED_QUERY_ID_REQUIRED",
    "DocumentAndId": "CANNOT_SEND_PQ_ID_AND_BODY",
    "UnknownDocumentId": "PERSISTED_QUERY_NOT_IN_LIST",
    "DocumentNotTrusted": "QUERY_NOT_IN_SAFELIST",
    "OriginNotAllowed": "FOREIGN_ORIGIN",
    "ParseFailed": "GRAPHQL_PARSE_FAILED",
    "ValidationFailed": "GRAPHQL_VALIDATION_FAILED",
    "BadUserInput": "BAD_USER_INPUT",
    "InvalidFilter": "INVALID_FILTER",
    "InvalidCursor": "INVALID_CURSOR",
    "LimitExceeded": "LIMIT_EXCEEDED",
    "IntrospectionDisabled": "INTROSPECTION_DISABLED",
    "AccessError": "INTERNAL_ERROR",
    "Unauthenticated": "UNAUTHENTICATED",
    "Forbidden": "FORBIDDEN",
    "RateLimited": "RATE_LIMITED",
    "AccessUnavailable": "ACCESS_UNAVAILABLE",
    "BudgetExceeded": "BUDGET_EXCEEDED",
    "DryRun": "DRY_RUN",
    "StoreUnavailable": "STORE_UNAVAILABLE",
    "SubscriberLagged": "FELL_BEHIND",
    "CallNotFound": "NOT_FOUND",
    "TooManySubscribers": "TOO_MANY_SUBSCRIBERS",
    "UpstreamError": "UPSTREAM_UNAVAILABLE",
    "UpstreamUnavailable": "UPSTREAM_UNAVAILABLE",
    "RequestNotSent": "UPSTREAM_UNAVAILABLE",
    "CircuitOpen": "UPSTREAM_UNAVAILABLE",
    "OutcomeUnknown": "OUTCOME_UNKNOWN",
    "UpstreamTimeout": "UPSTREAM_TIMEOUT",
    "UpstreamRateLimited": "UPSTREAM_RATE_LIMITED",
    "UpstreamAuth": "UPSTREAM_AUTH",
    "UpstreamRejected": "UPSTREAM_REJECTED",
    "UpstreamNotFound": "UPSTREAM_NOT_FOUND",
    "UpstreamInvalid": "UPSTREAM_INVALID",
}


def tree(error: type[GatewayError], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Each class below with its depth, in the order of definition."""
    yield depth, error.__name__
    for below in error.__subclasses__():
        yield from tree(below, depth + 1)


def drawn() -> Iterator[tuple[int, str]]:
    """The tree of the module's docstring."""
    for line in (errors.__doc__ or "").splitlines():
        words = line.strip("│├└─ ").split()
        if line.startswith("    ") and words:
            yield (len(line) - len(line.lstrip("│├└─ "))) // 4 - 1, words[0]


def test_the_drawing_is_the_tree() -> None:
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith(("__main__", "build_hook")):
            importlib.import_module(module.name)  # an error class may hide anywhere

    assert list(drawn()) == list(tree(GatewayError))


def test_each_class_has_its_code_and_is_public() -> None:
    classes = {name: getattr(errors, name) for _, name in tree(GatewayError)}

    assert {name: error.code for name, error in classes.items()} == CODES
    assert set(errors.__all__) == {*classes, "error_codes", "errors_table"}


def test_each_class_says_what_it_means() -> None:
    assert all(getattr(errors, name).__doc__ for name in errors.__all__)


@pytest.mark.parametrize("name", CODES)
def test_an_error_carries_its_code_to_the_client(name: str) -> None:
    facts = {"limit": "depth", "allowed": 12} if name == "LimitExceeded" else {}
    error = getattr(errors, name)("words", **facts)

    assert str(error) == "words"
    assert error.extensions == {"code": CODES[name], **facts}


def test_an_upstream_error_carries_twilios_numbers_where_there_are_any() -> None:
    error = UpstreamError("words", status=500, twilio_code=20500, more_info="m", request_id="RQ",
                          retry_after=2.5)  # fmt: skip
    partly = UpstreamError("words", status=500)

    assert error.extensions == {
        "code": "UPSTREAM_UNAVAILABLE",
        "httpStatus": 500,
        "twilioCode": 20500,
        "moreInfo": "m",
        "requestId": "RQ",
        "retryAfter": 2.5,
    }
    assert partly.extensions == {"code": "UPSTREAM_UNAVAILABLE", "httpStatus": 500}


def test_whose_fault_comes_first() -> None:
    """What the caller must correct is never an upstream error, and the other way round."""
    assert not issubclass(CallerError, UpstreamError)
    assert not issubclass(UpstreamError, CallerError)
    assert issubclass(RequestNotSent, errors.UpstreamUnavailable)


def test_the_errors_page_holds_the_closed_list() -> None:
    """`python -c "from gateway.errors import errors_table; print(errors_table(), end='')"`."""
    page = Path(__file__).parent.parent / "docs" / "errors.md"

    assert page.read_text().endswith(errors_table())
    assert set(error_codes()) == set(CODES.values())
