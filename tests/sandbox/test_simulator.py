"""The simulator on its own: no thread, no socket, and the test decides when a response comes."""

from collections.abc import Iterator

import pytest

from gateway.sandbox.call_script import CallScript
from gateway.sandbox.outbound import OutboundRequest, OutboundResponse
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.resources import CallRow
from gateway.sandbox.simulator import CallSimulator
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.rows import NOON

URL = "http://127.0.0.1/voice"
PAUSE = CallScript(twiml='<Response><Pause length="30"/></Response>')


class Simulation:
    """A simulator over an empty store."""

    def __init__(self) -> None:
        self.store = SandboxDatabase(":memory:")
        self.calls = CallRepository(self.store, "AC" + "0" * 32)
        self.simulator = CallSimulator(self.calls, calls_per_second=1)

    def make(self, script: CallScript) -> str:
        return self.simulator.make_call("+14155550199", "+14155550100", script, NOON).sid

    def call(self, sid: str) -> CallRow:
        found = self.store.get(CallRow, sid)
        assert found is not None
        return found

    def sent(self) -> list[OutboundRequest]:
        """The requests in the outbox, which is emptied."""
        requests, self.calls.outbox[:] = list(self.calls.outbox), []
        return requests


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    opened = Simulation()
    yield opened
    opened.store.close()


def hang_up() -> OutboundResponse:
    return OutboundResponse(status=200, text="<Response><Hangup/></Response>")


def test_the_response_to_an_outdated_request_is_ignored(simulation: Simulation) -> None:
    sid = simulation.make(CallScript(url=URL))
    simulation.simulator.catch_up(NOON + 5)
    (request,) = simulation.sent()

    simulation.simulator.redirect(simulation.call(sid), PAUSE, NOON + 6)
    simulation.simulator.handle_response(request, hang_up())
    simulation.simulator.catch_up(NOON + 20)

    assert simulation.call(sid).status == "in-progress"
    simulation.simulator.catch_up(NOON + 36)
    assert simulation.call(sid).status == "completed"


def test_a_response_for_an_ended_call_changes_nothing(simulation: Simulation) -> None:
    sid = simulation.make(CallScript(url=URL))
    simulation.simulator.catch_up(NOON + 5)
    (request,) = simulation.sent()

    ended = simulation.simulator.hang_up(simulation.call(sid), NOON + 6)
    simulation.simulator.handle_response(request, OutboundResponse(status=500, text=""))
    simulation.simulator.catch_up(NOON + 10)

    assert simulation.call(sid) == ended


def test_until_the_response_the_call_waits_and_others_proceed(
    simulation: Simulation,
) -> None:
    waiting = simulation.make(CallScript(url=URL, time_limit=10))
    other = simulation.make(CallScript(twiml="<Response/>"))

    simulation.simulator.catch_up(NOON + 60)
    assert simulation.call(waiting).status == "in-progress"
    assert simulation.call(other).status == "completed"
    (request,) = simulation.sent()
    simulation.simulator.handle_response(
        request, OutboundResponse(status=200, text=PAUSE.twiml or "")
    )
    simulation.simulator.catch_up(NOON + 60)

    assert simulation.call(waiting).end_time == NOON + 5 + 10


def test_an_ended_call_has_no_event_left_but_its_price(
    simulation: Simulation,
) -> None:
    sid = simulation.make(CallScript(twiml="<Response/>"))

    simulation.simulator.catch_up(NOON + 6)

    assert simulation.call(sid).price is None
    assert simulation.store.next_due() == NOON + 5 + 30
    simulation.simulator.catch_up(NOON + 36)
    assert simulation.call(sid).price is not None
    assert simulation.store.next_due() is None


def test_events_that_are_played_late_keep_their_own_times(
    simulation: Simulation,
) -> None:
    sid = simulation.make(PAUSE)

    simulation.simulator.catch_up(NOON + 5000)

    call = simulation.call(sid)
    assert (call.start_time, call.end_time) == (NOON + 1, NOON + 35)
