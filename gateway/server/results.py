"""Turns execution results into response maps: rejections, explanations, credential expiry.

A subscription's results end when the caller's credential expires. This module must not know how an
operation is executed, the kind of credential, nor HTTP.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from graphql import ExecutionResult, GraphQLError

from gateway.errors import DryRun, GatewayError, UpstreamTimeout
from gateway.telemetry.hooks import OperationOutcome, Outcome
from gateway.telemetry.upstream_trace import Explain, UpstreamTrace

__all__ = [
    "CredentialExpired",
    "SharedResult",
    "before_expiry",
    "encoded",
    "record_response",
    "rejected",
    "response_map",
    "timed_out",
    "was_executed",
    "with_explanation",
]

T = TypeVar("T")


class CredentialExpired(Exception):
    """The subscriber's credential has expired, which ends the subscription."""


async def before_expiry(moment: float | None, result: Awaitable[T]) -> T:
    """What comes before a time of the loop's clock, at which it raises CredentialExpired.

    None means never.
    """
    if moment is None:
        return await result
    try:
        async with asyncio.timeout_at(moment) as timeout:
            value = await result
    except TimeoutError:
        if timeout.expired():
            raise CredentialExpired from None
        raise
    if asyncio.get_running_loop().time() >= moment:
        raise CredentialExpired
    return value


class SharedResult(ExecutionResult):
    """A result that several subscribers get; encoded once."""

    @cached_property
    def encoded(self) -> bytes:
        """See the function of this name."""
        return msgspec.json.encode(response_map(self))


def encoded(result: ExecutionResult) -> bytes:
    """The response map as JSON."""
    if isinstance(result, SharedResult):
        return result.encoded
    return msgspec.json.encode(response_map(result))


def rejected(error: GatewayError | GraphQLError) -> ExecutionResult:
    """The result of an operation that is rejected before execution."""
    return ExecutionResult(None, [_graphql_error(error)])


def timed_out() -> ExecutionResult:
    """The result of an operation that exceeded its deadline and was cancelled."""
    error = UpstreamTimeout("The response was not ready in time")
    return ExecutionResult(None, [_graphql_error(error)])


def with_explanation(
    result: ExecutionResult, trace: UpstreamTrace, explain: Explain
) -> ExecutionResult:
    """Adds `extensions.warnings`, and `extensions.upstream` if the client requested it.

    The result of a dry run has one error that says so, instead of one for each unread field.
    """
    if not was_executed(result):
        return result
    warnings = trace.warnings()
    if warnings:
        result.extensions = {**(result.extensions or {}), "warnings": warnings}
    if explain is Explain.NOTHING:
        return result
    result.extensions = {**(result.extensions or {}), "upstream": trace.explain(explain)}
    if explain is Explain.PLAN:
        error = DryRun("A dry run: extensions.upstream lists the requests that would be sent")
        result.errors = [_graphql_error(error)]
    return result


def response_map(result: ExecutionResult) -> dict[str, Any]:
    """GraphQL's response format: no `data` for a request error."""
    body: dict[str, Any] = {}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if was_executed(result):
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return body


def record_response(outcome: OperationOutcome, response: Mapping[str, Any]) -> None:
    """Records what came of an operation, by its response map."""
    errors = [error.get("extensions", {}) for error in response.get("errors", ())]
    outcome.codes = tuple(sorted({str(extensions.get("code")) for extensions in errors}))
    outcome.limit = next((error["limit"] for error in errors if "limit" in error), None)
    if response.get("data") is not None:
        outcome.outcome = Outcome.PARTIAL if errors else Outcome.OK
    elif "data" in response or GatewayError.code in outcome.codes:
        outcome.outcome = Outcome.FAILED
    else:
        outcome.outcome = Outcome.REFUSED


def was_executed(result: ExecutionResult) -> bool:
    """False for a request error: no field was resolved."""
    return result.data is not None or any(
        error.path or isinstance(error.original_error, UpstreamTimeout | DryRun)
        for error in result.errors or ()
    )


def _graphql_error(error: GatewayError | GraphQLError) -> GraphQLError:
    if isinstance(error, GraphQLError):
        return error
    return GraphQLError(str(error), original_error=error, extensions=error.extensions)
