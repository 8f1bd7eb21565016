"""The schema as clients see it."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLNonNull, build_client_schema, build_schema, get_introspection_query

from gateway.schema import schema
from gateway.schema.strawberry_internals import graphql_schema
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, error, sid

GRAPHQL = graphql_schema(schema)
FEDERATIONS_OWN = {"_entities", "_service"}


async def shown() -> dict[str, Any]:
    """The whole introspection, as tools request it."""
    async with connect(PlainTwilio()) as client:
        query = get_introspection_query(input_value_deprecation=True)
        schema_: dict[str, Any] = (await client.data(query))["__schema"]
    return schema_


def described(schema_: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Everything that should have a description, with its description."""
    for type_ in schema_["types"]:
        if type_["name"].startswith("__"):  # introspection's own
            continue
        yield type_["name"], type_["description"]
        for kind in ("fields", "inputFields", "enumValues"):
            for member in type_[kind] or ():
                yield from _member(f"{type_['name']}.{member['name']}", member)
    for directive in schema_["directives"]:
        yield from _member(f"@{directive['name']}", directive)


def _member(name: str, member: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield name, member["description"]
    for argument in member.get("args") or ():
        yield f"{name}({argument['name']}:)", argument["description"]


async def test_everything_has_a_description() -> None:
    """A description is one or more sentences and ends with a full stop."""
    all_ = dict(described(await shown()))

    assert [name for name, text in all_.items() if not text] == []
    ours = {name: text for name, text in all_.items() if name not in GRAPHQLS_OWN}
    odd = [name for name, text in ours.items() if text and not text.rstrip('")').endswith(".")]
    assert odd == []
    assert {"Query", "Mutation", "Subscription", "Call.to", "Query.calls(filter:)"} <= all_.keys()


GRAPHQLS_OWN = {"ID", "Int", "String", "Boolean", "Float"}


async def test_introspection_hides_federations_own_definitions() -> None:
    """Routers read it in `_service { sdl }`."""
    schema_ = await shown()
    types = {type_["name"] for type_ in schema_["types"]}
    directives = {directive["name"] for directive in schema_["directives"]}

    assert not {name for name in types if name.startswith("link__")}
    assert types & {"_FieldSet"} == set()
    assert {name for name in types if name.startswith("_")} - INTROSPECTION == {
        "_Any",
        "_Entity",
        "_Service",
    }
    assert directives == {"include", "skip", "deprecated", "specifiedBy", "oneOf"}
    build_client_schema({"__schema": schema_})  # type: ignore[typeddict-item]


INTROSPECTION = {
    "__Schema", "__Type", "__TypeKind", "__Field", "__InputValue", "__EnumValue",
    "__Directive", "__DirectiveLocation",
}  # fmt: skip


async def test_federations_two_fields_come_last() -> None:
    schema_ = await shown()
    (query,) = (type_ for type_ in schema_["types"] if type_["name"] == "Query")

    names = [field["name"] for field in query["fields"]]
    assert names[:2] == ["call", "calls"]
    assert names[-2:] == ["_entities", "_service"]


async def test_nothing_has_null_for_its_default() -> None:
    schema_ = await shown()
    defaults = {
        f"{type_['name']}.{member['name']}": value["defaultValue"]
        for type_ in schema_["types"]
        for member in (*(type_["fields"] or ()), *(type_["inputFields"] or ()))
        for value in (*member.get("args", ()), member)
        if value.get("defaultValue") is not None
    }

    assert "null" not in defaults.values()
    assert "= null" not in schema.as_str()


async def test_null_and_nothing_mean_the_same() -> None:
    """An argument or input field that is null counts as omitted."""
    twilio = PlainTwilio(calls=[call(1)])
    queries = [
        "{ calls { nodes { sid } } }",
        "{ calls(first: null, after: null, last: null, before: null, filter: null) "
        "{ nodes { sid } } }",
        "{ calls(filter: {to: null, from: null, status: null, startTime: null, endTime: null, "
        "parentCallSid: null}) { nodes { sid } } }",
        "query($n: Int, $f: CallFilter) { calls(first: $n, filter: $f) { nodes { sid } } }",
        "query($to: String) { calls(filter: {to: $to}) { nodes { sid } } }",
    ]
    async with connect(twilio) as client:
        answers = [await client.data(query) for query in queries]
        answers.append(await client.data(queries[3], n=None, f=None))

    assert answers == [{"calls": {"nodes": [{"sid": sid("CA", 1)}]}}] * 6
    assert set(twilio.requests) == {"GET Calls?PageSize=51"}


async def test_the_sdl_that_routers_read_is_the_one_that_is_printed() -> None:
    async with connect(PlainTwilio()) as client:
        sdl = (await client.data("{ _service { sdl } }"))["_service"]["sdl"]

    assert sdl == schema.as_str() == str(schema)
    assert "@link(" in sdl
    assert '@key(fields: "sid")' in sdl
    build_schema(sdl, assume_valid_sdl=True)


@pytest.mark.parametrize("root", [GRAPHQL.query_type, GRAPHQL.mutation_type], ids=str)
def test_every_root_field_is_nullable(root: object) -> None:
    """So that a failing field does not null its neighbours; Federation defines its own two."""
    fields = getattr(root, "fields")  # noqa: B009 (a root type may be None)
    certain = {name for name, field in fields.items() if isinstance(field.type, GraphQLNonNull)}

    assert certain <= FEDERATIONS_OWN
    assert fields.keys() - FEDERATIONS_OWN


async def test_a_list_that_upstream_refuses_costs_no_neighbour() -> None:
    """A range beyond retention is refused: 400, code 20004.

    See docs/twilio.md#12-reports-of-people-who-use-the-api.
    """
    twilio = PlainTwilio(calls=[call(1), call(2)])
    twilio.fault = lambda r: error(400, 20004) if "StartTime" in r.url.params else None
    async with connect(twilio) as client:
        answer = await client.answer(
            """{
              newest: calls(first: 3) { nodes { sid } }
              old: calls(first: 3, filter: {startTime: {on: "2020-01-01"}}) { nodes { sid } }
            }"""
        )

    newest = {"nodes": [{"sid": sid("CA", 1)}, {"sid": sid("CA", 2)}]}
    assert answer["data"] == {"newest": newest, "old": None}
    (only,) = answer["errors"]
    assert only["path"] == ["old"]
    assert only["extensions"]["code"] == "UPSTREAM_REJECTED"
    assert only["extensions"]["twilioCode"] == 20004


async def test_a_root_that_the_caller_got_wrong_costs_no_neighbour() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        answer = await client.answer(
            f"""{{
              bad: calls(after: "made up") {{ nodes {{ sid }} }}
              ids: nodes(ids: ["{sid("CA", 1)}", "nonsense"]) {{ id }}
              one: call(sid: "nonsense") {{ sid }}
              good: calls {{ nodes {{ sid }} }}
            }}"""
        )

    assert answer["data"] == {
        "bad": None,
        "ids": [{"id": sid("CA", 1)}, None],
        "one": None,
        "good": {"nodes": [{"sid": sid("CA", 1)}]},
    }
    assert sorted(e["path"][0] for e in answer["errors"]) == ["bad", "ids", "one"]
