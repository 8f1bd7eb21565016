"""Requests to applications: where they may go, and what comes back when they go wrong."""

import pytest

from gateway.sandbox.outbound import OutboundRequest, send
from tests.sandbox.receiver import Application
from tests.sandbox.rows import NOON, sid


def request(url: str) -> OutboundRequest:
    return OutboundRequest(
        sid=sid("CA", 1), at=NOON, url=url, parameters=(("To", "+1"),), purpose="status"
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/", "not an http or https URL"),
        ("/voice", "not an http or https URL"),
        ("http://127.0.0.1:99999/", "Port out of range"),
        ("http://127.0.0.1:1/a b", "URL can't contain control characters"),
        ("http://127.0.0.1:1/", "refused"),
        ("https://127.0.0.1:1/", "refused"),
        ("http://192.0.2.1/", "only connects to this machine"),
        ("http://[2001:db8::1]/", "only connects to this machine"),
        ("http://example.com/", "only connects to this machine"),
    ],
)
def test_what_cannot_be_sent_is_a_reply_that_says_why(url: str, words: str) -> None:
    response = send(request(url), "token", anywhere=False)

    assert (response.status, response.ok) == (None, False)
    assert words in response.text


def test_this_machine_may_be_called_by_its_name(app: Application) -> None:
    response = send(request(app.origin.replace("127.0.0.1", "localhost")), "token", anywhere=False)

    assert response.ok
    assert app.received[0].form == {"To": "+1"}


def test_redirects_end_somewhere(app: Application) -> None:
    app.answers["/round"] = (302, "/round")

    response = send(request(app.origin + "/round"), "token", anywhere=True)

    assert (response.status, response.text) == (None, "too many redirects")
    assert [one.method for one in app.received] == ["POST", "GET", "GET", "GET", "GET"]


def test_a_redirect_does_not_lead_to_another_machine(app: Application) -> None:
    app.answers["/away"] = (302, "http://192.0.2.1/")

    response = send(request(app.origin + "/away"), "token", anywhere=False)

    assert "only connects to this machine" in response.text


def test_the_token_shows_in_no_reply(app: Application) -> None:
    replies = [
        send(request(url), "a-secret-token", anywhere=False)
        for url in (app.origin, "http://127.0.0.1:1/", "nowhere")
    ]

    assert "a-secret-token" not in repr(replies)
    assert "a-secret-token" not in repr(app.received)
