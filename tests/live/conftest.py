"""A server to share, for whoever asks for one."""

from collections.abc import Iterator

import pytest

from tests.live.servers import KeptServer, kept_server


@pytest.fixture
def server() -> Iterator[KeptServer]:
    """A server of the test's own."""
    with kept_server() as running:
        yield running
