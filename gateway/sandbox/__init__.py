"""A local Twilio Calls API for machines without an account.

It is written from the seed document and the facts about the service, independently of the
gateway's client: the two meet on the wire only. No module here imports another room of the gateway.
"""

from gateway.sandbox.app import create_app
from gateway.sandbox.config import SandboxConfig

__all__ = ["SandboxConfig", "create_app"]
