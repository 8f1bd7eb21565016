"""Accounts that change while they are read.

No row comes twice, no unchanged row is missing, each row is as it was at some moment of the
operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from gateway.settings import PlannerMode
from tests.exactness.accounts import accounts, exact_switches
from tests.exactness.client import description, examples, gateway_client
from tests.exactness.moves import Move, moves, removes_rows, unchanged_rows
from tests.exactness.oracle import Oracle
from tests.exactness.queries import STATUSES, Edge, Filter, Root, document, filters, roots
from tests.exactness.switches import Switches, Tokens
from tests.exactness.test_walks import Walk, has_odd_status
from tests.exactness.twilio import Account, OddTwilio
from tests.plain_twilio import Row

SIZES = st.sampled_from([1, 2, 3, 5])
History = Sequence[dict[str, dict[str, Row]]]


@dataclass
class Moments:
    """Checks responses against the account's history during an operation."""

    twilio: OddTwilio

    def hold(self, root: Root, answer: dict[str, Any]) -> None:
        """Asserts that the response is right for this history."""
        oracle = Oracle(self.twilio)
        self.rows_of(
            answer["nodes"],
            "calls",
            lambda row: oracle.matches(row, root.filter, None),
            None if answer["pageInfo"]["hasNextPage"] else 0,
            root.window.size,
        )
        for node in answer["nodes"]:
            self._call(node, root.edges)

    def _call(self, node: dict[str, Any], edges: Sequence[Edge]) -> None:
        """Asserts that a call is as it was at some moment, and so are its edges."""
        sid = node["sid"]
        oracle = Oracle(self.twilio)
        versions = [then["calls"][sid] for then in self.twilio.history if sid in then["calls"]]
        plain = [oracle.plain(row, ()) for row in versions]
        assert {name: node[name] for name in plain[0]} in plain
        for edge in edges:
            self._edge(sid, versions, node[edge.alias], edge)

    def _edge(self, sid: str, versions: Sequence[Row], found: Any, edge: Edge) -> None:
        if edge.field == "parentCall":
            parents = {row["parent_call_sid"] for row in versions}
            calls = [then["calls"] for then in self.twilio.history]
            if found is None:
                assert None in parents or any(parents - set(then) for then in calls)
            else:
                assert found["sid"] in parents
                self._call(found, edge.edges)
            return
        name = "calls" if edge.field == "childCalls" else edge.field
        oracle = Oracle(self.twilio)

        def matches(row: Row) -> bool:
            if name == "calls":
                return oracle.matches(row, edge.filter, sid)
            return row["call_sid"] == sid and edge.log in (None, row.get("log"))

        self.rows_of(found["nodes"], name, matches, 0, edge.first or 50)
        for child in found["nodes"] if name == "calls" else ():
            self._call(child, edge.edges)

    def rows_of(
        self, nodes: Sequence[Any], name: str, matches: Any, end: int | None, size: int
    ) -> None:
        """No row comes twice; each matched at some moment; no unchanged row is missing.

        In a full page only rows above its last row can be missing.
        """
        sids = [node["sid"] for node in nodes]
        assert len(set(sids)) == len(sids)
        for sid in sids:
            assert any(
                sid in then[name] and matches(then[name][sid]) for then in self.twilio.history
            )
        order = [row["sid"] for row in self.twilio.every_row(name)]
        is_whole = end is not None and len(sids) < size
        above = order if is_whole else order[: order.index(sids[-1])] if sids else []
        assert unchanged_rows(self.twilio.history, name, matches) & set(above) <= set(sids)


@st.composite
def operations(draw: st.DrawFn) -> tuple[Account, Switches, Root, dict[int, Move]]:
    """An account that changes, and one of its lists from the top with edges."""
    account = draw(accounts(junk=False))
    root = draw(roots(account))
    at_top = Root(root.alias, root.filter, type(root.window)(root.window.size), True, root.edges)
    return account, draw(exact_switches()), at_top, draw(moves(account.now))


@pytest.mark.parametrize("mode", list(PlannerMode))
@settings(max_examples=examples(60))
@given(operations(), st.sampled_from([1, 2, 100]))
async def test_an_operation_shows_what_was_true_at_some_moment_of_it(
    mode: PlannerMode, operation: tuple[Account, Switches, Root, dict[int, Move]], at_once: int
) -> None:
    account, switches, root, script = operation
    twilio = OddTwilio.of(account, switches)
    note(f"{description(twilio, account)}\n{script}")
    twilio.moves = script
    async with gateway_client(twilio, account, planner=mode, max_in_flight=at_once) as client:
        answer = await client.answer(document(root.text(None)))
    note(str(twilio.requests))
    # A date that cannot be read is an error at its own place.
    assert all(error["path"][-1] == "dateCreated" for error in answer.get("errors", ()))
    if switches.tokens is Tokens.NUMBERS and removes_rows(script):
        return
    Moments(twilio).hold(root, answer["data"][root.alias])


@st.composite
def walks(draw: st.DrawFn) -> tuple[Account, Switches, Filter, dict[int, Move]]:
    """An account that changes, and one of its lists, of one status or of several."""
    account = draw(accounts(junk=False, families=8))
    statuses = st.lists(st.sampled_from(STATUSES), min_size=2, max_size=4, unique=True)
    filter_ = draw(filters(account))
    if draw(st.booleans()):
        filter_ = Filter(filter_.to, filter_.from_, tuple(draw(statuses)), filter_.start)
    return account, draw(exact_switches()), filter_, draw(moves(account.now, most=30))


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@settings(max_examples=examples(40))
@given(walks(), SIZES)
async def test_a_walk_through_moving_lists_misses_nothing_that_stood_still(
    backwards: bool, walked: tuple[Account, Switches, Filter, dict[int, Move]], size: int
) -> None:
    account, switches, filter_, script = walked
    is_numbered = switches.tokens is Tokens.NUMBERS
    # Nothing tells which of several lists such a call belongs to (docs/paging.md).
    is_ignored = "Status" in switches.ignored and len(filter_.statuses) > 1
    assume(not (is_ignored and backwards and has_odd_status(account)))
    twilio = OddTwilio.of(account, switches)
    note(f"{description(twilio, account)}\n{script}")
    oracle = Oracle(twilio)
    found: list[str] = []
    async with gateway_client(twilio, account, cache_size=0) as client:
        walk = Walk(client, filter_)
        at: str | None = None
        if backwards:
            rows = await walk.whole()
            if not rows:
                return
            at = rows[-1]
            found.append(at)
        twilio.answered, twilio.moves = 0, script
        for _ in range(100):
            sids, info, _ = await walk.page(size, at, backwards=backwards)
            note(f"{sids} {info['hasNextPage']} {info['hasPreviousPage']}")
            assert len(set(sids)) == len(sids)
            assert at not in sids
            found += sids
            if not info["hasPreviousPage" if backwards else "hasNextPage"]:
                break
            if sids:
                at = sids[0] if backwards else sids[-1]
                continue
            # A page without rows but with a next page has a cursor that is further on.
            at = at or "the top"
            position = info["startCursor" if backwards else "endCursor"]
            assert position not in (None, walk.cursors.get(at))
            walk.cursors[at] = position
        else:
            raise AssertionError("the walk does not end")
    still = unchanged_rows(twilio.history, "calls", lambda row: oracle.matches(row, filter_, None))
    assert all(found.count(sid) <= 1 for sid in still)
    if not (is_numbered and (backwards or removes_rows(script) or filter_.statuses)):
        assert still <= set(found)
