"""The closed list of codes that errors of answers carry, as docs/errors.md shows it.

This module must not know where errors come from: the exception tree brings both code and meaning.
"""

from gateway.errors import GatewayError

__all__ = ["error_codes", "errors_table"]


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
