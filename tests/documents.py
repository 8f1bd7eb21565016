"""Documents at random: what the schema allows, and what it does not."""

from datetime import UTC, date, datetime

from graphql import GraphQLSchema, parse_value
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries

from gateway.schema import schema

__all__ = ["GRAPHQL", "SCALARS", "invalid_documents", "valid_documents"]

GRAPHQL: GraphQLSchema = schema._schema
_MOMENTS = st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
_DAYS = st.dates(date(2000, 1, 1), date(2030, 1, 1))
SCALARS = {
    "DateTime": _MOMENTS.map(lambda moment: nodes.String(moment.isoformat())),
    "Date": _DAYS.map(lambda day: nodes.String(day.isoformat())),
    "_Any": st.sampled_from(["Call", "Recording", "X"]).map(
        lambda name: parse_value(f'{{__typename: "{name}", sid: "{name}"}}')
    ),
}


def valid_documents() -> st.SearchStrategy[str]:
    """Queries that the schema allows, with values that mostly mean nothing."""
    return queries(GRAPHQL, custom_scalars=SCALARS)


@st.composite
def invalid_documents(draw: st.DrawFn) -> str:
    """Nearly queries: some tokens are gone, doubled, or others."""
    words = draw(valid_documents()).split()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(words) - 1))
        change = draw(
            st.sampled_from(["", "{", "}", "(", ")", "...", "$x", '"', "null", "@x", "\0"])
        )
        words[place] = draw(st.sampled_from([change, words[place] + " " + words[place]]))
    return " ".join(words)
