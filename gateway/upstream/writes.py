"""Writes as values: a form to post, whose response is the row that was made or changed.

This module must not know how a request is sent.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from gateway.upstream.calls import CALLS, CallResource
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.requests import check_sid
from gateway.upstream.resources import Resource

__all__ = ["CallForm", "FormRequest", "make_call", "modify_call"]

R = TypeVar("R", bound=Resource)
Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FormRequest(Generic[R]):
    """POST of a form (docs/twilio.md#8-making-and-modifying-a-call). The result is the row that was
    made or changed.

    `path` is relative to the account, without suffix; `sid` is the resource's if it exists already.
    A name may come several times in the form. The repr omits the form, which holds phone numbers.
    """

    resource: ClassVar[ResourceDescriptor[Any]]
    path: str
    form: Form
    sid: str | None = None

    @property
    def kind(self) -> str:
        """The resource's name."""
        return self.resource.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self.path!r})"


@dataclass(frozen=True, kw_only=True, repr=False)
class CallForm(FormRequest[CallResource]):
    """POST of a call's form. Its query is empty, so that explanations do not show the form."""

    resource = CALLS

    @property
    def query(self) -> Form:
        """Empty: everything is in the form."""
        return ()


def make_call(form: Form) -> CallForm:
    """POST Calls (seed: "Initiate a new phone call")."""
    return CallForm(path="Calls", form=form)


def modify_call(sid: str, form: Form) -> CallForm:
    """POST Calls/{sid} (seed: "Initiates a call redirect or terminates a call")."""
    return CallForm(path=f"Calls/{check_sid('CA', sid)}", form=form, sid=sid)
