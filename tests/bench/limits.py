"""What an upstream with a limit makes of the 50-call query with four edges.

    python -m tests.bench.limits [--limits 5 10 25 50 0]

Upstream takes 40 ms for each answer and answers 429 above its limit (0: it has none). Each line is
a gateway process of its own with its default settings, cold, asked once: by one client, by 16 that
ask the same, and by 16 that each ask for calls of their own. Whole answers have no error; what is
missing from the others is null with a code. Time is real, and the machine's.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence

from gateway.settings import PlannerMode
from tests.plain_twilio import PlainTwilio, Row, call, notification, recording, sid
from tests.promises.stand import stand

LATENCY, CLIENTS, CALLS = 0.04, 16, 50
QUERY = """{ calls(first: 50, filter: {to: "%s"}) { nodes {
    sid status
    parentCall { sid }
    childCalls { nodes { sid } }
    recordings { nodes { sid } }
    notifications { nodes { sid } }
} } }"""
CROWDS = {
    "1 client": [0],
    f"{CLIENTS}, the same": [0] * CLIENTS,
    f"{CLIENTS}, each its own": list(range(CLIENTS)),
}


def number_of(client: int) -> str:
    """The number that this client's calls went to."""
    return f"+1800555{client:04}"


def rows() -> PlainTwilio:
    """50 calls for each client, every fifth live; the parents of most lie off the page."""
    twilio = PlainTwilio()
    for client in range(CLIENTS):
        for place in range(1, CALLS + 1):
            _add(twilio, client, client * 1000 + place)
    twilio.calls += [
        call(client * 1000 + 500 + place, at=-100_000)
        for client in range(CLIENTS)
        for place in range(1, CALLS + 1)
    ]
    return twilio


def _add(twilio: PlainTwilio, client: int, number: int) -> None:
    live: Row = {"status": "in-progress", "end_time": None, "duration": None, "price": None}
    parent = sid("CA", number + 500) if number % 4 else sid("CA", number + 1)
    given: Row = {"to": number_of(client), "direction": "outbound-dial", "parent_call_sid": parent}
    at = -10 * number
    twilio.calls.append(call(number, at=at, **given | (live if number % 5 == 0 else {})))
    if number % 2 == 0:
        twilio.recordings.append(recording(number, of=number, at=at))
    if number % 3 == 0:
        twilio.notifications.append(notification(number, of=number, at=at))


async def measure(limit: int, crowd: str, planner: PlannerMode) -> str:
    """One line of the table."""
    queries = [QUERY % number_of(client) for client in CROWDS[crowd]]
    async with stand(rows(), GATEWAY_PLANNER=planner) as here:
        here.upstream.concurrency, here.upstream.delay = limit or None, LATENCY
        began = time.monotonic()
        answers = await here.query_all(queries, concurrency=len(queries))
        seconds = time.monotonic() - began
        seen = here.upstream.look()
    whole = sum(answer.is_whole for answer in answers)
    return (
        f"| {limit or 'none'} | {crowd} | {planner} | {whole} of {len(answers)} "
        f"| {len(seen.requests)} | {seen.refused} | {seen.most_in_flight} | {seconds:.1f} s |"
    )


async def main(limits: Sequence[int]) -> None:
    """Prints the table."""
    print("| limit | clients | planner | whole answers | requests | 429s | most in flight | time |")
    print("|---|---|---|---|---|---|---|---|")
    for limit in limits:
        for crowd in CROWDS:
            for planner in PlannerMode:
                print(await measure(limit, crowd, planner), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", type=int, nargs="+", default=[5, 10, 25, 50, 0])
    asyncio.run(main(parser.parse_args().limits))
