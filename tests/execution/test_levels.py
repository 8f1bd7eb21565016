"""How plans run: the batches of a level, waiting, cancellation, and memory."""

import asyncio
import gc
import weakref
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiodataloader import DataLoader
from graphql import DocumentNode, Executor, build_schema, execute, execute_sync, parse

from gateway.execution import CompilingExecutor
from gateway.loaders.dataloaders import Answer
from gateway.schema.context import Context
from gateway.settings import PlannerMode, Switch
from gateway.upstream.requests import Page
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, notification, recording, sid
from tests.waiting import until_in_loop

schema = build_schema("""
    type Query { rows: [Row] }
    type Row { name(of: Int = 1): String  next: Row  must: String! }
""")


class Compiled(CompilingExecutor, Executor[Any]):
    """An executor that compiles every operation."""

    def plan(self) -> Any:
        """The plan, which is never None."""
        plan = super().plan()
        assert plan is not None
        return plan


def answer(document: str | DocumentNode, root: Any, **options: Any) -> Any:
    """The result, or an awaitable of it."""
    parsed = parse(document) if isinstance(document, str) else document
    return execute(schema, parsed, root, executor_class=Compiled, **options)


async def test_the_keys_of_a_level_are_one_batch() -> None:
    """The keys of the next level are one batch, too."""
    batches: list[list[int]] = []

    async def read(keys: list[int]) -> list[Any]:
        batches.append(list(keys))
        return [row(key + 10) for key in keys]

    loader: DataLoader[int, Any] = DataLoader(read)

    def row(key: int) -> dict[str, Any]:
        return {"name": str(key), "next": lambda _info: loader.load(key)}

    rows = [row(1), row(2), row(3)]
    result = await answer("{ rows { next { name next { name } } } }", {"rows": rows})

    assert result.errors is None
    assert batches == [[1, 2, 3], [11, 12, 13]]
    assert result.data["rows"][2] == {"next": {"name": "13", "next": {"name": "23"}}}


async def test_a_fast_row_does_not_wait_for_a_slow_one() -> None:
    slow = asyncio.get_running_loop().create_future()
    reached = asyncio.Event()

    async def fast(_info: Any) -> Any:
        return {"name": lambda _info, of: reached.set()}

    rows = [{"next": lambda _info: slow}, {"next": fast}]
    running = asyncio.ensure_future(answer("{ rows { next { name } } }", {"rows": rows}))
    await reached.wait()
    slow.set_result({"name": "slow"})

    assert (await running).data == {"rows": [{"next": {"name": "slow"}}, {"next": {"name": None}}]}


async def test_a_cancelled_operation_cancels_its_resolvers() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def hang(_info: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hung")

    running = asyncio.ensure_future(
        answer("{ rows { next { name } } }", {"rows": [{"next": hang}, {"next": hang}]})
    )
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert ended == ["hung", "hung"]


async def test_a_pending_value_below_a_null_is_cancelled() -> None:
    """The operation ends, although a sibling would never have returned."""
    never = asyncio.get_running_loop().create_future()

    async def fail(_info: Any) -> Any:
        raise ValueError("no")

    rows = [{"next": lambda _info: never, "must": fail}]
    result = await answer("{ rows { next { name } must } }", {"rows": rows})

    assert result.data == {"rows": [None]}
    assert [error.message for error in result.errors] == ["no"]
    assert never.cancelled()


def test_a_synchronous_operation_needs_no_event_loop() -> None:
    result = execute_sync(
        schema, parse("{ rows { must } }"), {"rows": [{"must": 1}]}, executor_class=Compiled
    )

    assert result.data == {"rows": [{"must": "1"}]}


def test_plans_are_freed_with_their_document() -> None:
    """They are freed at once, without a garbage collection."""
    document = parse("query ($of: Int) { rows { name(of: $of) next { must __typename } } }")
    token = document.loc.start_token if document.loc else None
    while token is not None:  # the tokens are a reference cycle of the document
        following, token.prev, token.next = token.next, None, None
        token = following
    answer(document, {"rows": [{"name": lambda _info, of: str(of), "next": {"must": "x"}}]})
    gc.collect()  # graphql-core's executor
    node = weakref.ref(document.definitions[0])
    gc.disable()
    try:
        del document
        assert node() is None
    finally:
        gc.enable()


def test_each_request_has_its_own_arguments() -> None:
    """A plan keeps values of the document, but none of a request."""
    document = parse("query ($of: Int) { rows { name(of: $of) } }")
    root = {"rows": [{"name": lambda _info, of=None: str(of)}]}
    found = [
        answer(document, root, variable_values=given).data["rows"][0]["name"]
        for given in ({"of": 5}, {}, {"of": None}, {"of": 6})
    ]

    assert found == ["5", "1", "None", "6"]


async def test_the_setting_leaves_operations_to_graphql_core() -> None:
    """Results and upstream requests are the same."""
    query = """{ calls(first: 3) { isComplete nodes { __typename sid status to price startTime
        toEndpoint { __typename ... on PhoneNumber { number } }
        parentCall { sid } recordings { nodes { sid track call { sid } } }
        notifications(log: ERROR) { edges { node { log } } pageInfo { hasNextPage } } } } }"""
    now, answers = datetime(2026, 3, 12, tzinfo=UTC), []
    for switch in Switch:
        twilio = PlainTwilio(
            calls=[call(1, at=10), call(2, at=0), call(3, at=-9, parent_call_sid=sid("CA", 1))],
            recordings=[recording(1, of=1), recording(2, of=3)],
            notifications=[notification(1, of=1)],
        )
        async with connect(
            twilio, now, planner=PlannerMode.PER_KEY, compiled_execution=switch
        ) as client:
            answers.append((await client.answer(query), sorted(twilio.asked())))

    assert answers[0] == answers[1]
    assert "errors" not in answers[0][0]


EDGES = """{ calls(first: 3) { nodes { parentCall { sid } childCalls { %s { node { sid } } }
    recordings { nodes { sid } } notifications { edges { node { sid } } } } } }"""


def account() -> PlainTwilio:
    """Three calls, one of them a leg, with recordings and a notification."""
    return PlainTwilio(
        calls=[call(1, at=10), call(2, at=0), call(3, at=-9, parent_call_sid=sid("CA", 1))],
        recordings=[recording(1, of=1), recording(2, of=3)],
        notifications=[notification(1, of=1)],
    )


@pytest.mark.parametrize("switch", Switch)
async def test_an_operation_frees_all_that_it_made_without_a_collection(switch: Switch) -> None:
    """Else a busy gateway would keep the rows of thousands of operations until a full one."""
    kinds = (Page, Answer, Context, Executor)
    now = datetime(2026, 3, 12, tzinfo=UTC)
    async with connect(account(), now, compiled_execution=switch) as client:
        await client.answer(EDGES % "edges")
        gc.collect()
        of_others = [each for each in gc.get_objects() if isinstance(each, kinds)]
        gc.disable()
        try:
            for _ in range(5):
                await client.answer(EDGES % "edges")
            await until_in_loop(
                lambda: sum(isinstance(each, kinds) for each in gc.get_objects()) == len(of_others)
            )
        finally:
            gc.enable()


async def test_the_rows_of_a_level_fail_one_by_one() -> None:
    """Where one call's edge cannot be read, the others keep theirs."""

    def refuse(request: httpx.Request) -> httpx.Response | None:
        is_meant = f"{sid('CA', 2)}/Recordings" in request.url.path
        return httpx.Response(400, json={"code": 20001}) if is_meant else None

    answers = []
    for switch in Switch:
        twilio = account()
        twilio.fault = refuse
        async with connect(
            twilio, planner=PlannerMode.PER_KEY, compiled_execution=switch
        ) as client:
            answers.append(await client.answer(EDGES % "edges"))

    assert answers[0] == answers[1]
    recordings = [node["recordings"] for node in answers[0]["data"]["calls"]["nodes"]]
    assert [each and len(each["nodes"]) for each in recordings] == [1, None, 1]
    assert [error["path"] for error in answers[0]["errors"]] == [
        ["calls", "nodes", 1, "recordings"]
    ]
