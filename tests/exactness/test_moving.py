"""Accounts that move while they are read.

No row twice, none missing that stood still, each row as it was at some moment of the operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from gateway.settings import PlannerMode
from tests.exactness.accounts import accounts, exact_switches
from tests.exactness.client import asked, examples, told
from tests.exactness.moves import Move, leaves_places, moves, stood_still
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
    """What was true at some moment of an operation, and what all along."""

    twilio: OddTwilio

    def hold(self, root: Root, answer: dict[str, Any]) -> None:
        """Asserts that the answer is right for these moments."""
        oracle = Oracle(self.twilio)
        self.rows_of(
            answer["nodes"],
            "calls",
            lambda row: oracle.is_wanted(row, root.filter, None),
            None if answer["pageInfo"]["hasNextPage"] else 0,
            root.window.size,
        )
        for node in answer["nodes"]:
            self._call(node, root.edges)

    def _call(self, node: dict[str, Any], edges: Sequence[Edge]) -> None:
        """A call is as it was at some moment, and so are its edges."""
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

        def is_wanted(row: Row) -> bool:
            if name == "calls":
                return oracle.is_wanted(row, edge.filter, sid)
            return row["call_sid"] == sid and edge.log in (None, row.get("log"))

        self.rows_of(found["nodes"], name, is_wanted, 0, edge.first or 50)
        for child in found["nodes"] if name == "calls" else ():
            self._call(child, edge.edges)

    def rows_of(
        self, nodes: Sequence[Any], name: str, is_wanted: Any, end: int | None, size: int
    ) -> None:
        """No row twice; each was wanted at some moment; none is missing that stood still.

        Of a page that is full only what stands above its last row can be missing.
        """
        sids = [node["sid"] for node in nodes]
        assert len(set(sids)) == len(sids)
        for sid in sids:
            assert any(
                sid in then[name] and is_wanted(then[name][sid]) for then in self.twilio.history
            )
        order = [row["sid"] for row in self.twilio.every_row(name)]
        is_whole = end is not None and len(sids) < size
        above = order if is_whole else order[: order.index(sids[-1])] if sids else []
        assert stood_still(self.twilio.history, name, is_wanted) & set(above) <= set(sids)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Account, Switches, Root, dict[int, Move]]:
    """An account that moves, and a list of it from the top with edges."""
    account = draw(accounts(junk=False))
    root = draw(roots(account))
    at_top = Root(root.alias, root.filter, type(root.window)(root.window.size), True, root.edges)
    return account, draw(exact_switches()), at_top, draw(moves(account.now))


@pytest.mark.parametrize("mode", list(PlannerMode))
@settings(max_examples=examples(60))
@given(questions(), st.sampled_from([1, 2, 100]))
async def test_an_operation_shows_what_was_true_at_some_moment_of_it(
    mode: PlannerMode, question: tuple[Account, Switches, Root, dict[int, Move]], at_once: int
) -> None:
    account, switches, root, script = question
    twilio = OddTwilio.of(account, switches)
    note(f"{told(twilio, account)}\n{script}")
    twilio.moves = script
    async with asked(twilio, account, planner=mode, max_in_flight=at_once) as client:
        answer = await client.answer(document(root.text(None)))
    note(str(twilio.requests))
    # A date that cannot be read is an error at its own place.
    assert all(error["path"][-1] == "dateCreated" for error in answer.get("errors", ()))
    if switches.tokens is Tokens.NUMBERS and leaves_places(script):
        return
    Moments(twilio).hold(root, answer["data"][root.alias])


@st.composite
def walks(draw: st.DrawFn) -> tuple[Account, Switches, Filter, dict[int, Move]]:
    """An account that moves, and one of its lists, of one status or of several."""
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
    account, switches, wanted, script = walked
    is_numbered = switches.tokens is Tokens.NUMBERS
    # Nothing tells which of several lists such a call belongs to (docs/paging.md).
    is_ignored = "Status" in switches.ignored and len(wanted.statuses) > 1
    assume(not (is_ignored and backwards and has_odd_status(account)))
    twilio = OddTwilio.of(account, switches)
    note(f"{told(twilio, account)}\n{script}")
    oracle = Oracle(twilio)
    found: list[str] = []
    async with asked(twilio, account, cache_size=0) as client:
        walk = Walk(client, wanted)
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
            # A page without a row that says to go on leads on from the same place, but further.
            at = at or "the top"
            place = info["startCursor" if backwards else "endCursor"]
            assert place not in (None, walk.cursors.get(at))
            walk.cursors[at] = place
        else:
            raise AssertionError("the walk does not end")
    still = stood_still(twilio.history, "calls", lambda row: oracle.is_wanted(row, wanted, None))
    assert all(found.count(sid) <= 1 for sid in still)
    if not (is_numbered and (backwards or leaves_places(script) or wanted.statuses)):
        assert still <= set(found)
