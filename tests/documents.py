"""Documents at random: what the schema allows, what it does not, and what is hardly GraphQL."""

from datetime import UTC, date, datetime

from graphql import parse_value
from hypothesis import strategies as st
from hypothesis_graphql import Mode, nodes, queries

from gateway.schema import schema
from gateway.schema.strawberry_internals import graphql_schema
from tests.plain_twilio import sid

__all__ = ["GRAPHQL", "garbled_documents", "invalid_documents", "valid_documents"]

GRAPHQL = graphql_schema(schema)
_SIDS = st.builds(sid, st.sampled_from(["CA", "RE", "NO"]), st.integers(1, 9))
_IDS = st.one_of(_SIDS, _SIDS, _SIDS, st.text(st.characters(codec="utf-8"), max_size=40))
_SCALARS = {
    "DateTime": st.integers(0, 2**31).map(
        lambda seconds: nodes.String(datetime.fromtimestamp(seconds, UTC).isoformat())
    ),
    "Date": st.dates(date(2000, 1, 1), date(2030, 1, 1)).map(
        lambda day: nodes.String(day.isoformat())
    ),
    # What is there more often than what is not, so that there is something to answer.
    "ID": _IDS.map(nodes.String),
    "Int": st.one_of(st.integers(1, 60), st.integers(1, 60), st.integers(-1, 2**31 - 1)).map(
        nodes.Int
    ),
    "_Any": st.builds(
        lambda name, key: parse_value(f'{{__typename: "{name}", sid: "{key}", number: "+1555"}}'),
        st.sampled_from(["Call", "Recording", "Notification", "PhoneNumber", "X"]),
        _SIDS,
    ),
}
_NOISE = ["", "{", "}", "(", ")", "...", "$x", '"', '"""', "null", "@x", "on", "#", "é", "\0"]


def valid_documents() -> st.SearchStrategy[str]:
    """Queries that the schema allows."""
    return queries(GRAPHQL, custom_scalars=_SCALARS)


def invalid_documents() -> st.SearchStrategy[str]:
    """Queries that break one rule of the schema."""
    return queries(GRAPHQL, custom_scalars=_SCALARS, mode=Mode.NEGATIVE)


@st.composite
def garbled_documents(draw: st.DrawFn) -> str:
    """Nearly queries: some words are gone, doubled, or others."""
    words = draw(valid_documents()).split()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(words) - 1))
        noise = draw(st.sampled_from(_NOISE))
        words[place] = draw(st.sampled_from([noise, f"{words[place]} {words[place]}"]))
    return " ".join(words)
