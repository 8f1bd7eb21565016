"""Handles POST and DELETE: makes and modifies calls; starts, modifies and deletes recordings.

Runs in the worker thread; knows neither SQL nor ASGI.
"""

import msgspec

from gateway.sandbox import forms, rendering
from gateway.sandbox.context import SandboxContext
from gateway.sandbox.errors import TwilioError, not_found
from gateway.sandbox.formats import Instance
from gateway.sandbox.lifecycle import LIVE
from gateway.sandbox.reading import ParsedRequest
from gateway.sandbox.resources import CallRow, RecordingRow


def make_call(context: SandboxContext, request: ParsedRequest) -> Instance:
    """Queues a call. The response does not have its dates yet.

    See docs/twilio.md#1-surprising-facts.
    """
    parsed = forms.parse_create_call(request.form)
    call = context.simulator.make_call(parsed.to, parsed.from_, parsed.script, context.now)
    properties = rendering.call(call, request.uris)
    return Instance("Call", {**properties, "date_created": None, "date_updated": None})


def modify_call(context: SandboxContext, request: ParsedRequest) -> Instance:
    """Redirects, cancels or completes a call (docs/twilio.md#8-making-and-modifying-a-call)."""
    call = _call(context, request, request.sid)
    parsed = forms.parse_update_call(request.form)
    if call.status not in LIVE and context.config.ended_calls_are_missing:
        raise not_found(request.path)
    if parsed.redirect:
        if call.status != "in-progress":
            raise _not_in_progress("redirect")
        context.simulator.redirect(call, parsed.redirect, context.now)
    if parsed.time_limit is not None and call.status in LIVE:
        context.simulator.set_time_limit(call, parsed.time_limit, context.now)
    if parsed.status:
        _hang_up(context, call, parsed.status)
    return Instance("Call", rendering.call(_call(context, request, call.sid), request.uris))


def _hang_up(context: SandboxContext, call: CallRow, status: str) -> None:
    """Hangs up a call; ``canceled`` silently leaves a call in progress as it is.

    What the service does on ``canceled`` for a finished call is unknown; here both are refused.
    """
    if call.status not in LIVE:
        raise _not_in_progress("redirect")
    if status == "completed" or call.status != "in-progress":
        context.simulator.hang_up(call, context.now)


def start_recording(context: SandboxContext, request: ParsedRequest) -> Instance:
    """Starts a recording of a call in progress."""
    call = _call(context, request, request.uris.call_sid)
    if call.status != "in-progress":
        raise _not_in_progress("record")
    parsed = forms.parse_create_recording(request.form)
    if parsed.callback:
        script = msgspec.structs.replace(
            context.calls.script(call.sid), recording_callback=parsed.callback
        )
        context.calls.save_script(call.sid, script)
    recording = context.calls.start_recording(
        call, context.now, "StartCallRecordingAPI", channels=parsed.channels, track=parsed.track
    )
    return Instance("Recording", rendering.recording(recording, request.uris))


def modify_recording(context: SandboxContext, request: ParsedRequest) -> Instance:
    """Pauses, resumes or stops a recording that has not ended."""
    recording = _recording(context, request)
    status = forms.parse_recording_status(request.form)
    if recording.status not in ("in-progress", "paused"):
        raise _not_in_progress("update recording")
    if status == "stopped":
        recording = context.calls.stop_recording(recording, context.now)
    else:
        recording = msgspec.structs.replace(recording, status=status, date_updated=int(context.now))
        context.store.update(recording)
    return Instance("Recording", rendering.recording(recording, request.uris))


def delete_recording(context: SandboxContext, request: ParsedRequest) -> None:
    """Soft-deletes an ended recording: ``IncludeSoftDeleted`` still shows it.

    See docs/twilio.md#4-recording-and-notification.
    """
    recording = _recording(context, request)
    if recording.status in ("in-progress", "paused", "processing"):
        raise TwilioError(400, 20009, "Cannot delete this resource before it is complete")
    context.store.update(
        msgspec.structs.replace(recording, status="deleted", date_updated=int(context.now))
    )


def _call(context: SandboxContext, request: ParsedRequest, sid: str | None) -> CallRow:
    call = context.store.get(CallRow, sid or "")
    if call is None:
        raise not_found(request.path)
    return call


def _recording(context: SandboxContext, request: ParsedRequest) -> RecordingRow:
    row = context.store.get(RecordingRow, request.sid or "")
    call_sid = request.uris.call_sid
    if row is None or row.status == "deleted" or call_sid not in (None, row.call_sid):
        raise not_found(request.path)
    return row


def _not_in_progress(action: str) -> TwilioError:
    return TwilioError(400, 21220, f"Call is not in-progress. Cannot {action}.")
