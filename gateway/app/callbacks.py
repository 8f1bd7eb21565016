"""Whether and where Twilio can call this gateway back, and what may sign such a call."""

from gateway.live.signature import Keys
from gateway.sandbox import SandboxConfig
from gateway.settings import Secret, Settings

__all__ = ["callback_url", "webhook_keys"]


def webhook_keys(settings: Settings) -> Keys:
    """What may sign webhooks. The auth token counts also where an API key is used upstream."""
    own = Secret(SandboxConfig().auth_token) if settings.uses_sandbox else settings.auth_token
    return Keys(
        auth_tokens=((own,) if own else ()) + (settings.webhook_auth_tokens or ()),
        shared_keys=settings.webhook_shared_keys or (),
    )


def callback_url(settings: Settings) -> str | None:
    """The base of the webhooks' URLs; None where Twilio cannot call, or its calls not be checked.

    A callback that is not asked for is better than one that is refused: Twilio logs those.
    """
    keys = webhook_keys(settings)
    return settings.callback_url if keys.auth_tokens or keys.shared_keys else None
