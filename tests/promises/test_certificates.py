"""TLS: an upstream with an untrusted certificate gets neither request nor credential."""

import ssl
from collections.abc import Callable

import httpx
import trustme

from tests.promises.rows import final
from tests.promises.stand import one_call, stand

Figure = Callable[[str], None]


async def test_an_untrusted_certificate_is_refused(figure: Figure) -> None:
    """A client that trusts the authority gets a response of the same upstream."""
    server, trusting = (ssl.create_default_context(p) for p in PURPOSES)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with stand(tls=server) as here:
        answer = await here.query(one_call(final(1)))
        seen = here.upstream.look()
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"{here.upstream.url}/")).status_code == 404
    assert answer.codes == {"UPSTREAM_UNAVAILABLE"}
    assert answer.body["data"] == {"call": None}
    assert (seen.requests, seen.authorizations) == ([], [])
    figure("refused, 0 requests, 0 credentials")


PURPOSES = (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH)
