"""Who comes in, by whatever transport, and how fast; and how the keys of signed tokens are read.

HTTP, WebSocket and SSE all call `Authenticator.admit`. What a caller may then do is enforced where
operations are executed (schema/extensions.py, schema/masked_fields.py). A key set is read in
bounded time and size, and only from GATEWAY_JWT_JWKS_URL. This module must not know GraphQL, nor
what is in a key set.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from gateway.access import Access, Caller, OpenAccess, PassthroughAccess, Scope
from gateway.access.jwt import FixedKey, JwtAccess, JwtRequirements, KeyProvider, KeySet
from gateway.access.rate_limit import RateLimiter
from gateway.access.tokens import TokenAccess, read_lines
from gateway.errors import AccessError, Forbidden, RateLimited, Unauthenticated
from gateway.settings import AccessMode, AccessSettings, JwtSettings, Settings, SettingsError

__all__ = [
    "Authenticator",
    "KeySetReader",
]

T = TypeVar("T")
ACCOUNT_HEADER = "gateway-account-sid"
# Of reading a key set.
SECONDS = 5.0
MAX_BYTES = 256 * 1024


class KeySetReader:
    """The key set's bytes, over one connection pool. Close with `aclose`."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=SECONDS,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def read(self) -> bytes:
        """The body of a 200. Raises OSError where there is none in time, or too large a one."""
        try:
            async with asyncio.timeout(SECONDS), self._http.stream("GET", self._url) as response:
                return await _body(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise OSError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise OSError(f"status {response.status_code}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise OSError("too large")
    return bytes(body)


class Authenticator:
    """Identifies callers as GATEWAY_ACCESS says and counts what each asks. Close with `aclose`.

    Raises SettingsError where a file that the settings name cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        key_set = settings.access.jwt.jwks_url
        self._reader = KeySetReader(key_set) if key_set else None
        self._access = _access(settings.access, self._reader)
        self._limiter = RateLimiter(settings.access.rate_limit, settings.access.rate_burst)
        # A name is proven by a token or a JWT only; else it is whatever somebody chose to send.
        self._knows_names = settings.access.mode in {AccessMode.TOKEN, AccessMode.JWT}
        self._trusts_proxies = settings.server.trusted_proxies is not None

    async def admit(
        self, connection: HTTPConnection, payload: Mapping[str, Any] | None = None
    ) -> Caller:
        """The caller, after one request of theirs was counted.

        `payload` is that of connection_init, which goes before the handshake's headers. Raises
        Unauthenticated, AccessUnavailable, or RateLimited; who is refused counts by address.
        """
        authorization, account_sid = _presented(connection.headers, payload or {})
        try:
            caller = await self._access.identify(authorization, account_sid)
        except Unauthenticated:
            self._limiter.take(_address(connection))
            raise
        self.count(connection, caller)
        if caller.account is None:
            return caller
        return replace(caller, address=_own_address(connection, self._trusts_proxies))

    def count(self, connection: HTTPConnection, caller: Caller) -> None:
        """One more request of this caller. Raises RateLimited."""
        self._limiter.take(f"name {caller.name}" if self._knows_names else _address(connection))

    def refusal(self, error: AccessError) -> tuple[int, dict[str, str]]:
        """The HTTP status and headers that say what the error says."""
        if isinstance(error, Unauthenticated):
            return 401, {"WWW-Authenticate": self._access.challenge}
        if isinstance(error, Forbidden):
            return 403, {}
        if isinstance(error, RateLimited):
            return 429, {"Retry-After": str(error.retry_after)}
        return 503, {"Retry-After": "30"}

    async def aclose(self) -> None:
        """Closes the connection to the provider of keys."""
        if self._reader is not None:
            await self._reader.aclose()


def _access(settings: AccessSettings, reader: KeySetReader | None) -> Access:
    match settings.mode:
        case AccessMode.NONE:
            return OpenAccess()
        case AccessMode.PASSTHROUGH:
            return PassthroughAccess()
        case AccessMode.TOKEN:
            name, path = "GATEWAY_TOKENS_FILE", settings.tokens_file or ""
            return TokenAccess(_used(name, path, read_lines))
        case AccessMode.JWT:
            keys: KeyProvider = KeySet(reader.read) if reader else _fixed_key(settings.jwt)
            return JwtAccess(keys, _requirements(settings.jwt))


def _fixed_key(jwt: JwtSettings) -> FixedKey:
    return _used("GATEWAY_JWT_KEY_FILE", jwt.key_file or "", FixedKey)


def _used(name: str, path: str, use: Callable[[str], T]) -> T:
    """What `use` makes of a file's text."""
    try:
        return use(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        words = "is not UTF-8" if isinstance(error, UnicodeError) else error
        raise SettingsError(f"{name}: {words}") from None


def _requirements(jwt: JwtSettings) -> JwtRequirements:
    pairs = (pair.split("=") for pair in jwt.scopes.split(","))
    return JwtRequirements(
        audience=jwt.audience or "",
        issuer=jwt.issuer or "",
        leeway=jwt.leeway,
        scope_claim=jwt.scope_claim,
        scopes={word: Scope(scope) for word, scope in pairs},
    )


def _presented(headers: Headers, payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Authorization and Gateway-Account-Sid. Raises Unauthenticated where one is ambiguous."""
    nested = payload.get("headers")
    given = {**payload, **(nested if isinstance(nested, dict) else {})}
    in_payload = {str(name).lower(): value for name, value in given.items()}
    found = []
    for name in ("authorization", ACCOUNT_HEADER):
        values = [in_payload[name]] if name in in_payload else headers.getlist(name)
        if len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise Unauthenticated("One credential at a time can be presented, as a text")
        found.append(values[0] if values else None)
    return found[0], found[1]


def _own_address(connection: HTTPConnection, trusts_proxies: bool) -> str | None:
    """The caller's own address; None where it is that of a proxy, or may be.

    uvicorn takes the address from X-Forwarded-For where the proxy is trusted, with the port that it
    names or 0, which no connection has. Whoever else sends that header is a proxy that others may
    be behind, too.
    """
    if connection.client is None or not connection.client.host:
        return None
    named = ",".join(connection.headers.getlist("x-forwarded-for"))
    host, port = connection.client
    is_named = f"{host}:{port}" in named or f"[{host}]:{port}" in named
    is_taken_from_it = trusts_proxies and (port == 0 or is_named)
    return _address(connection) if not named or is_taken_from_it else None


def _address(connection: HTTPConnection) -> str:
    """Where the connection comes from; of IPv6 the network that one customer gets."""
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"address {host}"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"address {mapped or ipaddress.ip_network((address.packed, 64), strict=False)}"
    return f"address {address}"
