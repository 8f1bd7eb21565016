"""The estimated cost of operations, in rows, and the operations that are refused."""

import json
import re
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    get_operation_ast,
    get_variable_values,
    is_list_type,
    is_non_null_type,
    parse,
)
from graphql.execution import VariableValues
from hypothesis import given
from hypothesis import strategies as st

from gateway.playground import TABS
from gateway.schema.cost import COSTLY_FIELDS, CostEstimate
from gateway.settings import DocumentSettings
from tests.bench.operations import OPERATIONS
from tests.conftest import connect
from tests.documents import GRAPHQL
from tests.plain_twilio import PlainTwilio, call, sid
from tests.schema.test_numbers import FIFTY, TREE

NO_LIMIT = DocumentSettings(max_cost=10**9)


def cost(
    text: str,
    operation: str | None = None,
    schema: GraphQLSchema = GRAPHQL,
    limits: DocumentSettings = NO_LIMIT,
    **variables: Any,
) -> int:
    """The estimate for one operation of the text."""
    document = parse(text)
    node = get_operation_ast(document, operation)
    assert node is not None
    coerced = get_variable_values(schema, node.variable_definitions or (), variables)
    assert isinstance(coerced, VariableValues), coerced
    return CostEstimate(schema, document, node, limits).rows(coerced)


EDGE = "recordings { nodes { sid } }"
COSTS: dict[str, tuple[str, int]] = {
    "nothing": ("{ __typename }", 0),
    "introspection": ("{ __schema { types { name } } }", 0),
    "one object": ('{ call(sid: "x") { sid } }', 1),
    "its parent": ('{ call(sid: "x") { parentCall { parentCall { sid } } } }', 3),
    "a list, as ever": ("{ calls { nodes { sid } } }", 50),
    "a list": ("{ calls(first: 7) { nodes { sid } } }", 7),
    "a list backwards": ('{ calls(last: 7, before: "x") { nodes { sid } } }', 7),
    "edges": ("{ calls(first: 7) { edges { node { sid } } pageInfo { endCursor } } }", 7),
    "statuses": ("{ calls(first: 7, filter: {status: [BUSY, FAILED]}) { nodes { sid } } }", 14),
    "one status": ("{ calls(first: 7, filter: {status: BUSY}) { nodes { sid } } }", 7),
    "an edge, as ever": (f"{{ calls(first: 10) {{ nodes {{ {EDGE} }} }} }}", 10 + 20),
    "an edge of few": (
        "{ calls(first: 10) { nodes { recordings(first: 3) { nodes { sid } } } } }", 10 + 10,
    ),
    "an edge of many": (
        "{ calls(first: 10) { nodes { recordings(first: 1000) { nodes { sid } } } } }", 10 + 400,
    ),
    "the parents of a list": ("{ calls(first: 10) { nodes { parentCall { sid } } } }", 20),
    "an edge of an edge": (
        "{ calls(first: 10) { nodes { childCalls { nodes { parentCall { sid } } } } } }",
        10 + 10 * (2 + 2),
    ),
    "a property that costs a request": (
        "{ calls(first: 10) { nodes { recordings { nodes { mediaUrl sid } } } } }", 10 + 20 + 20,
    ),
    "ids": ('{ nodes(ids: ["a", "b"]) { id ... on Call { parentCall { sid } } } }', 4),
    "one id": ('{ nodes(ids: "a") { id } }', 1),
    "representations": ("{ _entities(representations: [1, 2, 3]) { __typename } }", 3),
    "entities with an edge": (
        f"{{ _entities(representations: [1, 2, 3]) {{ ... on Call {{ {EDGE} }} }} }}", 9,
    ),
    "endpoints": ("{ calls(first: 5) { nodes { toEndpoint { __typename } } } }", 5),
    "fragments": (
        f"{{ calls(first: 10) {{ nodes {{ ...A ...A }} }} }} fragment A on Call {{ {EDGE} }}", 50,
    ),
    "twice": ("{ calls(first: 7) { nodes { sid } } calls(first: 7) { nodes { sid } } }", 14),
    "unknown fields": ("{ nothing { at { all } } calls(first: 7) { wrong { sid } } }", 7),
    "a circle": ("{ ...A } fragment A on Query { calls(first: 7) { nodes { sid } } ...A }", 7),
    "a wrong argument": ('{ calls(first: "7") { nodes { sid } } }', 0),
    "the same status twice": (
        "{ calls(first: 7, filter: {status: [BUSY, BUSY]}) { nodes { sid } } }", 7,
    ),
    "none": ("{ calls(first: 0) { nodes { sid } } }", 1),
    "none backwards": ('{ calls(last: 0, before: "x") { nodes { sid } } }', 1),
    "none, of two statuses": (
        "{ calls(first: 0, filter: {status: [BUSY, FAILED]}) { nodes { sid } } }", 2,
    ),
    "none, and what is below": (f"{{ calls(first: 0) {{ nodes {{ {EDGE} }} }} }}", 1),
    "an edge of none": (
        "{ calls(first: 10) { nodes { childCalls(first: 0) { nodes { parentCall { sid } } } } } }",
        20,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
def test_an_operation_costs_its_rows(name: str) -> None:
    text, expected = COSTS[name]

    assert cost(text) == expected


def test_variables_count_with_their_values_and_their_defaults() -> None:
    text = "query($n: Int = 9, $f: CallFilter) { calls(first: $n, filter: $f) { nodes { sid } } }"

    assert cost(text) == 9
    assert cost(text, n=3) == 3
    assert cost(text, n=None) == 50
    assert cost(text, n=3, f={"status": ["BUSY", "FAILED", "QUEUED"]}) == 9


def test_the_operation_that_is_meant_counts() -> None:
    text = "query A { calls(first: 5) { nodes { sid } } } query B { __typename }"

    assert (cost(text, "A"), cost(text, "B")) == (5, 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n": 7.0}, 7),
        ({"n": 1000.0}, 1000),
        ({"f": {"status": "BUSY"}}, 50),
        ({"f": {"status": ["BUSY", "FAILED"]}}, 100),
        ({"f": None}, 50),
    ],
)
def test_variables_count_as_they_are_coerced(given: dict[str, Any], expected: int) -> None:
    text = "query($n: Int, $f: CallFilter) { calls(first: $n, filter: $f) { nodes { sid } } }"

    assert cost(text, **given) == expected


@pytest.mark.parametrize(
    ("arguments", "is_constant"),
    [
        ("first: 7", True),
        ("first: 7, after: $t", True),
        ("first: 7, filter: {to: $t, startTime: {gte: $d}, status: [BUSY, FAILED]}", True),
        ("first: $n", False),
        ("last: $n", False),
        ("first: 7, filter: $f", False),
        ("first: 7, filter: {status: $s}", False),
        ("first: 7, filter: {status: [$o]}", False),
    ],
)
def test_only_variables_that_set_a_size_are_counted_for_each_request(
    arguments: str, is_constant: bool
) -> None:
    variables = "$n: Int, $t: String, $d: DateTime, $f: CallFilter, $s: [CallStatus!]"
    text = f"""query({variables}, $o: CallStatus! = BUSY) {{
        calls({arguments}) {{ nodes {{ {EDGE} }} }} }}"""
    document = parse(text)
    node = get_operation_ast(document)
    assert node is not None
    estimate = CostEstimate(GRAPHQL, document, node, NO_LIMIT)

    assert estimate.is_constant == is_constant


def test_no_other_variable_can_make_the_arguments_of_a_list_uncoercible() -> None:
    """Note [Counted once] rests on it: every argument and every field of a filter may be null."""
    waiting = [
        (name, value)
        for type_ in GRAPHQL.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for field in type_.fields.values()
        if "first" in field.args
        for name, value in field.args.items()
    ]
    seen, sizing = set(), {"status", "direction", "answeredBy"}
    while waiting:
        name, value = waiting.pop()
        assert not is_non_null_type(value.type)
        assert name in sizing or not is_list_type(value.type)
        type_ = get_named_type(value.type)
        if isinstance(type_, GraphQLInputObjectType) and type_ not in seen:
            seen.add(type_)
            waiting.extend(type_.fields.items())

    assert {"CallFilter", "CallTimeRange"} <= {type_.name for type_ in seen}


def test_a_field_whose_arguments_cannot_be_coerced_is_not_executed_and_costs_nothing() -> None:
    """A variable that is null, though its default let validation pass."""
    text = """query($i: [ID!] = ["a"]) {
        nodes(ids: $i) { ... on Call { parentCall { sid } } } calls(first: 3) { nodes { sid } } }"""

    assert (cost(text), cost(text, i=None)) == (5, 3)


def test_a_change_costs_a_row_and_what_is_read_with_it() -> None:
    """For every return type; a subscription's field is a root field like a query's."""
    changing = build_schema("""
        interface Node { id: ID! }
        type Call implements Node { id: ID! parentCall: Call }
        type Payload { call: Call }
        type Query { call: Call }
        type Mutation { makeCall: Payload dropCall: Boolean }
        type Subscription { callChanged: Call }
    """)
    made = "mutation { makeCall { call { parentCall { id } } } dropCall }"
    changed = "subscription { callChanged { parentCall { id } } }"

    assert cost(made, schema=changing) == 3
    assert cost(changed, schema=changing) == 2


def test_fragments_in_fragments_are_walked_once() -> None:
    """2^40 visits otherwise."""
    layers = " ".join(f"fragment F{n} on Call {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    last = "fragment F40 on Call { parentCall { sid } }"

    assert cost(f"{{ call(sid: 1) {{ ...F0 }} }} {layers} {last}") == 1 + 2**40


def test_the_properties_that_cost_a_request_are_those_whose_description_says_so() -> None:
    said = {
        (type_.name, name)
        for type_ in GRAPHQL.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if "osts a request for each" in (field.description or "")
    }

    assert said == COSTLY_FIELDS


ORDINARY = {
    **{f"tab {tab.name}": tab.query for tab in TABS},
    **{f"bench {name}": text for name, text in OPERATIONS.items()},
    "fifty": FIFTY,
    "tree": TREE,
    "a thousand": "{ calls(first: 1000) { nodes { sid } } }",
    "a thousand with parents": "{ calls(first: 1000) { nodes { parentCall { sid } } } }",
    "600 with recordings": f"{{ calls(first: 600) {{ nodes {{ {EDGE} }} }} }}",
    "a page as Relay asks": """{ calls(first: 50) { edges { cursor node {
        childCalls(first: 20) { edges { node { sid } } }
        recordings(first: 20) { edges { node { sid } } }
        notifications(first: 20) { edges { node { sid } } } } } pageInfo { endCursor } } }""",
}


VARIABLES = {f"tab {tab.name}": json.loads(tab.variables or "{}") for tab in TABS}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_operation_is_within_the_limit(name: str) -> None:
    assert cost(ORDINARY[name], **VARIABLES.get(name, {})) <= DocumentSettings().max_cost


DEAR = {
    "a thousand with an edge": f"{{ calls(first: 1000) {{ nodes {{ {EDGE} }} }} }}",
    "lists in full": """{ a: calls(first: 1000) { nodes { sid } }
        b: calls(first: 1000) { nodes { sid } } c: calls(first: 1) { nodes { sid } } }""",
    "every status": """{ calls(first: 1000, filter: {status: [BUSY, FAILED, QUEUED]}) {
        nodes { sid } } }""",
    "three levels of a hundred": """{ calls(first: 100) { nodes { childCalls(first: 100) { nodes {
        childCalls(first: 100) { nodes { sid } } } } } } }""",
    "an edge of a thousand": """{ calls(first: 50) { nodes {
        recordings(first: 1000) { nodes { sid } } } } }""",
}  # fmt: skip


@pytest.mark.parametrize("name", DEAR)
async def test_an_expensive_operation_is_refused_and_nothing_is_sent(name: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        error = await client.error(DEAR[name])

    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "cost", "allowed": 2000}
    assert "path" not in error
    assert twilio.asked() == []


async def test_the_limit_of_the_cost_is_met_exactly() -> None:
    query = "{ calls(first: 30) { nodes { parentCall { sid } } } }"
    async with connect(PlainTwilio(), max_cost=60) as client:
        await client.data(query)
    async with connect(PlainTwilio(), max_cost=59) as client:
        assert (await client.error(query))["extensions"]["limit"] == "cost"


@pytest.mark.parametrize(
    "arguments", ["first: 1001", 'last: 1001, before: "x"', "first: 2147483647"]
)
async def test_a_page_beyond_the_largest_refuses_the_whole_operation(arguments: str) -> None:
    """The other list of the operation is not requested, either."""
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        other = f"b: calls({arguments}) {{ nodes {{ sid }} }}"
        error = await client.error(f"{{ a: calls(first: 5) {{ nodes {{ sid }} }} {other} }}")

    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert twilio.asked() == []


@pytest.mark.parametrize("arguments", ["first: -1", 'last: -1, before: "x"'])
async def test_a_page_below_none_refuses_the_whole_operation(arguments: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        error = await client.error(f"{{ calls({arguments}) {{ nodes {{ sid }} }} }}")

    assert error == {
        "message": "first and last must be from 0 to 1000",
        "extensions": {"code": "BAD_USER_INPUT"},
    }
    assert twilio.asked() == []


async def test_the_largest_page_is_a_setting_and_caps_the_default() -> None:
    """The list and its edges, with and without `first`."""
    edge = "recordings { nodes { sid } }"
    many = PlainTwilio(calls=[call(n) for n in range(20)])
    async with connect(many, max_first=10) as client:
        with_first = await client.data(f"{{ calls(first: 10) {{ nodes {{ sid {edge} }} }} }}")
        without = await client.data(f"{{ calls {{ nodes {{ sid {edge} }} }} }}")
        error = await client.error("query($n: Int) { calls(first: $n) { nodes { sid } } }", n=11)

    assert len(without["calls"]["nodes"]) == 10
    assert without == with_first
    assert error["message"] == "first and last must be from 0 to 10"


SIZES = st.none() | st.integers(-2, 1003) | st.integers(0, 1001).map(float) | st.booleans() | (
    st.sampled_from(["7", 7.5, -0.0, 1e300, [7], {}, 2**31])
)  # fmt: skip


@given(st.integers(1, 1000), SIZES, st.sampled_from(["literal", "variable", "default", "absent"]))
async def test_the_estimate_equals_the_rows_that_are_read(most: int, size: Any, way: str) -> None:
    """Whatever stands for `first`, in whichever place: it is refused, or the page that Twilio is
    asked for is the one that was counted, and one row more, which tells whether others follow.
    """
    number = "null" if size is None else str(size).lower()
    text = {
        "literal": f"{{ calls(first: {number}) {{ nodes {{ sid }} }} }}",
        "variable": "query($n: Int) { calls(first: $n) { nodes { sid } } }",
        "default": f"query($n: Int = {number}) {{ calls(first: $n) {{ nodes {{ sid }} }} }}",
        "absent": "query($n: Int) { calls(first: $n) { nodes { sid } } }",
    }[way]
    variables = {"n": size} if way == "variable" else {}
    twilio = PlainTwilio(calls=[call(1)])
    limits = DocumentSettings(max_cost=10**9, max_first=most)
    async with connect(twilio, max_first=most, max_cost=1_000_000) as client:
        answer = await client.answer(text, **variables)
    asked = twilio.asked()

    if "errors" in answer:
        assert "data" not in answer
        assert asked == []
    else:
        counted = cost(text, limits=limits, **variables)
        assert counted <= most
        read = [int(found[1]) for one in asked if (found := re.search(r"PageSize=(\d+)", one))]
        assert read == [min(counted + 1, 1000)] or (not read and counted == 1)


ENTITIES = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Call { sid } } }"


async def test_as_many_representations_as_allowed_are_answered() -> None:
    """2,000 references to one call are one request."""
    twilio = PlainTwilio(calls=[call(1)])
    given = {"__typename": "Call", "sid": sid("CA", 1)}
    async with connect(twilio) as client:
        data = await client.data(ENTITIES, r=[given] * 2000)
        asked = twilio.asked()
        error = await client.error(ENTITIES, r=[given] * 2001)

    assert len(data["_entities"]) == 2000
    assert len(asked) == 1
    assert error["extensions"]["limit"] == "representations"
    assert twilio.asked() == []


async def test_as_many_ids_as_representations_are_allowed_and_the_error_names_the_setting() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    query = "query($i: [ID!]!) { nodes(ids: $i) { id } }"
    async with connect(twilio, max_representations=3) as client:
        await client.data(query, i=[sid("CA", 1)] * 3)
        twilio.asked()
        error = await client.error(query, i=[sid("CA", 1)] * 4)

    limit = {"limit": "representations", "allowed": 3}
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED"} | limit
    assert twilio.asked() == []
