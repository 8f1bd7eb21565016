"""Simulates calls: plays their scheduled events in order, up to the present.

The simulator takes due events from the store, changes rows as the lifecycle allows, and puts
requests to applications into the outbox; ``handle_response`` takes their responses. It never
waits: it has no thread, no socket and no clock, so that a minute is played at once. Knows no HTTP
and no SQL.

Note [Simulated answers]. A number in ``OUTCOMES`` ends as that table says; any other party rings
for a few seconds and answers. A dialled party talks for ``TALK`` seconds and hangs up; a call
hangs up at the end of its TwiML.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

import msgspec

from gateway.sandbox import lifecycle, parties, twiml
from gateway.sandbox.call_script import (
    AnswerCall,
    Callback,
    CallScript,
    DialCall,
    End,
    Event,
    Fetch,
    Proceed,
    Ring,
    SetPrice,
    StopRecording,
)
from gateway.sandbox.outbound import OutboundRequest, OutboundResponse
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.resources import CallRow, RecordingRow
from gateway.sandbox.twiml import Dial, Hangup, Record, Redirect, Step, Wait

RING_AFTER = 1
"""Seconds from dialing a call until it rings."""
ANSWER_AFTER = 4
"""Seconds of ringing before the call is answered."""
BUSY_AFTER = 2
TALK = 20
"""Seconds a dialled party talks."""
FETCH_AFTER = 1
"""Seconds that a Redirect takes, so that a redirect to itself is no endless loop."""
PRICE_AFTER = 30
"""Seconds from the end of a call until its price is set."""
OUTCOMES = {
    "+15005550011": "busy",
    "+15005550012": "no-answer",
    "+15005550013": "failed",
    "+15005550014": "machine",
}
"""The sandbox's test numbers with another outcome than an answer by a person."""


class CallSimulator:
    """The calls of one store. All methods take the present moment, in seconds since 1970, UTC."""

    def __init__(self, calls: CallRepository, calls_per_second: float) -> None:
        self._calls = calls
        self._interval = 1 / calls_per_second
        self._next_dial = 0.0
        self._awaiting_response: set[str] = set()
        self._handlers: Mapping[type[Event], Callable[[Any, float], None]] = {
            DialCall: self._dial_call,
            Ring: self._ring,
            AnswerCall: self._answer,
            End: self._end_event,
            Fetch: self._fetch,
            Proceed: self._proceed,
            StopRecording: self._stop_recording,
            SetPrice: self._set_price,
        }

    def reset(self) -> None:
        """Empties the outbox and the queue of calls to dial; the caller clears the store."""
        self._calls.outbox.clear()
        self._awaiting_response.clear()
        self._next_dial = 0.0

    # Requests of the account

    def make_call(self, to: str, from_: str, script: CallScript, now: float) -> CallRow:
        """Queues a call. Calls above the calls-per-second limit are dialed later."""
        dialed_at = max(now, self._next_dial)
        self._next_dial = dialed_at + self._interval
        call = self._calls.create(
            now,
            to=to,
            from_=from_,
            direction="outbound-api",
            phone_number_sid=parties.LINES.get(from_),
            queue_time=math.ceil((dialed_at - now) * 1000),
        )
        self._calls.save_script(call.sid, script)
        self._calls.schedule(dialed_at, DialCall(call.sid))
        return call

    def redirect(self, call: CallRow, script: CallScript, now: float) -> None:
        """Gives a call in progress new TwiML and hangs up its dialled legs."""
        old = self._calls.script(call.sid)
        status_callback = script.status_callback or old.status_callback
        changed = msgspec.structs.replace(
            old,
            url=script.url,
            method=script.method,
            fallback_url=script.fallback_url,
            fallback_method=script.fallback_method,
            twiml=script.twiml,
            status_callback=status_callback,
            steps=(),
            generation=old.generation + 1,
        )
        self._calls.save_script(call.sid, changed)
        for child in self._calls.live_children(call):
            self.hang_up(child, now)
        self._calls.stop_recordings(call, now, "DialVerb")
        self._request_twiml(call, changed, now)

    def set_time_limit(self, call: CallRow, seconds: int, now: float) -> None:
        """Ends a live call so many seconds from now."""
        self._calls.schedule(now + seconds, End(call.sid))

    def hang_up(self, call: CallRow, now: float) -> CallRow:
        """Ends a live call, whether it has been answered or not."""
        return self._end(call, lifecycle.status_after_hang_up(call.status), now)

    # Events

    def catch_up(self, now: float) -> None:
        """Plays all due events."""
        while due := self._calls.store.take_due(now, self._awaiting_response):
            moment, event = due[0], msgspec.json.decode(due[1], type=Event)
            self._handlers[type(event)](event, moment)

    def handle_response(self, request: OutboundRequest, response: OutboundResponse) -> None:
        """Takes an application's response, or its absence, to a request from the outbox."""
        if request.purpose in ("twiml", "fallback"):
            self._follow_response(request, response)
        elif not response.ok:
            result = f"HTTP {response.status} response" if response.status else response.text
            message = f"Got {result} to {request.url}"
            self._calls.add_notification(request, "15003", message, response)

    def _dial_call(self, event: DialCall, at: float) -> None:
        call = self._calls.live_call(event.sid, "queued")
        if call is None:
            return
        self._calls.queue_status_callback(call, "initiated", at)
        if OUTCOMES.get(call.to) == "failed":
            self._calls.schedule(at + RING_AFTER, End(call.sid, "failed"))
        else:
            self._calls.schedule(at + RING_AFTER, Ring(call.sid))

    def _ring(self, event: Ring, at: float) -> None:
        call = self._calls.live_call(event.sid, "queued")
        if call is None:
            return
        call = self._calls.change_status(call, "ringing", at)
        self._calls.queue_status_callback(call, "ringing", at)
        outcome, timeout = OUTCOMES.get(call.to), self._calls.script(call.sid).timeout
        if outcome == "busy":
            self._calls.schedule(at + BUSY_AFTER, End(call.sid, "busy"))
        elif outcome == "no-answer" or timeout < ANSWER_AFTER:
            self._calls.schedule(at + timeout, End(call.sid, "no-answer"))
        else:
            self._calls.schedule(at + ANSWER_AFTER, AnswerCall(call.sid))

    def _answer(self, event: AnswerCall, at: float) -> None:
        call = self._calls.live_call(event.sid, "ringing")
        if call is None:
            return
        call = self._calls.change_status(call, "in-progress", at)
        script = self._calls.script(event.sid)
        if script.machine_detection:
            answered_by = "machine_start" if OUTCOMES.get(call.to) == "machine" else "human"
            call = msgspec.structs.replace(call, answered_by=answered_by)
            self._calls.store.update(call)
        self._calls.queue_status_callback(call, "answered", at)
        self._calls.schedule(at + script.time_limit, End(call.sid))
        if script.record:
            self._calls.start_recording(call, at, "OutboundAPI", channels=script.channels)
        if call.parent_call_sid:
            self._connect(call, at)
        else:
            self._request_twiml(call, script, at)

    def _connect(self, child: CallRow, at: float) -> None:
        """Connects the first dialled party that answers; hangs up the others."""
        parent = self._calls.live_call(child.parent_call_sid)
        if parent is None:
            return
        for other in self._calls.live_children(parent):
            if other.sid != child.sid:
                self.hang_up(other, at)
        script = self._calls.script(parent.sid)
        match script.steps[:1]:
            case (Dial(record=True, channels=channels),):
                self._calls.start_recording(parent, at, "DialVerb", channels=channels)

    def _proceed(self, event: Proceed, at: float) -> None:
        call = self._calls.live_call(event.sid, "in-progress")
        script = self._calls.script(event.sid)
        if call is None or event.generation != script.generation:
            return
        if not script.steps:
            self._end(call, "completed", at)
            return
        step, *rest = script.steps
        if not isinstance(step, Dial):
            script = msgspec.structs.replace(script, steps=tuple(rest))
            self._calls.save_script(call.sid, script)
        self._run_step(step, call, script, at)

    def _run_step(self, step: Step, call: CallRow, script: CallScript, at: float) -> None:
        match step:
            case Wait():
                self._calls.schedule(at + step.seconds, Proceed(call.sid, script.generation))
            case Record():
                self._set_recording_callback(call.sid, step.callback)
                recording = self._calls.start_recording(call, at, "RecordVerb")
                self._calls.schedule(at + step.seconds, StopRecording(call.sid, recording.sid))
                self._calls.schedule(at + step.seconds, Proceed(call.sid, script.generation))
            case Dial():
                self._set_recording_callback(call.sid, step.callback)
                self._run_dial(step, call, at)
            case Redirect():
                url = urljoin(script.url or "", step.url)
                moved = msgspec.structs.replace(script, url=url, method=step.method, twiml=None)
                self._calls.save_script(call.sid, moved)
                self._calls.schedule(at + FETCH_AFTER, Fetch(call.sid, script.generation))
            case Hangup():
                self._end(call, "completed", at)

    def _run_dial(self, dial: Dial, parent: CallRow, at: float) -> None:
        """Dials all targets. The Dial stays the script's first step until their legs have ended."""
        for target in dial.targets:
            child = self._calls.create(
                at,
                to=target.to,
                from_=dial.caller_id or parent.from_,
                direction="outbound-dial",
                parent_call_sid=parent.sid,
            )
            callback = target.status_callback and Callback(
                target.status_callback,
                target.status_callback_method,
                target.status_callback_events,
            )
            talk = min(dial.time_limit or TALK, TALK)
            script = CallScript(
                timeout=dial.timeout, time_limit=talk, status_callback=callback or None
            )
            self._calls.save_script(child.sid, script)
            self._calls.schedule(at, DialCall(child.sid))
        if not dial.targets:
            self._finish_dial(parent, at)

    def _finish_dial(self, parent: CallRow, at: float) -> None:
        """Stops the recordings of a Dial whose legs have ended; the parent proceeds."""
        script = self._calls.script(parent.sid)
        if not (script.steps and isinstance(script.steps[0], Dial)):
            return
        self._calls.stop_recordings(parent, at, "DialVerb")
        self._calls.save_script(parent.sid, msgspec.structs.replace(script, steps=script.steps[1:]))
        self._calls.schedule(at, Proceed(parent.sid, script.generation))

    def _end_event(self, event: End, at: float) -> None:
        call = self._calls.live_call(event.sid)
        if call is None:
            return
        if event.status is None:
            self.hang_up(call, at)
        else:
            self._end(call, event.status, at)

    def _end(self, call: CallRow, status: str, at: float) -> CallRow:
        """Ends a call, its legs and recordings, and its parent's Dial after its last leg."""
        call = self._calls.change_status(call, status, at)
        self._calls.store.unschedule(call.sid)
        for child in self._calls.live_children(call):
            self.hang_up(child, at)
        stopped = self._calls.stop_recordings(call, at)
        self._calls.queue_status_callback(call, "completed", at, recording=stopped)
        if call.status == "completed":
            self._calls.schedule(at + PRICE_AFTER, SetPrice(call.sid))
        parent = self._calls.live_call(call.parent_call_sid, "in-progress")
        if parent and not self._calls.live_children(parent):
            self._finish_dial(parent, at)
        return call

    def _stop_recording(self, event: StopRecording, at: float) -> None:
        recording = self._calls.store.get(RecordingRow, event.recording_sid)
        if recording and recording.status in ("in-progress", "paused"):
            self._calls.stop_recording(recording, at)

    def _set_price(self, event: SetPrice, at: float) -> None:
        call = self._calls.store.get(CallRow, event.sid)
        if call is not None and call.price is None:
            minutes = max(1, math.ceil((call.duration or 0) / 60))
            self._calls.store.update(msgspec.structs.replace(call, price=f"{-0.014 * minutes:.5f}"))

    # TwiML

    def _fetch(self, event: Fetch, at: float) -> None:
        call = self._calls.live_call(event.sid, "in-progress")
        script = self._calls.script(event.sid)
        if call is not None and event.generation == script.generation:
            self._request_twiml(call, script, at)

    def _request_twiml(self, call: CallRow, script: CallScript, at: float) -> None:
        """Requests TwiML from the application; TwiML given with the call is followed at once."""
        request = self._calls.twiml_request(call, script, at)
        if script.url is None:
            self._follow_response(
                request, OutboundResponse(status=200, text=script.twiml or "<Response/>")
            )
        else:
            self._send(request)

    def _send(self, request: OutboundRequest) -> None:
        """Queues a TwiML request. Until its response, the call's events are not played."""
        self._awaiting_response.add(request.sid)
        self._calls.outbox.append(request)

    def _follow_response(self, request: OutboundRequest, response: OutboundResponse) -> None:
        call = self._calls.live_call(request.sid, "in-progress")
        script = self._calls.script(request.sid)
        if request.generation != script.generation:
            return
        self._awaiting_response.discard(request.sid)
        if call is None:
            return
        try:
            steps = _steps(response)
        except _NoTwiml as error:
            self._handle_bad_response(request, response, call, script, error)
        else:
            self._calls.save_script(call.sid, msgspec.structs.replace(script, steps=steps))
            self._calls.schedule(request.at, Proceed(call.sid, script.generation))

    def _handle_bad_response(
        self,
        request: OutboundRequest,
        response: OutboundResponse,
        call: CallRow,
        script: CallScript,
        error: "_NoTwiml",
    ) -> None:
        """Stores a notification, then requests the fallback URL or ends the call."""
        self._calls.add_notification(request, error.code, str(error), response)
        if request.purpose == "twiml" and script.fallback_url:
            failure = (error.code, request.url)
            self._send(self._calls.twiml_request(call, script, request.at, failure=failure))
        else:
            self._end(call, "completed", request.at)

    def _set_recording_callback(self, sid: str, url: str | None) -> None:
        if url:
            script = self._calls.script(sid)
            changed = msgspec.structs.replace(script, recording_callback=Callback(url))
            self._calls.save_script(sid, changed)


class _NoTwiml(Exception):
    """A response without usable TwiML, with the service's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _steps(response: OutboundResponse) -> tuple[Step, ...]:
    """The steps in an application's response; raises _NoTwiml."""
    if response.status is None:
        raise _NoTwiml("11205", response.text)
    if not response.ok:
        raise _NoTwiml("11200", f"HTTP {response.status}")
    try:
        return twiml.steps(response.text)
    except twiml.BadTwiml as error:
        raise _NoTwiml("12100", str(error)) from None
