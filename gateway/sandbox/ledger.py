"""The book of the calls that are made: their rows, their plans, and who is told what.

Writes down what the switchboard decides, and puts what has to be told into the outbox. Takes the
moment of everything, in seconds since 1970, UTC. Knows no HTTP and no SQL.
"""

import math
import uuid
from typing import Any, Literal

import msgspec

from gateway.sandbox import lifecycle
from gateway.sandbox.errands import OutboundRequest, OutboundResponse
from gateway.sandbox.filters import Equal
from gateway.sandbox.plans import Callback, Event, Plan
from gateway.sandbox.reports import (
    Form,
    call_report,
    notification,
    recording_report,
    voice_request,
)
from gateway.sandbox.resources import CallRow, RecordingRow
from gateway.sandbox.store import SandboxDatabase

_MANY = 1000


class CallRepository:
    """The calls of one account in one store, and the requests that wait to be sent."""

    def __init__(self, store: SandboxDatabase, account_sid: str) -> None:
        self.store = store
        self.outbox: list[OutboundRequest] = []
        self._account_sid = account_sid

    # Calls

    def open(self, at: float, **fields: Any) -> CallRow:
        """A new call, queued."""
        second = int(at)
        call = CallRow(
            sid=_sid("CA"), date_created=second, date_updated=second, status="queued", **fields
        )
        self.store.add([call])
        return call

    def live(self, sid: str | None, status: str | None = None) -> CallRow | None:
        """The call of this SID if it is live, and if it has the status asked for."""
        call = self.store.get(CallRow, sid) if sid else None
        if call is None or call.status not in lifecycle.LIVE:
            return None
        return call if status in (None, call.status) else None

    def live_children(self, call: CallRow) -> list[CallRow]:
        """The dialled legs of a call that have not ended, in the order they were dialled."""
        children = self.store.older(CallRow, [Equal("parent_call_sid", call.sid)], limit=_MANY)
        return [child for child in children[::-1] if child.status in lifecycle.LIVE]

    def change(self, call: CallRow, status: str, at: float) -> CallRow:
        """The call with another status; raises IllegalChange."""
        changed = lifecycle.change(call, status, int(at))
        self.store.change(changed)
        return changed

    # Recordings

    def record(
        self, call: CallRow, at: float, source: str, *, channels: int = 1, track: str = "both"
    ) -> RecordingRow:
        """A recording that goes on until the call ends or it is stopped."""
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
        self._tell_of(recording, at)
        return recording

    def stop(self, recording: RecordingRow, at: float) -> RecordingRow:
        """The recording, completed or, when it is empty, absent; a callback tells of it."""
        length = int(at) - (recording.start_time or int(at))
        done = msgspec.structs.replace(
            recording,
            status="completed" if length else "absent",
            date_updated=int(at),
            duration=length,
            price=f"{-0.0025 * max(1, math.ceil(length / 60)):.4f}",
            price_unit="USD",
        )
        self.store.change(done)
        self._tell_of(done, at)
        return done

    def stop_all(self, call: CallRow, at: float, source: str | None = None) -> RecordingRow | None:
        """Ends the recordings of a call that go on; returns the newest of them."""
        rows = self.store.older(RecordingRow, [Equal("call_sid", call.sid)], limit=_MANY)
        going = [
            row
            for row in rows
            if row.status in ("in-progress", "paused") and source in (None, row.source)
        ]
        return next(iter([self.stop(row, at) for row in going]), None)

    # Plans and the agenda

    def plan(self, sid: str) -> Plan:
        """What a call has been told; one that was never told anything has an empty plan."""
        plan = self.store.plan(sid)
        return msgspec.json.decode(plan, type=Plan) if plan else Plan()

    def keep(self, sid: str, plan: Plan) -> None:
        """Writes down what a call has been told."""
        self.store.set_plan(sid, msgspec.json.encode(plan))

    def at(self, due: float, event: Event) -> None:
        """Puts an event on the agenda."""
        self.store.schedule(due, event.sid, msgspec.json.encode(event))

    # Applications

    def question(
        self, call: CallRow, plan: Plan, at: float, *, trouble: tuple[str, str] | None = None
    ) -> OutboundRequest:
        """The request for the plan's TwiML or, after trouble with it, to the fallback URL."""
        request = voice_request(self._account_sid, call)
        if not trouble:
            where = Callback(plan.url or "", plan.method)
            return self._errand(call.sid, where, request, at, "twiml")
        request = (*request, ("ErrorCode", trouble[0]), ("ErrorUrl", trouble[1]))
        where = Callback(plan.fallback_url or "", plan.fallback_method)
        return self._errand(call.sid, where, request, at, "fallback")

    def tell(
        self, call: CallRow, event: str, at: float, *, recording: RecordingRow | None = None
    ) -> None:
        """Sends a status callback, if the application wants to be told of this event."""
        plan = self.plan(call.sid)
        callback = plan.status_callback
        if callback is None or event not in callback.events:
            return
        status = "initiated" if event == "initiated" else call.status
        report = call_report(self._account_sid, call, status, at, plan.told, recording)
        self.keep(call.sid, msgspec.structs.replace(plan, told=plan.told + 1))
        self.outbox.append(self._errand(call.sid, callback, report, at, "status"))

    def _tell_of(self, recording: RecordingRow, at: float) -> None:
        """Sends a recording callback, if the application wants to be told of this status."""
        sid = recording.call_sid or ""
        callback = self.plan(sid).recording_callback
        if callback and recording.status in callback.events:
            report = recording_report(self._account_sid, recording)
            self.outbox.append(self._errand(sid, callback, report, at, "recording"))

    def notify(
        self, errand: OutboundRequest, code: str, message: str, reply: OutboundResponse
    ) -> None:
        """Leaves a notification about a request that did not go well."""
        self.store.add([notification(_sid("NO"), errand, code, message, reply)])

    def _errand(
        self,
        sid: str,
        callback: Callback,
        report: Form,
        at: float,
        purpose: Literal["twiml", "fallback", "status", "recording"],
    ) -> OutboundRequest:
        return OutboundRequest(
            sid=sid,
            at=at,
            url=callback.url,
            method="GET" if callback.method == "GET" else "POST",
            parameters=report,
            purpose=purpose,
            turn=self.plan(sid).turn,
        )


def _sid(prefix: str) -> str:
    return prefix + uuid.uuid4().hex
