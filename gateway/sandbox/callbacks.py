"""The forms of TwiML requests and callbacks (docs/twilio.md#9-webhooks), and notifications of
failed ones.

Pure: sends and stores nothing.
"""

import math
from urllib.parse import urlencode

from gateway.sandbox.outbound import OutboundRequest, OutboundResponse
from gateway.sandbox.rendering import rfc2822
from gateway.sandbox.resources import API_VERSION, CallRow, NotificationRow, RecordingRow

Form = tuple[tuple[str, str], ...]

_SIP_RESPONSES = {
    "completed": "200",
    "busy": "486",
    "no-answer": "480",
    "failed": "404",
    "canceled": "487",
}
_WARNINGS = frozenset({"15003"})


def voice_request_form(account_sid: str, call: CallRow) -> Form:
    """The form of a request for a call's TwiML."""
    return _call_form(account_sid, call, call.status)


def _call_form(account_sid: str, call: CallRow, status: str) -> Form:
    parameters = {
        "CallSid": call.sid,
        "AccountSid": account_sid,
        "From": call.from_,
        "To": call.to,
        "CallStatus": status,
        "ApiVersion": call.api_version,
        "Direction": call.direction,
        "ForwardedFrom": call.forwarded_from,
        "CallerName": call.caller_name,
        "ParentCallSid": call.parent_call_sid,
    }
    return tuple((name, value) for name, value in parameters.items() if value is not None)


def call_status_form(
    account_sid: str,
    call: CallRow,
    status: str,
    at: float,
    sequence_number: int,
    recording: RecordingRow | None = None,
) -> Form:
    """The form of a status callback; the last one also has the durations and the recording."""
    form = (
        *_call_form(account_sid, call, status),
        ("Timestamp", rfc2822(int(at))),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence_number)),
    )
    if status not in _SIP_RESPONSES:
        return form
    return (*form, *_durations(call), *_recording_form(account_sid, recording))


def _durations(call: CallRow) -> Form:
    """``Duration`` is in minutes, ``CallDuration`` in seconds."""
    seconds = call.duration or 0
    return (
        ("Duration", str(math.ceil(seconds / 60))),
        ("CallDuration", str(seconds)),
        ("SipResponseCode", _SIP_RESPONSES[call.status]),
    )


def _recording_form(account_sid: str, recording: RecordingRow | None) -> Form:
    if recording is None:
        return ()
    form = (
        ("RecordingUrl", _media_url(account_sid, recording)),
        ("RecordingSid", recording.sid),
    )
    if recording.duration is None:
        return form
    return (*form, ("RecordingDuration", str(recording.duration)))


def _media_url(account_sid: str, recording: RecordingRow) -> str:
    path = f"/{API_VERSION}/Accounts/{account_sid}/Recordings/{recording.sid}"
    return f"https://api.twilio.com{path}"


def recording_status_form(account_sid: str, recording: RecordingRow) -> Form:
    """The form of a recording status callback."""
    return (
        ("AccountSid", account_sid),
        ("CallSid", recording.call_sid or ""),
        *_recording_form(account_sid, recording),
        ("RecordingStatus", recording.status),
        ("RecordingChannels", str(recording.channels)),
        ("RecordingStartTime", rfc2822(recording.start_time or 0)),
        ("RecordingSource", recording.source),
        ("RecordingTrack", recording.track),
    )


def notification(
    sid: str, request: OutboundRequest, code: str, message: str, response: OutboundResponse
) -> NotificationRow:
    """The log entry about a failed request to an application."""
    at = int(request.at)
    level = "WARN" if code in _WARNINGS else "ERROR"
    text = {"url": request.url, "ErrorCode": code, "LogLevel": level, "Msg": message}
    headers = urlencode({"Content-Type": response.content_type})
    return NotificationRow(
        sid=sid,
        date_created=at,
        date_updated=at,
        message_date=at,
        call_sid=request.sid,
        error_code=code,
        log="1" if code in _WARNINGS else "0",
        message_text=urlencode(text),
        more_info=f"https://www.twilio.com/docs/errors/{code}",
        request_method=request.method,
        request_url=request.url,
        request_variables=urlencode(request.parameters),
        response_body=response.text if response.status else "",
        response_headers=headers if response.status else "",
    )
