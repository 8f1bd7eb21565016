"""What `gateway tail` does: it prints the events of a running gateway's calls as they come.

This module must not know how a running gateway is asked.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.cli.running_gateway import Disconnected, RequestRefused, RunningGateway
from gateway.cli.table import printable
from gateway.settings import SettingsError

__all__ = ["run"]

WATCH = """subscription Tail($filter: CallEventFilter) {
  callsUpdated(filter: $filter) {
    receivedAt previousStatus source
    call { sid status direction duration from to }
  }
}"""
LIVE = {"QUEUED", "RINGING", "IN_PROGRESS"}
FIRST_DELAY = 0.5
LAST_DELAY = 30.0
"""Seconds before an attempt to connect again, at most; each is twice the one before."""

Event = dict[str, Any]


def run(options: argparse.Namespace) -> int:
    """Prints events until Ctrl-C; the exit code. Raises SettingsError."""
    line_of = _as_json if options.format == "json" else _as_text
    try:
        with RunningGateway(options.url, options.token) as gateway:
            for event in _events(gateway, _filter(options)):
                print(line_of(event), flush=True)
    except RequestRefused as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has enough; Python flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _filter(options: argparse.Namespace) -> dict[str, Any]:
    statuses = [status.upper().replace("-", "_") for status in options.status or ()]
    given = {"to": options.to, "from": options.from_, "status": statuses}
    return {name: value for name, value in given.items() if value}


def _events(gateway: RunningGateway, wanted: dict[str, Any]) -> Iterator[Event]:
    """The events, over as many connections as it takes; standard error tells of gaps.

    Each connection begins with the live calls. What was already told of them is left out.
    """
    told: dict[str, str] = {}
    delay, was_connected = FIRST_DELAY, False
    while True:
        try:
            for result in gateway.events(WATCH, {"filter": wanted}):
                if result is None:
                    _say(f"connected to {gateway.url}{' again' if was_connected else ''}")
                    delay, was_connected = FIRST_DELAY, True
                elif _is_news(event := _event(result), told):
                    yield event
        except Disconnected as error:
            if not was_connected:
                raise SettingsError(f"--url: no answer from {gateway.url}: {error}") from None
            _say(f"{error}; connects again in {delay:g} s and misses calls that end before")
            time.sleep(delay)
            delay = min(2 * delay, LAST_DELAY)


def _event(result: dict[str, Any]) -> Event:
    """One event as a flat object; standard error has its errors. Raises RequestRefused."""
    messages = "; ".join(str(error["message"]) for error in result.get("errors") or ())
    found = (result.get("data") or {}).get("callsUpdated")
    if found is None:
        raise RequestRefused(messages or "the gateway sent no event")
    if messages:
        _say(messages)
    call = found.pop("call")
    return {**found, **call}


def _is_news(event: Event, told: dict[str, str]) -> bool:
    """False for a current state that was told before the connection broke."""
    sid, status = event["sid"], event["status"]
    is_repeat = event["source"] == "CURRENT" and told.get(sid) == status
    if status in LIVE:
        told[sid] = status
    else:
        told.pop(sid, None)
    return not is_repeat


def _as_json(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _as_text(event: Event) -> str:
    before, duration = event["previousStatus"], event["duration"]
    columns = (
        event["receivedAt"][:19] + "Z",  # whole seconds
        f"{event['status']:<11}",
        f"{before or '-':<11}",
        event["sid"],
        f"{event['direction']:<13}",
        f"{'-' if duration is None else f'{duration} s':>6}",
        f"{event['from'] or '-'} → {event['to'] or '-'}",
    )
    return printable("  ".join(map(str, columns)))


def _say(text: str) -> None:
    print(f"tail: {text}", file=sys.stderr, flush=True)
