"""What both transports do with the bytes of an upstream, over a real socket."""

import asyncio
import gzip
import logging
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from gateway.errors import (
    RequestNotSent,
    UpstreamError,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.replies import Reply
from gateway.upstream.sending import HttpRequest, Transport, tls_context
from tests.credentials import encoded
from tests.plain_twilio import ACCOUNT, TOKEN
from tests.transports import BOTH, transport_to
from tests.upstream.wire import (
    Answer,
    Wire,
    answer,
    authority,
    closes,
    hangs,
    headers_of,
    resets,
    serving,
    tunnels,
)
from tests.waiting import until_in_loop

pytestmark = BOTH
OK = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
CAP = 100_000
FORM = (("To", "+16175550101"), ("Url", "http://a.example/?b=c d"))


@asynccontextmanager
async def stage(
    via: str, *answers: Answer, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[Transport, Wire, str]]:
    """A transport, the upstream that it reaches, and its URL; nothing is left open at the end."""
    wire = Wire(list(answers))
    async with wire.listening(host) as url:
        transport = transport_to(via, url)
        try:
            yield transport, wire, f"{url}/2010-04-01/Calls.json?To=%2B1617&StartTime%3E=a%3Ab"
        finally:
            await transport.aclose()
            await until_in_loop(lambda: not wire.open)


def get(url: str) -> HttpRequest:
    """A GET of this URL."""
    return HttpRequest("GET", url, CAP)


async def reply_to(via: str, *answers: Answer) -> Reply:
    """The reply of an upstream that answers so."""
    async with stage(via, *answers) as (transport, _, url):
        return await transport.exchange(get(url), 5)


async def test_a_request_is_exactly_what_is_asked(via: str) -> None:
    async with stage(via, OK, OK) as (transport, wire, url):
        await transport.exchange(get(url), 5)
        await transport.exchange(HttpRequest("POST", url, CAP, FORM), 5)

    read, written = wire.requests
    line, path = read.split(b"\r\n")[0].decode(), url.partition(str(wire.port))[2]
    assert line.endswith(f"{path} HTTP/1.1")
    assert line.startswith("GET ")
    assert headers_of(read) == {
        "host": f"127.0.0.1:{wire.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "twilio-calls-gateway",
        "authorization": "Basic " + encoded(ACCOUNT, TOKEN),
    } | {name: value for name, value in headers_of(read).items() if name == "connection"}
    assert written.startswith(b"POST ")
    assert written.endswith(b"\r\n\r\nTo=%2B16175550101&Url=http%3A%2F%2Fa.example%2F%3Fb%3Dc+d")
    assert headers_of(written)["content-type"] == "application/x-www-form-urlencoded"
    assert wire.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
BODIES = {
    "a length": FIVE + b"hello",
    "chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n",
    "a continue before": b"HTTP/1.1 100 Continue\r\n\r\n" + FIVE + b"hello",
    "hints before": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + FIVE + b"hello",
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_whole_however_it_is_framed(via: str, name: str) -> None:
    reply = await reply_to(via, answer(BODIES[name]))

    assert (reply.status, reply.body) == (200, b"hello")


async def test_without_a_length_the_end_of_the_connection_is_the_end(via: str) -> None:
    reply = await reply_to(via, closes(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"))

    assert reply.body == b"hello"


BROKEN = {
    "no byte": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head and no body": FIVE,
    "half a body": FIVE + b"hel",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "half a chunk": CHUNKED + b"5\r\nhel",
    "a chunk too long": CHUNKED + b"2\r\nhello\r\n0\r\n\r\n",
    "a chunk of no size": CHUNKED + b"zz\r\nhello\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 2\r\n\r\nhello",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a long header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_response_is_an_error(via: str, name: str) -> None:
    with pytest.raises(UpstreamUnavailable) as caught:
        await reply_to(via, closes(BROKEN[name]))

    assert caught.value.__suppress_context__


def framed(body: bytes, encoding: str, status: int = 200) -> bytes:
    """A response with this body."""
    head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def test_a_body_that_is_compressed_all_the_same_is_decompressed(via: str) -> None:
    body = b"hello" * 1000
    for encoding, data in {"gzip": gzip.compress(body), " Deflate ": zlib.compress(body)}.items():
        assert (await reply_to(via, answer(framed(data, encoding)))).body == body


@pytest.mark.parametrize(
    "data",
    [
        framed(b"plain", "gzip"),
        framed(gzip.compress(b"hello" * 1000)[:-9], "gzip"),
        framed(b"x", "br"),
        framed(gzip.compress(b"a" * (CAP + 1)), "gzip"),
        framed(b"a" * (CAP + 1), "identity"),
    ],
    ids=["no gzip", "half of it", "unknown", "too large once decompressed", "too large"],
)
async def test_a_body_that_is_too_large_or_unreadable_is_invalid(via: str, data: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        await reply_to(via, answer(data))


async def test_the_body_of_an_error_is_dropped_where_it_is_too_large(via: str) -> None:
    reply = await reply_to(via, answer(framed(b"a" * 70_000, "identity", 503)))

    assert (reply.status, reply.body) == (503, b"")


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
async def test_what_is_beyond_the_cap_is_not_read(via: str, is_tls: bool) -> None:
    """The connection ends while upstream still writes."""
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> bool:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"a" * 100_000)
            await writer.drain()
            written += 100_000

    server, client = authority()
    wire = Wire([endless])
    async with wire.listening(tls=server if is_tls else None) as url, tunnels() as tunnel:
        transport = transport_to(via, tunnel if is_tls else url, tls=client)
        with pytest.raises(UpstreamInvalid):
            await transport.exchange(get(f"{url}/"), 5)
        await until_in_loop(lambda: not wire.open)
        await transport.aclose()

    assert written < 50_000_000  # what the kernel and the tunnel hold


@pytest.mark.parametrize("answering", [hangs(), hangs(FIVE + b"hel")])
async def test_the_deadline_is_that_of_the_whole_exchange(via: str, answering: Answer) -> None:
    async with stage(via, answering) as (transport, wire, url):
        with pytest.raises(UpstreamTimeout):
            await transport.exchange(get(url), 0.1)
        await until_in_loop(lambda: not wire.open)


async def test_a_connection_that_is_not_made_in_time_is_a_request_not_sent(via: str) -> None:
    """The upstream accepts and never begins its TLS handshake."""
    connected = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        connected.set()
        await asyncio.sleep(30)

    async with serving(silent) as port, tunnels() as proxy:
        transport = transport_to(via, proxy, connect_timeout=0.2)
        with pytest.raises(RequestNotSent):
            await transport.exchange(get(f"https://127.0.0.1:{port}/"), 5)
        await transport.aclose()

    assert connected.is_set()


async def test_an_upstream_that_is_not_there_is_a_request_not_sent(via: str) -> None:
    async with stage(via, OK) as (_, _, url):
        pass
    transport = transport_to(via, url)
    with pytest.raises(RequestNotSent):
        await transport.exchange(get(url), 5)
    await transport.aclose()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("loss", [closes(), resets], ids=["closed", "reset"])
async def test_a_kept_connection_that_breaks_before_the_answer_is_an_error(
    via: str, method: str, loss: Answer
) -> None:
    """The request was written: no transport sends it again, not even a GET."""
    async with stage(via, OK, loss, OK) as (transport, wire, url):
        request = HttpRequest(method, url, CAP, FORM if method == "POST" else ())
        await transport.exchange(get(url), 5)
        with pytest.raises(UpstreamUnavailable):
            await transport.exchange(request, 5)
        before = wire.methods
        reply = await transport.exchange(request, 5)

    assert before == ["GET", method]
    assert (reply.status, wire.connections) == (200, 2)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_upstream_has_closed_is_not_used(
    via: str, method: str
) -> None:
    async with stage(via, closes(BODIES["a length"]), OK) as (transport, wire, url):
        await transport.exchange(get(url), 5)
        await until_in_loop(lambda: not wire.open)
        await asyncio.sleep(0.05)  # the end reaches this side
        await transport.exchange(HttpRequest(method, url, CAP), 5)

    assert wire.methods == ["GET", method]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/elsewhere", "http://[", "http://127.0.0.1:9/", "\x00"])
async def test_a_redirect_is_an_answer(via: str, status: int, location: str) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    if location == "\x00":
        head = head.replace("\x00", "\xff")
    async with stage(via, answer(head.encode("latin-1"))) as (transport, wire, url):
        assert (await transport.exchange(get(url), 5)).status == status

    assert len(wire.requests) == 1


async def test_no_cookie_is_kept(via: str) -> None:
    """The host has a name: no library keeps cookies of an address."""
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with stage(via, answer(cookie)) as (transport, wire, url):
        for _ in range(2):
            await transport.exchange(get(url.replace("127.0.0.1", "localhost")), 5)

    assert len(wire.requests) == 2
    assert all("cookie" not in headers_of(request) for request in wire.requests)


async def test_the_environment_has_no_say(
    via: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither its proxies, nor its .netrc, nor its certificates."""
    authority, server = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    tls_context.cache_clear()

    async with stage(via, OK) as (transport, wire, url):
        assert (await transport.exchange(get(url), 5)).status == 200
    secret = Wire([OK])
    async with secret.listening(tls=server) as url, tunnels() as proxy:
        transport = transport_to(via, proxy)
        with pytest.raises(RequestNotSent):
            await transport.exchange(get(url), 5)
        await transport.aclose()

    assert headers_of(wire.requests[0])["authorization"] == "Basic " + encoded(ACCOUNT, TOKEN)
    assert secret.requests == []


async def test_upstream_may_listen_on_ipv6(via: str) -> None:
    async with stage(via, OK, host="::1") as (transport, wire, url):
        assert (await transport.exchange(get(url), 5)).body == b"{}"

    assert headers_of(wire.requests[0])["host"] == f"[::1]:{wire.port}"


async def test_no_log_error_or_repr_has_the_credential_or_the_url(
    via: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is logged at the root's finest level."""
    caplog.set_level(logging.DEBUG)
    said = []
    async with stage(via, OK, answer(framed(b"", "br")), closes()) as (transport, _, url):
        said.append(repr(transport))
        for _attempt in range(4):
            try:
                said.append(repr(await transport.exchange(get(url), 5)))
            except UpstreamError as error:
                said += [repr(error), str(error)]
    said += [record.getMessage() for record in caplog.records if record.name != "asyncio"]

    for secret in (TOKEN, encoded(ACCOUNT, TOKEN), "1617"):
        assert secret not in "\n".join(said)


async def test_a_cancelled_exchange_leaves_no_connection_and_no_task(via: str) -> None:
    """At every moment: before connecting, while connecting, sending, waiting and reading."""
    tasks = asyncio.all_tasks()
    slow = hangs(FIVE + b"hel")
    async with stage(via, slow) as (transport, wire, url):
        for turns in range(60):
            asking = asyncio.ensure_future(transport.exchange(get(url), 5))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert asking.cancelled()
        await until_in_loop(lambda: not wire.open)
    await until_in_loop(lambda: asyncio.all_tasks() <= tasks)
