"""Whether a credential is accepted, against the note's words in the plainest form."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamAuth, UpstreamTimeout
from gateway.telemetry.records import UpstreamExchange
from gateway.upstream.credential_check import MEMBER_SECONDS, CredentialCheck


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Oracle:
    """Every exchange is kept, with its end, and all are looked at anew."""

    told: list[tuple[float, UpstreamExchange]] = field(default_factory=list)

    def refusals(self) -> list[float]:
        """When the credential was refused."""
        return [at for at, one in self.told if refuses(one)]

    def acceptances(self) -> list[tuple[float, UpstreamExchange]]:
        """What was accepted and had not begun before a refusal that was told earlier."""
        found: list[tuple[float, UpstreamExchange]] = []
        refused_at: float | None = None
        for at, one in self.told:
            if refuses(one):
                refused_at, found = at, []
            elif one.status in {200, 201} and one.failure is None:
                began = at - one.seconds
                found += [(at, one)] if refused_at is None or began >= refused_at else []
        return found

    def is_member(self, now: float) -> bool:
        """A list of calls within the time."""
        return any(
            one.path == "Calls" and one.method == "GET" and now < at + MEMBER_SECONDS
            for at, one in self.acceptances()
        )


def refuses(one: UpstreamExchange) -> bool:
    """True for what says that the credential does not open the account."""
    return one.status in {401, 403} or (one.status == 404 and "/" not in one.path)


exchanges = st.builds(
    UpstreamExchange,
    path=st.sampled_from(["Calls", "Calls", "Calls/CA1", "Recordings"]),
    seconds=st.sampled_from([0.0, 1.0, 20.0]),
    status=st.sampled_from([200, 200, 201, 401, 403, 404, 429, 500, None]),
    failure=st.sampled_from([None, None, None, "UpstreamInvalid"]),
    method=st.sampled_from(["GET", "GET", "POST"]),
)
pauses = st.sampled_from([0.0, 1.0, 10.0, MEMBER_SECONDS - 1, MEMBER_SECONDS])


@given(st.lists(st.tuples(pauses, exchanges), max_size=30))
def test_it_says_what_the_oracle_says(script: list[tuple[float, UpstreamExchange]]) -> None:
    clock, oracle = Clock(), Oracle()
    standing = CredentialCheck(clock)
    for pause, one in script:
        clock.now += pause
        oracle.told.append((clock.now, one))
        standing.note(one)

        assert standing.is_accepted is bool(oracle.acceptances())
        assert standing.is_refused is (bool(oracle.refusals()) and not oracle.acceptances())
        assert standing.is_member is oracle.is_member(clock.now)


def accepted(status: int = 200, **given: str) -> UpstreamExchange:
    """A list of calls that was answered."""
    return UpstreamExchange(path="Calls", seconds=0.1, status=status, **given)


async def test_a_member_lists_calls_once_in_some_minutes() -> None:
    clock, listed = Clock(), list[float]()
    standing = CredentialCheck(clock)

    async def list_calls() -> None:
        listed.append(clock.now)
        standing.note(accepted())

    for moment in (0.0, 1.0, MEMBER_SECONDS - 1, MEMBER_SECONDS, MEMBER_SECONDS + 1):
        clock.now = moment
        await standing.require(list_calls)

    assert listed == [0.0, MEMBER_SECONDS]


async def test_who_cannot_list_is_no_member_whatever_the_reason() -> None:
    standing = CredentialCheck(Clock())

    async def away() -> None:
        raise UpstreamTimeout("late")

    async def refused_meanwhile() -> None:
        standing.note(accepted())
        standing.note(accepted(401))

    with pytest.raises(UpstreamTimeout):
        await standing.require(away)
    with pytest.raises(UpstreamAuth):
        await standing.require(refused_meanwhile)


async def test_a_refusal_wakes_whoever_waits_for_one() -> None:
    standing = CredentialCheck(Clock())
    standing.note(accepted())
    waiting = asyncio.ensure_future(standing.until_refused())
    await asyncio.sleep(0)
    assert not waiting.done()
    standing.note(accepted(401))

    async with asyncio.timeout(5):
        await waiting
