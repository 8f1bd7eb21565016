"""Settings of documents: how large one may be before anything is sent.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass

from gateway.settings.values import (
    Switch,
    one_of,
    setting,
    whole,
)

__all__ = ["DocumentSettings"]


@dataclass(frozen=True, kw_only=True)
class DocumentSettings:
    """See docs/limits.md; each number is a limit of one request."""

    introspection: Switch | None = setting(
        "GATEWAY_INTROSPECTION", one_of(Switch), None, "on|off",
        "Whether the schema may be asked for (__schema, __type, _service); where it is not set, "
        "off in production. `gateway schema` prints it for routers and tools.",
    )  # fmt: skip
    max_body: int = setting(
        "GATEWAY_MAX_BODY", whole(1024, 16_777_216), 262_144, "bytes",
        "The largest body (as sent, and inflated), or query string, of a request: a document with "
        "its variables. The whole introspection is 2 KB, 2,000 representations are 150 KB.",
    )  # fmt: skip
    max_tokens: int = setting(
        "GATEWAY_MAX_TOKENS", whole(1, 100_000), 1500, "tokens",
        "The longest document. The README's query has 80, the whole introspection 183; parsing "
        "and validating this many takes some 50 ms.",
    )  # fmt: skip
    max_depth: int = setting(
        "GATEWAY_MAX_DEPTH", whole(1, 50), 12, "fields",
        "How deep fields may nest. A tree of calls takes two for each level; introspection is "
        "measured apart.",
    )  # fmt: skip
    max_fields: int = setting(
        "GATEWAY_MAX_FIELDS", whole(1, 10_000), 300, "fields",
        "How many fields a document may have once its fragments are spread, repeated ones counted "
        "each time. The whole introspection has 235; validation is quadratic in repeats.",
    )  # fmt: skip
    max_fragments: int = setting(
        "GATEWAY_MAX_FRAGMENTS", whole(0, 10_000), 100, "fragments",
        "How many fragments may be spread, fragments in fragments counted each time. 1 KB of them "
        "can mean 2^30.",
    )  # fmt: skip
    max_aliases: int = setting(
        "GATEWAY_MAX_ALIASES", whole(0, 10_000), 30, "aliases",
        "How many fields may be renamed: each alias of a list is a list of its own upstream.",
    )  # fmt: skip
    max_directives: int = setting(
        "GATEWAY_MAX_DIRECTIVES", whole(0, 10_000), 20, "directives",
        "How many directives a document may have; of wrong ones, only the first is told.",
    )  # fmt: skip
    max_root_fields: int = setting(
        "GATEWAY_MAX_ROOT_FIELDS", whole(1, 1000), 15, "fields",
        "How many fields an operation may have at its root: each is a request upstream at least.",
    )  # fmt: skip
    max_operations: int = setting(
        "GATEWAY_MAX_OPERATIONS", whole(1, 1000), 10, "operations",
        "How many operations a document may have: one is executed, all are validated.",
    )  # fmt: skip
    max_value_depth: int = setting(
        "GATEWAY_MAX_VALUE_DEPTH", whole(1, 100), 10, "levels",
        "How deep lists and objects may nest in an argument or a variable. Filters have 3.",
    )  # fmt: skip
    max_cost: int = setting(
        "GATEWAY_MAX_COST", whole(1, 1_000_000), 2000, "rows",
        "How many rows an operation may read upstream by estimate (docs/limits.md). The README's "
        "query is 400.",
    )  # fmt: skip
    max_first: int = setting(
        "GATEWAY_MAX_FIRST", whole(1, 1000), 1000, "rows",
        "The largest `first` and `last`, which also caps the default of 50; 1000 is Twilio's "
        "largest page.",
    )  # fmt: skip
    max_representations: int = setting(
        "GATEWAY_MAX_REPRESENTATIONS", whole(1, 100_000), 2000, "representations",
        "How many representations one `_entities` may have, and how many ids one `nodes`.",
    )  # fmt: skip
