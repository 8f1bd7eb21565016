"""Requests that change something, as values: a form that is posted, and the row that it answers.

This module must not know how a request is sent.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.upstream.resources import Resource

__all__ = ["FormRequest"]

R = TypeVar("R", bound=Resource)
Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FormRequest(Generic[R]):
    """POST of a form (FACTS section 8). The answer is the row that was made or changed.

    `path` is relative to the account, without suffix; `sid` is the resource's where it is known
    before. A name may come several times in the form. Its repr holds no form: forms hold numbers.
    """

    kind: str
    path: str
    form: Form
    sid: str | None = None

    def __repr__(self) -> str:
        return f"FormRequest(kind={self.kind!r}, path={self.path!r})"
