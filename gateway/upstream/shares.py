"""How the gateways of one account divide the requests that may run at once: pure arithmetic.

This module must not know where the heartbeats are kept, nor when they are sent.

Note [Shares]. Each gateway's heartbeat reads the table of all members and records its own share in
it. Three rules hold for `next_share`:

- The shares are max-min fair: nobody gets more than it needs while another needs more than it gets.
  What nobody needs is divided equally, so that a gateway that becomes busy begins at once. Each
  member has the floor, whatever the others need; all floors together are at most half of the cap.
- A share grows only into what no other member has recorded, and shrinks at once. So the recorded
  shares exceed the cap by the floors of newcomers at most.
- A newcomer has the floor, and what it has does not grow with its first heartbeat. After a restart
  of the store everybody is a newcomer, with the share from before.

A member that met a 429 records a lower cap for a while; the lowest cap of all members holds.
"""

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["FIRST_SHARE", "Member", "account_cap", "fair_shares", "floor_of", "next_share"]

FIRST_SHARE = 4
"""What a gateway may run before its first heartbeat; no floor is higher."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """What one gateway recorded with its last heartbeat. All numbers but `beats` are requests.

    `beats` counts its heartbeats, `cap` is the most that all gateways may run together as far as it
    knows, `demand` is the most that ran and waited here since the heartbeat before, `running` the
    most that run here, and `share` what no other gateway may take.
    """

    beats: int
    cap: int
    demand: int
    running: int
    share: int


def floor_of(cap: int, members: int) -> int:
    """The least share of each of so many members: one request or more."""
    return max(1, min(FIRST_SHARE, cap // (2 * members)))


def fair_shares(cap: int, demands: Sequence[int]) -> list[int]:
    """The share of each member by its demand: max-min fair, together at most the cap.

    Each is at least the floor; so more members than the cap have one each.
    """
    floor = floor_of(cap, len(demands))
    shares = [floor] * len(demands)
    left = cap
    by_demand = sorted(range(len(demands)), key=lambda member: demands[member])
    for place, member in enumerate(by_demand):
        equal = left // (len(demands) - place)
        shares[member] = max(floor, min(demands[member], equal))
        left -= shares[member]
    spare = max(left, 0) // len(demands)
    return [share + spare for share in shares]


def account_cap(members: Mapping[str, Member]) -> int:
    """The most that all gateways may run together: the lowest that one of them knows."""
    return min(record.cap for record in members.values())


def next_share(members: Mapping[str, Member], member: str) -> int:
    """The member's new share; `members` has its new record, with the share that it had."""
    ids, own = sorted(members), members[member]
    cap = account_cap(members)
    fair = fair_shares(cap, [members[id_].demand for id_ in ids])[ids.index(member)]
    free = cap - sum(record.share for id_, record in members.items() if id_ != member)
    if own.beats == 1:
        return min(fair, own.share, max(free, floor_of(cap, len(ids))))
    return min(fair, max(own.share, free))
