"""Example contacts of a call centre: each fixture is one, with its legs, recordings and logs.

A fixture takes the builder and the second at which it starts, and returns rows, parents before
children. It describes the whole contact. Knows neither SQL nor HTTP.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.sandbox import parties
from gateway.sandbox.fixture_builder import FixtureBuilder
from gateway.sandbox.resources import CallRow, Row

Fixture = Callable[[FixtureBuilder, int], list[Row]]


def _inbound(builder: FixtureBuilder, at: int, seconds: int, **more: Any) -> CallRow:
    """The customer's leg, which the call centre's TwiML answers at once."""
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
    """A leg to an agent, dialled by the parent's ``<Dial>``."""
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


def answered(builder: FixtureBuilder, at: int) -> list[Row]:
    """A customer waits, then talks to an agent; half of these calls are recorded, on the parent."""
    rng = builder.rng
    wait, ring = rng.randint(4, 90), rng.randint(3, 15)
    talk = builder.talk(5.2, 0.7)
    parent = _inbound(builder, at, wait + ring + talk + 2)
    child = _dialled(builder, parent, at + wait, ring, talk)
    rows: list[Row] = [parent, child]
    if rng.random() < 0.5:
        length = min(talk, builder.ended(parent) - at)
        source = "DialVerb" if rng.random() < 0.9 else "StartCallRecordingAPI"
        rows.append(builder.recording(parent, source, at + wait + ring + 1, length, channels=2))
    return rows


def hunted(builder: FixtureBuilder, at: int) -> list[Row]:
    """The first agents are busy or do not answer; the next one does."""
    rng = builder.rng
    next_at, children = at + rng.randint(3, 25), list[tuple[int, str]]()
    for outcome in rng.choices(("no-answer", "busy", "canceled"), k=rng.choice((1, 1, 2))):
        children.append((next_at, outcome))
        next_at += 20 if outcome == "no-answer" else 3
    talk = builder.talk(5.0, 0.6)
    parent = _inbound(builder, at, next_at - at + 6 + talk)
    missed = [
        _dialled(
            builder, parent, dialled_at, 18 if outcome == "no-answer" else 2, 0, outcome=outcome
        )
        for dialled_at, outcome in children
    ]
    return [parent, *missed, _dialled(builder, parent, next_at, 5, talk)]


def transferred(builder: FixtureBuilder, at: int) -> list[Row]:
    """An agent transfers the customer to another, who may transfer to the supervisor; recorded."""
    rng = builder.rng
    talks = [rng.randint(30, 240) for _ in range(rng.choice((2, 2, 3)))]
    parent = _inbound(builder, at, 12 + sum(talks) + 8 * len(talks))
    children, rows, next_at = list[CallRow](), list[Row](), at + 10
    for number, talk in enumerate(talks):
        to = parties.SUPERVISOR if number == 2 else None
        children.append(_dialled(builder, parent, next_at, 6, talk, to=to))
        rows.append(builder.recording(parent, "DialVerb", next_at + 7, talk - 1, channels=2))
        next_at += 6 + talk + 2
    return [parent, *children, *rows]


def escalated(builder: FixtureBuilder, at: int) -> list[Row]:
    """The agent's own leg dials the supervisor, so that legs are three levels deep; recorded."""
    talk = builder.rng.randint(90, 150)
    parent = _inbound(builder, at, 82 + talk, caller_name="OKAFOR ADA")
    agent = _dialled(builder, parent, at + 8, 5, 68 + talk, to="client:amara")
    transfer = _dialled(builder, agent, at + 73, 4, talk, to=parties.SUPERVISOR)
    return [
        parent,
        agent,
        transfer,
        builder.recording(parent, "DialVerb", at + 15, 60 + talk, channels=2),
        builder.recording(agent, "StartCallRecordingAPI", at + 16, 58 + talk),
        builder.recording(transfer, "StartCallRecordingAPI", at + 80, talk - 5),
        builder.notification("15003", builder.ended(agent) + 2, agent),
    ]


def waiting(builder: FixtureBuilder, at: int) -> list[Row]:
    """The live call: an open line to the night desk, which is being recorded."""
    open_end = builder.now + 14 * 24 * 3600
    call = builder.leg(
        at,
        "sip:night@pbx.example.com",
        parties.MAIN_LINE,
        "trunking-terminating",
        ring=4,
        talk=open_end,
        trunk_sid=parties.TRUNK_SID,
    )
    return [call, builder.recording(call, "Trunking", at + 6, open_end)]


def voicemail(builder: FixtureBuilder, at: int) -> list[Row]:
    """Nobody answers; the customer leaves a message."""
    rng = builder.rng
    length = rng.choice((0, rng.randint(4, 30), rng.randint(15, 110)))
    is_dialled = rng.random() < 0.4
    greeting = 34 if is_dialled else 12
    parent = _inbound(builder, at, greeting + length + 2)
    children = [_dialled(builder, parent, at + 2, 20, 0, outcome="no-answer")] if is_dialled else []
    return [parent, *children, builder.recording(parent, "RecordVerb", at + greeting, length)]


def abandoned(builder: FixtureBuilder, at: int) -> list[Row]:
    """The customer hangs up in the queue."""
    return [_inbound(builder, at, builder.rng.randint(2, 150))]


def broken(builder: FixtureBuilder, at: int) -> list[Row]:
    """The call centre's application fails; Twilio logs an error."""
    code = builder.rng.choice(("11200", "11200", "11205", "12100", "12300"))
    parent = _inbound(builder, at, builder.rng.randint(1, 8))
    return [parent, builder.notification(code, at + 1, parent)]


def undialable(builder: FixtureBuilder, at: int) -> list[Row]:
    """The number that the TwiML dials does not exist or may not be called."""
    parent = _inbound(builder, at, 15)
    wrong = _dialled(builder, parent, at + 3, 1, 0, outcome="failed", to="+15005550001")
    code = builder.rng.choice(("13224", "13227"))
    return [parent, wrong, builder.notification(code, at + 4, parent)]


def campaign(
    builder: FixtureBuilder, at: int, outcome: str | None = None, queue_time: int | None = None
) -> list[Row]:
    """One call of an outbound campaign, with answering machine detection."""
    rng = builder.rng
    if queue_time is None:
        queue_time = rng.choice((0, 0, 0, 1000, 2000, 7000))
    if outcome is None:
        outcomes = ("completed", "no-answer", "busy", "failed", "canceled")
        outcome = rng.choices(outcomes, (60, 18, 9, 7, 6))[0]
    to = "+15005550002" if outcome == "failed" and rng.random() < 0.3 else parties.customer(rng)
    answered_by = rng.choice(
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
        call = msgspec.structs.replace(call, answered_by=answered_by)
    if call.end_time and rng.random() < 0.05:
        return [call, builder.notification("15003", call.end_time + 2, call)]
    return [call]


def browser(builder: FixtureBuilder, at: int) -> list[Row]:
    """An agent calls a customer from the browser; the client's leg is inbound."""
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
    return [parent, child]


def trunked(builder: FixtureBuilder, at: int) -> list[Row]:
    """A recorded call over the office's own trunk."""
    rng = builder.rng
    variants = [
        ("trunking-originating", parties.MAIN_LINE, parties.customer(rng)),
        ("trunking-terminating", parties.customer(rng), "sip:desk-07@pbx.example.com"),
    ]
    direction, to, from_ = rng.choice(variants)
    call = builder.leg(
        at, to, from_, direction, ring=4, talk=rng.randint(30, 600), trunk_sid=parties.TRUNK_SID
    )
    return [call, builder.recording(call, "Trunking", at + 5, (call.duration or 0) - 5)]


def orphaned(builder: FixtureBuilder, at: int) -> list[Row]:
    """The remains of a deleted call: its dialled leg and its recording."""
    deleted = _inbound(builder, at, 90)
    child = _dialled(builder, deleted, at + 8, 5, 70)
    return [child, builder.recording(deleted, "DialVerb", at + 14, 68)]


def misused(builder: FixtureBuilder, at: int) -> list[Row]:
    """A wrong use of the REST API: a log entry without a call, beside an abandoned call."""
    code = builder.rng.choice(("20001", "21201"))
    return [*abandoned(builder, at), builder.notification(code, at, None)]


def conference(builder: FixtureBuilder, at: int) -> list[Row]:
    """A customer and an agent meet in a conference, which is recorded."""
    rng = builder.rng
    talk = rng.randint(60, 500)
    parent = _inbound(builder, at, talk + 15)
    sid = builder.sid("CF")
    child = _dialled(builder, parent, at + 5, 6, talk)
    recording = builder.recording(parent, "Conference", at + 12, talk, conference_sid=sid)
    return [parent, child, recording]
