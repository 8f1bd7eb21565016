"""The subgraph: entities in one batch, each failing by itself."""

from typing import Any

from graphql import GraphQLObjectType, get_named_type, parse

from gateway.schema import schema
from gateway.schema.cost import COSTLY_FIELDS
from gateway.schema.masked_fields import mask_of
from gateway.schema.strawberry_internals import graphql_schema
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, notification, recording, sid

ENTITIES = """query($representations: [_Any!]!) {
  _entities(representations: $representations) {
    __typename
    ... on Call { sid status }
    ... on Recording { sid duration }
    ... on Notification { sid log }
    ... on PhoneNumber { number }
  }
}"""


def account() -> PlainTwilio:
    """One of each."""
    return PlainTwilio(
        calls=[call(1), call(2)],
        recordings=[recording(1, of=1)],
        notifications=[notification(1, of=1)],
    )


def representation(typename: str, **key: str) -> dict[str, Any]:
    """The query that a router sends."""
    return {"__typename": typename, **key}


async def test_entities_of_every_type_resolve_in_one_batch_and_equal_ones_once() -> None:
    twilio = account()
    given = [
        representation("Call", sid=sid("CA", 1)),
        representation("Recording", sid=sid("RE", 1)),
        representation("Notification", sid=sid("NO", 1)),
        representation("PhoneNumber", number="+16175550101"),
        *[representation("Call", sid=sid("CA", 2), extra="from @requires") for _ in range(20)],
    ]
    async with connect(twilio) as client:
        data = await client.data(ENTITIES, representations=given)

    assert data["_entities"][:4] == [
        {"__typename": "Call", "sid": sid("CA", 1), "status": "COMPLETED"},
        {"__typename": "Recording", "sid": sid("RE", 1), "duration": 30},
        {"__typename": "Notification", "sid": sid("NO", 1), "log": "WARNING"},
        {"__typename": "PhoneNumber", "number": "+16175550101"},
    ]
    assert len(data["_entities"]) == 24
    assert twilio.asked() == [
        f"GET Calls/{sid('CA', 1)}",
        f"GET Calls/{sid('CA', 2)}",
        f"GET Notifications/{sid('NO', 1)}",
        f"GET Recordings/{sid('RE', 1)}",
    ]


async def test_a_bad_representation_is_null_with_an_error_and_costs_no_other() -> None:
    given: list[Any] = [
        representation("Call", sid=sid("CA", 1)),
        representation("Contact", sid=sid("CA", 1)),
        {"sid": sid("CA", 1)},
        representation("Call"),
        {"__typename": "Call", "sid": 7},
        representation("Call", sid="CA/../../x"),
        representation("PhoneNumber", number="0900"),
        representation("Call", sid=sid("CA", 99)),
        "not an object",
        {"__typename": ["Call"], "sid": sid("CA", 1)},
    ]
    twilio = account()
    async with connect(twilio) as client:
        answer = await client.answer(ENTITIES, representations=given)

    good = {"__typename": "Call", "sid": sid("CA", 1), "status": "COMPLETED"}
    assert answer["data"]["_entities"] == [good] + [None] * 9
    # a deleted call is null without an error
    assert [error["path"] for error in answer["errors"]] == [
        ["_entities", place] for place in (1, 2, 3, 4, 5, 6, 8, 9)
    ]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert twilio.asked() == [f"GET Calls/{sid('CA', 1)}", f"GET Calls/{sid('CA', 99)}"]


async def test_the_service_prints_a_schema_that_every_composer_reads() -> None:
    """Version 2.9 has all directives used here; composers refuse versions that they do not know."""
    async with connect(PlainTwilio()) as client:
        sdl = (await client.data("{ _service { sdl } }"))["_service"]["sdl"]

    assert 'url: "https://specs.apollo.dev/federation/v2.9"' in sdl
    for line in (
        'type Call implements Node @key(fields: "sid")',
        'type Recording implements Node @key(fields: "sid")',
        'type Notification implements Node @key(fields: "sid")',
        'type PhoneNumber @key(fields: "number")',
        "type PageInfo @shareable",
        "  ): Node @shareable @inaccessible",
        "  ): [Node] @shareable @inaccessible",
        '  mediaUrl: String @tag(name: "pii") @cost(weight: 1)',
    ):
        assert line in sdl


def test_every_personal_field_has_the_tag_that_contracts_exclude() -> None:
    """So do the filters by number; masks and tags are declared side by side."""
    tagged = with_directive("tag")
    personal = {
        f"{type_.name}.{name}"
        for type_ in objects()
        for name, field in type_.fields.items()
        if mask_of(field)
    }
    filters = {
        f"{type_}.{name}"
        for type_ in ("CallFilter", "ChildCallFilter", "CallEventFilter")
        for name in ("to", "from")
    }

    assert tagged == personal | filters | {
        f"{type_}.{name}"
        for type_, names in (
            ("Call", ("toEndpoint", "fromEndpoint")),
            ("PhoneNumber", ("callsTo", "callsFrom")),
        )
        for name in names
    }


def test_every_property_that_costs_a_request_has_its_cost() -> None:
    assert with_directive("cost") == {".".join(each) for each in COSTLY_FIELDS}


def test_every_connection_says_how_long_it_is() -> None:
    """Without `first` a list has 50 rows: no router must refuse it, or count it as one row."""
    size = "@listSize(assumedSize: 50, slicingArguments: {}, sizedFields: {}, {})"
    more = '["nodes", "edges"]', "requireOneSlicingArgument: false"
    connections = {
        f"{type_.name}.{name}"
        for type_ in objects()
        for name, field in type_.fields.items()
        if get_named_type(field.type).name.endswith("Connection")
    }

    assert with_directive("listSize") == connections
    for name, arguments in (("Call", '["first", "last"]'), ("Recording", '["first"]')):
        assert f"): {name}Connection {size.format(arguments, *more)}" in schema.as_str()


def objects() -> list[GraphQLObjectType]:
    """The object types of the schema."""
    types = graphql_schema(schema).type_map.values()
    return [type_ for type_ in types if isinstance(type_, GraphQLObjectType)]


def with_directive(name: str) -> set[str]:
    """The fields and input fields that have a directive in the SDL: `Type.field`."""
    return {
        f"{getattr(type_, 'name').value}.{field.name.value}"  # noqa: B009
        for type_ in parse(schema.as_str()).definitions
        for field in getattr(type_, "fields", None) or ()
        if any(directive.name.value == name for directive in field.directives or ())
    }


async def test_a_node_is_fetched_by_its_sid_whatever_its_type() -> None:
    ids = [sid("CA", 1), sid("RE", 1), sid("NO", 1), sid("CA", 99), "XX1", "CA1"]
    async with connect(account()) as client:
        answer = await client.answer(
            "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids
        )
        one = await client.data(f'{{ node(id: "{sid("CA", 1)}") {{ id ... on Call {{ to }} }} }}')

    assert answer["data"]["nodes"] == [
        {"__typename": "Call", "id": sid("CA", 1)},
        {"__typename": "Recording", "id": sid("RE", 1)},
        {"__typename": "Notification", "id": sid("NO", 1)},
        None,
        None,
        None,
    ]
    assert [error["path"] for error in answer["errors"]] == [["nodes", 4], ["nodes", 5]]
    assert one["node"] == {"id": sid("CA", 1), "to": "+18005550100"}
