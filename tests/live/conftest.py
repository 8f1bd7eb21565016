"""A server that a test's gateways share."""

from collections.abc import Iterator

import pytest

from tests.live.servers import ServerProcess, running_server


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server of the test's own."""
    with running_server() as running:
        yield running
