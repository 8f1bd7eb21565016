"""The document cache: bounded in bytes, and evicted documents are freed at once."""

import gc
import tracemalloc
import weakref
from collections import OrderedDict
from contextlib import suppress

import pytest
from graphql import GraphQLError, OperationDefinitionNode
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema import schema
from gateway.schema.document_guard import MAX_CACHED_LENGTH, DocumentCache, PreparedDocument
from gateway.schema.strawberry_internals import graphql_schema
from gateway.settings import DocumentSettings
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call
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
    "objects": "{ calls(filter: {to: "
    + "{a: " * 9
    + "[" + "{a: 1} " * 280 + "]"
    + "}" * 9
    + "}) { nodes { sid } } }",
    "fields": "{ calls { nodes { " + "sid " * 298 + "} } }",
    "aliases": "{ calls { nodes { " + " ".join(f"a{n}: sid" for n in range(30)) + "} } }",
    "arguments": "{ " + "calls(first: 1, filter: {status: [BUSY]}) { nodes { sid } } " * 15 + "}",
    "wide text": '{ call(sid: "' + "\U0001f600" * 15_000 + '") { sid } }',
    "wide comment": "{ __typename } #" + "\U0001f600" * 15_000,
    "one name": "query " + "a" * 16_000 + " { __typename }",
}  # fmt: skip


def prepare(text: str) -> PreparedDocument:
    """A document whose errors were computed."""
    prepared = PreparedDocument(text, LIMITS, SCHEMA)
    _ = prepared.errors
    return prepared


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
def test_the_estimate_is_no_less_than_a_document_takes(name: str) -> None:
    """Of some, for the interpreter keeps objects for the next: NOISE bytes of them, or less."""

    def some() -> list[PreparedDocument]:
        texts = [
            f"{HEAVY[name]} "[:-1] for _ in range(4)
        ]  # each cached document has a text of its own
        found = [prepare(text) for text in texts]
        gc.collect()
        return found

    tracemalloc.start()
    try:
        some().clear()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        prepared = some()
        taken = tracemalloc.get_traced_memory()[0] - before - NOISE
    finally:
        tracemalloc.stop()

    assert taken <= 4 * prepared[0].bytes <= 3 * (taken + 2 * NOISE)


TEXTS = [SHORT, LONG, REFUSED, "{", "{ a: __typename }", "{ calls { nodes { sid } } }"]


@given(st.integers(0, 60_000), st.lists(st.sampled_from(TEXTS), max_size=25))
def test_those_used_last_are_kept_within_the_size(size: int, texts: list[str]) -> None:
    cache, model = DocumentCache(size), OrderedDict[str, PreparedDocument]()
    for text in texts:
        try:
            found = cache.prepared(text, LIMITS, SCHEMA)
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
    cache, expected = DocumentCache(), 0
    for text in (REFUSED, *(text for text, _ in ABUSE.values()), SHORT):
        with suppress(GraphQLError):
            found = cache.prepared(text, LIMITS, SCHEMA)
            expected += 0 if found.errors else found.bytes

    assert cache.bytes == expected > 0


def test_a_document_holds_an_error_of_any_length_no_longer_than_it_is_answered() -> None:
    """A hundred errors that repeat a name of 14,000 characters are more than a megabyte."""
    variables = " ".join(f"$v{n}: Int" for n in range(100))
    text = f"query {'a' * 14_000}({variables}) {{ __typename }}"
    cache = DocumentCache()

    assert sum(len(error.message) for error in cache.prepared(text, LIMITS, SCHEMA).errors) > 10**6
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
