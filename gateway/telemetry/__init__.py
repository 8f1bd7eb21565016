"""Telemetry: the trace of an operation, a record of each upstream request, log lines."""
