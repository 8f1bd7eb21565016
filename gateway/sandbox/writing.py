"""What POST and DELETE do: calls made and modified, recordings started, paused and deleted.

Runs in the worker thread; knows neither SQL nor ASGI.
"""

import msgspec

from gateway.sandbox import orders, rendering
from gateway.sandbox.desk import SandboxRequest
from gateway.sandbox.errors import TwilioError, not_found
from gateway.sandbox.formats import Instance
from gateway.sandbox.lifecycle import LIVE
from gateway.sandbox.reading import ParsedRequest
from gateway.sandbox.resources import CallRow, RecordingRow


def make_call(desk: SandboxRequest, asked: ParsedRequest) -> Instance:
    """Queues a call. Its dates are not known to the first answer (FACTS section 1)."""
    order = orders.making(asked.form)
    call = desk.board.make(order.to, order.from_, order.plan, desk.now)
    shown = rendering.call(call, asked.place)
    return Instance("Call", {**shown, "date_created": None, "date_updated": None})


def modify_call(desk: SandboxRequest, asked: ParsedRequest) -> Instance:
    """Redirects, cancels or completes a call (FACTS section 8)."""
    call = _call(desk, asked, asked.sid)
    order = orders.modifying(asked.form)
    if call.status not in LIVE and desk.config.ended_calls_are_missing:
        raise not_found(asked.path)
    if order.redirect:
        if call.status != "in-progress":
            raise _not_in_progress("redirect")
        desk.board.redirect(call, order.redirect, desk.now)
    if order.time_limit is not None and call.status in LIVE:
        desk.board.limit(call, order.time_limit, desk.now)
    if order.status:
        _hang_up(desk, call, order.status)
    return Instance("Call", rendering.call(_call(desk, asked, call.sid), asked.place))


def _hang_up(desk: SandboxRequest, call: CallRow, status: str) -> None:
    """``canceled`` does not touch a call in progress, and says nothing about it.

    What either does to a finished call is unknown for ``canceled``; both are refused alike here.
    """
    if call.status not in LIVE:
        raise _not_in_progress("redirect")
    if status == "completed" or call.status != "in-progress":
        desk.board.hang_up(call, desk.now)


def start_recording(desk: SandboxRequest, asked: ParsedRequest) -> Instance:
    """Records a call that is in progress."""
    call = _call(desk, asked, asked.place.call_sid)
    if call.status != "in-progress":
        raise _not_in_progress("record")
    order = orders.recording(asked.form)
    if order.callback:
        plan = msgspec.structs.replace(desk.book.plan(call.sid), recording_callback=order.callback)
        desk.book.keep(call.sid, plan)
    recording = desk.book.record(
        call, desk.now, "StartCallRecordingAPI", channels=order.channels, track=order.track
    )
    return Instance("Recording", rendering.recording(recording, asked.place))


def modify_recording(desk: SandboxRequest, asked: ParsedRequest) -> Instance:
    """Pauses, resumes or stops a recording that has not ended."""
    recording = _recording(desk, asked)
    status = orders.recording_status(asked.form)
    if recording.status not in ("in-progress", "paused"):
        raise _not_in_progress("update recording")
    if status == "stopped":
        recording = desk.book.stop(recording, desk.now)
    else:
        recording = msgspec.structs.replace(recording, status=status, date_updated=int(desk.now))
        desk.store.change(recording)
    return Instance("Recording", rendering.recording(recording, asked.place))


def delete_recording(desk: SandboxRequest, asked: ParsedRequest) -> None:
    """Deletes a recording that has ended; its row stays for those who include it (FACTS 4)."""
    recording = _recording(desk, asked)
    if recording.status in ("in-progress", "paused", "processing"):
        raise TwilioError(400, 20009, "Cannot delete this resource before it is complete")
    desk.store.change(
        msgspec.structs.replace(recording, status="deleted", date_updated=int(desk.now))
    )


def _call(desk: SandboxRequest, asked: ParsedRequest, sid: str | None) -> CallRow:
    call = desk.store.get(CallRow, sid or "")
    if call is None:
        raise not_found(asked.path)
    return call


def _recording(desk: SandboxRequest, asked: ParsedRequest) -> RecordingRow:
    row = desk.store.get(RecordingRow, asked.sid or "")
    call_sid = asked.place.call_sid
    if row is None or row.status == "deleted" or call_sid not in (None, row.call_sid):
        raise not_found(asked.path)
    return row


def _not_in_progress(doing: str) -> TwilioError:
    return TwilioError(400, 21220, f"Call is not in-progress. Cannot {doing}.")
