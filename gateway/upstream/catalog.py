"""The resources that the gateway reads; each is described in its own module."""

from typing import Any

from gateway.upstream.calls import CALLS
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.notifications import NOTIFICATIONS
from gateway.upstream.recordings import RECORDINGS

__all__ = ["RESOURCES"]

RESOURCES: tuple[ResourceDescriptor[Any], ...] = (CALLS, RECORDINGS, NOTIFICATIONS)
