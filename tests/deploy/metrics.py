"""The metrics that the gateway serves, for the tests of the dashboard and of the alerts."""

import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.telemetry.metrics import TABLE, Kind

__all__ = ["METRICS", "problems_of"]

# What prometheus-client adds about the process, and Prometheus about the target.
OF_THE_PROCESS = ("process_cpu_seconds_total", "process_resident_memory_bytes")
OF_THE_TARGET = {"job", "instance", "le"}


def _series() -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
    for metric in TABLE:
        if metric.kind is Kind.HISTOGRAM:
            yield from (
                (f"{metric.name}_{end}", metric.labels) for end in ("bucket", "count", "sum")
            )
        else:
            yield metric.name, metric.labels
    yield from ((name, {}) for name in OF_THE_PROCESS)


# The labels of each time series, with the values that a label may have (none: any).
METRICS = dict(_series())
# Not a part of the name of a recording rule, which has colons.
NAME = r"(?<![\w:])((?:gateway|http|process)_\w+)\b(?!:)"
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def problems_of(expression: str) -> list[str]:
    """The names, labels and label values in an expression of PromQL that no metric has."""
    found = re.findall(NAME + r"(?:\{([^}]*)\})?", expression)
    unknown = [name for name, _ in found if name not in METRICS]
    for name, matchers in found:
        for label, operator, value in MATCHER.findall(matchers):
            unknown += _unknown_values(
                name, label, value.split("|") if operator == "=~" else [value]
            )
    grouped = {label for name, _ in found for label in METRICS.get(name, {})} | OF_THE_TARGET
    by = re.findall(r"\bby \(([^)]*)\)", expression)
    unknown += [label for group in by for label in group.split(", ") if label not in grouped]
    return unknown


def _unknown_values(name: str, label: str, values: list[str]) -> list[str]:
    if label in OF_THE_TARGET:
        return []
    allowed = METRICS.get(name, {}).get(label)
    if allowed is None:
        return [f"{name}{{{label}}}"]
    return [f"{name}{{{label}={value}}}" for value in values if allowed and value not in allowed]
