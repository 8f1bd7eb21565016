"""The URL at which Twilio can call this gateway back, and the keys that sign its webhooks."""

from gateway.live.signature import SigningKeys
from gateway.sandbox import SandboxConfig
from gateway.settings import Secret, Settings

__all__ = ["callback_url", "lacks_webhook_key", "webhook_keys"]


def webhook_keys(settings: Settings) -> SigningKeys:
    """The keys that sign webhooks: the account's own auth token, whatever credential goes upstream.

    A main account's token opens its sub-accounts but does not sign their webhooks.
    """
    return SigningKeys(
        auth_tokens=_own_tokens(settings) + (settings.live.webhook_auth_tokens or ()),
        shared_keys=settings.live.webhook_shared_keys or (),
    )


def _own_tokens(settings: Settings) -> tuple[Secret, ...]:
    if settings.uses_sandbox:
        return (Secret(SandboxConfig().auth_token),)
    account = settings.account
    token, secret = account.auth_token, account.api_secret
    if account.api_key == account.sid:  # its SID and auth token in place of an API key
        return tuple(own for own in (token, secret) if own)
    is_main_accounts = token and secret and token.reveal() == secret.reveal()
    return (token,) if token and not is_main_accounts else ()


def lacks_webhook_key(settings: Settings) -> bool:
    """True if the account may send webhooks and the gateway has no key to verify them."""
    keys = webhook_keys(settings)
    return bool(settings.account.sid) and not (keys.auth_tokens or keys.shared_keys)


def callback_url(settings: Settings) -> str | None:
    """The base of the webhooks' URLs, or None if Twilio cannot reach it or no key verifies them.

    No callback is better than a refused one: Twilio logs those as errors.
    """
    keys = webhook_keys(settings)
    return settings.callback_url if keys.auth_tokens or keys.shared_keys else None
