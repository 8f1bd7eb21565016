"""The catalog of resources is complete: every request reads a resource of it."""

from typing import Any

import pytest

from gateway.schema import schema
from gateway.schema.strawberry_internals import graphql_schema
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.requests import FetchRequest, ListRequest
from tests.plain_twilio import sid

EACH = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)


def test_every_kind_of_request_reads_a_resource_of_the_catalog() -> None:
    kinds: list[Any] = [*FetchRequest.__subclasses__(), *ListRequest.__subclasses__()]
    assert len(kinds) == 2 * len(RESOURCES)
    assert {kind.resource for kind in kinds} == set(RESOURCES)


@pytest.mark.parametrize("name", ["name", "type_name", "sid_prefix", "row"])
def test_no_two_resources_are_taken_for_one_another(name: str) -> None:
    values = [getattr(resource, name) for resource in RESOURCES]
    assert len(set(values)) == len(RESOURCES)


@EACH
def test_a_resources_requests_are_of_the_resource(resource: ResourceDescriptor[Any]) -> None:
    owner = sid("CA", 1)
    assert resource.fetch(sid(resource.sid_prefix, 1)).resource is resource
    assert resource.list_of(owner).resource is resource
    assert resource.list_of(owner).owner == owner
    assert resource.list_of(None).owner is None


@EACH
def test_what_it_names_is_there(resource: ResourceDescriptor[Any]) -> None:
    dates = {date for order in resource.orders for date in order}
    named = {resource.owner, resource.day_filter, *dates, *resource.costly_properties}
    assert named <= set(dir(resource.row))
    assert graphql_schema(schema).get_type(resource.type_name) is not None
