"""Log lines that nobody can forge: each record begins one line, and its text cannot begin another.

This module must not know what is logged.
"""

import logging
import re
import sys

from gateway.settings import LogLevel

__all__ = ["EscapingFormatter", "configure_logging"]

# Characters that a terminal or a log reader may take for a new line or a command.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTINUATION = "    | "


class EscapingFormatter(logging.Formatter):
    """Writes control characters as escapes and indents the lines of a traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The record's own line."""
        return _escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        """The traceback, below its record."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(CONTINUATION + _escaped(line) for line in lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The stack, if one was requested."""
        return "\n".join(CONTINUATION + _escaped(line) for line in stack_info.split("\n"))


def _escaped(text: str) -> str:
    return CONTROL_CHARACTERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure_logging(level: LogLevel) -> None:
    """Sends log lines to standard error: standard output stays clean."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EscapingFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_has_no_url)


def _has_no_url(record: logging.LogRecord) -> bool:
    """False for uvicorn's line about a WebSocket: it logs the URL with its query as an error."""
    return '"WebSocket %s"' not in str(record.msg)
