"""Webhook paths, and how the parameters of a signed webhook become an event of a call. Pure.

This module must not know how webhooks arrive, nor the subscribers.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gateway.errors import BadUserInput
from gateway.live.events import CallStatusEvent, EventSource, status_of_callback
from gateway.upstream.requests import check_sid

__all__ = [
    "RECORDING_PATH",
    "REPLAY_WINDOW",
    "STATUS_PATH",
    "call_event",
    "is_too_old",
    "recorded_call_sid",
    "recording_event",
]

STATUS_PATH = "/webhooks/twilio/status"
RECORDING_PATH = "/webhooks/twilio/recording"

REPLAY_WINDOW = timedelta(days=1)
"""How long the replay cache keeps a signature; an older webhook could be a replay."""
MAX_FACT_LENGTH = 1000
# The webhook's parameter, and the same property of Twilio's JSON row (docs/twilio.md#9-webhooks).
# `Duration` is left out: it is in minutes.
FACT_OF_PARAMETER = {
    "AccountSid": "account_sid",
    "AnsweredBy": "answered_by",
    "CallDuration": "duration",
    "CallerName": "caller_name",
    "Direction": "direction",
    "ForwardedFrom": "forwarded_from",
    "From": "from",
    "ParentCallSid": "parent_call_sid",
    "RecordingSid": "recording_sid",
    "RecordingStatus": "recording_status",
    "To": "to",
}


def call_event(parameters: Mapping[str, str], at: datetime) -> CallStatusEvent:
    """The event of a status callback. Raises BadUserInput without a call or a status."""
    number = parameters.get("SequenceNumber", "")
    if "CallStatus" not in parameters:
        raise BadUserInput("A status callback must have a CallStatus")
    return CallStatusEvent(
        call_sid=check_sid("CA", parameters.get("CallSid", "")),
        status=status_of_callback(parameters["CallStatus"]),
        sequence=int(number) if re.fullmatch("[0-9]{1,9}", number, re.ASCII) else None,
        at=at,
        source=EventSource.WEBHOOK,
        facts=_facts(parameters),
    )


def recording_event(
    parameters: Mapping[str, str], state: CallStatusEvent | None, at: datetime
) -> CallStatusEvent | None:
    """The event of a recording callback; None while the call's state is unknown.

    The callback does not carry the call's status.
    """
    if state is None:
        return None
    recording = {name: value for name, value in _facts(parameters) if name.startswith("recording_")}
    facts = tuple(sorted({**dict(state.facts), **recording}.items()))
    return replace(state, source=EventSource.WEBHOOK, at=at, facts=facts)


def recorded_call_sid(parameters: Mapping[str, str]) -> str:
    """The call SID of a recording callback. Raises BadUserInput without call or recording."""
    check_sid("RE", parameters.get("RecordingSid", ""))
    return check_sid("CA", parameters.get("CallSid", ""))


def is_too_old(parameters: Mapping[str, str], now: datetime) -> bool:
    """True when the signed Timestamp is older than the replay cache."""
    try:
        moment = parsedate_to_datetime(parameters["Timestamp"])
    except (KeyError, ValueError, TypeError):
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment < now - REPLAY_WINDOW


def _facts(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    known = (
        (fact, parameters[name])
        for name, fact in FACT_OF_PARAMETER.items()
        if parameters.get(name) and len(parameters[name]) <= MAX_FACT_LENGTH
    )
    return tuple(sorted(known))
