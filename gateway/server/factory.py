"""Builds a gateway from settings: its account, transport and stores; and closes them again.

Here it is decided who answers requests: Twilio, the base URL of the settings, or the embedded
sandbox, which differs from Twilio by its transport only.
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
from gateway.server.account_stores import AccountStores, shared_cache, shared_limits, store_for
from gateway.server.operations import Gateway
from gateway.server.upstream_share import UpstreamShare
from gateway.settings import Secret, Settings
from gateway.telemetry.hooks import Telemetry
from gateway.telemetry.log_lines import LogLines
from gateway.telemetry.records import UpstreamExchange, UpstreamHook
from gateway.upstream.client import UpstreamClient, utc_now
from gateway.upstream.credential_check import CredentialCheck

__all__ = ["embedded_sandbox", "open_gateway", "own_account"]


def embedded_sandbox(settings: Settings) -> SandboxConfig:
    """The configuration of the sandbox that a gateway without a credential embeds."""
    return SandboxConfig(calls=settings.sandbox.calls, seed=settings.sandbox.seed)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = utc_now,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway to the account of the settings, or to an embedded sandbox if none is set.

    `transport` replaces the network, `now` the clock (tests). `telemetry` is told what happens; by
    default only log lines are.
    """
    telemetry = telemetry or Telemetry(LogLines())
    async with AsyncExitStack() as stack:
        if settings.uses_sandbox and transport is None:
            sandbox = create_sandbox(embedded_sandbox(settings))
            stack.push_async_callback(sandbox.state.sandbox.aclose)
            transport = httpx.ASGITransport(app=sandbox, raise_app_exceptions=False)

        stores = AccountStores(lambda account_sid: store_for(settings, account_sid))
        stack.push_async_callback(stores.aclose)
        slots = SubscriberSlots(settings.live.max_subscribers)
        cache = shared_cache(settings)
        if cache is not None:
            stack.push_async_callback(cache.aclose)

        def make(account: Account, proof: CredentialCheck | None = None) -> AccountClient:
            hook: UpstreamHook = telemetry.on_exchange
            if proof is not None:
                hook = _both(hook, proof.record)
            client = UpstreamClient(account, settings.upstream, transport, hook, shared=cache)
            return AccountClient(client, stores, slots, now, proof)

        pool = AccountClientPool(
            lambda account: make(account, CredentialCheck()), settings.access.passthrough_clients
        )
        stack.push_async_callback(pool.aclose)
        account = own_account(settings)
        own = make(account) if account else None
        if own is not None:
            own.start()
            stack.push_async_callback(own.aclose)
            if limits := shared_limits(settings):
                stack.push_async_callback(limits.aclose)
                share = UpstreamShare(own.client.queue, limits)
                stack.push_async_callback(share.aclose)
        yield Gateway(settings, own, now, pool, telemetry, slots)


def _both(first: UpstreamHook, second: UpstreamHook) -> UpstreamHook:
    def hook(exchange: UpstreamExchange) -> None:
        first(exchange)
        second(exchange)

    return hook


def own_account(settings: Settings) -> Account | None:
    """The gateway's own account: the settings' or the sandbox's; None in passthrough."""
    if settings.uses_sandbox:
        sandbox = SandboxConfig()
        return Account(sandbox.account_sid, sandbox.account_sid, Secret(sandbox.auth_token))
    own = settings.account
    if own.sid is None:
        return None
    if own.api_key and own.api_secret:
        return Account(own.sid, own.api_key, own.api_secret)
    assert own.auth_token  # noqa: S101 (Settings checks it)
    return Account(own.sid, own.sid, own.auth_token)
