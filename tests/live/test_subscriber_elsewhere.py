"""Two gateways that share a server: a subscriber of one gets the events of the other."""

from gateway.settings import Secret
from tests.live.servers import ServerProcess
from tests.plain_twilio import PlainTwilio, call
from tests.server.sockets import stage


async def test_a_webhook_at_one_gateway_reaches_a_subscriber_of_the_other(
    server: ServerProcess,
) -> None:
    """Also after the server was away: the subscriber gets the state that it missed."""
    twilio = PlainTwilio(calls=[call(1, status="ringing")])
    url = Secret(server.url)
    async with (
        stage(twilio, store_url=url) as a,
        stage(twilio, store_url=url) as b,
        b.socket() as client,
    ):
        await client.watch(1)
        events = [await client.event()]
        await a.goes(1, "in-progress")
        events.append(await client.event())
        server.stop()
        await a.goes(1, "completed")
        server.start()
        events.append(await client.event())
        end = await client.receive()

    assert [(status, previous) for status, previous, _ in events] == [
        ("RINGING", None),
        ("IN_PROGRESS", "RINGING"),
        ("COMPLETED", "IN_PROGRESS"),
    ]
    assert {source for _, _, source in events[1:]} == {"WEBHOOK"}
    assert end["type"] == "complete"
