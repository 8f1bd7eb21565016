"""Authenticates requests of every transport, limits their rate, and reads JWT key sets.

HTTP, WebSocket and SSE all call `Authenticator.authenticate`. Scopes are enforced where operations
are executed (schema/executing.py, schema/masked_fields.py). The key set comes from
GATEWAY_JWT_JWKS_URL only, and its reading is bounded in time and size. This module must not know
GraphQL, nor what is in a key set.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import httpx
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from gateway.access import Access, Caller, OpenAccess, PassthroughAccess, Scope
from gateway.access.shared_rate_limit import SharedRateLimiter
from gateway.access.tokens import TokenAccess, parse_tokens_file
from gateway.errors import AccessError, Forbidden, RateLimited, Unauthenticated
from gateway.server.account_stores import shared_limits
from gateway.settings import AccessMode, AccessSettings, JwtSettings, Settings, SettingsError

__all__ = [
    "Authenticator",
    "KeySetReader",
    "check_access",
]

T = TypeVar("T")
ACCOUNT_HEADER = "gateway-account-sid"
# Seconds and bytes for reading a key set.
KEY_SET_TIMEOUT = 5.0
MAX_KEY_SET = 256 * 1024
# Characters of an IPv6 address, with a zone.
LONGEST_ADDRESS = 64


class KeySetReader:
    """Reads the key set over one connection pool. Close with `aclose`."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=KEY_SET_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def read(self) -> bytes:
        """The body of a 200. Raises OSError for any other response, one too late or too large."""
        try:
            async with (
                asyncio.timeout(KEY_SET_TIMEOUT),
                self._http.stream("GET", self._url) as response,
            ):
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
        if len(body) > MAX_KEY_SET:
            raise OSError("too large")
    return bytes(body)


class Authenticator:
    """Identifies callers by the mode of GATEWAY_ACCESS and limits their rate. Close with `aclose`.

    Raises SettingsError for an unusable file that the settings name.
    """

    def __init__(self, settings: Settings) -> None:
        key_set = settings.access.jwt.jwks_url
        self._reader = KeySetReader(key_set) if key_set else None
        self._access = _access(settings.access, self._reader)
        self._limiter = _limiter(settings)
        # Only a token or a JWT proves a name; in other modes the client chooses it.
        self._limits_by_name = settings.access.mode in {AccessMode.TOKEN, AccessMode.JWT}
        self._trusts_proxies = settings.server.trusted_proxies is not None

    async def authenticate(
        self, connection: HTTPConnection, payload: Mapping[str, Any] | None = None
    ) -> Caller:
        """Identifies the caller and counts one request.

        `payload` is that of connection_init; it overrides the handshake's headers. Raises
        Unauthenticated, AccessUnavailable or RateLimited. A refused request counts by address.
        """
        authorization, account_sid = _credential_of(connection.headers, payload or {})
        try:
            caller = await self._access.identify(authorization, account_sid)
        except Unauthenticated:
            await self._limiter.take(_address_key(connection))
            raise
        await self.count(connection, caller)
        if caller.account is None:
            return caller
        return replace(caller, address=_caller_address(connection, self._trusts_proxies))

    async def count(self, connection: HTTPConnection, caller: Caller) -> None:
        """Counts one more request of this caller. Raises RateLimited."""
        await self._limiter.take(
            f"name {caller.name}" if self._limits_by_name else _address_key(connection)
        )

    def trusts(self, connection: HTTPConnection) -> bool:
        """True if the caller has proved a name, or a trusted proxy passed the request on."""
        return self._limits_by_name or (
            self._trusts_proxies and _is_set_by_trusted_proxy(connection)
        )

    def status_and_headers(self, error: AccessError) -> tuple[int, dict[str, str]]:
        """The HTTP status and headers for an access error."""
        if isinstance(error, Unauthenticated):
            return 401, {"WWW-Authenticate": self._access.challenge}
        if isinstance(error, Forbidden):
            return 403, {}
        if isinstance(error, RateLimited):
            return 429, {"Retry-After": str(error.retry_after)}
        return 503, {"Retry-After": "30"}

    async def aclose(self) -> None:
        """Closes the connections to the identity provider and to the store."""
        await self._limiter.aclose()
        if self._reader is not None:
            await self._reader.aclose()


def _limiter(settings: Settings) -> SharedRateLimiter:
    """The limiter of callers' rates, shared by all gateways with the same store."""
    access = settings.access
    return SharedRateLimiter(access.rate_limit, access.rate_burst, shared_limits(settings))


async def check_access(settings: Settings) -> None:
    """Raises SettingsError for an unusable file that the settings of access name."""
    await Authenticator(settings).aclose()


def _access(settings: AccessSettings, reader: KeySetReader | None) -> Access:
    match settings.mode:
        case AccessMode.NONE:
            return OpenAccess()
        case AccessMode.PASSTHROUGH:
            return PassthroughAccess()
        case AccessMode.TOKEN:
            name, path = "GATEWAY_TOKENS_FILE", settings.tokens_file or ""
            return TokenAccess(_load_file(name, path, parse_tokens_file))
        case AccessMode.JWT:
            return _jwt_access(settings.jwt, reader)


def _jwt_access(jwt: JwtSettings, reader: KeySetReader | None) -> Access:
    from gateway.access import jwt as by_jwt  # cryptography takes 9 MB, which no other mode needs

    pairs = (pair.split("=") for pair in jwt.scopes.split(","))
    requirements = by_jwt.JwtRequirements(
        audience=jwt.audience or "",
        issuer=jwt.issuer or "",
        leeway=jwt.leeway,
        scope_claim=jwt.scope_claim,
        scopes={word: Scope(scope) for word, scope in pairs},
    )
    if reader is not None:
        return by_jwt.JwtAccess(by_jwt.KeySet(reader.read), requirements)
    key = _load_file("GATEWAY_JWT_KEY_FILE", jwt.key_file or "", by_jwt.FixedKey)
    return by_jwt.JwtAccess(key, requirements)


def _load_file(name: str, path: str, parse: Callable[[str], T]) -> T:
    """A parsed file. Raises SettingsError, which names the setting."""
    try:
        return parse(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        words = "is not UTF-8" if isinstance(error, UnicodeError) else error
        raise SettingsError(f"{name}: {words}") from None


def _credential_of(headers: Headers, payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Authorization and Gateway-Account-Sid. Raises Unauthenticated if one is ambiguous."""
    in_payload = {}
    if payload:
        nested = payload.get("headers")
        merged = {**payload, **(nested if isinstance(nested, dict) else {})}
        in_payload = {str(name).lower(): value for name, value in merged.items()}
    credential = []
    for name in ("authorization", ACCOUNT_HEADER):
        values = [in_payload[name]] if name in in_payload else headers.getlist(name)
        if len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise Unauthenticated("Present one credential, as a string")
        credential.append(values[0] if values else None)
    return credential[0], credential[1]


def _caller_address(connection: HTTPConnection, trusts_proxies: bool) -> str | None:
    """The caller's own address, or None if it is or may be a proxy's.

    uvicorn takes the address from X-Forwarded-For if the proxy is trusted, with the port that the
    header names or 0, which no connection has. Any other sender of that header is a proxy, which
    other clients may share.
    """
    if connection.client is None or not connection.client.host:
        return None
    is_known = "x-forwarded-for" not in connection.headers or (
        trusts_proxies and _is_set_by_trusted_proxy(connection)
    )
    return _address_key(connection) if is_known else None


def _is_set_by_trusted_proxy(connection: HTTPConnection) -> bool:
    """True if uvicorn took the client's address from X-Forwarded-For."""
    forwarded = ",".join(connection.headers.getlist("x-forwarded-for"))
    if connection.client is None or not forwarded:
        return False
    host, port = connection.client
    return port == 0 or f"{host}:{port}" in forwarded or f"[{host}]:{port}" in forwarded


def _address_key(connection: HTTPConnection) -> str:
    """The rate limit's key of a client address; for IPv6 its /64, which one customer gets."""
    host = connection.client.host if connection.client else ""
    return _key_of_host(host) if len(host) <= LONGEST_ADDRESS else f"address {host}"


@lru_cache(1024)
def _key_of_host(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"address {host}"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"address {mapped or ipaddress.ip_network((address.packed, 64), strict=False)}"
    return f"address {address}"
