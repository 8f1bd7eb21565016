"""Settings of GraphQL documents: which run, their limits, and what clients are shown.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass
from typing import Annotated

from gateway.settings.values import DocumentPolicy, Environment, Paths, Switch, between, setting

__all__ = ["DocumentSettings"]


@dataclass(frozen=True, kw_only=True)
class DocumentSettings:
    """GraphQL documents: what their writers are shown, which run, and how large one may be."""

    environment: Environment = setting(
        "GATEWAY_ENV", Environment.DEVELOPMENT, "development|production",
        "In production there is no GraphiQL page and no introspection, and errors do not suggest "
        "names of the schema.",
    )  # fmt: skip
    introspection: Switch | None = setting(
        "GATEWAY_INTROSPECTION", None, "on|off",
        "Whether clients may read the schema (__schema, __type, _service). Where it is not set, "
        "GATEWAY_ENV decides. `gateway schema` prints it for routers and tools.",
    )  # fmt: skip
    policy: DocumentPolicy = setting(
        "GATEWAY_DOCUMENTS", DocumentPolicy.OFF, "off|warn|known|ids",
        "Which documents run (docs/documents.md): all; all, with a log line for those that would "
        "be refused; those of the manifest; or those that are asked for by their id in it.",
    )  # fmt: skip
    manifests: Paths | None = setting(
        "GATEWAY_DOCUMENTS_FILE", None, "paths",
        "The manifests of trusted documents, with commas between: Apollo's, or a map from id to "
        "text as of Relay and codegen. A changed file is read again without a restart.",
    )  # fmt: skip
    apq: Switch = setting(
        "GATEWAY_APQ", Switch.ON, "on|off",
        "Whether clients may send the hash of a document that was sent before (automatic persisted "
        "queries). Never with GATEWAY_DOCUMENTS=known or ids.",
    )  # fmt: skip
    max_body: Annotated[int, between(1024, 16_777_216)] = setting(
        "GATEWAY_MAX_BODY", 262_144, "bytes",
        "The largest body of a request, as sent and as inflated, and the longest query string. "
        "2,000 representations are 150 KB.",
    )  # fmt: skip
    max_tokens: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_MAX_TOKENS", 1500, "tokens",
        "The longest document. The README's query has 80 tokens, the whole introspection 183; this "
        "many take some 50 ms to parse and validate.",
    )  # fmt: skip
    max_depth: Annotated[int, between(1, 50)] = setting(
        "GATEWAY_MAX_DEPTH", 12, "fields",
        "How deep fields may nest, without introspection. Each level of a tree of calls takes two.",
    )  # fmt: skip
    max_fields: Annotated[int, between(1, 10_000)] = setting(
        "GATEWAY_MAX_FIELDS", 300, "fields",
        "How many fields a document may have once its fragments are spread. The whole "
        "introspection has 235.",
    )  # fmt: skip
    max_fragments: Annotated[int, between(0, 10_000)] = setting(
        "GATEWAY_MAX_FRAGMENTS", 100, "fragments",
        "How many fragments a document may spread. A fragment counts each time it is spread.",
    )  # fmt: skip
    max_aliases: Annotated[int, between(0, 10_000)] = setting(
        "GATEWAY_MAX_ALIASES", 30, "aliases",
        "How many fields may have an alias; each alias of a list is one more list to read.",
    )  # fmt: skip
    max_directives: Annotated[int, between(0, 10_000)] = setting(
        "GATEWAY_MAX_DIRECTIVES", 20, "directives",
        "How many directives a document may have.",
    )  # fmt: skip
    max_root_fields: Annotated[int, between(1, 1000)] = setting(
        "GATEWAY_MAX_ROOT_FIELDS", 15, "fields",
        "How many fields an operation may have at its root; each sends one request or more.",
    )  # fmt: skip
    max_operations: Annotated[int, between(1, 1000)] = setting(
        "GATEWAY_MAX_OPERATIONS", 10, "operations",
        "How many operations a document may have: one is executed, all are validated.",
    )  # fmt: skip
    max_value_depth: Annotated[int, between(1, 100)] = setting(
        "GATEWAY_MAX_VALUE_DEPTH", 10, "levels",
        "How deep lists and objects may nest in an argument or a variable. Filters have 3 levels.",
    )  # fmt: skip
    max_cost: Annotated[int, between(1, 1_000_000)] = setting(
        "GATEWAY_MAX_COST", 2000, "rows",
        "How many rows an operation may read from Twilio, by estimate (docs/limits.md). The "
        "README's query costs 400.",
    )  # fmt: skip
    max_first: Annotated[int, between(1, 1000)] = setting(
        "GATEWAY_MAX_FIRST", 1000, "rows",
        "The largest `first` and `last`; it also caps their default of 50.",
    )  # fmt: skip
    max_representations: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_MAX_REPRESENTATIONS", 2000, "representations",
        "How many representations one `_entities` may have, and how many ids one `nodes`.",
    )  # fmt: skip

    @property
    def shows_page(self) -> bool:
        """True when browsers get the GraphiQL page."""
        return self.environment is Environment.DEVELOPMENT

    @property
    def shows_schema(self) -> bool:
        """True when clients may read the schema."""
        if self.introspection is None:
            return self.environment is Environment.DEVELOPMENT
        return self.introspection is Switch.ON

    @property
    def suggests_names(self) -> bool:
        """True when errors suggest names of the schema."""
        return self.environment is Environment.DEVELOPMENT
