"""The requests that make and change a call, as values (FACTS section 8).

This module must not know how a form came about, nor how it is sent.
"""

from dataclasses import dataclass

from gateway.upstream.requests import check_sid
from gateway.upstream.resources import CallResource
from gateway.upstream.writes import FormRequest

__all__ = ["CallForm", "make_call", "modify_call"]

Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class CallForm(FormRequest[CallResource]):
    """POST of a call's form. It has no query, and what an explanation shows holds no form."""

    kind: str = "calls"

    @property
    def query(self) -> Form:
        """None: everything is in the form."""
        return ()


def make_call(form: Form) -> CallForm:
    """POST Calls (seed: "Initiate a new phone call")."""
    return CallForm(path="Calls", form=form)


def modify_call(sid: str, form: Form) -> CallForm:
    """POST Calls/{sid} (seed: "Initiates a call redirect or terminates a call")."""
    return CallForm(path=f"Calls/{check_sid('CA', sid)}", form=form, sid=sid)
