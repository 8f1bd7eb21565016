"""Deadlines: whatever hangs, the response comes in time, with the data that was ready.

All the operations run at once: they mostly wait.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.plain_twilio import PlainTwilio, call, notification, recording, sid
from tests.promises.faults import drips, hangs_after_headers, hangs_before_headers, is_late
from tests.promises.faulty import Fault
from tests.promises.stand import LONGEST_ANSWER, Answer, one_call, stand

Figure = Callable[[str], None]
HANGS: dict[str, Fault] = {
    "before headers": hangs_before_headers,
    "after headers": hangs_after_headers,
    "a byte at a time": drips,
}
EDGES = "sid recordings { nodes { sid } } notifications { nodes { sid } }"
CHAIN = "sid parentCall { sid parentCall { sid parentCall { sid parentCall { sid } } } }"
GOOD, CHAINED = 1, 11

pytestmark = pytest.mark.xdist_group("deadlines")  # they share what they wait for


def rows() -> PlainTwilio:
    """Live calls with a recording and a warning each; 11 is a child of 12, that of 13, and on."""
    live = {"status": "in-progress", "end_time": None, "duration": None, "price": None}
    calls = [call(number, at=-number, **live) for number in range(1, 30)]
    for number in range(CHAINED, CHAINED + 8):
        calls[number - 1]["parent_call_sid"] = sid("CA", number + 1)
    return PlainTwilio(
        calls=calls,
        recordings=[recording(number, of=number) for number in range(1, 30)],
        notifications=[notification(number, of=number) for number in range(1, 30)],
    )


def both(number: int) -> str:
    """A call that hangs, and beside it one that does not."""
    return f"""{{
        bad: call(sid: "{sid("CA", number)}") {{ sid }}
        good: call(sid: "{sid("CA", GOOD)}") {{ {EDGES} }}
    }}"""


@pytest.fixture(scope="module")
async def answers() -> AsyncIterator[dict[str, Answer]]:
    """By what hangs: a call, an edge of a call; and the chain that is slow, at another gateway."""
    queries: dict[str, str] = {}
    async with stand(rows()) as here, stand(rows()) as slow:
        for number, (name, hang) in enumerate(HANGS.items(), start=2):
            queries[f"call {name}"] = both(number)
            here.upstream.fail(hang, f"^GET Calls/{sid('CA', number)}$")
            queries[f"edge {name}"] = one_call(sid("CA", number + 5), EDGES)
            here.upstream.fail(hang, f"^GET Calls/{sid('CA', number + 5)}/Recordings")
        slow.upstream.fail(is_late(2.6), "^GET Calls/CA[^/]*$")
        queries["short"] = both(2)
        waits = {"short": {"Gateway_Timeout": "2"}}
        chained = asyncio.create_task(slow.query(one_call(sid("CA", CHAINED), CHAIN)))
        answered = await asyncio.gather(
            *(here.query(query, **waits.get(name, {})) for name, query in queries.items())
        )
        await asyncio.sleep(0.5)
        assert here.upstream.in_flight == 0  # nothing is left reading
        yield dict(zip(queries, answered, strict=True)) | {"chain": await chained}


@pytest.mark.parametrize("name", HANGS)
async def test_a_call_that_hangs_is_null_and_its_neighbour_is_answered(
    answers: dict[str, Answer], figure: Figure, name: str
) -> None:
    answer = answers[f"call {name}"]

    assert answer.codes == {"UPSTREAM_TIMEOUT"}
    assert answer.body["data"] == {"bad": None, "good": edges_of(GOOD)}
    figure(f"{name}: {answer.seconds:.1f} s")


@pytest.mark.parametrize("name", HANGS)
async def test_an_edge_that_hangs_is_null_and_the_rest_is_answered(
    answers: dict[str, Answer], figure: Figure, name: str
) -> None:
    answer = answers[f"edge {name}"]
    number = list(HANGS).index(name) + 7

    assert answer.codes == {"UPSTREAM_TIMEOUT"}
    assert answer.body["data"]["call"] == edges_of(number) | {"recordings": None}
    figure(f"{name}: {answer.seconds:.1f} s")


def edges_of(number: int) -> dict[str, object]:
    """What EDGES of a call are."""
    return {
        "sid": sid("CA", number),
        "recordings": {"nodes": [{"sid": sid("RE", number)}]},
        "notifications": {"nodes": [{"sid": sid("NO", number)}]},
    }


async def test_a_chain_of_slow_reads_keeps_what_came_in_time(
    answers: dict[str, Answer], figure: Figure
) -> None:
    """Each of five takes 2.6 seconds: three of them fit into ten."""
    answer = answers["chain"]

    assert answer.codes == {"UPSTREAM_TIMEOUT"}
    found, node = [], answer.body["data"]["call"]
    while node:
        found.append(node["sid"])
        node = node["parentCall"]
    assert found == [sid("CA", CHAINED + link) for link in range(3)]
    figure(f"3 of 5 reads kept after {answer.seconds:.1f} s")


async def test_no_response_takes_longer_than_twelve_seconds(
    answers: dict[str, Answer], figure: Figure
) -> None:
    slowest = max(answer.seconds for answer in answers.values())

    assert slowest <= LONGEST_ANSWER
    figure(f"{slowest:.1f} s at most")


async def test_a_header_lowers_the_deadline(answers: dict[str, Answer], figure: Figure) -> None:
    """Of one operation: another one that shares its reads waits on."""
    answer = answers["short"]

    assert answer.body["data"] == {"bad": None, "good": edges_of(GOOD)}
    assert answer.codes == {"UPSTREAM_TIMEOUT"}
    assert answer.seconds < 3
    assert answers["call before headers"].seconds > 3
    figure(f"2 s requested, {answer.seconds:.1f} s taken")
