"""What happens in a call centre: each scene is one contact with its legs, recordings and logs.

A scene takes the builder and the second it begins and returns rows, parents before children. It is
written as if nothing were cut short; the builder turns whatever is not over by ``now`` into a live
call. Knows neither SQL nor HTTP.
"""

from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.sandbox import parties
from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row

Fixture = Callable[["FixtureBuilder", int], list[Row]]

PRICE_DELAY = 2 * 3600
"""Seconds after its end in which a call has no price yet."""
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
    """Makes rows with SIDs from a seeded generator, as they look at ``now``."""

    def __init__(self, rng: Random, now: int) -> None:
        self.rng = rng
        self.now = now

    def sid(self, prefix: str) -> str:
        """A SID that no other draw of this generator repeats."""
        return f"{prefix}{self.rng.getrandbits(128):032x}"

    def leg(
        self, at: int, to: str, from_: str, direction: str, *, ring: int, talk: int, **more: Any
    ) -> CallRow:
        """A leg created at a second, that rings and then talks for so many seconds.

        ``outcome`` names how a leg without talk ends; the rest are the call's own fields.
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
        answered = start + ring
        if answered > self.now:
            status, begun = ("queued", None) if start > self.now else ("ringing", start)
            return CallRow(**common, date_updated=at, status=status, start_time=begun)
        if outcome in _OUTCOMES_WITHOUT_TALK:
            return CallRow(**common, **self._unanswered(outcome, start, answered))
        return CallRow(**common, **self._answered(start, answered + talk, more))

    def _answered(self, start: int, end: int, call: dict[str, Any]) -> dict[str, Any]:
        if end > self.now:
            return {"status": "in-progress", "start_time": start, "date_updated": start}
        known = end <= self.now - PRICE_DELAY and self.rng.random() > 0.005
        return {
            "status": "completed",
            "start_time": start,
            "end_time": end,
            "date_updated": end,
            "duration": end - start,
            "price": self.price(end - start, 0.014 if call.get("parent_call_sid") else 0.0085)
            if known
            else None,
        }

    def _unanswered(self, outcome: str, start: int, end: int) -> dict[str, Any]:
        """The service shows these in more than one way (FACTS section 1): so does the example."""
        if outcome == "canceled" and self.rng.random() < 0.6:
            return {"status": outcome, "date_updated": end}
        shown: dict[str, Any] = {"status": outcome, "start_time": start, "date_updated": end}
        if self.rng.random() < 0.5:
            return {**shown, "end_time": end, "duration": 0}
        return {**shown, "end_time": end}

    def price(self, seconds: int, per_minute: float) -> str:
        """What so many seconds cost, by the begun minute."""
        return f"{-per_minute * max(1, -(-seconds // 60)):.5f}"

    def ended(self, call: CallRow) -> int:
        """When a call ended or, for a live one, now."""
        return call.end_time or self.now

    def recording(
        self, call: CallRow, source: str, at: int, length: int, **more: Any
    ) -> RecordingRow:
        """A recording on a leg; in progress or processing when it is not long over."""
        common: dict[str, Any] = {
            "sid": self.sid("RE"),
            "call_sid": call.sid,
            "date_created": at,
            "start_time": at,
            "source": source,
            **more,
        }
        if at + length > self.now:
            status = "in-progress" if self.rng.random() < 0.85 else "paused"
            return RecordingRow(**common, date_updated=at, status=status)
        done: dict[str, Any] = {"date_updated": at + length, "duration": length}
        if at + length > self.now - 20:
            return RecordingRow(**common, **done, status="processing")
        if length < 2:
            return RecordingRow(**common, **done, status="absent", error_code=13617)
        price = self.price(length, 0.0025)
        kept = "deleted" if self.rng.random() < 0.01 else "completed"
        return RecordingRow(**common, **done, status=kept, price=price, price_unit="USD")

    def notification(
        self, code: str, at: int, call: CallRow | None, url: str = f"{_WEBHOOK}/voice"
    ) -> NotificationRow:
        """A log entry at a second, stored then or a second later."""
        log, message = _MESSAGES[code]
        level = "ERROR" if log == "0" else "WARN"
        text = urlencode({"LogLevel": level, "ErrorCode": code, "Msg": message, "url": url})
        stored = at + self.rng.choice((0, 1))
        about = call and {
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
            request_variables=urlencode(about or {}),
            response_headers="Content-Type=text%2Fhtml&Server=example",
            response_body="" if code == "11205" else "<h1>Service Unavailable</h1>",
        )


def _inbound(builder: FixtureBuilder, at: int, seconds: int, **more: Any) -> CallRow:
    """The customer's leg: answered at once by the call centre's TwiML."""
    rng = builder.rng
    line = rng.choice(tuple(parties.LINES))
    return builder.leg(
        at,
        line,
        parties.customer(rng),
        "inbound",
        ring=0,
        talk=seconds,
        **{
            "phone_number_sid": parties.LINES[line],
            "caller_name": parties.caller_name(rng),
            "forwarded_from": parties.customer(rng) if rng.random() < 0.06 else None,
            "group_sid": parties.GROUP_SID if rng.random() < 0.02 else None,
            **more,
        },
    )


def _dialled(
    builder: FixtureBuilder, parent: CallRow, at: int, ring: int, talk: int, **more: Any
) -> CallRow:
    """A leg to an agent, made by the parent's ``<Dial>``."""
    to = more.pop("to", None) or builder.rng.choice(parties.AGENTS)
    return builder.leg(
        at,
        to,
        parent.from_,
        "outbound-dial",
        ring=ring,
        talk=talk,
        parent_call_sid=parent.sid,
        phone_number_sid=builder.rng.choice(("", None)),
        **more,
    )


def _played(
    builder: FixtureBuilder, parent: CallRow, children: list[CallRow], *rest: Row
) -> list[Row]:
    """What has happened by now: legs and rows that still lie in the future are left out."""
    return [row for row in (parent, *children, *rest) if row.date_created <= builder.now]


def answered(builder: FixtureBuilder, at: int) -> list[Row]:
    """A customer waits, then talks to an agent; half of these are recorded on the parent leg."""
    rng = builder.rng
    wait, ring = rng.randint(4, 90), rng.randint(3, 15)
    talk = int(rng.lognormvariate(5.2, 0.7))
    parent = _inbound(builder, at, wait + ring + talk + 2)
    child = _dialled(builder, parent, at + wait, ring, talk)
    rows = _played(builder, parent, [child])
    if rng.random() < 0.5 and at + wait + ring <= builder.now:
        length = min(talk, builder.ended(parent) - at) if parent.end_time else talk
        source = "DialVerb" if rng.random() < 0.9 else "StartCallRecordingAPI"
        rows.append(builder.recording(parent, source, at + wait + ring + 1, length, channels=2))
    return rows


def hunted(builder: FixtureBuilder, at: int) -> list[Row]:
    """The first agents do not pick up or are busy; the next one does."""
    rng = builder.rng
    begun, children = at + rng.randint(3, 25), list[tuple[int, str]]()
    for outcome in rng.choices(("no-answer", "busy", "canceled"), k=rng.choice((1, 1, 2))):
        children.append((begun, outcome))
        begun += 20 if outcome == "no-answer" else 3
    talk = int(rng.lognormvariate(5.0, 0.6))
    parent = _inbound(builder, at, begun - at + 6 + talk)
    missed = [
        _dialled(builder, parent, when, 18 if outcome == "no-answer" else 2, 0, outcome=outcome)
        for when, outcome in children
    ]
    return _played(builder, parent, [*missed, _dialled(builder, parent, begun, 5, talk)])


def transferred(builder: FixtureBuilder, at: int) -> list[Row]:
    """An agent hands the customer to another, sometimes on to the supervisor; all recorded."""
    rng = builder.rng
    talks = [rng.randint(30, 240) for _ in range(rng.choice((2, 2, 3)))]
    parent = _inbound(builder, at, 12 + sum(talks) + 8 * len(talks))
    children, rows, begun = list[CallRow](), list[Row](), at + 10
    for number, talk in enumerate(talks):
        to = parties.SUPERVISOR if number == 2 else None
        children.append(_dialled(builder, parent, begun, 6, talk, to=to))
        if begun + 7 <= builder.now:
            rows.append(builder.recording(parent, "DialVerb", begun + 7, talk - 1, channels=2))
        begun += 6 + talk + 2
    return _played(builder, parent, children, *rows)


def voicemail(builder: FixtureBuilder, at: int) -> list[Row]:
    """Nobody is there: the customer leaves a message."""
    rng = builder.rng
    length = rng.choice((0, rng.randint(4, 30), rng.randint(15, 110)))
    rang = rng.random() < 0.4
    greeting = 34 if rang else 12
    parent = _inbound(builder, at, greeting + length + 2)
    children = [_dialled(builder, parent, at + 2, 20, 0, outcome="no-answer")] if rang else []
    rows = _played(builder, parent, children)
    if at + greeting <= builder.now:
        rows.append(builder.recording(parent, "RecordVerb", at + greeting, length))
    return rows


def abandoned(builder: FixtureBuilder, at: int) -> list[Row]:
    """The customer hangs up in the queue."""
    return _played(builder, _inbound(builder, at, builder.rng.randint(2, 150)), [])


def broken(builder: FixtureBuilder, at: int) -> list[Row]:
    """The call centre's own application fails, and Twilio says so."""
    code = builder.rng.choice(("11200", "11200", "11205", "12100", "12300"))
    parent = _inbound(builder, at, builder.rng.randint(1, 8))
    return _played(builder, parent, [], builder.notification(code, at + 1, parent))


def undialable(builder: FixtureBuilder, at: int) -> list[Row]:
    """The number that the TwiML dials does not exist or may not be called."""
    parent = _inbound(builder, at, 15)
    wrong = _dialled(builder, parent, at + 3, 1, 0, outcome="failed", to="+15005550001")
    code = builder.rng.choice(("13224", "13227"))
    return _played(builder, parent, [wrong], builder.notification(code, at + 4, parent))


def campaign(
    builder: FixtureBuilder, at: int, outcome: str | None = None, queue_time: int | None = None
) -> list[Row]:
    """One call of an outbound campaign, with answering machine detection."""
    rng = builder.rng
    if queue_time is None:
        queue_time = rng.choice((0, 0, 0, 1000, 2000, 7000))
    outcome = (
        outcome
        or rng.choices(("completed", "no-answer", "busy", "failed", "canceled"), (60, 18, 9, 7, 6))[
            0
        ]
    )
    to = "+15005550002" if outcome == "failed" and rng.random() < 0.3 else parties.customer(rng)
    heard = rng.choice(
        (
            "human",
            "human",
            "human",
            "machine_start",
            "machine_end_beep",
            "unknown",
            "fax",
            "machine",
        )
    )
    ring = 60 if outcome == "no-answer" else rng.randint(2, 25)
    call = builder.leg(
        at,
        to,
        parties.CAMPAIGN_LINE,
        "outbound-api",
        ring=ring,
        talk=rng.randint(6, 90),
        outcome=outcome,
        phone_number_sid=parties.LINES[parties.CAMPAIGN_LINE],
        queue_time=queue_time,
    )
    if call.status == "completed":
        call = msgspec.structs.replace(call, answered_by=heard)
    rows = _played(builder, call, [])
    if call.end_time and rng.random() < 0.05:
        rows += _played(builder, call, [], builder.notification("15003", call.end_time + 2, call))[
            1:
        ]
    return rows


def browser(builder: FixtureBuilder, at: int) -> list[Row]:
    """An agent calls a customer from the browser: the client's leg is the inbound one."""
    rng = builder.rng
    outcome = rng.choice(("completed", "completed", "completed", "busy", "no-answer"))
    ring, talk = rng.randint(5, 20), rng.randint(20, 400) if outcome == "completed" else 1
    agent = rng.choice(parties.AGENTS[:4])
    parent = builder.leg(at, parties.customer(rng), agent, "inbound", ring=0, talk=ring + talk + 3)
    child = builder.leg(
        at + 1,
        parent.to,
        parties.MAIN_LINE,
        "outbound-dial",
        ring=ring,
        talk=talk,
        parent_call_sid=parent.sid,
        phone_number_sid=parties.LINES[parties.MAIN_LINE],
        outcome=outcome,
    )
    return _played(builder, parent, [child])


def trunked(builder: FixtureBuilder, at: int) -> list[Row]:
    """A call over the office's own trunk, recorded there."""
    rng = builder.rng
    ways = [
        ("trunking-originating", parties.MAIN_LINE, parties.customer(rng)),
        ("trunking-terminating", parties.customer(rng), "sip:desk-07@pbx.example.com"),
    ]
    direction, to, from_ = rng.choice(ways)
    call = builder.leg(
        at, to, from_, direction, ring=4, talk=rng.randint(30, 600), trunk_sid=parties.TRUNK_SID
    )
    rows = _played(builder, call, [])
    if call.status in ("in-progress", "completed"):
        length = (call.duration or 600) - 5
        rows.append(builder.recording(call, "Trunking", at + 5, length))
    return [row for row in rows if row.date_created <= builder.now]


def orphaned(builder: FixtureBuilder, at: int) -> list[Row]:
    """What remains of a call that was deleted: its dialled leg and its recording."""
    gone = _inbound(builder, at, 90)
    child = _dialled(builder, gone, at + 8, 5, 70)
    return _played(builder, gone, [child], builder.recording(gone, "DialVerb", at + 14, 68))[1:]


def misused(builder: FixtureBuilder, at: int) -> list[Row]:
    """A mistake in a use of the REST API: a log entry with no call; and one more lost customer."""
    code = builder.rng.choice(("20001", "21201"))
    return [*abandoned(builder, at), builder.notification(code, at, None)]


def conference(builder: FixtureBuilder, at: int) -> list[Row]:
    """Two agents and a customer meet in a conference, which is recorded as such."""
    rng = builder.rng
    talk = rng.randint(60, 500)
    parent = _inbound(builder, at, talk + 15)
    room = builder.sid("CF")
    rows = _played(builder, parent, [_dialled(builder, parent, at + 5, 6, talk)])
    if at + 12 <= builder.now:
        rows.append(builder.recording(parent, "Conference", at + 12, talk, conference_sid=room))
    return rows
