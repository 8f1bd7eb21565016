"""The schema as clients see it."""

import pytest
from graphql import GraphQLNonNull

from gateway.schema import schema
from gateway.schema.strawberry_internals import graphql_schema
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, error, sid

GRAPHQL = graphql_schema(schema)
FEDERATIONS_OWN = {"_entities", "_service"}


@pytest.mark.parametrize("root", [GRAPHQL.query_type, GRAPHQL.mutation_type], ids=str)
def test_every_root_field_is_nullable(root: object) -> None:
    """So that one that fails does not take its neighbours along; Federation fixes its own two."""
    fields = getattr(root, "fields")  # noqa: B009 (a root type may be None)
    certain = {name for name, field in fields.items() if isinstance(field.type, GraphQLNonNull)}

    assert certain <= FEDERATIONS_OWN
    assert fields.keys() - FEDERATIONS_OWN


async def test_a_list_that_upstream_refuses_costs_no_neighbour() -> None:
    """A range beyond retention is refused: 400, code 20004 (FACTS section 12)."""
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
