"""Limits of documents, measured with fragments spread, in time linear in the text."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    build_schema,
    get_introspection_query,
    parse,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access import ANONYMOUS
from gateway.errors import IntrospectionDisabled, LimitExceeded
from gateway.schema.limits import check_document, measure
from gateway.schema.prepared import PreparedCache
from gateway.server import open_gateway
from gateway.settings import DocumentSettings, Switch
from tests.conftest import connect
from tests.documents import GRAPHQL, valid_documents
from tests.plain_twilio import PlainTwilio, call
from tests.settings import settings_of

INTROSPECTION = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)


def naive(document: DocumentNode) -> dict[str, int]:
    """The same numbers the plain way: spread every fragment, walk everything."""
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    totals = dict.fromkeys(("fields", "fragments", "aliases", "directives"), 0)
    spread: set[str] = set()

    def walk(nodes: Sequence[SelectionNode], depth: int) -> int:
        deepest = depth
        for node in nodes:
            totals["directives"] += len(node.directives or ())
            if isinstance(node, FieldNode):
                totals["fields"] += 1
                totals["aliases"] += node.alias is not None
                inner = node.selection_set.selections if node.selection_set else ()
                deepest = max(deepest, walk(inner, depth + 1))
                continue
            totals["fragments"] += 1
            if isinstance(node, FragmentSpreadNode):
                spread.add(node.name.value)
                definition = fragments[node.name.value]
                totals["directives"] += len(definition.directives or ())
                inner = definition.selection_set.selections
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node.selection_set.selections
            deepest = max(deepest, walk(inner, depth))
        return deepest

    def roots(nodes: Sequence[SelectionNode]) -> int:
        count = 0
        for node in nodes:
            if isinstance(node, FieldNode):
                count += 1
            elif isinstance(node, FragmentSpreadNode):
                count += roots(fragments[node.name.value].selection_set.selections)
            elif isinstance(node, InlineFragmentNode):
                count += roots(node.selection_set.selections)
        return count

    operations = [n for n in document.definitions if isinstance(n, OperationDefinitionNode)]
    depth = max(walk(node.selection_set.selections, 0) for node in operations)
    return totals | {
        "depth": depth,
        "root_fields": max(roots(node.selection_set.selections) for node in operations),
    }


@st.composite
def layered(draw: st.DrawFn) -> str:
    """A document of fragments, each of which spreads some of those before it."""
    names = [f"F{number}" for number in range(draw(st.integers(0, 6)))]
    parts = []
    for place, name in enumerate([*names, ""]):
        leaves = st.sampled_from(["sid", "a: sid", "sid @skip(if: true)", "b: to @x @y"])
        spreads = st.sampled_from([f"...{before}" for before in names[:place]] or ["to"])
        inner = st.recursive(
            leaves | spreads,
            lambda deeper: st.one_of(
                st.lists(deeper, min_size=1, max_size=3).map(
                    lambda found: f"calls {{ {' '.join(found)} }}"
                ),
                st.lists(deeper, min_size=1, max_size=2).map(
                    lambda found: f"... on Call @z {{ {' '.join(found)} }}"
                ),
            ),
            max_leaves=6,
        )
        body = " ".join(draw(st.lists(inner, min_size=1, max_size=4)))
        parts.append(f"fragment {name} on Call @d {{ {body} }}" if name else f"query {{ {body} }}")
    used = parts[-1] + " query Rest { " + " ".join(f"...{name}" for name in names) + " sid }"
    return " ".join([*parts[:-1], used])


@settings(max_examples=settings().max_examples // 2)  # each takes a tenth of a second
@given(layered() | valid_documents())
def test_limits_measure_the_document_with_its_fragments_spread(text: str) -> None:
    document = parse(text)
    found = asdict(measure(document))
    expected = naive(document)

    assert {name: found[name] for name in expected} == expected


def fan_out(levels: int, times: int = 2, leaf: str = "sid") -> str:
    """Fragments that each spread the next one several times."""
    fragments = [
        f"fragment F{level} on Call {{ {f'...F{level + 1} ' * times} }}" for level in range(levels)
    ]
    last = f"fragment F{levels} on Call {{ {leaf} }}"
    return " ".join([*fragments, last, "{ calls { nodes { ...F0 } } }"])


@pytest.mark.parametrize("levels", [22, 30, 90])
def test_a_kilobyte_with_two_to_the_thirtieth_visits_is_measured_in_milliseconds(
    levels: int, record_property: Callable[[str, object], None]
) -> None:
    document = parse(fan_out(levels))
    began = time.process_time()
    found = measure(document)
    seconds = time.process_time() - began
    record_property("figure", f"2^{levels} in {seconds * 1000:.1f} ms")

    assert seconds < 0.1
    assert found.fields == 2 + 2**levels


@pytest.mark.parametrize("levels", [100, 1000])
def test_more_nesting_than_pythons_stack_holds_is_refused(levels: int) -> None:
    with pytest.raises(LimitExceeded) as caught:
        measure(parse(fan_out(levels, times=1)))

    assert (caught.value.limit, caught.value.allowed) == ("nesting", 100)


def test_measuring_takes_time_in_proportion_to_the_text() -> None:
    """Ten times the fragments, some ten times the steps: not a thousand times."""

    def steps(count: int) -> float:
        chains = " ".join(
            f"fragment F{n} on Call {{ {'...F' + str(n + 1) + ' ' if n % 50 else ''} "
            f"{'...F' + str(n + 1) if n % 50 else 'sid'} }}"
            for n in range(count)
        )
        document = parse(f"{chains} fragment F{count} on Call {{ sid }} {{ ...F1 }}")
        began = time.process_time()
        measure(document)
        return time.process_time() - began

    steps(100)
    assert steps(2000) < 200 * max(steps(200), 0.0005)


ORDINARY = {
    "introspection": INTROSPECTION,
    "nothing": "{ __typename }",
    "deep": "{" + "a{" * 11 + "b" + "}" * 12,
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_document_is_within_the_limits(text: str) -> None:
    check_document(parse(text), DocumentSettings())


BEYOND = {
    "depth": "{" + "a{" * 12 + "b" + "}" * 13,
    "value_depth": "{ a(b: " + "[" * 11 + "]" * 11 + ") }",
    "fields": "{ calls { nodes { " + "sid " * 299 + "} } }",
    "fragments": "{ " + "... { sid } " * 101 + "}",
    "aliases": "{ calls { " + " ".join(f"a{n}: sid" for n in range(31)) + "} }",
    "directives": "{ calls { sid " + "@include(if: true) " * 21 + "} }",
    "root_fields": "{ " + "calls { sid } " * 16 + "}",
    "operations": " ".join(f"query Q{n} {{ __typename }}" for n in range(11)),
    "introspection_depth": "{ __schema { types {" + "ofType {" * 14 + "name" + "}" * 17,
}
ALLOWED = {"introspection_depth": 16} | {
    name: getattr(DocumentSettings(), f"max_{name}")
    for name in BEYOND
    if name != "introspection_depth"
}


@pytest.mark.parametrize("name", BEYOND)
def test_one_more_than_allowed_is_refused_by_the_limits_name(name: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_document(parse(BEYOND[name]), DocumentSettings())

    assert (caught.value.limit, caught.value.allowed) == (name, ALLOWED[name])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("depth", "{" + "a{" * 11 + "b" + "}" * 12),
        ("value_depth", "{ a(b: " + "[" * 10 + "]" * 10 + ") }"),
        ("fields", "{ calls { nodes { " + "sid " * 298 + "} } }"),
        ("fragments", "{ " + "... { sid } " * 14 + "a { ...F } } fragment F on A { "
         + "... { sid } " * 85 + "}"),
        ("aliases", "{ calls { " + " ".join(f"a{n}: sid" for n in range(30)) + "} }"),
        ("directives", "{ calls { sid " + "@include(if: true) " * 20 + "} }"),
        ("root_fields", "{ " + "calls { sid } " * 15 + "}"),
        ("operations", " ".join(f"query Q{n} {{ __typename }}" for n in range(10))),
        ("introspection_depth", "{ __schema { types {" + "ofType {" * 13 + "name" + "}" * 16),
    ],
)  # fmt: skip
def test_as_much_as_allowed_is_allowed(name: str, text: str) -> None:
    check_document(parse(text), DocumentSettings())


HIDDEN = {
    "depth": "{ calls { ...A } } fragment A on X { " + "a{" * 12 + "b" + "}" * 13,
    "aliases": "fragment A on X { "
    + " ".join(f"a{n}: b" for n in range(16))
    + "} { c { ...A } d { ...A } }",
    "directives": "query Q(" + " ".join(f"$v{n}: Int @d" for n in range(21)) + ") { a }",
    "root_fields": "{ ... { ...A ...A } } fragment A on Query { " + "b " * 8 + "}",
    "value_depth": "query Q($v: [Int] = " + "[" * 11 + "]" * 11 + ") { a }",
    "fields": "{ a } fragment Unused on X { b { " + "sid " * 300 + "} }",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_fragments_variables_and_what_is_not_used_hide_nothing(name: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_document(parse(HIDDEN[name]), DocumentSettings())

    assert caught.value.limit == name


def test_fragments_in_a_circle_are_left_to_validation() -> None:
    text = "{ ...A } fragment A on Query { b ...B } fragment B on Query { ...A }"

    assert measure(parse(text)).fields == 1


ABUSE: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (text, {}) for name, text in (BEYOND | HIDDEN).items()},
    "2^30": (fan_out(30), {}),
    "tokens": ("{ " + "__typename " * 1500 + "}", {}),
    "parser": ("{a" * 400 + "}" * 400, {}),
    "repeats": ("{ " + "calls { nodes { sid } } " * 3000 + "}", {}),
    "aliases of a list": (
        "{ " + " ".join(f"a{n}: calls {{ nodes {{ sid }} }}" for n in range(1000)) + " }",
        {},
    ),
    "variable": (
        "query($v: [ID!]!) { nodes(ids: $v) { id } }",
        {"v": [[[[[[[[[[["x"]]]]]]]]]]]},
    ),
    "three levels": (
        """{ calls(first: 100) { nodes { childCalls(first: 100) { nodes {
            childCalls(first: 100) { nodes { sid } } } } } } }""",
        {},
    ),
    "many of a variable": (
        """query($n: Int = 5) { calls(first: $n) { nodes { recordings { nodes { sid } }
            notifications { nodes { sid } } } } }""",
        {"n": 500},
    ),
    "representations": (
        "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }",
        {"r": [{"__typename": "Call"}] * 2001},
    ),
}


@pytest.mark.parametrize("name", ABUSE)
async def test_an_abusive_document_is_refused_with_its_code_before_anything_is_sent(
    name: str,
) -> None:
    text, variables = ABUSE[name]
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        began = time.process_time()
        answer = await client.answer(text, **variables)
        seconds = time.process_time() - began

    (error,) = answer["errors"]
    assert "data" not in answer
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert twilio.asked() == []
    assert seconds < 2


FLOODS = {
    "distinct": "{ __typename " + " ".join(f"@a{n}" for n in range(20)) + " }",
    "one field each": "{ " + " ".join(f"a{n}: __typename @b{n}" for n in range(15)) + " }",
    "the same": "{ __typename " + "@aa " * 10 + "}",
    "a known one": "{ __typename " + "@skip(if: false) " * 20 + "}",
    "a known one, elsewhere": "query " + "@skip(if: false) " * 20 + "{ __typename }",
    "in a fragment": "{ ...F } fragment F on Query "
    + " ".join(f"@a{n}" for n in range(9))
    + " { __typename }",
    "at variables": "query(" + " ".join(f"$v{n}: Int @d{n}" for n in range(9)) + ") { __typename }",
    "with wrong arguments": "{ __typename " + "@skip(x: 1) @include(y: 2) " * 10 + "}",
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_wrong_directives_is_one_error(name: str) -> None:
    async with connect(PlainTwilio()) as client:
        error = await client.error(FLOODS[name])

    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "irective '@" in error["message"]


async def test_directives_that_are_right_hide_no_other_error() -> None:
    query = "{ x @skip(if: false) y @include(if: true) __typename @skip(if: 5) }"
    async with connect(PlainTwilio()) as client:
        answer = await client.answer(query)

    assert len(answer["errors"]) == 3


async def test_no_more_than_fifty_errors_for_wrong_variables() -> None:
    query = "query($i: [ID!]!) { nodes(ids: $i) { id } }"
    async with connect(PlainTwilio()) as client:
        answer = await client.answer(query, i=[True] * 60)

    assert len(answer["errors"]) == 51  # the last says that there are more
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


async def streamed(text: str) -> list[str]:
    """The error codes of an operation that is executed as over a socket."""
    async with open_gateway(settings_of(sandbox_calls=0), PlainTwilio()) as gateway:
        results = [result async for result in gateway.stream(text, caller=ANONYMOUS)]
    errors = [error for result in results for error in getattr(result, "errors", None) or ()]
    return [(error.extensions or {})["code"] for error in errors]


@pytest.mark.parametrize("name", ["2^30", "tokens", "aliases", "three levels"])
async def test_a_document_refused_over_http_is_refused_over_a_websocket(name: str) -> None:
    assert await streamed(ABUSE[name][0]) == ["LIMIT_EXCEEDED"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "BAD_REQUEST"),
        ("mutation { x }", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment A on Query { __typename }", "BAD_REQUEST"),
    ],
)
async def test_over_a_socket_an_error_has_its_code_too(text: str, code: str) -> None:
    assert await streamed(text) == [code]


async def test_introspection_in_a_circle_is_refused() -> None:
    """graphql-core's own rule: types of fields of types of fields of types."""
    query = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    async with connect(PlainTwilio()) as client:
        error = await client.error(query)

    assert error["message"] == "Maximum introspection depth exceeded"
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


async def test_one_token_more_than_allowed_is_refused() -> None:
    """If no other limit is reached."""
    query = "{ nodes(ids: [" + '"x" ' * (1500 - 12) + "]) { id } }"
    twilio = PlainTwilio()
    async with connect(twilio, max_tokens=1499) as client:
        error = await client.error(query)
    async with connect(twilio) as client:
        answer = await client.answer(query)

    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "tokens", "allowed": 1499}
    assert "1499 tokens" in error["message"]
    assert len(answer["data"]["nodes"]) == 1488


@pytest.mark.parametrize("text", [fan_out(149, 1), "{ x(y: " + "[" * 300 + "]" * 300 + ") }"])
async def test_what_nests_deeper_than_anything_may_is_told_as_a_limit(text: str) -> None:
    """By the measure, or before by the parser, which has a limit of its own."""
    async with connect(PlainTwilio()) as client:
        error = await client.error(text)

    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "nesting", "allowed": 100}


def test_what_is_kept_of_a_text_is_of_one_schema() -> None:
    cache, other = PreparedCache(), build_schema("type Query { x: Int }")
    found = [cache.prepared("{ x }", None, DocumentSettings(), one) for one in (other, GRAPHQL)]

    assert [bool(one.errors) for one in found] == [False, True]


async def test_a_limit_is_a_setting() -> None:
    async with connect(PlainTwilio(), max_depth=3, max_root_fields=1) as client:
        await client.data("{ calls { nodes { sid } } }")
        deeper = await client.error("{ calls { nodes { parentCall { sid } } } }")
        wider = await client.error("{ a: __typename b: __typename }")

    assert deeper["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "depth", "allowed": 3}
    assert wider["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "root_fields", "allowed": 1}


def test_the_page_of_limits_names_each_setting_and_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    limits = [row for row in fields(DocumentSettings) if row.name.startswith("max_")]
    assert len(limits) == 13
    for row in limits:
        assert row.metadata["name"].rpartition("_MAX_")[2] in page
        assert f"{row.default:,}" in page


async def test_the_same_text_is_refused_again() -> None:
    """The check of a text is cached."""
    async with connect(PlainTwilio()) as client:
        first, second = [await client.error(BEYOND["aliases"]) for _ in range(2)]

    assert first == second


def test_a_fragment_that_is_not_there_adds_nothing() -> None:
    """Validation refuses it, later."""
    assert measure(parse("{ calls { ...nothing } }")).fields == 1


def test_a_schema_that_is_not_shown_is_not_told_of() -> None:
    """`__typename` is no introspection."""
    hidden = DocumentSettings(introspection=Switch.OFF)
    check_document(parse("{ __typename }"), hidden)

    with pytest.raises(IntrospectionDisabled):
        check_document(parse("{ __schema { types { name } } }"), hidden)
