"""Builds the rows of example contacts: legs, recordings and log entries, as they are at a moment.

This module must not know which contacts there are.
"""

from random import Random
from typing import Any
from urllib.parse import urlencode

from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow

__all__ = ["FixtureBuilder"]

_SOON, _LATE = 240, 1500
"""Seconds that a conversation takes at most: on the first page, and in the history."""
_OUTCOMES_WITHOUT_TALK = ("busy", "no-answer", "failed", "canceled")
_WEBHOOK = "https://ivr.callcentre.example.com"
_MESSAGES = {
    "11200": ("0", "HTTP retrieval failure"),
    "11205": ("0", "HTTP connection failure"),
    "12100": ("0", "Document parse failure"),
    "12300": ("1", "Invalid Content-Type"),
    "13224": ("0", "Dial: Twilio does not support calling this number or the number is invalid"),
    "13227": ("0", "Geo Permission configuration is not permitting call"),
    "15003": ("1", "Got HTTP 503 response to status callback"),
    "20001": ("1", "Unknown parameters were ignored"),
    "21201": ("0", "No 'To' number is specified"),
}


class FixtureBuilder:
    """Builds rows as they are at ``now``, with SIDs from a seeded generator.

    Calls that are shown, on the first page, are short, and all that are not live have an end.
    """

    def __init__(self, rng: Random, now: int, *, is_shown: bool = False) -> None:
        self.rng = rng
        self.now = now
        self.is_shown = is_shown

    def talk(self, mu: float, sigma: float) -> int:
        """Seconds of a conversation, log-normally distributed."""
        longest = _SOON if self.is_shown else _LATE
        return min(int(self.rng.lognormvariate(mu, sigma)), longest)

    def sid(self, prefix: str) -> str:
        """A new SID with this prefix."""
        return f"{prefix}{self.rng.getrandbits(128):032x}"

    def leg(
        self, at: int, to: str, from_: str, direction: str, *, ring: int, talk: int, **more: Any
    ) -> CallRow:
        """A leg created at ``at`` that rings for ``ring`` seconds and talks for ``talk`` seconds.

        ``outcome`` is the final status of a leg that is not answered; ``more`` has further fields.
        A leg that talks beyond ``now`` is in progress.
        """
        outcome = more.pop("outcome", "completed")
        common: dict[str, Any] = {
            "sid": self.sid("CA"),
            "date_created": at,
            "to": to,
            "from_": from_,
            "direction": direction,
            **more,
        }
        start = at + self.rng.choice((0, 1)) + more.get("queue_time", 0) // 1000
        if outcome in _OUTCOMES_WITHOUT_TALK:
            return CallRow(**common, **self._unanswered(outcome, start, start + ring))
        return CallRow(**common, **self._answered(start, start + ring + talk, more))

    def _answered(self, start: int, end: int, call: dict[str, Any]) -> dict[str, Any]:
        if end > self.now:
            return {"status": "in-progress", "start_time": start, "date_updated": start}
        has_price = self.is_shown or self.rng.random() > 0.005
        return {
            "status": "completed",
            "start_time": start,
            "end_time": end,
            "date_updated": end,
            "duration": end - start,
            "price": self.price(end - start, 0.014 if call.get("parent_call_sid") else 0.0085)
            if has_price
            else None,
        }

    def _unanswered(self, outcome: str, start: int, end: int) -> dict[str, Any]:
        """The service shows these in several ways; so do the examples.

        See docs/twilio.md#1-surprising-facts.
        """
        if outcome == "canceled" and not self.is_shown and self.rng.random() < 0.6:
            return {"status": outcome, "date_updated": end}
        fields: dict[str, Any] = {"status": outcome, "start_time": start, "date_updated": end}
        if self.rng.random() < 0.5:
            return {**fields, "end_time": end, "duration": 0}
        return {**fields, "end_time": end}

    def price(self, seconds: int, per_minute: float) -> str:
        """The price of so many seconds, by the started minute."""
        return f"{-per_minute * max(1, -(-seconds // 60)):.5f}"

    def ended(self, call: CallRow) -> int:
        """The end of a call; for a live one, now."""
        return call.end_time or self.now

    def recording(
        self, call: CallRow, source: str, at: int, length: int, **more: Any
    ) -> RecordingRow:
        """A recording of a leg, in progress until its end."""
        common: dict[str, Any] = {
            "sid": self.sid("RE"),
            "call_sid": call.sid,
            "date_created": at,
            "start_time": at,
            "source": source,
            **more,
        }
        if at + length > self.now:
            return RecordingRow(**common, date_updated=at, status="in-progress")
        ended: dict[str, Any] = {"date_updated": at + length, "duration": length}
        if length < 2:
            return RecordingRow(**common, **ended, status="absent", error_code=13617)
        price = self.price(length, 0.0025)
        status = "deleted" if self.rng.random() < 0.01 else "completed"
        return RecordingRow(**common, **ended, status=status, price=price, price_unit="USD")

    def notification(
        self, code: str, at: int, call: CallRow | None, url: str = f"{_WEBHOOK}/voice"
    ) -> NotificationRow:
        """A log entry about a second, stored then or a second later."""
        log, message = _MESSAGES[code]
        level = "ERROR" if log == "0" else "WARN"
        text = urlencode({"LogLevel": level, "ErrorCode": code, "Msg": message, "url": url})
        stored = at + self.rng.choice((0, 1))
        variables = call and {
            "CallSid": call.sid,
            "CallStatus": call.status,
            "Direction": call.direction,
        }
        return NotificationRow(
            sid=self.sid("NO"),
            date_created=stored,
            date_updated=stored,
            message_date=at,
            call_sid=call.sid if call else None,
            api_version="2010-04-01" if call else None,
            error_code=code,
            log=log,
            message_text=text,
            more_info=f"https://www.twilio.com/docs/errors/{code}",
            request_method=self.rng.choice(("POST", "POST", "GET")) if call else None,
            request_url=url if call else "",
            request_variables=urlencode(variables or {}),
            response_headers="Content-Type=text%2Fhtml&Server=example",
            response_body="" if code == "11205" else "<h1>Service Unavailable</h1>",
        )
