"""Exports traces, if the standard variables of OpenTelemetry ask for it.

The SDK reads them itself: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
OTEL_TRACES_SAMPLER, OTEL_BSP_… and the others. This module must not know what a span has.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.settings import Settings, SettingsError

if TYPE_CHECKING:  # an extra, and imported only where it is wanted
    from gateway.telemetry.tracing import Tracing

__all__ = ["exporting", "open_tracing"]

NAME = "twilio-calls-gateway"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTERS = ("otlp", "console", "none")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"


def open_tracing(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> "Tracing | None":
    """What makes the spans; None if no variable asks for it.

    Raises SettingsError where the extra is not installed, or for an exporter that is not here.
    """
    exporter = _exporter(environment)
    if exporter == "none":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

        from gateway.telemetry.tracing import Tracing
    except ImportError:
        raise SettingsError(f"OTEL_…: traces need the extra: pip install '{NAME}[otel]'") from None
    own = {"service.version": version(NAME), "service.instance.id": str(uuid.uuid4())}
    if "service.name" not in environment.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        own["service.name"] = environment.get("OTEL_SERVICE_NAME") or NAME
    provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    made = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(made))
    return Tracing(provider, version(NAME), urlsplit(settings.upstream.base_url).hostname or "")


def _exporter(environment: Mapping[str, str]) -> str:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "none"
    is_named = any(environment.get(name) for name in ENDPOINTS)
    exporter = environment.get("OTEL_TRACES_EXPORTER") or ("otlp" if is_named else "none")
    if exporter not in EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: must be one of {', '.join(EXPORTERS)}")
    protocol = next(filter(None, map(environment.get, PROTOCOLS)), PROTOCOL)
    if exporter == "otlp" and protocol != PROTOCOL:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: only {PROTOCOL} is here")
    return exporter


@asynccontextmanager
async def exporting(tracing: "Tracing | None") -> AsyncIterator[None]:
    """Exports the rest of the spans when the block ends, in a thread, since that may wait."""
    try:
        yield
    finally:
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
