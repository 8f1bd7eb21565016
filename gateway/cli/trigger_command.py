"""`gateway trigger`: makes a call that ends in a certain way, in the sandbox of a running gateway.

The test numbers and durations are those of docs/sandbox.md. This module must not know how a
running gateway is asked.
"""

import argparse
import sys
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.options import Commands, add_gateway
from gateway.settings import Settings, SettingsError

__all__ = ["CALLS", "FROM", "MAKE", "add_command"]

FROM = "+12125550142"
MAKE = """mutation Trigger($input: MakeCallInput!) {
  makeCall(input: $input) { call { sid } userErrors { message } }
}"""
SAY = "<Response><Say>Hello</Say></Response>"
DIAL = '<Response><Dial timeLimit="5"><Client>amara</Client></Dial></Response>'


@dataclass(frozen=True)
class TestCall:
    """A call of the sandbox: what makes it, and what will happen to it."""

    to: str
    outlook: str
    twiml: str = SAY
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> dict[str, Any]:
        """The input of makeCall."""
        return {"from": FROM, "to": self.to, "instructions": {"twiml": self.twiml}, **self.more}


CALLS = {
    "busy": TestCall("+15005550011", "rings, then the line is busy: BUSY"),
    "no-answer": TestCall(
        "+15005550012", "rings for 5 s, nobody answers: NO_ANSWER", more={"timeout": 5}
    ),
    "machine": TestCall(
        "+15005550014",
        "a machine answers (answeredBy MACHINE_START): COMPLETED",
        more={"machineDetection": "ENABLE"},
    ),
    "failed": TestCall("+15005550013", "is dialed, and fails: FAILED"),
    "transfer": TestCall(
        "+15005550006",
        "is answered, dials client:amara (a child call) for 5 s: COMPLETED",
        twiml=DIAL,
    ),
}


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("trigger", help="make a test call in a running gateway's sandbox")
    parser.set_defaults(run=_trigger)
    parser.add_argument("kind", choices=tuple(CALLS), help="how the call goes")
    add_gateway(parser)


def _trigger(options: argparse.Namespace, _settings: Settings) -> int:
    from gateway.cli.running_gateway import (  # no other command sends HTTP to a gateway
        Disconnected,
        RequestRefused,
        RunningGateway,
    )

    call = CALLS[options.kind]
    try:
        with RunningGateway(options.url, options.token) as gateway:
            if gateway.health().get("sandbox") is not True:
                raise SettingsError(
                    f"trigger: {gateway.url} does not say that its sandbox answers, so this could "
                    "call somebody; start a gateway without TWILIO_ACCOUNT_SID"
                )
            made = gateway.data(MAKE, {"input": call.input})["makeCall"]
    except Disconnected as error:
        raise SettingsError(f"--url: no answer from {gateway.url}: {error}") from None
    except RequestRefused as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    if made["call"] is None:
        print("gateway:", "; ".join(one["message"] for one in made["userErrors"]), file=sys.stderr)
        return 1
    print(f"{made['call']['sid']}  {call.outlook}")
    return 0
