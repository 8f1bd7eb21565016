"""Who is at one end of a call: a phone number, a SIP address, a client, or another endpoint.

`to` and `from` stay the strings that Twilio returns; these types classify them. A PhoneNumber is an
entity, so that another subgraph can add a contact to every caller.
"""

import re
from typing import TYPE_CHECKING, Annotated

import strawberry

from gateway.access.masking import masked_party, masked_text
from gateway.errors import BadUserInput
from gateway.schema.arguments import After, First, edge_page_size
from gateway.schema.connection import Connection, PageArgs, PageOrAwaitable, read_connection
from gateway.schema.context import Info
from gateway.schema.directives import EDGE_LIST, PII
from gateway.schema.filters import Filter, Refine, number_lists
from gateway.schema.masked_fields import personal
from gateway.upstream.calls import CallResource

if TYPE_CHECKING:
    from gateway.schema.call import Call

__all__ = ["CallEndpoint", "PhoneNumber", "endpoint"]

E_164 = re.compile(r"\+[1-9][0-9]{1,14}")


LazyCall = Annotated["Call", strawberry.lazy("gateway.schema.call")]


@strawberry.federation.type(keys=["number"], description="A phone number.")
class PhoneNumber:
    """E.164, for example +16175551212.

    Its calls show whom a person calls, so they require the scope `pii` (`require_lists`), however
    the number was reached. No list of Twilio's covers several numbers: each is asked for its own.
    """

    number: str = strawberry.field(
        description="The number in E.164, for example +16175551212.",
        metadata=personal(masked_party),
        directives=PII,
    )

    @strawberry.field(
        description="Calls to this number, newest first. Requires the scope pii. Each number "
        "takes a request of its own.",
        graphql_type=Connection[LazyCall] | None,
        directives=(*PII, *EDGE_LIST),
    )
    @staticmethod
    def calls_to(
        parent: strawberry.Parent["PhoneNumber"],
        info: Info,
        first: First = None,
        after: After = None,
        filter: Filter = None,
        refine: Refine = None,
    ) -> PageOrAwaitable[CallResource]:
        """Calls?To=."""
        args = PageArgs.of(info, first, after)
        return _calls(info, args, filter, refine, to=parent.number)

    @strawberry.field(
        description="Calls from this number, newest first. Requires the scope pii. Each number "
        "takes a request of its own.",
        graphql_type=Connection[LazyCall] | None,
        directives=(*PII, *EDGE_LIST),
    )
    @staticmethod
    def calls_from(
        parent: strawberry.Parent["PhoneNumber"],
        info: Info,
        first: First = None,
        after: After = None,
        filter: Filter = None,
        refine: Refine = None,
    ) -> PageOrAwaitable[CallResource]:
        """Calls?From=."""
        args = PageArgs.of(info, first, after)
        return _calls(info, args, filter, refine, from_=parent.number)


def _calls(
    info: Info, args: PageArgs, filter_: Filter, refine: Refine, **number: str
) -> PageOrAwaitable[CallResource]:
    """A page of the calls whose `to` or `from_` is this number."""
    lists = number_lists(filter_, refine, page_size=edge_page_size(args.size), **number)
    return read_connection(info, lists, args)


@strawberry.type(description="A SIP address.", directives=PII)
class SipAddress:
    """For example sip:kevin@example.com. The seed also has it without the scheme."""

    address: str = strawberry.field(
        description="The address as Twilio returns it.",
        metadata=personal(masked_party),
        directives=PII,
    )


@strawberry.type(description="A device that runs a Twilio client.", directives=PII)
class ClientIdentifier:
    """client:name."""

    name: str = strawberry.field(
        description="The client's name, without the prefix client:.",
        metadata=personal(masked_text),
        directives=PII,
    )


@strawberry.type(
    description="Any other endpoint, for example a SIM or a caller ID that is not in E.164.",
    directives=PII,
)
class OtherEndpoint:
    """The text of `to` or `from`, unchanged."""

    value: str = strawberry.field(
        description="The text as Twilio returns it.",
        metadata=personal(masked_party),
        directives=PII,
    )


CallEndpoint = Annotated[
    PhoneNumber | SipAddress | ClientIdentifier | OtherEndpoint,
    strawberry.union("CallEndpoint", description="Who is at one end of a call.", directives=PII),
]


def endpoint(
    value: str | None,
) -> PhoneNumber | SipAddress | ClientIdentifier | OtherEndpoint | None:
    """The endpoint in a call's `to` or `from` (seed: E.164, name@company.com or client:name)."""
    if value is None:
        return None
    if E_164.fullmatch(value):
        return PhoneNumber(number=value)
    if value.startswith("client:"):
        return ClientIdentifier(name=value.removeprefix("client:"))
    if value.startswith(("sip:", "sips:")) or "@" in value:
        return SipAddress(address=value)
    return OtherEndpoint(value=value)


def phone_number(number: str) -> PhoneNumber:
    """The entity for a number. Raises BadUserInput unless it is in E.164."""
    if not E_164.fullmatch(number):
        raise BadUserInput("A PhoneNumber's number is in E.164, for example +16175551212")
    return PhoneNumber(number=number)
