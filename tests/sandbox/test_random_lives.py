"""Any sequence of requests, responses and time keeps the invariants of the status table."""

from itertools import product

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.sandbox.call_script import Callback, CallScript
from gateway.sandbox.lifecycle import FINAL, FOLLOWS, LIVE
from gateway.sandbox.outbound import OutboundResponse
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.resources import CallRow, RecordingRow
from gateway.sandbox.simulator import OUTCOMES, CallSimulator
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.rows import NOON

VERBS = st.sampled_from(
    [
        "<Pause length='9'/>",
        "<Record maxLength='7'/>",
        "<Dial timeout='15'>+15005550012</Dial>",
        "<Dial record='true'><Client>tommy</Client><Number>+15005550011</Number></Dial>",
        "<Dial/>",
        "<Redirect>/next</Redirect>",
        "<Hangup/>",
    ]
)
TWIML = st.lists(VERBS, max_size=4).map(lambda verbs: f"<Response>{''.join(verbs)}</Response>")
RESPONSES = st.one_of(
    TWIML.map(lambda text: OutboundResponse(status=200, text=text)),
    st.sampled_from(
        [OutboundResponse(status=500, text=""), OutboundResponse(status=None, text="nobody")]
    ),
)
SCRIPTS = st.builds(
    CallScript,
    url=st.sampled_from([None, "http://127.0.0.1/voice"]),
    twiml=TWIML,
    fallback_url=st.sampled_from([None, "http://127.0.0.1/fallback"]),
    status_callback=st.sampled_from(
        [None, Callback("http://127.0.0.1/status", "POST", ("initiated", "completed"))]
    ),
    timeout=st.integers(1, 60),
    time_limit=st.integers(1, 500),
    record=st.booleans(),
)


def reachable() -> set[tuple[str, str]]:
    """Every pair of statuses of which the second can follow the first in any number of steps."""
    found = {(before, after) for before in FOLLOWS for after in FOLLOWS[before]}
    found |= {(status, status) for status in FOLLOWS}
    for through, before, after in product(FOLLOWS, FOLLOWS, FOLLOWS):
        if (before, through) in found and (through, after) in found:
            found.add((before, after))
    return found


REACHABLE = reachable()


class Lives(RuleBasedStateMachine):
    """Calls of an account and an application that act at random."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SandboxDatabase(":memory:")
        self.calls = CallRepository(self.store, "AC" + "0" * 32)
        self.simulator = CallSimulator(self.calls, calls_per_second=2)
        self.now = float(NOON)
        self.previous_calls: dict[str, CallRow] = {}

    def teardown(self) -> None:
        """All calls end, and no event or request is left."""
        for _ in range(600):
            self.answer(OutboundResponse(status=200, text="<Response/>"))
            self.wait(60)
            if self.store.next_due() is None and not self.calls.outbox:
                break
        assert self.store.next_due() is None
        assert all(call.status in FINAL for call in self.all_calls())
        self.states_are_valid()
        self.store.close()

    def all_calls(self) -> list[CallRow]:
        return self.store.older(CallRow, [], limit=1000)

    @rule(to=st.sampled_from(["+14155550199", "client:tommy", *OUTCOMES]), script=SCRIPTS)
    def make(self, to: str, script: CallScript) -> None:
        self.simulator.make_call(to, "+14155550100", script, self.now)

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.simulator.catch_up(self.now)

    @rule(response=RESPONSES)
    def answer(self, response: OutboundResponse) -> None:
        requests, self.calls.outbox[:] = list(self.calls.outbox), []
        for request in requests:
            self.simulator.handle_response(request, response)

    @rule(pick=st.integers(0, 50), script=SCRIPTS)
    def redirect(self, pick: int, script: CallScript) -> None:
        calls = [call for call in self.all_calls() if call.status == "in-progress"]
        if calls:
            self.simulator.redirect(calls[pick % len(calls)], script, self.now)

    @rule(pick=st.integers(0, 50))
    def hang_up(self, pick: int) -> None:
        calls = [call for call in self.all_calls() if call.status in LIVE]
        if calls:
            self.simulator.hang_up(calls[pick % len(calls)], self.now)

    @rule(pick=st.integers(0, 50), seconds=st.integers(0, 30))
    def limit(self, pick: int, seconds: int) -> None:
        calls = [call for call in self.all_calls() if call.status in LIVE]
        if calls:
            self.simulator.set_time_limit(calls[pick % len(calls)], seconds, self.now)

    @invariant()
    def states_are_valid(self) -> None:
        calls = {call.sid: call for call in self.all_calls()}
        for sid, call in calls.items():
            before = self.previous_calls.get(sid)
            assert before is None or (before.status, call.status) in REACHABLE
            if call.status in LIVE and call.parent_call_sid:
                assert calls[call.parent_call_sid].status == "in-progress"
            if call.status == "completed":
                assert call.start_time is not None
                assert call.end_time is not None
                assert call.date_created <= call.start_time <= call.end_time <= self.now
            assert (call.price is None) or call.status == "completed"
        for recording in self.store.older(RecordingRow, [], limit=1000):
            if recording.status == "in-progress":
                assert calls[recording.call_sid or ""].status == "in-progress"
        self.previous_calls = calls


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
