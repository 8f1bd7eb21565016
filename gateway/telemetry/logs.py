"""Log lines that nobody can forge: each record begins one line, and its text cannot begin another.

A record may have fields (`extra={"fields": {…}}`): `name=value` behind the text, or members of the
JSON object. This module must not know what is logged.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.settings import LogFormat, LogLevel

__all__ = ["EscapingFormatter", "JsonFormatter", "configure_logging"]

# Characters that a terminal or a log reader may take for a new line or a command.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTINUATION = "    | "
# The value of a field that needs no quotes.
PLAIN = re.compile(r"[\w.,:/@+…-]+")


class EscapingFormatter(logging.Formatter):
    """Writes control characters as escapes and indents the lines of a traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The record's own line."""
        line = super().formatMessage(record)
        fields = "".join(f" {name}={_text(value)}" for name, value in _fields(record).items())
        return _escaped(line + fields)

    def formatException(self, ei: object) -> str:  # noqa: N802
        """The traceback, below its record."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(CONTINUATION + _escaped(line) for line in lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The stack, if one was requested."""
        return "\n".join(CONTINUATION + _escaped(line) for line in stack_info.split("\n"))


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: `time` (UTC), `level`, `logger`, `message`, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. A traceback stands in `exception`, a stack in `stack`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _fields(record)
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            line["stack"] = record.stack_info
        return CONTROL_CHARACTERS.sub(_json_escape, msgspec.json.encode(line).decode())


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _text(value: object) -> str:
    """A value as it stands behind `name=`: quoted where it could be taken for something else."""
    if isinstance(value, int | float):
        return str(value)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if PLAIN.fullmatch(text) else msgspec.json.encode(text).decode()


def _escaped(text: str) -> str:
    return CONTROL_CHARACTERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def configure_logging(level: LogLevel, format_: LogFormat = LogFormat.TEXT) -> None:
    """Sends log lines to standard error: standard output stays clean."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ is LogFormat.JSON else EscapingFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_has_no_url)


def _has_no_url(record: logging.LogRecord) -> bool:
    """False for uvicorn's line about a WebSocket: it logs the URL with its query as an error."""
    return '"WebSocket %s"' not in str(record.msg)
