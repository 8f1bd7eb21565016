"""What telemetry costs: CPU time of two operations with everything on, beside none of it.

    python -m tests.bench.telemetry [--rounds 12]

W1 is one call, W2 a page of 50, each with every property. The ways take turns in one run, in
process: no hooks at all; the log lines that are always written; all of lines, metrics and traces,
of which a hundredth is sampled; and the same with every operation sampled. The log and the spans go
nowhere. The last column is the ratio to no hooks.
"""

import argparse
import asyncio
import logging
import statistics
import time
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from prometheus_client import CollectorRegistry

from gateway.access import ANONYMOUS
from gateway.server import Gateway, open_gateway
from gateway.server.results import record_response, response_map
from gateway.settings import Secret
from gateway.telemetry.hooks import OperationOutcome, Telemetry
from gateway.telemetry.log_lines import LogLines
from gateway.telemetry.logs import EscapingFormatter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import Tracing
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.settings import settings_of

ALL = """sid parentCallSid dateCreated dateUpdated accountSid to from phoneNumberSid status
    startTime endTime duration price priceUnit direction answeredBy forwardedFrom callerName uri"""
OPERATIONS = {
    "W1": f'{{ call(sid: "{sid("CA", 1)}") {{ {ALL} }} }}',
    "W2": f"{{ calls(first: 50) {{ nodes {{ {ALL} }} }} }}",
}
OPERATIONS_A_ROUND = 300


class Nowhere(logging.Handler):
    """Formats each line, as the program does, and drops it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


class NoExport(SpanExporter):
    """Takes spans and drops them."""

    def export(self, spans: Any) -> SpanExportResult:
        """See SpanExporter."""
        return SpanExportResult.SUCCESS


def tracing(share: float) -> Tracing:
    """Traces of this share of the operations."""
    provider = TracerProvider(sampler=TraceIdRatioBased(share), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(NoExport()))
    return Tracing(provider, "1", "api.twilio.com")


def ways() -> dict[str, Telemetry]:
    """The telemetry of each way."""
    return {
        "none": Telemetry(),
        "lines": Telemetry(LogLines()),
        "all, 1 % sampled": Telemetry(tracing(0.01), LogLines(), Metrics(CollectorRegistry(), "1")),
        "all, 100 % sampled": Telemetry(tracing(1), LogLines(), Metrics(CollectorRegistry(), "1")),
    }


async def run(gateway: Gateway, query: str) -> None:
    """One operation, told as the HTTP route tells it."""
    clock = asyncio.get_running_loop().time
    outcome = OperationOutcome("http", clock(), caller=ANONYMOUS.public_name)
    operation = gateway.prepare(query)
    outcome.type = operation.type.value
    result = await gateway.execute(operation, caller=ANONYMOUS, outcome=outcome)
    response = response_map(result)
    if gateway.telemetry.wants_operations:
        record_response(outcome, response)
        outcome.status, outcome.seconds = 200, clock() - outcome.began
        gateway.telemetry.on_operation(outcome)


async def main(rounds: int) -> None:
    """Prints a line for each way and operation."""
    log, handler = logging.getLogger("gateway"), Nowhere()
    handler.setFormatter(EscapingFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    twilio = PlainTwilio(calls=[call(n, status="in-progress") for n in range(1, 51)])
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for way, telemetry in ways().items():
            async with open_gateway(settings, twilio, telemetry=telemetry) as gateway:
                for name, query in OPERATIONS.items():
                    count = OPERATIONS_A_ROUND if name == "W1" else OPERATIONS_A_ROUND // 4
                    await run(gateway, query)
                    began = time.process_time()
                    for _ in range(count):
                        await run(gateway, query)
                    spent = (time.process_time() - began) / count
                    seconds.setdefault((name, way), []).append(spent)
    print(f"{'':4} {'telemetry':20} {'ms':>8} {'ratio':>7}")
    for (name, way), times in sorted(seconds.items(), key=lambda item: item[0][0]):
        ratios = [one / none for one, none in zip(times, seconds[name, "none"], strict=True)]
        milliseconds = statistics.median(times) * 1000
        print(f"{name:4} {way:20} {milliseconds:8.3f} {statistics.median(ratios):7.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12)
    asyncio.run(main(parser.parse_args().rounds))
