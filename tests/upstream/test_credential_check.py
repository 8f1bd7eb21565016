"""Whether a credential is accepted, against an oracle of the Note in the plainest code."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamAuth, UpstreamTimeout
from gateway.telemetry.records import UpstreamExchange
from gateway.upstream.credential_check import MEMBER_SECONDS, CredentialCheck


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Oracle:
    """Keeps every exchange with its end, and evaluates all of them anew."""

    seen: list[tuple[float, UpstreamExchange]] = field(default_factory=list)

    def refusals(self) -> list[float]:
        """When the credential was refused."""
        return [at for at, one in self.seen if refuses(one)]

    def acceptances(self) -> list[tuple[float, UpstreamExchange]]:
        """The successes that did not begin before an earlier refusal."""
        found: list[tuple[float, UpstreamExchange]] = []
        refused_at: float | None = None
        for at, one in self.seen:
            if refuses(one):
                refused_at, found = at, []
            elif one.status in {200, 201} and one.failure is None:
                began = at - one.seconds
                found += [(at, one)] if refused_at is None or began >= refused_at else []
        return found

    def is_member(self, now: float) -> bool:
        """True when a list of calls was read within MEMBER_SECONDS."""
        return any(
            one.path == "Calls" and one.method == "GET" and now < at + MEMBER_SECONDS
            for at, one in self.acceptances()
        )


def refuses(one: UpstreamExchange) -> bool:
    """True for a response that refuses the credential."""
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
    check = CredentialCheck(clock)
    for pause, one in script:
        clock.now += pause
        oracle.seen.append((clock.now, one))
        check.record(one)

        assert check.is_accepted is bool(oracle.acceptances())
        assert check.is_refused is (bool(oracle.refusals()) and not oracle.acceptances())
        assert check.is_member is oracle.is_member(clock.now)


def accepted(status: int = 200, **given: str) -> UpstreamExchange:
    """A list of calls that was answered."""
    return UpstreamExchange(path="Calls", seconds=0.1, status=status, **given)


async def test_a_member_lists_calls_once_in_some_minutes() -> None:
    clock, listed = Clock(), list[float]()
    check = CredentialCheck(clock)

    async def list_calls() -> None:
        listed.append(clock.now)
        check.record(accepted())

    for moment in (0.0, 1.0, MEMBER_SECONDS - 1, MEMBER_SECONDS, MEMBER_SECONDS + 1):
        clock.now = moment
        await check.require(list_calls)

    assert listed == [0.0, MEMBER_SECONDS]


async def test_a_credential_that_cannot_list_calls_is_no_member() -> None:
    check = CredentialCheck(Clock())

    async def away() -> None:
        raise UpstreamTimeout("late")

    async def refused_meanwhile() -> None:
        check.record(accepted())
        check.record(accepted(401))

    with pytest.raises(UpstreamTimeout):
        await check.require(away)
    with pytest.raises(UpstreamAuth):
        await check.require(refused_meanwhile)


async def test_a_refusal_wakes_its_waiters() -> None:
    check = CredentialCheck(Clock())
    check.record(accepted())
    waiting = asyncio.ensure_future(check.until_refused())
    await asyncio.sleep(0)
    assert not waiting.done()
    check.record(accepted(401))

    async with asyncio.timeout(5):
        await waiting
