"""What is used of libraries by private names: still there, in one module each, and bounded.

Each contract says what is missing, and where it is used. Run this file first when a bound in
pyproject.toml is raised.
"""

import ast
import enum
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import strawberry
import uvicorn
from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    get_nullable_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    parse,
    specified_rules,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.executor import Executor
from strawberry.types.arguments import convert_arguments
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.schema import schema as gateway_schema
from gateway.schema import strawberry_internals as internals
from gateway.schema.shortcuts import shortcut
from gateway.server.uvicorn_server import BoundedHttp, Multiprocess

HOUSE = Path(__file__).parents[1]
PROJECT = HOUSE / "pyproject.toml"
# The library, and the one module of ours that knows more of it than it promises.
USED_PRIVATELY = {
    "strawberry-graphql": "gateway/schema/strawberry_internals.py",
    "graphql-core": "gateway/schema/strawberry_internals.py",
    "uvicorn": "gateway/server/uvicorn_server.py",
}
# Modules that their documentation does not name, by what their names begin with.
PRIVATE_MODULES = {
    "strawberry.schema.schema": "strawberry-graphql",
    "strawberry.schema.schema_converter": "strawberry-graphql",
    "strawberry.federation.schema": "strawberry-graphql",
    "uvicorn.protocols": "uvicorn",
    "uvicorn.supervisors": "uvicorn",
}
UNBOUNDED = {"certifi"}
# What schema/executing.py passes to the executor.
EXECUTOR = {
    "schema", "fragment_definitions", "fragments", "root_value", "context_value", "operation",
    "variable_values", "field_resolver", "type_resolver", "subscribe_field_resolver",
    "is_awaitable",
}  # fmt: skip


def require(library: str, **there: bool) -> None:
    """Fails with words that say what a new release has taken away, and who needs it."""
    missing = [name for name, is_there in there.items() if not is_there]
    assert not missing, (
        f"{library} {version(library)} has changed {', '.join(missing)}, which "
        f"{USED_PRIVATELY[library]} uses: adapt that module, or keep the bound in pyproject.toml"
    )


def dependencies() -> list[tuple[str, str, str]]:
    """The dependencies: name, bounds, and the line on which each is declared."""
    text = PROJECT.read_text()
    declared = tomllib.loads(text)["project"]
    found = []
    extras = [one for extra in declared["optional-dependencies"].values() for one in extra]
    for one in [*declared["dependencies"], *extras]:
        (line,) = {line for line in text.splitlines() if line.strip().startswith(f'"{one}"')}
        name = re.split(r"[\[<>=]", one)[0]
        found.append((name, one, line))
    return found


RUNTIME = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]


@pytest.mark.parametrize("declared", dependencies(), ids=lambda declared: declared[0])
def test_every_dependency_says_why_it_is_there(declared: tuple[str, str, str]) -> None:
    assert re.search(r'"[,\]]*\s*#\s*\S+', declared[2]), declared[2]


@pytest.mark.parametrize("declared", RUNTIME)
def test_a_dependency_is_bounded_by_how_it_is_used(declared: str) -> None:
    """The next minor release where it is used by private names, else the next major one."""
    name = re.split(r"[\[<>=]", declared)[0]
    if name in UNBOUNDED:
        assert "<" not in declared
        return
    major, minor, *_ = version(name).split(".")
    bound = f"<{major}.{int(minor) + 1}" if name in USED_PRIVATELY else f"<{int(major) + 1}"

    assert declared.partition(";")[0].endswith(bound), f"{declared} should end with {bound}"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The gateway's modules: path and syntax tree."""
    for path in sorted((HOUSE / "gateway").rglob("*.py")):
        yield str(path.relative_to(HOUSE)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports, as `package.module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_private_modules_of_a_library_are_imported_in_one_place() -> None:
    wrong = [
        (path, name)
        for path, tree in modules()
        for name in imported(tree)
        for private, library in PRIVATE_MODULES.items()
        if f"{name}.".startswith(f"{private}.") and path != USED_PRIVATELY[library]
    ]

    assert wrong == []


def test_private_names_of_others_are_used_in_one_place() -> None:
    """`x._name` is of another object than `self`: its library's, or a class of the same module."""
    found = set()
    for path, tree in modules():
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own = {node.attr for node in used if is_own(node)} | set(defined(tree))
        found |= {(path, node.attr) for node in used if is_private(node) and node.attr not in own}

    assert {path for path, _ in found} <= set(USED_PRIVATELY.values()), found
    assert ("gateway/schema/strawberry_internals.py", "_schema") in found  # it does find some


def defined(tree: ast.Module) -> Iterator[str]:
    """The names of a module's functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def is_private(node: ast.Attribute) -> bool:
    """A name with one underscore, or one of Strawberry's with two."""
    return bool(re.match(r"_[a-z]|__strawberry", node.attr))


def is_own(node: ast.Attribute) -> bool:
    """`self._name` or `cls._name`."""
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


@strawberry.type
class Query:
    """A schema of one field."""

    @strawberry.field(metadata={"mask": "a mark"})  # type: ignore[untyped-decorator]
    def echo(self, info: strawberry.Info) -> str:
        """The name of the field."""
        return info.field_name


def test_strawberry_keeps_what_is_used_of_it() -> None:
    schema = strawberry.federation.Schema(query=Query)
    core = internals.graphql_schema(schema)
    execution = internals.GraphQLCoreExecution
    entities = inspect.signature(strawberry.federation.Schema.entities_resolver)
    errors = internals.validate_document(core, parse("{ nothing }"), tuple(specified_rules))
    field = core.query_type.fields["echo"] if core.query_type else None

    require(
        "strawberry-graphql",
        **{
            "Schema._schema": isinstance(core, GraphQLSchema),
            "Info(_raw_info, _field)": {"_raw_info", "_field"}
            <= set(inspect.signature(strawberry.Info).parameters),
            "optimized_is_awaitable": not internals.optimized_is_awaitable("text"),
            "DEFINITION_BACKREF": (
                field is not None and internals.declaration(field).metadata == {"mask": "a mark"}
            ),
            "validate_document": [str(error.message)[:5] for error in errors] == ["Canno"],
            "entities_resolver": list(entities.parameters) == ["self", "info", "representations"],
            "FederationAny": internals.FederationAny is not None,
            "StrawberryGraphQLCoreExecutionContext": isinstance(execution, type),
        },
    )


def test_graphql_core_keeps_how_an_operation_is_executed() -> None:
    execution = internals.GraphQLCoreExecution
    parameters = inspect.signature(execution.execute_operation).parameters
    code = "".join(inspect.getsource(kind) for kind in execution.__mro__[:-1])
    given = inspect.signature(Executor).parameters
    required = {name for name, one in given.items() if one.default is one.empty}
    takes_serially = list(parameters) == ["self", "serially"]

    require(
        "graphql-core",
        **{
            "ExecutionContext.execute_operation": takes_serially,
            "ExecutionContext.root_value": "self.root_value" in code,
            "ExecutionContext.context_value": "self.context_value" in code,
            "ExecutionContext.is_awaitable": hasattr(execution, "is_awaitable"),
            "Executor(schema, …)": required <= EXECUTOR <= set(given),
            "FragmentDetails": FragmentDetails._fields == ("definition", "variable_signatures"),
            "parse(max_tokens)": "max_tokens" in inspect.signature(parse).parameters,
        },
    )


def test_strawberry_keeps_how_a_field_is_resolved() -> None:
    """Where it does not, every field takes the long way, without a word."""
    core = internals.graphql_schema(gateway_schema)
    fields = {
        f"{name}.{key}": field
        for name in ("Query", "Call", "CallConnection", "PageInfo", "Recording")
        for key, field in getattr(core.type_map[name], "fields", {}).items()
    }
    long = {name for name, field in fields.items() if shortcut(field) is None}

    require(
        "strawberry-graphql",
        **{"GraphQLCoreConverter.from_resolver": long == {"Recording.mediaUrl"}},
    )


def samples(type_: Any) -> list[Any]:
    """Coerced values of an input type: null, with each property, with none, and with all."""
    nullable = get_nullable_type(type_)
    if is_list_type(nullable):
        values: list[Any] = [samples(nullable.of_type), []]
    elif is_input_object_type(nullable):
        given = {name: samples(each.type) for name, each in nullable.fields.items()}
        required = {name: some[-1] for name, some in given.items() if some[0] is not None}
        values = [required, *({**required, name: v} for name in given for v in given[name])]
        values.append({name: some[-1] for name, some in given.items()})
    else:
        values = [object()]
    return values if is_non_null_type(type_) else [None, *values]


def test_arguments_are_converted_as_by_strawberry() -> None:
    core = internals.graphql_schema(gateway_schema)
    types = [type_ for type_ in core.type_map.values() if isinstance(type_, GraphQLObjectType)]
    fields = [each for type_ in types for each in type_.fields.values() if each.args]
    compared = 0
    for field in fields:
        declared = internals.declaration(field)
        if declared is None or declared.base_resolver is None:
            continue  # Federation's own
        convert = internals.arguments_converter(field)
        for name, argument in field.args.items():
            for value in samples(argument.type):
                expected = convert_arguments(
                    {name: value},
                    declared.arguments,
                    gateway_schema.schema_converter.scalar_registry,
                    gateway_schema.config,
                )
                assert convert({name: value}) == expected
                compared += 1
        assert convert({}) == {}

    assert compared > 100


def test_strawberrys_enums_keep_their_values() -> None:
    @strawberry.enum
    class Colours(enum.Enum):
        RED = 1
        BLUE = 2

    values = internals.enum_values(Colours)
    values[0].description = "As blood."

    require(
        "strawberry-graphql",
        **{
            "__strawberry_definition__.values": [value.name for value in values] == ["RED", "BLUE"],
            "EnumValue.description": values[0].description == "As blood.",
        },
    )


def test_uvicorn_keeps_what_is_overridden_and_used_of_its_protocol() -> None:
    ours = [name for name, value in vars(BoundedHttp).items() if inspect.isfunction(value)]
    overridden = [name for name in ours if not name.startswith("_")]
    code = inspect.getsource(HttpToolsProtocol)
    attributes = (
        "self.cycle", "self.app_state", "self.loop", "self.transport", "self.config", "self.app",
        "self.limit_concurrency", "self.connections", "self.server_state",
    )  # fmt: skip
    there = {name: callable(getattr(HttpToolsProtocol, name, None)) for name in overridden}
    there |= {name: f"{name} " in code or f"{name}:" in code for name in attributes}
    there |= {
        "_unset_keepalive_if_required": "_unset_keepalive_if_required" in vars(HttpToolsProtocol),
        "timeout_keep_alive_handler": "timeout_keep_alive_handler" in vars(HttpToolsProtocol),
        "timeout_keep_alive_task": "self.timeout_keep_alive_task" in code,
        "_start_asgi_task": "self._start_asgi_task(self.cycle, app)" in code,
        "service_unavailable": "app = service_unavailable" in code,
        "STATUS_LINE": STATUS_LINE[431].startswith(b"HTTP/1.1 431 Request"),
        "server_state.default_headers": "self.server_state.default_headers" in code,
        "cycle.keep_alive": "cycle.keep_alive" in code,
        "cycle.response_complete": "cycle.response_complete" in code,
        "Multiprocess.run": callable(getattr(Multiprocess, "run", None)),
        "Config(limit_concurrency, timeout_graceful_shutdown)": {
            "limit_concurrency", "timeout_graceful_shutdown", "forwarded_allow_ips",
        } <= set(inspect.signature(uvicorn.Config).parameters),
    }  # fmt: skip

    assert len(overridden) > 8
    require("uvicorn", **there)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", ("203.0.113.9", 0)),
        ("203.0.113.9:77", ("203.0.113.9", 77)),
        ("[2001:db8::9]:77", ("2001:db8::9", 77)),
    ],
)
async def test_uvicorn_says_which_address_was_forwarded(
    forwarded: str, client: tuple[str, int]
) -> None:
    """A port that no connection has, or the one that is named: app.door tells by that."""
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(tuple(scope["client"]))

    headers = [(b"x-forwarded-for", forwarded.encode())]
    for peer in ("10.0.0.1", "192.0.2.1"):
        scope: Any = {"type": "http", "client": (peer, 5000), "headers": headers}
        await ProxyHeadersMiddleware(app, "10.0.0.1")(scope, None, None)  # type: ignore[arg-type]

    require("uvicorn", ProxyHeadersMiddleware=seen == [client, ("192.0.2.1", 5000)])
