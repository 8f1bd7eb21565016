"""Log lines that nobody can forge: a record begins one line, and no text in it can begin another.

This module must not know what is logged.
"""

import logging
import re
import sys

from gateway.settings import LogLevel

__all__ = ["EscapingFormatter", "configure_logging"]

# Whatever a terminal or a log reader takes for a new line, or for an order.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTINUED = "    | "


class EscapingFormatter(logging.Formatter):
    """Control characters are written as escapes; a traceback's lines are set in."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The record's own line."""
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        """The traceback, below its record."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(CONTINUED + _escaped(line) for line in lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """A stack that was asked for."""
        return "\n".join(CONTINUED + _escaped(line) for line in stack_info.split("\n"))


def _escaped(text: str) -> str:
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure_logging(level: LogLevel) -> None:
    """Log lines go to standard error: what is printed on standard output stays clean."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EscapingFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_has_no_url)


def _has_no_url(record: logging.LogRecord) -> bool:
    """uvicorn logs each WebSocket's address as if it were an error, with the query string."""
    return '"WebSocket %s"' not in str(record.msg)
