"""Plays the calls that are made: what is due happens, in order, up to the present.

The switchboard takes events off the agenda, changes rows as the lifecycle allows, and leaves
requests to applications in its outbox; their answers are brought back to it. It never waits: no
thread, no socket and no clock of its own, so a minute can be played at once. Knows no HTTP and no
SQL.

Note [Simulated answers]. Nobody is there to pick up. A number of ``OUTCOMES`` ends as that table
says; anybody else rings for a few seconds and answers. A dialled party talks for ``TALK`` seconds
and hangs up; a call whose TwiML is over hangs up.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

import msgspec

from gateway.sandbox import lifecycle, people, twiml
from gateway.sandbox.errands import OutboundRequest, OutboundResponse
from gateway.sandbox.ledger import CallRepository
from gateway.sandbox.plans import (
    AnswerCall,
    Callback,
    DialCall,
    End,
    Event,
    Fetch,
    Plan,
    Proceed,
    Ring,
    SetPrice,
    StopRecording,
)
from gateway.sandbox.resources import CallRow, RecordingRow
from gateway.sandbox.twiml import Dial, Hangup, Record, Redirect, Step, Wait

RING_AFTER = 1
"""Seconds from placing a call to the other side ringing."""
ANSWER_AFTER = 4
"""Seconds of ringing before somebody picks up."""
BUSY_AFTER = 2
TALK = 20
"""Seconds a dialled party talks."""
FETCH_AFTER = 1
"""Seconds that a Redirect takes, so that one that leads to itself does not stop the clock."""
PRICE_AFTER = 30
"""Seconds from the end of a call to its price."""
OUTCOMES = {
    "+15005550011": "busy",
    "+15005550012": "no-answer",
    "+15005550013": "failed",
    "+15005550014": "machine",
}
"""Numbers of the sandbox's own that do not simply answer."""


class CallSimulator:
    """The calls of one store. All methods take the present moment, in seconds since 1970, UTC."""

    def __init__(self, book: CallRepository, calls_per_second: float) -> None:
        self._book = book
        self._interval = 1 / calls_per_second
        self._next_place = 0.0
        self._waiting: set[str] = set()
        self._playing: Mapping[type[Event], Callable[[Any, float], None]] = {
            DialCall: self._place,
            Ring: self._ring,
            AnswerCall: self._answer,
            End: self._end_event,
            Fetch: self._fetch,
            Proceed: self._proceed,
            StopRecording: self._stop_recording,
            SetPrice: self._set_price,
        }

    def forget(self) -> None:
        """Begins again with nothing to play; the book and the store are emptied by their owner."""
        self._book.outbox.clear()
        self._waiting.clear()
        self._next_place = 0.0

    # What the account asks for

    def make(self, to: str, from_: str, plan: Plan, now: float) -> CallRow:
        """A queued call; those above the calls-per-second limit wait for their turn."""
        placed = max(now, self._next_place)
        self._next_place = placed + self._interval
        call = self._book.open(
            now,
            to=to,
            from_=from_,
            direction="outbound-api",
            phone_number_sid=people.LINES.get(from_),
            queue_time=math.ceil((placed - now) * 1000),
        )
        self._book.keep(call.sid, plan)
        self._book.at(placed, DialCall(call.sid))
        return call

    def redirect(self, call: CallRow, plan: Plan, now: float) -> None:
        """New TwiML for a call in progress; its dialled legs are hung up."""
        old = self._book.plan(call.sid)
        status_callback = plan.status_callback or old.status_callback
        changed = msgspec.structs.replace(
            old,
            url=plan.url,
            method=plan.method,
            fallback_url=plan.fallback_url,
            fallback_method=plan.fallback_method,
            twiml=plan.twiml,
            status_callback=status_callback,
            steps=(),
            turn=old.turn + 1,
        )
        self._book.keep(call.sid, changed)
        for child in self._book.live_children(call):
            self.hang_up(child, now)
        self._book.stop_all(call, now, "DialVerb")
        self._ask_for_twiml(call, changed, now)

    def limit(self, call: CallRow, seconds: int, now: float) -> None:
        """A call that goes on ends so many seconds from now."""
        self._book.at(now + seconds, End(call.sid))

    def hang_up(self, call: CallRow, now: float) -> CallRow:
        """Ends a live call, whether it has been answered or not."""
        return self._end(call, lifecycle.hung_up(call.status), now)

    # What happens by itself

    def catch_up(self, now: float) -> None:
        """Plays all that is due."""
        while due := self._book.store.take_due(now, self._waiting):
            moment, event = due[0], msgspec.json.decode(due[1], type=Event)
            self._playing[type(event)](event, moment)

    def answered(self, errand: OutboundRequest, reply: OutboundResponse) -> None:
        """An application's answer to a request from the outbox, or the lack of one."""
        if errand.purpose in ("twiml", "fallback"):
            self._follow_reply(errand, reply)
        elif not reply.ok:
            trouble = f"HTTP {reply.status} response" if reply.status else reply.text
            message = f"Got {trouble} to {errand.url}"
            self._book.notify(errand, "15003", message, reply)

    def _place(self, event: DialCall, at: float) -> None:
        call = self._book.live(event.sid, "queued")
        if call is None:
            return
        self._book.tell(call, "initiated", at)
        if OUTCOMES.get(call.to) == "failed":
            self._book.at(at + RING_AFTER, End(call.sid, "failed"))
        else:
            self._book.at(at + RING_AFTER, Ring(call.sid))

    def _ring(self, event: Ring, at: float) -> None:
        call = self._book.live(event.sid, "queued")
        if call is None:
            return
        call = self._book.change(call, "ringing", at)
        self._book.tell(call, "ringing", at)
        outcome, timeout = OUTCOMES.get(call.to), self._book.plan(call.sid).timeout
        if outcome == "busy":
            self._book.at(at + BUSY_AFTER, End(call.sid, "busy"))
        elif outcome == "no-answer" or timeout < ANSWER_AFTER:
            self._book.at(at + timeout, End(call.sid, "no-answer"))
        else:
            self._book.at(at + ANSWER_AFTER, AnswerCall(call.sid))

    def _answer(self, event: AnswerCall, at: float) -> None:
        call = self._book.live(event.sid, "ringing")
        if call is None:
            return
        call, plan = self._book.change(call, "in-progress", at), self._book.plan(event.sid)
        if plan.machine_detection:
            heard = "machine_start" if OUTCOMES.get(call.to) == "machine" else "human"
            call = msgspec.structs.replace(call, answered_by=heard)
            self._book.store.change(call)
        self._book.tell(call, "answered", at)
        self._book.at(at + plan.time_limit, End(call.sid))
        if plan.record:
            self._book.record(call, at, "OutboundAPI", channels=plan.channels)
        if call.parent_call_sid:
            self._connect(call, at)
        else:
            self._ask_for_twiml(call, plan, at)

    def _connect(self, child: CallRow, at: float) -> None:
        """A dialled party that answers is connected; the others are hung up."""
        parent = self._book.live(child.parent_call_sid)
        if parent is None:
            return
        for other in self._book.live_children(parent):
            if other.sid != child.sid:
                self.hang_up(other, at)
        plan = self._book.plan(parent.sid)
        match plan.steps[:1]:
            case (Dial(record=True, channels=channels),):
                self._book.record(parent, at, "DialVerb", channels=channels)

    def _proceed(self, event: Proceed, at: float) -> None:
        call, plan = self._book.live(event.sid, "in-progress"), self._book.plan(event.sid)
        if call is None or event.turn != plan.turn:
            return
        if not plan.steps:
            self._end(call, "completed", at)
            return
        step, *rest = plan.steps
        if not isinstance(step, Dial):
            plan = msgspec.structs.replace(plan, steps=tuple(rest))
            self._book.keep(call.sid, plan)
        self._take(step, call, plan, at)

    def _take(self, step: Step, call: CallRow, plan: Plan, at: float) -> None:
        match step:
            case Wait():
                self._book.at(at + step.seconds, Proceed(call.sid, plan.turn))
            case Record():
                self._tell_recorder(call.sid, step.callback)
                recording = self._book.record(call, at, "RecordVerb")
                self._book.at(at + step.seconds, StopRecording(call.sid, recording.sid))
                self._book.at(at + step.seconds, Proceed(call.sid, plan.turn))
            case Dial():
                self._tell_recorder(call.sid, step.callback)
                self._dial(step, call, at)
            case Redirect():
                url = urljoin(plan.url or "", step.url)
                moved = msgspec.structs.replace(plan, url=url, method=step.method, twiml=None)
                self._book.keep(call.sid, moved)
                self._book.at(at + FETCH_AFTER, Fetch(call.sid, plan.turn))
            case Hangup():
                self._end(call, "completed", at)

    def _dial(self, dial: Dial, parent: CallRow, at: float) -> None:
        """Legs to all targets. The step stays the first of the plan until they have ended."""
        for target in dial.targets:
            child = self._book.open(
                at,
                to=target.to,
                from_=dial.caller_id or parent.from_,
                direction="outbound-dial",
                parent_call_sid=parent.sid,
            )
            told = target.status_callback and Callback(
                target.status_callback,
                target.status_callback_method,
                target.status_callback_events,
            )
            talk = min(dial.time_limit or TALK, TALK)
            plan = Plan(timeout=dial.timeout, time_limit=talk, status_callback=told or None)
            self._book.keep(child.sid, plan)
            self._book.at(at, DialCall(child.sid))
        if not dial.targets:
            self._dialled(parent, at)

    def _dialled(self, parent: CallRow, at: float) -> None:
        """The legs of a Dial have ended: its recordings too, and the parent goes on."""
        plan = self._book.plan(parent.sid)
        if not (plan.steps and isinstance(plan.steps[0], Dial)):
            return
        self._book.stop_all(parent, at, "DialVerb")
        self._book.keep(parent.sid, msgspec.structs.replace(plan, steps=plan.steps[1:]))
        self._book.at(at, Proceed(parent.sid, plan.turn))

    def _end_event(self, event: End, at: float) -> None:
        call = self._book.live(event.sid)
        if call is None:
            return
        if event.status is None:
            self.hang_up(call, at)
        else:
            self._end(call, event.status, at)

    def _end(self, call: CallRow, status: str, at: float) -> CallRow:
        """A call and all that hangs on it: its legs, its recordings, its price, its parent."""
        call = self._book.change(call, status, at)
        self._book.store.unschedule(call.sid)
        for child in self._book.live_children(call):
            self.hang_up(child, at)
        stopped = self._book.stop_all(call, at)
        self._book.tell(call, "completed", at, recording=stopped)
        if call.status == "completed":
            self._book.at(at + PRICE_AFTER, SetPrice(call.sid))
        parent = self._book.live(call.parent_call_sid, "in-progress")
        if parent and not self._book.live_children(parent):
            self._dialled(parent, at)
        return call

    def _stop_recording(self, event: StopRecording, at: float) -> None:
        recording = self._book.store.get(RecordingRow, event.recording_sid)
        if recording and recording.status in ("in-progress", "paused"):
            self._book.stop(recording, at)

    def _set_price(self, event: SetPrice, at: float) -> None:
        call = self._book.store.get(CallRow, event.sid)
        if call is not None and call.price is None:
            minutes = max(1, math.ceil((call.duration or 0) / 60))
            self._book.store.change(msgspec.structs.replace(call, price=f"{-0.014 * minutes:.5f}"))

    # TwiML

    def _fetch(self, event: Fetch, at: float) -> None:
        call, plan = self._book.live(event.sid, "in-progress"), self._book.plan(event.sid)
        if call is not None and event.turn == plan.turn:
            self._ask_for_twiml(call, plan, at)

    def _ask_for_twiml(self, call: CallRow, plan: Plan, at: float) -> None:
        """Asks the application; TwiML that was given with the call answers at once."""
        errand = self._book.question(call, plan, at)
        if plan.url is None:
            self._follow_reply(
                errand, OutboundResponse(status=200, text=plan.twiml or "<Response/>")
            )
        else:
            self._send(errand)

    def _send(self, errand: OutboundRequest) -> None:
        """Nothing happens to the call until the answer is there."""
        self._waiting.add(errand.sid)
        self._book.outbox.append(errand)

    def _follow_reply(self, errand: OutboundRequest, reply: OutboundResponse) -> None:
        call, plan = self._book.live(errand.sid, "in-progress"), self._book.plan(errand.sid)
        if errand.turn != plan.turn:
            return
        self._waiting.discard(errand.sid)
        if call is None:
            return
        try:
            steps = _steps(reply)
        except _NoTwiml as trouble:
            self._do_without(errand, reply, call, plan, trouble)
        else:
            self._book.keep(call.sid, msgspec.structs.replace(plan, steps=steps))
            self._book.at(errand.at, Proceed(call.sid, plan.turn))

    def _do_without(
        self,
        errand: OutboundRequest,
        reply: OutboundResponse,
        call: CallRow,
        plan: Plan,
        trouble: "_NoTwiml",
    ) -> None:
        """Leaves a notification, then tries the fallback URL or gives the call up."""
        self._book.notify(errand, trouble.code, str(trouble), reply)
        if errand.purpose == "twiml" and plan.fallback_url:
            reason = (trouble.code, errand.url)
            self._send(self._book.question(call, plan, errand.at, trouble=reason))
        else:
            self._end(call, "completed", errand.at)

    def _tell_recorder(self, sid: str, url: str | None) -> None:
        if url:
            plan = self._book.plan(sid)
            told = msgspec.structs.replace(plan, recording_callback=Callback(url))
            self._book.keep(sid, told)


class _NoTwiml(Exception):
    """An answer that holds no TwiML, with the code that the service has for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _steps(reply: OutboundResponse) -> tuple[Step, ...]:
    """What an application's answer tells a call to do."""
    if reply.status is None:
        raise _NoTwiml("11205", reply.text)
    if not reply.ok:
        raise _NoTwiml("11200", f"HTTP {reply.status}")
    try:
        return twiml.steps(reply.text)
    except twiml.BadTwiml as error:
        raise _NoTwiml("12100", str(error)) from None
