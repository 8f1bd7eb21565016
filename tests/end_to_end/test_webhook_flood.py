"""A flood of unsigned webhooks: Twilio's own get through, over a real port."""

import asyncio
import time

import httpx

from gateway.live.signature import signature_of
from gateway.sandbox import SandboxConfig
from gateway.settings import Secret
from tests.end_to_end.program import Server, serving
from tests.live.webhooks import STATUS, event
from tests.plain_twilio import sid

SIGNED, UNSIGNED_A_SECOND, SECONDS, BATCH = 60, 500, 2, 25
ACCOUNT = SandboxConfig()


async def _sent(server: Server) -> tuple[list[int], list[int], float]:
    """The statuses of unsigned and signed webhooks, and the duration in seconds."""
    began = time.monotonic()
    batches = UNSIGNED_A_SECOND * SECONDS // BATCH
    signed: list[int] = []
    unsigned: list[int] = []
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:

        async def forged(number: int) -> int:
            headers = {"X-Twilio-Signature": "VfDAGmDRa9LLSsgjoHkF0KeY4qY="} if number % 2 else {}
            answer = await client.post(STATUS, data=event("ringing", number), headers=headers)
            return answer.status_code

        async def genuine(number: int) -> int:
            last = number == SIGNED - 1
            form = event("completed" if last else "in-progress", number, CallSid=sid("CA", 7))
            form["AccountSid"] = ACCOUNT.account_sid
            url = server.url + STATUS
            signature = signature_of(url, tuple(form.items()), Secret(ACCOUNT.auth_token))
            answer = await client.post(STATUS, data=form, headers={"X-Twilio-Signature": signature})
            return answer.status_code

        for batch in range(batches):
            flood = [forged(batch * BATCH + one) for one in range(BATCH)]
            own = [genuine(n) for n in range(SIGNED) if n * batches // SIGNED == batch]
            answers = await asyncio.gather(*flood, *own)
            unsigned += answers[:BATCH]
            signed += answers[BATCH:]
            await asyncio.sleep(max(0, began + (batch + 1) * SECONDS / batches - time.monotonic()))
    return unsigned, signed, time.monotonic() - began


def test_twilios_webhooks_get_through_a_flood_of_forged_ones() -> None:
    with serving("--port", "0", until="GraphiQL", GATEWAY_WEBHOOK_RATE_LIMIT="60") as server:
        unsigned, signed, took = asyncio.run(_sent(server))
        told = server.ask(f'{{ call(sid: "{sid("CA", 7)}") {{ status }} }}')

    assert set(unsigned) == {403}
    assert signed == [204] * SIGNED
    # The sandbox has no such call: the answer comes from Twilio's recent webhooks.
    assert told == {"call": {"status": "COMPLETED"}}
    assert took < 60
    assert server.log.count("not signed") <= took + 2
