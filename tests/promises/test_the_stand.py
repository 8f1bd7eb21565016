"""Without a fault everything is answered: the promises' tests compare with this."""

from tests.promises.rows import FOUR_EDGES, PAGE, right_nodes
from tests.promises.stand import Stand


async def test_without_a_fault_the_four_edges_are_whole(here: Stand) -> None:
    answer = await here.query(FOUR_EDGES)

    assert answer.is_whole, answer.body
    assert answer.body["data"]["calls"]["nodes"] == right_nodes()
    # Enough for faults that hit one request in a hundred: most parents are off the page.
    assert len(here.upstream.look().requests) > PAGE // 2
