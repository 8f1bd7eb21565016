"""The simulated calls: their rows, scripts and scheduled events, and the outbox of requests.

It stores what the simulator decides, and queues requests and callbacks in the outbox. All moments
are in seconds since 1970, UTC. Knows no HTTP and no SQL.
"""

import math
import uuid
from typing import Any, Literal

import msgspec

from gateway.sandbox import lifecycle
from gateway.sandbox.call_script import Callback, CallScript, Event
from gateway.sandbox.callbacks import (
    Form,
    call_status_form,
    notification,
    recording_status_form,
    voice_request_form,
)
from gateway.sandbox.filters import Equal
from gateway.sandbox.outbound import OutboundRequest, OutboundResponse
from gateway.sandbox.resources import CallRow, RecordingRow
from gateway.sandbox.store import SandboxDatabase

_MAX_ROWS = 1000


class CallRepository:
    """The calls of one account in one store, and the requests to send (``outbox``)."""

    def __init__(self, store: SandboxDatabase, account_sid: str) -> None:
        self.store = store
        self.outbox: list[OutboundRequest] = []
        self._account_sid = account_sid

    # Calls

    def create(self, at: float, **fields: Any) -> CallRow:
        """Stores a new queued call."""
        second = int(at)
        call = CallRow(
            sid=_sid("CA"), date_created=second, date_updated=second, status="queued", **fields
        )
        self.store.add([call])
        return call

    def live_call(self, sid: str | None, status: str | None = None) -> CallRow | None:
        """The call of this SID if it is live and, where ``status`` is given, has that status."""
        call = self.store.get(CallRow, sid) if sid else None
        if call is None or call.status not in lifecycle.LIVE:
            return None
        return call if status in (None, call.status) else None

    def live_children(self, call: CallRow) -> list[CallRow]:
        """The live child legs of a call, in the order in which they were dialled."""
        children = self.store.older(CallRow, [Equal("parent_call_sid", call.sid)], limit=_MAX_ROWS)
        return [child for child in children[::-1] if child.status in lifecycle.LIVE]

    def change_status(self, call: CallRow, status: str, at: float) -> CallRow:
        """Stores the call with a new status; raises IllegalChange."""
        changed = lifecycle.change(call, status, int(at))
        self.store.update(changed)
        return changed

    # Recordings

    def start_recording(
        self, call: CallRow, at: float, source: str, *, channels: int = 1, track: str = "both"
    ) -> RecordingRow:
        """Starts a recording; it ends when it is stopped or when the call ends."""
        second = int(at)
        recording = RecordingRow(
            sid=_sid("RE"),
            date_created=second,
            date_updated=second,
            call_sid=call.sid,
            start_time=second,
            status="in-progress",
            channels=channels,
            source=source,
            track=track,
        )
        self.store.add([recording])
        self._queue_recording_callback(recording, at)
        return recording

    def stop_recording(self, recording: RecordingRow, at: float) -> RecordingRow:
        """Completes a recording (an empty one is absent) and queues its callback."""
        length = int(at) - (recording.start_time or int(at))
        done = msgspec.structs.replace(
            recording,
            status="completed" if length else "absent",
            date_updated=int(at),
            duration=length,
            price=f"{-0.0025 * max(1, math.ceil(length / 60)):.4f}",
            price_unit="USD",
        )
        self.store.update(done)
        self._queue_recording_callback(done, at)
        return done

    def stop_recordings(
        self, call: CallRow, at: float, source: str | None = None
    ) -> RecordingRow | None:
        """Stops the active recordings of a call; returns the newest of them."""
        rows = self.store.older(RecordingRow, [Equal("call_sid", call.sid)], limit=_MAX_ROWS)
        active = [
            row
            for row in rows
            if row.status in ("in-progress", "paused") and source in (None, row.source)
        ]
        return next(iter([self.stop_recording(row, at) for row in active]), None)

    # Scripts and events

    def script(self, sid: str) -> CallScript:
        """The script of a call; empty if none was saved."""
        stored = self.store.script(sid)
        return msgspec.json.decode(stored, type=CallScript) if stored else CallScript()

    def save_script(self, sid: str, script: CallScript) -> None:
        """Stores the script of a call."""
        self.store.set_script(sid, msgspec.json.encode(script))

    def schedule(self, due: float, event: Event) -> None:
        """Schedules an event."""
        self.store.schedule(due, event.sid, msgspec.json.encode(event))

    # Applications

    def twiml_request(
        self,
        call: CallRow,
        script: CallScript,
        at: float,
        *,
        failure: tuple[str, str] | None = None,
    ) -> OutboundRequest:
        """The request for the script's TwiML or, after a failure, to the fallback URL.

        ``failure`` is the error code and the URL that failed.
        """
        form = voice_request_form(self._account_sid, call)
        if failure is None:
            target = Callback(script.url or "", script.method)
            return self._request(call.sid, target, form, at, "twiml")
        form = (*form, ("ErrorCode", failure[0]), ("ErrorUrl", failure[1]))
        target = Callback(script.fallback_url or "", script.fallback_method)
        return self._request(call.sid, target, form, at, "fallback")

    def queue_status_callback(
        self, call: CallRow, event: str, at: float, *, recording: RecordingRow | None = None
    ) -> None:
        """Queues a status callback if the application subscribed to this event."""
        script = self.script(call.sid)
        callback = script.status_callback
        if callback is None or event not in callback.events:
            return
        status = "initiated" if event == "initiated" else call.status
        form = call_status_form(
            self._account_sid, call, status, at, script.callbacks_sent, recording
        )
        self.save_script(
            call.sid, msgspec.structs.replace(script, callbacks_sent=script.callbacks_sent + 1)
        )
        self.outbox.append(self._request(call.sid, callback, form, at, "status"))

    def _queue_recording_callback(self, recording: RecordingRow, at: float) -> None:
        """Queues a recording callback if the application subscribed to this status."""
        sid = recording.call_sid or ""
        callback = self.script(sid).recording_callback
        if callback and recording.status in callback.events:
            form = recording_status_form(self._account_sid, recording)
            self.outbox.append(self._request(sid, callback, form, at, "recording"))

    def add_notification(
        self, request: OutboundRequest, code: str, message: str, response: OutboundResponse
    ) -> None:
        """Stores a notification about a failed request."""
        self.store.add([notification(_sid("NO"), request, code, message, response)])

    def _request(
        self,
        sid: str,
        callback: Callback,
        form: Form,
        at: float,
        purpose: Literal["twiml", "fallback", "status", "recording"],
    ) -> OutboundRequest:
        return OutboundRequest(
            sid=sid,
            at=at,
            url=callback.url,
            method="GET" if callback.method == "GET" else "POST",
            parameters=form,
            purpose=purpose,
            generation=self.script(sid).generation,
        )


def _sid(prefix: str) -> str:
    return prefix + uuid.uuid4().hex
