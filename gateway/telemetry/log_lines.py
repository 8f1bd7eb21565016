"""The log lines of what the gateway does: one for each operation and each mutation.

They have no document, variable, query string or phone number. This module must not know how a line
is written.
"""

import logging
from typing import Any

from gateway.telemetry.hooks import Hooks, MutationOutcome, OperationOutcome
from gateway.telemetry.records import UpstreamExchange, log_exchange

__all__ = ["LogLines"]

operations = logging.getLogger("gateway.operation")
audit = logging.getLogger("gateway.audit")


class LogLines(Hooks):
    """A summary of each operation, or refused request, and an audit line for each mutation."""

    def on_operation(self, outcome: OperationOutcome) -> None:
        """At level info, logger gateway.operation."""
        if operations.isEnabledFor(logging.INFO):
            operations.info("operation", extra={"fields": _summary(outcome)})

    def on_exchange(self, exchange: UpstreamExchange) -> None:
        """See log_exchange."""
        log_exchange(exchange)

    def on_mutation(self, outcome: MutationOutcome) -> None:
        """At level info, logger gateway.audit."""
        fields = {
            "field": outcome.field,
            "caller": outcome.caller,
            "sid": outcome.sid,
            "result": outcome.result,
        }
        audit.info("mutation", extra={"fields": _present(fields)})


def _summary(outcome: OperationOutcome) -> dict[str, Any]:
    fields = {
        "type": outcome.type,
        "document": outcome.document,
        "outcome": outcome.outcome.value,
        "status": outcome.status,
        "codes": outcome.codes or None,
        "limit": outcome.limit,
        "caller": outcome.caller,
        "transport": outcome.transport,
        "trace": outcome.trace_id,
        "milliseconds": round(outcome.seconds * 1000, 1),
    }
    if outcome.type == "subscription":
        fields["results"] = outcome.results
    elif (trace := outcome.trace) is not None:
        sent = trace.sent()
        fields |= {
            "upstream": len(sent),
            "rows": sum(record.rows or 0 for record in sent),
            "retries": sum(record.retries for record in sent),
        }
    return _present(fields)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
