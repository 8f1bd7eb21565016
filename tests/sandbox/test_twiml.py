"""TwiML is parsed into steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.twiml import (
    BadTwiml,
    Dial,
    Hangup,
    Record,
    Redirect,
    Step,
    Target,
    Wait,
    steps,
)


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("<Say>one two three four five</Say>", Wait(2.0)),
        ("<Say>hi</Say>", Wait(1.0)),
        ('<Say loop="2">one two three four five</Say>', Wait(4.0)),
        ("<Play>https://example.com/a.mp3</Play>", Wait(5)),
        ("<Pause/>", Wait(1)),
        ('<Pause length="7"/>', Wait(7)),
        ("<Gather><Say>press one now please ok</Say></Gather>", Wait(7.0)),
        ('<Record maxLength="4"/>', Record(4)),
        ("<Record/>", Record(10)),
        ("<Hangup/>", Hangup()),
        ("<Reject/>", Hangup()),
        ("<Redirect>/next</Redirect>", Redirect("/next")),
        ('<Redirect method="GET">/next</Redirect>', Redirect("/next", "GET")),
        ("<Dial>+14155550101</Dial>", Dial((Target("+14155550101"),))),
        (
            '<Dial timeout="9" callerId="+14155550100" record="record-from-answer-dual">'
            "<Number>+14155550101</Number><Client>tommy</Client>"
            "<Client><Identity>amara</Identity></Client>"
            "<Sip>sip:kevin@pbx.example.com</Sip></Dial>",
            Dial(
                (
                    Target("+14155550101"),
                    Target("client:tommy"),
                    Target("client:amara"),
                    Target("sip:kevin@pbx.example.com"),
                ),
                timeout=9,
                caller_id="+14155550100",
                record=True,
                channels=2,
            ),
        ),
        (
            '<Dial><Number statusCallback="http://127.0.0.1/s" statusCallbackMethod="GET"'
            ' statusCallbackEvent="initiated completed">+14155550101</Number></Dial>',
            Dial(
                (Target("+14155550101", "http://127.0.0.1/s", "GET", ("initiated", "completed")),)
            ),
        ),
    ],
)
def test_a_verb_becomes_a_step(verb: str, step: Step) -> None:
    assert steps(f"<Response>{verb}</Response>") == (step,)


def test_unknown_verbs_are_skipped_and_order_is_kept() -> None:
    text = "<Response><Pause/><Dance/><Hangup/></Response>"

    assert steps(text) == (Wait(1), Hangup())


@pytest.mark.parametrize(
    "text",
    ["", "hello", "<Response>", "<html/>", "<!DOCTYPE x><Response/>"],
)
def test_text_that_is_no_twiml_is_refused(text: str) -> None:
    with pytest.raises(BadTwiml):
        steps(text)


@given(st.text())
def test_any_text_is_steps_or_bad_twiml(text: str) -> None:
    try:
        steps(text)
    except BadTwiml:
        return
    assert "<Response" in text
