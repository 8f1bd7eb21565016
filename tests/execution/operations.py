"""Random operations over the schema of `worlds`, and random variables for them.

They spread fragments repeatedly under different conditions, merge fields, and use variables with
defaults or without values. Validation would reject a few of them.
"""

import random
from typing import Any

from graphql import GraphQLObjectType, get_named_type, is_composite_type, is_object_type

from tests.execution.worlds import OBJECTS, schema

__all__ = ["operation", "variables"]

VARIABLES = {
    "$yes": "Boolean!",
    "$no": "Boolean!",
    "$maybe": "Boolean! = true",
    "$text": "String",
    "$number": "Int",
    "$filled": "Int = 11",
    "$point": "Point",
    "$x": "Int",
}
DEPTH = 4


class Writer:
    """Writes one operation."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._fragments: dict[str, str] = {}

    def condition(self) -> str:
        """Nothing, or one or both of @skip and @include."""
        if self.chance.random() < 0.7:
            return ""
        value = self.chance.choice(["true", "false", "$yes", "$no", "$maybe", "$yes", "$no"])
        kinds = self.chance.choice([["skip"], ["include"], ["skip", "include"]])
        return "".join(f" @{kind}(if: {value})" for kind in kinds)

    def arguments(self, name: str) -> str:
        """The arguments of a field, if it has any; sometimes invalid ones."""
        pick = self.chance.choice
        if name == "echo":
            point = pick(["null", "{x: 1}", "{x: $x}", "{x: 1, y: $number}", "$point", "{y: 2}"])
            text = pick(['text: "t"', "text: $text", 'text: ""', ""])
            number = pick(["", "number: 4", "number: $number", "number: $filled", "number: null"])
            inside = f"{text} {number} {pick(['', f'point: {point}'])}".strip()
            return f"({inside})" if inside else ""
        if name in ("cats", "act"):
            key = "first" if name == "cats" else "on"
            return pick(["", f"({key}: 2)", f"({key}: $number)"])
        return ""

    def selection(self, type_: Any, depth: int) -> str:
        """A selection set."""
        count = self.chance.choice([1, 2, 3, 4]) if depth else 5
        parts = [self.part(type_, depth) for _ in range(count)]
        return "{ " + " ".join(parts) + " }"

    def part(self, type_: Any, depth: int) -> str:
        """A field, an inline fragment or a fragment spread."""
        odds = self.chance.random()
        on = type_.name if is_object_type(type_) or odds < 0.1 else self.chance.choice(OBJECTS)
        inside = schema.type_map[on]
        if odds < 0.15 and depth < DEPTH:
            head = (
                self.chance.choice(["...", f"... on {on}"]) if on == type_.name else f"... on {on}"
            )
            return f"{head}{self.condition()} {self.selection(inside, depth + 1)}"
        if odds < 0.3 and depth < DEPTH:
            return f"...{self.fragment(on, depth)}{self.condition()}"
        return self.field(type_, depth)

    def fragment(self, on: str, depth: int) -> str:
        """The name of an existing fragment, or of a new one."""
        fitting = [name for name in self._fragments if name.startswith(f"On{on}")]
        if fitting and self.chance.random() < 0.6:
            return self.chance.choice(fitting)
        name = f"On{on}{len(self._fragments)}"
        text = self.selection(schema.type_map[on], depth + 1)  # this may add other fragments
        while name in self._fragments:
            name += "x"
        self._fragments[name] = f"fragment {name} on {on} {text}"
        return name

    def field(self, type_: Any, depth: int) -> str:
        """A field, sometimes under an alias."""
        fields = getattr(type_, "fields", {})
        leaves = [
            name for name in fields if not is_composite_type(get_named_type(fields[name].type))
        ]
        names = [*fields] if depth < DEPTH else leaves
        if not names or self.chance.random() < 0.1:
            return f"__typename{self.condition()}"
        name = self.chance.choice(names)
        alias = self.chance.choice(["", "", "", "", "a: ", "b: "]) if name in leaves else ""
        below = (
            "" if name in leaves else self.selection(get_named_type(fields[name].type), depth + 1)
        )
        return f"{alias}{name}{self.arguments(name)}{self.condition()} {below}".strip()

    def operation(self) -> str:
        """The whole document."""
        root: GraphQLObjectType | None = schema.query_type
        kind = "query"
        if self.chance.random() < 0.2:
            root, kind = schema.mutation_type, "mutation"
        body = self.selection(root, 0)
        declared = ", ".join(f"{name}: {type_}" for name, type_ in VARIABLES.items())
        return "\n".join([f"{kind} ({declared})\n{body}", *self._fragments.values()])


def operation(chance: random.Random) -> str:
    """A document with one operation."""
    return Writer(chance).operation()


def variables(chance: random.Random) -> dict[str, Any]:
    """Values for its variables; optional ones are often left out."""
    required: dict[str, Any] = {"yes": chance.random() < 0.5, "no": chance.random() < 0.5}
    optional = {
        "maybe": chance.random() < 0.5,
        "text": chance.choice(["said", None]),
        "number": chance.choice([5, None]),
        "filled": chance.choice([6, None]),
        "point": chance.choice([{"x": 1}, {"x": 2, "y": None}, None]),
        "x": chance.choice([8, None]),
    }
    return required | {name: value for name, value in optional.items() if chance.random() < 0.6}
