"""A schema whose resolvers do, by seed, everything that resolvers can do.

They return values at once or late, null or an exception, raise, or return lists of all of these.
The result depends only on the seed, the object and the field, so an operation can be repeated.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
)

__all__ = ["OBJECTS", "World", "schema"]

OBJECTS = ("Ant", "Bee", "Cat")


class Colour(Enum):
    """The Python enum behind a GraphQL enum."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Thing:
    """An object; its kind is the name of its GraphQL type."""

    number: int
    kind: str


@dataclass
class World:
    """What resolvers do under a seed. `trouble` is the percentage of unusual results.

    `calls` counts the calls of each resolver; `acts` is the order of mutations.
    """

    seed: int
    trouble: int
    is_async: bool
    calls: Counter[str] = field(default_factory=Counter)
    acts: list[str] = field(default_factory=list)

    def chance(self, *what: object) -> random.Random:
        """A generator that is the same for equal arguments."""
        return random.Random(f"{self.seed} {what}")

    def thing(self, chance: random.Random) -> Thing:
        """An object of any type."""
        return Thing(chance.randrange(10_000), chance.choice(OBJECTS))


Make = Callable[[World, random.Random], Any]


async def late(turns: int, value: Any) -> Any:
    """The value after this many turns of the event loop. Raises it if it is an exception."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


@dataclass(eq=False)
class Late:
    """Like `late`, but without a warning if its list is dropped and it is never awaited."""

    turns: int
    value: Any

    def __await__(self) -> Any:
        return late(self.turns, self.value).__await__()


def outcome(world: World, chance: random.Random, make: Make, later: Any = late) -> Any:
    """A value, or something else that a resolver may return. May raise."""
    odds = chance.randrange(100)
    if odds >= world.trouble:
        value: Any = make(world, chance)
    else:
        error = chance.choice(
            [ValueError(f"bad {odds}"), GraphQLError(f"worse {odds}", extensions={"code": odds})]
        )
        value = chance.choice([None, None, None, error, error, object(), [object()], "NaN"])
    if world.is_async and chance.random() < 0.3:
        return later(chance.choice([0, 0, 1, 2, 5]), value)
    if isinstance(value, Exception) and chance.random() < 0.5:
        raise value
    return value


def items(make: Make) -> Make:
    """A list whose items are outcomes."""

    def made(world: World, chance: random.Random) -> Any:
        count = chance.choice([0, 1, 2, 3])
        made_items = []
        for _ in range(count):
            try:
                made_items.append(outcome(world, chance, make, Late))
            except Exception as error:
                made_items.append(error)
        return tuple(made_items) if chance.random() < 0.2 else made_items

    return made


def stream(make: Make) -> Make:
    """An async iterable, which sometimes raises; in a synchronous world a list."""

    def made(world: World, chance: random.Random) -> Any:
        values = [make(world, chance) for _ in range(chance.choice([0, 1, 3]))]
        breaks = chance.randrange(100) < world.trouble

        async def run() -> AsyncIterator[Any]:
            for value in values:
                await asyncio.sleep(0)
                yield value
            if breaks:
                raise ValueError("broken off")

        return run() if world.is_async else values

    return made


def resolver(name: str, make: Make) -> Callable[..., Any]:
    """A field's resolver."""

    def resolve(source: Any, info: Any, **arguments: Any) -> Any:
        world: World = info.context
        number = source.number if isinstance(source, Thing) else 0
        world.calls[f"{info.parent_type.name}.{name}"] += 1
        return outcome(world, world.chance(number, name, sorted(arguments.items())), make)

    return resolve


def act(name: str) -> Callable[..., Awaitable[Any] | Any]:
    """A mutation's resolver, which records when it begins and ends."""

    def resolve(_source: Any, info: Any, **arguments: Any) -> Any:
        world: World = info.context
        chance = world.chance(name, info.path.key, sorted(arguments.items()))
        world.acts.append(f"{info.path.key} begins")
        made = outcome(world, chance, World.thing)
        if not hasattr(made, "__await__"):
            return made

        async def end() -> Any:
            try:
                return await made
            finally:
                world.acts.append(f"{info.path.key} ends")

        return end()

    return resolve


def _odd(value: Any) -> Any:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value if value % 3 else None


COLOUR = GraphQLEnumType("Colour", Colour, names_as_values=None)
ODD = GraphQLScalarType("Odd", serialize=_odd)
POINT = GraphQLInputObjectType(
    "Point",
    {
        "x": GraphQLInputField(GraphQLNonNull(GraphQLInt)),
        "y": GraphQLInputField(GraphQLInt, default_value=7),
    },
)


def _resolve_type(value: Any, info: Any, _abstract: Any) -> Any:
    name = value.kind if isinstance(value, Thing) else None
    world: World = info.context
    odds = world.chance("type", getattr(value, "number", 0)).randrange(100)
    if odds < world.trouble / 4:
        name = "Nobody" if odds % 2 else "Query"
    return late(odds % 3, name) if world.is_async and odds % 5 == 0 else name


def _is_type_of(kind: str) -> Callable[[Any, Any], Any]:
    def judge(value: Any, info: Any) -> Any:
        verdict = isinstance(value, Thing) and value.kind == kind
        is_late = kind == "Bee" and info.context.is_async
        return late(1, verdict) if is_late else verdict

    return judge


def _whole(world: World, chance: random.Random) -> Any:
    return chance.choice(
        [0, 1, 7, True, 2**31 - 1, -(2**31), 2.0, "12", *[2**31] * bool(world.trouble)]
    )


def _word(_world: World, chance: random.Random) -> Any:
    return chance.choice(["a word", "", 3, True, 1.5])


def _fields(kind: str, required: int) -> dict[str, GraphQLField]:
    """Fields of every type; which of them may be null depends on the type."""

    def of(type_: Any, name: str, make: Make, **arguments: GraphQLArgument) -> GraphQLField:
        mark = f"{name}{required}"
        is_non_null = random.Random(mark).random() < 0.4
        chosen = GraphQLNonNull(type_) if is_non_null else type_
        return GraphQLField(chosen, args=arguments or None, resolve=resolver(name, make))

    def inner(type_: Any, name: str) -> Any:
        is_non_null = random.Random(f"in {name}{required}").random() < 0.4
        return GraphQLList(GraphQLNonNull(type_) if is_non_null else type_)

    number = GraphQLArgument(GraphQLInt, default_value=3)
    point, text = GraphQLArgument(POINT), GraphQLArgument(GraphQLNonNull(GraphQLString))
    fields = {
        "id": of(GraphQLID, "id", _word),
        "name": of(GraphQLString, "name", _word),
        "count": of(GraphQLInt, "count", _whole),
        "share": of(GraphQLFloat, "share", _whole),
        "is": of(GraphQLBoolean, "is", _whole),
        "colour": of(COLOUR, "colour", lambda _, chance: chance.choice([*Colour, "red"])),
        "odd": of(ODD, "odd", _whole),
        "words": of(inner(GraphQLString, "words"), "words", items(_word)),
        "grid": of(inner(inner(GraphQLInt, "g"), "grid"), "grid", items(items(_whole))),
        "flow": of(inner(GraphQLInt, "flow"), "flow", stream(_whole)),
        "friend": of(NODE, "friend", World.thing),
        "some": of(SOME, "some", World.thing),
        "ant": of(TYPES["Ant"], "ant", lambda _, chance: Thing(chance.randrange(99), "Ant")),
        "nodes": of(inner(NODE, "nodes"), "nodes", items(World.thing)),
        "all": of(inner(SOME, "all"), "all", items(World.thing)),
        "rush": of(inner(NODE, "rush"), "rush", stream(World.thing)),
        "echo": of(GraphQLString, "echo", _word, text=text, number=number, point=point),
        "cats": of(
            inner(TYPES["Cat"], "cats"),
            "cats",
            items(lambda _, chance: Thing(chance.randrange(99), "Cat")),
            first=GraphQLArgument(GraphQLInt),
        ),
    }
    if kind != "Node":
        fields["number"] = GraphQLField(GraphQLInt)  # of the default resolver
        fields["kind"] = GraphQLField(GraphQLNonNull(GraphQLString))
    return fields


TYPES: dict[str, GraphQLObjectType] = {}
NODE = GraphQLInterfaceType("Node", lambda: _fields("Node", 0), resolve_type=_resolve_type)
TYPES["Ant"] = GraphQLObjectType("Ant", lambda: _fields("Ant", 1), [NODE], _is_type_of("Ant"))
TYPES["Bee"] = GraphQLObjectType("Bee", lambda: _fields("Bee", 2), [NODE], _is_type_of("Bee"))
TYPES["Cat"] = GraphQLObjectType("Cat", lambda: _fields("Cat", 3), [NODE], _is_type_of("Cat"))
SOME = GraphQLUnionType("Some", lambda: [TYPES[name] for name in OBJECTS])
QUERY = GraphQLObjectType("Query", lambda: _fields("Node", 4))
MUTATION = GraphQLObjectType(
    "Mutation",
    lambda: {
        "act": GraphQLField(NODE, args={"on": GraphQLArgument(GraphQLInt)}, resolve=act("act")),
        "must": GraphQLField(GraphQLNonNull(TYPES["Ant"]), resolve=act("must")),
        "try": GraphQLField(SOME, resolve=act("try")),
    },
)
schema = GraphQLSchema(QUERY, MUTATION, types=list(TYPES.values()), assume_valid=True)
