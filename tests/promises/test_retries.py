"""Retries: they help where failures are few, and cost little where everything fails."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.plain_twilio import rfc_2822, sid
from tests.promises.faults import resets, resets_in_the_body, says, truncates
from tests.promises.faulty import Fault
from tests.promises.rows import final, live, live_account
from tests.promises.stand import Stand, one_call, stand

Figure = Callable[[str], None]
TRANSIENT: dict[str, Fault] = {
    "429": says(429),
    "500": says(500),
    "502": says(502, b"<html>bad gateway</html>", Content_Type="text/html"),
    "503": says(503),
    "504": says(504),
    "reset": resets,
    "reset in the body": resets_in_the_body,
    "truncated body": truncates,
}
LASTING = {"400": says(400), "401": says(401), "403": says(403), "404": says(404)}


async def calm(here: Stand) -> None:
    """Twenty answers without a fault, so that failures stay few and two retries are earned."""
    await here.query_all([one_call(live(number)) for number in range(50, 70)], concurrency=4)
    here.upstream.look()


async def test_a_transient_failure_is_retried(fresh: Stand, figure: Figure) -> None:
    """Two attempts fail and the third succeeds, for each kind of failure."""
    for number, fault in enumerate(TRANSIENT.values()):
        fresh.upstream.fail(fault, times=2)
        answer = await fresh.query(one_call(live(number)))

        assert answer.is_whole, answer.body
        assert len(fresh.upstream.look().requests) == 3
        await calm(fresh)
    figure(f"{len(TRANSIENT)} kinds of failure, each twice in a row: every answer whole")


async def test_a_read_has_three_attempts_at_most(here: Stand, figure: Figure) -> None:
    here.upstream.fail(says(503))
    answer = await here.query(one_call(live(1)))

    assert answer.codes == {"UPSTREAM_UNAVAILABLE"}
    assert len(here.upstream.look().requests) == 3
    figure("3 requests, then an error")


async def test_a_lasting_failure_is_not_retried(here: Stand) -> None:
    for number, fault in enumerate(LASTING.values()):
        here.upstream.fail(fault)
        await here.query(one_call(live(number)))
        here.upstream.heal()

        assert len(here.upstream.look().requests) == 1


async def test_retry_after_is_honoured_within_the_deadline(here: Stand, figure: Figure) -> None:
    """As seconds and as a date; a date of whole seconds is between one and two seconds away."""
    date = rfc_2822(datetime.now(UTC) + timedelta(seconds=2)) or ""
    waits = []
    for number, after in enumerate(("1", date.replace("+0000", "GMT"))):
        here.upstream.fail(says(429, Retry_After=after), times=1)
        answer = await here.query(one_call(live(number)))

        assert answer.is_whole, answer.body
        assert answer.seconds >= (1.0 if after == "1" else 0.1)
        waits.append(f"{answer.seconds:.1f} s")
    figure("whole after " + " and ".join(waits))


async def test_retry_after_beyond_the_deadline_fails_fast(here: Stand, figure: Figure) -> None:
    later = rfc_2822(datetime.now(UTC) + timedelta(hours=1)) or ""
    for number, after in enumerate(("3600", later.replace("+0000", "GMT"))):
        here.upstream.fail(says(429, Retry_After=after))
        answer = await here.query(one_call(live(number)))

        assert answer.codes == {"UPSTREAM_RATE_LIMITED"}
        assert answer.seconds < 1
        assert len(here.upstream.look().requests) == 1
        here.upstream.heal()
    figure("1 request, an error in less than 1 s")


@pytest.mark.parametrize("name", ["503", "429", "reset"])
async def test_amplification_when_every_request_fails(
    fresh: Stand, figure: Figure, name: str
) -> None:
    """200 clients, each wants one read that fails: upstream gets 1.2 requests each at most."""
    fresh.upstream.fail(TRANSIENT[name])
    answers = await fresh.query_all(
        [one_call(final(number)) for number in range(200)], concurrency=20
    )

    assert not any(answer.is_whole for answer in answers)
    ratio = len(fresh.upstream.look().requests) / len(answers)
    assert ratio <= 1.2
    figure(f"{name}: {ratio:.2f} × client requests")


async def test_five_percent_of_responses_fail_at_random(figure: Figure) -> None:
    """400 clients, each with one read that is not cached; failures of three kinds."""
    clients = 400
    async with stand(live_account(clients)) as here:
        for fault in (says(503), resets, truncates):
            here.upstream.fail(fault, share=0.017)
        queries = [one_call(sid("CA", number)) for number in range(1, clients + 1)]
        answers = await here.query_all(queries, concurrency=16)

        whole = sum(answer.is_whole for answer in answers) / clients
        ratio = len(here.upstream.look().requests) / clients
    assert whole >= 0.985
    assert 1 < ratio <= 1.15
    figure(f"{whole:.1%} whole at {ratio:.2f} × client requests")


async def test_backoff_spreads_retries(fresh: Stand) -> None:
    """Full jitter: the second attempts of eight requests are spread out."""
    fresh.upstream.fail(says(503), times=8)
    answers = await fresh.query_all([one_call(live(number)) for number in range(8)], concurrency=8)

    assert all(answer.is_whole for answer in answers)
    repeats = fresh.upstream.look().arrivals[8:]
    assert len(repeats) == 8
    assert repeats[-1] - repeats[0] > 0.02
