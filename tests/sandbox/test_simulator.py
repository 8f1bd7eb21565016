"""The switchboard by itself: no thread, no socket, and answers that come when the test says."""

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


class Exchange:
    """A switchboard over an empty store."""

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
        """What has to be sent, taken out of the outbox."""
        waiting, self.calls.outbox[:] = list(self.calls.outbox), []
        return waiting


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    opened = Exchange()
    yield opened
    opened.store.close()


def hang_up() -> OutboundResponse:
    return OutboundResponse(status=200, text="<Response><Hangup/></Response>")


def test_an_answer_to_a_question_that_was_taken_back_is_ignored(exchange: Exchange) -> None:
    sid = exchange.make(CallScript(url=URL))
    exchange.simulator.catch_up(NOON + 5)
    (question,) = exchange.sent()

    exchange.simulator.redirect(exchange.call(sid), PAUSE, NOON + 6)
    exchange.simulator.handle_response(question, hang_up())
    exchange.simulator.catch_up(NOON + 20)

    assert exchange.call(sid).status == "in-progress"
    exchange.simulator.catch_up(NOON + 36)
    assert exchange.call(sid).status == "completed"


def test_an_answer_to_a_call_that_has_ended_changes_nothing(exchange: Exchange) -> None:
    sid = exchange.make(CallScript(url=URL))
    exchange.simulator.catch_up(NOON + 5)
    (question,) = exchange.sent()

    ended = exchange.simulator.hang_up(exchange.call(sid), NOON + 6)
    exchange.simulator.handle_response(question, OutboundResponse(status=500, text=""))
    exchange.simulator.catch_up(NOON + 10)

    assert exchange.call(sid) == ended


def test_while_an_application_thinks_its_call_stands_still_and_others_go_on(
    exchange: Exchange,
) -> None:
    thinking = exchange.make(CallScript(url=URL, time_limit=10))
    other = exchange.make(CallScript(twiml="<Response/>"))

    exchange.simulator.catch_up(NOON + 60)
    assert exchange.call(thinking).status == "in-progress"
    assert exchange.call(other).status == "completed"
    (question,) = exchange.sent()
    exchange.simulator.handle_response(
        question, OutboundResponse(status=200, text=PAUSE.twiml or "")
    )
    exchange.simulator.catch_up(NOON + 60)

    assert exchange.call(thinking).end_time == NOON + 5 + 10


def test_a_call_that_has_ended_leaves_nothing_on_the_agenda_but_its_price(
    exchange: Exchange,
) -> None:
    sid = exchange.make(CallScript(twiml="<Response/>"))

    exchange.simulator.catch_up(NOON + 6)

    assert exchange.call(sid).price is None
    assert exchange.store.next_due() == NOON + 5 + 30
    exchange.simulator.catch_up(NOON + 36)
    assert exchange.call(sid).price is not None
    assert exchange.store.next_due() is None


def test_events_happen_at_their_own_moments_however_late_they_are_played(
    exchange: Exchange,
) -> None:
    sid = exchange.make(PAUSE)

    exchange.simulator.catch_up(NOON + 5000)

    call = exchange.call(sid)
    assert (call.start_time, call.end_time) == (NOON + 1, NOON + 35)
