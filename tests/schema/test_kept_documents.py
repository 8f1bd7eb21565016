"""The cache of operations: bounded in bytes, and evicted operations are freed at once."""

import gc
import itertools
import tracemalloc
import weakref
from collections import OrderedDict
from contextlib import suppress

import pytest
from graphql import GraphQLError, OperationDefinitionNode
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema import schema
from gateway.schema.prepared import MAX_CACHED_LENGTH, PreparedCache, PreparedOperation
from gateway.schema.strawberry_internals import graphql_schema
from gateway.settings import DocumentSettings, Switch
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, notification, recording, sid
from tests.schema.test_limits import ABUSE

SCHEMA = graphql_schema(schema)
LIMITS = DocumentSettings()
SHORT = "{ __typename }"
LONG = "{ calls { nodes { sid to from status } } }"
REFUSED = "{ callz }"
NOISE = 60_000
HEAVY = {
    "numbers": "{ nodes(ids: [" + "1 " * 1480 + "]) { id } }",
    "texts": "{ nodes(ids: [" + '"a" ' * 1480 + "]) { id } }",
    "objects": "{ _entities(representations: [" + "{a: {a: 1}} " * 150 + "]) { __typename } }",
    "fields": "{ calls { nodes { " + "sid " * 298 + "} } }",
    "aliases": "{ calls { nodes { " + " ".join(f"a{n}: sid" for n in range(30)) + "} } }",
    "arguments": "{ " + "calls(first: 1, filter: {status: [BUSY]}) { nodes { sid } } " * 15 + "}",
    "wide text": '{ call(sid: "' + "\U0001f600" * 15_000 + '") { sid } }',
    "wide comment": "{ __typename } #" + "\U0001f600" * 15_000,
    "three types": f'{{ nodes(ids: ["{sid("CA", 1)}", "{sid("RE", 1)}", "{sid("NO", 1)}"]) {{'
    + " ".join(f"a{n}: id" for n in range(30)) + " id __typename } }",
    "conditions": """query($a: Boolean!, $b: Boolean!, $c: Boolean!, $d: Boolean!) {
        calls { nodes { sid @skip(if: $a) to @skip(if: $b) from @skip(if: $c) uri @skip(if: $d)
        startTime endTime duration price priceUnit direction } } }""",
    "tiny": SHORT,
    "one name": "query " + "a" * 16_000 + " { __typename }",
}  # fmt: skip


def prepare(text: str) -> PreparedOperation:
    """The first operation of a text."""
    return PreparedOperation(text, None, LIMITS, SCHEMA)


@pytest.mark.parametrize("text", [LONG, REFUSED, ABUSE["2^30"][0], ABUSE["fields"][0]])
def test_a_document_is_freed_without_the_collector(text: str) -> None:
    """The garbage collector frees what validation leaves behind, soon because it is young."""
    prepared = prepare(text)
    gc.collect()
    gc.disable()
    try:
        watched = weakref.ref(prepared), weakref.ref(prepared.document)
        del prepared
        left = [one() for one in watched]
    finally:
        gc.enable()

    assert left == [None, None]


def test_no_token_of_a_document_holds_another() -> None:
    """So each is freed with the nodes that begin or end at it."""
    token = prepare(LONG).document.loc
    assert token
    assert (token.start_token.next, token.end_token.prev) == (None, None)


def test_an_error_still_says_where() -> None:
    (error,) = prepare("{ calls {\n  nodes { six } } }").errors

    assert [(at.line, at.column) for at in error.locations or ()] == [(2, 11)]


@pytest.mark.parametrize("name", HEAVY)
async def test_the_estimate_is_no_less_than_an_executed_operation_takes(name: str) -> None:
    """With its plans, of several operations: the interpreter keeps NOISE bytes of objects or less.

    Equal fields share a plan, so 300 of them take an eighth of the estimate.
    """
    switches = itertools.product([True, False], repeat=4 if name == "conditions" else 0)
    variables = [dict(zip("abcd", values, strict=False)) for values in switches]
    twilio = PlainTwilio([call(1)], [recording(1, of=1)], [notification(1, of=1)])
    async with connect(twilio, compiled_execution=Switch.ON) as client:

        async def execute(*numbers: int) -> None:
            for number, given in itertools.product(numbers, variables):
                await client.answer(f"{HEAVY[name]}#{number}", **given)
            twilio.asked()
            gc.collect()

        await execute(1, 2)
        tracemalloc.start()
        try:
            await execute(3, 4)
            before, _ = tracemalloc.get_traced_memory()
            await execute(5, 6, 7, 8)
            taken = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    estimated = 4 * prepare(f"{HEAVY[name]}#5").bytes

    assert taken - NOISE <= estimated <= 8 * (taken + NOISE)


TEXTS = [SHORT, LONG, REFUSED, "{", "{ a: __typename }", "{ calls { nodes { sid } } }"]


@given(st.integers(0, 60_000), st.lists(st.sampled_from(TEXTS), max_size=25))
def test_those_used_last_are_kept_within_the_size(size: int, texts: list[str]) -> None:
    cache, model = PreparedCache(size), OrderedDict[str, PreparedOperation]()
    for text in texts:
        try:
            found = cache.prepared(text, None, LIMITS, SCHEMA)
        except GraphQLError:
            assert text == "{"
            continue
        if text in model:
            assert found is model[text]
            model.move_to_end(text)
        else:
            assert all(found is not other for other in model.values())
            if not found.errors and found.bytes <= size:
                model[text] = found
            while sum(one.bytes for one in model.values()) > size:
                model.popitem(last=False)
        assert cache.bytes == sum(one.bytes for one in model.values()) <= size


def test_what_is_refused_takes_no_room() -> None:
    cache, expected = PreparedCache(), 0
    for text in (REFUSED, *(text for text, _ in ABUSE.values()), SHORT):
        with suppress(GraphQLError):
            found = cache.prepared(text, None, LIMITS, SCHEMA)
            expected += 0 if found.errors else found.bytes

    assert cache.bytes == expected > 0


def test_a_document_holds_an_error_of_any_length_no_longer_than_it_is_answered() -> None:
    """A hundred errors that repeat a name of 14,000 characters are more than a megabyte."""
    variables = " ".join(f"$v{n}: Int" for n in range(100))
    text = f"query {'a' * 14_000}({variables}) {{ __typename }}"
    cache = PreparedCache()

    assert (
        sum(len(error.message) for error in cache.prepared(text, None, LIMITS, SCHEMA).errors)
        > 10**6
    )
    assert cache.bytes == 0


async def test_nothing_keeps_a_document_that_was_executed() -> None:
    """A document too long for the cache; `selects` walks it for `track`."""
    name = "OfThisTestOnly"
    wanted = "{ calls(first: 1) { nodes { recordings { nodes { track } } } } }"
    text = f"query {name} {wanted} #{' ' * MAX_CACHED_LENGTH}"
    async with connect(PlainTwilio(calls=[call(1)])) as client:
        assert "errors" not in await client.answer(text)
    gc.collect()

    operations = [one for one in gc.get_objects() if isinstance(one, OperationDefinitionNode)]
    assert not [one for one in operations if one.name and one.name.value == name]
