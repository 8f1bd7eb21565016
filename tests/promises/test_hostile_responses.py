"""Hostile and broken responses of upstream: each ends in a clean error, and nothing breaks.

One gateway gets them all, with healthy responses in between. At the end the process is alive and
its memory small. Responses that give a partial answer are in test_odd_answers.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.plain_twilio import ACCOUNT, ROOT, TOKEN, sid
from tests.promises.faults import (
    endless,
    gzip_bomb,
    instead,
    is_cut_short,
    mangled,
    raw,
    says,
    truncates,
)
from tests.promises.faulty import Fault, FaultyTwilio, misbehaving
from tests.promises.rows import final
from tests.promises.stand import Stand, one_call

LIST = "{ calls(first: 3) { nodes { sid } } }"
LONG_LIST = "{ calls(first: 1000) { nodes { sid } } }"
INVALID, UNAVAILABLE = "UPSTREAM_INVALID", "UPSTREAM_UNAVAILABLE"
HEADROOM = 100  # megabytes: half of one body that is too large

pytestmark = pytest.mark.xdist_group("hostile answers")  # they share the gateway that they attack


def rows_are(rows: object) -> Fault:
    """An envelope with these for rows."""
    return mangled(lambda body: body | {"calls": rows})


def leads_to(link: str) -> Fault:
    """Pages whose next page is there."""
    return mangled(lambda body: body | {"next_page_uri": link})


@dataclass(frozen=True)
class Case:
    """A fault of every list of calls, the code of the error, and the query that meets it."""

    fault: Fault
    code: str = INVALID
    query: str = LIST


NESTED = b'{"calls": ' + b"[" * 100_000
OTHER_ACCOUNT = ROOT.replace(ACCOUNT, "AC" + "b" * 32)
CASES = {
    "truncated JSON": Case(truncates),
    "a body that ends early": Case(is_cut_short, UNAVAILABLE),
    "invalid JSON": Case(instead(b'{"calls": [nonsense]}')),
    "nothing": Case(instead(b"")),
    "not UTF-8": Case(instead('{"calls": []}'.encode("utf-16"))),
    "nested without end": Case(instead(NESTED)),
    "a number of a million digits": Case(instead(b'{"calls": [' + b"9" * 1_000_000)),
    "an HTML page": Case(instead(b"<html>Sorry</html>", "text/html")),
    "XML": Case(instead(b"<TwilioResponse/>", "application/xml")),
    "an envelope that is a list": Case(instead(b"[]")),
    "an envelope of another kind": Case(instead(b'{"recordings": []}')),
    "rows that are null": Case(rows_are(None)),
    "rows that are an object": Case(rows_are({"sid": "CA"})),
    "no content": Case(says(204, b"")),
    "not modified": Case(says(304, b"")),
    "a page of an error as a success": Case(instead(b'{"code": 20003, "status": 401}')),
    "no HTTP": Case(raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), UNAVAILABLE),
    "headers without end": Case(raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000), UNAVAILABLE),
    "gzip that is none": Case(instead(b"plain", Content_Encoding="gzip")),
    "an encoding that nobody knows": Case(instead(b"\x00\x01", Content_Encoding="x-made-up")),
    "200 megabytes": Case(endless(200)),
    "a gzip bomb": Case(gzip_bomb(200)),
    "the next page on another host": Case(
        leads_to(f"https://evil.example{ROOT}Calls.json?Page=1"), query=LONG_LIST
    ),
    "the next page on another scheme": Case(leads_to("file:///etc/passwd"), query=LONG_LIST),
    "the next page of another account": Case(
        leads_to(f"{OTHER_ACCOUNT}Calls.json?Page=1"), query=LONG_LIST
    ),
    "the next page of another list": Case(
        leads_to(f"{ROOT}Recordings.json?Page=1"), query=LONG_LIST
    ),
    "the next page is no text": Case(
        mangled(lambda body: body | {"next_page_uri": {"a": 1}}), query=LONG_LIST
    ),
}


@pytest.fixture
def elsewhere() -> Iterator[FaultyTwilio]:
    """Another origin, which must never get a request, least of all with a credential."""
    with misbehaving() as other:
        yield other
        assert other.look().requests == []


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_response_is_a_clean_error(here: Stand, name: str) -> None:
    case = CASES[name]
    here.peak_memory()
    before = here.peak_memory()
    here.upstream.fail(case.fault, "^GET Calls[?]")
    answer = await here.query(case.query)

    assert answer.status == 200
    assert answer.body["data"] == {"calls": None}
    assert answer.codes == {case.code}
    assert len(here.upstream.look().requests) <= 6
    assert here.peak_memory() - before < HEADROOM


async def test_a_loop_of_next_pages_ends_the_list(here: Stand) -> None:
    """A page that names a page that was read: the rows are all that there are."""
    here.upstream.fail(
        leads_to(f"{ROOT}Calls.json?PageSize=50&Page=1&PageToken=PA{sid('CA', 50)}"),
        "^GET Calls[?]",
    )
    answer = await here.query("{ calls(first: 1000) { nodes { sid } isComplete } }")

    assert answer.codes == set()
    assert answer.body["data"]["calls"]["isComplete"]
    assert len(here.upstream.look().requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    here: Stand, elsewhere: FaultyTwilio, status: int
) -> None:
    """Neither to another origin, nor is a credential sent there."""
    here.upstream.fail(says(status, b"", Location=f"{elsewhere.url}{ROOT}Calls.json"), "Calls")
    answer = await here.query(LIST)

    assert answer.codes == {INVALID}
    assert elsewhere.url not in str(answer.body)


async def test_a_next_page_on_another_origin_is_not_requested(
    here: Stand, elsewhere: FaultyTwilio
) -> None:
    """A real port of the same host, with an account of the same name: nothing arrives there."""
    here.upstream.fail(leads_to(f"{elsewhere.url}{ROOT}Calls.json?Page=1"), "^GET Calls[?]")
    answer = await here.query(LONG_LIST)

    assert answer.codes == {INVALID}


async def test_cookies_are_not_kept(here: Stand) -> None:
    here.upstream.fail(
        says(404, b"{}", Set_Cookie="session=stolen; Path=/"), f"^GET Calls/{final(200)}"
    )
    await here.query(one_call(final(200)))
    await here.query_all([one_call(final(number)) for number in range(201, 210)], concurrency=3)

    assert here.upstream.look().cookies == []


async def test_the_credential_is_sent_only_as_a_header_to_upstream(here: Stand) -> None:
    here.upstream.look()
    await here.query(LIST)
    seen = here.upstream.look()

    assert all(header.startswith("Basic ") for header in seen.authorizations)
    assert TOKEN not in str(seen.requests)
