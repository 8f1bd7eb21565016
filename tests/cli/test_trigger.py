"""The calls of `gateway trigger` end as it says, in a sandbox whose clock runs fast."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.cli.trigger_command import CALLS, MAKE
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.server import open_gateway
from tests.conftest import Client
from tests.settings import settings_of

CALL = (
    "query($sid: ID!) { call(sid: $sid) { status answeredBy childCalls { nodes { to status } } } }"
)
TALK = {"to": "client:amara", "status": "COMPLETED"}
ENDS: dict[str, dict[str, Any]] = {
    "busy": {"status": "BUSY"},
    "no-answer": {"status": "NO_ANSWER"},
    "machine": {"status": "COMPLETED", "answeredBy": "MACHINE_START"},
    "failed": {"status": "FAILED"},
    "transfer": {"status": "COMPLETED", "childCalls": {"nodes": [TALK]}},
}
LIVE = {"QUEUED", "RINGING", "IN_PROGRESS"}


@pytest.mark.parametrize("kind", CALLS)
async def test_a_triggered_call_ends_as_it_says(kind: str) -> None:
    sandbox = create_sandbox(SandboxConfig(calls=0, speed=50))
    async with open_gateway(settings_of(), httpx.ASGITransport(sandbox)) as gateway:
        client = Client(gateway)
        made = (await client.data(MAKE, input=CALLS[kind].input))["makeCall"]
        assert made["userErrors"] == []
        ended = {"status": "QUEUED"}
        while ended["status"] in LIVE:
            await asyncio.sleep(0.02)
            ended = (await client.data(CALL, sid=made["call"]["sid"]))["call"]
    await sandbox.state.sandbox.aclose()

    defaults: dict[str, Any] = {"answeredBy": None, "childCalls": {"nodes": []}}
    assert ended == {**defaults, **ENDS[kind]}
    assert f" {ended['status']}" in CALLS[kind].outlook
