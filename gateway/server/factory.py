"""From the settings to a gateway: whose account, what transport, which store, and the end of all.

Here it is decided who answers: Twilio, the base URL that is set, or the embedded sandbox, which
differs from Twilio by its transport only.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import httpx

from gateway.access import Account
from gateway.live.subscriptions import SubscriberSlots
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.server.account_clients import AccountClient, AccountClientPool
from gateway.server.account_stores import AccountStores, store_for
from gateway.server.operations import Gateway
from gateway.settings import Secret, Settings
from gateway.telemetry.records import UpstreamExchange, UpstreamHook, log_exchange
from gateway.upstream.breaker import BreakerLimits
from gateway.upstream.client import ClientLimits, UpstreamClient, utc_now
from gateway.upstream.credential_check import CredentialCheck

__all__ = ["embedded_sandbox", "open_gateway"]


def embedded_sandbox(settings: Settings) -> SandboxConfig:
    """What the sandbox of a gateway without a credential is told."""
    return SandboxConfig(calls=settings.sandbox_calls, seed=settings.sandbox_seed)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Gateway]:
    """A gateway to the account of the settings, or to an embedded sandbox where none is set.

    `transport` takes the place of the network, `now` of the clock (tests).
    """
    async with AsyncExitStack() as stack:
        if settings.uses_sandbox:
            sandbox = create_sandbox(embedded_sandbox(settings))
            stack.push_async_callback(sandbox.state.sandbox.aclose)
            in_process = httpx.ASGITransport(app=sandbox, raise_app_exceptions=False)
            transport = transport or in_process

        stores = AccountStores(lambda account_sid: store_for(settings, account_sid))
        stack.push_async_callback(stores.aclose)
        slots = SubscriberSlots(settings.max_subscribers)

        def make(account: Account, proof: CredentialCheck | None = None) -> AccountClient:
            hook = _told(proof) if proof else log_exchange
            client = UpstreamClient(account, settings.base_url, transport, _limits(settings), hook)
            return AccountClient(client, stores, slots, now, proof)

        pool = AccountClientPool(
            lambda account: make(account, CredentialCheck()), settings.passthrough_clients
        )
        stack.push_async_callback(pool.aclose)
        account = _account(settings)
        own = make(account) if account else None
        if own is not None:
            own.begin()
            stack.push_async_callback(own.aclose)
        yield Gateway(settings, own, now, pool)


def _told(proof: CredentialCheck) -> UpstreamHook:
    """The hook that also tells what upstream thinks of a credential."""

    def hook(exchange: UpstreamExchange) -> None:
        log_exchange(exchange)
        proof.note(exchange)

    return hook


def _limits(settings: Settings) -> ClientLimits:
    return ClientLimits(
        connect=settings.connect_timeout,
        attempt=settings.try_timeout,
        read=settings.read_timeout,
        in_flight=settings.max_in_flight,
        waiting=settings.max_waiting,
        tries=settings.tries,
        retry_share=settings.retry_share / 100,
        cache_bytes=settings.cache_size * 1024 * 1024,
        breaker=BreakerLimits(
            window=settings.breaker_window,
            samples=settings.breaker_samples,
            failure_rate=settings.breaker_failures / 100,
            pause=settings.breaker_pause,
            probes=settings.breaker_probes,
        ),
    )


def _account(settings: Settings) -> Account | None:
    """The gateway's own: of the settings, the sandbox's, or none where only callers bring one."""
    if settings.uses_sandbox:
        sandbox = SandboxConfig()
        return Account(sandbox.account_sid, sandbox.account_sid, Secret(sandbox.auth_token))
    if settings.account_sid is None:
        return None
    if settings.api_key and settings.api_secret:
        return Account(settings.account_sid, settings.api_key, settings.api_secret)
    assert settings.auth_token  # noqa: S101 (Settings sees to it)
    return Account(settings.account_sid, settings.account_sid, settings.auth_token)
