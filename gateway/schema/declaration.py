"""What an operation declares: its kind and the types of its variables.

For callers that have variables as texts, such as a command line. This module must not know them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from graphql import (
    GraphQLError,
    OperationType,
    get_nullable_type,
    is_input_object_type,
    is_list_type,
    type_from_ast,
)

from gateway.errors import BadRequest
from gateway.schema import prepare
from gateway.settings import DocumentSettings

__all__ = ["Declaration"]

JSON_SCALARS = {"Boolean", "Float", "Int"}


class Declaration:
    """The kind and the variables of an operation that can be run."""

    def __init__(self, is_query: bool, kinds: Mapping[str, Any]) -> None:
        self.is_query = is_query
        self._kinds = kinds

    @classmethod
    def of(cls, text: str, name: str | None, limits: DocumentSettings) -> "Declaration | None":
        """The declaration of the document's operation of that name; None if it cannot be run."""
        try:
            operation = prepare(text, name, limits)
        except (GraphQLError, BadRequest):
            return None
        if operation.errors:
            return None
        return cls(
            operation.type is OperationType.QUERY,
            {
                node.variable.name.value: type_from_ast(operation.schema, node.type)
                for node in operation.node.variable_definitions or ()
            },
        )

    def declares(self, variable: str) -> bool:
        """True if the operation declares this variable (without its $)."""
        return variable in self._kinds

    def read(self, variable: str, text: str) -> Any:
        """The text as a value of the type of a declared variable.

        Numbers, booleans, lists and input objects are JSON; all other types are the text itself.
        Raises ValueError, which does not repeat the text.
        """
        kind = self._kinds[variable]
        if not _is_json(kind):
            return text
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ValueError(f"must be JSON of the type {kind}") from None


def _is_json(kind: Any) -> bool:
    plain: Any = get_nullable_type(kind)
    return is_list_type(plain) or is_input_object_type(plain) or str(plain) in JSON_SCALARS
