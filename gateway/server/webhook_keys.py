"""Whether and where Twilio can call this gateway back, and what may sign such a call."""

from gateway.live.signature import SigningKeys
from gateway.sandbox import SandboxConfig
from gateway.settings import Secret, Settings

__all__ = ["callback_url", "lacks_webhook_key", "webhook_keys"]


def webhook_keys(settings: Settings) -> SigningKeys:
    """What may sign webhooks: the account's own auth token, whatever credential is used upstream.

    A main account's token opens its sub-accounts and signs nothing of theirs.
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
    if account.api_key == account.sid:  # its SID and token, set as if they were a key
        return tuple(own for own in (token, secret) if own)
    is_main_accounts = token and secret and token.reveal() == secret.reveal()
    return (token,) if token and not is_main_accounts else ()


def lacks_webhook_key(settings: Settings) -> bool:
    """True where the gateway's account may have webhooks, and none of them could be checked."""
    keys = webhook_keys(settings)
    return bool(settings.account.sid) and not (keys.auth_tokens or keys.shared_keys)


def callback_url(settings: Settings) -> str | None:
    """The base of the webhooks' URLs; None where Twilio cannot call, or its calls not be checked.

    A callback that is not asked for is better than one that is refused: Twilio logs those.
    """
    keys = webhook_keys(settings)
    return settings.callback_url if keys.auth_tokens or keys.shared_keys else None
