"""Accounts that do not change: planned, per-key and expected responses are equal."""

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from gateway.settings import PlannerMode
from tests.conftest import Client
from tests.exactness.accounts import accounts, exact_switches
from tests.exactness.client import description, examples, gateway_client
from tests.exactness.oracle import Oracle
from tests.exactness.queries import Root, document, edge_count, in_order, is_loose, roots
from tests.exactness.switches import Switches
from tests.exactness.twilio import Account, OddTwilio


async def cursor_of(client: Client, root: Root) -> str | None:
    """The cursor of the row at which the window starts."""
    if root.window.position is None:
        return None
    filter_ = "".join(f", {argument}" for argument in root.filter.arguments)
    text = f"{{ calls(first: {root.window.position + 1}{filter_}) {{ pageInfo {{ endCursor }} }} }}"
    cursor: str = (await client.data(text))["calls"]["pageInfo"]["endCursor"]
    return cursor


@st.composite
def operations(draw: st.DrawFn) -> tuple[Account, Switches, tuple[Root, ...]]:
    """An account, an upstream, and one or two lists to select in one operation."""
    account = draw(accounts())
    switches = draw(exact_switches())
    aliases = draw(st.sampled_from([("calls",), ("calls",), ("newest", "other")]))
    return account, switches, tuple(draw(roots(account, alias)) for alias in aliases)


async def answer_of(
    twilio: OddTwilio, account: Account, requested: tuple[Root, ...], **given: Any
) -> tuple[dict[str, Any], list[str]]:
    """The response with these lists, and its upstream requests."""
    async with gateway_client(twilio, account, **given) as client:
        fields = [root.text(await cursor_of(client, root)) for root in requested]
        twilio.requests.clear()
        answer = await client.answer(document(*fields))
        return answer, twilio.asked()


@settings(max_examples=examples(150))
@given(operations(), st.sampled_from([1, 2, 100]))
async def test_planned_and_per_key_answers_are_the_oracles(
    operation: tuple[Account, Switches, tuple[Root, ...]], at_once: int
) -> None:
    account, switches, requested = operation
    requests: dict[str, list[str]] = {}
    for mode in PlannerMode:
        twilio = OddTwilio.of(account, switches)
        oracle = Oracle(twilio)
        note(description(twilio, account))
        fitted = tuple(root.fitted(len(oracle.rows(root.filter))) for root in requested)
        expected = {root.alias: oracle.root(root) for root in fitted}
        answer, requests[mode] = await answer_of(
            twilio, account, fitted, planner=mode, max_in_flight=at_once
        )
        note(f"{mode}: {requests[mode]}")
        for root in fitted:
            for call in (answer["data"][root.alias] or {"nodes": ()})["nodes"]:
                in_order(call, root.edges)
        assert answer["data"] == expected, mode
        assert len(answer.get("errors", ())) == len(oracle.errors)
        if not any(is_loose(root.edges) for root in fitted):
            assert {tuple(error["path"]) for error in answer.get("errors", ())} == oracle.errors
    edges = sum(edge_count(root.edges) for root in requested)
    assert len(requests[PlannerMode.ADAPTIVE]) <= len(requests[PlannerMode.PER_KEY]) + edges
