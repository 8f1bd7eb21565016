"""A local Twilio Calls API for machines without an account.

It is written from the seed document and the facts about the service, independently of the
gateway's client: the two meet on the wire only. No module here imports another room of the gateway.
"""

from typing import TYPE_CHECKING

from gateway.sandbox.config import SandboxConfig

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["SandboxConfig", "create_app"]


def create_app(config: SandboxConfig | None = None) -> "Starlette":
    """The sandbox as an ASGI app; see gateway.sandbox.app."""
    from gateway.sandbox.app import create_app as create  # a gateway over Twilio does not load it

    return create(config or SandboxConfig())
