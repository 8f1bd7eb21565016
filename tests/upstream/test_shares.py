"""How gateways divide an account's concurrency: never above the cap, fair, and soon settled."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.shares import FIRST_SHARE, Member, fair_shares, floor_of, next_share

CAPS = st.integers(1, 100)
DEMANDS = st.lists(st.integers(0, 150), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("cap", "demands", "shares"),
    [
        (100, [0], [100]),
        (100, [0, 0, 0], [33, 33, 33]),
        (100, [100, 0, 0], [92, 4, 4]),
        (100, [100, 100, 0], [48, 48, 4]),
        (100, [100, 100, 100], [33, 33, 34]),
        (100, [100, 20, 0], [76, 20, 4]),
        (100, [40, 20, 0], [52, 32, 16]),
        (10, [10, 0, 0], [8, 1, 1]),
        (2, [5, 5, 5], [1, 1, 1]),
    ],
    ids=repr,
)
def test_who_needs_more_gets_what_others_leave(
    cap: int, demands: list[int], shares: list[int]
) -> None:
    assert fair_shares(cap, demands) == shares


@given(CAPS, DEMANDS)
def test_shares_never_exceed_the_cap_and_are_never_below_the_floor(
    cap: int, demands: list[int]
) -> None:
    """More gateways than the cap have one request each."""
    shares = fair_shares(cap, demands)

    assert sum(shares) <= max(cap, len(demands))
    assert min(shares) >= floor_of(cap, len(demands)) >= 1


@given(CAPS, DEMANDS)
def test_nobody_has_more_than_it_needs_while_another_needs_more_than_it_has(
    cap: int, demands: list[int]
) -> None:
    shares, floor = fair_shares(cap, demands), floor_of(cap, len(demands))
    in_need = [has for has, needs in zip(shares, demands, strict=True) if has < needs]
    if in_need:
        for has, needs in zip(shares, demands, strict=True):
            assert has <= max(needs, floor)
            assert has <= min(in_need) + 1
        assert sum(shares) >= cap


@dataclass
class Account:
    """The table of an account, and each gateway's demand and requests in flight."""

    cap: int
    table: dict[str, Member] = field(default_factory=dict)
    demands: dict[str, int] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def beat(self, id_: str) -> None:
        """One heartbeat of a gateway, which then runs what it may; old requests run on."""
        last, demand = self.table.get(id_), self.demands[id_]
        share = last.share if last else self.shares.get(id_, min(FIRST_SHARE, self.cap))
        beats = last.beats + 1 if last else 1
        own = Member(beats, self.cap, min(demand, self.cap), 0, share)
        new = next_share(self.table | {id_: own}, id_)
        in_flight = min(self.used.get(id_, 0), self.shares.get(id_, FIRST_SHARE))
        self.table[id_] = Member(beats, self.cap, own.demand, 0, max(new, in_flight))
        self.shares[id_] = new
        self.used[id_] = min(demand, new)


ROUNDS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 9), max_size=3),  # who is new
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 150)), max_size=4),  # who needs
        st.permutations(range(10)),  # in which order the heartbeats come
    ),
    min_size=1,
    max_size=10,
)


@given(CAPS, ROUNDS)
def test_together_they_take_the_cap_and_a_floor_for_each_newcomer(cap: int, rounds: Any) -> None:
    """Whatever the order. Others end what they run meanwhile, and then give their share back."""
    account, newcomers = Account(cap), [0, 0]
    for new, needs, order in rounds:
        fresh = {str(number) for number in new} - account.demands.keys()
        newcomers.append(len(fresh))
        account.demands |= dict.fromkeys(sorted(fresh), 0)
        account.demands |= {str(n): need for n, need in needs if str(n) in account.demands}
        for id_ in (str(number) for number in order if str(number) in account.demands):
            account.beat(id_)
            running = sum(record.share for record in account.table.values())
            assert running <= max(cap, len(account.table)) + FIRST_SHARE * sum(newcomers[-3:])
            assert account.shares[id_] >= 1


@given(CAPS, DEMANDS)
def test_after_a_few_heartbeats_each_has_its_fair_share(cap: int, demands: list[int]) -> None:
    """Those who have too much give it back with their first heartbeat."""
    account = Account(cap)
    account.demands = {f"{number:02}": need for number, need in enumerate(reversed(demands))}
    for _ in range(4):
        for id_ in account.demands:
            account.beat(id_)
    account.demands = {f"{number:02}": need for number, need in enumerate(demands)}
    for _ in range(4):
        for id_ in account.demands:
            account.beat(id_)
    needs = [min(need, cap) for need in demands]

    assert list(account.shares.values()) == fair_shares(cap, needs)


def test_a_newcomer_waits_one_heartbeat_at_the_floor() -> None:
    account = Account(100, demands={"a": 100})
    account.beat("a")
    account.beat("a")
    account.demands["b"] = 100
    seen = []
    for id_ in ("b", "a", "b"):
        account.beat(id_)
        seen.append((account.shares["a"], account.shares["b"]))
        account.used["a"] = 50

    assert seen == [(100, 4), (50, 4), (50, 50)]


def test_a_share_from_before_is_kept_where_the_table_was_lost() -> None:
    """Who comes back first takes no more than it had, before the others are back, too."""
    account = Account(90, demands={"a": 90, "b": 90, "c": 90})
    for _ in range(4):
        for id_ in account.demands:
            account.beat(id_)
    account.table.clear()
    for id_ in account.demands:
        account.beat(id_)

    assert account.shares == {"a": 30, "b": 30, "c": 30}


def test_the_lowest_cap_of_all_members_holds() -> None:
    members = {"a": Member(2, 100, 100, 50, 50), "b": Member(2, 12, 100, 50, 50)}

    assert next_share(members, "a") == 6
