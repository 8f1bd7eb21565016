"""A gateway over an account of this package, with limits that no list reaches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import settings

from tests.conftest import Client, connect
from tests.exactness.twilio import Account, OddTwilio

__all__ = ["description", "examples", "gateway_client"]

# These tests are not about limits: every list can be read to its end.
GENEROUS_LIMITS: dict[str, Any] = {
    "page_budget": 1000,
    "request_budget": 100_000,
    "max_cost": 1_000_000,
    "max_fields": 10_000,
    "max_tokens": 100_000,
}


@asynccontextmanager
async def gateway_client(
    twilio: OddTwilio, account: Account, **options: Any
) -> AsyncIterator[Client]:
    """A gateway over this account at its time."""
    async with connect(twilio, account.now, **{**GENEROUS_LIMITS, **options}) as client:
        yield client


def examples(count: int) -> int:
    """`count` accounts; thirty times as many with `--hypothesis-profile=long`."""
    return count * max(1, settings().max_examples // 100)


def description(twilio: OddTwilio, account: Account) -> str:
    """The account as its lists show it, for the report of a failure."""
    lines = [f"{twilio.switches}, now {account.now:%d %H:%M:%S}"]
    for name in ("calls", "recordings", "notifications"):
        for row in twilio.every_row(name):
            dates = " ".join(
                f"{key}={row[key][5:7]}+{row[key][17:25]}"
                for key in ("date_created", "start_time", "end_time", "message_date")
                if row.get(key)
            )
            of = row.get("parent_call_sid") or row.get("call_sid")
            states = [row.get("status"), row.get("direction"), row.get("duration"), row.get("log")]
            shown = account.shown.get(row["sid"], row)
            odd = "" if shown is row else f" SHOWN AS {shown}"
            lines.append(
                f"{row['sid'][:2]}{row['sid'][-4:]} of {of and of[-4:]} {dates} {states}{odd}"
            )
    return "\n".join(lines)
