"""Requests to applications: allowed hosts, and the result of a failure."""

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
def test_a_request_that_cannot_be_sent_returns_the_reason(url: str, words: str) -> None:
    response = send(request(url), "token", anywhere=False)

    assert (response.status, response.ok) == (None, False)
    assert words in response.text


def test_localhost_is_allowed(app: Application) -> None:
    response = send(request(app.origin.replace("127.0.0.1", "localhost")), "token", anywhere=False)

    assert response.ok
    assert app.received[0].form == {"To": "+1"}


def test_the_number_of_redirects_is_limited(app: Application) -> None:
    app.answers["/round"] = (302, "/round")

    response = send(request(app.origin + "/round"), "token", anywhere=True)

    assert (response.status, response.text) == (None, "too many redirects")
    assert [request.method for request in app.received] == ["POST", "GET", "GET", "GET", "GET"]


def test_a_redirect_does_not_lead_to_another_machine(app: Application) -> None:
    app.answers["/away"] = (302, "http://192.0.2.1/")

    response = send(request(app.origin + "/away"), "token", anywhere=False)

    assert "only connects to this machine" in response.text


def test_no_response_contains_the_token(app: Application) -> None:
    responses = [
        send(request(url), "a-secret-token", anywhere=False)
        for url in (app.origin, "http://127.0.0.1:1/", "nowhere")
    ]

    assert "a-secret-token" not in repr(responses)
    assert "a-secret-token" not in repr(app.received)
